//! `jobs/ingest`.

use std::sync::Arc;

use axum::body::Bytes;
use serde::Deserialize;
use serde_json::Value as Json;

use super::{
    DATA_LIMIT, Desk, csv, described, format, invalid, invalid_locator, locator, multipart, not_allowed, not_found,
    read_locator, refused, work,
};
use crate::bulk::Refused;
use crate::bulk::csv::{Delimiter, LineEnding, Reader, Sheet};
use crate::bulk::ingest::{Key, Kind, Operation, Spec};
use crate::bulk::job::State;
use crate::org::{Id, Object, ObjectIndex, ObjectKind, Org};
use crate::rest::too_large;
use crate::wire::Answer;

/// What data may have that comes with the job's description, in characters.
const SMALL: usize = 100_000;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Description {
    object: Option<String>,
    operation: Option<String>,
    external_id_field_name: Option<String>,
    content_type: Option<String>,
    line_ending: Option<LineEnding>,
    column_delimiter: Option<Delimiter>,
    assignment_rule_id: Option<String>,
}

pub fn handle(desk: &Desk, rest: &[&str]) -> Result<Answer, Answer> {
    match (rest, desk.method()) {
        ([], "POST") => create(desk),
        ([], "GET") => list(desk),
        ([], _) => Err(not_allowed(&desk.request.call, "GET,POST")),
        ([id], method) => one(desk, &desk.id(id)?, method),
        ([id, "batches"], "PUT") => upload(desk, &desk.id(id)?),
        ([_, "batches"], _) => Err(not_allowed(&desk.request.call, "PUT")),
        ([id, name], method) => {
            let kind = Kind::named(name).ok_or_else(not_found)?;
            match method {
                "GET" => results(desk, &desk.id(id)?, kind),
                _ => Err(not_allowed(&desk.request.call, "GET")),
            }
        }
        _ => Err(not_found()),
    }
}

fn one(desk: &Desk, id: &Id, method: &str) -> Result<Answer, Answer> {
    let mut bulk = desk.host.bulk();
    match method {
        "GET" => {
            let ingest = bulk.ingest(id, desk.viewer()).map_err(refused)?;
            Ok(Answer::json(200, &ingest.info(desk.now)))
        }
        "PATCH" => {
            let to = desk.wanted_state()?;
            let shown = bulk.change(id, desk.viewer(), to, desk.now).map_err(refused)?.show();
            if to == State::UploadComplete {
                work::start_ingest(desk.host, id.clone());
            }
            Ok(Answer::json(200, &shown))
        }
        "DELETE" => bulk.delete(id, desk.viewer()).map(|()| Answer::empty(204)).map_err(refused),
        _ => Err(not_allowed(&desk.request.call, "DELETE,GET,PATCH")),
    }
}

fn list(desk: &Desk) -> Result<Answer, Answer> {
    desk.list("ingest", "V2Ingest", |after| {
        let bulk = desk.host.bulk();
        let jobs = bulk.ingest_after(after, desk.viewer()).take(super::LISTED + 1);
        jobs.map(|ingest| (ingest.job.id.clone(), ingest.listed())).collect()
    })
}

fn create(desk: &Desk) -> Result<Answer, Answer> {
    let (body, data) = match multipart::boundary(desk.request.call.header("content-type")) {
        Some(boundary) => with_data(&desk.request.call.body, &boundary)?,
        None => (desk.request.body()?, None),
    };
    let description: Description = described(body)?;
    let format = format(description.content_type.as_deref(), description.column_delimiter, description.line_ending)?;
    let spec = spec(desk, description)?;
    let ready = data.is_some();
    let (shown, id) = {
        let mut bulk = desk.host.bulk();
        let ingest = bulk.create(desk.maker(format), spec, data, desk.now).map_err(refused)?;
        (ingest.show(), ingest.job.id.clone())
    };
    if ready {
        work::start_ingest(desk.host, id);
    }
    Ok(Answer::json(200, &shown))
}

/// A description with the data behind it.
fn with_data(body: &Bytes, boundary: &str) -> Result<(Json, Option<Bytes>), Answer> {
    let parts = multipart::parts(body, boundary);
    let part = |name: &str| parts.iter().find(|part| part.name.as_deref() == Some(name)).map(|part| part.content);
    let job = part("job").ok_or_else(|| invalid("The request has no part with the name job"))?;
    let content = part("content").ok_or_else(|| invalid("The request has no part with the name content"))?;
    if String::from_utf8_lossy(content).chars().count() > SMALL {
        let message = format!("The data of a multipart request is longer than {SMALL} characters");
        return Err(Answer::error(400, "CLIENTINPUTERROR", &format!("ClientInputError : {message}")));
    }
    let job = serde_json::from_slice(job).map_err(|error| Answer::error(400, "JSON_PARSER_ERROR", &error.to_string()));
    Ok((job?, Some(Bytes::copy_from_slice(content))))
}

fn spec(desk: &Desk, description: Description) -> Result<Spec, Answer> {
    let operation = description.operation.ok_or_else(|| invalid("No operation specified"))?;
    let operation =
        Operation::named(&operation).ok_or_else(|| invalid(&format!("Operation not supported: {operation}")))?;
    let name = description.object.ok_or_else(|| invalid("No object specified"))?;
    let org = desk.host.org();
    let user = &desk.request.user;
    let found = org.schema.find(&name).filter(|(index, _)| org.can_see_object(user, *index));
    let (object, definition) = found.ok_or_else(|| invalid(&format!("Unable to find object: {name}")))?;
    if definition.kind == ObjectKind::Event {
        let message = format!("Entity '{}' is not supported by the Bulk API.", definition.name);
        return Err(Answer::error(400, "INVALIDENTITY", &message));
    }
    if operation == Operation::HardDelete && !org.user(user).is_some_and(|user| user.access.bulk_hard_delete) {
        let message = "FeatureNotEnabled : hardDelete operation requires special user profile permission, please contact your system administrator";
        return Err(Answer::error(400, "FEATURENOTENABLED", message));
    }
    let key = match operation {
        Operation::Upsert => Some(key(&org, user, object, definition, description.external_id_field_name)?),
        _ => None,
    };
    let assignment_rule = description.assignment_rule_id;
    if assignment_rule.as_ref().is_some_and(|rule| Id::parse(rule).is_none()) {
        return Err(invalid("Invalid assignment rule id"));
    }
    let object_name = definition.name.clone();
    let origin = format!("com/salesforce/api/bulkapi/{}.0{}", desk.request.version, desk.request.client_tail());
    Ok(Spec { object, object_name, operation, key, assignment_rule, origin })
}

fn key(org: &Org, user: &Id, object: ObjectIndex, definition: &Object, name: Option<String>) -> Result<Key, Answer> {
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        let message =
            format!("External ID was blank for {}. An External ID must be specified for upsert.", definition.name);
        return Err(invalid(&message));
    };
    if name.eq_ignore_ascii_case("Id") {
        return Ok(Key { name: "Id".into(), field: None });
    }
    let found =
        definition.find(&name).filter(|(index, field)| field.lookup_key && org.can_see_field(user, object, *index));
    match found {
        Some((index, field)) => Ok(Key { name: field.name.clone(), field: Some(index) }),
        None => Err(invalid(&format!(
            "Field name provided, {name} does not match an External ID, Salesforce Id, or indexed field for {}",
            definition.name
        ))),
    }
}

fn upload(desk: &Desk, id: &Id) -> Result<Answer, Answer> {
    let data = desk.request.call.body.clone();
    if data.len() > DATA_LIMIT {
        return Err(too_large(DATA_LIMIT));
    }
    let done = desk.host.bulk().upload(id, desk.viewer(), data, desk.now);
    done.map(|()| Answer::empty(201)).map_err(refused)
}

fn results(desk: &Desk, id: &Id, kind: Kind) -> Result<Answer, Answer> {
    let (sheet, data, job_format) = {
        let mut bulk = desk.host.bulk();
        let ingest = bulk.ingest(id, desk.viewer()).map_err(refused)?;
        if !ingest.job.state.ended() {
            let message =
                format!("Results are there once a job has ended; it is in the state {}", ingest.job.state.name());
            return Err(refused(Refused::state(message)));
        }
        (ingest.sheet.clone(), ingest.data.clone(), ingest.job.format)
    };
    let sheet = sheet.unwrap_or_else(|| {
        // Ended before it was started.
        let mut reader = Reader::new(data.unwrap_or_default(), job_format, false);
        while reader.advance(usize::MAX) {}
        let sheet: Arc<Sheet> = Arc::new(reader.finish());
        desk.host.bulk().keep_sheet(id, sheet.clone());
        sheet
    });
    let results = desk.host.bulk().ingest(id, desk.viewer()).map_err(refused)?.results(sheet);
    let rows = results.rows(kind);
    let page = desk.host.switches().bulk_result_rows;
    if page == 0 {
        return Ok(csv(results.csv(kind, &rows), rows.len()));
    }
    let from = match desk.request.call.parameter("locator") {
        None => 0,
        Some(text) => {
            let row = read_locator(text).and_then(|text| text.strip_prefix("row ")?.parse().ok());
            row.filter(|row| *row < rows.len()).ok_or_else(invalid_locator)?
        }
    };
    let to = rows.len().min(from.saturating_add(page));
    let shown = rows.get(from..to).unwrap_or_default();
    let next = if to < rows.len() { locator(&format!("row {to}")) } else { "null".into() };
    Ok(csv(results.csv(kind, shown), shown.len()).with("sforce-locator", next))
}
