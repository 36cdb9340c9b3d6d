//! What a client of the Streaming API sees when something is the matter.

use super::*;

impl Bayeux<'_> {
    /// The reply to a handshake, whatever it says.
    async fn shake(world: &World) -> Json {
        let bayeux = Bayeux { world, client: crate::tests::http_client(), client_id: String::new() };
        let types = json!(["long-polling"]);
        let message =
            json!({"channel": "/meta/handshake", "id": "1", "version": "1.0", "supportedConnectionTypes": types});
        bayeux.send(json!([message])).await.remove(0)
    }
}

async fn streams(world: &World, states: Json) {
    world.ok("POST", "/emulator/streams", states).await;
}

#[tokio::test]
async fn a_silent_stream_says_nothing_not_even_when_its_hold_is_over() {
    let world = World::with(Duration::from_millis(50)).await;
    let bayeux = Bayeux::connected(&world).await;
    bayeux.subscribe("/data/AccountChangeEvent", Json::Null).await;
    streams(&world, json!({"silent": true})).await;
    account(&world, "A").await;
    let nothing = tokio::time::timeout(Duration::from_millis(500), bayeux.connect("2")).await;
    assert!(nothing.is_err(), "{nothing:?}");
    streams(&world, json!({"silent": false})).await;
    assert_eq!(names(&bayeux.events(Vec::new(), 1).await), ["A"]);
}

#[tokio::test]
async fn a_deaf_session_has_its_heartbeats_and_no_events() {
    let world = World::with(Duration::from_millis(50)).await;
    let bayeux = Bayeux::connected(&world).await;
    bayeux.subscribe("/data/AccountChangeEvent", Json::Null).await;
    streams(&world, json!({"deaf": true})).await;
    account(&world, "A").await;
    for id in ["2", "3", "4"] {
        let replies = bayeux.connect(id).await;
        assert_eq!((replies.len(), &replies[0]["successful"]), (1, &json!(true)));
    }
    streams(&world, json!({"deaf": false})).await;
    assert_eq!(names(&bayeux.events(Vec::new(), 1).await), ["A"]);
}

#[tokio::test]
async fn an_event_that_was_never_published_is_only_a_hole() {
    let world = World::new().await;
    let bayeux = Bayeux::connected(&world).await;
    bayeux.subscribe("/data/AccountChangeEvent", Json::Null).await;
    streams(&world, json!({"lose_events": 1})).await;
    account(&world, "lost").await;
    streams(&world, json!({"gap_events": 1})).await;
    account(&world, "gap").await;
    account(&world, "told").await;
    let events = bayeux.events(Vec::new(), 2).await;
    let kinds: Vec<&Json> = events.iter().map(|e| &e["data"]["payload"]["ChangeEventHeader"]["changeType"]).collect();
    assert_eq!(kinds, ["GAP_CREATE", "CREATE"]);
    assert_eq!(world.count("Account").await, 3);
    let left = world.ok("GET", "/emulator/streams", Json::Null).await;
    assert_eq!((&left["lose_events"], &left["gap_events"]), (&json!(0), &json!(0)));
}

#[tokio::test]
async fn a_corrupt_replay_id_is_refused_once_and_the_tip_never() {
    let world = World::new().await;
    account(&world, "A").await;
    let first = Bayeux::connected(&world).await;
    let mut got = first.subscribe("/data/AccountChangeEvent", json!(-2)).await;
    got = first.events(got, 1).await;
    let id = json!(replay_id(&got[0]));
    streams(&world, json!({"corrupt_replay_ids": 1})).await;
    let second = Bayeux::connected(&world).await;
    second.subscribe("/data/AccountChangeEvent", json!(-1)).await;
    let reply = second.send(json!([second.subscription("/data/AccountChangeEvent", id.clone())])).await;
    assert!(reply[0]["error"].as_str().unwrap().starts_with("400::The replayId {"), "{reply:?}");
    second.subscribe("/data/AccountChangeEvent", id).await;
}

#[tokio::test]
async fn after_a_migration_old_replay_ids_are_good_for_nothing() {
    let world = World::new().await;
    account(&world, "A").await;
    let first = Bayeux::connected(&world).await;
    let got = first.subscribe("/data/AccountChangeEvent", json!(-2)).await;
    let old = replay_id(&first.events(got, 1).await[0]);
    world.ok("POST", "/emulator/migrate", Json::Null).await;
    let gone = first.connect("2").await;
    assert_eq!(gone[0]["error"], "403::Unknown client");
    account(&world, "B").await;
    let second = Bayeux::connected(&world).await;
    let reply = second.send(json!([second.subscription("/data/AccountChangeEvent", json!(old))])).await;
    assert!(reply[0]["error"].as_str().unwrap().starts_with("400::The replayId {"), "{reply:?}");
    let got = second.subscribe("/data/AccountChangeEvent", json!(-2)).await;
    let events = second.events(got, 1).await;
    assert_eq!(names(&events), ["B"]);
    assert!(replay_id(&events[0]) < old);
}

#[tokio::test]
async fn a_busy_server_hides_its_503_behind_a_401() {
    let world = World::new().await;
    let bayeux = Bayeux::connected(&world).await;
    streams(&world, json!({"busy": 2})).await;
    let reply = bayeux.connect("2").await.remove(0);
    let reason = "503::Server is too busy.  Please try your request again later.";
    assert_eq!(
        (&reply["error"], &reply["advice"]["reconnect"]),
        (&json!("401::Authentication invalid"), &json!("none"))
    );
    assert_eq!(reply["ext"]["sfdc"]["failureReason"], reason);
    let reply = Bayeux::shake(&world).await;
    assert_eq!(
        (&reply["error"], &reply["ext"]["sfdc"]["failureReason"]),
        (&json!("403::Handshake denied"), &json!(reason))
    );
    assert_eq!(Bayeux::shake(&world).await["successful"], true);
}

#[tokio::test]
async fn handshakes_are_counted_and_refused_beyond_the_limits() {
    let world = World::new().await;
    world.ok("POST", "/emulator/limits", json!({"concurrent_clients": 2})).await;
    for _ in 0..2 {
        assert_eq!(Bayeux::shake(&world).await["successful"], true);
    }
    let reply = Bayeux::shake(&world).await;
    assert_eq!(reply["error"], "403::Organization concurrent user limit exceeded");
    // A session that nobody uses gives its place back.
    world.ok("POST", "/emulator/time", json!({"advance_seconds": 41})).await;
    assert_eq!(Bayeux::shake(&world).await["successful"], true);
    streams(&world, json!({"too_many_connections": 1})).await;
    let reply = Bayeux::shake(&world).await;
    let reason = reply["ext"]["sfdc"]["failureReason"].as_str().unwrap();
    assert!(reason.starts_with("403::To protect all customers from excessive use"), "{reply}");
}

#[tokio::test]
async fn a_spent_delivery_allocation_ends_connects_and_keeps_the_events() {
    let world = World::new().await;
    world.ok("POST", "/emulator/limits", json!({"daily_delivered_events": 2})).await;
    let bayeux = Bayeux::connected(&world).await;
    bayeux.subscribe("/data/AccountChangeEvent", Json::Null).await;
    for name in ["A", "B", "C"] {
        account(&world, name).await;
    }
    let delivered = bayeux.connect("2").await;
    assert!(delivered.len() > 2, "{delivered:?}");
    let limits = world.ok("GET", "limits", Json::Null).await;
    assert_eq!(limits["DailyDeliveredPlatformEvents"]["Remaining"], 0);
    let spent = bayeux.connect("3").await;
    assert_eq!(spent[0]["error"], "403::Organization total events daily limit exceeded");
    assert!(world.ok("GET", "/emulator/stats", Json::Null).await["events_delivered"].as_u64().unwrap() >= 2);
}

#[tokio::test]
async fn the_server_ends_a_session_with_a_message_of_its_own() {
    let world = World::new().await;
    let bayeux = Bayeux::connected(&world).await;
    let (waiting, _) = tokio::join!(bayeux.connect("2"), async {
        let open = async || world.ok("GET", "/emulator/stats", Json::Null).await["calls"]["cometd"].as_u64() >= Some(3);
        while !open().await {
            tokio::task::yield_now().await;
        }
        world.faults(json!({"disconnect": true})).await;
    });
    assert_eq!(waiting[0], json!({"channel": "/meta/disconnect"}));
    assert_eq!(
        (&waiting[1]["error"], &waiting[1]["advice"]["reconnect"]),
        (&json!("403::Unknown client"), &json!("none"))
    );
    assert_eq!(bayeux.connect("3").await[0]["advice"]["reconnect"], "handshake");
}

#[tokio::test]
async fn an_expired_sticky_cookie_leads_to_a_server_that_knows_nothing() {
    let world = World::new().await;
    let bayeux = Bayeux::connected(&world).await;
    world.faults(json!({"expire_cookies": true})).await;
    let reply = bayeux.connect("2").await;
    assert_eq!(
        (&reply[0]["error"], &reply[0]["advice"]["reconnect"]),
        (&json!("403::Unknown client"), &json!("handshake"))
    );
}

#[tokio::test]
async fn events_come_later_than_their_records_when_the_bus_is_slow() {
    let world = World::with(Duration::from_millis(50)).await;
    let bayeux = Bayeux::connected(&world).await;
    bayeux.subscribe("/data/AccountChangeEvent", Json::Null).await;
    streams(&world, json!({"bus_delay_ms": [3_600_000, 3_600_000]})).await;
    account(&world, "A").await;
    assert_eq!(world.count("Account").await, 1);
    assert_eq!(bayeux.connect("2").await.len(), 1, "only the reply");
    world.ok("POST", "/emulator/time", json!({"advance_seconds": 3_601})).await;
    let mut world = world;
    world.log_in().await;
    let later = Bayeux::connected(&world).await;
    let some = later.subscribe("/data/AccountChangeEvent", json!(-2)).await;
    assert_eq!(names(&later.events(some, 1).await), ["A"]);
}

#[tokio::test]
async fn generic_messages_do_not_use_up_the_allocation_of_events() {
    let world = World::new().await;
    world.ok("POST", "/emulator/limits", json!({"daily_delivered_events": 1})).await;
    let id = world.ok("POST", "sobjects/StreamingChannel", json!({"Name": "/u/Talk"})).await["id"].clone();
    let push = format!("sobjects/StreamingChannel/{}/push", id.as_str().unwrap());
    let bayeux = Bayeux::connected(&world).await;
    bayeux.subscribe("/u/Talk", Json::Null).await;
    world.ok("POST", &push, json!({"pushEvents": [{"payload": "1"}, {"payload": "2"}]})).await;
    assert_eq!(bayeux.events(Vec::new(), 2).await.len(), 2);
    assert_eq!(world.ok("GET", "/emulator/stats", Json::Null).await["events_delivered"], 0);
}
