//! Accounts that are persons.

use super::*;

/// Accounts by these rules beside the key.
fn accounts(fields: &[(&str, &str)]) -> Mapping {
    let key = ("Key__c", from("Id"));
    let fields = fields.iter().map(|(name, path)| (*name, from(path)));
    mapping(pipeline("people", "Account", "Key__c", std::iter::once(key).chain(fields).collect()))
}

fn person() -> Field {
    Field::New(Value::Compound(
        [("FirstName", "Ada"), ("LastName", "Brown")].map(|(part, name)| (part.to_owned(), Value::text(name))).into(),
    ))
}

#[test]
fn an_update_that_may_leave_out_what_belongs_to_the_contact_is_read() {
    let mapping = accounts(&[("Phone", "Phone"), ("Email__c", "PersonEmail"), ("Level__c", "Level__pc")]);
    let update = |fields: &[(&str, Field)]| apply_to(&mapping, linked(), ChangeKind::Update, fields);
    for fields in [
        // Nothing but who changed it and when: its contact may have changed.
        vec![("LastModifiedDate", text("2026-01-01T00:00:00Z"))],
        vec![("Phone", text("1"))],
        vec![("Name", person())],
        vec![("Phone", text("1")), ("PersonContactId", text("003000000000001AAA"))],
        // An enriched field is told although it did not change, and this says nothing of the others.
        vec![("PersonEmail", Field::Same(Value::text("a@example.com")))],
        vec![("IsPersonAccount", Field::Same(Value::Bool(true)))],
    ] {
        assert_eq!(update(&fields), Mapped::Needs(Needs::Record), "{fields:?}");
        assert_eq!(mapping.why_read(&part(ChangeKind::Update, &fields), &linked()), WhyRead::Person, "{fields:?}");
    }
}

#[test]
fn an_update_of_a_business_or_one_that_tells_of_the_contact_is_not_read() {
    let mapping =
        accounts(&[("Phone", "Phone"), ("Email__c", "PersonEmail"), ("City__c", "PersonMailingAddress.City")]);
    let update = |fields: &[(&str, Field)]| apply_to(&mapping, linked(), ChangeKind::Update, fields);
    for fields in [
        vec![("Name", text("Acme")), ("Phone", text("1"))],
        vec![("Name", Field::Same(Value::text("Acme"))), ("Phone", text("1"))],
        vec![("IsPersonAccount", Field::Same(Value::Bool(false))), ("Phone", text("1"))],
        vec![("PersonTitle", text("Dr")), ("Phone", text("1"))],
        vec![("Name", person()), ("Level__pc", Field::New(Value::Null)), ("Phone", text("1"))],
    ] {
        let write = written(update(&fields));
        assert_eq!(write.body, Body::Partial([(name("Phone"), Cell::Value(Value::text("1")))].into()), "{fields:?}");
    }
    assert_eq!(update(&[("Name", text("Acme"))]), Mapped::Skipped(Skip::NothingMapped));
    // A difference must be read anyway.
    assert_eq!(update(&[("PersonEmail", Field::Diff)]), Mapped::Needs(Needs::Record));
}

#[test]
fn pipelines_that_map_nothing_of_the_contact_read_no_more_than_before() {
    let plain = [("Phone", "Phone"), ("Contact__c", "PersonContactId"), ("Own__c", "PersonOfTheYear__c")];
    let fields = [("Phone", text("1"))];
    written(apply_to(&accounts(&plain), linked(), ChangeKind::Update, &fields));
    let other = vec![("Key__c", from("Id")), ("F", from("PersonEmail"))];
    let other = mapping(pipeline("contacts", "Contact", "Key__c", other));
    assert_eq!(apply_to(&other, linked(), ChangeKind::Update, &fields), Mapped::Skipped(Skip::NothingMapped));
}

#[test]
fn a_condition_that_leaves_the_account_out_spares_the_read() {
    let fields = vec![("Key__c", from("Id")), ("Email__c", from("PersonEmail"))];
    let mut filtered = pipeline("people", "Account", "Key__c", fields);
    filtered.when = Some(Expression::compile("Industry == \"Bank\"").unwrap());
    let mapping = mapping(filtered);
    let update = |industry: &str| {
        let fields = [("Industry", Field::Same(Value::text(industry)))];
        apply_to(&mapping, unlinked(), ChangeKind::Update, &fields)
    };
    assert_eq!(update("Energy"), Mapped::Skipped(Skip::Filtered));
    assert_eq!(update("Bank"), Mapped::Needs(Needs::Record));
}

#[test]
fn what_is_whole_is_not_read_and_a_read_is_whole() {
    let mapping = accounts(&[("First__c", "Name.FirstName"), ("Email__c", "PersonEmail")]);
    let fields = [("Name", person()), ("PersonEmail", text("a@example.com"))];
    let expected = Body::Whole(
        [("Key__c", RECORD), ("First__c", "Ada"), ("Email__c", "a@example.com")]
            .map(|(field, value)| (name(field), Cell::Value(Value::text(value))))
            .into(),
    );
    for kind in [ChangeKind::Create, ChangeKind::Undelete] {
        assert_eq!(written(apply_to(&mapping, unlinked(), kind, &fields)).body, expected);
    }
    let values = [("Name.FirstName", "Ada"), ("PersonEmail", "a@example.com")];
    let values = values.map(|(path, value)| (path.parse().unwrap(), Value::text(value))).into();
    let known = Known { link: unlinked(), parents: &HashMap::new(), replies: &Replies::new() };
    let read = mapping.apply_read(&Record { id: id(RECORD), values }, None, &known, cover());
    assert_eq!(written(read).body, expected);
}

#[test]
fn the_name_of_a_person_as_one_text_is_read() {
    let mapping = accounts(&[("Name", "Name")]);
    for kind in [ChangeKind::Create, ChangeKind::Undelete, ChangeKind::Update] {
        assert_eq!(apply_to(&mapping, linked(), kind, &[("Name", person())]), Mapped::Needs(Needs::Record), "{kind:?}");
        written(apply_to(&mapping, linked(), kind, &[("Name", text("Acme"))]));
    }
}
