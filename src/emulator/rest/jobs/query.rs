//! `jobs/query`.

use serde::Deserialize;
use serde_json::json;

use super::{
    Desk, csv, described, format, invalid, invalid_locator, locator, not_allowed, not_found, read_locator, refused,
    work,
};
use crate::bulk::csv::{Delimiter, LineEnding};
use crate::bulk::job::State;
use crate::bulk::query::{PAGE, QueryJob};
use crate::bulk::{AskedFor, Refused};
use crate::org::{Asked, Id};
use crate::soql;
use crate::wire::Answer;

/// The version that brought the list of pages.
const PAGES_SINCE: u32 = 58;
/// Pages of one answer to that list.
const PAGES: usize = 5;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Description {
    operation: Option<String>,
    query: Option<String>,
    content_type: Option<String>,
    line_ending: Option<LineEnding>,
    column_delimiter: Option<Delimiter>,
}

pub fn handle(desk: &Desk, rest: &[&str]) -> Result<Answer, Answer> {
    match (rest, desk.method()) {
        ([], "POST") => create(desk),
        ([], "GET") => list(desk),
        ([], _) => Err(not_allowed(&desk.request.call, "GET,POST")),
        ([id], method) => one(desk, &desk.id(id)?, method),
        ([id, "results"], "GET") => results(desk, &desk.id(id)?),
        ([id, word], "GET") if word.eq_ignore_ascii_case("resultPages") && desk.request.version >= PAGES_SINCE => {
            pages(desk, &desk.id(id)?)
        }
        ([_, "results"], _) => Err(not_allowed(&desk.request.call, "GET")),
        _ => Err(not_found()),
    }
}

fn one(desk: &Desk, id: &Id, method: &str) -> Result<Answer, Answer> {
    let mut bulk = desk.host.bulk();
    match method {
        "GET" => bulk.query(id, desk.viewer()).map(|query| Answer::json(200, &query.info(desk.now))).map_err(refused),
        "PATCH" => {
            if desk.wanted_state()? != State::Aborted {
                return Err(invalid("A query job can only be set to the state Aborted"));
            }
            let query = bulk.abort_query(id, desk.viewer(), desk.now).map_err(refused)?;
            Ok(Answer::json(200, &query.show()))
        }
        "DELETE" => bulk.delete_query(id, desk.viewer()).map(|()| Answer::empty(204)).map_err(refused),
        _ => Err(not_allowed(&desk.request.call, "DELETE,GET,PATCH")),
    }
}

fn list(desk: &Desk) -> Result<Answer, Answer> {
    desk.list("query", "V2Query", |after| {
        let bulk = desk.host.bulk();
        let jobs = bulk.queries_after(after, desk.viewer()).take(super::LISTED + 1);
        jobs.map(|query| (query.job.id.clone(), query.listed())).collect()
    })
}

fn create(desk: &Desk) -> Result<Answer, Answer> {
    let description: Description = described(desk.request.body()?)?;
    let with_deleted = match description.operation.as_deref() {
        Some("query") => false,
        Some("queryAll") => true,
        Some(other) => return Err(invalid(&format!("Operation not supported: {other}"))),
        None => return Err(invalid("No operation specified")),
    };
    let format = format(description.content_type.as_deref(), description.column_delimiter, description.line_ending)?;
    let soql = description.query.filter(|text| !text.trim().is_empty());
    let soql = soql.ok_or_else(|| invalid("No query specified"))?;
    let object = checked(desk, &soql, with_deleted)?;
    let (shown, id) = {
        let mut bulk = desk.host.bulk();
        let asked = AskedFor { soql, object, with_deleted };
        let query = bulk.create_query(desk.maker(format), asked, desk.now).map_err(refused)?;
        (query.show(), query.job.id.clone())
    };
    work::start_query(desk.host, id);
    Ok(Answer::json(200, &shown))
}

/// The name of the object that a query is about.
fn checked(desk: &Desk, text: &str, with_deleted: bool) -> Result<String, Answer> {
    let refused = |code: &str, message: &str| Answer::error(400, code, message);
    let query = soql::parse(text).map_err(|error| refused("MALFORMED_QUERY", &error.shown(text)))?;
    let org = desk.host.org();
    let asked = Asked { viewer: &desk.request.user, with_deleted, now: desk.now, base: "" };
    org.flat(&query, asked).map_err(|error| refused(error.code, &error.shown(text)))?;
    Ok(org.schema.find(&query.from.text).map_or_else(|| query.from.text.clone(), |(_, object)| object.name.clone()))
}

/// A job whose results may be read.
fn complete<'a>(desk: &Desk, query: &'a QueryJob) -> Result<&'a QueryJob, Answer> {
    if query.job.version != desk.request.version {
        let message = format!(
            "The job was made with version {}.0 of the API; ask for its results with the same one",
            query.job.version
        );
        return Err(Answer::error(409, "INVALIDJOB", &format!("InvalidJob : {message}")));
    }
    if query.job.state != State::JobComplete {
        let state = query.job.state.name();
        let message = format!("Results are there once a job is in the state JobComplete; it is in the state {state}");
        return Err(refused(Refused::state(message)));
    }
    Ok(query)
}

fn results(desk: &Desk, id: &Id) -> Result<Answer, Answer> {
    let wish = match desk.request.call.parameter("maxRecords") {
        None => PAGE,
        Some(text) => text.parse().ok().filter(|rows| *rows > 0).ok_or_else(|| {
            Answer::error(400, "INVALID_PARAMETER_VALUE", &format!("maxRecords has to be a number above 0: {text}"))
        })?,
    };
    let (table, from, next) = {
        let mut bulk = desk.host.bulk();
        let query = complete(desk, bulk.query(id, desk.viewer()).map_err(refused)?)?;
        let from = match desk.request.call.parameter("locator") {
            None => 0,
            Some(text) => query.place(text).ok_or_else(invalid_locator)?,
        };
        let to = from.saturating_add(wish);
        // The end is a word, not a missing header.
        let next = if to < query.result.len() { query.locator(to) } else { "null".into() };
        (query.result.clone(), from, next)
    };
    let (text, rows) = table.page(from, wish);
    Ok(csv(text, rows).with("sforce-locator", next))
}

fn pages(desk: &Desk, id: &Id) -> Result<Answer, Answer> {
    let mut bulk = desk.host.bulk();
    let query = complete(desk, bulk.query(id, desk.viewer()).map_err(refused)?)?;
    let all = query.result.len().div_ceil(PAGE).max(1);
    let from = match desk.request.call.parameter("locator") {
        None => 0,
        Some(text) => {
            let page = read_locator(text).and_then(|text| text.strip_prefix("page ")?.parse().ok());
            page.filter(|page| *page < all).ok_or_else(invalid_locator)?
        }
    };
    let to = all.min(from.saturating_add(PAGES));
    let base = format!("/services/data/v{}.0/jobs/query/{id}", desk.request.version);
    let url = |page: usize| json!({"resultUrl": format!("{base}/results?locator={}", query.locator(page * PAGE))});
    let next = (to < all).then(|| format!("{base}/resultpages?locator={}", locator(&format!("page {to}"))));
    let urls: Vec<_> = (from..to).map(url).collect();
    Ok(Answer::json(200, &json!({"resultPages": urls, "nextRecordsUrl": next, "done": to == all})))
}
