//! Methods of Apex REST classes: one request for each event (facts: rest.md section 12).
//!
//! The class can answer with any status and any body. Only the codes that the platform itself uses are believed to be its own.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::header::HeaderName;
use serde_json::{Map, Value as Json};

use super::{Called, CallerError, Inputs, Outcome, Why, verdict};
use crate::config::{KeyPlace, Method};
use crate::event::{FieldName, Value};
use crate::org::{ApexAnswer, CallError, Code, Disposition, Lost, Org, OrgText};

/// An input that is part of the path has no value that could be.
const NO_PATH_VALUE: &str = "NO_PATH_VALUE";

pub(super) struct ApexRest {
    org: Org,
    method: Method,
    path: String,
    /// Brings the idempotency key along.
    header: Option<String>,
    timeout: Duration,
}

impl ApexRest {
    pub fn new(
        org: Org,
        method: Method,
        path: &str,
        key: Option<&KeyPlace>,
        timeout: Duration,
    ) -> Result<Self, CallerError> {
        Ok(Self { org, method, path: path.to_owned(), header: key_header(key)?.map(|name| name.to_string()), timeout })
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
        let (path, body) = match filled(&self.path, inputs) {
            Ok(filled) => filled,
            Err(why) => return Called::all(1, &Outcome::Refused(why)),
        };
        let method = match self.method {
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Patch => reqwest::Method::PATCH,
        };
        let header = self.header.as_deref().map(|name| (name, inputs.key));
        match self.org.apex_rest(method, &path, &body, header, self.timeout).await {
            Ok(ApexAnswer::Done(body)) => Called::all(1, &Outcome::Done { answer: answer(&body) }),
            Ok(ApexAnswer::Refused { status, error, body }) => refused(status, &error, &body),
            Err(error) => verdict::failed(&error, 1),
        }
    }
}

/// The header that brings the idempotency key along, where one does.
pub(super) fn key_header(key: Option<&KeyPlace>) -> Result<Option<HeaderName>, CallerError> {
    match key {
        Some(KeyPlace::Header(name)) => {
            name.parse().map(Some).map_err(|_| CallerError::BadHeader(name.chars().take(80).collect()))
        }
        Some(KeyPlace::Input(_)) | None => Ok(None),
    }
}

/// The path with the inputs that it names, and a body of the others.
fn filled(path: &str, inputs: &Inputs<'_>) -> Result<(String, Map<String, Json>), Why> {
    let (mut filled, mut used, mut rest) = (String::new(), BTreeSet::new(), path);
    while let Some((before, name, after)) = next_name(rest) {
        filled.push_str(before);
        let value = inputs.fields.get(&name).and_then(|value| match value {
            Value::Text(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(bool) => Some(bool.to_string()),
            Value::Null | Value::Compound(_) => None,
        });
        let value = value.filter(|value| !value.is_empty());
        let empty = || Why::new(NO_PATH_VALUE, &format!("{name} is part of the path, and has no value"));
        encode(&value.ok_or_else(empty)?, &mut filled);
        used.insert(name);
        rest = after;
    }
    filled.push_str(rest);
    // Such a segment would lead to another method.
    let leads_away = filled.split(['/', '?']).any(|segment| matches!(segment, "." | ".."));
    if leads_away && !used.is_empty() {
        return Err(Why::new(NO_PATH_VALUE, "a part of the path would be '.' or '..'"));
    }
    let mut body = inputs.as_json();
    body.retain(|name, _| !used.iter().any(|used| used.as_str() == name));
    Ok((filled, body))
}

/// The next `{Field}`, and what is before and after it.
fn next_name(path: &str) -> Option<(&str, FieldName, &str)> {
    let (before, rest) = path.split_once('{')?;
    let (name, after) = rest.split_once('}')?;
    Some((before, name.parse().ok()?, after))
}

/// As part of one segment of a path.
fn encode(text: &str, to: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            to.push(char::from(byte));
        } else {
            to.push_str(&format!("%{byte:02X}"));
        }
    }
}

/// The body of an answer: an object as it is, anything else as its `body`.
fn answer(body: &[u8]) -> Map<String, Json> {
    let whole = |value: Json| Map::from_iter([("body".to_owned(), value)]);
    match serde_json::from_slice(body) {
        Ok(Json::Object(answer)) => answer,
        Ok(Json::Null) => Map::new(),
        Ok(other) => whole(other),
        Err(_) if body.is_empty() => Map::new(),
        Err(_) => whole(Json::String(String::from_utf8_lossy(body).into_owned())),
    }
}

/// What an answer without success means.
fn refused(status: u16, error: &CallError, body: &OrgText) -> Called {
    let why = match error.code() {
        Some(_) => verdict::why(error),
        None => Why::new(format!("HTTP_{status}"), body.reveal()),
    };
    // An exception that nobody catches undoes all that the method did.
    if let (CallError::Unknown(Lost::Failed { status: 500, .. }), Some(code)) = (error, error.code()) {
        match code {
            Code::ApexError => return Called::all(1, &Outcome::Refused(why)),
            Code::ApexFoundLock => return Called::all(1, &Outcome::NotYet(why)),
            _ => {}
        }
    }
    match error.disposition() {
        Disposition::OutcomeUnknown => Called::all(1, &Outcome::Unknown(why)),
        // The class may have its own statuses, with bodies that are no error of the platform.
        Disposition::Retry { .. } if is_own(status, error) => Called::all(1, &Outcome::Refused(why)),
        Disposition::Retry { after } => Called::paused(1, why, verdict::pause(error, after)),
        Disposition::Halt { remedy } if is_about_org(error) => Called::halted(1, why, format!("{error}: {remedy}")),
        // The path, the method, the access to the class, or what the class makes of the inputs.
        Disposition::Halt { .. } => Called::all(1, &Outcome::Refused(why)),
        Disposition::Split if error.code().is_none() => Called::all(1, &Outcome::Refused(why)),
        Disposition::Split => verdict::failed(error, 1),
    }
}

/// A status of 4xx that asks for no patience, and says nothing that the platform would.
fn is_own(status: u16, error: &CallError) -> bool {
    error.code().is_none() && (400..500).contains(&status) && !matches!(status, 408 | 420 | 429)
}

/// Whether every call of the org would be refused, and not just this one.
fn is_about_org(error: &CallError) -> bool {
    match error.code() {
        Some(code) => matches!(
            code,
            Code::InvalidSessionId
                | Code::InvalidAuthHeader
                | Code::ApiDisabledForOrg
                | Code::OrgLocked
                | Code::TrialExpired
                | Code::LoginDuringRestrictedDomain
                | Code::LoginDuringRestrictedTime
                | Code::FunctionalityNotEnabled
                | Code::TransactionSecurityNoAccess
                | Code::StorageLimitExceeded
        ),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    fn inputs(fields: &[(&str, Value)]) -> Inputs<'static> {
        let fields: BTreeMap<FieldName, Value> =
            fields.iter().map(|(name, value)| (name.parse().unwrap(), value.clone())).collect();
        Inputs { key: "k", fields }
    }

    fn judged(status: u16, retry_after: Option<Duration>, body: &str) -> Called {
        let error = CallError::from_answer(status, retry_after, body.as_bytes());
        refused(status, &error, &OrgText::new(body))
    }

    fn coded(status: u16, code: &str, message: &str) -> Called {
        judged(status, None, &json!([{"errorCode": code, "message": message}]).to_string())
    }

    fn shown(called: &Called) -> String {
        format!("{:?}", called.outcomes[0])
    }

    #[test]
    fn inputs_that_the_path_names_are_one_segment_of_it_and_not_in_the_body() {
        let inputs = inputs(&[
            ("Order__c", Value::text("A/17 ä?x=1#.")),
            ("Line__c", Value::Number("3".parse().unwrap())),
            ("Amount__c", Value::Number("12345678901234567.89".parse().unwrap())),
            ("Note__c", Value::Null),
        ]);
        let (path, body) = filled("/orders/{Order__c}/lines/L-{Line__c}?dry={Line__c}", &inputs).unwrap();
        assert_eq!(path, "/orders/A%2F17%20%C3%A4%3Fx%3D1%23./lines/L-3?dry=3");
        assert_eq!(Json::Object(body).to_string(), r#"{"Amount__c":12345678901234567.89,"Note__c":null}"#);
    }

    #[test]
    fn a_path_never_lacks_a_part_and_never_leads_elsewhere() {
        for value in [Value::Null, Value::text(""), Value::text("."), Value::text("..")] {
            let why = filled("/orders/{Order__c}", &inputs(&[("Order__c", value)])).unwrap_err();
            assert_eq!(why.code, NO_PATH_VALUE);
        }
        assert_eq!(filled("/orders/{Other__c}", &inputs(&[])).unwrap_err().code, NO_PATH_VALUE);
        // What is encoded already stays what it is.
        let (path, _) = filled("/o/{A}", &inputs(&[("A", Value::text("%2e%2e"))])).unwrap();
        assert_eq!(path, "/o/%252e%252e");
    }

    #[test]
    fn any_body_is_an_answer() {
        for (body, expected) in [
            (r#"{"id":"1"}"#, json!({"id": "1"})),
            ("[1]", json!({"body": [1]})),
            ("\"x\"", json!({"body": "x"})),
            ("plain", json!({"body": "plain"})),
            ("null", json!({})),
            ("", json!({})),
        ] {
            assert_eq!(Json::Object(answer(body.as_bytes())), expected, "{body}");
        }
    }

    #[test]
    fn an_exception_that_nobody_caught_was_rolled_back_and_any_other_failure_may_have_been_done() {
        assert_eq!(shown(&coded(500, "APEX_ERROR", "System.NullPointerException: x")), "Refused(APEX_ERROR)");
        let lock =
            "System.DmlException: Update failed. first error: UNABLE_TO_LOCK_ROW, unable to obtain exclusive access";
        assert_eq!(shown(&coded(500, "APEX_ERROR", lock)), "NotYet(APEX_ERROR)");
        assert_eq!(shown(&coded(500, "UNKNOWN_EXCEPTION", "")), "Unknown(UNKNOWN_EXCEPTION)");
        for status in [500, 502, 504] {
            assert_eq!(shown(&judged(status, None, "<html>")), format!("Unknown(HTTP_{status})"));
        }
        assert_eq!(shown(&coded(502, "APEX_ERROR", "")), "Unknown(APEX_ERROR)");
    }

    #[test]
    fn what_the_class_or_the_platform_refuses_is_refused() {
        for (status, code) in [
            (404, "NOT_FOUND"),
            (403, "FORBIDDEN"),
            (403, "INSUFFICIENT_ACCESS"),
            (400, "JSON_PARSER_ERROR"),
            (405, "METHOD_NOT_ALLOWED"),
            (422, "OWN_CODE"),
        ] {
            let called = coded(status, code, "no");
            assert_eq!((shown(&called), called.pause, called.remedy), (format!("Refused({code})"), None, None));
        }
        for status in [400, 401, 403, 404, 409, 422] {
            let called = judged(status, None, r#"{"reason":"own words"}"#);
            assert_eq!(shown(&called), format!("Refused(HTTP_{status})"));
            let Outcome::Refused(why) = &called.outcomes[0] else { panic!() };
            assert_eq!(why.evidence, r#"{"reason":"own words"}"#);
        }
    }

    #[test]
    fn limits_and_pauses_are_waited_for_and_what_meets_all_calls_halts() {
        let called = judged(429, Some(Duration::from_secs(30)), "");
        assert_eq!((shown(&called), called.pause), ("NotYet(HTTP_429)".to_owned(), Some(Duration::from_secs(30))));
        let called = judged(503, None, "<html>");
        assert_eq!((shown(&called), called.pause), ("NotYet(HTTP_503)".to_owned(), Some(verdict::PAUSE)));
        let called = coded(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.");
        assert_eq!(called.pause, Some(verdict::LONG_PAUSE));
        for (status, code) in [(401, "INVALID_SESSION_ID"), (403, "ORG_LOCKED"), (403, "API_DISABLED_FOR_ORG")] {
            let called = coded(status, code, "");
            assert_eq!((shown(&called), called.remedy.is_some()), (format!("NotYet({code})"), true));
        }
    }
}
