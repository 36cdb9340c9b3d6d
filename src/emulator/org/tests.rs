//! The rules of an org, and the events that follow from its writes.

use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::time::SECOND;
use super::*;

mod access;
mod automation;
mod fields;
mod new_fields;
mod person;

const NOW: i64 = 1_700_000_000 * SECOND + 123_456;

fn org() -> Org {
    crate::scenario::Scenario::standard().org("one", 1, Duration::ZERO..=Duration::ZERO, NOW).unwrap()
}

fn map(fields: Json) -> Map<String, Json> {
    fields.as_object().unwrap().clone()
}

fn caller(org: &Org) -> Caller {
    Caller::new(org.integration_user(), "com/salesforce/api/rest/66.0;client=Test")
}

fn object(org: &Org, name: &str) -> ObjectIndex {
    org.schema.find(name).unwrap().0
}

fn field(org: &Org, object: &str, name: &str) -> FieldIndex {
    org.schema.find(object).unwrap().1.find(name).unwrap().0
}

fn try_all(org: &mut Org, writes: Vec<Write>) -> Result<Vec<Result<Saved, SaveError>>, SaveError> {
    let caller = caller(org);
    org.transact(&caller, writes.into_iter().map(Ok).collect(), &Options::default(), NOW)
}

fn try_one(org: &mut Org, write: Write) -> Result<Id, SaveError> {
    try_all(org, vec![write])?.remove(0).map(|saved| saved.id)
}

fn create(org: &Org, name: &str, fields: Json) -> Write {
    Write::Create { object: object(org, name), fields: map(fields) }
}

fn update(org: &Org, id: &Id, fields: Json) -> Write {
    Write::Update { object: org.schema.of_id(id).unwrap().0, id: id.clone(), fields: map(fields) }
}

fn upsert(org: &Org, name: &str, fields: Json) -> Write {
    Write::Upsert { object: object(org, name), key: field(org, name, "Source_Id__c"), fields: map(fields) }
}

fn made(org: &mut Org, name: &str, fields: Json) -> Id {
    let write = create(org, name, fields);
    try_one(org, write).unwrap()
}

fn read(org: &Org, id: &Id, name: &str) -> Json {
    let (index, object) = org.schema.of_id(id).unwrap();
    org.table(index).get(id).unwrap().read(object, object.find(name).unwrap().0)
}

/// Payloads on the bus, and forgets them.
fn events(org: &mut Org) -> Vec<Json> {
    let forms = StreamForms { uuid_in_changes: false, changed_fields_in_gaps: true, nulls_in_events: true };
    let all = org.everything(i64::MAX).into_iter();
    let data: Vec<Json> = all.map(|event| serde_json::from_str(&event.to_stream(forms)).unwrap()).collect();
    org.bus.forget();
    data.into_iter().map(|data| data["payload"].clone()).collect()
}

fn code(result: Result<Id, SaveError>) -> &'static str {
    result.unwrap_err().code
}

#[test]
fn a_create_publishes_every_non_empty_field_with_compounds_nested() {
    let mut org = org();
    let id =
        made(&mut org, "Contact", json!({"LastName": "Roe", "FirstName": "Ada", "MailingCity": "Oslo", "Title": ""}));
    let event = events(&mut org).remove(0);
    let header = &event["ChangeEventHeader"];
    assert_eq!(header["entityName"], "Contact");
    assert_eq!(header["recordIds"], json!([id.as_str()]));
    assert_eq!(header["changeType"], "CREATE");
    assert_eq!(header["changeOrigin"], "com/salesforce/api/rest/66.0;client=Test");
    assert_eq!(header["changedFields"], json!([]));
    assert_eq!(header["commitTimestamp"], 1_700_000_000_000_i64);
    assert!(header["commitNumber"].as_i64().unwrap() > 1 << 53);
    assert_eq!(event["Name"], json!({"FirstName": "Ada", "LastName": "Roe"}));
    assert_eq!(event["MailingAddress"], json!({"City": "Oslo"}));
    assert_eq!(event["OwnerId"], org.integration_user().as_str());
    assert_eq!(event["CreatedDate"], "2023-11-14T22:13:20.000Z");
    for absent in ["Title", "Id", "IsDeleted", "SystemModstamp", "MailingCity", "LastName"] {
        assert_eq!(event.get(absent), None, "{absent}");
    }
}

#[test]
fn an_update_publishes_only_what_changed_and_null_for_what_was_cleared() {
    let mut org = org();
    let id = made(&mut org, "Account", json!({"Name": "A", "Phone": "1", "BillingStreet": "x", "BillingCity": "y"}));
    events(&mut org);
    let write = update(&org, &id, json!({"Name": "A", "Phone": null, "BillingStreet": "z"}));
    try_one(&mut org, write).unwrap();
    let event = events(&mut org).remove(0);
    assert_eq!(
        event["ChangeEventHeader"]["changedFields"],
        json!(["Phone", "LastModifiedDate", "BillingAddress.Street"])
    );
    assert_eq!(event.get("Phone"), Some(&Json::Null));
    assert_eq!(event["BillingAddress"], json!({"Street": "z"}));
    assert_eq!(event.get("Name"), None);
}

#[test]
fn an_update_with_equal_values_changes_only_the_stamp() {
    let mut org = org();
    let id = made(&mut org, "Account", json!({"Name": "A", "AnnualRevenue": 12.5, "NumberOfEmployees": 7}));
    events(&mut org);
    let write =
        update(&org, &id, json!({"Name": " A ", "AnnualRevenue": 12.50, "NumberOfEmployees": 7.0, "Phone": ""}));
    try_one(&mut org, write).unwrap();
    assert_eq!(events(&mut org)[0]["ChangeEventHeader"]["changedFields"], json!(["LastModifiedDate"]));
    assert_eq!(org.written(), (2, 1));
}

#[test]
fn records_changed_alike_share_an_event_and_the_others_count_on() {
    let mut org = org();
    let ids: Vec<Id> = (0..3).map(|n| made(&mut org, "Account", json!({"Name": format!("A{n}")}))).collect();
    events(&mut org);
    let phone = |n: usize, value: &str| update(&org, &ids[n], json!({"Phone": value}));
    let writes = vec![phone(0, "1"), phone(1, "2"), phone(2, "1")];
    try_all(&mut org, writes).unwrap();
    let events = events(&mut org);
    let header = |n: usize| &events[n]["ChangeEventHeader"];
    assert_eq!(events.len(), 2);
    assert_eq!(header(0)["recordIds"], json!([ids[0].as_str(), ids[2].as_str()]));
    assert_eq!(header(1)["recordIds"], json!([ids[1].as_str()]));
    assert_eq!((&header(0)["sequenceNumber"], &header(1)["sequenceNumber"]), (&json!(1), &json!(2)));
    assert_eq!(header(0)["transactionKey"], header(1)["transactionKey"]);
}

#[test]
fn deleting_an_account_takes_its_contacts_and_frees_its_children() {
    let mut org = org();
    let parent = made(&mut org, "Account", json!({"Name": "P"}));
    let child = made(&mut org, "Account", json!({"Name": "C", "ParentId": parent.as_str()}));
    let contact = made(&mut org, "Contact", json!({"LastName": "L", "AccountId": parent.as_str()}));
    let other = made(&mut org, "Contact", json!({"LastName": "O", "AccountId": child.as_str()}));
    events(&mut org);
    try_one(&mut org, Write::Delete { id: parent.clone() }).unwrap();
    let kinds: Vec<(Json, Json)> = events(&mut org)
        .into_iter()
        .map(|e| (e["ChangeEventHeader"]["changeType"].clone(), e["ChangeEventHeader"]["recordIds"][0].clone()))
        .collect();
    assert_eq!(kinds.len(), 3);
    assert!(kinds.contains(&(json!("DELETE"), json!(parent.as_str()))));
    assert!(kinds.contains(&(json!("DELETE"), json!(contact.as_str()))));
    assert!(kinds.contains(&(json!("UPDATE"), json!(child.as_str()))));
    assert_eq!(read(&org, &child, "ParentId"), Json::Null);
    assert_eq!(read(&org, &other, "IsDeleted"), json!(false));
    assert_eq!(code(try_one(&mut org, Write::Delete { id: contact })), "ENTITY_IS_DELETED");
}

#[test]
fn undelete_brings_back_what_went_with_the_account_and_nothing_else() {
    let mut org = org();
    let account = made(&mut org, "Account", json!({"Name": "A", "Phone": "1"}));
    let contact =
        |org: &mut Org, name: &str| made(org, "Contact", json!({"LastName": name, "AccountId": account.as_str()}));
    let (early, with) = (contact(&mut org, "early"), contact(&mut org, "with"));
    try_one(&mut org, Write::Delete { id: early.clone() }).unwrap();
    try_one(&mut org, Write::Delete { id: account.clone() }).unwrap();
    events(&mut org);
    try_one(&mut org, Write::Undelete { id: account.clone() }).unwrap();
    let events = events(&mut org);
    assert_eq!(events.len(), 2);
    assert_eq!(events[0]["ChangeEventHeader"]["changeType"], "UNDELETE");
    assert_eq!(events[0]["Phone"], "1");
    assert_eq!(events[1]["ChangeEventHeader"]["recordIds"], json!([with.as_str()]));
    assert_eq!(read(&org, &early, "IsDeleted"), json!(true));
}

#[test]
fn a_contact_that_comes_back_alone_no_longer_names_its_deleted_account() {
    let mut org = org();
    let account = made(&mut org, "Account", json!({"Name": "A"}));
    let contact = made(&mut org, "Contact", json!({"LastName": "L", "AccountId": account.as_str()}));
    try_one(&mut org, Write::Delete { id: account }).unwrap();
    try_one(&mut org, Write::Undelete { id: contact.clone() }).unwrap();
    assert_eq!(read(&org, &contact, "AccountId"), Json::Null);
}

#[test]
fn an_upsert_finds_its_record_whatever_the_case_and_never_a_deleted_one() {
    let mut org = org();
    let write = upsert(&org, "Account", json!({"Source_Id__c": "aB1", "Name": "A"}));
    let first = try_one(&mut org, write.clone()).unwrap();
    let again = upsert(&org, "Account", json!({"Source_Id__c": "Ab1", "Phone": "2"}));
    assert_eq!(try_one(&mut org, again).unwrap(), first);
    try_one(&mut org, Write::Delete { id: first.clone() }).unwrap();
    assert_ne!(try_one(&mut org, write).unwrap(), first);
    assert_eq!(code(try_one(&mut org, Write::Undelete { id: first })), "DUPLICATE_VALUE");
}

#[test]
fn the_same_external_id_twice_fails_every_record_that_has_it() {
    let mut org = org();
    let one = |org: &Org, key: &str| upsert(org, "Account", json!({"Source_Id__c": key, "Name": key}));
    let writes = vec![one(&org, "x"), one(&org, "y"), one(&org, "X")];
    let results = try_all(&mut org, writes).unwrap();
    assert_eq!(results[0].as_ref().unwrap_err().message, "Duplicate external id specified: x");
    assert!(results[1].is_ok());
    assert_eq!(results[2].as_ref().unwrap_err().code, "DUPLICATE_VALUE");
}

#[test]
fn a_parent_by_external_id_is_found_or_named_in_the_error() {
    let mut org = org();
    let account = made(&mut org, "Account", json!({"Name": "A", "Source_Id__c": "p1"}));
    let contact = made(&mut org, "Contact", json!({"LastName": "L", "Account": {"Source_Id__c": "P1"}}));
    assert_eq!(read(&org, &contact, "AccountId"), json!(account.as_str()));
    let write = create(&org, "Contact", json!({"LastName": "L", "Account": {"Source_Id__c": "nope"}}));
    let error = try_one(&mut org, write).unwrap_err();
    assert_eq!(error.code, "INVALID_FIELD");
    assert_eq!(error.message, "Foreign key external ID: nope not found for field Source_Id__c in entity Account");
    assert!(!error.malformed);
}

#[test]
fn each_rule_has_its_code() {
    let mut org = org();
    let account = made(&mut org, "Account", json!({"Name": "A", "Emea_Id__c": "e"}));
    let gone = made(&mut org, "Account", json!({"Name": "G"}));
    try_one(&mut org, Write::Delete { id: gone.clone() }).unwrap();
    let contact = |fields: Json| {
        let mut all = map(json!({"LastName": "L"}));
        all.extend(map(fields));
        create(&org, "Contact", Json::Object(all))
    };
    let unknown = Id::new("001", "zz0", 1);
    let cases = [
        (create(&org, "Account", json!({})), "REQUIRED_FIELD_MISSING"),
        (update(&org, &account, json!({"Name": ""})), "REQUIRED_FIELD_MISSING"),
        (create(&org, "Account", json!({"Name": "B", "Emea_Id__c": "E"})), "DUPLICATE_VALUE"),
        (contact(json!({"Title": "x".repeat(129)})), "STRING_TOO_LONG"),
        (contact(json!({"Email": "nobody"})), "INVALID_EMAIL_ADDRESS"),
        (contact(json!({"AccountId": unknown.as_str()})), "INVALID_CROSS_REFERENCE_KEY"),
        (contact(json!({"AccountId": gone.as_str()})), "ENTITY_IS_DELETED"),
        (contact(json!({"AccountId": org.integration_user().as_str()})), "MALFORMED_ID"),
        (contact(json!({"CreatedDate": "2020-01-01"})), "INVALID_FIELD_FOR_INSERT_UPDATE"),
        (contact(json!({"Nope__c": 1})), "INVALID_FIELD"),
        (contact(json!({"Title": 1})), "JSON_PARSER_ERROR"),
        (contact(json!({"Birthdate": "2020-13-01"})), "JSON_PARSER_ERROR"),
        (update(&org, &account, json!({"NumberOfEmployees": 123_456_789})), "NUMBER_OUTSIDE_VALID_RANGE"),
        (update(&org, &gone, json!({"Phone": "1"})), "ENTITY_IS_DELETED"),
        (update(&org, &unknown, json!({"Phone": "1"})), "INVALID_CROSS_REFERENCE_KEY"),
        (upsert(&org, "Account", json!({"Name": "B"})), "MISSING_ARGUMENT"),
        (Write::Undelete { id: account.clone() }, "UNDELETE_FAILED"),
    ];
    for (write, expected) in cases {
        assert_eq!(code(try_one(&mut org, write.clone())), expected, "{write:?}");
    }
    assert_eq!(org.counts()["Contact"], 0);
}

#[test]
fn a_malformed_record_fails_the_request_or_only_itself() {
    let mut org = org();
    let writes = |org: &Org| {
        vec![
            Ok(create(org, "Account", json!({"Name": "A"}))),
            Ok(create(org, "Account", json!({"Name": "B", "No__c": 1}))),
        ]
    };
    let caller = caller(&org);
    let both = writes(&org);
    assert!(org.transact(&caller, both, &Options::default(), NOW).is_err());
    assert_eq!(org.counts()["Account"], 0);
    let alone = Options { malformed_fails_alone: true, ..Options::default() };
    let both = writes(&org);
    let results = org.transact(&caller, both, &alone, NOW).unwrap();
    assert!(results[0].is_ok() && results[1].is_err());
}

#[test]
fn all_or_none_takes_everything_back_and_publishes_nothing() {
    let mut org = org();
    let account = made(&mut org, "Account", json!({"Name": "A", "Source_Id__c": "k"}));
    events(&mut org);
    let writes = vec![
        Ok(update(&org, &account, json!({"Name": "B", "Source_Id__c": "other"}))),
        Ok(create(&org, "Account", json!({"Name": "N"}))),
        Ok(create(&org, "Account", json!({}))),
    ];
    let options = Options { all_or_none: true, ..Options::default() };
    let caller = caller(&org);
    let results = org.transact(&caller, writes, &options, NOW).unwrap();
    let codes: Vec<&str> = results.into_iter().map(|result| result.unwrap_err().code).collect();
    assert_eq!(codes[..2], ["ALL_OR_NONE_OPERATION_ROLLED_BACK"; 2]);
    assert_eq!(codes[2], "REQUIRED_FIELD_MISSING");
    assert_eq!((read(&org, &account, "Name"), org.counts()["Account"]), (json!("A"), 1));
    let again = upsert(&org, "Account", json!({"Source_Id__c": "K", "Phone": "1"}));
    assert!(events(&mut org).is_empty());
    assert_eq!(try_one(&mut org, again).unwrap(), account, "the key's index was taken back too");
}

#[test]
fn a_locked_record_fails_and_its_neighbours_do_not() {
    let mut org = org();
    let writes = (0..3).map(|n| Ok(create(&org, "Account", json!({"Name": format!("A{n}")})))).collect();
    let options = Options { locked: vec![false, true, false], ..Options::default() };
    let caller = caller(&org);
    let results = org.transact(&caller, writes, &options, NOW).unwrap();
    assert_eq!(results[1].as_ref().unwrap_err().code, "UNABLE_TO_LOCK_ROW");
    assert_eq!(org.counts()["Account"], 2);
}

#[test]
fn commits_are_exact_and_name_the_external_ids() {
    let mut org = org();
    let id = made(&mut org, "Account", json!({"Name": "A", "Source_Id__c": "k"}));
    let write = update(&org, &id, json!({"Phone": "1"}));
    try_one(&mut org, write).unwrap();
    let commits = org.commits_after(1);
    assert_eq!(commits.len(), 1);
    assert_eq!((commits[0].n, commits[0].at, commits[0].kind), (2, NOW, ChangeKind::Update));
    assert_eq!(commits[0].external, [(field(&org, "Account", "Source_Id__c"), "k".to_owned())]);
}
