//! Events through sObject Collections. That one is enqueued does not say yet that it will be delivered.

use std::time::Duration;

use serde_json::{Map, Value as Json};

use super::super::{Called, Inputs, verdict};
use crate::event::ObjectName;
use crate::org::{Enqueued, Org};

pub(in super::super) struct ByRest {
    pub org: Org,
    pub event: ObjectName,
    pub timeout: Duration,
}

impl ByRest {
    pub async fn call(&self, inputs: &[Inputs<'_>]) -> Called {
        let events = inputs.iter().map(Inputs::as_json).collect();
        match self.org.publish_events(&self.event, events, self.timeout).await {
            Ok(results) => results_of(results),
            Err(error) => verdict::failed(&error, inputs.len()),
        }
    }
}

fn results_of(results: Vec<Enqueued>) -> Called {
    let result = |result| match result {
        Enqueued::Done { uuid } => {
            Ok(uuid.map(|uuid| Map::from_iter([("EventUuid".to_owned(), Json::String(uuid))])).unwrap_or_default())
        }
        Enqueued::Refused(refusal) => Err(refusal),
    };
    verdict::each(results.into_iter().map(result), verdict::Neighbours::Apart)
}
