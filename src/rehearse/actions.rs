//! What an action would hand over for one event, without doing it. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Outcome, What};
use crate::config::Does;
use crate::event::{ChangeKind, Fields, Part, Record, RecordChange, Seq, Value};
use crate::mapping::{Gives, Inputs};

/// What happened in the source.
#[derive(Debug, Clone)]
pub enum Trigger {
    /// The fields of a platform event.
    Event(BTreeMap<String, Value>),
    /// A change, and its record for what the change does not say.
    Change { part: Part, record: Option<Record> },
    /// A record is read, and no event told why (`on_read: fire`).
    Read(Record),
}

pub fn act(does: &Does, inputs: &Inputs, trigger: &Trigger) -> Outcome {
    let (gives, read) = match trigger {
        Trigger::Event(fields) => (inputs.of_event(fields), false),
        Trigger::Change { part, record } => match (inputs.of_part(part, None), record) {
            (Gives::Needs, Some(record)) => (inputs.of_part(part, Some(record)), true),
            (gives, _) => (gives, false),
        },
        Trigger::Read(record) => (inputs.of_part(&found(inputs, record), Some(record)), true),
    };
    let what = match gives {
        Gives::Fires(fired) => What::Call { does: does.shown(), inputs: fired.inputs },
        Gives::Skipped(skip) => What::Skipped(skip),
        Gives::Failed(failure) => What::Failed(failure),
        Gives::Needs => What::NeedsRecord,
    };
    Outcome { what, read, why_read: None, traced: Vec::new() }
}

/// A change of which nobody says what it was.
fn found(inputs: &Inputs, record: &Record) -> Part {
    let header = super::header(&inputs.source_object, record.id, ChangeKind::GapUpdate);
    Part { seq: Seq(1), record: record.id, change: Arc::new(RecordChange { header, fields: Fields::new() }) }
}
