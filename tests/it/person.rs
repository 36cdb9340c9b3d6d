//! Person accounts: an account and a contact that are one record for the bridge.

use std::sync::Arc;

use orgbridge::config::Fill;
use orgbridge::emulator::Scenario;
use orgbridge::event::Timestamp;
use serde_json::{Value as Json, json};

use crate::support::World;

const SCENARIO: &str = "
person_accounts: true
objects:
  - name: Contact
    fields: [{ name: Level__c, type: picklist, values: [Gold, Silver] }]
";

/// Accounts that are persons in both orgs, with contacts captured or not.
async fn people(contacts_captured: bool) -> World {
    let scenario = Arc::new(Scenario::read("persons.yaml", SCENARIO).unwrap());
    let world = World::of(Some(scenario), |config| {
        config.pipelines.truncate(1);
        let fields = [
            ("Source_Id__c", "Id"),
            ("LastName", "Name.LastName"),
            ("FirstName", "Name.FirstName"),
            ("Phone", "Phone"),
            ("PersonEmail", "PersonEmail"),
            ("PersonTitle", "PersonTitle"),
            ("PersonMailingCity", "PersonMailingAddress.City"),
            ("Level__pc", "Level__pc"),
        ];
        let rule = |path: &str| Fill::Source(path.parse().unwrap()).into();
        config.pipelines[0].fields = fields.map(|(name, path)| (name.parse().unwrap(), rule(path))).into();
    });
    let mut world = world.await;
    world.control(world.source(), "capture", json!({"object": "Contact", "on": contacts_captured})).await;
    world.start();
    world.live_since(Timestamp(0)).await;
    world
}

/// What the target says of the one account that it has.
async fn there(world: &World) -> Json {
    let soql = "SELECT Name, Phone, PersonEmail, PersonTitle, PersonMailingCity, Level__pc FROM Account";
    let rows = world.orgs[&"target".parse().unwrap()].query(soql).await.unwrap();
    assert_eq!(rows.len(), 1);
    let mut row = Json::Object(rows.into_iter().next().unwrap());
    row.as_object_mut().unwrap().remove("attributes");
    row
}

async fn what_changes_of_a_person_arrives(captured: bool) {
    let mut world = people(captured).await;
    let person =
        json!({"FirstName": "Ada", "LastName": "Brown", "PersonEmail": "ada@example.com", "Level__pc": "Gold"});
    let id = world.create("Account", vec![person]).await.remove(0);
    world.caught_up().await;
    let expected = json!({"Name": "Ada Brown", "Phone": null, "PersonEmail": "ada@example.com", "PersonTitle": null,
            "PersonMailingCity": null, "Level__pc": "Gold"});
    assert_eq!(there(&world).await, expected);

    // By the account, by its contact, and of both sides at once.
    let of = format!("SELECT Id FROM Contact WHERE AccountId = '{id}'");
    let contact = world.orgs[&"source".parse().unwrap()].query(&of).await.unwrap();
    let contact = contact[0]["Id"].as_str().unwrap().to_owned();
    world.update("Account", vec![(id.clone(), json!({"PersonMailingCity": "Oslo"}))]).await;
    world.caught_up().await;
    world.update("Contact", vec![(contact, json!({"Title": "Dr", "Email": null}))]).await;
    world.caught_up().await;
    world.update("Account", vec![(id, json!({"Phone": "1", "LastName": "Lee", "Level__pc": "Silver"}))]).await;
    world.caught_up().await;
    let expected = json!({"Name": "Ada Lee", "Phone": "1", "PersonEmail": null, "PersonTitle": "Dr",
            "PersonMailingCity": "Oslo", "Level__pc": "Silver"});
    assert_eq!(there(&world).await, expected);
    assert_eq!(world.assert_equal().await, 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_of_a_person_arrives_where_its_contact_is_captured() {
    what_changes_of_a_person_arrives(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_of_a_person_arrives_where_its_contact_is_not() {
    what_changes_of_a_person_arrives(false).await;
}
