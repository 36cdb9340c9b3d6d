//! The truth probe: what the org did and its events did not tell.

use std::time::Duration;

use orgbridge::emulator::TrafficPlan;
use orgbridge::event::{OrgName, Timestamp};
use orgbridge::status::Status;
use orgbridge::store::{GapKind, Sqlite, Store};
use serde_json::json;

use crate::state::{State, until};
use crate::support::World;

const EVERY: Duration = Duration::from_secs(4);

async fn world() -> World {
    let mut world = World::with(|config| config.probe_every = EVERY).await;
    world.start();
    world.live_since(Timestamp(0)).await;
    world
}

/// A probe's window begins with the first proof of being live, in whole seconds: what happens from here on is within it.
async fn live_for_a_while(world: &mut World) {
    let now = world.orgs[&"source".parse::<OrgName>().unwrap()].server_time();
    world.live_since(now.plus(Duration::from_secs(2))).await;
}

/// Every gap was repaired.
async fn closed(world: &World) {
    let open = "SELECT count(*) FROM gaps WHERE closed_at IS NULL";
    until("a repair", async || State::open(&world.config.state).and_then(|state| state.number(open)) == Some(0)).await;
}

fn behind(status: &Status, what: &str) -> bool {
    status.subscriptions.values().any(|one| one.behind.as_ref().is_some_and(|why| why.contains(what)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_whose_event_was_never_published_is_found_and_read() {
    let mut world = world().await;
    live_for_a_while(&mut world).await;
    world.control(world.source(), "streams", json!({"lose_events": 10})).await;
    world.create("Account", vec![json!({"Name": "Unheard"})]).await;
    world.until("a subscription that is behind", |status| behind(status, "no event told")).await;
    world
        .until("one that is not any more", |status| status.subscriptions.values().all(|one| one.behind.is_none()))
        .await;
    world.caught_up().await;
    world.assert_equal().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_may_not_be_seen_any_more_opens_one_window() {
    let mut world = world().await;
    let access = |access| json!({"user": "integration@source.example.com", "object": "Account", "field": "Phone", "access": access});
    world.control(world.source(), "access", access("none")).await;
    world.until("a subscription that is behind", |status| behind(status, "Phone")).await;
    // Two more rounds of the probe see the same: each asks for both objects.
    let source = world.source().clone();
    let looks = || source.stats()["calls"]["read"].as_u64().unwrap_or(0);
    let before = looks();
    until("two more looks", async || looks() >= before + 6).await;
    world.control(world.source(), "access", access("edit")).await;
    world.until("one that is not any more", |status| !behind(status, "Phone")).await;
    closed(&world).await;
    world.stop().await;
    let gaps = Sqlite::open(&world.config.state).unwrap().mended_gaps(9).await.unwrap();
    assert_eq!(gaps.iter().filter(|gap| gap.kind == GapKind::Access).count(), 1, "{gaps:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_not_captured_any_more_is_noticed_and_what_changed_meanwhile_is_read() {
    let mut world = world().await;
    live_for_a_while(&mut world).await;
    world.control(world.source(), "capture", json!({"object": "Account", "on": false})).await;
    world.create("Account", vec![json!({"Name": "in silence"})]).await;
    world.until("a subscription that is behind", |status| behind(status, "Change Data Capture")).await;
    world.control(world.source(), "capture", json!({"object": "Account", "on": true})).await;
    world
        .until("one that is not any more", |status| status.subscriptions.values().all(|one| one.behind.is_none()))
        .await;
    // The look that sees the object captured again may end before the record's second; a later one finds it.
    let target = world.orgs[&"target".parse::<OrgName>().unwrap()].clone();
    until("the record in the target", async || {
        target.query("SELECT Id FROM Account").await.is_ok_and(|rows| !rows.is_empty())
    })
    .await;
    world.caught_up().await;
    assert_eq!(world.assert_equal().await, 1);
    closed(&world).await;
    world.stop().await;
    let gaps = Sqlite::open(&world.config.state).unwrap().mended_gaps(9).await.unwrap();
    assert!(gaps.iter().any(|gap| gap.kind == GapKind::Capture), "{gaps:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_healthy_and_deaf_is_noticed_and_opened_anew() {
    let mut world = world().await;
    live_for_a_while(&mut world).await;
    world.control(world.source(), "streams", json!({"deaf": true})).await;
    world.create("Account", vec![json!({"Name": "not heard"})]).await;
    world.until("a subscription that is behind", |status| behind(status, "no event told")).await;
    world.control(world.source(), "streams", json!({"deaf": false})).await;
    world
        .until("one that is not any more", |status| status.subscriptions.values().all(|one| one.behind.is_none()))
        .await;
    world.caught_up().await;
    assert_eq!(world.assert_equal().await, 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lively_traffic_on_a_slow_bus_is_never_taken_for_a_loss() {
    let mut world = World::with(|config| config.probe_every = EVERY).await;
    world.control(world.source(), "streams", json!({"bus_delay_ms": [500, 1_500]})).await;
    world.start();
    world.live_since(Timestamp(0)).await;
    let plan = TrafficPlan { changes: 800, records: 60, per_second: 40, seed: 5, deletes: true };
    world.source().start_traffic(plan);
    while world.source().traffic().0 {
        let status = world.board.watch().borrow().clone();
        assert!(status.subscriptions.values().all(|one| one.behind.is_none()), "{:#?}", status.subscriptions);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    world.caught_up().await;
    world.assert_equal().await;
    world.stop().await;
    assert_eq!(world.open_gaps().await, []);
}
