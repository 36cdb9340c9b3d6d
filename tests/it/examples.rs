//! The examples in `config/` whose fields the emulator's standard scenario has: they fit its orgs, and run.

use std::path::Path;

use orgbridge::bridge;
use orgbridge::check;
use orgbridge::config::{self, Config, Severity};
use orgbridge::event::{OrgName, Timestamp};
use serde_json::{Value as Json, json};

use crate::support::World;

const CASES: &str = include_str!("../../config/case-escalation.yaml");
const ACTION: &str = include_str!("../../config/event-triggered-action.yaml");

/// The pipelines of an example, from the source to the target of the test.
fn pipelines(example: &str, source: &str) -> impl FnOnce(&mut Config) {
    let org =
        |port: u8| format!("{{ login_url: \"http://127.0.0.1:{port}\", client_credentials: {{ key: k, secret: s }} }}");
    let pipelines = example.split_once("\npipelines:\n").unwrap().1.split("\ntests:\n").next().unwrap();
    let pipelines = pipelines.replace(&format!("org: {source}"), "org: source").replace("org: hq", "org: target");
    let text = format!("version: 1\norgs:\n  source: {}\n  target: {}\npipelines:\n{pipelines}", org(1), org(2));
    let parsed = config::parse(&text, Path::new("test.yaml"), &|_| None, &|_| unreachable!());
    let parsed = parsed.unwrap_or_else(|problems| panic!("{problems}"));
    move |config| config.pipelines = parsed.pipelines
}

#[tokio::test]
async fn check_finds_nothing_wrong_with_them() {
    for (example, source) in [(CASES, "emea"), (ACTION, "shop")] {
        let world = World::with(pipelines(example, source)).await;
        let found = check::check(&world.config, &bridge::orgs(&world.config).unwrap()).await;
        let weighty: Vec<_> = found.iter().filter(|found| found.severity != Severity::Note).collect();
        assert!(weighty.is_empty(), "{weighty:#?}");
    }
}

async fn one(world: &World, org: &str, soql: &str) -> Json {
    let org = &world.orgs[&org.parse::<OrgName>().unwrap()];
    Json::Object(org.query(soql).await.unwrap().remove(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_case_that_is_escalated_goes_to_the_queue_of_the_second_tier() {
    let mut world = World::with(pipelines(CASES, "emea")).await;
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
