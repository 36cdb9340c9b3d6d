//! What an action answers is brought back to the source org: into fields of the record that triggered it, or as an event.
//! Either can be repeated; an event may then come twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::call::verdict::{self, Neighbours};
use super::call::{Called, Caller, CallerError, Outcome, Shot, Why};
use super::machine::Due;
use crate::config::{ActionConfig, AnswerTo, Does, SaveOptions, Via};
use crate::event::{FieldName, ObjectName, OrgName, RecordId, Value};
use crate::org::{Org, SaveResult};

/// The code of an answer whose event names no record to which it could go.
pub const NO_RECORD_ID: &str = "NO_RECORD_ID";

/// The code of an answer that was not brought back before a stop, while its event does not trigger any more.
pub const ANSWER_KEPT: &str = "ANSWER_KEPT";

/// Where answers go.
#[derive(Debug, Clone)]
pub struct Answers {
    to: AnswerTo,
    source: Org,
    /// Of one that is published.
    publisher: Option<Arc<Caller>>,
}

impl Answers {
    /// None: nothing is brought back.
    ///
    /// # Errors
    /// When the source org is not among `orgs`.
    pub fn of(action: &ActionConfig, orgs: &BTreeMap<OrgName, Org>) -> Result<Option<Self>, CallerError> {
        let Some(to) = action.answer.clone() else { return Ok(None) };
        let name = &action.from.org;
        let source = orgs.get(name).cloned().ok_or_else(|| CallerError::NoOrg(name.clone()))?;
        let publisher = match &to {
            AnswerTo::Record { .. } => None,
            AnswerTo::Event { event, .. } => {
                let does = Does::Event { org: name.clone(), event: event.clone(), via: Via::Rest };
                let publishing = ActionConfig { does, idempotency: None, ..action.clone() };
                Some(Arc::new(Caller::new(&publishing, orgs)?))
            }
        };
        Ok(Some(Self { to, source, publisher }))
    }

    /// What is to be brought back of an answer; what it lacks is empty.
    pub fn wanted(&self, answer: &Map<String, Json>) -> Map<String, Json> {
        let (AnswerTo::Record { fields, .. } | AnswerTo::Event { fields, .. }) = &self.to;
        let named = |(field, output): &(FieldName, String)| {
            (field.to_string(), answer.get(output).cloned().unwrap_or(Json::Null))
        };
        fields.iter().map(named).collect()
    }

    pub async fn bring(&self, due: &[Due]) -> Called {
        match (&self.to, &self.publisher) {
            (AnswerTo::Record { object, .. }, _) => self.write(object, due).await,
            (AnswerTo::Event { .. }, Some(publisher)) => {
                let shots: Vec<Shot> = due.iter().map(shot).collect();
                publisher.call(&shots).await
            }
            // It is made with one.
            (AnswerTo::Event { .. }, None) => Called::default(),
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
            Ok(results) => {
                let results = results.into_iter().map(|result| match result {
                    SaveResult::Saved { .. } => Ok(Map::new()),
                    SaveResult::Refused(refusal) => Err(refusal),
                });
                verdict::each(results, Neighbours::Shared)
            }
            Err(error) => verdict::failed(&error, ids.iter().flatten().count()),
        };
        let mut outcomes = std::mem::take(&mut called.outcomes).into_iter();
        let nowhere =
            || Outcome::Refused(Why::new(NO_RECORD_ID, "The event names no record to which the answer could go."));
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
