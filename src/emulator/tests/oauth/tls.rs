//! HTTPS.

use std::time::Duration;

use reqwest::{Certificate, Client};
use serde_json::{Value as Json, json};
use tokio::net::TcpStream;

use super::support::text;
use crate::tests::http_client;
use crate::{Emulator, Options};

async fn emulator() -> (Emulator, Client) {
    http_client();
    let options = Options { tls: true, login_port: Some(0), ..Options::default() };
    let emulator = Emulator::start(options).await.unwrap();
    let pem = std::fs::read(emulator.ca_file()).unwrap();
    let client = Client::builder().tls_certs_only([Certificate::from_pem(&pem).unwrap()]).build().unwrap();
    (emulator, client)
}

async fn log_in(client: &Client, base: &str, emulator: &Emulator) -> Json {
    let org = &emulator.orgs[0];
    let request = client.post(format!("{base}/services/oauth2/token"));
    let request = request.basic_auth(&org.client_id, Some(&org.client_secret));
    request.form(&[("grant_type", "client_credentials")]).send().await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn a_client_that_trusts_the_authority_works_by_name_and_by_address() {
    let (emulator, client) = emulator().await;
    let base = &emulator.orgs[0].base_url;
    assert!(base.starts_with("https://localhost:"));
    for base in [base.clone(), base.replace("localhost", "127.0.0.1")] {
        let body = log_in(&client, &base, &emulator).await;
        assert_eq!(body["instance_url"], base);
        assert!(text(&body, "id").starts_with(&base));
        let url = format!("{base}/services/data/v66.0/");
        let answer = client.get(url).bearer_auth(text(&body, "access_token")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    let login = emulator.login_url.as_ref().unwrap();
    let found: Json =
        client.get(format!("{login}/.well-known/openid-configuration")).send().await.unwrap().json().await.unwrap();
    assert_eq!(found["issuer"], *login);
}

#[tokio::test]
async fn nobody_else_gets_in_and_the_file_goes_with_the_emulator() {
    let (emulator, client) = emulator().await;
    let base = &emulator.orgs[0].base_url;
    assert!(http_client().get(base).send().await.is_err());
    assert!(client.get(base.replace("https", "http")).send().await.is_err());
    let file = emulator.ca_file().to_owned();
    emulator.shutdown().await;
    assert!(!file.exists());
}

#[tokio::test]
async fn a_client_that_says_nothing_holds_nobody_up() {
    let (emulator, client) = emulator().await;
    let address = emulator.orgs[0].base_url.replace("https://localhost", "127.0.0.1");
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(TcpStream::connect(&address).await.unwrap());
    }
    let work = log_in(&client, &emulator.orgs[0].base_url, &emulator);
    let body = tokio::time::timeout(Duration::from_secs(10), work).await.unwrap();
    assert!(body["access_token"].is_string());
}

#[tokio::test]
async fn a_line_can_be_cut_under_tls() {
    let (emulator, client) = emulator().await;
    let base = &emulator.orgs[0].base_url;
    let body = log_in(&client, base, &emulator).await;
    let fault = json!({"rules": [{"kind": "do_then_fail"}]});
    client.post(format!("{base}/emulator/faults")).json(&fault).send().await.unwrap();
    let create = client.post(format!("{base}/services/data/v66.0/sobjects/Account")).json(&json!({"Name": "A"}));
    let error = create.bearer_auth(text(&body, "access_token")).send().await.unwrap_err();
    assert!(error.is_request(), "{error:?}");
    let stats: Json = client.get(format!("{base}/emulator/stats")).send().await.unwrap().json().await.unwrap();
    assert_eq!(stats["records"]["Account"], 1);
}
