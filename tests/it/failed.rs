//! Failed records: named, kept, and in nobody's way.

use orgbridge::config::Fill;
use orgbridge::store::{ParkedState, Sqlite, Store};
use serde_json::json;

use crate::support::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_with_unsettled_work_can_only_be_removed_by_name() {
    let mut world = World::started().await;
    world.rules(world.target(), json!([{"kind": "refuse"}])).await;
    world.create("Contact", vec![json!({"LastName": "Waits"})]).await;
    world
        .until("a waiting contact", |status| {
            status.pipelines.iter().any(|(name, line)| name.as_str() == "contacts" && line.waiting == 1)
        })
        .await;
    world.stop().await;
    let contacts = world.config.pipelines.pop().unwrap();
    let error = world.ends().await;
    assert!(error.contains("orgbridge pipeline forget contacts"), "{error}");
    // Back in the config it goes on where it was.
    world.no_faults(world.target()).await;
    world.config.pipelines.push(contacts);
    world.start();
    world.caught_up().await;
    assert_eq!(world.assert_equal().await, 1);
    // With nothing left to do it can simply go.
    world.stop().await;
    world.config.pipelines.pop();
    world.start();
    world.until("one pipeline", |status| status.pipelines.len() == 1 && status.targets.len() == 1).await;
    world.stop().await;
    let store = Sqlite::open(&world.config.state).unwrap();
    assert_eq!(store.pipelines().await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_record_fails_alone_with_code_and_evidence_and_its_neighbours_pass() {
    let mut world = World::new().await;
    // A field that is unique in the target, filled by one that is not in the source.
    let phone = Fill::Source("Phone".parse().unwrap()).into();
    world.config.pipelines[0].fields.push(("Emea_Id__c".parse().unwrap(), phone));
    world.start();
    world.live_since(orgbridge::event::Timestamp(0)).await;
    let first = json!({"Name": "holds the number", "Phone": "1"});
    world.create("Account", vec![first]).await;
    world.caught_up().await;
    let mut accounts: Vec<_> = (0..40).map(|n| json!({"Name": format!("good {n}")})).collect();
    accounts.insert(17, json!({"Name": "bad", "Phone": "1"}));
    let ids = world.create("Account", accounts).await;
    let status = world
        .until("one failed record, the others done", |status| {
            status.pipelines.values().any(|line| line.failed == 1)
                && status.targets.values().all(|target| target.caught_up)
        })
        .await;
    assert_eq!(world.target().stats()["records"]["Account"], json!(41));
    drop(status);
    world.stop().await;
    let store = Sqlite::open(&world.config.state).unwrap();
    let failed = store.parked(9).await.unwrap();
    assert_eq!(failed.len(), 1);
    assert_eq!((failed[0].record.as_str(), failed[0].state), (ids[17].as_str(), ParkedState::Failed));
    assert_eq!(failed[0].code, "DUPLICATE_VALUE");
    assert!(failed[0].evidence.contains("duplicate value found"), "{}", failed[0].evidence);
    // It holds no watermark.
    let head = store.head().await.unwrap();
    assert!(store.pipelines().await.unwrap().iter().all(|row| row.watermark == head));
}
