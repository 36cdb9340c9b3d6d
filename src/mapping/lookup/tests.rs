//! What each kind of lookup asks, one question after the other, and what it makes of the answers.

use std::collections::HashMap;

use super::*;
use crate::config::testing::between_two_orgs;
use crate::event::{Record, Seq};
use crate::mapping::{Known, LinkState, Mapped, Mapping, Needs};
use crate::publish::{Body, Cell, Cover, Source};
use crate::store::PipelineId;

const USER: &str = "005000000000001AAA";
const QUEUE: &str = "00G000000000001EAA";
const THERE: &str = "005T00000000001IAA";

/// A pipeline that fills one field by this rule.
fn mapping(rule: &str) -> Mapping {
    let config = between_two_orgs(&format!(
        "pipelines:\n  - name: cases\n    from: {{ org: a, channel: /data/CaseChangeEvent, object: Case }}\n    \
         to: {{ org: b, object: Case, key: Key__c }}\n    fields:\n      Key__c: Id\n      X__c: {rule}\n"
    ));
    Mapping::new(&config.pipelines[0], &config)
}

/// A table of what the orgs hold: org, object, field, value, and what the row holds that is wanted.
type Orgs<'o> = &'o [(&'o str, &'o str, &'o str, &'o str, &'o str)];

/// Answers questions until there are no more, and maps: what was asked, and what X__c became.
fn looked(rule: &str, values: &[(&str, Value)], orgs: Orgs<'_>) -> (Vec<String>, Result<Value, String>) {
    let mapping = mapping(rule);
    let values = values.iter().map(|(path, value)| (path.parse().unwrap(), value.clone())).collect();
    let record = Record { id: "500000000000001AAA".parse().unwrap(), values };
    let (mut asked, mut replies) = (Vec::new(), Replies::new());
    loop {
        let asks = mapping.asks(&record, &replies);
        if asks.is_empty() {
            break;
        }
        for ask in asks {
            asked.push(format!("{:?}: {}", ask, ask.value));
            let matching = orgs.iter().filter(|(org, object, by, value, _)| {
                ask.of.org.as_str() == *org
                    && ask.of.object.as_str() == *object
                    && ask.of.by.as_str() == *by
                    && ask.value == *value
            });
            let found: BTreeSet<&str> = matching.map(|(.., want)| *want).collect();
            let reply = match found.len() {
                0 => Reply::Nothing,
                1 => Reply::One((*found.first().unwrap()).to_owned()),
                _ => Reply::Several,
            };
            replies.insert(ask, reply);
        }
    }
    let source = Source { pipeline: PipelineId(1), record: record.id };
    let cover = Cover { source, from: Seq(1), to: Seq(1), clears_suspect: false };
    let known = Known { link: LinkState::None, parents: &HashMap::new(), replies: &replies };
    let gave = match mapping.apply_read(&record, None, &known, cover) {
        Mapped::Write(write) => match &write.body {
            Body::Whole(fields) => match fields.get(&"X__c".parse::<FieldName>().unwrap()) {
                Some(Cell::Value(value)) => Ok(value.clone()),
                Some(Cell::Unfilled { emptied: true, .. }) => Err("empty for now".to_owned()),
                Some(Cell::Unfilled { emptied: false, .. }) => Err("left for now".to_owned()),
                Some(Cell::Parent(_)) => Err("a parent".to_owned()),
                None => Err("left".to_owned()),
            },
            other => panic!("{other:?}"),
        },
        Mapped::Failed(failure) => Err(format!("{}: {}", failure.code, failure.reason)),
        Mapped::Waits(failure) => Err(format!("waits: {}: {}", failure.code, failure.reason)),
        other => panic!("{other:?}"),
    };
    (asked, gave)
}

fn text(text: &str) -> Value {
    Value::text(text)
}

#[test]
fn a_record_is_found_by_the_value_of_a_field_or_an_expression() {
    let there = [("b", "Contact", "Email", "ada@x.example", "003T00000000001IAA")];
    for rule in ["{ find: Contact, by: Email, from: Mail__c }", "{ find: Contact, by: Email, cel: lower(Mail__c) }"] {
        let (asked, gave) = looked(rule, &[("Mail__c", text("ada@x.example"))], &there);
        assert_eq!(asked, ["Id of Contact by Email in b: ada@x.example"]);
        assert_eq!(gave, Ok(text("003T00000000001IAA")));
    }
    for empty in [Value::Null, text(""), text("  ")] {
        let (asked, gave) = looked("{ find: Contact, by: Email, from: Mail__c }", &[("Mail__c", empty)], &there);
        assert_eq!((asked.len(), gave), (0, Ok(Value::Null)), "there is nothing to look for");
    }
    let (asked, _) =
        looked("{ find: Contact, by: No__c, from: No__c }", &[("No__c", Value::Number("4711".parse().unwrap()))], &[]);
    assert_eq!(asked, ["Id of Contact by No__c in b: 4711"]);
}

#[test]
fn what_is_missing_is_waited_for_filled_later_skipped_or_fails() {
    let value = [("Mail__c", text("nobody@x.example"))];
    let gave = |if_missing: &str| {
        looked(&format!("{{ find: Contact, by: Email, from: Mail__c{if_missing} }}"), &value, &[]).1.unwrap_err()
    };
    let missing = "LOOKUP_MISSING: b has no Contact with this Email";
    assert_eq!(gave(", if_missing: wait"), format!("waits: {missing}"));
    assert_eq!(gave(", if_missing: fill_later"), "empty for now");
    assert_eq!(gave(", if_missing: skip"), "left");
    assert_eq!(gave(", if_missing: fail"), missing);
    assert_eq!(gave(""), format!("waits: {missing}"), "nobody has described the field");
}

#[test]
fn of_several_none_is_taken() {
    let there = [("b", "Contact", "Email", "a@x.example", "1"), ("b", "Contact", "Email", "a@x.example", "2")];
    let value = [("Mail__c", text("a@x.example"))];
    let (_, gave) = looked("{ find: Contact, by: Email, from: Mail__c, if_missing: skip }", &value, &there);
    assert_eq!(gave.unwrap_err(), "LOOKUP_AMBIGUOUS: b has more than one Contact with this Email");
}

#[test]
fn a_record_type_is_found_by_its_developer_name() {
    let there = [("b", "RecordType", "DeveloperName", "Partner", "012T00000000001IAA")];
    let (asked, gave) = looked("{ record_type: Partner }", &[], &there);
    assert_eq!(asked, ["Id of RecordType by DeveloperName in b: Partner"]);
    assert_eq!(gave, Ok(text("012T00000000001IAA")));
    let (_, gave) = looked("{ record_type: Nobody }", &[], &there);
    assert_eq!(gave.unwrap_err(), "LOOKUP_MISSING: b has no active record type Nobody of this object");
}

#[test]
fn a_record_type_of_the_source_has_the_same_name_another_or_the_default() {
    let orgs = [
        ("a", "RecordType", "Id", "012000000000001AAA", "Partner"),
        ("a", "RecordType", "Id", "012000000000002AAA", "Customer"),
        ("a", "RecordType", "Id", "012000000000003AAA", "Odd"),
        ("b", "RecordType", "DeveloperName", "Partner", "012T00000000001IAA"),
        ("b", "RecordType", "DeveloperName", "Client", "012T00000000002IAA"),
    ];
    let rule = "{ from: RecordTypeId, as: record_type, table: { Customer: Client }, default: Partner }";
    let gave = |id: &str| looked(rule, &[("RecordTypeId", text(id))], &orgs).1;
    assert_eq!(gave("012000000000001AAA"), Ok(text("012T00000000001IAA")));
    assert_eq!(gave("012000000000002AAA"), Ok(text("012T00000000002IAA")));
    assert_eq!(gave("012000000000003AAA"), Ok(text("012T00000000001IAA")), "the target has no such");
    assert_eq!(gave(MASTER), Ok(text("012T00000000001IAA")), "it has none");
    let bare = |id: Value| looked("{ from: RecordTypeId, as: record_type }", &[("RecordTypeId", id)], &orgs).1;
    assert_eq!(
        bare(text("012000000000003AAA")).unwrap_err(),
        "LOOKUP_MISSING: b has no active record type Odd of this object"
    );
    assert_eq!(
        bare(text("012000000000009AAA")).unwrap_err(),
        "LOOKUP_MISSING: a does not show the record type in RecordTypeId"
    );
    assert_eq!(bare(text(MASTER)), Err("left".to_owned()), "a record type can not be emptied");
    assert_eq!(bare(Value::Null), Err("left".to_owned()));
}

#[test]
fn an_owner_is_the_same_user_or_the_one_that_the_table_names() {
    let orgs = [("a", "User", "Id", USER, "4711"), ("b", "User", "FederationIdentifier", "4711", THERE)];
    let owner = [("OwnerId", text(USER))];
    let (asked, gave) = looked("{ from: OwnerId, as: owner }", &owner, &orgs);
    let questions = [
        format!("FederationIdentifier of User by Id in a: {USER}"),
        "Id of User by FederationIdentifier in b: 4711".to_owned(),
    ];
    assert_eq!((asked, gave), (questions.to_vec(), Ok(text(THERE))));
    // A table is by user name, whatever else they are matched by.
    let orgs = [("a", "User", "Id", USER, "Ada@emea.example"), ("b", "User", "Username", "ada@hq.example", THERE)];
    let (_, gave) = looked(
        "{ from: OwnerId, as: owner, match: email, table: { ada@emea.example: ada@hq.example } }",
        &owner,
        &orgs,
    );
    assert_eq!(gave, Ok(text(THERE)));
}

#[test]
fn a_queue_is_found_by_its_developer_name_or_by_the_table() {
    let orgs = [
        ("a", "Group", "Id", QUEUE, "Tier_1"),
        ("b", "Group", "DeveloperName", "Tier_1", "00GT00000000001MAA"),
        ("b", "Group", "DeveloperName", "Support", "00GT00000000002MAA"),
    ];
    let owner = [("OwnerId", text(QUEUE))];
    let gave = |rule: &str| looked(rule, &owner, &orgs).1;
    assert_eq!(gave("{ from: OwnerId, as: owner }"), Ok(text("00GT00000000001MAA")));
    assert_eq!(gave("{ from: OwnerId, as: owner, table: { Tier_1: Support } }"), Ok(text("00GT00000000002MAA")));
    assert_eq!(gave("{ owner: Support }"), Ok(text("00GT00000000002MAA")));
}

#[test]
fn the_fallback_stands_in_for_owners_that_are_not_found_not_active_or_not_one() {
    let fallback = ("b", "User", "Username", "bot@hq.example", THERE);
    let here = ("a", "User", "Id", USER, "4711");
    let one = ("b", "User", "FederationIdentifier", "4711", "005T00000000002IAA");
    let other = ("b", "User", "FederationIdentifier", "4711", "005T00000000003IAA");
    let rule = "{ from: OwnerId, as: owner, fallback: bot@hq.example }";
    let owner = [("OwnerId", text(USER))];
    for orgs in [vec![fallback], vec![fallback, here], vec![fallback, here, one, other]] {
        assert_eq!(looked(rule, &owner, &orgs).1, Ok(text(THERE)), "{orgs:?}");
    }
    let bare = |orgs: Orgs<'_>| looked("{ from: OwnerId, as: owner }", &owner, orgs).1.unwrap_err();
    assert_eq!(bare(&[]), "LOOKUP_MISSING: a shows no FederationIdentifier of the user in OwnerId");
    assert_eq!(bare(&[here]), "LOOKUP_MISSING: b has no active user with the FederationIdentifier of that in OwnerId");
    assert_eq!(
        bare(&[here, one, other]),
        "LOOKUP_AMBIGUOUS: b has more than one active user with the FederationIdentifier of that in OwnerId"
    );
    assert_eq!(
        looked(rule, &owner, &[here]).1.unwrap_err(),
        "LOOKUP_MISSING: b has no active user bot@hq.example",
        "the fallback itself"
    );
    let later = looked("{ from: OwnerId, as: owner, if_missing: fill_later }", &owner, &[here]).1;
    assert_eq!(later.unwrap_err(), "left for now", "a record always has an owner");
}

#[test]
fn a_change_that_does_not_touch_a_lookup_asks_nothing() {
    use crate::event::{ChangeKind, Field};
    let mapping = mapping("{ find: Contact, by: Email, from: Mail__c }");
    let apply = |field: &str| {
        let part = crate::mapping::tests::part(ChangeKind::Update, &[(field, Field::New(text("x")))]);
        let known = Known {
            link: LinkState::Linked("500T00000000001IAA".parse().unwrap()),
            parents: &HashMap::new(),
            replies: &Replies::new(),
        };
        let source = Source { pipeline: PipelineId(1), record: part.record };
        mapping.apply(&part, &known, Cover { source, from: Seq(1), to: Seq(1), clears_suspect: false })
    };
    assert_eq!(apply("Mail__c"), Mapped::Needs(Needs::Lookups));
    assert!(matches!(apply("Other__c"), Mapped::Skipped(_)));
}

#[test]
fn questions_and_answers_are_printed_without_values() {
    let asked = |value: &str| Ask {
        of: Asked {
            org: "b".parse().unwrap(),
            object: "Contact".parse().unwrap(),
            by: "Email".parse().unwrap(),
            want: "Id".parse().unwrap(),
            only: Only::All,
        },
        value: value.to_owned(),
    };
    let shown = format!("{:?} {:?}", asked("secret@x.example"), Reply::One("secret".to_owned()));
    assert!(!shown.contains("secret"), "{shown}");
}
