//! What becomes of a record by what the target answers to it (facts: rest.md section 15), and that its neighbours arrive
//! whatever that is. The target's automation is on.

use std::collections::{BTreeMap, BTreeSet};

use orgbridge::config::{Fill, MayDelete, Publishing, WhenTargetGone};
use orgbridge::event::{OrgName, Timestamp};
use orgbridge::status::{PipelineStatus, Status};
use orgbridge::store::{Parked, ParkedState, Sqlite, Store};
use serde_json::{Value as Json, json};

use crate::support::World;

/// A code with words that an org says with it.
type Told = (&'static str, &'static str);

/// Nothing helps, or nothing that a bridge can do.
const FOR_GOOD: &[Told] = &[
    ("FIELD_CUSTOM_VALIDATION_EXCEPTION", "A customer needs a phone number."),
    ("FIELD_INTEGRITY_EXCEPTION", "There's a problem with this country"),
    ("FIELD_FILTER_VALIDATION_EXCEPTION", "Value does not exist or does not match filter criteria."),
    ("STRING_TOO_LONG", "Last Name: data value too large: xxx (max length=80)"),
    ("NUMBER_OUTSIDE_VALID_RANGE", "Amount: value outside of valid range on numeric field: 1e20"),
    ("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "Level: bad value for restricted picklist field: x"),
    ("INVALID_TYPE_ON_FIELD_IN_RECORD", "Birthdate: value not of required type: x"),
    ("INVALID_EMAIL_ADDRESS", "Email: invalid email address: x"),
    ("INVALID_CURRENCY_ISO", "invalid currency"),
    ("TOO_MANY_ENUM_VALUE", "too many values"),
    ("TEXT_DATA_OUTSIDE_SUPPORTED_CHARSET", "unsupported"),
    ("JSON_PARSER_ERROR", "Cannot deserialize instance of date"),
    ("MALFORMED_ID", "Account ID: id value of incorrect type: x"),
    ("INVALID_ID_FIELD", "invalid id"),
    ("MISSING_ARGUMENT", "Id not specified in an update call"),
    ("INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", "insufficient access rights on cross-reference id"),
    ("INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id"),
    ("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead"),
    ("INACTIVE_OWNER_OR_USER", "operation performed with inactive user [005000000000001] as owner of contact"),
    ("CANNOT_REPARENT_RECORD", "cannot reparent record"),
    ("ENTITY_IS_ARCHIVED", "entity is archived"),
    ("UNAVAILABLE_RECORDTYPE_EXCEPTION", "record type not available"),
    ("DUPLICATES_DETECTED", "Use one of these records?"),
    ("INVALID_PARTNER_NETWORK_STATUS", "partner"),
];

/// A neighbour could be the cause, so that each is tried alone.
const OR_A_NEIGHBOUR: &[Told] = &[
    (
        "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
        "ContactTrigger: execution of BeforeInsert caused by: System.NullPointerException",
    ),
    ("CANNOT_EXECUTE_FLOW_TRIGGER", "We can't save this record because the \"X\" process failed."),
    (
        "SELF_REFERENCE_FROM_TRIGGER",
        "is currently in trigger ContactTrigger, therefore it cannot recursively update itself",
    ),
    ("UNKNOWN_EXCEPTION", "An unexpected error occurred. Please include this ErrorId: 1234-5678 (-999)"),
    ("DUPLICATE_VALUE", "duplicate value found: Emea_Id__c duplicates value on record with id: 003000000000001"),
    ("MIXED_DML_OPERATION", "DML operation on setup object is not permitted"),
    ("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id"),
    ("ENTITY_IS_DELETED", "entity is deleted"),
    ("BRAND_NEW_CODE", "nobody knows"),
];

/// The cause passes, or lies in the neighbours.
const PASSING: &[Told] = &[
    ("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record"),
    ("TOO_MANY_APEX_REQUESTS", "busy"),
    ("TXN_SECURITY_METERING_ERROR", "policies took too long"),
    ("PLATFORM_EVENT_PUBLISHING_UNAVAILABLE", "unavailable"),
    ("PLATFORM_EVENT_PUBLISH_FAILED", "failed"),
    ("REQUEST_LIMIT_EXCEEDED", "ConcurrentPerOrgLongTxn Limit exceeded."),
    (
        "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
        "T: execution of AfterInsert caused by: System.DmlException: UNABLE_TO_LOCK_ROW",
    ),
    (
        "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
        "T: execution of AfterInsert caused by: System.LimitException: Too many SOQL queries: 101",
    ),
    ("CANNOT_EXECUTE_FLOW_TRIGGER", "We can't save this record because the \"X\" process failed."),
    ("SELF_REFERENCE_FROM_TRIGGER", "is currently in trigger T"),
    ("UNKNOWN_EXCEPTION", "An unexpected error occurred."),
    ("DUPLICATE_VALUE", "Duplicate external id specified: 003A1"),
    ("DUPLICATE_VALUE", "duplicate value found: Source_Id__c duplicates value on record with id: 003000000000001"),
    ("ALL_OR_NONE_OPERATION_ROLLED_BACK", "rolled back"),
    ("PROCESSING_HALTED", "halted"),
    ("BATCH_PROCESSING_HALTED", "halted"),
    ("REQUEST_RUNNING_TOO_LONG", "Your request was running for too long"),
    ("QUERY_TIMEOUT", "Your query request was running for too long."),
    ("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id"),
    ("ENTITY_IS_DELETED", "entity is deleted"),
    ("BRAND_NEW_CODE", "nobody knows"),
];

/// Passes in minutes or hours.
const LASTING: &[Told] = &[
    ("ENTITY_IS_LOCKED", "the entity is locked for editing"),
    ("RECORD_IN_USE_BY_WORKFLOW", "in use by workflow"),
    ("LIMIT_EXCEEDED", "limit exceeded"),
    ("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
    ("API_CURRENTLY_DISABLED", "API temporarily unavailable"),
    ("SERVER_UNAVAILABLE", "unavailable"),
    ("INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE", "org is upgraded"),
];

/// None of the record's own fault, and every record would meet it.
const SYSTEMIC: &[Told] = &[
    ("STORAGE_LIMIT_EXCEEDED", "storage limit exceeded"),
    ("INVALID_FIELD", "No such column 'Title' on sobject of type Contact"),
    ("INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields: Title."),
    ("INVALID_TYPE", "sObject type 'Contact' is not supported."),
    ("INSUFFICIENT_ACCESS", "insufficient access"),
    ("API_DISABLED_FOR_ORG", "The REST API is not enabled for this Organization."),
    ("ORG_LOCKED", "org locked"),
    ("TRIAL_EXPIRED", "trial expired"),
    ("FUNCTIONALITY_NOT_ENABLED", "not enabled"),
    ("LOGIN_DURING_RESTRICTED_DOMAIN", "restricted"),
    ("LOGIN_DURING_RESTRICTED_TIME", "restricted"),
    ("TXN_SECURITY_NO_ACCESS", "no access"),
];

/// The first, the middle and the last of so many.
fn places(count: usize) -> [usize; 3] {
    [0, count / 2, count - 1]
}

async fn started() -> World {
    let mut world = World::new().await;
    // Only what the tests make.
    world.config.pipelines[1]
        .fields
        .retain(|(name, _)| ["Source_Id__c", "LastName", "AccountId"].contains(&name.as_str()));
    world.start();
    world.live_since(Timestamp(0)).await;
    world
}

fn contacts(status: &Status) -> &PipelineStatus {
    status.pipelines.iter().find(|(name, _)| name.as_str() == "contacts").unwrap().1
}

fn applied(status: &Status) -> u64 {
    contacts(status).applied
}

fn trouble(status: &Status) -> Option<String> {
    let halted = status.pipelines.values().find_map(|line| line.halted.clone());
    halted.or_else(|| status.targets.values().find_map(|target| target.trouble.clone()))
}

/// Lets contacts of these names come to the target together: it refuses all until they wait, and then has these rules.
async fn together(world: &mut World, names: &[String], rules: Json) {
    world.rules(world.target(), json!([{"kind": "refuse"}])).await;
    let before = contacts(&world.board.watch().borrow()).waiting;
    world.create("Contact", names.iter().map(|name| json!({"LastName": name})).collect()).await;
    let wanted = before + names.len() as u64;
    world.until("contacts that wait", |status| contacts(status).waiting + contacts(status).in_flight == wanted).await;
    world.rules(world.target(), rules).await;
}

/// A rule that strikes the one contact of this name.
fn strikes(name: &str, (code, message): Told) -> Json {
    json!({"kind": "item", "code": code, "message": message, "where": {"LastName": name}})
}

async fn names_in_target(world: &World) -> BTreeSet<String> {
    let target = &world.orgs[&"target".parse::<OrgName>().unwrap()];
    let rows = target.query("SELECT LastName FROM Contact").await.unwrap();
    rows.iter().map(|row| row["LastName"].as_str().unwrap().to_owned()).collect()
}

/// Of a bridge that was stopped: what is parked, by the name that the record has in the source.
async fn parked_by_name(world: &World) -> BTreeMap<String, Parked> {
    let rows = Sqlite::open(&world.config.state).unwrap().parked(10_000).await.unwrap();
    let source = &world.orgs[&"source".parse::<OrgName>().unwrap()];
    let contacts = source.query("SELECT Id, LastName FROM Contact").await.unwrap();
    let names: BTreeMap<&str, &str> =
        contacts.iter().map(|row| (row["Id"].as_str().unwrap(), row["LastName"].as_str().unwrap())).collect();
    rows.into_iter().map(|row| (names[row.record.as_str()].to_owned(), row)).collect()
}

/// Batches of 200 with every code three times: at the front of the first, in the middle of the second, at the end of the third.
/// Who is struck, with the code, and everybody's names.
fn three_batches(codes: &[Told]) -> (BTreeMap<String, Told>, Vec<String>) {
    let (mut struck, mut names) = (BTreeMap::new(), Vec::new());
    for (batch, first) in [(0, 0), (1, 100), (2, 200 - codes.len())] {
        for place in 0..200_usize {
            let name = format!("batch {batch} place {place}");
            if let Some(told) = place.checked_sub(first).and_then(|n| codes.get(n)) {
                struck.insert(name.clone(), *told);
            }
            names.push(name);
        }
    }
    (struck, names)
}

fn names(batch: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{batch} {n}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_refused_for_good_fails_with_its_code_and_all_neighbours_arrive() {
    for codes in [FOR_GOOD, OR_A_NEIGHBOUR] {
        let mut world = started().await;
        let (struck, names) = three_batches(codes);
        let rules = struck.iter().map(|(name, told)| strikes(name, *told)).collect();
        together(&mut world, &names, rules).await;
        let (failed, done) = (struck.len() as u64, (names.len() - struck.len()) as u64);
        world
            .until("what becomes of each", |status| {
                (contacts(status).failed, applied(status)) == (failed, done) && contacts(status).waiting == 0
            })
            .await;
        let there = names_in_target(&world).await;
        world.stop().await;
        assert_eq!(there, names.into_iter().filter(|name| !struck.contains_key(name)).collect());
        let parked = parked_by_name(&world).await;
        assert_eq!(parked.keys().collect::<Vec<_>>(), struck.keys().collect::<Vec<_>>());
        for (name, (code, message)) in struck {
            let row = &parked[&name];
            assert_eq!((row.state, row.code.as_str()), (ParkedState::Failed, code), "{name}");
            assert!(row.evidence.contains(message), "{name}: {}", row.evidence);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_refused_for_what_passes_arrives_with_its_neighbours() {
    let mut world = started().await;
    let (struck, names) = three_batches(PASSING);
    let once = |(name, told): (&String, &Told)| {
        let mut rule = strikes(name, *told);
        rule["times"] = json!(1);
        rule
    };
    together(&mut world, &names, struck.iter().map(once).collect()).await;
    world.caught_up().await;
    let shown = world.control_get(world.target(), "faults").await;
    assert!(shown["rules"].as_array().unwrap().iter().all(|rule| rule["struck"] == 1), "each was struck: {shown}");
    assert_eq!(world.assert_equal().await, names.len() as u64);
    world.stop().await;
    assert!(parked_by_name(&world).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_refused_for_what_lasts_waits_and_does_not_fail() {
    for codes in [LASTING, SYSTEMIC] {
        let mut world = started().await;
        let (struck, names) = three_batches(codes);
        let rules = struck.iter().map(|(name, told)| strikes(name, *told)).collect();
        together(&mut world, &names, rules).await;
        let done = (names.len() - struck.len()) as u64;
        let status = world.until("all neighbours", |status| applied(status) == done).await;
        let line = contacts(&status);
        assert_eq!(line.failed, 0);
        assert_eq!(line.waiting + line.in_flight + line.parked, struck.len() as u64);
        if codes == SYSTEMIC {
            let why = world.until("a reason", |status| trouble(status).is_some()).await;
            let why = trouble(&why).unwrap();
            assert!(codes.iter().any(|(code, _)| why.contains(code)), "{why}");
        }
        assert_eq!(names_in_target(&world).await.len() as u64, done);
        // Nothing of it is lost, and a start waits for nothing.
        world.stop().await;
        world.no_faults(world.target()).await;
        world.start();
        world.caught_up().await;
        assert_eq!(world.assert_equal().await, names.len() as u64);
        world.stop().await;
        assert!(parked_by_name(&world).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_org_cannot_find_or_lacks_at_an_update_is_made_good_from_the_whole_record() {
    let mut world = started().await;
    let told: &[Told] = &[
        ("ENTITY_IS_DELETED", "entity is deleted"),
        ("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id"),
        ("NOT_FOUND", "Provided external ID field does not exist or is not accessible: 003"),
        ("REQUIRED_FIELD_MISSING", "Required fields are missing: [LastName]"),
    ];
    let ids = world.create("Contact", names("before", 60).iter().map(|name| json!({"LastName": name})).collect()).await;
    world.caught_up().await;
    for told in told {
        world.rules(world.target(), json!([{"kind": "refuse"}])).await;
        let change = |(n, id): (usize, &String)| (id.clone(), json!({"LastName": format!("{} {n}", told.0)}));
        world.update("Contact", ids.iter().enumerate().map(change).collect()).await;
        world.until("changes that wait", |status| contacts(status).waiting + contacts(status).in_flight == 60).await;
        let once = |place: &usize| {
            let mut rule = strikes(&format!("{} {place}", told.0), *told);
            rule["times"] = json!(1);
            rule
        };
        world.rules(world.target(), places(60).iter().map(once).collect()).await;
        world.caught_up().await;
        assert_eq!(world.assert_equal().await, 60, "{}", told.0);
    }
    world.stop().await;
    assert!(parked_by_name(&world).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_of_what_is_gone_is_done_and_one_that_the_org_refuses_fails() {
    for (told, failed) in [
        (("ENTITY_IS_DELETED", "entity is deleted"), 0),
        (("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id"), 0),
        (("DELETE_FAILED", "Your attempt to delete x could not be completed because it is associated with cases"), 3),
    ] {
        let mut world = started().await;
        let ids =
            world.create("Contact", names("goes", 30).iter().map(|name| json!({"LastName": name})).collect()).await;
        world.caught_up().await;
        let target = &world.orgs[&"target".parse::<OrgName>().unwrap()];
        let rows = target.query("SELECT Id, Source_Id__c FROM Contact").await.unwrap();
        let there = |source: &str| rows.iter().find(|row| row["Source_Id__c"] == source).unwrap()["Id"].clone();
        let (code, message) = told;
        let rule = |place: usize| json!({"kind": "item", "code": code, "message": message, "where": {"Id": there(ids[place].as_str())}});
        world.rules(world.target(), places(30).map(rule).into_iter().collect()).await;
        world.delete_in_source(&ids).await;
        world
            .until("what becomes of each", |status| {
                contacts(status).failed == failed && applied(status) == 60 - failed && contacts(status).waiting == 0
            })
            .await;
        // The rule kept them there, whatever it said.
        assert_eq!(names_in_target(&world).await.len(), 3, "{code}");
        world.stop().await;
        let parked = parked_by_id(&world).await;
        assert_eq!(parked.len() as u64, failed);
        assert!(parked.iter().all(|row| row.code == code && row.state == ParkedState::Failed));
    }
}

async fn parked_by_id(world: &World) -> Vec<Parked> {
    Sqlite::open(&world.config.state).unwrap().parked(10_000).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_refused_for_one_record_fails_that_one_and_all_neighbours_arrive() {
    let mut world = started().await;
    let (mut done, mut failed) = (0, 0);
    let mut expected = BTreeMap::new();
    for (n, codes) in FOR_GOOD.chunks(3).enumerate() {
        let names = names(&format!("round {n} place"), 24);
        let mut rules = Vec::new();
        for (place, (code, message)) in places(24).into_iter().zip(codes) {
            let records = json!({"LastName": names[place]});
            rules.push(json!({"kind": "refuse", "status": 400, "code": code, "message": message, "where": records}));
            expected.insert(names[place].clone(), *code);
            failed += 1;
        }
        done += (names.len() - codes.len()) as u64;
        together(&mut world, &names, json!(rules)).await;
        world
            .until("what becomes of each", |status| {
                (contacts(status).failed, applied(status)) == (failed, done) && contacts(status).waiting == 0
            })
            .await;
    }
    assert_eq!(names_in_target(&world).await.len() as u64, done);
    world.stop().await;
    let parked = parked_by_name(&world).await;
    let codes: BTreeMap<String, &str> = parked.iter().map(|(name, row)| (name.clone(), row.code.as_str())).collect();
    assert_eq!(codes, expected);
    assert!(parked.values().all(|row| row.state == ParkedState::Failed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_the_org_cannot_serve_now_is_made_again_and_no_record_fails() {
    let mut world = started().await;
    let refusals = [
        json!({"status": 503}),
        json!({"status": 503, "code": "TOO_MANY_APEX_REQUESTS"}),
        json!({"status": 503, "body": "<h1>Down for maintenance</h1>"}),
        json!({"status": 403, "code": "REQUEST_LIMIT_EXCEEDED"}),
        json!({"status": 403, "code": "REQUEST_LIMIT_EXCEEDED", "message": "ConcurrentRequests (Concurrent API Requests) Limit exceeded."}),
        json!({"status": 403, "code": "API_CURRENTLY_DISABLED"}),
        json!({"status": 400, "code": "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE"}),
        json!({"status": 400, "code": "TXN_SECURITY_METERING_ERROR"}),
        json!({"status": 400, "code": "LIMIT_EXCEEDED"}),
        json!({"status": 401, "code": "INVALID_SESSION_ID"}),
        json!({"status": 429, "body": "slow down"}),
        json!({"status": 500, "code": "UNKNOWN_EXCEPTION"}),
        json!({"status": 502}),
        json!({"status": 504}),
        json!({"status": 400, "code": "UNABLE_TO_LOCK_ROW"}),
        json!({"status": 413, "code": "EXCEEDED_MAX_SIZE_REQUEST"}),
        json!({"status": 400, "code": "EXCEEDED_ID_LIMIT"}),
        json!({"status": 400, "code": "REQUEST_RUNNING_TOO_LONG"}),
    ];
    let mut all = 0;
    for (n, mut rule) in refusals.into_iter().enumerate() {
        rule["kind"] = json!("refuse");
        rule["times"] = json!(1);
        let names = names(&format!("round {n} place"), 5);
        together(&mut world, &names, json!([rule])).await;
        all += 5;
        // Who was suspect is written twice, and must not do so among the next ones.
        world
            .until(&format!("five more after {rule}"), |status| {
                let suspect = status.targets.values().any(|target| target.suspect > 0);
                applied(status) >= all && contacts(status).waiting == 0 && !suspect
            })
            .await;
        all = applied(&world.board.watch().borrow());
        let shown = world.control_get(world.target(), "faults").await;
        assert_eq!(shown["rules"][0]["struck"], 1, "{rule}");
    }
    world.caught_up().await;
    assert_eq!(world.assert_equal().await, 18 * 5);
    world.stop().await;
    assert!(parked_by_name(&world).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_refuses_every_request_is_held_with_the_reason_and_no_record_fails() {
    let mut world = started().await;
    let refusals = [
        (403, "API_DISABLED_FOR_ORG"),
        (403, "ORG_LOCKED"),
        (403, "TRIAL_EXPIRED"),
        (403, "FUNCTIONALITY_NOT_ENABLED"),
        (403, "LOGIN_DURING_RESTRICTED_DOMAIN"),
        (403, "LOGIN_DURING_RESTRICTED_TIME"),
        (403, "TXN_SECURITY_NO_ACCESS"),
        (403, "INSUFFICIENT_ACCESS"),
        (403, "STORAGE_LIMIT_EXCEEDED"),
        (400, "INVALID_TYPE"),
        (405, "METHOD_NOT_ALLOWED"),
    ];
    for (n, (status, code)) in refusals.into_iter().enumerate() {
        world.rules(world.target(), json!([{"kind": "refuse", "status": status, "code": code}])).await;
        world.create("Contact", names(code, 5).iter().map(|name| json!({"LastName": name})).collect()).await;
        let status = world
            .until(&format!("the reason {code}"), |status| trouble(status).is_some_and(|why| why.contains(code)))
            .await;
        assert_eq!(contacts(&status).failed, 0, "{code}");
        // A start does not wait for the next try.
        world.stop().await;
        world.no_faults(world.target()).await;
        world.start();
        world.caught_up().await;
        assert_eq!(names_in_target(&world).await.len(), 5 * (n + 1), "{code}");
    }
    world.stop().await;
    assert!(parked_by_name(&world).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_fails_the_chunk_for_one_row_costs_few_calls_and_that_row_alone() {
    let mut world = World::new().await;
    // The target's trigger has an exception for an account of this name; so has the source's, so it is called otherwise there.
    for (name, field) in &mut world.config.pipelines[0].fields {
        if name.as_str() == "Name" {
            *field = Fill::Source("AccountNumber".parse().unwrap()).into();
        }
    }
    world.config.pipelines.truncate(1);
    world.start();
    world.live_since(Timestamp(0)).await;
    let accounts = |status: &Status| status.pipelines.values().next().unwrap().clone();
    for (round, bad) in places(200).into_iter().enumerate() {
        world.rules(world.target(), json!([{"kind": "refuse"}])).await;
        let account = |n: usize| {
            let number = if n == bad { "POISON".to_owned() } else { format!("round {round} place {n}") };
            json!({"Name": format!("A{n}"), "AccountNumber": number})
        };
        world.create("Account", (0..200).map(account).collect()).await;
        world.until("accounts that wait", |status| accounts(status).waiting + accounts(status).in_flight == 200).await;
        let before = writes(&world);
        world.no_faults(world.target()).await;
        let round = round as u64 + 1;
        world
            .until("one failed record", |status| {
                let line = accounts(status);
                (line.failed, line.applied, line.waiting) == (round, 199 * round, 0)
            })
            .await;
        let calls = writes(&world) - before;
        assert!(calls <= 1 + 32, "{calls} calls for a bad row in place {bad}");
    }
    assert_eq!(world.target().stats()["records"]["Account"], json!(3 * 199));
    world.stop().await;
    let parked = parked_by_id(&world).await;
    assert_eq!(parked.len(), 3);
    assert!(parked.iter().all(|row| row.code == "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY"));
}

fn writes(world: &World) -> u64 {
    let calls = &world.target().stats()["calls"];
    let kinds = ["composite_upsert", "composite_update", "composite_delete"];
    kinds.iter().map(|kind| calls[*kind].as_u64().unwrap_or(0)).sum()
}

/// In how many transactions of the target these contacts came: those whose name begins so.
async fn transactions(world: &World, after: u64, mut is_meant: impl FnMut(&str) -> bool) -> usize {
    let target = &world.orgs[&"target".parse::<OrgName>().unwrap()];
    let rows = target.query("SELECT Id, LastName FROM Contact").await.unwrap();
    let names: BTreeMap<&str, &str> =
        rows.iter().map(|row| (row["Id"].as_str().unwrap(), row["LastName"].as_str().unwrap())).collect();
    let commits = world.target().commits(after);
    let commits = commits.as_array().unwrap().iter().filter(|commit| {
        commit["object"] == "Contact" && names.get(commit["id"].as_str().unwrap()).is_some_and(|name| is_meant(name))
    });
    commits.map(|commit| commit["at_us"].as_u64().unwrap()).collect::<BTreeSet<_>>().len()
}

fn last_commit(world: &World) -> u64 {
    let mut last = 0;
    loop {
        let commits = world.target().commits(last);
        match commits.as_array().unwrap().last() {
            Some(commit) => last = commit["n"].as_u64().unwrap(),
            None => return last,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_locks_on_some_parents_costs_the_children_of_others_nothing() {
    const PARENTS: usize = 20;
    const BUSY: usize = 5;
    let mut world = started().await;
    let accounts =
        world.create("Account", (0..PARENTS).map(|n| json!({"Name": format!("parent {n}")})).collect()).await;
    world.caught_up().await;
    let target = world.orgs[&"target".parse::<OrgName>().unwrap()].clone();
    let rows = target.query("SELECT Id, Source_Id__c FROM Account").await.unwrap();
    let there = |source: &str| rows.iter().find(|row| row["Source_Id__c"] == source).unwrap()["Id"].clone();
    let storm = |busy: &String| {
        let message =
            format!("unable to obtain exclusive access to this record or 1 records: {}", there(busy).as_str().unwrap());
        json!({
            "kind": "item", "code": "UNABLE_TO_LOCK_ROW", "message": message, "percent": 30, "seed": 4, "times": 4,
            "where": {"Account.Source_Id__c": busy},
        })
    };
    let mut calls = Vec::new();
    for (round, rules) in [("calm", json!([])), ("storm", accounts[..BUSY].iter().map(storm).collect())] {
        world.rules(world.target(), json!([{"kind": "refuse"}])).await;
        let contact =
            |n: usize| json!({"LastName": format!("{round} {} {n}", n % PARENTS), "AccountId": accounts[n % PARENTS]});
        world.create("Contact", (0..600).map(contact).collect()).await;
        world.until("contacts that wait", |status| contacts(status).waiting + contacts(status).in_flight == 600).await;
        let after = last_commit(&world);
        world.rules(world.target(), rules).await;
        world.caught_up().await;
        let others = |name: &str| {
            let parent = name.split(' ').nth(1).and_then(|parent| parent.parse::<usize>().ok());
            name.starts_with(round) && parent.is_some_and(|parent| parent >= BUSY)
        };
        calls.push(transactions(&world, after, others).await);
    }
    let shown = world.control_get(world.target(), "faults").await;
    assert!(shown["rules"].as_array().unwrap().iter().all(|rule| rule["struck"].as_u64() > Some(0)), "{shown}");
    // Rows that are tried again may come among them, and fill one batch at most.
    assert!(calls[1] <= calls[0] + 1, "the others came in {calls:?} transactions: without the storm, and with it");
    assert_eq!(world.assert_equal().await, (PARENTS + 1_200) as u64);
    world.stop().await;
    assert!(parked_by_id(&world).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_batch_the_rows_that_were_deleted_in_the_target_are_made_anew_skipped_or_failed_as_the_config_says() {
    for (policy, there, failed, skipped) in
        [(WhenTargetGone::Recreate, 60, 0, 0), (WhenTargetGone::Skip, 57, 0, 3), (WhenTargetGone::Fail, 57, 3, 0)]
    {
        let publishing = Publishing { when_target_gone: policy, may_delete: MayDelete::Any, ..Publishing::default() };
        let mut world = World::with(|config| config.pipelines[1].publishing = publishing).await;
        world.start();
        world.live_since(Timestamp(0)).await;
        let ids =
            world.create("Contact", names("row", 60).iter().map(|name| json!({"LastName": name})).collect()).await;
        world.caught_up().await;
        let target = world.orgs[&"target".parse::<OrgName>().unwrap()].clone();
        let rows = target.query("SELECT Id, Source_Id__c FROM Contact").await.unwrap();
        let gone = places(60).map(|place| {
            let row = rows.iter().find(|row| row["Source_Id__c"] == ids[place].as_str()).unwrap();
            row["Id"].as_str().unwrap().parse().unwrap()
        });
        target.delete(&gone).await.unwrap();
        world.update("Contact", ids.iter().map(|id| (id.clone(), json!({"Title": "changed"}))).collect()).await;
        world.caught_up().await;
        world
            .until("what becomes of each", |status| {
                (contacts(status).failed, contacts(status).left_gone) == (failed, skipped)
            })
            .await;
        let changed = target.query("SELECT Id FROM Contact WHERE Title = 'changed'").await.unwrap();
        assert_eq!(changed.len(), there, "{policy:?}");
        world.stop().await;
        let parked = parked_by_id(&world).await;
        assert_eq!(parked.len() as u64, failed);
        assert!(parked.iter().all(|row| row.code == "TARGET_GONE"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_record_whose_request_is_refused_for_what_passes_arrives() {
    let mut world = started().await;
    let refusals = [
        json!({"status": 400, "code": "UNABLE_TO_LOCK_ROW"}),
        json!({"status": 413, "code": "EXCEEDED_MAX_SIZE_REQUEST"}),
        json!({"status": 400, "code": "REQUEST_RUNNING_TOO_LONG"}),
        json!({"status": 400, "code": "CANNOT_EXECUTE_FLOW_TRIGGER"}),
    ];
    for (n, mut rule) in refusals.into_iter().enumerate() {
        rule["kind"] = json!("refuse");
        rule["times"] = json!(1);
        together(&mut world, &[format!("alone {n}")], json!([rule])).await;
        world.until("one more", |status| applied(status) == n as u64 + 1).await;
    }
    assert_eq!(world.assert_equal().await, 4);
    world.stop().await;
    assert!(parked_by_name(&world).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_refused_for_a_field_that_all_have_holds_the_object_and_no_record_fails() {
    let mut world = started().await;
    let said = "No such column 'LastName' on sobject of type Contact";
    let rule =
        json!({"kind": "refuse", "status": 400, "code": "INVALID_FIELD", "message": said, "path": "*/Contact/*"});
    together(&mut world, &names("contact", 50), json!([rule])).await;
    let status =
        world.until("the reason", |status| trouble(status).is_some_and(|why| why.contains("INVALID_FIELD"))).await;
    assert_eq!(contacts(&status).failed, 0);
    world.create("Account", vec![json!({"Name": "goes on"})]).await;
    world.until("the neighbour's record", |status| status.pipelines.values().any(|line| line.applied == 1)).await;
    world.stop().await;
    world.no_faults(world.target()).await;
    world.start();
    world.caught_up().await;
    assert_eq!(world.assert_equal().await, 51);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_too_much_at_once_goes_in_halves_and_so_does_what_comes_later_also_after_a_restart() {
    let mut world = started().await;
    let too_much = json!({"kind": "refuse", "status": 400, "code": "QUERY_TIMEOUT", "path": "*/Contact/*", "times": 1});
    together(&mut world, &names("first", 200), json!([too_much])).await;
    world.caught_up().await;
    assert_eq!(names_in_target(&world).await.len(), 200);
    world.stop().await;
    assert!(parked_by_name(&world).await.is_empty());
    let rows = Sqlite::open(&world.config.state).unwrap().pipelines().await.unwrap();
    let sizes: Vec<_> = rows.iter().map(|row| (row.identity.name.as_str(), row.batch_size)).collect();
    assert_eq!(sizes, [("accounts", None), ("contacts", Some(100))]);
    world.start();
    world.live_since(Timestamp(0)).await;
    together(&mut world, &names("later", 200), json!([])).await;
    world.caught_up().await;
    assert_eq!(transactions(&world, 0, |name| name.starts_with("later")).await, 2);
    world.stop().await;
}
