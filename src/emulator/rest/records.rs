//! One record at a time: create, read, update, delete, and upsert by an External ID (rest.md sections 4 and 5).

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value as Json, json};

use super::{Request, not_allowed, not_found, parse_fields};
use crate::emulator::host::Host;
use crate::emulator::org::{FieldIndex, Id, ObjectIndex, Options, SaveError, Saved, Write};
use crate::emulator::wire::Answer;

pub(super) fn handle(host: &Host, request: &Request, object: &str, rest: &[&str]) -> Result<Answer, Answer> {
    let object = host.org().schema.find(object).map(|(index, _)| index).ok_or_else(not_found)?;
    let method = request.call.method.as_str();
    match (rest, method) {
        ([], "POST") => create(host, request, object),
        ([], _) => Err(not_allowed(&request.call, "HEAD,GET,POST")),
        ([word], "POST") if word.eq_ignore_ascii_case("id") => create(host, request, object),
        ([id], _) => {
            let id = record_id(host, object, id)?;
            one(host, request, object, &id, method)
        }
        ([field, value], _) => by_key(host, request, object, field, value, method),
        _ => Err(not_found()),
    }
}

fn one(host: &Host, request: &Request, object: ObjectIndex, id: &Id, method: &str) -> Result<Answer, Answer> {
    match method {
        "GET" | "HEAD" => read(host, request, object, id),
        "PATCH" => {
            let fields = fields(request)?;
            let write = Write::Update { object, id: id.clone(), fields };
            if let Write::Update { fields, .. } = &write
                && fields.keys().any(|name| name.eq_ignore_ascii_case("id"))
            {
                return Err(Answer::refused(&SaveError::id_in_body()));
            }
            transact(host, request, write).map(|_| Answer::empty(204))
        }
        "DELETE" => transact(host, request, Write::Delete { id: id.clone() }).map(|_| Answer::empty(204)),
        _ => Err(not_allowed(&request.call, "HEAD,GET,PATCH,DELETE")),
    }
}

fn by_key(
    host: &Host,
    request: &Request,
    object: ObjectIndex,
    field: &str,
    value: &str,
    method: &str,
) -> Result<Answer, Answer> {
    let (key, name, object_name) = {
        let org = host.org();
        let definition = org.schema.object(object);
        let (key, field) = definition.find(field).filter(|(_, field)| field.lookup_key).ok_or_else(not_found)?;
        (key, field.name.clone(), definition.name.clone())
    };
    let found = host.org().table(object).by_key(key, value);
    if let [_, _, ..] = found.as_slice() {
        let urls: Vec<String> = found.iter().map(|id| request.url(&object_name, id.as_str())).collect();
        return Ok(Answer::json(300, &json!(urls)));
    }
    if method == "PATCH" {
        return upsert(host, request, object, (key, &name), value);
    }
    match found.first() {
        Some(id) => one(host, request, object, id, method),
        None => Err(not_found()),
    }
}

fn create(host: &Host, request: &Request, object: ObjectIndex) -> Result<Answer, Answer> {
    let saved = transact(host, request, Write::Create { object, fields: fields(request)? })?;
    Ok(created(host, request, object, &saved, json!({"id": saved.id.as_str(), "success": true, "errors": []})))
}

fn created(host: &Host, request: &Request, object: ObjectIndex, saved: &Saved, body: Json) -> Answer {
    let location = request.url(&host.org().schema.object(object).name, saved.id.as_str());
    Answer::json(201, &body).with("location", location)
}

fn upsert(
    host: &Host,
    request: &Request,
    object: ObjectIndex,
    (key, name): (FieldIndex, &str),
    value: &str,
) -> Result<Answer, Answer> {
    let mut fields = fields(request)?;
    if fields.keys().any(|given| given.eq_ignore_ascii_case(name)) {
        let message = format!("The {name} field should not be specified in the sobject data.");
        return Err(Answer::refused(&SaveError::new("INVALID_FIELD", message)));
    }
    fields.insert(name.to_owned(), Json::String(value.to_owned()));
    let saved = transact(host, request, Write::Upsert { object, key, fields })?;
    let body = json!({"id": saved.id.as_str(), "success": true, "errors": [], "created": saved.created});
    Ok(match saved.created {
        true => created(host, request, object, &saved, body),
        // Up to version 45 an update by upsert had no body.
        false if request.version < 46 => Answer::empty(204),
        false => Answer::json(200, &body),
    })
}

fn read(host: &Host, request: &Request, object: ObjectIndex, id: &Id) -> Result<Answer, Answer> {
    let org = host.org();
    let definition = org.schema.object(object);
    let Some(row) = org.table(object).live_row(id) else { return Err(not_found()) };
    let fields = match request.call.parameter("fields") {
        Some(names) => parse_fields(definition, &names.split(',').collect::<Vec<_>>())?,
        None => definition.fields().map(|(index, _)| index).collect(),
    };
    let mut shown = request.show(definition, row, &fields);
    shown.insert("Id".into(), json!(row.id.as_str())); // there, asked for or not
    Ok(Answer::json(200, &Json::Object(shown)))
}

fn record_id(host: &Host, object: ObjectIndex, text: &str) -> Result<Id, Answer> {
    let org = host.org();
    let definition = org.schema.object(object);
    let wrong = || {
        let shown = utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        Answer::refused(&SaveError::wrong_type_of_id(&format!("{} ID", definition.name), &shown))
    };
    Id::parse(text).filter(|id| id.has_prefix(&definition.prefix)).ok_or_else(wrong)
}

fn fields(request: &Request) -> Result<Map<String, Json>, Answer> {
    match request.body()? {
        Json::Object(fields) => Ok(fields),
        _ => Err(Answer::refused(&SaveError::wrong_json("sobject", "START_ARRAY", "[]"))),
    }
}

/// A write of one record; an id that the org does not know is 404 here, unlike in collections.
fn transact(host: &Host, request: &Request, write: Write) -> Result<Saved, Answer> {
    let own = match &write {
        Write::Update { id, .. } | Write::Delete { id } => Some(id.clone()),
        _ => None,
    };
    let options = Options { locked: host.faults().locks(1), ..Options::default() };
    let caller = request.caller(host, false);
    let result = {
        let mut org = host.org();
        let now = host.now();
        org.transact(&caller, vec![Ok(write)], &options, now)
    };
    host.notify();
    let result = match result {
        Ok(mut results) => results.pop().unwrap_or_else(|| Err(SaveError::unknown_id())),
        Err(error) => Err(error),
    };
    result.map_err(|error| match own {
        Some(id) if error.code == "INVALID_CROSS_REFERENCE_KEY" && error.fields.is_empty() => {
            let message = format!("Provided external ID field does not exist or is not accessible: {id}");
            Answer::error(404, "NOT_FOUND", &message)
        }
        _ => Answer::refused(&error),
    })
}
