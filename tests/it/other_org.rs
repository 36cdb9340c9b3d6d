//! Another org behind a login than before.

use orgbridge::event::{OrgName, Timestamp};
use orgbridge::status::report::Report;
use orgbridge::store::{GapKind, Sqlite, Store};
use serde_json::json;

use crate::support::World;

fn name(org: &str) -> OrgName {
    org.parse().unwrap()
}

async fn found(world: &mut World, org: &str) -> String {
    let name = name(org);
    let known = |status: &orgbridge::status::Status| status.orgs.get(&name)?.other_org_id.clone();
    let status = world.until("another org", |status| known(status).is_some()).await;
    known(&status).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_target_org_stops_what_is_written_to_it_and_nothing_else_until_it_is_accepted() {
    let mut world = World::started().await;
    world.create("Account", vec![json!({"Name": "to the old org"})]).await;
    world.caught_up().await;
    let target = world.target().clone();
    world.control(&target, "refresh", json!({})).await;
    let before = target.stats();
    world.create("Account", vec![json!({"Name": "meanwhile"})]).await;
    let new = found(&mut world, "target").await;
    let status = world
        .until("a source that goes on", |status| {
            status.subscriptions.values().map(|one| one.journaled).sum::<u64>() >= 2
        })
        .await;
    assert!(status.orgs[&name("source")].trouble.is_none());
    assert!(status.orgs[&name("target")].trouble.as_ref().unwrap().contains("orgbridge org accept-new target"));
    assert_eq!(target.stats()["records"], before["records"], "nothing was written to the other org");

    let wrong = world.accept("target", "00D000000000000EAA").await.unwrap_err();
    assert!(wrong.contains(&new), "{wrong}");
    assert!(world.accept("source", &new).await.unwrap_err().contains("same org as before"));
    world.accept("target", &new).await.unwrap();
    world
        .until("a status without trouble", |status| {
            let shown = &status.orgs[&name("target")];
            shown.org_id.as_ref() == Some(&new) && shown.trouble.is_none()
        })
        .await;
    world.create("Account", vec![json!({"Name": "to the new org"})]).await;
    world.caught_up().await;
    world.stop().await;
    let records = target.stats()["records"]["Account"].as_u64().unwrap();
    assert!(records > before["records"]["Account"].as_u64().unwrap(), "it is written to again");

    let store = Sqlite::open(&world.config.state).unwrap();
    assert_eq!(store.pinned_org(&name("target")).await.unwrap(), Some(new));
    assert!(world_gaps(&store).await.contains(&GapKind::OtherOrg));
    let report = Report::gather(&store, [name("source"), name("target")], Timestamp::now(), None).await.unwrap();
    assert!(!report.running && report.needs_a_person(), "its window asks for a backfill: {report:#?}");
    assert!(!serde_json::to_string(&report).unwrap().contains("to the new org"), "no values of records");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_source_org_stops_its_subscriptions_and_an_accepted_one_is_subscribed_anew() {
    let mut world = World::started().await;
    world.create("Account", vec![json!({"Name": "of the old org"})]).await;
    world.caught_up().await;
    let source = world.source().clone();
    world.control(&source, "refresh", json!({})).await;
    let new = found(&mut world, "source").await;
    world
        .until("refused subscriptions", |status| {
            status.subscriptions.values().all(|one| one.state.to_string().starts_with("refused: another org"))
        })
        .await;
    world.accept("source", &new).await.unwrap();
    world.live_since(Timestamp::now()).await;
    let before = world.target().stats()["records"]["Account"].as_u64().unwrap();
    world.create("Account", vec![json!({"Name": "of the new org"})]).await;
    world.caught_up().await;
    assert_eq!(world.target().stats()["records"]["Account"].as_u64().unwrap(), before + 1);
    world.stop().await;
    assert!(world_gaps(&Sqlite::open(&world.config.state).unwrap()).await.contains(&GapKind::OtherOrg));
}

async fn world_gaps(store: &Sqlite) -> Vec<GapKind> {
    store.gaps().await.unwrap().iter().map(|gap| gap.kind).collect()
}
