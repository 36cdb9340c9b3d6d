//! What an action answers is brought back to the source org: into fields of the record that triggered it, or as an event.
//! Either can be repeated; an event may then come twice, with the same idempotency key where a field takes it.

use serde_json::{Map, Value as Json};

use super::call::{self, Called, Caller, Outcome, Shot, Why};
use super::machine::Due;
use crate::config::{AnswerTo, Does, SaveOptions, Via};
use crate::event::{FieldName, ObjectName, RecordId, Value};
use crate::org::{Operation, Org, SaveDisposition, SaveResult, remedy_of};

/// The code of an answer whose event names no record to which it could go.
pub const NO_RECORD_ID: &str = "NO_RECORD_ID";

/// Where answers go.
#[derive(Debug, Clone)]
pub struct Answers {
    pub to: AnswerTo,
    pub source: Org,
    pub caller: Caller,
}

impl Answers {
    /// What is to be brought back of an answer; what it lacks is empty.
    pub fn wanted(&self, answer: &Map<String, Json>) -> Map<String, Json> {
        let (AnswerTo::Record { fields, .. } | AnswerTo::Event { fields, .. }) = &self.to;
        let named = |(field, output): &(FieldName, String)| {
            (field.to_string(), answer.get(output).cloned().unwrap_or(Json::Null))
        };
        fields.iter().map(named).collect()
    }

    pub async fn bring(&self, due: &[Due]) -> Called {
        match &self.to {
            AnswerTo::Record { object, .. } => self.write(object, due).await,
            AnswerTo::Event { event, .. } => {
                let does = Does::Event { org: self.source.name().clone(), event: event.clone(), via: Via::Rest };
                let shots: Vec<Shot> = due.iter().map(shot).collect();
                call::call(&self.caller, &does, None, &shots).await
            }
        }
    }

    async fn write(&self, object: &ObjectName, due: &[Due]) -> Called {
        let ids: Vec<Option<RecordId>> = due.iter().map(|due| due.answers.as_deref()?.parse().ok()).collect();
        let records = ids.iter().zip(due).filter_map(|(id, due)| {
            let mut record = due.answer.clone().unwrap_or_default();
            record.insert("id".to_owned(), Json::from((*id)?.as_str()));
            Some(record)
        });
        let records: Vec<Map<String, Json>> = records.collect();
        let mut called = match self.source.update(object, records, SaveOptions::default()).await {
            Ok(results) => judged(object, &results),
            Err(error) => call::refused_whole(&error, ids.iter().flatten().count()),
        };
        let mut outcomes = std::mem::take(&mut called.outcomes).into_iter();
        let nowhere = || {
            let evidence = "The event names no record to which the answer could go.".to_owned();
            Outcome::Refused(Why { code: NO_RECORD_ID.to_owned(), evidence })
        };
        let each = ids.iter().map(|id| match id {
            Some(_) => outcomes.next().unwrap_or_else(nowhere),
            None => nowhere(),
        });
        called.outcomes = each.collect();
        called
    }
}

fn shot(due: &Due) -> Shot {
    let fields = due.answer.iter().flatten();
    let inputs = fields.filter_map(|(name, value)| Some((name.parse().ok()?, Value::from(value.clone())))).collect();
    Shot { idempotency_key: due.shot.idempotency_key.clone(), inputs }
}

fn judged(object: &ObjectName, results: &[SaveResult]) -> Called {
    let mut called = Called::default();
    for result in results {
        let refusal = match result {
            SaveResult::Saved { .. } => {
                called.outcomes.push(Outcome::Done { answer: Map::new() });
                continue;
            }
            SaveResult::Refused(refusal) => refusal,
        };
        let error = refusal.decisive(Operation::Update);
        let why = Why { code: error.code.to_string(), evidence: error.message.reveal().to_owned() };
        called.outcomes.push(match error.disposition(Operation::Update) {
            SaveDisposition::Retry
            | SaveDisposition::Locked
            | SaveDisposition::Wait
            | SaveDisposition::Neighbour
            | SaveDisposition::TooMuch
            | SaveDisposition::DuplicateInBatch => Outcome::NotYet(why),
            SaveDisposition::Halt => {
                let remedy = remedy_of(&error.code);
                called.remedy = Some(format!("the answer cannot be written to {object}: {}: {remedy}", error.code));
                Outcome::NotYet(why)
            }
            SaveDisposition::AwaitParent
            | SaveDisposition::TargetGone
            | SaveDisposition::ReadWhole
            | SaveDisposition::Dead => Outcome::Refused(why),
        });
    }
    called
}
