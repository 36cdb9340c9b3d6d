//! Invocable actions: the flows and Apex methods of the org, called by name (rest.md section 12).

use serde_json::{Map, Value as Json, json};

use super::{Context, Request, not_allowed, not_found};
use crate::org::{Action, ActionKind, SaveError};
use crate::wire::Answer;

const LIMIT: usize = 200;

pub(super) fn handle(context: &mut Context, request: &Request, rest: &[&str]) -> Result<Answer, Answer> {
    let get = |answer: Answer| match request.call.method.as_str() {
        "GET" | "HEAD" => Ok(answer),
        _ => Err(not_allowed(&request.call, "HEAD,GET")),
    };
    let path = |tail: &str| format!("/services/data/v{}.0/actions{tail}", request.version);
    match rest {
        [] => get(Answer::json(200, &json!({"custom": path("/custom"), "standard": path("/standard")}))),
        ["standard"] => get(Answer::json(200, &json!({"actions": []}))),
        ["custom"] => get(Answer::json(200, &json!({"apex": path("/custom/apex"), "flow": path("/custom/flow")}))),
        ["custom", kind] => get(list(context, request, kind_of(kind)?)),
        ["custom", kind, name] => {
            let action = context.org.action(kind_of(kind)?, name).cloned().ok_or_else(not_found)?;
            match request.call.method.as_str() {
                "GET" | "HEAD" => Ok(describe(&action)),
                "POST" => call(context, request, &action),
                _ => Err(not_allowed(&request.call, "HEAD,GET,POST")),
            }
        }
        _ => Err(not_found()),
    }
}

fn kind_of(segment: &str) -> Result<ActionKind, Answer> {
    [ActionKind::Flow, ActionKind::Apex].into_iter().find(|kind| kind.name() == segment).ok_or_else(not_found)
}

fn type_of(kind: ActionKind) -> &'static str {
    match kind {
        ActionKind::Flow => "FLOW",
        ActionKind::Apex => "APEX",
    }
}

fn list(context: &Context, request: &Request, kind: ActionKind) -> Answer {
    let show = |action: &Action| {
        let url = format!("/services/data/v{}.0/actions/custom/{}/{}", request.version, kind.name(), action.name);
        json!({"label": action.label, "name": action.name, "type": type_of(kind), "url": url})
    };
    let actions: Vec<Json> = context.org.actions.iter().filter(|action| action.kind == kind).map(show).collect();
    Answer::json(200, &json!({"actions": actions}))
}

fn describe(action: &Action) -> Answer {
    let parameter = |name: &str, kind: &str| {
        json!({"byteLength": 0, "description": null, "label": name, "maxOccurs": 1, "name": name,
            "picklistValues": null, "type": kind.to_uppercase()})
    };
    let inputs = action.inputs.iter().map(|(name, input)| {
        let mut shown = parameter(name, &input.kind);
        if let Some(shown) = shown.as_object_mut() {
            shown.insert("required".into(), json!(input.required));
        }
        shown
    });
    let outputs = action.outputs.iter().map(|(name, value)| {
        let kind = match value {
            Json::Bool(_) => "boolean",
            Json::Number(_) => "double",
            _ => "string",
        };
        parameter(name, kind)
    });
    let of_flows = (action.kind == ActionKind::Flow)
        .then(|| [parameter("Flow__InterviewGuid", "string"), parameter("Flow__InterviewStatus", "string")]);
    let outputs: Vec<Json> = outputs.chain(of_flows.into_iter().flatten()).collect();
    Answer::json(
        200,
        &json!({"description": null, "inputs": inputs.collect::<Vec<_>>(), "label": action.label, "name": action.name,
            "outputs": outputs, "standard": false, "targetEntityName": null, "type": type_of(action.kind)}),
    )
}

fn call(context: &mut Context, request: &Request, action: &Action) -> Result<Answer, Answer> {
    let body = request.body()?;
    let Some(inputs) = body.get("inputs").and_then(Json::as_array) else {
        return Err(Answer::refused(&SaveError::wrong_json("list", &Json::Null)));
    };
    if inputs.len() > LIMIT {
        let message = format!("The number of inputs is greater than the limit of {LIMIT}");
        return Err(Answer::error(400, "LIMIT_EXCEEDED", &message));
    }
    let map = |input| Json::as_object(input).ok_or_else(|| Answer::refused(&SaveError::wrong_json("map", input)));
    let inputs = inputs.iter().map(map).collect::<Result<Vec<&Map<String, Json>>, Answer>>()?;
    let (mut failed, mut results) = (0, Vec::with_capacity(inputs.len()));
    for input in &inputs {
        let result = context.org.call_action(&request.user, action, input, context.now);
        failed += usize::from(result.is_err());
        results.push(element(action, result));
    }
    let refused = failed > 0 && failed == inputs.len() && context.host.switches().failed_actions_are_400;
    Ok(Answer::json(if refused { 400 } else { 200 }, &Json::Array(results)))
}

fn element(action: &Action, result: Result<Map<String, Json>, SaveError>) -> Json {
    let (errors, outputs) = match result {
        Ok(outputs) => (Json::Null, Json::Object(outputs)),
        Err(error) => (super::item_errors(&error), Json::Null),
    };
    let success = errors.is_null();
    let mut element = json!({"actionName": action.name, "errors": errors, "invocationId": null, "isSuccess": success,
        "outcome": null, "outputValues": outputs, "sortOrder": -1});
    if let (ActionKind::Flow, Some(element)) = (action.kind, element.as_object_mut()) {
        element.insert("version".into(), json!(1));
    }
    element
}
