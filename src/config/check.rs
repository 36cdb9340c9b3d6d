//! From the tree of a file to the checked config, or to everything that is wrong with it.

mod actions;
mod cases;
mod compounds;
mod feedback;
mod lookups;
mod orgs;
mod pipelines;
mod privacy;
mod publishing;
mod references;
mod retain;
mod rules;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::tree::{Key, Node};
use super::walk::{Keys, Walk};
use super::{Case, Config, Logins, Retain};
use crate::event::OrgName;

pub(super) const DOCUMENT: Keys = Keys {
    block: "the config",
    required: &["version", "orgs", "pipelines"],
    optional: &["state", "publish", "subscribe", "journal", "history", "digest", "tests"],
};
const SUBSCRIBE: Keys = Keys { block: "`subscribe`", required: &[], optional: &["probe_every"] };
const PUBLISH: Keys = Keys {
    block: "`publish`",
    required: &[],
    optional: &["late_landing", "look_again", "parent_wait", "linger", "bulk_from"],
};

const HISTORY: Keys = Keys { block: "`history`", required: &[], optional: &["retain"] };
const HISTORY_RETAIN: Keys = Keys { block: "`retain`", required: &[], optional: &["age"] };

/// Which block of the JSON Schema has which keys; the config itself is `DOCUMENT`.
#[cfg(test)]
pub(super) const BLOCKS: &[(&str, &Keys)] = &[
    ("Publish", &PUBLISH),
    ("Subscribe", &SUBSCRIBE),
    ("Journal", &retain::JOURNAL),
    ("Retain", &retain::RETAIN),
    ("History", &HISTORY),
    ("HistoryRetain", &HISTORY_RETAIN),
    ("Org", &orgs::ORG),
    ("ClientCredentials", &orgs::CLIENT_CREDENTIALS),
    ("SecretFile", &orgs::SECRET_FILE),
    ("BudgetKeep", &orgs::BUDGET),
    ("Privacy", &privacy::PRIVACY),
    ("ObjectPrivacy", &privacy::OBJECT),
    ("Pipeline", &pipelines::PIPELINE),
    ("From", &pipelines::FROM),
    ("To", &pipelines::TO),
    ("ActionPipeline", &actions::PIPELINE),
    ("Trigger", &actions::TRIGGER),
    ("Action", &actions::ACTION),
    ("ApexRest", &actions::does::APEX_REST),
    ("Webhook", &actions::does::WEBHOOK),
    ("KeyHeader", &actions::does::KEY_HEADER),
    ("AnswerTo", &actions::does::ANSWER),
    ("Brakes", &pipelines::BRAKES),
    ("Verify", &pipelines::VERIFY),
    ("Feedback", &feedback::FEEDBACK),
    ("Digest", &feedback::DIGEST),
    ("Flag", &pipelines::FLAG),
    ("Constant", &rules::CONSTANT),
    ("Field", &rules::FIELD),
    ("Computed", &rules::COMPUTED),
    ("Parent", &rules::PARENT),
    ("Find", &lookups::FIND),
    ("RecordType", &lookups::RECORD_TYPE),
    ("Owner", &lookups::OWNER),
    ("TakenAs", &lookups::TAKEN_AS),
    ("Instead", &rules::INSTEAD),
    ("Case", &cases::CASE),
    ("Answer", &cases::ANSWER),
    ("CaseChange", &cases::CHANGE),
    ("Expect", &cases::EXPECT),
];

const BULK_FROM: usize = 5_000;
/// A job costs as much as collections of about so many records (facts: bulk2.md).
const BULK_FROM_MIN: usize = 2_000;
const BULK_FROM_MAX: usize = 1_000_000;
const LATE_LANDING: Duration = Duration::from_secs(600);
const PARENT_WAIT: Duration = DAY;
const PARENT_WAIT_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);
const LOOK_AGAIN: Duration = Duration::from_secs(60);
const LOOK_AGAIN_MIN: Duration = Duration::from_millis(500);
const PROBE_EVERY: Duration = Duration::from_secs(900);
const PROBE_MIN: Duration = Duration::from_millis(500);
const LINGER_MAX: Duration = Duration::from_secs(60);
const HISTORY_AGE: Duration = Duration::from_secs(30 * 24 * 3_600);
const HISTORY_AGE_MIN: Duration = Duration::from_secs(3_600);
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// None only if `walk` has findings. `path` is the config file: relative paths start at its folder.
pub(super) fn check(walk: &mut Walk<'_>, root: &Node, path: &Path, logins: Logins) -> Option<Config> {
    let document = walk.block(root, root.place(), &DOCUMENT)?;
    if let Some(entry) = document.entry("version") {
        version(walk, entry);
    }
    let state = match document.entry("state") {
        Some(entry) => walk.text(entry).map(|text| beside(path, &text.value)),
        None => Some(path.with_extension("db")),
    };
    let publish = match document.entry("publish") {
        Some(entry) => publish(walk, entry),
        None => Some(Publish {
            late_landing: LATE_LANDING,
            look_again: LOOK_AGAIN,
            parent_wait: PARENT_WAIT,
            linger: Duration::ZERO,
            bulk_from: Some(BULK_FROM),
        }),
    };
    let probe_every = match document.entry("subscribe") {
        Some((key, node)) => {
            walk.block(node, &key.span, &SUBSCRIBE).and_then(|block| match block.entry("probe_every") {
                Some(entry) => duration(walk, entry, PROBE_MIN, DAY),
                None => Some(PROBE_EVERY),
            })
        }
        None => Some(PROBE_EVERY),
    };
    let journal_retain = match document.entry("journal") {
        Some(entry) => retain::journal(walk, entry),
        None => Some(Retain::default()),
    };
    let history_age = match document.entry("history") {
        Some(entry) => history_age(walk, entry),
        None => Some(HISTORY_AGE),
    };
    let digest = match document.entry("digest") {
        Some(entry) => feedback::digest(walk, entry, path, logins).map(Some),
        None => Some(None),
    };
    walk.without = logins == Logins::MayLack;
    let orgs = document.entry("orgs").and_then(|entry| orgs::check(walk, entry, path));
    walk.without = false;
    let entries = document.entry("pipelines").and_then(|entry| pipelines::check(walk, entry, path, logins));
    if let Some(entries) = &entries {
        references::check(walk, orgs.as_ref(), entries);
    }
    let cases = match (document.entry("tests"), &entries) {
        (Some(entry), Some(entries)) => cases::check(walk, entry, path, &cases::Known::of(entries)),
        (None, _) | (_, None) => Some(Vec::new()),
    };

    if !walk.findings.is_empty() {
        return None;
    }
    // An org without a config has a problem that was found, or may lack what it lacks.
    let orgs: BTreeMap<OrgName, _> =
        orgs?.into_values().flatten().map(|config| (config.name.clone(), config)).collect();
    let pipelines::Entries { pipelines, actions } = entries?;
    let pipelines = pipelines.into_iter().map(pipelines::Pipeline::finish).collect::<Option<_>>()?;
    let actions = actions.into_iter().map(actions::Action::finish).collect::<Option<_>>()?;
    let Publish { late_landing, look_again, parent_wait, linger, bulk_from } = publish?;
    let (state, cases, probe_every, history_age) = (state?, cases?, probe_every?, history_age?);
    Some(Config {
        orgs,
        pipelines,
        actions,
        state,
        late_landing,
        look_again,
        parent_wait,
        linger,
        bulk_from,
        cases,
        probe_every,
        journal_retain: journal_retain?,
        history_age,
        digest: digest?,
    })
}

/// A file that holds nothing but tests, of the pipelines of `config`.
pub(super) fn cases(walk: &mut Walk<'_>, root: &Node, path: &Path, config: &Config) -> Option<Vec<Case>> {
    let file = walk.block(root, root.place(), &cases::FILE)?;
    cases::check(walk, file.entry("tests")?, path, &cases::Known::of_config(config))
}

/// A path as the config gives it: relative to the folder of the config.
fn beside(config: &Path, path: &str) -> PathBuf {
    config.parent().unwrap_or(Path::new("")).join(path)
}

fn version(walk: &mut Walk<'_>, entry: (&Key, &Node)) {
    if let Some(text) = walk.text(entry).filter(|text| text.value != "1") {
        walk.find(&text.span, "this program reads configs of version 1", "write `version: 1`");
    }
}

/// How long what happened to a record is kept.
fn history_age(walk: &mut Walk<'_>, (key, node): (&Key, &Node)) -> Option<Duration> {
    let Some((key, node)) = walk.block(node, &key.span, &HISTORY)?.entry("retain") else { return Some(HISTORY_AGE) };
    match walk.block(node, &key.span, &HISTORY_RETAIN)?.entry("age") {
        Some(entry) => duration(walk, entry, HISTORY_AGE_MIN, retain::AGE_MAX),
        None => Some(HISTORY_AGE),
    }
}

/// The values of the block `publish`.
struct Publish {
    late_landing: Duration,
    look_again: Duration,
    parent_wait: Duration,
    linger: Duration,
    bulk_from: Option<usize>,
}

fn publish(walk: &mut Walk<'_>, (key, node): (&Key, &Node)) -> Option<Publish> {
    let publish = walk.block(node, &key.span, &PUBLISH)?;
    let late_landing = match publish.entry("late_landing") {
        Some(entry) => duration(walk, entry, Duration::ZERO, DAY),
        None => Some(LATE_LANDING),
    };
    let look_again = match publish.entry("look_again") {
        Some(entry) => duration(walk, entry, LOOK_AGAIN_MIN, DAY),
        None => Some(LOOK_AGAIN),
    };
    let linger = match publish.entry("linger") {
        Some(entry) => duration(walk, entry, Duration::ZERO, LINGER_MAX),
        None => Some(Duration::ZERO),
    };
    let bulk_from = match publish.entry("bulk_from") {
        Some(entry) => bulk_from(walk, entry),
        None => Some(Some(BULK_FROM)),
    };
    let parent_wait = match publish.entry("parent_wait") {
        Some(entry) => duration(walk, entry, LOOK_AGAIN_MIN, PARENT_WAIT_MAX),
        None => Some(PARENT_WAIT),
    };
    Some(Publish {
        late_landing: late_landing?,
        look_again: look_again?,
        parent_wait: parent_wait?,
        linger: linger?,
        bulk_from: bulk_from?,
    })
}

/// A number of records, or `off`.
fn bulk_from(walk: &mut Walk<'_>, entry: (&Key, &Node)) -> Option<Option<usize>> {
    let text = walk.text(entry)?;
    let remedy = format!("write how many records must wait, from {BULK_FROM_MIN} to {BULK_FROM_MAX}, or off");
    match text.value.parse::<usize>() {
        _ if text.value == "off" => Some(None),
        Ok(records) if (BULK_FROM_MIN..=BULK_FROM_MAX).contains(&records) => Some(Some(records)),
        Ok(records) if records > BULK_FROM_MAX => {
            let message = format!("`bulk_from` is more than {BULK_FROM_MAX}: so many never wait in memory");
            walk.find(&text.span, message, remedy);
            None
        }
        Ok(_) => {
            let message = format!("`bulk_from` is less than {BULK_FROM_MIN}: a job would cost more than it saves");
            walk.find(&text.span, message, remedy);
            None
        }
        Err(_) => {
            walk.find(&text.span, "`bulk_from` must be a number of records", remedy);
            None
        }
    }
}

/// A number and a unit, between two bounds.
fn duration(walk: &mut Walk<'_>, entry: (&Key, &Node), min: Duration, max: Duration) -> Option<Duration> {
    let text = walk.text(entry)?;
    let name = &entry.0.text;
    match humantime::parse_duration(&text.value) {
        Ok(duration) if (min..=max).contains(&duration) => Some(duration),
        Ok(duration) => {
            let bound = if duration < min { ("shorter", min) } else { ("longer", max) };
            let bounds =
                format!("at least {}, at most {}", humantime::format_duration(min), humantime::format_duration(max));
            walk.find(
                &text.span,
                format!("`{name}` is {} than {}", bound.0, humantime::format_duration(bound.1)),
                bounds,
            );
            None
        }
        Err(_) => {
            walk.find(
                &text.span,
                format!("`{name}` must be a length of time"),
                "write a number and a unit: 500ms, 10s, 10m, 1h",
            );
            None
        }
    }
}
