//! Bayeux messages, in and out (facts: streaming-cometd.md sections 3 to 7).
//!
//! Incoming bytes always become a list: replies by their id, events, and what could not be understood, by name.
//! Unknown fields are ignored, for Salesforce adds some (`EventType`, `CreatedDate`).

use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::decode::{self, DecodeError};
use super::fault::Fault;
use crate::event::{Change, Channel, ReplayFrom, ReplayId};

/// One message of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    Reply(Reply),
    /// The server ended the session by itself: `/meta/disconnect` that answers nothing.
    Disconnected,
    /// With the id of its schema, where it says one.
    Event(Box<Change>, Option<String>),
    /// An event that this release cannot read. Never dropped in silence.
    Undecodable(DecodeError),
    /// Neither a reply to a meta message nor an event: nothing is lost by ignoring it.
    Other,
}

/// The server's answer to a meta message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub meta: Meta,
    /// That of the request. Some servers leave it out; then it answers nothing.
    pub id: Option<String>,
    /// `Err` holds the inner reason where there is one, for the outer `error` may mislead.
    pub outcome: Result<(), Fault>,
    pub client_id: Option<String>,
    pub advice: Option<Advice>,
    pub subscription: Option<String>,
    /// What the handshake offers; empty where it says nothing.
    pub connection_types: Vec<String>,
}

/// The meta channels that we use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meta {
    Handshake,
    Connect,
    Subscribe,
    Unsubscribe,
    Disconnect,
}

/// What the server advises. A field that it leaves out keeps its last value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Advice {
    pub reconnect: Option<Reconnect>,
    /// To wait before the next connect.
    pub interval: Option<Duration>,
    /// How long the server holds a connect.
    pub timeout: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reconnect {
    Retry,
    Handshake,
    None,
}

/// Bytes that are no Bayeux messages: not JSON, or neither object nor array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not Bayeux messages")]
pub struct NotBayeux;

/// A body of long-polling: an array of messages, or a lone one.
pub fn parse(body: &[u8]) -> Result<Vec<Incoming>, NotBayeux> {
    parse_from(body, LONG_POLLING)
}

/// A body or frame of the connection type of this name.
pub fn parse_from(body: &[u8], connection_type: &str) -> Result<Vec<Incoming>, NotBayeux> {
    let mut incoming: Vec<Incoming> = list(body)?.into_iter().map(|message| one(message, connection_type)).collect();
    if incoming.iter().any(|incoming| matches!(incoming, Incoming::Undecodable(_))) {
        // It was taken apart on the way, so it is looked at once more. That is seldom.
        for (incoming, message) in incoming.iter_mut().zip(list(body)?) {
            if let Incoming::Undecodable(error) = incoming {
                error.look_at(&message);
            }
        }
    }
    Ok(incoming)
}

fn list(body: &[u8]) -> Result<Vec<Json>, NotBayeux> {
    match serde_json::from_slice(body) {
        Ok(Json::Array(messages)) => Ok(messages),
        Ok(message @ Json::Object(_)) => Ok(vec![message]),
        Ok(_) | Err(_) => Err(NotBayeux),
    }
}

fn one(message: Json, connection_type: &str) -> Incoming {
    let Json::Object(mut message) = message else {
        return Incoming::Undecodable(DecodeError::new("", None, "the message is no JSON object"));
    };
    let channel = message.get("channel").and_then(Json::as_str).unwrap_or_default().to_owned();
    let meta = match channel.as_str() {
        "/meta/handshake" => Some(Meta::Handshake),
        "/meta/connect" => Some(Meta::Connect),
        "/meta/subscribe" => Some(Meta::Subscribe),
        "/meta/unsubscribe" => Some(Meta::Unsubscribe),
        "/meta/disconnect" => Some(Meta::Disconnect),
        _ => None,
    };
    if let Some(meta) = meta {
        let reply = reply(meta, &message, connection_type);
        return match (meta, &reply.id) {
            (Meta::Disconnect, None) => Incoming::Disconnected,
            _ => Incoming::Reply(reply),
        };
    }
    match message.remove("data") {
        Some(data) => {
            let schema = data.get("schema").and_then(Json::as_str).map(str::to_owned);
            match decode::change(&channel, data) {
                Ok(change) => Incoming::Event(Box::new(change), schema),
                Err(error) => Incoming::Undecodable(error),
            }
        }
        None if channel.starts_with("/meta/") || message.contains_key("successful") => Incoming::Other,
        None => Incoming::Undecodable(DecodeError::new(&channel, None, "the message is neither reply nor event")),
    }
}

fn reply(meta: Meta, message: &Map<String, Json>, connection_type: &str) -> Reply {
    let text = |name: &str| message.get(name).and_then(Json::as_str);
    let id = match message.get("id") {
        Some(Json::String(id)) => Some(id.clone()),
        Some(Json::Number(id)) => Some(id.to_string()),
        _ => None,
    };
    // The inner reason decides, unless it has no code.
    let inner = message.get("ext").and_then(|ext| ext.get("sfdc")?.get("failureReason")?.as_str()).map(Fault::read);
    let reason = || {
        let inner = inner.filter(|fault| *fault != Fault::Other(0));
        inner.unwrap_or_else(|| Fault::read(text("error").unwrap_or_default()))
    };
    let successful = message.get("successful").and_then(Json::as_bool).unwrap_or(false);
    Reply {
        meta,
        id,
        outcome: if successful { Ok(()) } else { Err(reason()) },
        client_id: text("clientId").map(str::to_owned),
        advice: message.get("advice").and_then(Json::as_object).map(|fields| advice(fields, connection_type)),
        subscription: text("subscription").map(str::to_owned),
        connection_types: match message.get("supportedConnectionTypes") {
            Some(Json::Array(types)) => types.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        },
    }
}

fn advice(advice: &Map<String, Json>, connection_type: &str) -> Advice {
    // An object under the transport's own name is more special than what is beside it.
    let special = advice.get(connection_type).and_then(Json::as_object);
    let field = |name: &str| special.and_then(|special| special.get(name)).or_else(|| advice.get(name));
    // Some servers write whole milliseconds as `0.0`; what is negative or no number is no advice.
    let millis = |name: &str| {
        let number = field(name)?.as_f64()?;
        (number >= 0.0).then(|| Duration::from_millis(number.min(MAX_ADVICE_MILLIS) as u64))
    };
    Advice {
        reconnect: match field("reconnect").and_then(Json::as_str) {
            Some("retry") => Some(Reconnect::Retry),
            Some("handshake") => Some(Reconnect::Handshake),
            Some("none") => Some(Reconnect::None),
            _ => None,
        },
        interval: millis("interval"),
        timeout: millis("timeout"),
    }
}

/// The connection type that the platform serves.
pub const LONG_POLLING: &str = "long-polling";
/// Other servers offer it too.
pub const WEBSOCKET: &str = "websocket";

/// An hour. More would switch off the watch over silence.
const MAX_ADVICE_MILLIS: f64 = 3_600_000.0;

pub fn handshake(id: &str, connection_types: &[&str]) -> Json {
    json!({
        "channel": "/meta/handshake",
        "id": id,
        "version": "1.0",
        "minimumVersion": "1.0",
        "supportedConnectionTypes": connection_types,
        "ext": {"replay": true},
    })
}

/// With `at_once` the server answers without holding the request.
pub fn connect(id: &str, client_id: &str, connection_type: &str, at_once: bool) -> Json {
    let mut message = json!({
        "channel": "/meta/connect",
        "id": id,
        "clientId": client_id,
        "connectionType": connection_type,
    });
    if at_once {
        message["advice"] = json!({"timeout": 0});
    }
    message
}

/// With a replay map of exactly this channel: a server refuses one that does not name it.
pub fn subscribe(id: &str, client_id: &str, channel: &Channel, from: &ReplayFrom) -> Json {
    // For a filtered PushTopic the map names the channel without its query.
    let key = channel.as_str().split('?').next().unwrap_or_default();
    json!({
        "channel": "/meta/subscribe",
        "id": id,
        "clientId": client_id,
        "subscription": channel.as_str(),
        "ext": {"replay": {key: replay_number(from)}},
    })
}

pub fn disconnect(id: &str, client_id: &str) -> Json {
    json!({"channel": "/meta/disconnect", "id": id, "clientId": client_id})
}

/// This id can be sent back to the Streaming API: it is the text of an integer, as this module made it. One that came
/// by another transport is not.
pub fn is_replay_number(id: &ReplayId) -> bool {
    let digits = id.0.strip_prefix(b"-").unwrap_or(&id.0);
    (1..=20).contains(&digits.len())
        && digits.iter().all(u8::is_ascii_digit)
        && (digits.len() == 1 || !digits.starts_with(b"0"))
}

fn replay_number(from: &ReplayFrom) -> Json {
    match from {
        ReplayFrom::Tip => json!(-1),
        // The session never asks for an id that is no number; if it did, the earliest loses nothing.
        ReplayFrom::After(id) if is_replay_number(id) => serde_json::from_slice(&id.0).unwrap_or_else(|_| json!(-2)),
        ReplayFrom::Earliest | ReplayFrom::After(_) => json!(-2),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CLIENT: &str = "1abc2def3ghi4jkl5mno6pqr7st";

    fn vectors() -> Vec<Json> {
        let text = include_str!("../../../tests/vectors/cometd_messages.json");
        let json: Json = serde_json::from_str(text).unwrap();
        json["exchanges"].as_array().unwrap().clone()
    }

    fn vector(name: &str) -> Json {
        vectors().into_iter().find(|vector| vector["name"] == name).unwrap()
    }

    fn response(name: &str) -> Vec<Incoming> {
        parse(vector(name)["response"].to_string().as_bytes()).unwrap()
    }

    fn only_reply(name: &str) -> Reply {
        match response(name).pop().unwrap() {
            Incoming::Reply(reply) => reply,
            other => panic!("{name}: {other:?}"),
        }
    }

    #[test]
    fn our_requests_are_the_documented_ones() {
        let channel = |text: &str| text.parse::<Channel>().unwrap();
        let after = |id: &str| ReplayFrom::After(ReplayId(id.into()));
        for (name, ours) in [
            ("handshake", handshake("1", &[LONG_POLLING])),
            ("connect_first", connect("2", CLIENT, LONG_POLLING, true)),
            ("connect_idle", connect("3", CLIENT, LONG_POLLING, false)),
            ("subscribe_tip", subscribe("4", CLIENT, &channel("/data/ChangeEvents"), &ReplayFrom::Tip)),
            ("subscribe_resume", subscribe("5", CLIENT, &channel("/event/Order_Event__e"), &after("2112"))),
            ("subscribe_replay_expired", subscribe("6", CLIENT, &channel("/data/AccountChangeEvent"), &after("82"))),
            ("disconnect", disconnect("9", CLIENT)),
        ] {
            assert_eq!(json!([ours]), vector(name)["request"], "{name}");
        }
    }

    #[test]
    fn the_replay_map_names_a_filtered_topic_without_its_query_and_keeps_every_digit() {
        let from = ReplayFrom::After(ReplayId(b"18446744073709551615".to_vec()));
        let message = subscribe("1", CLIENT, &"/topic/X?Field='v'".parse().unwrap(), &from);
        assert_eq!(message["subscription"], "/topic/X?Field='v'");
        assert_eq!(message["ext"].to_string(), r#"{"replay":{"/topic/X":18446744073709551615}}"#);
        let earliest = subscribe("1", CLIENT, &"/data/X".parse().unwrap(), &ReplayFrom::Earliest);
        assert_eq!(earliest["ext"].to_string(), r#"{"replay":{"/data/X":-2}}"#);
    }

    #[test]
    fn every_reply_of_the_vectors_says_what_it_means() {
        for (name, meta, outcome) in [
            ("handshake", Meta::Handshake, Ok(())),
            ("connect_first", Meta::Connect, Ok(())),
            ("connect_idle", Meta::Connect, Ok(())),
            ("subscribe_tip", Meta::Subscribe, Ok(())),
            ("subscribe_resume", Meta::Subscribe, Ok(())),
            ("subscribe_replay_expired", Meta::Subscribe, Err(Fault::ReplayId)),
            ("subscribe_replay_map_wrong", Meta::Subscribe, Err(Fault::ReplayMap)),
            ("unsubscribe", Meta::Unsubscribe, Ok(())),
            ("disconnect", Meta::Disconnect, Ok(())),
            ("handshake_bad_token", Meta::Handshake, Err(Fault::Authentication)),
            ("handshake_connection_limit", Meta::Handshake, Err(Fault::Connections)),
            ("connect_token_revoked", Meta::Connect, Err(Fault::Authentication)),
            ("connect_unknown_client", Meta::Connect, Err(Fault::UnknownClient)),
            ("connect_server_disconnect", Meta::Connect, Err(Fault::UnknownClient)),
            ("connect_busy", Meta::Connect, Err(Fault::Busy)),
        ] {
            let reply = only_reply(name);
            assert_eq!((reply.meta, reply.outcome), (meta, outcome), "{name}");
            assert!(reply.id.is_some(), "{name}");
        }
        assert_eq!(only_reply("handshake").client_id.as_deref(), Some(CLIENT));
        assert_eq!(only_reply("handshake").connection_types, [LONG_POLLING]);
        assert_eq!(only_reply("handshake").advice, None);
        assert_eq!(response("connect_server_disconnect")[0], Incoming::Disconnected);
        assert_eq!(
            only_reply("connect_first").advice,
            Some(Advice {
                reconnect: Some(Reconnect::Retry),
                interval: Some(Duration::ZERO),
                timeout: Some(Duration::from_secs(110)),
            })
        );
        assert_eq!(only_reply("connect_unknown_client").advice.unwrap().reconnect, Some(Reconnect::Handshake));
        assert_eq!(only_reply("connect_busy").advice.unwrap().reconnect, Some(Reconnect::None));
    }

    #[test]
    fn no_message_of_the_vectors_is_left_without_a_meaning() {
        for vector in vectors() {
            for body in ["request", "response"].into_iter().filter_map(|half| vector.get(half)) {
                let messages = parse(body.to_string().as_bytes()).unwrap();
                assert_eq!(messages.len(), body.as_array().unwrap().len());
                for message in messages {
                    assert!(
                        matches!(message, Incoming::Reply(_) | Incoming::Event(..) | Incoming::Disconnected),
                        "{}: {message:?}",
                        vector["name"]
                    );
                }
            }
        }
    }

    #[test]
    fn a_lone_object_is_a_list_of_one_and_numbers_as_ids_are_taken() {
        let messages = parse(br#"{"channel":"/meta/connect","id":7,"successful":true,"EventType":"x"}"#).unwrap();
        assert!(matches!(&messages[..], [Incoming::Reply(reply)] if reply.id.as_deref() == Some("7")));
    }

    #[test]
    fn advice_for_our_transport_beats_the_advice_beside_it() {
        let body = br#"[{"channel":"/meta/connect","id":"1","successful":true,"advice":{"reconnect":"none",
            "interval":5.0,"timeout":-1,"long-polling":{"reconnect":"retry"}}}]"#;
        let Incoming::Reply(reply) = parse(body).unwrap().remove(0) else { panic!() };
        let interval = Some(Duration::from_millis(5));
        assert_eq!(reply.advice, Some(Advice { reconnect: Some(Reconnect::Retry), interval, timeout: None }));
    }

    #[test]
    fn a_websocket_has_advice_of_its_own() {
        let body = br#"[{"channel":"/meta/connect","id":"1","successful":true,"advice":{"interval":1,
            "long-polling":{"interval":2},"websocket":{"interval":3}}}]"#;
        for (connection_type, millis) in [(LONG_POLLING, 2), (WEBSOCKET, 3)] {
            let Incoming::Reply(reply) = parse_from(body, connection_type).unwrap().remove(0) else { panic!() };
            assert_eq!(reply.advice.unwrap().interval, Some(Duration::from_millis(millis)));
        }
    }

    #[test]
    fn a_reason_without_a_code_does_not_hide_the_error() {
        let body = br#"[{"channel":"/meta/connect","id":"1","successful":false,"error":"403::Unknown client",
            "ext":{"sfdc":{"failureReason":"see the error"}}}]"#;
        let Incoming::Reply(reply) = parse(body).unwrap().remove(0) else { panic!() };
        assert_eq!(reply.outcome, Err(Fault::UnknownClient));
    }

    #[test]
    fn of_an_event_that_cannot_be_read_header_schema_length_and_digest_are_kept() {
        let vector = vector("create");
        let mut message = vector["response"][0].clone();
        message["data"]["payload"]["ChangeEventHeader"]["changeType"] = json!("UPDATE");
        message["data"]["payload"]["ChangeEventHeader"]["changedFields"] = json!("Name");
        let Incoming::Undecodable(error) = parse(message.to_string().as_bytes()).unwrap().remove(0) else { panic!() };
        let evidence = error.evidence.unwrap();
        assert_eq!(evidence.header.unwrap().record_ids.len(), 1);
        assert_eq!(evidence.schema_id.as_deref(), message["data"]["schema"].as_str());
        assert_eq!((evidence.length, evidence.digest.len()), (message["data"].to_string().len() as u64, 64));
    }

    #[test]
    fn an_event_that_cannot_be_read_names_its_channel_and_replay_id() {
        let body = br#"[{"channel":"/data/AccountChangeEvent","data":{"payload":{},"event":{"replayId":9}}}]"#;
        let Incoming::Undecodable(error) = parse(body).unwrap().remove(0) else { panic!() };
        assert_eq!((error.channel.as_str(), error.replay_id), ("/data/AccountChangeEvent", Some(ReplayId("9".into()))));
    }

    fn json() -> impl Strategy<Value = Json> {
        let name = prop_oneof![
            Just("channel".to_owned()),
            Just("data".to_owned()),
            Just("payload".to_owned()),
            Just("event".to_owned()),
            Just("replayId".to_owned()),
            Just("ChangeEventHeader".to_owned()),
            Just("recordIds".to_owned()),
            Just("changedFields".to_owned()),
            Just("ext".to_owned()),
            Just("advice".to_owned()),
            ".{0,6}",
        ];
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<f64>().prop_map(Json::from),
            Just(json!("/meta/connect")),
            Just(json!("/data/ChangeEvents")),
            ".{0,12}".prop_map(Json::from),
        ];
        leaf.prop_recursive(6, 48, 8, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Json::from),
                proptest::collection::btree_map(name.clone(), inner, 0..6)
                    .prop_map(|map| Json::Object(map.into_iter().collect())),
            ]
        })
    }

    /// A message of the vectors in which one place holds something else.
    fn bent() -> impl Strategy<Value = Json> {
        (any::<prop::sample::Index>(), any::<prop::sample::Index>(), json()).prop_map(|(which, place, other)| {
            let vectors = vectors();
            let mut message = which.get(&vectors)["response"].clone();
            let mut places = Vec::new();
            pointers(&message, String::new(), &mut places);
            if let Some(value) = message.pointer_mut(place.get::<String>(&places)) {
                *value = other;
            }
            message
        })
    }

    fn pointers(json: &Json, at: String, out: &mut Vec<String>) {
        match json {
            Json::Object(map) => map.iter().for_each(|(name, value)| pointers(value, format!("{at}/{name}"), out)),
            Json::Array(list) => {
                list.iter().enumerate().for_each(|(i, value)| pointers(value, format!("{at}/{i}"), out))
            }
            _ => {}
        }
        out.push(at);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn arbitrary_json_never_panics_and_no_message_is_swallowed(json in prop_oneof![json(), bent()]) {
            if let Ok(messages) = parse(json.to_string().as_bytes()) {
                prop_assert_eq!(messages.len(), json.as_array().map_or(1, Vec::len));
            }
        }
    }
}
