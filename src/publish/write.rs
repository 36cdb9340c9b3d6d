//! One write for one record of the target, and how two of them merge.

use std::collections::BTreeMap;
use std::fmt;

use crate::config::{IfMissing, SaveOptions};
use crate::event::{FieldName, ObjectName, RecordId, Seq, Value};
use crate::store::{Parent, PipelineId};

/// What is to be written to one record of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    pub key: Key,
    /// The External ID field of the object, by which an upsert finds its record.
    pub key_field: FieldName,
    pub body: Body,
    /// Of a delete: only a record that the bridge created may go, and that is not known before what is on its way for the
    /// record has come back. It never goes out; it is handed back then.
    pub if_created: bool,
    pub manner: Manner,
    /// Records that the org locks together with this one. No two batches in flight share one.
    pub lock_keys: Vec<Parent>,
    /// Parents that it names. It waits while one of them is on its way, or on its way out.
    pub waits_for: Vec<Parent>,
    /// What is settled with this write.
    pub covers: Vec<Cover>,
}

/// Which record of the target. `Debug` leaves out the value of the External ID.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// The counterpart that the link names.
    Record { object: ObjectName, id: RecordId },
    /// Whoever holds this value of the External ID field.
    External { object: ObjectName, field: FieldName, value: String },
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record { object, id } => write!(f, "{object} {id}"),
            Self::External { object, field, .. } => write!(f, "{object} by {field}"),
        }
    }
}

impl Key {
    pub fn object(&self) -> &ObjectName {
        match self {
            Self::Record { object, .. } | Self::External { object, .. } => object,
        }
    }

    pub fn linked(&self) -> Option<RecordId> {
        match self {
            Self::Record { id, .. } => Some(*id),
            Self::External { .. } => None,
        }
    }
}

/// How a write wants to go out, whatever is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    pub options: SaveOptions,
    /// What waits for the same record of the target may become one write with it.
    pub coalesce: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self { options: SaveOptions::default(), coalesce: true }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Every mapped field: an upsert by the External ID, or an update where the link is known.
    Whole(BTreeMap<FieldName, Cell>),
    /// The mapped fields that changed: an update, never more.
    Partial(BTreeMap<FieldName, Cell>),
    Delete,
}

/// What goes into one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    Value(Value),
    Parent(Reference),
    /// What the lookup leads to is not in the target yet. Once the write is done this is remembered.
    Unfilled {
        /// Where a pipeline writes it.
        parent: Option<Parent>,
        /// The field is emptied: what it leads to in the target is not what it should, and would take the record along
        /// when it is deleted. Otherwise it is left as it is, for it can not be empty.
        emptied: bool,
    },
}

impl Cell {
    /// The value as the text of an External ID; none where it is empty.
    pub fn key_text(&self) -> Option<String> {
        match self {
            Self::Value(Value::Text(text)) if !text.is_empty() => Some(text.clone()),
            Self::Value(Value::Number(number)) => Some(number.to_string()),
            Self::Value(_) | Self::Parent(_) | Self::Unfilled { .. } => None,
        }
    }
}

/// A lookup: the parent by its id in the source, and how the target can be told which record it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    pub parent: Parent,
    /// Where the parent's key follows from its id. Preferred over the link: the org itself finds the parent, even one that
    /// was made anew.
    pub by_key: Option<ByKey>,
    pub link: Option<RecordId>,
    /// What happens to the write when the target does not have the parent.
    pub if_missing: IfMissing,
}

/// A parent named by its External ID, whose value is its id in the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByKey {
    /// The name of the relationship: `Account` for `AccountId`.
    pub relationship: String,
    pub key: FieldName,
    /// The relationship leads to several objects, so the call must say which is meant (facts: rest.md section 7).
    pub typed: bool,
}

impl Reference {
    /// The target cannot be told yet which record is meant.
    pub fn is_open(&self) -> bool {
        self.by_key.is_none() && self.link.is_none()
    }
}

/// A record of the source as one pipeline sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source {
    pub pipeline: PipelineId,
    pub record: RecordId,
}

/// Parts of a source record that a write settles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cover {
    pub source: Source,
    pub from: Seq,
    pub to: Seq,
    /// The record was read after its lost answer could no longer land: when this is settled, nothing is suspect.
    pub clears_suspect: bool,
}

impl Write {
    /// Whether this write and one of another record, or another pipeline, that has the same key may be one. Options of
    /// a call are never merged: under the other's options one of both could be refused, or get another owner. A delete
    /// has no options, and would be out of order otherwise.
    pub fn merges_with(&self, other: &Self) -> bool {
        let deletes = matches!(self.body, Body::Delete) || matches!(other.body, Body::Delete);
        deletes || (self.manner.coalesce && self.manner == other.manner)
    }

    /// The write that does what this one and then `newer` would do. `None`: only a read can tell, because an update
    /// follows a delete. What is covered is in `covers_with` of both in any case.
    pub fn then(self, newer: Self) -> Result<Self, Vec<Cover>> {
        let covers = covers_with(&self.covers, &newer.covers);
        let deletes = matches!(self.body, Body::Delete);
        let (body, keeps_old_parents) = match (self.body, newer.body) {
            (_, Body::Delete) => (Body::Delete, false),
            (Body::Delete, Body::Whole(fields)) => (Body::Whole(fields), false),
            (Body::Delete, Body::Partial(_)) => return Err(covers),
            // Two pipelines may write different fields of one record, so even a whole write keeps what it does not name.
            (Body::Whole(old) | Body::Partial(old), Body::Whole(new)) | (Body::Whole(old), Body::Partial(new)) => {
                (Body::Whole(united(old, new)), true)
            }
            (Body::Partial(old), Body::Partial(new)) => (Body::Partial(united(old, new)), true),
        };
        let if_created = matches!(body, Body::Delete) && newer.if_created && (self.if_created || !deletes);
        // A link that is known is not forgotten because the newer write was mapped before it landed, except by a whole
        // write that was meant to find its record anew.
        let key = match (&self.key, &newer.key, &body) {
            (Key::Record { .. }, Key::External { .. }, Body::Partial(_) | Body::Delete) => self.key,
            _ => newer.key,
        };
        let mut merged = Self {
            key,
            key_field: newer.key_field,
            body,
            if_created,
            manner: newer.manner,
            lock_keys: newer.lock_keys,
            waits_for: newer.waits_for,
            covers,
        };
        if keeps_old_parents {
            let named: Vec<Parent> = merged.references().map(|reference| reference.parent.clone()).collect();
            for (old, kept) in [(self.lock_keys, &mut merged.lock_keys), (self.waits_for, &mut merged.waits_for)] {
                for parent in old {
                    if named.contains(&parent) && !kept.contains(&parent) {
                        kept.push(parent);
                    }
                }
            }
        }
        Ok(merged)
    }

    pub fn fields(&self) -> Option<&BTreeMap<FieldName, Cell>> {
        match &self.body {
            Body::Whole(fields) | Body::Partial(fields) => Some(fields),
            Body::Delete => None,
        }
    }

    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.fields().into_iter().flat_map(BTreeMap::values).filter_map(|cell| match cell {
            Cell::Parent(reference) => Some(reference),
            Cell::Value(_) | Cell::Unfilled { .. } => None,
        })
    }

    /// The write without the references to a parent that the target does not have, as far as they allow that.
    pub fn without(mut self, parent: &Parent) -> Self {
        if let Body::Whole(fields) | Body::Partial(fields) = &mut self.body {
            fields.retain(|_, cell| match cell {
                Cell::Parent(reference) if reference.parent == *parent => match reference.if_missing {
                    IfMissing::FillLater => {
                        *cell = Cell::Unfilled { parent: Some(parent.clone()), emptied: true };
                        true
                    }
                    IfMissing::Skip => false,
                    IfMissing::Wait | IfMissing::Fail => true,
                },
                Cell::Parent(_) | Cell::Value(_) | Cell::Unfilled { .. } => true,
            });
        }
        if !self.references().any(|reference| reference.parent == *parent) {
            self.lock_keys.retain(|known| known != parent);
            self.waits_for.retain(|known| known != parent);
        }
        self
    }

    /// The write with the references to a parent left for later, whatever they say about that: the parent waits for this
    /// write.
    pub fn filled_later(mut self, parent: &Parent) -> Self {
        if let Body::Whole(fields) | Body::Partial(fields) = &mut self.body {
            for cell in fields.values_mut() {
                if let Cell::Parent(reference) = cell
                    && reference.parent == *parent
                {
                    reference.if_missing = IfMissing::FillLater;
                }
            }
        }
        self.without(parent)
    }

    /// Whether it changes nothing: all that it had was left out.
    pub fn is_empty(&self) -> bool {
        let left_out = |cell: &Cell| matches!(cell, Cell::Unfilled { emptied: false, .. });
        self.fields().is_some_and(|fields| fields.values().all(left_out))
    }

    /// The oldest part that this write settles: how long it has waited.
    pub fn age(&self) -> Seq {
        self.covers.iter().map(|cover| cover.from).min().unwrap_or_default()
    }

    /// As parents, what this write makes: each record that it covers.
    pub fn makes(&self) -> impl Iterator<Item = Parent> + '_ {
        self.covers.iter().map(|cover| Parent { target_object: self.key.object().clone(), record: cover.source.record })
    }

    /// About how many bytes this holds in memory.
    pub fn weight(&self) -> usize {
        fn of(value: &Value) -> usize {
            match value {
                Value::Text(text) => text.len(),
                Value::Number(number) => number.as_str().len(),
                Value::Compound(parts) => parts.values().map(of).sum(),
                Value::Null | Value::Bool(_) => 0,
            }
        }
        let cell = |cell: &Cell| match cell {
            Cell::Value(value) => of(value) + 64,
            Cell::Parent(_) | Cell::Unfilled { .. } => 128,
        };
        256 + self.fields().map_or(0, |fields| fields.values().map(cell).sum())
    }
}

fn united(mut old: BTreeMap<FieldName, Cell>, new: BTreeMap<FieldName, Cell>) -> BTreeMap<FieldName, Cell> {
    old.extend(new);
    old
}

/// Both lists as one, a source record once.
pub fn covers_with(old: &[Cover], new: &[Cover]) -> Vec<Cover> {
    let mut covers = old.to_vec();
    for cover in new {
        match covers.iter_mut().find(|known| known.source == cover.source) {
            Some(known) => {
                known.from = known.from.min(cover.from);
                known.to = known.to.max(cover.to);
                known.clears_suspect |= cover.clears_suspect;
            }
            None => covers.push(*cover),
        }
    }
    covers
}
