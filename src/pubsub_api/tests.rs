//! Every message against its encoding by another program.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use prost::Message;
use serde_json::Value as Json;

use super::*;

/// What a vector's JSON says, as the message that it stands for.
trait FromJson: Message + Default + PartialEq + std::fmt::Debug {
    fn from_json(json: &Json) -> Self;
}

fn text(json: &Json, key: &str) -> String {
    json.get(key).map(|value| value.as_str().unwrap().to_owned()).unwrap_or_default()
}

fn bytes(json: &Json, key: &str) -> Bytes {
    BASE64.decode(text(json, key)).unwrap().into()
}

fn number(json: &Json, key: &str) -> i32 {
    json.get(key).map(|value| value.as_i64().unwrap().try_into().unwrap()).unwrap_or_default()
}

fn flag(json: &Json, key: &str) -> bool {
    json.get(key).is_some_and(|value| value.as_bool().unwrap())
}

fn list<T: FromJson>(json: &Json, key: &str) -> Vec<T> {
    json.get(key).map(|list| list.as_array().unwrap().iter().map(T::from_json).collect()).unwrap_or_default()
}

fn inner<T: FromJson>(json: &Json, key: &str) -> Option<T> {
    json.get(key).map(T::from_json)
}

macro_rules! from_json {
    ($($message:ident { $($field:ident: $read:expr),* $(,)? })*) => {
        $(impl FromJson for $message {
            fn from_json(json: &Json) -> Self {
                Self { $($field: $read(json, stringify!($field))),* }
            }
        })*
    };
}

from_json! {
    TopicRequest { topic_name: text }
    TopicInfo {
        topic_name: text, tenant_guid: text, can_publish: flag, can_subscribe: flag, schema_id: text, rpc_id: text,
    }
    SchemaRequest { schema_id: text }
    EventHeader { key: text, value: bytes }
    ProducerEvent { id: text, schema_id: text, payload: bytes, headers: list }
    ConsumerEvent { event: inner, replay_id: bytes }
    FetchRequest { topic_name: text, replay_preset: preset, replay_id: bytes, num_requested: number, auth_refresh: text }
    FetchResponse { events: list, latest_replay_id: bytes, rpc_id: text, pending_num_requested: number }
    PublishRequest { topic_name: text, events: list, auth_refresh: text }
    PublishResult { replay_id: bytes, error: inner, correlation_key: text }
    PublishResponse { results: list, schema_id: text, rpc_id: text }
    Error { code: code, msg: text }
    ManagedFetchRequest {
        subscription_id: text, developer_name: text, num_requested: number, auth_refresh: text,
        commit_replay_id_request: inner,
    }
    ManagedFetchResponse {
        events: list, latest_replay_id: bytes, rpc_id: text, pending_num_requested: number, commit_response: inner,
    }
    CommitReplayRequest { commit_request_id: text, replay_id: bytes }
    CommitReplayResponse { commit_request_id: text, replay_id: bytes, error: inner, process_time: long }
}

fn preset(json: &Json, key: &str) -> i32 {
    ReplayPreset::from_str_name(&text(json, key)).unwrap_or_default().into()
}

fn code(json: &Json, key: &str) -> i32 {
    ErrorCode::from_str_name(&text(json, key)).unwrap_or_default().into()
}

fn long(json: &Json, key: &str) -> i64 {
    json.get(key).map(|value| value.as_str().unwrap().parse().unwrap()).unwrap_or_default()
}

fn check<T: FromJson>(vector: &Json) {
    let (name, hex) = (&vector["name"], vector["hex"].as_str().unwrap());
    let encoded: Vec<u8> =
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
    let message = T::from_json(&vector["json"]);
    assert_ne!(message, T::default(), "{name}: nothing was read");
    assert_eq!(message.encode_to_vec(), encoded, "{name}");
    assert_eq!(T::decode(&*encoded).unwrap(), message, "{name}");
}

#[test]
fn every_message_is_encoded_and_decoded_as_another_program_does_it() {
    let file: Json = serde_json::from_str(include_str!("../../tests/vectors/protobuf_messages.json")).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    for vector in vectors {
        match vector["message"].as_str().unwrap().strip_prefix("eventbus.v1.").unwrap() {
            "FetchRequest" => check::<FetchRequest>(vector),
            "FetchResponse" => check::<FetchResponse>(vector),
            "TopicRequest" => check::<TopicRequest>(vector),
            "TopicInfo" => check::<TopicInfo>(vector),
            "SchemaRequest" => check::<SchemaRequest>(vector),
            "PublishRequest" => check::<PublishRequest>(vector),
            "PublishResponse" => check::<PublishResponse>(vector),
            "ManagedFetchRequest" => check::<ManagedFetchRequest>(vector),
            "ManagedFetchResponse" => check::<ManagedFetchResponse>(vector),
            other => panic!("no test reads {other}"),
        }
    }
    assert_eq!(vectors.len(), 15);
}

#[test]
fn the_methods_have_the_paths_of_the_definition() {
    let file: Json = serde_json::from_str(include_str!("../../tests/vectors/protobuf_messages.json")).unwrap();
    let generated = include_str!("eventbus.rs");
    for path in file["grpc_paths"].as_object().unwrap().values() {
        let path = format!("{:?}", path.as_str().unwrap());
        assert_eq!(generated.matches(&path).count(), 2, "{path}: of the client and of the server");
    }
}
