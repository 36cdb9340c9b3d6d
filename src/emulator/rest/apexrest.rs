//! `/services/apexrest/accounts`: one Apex class with REST methods, as many orgs have one (rest.md section 12).
//!
//! `GET` lists accounts, `POST` makes one, `PATCH` changes one. The class reads its body as typed parameters and
//! catches nothing: what DML refuses comes back as an exception. Its writes name no client in their origin.

use serde_json::{Map, Value as Json, json};

use super::{Context, Request};
use crate::org::{Caller, Id, ObjectIndex, Options, Row, SaveError, Saved, Write};
use crate::wire::Answer;

/// What the class takes and gives, and the fields behind them.
const FIELDS: [(&str, &str); 3] = [("name", "Name"), ("phone", "Phone"), ("industry", "Industry")];
/// Rows that its query asks for.
const LIMIT: usize = 200;

/// Where in the class an exception comes from.
const INSERT: &str = "Class.AccountRest.create: line 12, column 1";
const UPDATE: &str = "Class.AccountRest.change: line 24, column 1";
const SELECT: &str = "Class.AccountRest.change: line 19, column 1";

pub(super) fn handle(context: &mut Context, request: &Request, path: &[&str]) -> Result<Answer, Answer> {
    let id = match path {
        ["accounts"] => None,
        ["accounts", id] => Some(*id),
        _ => {
            return Err(Answer::error(404, "NOT_FOUND", "Could not find a match for URL"));
        }
    };
    let found = context.org.schema.find("Account").map(|(index, _)| index);
    let object = found.filter(|object| context.org.can_see_object(&request.user, *object)).ok_or_else(|| {
        Answer::error(403, "FORBIDDEN", "You do not have access to the Apex class named: AccountRest")
    })?;
    match (request.call.method.as_str(), id) {
        ("GET", None) => Ok(list(context, request, object)),
        ("POST", None) => create(context, request, object),
        ("PATCH", id) => update(context, request, object, id),
        (method, _) => {
            let allowed = if id.is_some() { "PATCH" } else { "GET,PATCH,POST" };
            let message = format!("HTTP Method '{method}' not allowed. Allowed are {allowed}");
            Err(Answer::error(405, "METHOD_NOT_ALLOWED", &message))
        }
    }
}

fn list(context: &Context, request: &Request, object: ObjectIndex) -> Answer {
    let rows = context.org.table(object).rows().filter(|row| row.deleted_in.is_none());
    let rows = rows.filter(|row| context.org.can_see_row(&request.user, object, row)).take(LIMIT);
    Answer::json(200, &rows.map(|row| show(context, object, row)).collect::<Json>())
}

fn show(context: &Context, object: ObjectIndex, row: &Row) -> Json {
    let definition = context.org.schema.object(object);
    let mut shown = Map::from_iter([("id".to_owned(), json!(row.id.as_str()))]);
    for (name, field) in FIELDS {
        let value = definition.find(field).map(|(index, _)| row.read(definition, index));
        shown.insert(name.into(), value.unwrap_or_default());
    }
    Json::Object(shown)
}

fn create(context: &mut Context, request: &Request, object: ObjectIndex) -> Result<Answer, Answer> {
    let (_, fields) = body(request)?;
    let saved = save(context, request, Write::Create { object, fields }, ("Insert", INSERT))?;
    Ok(shown(context, object, &saved.id, 201))
}

fn update(context: &mut Context, request: &Request, object: ObjectIndex, id: Option<&str>) -> Result<Answer, Answer> {
    let (in_body, fields) = body(request)?;
    let text = id.map(str::to_owned).or(in_body);
    let Some(id) = text.as_deref().and_then(Id::parse) else {
        let text = text.unwrap_or_default();
        return Err(exception("System.StringException", &format!("Invalid id: {text}"), SELECT));
    };
    let seen = context.row(request, object, &id).is_some();
    if !seen {
        return Err(exception("System.QueryException", "List has no rows for assignment to SObject", SELECT));
    }
    save(context, request, Write::Update { object, id: id.clone(), fields }, ("Update", UPDATE))?;
    Ok(shown(context, object, &id, 200))
}

fn shown(context: &Context, object: ObjectIndex, id: &Id, status: u16) -> Answer {
    match context.org.table(object).live_row(id) {
        Some(row) => Answer::json(status, &show(context, object, row)),
        None => Answer::empty(204),
    }
}

/// The typed parameters of a method: the id, if there is one, and the account's fields.
fn body(request: &Request) -> Result<(Option<String>, Map<String, Json>), Answer> {
    let wrong = |message: &str| Answer::error(400, "JSON_PARSER_ERROR", message);
    let body = request.record()?;
    let (mut id, mut fields) = (None, Map::new());
    for (name, value) in body {
        let field = FIELDS.iter().find(|(known, _)| *known == name).map(|(_, field)| *field);
        if field.is_none() && name != "id" {
            return Err(wrong(&format!(
                "Unexpected parameter encountered during deserialization: {name} at [line:1, column:1]"
            )));
        }
        if !value.is_string() && !value.is_null() {
            return Err(Answer::refused(&SaveError::wrong_json("string", &value)));
        }
        match field {
            Some(field) => drop(fields.insert(field.into(), value)),
            None => id = value.as_str().map(str::to_owned),
        }
    }
    Ok((id, fields))
}

fn save(context: &mut Context, request: &Request, write: Write, (verb, place): (&str, &str)) -> Result<Saved, Answer> {
    let own = match &write {
        Write::Update { id, .. } => format!(" with id {id}"),
        _ => String::new(),
    };
    let caller = Caller { auto_assign: false, ..Caller::new(request.user.clone(), origin(request)) };
    let (writes, locked) = context.host.strike_records(&request.call, vec![Ok(write)]);
    let options = Options { locked, ..Options::default() };
    let results = context.write(&caller, writes, &options);
    let result = results.and_then(|mut results| results.pop().unwrap_or_else(|| Err(SaveError::unknown_id())));
    result.map_err(|error| {
        let text = format!(
            "{verb} failed. First exception on row 0{own}; first error: {}, {}: [{}]",
            error.code,
            error.message,
            error.fields.join(", ")
        );
        exception("System.DmlException", &text, place)
    })
}

/// Which origin the writes of Apex REST have is told only for its beginning.
fn origin(request: &Request) -> String {
    format!("com/salesforce/api/apex/{}.0", request.version)
}

fn exception(class: &str, text: &str, place: &str) -> Answer {
    Answer::error(500, "APEX_ERROR", &format!("{class}: {text}\n\n{place}"))
}
