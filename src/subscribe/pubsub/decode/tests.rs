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

fn by_stream(channel: &str, data: Json) -> Happening {
    crate::subscribe::cometd::decode::change(channel, data).unwrap().happening
}

/// These vectors tell the same; they were made with another commit number and at times by another client.
#[test]
fn vectors_of_both_transports_that_tell_the_same_are_the_same_change() {
    let file: Json = serde_json::from_str(include_str!("../../../../tests/vectors/cometd_messages.json")).unwrap();
    for (stream, here) in [
        ("update_merged", "account_update_merged"),
        ("update_wildcard", "account_wildcard"),
        ("update_own_origin", "account_loop_origin"),
        ("update_diff", "account_update_diff"),
        ("delete", "account_delete"),
        ("gap_create", "account_gap_create"),
        ("gap_update", "account_gap_update"),
        ("gap_delete", "account_gap_delete"),
        ("gap_undelete", "account_gap_undelete"),
        ("gap_overflow", "account_gap_overflow"),
    ] {
        let exchange =
            file["exchanges"].as_array().unwrap().iter().find(|exchange| exchange["name"] == stream).unwrap();
        let message = &exchange["response"][0];
        let theirs = by_stream(message["channel"].as_str().unwrap(), message["data"].clone());
        let Happening::Record(mut theirs) = theirs else { panic!("{stream}") };
        let ours = record(&named(here)).clone();
        theirs.header.commit_number = ours.header.commit_number;
        theirs.header.change_origin.clone_from(&ours.header.change_origin);
        assert_eq!(ours, theirs, "{stream} and {here}");
    }
}

/// A plain value of a vector in the form that the Streaming API has.
fn streamed(slot: &Slot, value: &Json) -> Json {
    let form = match slot.meaning.as_str() {
        "DateTime" => "%Y-%m-%dT%H:%M:%S%.3fZ",
        "DateOnly" => "%Y-%m-%d",
        "TimeOnly" => "%H:%M:%S%.3fZ",
        _ => return value.clone(),
    };
    let moment = value.as_i64().map(|millis| chrono::DateTime::from_timestamp_millis(millis).unwrap());
    json!(moment.map(|moment| moment.format(form).to_string()))
}

/// Every event of the vectors, told by the Streaming API: from the plain record and the names beside it, without the payload
/// and its bitmaps.
#[test]
fn each_event_of_the_vectors_is_what_the_streaming_api_would_tell() {
    for vector in events() {
        let schema = vectors::schema(vector["schema_file"].as_str().unwrap());
        let listed = |list: &str| -> Vec<String> {
            serde_json::from_value(vector["bitmaps"][list]["names"].clone()).unwrap_or_default()
        };
        let (changed, differences) = (listed("changedFields"), listed("diffFields"));
        let mut payload = serde_json::Map::new();
        for slot in schema.slots(schema.root()) {
            let (name, value) = (&slot.name, &vector["decoded"][&slot.name]);
            if name == HEADER {
                let mut header = value.clone();
                header["changedFields"] = json!(changed);
                payload.insert(name.clone(), header);
                continue;
            }
            let told = |path: &str, value: &Json| !value.is_null() || changed.iter().any(|listed| listed == path);
            let parts = schema.compound(slot).map(|record| schema.slots(record)).unwrap_or_default();
            let parts = parts.iter().map(|part| (part, format!("{name}.{}", part.name), &value[&part.name]));
            let parts = parts.filter(|(_, path, value)| told(path, value));
            let parts: serde_json::Map<_, _> =
                parts.map(|(part, _, value)| (part.name.clone(), streamed(part, value))).collect();
            if differences.contains(name) {
                payload.insert(name.clone(), json!({"diff": value}));
            } else if !parts.is_empty() {
                payload.insert(name.clone(), Json::Object(parts));
            } else if !value.is_object() && told(name, value) {
                payload.insert(name.clone(), streamed(slot, value));
            }
        }
        let channel = if payload.contains_key(HEADER) { "/data/ChangeEvents" } else { "/event/Order_Event__e" };
        let data = json!({"payload": payload, "event": {"EventUuid": "uuid", "replayId": 1}});
        assert_eq!(decoded(&vector).happening, by_stream(channel, data), "{}", vector["name"]);
    }
}

/// Of a record with a text at 1, a compound of two texts at 2, and a text or a compound at 3.
fn small(
    change_type: &str,
    changed: &str,
    nulled: &str,
    differences: &str,
    body: &[Datum<'_>],
) -> Result<Fields, Reason> {
    let parts = json!([{"name": "A", "type": ["null", "string"]}, {"name": "B", "type": ["null", "string"]}]);
    let parts = json!({"type": "record", "name": "Parts", "fields": parts});
    let schema = json!({"type": "record", "name": "R", "fields": [
        {"name": HEADER, "type": "int"},
        {"name": "Text", "type": ["null", "string"]},
        {"name": "Compound", "type": ["null", parts]},
        {"name": "Either", "type": ["null", "string", "Parts"]}]});
    let schema = Schema::parse(&schema.to_string()).unwrap();
    let record = schema.compound(&schema.slots(schema.root())[2]).unwrap();
    let body = body.iter().map(|datum| match datum {
        Datum::List(parts) => Datum::Record(record, parts.clone()),
        other => other.clone(),
    });
    let values: Vec<Datum<'_>> = std::iter::once(Datum::Long(0)).chain(body).collect();
    let entries = Entries {
        changed: changed.split_whitespace().collect(),
        nulled: nulled.split_whitespace().collect(),
        differences: differences.split_whitespace().collect(),
    };
    fields(&schema, change_type.parse().unwrap(), &entries, &values)
}

#[test]
fn a_difference_is_no_text_wherever_it_is_listed() {
    let diff = Datum::Text("--- \n+++ 00");
    for (kind, changed) in [("UPDATE", "0x02"), ("UPDATE", ""), ("CREATE", ""), ("UNDELETE", "")] {
        let told = small(kind, changed, "", "0x02", &[diff.clone(), Datum::Null, Datum::Null]).unwrap();
        assert!(matches!(told["Text"], Field::Patch(_)), "{kind} {changed}");
        let parts = Datum::List(vec![diff.clone(), Datum::Text("b")]);
        let changed = if changed.is_empty() { "" } else { "2-0x03" };
        let told = small(kind, changed, "", "2-0x01", &[Datum::Null, parts, Datum::Null]).unwrap();
        assert_eq!(told["Compound"], Field::Diff, "{kind} {changed}");
    }
}

/// UNSURE whether nulled parts of a compound are always listed as changed too.
#[test]
fn what_is_only_listed_as_nulled_was_emptied() {
    for nulled in ["0x02 2-0x01", "2-0x01 0x02"] {
        let told = small("UPDATE", "", nulled, "", &[Datum::Null, Datum::Null, Datum::Text("c")]).unwrap();
        assert_eq!(told["Text"], Field::New(Value::Null));
        assert_eq!(told["Compound"], Field::New(json!({"A": null}).into()));
        assert_eq!(told["Either"], Field::New(Value::text("c")));
    }
}

#[test]
fn parts_that_are_listed_of_a_text_are_refused() {
    let of = |either| small("UPDATE", "3-0x01", "", "", &[Datum::Null, Datum::Null, either]);
    assert_eq!(of(Datum::Null).unwrap()["Either"], Field::New(json!({"A": null}).into()));
    let parts = Datum::List(vec![Datum::Text("a"), Datum::Text("b")]);
    assert_eq!(of(parts).unwrap()["Either"], Field::New(json!({"A": "a"}).into()));
    assert!(of(Datum::Text("whole")).is_err());
}

/// `cargo test --release --lib updates_a_second -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn how_many_updates_a_second_are_decoded() {
    let channel: Channel = "/data/AccountChangeEvent".parse().unwrap();
    let is_update = |vector: &&Json| vector["decoded"]["ChangeEventHeader"]["changeType"] == "UPDATE";
    let updates: Vec<Json> = events().iter().filter(is_update).cloned().collect();
    let updates: Vec<(Schema, Vec<u8>)> = updates
        .iter()
        .map(|vector| (vectors::schema(vector["schema_file"].as_str().unwrap()), vectors::payload(vector)))
        .collect();
    let rounds = 20_000;
    let start = tokio::time::Instant::now();
    for (schema, payload) in updates.iter().cycle().take(rounds * updates.len()) {
        std::hint::black_box(change(schema, &channel, ReplayId(vec![0; 10]), "id", payload).unwrap());
    }
    let seconds = start.elapsed().as_secs_f64();
    let bytes: usize = updates.iter().map(|(_, payload)| payload.len()).sum();
    println!(
        "updates of {} bytes on average decoded a second: {:.0}",
        bytes / updates.len(),
        (rounds * updates.len()) as f64 / seconds
    );
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
