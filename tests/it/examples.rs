//! The examples in `config/`: they fit orgs that have their fields, and run.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use apache_avro::types::Value as Avro;
use orgbridge::bridge;
use orgbridge::check;
use orgbridge::config::{self, Config, Does, Severity};
use orgbridge::emulator::Scenario;
use orgbridge::event::{OrgName, Timestamp};
use serde_json::{Value as Json, json};

use crate::bus::Bus;
use crate::support::World;

const CASES: &str = include_str!("../../config/case-escalation.yaml");
const SHIPPED: &str = include_str!("../../config/event-triggered-action.yaml");
const ESCALATED: &str = include_str!("../../config/case-escalated-event.yaml");
const CUSTOMERS: &str = include_str!("../../config/account-to-apex-rest.yaml");

/// The event that `ESCALATED` publishes.
const CASE_ESCALATED: &str = "
objects:
  - name: Case_Escalated__e
    prefix: e01
    label: Case Escalated
    plural: Cases Escalated
    fields:
      - { name: Number__c, type: string, length: 40, label: Number, required: true }
      - { name: Subject__c, type: string, length: 255, label: Subject }
      - { name: Request_Key__c, type: string, length: 36, label: Request Key }
";

/// An example, and what its orgs have beyond the standard scenario.
const EXAMPLES: [(&str, &str); 8] = [
    (CASES, ""),
    (SHIPPED, ""),
    (ESCALATED, CASE_ESCALATED),
    (CUSTOMERS, ""),
    (
        include_str!("../../config/accounts-and-contacts.yaml"),
        "
objects:
  - name: Account
    fields:
      - { name: Former__c, type: boolean, label: Former }
      - { name: Size__c, type: picklist, values: [Small, Medium, Large], restricted: true, label: Size }
      - { name: Origin__c, type: string, length: 40, label: Origin }
  - name: Contact
    fields:
      - { name: Newsletter__c, type: picklist, values: ['Yes', 'No'], restricted: true, label: Newsletter }
",
    ),
    (
        include_str!("../../config/lead-hand-over.yaml"),
        "
base: empty
users: [{ username: \"integration@{org}.example.com\", last_name: Integration }]
objects:
  - name: Lead
    prefix: 00Q
    owner: user
    change_events: true
    fields:
      - { name: LastName, type: string, length: 80, label: Last Name, required: true, name_part: true }
      - { name: FirstName, type: string, length: 40, label: First Name, name_part: true }
      - { name: Name, type: full_name, label: Full Name }
      - { name: Company, type: string, length: 255, required: true }
      - { name: Email, type: email }
      - { name: Phone, type: phone }
      - { name: Address, type: address, label: Lead }
      - { name: LeadSource, type: picklist, values: [Web, Phone, Partner, Website, Inbound call, Other], label: Source }
      - { name: Status, type: picklist, values: [New, Qualified], required: true, default: New }
      - { name: Rating, type: picklist, values: [Hot, Warm, Cold, A, B, C] }
      - { name: Interests__c, type: multipicklist, values: [Solar, Storage, Heat pump, Wind], label: Interests }
      - { name: Interest__c, type: multipicklist, values: [Solar, Storage, Heat pump], label: Interest }
      - { name: Marketing_Id__c, type: string, length: 18, external_id: true, unique: true, label: Marketing Id }
  - name: Contact
    prefix: '003'
    owner: user
    fields:
      - { name: LastName, type: string, length: 80, label: Last Name, required: true, name_part: true }
      - { name: FirstName, type: string, length: 40, label: First Name, name_part: true }
      - { name: Name, type: full_name, label: Full Name }
      - { name: Email, type: email }
      - { name: Phone, type: phone }
      - { name: Description, type: textarea, length: 32000 }
      - { name: Company_Name__c, type: string, length: 255, label: Company }
      - { name: Marketing_Id__c, type: string, length: 18, external_id: true, unique: true, label: Marketing Id }
",
    ),
    (
        include_str!("../../config/opportunity-to-project.yaml"),
        "
objects:
  - name: Opportunity
    fields:
      - { name: Type, type: picklist, values: [New Business, Existing Business] }
  - name: Customer__c
    label: Customer
    fields:
      - { name: Name, type: string, length: 80, required: true }
      - { name: City__c, type: string, length: 80, label: City }
      - { name: Sales_Id__c, type: string, length: 18, external_id: true, unique: true, label: Sales Id }
  - name: Project__c
    label: Project
    fields:
      - { name: Name, type: string, length: 80, required: true }
      - { name: Customer__c, type: lookup, to: [Customer__c], relationship: Customer__r, children: Projects__r, label: Customer }
      - { name: Kind__c, type: picklist, values: [New, Extension, Other], restricted: true, label: Kind }
      - { name: State__c, type: picklist, values: [Active, Withdrawn], restricted: true, label: State }
      - { name: Start__c, type: date, label: Start }
      - { name: Budget__c, type: currency, precision: 18, scale: 2, label: Budget }
      - { name: Monthly_Budget__c, type: currency, precision: 18, scale: 2, label: Monthly Budget }
      - { name: Review__c, type: boolean, label: Review }
      - { name: Sales_Id__c, type: string, length: 18, external_id: true, unique: true, label: Sales Id }
",
    ),
    (
        include_str!("../../config/two-sources-into-one-hub.yaml"),
        "
objects:
  - name: Account
    fields:
      - { name: Key__c, type: string, length: 40, external_id: true, unique: true, label: Key }
  - name: Contact
    fields:
      - { name: Key__c, type: string, length: 40, external_id: true, unique: true, label: Key }
",
    ),
];

/// An example as it is, with some login.
fn example(text: &str) -> Config {
    let variable = |_: &str| Some("x".to_owned());
    let parsed = config::parse(text, Path::new("example.yaml"), &variable, &|_| unreachable!());
    parsed.unwrap_or_else(|problems| panic!("{problems}"))
}

/// What an example does with the events of one of its orgs, from the source to the target of the test.
fn what_is_of(example: Config, from: &OrgName) -> impl FnOnce(&mut Config) {
    let Config { mut pipelines, mut actions, .. } = example;
    pipelines.retain(|pipeline| pipeline.from.org == *from);
    for pipeline in &mut pipelines {
        pipeline.from.org = "source".parse().unwrap();
        pipeline.to.org = "target".parse().unwrap();
    }
    actions.retain(|action| action.from.org == *from);
    for action in &mut actions {
        action.from.org = "source".parse().unwrap();
        match &mut action.does {
            Does::Flow { org, .. } | Does::Apex { org, .. } | Does::ApexRest { org, .. } | Does::Event { org, .. } => {
                *org = "target".parse().unwrap();
            }
            Does::Webhook(_) => {}
        }
    }
    move |config| (config.pipelines, config.actions) = (pipelines, actions)
}

#[tokio::test]
async fn check_finds_nothing_wrong_with_any() {
    let mut names: Vec<_> = std::fs::read_dir("config").unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.retain(|name| !["bridge.example.yaml", "demo.yaml"].contains(&name.to_str().unwrap()));
    assert_eq!(names.len(), EXAMPLES.len(), "all of {names:?}");
    for (text, scenario) in EXAMPLES {
        let config = example(text);
        let of_actions = config.actions.iter().map(|action| &action.from);
        let read = config.pipelines.iter().map(|pipeline| &pipeline.from).chain(of_actions);
        let sources: BTreeSet<_> = read.map(|from| from.org.clone()).collect();
        for source in sources {
            let scenario = (!scenario.is_empty()).then(|| Scenario::read("scenario", scenario).unwrap());
            let world = World::of(scenario.map(Arc::new), what_is_of(config.clone(), &source)).await;
            let found = check::check(&world.config, &bridge::orgs(&world.config).unwrap()).await;
            let weighty: Vec<_> = found.iter().filter(|found| found.severity != Severity::Note).collect();
            assert!(weighty.is_empty(), "{weighty:#?}");
        }
    }
}

async fn one(world: &World, org: &str, soql: &str) -> Json {
    let org = &world.orgs[&org.parse::<OrgName>().unwrap()];
    Json::Object(org.query(soql).await.unwrap().remove(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_case_that_is_escalated_goes_to_the_queue_of_the_second_tier() {
    let mut world = World::with(what_is_of(example(CASES), &"emea".parse().unwrap())).await;
    world.start();
    world.live_since(Timestamp(0)).await;
    let account = world.create("Account", vec![json!({"Name": "Acme"})]).await.remove(0);
    let contact = json!({"LastName": "Ada", "Email": "ada@acme.example"});
    let session = world.orgs[&"target".parse::<OrgName>().unwrap()].session().await.unwrap();
    world.create_there(&session, "Contact", contact).await;
    let case = json!({"Subject": "No light", "AccountId": account, "SuppliedEmail": "Ada@Acme.example"});
    let case = world.create("Case", vec![case]).await.remove(0);
    world.caught_up().await;
    world.assert_equal().await;
    let target = &world.orgs[&"target".parse::<OrgName>().unwrap()];
    assert!(target.query("SELECT Id FROM Case").await.unwrap().is_empty(), "the region works on it itself");
    // The assignment rules of the region gave it to the Support queue.
    world.update("Case", vec![(case, json!({"IsEscalated": true}))]).await;
    world.caught_up().await;
    let columns = "RecordType.DeveloperName, Owner.Name, Account.Name, Contact.LastName, Status";
    let row = one(&world, "target", &format!("SELECT {columns} FROM Case")).await;
    assert_eq!(
        [&row["RecordType"]["DeveloperName"], &row["Account"]["Name"], &row["Contact"]["LastName"], &row["Status"]],
        ["Escalation", "Acme", "Ada", "New"]
    );
    assert_eq!(row["Owner"]["Name"], "Tier 2");
    world.assert_equal().await;
    world.stop().await;
}

/// A running bridge that does what an example of actions does with the events of one of its orgs.
async fn acting(text: &str, scenario: &str, from: &str) -> World {
    let scenario = (!scenario.is_empty()).then(|| Arc::new(Scenario::read("scenario", scenario).unwrap()));
    let mut world = World::of(scenario, what_is_of(example(text), &from.parse().unwrap())).await;
    world.start();
    world.live_since(Timestamp(0)).await;
    world
}

/// Waits until so many events came, and nothing of them is left to be done: how many were done.
async fn done_of(world: &mut World, action: &str, events: u64) -> u64 {
    let status = world
        .until("the actions of all events", |status| {
            let of = &status.actions[&action.parse().unwrap()];
            of.taken >= events && of.caught_up
        })
        .await;
    let of = &status.actions[&action.parse().unwrap()];
    assert_eq!((of.taken, of.failed, of.done + of.skipped), (events, 0, events), "{of:?}");
    of.done
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_left_starts_the_flow_once_with_its_key() {
    let mut world = acting(SHIPPED, "", "shop").await;
    let events = vec![
        json!({"Order_Number__c": "4711", "Shipped__c": true, "Quantity__c": 35}),
        json!({"Order_Number__c": "4711", "Shipped__c": false, "Quantity__c": 35}),
        json!({"Order_Number__c": "4712", "Shipped__c": true}),
    ];
    world.create("Order_Shipped__e", events).await;
    assert_eq!(done_of(&mut world, "tell-the-customer", 3).await, 2);
    let calls = world.control_get(world.target(), "actions").await;
    let mut inputs: Vec<Json> = calls.as_array().unwrap().iter().map(|call| call["inputs"].clone()).collect();
    // Those of different orders may overtake each other.
    inputs.sort_by_key(|inputs| inputs["orderId"].as_str().unwrap().to_owned());
    let keys: Vec<Json> = inputs.iter_mut().map(|inputs| inputs["requestKey"].take()).collect();
    assert!(keys.iter().all(|key| key.as_str().is_some_and(|key| key.len() == 36)), "{keys:?}");
    assert_eq!(
        inputs,
        [
            json!({"orderId": "4711", "amount": 35, "requestKey": null}),
            json!({"orderId": "4712", "amount": 0, "requestKey": null}),
        ]
    );
    assert_ne!(keys[0], keys[1]);
    world.stop().await;
}

fn text(json: &Json) -> Avro {
    Avro::String(json.as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_case_that_is_escalated_is_announced_once() {
    let mut world = acting(ESCALATED, CASE_ESCALATED, "support").await;
    let case = world.create("Case", vec![json!({"Subject": "No light"})]).await.remove(0);
    world.update("Case", vec![(case.clone(), json!({"IsEscalated": true}))]).await;
    assert_eq!(done_of(&mut world, "announce-escalations", 2).await, 1);
    world.update("Case", vec![(case, json!({"Subject": "It smells"}))]).await;
    // If one of the first were announced again, that would come before this one.
    world.create("Case", vec![json!({"Subject": "It burns", "IsEscalated": true})]).await;
    assert_eq!(done_of(&mut world, "announce-escalations", 4).await, 2);

    let source = &world.orgs[&"source".parse::<OrgName>().unwrap()];
    let cases = source.query("SELECT CaseNumber FROM Case ORDER BY CaseNumber").await.unwrap();
    let published = Bus::of(&world, "Case_Escalated__e").await.events(2).await;
    let said: Vec<_> = published.iter().map(|(_, event)| [&event["Number__c"], &event["Subject__c"]]).collect();
    let numbers: Vec<Avro> = cases.iter().map(|case| text(&case["CaseNumber"])).collect();
    let subjects = ["No light", "It burns"].map(|subject| Avro::String(subject.to_owned()));
    assert_eq!(said, [[&numbers[0], &subjects[0]], [&numbers[1], &subjects[1]]]);
    let keys: Vec<&Avro> = published.iter().map(|(_, event)| &event["Request_Key__c"]).collect();
    assert!(keys.iter().all(|key| matches!(key, Avro::String(key) if key.len() == 36)), "{keys:?}");
    assert_ne!(keys[0], keys[1]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_becomes_a_customer_is_handed_to_apex_once() {
    let mut world = acting(CUSTOMERS, "", "sales").await;
    let prospect = json!({"Name": "Acme", "Type": "Prospect", "Phone": "+41 31 555 01 01", "Industry": "Energy"});
    let account = world.create("Account", vec![prospect]).await.remove(0);
    world.update("Account", vec![(account.clone(), json!({"Type": "Customer"}))]).await;
    world.update("Account", vec![(account, json!({"Description": "Pays at once."}))]).await;
    world.create("Account", vec![json!({"Name": "Globex", "Type": "Customer", "Phone": "+41 31 555 01 02"})]).await;
    assert_eq!(done_of(&mut world, "hand-over-customers", 4).await, 2);
    let target = &world.orgs[&"target".parse::<OrgName>().unwrap()];
    let mut rows = target.query("SELECT Name, Phone, Industry FROM Account ORDER BY Name").await.unwrap();
    rows.iter_mut().for_each(|row| drop(row.remove("attributes")));
    assert_eq!(
        json!(rows),
        json!([
            {"Name": "Acme", "Phone": "+41 31 555 01 01", "Industry": "Energy"},
            {"Name": "Globex", "Phone": "+41 31 555 01 02", "Industry": null},
        ])
    );
    world.stop().await;
}
