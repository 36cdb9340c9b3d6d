//! A signed POST to an address that the config names.
//!
//! The receiver proves with `X-Orgbridge-Signature` that it was the bridge and when, and tells by the idempotency key what
//! it has had before. The address may hold a secret, so it stands in no error: neither reqwest's nor ours.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::config::Webhook;
use crate::event::Timestamp;
use crate::org::{install_crypto, may_see_secrets, read_retry_after};
use crate::privacy;

/// A longer answer is none.
const ANSWER_MAX: usize = 64 << 10;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that the other side closes just when it is used again loses an answer that nobody would have had to doubt;
/// servers keep one for 5 seconds or more.
const IDLE_MAX: Duration = Duration::from_secs(3);

/// Where the idempotency key goes along unless the config says otherwise.
pub const KEY_HEADER: HeaderName = HeaderName::from_static("idempotency-key");
const TIMESTAMP: HeaderName = HeaderName::from_static("x-orgbridge-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("x-orgbridge-signature");

/// Why nothing can be posted at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("the address of the webhook must begin with https://")]
    NoHttps,
    #[error("this machine has no CA certificates, so no address can be trusted")]
    NoCertificates,
}

/// One receiver.
pub struct Poster {
    http: reqwest::Client,
    url: Url,
    secret: SecretString,
    timeout: Duration,
}

/// What the receiver answered.
#[derive(Debug)]
pub struct Posted {
    pub status: StatusCode,
    pub retry_after: Option<Duration>,
    pub body: Body,
}

/// It did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotPosted {
    /// The request could not even be made: the key holds what no header may.
    Unusable,
    /// It did not get it.
    Unreachable,
    /// It may have got it.
    TimedOut,
    Cut,
}

impl Poster {
    /// # Errors
    /// See [`Unusable`].
    pub fn new(hook: &Webhook, timeout: Duration) -> Result<Self, Unusable> {
        install_crypto();
        if !may_see_secrets(&hook.url) {
            return Err(Unusable::NoHttps);
        }
        let mut http = reqwest::Client::builder()
            .http1_only()
            // What is signed for one receiver goes to no other.
            .redirect(reqwest::redirect::Policy::none())
            // Nothing is sent twice that we do not know of.
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_MAX)
            .user_agent(concat!("orgbridge/", env!("CARGO_PKG_VERSION")));
        if hook.url.scheme() == "http" {
            // On loopback: no proxy can reach it, and a machine without CA certificates can.
            http = http.no_proxy().tls_certs_only([]);
        }
        let http = http.build().map_err(|_| Unusable::NoCertificates)?;
        Ok(Self { http, url: hook.url.clone(), secret: hook.secret.clone(), timeout })
    }

    /// Posts JSON, signed, with its idempotency key in this header.
    ///
    /// # Errors
    /// When there is no answer. The cause itself is dropped: it names the address.
    pub async fn post(&self, body: String, key_header: &HeaderName, key: &str) -> Result<Posted, NotPosted> {
        let now = Timestamp::now().0.div_euclid(1_000).to_string();
        let signature = signature(&self.secret, &now, &body);
        let request = self
            .http
            .post(self.url.clone())
            .timeout(self.timeout)
            .header(CONTENT_TYPE, "application/json")
            .header(key_header, HeaderValue::from_str(key).map_err(|_| NotPosted::Unusable)?)
            .header(TIMESTAMP, now)
            .header(SIGNATURE, signature)
            .body(body);
        let answer = request.send().await.map_err(|error| not_posted(&error))?;
        let status = answer.status();
        let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|text| read_retry_after(text, Timestamp::now()));
        match read(answer).await {
            Ok(body) => Ok(Posted { status, retry_after, body }),
            // What it says of itself is known; only a success is not one without its body.
            Err(error) if status.is_success() => Err(not_posted(&error)),
            Err(_) => Ok(Posted { status, retry_after, body: Body::default() }),
        }
    }
}

fn not_posted(error: &reqwest::Error) -> NotPosted {
    if error.is_builder() {
        NotPosted::Unusable
    } else if error.is_connect() {
        NotPosted::Unreachable
    } else if error.is_timeout() {
        NotPosted::TimedOut
    } else {
        NotPosted::Cut
    }
}

/// `v1=` and the HMAC-SHA256 of the time, a point and the body, in hexadecimal digits.
fn signature(secret: &SecretString, timestamp: &str, body: &str) -> String {
    format!("v1={}", privacy::hashed(secret.expose_secret().as_bytes(), &format!("{timestamp}.{body}")))
}

/// The beginning of a body.
#[derive(Debug, Default)]
pub struct Body {
    pub bytes: Vec<u8>,
    /// There is more.
    pub cut: bool,
}

async fn read(mut answer: reqwest::Response) -> Result<Body, reqwest::Error> {
    let mut body = Body::default();
    while let Some(chunk) = answer.chunk().await? {
        let left = ANSWER_MAX.saturating_sub(body.bytes.len());
        body.bytes.extend(chunk.iter().take(left));
        if chunk.len() > left {
            body.cut = true;
            break;
        }
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by another implementation: `printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac topsecret`.
    #[test]
    fn the_signature_is_that_of_time_and_body() {
        let signed = signature(&SecretString::from("topsecret"), "1700000000", r#"{"a":1}"#);
        assert_eq!(signed, "v1=6a939b0c71853d606167625a15168ee9188c6a511c773ef4f42d307f3849e50f");
    }
}
