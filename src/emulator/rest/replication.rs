//! Which records of an object changed or went within a time: `updated` and `deleted` (rest.md section 10).

use serde_json::{Value as Json, json};

use super::{Context, Request, not_allowed};
use crate::org::time::{self, SECOND};
use crate::org::{ObjectIndex, ObjectKind, Row, SaveError};
use crate::wire::Answer;

const MINUTE: i64 = 60;
const DAY: i64 = 24 * 60 * MINUTE;
/// How far back each of the two goes.
const UPDATED_DAYS: i64 = 30;
const DELETED_DAYS: i64 = 15;
const ID_LIMIT: usize = 600_000;

/// From the first second up to before the last; both at full minutes.
struct Window {
    start: i64,
    end: i64,
}

/// `GET /sobjects/X/updated/`.
pub(super) fn updated(context: &Context, request: &Request, object: ObjectIndex) -> Result<Answer, Answer> {
    let window = window(context, request, object, UPDATED_DAYS)?;
    let rows = rows(context, request, object, &window).filter(|row| row.deleted_in.is_none());
    let ids: Vec<&str> = rows.map(|row| row.id.as_str()).collect();
    within_limit(ids.len())?;
    Ok(Answer::json(200, &json!({"ids": ids, "latestDateCovered": time::rest(covered(context, &window))})))
}

/// `GET /sobjects/X/deleted/`.
pub(super) fn deleted(context: &Context, request: &Request, object: ObjectIndex) -> Result<Answer, Answer> {
    let window = window(context, request, object, DELETED_DAYS)?;
    let earliest = earliest(context);
    if window.start < earliest && context.host.switches().early_start_fails {
        let message = format!("startDate cannot be before {}", time::rest(earliest));
        return Err(refused(&message));
    }
    let rows = rows(context, request, object, &window).filter(|row| row.deleted_in.is_some());
    let show = |row: &Row| json!({"id": row.id.as_str(), "deletedDate": time::rest(row.modified)});
    let list: Vec<Json> = rows.map(show).collect();
    within_limit(list.len())?;
    let body = json!({"deletedRecords": list, "earliestDateAvailable": time::rest(earliest),
        "latestDateCovered": time::rest(covered(context, &window))});
    Ok(Answer::json(200, &body))
}

/// The records that a user sees and that were touched within the window.
fn rows<'a>(
    context: &'a Context,
    request: &'a Request,
    object: ObjectIndex,
    window: &'a Window,
) -> impl Iterator<Item = &'a Row> {
    let rows = context.org.table(object).rows();
    rows.filter(move |row| {
        (window.start..window.end).contains(&row.modified) && context.org.can_see_row(&request.user, object, row)
    })
}

/// The log of deletions is whole from here on.
fn earliest(context: &Context) -> i64 {
    let kept = minute(now(context) - DELETED_DAYS * DAY);
    let purged = context.org.forgotten_deletion().map(|deleted| minute(deleted) + MINUTE);
    purged.map_or(kept, |purged| purged.max(kept))
}

/// Up to when nothing can come any more: transactions that are still open do not show yet.
fn covered(context: &Context, window: &Window) -> i64 {
    let settled = now(context) - context.org.transaction_time.div_euclid(SECOND);
    window.end.min(minute(settled))
}

fn now(context: &Context) -> i64 {
    context.now.div_euclid(SECOND)
}

/// Seconds are ignored.
fn minute(seconds: i64) -> i64 {
    seconds - seconds.rem_euclid(MINUTE)
}

fn window(context: &Context, request: &Request, object: ObjectIndex, days: i64) -> Result<Window, Answer> {
    if !matches!(request.call.method.as_str(), "GET" | "HEAD") {
        return Err(not_allowed(&request.call, "HEAD,GET"));
    }
    let definition = context.org.schema.object(object);
    if definition.kind == ObjectKind::Event {
        let message = format!("entity type {} does not support replication", definition.name);
        return Err(Answer::refused(&SaveError::new("INVALID_TYPE", message)));
    }
    let window = Window { start: moment(request, "start")?, end: moment(request, "end")? };
    if window.end - window.start < MINUTE {
        return Err(refused("endDate must be at least one minute greater than startDate"));
    }
    if window.start < minute(now(context) - days * DAY) {
        return Err(refused(&format!("startDate cannot be more than {days} days ago")));
    }
    Ok(window)
}

fn moment(request: &Request, name: &str) -> Result<i64, Answer> {
    let Some(given) = request.call.parameter(name).filter(|text| !text.is_empty()) else {
        let message = format!("The request is missing the parameter {name}");
        return Err(Answer::error(400, "MISSING_ARGUMENT", &message));
    };
    // A plus that was not encoded comes as a blank.
    let text = given.trim().replace(' ', "+");
    let parsed = chrono::DateTime::parse_from_rfc3339(&text)
        .or_else(|_| chrono::DateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M:%S%.f%z"));
    parsed.map(|at| minute(at.timestamp())).map_err(|_| refused(&format!("{name} is no valid dateTime: {given}")))
}

fn refused(message: &str) -> Answer {
    Answer::refused(&SaveError::new("INVALID_REPLICATION_DATE", message))
}

fn within_limit(count: usize) -> Result<(), Answer> {
    match count <= ID_LIMIT {
        true => Ok(()),
        false => Err(Answer::error(400, "EXCEEDED_ID_LIMIT", "The time holds more records than one answer may have")),
    }
}
