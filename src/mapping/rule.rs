//! One field's rule: what it reads, and what it gives for a record.

use std::collections::BTreeMap;

use super::expression::{Expression, Unevaluated};
use super::lookup::{Ask, Ends, Replies, Search};
use super::parents::Parents;
use super::types::Kind;
use super::view::View;
use super::{COMPOUND_VALUE, Failure, LOOKUP_AMBIGUOUS, NO_TABLE_ENTRY, TYPE_MISMATCH};
use crate::config::{IfMissing, OnNull, Truncate, WriteOn};
use crate::event::{FieldName, FieldPath, Value};
use crate::store::{LOOKUP_MISSING, Parent};

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
    /// What happens where a lookup finds nothing.
    pub if_missing: IfMissing,
    /// As the config says it, if it does.
    pub asked_if_missing: Option<IfMissing>,
}

#[derive(Debug, Clone)]
pub(super) enum Fill {
    Source(FieldPath),
    Constant(Value),
    Table { from: FieldPath, entries: BTreeMap<String, Value>, default: Option<Value> },
    Expression(Expression),
    Parent(Parents),
    Search(Box<Search>),
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
    /// One of these, the record that other pipelines write; by their order.
    Parents(Vec<Parent>),
    /// This must be asked first.
    Asks(Ask),
    /// There is nothing that it leads to, or not yet.
    Missing(Failure),
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
    /// `on_null: skip`, or what no record lacks.
    Null,
    /// Its expression asks who or what changed the record, and this write repeats no single change.
    NoHeader,
}

impl Rule {
    /// The source fields that it reads.
    pub fn reads(&self) -> impl Iterator<Item = &FieldPath> {
        let (one, many) = match &self.fill {
            Fill::Source(path) | Fill::Table { from: path, .. } => (Some(path), None),
            Fill::Parent(parents) => (Some(&parents.from), None),
            Fill::Expression(expression) => (None, Some(expression.reads())),
            Fill::Search(search) => search.reads(),
            Fill::Constant(_) => (None, None),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    /// A record always has an owner, and where there are record types one of these.
    pub fn can_be_empty(&self) -> bool {
        match &self.fill {
            Fill::Search(search) => search.is_record(),
            Fill::Source(_) | Fill::Constant(_) | Fill::Table { .. } | Fill::Expression(_) | Fill::Parent(_) => true,
        }
    }

    /// It only tells who or what made the change: reason enough to be written with it, but not to write.
    pub fn is_companion(&self) -> bool {
        match &self.fill {
            Fill::Expression(expression) => expression.reads_header() && expression.reads().is_empty(),
            Fill::Source(_) | Fill::Constant(_) | Fill::Table { .. } | Fill::Parent(_) | Fill::Search(_) => false,
        }
    }

    pub fn give(&self, target: &FieldName, view: &View<'_>, writing: Writing, replies: &Replies) -> Given {
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
            Fill::Parent(parents) => match view.value(&parents.from) {
                None => return Given::Unknown,
                Some(value) => match parents.named_by(&value) {
                    named if !named.is_empty() => return Given::Parents(named),
                    // It is of an object that nobody brings over.
                    _ if self.if_missing == IfMissing::Fail && !value.is_null() => {
                        return failed(LOOKUP_MISSING, format!("no pipeline writes what {} names", parents.from));
                    }
                    _ => Value::Null,
                },
            },
            Fill::Search(search) => match search.find(view, replies) {
                Ends::At(id) => Value::text(id.as_str()),
                Ends::Null if !self.can_be_empty() => return Given::Left(Left::Null),
                Ends::Null => Value::Null,
                Ends::Unknown => return Given::Unknown,
                Ends::Asks(ask) => return Given::Asks(ask),
                Ends::NoHeader => return Given::Left(Left::NoHeader),
                Ends::Missing(reason) => {
                    return Given::Missing(Failure { code: LOOKUP_MISSING, field: Some(target.clone()), reason });
                }
                Ends::Ambiguous(reason) => return failed(LOOKUP_AMBIGUOUS, reason),
                Ends::Failed { code, reason } => return failed(code, reason),
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
