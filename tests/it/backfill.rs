//! All records of a source are written, by whatever way they are read, while changes go on and whatever happens to the bridge.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;

use orgbridge::bridge::Command;
use orgbridge::config::{Backfill, OrgConfig, SaveOptions};
use orgbridge::event::{RecordId, Timestamp};
use orgbridge::mapping::Expression;
use orgbridge::org::{Org, SaveResult};
use serde_json::{Value as Json, json};

use crate::desk::Desk;
use crate::process::{Emulator, Process, orgbridge};
use crate::state::{State, until};
use crate::support::World;

/// The first time all events of what happened before are on the bus, so that a start at its tip leaves them out.
async fn live(world: &mut World) {
    world.control(world.source(), "time", json!({"advance_seconds": 5})).await;
    world.start();
    world.live_since(Timestamp(0)).await;
}

fn accounts(numbers: std::ops::Range<usize>) -> Vec<Json> {
    numbers
        .map(|n| json!({"Name": format!("Account {n}"), "Phone": format!("+41 {n}"), "NumberOfEmployees": n}))
        .collect()
}

fn contacts(accounts: &[String]) -> Vec<Json> {
    let contact = |(n, account): (usize, &String)| json!({"LastName": format!("Contact {n}"), "AccountId": account});
    accounts.iter().enumerate().map(contact).collect()
}

async fn asked(world: &World, pipelines: &[&str], condition: Option<&str>) -> Result<Vec<i64>, String> {
    let pipelines = pipelines.iter().map(|name| name.parse().unwrap()).collect();
    let condition = condition.map(str::to_owned);
    world.told(|done| Command::Backfill { pipelines, condition, done }).await
}

fn number(world: &World, sql: &str) -> i64 {
    State::open(&world.config.state).and_then(|state| state.number(sql)).unwrap_or(0)
}

/// Waits until so many jobs are over, all of them well.
async fn done(world: &World, jobs: i64) {
    until("the end of the backfills", async || {
        number(world, "SELECT count(*) FROM jobs WHERE ended_at IS NOT NULL") == jobs
    })
    .await;
    assert_eq!(number(world, "SELECT count(*) FROM jobs WHERE ended_how = 'done'"), jobs);
}

fn written(world: &World) -> u64 {
    world.target().stats()["rows_written"].as_u64().unwrap()
}

fn calls(world: &World, kind: &str) -> u64 {
    world.source().stats()["calls"][kind].as_u64().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_there_before_is_written_parents_first_and_what_is_equal_is_left_alone() {
    let mut world = World::new().await;
    let accounts = world.create("Account", accounts(0..2_300)).await;
    world.create("Contact", contacts(&accounts[..700])).await;
    live(&mut world).await;
    assert_eq!(asked(&world, &["contacts", "accounts"], None).await.unwrap().len(), 2);
    let refused = asked(&world, &["accounts"], Some("Name != null")).await.unwrap_err();
    assert!(refused.contains("accounts is not over yet"), "{refused}");
    let same = asked(&world, &["accounts"], None).await.unwrap();
    assert_eq!(same, [1], "the same again is the one that is under way");
    done(&world, 2).await;
    assert_eq!((world.assert_equal().await, written(&world)), (3_000, 3_000));
    let parked = number(&world, "SELECT count(*) FROM parked");
    assert_eq!(parked, 0, "no child had to wait for its parent");

    // Somebody changes some in the target; the rest is equal.
    let target = &world.orgs[&"target".parse().unwrap()];
    let rows = target.query("SELECT Id FROM Account WHERE Phone LIKE '+41 1%'").await.unwrap();
    let changed = rows.iter().take(50).map(|row| {
        let record = json!({"id": row["Id"], "Phone": "changed there"});
        record.as_object().unwrap().clone()
    });
    target.update(&"Account".parse().unwrap(), changed.collect(), SaveOptions::default()).await.unwrap();
    let before = written(&world);
    asked(&world, &["accounts", "contacts"], None).await.unwrap();
    done(&world, 4).await;
    assert_eq!((world.assert_equal().await, written(&world) - before), (3_000, 50));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_the_target_had_before_the_bridge_are_linked_by_their_key_and_not_made_twice() {
    let mut world = World::new().await;
    let ids = world.create("Account", accounts(0..40)).await;
    let target = world.orgs[&"target".parse().unwrap()].clone();
    let session = target.session().await.unwrap();
    // One as it is in the source, but for what only the mapping says; one that differs.
    for n in [3, 4] {
        let mut there = accounts(n..n + 1).remove(0);
        there["Source_Id__c"] = json!(ids[n]);
        there["Region__c"] = json!(if n == 3 { "EMEA" } else { "APAC" });
        world.create_there(&session, "Account", there).await;
    }
    let before = written(&world);
    live(&mut world).await;
    asked(&world, &["accounts"], None).await.unwrap();
    done(&world, 1).await;
    assert_eq!((world.assert_equal().await, written(&world) - before), (40, 39));
    assert_eq!(number(&world, "SELECT count(*) FROM links"), 40);
    assert_eq!(number(&world, "SELECT count(*) FROM links WHERE created = 1"), 38);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_and_the_filter_choose_and_at_the_first_run_it_is_done_by_itself_once() {
    let mut world = World::with(|config| {
        config.pipelines.truncate(1);
        config.pipelines[0].backfill = Backfill::OnFirstRun;
        config.pipelines[0].when = Some(Expression::compile("NumberOfEmployees >= 10").unwrap());
    })
    .await;
    world.create("Account", accounts(0..30)).await;
    live(&mut world).await;
    done(&world, 1).await;
    assert_eq!((written(&world), number(&world, "SELECT count(*) FROM links")), (20, 20));
    world.stop().await;
    world.delete_in_target("Account").await;
    live(&mut world).await;
    // A bad condition fails with the org's own words, and changes nothing else.
    asked(&world, &["accounts"], Some("Nonsense__c = 1")).await.unwrap();
    until("a failed backfill", async || number(&world, "SELECT count(*) FROM jobs WHERE ended_how = 'failed'") == 1)
        .await;
    assert_eq!(number(&world, "SELECT count(*) FROM jobs WHERE ended_how = 'failed' AND why LIKE '%Nonsense__c%'"), 1);
    asked(&world, &["accounts"], Some("NumberOfEmployees < 15")).await.unwrap();
    until("a backfill", async || number(&world, "SELECT count(*) FROM jobs WHERE ended_how = 'done'") == 2).await;
    assert_eq!(number(&world, "SELECT count(*) FROM jobs"), 3, "none by itself the second time");
    let target = &world.orgs[&"target".parse().unwrap()];
    assert_eq!(target.query("SELECT Id FROM Account").await.unwrap().len(), 5);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_records_are_read_by_a_query_job_which_a_stopped_bridge_goes_on_with() {
    const RECORDS: usize = 20_500;
    let mut world = World::new().await;
    world.control(world.source(), "limits", json!({"daily_delivered_events": null})).await;
    world.create("Account", accounts(0..RECORDS)).await;
    live(&mut world).await;
    asked(&world, &["accounts"], None).await.unwrap();
    let rows = "SELECT coalesce(max(rows), 0) FROM jobs WHERE ended_at IS NULL";
    until("a part of it", async || number(&world, rows) >= 5_000).await;
    world.stop().await;
    let (done_before, pages) = (number(&world, rows), calls(&world, "bulk_query_results"));
    assert!((5_000..RECORDS as i64).contains(&done_before), "{done_before}");
    live(&mut world).await;
    done(&world, 1).await;
    assert_eq!(world.assert_equal().await, RECORDS as u64);
    assert_eq!(calls(&world, "bulk_query"), 1, "no second query");
    let again = calls(&world, "bulk_query_results") - pages;
    let left = (RECORDS as u64 - done_before.unsigned_abs()).div_ceil(5_000);
    assert_eq!(again, left, "only what was not settled is read again");
    assert_eq!(world.target().stats()["duplicate_rows"], json!(0));
    assert_eq!(calls(&world, "bulk_query_delete"), 1, "the results are not left behind");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_go_on_while_a_backfill_reads_and_no_record_ends_on_an_older_state() {
    let mut world = World::with(|config| {
        config.pipelines[0].when = Some(Expression::compile("Industry != 'Left out'").unwrap());
        config.pipelines[0].when_no_longer_matching = orgbridge::config::NoLongerMatching::Delete;
    })
    .await;
    world.control(world.source(), "limits", json!({"daily_delivered_events": null})).await;
    let mut ids = world.create("Account", accounts(0..4_000)).await;
    let people = world.create("Contact", contacts(&ids[..1_000])).await;
    live(&mut world).await;
    asked(&world, &["contacts", "accounts"], None).await.unwrap();
    world.control(world.source(), "streams", json!({"bus_delay_ms": [0, 1_500]})).await;
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..12 {
        let some: BTreeSet<String> = (0..60).map(|_| ids[random.usize(1_000..ids.len())].clone()).collect();
        let fields = |n: usize| match n % 4 {
            0 => json!({"Industry": "Left out"}),
            1 => json!({"Industry": "Energy"}),
            _ => json!({"Phone": format!("round {round}"), "Name": format!("Renamed {round}")}),
        };
        let changes = some.into_iter().enumerate().map(|(n, id)| (id, fields(n))).collect();
        world.update("Account", changes).await;
        let person = people[random.usize(..people.len())].clone();
        world.update("Contact", vec![(person, json!({"Title": format!("round {round}")}))]).await;
        let gone = ids.swap_remove(random.usize(1_000..ids.len()));
        world.delete_in_source(&[gone]).await;
        ids.extend(world.create("Account", accounts(10_000 + round * 5..10_005 + round * 5)).await);
    }
    done(&world, 2).await;
    world.caught_up().await;
    world.assert_equal().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_that_is_stopped_ends_where_it_is() {
    let mut world = World::new().await;
    world.create("Account", accounts(0..300)).await;
    live(&mut world).await;
    // The target takes nothing, so it cannot end by itself.
    world.rules(world.target(), json!([{"kind": "refuse"}])).await;
    asked(&world, &["accounts"], None).await.unwrap();
    until("a begun backfill", async || number(&world, "SELECT count(*) FROM jobs WHERE begun_at IS NOT NULL") == 1)
        .await;
    let pipelines = vec!["accounts".parse().unwrap(), "contacts".parse().unwrap()];
    let stop = |done| Command::StopBackfill { pipelines: pipelines.clone(), done };
    assert_eq!(world.told(stop).await, Ok(1));
    assert_eq!(world.told(stop).await, Ok(0));
    assert_eq!(number(&world, "SELECT count(*) FROM jobs WHERE ended_how = 'stopped'"), 1);
    world.no_faults(world.target()).await;
    world.caught_up().await;
    asked(&world, &["accounts"], None).await.unwrap();
    until("the next one", async || number(&world, "SELECT count(*) FROM jobs WHERE ended_how = 'done'") == 1).await;
    assert_eq!(world.assert_equal().await, 300);
    world.stop().await;
}

// By command.

#[tokio::test(flavor = "multi_thread")]
async fn a_person_backfills_whether_a_bridge_runs_or_not_and_is_told_what_the_target_does_by_itself() {
    let desk = Desk::new().await;
    let world = &desk.world;
    let ids = world.create("Account", accounts(0..120)).await;
    world.create("Contact", contacts(&ids[..30])).await;
    // A bridge that ends before it has a position begins at the earliest event, but for those that are well before its start.
    world.control(world.source(), "time", json!({"advance_seconds": 600})).await;

    let (said, code) = desk.said(&["backfill", "nobody"]);
    assert!(code == 1 && said.contains("no pipeline nobody. Pipelines: accounts, contacts"), "{said}");
    let (said, code) = desk.said(&["backfill", "accounts"]);
    assert!(code == 1 && said.contains("Account: Apex trigger ") && said.contains("say --yes"), "{said}");
    let (said, code) = desk.said(&["backfill", "accounts", "--yes", "--detach"]);
    assert!(code == 1 && said.contains("leave out --detach"), "{said}");

    // Without a bridge it runs one.
    let (said, code) = desk.said(&["backfill", "contacts", "accounts", "--yes"]);
    assert_eq!(code, 0, "{said}");
    let (first, second) = (said.find("accounts: done at").unwrap(), said.find("contacts: done at").unwrap());
    assert!(first < second && said.contains("120 rows, ") && said.contains("30 rows, "), "{said}");
    assert_eq!(written(world), 150);

    // With one it asks that.
    let mut bridge = desk.bridge();
    let (said, code) = desk.said(&["backfill", "accounts", "--yes"]);
    assert!(code == 0 && said.contains("accounts: done at"), "{said}");
    assert_eq!(written(world), 150, "all of it was equal");
    let (said, code) = desk.said(&["backfill", "accounts", "--yes", "--where", "Nonsense__c = 1"]);
    assert!(code == 1 && said.contains("accounts: failed at") && said.contains("Nonsense__c"), "{said}");
    let (said, code) = desk.said(&["status"]);
    assert!(code == 2 && said.contains("! accounts: backfill, failed at"), "{said}");
    let (said, code) = desk.said(&["backfill", "accounts", "--yes", "--detach"]);
    assert!(code == 0 && said.contains("orgbridge status"), "{said}");
    let state = || desk.json(&["status", "--json"])["jobs"].clone();
    let is_done = |job: &Json| job["pipeline"] == "accounts" && job["state"] == "done" && job["rows"] == 120;
    until("a backfill that nobody waits for", async || state().as_array().unwrap().iter().any(is_done)).await;
    let (said, code) = desk.said(&["backfill", "accounts", "--stop"]);
    assert!(code == 3 && said.contains("No backfill"), "{said}");
    assert!(bridge.terminate().success());
}

// Kills.

struct Plan {
    rows: usize,
    rounds: usize,
    /// Changes of a round.
    changes: usize,
    kills: usize,
}

/// Accounts as they should be in the target, by their id in the source, read by the test's own means.
async fn names_and_phones(org: &Org, key: &str, condition: &str) -> BTreeMap<String, String> {
    let rows = org.query(&format!("SELECT {key}, Name, Phone, Industry FROM Account WHERE {condition}")).await.unwrap();
    let text = |row: &serde_json::Map<String, Json>| format!("{} {} {}", row["Name"], row["Phone"], row["Industry"]);
    let count = rows.len();
    let found: BTreeMap<_, _> = rows.iter().map(|row| (row[key].as_str().unwrap().to_owned(), text(row))).collect();
    assert_eq!(found.len(), count, "a key twice");
    found
}

async fn survive(plan: Plan) {
    orgbridge::org::install_crypto();
    let seed =
        std::env::var("ORGBRIDGE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed} (ORGBRIDGE_SEED={seed} repeats the changes)");
    let mut random = fastrand::Rng::with_seed(seed);
    let folder = tempfile::tempdir().unwrap();
    let (config, state_file) = (folder.path().join("demo.yaml"), folder.path().join("demo.db"));
    let text = include_str!("../../config/demo.yaml");
    let when = "    backfill: on_first_run\n    when: Industry != 'Left out'\n    when_no_longer_matching: delete\n    fields:\n      Source_Id__c: Id\n      Name: Name\n";
    assert!(text.contains("    fields:\n      Source_Id__c: Id\n      Name: Name\n"));
    std::fs::write(&config, text.replace("    fields:\n      Source_Id__c: Id\n      Name: Name\n", when)).unwrap();
    let emulator = Emulator::start(&["--connect-hold", "2s", "--pubsub-keepalive", "1s", "--bus-delay", "1500ms"]);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    emulator.post(&http, "source", "limits", json!({"daily_delivered_events": null})).await;
    let read = |name: &str| emulator.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let text = std::fs::read_to_string(&config).unwrap();
    let parsed = orgbridge::config::parse(&text, &config, &read, &|path| std::fs::read_to_string(path)).unwrap();
    let loader = OrgConfig { client_name: "Loader".to_owned(), ..parsed.orgs[&"source".parse().unwrap()].clone() };
    let source = Org::new(loader).unwrap();
    let (account, key) = ("Account".parse().unwrap(), "Emea_Id__c".parse().unwrap());
    let mut ids: Vec<RecordId> = Vec::new();
    let mut made = 0;
    let mut make = async |count: usize| -> Vec<RecordId> {
        let mut ids = Vec::new();
        for first in (0..count).step_by(200) {
            let record = |n: usize| json!({"Name": format!("Account {n}"), "Phone": "new", "Industry": if n.is_multiple_of(10) { "Left out" } else { "Energy" }, "Emea_Id__c": n.to_string()});
            let numbers = made + first..made + count.min(first + 200);
            let records = numbers.map(|n| record(n).as_object().unwrap().clone()).collect();
            for saved in source.upsert(&account, &key, records, SaveOptions::default()).await.unwrap() {
                let SaveResult::Saved { id, .. } = saved else { panic!("{saved:?}") };
                ids.push(id);
            }
        }
        made += count;
        ids
    };
    ids.extend(make(plan.rows).await);
    // Nothing of that is told by events.
    emulator.post(&http, "source", "time", json!({"advance_seconds": 5})).await;

    let start = || Process::start(emulator.run(&config).stdout(Stdio::null()).stderr(Stdio::null()));
    let number = |sql: &str| State::open(&state_file).and_then(|state| state.number(sql)).unwrap_or(0);
    let mut bridge = start();
    until("a begun backfill", async || number("SELECT count(*) FROM jobs WHERE begun_at IS NOT NULL") == 1).await;
    let mut during = 0;
    for round in 0..plan.rounds {
        let mut some: Vec<RecordId> = (0..plan.changes).map(|_| ids[random.usize(..ids.len())]).collect();
        some.sort_unstable();
        some.dedup();
        let gone: Vec<RecordId> = some.drain(..some.len() / 10).collect();
        for chunk in some.chunks(200) {
            let changes = chunk.iter().map(|id| {
                let mut record = json!({"id": id.as_str()});
                match random.u8(0..4) {
                    0 => record["Industry"] = json!("Left out"),
                    1 => record["Industry"] = json!("Energy"),
                    _ => record["Phone"] = json!(format!("round {round}")),
                }
                record.as_object().unwrap().clone()
            });
            source.update(&account, changes.collect(), SaveOptions::default()).await.unwrap();
        }
        source.delete(&gone).await.unwrap();
        ids.retain(|id| !gone.contains(id));
        ids.extend(make(plan.changes / 10).await);
        during += usize::from(number("SELECT count(*) FROM jobs WHERE ended_at IS NULL") == 1);
        let stretch = plan.rounds / (plan.kills + 1);
        if round % stretch == 1 && round / stretch < plan.kills {
            bridge.kill();
            bridge = start();
        }
    }
    let ended = orgbridge::event::Timestamp::now().plus(std::time::Duration::from_secs(5)).0;
    until("the end of the backfill", async || number("SELECT count(*) FROM jobs WHERE ended_how = 'done'") == 1).await;
    until("everything settled", async || {
        let live = number("SELECT min(coalesce(live_until, 0)) FROM subscriptions") > ended + 2_500;
        live && State::open(&state_file).is_some_and(|state| state.unsettled() == 0 && state.parked() == 0)
    })
    .await;
    let rows = number("SELECT rows FROM jobs WHERE json_extract(work, '$.kind') = 'backfill'");
    let mut verify = orgbridge();
    verify.args(["verify", "--config"]).arg(&config).envs(emulator.variables.iter().cloned());
    let verified = verify.output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    assert!(bridge.terminate().success(), "SIGTERM ends it in order");
    let orgs = orgbridge::bridge::orgs(&parsed).unwrap();
    let comparison = orgbridge::past::whole::compare(&parsed, &orgs).await.unwrap();
    let shown: Vec<String> = comparison.differences.iter().take(20).map(ToString::to_string).collect();
    assert!(comparison.is_equal(), "{} of {} differ: {shown:#?}", comparison.differences.len(), comparison.records);
    let expected = names_and_phones(&source, "Id", "Industry != 'Left out'").await;
    let target = &orgs[&"target".parse().unwrap()];
    let actual = names_and_phones(target, "Source_Id__c", "Source_Id__c != null").await;
    assert_eq!(expected.len(), actual.len());
    assert!(expected == actual, "the test's own comparison");
    println!(
        "{rows} rows read, {during} of {} rounds of changes meanwhile, equal: {} records",
        plan.rounds,
        actual.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_while_a_backfill_and_changes_go_on_lose_nothing() {
    survive(Plan { rows: 3_000, rounds: 8, changes: 60, kills: 3 }).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: run in release"]
async fn three_kills_in_a_backfill_of_fifty_thousand_rows_among_five_thousand_changes_lose_nothing() {
    survive(Plan { rows: 50_000, rounds: 25, changes: 200, kills: 3 }).await;
}
