//! What people are told without asking: `feedback` of a pipeline, and `digest`.

use std::path::Path;
use std::time::Duration;

use super::super::tree::{Key, Node};
use super::super::walk::{At, Keys, Walk};
use super::super::{Digest, Feedback, Logins};
use super::actions::does::webhook;
use super::pipelines::Pipeline;
use super::{DAY, duration};
use crate::event::FieldName;

pub(in super::super) const FEEDBACK: Keys =
    Keys { block: "`feedback`", required: &[], optional: &["error", "last_synced"] };
pub(in super::super) const DIGEST: Keys = Keys { block: "`digest`", required: &["webhook"], optional: &["every"] };

const EVERY: Duration = Duration::from_secs(3_600);
const EVERY_MIN: Duration = Duration::from_secs(1);
const EVERY_MAX: Duration = DAY.saturating_mul(7);

pub(super) fn of_pipeline(walk: &mut Walk<'_>, (key, node): (&Key, &Node)) -> Option<At<Feedback>> {
    let block = walk.block(node, &key.span, &FEEDBACK)?;
    let mut field = |name: &str| match block.entry(name) {
        Some(entry) => walk.name::<FieldName>(entry).map(Some),
        None => Some(None),
    };
    let (error, last_synced) = (field("error"), field("last_synced"));
    let (error, last_synced) = (error?, last_synced?);
    let twice = last_synced.as_ref().filter(|last| error.as_ref().is_some_and(|error| error.value == last.value));
    if let Some(last) = twice {
        walk.find(&last.span, "one field cannot hold both", "name another field");
        return None;
    }
    if error.is_none() && last_synced.is_none() && block.misspelt.is_empty() {
        let remedy = "add `error:` or `last_synced:` with a field of the source object, or remove `feedback`";
        walk.find(&key.span, "nothing is told", remedy);
        return None;
    }
    let value = Feedback { error: error.map(|at| at.value), last_synced: last_synced.map(|at| at.value) };
    Some(At { value, raw: String::new(), span: key.span.clone() })
}

pub(super) fn digest(walk: &mut Walk<'_>, (key, node): (&Key, &Node), path: &Path, logins: Logins) -> Option<Digest> {
    let block = walk.block(node, &key.span, &DIGEST)?;
    let webhook = block.entry("webhook").and_then(|entry| webhook(walk, entry, path, logins));
    let every = match block.entry("every") {
        Some(entry) => duration(walk, entry, EVERY_MIN, EVERY_MAX),
        None => Some(EVERY),
    };
    Some(Digest { webhook: webhook?, every: every? })
}

/// What the bridge writes into the source must not look like something that people changed there.
pub(super) fn agrees(walk: &mut Walk<'_>, before: &[Pipeline], pipeline: &Pipeline) {
    let Some(feedback) = pipeline.feedback.as_ref().filter(|at| at.value != Feedback::default()) else { return };
    if pipeline.poll.is_some() {
        let remedy = "remove `feedback`, or `source: poll`";
        let message = "each thing that is told would be one more change of a record that is polled, without end";
        walk.find(&feedback.span, message, remedy);
        return;
    }
    let own = |name: &str| feedback.value.fields().any(|field| field.as_str().eq_ignore_ascii_case(name));
    let rules = pipeline.fields.iter().flatten().filter_map(|field| field.rule.as_ref());
    let mapped = rules.flat_map(|rule| rule.value.fill.reads()).map(|path| path.top());
    let when = pipeline.when.iter().flatten().flat_map(|when| when.value.reads()).map(|path| path.top());
    if let Some(name) = mapped.chain(when).find(|name| own(name)) {
        let remedy = "name a field that this pipeline does not read";
        walk.find(&feedback.span, format!("`{name}` would be a change that this pipeline brings over"), remedy);
    }
    let same_object = |other: &&Pipeline| {
        let place =
            |one: &Pipeline| Some((one.from_org.as_ref()?.value.clone(), one.from_object.as_ref()?.value.clone()));
        place(other).is_some() && place(other) == place(pipeline)
    };
    let others = before.iter().filter(same_object).filter_map(|other| other.feedback.as_ref());
    if let Some(field) = others.flat_map(|other| other.value.fields()).find(|field| own(field.as_str())) {
        let message = format!("another pipeline tells of the same records in `{field}`");
        walk.find(&feedback.span, message, "give each pipeline a field of its own");
    }
}
