//! Failed records: named, kept, and in nobody's way.

use orgbridge::bridge::Command;
use orgbridge::config::{Fill, IfMissing};
use orgbridge::event::{OrgName, PipelineName, Timestamp};
use orgbridge::status::{PipelineStatus, Status};
use orgbridge::store::{ParkedState, Sqlite, Store, Which};
use serde_json::json;

use crate::state::{State, until};
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

/// A number that two accounts of the source have, and only one of the target may: the second one fails.
async fn with_a_failed_account(world: &mut World) -> (String, String) {
    let phone = Fill::Source("Phone".parse().unwrap()).into();
    world.config.pipelines[0].fields.push(("Emea_Id__c".parse().unwrap(), phone));
    let parent = world.config.pipelines[1].fields.iter_mut().find(|(field, _)| field.as_str() == "AccountId");
    parent.unwrap().1.if_missing = Some(IfMissing::Wait);
    world.start();
    world.live_since(Timestamp(0)).await;
    let holder = world.create("Account", vec![json!({"Name": "holds the number", "Phone": "1"})]).await.remove(0);
    world.caught_up().await;
    let bad = json!({"Name": "bad", "Phone": "1", "Website": "https://first.example"});
    let bad = world.create("Account", vec![bad]).await.remove(0);
    failed(world, 1).await;
    (holder, bad)
}

async fn failed(world: &mut World, records: u64) {
    let all = |status: &Status| status.pipelines.values().map(|line| line.failed).sum::<u64>();
    world.until("failed records", |status| all(status) == records).await;
}

fn of(record: &str) -> Which {
    Which { record: Some(record.parse().unwrap()), ..Which::default() }
}

async fn redrive(world: &World, which: Which) -> Result<u64, String> {
    world.told(|done| Command::Redrive { which, done }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_ends_on_the_record_as_it_is_now_and_never_on_an_older_state() {
    let mut world = World::new().await;
    let (holder, bad) = with_a_failed_account(&mut world).await;
    // It changes several times while it is failed, and is not tried again so soon.
    for website in ["second", "third", "last"] {
        let website = format!("https://{website}.example");
        world.update("Account", vec![(bad.clone(), json!({"Website": website}))]).await;
    }
    let taken = |status: &Status| status.pipelines.values().map(|line| line.taken).sum::<u64>();
    world.until("two accounts and three changes", |status| taken(status) == 5).await;
    assert_eq!(redrive(&world, of(&holder)).await, Ok(0), "it has not failed");
    // Nothing was mended: it fails again, and stays.
    assert_eq!(redrive(&world, of(&bad)).await, Ok(1));
    let attempts = async |world: &World| {
        let state = State::open(&world.config.state).unwrap();
        state.number("SELECT attempts FROM parked WHERE redrive_at IS NULL")
    };
    until("a second try", async || attempts(&world).await == Some(2)).await;
    // Now it is.
    world.update("Account", vec![(holder, json!({"Phone": "2"}))]).await;
    world.caught_up().await;
    world.update("Account", vec![(bad.clone(), json!({"Website": "https://newest.example"}))]).await;
    assert_eq!(redrive(&world, Which::default()).await, Ok(1));
    failed(&mut world, 0).await;
    world.caught_up().await;
    assert_eq!(world.assert_equal().await, 2);
    world.stop().await;
    let store = Sqlite::open(&world.config.state).unwrap();
    assert_eq!(store.parked(9).await.unwrap(), []);
    let healed = store.healed(&Which::default(), Timestamp::now(), 9).await.unwrap();
    assert_eq!(healed.len(), 1);
    assert_eq!((healed[0].record.as_str(), healed[0].code.as_str()), (bad.as_str(), "DUPLICATE_VALUE"));
    assert_eq!((healed[0].attempts, healed[0].how.as_str()), (2, "healed by a redrive"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discarded_record_is_given_up_its_children_fail_by_name_and_its_next_change_brings_both() {
    let mut world = World::new().await;
    let (_, bad) = with_a_failed_account(&mut world).await;
    world.create("Contact", vec![json!({"LastName": "Child", "AccountId": bad})]).await;
    world.until("a contact that waits", |status| status.pipelines.values().any(|line| line.parked == 1)).await;
    let discard = async |world: &World, which: Which| world.told(|done| Command::Discard { which, done }).await;
    assert_eq!(discard(&world, of(&bad)).await, Ok(1));
    assert_eq!(discard(&world, of(&bad)).await, Ok(0));
    failed(&mut world, 1).await;
    world.live_since(Timestamp::now()).await;
    world.caught_up().await;
    assert_eq!(world.target().stats()["records"]["Account"], 1, "it is not tried again by itself");
    let state = State::open(&world.config.state).unwrap();
    assert_eq!(state.number("SELECT count(*) FROM parked WHERE code = 'PARENT_DISCARDED'"), Some(1));
    // Its next change is one like any other.
    world.update("Account", vec![(bad, json!({"Phone": "3"}))]).await;
    failed(&mut world, 0).await;
    world.caught_up().await;
    assert_eq!(world.assert_equal().await, 3);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_into_a_paused_org_and_nothing_is_lost_meanwhile() {
    let mut world = World::started().await;
    let target: OrgName = "target".parse().unwrap();
    let org = target.clone();
    let pause = async |world: &World, org: OrgName| {
        let reason = "storms".to_owned();
        world.told(|done| Command::PauseOrg { org, reason, done }).await
    };
    assert_eq!(pause(&world, target.clone()).await, Ok(true));
    assert_eq!(pause(&world, target.clone()).await, Ok(false));
    assert!(pause(&world, "nobody".parse().unwrap()).await.unwrap_err().contains("no org nobody"));
    world.live_since(Timestamp::now()).await;
    let account = world.create("Account", vec![json!({"Name": "Waits"})]).await.remove(0);
    world.create("Contact", vec![json!({"LastName": "Child", "AccountId": account})]).await;
    let all_wait = |status: &Status| {
        let idle = |line: &PipelineStatus| line.waiting == 1 && line.parked + line.failed == 0;
        status.pipelines.len() == 2 && status.pipelines.values().all(idle)
    };
    let status = world.until("two records that wait", all_wait).await;
    assert!(!status.targets[&target].caught_up, "there is work");
    // A restart changes nothing.
    world.stop().await;
    world.start();
    let status = world.until("two records that wait still", all_wait).await;
    assert!(!status.targets[&target].caught_up);
    let records = world.target().stats()["records"].clone();
    assert!(records["Account"].is_null() || records["Account"] == 0, "{records}");
    assert_eq!(world.told(|done| Command::ResumeOrg { org, done }).await, Ok(true));
    world.live_since(Timestamp::now()).await;
    world.caught_up().await;
    assert_eq!(world.assert_equal().await, 2);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_that_is_paused_by_hand_keeps_what_comes_and_its_neighbours_go_on() {
    let mut world = World::started().await;
    let name: PipelineName = "accounts".parse().unwrap();
    let pause = async |world: &World, pipeline: PipelineName| {
        let reason = "storms".to_owned();
        world.told(|done| Command::Pause { pipeline, reason, done }).await
    };
    assert_eq!(pause(&world, name.clone()).await, Ok(true));
    assert_eq!(pause(&world, name.clone()).await, Ok(false));
    assert!(pause(&world, "nobody".parse().unwrap()).await.unwrap_err().contains("no pipeline nobody"));
    world.live_since(Timestamp::now()).await;
    world.create("Account", vec![json!({"Name": "Waits"})]).await;
    world.create("Contact", vec![json!({"LastName": "Goes on"})]).await;
    let status = world.until("a record that waits", |status| status.pipelines[&name].parked == 1).await;
    assert_eq!(status.pipelines[&name].halted.as_deref(), Some("paused by hand: storms"));
    world.caught_up().await;
    assert_eq!(world.target().stats()["records"]["Contact"], 1);
    assert_eq!(world.resume("accounts").await, Ok(true));
    world.until("what waited", |status| status.pipelines[&name].parked == 0).await;
    world.caught_up().await;
    assert_eq!(world.assert_equal().await, 2);
    world.stop().await;
}
