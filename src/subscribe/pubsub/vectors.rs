//! The vectors that were made without this decoder.

use serde_json::Value as Json;

use super::avro::Schema;

pub(super) fn schema(file: &str) -> Schema {
    Schema::parse(&schema_text(file)).unwrap()
}

/// As the org sends it.
pub(super) fn schema_text(file: &str) -> String {
    let text = match file {
        "schema_account.json" => include_str!("../../../tests/vectors/schema_account.json"),
        "schema_account_person.json" => include_str!("../../../tests/vectors/schema_account_person.json"),
        "schema_contact.json" => include_str!("../../../tests/vectors/schema_contact.json"),
        "schema_employee.json" => include_str!("../../../tests/vectors/schema_employee.json"),
        "schema_employee_v2.json" => include_str!("../../../tests/vectors/schema_employee_v2.json"),
        "schema_order_event.json" => include_str!("../../../tests/vectors/schema_order_event.json"),
        other => panic!("there is no {other}"),
    };
    let file: Json = serde_json::from_str(text).unwrap();
    file["schema"].to_string()
}

pub(super) fn payload(vector: &Json) -> Vec<u8> {
    let hex = vector["payload_hex"].as_str().unwrap();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}
