//! Subscribe: what is asked for, what is owed, and what happens in silence.

use serde_json::{Value as Json, json};
use tonic::Code;

use super::support::{Client, code, first, more};
use crate::tests::World;
use pubsub_api::{FetchRequest, ReplayPreset};

const TOPIC: &str = "/data/AccountChangeEvent";

/// Without automation: every write makes one event.
pub const PLAIN: &str = r#"
base: empty
users:
  - { username: "integration@{org}.example.com", last_name: Integration, password: emulator1 }
objects:
  - name: Account
    prefix: "001"
    owner: user
    change_events: true
    fields:
      - { name: Name, type: string, length: 255, required: true }
      - { name: Note__c, type: textarea, length: 131072 }
"#;

async fn plain() -> World {
    World::of(PLAIN).await
}

#[tokio::test]
async fn no_more_events_come_than_were_asked_for_and_the_rest_after_asking_again() {
    let world = plain().await;
    world.accounts(130).await;
    let client = Client::new(&world).await;
    let mut call = client.subscribe(first(TOPIC, ReplayPreset::Earliest, 30));
    let response = call.next().await;
    assert_eq!((response.events.len(), response.pending_num_requested), (30, 0));
    let last = response.events.last().unwrap().replay_id.clone();
    assert_eq!(response.latest_replay_id, last);
    call.send(more(i32::MAX));
    let response = call.next().await;
    assert_eq!((response.events.len(), response.pending_num_requested), (100, 0));
    assert!(response.events[0].replay_id > last);
    call.send(more(60));
    call.send(more(60));
    world.accounts(1).await;
    let response = call.next().await;
    assert_eq!(response.events.len(), 1);
    assert!([59, 99].contains(&response.pending_num_requested), "both requests, or only the first one yet");
    world.accounts(1).await;
    assert!([98, 99].contains(&call.next().await.pending_num_requested), "never more than a hundred");
}

#[tokio::test]
async fn replay_ids_have_ten_bytes_and_a_later_call_goes_on_strictly_behind_one() {
    let world = plain().await;
    world.accounts(10).await;
    let client = Client::new(&world).await;
    let events = client.subscribe(first(TOPIC, ReplayPreset::Earliest, 10)).events(10).await;
    let ids: Vec<_> = events.iter().map(|event| event.replay_id.clone()).collect();
    assert!(ids.iter().all(|id| id.len() == 10 && id.ends_with(&[0, 0])));
    assert!(ids.is_sorted_by(|a, b| a < b));
    for id in [ids[6].clone(), ids[6].slice(..8)] {
        let request = FetchRequest { replay_id: id, ..first(TOPIC, ReplayPreset::Custom, 100) };
        let again = client.subscribe(request).next().await;
        assert_eq!(again.events, events[7..]);
        assert_eq!(again.pending_num_requested, 97);
    }
}

#[tokio::test]
async fn the_tip_is_where_a_subscription_starts_without_a_preset() {
    let world = plain().await;
    world.switch(json!({"pubsub_headers_at_once": true, "pubsub_keepalive_ms": 1})).await;
    world.accounts(3).await;
    let mut call = Client::new(&world).await.subscribe(more(5));
    assert_eq!(code(&call.error().await), "topic.validation.empty");
    let mut call = Client::new(&world).await.subscribe(FetchRequest { topic_name: TOPIC.into(), ..more(5) });
    let keepalive = call.next().await;
    assert_eq!((keepalive.events.len(), keepalive.latest_replay_id.len()), (0, 10));
    world.accounts(1).await;
    let events = call.events(1).await;
    assert!(events[0].replay_id > keepalive.latest_replay_id);
}

#[tokio::test]
async fn a_keepalive_is_ahead_of_what_the_client_does_not_get() {
    let world = World::new().await;
    world.switch(json!({"pubsub_keepalive_ms": 20})).await;
    let client = Client::new(&world).await;
    let mut call = client.subscribe(first("/data/ContactChangeEvent", ReplayPreset::Latest, 7));
    let before = call.next().await;
    assert_eq!((before.events.len(), before.pending_num_requested), (0, 7));
    world.accounts(1).await;
    loop {
        let after = call.next().await;
        assert_eq!((after.events.len(), after.pending_num_requested, after.rpc_id == before.rpc_id), (0, 7, true));
        if after.latest_replay_id > before.latest_replay_id {
            break;
        }
    }
}

#[tokio::test]
async fn the_id_of_a_keepalive_leads_back_also_where_nothing_was_published_yet() {
    let world = plain().await;
    world.switch(json!({"pubsub_keepalive_ms": 20})).await;
    let client = Client::new(&world).await;
    for preset in [ReplayPreset::Latest, ReplayPreset::Earliest] {
        let replay_id = client.subscribe(first(TOPIC, preset, 1)).next().await.latest_replay_id;
        let again = FetchRequest { replay_id, ..first(TOPIC, ReplayPreset::Custom, 1) };
        assert_eq!(client.subscribe(again).next().await.pending_num_requested, 1);
    }
}

#[tokio::test]
async fn a_subscription_that_asks_for_nothing_is_closed() {
    let world = plain().await;
    world.accounts(1).await;
    world.switch(json!({"pubsub_idle_ms": 1})).await;
    let client = Client::new(&world).await;
    let mut call = client.subscribe(first(TOPIC, ReplayPreset::Earliest, 1));
    assert_eq!(call.next().await.pending_num_requested, 0);
    assert!(call.end().await.is_none(), "it ends with OK");
    world.switch(json!({"pubsub_idle_is_error": true})).await;
    let mut call = client.subscribe(first(TOPIC, ReplayPreset::Earliest, 1));
    assert_eq!(call.next().await.pending_num_requested, 0);
    assert_eq!(code(&call.error().await), "subscription.internal.error");
}

#[tokio::test]
async fn bad_requests_end_the_call() {
    let world = plain().await;
    world.accounts(1).await;
    let client = Client::new(&world).await;
    let custom = |id: &'static [u8]| FetchRequest { replay_id: id.into(), ..first(TOPIC, ReplayPreset::Custom, 1) };
    for (request, suffix) in [
        (first(TOPIC, ReplayPreset::Latest, 0), "subscription.fetch.requested.events.invalid"),
        (first(TOPIC, ReplayPreset::Latest, -5), "subscription.fetch.requested.events.invalid"),
        (custom(b""), "subscription.fetch.replayid.validation.failed"),
        (custom(b"12345678"), "subscription.fetch.replayid.corrupted"),
        (custom(b"\0\0\0\0\0\0\0\x01\0\0"), "subscription.fetch.replayid.corrupted"),
        (custom(b"7"), "subscription.fetch.replayid.corrupted"),
    ] {
        let status = client.subscribe(request).error().await;
        assert_eq!((code(&status), status.code()), (suffix, Code::InvalidArgument));
    }
    let status = client.subscribe(first("/data/Nope", ReplayPreset::Latest, 1)).error().await;
    assert_eq!((code(&status), status.code()), ("topic.not.found", Code::NotFound));
    for (later, suffix) in [
        (first("/data/ChangeEvents", ReplayPreset::Latest, 1), "subscription.fetch.topic.mismatch"),
        (more(-1), "subscription.fetch.requested.events.invalid"),
        (more(0), "subscription.fetch.request.invalid"),
    ] {
        let mut call = client.subscribe(first(TOPIC, ReplayPreset::Earliest, 1));
        call.next().await;
        call.send(later);
        assert_eq!(code(&call.error().await), suffix);
    }
}

#[tokio::test]
async fn later_requests_may_repeat_the_topic_and_their_replay_counts_for_nothing() {
    let world = plain().await;
    world.accounts(4).await;
    let mut call = Client::new(&world).await.subscribe(first(TOPIC, ReplayPreset::Earliest, 2));
    let begun = call.next().await;
    call.send(FetchRequest { replay_id: b"nonsense".as_slice().into(), ..first(TOPIC, ReplayPreset::Custom, 2) });
    let rest = call.next().await;
    assert_eq!(rest.events.len(), 2);
    assert!(rest.events[0].replay_id > begun.latest_replay_id);
}

#[tokio::test]
async fn half_close_ends_the_subscription() {
    let world = plain().await;
    world.accounts(1).await;
    let mut call = Client::new(&world).await.subscribe(first(TOPIC, ReplayPreset::Earliest, 5));
    call.next().await;
    call.half_close();
    assert!(call.end().await.is_none());
}

#[tokio::test]
async fn a_response_has_no_more_than_three_megabytes() {
    let world = plain().await;
    for n in 0..50 {
        let record = json!({"Name": format!("a{n}"), "Note__c": "x".repeat(120_000)});
        world.ok("POST", "sobjects/Account", record).await;
    }
    let mut call = Client::new(&world).await.subscribe(first(TOPIC, ReplayPreset::Earliest, 60));
    let (mut events, mut responses) = (0, 0);
    while events < 50 {
        let response = call.next().await;
        let size: usize = response.events.iter().map(|event| event.event.as_ref().unwrap().payload.len()).sum();
        assert!(size <= 3 << 20, "{size}");
        events += response.events.len();
        responses += 1;
        assert_eq!(response.pending_num_requested, 60 - i32::try_from(events).unwrap());
        assert_eq!(response.latest_replay_id, response.events.last().unwrap().replay_id);
    }
    assert_eq!(responses, 2);
}

#[tokio::test]
async fn a_token_that_ends_ends_the_stream() {
    let world = plain().await;
    world.accounts(1).await;
    let mut call = Client::new(&world).await.subscribe(first(TOPIC, ReplayPreset::Earliest, 5));
    call.next().await;
    world.faults(json!({"expire_tokens": true})).await;
    let status = call.error().await;
    assert_eq!((code(&status), status.code()), ("service.auth.error", Code::Unauthenticated));
}

#[tokio::test]
async fn a_new_token_keeps_the_stream_when_the_old_one_ends() {
    let mut world = plain().await;
    world.switch(json!({"pubsub_keepalive_ms": 5})).await;
    world.accounts(1).await;
    let client = Client::new(&world).await;
    let mut call = client.subscribe(first(TOPIC, ReplayPreset::Earliest, 5));
    call.next().await;
    let old = world.token.clone();
    world.log_in().await;
    call.send(FetchRequest { auth_refresh: world.token.clone(), ..more(1) });
    while call.next().await.pending_num_requested != 5 {}
    world.ok("POST", &format!("/services/oauth2/revoke?token={old}"), Json::Null).await;
    world.accounts(1).await;
    assert_eq!(call.events(1).await.len(), 1);
    call.send(FetchRequest { auth_refresh: "nobody".into(), ..more(1) });
    assert_eq!(code(&call.error().await), "service.auth.refresh.invalid");
}

#[tokio::test]
async fn a_topic_that_goes_away_ends_the_stream() {
    let world = plain().await;
    world.accounts(1).await;
    let mut call = Client::new(&world).await.subscribe(first(TOPIC, ReplayPreset::Earliest, 5));
    call.next().await;
    let member = world.ok("GET", "tooling/query?q=SELECT+Id+FROM+PlatformEventChannelMember", Json::Null).await;
    let id = member["records"][0]["Id"].as_str().unwrap();
    let path = format!("tooling/sobjects/PlatformEventChannelMember/{id}");
    world.call("DELETE", &path, Json::Null).await;
    assert_eq!(code(&call.error().await), "topic.not.found");
}

#[tokio::test]
async fn the_end_of_the_emulator_ends_every_stream() {
    let world = plain().await;
    world.accounts(1).await;
    let mut call = Client::new(&world).await.subscribe(first(TOPIC, ReplayPreset::Earliest, 5));
    call.next().await;
    world.emulator.shutdown().await;
    assert_eq!(code(&call.error().await), "service.unavailable");
}
