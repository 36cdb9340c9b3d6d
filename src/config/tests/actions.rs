//! Pipelines with `action`: what they mean, and what is said of those that cannot be.

use super::*;
use crate::rehearse::cases;

const ACTIONS: &str = r#"version: 1
orgs:
  shop: { login_url: "https://shop.my.salesforce.com", client_credentials: { key: k, secret: s } }
  hq: { login_url: "https://hq.my.salesforce.com", client_credentials: { key: k, secret: s } }
pipelines:
  - name: told
    from: { org: shop, channel: /event/Order_Shipped__e }
    action: { org: hq, flow: Ship_Order, idempotency_key: Key, delivery: at_least_once }
    fields: { orderId: Number__c }
  - name: pushed
    from: { org: shop, channel: /data/AccountChangeEvent, object: Account }
    when: Type == "Customer"
    action:
      org: hq
      apex_rest: { method: PUT, path: '/accounts/{number}' }
      delivery: at_most_once
    fields: { number: AccountNumber, name: Name }
  - name: rung
    from: { org: shop, channel: /data/OpportunityChangeEvent, object: Opportunity }
    action:
      webhook: { url: "https://bell.example/T0/B0/hush", secret: "0123456789abcdef" }
      delivery: at_least_once
    fields: { deal: Name }
"#;

/// The same with one piece replaced, which must be there.
fn with(piece: &str, other: &str) -> String {
    assert!(ACTIONS.contains(piece), "{piece}");
    ACTIONS.replacen(piece, other, 1)
}

fn found(text: &str) -> Vec<(usize, usize, String)> {
    let problems = match read(text) {
        Ok(_) => return Vec::new(),
        Err(problems) => problems,
    };
    problems.problems().iter().map(|problem| (problem.line, problem.column, problem.message.clone())).collect()
}

#[test]
fn an_action_means_what_it_says() {
    let config = good(ACTIONS);
    assert!(config.pipelines.is_empty());
    let [told, pushed, rung] = &config.actions[..] else { panic!("{:?}", config.actions) };

    assert_eq!(
        (told.from.channel.as_str(), told.from.object.as_str()),
        ("/event/Order_Shipped__e", "Order_Shipped__e")
    );
    assert_eq!((told.delivery, &told.order_by, told.on_read), (Delivery::AtLeastOnce, &OrderBy::Channel, OnRead::Skip));
    assert_eq!(told.idempotency, Some(KeyPlace::Input("Key".parse().unwrap())));
    assert_eq!((told.timeout, told.fire_on, &told.answer), (Duration::from_secs(30), None, &None));
    assert_eq!(told.does.shown(), "flow Ship_Order in hq");

    assert_eq!(pushed.does.shown(), "PUT /accounts/{number} (Apex REST) in hq");
    assert_eq!(pushed.order_by, OrderBy::Record);
    let names: Vec<&str> = pushed.fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["number", "name"], "in the order of the file");

    assert_eq!((rung.does.shown().as_str(), rung.org()), ("webhook at bell.example", None));
}

#[test]
fn what_an_action_may_have_is_taken() {
    let action = |piece: &str, other: &str, at: usize| good(&with(piece, other)).actions[at].clone();
    let flow = "flow: Ship_Order, idempotency_key: Key, delivery: at_least_once";
    let of = |keys: &str| action(flow, keys, 0);
    assert_eq!(of("apex: ns__Ship, delivery: at_most_once").does.shown(), "Apex ns__Ship in hq");
    let event = of("event: Told__e, via: pubsub, delivery: at_most_once, order_by: Number__c, timeout: 2m");
    assert!(matches!(&event.does, Does::Event { via: Via::Pubsub, .. }), "{:?}", event.does);
    assert_eq!(event.order_by, OrderBy::Field("Number__c".parse().unwrap()));
    assert_eq!(event.timeout, Duration::from_secs(120));
    let answer = |keys: &str| of(&format!("{flow}, answer: {{ {keys}, fields: {{ State__c: result }} }}")).answer;
    let fields = || vec![("State__c".parse().unwrap(), "result".to_owned())];
    let (object, id) = ("Order__c".parse().unwrap(), "Order_Id__c".parse().unwrap());
    assert_eq!(
        answer("object: Order__c, record: Order_Id__c"),
        Some(AnswerTo::Record { object, id, fields: fields() })
    );
    assert_eq!(
        answer("event: Heard__e"),
        Some(AnswerTo::Event { event: "Heard__e".parse().unwrap(), fields: fields() })
    );
    let header = action(
        "      delivery: at_most_once",
        "      delivery: at_least_once\n      idempotency_key: { header: X-Key }",
        1,
    );
    assert_eq!(header.idempotency, Some(KeyPlace::Header("X-Key".to_owned())));
    let own = action(
        "      delivery: at_most_once",
        "      delivery: at_most_once\n      answer: { fields: { Sent__c: id } }",
        1,
    );
    let (object, id) = ("Account".parse().unwrap(), "Id".parse().unwrap());
    assert_eq!(
        own.answer,
        Some(AnswerTo::Record { object, id, fields: vec![("Sent__c".parse().unwrap(), "id".to_owned())] })
    );
    for (word, means) in [("condition", FireOn::Condition), ("fields", FireOn::Fields), ("any", FireOn::Any)] {
        assert_eq!(action("    when: Type", &format!("    fire_on: {word}\n    when: Type"), 1).fire_on, Some(means));
    }
    let polled = with("channel: /data/AccountChangeEvent, object: Account }", "source: poll, object: Account }")
        .replace("at_most_once", "at_most_once\n      on_read: fire");
    assert_eq!(
        (good(&polled).actions[1].on_read, good(&polled).actions[1].from.poll),
        (OnRead::Fire, Some(Duration::from_secs(60)))
    );
}

/// (what is replaced, by what, line, column, message)
const TABLE: &[(&str, &str, usize, usize, &str)] = &[
    // Its triggers.
    ("    action: { org: hq, flow", "    to: {}\n    action: { org: hq, flow", 8, 5, "a pipeline has `to` or `action`"),
    (
        "    action: { org: hq, flow",
        "    actoin: { org: hq, flow",
        8,
        5,
        "a pipeline with `action` has no key `actoin`",
    ),
    (
        "    fields: { orderId",
        "    on_delete: delete\n    fields: { orderId",
        9,
        5,
        "a pipeline with `action` has no key `on_delete`",
    ),
    ("name: rung", "name: told", 18, 11, "another pipeline has this name already"),
    ("Order_Shipped__e }", "Order_Shipped__e, object: Order }", 7, 58, "a platform event has no object"),
    ("/event/Order_Shipped__e", "/event/Orders__chn", 7, 33, "an action is triggered by one platform event"),
    (
        "/event/Order_Shipped__e",
        "/topic/Orders, object: Order",
        7,
        33,
        "no action is triggered by this kind of channel",
    ),
    ("/data/AccountChangeEvent, object: Account", "/data/AccountChangeEvent", 11, 5, "`from` needs the key `object`"),
    ("object: Opportunity }", "object: Account }", 19, 33, "this channel does not carry the pipeline's object"),
    ("{ org: shop, channel: /event", "{ org: shpo, channel: /event", 7, 18, "there is no such org under `orgs`"),
    (
        "channel: /data/AccountChangeEvent, object: Account }",
        "source: poll, object: Account }",
        13,
        5,
        "what is polled has no events that could trigger an action",
    ),
    (
        "    action: { org: hq, flow",
        "    fire_on: any\n    action: { org: hq, flow",
        8,
        14,
        "each platform event is one of its own: nothing in it is changed",
    ),
    (
        "    when: Type == \"Customer\"",
        "    fire_on: condition",
        12,
        14,
        "no update could trigger it: nothing of the record is read there",
    ),
    // What is handed over.
    (
        "{ deal: Name }",
        "{ deal: { owner: Tier_2 } }",
        23,
        21,
        "an action has no counterpart, so nothing is looked up for it",
    ),
    ("{ deal: Name }", "{ deal: { from: Name, write_on: create } }", 23, 29, "`write_on` is for fields of records"),
    ("{ deal: Name }", "{ deal: { from: Name, truncate: true } }", 23, 29, "`truncate: true` is for fields of records"),
    // What is done.
    ("org: hq, flow: Ship_Order, ", "", 8, 5, "nothing is done"),
    ("flow: Ship_Order, ", "flow: Ship_Order, apex: Ship, ", 8, 42, "an action does one thing"),
    ("org: hq, flow", "flow", 8, 15, "`flow` needs the org in which it is done"),
    ("org: hq, flow", "org: qh, flow", 8, 20, "there is no such org under `orgs`"),
    ("flow: Ship_Order, ", "flow: Ship_Order, via: rest, ", 8, 42, "`via` is for `event`"),
    (", delivery: at_least_once }", " }", 8, 5, "`action` needs the key `delivery`"),
    ("flow: Ship_Order, idempotency_key: Key, ", "event: Order__c, ", 8, 31, "`Order__c` is no platform event"),
    ("method: PUT", "method: DELETE", 15, 28, "`method` cannot be `DELETE`"),
    ("'/accounts/{number}'", "accounts", 15, 39, "`path` must begin with /, and be no longer than 2000 characters"),
    ("'/accounts/{number}'", "/services/apexrest/a", 15, 39, "`path` begins behind /services/apexrest"),
    ("'/accounts/{number}'", "'/accounts/{number'", 15, 39, "`path` has a { that begins no field's name"),
    ("'/accounts/{number}'", "'/accounts/../a'", 15, 39, "`path` leads elsewhere"),
    ("'/accounts/{number}'", "'/accounts/a b'", 15, 39, "`path` has a character that no path has; write it as %20"),
    ("{number}", "{id}", 15, 7, "`{id}` in the path is none of the `fields`"),
    ("      webhook:", "      org: hq\n      webhook:", 21, 7, "a webhook is in no org"),
    ("https://bell", "http://bell", 21, 23, "`url` is not encrypted"),
    ("https://bell", "https://u:p@bell", 21, 23, "`url` has a user or password in it"),
    ("https://bell.example/T0/B0/hush", "bell", 21, 23, "`url` is no address"),
    ("0123456789abcdef", "too short", 21, 66, "the secret is so short that it can be guessed"),
    // Its key.
    ("idempotency_key: Key, ", "", 8, 52, "what is done again without a key is done twice: the other side cannot tell"),
    ("idempotency_key: Key", "idempotency_key: { header: X-Key }", 8, 69, "the key cannot go along in a header"),
    ("idempotency_key: Key", "idempotency_key: ORDERID", 8, 59, "`fields` fills this input, too"),
    (
        "      delivery: at_most_once",
        "      delivery: at_most_once\n      idempotency_key: { header: Authorization }",
        17,
        34,
        "this header has a meaning already",
    ),
    (
        "      delivery: at_most_once",
        "      delivery: at_most_once\n      idempotency_key: { header: 'a b' }",
        17,
        34,
        "this is no name of a header",
    ),
    ("at_least_once }", "at_least_once, order_by: record }", 8, 99, "a platform event has no record"),
    ("at_least_once }", "at_least_once, timeout: 3m }", 8, 98, "`timeout` is longer than 2m"),
    // Its answer.
    (
        "at_least_once }",
        "at_least_once, answer: { fields: { A__c: a } } }",
        8,
        89,
        "a platform event has no record to which an answer could go",
    ),
    (
        "at_least_once }",
        "at_least_once, answer: { event: E__e, object: A, fields: { A__c: a } } }",
        8,
        112,
        "an answer goes to a record or into an event",
    ),
    (
        "at_least_once }",
        "at_least_once, answer: { event: E__e, fields: {} } }",
        8,
        112,
        "nothing of the answer is taken",
    ),
    (
        "at_least_once }",
        "at_least_once, answer: { event: E__e, fields: { A__c: a, a__C: b } } }",
        8,
        131,
        "the field `a__C` is filled twice",
    ),
    (
        "      delivery: at_most_once",
        "      delivery: at_most_once\n      answer: { object: Case, fields: { A__c: a } }",
        17,
        25,
        "the record that triggers it is none of this object",
    ),
    // What would go on without end.
    (
        "org: hq, flow: Ship_Order, idempotency_key: Key, delivery: at_least_once",
        "org: shop, event: order_shipped__e, delivery: at_most_once",
        8,
        26,
        "this event triggers the action that publishes it, without end",
    ),
    (
        "at_least_once }",
        "at_least_once, answer: { event: Order_Shipped__e, fields: { A__c: a } } }",
        8,
        106,
        "this event triggers the action that publishes it, without end",
    ),
    (
        "    when: Type == \"Customer\"\n    action:\n      org: hq",
        "    action:\n      answer: { fields: { name: id } }\n      org: hq",
        13,
        7,
        "the answer changes `Name`, which would trigger it again, without end",
    ),
    (
        "    when: Type == \"Customer\"\n    action:\n      org: hq",
        "    fire_on: any\n    action:\n      answer: { fields: { A__c: id } }\n      org: hq",
        14,
        7,
        "the answer is a change of the record, which would trigger it again, without end",
    ),
];

#[test]
fn each_problem_has_its_place_and_its_words() {
    let mut wrong = Vec::new();
    for (piece, other, line, column, message) in TABLE {
        let found = found(&with(piece, other));
        if !found.contains(&(*line, *column, (*message).to_owned())) {
            wrong.push(format!("{other:?}: ({line}, {column}, {message:?}), found {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_event_may_be_published_where_it_does_not_trigger_itself() {
    let event = "event: Order_Shipped__e, delivery: at_most_once";
    assert_eq!(found(&with("flow: Ship_Order, idempotency_key: Key, delivery: at_least_once", event)), []);
}

#[test]
fn an_answer_goes_into_a_field_that_the_condition_reads() {
    let answer = "      answer: { fields: { Type: id } }\n      delivery: at_most_once";
    assert_eq!(found(&with("      delivery: at_most_once", answer)), [], "`when` says when it is enough");
}

#[test]
fn what_privacy_leaves_out_triggers_and_names_nothing() {
    let hidden = |rule: &str, keys: &str| {
        let privacy = format!(
            "secret: s }}, privacy: {{ hash_secret: 0123456789abcdef, objects: {{ Order_Shipped__e: {rule} }} }} }}"
        );
        found(&ACTIONS.replacen("secret: s } }", &privacy, 1).replacen(
            "at_least_once }",
            &format!("at_least_once{keys} }}"),
            1,
        ))
        .into_iter()
        .map(|(_, _, message)| message)
        .collect::<Vec<_>>()
    };
    let left_out = "the source org's `privacy` leaves this field out";
    assert_eq!(hidden("{ leave_out: [Number__c] }", ""), [left_out]);
    assert_eq!(hidden("{ leave_out: [Other__c] }", ", order_by: Other__c"), [left_out]);
    assert_eq!(hidden("{ hash: [Other__c] }", ", order_by: Other__c"), [""; 0], "equal stays equal");
    let answer = ", answer: { object: A, record: Other__c, fields: { A__c: a } }";
    assert_eq!(hidden("{ hash: [Other__c] }", answer), ["the answer needs the id as it is, and `privacy` hides it"]);
}

#[test]
fn a_parent_is_no_action() {
    let text = format!(
        "{ACTIONS}  - name: contacts\n    from: {{ org: shop, channel: /data/ContactChangeEvent, object: Contact }}\n    \
         to: {{ org: hq, object: Contact, key: K__c }}\n    fields: {{ K__c: Id, AccountId: {{ parent: pushed, from: AccountId }} }}\n"
    );
    let messages: Vec<_> = found(&text).into_iter().map(|(_, _, message)| message).collect();
    assert_eq!(messages, ["this pipeline is an action, and writes no records"]);
}

#[test]
fn neither_the_address_nor_the_secret_of_a_webhook_is_shown() {
    for text in [
        with("https://bell.example/T0/B0/hush", "ftp://bell.example/T0/B0/hush"),
        with("0123456789abcdef", "hush"),
        with("url: \"https", "ulr: \"https"),
        with(
            "webhook: { url: \"https://bell.example/T0/B0/hush\", secret: \"0123456789abcdef\" }",
            "webhook: https://bell.example/hush",
        ),
    ] {
        let shown = read(&text).unwrap_err().to_string();
        assert!(!shown.contains("hush"), "{shown}");
    }
    let shown = format!("{:?}", good(ACTIONS));
    assert!(!shown.contains("hush") && !shown.contains("0123456789abcdef"), "{shown}");
}

#[test]
fn without_logins_a_webhook_is_there_all_the_same() {
    let text = with("https://bell.example/T0/B0/hush", "${NOT_SET}").replace("0123456789abcdef", "${NOT_SET}");
    let tried = parse_with(&text, Path::new("b.yaml"), &variable, &file, Logins::MayLack);
    assert_eq!(tried.unwrap_or_else(|problems| panic!("{problems}")).actions.len(), 3);
    assert!(found(&text).iter().all(|(.., message)| message == "the environment variable NOT_SET is not set"));
}

/// What the tests beside a config say, each in words.
fn ran(tests: &str) -> Vec<String> {
    let config = good(&format!("{ACTIONS}tests:\n{tests}"));
    let told = cases::run(&config)
        .into_iter()
        .map(|ran| ran.differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
    told.collect()
}

#[test]
fn tests_beside_the_config_say_what_an_action_hands_over() {
    let tests = r#"
  - name: an event
    pipeline: told
    event: { Number__c: "4711" }
    expect: { call: { orderId: "4711" } }
  - name: something else is handed over
    pipeline: told
    event: { Number__c: "4711" }
    expect: { call: { orderId: "4712", more: 1 } }
  - name: a change that does not matter
    pipeline: pushed
    change: { kind: update, fields: { Name: Acme }, unchanged: { Type: Customer } }
    expect: { skip: true }
  - name: a change that matters, and does not say all
    pipeline: pushed
    change: { kind: update, fields: { Type: Customer } }
    record: { Type: Customer, AccountNumber: A1, Name: Acme }
    expect: { call: { number: A1, name: Acme } }
  - name: it does not say all
    pipeline: pushed
    change: { kind: update, fields: { Type: Customer } }
    expect: { call: { number: A1, name: Acme } }
  - name: it triggers
    pipeline: rung
    change: { kind: create, fields: { Name: Acme } }
    expect: { skip: true }
"#;
    assert_eq!(
        ran(tests),
        [
            "",
            "more: expected 1, got nothing; orderId: expected \"4712\", got \"4711\"",
            "",
            "",
            "expected a call, got: the record must be read: the change alone does not say enough",
            "expected nothing to be done, got: call: webhook at bell.example",
        ]
    );
}

#[test]
fn a_test_of_an_action_says_only_what_can_happen() {
    let messages = |case: &str| {
        let found = found(&format!("{ACTIONS}tests:\n  - {{ name: n, {case} }}\n"));
        found.into_iter().map(|(.., message)| message).collect::<Vec<_>>()
    };
    let platform = "this action is triggered by a platform event";
    let nothing = "this is nothing that the pipeline does";
    assert_eq!(messages("pipeline: told, change: { kind: create }, event: {}, expect: { skip: true }"), [platform]);
    assert_eq!(messages("pipeline: told, expect: { skip: true }"), ["nothing happens in this test"]);
    assert_eq!(messages("pipeline: told, event: {}, expect: { upsert: {} }"), [nothing]);
    assert_eq!(
        messages("pipeline: rung, event: {}, change: { kind: create }, expect: { call: {} }"),
        ["this action is triggered by changes, and has no counterpart"]
    );
    assert_eq!(
        messages("pipeline: rung, record: { Name: x }, expect: { call: {} }"),
        ["reads trigger nothing (on_read: skip)"]
    );
}
