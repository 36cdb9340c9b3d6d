//! What can be told as CSV, and how.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::config::IfMissing;
use crate::event::Seq;
use crate::publish::write::{Body, Cover, Key, Manner, Reference, Source};
use crate::store::{Parent, PipelineId};

fn record(prefix: &str, number: usize) -> RecordId {
    format!("{prefix}{number:012}").parse().unwrap()
}

fn write(number: usize, fields: Vec<(&str, Cell)>) -> Write {
    let source = Source { pipeline: PipelineId(1), record: record("003", number) };
    Write {
        key: Key::Record { object: "Contact".parse().unwrap(), id: record("003", 1_000 + number) },
        key_field: "Key__c".parse().unwrap(),
        body: Body::Partial(fields.into_iter().map(|(name, cell)| (name.parse().unwrap(), cell)).collect()),
        if_created: false,
        manner: Manner::default(),
        lock_keys: Vec::new(),
        waits_for: Vec::new(),
        covers: vec![Cover { source, from: Seq(1), to: Seq(1), clears_suspect: false }],
    }
}

fn text(text: &str) -> Cell {
    Cell::Value(Value::text(text))
}

fn number(text: &str) -> Cell {
    Cell::Value(Value::Number(text.parse().unwrap()))
}

fn update() -> Call {
    Call::Update { object: "Contact".parse().unwrap(), options: SaveOptions::default() }
}

fn upsert(options: SaveOptions) -> Call {
    Call::Upsert { object: "Contact".parse().unwrap(), key_field: "Key__c".parse().unwrap(), options }
}

fn parent(by_key: Option<bool>, link: Option<RecordId>) -> Cell {
    let by_key = by_key.map(|typed| ByKey { relationship: "Who".to_owned(), key: "Key__c".parse().unwrap(), typed });
    let parent = Parent { target_object: "Lead".parse().unwrap(), record: record("00Q", 7) };
    Cell::Parent(Reference { parent, by_key, link, if_missing: IfMissing::Wait })
}

/// The rows by their first column, each with what it has in the others.
fn read(sheet: &Sheet) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_reader(&sheet.csv[..]);
    let header: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let named = |row: csv::StringRecord| {
        let cells = header.iter().cloned().zip(row.iter().map(str::to_owned)).skip(1);
        (row[0].to_owned(), cells.filter(|(_, cell)| !cell.is_empty()).collect())
    };
    reader.records().map(|row| named(row.unwrap())).collect()
}

#[test]
fn rows_lack_what_did_not_change_and_say_what_is_empty_by_a_word() {
    let writes = [
        write(1, vec![("LastName", text("Roe, \"J\"\nJr")), ("Active__c", Cell::Value(Value::Bool(true)))]),
        write(2, vec![("Title", Cell::Value(Value::Null)), ("Phone", text("")), ("Rating__c", number("-12.50"))]),
        write(3, vec![("Title", text(" blank "))]),
    ];
    let sheet = Sheet::new(&update(), &writes).unwrap();
    let rows = read(&sheet);
    let row =
        |number: usize| rows[record("003", 1_000 + number).as_str()].iter().map(|(k, v)| (k.as_str(), v.as_str()));
    assert_eq!(row(1).collect::<Vec<_>>(), [("Active__c", "true"), ("LastName", "Roe, \"J\"\nJr")]);
    assert_eq!(row(2).collect::<Vec<_>>(), [("Phone", "#N/A"), ("Rating__c", "-12.5"), ("Title", "#N/A")]);
    assert_eq!(row(3).collect::<Vec<_>>(), [("Title", " blank ")]);
    assert!(sheet.csv.starts_with(b"Id,Active__c,LastName,"), "{}", String::from_utf8_lossy(&sheet.csv));
}

#[test]
fn a_parent_stands_in_the_column_of_its_relationship_and_an_emptied_lookup_in_its_own() {
    let emptied = Cell::Unfilled { parent: None, emptied: true };
    let left = Cell::Unfilled { parent: None, emptied: false };
    let link = record("00Q", 8);
    let writes = [
        write(1, vec![("WhoId", parent(Some(true), None))]),
        write(2, vec![("WhoId", parent(Some(false), Some(link)))]),
        write(3, vec![("WhoId", parent(None, Some(link)))]),
        write(4, vec![("WhoId", emptied)]),
        write(5, vec![("WhoId", left)]),
    ];
    let rows = read(&Sheet::new(&update(), &writes).unwrap());
    let row = |number: usize| rows[record("003", 1_000 + number).as_str()].clone();
    let lead = record("00Q", 7).to_string();
    assert_eq!(row(1), BTreeMap::from([("Lead:Who.Key__c".to_owned(), lead.clone())]));
    assert_eq!(row(2), BTreeMap::from([("Who.Key__c".to_owned(), lead)]));
    assert_eq!(row(3), BTreeMap::from([("WhoId".to_owned(), link.to_string())]));
    assert_eq!(row(4), BTreeMap::from([("WhoId".to_owned(), "#N/A".to_owned())]));
    assert_eq!(row(5), BTreeMap::new());
}

#[test]
fn results_find_their_writes_by_key_or_by_id_in_either_form() {
    let writes = [write(1, vec![("Key__c", text("A"))]), write(2, vec![("Key__c", text("B"))])];
    let sheet = Sheet::new(&upsert(SaveOptions::default()), &writes).unwrap();
    assert_eq!((sheet.key.as_str(), sheet.place("B"), sheet.place("C")), ("Key__c", Some(1), None));
    assert_eq!(sheet.job.kind, JobKind::Upsert { key: "Key__c".parse().unwrap() });
    let sheet = Sheet::new(&update(), &writes).unwrap();
    let id = record("003", 1_002);
    assert_eq!((sheet.place(id.as_str()), sheet.place(&id.as_str()[..15])), (Some(1), Some(1)));
    let deletes = Call::Delete { object: "Contact".parse().unwrap() };
    let bare: Vec<Write> = writes.into_iter().map(|write| Write { body: Body::Delete, ..write }).collect();
    let sheet = Sheet::new(&deletes, &bare).unwrap();
    assert_eq!(String::from_utf8(sheet.csv).unwrap().lines().next(), Some("Id"));
}

#[test]
fn records_of_one_parent_stand_together() {
    let writes: Vec<Write> = (0..40)
        .map(|number| {
            let parent = Parent { target_object: "Account".parse().unwrap(), record: record("001", number % 3) };
            Write { lock_keys: vec![parent], ..write(number, vec![("Phone", text(&(number % 3).to_string()))]) }
        })
        .collect();
    let sheet = Sheet::new(&update(), &writes).unwrap();
    let lines = String::from_utf8(sheet.csv.clone()).unwrap();
    let phones: Vec<&str> = lines.lines().skip(1).filter_map(|line| line.rsplit(',').next()).collect();
    assert!(phones.is_sorted(), "{phones:?}");
    for (place, write) in writes.iter().enumerate() {
        assert_eq!(sheet.place(write.key.linked().unwrap().as_str()), Some(place));
    }
}

#[test]
fn what_csv_cannot_say_goes_by_collections() {
    let of = |fields| fits(&write(1, fields), &update());
    assert_eq!(of(vec![("A__c", text("plain, \"quoted\" and ünicode"))]), Fit::Yes);
    assert_eq!(of(vec![("A__c", text(" blanks around "))]), Fit::Yes);
    assert_eq!(of(vec![("A__c", text("two\nlines"))]), Fit::WithBreaks);
    for other in ["#N/A", " #n/a", "two\r\nlines", "two\rlines"] {
        assert_eq!(of(vec![("A__c", text(other))]), Fit::No, "{other:?}");
    }
    assert_eq!(of(vec![("A__c", Cell::Value(Value::Compound(BTreeMap::new())))]), Fit::No);
    assert_eq!(of(vec![("A__c", text(&"x".repeat(VALUE_MAX)))]), Fit::Yes);
    assert_eq!(of(vec![("A__c", text(&"ü".repeat(VALUE_MAX)))]), Fit::Yes, "characters, not bytes");
    assert_eq!(of(vec![("A__c", text(&"x".repeat(VALUE_MAX + 1)))]), Fit::No);
    let long = text(&"x".repeat(RECORD_MAX / 4 + 1));
    assert_eq!(of(vec![("A__c", long.clone()), ("B__c", long.clone()), ("C__c", long.clone())]), Fit::Yes);
    assert_eq!(
        of(vec![("A__c", long.clone()), ("B__c", long.clone()), ("C__c", long.clone()), ("D__c", long)]),
        Fit::No
    );
}

#[test]
fn an_upsert_needs_a_key_that_comes_back_as_it_is() {
    let of = |key: Cell| fits(&write(1, vec![("Key__c", key)]), &upsert(SaveOptions::default()));
    assert_eq!((of(text("A-1")), of(number("17"))), (Fit::Yes, Fit::Yes));
    for key in [text(""), text(" A"), text("A\n"), Cell::Value(Value::Null)] {
        assert_eq!(of(key.clone()), Fit::No, "{key:?}");
    }
    assert_eq!(fits(&write(1, vec![]), &upsert(SaveOptions::default())), Fit::No);
}

#[test]
fn options_that_a_job_has_no_word_for_go_by_collections() {
    let rule: RecordId = "01Q000000000001".parse().unwrap();
    let of = |object: &str, assignment_rules, duplicates| {
        let options = SaveOptions { assignment_rules, duplicates };
        let call = Call::Update { object: object.parse().unwrap(), options };
        let one = write(1, vec![("A__c", text("x"))]);
        (fits(&one, &call), Sheet::new(&call, &[one]).unwrap().job.assignment_rule)
    };
    assert_eq!(of("Case", AssignmentRules::Off, Duplicates::Fail), (Fit::Yes, None));
    assert_eq!(of("Case", AssignmentRules::Rule(rule), Duplicates::Fail), (Fit::Yes, Some(rule)));
    assert_eq!(of("Account", AssignmentRules::Rule(rule), Duplicates::Fail).0, Fit::No);
    assert_eq!(of("Case", AssignmentRules::Active, Duplicates::Fail).0, Fit::No);
    assert_eq!(of("Case", AssignmentRules::Off, Duplicates::SaveAlerts).0, Fit::No);
}

#[test]
fn a_header_that_is_too_long_makes_no_job() {
    let writes: Vec<Write> =
        (0..1_000).map(|n| write(n, vec![(&format!("A_field_with_a_long_name_{n:04}__c"), text("x"))])).collect();
    assert_eq!(Sheet::new(&update(), &writes), None);
    assert!(Sheet::new(&update(), &writes[..800]).is_some());
}

proptest! {
    #[test]
    fn any_text_comes_back_as_it_was(cells in proptest::collection::vec(
        "[\\PC\",\\r\\n\\t ;#äé漢😀]{0,12}", 1..20)
    ) {
        let writes: Vec<Write> =
            cells.iter().enumerate().map(|(n, cell)| write(n, vec![("A__c", text(cell))])).collect();
        let sheet = Sheet::new(&update(), &writes).unwrap();
        let rows = read(&sheet);
        prop_assert_eq!(rows.len(), cells.len());
        for (n, cell) in cells.iter().enumerate() {
            let said = rows[record("003", 1_000 + n).as_str()].get("A__c");
            let expected = if cell.is_empty() { "#N/A" } else { cell.as_str() };
            prop_assert_eq!(said.map(String::as_str), Some(expected));
        }
    }
}
