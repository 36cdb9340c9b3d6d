//! Actions in orgs that lose answers, refuse and forget, under a bridge that is killed: how often each was done, and in
//! which order.

use std::collections::{BTreeMap, BTreeSet};

use orgbridge::bridge::Command;
use orgbridge::config::{self, Config, Does};
use orgbridge::event::{Happening, OrgName, PipelineName, Seq, Timestamp, Transport};
use orgbridge::status::{ActionStatus, Status};
use orgbridge::store::{Sqlite, Store, WhichActions};
use ring::hmac;
use serde_json::{Value as Json, json};

use crate::desk::Desk;
use crate::hook::{Hook, Reply};
use crate::process::Process;
use crate::state::{State, until};
use crate::support::World;

pub const EVENT: &str = "Order_Shipped__e";

pub const ORGS: &str = "version: 1
orgs:
  source:
    login_url: ${SOURCE_URL}
    client_credentials: { key: '${SOURCE_KEY}', secret: '${SOURCE_SECRET}' }
    pubsub: http://${EMULATOR_PUBSUB}
  target:
    login_url: ${TARGET_URL}
    client_credentials: { key: '${TARGET_KEY}', secret: '${TARGET_SECRET}' }
pipelines:
";

/// What each does is its idempotency key, and nothing else.
const BOTH: &str = "
  - name: most
    from: { org: source, channel: /event/Order_Shipped__e }
    action: { org: target, flow: Ship_Order, idempotency_key: orderId, delivery: at_most_once }
  - name: least
    from: { org: source, channel: /event/Order_Shipped__e }
    action: { org: target, apex: BridgeAction, idempotency_key: message, delivery: at_least_once }
";

const FLOWS: &str = "*/actions/custom/*";

/// Actions as a config has them.
pub fn read(pipelines: &str) -> Config {
    let variable = |name: &str| {
        Some(if name.ends_with("_URL") { "http://127.0.0.1:1".to_owned() } else { "127.0.0.1:1".to_owned() })
    };
    let text = format!("{ORGS}{pipelines}");
    let parsed = config::parse(&text, std::path::Path::new("actions.yaml"), &variable, &|_| unreachable!());
    parsed.unwrap_or_else(|problems| panic!("{problems}"))
}

pub fn of(status: &Status, name: &str) -> ActionStatus {
    status.actions.get(&name.parse::<PipelineName>().unwrap()).cloned().unwrap_or_default()
}

fn event(order: &str, note: &str) -> Json {
    json!({"Order_Number__c": order, "Note__c": note})
}

/// What flows and Apex methods were called with, in order: those that were done.
pub async fn made(world: &World) -> Vec<Json> {
    let calls = world.control_get(world.target(), "actions").await;
    let done = calls.as_array().unwrap().iter().filter(|call| call["outcome"]["success"] == true);
    done.map(|call| call["inputs"].clone()).collect()
}

/// The keys with which the flow and the Apex method of [`BOTH`] were done.
async fn keys(world: &World) -> (Vec<String>, Vec<String>) {
    let made = made(world).await;
    let of = |input: &str| made.iter().filter_map(|one| one[input].as_str()).map(str::to_owned).collect();
    (of("orderId"), of("message"))
}

fn distinct(keys: &[String]) -> usize {
    keys.iter().collect::<BTreeSet<_>>().len()
}

/// How often a rule of faults struck.
async fn struck(world: &World, rule: &str) -> u64 {
    let rules = world.control_get(world.target(), "faults").await;
    let rule = rules["rules"].as_array().unwrap().iter().find(|known| known["name"] == rule);
    rule.map_or(0, |rule| rule["struck"].as_u64().unwrap())
}

impl Desk {
    fn number(&self, sql: &str) -> i64 {
        State::open(&self.state()).and_then(|state| state.number(sql)).unwrap_or(-1)
    }

    fn in_state(&self, state: &str) -> i64 {
        self.number(&format!("SELECT count(*) FROM actions WHERE state = '{state}'"))
    }

    /// So many events came, and of all of them is known what became of them.
    pub async fn until_over(&self, events: i64) {
        until("all events over", async || {
            self.number("SELECT count(*) FROM journal") == events
                && self.number("SELECT min(watermark) >= (SELECT max(seq) FROM journal) FROM pipelines") == 1
                && self.number("SELECT count(*) FROM actions WHERE state IN ('sent', 'again', 'answered')") == 0
        })
        .await;
    }

    /// Of each failed action its name and its code.
    fn failed(&self) -> Vec<(String, String)> {
        let listed = self.json(&["actions", "list", "--json"]);
        let text = |one: &Json, field: &str| one[field].as_str().unwrap().to_owned();
        listed.as_array().unwrap().iter().map(|one| (text(one, "action"), text(one, "code"))).collect()
    }

    fn assert_failed(&self, wanted: &[(&str, &str)]) {
        let wanted: Vec<_> = wanted.iter().map(|(name, code)| ((*name).to_owned(), (*code).to_owned())).collect();
        assert_eq!(self.failed(), wanted);
    }
}

/// A bridge of which both actions have a request out that meets this rule.
async fn with_requests_out(rule: Json) -> (Desk, Process) {
    let desk = Desk::of(&format!("{ORGS}{BOTH}")).await;
    let bridge = desk.bridge_on(1);
    let mut rule = rule;
    (rule["name"], rule["path"], rule["times"]) = (json!("out"), json!(FLOWS), json!(2));
    desk.world.rules(desk.world.target(), json!([rule])).await;
    desk.world.create(EVENT, vec![event("A", "")]).await;
    until("two requests", async || struck(&desk.world, "out").await == 2).await;
    (desk, bridge)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_a_request_did_anything_that_then_lands_at_most_once_fails_and_at_least_once_keeps_its_key() {
    let (desk, mut bridge) = with_requests_out(json!({"kind": "hold"})).await;
    let world = &desk.world;
    assert_eq!((desk.in_state("sent"), made(world).await.len()), (2, 0), "noted before it goes out");
    bridge.kill();
    let _bridge = desk.bridge_on(1);
    desk.until_over(1).await;
    let (most, least) = keys(world).await;
    assert_eq!((most.len(), least.len()), (0, 1));
    desk.assert_failed(&[("most", "ANSWER_LOST")]);
    // What was on its way all the time.
    world.no_faults(world.target()).await;
    until("late requests", async || made(world).await.len() == 3).await;
    let (most, least) = keys(world).await;
    assert_eq!((most.len(), least.len(), distinct(&least)), (1, 2, 1));
    // Whoever looks there and sees nothing, has it done by hand, under the key that it would have had.
    assert_eq!(desk.json(&["actions", "list", "--json"])[0]["idempotency_key"], most[0].as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_when_all_was_done_and_no_answer_had_come_at_most_once_is_never_done_twice() {
    let (desk, mut bridge) = with_requests_out(json!({"kind": "answer_late", "delay_ms": 3_600_000})).await;
    let world = &desk.world;
    until("both done", async || made(world).await.len() == 2).await;
    bridge.kill();
    let mut bridge = desk.bridge_on(1);
    desk.until_over(1).await;
    desk.assert_failed(&[("most", "ANSWER_LOST")]);
    let (text, code) = desk.said(&["status"]);
    assert!(code == 2 && text.contains("! most: 1 action failed"), "{code} {text}");
    // Neither by the next start, nor by later events.
    bridge.kill();
    let _bridge = desk.bridge_on(1);
    world.create(EVENT, vec![event("B", "")]).await;
    desk.until_over(2).await;
    let (most, least) = keys(world).await;
    assert_eq!((most.len(), distinct(&most)), (2, 2), "once for each event");
    assert_eq!((least.len(), distinct(&least)), (3, 2), "once more for the first, with its key");
    assert_eq!(least[0], least[1]);
    desk.assert_failed(&[("most", "ANSWER_LOST")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_it_waits_for_another_try_either_is_done_exactly_once() {
    let refusal = json!({"kind": "refuse", "status": 503, "code": "SERVER_UNAVAILABLE", "retry_after": 3_600});
    let (desk, mut bridge) = with_requests_out(refusal).await;
    until("two that wait", async || desk.in_state("again") == 2).await;
    bridge.kill();
    let _bridge = desk.bridge_on(1);
    desk.until_over(1).await;
    let (most, least) = keys(&desk.world).await;
    assert_eq!((most.len(), least.len()), (1, 1));
    desk.assert_failed(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_when_a_redrive_has_no_answer_at_most_once_fails_again_and_goes_on_under_its_key() {
    let late = json!({"kind": "answer_late", "delay_ms": 3_600_000});
    let (desk, mut bridge) = with_requests_out(late.clone()).await;
    let world = &desk.world;
    bridge.kill();
    let mut bridge = desk.bridge_on(1);
    desk.until_over(1).await;
    let mut rule = late;
    (rule["name"], rule["path"], rule["times"]) = (json!("out"), json!(FLOWS), json!(1));
    world.rules(world.target(), json!([rule])).await;
    let (text, code) = desk.said(&["actions", "redrive", "--code", "ANSWER_LOST"]);
    assert!(code == 0 && text.contains("1 action is done again"), "{text}");
    until("the redriven request", async || struck(world, "out").await == 1).await;
    bridge.kill();
    let _bridge = desk.bridge_on(1);
    until("a failed action", async || desk.in_state("failed") == 1).await;
    desk.assert_failed(&[("most", "ANSWER_LOST")]);
    let status = desk.json(&["status", "--json"]);
    assert_eq!(status["actions"].as_array().unwrap().iter().map(|one| one["failed"].as_u64().unwrap()).sum::<u64>(), 1);
    assert_eq!(keys(world).await.0.len(), 2, "by the first start, and by the redrive");
    assert_eq!(desk.said(&["actions", "redrive", "--all"]).1, 0);
    until("none failed", async || desk.in_state("failed") == 0 && desk.failed().is_empty()).await;
    let (most, _) = keys(world).await;
    assert_eq!((most.len(), distinct(&most)), (3, 1));
}

const HOT: &str = "
  - name: hot
    from: { org: source, channel: /data/AccountChangeEvent, object: Account }
    when: Rating == \"Hot\"
    action: { org: target, flow: Ship_Order, delivery: at_most_once, answer: { fields: { Description: order } } }
    fields: { orderId: Name }
";

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_an_answer_is_brought_back_it_is_brought_back_and_nothing_is_done_twice() {
    let desk = Desk::of(&format!("{ORGS}{HOT}")).await;
    let world = &desk.world;
    let mut bridge = desk.bridge_on(1);
    let hold = json!([{"kind": "hold", "name": "out", "method": "PATCH", "path": "*/composite/sobjects*", "times": 1}]);
    world.rules(world.source(), hold).await;
    world.create("Account", vec![json!({"Name": "Acme", "Rating": "Hot"})]).await;
    until("an answer on its way", async || {
        world.control_get(world.source(), "faults").await["rules"][0]["struck"] == json!(1)
    })
    .await;
    assert_eq!((desk.in_state("answered"), made(world).await.len()), (1, 1));
    bridge.kill();
    let _bridge = desk.bridge_on(1);
    let source = &world.orgs[&"source".parse::<OrgName>().unwrap()];
    let description = async || source.query("SELECT Description FROM Account").await.unwrap()[0]["Description"].clone();
    until("the answer", async || description().await == "Acme").await;
    // The change of the account, and the one that the answer made.
    desk.until_over(2).await;
    assert_eq!(made(world).await.len(), 1);
    desk.assert_failed(&[]);
}

/// The event is the change of the one field; the name is read.
const BY_NAME: &str = "
  - name: most
    from: { org: source, channel: /data/AccountChangeEvent, object: Account }
    when: Rating == \"Hot\"
    action: { org: target, flow: Ship_Order, delivery: at_most_once }
    fields: { orderId: Name }
  - name: least
    from: { org: source, channel: /data/AccountChangeEvent, object: Account }
    when: Rating == \"Hot\"
    action: { org: target, apex_rest: { method: POST, path: /accounts }, idempotency_key: { header: Key }, delivery: at_least_once }
    fields: { name: Name }
";

#[tokio::test(flavor = "multi_thread")]
async fn what_was_out_at_the_kill_is_told_also_where_its_record_is_gone_by_the_next_start() {
    let desk = Desk::of(&format!("{ORGS}{BY_NAME}")).await;
    let world = &desk.world;
    let mut bridge = desk.bridge_on(1);
    let account = world.create("Account", vec![json!({"Name": "Acme"})]).await;
    desk.until_over(1).await;
    let hold = |name: &str, path: &str| json!({"kind": "hold", "name": name, "path": path, "times": 1});
    world.rules(world.target(), json!([hold("most", FLOWS), hold("least", "/services/apexrest/*")])).await;
    world.update("Account", vec![(account[0].clone(), json!({"Rating": "Hot"}))]).await;
    until("two requests", async || struck(world, "most").await + struck(world, "least").await == 2).await;
    bridge.kill();
    world.delete_in_source(&account).await;
    world.empty_bin(world.source()).await;
    let _bridge = desk.bridge_on(1);
    until("three events", async || desk.number("SELECT count(*) FROM journal") == 3).await;
    until("two failed actions", async || desk.in_state("failed") == 2).await;
    let failed: BTreeSet<(String, String)> = desk.failed().into_iter().collect();
    let wanted = [("least", "RECORD_GONE"), ("most", "ANSWER_LOST")];
    assert_eq!(failed, wanted.map(|(name, code)| (name.to_owned(), code.to_owned())).into());
}

/// Accounts of the target, by the order in which they came to be: `K1-0`, `K2-0`, `K1-1`.
async fn created(world: &World) -> Vec<String> {
    let target = &world.orgs[&"target".parse::<OrgName>().unwrap()];
    let rows = target.query("SELECT Id, Name FROM Account").await.unwrap();
    let text = |value: &Json| value.as_str().unwrap().to_owned();
    let names: BTreeMap<String, String> = rows.iter().map(|row| (text(&row["Id"]), text(&row["Name"]))).collect();
    let commits = world.control_get(world.target(), "commits").await;
    let made = commits.as_array().unwrap().iter().filter(|one| one["object"] == "Account" && one["kind"] == "CREATE");
    let made: Vec<String> = made.map(|one| names[one["id"].as_str().unwrap()].clone()).collect();
    assert_eq!(made.len(), rows.len());
    made
}

const CREATE: &str = "
  - name: create
    from: { org: source, channel: /event/Order_Shipped__e }
    action:
      org: target
      apex_rest: { method: POST, path: /accounts }
      idempotency_key: { header: Idempotency-Key }
      delivery: at_most_once
      order_by: Order_Number__c
    fields: { name: Note__c }
";

/// A bridge that does nothing else, and is live.
pub async fn world(pipelines: &str, differently: impl FnOnce(&mut Config)) -> World {
    let mut world = World::with(|config| {
        config.pipelines.clear();
        config.actions = read(pipelines).actions;
        differently(config);
    })
    .await;
    world.start();
    world.live_since(Timestamp(0)).await;
    world
}

pub async fn until_done(world: &mut World, name: &str, done: u64, failed: u64) {
    let what = format!("{name}: {done} done and {failed} failed");
    world.until(&what, |status| (of(status, name).done, of(status, name).failed) == (done, failed)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_the_same_key_is_done_in_order_through_locks_and_refusals_and_others_pass_what_is_held() {
    const KEYS: usize = 5;
    const EACH: usize = 8;
    let mut world = world(CREATE, |_| {}).await;
    // One key is locked until it is let go. All others meet locks at random, and a pause of the whole org.
    let seed = fastrand::u64(..1 << 53);
    println!("seed {seed}");
    let random = json!({"kind": "lock", "name": "random", "percent": 25, "seed": seed});
    let held = json!({"kind": "lock", "name": "held", "where": {"Name": "K0-*"}});
    let busy = json!({"kind": "refuse", "status": 503, "name": "busy", "path": "/services/apexrest/*", "nth": 7});
    world.rules(world.target(), json!([busy, held, random])).await;
    for n in 0..EACH {
        let events = (0..KEYS).map(|key| event(&format!("K{key}"), &format!("K{key}-{n}"))).collect();
        world.create(EVENT, events).await;
    }
    let others = ((KEYS - 1) * EACH) as u64;
    world.until("all others done", |status| of(status, "create").done == others).await;
    let before = created(&world).await;
    assert_eq!(before.iter().filter(|name| name.starts_with("K0-")).count(), 0, "the first of them holds its key");
    assert!(struck(&world, "random").await > 0 && struck(&world, "held").await > 0);
    assert_eq!(struck(&world, "busy").await, 1);
    world.rules(world.target(), json!([random])).await;
    until_done(&mut world, "create", (KEYS * EACH) as u64, 0).await;
    let all = created(&world).await;
    assert_eq!(all.len(), KEYS * EACH, "nothing twice");
    for key in 0..KEYS {
        let own: Vec<&String> = all.iter().filter(|name| name.starts_with(&format!("K{key}-"))).collect();
        let wanted: Vec<String> = (0..EACH).map(|n| format!("K{key}-{n}")).collect();
        assert_eq!(own, wanted.iter().collect::<Vec<_>>());
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_failed_lets_those_behind_it_pass_and_is_done_again_by_a_redrive_before_the_next_start() {
    let mut world = world(CREATE, |_| {}).await;
    // The first event is held, so what failed is in front of where a start begins to read.
    let held = json!({"kind": "lock", "name": "held", "where": {"Name": "K0-*"}});
    let refused = json!({"kind": "item", "code": "FIELD_CUSTOM_VALIDATION_EXCEPTION", "message": "no",
        "where": {"Name": "K1-0"}});
    world.rules(world.target(), json!([held, refused])).await;
    world.create(EVENT, vec![event("K0", "K0-0"), event("K1", "K1-0"), event("K1", "K1-1")]).await;
    until_done(&mut world, "create", 1, 1).await;
    assert_eq!(created(&world).await, ["K1-1"]);
    world.stop().await;
    world.rules(world.target(), json!([held])).await;
    let store = Sqlite::open(&world.config.state).unwrap();
    assert_eq!(store.redrive_actions(&WhichActions::default(), Timestamp::now()).await.unwrap(), 1);
    drop(store);
    world.start();
    until_done(&mut world, "create", 1, 0).await;
    assert_eq!(created(&world).await, ["K1-1", "K1-0"]);
    world.no_faults(world.target()).await;
    until_done(&mut world, "create", 2, 0).await;
    assert_eq!(created(&world).await, ["K1-1", "K1-0", "K0-0"], "each once");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_event_that_names_many_records_is_as_many_actions_each_with_a_key_of_its_own() {
    let text = BOTH.replace("/event/Order_Shipped__e", "/data/AccountChangeEvent, object: Account");
    let mut world = world(&text, |_| {}).await;
    world.create("Account", vec![json!({"Name": "Same"}); 150]).await;
    until_done(&mut world, "most", 150, 0).await;
    until_done(&mut world, "least", 150, 0).await;
    let (most, least) = keys(&world).await;
    assert_eq!((most.len(), distinct(&most)), (150, 150));
    assert_eq!((least.len(), distinct(&least)), (150, 150));
    assert!(most.iter().all(|key| !least.contains(key)), "nor has another action the same");
    let entries = State::open(&world.config.state).unwrap().journaled();
    assert!(entries < 150, "{entries} events");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_lost_state_file_each_event_has_the_key_that_it_had() {
    let text = BOTH.replace("/event/Order_Shipped__e", "/event/Order_Shipped__e, start: earliest");
    let mut world = world(&text, |_| {}).await;
    world.create(EVENT, vec![event("A", ""), event("B", ""), event("C", "")]).await;
    until_done(&mut world, "most", 3, 0).await;
    until_done(&mut world, "least", 3, 0).await;
    world.stop().await;
    let before = keys(&world).await;
    // By the other transport, as if somebody had set it all up anew.
    world.config.orgs.values_mut().for_each(|org| org.transport = Some(Transport::Cometd));
    world.orgs = orgbridge::bridge::orgs(&world.config).unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let mut path = world.config.state.clone().into_os_string();
        path.push(suffix);
        let _ = std::fs::remove_file(path);
    }
    world.start();
    until_done(&mut world, "most", 3, 0).await;
    until_done(&mut world, "least", 3, 0).await;
    let (most, least) = keys(&world).await;
    assert_eq!((most[..3].to_vec(), least[..3].to_vec()), before);
    assert_eq!((&most[3..], &least[3..]), (&before.0[..], &before.1[..]));
    assert_eq!((distinct(&most), distinct(&least)), (3, 3));
    let transports: Vec<_> = world.board.watch().borrow().subscriptions.values().map(|one| one.transport).collect();
    assert_eq!(transports, [Some(Transport::Cometd)]);
    world.stop().await;
}

/// Two fields of each platform event that was journaled; of a bridge that was stopped.
async fn journaled(world: &World, org: &str, fields: [&str; 2]) -> Vec<[Option<String>; 2]> {
    let store = Sqlite::open(&world.config.state).unwrap();
    let sql = format!(
        "SELECT json_group_array(j.seq) FROM journal j JOIN subscriptions s ON s.id = j.subscription
         WHERE s.org = '{org}' AND s.channel LIKE '/event/%'"
    );
    let seqs: Vec<u64> = serde_json::from_str(&State::open(&world.config.state).unwrap().text(&sql).unwrap()).unwrap();
    let entries = store.entries_at(seqs.into_iter().map(Seq).collect()).await.unwrap();
    let read = |entry: orgbridge::store::Entry| match entry.change.happening {
        Happening::Event { fields: told, .. } => {
            fields.map(|name| told.get(name).and_then(|value| value.as_text()).map(str::to_owned))
        }
        other => panic!("{other:?}"),
    };
    entries.into_iter().map(read).collect()
}

fn keep_events_of(org: &str) -> impl FnOnce(&mut Config) {
    let org: OrgName = org.parse().unwrap();
    move |config| config.orgs.get_mut(&org).unwrap().journal = vec![format!("/event/{EVENT}").parse().unwrap()]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_a_lost_answer_is_published_again_with_the_same_key_by_rest_and_by_the_pubsub_api() {
    let action = |name: &str, via: &str| {
        format!(
            "
  - name: {name}
    from: {{ org: source, channel: /data/AccountChangeEvent, object: Account }}
    action: {{ org: target, event: {EVENT}, via: {via}, idempotency_key: Note__c, delivery: at_least_once }}
    fields: {{ Order_Number__c: {{ cel: 'Name + \" {name}\"' }} }}
"
        )
    };
    let text = format!("{}{}", action("rest", "rest"), action("pubsub", "pubsub"));
    let mut world = world(&text, keep_events_of("target")).await;
    let lost = |matcher: &str, what: &str| {
        let mut rule = json!({"kind": "do_then_fail", "times": 1});
        rule[matcher] = json!(what);
        rule
    };
    let rules = json!([lost("path", "*/composite/sobjects"), lost("rpc", "Publish")]);
    world.rules(world.target(), rules).await;
    world.create("Account", vec![json!({"Name": "Acme"})]).await;
    until_done(&mut world, "rest", 1, 0).await;
    until_done(&mut world, "pubsub", 1, 0).await;
    world
        .until("four events", |status| {
            status.subscriptions.iter().any(|((org, _), one)| org.as_str() == "target" && one.journaled == 4)
        })
        .await;
    world.stop().await;
    let mut told = journaled(&world, "target", ["Order_Number__c", "Note__c"]).await;
    told.sort();
    let orders: Vec<_> = told.iter().map(|[order, _]| order.as_deref().unwrap()).collect();
    assert_eq!(orders, ["Acme pubsub", "Acme pubsub", "Acme rest", "Acme rest"]);
    let keys: Vec<_> = told.iter().map(|[_, key]| key.as_deref().unwrap()).collect();
    assert!(keys[0] == keys[1] && keys[2] == keys[3] && keys[1] != keys[2] && !keys[0].is_empty(), "{keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_comes_back_as_an_event_that_says_what_was_answered_also_when_its_own_answer_was_lost() {
    let text = HOT.replace(
        "{ fields: { Description: order } }",
        "{ event: Order_Shipped__e, fields: { Order_Number__c: order } }",
    );
    assert_ne!(text, HOT);
    let mut world = world(&text, keep_events_of("source")).await;
    let lost = json!([{"kind": "do_then_fail", "path": "*/composite/sobjects", "nth": 2, "times": 1}]);
    world.rules(world.source(), lost).await;
    world.create("Account", vec![json!({"Name": "Acme", "Rating": "Hot"})]).await;
    until_done(&mut world, "hot", 1, 0).await;
    world
        .until("two events", |status| {
            status
                .subscriptions
                .iter()
                .any(|((_, channel), one)| channel.as_str().starts_with("/event/") && one.journaled == 2)
        })
        .await;
    assert_eq!(made(&world).await.len(), 1, "only the answer is repeated");
    world.stop().await;
    let told = journaled(&world, "source", ["Order_Number__c", "Note__c"]).await;
    assert_eq!(told, vec![[Some("Acme".to_owned()), None]; 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_gets_what_changed_signed_and_once_more_under_the_same_key_after_a_refusal() {
    let hook = Hook::start().await;
    let mut world = World::with(|config| {
        config.pipelines.clear();
        config.actions = read(
            "
  - name: hook
    from: { org: source, channel: /data/AccountChangeEvent, object: Account }
    action: { webhook: { url: 'https://hook.example', secret: 0123456789abcdef }, delivery: at_most_once }
    fields: { account: Id, name: Name }
",
        )
        .actions;
        config.actions[0].does = Does::Webhook(hook.webhook());
    })
    .await;
    hook.replies(Reply::Answer("HTTP/1.1 503 X\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n"));
    world.start();
    world.live_since(Timestamp(0)).await;
    let id = world.create("Account", vec![json!({"Name": "Acme"})]).await.remove(0);
    until("a refused request", async || !hook.seen().is_empty()).await;
    hook.replies(Reply::Answer("HTTP/1.1 204 X\r\n\r\n"));
    until_done(&mut world, "hook", 1, 0).await;
    world.stop().await;
    let seen = hook.seen();
    assert!(seen.len() >= 2, "it was refused, and then it was not");
    let key = &seen[0].headers["idempotency-key"];
    let signing = hmac::Key::new(hmac::HMAC_SHA256, b"signing-secret");
    for one in &seen {
        let body: Json = serde_json::from_str(&one.body).unwrap();
        assert_eq!(body, json!({"id": key, "pipeline": "hook", "fields": {"account": id, "name": "Acme"}}));
        assert_eq!(one.headers["idempotency-key"], *key);
        let signed = format!("{}.{}", one.headers["x-orgbridge-timestamp"], one.body);
        let signature = one.headers["x-orgbridge-signature"].strip_prefix("v1=").unwrap();
        let bytes: Vec<u8> =
            (0..signature.len()).step_by(2).map(|at| u8::from_str_radix(&signature[at..at + 2], 16).unwrap()).collect();
        hmac::verify(&signing, signed.as_bytes(), &bytes).unwrap();
    }
}

/// The same twice: one does what was read, and one does not.
const READ: &str = "
  - name: skips
    from: { org: source, channel: /data/AccountChangeEvent, object: Account }
    when: Rating == \"Hot\"
    action: { org: target, flow: Ship_Order, delivery: at_most_once }
    fields: { orderId: Name }
  - name: fires
    from: { org: source, channel: /data/AccountChangeEvent, object: Account }
    when: Rating == \"Hot\"
    action: { org: target, apex: BridgeAction, delivery: at_most_once, on_read: fire }
    fields: { message: Name }
";

/// How many actions of this name have failed with this code.
fn failed(world: &World, name: &str, code: &str) -> i64 {
    let sql = format!(
        "SELECT count(*) FROM actions a JOIN pipelines p ON p.id = a.pipeline
         WHERE a.state = 'failed' AND p.name = '{name}' AND a.code = '{code}'"
    );
    State::open(&world.config.state).unwrap().number(&sql).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_gap_event_nothing_is_done_unless_on_read_says_so_and_a_redrive_does_it_as_the_record_is_then() {
    let mut world = world(READ, |_| {}).await;
    let accounts = vec![json!({"Name": "Cold"}), json!({"Name": "Tepid"})];
    let ids = world.create("Account", accounts).await;
    world.control(world.source(), "streams", json!({"gap_events": 1})).await;
    world.update("Account", vec![(ids[0].clone(), json!({"Rating": "Hot"}))]).await;
    until_done(&mut world, "fires", 1, 0).await;
    until_done(&mut world, "skips", 0, 1).await;
    assert_eq!(made(&world).await, [json!({"message": "Cold"})]);
    assert_eq!(failed(&world, "skips", "EVENT_HIDDEN"), 1);
    // One that says that a record changed which does not match is a failed action as well: nobody knows.
    world.control(world.source(), "gap", json!({"object": "Account", "kind": "GAP_UPDATE", "ids": [ids[1]]})).await;
    until_done(&mut world, "skips", 0, 2).await;
    world.update("Account", vec![(ids[0].clone(), json!({"Name": "Renamed"}))]).await;
    let which = WhichActions::default();
    assert_eq!(world.told(|done| Command::RedriveActions { which, done }).await, Ok(2));
    world.until("none failed", |status| of(status, "skips").failed == 0).await;
    until("the flow", async || made(&world).await.len() == 2).await;
    assert_eq!(made(&world).await[1], json!({"orderId": "Renamed"}), "by the record as it is, and not for the other");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_never_came_is_a_failed_action_or_is_done_where_on_read_says_so() {
    let mut world = world(READ, |config| config.probe_every = std::time::Duration::from_secs(4)).await;
    let now = world.orgs[&"source".parse::<OrgName>().unwrap()].server_time();
    world.live_since(now.plus(std::time::Duration::from_secs(2))).await;
    world.control(world.source(), "streams", json!({"lose_events": 1})).await;
    world.create("Account", vec![json!({"Name": "Unheard", "Rating": "Hot"})]).await;
    until_done(&mut world, "fires", 1, 0).await;
    until_done(&mut world, "skips", 0, 1).await;
    assert_eq!(made(&world).await, [json!({"message": "Unheard"})]);
    assert_eq!(failed(&world, "skips", "EVENT_MISSED"), 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_repair_reads_for_a_pipeline_triggers_nothing_not_even_with_on_read() {
    let mut world = World::with(|config| {
        config.pipelines.truncate(1);
        config.actions = read(READ).actions;
    })
    .await;
    world.start();
    world.live_since(Timestamp(0)).await;
    world.create("Account", vec![json!({"Name": "told", "Rating": "Hot"})]).await;
    until_done(&mut world, "fires", 1, 0).await;
    until_done(&mut world, "skips", 1, 0).await;
    world.caught_up().await;
    world.stop().await;
    world.create("Account", vec![json!({"Name": "untold", "Rating": "Hot"}); 10]).await;
    world.faults(world.source(), json!({"forget_events": true})).await;
    world.start();
    let written = "SELECT Id FROM Account WHERE Name = 'untold'";
    let target = world.orgs[&"target".parse::<OrgName>().unwrap()].clone();
    until("the repair", async || target.query(written).await.unwrap().len() == 10).await;
    // Behind it, so all before is over.
    world.create("Account", vec![json!({"Name": "last", "Rating": "Hot"})]).await;
    until_done(&mut world, "fires", 1, 1).await;
    until_done(&mut world, "skips", 1, 1).await;
    let made = made(&world).await;
    let of = |input: &str| made.iter().filter_map(|one| one[input].as_str()).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!((of("orderId"), of("message")), (vec!["told".to_owned(), "last".to_owned()], of("orderId")));
    assert_eq!(["fires", "skips"].map(|name| failed(&world, name, "EVENTS_GONE")), [1, 1]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_a_failed_action_of_each_also_where_no_event_comes_behind_it() {
    let mut world = world(BOTH, |_| {}).await;
    world.create(EVENT, vec![event("A", "")]).await;
    until_done(&mut world, "most", 1, 0).await;
    until_done(&mut world, "least", 1, 0).await;
    world.stop().await;
    world.create(EVENT, vec![event("B", "")]).await;
    world.faults(world.source(), json!({"forget_events": true})).await;
    world.start();
    until_done(&mut world, "most", 0, 1).await;
    until_done(&mut world, "least", 0, 1).await;
    assert_eq!(["most", "least"].map(|name| failed(&world, name, "EVENTS_GONE")), [1, 1]);
    let which = WhichActions::default();
    let redriven = world.told(|done| Command::RedriveActions { which: which.clone(), done }).await;
    assert_eq!(redriven, Ok(0), "nobody knows what it would be done for");
    assert_eq!(world.told(|done| Command::DiscardActions { which, done }).await, Ok(2));
    world.until("none failed", |status| status.actions.values().all(|action| action.failed == 0)).await;
    world.stop().await;
    assert_eq!(made(&world).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_is_paused_by_its_name_and_goes_on_whether_a_bridge_runs_or_not() {
    let desk = Desk::of(&format!("{ORGS}{BOTH}")).await;
    let world = &desk.world;
    let mut bridge = desk.bridge_on(1);
    let (text, code) = desk.said(&["pause", "most", "--reason", "storms"]);
    assert!(code == 0 && text.contains("orgbridge resume most"), "{text}");
    world.create(EVENT, vec![event("A", "")]).await;
    until("the other one", async || keys(world).await.1.len() == 1).await;
    let (text, code) = desk.said(&["status"]);
    assert!(code != 0 && text.contains("most is paused") && text.contains("storms"), "{code} {text}");
    // It stays so with the next start.
    assert!(bridge.terminate().success());
    let mut bridge = desk.bridge_on(1);
    world.create(EVENT, vec![event("B", "")]).await;
    until("the other one", async || keys(world).await.1.len() == 2).await;
    assert_eq!(keys(world).await.0.len(), 0);
    let (text, code) = desk.said(&["resume", "most"]);
    assert!(code == 0 && text.contains("goes on"), "{text}");
    until("both events", async || keys(world).await.0.len() == 2).await;
    desk.until_over(2).await;
    assert!(bridge.terminate().success());
    assert_eq!(desk.said(&["pause", "least"]).1, 0);
    let _bridge = desk.bridge_on(1);
    world.create(EVENT, vec![event("C", "")]).await;
    until("the first one", async || keys(world).await.0.len() == 3).await;
    assert_eq!(keys(world).await.1.len(), 2);
    assert_eq!(desk.said(&["resume", "least"]).1, 0);
    desk.until_over(3).await;
    let (most, least) = keys(world).await;
    assert_eq!((most.len(), distinct(&most), least.len(), distinct(&least)), (3, 3, 3, 3));
    assert_eq!(desk.said(&["status"]).1, 0, "{}", desk.said(&["status"]).0);
}
