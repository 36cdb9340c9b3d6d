//! What people are told without asking: fields of their records, and a digest.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use orgbridge::bridge::Command;
use orgbridge::config::{Config, Digest, Feedback, Fill};
use orgbridge::emulator::Scenario;
use orgbridge::event::{OrgName, Timestamp};
use orgbridge::status::Status;
use orgbridge::store::Which;
use serde_json::{Value as Json, json};

use crate::hook::{Hook, Reply};
use crate::state::until;
use crate::support::World;

const FIELDS: &str = "
objects:
  - name: Account
    fields:
      - { name: Sync_Error__c, type: string, length: 60, label: Sync Error }
      - { name: Last_Synced__c, type: datetime, label: Last Synced }
";

/// Accounts fail of which another one in the target has the same phone.
fn unique_phone(config: &mut Config) {
    let phone = Fill::Source("Phone".parse().unwrap()).into();
    config.pipelines[0].fields.push(("Emea_Id__c".parse().unwrap(), phone));
    // So often is it looked whether there are news.
    config.probe_every = Duration::from_millis(500);
}

async fn world(error: bool, last_synced: bool) -> World {
    let scenario = Arc::new(Scenario::read("feedback", FIELDS).unwrap());
    World::of(Some(scenario), |config| {
        unique_phone(config);
        config.pipelines[0].feedback = Feedback {
            error: error.then(|| "Sync_Error__c".parse().unwrap()),
            last_synced: last_synced.then(|| "Last_Synced__c".parse().unwrap()),
        };
    })
    .await
}

fn account(name: &str, phone: &str) -> Json {
    json!({"Name": name, "Phone": phone})
}

/// By name: what the accounts of the source say of themselves.
async fn said(world: &World) -> BTreeMap<String, (Option<String>, bool)> {
    let source = &world.orgs[&"source".parse::<OrgName>().unwrap()];
    let rows = source.query("SELECT Name, Sync_Error__c, Last_Synced__c FROM Account").await.unwrap();
    let row = |row: &serde_json::Map<String, Json>| {
        let text = |field: &str| row[field].as_str().map(str::to_owned);
        (text("Name").unwrap(), (text("Sync_Error__c"), row["Last_Synced__c"].is_string()))
    };
    rows.iter().map(row).collect()
}

async fn until_said(world: &World, what: &str, wished: impl Fn(&BTreeMap<String, (Option<String>, bool)>) -> bool) {
    until(what, async || wished(&said(world).await)).await;
}

fn failed(count: u64) -> impl Fn(&Status) -> bool {
    move |status| {
        status.pipelines.values().map(|line| line.failed).sum::<u64>() == count
            && status.targets.values().all(|target| target.caught_up)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_record_says_why_it_failed_until_it_goes_through() {
    let mut world = world(true, true).await;
    world.start();
    world.live_since(Timestamp(0)).await;
    world.create("Account", vec![account("first", "1")]).await;
    world.caught_up().await;
    let bad = world.create("Account", vec![account("bad", "1")]).await.remove(0);
    world.until("a failed record", failed(1)).await;
    until_said(&world, "a reason and a time", |said| {
        let reason = said["bad"].0.as_deref().unwrap_or_default();
        reason.starts_with("DUPLICATE_VALUE: ") && !said["bad"].1 && said["first"] == (None, true)
    })
    .await;
    assert!(said(&world).await["bad"].0.as_ref().unwrap().chars().count() <= 60);
    world.update("Account", vec![(bad, json!({"Phone": "2"}))]).await;
    let redriven = world.told(|done| Command::Redrive { which: Which::default(), done }).await;
    assert_eq!(redriven, Ok(1));
    until_said(&world, "no reason any more", |said| said["bad"] == (None, true)).await;
    world.until("no failed record", failed(0)).await;
    world.assert_equal().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_is_no_change_to_bring_over_and_a_restart_tells_nothing_twice() {
    let mut world = world(true, true).await;
    world.start();
    world.live_since(Timestamp(0)).await;
    world.create("Account", (0..300).map(|n| account(&format!("a {n}"), &n.to_string())).collect()).await;
    world.caught_up().await;
    until_said(&world, "times of all", |said| said.len() == 300 && said.values().all(|(_, synced)| *synced)).await;
    world.caught_up().await;
    let status = world.board.watch().borrow().clone();
    assert_eq!(status.feedback[&"accounts".parse().unwrap()].told, 300);
    assert_eq!(status.pipelines[&"accounts".parse().unwrap()].applied, 300, "each was written once");
    world.stop().await;
    world.start();
    world.live_since(Timestamp(0)).await;
    world.create("Account", vec![account("last", "last")]).await;
    world.caught_up().await;
    until_said(&world, "the last one", |said| said["last"].1).await;
    let status = world.board.watch().borrow().clone();
    assert_eq!(status.feedback[&"accounts".parse().unwrap()].told, 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_had_failed_before_anybody_was_to_be_told_is_told_and_a_discard_takes_it_back() {
    let mut world = world(true, false).await;
    let feedback = std::mem::take(&mut world.config.pipelines[0].feedback);
    world.start();
    world.live_since(Timestamp(0)).await;
    world.create("Account", vec![account("first", "1")]).await;
    world.caught_up().await;
    world.create("Account", vec![account("bad", "1")]).await;
    world.until("a failed record", failed(1)).await;
    world.stop().await;
    world.config.pipelines[0].feedback = feedback;
    world.start();
    world.live_since(Timestamp(0)).await;
    until_said(&world, "a reason", |said| said["bad"].0.is_some()).await;
    assert_eq!(said(&world).await["first"], (None, false));
    let discarded = world.told(|done| Command::Discard { which: Which::default(), done }).await;
    assert_eq!(discarded, Ok(1));
    until_said(&world, "no reason", |said| said["bad"].0.is_none()).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_refuses_to_be_told_is_counted_and_holds_nobody_up() {
    let mut world = world(false, true).await;
    world.start();
    world.live_since(Timestamp(0)).await;
    let ids = world.create("Account", vec![account("stubborn", "1"), account("other", "2")]).await;
    let name = "accounts".parse().unwrap();
    let told = |count: u64| {
        let name = &name;
        move |status: &Status| status.feedback.get(name).is_some_and(|feedback| feedback.told == count)
    };
    world.until("both told", told(2)).await;
    let stubborn = json!({"Id": ids[0], "Last_Synced__c": "*"});
    let code = "FIELD_CUSTOM_VALIDATION_EXCEPTION";
    world.rules(world.source(), json!([{"kind": "item", "code": code, "message": "no", "where": stubborn}])).await;
    world.update("Account", ids.into_iter().map(|id| (id, json!({"Description": "new"}))).collect()).await;
    let status =
        world.until("one told and one refused", |status| told(3)(status) && status.feedback[&name].refused == 1).await;
    assert_eq!(status.feedback[&name].code.as_deref(), Some(code));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_tells_once_what_failed_and_once_that_all_is_well() {
    let hook = Hook::start().await;
    hook.replies(Reply::Answer("HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n"));
    let webhook = hook.webhook();
    let mut world = World::with(|config| {
        unique_phone(config);
        config.digest = Some(Digest { webhook, every: Duration::from_secs(1) });
    })
    .await;
    world.start();
    world.live_since(Timestamp(0)).await;
    world.create("Account", vec![account("first", "1")]).await;
    world.caught_up().await;
    world.create("Account", (0..5).map(|n| account(&format!("bad {n}"), "1")).collect()).await;
    let status = world.until("a digest that is not taken", |status| status.digest_trouble.is_some()).await;
    assert_eq!(status.digest_trouble.as_deref(), Some("it answered HTTP 500"));
    world.until("five failed records", failed(5)).await;
    hook.replies(Reply::Answer("HTTP/1.1 200 X\r\ncontent-length: 2\r\n\r\nok"));
    world.until("a digest", |status| status.digest_trouble.is_none()).await;
    let told = || serde_json::from_str::<Json>(&hook.last().body).unwrap();
    let failed = json!([{"pipeline": "accounts", "code": "DUPLICATE_VALUE", "records": 5}]);
    until("a digest of all five", async || told()["failed"] == failed).await;
    let last = told();
    assert!(last["text"].as_str().unwrap().starts_with("orgbridge: 5 failed records\n- accounts: 5 DUPLICATE_VALUE"));
    assert_eq!(hook.last().headers["idempotency-key"], last["id"].as_str().unwrap());
    // A restart has nothing new to say, but that all is well.
    world.stop().await;
    let told = hook.seen().len();
    world.start();
    world.live_since(Timestamp(0)).await;
    let discarded = world.told(|done| Command::Discard { which: Which::default(), done }).await;
    assert_eq!(discarded, Ok(5));
    until("word that all is well", async || hook.seen().len() > told).await;
    let all = hook.seen();
    let text = serde_json::from_str::<Json>(&all[told].body).unwrap()["text"].clone();
    assert_eq!(text, json!("orgbridge: all is well again, nothing has failed."));
    world.stop().await;
    assert_eq!(hook.seen().len(), told + 1);
}
