//! What was sent, as people are shown it: kept with a record that was refused.

use serde_json::{Value as Json, json};

use super::request;
use super::write::{Body, Key, Write};

/// A longer text is cut.
const TEXT_MAX: usize = 4_000;

/// JSON: the call (`upsert`, `update`, `delete`), the object, what names the record there, and the fields.
pub fn as_evidence(write: &Write) -> String {
    let call = match (&write.body, &write.key) {
        (Body::Delete, _) => "delete",
        (Body::Whole(_), Key::External { .. }) => "upsert",
        (Body::Whole(_) | Body::Partial(_), _) => "update",
    };
    let mut shown = json!({"call": call, "object": write.key.object().as_str()});
    match &write.key {
        Key::Record { id, .. } => shown["id"] = json!(id.as_str()),
        Key::External { field, .. } => shown["by"] = json!(field.as_str()),
    }
    if write.fields().is_some() {
        let mut fields = Json::Object(request::record(write));
        cut(&mut fields);
        shown["fields"] = fields;
    }
    shown.to_string()
}

fn cut(value: &mut Json) {
    match value {
        Json::String(text) => {
            if let Some((at, _)) = text.char_indices().nth(TEXT_MAX) {
                let length = text.chars().count();
                text.truncate(at);
                text.push_str(&format!("… (cut here; it has {length} characters)"));
            }
        }
        Json::Array(values) => values.iter_mut().for_each(cut),
        Json::Object(values) => values.values_mut().for_each(cut),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Seq, Value};
    use crate::publish::{Cell, Cover, Manner, Source};
    use crate::store::PipelineId;

    fn write(key: Key, body: Body) -> Write {
        let source = Source { pipeline: PipelineId(1), record: "001000000000001AAA".parse().unwrap() };
        Write {
            key,
            key_field: "Key__c".parse().unwrap(),
            body,
            if_created: false,
            manner: Manner::default(),
            lock_keys: Vec::new(),
            waits_for: Vec::new(),
            covers: vec![Cover { source, from: Seq(1), to: Seq(1), clears_suspect: false }],
        }
    }

    fn by_key() -> Key {
        let (object, field) = ("Account".parse().unwrap(), "Key__c".parse().unwrap());
        Key::External { object, field, value: "001000000000001AAA".to_owned() }
    }

    #[test]
    fn a_write_is_told_by_its_call_its_object_its_key_and_its_fields() {
        let fields = [("Name".parse().unwrap(), Cell::Value(Value::text("Acme")))];
        let told: Json = serde_json::from_str(&as_evidence(&write(by_key(), Body::Whole(fields.into())))).unwrap();
        assert_eq!(told, json!({"call": "upsert", "object": "Account", "by": "Key__c", "fields": {"Name": "Acme"}}));
        let id = Key::Record { object: "Account".parse().unwrap(), id: "001T00000000001IAA".parse().unwrap() };
        let told: Json = serde_json::from_str(&as_evidence(&write(id, Body::Delete))).unwrap();
        assert_eq!(told, json!({"call": "delete", "object": "Account", "id": "001T00000000001IAA"}));
    }

    #[test]
    fn a_text_that_is_very_long_is_cut_and_says_so() {
        let long = "ä".repeat(TEXT_MAX + 5);
        let fields = [("Name".parse().unwrap(), Cell::Value(Value::text(&long)))];
        let told: Json = serde_json::from_str(&as_evidence(&write(by_key(), Body::Partial(fields.into())))).unwrap();
        let text = told["fields"]["Name"].as_str().unwrap();
        assert!(text.starts_with(&"ä".repeat(TEXT_MAX)) && text.ends_with("it has 4005 characters)"), "{text}");
    }
}
