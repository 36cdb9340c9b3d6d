//! Long-polling over HTTP for one Bayeux session: its cookies live and die with it.
//!
//! Every request goes to the bare `/cometd/<version>`. The platform also takes the meta name behind it, but other
//! Bayeux servers know only the address that they are mounted at.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use reqwest::cookie::{CookieStore, Jar};
use reqwest::header::{CONTENT_TYPE, DATE};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::super::fault::Failure;
use super::super::message::{self, Incoming};
use super::super::session::Request;
use super::websocket::Upgrade;
use super::{Answer, CONNECT_TIMEOUT, MAX_ANSWER, Messages, Received};
use crate::event::Timestamp;

/// The platform answers 413 to more.
const MAX_REQUEST: usize = 32_768;

/// One session's way to the server, with a cookie jar of its own.
pub struct LongPolling {
    client: Client,
    jar: Arc<Jar>,
    url: Url,
    token: SecretString,
    in_flight: Option<InFlight>,
}

/// A request; its Bayeux id is that of the one message in it.
struct InFlight {
    id: String,
    stage: Stage,
}

enum Stage {
    Asked(Pin<Box<dyn Future<Output = Result<Response, Failure>> + Send>>),
    Answering { response: Box<Response>, body: Vec<u8> },
}

impl LongPolling {
    /// With an empty cookie jar. An error only if the machine's TLS set-up is broken.
    pub fn open(instance_url: &Url, api_version: &str, token: SecretString) -> Result<Self, reqwest::Error> {
        let jar = Arc::new(Jar::default());
        let builder = Client::builder()
            .cookie_provider(jar.clone())
            // A redirect would carry the token to another host; the session asks for a new login instead.
            .redirect(Policy::none())
            // Known to work; whether the platform takes HTTP/2 here is not.
            .http1_only()
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("orgbridge/", env!("CARGO_PKG_VERSION")));
        // Plain http is for loopback only: it needs neither a proxy nor the machine's CA certificates.
        let plain = instance_url.scheme() == "http";
        let client = if plain { builder.no_proxy().tls_certs_only([]) } else { builder }.build()?;
        let mut url = instance_url.clone();
        url.set_path(&format!("/cometd/{api_version}"));
        Ok(Self { client, jar, url, token, in_flight: None })
    }

    /// Starts a request. One that is still in flight is given up.
    pub fn send(&mut self, request: Request) {
        let body = serde_json::Value::Array(vec![request.message]).to_string();
        let post = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json;charset=UTF-8")
            .bearer_auth(self.token.expose_secret());
        let asked = async move {
            if body.len() > MAX_REQUEST {
                return Err(Failure::TooLarge);
            }
            post.body(body).send().await.map_err(|_| Failure::Unreachable)
        };
        self.in_flight = Some(InFlight { id: request.id, stage: Stage::Asked(Box::pin(asked)) });
    }

    /// What a WebSocket of the same session needs: where, by whose token, with which cookies.
    pub fn to_upgrade(&self) -> Upgrade {
        Upgrade { url: self.url.clone(), token: self.token.clone(), cookies: self.jar.cookies(&self.url) }
    }

    /// The answer to what was sent, piece by piece; pending for ever if nothing was. Cancel-safe: the request lives on in
    /// `self`.
    pub async fn recv(&mut self) -> Received {
        let Some(InFlight { id, stage }) = &mut self.in_flight else { return std::future::pending().await };
        let result = match stage {
            Stage::Asked(asked) => match asked.as_mut().await {
                Ok(response) => {
                    *stage = Stage::Answering { response: Box::new(response), body: Vec::new() };
                    return Received::Progress;
                }
                Err(failure) => Err(failure),
            },
            Stage::Answering { response, body } => match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() <= MAX_ANSWER => {
                    body.extend_from_slice(&chunk);
                    return Received::Progress;
                }
                Ok(Some(_)) => Err(Failure::TooLarge),
                Ok(None) => read(response, body),
                // The error itself is not kept: it can show the address, and says nothing that helps more than this.
                Err(_) => Err(Failure::Unreachable),
            },
        };
        let id = std::mem::take(id);
        self.in_flight = None;
        Received::Answer(Answer { id, result })
    }
}

fn read(response: &Response, body: &[u8]) -> Result<Messages, Failure> {
    let status = response.status();
    let server_time = response.headers().get(DATE).and_then(|date| http_date(date.to_str().ok()?));
    match message::parse(body) {
        // Some servers send their refusals with the status of an error. What is no meta reply was not sent by Bayeux.
        Ok(messages) if status.is_success() || messages.iter().any(|m| matches!(m, Incoming::Reply(_))) => {
            Ok(Messages { messages, server_time })
        }
        Err(message::NotBayeux) if status == StatusCode::OK => Err(Failure::NotBayeux),
        Ok(_) | Err(message::NotBayeux) => Err(Failure::Status(status.as_u16())),
    }
}

/// `Tue, 03 Sep 2024 09:56:05 GMT`.
fn http_date(text: &str) -> Option<Timestamp> {
    chrono::DateTime::parse_from_rfc2822(text).ok().map(|date| Timestamp(date.timestamp_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_of_an_answer_is_the_server_s_time() {
        assert_eq!(http_date("Tue, 03 Sep 2024 09:56:05 GMT"), Some(Timestamp(1_725_357_365_000)));
        assert_eq!(http_date("yesterday"), None);
    }
}
