//! Long-polling: one POST for each request, with the cookies of its session (facts: streaming-cometd.md sections 1, 2).

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap};
use secrecy::ExposeSecret;
use tokio::time::Instant;

use super::message::{self, Incoming};
use crate::org::{Org, Session as Login};

/// A response may hold a day's events; the platform's own client takes 10 MiB.
const BODY_MAX: usize = 64 << 20;

/// One session's cookies and connections. A handshake takes a new one, for a stale cookie leads to a server that does not
/// know the session.
#[derive(Clone)]
pub struct LongPolling {
    http: reqwest::Client,
    url: String,
    login: Login,
    org: Org,
}

/// Why a request has no messages.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    #[error("the org could not be reached")]
    Unreachable,
    #[error("no answer in time")]
    TimedOut,
    #[error("HTTP {0}")]
    Status(u16),
    #[error("the token was refused")]
    Unauthorized,
    #[error("an answer that is not Bayeux")]
    Unreadable,
}

impl LongPolling {
    /// No cookies, no connections yet.
    pub fn new(org: &Org, login: Login) -> Result<Self, TransportError> {
        let http = reqwest::Client::builder()
            .http1_only()
            .cookie_store(true)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(Duration::from_secs(10))
            .user_agent(concat!("orgbridge/", env!("CARGO_PKG_VERSION")));
        let loopback =
            login.instance_url.host_str().is_some_and(|host| host == "localhost" || host.starts_with("127."));
        let http = if loopback { http.no_proxy() } else { http };
        let http = http.build().map_err(|_| TransportError::Unreachable)?;
        // The bare URL serves every message; the form with the message's name is only for a lone one.
        let base = login.instance_url.as_str().trim_end_matches('/');
        let url = format!("{base}/cometd/{}", org.config().api_version);
        Ok(Self { http, url, login, org: org.clone() })
    }

    pub async fn send(&self, body: &serde_json::Value, timeout: Duration) -> Result<Vec<Incoming>, TransportError> {
        let failed = |error: reqwest::Error| match error.is_timeout() {
            true => TransportError::TimedOut,
            false => TransportError::Unreachable,
        };
        let sent = Instant::now();
        let request = self
            .http
            .post(&self.url)
            .bearer_auth(self.login.token.expose_secret())
            .header(CONTENT_TYPE, "application/json;charset=UTF-8")
            .body(body.to_string())
            .timeout(timeout);
        let mut response = request.send().await.map_err(failed)?;
        self.clock(response.headers(), sent.elapsed());
        match response.status() {
            StatusCode::UNAUTHORIZED => return Err(TransportError::Unauthorized),
            // Some servers answer a Bayeux error with its status; the body says more, if there is one.
            status if !status.is_success() && status != StatusCode::BAD_REQUEST && status != StatusCode::FORBIDDEN => {
                return Err(TransportError::Status(status.as_u16()));
            }
            _ => {}
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if bytes.len() + chunk.len() > BODY_MAX {
                return Err(TransportError::Unreadable);
            }
            bytes.extend_from_slice(&chunk);
        }
        message::read(&bytes).map_err(|_| match response.status() {
            status if status.is_success() => TransportError::Unreadable,
            status => TransportError::Status(status.as_u16()),
        })
    }

    /// A held connect says nothing of how far away the org is, so the time it was held is not taken for travel.
    fn clock(&self, headers: &HeaderMap, elapsed: Duration) {
        if headers.contains_key(DATE) {
            self.org.observe_date(headers, elapsed.min(Duration::from_secs(1)));
        }
    }

    pub fn login(&self) -> &Login {
        &self.login
    }
}
