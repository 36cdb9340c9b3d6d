mod person;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::{
    self, Backfill, Brakes, Config, Feedback, FieldRule, From, NoLongerMatching, OnNull, PipelineConfig, Publishing,
    Retain, Start, To, Truncate, Verify, WriteOn,
};
use crate::event::{Field, FieldPath, Header, RecordChange, Seq, TextDiff, Timestamp, Value};
use crate::publish::{ByKey, Reference, Source};
use crate::store::PipelineId;

mod typed;

const RECORD: &str = "003000000000001AAA";
const TARGET: &str = "a03000000000001AAA";
const ACCOUNT: &str = "001000000000007AAA";
const ACCOUNT_THERE: &str = "a01000000000007AAA";

fn id(text: &str) -> RecordId {
    text.parse().unwrap()
}

fn name(text: &str) -> FieldName {
    text.parse().unwrap()
}

fn pipeline(name: &str, object: &str, key: &str, fields: Vec<(&str, FieldRule)>) -> PipelineConfig {
    let channel = format!("/data/{object}ChangeEvent").parse().unwrap();
    PipelineConfig {
        name: name.parse().unwrap(),
        from: From {
            org: "source".parse().unwrap(),
            channel,
            object: object.parse().unwrap(),
            start: Start::Tip,
            poll: None,
        },
        to: To {
            org: "target".parse().unwrap(),
            object: format!("{object}__c").parse().unwrap(),
            key: key.parse().unwrap(),
        },
        fields: fields.into_iter().map(|(name, rule)| (name.parse().unwrap(), rule)).collect(),
        when: None,
        when_no_longer_matching: NoLongerMatching::Keep,
        flag: None,
        on_delete: OnDelete::Delete,
        brakes: Brakes::default(),
        backfill: Backfill::default(),
        verify: Verify::default(),
        feedback: Feedback::default(),
        publishing: Publishing::default(),
    }
}

fn from(path: &str) -> FieldRule {
    config::Fill::Source(path.parse().unwrap()).into()
}

fn parent(pipeline: &str, from: &str) -> FieldRule {
    config::Fill::Parent { pipelines: vec![pipeline.parse().unwrap()], from: from.parse().unwrap() }.into()
}

/// Contacts with each kind of rule. Accounts are found by their record id, regions by a code.
fn contacts() -> Mapping {
    let fields = vec![
        ("Key__c", from("Id")),
        ("Title__c", from("Title")),
        ("Origin__c", config::Fill::Constant(Value::text("EMEA")).into()),
        ("City__c", from("MailingAddress.City")),
        ("First__c", from("Name.FirstName")),
        ("Account__c", parent("accounts", "AccountId")),
        ("RegionId", parent("regions", "Region__c")),
    ];
    mapping(pipeline("contacts", "Contact", "Key__c", fields))
}

fn mapping(pipeline_under_test: PipelineConfig) -> Mapping {
    let pipelines = vec![
        pipeline_under_test,
        pipeline("accounts", "Account", "Key__c", vec![("Key__c", from("Id"))]),
        pipeline("regions", "Region", "Code__c", vec![("Code__c", from("Code"))]),
    ];
    let config = Config {
        orgs: BTreeMap::new(),
        pipelines,
        actions: Vec::new(),
        state: "unused".into(),
        late_landing: Duration::from_secs(600),
        look_again: Duration::from_secs(60),
        parent_wait: Duration::from_secs(24 * 3600),
        bulk_from: None,
        cases: Vec::new(),
        probe_every: Duration::from_secs(900),
        journal_retain: Retain::default(),
        linger: Duration::ZERO,
        history_age: Duration::from_secs(30 * 24 * 3_600),
        digest: None,
    };
    Mapping::new(&config.pipelines[0], &config)
}

pub(super) fn part(kind: ChangeKind, fields: &[(&str, Field)]) -> Part {
    let header = Header {
        entity_name: "Contact".parse().unwrap(),
        record_ids: vec![id(RECORD)],
        wildcard: false,
        change_type: kind,
        change_origin: String::new(),
        transaction_key: "1".to_owned(),
        sequence_number: 1,
        commit_timestamp: Timestamp(0),
        commit_number: 1,
        commit_user: "005000000000001AAA".to_owned(),
    };
    let fields = fields.iter().map(|(name, field)| ((*name).to_owned(), field.clone())).collect();
    Part { seq: Seq(5), record: id(RECORD), change: Arc::new(RecordChange { header, fields }) }
}

fn cover() -> Cover {
    let source = Source { pipeline: PipelineId(1), record: id(RECORD) };
    Cover { source, from: Seq(5), to: Seq(5), clears_suspect: false }
}

fn text(text: &str) -> Field {
    Field::New(Value::text(text))
}

fn compound(part: &str, value: Value) -> Value {
    Value::Compound(BTreeMap::from([(part.to_owned(), value)]))
}

/// The code, and the field or `when`.
fn failed(mapped: Mapped) -> (&'static str, String) {
    match mapped {
        Mapped::Failed(failure) => (failure.code, failure.field.map_or("when".to_owned(), |field| field.to_string())),
        other => panic!("{other:?}"),
    }
}

fn by_value() -> Key {
    Key::External { object: "Contact__c".parse().unwrap(), field: name("Key__c"), value: RECORD.to_owned() }
}

fn by_link() -> Key {
    Key::Record { object: "Contact__c".parse().unwrap(), id: id(TARGET) }
}

fn unlinked() -> LinkState {
    LinkState::None
}

fn linked() -> LinkState {
    LinkState::Linked(id(TARGET))
}

fn apply_to(mapping: &Mapping, link: LinkState, kind: ChangeKind, fields: &[(&str, Field)]) -> Mapped {
    mapping.apply(&part(kind, fields), &Known { link, parents: &HashMap::new(), replies: &Replies::new() }, cover())
}

fn apply(link: LinkState, kind: ChangeKind, fields: &[(&str, Field)]) -> Mapped {
    apply_to(&contacts(), link, kind, fields)
}

#[track_caller]
fn written(mapped: Mapped) -> Write {
    match mapped {
        Mapped::Write(write) => *write,
        other => panic!("{other:?}"),
    }
}

/// What a write puts into a field; none where it leaves the field alone.
fn cell(write: &Write, field: &str) -> Option<Cell> {
    write.fields().unwrap().get(&name(field)).cloned()
}

fn put(value: Value) -> Option<Cell> {
    Some(Cell::Value(value))
}

#[test]
fn a_create_is_a_whole_write_by_key_of_all_mapped_fields() {
    let city = Field::New(compound("City", Value::text("Basel")));
    let first = Field::New(compound("FirstName", Value::text("Ada")));
    let fields = [("Title", text("Dr")), ("MailingAddress", city), ("Name", first), ("Unmapped", text("x"))];
    let write = written(apply(unlinked(), ChangeKind::Create, &fields));
    assert_eq!((&write.key, &write.key_field), (&by_value(), &name("Key__c")));
    assert_eq!(write.covers, [cover()]);
    let expected = [
        ("Key__c", Value::text(RECORD)),
        ("Title__c", Value::text("Dr")),
        ("Origin__c", Value::text("EMEA")),
        ("City__c", Value::text("Basel")),
        ("First__c", Value::text("Ada")),
        ("Account__c", Value::Null),
        ("RegionId", Value::Null),
    ];
    let expected = expected.map(|(field, value)| (name(field), Cell::Value(value)));
    assert_eq!(write.body, Body::Whole(expected.into()));
}

#[test]
fn an_update_writes_only_what_changed() {
    let same = Field::Same(Value::text("enriched"));
    let emptied = Field::New(Value::Null);
    for (fields, expected) in [
        (vec![("Title", text("Dr"))], vec![("Title__c", Value::text("Dr"))]),
        (vec![("Title", emptied.clone())], vec![("Title__c", Value::Null)]),
        (vec![("Title", emptied.clone()), ("MailingAddress", same.clone())], vec![("Title__c", Value::Null)]),
        (
            vec![("MailingAddress", Field::New(compound("City", Value::text("Basel"))))],
            vec![("City__c", Value::text("Basel"))],
        ),
        (vec![("MailingAddress", Field::New(compound("City", Value::Null)))], vec![("City__c", Value::Null)]),
        // A compound that was emptied as a whole empties each part.
        (vec![("MailingAddress", emptied.clone())], vec![("City__c", Value::Null)]),
        (vec![("AccountId", emptied), ("Title", same)], vec![("Account__c", Value::Null)]),
        (vec![("AccountId", text("not an id"))], vec![("Account__c", Value::Null)]),
    ] {
        let write = written(apply(linked(), ChangeKind::Update, &fields));
        let expected = expected.into_iter().map(|(field, value)| (name(field), Cell::Value(value))).collect();
        assert_eq!((write.key, write.body), (by_link(), Body::Partial(expected)), "{fields:?}");
    }
}

#[test]
fn an_update_of_nothing_that_is_mapped_is_skipped_with_and_without_a_link() {
    let elsewhere = Field::New(compound("Street", Value::text("Rhine 1")));
    let enriched = Field::Same(Value::text("Dr"));
    for fields in [vec![], vec![("Phone", text("1"))], vec![("MailingAddress", elsewhere)], vec![("Title", enriched)]] {
        for link in [unlinked(), linked(), LinkState::Coming(by_value())] {
            let mapped = apply(link, ChangeKind::Update, &fields);
            assert_eq!(mapped, Mapped::Skipped(Skip::NothingMapped), "{fields:?}");
        }
    }
}

#[test]
fn an_update_goes_where_the_link_leads_and_without_a_link_the_record_is_read() {
    let update = |link| apply(link, ChangeKind::Update, &[("Title", text("Dr"))]);
    assert_eq!(update(unlinked()), Mapped::Needs(Needs::Record));
    let coming = written(update(LinkState::Coming(by_value())));
    assert_eq!(coming.key, by_value());
    assert!(matches!(coming.body, Body::Partial(_)), "half a record is never an upsert");
    assert_eq!(written(update(linked())).key, by_link());
}

#[test]
fn a_value_that_came_as_a_difference_of_texts_must_be_read() {
    for kind in [ChangeKind::Create, ChangeKind::Update, ChangeKind::Undelete] {
        for field in ["Title", "MailingAddress", "AccountId"] {
            for unread in [Field::Diff, Field::Patch(TextDiff::new("--- \n+++ 00"))] {
                let fields = [(field, unread), ("Name", Field::New(Value::Null))];
                assert_eq!(apply(linked(), kind, &fields), Mapped::Needs(Needs::Record), "{kind:?} {field}");
            }
        }
    }
    let unmapped = written(apply(linked(), ChangeKind::Update, &[("Essay__c", Field::Diff), ("Title", text("Dr"))]));
    assert_eq!(unmapped.key, by_link());
}

#[test]
fn an_enriched_field_counts_in_a_whole_write() {
    let enriched = Field::Same(Value::text("Dr"));
    let write = written(apply(linked(), ChangeKind::Create, &[("Title", enriched)]));
    assert_eq!((&write.key, cell(&write, "Title__c")), (&by_link(), put(Value::text("Dr"))));
}

#[test]
fn an_undelete_is_a_whole_write_that_looks_for_its_record_anew() {
    for link in [unlinked(), linked(), LinkState::Coming(by_link())] {
        let write = written(apply(link, ChangeKind::Undelete, &[("Title", text("Dr"))]));
        assert_eq!(write.key, by_value());
        assert!(matches!(&write.body, Body::Whole(fields) if fields.len() == 7));
    }
}

#[test]
fn a_parent_is_named_by_its_key_where_that_follows_from_its_id() {
    let parent = Parent { target_object: "Account__c".parse().unwrap(), record: id(ACCOUNT) };
    let write = written(apply(linked(), ChangeKind::Update, &[("AccountId", text(ACCOUNT))]));
    let by_key = Some(ByKey { relationship: "Account__r".to_owned(), key: name("Key__c"), typed: false });
    let reference = Reference { parent: parent.clone(), by_key, link: None, if_missing: IfMissing::Wait };
    assert!(!reference.is_open());
    assert_eq!(cell(&write, "Account__c"), Some(Cell::Parent(reference)));
    assert_eq!((write.lock_keys, write.waits_for), (vec![parent.clone()], vec![parent]));
}

#[test]
fn any_other_parent_is_named_by_its_link_and_is_open_while_it_has_none() {
    let region = id("a02000000000001AAA");
    let parent = Parent { target_object: "Region__c".parse().unwrap(), record: region };
    let there = Some(id(ACCOUNT_THERE));
    for link in [None, there] {
        let parents = link.map(|link| (parent.clone(), link)).into_iter().collect();
        let change = part(ChangeKind::Update, &[("Region__c", text(region.as_str()))]);
        assert_eq!(contacts().parents_of(&change), std::slice::from_ref(&parent));
        let write = written(contacts().apply(
            &change,
            &Known { link: linked(), parents: &parents, replies: &Replies::new() },
            cover(),
        ));
        let reference = Reference { parent: parent.clone(), by_key: None, link, if_missing: IfMissing::Wait };
        assert_eq!(reference.is_open(), link.is_none());
        assert_eq!(cell(&write, "RegionId"), Some(Cell::Parent(reference)));
        assert_eq!(write.waits_for, std::slice::from_ref(&parent));
    }
}

#[test]
fn parents_are_asked_for_where_a_part_or_a_read_names_them() {
    let parents = |field| contacts().parents_of(&part(ChangeKind::Update, &[("AccountId", field)]));
    assert_eq!(parents(text(ACCOUNT)).len(), 1);
    for nobody in [
        Field::New(Value::Null),
        Field::Same(Value::Null),
        text("001*"),
        Field::Diff,
        Field::Patch(TextDiff::new(ACCOUNT)),
    ] {
        assert_eq!(parents(nobody.clone()), [], "{nobody:?}");
    }
    let values = BTreeMap::from([("AccountId".parse().unwrap(), Value::text(ACCOUNT))]);
    assert_eq!(contacts().parents_of_read(&Record { id: id(RECORD), values })[0].record, id(ACCOUNT));
}

#[test]
fn a_parent_that_a_whole_write_only_knows_as_enriched_is_asked_for() {
    let enriched = Field::Same(Value::text(ACCOUNT));
    let parents = contacts().parents_of(&part(ChangeKind::Create, &[("AccountId", enriched)]));
    assert_eq!(parents.len(), 1);
}

#[test]
fn the_relationship_of_a_lookup_follows_the_naming_rule() {
    let fields = |field| vec![("Key__c", from("Id")), (field, parent("accounts", "AccountId"))];
    for (field, relationship) in [("AccountId", "Account"), ("Parent__c", "Parent__r"), ("Odd", "Odd")] {
        let mapping = mapping(pipeline("contacts", "Contact", "Key__c", fields(field)));
        let write = written(apply_to(&mapping, linked(), ChangeKind::Update, &[("AccountId", text(ACCOUNT))]));
        let reference = write.references().next().unwrap();
        assert_eq!(reference.by_key.as_ref().unwrap().relationship, relationship);
    }
}

#[test]
fn a_delete_goes_where_the_link_leads_or_asks_who_holds_the_key() {
    for kind in [ChangeKind::Delete, ChangeKind::GapDelete] {
        let write = written(apply(linked(), kind, &[]));
        assert_eq!((write.key, write.body), (by_link(), Body::Delete));
        assert_eq!(written(apply(LinkState::Coming(by_value()), kind, &[])).key, by_value());
        assert_eq!(apply(unlinked(), kind, &[]), Mapped::Needs(Needs::TargetOf { key: RECORD.to_owned() }));
    }
    let deleted = |link| {
        contacts().apply_deleted(
            id(RECORD),
            &Known { link, parents: &HashMap::new(), replies: &Replies::new() },
            cover(),
        )
    };
    assert_eq!(written(deleted(linked())).key, by_link());
    assert_eq!(deleted(unlinked()), Mapped::Needs(Needs::TargetOf { key: RECORD.to_owned() }));
}

#[test]
fn a_delete_without_a_link_finds_nobody_where_the_key_does_not_follow_from_the_id() {
    let by_code =
        mapping(pipeline("contacts", "Contact", "Code__c", vec![("Code__c", from("Code")), ("X", from("Id"))]));
    assert_eq!(apply_to(&by_code, unlinked(), ChangeKind::Delete, &[]), Mapped::Skipped(Skip::NeverLinked));
    assert_eq!(written(apply_to(&by_code, linked(), ChangeKind::Delete, &[])).key, by_link());
}

#[test]
fn a_delete_is_ignored_where_the_config_says_so() {
    let mut ignoring = contacts();
    ignoring.on_delete = OnDelete::Ignore;
    for link in [unlinked(), linked(), LinkState::Coming(by_value())] {
        let mapped = apply_to(&ignoring, link.clone(), ChangeKind::Delete, &[]);
        assert_eq!(mapped, Mapped::Skipped(Skip::DeleteIgnored));
        let known = Known { link, parents: &HashMap::new(), replies: &Replies::new() };
        assert_eq!(ignoring.apply_deleted(id(RECORD), &known, cover()), Mapped::Skipped(Skip::DeleteIgnored));
    }
}

#[test]
fn a_change_that_hides_its_values_is_read_and_one_that_names_no_record_is_skipped() {
    for kind in [ChangeKind::GapCreate, ChangeKind::GapUpdate, ChangeKind::GapUndelete] {
        assert_eq!(apply(linked(), kind, &[]), Mapped::Needs(Needs::Record), "{kind:?}");
    }
    assert_eq!(apply(linked(), ChangeKind::GapOverflow, &[]), Mapped::Skipped(Skip::NoRecord));
}

#[test]
fn a_whole_write_without_a_key_is_a_failed_record() {
    let by_code = mapping(pipeline("contacts", "Contact", "Code__c", vec![("Code__c", from("Code"))]));
    let empty = (KEY_EMPTY, "Code__c".to_owned());
    for fields in [vec![], vec![("Code", Field::New(Value::Null))], vec![("Code", text(""))]] {
        assert_eq!(failed(apply_to(&by_code, unlinked(), ChangeKind::Create, &fields)), empty);
    }
    let number = Field::New(Value::Number("42.0".parse().unwrap()));
    let write = written(apply_to(&by_code, unlinked(), ChangeKind::Create, &[("Code", number)]));
    assert!(matches!(write.key, Key::External { value, .. } if value == "42"));
}

#[test]
fn a_compound_field_that_is_mapped_as_one_is_a_failed_record() {
    let fields = vec![("Key__c", from("Id")), ("Address__c", from("MailingAddress"))];
    let mapping = mapping(pipeline("contacts", "Contact", "Key__c", fields));
    let address = Field::New(compound("City", Value::text("Basel")));
    for kind in [ChangeKind::Create, ChangeKind::Update] {
        let mapped = apply_to(&mapping, linked(), kind, &[("MailingAddress", address.clone())]);
        assert_eq!(failed(mapped), (COMPOUND_VALUE, "Address__c".to_owned()));
    }
}

#[test]
fn a_read_that_shows_only_empty_fields_empties_them() {
    let mapping = contacts();
    let values = mapping.reads().into_iter().map(|path| (path, Value::Null)).collect();
    let known = Known { link: linked(), parents: &HashMap::new(), replies: &Replies::new() };
    let write = written(mapping.apply_read(&Record { id: id(RECORD), values }, None, &known, cover()));
    assert_eq!(write.key, by_link());
    assert!(matches!(write.body, Body::Whole(_)));
    for field in ["Title__c", "City__c", "First__c", "Account__c", "RegionId"] {
        assert_eq!(cell(&write, field), put(Value::Null), "{field}");
    }
    assert_eq!(cell(&write, "Key__c"), put(Value::text(RECORD)));
    assert_eq!(cell(&write, "Origin__c"), put(Value::text("EMEA")));
}

#[test]
fn a_read_asks_for_each_source_field_once_and_never_for_the_id() {
    let reads: Vec<String> = contacts().reads().iter().map(ToString::to_string).collect();
    assert_eq!(reads, ["AccountId", "MailingAddress.City", "Name.FirstName", "Region__c", "Title"]);
    let fields = vec![("Key__c", from("Id")), ("A", from("Name")), ("B", from("Name"))];
    assert_eq!(mapping(pipeline("contacts", "Contact", "Key__c", fields)).reads().len(), 1);
}

/// Contacts by one rule beside the key.
fn one(rule: FieldRule) -> Mapping {
    mapping(pipeline("contacts", "Contact", "Key__c", vec![("Key__c", from("Id")), ("F", rule)]))
}

fn with(fill: config::Fill, differently: impl FnOnce(&mut FieldRule)) -> Mapping {
    let mut rule = FieldRule::from(fill);
    differently(&mut rule);
    one(rule)
}

fn source(path: &str) -> config::Fill {
    config::Fill::Source(path.parse().unwrap())
}

/// What a change makes of the field `F`: None where it is left out.
fn f_of(mapping: &Mapping, link: LinkState, kind: ChangeKind, fields: &[(&str, Field)]) -> Option<Cell> {
    cell(&written(apply_to(mapping, link, kind, fields)), "F")
}

const TITLE: &str = "Title";

#[test]
fn a_field_is_written_at_creates_or_at_updates_or_at_both() {
    let title = [(TITLE, text("CEO"))];
    for (write_on, created, renewed, updated) in
        [(WriteOn::Both, true, true, true), (WriteOn::Create, true, false, false), (WriteOn::Update, false, true, true)]
    {
        let mapping = with(source(TITLE), |rule| rule.write_on = write_on);
        let is_written = |link, kind| f_of(&mapping, link, kind, &title).is_some();
        assert_eq!(is_written(unlinked(), ChangeKind::Create), created, "{write_on:?}");
        assert_eq!(is_written(linked(), ChangeKind::Create), renewed, "{write_on:?}");
        match apply_to(&mapping, linked(), ChangeKind::Update, &title) {
            Mapped::Write(write) => assert!(updated && cell(&write, "F").is_some(), "{write_on:?}"),
            mapped => assert!(!updated && mapped == Mapped::Skipped(Skip::NothingMapped), "{write_on:?}"),
        }
    }
}

#[test]
fn what_is_written_where_the_source_is_empty_is_the_rules_choice() {
    for (on_null, written) in [
        (OnNull::Send, put(Value::Null)),
        (OnNull::Skip, None),
        (OnNull::Value(Value::text("none")), put(Value::text("none"))),
    ] {
        let mapping = with(source(TITLE), |rule| rule.on_null = on_null);
        let emptied = [(TITLE, Field::New(Value::Null)), ("Other", text("x"))];
        assert_eq!(f_of(&mapping, linked(), ChangeKind::Create, &[]), written);
        assert_eq!(f_of(&mapping, linked(), ChangeKind::Create, &emptied), written);
        match apply_to(&mapping, linked(), ChangeKind::Update, &emptied) {
            Mapped::Write(write) => assert_eq!(cell(&write, "F"), written),
            mapped => assert_eq!((mapped, written), (Mapped::Skipped(Skip::NothingMapped), None)),
        }
    }
}

#[test]
fn long_text_is_cut_by_characters_and_nothing_else_is() {
    let mapping = with(source(TITLE), |rule| rule.truncate = Some(Truncate::To(3)));
    for (value, cut) in [("Zürich", "Zür"), ("Bas", "Bas"), ("", "")] {
        assert_eq!(f_of(&mapping, linked(), ChangeKind::Update, &[(TITLE, text(value))]), put(Value::text(cut)));
    }
    let number = Value::Number("12345".parse().unwrap());
    let fields = [(TITLE, Field::New(number.clone()))];
    assert_eq!(f_of(&mapping, linked(), ChangeKind::Update, &fields), put(number));
}

#[test]
fn a_table_gives_one_value_for_another_and_a_record_without_an_entry_fails_by_name() {
    let entries: BTreeMap<String, Value> =
        [("Bank", Value::text("Finance")), ("7", Value::text("seven")), ("true", Value::Bool(false))]
            .map(|(key, value)| (key.to_owned(), value))
            .into();
    let table = |default: Option<Value>| config::Fill::Table {
        from: TITLE.parse().unwrap(),
        entries: entries.clone(),
        default,
    };
    let (strict, lax) = (one(table(None).into()), one(table(Some(Value::text("Other"))).into()));
    let number = Value::Number("7.0".parse().unwrap());
    for (value, other) in [
        (Value::text("Bank"), Value::text("Finance")),
        (number, Value::text("seven")),
        (Value::Bool(true), Value::Bool(false)),
        (Value::Null, Value::Null),
    ] {
        for mapping in [&strict, &lax] {
            let fields = [(TITLE, Field::New(value.clone()))];
            assert_eq!(f_of(mapping, linked(), ChangeKind::Update, &fields), put(other.clone()));
        }
    }
    let unlisted = [(TITLE, text("bank"))];
    let fails = apply_to(&strict, linked(), ChangeKind::Update, &unlisted);
    let Mapped::Failed(failure) = &fails else { panic!("{fails:?}") };
    assert!(failure.reason.contains(TITLE) && !failure.reason.contains("bank"), "{}", failure.reason);
    assert_eq!(failed(fails), (NO_TABLE_ENTRY, "F".to_owned()));
    assert_eq!(f_of(&lax, linked(), ChangeKind::Update, &unlisted), put(Value::text("Other")));
    assert_eq!(strict.reads(), [TITLE.parse().unwrap()]);
}

/// Contacts of a condition, with what becomes of those that no longer match.
fn filtered(when: &str, policy: NoLongerMatching) -> Mapping {
    let fields = vec![("Key__c", from("Id")), ("F", from(TITLE)), ("By__c", computed("change.user"))];
    let mut pipeline = pipeline("contacts", "Contact", "Key__c", fields);
    pipeline.when = Some(Expression::compile(when).unwrap());
    pipeline.when_no_longer_matching = policy;
    let flag = config::Flag { field: name("Gone__c"), set: Value::Bool(true), clear: Value::Bool(false) };
    pipeline.flag = Some(flag);
    mapping(pipeline)
}

fn computed(cel: &str) -> FieldRule {
    config::Fill::Expression(Expression::compile(cel).unwrap()).into()
}

#[test]
fn an_expression_is_written_when_something_that_it_reads_changed() {
    let mapping = one(computed("upper(Title) + \" \" + default(Department, \"?\")"));
    assert_eq!(mapping.reads(), ["Department", "Title"].map(|path| path.parse().unwrap()));
    let both = [(TITLE, text("ceo")), ("Department", text("Board"))];
    assert_eq!(f_of(&mapping, linked(), ChangeKind::Create, &both), put(Value::text("CEO Board")));
    assert_eq!(f_of(&mapping, unlinked(), ChangeKind::Create, &both[..1]), put(Value::text("CEO ?")));
    let same = [(TITLE, text("ceo")), ("Department", Field::Same(Value::text("Board")))];
    assert_eq!(f_of(&mapping, linked(), ChangeKind::Update, &same), put(Value::text("CEO Board")));
    let half = apply_to(&mapping, linked(), ChangeKind::Update, &both[..1]);
    assert_eq!(half, Mapped::Needs(Needs::Record), "the other half is not known");
    let unchanged = [(TITLE, Field::Same(Value::text("ceo"))), ("Department", Field::Same(Value::Null))];
    let skipped = apply_to(&mapping, linked(), ChangeKind::Update, &unchanged);
    assert_eq!(skipped, Mapped::Skipped(Skip::NothingMapped));
}

#[test]
fn an_expression_without_a_result_is_a_failed_record_that_names_it_and_no_value() {
    let mapping = one(computed("1 / NumberOfChildren__c"));
    let fails = apply_to(&mapping, linked(), ChangeKind::Update, &[("NumberOfChildren__c", Field::New(Value::Null))]);
    let Mapped::Failed(failure) = &fails else { panic!("{fails:?}") };
    assert!(failure.reason.contains("1 / NumberOfChildren__c"), "{}", failure.reason);
    assert_eq!(failed(fails), (EXPRESSION_FAILED, "F".to_owned()));
}

#[test]
fn who_made_a_change_is_written_with_it_and_is_no_reason_to_write() {
    let mapping = one(computed("change.user"));
    let nothing = apply_to(&mapping, linked(), ChangeKind::Update, &[("Other", text("x"))]);
    assert_eq!(nothing, Mapped::Skipped(Skip::NothingMapped));
    let beside = filtered("true", NoLongerMatching::Keep);
    let write = written(apply_to(&beside, linked(), ChangeKind::Update, &[(TITLE, text("x"))]));
    assert_eq!(cell(&write, "By__c"), put(Value::text("005000000000001AAA")));
    // A read that stands for no change leaves the field as it is.
    let parents = HashMap::new();
    let known = Known { link: linked(), parents: &parents, replies: &Replies::new() };
    let record = Record { id: id(RECORD), values: BTreeMap::new() };
    assert_eq!(cell(&written(beside.apply_read(&record, None, &known, cover())), "By__c"), None);
}

#[test]
fn a_condition_is_judged_on_what_is_known_and_never_on_half_a_record() {
    let mapping = filtered("Industry != \"Test\" && Rating != null", NoLongerMatching::Keep);
    let update = |fields: &[(&str, Field)]| apply_to(&mapping, linked(), ChangeKind::Update, fields);
    let same = |value: &str| Field::Same(Value::text(value));
    let title = (TITLE, text("x"));
    assert_eq!(update(std::slice::from_ref(&title)), Mapped::Needs(Needs::Record));
    assert_eq!(update(&[title.clone(), ("Industry", same("Bank"))]), Mapped::Needs(Needs::Record));
    assert_eq!(update(&[title.clone(), ("Industry", same("Test"))]), Mapped::Skipped(Skip::Filtered));
    written(update(&[title.clone(), ("Industry", same("Bank")), ("Rating", same("Hot"))]));
    // Nothing of it is written or asked: no read for it.
    assert_eq!(update(&[("Other", text("x"))]), Mapped::Skipped(Skip::NothingMapped));
    // It may not have matched before.
    let now = [("Industry", text("Bank")), ("Rating", same("Hot"))];
    assert_eq!(update(&now), Mapped::Needs(Needs::Record));
}

#[test]
fn what_becomes_of_a_counterpart_that_no_longer_matches_is_the_pipelines_choice() {
    let now_a_test = [("Industry", text("Test"))];
    for (policy, expected) in [
        (NoLongerMatching::Keep, None),
        (NoLongerMatching::Delete, Some(Body::Delete)),
        (NoLongerMatching::Flag, Some(Body::Partial([(name("Gone__c"), Cell::Value(Value::Bool(true)))].into()))),
    ] {
        let mapping = filtered("Industry != \"Test\"", policy);
        for kind in [ChangeKind::Create, ChangeKind::Update] {
            match apply_to(&mapping, linked(), kind, &now_a_test) {
                Mapped::Write(write) => assert_eq!((Some(write.body), write.key), (expected.clone(), by_link())),
                mapped => assert_eq!((mapped, &expected), (Mapped::Skipped(Skip::Filtered), &None)),
            }
            let unknown = apply_to(&mapping, unlinked(), kind, &now_a_test);
            assert_eq!(unknown, Mapped::Skipped(Skip::Filtered), "it was never written");
        }
        // A whole write clears the flag.
        let write = written(apply_to(&mapping, linked(), ChangeKind::Create, &[("Industry", text("Bank"))]));
        assert_eq!(cell(&write, "Gone__c"), put(Value::Bool(false)));
    }
}

#[test]
fn a_condition_on_who_made_the_change_leaves_out_the_change_and_not_the_record() {
    let mapping = filtered("change.user != \"005000000000001AAA\"", NoLongerMatching::Delete);
    for kind in [ChangeKind::Create, ChangeKind::Update] {
        let mapped = apply_to(&mapping, linked(), kind, &[(TITLE, text("x"))]);
        assert_eq!(mapped, Mapped::Skipped(Skip::Filtered), "{kind:?}: nothing is deleted");
    }
    let parents = HashMap::new();
    let known = Known { link: linked(), parents: &parents, replies: &Replies::new() };
    let record = Record { id: id(RECORD), values: BTreeMap::new() };
    written(mapping.apply_read(&record, None, &known, cover()));
    let header = part(ChangeKind::Update, &[]).change.header.clone();
    let mapped = mapping.apply_read(&record, Some(&header), &known, cover());
    assert_eq!(mapped, Mapped::Skipped(Skip::Filtered), "a read for one change is judged as that change");
}

#[test]
fn a_condition_with_both_deletes_only_for_what_the_record_says() {
    let when = "change.user != \"005000000000001AAA\" && Industry != \"Test\"";
    let mapping = filtered(when, NoLongerMatching::Delete);
    let create = |industry: &str| apply_to(&mapping, linked(), ChangeKind::Create, &[("Industry", text(industry))]);
    assert_eq!(create("Bank"), Mapped::Skipped(Skip::Filtered));
    assert_eq!(written(create("Test")).body, Body::Delete);
}

#[test]
fn a_flagged_delete_is_an_update_of_the_counterpart() {
    let mut mapping = filtered("true", NoLongerMatching::Keep);
    mapping.on_delete = OnDelete::Flag;
    let write = written(apply_to(&mapping, linked(), ChangeKind::Delete, &[]));
    let flagged = Body::Partial([(name("Gone__c"), Cell::Value(Value::Bool(true)))].into());
    assert_eq!((write.key, write.body), (by_link(), flagged));
    let asks = apply_to(&mapping, unlinked(), ChangeKind::Delete, &[]);
    assert_eq!(asks, Mapped::Needs(Needs::TargetOf { key: RECORD.to_owned() }));
}

/// The paths that `contacts` maps, with the values that a record can have there.
fn values() -> impl Strategy<Value = BTreeMap<FieldPath, Value>> {
    let plain = prop_oneof![Just(Value::Null), "[a-z]{1,3}".prop_map(Value::text)];
    let lookup = prop_oneof![Just(Value::Null), (1..4).prop_map(|n| Value::text(id(&format!("001{n:012}")).as_str()))];
    (plain.clone(), plain.clone(), plain, lookup.clone(), lookup).prop_map(|(title, city, first, account, region)| {
        [
            ("Title", title),
            ("MailingAddress.City", city),
            ("Name.FirstName", first),
            ("AccountId", account),
            ("Region__c", region),
        ]
        .map(|(path, value)| (path.parse().unwrap(), value))
        .into()
    })
}

/// An event with the fields at these paths.
fn event<'a>(kind: ChangeKind, values: impl IntoIterator<Item = (&'a FieldPath, &'a Value)>) -> Part {
    let fields = values.into_iter().map(|(path, value)| {
        let value = path.part().map_or_else(|| value.clone(), |part| compound(part, value.clone()));
        (path.top(), Field::New(value))
    });
    part(kind, &fields.collect::<Vec<_>>())
}

/// A lookup by this field, which is filled later where there is nothing.
fn found_by(path: &str) -> FieldRule {
    let value = config::Sought::Field(path.parse().unwrap());
    let find = config::Fill::Find { object: "City__c".parse().unwrap(), by: name("Name"), value };
    FieldRule { if_missing: Some(IfMissing::FillLater), ..find.into() }
}

proptest! {
    #[test]
    fn a_change_laid_over_what_the_target_holds_is_the_whole_of_the_changed_record(
        before in values(),
        after in values(),
        enriched in any::<bool>(),
    ) {
        let mapping = contacts();
        let parents = HashMap::new();
        let known = Known { link: linked(), parents: &parents, replies: &Replies::new() };
        let whole = |values: &BTreeMap<FieldPath, Value>| {
            let record = Record { id: id(RECORD), values: values.clone() };
            match written(mapping.apply_read(&record, None, &known, cover())).body {
                Body::Whole(fields) => fields,
                other => panic!("{other:?}"),
            }
        };
        let mut held = whole(&before);
        let changed = after.iter().filter(|(path, value)| before[path] != **value);
        let mut change = event(ChangeKind::Update, changed);
        if enriched {
            let fields = &mut Arc::make_mut(&mut change.change).fields;
            fields.entry("Title".to_owned()).or_insert_with(|| Field::Same(Value::text("never written")));
        }
        match mapping.apply(&change, &known, cover()) {
            Mapped::Skipped(Skip::NothingMapped) => prop_assert_eq!(&before, &after),
            mapped => match written(mapped).body {
                Body::Partial(fields) => held.extend(fields),
                other => panic!("{other:?}"),
            },
        }
        prop_assert_eq!(held, whole(&after));
    }

    /// Whatever a condition and expressions read of a change: in the end the target holds what the whole record says.
    #[test]
    fn a_change_applied_as_far_as_it_is_known_is_the_whole_record_applied(
        before in values(),
        after in values(),
        known_unchanged in prop::collection::vec(any::<bool>(), 5),
        policy in prop_oneof![Just(NoLongerMatching::Flag), Just(NoLongerMatching::Delete)],
        is_asked in any::<bool>(),
    ) {
        let fields = vec![
            ("Key__c", from("Id")),
            ("Title__c", from("Title")),
            ("Both__c", computed("default(Title, \"\") + default(MailingAddress.City, \"\")")),
            ("Choice__c", computed("has(Region__c) ? Title : Name.FirstName")),
            ("Account__c", parent("accounts", "AccountId")),
            ("Found__c", found_by("MailingAddress.City")),
        ];
        let mut pipeline = pipeline("contacts", "Contact", "Key__c", fields);
        pipeline.when = Some(Expression::compile("Title != \"a\" && (Name.FirstName != \"b\" || Title == null)").unwrap());
        pipeline.when_no_longer_matching = policy;
        let flag = config::Flag { field: name("Gone__c"), set: Value::Bool(true), clear: Value::Bool(false) };
        pipeline.flag = Some(flag);
        let mapping = mapping(pipeline);
        let parents = HashMap::new();
        let read = |values: &BTreeMap<FieldPath, Value>| Record { id: id(RECORD), values: values.clone() };
        // The target has no such record for one of the values.
        let mut replies = Replies::new();
        for ask in [&before, &after].into_iter().flat_map(|values| mapping.asks(&read(values), &Replies::new())) {
            let reply = if ask.value == "a" { Reply::Nothing } else { Reply::One(ACCOUNT_THERE.to_owned()) };
            replies.insert(ask, reply);
        }
        let none = Replies::new();
        // The target: none, or the fields of the counterpart.
        let write = |held: Option<BTreeMap<FieldName, Cell>>, mapped: Mapped| match mapped {
            Mapped::Skipped(_) => held,
            Mapped::Write(write) => match write.body {
                Body::Whole(fields) => Some(held.unwrap_or_default().into_iter().chain(fields).collect()),
                Body::Partial(fields) => held.map(|held| held.into_iter().chain(fields).collect()),
                Body::Delete => None,
            },
            other => panic!("{other:?}"),
        };
        let link = |held: &Option<BTreeMap<FieldName, Cell>>| if held.is_some() { linked() } else { unlinked() };
        let whole = |held: Option<BTreeMap<FieldName, Cell>>, values| {
            let known = Known { link: link(&held), parents: &parents, replies: &replies };
            write(held, mapping.apply_read(&read(values), None, &known, cover()))
        };
        let held = whole(None, &before);
        let changed = after.iter().filter(|(path, value)| before[*path] != **value);
        let mut change = event(ChangeKind::Update, changed);
        for ((path, value), known) in after.iter().zip(known_unchanged) {
            if known && before[path] == *value && path.part().is_none() {
                let fields = &mut Arc::make_mut(&mut change.change).fields;
                fields.entry(path.top().to_owned()).or_insert_with(|| Field::Same(value.clone()));
            }
        }
        let known = Known { link: link(&held), parents: &parents, replies: if is_asked { &replies } else { &none } };
        let by_change = match mapping.apply(&change, &known, cover()) {
            Mapped::Needs(Needs::Record | Needs::Lookups) => whole(held.clone(), &after),
            mapped => write(held.clone(), mapped),
        };
        // A flagged counterpart keeps its other fields as they were.
        let gone = |held: &Option<BTreeMap<FieldName, Cell>>| {
            held.as_ref().is_none_or(|held| held.get(&name("Gone__c")) == Some(&Cell::Value(Value::Bool(true))))
        };
        let expected = whole(held, &after);
        prop_assert_eq!(gone(&by_change), gone(&expected));
        if !gone(&expected) {
            prop_assert_eq!(by_change, expected);
        }
    }

    #[test]
    fn an_event_of_a_new_record_and_a_read_of_it_become_the_same_write(values in values()) {
        let (mapping, parents) = (contacts(), HashMap::new());
        let known = Known { link: unlinked(), parents: &parents, replies: &Replies::new() };
        let filled = values.iter().filter(|(_, value)| !value.is_null());
        let created = mapping.apply(&event(ChangeKind::Create, filled), &known, cover());
        let record = Record { id: id(RECORD), values: values.clone() };
        prop_assert_eq!(created, mapping.apply_read(&record, None, &known, cover()));
    }
}

#[test]
fn what_can_be_merged_is_known_whatever_the_case_of_its_name() {
    for (object, may) in [("Account", true), ("account", true), ("LEAD", true), ("Case", false)] {
        let fields = vec![("Key__c", from("Id"))];
        assert_eq!(mapping(pipeline("lines", object, "Key__c", fields)).may_be_merged(), may, "{object}");
    }
}
