//! The Streaming API: Bayeux messages over long-polling (streaming-cometd.md), and over a WebSocket if that is
//! switched on.
//!
//! A connect that comes alone is held until events are there; every other message is answered at once.

mod messages;
mod sessions;
mod websocket;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::host::Host;
use super::oauth::session;
use super::wire::{Answer, Call};
use messages::{Reply, advice, error};
pub use sessions::Sessions;
use sessions::Transport;
pub use websocket::open;

const BODY_LIMIT: usize = 32_768;
const OLDEST: u32 = 37;

/// Any request under `/cometd`; the message's name behind the version makes no difference.
pub async fn handle(host: &Arc<Host>, call: &Call) -> Answer {
    if call.method != "POST" {
        return Answer::text(405, "text/html;charset=UTF-8", "HTTP method not allowed");
    }
    if call.body.len() > BODY_LIMIT {
        return Answer::text(413, "text/html;charset=UTF-8", "Maximum Request Size Exceeded");
    }
    let batch = match serde_json::from_slice(&call.body) {
        Ok(Json::Array(batch)) => batch,
        Ok(message @ Json::Object(_)) => vec![message],
        _ => return Answer::text(400, "text/html;charset=UTF-8", "Bayeux messages expected"),
    };
    host.count("cometd", false);
    if let Some(text) = wrong_version(call) {
        let refuse = |message: &Json| error(message, text, "none", host);
        return respond(batch.iter().map(refuse).map(|reply| reply.to_string()).collect());
    }
    let mut out = Vec::new();
    let mut cookies = Vec::new();
    let alone = batch.len() == 1;
    for message in &batch {
        match messages::answer(host, call, Transport::LongPolling, message, alone) {
            Reply::Now(texts) => out.extend(texts),
            Reply::Handshake { text, set_cookies } => {
                out.push(text);
                cookies.extend(set_cookies);
            }
            Reply::Held { client_id } => out.extend(held_connect(host, call, message, &client_id).await),
        }
    }
    let answer = respond(out);
    cookies.into_iter().fold(answer, |answer, cookie| answer.with("set-cookie", cookie))
}

fn respond(messages: Vec<String>) -> Answer {
    Answer::text(200, "application/json;charset=UTF-8", format!("[{}]", messages.join(",")))
}

fn wrong_version(call: &Call) -> Option<&'static str> {
    let version = call.segments.get(1).and_then(|segment| segment.strip_suffix(".0")?.parse::<u32>().ok());
    match version {
        None => Some("400::API version in the URI is mandatory. URI format: '/cometd/XX.0'"),
        Some(version) if version < OLDEST => Some(
            "400::Unsupported API version. Only API versions '37.0' and later are supported. URI format: '/cometd/XX.0'",
        ),
        Some(_) => None,
    }
}

/// Ends a connect also when its client goes away in the middle of it.
struct Waiting<'a> {
    host: &'a Host,
    client_id: &'a str,
    number: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let now = self.host.now();
        self.host.sessions().end_connect(self.client_id, self.number, now);
    }
}

/// Waits for events, for the end of the hold, or for whatever ends the session. A later connect ends this one.
async fn held_connect(host: &Arc<Host>, call: &Call, message: &Json, client_id: &str) -> Vec<String> {
    let gone = || vec![error(message, "403::Unknown client", "handshake", host).to_string()];
    let mut changes = host.changes();
    let begun = host.sessions().begin_connect(client_id, host.now());
    let Some((number, older)) = begun else { return gone() };
    if older {
        host.notify(); // it ends now
    }
    let _waiting = Waiting { host, client_id, number };
    let end = tokio::time::Instant::now() + host.connect_hold;
    let stopped = host.stopped();
    let forms = host.switches().stream_forms();
    loop {
        changes.borrow_and_update();
        if host.stream_states().silent {
            // Half-dead: the line is open, and nothing comes, not even at the end of the hold.
            tokio::select! { () = stopped.cancelled() => break, _ = changes.changed() => continue }
        }
        if session(host, call.token()).is_none() {
            return vec![error(message, "401::Authentication invalid", "none", host).to_string()];
        }
        let now = host.now();
        let next = {
            let mut sessions = host.sessions();
            if sessions.was_disconnected(client_id) {
                return messages::disconnected(Some(message), host);
            }
            if sessions.has_ended(client_id) {
                return vec![with_advice(connected(message, client_id), "none", host).to_string()];
            }
            let Some(session) = sessions.get(client_id, now) else { return gone() };
            if !session.is_latest(number) {
                break;
            }
            if host.delivery_spent() {
                return vec![error(message, messages::SPENT, "none", host).to_string()];
            }
            let mut events = messages::take_events(host, session, forms, now);
            if !events.is_empty() {
                events.push(connected(message, client_id).to_string());
                return events;
            }
            session.next_event(&host.org(), now)
        };
        let soon =
            next.map_or(host.connect_hold, |at| Duration::from_micros(u64::try_from(at - now).unwrap_or_default()));
        tokio::select! {
            () = stopped.cancelled() => break,
            _ = changes.changed() => {}
            () = tokio::time::sleep_until(end) => break,
            () = tokio::time::sleep(soon) => {}
        }
    }
    vec![connected(message, client_id).to_string()]
}

fn connected(message: &Json, client_id: &str) -> Json {
    json!({"channel": "/meta/connect", "id": message.get("id"), "clientId": client_id, "successful": true})
}

/// Only the first reply to a connect of a session has advice, and the last.
fn with_advice(mut reply: Json, reconnect: &str, host: &Host) -> Json {
    if let Some(reply) = reply.as_object_mut() {
        reply.insert("advice".into(), advice(reconnect, host));
    }
    reply
}
