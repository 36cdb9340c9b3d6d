//! What the tests of logins share: a browser that follows nothing, and the steps of a user.

use std::collections::HashMap;

use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value as Json, json};
use url::Url;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::tests::{World, http_client};
use crate::{Emulator, Options};

pub const REDIRECT: &str = "http://localhost:1717/OauthRedirect";
// The pair of RFC 7636, appendix B.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// Of every user who has one, and what may follow it.
pub const PASSWORD: &str = "emulator1";
pub const SECURITY_TOKEN: &str = "TOKEN";
pub const CERTIFICATE: &str = include_str!("client_certificate.pem");
const KEY: &str = include_str!("client_key.pem");

pub type Pairs<'a> = &'a [(&'a str, &'a str)];

/// A world whose org has these apps; `{}` is the usual one.
pub async fn world(apps: Json) -> World {
    let world = World::new().await;
    world.ok("POST", "/emulator/apps", apps).await;
    world
}

/// Two orgs and a login host.
pub async fn emulator() -> Emulator {
    http_client(); // for the TLS provider
    let options = Options { login_port: Some(0), ..Options::default() };
    Emulator::start(options).await.unwrap()
}

/// One who logs in somewhere, with an app.
pub struct User {
    pub browser: Client,
    pub base: String,
    pub key: String,
    pub secret: String,
}

impl User {
    pub fn of(world: &World) -> Self {
        let org = world.org();
        Self::at(&org.base_url, &org.client_id, &org.client_secret)
    }

    pub fn at(base: &str, key: &str, secret: &str) -> Self {
        http_client();
        let browser = Client::builder().redirect(Policy::none()).build().unwrap();
        Self { browser, base: base.to_owned(), key: key.to_owned(), secret: secret.to_owned() }
    }

    pub async fn post(&self, path: &str, form: Pairs<'_>) -> Response {
        self.browser.post(format!("{}{path}", self.base)).form(form).send().await.unwrap()
    }

    pub async fn get(&self, path: &str, token: &str) -> (u16, String) {
        let request = self.browser.get(format!("{}{path}", self.base)).bearer_auth(token);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Status and body of a request for a token, with the app's key and secret unless they are among the values.
    pub async fn token(&self, form: Pairs<'_>) -> (u16, Json) {
        let mut all = HashMap::from([("client_id", &*self.key), ("client_secret", &*self.secret)]);
        all.extend(form.iter().copied());
        all.retain(|_, value| !value.is_empty());
        let pairs: Vec<(&str, &str)> = all.into_iter().collect();
        let answer = self.post("/services/oauth2/token", &pairs).await;
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    pub async fn token_ok(&self, form: Pairs<'_>) -> Json {
        let (status, body) = self.token(form).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    /// `error` and `error_description` of a request that is refused with 400.
    pub async fn refused(&self, form: Pairs<'_>) -> (String, String) {
        let (status, body) = self.token(form).await;
        assert_eq!(status, 400, "{body}");
        assert_eq!(body.as_object().unwrap().len(), 2);
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        (text("error"), text("error_description"))
    }

    fn authorize_url(&self, more: Pairs<'_>) -> Url {
        let mut all = HashMap::from([
            ("response_type", "code"),
            ("client_id", &*self.key),
            ("redirect_uri", REDIRECT),
            ("state", "a b&c"),
        ]);
        all.extend(more.iter().copied());
        all.retain(|_, value| !value.is_empty());
        Url::parse_with_params(&format!("{}/services/oauth2/authorize", self.base), all).unwrap()
    }

    pub async fn authorize(&self, more: Pairs<'_>) -> Response {
        self.browser.get(self.authorize_url(more)).send().await.unwrap()
    }

    /// What the redirect of an authorize request brings to the app.
    pub async fn redirected(&self, more: Pairs<'_>) -> HashMap<String, String> {
        parameters(&self.authorize(more).await)
    }

    /// The code that an approval gives; the org approves by itself.
    pub async fn code(&self, more: Pairs<'_>) -> String {
        let brought = self.redirected(more).await;
        brought.get("code").unwrap_or_else(|| panic!("{brought:?}")).clone()
    }

    pub async fn exchange(&self, code: &str) -> Json {
        self.token_ok(&[("grant_type", "authorization_code"), ("code", code), ("redirect_uri", REDIRECT)]).await
    }

    /// The answer to a login by the web server flow.
    pub async fn log_in(&self) -> Json {
        self.exchange(&self.code(&[]).await).await
    }

    pub async fn refresh(&self, token: &str) -> (u16, Json) {
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    pub async fn jwt(&self, assertion: &str) -> (u16, Json) {
        let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
        let form = [("grant_type", grant), ("assertion", assertion), ("client_id", ""), ("client_secret", "")];
        self.token(&form).await
    }
}

pub fn parameters(answer: &Response) -> HashMap<String, String> {
    assert_eq!(answer.status(), 302);
    let location = answer.headers()["location"].to_str().unwrap();
    assert!(location.starts_with(&format!("{REDIRECT}?")), "{location}");
    Url::parse(location).unwrap().query_pairs().into_owned().collect()
}

pub fn text<'a>(body: &'a Json, name: &str) -> &'a str {
    body[name].as_str().unwrap_or_else(|| panic!("{name} in {body}"))
}

pub fn keys(body: &Json) -> Vec<&str> {
    body.as_object().unwrap().keys().map(String::as_str).collect()
}

/// A JWT with the key of the certificate.
pub fn signed(header: &Json, claims: &Json) -> String {
    let key = RsaKeyPair::from_pkcs8(PrivatePkcs8KeyDer::from_pem_slice(KEY.as_bytes()).unwrap().secret_pkcs8_der());
    let key = key.unwrap();
    let encode = |part: &Json| URL_SAFE_NO_PAD.encode(part.to_string());
    let message = format!("{}.{}", encode(header), encode(claims));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A good assertion, over which the given claims are laid.
pub fn assertion(key: &str, username: &str, claims: Json) -> String {
    let exp = chrono::Utc::now().timestamp() + 170;
    let mut all = json!({"iss": key, "sub": username, "aud": "https://login.salesforce.com", "exp": exp});
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    signed(&json!({"alg": "RS256"}), &all)
}

/// Usernames of the integration user and of an ordinary one.
pub async fn usernames(world: &World) -> [String; 2] {
    let users = world.ok("GET", "/emulator/users", Json::Null).await;
    [0, 1].map(|place| text(&users[place], "username").to_owned())
}
