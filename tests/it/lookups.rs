//! Lookups that only the orgs can answer: parents that come later, records found by a value, owners, record types.

use std::path::Path;
use std::time::Duration;

use orgbridge::config::{self, Config};
use orgbridge::event::{OrgName, Timestamp};
use serde_json::{Value as Json, json};

use crate::support::World;

/// The pipelines of this text, between the orgs of the test.
fn with(pipelines: &str) -> impl FnOnce(&mut Config) {
    let org =
        |port: u8| format!("{{ login_url: \"http://127.0.0.1:{port}\", client_credentials: {{ key: k, secret: s }} }}");
    let text = format!("version: 1\norgs:\n  source: {}\n  target: {}\npipelines:\n{pipelines}", org(1), org(2));
    let parsed = config::parse(&text, Path::new("test.yaml"), &|_| None, &|_| unreachable!());
    let parsed = parsed.unwrap_or_else(|problems| panic!("{problems}"));
    move |config| {
        config.pipelines = parsed.pipelines;
        config.look_again = Duration::from_secs(1);
    }
}

async fn started(pipelines: &str) -> World {
    let mut world = World::with(with(pipelines)).await;
    world.start();
    world.live_since(Timestamp(0)).await;
    world
}

/// The rows of the target, as it answers a query.
async fn there(world: &World, soql: &str) -> Vec<Json> {
    let target = &world.orgs[&"target".parse::<OrgName>().unwrap()];
    target.query(soql).await.unwrap().into_iter().map(Json::Object).collect()
}

async fn id_there(world: &World, soql: &str) -> Json {
    there(world, soql).await[0]["Id"].clone()
}

async fn id_here(world: &World, soql: &str) -> String {
    let source = &world.orgs[&"source".parse::<OrgName>().unwrap()];
    source.query(soql).await.unwrap()[0]["Id"].as_str().unwrap().to_owned()
}

fn unfilled(status: &orgbridge::status::Status) -> u64 {
    status.pipelines.values().map(|line| line.unfilled).sum()
}

const ACCOUNTS: &str = r#"
  - name: accounts
    from: { org: source, channel: /data/AccountChangeEvent, object: Account }
    to: { org: target, object: Account, key: Source_Id__c }
    when: Industry != "Hold"
    fields: { Source_Id__c: Id, Name: Name, Industry: Industry }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_child_is_written_without_its_parent_and_filled_when_the_parent_lands() {
    let contacts = r#"
  - name: contacts
    from: { org: source, channel: /data/ContactChangeEvent, object: Contact }
    to: { org: target, object: Contact, key: Source_Id__c }
    fields:
      Source_Id__c: Id
      LastName: Name.LastName
      AccountId: { parent: accounts, from: AccountId, if_missing: fill_later }
"#;
    let mut world = started(&format!("{ACCOUNTS}{contacts}")).await;
    let account = world.create("Account", vec![json!({"Name": "Acme", "Industry": "Hold"})]).await.remove(0);
    world.create("Contact", vec![json!({"LastName": "Early", "AccountId": account})]).await;
    world.until("a lookup to be filled", |status| unfilled(status) == 1).await;
    let contact = "SELECT LastName, AccountId FROM Contact";
    assert_eq!(there(&world, contact).await[0]["AccountId"], Json::Null);
    // It survives a restart.
    world.stop().await;
    world.start();
    world.update("Account", vec![(account, json!({"Industry": "Energy"}))]).await;
    world.until("nothing left to be filled", |status| unfilled(status) == 0 && status.pipelines.len() == 2).await;
    world.caught_up().await;
    let parent = id_there(&world, "SELECT Id FROM Account").await;
    assert_eq!(there(&world, contact).await[0]["AccountId"], parent);
    assert_eq!(world.assert_equal().await, 2);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_queues_record_types_and_values_are_found_in_the_target() {
    let mut world = started(
        r#"
  - name: accounts
    from: { org: source, channel: /data/AccountChangeEvent, object: Account }
    to: { org: target, object: Account, key: Source_Id__c }
    fields:
      Source_Id__c: Id
      Name: Name
      RecordTypeId: { from: RecordTypeId, as: record_type, table: { Business: Household, Household: Business } }
  - name: cases
    from: { org: source, channel: /data/CaseChangeEvent, object: Case }
    to: { org: target, object: Case, key: Source_Id__c }
    fields:
      Source_Id__c: Id
      Subject: Subject
      OwnerId: { from: OwnerId, as: owner, fallback: Support }
      ContactId: { find: Contact, by: Email, cel: lower(Description), if_missing: fill_later }
"#,
    )
    .await;
    let olga = id_here(&world, "SELECT Id FROM User WHERE Username = 'olga@source.example.com'").await;
    let leads = id_here(&world, "SELECT Id FROM Group WHERE DeveloperName = 'Leads_EMEA'").await;
    let household = id_here(&world, "SELECT Id FROM RecordType WHERE DeveloperName = 'Household'").await;
    world.create("Account", vec![json!({"Name": "Acme", "RecordTypeId": household})]).await;
    // Nobody has a Federation ID for this one.
    let limited = id_here(&world, "SELECT Id FROM User WHERE Username = 'limited@source.example.com'").await;
    let owners = [("a user's", olga), ("a queue's", leads), ("nobody's", limited)];
    let case = |(subject, _): &(&str, String)| json!({"Subject": subject, "Description": "ADA@x.example"});
    let cases = world.create("Case", owners.iter().map(case).collect()).await;
    // The assignment rules of the source have given them to a queue of their own.
    let owned = cases.into_iter().zip(&owners).map(|(id, (_, owner))| (id, json!({"OwnerId": owner})));
    world.update("Case", owned.collect()).await;
    world.until("cases without their contact", |status| unfilled(status) == 3).await;
    let owner = |subject: &str| {
        format!("SELECT OwnerId, ContactId FROM Case WHERE Subject = '{}'", subject.replace('\'', "\\'"))
    };
    let found = [
        ("a user's", "SELECT Id FROM User WHERE Username = 'olga@target.example.com'"),
        ("a queue's", "SELECT Id FROM Group WHERE DeveloperName = 'Leads_EMEA'"),
        ("nobody's", "SELECT Id FROM Group WHERE DeveloperName = 'Support'"),
    ];
    world.caught_up().await;
    for (subject, expected) in found {
        let rows = there(&world, &owner(subject)).await;
        assert_eq!(rows[0]["OwnerId"], id_there(&world, expected).await, "{subject}");
        assert_eq!(rows[0]["ContactId"], Json::Null);
    }
    let kind = "SELECT RecordType.DeveloperName FROM Account";
    assert_eq!(there(&world, kind).await[0]["RecordType"]["DeveloperName"], json!("Business"));
    // Somebody makes the contact in the target: the bridge looks again.
    let target_org = &world.orgs[&"target".parse::<OrgName>().unwrap()];
    let session = target_org.session().await.unwrap();
    world.create_there(&session, "Contact", json!({"LastName": "Ada", "Email": "ADA@x.example"})).await;
    world.until("cases with their contact", |status| unfilled(status) == 0).await;
    let contact = id_there(&world, "SELECT Id FROM Contact").await;
    assert!(there(&world, "SELECT ContactId FROM Case").await.iter().all(|row| row["ContactId"] == contact));
    world.caught_up().await;
    assert_eq!(world.assert_equal().await, 4);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lookup_of_several_objects_names_the_right_one() {
    let mut world = started(
        r#"
  - name: accounts
    from: { org: source, channel: /data/AccountChangeEvent, object: Account }
    to: { org: target, object: Account, key: Source_Id__c }
    fields: { Source_Id__c: Id, Name: Name }
  - name: opportunities
    from: { org: source, channel: /data/OpportunityChangeEvent, object: Opportunity }
    to: { org: target, object: Opportunity, key: Source_Id__c }
    fields: { Source_Id__c: Id, Name: Name, StageName: StageName, CloseDate: CloseDate }
  - name: tasks
    from: { org: source, channel: /data/TaskChangeEvent, object: Task }
    to: { org: target, object: Task, key: Source_Id__c }
    fields:
      Source_Id__c: Id
      Subject: Subject
      WhatId: { parent: [accounts, opportunities], from: WhatId }
"#,
    )
    .await;
    let account = world.create("Account", vec![json!({"Name": "Acme"})]).await.remove(0);
    let opportunity = json!({"Name": "Big", "StageName": "Prospecting", "CloseDate": "2027-01-31"});
    let opportunity = world.create("Opportunity", vec![opportunity]).await.remove(0);
    let case = world.create("Case", vec![json!({"Subject": "nobody brings cases over"})]).await.remove(0);
    let task = |what: &str, id: &str| json!({"Subject": what, "WhatId": id});
    world.create("Task", vec![task("Account", &account), task("Opportunity", &opportunity), task("Case", &case)]).await;
    world.caught_up().await;
    for (subject, expected) in [("Account", "SELECT Id FROM Account"), ("Opportunity", "SELECT Id FROM Opportunity")] {
        let found = there(&world, &format!("SELECT WhatId FROM Task WHERE Subject = '{subject}'")).await;
        assert_eq!(found[0]["WhatId"], id_there(&world, expected).await, "{subject}");
    }
    let found = there(&world, "SELECT WhatId FROM Task WHERE Subject = 'Case'").await;
    assert_eq!(found[0]["WhatId"], Json::Null, "it is of an object that no pipeline brings over");
    assert_eq!(world.assert_equal().await, 5);
    world.stop().await;
}
