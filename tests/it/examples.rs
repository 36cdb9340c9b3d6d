//! The examples in `config/`: they fit orgs that have their fields, and run.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use orgbridge::bridge;
use orgbridge::check;
use orgbridge::config::{self, Config, PipelineConfig, Severity};
use orgbridge::emulator::Scenario;
use orgbridge::event::{OrgName, Timestamp};
use serde_json::{Value as Json, json};

use crate::support::World;

const CASES: &str = include_str!("../../config/case-escalation.yaml");

/// An example, and what its orgs have beyond the standard scenario.
const EXAMPLES: [(&str, &str); 6] = [
    (CASES, ""),
    (include_str!("../../config/event-triggered-action.yaml"), ""),
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

/// The pipelines that read one org of an example, from the source to the target of the test.
fn pipelines(mut pipelines: Vec<PipelineConfig>, from: &OrgName) -> impl FnOnce(&mut Config) {
    pipelines.retain(|pipeline| pipeline.from.org == *from);
    for pipeline in &mut pipelines {
        pipeline.from.org = "source".parse().unwrap();
        pipeline.to.org = "target".parse().unwrap();
    }
    move |config| config.pipelines = pipelines
}

#[tokio::test]
async fn check_finds_nothing_wrong_with_any() {
    let mut names: Vec<_> = std::fs::read_dir("config").unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.retain(|name| !["bridge.example.yaml", "demo.yaml"].contains(&name.to_str().unwrap()));
    assert_eq!(names.len(), EXAMPLES.len(), "all of {names:?}");
    for (text, scenario) in EXAMPLES {
        let config = example(text);
        let sources: BTreeSet<_> = config.pipelines.iter().map(|pipeline| pipeline.from.org.clone()).collect();
        for source in sources {
            let scenario = (!scenario.is_empty()).then(|| Scenario::read("scenario", scenario).unwrap());
            let world = World::of(scenario.map(Arc::new), pipelines(config.pipelines.clone(), &source)).await;
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
    let mut world = World::with(pipelines(example(CASES).pipelines, &"emea".parse().unwrap())).await;
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
