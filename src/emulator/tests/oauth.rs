//! Logging in. Client credentials, and how tokens end, are here; the rest is below.

mod code;
mod errors;
mod jwt;
mod login_host;
mod refresh;
mod secrets;
mod soap;
mod support;
mod tls;
mod tokens;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use super::World;
use crate::{Emulator, Options};

#[tokio::test]
async fn the_answer_has_what_clients_need_and_no_expiry() {
    let world = World::new().await;
    let org = world.org();
    let request =
        world.client.post(world.url("/services/oauth2/token")).basic_auth(&org.client_id, Some(&org.client_secret));
    let body: Json = request.form(&[("grant_type", "client_credentials")]).send().await.unwrap().json().await.unwrap();
    assert_eq!(body["instance_url"], org.base_url);
    assert_eq!(body["token_type"], "Bearer");
    assert!(body["issued_at"].as_str().unwrap().parse::<u64>().unwrap() > 1_600_000_000_000);
    assert!(body["id"].as_str().unwrap().contains(&format!("/id/{}/005", org.org_id)));
    assert!(body["access_token"].as_str().unwrap().starts_with(&format!("{}!", &org.org_id[..15])));
    assert_eq!(body.get("expires_in"), None);
    assert_eq!(body.get("refresh_token"), None);
}

#[tokio::test]
async fn each_mistake_has_its_error() {
    let world = World::new().await;
    let (id, secret) = (&world.org().client_id, &world.org().client_secret);
    let cases = [
        (
            vec![("grant_type", "client_credentials"), ("client_id", "x"), ("client_secret", secret)],
            "invalid_client_id",
        ),
        (vec![("grant_type", "client_credentials"), ("client_id", id), ("client_secret", "x")], "invalid_client"),
        (vec![("grant_type", "device"), ("client_id", id), ("client_secret", secret)], "unsupported_grant_type"),
        (vec![("client_id", id), ("client_secret", secret)], "invalid_request"),
        (vec![("grant_type", "client_credentials")], "invalid_request"),
    ];
    for (form, error) in cases {
        let answer = world.client.post(world.url("/services/oauth2/token")).form(&form).send().await.unwrap();
        assert_eq!(answer.status(), 400);
        assert_eq!(answer.json::<Json>().await.unwrap()["error"], error);
    }
    let (status, body) = world.call("GET", "/services/oauth2/token", Json::Null).await;
    assert_eq!((status, &body["error_description"]), (400, &json!("must use HTTP POST")));
}

#[tokio::test]
async fn a_post_may_have_its_parameters_in_the_url_and_empty_ones_are_none() {
    let world = World::new().await;
    let (id, secret) = (&world.org().client_id, &world.org().client_secret);
    let all = [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret)];
    let url = url::Url::parse_with_params(&world.url("/services/oauth2/token"), &all).unwrap();
    assert_eq!(world.client.post(url.clone()).send().await.unwrap().status(), 200);
    assert_eq!(world.client.get(url).send().await.unwrap().status(), 400);
    let mut form = all.to_vec();
    form[2].1 = "";
    let answer = world.client.post(world.url("/services/oauth2/token")).form(&form).send().await.unwrap();
    assert_eq!(answer.json::<Json>().await.unwrap()["error"], "invalid_client");
    form[1].1 = "";
    let answer = world.client.post(world.url("/services/oauth2/token")).form(&form).send().await.unwrap();
    let missing = json!({"error": "invalid_request", "error_description": "missing required parameter: client_id"});
    assert_eq!(answer.json::<Json>().await.unwrap(), missing);
}

#[tokio::test]
async fn the_name_of_the_basic_scheme_has_no_case_and_an_empty_secret_is_none() {
    let world = World::new().await;
    let id = world.org().client_id.clone();
    let basic = |id: &str, secret: &str| STANDARD.encode(format!("{id}:{secret}"));
    let ask = async |authorization: String| {
        let request = world.client.post(world.url("/services/oauth2/token")).header("authorization", authorization);
        let answer = request.form(&[("grant_type", "client_credentials")]).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Json>().await.unwrap())
    };
    let encoded = basic(&id, &world.org().client_secret);
    assert_eq!(ask(format!("basic {encoded}")).await.0, 200);
    assert_eq!(ask(format!("BASIC {encoded}")).await.0, 200);
    assert_eq!(ask(format!("Basic {}", basic(&id, ""))).await.1["error"], "invalid_client");
}

#[tokio::test]
async fn expired_tokens_are_refused_everywhere_until_a_new_login() {
    let mut world = World::new().await;
    world.faults(json!({"expire_tokens": true})).await;
    let answer = world.raw("GET", "sobjects/Account/001000000000001AAA", Json::Null).await.unwrap();
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.headers()["www-authenticate"], "Token");
    let body: Json = answer.json().await.unwrap();
    assert_eq!(body, json!([{"errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid"}]));
    world.log_in().await;
    assert_eq!(world.count("Account").await, 0);
}

#[tokio::test]
async fn a_token_ends_after_two_idle_hours() {
    let world = World::new().await;
    world.ok("POST", "/emulator/time", json!({"advance_seconds": 7_000})).await;
    world.count("Account").await;
    world.ok("POST", "/emulator/time", json!({"advance_seconds": 7_000})).await;
    world.count("Account").await;
    world.ok("POST", "/emulator/time", json!({"advance_seconds": 7_300})).await;
    assert_eq!(world.call("GET", "query?q=SELECT+COUNT()+FROM+Account", Json::Null).await.0, 401);
}

#[tokio::test]
async fn the_same_seed_gives_the_same_credentials_and_another_org_gives_others() {
    let options = Options { orgs: vec!["a".into(), "b".into()], ..Options::default() };
    let credentials = |emulator: &Emulator| -> Vec<[String; 3]> {
        emulator.orgs.iter().map(|org| [org.org_id.clone(), org.client_id.clone(), org.client_secret.clone()]).collect()
    };
    let first = credentials(&Emulator::start(options.clone()).await.unwrap());
    let second = credentials(&Emulator::start(options.clone()).await.unwrap());
    let other = credentials(&Emulator::start(Options { seed: 2, ..options }).await.unwrap());
    assert_eq!(first, second);
    for n in 0..3 {
        assert_ne!(first[0][n], first[1][n]);
        assert_ne!(first[0][n], other[0][n]);
    }
}
