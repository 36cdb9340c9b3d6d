//! Each kind of fault, and what a naive client would see of it.

use serde_json::{Value as Json, json};

use super::World;

const UPSERT: &str = "composite/sobjects/Account/Source_Id__c";

/// Upserts one account; an error when the line was cut.
async fn write(world: &World) -> reqwest::Result<(u16, Json)> {
    let body = super::collection("Account", json!([{"Source_Id__c": "k", "Name": "A"}]));
    let answer = world.raw("PATCH", UPSERT, body).await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

/// How often the rule of this name matched, and struck.
async fn counts(world: &World, name: &str) -> (u64, u64) {
    let shown = world.ok("GET", "/emulator/faults", Json::Null).await;
    let rule = shown["rules"].as_array().unwrap().iter().find(|rule| rule["name"] == name).unwrap();
    (rule["matched"].as_u64().unwrap(), rule["struck"].as_u64().unwrap())
}

/// Until a rule has struck so often.
async fn struck(world: &World, name: &str, times: u64) {
    while counts(world, name).await.1 < times {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn written_and_the_answer_lost() {
    let world = World::new().await;
    world.rules(json!([{"kind": "do_then_fail"}])).await;
    let error = write(&world).await.unwrap_err();
    assert!(error.is_request(), "no part of an answer may arrive: {error:?}");
    assert_eq!(world.count("Account").await, 1);
    world.ok("DELETE", "/emulator/faults", Json::Null).await;
    assert_eq!(write(&world).await.unwrap().1[0]["created"], json!(false));
}

#[tokio::test]
async fn written_and_answered_with_an_error() {
    let world = World::new().await;
    world.rules(json!([{"kind": "do_then_fail", "how": "status", "nth": 1}, {"kind": "do_then_fail", "how": "status", "status": 504}])).await;
    let (status, body) = write(&world).await.unwrap();
    assert_eq!((status, &body[0]["errorCode"]), (500, &json!("UNKNOWN_EXCEPTION")));
    assert_eq!(world.count("Account").await, 1);
    let answer = world.raw("DELETE", &format!("{UPSERT}/k").replace("composite/", ""), Json::Null).await.unwrap();
    assert_eq!(answer.status(), 504);
    assert!(answer.text().await.unwrap().starts_with("<html>"), "a gateway sends no JSON");
    assert_eq!(world.count("Account").await, 0);
}

#[tokio::test]
async fn cut_and_never_done() {
    let world = World::new().await;
    world.rules(json!([{"name": "once", "kind": "cut", "times": 1}])).await;
    assert!(write(&world).await.is_err());
    assert_eq!(world.count("Account").await, 0);
    assert_eq!(write(&world).await.unwrap().1[0]["created"], json!(true), "it was never done");
    assert_eq!(counts(&world, "once").await, (2, 1));
}

#[tokio::test]
async fn cut_now_and_applied_later() {
    let world = World::new().await;
    world.rules(json!([{"kind": "cut_then_apply", "delay_ms": 1_000}])).await;
    assert!(write(&world).await.is_err());
    assert_eq!(world.count("Account").await, 0);
    while world.count("Account").await == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_answer_comes_late_and_the_work_is_done_before() {
    let world = World::new().await;
    world.rules(json!([{"kind": "answer_late", "delay_ms": [1_000, 1_000]}])).await;
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
    world.rules(json!([{"name": "h", "kind": "hold"}])).await;
    {
        let held = write(&world);
        tokio::select! { _ = held => panic!("not held"), () = struck(&world, "h", 1) => {} }
    } // the client leaves
    assert_eq!(world.count("Account").await, 0);
    world.ok("DELETE", "/emulator/faults/h", Json::Null).await;
    while world.count("Account").await == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_release_lets_go_what_waits_and_the_rule_holds_on() {
    let world = World::new().await;
    world.ok("POST", "/emulator/faults/h", json!({"kind": "hold"})).await;
    let first = write(&world);
    tokio::pin!(first);
    tokio::select! { _ = &mut first => panic!("not held"), () = struck(&world, "h", 1) => {} }
    world.ok("POST", "/emulator/faults/h/release", Json::Null).await;
    assert_eq!(first.await.unwrap().0, 200);
    let second = write(&world);
    tokio::pin!(second);
    tokio::select! { _ = &mut second => panic!("not held"), () = struck(&world, "h", 2) => {} }
    world.rules(json!([])).await;
    assert_eq!(second.await.unwrap().1[0]["created"], json!(false));
    assert_eq!(world.call("POST", "/emulator/faults/h/release", Json::Null).await.0, 404);
    assert_eq!(world.call("DELETE", "/emulator/faults/h", Json::Null).await.0, 404);
}

#[tokio::test]
async fn refused_requests_do_nothing_and_reads_go_on() {
    let world = World::new().await;
    for (status, code) in [(503, "SERVER_UNAVAILABLE"), (403, "REQUEST_LIMIT_EXCEEDED")] {
        world.rules(json!([{"kind": "refuse", "code": code, "retry_after": 7}])).await;
        let body = super::collection("Account", json!([{"Name": "A"}]));
        let answer = world.raw("POST", "composite/sobjects", body).await.unwrap();
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()["retry-after"], "7");
        assert_eq!(answer.json::<Json>().await.unwrap()[0]["errorCode"], code);
    }
    assert_eq!(world.count("Account").await, 0);
    let calls = world.org().stats()["calls"].clone();
    assert_eq!(calls["composite_create"], 2, "refused calls count");
    world.rules(json!([{"kind": "refuse", "of": "data", "status": 403}])).await;
    assert_eq!(world.call("GET", "query?q=SELECT+COUNT()+FROM+Account", Json::Null).await.0, 403);
}

#[tokio::test]
async fn only_the_nth_request_of_a_path_is_struck() {
    let world = World::new().await;
    world.rules(json!([{"kind": "refuse", "path": "*/sobjects/Lead", "nth": [2, 3]}])).await;
    let create = async |object: &str| {
        world.call("POST", &format!("sobjects/{object}"), json!({"LastName": "Roe", "Company": "Acme"})).await.0
    };
    assert_eq!(create("Lead").await, 201);
    assert_eq!(create("Contact").await, 400, "no Company there, and no fault");
    let statuses = [create("Lead").await, create("Lead").await, create("Lead").await];
    assert_eq!(statuses, [503, 503, 201]);
}

#[tokio::test]
async fn the_same_seed_strikes_the_same_requests() {
    let world = World::new().await;
    let rule = json!({"kind": "refuse", "percent": 40, "seed": 11});
    let run = async || {
        world.rules(json!([rule])).await;
        let mut statuses = Vec::new();
        for _ in 0..30 {
            statuses.push(write(&world).await.unwrap().0);
        }
        statuses
    };
    let first = run().await;
    assert!(first.contains(&200) && first.contains(&503), "{first:?}");
    assert_eq!(run().await, first);
}

#[tokio::test]
async fn logins_and_streams_are_struck_by_name_only() {
    let world = World::new().await;
    let token = async || {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &world.org().client_id),
            ("client_secret", &world.org().client_secret),
        ];
        world.client.post(world.url("/services/oauth2/token")).form(&form).send().await
    };
    let handshake = json!([{"channel": "/meta/handshake", "id": "1", "version": "1.0",
        "supportedConnectionTypes": ["long-polling"]}]);
    world.rules(json!([{"kind": "cut", "of": "writes"}, {"kind": "cut", "of": "reads"}])).await;
    assert_eq!(token().await.unwrap().status(), 200);
    assert_eq!(world.ok("POST", "/cometd/66.0", handshake.clone()).await[0]["successful"], true);
    world.rules(json!([{"kind": "refuse", "path": "/services/oauth2/token", "times": 1}, {"kind": "cut", "path": "/services/oauth2/token"}])).await;
    let answer = token().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.text().await.unwrap().contains("<html>"), "no JSON from a login that is down");
    assert!(token().await.is_err());
    world.rules(json!([{"kind": "refuse", "channel": "/meta/handshake"}])).await;
    let reply = world.ok("POST", "/cometd/66.0", handshake).await.as_array().unwrap()[0].clone();
    assert_eq!((&reply["successful"], &reply["error"]), (&json!(false), &json!("401::Authentication invalid")));
    assert!(reply["ext"]["sfdc"]["failureReason"].as_str().unwrap().starts_with("503::"));
    world.rules(json!([{"kind": "cut", "path": "/services/Soap/*"}])).await;
    assert!(world.raw("POST", "/services/Soap/u/66.0", json!({})).await.is_err());
}

#[tokio::test]
async fn locks_strike_single_records() {
    let world = World::new().await;
    world.rules(json!([{"kind": "lock", "percent": 50}])).await;
    let records: Vec<Json> = (0..100).map(|n| json!({"Source_Id__c": format!("k{n}"), "Name": "A"})).collect();
    let results = world.upsert("Account", json!(records)).await;
    let failed: Vec<&Json> =
        results.as_array().unwrap().iter().filter(|item| item["success"] == json!(false)).collect();
    assert!((20..80).contains(&failed.len()), "{}", failed.len());
    assert!(failed.iter().all(|item| item["errors"][0]["statusCode"] == "UNABLE_TO_LOCK_ROW"));
    assert_eq!(world.count("Account").await, 100 - failed.len() as i64);
}

#[tokio::test]
async fn a_rule_with_a_mistake_is_refused_and_the_others_stay() {
    let world = World::new().await;
    world.rules(json!([{"name": "kept", "kind": "cut", "nth": 9}])).await;
    for (path, body, key) in [
        ("/emulator/faults", json!({"lock": 5}), "lock"),
        ("/emulator/faults", json!({"rules": [{"kind": "refuse", "staus": 503}]}), "rule 1: staus"),
        ("/emulator/faults", json!({"rules": {}}), "rules"),
        ("/emulator/faults", json!({"expire_tokens": 1}), "expire_tokens"),
        ("/emulator/faults/a", json!({"kind": "hold", "name": "b"}), "name"),
        ("/emulator/faults/a", json!([]), "a rule is a JSON object"),
    ] {
        let (status, answer) = world.call("POST", path, body).await;
        assert_eq!(status, 400);
        assert!(answer["problem"].as_str().unwrap().starts_with(key), "{answer}");
    }
    assert_eq!(counts(&world, "kept").await, (0, 0));
}

#[tokio::test]
async fn a_scenario_brings_rules_for_the_orgs_that_it_names() {
    let world = World::of(
        "faults:\n  - { name: mine, kind: refuse, nth: 2, orgs: [one] }\n  - { kind: cut, orgs: [another] }\n",
    )
    .await;
    let statuses = [write(&world).await.unwrap().0, write(&world).await.unwrap().0, write(&world).await.unwrap().0];
    assert_eq!(statuses, [200, 503, 200]);
    assert_eq!(counts(&world, "mine").await, (3, 1));
}
