//! An Apex class with REST methods.

use serde_json::{Value as Json, json};

use super::World;

const PATH: &str = "/services/apexrest/accounts";

#[tokio::test]
async fn accounts_are_made_changed_and_listed() {
    let world = World::new().await;
    let (status, made) = world.call("POST", PATH, json!({"name": "A", "phone": "1", "industry": "Retail"})).await;
    assert_eq!(status, 201);
    let id = made["id"].as_str().unwrap().to_owned();
    assert_eq!(made, json!({"id": id, "name": "A", "phone": "1", "industry": "Retail"}));
    let changed = world.ok("PATCH", PATH, json!({"id": id, "phone": "2"})).await;
    assert_eq!((&changed["name"], &changed["phone"]), (&json!("A"), &json!("2")));
    world.ok("PATCH", &format!("{PATH}/{}", &id[..15]), json!({"industry": null})).await;
    let list = world.ok("GET", &format!("{PATH}/"), Json::Null).await;
    assert_eq!(list, json!([{"id": id, "name": "A", "phone": "2", "industry": null}]));
}

#[tokio::test]
async fn what_dml_refuses_is_an_exception() {
    let world = World::new().await;
    let (status, body) = world.call("POST", PATH, json!({"phone": "1"})).await;
    let message = "System.DmlException: Insert failed. First exception on row 0; first error: REQUIRED_FIELD_MISSING, \
                   Required fields are missing: [Name]: [Name]\n\nClass.AccountRest.create: line 12, column 1";
    assert_eq!((status, body), (500, json!([{"errorCode": "APEX_ERROR", "message": message}])));
    let (status, body) = world.call("PATCH", PATH, json!({"id": "001000000000000AAA", "name": "B"})).await;
    assert_eq!((status, &body[0]["errorCode"]), (500, &json!("APEX_ERROR")));
    let message = body[0]["message"].as_str().unwrap();
    assert!(message.starts_with("System.QueryException: List has no rows for assignment to SObject\n\n"), "{message}");
}

#[tokio::test]
async fn what_does_not_reach_the_class_has_the_platforms_answer() {
    let world = World::new().await;
    let (status, body) = world.call("GET", "/services/apexrest/nope", Json::Null).await;
    let message = "Could not find a match for URL";
    assert_eq!((status, body), (404, json!([{"errorCode": "NOT_FOUND", "message": message}])));
    assert_eq!(world.call("DELETE", PATH, Json::Null).await.0, 405);
    for body in [json!([]), json!({"name": 1}), json!({"nope": "x"}), Json::Null] {
        let (status, answer) = world.call("POST", PATH, body.clone()).await;
        assert_eq!((status, &answer[0]["errorCode"]), (400, &json!("JSON_PARSER_ERROR")), "{body}");
    }
    let broken = world.request("POST", PATH).body("{").send().await.unwrap();
    assert_eq!(broken.status(), 400);
    let stranger = world.client.get(world.url(PATH)).send().await.unwrap();
    assert_eq!(stranger.status(), 401);
}

#[tokio::test]
async fn it_counts_as_a_call_of_the_api_and_its_writes_have_their_own_origin() {
    let world = World::new().await;
    let before = world.org().stats()["api_calls"].as_u64().unwrap();
    let request = world.request("POST", PATH).header("sforce-call-options", "client=X").json(&json!({"name": "A"}));
    let answer = request.send().await.unwrap();
    let usage = answer.headers()["sforce-limit-info"].to_str().unwrap().to_owned();
    assert_eq!(usage, format!("api-usage={}/100000", before + 1));
    let origins = world.origins();
    assert_eq!(origins, ["com/salesforce/api/apex/68.0"]);
}
