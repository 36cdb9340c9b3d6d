//! Platform events over REST: publishing, and the schemas of all events (rest.md section 11).
//!
//! An event is published at once and for good: nothing takes it back, and no request reads, changes or deletes it.

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::collections::Writes;
use super::{Context, Request, not_allowed, not_found};
use crate::org::{EventSchema, ObjectIndex, ObjectKind, Published, SaveError, Write};
use crate::wire::Answer;

/// Whether a path under `/sobjects` is about events, and not about records or a describe.
pub(super) fn concerns(context: &Context, request: &Request, object: &str, rest: &[&str]) -> bool {
    let is_event = || context.org.schema.find(object).is_some_and(|(_, object)| object.kind == ObjectKind::Event);
    match rest {
        [] => request.call.method == "POST" && is_event(),
        [word] if word.eq_ignore_ascii_case("eventSchema") => true,
        ["describe" | "updated" | "deleted"] => false,
        [_, ..] => is_event(),
    }
}

pub(super) fn handle(context: &mut Context, request: &Request, name: &str, rest: &[&str]) -> Result<Answer, Answer> {
    match rest {
        [] => publish(context, request, name),
        [word] if word.eq_ignore_ascii_case("eventSchema") => {
            let found = context.org.schema.entity(name).and_then(|(index, _)| context.org.schema_of(index));
            schema(context, request, found)
        }
        _ => Err(not_allowed(&request.call, "POST")),
    }
}

/// `/event/eventSchema/<schemaId>`.
pub(super) fn by_id(context: &Context, request: &Request, id: &str) -> Result<Answer, Answer> {
    schema(context, request, context.org.schema_by_id(id))
}

fn schema(context: &Context, request: &Request, found: Option<&Arc<EventSchema>>) -> Result<Answer, Answer> {
    let found = found.ok_or_else(not_found)?;
    if !matches!(request.call.method.as_str(), "GET" | "HEAD") {
        return Err(not_allowed(&request.call, "HEAD,GET"));
    }
    let definition = context.org.schema.object(found.object);
    let has_events = definition.change_events || definition.kind == ObjectKind::Event;
    if !has_events || !context.org.can_see_object(&request.user, found.object) {
        return Err(not_found());
    }
    let record = found.json.clone();
    let mut shown = match request.call.parameter("payloadFormat") {
        Some(format) if format.eq_ignore_ascii_case("COMPACT") => record,
        None => expanded(record),
        Some(format) if format.eq_ignore_ascii_case("EXPANDED") => expanded(record),
        Some(other) => {
            let message = format!("Invalid value for the parameter payloadFormat: {other}");
            return Err(Answer::error(400, "INVALID_PARAMETER_VALUE", &message));
        }
    };
    if let Some(shown) = shown.as_object_mut() {
        shown.insert("uuid".into(), json!(found.id));
    }
    Ok(Answer::json(200, &shown))
}

/// The record within the message that the Streaming API delivers.
fn expanded(mut record: Json) -> Json {
    let (mut name, mut namespace) = (Json::Null, Json::Null);
    if let Some(record) = record.as_object_mut() {
        name = record.insert("name".into(), json!("Payload")).unwrap_or_default();
        namespace = record.remove("namespace").unwrap_or_default();
    }
    let event = json!({"type": "record", "name": "Event", "fields": [{"name": "replayId", "type": "long"}]});
    let fields = json!([{"name": "schema", "type": "string"}, {"name": "payload", "type": record}, {"name": "event", "type": event}]);
    let data = json!({"type": "record", "name": "Data", "namespace": "", "fields": fields});
    json!({"name": name, "namespace": namespace, "type": "expanded-record",
        "fields": [{"name": "data", "type": data}, {"name": "channel", "type": "string"}]})
}

fn publish(context: &mut Context, request: &Request, name: &str) -> Result<Answer, Answer> {
    let object = context.object(request, name)?;
    let fields = request.record()?;
    let caller = request.caller(context.host, false);
    let published = context.org.publish_event(&caller, object, &fields, context.now);
    let published = published.map_err(|error| Answer::refused(&request.placed(error, &[])))?;
    let location = request.url(&context.org.schema.object(object).name, published.id.as_str());
    Ok(Answer::json(201, &enqueued(&published)).with("location", location))
}

/// It is a success that has something in `errors`.
fn enqueued(published: &Published) -> Json {
    let error = json!({"statusCode": "OPERATION_ENQUEUED", "message": published.uuid, "fields": []});
    json!({"id": published.id.as_str(), "success": true, "errors": [error]})
}

/// An event of a collection: what it is, and its fields.
pub(super) type Event = (ObjectIndex, Map<String, Json>);

/// Takes the events out of the creates of a collection: in place of each stands `Err` with it.
pub(super) fn apart(context: &Context, writes: Writes) -> Vec<Result<Result<Write, SaveError>, Event>> {
    let is_event = |object| context.org.schema.object(object).kind == ObjectKind::Event;
    let judge = |write| match write {
        Ok(Write::Create { object, fields }) if is_event(object) => Err((object, fields)),
        other => Ok(other),
    };
    writes.into_iter().map(judge).collect()
}

/// # Errors
/// When an event is malformed and that fails the whole request.
pub(super) fn check_all<'a>(
    context: &Context,
    request: &Request,
    mut events: impl Iterator<Item = (usize, &'a Event)>,
) -> Result<(), Answer> {
    if !context.host.switches().malformed_fails_request {
        return Ok(());
    }
    let caller = request.caller(context.host, true);
    events.try_for_each(|(place, (object, fields))| {
        let error = context.org.check_event(&caller, *object, fields).err().filter(|error| error.malformed);
        error.map_or(Ok(()), |error| Err(Answer::refused(&request.placed(error, &["records", &place.to_string()]))))
    })
}

/// Publishes one event of a collection: its element of the answer.
pub(super) fn publish_one(context: &mut Context, request: &Request, (object, fields): &Event) -> Json {
    let caller = request.caller(context.host, true);
    match context.org.publish_event(&caller, *object, fields, context.now) {
        Ok(published) => enqueued(&published),
        Err(error) => json!({"success": false, "errors": super::item_errors(&error)}),
    }
}
