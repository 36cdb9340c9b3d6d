//! Webhooks: a signed POST to anybody ([`crate::webhook`]), and what its answer means for an action.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::HeaderName;
use serde_json::{Map, Value as Json, json};

use super::apex_rest::key_header;
use super::{CONNECTION_CUT, Called, CallerError, Inputs, Outcome, TIMED_OUT, UNREACHABLE, Why, verdict};
use crate::config::{KeyPlace, Webhook};
use crate::event::PipelineName;
use crate::webhook::{self, Body, NotPosted, Posted, Poster};

const REDIRECTED: &str = "REDIRECTED";
/// A request could not even be made: the key holds what no header may.
const BAD_REQUEST: &str = "REQUEST_INVALID";

pub(super) struct Sender {
    poster: Poster,
    pipeline: PipelineName,
    key_header: HeaderName,
}

impl Sender {
    pub fn new(
        hook: &Webhook,
        pipeline: PipelineName,
        key: Option<&KeyPlace>,
        timeout: Duration,
    ) -> Result<Self, CallerError> {
        let poster = Poster::new(hook, timeout)?;
        Ok(Self { poster, pipeline, key_header: key_header(key)?.unwrap_or(webhook::KEY_HEADER) })
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
        match self.poster.post(body, &self.key_header, inputs.key).await {
            Ok(Posted { status, retry_after, body }) => judged(status, retry_after, &body),
            Err(error) => not_answered(error),
        }
    }
}

fn not_answered(error: NotPosted) -> Called {
    match error {
        NotPosted::Unusable => Called::all(1, &Outcome::Refused(Why::new(BAD_REQUEST, "the request cannot be made"))),
        NotPosted::Unreachable => Called::paused(1, Why::new(UNREACHABLE, "no connection was made"), verdict::PAUSE),
        NotPosted::TimedOut => Called::all(1, &Outcome::Unknown(Why::new(TIMED_OUT, "no answer in time"))),
        NotPosted::Cut => Called::all(1, &Outcome::Unknown(Why::new(CONNECTION_CUT, "the connection was cut"))),
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
}
