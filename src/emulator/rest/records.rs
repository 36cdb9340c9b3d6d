//! One record at a time: create, read, update, delete, and upsert by an External ID (rest.md sections 4 and 5).

use serde_json::{Value as Json, json};

use super::{Context, Request, conditions, describe, not_allowed, not_found, related, replication};
use crate::org::time::SECOND;
use crate::org::{FieldIndex, Id, Kind, ObjectIndex, Options, SaveError, Saved, Write, key_form};
use crate::wire::Answer;

pub(super) fn handle(context: &mut Context, request: &Request, object: &str, rest: &[&str]) -> Result<Answer, Answer> {
    let object = context.object(request, object)?;
    let method = request.call.method.as_str();
    match (rest, method) {
        ([], "POST") => create(context, request, object),
        ([], "GET" | "HEAD") => describe::basic(context, request, object),
        ([], _) => Err(not_allowed(&request.call, "HEAD,GET,POST")),
        (["describe"], _) => describe::full(context, request, object),
        (["updated"], _) => replication::updated(context, request, object),
        (["deleted"], _) => replication::deleted(context, request, object),
        ([word], "POST") if word.eq_ignore_ascii_case("id") => create(context, request, object),
        ([id], _) => {
            let id = record_id(context, object, id)?;
            one(context, request, object, &id, method)
        }
        ([field, value], _) => by_key(context, request, object, field, value, method),
        _ => Err(not_found()),
    }
}

fn one(context: &mut Context, request: &Request, object: ObjectIndex, id: &Id, method: &str) -> Result<Answer, Answer> {
    if let ("PATCH", Some(row)) = (method, context.row(request, object, id))
        && let Some(refused) = conditions::on_write(&request.call, context.org.schema.object(object), row)
    {
        return Err(refused);
    }
    match method {
        "GET" | "HEAD" => read(context, request, object, id),
        "PATCH" => {
            let fields = request.record()?;
            if fields.keys().any(|name| name.eq_ignore_ascii_case("id")) {
                return Err(Answer::refused(&SaveError::id_in_body()));
            }
            transact(context, request, Write::Update { object, id: id.clone(), fields }).map(|_| Answer::empty(204))
        }
        "DELETE" => transact(context, request, Write::Delete { id: id.clone() }).map(|_| Answer::empty(204)),
        _ => Err(not_allowed(&request.call, "HEAD,GET,PATCH,DELETE")),
    }
}

fn by_key(
    context: &mut Context,
    request: &Request,
    object: ObjectIndex,
    field: &str,
    value: &str,
    method: &str,
) -> Result<Answer, Answer> {
    if field.eq_ignore_ascii_case("id") {
        let id = record_id(context, object, value)?;
        return one(context, request, object, &id, method);
    }
    let definition = context.org.schema.object(object);
    if let Some(id) = Id::parse(field).filter(|id| id.has_prefix(&definition.prefix)) {
        return related::handle(context, request, object, &id, value);
    }
    let key = context.field(request, object, field).filter(|index| definition.field(*index).lookup_key);
    let key = key.ok_or_else(not_found)?;
    let field = definition.field(key);
    let value = match &field.kind {
        Kind::Number(..) | Kind::Int(_) => value.parse().map_or_else(|_| json!(value), Json::Number),
        _ => json!(value),
    };
    let found = key_form(field, &value).map(|form| context.org.table(object).by_key(key, &form)).unwrap_or_default();
    if let [_, _, ..] = found.as_slice() {
        let urls: Vec<String> = found.iter().map(|id| request.url(&definition.name, id.as_str())).collect();
        return Ok(Answer::json(300, &json!(urls)));
    }
    if method == "PATCH" {
        let row = found.first().and_then(|id| context.row(request, object, id));
        if let Some(refused) = row.and_then(|row| conditions::on_write(&request.call, definition, row)) {
            return Err(refused);
        }
        let name = field.name.clone();
        return upsert(context, request, object, (key, &name), value, found.is_empty());
    }
    match found.first() {
        Some(id) => one(context, request, object, id, method),
        None => Err(not_found()),
    }
}

fn create(context: &mut Context, request: &Request, object: ObjectIndex) -> Result<Answer, Answer> {
    let saved = transact(context, request, Write::Create { object, fields: request.record()? })?;
    Ok(created(context, request, object, &saved, json!({"id": saved.id.as_str(), "success": true, "errors": []})))
}

fn created(context: &Context, request: &Request, object: ObjectIndex, saved: &Saved, body: Json) -> Answer {
    let location = request.url(&context.org.schema.object(object).name, saved.id.as_str());
    Answer::json(201, &body).with("location", location)
}

fn upsert(
    context: &mut Context,
    request: &Request,
    object: ObjectIndex,
    (key, name): (FieldIndex, &str),
    value: Json,
    new: bool,
) -> Result<Answer, Answer> {
    let mut fields = request.record()?;
    if fields.keys().any(|given| given.eq_ignore_ascii_case(name)) {
        let message = format!("The {name} field should not be specified in the sobject data.");
        return Err(Answer::refused(&SaveError::new("INVALID_FIELD", message)));
    }
    if new && request.call.parameter("updateOnly") == Some("true") {
        return Err(not_found());
    }
    fields.insert(name.to_owned(), value);
    let saved = transact(context, request, Write::Upsert { object, key, fields })?;
    let body = json!({"id": saved.id.as_str(), "success": true, "errors": [], "created": saved.created});
    Ok(match saved.created {
        true => created(context, request, object, &saved, body),
        // Up to version 45 an update by upsert had no body.
        false if request.version < 46 => Answer::empty(204),
        false => Answer::json(200, &body),
    })
}

pub(super) fn read(context: &Context, request: &Request, object: ObjectIndex, id: &Id) -> Result<Answer, Answer> {
    let Some(row) = context.row(request, object, id) else { return Err(not_found()) };
    let definition = context.org.schema.object(object);
    if let Some(answer) = conditions::on_read(&request.call, definition, row) {
        return Ok(answer);
    }
    let fields = match request.call.parameter("fields") {
        Some(names) => context.fields(request, object, &names.split(',').collect::<Vec<_>>())?,
        None => context.all_fields(request, object),
    };
    let mut shown = request.show(definition, row, &fields);
    shown.insert("Id".into(), json!(row.id.as_str())); // there, asked for or not
    let answer = conditions::dated(Answer::json(200, &Json::Object(shown)), row.modified * SECOND);
    Ok(match conditions::etag(definition, row) {
        Some(tag) => answer.with("etag", tag),
        None => answer,
    })
}

fn record_id(context: &Context, object: ObjectIndex, text: &str) -> Result<Id, Answer> {
    let definition = context.org.schema.object(object);
    let wrong = || Answer::refused(&SaveError::wrong_type_of_id(&format!("{} ID", definition.name), text).on("Id"));
    Id::parse(text).filter(|id| id.has_prefix(&definition.prefix)).ok_or_else(wrong)
}

/// A write of one record; an id that the org does not know is 404 here, unlike in collections.
fn transact(context: &mut Context, request: &Request, write: Write) -> Result<Saved, Answer> {
    let own = match &write {
        Write::Update { id, .. } | Write::Delete { id } => Some(id.clone()),
        _ => None,
    };
    let (writes, locked) = context.host.strike_records(&request.call, vec![Ok(write)]);
    let options = Options { locked, ..Options::default() };
    let caller = request.caller(context.host, false);
    let result = match context.write(&caller, writes, &options) {
        Ok(mut results) => results.pop().unwrap_or_else(|| Err(SaveError::unknown_id())),
        Err(error) => Err(error),
    };
    result.map_err(|error| match own {
        Some(id) if error.code == "INVALID_CROSS_REFERENCE_KEY" && error.fields.is_empty() => {
            let message = format!("Provided external ID field does not exist or is not accessible: {id}");
            Answer::error(404, "NOT_FOUND", &message)
        }
        _ => {
            // The body is the record itself, and not the first one of a list.
            let path = error.path.get(1..).unwrap_or_default().into();
            Answer::refused(&request.placed(SaveError { path, ..error }, &[]))
        }
    })
}
