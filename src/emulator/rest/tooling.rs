//! A part of the Tooling API: what is set up for events, which fields and entities there are, who may do what with them,
//! and what the org does by itself (setup-metadata.md sections 2, 3 and 5). Some of it can be asked for as records can.

mod automation;
mod members;
mod permissions;
mod rows;
mod select;
mod subscriptions;

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::{Context, Request, not_allowed, not_found};
use crate::org::SaveError;
use crate::soql;
use crate::wire::Answer;
use rows::{Api, Row, Rows};
use select::Shape;

pub(super) fn handle(context: &mut Context, request: &Request, rest: &[&str]) -> Result<Answer, Answer> {
    let method = request.call.method.as_str();
    match (rest, method) {
        ([word], _) if word.eq_ignore_ascii_case("query") => query(context, request),
        (["sobjects", object], "POST") => {
            may_customize(context, request)?;
            let id = match object.to_ascii_lowercase().as_str() {
                "platformeventchannelmember" => members::add(context, request)?,
                "platformeventchannel" => members::add_channel(context, request)?,
                "managedeventsubscription" => subscriptions::add(context, request)?,
                _ => return Err(not_found()),
            };
            let body = json!({"id": id.as_str(), "success": true, "errors": [], "warnings": [], "infos": []});
            Ok(Answer::json(201, &body))
        }
        (["sobjects", object, id], "GET" | "HEAD") => {
            let rows = rows::of(context, request, Api::Tooling, object).ok_or_else(not_found)?;
            let named = |row: &&Row| row.get("Id").and_then(Json::as_str).is_some_and(|known| known.starts_with(*id));
            let row = rows.rows.iter().find(named).filter(|_| matches!(id.len(), 15 | 18)).ok_or_else(not_found)?;
            Ok(Answer::json(200, &Json::Object(rows.show(request, row))))
        }
        (["sobjects", object, id], "PATCH" | "DELETE") if object.eq_ignore_ascii_case("PlatformEventChannelMember") => {
            may_customize(context, request)?;
            match method {
                "PATCH" => members::change(context, request, id)?,
                _ => members::remove(context, id)?,
            }
            Ok(Answer::empty(204))
        }
        (["sobjects", object, id], "PATCH" | "DELETE") if object.eq_ignore_ascii_case("ManagedEventSubscription") => {
            may_customize(context, request)?;
            match method {
                "PATCH" => subscriptions::change(context, request, id)?,
                _ => subscriptions::remove(context, id)?,
            }
            Ok(Answer::empty(204))
        }
        (["sobjects", object, _], _)
            if ["PlatformEventChannelMember", "ManagedEventSubscription"]
                .iter()
                .any(|name| object.eq_ignore_ascii_case(name)) =>
        {
            Err(not_allowed(&request.call, "HEAD,GET,PATCH,DELETE"))
        }
        (["sobjects", _, _], _) => Err(not_allowed(&request.call, "HEAD,GET")),
        _ => Err(not_found()),
    }
}

/// "Customize Application" comes with the right to change everything here.
fn may_customize(context: &Context, request: &Request) -> Result<(), Answer> {
    match context.org.user(&request.user) {
        Some(user) if user.access.modify_all_data => Ok(()),
        _ => Err(Answer::refused(&SaveError::new("INSUFFICIENT_ACCESS", "insufficient access rights on entity"))),
    }
}

fn query(context: &Context, request: &Request) -> Result<Answer, Answer> {
    let text = request.call.parameter("q").ok_or_else(|| malformed("A query string has to be specified"))?;
    let query = soql::parse(text).map_err(|error| malformed(&error.shown(text)))?;
    let rows = rows::of(context, request, Api::Tooling, &query.from.text).ok_or_else(|| {
        Answer::error(400, "INVALID_TYPE", &format!("sObject type '{}' is not supported.", query.from.text))
    })?;
    let (records, total) = select(context, request, Api::Tooling, &query, &rows)?;
    Ok(Answer::json(
        200,
        &json!({"size": records.len(), "totalSize": total, "done": true, "queryLocator": null,
            "entityTypeName": rows.name, "records": records}),
    ))
}

/// A query of the REST API for a part of Setup that is no record. `None`: it is for records.
pub(super) fn query_of_data(
    context: &Context,
    request: &Request,
    query: &soql::Query,
) -> Option<Result<Answer, Answer>> {
    let rows = rows::of(context, request, Api::Data, &query.from.text)?;
    let answer = select(context, request, Api::Data, query, &rows);
    Some(
        answer
            .map(|(records, total)| Answer::json(200, &json!({"totalSize": total, "done": true, "records": records}))),
    )
}

fn malformed(message: &str) -> Answer {
    Answer::error(400, "MALFORMED_QUERY", message)
}

/// The records of a query, and how many it found.
fn select(
    context: &Context,
    request: &Request,
    api: Api,
    query: &soql::Query,
    rows: &Rows,
) -> Result<(Vec<Json>, usize), Answer> {
    let wish = select::read(query, &|name| rows::of(context, request, api, name)).map_err(|text| malformed(&text))?;
    let unknown = |name: &str| {
        let message = format!("No such column '{name}' on entity '{}'.", rows.name);
        Answer::error(400, "INVALID_FIELD", &message)
    };
    if let Some(name) = wish.names().find(|name| !rows.has(name)) {
        return Err(unknown(name));
    }
    let found: Vec<&Row> = rows.rows.iter().filter(|row| wish.holds(row)).take(wish.limit).collect();
    let (records, total) = match wish.shape {
        Shape::Count => (Vec::new(), found.len()),
        Shape::CountDistinct => {
            let values: BTreeSet<String> =
                found.iter().filter_map(|row| rows.value(row, wish.fields.first()?)).collect();
            (vec![json!({"attributes": {"type": "AggregateResult"}, "expr0": values.len()})], 1)
        }
        Shape::Records => {
            let show = |row: &&Row| Json::Object(rows.show_only(request, row, &wish.fields));
            (found.iter().map(show).collect(), found.len())
        }
    };
    Ok((records, total))
}
