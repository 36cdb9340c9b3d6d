//! Calls that do something instead of saving records: flows, Apex, platform events (facts: rest.md sections 11 and 12).
//! Nobody repeats one unasked: it may have been done.

use std::fmt;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::super::http::{Answer, Request};
use super::super::{CallError, Code, Org, OrgText, RecordError, Refusal};
use super::setup::Asked;
use super::{UNREADABLE, one_for_each};
use crate::event::{FieldName, ObjectName};

/// What is called by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ActionKind {
    /// A flow that is autolaunched, and active.
    Flow,
    /// An invocable method of an Apex class.
    Apex,
}

impl ActionKind {
    fn segment(self) -> &'static str {
        match self {
            Self::Flow => "flow",
            Self::Apex => "apex",
        }
    }
}

/// What a flow or an Apex method takes and gives. Names may be in other capitals than the caller writes.
///
/// UNSURE of the answer's exact shape: it is documented by examples only, and those are of standard actions. So what is not
/// as expected is `None`, which stands for "the org does not say".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signature {
    pub inputs: Option<Vec<Parameter>>,
    pub outputs: Option<Vec<Parameter>>,
}

/// One input or output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    pub name: String,
    /// A call without it is refused. False where the org does not say.
    pub required: bool,
    /// In capitals: `STRING`, `NUMBER`.
    pub kind: Option<String>,
    /// The most bytes of a text; an org that says 0 does not say it.
    pub length: Option<u64>,
}

/// What came of one of the inputs of a call. `Debug` leaves out the values.
#[derive(Clone, PartialEq, Eq)]
pub enum Invoked {
    Done {
        outputs: Map<String, Value>,
    },
    /// It was not done: what it had begun was rolled back.
    Refused(Refusal),
}

/// What came of one event that was published through REST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enqueued {
    Done {
        /// The `EventUuid` with which it is delivered, where the org says it.
        uuid: Option<String>,
    },
    Refused(Refusal),
}

/// What an Apex REST class answered, or the org in its place. `Debug` leaves out the body.
#[derive(Clone, PartialEq, Eq)]
pub enum ApexAnswer {
    /// With a status of 2xx; the body is free.
    Done(Vec<u8>),
    /// With any other. The body may be the class's own, which says nothing to the bridge.
    Refused { status: u16, error: CallError, body: OrgText },
}

impl fmt::Debug for Invoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done { .. } => f.write_str("Done"),
            Self::Refused(refusal) => f.debug_tuple("Refused").field(refusal).finish(),
        }
    }
}

impl fmt::Debug for ApexAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(body) => write!(f, "Done({} bytes)", body.len()),
            Self::Refused { error, .. } => f.debug_tuple("Refused").field(error).finish(),
        }
    }
}

impl Org {
    /// What a flow or an Apex method takes and gives: `GET /actions/custom/...`. None: the org shows the user no such one.
    pub async fn signature(&self, kind: ActionKind, name: &FieldName) -> Result<Asked<Option<Signature>>, CallError> {
        let answer = match self.get(&format!("actions/custom/{}/{name}", kind.segment())).await {
            Ok(answer) => Ok(Some(Signature::read(&answer))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        };
        let needs = match kind {
            ActionKind::Flow => "the permission Run Flows",
            ActionKind::Apex => "access to the Apex class",
        };
        Asked::of(answer, needs)
    }

    /// Calls a flow or an Apex method once for each of up to 200 inputs: `POST /actions/custom/...`. One result for
    /// each, in their order.
    pub async fn invoke(
        &self,
        kind: ActionKind,
        name: &FieldName,
        inputs: Vec<Map<String, Value>>,
        timeout: Duration,
    ) -> Result<Vec<Invoked>, CallError> {
        let sent = inputs.len();
        let target = self.resource(&format!("actions/custom/{}/{name}", kind.segment()));
        let request = posting(Method::POST, target, &json!({"inputs": inputs}), timeout);
        let answer = self.any_answer(&request, None, |_| true).await?;
        let status = answer.status.as_u16();
        let body = if answer.status.is_success() {
            answer.body.map_err(CallError::Unknown)?
        } else {
            answer.body.unwrap_or_default()
        };
        match invoked(status, &body, sent) {
            Some(results) => results,
            None => Err(self.refusal(status, answer.retry_after, &body)),
        }
    }

    /// Publishes up to 200 events of a kind: `POST /composite/sobjects`. Some may go out while others are refused.
    pub async fn publish_events(
        &self,
        event: &ObjectName,
        mut events: Vec<Map<String, Value>>,
        timeout: Duration,
    ) -> Result<Vec<Enqueued>, CallError> {
        let sent = events.len();
        for fields in &mut events {
            fields.insert("attributes".into(), json!({"type": event.as_str()}));
        }
        let body = json!({"allOrNone": false, "records": events});
        let request = posting(Method::POST, self.resource("composite/sobjects"), &body, timeout);
        let results = one_for_each(self.call(&request).await?, sent)?;
        results.iter().map(Enqueued::read).collect::<Option<_>>().ok_or(UNREADABLE)
    }

    /// Calls a method of an Apex REST class. `path` is below `/services/apexrest`, and what is in it is encoded.
    /// A 401 that the class itself answered renews no token: it was called, and would be once more.
    pub async fn apex_rest(
        &self,
        method: Method,
        path: &str,
        body: &Map<String, Value>,
        header: Option<(&str, &str)>,
        timeout: Duration,
    ) -> Result<ApexAnswer, CallError> {
        let mut request = posting(method, format!("/services/apexrest{path}"), &json!(body), timeout);
        request.headers.extend(header.map(|(name, value)| (name.to_owned().into(), value.to_owned())));
        let is_about_token = |answer: &Answer| {
            let body = answer.body.as_deref().unwrap_or_default();
            let error = CallError::from_answer(answer.status.as_u16(), None, body);
            matches!(error.code(), Some(Code::InvalidSessionId | Code::InvalidAuthHeader))
        };
        let answer = self.any_answer(&request, None, is_about_token).await?;
        if answer.status.is_success() {
            return answer.body.map(ApexAnswer::Done).map_err(CallError::Unknown);
        }
        let (status, body) = (answer.status.as_u16(), answer.body.unwrap_or_default());
        let error = self.refusal(status, answer.retry_after, &body);
        Ok(ApexAnswer::Refused { status, error, body: OrgText::new(&String::from_utf8_lossy(&body)) })
    }
}

fn posting(method: Method, target: String, body: &Value, timeout: Duration) -> Request {
    Request { method, target, body: Some(body.to_string().into_bytes()), timeout, headers: Vec::new() }
}

/// Reads the answer to a call of a flow or an Apex method. `None`: it is no such answer, but says that the call as a
/// whole was refused. UNSURE whether the status is 200 or 400 where all inputs failed, or some: either is read.
fn invoked(status: u16, body: &[u8], sent: usize) -> Option<Result<Vec<Invoked>, CallError>> {
    let is_success = (200..300).contains(&status);
    if !is_success && status != 400 {
        return None;
    }
    let answer = serde_json::from_slice::<Value>(body).ok();
    let elements = answer.as_ref().and_then(Value::as_array);
    let results = elements.and_then(|elements| elements.iter().map(Invoked::read).collect::<Option<Vec<_>>>());
    match results {
        Some(results) if results.len() == sent => Some(Ok(results)),
        // An empty list tells of no input, so it is none of results either.
        Some(results) if is_success || !results.is_empty() => {
            let got = results.len();
            Some(Err(CallError::Unknown(super::super::Lost::Count { sent, got })))
        }
        Some(_) | None if is_success => Some(Err(UNREADABLE)),
        Some(_) | None => None,
    }
}

impl Signature {
    fn read(json: &Value) -> Self {
        let list = |key: &str| json.get(key)?.as_array()?.iter().map(Parameter::read).collect();
        Self { inputs: list("inputs"), outputs: list("outputs") }
    }
}

impl Parameter {
    fn read(json: &Value) -> Option<Self> {
        Some(Self {
            name: json.get("name")?.as_str()?.to_owned(),
            required: json.get("required").and_then(Value::as_bool).unwrap_or(false),
            kind: json.get("type").and_then(Value::as_str).map(str::to_ascii_uppercase),
            length: json.get("byteLength").and_then(Value::as_u64).filter(|length| *length > 0),
        })
    }
}

impl Invoked {
    fn read(json: &Value) -> Option<Self> {
        if json.get("isSuccess")?.as_bool()? {
            let outputs = json.get("outputValues").and_then(Value::as_object).cloned().unwrap_or_default();
            return Some(Self::Done { outputs });
        }
        Some(Self::Refused(refusal(json)))
    }
}

impl Enqueued {
    fn read(json: &Value) -> Option<Self> {
        if !json.get("success")?.as_bool()? {
            return Some(Self::Refused(refusal(json)));
        }
        // Not an error, but what has become of the event.
        let told = json.get("errors").and_then(Value::as_array).into_iter().flatten();
        let mut told = told.filter(|one| one.get("statusCode").and_then(Value::as_str) == Some("OPERATION_ENQUEUED"));
        let uuid = told.find_map(|one| one.get("message")?.as_str()).map(str::to_owned);
        Some(Self::Done { uuid })
    }
}

fn refusal(json: &Value) -> Refusal {
    let errors = json.get("errors").and_then(Value::as_array).into_iter().flatten();
    let mut errors = errors.filter_map(RecordError::read);
    let first = errors.next().unwrap_or_else(|| RecordError::new("NO_CODE", "", Vec::new()));
    Refusal::new(first, errors.collect())
}

#[cfg(test)]
mod tests {
    use super::super::super::Lost;
    use super::super::super::testing::{Reply, ScriptedOrg};
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(5);

    fn done(result: &str) -> Value {
        json!({"actionName": "F", "errors": null, "isSuccess": true, "outputValues": {"result": result}})
    }

    fn failed(code: &str) -> Value {
        json!({"actionName": "F", "errors": [{"statusCode": code, "message": "no", "fields": []}], "isSuccess": false,
            "outputValues": null})
    }

    fn read(status: u16, answer: &Value, sent: usize) -> Option<Result<Vec<Invoked>, CallError>> {
        invoked(status, answer.to_string().as_bytes(), sent)
    }

    #[test]
    fn each_input_has_a_result_whether_the_status_says_that_all_went_well_or_not() {
        for status in [200, 400] {
            let results = read(status, &json!([done("x"), failed("FLOW_EXCEPTION")]), 2).unwrap().unwrap();
            let Invoked::Done { outputs } = &results[0] else { panic!("{results:?}") };
            assert_eq!(outputs["result"], "x");
            let Invoked::Refused(refusal) = &results[1] else { panic!("{results:?}") };
            assert_eq!(refusal.errors().next().unwrap().code.as_str(), "FLOW_EXCEPTION");
        }
    }

    #[test]
    fn results_that_do_not_fit_the_inputs_say_nothing() {
        let count = |sent, got| Some(Err(CallError::Unknown(Lost::Count { sent, got })));
        assert_eq!(read(200, &json!([done("x")]), 2), count(2, 1));
        assert_eq!(read(400, &json!([failed("A"), failed("B")]), 1), count(1, 2));
        assert_eq!(read(200, &json!([]), 1), count(1, 0));
        assert_eq!(read(200, &json!([{"id": "x"}]), 1), Some(Err(UNREADABLE)));
        assert_eq!(invoked(200, b"<html>", 1), Some(Err(UNREADABLE)));
    }

    #[test]
    fn what_an_org_does_not_say_of_a_flow_as_expected_is_not_known() {
        let read = |json: Value| Signature::read(&json);
        let known = read(json!({
            "inputs": [
                {"name": "orderId", "type": "string", "required": true, "byteLength": 0},
                {"name": "key", "type": "STRING", "byteLength": 20},
            ],
            "outputs": [{"name": "result"}],
        }));
        let parameter = |name: &str, required, kind: Option<&str>, length| Parameter {
            name: name.to_owned(),
            required,
            kind: kind.map(str::to_owned),
            length,
        };
        let inputs =
            vec![parameter("orderId", true, Some("STRING"), None), parameter("key", false, Some("STRING"), Some(20))];
        assert_eq!(known.inputs, Some(inputs));
        assert_eq!(known.outputs, Some(vec![parameter("result", false, None, None)]));
        assert_eq!(read(json!({"inputs": [], "outputs": null})), Signature { inputs: Some(Vec::new()), outputs: None });
        for odd in
            [json!([]), json!({}), json!({"inputs": {"a": 1}}), json!({"inputs": ["a"]}), json!({"inputs": [{}]})]
        {
            assert_eq!(read(odd.clone()), Signature::default(), "{odd}");
        }
    }

    #[tokio::test]
    async fn a_flow_that_is_not_there_is_an_answer_and_so_is_a_refusal_of_the_question() {
        let server = ScriptedOrg::start(|seen| {
            let (status, code) = match &seen.target {
                target if target.ends_with("/custom/flow/Gone") => (404, "NOT_FOUND"),
                target if target.ends_with("/custom/apex/Hidden") => (403, "INSUFFICIENT_ACCESS"),
                _ => return Reply::json(200, &json!({"inputs": []})),
            };
            Reply::json(status, &json!([{"errorCode": code, "message": "no"}]))
        })
        .await;
        let org = server.org();
        let ask = async |kind, name: &str| org.signature(kind, &name.parse().unwrap()).await.unwrap();
        assert_eq!(ask(ActionKind::Flow, "Gone").await, Asked::Known(None));
        let there = Signature { inputs: Some(Vec::new()), outputs: None };
        assert_eq!(ask(ActionKind::Flow, "There").await, Asked::Known(Some(there)));
        assert!(matches!(ask(ActionKind::Apex, "Hidden").await, Asked::Unknown(_)));
    }

    #[test]
    fn a_refusal_of_the_whole_call_is_no_result() {
        let errors = json!([{"errorCode": "JSON_PARSER_ERROR", "message": "no"}]);
        for (status, answer) in [(400, &errors), (404, &errors), (500, &errors), (400, &json!([])), (400, &json!({}))] {
            assert_eq!(read(status, answer, 1), None, "{status} {answer}");
        }
    }

    #[test]
    fn an_event_that_is_enqueued_has_something_in_its_errors() {
        let told = json!([{"statusCode": "OPERATION_ENQUEUED", "message": "f0c2", "fields": []}]);
        let answer = json!({"id": "e01xx0000000001AAA", "success": true, "errors": told});
        assert_eq!(Enqueued::read(&answer), Some(Enqueued::Done { uuid: Some("f0c2".to_owned()) }));
        assert_eq!(Enqueued::read(&json!({"success": true, "errors": []})), Some(Enqueued::Done { uuid: None }));
        let refused = json!({"success": false, "errors": [{"statusCode": "LIMIT_EXCEEDED", "message": "x"}]});
        let Some(Enqueued::Refused(refusal)) = Enqueued::read(&refused) else { panic!() };
        assert_eq!(refusal.errors().next().unwrap().code, Code::LimitExceeded);
        assert_eq!(Enqueued::read(&json!({"id": "x"})), None);
    }

    #[tokio::test]
    async fn a_401_of_the_class_is_an_answer_and_one_of_the_org_renews_the_token() {
        let own = ScriptedOrg::start(|_| Reply::json(401, &json!({"error": "not you"}))).await;
        let call =
            |org: Org| async move { org.apex_rest(Method::POST, "/x", &Map::new(), None, TIMEOUT).await.unwrap() };
        let answer = call(own.org()).await;
        assert!(matches!(answer, ApexAnswer::Refused { status: 401, .. }), "{answer:?}");
        assert_eq!((own.calls().len(), own.login_count()), (1, 1));
        let expired = ScriptedOrg::start(|seen| match seen.header("authorization") {
            Some("Bearer token-1") => Reply::expired(),
            _ => Reply::json(200, &json!({"ok": true})),
        })
        .await;
        assert_eq!(call(expired.org()).await, ApexAnswer::Done(br#"{"ok":true}"#.to_vec()));
        assert_eq!((expired.calls().len(), expired.login_count()), (2, 2));
    }

    #[tokio::test]
    async fn an_apex_class_gets_its_path_its_body_and_the_header() {
        let server = ScriptedOrg::start(|_| Reply::json(201, &json!({"id": "1"}))).await;
        let body = Map::from_iter([("name".to_owned(), json!("Acme"))]);
        let header = Some(("X-Key", "k-1"));
        server.org().apex_rest(Method::PUT, "/orders/a%2Fb", &body, header, TIMEOUT).await.unwrap();
        let seen = &server.calls()[0];
        assert_eq!((seen.method.as_str(), seen.target.as_str()), ("PUT", "/services/apexrest/orders/a%2Fb"));
        assert_eq!((seen.header("x-key"), seen.json()), (Some("k-1"), json!({"name": "Acme"})));
    }
}
