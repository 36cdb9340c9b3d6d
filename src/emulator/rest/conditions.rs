//! Headers that make a request depend on what the client already knows (rest.md sections 3, 4 and 13).

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::org::time::{self, SECOND};
use crate::org::{Object, Row};
use crate::wire::{Answer, Call};

/// 304 for a client that has seen what changed last at this moment, in microseconds.
pub fn unmodified(call: &Call, changed: i64) -> Option<Answer> {
    let since = date(call, "if-modified-since")?;
    (changed.div_euclid(SECOND) <= since).then(|| dated(Answer::empty(304), changed))
}

/// Tells when it changed last.
pub fn dated(answer: Answer, changed: i64) -> Answer {
    answer.with("last-modified", time::http(changed))
}

/// For reads of one record: 304 for a client that has it as it is, 412 for one that wanted it as it was.
pub fn on_read(call: &Call, object: &Object, row: &Row) -> Option<Answer> {
    let tag = etag(object, row);
    if let (Some(tag), Some(known)) = (&tag, call.header("if-none-match")) {
        // The tag decides where there is one, not the date.
        return has(known, tag).then(|| Answer::empty(304).with("etag", tag.as_str()));
    }
    broken(call, object, row).or_else(|| unmodified(call, row.modified * SECOND))
}

/// For writes of one record: 412 where it is not any more what the client knows.
pub fn on_write(call: &Call, object: &Object, row: &Row) -> Option<Answer> {
    broken(call, object, row)
}

fn broken(call: &Call, object: &Object, row: &Row) -> Option<Answer> {
    let other = match (etag(object, row), call.header("if-match")) {
        (Some(tag), Some(wanted)) => !has(wanted, &tag),
        _ => false,
    };
    let newer = date(call, "if-unmodified-since").is_some_and(|since| row.modified > since);
    (other || newer).then(|| {
        let message = "The record was changed since the time, or is another one than the one, that the request names.";
        Answer::error(412, "PRECONDITION_FAILED", message)
    })
}

/// Only accounts have one.
pub fn etag(object: &Object, row: &Row) -> Option<String> {
    if object.name != "Account" {
        return None;
    }
    let mut hasher = DefaultHasher::new();
    (row.id.as_str(), row.modified).hash(&mut hasher);
    for (field, value) in &row.values {
        (field, value.to_string()).hash(&mut hasher);
    }
    Some(format!("\"{:016x}\"", hasher.finish()))
}

fn has(list: &str, tag: &str) -> bool {
    list.split(',').map(|part| part.trim().trim_start_matches("W/")).any(|part| part == tag || part == "*")
}

/// A date in seconds; what is no date counts as absent.
fn date(call: &Call, name: &str) -> Option<i64> {
    chrono::DateTime::parse_from_rfc2822(call.header(name)?.trim()).ok().map(|at| at.timestamp())
}
