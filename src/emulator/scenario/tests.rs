//! Scenario files: what is built in, what a user adds, and what is wrong with them.

use std::time::Duration;

use super::{Problem, Scenario, Spec};

fn error(text: &str) -> String {
    Scenario::read("my.yaml", text).unwrap_err().to_string()
}

#[test]
fn the_standard_scenario_is_good() {
    let spec: Result<Spec, Problem> = super::parse(super::STANDARD);
    assert!(spec.unwrap().objects.len() > 8);
    for name in ["source", "target", "other"] {
        let org = Scenario::standard().org(name, 1, Duration::ZERO..=Duration::ZERO, 0).unwrap();
        for object in ["Account", "Contact", "Lead", "Opportunity", "Case", "Task", "User", "Group", "RecordType"] {
            assert!(org.schema.find(object).is_some(), "{object}");
        }
    }
}

#[test]
fn a_scenario_adds_fields_and_records_to_the_standard_one() {
    let text = "
objects:
  - name: Account
    fields: [{ name: Tier__c, type: picklist, values: [Gold], restricted: true }]
  - name: Plot__c
    fields: [{ name: Name, type: string, required: true }]
records:
  - { object: Account, fields: { Name: Acme, Tier__c: Gold } }
  - { object: Plot__c, fields: { Name: North } }
";
    let scenario = Scenario::read("my.yaml", text).unwrap();
    let org = scenario.org("source", 1, Duration::ZERO..=Duration::ZERO, 0).unwrap();
    let (account, definition) = org.schema.find("Account").unwrap();
    assert!(definition.find("Tier__c").is_some() && definition.find("Industry").is_some());
    assert_eq!(org.table(account).live(), 1);
    assert!(org.schema.find("Plot__c").unwrap().1.prefix.starts_with('a'));
}

#[test]
fn an_empty_base_has_what_no_org_is_without() {
    let scenario = Scenario::read("my.yaml", "base: empty\nusers: [{ username: a@b.c, last_name: A }]").unwrap();
    let org = scenario.org("source", 1, Duration::ZERO..=Duration::ZERO, 0).unwrap();
    assert!(org.schema.find("User").is_some() && org.schema.find("Account").is_none());
    assert_eq!(org.user(&org.integration_user()).unwrap().username, "a@b.c");
}

#[test]
fn a_mistake_is_told_with_its_place() {
    for (text, told) in [
        ("objects: [{ name: A__c, fields: [{ name: x, type: strin }] }]", "my.yaml:1: unknown variant `strin`"),
        ("faults:\n  - { kind: cut }\n  - { kind: cut, nth: 0 }", "my.yaml:3: faults: nth: a number from 1 up"),
        (
            "channels: [{ name: A__chn, members: [{ entity: AccountChangeEvent, filter: Nme = 'x' }] }]",
            "my.yaml:1: A__chn: AccountChangeEvent: filter: Account has no field Nme",
        ),
        (
            "channels: [{ name: A__chn, members: [{ entity: AccountChangeEvent, enriched_fields: [Nme] }] }]",
            "my.yaml:1: A__chn: AccountChangeEvent: the field Nme cannot be enriched",
        ),
        ("faults: [{ kind: cut, orgs: 5 }]", "my.yaml:1: faults: orgs: "),
        (
            "faults: [{ kind: cut, name: a }, { kind: hold, name: a }]",
            "my.yaml:1: faults: name: two rules are called a",
        ),
        ("objekts: []", "my.yaml:1: unknown field `objekts`"),
        (
            "\nobjects:\n  - name: A__c\n    fields:\n      - { name: P__c, type: lookup, to: [Nope] }",
            "there is no object Nope",
        ),
        ("triggers:\n  - { name: T, object: Nope }", "my.yaml:2: T: there is no object Nope"),
        (
            "triggers:\n  - { name: T, object: Account, when: Foo = 1 }",
            "my.yaml:2: T: `when`: Account has no field Foo",
        ),
        (
            "triggers:\n  - { name: T, object: Account, set: { Contacts__c: 1 } }",
            "Account.Contacts__c cannot be written",
        ),
        ("assignment_rules:\n  - { object: Case, entries: [{ owner: Nobody }] }", "there is no queue or user Nobody"),
        ("records:\n  - object: Account\n    fields: { Phone: '1' }", "my.yaml:2: Account: REQUIRED_FIELD_MISSING"),
        ("channels: [{ name: X__chn, members: [{ entity: NopeChangeEvent }] }]", "there is no entity NopeChangeEvent"),
        (
            "objects:\n  - name: Account\n    fields: [{ name: S__c, type: rollup, summary: { function: sum, of: Contact.AccountId } }]",
            "my.yaml:3: S__c: `field` names what is summed up",
        ),
    ] {
        let error = error(text);
        assert!(error.starts_with("my.yaml") && error.contains(told), "{error}");
    }
}

#[test]
fn a_scenario_brings_its_own_apps() {
    let text = "
apps:
  - name: Bridge
    consumer_key: my-key
    require_pkce: true
    client_credentials_user: \"olga@{org}.example.com\"
  - { name: Other, flows: [jwt] }
";
    let login = Scenario::read("my.yaml", text).unwrap().login("source", 1).unwrap();
    let apps = login.apps();
    assert_eq!((apps.len(), apps[0].key.as_str(), apps[0].spec.require_pkce), (2, "my-key", true));
    assert!(format!("{:?}", apps[0].spec.client_credentials_user).contains("olga@source.example.com"));
    assert!(error("apps: [{ name: A, certificate: nonsense }]").starts_with("my.yaml: apps: "));
    assert!(error("apps: [{ name: A, refresh_policy: never }]").contains("never"));
}

#[test]
fn the_example_of_the_docs_is_good() {
    let docs = include_str!("../../../docs/emulator.md");
    let example = docs.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let scenario = Scenario::read("docs/emulator.md", example).unwrap();
    let org = scenario.org("source", 1, Duration::ZERO..=Duration::ZERO, 0).unwrap();
    let (machine, _) = org.schema.find("Machine__c").unwrap();
    assert_eq!(org.table(machine).live(), 1);
    assert!(org.user_by_name("erp@source.example.com").is_some());
}
