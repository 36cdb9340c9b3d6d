//! Platform events over REST.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::World;
use crate::{Options, Scenario};

const EVENT: &str = "sobjects/Order_Shipped__e";

fn collection(records: &[(&str, Json)]) -> Json {
    let record = |(object, fields): &(&str, Json)| {
        let mut record = fields.clone();
        record["attributes"] = json!({"type": object});
        record
    };
    json!({"allOrNone": true, "records": records.iter().map(record).collect::<Vec<_>>()})
}

#[tokio::test]
async fn a_published_event_has_its_uuid_in_errors_and_is_delivered_with_it() {
    let world = World::new().await;
    let (status, body) = world.call("POST", EVENT, json!({"Order_Number__c": "A-17", "Shipped__c": true})).await;
    assert_eq!((status, &body["success"]), (201, &json!(true)));
    let error = &body["errors"][0];
    assert_eq!((&error["statusCode"], &error["fields"]), (&json!("OPERATION_ENQUEUED"), &json!([])));
    assert!(body["id"].as_str().unwrap().starts_with("e00"));
    let events = world.events();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["event"]["EventUuid"], error["message"]);
    let payload = &events[0]["payload"];
    assert_eq!((&payload["Order_Number__c"], &payload["Shipped__c"]), (&json!("A-17"), &json!(true)));
    let schema = world.ok("GET", &format!("{EVENT}/eventSchema?payloadFormat=COMPACT"), Json::Null).await;
    assert_eq!(events[0]["schema"], schema["uuid"]);
}

#[tokio::test]
async fn what_is_wrong_with_an_event_is_said_and_nothing_goes_out() {
    let world = World::new().await;
    for (body, code) in [
        (json!({}), "REQUIRED_FIELD_MISSING"),
        (json!({"Order_Number__c": "x", "Nope__c": 1}), "INVALID_FIELD"),
        (json!({"Order_Number__c": "x", "Shipped__c": "yes"}), "JSON_PARSER_ERROR"),
        (json!({"Order_Number__c": "x", "EventUuid": "y"}), "INVALID_FIELD_FOR_INSERT_UPDATE"),
    ] {
        let (status, answer) = world.call("POST", EVENT, body).await;
        assert_eq!((status, &answer[0]["errorCode"]), (400, &json!(code)));
    }
    let wrong = |column: usize| {
        format!(
            "Cannot deserialize instance of boolean from VALUE_STRING value yes or request may be missing a required field at [line:1, column:{column}]"
        )
    };
    let event = json!({"Order_Number__c": "x", "Shipped__c": "yes"});
    let column = |body: &Json| body.to_string().find("\"yes\"").unwrap() + 1;
    let answer = world.call("POST", EVENT, event.clone()).await.1;
    assert_eq!(answer[0]["message"], wrong(column(&event)));
    let body = collection(&[("Order_Shipped__e", json!({"Order_Number__c": "x"})), ("Order_Shipped__e", event)]);
    let answer = world.call("POST", "composite/sobjects", body.clone()).await.1;
    assert_eq!(answer[0]["message"], wrong(column(&body)));
    assert_eq!(world.events(), Vec::<Json>::new());
}

#[tokio::test]
async fn events_of_a_collection_go_out_whatever_becomes_of_the_others() {
    let world = World::new().await;
    let body = collection(&[
        ("Order_Shipped__e", json!({"Order_Number__c": "1"})),
        ("Account", json!({})),
        ("Order_Shipped__e", json!({})),
        ("Order_Shipped__e", json!({"Order_Number__c": "2"})),
    ]);
    let (status, items) = world.call("POST", "composite/sobjects", body).await;
    assert_eq!(status, 200);
    let success: Vec<bool> = items.as_array().unwrap().iter().map(|item| item["success"].as_bool().unwrap()).collect();
    assert_eq!(success, [true, false, false, true]);
    assert_eq!(items[0]["errors"][0]["statusCode"], "OPERATION_ENQUEUED");
    assert_eq!(items[1]["errors"][0]["statusCode"], "REQUIRED_FIELD_MISSING");
    let numbers: Vec<Json> = world.events().iter().map(|event| event["payload"]["Order_Number__c"].clone()).collect();
    assert_eq!(numbers, [json!("1"), json!("2")]);
    let malformed = collection(&[
        ("Order_Shipped__e", json!({"Order_Number__c": "3"})),
        ("Account", json!({"Name": "A", "Nope__c": 1})),
    ]);
    assert_eq!(world.call("POST", "composite/sobjects", malformed).await.0, 400);
    assert_eq!(world.events().len(), 2, "the request as a whole was refused");
}

#[tokio::test]
async fn events_are_neither_read_nor_changed_nor_queried() {
    let world = World::new().await;
    let id = world.ok("POST", EVENT, json!({"Order_Number__c": "1"})).await["id"].as_str().unwrap().to_owned();
    for method in ["GET", "PATCH", "DELETE"] {
        let body = if method == "PATCH" { json!({"Order_Number__c": "2"}) } else { Json::Null };
        let (status, answer) = world.call(method, &format!("{EVENT}/{id}"), body).await;
        assert_eq!((status, &answer[0]["errorCode"]), (405, &json!("METHOD_NOT_ALLOWED")), "{method}");
    }
    let upsert = collection(&[("Order_Shipped__e", json!({"Order_Number__c": "1"}))]);
    assert_eq!(world.call("PATCH", "composite/sobjects/Order_Shipped__e/Order_Number__c", upsert).await.0, 404);
    let (status, answer) = world.call("GET", "query?q=SELECT+ReplayId+FROM+Order_Shipped__e", Json::Null).await;
    assert_eq!((status, &answer[0]["errorCode"]), (400, &json!("INVALID_TYPE")));
}

#[tokio::test]
async fn above_the_hours_limit_events_are_refused_until_the_next_hour() {
    let scenario = Arc::new(Scenario::read("test", "limits: { hourly_published_events: 2 }").unwrap());
    let options = Options { scenario: Some(scenario), ..World::options(Duration::from_secs(20)) };
    let world = World::start(options).await;
    for expected in [201, 201, 400] {
        let (status, answer) = world.call("POST", EVENT, json!({"Order_Number__c": "1"})).await;
        assert_eq!(status, expected);
        if status == 400 {
            assert_eq!(answer[0]["errorCode"], "LIMIT_EXCEEDED");
        }
    }
    world.ok("POST", "/emulator/time", json!({"advance_seconds": 3_600})).await;
    assert_eq!(world.call("POST", EVENT, json!({"Order_Number__c": "1"})).await.0, 201);
}

#[tokio::test]
async fn schemas_have_the_platforms_shape() {
    let world = World::new().await;
    let schema = world.ok("GET", &format!("{EVENT}/eventSchema?payloadFormat=COMPACT"), Json::Null).await;
    assert_eq!((&schema["name"], &schema["namespace"]), (&json!("Order_Shipped__e"), &json!("com.sforce.eventbus")));
    let fields = schema["fields"].as_array().unwrap();
    assert_eq!(fields[0], json!({"name": "CreatedDate", "type": "long", "doc": "CreatedDate:DateTime"}));
    assert_eq!(fields[1], json!({"name": "CreatedById", "type": "string", "doc": "CreatedBy:EntityId"}));
    assert_eq!((&fields[2]["name"], &fields[2]["type"]), (&json!("Order_Number__c"), &json!(["null", "string"])));
    assert!(fields[2]["doc"].as_str().unwrap().starts_with("Data:Text:00N"));
    let id = schema["uuid"].as_str().unwrap();
    assert_eq!(id.len(), 22);
    let again = world.ok("GET", &format!("event/eventSchema/{id}?payloadFormat=compact"), Json::Null).await;
    assert_eq!(again, schema);
    let expanded = world.ok("GET", &format!("event/eventSchema/{id}"), Json::Null).await;
    let payload = &expanded["fields"][0]["type"]["fields"][1]["type"];
    assert_eq!(payload["fields"], schema["fields"]);
    assert_eq!(world.call("GET", "event/eventSchema/nope", Json::Null).await.0, 404);
    assert_eq!(world.call("GET", "sobjects/Vault__ChangeEvent/eventSchema", Json::Null).await.0, 404);
}

#[tokio::test]
async fn change_events_have_schemas_with_compounds() {
    let world = World::new().await;
    let path = |entity: &str| format!("sobjects/{entity}/eventSchema?payloadFormat=COMPACT");
    let account = world.ok("GET", &path("AccountChangeEvent"), Json::Null).await;
    let fields = account["fields"].as_array().unwrap();
    let names: Vec<&str> = fields.iter().map(|field| field["name"].as_str().unwrap()).collect();
    assert_eq!(names[..2], ["ChangeEventHeader", "Name"]);
    let header: Vec<&str> =
        fields[0]["type"]["fields"].as_array().unwrap().iter().map(|field| field["name"].as_str().unwrap()).collect();
    assert_eq!(header[..3], ["entityName", "recordIds", "changeType"]);
    assert_eq!(header[9..], ["nulledFields", "diffFields", "changedFields"]);
    assert_eq!(fields[1]["type"][2]["name"], "Switchable_PersonName");
    let of = |name: &str| fields.iter().find(|field| field["name"] == name).unwrap();
    assert_eq!(of("BillingAddress")["type"][1]["name"], "Address");
    assert_eq!(of("ShippingAddress")["type"], json!(["null", "Address"]));
    assert_eq!(names.iter().filter(|name| name.contains("Billing")).count(), 1, "parts are not fields: {names:?}");
    assert!(!names.contains(&"MasterRecordId"));
    assert_eq!(of("NumberOfEmployees")["type"], json!(["null", "int"]));
    assert_eq!(of("OwnerId")["doc"], "ForeignKey:EntityId");
    let place = |name: &str| names.iter().position(|known| *known == name).unwrap();
    assert!(place("OwnerId") < place("CreatedDate") && place("LastModifiedById") < place("Source_Id__c"));
    let contact = world.ok("GET", &path("ContactChangeEvent"), Json::Null).await;
    let name = &contact["fields"].as_array().unwrap().iter().find(|field| field["name"] == "Name").unwrap()["type"];
    assert_eq!(name[1]["fields"][0]["name"], "Salutation");
    let invoice = world.ok("GET", &path("Invoice__ChangeEvent"), Json::Null).await;
    let fields = invoice["fields"].as_array().unwrap();
    let place = fields.iter().find(|field| field["name"] == "Place__c").unwrap();
    assert_eq!(place["type"][1]["name"], "Location");
    assert!(place["doc"].as_str().unwrap().starts_with("Data:Location:00N"));
}
