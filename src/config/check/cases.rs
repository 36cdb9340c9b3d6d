//! `tests`: what happened in the source, and what should come of it.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::tree::{Key, Kind, Node, line_of};
use super::super::walk::{Block, Keys, Walk, quoted};
use super::super::{Answer, Case, CaseChange, Config, Expect, OnRead};
use super::pipelines::Entries;
use super::rules::constant;
use crate::event::{ChangeKind, FieldName, ObjectName, OrgName, PipelineName, RecordId, Timestamp, Value};
use crate::text::closest;

pub(in super::super) const FILE: Keys = Keys { block: "a file of tests", required: &["tests"], optional: &[] };
pub(in super::super) const CASE: Keys = Keys {
    block: "a test",
    required: &["name", "pipeline", "expect"],
    optional: &["id", "event", "change", "record", "link", "parents", "lookups"],
};
pub(in super::super) const ANSWER: Keys =
    Keys { block: "an answer to a lookup", required: &["org", "object", "by", "value", "gives"], optional: &["field"] };
pub(in super::super) const CHANGE: Keys =
    Keys { block: "`change`", required: &["kind"], optional: &["fields", "unchanged", "user", "client", "time"] };
pub(in super::super) const EXPECT: Keys = Keys {
    block: "`expect`",
    required: &[],
    optional: &["upsert", "update", "delete", "call", "skip", "fail", "wait"],
};
/// Where a test names no record.
const SOME_RECORD: &str = "001000000000001AAA";

/// What is triggered in a test, and so what can happen in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tested {
    Records,
    /// An action of changes; whether a read triggers it, too.
    OnChange {
        reads: bool,
    },
    /// An action of platform events.
    OnEvent,
}

/// The pipelines that tests may name.
pub(super) struct Known<'p>(Vec<(&'p str, Tested)>);

impl<'p> Known<'p> {
    pub fn of(entries: &'p Entries) -> Self {
        let pipelines = entries.pipelines.iter().filter_map(|one| Some((one.name.as_ref()?, Tested::Records)));
        let actions = entries.actions.iter().filter_map(|one| {
            let reads = one.on_read.as_ref().is_none_or(|on_read| on_read.value == OnRead::Fire);
            let tested = if one.is_of_events() == Some(true) { Tested::OnEvent } else { Tested::OnChange { reads } };
            Some((one.name.as_ref()?, tested))
        });
        Self(pipelines.chain(actions).map(|(name, tested)| (name.value.as_str(), tested)).collect())
    }

    pub fn of_config(config: &'p Config) -> Self {
        let pipelines = config.pipelines.iter().map(|one| (one.name.as_str(), Tested::Records));
        let actions = config.actions.iter().map(|one| {
            let reads = one.on_read == OnRead::Fire;
            (one.name.as_str(), if one.is_of_events() { Tested::OnEvent } else { Tested::OnChange { reads } })
        });
        Self(pipelines.chain(actions).collect())
    }

    fn tested(&self, name: &str) -> Option<Tested> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, tested)| *tested)
    }
}

/// `path`: the file.
pub(super) fn check(walk: &mut Walk<'_>, entry: (&Key, &Node), path: &Path, known: &Known<'_>) -> Option<Vec<Case>> {
    let items = walk.list(entry)?;
    let cases: Vec<Option<Case>> = items.iter().map(|item| case(walk, item, path, known)).collect();
    cases.into_iter().collect()
}

fn case(walk: &mut Walk<'_>, node: &Node, path: &Path, known: &Known<'_>) -> Option<Case> {
    let block = walk.block(node, node.place(), &CASE)?;
    let name = block.entry("name").and_then(|entry| walk.text(entry));
    let pipeline = block.entry("pipeline").and_then(|entry| walk.name::<PipelineName>(entry));
    let tested = pipeline.as_ref().and_then(|at| known.tested(at.value.as_str()));
    if let Some(pipeline) = pipeline.as_ref().filter(|_| tested.is_none()) {
        let remedy = match closest(pipeline.value.as_str(), known.0.iter().map(|(name, _)| *name)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "name one of the config's pipelines".to_owned(),
        };
        walk.find(&pipeline.span, "there is no such pipeline", remedy);
        return None;
    }
    if let Some(tested) = tested {
        fits(walk, &block, tested);
    }
    let event = match block.entry("event") {
        Some(entry) => values(walk, entry).map(Some),
        None => Some(None),
    };
    let change = match block.entry("change") {
        Some(entry) => change(walk, entry).map(Some),
        None => Some(None),
    };
    let record = match block.entry("record") {
        Some(entry) => values(walk, entry).map(Some),
        None => Some(None),
    };
    let happens = ["event", "change", "record"].into_iter().any(|key| block.entry(key).is_some());
    if !happens && tested != Some(Tested::OnEvent) {
        let remedy = "add `change:` with what an event says, or `record:` with the whole record";
        walk.find(&block.place, "nothing happens in this test", remedy);
    }
    let id = match block.entry("id").or_else(|| id_of(block.entry("record")?.1)) {
        Some(entry) => record_id(walk, entry),
        None => SOME_RECORD.parse().ok(),
    };
    let link = match block.entry("link") {
        Some(entry) => record_id(walk, entry).map(Some),
        None => Some(None),
    };
    let parents = match block.entry("parents") {
        Some(entry) => parents(walk, entry),
        None => Some(BTreeMap::new()),
    };
    let lookups = match block.entry("lookups") {
        Some(entry) => answers(walk, entry),
        None => Some(Vec::new()),
    };
    let expect = block.entry("expect").and_then(|entry| expect(walk, entry, tested));
    Some(Case {
        name: name?.value,
        pipeline: pipeline?.value,
        file: path.to_owned(),
        line: line_of(walk.source, node.place().start),
        id: id?,
        event: event?,
        change: change?,
        record: record?,
        link: link?,
        parents: parents?,
        lookups: lookups?,
        expect: expect?,
    })
}

/// A test says only what can happen to its pipeline.
fn fits(walk: &mut Walk<'_>, block: &Block<'_>, tested: Tested) {
    let (refused, why): (&[&str], &str) = match tested {
        Tested::Records => (&["event"], "a pipeline with `to` is not triggered by platform events"),
        Tested::OnChange { .. } => {
            (&["event", "link", "parents", "lookups"], "this action is triggered by changes, and has no counterpart")
        }
        Tested::OnEvent => {
            (&["id", "change", "record", "link", "parents", "lookups"], "this action is triggered by a platform event")
        }
    };
    for (key, _) in refused.iter().filter_map(|name| block.entry(name)) {
        walk.find(&key.span, why, format!("remove `{}`", key.text));
    }
    let told = block.entry("change").is_some() || block.misspelt.contains(&"change");
    if let (Tested::OnChange { reads: false }, false, Some((key, _))) = (tested, told, block.entry("record")) {
        walk.find(&key.span, "reads trigger nothing (on_read: skip)", "add `change:` with what an event says");
    }
    if tested == Tested::OnEvent && block.entry("event").is_none() && !block.misspelt.contains(&"event") {
        walk.find(&block.place, "nothing happens in this test", "add `event:` with the fields of the platform event");
    }
}

fn change(walk: &mut Walk<'_>, (key, node): (&Key, &Node)) -> Option<CaseChange> {
    let block = walk.block(node, &key.span, &CHANGE)?;
    let kinds = [
        ("create", ChangeKind::Create),
        ("update", ChangeKind::Update),
        ("delete", ChangeKind::Delete),
        ("undelete", ChangeKind::Undelete),
    ];
    let kind = block.entry("kind").and_then(|entry| walk.choice(entry, &kinds));
    let mut some = |name| match block.entry(name) {
        Some(entry) => values(walk, entry),
        None => Some(BTreeMap::new()),
    };
    let (fields, unchanged) = (some("fields"), some("unchanged"));
    let user = word(walk, &block, "user");
    let client = word(walk, &block, "client");
    let time = match block.entry("time") {
        Some(entry) => walk.text(entry).and_then(|text| {
            let read = Timestamp::read(&text.value);
            if read.is_none() {
                walk.find(&text.span, "this is no time", "write it as events do: 2026-11-29T08:30:00Z");
            }
            read
        }),
        None => Some(Timestamp(0)),
    };
    Some(CaseChange { kind: kind?, fields: fields?, unchanged: unchanged?, user: user?, client: client?, time: time? })
}

fn word(walk: &mut Walk<'_>, block: &Block<'_>, name: &str) -> Option<String> {
    match block.entry(name) {
        Some(entry) => walk.text(entry).map(|text| text.value),
        None => Some(String::new()),
    }
}

fn expect(walk: &mut Walk<'_>, (key, node): (&Key, &Node), tested: Option<Tested>) -> Option<Expect> {
    let block = walk.block(node, &key.span, &EXPECT)?;
    let (refused, remedy): (&[&str], _) = match tested {
        Some(Tested::Records) => (&["call"], "write upsert, update or delete"),
        Some(Tested::OnChange { .. } | Tested::OnEvent) => {
            (&["upsert", "update", "delete", "wait"], "write `call:` with what is handed over")
        }
        None => (&[], ""),
    };
    for (key, _) in refused.iter().filter_map(|name| block.entry(name)) {
        walk.find(&key.span, "this is nothing that the pipeline does", remedy);
    }
    let chosen: Vec<_> = EXPECT.optional.iter().filter_map(|name| block.entry(name)).collect();
    let [(word, node)] = chosen.as_slice() else {
        if block.misspelt.is_empty() {
            let remedy = "write one of: upsert, update, call (with the fields), delete: true, skip: true, fail: CODE, wait: CODE";
            walk.find(&key.span, "a test expects exactly one thing", remedy);
        }
        return None;
    };
    match word.text.as_str() {
        "upsert" => fields(walk, (word, node)).map(Expect::Upsert),
        "update" => fields(walk, (word, node)).map(Expect::Update),
        "call" => fields(walk, (word, node)).map(Expect::Call),
        "fail" => code(walk, (word, node)).map(Expect::Fail),
        "wait" => code(walk, (word, node)).map(Expect::Wait),
        "skip" => walk.choice((word, node), &[("true", ())]).map(|()| Expect::Skip),
        _ => walk.choice((word, node), &[("true", ())]).map(|()| Expect::Delete),
    }
}

/// A code, or none where any will do.
fn code(walk: &mut Walk<'_>, entry: (&Key, &Node)) -> Option<Option<String>> {
    walk.text(entry).map(|text| Some(text.value).filter(|code| code != "true"))
}

/// Target fields, each once, with what should be written.
fn fields(walk: &mut Walk<'_>, (key, node): (&Key, &Node)) -> Option<BTreeMap<FieldName, Value>> {
    let entries = walk.entries(node, &key.span, &format!("`{}`", key.text))?;
    let read: Vec<_> = entries
        .iter()
        .map(|(key, node)| Some((walk.key_name::<FieldName>(key)?.value, value(walk, (key, node))?)))
        .collect();
    read.into_iter().collect()
}

/// Source fields by the names of events (`BillingAddress.City`) or of REST (`BillingCity`).
fn values(walk: &mut Walk<'_>, (key, node): (&Key, &Node)) -> Option<BTreeMap<String, Value>> {
    let entries = walk.entries(node, &key.span, &format!("`{}`", key.text))?;
    let read: Vec<_> = entries.iter().map(|(key, node)| Some((key.text.clone(), value(walk, (key, node))?))).collect();
    read.into_iter().collect()
}

/// A single value, or the parts of a compound field.
fn value(walk: &mut Walk<'_>, (key, node): (&Key, &Node)) -> Option<Value> {
    match &node.kind {
        Kind::Map(_) => {
            let parts = values(walk, (key, node))?;
            Some(Value::Compound(parts))
        }
        Kind::Scalar { .. } | Kind::List(_) => constant(walk, (key, node)),
    }
}

fn parents(walk: &mut Walk<'_>, (key, node): (&Key, &Node)) -> Option<BTreeMap<RecordId, RecordId>> {
    let entries = walk.entries(node, &key.span, "`parents`")?;
    let read: Vec<_> = entries
        .iter()
        .map(|(key, node)| {
            let source = key.text.parse::<RecordId>().ok();
            if source.is_none() {
                no_id(walk, &key.text, &key.span);
            }
            Some((source?, record_id(walk, (key, node))?))
        })
        .collect();
    read.into_iter().collect()
}

fn answers(walk: &mut Walk<'_>, entry: (&Key, &Node)) -> Option<Vec<Answer>> {
    let items = walk.list(entry)?;
    // All of them, so that all problems are found.
    let read: Vec<Option<Answer>> = items.iter().map(|item| answer(walk, item)).collect();
    read.into_iter().collect()
}

fn answer(walk: &mut Walk<'_>, node: &Node) -> Option<Answer> {
    let block = walk.block(node, node.place(), &ANSWER)?;
    let org = block.entry("org").and_then(|entry| walk.name::<OrgName>(entry));
    let object = block.entry("object").and_then(|entry| walk.name::<ObjectName>(entry));
    let by = block.entry("by").and_then(|entry| walk.name::<FieldName>(entry)).map(|at| at.value);
    let field = match block.entry("field") {
        Some(entry) => walk.name::<FieldName>(entry).map(|at| at.value),
        None => Some(FieldName::known("Id")),
    };
    let value = block.entry("value").and_then(|entry| held(walk, by.as_ref()?, entry));
    let gives = block.entry("gives").and_then(|(key, node)| match &node.kind {
        _ if node.is_null() => Some(Vec::new()),
        Kind::List(items) => {
            let read: Vec<_> = items.iter().map(|item| held(walk, field.as_ref()?, (key, item))).collect();
            read.into_iter().collect()
        }
        Kind::Scalar { .. } | Kind::Map(_) => Some(vec![held(walk, field.as_ref()?, (key, node))?]),
    });
    Some(Answer { org: org?.value, object: object?.value, by: by?, value: value?, field: field?, gives: gives? })
}

/// What a field holds: an id in its long form, and anything else as text.
fn held(walk: &mut Walk<'_>, field: &FieldName, entry: (&Key, &Node)) -> Option<String> {
    match field.as_str() {
        "Id" => record_id(walk, entry).map(String::from),
        _ => walk.text(entry).map(|text| text.value),
    }
}

fn record_id(walk: &mut Walk<'_>, entry: (&Key, &Node)) -> Option<RecordId> {
    let text = walk.text(entry)?;
    let id = text.value.parse().ok();
    if id.is_none() {
        no_id(walk, &text.raw, &text.span);
    }
    id
}

/// The `Id` of a record.
fn id_of(record: &Node) -> Option<(&Key, &Node)> {
    let Kind::Map(entries) = &record.kind else { return None };
    entries.iter().find(|(key, _)| key.text == "Id").map(|(key, node)| (key, &**node))
}

fn no_id(walk: &mut Walk<'_>, raw: &str, span: &std::ops::Range<usize>) {
    // The last three characters follow from the others: people who make an id up rarely know which.
    let fitting = raw.get(..15).filter(|_| raw.len() == 18).and_then(|fifteen| fifteen.parse::<RecordId>().ok());
    if let Some(id) = fitting {
        let remedy = format!("write `{id}`, or the first 15 characters alone");
        walk.find(span, "the last three characters of this record id do not fit the others", remedy);
        return;
    }
    let remedy = "write the 15 or 18 characters as the org shows them, in quotes if they are only digits";
    walk.find(span, format!("`{}` is not a record id", quoted(raw)), remedy);
}
