//! Which values each type of field takes, and how they are stored and shown.

use serde_json::json;

use super::*;

fn invoice(org: &mut Org, name: &str, value: Json) -> Result<Json, SaveError> {
    let write = create(org, "Invoice__c", json!({name: value}));
    let id = try_one(org, write)?;
    Ok(read(org, &id, name))
}

#[test]
fn each_type_stores_what_it_is_given_in_one_form() {
    let mut org = org();
    for (name, given, stored) in [
        ("Text__c", json!("  a "), json!("a")),
        ("Text__c", json!(""), Json::Null),
        ("Area__c", json!("a\nb"), json!("a\nb")),
        ("Paid__c", json!(true), json!(true)),
        ("Paid__c", json!("true"), json!(true)),
        ("Quantity__c", json!(5), json!(5)),
        ("Quantity__c", json!("5"), json!(5)),
        ("Weight__c", json!(0.1234567), json!(0.123456)),
        ("Amount__c", json!(12.5), json!(12.5)),
        ("Amount__c", json!("-12.5"), json!(-12.5)),
        ("Discount__c", json!(12.345), json!(12.34)),
        ("Discount__c", json!("12.345"), json!(12.34)),
        ("Due__c", json!("2026-03-01"), json!("2026-03-01")),
        ("Sent__c", json!("2026-03-01T12:00:00+01:00"), json!("2026-03-01T11:00:00.000+0000")),
        ("Sent__c", json!("2026-03-01T12:00:00.999Z"), json!("2026-03-01T12:00:00.000+0000")),
        ("Sent__c", json!("2026-03-01T12:00:00.000+0100"), json!("2026-03-01T11:00:00.000+0000")),
        ("Opens__c", json!("10:15:00Z"), json!("10:15:00.000Z")),
        ("Contact_Email__c", json!("a@b.example"), json!("a@b.example")),
        ("Link__c", json!("https://a.example"), json!("https://a.example")),
        ("Status__c", json!("Sent"), json!("Sent")),
        ("Tags__c", json!("Blue;Red;Other"), json!("Red;Blue;Other")),
        ("Secret__c", json!("1234"), json!("****")),
        ("Ext_Number__c", json!(42), json!(42)),
    ] {
        assert_eq!(invoice(&mut org, name, given.clone()), Ok(stored), "{name} {given}");
    }
}

#[test]
fn each_type_refuses_what_it_cannot_hold() {
    let mut org = org();
    let long = "x".repeat(101);
    for (name, given, code, message) in [
        ("Text__c", json!(long), "STRING_TOO_LONG", format!("Text: data value too large: {long} (max length=100)")),
        (
            "Text__c",
            json!(1),
            "JSON_PARSER_ERROR",
            "Cannot deserialize instance of string from VALUE_NUMBER_INT value 1".into(),
        ),
        (
            "Paid__c",
            json!("yes"),
            "JSON_PARSER_ERROR",
            "Cannot deserialize instance of boolean from VALUE_STRING value yes".into(),
        ),
        (
            "Amount__c",
            json!("1,5"),
            "JSON_PARSER_ERROR",
            "Cannot deserialize instance of double from VALUE_STRING value 1,5".into(),
        ),
        (
            "Quantity__c",
            json!(1_000_000),
            "NUMBER_OUTSIDE_VALID_RANGE",
            "Quantity: value outside of valid range on numeric field: 1000000".into(),
        ),
        (
            "Quantity__c",
            json!("1000000"),
            "NUMBER_OUTSIDE_VALID_RANGE",
            "Quantity: value outside of valid range on numeric field: 1000000".into(),
        ),
        (
            "Due__c",
            json!("01.03.2026"),
            "JSON_PARSER_ERROR",
            "Cannot deserialize instance of date from VALUE_STRING value 01.03.2026".into(),
        ),
        (
            "Sent__c",
            json!("2026-03-01T12:00:00"),
            "JSON_PARSER_ERROR",
            "Cannot deserialize instance of datetime from VALUE_STRING value 2026-03-01T12:00:00".into(),
        ),
        (
            "Opens__c",
            json!("noon"),
            "JSON_PARSER_ERROR",
            "Cannot deserialize instance of time from VALUE_STRING value noon".into(),
        ),
        (
            "Contact_Email__c",
            json!("nobody"),
            "INVALID_EMAIL_ADDRESS",
            "Contact Email: invalid email address: nobody".into(),
        ),
        (
            "Status__c",
            json!("Lost"),
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
            "Status: bad value for restricted picklist field: Lost".into(),
        ),
        ("Name", json!("x"), "INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields: Name.".into()),
        ("Total__c", json!(1), "INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields: Total__c.".into()),
        (
            "Summary__c",
            json!("x"),
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            "Unable to create/update fields: Summary__c.".into(),
        ),
        (
            "Account__c",
            json!("003000000000001"),
            "MALFORMED_ID",
            "Account: id value of incorrect type: 003000000000001".into(),
        ),
    ] {
        let error = invoice(&mut org, name, given.clone()).unwrap_err();
        assert_eq!(error.code, code, "{name} {given}");
        assert!(error.message.starts_with(&message), "{}", error.message);
    }
}

#[test]
fn auto_numbers_formulas_and_locations_are_made_by_the_org() {
    let mut org = org();
    let fields = json!({"Text__c": "T", "Place__Latitude__s": 50.9, "Place__Longitude__s": 6.96});
    let first = made(&mut org, "Invoice__c", fields);
    let second = made(&mut org, "Invoice__c", json!({}));
    assert_eq!([read(&org, &first, "Name"), read(&org, &second, "Name")], ["INV-0001", "INV-0002"]);
    assert_eq!(read(&org, &first, "Summary__c"), "T (Draft)");
    assert_eq!(read(&org, &first, "Place__c"), json!({"latitude": 50.9, "longitude": 6.96}));
    assert_eq!(read(&org, &second, "Place__c"), Json::Null);
    let event = events(&mut org).remove(0);
    assert_eq!(event["Place__c"], json!({"Latitude": 50.9, "Longitude": 6.96}));
}

#[test]
fn a_case_sensitive_key_tells_letters_apart_and_a_number_is_a_key_too() {
    let mut org = org();
    let upsert = |org: &Org, key: &str, value: Json| Write::Upsert {
        object: object(org, "Invoice__c"),
        key: field(org, "Invoice__c", key),
        fields: map(json!({key: value})),
    };
    let mut saved = |key: &str, value: Json| {
        let write = upsert(&org, key, value);
        try_one(&mut org, write).unwrap()
    };
    assert_ne!(saved("Ext__c", json!("a")), saved("Ext__c", json!("A")));
    assert_eq!(saved("Ext_Number__c", json!(7)), saved("Ext_Number__c", json!(7.0)));
}

#[test]
fn a_polymorphic_reference_is_set_by_id_or_by_type_and_key() {
    let mut org = org();
    let account = made(&mut org, "Account", json!({"Name": "A", "Source_Id__c": "k1"}));
    let contact = made(&mut org, "Contact", json!({"LastName": "C"}));
    let by_key = json!({"WhoId": contact.as_str(), "What": {"attributes": {"type": "Account"}, "Source_Id__c": "k1"}});
    let task = made(&mut org, "Task", by_key);
    assert_eq!(read(&org, &task, "WhatId"), account.as_str());
    let write = create(&org, "Task", json!({"What": {"Source_Id__c": "k1"}}));
    assert_eq!(code(try_one(&mut org, write)), "INVALID_FIELD");
    let write = create(&org, "Task", json!({"WhoId": account.as_str()}));
    assert_eq!(code(try_one(&mut org, write)), "MALFORMED_ID");
}

#[test]
fn a_master_cannot_be_changed_and_a_create_only_field_only_created() {
    let mut org = org();
    let invoice = made(&mut org, "Invoice__c", json!({"Birth_Mark__c": "b"}));
    let line = made(&mut org, "Invoice_Line__c", json!({"Invoice__c": invoice.as_str()}));
    for (id, fields, refused) in [
        (&line, json!({"Invoice__c": invoice.as_str()}), "Invoice__c"),
        (&invoice, json!({"Birth_Mark__c": "c"}), "Birth_Mark__c"),
    ] {
        let write = update(&org, id, fields);
        let error = try_one(&mut org, write).unwrap_err();
        assert_eq!((error.code, error.fields), ("INVALID_FIELD_FOR_INSERT_UPDATE", vec![refused.to_owned()]));
    }
}
