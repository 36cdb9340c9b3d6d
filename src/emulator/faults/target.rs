//! A request as the matcher of a rule sees it.

use serde_json::{Map, Value as Json};

use super::records::Where;
use crate::rest;
use crate::wire::Call;

/// What a rule is held against.
#[derive(Debug, Clone)]
pub struct Target<'a> {
    pub method: &'a str,
    /// Decoded, without the query and without a slash at the end.
    pub path: String,
    /// A method of the Pub/Sub API.
    pub rpc: Option<&'a str>,
    /// Of the Bayeux messages in the body.
    pub channels: Vec<String>,
    pub data: Option<Work>,
    /// None where no request names records.
    pub call: Option<&'a Call>,
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
        Self {
            method: call.method.as_str(),
            path: format!("/{}", path.join("/")),
            rpc: None,
            channels,
            data,
            call: Some(call),
        }
    }

    /// Rows of a Bulk API job, which no request waits for.
    pub fn ingest() -> Self {
        let path = "/services/data/jobs/ingest".to_owned();
        Self { method: "PATCH", path, rpc: None, channels: Vec::new(), data: Some(Work::Write), call: None }
    }

    /// A call of the Pub/Sub API: `Subscribe`, `Publish`, `GetSchema`, …
    pub fn rpc(name: &'a str) -> Self {
        let path = format!("/eventbus.v1.PubSub/{name}");
        Self { method: "POST", path, rpc: Some(name), channels: Vec::new(), data: None, call: None }
    }

    /// Whether a record of the request, as it was sent, is meant.
    pub fn names(&self, records: &Where) -> bool {
        let Some(call) = self.call else { return false };
        let ids = call.parameter("ids").into_iter().flat_map(|ids| ids.split(','));
        let last = call.segments.last().map(String::as_str);
        if ids.chain(last).any(|id| records.fits(&Map::new(), Some(id))) {
            return true;
        }
        let sent: Json = serde_json::from_slice(&call.body).unwrap_or_default();
        match sent.get("records").and_then(Json::as_array) {
            Some(list) => list.iter().filter_map(Json::as_object).any(|record| records.fits(record, None)),
            None => sent.as_object().is_some_and(|record| records.fits(record, None)),
        }
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
