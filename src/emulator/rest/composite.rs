//! Several requests in one: composite, graph, batch and tree (rest.md section 8).
//!
//! Each subrequest goes the way of a request of its own, in the name of the same user. What is to be done as a whole
//! shares one transaction.

mod batch;
mod graph;
mod references;
mod tree;

use std::sync::Mutex;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Map, Value as Json, json};

use super::{Context, Request, dispatch, not_allowed, not_found, versions};
use crate::org::Unit;
use crate::wire::{Answer, Call};
use references::Known;

const OPERATIONS: usize = 25;
/// The version that brought graphs.
const GRAPHS_SINCE: u32 = 50;
/// Of them queries and collections.
const HEAVY: usize = 5;

const HALTED: &str = "The transaction was rolled back since another operation in the same transaction failed.";
/// What clients leave unencoded in the URL of a subrequest and a URI may not have.
const UNSAFE: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'|');

pub(super) fn handle(context: &mut Context, request: &Request, rest: &[&str]) -> Result<Answer, Answer> {
    match (rest, request.call.method.as_str()) {
        ([], "POST") => composite(context, request),
        ([], "GET" | "HEAD") => Ok(resources(request)),
        ([], _) => Err(not_allowed(&request.call, "GET,HEAD,POST")),
        (["batch"], "POST") => batch::handle(context, request),
        (["graph"], _) if request.version < GRAPHS_SINCE => Err(not_found()),
        (["graph"], "POST") => graph::handle(context, request),
        (["tree", object], "POST") => tree::handle(context, request, object),
        (["batch" | "graph"] | ["tree", _], _) => Err(not_allowed(&request.call, "POST")),
        _ => Err(not_found()),
    }
}

fn resources(request: &Request) -> Answer {
    let path = |name: &str| format!("/services/data/v{}.0/composite/{name}", request.version);
    let names = ["tree", "batch", "sobjects", "graph"];
    Answer::json(200, &names.iter().map(|name| ((*name).to_owned(), json!(path(name)))).collect::<Map<_, _>>().into())
}

/// One request within another, its references not yet filled in.
#[derive(Debug, Clone)]
struct Subrequest {
    method: String,
    url: String,
    reference: String,
    body: Json,
    headers: Map<String, Json>,
}

impl Subrequest {
    fn read(json: &Json) -> Result<Self, Answer> {
        let text = |key: &str| json.get(key).and_then(Json::as_str).map(str::to_owned);
        let missing = |key: &str| {
            let message = format!("The subrequest is missing the required parameter {key}");
            Answer::error(400, "INVALID_INPUT", &message)
        };
        let reference = text("referenceId").ok_or_else(|| missing("referenceId"))?;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if reference.is_empty()
            || !reference.starts_with(|c: char| c.is_ascii_alphanumeric())
            || !reference.chars().all(plain)
        {
            let message = format!(
                "Provided referenceId ('{reference}') must start with a letter or a number, and it can contain only letters, numbers and underscores ('_')."
            );
            return Err(Answer::error(400, "INVALID_INPUT", &message));
        }
        Ok(Self {
            method: text("method").ok_or_else(|| missing("method"))?,
            url: text("url").ok_or_else(|| missing("url"))?,
            reference,
            body: json.get("body").cloned().unwrap_or_default(),
            headers: json.get("httpHeaders").and_then(Json::as_object).cloned().unwrap_or_default(),
        })
    }

    /// Does it, with the answers that are known so far.
    fn perform(&self, context: &mut Context, request: &Request, known: &Known) -> Answer {
        let filled = known
            .text(&self.url)
            .and_then(|url| Ok((url, known.json(&self.body)?, known.json(&Json::Object(self.headers.clone()))?)));
        match filled {
            Ok((url, body, headers)) => run(context, request, &self.method, &url, body, headers.as_object()),
            Err(message) => Answer::error(400, "PROCESSING_HALTED", &message),
        }
    }

    fn item(&self, answer: &Answer) -> Json {
        let headers: Map<String, Json> = answer
            .headers
            .iter()
            .filter_map(|(name, value)| match *name {
                "location" => Some(("Location".into(), json!(value))),
                "etag" => Some(("ETag".into(), json!(value))),
                "last-modified" => Some(("Last-Modified".into(), json!(value))),
                _ => None,
            })
            .collect();
        json!({"body": body_of(answer), "httpHeaders": headers, "httpStatusCode": answer.status,
            "referenceId": self.reference})
    }
}

/// The subrequests under a key of the body.
fn subrequests(body: &Json) -> Result<Vec<Subrequest>, Answer> {
    let Some(list) = body.get("compositeRequest").and_then(Json::as_array) else {
        let message = "The request is missing the required parameter compositeRequest";
        return Err(Answer::error(400, "INVALID_INPUT", message));
    };
    let list = list.iter().map(Subrequest::read).collect::<Result<Vec<_>, _>>()?;
    for (place, subrequest) in list.iter().enumerate() {
        if list.iter().take(place).any(|earlier| earlier.reference == subrequest.reference) {
            let message = format!("Duplicate referenceId provided in the request: {}", subrequest.reference);
            return Err(Answer::error(400, "INVALID_INPUT", &message));
        }
    }
    Ok(list)
}

fn composite(context: &mut Context, request: &Request) -> Result<Answer, Answer> {
    let body = request.body()?;
    let all_or_none = body.get("allOrNone").and_then(Json::as_bool).unwrap_or(false);
    let count = body.get("compositeRequest").and_then(Json::as_array).map_or(0, Vec::len);
    if count > OPERATIONS {
        return Ok(too_many(&format!("The request can’t contain more than {OPERATIONS} operations.")));
    }
    let list = subrequests(&body)?;
    if list.iter().filter(|subrequest| is_heavy(&subrequest.url)).count() > HEAVY {
        let message = format!("The request can’t contain more than {HEAVY} query or collection operations.");
        return Ok(too_many(&message));
    }
    let order: Vec<usize> = (0..list.len()).collect();
    let (items, _) = match all_or_none {
        true => as_one(context, request, &list, &order),
        false => (each(context, request, &list), true),
    };
    Ok(Answer::json(200, &json!({"compositeResponse": items})))
}

/// As the platform answers a composite that is too large: as if it were one failed subrequest.
fn too_many(message: &str) -> Answer {
    let item = json!({"body": [{"errorCode": "LIMIT_EXCEEDED", "message": message}], "httpHeaders": {},
        "httpStatusCode": 400, "referenceId": null});
    Answer::json(200, &json!({"compositeResponse": [item]}))
}

/// Queries and collections weigh more than single records.
fn is_heavy(url: &str) -> bool {
    let path = url.split('?').next().unwrap_or_default();
    let mut segments = path.split('/').filter(|part| !part.is_empty()).skip(3);
    match (segments.next(), segments.next()) {
        (Some(word), _) if word.eq_ignore_ascii_case("query") || word.eq_ignore_ascii_case("queryAll") => true,
        (Some("composite"), Some("sobjects")) => true,
        _ => false,
    }
}

/// Each for itself, in order.
fn each(context: &mut Context, request: &Request, list: &[Subrequest]) -> Vec<Json> {
    let mut known = Known::default();
    let mut items = Vec::with_capacity(list.len());
    for subrequest in list {
        let answer = subrequest.perform(context, request, &known);
        if answer.status < 400 {
            known.learn(&subrequest.reference, body_of(&answer));
        }
        items.push(subrequest.item(&answer));
    }
    items
}

/// All in one transaction, in this order; the answers stand in the order of the request, with whether all went well.
fn as_one(context: &mut Context, request: &Request, list: &[Subrequest], order: &[usize]) -> (Vec<Json>, bool) {
    let outer: Option<Unit> = context.unit.take();
    context.unit = Some(context.org.begin(context.now));
    let mut known = Known::default();
    let mut answers: Vec<Option<Answer>> = list.iter().map(|_| None).collect();
    let mut failed = None;
    for &place in order {
        let (Some(subrequest), Some(slot)) = (list.get(place), answers.get_mut(place)) else { continue };
        let answer = subrequest.perform(context, request, &known);
        if answer.status >= 400 {
            failed = Some((place, answer));
            break;
        }
        known.learn(&subrequest.reference, body_of(&answer));
        *slot = Some(answer);
    }
    if let Some(unit) = std::mem::replace(&mut context.unit, outer) {
        match failed {
            Some(_) => context.org.roll_back(unit),
            None => context.org.commit(unit, &request.caller(context.host, false)),
        }
    }
    let items = list.iter().zip(answers).enumerate().map(|(place, (subrequest, answer))| match (&failed, answer) {
        (Some((at, answer)), _) if *at == place => subrequest.item(answer),
        (None, Some(answer)) => subrequest.item(&answer),
        _ => subrequest.item(&Answer::error(400, "PROCESSING_HALTED", HALTED)),
    });
    (items.collect(), failed.is_none())
}

/// One request in the name of the user of another one.
fn run(
    context: &mut Context,
    request: &Request,
    method: &str,
    url: &str,
    body: Json,
    headers: Option<&Map<String, Json>>,
) -> Answer {
    let refused = |text: String| Answer::error(400, "INVALID_INPUT", &text);
    let Ok(method) = Method::from_bytes(method.as_bytes()) else {
        return refused(format!("'{method}' is no HTTP method"));
    };
    let Ok(uri) = utf8_percent_encode(url, UNSAFE).to_string().parse::<Uri>() else {
        return refused(format!("'{url}' is no URL"));
    };
    let call = Call::new(method, &uri, inner_headers(request, headers), Bytes::new());
    let call = Call { secure: request.call.secure, ..call };
    let version = match call.path().as_slice() {
        ["services", "data", version, ..] => versions::number(version),
        _ => Err(not_found()),
    };
    let version = match version {
        Ok(version) => version,
        Err(answer) => return answer,
    };
    match call.path().get(3..).unwrap_or_default() {
        ["composite", "sobjects", ..] => {}
        ["composite", ..] => return refused(format!("The URL '{url}' is not allowed in a subrequest")),
        _ => {}
    }
    let inner = Request { call, version, user: request.user.clone(), json: Ok(Mutex::new(body)) };
    dispatch(context, &inner)
}

/// The headers of the request that are the platform's own, and those of the subrequest.
fn inner_headers(request: &Request, own: Option<&Map<String, Json>>) -> HeaderMap {
    let outer = &request.call.headers;
    let mut headers: HeaderMap = outer
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("sforce-") || name.as_str() == "host")
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    for (name, value) in own.into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&value)) {
            headers.insert(name, value);
        }
    }
    headers
}

fn body_of(answer: &Answer) -> Json {
    serde_json::from_str(&answer.body).unwrap_or_default()
}
