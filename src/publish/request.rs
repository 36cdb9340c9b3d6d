//! A batch as the call that it is: sObject Collections (facts: rest.md sections 6 and 7).

use serde_json::{Map, Value as Json, json};

use super::outbox::{Batch, Call};
use super::write::{ByKey, Cell, Write};
use crate::event::RecordId;
use crate::org::{CallError, Org, SaveResult};

/// Sends a batch; one result for each write, in order.
pub async fn send(org: &Org, batch: &Batch) -> Result<Vec<SaveResult>, CallError> {
    match &batch.call {
        Call::Upsert { object, key_field, options } => {
            org.upsert(object, key_field, batch.writes.iter().map(record).collect(), *options).await
        }
        Call::Update { object, options } => {
            org.update(object, batch.writes.iter().map(with_id).collect(), *options).await
        }
        Call::Delete { .. } => {
            let ids: Vec<RecordId> = batch.writes.iter().filter_map(|write| write.key.linked()).collect();
            org.delete(&ids).await
        }
    }
}

fn with_id(write: &Write) -> Map<String, Json> {
    let mut record = record(write);
    if let Some(id) = write.key.linked() {
        record.insert("id".to_owned(), json!(id.as_str()));
    }
    record
}

/// The fields of a write as they go out.
pub(super) fn record(write: &Write) -> Map<String, Json> {
    let mut record = Map::new();
    for (field, cell) in write.fields().into_iter().flatten() {
        match cell {
            Cell::Value(value) => {
                record.insert(field.to_string(), value.clone().into());
            }
            // Never both the lookup and the relationship (facts: rest.md section 7).
            Cell::Parent(reference) => match (&reference.by_key, &reference.link) {
                (Some(ByKey { relationship, key, typed }), _) => {
                    let mut named = json!({ key.as_str(): reference.parent.record.as_str() });
                    if *typed {
                        named["attributes"] = json!({ "type": reference.parent.target_object.as_str() });
                    }
                    record.insert(relationship.clone(), named);
                }
                (None, link) => {
                    // The outbox lets no open reference out.
                    record.insert(field.to_string(), link.map_or(Json::Null, |id| json!(id.as_str())));
                }
            },
            Cell::Unfilled { emptied: true, .. } => drop(record.insert(field.to_string(), Json::Null)),
            Cell::Unfilled { emptied: false, .. } => {}
        }
    }
    record
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::IfMissing;
    use crate::event::{Seq, Value};
    use crate::publish::{Body, Cover, Key, Manner, Reference, Source};
    use crate::store::{Parent, PipelineId};

    #[test]
    fn a_parent_is_named_by_its_relationship_and_an_emptied_lookup_by_its_field() {
        let parent: RecordId = "001000000000001AAA".parse().unwrap();
        let source = Source { pipeline: PipelineId(1), record: "003000000000001AAA".parse().unwrap() };
        let reference = Reference {
            parent: Parent { target_object: "Account".parse().unwrap(), record: parent },
            by_key: Some(ByKey { relationship: "Account".to_owned(), key: "Key__c".parse().unwrap(), typed: false }),
            link: None,
            if_missing: IfMissing::Wait,
        };
        let write = Write {
            key: Key::Record { object: "Contact".parse().unwrap(), id: "003T00000000001IAA".parse().unwrap() },
            key_field: "Key__c".parse().unwrap(),
            body: Body::Partial(
                [
                    ("AccountId".parse().unwrap(), Cell::Parent(reference)),
                    ("ReportsToId".parse().unwrap(), Cell::Value(Value::Null)),
                ]
                .into(),
            ),
            if_created: false,
            manner: Manner::default(),
            lock_keys: Vec::new(),
            waits_for: Vec::new(),
            covers: vec![Cover { source, from: Seq(1), to: Seq(1), clears_suspect: false }],
        };
        assert_eq!(
            Json::Object(with_id(&write)),
            json!({"id": "003T00000000001IAA", "Account": {"Key__c": "001000000000001AAA"}, "ReportsToId": null})
        );
    }
}
