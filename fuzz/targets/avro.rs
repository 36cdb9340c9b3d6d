//! A payload of the Pub/Sub API becomes a change or is refused. The first byte says by which schema it is read; past the
//! last it is a schema itself, ended by a zero, and what follows is its payload.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use orgbridge::event::{Channel, ReplayId};
use orgbridge::subscribe::pubsub::avro::Schema;
use orgbridge::subscribe::pubsub::decode;

static SCHEMAS: LazyLock<Vec<Schema>> = LazyLock::new(|| {
    let files = [
        include_str!("../../tests/vectors/schema_account.json"),
        include_str!("../../tests/vectors/schema_account_person.json"),
        include_str!("../../tests/vectors/schema_contact.json"),
        include_str!("../../tests/vectors/schema_employee.json"),
        include_str!("../../tests/vectors/schema_order_event.json"),
    ];
    let schema = |file: &str| {
        let file: serde_json::Value = serde_json::from_str(file).expect("a vector is JSON");
        Schema::parse(&file["schema"].to_string()).expect("the schema of a vector")
    };
    files.into_iter().map(schema).collect()
});
static CHANNEL: LazyLock<Channel> = LazyLock::new(|| "/data/ChangeEvents".parse().expect("a channel"));

fn read(schema: &Schema, payload: &[u8]) {
    let _ = decode::change(schema, &CHANNEL, ReplayId(vec![1]), "id", payload);
}

fuzz_target!(|bytes: &[u8]| {
    let Some((which, rest)) = bytes.split_first() else { return };
    match SCHEMAS.get(usize::from(*which)) {
        Some(schema) => read(schema, rest),
        None => {
            let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
            let Ok(text) = std::str::from_utf8(&rest[..end]) else { return };
            if let Ok(schema) = Schema::parse(text) {
                read(&schema, rest.get(end + 1..).unwrap_or_default());
            }
        }
    }
});
