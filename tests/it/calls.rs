//! The calls of actions, each kind against an emulated org or a listener that a test scripts.

use std::collections::BTreeMap;
use std::time::Duration;

use apache_avro::types::Value as Avro;
use orgbridge::action::call::{Called, Caller, Outcome, Shot, batch_max};
use orgbridge::config::{ActionConfig, Delivery, Does, From, KeyPlace, Method, OnRead, OrderBy, Start, Via, Webhook};
use orgbridge::event::{OrgName, Value};
use ring::hmac;
use secrecy::SecretString;
use serde_json::{Map, Value as Json, json};

use crate::bus::Bus;
use crate::hook::{Hook, Reply};
use crate::support::World;

const EVENT: &str = "Order_Shipped__e";
const TIMEOUT: Duration = Duration::from_secs(20);

fn target() -> OrgName {
    "target".parse().unwrap()
}

fn action(does: Does, key: Option<KeyPlace>, timeout: Duration) -> ActionConfig {
    ActionConfig {
        name: "orders".parse().unwrap(),
        from: From {
            org: "source".parse().unwrap(),
            channel: format!("/event/{EVENT}").parse().unwrap(),
            object: EVENT.parse().unwrap(),
            start: Start::Tip,
            poll: None,
        },
        when: None,
        fire_on: None,
        fields: Vec::new(),
        does,
        delivery: Delivery::AtLeastOnce,
        order_by: OrderBy::Channel,
        on_read: OnRead::Skip,
        idempotency: key,
        answer: None,
        timeout,
    }
}

fn caller(world: &World, does: Does, key: Option<KeyPlace>) -> Caller {
    Caller::new(&action(does, key, TIMEOUT), &world.orgs).unwrap()
}

fn flow(name: &str) -> Does {
    Does::Flow { org: target(), name: name.parse().unwrap() }
}

fn event(via: Via) -> Does {
    Does::Event { org: target(), event: EVENT.parse().unwrap(), via }
}

fn shot(key: &str, inputs: &[(&str, Value)]) -> Shot {
    let inputs = inputs.iter().map(|(name, value)| (name.parse().unwrap(), value.clone())).collect();
    Shot { idempotency_key: key.to_owned(), inputs }
}

fn number(text: &str) -> Value {
    Value::Number(text.parse().unwrap())
}

/// `Done`, `Refused(CODE)`, ...
fn shown(called: &Called) -> Vec<String> {
    called.outcomes.iter().map(|outcome| format!("{outcome:?}")).collect()
}

fn answer(called: &Called, at: usize) -> &Map<String, Json> {
    match &called.outcomes[at] {
        Outcome::Done { answer } => answer,
        other => panic!("{other:?}"),
    }
}

fn evidence(called: &Called, at: usize) -> &str {
    match &called.outcomes[at] {
        Outcome::Done { .. } => panic!("done"),
        Outcome::NotYet(why) | Outcome::Refused(why) | Outcome::Unknown(why) => &why.evidence,
    }
}

/// The inputs of all calls of flows and Apex methods that were made.
async fn made(world: &World) -> Vec<Json> {
    let calls = world.control_get(world.target(), "actions").await;
    calls.as_array().unwrap().iter().map(|call| call["inputs"].clone()).collect()
}

fn order(id: &str) -> Shot {
    shot(id, &[("orderId", Value::text(id)), ("amount", number("12.5"))])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_is_started_for_each_event_and_each_has_an_outcome_of_its_own() {
    let world = World::new().await;
    let caller = caller(&world, flow("Ship_Order"), None);
    assert_eq!((caller.batch_max(), batch_max(&flow("Ship_Order"))), (200, 200));
    let called = caller.call(&[order("801-1"), order("FAIL"), order("801-3")]).await;
    assert_eq!(shown(&called), ["Done", "Refused(FLOW_EXCEPTION)", "Done"]);
    assert_eq!((called.pause, called.alone), (None, false));
    assert_eq!(answer(&called, 0)["order"], "801-1");
    assert_eq!(answer(&called, 2)["result"], "shipped");
    assert_eq!(evidence(&called, 1), "An error occurred when executing a flow interview.");
    assert_eq!(made(&world).await[0], json!({"orderId": "801-1", "amount": 12.5}));
}

/// The facts leave open whether a call of which every input failed is a 200 or a 400.
#[tokio::test(flavor = "multi_thread")]
async fn where_every_input_failed_each_is_tried_alone_before_it_is_refused_whatever_the_status() {
    let world = World::new().await;
    let caller = caller(&world, flow("Ship_Order"), None);
    for are_400 in [true, false] {
        world.control(world.target(), "switches", json!({"failed_actions_are_400": are_400})).await;
        let called = caller.call(&[order("FAIL"), order("FAIL")]).await;
        assert_eq!(shown(&called), ["NotYet(FLOW_EXCEPTION)"; 2]);
        assert!(called.alone);
        assert_eq!(shown(&caller.call(&[order("FAIL")]).await), ["Refused(FLOW_EXCEPTION)"]);
        // What the flow does not take is nobody else's fault.
        let unknown = shot("k", &[("orderId", Value::text("x")), ("color", Value::text("red"))]);
        let missing = shot("k", &[("orderId", Value::Null)]);
        let called = caller.call(&[unknown, missing]).await;
        assert_eq!(shown(&called), ["Refused(INVALID_API_INPUT)", "Refused(REQUIRED_FIELD_MISSING)"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_that_is_not_there_halts_and_says_what_to_do() {
    let world = World::new().await;
    let called = caller(&world, flow("No_Such_Flow"), None).call(&[order("1"), order("2")]).await;
    assert_eq!(shown(&called), ["NotYet(NOT_FOUND)"; 2]);
    assert!(called.pause.is_some());
    assert!(called.remedy.unwrap().contains("no autolaunched flow No_Such_Flow"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apex_method_gets_the_idempotency_key_as_the_input_that_is_named() {
    let world = World::new().await;
    let does = Does::Apex { org: target(), name: "BridgeAction".parse().unwrap() };
    let caller = caller(&world, does, Some(KeyPlace::Input("message".parse().unwrap())));
    let called = caller.call(&[shot("key-1", &[]), shot("key-2", &[])]).await;
    assert_eq!(shown(&called), ["Done", "Done"]);
    assert_eq!(answer(&called, 1)["output"], "key-2");
    assert_eq!(made(&world).await, [json!({"message": "key-1"}), json!({"message": "key-2"})]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_a_call_is_unknown_when_its_answer_is_lost_and_known_when_it_was_refused() {
    let world = World::new().await;
    let short = action(flow("Ship_Order"), None, Duration::from_secs(2));
    let caller = Caller::new(&short, &world.orgs).unwrap();
    let path = "/services/data/v66.0/actions/custom/flow/Ship_Order";
    let strike = |rule: Json| {
        let mut rule = rule;
        (rule["path"], rule["times"]) = (json!(path), json!(1));
        json!([rule])
    };
    for (rule, outcome) in [
        (json!({"kind": "do_then_fail", "how": "cut"}), "Unknown(CONNECTION_CUT)"),
        (json!({"kind": "do_then_fail", "how": "status", "status": 500}), "Unknown(HTTP_500)"),
        (json!({"kind": "answer_late", "delay_ms": 6000}), "Unknown(TIMED_OUT)"),
    ] {
        let before = made(&world).await.len();
        world.rules(world.target(), strike(rule.clone())).await;
        let called = caller.call(&[order("1"), order("2")]).await;
        assert!(shown(&called).iter().all(|shown| shown.starts_with("Unknown(")), "{rule}: {called:?}");
        if outcome != "Unknown(HTTP_500)" {
            assert_eq!(shown(&called), [outcome; 2], "{rule}");
        }
        assert_eq!(made(&world).await.len() - before, 2, "it was done all the same");
    }
    let before = made(&world).await.len();
    let refuse = json!({"kind": "refuse", "status": 503, "code": "SERVER_UNAVAILABLE", "retry_after": 9});
    world.rules(world.target(), strike(refuse)).await;
    let called = caller.call(&[order("1")]).await;
    assert_eq!(
        (shown(&called), called.pause),
        (vec!["NotYet(SERVER_UNAVAILABLE)".to_owned()], Some(Duration::from_secs(9)))
    );
    assert_eq!(made(&world).await.len(), before);
    // A token that ran out costs nothing but a login.
    world.faults(world.target(), json!({"expire_tokens": true})).await;
    assert_eq!(shown(&caller.call(&[order("1")]).await), ["Done"]);
    // Of more than one call takes, what is left after a call that came to nothing is not even tried.
    world.rules(world.target(), strike(json!({"kind": "refuse", "status": 503}))).await;
    let many: Vec<Shot> = (0..201).map(|n| order(&n.to_string())).collect();
    let called = caller.call(&many).await;
    assert_eq!((called.outcomes.len(), shown(&called)[200].as_str()), (201, "NotYet(NOT_SENT)"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apex_class_creates_changes_and_refuses() {
    let world = World::new().await;
    let rest = |method, path: &str| Does::ApexRest { org: target(), method, path: path.to_owned() };
    let create = caller(&world, rest(Method::Post, "/accounts"), Some(KeyPlace::Header("X-Key".to_owned())));
    let named = |name| shot("k-1", &[("name", name), ("phone", Value::Null)]);
    let called = create.call(&[named(Value::text("Acme"))]).await;
    assert_eq!(shown(&called), ["Done"]);
    let id = answer(&called, 0)["id"].as_str().unwrap().to_owned();

    let change = caller(&world, rest(Method::Patch, "/accounts/{Account}"), None);
    let phone = |id: &str| shot("k-2", &[("Account", Value::text(id)), ("phone", Value::text("0123"))]);
    let called = change.call(&[phone(&id)]).await;
    assert_eq!((shown(&called), &answer(&called, 0)["phone"]), (vec!["Done".to_owned()], &json!("0123")));
    let rows = world.orgs[&target()].query("SELECT Name, Phone FROM Account").await.unwrap();
    assert_eq!((rows.len(), &rows[0]["Name"], &rows[0]["Phone"]), (1, &json!("Acme"), &json!("0123")));

    // The class catches nothing: its exception undid what it did.
    let called = create.call(&[named(Value::text("POISON"))]).await;
    assert_eq!((shown(&called), called.remedy.as_ref()), (vec!["Refused(APEX_ERROR)".to_owned()], None));
    assert!(evidence(&called, 0).starts_with("System.DmlException: Insert failed."), "{}", evidence(&called, 0));
    let called = change.call(&[phone("001000000000999AAA")]).await;
    assert_eq!(shown(&called), ["Refused(APEX_ERROR)"]);
    // An id that is none stays within its segment.
    assert_eq!(shown(&change.call(&[phone("../x")]).await), ["Refused(APEX_ERROR)"]);
    assert_eq!(shown(&change.call(&[phone("")]).await), ["Refused(NO_PATH_VALUE)"]);
    // A locked row passes by itself.
    world.control(world.target(), "locks", json!({"ids": [id], "times": 1})).await;
    assert_eq!(shown(&change.call(&[phone(&id)]).await), ["NotYet(APEX_ERROR)"]);
    assert_eq!(shown(&change.call(&[phone(&id)]).await), ["Done"]);
    let wrong = create.call(&[shot("k", &[("name", number("1"))])]).await;
    assert_eq!(shown(&wrong), ["Refused(JSON_PARSER_ERROR)"]);
    let nowhere = caller(&world, rest(Method::Put, "/nothing"), None).call(&[named(Value::Null)]).await;
    assert_eq!((shown(&nowhere), nowhere.remedy), (vec!["Refused(NOT_FOUND)".to_owned()], None));
}

fn shipped(key: &str, order: &str) -> Shot {
    shot(
        key,
        &[
            ("Order_Number__c", Value::text(order)),
            ("Shipped__c", Value::Bool(true)),
            ("Quantity__c", number("35")),
            ("Shipped_On__c", Value::text("2024-04-26")),
            ("Shipped_At__c", Value::text("2024-04-26T18:38:23.000Z")),
            ("Note__c", Value::Null),
        ],
    )
}

fn assert_is_shipped(fields: &BTreeMap<String, Avro>, order: &str) {
    assert_eq!(fields["Order_Number__c"], Avro::String(order.to_owned()));
    assert_eq!(fields["Shipped__c"], Avro::Boolean(true));
    assert_eq!(fields["Quantity__c"], Avro::Double(35.0));
    assert_eq!(fields["Shipped_On__c"], Avro::Long(1_714_089_600_000));
    assert_eq!(fields["Shipped_At__c"], Avro::Long(1_714_156_703_000));
    assert_eq!(fields["Note__c"], Avro::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_go_out_through_rest_and_each_is_answered_by_its_uuid() {
    let world = World::new().await;
    let caller = caller(&world, event(Via::Rest), Some(KeyPlace::Input("Note__c".parse().unwrap())));
    let unfit = shot("k-2", &[("Order_Number__c", Value::Null)]);
    let called = caller.call(&[shipped("k-1", "A-1"), unfit, shipped("k-3", "A-3")]).await;
    assert_eq!(shown(&called), ["Done", "Refused(REQUIRED_FIELD_MISSING)", "Done"]);
    let seen = Bus::of(&world, EVENT).await.events(2).await;
    for ((uuid, fields), (at, order, key)) in seen.iter().zip([(0, "A-1", "k-1"), (2, "A-3", "k-3")]) {
        assert_eq!(answer(&called, at)["EventUuid"], json!(uuid));
        assert_eq!(fields["Order_Number__c"], Avro::String(order.to_owned()));
        assert_eq!(fields["Note__c"], Avro::String(key.to_owned()), "the idempotency key");
    }
    // The next hour takes events again.
    world.control(world.target(), "limits", json!({"hourly_published_events": 2})).await;
    let called = caller.call(&[shipped("k-4", "A-4")]).await;
    assert_eq!(
        (shown(&called), called.pause),
        (vec!["NotYet(LIMIT_EXCEEDED)".to_owned()], Some(Duration::from_secs(60)))
    );
    let unknown = caller_of_unknown_event(&world, Via::Rest).call(&[shipped("k", "A")]).await;
    assert!(shown(&unknown)[0].starts_with("NotYet(") && unknown.remedy.is_some(), "{unknown:?}");
}

fn caller_of_unknown_event(world: &World, via: Via) -> Caller {
    caller(world, Does::Event { org: target(), event: "Nothing__e".parse().unwrap(), via }, None)
}

#[tokio::test(flavor = "multi_thread")]
async fn events_go_out_through_the_pubsub_api_with_every_value() {
    let world = World::new().await;
    let caller = caller(&world, event(Via::Pubsub), None);
    let (order, text) = (("Order_Number__c", Value::text("A-2")), Value::text("x"));
    let shots = [
        shipped("k-1", "A-1"),
        shot("k-2", &[order.clone(), ("Nothing__c", text.clone())]),
        shot("k-3", &[order, ("Quantity__c", text)]),
        shot("k-4", &[("Shipped__c", Value::Bool(true))]),
        shipped("k-5", "A-5"),
    ];
    let called = caller.call(&shots).await;
    let expected =
        ["Done", "Refused(INVALID_FIELD)", "Refused(TYPE_MISMATCH)", "Refused(REQUIRED_FIELD_MISSING)", "Done"];
    assert_eq!(shown(&called), expected);
    assert!(!answer(&called, 0)["ReplayId"].as_str().unwrap().is_empty());
    assert_eq!(evidence(&called, 1), "the event has no field Nothing__c that can be filled");
    let mut bus = Bus::of(&world, EVENT).await;
    let seen = bus.events(2).await;
    assert_is_shipped(&seen[0].1, "A-1");
    assert_is_shipped(&seen[1].1, "A-5");

    // An event that gets a field while the schema is known.
    let field = json!({"object": EVENT, "add": {"name": "Carrier__c", "type": "string", "length": 20}});
    world.control(world.target(), "fields", field).await;
    let mut with_carrier = shipped("k-6", "A-6");
    with_carrier.inputs.insert("Carrier__c".parse().unwrap(), Value::text("DHL"));
    assert_eq!(shown(&caller.call(&[with_carrier]).await), ["Done"]);
    assert_eq!(bus.events(3).await[2].1["Carrier__c"], Avro::String("DHL".to_owned()));

    // Larger than a request may be: it takes several.
    let mut large = shipped("k-7", "A-7");
    large.inputs.insert("Note__c".parse().unwrap(), Value::text("n".repeat(32_000)));
    let many: Vec<Shot> = (0..batch_max(&event(Via::Pubsub))).map(|_| large.clone()).collect();
    assert!(caller.call(&many).await.outcomes.iter().all(|outcome| matches!(outcome, Outcome::Done { .. })));

    world.control(world.target(), "limits", json!({"hourly_published_events": 3})).await;
    let called = caller.call(&[shipped("k-8", "A-8")]).await;
    assert_eq!(
        (shown(&called), called.pause),
        (vec!["NotYet(LIMIT_EXCEEDED)".to_owned()], Some(Duration::from_secs(60)))
    );
    let unknown = caller_of_unknown_event(&world, Via::Pubsub).call(&[shipped("k", "A")]).await;
    assert_eq!(shown(&unknown), ["NotYet(PUBSUB_REFUSED)"]);
    assert!(unknown.remedy.unwrap().contains("no platform event Nothing__e"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_may_be_published_when_the_pubsub_api_fails_after_it_came() {
    let world = World::new().await;
    let short = action(event(Via::Pubsub), None, Duration::from_secs(2));
    let caller = Caller::new(&short, &world.orgs).unwrap();
    let strike = |rpc: &str, rule: Json| {
        let mut rule = rule;
        (rule["rpc"], rule["times"]) = (json!(rpc), json!(1));
        json!([rule])
    };
    // Nothing is lost where only the topic was asked for.
    world.rules(world.target(), strike("GetTopic", json!({"kind": "cut"}))).await;
    let called = caller.call(&[shipped("k-0", "A-0")]).await;
    assert!(shown(&called)[0].starts_with("NotYet(") && called.pause.is_some(), "{called:?}");
    assert_eq!(shown(&caller.call(&[shipped("k-1", "A-1")]).await), ["Done"]);
    for (n, (rule, outcome)) in [
        (json!({"kind": "do_then_fail", "how": "cut"}), "Unknown(CONNECTION_CUT)"),
        (json!({"kind": "answer_late", "delay_ms": 6000}), "Unknown(TIMED_OUT)"),
        (
            json!({"kind": "refuse", "grpc_status": "INTERNAL", "error_code": "service.unavailable"}),
            "Unknown(PUBSUB_UNAVAILABLE)",
        ),
        (
            json!({"kind": "refuse", "grpc_status": "RESOURCE_EXHAUSTED", "error_code": "service.protection.triggered"}),
            "NotYet(PUBSUB_BUSY)",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        world.rules(world.target(), strike("Publish", rule)).await;
        assert_eq!(shown(&caller.call(&[shipped("k", &format!("B-{n}"))]).await), [outcome]);
    }
    world.no_faults(world.target()).await;
    world.faults(world.target(), json!({"expire_tokens": true})).await;
    assert_eq!(shown(&caller.call(&[shipped("k-2", "C")]).await), ["Done"]);
    let seen = Bus::of(&world, EVENT).await.events(4).await;
    let orders: Vec<&Avro> = seen.iter().map(|(_, fields)| &fields["Order_Number__c"]).collect();
    assert_eq!(orders, ["A-1", "B-0", "B-1", "C"].map(|order| Avro::String(order.to_owned())).each_ref());
}

fn does(hook: &Hook) -> Does {
    Does::Webhook(hook.webhook())
}

fn hook_caller(hook: &Hook, key: Option<KeyPlace>) -> Caller {
    Caller::new(&action(does(hook), key, Duration::from_millis(1_500)), &BTreeMap::new()).unwrap()
}

/// No secret of the webhook is anywhere in what is told of it.
fn assert_discreet(called: &Called) {
    let shown = format!("{called:?} {:?}", called.remedy);
    let said: Vec<&str> = (0..called.outcomes.len()).map(|at| evidence(called, at)).collect();
    assert!(!shown.contains("secret") && said.iter().all(|said| !said.contains("secret")), "{shown} {said:?}");
}

#[tokio::test]
async fn a_webhook_gets_a_signed_body_and_its_answer_is_kept() {
    let hook = Hook::start().await;
    let caller = hook_caller(&hook, None);
    assert!(!format!("{caller:?} {:?}", does(&hook)).contains("secret"));
    hook.replies(Reply::Answer("HTTP/1.1 201 X\r\ncontent-length: 10\r\n\r\n{\"ref\": 7}"));
    let called = caller
        .call(&[shot("key-1", &[("Name", Value::text("Acme")), ("Amount", number("0.10000000000000000001"))])])
        .await;
    assert_eq!((shown(&called), &answer(&called, 0)["ref"]), (vec!["Done".to_owned()], &json!(7)));
    let seen = hook.last();
    assert_eq!(seen.line, "POST /hooks/path-secret?token=query-secret HTTP/1.1\r\n");
    assert_eq!(
        (&seen.headers["content-type"][..], &seen.headers["idempotency-key"][..]),
        ("application/json", "key-1")
    );
    let expected = r#"{"fields":{"Amount":0.10000000000000000001,"Name":"Acme"},"id":"key-1","pipeline":"orders"}"#;
    assert_eq!(seen.body, expected);
    let timestamp = &seen.headers["x-orgbridge-timestamp"];
    let now = orgbridge::event::Timestamp::now().0 / 1_000;
    assert!((0..=60).contains(&(now - timestamp.parse::<i64>().unwrap())));
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"signing-secret");
    let signed = hmac::sign(&key, format!("{timestamp}.{}", seen.body).as_bytes());
    let signed: String = signed.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(seen.headers["x-orgbridge-signature"], format!("v1={signed}"));
}

#[tokio::test]
async fn the_idempotency_key_goes_to_a_webhook_where_the_config_says() {
    let hook = Hook::start().await;
    hook.replies(Reply::Answer("HTTP/1.1 204 X\r\n\r\n"));
    let called = hook_caller(&hook, Some(KeyPlace::Header("X-Event".to_owned()))).call(&[shot("key-1", &[])]).await;
    assert_eq!((shown(&called), answer(&called, 0).len()), (vec!["Done".to_owned()], 0));
    let seen = hook.last();
    assert_eq!((&seen.headers["x-event"][..], seen.headers.get("idempotency-key")), ("key-1", None));
    hook_caller(&hook, Some(KeyPlace::Input("Key".parse().unwrap()))).call(&[shot("key-2", &[])]).await;
    let seen = hook.last();
    assert_eq!(serde_json::from_str::<Json>(&seen.body).unwrap()["fields"], json!({"Key": "key-2"}));
    assert_eq!(seen.headers["idempotency-key"], "key-2");
}

#[tokio::test]
async fn what_a_webhook_answers_or_does_not_answer_has_its_meaning() {
    let hook = Hook::start().await;
    let caller = hook_caller(&hook, None);
    let elsewhere = "HTTP/1.1 307 X\r\nlocation: http://127.0.0.1:1/other-secret\r\ncontent-length: 0\r\n\r\n";
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    for (reply, outcome, pause) in [
        (
            Reply::Answer("HTTP/1.1 429 X\r\nretry-after: 17\r\ncontent-length: 0\r\n\r\n"),
            "NotYet(HTTP_429)",
            seconds(17),
        ),
        (Reply::Answer("HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n"), "NotYet(HTTP_503)", seconds(5)),
        (Reply::Answer("HTTP/1.1 409 X\r\ncontent-length: 4\r\n\r\nseen"), "Refused(HTTP_409)", None),
        (Reply::Answer("HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n"), "Unknown(HTTP_500)", None),
        (Reply::Answer("HTTP/1.1 200 X\r\ncontent-length: 9\r\n\r\n{"), "Unknown(CONNECTION_CUT)", None),
        (Reply::Cut, "Unknown(CONNECTION_CUT)", None),
        (Reply::Silence, "Unknown(TIMED_OUT)", None),
        (Reply::Answer(elsewhere), "Refused(REDIRECTED)", None),
    ] {
        hook.replies(reply);
        let called = caller.call(&[shot("key", &[])]).await;
        assert_eq!((shown(&called), called.pause), (vec![outcome.to_owned()], pause));
        assert_eq!(called.remedy.is_some(), outcome == "Refused(REDIRECTED)");
        assert_discreet(&called);
    }
    assert_eq!(hook.seen().len(), 8, "nothing was sent twice");
    hook.replies(Reply::Answer("HTTP/1.1 422 X\r\ncontent-length: 6\r\n\r\nno tax"));
    assert_eq!(evidence(&caller.call(&[shot("key", &[])]).await, 0), "no tax");
}

#[tokio::test]
async fn a_webhook_that_is_not_there_was_not_called() {
    let hook = Hook::start().await;
    let caller = hook_caller(&hook, None);
    drop(hook);
    // Its socket closes with its tasks.
    tokio::task::yield_now().await;
    let called = caller.call(&[shot("key", &[])]).await;
    assert_eq!((shown(&called), called.pause), (vec!["NotYet(UNREACHABLE)".to_owned()], Some(Duration::from_secs(5))));
    assert_discreet(&called);
}

#[test]
fn what_cannot_be_called_says_so_before_anything_is_sent() {
    let refused = |does, key| Caller::new(&action(does, key, TIMEOUT), &BTreeMap::new()).unwrap_err().to_string();
    assert_eq!(refused(flow("F"), None), "there is no org target");
    let hook = |url: &str| Does::Webhook(Webhook { url: url.parse().unwrap(), secret: SecretString::from("s") });
    assert_eq!(refused(hook("http://example.com/secret"), None), "the address of the webhook must begin with https://");
    let header = Some(KeyPlace::Header("no header".to_owned()));
    assert_eq!(refused(hook("http://localhost/x"), header), "\"no header\" is no name of a header");
}
