//! The rules of faults: seen, set, released, taken out.

use serde_json::{Value as Json, json};

use super::{problem, with_body};
use crate::faults::Rule;
use crate::host::Host;
use crate::wire::{Answer, Call};

/// Everything under `/emulator/faults`; `rest` is what follows.
pub fn handle(host: &Host, call: &Call, rest: &[&str]) -> Answer {
    match (call.method.as_str(), rest) {
        ("GET", []) => show(host),
        ("POST", []) => with_body(call, |body| set(host, body)),
        ("DELETE", []) => {
            host.faults().clear();
            changed(host)
        }
        ("POST", [name]) => with_body(call, |body| put(host, name, body)),
        ("POST", [name, "release"]) if host.faults().release(name) => changed(host),
        ("DELETE", [name]) if host.faults().remove(name) => changed(host),
        ("DELETE", [name]) | ("POST", [name, "release"]) => problem(404, &format!("there is no rule {name}")),
        _ => problem(404, "no such path; GET /emulator explains them"),
    }
}

fn show(host: &Host) -> Answer {
    Answer::json(200, &host.faults().shown())
}

/// What was held may go on.
fn changed(host: &Host) -> Answer {
    host.notify();
    show(host)
}

/// All rules at once, and keys that act once.
fn set(host: &Host, body: Json) -> Result<Answer, String> {
    let Json::Object(mut body) = body else { return Err("expected a JSON object".into()) };
    let mut once = |key: &str| match body.remove(key) {
        None => Ok(false),
        Some(Json::Bool(value)) => Ok(value),
        Some(_) => Err(format!("{key}: true or false")),
    };
    let (expire_tokens, drop_sessions, forget_events) =
        (once("expire_tokens")?, once("drop_sessions")?, once("forget_events")?);
    let (expire_cookies, disconnect) = (once("expire_cookies")?, once("disconnect")?);
    let rules = match body.remove("rules") {
        None => None,
        Some(Json::Array(list)) => Some(Rule::read_all(list)?),
        Some(_) => return Err("rules: a list".into()),
    };
    if let Some(unknown) = body.keys().next() {
        let known = "rules, expire_tokens, drop_sessions, forget_events, expire_cookies, disconnect";
        return Err(format!("{unknown}: no such key; there are {known}, and POST /emulator/faults/NAME for one rule"));
    }
    if let Some(rules) = rules {
        host.faults().replace(rules);
    }
    if expire_tokens {
        host.tokens().expire();
    }
    if drop_sessions {
        host.sessions().drop_all();
    }
    if forget_events {
        let mut org = host.org();
        org.bus.forget();
        org.pushed.forget();
    }
    if expire_cookies {
        host.sessions().expire_cookies();
    }
    if disconnect {
        host.sessions().disconnect_all();
    }
    Ok(changed(host))
}

/// One rule, under the name of the path.
fn put(host: &Host, name: &str, mut body: Json) -> Result<Answer, String> {
    if let Some(body) = body.as_object_mut()
        && body.insert("name".into(), json!(name)).is_some_and(|other| other != name)
    {
        return Err("name: another one than in the path".into());
    }
    let rule = Rule::read(body)?;
    host.faults().put(rule);
    Ok(changed(host))
}
