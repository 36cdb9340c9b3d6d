//! The answer to a login that succeeded: each grant shows its own keys (oauth.md section 3).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::{digest, hmac};
use serde_json::{Map, Value as Json, json};

use super::app::App;
use super::keys;
use super::scopes::Scopes;
use crate::org::time::SECOND;

/// Seconds for which an id token is good.
const ID_TOKEN_LIFE: i64 = 120;

/// An access token that was given out, and all that answers tell of it.
pub struct Issued<'a> {
    pub app: &'a App,
    pub access_token: String,
    pub scopes: Scopes,
    /// The base to which API calls go.
    pub instance: String,
    /// The base to which the login came.
    pub login: String,
    /// The identity URL.
    pub identity: String,
    pub now: i64,
}

impl Issued<'_> {
    /// What every grant shows.
    pub fn body(&self) -> Map<String, Json> {
        Map::from_iter([
            ("access_token".to_owned(), json!(self.access_token)),
            ("instance_url".to_owned(), json!(self.instance)),
            ("id".to_owned(), json!(self.identity)),
            ("token_type".to_owned(), json!("Bearer")),
        ])
    }

    pub fn with_scope(&self, mut body: Map<String, Json>) -> Map<String, Json> {
        body.insert("scope".into(), json!(self.scopes.to_string()));
        body
    }

    /// With the instant, and the proof that whoever answers knows the app's secret.
    pub fn signed(&self, mut body: Map<String, Json>) -> Map<String, Json> {
        let issued_at = self.now.div_euclid(1_000).to_string();
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.app.secret().as_bytes());
        let signature = hmac::sign(&key, format!("{}{issued_at}", self.identity).as_bytes());
        body.insert("signature".into(), json!(STANDARD.encode(signature)));
        body.insert("issued_at".into(), json!(issued_at));
        body
    }

    /// For OpenID Connect.
    pub fn id_token(&self, nonce: Option<&str>) -> Option<String> {
        let seconds = self.now.div_euclid(SECOND);
        let hash = digest::digest(&digest::SHA256, self.access_token.as_bytes());
        let half = hash.as_ref().get(..16).unwrap_or_default();
        let mut claims = json!({"iss": self.login, "sub": self.identity, "aud": self.app.key, "iat": seconds,
            "exp": seconds + ID_TOKEN_LIFE, "at_hash": URL_SAFE_NO_PAD.encode(half)});
        if let (Some(nonce), Some(claims)) = (nonce, claims.as_object_mut()) {
            claims.insert("nonce".into(), json!(nonce));
        }
        keys::sign(&claims)
    }
}
