//! `pipelines`: one by one; what they say about each other is in `references`, what fills a field in `rules`.

use std::path::Path;
use std::time::Duration;

use super::super::tree::{Key, Kind, Node};
use super::super::walk::{At, Block, Keys, Walk};
use super::super::{
    Backfill, Brakes, Feedback, Flag, From, Limit, Logins, MayDelete, NoLongerMatching, OnDelete, OnUndelete,
    PipelineConfig, Publishing, Start, To, Verify,
};
use super::actions::{self, Action};
use super::duration;
use super::feedback;
use super::publishing;
use super::retain::AGE_MAX;
use super::rules::{self, Mapped};
use crate::event::{Channel, FieldName, ObjectName, OrgName, PipelineName, Value};
use crate::mapping::Expression;
use crate::text::closest;

pub(in super::super) const PIPELINE: Keys = Keys {
    block: "a pipeline",
    required: &["name", "from", "to", "fields"],
    optional: &[
        "when",
        "when_no_longer_matching",
        "flag",
        "on_delete",
        "may_delete",
        "on_undelete",
        "when_target_gone",
        "key_changes",
        "assignment_rules",
        "duplicates",
        "coalesce",
        "batch_size",
        "brakes",
        "backfill",
        "verify",
        "feedback",
    ],
};
pub(in super::super) const FROM: Keys =
    Keys { block: "`from`", required: &["org", "object"], optional: &["channel", "source", "every", "start"] };
pub(in super::super) const TO: Keys = Keys { block: "`to`", required: &["org", "object", "key"], optional: &[] };
pub(in super::super) const FLAG: Keys = Keys { block: "a flag", required: &["field", "set"], optional: &["clear"] };
pub(in super::super) const BRAKES: Keys =
    Keys { block: "`brakes`", required: &[], optional: &["deletes", "creates", "failures"] };
pub(in super::super) const VERIFY: Keys = Keys { block: "`verify`", required: &[], optional: &["every", "repair"] };
const VERIFY_MIN: Duration = Duration::from_secs(60);
const BRAKE_MIN: Duration = Duration::from_secs(1);
const POLL_EVERY: Duration = Duration::from_secs(60);
const POLL_MIN: Duration = Duration::from_millis(500);
const POLL_MAX: Duration = Duration::from_secs(24 * 3600);
/// A pipeline of which some values may be missing, because they have problems.
pub(super) struct Pipeline {
    pub name: Option<At<PipelineName>>,
    pub from_org: Option<At<OrgName>>,
    pub channel: Option<At<Channel>>,
    pub from_object: Option<At<ObjectName>>,
    start: Option<Start>,
    /// Some: `source: poll`.
    pub poll: Option<Option<Duration>>,
    pub to_org: Option<At<OrgName>>,
    pub to_object: Option<At<ObjectName>>,
    pub key: Option<At<FieldName>>,
    /// None if there is a problem; Some(None) if every record matches.
    pub when: Option<Option<At<Expression>>>,
    pub no_longer_matching: Option<At<NoLongerMatching>>,
    /// None if `fields` itself could not be read.
    pub fields: Option<Vec<Mapped>>,
    pub flag: Option<Option<At<Flag>>>,
    pub on_delete: Option<At<OnDelete>>,
    /// None if there is a problem; Some(None) if it is not said.
    pub may_delete: Option<Option<At<MayDelete>>>,
    brakes: Option<Brakes>,
    backfill: Option<Backfill>,
    verify: Option<Verify>,
    pub feedback: Option<At<Feedback>>,
    pub on_undelete: Option<At<OnUndelete>>,
    publishing: Option<Publishing>,
}

impl Pipeline {
    /// None if anything is missing.
    pub fn finish(self) -> Option<PipelineConfig> {
        let from = From {
            org: self.from_org?.value,
            channel: self.channel?.value,
            object: self.from_object?.value,
            start: self.start?,
            poll: match self.poll {
                Some(every) => Some(every?),
                None => None,
            },
        };
        let to = To { org: self.to_org?.value, object: self.to_object?.value, key: self.key?.value };
        let fields = self.fields?.into_iter().map(|field| Some((field.target?.value, field.rule?.value)));
        Some(PipelineConfig {
            name: self.name?.value,
            from,
            to,
            when: self.when?.map(|when| when.value),
            when_no_longer_matching: self.no_longer_matching?.value,
            fields: fields.collect::<Option<_>>()?,
            flag: self.flag?.map(|flag| flag.value),
            on_delete: self.on_delete?.value,
            brakes: self.brakes?,
            backfill: self.backfill?,
            verify: self.verify?,
            feedback: self.feedback?.value,
            publishing: Publishing {
                may_delete: self.may_delete?.map_or_else(MayDelete::default, |may| may.value),
                on_undelete: self.on_undelete?.value,
                ..self.publishing?
            },
        })
    }
}

/// The entries of `pipelines`.
#[derive(Default)]
pub(super) struct Entries {
    /// Those with `to`.
    pub pipelines: Vec<Pipeline>,
    /// Those with `action`.
    pub actions: Vec<Action>,
}

pub(super) fn check(walk: &mut Walk<'_>, entry: (&Key, &Node), path: &Path, logins: Logins) -> Option<Entries> {
    let items = walk.list(entry)?;
    if items.is_empty() {
        walk.find(&entry.0.span, "`pipelines` is an empty list", "add a pipeline, or there is nothing to do");
    }
    let mut entries = Entries::default();
    for item in items {
        if is_action(walk, item) {
            entries.actions.extend(actions::check(walk, item, path, logins));
        } else {
            entries.pipelines.extend(pipeline(walk, item));
        }
    }
    Some(entries)
}

/// Whether an entry has `action` in place of `to`.
fn is_action(walk: &mut Walk<'_>, item: &Node) -> bool {
    let Kind::Map(entries) = &item.kind else { return false };
    let has = |name: &str| entries.iter().find(|(key, _)| key.text == name);
    match (has("to"), has("action")) {
        (Some((key, _)), Some(_)) => {
            let remedy = "keep one: `to` brings records over, `action` does something for each event";
            walk.find(&key.span, "a pipeline has `to` or `action`", remedy);
            false
        }
        (None, Some(_)) => true,
        (Some(_), None) => false,
        (None, None) => entries.iter().any(|(key, _)| closest(&key.text, std::iter::once("action")).is_some()),
    }
}

fn pipeline(walk: &mut Walk<'_>, node: &Node) -> Option<Pipeline> {
    let block = walk.block(node, node.place(), &PIPELINE)?;
    let name = block.entry("name").and_then(|entry| walk.name(entry));
    let from = block.entry("from").and_then(|(key, node)| walk.block(node, &key.span, &FROM));
    let poll = from.as_ref().and_then(|from| polling(walk, from));
    let from_object = from.as_ref().and_then(|from| from.entry("object")).and_then(|entry| walk.name(entry));
    let channel = from.as_ref().and_then(|from| channel(walk, from, poll.is_some(), from_object.as_ref()));
    let from = |name| from.as_ref().and_then(|from| from.entry(name));
    let to = block.entry("to").and_then(|(key, node)| walk.block(node, &key.span, &TO));
    let to = |name| to.as_ref().and_then(|to| to.entry(name));
    let flag = match block.entry("flag") {
        Some(entry) => flag(walk, entry).map(Some),
        None => Some(None),
    };
    // A flag is there to be set.
    let unsaid = if matches!(flag, Some(None)) { OnDelete::Ignore } else { OnDelete::Flag };
    Some(Pipeline {
        name,
        from_org: from("org").and_then(|entry| walk.name(entry)),
        channel,
        from_object,
        poll,
        start: match from("start") {
            Some(entry) => start(walk, entry),
            None => Some(Start::default()),
        },
        to_org: to("org").and_then(|entry| walk.name(entry)),
        to_object: to("object").and_then(|entry| walk.name(entry)),
        key: to("key").and_then(|entry| walk.name(entry)),
        when: match block.entry("when") {
            Some(entry) => rules::condition(walk, entry).map(Some),
            None => Some(None),
        },
        no_longer_matching: match block.entry("when_no_longer_matching") {
            Some(entry) => no_longer_matching(walk, &block, entry),
            None => Some(unplaced(NoLongerMatching::default())),
        },
        fields: block.entry("fields").and_then(|entry| rules::fields(walk, entry)),
        flag,
        on_delete: match block.entry("on_delete") {
            Some(entry) => {
                let choices = [("ignore", OnDelete::Ignore), ("flag", OnDelete::Flag), ("delete", OnDelete::Delete)];
                let place = entry.1.span.clone();
                walk.choice(entry, &choices).map(|value| At { value, raw: String::new(), span: place })
            }
            None => Some(unplaced(unsaid)),
        },
        may_delete: match block.entry("may_delete") {
            Some(entry) => {
                // What it is about may be written, and misspelt.
                let about = ["on_delete", "when_no_longer_matching"];
                let unread = about.iter().any(|key| block.misspelt.contains(key));
                publishing::may_delete(walk, entry).filter(|_| !unread).map(Some)
            }
            None => Some(None),
        },
        brakes: match block.entry("brakes") {
            Some(entry) => brakes(walk, entry),
            None => Some(Brakes::default()),
        },
        backfill: match block.entry("backfill") {
            Some(entry) => {
                let choices = [("on_command", Backfill::OnCommand), ("on_first_run", Backfill::OnFirstRun)];
                walk.choice(entry, &choices)
            }
            None => Some(Backfill::default()),
        },
        verify: match block.entry("verify") {
            Some(entry) => verify(walk, entry),
            None => Some(Verify::default()),
        },
        feedback: match block.entry("feedback") {
            Some(entry) => feedback::of_pipeline(walk, entry),
            None => Some(unplaced(Feedback::default())),
        },
        on_undelete: match block.entry("on_undelete") {
            Some(entry) => publishing::on_undelete(walk, entry),
            None => Some(unplaced(OnUndelete::default())),
        },
        publishing: publishing::check(walk, &block),
    })
}

pub(super) fn start(walk: &mut Walk<'_>, entry: (&Key, &Node)) -> Option<Start> {
    walk.choice(entry, &[("tip", Start::Tip), ("earliest", Start::Earliest)])
}

fn verify(walk: &mut Walk<'_>, (key, node): (&Key, &Node)) -> Option<Verify> {
    let block = walk.block(node, &key.span, &VERIFY)?;
    let usual = Verify::default();
    let every = match block.entry("every") {
        Some(entry) if walk.text(entry)?.value == "off" => Some(None),
        Some(entry) => duration(walk, entry, VERIFY_MIN, AGE_MAX).map(Some),
        None => Some(usual.every),
    };
    let repair = match block.entry("repair") {
        Some(entry) => walk.choice(entry, &[("true", true), ("false", false)]),
        None => Some(usual.repair),
    };
    Some(Verify { every: every?, repair: repair? })
}

fn brakes(walk: &mut Walk<'_>, (key, node): (&Key, &Node)) -> Option<Brakes> {
    let block = walk.block(node, &key.span, &BRAKES)?;
    let usual = Brakes::default();
    let mut limit = |name, usual| match block.entry(name) {
        Some(entry) => limit(walk, entry),
        None => Some(usual),
    };
    let (deletes, creates) = (limit("deletes", usual.deletes), limit("creates", usual.creates));
    let failures = match block.entry("failures") {
        Some(entry) => {
            let text = walk.text(entry)?;
            match text.value.parse::<u64>() {
                _ if text.value == "off" => Some(None),
                Ok(most @ 1..) => Some(Some(most)),
                Ok(0) | Err(_) => {
                    walk.find(&text.span, "`failures` must be a number of records", "write one, or off");
                    None
                }
            }
        }
        None => Some(usual.failures),
    };
    Some(Brakes { deletes: deletes?, creates: creates?, failures: failures? })
}

/// `500 in 10m`, or `off`.
fn limit(walk: &mut Walk<'_>, entry: (&Key, &Node)) -> Option<Option<Limit>> {
    let text = walk.text(entry)?;
    if text.value == "off" {
        return Some(None);
    }
    let parts = text.value.split_once(" in ").and_then(|(most, within)| {
        let within = humantime::parse_duration(within.trim()).ok().filter(|within| *within >= BRAKE_MIN)?;
        Some(Limit { most: most.trim().parse().ok()?, within })
    });
    if parts.is_none() {
        let remedy = "write how many in which time, 500 in 10m, or off";
        walk.find(&text.span, format!("`{}` is no limit", entry.0.text), remedy);
    }
    parts.map(Some)
}

/// A value that nobody wrote.
pub(super) fn unplaced<T>(value: T) -> At<T> {
    At { value, raw: String::new(), span: 0..0 }
}

fn no_longer_matching(walk: &mut Walk<'_>, pipeline: &Block<'_>, entry: (&Key, &Node)) -> Option<At<NoLongerMatching>> {
    let choices =
        [("keep", NoLongerMatching::Keep), ("flag", NoLongerMatching::Flag), ("delete", NoLongerMatching::Delete)];
    let value = walk.choice(entry, &choices)?;
    if pipeline.entry("when").is_none() && !pipeline.misspelt.contains(&"when") {
        let remedy = "add `when:`, or remove this key";
        walk.find(&entry.0.span, "without a condition every record matches", remedy);
        return None;
    }
    Some(At { value, raw: String::new(), span: entry.1.span.clone() })
}

/// A checkbox by its name alone, or a field with what it says.
fn flag(walk: &mut Walk<'_>, (key, node): (&Key, &Node)) -> Option<At<Flag>> {
    if !matches!(node.kind, Kind::Map(_)) {
        let field = walk.name::<FieldName>((key, node))?;
        let value = Flag { field: field.value, set: Value::Bool(true), clear: Value::Bool(false) };
        return Some(At { value, raw: field.raw, span: field.span });
    }
    let block = walk.block(node, &key.span, &FLAG)?;
    let field = block.entry("field").and_then(|entry| walk.name::<FieldName>(entry));
    let set = block.entry("set").and_then(|entry| rules::constant(walk, entry));
    let clear = match block.entry("clear") {
        Some(entry) => rules::constant(walk, entry),
        None => Some(Value::Null),
    };
    let field = field?;
    let value = Flag { field: field.value, set: set?, clear: clear? };
    Some(At { value, raw: field.raw, span: field.span })
}

/// None: the org's events tell what changed. Some(None): there is a problem.
pub(super) fn polling(walk: &mut Walk<'_>, from: &Block<'_>) -> Option<Option<Duration>> {
    let polls = from.entry("source").map(|entry| walk.choice(entry, &[("events", false), ("poll", true)]));
    let every = from.entry("every").map(|entry| super::duration(walk, entry, POLL_MIN, POLL_MAX));
    match (polls, every) {
        (Some(Some(true)), every) => Some(every.unwrap_or(Some(POLL_EVERY))),
        (None | Some(Some(false)), Some(_)) => {
            if let Some((key, _)) = from.entry("every") {
                let remedy = "add `source: poll`, or remove it: events come by themselves";
                walk.find(&key.span, "`every` is for objects that are polled", remedy);
            }
            None
        }
        (None | Some(None | Some(false)), _) => None,
    }
}

/// The channel that is written, or the one that stands for asking.
pub(super) fn channel(
    walk: &mut Walk<'_>,
    from: &Block<'_>,
    polled: bool,
    object: Option<&At<ObjectName>>,
) -> Option<At<Channel>> {
    match (from.entry("channel"), polled) {
        (Some((key, _)), true) => {
            let remedy = "remove `channel`, or `source: poll`";
            walk.find(&key.span, "an object that is polled has no channel", remedy);
            None
        }
        (Some(entry), false) => walk.name(entry),
        (None, true) => {
            let object = object?;
            Some(At { value: Channel::of_poll(&object.value)?, raw: object.raw.clone(), span: object.span.clone() })
        }
        (None, false) if from.misspelt.contains(&"channel") => None,
        (None, false) => {
            let remedy =
                "add `channel: /data/AccountChangeEvent`, or `source: poll` for an object without change events";
            walk.find(&from.place, "`from` needs the key `channel`", remedy);
            None
        }
    }
}
