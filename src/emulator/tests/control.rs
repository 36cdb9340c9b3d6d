//! What is under `/emulator`.

use serde_json::{Value as Json, json};

use super::World;
use crate::emulator::HELP;

#[tokio::test]
async fn the_help_names_every_fault_and_every_switch() {
    let world = World::new().await;
    for path in ["/emulator/faults", "/emulator/switches"] {
        let shown = world.ok("GET", path, Json::Null).await;
        for key in shown.as_object().unwrap().keys() {
            assert!(HELP.contains(key), "{key}");
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
