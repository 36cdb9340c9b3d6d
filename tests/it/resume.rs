//! What goes wrong between the bridge and its source, and how it goes on.

use std::time::Duration;

use orgbridge::config::{Config, IfMissing, Login};
use orgbridge::emulator::{Emulator, Options, TrafficPlan};
use orgbridge::store::{GapKind, Sqlite, Store};
use serde_json::json;

use crate::state::{State, until};
use crate::support::World;

#[tokio::test(flavor = "multi_thread")]
async fn expired_tokens_and_lost_sessions_lose_nothing_and_renew_once() {
    let mut world = World::by_cometd().await;
    world.start();
    world.live_since(orgbridge::event::Timestamp(0)).await;
    world.source().start_traffic(TrafficPlan { changes: 500, records: 50, per_second: 200, seed: 5, deletes: true });
    for moment in [100, 250, 400] {
        while world.source().traffic().1 < moment {
            tokio::task::yield_now().await;
        }
        world.faults(world.source(), json!({"drop_sessions": true})).await;
    }
    world.faults(world.source(), json!({"expire_tokens": true})).await;
    world.faults(world.target(), json!({"expire_tokens": true})).await;
    while world.source().traffic().0 {
        tokio::task::yield_now().await;
    }
    world.caught_up().await;
    world.assert_equal().await;
    for org in [world.source(), world.target()] {
        let logins = org.stats()["calls"]["token"].as_u64();
        assert_eq!(logins, Some(2), "{}: one login, and one renewal for all who waited", org.name);
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_while_the_bridge_is_stopped_comes_when_it_starts_again() {
    let mut world = World::started().await;
    let ids = world.create("Account", vec![json!({"Name": "before"})]).await;
    world.caught_up().await;
    world.stop().await;
    world.update("Account", vec![(ids[0].clone(), json!({"Name": "meanwhile", "Phone": "1"}))]).await;
    world.create("Account", vec![json!({"Name": "new"})]).await;
    world.start();
    world.caught_up().await;
    assert_eq!(world.assert_equal().await, 2);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_that_was_stopped_before_its_first_event_gets_it_later() {
    let mut world = World::new().await;
    world.start();
    // It has said since when it wants events; whether it is subscribed already must not matter.
    world.until("a subscription", |status| status.subscriptions.len() == 2).await;
    world.live_since(orgbridge::event::Timestamp(0)).await;
    world.stop().await;
    world.create("Account", vec![json!({"Name": "while nobody listened"})]).await;
    world.start();
    world.caught_up().await;
    assert_eq!(world.assert_equal().await, 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_the_org_forgot_is_a_gap_until_what_changed_since_is_read_and_what_comes_next_arrives() {
    let mut world = World::started().await;
    let ids = world.create("Account", vec![json!({"Name": "first"})]).await;
    world.caught_up().await;
    world.stop().await;
    world.update("Account", vec![(ids[0].clone(), json!({"Phone": "lost"}))]).await;
    world.faults(world.source(), json!({"forget_events": true})).await;
    world.start();
    world.caught_up().await;
    world.create("Account", vec![json!({"Name": "second"})]).await;
    world.caught_up().await;
    assert_eq!(world.target().stats()["records"]["Account"], json!(2));
    let open = "SELECT count(*) FROM gaps WHERE closed_at IS NULL";
    until("a repair", async || State::open(&world.config.state).and_then(|state| state.number(open)) == Some(0)).await;
    assert_eq!(world.assert_equal().await, 2);
    world.stop().await;
    let gaps = Sqlite::open(&world.config.state).unwrap().mended_gaps(9).await.unwrap();
    // The contacts' subscription had seen no event, but keepalives gave it a position, too.
    assert_eq!(gaps.iter().map(|gap| gap.kind).collect::<Vec<_>>(), [GapKind::Position; 2]);
    assert!(gaps.iter().all(|gap| gap.from.is_some() && gap.to.is_some()), "{gaps:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_is_older_than_the_bridge_is_fetched_for_its_child_and_nobody_else_is() {
    for what in [IfMissing::Wait, IfMissing::FillLater] {
        let mut world = World::with(|config: &mut Config| {
            let lookups = config.pipelines[1].fields.iter_mut().filter(|(name, _)| name.as_str() == "AccountId");
            lookups.for_each(|(_, rule)| rule.if_missing = Some(what));
        })
        .await;
        let accounts = world.create("Account", vec![json!({"Name": "Old"}), json!({"Name": "Nobody's"})]).await;
        // Their events are on the bus, so the tip is behind them.
        world.control(world.source(), "time", json!({"advance_seconds": 5})).await;
        world.start();
        world.live_since(orgbridge::event::Timestamp(0)).await;
        let of = |name: &str| json!({"LastName": name, "AccountId": accounts[0]});
        world.create("Contact", vec![of("One"), of("Two")]).await;
        world.caught_up().await;
        let quiet = |status: &orgbridge::status::Status| {
            status.pipelines.values().all(|line| line.parked + line.failed + line.unfilled == 0)
        };
        world.until("nothing that waits", quiet).await;
        let target = &world.orgs[&"target".parse().unwrap()];
        let rows = target.query("SELECT Name FROM Account").await.unwrap();
        assert_eq!(rows.len(), 1, "{what:?}: {rows:?}");
        assert_eq!(rows[0]["Name"], json!("Old"));
        let rows = target.query("SELECT Id FROM Contact WHERE Account.Name = 'Old'").await.unwrap();
        assert_eq!(rows.len(), 2, "{what:?}");
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_somebody_deleted_in_the_target_is_made_anew_with_its_children() {
    let mut world = World::started().await;
    let accounts = world.create("Account", vec![json!({"Name": "parent"})]).await;
    world.create("Contact", vec![json!({"LastName": "First", "AccountId": accounts[0]})]).await;
    world.caught_up().await;
    // In the target the account takes its contact with it.
    world.delete_in_target("Account").await;
    let left = &world.target().stats()["records"];
    assert_eq!((&left["Account"], &left["Contact"]), (&json!(0), &json!(0)));
    world.create("Contact", vec![json!({"LastName": "Second", "AccountId": accounts[0]})]).await;
    world.caught_up().await;
    assert_eq!(world.assert_equal().await, 3);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_org_behind_the_same_name_is_refused_before_anything_is_written() {
    let mut world = World::started().await;
    world.stop().await;
    let other = Emulator::start(Options { seed: 99, ..Options::default() }).await.unwrap();
    let running = other.org("target").unwrap();
    let org = world.config.orgs.get_mut(&"target".parse().unwrap()).unwrap();
    org.login_url = running.base_url.parse().unwrap();
    org.login =
        Login::ClientCredentials { key: running.client_id.clone(), secret: running.client_secret.clone().into() };
    world.orgs = orgbridge::bridge::orgs(&world.config).unwrap();
    world.create("Account", vec![json!({"Name": "not for them"})]).await;
    world.start();
    let status =
        world.until("a refused target", |status| status.orgs.values().any(|org| org.other_org_id.is_some())).await;
    let target = &status.orgs[&"target".parse().unwrap()];
    assert_eq!(target.other_org_id.as_ref(), Some(&running.org_id));
    // What the source has changed is journaled all the same.
    world.until("an event", |status| status.subscriptions.values().any(|one| one.journaled > 0)).await;
    world.stop().await;
    assert_eq!(running.stats()["records"]["Account"], json!(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_what_is_in_flight_and_leaves_nothing_suspect() {
    let mut world = World::started().await;
    world.rules(world.target(), json!([{"kind": "answer_late", "delay_ms": 800}])).await;
    world.create("Account", vec![json!({"Name": "in flight"})]).await;
    world.until("a write in flight", |status| status.pipelines.values().any(|line| line.in_flight == 1)).await;
    tokio::time::timeout(Duration::from_secs(20), world.stop()).await.unwrap();
    let store = Sqlite::open(&world.config.state).unwrap();
    assert_eq!(store.sent().await.unwrap(), []);
    assert_eq!(world.target().stats()["records"]["Account"], json!(1));
}
