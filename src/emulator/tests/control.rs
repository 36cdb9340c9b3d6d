//! What is under `/emulator`.

use serde_json::{Value as Json, json};

use super::World;
use crate::{HELP, faults};

#[tokio::test]
async fn the_help_and_the_docs_name_every_fault_and_every_switch() {
    let world = World::new().await;
    let paths = ["switches", "oauth", "limits", "streams", "bulk"];
    for path in paths {
        let shown = world.ok("GET", &format!("/emulator/{path}"), Json::Null).await;
        for key in shown.as_object().unwrap().keys() {
            assert!(HELP.contains(key), "{path}: {key}");
        }
    }
    let docs = include_str!("../../../docs/emulator.md");
    for word in faults::KINDS.iter().chain(&faults::KEYS) {
        assert!(HELP.contains(&format!("\"{word}\"")) && docs.contains(&format!("`{word}`")), "{word}");
    }
    for path in ["/emulator/switches", "/emulator/oauth", "/emulator/bulk"] {
        let shown = world.ok("GET", path, Json::Null).await;
        for (key, default) in shown.as_object().unwrap() {
            assert!(docs.contains(&format!("| `{key}` | `{default}` |")), "{key} {default}");
        }
    }
    let text = world.raw("GET", "/emulator", Json::Null).await.unwrap().text().await.unwrap();
    assert_eq!(text, HELP);
}

#[tokio::test]
async fn time_moves_for_everything_that_a_client_sees() {
    let world = World::new().await;
    let year = async |path: &str| {
        let answer = world.raw("GET", path, Json::Null).await.unwrap();
        chrono::DateTime::parse_from_rfc2822(answer.headers()["date"].to_str().unwrap()).unwrap().timestamp()
    };
    let before = year("/emulator/stats").await;
    world.ok("POST", "/emulator/time", json!({"advance_seconds": 3_600})).await;
    assert!((3_600..3_660).contains(&(year("/emulator/stats").await - before)));
    let id = world.ok("POST", "sobjects/Account", json!({"Name": "A"})).await["id"].as_str().unwrap().to_owned();
    let record = world.ok("GET", &format!("sobjects/Account/{id}"), Json::Null).await;
    let created = record["CreatedDate"].as_str().unwrap();
    assert!(created.ends_with(".000+0000"), "{created}");
    let created = chrono::DateTime::parse_from_str(created, "%Y-%m-%dT%H:%M:%S%.3f%z").unwrap().timestamp();
    assert!((3_600..3_660).contains(&(created - before)));
    assert_eq!(world.call("POST", "/emulator/time", json!({"advance_seconds": -1})).await.0, 400);
}

#[tokio::test]
async fn people_merge_convert_lock_and_empty_the_bin() {
    let world = World::new().await;
    let made = async |object: &str, fields: Json| {
        world.ok("POST", &format!("sobjects/{object}"), fields).await["id"].as_str().unwrap().to_owned()
    };
    let (winner, loser) = (made("Account", json!({"Name": "A"})).await, made("Account", json!({"Name": "B"})).await);
    world.ok("POST", "/emulator/merge", json!({"master": winner, "losers": [loser], "fields": {"Phone": "1"}})).await;
    let record = world.ok("GET", &format!("sobjects/Account/{winner}?fields=Phone"), Json::Null).await;
    assert_eq!(record["Phone"], "1");
    assert_eq!(world.call("GET", &format!("sobjects/Account/{loser}"), Json::Null).await.0, 404);
    let (status, body) = world.call("POST", "/emulator/merge", json!({"master": winner, "losers": [winner]})).await;
    assert_eq!(status, 400, "{body}");

    let lead = made("Lead", json!({"LastName": "Roe", "Company": "Acme"})).await;
    let converted = world.ok("POST", "/emulator/convert", json!({"lead": lead, "opportunity": false})).await;
    assert_eq!(converted["opportunity"], Json::Null);
    let contact = converted["contact"].as_str().unwrap();
    let record = world.ok("GET", &format!("sobjects/Contact/{contact}?fields=AccountId"), Json::Null).await;
    assert_eq!(record["AccountId"], converted["account"]);

    world.ok("POST", "/emulator/locks", json!({"ids": [winner], "times": 1})).await;
    let path = format!("sobjects/Account/{winner}");
    let (status, body) = world.call("PATCH", &path, json!({"Phone": "2"})).await;
    assert_eq!((status, &body[0]["errorCode"]), (400, &json!("UNABLE_TO_LOCK_ROW")));
    world.ok("PATCH", &path, json!({"Phone": "2"})).await;
    world.ok("POST", "/emulator/locks", json!({"ids": [winner], "seconds": 3_600})).await;
    assert_eq!(world.call("PATCH", &path, json!({"Phone": "3"})).await.0, 400);
    world.ok("DELETE", "/emulator/locks", Json::Null).await;
    world.ok("PATCH", &path, json!({"Phone": "3"})).await;

    assert_eq!(world.ok("DELETE", "/emulator/recycle-bin", Json::Null).await, json!({"purged": 1}));
    assert_eq!(world.call("POST", "/emulator/locks", json!({"ids": ["x"], "times": 1})).await.0, 400);
}

#[tokio::test]
async fn a_field_is_hidden_and_shown_again_for_one_user() {
    let world = World::new().await;
    let users = world.ok("GET", "/emulator/users", Json::Null).await;
    let user = users[0]["username"].as_str().unwrap();
    let set = async |access: &str| {
        let body = json!({"user": user, "object": "Account", "field": "Phone", "access": access});
        world.ok("POST", "/emulator/access", body).await;
    };
    set("none").await;
    let (status, body) = world.call("POST", "sobjects/Account", json!({"Name": "A", "Phone": "1"})).await;
    assert_eq!((status, &body[0]["message"]), (400, &json!("No such column 'Phone' on sobject of type Account")));
    set("read").await;
    let (_, body) = world.call("POST", "sobjects/Account", json!({"Name": "A", "Phone": "1"})).await;
    assert_eq!(
        (&body[0]["errorCode"], &body[0]["fields"]),
        (&json!("INVALID_FIELD_FOR_INSERT_UPDATE"), &json!(["Phone"]))
    );
    set("edit").await;
    world.ok("POST", "sobjects/Account", json!({"Name": "A", "Phone": "1"})).await;
}

#[tokio::test]
async fn a_flow_runs_when_it_is_due_without_anybody_asking() {
    let world = World::new().await;
    world.ok("POST", "sobjects/Account", json!({"Name": "A", "NumberOfEmployees": 5_000})).await;
    let before = world.ok("GET", "/emulator/stats", Json::Null).await["commits"].as_u64().unwrap();
    let mut stats = world.ok("GET", "/emulator/stats", Json::Null).await;
    while stats["commits"].as_u64().unwrap() == before {
        stats = world.ok("GET", "/emulator/stats", Json::Null).await;
    }
    let found = world.query("SELECT Segment__c FROM Account").await;
    assert_eq!(found["records"][0]["Segment__c"], "Large");
}
