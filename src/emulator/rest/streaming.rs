//! Pushing to a generic streaming channel.

use serde_json::{Value as Json, json};

use super::{Context, Request, not_allowed, not_found};
use crate::org::Id;
use crate::wire::Answer;

/// `POST /sobjects/StreamingChannel/<id>/push` with `{"pushEvents": [{"payload": "text", "userIds": []}]}`; one element
/// of the answer for each.
pub(super) fn push(context: &mut Context, request: &Request, id: &str) -> Result<Answer, Answer> {
    if request.call.method != "POST" {
        return Err(not_allowed(&request.call, "POST"));
    }
    let id = Id::parse(id).ok_or_else(not_found)?;
    let body = request.body()?;
    let events = body.get("pushEvents").and_then(Json::as_array);
    let events = events.ok_or_else(|| Answer::error(400, "JSON_PARSER_ERROR", "pushEvents: a list is expected"))?;
    let mut results = Vec::with_capacity(events.len());
    for event in events {
        let payload = event.get("payload").and_then(Json::as_str);
        let payload =
            payload.ok_or_else(|| Answer::error(400, "JSON_PARSER_ERROR", "pushEvents: each has a payload, a text"))?;
        context.org.push(&id, payload, context.now).ok_or_else(not_found)?;
        // -1: sent to whoever listens, and nobody has counted them.
        results.push(json!({"fanoutCount": -1, "userOnlineStatus": {}}));
    }
    Ok(Answer::json(200, &Json::Array(results)))
}
