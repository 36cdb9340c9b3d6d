//! One Bayeux message and its reply (streaming-cometd.md sections 3 to 7).

use serde_json::{Value as Json, json};

use super::sessions::{Session, Source, Transport};
use super::{connected, with_advice};
use crate::host::Host;
use crate::oauth::session;
use crate::org::time::HOUR;
use crate::org::{Id, Org, Start, StreamForms, time};
use crate::wire::Call;

/// What a message gets.
pub enum Reply {
    /// Messages as JSON texts.
    Now(Vec<String>),
    Handshake {
        text: String,
        set_cookies: Vec<String>,
    },
    /// A connect that may wait.
    Held {
        client_id: String,
    },
}

/// The cookie by which the load balancer finds the server of a session.
const STICKY: &str = "sfdc-stream";
const BROWSER: &str = "BAYEUX_BROWSER";
/// No more events may be delivered today; those that come are kept.
pub const SPENT: &str = "403::Organization total events daily limit exceeded";
const CONNECTIONS: &str = "403::To protect all customers from excessive use and Denial of Service attacks, we limit the number of simultaneous connections per server. Your request has been denied because this limit has been exceeded. Please try your request again later.";

/// `alone`: the message is the only one of its request.
pub fn answer(host: &Host, call: &Call, transport: Transport, message: &Json, alone: bool) -> Reply {
    let channel = text(message, "channel");
    if host.stream_states().is_busy() {
        return one(busy(message, host));
    }
    if channel == "/meta/handshake" {
        return handshake(host, call, transport, message);
    }
    let client_id = text(message, "clientId");
    let now = host.now();
    let Some((_, user)) = session(host, call.token()) else {
        return one(error(message, "401::Authentication invalid", "none", host));
    };
    let forms = host.switches().stream_forms();
    let check_cookies = host.switches().check_cookies;
    let mut sessions = host.sessions();
    if channel == "/meta/connect" && sessions.was_disconnected(client_id) {
        return Reply::Now(disconnected(Some(message), host));
    }
    let with_answer = sessions.with_answer();
    let Some(session) = sessions.get(client_id, now) else {
        return one(error(message, "403::Unknown client", "handshake", host));
    };
    if session.user != Some(user.id.clone()) {
        return one(error(
            message,
            "400::Authenticated user id does not match the session's user id",
            "handshake",
            host,
        ));
    }
    // A session that was made inside a WebSocket never had a cookie.
    let check_cookies = check_cookies && session.transport == Transport::LongPolling;
    if check_cookies && let Some(problem) = cookie_problem(call, session, client_id) {
        return one(error(message, &problem, "handshake", host));
    }
    match channel {
        "/meta/connect" => {
            let kind = text(message, "connectionType");
            if kind != transport.name() {
                return one(error(message, &format!("400::Invalid connection type {{{kind}}}"), "none", host));
            }
            let first = !session.connected_once;
            session.connected_once = true;
            session.seen(now);
            let asks_at_once = message.pointer("/advice/timeout").and_then(Json::as_i64) == Some(0);
            if host.delivery_spent() {
                return one(error(message, SPENT, "none", host));
            }
            let silent = host.stream_states().silent;
            if (alone && !first && !asks_at_once) || silent {
                return Reply::Held { client_id: client_id.to_owned() };
            }
            let mut texts = take_events(host, session, forms, now);
            let reply = connected(message, client_id);
            let reply = if first { with_advice(reply, "retry", host) } else { reply };
            texts.push(reply.to_string());
            Reply::Now(texts)
        }
        "/meta/subscribe" => {
            let reply = subscribe(host, &user.id, session, message, now);
            let mut texts = vec![reply.to_string()];
            if with_answer {
                // Events may come with any answer, before the reply as well as behind it.
                let events = take_events(host, session, forms, now);
                let at = usize::from(!events.len().is_multiple_of(2));
                texts.splice(at..at, events);
            }
            drop(sessions);
            host.notify(); // a connect that waits has more to wait for
            Reply::Now(texts)
        }
        "/meta/unsubscribe" => {
            let channel = text(message, "subscription");
            session.unsubscribe(channel);
            one(json!({"channel": "/meta/unsubscribe", "id": message.get("id"), "clientId": client_id,
                "subscription": channel, "successful": true}))
        }
        "/meta/disconnect" => {
            sessions.end(client_id);
            drop(sessions);
            host.notify(); // its connect ends
            one(
                json!({"channel": "/meta/disconnect", "id": message.get("id"), "clientId": client_id, "successful": true}),
            )
        }
        other => one(error(message, &format!("403::Cannot create channel {{{other}}}"), "retry", host)),
    }
}

fn handshake(host: &Host, call: &Call, transport: Transport, message: &Json) -> Reply {
    let now = host.now();
    let Some((_, user)) = session(host, call.token()) else {
        let reason =
            if call.token().is_some() { "401::Authentication invalid" } else { "401::Request requires authentication" };
        return one(denied(message, reason, host));
    };
    if host.stream_states().refuses_connection() {
        return one(denied(message, CONNECTIONS, host));
    }
    let limit = host.client_limit();
    let sticky = cookie(call, STICKY);
    let created = {
        let mut sessions = host.sessions();
        let free = u64::try_from(sessions.count(now)).is_ok_and(|clients| clients < limit);
        free.then(|| sessions.create(cookie(call, BROWSER), sticky, transport, user.id, now))
    };
    let Some((client_id, session)) = created else {
        return one(error(message, "403::Organization concurrent user limit exceeded", "none", host));
    };
    let websocket = host.switches().websocket.then_some(Transport::WebSocket.name());
    let types: Vec<&str> = websocket.into_iter().chain([Transport::LongPolling.name()]).collect();
    let reply = json!({"channel": "/meta/handshake", "id": message.get("id"), "version": "1.0", "minimumVersion": "1.0",
        "clientId": client_id, "supportedConnectionTypes": types,
        "ext": {"replay": true, "payload.format": true}, "successful": true});
    let mut set_cookies = vec![format!("{BROWSER}={}; Path=/; HttpOnly", session.browser)];
    if sticky != Some(&session.sticky) {
        // Without `Secure`, which no client would send back over plain http.
        let expires = time::http(now + 3 * HOUR);
        set_cookies.push(format!("{STICKY}={}; path=/; Expires={expires}", session.sticky));
    }
    Reply::Handshake { text: reply.to_string(), set_cookies }
}

/// A refused handshake.
fn denied(message: &Json, reason: &str, host: &Host) -> Json {
    let mut reply = error(message, "403::Handshake denied", "none", host);
    if let Some(reply) = reply.as_object_mut() {
        let mut ext = json!({"sfdc": {"failureReason": reason}, "replay": true});
        // Who is known gets to see what the server can do.
        if let (Some(ext), false) = (ext.as_object_mut(), reason.starts_with("401")) {
            ext.insert("payload.format".into(), json!(true));
        }
        reply.insert("ext".into(), ext);
    }
    reply
}

/// The outer error is misleading, as on the platform.
fn busy(message: &Json, host: &Host) -> Json {
    let reason = "503::Server is too busy.  Please try your request again later.";
    if text(message, "channel") == "/meta/handshake" {
        return denied(message, reason, host);
    }
    let mut reply = error(message, "401::Authentication invalid", "none", host);
    if let Some(reply) = reply.as_object_mut() {
        reply.insert("ext".into(), json!({"sfdc": {"failureReason": reason}}));
    }
    reply
}

/// The server ends a session by a message of its own, beside a failed connect if one waits.
pub fn disconnected(connect: Option<&Json>, host: &Host) -> Vec<String> {
    let failed = connect.map(|message| {
        let mut reply = error(message, "403::Unknown client", "none", host);
        if let (Some(reply), Some(client)) = (reply.as_object_mut(), message.get("clientId")) {
            reply.insert("clientId".into(), client.clone());
        }
        reply
    });
    std::iter::once(json!({"channel": "/meta/disconnect"})).chain(failed).map(|message| message.to_string()).collect()
}

/// The events that go out now, counted; none to a session that is deaf.
pub fn take_events(host: &Host, session: &mut Session, forms: StreamForms, now: i64) -> Vec<String> {
    let (deaf, silent) = {
        let states = host.stream_states();
        (states.deaf, states.silent)
    };
    if deaf || silent {
        return Vec::new();
    }
    let spent = host.delivery_spent();
    let org = host.org();
    let mut messages = if spent { Vec::new() } else { session.take_events(&org, forms, now) };
    host.delivered(u64::try_from(messages.len()).unwrap_or(u64::MAX));
    // The older kinds of streaming have allocations of their own.
    messages.extend(session.take_notices(&org, now));
    messages
}

fn subscribe(host: &Host, user: &Id, session: &mut Session, message: &Json, now: i64) -> Json {
    let channel = text(message, "subscription");
    let refused = |problem: &str| {
        let mut reply = bare_error(message, problem);
        if let Some(reply) = reply.as_object_mut() {
            reply.insert("subscription".into(), json!(channel));
        }
        reply
    };
    if channel.is_empty() {
        return refused("400::Channel name not specified");
    }
    if !channel.starts_with('/') {
        return refused("400::Channel subscriptions must start with a leading '/'");
    }
    let mut org = host.org();
    let source = match source(&org, user, channel) {
        Ok(source) => source,
        Err(problem) => return refused(&problem),
    };
    // Of a filtered PushTopic the map has the name without the filter.
    let key = channel.split_once('?').map_or(channel, |(name, _)| name);
    let start = match message.pointer("/ext/replay").filter(|map| map.is_object()) {
        None => Start::Tip,
        Some(map) => match map.get(key).map(|id| (id, id.as_i64())) {
            None => return refused(&not_in_map(key, map)),
            Some((_, Some(-1))) => Start::Tip,
            Some((_, Some(-2))) => Start::Earliest,
            Some((_, Some(id))) => Start::After(id),
            Some((given, None)) => return refused(&invalid_id(&given.to_string())),
        },
    };
    let corrupt = matches!(start, Start::After(_)) && host.stream_states().corrupts();
    if corrupt || session.subscribe(&mut org, source, start, now).is_err() {
        let given = message.pointer("/ext/replay").and_then(|map| map.get(key));
        return refused(&invalid_id(&given.map(Json::to_string).unwrap_or_default()));
    }
    json!({"channel": "/meta/subscribe", "id": message.get("id"), "clientId": text(message, "clientId"),
        "subscription": channel, "successful": true})
}

/// # Errors
/// Why there is no such channel, or not for this user (streaming-cometd.md section 7).
fn source(org: &Org, user: &Id, channel: &str) -> Result<Source, String> {
    const NO_ACCESS: &str = "403::Subscriber does not have access to the entity in this topic";
    let nowhere = || Err(format!("400::The channel you requested to subscribe to doesn't exist {{{channel}}}"));
    if channel.starts_with("/u/") || channel.starts_with("/topic/") {
        return match org.push_feed(channel) {
            Some(feed) if org.may_subscribe_to_push(user, &feed) => Ok(Source::Push(feed)),
            Some(_) => Err(NO_ACCESS.to_owned()),
            None if channel.starts_with("/u/") => Err(format!("404::Unknown channel {{{channel}}}")),
            None => nowhere(),
        };
    }
    let Some(feed) = org.feed(channel) else { return nowhere() };
    let view = org.view(user);
    match org.may_subscribe(&view, &feed) {
        true => Ok(Source::Bus(feed, view)),
        false if feed.is_platform_event() => Err(NO_ACCESS.to_owned()),
        false => Err("403::User not allowed to subscribe CDC without View All Data permissions".to_owned()),
    }
}

fn invalid_id(given: &str) -> String {
    format!(
        "400::The replayId {{{given}}} you provided was invalid.  Please provide a valid ID, -2 to replay all events, or -1 to replay only new events."
    )
}

fn not_in_map(channel: &str, map: &Json) -> String {
    let pairs: Vec<String> = map.as_object().into_iter().flatten().map(|(key, id)| format!("{key}={id}")).collect();
    format!(
        "400::The replayId for channel {{{channel}}} wasn't found using the provided replay ID map {{{{{}}}}}. Ensure that the channel name you provided in the replay map is valid and matches the channel name used for subscribing.",
        pairs.join(", ")
    )
}

/// A session belongs to the browser and to the server of its handshake.
fn cookie_problem(call: &Call, session: &Session, client_id: &str) -> Option<String> {
    if cookie(call, BROWSER) != Some(&session.browser) {
        return Some(format!("400::Client {client_id} has established a session, but no {BROWSER} cookie present"));
    }
    // Without the sticky cookie the request reaches another server, which knows nothing of the session.
    (cookie(call, STICKY) != Some(&session.sticky)).then(|| "403::Unknown client".to_owned())
}

fn cookie<'a>(call: &'a Call, name: &str) -> Option<&'a str> {
    let headers = call.headers.get_all("cookie").iter().filter_map(|value| value.to_str().ok());
    headers.flat_map(|header| header.split(';')).find_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name).then_some(value)
    })
}

fn text<'a>(message: &'a Json, key: &str) -> &'a str {
    message.get(key).and_then(Json::as_str).unwrap_or_default()
}

fn one(reply: Json) -> Reply {
    Reply::Now(vec![reply.to_string()])
}

/// Some clients need all three keys together.
pub fn advice(reconnect: &str, host: &Host) -> Json {
    json!({"reconnect": reconnect, "interval": 0, "timeout": u64::try_from(host.connect_hold.as_millis()).unwrap_or(u64::MAX)})
}

pub fn error(message: &Json, problem: &str, reconnect: &str, host: &Host) -> Json {
    with_advice(bare_error(message, problem), reconnect, host)
}

/// A failed reply without advice: the session goes on.
fn bare_error(message: &Json, problem: &str) -> Json {
    let mut reply =
        json!({"channel": text(message, "channel"), "id": message.get("id"), "successful": false, "error": problem});
    let unknown = problem.contains("Unknown client") || problem.contains("Handshake denied");
    if let (false, Some(client), Some(reply)) = (unknown, message.get("clientId"), reply.as_object_mut()) {
        reply.insert("clientId".into(), client.clone());
    }
    reply
}
