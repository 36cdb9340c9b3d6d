//! What one change, or one record that was read, becomes in the target. Pure: all that it needs to know is handed in.
//!
//! A CREATE, an UNDELETE and a read are whole: every mapped field is written, empty ones as null. An UPDATE is partial:
//! only what changed. What cannot be judged on the part alone is answered with [`Mapped::Needs`].

mod compile;
pub mod expression;
mod known;

use std::collections::BTreeMap;

pub use compile::Mapping;
use compile::Rule;
pub use known::{Known, LinkState};

use crate::config::OnDelete;
use crate::event::{ChangeKind, Field, FieldName, FieldPath, Part, Record, RecordId, Value};
use crate::publish::{Body, Cell, Cover, Key, Reference, Write};
use crate::store::Parent;

/// What mapping says of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mapped {
    Write(Box<Write>),
    /// It cannot be judged yet.
    Needs(Needs),
    /// Nothing is to be written, and why.
    Skipped(Skip),
    /// It can never be written as it is: a failed record.
    Failed {
        code: &'static str,
        field: FieldName,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Needs {
    /// The whole record as the source has it now.
    Record,
    /// The target record that holds this key value, if any: a delete without a link.
    TargetOf { key: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// None of the fields that changed is mapped.
    NothingMapped,
    /// `on_delete: ignore`.
    DeleteIgnored,
    /// A delete of a record that never had a counterpart, and whose key does not follow from its id.
    NeverLinked,
    /// The event names no record; it is a gap.
    NoRecord,
}

/// A whole write without a value for the key field cannot find its counterpart.
pub const KEY_EMPTY: &str = "KEY_EMPTY";
/// A compound field was mapped as one; only its parts can be written.
pub const COMPOUND_VALUE: &str = "COMPOUND_VALUE";

impl Mapping {
    /// What a journaled part becomes. `cover` is what the write will settle.
    pub fn apply(&self, part: &Part, known: &Known<'_>, cover: Cover) -> Mapped {
        match part.kind() {
            ChangeKind::Create | ChangeKind::Undelete => {
                // After an undelete the old counterpart is gone, or goes soon: the link is renewed by the key.
                let linked = if part.kind() == ChangeKind::Undelete { known.unlinked() } else { known.clone() };
                self.whole(part.record, |path| part.field(path), &linked, cover)
            }
            ChangeKind::Update => self.partial(part, known, cover),
            ChangeKind::Delete | ChangeKind::GapDelete => self.delete(part.record, known, cover),
            ChangeKind::GapCreate | ChangeKind::GapUpdate | ChangeKind::GapUndelete => Mapped::Needs(Needs::Record),
            ChangeKind::GapOverflow => Mapped::Skipped(Skip::NoRecord),
        }
    }

    /// What a record that was read becomes.
    pub fn apply_read(&self, record: &Record, known: &Known<'_>, cover: Cover) -> Mapped {
        self.whole(record.id, |path| record.values.get(path).cloned().map(Field::New), known, cover)
    }

    /// What a record becomes that a read found deleted.
    pub fn apply_deleted(&self, record: RecordId, known: &Known<'_>, cover: Cover) -> Mapped {
        self.delete(record, known, cover)
    }

    /// The parents whose links a part asks for.
    pub fn parents_of(&self, part: &Part) -> Vec<Parent> {
        self.parents(part.record, |path| part.field(path))
    }

    /// The parents whose links a whole record asks for.
    pub fn parents_of_read(&self, record: &Record) -> Vec<Parent> {
        self.parents(record.id, |path| record.values.get(path).cloned().map(Field::New))
    }

    fn parents(&self, record: RecordId, field: impl Fn(&FieldPath) -> Option<Field>) -> Vec<Parent> {
        self.rules
            .iter()
            .filter_map(|(_, rule)| match rule {
                Rule::Parent(lookup) => match value_of(record, &lookup.from, &field) {
                    // A whole write names a parent that is known, though unchanged.
                    Some(Field::New(Value::Text(id)) | Field::Same(Value::Text(id))) => {
                        Some(Parent { target_object: lookup.target_object.clone(), record: id.parse().ok()? })
                    }
                    _ => None,
                },
                Rule::Source(_) | Rule::Constant(_) => None,
            })
            .collect()
    }

    fn whole(
        &self,
        record: RecordId,
        field: impl Fn(&FieldPath) -> Option<Field>,
        known: &Known<'_>,
        cover: Cover,
    ) -> Mapped {
        let mut draft = Draft::default();
        for (name, rule) in &self.rules {
            let value = match rule {
                Rule::Constant(value) => value.clone(),
                Rule::Source(path) => match value_of(record, path, &field) {
                    Some(Field::New(value) | Field::Same(value)) => value,
                    Some(Field::Diff | Field::Patch(_)) => return Mapped::Needs(Needs::Record),
                    None => Value::Null,
                },
                Rule::Parent(lookup) => match value_of(record, &lookup.from, &field) {
                    Some(Field::New(value) | Field::Same(value)) => {
                        draft.refer(name, lookup, &value, known);
                        continue;
                    }
                    Some(Field::Diff | Field::Patch(_)) => return Mapped::Needs(Needs::Record),
                    None => Value::Null,
                },
            };
            if matches!(value, Value::Compound(_)) {
                return Mapped::Failed { code: COMPOUND_VALUE, field: name.clone() };
            }
            draft.fields.insert(name.clone(), Cell::Value(value));
        }
        let Some(value) = draft.fields.get(&self.key).and_then(Cell::key_text) else {
            return Mapped::Failed { code: KEY_EMPTY, field: self.key.clone() };
        };
        let key = match &known.link {
            LinkState::Linked(id) => Key::Record { object: self.target_object.clone(), id: *id },
            LinkState::None | LinkState::Coming(_) => {
                Key::External { object: self.target_object.clone(), field: self.key.clone(), value }
            }
        };
        draft.write(key, cover, Body::Whole, &self.key)
    }

    fn partial(&self, part: &Part, known: &Known<'_>, cover: Cover) -> Mapped {
        let mut draft = Draft::default();
        let mut unread = false;
        for (name, rule) in &self.rules {
            match rule {
                Rule::Constant(_) => {}
                Rule::Source(path) => match part.field(path) {
                    Some(Field::New(Value::Compound(_))) => {
                        return Mapped::Failed { code: COMPOUND_VALUE, field: name.clone() };
                    }
                    Some(Field::New(value)) => {
                        draft.fields.insert(name.clone(), Cell::Value(value));
                    }
                    Some(Field::Diff | Field::Patch(_)) => unread = true,
                    Some(Field::Same(_)) | None => {}
                },
                Rule::Parent(lookup) => match part.field(&lookup.from) {
                    Some(Field::New(value)) => draft.refer(name, lookup, &value, known),
                    Some(Field::Diff | Field::Patch(_)) => unread = true,
                    Some(Field::Same(_)) | None => {}
                },
            }
        }
        if draft.fields.is_empty() && !unread {
            return Mapped::Skipped(Skip::NothingMapped);
        }
        let key = match &known.link {
            _ if unread => return Mapped::Needs(Needs::Record),
            LinkState::None => return Mapped::Needs(Needs::Record),
            LinkState::Coming(key) => key.clone(),
            LinkState::Linked(id) => Key::Record { object: self.target_object.clone(), id: *id },
        };
        draft.write(key, cover, Body::Partial, &self.key)
    }

    fn delete(&self, record: RecordId, known: &Known<'_>, cover: Cover) -> Mapped {
        if self.on_delete == OnDelete::Ignore {
            return Mapped::Skipped(Skip::DeleteIgnored);
        }
        let key = match (&known.link, self.key_of(record)) {
            (LinkState::Linked(id), _) => Key::Record { object: self.target_object.clone(), id: *id },
            (LinkState::Coming(key), _) => key.clone(),
            (LinkState::None, Some(key)) => return Mapped::Needs(Needs::TargetOf { key }),
            (LinkState::None, None) => return Mapped::Skipped(Skip::NeverLinked),
        };
        Draft::default().write(key, cover, |_| Body::Delete, &self.key)
    }
}

/// `Id` is not in an event's body: it is the record's own id.
fn value_of(record: RecordId, path: &FieldPath, field: impl Fn(&FieldPath) -> Option<Field>) -> Option<Field> {
    if path.as_str() == "Id" { Some(Field::New(Value::text(record.as_str()))) } else { field(path) }
}

/// A write in the making.
#[derive(Default)]
struct Draft {
    fields: BTreeMap<FieldName, Cell>,
    lock_keys: Vec<Parent>,
    waits_for: Vec<Parent>,
}

impl Draft {
    fn refer(&mut self, name: &FieldName, lookup: &compile::Lookup, value: &Value, known: &Known<'_>) {
        let parent = value.as_text().and_then(|id| id.parse::<RecordId>().ok());
        let Some(record) = parent else {
            // Empty, or nothing that can be a record id: the lookup is cleared.
            self.fields.insert(name.clone(), Cell::Value(Value::Null));
            return;
        };
        let parent = Parent { target_object: lookup.target_object.clone(), record };
        let link = known.parent_link(&parent);
        self.lock_keys.push(parent.clone());
        self.waits_for.push(parent.clone());
        self.fields.insert(
            name.clone(),
            Cell::Parent(Reference {
                parent,
                link,
                external: lookup.key_is_id.then(|| (lookup.relationship.clone(), lookup.key.clone())),
            }),
        );
    }

    fn write(
        self,
        key: Key,
        cover: Cover,
        body: impl FnOnce(BTreeMap<FieldName, Cell>) -> Body,
        key_field: &FieldName,
    ) -> Mapped {
        Mapped::Write(Box::new(Write {
            key,
            key_field: key_field.clone(),
            body: body(self.fields),
            lock_keys: self.lock_keys,
            waits_for: self.waits_for,
            covers: vec![cover],
        }))
    }
}

#[cfg(test)]
mod tests;
