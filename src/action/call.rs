//! One call for a few actions of one kind, and what came of each. Thin: it decides nothing but what an answer means.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value as Json};

use crate::event::{FieldName, Value};

/// What is handed over for one event. `Debug` leaves out the values.
#[derive(Clone, PartialEq, Eq)]
pub struct Shot {
    /// The same whenever it is done for this event.
    pub idempotency_key: String,
    pub inputs: BTreeMap<FieldName, Value>,
}

impl std::fmt::Debug for Shot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shot").field("idempotency_key", &self.idempotency_key).finish_non_exhaustive()
    }
}

/// What came of one. What the other side said is for the store; no log shows it.
#[derive(Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was done, and this is what it answered (outputs of a flow, the body of an answer).
    Done { answer: Map<String, Json> },
    /// It was not done, for a cause that passes by itself.
    NotYet(Why),
    /// It was not done, and repeating cannot help.
    Refused(Why),
    /// It may have been done.
    Unknown(Why),
}

/// A code as failed records have it, and what was said.
#[derive(Clone, PartialEq, Eq)]
pub struct Why {
    pub code: String,
    pub evidence: String,
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Done { .. } => f.write_str("Done"),
            Self::NotYet(why) => write!(f, "NotYet({})", why.code),
            Self::Refused(why) => write!(f, "Refused({})", why.code),
            Self::Unknown(why) => write!(f, "Unknown({})", why.code),
        }
    }
}

/// What came of a call.
#[derive(Debug, Default)]
pub struct Called {
    /// One for each, in their order.
    pub outcomes: Vec<Outcome>,
    /// Nothing more should be called for this long: it was refused for all.
    pub pause: Option<Duration>,
    /// It was refused as a whole for what may be one's fault: each is to be called alone.
    pub alone: bool,
    /// What a person must do before anything goes on.
    pub remedy: Option<String>,
}
