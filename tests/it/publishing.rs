//! How records get into the target: its own rules, keys that are taken, counterparts that are gone, and steps.

use std::collections::BTreeMap;

use orgbridge::config::{
    AssignmentRules, Duplicates, Fill, OnUndelete, PipelineConfig, Publishing, SaveOptions, WhenTargetGone,
};
use orgbridge::event::{RecordId, Timestamp, Value};
use orgbridge::status::Status;
use orgbridge::store::{Parked, ParkedState, Sqlite, Store};
use serde_json::{Value as Json, json};

use crate::support::World;

/// A bridge with this publishing on its first pipeline, the accounts.
async fn accounts_with(publishing: Publishing) -> World {
    let mut world = World::with(|config| config.pipelines[0].publishing = publishing).await;
    world.start();
    world.live_since(Timestamp(0)).await;
    world
}

async fn in_target(world: &World, soql: &str) -> Vec<Json> {
    let rows = world.orgs[&"target".parse().unwrap()].query(soql).await.unwrap();
    rows.into_iter().map(Json::Object).collect()
}

async fn parked(world: &World) -> Vec<Parked> {
    Sqlite::open(&world.config.state).unwrap().parked(9).await.unwrap()
}

fn failed(status: &Status) -> u64 {
    status.pipelines.values().map(|line| line.failed).sum()
}

fn kept(status: &Status) -> u64 {
    status.pipelines.values().map(|line| line.kept).sum()
}

fn left_gone(status: &Status) -> u64 {
    status.pipelines.values().map(|line| line.left_gone).sum()
}

/// A pipeline like the contacts', for another object with these fields.
fn pipeline_of(object: &str, fields: &[&str], like: &PipelineConfig) -> PipelineConfig {
    let field = |name: &&str| (name.parse().unwrap(), Fill::Source(name.parse().unwrap()).into());
    let mut pipeline = like.clone();
    pipeline.name = object.to_lowercase().parse().unwrap();
    pipeline.from.object = object.parse().unwrap();
    pipeline.from.channel = format!("/data/{object}ChangeEvent").parse().unwrap();
    pipeline.to.object = pipeline.from.object.clone();
    pipeline.fields = fields.iter().map(field).collect();
    pipeline.fields.push(("Source_Id__c".parse().unwrap(), Fill::Source("Id".parse().unwrap()).into()));
    pipeline
}

#[tokio::test(flavor = "multi_thread")]
async fn assignment_rules_of_the_target_give_an_owner_only_where_they_are_wanted() {
    let rule = AssignmentRules::Rule("01Q000000000001".parse().unwrap());
    for (rules, owner) in [(AssignmentRules::Off, "005"), (AssignmentRules::Active, "00G"), (rule, "00G")] {
        let mut world = World::with(|config| {
            let mut cases = pipeline_of("Case", &["Subject"], &config.pipelines[1]);
            cases.publishing.options = SaveOptions { assignment_rules: rules, ..SaveOptions::default() };
            // What is not asked for stays so beside it.
            config.pipelines = vec![cases, pipeline_of("Lead", &["Company"], &config.pipelines[1])];
            let name = ("LastName".parse().unwrap(), Fill::Source("Name.LastName".parse().unwrap()).into());
            let country = ("Country".parse().unwrap(), Fill::Constant(Value::text("Germany")).into());
            config.pipelines[1].fields.extend([name, country]);
        })
        .await;
        world.start();
        world.live_since(Timestamp(0)).await;
        world.create("Case", vec![json!({"Subject": "first"}), json!({"Subject": "second"})]).await;
        world.create("Lead", vec![json!({"LastName": "Roe", "Company": "Acme"})]).await;
        world.caught_up().await;
        let owners = in_target(&world, "SELECT OwnerId FROM Case").await;
        assert_eq!(owners.len(), 2);
        for row in &owners {
            assert!(row["OwnerId"].as_str().unwrap().starts_with(owner), "{rules:?}: {row}");
        }
        let leads = in_target(&world, "SELECT OwnerId FROM Lead").await;
        assert!(leads[0]["OwnerId"].as_str().unwrap().starts_with("005"), "{leads:?}");
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_that_a_rule_only_alerts_of_is_saved_where_that_is_wanted_and_fails_elsewhere() {
    for (duplicates, saved) in [(Duplicates::Fail, 1), (Duplicates::SaveAlerts, 2)] {
        let mut world = World::with(|config| {
            let contacts = &mut config.pipelines[1];
            contacts.publishing.options.duplicates = duplicates;
            contacts.fields.retain(|(name, _)| name.as_str() != "Email");
            let same = Fill::Constant(Value::text("same@example.com")).into();
            contacts.fields.push(("Email".parse().unwrap(), same));
        })
        .await;
        world.start();
        world.live_since(Timestamp(0)).await;
        world.create("Contact", vec![json!({"LastName": "Twin"}), json!({"LastName": "Twin"})]).await;
        world.caught_up().await;
        world
            .until("what becomes of both", |status| {
                failed(status) == 2 - saved && status.targets.values().all(|target| target.caught_up)
            })
            .await;
        assert_eq!(world.target().stats()["records"]["Contact"], json!(saved));
        world.stop().await;
        let codes: Vec<String> = parked(&world).await.into_iter().map(|row| row.code).collect();
        assert_eq!(codes, if saved == 1 { vec!["DUPLICATES_DETECTED"] } else { vec![] });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_another_record_holds_is_a_failed_record_that_names_the_holder() {
    let mut world = World::with(|config| {
        let accounts = &mut config.pipelines[0];
        accounts.to.key = "Emea_Id__c".parse().unwrap();
        accounts.fields.push(("Emea_Id__c".parse().unwrap(), Fill::Source("Phone".parse().unwrap()).into()));
    })
    .await;
    world.start();
    world.live_since(Timestamp(0)).await;
    let accounts: Vec<Json> = (0..5).map(|n| json!({"Name": format!("A{n}"), "Phone": format!("{n}")})).collect();
    let ids = world.create("Account", accounts).await;
    world.caught_up().await;
    // Number 1 wants the key of number 0; its neighbours change in the same breath.
    let change = |n: usize, phone: &str| (ids[n].clone(), json!({"Phone": phone}));
    world.update("Account", vec![change(1, "0"), change(2, "22"), change(3, "33")]).await;
    world.caught_up().await;
    world
        .until("one failed record", |status| {
            failed(status) == 1 && status.targets.values().all(|target| target.caught_up)
        })
        .await;
    let rows = in_target(&world, "SELECT Id, Source_Id__c, Emea_Id__c FROM Account").await;
    let by_source: BTreeMap<&str, &Json> =
        rows.iter().map(|row| (row["Source_Id__c"].as_str().unwrap(), row)).collect();
    let keys: Vec<&Json> = ids.iter().map(|id| &by_source[id.as_str()]["Emea_Id__c"]).collect();
    assert_eq!(keys, ["0", "1", "22", "33", "4"]);
    world.stop().await;
    let rows = parked(&world).await;
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].record.as_str(), rows[0].state), (ids[1].as_str(), ParkedState::Failed));
    assert_eq!((rows[0].code.as_str(), &rows[0].fields[..]), ("KEY_TAKEN", &["Emea_Id__c".to_owned()][..]));
    let holder: RecordId = by_source[ids[0].as_str()]["Id"].as_str().unwrap().parse().unwrap();
    assert!(rows[0].evidence.contains(&holder.as_str()[..15]), "{}", rows[0].evidence);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_records_that_are_deleted_in_the_source_the_one_that_the_bridge_found_in_the_target_is_kept_there() {
    let mut world = accounts_with(Publishing::default()).await;
    world.create("Account", vec![json!({"Name": "first"})]).await;
    world.caught_up().await;
    world.stop().await;
    let ids = world.create("Account", vec![json!({"Name": "made"}), json!({"Name": "found"})]).await;
    let (object, key) = ("Account".parse().unwrap(), "Source_Id__c".parse().unwrap());
    let row = json!({"Name": "before", "Source_Id__c": ids[1]});
    let target = world.orgs[&"target".parse().unwrap()].clone();
    target.upsert(&object, &key, vec![row.as_object().unwrap().clone()], SaveOptions::default()).await.unwrap();
    world.start();
    world.caught_up().await;
    world.delete_in_source(&ids).await;
    world.caught_up().await;
    world.until("a kept record", |status| kept(status) == 1).await;
    let rows = in_target(&world, "SELECT Name FROM Account ORDER BY Name").await;
    let names: Vec<_> = rows.iter().map(|row| row["Name"].as_str().unwrap()).collect();
    assert_eq!(names, ["first", "found"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_counterpart_that_somebody_deleted_in_the_target_can_stay_deleted() {
    let mut world = accounts_with(Publishing { when_target_gone: WhenTargetGone::Skip, ..Publishing::default() }).await;
    let ids = world.create("Account", (0..3).map(|n| json!({"Name": format!("A{n}")})).collect()).await;
    world.caught_up().await;
    world.delete_in_target("Account").await;
    for (n, phone) in [(3, "1"), (6, "2")] {
        world.update("Account", ids.iter().map(|id| (id.clone(), json!({"Phone": phone}))).collect()).await;
        world.caught_up().await;
        world.until("skipped changes", |status| left_gone(status) == n).await;
        assert_eq!(world.target().stats()["records"]["Account"], json!(0));
    }
    // Others go on.
    world.create("Account", vec![json!({"Name": "new"})]).await;
    world.caught_up().await;
    assert_eq!(world.target().stats()["records"]["Account"], json!(1));
    world.stop().await;
    assert!(parked(&world).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_counterpart_that_somebody_deleted_in_the_target_can_be_a_failed_record() {
    let mut world = accounts_with(Publishing { when_target_gone: WhenTargetGone::Fail, ..Publishing::default() }).await;
    let ids = world.create("Account", vec![json!({"Name": "A"}), json!({"Name": "B"})]).await;
    world.caught_up().await;
    let there = in_target(&world, "SELECT Id FROM Account WHERE Name = 'A'").await;
    let target = &world.orgs[&"target".parse().unwrap()];
    target.delete(&[there[0]["Id"].as_str().unwrap().parse().unwrap()]).await.unwrap();
    world.update("Account", ids.iter().map(|id| (id.clone(), json!({"Phone": "1"}))).collect()).await;
    world.caught_up().await;
    world.until("one failed record", |status| failed(status) == 1).await;
    let rows = in_target(&world, "SELECT Name, Phone FROM Account").await;
    assert_eq!((rows.len(), &rows[0]["Name"], &rows[0]["Phone"]), (1, &json!("B"), &json!("1")));
    world.stop().await;
    let rows = parked(&world).await;
    assert_eq!((rows[0].code.as_str(), rows[0].record.as_str()), ("TARGET_GONE", ids[0].as_str()));
    assert!(rows[0].evidence.contains(there[0]["Id"].as_str().unwrap()), "{}", rows[0].evidence);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_back_in_the_source_can_stay_deleted_in_the_target() {
    for (on_undelete, live) in [(OnUndelete::Recreate, 1), (OnUndelete::Ignore, 0)] {
        let mut world = accounts_with(Publishing { on_undelete, ..Publishing::default() }).await;
        let ids = world.create("Account", vec![json!({"Name": "A"})]).await;
        world.caught_up().await;
        let source = world.orgs[&"source".parse().unwrap()].clone();
        source.delete(&[ids[0].parse().unwrap()]).await.unwrap();
        world.caught_up().await;
        assert_eq!(world.target().stats()["records"]["Account"], json!(0));
        world.control(world.source(), "undelete", json!({"ids": [ids[0]]})).await;
        world.caught_up().await;
        world.update("Account", vec![(ids[0].clone(), json!({"Phone": "later"}))]).await;
        world.caught_up().await;
        assert_eq!(world.target().stats()["records"]["Account"], json!(live), "{on_undelete:?}");
        world.stop().await;
    }
}

/// Both pipelines take counterparts out of the bin, and delete only what the bridge created.
async fn restoring() -> World {
    let mut world = World::with(|config| {
        for pipeline in &mut config.pipelines {
            pipeline.publishing = Publishing { on_undelete: OnUndelete::Restore, ..Publishing::default() };
        }
    })
    .await;
    world.start();
    world.live_since(Timestamp(0)).await;
    world
}

/// The ids in the target, in order.
async fn there(world: &World, object: &str) -> Vec<Json> {
    let rows = in_target(world, &format!("SELECT Id FROM {object} ORDER BY Id")).await;
    rows.into_iter().map(|mut row| row["Id"].take()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_back_in_the_source_comes_out_of_the_bin_of_the_target() {
    let mut world = restoring().await;
    let accounts = world.create("Account", vec![json!({"Name": "A"}), json!({"Name": "B"})]).await;
    let of = |n: usize, name: &str| json!({"LastName": name, "AccountId": accounts[n]});
    let contacts = world.create("Contact", vec![of(0, "One"), of(0, "Two"), of(1, "Three")]).await;
    world.caught_up().await;
    let before = (there(&world, "Account").await, there(&world, "Contact").await);
    assert_eq!((before.0.len(), before.1.len()), (2, 3));
    // Twice: what came back is the bridge's own still, and may be deleted.
    for _ in 0..2 {
        world.delete_in_source(&accounts).await;
        world.caught_up().await;
        assert_eq!((there(&world, "Account").await.len(), there(&world, "Contact").await.len()), (0, 0));
        world.control(world.source(), "undelete", json!({"ids": accounts})).await;
        world.caught_up().await;
        assert_eq!((there(&world, "Account").await, there(&world, "Contact").await), before);
        assert_eq!(world.assert_equal().await, 5);
    }
    // Also a contact that came back with its account is.
    world.delete_in_source(&contacts[..1]).await;
    world.caught_up().await;
    assert_eq!(there(&world, "Contact").await.len(), 2);
    assert_eq!(world.assert_equal().await, 4);
    world.until("nothing kept", |status| kept(status) == 0).await;
    world.stop().await;
    assert!(parked(&world).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_in_the_bin_any_more_or_cannot_be_taken_out_is_made_anew() {
    for emptied in [true, false] {
        let mut world = restoring().await;
        let accounts = world.create("Account", vec![json!({"Name": "A"})]).await;
        world.create("Contact", vec![json!({"LastName": "One", "AccountId": accounts[0]})]).await;
        world.caught_up().await;
        let before = (there(&world, "Account").await, there(&world, "Contact").await);
        world.delete_in_source(&accounts).await;
        world.caught_up().await;
        if emptied {
            world.empty_bin(world.target()).await;
        } else {
            let rule =
                json!([{"kind": "refuse", "path": "/services/Soap/*", "status": 403, "code": "INSUFFICIENT_ACCESS"}]);
            world.rules(world.target(), rule).await;
        }
        world.control(world.source(), "undelete", json!({"ids": accounts})).await;
        world.caught_up().await;
        let after = (there(&world, "Account").await, there(&world, "Contact").await);
        assert_eq!((after.0.len(), after.1.len()), (1, 1));
        assert!(after.0 != before.0 && after.1 != before.1, "{emptied}: {after:?}");
        assert_eq!(world.assert_equal().await, 2);
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_has_ended_takes_nothing_out_of_the_bin_and_is_renewed() {
    let mut world = restoring().await;
    let accounts = world.create("Account", vec![json!({"Name": "A"})]).await;
    world.caught_up().await;
    let before = there(&world, "Account").await;
    world.delete_in_source(&accounts).await;
    world.caught_up().await;
    // Once: what comes after it, goes through with a new session.
    let rule = json!([{"kind": "refuse", "path": "/services/Soap/*", "status": 500, "code": "INVALID_SESSION_ID", "times": 1}]);
    world.rules(world.target(), rule).await;
    world.control(world.source(), "undelete", json!({"ids": accounts})).await;
    world.caught_up().await;
    assert_eq!(there(&world, "Account").await, before);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_waited_for_the_target_are_written_one_by_one_where_each_counts() {
    for (coalesce, written) in [(true, 1), (false, 4)] {
        let mut world = World::with(|config| config.pipelines[1].publishing.coalesce = coalesce).await;
        world.start();
        world.live_since(Timestamp(0)).await;
        let ids = world.create("Contact", vec![json!({"LastName": "Roe"})]).await;
        world.caught_up().await;
        world.rules(world.target(), json!([{"kind": "refuse"}])).await;
        for step in 1..=4 {
            world.update("Contact", vec![(ids[0].clone(), json!({"Title": format!("step {step}")}))]).await;
        }
        world
            .until("all steps taken", |status| {
                status.pipelines.iter().any(|(name, line)| name.as_str() == "contacts" && line.taken == 5)
            })
            .await;
        let before = world.target().stats()["rows_written"].as_u64().unwrap();
        world.no_faults(world.target()).await;
        world.caught_up().await;
        assert_eq!(world.assert_equal().await, 1);
        assert_eq!(world.target().stats()["rows_written"].as_u64().unwrap() - before, written, "coalesce: {coalesce}");
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_loser_of_a_merge_is_deleted_and_its_contacts_keep_their_counterparts() {
    let mut world = World::started().await;
    let names = ["A", "B", "C"].map(|name| json!({"Name": name}));
    let accounts = world.create("Account", names.to_vec()).await;
    let of = |n: usize, name: &str| json!({"LastName": name, "AccountId": accounts[n]});
    world.create("Contact", vec![of(0, "One"), of(0, "Two"), of(1, "Three")]).await;
    world.caught_up().await;
    let before = there(&world, "Contact").await;
    // What moves them and what deletes comes together, and once through two winners.
    world.rules(world.target(), json!([{"kind": "refuse"}])).await;
    for (loser, winner) in [(0, 1), (1, 2)] {
        let merge = json!({"master": accounts[winner], "losers": [accounts[loser]]});
        world.control(world.source(), "merge", merge).await;
    }
    world.no_faults(world.target()).await;
    world.caught_up().await;
    assert_eq!(there(&world, "Contact").await, before, "none was deleted and made anew");
    assert_eq!(world.assert_equal().await, 4);
    world.stop().await;
}
