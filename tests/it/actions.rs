//! Actions through the whole bridge: done once for each event, whatever happens to their answers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use orgbridge::bridge::Command;
use orgbridge::config::{self, Config, Does};
use orgbridge::event::OrgName;
use orgbridge::store::{FailedAction, Sqlite, Store, WhichActions};
use serde_json::{Value as Json, json};

use crate::actions_orgs::{self, EVENT, ORGS, made, of, until_done};
use crate::desk::Desk;
use crate::hook::{Hook, Reply};
use crate::state::{State, until};
use crate::support::World;

const SHIPPED: &str = "from: { org: source, channel: /event/Order_Shipped__e }";
const OK: &str = "HTTP/1.1 200 X\r\ncontent-length: 2\r\n\r\n{}";

/// Each a name and its other keys.
fn listed(actions: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, keys) in actions {
        text.push_str(&format!("  - name: {name}\n"));
        keys.lines().for_each(|line| text.push_str(&format!("    {line}\n")));
    }
    text
}

/// A bridge that does nothing else, and is live.
async fn world(actions: &[(&str, &str)], differently: impl FnOnce(&mut Config)) -> World {
    actions_orgs::world(&listed(actions), differently).await
}

/// The webhook that `HOOK` stands for.
fn hooked(hook: &Hook) -> impl FnOnce(&mut Config) {
    let webhook = hook.webhook();
    move |config| {
        for action in &mut config.actions {
            if let Does::Webhook(own) = &mut action.does {
                *own = webhook.clone();
            }
        }
    }
}

const HOOK: &str = "webhook: { url: 'https://hook.example', secret: 0123456789abcdef }";

async fn publish(world: &World, orders: &[&str]) {
    let event = |order: &&str| json!({"Order_Number__c": order, "Shipped__c": true});
    world.create(EVENT, orders.iter().map(event).collect()).await;
}

/// Of a bridge that was stopped.
async fn failed(state: &Path) -> Vec<FailedAction> {
    Sqlite::open(state).unwrap().failed_actions(&WhichActions::default(), None, 1_000).await.unwrap()
}

fn bodies(hook: &Hook) -> Vec<Json> {
    hook.seen().iter().map(|seen| serde_json::from_str(&seen.body).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_is_done_once_for_each_event_that_matches() {
    let hook = Hook::start().await;
    hook.replies(Reply::Answer(OK));
    let keys = |action: &str, fields: &str| {
        format!("{SHIPPED}\nwhen: Order_Number__c != \"no\"\naction: {{ {action} }}\nfields: {{ {fields} }}")
    };
    let flow = keys("org: target, flow: Ship_Order, delivery: at_most_once", "orderId: Order_Number__c");
    let apex = keys("org: target, apex: BridgeAction, idempotency_key: message, delivery: at_least_once", "");
    let rest = "org: target, apex_rest: { method: POST, path: /accounts }, delivery: at_most_once";
    let rest = keys(rest, "name: Order_Number__c");
    let event = |via: &str| {
        let action =
            format!("org: target, event: {EVENT}, via: {via}, idempotency_key: Note__c, delivery: at_least_once");
        keys(&action, "Order_Number__c: Order_Number__c")
    };
    let webhook = keys(&format!("{HOOK}, delivery: at_least_once"), "order: Order_Number__c");
    let (by_rest, by_pubsub) = (event("rest"), event("pubsub"));
    let actions = [
        ("flow", flow.as_str()),
        ("apex", apex.as_str()),
        ("apex-rest", rest.as_str()),
        ("event-by-rest", by_rest.as_str()),
        ("event-by-pubsub", by_pubsub.as_str()),
        ("hook", webhook.as_str()),
    ];
    let hooks = hooked(&hook);
    let mut world = world(&actions, |config| {
        hooks(config);
        let target = config.orgs.get_mut(&"target".parse::<OrgName>().unwrap()).unwrap();
        target.journal = vec![format!("/event/{EVENT}").parse().unwrap()];
    })
    .await;
    publish(&world, &["A-1", "no", "A-2", "A-3"]).await;
    for (name, _) in actions {
        until_done(&mut world, name, 3, 0).await;
    }
    let orders = ["A-1", "A-2", "A-3"];
    let made = made(&world).await;
    let shipped: Vec<&str> = made.iter().filter_map(|inputs| inputs["orderId"].as_str()).collect();
    assert_eq!(shipped, orders);
    let keys: BTreeSet<&str> = made.iter().filter_map(|inputs| inputs["message"].as_str()).collect();
    assert_eq!((keys.len(), made.len()), (3, 6), "a key for each, and nothing twice: {made:?}");
    let target = &world.orgs[&"target".parse::<OrgName>().unwrap()];
    let rows = target.query("SELECT Name FROM Account ORDER BY Name").await.unwrap();
    assert_eq!(rows.iter().map(|row| row["Name"].as_str().unwrap()).collect::<Vec<_>>(), orders);
    let got: Vec<Json> = bodies(&hook).into_iter().map(|body| body["fields"]["order"].clone()).collect();
    assert_eq!(got, orders);
    let ids: BTreeSet<String> = bodies(&hook).iter().map(|body| body["id"].to_string()).collect();
    assert_eq!(ids.len(), 3);
    world
        .until("six events in the target", |status| {
            let of_target = status.subscriptions.iter().filter(|((org, _), _)| org.as_str() == "target");
            of_target.map(|(_, one)| one.journaled).sum::<u64>() == 6
        })
        .await;
    world.stop().await;
}

const FLOW: &str = "from: { org: source, channel: /event/Order_Shipped__e }
action: { org: target, flow: Ship_Order, delivery: at_most_once }
fields: { orderId: Order_Number__c }";

const APEX: &str = "from: { org: source, channel: /event/Order_Shipped__e }
action: { org: target, apex: BridgeAction, idempotency_key: message, delivery: at_least_once }";

fn once(kind: &str, path: &str) -> Json {
    json!([{"kind": kind, "path": format!("*/actions/custom/{path}"), "times": 1}])
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_lost_answer_at_most_once_makes_a_failed_action_that_a_person_can_have_done_again() {
    let mut world = world(&[("flow", FLOW)], |_| {}).await;
    world.rules(world.target(), once("do_then_fail", "flow/Ship_Order")).await;
    publish(&world, &["A-1"]).await;
    until_done(&mut world, "flow", 0, 1).await;
    publish(&world, &["A-2"]).await;
    until_done(&mut world, "flow", 1, 1).await;
    assert_eq!(made(&world).await.len(), 2, "each was done once");
    let which = WhichActions { code: Some("ANSWER_LOST".to_owned()), ..WhichActions::default() };
    let redriven = world.told(|done| Command::RedriveActions { which, done }).await;
    assert_eq!(redriven, Ok(1));
    until_done(&mut world, "flow", 2, 0).await;
    let orders: Vec<Json> = made(&world).await.iter().map(|inputs| inputs["orderId"].clone()).collect();
    assert_eq!(orders, ["A-1", "A-2", "A-1"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_lost_answer_at_least_once_does_it_again_with_the_same_key() {
    let mut world = world(&[("apex", APEX)], |_| {}).await;
    world.rules(world.target(), once("do_then_fail", "apex/BridgeAction")).await;
    publish(&world, &["A-1"]).await;
    until_done(&mut world, "apex", 1, 0).await;
    let made = made(&world).await;
    assert_eq!(made.len(), 2);
    assert_eq!(made[0], made[1], "the same key");
    world.stop().await;
}

const HOT: &str = "from: { org: source, channel: /data/AccountChangeEvent, object: Account }
when: Rating == \"Hot\"
action:
  org: target
  flow: Ship_Order
  delivery: at_most_once
  answer: { fields: { Description: order } }
fields: { orderId: Name }";

async fn descriptions(world: &World) -> Vec<Json> {
    let source = &world.orgs[&"source".parse::<OrgName>().unwrap()];
    let rows = source.query("SELECT Description FROM Account ORDER BY Name").await.unwrap();
    rows.iter().map(|row| row["Description"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_makes_the_condition_true_triggers_once_and_its_answer_comes_back() {
    let mut world = world(&[("hot", HOT)], |_| {}).await;
    let accounts = vec![json!({"Name": "Acme"}), json!({"Name": "Bolt", "Rating": "Hot"})];
    let ids = world.create("Account", accounts).await;
    until_done(&mut world, "hot", 1, 0).await;
    world.update("Account", vec![(ids[0].clone(), json!({"Rating": "Hot"}))]).await;
    until_done(&mut world, "hot", 2, 0).await;
    assert_eq!(descriptions(&world).await, ["Acme", "Bolt"]);
    // It has been hot before, and what the answers changed is none of it.
    world.update("Account", vec![(ids[0].clone(), json!({"Phone": "1"}))]).await;
    world.until("all changes looked at", |status| of(status, "hot").taken >= 6 && of(status, "hot").caught_up).await;
    assert_eq!(made(&world).await.len(), 2);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_cannot_be_brought_back_is_brought_back_alone_by_a_redrive() {
    let mut world = world(&[("hot", HOT)], |_| {}).await;
    let refuse = json!([{"kind": "item", "code": "FIELD_CUSTOM_VALIDATION_EXCEPTION", "message": "no",
        "where": {"Description": "*"}}]);
    world.rules(world.source(), refuse).await;
    world.create("Account", vec![json!({"Name": "Acme", "Rating": "Hot"})]).await;
    world.until("a failed action", |status| of(status, "hot").failed == 1).await;
    assert_eq!((made(&world).await.len(), descriptions(&world).await), (1, vec![Json::Null]));
    world.no_faults(world.source()).await;
    let which = WhichActions::default();
    assert_eq!(world.told(|done| Command::RedriveActions { which, done }).await, Ok(1));
    world.until("no failed action", |status| of(status, "hot").failed == 0).await;
    until("the answer", async || descriptions(&world).await == ["Acme"]).await;
    assert_eq!(made(&world).await.len(), 1, "it was not done again");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_triggers_nothing() {
    let mut world = World::with(|config| {
        config.pipelines.truncate(1);
        config.pipelines[0].backfill = config::Backfill::OnFirstRun;
        config.actions = actions_orgs::read(&listed(&[("hot", HOT)])).actions;
    })
    .await;
    world.create("Account", (0..20).map(|n| json!({"Name": format!("a {n}"), "Rating": "Hot"})).collect()).await;
    world.control(world.source(), "time", json!({"advance_seconds": 5})).await;
    world.start();
    world.until("the accounts", |status| status.pipelines.values().map(|line| line.applied).sum::<u64>() == 20).await;
    world.create("Account", vec![json!({"Name": "new", "Rating": "Hot"})]).await;
    until_done(&mut world, "hot", 1, 0).await;
    assert_eq!(made(&world).await, [json!({"orderId": "new"})]);
    world.stop().await;
}

/// What a webhook did: for each order the ids with which it was done, in the order of the requests.
#[derive(Default)]
struct Did(Mutex<Vec<(String, String, u64, String)>>);

impl Did {
    fn note(&self, body: &str) -> (String, u64) {
        let body: Json = serde_json::from_str(body).unwrap();
        let text = |value: &Json| value.as_str().unwrap().to_owned();
        let number = body["fields"]["number"].as_u64().unwrap();
        let row = (text(&body["pipeline"]), text(&body["fields"]["key"]), number, text(&body["id"]));
        self.0.lock().unwrap().push(row.clone());
        (row.0, number)
    }

    fn of(&self, action: &str) -> Vec<(String, u64, String)> {
        let rows = self.0.lock().unwrap();
        rows.iter().filter(|row| row.0 == action).map(|row| (row.1.clone(), row.2, row.3.clone())).collect()
    }
}

/// A receiver that does what it is asked, and then answers as it likes: mostly not at all.
fn moody(did: Arc<Did>, seed: u64) -> Reply {
    let random = Mutex::new(fastrand::Rng::with_seed(seed));
    Reply::Each(Arc::new(move |body| match random.lock().unwrap().u8(0..10) {
        // It did nothing, and says so.
        0 => Reply::Answer("HTTP/1.1 503 X\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n"),
        answer => {
            did.note(body);
            match answer {
                2 => Reply::Cut,
                3 => Reply::Answer("HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n"),
                _ => Reply::Answer(OK),
            }
        }
    }))
}

/// The same twice, to a webhook on this port.
fn killed(port: u16) -> String {
    let action = |name: &str, delivery: &str| {
        format!(
            "  - name: {name}
    {SHIPPED}
    action:
      webhook: {{ url: 'http://127.0.0.1:{port}/', secret: 0123456789abcdef }}
      delivery: {delivery}
      order_by: Order_Number__c
    fields: {{ key: Order_Number__c, number: Quantity__c }}
"
        )
    };
    format!("{ORGS}{}{}", action("most", "at_most_once"), action("least", "at_least_once"))
}

fn order(key: &str, number: u64) -> Json {
    json!({"Order_Number__c": key, "Quantity__c": number})
}

/// SIGKILL again and again between 'about to send' and the answer, which is lost as well at times.
async fn survive(kills: u32, events: u64) {
    orgbridge::org::install_crypto();
    let seed =
        std::env::var("ORGBRIDGE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}");
    let (hook, did) = (Hook::start().await, Arc::new(Did::default()));
    hook.replies(moody(did.clone(), seed));
    let desk = Desk::of(&killed(hook.port)).await;
    let number = |sql: &str| State::open(&desk.state()).and_then(|state| state.number(sql));
    let mut bridge = desk.bridge_on(1);
    let each = events / u64::from(kills + 1);
    let mut published = 0;
    for kill in 0..=kills {
        for _ in 0..each {
            desk.world.create(EVENT, vec![order(&format!("K-{}", published % 5), published)]).await;
            published += 1;
        }
        if kill == kills {
            break;
        }
        let out = "SELECT count(*) FROM actions WHERE state = 'sent'";
        until("a request whose answer is not there", async || number(out).unwrap_or(0) > 0).await;
        bridge.kill();
        bridge = desk.bridge_on(1);
    }
    desk.until_over(i64::try_from(published).unwrap()).await;
    assert!(bridge.terminate().success());

    let least = did.of("least");
    let numbers: BTreeSet<u64> = least.iter().map(|(_, number, _)| *number).collect();
    assert_eq!(numbers, (0..published).collect(), "at least once loses none");
    let mut keys: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
    for (_, number, id) in &least {
        keys.entry(*number).or_default().insert(id);
    }
    assert!(keys.values().all(|ids| ids.len() == 1), "each keeps its key: {keys:?}");
    let most = did.of("most");
    let once: BTreeSet<u64> = most.iter().map(|(_, number, _)| *number).collect();
    assert_eq!(once.len(), most.len(), "at most once doubles none");
    let failed = failed(&desk.state()).await;
    assert!(failed.iter().all(|one| one.action.as_str() == "most" && one.row.code == "ANSWER_LOST"), "{failed:?}");
    let not_done = published - u64::try_from(once.len()).unwrap();
    assert!(not_done <= u64::try_from(failed.len()).unwrap(), "what was not done is a failed action");
    for action in ["least", "most"] {
        let mut last: BTreeMap<String, u64> = BTreeMap::new();
        for (key, number, _) in did.of(action) {
            let before = last.insert(key.clone(), number).unwrap_or(0);
            assert!(before <= number, "{action}, {key}: {number} behind {before}");
        }
    }
    println!(
        "{kills} kills, {published} events: {} requests at least once, {} failed actions at most once",
        least.len(),
        failed.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn four_kills_double_nothing_at_most_once_and_lose_nothing_at_least_once() {
    survive(4, 40).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: run in release"]
async fn twelve_kills_double_nothing_at_most_once_and_lose_nothing_at_least_once() {
    survive(12, 130).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_actions_are_listed_shown_done_again_and_given_up_by_command() {
    let hook = Hook::start().await;
    hook.replies(Reply::Answer("HTTP/1.1 400 X\r\ncontent-length: 2\r\n\r\nno"));
    let desk = Desk::of(&killed(hook.port)).await;
    let said = |arguments: &[&str]| desk.said(arguments);
    let mut bridge = desk.bridge_on(1);
    assert_eq!(said(&["actions", "list"]).1, 2, "none has failed");
    desk.world.create(EVENT, vec![order("private-4711", 1)]).await;
    until("two failed actions", async || said(&["actions", "list", "--json"]).0.matches("HTTP_400").count() == 2).await;
    let (text, code) = said(&["status"]);
    assert!(code == 2 && text.contains("orgbridge actions list"), "{code} {text}");
    let (text, code) = said(&["actions", "list"]);
    assert!(code == 0 && text.contains("HTTP_400") && !text.contains("private-4711"), "{text}");
    let (text, _) = said(&["actions", "show", "--action", "least"]);
    assert!(text.contains("private-4711"), "{text}");
    let (text, code) = said(&["backfill", "least"]);
    assert!(code == 1 && text.contains("least is an action"), "{text}");

    hook.replies(Reply::Answer(OK));
    let before = hook.seen().len();
    let (text, code) = said(&["actions", "redrive", "--action", "least"]);
    assert_eq!(code, 0, "{text}");
    until("one failed action", async || said(&["actions", "list", "--json"]).0.matches("HTTP_400").count() == 1).await;
    let all = hook.seen();
    assert_eq!(all.len(), before + 1);
    let keys: BTreeSet<&str> = all.iter().map(|seen| seen.headers["idempotency-key"].as_str()).collect();
    assert_eq!(keys.len(), 2, "one of each action, also when it is done again");
    assert!(bridge.terminate().success());
    // Without a bridge.
    let (text, code) = said(&["actions", "discard", "--action", "most", "--yes"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(said(&["actions", "list"]).1, 2);
    assert!(failed(&desk.state()).await.is_empty());
}
