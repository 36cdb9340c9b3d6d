//! Person accounts: one person, two records.

use std::collections::BTreeMap;

use super::*;
use crate::scenario::Scenario;

const SCENARIO: &str = "
person_accounts: true
objects:
  - name: Contact
    fields: [{ name: Level__c, type: string, length: 20 }]
";

fn org() -> Org {
    let scenario = Scenario::read("persons.yaml", SCENARIO).unwrap();
    scenario.org("one", 1, Duration::ZERO..=Duration::ZERO, NOW).unwrap()
}

fn martha(org: &mut Org) -> (Id, Id) {
    let account = made(
        org,
        "Account",
        json!({"Salutation": "Ms.", "FirstName": "Martha", "LastName": "Brown", "Level__pc": "Gold",
            "PersonEmail": "martha@example.com", "Source_Id__c": "m1"}),
    );
    let contact = Id::parse(read(org, &account, "PersonContactId").as_str().unwrap()).unwrap();
    events(org);
    (account, contact)
}

fn person_type(org: &Org) -> String {
    let (index, types) = org.schema.find("RecordType").unwrap();
    let (name, _) = types.find("DeveloperName").unwrap();
    let is_it = |row: &&Row| row.read(types, name) == "PersonAccount";
    org.table(index).rows().find(is_it).unwrap().id.as_str().to_owned()
}

fn headers(events: &[Json]) -> Vec<(String, String, i64)> {
    let text = |value: &Json| value.as_str().unwrap().to_owned();
    let of = |event: &Json| {
        let header = &event["ChangeEventHeader"];
        (text(&header["entityName"]), text(&header["changeType"]), header["sequenceNumber"].as_i64().unwrap())
    };
    events.iter().map(of).collect()
}

fn told(entity: &str, kind: &str, sequence: i64) -> (String, String, i64) {
    (entity.into(), kind.into(), sequence)
}

/// The answer of a documented exchange, by its name.
fn vector(name: &str) -> Json {
    let all: Json = serde_json::from_str(include_str!("../../../../tests/vectors/cometd_messages.json")).unwrap();
    let found = all["exchanges"].as_array().unwrap().iter().find(|exchange| exchange["name"] == name).unwrap();
    found["response"][0]["data"]["payload"].clone()
}

#[test]
fn an_account_with_a_last_name_is_a_person_with_a_contact() {
    let mut org = org();
    let (account, contact) = martha(&mut org);
    for (id, name, value) in [
        (&account, "Name", json!("Martha Brown")),
        (&account, "IsPersonAccount", json!(true)),
        (&account, "RecordTypeId", json!(person_type(&org))),
        (&account, "PersonHasOptedOutOfEmail", json!(false)),
        (&account, "Search_Name__c", json!("MARTHA BROWN")),
        (&contact, "Name", json!("Martha Brown")),
        (&contact, "Salutation", json!("Ms.")),
        (&contact, "IsPersonAccount", json!(true)),
        (&contact, "AccountId", json!(account.as_str())),
        (&contact, "Email", json!("martha@example.com")),
        (&contact, "Level__c", json!("Gold")),
        // Triggers of contacts are not for this one.
        (&contact, "Greeting__c", Json::Null),
    ] {
        assert_eq!(read(&org, id, name), value, "{name}");
    }
    let business = made(&mut org, "Account", json!({"Name": "Acme", "PersonEmail": null}));
    for (name, value) in
        [("IsPersonAccount", json!(false)), ("PersonContactId", Json::Null), ("PersonHasOptedOutOfEmail", json!(false))]
    {
        assert_eq!(read(&org, &business, name), value, "{name}");
    }
    let contact = made(&mut org, "Contact", json!({"LastName": "Roe", "AccountId": business.as_str()}));
    assert_eq!(read(&org, &contact, "IsPersonAccount"), false);
}

#[test]
fn a_create_is_told_as_the_documents_tell_it() {
    let mut org = org();
    let person = json!({"Salutation": "Ms.", "FirstName": "Martha", "LastName": "Brown", "Level__pc": "Gold"});
    made(&mut org, "Account", person);
    let all = events(&mut org);
    assert_eq!(headers(&all), [told("Account", "CREATE", 1), told("Contact", "CREATE", 2)]);
    let key = |event: &Json| event["ChangeEventHeader"]["transactionKey"].clone();
    assert_eq!(key(&all[0]), key(&all[1]));
    // Beside what the documents show: what a new record has here by a default, a trigger or a roll-up.
    for (event, wanted, further) in [
        (
            &all[0],
            vector("person_create_account"),
            vec!["Contacts__c", "PersonHasOptedOutOfEmail", "Pipeline__c", "Search_Name__c"],
        ),
        (&all[1], vector("person_create_contact"), vec!["HasOptedOutOfEmail"]),
    ] {
        let (event, wanted) = (event.as_object().unwrap(), wanted.as_object().unwrap());
        let mut names: Vec<&str> = wanted.keys().map(String::as_str).chain(further).collect();
        let mut own: Vec<&str> = event.keys().map(String::as_str).collect();
        names.sort_unstable();
        own.sort_unstable();
        assert_eq!(own, names);
        for (name, value) in wanted.iter().filter(|(name, _)| *name != "ChangeEventHeader") {
            let same = name.ends_with("Id") || name.ends_with("Date") || event[name] == *value;
            assert!(same && event[name].is_string() == value.is_string(), "{name}: {}", event[name]);
        }
    }
}

#[test]
fn the_record_type_alone_makes_a_person_that_needs_a_last_name() {
    let mut org = org();
    let person_type = person_type(&org);
    let write = create(&org, "Account", json!({"RecordTypeId": person_type, "FirstName": "Martha"}));
    let error = try_one(&mut org, write).unwrap_err();
    assert_eq!((error.code, error.fields), ("REQUIRED_FIELD_MISSING", vec!["LastName".to_owned()]));
    let id = made(&mut org, "Account", json!({"RecordTypeId": person_type, "LastName": "Brown"}));
    assert_eq!(read(&org, &id, "Name"), "Brown");
    assert_eq!(org.counts()["Contact"], 1, "the refused one left none");
}

#[test]
fn names_and_fields_of_the_other_kind_of_account_are_refused() {
    let mut org = org();
    let (account, _) = martha(&mut org);
    let business = made(&mut org, "Account", json!({"Name": "Acme"}));
    let other = read(&org, &business, "RecordTypeId");
    let bad = |names: &str| format!("Account: bad field names on insert/update call: {names}");
    for (write, names) in [
        (create(&org, "Account", json!({"Name": "Martha Brown", "LastName": "Brown"})), "Name"),
        (create(&org, "Account", json!({"Name": "Acme", "PersonEmail": "a@b.example"})), "PersonEmail"),
        (create(&org, "Account", json!({"Name": "Acme", "RecordTypeId": other, "LastName": "Brown"})), "LastName"),
        (update(&org, &account, json!({"Name": "Martha Green"})), "Name"),
        (update(&org, &business, json!({"FirstName": "A", "LastName": "B"})), "LastName, FirstName"),
    ] {
        let error = try_one(&mut org, write).unwrap_err();
        assert_eq!((error.code, error.message), ("INVALID_FIELD_FOR_INSERT_UPDATE", bad(names)));
    }
    let person_type = person_type(&org);
    for write in [
        update(&org, &business, json!({"RecordTypeId": person_type})),
        update(&org, &account, json!({"RecordTypeId": other})),
    ] {
        assert_eq!(code(try_one(&mut org, write)), "INVALID_PERSON_ACCOUNT_OPERATION");
    }
}

#[test]
fn each_side_is_written_through_the_other_and_both_have_the_same_last_change() {
    let mut org = org();
    let (account, contact) = martha(&mut org);
    let changed = |event: &Json| event["ChangeEventHeader"]["changedFields"].clone();
    let both = [told("Account", "UPDATE", 1), told("Contact", "UPDATE", 2)];

    let write = update(&org, &account, json!({"FirstName": null, "PersonEmail": "m@example.com"}));
    try_one(&mut org, write).unwrap();
    let all = events(&mut org);
    assert_eq!(headers(&all), both);
    assert_eq!(changed(&all[0]), json!(["LastModifiedDate", "PersonEmail", "Search_Name__c", "Name.FirstName"]));
    assert_eq!(changed(&all[1]), json!(["Email", "LastModifiedDate", "Name.FirstName"]));
    assert_eq!((&all[0]["Name"], &all[1]["Email"]), (&json!({"FirstName": null}), &json!("m@example.com")));
    assert_eq!(read(&org, &contact, "FirstName"), Json::Null);
    assert_eq!(read(&org, &account, "Name"), "Brown");

    let write = update(&org, &contact, json!({"LastName": "Green", "Phone": "1", "AccountId": account.as_str()}));
    assert_eq!(try_one(&mut org, write).unwrap(), contact);
    let all = events(&mut org);
    assert_eq!(headers(&all), both);
    assert_eq!(changed(&all[1]), json!(["Phone", "LastModifiedDate", "Name.LastName"]));
    assert_eq!((&all[0]["Name"], all[0].get("Phone")), (&json!({"LastName": "Green"}), None));
    assert_eq!((read(&org, &account, "Name"), read(&org, &account, "Phone")), (json!("Green"), Json::Null));

    let write = update(&org, &account, json!({"Industry": "Media"}));
    try_one(&mut org, write).unwrap();
    let all = events(&mut org);
    assert_eq!(headers(&all), both);
    assert_eq!(changed(&all[0]), json!(["Industry", "LastModifiedDate"]));
    assert_eq!(changed(&all[1]), json!(["LastModifiedDate"]));

    let owner = org.ordinary_user();
    let write = update(&org, &contact, json!({"OwnerId": owner.as_str()}));
    try_one(&mut org, write).unwrap();
    assert_eq!(read(&org, &account, "OwnerId"), owner.as_str());
    assert_eq!(read(&org, &contact, "OwnerId"), owner.as_str());
}

#[test]
fn without_events_of_contacts_an_update_lacks_what_stems_from_them() {
    let mut org = org();
    let (account, _) = martha(&mut org);
    let selected = org.members().into_iter().find(|(_, member)| member.entity == "ContactChangeEvent").unwrap().1.id;
    org.remove_member(&selected).unwrap();
    let write = update(&org, &account, json!({"PersonEmail": "m@example.com", "Level__pc": null, "LastName": "Green"}));
    try_one(&mut org, write).unwrap();
    let all = events(&mut org);
    assert_eq!(headers(&all), [told("Account", "UPDATE", 1)]);
    let changed = &all[0]["ChangeEventHeader"]["changedFields"];
    assert_eq!(*changed, json!(["LastModifiedDate", "Search_Name__c", "Name.LastName"]));
    made(&mut org, "Account", json!({"LastName": "Roe", "Level__pc": "Gold"}));
    assert_eq!(events(&mut org)[0]["Level__pc"], "Gold", "a new one has them all the same");
}

#[test]
fn persons_come_and_go_with_their_contact() {
    let mut org = org();
    let (account, contact) = martha(&mut org);
    let error = try_one(&mut org, Write::Delete { id: contact.clone() }).unwrap_err();
    assert_eq!(error.code, "INVALID_PERSON_ACCOUNT_OPERATION");
    try_one(&mut org, Write::Delete { id: account.clone() }).unwrap();
    let all = events(&mut org);
    assert_eq!(headers(&all), [told("Account", "DELETE", 1), told("Contact", "DELETE", 2)]);
    assert!(all.iter().all(|event| event.as_object().unwrap().len() == 1), "{all:?}");
    for id in [&account, &contact] {
        try_one(&mut org, Write::Undelete { id: id.clone() }).unwrap();
        let all = events(&mut org);
        assert_eq!(headers(&all), [told("Account", "UNDELETE", 1), told("Contact", "UNDELETE", 2)]);
        assert_eq!(all[0]["PersonContactId"], contact.as_str());
        assert_eq!(all[0]["Name"], json!({"Salutation": "Ms.", "FirstName": "Martha", "LastName": "Brown"}));
        assert_eq!((&all[1]["AccountId"], &all[1]["IsPersonAccount"]), (&json!(account.as_str()), &json!(true)));
        try_one(&mut org, Write::Delete { id: account.clone() }).unwrap();
        events(&mut org);
    }
    assert!(org.purge(&account));
    assert!(org.table(object(&org, "Contact")).get(&contact).is_none(), "gone for good with its account");
}

#[test]
fn a_person_keeps_its_contact_and_has_no_other() {
    let mut org = org();
    let (account, contact) = martha(&mut org);
    let business = made(&mut org, "Account", json!({"Name": "Acme"}));
    let other = made(&mut org, "Contact", json!({"LastName": "Roe", "AccountId": business.as_str()}));
    for write in [
        update(&org, &contact, json!({"AccountId": business.as_str()})),
        update(&org, &contact, json!({"AccountId": null})),
        update(&org, &other, json!({"AccountId": account.as_str()})),
        create(&org, "Contact", json!({"LastName": "Roe", "AccountId": account.as_str()})),
    ] {
        let error = try_one(&mut org, write).unwrap_err();
        assert_eq!((error.code, error.fields), ("INVALID_PERSON_ACCOUNT_OPERATION", vec!["AccountId".to_owned()]));
    }
}

#[test]
fn what_the_contact_refuses_the_account_cannot_have() {
    let mut org = org();
    martha(&mut org);
    let write = create(&org, "Account", json!({"LastName": "Roe", "Source_Id__pc": "c1"}));
    let roe = try_one(&mut org, write).unwrap();
    let write = create(&org, "Account", json!({"LastName": "Poe", "Source_Id__pc": "c1"}));
    assert_eq!(code(try_one(&mut org, write)), "DUPLICATE_VALUE");
    let write = update(&org, &roe, json!({"LastName": null}));
    assert_eq!(code(try_one(&mut org, write)), "REQUIRED_FIELD_MISSING");
    let counts: BTreeMap<String, usize> = org.counts();
    assert_eq!((counts["Account"], counts["Contact"]), (2, 2));
    // The duplicate rule of contacts is not for persons.
    made(&mut org, "Account", json!({"LastName": "Brown", "PersonEmail": "martha@example.com"}));
}

#[test]
fn an_upsert_finds_a_person_by_either_key() {
    let mut org = org();
    let (account, contact) = martha(&mut org);
    let write = upsert(&org, "Account", json!({"Source_Id__c": "m1", "FirstName": "Mia", "Source_Id__pc": "c1"}));
    assert_eq!(try_one(&mut org, write).unwrap(), account);
    let write = upsert(&org, "Contact", json!({"Source_Id__c": "c1", "Title": "Dr", "MailingCity": "Oslo"}));
    assert_eq!(try_one(&mut org, write).unwrap(), contact);
    for (name, value) in
        [("Name", json!("Mia Brown")), ("PersonTitle", json!("Dr")), ("PersonMailingCity", json!("Oslo"))]
    {
        assert_eq!(read(&org, &account, name), value);
    }
    assert_eq!(read(&org, &account, "PersonMailingAddress")["city"], "Oslo");
    let write = upsert(&org, "Account", json!({"Source_Id__c": "m2", "LastName": "New"}));
    let new = try_one(&mut org, write).unwrap();
    assert_eq!(read(&org, &new, "IsPersonAccount"), true);
}

#[test]
fn persons_are_merged_with_their_contacts_and_with_nobody_else() {
    let mut org = org();
    let (account, contact) = martha(&mut org);
    let (caller, business) = (caller(&org), made(&mut org, "Account", json!({"Name": "Acme"})));
    let loser = made(&mut org, "Account", json!({"LastName": "Braun"}));
    let gone = Id::parse(read(&org, &loser, "PersonContactId").as_str().unwrap()).unwrap();
    let case = made(&mut org, "Case", json!({"ContactId": gone.as_str(), "AccountId": loser.as_str()}));
    for (winner, loser) in [(&business, &loser), (&contact, &gone)] {
        let refused = org.merge(&caller, winner, std::slice::from_ref(loser), Map::new(), NOW).unwrap_err();
        assert_eq!(refused.code, "INVALID_PERSON_ACCOUNT_OPERATION");
    }
    org.merge(&caller, &account, std::slice::from_ref(&loser), map(json!({"PersonTitle": "Dr"})), NOW).unwrap();
    assert_eq!(read(&org, &gone, "IsDeleted"), true);
    assert_eq!(read(&org, &gone, "MasterRecordId"), contact.as_str());
    assert_eq!(read(&org, &case, "ContactId"), contact.as_str());
    assert_eq!(read(&org, &case, "AccountId"), account.as_str());
    assert_eq!(read(&org, &contact, "Title"), "Dr");
    try_one(&mut org, Write::Undelete { id: loser.clone() }).unwrap();
    assert_eq!(read(&org, &loser, "PersonContactId"), gone.as_str());
    assert_eq!(read(&org, &gone, "AccountId"), loser.as_str());
}

#[test]
fn the_standard_org_knows_nothing_of_persons() {
    let org = super::org();
    let account = org.schema.find("Account").unwrap().1;
    for name in ["FirstName", "LastName", "IsPersonAccount", "PersonContactId", "PersonEmail", "Source_Id__pc"] {
        assert!(account.find(name).is_none(), "{name}");
    }
    assert!(org.schema.find("Contact").unwrap().1.find("IsPersonAccount").is_none());
    assert!(org.schema.find("RecordType").unwrap().1.find("IsPersonType").is_none());
}

#[test]
fn person_accounts_need_accounts_and_contacts() {
    for (text, told) in [
        ("base: empty\nperson_accounts: true", "person accounts need the object Account"),
        (
            "base: empty\nperson_accounts: true\nobjects: [{ name: Account, prefix: '001' }]",
            "Account.PersonContactId: there is no object Contact",
        ),
    ] {
        let error = Scenario::read("persons.yaml", text).unwrap_err();
        assert_eq!(error.problem, told);
    }
}
