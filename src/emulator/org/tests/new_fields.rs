//! Fields that come, or become another type, while an org is running.

use std::collections::BTreeSet;

use super::*;
use crate::scenario::{Scenario, fields_of};

fn new_field(org: &mut Org, name: &str, field: Json) {
    let fields = fields_of(&field).unwrap();
    org.add_fields(object(org, name), fields, NOW).unwrap();
}

fn convert(org: &mut Org, name: &str, field: &str, to: Json) -> ChangeType {
    try_convert(org, name, field, to).unwrap()
}

fn try_convert(org: &mut Org, name: &str, field: &str, mut to: Json) -> Result<ChangeType, String> {
    to["name"] = json!(field);
    let (object, index) = (object(org, name), super::field(org, name, field));
    let to = fields_of(&to).unwrap().remove(0);
    org.convert_field(object, index, to, NOW)
}

/// The id of an object's schema, and the names of its fields in their order.
fn schema(org: &Org, name: &str) -> (String, Vec<String>) {
    let schema = org.schema_of(object(org, name)).unwrap();
    (schema.id.clone(), schema.layout.slots.iter().map(|slot| slot.name.clone()).collect())
}

#[test]
fn a_new_field_is_written_read_and_told_under_a_new_schema() {
    let mut org = org();
    let id = made(&mut org, "Account", json!({"Name": "A"}));
    let (old, old_names) = schema(&org, "Account");
    let changed = org.setup_changed();
    new_field(&mut org, "Account", json!({"name": "Badge__c", "type": "string", "length": 20, "label": "Badge"}));
    assert!(org.setup_changed() > changed);
    let (new, names) = schema(&org, "Account");
    assert_ne!(new, old);
    assert_eq!(
        names.iter().filter(|name| **name != "Badge__c").collect::<Vec<_>>(),
        old_names.iter().collect::<Vec<_>>()
    );
    assert_eq!(names.len(), old_names.len() + 1);
    let write = update(&org, &id, json!({"Badge__c": "B7"}));
    try_one(&mut org, write).unwrap();
    assert_eq!(read(&org, &id, "badge__c"), "B7");
    let schemas: Vec<String> = org.everything(i64::MAX).iter().map(|event| event.schema.id.clone()).collect();
    assert_eq!(schemas, [old.as_str(), &new]);
    for known in [&old, &new] {
        assert_eq!(org.schema_by_id(known).unwrap().id, *known);
    }
    let all = events(&mut org);
    assert_eq!((&all[0]["Name"], &all[1]["Badge__c"]), (&json!("A"), &json!("B7")));
    let changed = all[1]["ChangeEventHeader"]["changedFields"].as_array().unwrap();
    assert_eq!(
        changed.iter().map(|name| name.as_str().unwrap()).collect::<BTreeSet<_>>(),
        ["Badge__c", "LastModifiedDate"].into()
    );
    let too_long = update(&org, &id, json!({"Badge__c": "x".repeat(21)}));
    assert_eq!(code(try_one(&mut org, too_long)), "STRING_TOO_LONG");
}

#[test]
fn a_new_field_stands_anywhere_among_the_custom_ones() {
    let mut places = BTreeSet::new();
    for seed in 0..30 {
        let mut org = Scenario::standard().org("one", seed, Duration::ZERO..=Duration::ZERO, NOW).unwrap();
        let before: Vec<FieldIndex> =
            ["Name", "Source_Id__c", "Pipeline__c"].map(|name| field(&org, "Account", name)).into();
        let id = made(&mut org, "Account", json!({"Name": "A", "Region__c": "x"}));
        new_field(&mut org, "Account", json!({"name": "Badge__c", "type": "string"}));
        let after: Vec<FieldIndex> =
            ["Name", "Source_Id__c", "Pipeline__c"].map(|name| field(&org, "Account", name)).into();
        assert_eq!(before, after);
        let (_, names) = schema(&org, "Account");
        let place = |wanted: &str| names.iter().position(|name| name == wanted).unwrap();
        assert!(place("Badge__c") > place("LastModifiedById"));
        places.insert(place("Badge__c") - place("LastModifiedById"));
        events(&mut org);
        let write = update(&org, &id, json!({"Region__c": "y", "Badge__c": "b", "Source_Id__c": "s"}));
        try_one(&mut org, write).unwrap();
        let event = events(&mut org).remove(0);
        assert_eq!(
            (&event["Region__c"], &event["Badge__c"], &event["Source_Id__c"]),
            (&json!("y"), &json!("b"), &json!("s"))
        );
        let changed = event["ChangeEventHeader"]["changedFields"].as_array().unwrap();
        assert_eq!(changed.len(), 4);
    }
    assert!(places.len() > 5 && places.contains(&1), "{places:?}");
}

#[test]
fn every_type_that_can_come_is_in_events_from_then_on() {
    let mut org = org();
    let old = made(&mut org, "Invoice__c", json!({}));
    for field in [
        json!({"name": "Flag__c", "type": "boolean"}),
        json!({"name": "Spot__c", "type": "location"}),
        json!({"name": "Kin__c", "type": "lookup", "to": ["Contact"], "relationship": "Kin__r", "children": "Bills__r"}),
        json!({"name": "Key__c", "type": "string", "external_id": true, "unique": true}),
        json!({"name": "Day__c", "type": "date"}),
    ] {
        new_field(&mut org, "Invoice__c", field);
    }
    assert_eq!(read(&org, &old, "Flag__c"), false);
    let contact = made(&mut org, "Contact", json!({"LastName": "Roe"}));
    events(&mut org);
    let fields = json!({"Flag__c": true, "Spot__Latitude__s": 1.5, "Spot__Longitude__s": 2.5, "Kin__c": contact.as_str(),
        "Key__c": "k", "Day__c": "2026-01-02"});
    let id = made(&mut org, "Invoice__c", fields);
    let event = events(&mut org).remove(0);
    for (name, value) in [
        ("Flag__c", json!(true)),
        ("Spot__c", json!({"Latitude": 1.5, "Longitude": 2.5})),
        ("Kin__c", json!(contact.as_str())),
        ("Day__c", json!("2026-01-02")),
    ] {
        assert_eq!(event[name], value, "{name}");
    }
    let key = field(&org, "Invoice__c", "Key__c");
    let write = Write::Upsert {
        object: object(&org, "Invoice__c"),
        key,
        fields: map(json!({"Key__c": "K", "Flag__c": false})),
    };
    assert_eq!(try_one(&mut org, write).unwrap(), id);
    let write = update(&org, &old, json!({"Kin__r": {"Email": "x@y.example"}}));
    assert_eq!(code(try_one(&mut org, write)), "INVALID_FIELD", "it leads to contacts, and none is so");
    try_one(&mut org, Write::Delete { id: contact }).unwrap();
    assert_eq!(read(&org, &id, "Kin__c"), Json::Null, "it is a child of the contact");
}

#[test]
fn events_from_before_are_read_with_their_own_schema() {
    let mut org = org();
    let user = org.ordinary_user();
    org.add_channel("Some__chn", "Some", false).unwrap();
    org.add_member("Some__chn", "AccountChangeEvent", Vec::new(), Some("Region__c = 'x'".into())).unwrap();
    let hidden = field(&org, "Account", "Source_Id__c");
    org.set_field_level(&user, object(&org, "Account"), hidden, FieldLevel::Hidden);
    for n in 0..4 {
        made(&mut org, "Account", json!({"Name": "A", "Region__c": "x", "Source_Id__c": format!("s{n}")}));
        new_field(&mut org, "Account", json!({"name": format!("New{n}__c"), "type": "int"}));
    }
    let feed = org.feed("/data/Some__chn").unwrap();
    let got = org.deliver(&feed, &org.view(&user), &mut Position::from(0), usize::MAX, i64::MAX);
    let ids: BTreeSet<&str> = got.iter().map(|event| event.schema.id.as_str()).collect();
    assert_eq!((got.len(), ids.len()), (4, 4));
    let forms = StreamForms { uuid_in_changes: false, changed_fields_in_gaps: true, nulls_in_events: true };
    for event in got {
        let data: Json = serde_json::from_str(&event.to_stream(forms)).unwrap();
        assert_eq!(data["schema"], event.schema.id);
        let payload = &data["payload"];
        assert_eq!((&payload["Name"], &payload["Region__c"]), (&json!("A"), &json!("x")));
        assert_eq!(payload.get("Source_Id__c"), None);
    }
}

#[test]
fn what_cannot_come_is_refused_and_leaves_no_trace() {
    let mut org = org();
    let account = object(&org, "Account");
    let (before, _) = schema(&org, "Account");
    for (field, why) in [
        (json!({"name": "Badge", "type": "string"}), "Badge: the name of a custom field ends in __c"),
        (json!({"name": "Badge__pc", "type": "string"}), "Badge__pc: the name of a custom field ends in __c"),
        (json!({"name": "region__C", "type": "string"}), "region__C: the name of a custom field ends in __c"),
        (json!({"name": "Region__c", "type": "string"}), "Region__c: there is a field of this name"),
        (json!({"name": "Up__c", "type": "lookup", "to": ["Nope"]}), "Up__c: there is no object Nope"),
        (
            json!({"name": "Up__c", "type": "master_detail", "to": ["Account"]}),
            "Up__c: the records that are there have no master",
        ),
        (
            json!({"name": "N__c", "type": "rollup", "summary": {"function": "count", "of": "Contact.AccountId"}}),
            "N__c: roll-ups come with the scenario only",
        ),
    ] {
        let fields = fields_of(&field).unwrap();
        assert_eq!(org.add_fields(account, fields, NOW).unwrap_err(), why);
    }
    assert_eq!(schema(&org, "Account").0, before);
    assert!(fields_of(&json!({"name": "X__c", "type": "strin"})).unwrap_err().contains("strin"));
    assert!(fields_of(&json!({"name": "X__c", "type": "string", "lenght": 1})).unwrap_err().contains("lenght"));
}

#[test]
fn a_field_of_another_type_is_told_of_all_records_at_once() {
    let mut org = org();
    let id = made(&mut org, "Account", json!({"Name": "A", "Segment__c": "Small"}));
    events(&mut org);
    let (before, names) = schema(&org, "Account");
    assert_eq!(convert(&mut org, "Account", "Segment__c", json!({"type": "textarea"})), ChangeType::Update);
    let (after, same) = schema(&org, "Account");
    assert_ne!(after, before);
    assert_eq!(same, names);
    let told: Vec<String> = org.everything(i64::MAX).iter().map(|event| event.schema.id.clone()).collect();
    assert_eq!(told, [after]);
    let all = events(&mut org);
    let header = &all[0]["ChangeEventHeader"];
    assert_eq!(all[0].as_object().unwrap().len(), 1, "no field: {}", all[0]);
    assert_eq!((&header["recordIds"], &header["changeType"]), (&json!(["001*"]), &json!("UPDATE")));
    assert_eq!(header["changedFields"], json!([]));
    assert_eq!(read(&org, &id, "Segment__c"), "Small");
    let write = update(&org, &id, json!({"Segment__c": "any\ntext"}));
    try_one(&mut org, write).unwrap();
    assert_eq!(events(&mut org)[0]["Segment__c"], "any\ntext");
}

#[test]
fn a_picklist_that_becomes_a_checkbox_or_has_several_values_is_a_gap() {
    let mut org = org();
    let id = made(&mut org, "Invoice__c", json!({"Status__c": "Sent"}));
    events(&mut org);
    assert_eq!(convert(&mut org, "Invoice__c", "Status__c", json!({"type": "multipicklist"})), ChangeType::GapUpdate);
    let header = events(&mut org).remove(0)["ChangeEventHeader"].take();
    assert_eq!((&header["recordIds"], &header["changeType"]), (&json!(["a00*"]), &json!("GAP_UPDATE")));
    let write = update(&org, &id, json!({"Status__c": "Paid;Sent"}));
    try_one(&mut org, write).unwrap();
    assert_eq!(read(&org, &id, "Status__c"), "Sent;Paid", "the values are those of before, in their order");
    let account = made(&mut org, "Account", json!({"Name": "A", "Segment__c": "Small"}));
    assert_eq!(convert(&mut org, "Account", "Segment__c", json!({"type": "boolean"})), ChangeType::GapUpdate);
    assert_eq!(read(&org, &account, "Segment__c"), false);
}

#[test]
fn values_stay_where_they_fit_and_keys_find_them() {
    let mut org = org();
    let id =
        made(&mut org, "Account", json!({"Name": "A", "Erp_Number__c": 42, "Region__c": "17", "Search_Name__c": "x"}));
    let modified = read(&org, &id, "LastModifiedDate");
    convert(&mut org, "Account", "Erp_Number__c", json!({"type": "string", "length": 20}));
    convert(&mut org, "Account", "Region__c", json!({"type": "int"}));
    convert(&mut org, "Account", "Search_Name__c", json!({"type": "int"}));
    let values = ["Erp_Number__c", "Region__c", "Search_Name__c"].map(|name| read(&org, &id, name));
    assert_eq!(values[0], "42");
    assert_eq!(values[2], Json::Null, "no number");
    assert_eq!(read(&org, &id, "LastModifiedDate"), modified);
    let write = Write::Upsert {
        object: object(&org, "Account"),
        key: field(&org, "Account", "Erp_Number__c"),
        fields: map(json!({"Erp_Number__c": "42", "Phone": "1"})),
    };
    assert_eq!(try_one(&mut org, write).unwrap(), id);
    assert_eq!(org.counts()["Account"], 1);
}

#[test]
fn what_cannot_become_another_type_does_not() {
    let mut org = org();
    for (name, to, why) in [
        ("Industry", json!({"type": "string"}), "only custom fields"),
        ("Contacts__c", json!({"type": "string"}), "no field becomes a string of a int"),
        ("Region__c", json!({"type": "lookup", "to": ["Contact"]}), "no field becomes a reference of a string"),
    ] {
        let error = try_convert(&mut org, "Account", name, to).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    org.add_channel("Emea__chn", "Emea", false).unwrap();
    org.add_member("Emea__chn", "AccountChangeEvent", Vec::new(), Some("Region__c = 'EMEA'".into())).unwrap();
    let error = try_convert(&mut org, "Account", "Region__c", json!({"type": "textarea"})).unwrap_err();
    assert_eq!(error, "Region__c: the filter of a channel reads it");
    assert_eq!(events(&mut org).len(), 0);
}

#[test]
fn person_accounts_get_the_new_fields_of_contacts() {
    let scenario = Scenario::read("persons.yaml", "person_accounts: true").unwrap();
    let mut org = scenario.org("one", 1, Duration::ZERO..=Duration::ZERO, NOW).unwrap();
    let id = made(&mut org, "Account", json!({"LastName": "Brown"}));
    let business = made(&mut org, "Account", json!({"Name": "Acme"}));
    let before = schema(&org, "Account").0;
    new_field(&mut org, "Contact", json!({"name": "Vip__c", "type": "boolean", "default": true}));
    new_field(&mut org, "Contact", json!({"name": "Level__c", "type": "picklist", "values": ["Gold", "No"]}));
    assert_ne!(schema(&org, "Account").0, before);
    assert_eq!((read(&org, &id, "Vip__pc"), read(&org, &business, "Vip__pc")), (json!(true), json!(false)));
    events(&mut org);
    let write = update(&org, &id, json!({"Level__pc": "Gold"}));
    try_one(&mut org, write).unwrap();
    let all = events(&mut org);
    assert_eq!((&all[0]["Level__pc"], &all[1]["Level__c"]), (&json!("Gold"), &json!("Gold")));
    assert_eq!(all[0].get("Vip__pc"), None, "it has not changed");
    convert(&mut org, "Contact", "Level__c", json!({"type": "boolean"}));
    let told = events(&mut org).remove(0)["ChangeEventHeader"].take();
    assert_eq!((&told["recordIds"], &told["changeType"]), (&json!(["003*"]), &json!("GAP_UPDATE")));
    let write = update(&org, &id, json!({"Level__pc": true}));
    try_one(&mut org, write).unwrap();
    let all = events(&mut org);
    assert_eq!((&all[0]["Level__pc"], &all[1]["Level__c"]), (&json!(true), &json!(true)));
    let error = try_convert(&mut org, "Account", "Level__pc", json!({"type": "string"})).unwrap_err();
    assert!(error.contains("only custom fields"), "{error}");
}
