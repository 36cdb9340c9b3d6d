//! sObject Collections: up to 200 records in one request, each with its own result (rest.md section 6).

use serde_json::{Map, Value as Json, json};

use super::{Context, Request, events, not_allowed, not_found};
use crate::org::{Id, ObjectIndex, Options, SaveError, Saved, Write};
use crate::wire::{Answer, Ordered};

const WRITE_LIMIT: usize = 200;
const READ_LIMIT: usize = 2_000;
/// The version that brought upserts here.
const UPSERT_SINCE: u32 = 46;
/// Runs of records of one type.
const CHUNK_LIMIT: usize = 10;

pub(super) type Writes = Vec<Result<Write, SaveError>>;

pub(super) fn handle(context: &mut Context, request: &Request, rest: &[&str]) -> Result<Answer, Answer> {
    match (rest, request.call.method.as_str()) {
        ([], "POST") => {
            let (records, all_or_none) = records(request)?;
            let writes = mixed(context, request, records, |object, fields| Ok(Write::Create { object, fields }))?;
            create(context, request, writes, all_or_none)
        }
        ([], "PATCH") => {
            let (records, all_or_none) = records(request)?;
            let writes = mixed(context, request, records, update)?;
            write(context, request, writes, all_or_none, false)
        }
        ([], "DELETE") => delete(context, request),
        ([], _) => Err(not_allowed(&request.call, "DELETE,PATCH,POST")),
        ([name], "GET") => {
            let object = context.object(request, name)?;
            let given = |key: &str| request.call.parameter(key).filter(|list| !list.is_empty());
            let list = |key: &str| given(key).map(|list| list.split(',').collect::<Vec<_>>()).unwrap_or_default();
            read(context, request, object, &list("ids"), &list("fields"))
        }
        ([name], "POST") => {
            let object = context.object(request, name)?;
            let body = request.body()?;
            // What is no text is no id, and keeps its place as one.
            let list = |key: &str| match body.get(key).and_then(Json::as_array) {
                Some(list) => list.iter().map(|item| item.as_str().unwrap_or_default()).collect::<Vec<_>>(),
                None => Vec::new(),
            };
            read(context, request, object, &list("ids"), &list("fields"))
        }
        ([name, key], "PATCH") if request.version >= UPSERT_SINCE => {
            let object = context.object(request, name)?;
            upsert(context, request, object, key)
        }
        _ => Err(not_found()),
    }
}

/// The records of a body and its `allOrNone`.
fn records(request: &Request) -> Result<(Vec<Map<String, Json>>, bool), Answer> {
    let mut body = request.take_body()?;
    let all_or_none = body.get("allOrNone").and_then(Json::as_bool).unwrap_or(false);
    let Some(Json::Array(list)) = body.get_mut("records").map(Json::take) else {
        return Err(Answer::refused(&SaveError::wrong_json("list", &Json::Null)));
    };
    within_limit(list.len(), WRITE_LIMIT)?;
    let map = |record: Json| match record {
        Json::Object(fields) => Ok(fields),
        other => Err(Answer::refused(&SaveError::wrong_json("sobject", &other))),
    };
    Ok((list.into_iter().map(map).collect::<Result<_, _>>()?, all_or_none))
}

fn within_limit(count: usize, limit: usize) -> Result<(), Answer> {
    if count <= limit {
        return Ok(());
    }
    let message = format!("record limit reached. cannot submit more than {limit} records into this call");
    Err(Answer::error(400, "EXCEEDED_ID_LIMIT", &message))
}

fn type_of(record: &Map<String, Json>) -> Result<&str, Answer> {
    record.get("attributes").and_then(|attributes| attributes.get("type")).and_then(Json::as_str).ok_or_else(|| {
        let message =
            "Missing attributes.type on a record or request may be missing a required field at [line:1, column:1]";
        Answer::error(400, "JSON_PARSER_ERROR", message)
    })
}

/// Records that name their own object each.
fn mixed(
    context: &Context,
    request: &Request,
    records: Vec<Map<String, Json>>,
    make: impl Fn(ObjectIndex, Map<String, Json>) -> Result<Write, SaveError>,
) -> Result<Writes, Answer> {
    let mut objects = Vec::with_capacity(records.len());
    let mut writes = Vec::with_capacity(records.len());
    for record in records {
        let name = type_of(&record)?;
        let unknown = |_| Answer::error(400, "INVALID_TYPE", &format!("sObject type '{name}' is not supported."));
        let object = context.object(request, name).map_err(unknown)?;
        objects.push(object);
        writes.push(make(object, record));
    }
    within_chunks(objects)?;
    Ok(writes)
}

/// `kinds`: of what type each record is.
fn within_chunks<T: PartialEq>(mut kinds: Vec<T>) -> Result<(), Answer> {
    kinds.dedup();
    if kinds.len() <= CHUNK_LIMIT {
        return Ok(());
    }
    // The facts name the limit and not the code.
    Err(Answer::error(400, "LIMIT_EXCEEDED", "Cannot have more than 10 chunks in a single operation."))
}

/// Platform events among the records go out at once, whatever becomes of the others.
fn create(context: &mut Context, request: &Request, writes: Writes, all_or_none: bool) -> Result<Answer, Answer> {
    let (mut others, mut places) = (Writes::new(), Vec::new());
    for write in events::apart(context, writes) {
        places.push(write.map(|write| others.push(write)));
    }
    events::check_all(
        context,
        request,
        places.iter().enumerate().filter_map(|(at, place)| Some((at, place.as_ref().err()?))),
    )?;
    let mut others = results(context, request, others, all_or_none)?.into_iter();
    let mut items = Vec::with_capacity(places.len());
    for place in &places {
        items.extend(match place {
            Err(event) => Some(events::publish_one(context, request, event)),
            Ok(()) => others.next().map(|result| item(result, false)),
        });
    }
    Ok(Answer::json(200, &Json::Array(items)))
}

fn update(object: ObjectIndex, mut fields: Map<String, Json>) -> Result<Write, SaveError> {
    let name = fields.keys().find(|name| name.eq_ignore_ascii_case("id")).cloned();
    let Some(Json::String(text)) = name.and_then(|name| fields.remove(&name)) else {
        return Err(SaveError::new("MISSING_ARGUMENT", "Id not specified in an update call"));
    };
    match Id::parse(&text) {
        Some(id) => Ok(Write::Update { object, id, fields }),
        None => Err(SaveError::new("MALFORMED_ID", format!("malformed id {text}")).on("Id")),
    }
}

fn upsert(context: &mut Context, request: &Request, object: ObjectIndex, key: &str) -> Result<Answer, Answer> {
    let (records, all_or_none) = records(request)?;
    let definition = context.org.schema.object(object);
    of_one_type(&records, &definition.name)?;
    if key.eq_ignore_ascii_case("id") {
        let writes = records.into_iter().map(|fields| by_id(object, fields)).collect();
        return write(context, request, writes, all_or_none, true);
    }
    let index = context.field(request, object, key).filter(|index| definition.field(*index).lookup_key);
    let Some(key) = index else {
        let message = format!("Provided external ID field does not exist or is not accessible: {key}");
        return Err(Answer::error(404, "NOT_FOUND", &message));
    };
    let writes = records.into_iter().map(|fields| Ok(Write::Upsert { object, key, fields })).collect();
    write(context, request, writes, all_or_none, true)
}

/// Every record of an upsert has the type that the URL names.
fn of_one_type(records: &[Map<String, Json>], wanted: &str) -> Result<(), Answer> {
    for record in records {
        let name = type_of(record)?;
        if !name.eq_ignore_ascii_case(wanted) {
            let message = format!("The type '{name}' of a record is not '{wanted}'");
            return Err(Answer::error(400, "INVALID_TYPE", &message));
        }
    }
    Ok(())
}

/// An upsert by the record's own id: a record without one is new.
fn by_id(object: ObjectIndex, mut fields: Map<String, Json>) -> Result<Write, SaveError> {
    let given = fields.keys().find(|name| name.eq_ignore_ascii_case("id")).cloned();
    match given.as_ref().and_then(|name| fields.get(name)) {
        None | Some(Json::Null) => {
            given.and_then(|name| fields.remove(&name));
            Ok(Write::Create { object, fields })
        }
        Some(_) => update(object, fields),
    }
}

fn delete(context: &mut Context, request: &Request) -> Result<Answer, Answer> {
    let given: Vec<&str> =
        request.call.parameter("ids").unwrap_or_default().split(',').filter(|id| !id.is_empty()).collect();
    within_limit(given.len(), WRITE_LIMIT)?;
    let all_or_none = request.call.parameter("allOrNone") == Some("true");
    let parse = |text: &&str| match Id::parse(text.trim()) {
        Some(id) => Ok(Ok(Write::Delete { id })),
        None => Err(Answer::error(400, "MALFORMED_ID", &format!("malformed id {text}"))),
    };
    let writes = given.iter().map(parse).collect::<Result<Writes, Answer>>()?;
    within_chunks(given.iter().map(|id| id.trim().get(..3)).collect())?;
    write(context, request, writes, all_or_none, false)
}

fn write(
    context: &mut Context,
    request: &Request,
    writes: Writes,
    all_or_none: bool,
    upsert: bool,
) -> Result<Answer, Answer> {
    let results = results(context, request, writes, all_or_none)?;
    let mut body = String::from("[");
    for (place, result) in results.into_iter().enumerate() {
        if place > 0 {
            body.push(',');
        }
        match result {
            // Nearly all of them: written straight away.
            Ok(saved) => {
                let created = match (upsert, saved.created) {
                    (false, _) => "",
                    (true, true) => r#","created":true"#,
                    (true, false) => r#","created":false"#,
                };
                body.push_str(r#"{"id":""#);
                body.push_str(saved.id.as_str());
                body.push_str(r#"","success":true,"errors":[]"#);
                body.push_str(created);
                body.push('}');
            }
            failed => body.push_str(&Ordered(&item(failed, upsert)).to_string()),
        }
    }
    body.push(']');
    Ok(Answer::text(200, "application/json;charset=UTF-8", body))
}

fn results(
    context: &mut Context,
    request: &Request,
    writes: Writes,
    all_or_none: bool,
) -> Result<Vec<Result<Saved, SaveError>>, Answer> {
    let switches = context.host.switches().clone();
    let (writes, locked) = context.host.strike_records(&request.call, writes);
    let options = Options {
        all_or_none,
        malformed_fails_alone: !switches.malformed_fails_request,
        doubles_by_case: !switches.doubles_ignore_case,
        locked,
    };
    let caller = request.caller(context.host, true);
    let placed = |error: SaveError| request.placed(error, &["records"]);
    let results = context.write(&caller, writes, &options).map_err(|error| Answer::refused(&placed(error)))?;
    Ok(results.into_iter().map(|result| result.map_err(placed)).collect())
}

/// One element of the answer. `created` is there and true also where an upsert failed.
fn item(result: Result<Saved, SaveError>, upsert: bool) -> Json {
    let (mut item, created) = match result {
        Ok(saved) => (json!({"id": saved.id.as_str(), "success": true, "errors": []}), saved.created),
        Err(error) => (json!({"success": false, "errors": item_errors(&error)}), true),
    };
    if let (true, Some(item)) = (upsert, item.as_object_mut()) {
        item.insert("created".into(), json!(created));
    }
    item
}

/// All that is wrong with a record.
pub fn item_errors(error: &SaveError) -> Json {
    std::iter::once(error).chain(&error.others).map(item_error).collect()
}

/// The key is `statusCode` here, not `errorCode`.
pub fn item_error(error: &SaveError) -> Json {
    let mut item = json!({"statusCode": error.code, "message": error.message, "fields": error.fields});
    if let (Some(result), Some(item)) = (&error.duplicates, item.as_object_mut()) {
        item.insert("duplicateResult".into(), (**result).clone());
    }
    item
}

fn read(
    context: &Context,
    request: &Request,
    object: ObjectIndex,
    ids: &[&str],
    fields: &[&str],
) -> Result<Answer, Answer> {
    within_limit(ids.len(), READ_LIMIT)?;
    let fields = context.fields(request, object, fields)?;
    let definition = context.org.schema.object(object);
    let show = |text: &&str| match Id::parse(text.trim()).and_then(|id| context.row(request, object, &id)) {
        Some(row) => Json::Object(request.show(definition, row, &fields)),
        None => Json::Null, // in its place
    };
    Ok(Answer::json(200, &ids.iter().map(show).collect::<Json>()))
}
