//! The token endpoint: client credentials, and nothing else yet (oauth.md sections 3, 4, 8 and 12).

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::hmac;
use serde_json::json;

use super::host::{self, Host};
use super::org::Id;
use super::org::time::HOUR;
use super::wire::{Answer, Call};

/// Inactivity after which a session ends: the platform's default.
const LIFETIME: i64 = 2 * HOUR;

/// The access tokens that are good, and when each was last used.
#[derive(Debug)]
pub struct Tokens {
    sessions: HashMap<String, Session>,
    rng: fastrand::Rng,
}

/// What an access token stands for.
#[derive(Debug, Clone)]
pub struct Session {
    pub user: Id,
    used: i64,
}

impl Tokens {
    pub fn new(rng: fastrand::Rng) -> Self {
        Self { sessions: HashMap::new(), rng }
    }

    fn issue(&mut self, org: &str, user: Id, now: i64) -> String {
        let token = format!("{org}!AQ{}.{}", host::text(&mut self.rng, 60), host::text(&mut self.rng, 32));
        self.sessions.insert(token.clone(), Session { user, used: now });
        token
    }

    /// The session of a token that is good; using it prolongs it.
    pub fn check(&mut self, token: Option<&str>, now: i64) -> Option<Session> {
        let session = self.sessions.get_mut(token?)?;
        if now - session.used > LIFETIME {
            return None;
        }
        session.used = now;
        Some(session.clone())
    }

    /// Every token ends at once.
    pub fn expire(&mut self) {
        self.sessions.clear();
    }
}

/// `POST /services/oauth2/token`.
pub fn token(host: &Host, call: &Call) -> Answer {
    host.count("token", false);
    if call.method != "POST" {
        return refused("invalid_request", "must use HTTP POST");
    }
    let form = host::form(&call.body);
    let Some(grant) = form.get("grant_type") else {
        return refused("invalid_request", "missing required parameter: grant_type");
    };
    if grant != "client_credentials" {
        return refused("unsupported_grant_type", "grant type not supported");
    }
    let (id, secret) = match basic(call) {
        Some(pair) => pair,
        None => match (form.get("client_id"), form.get("client_secret")) {
            (None, _) => return refused("invalid_request", "missing required parameter: client_id"),
            (Some(id), secret) => (id.clone(), secret.cloned().unwrap_or_default()),
        },
    };
    if id != host.client_id {
        return refused("invalid_client_id", "client identifier invalid");
    }
    if secret != host.client_secret {
        return refused("invalid_client", "invalid client credentials");
    }
    let now = host.now();
    let (org_id, user) = {
        let org = host.org();
        (org.id.clone(), org.integration_user())
    };
    // Clients go on with the base that they are given here, so it is the one that they called.
    let base = format!("http://{}", call.header("host").unwrap_or("127.0.0.1"));
    let identity = format!("{base}/id/{org_id}/{user}");
    let issued_at = (now / 1_000).to_string();
    let key = hmac::Key::new(hmac::HMAC_SHA256, host.client_secret.as_bytes());
    let signature = BASE64.encode(hmac::sign(&key, format!("{identity}{issued_at}").as_bytes()));
    let access_token = host.tokens().issue(org_id.short(), user, now);
    let body = json!({"access_token": access_token, "signature": signature, "scope": "api id",
        "instance_url": base, "id": identity, "token_type": "Bearer", "issued_at": issued_at});
    Answer::json(200, &body).with("cache-control", "no-cache, no-store")
}

/// Client id and secret of an `Authorization: Basic` header; both parts are form-encoded (RFC 6749, 2.3.1).
fn basic(call: &Call) -> Option<(String, String)> {
    let encoded = call.header("authorization")?.strip_prefix("Basic ")?;
    let text = String::from_utf8(BASE64.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    let decode = |part: &str| percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned();
    Some((decode(id), decode(secret)))
}

fn refused(error: &str, description: &str) -> Answer {
    Answer::json(400, &json!({"error": error, "error_description": description}))
}
