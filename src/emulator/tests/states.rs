//! States of the whole org, its counters, and what a client sees of them.

use reqwest::StatusCode;
use serde_json::{Value as Json, json};

use super::World;

async fn create(world: &World, object: &str, fields: Json) -> String {
    world.ok("POST", &format!("sobjects/{object}"), fields).await["id"].as_str().unwrap().to_owned()
}

/// Reads on until somebody answers.
async fn back_again(world: &World) -> StatusCode {
    loop {
        if let Ok(answer) = world.raw("GET", "limits", Json::Null).await {
            return answer.status();
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_wrong_in_everything_that_a_client_sees() {
    let world = World::new().await;
    let right = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    let shown = world.ok("POST", "/emulator/time", json!({"skew_seconds": -300})).await;
    assert_eq!(shown["skew_seconds"], -300);
    let behind = |seconds: i64| assert!((200..=300).contains(&(right - seconds)), "{}", right - seconds);
    let id = create(&world, "Account", json!({"Name": "A"})).await;
    let answer = world.raw("GET", &format!("sobjects/Account/{id}"), Json::Null).await.unwrap();
    let date = answer.headers()["date"].to_str().unwrap().to_owned();
    behind(chrono::DateTime::parse_from_rfc2822(&date).unwrap().timestamp());
    let record: Json = answer.json().await.unwrap();
    for field in ["CreatedDate", "LastModifiedDate", "SystemModstamp"] {
        let text = record[field].as_str().unwrap();
        behind(chrono::DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.3f%z").unwrap().timestamp());
    }
    let event = world.events().pop().unwrap();
    behind(event["payload"]["ChangeEventHeader"]["commitTimestamp"].as_i64().unwrap() / 1_000);
    behind(world.org().commits(0)[0]["at_us"].as_i64().unwrap() / 1_000_000);
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", &world.org().client_id),
        ("client_secret", &world.org().client_secret),
    ];
    let token = world.client.post(world.url("/services/oauth2/token")).form(&form).send().await.unwrap();
    let token: Json = token.json().await.unwrap();
    behind(token["issued_at"].as_str().unwrap().parse::<i64>().unwrap() / 1_000);
    world.ok("POST", "/emulator/time", json!({"skew_seconds": 0, "advance_seconds": 60})).await;
    assert_eq!(world.ok("GET", "/emulator/time", Json::Null).await["skew_seconds"], 0);
    assert_eq!(world.call("POST", "/emulator/time", json!({"skew": 1})).await.0, 400);
}

#[tokio::test]
async fn limits_are_set_one_by_one_and_shown_with_what_was_used() {
    let world = World::new().await;
    let host = &world.org().host;
    host.delivered(3);
    assert!(!host.delivery_spent(), "without a limit there is no end");
    let limits = json!({"daily_delivered_events": 5, "concurrent_clients": 7, "hourly_published_events": 1});
    let shown = world.ok("POST", "/emulator/limits", limits).await;
    assert_eq!((&shown["daily_delivered_events"], &shown["delivered"]), (&json!(5), &json!(3)));
    let limits = world.ok("GET", "limits", Json::Null).await;
    assert_eq!(limits["DailyDeliveredPlatformEvents"], json!({"Max": 5, "Remaining": 2}));
    assert_eq!(limits["DurableStreamingApiConcurrentClients"], json!({"Max": 7, "Remaining": 7}));
    assert_eq!(limits["HourlyPublishedPlatformEvents"], json!({"Max": 1, "Remaining": 1}));
    host.delivered(2);
    assert!(host.delivery_spent());
    host.advance(25 * 3_600 * 1_000_000);
    assert!(!host.delivery_spent(), "a day later there is room again");
    let (status, body) = world.call("POST", "/emulator/limits", json!({"concurrent_clients": "many"})).await;
    assert_eq!(status, 400);
    assert!(body["problem"].as_str().unwrap().starts_with("concurrent_clients:"), "{body}");
    assert_eq!(world.ok("GET", "/emulator/limits", Json::Null).await["concurrent_clients"], 7);
}

#[tokio::test]
async fn an_object_is_lost_to_a_user_and_comes_back() {
    let mut world = World::new().await;
    world.log_in_as("integration").await;
    let id = create(&world, "Account", json!({"Name": "A"})).await;
    let path = format!("sobjects/Account/{id}");
    let set = async |access: &str| {
        let body = json!({"user": "integration@one.example.com", "object": "Account", "access": access});
        world.ok("POST", "/emulator/access", body).await;
    };
    set("read").await;
    assert_eq!(world.call("GET", &path, Json::Null).await.0, 200);
    assert_eq!(world.call("PATCH", &path, json!({"Name": "B"})).await.0, 403);
    create(&world, "Lead", json!({"LastName": "Roe", "Company": "Acme"})).await; // others are as before
    set("none").await;
    assert_eq!(world.call("GET", &path, Json::Null).await.0, 404);
    let (status, body) = world.call("GET", "query?q=SELECT+Id+FROM+Account", Json::Null).await;
    assert_eq!((status, &body[0]["errorCode"]), (400, &json!("INVALID_TYPE")));
    set("edit").await;
    world.ok("PATCH", &path, json!({"Name": "B"})).await;
}

#[tokio::test]
async fn change_capture_is_switched_off_and_on_for_one_object() {
    let world = World::new().await;
    let set = async |on: bool| {
        world.ok("POST", "/emulator/capture", json!({"object": "Lead", "on": on})).await;
    };
    let lead = || create(&world, "Lead", json!({"LastName": "Roe", "Company": "Acme"}));
    lead().await;
    let before = world.events().len();
    set(false).await;
    set(false).await; // as good as once
    lead().await;
    create(&world, "Task", json!({"Subject": "Call"})).await;
    assert_eq!(world.events().len(), before + 1, "of the task alone");
    set(true).await;
    set(true).await;
    lead().await;
    assert!(world.events().len() > before + 1);
    let (status, body) = world.call("POST", "/emulator/capture", json!({"object": "Acount", "on": true})).await;
    assert_eq!((status, &body["problem"]), (400, &json!("object: there is no object Acount")));
}

#[tokio::test]
async fn a_cut_ends_the_requests_that_are_under_way() {
    let world = World::new().await;
    world.rules(json!([{"name": "h", "kind": "hold", "of": "reads"}])).await;
    let other = super::http_client(); // with a connection of its own
    let steer = async |path: &str| {
        let answer = other.post(world.url(path)).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    };
    let held = world.raw("GET", "limits", Json::Null);
    tokio::pin!(held);
    let arrived = async {
        loop {
            let answer = other.get(world.url("/emulator/faults")).send().await.unwrap();
            if answer.json::<Json>().await.unwrap()["rules"][0]["struck"] == 1 {
                break;
            }
        }
    };
    tokio::select! { _ = &mut held => panic!("not held"), () = arrived => {} }
    steer("/emulator/cut").await;
    assert!(held.await.is_err());
    steer("/emulator/faults/h/release").await; // the connection that steers goes on
}

#[tokio::test]
async fn a_restart_cuts_everybody_and_keeps_records_and_tokens() {
    let world = World::new().await;
    create(&world, "Account", json!({"Name": "A"})).await;
    let handshake = json!([{"channel": "/meta/handshake", "id": "1", "version": "1.0",
        "supportedConnectionTypes": ["long-polling"]}]);
    let client_id = world.ok("POST", "/cometd/66.0", handshake).await[0]["clientId"].clone();
    let events = world.events().len();
    world.ok("POST", "/emulator/restart", json!({"down_ms": 700})).await;
    assert!(world.raw("GET", "limits", Json::Null).await.is_err(), "nobody answers while it is down");
    assert_eq!(back_again(&world).await, StatusCode::OK, "the token is as good as before");
    assert_eq!((world.count("Account").await, world.events().len()), (1, events));
    let connect =
        json!([{"channel": "/meta/connect", "id": "2", "clientId": client_id, "connectionType": "long-polling"}]);
    assert_eq!(world.ok("POST", "/cometd/66.0", connect).await[0]["error"], "403::Unknown client");
}

#[tokio::test]
async fn a_refreshed_org_has_another_id_and_knows_no_token_and_no_replay_id() {
    let mut world = World::new().await;
    create(&world, "Account", json!({"Name": "A"})).await;
    let id = world.ok("POST", "/emulator/refresh", Json::Null).await["org_id"].as_str().unwrap().to_owned();
    assert_ne!(id, world.org().org_id);
    let (status, body) = world.call("GET", "limits", Json::Null).await;
    assert_eq!((status, &body[0]["errorCode"]), (401, &json!("INVALID_SESSION_ID")));
    assert_eq!(world.events().len(), 0);
    world.log_in().await;
    assert!(world.token.starts_with(&id[..15]));
    assert_eq!(world.count("Account").await, 1, "records are copied");
    let records = world.query("SELECT Id FROM Organization").await;
    assert_eq!(records["records"][0]["Id"], json!(id));
    assert_eq!(records["totalSize"], 1);
}

#[tokio::test]
async fn a_migrated_org_knows_no_replay_id_and_keeps_its_tokens() {
    let world = World::new().await;
    create(&world, "Account", json!({"Name": "A"})).await;
    assert_ne!(world.events().len(), 0);
    world.ok("POST", "/emulator/migrate", Json::Null).await;
    assert_eq!(world.events().len(), 0);
    assert_eq!(world.count("Account").await, 1);
}

#[tokio::test]
async fn states_of_the_streams_are_set_key_by_key() {
    let world = World::new().await;
    let healthy = json!({"silent": false, "deaf": false, "bus_delay_ms": [0, 0], "lose_events": 0, "gap_events": 0,
        "corrupt_replay_ids": 0, "busy": 0, "too_many_connections": 0});
    assert_eq!(world.ok("GET", "/emulator/streams", Json::Null).await, healthy);
    world.ok("POST", "/emulator/streams", json!({"deaf": true})).await;
    let shown = world.ok("POST", "/emulator/streams", json!({"lose_events": 2})).await;
    assert_eq!((&shown["deaf"], &shown["lose_events"]), (&json!(true), &json!(2)));
    let (status, body) = world.call("POST", "/emulator/streams", json!({"lose_events": -1})).await;
    assert_eq!(status, 400);
    assert!(body["problem"].as_str().unwrap().starts_with("lose_events:"), "{body}");
}

#[tokio::test]
async fn counters_start_again_and_records_stay() {
    let world = World::new().await;
    create(&world, "Account", json!({"Name": "A"})).await;
    world.org().host.delivered(4);
    let stream = world.org().host.open_stream();
    let before = world.ok("GET", "/emulator/stats", Json::Null).await;
    assert_eq!((&before["calls"]["record_create"], &before["events_delivered"]), (&json!(1), &json!(4)));
    assert_eq!(before["streams"], json!({"cometd": 0, "pubsub": 1}));
    assert_ne!((before["events"].as_u64(), before["rows_written"].as_u64()), (Some(0), Some(0)));
    drop(stream);
    let after = world.ok("DELETE", "/emulator/stats", Json::Null).await;
    for key in ["api_calls", "events", "events_delivered", "rows_written", "duplicate_rows", "locks_refused"] {
        assert_eq!(after[key], 0, "{key}");
    }
    assert_eq!((&after["calls"], &after["streams"]["pubsub"]), (&json!({}), &json!(0)));
    assert_eq!((&after["records"], &after["commits"]), (&before["records"], &before["commits"]));
    create(&world, "Account", json!({"Name": "B"})).await;
    assert_eq!(world.org().stats()["calls"], json!({"record_create": 1}));
}
