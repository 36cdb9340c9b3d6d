//! States of the whole org: its clock, its limits, its streams, its connections, its very identity.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::people::read;
use super::{problem, with_body};
use crate::host::{Host, merged};
use crate::org::time::SECOND;
use crate::org::{Member, ObjectKind, STANDARD_CHANNEL};
use crate::rest;
use crate::server::Cut;
use crate::wire::{Answer, Call};

/// `line`: the connection of this call.
pub fn handle(host: &Host, call: &Call, line: &Cut) -> Answer {
    match (call.method.as_str(), call.path().get(1..).unwrap_or_default()) {
        ("POST", ["time"]) => with_body(call, |body| time(host, &read(body)?)),
        ("GET", ["time"]) => show_time(host),
        ("GET", ["limits"]) => Answer::json(200, &rest::limits_shown(host)),
        ("POST", ["limits"]) => with_body(call, |body| {
            host.set_limits(body)?;
            Ok(Answer::json(200, &rest::limits_shown(host)))
        }),
        ("GET", ["streams"]) => Answer::json(200, &json!(host.show_streams())),
        ("POST", ["streams"]) => with_body(call, |body| {
            host.set_streams(&merged(&host.show_streams(), body)?);
            Ok(Answer::json(200, &json!(host.show_streams())))
        }),
        ("POST", ["capture"]) => with_body(call, |body| capture(host, &read(body)?)),
        ("POST", ["cut"]) => {
            host.connections.cut_all(line);
            Answer::json(200, &json!({}))
        }
        ("POST", ["restart"]) => with_body(call, |body| {
            let Restart { down_ms } = read(body)?;
            host.restart(Duration::from_millis(down_ms), line);
            // This line ends too, or its client could go on while the org is down.
            Ok(Answer::json(200, &json!({"down_ms": down_ms})).with("connection", "close"))
        }),
        ("POST", ["refresh"]) => {
            host.refresh();
            Answer::json(200, &json!({"org_id": host.org().id.as_str()}))
        }
        ("POST", ["migrate"]) => {
            host.migrate();
            Answer::json(200, &json!({}))
        }
        _ => problem(405, "another method is expected here; GET /emulator explains it"),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Restart {
    #[serde(default)]
    down_ms: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Time {
    advance_seconds: Option<i64>,
    skew_seconds: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Capture {
    object: String,
    on: bool,
}

fn time(host: &Host, time: &Time) -> Result<Answer, String> {
    let micros = |seconds: i64| seconds.checked_mul(SECOND);
    let wrong = "advance_seconds: a number from 0 up";
    let ahead = time.advance_seconds.unwrap_or_default();
    let ahead = Some(ahead).filter(|seconds| *seconds >= 0).and_then(micros).ok_or(wrong)?;
    let skew = match time.skew_seconds {
        Some(seconds) => Some(micros(seconds).ok_or("skew_seconds: too much")?),
        None => None,
    };
    host.advance(ahead);
    if let Some(skew) = skew {
        host.set_skew(skew);
    }
    Ok(show_time(host))
}

fn show_time(host: &Host) -> Answer {
    Answer::json(200, &json!({"now_us": host.now(), "skew_seconds": host.skew() / SECOND}))
}

/// Selects an object for Change Data Capture, or takes it out of the selection.
fn capture(host: &Host, body: &Capture) -> Result<Answer, String> {
    {
        let mut org = host.org();
        let found = org.schema.find(&body.object).filter(|(_, object)| object.kind == ObjectKind::Record);
        let entity = found.ok_or_else(|| format!("object: there is no object {}", body.object))?.1.event_name();
        let is_member = |(channel, member): &(String, Member)| channel == STANDARD_CHANNEL && member.entity == entity;
        let members: Vec<_> = org.members().into_iter().filter(is_member).map(|(_, member)| member.id).collect();
        let result = match body.on {
            true if !members.is_empty() => Ok(()),
            true => org.add_member(STANDARD_CHANNEL, &entity, Vec::new(), None).map(drop),
            false => members.iter().try_for_each(|id| org.remove_member(id)),
        };
        result.map_err(|error| format!("object: {}", error.message))?;
        org.note_setup_change(host.now());
    }
    host.notify();
    Ok(Answer::json(200, &json!({"object": body.object, "on": body.on})))
}
