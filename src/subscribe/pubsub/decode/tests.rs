use serde_json::{Value as Json, json};

use super::*;
use crate::subscribe::pubsub::vectors;

fn events() -> Vec<Json> {
    let file: Json = serde_json::from_str(include_str!("../../../../tests/vectors/avro_events.json")).unwrap();
    file["vectors"].as_array().unwrap().clone()
}

fn decoded(vector: &Json) -> Change {
    let schema = vectors::schema(vector["schema_file"].as_str().unwrap());
    let channel = "/data/ChangeEvents".parse().unwrap();
    change(&schema, &channel, ReplayId(vec![1]), "uuid", &vectors::payload(vector)).unwrap()
}

fn named(name: &str) -> Change {
    decoded(&events().into_iter().find(|vector| vector["name"] == name).unwrap())
}

fn record(change: &Change) -> &RecordChange {
    match &change.happening {
        Happening::Record(record) => record,
        other => panic!("{other:?}"),
    }
}

/// `A.B` of the vector's plain record; null where any of it is.
fn plain<'j>(vector: &'j Json, path: &str) -> &'j Json {
    path.split('.').fold(&vector["decoded"], |json, name| &json[name])
}

#[test]
fn every_event_of_the_vectors_says_who_changed_and_how() {
    for vector in events().iter().filter(|vector| !vector["decoded"]["ChangeEventHeader"].is_null()) {
        let change = decoded(vector);
        let (header, expected) = (&record(&change).header, &vector["decoded"]["ChangeEventHeader"]);
        assert_eq!(json!(header.entity_name.as_str()), expected["entityName"]);
        assert_eq!(json!(header.change_type.as_str()), expected["changeType"]);
        assert_eq!(json!(header.change_origin), expected["changeOrigin"]);
        assert_eq!(json!(header.transaction_key), expected["transactionKey"]);
        assert_eq!(json!(header.sequence_number), expected["sequenceNumber"]);
        assert_eq!(json!(header.commit_timestamp.0), expected["commitTimestamp"]);
        assert_eq!(json!(header.commit_number), expected["commitNumber"]);
        assert_eq!(json!(header.commit_user), expected["commitUser"]);
        let ids: Vec<&str> = header.record_ids.iter().map(RecordId::as_str).collect();
        let written: Vec<&str> = expected["recordIds"].as_array().unwrap().iter().filter_map(Json::as_str).collect();
        let real: Vec<&str> =
            written.iter().copied().filter(|id| !id.contains('*') && !id.starts_with("000000000")).collect();
        assert_eq!((ids, header.wildcard), (real.clone(), real.len() < written.len()), "{}", vector["name"]);
    }
}

#[test]
fn every_update_of_the_vectors_has_just_the_fields_that_its_bitmaps_name() {
    let mut updates = 0;
    for vector in events().iter().filter(|vector| vector["decoded"]["ChangeEventHeader"]["changeType"] == "UPDATE") {
        let change = decoded(vector);
        let mut told: Vec<String> = Vec::new();
        for (name, field) in &record(&change).fields {
            match field {
                Field::New(Value::Compound(parts)) => told.extend(parts.keys().map(|part| format!("{name}.{part}"))),
                Field::New(_) | Field::Diff | Field::Patch(_) => told.push(name.clone()),
                Field::Same(_) => {}
            }
        }
        let mut expected: Vec<String> =
            serde_json::from_value(vector["bitmaps"]["changedFields"]["names"].clone()).unwrap();
        expected.sort();
        told.sort();
        assert_eq!(told, expected, "{}", vector["name"]);
        for path in &expected {
            let (top, part) = path.split_once('.').unwrap_or((path, ""));
            let value = match &record(&change).fields[top] {
                Field::New(Value::Compound(parts)) => parts[part].clone(),
                Field::New(value) => value.clone(),
                Field::Diff | Field::Patch(_) => continue,
                Field::Same(_) => panic!("{path} has not changed"),
            };
            let plain = plain(vector, path);
            assert_eq!(value.is_null(), plain.is_null(), "{}: {path}", vector["name"]);
            if let Value::Text(text) = value
                && plain.is_string()
            {
                assert_eq!(json!(text), *plain, "{}: {path}", vector["name"]);
            }
        }
        updates += 1;
    }
    assert!(updates > 8);
}

#[test]
fn what_must_fail_fails_and_says_where() {
    let vectors: Vec<Json> =
        serde_json::from_str(include_str!("../../../../tests/vectors/avro_must_fail.json")).unwrap();
    for vector in &vectors {
        let schema = vectors::schema(vector["schema_file"].as_str().unwrap());
        let channel = "/data/Employee__ChangeEvent".parse().unwrap();
        let undecodable = change(&schema, &channel, ReplayId(vec![1]), "", &vectors::payload(vector)).unwrap_err();
        // The header of each but the empty one is whole: the records are known.
        let known = undecodable.header.is_some();
        assert_eq!(known, !vector["payload_hex"].as_str().unwrap().is_empty(), "{}", vector["why"]);
        assert!(undecodable.reason.to_string().contains(" at byte "), "{undecodable:?}");
    }
}

#[test]
fn values_have_the_forms_of_rest() {
    let slot = |meaning: &str| {
        let schema = json!({"type": "record", "name": "R", "fields": [
            {"name": "F", "doc": format!("Data:{meaning}:00N"), "type": "long"}]});
        Schema::parse(&schema.to_string()).unwrap()
    };
    for (meaning, number, text) in [
        ("DateTime", 1_714_156_703_517, "2024-04-26T18:38:23.517Z"),
        ("DateTime", -1, "1969-12-31T23:59:59.999Z"),
        ("DateOnly", -86_400_000, "1969-12-31"),
        ("DateOnly", 1_714_089_600_000, "2024-04-26"),
        ("TimeOnly", 36_672_345, "10:11:12.345Z"),
    ] {
        let schema = slot(meaning);
        let value = simple(&schema.slots(schema.root())[0], &Datum::Long(number)).unwrap();
        assert_eq!(value.as_text(), Some(text));
    }
    let schema = slot("Currency");
    let slot = &schema.slots(schema.root())[0];
    for (number, text) in [(35.0, "35"), (0.1, "0.1"), (1e21, "1000000000000000000000"), (-2.5e-7, "-0.00000025")] {
        let Value::Number(decimal) = simple(slot, &Datum::Double(number)).unwrap() else { panic!() };
        assert_eq!(decimal.as_str(), text);
    }
    assert!(simple(slot, &Datum::Double(f64::NAN)).is_err());
}

#[test]
fn a_difference_of_texts_is_no_text() {
    assert!(matches!(record(&named("account_update_diff")).fields["Description"], Field::Patch(_)));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
        for file in ["schema_account_person.json", "schema_order_event.json"] {
            let schema = vectors::schema(file);
            let _ = change(&schema, &"/data/ChangeEvents".parse().unwrap(), ReplayId(vec![1]), "", &bytes);
        }
    }

    #[test]
    fn a_vector_with_wrong_bytes_is_read_or_refused(
        which in 0_usize..26, at in proptest::num::usize::ANY, byte in proptest::num::u8::ANY, cut in 0_usize..3,
    ) {
        let vector = &events()[which];
        let schema = vectors::schema(vector["schema_file"].as_str().unwrap());
        let mut bytes = vectors::payload(vector);
        let at = at % bytes.len();
        bytes[at] = byte;
        bytes.truncate(bytes.len() - cut);
        let _ = change(&schema, &"/data/ChangeEvents".parse().unwrap(), ReplayId(vec![1]), "", &bytes);
    }
}
