//! An event as it is published: its payload, and how many go into one request. Pure.

use pubsub_api::ProducerEvent;

use super::super::super::{Inputs, Why};
use crate::event::{Timestamp, Value};
use crate::subscribe::pubsub::avro::{Misfit, Schema};

/// What a request should have at most; a proxy breaks off one of 4 MB (facts: streaming-pubsub.md section 11).
const REQUEST_MAX: usize = 3_000_000;
/// What stands around the payload, the key and the id of the schema, and a bit more.
const AROUND: usize = 64;

/// The fields that the org fills itself, and yet wants.
const CREATED_DATE: &str = "CreatedDate";
const CREATED_BY: &str = "CreatedById";

/// An input that the event has no field for. As REST spells it.
const NO_SUCH_FIELD: &str = "INVALID_FIELD";
const EMPTY: &str = "REQUIRED_FIELD_MISSING";
const TYPE_MISMATCH: &str = "TYPE_MISMATCH";
const TOO_LARGE: &str = "EVENT_TOO_LARGE";

/// Who publishes, and when.
pub(super) struct Sender<'s> {
    pub user_id: &'s str,
    pub now: Timestamp,
}

pub(super) fn make(
    schema_id: &str,
    schema: &Schema,
    sender: &Sender<'_>,
    inputs: &Inputs<'_>,
) -> Result<ProducerEvent, Why> {
    let slots = schema.slots(schema.root());
    let is_own = |slot: &str| slot.eq_ignore_ascii_case(CREATED_DATE) || slot.eq_ignore_ascii_case(CREATED_BY);
    let known = |name: &str| slots.iter().any(|slot| slot.name.eq_ignore_ascii_case(name) && !is_own(name));
    if let Some(name) = inputs.fields.keys().find(|name| !known(name.as_str())) {
        return Err(Why::new(NO_SUCH_FIELD, &format!("the event has no field {name} that can be filled")));
    }
    let (now, user) = (Value::text(sender.now.to_string()), Value::text(sender.user_id));
    let payload = schema.encode(|slot| match slot.name.as_str() {
        CREATED_DATE => Some(&now),
        CREATED_BY => Some(&user),
        name => {
            inputs.fields.iter().find(|(field, _)| field.as_str().eq_ignore_ascii_case(name)).map(|(_, value)| value)
        }
    });
    let payload = payload.map_err(|misfit| match &misfit {
        Misfit::Type { .. } => Why::new(TYPE_MISMATCH, &misfit.to_string()),
        Misfit::Empty { .. } => Why::new(EMPTY, &misfit.to_string()),
    })?;
    let event = ProducerEvent {
        id: inputs.key.to_owned(),
        schema_id: schema_id.to_owned(),
        payload: payload.into(),
        headers: Vec::new(),
    };
    match size(&event) {
        size if size > REQUEST_MAX => Err(Why::new(TOO_LARGE, &format!("the event has {size} bytes"))),
        _ => Ok(event),
    }
}

fn size(event: &ProducerEvent) -> usize {
    event.payload.len() + event.id.len() + event.schema_id.len() + AROUND
}

/// The events in as few requests as may be, in their order.
pub(super) fn requests(events: Vec<ProducerEvent>) -> Vec<Vec<ProducerEvent>> {
    let mut requests: Vec<Vec<ProducerEvent>> = Vec::new();
    let mut left = 0;
    for event in events {
        let size = size(&event);
        match requests.last_mut() {
            Some(request) if size <= left => request.push(event),
            Some(_) | None => {
                requests.push(vec![event]);
                left = REQUEST_MAX;
            }
        }
        left = left.saturating_sub(size);
    }
    requests
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::subscribe::pubsub::avro::Datum;

    const SENDER: Sender<'static> = Sender { user_id: "0055e000001AbCdAAK", now: Timestamp(1_714_156_703_517) };

    fn schema() -> Schema {
        let field = |name: &str, kind, doc: &str| json!({"name": name, "type": kind, "doc": doc});
        let schema = json!({"type": "record", "name": "E__e", "namespace": "com.sforce.eventbus", "fields": [
            field("CreatedDate", json!("long"), "CreatedDate:DateTime"),
            field("CreatedById", json!("string"), "CreatedBy:EntityId"),
            field("Text__c", json!(["null", "string"]), "Data:Text"),
            field("Must__c", json!("string"), "Data:Text"),
        ]});
        Schema::parse(&schema.to_string()).unwrap()
    }

    fn made(fields: &[(&str, Value)]) -> Result<ProducerEvent, Why> {
        let fields: BTreeMap<_, _> =
            fields.iter().map(|(name, value)| (name.parse().unwrap(), value.clone())).collect();
        make("schema-1", &schema(), &SENDER, &Inputs { key: "key-1", fields })
    }

    #[test]
    fn an_event_says_who_publishes_it_and_when_and_has_the_key() {
        let event = made(&[("text__c", Value::text("a")), ("Must__c", Value::text("b"))]).unwrap();
        assert_eq!((event.id.as_str(), event.schema_id.as_str()), ("key-1", "schema-1"));
        let expected = [Datum::Long(SENDER.now.0), Datum::Text(SENDER.user_id), Datum::Text("a"), Datum::Text("b")];
        assert_eq!(schema().decode(&event.payload).unwrap(), expected);
    }

    #[test]
    fn what_does_not_fit_the_schema_is_refused_by_name_and_without_its_value() {
        let must = ("Must__c", Value::text("b"));
        for (fields, code, named) in [
            (vec![must.clone(), ("Other__c", Value::text("secret"))], NO_SUCH_FIELD, "Other__c"),
            (vec![must.clone(), ("CreatedById", Value::text("secret"))], NO_SUCH_FIELD, "CreatedById"),
            (vec![must, ("Text__c", Value::Bool(true))], TYPE_MISMATCH, "Text__c"),
            (vec![("Text__c", Value::text("secret"))], EMPTY, "Must__c"),
        ] {
            let why = made(&fields).unwrap_err();
            assert_eq!(why.code, code);
            assert!(why.evidence.contains(named) && !why.evidence.contains("secret"), "{}", why.evidence);
        }
    }

    #[test]
    fn no_request_is_larger_than_the_service_takes() {
        let event = |bytes: usize| made(&[("Must__c", Value::text("x".repeat(bytes)))]);
        assert_eq!(event(REQUEST_MAX).unwrap_err().code, TOO_LARGE);
        let sizes = [1_000_000, 1_000_000, 900_000, 200_000, 2_900_000, 10];
        let requests = requests(sizes.iter().map(|bytes| event(*bytes).unwrap()).collect());
        assert_eq!(requests.iter().map(Vec::len).collect::<Vec<_>>(), [3, 1, 2]);
        assert!(requests.iter().all(|events| events.iter().map(size).sum::<usize>() <= REQUEST_MAX));
        assert!(super::requests(Vec::new()).is_empty());
    }
}
