//! Mappings that know what the target's fields take.

use serde_json::{Value as Json, json};

use super::*;
use crate::mapping::Types;
use crate::org::describe::described;

/// The mapping with a describe of its target that has these fields.
fn typed(mapping: Mapping, fields: &[(&str, Json)]) -> Mapping {
    let field = |(name, more): &(&str, Json)| {
        let mut field = json!({"name": name, "createable": true, "nillable": true});
        field.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        field
    };
    let fields: Vec<Json> = fields.iter().map(field).collect();
    let target = described(&json!({"name": "Contact__c", "fields": fields}));
    let types = Types::new(mapping.target_fields(), Some(&target), std::iter::empty());
    mapping.with_types(Arc::new(types))
}

fn number(text: &str) -> Value {
    Value::Number(text.parse().unwrap())
}

#[test]
fn a_value_is_converted_by_the_kind_of_its_field_whatever_fills_it() {
    let double = [("F", json!({"type": "double"}))];
    let rules = [
        source(TITLE).into(),
        config::Fill::Constant(Value::text("12.50")).into(),
        config::Fill::Table {
            from: TITLE.parse().unwrap(),
            entries: BTreeMap::new(),
            default: Some(Value::text("12.5")),
        }
        .into(),
        computed("Title + \"\""),
    ];
    for rule in rules {
        let mapping = typed(one(rule), &double);
        let created = f_of(&mapping, unlinked(), ChangeKind::Create, &[(TITLE, text("12.50"))]);
        assert_eq!(created, put(number("12.5")));
    }
    let instead = with(source(TITLE), |rule| rule.on_null = OnNull::Value(Value::text("0")));
    let emptied = [(TITLE, Field::New(Value::Null))];
    assert_eq!(f_of(&typed(instead, &double), linked(), ChangeKind::Update, &emptied), put(number("0")));
    let skipping = typed(with(source(TITLE), |rule| rule.on_null = OnNull::Skip), &double);
    let blank = apply_to(&skipping, linked(), ChangeKind::Update, &[(TITLE, text(" "))]);
    assert_eq!(blank, Mapped::Skipped(Skip::NothingMapped), "what becomes null is null");
}

#[test]
fn without_a_describe_everything_is_as_it_comes() {
    for mapping in [one(source(TITLE).into()), typed(one(source(TITLE).into()), &[])] {
        let twelve = [(TITLE, text("12.50"))];
        assert_eq!(f_of(&mapping, linked(), ChangeKind::Update, &twelve), put(Value::text("12.50")));
    }
}

#[test]
fn a_value_that_cannot_become_it_is_a_failed_record_that_names_field_and_kinds_and_no_value() {
    let mapping = typed(one(source(TITLE).into()), &[("F", json!({"type": "currency"}))]);
    let mapped = apply_to(&mapping, linked(), ChangeKind::Update, &[(TITLE, text("secret"))]);
    let Mapped::Failed(failure) = mapped else { panic!("{mapped:?}") };
    assert_eq!((failure.code, failure.field), (TYPE_MISMATCH, Some(name("F"))));
    assert_eq!(failure.reason, "the value is text and cannot become a number, which F takes");
}

#[test]
fn text_is_cut_to_what_the_field_takes_once_that_is_known() {
    let cut = || with(source(TITLE), |rule| rule.truncate = Some(Truncate::Field));
    let title =
        |mapping: &Mapping, value: Value| f_of(mapping, linked(), ChangeKind::Update, &[(TITLE, Field::New(value))]);
    assert_eq!(title(&cut(), Value::text("Zürich")), put(Value::text("Zürich")));
    assert_eq!(cut().uncut().collect::<Vec<_>>(), [&name("F")]);
    let known = typed(cut(), &[("f", json!({"type": "string", "length": 3}))]);
    assert_eq!(title(&known, Value::text("Zürich")), put(Value::text("Zür")));
    assert_eq!(title(&known, number("12.25")), put(Value::text("12.")), "after it became text");
    assert_eq!(known.uncut().count(), 0);
    let number_field = typed(cut(), &[("F", json!({"type": "double", "length": 1}))]);
    assert_eq!(title(&number_field, Value::text("12")), put(number("12")));
    let wider = typed(known, &[("F", json!({"type": "string", "length": 4}))]);
    assert_eq!(title(&wider, Value::text("Zürich")), put(Value::text("Züri")), "the newest describe counts");
}

#[test]
fn a_parent_is_named_by_the_relationship_of_the_describe() {
    let named = |mapping: &Mapping| {
        let account = [("AccountId", text(ACCOUNT))];
        match f_of_field(mapping, "Account__c", &account) {
            Some(Cell::Parent(reference)) => reference.by_key.map(|key| key.relationship),
            other => panic!("{other:?}"),
        }
    };
    let reference = |relationship: Json| json!({"type": "reference", "relationshipName": relationship});
    assert_eq!(named(&contacts()).as_deref(), Some("Account__r"));
    let renamed = typed(contacts(), &[("Account__c", reference(json!("Employer__r")))]);
    assert_eq!(named(&renamed).as_deref(), Some("Employer__r"));
    let nameless = typed(contacts(), &[("Account__c", reference(Json::Null))]);
    assert_eq!(named(&nameless), None, "only its id can name it");
    assert_eq!(named(&typed(renamed, &[])).as_deref(), Some("Account__r"), "not described any more");
}

fn f_of_field(mapping: &Mapping, field: &str, fields: &[(&str, Field)]) -> Option<Cell> {
    cell(&written(apply_to(mapping, linked(), ChangeKind::Update, fields)), field)
}

#[test]
fn a_flag_is_set_in_the_kind_of_its_field() {
    let mut flagged = pipeline("contacts", "Contact", "Key__c", vec![("Key__c", from("Id"))]);
    let (set, clear) = (Value::Bool(true), Value::Bool(false));
    (flagged.flag, flagged.on_delete) = (Some(config::Flag { field: name("Gone__c"), set, clear }), OnDelete::Flag);
    let mapping = typed(mapping(flagged), &[("Gone__c", json!({"type": "picklist", "length": 255}))]);
    let write = written(apply_to(&mapping, linked(), ChangeKind::Delete, &[]));
    assert_eq!(cell(&write, "Gone__c"), put(Value::text("true")));
    assert!(mapping.flags(&write));
}

#[test]
fn a_lookup_that_its_record_cannot_be_without_waits_and_any_other_is_filled_later_unless_told_otherwise() {
    let if_missing = |mapping: &Mapping| match f_of_field(mapping, "Account__c", &[("AccountId", text(ACCOUNT))]) {
        Some(Cell::Parent(reference)) => reference.if_missing,
        other => panic!("{other:?}"),
    };
    let lookup = json!({"type": "reference", "relationshipName": "Account__r"});
    let master = json!({"type": "reference", "relationshipName": "Account__r", "relationshipOrder": 0});
    assert_eq!(if_missing(&contacts()), IfMissing::Wait);
    assert_eq!(if_missing(&typed(contacts(), &[("Account__c", lookup.clone())])), IfMissing::FillLater);
    assert_eq!(if_missing(&typed(contacts(), &[("Account__c", master)])), IfMissing::Wait);
    let told = |rule: FieldRule| FieldRule { if_missing: Some(IfMissing::Wait), ..rule };
    let fields = vec![("Key__c", from("Id")), ("Account__c", told(parent("accounts", "AccountId")))];
    let told = typed(mapping(pipeline("contacts", "Contact", "Key__c", fields)), &[("Account__c", lookup)]);
    assert_eq!(if_missing(&told), IfMissing::Wait);
}

#[test]
fn of_several_pipelines_the_one_of_the_records_object_is_meant() {
    let several = config::Fill::Parent {
        pipelines: vec!["accounts".parse().unwrap(), "regions".parse().unwrap()],
        from: "AccountId".parse().unwrap(),
    };
    let fields = vec![("Key__c", from("Id")), ("What__c", several.into())];
    let mapping = mapping(pipeline("contacts", "Contact", "Key__c", fields));
    let named =
        |mapping: &Mapping| mapping.parents_of(&part(ChangeKind::Update, &[("AccountId", text("a0b000000000007AAA"))]));
    assert_eq!(named(&mapping).len(), 1, "no account, by its prefix");
    let regions = described(&json!({"name": "Region", "keyPrefix": "a0c", "fields": []}));
    let types = Types::new(std::iter::empty(), None, std::iter::once(&regions));
    assert_eq!(named(&mapping.with_types(Arc::new(types))), [], "and no region");
}
