//! Whether the two orgs agree is told as it is: every difference, and none other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use orgbridge::bridge::Command;
use orgbridge::config::{Fill, Login, NoLongerMatching, OnDelete, SaveOptions, WriteOn};
use orgbridge::emulator::Scenario;
use orgbridge::event::{OrgName, RecordId, Timestamp, Value};
use orgbridge::mapping::Expression;
use orgbridge::store::{Difference, Finding, Mend, Sqlite, Store, Verification, VerificationNumber, Wish};
use secrecy::SecretString;
use serde_json::{Map, Value as Json, json};

use crate::state::{State, until};
use crate::support::World;

/// What the state says; a question that it cannot answer fails the test.
fn told_number(world: &World, sql: &str) -> i64 {
    State::open(&world.config.state).unwrap().number(sql).unwrap()
}

/// The same while it may not say yet.
fn number(world: &World, sql: &str) -> i64 {
    State::open(&world.config.state).and_then(|state| state.number(sql)).unwrap_or(0)
}

/// A comparison in the bridge that runs, until it is over.
async fn verified(world: &World, pipelines: &[&str], wish: Wish) {
    let pipelines = pipelines.iter().map(|name| name.parse().unwrap()).collect();
    let numbers = world.told(|done| Command::Verify { pipelines, wish, done }).await.unwrap();
    let list = numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
    let open = format!("SELECT count(*) FROM verifications WHERE number IN ({list}) AND ended_at IS NOT NULL");
    until("the end of a comparison", async || number(world, &open) == numbers.len() as i64).await;
}

/// What the last comparison of a pipeline says, of a bridge that is stopped.
async fn told(world: &World, pipeline: &str) -> (Verification, Vec<Difference>) {
    let store = Sqlite::open(&world.config.state).unwrap();
    let row = store.pipelines().await.unwrap().into_iter().find(|row| row.identity.name.as_str() == pipeline).unwrap();
    let last = store.verifications().await.unwrap().into_iter().rfind(|one| one.pipeline == row.id).unwrap();
    let found = store.differences(last.number, 0, 100_000).await.unwrap();
    (last, found)
}

/// The target as Olga, who works there.
async fn olga(world: &World) -> orgbridge::org::Org {
    let mut apps = world.control_get(world.target(), "apps").await;
    let list = apps.as_array_mut().unwrap();
    list.push(
        json!({"name": "browser", "consumer_key": "olga", "consumer_secret": "hers", "flows": ["client_credentials"],
                     "client_credentials_user": "olga@target.example.com"}),
    );
    world.control(world.target(), "apps", apps).await;
    let mut config = world.config.orgs[&"target".parse::<OrgName>().unwrap()].clone();
    config.login = Login::ClientCredentials { key: "olga".to_owned(), secret: SecretString::from("hers") };
    orgbridge::org::Org::new(config).unwrap()
}

fn target(world: &World) -> orgbridge::org::Org {
    world.orgs[&"target".parse::<OrgName>().unwrap()].clone()
}

/// The counterparts' ids by the ids in the source.
async fn counterparts(world: &World, object: &str) -> BTreeMap<String, String> {
    let rows = target(world).query(&format!("SELECT Id, Source_Id__c FROM {object}")).await.unwrap();
    let text = |row: &Map<String, Json>, field: &str| row[field].as_str().map(str::to_owned);
    rows.iter().filter_map(|row| Some((text(row, "Source_Id__c")?, text(row, "Id")?))).collect()
}

/// Changes a field of records of the target, by the bridge's user or by another.
async fn change_there(org: &orgbridge::org::Org, ids: &[String], field: &str, value: Json) {
    let record = |id: &String| json!({"id": id, field: value}).as_object().unwrap().clone();
    let records = ids.iter().map(record).collect();
    let saved = org.update(&"Account".parse().unwrap(), records, SaveOptions::default()).await.unwrap();
    assert_eq!(saved.len(), ids.len());
}

fn ids(found: &[Difference], what: Finding) -> BTreeSet<String> {
    let own = found.iter().filter(|one| one.what == what);
    own.filter_map(|one| one.record.or(one.target)).map(|id| id.to_string()).collect()
}

fn set(ids: &[String]) -> BTreeSet<String> {
    ids.iter().cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_one_of_a_hundred_differences_is_found_and_none_other_and_what_can_be_mended_is() {
    let mut world = World::with(|config| {
        config.pipelines.truncate(1);
        config.pipelines[0].when = Some(Expression::compile("Industry != \"Test\"").unwrap());
        config.pipelines[0].when_no_longer_matching = NoLongerMatching::Delete;
    })
    .await;
    world.start();
    world.live_since(Timestamp(0)).await;
    let account = |n: usize| {
        json!({"Name": format!("Account {n}"), "Phone": format!("+41 {n}"), "NumberOfEmployees": n,
               "AnnualRevenue": n as f64 + 0.25, "Industry": if n.is_multiple_of(50) { "Test" } else { "Banking" }})
    };
    let all = world.create("Account", (0..700).map(account).collect()).await;
    world.caught_up().await;
    let there = counterparts(&world, "Account").await;
    assert_eq!(there.len(), 686);
    let mut live: Vec<String> = all.iter().filter(|id| there.contains_key(*id)).cloned().collect();
    let mut some = |n: usize| live.split_off(live.len() - n);
    let counterparts_of = |ids: &[String]| ids.iter().map(|id| there[id].clone()).collect::<Vec<_>>();

    // 20 changes, 10 entries, 10 exits and 10 deletions of which no event tells.
    let (changed, gone, exits) = (some(20), some(10), some(10));
    let entries: Vec<String> = all.iter().filter(|id| !there.contains_key(*id)).take(10).cloned().collect();
    world.control(world.source(), "streams", json!({"lose_events": 1_000})).await;
    let set_to = |ids: &[String], fields: Json| ids.iter().map(|id| (id.clone(), fields.clone())).collect::<Vec<_>>();
    world.update("Account", set_to(&changed, json!({"Phone": "unheard", "Website": "https://unheard.example"}))).await;
    world.update("Account", set_to(&exits, json!({"Industry": "Test"}))).await;
    world.update("Account", set_to(&entries, json!({"Industry": "Banking"}))).await;
    world.delete_in_source(&gone).await;
    world.control(world.source(), "streams", json!({"lose_events": 0})).await;
    // 15 are removed in the target, 10 changed there by its bridge's user, 15 by somebody else, 5 lose their key.
    let (removed, altered, by_others, unkeyed) = (some(15), some(10), some(15), some(5));
    let org = target(&world);
    let removed_ids: Vec<RecordId> = counterparts_of(&removed).iter().map(|id| id.parse().unwrap()).collect();
    org.delete(&removed_ids).await.unwrap();
    change_there(&org, &counterparts_of(&altered), "Phone", json!("altered")).await;
    change_there(&org, &counterparts_of(&unkeyed), "Source_Id__c", Json::Null).await;
    change_there(&olga(&world).await, &counterparts_of(&by_others), "Phone", json!("by a person")).await;
    // 5 are there of nobody.
    let session = org.session().await.unwrap();
    for n in 0..5 {
        let record = json!({"Name": format!("Nobody's {n}"), "Source_Id__c": format!("001NOBODY{n:06}AAA")});
        world.create_there(&session, "Account", record).await;
    }
    // What the target has for itself has no key.
    world.create_there(&session, "Account", json!({"Name": "the target's own"})).await;

    verified(&world, &["accounts"], Wish::default()).await;
    let before_mend = world.target().stats()["rows_written"].as_u64().unwrap();
    world.stop().await;
    let (verification, found) = told(&world, "accounts").await;
    assert_eq!(ids(&found, Finding::Different), &(&set(&changed) | &set(&altered)) | &set(&unkeyed));
    assert_eq!(ids(&found, Finding::Missing), &set(&removed) | &set(&entries));
    let extra = ids(&found, Finding::Extra);
    assert_eq!(extra.len(), 25, "{extra:?}");
    assert!(extra.is_superset(&(&set(&gone) | &set(&exits))));
    assert_eq!(ids(&found, Finding::ChangedInTarget), set(&by_others));
    assert!(
        found
            .iter()
            .filter(|one| one.what == Finding::ChangedInTarget)
            .all(|one| one.by.as_deref() == Some("Olga Ordinary"))
    );
    assert_eq!((found.len(), verification.counts.differences()), (100, 100));
    let counts = verification.counts;
    assert_eq!((counts.records, counts.equal, counts.excluded, counts.kept), (690, 601, 4, 0), "{counts:?}");
    let fields: BTreeSet<String> = found
        .iter()
        .filter(|one| one.what == Finding::Different)
        .flat_map(|one| one.fields.iter().map(ToString::to_string))
        .collect();
    assert_eq!(fields, ["Phone", "Source_Id__c", "Website"].map(str::to_owned).into());
    println!("700 accounts: {} calls to the source, {} to the target", counts.source_calls, counts.target_calls);

    // What can be mended is, by reading and writing these records alone.
    world.start();
    world.live_since(Timestamp(0)).await;
    verified(&world, &["accounts"], Wish { mend: Mend::Differing, ..Wish::default() }).await;
    until("the job that mends", async || {
        number(&world, "SELECT count(*) FROM jobs WHERE ended_how = 'done' AND json_extract(work, '$.kind') = 'mend'")
            == 1
    })
    .await;
    let written = world.target().stats()["rows_written"].as_u64().unwrap() - before_mend;
    assert!(written <= 80, "{written}");
    verified(&world, &["accounts"], Wish::default()).await;
    world.stop().await;
    let (verification, found) = told(&world, "accounts").await;
    assert_eq!(ids(&found, Finding::ChangedInTarget), set(&by_others), "people are not fought");
    assert_eq!(ids(&found, Finding::Extra).len(), 5, "nobody's");
    assert_eq!(found.len(), 20, "{found:?} {:?}", verification.counts);

    world.start();
    world.live_since(Timestamp(0)).await;
    verified(&world, &["accounts"], Wish { mend: Mend::All, ..Wish::default() }).await;
    until("the job that mends", async || {
        number(&world, "SELECT count(*) FROM jobs WHERE ended_how = 'done' AND json_extract(work, '$.kind') = 'mend'")
            == 2
    })
    .await;
    verified(&world, &["accounts"], Wish::default()).await;
    world.stop().await;
    let (_, found) = told(&world, "accounts").await;
    assert_eq!(found.len(), 5, "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_while_the_two_sides_are_compared_is_no_difference() {
    let mut world = World::started().await;
    world.create("Account", (0..300).map(|n| json!({"Name": format!("A {n}")})).collect()).await;
    let plan = json!({"changes": 3_000, "records": 200, "per_second": 150, "seed": 7, "deletes": true});
    world.control(world.source(), "traffic", plan).await;
    for _ in 0..4 {
        verified(&world, &["accounts", "contacts"], Wish::default()).await;
        assert_eq!(
            number(
                &world,
                "SELECT sum(json_extract(counts, '$.different') + json_extract(counts, '$.missing')
                 + json_extract(counts, '$.extra') + json_extract(counts, '$.changed_in_target')) FROM verifications"
            ),
            0
        );
    }
    world.source().stop_traffic();
    world.caught_up().await;
    verified(&world, &["accounts", "contacts"], Wish::default()).await;
    let open = "SELECT sum(json_extract(counts, '$.unsettled')) FROM verifications";
    assert_eq!(told_number(&world, open), 0);
    let compared = told_number(&world, "SELECT sum(json_extract(counts, '$.equal')) FROM verifications");
    world.stop().await;
    assert_eq!(world.assert_equal().await, compared as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_keep_records_in_the_target_make_no_differences_of_them() {
    let mut world = World::with(|config| {
        config.pipelines.truncate(1);
        config.pipelines[0].when = Some(Expression::compile("Industry != \"Test\"").unwrap());
        config.pipelines[0].on_delete = OnDelete::Ignore;
    })
    .await;
    world.start();
    world.live_since(Timestamp(0)).await;
    let all = world.create("Account", (0..30).map(|n| json!({"Name": format!("A {n}")})).collect()).await;
    world.caught_up().await;
    world.delete_in_source(&all[..5]).await;
    world.empty_bin(world.source()).await;
    let exits: Vec<_> = all[5..9].iter().map(|id| (id.clone(), json!({"Industry": "Test"}))).collect();
    world.update("Account", exits).await;
    world.caught_up().await;
    verified(&world, &["accounts"], Wish::default()).await;
    world.stop().await;
    let (verification, found) = told(&world, "accounts").await;
    let counts = verification.counts;
    assert_eq!((found, counts.equal, counts.kept, counts.excluded), (vec![], 21, 9, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_only_a_counterpart_gets_is_compared_with_the_others() {
    let mut world = World::with(|config| {
        config.pipelines.truncate(1);
        let rule = config.pipelines[0].fields.iter_mut().find(|(name, _)| name.as_str() == "Description").unwrap();
        rule.1.write_on = WriteOn::Update;
    })
    .await;
    world.start();
    world.live_since(Timestamp(0)).await;
    let ids = world.create("Account", (0..3).map(|n| json!({"Name": format!("A {n}")})).collect()).await;
    world.caught_up().await;
    world.update("Account", vec![(ids[0].clone(), json!({"Description": "written"}))]).await;
    world.caught_up().await;
    verified(&world, &["accounts"], Wish::default()).await;
    assert_eq!(told_number(&world, "SELECT json_extract(counts, '$.equal') FROM verifications"), 3);
    let there = counterparts(&world, "Account").await;
    change_there(&target(&world), &[there[&ids[0]].clone()], "Description", json!("altered")).await;
    verified(&world, &["accounts"], Wish::default()).await;
    world.stop().await;
    let (_, found) = told(&world, "accounts").await;
    assert_eq!(
        found.iter().filter_map(|one| one.record).map(|id| id.to_string()).collect::<Vec<_>>(),
        [ids[0].clone()]
    );
    assert!(found[0].fields.iter().all(|field| field.as_str() == "Description"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_record_is_told_with_its_code_and_a_sample_is_part_of_the_whole() {
    let mut world = World::with(|config| config.pipelines.truncate(1)).await;
    world.start();
    world.live_since(Timestamp(0)).await;
    let rule = json!([{"kind": "item", "where": {"Name": "Bad*"}, "code": "FIELD_CUSTOM_VALIDATION_EXCEPTION", "message": "no"}]);
    world.rules(world.target(), rule).await;
    let name = |n: usize| format!("{} {n}", if n.is_multiple_of(100) { "Bad" } else { "Good" });
    let all = world.create("Account", (0..400).map(|n| json!({"Name": name(n)})).collect()).await;
    world.caught_up().await;
    verified(&world, &["accounts"], Wish::default()).await;
    let counts = "SELECT json_extract(counts, '$.failed') * 1000 + json_extract(counts, '$.equal') FROM verifications";
    assert_eq!(told_number(&world, counts), 4_396);
    verified(&world, &["accounts"], Wish { sample: Some(50), ..Wish::default() }).await;
    world.stop().await;
    let (verification, found) = told(&world, "accounts").await;
    assert!((40..=60).contains(&verification.counts.records), "{:?}", verification.counts);
    assert!(
        found
            .iter()
            .all(|one| one.what == Finding::Failed && one.code.as_deref() == Some("FIELD_CUSTOM_VALIDATION_EXCEPTION"))
    );
    assert_eq!(found.first().and_then(|one| one.record).map(|id| id.to_string()), Some(all[0].clone()));
    assert_eq!(
        told_number(&world, "SELECT count(*) FROM verifications"),
        2,
        "a sample takes the place of no whole one"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn by_the_bulk_api_it_is_the_same_and_one_that_was_broken_off_begins_anew() {
    let mut world = World::with(|config| config.pipelines.truncate(1)).await;
    world.start();
    world.live_since(Timestamp(0)).await;
    let account = |n: usize| json!({"Name": format!("A {n}"), "NumberOfEmployees": n});
    world.create("Account", (0..21_000).map(account).collect()).await;
    world.caught_up().await;
    let there = counterparts(&world, "Account").await;
    let altered: Vec<String> = there.values().take(7).cloned().collect();
    change_there(&target(&world), &altered, "Phone", json!("altered")).await;
    // The source prepares for a long time.
    world.control(world.source(), "bulk", json!({"hold_at": 0})).await;
    let pipelines = vec!["accounts".parse().unwrap()];
    world.told(|done| Command::Verify { pipelines, wish: Wish::default(), done }).await.unwrap();
    until("its beginning", async || number(&world, "SELECT count(*) FROM verifications WHERE begun_at > 0") == 1).await;
    world.stop().await;
    world.control(world.source(), "bulk", json!({"hold_at": null})).await;
    world.start();
    until("its end", async || number(&world, "SELECT count(*) FROM verifications WHERE ended_how = 'done'") == 1).await;
    world.stop().await;
    let (verification, found) = told(&world, "accounts").await;
    assert_eq!((verification.number, found.len()), (VerificationNumber(1), 7));
    let counts = verification.counts;
    assert_eq!((counts.records, counts.targets, counts.equal), (21_000, 21_000, 20_993));
    assert!(counts.source_calls + counts.target_calls < 60, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_target_makes_of_a_write_is_not_accepted_once_it_was_written_again_and_nobody_is_fought() {
    let scenario = "triggers:\n  - name: Shouter\n    object: Account\n    orgs: [target]\n    when: Name != null\n    set: { Website: { upper: Name } }\n";
    let scenario = Arc::new(Scenario::read("shouter.yaml", scenario).unwrap());
    let mut world = World::of(Some(scenario), |config| {
        config.pipelines.truncate(1);
        // The target's own trigger makes something else of it, whatever is written.
        config.pipelines[0].fields.retain(|(name, _)| name.as_str() != "Website");
        config.pipelines[0]
            .fields
            .push(("Website".parse().unwrap(), Fill::Constant(Value::text("https://hq.example")).into()));
    })
    .await;
    world.start();
    world.live_since(Timestamp(0)).await;
    let ids = world.create("Account", (0..5).map(|n| json!({"Name": format!("A {n}")})).collect()).await;
    world.caught_up().await;
    let counted = |what: &str| {
        told_number(&world, &format!("SELECT json_extract(counts, '$.{what}') FROM verifications ORDER BY number DESC"))
    };
    verified(&world, &["accounts"], Wish { mend: Mend::Differing, ..Wish::default() }).await;
    assert_eq!((counted("different"), counted("not_accepted")), (5, 0), "it could still be a lost event");
    until("the job that mends", async || number(&world, "SELECT count(*) FROM jobs WHERE ended_how = 'done'") == 1)
        .await;
    // Long after the records were changed.
    world.control(world.source(), "time", json!({"advance_seconds": 600})).await;
    world.orgs[&"source".parse::<OrgName>().unwrap()].query("SELECT Id FROM Account LIMIT 1").await.unwrap();
    let before = world.target().stats()["rows_written"].as_u64().unwrap();
    verified(&world, &["accounts"], Wish { mend: Mend::Differing, ..Wish::default() }).await;
    assert_eq!((counted("different"), counted("not_accepted"), counted("mended")), (0, 5, 0));
    assert_eq!(world.target().stats()["rows_written"].as_u64().unwrap(), before);
    world.stop().await;
    assert_eq!(ids.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_schedule_what_no_event_tells_is_found_and_brought_over() {
    let mut world = World::with(|config| {
        config.pipelines.truncate(1);
        config.pipelines[0].verify.every = Some(Duration::from_secs(3));
        config.pipelines[0].verify.repair = true;
        config.probe_every = Duration::from_secs(2);
    })
    .await;
    world.start();
    world.live_since(Timestamp(0)).await;
    let all = world.create("Account", vec![json!({"Name": "A"})]).await;
    world.caught_up().await;
    change_there(&target(&world), &[counterparts(&world, "Account").await[&all[0]].clone()], "Phone", json!("1")).await;
    until("a comparison that mends", async || {
        number(&world, "SELECT count(*) FROM jobs WHERE ended_how = 'done' AND json_extract(work, '$.kind') = 'mend'")
            > 0
    })
    .await;
    world.stop().await;
    world.assert_equal().await;
}
