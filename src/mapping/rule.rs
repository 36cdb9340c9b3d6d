//! One field's rule: what it reads, and what it gives for a record.

use std::collections::BTreeMap;

use super::expression::{Expression, Unevaluated};
use super::types::Kind;
use super::view::View;
use super::{COMPOUND_VALUE, Failure, NO_TABLE_ENTRY, TYPE_MISMATCH};
use crate::config::{OnNull, Truncate, WriteOn};
use crate::event::{FieldName, FieldPath, ObjectName, RecordId, Value};
use crate::store::Parent;

#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub fill: Fill,
    pub write_on: WriteOn,
    pub on_null: OnNull,
    pub truncate: Option<Truncate>,
    /// Where longer text is cut, as far as that is known.
    pub cut: Option<usize>,
    /// What the field takes.
    pub takes: Kind,
}

#[derive(Debug, Clone)]
pub(super) enum Fill {
    Source(FieldPath),
    Constant(Value),
    Table { from: FieldPath, entries: BTreeMap<String, Value>, default: Option<Value> },
    Expression(Expression),
    Parent(Lookup),
}

/// A reference to a record that another pipeline writes.
#[derive(Debug, Clone)]
pub(super) struct Lookup {
    pub from: FieldPath,
    pub target_object: ObjectName,
    /// The key field of the other pipeline's target object.
    pub key: FieldName,
    /// The parent's key value is its record id, so the parent can be named without knowing its counterpart.
    pub key_is_id: bool,
    /// `Account` for `AccountId`, `Parent__r` for `Parent__c`. None: the org has no name for it, and takes only an id.
    pub relationship: Option<String>,
}

impl Lookup {
    /// The parent that a value names; none where it is empty, or nothing that can be a record id.
    pub fn parent(&self, value: &Value) -> Option<Parent> {
        let record = value.as_text()?.parse::<RecordId>().ok()?;
        Some(Parent { target_object: self.target_object.clone(), record })
    }
}

/// How a record is about to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writing {
    /// Whole, with no counterpart known.
    Create,
    /// Whole, over the counterpart.
    Renew,
    /// What changed, over the counterpart.
    Update,
}

/// What a rule gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Given {
    Value(Value),
    Parent(Parent),
    /// Nothing is written to the field, and why.
    Left(Left),
    /// Only the whole record can tell.
    Unknown,
    Failed(Failure),
}

/// Why a field is left out of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Nothing that it is made of changed.
    Unchanged,
    /// `write_on: update`, and the record is new.
    NotOnCreate,
    /// `write_on: create`, and the record is not new.
    NotOnUpdate,
    /// `on_null: skip`.
    Null,
    /// Its expression asks who or what changed the record, and this write repeats no single change.
    NoHeader,
}

impl Rule {
    /// The source fields that it reads.
    pub fn reads(&self) -> impl Iterator<Item = &FieldPath> {
        let (one, many) = match &self.fill {
            Fill::Source(path) | Fill::Table { from: path, .. } => (Some(path), None),
            Fill::Parent(lookup) => (Some(&lookup.from), None),
            Fill::Expression(expression) => (None, Some(expression.reads())),
            Fill::Constant(_) => (None, None),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    /// It only tells who or what made the change: reason enough to be written with it, but not to write.
    pub fn is_companion(&self) -> bool {
        match &self.fill {
            Fill::Expression(expression) => expression.reads_header() && expression.reads().is_empty(),
            Fill::Source(_) | Fill::Constant(_) | Fill::Table { .. } | Fill::Parent(_) => false,
        }
    }

    pub fn give(&self, target: &FieldName, view: &View<'_>, writing: Writing) -> Given {
        match (self.write_on, writing) {
            (WriteOn::Create, Writing::Renew | Writing::Update) => return Given::Left(Left::NotOnUpdate),
            (WriteOn::Update, Writing::Create) => return Given::Left(Left::NotOnCreate),
            (WriteOn::Both, _) | (WriteOn::Create, Writing::Create) | (WriteOn::Update, _) => {}
        }
        if writing == Writing::Update && !self.is_companion() && !self.reads().any(|path| view.changed(path)) {
            return Given::Left(Left::Unchanged);
        }
        let failed = |code, reason| Given::Failed(Failure { code, field: Some(target.clone()), reason });
        let value = match &self.fill {
            Fill::Constant(value) => value.clone(),
            Fill::Source(path) => match view.value(path) {
                Some(value) => value,
                None => return Given::Unknown,
            },
            Fill::Table { from, entries, default } => match view.value(from) {
                None => return Given::Unknown,
                Some(Value::Null) => Value::Null,
                Some(value) => match table_key(&value).and_then(|key| entries.get(&key)).or(default.as_ref()) {
                    Some(value) => value.clone(),
                    None => return failed(NO_TABLE_ENTRY, format!("the value of {from} is not in the table")),
                },
            },
            Fill::Parent(lookup) => match view.value(&lookup.from) {
                None => return Given::Unknown,
                Some(value) => match lookup.parent(&value) {
                    Some(parent) => return Given::Parent(parent),
                    None => Value::Null,
                },
            },
            Fill::Expression(expression) => match expression.evaluate(view) {
                Ok(value) => value,
                Err(Unevaluated::Unknown(_)) => return Given::Unknown,
                Err(Unevaluated::NoHeader) => return Given::Left(Left::NoHeader),
                Err(Unevaluated::Failed { reason, inputs }) => {
                    return failed(super::EXPRESSION_FAILED, failure(expression, &reason, &inputs));
                }
            },
        };
        if matches!(value, Value::Compound(_)) {
            return failed(COMPOUND_VALUE, "it would be a compound; only the parts of one can be written".to_owned());
        }
        let fitted = match (self.takes.fit(value), &self.on_null) {
            (Ok(Value::Null), OnNull::Skip) => return Given::Left(Left::Null),
            (Ok(Value::Null), OnNull::Value(instead)) => self.takes.fit(instead.clone()),
            (Ok(Value::Text(text)), _) => Ok(Value::Text(self.shortened(text))),
            (fitted, _) => fitted,
        };
        match fitted {
            Ok(value) => Given::Value(value),
            Err(is) => {
                let reason = format!("the value is {is} and cannot become {}, which {target} takes", self.takes);
                failed(TYPE_MISMATCH, reason)
            }
        }
    }

    /// Counted in characters.
    fn shortened(&self, mut text: String) -> String {
        if let Some(cut) = self.cut
            && let Some((end, _)) = text.char_indices().nth(cut)
        {
            text.truncate(end);
        }
        text
    }
}

/// In the words of the config; values stay out.
pub(super) fn failure(expression: &Expression, reason: &str, inputs: &[FieldPath]) -> String {
    let inputs: Vec<&str> = inputs.iter().map(FieldPath::as_str).collect();
    match inputs.as_slice() {
        [] => format!("`{}`: {reason}", expression.source()),
        inputs => format!("`{}` of {}: {reason}", expression.source(), inputs.join(", ")),
    }
}

/// The text under which a value stands in a table.
fn table_key(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(bool) => Some(bool.to_string()),
        Value::Null | Value::Compound(_) => None,
    }
}
