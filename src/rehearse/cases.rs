//! The tests that stand beside a mapping: what was expected, and what came instead.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::actions::{Trigger, act};
use super::input::Reading;
use super::{Outcome, Scene, What, input, rehearse};
use crate::config::{ActionConfig, Answer, Case, CaseChange, Config, Expect};
use crate::event::{Field, FieldName, FieldPath, Fields, Header, Part, RecordChange, Seq, Value};
use crate::mapping::{Ask, Inputs, Mapping, Replies, Reply};

/// One case and its result.
#[derive(Debug, Clone)]
pub struct Ran<'c> {
    pub case: &'c Case,
    /// Empty: as expected.
    pub differences: Vec<Difference>,
    pub outcome: Outcome,
}

/// Where a result is not as expected. These are values that somebody wrote into a test, so they are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// Something else would be done.
    Other {
        expected: String,
        came: String,
    },
    Field {
        field: FieldName,
        expected: Option<Value>,
        came: Option<Value>,
    },
    /// A lookup asks what the test does not answer.
    Unanswered(Ask),
}

/// Runs all cases, in the order of the file.
pub fn run(config: &Config) -> Vec<Ran<'_>> {
    let mappings: BTreeMap<_, _> =
        config.pipelines.iter().map(|pipeline| (&pipeline.name, Mapping::new(pipeline, config))).collect();
    let actions: BTreeMap<_, _> =
        config.actions.iter().map(|action| (&action.name, (action, Inputs::new(action, config)))).collect();
    let mut ran = Vec::new();
    for case in &config.cases {
        match (actions.get(&case.pipeline), mappings.get(&case.pipeline)) {
            (Some((action, inputs)), _) => ran.push(of_action(case, action, inputs)),
            (None, Some(mapping)) => ran.push(one(case, mapping)),
            // A checked config has no case of a pipeline that it has not.
            (None, None) => {}
        }
    }
    ran
}

fn one<'c>(case: &'c Case, mapping: &Mapping) -> Ran<'c> {
    let mut scene = case.scene(mapping);
    loop {
        let outcome = rehearse(mapping, &scene);
        let What::NeedsAnswers(asks) = &outcome.what else {
            let differences = compare(&case.expect, &outcome.what);
            return Ran { case, differences, outcome };
        };
        // What is asked next may depend on the answers. It is never the same again, and there are not many.
        let before = scene.replies.len();
        scene.replies.extend(asks.iter().filter_map(|ask| Some((ask.clone(), case.reply(ask)?))));
        let unanswered: BTreeSet<&Ask> = asks.iter().filter(|ask| case.reply(ask).is_none()).collect();
        if !unanswered.is_empty() || scene.replies.len() == before {
            let differences = unanswered.into_iter().cloned().map(Difference::Unanswered).collect();
            return Ran { case, differences, outcome };
        }
    }
}

fn of_action<'c>(case: &'c Case, action: &ActionConfig, inputs: &Inputs) -> Ran<'c> {
    let reading = Reading::from(inputs);
    let record = case.record.as_ref().map(|values| input::record(&reading, case.id, values));
    let trigger = match (&case.event, &case.change, record) {
        (Some(fields), _, _) => Trigger::Event(inputs.privacy.of_values(fields.clone())),
        (None, Some(change), record) => Trigger::Change { part: case.part(&reading, change), record },
        (None, None, Some(record)) => Trigger::Read(record),
        // A checked case says what happens.
        (None, None, None) => Trigger::Event(BTreeMap::new()),
    };
    let outcome = act(&action.does, inputs, &trigger);
    Ran { case, differences: compare(&case.expect, &outcome.what), outcome }
}

impl Case {
    /// The case for the pipeline whose mapping this is.
    fn scene(&self, mapping: &Mapping) -> Scene {
        let reading = Reading::from(mapping);
        Scene {
            part: self.change.as_ref().map(|change| self.part(&reading, change)),
            record: self.record.as_ref().map(|values| input::record(&reading, self.id, values)),
            link: self.link,
            parents: self.parents.clone(),
            replies: Replies::new(),
        }
    }

    /// What the test says that an org answers.
    fn reply(&self, ask: &Ask) -> Option<Reply> {
        let Ask { of, value } = ask;
        let is_it = |answer: &&Answer| {
            (&answer.org, &answer.object, &answer.by, &answer.field) == (&of.org, &of.object, &of.by, &of.want)
                // As an org compares most text; ids are in their long form on both sides.
                && (answer.value == *value || (of.by.as_str() != "Id" && answer.value.to_lowercase() == value.to_lowercase()))
        };
        let answer = self.lookups.iter().find(is_it)?;
        Some(match answer.gives.as_slice() {
            [] => Reply::Nothing,
            [one] => Reply::One(one.clone()),
            [_, _, ..] => Reply::Several,
        })
    }

    fn part(&self, reading: &Reading<'_>, change: &CaseChange) -> Part {
        let header = Header {
            // As the org writes it for REST (facts: streaming-cometd.md section 16).
            change_origin: match change.client.as_str() {
                "" => String::new(),
                client => format!("com/salesforce/api/rest/66.0;client={client}"),
            },
            commit_timestamp: change.time,
            commit_user: change.user.clone(),
            ..super::header(reading.object, self.id, change.kind)
        };
        // Who knows SOQL writes BillingCity for what an event calls BillingAddress.City.
        let as_event = |name: &str| {
            let part = reading.paths.iter().find(|path| path.part().is_some() && path.object_field().as_str() == name);
            part.map_or(name, FieldPath::as_str).to_owned()
        };
        let mut fields = Fields::new();
        for (names, of) in
            [(&change.unchanged, Field::Same as fn(Value) -> Field), (&change.fields, Field::New as fn(Value) -> Field)]
        {
            for (name, value) in names {
                lay(&mut fields, &as_event(name), value, of);
            }
        }
        let mut change = RecordChange { header, fields };
        reading.privacy.apply_change(&mut change);
        Part { seq: Seq(1), record: self.id, change: Arc::new(change) }
    }
}

/// Puts a value where an event has it: `BillingAddress.City` is a part of `BillingAddress`.
fn lay(fields: &mut Fields, name: &str, value: &Value, of: fn(Value) -> Field) {
    let Some((top, part)) = name.split_once('.') else {
        fields.insert(name.to_owned(), of(value.clone()));
        return;
    };
    let mut parts = match fields.remove(top) {
        Some(Field::New(Value::Compound(parts)) | Field::Same(Value::Compound(parts))) => parts,
        Some(_) | None => BTreeMap::new(),
    };
    parts.insert(part.to_owned(), value.clone());
    fields.insert(top.to_owned(), of(Value::Compound(parts)));
}

fn compare(expect: &Expect, came: &What) -> Vec<Difference> {
    match (expect, came) {
        (Expect::Upsert(expected), What::Upsert { fields, .. })
        | (Expect::Update(expected), What::Update { fields, .. }) => fields_of(expected, fields),
        (Expect::Call(expected), What::Call { inputs, .. }) => fields_of(expected, inputs),
        (Expect::Delete, What::Delete { .. }) | (Expect::Skip, What::Skipped(_)) => Vec::new(),
        (Expect::Fail(code), What::Failed(failure)) if code.as_deref().is_none_or(|code| code == failure.code) => {
            Vec::new()
        }
        (Expect::Wait(code), What::Waits(failure)) if code.as_deref().is_none_or(|code| code == failure.code) => {
            Vec::new()
        }
        (
            Expect::Upsert(_)
            | Expect::Update(_)
            | Expect::Delete
            | Expect::Call(_)
            | Expect::Skip
            | Expect::Fail(_)
            | Expect::Wait(_),
            What::Upsert { .. }
            | What::Update { .. }
            | What::Delete { .. }
            | What::Call { .. }
            | What::Skipped(_)
            | What::Failed(_)
            | What::NeedsRecord
            | What::NeedsAnswers(_)
            | What::Waits(_),
        ) => vec![Difference::Other { expected: expect.to_string(), came: came.to_string() }],
    }
}

fn fields_of(expected: &BTreeMap<FieldName, Value>, came: &BTreeMap<FieldName, Value>) -> Vec<Difference> {
    let names: BTreeSet<&FieldName> = expected.keys().chain(came.keys()).collect();
    names
        .into_iter()
        .filter(|name| expected.get(*name) != came.get(*name))
        .map(|name| Difference::Field {
            field: name.clone(),
            expected: expected.get(name).cloned(),
            came: came.get(name).cloned(),
        })
        .collect()
}

/// A value as it would stand in the config.
pub fn shown(value: &Value) -> String {
    serde_json::Value::from(value.clone()).to_string()
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = |value: &Option<Value>| value.as_ref().map_or("nothing".to_owned(), shown);
        match self {
            Self::Other { expected, came } => write!(f, "expected {expected}, got: {came}"),
            Self::Field { field: name, expected, came } => {
                write!(f, "{name}: expected {}, got {}", field(expected), field(came))
            }
            Self::Unanswered(Ask { of, value }) => {
                let (what, field) = match of.want.as_str() {
                    "Id" => ("its id", String::new()),
                    field => ("what it holds", format!("field: {field}, ")),
                };
                let (org, object, by, value) = (&of.org, &of.object, &of.by, serde_json::Value::from(value.as_str()));
                write!(
                    f,
                    "a lookup asks {org}. Put this under `lookups` of the test, and {what} instead of null if it is there:\n\
                     - {{ org: {org}, object: {object}, by: {by}, value: {value}, {field}gives: null }}"
                )
            }
        }
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upsert(_) => f.write_str("an upsert"),
            Self::Update(_) => f.write_str("an update"),
            Self::Delete => f.write_str("a delete"),
            Self::Call(_) => f.write_str("a call"),
            Self::Skip => f.write_str("nothing to be done"),
            Self::Fail(None) => f.write_str("a failure"),
            Self::Fail(Some(code)) => write!(f, "a failure with {code}"),
            Self::Wait(None) => f.write_str("that it waits"),
            Self::Wait(Some(code)) => write!(f, "that it waits with {code}"),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upsert { object, key, .. } => write!(f, "upsert of {object} by {key}"),
            Self::Update { object, record, .. } => write!(f, "update of {object} {record}"),
            Self::Delete { object, record: Some(record), if_created } => {
                let only = if *if_created { ", if the bridge created it" } else { "" };
                write!(f, "delete of {object} {record}{only}")
            }
            Self::Delete { object, record: None, .. } => {
                write!(f, "delete of the {object} with its key, if there is one")
            }
            Self::Call { does, .. } => write!(f, "call: {does}"),
            Self::Skipped(skip) => write!(f, "nothing to do: {skip}"),
            Self::Failed(failure) => {
                let place = failure.field.as_ref().map_or("when".to_owned(), ToString::to_string);
                write!(f, "a failure: {} in {place}: {}", failure.code, failure.reason)
            }
            Self::NeedsRecord => f.write_str("the record must be read: the change alone does not say enough"),
            Self::NeedsAnswers(asks) => {
                f.write_str("an org must be asked: ")?;
                let asked = asks.iter().map(|ask| format!("{}: {} by {}", ask.of.org, ask.of.object, ask.of.by));
                f.write_str(&asked.collect::<Vec<_>>().join("; "))
            }
            Self::Waits(failure) => {
                let place = failure.field.as_ref().map_or("when".to_owned(), ToString::to_string);
                write!(f, "it waits: {} in {place}: {}", failure.code, failure.reason)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;

    const CONFIG: &str = r#"
version: 1
orgs:
  a: { login_url: "http://127.0.0.1:1", client_credentials: { key: k, secret: s } }
  b: { login_url: "http://127.0.0.1:2", client_credentials: { key: k, secret: s } }
pipelines:
  - name: accounts
    from: { org: a, channel: /data/AccountChangeEvent, object: Account }
    to: { org: b, object: Account, key: Key__c }
    when: Industry != "Test"
    when_no_longer_matching: delete
    fields:
      Key__c: Id
      Name: { cel: upper(Name) }
      Kind__c: { from: Industry, table: { Banking: Finance } }
      City__c: BillingAddress.City
      ParentId: { parent: accounts, from: ParentId }
tests:
"#;

    fn ran(cases: &str) -> Vec<String> {
        let text = format!("{CONFIG}{cases}");
        let config = config::parse(&text, Path::new("b.yaml"), &|_| None, &|_| unreachable!()).unwrap();
        let describe = |ran: Ran<'_>| ran.differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        run(&config).into_iter().map(describe).collect()
    }

    #[test]
    fn what_is_as_expected_has_no_difference() {
        let all = ran(r#"
  - name: a new account
    pipeline: accounts
    change: { kind: create, fields: { Name: Acme, Industry: Banking, BillingAddress.City: Basel } }
    expect: { upsert: { Key__c: 001000000000001AAA, Name: ACME, Kind__c: Finance, City__c: Basel, ParentId: null } }
  - name: a change of one field
    pipeline: accounts
    change: { kind: update, fields: { BillingAddress: { City: Bern } }, unchanged: { Industry: Banking } }
    link: 001000000000002AAA
    expect: { update: { City__c: Bern } }
  - name: a change of one field, as SOQL calls it
    pipeline: accounts
    change: { kind: update, fields: { BillingCity: Bern }, unchanged: { Industry: Banking } }
    link: 001000000000002AAA
    expect: { update: { City__c: Bern } }
  - name: a change that does not say enough
    pipeline: accounts
    change: { kind: update, fields: { ParentId: 001000000000003AAA } }
    record: { Name: Acme, Industry: Banking, BillingCity: Bern, ParentId: 001000000000003AAA }
    link: 001000000000002AAA
    parents: { 001000000000003AAA: 001000000000004AAA }
    expect:
      update: { Key__c: 001000000000001AAA, Name: ACME, Kind__c: Finance, City__c: Bern, ParentId: 001000000000004AAA }
  - name: a new test account
    pipeline: accounts
    record: { Id: 001000000000009AAA, Industry: Test }
    expect: { skip: true }
  - name: one that became a test
    pipeline: accounts
    change: { kind: update, fields: { Industry: Test } }
    link: 001000000000002AAA
    expect: { delete: true }
  - name: an industry that nobody thought of
    pipeline: accounts
    change: { kind: create, fields: { Name: x, Industry: Mining } }
    expect: { fail: NO_TABLE_ENTRY }
"#);
        assert_eq!(all, vec![String::new(); 7], "{all:#?}");
    }

    #[test]
    fn a_delete_says_whether_only_what_the_bridge_created_may_go() {
        let said = |keys: &str, link: &str| {
            let deletes = format!("when_no_longer_matching: delete\n    on_delete: delete{keys}\n    fields:");
            let text = CONFIG.replace("when_no_longer_matching: delete\n    fields:", &deletes);
            let case = format!(
                "  - name: x\n    pipeline: accounts\n    change: {{ kind: delete }}\n{link}    expect: {{ delete: true }}\n"
            );
            let config = config::parse(&format!("{text}{case}"), Path::new("b.yaml"), &|_| None, &|_| unreachable!());
            let config = config.unwrap();
            let ran = run(&config).remove(0);
            (ran.outcome.what.to_string(), ran.differences.is_empty())
        };
        let (link, any) = ("    link: 001000000000002AAA\n", "\n    may_delete: any");
        assert_eq!(said("", link), ("delete of Account 001000000000002AAA, if the bridge created it".to_owned(), true));
        assert_eq!(said(any, link), ("delete of Account 001000000000002AAA".to_owned(), true));
        assert_eq!(said(any, ""), ("delete of the Account with its key, if there is one".to_owned(), true));
        assert!(said("", "").0.contains("is kept"), "{:?}", said("", ""));
        assert!(!said("", "").1);
    }

    #[test]
    fn a_test_sees_what_privacy_leaves() {
        let privacy = r#"secret: s }, privacy: { hash_secret: a key of this test only, objects: {
    Account: { leave_out: [Fax], hash: [Name], mask: [BillingCity] } } } }
  b:"#;
        let text = CONFIG
            .replacen("secret: s } }\n  b:", privacy, 1)
            .replace("cel: upper(Name)", "cel: 'Name + \" \" + hash(Phone)'")
            .replace("when: Industry != \"Test\"", "when: size(Name) == 64");
        let hash = crate::privacy::hashed(b"a key of this test only", "same");
        // A change and a record of the same say the same; in an expression `hash` is that of the rule.
        let case = |what: &str| {
            format!(
                "  - name: x\n    pipeline: accounts\n    {what}\n    expect: {{ upsert: {{ Key__c: 001000000000001AAA, \
                 Name: {hash} {hash}, Kind__c: Finance, City__c: B***l, ParentId: null }} }}\n"
            )
        };
        let fields = "Name: same, Phone: same, Industry: Banking, Fax: x";
        let change = case(&format!("change: {{ kind: create, fields: {{ {fields}, BillingAddress.City: Basel }} }}"));
        let record = case(&format!("record: {{ {fields}, Id: 001000000000001AAA, BillingCity: Basel }}"));
        let text = format!("{text}{change}{record}");
        let config = config::parse(&text, Path::new("b.yaml"), &|_| None, &|_| unreachable!());
        let config = config.unwrap_or_else(|problems| panic!("{problems}"));
        let ran = run(&config);
        assert_eq!(ran.len(), 2);
        for ran in ran {
            let shown: Vec<String> = ran.differences.iter().map(ToString::to_string).collect();
            assert_eq!(shown, [""; 0]);
        }
    }

    #[test]
    fn a_difference_names_the_field_and_both_values() {
        let all = ran(r#"
  - name: wrong in each way
    pipeline: accounts
    change: { kind: update, fields: { BillingAddress.City: Bern }, unchanged: { Industry: Banking } }
    link: 001000000000002AAA
    expect: { update: { City__c: Basel, Name: ACME } }
  - name: another deed
    pipeline: accounts
    change: { kind: update, fields: { BillingAddress.City: Bern }, unchanged: { Industry: Banking } }
    link: 001000000000002AAA
    expect: { skip: true }
  - name: another failure
    pipeline: accounts
    change: { kind: create, fields: { Name: x, Industry: Mining } }
    expect: { fail: KEY_EMPTY }
  - name: no record
    pipeline: accounts
    change: { kind: update, fields: { Phone: x, Name: y } }
    expect: { skip: true }
"#);
        assert_eq!(
            all,
            [
                r#"City__c: expected "Basel", got "Bern"; Name: expected "ACME", got nothing"#,
                "expected nothing to be done, got: update of Account 001000000000002AAA",
                "expected a failure with KEY_EMPTY, got: a failure: NO_TABLE_ENTRY in Kind__c: the value of \
                 Industry is not in the table",
                "expected nothing to be done, got: the record must be read: the change alone does not say enough",
            ]
        );
    }

    const LOOKUPS: &str = "
      Mail__c: { find: Contact, by: Email, from: Email__c, if_missing: wait }
      RecordTypeId: { from: RecordTypeId, as: record_type, table: { Customer: Client } }
      OwnerId: { from: OwnerId, as: owner, table: { ada@a.example: Support }, fallback: bridge@b.example }
tests:
";

    fn with_lookups(cases: &str) -> Vec<String> {
        let text = CONFIG.replace("tests:\n", LOOKUPS.trim_start_matches('\n'));
        let config = config::parse(&format!("{text}{cases}"), Path::new("b.yaml"), &|_| None, &|_| unreachable!());
        let config = config.unwrap_or_else(|problems| panic!("{problems}"));
        let describe = |ran: Ran<'_>| ran.differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        run(&config).into_iter().map(describe).collect()
    }

    #[test]
    fn a_test_says_what_the_orgs_answer() {
        let all = with_lookups(
            r#"
  - name: everything is found, step by step
    pipeline: accounts
    link: 001000000000002AAA
    change:
      kind: update
      fields: { Email__c: Ada@x.example, RecordTypeId: 012000000000001AAA, OwnerId: "005000000000001" }
      unchanged: { Industry: Banking }
    lookups:
      - { org: b, object: Contact, by: Email, value: ada@x.example, gives: "003000000000001" }
      - { org: a, object: RecordType, by: Id, value: "012000000000001", field: DeveloperName, gives: Customer }
      - { org: b, object: RecordType, by: DeveloperName, value: Client, gives: 012000000000002AAA }
      - { org: a, object: User, by: Id, value: 005000000000001AAA, field: Username, gives: ada@a.example }
      - { org: b, object: Group, by: DeveloperName, value: Support, gives: 00G000000000001EAA }
    expect:
      update: { Mail__c: 003000000000001AAA, RecordTypeId: 012000000000002AAA, OwnerId: 00G000000000001EAA }
  - name: an owner that nobody knows is the fallback
    pipeline: accounts
    link: 001000000000002AAA
    change: { kind: update, fields: { OwnerId: 005000000000001AAA }, unchanged: { Industry: Banking } }
    lookups:
      - { org: a, object: User, by: Id, value: 005000000000001AAA, field: Username, gives: eve@a.example }
      - { org: a, object: User, by: Id, value: 005000000000001AAA, field: FederationIdentifier, gives: null }
      - { org: b, object: User, by: Username, value: bridge@b.example, gives: 005000000000009AAA }
    expect: { update: { OwnerId: 005000000000009AAA } }
  - name: it waits
    pipeline: accounts
    link: 001000000000002AAA
    change: { kind: update, fields: { Email__c: b@x.example }, unchanged: { Industry: Banking } }
    lookups: [{ org: b, object: Contact, by: Email, value: b@x.example, gives: null }]
    expect: { wait: LOOKUP_MISSING }
  - name: two are found
    pipeline: accounts
    link: 001000000000002AAA
    change: { kind: update, fields: { Email__c: b@x.example }, unchanged: { Industry: Banking } }
    lookups:
      - { org: b, object: Contact, by: Email, value: b@x.example, gives: [003000000000001AAA, 003000000000002AAA] }
    expect: { fail: LOOKUP_AMBIGUOUS }
"#,
        );
        assert_eq!(all, vec![String::new(); 4], "{all:#?}");
    }

    #[test]
    fn a_test_that_lacks_an_answer_says_the_line_to_add_until_none_is_lacking() {
        let mut case = r#"
  - name: x
    pipeline: accounts
    link: 001000000000002AAA
    change: { kind: update, fields: { Email__c: "4711", OwnerId: 005000000000001AAA }, unchanged: { Industry: Banking } }
    expect: { fail: LOOKUP_MISSING }
    lookups:
"#
        .to_owned();
        let mut rounds = Vec::new();
        loop {
            let text = if case.ends_with("lookups:\n") { case.replace("    lookups:\n", "") } else { case.clone() };
            let [differences] = &with_lookups(&text)[..] else { panic!() };
            if differences.is_empty() {
                break;
            }
            let lines: Vec<_> = differences.split("; ").map(|one| one.split_once("\n- ").unwrap().1).collect();
            lines.iter().for_each(|line| case.push_str(&format!("      - {line}\n")));
            rounds.push(lines.join("\n"));
        }
        assert_eq!(
            rounds,
            [
                "{ org: a, object: User, by: Id, value: \"005000000000001AAA\", field: Username, gives: null }\n\
                 { org: b, object: Contact, by: Email, value: \"4711\", gives: null }",
                "{ org: a, object: User, by: Id, value: \"005000000000001AAA\", field: FederationIdentifier, gives: null }",
                "{ org: b, object: User, by: Username, value: \"bridge@b.example\", gives: null }",
            ]
        );
    }

    #[test]
    fn why_a_record_is_read_is_told() {
        let why = |change: &str, when: &str| {
            let text = CONFIG.replace("    when: Industry != \"Test\"\n    when_no_longer_matching: delete\n", when);
            let case = format!("  - {{ name: x, pipeline: accounts, change: {change}, expect: {{ skip: true }} }}\n");
            let config = config::parse(&format!("{text}{case}"), Path::new("b.yaml"), &|_| None, &|_| unreachable!());
            let config = config.unwrap();
            run(&config)[0].outcome.why_read.as_ref().map(ToString::to_string)
        };
        let when = "    when: Industry != \"Test\" && Rating != \"Cold\"\n";
        for (change, when, said) in [
            ("{ kind: update, fields: { Name: A } }", when, Some("the change does not say Industry, Rating")),
            (
                "{ kind: update, fields: { Industry: A }, unchanged: { Rating: Hot } }",
                when,
                Some(
                    "something that `when` reads changed, so what changed before may not have been written: all of it is",
                ),
            ),
            (
                "{ kind: update, fields: { Name: A } }",
                "",
                Some("it has no counterpart in the target yet, which gets all of it"),
            ),
            ("{ kind: update, fields: { Phone: A } }", "", None),
            ("{ kind: create, fields: { Name: A, Industry: Banking } }", when, None),
            ("{ kind: update, fields: { Industry: Test } }", when, None),
        ] {
            assert_eq!(why(change, when).as_deref(), said, "{change} {when}");
        }
    }

    #[test]
    fn a_flagged_delete_without_a_known_counterpart_flags_what_the_key_finds() {
        let text = CONFIG.replace("    fields:\n", "    flag: Gone__c\n    fields:\n");
        let case =
            "  - { name: x, pipeline: accounts, change: { kind: delete }, expect: { update: { Gone__c: true } } }\n";
        let config = config::parse(&format!("{text}{case}"), Path::new("b.yaml"), &|_| None, &|_| unreachable!());
        assert_eq!(run(&config.unwrap())[0].differences, []);
    }
}
