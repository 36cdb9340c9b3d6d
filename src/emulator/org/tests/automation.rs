//! What the org does by itself: triggers, flows, rules, roll-ups, assignment, merge, conversion.

use serde_json::json;

use super::*;

fn account(org: &mut Org, fields: Json) -> Id {
    let mut all = json!({"Name": "A"});
    all.as_object_mut().unwrap().extend(map(fields));
    made(org, "Account", all)
}

fn origins(events: &[Json]) -> Vec<(String, String)> {
    let text = |event: &Json, key: &str| event["ChangeEventHeader"][key].as_str().unwrap().to_owned();
    events.iter().map(|event| (text(event, "changeType"), text(event, "changeOrigin"))).collect()
}

#[test]
fn a_trigger_changes_fields_within_the_same_event() {
    let mut org = org();
    let id = account(&mut org, json!({"Name": "Acme"}));
    let event = events(&mut org).remove(0);
    assert_eq!((&event["Name"], &event["Search_Name__c"]), (&json!("Acme"), &json!("ACME")));
    let write = update(&org, &id, json!({"Name": "Bolt"}));
    try_one(&mut org, write).unwrap();
    let all = events(&mut org);
    assert_eq!(all.len(), 1);
    let mut changed: Vec<&str> =
        all[0]["ChangeEventHeader"]["changedFields"].as_array().unwrap().iter().filter_map(Json::as_str).collect();
    changed.sort_unstable();
    assert_eq!(changed, ["LastModifiedDate", "Name", "Search_Name__c"]);
}

#[test]
fn a_flow_runs_later_in_a_transaction_of_its_own_with_an_empty_origin() {
    let mut org = org();
    let id = account(&mut org, json!({"NumberOfEmployees": 5}));
    events(&mut org);
    assert_eq!(org.run_flows(NOW), 0);
    let due = org.next_flow().unwrap();
    assert_eq!(due, NOW + 200_000);
    assert_eq!(org.run_flows(due), 1);
    assert_eq!(read(&org, &id, "Segment__c"), "Small");
    let all = events(&mut org);
    assert_eq!(origins(&all), [("UPDATE".to_owned(), String::new())]);
    assert_ne!(all[0]["ChangeEventHeader"]["commitUser"], org.integration_user().as_str());
    assert_eq!(org.next_flow(), None);
}

#[test]
fn a_flow_of_a_record_that_is_gone_does_nothing() {
    let mut org = org();
    let id = account(&mut org, json!({"NumberOfEmployees": 5}));
    try_one(&mut org, Write::Delete { id: id.clone() }).unwrap();
    events(&mut org);
    org.finish_flows(NOW);
    assert_eq!(events(&mut org).len(), 0);
}

#[test]
fn an_uncaught_exception_fails_the_whole_chunk_and_leaves_nothing() {
    let mut org = org();
    let writes = vec![
        create(&org, "Account", json!({"Name": "good"})),
        create(&org, "Account", json!({"Phone": "no name"})),
        create(&org, "Account", json!({"Name": "POISON"})),
        create(&org, "Account", json!({"Name": "also good"})),
    ];
    let results = try_all(&mut org, writes).unwrap();
    let codes: Vec<&str> = results.iter().map(|result| result.as_ref().unwrap_err().code).collect();
    let poisoned = "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY";
    assert_eq!(codes, [poisoned, "REQUIRED_FIELD_MISSING", poisoned, poisoned]);
    let message = &results[0].as_ref().unwrap_err().message;
    assert!(message.starts_with("PoisonTrigger: execution of BeforeInsert caused by: System."), "{message}");
    assert_eq!(org.table(object(&org, "Account")).rows().count(), 0);
    assert_eq!((events(&mut org).len(), org.written()), (0, (0, 0)));
}

#[test]
fn validation_rules_see_old_and_new_values() {
    let mut org = org();
    let id = account(&mut org, json!({"Phone": "1"}));
    let write = update(&org, &id, json!({"Type": "Customer", "Phone": null}));
    let error = try_one(&mut org, write).unwrap_err();
    assert_eq!(
        (error.code, error.message.as_str(), error.fields.as_slice()),
        ("FIELD_CUSTOM_VALIDATION_EXCEPTION", "A customer needs a phone number.", ["Phone".to_owned()].as_slice())
    );
    let write = update(&org, &id, json!({"Type": "Customer"}));
    try_one(&mut org, write).unwrap();
    // The type does not change any more, so the rule does not look.
    let write = update(&org, &id, json!({"Phone": null}));
    try_one(&mut org, write).unwrap();
}

#[test]
fn a_duplicate_rule_alerts_unless_the_caller_lets_it_pass() {
    let mut org = org();
    let contact = json!({"LastName": "Roe", "Email": "roe@example.com"});
    let first = made(&mut org, "Contact", contact.clone());
    let write = create(&org, "Contact", json!({"LastName": "ROE", "Email": "Roe@Example.com"}));
    let error = try_one(&mut org, write.clone()).unwrap_err();
    assert_eq!((error.code, error.message.as_str()), ("DUPLICATES_DETECTED", "Use one of these records?"));
    let found = &error.duplicates.unwrap()["matchResults"][0]["matchRecords"][0]["record"]["Id"];
    assert_eq!(found, first.as_str());
    let caller = Caller { allow_duplicates: true, ..caller(&org) };
    let results = org.transact(&caller, vec![Ok(write)], &Options::default(), NOW).unwrap();
    assert!(results[0].is_ok());
}

#[test]
fn an_assignment_rule_moves_the_owner_unless_told_not_to() {
    let mut org = org();
    let write = || Write::Create { object: object(&org, "Case"), fields: map(json!({"Subject": "x"})) };
    let (first, second) = (write(), write());
    let plain = caller(&org);
    let assigning = Caller { auto_assign: true, ..plain.clone() };
    let id = org.transact(&assigning, vec![Ok(first)], &Options::default(), NOW).unwrap().remove(0).unwrap().id;
    assert!(read(&org, &id, "OwnerId").as_str().unwrap().starts_with("00G"));
    let id = org.transact(&plain, vec![Ok(second)], &Options::default(), NOW).unwrap().remove(0).unwrap().id;
    assert_eq!(read(&org, &id, "OwnerId"), org.integration_user().as_str());
}

#[test]
fn roll_ups_follow_the_children_and_lock_the_parent() {
    let mut org = org();
    let [one, two] = [account(&mut org, json!({})), account(&mut org, json!({}))];
    let opportunity = |account: &Id, amount: f64| {
        json!({"Name": "O", "StageName": "Prospecting", "CloseDate": "2026-12-31", "Amount": amount,
            "AccountId": account.as_str()})
    };
    let first = made(&mut org, "Opportunity", opportunity(&one, 10.5));
    made(&mut org, "Opportunity", opportunity(&one, 1.25));
    assert_eq!(read(&org, &one, "Pipeline__c"), json!(11.75));
    let write = update(&org, &first, json!({"AccountId": two.as_str()}));
    try_one(&mut org, write).unwrap();
    assert_eq!((read(&org, &one, "Pipeline__c"), read(&org, &two, "Pipeline__c")), (json!(1.25), json!(10.5)));
    let contact = made(&mut org, "Contact", json!({"LastName": "C", "AccountId": one.as_str()}));
    assert_eq!(read(&org, &one, "Contacts__c"), json!(1));
    events(&mut org);

    org.locks.refuse_times(&one, 1);
    let write = update(&org, &contact, json!({"AccountId": null}));
    let error = try_one(&mut org, write.clone()).unwrap_err();
    assert_eq!(error.code, "UNABLE_TO_LOCK_ROW");
    assert!(error.message.ends_with(&format!("or 1 records: {one}")), "{}", error.message);
    assert_eq!((read(&org, &contact, "AccountId"), events(&mut org).len()), (json!(one.as_str()), 0));
    try_one(&mut org, write).unwrap();
    assert_eq!(read(&org, &one, "Contacts__c"), json!(0));
    try_one(&mut org, Write::Delete { id: first }).unwrap();
    assert_eq!(read(&org, &two, "Pipeline__c"), json!(0.0), "and no negative zero");
}

#[test]
fn deleting_a_master_takes_its_details_and_undeleting_brings_them_back() {
    let mut org = org();
    let invoice = made(&mut org, "Invoice__c", json!({"Ext__c": "1"}));
    let line = made(&mut org, "Invoice_Line__c", json!({"Invoice__c": invoice.as_str(), "Price__c": 5}));
    assert_eq!((read(&org, &invoice, "Lines__c"), read(&org, &invoice, "Total__c")), (json!(1), json!(5.0)));
    try_one(&mut org, Write::Delete { id: invoice.clone() }).unwrap();
    assert_eq!(read(&org, &line, "IsDeleted"), true);
    try_one(&mut org, Write::Undelete { id: invoice.clone() }).unwrap();
    assert_eq!((read(&org, &line, "IsDeleted"), read(&org, &invoice, "Lines__c")), (json!(false), json!(1)));
}

#[test]
fn a_merge_updates_the_winner_deletes_the_loser_and_moves_its_children() {
    let mut org = org();
    let [winner, loser] = [account(&mut org, json!({})), account(&mut org, json!({"Phone": "2"}))];
    let contact = made(&mut org, "Contact", json!({"LastName": "C", "AccountId": loser.as_str()}));
    events(&mut org);
    let caller = caller(&org);
    org.merge(&caller, &winner, std::slice::from_ref(&loser), map(json!({"Phone": "2"})), NOW).unwrap();
    assert_eq!(read(&org, &contact, "AccountId"), winner.as_str());
    assert_eq!((read(&org, &winner, "Phone"), read(&org, &winner, "Contacts__c")), (json!("2"), json!(1)));
    assert_eq!(
        (read(&org, &loser, "IsDeleted"), read(&org, &loser, "MasterRecordId")),
        (json!(true), json!(winner.as_str()))
    );
    let all = events(&mut org);
    let keys: std::collections::HashSet<&str> =
        all.iter().map(|event| event["ChangeEventHeader"]["transactionKey"].as_str().unwrap()).collect();
    assert_eq!(keys.len(), 1);
    let kind = |id: &Id| {
        let of = |event: &&Json| event["ChangeEventHeader"]["recordIds"] == json!([id.as_str()]);
        all.iter().find(of).unwrap()["ChangeEventHeader"]["changeType"].clone()
    };
    assert_eq!([kind(&winner), kind(&loser), kind(&contact)], ["UPDATE", "DELETE", "UPDATE"]);
}

#[test]
fn converting_a_lead_makes_three_records_in_one_transaction() {
    let mut org = org();
    let lead = made(&mut org, "Lead", json!({"LastName": "Roe", "Company": "Acme", "Email": "roe@example.com"}));
    events(&mut org);
    let caller = caller(&org);
    let converted = org.convert_lead(&caller, &lead, true, NOW).unwrap();
    assert_eq!(read(&org, &converted.account, "Name"), "Acme");
    assert_eq!(read(&org, &converted.contact, "AccountId"), converted.account.as_str());
    assert_eq!(read(&org, &lead, "ConvertedContactId"), converted.contact.as_str());
    let all = events(&mut org);
    let entities: Vec<&str> = all.iter().map(|e| e["ChangeEventHeader"]["entityName"].as_str().unwrap()).collect();
    assert_eq!(entities, ["Account", "Contact", "Opportunity", "Lead"]);
    let write = update(&org, &lead, json!({"Phone": "1"}));
    assert_eq!(code(try_one(&mut org, write)), "CANNOT_UPDATE_CONVERTED_LEAD");
    assert_eq!(org.convert_lead(&caller, &lead, true, NOW).unwrap_err().code, "CANNOT_UPDATE_CONVERTED_LEAD");
}

#[test]
fn what_a_transaction_touched_stays_locked_as_long_as_it_takes() {
    let mut org = org();
    org.transaction_time = 1_000_000;
    let id = account(&mut org, json!({}));
    let write = update(&org, &id, json!({"Phone": "1"}));
    assert_eq!(code(try_one(&mut org, write.clone())), "UNABLE_TO_LOCK_ROW");
    let caller = caller(&org);
    let results = org.transact(&caller, vec![Ok(write)], &Options::default(), NOW + 1_000_000).unwrap();
    assert!(results[0].is_ok());
}

#[test]
fn a_unit_of_work_over_several_requests_is_taken_back_as_a_whole() {
    let mut org = org();
    let id = account(&mut org, json!({"Phone": "1"}));
    events(&mut org);
    let caller = caller(&org);
    let mut unit = org.begin(NOW);
    let write = update(&org, &id, json!({"Phone": "2"}));
    org.run(&mut unit, &caller, vec![Ok(write)], &Options::default()).unwrap();
    let write = create(&org, "Contact", json!({"LastName": "C", "AccountId": id.as_str()}));
    org.run(&mut unit, &caller, vec![Ok(write)], &Options::default()).unwrap();
    assert_eq!(read(&org, &id, "Contacts__c"), json!(1));
    org.roll_back(unit);
    assert_eq!((read(&org, &id, "Phone"), read(&org, &id, "Contacts__c")), (json!("1"), json!(0)));
    assert_eq!((org.table(object(&org, "Contact")).rows().count(), events(&mut org).len()), (0, 0));
    assert_eq!(org.written(), (1, 0));
}

#[test]
fn roll_ups_travel_in_events_unless_the_org_keeps_them_back() {
    let mut org = org();
    let parent = account(&mut org, json!({}));
    for shown in [true, false] {
        org.roll_ups_in_events = shown;
        events(&mut org);
        made(&mut org, "Contact", json!({"LastName": "C", "AccountId": parent.as_str()}));
        let all = events(&mut org);
        let of_parent = |event: &&Json| event["ChangeEventHeader"]["entityName"] == "Account";
        let event = all.iter().find(of_parent).unwrap();
        assert_eq!(event.get("Contacts__c").is_some(), shown);
        let changed = if shown { json!(["LastModifiedDate", "Contacts__c"]) } else { json!(["LastModifiedDate"]) };
        assert_eq!(event["ChangeEventHeader"]["changedFields"], changed);
    }
}

fn org_of(objects: &str) -> Org {
    let scenario = crate::scenario::Scenario::read("my.yaml", objects).unwrap();
    scenario.org("one", 1, Duration::ZERO..=Duration::ZERO, NOW).unwrap()
}

#[test]
fn records_that_take_each_other_along_come_back_together() {
    let mut org = org_of(
        "objects: [{ name: Ring__c, fields: [{ name: Next__c, type: lookup, to: [Ring__c], on_parent_delete: delete }] }]",
    );
    let first = made(&mut org, "Ring__c", json!({}));
    let second = made(&mut org, "Ring__c", json!({"Next__c": first.as_str()}));
    let write = update(&org, &first, json!({"Next__c": second.as_str()}));
    try_one(&mut org, write).unwrap();
    try_one(&mut org, Write::Delete { id: first.clone() }).unwrap();
    assert_eq!([read(&org, &first, "IsDeleted"), read(&org, &second, "IsDeleted")], [true, true]);
    try_one(&mut org, Write::Undelete { id: first.clone() }).unwrap();
    assert_eq!([read(&org, &first, "IsDeleted"), read(&org, &second, "IsDeleted")], [false, false]);
}

#[test]
fn a_refused_deletion_names_only_those_that_hold_the_record() {
    let mut org = org_of(
        "objects: [{ name: Holder__c, fields: [{ name: Of__c, type: lookup, to: [Account], on_parent_delete: refuse }] }]",
    );
    let held = account(&mut org, json!({}));
    made(&mut org, "Contact", json!({"LastName": "C", "AccountId": held.as_str()}));
    let holder = made(&mut org, "Holder__c", json!({"Of__c": held.as_str()}));
    let error = try_one(&mut org, Write::Delete { id: held }).unwrap_err();
    assert_eq!(error.code, "DELETE_FAILED");
    assert!(error.message.ends_with(&format!("Holder__cs: {}", holder.short())), "{}", error.message);
}

#[test]
fn the_loser_of_a_merge_that_comes_back_has_no_master() {
    let mut org = org();
    let [winner, loser] = [account(&mut org, json!({})), account(&mut org, json!({}))];
    let caller = caller(&org);
    org.merge(&caller, &winner, std::slice::from_ref(&loser), map(json!({})), NOW).unwrap();
    try_one(&mut org, Write::Undelete { id: loser.clone() }).unwrap();
    assert_eq!(read(&org, &loser, "MasterRecordId"), Json::Null);
}
