//! The Streaming API, message by message.

mod push;
mod states;
mod vectors;
mod websocket;

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::World;

/// A Bayeux client with its own cookies.
pub(super) struct Bayeux<'a> {
    world: &'a World,
    client: reqwest::Client,
    client_id: String,
}

impl<'a> Bayeux<'a> {
    async fn new(world: &'a World) -> Self {
        let mut bayeux = Self { world, client: super::http_client(), client_id: String::new() };
        let reply = bayeux
            .send(json!([{"channel": "/meta/handshake", "id": "1", "version": "1.0",
            "supportedConnectionTypes": ["long-polling", "websocket"], "ext": {"replay": true}}]))
            .await;
        assert_eq!(reply[0]["successful"], true);
        bayeux.client_id = reply[0]["clientId"].as_str().unwrap().to_owned();
        bayeux
    }

    /// With its first connect behind it.
    pub(super) async fn connected(world: &'a World) -> Self {
        let bayeux = Self::new(world).await;
        assert_eq!(bayeux.connect("first").await[0]["successful"], true);
        bayeux
    }

    async fn post(&self, path: &str, body: Json) -> reqwest::Response {
        let request =
            self.client.post(self.world.url(path)).header("authorization", format!("OAuth {}", self.world.token));
        request.json(&body).send().await.unwrap()
    }

    async fn send(&self, messages: Json) -> Vec<Json> {
        let answer = self.post("/cometd/62.0/", messages).await;
        assert_eq!(answer.status(), 200);
        answer.json().await.unwrap()
    }

    fn message(&self, channel: &str, id: &str) -> Json {
        json!({"channel": channel, "id": id, "clientId": self.client_id, "connectionType": "long-polling"})
    }

    async fn connect(&self, id: &str) -> Vec<Json> {
        self.send(json!([self.message("/meta/connect", id)])).await
    }

    fn subscription(&self, channel: &str, replay: Json) -> Json {
        let mut message = self.message("/meta/subscribe", "s");
        message["subscription"] = json!(channel);
        if !replay.is_null() {
            message["ext"] = json!({"replay": {channel: replay}});
        }
        message
    }

    /// Subscribes; events that came with the answer.
    pub(super) async fn subscribe(&self, channel: &str, replay: Json) -> Vec<Json> {
        let answer = self.send(json!([self.subscription(channel, replay)])).await;
        let (replies, events): (Vec<Json>, Vec<Json>) =
            answer.into_iter().partition(|m| m["channel"] == "/meta/subscribe");
        assert_eq!(replies[0]["successful"], true, "{replies:?}");
        events
    }

    /// Goes on until so many events are there.
    pub(super) async fn events(&self, mut events: Vec<Json>, count: usize) -> Vec<Json> {
        while events.len() < count {
            let answer = self.connect("c").await;
            assert!(answer.iter().all(|message| message["successful"] != json!(false)), "{answer:?}");
            events.extend(answer.into_iter().filter(|message| message.get("data").is_some()));
        }
        events
    }
}

async fn account(world: &World, name: &str) -> String {
    world.ok("POST", "sobjects/Account", json!({"Name": name})).await["id"].as_str().unwrap().to_owned()
}

fn replay_id(event: &Json) -> i64 {
    event["data"]["event"]["replayId"].as_i64().unwrap()
}

fn names(events: &[Json]) -> Vec<&str> {
    events.iter().map(|event| event["data"]["payload"]["Name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_handshake_has_no_advice_and_the_first_connect_has() {
    let world = World::new().await;
    let bayeux = Bayeux { world: &world, client: super::http_client(), client_id: String::new() };
    let hello = json!([{"channel": "/meta/handshake", "id": "abc", "version": "1.0", "supportedConnectionTypes": ["websocket"]}]);
    let answer = bayeux.post("/cometd/62.0/handshake", hello).await;
    let cookies: Vec<String> =
        answer.headers().get_all("set-cookie").iter().map(|value| value.to_str().unwrap().to_owned()).collect();
    assert!(cookies.iter().any(|cookie| cookie.starts_with("BAYEUX_BROWSER=") && cookie.contains("HttpOnly")));
    assert!(cookies.iter().any(|cookie| cookie.starts_with("sfdc-stream=!") && cookie.contains("Expires=")));
    let reply = answer.json::<Json>().await.unwrap()[0].clone();
    assert_eq!(reply["supportedConnectionTypes"], json!(["long-polling"]));
    assert_eq!((&reply["id"], &reply["ext"]["replay"], reply.get("advice")), (&json!("abc"), &json!(true), None));

    let bayeux = Bayeux::new(&world).await;
    let first = bayeux.connect("2").await;
    assert_eq!(first[0]["advice"], json!({"reconnect": "retry", "interval": 0, "timeout": 20_000}));
}

#[tokio::test]
async fn a_held_connect_is_answered_by_the_event_of_a_write() {
    let world = World::new().await;
    let bayeux = Bayeux::connected(&world).await;
    bayeux.subscribe("/data/AccountChangeEvent", json!(-1)).await;
    let request =
        world.request("POST", "composite/sobjects").header("Sforce-Call-Options", "client=Other; defaultNamespace=x");
    let body = super::collection("Account", json!([{"Name": "A"}]));
    let (events, _) = tokio::join!(bayeux.events(vec![], 1), async { request.json(&body).send().await.unwrap() });
    assert_eq!(events[0]["channel"], "/data/AccountChangeEvent");
    let header = &events[0]["data"]["payload"]["ChangeEventHeader"];
    assert_eq!(header["changeOrigin"], "com/salesforce/api/rest/66.0;client=Other");
    assert_eq!(events[0]["data"]["schema"].as_str().unwrap().len(), 22);
}

#[tokio::test]
async fn an_idle_connect_returns_without_advice_when_its_time_is_over() {
    let world = World::with(Duration::from_millis(50)).await;
    let bayeux = Bayeux::connected(&world).await;
    let reply = bayeux.connect("9").await;
    assert_eq!(
        reply,
        [json!({"channel": "/meta/connect", "id": "9", "clientId": bayeux.client_id, "successful": true})]
    );
}

#[tokio::test]
async fn replay_starts_at_the_tip_at_the_earliest_or_strictly_after_an_id() {
    let world = World::new().await;
    for name in ["a", "b", "c"] {
        account(&world, name).await;
    }
    let channel = "/data/AccountChangeEvent";
    let all = Bayeux::connected(&world).await;
    let events = all.subscribe(channel, json!(-2)).await;
    let events = all.events(events, 3).await;
    assert_eq!(names(&events), ["a", "b", "c"]);

    let after = Bayeux::connected(&world).await;
    let rest = after.subscribe(channel, json!(replay_id(&events[0]))).await;
    assert_eq!(names(&after.events(rest, 2).await), ["b", "c"]);

    let tip = Bayeux::connected(&world).await;
    assert!(tip.subscribe(channel, Json::Null).await.is_empty());
    account(&world, "d").await;
    assert_eq!(names(&tip.events(vec![], 1).await), ["d"]);
}

#[tokio::test]
async fn several_channels_share_a_session_each_under_its_own_name() {
    let world = World::new().await;
    let bayeux = Bayeux::connected(&world).await;
    for channel in ["/data/AccountChangeEvent", "/data/ContactChangeEvent", "/data/ChangeEvents"] {
        bayeux.subscribe(channel, json!(-1)).await;
    }
    account(&world, "a").await;
    world.ok("POST", "sobjects/Contact", json!({"LastName": "L"})).await;
    let mut seen: Vec<String> =
        bayeux.events(vec![], 4).await.iter().map(|event| event["channel"].as_str().unwrap().to_owned()).collect();
    seen.sort();
    assert_eq!(
        seen,
        ["/data/AccountChangeEvent", "/data/ChangeEvents", "/data/ChangeEvents", "/data/ContactChangeEvent"]
    );
}

#[tokio::test]
async fn events_also_come_with_the_answer_to_a_subscribe() {
    let world = World::new().await;
    account(&world, "a").await;
    let mut with_answer = 0;
    for _ in 0..20 {
        let bayeux = Bayeux::connected(&world).await;
        with_answer += bayeux.subscribe("/data/AccountChangeEvent", json!(-2)).await.len();
    }
    assert!((1..20).contains(&with_answer), "{with_answer}");
}

#[tokio::test]
async fn a_failed_subscribe_says_why_and_leaves_the_session_alone() {
    let world = World::new().await;
    account(&world, "a").await;
    let bayeux = Bayeux::connected(&world).await;
    let channel = "/data/AccountChangeEvent";
    let mut other_map = bayeux.subscription(channel, Json::Null);
    other_map["ext"] = json!({"replay": {}});
    let cases = [
        (bayeux.subscription("/data/VaultChangeEvent", json!(-1)), "400::The channel you requested to subscribe to doesn't exist {/data/VaultChangeEvent}".to_owned()),
        (bayeux.subscription(channel, json!(82)), "400::The replayId {82} you provided was invalid.  Please provide a valid ID, -2 to replay all events, or -1 to replay only new events.".to_owned()),
        (other_map, format!("400::The replayId for channel {{{channel}}} wasn't found using the provided replay ID map {{{{}}}}. Ensure that the channel name you provided in the replay map is valid and matches the channel name used for subscribing.")),
        (bayeux.subscription("data", json!(-1)), "400::Channel subscriptions must start with a leading '/'".to_owned()),
    ];
    for (message, error) in cases {
        let reply = bayeux.send(json!([message])).await.remove(0);
        assert_eq!((&reply["successful"], &reply["error"]), (&json!(false), &json!(error)));
        assert_eq!((&reply["id"], reply.get("advice")), (&json!("s"), None));
    }
    bayeux.subscribe(channel, json!(-1)).await;
}

#[tokio::test]
async fn replay_ids_become_invalid_with_the_retention() {
    let world = World::new().await;
    account(&world, "a").await;
    let channel = "/data/AccountChangeEvent";
    let bayeux = Bayeux::connected(&world).await;
    let events = bayeux.subscribe(channel, json!(-2)).await;
    let id = replay_id(&bayeux.events(events, 1).await[0]);
    world.faults(json!({"forget_events": true})).await;
    let reply = bayeux.send(json!([bayeux.subscription(channel, json!(id))])).await.remove(0);
    assert!(reply["error"].as_str().unwrap().starts_with("400::The replayId {"), "{reply}");
}

#[tokio::test]
async fn a_dropped_session_is_unknown_also_to_a_connect_that_waits() {
    let world = World::new().await;
    let bayeux = Bayeux::connected(&world).await;
    let drop_it = async {
        while world.org().stats()["calls"]["cometd"] != json!(3) {
            tokio::task::yield_now().await;
        }
        world.faults(json!({"drop_sessions": true})).await;
    };
    let (held, ()) = tokio::join!(bayeux.connect("3"), drop_it);
    for reply in [&held[0], &bayeux.connect("4").await[0]] {
        assert_eq!((&reply["error"], reply.get("clientId")), (&json!("403::Unknown client"), None));
        assert_eq!(reply["advice"]["reconnect"], "handshake");
    }
}

#[tokio::test]
async fn a_dead_token_ends_a_connect_that_waits_and_refuses_a_handshake() {
    let world = World::new().await;
    let bayeux = Bayeux::connected(&world).await;
    let expire = async {
        while world.org().stats()["calls"]["cometd"] != json!(3) {
            tokio::task::yield_now().await;
        }
        world.faults(json!({"expire_tokens": true})).await;
    };
    let (held, ()) = tokio::join!(bayeux.connect("3"), expire);
    assert_eq!(
        (&held[0]["error"], &held[0]["advice"]["reconnect"]),
        (&json!("401::Authentication invalid"), &json!("none"))
    );
    let reply = bayeux.send(json!([{"channel": "/meta/handshake", "id": "5", "version": "1.0"}])).await.remove(0);
    assert_eq!(reply["error"], "403::Handshake denied");
    assert_eq!(reply["ext"]["sfdc"]["failureReason"], "401::Authentication invalid");
    assert_eq!(reply["advice"]["reconnect"], "none");
}

#[tokio::test]
async fn a_session_is_of_the_user_who_made_it() {
    let mut world = World::new().await;
    let (cookies, client_id) = {
        let bayeux = Bayeux::connected(&world).await;
        (bayeux.client, bayeux.client_id)
    };
    world.log_in().await; // another token of the same user
    let bayeux = Bayeux { world: &world, client: cookies.clone(), client_id: client_id.clone() };
    bayeux.subscribe("/data/AccountChangeEvent", Json::Null).await;
    world.log_in_as("limited").await;
    let bayeux = Bayeux { world: &world, client: cookies, client_id };
    let reply = bayeux.connect("2").await.remove(0);
    assert_eq!(reply["error"], "400::Authenticated user id does not match the session's user id");
    assert_eq!(reply["advice"]["reconnect"], "handshake");
}

#[tokio::test]
async fn an_answer_with_large_events_leaves_some_for_the_next() {
    let world = World::of(super::pubsub::PLAIN).await;
    let bayeux = Bayeux::connected(&world).await;
    for n in 0..50 {
        let record = json!({"Name": format!("a{n}"), "Note__c": "x".repeat(120_000)});
        world.ok("POST", "sobjects/Account", record).await;
    }
    let mut events = bayeux.subscribe("/data/AccountChangeEvent", json!(-2)).await;
    let mut answers = usize::from(!events.is_empty());
    while events.len() < 50 {
        let answer = bayeux.connect("c").await;
        assert!(answer.iter().map(|message| message.to_string().len()).sum::<usize>() < 5 << 20);
        events.extend(answer.into_iter().filter(|message| message.get("data").is_some()));
        answers += 1;
    }
    assert_eq!(answers, 2);
    assert!(events.is_sorted_by_key(replay_id));
}

#[tokio::test]
async fn a_second_connect_ends_the_first() {
    let world = World::new().await;
    let bayeux = Bayeux::connected(&world).await;
    let second = async {
        while world.org().stats()["calls"]["cometd"] != json!(3) {
            tokio::task::yield_now().await;
        }
        bayeux.connect("second").await
    };
    let first = bayeux.connect("first");
    tokio::pin!(first, second);
    tokio::select! {
        reply = &mut first => assert_eq!((&reply[0]["id"], &reply[0]["successful"]), (&json!("first"), &json!(true))),
        _ = &mut second => panic!("the later one waits on"),
    }
}

#[tokio::test]
async fn a_connect_among_other_messages_is_never_held() {
    let world = World::new().await;
    let bayeux = Bayeux::connected(&world).await;
    let batch = json!([bayeux.message("/meta/connect", "c"), bayeux.subscription("/data/ChangeEvents", json!(-1))]);
    let replies = bayeux.send(batch).await;
    assert_eq!(replies.iter().map(|reply| &reply["id"]).collect::<Vec<_>>(), [&json!("c"), &json!("s")]);
}

#[tokio::test]
async fn disconnect_ends_the_session_and_its_connect() {
    let world = World::new().await;
    let bayeux = Bayeux::connected(&world).await;
    let leave = async {
        while world.org().stats()["calls"]["cometd"] != json!(3) {
            tokio::task::yield_now().await;
        }
        bayeux.send(json!([bayeux.message("/meta/disconnect", "d")])).await
    };
    let (held, left) = tokio::join!(bayeux.connect("3"), leave);
    assert_eq!((&left[0]["successful"], &held[0]["advice"]["reconnect"]), (&json!(true), &json!("none")));
    assert_eq!(world.org().stats()["sessions"], 0);
}

#[tokio::test]
async fn a_session_without_a_connect_for_40_seconds_is_gone() {
    let world = World::new().await;
    let bayeux = Bayeux::connected(&world).await;
    world.ok("POST", "/emulator/time", json!({"advance_seconds": 39})).await;
    assert_eq!(world.org().stats()["sessions"], 1);
    world.ok("POST", "/emulator/time", json!({"advance_seconds": 2})).await;
    assert_eq!(bayeux.connect("x").await[0]["error"], "403::Unknown client");
}

#[tokio::test]
async fn sessions_that_share_their_cookies_stay_at_one_server() {
    let world = World::new().await;
    let channel = "/data/AccountChangeEvent";
    let one = Bayeux::connected(&world).await;
    one.subscribe(channel, json!(-1)).await;
    let handshake = json!([{"channel": "/meta/handshake", "id": "1", "version": "1.0",
        "supportedConnectionTypes": ["long-polling"], "ext": {"replay": true}}]);
    let shaken = async || {
        let answer = one.post("/cometd/62.0/", handshake.clone()).await;
        let moved =
            answer.headers().get_all("set-cookie").iter().any(|value| value.as_bytes().starts_with(b"sfdc-stream"));
        let client_id = answer.json::<Json>().await.unwrap()[0]["clientId"].as_str().unwrap().to_owned();
        (Bayeux { world: &world, client: one.client.clone(), client_id }, moved)
    };
    let (other, moved) = shaken().await;
    assert!(!moved, "the cookie was good");
    other.subscribe(channel, json!(-1)).await;
    account(&world, "a").await;
    assert_eq!(names(&one.events(Vec::new(), 1).await), ["a"]);
    assert_eq!(names(&other.events(Vec::new(), 1).await), ["a"]);
    world.faults(json!({"expire_cookies": true})).await;
    let (third, moved) = shaken().await;
    assert!(moved, "the cookie led nowhere");
    third.subscribe(channel, json!(-1)).await;
    assert_eq!(one.connect("c").await[0]["error"], "403::Unknown client");
}

#[tokio::test]
async fn cookies_belong_to_the_session_unless_switched_off() {
    let world = World::new().await;
    let with = Bayeux::connected(&world).await;
    let without = Bayeux { world: &world, client: super::http_client(), client_id: with.client_id.clone() };
    let message = json!([without.subscription("/data/ChangeEvents", json!(-1))]);
    let reply = without.send(message.clone()).await.remove(0);
    let expected =
        format!("400::Client {} has established a session, but no BAYEUX_BROWSER cookie present", with.client_id);
    assert_eq!(reply["error"], json!(expected));
    world.ok("POST", "/emulator/switches", json!({"check_cookies": false})).await;
    assert_eq!(without.send(message).await[0]["successful"], true);
}

#[tokio::test]
async fn the_wrong_method_size_or_version_is_refused() {
    let world = World::new().await;
    let bayeux = Bayeux::new(&world).await;
    assert_eq!(bayeux.client.get(world.url("/cometd/62.0")).send().await.unwrap().status(), 405);
    let large = json!([{"channel": "/meta/handshake", "id": "x".repeat(33_000)}]);
    assert_eq!(bayeux.post("/cometd/62.0", large).await.status(), 413);
    for (path, text) in [("/cometd", "mandatory"), ("/cometd/36.0", "Unsupported API version")] {
        let reply: Json =
            bayeux.post(path, json!([{"channel": "/meta/handshake", "id": "1"}])).await.json().await.unwrap();
        assert!(reply[0]["error"].as_str().unwrap().contains(text), "{reply}");
    }
}

#[tokio::test]
async fn events_stay_in_order_whatever_the_bus_delays() {
    let options = super::Options { orgs: vec!["one".into()], ..super::Options::default() };
    let emulator = super::Emulator::start(options).await.unwrap();
    let mut world = World { emulator, client: super::http_client(), token: String::new() };
    world.log_in().await;
    let bayeux = Bayeux::connected(&world).await;
    bayeux.subscribe("/data/AccountChangeEvent", json!(-1)).await;
    for n in 0..30 {
        account(&world, &format!("{n:02}")).await;
    }
    assert_eq!(world.count("Account").await, 30, "reads see writes at once");
    let events = bayeux.events(vec![], 30).await;
    assert!(names(&events).is_sorted());
    assert!(events.windows(2).all(|pair| replay_id(&pair[0]) < replay_id(&pair[1])));
}

#[tokio::test]
async fn after_an_unsubscribe_no_event_comes() {
    let world = World::new().await;
    let bayeux = Bayeux::connected(&world).await;
    bayeux.subscribe("/data/AccountChangeEvent", json!(-1)).await;
    bayeux.subscribe("/data/ContactChangeEvent", json!(-1)).await;
    let mut message = bayeux.message("/meta/unsubscribe", "u");
    message["subscription"] = json!("/data/AccountChangeEvent");
    assert_eq!(bayeux.send(json!([message])).await[0]["successful"], true);
    account(&world, "a").await;
    world.ok("POST", "sobjects/Contact", json!({"LastName": "L"})).await;
    assert_eq!(bayeux.events(vec![], 1).await[0]["channel"], "/data/ContactChangeEvent");
}

#[tokio::test]
async fn the_client_name_may_be_ignored_on_collections_and_never_on_single_records() {
    let world = World::new().await;
    world.ok("POST", "/emulator/switches", json!({"client_on_collections": false})).await;
    let write = async |path: &str, body: Json| {
        let request = world.request("POST", path).header("Sforce-Call-Options", "client=Bridge");
        assert!(request.json(&body).send().await.unwrap().status().is_success());
    };
    write("composite/sobjects", super::collection("Account", json!([{"Name": "A"}]))).await;
    write("sobjects/Account", json!({"Name": "B"})).await;
    let bayeux = Bayeux::connected(&world).await;
    let events = bayeux.subscribe("/data/ChangeEvents", json!(-2)).await;
    let events = bayeux.events(events, 2).await;
    let origin = |n: usize| events[n]["data"]["payload"]["ChangeEventHeader"]["changeOrigin"].clone();
    assert_eq!(origin(0), "com/salesforce/api/rest/66.0");
    assert_eq!(origin(1), "com/salesforce/api/rest/66.0;client=Bridge");
}

#[tokio::test]
async fn a_shutdown_answers_a_connect_that_waits() {
    let world = World::with(Duration::from_secs(3_600)).await;
    let bayeux = Bayeux::connected(&world).await;
    let request = bayeux.post("/cometd/62.0", json!([bayeux.message("/meta/connect", "3")]));
    let World { emulator, .. } = &world;
    let stop = async {
        while world.org().stats()["calls"]["cometd"] != json!(3) {
            tokio::task::yield_now().await;
        }
        emulator.stop();
    };
    let (answer, ()) = tokio::join!(request, stop);
    assert_eq!(answer.json::<Json>().await.unwrap()[0]["successful"], true);
    world.emulator.shutdown().await;
}
