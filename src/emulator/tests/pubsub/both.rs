//! One bus, two protocols: what each of them says of the same changes.

use std::collections::{BTreeMap, BTreeSet};

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use chrono::DateTime;
use serde_json::{Map, Value as Json, json};

use super::support::{Client, first, more};
use crate::tests::World;
use crate::tests::cometd::Bayeux;
use pubsub_api::{ConsumerEvent, ReplayPreset};

const ALL: &str = "/data/ChangeEvents";

/// A schema as a client fetches it: for Avro, and for what a client of the Streaming API would say of its fields.
struct Known {
    avro: Schema,
    /// Names in their order, with the type that the `doc` tells and the names of their parts.
    fields: Vec<(String, String, Vec<String>)>,
}

async fn known(client: &Client, id: &str) -> Known {
    let text = client.schema(id).await.unwrap().schema_json;
    let json: Json = serde_json::from_str(&text).unwrap();
    let mut records: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut fields = Vec::new();
    for field in json["fields"].as_array().unwrap() {
        let last = field["type"].as_array().and_then(|types| types.last()).cloned().unwrap_or_default();
        if let (Some(name), Some(own)) = (last["name"].as_str(), last["fields"].as_array()) {
            let parts = own.iter().map(|part| part["name"].as_str().unwrap().to_owned()).collect();
            records.insert(name.to_owned(), parts);
        }
        let record = last["name"].as_str().or(last.as_str()).unwrap_or_default();
        let doc = field["doc"].as_str().unwrap_or_default().split(':').nth(1).unwrap_or_default().to_owned();
        fields.push((
            field["name"].as_str().unwrap().to_owned(),
            doc,
            records.get(record).cloned().unwrap_or_default(),
        ));
    }
    Known { avro: Schema::parse(&json).unwrap(), fields }
}

/// The set bits, counted from the end of the text.
fn bits(hex: &str) -> BTreeSet<usize> {
    let digits: Vec<u32> = hex.strip_prefix("0x").unwrap().chars().rev().map(|c| c.to_digit(16).unwrap()).collect();
    (0..digits.len() * 4).filter(|bit| digits[bit / 4] >> (bit % 4) & 1 == 1).collect()
}

impl Known {
    /// The names behind the bitmaps of a header's field.
    fn names(&self, bitmaps: &[String]) -> BTreeSet<String> {
        let name = |bitmap: &String| match bitmap.split_once('-') {
            None => bits(bitmap).into_iter().map(|bit| self.fields[bit].0.clone()).collect::<Vec<_>>(),
            Some((position, parts)) => {
                let (name, _, own) = &self.fields[position.parse::<usize>().unwrap()];
                bits(parts).into_iter().map(|bit| format!("{name}.{}", own[bit])).collect()
            }
        };
        bitmaps.iter().flat_map(name).collect()
    }

    /// What the Streaming API has to say of this event.
    fn message(&self, payload: &[u8]) -> Json {
        let mut rest = payload;
        let value = GenericDatumReader::builder(&self.avro).build().unwrap().read_value(&mut rest).unwrap();
        assert!(rest.is_empty(), "bytes are left over");
        let Value::Record(mut fields) = value else { panic!("no record") };
        let Value::Record(header) = fields.remove(0).1 else { panic!("no header") };
        let mut header: Map<String, Json> = header.into_iter().map(|(name, value)| (name, plain(value, ""))).collect();
        let mut names = |key: &str| {
            let bitmaps: Vec<String> = serde_json::from_value(header.remove(key).unwrap()).unwrap();
            self.names(&bitmaps)
        };
        let (changed, nulled, diffed) = (names("changedFields"), names("nulledFields"), names("diffFields"));
        assert!(nulled.is_subset(&changed) && diffed.is_subset(&changed));
        let mut payload = Map::new();
        for ((name, value), (_, doc, parts)) in fields.into_iter().zip(&self.fields[1..]) {
            let value = if diffed.contains(&name) { json!({"diff": plain(value, doc)}) } else { plain(value, doc) };
            let own: BTreeSet<&str> =
                parts.iter().map(String::as_str).filter(|part| changed.contains(&format!("{name}.{part}"))).collect();
            match value {
                Json::Object(mut record) if !parts.is_empty() => {
                    record.retain(|part, value| !value.is_null() || own.contains(part.as_str()));
                    payload.insert(name, Json::Object(record));
                }
                Json::Null if !own.is_empty() => {
                    payload.insert(name, own.into_iter().map(|part| (part.to_owned(), Json::Null)).collect());
                }
                Json::Null if !changed.contains(&name) => {}
                value => drop(payload.insert(name, value)),
            }
        }
        header.insert("changedFields".into(), json!(changed));
        payload.insert("ChangeEventHeader".into(), Json::Object(header));
        Json::Object(payload)
    }
}

/// A value as JSON; moments by what the `doc` says that they are.
fn plain(value: Value, doc: &str) -> Json {
    let at = |ms: i64, form: &str| json!(DateTime::from_timestamp_millis(ms).unwrap().format(form).to_string());
    match (value, doc) {
        (Value::Union(_, inner), _) => plain(*inner, doc),
        (Value::Null, _) => Json::Null,
        (Value::String(text), _) | (Value::Enum(_, text), _) => json!(text),
        (Value::Int(n), _) => json!(n),
        (Value::Double(n), _) => json!(n),
        (Value::Boolean(truth), _) => json!(truth),
        (Value::Long(ms), "DateTime") => at(ms, "%Y-%m-%dT%H:%M:%S%.3fZ"),
        (Value::Long(ms), "DateOnly") => at(ms, "%Y-%m-%d"),
        (Value::Long(ms), "TimeOnly") => at(ms, "%H:%M:%S%.3fZ"),
        (Value::Long(n), _) => json!(n),
        (Value::Array(items), _) => items.into_iter().map(|item| plain(item, "")).collect(),
        (Value::Record(parts), _) => {
            Json::Object(parts.into_iter().map(|(name, part)| (name, plain(part, ""))).collect())
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn both_protocols_tell_the_same_of_five_thousand_changes() {
    let world = World::new().await;
    let traffic = json!({"changes": 6_000, "records": 300, "per_second": 1_000_000, "seed": 3});
    world.ok("POST", "/emulator/traffic", traffic).await;
    while world.ok("GET", "/emulator/traffic", Json::Null).await["running"] == true {
        tokio::task::yield_now().await;
    }
    world.ok("POST", "/emulator/time", json!({"advance_seconds": 60})).await; // what flows do later is done
    let count = world.events().len();
    assert!(count >= 5_000, "{count}");

    let client = Client::new(&world).await;
    let mut call = client.subscribe(first(ALL, ReplayPreset::Earliest, 100));
    let mut by_pubsub: Vec<ConsumerEvent> = Vec::new();
    while by_pubsub.len() < count {
        let response = call.next().await;
        if response.pending_num_requested == 0 {
            call.send(more(100));
        }
        assert_eq!(response.latest_replay_id, response.events.last().unwrap().replay_id);
        by_pubsub.extend(response.events);
    }
    let bayeux = Bayeux::connected(&world).await;
    let some = bayeux.subscribe(ALL, json!(-2)).await;
    let by_cometd = bayeux.events(some, count).await;
    assert_eq!((by_pubsub.len(), by_cometd.len()), (count, count));

    let mut schemas: BTreeMap<String, Known> = BTreeMap::new();
    let mut kinds = BTreeSet::new();
    for (event, message) in by_pubsub.iter().zip(&by_cometd) {
        let own = event.event.as_ref().unwrap();
        if !schemas.contains_key(&own.schema_id) {
            let schema = known(&client, &own.schema_id).await;
            schemas.insert(own.schema_id.clone(), schema);
        }
        let id = i64::from_be_bytes(event.replay_id[..8].try_into().unwrap());
        assert_eq!(message["data"]["event"]["replayId"], id);
        assert_eq!(message["data"]["schema"], json!(own.schema_id));
        let mut payload = message["data"]["payload"].clone();
        let changed: BTreeSet<String> =
            serde_json::from_value(payload["ChangeEventHeader"]["changedFields"].take()).unwrap();
        payload["ChangeEventHeader"]["changedFields"] = json!(changed);
        assert_eq!(schemas[&own.schema_id].message(&own.payload), payload);
        kinds.insert(payload["ChangeEventHeader"]["changeType"].as_str().unwrap().to_owned());
    }
    assert!(kinds.is_superset(&["CREATE", "UPDATE", "DELETE", "UNDELETE"].map(str::to_owned).into()), "{kinds:?}");
    let stats = world.ok("GET", "/emulator/stats", Json::Null).await;
    assert_eq!(stats["events_delivered"].as_u64(), Some(2 * count as u64));
}
