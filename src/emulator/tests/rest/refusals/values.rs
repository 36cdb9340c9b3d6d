//! Values as they are written and as they are read.

use serde_json::{Value as Json, json};

use crate::tests::World;

#[tokio::test]
async fn values_are_read_in_the_form_of_their_type() {
    let world = World::new().await;
    let account = world.id_of("Account", json!({"Name": "A", "Source_Id__c": "a"})).await;
    let cases = [
        ("Text__c", json!("  a b "), json!("a b")),
        ("Text__c", json!(""), Json::Null),
        ("Text__c", json!(null), Json::Null),
        ("Area__c", json!("a\nb"), json!("a\nb")),
        ("Paid__c", json!(true), json!(true)),
        ("Quantity__c", json!(7.9), json!(7)),
        ("Weight__c", json!(1.234_567_8), json!(1.234_567)),
        ("Amount__c", json!(-12.5), json!(-12.5)),
        ("Due__c", json!("2026-03-01"), json!("2026-03-01")),
        ("Sent__c", json!("2026-03-01T12:00:00Z"), json!("2026-03-01T12:00:00.000+0000")),
        ("Sent__c", json!("2026-03-01T12:00:00.789Z"), json!("2026-03-01T12:00:00.000+0000")),
        ("Sent__c", json!("2026-03-01T12:00:00+01:00"), json!("2026-03-01T11:00:00.000+0000")),
        ("Sent__c", json!("2026-03-01T12:00:00+0100"), json!("2026-03-01T11:00:00.000+0000")),
        ("Opens__c", json!("10:15:00.000Z"), json!("10:15:00.000Z")),
        ("Status__c", json!("Sent"), json!("Sent")),
        ("Tags__c", json!("Blue;Red"), json!("Red;Blue")),
        ("Account__c", json!(&account[..15]), json!(account)),
        ("Account__c", json!(null), Json::Null),
        ("Secret__c", json!("abc"), json!("***")),
    ];
    for (field, written, read) in cases {
        let id = world.id_of("Invoice__c", json!({field: written})).await;
        let record = world.ok("GET", &format!("sobjects/Invoice__c/{id}?fields={field}"), Json::Null).await;
        assert_eq!(record[field], read, "{field} {written}");
    }
    let by_key = world
        .id_of(
            "Invoice__c",
            json!({"Account__r": {"Source_Id__c": "A"}, "Place__Latitude__s": 1.5, "Place__Longitude__s": 2}),
        )
        .await;
    let record = world.ok("GET", &format!("sobjects/Invoice__c/{by_key}"), Json::Null).await;
    assert_eq!(
        (&record["Account__c"], &record["Place__c"]),
        (&json!(account), &json!({"latitude": 1.5, "longitude": 2}))
    );
}

#[tokio::test]
async fn a_field_that_is_absent_stays_and_one_that_is_null_is_cleared() {
    let world = World::new().await;
    let id = world.id_of("Account", json!({"Name": "A", "Phone": "1", "Website": "w.example"})).await;
    let path = format!("sobjects/Account/{id}");
    world.call("PATCH", &path, json!({"Phone": null})).await;
    let record = world.ok("GET", &path, Json::Null).await;
    assert_eq!((&record["Phone"], &record["Website"]), (&Json::Null, &json!("w.example")));
    let (status, body) = world.call("PATCH", &path, json!({"Name": null})).await;
    assert_eq!((status, &body[0]["errorCode"]), (400, &json!("REQUIRED_FIELD_MISSING")));
}

#[tokio::test]
async fn polymorphic_parents_are_named_with_their_type() {
    let world = World::new().await;
    let contact = world.id_of("Contact", json!({"LastName": "L", "Source_Id__c": "c"})).await;
    let typed = json!({"Subject": "S", "Who": {"attributes": {"type": "Contact"}, "Source_Id__c": "c"},
        "Owner": {"attributes": {"type": "User"}, "Username": "olga@one.example.com"}});
    let id = world.id_of("Task", typed).await;
    let task = world.ok("GET", &format!("sobjects/Task/{id}"), Json::Null).await;
    assert_eq!(task["WhoId"], json!(contact));
    let untyped = json!({"Subject": "S", "Who": {"Source_Id__c": "c"}});
    assert_eq!(world.call("POST", "sobjects/Task", untyped).await.0, 400);
}

#[tokio::test]
async fn a_parent_is_named_by_its_id_too_and_cleared_in_either_form() {
    let world = World::new().await;
    let account = world.id_of("Account", json!({"Name": "A", "Source_Id__c": "a"})).await;
    let contact = world.id_of("Contact", json!({"LastName": "L", "Account": {"Id": &account[..15]}})).await;
    let invoice = world.id_of("Invoice__c", json!({"Account__c": account, "Account__r": null})).await;
    let parent = async |path: &str, field: &str| world.ok("GET", path, Json::Null).await[field].clone();
    let (contact, invoice) = (format!("sobjects/Contact/{contact}"), format!("sobjects/Invoice__c/{invoice}"));
    // A relationship that is null says nothing where the id is there too.
    assert_eq!(parent(&contact, "AccountId").await, json!(account));
    assert_eq!(parent(&invoice, "Account__c").await, json!(account));
    world.ok("PATCH", &contact, json!({"Account": null})).await;
    world.ok("PATCH", &invoice, json!({"Account__c": null})).await;
    assert_eq!(parent(&contact, "AccountId").await, Json::Null);
    assert_eq!(parent(&invoice, "Account__c").await, Json::Null);
}
