//! JSON from a file, a log or an org becomes a change or a record.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::Scene;
use crate::event::{FieldPath, Happening, ObjectName, Part, Record, RecordId, Seq, Value};
use crate::hydrate;
use crate::mapping::Mapping;
use crate::subscribe::cometd::decode;

/// Why a JSON text is neither a change nor a record. Quotes no value of it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotUsable {
    #[error("it is not JSON: line {line}, column {column}")]
    NoJson { line: usize, column: usize },
    #[error(
        "it is neither a change event (an object with ChangeEventHeader) nor a record (an object with Id): copy the event \
         whole, or the record as REST or SOQL shows it"
    )]
    Neither,
    #[error("it is a change event, and cannot be read: {0}")]
    Event(&'static str),
    #[error("it is an event of {found}, and the pipeline reads {wanted}")]
    OtherObject { found: ObjectName, wanted: ObjectName },
    #[error("its Id is not a record id")]
    NoId,
}

/// A change event (the whole message, its `data`, or the payload alone) or a record as REST shows it. One scene for each
/// record that the event names.
///
/// # Errors
/// See [`NotUsable`].
pub fn scenes(mapping: &Mapping, text: &str) -> Result<Vec<Scene>, NotUsable> {
    let json: Json =
        serde_json::from_str(text).map_err(|error| NotUsable::NoJson { line: error.line(), column: error.column() })?;
    let Json::Object(object) = json else { return Err(NotUsable::Neither) };
    let data = match object {
        mut message if message.contains_key("data") => match message.remove("data") {
            Some(Json::Object(data)) => data,
            _ => return Err(NotUsable::Neither),
        },
        object => object,
    };
    let payload = match data.get("payload") {
        Some(Json::Object(payload)) => payload.clone(),
        Some(_) => return Err(NotUsable::Neither),
        None => data,
    };
    if payload.contains_key("ChangeEventHeader") {
        return event(mapping, payload);
    }
    let id = payload.get("Id").or_else(|| payload.get("id")).ok_or(NotUsable::Neither)?;
    let id: RecordId = id.as_str().and_then(|id| id.parse().ok()).ok_or(NotUsable::NoId)?;
    let values = payload.into_iter().map(|(name, value)| (name, Value::from(value))).collect();
    Ok(vec![Scene { record: Some(record(mapping, id, &values)), ..Scene::default() }])
}

fn event(mapping: &Mapping, payload: Map<String, Json>) -> Result<Vec<Scene>, NotUsable> {
    let data = Json::from_iter([
        ("payload".to_owned(), Json::Object(payload)),
        ("event".to_owned(), Json::from_iter([("replayId".to_owned(), Json::from(1))])),
    ]);
    // The header says of which object it is.
    let change = decode::change("/data/ChangeEvents", data).map_err(|error| NotUsable::Event(error.reason))?;
    let Happening::Record(change) = change.happening else { return Err(NotUsable::Neither) };
    if change.header.entity_name != mapping.source_object {
        let wanted = mapping.source_object.clone();
        return Err(NotUsable::OtherObject { found: change.header.entity_name, wanted });
    }
    let change = Arc::new(change);
    let part = |record: &RecordId| Part { seq: Seq(1), record: *record, change: change.clone() };
    let ids = change.header.record_ids.iter();
    Ok(ids.map(|id| Scene { part: Some(part(id)), ..Scene::default() }).collect())
}

/// A record of the fields that a mapping reads, by the names of events or of REST. What is not there is empty.
pub fn record(mapping: &Mapping, id: RecordId, values: &BTreeMap<String, Value>) -> Record {
    let value = |path: FieldPath| {
        let part = |top: &Value, part: &str| match top {
            Value::Compound(parts) => parts.get(part).cloned(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => None,
        };
        let within = path.part().and_then(|name| part(values.get(path.top())?, name));
        let found = within
            .or_else(|| values.get(path.as_str()).cloned())
            .or_else(|| values.get(path.object_field().as_str()).cloned());
        (path, hydrate::canonical(found.unwrap_or(Value::Null)))
    };
    Record { id, values: mapping.reads().into_iter().map(value).collect() }
}
