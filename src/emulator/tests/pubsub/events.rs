//! Topics, schemas, and what comes in events.

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use serde_json::{Value as Json, json};
use tonic::Code;

use super::support::{Client, code, first};
use crate::tests::World;
use pubsub_api::{ConsumerEvent, ReplayPreset};

/// The record of an event, read with the schema that it names; the branches of unions are gone.
async fn record(client: &Client, event: &ConsumerEvent) -> Vec<(String, Value)> {
    let event = event.event.as_ref().unwrap();
    let schema = client.schema(&event.schema_id).await.unwrap();
    let schema = Schema::parse_str(&schema.schema_json).unwrap();
    let mut rest = &*event.payload;
    let value = GenericDatumReader::builder(&schema).build().unwrap().read_value(&mut rest).unwrap();
    assert!(rest.is_empty(), "bytes are left over");
    match value {
        Value::Record(fields) => fields
            .into_iter()
            .map(|(name, value)| match value {
                Value::Union(_, inner) => (name, *inner),
                value => (name, value),
            })
            .collect(),
        other => panic!("{other:?}"),
    }
}

fn field<'a>(record: &'a [(String, Value)], name: &str) -> &'a Value {
    &record.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("no {name}")).1
}

fn header(record: &[(String, Value)], name: &str) -> Value {
    match field(record, "ChangeEventHeader") {
        Value::Record(fields) => field(fields, name).clone(),
        other => panic!("{other:?}"),
    }
}

fn texts(values: &[&str]) -> Value {
    Value::Array(values.iter().map(|text| Value::String((*text).into())).collect())
}

#[tokio::test]
async fn a_topic_says_what_may_be_done_with_it_and_which_schema_its_events_have() {
    let world = World::new().await;
    let client = Client::new(&world).await;
    let account = client.topic("/data/AccountChangeEvent").await.unwrap();
    assert_eq!((account.can_subscribe, account.can_publish), (true, false));
    let event = client.topic("/event/Order_Shipped__e").await.unwrap();
    assert_eq!((event.can_subscribe, event.can_publish), (true, true));
    for topic in [&account, &event] {
        let schema = client.schema(&topic.schema_id).await.unwrap();
        assert_eq!(schema.schema_id, topic.schema_id);
        let schema: Json = serde_json::from_str(&schema.schema_json).unwrap();
        assert!(topic.topic_name.ends_with(schema["name"].as_str().unwrap()));
    }
    for name in ["/data/ChangeEvents", "/data/SalesEvents__chn"] {
        let topic = client.topic(name).await.unwrap();
        assert_eq!((topic.schema_id.as_str(), topic.can_subscribe, topic.can_publish), ("", true, false));
    }
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_told_with_the_words_of_the_platform() {
    let world = World::new().await;
    let client = Client::new(&world).await;
    for name in ["/data/accountchangeevent", "data/AccountChangeEvent", "/event/Nope__e", "x"] {
        let status = client.topic(name).await.unwrap_err();
        assert_eq!((status.code(), code(&status)), (Code::NotFound, "topic.not.found"));
        let rpc_id = status.metadata().get("rpc-id").unwrap().to_str().unwrap();
        let org = &world.org().org_id;
        let text = format!(
            "The topic information for org CORE/prod/{org} and topic {name} not found. Ensure the topic name is correct and that the topic exists. rpcId: {rpc_id}"
        );
        assert_eq!(status.message(), text);
    }
    assert_eq!(code(&client.topic(" ").await.unwrap_err()), "topic.validation.empty");
    assert_eq!(code(&client.schema("").await.unwrap_err()), "schema.validation.failed");
    assert_eq!(code(&client.schema("AAAAAAAAAAAAAAAAAAAAAA").await.unwrap_err()), "schema.meta.permission");
}

#[tokio::test]
async fn who_may_not_see_all_records_gets_neither_the_topic_nor_its_events() {
    let mut world = World::new().await;
    world.log_in_as("limited").await;
    let client = Client::new(&world).await;
    let status = client.topic("/data/AccountChangeEvent").await.unwrap_err();
    assert_eq!((status.code(), code(&status)), (Code::PermissionDenied, "topic.meta.permission"));
    let status = client.subscribe(first("/data/AccountChangeEvent", ReplayPreset::Latest, 1)).error().await;
    assert_eq!((status.code(), code(&status)), (Code::PermissionDenied, "subscription.topic.cannot.subscribe"));
    let topic = client.topic("/data/ChangeEvents").await.unwrap();
    assert!(topic.can_subscribe, "it is only empty");
}

#[tokio::test]
async fn an_update_has_its_header_its_changed_fields_and_null_for_all_others() {
    let world = World::new().await;
    let body = json!({"LastName": "Rossi", "MailingCity": "Ulm"});
    let created = world.ok("POST", "sobjects/Contact", body).await;
    let id = created["id"].as_str().unwrap();
    let client = Client::new(&world).await;
    let mut call = client.subscribe(first("/data/ContactChangeEvent", ReplayPreset::Earliest, 5));
    assert_eq!(call.events(1).await.len(), 1);
    let request = world.request("PATCH", &format!("sobjects/Contact/{id}"));
    let request =
        request.header("sforce-call-options", "client=Me").json(&json!({"MailingCity": null, "Title": "Dr."}));
    assert_eq!(request.send().await.unwrap().status(), 204);
    let event = call.events(1).await.remove(0);
    let names: Vec<String> = {
        let topic = client.topic("/data/ContactChangeEvent").await.unwrap();
        let schema: Json = serde_json::from_str(&client.schema(&topic.schema_id).await.unwrap().schema_json).unwrap();
        schema["fields"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap().into()).collect()
    };
    let record = record(&client, &event).await;
    assert_eq!(record.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), names, "every field is there");
    assert_eq!(header(&record, "entityName"), Value::String("Contact".into()));
    assert_eq!(header(&record, "recordIds"), texts(&[id]));
    assert_eq!(header(&record, "changeType"), Value::Enum(1, "UPDATE".into()));
    assert_eq!(header(&record, "changeOrigin"), Value::String("com/salesforce/api/rest/66.0;client=Me".into()));
    assert_eq!(header(&record, "sequenceNumber"), Value::Int(1));
    assert_eq!(*field(&record, "Title"), Value::String("Dr.".into()));
    assert_eq!(*field(&record, "MailingAddress"), Value::Null);
    let position = |name: &str| names.iter().position(|known| known == name).unwrap();
    let (Value::Array(changed), Value::Array(nulled)) =
        (header(&record, "changedFields"), header(&record, "nulledFields"))
    else {
        panic!("no bitmaps")
    };
    // The city is the second part of an address.
    let city = Value::String(format!("{}-0x02", position("MailingAddress")));
    assert!(changed.contains(&city), "{changed:?}");
    assert_eq!(nulled, [city]);
    let Some(Value::String(top)) = changed.first() else { panic!("no top-level bitmap") };
    let bits = u128::from_str_radix(top.strip_prefix("0x").unwrap(), 16).unwrap();
    assert!(bits >> position("Title") & 1 == 1 && bits >> position("Name") & 1 == 0);
    let untouched = record.iter().filter(|(name, value)| *value != Value::Null && name != "ChangeEventHeader");
    assert_eq!(untouched.map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["Title", "LastModifiedDate"]);
}

#[tokio::test]
async fn events_of_several_objects_name_their_schemas_and_come_in_one_order() {
    let world = World::new().await;
    for n in 0..3 {
        world.ok("POST", "sobjects/Lead", json!({"LastName": format!("L{n}"), "Company": "C"})).await;
        world.ok("POST", "sobjects/Contact", json!({"LastName": format!("C{n}")})).await;
    }
    let client = Client::new(&world).await;
    let mut call = client.subscribe(first("/data/ChangeEvents", ReplayPreset::Earliest, 100));
    let mut names = Vec::new();
    let mut last = Vec::new();
    while names.len() < 6 {
        for event in call.next().await.events {
            assert!(*event.replay_id > *last);
            last = event.replay_id.to_vec();
            names.push(header(&record(&client, &event).await, "entityName"));
        }
    }
    let name = |name: &str| Value::String(name.into());
    let wanted: Vec<Value> = (0..3).flat_map(|_| [name("Lead"), name("Contact")]).collect();
    assert_eq!(names, wanted);
}
