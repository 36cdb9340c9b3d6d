//! Managed subscriptions: set up in the org, which keeps their position.

use serde_json::{Value as Json, json};
use tonic::Code;

use super::flow::PLAIN;
use super::support::{Client, code};
use crate::tests::World;
use pubsub_api::{CommitReplayRequest, ErrorCode, ManagedFetchRequest};

const OBJECT: &str = "tooling/sobjects/ManagedEventSubscription";

fn setup(default: &str, recovery: &str, state: &str) -> Json {
    json!({"FullName": "Bridge_Sub", "Metadata": {"label": "Bridge", "topicName": "/data/AccountChangeEvent",
        "defaultReplay": default, "errorRecoveryReplay": recovery, "state": state, "version": "66.0"}})
}

/// An org with a subscription: its id.
async fn org(default: &str, recovery: &str) -> (World, String) {
    let world = World::of(PLAIN).await;
    let made = world.ok("POST", OBJECT, setup(default, recovery, "RUN")).await;
    (world, made["id"].as_str().unwrap().to_owned())
}

fn by_name(count: i32) -> ManagedFetchRequest {
    ManagedFetchRequest { developer_name: "Bridge_Sub".into(), num_requested: count, ..Default::default() }
}

fn by_id(id: &str, count: i32) -> ManagedFetchRequest {
    ManagedFetchRequest { subscription_id: id.into(), num_requested: count, ..Default::default() }
}

fn more(count: i32) -> ManagedFetchRequest {
    ManagedFetchRequest { num_requested: count, ..Default::default() }
}

fn commit(mark: &str, replay_id: &[u8]) -> ManagedFetchRequest {
    let commit = CommitReplayRequest { commit_request_id: mark.into(), replay_id: replay_id.to_vec().into() };
    ManagedFetchRequest { commit_replay_id_request: Some(commit), ..Default::default() }
}

#[tokio::test]
async fn a_subscription_is_made_read_changed_and_deleted_in_setup() {
    let (world, id) = org("LATEST", "EARLIEST").await;
    assert!(id.starts_with("18x") && id.len() == 18);
    let query = "tooling/query?q=SELECT+Id,DeveloperName,Metadata+FROM+ManagedEventSubscription+WHERE+DeveloperName='Bridge_Sub'";
    let found = world.ok("GET", query, Json::Null).await;
    assert_eq!(found["records"][0]["Id"], id);
    assert_eq!(found["records"][0]["Metadata"], setup("LATEST", "EARLIEST", "RUN")["Metadata"]);
    let path = format!("{OBJECT}/{id}");
    assert_eq!(world.call("PATCH", &path, setup("EARLIEST", "LATEST", "STOP")).await.0, 204);
    assert_eq!(world.ok("GET", &path, Json::Null).await["State"], "STOP");
    let (status, _) = world.call("POST", OBJECT, setup("LATEST", "LATEST", "RUN")).await;
    assert_eq!(status, 400, "the name is taken");
    for (key, value) in [("state", "PAUSE"), ("defaultReplay", "CUSTOM"), ("topicName", "/data/Nope"), ("label", "")] {
        let mut wrong = setup("LATEST", "LATEST", "RUN");
        wrong["FullName"] = json!("Other");
        wrong["Metadata"][key] = json!(value);
        assert_eq!(world.call("POST", OBJECT, wrong).await.0, 400, "{key}");
    }
    assert_eq!(world.call("DELETE", &path, Json::Null).await.0, 204);
    assert_eq!(world.ok("GET", query, Json::Null).await["totalSize"], 0);
}

#[tokio::test]
async fn what_was_committed_is_where_the_next_client_goes_on() {
    let (world, id) = org("EARLIEST", "EARLIEST").await;
    world.accounts(10).await;
    let client = Client::new(&world).await;
    let mut call = client.managed(by_name(4));
    let begun = call.next().await;
    assert_eq!((begun.events.len(), begun.pending_num_requested, &begun.commit_response), (4, 0, &None));
    call.send(commit("c-1", &begun.latest_replay_id));
    let answer = call.next().await;
    let outcome = answer.commit_response.unwrap();
    assert_eq!((outcome.commit_request_id.as_str(), &outcome.error), ("c-1", &None));
    assert_eq!(outcome.replay_id, begun.latest_replay_id);
    assert!(outcome.process_time > 1_700_000_000_000);
    assert_eq!(answer.latest_replay_id, begun.latest_replay_id);
    call.send(more(3));
    assert_eq!(call.next().await.events.len(), 3, "delivered, and never committed");
    call.half_close();
    assert!(call.end().await.is_none());
    let again = client.managed(by_id(&id[..15], 100)).next().await;
    assert_eq!(again.events.len(), 6);
    assert!(again.events[0].replay_id > begun.latest_replay_id);
}

#[tokio::test]
async fn a_commit_that_fails_leaves_the_stream_and_the_position_alone() {
    let (world, _) = org("EARLIEST", "EARLIEST").await;
    world.accounts(6).await;
    let client = Client::new(&world).await;
    let mut call = client.managed(by_name(4));
    let events = call.next().await.events;
    let id = |n: usize| events[n].replay_id.clone();
    let mut ahead = id(3).to_vec();
    let number = u64::from_be_bytes(ahead[..8].try_into().unwrap()) + 100;
    ahead[..8].copy_from_slice(&number.to_be_bytes());
    call.send(commit("good", &id(2)));
    assert_eq!(call.next().await.commit_response.unwrap().error, None);
    for (mark, replay_id) in [
        ("none", Vec::new()),
        ("odd", b"odd".to_vec()),
        ("early", b"\0\0\0\0\0\0\0\x01\0\0".to_vec()),
        ("ahead", ahead),
        ("older", id(1).to_vec()),
    ] {
        call.send(commit(mark, &replay_id));
        let outcome = call.next().await.commit_response.unwrap();
        assert_eq!((outcome.commit_request_id.as_str(), &*outcome.replay_id), (mark, &*replay_id));
        let error = outcome.error.unwrap_or_else(|| panic!("{mark} succeeded"));
        assert_eq!(error.code(), ErrorCode::Commit);
        assert!(!error.msg.is_empty());
    }
    call.send(more(100));
    assert_eq!(call.next().await.events.len(), 2, "the stream goes on");
    drop(call);
    let mut again = client.managed(by_name(1));
    // The server may not have noticed yet that the other client is gone.
    while let Some(Err(status)) = again.end().await {
        assert_eq!(code(&status), "managed.subscription.already.active");
        again = client.managed(by_name(1));
    }
}

#[tokio::test]
async fn commits_that_come_together_may_be_answered_by_the_last() {
    let (world, _) = org("EARLIEST", "EARLIEST").await;
    world.accounts(50).await;
    let mut call = Client::new(&world).await.managed(by_name(50));
    let events = call.next().await.events;
    for (n, event) in events.iter().enumerate() {
        call.send(commit(&n.to_string(), &event.replay_id));
    }
    let mut answered = Vec::new();
    while answered.last() != Some(&49) {
        let outcome = call.next().await.commit_response.unwrap();
        assert_eq!(outcome.error, None);
        answered.push(outcome.commit_request_id.parse::<u32>().unwrap());
    }
    assert!(answered.is_sorted());
}

#[tokio::test]
async fn without_a_commit_the_default_counts_and_with_a_lost_one_the_recovery() {
    let (world, _) = org("EARLIEST", "EARLIEST").await;
    world.accounts(3).await;
    let client = Client::new(&world).await;
    let mut call = client.managed(by_name(3));
    let begun = call.next().await;
    assert_eq!(begun.events.len(), 3, "from the earliest on");
    call.send(commit("c", &begun.events[0].replay_id));
    call.next().await;
    call.half_close();
    assert!(call.end().await.is_none());
    world.faults(json!({"forget_events": true})).await;
    world.accounts(2).await;
    assert_eq!(client.managed(by_name(9)).next().await.events.len(), 2, "what is there from the earliest on");
}

#[tokio::test]
async fn one_client_at_a_time_has_a_subscription() {
    let (world, id) = org("EARLIEST", "EARLIEST").await;
    world.accounts(1).await;
    let client = Client::new(&world).await;
    let mut call = client.managed(by_name(5));
    call.next().await;
    assert_eq!(code(&client.managed(by_id(&id, 5)).error().await), "managed.subscription.already.active");
    call.half_close();
    assert!(call.end().await.is_none());
    assert_eq!(client.managed(by_id(&id, 5)).next().await.events.len(), 1);
}

#[tokio::test]
async fn a_subscription_that_is_stopped_or_deleted_ends_its_stream() {
    let (world, id) = org("EARLIEST", "EARLIEST").await;
    world.accounts(1).await;
    let client = Client::new(&world).await;
    let path = format!("{OBJECT}/{id}");
    let mut call = client.managed(by_name(5));
    call.next().await;
    world.call("PATCH", &path, setup("EARLIEST", "EARLIEST", "STOP")).await;
    assert_eq!(code(&call.error().await), "managed.subscription.config.stopped");
    assert_eq!(code(&client.managed(by_name(5)).error().await), "managed.subscription.config.stopped");
    world.call("PATCH", &path, setup("EARLIEST", "EARLIEST", "RUN")).await;
    let mut call = client.managed(by_name(5));
    call.next().await;
    world.call("DELETE", &path, Json::Null).await;
    assert_eq!(code(&call.error().await), "managed.subscription.config.deleted");
    assert_eq!(code(&client.managed(by_name(5)).error().await), "managed.subscription.developer.name.not.found");
}

#[tokio::test]
async fn bad_requests_end_the_call() {
    let (world, id) = org("EARLIEST", "EARLIEST").await;
    world.accounts(1).await;
    let client = Client::new(&world).await;
    for (request, suffix) in [
        (more(1), "id.or.developer.name.empty"),
        (ManagedFetchRequest { subscription_id: id.clone(), ..by_name(1) }, "id.or.developer.name.empty"),
        (by_id("18x", 1), "subscription.id.invalid"),
        (by_id("18x000000000000AAA", 1), "subscription.id.not.found"),
        (ManagedFetchRequest { developer_name: "Nope".into(), ..more(1) }, "developer.name.not.found"),
        (by_name(0), "fetch.request.invalid"),
        (by_name(-1), "fetch.request.events.invalid"),
        (ManagedFetchRequest { auth_refresh: "x".into(), ..by_name(1) }, "fetch.request.auth.request.restricted"),
        (
            ManagedFetchRequest { developer_name: "Bridge_Sub".into(), ..commit("c", b"12345678") },
            "fetch.request.commit.request.restricted",
        ),
    ] {
        let status = client.managed(request).error().await;
        assert_eq!(code(&status), format!("managed.subscription.{suffix}"));
        assert_ne!(status.code(), Code::Unknown);
    }
    let mut call = client.managed(by_name(1));
    call.next().await;
    call.send(more(0));
    assert_eq!(code(&call.error().await), "managed.subscription.fetch.request.invalid");
}
