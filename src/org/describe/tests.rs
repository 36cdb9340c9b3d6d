//! Describes in the org's own JSON, written for these tests after the facts.

use serde_json::{Value as Json, json};

use super::*;

/// A field with every key that matters here, changed as the test needs it.
fn field(name: &str, kind: &str, more: Json) -> Json {
    let mut field = json!({"name": name, "label": name, "type": kind, "length": 0, "precision": 0, "scale": 0,
        "digits": 0, "createable": true, "updateable": true, "nillable": true, "defaultedOnCreate": false,
        "calculated": false, "calculatedFormula": null, "autoNumber": false, "compoundFieldName": null,
        "controllerName": null, "extraTypeInfo": null, "picklistValues": [], "referenceTo": [],
        "relationshipName": null, "relationshipOrder": null, "externalId": false, "idLookup": false,
        "unique": false, "caseSensitive": false, "custom": false, "filterable": true});
    field.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    field
}

fn read(fields: Vec<Json>) -> ObjectDescribe {
    let json = json!({"name": "Account", "label": "Account", "keyPrefix": "001", "createable": true,
        "queryable": true, "fields": fields, "recordTypeInfos": [], "childRelationships": []});
    ObjectDescribe::read(&json).unwrap()
}

fn names<'a>(fields: impl IntoIterator<Item = &'a FieldDescribe>) -> Vec<&'a str> {
    fields.into_iter().map(|field| field.name.as_str()).collect()
}

#[test]
fn every_type_of_the_facts_is_a_kind_of_its_own_and_others_are_kept_by_name() {
    let sizes = json!({"precision": 18, "scale": 2});
    for (kind, more, expected) in [
        ("id", json!({}), FieldKind::Id),
        ("string", json!({}), FieldKind::Text),
        ("string", json!({"autoNumber": true}), FieldKind::AutoNumber),
        ("string", json!({"extraTypeInfo": "personname"}), FieldKind::PersonName),
        ("textarea", json!({"extraTypeInfo": "plaintextarea"}), FieldKind::TextArea),
        ("textarea", json!({"extraTypeInfo": "richtextarea"}), FieldKind::RichText),
        ("textarea", json!({"htmlFormatted": true}), FieldKind::RichText),
        ("double", sizes.clone(), FieldKind::Number { precision: 18, scale: 2 }),
        ("currency", sizes.clone(), FieldKind::Currency { precision: 18, scale: 2 }),
        ("percent", sizes, FieldKind::Percent { precision: 18, scale: 2 }),
        ("int", json!({"digits": 8}), FieldKind::Integer { digits: 8 }),
        ("long", json!({"digits": 19}), FieldKind::Integer { digits: 19 }),
        ("boolean", json!({}), FieldKind::Boolean),
        ("date", json!({}), FieldKind::Date),
        ("datetime", json!({}), FieldKind::DateTime),
        ("time", json!({}), FieldKind::Time),
        ("email", json!({}), FieldKind::Email),
        ("phone", json!({}), FieldKind::Phone),
        ("url", json!({}), FieldKind::Url),
        ("address", json!({}), FieldKind::Address),
        ("location", json!({}), FieldKind::Location),
        ("encryptedstring", json!({}), FieldKind::Encrypted),
        ("base64", json!({}), FieldKind::Base64),
        ("anyType", json!({}), FieldKind::Any),
        ("picklist", json!({}), FieldKind::Picklist(Picklist::default())),
        ("multipicklist", json!({}), FieldKind::MultiPicklist(Picklist::default())),
        ("combobox", json!({}), FieldKind::ComboBox(Picklist::default())),
        ("reference", json!({}), FieldKind::Reference(Reference::default())),
        ("hologram", json!({}), FieldKind::Other("hologram".into())),
    ] {
        let read = read(vec![field("F__c", kind, more)]);
        assert_eq!(read.named("F__c").unwrap().kind, expected, "{kind}");
    }
}

#[test]
fn a_field_is_found_whatever_its_case_and_a_near_miss_is_named() {
    let read = read(vec![field("BillingCity", "string", json!({})), field("Emea_Id__c", "string", json!({}))]);
    assert_eq!(read.field(&"billingcity".parse().unwrap()).unwrap().name.as_str(), "BillingCity");
    assert_eq!(read.field(&"EMEA_ID__C".parse().unwrap()).unwrap().name.as_str(), "Emea_Id__c");
    assert_eq!(read.field(&"BillingCty".parse().unwrap()), None);
    assert_eq!(read.closest("BillingCty").map(FieldName::as_str), Some("BillingCity"));
    assert_eq!(read.closest("emea_id_c").map(FieldName::as_str), Some("Emea_Id__c"));
    assert_eq!(read.closest("Fax"), None);
}

#[test]
fn required_on_create_is_what_can_be_written_cannot_be_empty_and_has_no_default() {
    let required = json!({"nillable": false});
    let read = read(vec![
        field("LastName", "string", required.clone()),
        field("Phone", "phone", json!({})),
        field("OwnerId", "reference", json!({"nillable": false, "defaultedOnCreate": true})),
        field("SystemModstamp", "datetime", json!({"nillable": false, "createable": false})),
        field("Stage", "picklist", required),
    ]);
    assert_eq!(names(read.required_on_create()), ["LastName", "Stage"]);
}

#[test]
fn a_compound_field_is_made_of_others_and_not_of_itself() {
    let part = |name: &str, of: &str| field(name, "string", json!({"compoundFieldName": of}));
    let read = read(vec![
        field("BillingAddress", "address", json!({})),
        part("BillingStreet", "BillingAddress"),
        part("BillingCity", "BillingAddress"),
        // So it is where accounts can be persons.
        field("Name", "string", json!({"compoundFieldName": "Name"})),
        part("LastName", "Name"),
        part("FirstName", "Name"),
        field("IsPersonAccount", "boolean", json!({})),
        part("Place__Latitude__s", "Place__c"),
    ]);
    let of = |name: &str| names(read.components_of(&name.parse().unwrap()));
    assert_eq!(of("billingaddress"), ["BillingCity", "BillingStreet"]);
    assert_eq!(of("Name"), ["FirstName", "LastName"]);
    assert_eq!(of("Place__c"), ["Place__Latitude__s"]);
    assert!(of("Phone").is_empty());
    assert!(read.is_person_account_enabled() && !read.has_currency_code());
    assert!(read.named("BillingAddress").unwrap().kind.is_compound());
}

#[test]
fn a_master_detail_is_told_from_a_lookup_and_a_lookup_to_many_from_one_to_one() {
    let to = |name: &str, to: &[&str], relationship: &str, order: Json| {
        let more = json!({"referenceTo": to, "relationshipName": relationship, "relationshipOrder": order,
            "polymorphicForeignKey": to.len() > 1});
        field(name, "reference", more)
    };
    let read = read(vec![
        to("AccountId", &["Account"], "Account", Json::Null),
        to("Invoice__c", &["Invoice__c"], "Invoice__r", json!(0)),
        to("OwnerId", &["Group", "User"], "Owner", Json::Null),
        field("Legacy__c", "reference", json!({"referenceTo": ["Account", "not a name"]})),
    ]);
    let kind = |name: &str| read.named(name).unwrap().kind.reference().unwrap();
    assert!(!read.named("AccountId").unwrap().is_master_detail());
    assert!(read.named("Invoice__c").unwrap().is_master_detail());
    assert!(kind("OwnerId").polymorphic && kind("OwnerId").leads_to("group") && !kind("AccountId").polymorphic);
    assert_eq!((kind("Legacy__c").relationship_name.as_deref(), kind("Legacy__c").targets.len()), (None, 1));
    assert_eq!(read.relationship("invoice__R").unwrap().name.as_str(), "Invoice__c");
    assert_eq!(read.relationship("Nobody"), None);
}

#[test]
fn a_picklist_takes_active_values_and_others_only_where_it_is_not_restricted() {
    let values = json!([
        {"active": true, "defaultValue": true, "label": "Hot lead", "value": "Hot", "validFor": null},
        {"active": false, "defaultValue": false, "label": "Cold", "value": "Cold", "validFor": null}]);
    let more = |restricted: bool| json!({"picklistValues": values, "restrictedPicklist": restricted});
    let read = read(vec![field("Open", "picklist", more(false)), field("Closed", "picklist", more(true))]);
    let (open, closed) = (read.named("Open").unwrap(), read.named("Closed").unwrap());
    let (open, closed) = (open.kind.picklist().unwrap(), closed.kind.picklist().unwrap());
    assert!(open.takes("Hot") && open.takes("Cold") && open.takes("Warm"));
    assert!(closed.takes("Hot") && !closed.takes("Cold") && !closed.takes("Warm") && !closed.takes("hot"));
    assert_eq!(
        (closed.closest("Hott"), closed.closest("Hot lead"), closed.closest("x")),
        (Some("Hot"), Some("Hot"), None)
    );
    assert!(closed.value("Hot").unwrap().default);
}

#[test]
fn what_the_org_computes_is_a_formula_or_a_roll_up() {
    let read = read(vec![
        field("A", "string", json!({"calculated": true, "calculatedFormula": "Name & 'x'"})),
        field("B", "double", json!({"calculated": true})),
        field("C", "double", json!({})),
    ]);
    let computed = |name: &str| read.named(name).unwrap().computed;
    assert_eq!((computed("A"), computed("B"), computed("C")), (Some(Computed::Formula), Some(Computed::RollUp), None));
}

#[test]
fn keys_are_what_an_upsert_can_name_a_record_by() {
    let read = read(vec![
        field("Id", "id", json!({"idLookup": true, "length": 18})),
        field("Ext__c", "string", json!({"idLookup": true, "externalId": true, "unique": true, "length": 18})),
        field("Loose__c", "string", json!({"idLookup": true, "externalId": true})),
        field("Email", "email", json!({"idLookup": true})),
        field("Phone", "phone", json!({"length": 40})),
    ]);
    assert_eq!(names(read.keys()), ["Email", "Ext__c", "Id", "Loose__c"]);
    assert_eq!(names(read.keys().filter(|field| field.is_unique_key())), ["Ext__c", "Id"]);
    let length = |name: &str| read.named(name).unwrap().length;
    assert_eq!((length("Ext__c"), length("Phone"), length("Email")), (Some(18), Some(40), None));
}

#[test]
fn digits_are_counted_on_both_sides_of_the_point() {
    assert_eq!(FieldKind::Currency { precision: 18, scale: 2 }.digits(), Some((16, 2)));
    assert_eq!(FieldKind::Integer { digits: 8 }.digits(), Some((8, 0)));
    assert_eq!(FieldKind::Number { precision: 2, scale: 5 }.digits(), Some((0, 5)));
    assert_eq!((FieldKind::Text.digits(), FieldKind::Integer { digits: 0 }.digits()), (None, None));
}

#[test]
fn record_types_and_children_are_read_and_what_has_no_name_is_left_out() {
    let json = json!({"name": "Account", "fields": [{"label": "nameless"}, {"name": "Id", "type": "id"}],
        "recordTypeInfos": [
            {"active": true, "available": false, "defaultRecordTypeMapping": true, "developerName": "Business",
                "master": false, "name": "Business Account", "recordTypeId": "012000000000001AAA"},
            {"active": true, "available": true, "defaultRecordTypeMapping": false, "developerName": "Master",
                "master": true, "name": "Master", "recordTypeId": "012000000000000AAA"},
            {"name": "without an id"}],
        "childRelationships": [
            {"cascadeDelete": true, "childSObject": "Contact", "field": "AccountId", "relationshipName": "Contacts",
                "restrictedDelete": false},
            {"cascadeDelete": false, "childSObject": "Case", "field": "AccountId", "relationshipName": null,
                "restrictedDelete": true},
            {"childSObject": null}]});
    let read = ObjectDescribe::read(&json).unwrap();
    assert_eq!(names(read.fields.values()), ["Id"]);
    let business = read.record_type("business").unwrap();
    assert!(!business.available && business.default && read.record_type("Nope").is_none());
    assert_eq!(read.record_types.len(), 2);
    assert!(read.children[0].cascade_delete && read.children[1].restricted_delete);
    assert_eq!((read.children[0].name.as_deref(), read.children[1].name.as_deref()), (Some("Contacts"), None));
    for broken in [json!({"fields": []}), json!({"name": "Account"}), json!([]), Json::Null] {
        assert_eq!(ObjectDescribe::read(&broken), None, "{broken}");
    }
}

#[test]
fn the_list_of_objects_names_what_was_meant() {
    let object = |name: &str| json!({"name": name, "label": name, "keyPrefix": null, "queryable": true});
    let list = json!({"sobjects": [object("Account"), object("Invoice__c"), object("CurrencyType"), {"label": "x"}]});
    let read = GlobalDescribe::read(&list).unwrap();
    assert_eq!(read.object("INVOICE__c").unwrap().name.as_str(), "Invoice__c");
    assert_eq!(read.closest("Acount").map(ObjectName::as_str), Some("Account"));
    assert!(read.is_multi_currency() && !GlobalDescribe::default().is_multi_currency());
}

#[test]
fn a_describe_can_be_kept_and_comes_back_the_same() {
    let more = json!({"picklistValues": [{"active": true, "label": "A", "value": "a"}]});
    let read = read(vec![
        field("P", "picklist", more),
        field("R", "reference", json!({"referenceTo": ["Account"], "relationshipOrder": 1})),
        field("N", "double", json!({"precision": 18, "scale": 3})),
        field("O", "hologram", json!({})),
    ]);
    let kept = serde_json::to_string(&read).unwrap();
    assert_eq!(serde_json::from_str::<ObjectDescribe>(&kept).unwrap(), read);
}
