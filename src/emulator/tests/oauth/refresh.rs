//! Refresh tokens: rotation, reuse, requests at the same time, policies.

use reqwest::Client;
use serde_json::{Value as Json, json};

use super::support::{User, keys, text, world};
use crate::tests::World;

async fn logged_in(app: Json) -> (World, User, Json) {
    let world = world(json!([app])).await;
    world.ok("POST", "/emulator/oauth", json!({"consent": "approve"})).await;
    let user = User::of(&world);
    let body = user.log_in().await;
    (world, user, body)
}

async fn is_good(user: &User, body: &Json) -> bool {
    user.get("/services/data/v66.0/", text(body, "access_token")).await.0 == 200
}

#[tokio::test]
async fn without_rotation_the_token_stays_and_the_answer_has_none() {
    let (_world, user, body) = logged_in(json!({})).await;
    let token = text(&body, "refresh_token");
    for _ in 0..2 {
        let (status, fresh) = user.refresh(token).await;
        assert_eq!(status, 200);
        let expected = ["access_token", "id", "instance_url", "issued_at", "scope", "signature", "token_type"];
        assert_eq!(keys(&fresh), expected);
        assert_ne!(fresh["access_token"], body["access_token"]);
        assert_eq!(fresh["scope"], body["scope"]);
        assert!(is_good(&user, &fresh).await);
    }
    assert!(is_good(&user, &body).await);
}

#[tokio::test]
async fn with_rotation_each_answer_has_a_new_token_and_reuse_of_an_old_one_ends_everything() {
    let (_world, user, first) = logged_in(json!({"rotation": true})).await;
    let (_, second) = user.refresh(text(&first, "refresh_token")).await;
    let (_, third) = user.refresh(text(&second, "refresh_token")).await;
    assert_ne!(second["refresh_token"], third["refresh_token"]);
    assert!(is_good(&user, &first).await && is_good(&user, &third).await);
    let expired = json!({"error": "invalid_grant", "error_description": "expired access/refresh token"});
    assert_eq!(user.refresh(text(&first, "refresh_token")).await, (400, expired.clone()));
    assert_eq!(user.refresh(text(&third, "refresh_token")).await, (400, expired));
    for body in [&first, &second, &third] {
        assert!(!is_good(&user, body).await);
    }
}

#[tokio::test]
async fn of_two_requests_at_the_same_time_one_is_refused_and_nothing_is_lost() {
    let (world, user, body) = logged_in(json!({"rotation": true})).await;
    world.ok("POST", "/emulator/oauth", json!({"refresh_takes_ms": 500})).await;
    let token = text(&body, "refresh_token");
    let (one, other) = tokio::join!(user.refresh(token), user.refresh(token));
    let (won, lost) = if one.0 == 200 { (one, other) } else { (other, one) };
    assert_eq!(won.0, 200);
    let busy = json!({"error": "invalid_grant", "error_description": "token request is already being processed"});
    assert_eq!(lost, (400, busy));
    world.ok("POST", "/emulator/oauth", json!({"refresh_takes_ms": 0})).await;
    assert!(is_good(&user, &won.1).await);
    assert_eq!(user.refresh(text(&won.1, "refresh_token")).await.0, 200);
}

#[tokio::test]
async fn a_refresh_whose_client_has_left_is_done_all_the_same() {
    let (world, user, body) = logged_in(json!({"rotation": true})).await;
    world.ok("POST", "/emulator/oauth", json!({"refresh_takes_ms": 200})).await;
    let token = text(&body, "refresh_token");
    let impatient = Client::builder().timeout(std::time::Duration::from_millis(50)).build().unwrap();
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", token),
        ("client_id", &*user.key),
        ("client_secret", &*user.secret),
    ];
    let url = format!("{}/services/oauth2/token", user.base);
    assert!(impatient.post(url).form(&form).send().await.unwrap_err().is_timeout());
    // The old token is in use for a while, and then it is dead.
    let last = loop {
        let (status, answer) = user.refresh(token).await;
        assert_eq!(status, 400);
        if answer["error_description"] != "token request is already being processed" {
            break answer;
        }
    };
    assert_eq!(last["error_description"], "expired access/refresh token");
}

#[tokio::test]
async fn policies_end_refresh_tokens() {
    for (policy, good_at_once, good_later) in [
        ("infinite", true, true),
        ("zero", false, false),
        ("specific_lifetime:2:HOURS", true, false),
        ("specific_inactivity:1:DAYS", true, true),
        ("specific_inactivity:1:HOURS", true, false),
    ] {
        let (world, user, body) = logged_in(json!({"refresh_policy": policy})).await;
        let token = text(&body, "refresh_token");
        assert_eq!(user.refresh(token).await.0 == 200, good_at_once, "{policy}");
        world.ok("POST", "/emulator/time", json!({"advance_seconds": 7_201})).await;
        assert_eq!(user.refresh(token).await.0 == 200, good_later, "{policy}");
    }
}

#[tokio::test]
async fn the_sixth_login_ends_the_first_silently() {
    let (_world, user, first) = logged_in(json!({})).await;
    let mut others = Vec::new();
    for _ in 0..4 {
        others.push(user.log_in().await);
    }
    assert_eq!(user.refresh(text(&first, "refresh_token")).await.0, 200);
    others.push(user.log_in().await);
    assert_eq!(user.refresh(text(&first, "refresh_token")).await.0, 400);
    for other in &others {
        assert_eq!(user.refresh(text(other, "refresh_token")).await.0, 200);
    }
}

#[tokio::test]
async fn an_access_token_that_expires_leaves_the_refresh_token_alone() {
    let (world, user, body) = logged_in(json!({"session_minutes": 15})).await;
    world.ok("POST", "/emulator/time", json!({"advance_seconds": 901})).await;
    assert!(!is_good(&user, &body).await);
    let (_, fresh) = user.refresh(text(&body, "refresh_token")).await;
    assert!(is_good(&user, &fresh).await);
    world.faults(json!({"expire_tokens": true})).await;
    assert!(!is_good(&user, &fresh).await);
    assert_eq!(user.refresh(text(&body, "refresh_token")).await.0, 200);
}
