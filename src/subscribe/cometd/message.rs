//! Bayeux messages, in and out (facts: streaming-cometd.md sections 3 to 6, 12, 13, 17). Reading never fails for what is
//! unknown or missing: unknown fields are ignored, replies are told by their channel, events may stand anywhere.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::fault::Fault;
use crate::event::{
    Change, ChangeKind, Channel, Field, Happening, Header, RecordChange, RecordId, ReplayFrom, ReplayId, Timestamp,
    Value,
};

/// A body that holds no Bayeux messages.
#[derive(Debug, thiserror::Error)]
#[error("not a list of Bayeux messages")]
pub struct NotBayeux;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    Reply(Reply),
    Event(Delivery),
    /// The server ends the session: `/meta/disconnect` that answers nothing.
    ServerDisconnect,
}

/// The answer to a message of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub meta: Meta,
    pub id: Option<String>,
    pub client_id: Option<String>,
    pub subscription: Option<String>,
    pub advice: Advice,
    /// `Err`: `successful` was not true.
    pub result: Result<(), Fault>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meta {
    Handshake,
    Connect,
    Subscribe,
    Unsubscribe,
    Disconnect,
}

/// What the server wishes; only what it said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Advice {
    pub reconnect: Option<Reconnect>,
    pub interval: Option<Duration>,
    pub timeout: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reconnect {
    Retry,
    Handshake,
    None,
}

/// An event message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub channel: String,
    pub change: Result<Change, Undecodable>,
}

/// An event that this release cannot read. Names no values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an event of {channel} with replay id {replay_id:?} could not be read: {reason}")]
pub struct Undecodable {
    pub channel: String,
    pub replay_id: Option<ReplayId>,
    pub reason: &'static str,
}

/// Reads a response: an array of messages, or a lone one.
///
/// # Errors
/// When it is neither.
pub fn read(body: &[u8]) -> Result<Vec<Incoming>, NotBayeux> {
    match serde_json::from_slice(body).map_err(|_| NotBayeux)? {
        Json::Array(messages) => Ok(messages.into_iter().filter_map(message).collect()),
        lone @ Json::Object(_) => Ok(message(lone).into_iter().collect()),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => Err(NotBayeux),
    }
}

fn message(json: Json) -> Option<Incoming> {
    let Json::Object(mut message) = json else { return None };
    let channel = message.get("channel")?.as_str()?.to_owned();
    let meta = match channel.as_str() {
        "/meta/handshake" => Meta::Handshake,
        "/meta/connect" => Meta::Connect,
        "/meta/subscribe" => Meta::Subscribe,
        "/meta/unsubscribe" => Meta::Unsubscribe,
        "/meta/disconnect" if !message.contains_key("id") => return Some(Incoming::ServerDisconnect),
        "/meta/disconnect" => Meta::Disconnect,
        _ => {
            let data = message.remove("data")?;
            return Some(Incoming::Event(delivery(channel, data)));
        }
    };
    let text = |key: &str| message.get(key).and_then(Json::as_str).map(str::to_owned);
    let result = match message.get("successful").and_then(Json::as_bool) {
        Some(true) => Ok(()),
        _ => {
            // The reason inside is preferred: the outer error misleads when the server is busy.
            let inner = message.get("ext").and_then(|ext| ext.get("sfdc")?.get("failureReason")?.as_str());
            let outer = message.get("error").and_then(Json::as_str);
            Err(Fault::read(inner.or(outer).unwrap_or_default()))
        }
    };
    Some(Incoming::Reply(Reply {
        meta,
        // Strings by the protocol; a number is taken as its text.
        id: message.get("id").map(|id| id.as_str().map_or_else(|| id.to_string(), str::to_owned)),
        client_id: text("clientId"),
        subscription: text("subscription"),
        advice: message.get("advice").map(advice).unwrap_or_default(),
        result,
    }))
}

fn advice(json: &Json) -> Advice {
    let millis = |key: &str| json.get(key).and_then(Json::as_u64).map(Duration::from_millis);
    Advice {
        reconnect: match json.get("reconnect").and_then(Json::as_str) {
            Some("retry") => Some(Reconnect::Retry),
            Some("handshake") => Some(Reconnect::Handshake),
            Some("none") => Some(Reconnect::None),
            _ => None,
        },
        interval: millis("interval"),
        timeout: millis("timeout"),
    }
}

fn delivery(channel: String, data: Json) -> Delivery {
    let id = data.get("event").and_then(|event| event.get("replayId"));
    // Opaque, so its text is kept whatever it is.
    let replay_id = id.map(|id| ReplayId(id.as_str().map_or_else(|| id.to_string(), str::to_owned).into_bytes()));
    let change = happening(data).and_then(|happening| {
        let channel: Channel = channel.parse().map_err(|_| "its channel is no channel")?;
        let replay_id = replay_id.clone().ok_or("it has no replay id")?;
        Ok(Change { channel, replay_id, happening })
    });
    let change = change.map_err(|reason| Undecodable { channel: channel.clone(), replay_id, reason });
    Delivery { channel, change }
}

fn happening(mut data: Json) -> Result<Happening, &'static str> {
    let data = data.as_object_mut().ok_or("its data is no object")?;
    match data.remove("payload") {
        Some(Json::Object(mut payload)) => match payload.remove("ChangeEventHeader") {
            Some(header) => record(&header, payload).map(Happening::Record),
            None => {
                let uuid = data.get("event").and_then(|event| event.get("EventUuid")?.as_str());
                let fields = payload.into_iter().map(|(name, value)| (name, value.into())).collect();
                Ok(Happening::Event { uuid: uuid.map(str::to_owned), fields })
            }
        },
        Some(body) => Ok(Happening::Notification { body: body.into() }),
        None => match data.remove("sobject") {
            Some(body) => Ok(Happening::Notification { body: body.into() }),
            None => Err("it has neither payload nor sobject"),
        },
    }
}

fn record(header: &Json, body: Map<String, Json>) -> Result<RecordChange, &'static str> {
    let text = |key: &str| header.get(key).and_then(Json::as_str);
    let number = |key: &str| header.get(key).and_then(Json::as_i64);
    let change_type: ChangeKind =
        text("changeType").and_then(|kind| kind.parse().ok()).ok_or("its changeType is not known")?;
    let ids = header.get("recordIds").and_then(Json::as_array).ok_or("it has no recordIds")?;
    let (mut record_ids, mut wildcard) = (Vec::new(), false);
    for id in ids {
        match id.as_str().and_then(|id| id.parse::<RecordId>().ok()) {
            Some(id) if !id.is_zero() && change_type != ChangeKind::GapOverflow => record_ids.push(id),
            // `001*`, or the zeros of an overflow: more records than it names.
            _ => wildcard = true,
        }
    }
    let header_of = Header {
        entity_name: text("entityName").and_then(|name| name.parse().ok()).ok_or("it has no entityName")?,
        record_ids,
        wildcard,
        change_type,
        change_origin: text("changeOrigin").unwrap_or_default().to_owned(),
        transaction_key: text("transactionKey").ok_or("it has no transactionKey")?.to_owned(),
        sequence_number: number("sequenceNumber").unwrap_or_default(),
        commit_timestamp: Timestamp(number("commitTimestamp").ok_or("it has no commitTimestamp")?),
        commit_number: number("commitNumber").unwrap_or_default(),
        commit_user: text("commitUser").unwrap_or_default().to_owned(),
    };
    let changed = header.get("changedFields").and_then(Json::as_array);
    let changed: Option<Vec<&str>> = changed.map(|names| names.iter().filter_map(Json::as_str).collect());
    let fields = match (change_type, changed) {
        (ChangeKind::Update, Some(changed)) => {
            body.into_iter().map(|(name, value)| changed_or_enriched(name, value, &changed)).collect()
        }
        // API 46 and older say nothing of what changed: all that is there did.
        (ChangeKind::Update | ChangeKind::Create | ChangeKind::Undelete, _) => {
            body.into_iter().map(|(name, value)| (name, field(value))).collect()
        }
        // An enriched delete carries values that nobody may write.
        _ => body.into_iter().map(|(name, value)| (name, Field::Same(value.into()))).collect(),
    };
    Ok(RecordChange { header: header_of, fields })
}

fn field(value: Json) -> Field {
    let only = value.as_object().filter(|value| value.len() == 1);
    match only.and_then(|value| value.get("diff")?.as_str()) {
        Some(diff) if diff.starts_with("--- ") => Field::Diff,
        _ => Field::New(value.into()),
    }
}

/// Presence is no proof of change: enriched fields are there too. `changedFields` decides, by field or by part.
fn changed_or_enriched(name: String, value: Json, changed: &[&str]) -> (String, Field) {
    if changed.contains(&name.as_str()) {
        return (name, field(value));
    }
    let part = |part: &str| changed.iter().any(|path| path.split_once('.') == Some((name.as_str(), part)));
    match value {
        Json::Object(parts) if parts.keys().any(|key| part(key)) => {
            let parts: BTreeMap<String, Value> =
                parts.into_iter().filter(|(key, _)| part(key)).map(|(key, value)| (key, value.into())).collect();
            (name, Field::New(Value::Compound(parts)))
        }
        // A compound that was emptied by its parts.
        Json::Null if changed.iter().any(|path| path.split_once('.').is_some_and(|(top, _)| top == name)) => {
            (name, Field::New(Value::Null))
        }
        value => (name, Field::Same(value.into())),
    }
}

/// What we offer in a handshake, and use.
pub const LONG_POLLING: &str = "long-polling";

pub fn handshake(id: &str) -> Json {
    json!([{
        "channel": "/meta/handshake", "id": id, "version": "1.0", "minimumVersion": "1.0",
        "supportedConnectionTypes": [LONG_POLLING], "ext": {"replay": true},
    }])
}

/// `at_once`: the server is not to hold this one.
pub fn connect(id: &str, client: &str, at_once: bool) -> Json {
    let mut message = json!({"channel": "/meta/connect", "id": id, "clientId": client, "connectionType": LONG_POLLING});
    if at_once && let Some(message) = message.as_object_mut() {
        message.insert("advice".to_owned(), json!({"timeout": 0}));
    }
    json!([message])
}

pub fn subscribe(id: &str, client: &str, channel: &Channel, from: &ReplayFrom) -> Json {
    let from = match from {
        ReplayFrom::Tip => json!(-1),
        ReplayFrom::Earliest => json!(-2),
        // The text of a number, as it came. Anything else goes back as text and is refused by the org by name.
        ReplayFrom::After(ReplayId(bytes)) => {
            let text = String::from_utf8_lossy(bytes);
            text.parse::<i64>().map_or_else(|_| json!(text), |number| json!(number))
        }
    };
    json!([{
        "channel": "/meta/subscribe", "id": id, "clientId": client, "subscription": channel.as_str(),
        "ext": {"replay": {channel.as_str(): from}},
    }])
}

pub fn disconnect(id: &str, client: &str) -> Json {
    json!([{"channel": "/meta/disconnect", "id": id, "clientId": client}])
}

#[cfg(test)]
mod tests;
