//! What a person asks of the journal, and what is known of it as a whole.

use serde::{Deserialize, Serialize};

use super::Entry;
use crate::event::{Channel, OrgName, RecordId, Seq, Timestamp};

/// Which entries of the journal. All that is said must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sought {
    pub org: Option<OrgName>,
    pub channel: Option<Channel>,
    /// That name this record.
    pub record: Option<RecordId>,
    /// With this transaction key.
    pub transaction: Option<String>,
    /// Committed at this time or after it; received, where the event does not say when it was committed.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
}

/// Numbers of entries: those above the first, up to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    pub above: Seq,
    pub to: Seq,
}

impl Span {
    /// Every entry.
    pub const ALL: Self = Self { above: Seq::ZERO, to: Seq(u64::MAX) };
    pub const NONE: Self = Self { above: Seq::ZERO, to: Seq::ZERO };
}

/// An entry, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journaled {
    /// The org of its subscription. One that another org took the place of has a name that no config can have.
    pub org: String,
    /// The bridge itself found it; no event told of it.
    pub own: bool,
    pub entry: Entry,
}

/// Entries by number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JournalPage {
    pub entries: Vec<Journaled>,
    /// There may be more above this number.
    pub next: Option<Seq>,
}

/// What the journal holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JournalFigures {
    pub entries: u64,
    /// About what they take in the file.
    pub bytes: u64,
    /// When the oldest was received of those behind which none is missing; none: there is none.
    pub whole_since: Option<Timestamp>,
    /// Above this number nothing was deleted; zero: nothing was.
    pub trimmed_to: Seq,
}

/// What one stretch of trimming did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trimmed {
    /// So many entries are gone.
    pub entries: u64,
    /// The last number that was looked at.
    pub last: Seq,
    /// What is left between where it began and here is old, and stays because somebody needs it.
    pub pinned_to: Seq,
    /// Nothing above it is old enough.
    pub done: bool,
}
