//! Webhooks: a signed POST to anybody.
//!
//! The receiver proves with `X-Orgbridge-Signature` that it was the bridge and when, and tells by the idempotency key what
//! it has had before. The address may hold a secret, so it stands in no error: neither reqwest's nor ours.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value as Json, json};
use url::Url;

use super::apex_rest::key_header;
use super::{CONNECTION_CUT, Called, CallerError, Inputs, Outcome, TIMED_OUT, UNREACHABLE, Why, verdict};
use crate::config::{KeyPlace, Webhook};
use crate::event::{PipelineName, Timestamp};
use crate::org::{install_crypto, may_see_secrets, read_retry_after};
use crate::privacy;

/// A longer answer is none.
const ANSWER_MAX: usize = 64 << 10;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that the other side closes just when it is used again loses an answer that nobody would have had to doubt;
/// servers keep one for 5 seconds or more.
const IDLE_MAX: Duration = Duration::from_secs(3);

const KEY_HEADER: HeaderName = HeaderName::from_static("idempotency-key");
const TIMESTAMP: HeaderName = HeaderName::from_static("x-orgbridge-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("x-orgbridge-signature");

const REDIRECTED: &str = "REDIRECTED";
/// A request could not even be made: the key holds what no header may.
const BAD_REQUEST: &str = "REQUEST_INVALID";

pub(super) struct Sender {
    http: reqwest::Client,
    url: Url,
    secret: SecretString,
    pipeline: PipelineName,
    key_header: HeaderName,
    timeout: Duration,
}

impl Sender {
    pub fn new(
        hook: &Webhook,
        pipeline: PipelineName,
        key: Option<&KeyPlace>,
        timeout: Duration,
    ) -> Result<Self, CallerError> {
        install_crypto();
        if !may_see_secrets(&hook.url) {
            return Err(CallerError::NoHttps);
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
        let http = http.build().map_err(|_| CallerError::NoCertificates)?;
        let key_header = key_header(key)?.unwrap_or(KEY_HEADER);
        Ok(Self { http, url: hook.url.clone(), secret: hook.secret.clone(), pipeline, key_header, timeout })
    }

    /// One after the other; there is only one.
    pub async fn call(&self, inputs: &[Inputs<'_>]) -> Called {
        let mut called = Called::default();
        for input in inputs {
            called.and(self.call_one(input).await);
        }
        called
    }

    async fn call_one(&self, inputs: &Inputs<'_>) -> Called {
        let body =
            json!({"id": inputs.key, "pipeline": self.pipeline.as_str(), "fields": inputs.as_json()}).to_string();
        let now = Timestamp::now().0.div_euclid(1_000).to_string();
        let signature = signature(&self.secret, &now, &body);
        let Ok(key) = HeaderValue::from_str(inputs.key) else {
            return Called::all(1, &Outcome::Refused(Why::new(BAD_REQUEST, "the idempotency key cannot be a header")));
        };
        let request = self
            .http
            .post(self.url.clone())
            .timeout(self.timeout)
            .header(CONTENT_TYPE, "application/json")
            .header(&self.key_header, key)
            .header(TIMESTAMP, now)
            .header(SIGNATURE, signature)
            .body(body);
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return not_answered(&error),
        };
        let status = answer.status();
        let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|text| read_retry_after(text, Timestamp::now()));
        match read(answer).await {
            Ok(body) => judged(status, retry_after, &body),
            // What it says of itself is known; only a success is not one without its body.
            Err(error) if status.is_success() => not_answered(&error),
            Err(_) => judged(status, retry_after, &Body::default()),
        }
    }
}

/// `v1=` and the HMAC-SHA256 of the time, a point and the body, in hexadecimal digits.
fn signature(secret: &SecretString, timestamp: &str, body: &str) -> String {
    format!("v1={}", privacy::hashed(secret.expose_secret().as_bytes(), &format!("{timestamp}.{body}")))
}

/// The beginning of a body.
#[derive(Default)]
struct Body {
    bytes: Vec<u8>,
    /// There is more.
    cut: bool,
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

/// The error itself is dropped: it names the address.
fn not_answered(error: &reqwest::Error) -> Called {
    if error.is_builder() {
        Called::all(1, &Outcome::Refused(Why::new(BAD_REQUEST, "the request cannot be made")))
    } else if error.is_connect() {
        Called::paused(1, Why::new(UNREACHABLE, "no connection was made"), verdict::PAUSE)
    } else if error.is_timeout() {
        Called::all(1, &Outcome::Unknown(Why::new(TIMED_OUT, "no answer in time")))
    } else {
        Called::all(1, &Outcome::Unknown(Why::new(CONNECTION_CUT, "the connection was cut")))
    }
}

fn judged(status: StatusCode, retry_after: Option<Duration>, body: &Body) -> Called {
    let code = status.as_u16();
    let why = || Why::new(format!("HTTP_{code}"), &String::from_utf8_lossy(&body.bytes));
    match code {
        200..=299 => Called::all(1, &Outcome::Done { answer: answer(body) }),
        300..=399 => {
            let remedy = "the webhook's address leads to another one, and what is signed for one receiver goes to no other: \
                          put the final address into the config";
            // Where it leads may be as secret as the address.
            let why = Why::new(REDIRECTED, &format!("HTTP {code}"));
            Called { remedy: Some(remedy.to_owned()), ..Called::all(1, &Outcome::Refused(why)) }
        }
        408 | 429 | 503 => {
            let pause = retry_after.unwrap_or_default().max(verdict::PAUSE);
            Called::paused(1, why(), pause)
        }
        400..=499 => Called::all(1, &Outcome::Refused(why())),
        // It may have failed after it was done.
        _ => Called::all(1, &Outcome::Unknown(why())),
    }
}

/// A JSON object; anything else is a receiver's way to say nothing.
fn answer(body: &Body) -> Map<String, Json> {
    match serde_json::from_slice(&body.bytes) {
        Ok(Json::Object(answer)) if !body.cut => answer,
        Ok(_) | Err(_) => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str) -> Body {
        Body { bytes: text.as_bytes().to_vec(), cut: false }
    }

    fn judge(status: u16, retry_after: Option<u64>, text: &str) -> (String, Option<Duration>, bool) {
        let status = StatusCode::from_u16(status).unwrap();
        let called = judged(status, retry_after.map(Duration::from_secs), &body(text));
        (format!("{:?}", called.outcomes[0]), called.pause, called.remedy.is_some())
    }

    #[test]
    fn each_status_has_its_meaning() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (status, retry_after, expected) in [
            (200, None, ("Done", None, false)),
            (204, None, ("Done", None, false)),
            (301, None, ("Refused(REDIRECTED)", None, true)),
            (307, None, ("Refused(REDIRECTED)", None, true)),
            (400, None, ("Refused(HTTP_400)", None, false)),
            (401, None, ("Refused(HTTP_401)", None, false)),
            (404, None, ("Refused(HTTP_404)", None, false)),
            (408, None, ("NotYet(HTTP_408)", seconds(5), false)),
            (409, None, ("Refused(HTTP_409)", None, false)),
            (410, None, ("Refused(HTTP_410)", None, false)),
            (429, Some(30), ("NotYet(HTTP_429)", seconds(30), false)),
            (429, Some(0), ("NotYet(HTTP_429)", seconds(5), false)),
            (500, None, ("Unknown(HTTP_500)", None, false)),
            (502, None, ("Unknown(HTTP_502)", None, false)),
            (503, Some(7), ("NotYet(HTTP_503)", seconds(7), false)),
            (504, None, ("Unknown(HTTP_504)", None, false)),
        ] {
            let (outcome, pause, remedy) = judge(status, retry_after, "said");
            assert_eq!((outcome.as_str(), pause, remedy), expected, "{status}");
        }
    }

    #[test]
    fn what_a_receiver_says_is_kept_as_evidence_and_not_all_of_it() {
        let called = judged(StatusCode::BAD_REQUEST, None, &body(&"ä".repeat(5_000)));
        let Outcome::Refused(why) = &called.outcomes[0] else { panic!() };
        assert_eq!(why.evidence, "ä".repeat(2_000));
    }

    #[test]
    fn an_answer_is_a_json_object_that_is_not_too_long() {
        assert_eq!(Json::Object(answer(&body(r#"{"id":7}"#))), json!({"id": 7}));
        for text in ["", "[1]", "thanks", "null"] {
            assert!(answer(&body(text)).is_empty(), "{text}");
        }
        assert!(answer(&Body { cut: true, ..body("{}") }).is_empty());
    }

    /// Computed by another implementation: `printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac topsecret`.
    #[test]
    fn the_signature_is_that_of_time_and_body() {
        let signed = signature(&SecretString::from("topsecret"), "1700000000", r#"{"a":1}"#);
        assert_eq!(signed, "v1=6a939b0c71853d606167625a15168ee9188c6a511c773ef4f42d307f3849e50f");
    }
}
