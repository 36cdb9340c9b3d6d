//! What is remembered of actions: which events they were done for, and which they failed to be done for.

use std::fmt;

use super::{Halted, PipelineId};
use crate::event::{Channel, InvalidId, ObjectName, OrgName, PipelineName, RecordId, Seq, Timestamp};

/// The code of a failed action before which events are gone: nobody knows whether it should have been done for one of them.
pub const EVENTS_GONE: &str = "EVENTS_GONE";

/// What makes an action the same after a restart. What it does may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionIdentity {
    pub name: PipelineName,
    pub source_org: OrgName,
    pub channel: Channel,
    /// Whose changes trigger it, or which platform event.
    pub object: ObjectName,
    /// By platform events, not by changes.
    pub of_events: bool,
}

/// An action as the store knows it. It has the number of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionRow {
    pub id: PipelineId,
    pub identity: ActionIdentity,
    /// For everything up to here it was done, failed, or not to be done.
    pub watermark: Seq,
    pub failed: u64,
    pub halted: Option<Halted>,
}

/// What an action is done for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Occasion {
    pub seq: Seq,
    pub of: OccasionOf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OccasionOf {
    /// A platform event.
    Event,
    /// This record of a change.
    Record(RecordId),
    /// None: a gap of this number, behind which events may be gone.
    Gap(i64),
}

/// As it is stored, and as programs read it: nothing, an id, or `gap 7`.
impl fmt::Display for OccasionOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event => Ok(()),
            Self::Record(record) => write!(f, "{record}"),
            Self::Gap(id) => write!(f, "gap {id}"),
        }
    }
}

impl std::str::FromStr for OccasionOf {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text.strip_prefix("gap ").and_then(|id| id.parse().ok()) {
            Some(id) => Ok(Self::Gap(id)),
            None if text.is_empty() => Ok(Self::Event),
            None => text.parse().map(Self::Record),
        }
    }
}

/// How far one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionState {
    /// A request was about to go out, and its outcome is not known.
    Sent,
    /// It was not done, for a cause that passes.
    Again,
    /// It was done; its answer is still to be brought back.
    Answered,
    /// Kept until the watermark passes it.
    Done,
    /// A failed action: nothing happens until a person acts.
    Failed,
}

impl ActionState {
    pub(crate) const ALL: [Self; 5] = [Self::Sent, Self::Again, Self::Answered, Self::Done, Self::Failed];

    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Again => "again",
            Self::Answered => "answered",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

impl std::str::FromStr for ActionState {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(())
    }
}

/// A row of `actions`. `Debug` leaves out what was handed over and what was said.
#[derive(Clone, PartialEq, Eq)]
pub struct ActionDone {
    pub occasion: Occasion,
    pub state: ActionState,
    pub idempotency_key: String,
    /// Requests that went out for it.
    pub attempts: u32,
    pub first_at: Timestamp,
    pub tried_at: Timestamp,
    /// Empty: it never failed.
    pub code: String,
    /// What the other side said, for people. Never shown in a log.
    pub evidence: String,
    /// What was handed over, as JSON. None: nothing yet.
    pub request: Option<String>,
    /// What is to be brought back, as JSON.
    pub answer: Option<String>,
    /// A person wants it done again.
    pub redrive_at: Option<Timestamp>,
}

impl fmt::Debug for ActionDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActionDone")
            .field("occasion", &self.occasion)
            .field("state", &self.state)
            .field("attempts", &self.attempts)
            .field("code", &self.code)
            .finish_non_exhaustive()
    }
}

/// One transaction of outcomes of one action.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActionSettlement {
    /// Rows as they are from now on; each takes the place of the one before.
    pub rows: Vec<ActionDone>,
    /// Everything up to here is done, failed, or not to be done: rows of what is done up to here go.
    pub watermark: Option<Seq>,
}

/// Which failed actions.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WhichActions {
    pub action: Option<PipelineName>,
    pub code: Option<String>,
    /// The entry of the journal.
    pub seq: Option<Seq>,
}

/// A failed action with what a person needs to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedAction {
    pub action: PipelineName,
    pub id: PipelineId,
    pub source_org: OrgName,
    pub object: ObjectName,
    pub row: ActionDone,
}

/// Where a list of them goes on.
pub type ActionPlace = (PipelineId, Occasion);
