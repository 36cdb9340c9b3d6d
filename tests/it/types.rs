//! What the target's fields take: values are converted and cut to it, and a field that changes meanwhile is noticed.

use orgbridge::config::{Config, FieldRule, Fill, Truncate};
use orgbridge::event::{Timestamp, Transport};
use serde_json::{Value as Json, json};

use crate::support::World;

/// Fills fields of the first pipeline's target (accounts), or of the second one's (contacts).
fn fill(config: &mut Config, pipeline: usize, rules: &[(&str, FieldRule)]) {
    let fields = &mut config.pipelines[pipeline].fields;
    for (name, rule) in rules {
        fields.retain(|(known, _)| known.as_str() != *name);
        fields.push((name.parse().unwrap(), rule.clone()));
    }
}

fn from(path: &str) -> FieldRule {
    Fill::Source(path.parse().unwrap()).into()
}

fn cut(path: &str) -> FieldRule {
    FieldRule { truncate: Some(Truncate::Field), ..from(path) }
}

async fn in_target(world: &World, soql: &str) -> Vec<Json> {
    let target = &world.orgs[&"target".parse().unwrap()];
    let rows = target.query(soql).await.unwrap();
    rows.into_iter().map(Json::Object).collect()
}

async fn started(mut world: World) -> World {
    world.start();
    world.live_since(Timestamp(0)).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn values_become_what_the_target_takes_and_what_cannot_fails_alone() {
    let rules = |config: &mut Config| {
        let rules = [
            ("Erp_Number__c", from("AccountNumber")),
            ("Region__c", from("NumberOfEmployees")),
            ("Reviewed__c", from("Website")),
            ("Phone", cut("Description")),
        ];
        fill(config, 0, &rules);
        fill(config, 1, &[("Title", from("Birthdate")), ("HasOptedOutOfEmail", from("Department"))]);
    };
    let mut world = started(World::with(rules).await).await;
    let long = "+41 ".repeat(30);
    let good = json!({"Name": "good", "AccountNumber": "0042.0", "NumberOfEmployees": 7, "Description": long});
    let bad = json!({"Name": "bad", "AccountNumber": "forty-two"});
    let accounts = world.create("Account", vec![good, bad]).await;
    let contact = json!({"LastName": "Roe", "Birthdate": "1980-02-29", "Department": "True", "AccountId": accounts[0]});
    world.create("Contact", vec![contact]).await;
    world.caught_up().await;
    world.until("a failed record", |status| status.pipelines.values().any(|line| line.failed == 1)).await;
    let found = in_target(&world, "SELECT Name, Erp_Number__c, Region__c, Phone FROM Account").await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((&found[0]["Name"], &found[0]["Region__c"]), (&json!("good"), &json!("7")));
    assert_eq!(found[0]["Erp_Number__c"].as_f64(), Some(42.0));
    assert_eq!(found[0]["Phone"], long[..40].trim_end());
    let found = in_target(&world, "SELECT Title, HasOptedOutOfEmail FROM Contact").await;
    assert_eq!((&found[0]["Title"], &found[0]["HasOptedOutOfEmail"]), (&json!("1980-02-29"), &json!(true)));
    world.stop().await;
}

/// The relationship is not named by the platform's rule, and the field is not there when the bridge starts. Its first write
/// names the relationship wrongly, and that is how the bridge hears of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_comes_later_is_noticed_when_the_target_refuses_what_is_written() {
    let boss = Fill::Parent { pipelines: vec!["accounts".parse().unwrap()], from: "AccountId".parse().unwrap() };
    let world = World::with(|config| fill(config, 1, &[("Boss__c", boss.into())])).await;
    let mut world = started(world).await;
    world.control(world.target(), "switches", json!({"malformed_fails_request": false})).await;
    let lookup = json!({"name": "Boss__c", "type": "lookup", "to": ["Account"], "relationship": "Chief__r",
        "children": "Staff__r"});
    world.control(world.target(), "fields", json!({"object": "Contact", "add": lookup})).await;
    let accounts = world.create("Account", vec![json!({"Name": "A"})]).await;
    world.create("Contact", vec![json!({"LastName": "Roe", "AccountId": accounts[0]})]).await;
    world.caught_up().await;
    world
        .until("the contact", |status| {
            status.pipelines.values().all(|line| line.applied == 1 && line.waiting == 0 && line.failed == 0)
        })
        .await;
    assert_eq!(world.assert_equal().await, 2);
    let found = in_target(&world, "SELECT Chief__r.Name FROM Contact").await;
    assert_eq!(found[0]["Chief__r"]["Name"], "A");
    world.stop().await;
}

/// An admin makes a field longer in the target, and adds one in the source: the events' new schema says so.
async fn a_longer_field_is_noticed(transport: Transport) {
    let world = World::with(|config| {
        config.orgs.values_mut().for_each(|org| org.transport = Some(transport));
        fill(config, 0, &[("Region__c", cut("Description"))]);
    });
    let mut world = started(world.await).await;
    let account = json!({"Name": "A", "Description": "x".repeat(400)});
    let mut accounts = world.create("Account", vec![account.clone()]).await;
    world.caught_up().await;
    let length = |rows: Vec<Json>| rows[0]["Region__c"].as_str().unwrap().len();
    let newest = "SELECT Region__c FROM Account ORDER BY CreatedDate DESC, Id DESC LIMIT 1";
    assert_eq!(length(in_target(&world, newest).await), 255);
    let longer = json!({"object": "Account", "convert": "Region__c", "type": "textarea", "length": 300});
    world.control(world.target(), "fields", longer).await;
    let added = json!({"object": "Account", "add": {"name": "Extra__c", "type": "string", "length": 10}});
    world.control(world.source(), "fields", added).await;
    // The first event of the new schema may be mapped before the answer is there.
    while length(in_target(&world, newest).await) == 255 {
        assert!(accounts.len() < 20, "the longer field is not noticed");
        accounts.extend(world.create("Account", vec![account.clone()]).await);
        world.caught_up().await;
    }
    assert_eq!(length(in_target(&world, newest).await), 300);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_longer_field_is_noticed_by_a_new_schema_of_the_pubsub_api() {
    a_longer_field_is_noticed(Transport::Pubsub).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_longer_field_is_noticed_by_a_new_schema_of_the_streaming_api() {
    a_longer_field_is_noticed(Transport::Cometd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_whose_target_is_not_described_begins_without_and_is_given_its_types_later() {
    let world = World::with(|config| fill(config, 0, &[("Region__c", cut("Description"))])).await;
    let hidden = json!([{"kind": "refuse", "method": "GET", "path": "*/sobjects/Account/describe*"}]);
    world.rules(world.target(), hidden).await;
    let mut world = started(world).await;
    let account = |name: &str, length: usize| json!({"Name": name, "Description": "x".repeat(length)});
    world.create("Account", vec![account("short", 10)]).await;
    world.caught_up().await;
    assert_eq!(in_target(&world, "SELECT Id FROM Account").await.len(), 1);
    world.no_faults(world.target()).await;
    let mut tries = 0;
    while in_target(&world, "SELECT Region__c FROM Account WHERE Name = 'long'").await.is_empty() {
        assert!(tries < 30, "it is never described");
        tries += 1;
        world.create("Account", vec![account("long", 400)]).await;
        world.caught_up().await;
    }
    let found = in_target(&world, "SELECT Region__c FROM Account WHERE Name = 'long'").await;
    assert_eq!(found[0]["Region__c"].as_str().unwrap().len(), 255);
    world.stop().await;
}
