//! The shape of what is told. It is a promise to scripts: names and meanings stay, new ones may come.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{EVENTS_MAX, remedy};
use crate::event::Timestamp;
use crate::store::{Entry, FailedCause, FailedRecord, ParkedState};

/// Records with the same cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    pub pipeline: String,
    /// `failed` or `waiting`.
    pub state: String,
    pub code: String,
    pub fields: Vec<String>,
    pub records: u64,
    /// When the oldest of them was parked first: it failed then, or began to wait.
    pub oldest: String,
    /// Up to three ids, the oldest first.
    pub examples: Vec<String>,
    pub remedy: String,
}

/// One record. `Debug` leaves out whatever may hold a value.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub pipeline: String,
    pub record: String,
    pub source_org: String,
    pub source_object: String,
    pub target_org: String,
    pub target_object: String,
    pub state: String,
    pub code: String,
    pub fields: Vec<String>,
    /// What the org said.
    pub answer: String,
    /// What was sent last; null: nothing was, or it was erased.
    pub request: Option<Json>,
    pub attempts: u32,
    /// When it was parked first: it failed then, or began to wait.
    pub first_at: String,
    pub last_at: String,
    /// Of the journal: the entries that wait.
    pub from: u64,
    pub to: u64,
    pub waits_for: Option<Parent>,
    /// Since when it is to be tried again.
    pub redrive_at: Option<String>,
    pub remedy: String,
    /// Only where they were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
    /// These are only the first ones.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more_events: bool,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pipeline, record, code, state, .. } = self;
        f.debug_struct("Record")
            .field("pipeline", pipeline)
            .field("record", record)
            .field("code", code)
            .field("state", state)
            .finish_non_exhaustive()
    }
}

/// The record of the source that another one waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// Of the target.
    pub object: String,
    pub record: String,
}

/// A change event as it is stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its number in the journal.
    pub seq: u64,
    pub received: String,
    pub event: Json,
}

/// A failed record that is none any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Healed {
    pub pipeline: String,
    pub record: String,
    pub code: String,
    pub attempts: u32,
    pub first_at: String,
    pub closed_at: String,
    pub how: String,
}

fn state(state: ParkedState) -> String {
    match state {
        ParkedState::Waiting => "waiting",
        ParkedState::Failed => "failed",
    }
    .to_owned()
}

impl Cause {
    pub(super) fn of(cause: FailedCause) -> Self {
        Self {
            pipeline: cause.pipeline.to_string(),
            state: state(cause.state),
            remedy: remedy(&cause.code, "").to_owned(),
            code: cause.code,
            fields: cause.fields,
            records: cause.records,
            oldest: cause.oldest.to_string(),
            examples: cause.examples.iter().map(ToString::to_string).collect(),
        }
    }
}

impl Record {
    /// Of the events at most [`EVENTS_MAX`] are told.
    pub(super) fn of(failed: FailedRecord, events: Vec<Entry>) -> Self {
        let row = failed.row;
        let parent = |parent: crate::store::Parent| Parent {
            object: parent.target_object.to_string(),
            record: parent.record.to_string(),
        };
        Self {
            pipeline: failed.pipeline.to_string(),
            record: row.record.to_string(),
            source_org: failed.source_org.to_string(),
            source_object: failed.source_object.to_string(),
            target_org: failed.target_org.to_string(),
            target_object: failed.target_object.to_string(),
            state: state(row.state),
            remedy: remedy(&row.code, &row.evidence).to_owned(),
            code: row.code,
            fields: row.fields,
            answer: row.evidence,
            request: row.request.and_then(|request| serde_json::from_str(&request).ok()),
            attempts: row.attempts,
            first_at: failed.first_at.to_string(),
            last_at: row.tried_at.to_string(),
            from: row.from.0,
            to: row.to.0,
            waits_for: row.waits_for.map(parent),
            redrive_at: failed.redrive_at.as_ref().map(Timestamp::to_string),
            more_events: events.len() > EVENTS_MAX,
            events: events.into_iter().take(EVENTS_MAX).map(Event::of).collect(),
        }
    }
}

impl Event {
    fn of(entry: Entry) -> Self {
        Self {
            seq: entry.seq.0,
            received: entry.received.to_string(),
            event: serde_json::to_value(&entry.change.happening).unwrap_or(Json::Null),
        }
    }
}

impl Healed {
    pub(super) fn of(healed: crate::store::Healed) -> Self {
        Self {
            pipeline: healed.pipeline.to_string(),
            record: healed.record.to_string(),
            code: healed.code,
            attempts: healed.attempts,
            first_at: healed.first_at.to_string(),
            closed_at: healed.closed_at.to_string(),
            how: healed.how,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Seq;
    use crate::store::Parked;
    use crate::store::contract::given;

    const MANUAL: &str = include_str!("../../docs/failed.md");

    fn record() -> Record {
        let row = given::waiting(crate::store::PipelineId(1), given::account(1), 3, given::parent(2));
        let row = Parked { request: Some(r#"{"call":"update","fields":{"Name":"Ada"}}"#.to_owned()), ..row };
        let identity = given::identity();
        let failed = FailedRecord {
            pipeline: identity.name,
            source_org: identity.source_org,
            source_object: identity.source_object,
            target_org: identity.target_org,
            target_object: identity.target_object,
            row,
            first_at: given::NOW,
            redrive_at: Some(given::NOW),
        };
        let entry = Entry { seq: Seq(3), change: given::event(3).0, received: given::NOW };
        Record::of(failed, vec![entry])
    }

    #[test]
    fn the_manual_explains_every_field() {
        let cause = Cause::of(FailedCause {
            pipeline: given::identity().name,
            state: ParkedState::Failed,
            code: "STRING_TOO_LONG".to_owned(),
            fields: Vec::new(),
            records: 1,
            oldest: given::NOW,
            examples: Vec::new(),
        });
        let healed = Healed {
            pipeline: "accounts".to_owned(),
            record: given::account(1).to_string(),
            code: "STRING_TOO_LONG".to_owned(),
            attempts: 1,
            first_at: String::new(),
            closed_at: String::new(),
            how: "discarded".to_owned(),
        };
        let record = record();
        let shapes = [
            serde_json::to_value(cause).unwrap(),
            serde_json::to_value(healed).unwrap(),
            serde_json::to_value(&record).unwrap(),
            serde_json::to_value(&record.events[0]).unwrap(),
            serde_json::to_value(&record.waits_for).unwrap(),
        ];
        for name in shapes.iter().flat_map(|shape| shape.as_object().unwrap().keys()) {
            assert!(MANUAL.contains(&format!("`{name}`")), "{name}");
        }
    }

    #[test]
    fn of_many_events_only_the_first_are_told_and_that_there_are_more() {
        let failed = || FailedRecord {
            pipeline: given::identity().name,
            source_org: given::identity().source_org,
            source_object: given::identity().source_object,
            target_org: given::identity().target_org,
            target_object: given::identity().target_object,
            row: given::failed(crate::store::PipelineId(1), given::account(1), 3),
            first_at: given::NOW,
            redrive_at: None,
        };
        let entry = Entry { seq: Seq(3), change: given::event(3).0, received: given::NOW };
        for (there, more) in [(EVENTS_MAX, false), (EVENTS_MAX + 1, true)] {
            let record = Record::of(failed(), vec![entry.clone(); there]);
            assert_eq!((record.events.len(), record.more_events), (EVENTS_MAX, more));
        }
        let told = serde_json::to_value(Record::of(failed(), vec![])).unwrap();
        assert_eq!(told.get("more_events"), None);
    }

    #[test]
    fn a_record_does_not_print_what_was_sent_or_said() {
        let text = format!("{:?}", record());
        assert!(text.contains("PARENT") && !text.contains("Ada") && !text.contains("no such parent"), "{text}");
        assert_eq!(record().request.unwrap()["fields"]["Name"], "Ada");
    }
}
