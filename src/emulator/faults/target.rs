//! A request as the matcher of a rule sees it.

use serde_json::Value as Json;

use crate::rest;
use crate::wire::Call;

/// What a rule is held against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target<'a> {
    pub method: &'a str,
    /// Decoded, without the query and without a slash at the end.
    pub path: String,
    /// A method of the Pub/Sub API.
    pub rpc: Option<&'a str>,
    /// Of the Bayeux messages in the body.
    pub channels: Vec<String>,
    pub data: Option<Work>,
}

/// What a request of the data API (REST, Bulk, Apex REST) does with records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    Read,
    Write,
}

impl<'a> Target<'a> {
    pub fn of(call: &'a Call) -> Self {
        let path = call.path();
        let data = match path.as_slice() {
            ["services", "data" | "apexrest", ..] if rest::is_write(call) => Some(Work::Write),
            ["services", "data" | "apexrest", ..] => Some(Work::Read),
            _ => None,
        };
        let channels = if path.first() == Some(&"cometd") { channels(&call.body) } else { Vec::new() };
        Self { method: call.method.as_str(), path: format!("/{}", path.join("/")), rpc: None, channels, data }
    }

    /// Rows of a Bulk API job, which no request waits for.
    pub fn ingest() -> Self {
        let path = "/services/data/jobs/ingest".to_owned();
        Self { method: "PATCH", path, rpc: None, channels: Vec::new(), data: Some(Work::Write) }
    }

    /// A call of the Pub/Sub API: `Subscribe`, `Publish`, `GetSchema`, …
    pub fn rpc(name: &'a str) -> Self {
        let path = format!("/eventbus.v1.PubSub/{name}");
        Self { method: "POST", path, rpc: Some(name), channels: Vec::new(), data: None }
    }
}

fn channels(body: &[u8]) -> Vec<String> {
    let channel = |message: &Json| message.get("channel").and_then(Json::as_str).map(str::to_owned);
    match serde_json::from_slice(body) {
        Ok(Json::Array(batch)) => batch.iter().filter_map(channel).collect(),
        Ok(message) => channel(&message).into_iter().collect(),
        Err(_) => Vec::new(),
    }
}
