//! Publish and PublishStream.

use apache_avro::Schema;
use apache_avro::types::{Record, Value};
use apache_avro::writer::datum::GenericDatumWriter;
use bytes::Bytes;
use serde_json::{Value as Json, json};
use tonic::Code;

use super::support::{Client, code, first};
use crate::tests::World;
use pubsub_api::{ErrorCode, ProducerEvent, PublishRequest, ReplayPreset};

const TOPIC: &str = "/event/Order_Shipped__e";

/// Who encodes events as the topic wants them.
struct Encoder {
    id: String,
    schema: Schema,
}

impl Encoder {
    async fn new(client: &Client) -> Self {
        let id = client.topic(TOPIC).await.unwrap().schema_id;
        let schema = Schema::parse_str(&client.schema(&id).await.unwrap().schema_json).unwrap();
        Self { id, schema }
    }

    fn event(&self, mark: &str, fields: &[(&str, Value)]) -> ProducerEvent {
        let mut record = Record::new(&self.schema).unwrap();
        record.put("CreatedDate", Value::Long(1_714_156_703_517));
        record.put("CreatedById", "005000000000001AAA");
        for (name, value) in fields {
            record.put(name, Value::Union(1, Box::new(value.clone())));
        }
        let writer = GenericDatumWriter::builder(&self.schema).build().unwrap();
        let payload = writer.write_value_to_vec(record).unwrap();
        let (id, schema_id) = (mark.to_owned(), self.id.clone());
        ProducerEvent { id, schema_id, payload: payload.into(), headers: Vec::new() }
    }

    fn order(&self, number: &str) -> ProducerEvent {
        self.event(number, &[("Order_Number__c", Value::String(number.into()))])
    }
}

fn numbers(world: &World) -> Vec<Json> {
    world.events().iter().map(|event| event["payload"]["Order_Number__c"].clone()).collect()
}

#[tokio::test]
async fn what_is_published_reaches_subscribers_of_both_protocols_with_every_value() {
    let world = World::new().await;
    let client = Client::new(&world).await;
    let encoder = Encoder::new(&client).await;
    let event = encoder.event(
        "mark",
        &[
            ("Order_Number__c", Value::String("A-17".into())),
            ("Shipped__c", Value::Boolean(true)),
            ("Quantity__c", Value::Double(35.0)),
            ("Shipped_On__c", Value::Long(1_714_089_600_000)),
            ("Shipped_At__c", Value::Long(1_714_156_703_000)),
        ],
    );
    let answer = client.publish(TOPIC, vec![event]).await.unwrap();
    assert_eq!((answer.schema_id.as_str(), answer.results.len()), (encoder.id.as_str(), 1));
    let result = &answer.results[0];
    assert_eq!((result.correlation_key.as_str(), &result.error), ("mark", &None));
    let seen = &world.events()[0];
    let payload = &seen["payload"];
    assert_eq!(payload["Order_Number__c"], "A-17");
    assert_eq!(payload["Shipped__c"], true);
    assert_eq!(payload["Quantity__c"].as_f64(), Some(35.0));
    assert_eq!(payload["Shipped_On__c"], "2024-04-26");
    assert_eq!(payload["Shipped_At__c"], "2024-04-26T18:38:23.000Z");
    let events = client.subscribe(first(TOPIC, ReplayPreset::Earliest, 1)).events(1).await;
    assert_eq!(events[0].replay_id, result.replay_id);
    assert_eq!(events[0].event.as_ref().unwrap().id, seen["event"]["EventUuid"].as_str().unwrap());
}

#[tokio::test]
async fn an_event_that_is_wrong_fails_alone_and_says_why() {
    let world = World::new().await;
    let client = Client::new(&world).await;
    let encoder = Encoder::new(&client).await;
    let good = encoder.order("1");
    let longer = ProducerEvent { payload: [&*good.payload, &[0]].concat().into(), ..encoder.order("2") };
    let shorter = ProducerEvent { payload: good.payload.slice(..good.payload.len() - 1), ..encoder.order("3") };
    let foreign = ProducerEvent { schema_id: "AAAAAAAAAAAAAAAAAAAAAA".into(), ..encoder.order("4") };
    let other = client.topic("/data/AccountChangeEvent").await.unwrap().schema_id;
    let account = ProducerEvent { schema_id: other, ..encoder.order("5") };
    let incomplete = encoder.event("6", &[]);
    let big = ProducerEvent { payload: vec![0; 1 << 20].into(), ..encoder.order("7") };
    let unmarked = ProducerEvent { id: String::new(), ..encoder.order("8") };
    let events = vec![good, longer, shorter, foreign, account, incomplete, big, unmarked];
    let answer = client.publish(TOPIC, events).await.unwrap();
    let failed: Vec<bool> = answer.results.iter().map(|result| result.error.is_some()).collect();
    assert_eq!(failed, [false, true, true, true, true, true, true, false]);
    for (result, mark) in answer.results.iter().zip(["1", "2", "3", "4", "5", "6", "7"]) {
        assert_eq!(result.correlation_key, mark);
        assert_eq!(result.replay_id.is_empty(), result.error.is_some());
        if let Some(error) = &result.error {
            assert_eq!(error.code(), ErrorCode::Publish);
            assert!(!error.msg.is_empty());
        }
    }
    assert!(answer.results[5].error.as_ref().unwrap().msg.starts_with("REQUIRED_FIELD_MISSING"));
    assert_eq!(answer.results[7].correlation_key.len(), 36, "the server gives it a mark");
    assert_eq!(numbers(&world), ["1", "8"]);
}

#[tokio::test]
async fn a_request_that_is_wrong_as_a_whole_publishes_nothing() {
    let mut world = World::new().await;
    let client = Client::new(&world).await;
    let encoder = Encoder::new(&client).await;
    let order = || vec![encoder.order("1")];
    for (topic, events, suffix) in [
        ("", order(), "publish.topic.validation.empty"),
        ("/event/Nope__e", order(), "topic.not.found"),
        ("/data/AccountChangeEvent", order(), "topic.meta.permission"),
        (TOPIC, Vec::new(), "publish.event.count.invalid"),
    ] {
        assert_eq!(code(&client.publish(topic, events).await.unwrap_err()), suffix);
    }
    let large = (0..5).map(|n| ProducerEvent { payload: vec![0; 1_000_000].into(), ..encoder.order(&n.to_string()) });
    let status = client.publish(TOPIC, large.collect()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(
        status.message(),
        "upstream connect error or disconnect/reset before headers. reset reason: remote reset"
    );
    assert!(status.metadata().get("error-code").is_none(), "it comes from a proxy");
    world.log_in_as("limited").await;
    let status = Client::new(&world).await.publish(TOPIC, order()).await.unwrap_err();
    assert_eq!((status.code(), code(&status)), (Code::PermissionDenied, "topic.meta.permission"));
    assert_eq!(numbers(&world), Vec::<Json>::new());
}

#[tokio::test]
async fn what_is_beyond_the_hours_allocation_fails_and_the_next_hour_goes_on() {
    let world = World::of("limits: { hourly_published_events: 2 }").await;
    let client = Client::new(&world).await;
    let encoder = Encoder::new(&client).await;
    let orders = |from: usize| (from..from + 3).map(|n| encoder.order(&n.to_string())).collect();
    let answer = client.publish(TOPIC, orders(0)).await.unwrap();
    let error = answer.results[2].error.as_ref().unwrap();
    assert!(answer.results[1].error.is_none() && error.msg.starts_with("LIMIT_EXCEEDED"), "{}", error.msg);
    world.ok("POST", "/emulator/time", json!({"advance_seconds": 3600})).await;
    let answer = client.publish(TOPIC, orders(3)).await.unwrap();
    assert!(answer.results[0].error.is_none());
}

fn request(topic: &str, events: Vec<ProducerEvent>) -> PublishRequest {
    PublishRequest { topic_name: topic.into(), events, ..PublishRequest::default() }
}

#[tokio::test]
async fn a_publish_stream_answers_each_request_in_order_and_keeps_its_topic() {
    let world = World::new().await;
    let client = Client::new(&world).await;
    let encoder = Encoder::new(&client).await;
    let mut call = client.publisher();
    call.send(request(TOPIC, vec![encoder.order("0")]));
    for n in 1..20 {
        call.send(request("", vec![encoder.order(&n.to_string())]));
    }
    for n in 0..20 {
        assert_eq!(call.next().await.results[0].correlation_key, n.to_string());
    }
    assert_eq!(numbers(&world).len(), 20);
    call.send(request("/event/Other__e", vec![encoder.order("x")]));
    assert_eq!(code(&call.error().await), "publish.topic.mismatch");
    let mut call = client.publisher();
    call.send(request(TOPIC, vec![encoder.order("20")]));
    call.next().await;
    call.half_close();
    assert!(call.end().await.is_none());
    for (wrong, suffix) in [
        (request(TOPIC, Vec::new()), "publish.event.count.invalid"),
        (PublishRequest { auth_refresh: "x".into(), ..request(TOPIC, Vec::new()) }, "publish.auth.refresh.invalid"),
    ] {
        let mut call = client.publisher();
        call.send(wrong);
        assert_eq!(code(&call.error().await), suffix);
    }
}

#[tokio::test]
async fn a_publish_stream_is_kept_alive_and_swept_away_when_nothing_is_published() {
    let world = World::new().await;
    world.switch(json!({"pubsub_keepalive_ms": 5})).await;
    let client = Client::new(&world).await;
    let encoder = Encoder::new(&client).await;
    let mut call = client.publisher();
    call.send(request(TOPIC, vec![encoder.order("1")]));
    while !call.next().await.results.is_empty() {}
    world.switch(json!({"pubsub_publish_idle_ms": 20})).await;
    let status = loop {
        match call.end().await.expect("it ends with an error") {
            Ok(response) => assert!(response.results.is_empty()),
            Err(status) => break status,
        }
    };
    assert_eq!(code(&status), "publish.stream.sweeper.timeout");
}

#[tokio::test]
async fn payloads_of_any_bytes_are_refused_one_by_one() {
    let world = World::new().await;
    let client = Client::new(&world).await;
    let encoder = Encoder::new(&client).await;
    let mut rng = fastrand::Rng::with_seed(7);
    let payload = |rng: &mut fastrand::Rng| {
        let length = rng.usize(..200);
        (0..length).map(|_| rng.u8(..)).collect::<Bytes>()
    };
    for _ in 0..20 {
        let events = (0..50).map(|_| ProducerEvent { payload: payload(&mut rng), ..encoder.order("x") }).collect();
        assert_eq!(client.publish(TOPIC, events).await.unwrap().results.len(), 50);
    }
}

#[tokio::test]
async fn what_was_held_is_published_when_it_is_released_also_if_its_client_has_gone() {
    let world = World::new().await;
    let client = Client::new(&world).await;
    let event = Encoder::new(&client).await.order("A-1");
    world.rules(json!([{"name": "wait", "kind": "hold", "rpc": "Publish"}])).await;
    {
        let held = async {
            while world.ok("GET", "/emulator/faults", Json::Null).await["rules"][0]["struck"] != 1 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            answer = client.publish(TOPIC, vec![event]) => panic!("it was not held: {answer:?}"),
            () = held => {} // and here the client gives up
        }
    }
    assert_eq!(numbers(&world), Vec::<Json>::new());
    world.ok("POST", "/emulator/faults/wait/release", Json::Null).await;
    while numbers(&world).is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(numbers(&world), ["A-1"]);
}
