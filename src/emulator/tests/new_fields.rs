//! `/emulator/fields` and `/emulator/gap`.

use serde_json::{Value as Json, json};

use super::World;

fn header(event: &Json) -> &Json {
    &event["payload"]["ChangeEventHeader"]
}

#[tokio::test]
async fn a_field_that_is_added_is_described_written_queried_and_told() {
    let world = World::new().await;
    let created = world.ok("POST", "sobjects/Account", json!({"Name": "A"})).await;
    let id = created["id"].as_str().unwrap();
    let field = json!({"name": "Badge__c", "type": "string", "length": 20, "external_id": true});
    let answer = world.ok("POST", "/emulator/fields", json!({"object": "Account", "add": field})).await;
    assert_eq!(answer["fields"], json!(["Badge__c"]));
    let describe = world.ok("GET", "sobjects/Account/describe", Json::Null).await;
    let described = describe["fields"].as_array().unwrap().iter().find(|field| field["name"] == "Badge__c").unwrap();
    assert_eq!((&described["length"], &described["externalId"]), (&json!(20), &json!(true)));
    world.ok("PATCH", &format!("sobjects/Account/{id}"), json!({"Badge__c": "B7"})).await;
    assert_eq!(world.query("SELECT Id FROM Account WHERE Badge__c = 'B7'").await["totalSize"], 1);
    assert_eq!(world.call("PATCH", "sobjects/Account/Badge__c/B7", json!({"Phone": "1"})).await.0, 200);
    let events = world.events();
    assert_eq!((&events[1]["payload"]["Badge__c"], &events[1]["schema"]), (&json!("B7"), &answer["schema"]));
    for (event, has) in [(&events[0], false), (&events[1], true)] {
        let path = format!("event/eventSchema/{}?payloadFormat=COMPACT", event["schema"].as_str().unwrap());
        let schema = world.ok("GET", &path, Json::Null).await;
        let fields = schema["fields"].as_array().unwrap();
        assert_eq!(fields.iter().any(|field| field["name"] == "Badge__c"), has);
    }
}

#[tokio::test]
async fn a_field_that_is_converted_is_told_of_all_records() {
    let world = World::new().await;
    for (field, to, kind) in [
        ("Segment__c", json!({"type": "textarea", "length": 300}), "UPDATE"),
        ("Region__c", json!({"type": "picklist", "values": ["North"]}), "UPDATE"),
        ("Region__c", json!({"type": "multipicklist"}), "GAP_UPDATE"),
    ] {
        let mut body = to;
        (body["object"], body["convert"]) = (json!("Account"), json!(field));
        let answer = world.ok("POST", "/emulator/fields", body).await;
        assert_eq!((&answer["changeType"], &answer["fields"]), (&json!(kind), &json!([field])));
        let event = world.events().pop().unwrap();
        assert_eq!((&event["schema"], &header(&event)["changeType"]), (&answer["schema"], &json!(kind)));
        assert_eq!(header(&event)["recordIds"], json!(["001*"]));
    }
    let describe = world.ok("GET", "sobjects/Account/describe", Json::Null).await;
    let described = |name: &str| {
        let fields = describe["fields"].as_array().unwrap();
        fields.iter().find(|field| field["name"] == name).unwrap()["type"].clone()
    };
    assert_eq!((described("Segment__c"), described("Region__c")), (json!("textarea"), json!("multipicklist")));
}

#[tokio::test]
async fn gaps_come_on_request() {
    let world = World::new().await;
    let id = "001000000000001AAA";
    for kind in ["GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE"] {
        world.ok("POST", "/emulator/gap", json!({"object": "Account", "kind": kind, "ids": [id, "001*"]})).await;
        let event = world.events().pop().unwrap();
        assert_eq!((&header(&event)["changeType"], &header(&event)["recordIds"]), (&json!(kind), &json!([id, "001*"])));
        assert_eq!(event["payload"].as_object().unwrap().len(), 1);
    }
    world.ok("POST", "/emulator/gap", json!({"object": "Invoice__c", "kind": "GAP_OVERFLOW"})).await;
    let event = world.events().pop().unwrap();
    assert_eq!(header(&event)["recordIds"], json!(["000000000000000AAA"]));
    assert_eq!(header(&event)["entityName"], "Invoice__c");
}

#[tokio::test]
async fn what_is_wrong_with_such_a_request_is_said() {
    let world = World::new().await;
    for (path, body, told) in [
        (
            "gap",
            json!({"object": "Nope", "kind": "GAP_UPDATE", "ids": ["001000000000001AAA"]}),
            "there is no object Nope",
        ),
        ("gap", json!({"object": "Account", "kind": "UPDATE", "ids": ["001000000000001AAA"]}), "kind: GAP_CREATE"),
        ("gap", json!({"object": "Account", "kind": "SNAPSHOT", "ids": ["001000000000001AAA"]}), "kind: GAP_CREATE"),
        ("gap", json!({"object": "Account", "kind": "GAP_UPDATE"}), "at least one"),
        ("gap", json!({"object": "Account", "kind": "GAP_UPDATE", "ids": ["003000000000001AAA"]}), "none of Account"),
        ("gap", json!({"object": "Account", "kind": "GAP_OVERFLOW", "ids": ["001000000000001AAA"]}), "has none"),
        ("gap", json!({"object": "User", "kind": "GAP_OVERFLOW"}), "no change events"),
        ("gap", json!({"object": "Account", "kind": "GAP_UPDATE", "ids": [], "id": 1}), "unknown field"),
        ("fields", json!({"object": "Account"}), "either add, or convert"),
        ("fields", json!({"object": "Account", "add": {"name": "X", "type": "int"}}), "ends in __c"),
        ("fields", json!({"object": "Account", "add": {"name": "X__c", "type": "int"}, "typ": "x"}), "either add"),
        ("fields", json!({"object": "Account", "convert": "Nope__c", "type": "int"}), "has no field Nope__c"),
        ("fields", json!({"object": "Account", "convert": "Region__c", "type": "location"}), "no field becomes"),
    ] {
        let (status, answer) = world.call("POST", &format!("/emulator/{path}"), body).await;
        assert!(status == 400 && answer["problem"].as_str().unwrap().contains(told), "{status} {answer}");
    }
    assert_eq!(world.events().len(), 0);
    assert_eq!(world.call("GET", "/emulator/fields", Json::Null).await.0, 405);
}
