//! What a subscription hands to the journal.

use super::{Change, ObjectName, ReplayId, Timestamp};

/// What a subscription hands to the journal, in bus order. Progress travels in the same channel behind the changes
/// that it speaks of, so that no saved position overtakes an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    Change(Change),
    /// The subscription was seen live and caught up at this time of the server's clock.
    Live {
        until: Timestamp,
    },
    /// Events up to here came and are wanted by nobody (an entity without a pipeline, committed before the start), or,
    /// with no events, the org says that there are none up to here (a keepalive).
    Passed {
        replay_id: ReplayId,
        events: u64,
    },
    /// An event that this release cannot read came: a gap.
    Undecodable(Undecodable),
    /// The org refused the saved id. From here on events come from the earliest that it keeps.
    Refused {
        at: Timestamp,
    },
    /// The subscription goes on with the newest event, although older ones are owed: the day's deliveries do not allow
    /// them. What lies between the last proof of being live and this time of the org's clock is a gap.
    Skipped {
        at: Timestamp,
    },
    /// A record changed or vanished, and no event said so: a GAP_UPDATE or GAP_DELETE of our own making, which is read
    /// like any. It has no place on the bus, so it moves no position.
    Found {
        change: Change,
        /// The bus should have told, and did not (the truth probe found it): it is also counted as a gap. A poll finds
        /// what no event was to tell.
        missed: bool,
    },
    /// Changes of an object within a window of the org's time may be missing, and cannot be named.
    Window(Window),
    /// The truth probe has compared the object with the journal up to this time of the org's clock: all that changed
    /// since the previous one, deleted records included (it asks by queryAll), came before it in this stream or is in
    /// the journal. The first one says nothing of what was before it.
    Probed {
        object: ObjectName,
        until: Timestamp,
    },
}

/// What is kept of an event that could not be read: enough to know what it was, and nothing of its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecodable {
    pub replay_id: Option<ReplayId>,
    /// Where the header could still be read: a GAP_UPDATE (or GAP_DELETE) of its records, so that they are read.
    pub change: Option<Change>,
    /// Where the channel or the header tells it.
    pub object: Option<ObjectName>,
    pub schema_id: Option<String>,
    /// Of the payload, in bytes.
    pub length: u64,
    /// SHA-256 of the payload, in hex.
    pub digest: String,
    /// What was wrong, without a value.
    pub reason: String,
}

/// A window in which changes may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    pub cause: WindowCause,
    /// None: any of the channel.
    pub object: Option<ObjectName>,
    /// By the org's clock; open at an end that is not known.
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
    /// For people: what is wrong, and what to do.
    pub why: String,
}

/// Why a window is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowCause {
    /// A truth probe found more missing than it can name.
    Missed,
    /// The object was not selected for capture, or the channel's members, filter or enrichment are not as they were.
    Capture,
    /// The bridge's user may no longer see a field that a pipeline reads.
    Access,
}
