//! A pipeline that stops by itself, and goes on when a person says so.

use std::time::Duration;

use orgbridge::config::{Brakes, Fill, KeyChanges, Limit};
use orgbridge::event::{OrgName, Timestamp};
use orgbridge::status::report::Report;
use orgbridge::store::Sqlite;
use serde_json::json;

use crate::support::World;

#[tokio::test(flavor = "multi_thread")]
async fn too_many_deletes_halt_a_pipeline_and_its_neighbours_go_on_until_it_is_resumed() {
    let limit = Limit { most: 5, within: Duration::from_secs(600) };
    let mut world = World::with(|config| {
        config.pipelines[0].brakes = Brakes { deletes: Some(limit), ..Brakes::default() };
    })
    .await;
    world.start();
    world.live_since(Timestamp(0)).await;
    let accounts: Vec<_> = (0..20).map(|n| json!({"Name": format!("account {n}")})).collect();
    let ids = world.create("Account", accounts).await;
    world.caught_up().await;
    let accounts_there = |world: &World| world.target().stats()["records"]["Account"].as_u64().unwrap();
    let before = accounts_there(&world);

    world.delete_in_source(&ids).await;
    let name = "accounts".parse().unwrap();
    let status = world.until("a halt", |status| status.pipelines[&name].halted.is_some()).await;
    assert_eq!(status.pipelines[&name].halted.as_deref(), Some("more than 5 deletes in 10m"));
    world.create("Contact", vec![json!({"LastName": "goes on"})]).await;
    world.caught_up().await;
    assert_eq!(accounts_there(&world), before - 5);
    assert_eq!(world.target().stats()["records"]["Contact"], 1);

    // A restart changes nothing.
    world.stop().await;
    world.start();
    world.live_since(Timestamp::now()).await;
    world.caught_up().await;
    assert_eq!(accounts_there(&world), before - 5);
    world.stop().await;
    let orgs = ["source", "target"].map(|org| org.parse::<OrgName>().unwrap());
    let store = Sqlite::open(&world.config.state).unwrap();
    let report = Report::gather(&store, orgs, Timestamp::now(), None).await.unwrap();
    assert!(report.needs_a_person());
    let accounts = report.pipelines.iter().find(|pipeline| pipeline.name == "accounts").unwrap();
    assert!(accounts.halted.as_ref().unwrap().starts_with("more than 5 deletes in 10m (since "));
    assert_eq!((accounts.parked, accounts.causes[0].code.as_str()), (15, "PIPELINE_HALTED"));
    drop(store);

    world.start();
    assert_eq!(world.resume("accounts").await, Ok(true), "more than the limit are let pass");
    world
        .until("all deletes", |status| status.pipelines[&name].parked == 0 && status.pipelines[&name].halted.is_none())
        .await;
    world.caught_up().await;
    assert_eq!(accounts_there(&world), before - 20);
    assert_eq!(world.resume("accounts").await, Ok(false));
    assert!(world.resume("acounts").await.unwrap_err().contains("no pipeline acounts"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_changes_halts_a_pipeline_and_is_written_under_the_old_link_when_it_is_resumed() {
    let mut world = World::with(|config| {
        config.pipelines.truncate(1);
        let accounts = &mut config.pipelines[0];
        accounts.publishing.key_changes = KeyChanges::Halt;
        accounts.fields.retain(|(name, _)| ["Source_Id__c", "Name"].contains(&name.as_str()));
        accounts.fields[0].1 = Fill::Source("AccountNumber".parse().unwrap()).into();
    })
    .await;
    world.start();
    world.live_since(Timestamp(0)).await;
    let account = world.create("Account", vec![json!({"Name": "Acme", "AccountNumber": "A-1"})]).await.remove(0);
    world.caught_up().await;
    let target = world.orgs[&"target".parse::<OrgName>().unwrap()].clone();
    let row = async || target.query("SELECT Id, Source_Id__c FROM Account").await.unwrap().remove(0);
    let before = row().await;
    world.update("Account", vec![(account, json!({"AccountNumber": "A-2"}))]).await;
    let name = "accounts".parse().unwrap();
    let status = world.until("a halt", |status| status.pipelines[&name].halted.is_some()).await;
    let why = status.pipelines[&name].halted.clone().unwrap();
    assert!(why.contains("Source_Id__c") && why.contains("it has a counterpart"), "{why}");
    assert_eq!(row().await, before);
    assert_eq!(world.resume("accounts").await, Ok(true));
    world
        .until("the change", |status| status.pipelines[&name].parked == 0 && status.pipelines[&name].halted.is_none())
        .await;
    world.caught_up().await;
    let after = row().await;
    assert_eq!((&after["Id"], &after["Source_Id__c"]), (&before["Id"], &json!("A-2")));
    world.stop().await;
}
