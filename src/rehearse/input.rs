//! JSON from a file, a log or an org becomes a change or a record.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::Scene;
use super::actions::Trigger;
use crate::event::{FieldPath, Happening, ObjectName, Part, Record, RecordId, Seq, Value};
use crate::hydrate;
use crate::mapping::{Inputs, Mapping};
use crate::privacy::ObjectPrivacy;
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

/// What is read of the source, to be mapped or handed over.
pub struct Reading<'m> {
    pub object: &'m ObjectName,
    pub paths: Vec<FieldPath>,
    pub privacy: &'m ObjectPrivacy,
}

impl<'m> From<&'m Mapping> for Reading<'m> {
    fn from(mapping: &'m Mapping) -> Self {
        Self { object: &mapping.source_object, paths: mapping.reads(), privacy: &mapping.privacy }
    }
}

impl<'m> From<&'m Inputs> for Reading<'m> {
    fn from(inputs: &'m Inputs) -> Self {
        Self { object: &inputs.source_object, paths: inputs.reads(), privacy: &inputs.privacy }
    }
}

/// A change event (the whole message, its `data`, or the payload alone) or a record as REST shows it. One scene for each
/// record that the event names.
///
/// # Errors
/// See [`NotUsable`].
pub fn scenes(mapping: &Mapping, text: &str) -> Result<Vec<Scene>, NotUsable> {
    let payload = payload(text)?;
    let reading = Reading::from(mapping);
    if payload.contains_key("ChangeEventHeader") {
        let parts = parts(&reading, payload)?.into_iter();
        return Ok(parts.map(|part| Scene { part: Some(part), ..Scene::default() }).collect());
    }
    Ok(vec![Scene { record: Some(record_in(&reading, payload)?), ..Scene::default() }])
}

/// The same for an action. Of a platform event: the whole message, its `data`, or its fields alone.
///
/// # Errors
/// See [`NotUsable`].
pub fn triggers(inputs: &Inputs, is_of_events: bool, text: &str) -> Result<Vec<Trigger>, NotUsable> {
    let payload = payload(text)?;
    let reading = Reading::from(inputs);
    if payload.contains_key("ChangeEventHeader") {
        let parts = parts(&reading, payload)?.into_iter();
        return Ok(parts.map(|part| Trigger::Change { part, record: None }).collect());
    }
    if is_of_events {
        let fields = payload.into_iter().map(|(name, value)| (name, Value::from(value))).collect();
        return Ok(vec![Trigger::Event(inputs.privacy.of_values(fields))]);
    }
    Ok(vec![Trigger::Read(record_in(&reading, payload)?)])
}

/// The fields of an event or a record.
fn payload(text: &str) -> Result<Map<String, Json>, NotUsable> {
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
    match data.get("payload") {
        Some(Json::Object(payload)) => Ok(payload.clone()),
        Some(_) => Err(NotUsable::Neither),
        None => Ok(data),
    }
}

fn record_in(reading: &Reading<'_>, payload: Map<String, Json>) -> Result<Record, NotUsable> {
    let id = payload.get("Id").or_else(|| payload.get("id")).ok_or(NotUsable::Neither)?;
    let id: RecordId = id.as_str().and_then(|id| id.parse().ok()).ok_or(NotUsable::NoId)?;
    let values = payload.into_iter().map(|(name, value)| (name, Value::from(value))).collect();
    Ok(record(reading, id, &values))
}

/// One for each record that the event names.
fn parts(reading: &Reading<'_>, payload: Map<String, Json>) -> Result<Vec<Part>, NotUsable> {
    let data = Json::from_iter([
        ("payload".to_owned(), Json::Object(payload)),
        ("event".to_owned(), Json::from_iter([("replayId".to_owned(), Json::from(1))])),
    ]);
    // The header says of which object it is.
    let change = decode::change("/data/ChangeEvents", data).map_err(|error| NotUsable::Event(error.reason))?;
    let Happening::Record(mut change) = change.happening else { return Err(NotUsable::Neither) };
    if change.header.entity_name != *reading.object {
        let wanted = reading.object.clone();
        return Err(NotUsable::OtherObject { found: change.header.entity_name, wanted });
    }
    reading.privacy.apply_change(&mut change);
    let change = Arc::new(change);
    let part = |record: &RecordId| Part { seq: Seq(1), record: *record, change: change.clone() };
    Ok(change.header.record_ids.iter().map(part).collect())
}

/// A record of the fields that are read, by the names of events or of REST. What is not there is empty.
pub fn record(reading: &Reading<'_>, id: RecordId, values: &BTreeMap<String, Value>) -> Record {
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
    let mut record = Record { id, values: reading.paths.iter().cloned().map(value).collect() };
    reading.privacy.apply_record(&mut record);
    record
}

#[cfg(test)]
mod tests {
    use super::super::{What, rehearse};
    use super::*;
    use crate::config::testing::between_two_orgs;

    fn mapping() -> Mapping {
        let text = r#"pipelines:
  - name: accounts
    from: { org: a, channel: /data/AccountChangeEvent, object: Account }
    to: { org: b, object: Account, key: Key__c }
    fields: { Key__c: Id, Name: Name, City__c: BillingAddress.City }
"#;
        let config = between_two_orgs(text);
        Mapping::new(&config.pipelines[0], &config)
    }

    fn written(text: &str) -> Vec<String> {
        let mapping = mapping();
        let scenes = scenes(&mapping, text).unwrap();
        scenes
            .iter()
            .map(|scene| match rehearse(&mapping, scene).what {
                What::Upsert { fields, .. } => {
                    let json: Map<String, Json> =
                        fields.into_iter().map(|(name, value)| (name.to_string(), value.into())).collect();
                    Json::Object(json).to_string()
                }
                other => other.to_string(),
            })
            .collect()
    }

    const PAYLOAD: &str = r#"{"ChangeEventHeader": {"entityName": "Account", "recordIds": ["001000000000001AAA",
        "001000000000002AAA"], "changeType": "CREATE", "changeOrigin": "", "transactionKey": "t", "sequenceNumber": 1,
        "commitTimestamp": 1700000000000, "commitNumber": 1, "commitUser": "005000000000001AAA", "changedFields": []},
        "Name": "Acme", "BillingAddress": {"City": "Bern"}}"#;

    #[test]
    fn an_event_is_taken_whole_or_as_its_payload_and_gives_one_scene_for_each_record() {
        let data = format!(r#"{{"schema": "x", "payload": {PAYLOAD}, "event": {{"replayId": 7}}}}"#);
        let message = format!(r#"{{"channel": "/data/AccountChangeEvent", "data": {data}}}"#);
        let one = |id| format!(r#"{{"City__c":"Bern","Key__c":"00100000000000{id}AAA","Name":"Acme"}}"#);
        for text in [PAYLOAD, &data, &message] {
            assert_eq!(written(text), [one(1), one(2)]);
        }
    }

    #[test]
    fn a_record_is_taken_by_the_names_of_rest_or_of_events() {
        let expected = [r#"{"City__c":"Bern","Key__c":"001000000000001AAA","Name":"Acme"}"#];
        for text in [
            r#"{"attributes": {"type": "Account"}, "Id": "001000000000001AAA", "Name": "Acme", "BillingCity": "Bern"}"#,
            r#"{"Id": "001000000000001", "Name": "Acme", "BillingAddress": {"City": "Bern", "street": null}}"#,
        ] {
            assert_eq!(written(text), expected);
        }
    }

    #[test]
    fn what_is_neither_is_refused_with_a_hint() {
        let other = PAYLOAD.replace("\"Account\"", "\"Contact\"");
        for (text, said) in [
            ("", "it is not JSON: line 1"),
            ("[]", "it is neither a change event"),
            ("{}", "it is neither a change event"),
            (r#"{"data": 1}"#, "it is neither a change event"),
            (r#"{"Id": "Acme"}"#, "its Id is not a record id"),
            (r#"{"ChangeEventHeader": {}}"#, "it is a change event, and cannot be read"),
            (other.as_str(), "it is an event of Contact, and the pipeline reads Account"),
        ] {
            let refused = scenes(&mapping(), text).unwrap_err().to_string();
            assert!(refused.starts_with(said), "{text}: {refused}");
        }
    }
}
