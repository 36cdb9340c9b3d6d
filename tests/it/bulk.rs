//! Writes by jobs of the Bulk API: that they end as by collections, in order, whatever a job does; and what they cost.

use std::collections::BTreeMap;
use std::process::Stdio;

use orgbridge::config::{AssignmentRules, Config, Fill, OrgConfig, SaveOptions};
use orgbridge::event::{Timestamp, Value};
use orgbridge::org::{JobId, JobState, Org};
use orgbridge::status::Status;
use orgbridge::store::{Sqlite, Store};
use serde_json::{Value as Json, json};

use crate::process::{Emulator, Process};
use crate::state::{State, until};
use crate::support::World;

/// A running bridge that makes jobs of so many waiting records.
async fn with_jobs_from(records: usize) -> World {
    started(move |config| config.bulk_from = Some(records)).await
}

async fn started(differently: impl FnOnce(&mut Config)) -> World {
    let mut world = World::with(differently).await;
    world.start();
    world.live_since(Timestamp(0)).await;
    world
}

/// The target refuses every write until `no_faults`.
async fn hold(world: &World) {
    world.rules(world.target(), json!([{"kind": "refuse"}])).await;
}

fn waiting(status: &Status, pipeline: &str) -> u64 {
    status.pipelines.iter().find(|(name, _)| name.as_str() == pipeline).map_or(0, |(_, line)| line.waiting)
}

async fn until_waiting(world: &mut World, pipeline: &str, records: u64) {
    world.until("what waits", |status| waiting(status, pipeline) == records).await;
}

async fn bulk(world: &World, settings: Json) {
    world.control(world.target(), "bulk", settings).await;
}

fn calls(world: &World, kind: &str) -> u64 {
    world.target().stats()["calls"][kind].as_u64().unwrap_or(0)
}

/// Calls of both ways to write, those of Bulk first.
fn price(world: &World) -> (u64, u64) {
    let stats = world.target().stats();
    let of = |prefix: &str| {
        let calls = stats["calls"].as_object().unwrap().iter();
        calls.filter(|(kind, _)| kind.starts_with(prefix)).map(|(_, count)| count.as_u64().unwrap()).sum()
    };
    (of("bulk_"), of("composite_upsert") + of("composite_update") + of("composite_delete"))
}

fn accounts(count: usize) -> Vec<Json> {
    (0..count).map(|n| json!({"Name": format!("Account {n}")})).collect()
}

fn phones(ids: &[String], phone: &str) -> Vec<(String, Json)> {
    ids.iter().map(|id| (id.clone(), json!({"Phone": phone}))).collect()
}

// The same rows both ways.

const TEXTS: [Option<&str>; 10] = [
    None,
    Some("plain"),
    Some("comma, \"quoted\" and ; more"),
    Some("two\nlines\n"),
    Some("other\r\nline ends"),
    Some("  blanks around  "),
    Some("Größe 漢字 😀 \u{200b}"),
    Some("#N/A"),
    Some("'=1+1"),
    Some("\"\"\","),
];

fn pick<'a>(random: &mut fastrand::Rng, from: &[Option<&'a str>]) -> Option<&'a str> {
    from[random.usize(..from.len())]
}

fn generated_accounts(random: &mut fastrand::Rng, count: usize) -> Vec<Json> {
    let account = |n: usize| {
        // Flows of the source change these once more; what failed would wait a minute for it.
        let employees = (random.u8(0..3) > 0 && !is_refused(n)).then(|| random.u32(0..5_000));
        let revenue = (random.u8(0..3) > 0 && !is_refused(n)).then(|| f64::from(random.u32(0..1_000_000)) / 100.0);
        // Both are refused by the target: too long a value, or one that is taken.
        let website = match n % 40 {
            7 => Some(format!("www.{n}.with-a-long-name.example.com")),
            13 => Some("taken.example".to_owned()),
            _ => (random.bool()).then(|| format!("{n}.example")),
        };
        json!({
            "Name": format!("Account {n} {}", pick(random, &TEXTS[1..4]).unwrap().trim().replace('\n', " ")),
            "Phone": pick(random, &[None, Some("+1 555 0100"), Some("0")]),
            "Website": website,
            "Rating": pick(random, &[None, Some("Hot"), Some("Cold")]),
            // A restricted picklist of the target does not take it.
            "Industry": (n % 50 == 3).then_some("Energy"),
            "NumberOfEmployees": employees, "AnnualRevenue": revenue,
            "Description": pick(random, &TEXTS), "BillingCity": pick(random, &TEXTS[..3]),
            "BillingStreet": pick(random, &TEXTS[..4]),
        })
    };
    (0..count).map(account).collect()
}

fn generated_contacts(random: &mut fastrand::Rng, count: usize, accounts: &[String]) -> Vec<Json> {
    let contact = |n: usize| {
        // A duplicate rule of the target knows this one.
        let last = if n == 205 { "Twin".to_owned() } else { format!("Roe {n}") };
        let email = if n == 205 { "twin@example.com".to_owned() } else { format!("roe{n}@example.com") };
        let date = format!("19{:02}-0{}-1{}", random.u8(10..99), random.u8(1..9), random.u8(0..9));
        json!({
            "LastName": last, "FirstName": pick(random, &[None, Some("J. \"Jo\""), Some("Ève")]), "Email": email,
            "Phone": pick(random, &[None, Some("1")]), "Title": pick(random, &TEXTS[..3]),
            "Birthdate": random.bool().then_some(date), "MailingCity": pick(random, &TEXTS[..3]),
            "AccountId": (!n.is_multiple_of(4)).then(|| some_of(random, accounts)),
        })
    };
    (0..count).map(contact).collect()
}

/// What the target ends with: each record by the number of its source record, and the failed records with their codes.
type Ending = (BTreeMap<String, Json>, Vec<(String, String)>);

async fn ending(world: &World, ids: &[&[String]]) -> Ending {
    let target = &world.orgs[&"target".parse().unwrap()];
    let number = |id: &str| {
        let found = ids.iter().enumerate().find_map(|(of, ids)| Some((of, ids.iter().position(|known| known == id)?)));
        found.map(|(of, n)| format!("{of}/{n:04}")).unwrap_or_else(|| format!("not of the source {id}"))
    };
    let queries = [
        "SELECT Source_Id__c, Name, Phone, Website, Rating, NumberOfEmployees, AnnualRevenue, Description, BillingCity, \
         BillingStreet, Region__c, Segment__c, Emea_Id__c, Search_Name__c, Parent.Source_Id__c FROM Account \
         WHERE Source_Id__c != null",
        "SELECT Source_Id__c, LastName, FirstName, Email, Phone, Title, Birthdate, MailingCity, OwnerId, Greeting__c, \
         Account.Source_Id__c FROM Contact WHERE Source_Id__c != null",
        "SELECT Source_Id__c, Subject, OwnerId FROM Case WHERE Source_Id__c != null",
    ];
    let mut rows = BTreeMap::new();
    for query in queries {
        for mut row in target.query(query).await.unwrap() {
            row.remove("attributes");
            let key = number(row["Source_Id__c"].as_str().unwrap());
            row.remove("Source_Id__c");
            for parent in ["Parent", "Account"] {
                if let Some(of) = row.get(parent).and_then(|named| named["Source_Id__c"].as_str()) {
                    let of = json!(number(of));
                    row.insert(parent.to_owned(), of);
                }
            }
            // Ids of users and queues differ from org to org.
            if let Some(owner) = row.get("OwnerId").and_then(Json::as_str) {
                let owner = json!(&owner[..3]);
                row.insert("OwnerId".to_owned(), owner);
            }
            assert!(rows.insert(key.clone(), Json::Object(row)).is_none(), "{key} twice");
        }
    }
    let parked = Sqlite::open(&world.config.state).unwrap().parked(10_000).await.unwrap();
    let mut failed: Vec<_> = parked.into_iter().map(|row| (number(row.record.as_str()), row.code)).collect();
    failed.sort();
    (rows, failed)
}

/// Creates, changes and deletes generated records; the next kind of change once the last one is written. Also how many jobs it
/// took.
async fn written(seed: u64, bulk_from: Option<usize>) -> (Ending, u64) {
    const COUNT: usize = 300;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut world = World::new().await;
    world.config.bulk_from = bulk_from;
    let target = world.orgs[&"target".parse().unwrap()].clone();
    let session = target.session().await.unwrap();
    world.create_there(&session, "Account", json!({"Name": "Holder", "Emea_Id__c": "taken.example"})).await;
    world.create_there(&session, "Contact", json!({"LastName": "Twin", "Email": "twin@example.com"})).await;
    let from = |path: &str| Fill::Source(path.parse().unwrap()).into();
    let accounts = &mut world.config.pipelines[0];
    accounts.fields.push(("Emea_Id__c".parse().unwrap(), from("Website")));
    accounts.fields.push(("Segment__c".parse().unwrap(), from("Industry")));
    // Whom the records belong to: somebody who is named, and whom a rule names.
    let users = target.query("SELECT Id FROM User WHERE Username LIKE 'olga%'").await.unwrap();
    let owner = Fill::Constant(Value::text(users[0]["Id"].as_str().unwrap())).into();
    let mut cases = world.config.pipelines[1].clone();
    world.config.pipelines[1].fields.push(("OwnerId".parse().unwrap(), owner));
    cases.name = "cases".parse().unwrap();
    cases.from.object = "Case".parse().unwrap();
    cases.from.channel = "/data/CaseChangeEvent".parse().unwrap();
    cases.to.object = "Case".parse().unwrap();
    cases.fields = vec![("Source_Id__c".parse().unwrap(), from("Id")), ("Subject".parse().unwrap(), from("Subject"))];
    let assignment_rules = AssignmentRules::Rule("01Q000000000001".parse().unwrap());
    cases.publishing.options = SaveOptions { assignment_rules, ..SaveOptions::default() };
    world.config.pipelines.push(cases);
    world.start();
    world.live_since(Timestamp(0)).await;

    let accounts = world.create("Account", generated_accounts(&mut random, COUNT)).await;
    let contacts = world.create("Contact", generated_contacts(&mut random, COUNT, &accounts)).await;
    let cases = world.create("Case", (0..COUNT).map(|n| json!({"Subject": format!("Case {n}")})).collect()).await;
    let children = (1..COUNT)
        .step_by(3)
        .filter(|n| !is_refused(*n))
        .map(|n| (accounts[n].clone(), json!({"ParentId": accounts[n - 1]})));
    world.update("Account", children.collect()).await;
    world.caught_up().await;

    // What failed would be tried again a minute later, and fail again.
    let changed = accounts.iter().enumerate().filter(|(n, _)| !is_refused(*n)).map(|(n, id)| {
        let fields = match n % 3 {
            0 => json!({"Phone": null, "Description": pick(&mut random, &TEXTS), "ParentId": null}),
            1 => json!({"AnnualRevenue": null, "BillingStreet": null, "Name": format!("Renamed {n}")}),
            _ => json!({"NumberOfEmployees": n, "Rating": null, "Description": pick(&mut random, &TEXTS)}),
        };
        (id.clone(), fields)
    });
    world.update("Account", changed.collect()).await;
    let moved = contacts.iter().enumerate().filter(|(n, _)| *n != 205).map(|(n, id)| {
        let account = (n % 2 == 0).then(|| some_of(&mut random, &accounts));
        (id.clone(), json!({"AccountId": account, "Title": pick(&mut random, &TEXTS[..3]), "Birthdate": null}))
    });
    world.update("Contact", moved.collect()).await;
    world.update("Case", cases.iter().map(|id| (id.clone(), json!({"Subject": "again"}))).collect()).await;
    world.caught_up().await;

    world.delete_in_source(&contacts[..150]).await;
    world.caught_up().await;
    let jobs = calls(&world, "bulk_create");
    world.stop().await;
    (ending(&world, &[&accounts, &contacts, &cases]).await, jobs)
}

/// One that the target takes: roll-ups change the others, too.
fn some_of(random: &mut fastrand::Rng, accounts: &[String]) -> String {
    loop {
        let n = random.usize(..accounts.len());
        if !is_refused(n) {
            return accounts[n].clone();
        }
    }
}

/// Which of the generated accounts the target refuses. Its contact is number 205.
fn is_refused(account: usize) -> bool {
    matches!(account % 40, 7 | 13) || account % 50 == 3
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_rows_by_collections_and_by_jobs_end_equal_and_fail_alike() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let (by_collections, jobs) = written(seed, None).await;
    assert_eq!(jobs, 0);
    let (by_jobs, jobs) = written(seed, Some(20)).await;
    println!("{} records, {} failed, {jobs} jobs", by_jobs.0.len(), by_jobs.1.len());
    assert!(jobs >= 5, "{jobs}: each kind of change, and more than one object");
    let codes: std::collections::BTreeSet<&str> = by_jobs.1.iter().map(|(_, code)| code.as_str()).collect();
    for code in ["STRING_TOO_LONG", "DUPLICATE_VALUE", "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "DUPLICATES_DETECTED"]
    {
        assert!(codes.contains(code), "no {code} in {codes:?}");
    }
    assert_eq!(by_jobs.1, by_collections.1, "the same failed records");
    for (key, row) in &by_collections.0 {
        assert_eq!(by_jobs.0.get(key), Some(row), "{key}");
    }
    assert_eq!(by_jobs.0.len(), by_collections.0.len());
}

// Over to jobs, and back.

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_goes_by_a_job_while_changes_go_on_and_then_collections_do() {
    let mut world = with_jobs_from(300).await;
    let ids = world.create("Account", accounts(600)).await;
    world.caught_up().await;
    hold(&world).await;
    world.update("Account", phones(&ids, "1")).await;
    until_waiting(&mut world, "accounts", 600).await;
    bulk(&world, json!({"hold_at": 200})).await;
    // How the first ones went depends on how fast they came, and what was refused meanwhile does not count.
    let before = calls(&world, "bulk_create");
    world.no_faults(world.target()).await;
    world.until("a job with all of them", |status| in_flight(status) == 600).await;
    // In flight they are before the org has heard of it.
    until("the job", async || calls(&world, "bulk_create") == before + 1).await;
    // Some of the job's are done, others not. Records beside it are not held up.
    let others = world.create("Account", (0..10).map(|n| json!({"Name": format!("Other {n}")})).collect()).await;
    world.update("Account", phones(&ids[..50], "2")).await;
    world.update("Account", phones(&ids[550..], "3")).await;
    world.delete_in_source(&ids[300..310]).await;
    let applied = applied(&world);
    world.until("others beside the job", |status| applied_of(status) >= applied + 10).await;
    world.until("changes behind it", |status| waiting(status, "accounts") == 110).await;
    bulk(&world, json!({"hold_at": null})).await;
    world.caught_up().await;
    assert_eq!(world.assert_equal().await, 600);
    assert_eq!(calls(&world, "bulk_create") - before, 1, "what came behind it is not worth another");
    world.update("Account", phones(&others, "4")).await;
    world.caught_up().await;
    assert_eq!(calls(&world, "bulk_create") - before, 1);
    assert_eq!(world.assert_equal().await, 600);
    world.stop().await;
    assert_eq!(bulk_jobs(&world).await, []);
}

fn in_flight(status: &Status) -> u64 {
    status.pipelines.values().map(|line| line.in_flight).sum()
}

fn applied_of(status: &Status) -> u64 {
    status.pipelines.values().map(|line| line.applied).sum()
}

fn applied(world: &World) -> u64 {
    applied_of(&world.board.watch().borrow())
}

async fn bulk_jobs(world: &World) -> Vec<JobId> {
    let known = Sqlite::open(&world.config.state).unwrap().bulk_jobs(&"target".parse().unwrap()).await.unwrap();
    known.into_iter().map(|known| known.job).collect()
}

/// New accounts that all wait, and then may go, perhaps with other rules. How many jobs were asked for, and the price.
async fn let_go(world: &mut World, count: usize, rules: Json) -> (u64, (u64, u64)) {
    hold(world).await;
    world.create("Account", accounts(count)).await;
    until_waiting(world, "accounts", count as u64).await;
    // What was refused meanwhile does not count.
    let (jobs, before) = (calls(world, "bulk_create"), price(world));
    world.rules(world.target(), rules).await;
    world.caught_up().await;
    world.no_faults(world.target()).await;
    let after = price(world);
    (calls(world, "bulk_create") - jobs, (after.0 - before.0, after.1 - before.1))
}

// Jobs that do not go well.

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_fails_half_way_and_rows_that_are_locked_lose_nothing() {
    let mut world = with_jobs_from(300).await;
    bulk(&world, json!({"fail_after_rows": 450, "lock_rows": 40})).await;
    let (jobs, _) = let_go(&mut world, 1_000, json!([])).await;
    assert_eq!(world.assert_equal().await, 1_000);
    // The rest of the first job, or half as many, and perhaps what was locked.
    assert!((2..=3).contains(&jobs), "{jobs}");
    world.stop().await;
    assert_eq!(bulk_jobs(&world).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn results_come_in_pages_and_answers_that_are_lost_at_any_step_are_made_up_for() {
    let mut world = with_jobs_from(300).await;
    world.control(world.target(), "switches", json!({"bulk_result_rows": 70})).await;
    let path = "/services/data/v66.0/jobs/ingest*";
    let lost = |method: &str| json!({"kind": "do_then_fail", "of": "data", "method": method, "path": path, "times": 1});
    let rules = json!([lost("POST"), lost("PUT"), lost("PATCH"), lost("GET")]);
    let (jobs, price) = let_go(&mut world, 400, rules).await;
    assert_eq!(world.assert_equal().await, 400);
    assert_eq!(world.target().stats()["duplicate_rows"], json!(0), "no row was written twice");
    assert_eq!((jobs, price.1), (3, 0), "two jobs were given up, and no collection was needed");
    world.stop().await;
    assert_eq!(bulk_jobs(&world).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_allocation_is_spent_collections_do_it() {
    let mut world = with_jobs_from(300).await;
    bulk(&world, json!({"daily_batches": 0})).await;
    assert_eq!(let_go(&mut world, 400, json!([])).await, (1, (1, 2)));
    assert_eq!(world.assert_equal().await, 400);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_runs_while_the_bridge_stops_is_ended_at_the_next_start_and_then_its_records_are_written() {
    let mut world = with_jobs_from(300).await;
    hold(&world).await;
    let ids = world.create("Account", accounts(500)).await;
    until_waiting(&mut world, "accounts", 500).await;
    bulk(&world, json!({"hold_at": 200})).await;
    world.no_faults(world.target()).await;
    world.until("a job with all of them", |status| in_flight(status) == 500).await;
    world.stop().await;
    let left = bulk_jobs(&world).await;
    assert_eq!(left.len(), 1);
    world.update("Account", phones(&ids[..100], "newer")).await;
    world.start();
    world.caught_up().await;
    assert_eq!(world.assert_equal().await, 500);
    world.stop().await;
    assert_eq!(bulk_jobs(&world).await, []);
    let ended = world.orgs[&"target".parse().unwrap()].job(&left[0]).await.unwrap();
    assert_eq!(ended.state, JobState::Aborted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_not_started_has_ended_for_sure_before_its_records_go_otherwise() {
    let mut world = with_jobs_from(300).await;
    // The start and the first tries to end it.
    let rule = json!({"kind": "refuse", "method": "PATCH", "path": "/services/data/v66.0/jobs/ingest*", "times": 3});
    let (jobs, _) = let_go(&mut world, 400, json!([rule])).await;
    assert_eq!((jobs, world.assert_equal().await), (2, 400));
    assert_eq!(world.target().stats()["duplicate_rows"], json!(0), "no row was written twice");
    world.stop().await;
    assert_eq!(bulk_jobs(&world).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_while_a_job_runs_loses_nothing() {
    const RECORDS: usize = 2_500;
    orgbridge::org::install_crypto();
    let emulator = Emulator::start(&["--connect-hold", "2s", "--pubsub-keepalive", "1s"]);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (config, state_file) = (folder.path().join("demo.yaml"), folder.path().join("demo.db"));
    let text = include_str!("../../config/demo.yaml");
    assert!(text.contains("\npublish:\n"));
    std::fs::write(&config, text.replace("\npublish:\n", "\npublish:\n  bulk_from: 2000\n")).unwrap();
    let start = || Process::start(emulator.run(&config).stdout(Stdio::null()).stderr(Stdio::null()));
    let number = |sql: &str| State::open(&state_file).and_then(|state| state.number(sql)).unwrap_or(0);

    let mut bridge = start();
    until("a committed start", async || number("SELECT count(*) FROM subscriptions WHERE started_at IS NOT NULL") == 2)
        .await;
    emulator.post(&http, "target", "faults", json!({"rules": [{"kind": "refuse"}]})).await;
    let read = |name: &str| emulator.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let text = std::fs::read_to_string(&config).unwrap();
    let parsed = orgbridge::config::parse(&text, &config, &read, &|path| std::fs::read_to_string(path)).unwrap();
    let source = OrgConfig { client_name: "Loader".to_owned(), ..parsed.orgs[&"source".parse().unwrap()].clone() };
    let source = Org::new(source).unwrap();
    let numbers: Vec<usize> = (0..RECORDS).collect();
    for chunk in numbers.chunks(200) {
        let record = |n: &usize| json!({"Name": format!("Account {n}"), "Emea_Id__c": n.to_string()});
        let records = chunk.iter().map(|n| record(n).as_object().unwrap().clone()).collect();
        let (object, key) = ("Account".parse().unwrap(), "Emea_Id__c".parse().unwrap());
        source.upsert(&object, &key, records, SaveOptions::default()).await.unwrap();
    }
    let ended = orgbridge::event::Timestamp::now().0;
    let live = "SELECT min(coalesce(live_until, 0)) FROM subscriptions";
    until("all in the journal", async || number(live) > ended + 1_500).await;
    emulator.post(&http, "target", "bulk", json!({"hold_at": 1_000})).await;
    emulator.delete(&http, "target", "faults").await;
    until("a job", async || number("SELECT count(*) FROM bulk_jobs") > 0).await;
    until("a half-done job", async || {
        emulator.get(&http, "target", "stats").await["rows_written"].as_u64() >= Some(1_000)
    })
    .await;
    bridge.kill();
    assert!(number("SELECT count(*) FROM bulk_jobs") > 0 && State::open(&state_file).unwrap().sent() > 2_000);

    let mut bridge = start();
    until("the end of the old job", async || number("SELECT count(*) FROM bulk_jobs") == 0).await;
    emulator.post(&http, "target", "bulk", json!({"hold_at": null})).await;
    until("everything settled", async || {
        State::open(&state_file).is_some_and(|state| state.unsettled() == 0 && state.parked() == 0)
    })
    .await;
    assert!(bridge.terminate().success(), "SIGTERM ends it in order");
    let orgs = orgbridge::bridge::orgs(&parsed).unwrap();
    let comparison = orgbridge::past::whole::compare(&parsed, &orgs).await.unwrap();
    let shown: Vec<String> = comparison.differences.iter().map(ToString::to_string).collect();
    assert!(comparison.is_equal(), "{} of {} differ: {shown:#?}", shown.len(), comparison.records);
}

// What it costs.

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_changes_that_waited_take_two_jobs_instead_of_a_hundred_calls() {
    let mut world = with_jobs_from(5_000).await;
    world.control(world.source(), "limits", json!({"daily_delivered_events": null})).await;
    let ids = world.create("Account", accounts(20_000)).await;
    world.caught_up().await;
    hold(&world).await;
    world.update("Account", phones(&ids, "+1 555 0100")).await;
    until_waiting(&mut world, "accounts", 20_000).await;
    let (jobs, before) = (calls(&world, "bulk_create"), price(&world));
    let asked = calls(&world, "bulk_read");
    world.no_faults(world.target()).await;
    world.caught_up().await;
    let (by_jobs, by_collections) = (price(&world).0 - before.0, price(&world).1 - before.1);
    let questions = calls(&world, "bulk_read") - asked;
    println!(
        "20,000 changes took {by_jobs} calls of jobs ({questions} of them questions how they are) and {by_collections} of collections"
    );
    assert_eq!((calls(&world, "bulk_create") - jobs, by_collections), (2, 0));
    assert_eq!(by_jobs - questions, 8, "made, filled, started and its results, each twice");
    // How it is, at growing distances.
    assert!(questions <= 24, "{questions}");
    world.assert_equal().await;
    world.stop().await;
}
