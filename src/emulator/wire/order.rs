//! JSON with its keys in the order in which the platform writes them, for people and for clients that compare texts.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value as Json};

/// These come first, in this order; the others follow by name.
const FIRST: [&str; 9] =
    ["attributes", "totalSize", "done", "nextRecordsUrl", "records", "statusCode", "message", "errorCode", "fields"];
/// And these in the result of a write.
const RESULT: [&str; 4] = ["id", "success", "errors", "created"];

/// The keys of an object that come first.
fn first(object: &Map<String, Json>) -> &'static [&'static str] {
    // What a duplicate rule found has a `success` too, and is no result.
    if object.contains_key("success") && !object.contains_key("entityType") { &RESULT } else { &FIRST }
}

pub struct Ordered<'a>(pub &'a Json);

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Json::Array(list) => serializer.collect_seq(list.iter().map(Ordered)),
            Json::Object(object) => {
                let mut map = serializer.serialize_map(Some(object.len()))?;
                let first = first(object);
                for key in first {
                    if let Some(value) = object.get(*key) {
                        map.serialize_entry(key, &Ordered(value))?;
                    }
                }
                for (key, value) in object.iter().filter(|(key, _)| !first.contains(&key.as_str())) {
                    map.serialize_entry(key, &Ordered(value))?;
                }
                map.end()
            }
            plain => plain.serialize(serializer),
        }
    }
}

impl std::fmt::Display for Ordered<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Writing a value into a text cannot fail; what is asked for is then written as the library has it.
        f.write_str(&serde_json::to_string(self).unwrap_or_else(|_| self.0.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn errors_and_results_read_as_in_the_documents() {
        for (json, text) in [
            (
                json!([{"errorCode": "E", "fields": ["A"], "message": "m"}]),
                r#"[{"message":"m","errorCode":"E","fields":["A"]}]"#,
            ),
            (
                json!({"created": true, "errors": [{"fields": [], "message": "m", "statusCode": "S"}], "success": false}),
                r#"{"success":false,"errors":[{"statusCode":"S","message":"m","fields":[]}],"created":true}"#,
            ),
            (
                json!([{"actionName": "a", "errors": null, "isSuccess": true}, {"deletedDate": "d", "id": "i"}]),
                r#"[{"actionName":"a","errors":null,"isSuccess":true},{"deletedDate":"d","id":"i"}]"#,
            ),
            (
                json!({"records": [{"Name": 1.50, "attributes": {"url": "u", "type": "t"}}], "done": true}),
                r#"{"done":true,"records":[{"attributes":{"type":"t","url":"u"},"Name":1.5}]}"#,
            ),
        ] {
            assert_eq!(Ordered(&json).to_string(), text);
        }
    }
}
