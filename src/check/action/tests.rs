use serde_json::{Value as Json, json};

use super::*;
use crate::check::testing;
use crate::config::testing::between_two_orgs;
use crate::org::setup::Reason;
use crate::org::{Capture, CapturedChannel, Code, Member};

const OF_EVENTS: &str = "pipelines:
  - name: tell
    from: { org: a, channel: /event/Left__e }
    when: Left__c == true
    action:
      org: b
      flow: Ship
      idempotency_key: key
      delivery: at_least_once
      order_by: Number__c
      answer: { object: Order__c, record: Order__c, fields: { State__c: result } }
    fields:
      orderId: Number__c
      amount: { cel: 'default(Count__c, 0)' }
";

const OF_CHANGES: &str = "pipelines:
  - name: tell
    from: { org: a, channel: /data/Order__ChangeEvent, object: Order__c }
    when: State__c == \"x\"
    action:
      org: b
      event: Told__e
      idempotency_key: Key__c
      delivery: at_least_once
      answer: { event: Left__e, fields: { Number__c: id } }
    fields:
      Number__c: Name
      Count__c: { value: 4 }
";

fn field(name: &str, kind: &str, more: &Json) -> Json {
    let mut field =
        json!({"name": name, "label": name, "type": kind, "createable": true, "updateable": true, "nillable": true});
    field.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    field
}

fn event(name: &str) -> Json {
    let given = json!({"createable": false, "updateable": false});
    json!({"name": name, "createable": true, "fields": [
        field("Number__c", "string", &json!({"length": 40, "nillable": false, "updateable": false})),
        field("Key__c", "string", &json!({"length": 36, "updateable": false})),
        field("Short__c", "string", &json!({"length": 20, "updateable": false})),
        field("Left__c", "boolean", &json!({"updateable": false})),
        field("Count__c", "double", &json!({"precision": 10, "updateable": false})),
        field("Order__c", "string", &json!({"length": 18, "updateable": false})),
        field("EventUuid", "string", &given),
    ]})
}

fn order() -> Json {
    json!({"name": "Order__c", "createable": true, "updateable": true, "fields": [
        field("Name", "string", &json!({"length": 40})),
        field("State__c", "string", &json!({"length": 40})),
        field("Sum__c", "double", &json!({"calculated": true, "calculatedFormula": "1", "createable": false, "updateable": false})),
        field("AccountId", "reference", &json!({"referenceTo": ["Account"], "relationshipName": "Account"})),
    ]})
}

/// Both orgs; the flow and the class take the same.
fn known(inputs: &[Parameter]) -> Known {
    let org = || {
        let mut org = testing::org_with(&[event("Left__e"), event("Told__e"), order()]);
        let names = ["Left__e", "Told__e", "Order__c", "Account"];
        let all = json!({"sobjects": names.map(|name| json!({"name": name}))});
        org.all = std::sync::Arc::new(crate::org::describe::listed(&all));
        let member = Member { object: "Order__c".parse().unwrap(), filter: None, enriched: ["State__c".into()].into() };
        let channel = CapturedChannel { channel: "/data/ChangeEvents".parse().unwrap(), members: vec![member] };
        org.capture = Some(Asked::Known(Capture { channels: vec![channel] }));
        let signature = Signature { inputs: Some(inputs.to_vec()), outputs: Some(vec![parameter("result")]) };
        for kind in [ActionKind::Flow, ActionKind::Apex] {
            org.called.insert((kind, "Ship".parse().unwrap()), Asked::Known(Some(signature.clone())));
            org.called.insert((kind, "Gone".parse().unwrap()), Asked::Known(None));
            org.called.insert((kind, "Odd".parse().unwrap()), Asked::Known(Some(Signature::default())));
            let reason = Reason { code: Code::InsufficientAccess, needs: "Run Flows" };
            org.called.insert((kind, "Hidden".parse().unwrap()), Asked::Unknown(reason));
        }
        org
    };
    Known { orgs: [("a".parse().unwrap(), org()), ("b".parse().unwrap(), org())].into() }
}

fn parameter(name: &str) -> Parameter {
    Parameter { name: name.to_owned(), required: false, kind: Some("STRING".to_owned()), length: None }
}

fn inputs() -> Vec<Parameter> {
    let order = Parameter { required: true, ..parameter("orderId") };
    let amount = Parameter { kind: Some("NUMBER".to_owned()), ..parameter("amount") };
    vec![order, amount, parameter("key")]
}

fn said_of(config: &str, known: &Known) -> Vec<String> {
    let config = between_two_orgs(config);
    testing::shown(judge(&config.actions[0], known))
}

/// What is said when pieces are written otherwise.
fn said(config: &str, pieces: &[(&str, &str)]) -> Vec<String> {
    let mut text = config.to_owned();
    for (piece, other) in pieces {
        assert!(text.contains(piece), "{piece}");
        text = text.replacen(piece, other, 1);
    }
    said_of(&text, &known(&inputs()))
}

#[test]
fn of_actions_that_fit_nothing_is_said() {
    for config in [OF_EVENTS, OF_CHANGES, &OF_EVENTS.replace("flow: Ship", "apex: Ship")] {
        assert_eq!(said(config, &[]), [""; 0], "{config}");
    }
}

#[test]
fn what_triggers_an_action_and_is_read_of_it_must_be_there() {
    for (config, piece, other, expected) in [
        (OF_EVENTS, "Left__e }", "Lefd__e }", "error from.channel: the org shows no event Lefd__e"),
        (OF_EVENTS, "when: Left__c", "when: Lost__c", "error when: Left__e shows no field Lost__c"),
        (OF_EVENTS, "orderId: Number__c", "orderId: Numer__c", "error fields.orderId: Left__e shows no field Numer__c"),
        (OF_EVENTS, "default(Count__c", "default(Cont__c", "error fields.amount: Left__e shows no field Cont__c"),
        (OF_EVENTS, "order_by: Number__c", "order_by: No__c", "error action.order_by: Left__e shows no field No__c"),
        (
            OF_EVENTS,
            "record: Order__c",
            "record: Oder__c",
            "error action.answer.record: Left__e shows no field Oder__c",
        ),
        (
            OF_EVENTS,
            "orderId: Number__c",
            "orderId: EventUuid",
            "warning fields.orderId: EventUuid is no field of what an event says: here it is always empty",
        ),
        (OF_CHANGES, "Number__c: Name", "Number__c: Nam", "error fields.Number__c: Order__c shows no field Nam"),
    ] {
        let said = said(config, &[(piece, other)]);
        assert_eq!(said, [expected], "{other}");
    }
}

#[test]
fn changes_must_come_to_the_channel() {
    let mut known = known(&inputs());
    known.orgs.get_mut(&"a".parse().unwrap()).unwrap().capture = Some(Asked::Known(Capture { channels: Vec::new() }));
    let expected = "error from.channel: changes of Order__c do not come to /data/Order__ChangeEvent";
    assert_eq!(said_of(OF_CHANGES, &known), [expected]);
    assert_eq!(said_of(OF_EVENTS, &known), [""; 0]);
}

#[test]
fn a_formula_is_warned_of_where_a_change_of_it_should_trigger() {
    let of = |when: &str, fire_on: &str| {
        let with = format!("    {fire_on}\n    action:");
        said(
            OF_CHANGES,
            &[
                ("    when: State__c == \"x\"\n", when),
                ("    action:", &with),
                ("Count__c: { value: 4 }", "Count__c: Sum__c"),
            ],
        )
    };
    let when = "    when: State__c == \"x\"\n";
    let warned = ["warning fields.Count__c: Sum__c is a formula: when its result changes, no event tells of it"];
    assert_eq!(of("", ""), warned);
    assert_eq!(of(when, "fire_on: fields"), warned);
    assert_eq!(of(when, ""), [""; 0]);
    assert_eq!(of("", "fire_on: any"), [""; 0]);
}

#[test]
fn a_flow_or_a_class_that_is_not_shown_is_wrong_and_one_of_which_the_org_says_nothing_is_not() {
    assert_eq!(said(OF_EVENTS, &[("flow: Ship", "flow: Gone")]), ["error action.flow: the org shows no flow Gone"]);
    assert_eq!(
        said(OF_EVENTS, &[("flow: Ship", "apex: Gone")]),
        ["error action.apex: the org shows no Apex class with an invocable method Gone"]
    );
    assert_eq!(said(OF_EVENTS, &[("flow: Ship", "flow: Odd")]), [""; 0]);
    let said = said(OF_EVENTS, &[("flow: Ship", "flow: Hidden")]);
    assert!(said.len() == 1 && said[0].starts_with("note action.flow: whether Hidden takes"), "{said:?}");
}

#[test]
fn inputs_are_those_of_the_flow_and_none_that_it_needs_is_missing() {
    for (piece, other, expected) in [
        ("amount: {", "amont: {", &["error fields.amont: Ship has no input amont"][..]),
        ("idempotency_key: key", "idempotency_key: kee", &["error action.idempotency_key: Ship has no input kee"]),
        ("amount: {", "Amount: {", &["warning fields.Amount: the org writes the input Amount with other capitals"]),
        ("      orderId: Number__c\n", "", &["error fields: Ship needs orderId, and nothing fills it"]),
        (
            "fields: { State__c: result }",
            "fields: { State__c: resalt }",
            &["warning action.answer.fields.State__c: Ship has no output resalt: State__c would be emptied"],
        ),
        ("fields: { State__c: result }", "fields: { State__c: Flow__InterviewStatus }", &[]),
    ] {
        assert_eq!(said(OF_EVENTS, &[(piece, other)]), expected, "{other}");
    }
}

#[test]
fn constants_are_what_an_input_takes() {
    const NUMBER: &str = "the input takes a number";
    const REFUSED: &str = "and the org may refuse this";
    let of = |kind: Option<&str>, rule: &str| {
        let mut inputs = inputs();
        inputs[1].kind = kind.map(str::to_owned);
        let config = OF_EVENTS.replace("{ cel: 'default(Count__c, 0)' }", rule);
        said_of(&config, &known(&inputs))
    };
    for (kind, rule, severity, expected) in [
        ("NUMBER", "{ value: 4 }", "", String::new()),
        ("NUMBER", "{ value: null }", "", String::new()),
        ("NUMBER", "{ value: many }", "error", NUMBER.to_owned()),
        ("DOUBLE", "{ value: true }", "error", NUMBER.to_owned()),
        ("NUMBER", "{ value: \"4\" }", "warning", format!("{NUMBER}, {REFUSED}")),
        ("NUMBER", "{ from: Count__c, on_null: { value: none } }", "error", NUMBER.to_owned()),
        ("NUMBER", "{ from: Number__c, table: { A: 1, B: two }, default: 3 }", "error", NUMBER.to_owned()),
        ("NUMBER", "{ from: Number__c, table: { A: 1 }, default: three }", "error", NUMBER.to_owned()),
        ("BOOLEAN", "{ value: false }", "", String::new()),
        ("BOOLEAN", "{ value: 1 }", "error", "the input takes true or false".to_owned()),
        ("DATE", "{ value: 2026-12-31 }", "", String::new()),
        ("DATE", "{ value: tomorrow }", "error", "the input takes a date".to_owned()),
        ("DATETIME", "{ value: 2026-12-31 }", "warning", format!("the input takes a date and time, {REFUSED}")),
        ("STRING", "{ value: many }", "", String::new()),
        ("STRING", "{ value: 4 }", "warning", format!("the input takes text, {REFUSED}")),
        // Nothing is known of these.
        ("SOBJECT", "{ value: 4 }", "", String::new()),
        ("PICKLIST", "{ value: true }", "", String::new()),
    ] {
        let expected: Vec<String> =
            (!severity.is_empty()).then(|| format!("{severity} fields.amount: {expected}")).into_iter().collect();
        assert_eq!(of(Some(kind), rule), expected, "{kind} {rule}");
    }
    assert_eq!(of(None, "{ value: many }"), [""; 0]);
}

#[test]
fn the_key_s_input_takes_a_text_of_its_length() {
    for (kind, length, expected) in [
        (Some("STRING"), None, ""),
        (Some("STRING"), Some(36), ""),
        (Some("STRING"), Some(35), "is too short for an idempotency key of 36 characters"),
        (Some("BOOLEAN"), None, "holds no text, and the key is one"),
        // Nothing is known of these.
        (Some("SOBJECT"), Some(10), ""),
        (None, Some(10), ""),
    ] {
        let mut inputs = inputs();
        inputs[2].kind = kind.map(str::to_owned);
        inputs[2].length = length;
        let said = said_of(OF_EVENTS, &known(&inputs));
        if expected.is_empty() {
            assert_eq!(said, [""; 0], "{kind:?} {length:?}");
        } else {
            assert_eq!(said, [format!("error action.idempotency_key: key {expected}")]);
        }
    }
}

#[test]
fn an_event_takes_its_own_fields_and_gets_those_that_it_needs() {
    for (piece, other, expected) in [
        ("event: Told__e", "event: Tald__e", "error action.event: the org shows no event Tald__e"),
        ("Count__c: {", "Cont__c: {", "error fields.Cont__c: Told__e has no field Cont__c"),
        (
            "Count__c: { value: 4 }",
            "EventUuid: Name",
            "error fields.EventUuid: EventUuid cannot be written when an event is published",
        ),
        ("{ value: 4 }", "{ value: many }", "error fields.Count__c: the field takes a number"),
        ("      Number__c: Name\n", "", "error fields: Told__e needs Number__c (Number__c), and nothing fills it"),
        (
            "idempotency_key: Key__c",
            "idempotency_key: Short__c",
            "error action.idempotency_key: Short__c is too short for an idempotency key of 36 characters",
        ),
        (
            "idempotency_key: Key__c",
            "idempotency_key: Left__c",
            "error action.idempotency_key: Left__c holds no text, and the key is one",
        ),
        (
            "fields: { Number__c: id }",
            "fields: { Key__c: id }",
            "error action.answer.fields: Left__e needs Number__c (Number__c), and nothing fills it",
        ),
        (
            "fields: { Number__c: id }",
            "fields: { Number__c: id, Nothing__c: id }",
            "error action.answer.fields.Nothing__c: Left__e has no field Nothing__c",
        ),
    ] {
        assert_eq!(said(OF_CHANGES, &[(piece, other)]), [expected], "{other}");
    }
}

#[test]
fn who_may_not_publish_an_event_or_edit_the_record_of_an_answer_is_told() {
    let of = |config: &str, org: &str, mut json: Json, right: &str| {
        let mut known = known(&inputs());
        json[right] = false.into();
        let described = testing::org_with(&[json]).objects;
        known.orgs.get_mut(&org.parse().unwrap()).unwrap().objects.extend(described);
        said_of(config, &known)
    };
    let published = of(OF_CHANGES, "b", event("Told__e"), "createable");
    assert_eq!(published, ["error action.event: the bridge's user may not publish Told__e"]);
    let answered = of(OF_CHANGES, "a", event("Left__e"), "createable");
    assert_eq!(answered, ["error action.answer.event: the bridge's user may not publish Left__e"]);
    let edited = of(OF_EVENTS, "a", order(), "updateable");
    assert_eq!(edited, ["error action.answer: the bridge's user may not edit records of Order__c"]);
}

#[test]
fn an_answer_goes_into_fields_that_can_be_written_of_the_record_that_is_named() {
    for (pieces, expected) in [
        (("State__c: result", "Stat__c: result"), "error action.answer.fields.Stat__c: Order__c has no field Stat__c"),
        (("State__c: result", "Sum__c: result"), "error action.answer.fields.Sum__c: Sum__c cannot be written"),
        (("object: Order__c,", "object: Ordr__c,"), "error action.answer.object: the org shows no object Ordr__c"),
    ] {
        assert_eq!(said(OF_EVENTS, &[pieces]), [expected]);
    }
    let to_another = "answer: { object: Order__c, record: AccountId, fields: { State__c: id } }";
    let to_itself = "answer: { record: AccountId, fields: { Name: id } }";
    for answer in [to_another, to_itself] {
        let said = said(
            OF_CHANGES,
            &[("answer: { event: Left__e, fields: { Number__c: id } }", answer), ("Number__c: Name", "Number__c: Id")],
        );
        let expected = "error action.answer.record: AccountId leads to Account, and the answer is for Order__c";
        assert_eq!(said, [expected], "{answer}");
    }
}

#[test]
fn no_org_is_asked_of_webhooks_and_apex_rest() {
    let of = |does: &str| said(OF_EVENTS, &[("      org: b\n      flow: Ship\n", does)]);
    assert_eq!(of("      org: b\n      apex_rest: { method: POST, path: /x }\n"), [""; 0]);
    let webhook = "      webhook: { url: \"https://x.example.com\", secret: 0123456789abcdef }\n";
    assert_eq!(of(webhook), [""; 0]);
}
