//! `/composite/batch`: independent requests; each counts as a call.

use serde_json::{Value as Json, json};

use super::{OPERATIONS, body_of, run};
use crate::rest::{Context, Request, limits};
use crate::wire::Answer;

pub(super) fn handle(context: &mut Context, request: &Request) -> Result<Answer, Answer> {
    let body = request.body()?;
    let Some(list) = body.get("batchRequests").and_then(Json::as_array) else {
        let message = "The request is missing the required parameter batchRequests";
        return Err(Answer::error(400, "INVALID_INPUT", message));
    };
    if list.len() > OPERATIONS {
        let message = format!("The request can’t contain more than {OPERATIONS} operations.");
        return Err(Answer::error(400, "LIMIT_EXCEEDED", &message));
    }
    let halts = body.get("haltOnError").and_then(Json::as_bool).unwrap_or(false);
    let mut failed = false;
    let mut results = Vec::with_capacity(list.len());
    for (place, item) in list.iter().enumerate() {
        let answer = match failed && halts {
            true => {
                let message = "The batch was halted because an earlier request failed and haltOnError is true.";
                Answer::error(412, "BATCH_PROCESSING_HALTED", message)
            }
            // The first one is the call that brought the batch.
            false if place > 0 && !counted(context) => limits::exceeded(),
            false => one(context, request, item),
        };
        failed |= answer.status >= 400;
        results.push(json!({"statusCode": answer.status, "result": body_of(&answer)}));
    }
    Ok(Answer::json(200, &json!({"hasErrors": failed, "results": results})))
}

/// Counts one more call, unless there is none left.
fn counted(context: &Context) -> bool {
    if context.host.usage().spent(context.now) {
        return false;
    }
    context.host.count("batched", true);
    true
}

fn one(context: &mut Context, request: &Request, item: &Json) -> Answer {
    let text = |key: &str| item.get(key).and_then(Json::as_str);
    let (Some(method), Some(url)) = (text("method"), text("url")) else {
        return Answer::error(400, "INVALID_INPUT", "A batched request needs a method and a url");
    };
    // `v66.0/…`, or as a request of its own would have it.
    let path = url.trim_start_matches('/');
    let url = if path.starts_with("services/") { format!("/{path}") } else { format!("/services/data/{path}") };
    run(context, request, method, &url, item.get("richInput").cloned().unwrap_or_default(), None)
}
