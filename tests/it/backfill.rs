//! All records of a source are written, by whatever way they are read, while changes go on and whatever happens to the bridge.

use std::collections::BTreeSet;

use orgbridge::bridge::Command;
use orgbridge::config::Backfill;
use orgbridge::event::Timestamp;
use orgbridge::mapping::Expression;
use serde_json::{Value as Json, json};

use crate::state::{State, until};
use crate::support::World;

/// The first time nothing of what happened before is told by events any more.
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
    let refused = asked(&world, &["accounts"], None).await.unwrap_err();
    assert!(refused.contains("accounts is not over yet"), "{refused}");
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
    target
        .update(&"Account".parse().unwrap(), changed.collect(), orgbridge::config::SaveOptions::default())
        .await
        .unwrap();
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
    assert_eq!((written(&world), number(&world, "SELECT count(*) FROM applied")), (20, 20));
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
