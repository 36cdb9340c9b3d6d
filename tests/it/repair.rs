//! Gaps that close by themselves: what they may have hidden is read, as far as the org still tells.

use orgbridge::event::Timestamp;
use orgbridge::store::{GapKind, Mended, Sqlite, Store};
use serde_json::{Value as Json, json};

use crate::desk::Desk;
use crate::state::{State, until};
use crate::support::World;

fn number(world: &World, sql: &str) -> i64 {
    State::open(&world.config.state).and_then(|state| state.number(sql)).unwrap_or(-1)
}

fn accounts(numbers: std::ops::Range<usize>) -> Vec<Json> {
    numbers.map(|n| json!({"Name": format!("Account {n}"), "Phone": format!("+41 {n}")})).collect()
}

async fn repaired(world: &World) {
    until("an open gap", async || number(world, "SELECT count(*) FROM gaps") > 0).await;
    until("no open gap", async || number(world, "SELECT count(*) FROM gaps WHERE closed_at IS NULL") == 0).await;
}

async fn mended(world: &World) -> Vec<(GapKind, Mended)> {
    let store = Sqlite::open(&world.config.state).unwrap();
    let gaps = store.mended_gaps(10).await.unwrap();
    gaps.into_iter().filter_map(|gap| Some((gap.kind, gap.closed?.by))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_org_forgot_to_tell_is_read_when_it_is_back_changes_and_deletions_alike() {
    let mut world = World::started().await;
    let ids = world.create("Account", accounts(0..60)).await;
    let person = json!({"LastName": "Child", "AccountId": ids[50]});
    world.create("Contact", vec![person]).await;
    world.caught_up().await;
    world.stop().await;
    world.update("Account", ids[..20].iter().map(|id| (id.clone(), json!({"Phone": "changed"}))).collect()).await;
    world.delete_in_source(&ids[20..23]).await;
    // With a child.
    world.delete_in_source(&ids[50..52]).await;
    world.create("Account", accounts(100..110)).await;
    world.faults(world.source(), json!({"forget_events": true})).await;
    let before = world.target().stats()["rows_written"].as_u64().unwrap();
    world.start();
    repaired(&world).await;
    world.caught_up().await;
    assert_eq!(world.assert_equal().await, 65);
    let written = world.target().stats()["rows_written"].as_u64().unwrap() - before;
    assert!((30..=37).contains(&written), "{written} rows: 30 that changed or are new, and at most what was deleted");
    world.stop().await;
    assert_eq!(mended(&world).await, [(GapKind::Position, Mended::Repair); 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_changed_again_after_the_gap_is_repaired_too() {
    let mut world = World::started().await;
    let ids = world.create("Account", accounts(0..1)).await;
    world.caught_up().await;
    world.stop().await;
    world.update("Account", vec![(ids[0].clone(), json!({"Phone": "nobody was told"}))]).await;
    world.faults(world.source(), json!({"forget_events": true})).await;
    world.start();
    world.live_since(Timestamp(0)).await;
    world.update("Account", vec![(ids[0].clone(), json!({"Name": "told"}))]).await;
    repaired(&world).await;
    world.caught_up().await;
    assert_eq!(world.assert_equal().await, 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_were_too_many_to_list_arrive_all_the_same() {
    let mut world = World::started().await;
    world.control(world.source(), "switches", json!({"overflow_after": 20})).await;
    world.create("Account", accounts(0..150)).await;
    repaired(&world).await;
    world.caught_up().await;
    assert_eq!(world.assert_equal().await, 150);
    world.stop().await;
    assert_eq!(mended(&world).await, [(GapKind::Overflow, Mended::Repair)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_org_does_not_tell_any_more_stays_open_and_is_named_and_the_rest_is_read() {
    let mut world = World::started().await;
    let ids = world.create("Account", accounts(0..5)).await;
    world.caught_up().await;
    world.stop().await;
    world.update("Account", vec![(ids[1].clone(), json!({"Phone": "changed"}))]).await;
    world.delete_in_source(&ids[..1]).await;
    // The log of deletions begins anew behind it.
    world.control(world.source(), "time", json!({"advance_seconds": 600})).await;
    world.empty_bin(world.source()).await;
    world.faults(world.source(), json!({"forget_events": true})).await;
    world.start();
    let failed =
        "SELECT count(*) FROM jobs WHERE ended_how = 'failed' AND why LIKE '%deleted between%does not tell any more%'";
    until("repairs that know their limits", async || number(&world, failed) == 2).await;
    world.caught_up().await;
    let target = &world.orgs[&"target".parse().unwrap()];
    let phones = target.query("SELECT Id FROM Account WHERE Phone = 'changed'").await.unwrap();
    assert_eq!(phones.len(), 1, "what changed was read");
    world.stop().await;
    let gaps = world.open_gaps().await;
    assert!(!gaps.is_empty() && gaps.iter().all(|gap| gap.kind == GapKind::Position), "{gaps:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_that_no_repair_closes_is_closed_by_a_person() {
    let desk = Desk::new().await;
    let world = &desk.world;
    let mut bridge = desk.bridge();
    let ids = world.create("Account", accounts(0..2)).await;
    let state = desk.folder.path().join("demo.db");
    let number = |sql: &str| State::open(&state).and_then(|state| state.number(sql)).unwrap_or(0);
    until("both accounts", async || number("SELECT count(*) FROM links") == 2).await;
    assert!(bridge.terminate().success());
    world.delete_in_source(&ids[..1]).await;
    world.control(world.source(), "time", json!({"advance_seconds": 600})).await;
    world.empty_bin(world.source()).await;
    world.faults(world.source(), json!({"forget_events": true})).await;
    let mut bridge = desk.bridge();
    until("repairs that know their limits", async || {
        number("SELECT count(*) FROM jobs WHERE ended_how = 'failed'") == 2
    })
    .await;
    let (said, code) = desk.said(&["gap", "list"]);
    assert!(
        code == 0 && said.contains("its repair failed: what changed was read; but what was deleted between"),
        "{said}"
    );
    let open = || desk.json(&["status", "--json"])["gaps"].as_array().unwrap().clone();
    let gaps = open();
    assert_eq!(gaps.len(), 2, "{gaps:?}");
    let id = |n: usize| gaps[n]["id"].to_string();
    let (said, code) = desk.said(&["gap", "close", &id(0)]);
    assert!(code == 1 && said.contains("say --yes"), "{said}");
    let (said, code) = desk.said(&["gap", "close", &id(0), "--yes"]);
    assert!(code == 0 && said.contains("Closed."), "{said}");
    let (said, code) = desk.said(&["gap", "close", &id(0), "--yes"]);
    assert!(code == 3 && said.contains("is open"), "{said}");
    assert!(bridge.terminate().success());
    let (said, code) = desk.said(&["gap", "close", &id(1), "--yes"]);
    assert!(code == 0 && said.contains("Closed."), "without a bridge: {said}");
    assert_eq!(open().len(), 0);
}
