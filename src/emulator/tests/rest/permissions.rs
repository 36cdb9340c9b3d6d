//! What a user without every permission sees and may write.

use serde_json::{Value as Json, json};

use crate::tests::World;

const READ_ONLY: &str = "Unable to create/update fields: Industry. Please check the security settings of this field and \
verify that it is read/write for your profile or permission set.";

/// An account and somebody else's vault; the client is then the user whose permissions are limited.
async fn limited() -> World {
    let mut world = World::new().await;
    let account = json!({"Name": "Acme", "Source_Id__c": "a", "AnnualRevenue": 5, "Industry": "Media"});
    world.ok("POST", "sobjects/Account", account).await;
    world.ok("POST", "sobjects/Vault__c", json!({"Name": "Secret", "Ext__c": "v"})).await;
    world.log_in_as("limited").await;
    world
}

#[tokio::test]
async fn only_what_the_user_may_see_is_described() {
    let world = limited().await;
    let all = world.ok("GET", "sobjects", Json::Null).await;
    let names: Vec<&str> = all["sobjects"].as_array().unwrap().iter().map(|o| o["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"Account") && names.contains(&"User"));
    assert!(!names.contains(&"Lead") && !names.contains(&"Invoice__c"));
    let describe = world.ok("GET", "sobjects/Account/describe", Json::Null).await;
    let field = |name: &str| describe["fields"].as_array().unwrap().iter().find(|field| field["name"] == name).cloned();
    assert_eq!(field("AnnualRevenue"), None);
    let industry = field("Industry").unwrap();
    assert_eq!((&industry["createable"], &industry["updateable"]), (&json!(false), &json!(false)));
    assert_eq!(field("Phone").unwrap()["updateable"], true);
    assert_eq!(field("Phone").unwrap()["createable"], false); // accounts may be changed, not created
    assert_eq!((&describe["createable"], &describe["deletable"]), (&json!(false), &json!(false)));
    let children = describe["childRelationships"].as_array().unwrap();
    assert!(children.iter().all(|child| child["childSObject"] != "Case"));
    assert_eq!(world.call("GET", "sobjects/Lead/describe", Json::Null).await.0, 404);
}

#[tokio::test]
async fn what_the_user_may_not_do_is_refused_alone_and_in_collections() {
    let world = limited().await;
    let id = "Source_Id__c/a";
    let account = world.ok("GET", &format!("sobjects/Account/{id}"), Json::Null).await;
    assert_eq!(account.get("AnnualRevenue"), None);
    assert_eq!(account["Industry"], "Media");
    let id = account["Id"].as_str().unwrap().to_owned();
    let one = format!("sobjects/Account/{id}");
    for (method, path, body, status, code, message) in [
        (
            "PATCH",
            &one,
            json!({"AnnualRevenue": 1}),
            400,
            "INVALID_FIELD",
            "No such column 'AnnualRevenue' on sobject of type Account",
        ),
        ("PATCH", &one, json!({"Industry": "Media"}), 400, "INVALID_FIELD_FOR_INSERT_UPDATE", READ_ONLY),
        ("DELETE", &one, Json::Null, 403, "INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id"),
        (
            "POST",
            &"sobjects/Account".to_owned(),
            json!({"Name": "B"}),
            403,
            "INSUFFICIENT_ACCESS",
            "insufficient access rights on entity: Account",
        ),
        (
            "POST",
            &"sobjects/Lead".to_owned(),
            json!({"LastName": "B"}),
            404,
            "NOT_FOUND",
            "The requested resource does not exist",
        ),
    ] {
        let (found, answer) = world.call(method, path, body).await;
        assert_eq!((found, &answer[0]["errorCode"], &answer[0]["message"]), (status, &json!(code), &json!(message)));
    }
    let body = json!({"records": [
        {"attributes": {"type": "Account"}, "id": id, "Industry": "Media"},
        {"attributes": {"type": "Account"}, "id": id.clone() + "", "Phone": "1"}]});
    let (_, answer) = world.call("PATCH", "composite/sobjects", body).await;
    assert_eq!(answer[0]["errors"][0]["statusCode"], "DUPLICATE_VALUE");
    let body = json!({"records": [{"attributes": {"type": "Account"}, "id": id, "Industry": "Media"}]});
    let answer = world.ok("PATCH", "composite/sobjects", body).await;
    assert_eq!(
        answer,
        json!([{"success": false, "errors": [{"statusCode": "INVALID_FIELD_FOR_INSERT_UPDATE", "message": READ_ONLY,
            "fields": ["Industry"]}]}])
    );
    let answer = world.ok("DELETE", &format!("composite/sobjects?ids={id}"), Json::Null).await;
    assert_eq!(answer[0]["errors"][0]["statusCode"], "INSUFFICIENT_ACCESS_OR_READONLY");
}

#[tokio::test]
async fn private_records_of_others_are_as_if_they_were_not_there() {
    let world = limited().await;
    assert_eq!(world.call("GET", "sobjects/Vault__c/Ext__c/v", Json::Null).await.0, 404);
    let own = world.ok("POST", "sobjects/Vault__c", json!({"Name": "Mine", "Ext__c": "m"})).await;
    let path = format!("sobjects/Vault__c/{}", own["id"].as_str().unwrap());
    assert_eq!(world.ok("GET", &path, Json::Null).await["Name"], "Mine");
    assert_eq!(world.call("PATCH", &path, json!({"Name": "Still mine"})).await.0, 204);
}

#[tokio::test]
async fn a_parent_that_is_not_shared_cannot_be_referred_to() {
    let scenario = r#"
users:
  - username: "guest@{org}.example.com"
    last_name: Guest
    password: emulator1
    security_token: TOKEN
    access: { view_all_data: false, modify_all_data: false, objects: { Vault__c: [create, read], Slot__c: [create, read] } }
objects:
  - name: Slot__c
    prefix: a20
    label: Slot
    owner: user
    fields:
      - { name: Name, type: string, length: 80 }
      - { name: Vault__c, type: lookup, to: [Vault__c], relationship: Vault__r, label: Vault }
"#;
    let mut world = World::of(scenario).await;
    let other = world.ok("POST", "sobjects/Vault__c", json!({"Name": "Secret", "Ext__c": "v"})).await["id"].clone();
    let other = other.as_str().unwrap();
    world.log_in_as("guest").await;
    world.ok("POST", "sobjects/Vault__c", json!({"Name": "Mine", "Ext__c": "m"})).await;
    world.ok("POST", "sobjects/Slot__c", json!({"Vault__r": {"Ext__c": "m"}})).await;
    let message = format!("insufficient access rights on cross-reference id: {}", &other[..15]);
    let code = "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY";
    let refused = json!([{"errorCode": code, "message": message, "fields": ["Vault__c"]}]);
    assert_eq!(world.call("POST", "sobjects/Slot__c", json!({"Vault__c": other})).await, (400, refused));
    let message = "Foreign key external ID: v not found for field Ext__c in entity Vault__c";
    let refused = json!([{"errorCode": "INVALID_FIELD", "message": message}]);
    assert_eq!(world.call("POST", "sobjects/Slot__c", json!({"Vault__r": {"Ext__c": "v"}})).await, (400, refused));
}
