//! Person accounts as a client sees them.

use serde_json::{Value as Json, json};

use super::World;

const SCENARIO: &str = "
person_accounts: true
objects:
  - name: Contact
    fields: [{ name: Level__c, type: picklist, values: [Gold, Silver] }]
";

#[tokio::test]
async fn a_person_is_written_described_found_and_told() {
    let world = World::of(SCENARIO).await;
    let describe = world.ok("GET", "sobjects/Account/describe", Json::Null).await;
    let field = |name: &str| {
        let fields = describe["fields"].as_array().unwrap();
        fields.iter().find(|field| field["name"] == name).unwrap_or_else(|| panic!("{name}")).clone()
    };
    for (name, key, value) in [
        ("LastName", "compoundFieldName", json!("Name")),
        ("LastName", "nillable", json!(true)),
        ("Level__pc", "custom", json!(true)),
        ("Level__pc", "type", json!("picklist")),
        ("IsPersonAccount", "type", json!("boolean")),
        ("IsPersonAccount", "createable", json!(false)),
        ("PersonContactId", "referenceTo", json!(["Contact"])),
        ("PersonContactId", "updateable", json!(false)),
        ("PersonMailingAddress", "type", json!("address")),
        ("PersonMailingCity", "compoundFieldName", json!("PersonMailingAddress")),
        ("PersonBirthdate", "type", json!("date")),
    ] {
        assert_eq!(field(name)[key], value, "{name}.{key}");
    }
    let types = world.query("SELECT Id, DeveloperName FROM RecordType WHERE IsPersonType = true").await;
    assert_eq!((&types["totalSize"], &types["records"][0]["DeveloperName"]), (&json!(1), &json!("PersonAccount")));

    let person = json!({"FirstName": "Martha", "LastName": "Brown", "PersonMailingCity": "Oslo", "Level__pc": "Gold"});
    let path = "sobjects/Account/Source_Id__c/m1";
    let id = world.ok("PATCH", path, person).await["id"].as_str().unwrap().to_owned();
    world.ok("PATCH", path, json!({"PersonEmail": "martha@example.com"})).await;
    let (status, error) = world.call("PATCH", path, json!({"Name": "Martha Green"})).await;
    assert_eq!((status, &error[0]["errorCode"]), (400, &json!("INVALID_FIELD_FOR_INSERT_UPDATE")));

    let record = world.ok("GET", path, Json::Null).await;
    assert_eq!((&record["Name"], &record["IsPersonAccount"]), (&json!("Martha Brown"), &json!(true)));
    let contact = record["PersonContactId"].as_str().unwrap();
    let found = world
        .query(
            "SELECT Id, PersonMailingAddress, PersonContact.Email FROM Account WHERE IsPersonAccount = true AND LastName = 'Brown'",
        )
        .await;
    let found = &found["records"][0];
    assert_eq!((&found["Id"], &found["PersonContact"]["Email"]), (&json!(id), &json!("martha@example.com")));
    assert_eq!(found["PersonMailingAddress"]["city"], "Oslo");
    let found = world.query("SELECT Level__c, Account.Level__pc FROM Contact WHERE IsPersonAccount = true").await;
    assert_eq!((&found["totalSize"], &found["records"][0]["Account"]["Level__pc"]), (&json!(1), &json!("Gold")));

    assert_eq!(world.call("DELETE", &format!("sobjects/Contact/{contact}"), Json::Null).await.0, 400);
    world.ok("DELETE", &format!("sobjects/Account/{id}"), Json::Null).await;
    assert_eq!((world.count("Account").await, world.count("Contact").await), (0, 0));
    let told: Vec<(Json, Json, Json)> = world
        .events()
        .into_iter()
        .map(|mut event| {
            let mut header = event["payload"]["ChangeEventHeader"].take();
            (header["changeType"].take(), header["entityName"].take(), header["recordIds"].take())
        })
        .collect();
    let pair =
        |kind: &str| [(json!(kind), json!("Account"), json!([id])), (json!(kind), json!("Contact"), json!([contact]))];
    assert_eq!(told, [pair("CREATE"), pair("UPDATE"), pair("DELETE")].concat());
}
