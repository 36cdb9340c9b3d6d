//! Flows and Apex methods by name.

use serde_json::{Value as Json, json};

use super::World;

const FLOW: &str = "actions/custom/flow/Ship_Order";

async fn ship(world: &World, inputs: Json) -> (u16, Json) {
    world.call("POST", FLOW, json!({"inputs": inputs})).await
}

#[tokio::test]
async fn actions_are_listed_and_described() {
    let world = World::new().await;
    let top = world.ok("GET", "actions", Json::Null).await;
    assert_eq!(top["custom"], "/services/data/v66.0/actions/custom");
    let custom = world.ok("GET", "actions/custom", Json::Null).await;
    assert_eq!(custom["flow"], "/services/data/v66.0/actions/custom/flow");
    let flows = world.ok("GET", "actions/custom/flow", Json::Null).await;
    let url = format!("/services/data/v66.0/{FLOW}");
    assert_eq!(flows["actions"], json!([{"label": "Ship Order", "name": "Ship_Order", "type": "FLOW", "url": url}]));
    let flow = world.ok("GET", FLOW, Json::Null).await;
    let input =
        |name: &str| flow["inputs"].as_array().unwrap().iter().find(|input| input["name"] == name).unwrap().clone();
    assert_eq!((&input("orderId")["type"], &input("orderId")["required"]), (&json!("STRING"), &json!(true)));
    assert_eq!((&input("amount")["type"], &input("amount")["required"]), (&json!("DOUBLE"), &json!(false)));
    assert!(flow["outputs"].as_array().unwrap().iter().any(|output| output["name"] == "Flow__InterviewStatus"));
    assert_eq!(world.ok("GET", "actions/custom/apex/BridgeAction", Json::Null).await["type"], "APEX");
}

#[tokio::test]
async fn a_flow_answers_each_input_with_an_element_of_its_own() {
    let world = World::new().await;
    let (status, body) = ship(&world, json!([{"orderId": "801", "amount": 12.5}, {"orderId": "802"}])).await;
    assert_eq!(status, 200);
    let mut first = body[0].clone();
    let guid = first["outputValues"].as_object_mut().unwrap().remove("Flow__InterviewGuid").unwrap();
    assert_eq!(guid.as_str().unwrap().len(), 36);
    assert_eq!(
        first,
        json!({"actionName": "Ship_Order", "errors": null, "invocationId": null, "isSuccess": true, "outcome": null,
            "outputValues": {"Flow__InterviewStatus": "Finished", "result": "shipped", "order": "801"},
            "sortOrder": -1, "version": 1})
    );
    assert_eq!(body[1]["outputValues"]["order"], "802");
    let (_, apex) =
        world.call("POST", "actions/custom/apex/BridgeAction", json!({"inputs": [{"message": "hello"}]})).await;
    assert_eq!(apex[0]["outputValues"], json!({"output": "hello"}));
}

#[tokio::test]
async fn what_fails_fails_alone_and_only_a_failure_of_all_is_400() {
    let world = World::new().await;
    let (status, body) = ship(&world, json!([{"orderId": "FAIL"}, {"orderId": "1"}])).await;
    assert_eq!((status, &body[0]["isSuccess"], &body[1]["isSuccess"]), (200, &json!(false), &json!(true)));
    assert_eq!(
        body[0]["errors"],
        json!([{"statusCode": "FLOW_EXCEPTION", "fields": [],
            "message": "An error occurred when executing a flow interview."}])
    );
    assert_eq!(body[0]["outputValues"], Json::Null);
    assert_eq!(ship(&world, json!([{"orderId": "FAIL"}])).await.0, 400);
    world.ok("POST", "/emulator/switches", json!({"failed_actions_are_400": false})).await;
    assert_eq!(ship(&world, json!([{"orderId": "FAIL"}])).await.0, 200);
}

#[tokio::test]
async fn inputs_that_do_not_fit_are_refused() {
    let world = World::new().await;
    let wrong = json!([{"amount": 1}, {"orderId": "1", "nope": 1}, {"orderId": 1}, {"orderId": "1", "amount": "x"}]);
    let (_, body) = ship(&world, wrong).await;
    let codes: Vec<&str> =
        body.as_array().unwrap().iter().map(|item| item["errors"][0]["statusCode"].as_str().unwrap()).collect();
    assert_eq!(codes, ["REQUIRED_FIELD_MISSING", "INVALID_API_INPUT", "INVALID_API_INPUT", "INVALID_API_INPUT"]);
    assert_eq!(body[0]["errors"][0]["fields"], json!(["orderId"]));
    let (status, body) = ship(&world, Json::Array(vec![json!({"orderId": "1"}); 201])).await;
    assert_eq!((status, &body[0]["errorCode"]), (400, &json!("LIMIT_EXCEEDED")));
    assert_eq!(ship(&world, Json::Array(vec![json!({"orderId": "1"}); 200])).await.0, 200);
    for (method, path, status, code) in [
        ("POST", "actions/custom/flow/Nope", 404, "NOT_FOUND"),
        ("POST", "actions/custom/apex/Ship_Order", 404, "NOT_FOUND"),
        ("GET", "actions/custom/nope", 404, "NOT_FOUND"),
        ("DELETE", FLOW, 405, "METHOD_NOT_ALLOWED"),
        ("POST", FLOW, 400, "JSON_PARSER_ERROR"),
    ] {
        let (got, body) = world.call(method, path, if method == "POST" { json!({}) } else { Json::Null }).await;
        assert_eq!((got, &body[0]["errorCode"]), (status, &json!(code)), "{method} {path}");
    }
}

#[tokio::test]
async fn each_call_is_kept_for_tests_to_see() {
    let world = World::new().await;
    ship(&world, json!([{"orderId": "1"}, {"orderId": "FAIL"}])).await;
    let calls = world.ok("GET", "/emulator/actions", Json::Null).await;
    assert_eq!(calls.as_array().unwrap().len(), 2);
    assert_eq!((&calls[0]["name"], &calls[0]["type"]), (&json!("Ship_Order"), &json!("flow")));
    assert_eq!(calls[0]["inputs"], json!({"orderId": "1"}));
    assert_eq!(calls[0]["outcome"]["outputs"]["order"], "1");
    assert_eq!(calls[1]["outcome"]["success"], false);
    let later = world.ok("GET", "/emulator/actions?after=1", Json::Null).await;
    assert_eq!((later.as_array().unwrap().len(), &later[0]["n"]), (1, &json!(2)));
}
