//! The emulator over real sockets, as a client sees it.

mod actions;
mod apexrest;
mod bulk;
mod cometd;
mod control;
mod events;
mod faults;
mod new_fields;
mod oauth;
mod person;
mod pubsub;
mod query;
mod rest;
mod setup;
mod states;
mod tooling;

use std::sync::{Arc, Once};
use std::time::Duration;

use reqwest::{Client, Method, Response};
use serde_json::{Value as Json, json};

use super::{Emulator, Options, RunningOrg, Scenario};

/// One org without bus delay, and a client that is logged in.
struct World {
    emulator: Emulator,
    client: Client,
    token: String,
}

fn http_client() -> Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default(); // another test may have been first
    });
    Client::builder().cookie_store(true).build().unwrap()
}

impl World {
    async fn new() -> Self {
        Self::with(Duration::from_secs(20)).await
    }

    async fn with(connect_hold: Duration) -> Self {
        Self::start(Self::options(connect_hold)).await
    }

    fn options(connect_hold: Duration) -> Options {
        let bus_delay = Duration::ZERO..=Duration::ZERO;
        Options { orgs: vec!["one".into()], connect_hold, bus_delay, ..Options::default() }
    }

    /// An org of this scenario.
    async fn of(scenario: &str) -> Self {
        let scenario = Some(Arc::new(Scenario::read("test", scenario).unwrap()));
        Self::start(Options { scenario, ..Self::options(Duration::from_secs(20)) }).await
    }

    async fn start(options: Options) -> Self {
        let mut world =
            Self { emulator: Emulator::start(options).await.unwrap(), client: http_client(), token: String::new() };
        world.log_in().await;
        world
    }

    fn org(&self) -> &RunningOrg {
        &self.emulator.orgs[0]
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.org().base_url)
    }

    async fn log_in(&mut self) {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &self.org().client_id),
            ("client_secret", &self.org().client_secret),
        ];
        let answer = self.client.post(self.url("/services/oauth2/token")).form(&form).send().await.unwrap();
        let body: Json = answer.json().await.unwrap();
        self.token = body["access_token"].as_str().unwrap().to_owned();
    }

    /// From now on the client is this user: `limited`.
    async fn log_in_as(&mut self, name: &str) {
        let form = [
            ("grant_type", "password"),
            ("client_id", &*self.org().client_id),
            ("client_secret", &*self.org().client_secret),
            ("username", &*format!("{name}@one.example.com")),
            ("password", "emulator1TOKEN"),
        ];
        let answer = self.client.post(self.url("/services/oauth2/token")).form(&form).send().await.unwrap();
        let body: Json = answer.json().await.unwrap();
        self.token = body["access_token"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned();
    }

    fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let path = if path.starts_with("/services") || path.starts_with("/emulator") || path.starts_with("/cometd") {
            path.to_owned()
        } else {
            format!("/services/data/v66.0/{path}")
        };
        self.client.request(method, self.url(&path)).bearer_auth(&self.token)
    }

    async fn raw(&self, method: &str, path: &str, body: Json) -> reqwest::Result<Response> {
        let request = self.request(method, path);
        if body.is_null() { request.send().await } else { request.json(&body).send().await }
    }

    /// Status and body; an empty body is null.
    async fn call(&self, method: &str, path: &str, body: Json) -> (u16, Json) {
        let answer = self.raw(method, path, body).await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, if text.is_empty() { Json::Null } else { serde_json::from_str(&text).unwrap() })
    }

    async fn ok(&self, method: &str, path: &str, body: Json) -> Json {
        let (status, body) = self.call(method, path, body).await;
        assert!((200..300).contains(&status), "{status} {body}");
        body
    }

    /// Every event on the bus, as subscribers get it.
    fn events(&self) -> Vec<Json> {
        let host = &self.org().host;
        let now = host.now();
        let org = host.org();
        let forms = host.switches().stream_forms();
        let all = org.everything(now).into_iter();
        all.map(|event| serde_json::from_str(&event.to_stream(forms)).unwrap()).collect()
    }

    /// The `changeOrigin` of every change event.
    fn origins(&self) -> Vec<String> {
        let origin = |event: &Json| event["payload"]["ChangeEventHeader"]["changeOrigin"].as_str().map(str::to_owned);
        self.events().iter().filter_map(origin).collect()
    }

    async fn faults(&self, keys: Json) {
        self.ok("POST", "/emulator/faults", keys).await;
    }

    /// These rules of faults, and no others.
    async fn rules(&self, rules: Json) {
        self.faults(json!({"rules": rules})).await;
    }

    async fn upsert(&self, object: &str, records: Json) -> Json {
        let path = format!("composite/sobjects/{object}/Source_Id__c");
        self.ok("PATCH", &path, collection(object, records)).await
    }

    async fn query(&self, soql: &str) -> Json {
        let path =
            format!("query?q={}", percent_encoding::utf8_percent_encode(soql, percent_encoding::NON_ALPHANUMERIC));
        self.ok("GET", &path, Json::Null).await
    }

    async fn count(&self, object: &str) -> i64 {
        self.query(&format!("SELECT COUNT() FROM {object}")).await["totalSize"].as_i64().unwrap()
    }
}

/// The body of a collection request.
fn collection(object: &str, records: Json) -> Json {
    let mut records = records;
    for record in records.as_array_mut().unwrap() {
        record["attributes"] = json!({"type": object});
    }
    json!({"allOrNone": false, "records": records})
}
