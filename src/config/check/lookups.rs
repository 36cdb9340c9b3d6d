//! What is found in the target: records by a value, record types, owners.

use std::collections::BTreeMap;

use super::super::tree::{Key, Node};
use super::super::walk::{At, Block, Keys, Walk};
use super::super::{Fill, IfMissing, OwnerKey, OwnerName, Sought};
use super::rules::expression;
use crate::event::{FieldName, FieldPath, ObjectName};

pub(in super::super) const FIND: Keys = Keys {
    block: "a record that is found by a value",
    required: &["find", "by"],
    optional: &["from", "cel", "if_missing", "on_null", "write_on"],
};
pub(in super::super) const RECORD_TYPE: Keys =
    Keys { block: "a record type", required: &["record_type"], optional: &["write_on"] };
pub(in super::super) const OWNER: Keys = Keys { block: "an owner", required: &["owner"], optional: &["write_on"] };
pub(in super::super) const TAKEN_AS: Keys = Keys {
    block: "a record type or owner of the source",
    required: &["from", "as"],
    optional: &["table", "default", "match", "fallback", "if_missing", "write_on"],
};

/// The fill of a block that is one of these; `None` where it is none of them.
pub(super) fn fill(walk: &mut Walk<'_>, block: &Block<'_>, node: &Node) -> Option<Option<At<Fill>>> {
    let at = |value: Fill| At { value, raw: String::new(), span: node.span.clone() };
    let fill = if let Some(entry) = block.entry("find") {
        find(walk, block, entry)
    } else if let Some(entry) = block.entry("record_type") {
        name(walk, entry, RECORD_TYPE_NAME).map(Fill::RecordType)
    } else if let Some(entry) = block.entry("owner") {
        name(walk, entry, OWNER_NAME).map(|name| Fill::Owner(OwnerName::of(&name)))
    } else if let Some(entry) = block.entry("as") {
        taken_as(walk, block, entry)
    } else {
        return None;
    };
    Some(fill.map(at))
}

const RECORD_TYPE_NAME: &str = "write its developer name, as in Setup > Object Manager > Record Types";
const OWNER_NAME: &str = "write the user name of a user (it has an @), or the developer name of a queue";

fn find(walk: &mut Walk<'_>, block: &Block<'_>, entry: (&Key, &Node)) -> Option<Fill> {
    let object = walk.name::<ObjectName>(entry);
    let by = block.entry("by").and_then(|entry| walk.name::<FieldName>(entry));
    let value = match (block.entry("from"), block.entry("cel")) {
        (Some(entry), None) => walk.name::<FieldPath>(entry).map(|path| Sought::Field(path.value)),
        (None, Some(entry)) => expression(walk, entry).and_then(|compiled| {
            // It is asked together with a read of the record, which repeats no single change.
            if compiled.value.reads_header() {
                let remedy = "look for something that the record holds";
                walk.find(&compiled.span, "a lookup cannot depend on who or what changed the record", remedy);
                return None;
            }
            Some(Sought::Expression(compiled.value))
        }),
        (Some((key, _)), Some(_)) => {
            walk.find(&key.span, "two values are looked for", "keep `from` or `cel`");
            None
        }
        (None, None) => {
            let remedy = "add `from:` with the source field that has the value, or `cel:`";
            walk.find(&block.place, "nothing is looked for", remedy);
            None
        }
    };
    Some(Fill::Find { object: object?.value, by: by?.value, value: value? })
}

#[derive(Clone, Copy)]
enum Kind {
    RecordType,
    Owner,
}

fn taken_as(walk: &mut Walk<'_>, block: &Block<'_>, entry: (&Key, &Node)) -> Option<Fill> {
    let kind = walk.choice(entry, &[("record_type", Kind::RecordType), ("owner", Kind::Owner)])?;
    let from = block.entry("from").and_then(|entry| walk.name::<FieldPath>(entry));
    let table = match block.entry("table") {
        Some(entry) => names(walk, entry),
        None => Some(BTreeMap::new()),
    };
    let foreign: &[(&str, &str)] = match kind {
        Kind::RecordType => &[("match", "users"), ("fallback", "owners: write `default`")],
        Kind::Owner => &[("default", "record types: write `fallback`")],
    };
    for (key, of) in foreign {
        if let Some((key, _)) = block.entry(key) {
            walk.find(&key.span, format!("`{}` is for {of}", key.text), "remove it");
            return None;
        }
    }
    match kind {
        Kind::RecordType => {
            let default = optional(walk, block, "default", RECORD_TYPE_NAME)?;
            Some(Fill::RecordTypeOf { from: from?.value, table: table?, default })
        }
        Kind::Owner => {
            let keys = [
                ("federation_id", OwnerKey::FederationId),
                ("username", OwnerKey::Username),
                ("email", OwnerKey::Email),
            ];
            let by = match block.entry("match") {
                Some(entry) => walk.choice(entry, &keys),
                None => Some(OwnerKey::FederationId),
            };
            let fallback = optional(walk, block, "fallback", OWNER_NAME)?.map(|name| OwnerName::of(&name));
            let table = table?.into_iter().map(|(name, other)| (name, OwnerName::of(&other))).collect();
            Some(Fill::OwnerOf { from: from?.value, by: by?, table, fallback })
        }
    }
}

pub(super) fn if_missing(walk: &mut Walk<'_>, entry: (&Key, &Node)) -> Option<IfMissing> {
    let choices = [
        ("wait", IfMissing::Wait),
        ("fill_later", IfMissing::FillLater),
        ("skip", IfMissing::Skip),
        ("fail", IfMissing::Fail),
    ];
    walk.choice(entry, &choices)
}

fn optional(walk: &mut Walk<'_>, block: &Block<'_>, key: &str, remedy: &str) -> Option<Option<String>> {
    match block.entry(key) {
        Some(entry) => name(walk, entry, remedy).map(Some),
        None => Some(None),
    }
}

fn name(walk: &mut Walk<'_>, entry: (&Key, &Node), remedy: &str) -> Option<String> {
    let text = walk.text(entry)?;
    if text.value.trim().is_empty() {
        walk.find(&text.span, format!("`{}` is empty", entry.0.text), remedy);
        return None;
    }
    Some(text.value)
}

/// A name of the source, a colon, and the name of the target.
fn names(walk: &mut Walk<'_>, (key, node): (&Key, &Node)) -> Option<BTreeMap<String, String>> {
    let lines = walk.entries(node, &key.span, "`table`")?;
    if lines.is_empty() {
        walk.find(&key.span, "`table` is empty", "write a line `source name: target name` for each name");
        return None;
    }
    let read = lines.iter().map(|(key, node)| Some((key.text.clone(), name(walk, (key, node), "write a name")?)));
    // All of them, so that all problems are found.
    read.collect::<Vec<_>>().into_iter().collect()
}
