//! `/emulator/…`: what a test or a user wants to see and do that no org would offer. No token is needed.

mod faults;
mod people;
mod schema;
mod states;

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::host::{Host, Switches};
use super::oauth::AppSpec;
use super::org::{ActionCall, Caller, Commit, Id, Options, Org, SaveError, Write};
use super::rest::item_errors;
use super::server::Cut;
use super::traffic::{self, TrafficPlan};
use super::wire::{Answer, Call};

/// Commits in one answer.
const COMMITS: usize = 10_000;

/// `line`: the connection of this call.
pub fn handle(host: &Arc<Host>, call: &Call, line: &Cut) -> Answer {
    let path = call.path();
    match (call.method.as_str(), path.get(1..).unwrap_or_default()) {
        ("GET", []) => Answer::text(200, "text/plain;charset=UTF-8", super::HELP),
        ("GET", ["stats"]) => Answer::json(200, &host.stats()),
        ("DELETE", ["stats"]) => {
            host.reset_counters();
            Answer::json(200, &host.stats())
        }
        ("GET", ["commits"]) => {
            let after = call.parameter("after").and_then(|n| n.parse().ok()).unwrap_or_default();
            Answer::json(200, &commits(&host.org(), after))
        }
        ("GET", ["actions"]) => {
            let after = call.parameter("after").and_then(|n| n.parse().ok()).unwrap_or_default();
            Answer::json(200, &host.org().action_calls_after(after).map(action_call).collect::<Json>())
        }
        (_, ["faults", rest @ ..]) => faults::handle(host, call, rest),
        ("GET", ["switches"]) => show_switches(host),
        ("POST", ["switches"]) => with_body(call, |body| set_switches(host, body)),
        ("GET", ["bulk"]) => Answer::json(200, &json!(host.bulk().settings())),
        ("POST", ["bulk"]) => with_body(call, |body| set_bulk(host, body)),
        ("GET", ["oauth"]) => Answer::json(200, &json!(host.login().settings)),
        ("POST", ["oauth"]) => with_body(call, |body| {
            let mut login = host.login();
            login.settings = login.settings.merged(body)?;
            Ok(Answer::json(200, &json!(login.settings)))
        }),
        ("GET", ["apps"]) => show_apps(host),
        ("POST", ["apps"]) => with_body(call, |body| {
            let apps: Vec<AppSpec> = serde_json::from_value(body).map_err(|error| error.to_string())?;
            host.set_apps(apps)?;
            Ok(show_apps(host))
        }),
        (_, ["users" | "merge" | "convert" | "recycle-bin" | "locks" | "access"]) => people::handle(host, call),
        (_, ["fields" | "gap"]) => schema::handle(host, call),
        ("POST", ["undelete"]) => with_body(call, |body| Ok(undelete(host, &body))),
        (_, ["time" | "limits" | "streams" | "capture" | "cut" | "restart" | "refresh" | "migrate"]) => {
            states::handle(host, call, line)
        }
        ("GET", ["traffic"]) => Answer::json(200, &host.traffic().show()),
        ("POST", ["traffic"]) => with_body(call, |body| {
            let plan: TrafficPlan = serde_json::from_value(body).map_err(|error| error.to_string())?;
            traffic::start(host, plan);
            Ok(Answer::json(200, &host.traffic().show()))
        }),
        ("DELETE", ["traffic"]) => {
            let mut traffic = host.traffic();
            traffic.stop();
            Answer::json(200, &traffic.show())
        }
        _ => problem(404, "no such path; GET /emulator explains them"),
    }
}

fn problem(status: u16, text: &str) -> Answer {
    Answer::json(status, &json!({"problem": text}))
}

/// An empty body is an empty object.
fn with_body(call: &Call, work: impl FnOnce(Json) -> Result<Answer, String>) -> Answer {
    let body = if call.body.is_empty() { Ok(json!({})) } else { serde_json::from_slice(&call.body) };
    let answer = body.map_err(|error| error.to_string()).and_then(work);
    answer.unwrap_or_else(|text| problem(400, &text))
}

fn show_switches(host: &Host) -> Answer {
    Answer::json(200, &json!(*host.switches()))
}

fn set_bulk(host: &Host, body: Json) -> Result<Answer, String> {
    let shown = {
        let mut bulk = host.bulk();
        let mut merged = json!(bulk.settings());
        if let (Some(merged), Json::Object(body)) = (merged.as_object_mut(), body) {
            merged.extend(body);
        }
        bulk.set(serde_json::from_value(merged).map_err(|error| error.to_string())?);
        json!(bulk.settings())
    };
    host.notify(); // jobs that were held go on
    Ok(Answer::json(200, &shown))
}

fn set_switches(host: &Host, body: Json) -> Result<Answer, String> {
    let mut merged = json!(*host.switches());
    if let (Some(merged), Json::Object(body)) = (merged.as_object_mut(), body) {
        merged.extend(body);
    }
    let switches: Switches = serde_json::from_value(merged).map_err(|error| error.to_string())?;
    let time = i64::try_from(switches.transaction_ms).unwrap_or(i64::MAX / 2_000).saturating_mul(1_000);
    {
        let mut org = host.org();
        org.transaction_time = time;
        org.roll_ups_in_events = switches.roll_ups_in_events;
        org.field_security_in_events = switches.field_security_in_events;
        org.split_updates = switches.split_updates;
        org.overflow_after = switches.overflow_after;
    }
    *host.switches() = switches;
    Ok(show_switches(host))
}

/// With keys and without secrets, in their order.
fn show_apps(host: &Host) -> Answer {
    let login = host.login();
    let shown = login.apps().iter().map(|app| json!({"name": app.spec.name, "consumer_key": app.key}));
    Answer::json(200, &shown.collect::<Json>())
}

fn undelete(host: &Host, body: &Json) -> Answer {
    let ids = body.get("ids").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str);
    let write = |text| match Id::parse(text) {
        Some(id) => Ok(Write::Undelete { id }),
        None => Err(SaveError::new("MALFORMED_ID", format!("malformed id {text}"))),
    };
    let writes = ids.map(write).collect();
    let results = {
        let mut org = host.org();
        let caller = Caller::system(org.ordinary_user(), "");
        let now = host.now();
        org.transact(&caller, writes, &Options::default(), now).unwrap_or_default()
    };
    host.notify();
    let item = |result| match result {
        Ok(super::org::Saved { id, .. }) => json!({"id": id.as_str(), "success": true, "errors": []}),
        Err(error) => json!({"success": false, "errors": item_errors(&error)}),
    };
    Answer::json(200, &results.into_iter().map(item).collect::<Json>())
}

/// A call of an action, and what came of it.
fn action_call(call: &ActionCall) -> Json {
    let outcome = match &call.outcome {
        Ok(outputs) => json!({"success": true, "outputs": outputs}),
        Err(error) => json!({"success": false, "errors": item_errors(error)}),
    };
    json!({"n": call.n, "at_us": call.at, "user": call.user.as_str(), "type": call.kind.name(), "name": call.name,
        "inputs": call.inputs, "outcome": outcome})
}

/// Exact instants of changes, for figures of latency.
pub fn commits(org: &Org, after: u64) -> Json {
    let show = |commit: &Commit| {
        let object = org.schema.object(commit.object);
        let external: Map<String, Json> =
            commit.external.iter().map(|(field, value)| (object.field(*field).name.clone(), json!(value))).collect();
        json!({"n": commit.n, "at_us": commit.at, "object": object.name, "id": commit.id.as_str(),
            "kind": commit.kind.name(), "external": external})
    };
    org.commits_after(after).iter().take(COMMITS).map(show).collect()
}
