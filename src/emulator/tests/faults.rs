//! Each fault, and what a naive client would see of it.

use serde_json::{Value as Json, json};

use super::World;

/// Upserts one account; an error when the line was cut.
async fn write(world: &World) -> reqwest::Result<(u16, Json)> {
    let body = super::collection("Account", json!([{"Source_Id__c": "k", "Name": "A"}]));
    let answer = world.raw("PATCH", "composite/sobjects/Account/Source_Id__c", body).await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

#[tokio::test]
async fn written_and_the_answer_lost() {
    let world = World::new().await;
    world.faults(json!({"do_then_cut_percent": 100})).await;
    let error = write(&world).await.unwrap_err();
    assert!(error.is_request(), "no part of an answer may arrive: {error:?}");
    assert_eq!(world.count("Account").await, 1);
    world.ok("DELETE", "/emulator/faults", Json::Null).await;
    assert_eq!(write(&world).await.unwrap().1[0]["created"], json!(false));
}

#[tokio::test]
async fn cut_now_and_applied_later() {
    let world = World::new().await;
    world.faults(json!({"cut_then_apply": {"percent": 100, "delay_ms": [1000, 1000]}})).await;
    assert!(write(&world).await.is_err());
    assert_eq!(world.count("Account").await, 0);
    while world.count("Account").await == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_answer_comes_late_and_the_work_is_done_before() {
    let world = World::new().await;
    world.faults(json!({"answer_late": {"delay_ms": [1000, 1000]}})).await;
    let late = write(&world);
    let seen = async { while world.count("Account").await == 0 {} };
    tokio::pin!(late);
    tokio::select! {
        biased;
        _ = &mut late => panic!("the answer was not late"),
        () = seen => {}
    }
    assert_eq!(late.await.unwrap().0, 200);
}

#[tokio::test]
async fn held_writes_are_done_once_released_even_for_a_client_that_left() {
    let world = World::new().await;
    world.faults(json!({"hold": true})).await;
    let before = world.org().stats()["api_calls"].as_i64().unwrap();
    {
        let held = write(&world);
        let arrived = async {
            while world.org().stats()["api_calls"].as_i64().unwrap() == before {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! { _ = held => panic!("not held"), () = arrived => {} }
    } // the client leaves
    assert_eq!(world.count("Account").await, 0);
    world.faults(json!({"hold": false})).await;
    while world.count("Account").await == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn refused_requests_do_nothing_and_reads_go_on() {
    let world = World::new().await;
    for (kind, status, code) in
        [("503", 503, "SERVER_UNAVAILABLE"), ("REQUEST_LIMIT_EXCEEDED", 403, "REQUEST_LIMIT_EXCEEDED")]
    {
        world.faults(json!({"refuse": {"as": kind, "retry_after": 7}})).await;
        let body = super::collection("Account", json!([{"Name": "A"}]));
        let answer = world.raw("POST", "composite/sobjects", body).await.unwrap();
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()["retry-after"], "7");
        assert_eq!(answer.json::<Json>().await.unwrap()[0]["errorCode"], code);
    }
    assert_eq!(world.count("Account").await, 0);
    world.faults(json!({"reads": true})).await;
    assert_eq!(world.call("GET", "query?q=SELECT+COUNT()+FROM+Account", Json::Null).await.0, 403);
}

#[tokio::test]
async fn locks_strike_single_records() {
    let world = World::new().await;
    world.faults(json!({"lock_percent": 50})).await;
    let records: Vec<Json> = (0..100).map(|n| json!({"Source_Id__c": format!("k{n}"), "Name": "A"})).collect();
    let results = world.upsert("Account", json!(records)).await;
    let failed: Vec<&Json> =
        results.as_array().unwrap().iter().filter(|item| item["success"] == json!(false)).collect();
    assert!((20..80).contains(&failed.len()), "{}", failed.len());
    assert!(failed.iter().all(|item| item["errors"][0]["statusCode"] == "UNABLE_TO_LOCK_ROW"));
    assert_eq!(world.count("Account").await, 100 - failed.len() as i64);
}

#[tokio::test]
async fn a_script_with_a_mistake_is_refused() {
    let world = World::new().await;
    let (status, body) = world.call("POST", "/emulator/faults", json!({"lock": 5})).await;
    assert_eq!(status, 400);
    assert!(body["problem"].as_str().unwrap().contains("lock"));
}
