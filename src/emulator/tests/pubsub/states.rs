//! What a client of the Pub/Sub API sees when something is the matter.

use serde_json::{Value as Json, json};
use tonic::Code;

use super::flow::PLAIN;
use super::support::{Client, code, first, more};
use crate::tests::World;
use pubsub_api::{FetchRequest, ReplayPreset};

const TOPIC: &str = "/data/AccountChangeEvent";

async fn streams(world: &World, states: Json) {
    world.ok("POST", "/emulator/streams", states).await;
}

/// Until so many streams are open: from then on nothing is missed.
async fn listening(world: &World, count: u64) {
    while world.ok("GET", "/emulator/stats", Json::Null).await["streams"]["pubsub"] != count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_silent_stream_has_no_events_no_keepalives_and_no_end() {
    let world = World::of(PLAIN).await;
    world.switch(json!({"pubsub_keepalive_ms": 20})).await;
    let client = Client::new(&world).await;
    let mut call = client.subscribe(first(TOPIC, ReplayPreset::Latest, 10));
    listening(&world, 1).await;
    assert!(call.next().await.events.is_empty(), "a keepalive, while it lives");
    streams(&world, json!({"silent": true})).await;
    world.accounts(2).await;
    // A keepalive or two may have been under way.
    let mut heard = 0;
    while let Ok(response) = tokio::time::timeout(std::time::Duration::from_millis(300), call.next()).await {
        assert!(response.events.is_empty());
        heard += 1;
        assert!(heard < 5, "it is not silent");
    }
    streams(&world, json!({"silent": false})).await;
    assert_eq!(call.events(2).await.len(), 2);
}

#[tokio::test]
async fn a_deaf_stream_has_keepalives_and_no_events() {
    let world = World::of(PLAIN).await;
    world.switch(json!({"pubsub_keepalive_ms": 20})).await;
    let client = Client::new(&world).await;
    let mut call = client.subscribe(first(TOPIC, ReplayPreset::Latest, 10));
    listening(&world, 1).await;
    streams(&world, json!({"deaf": true})).await;
    world.accounts(2).await;
    for _ in 0..5 {
        assert!(call.next().await.events.is_empty());
    }
    streams(&world, json!({"deaf": false})).await;
    assert_eq!(call.events(2).await.len(), 2);
}

#[tokio::test]
async fn a_replay_id_may_be_corrupt_once() {
    let world = World::of(PLAIN).await;
    world.accounts(3).await;
    let client = Client::new(&world).await;
    let events = client.subscribe(first(TOPIC, ReplayPreset::Earliest, 3)).events(3).await;
    let from = FetchRequest { replay_id: events[0].replay_id.clone(), ..first(TOPIC, ReplayPreset::Custom, 10) };
    streams(&world, json!({"corrupt_replay_ids": 1})).await;
    let status = client.subscribe(from.clone()).error().await;
    assert_eq!((status.code(), code(&status)), (Code::InvalidArgument, "subscription.fetch.replayid.corrupted"));
    assert_eq!(client.subscribe(from).events(2).await, events[1..]);
}

#[tokio::test]
async fn limits_of_deliveries_and_clients_end_or_refuse_streams() {
    let world = World::of(PLAIN).await;
    world.accounts(5).await;
    world.ok("POST", "/emulator/limits", json!({"daily_delivered_events": 3, "concurrent_clients": 1})).await;
    let client = Client::new(&world).await;
    let mut call = client.subscribe(first(TOPIC, ReplayPreset::Earliest, 3));
    assert_eq!(call.events(3).await.len(), 3);
    let status = client.subscribe(first(TOPIC, ReplayPreset::Earliest, 3)).error().await;
    assert_eq!(code(&status), "concurrent.client.limit.exceeded");
    assert_eq!(world.ok("GET", "/emulator/stats", Json::Null).await["streams"]["pubsub"], 1);
    call.send(more(2));
    let status = call.error().await;
    assert_eq!(code(&status), "subscription.limit.exceeded");
    assert!(status.message().starts_with("You have exceeded the event delivery limit for your org."));
    // The next day goes on behind what was read.
    world.ok("POST", "/emulator/time", json!({"advance_seconds": 25 * 3600})).await;
    let mut world = world;
    world.log_in().await;
    let client = Client::new(&world).await;
    assert_eq!(client.subscribe(first(TOPIC, ReplayPreset::Earliest, 3)).events(3).await.len(), 3);
}

#[tokio::test]
async fn rules_strike_calls_by_their_name() {
    let world = World::of(PLAIN).await;
    let client = Client::new(&world).await;
    world.rules(json!([{"kind": "refuse", "rpc": "GetTopic", "times": 1}])).await;
    let status = client.topic(TOPIC).await.unwrap_err();
    assert_eq!((status.code(), code(&status)), (Code::Internal, "service.unavailable"));
    let schema = client.topic(TOPIC).await.unwrap().schema_id;
    world.rules(json!([{"kind": "refuse", "rpc": "GetSchema", "status": 401, "times": 1}])).await;
    let mut call = client.subscribe(first(TOPIC, ReplayPreset::Latest, 10));
    listening(&world, 1).await;
    let status = client.schema(&schema).await.unwrap_err();
    assert_eq!((status.code(), code(&status)), (Code::Unauthenticated, "service.auth.error"));
    world.accounts(1).await;
    assert_eq!(call.events(1).await.len(), 1, "the stream goes on");
    let rule = json!({"kind": "refuse", "rpc": "Subscribe", "grpc_status": "UNAVAILABLE", "error_code": null});
    world.rules(json!([rule])).await;
    let status = client.subscribe(first(TOPIC, ReplayPreset::Latest, 1)).error().await;
    assert_eq!((status.code(), status.metadata().get("error-code")), (Code::Unavailable, None));
}

#[tokio::test]
async fn a_cut_line_takes_every_call_along_and_the_client_may_come_back() {
    let world = World::of(PLAIN).await;
    let client = Client::new(&world).await;
    let mut call = client.subscribe(first(TOPIC, ReplayPreset::Latest, 10));
    listening(&world, 1).await;
    world.accounts(1).await;
    call.events(1).await;
    world.rules(json!([{"kind": "cut", "rpc": "GetTopic", "times": 1}])).await;
    assert!(client.topic(TOPIC).await.is_err());
    let status = call.error().await;
    assert_eq!(status.metadata().get("error-code"), None, "nobody says why: {status:?}");
    assert!(client.topic(TOPIC).await.is_ok(), "by a new connection");
    let mut call = client.subscribe(first(TOPIC, ReplayPreset::Latest, 10));
    listening(&world, 1).await;
    world.accounts(1).await;
    call.events(1).await;
    world.ok("POST", "/emulator/restart", json!({"down_ms": 0})).await;
    assert_eq!(call.error().await.metadata().get("error-code"), None);
    assert!(client.topic(TOPIC).await.is_ok());
}

#[tokio::test]
async fn after_a_migration_or_a_refresh_nothing_of_before_is_good() {
    let world = World::of(PLAIN).await;
    world.accounts(2).await;
    let client = Client::new(&world).await;
    let events = client.subscribe(first(TOPIC, ReplayPreset::Earliest, 2)).events(2).await;
    let from = FetchRequest { replay_id: events[1].replay_id.clone(), ..first(TOPIC, ReplayPreset::Custom, 10) };
    let mut open = client.subscribe(from.clone());
    listening(&world, 1).await;
    world.ok("POST", "/emulator/migrate", Json::Null).await;
    assert_eq!(code(&open.error().await), "service.unavailable");
    let status = client.subscribe(from).error().await;
    assert_eq!(code(&status), "subscription.fetch.replayid.corrupted");
    world.ok("POST", "/emulator/refresh", Json::Null).await;
    let status = client.topic(TOPIC).await.unwrap_err();
    assert_eq!(code(&status), "service.auth.error");
}

#[tokio::test]
async fn a_field_that_comes_gives_later_events_of_the_same_stream_another_schema() {
    let world = World::of(PLAIN).await;
    let client = Client::new(&world).await;
    let mut call = client.subscribe(first(TOPIC, ReplayPreset::Latest, 10));
    listening(&world, 1).await;
    world.accounts(1).await;
    let before = call.events(1).await.remove(0).event.unwrap();
    let field = json!({"object": "Account", "add": {"name": "Badge__c", "type": "string", "length": 20}});
    world.ok("POST", "/emulator/fields", field).await;
    world.ok("POST", "sobjects/Account", json!({"Name": "B", "Badge__c": "x"})).await;
    let after = call.events(1).await.remove(0).event.unwrap();
    assert_ne!(before.schema_id, after.schema_id);
    let schemas = [client.schema(&before.schema_id).await.unwrap(), client.schema(&after.schema_id).await.unwrap()];
    assert_eq!(schemas.map(|schema| schema.schema_json.contains("Badge__c")), [false, true]);
}
