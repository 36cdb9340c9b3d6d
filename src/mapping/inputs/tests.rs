use std::time::Duration;

use super::*;
use crate::config::testing::between_two_orgs;
use crate::config::{Delivery, Does, Fill, From, OnRead, Start};
use crate::event::Field;
use crate::mapping::tests::part;

fn action(channel: &str, when: Option<&str>, fields: &[(&str, &str)]) -> ActionConfig {
    ActionConfig {
        name: "tell".parse().unwrap(),
        from: From {
            org: "a".parse().unwrap(),
            channel: channel.parse().unwrap(),
            object: "Contact".parse().unwrap(),
            start: Start::Tip,
            poll: None,
        },
        when: when.map(|when| Expression::compile(when).unwrap()),
        fire_on: None,
        fields: fields
            .iter()
            .map(|(name, path)| (name.parse().unwrap(), Fill::Source(path.parse().unwrap()).into()))
            .collect(),
        does: Does::Flow { org: "b".parse().unwrap(), name: "Tell".parse().unwrap() },
        delivery: Delivery::AtMostOnce,
        order_by: OrderBy::Record,
        on_read: OnRead::Skip,
        idempotency: None,
        answer: None,
        timeout: Duration::from_secs(1),
    }
}

fn compiled(differently: impl Fn(&mut ActionConfig), when: Option<&str>, fields: &[(&str, &str)]) -> Inputs {
    let mut action = action("/data/ContactChangeEvent", when, fields);
    differently(&mut action);
    let config = between_two_orgs(
        "pipelines:\n  - name: p\n    from: { org: a, channel: /data/LeadChangeEvent, object: Lead }\n    \
         to: { org: b, object: Lead, key: Key__c }\n    fields: { Key__c: Id }\n",
    );
    Inputs::new(&action, &config)
}

fn inputs(when: Option<&str>, fields: &[(&str, &str)]) -> Inputs {
    compiled(|_| {}, when, fields)
}

fn new(text: &str) -> Field {
    Field::New(Value::text(text))
}

fn record(fields: &[(&str, &str)]) -> Record {
    let values = fields.iter().map(|(path, text)| (path.parse().unwrap(), Value::text(*text)));
    Record { id: "003000000000001AAA".parse().unwrap(), values: values.collect() }
}

/// The inputs that it hands over, as `name=text`; or what came instead.
fn shown(gives: Gives) -> String {
    match gives {
        Gives::Fires(fired) => {
            let inputs = fired.inputs.iter().map(|(name, value)| format!("{name}={}", text(value)));
            inputs.collect::<Vec<_>>().join(" ")
        }
        Gives::Skipped(skip) => skip.code().to_owned(),
        Gives::Needs => "needs".to_owned(),
        Gives::Failed(failure) => failure.code.to_owned(),
    }
}

#[test]
fn a_new_record_triggers_where_the_condition_holds() {
    let inputs = inputs(Some("Title == \"Chief\""), &[("id", "Id"), ("title", "Title"), ("mail", "Email")]);
    let create = |title| shown(inputs.of_part(&part(ChangeKind::Create, &[("Title", new(title))]), None));
    assert_eq!(create("Chief"), "id=003000000000001AAA mail= title=Chief");
    assert_eq!(create("Clerk"), "FILTERED");
}

#[test]
fn an_update_triggers_only_where_something_changed_that_the_condition_reads() {
    let inputs = inputs(Some("Title == \"Chief\""), &[("title", "Title")]);
    let update = |field: (&str, Field)| shown(inputs.of_part(&part(ChangeKind::Update, &[field]), None));
    assert_eq!(update(("Title", new("Chief"))), "title=Chief");
    assert_eq!(update(("Email", new("a@b.c"))), "NOTHING_MAPPED");
    assert_eq!(update(("Title", Field::Same(Value::text("Chief")))), "NOTHING_MAPPED");
}

#[test]
fn without_a_condition_an_update_triggers_where_something_changed_that_is_handed_over() {
    let of_title = inputs(None, &[("id", "Id"), ("title", "Title")]);
    let nothing = inputs(Some("change.client != \"X\""), &[("id", "Id")]);
    let update = part(ChangeKind::Update, &[("Email", new("a@b.c"))]);
    assert_eq!(shown(of_title.of_part(&update, None)), "NOTHING_MAPPED");
    assert_eq!(shown(nothing.of_part(&update, None)), "id=003000000000001AAA");
    assert_eq!(
        shown(of_title.of_part(&part(ChangeKind::Update, &[("Title", new("x"))]), None)),
        "id=003000000000001AAA title=x"
    );
}

#[test]
fn which_updates_count_can_be_said() {
    let update = part(ChangeKind::Update, &[("Email", new("a@b.c")), ("Title", Field::Same(Value::text("Chief")))]);
    for (fire_on, comes) in
        [(FireOn::Condition, "NOTHING_MAPPED"), (FireOn::Fields, "mail=a@b.c"), (FireOn::Any, "mail=a@b.c")]
    {
        let inputs =
            compiled(|action| action.fire_on = Some(fire_on), Some("Title == \"Chief\""), &[("mail", "Email")]);
        assert_eq!(shown(inputs.of_part(&update, None)), comes, "{fire_on:?}");
    }
}

#[test]
fn what_a_change_does_not_say_is_read_and_what_it_says_is_taken_from_it() {
    let inputs = inputs(Some("Title == \"Chief\""), &[("title", "Title"), ("mail", "Email")]);
    let update = part(ChangeKind::Update, &[("Title", new("Chief"))]);
    assert_eq!(inputs.of_part(&update, None), Gives::Needs);
    let later = record(&[("Title", "Retired"), ("Email", "a@b.c")]);
    assert_eq!(shown(inputs.of_part(&update, Some(&later))), "mail=a@b.c title=Chief");
    assert_eq!(inputs.reads().iter().map(FieldPath::as_str).collect::<Vec<_>>(), ["Email", "Title"]);
    let text_changed = part(ChangeKind::Update, &[("Title", Field::Diff)]);
    assert_eq!(shown(inputs.of_part(&text_changed, Some(&later))), "FILTERED");
}

#[test]
fn a_gap_event_is_read_and_told_to_hide_what_changed() {
    let inputs = inputs(Some("Title == \"Chief\""), &[("title", "Title")]);
    let gap = part(ChangeKind::GapUpdate, &[]);
    assert_eq!(inputs.of_part(&gap, None), Gives::Needs);
    assert!(inputs.is_hidden(&gap));
    assert!(!inputs.is_hidden(&part(ChangeKind::GapCreate, &[])));
    assert_eq!(shown(inputs.of_part(&gap, Some(&record(&[("Title", "Chief")])))), "title=Chief");
    let any = compiled(|action| action.fire_on = Some(FireOn::Any), None, &[]);
    assert!(!any.is_hidden(&gap));
}

#[test]
fn of_a_deleted_record_what_its_event_does_not_say_is_empty() {
    let inputs = inputs(None, &[("id", "Id"), ("title", "Title")]);
    for kind in [ChangeKind::Delete, ChangeKind::GapDelete] {
        assert_eq!(shown(inputs.of_part(&part(kind, &[]), None)), "id=003000000000001AAA title=");
    }
    assert_eq!(shown(inputs.of_part(&part(ChangeKind::GapOverflow, &[]), None)), "NO_RECORD");
}

#[test]
fn a_platform_event_hands_over_its_fields_and_is_ordered_by_one_of_them() {
    let mut action = action("/event/Order_Shipped__e", Some("Shipped__c == true"), &[("order", "Number__c")]);
    action.order_by = OrderBy::Field("Number__c".parse().unwrap());
    action.answer = Some(AnswerTo::Record {
        object: "Order__c".parse().unwrap(),
        id: "Order_Id__c".parse().unwrap(),
        fields: Vec::new(),
    });
    let inputs = Inputs::new(
        &action,
        &between_two_orgs(
            "pipelines:\n  - name: p\n    from: { org: a, channel: /data/LeadChangeEvent, object: Lead }\n    \
         to: { org: b, object: Lead, key: Key__c }\n    fields: { Key__c: Id }\n",
        ),
    );
    let event = |shipped| {
        let fields = [
            ("Number__c".to_owned(), Value::text("A-17")),
            ("Shipped__c".to_owned(), Value::Bool(shipped)),
            ("Order_Id__c".to_owned(), Value::text("801000000000001AAA")),
        ];
        inputs.of_event(&fields.into())
    };
    let Gives::Fires(fired) = event(true) else { panic!() };
    assert_eq!((fired.order.as_str(), fired.answers.as_deref()), ("A-17", Some("801000000000001AAA")));
    assert_eq!(shown(Gives::Fires(fired)), "order=A-17");
    assert_eq!(shown(event(false)), "FILTERED");
}

#[test]
fn changes_of_a_record_are_ordered_by_it_unless_told_otherwise() {
    let order = |order_by: OrderBy| {
        let inputs = compiled(|action| action.order_by = order_by.clone(), None, &[]);
        match inputs.of_part(&part(ChangeKind::Create, &[("Title", new("x"))]), None) {
            Gives::Fires(fired) => fired.order,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(order(OrderBy::Record), "003000000000001AAA");
    assert_eq!(order(OrderBy::Channel), "");
    assert_eq!(order(OrderBy::Field("Title".parse().unwrap())), "x");
}

#[test]
fn an_expression_without_a_result_fails_its_event_alone() {
    let inputs = inputs(Some("Title > 3"), &[]);
    assert_eq!(shown(inputs.of_part(&part(ChangeKind::Create, &[("Title", new("x"))]), None)), EXPRESSION_FAILED);
}
