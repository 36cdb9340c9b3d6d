//! What an org does by itself when a record is saved: its rules and its automation, compiled from a scenario.
//!
//! The order is the platform's: triggers before the save, validation rules, duplicate rules, the save, assignment
//! rules, roll-ups of the parents; flows come later, in transactions of their own.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value as Json;

use super::Id;
use super::condition::Condition;
use super::schema::{FieldIndex, Object, ObjectIndex, Summary};
use super::table::Row;
use super::time::{self, SECOND};

/// The rules of one object.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    pub triggers: Vec<Trigger>,
    pub validations: Vec<Validation>,
    pub duplicates: Vec<DuplicateRule>,
    pub assignments: Vec<Assignment>,
    pub flows: Vec<Flow>,
    /// Roll-ups of parents that change with records of this object.
    pub roll_ups: Vec<RollUpRule>,
    /// What a create without a record type gets.
    pub default_record_type: Option<Id>,
    /// Of each record type, the picklists of which it does not have every value.
    pub picklists: BTreeMap<Id, BTreeMap<FieldIndex, Vec<String>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct On {
    pub create: bool,
    pub update: bool,
    pub delete: bool,
}

/// Runs before the save, within the transaction.
#[derive(Debug, Clone)]
pub struct Trigger {
    pub name: String,
    pub on: On,
    pub when: Option<Condition>,
    pub set: BTreeMap<FieldIndex, Assigned>,
    /// The record is refused with this message.
    pub error: Option<String>,
    /// Every record of the chunk is refused.
    pub exception: Option<String>,
}

/// A record for which it holds is refused.
#[derive(Debug, Clone)]
pub struct Validation {
    pub name: String,
    pub when: Condition,
    pub message: String,
    pub field: Option<FieldIndex>,
}

/// Records that agree in all fields are duplicates.
#[derive(Debug, Clone)]
pub struct DuplicateRule {
    pub name: String,
    pub when: Option<Condition>,
    pub fields: Vec<FieldIndex>,
    pub blocks: bool,
    pub message: String,
}

/// The first entry that holds gives the record its owner.
#[derive(Debug, Clone)]
pub struct Assignment {
    pub when: Option<Condition>,
    pub owner: Id,
}

/// Runs some time after the save.
#[derive(Debug, Clone)]
pub struct Flow {
    pub name: String,
    pub on: On,
    pub when: Option<Condition>,
    pub after: Duration,
    pub set: BTreeMap<FieldIndex, Assigned>,
}

/// A figure of the record that `by` refers to.
#[derive(Debug, Clone)]
pub struct RollUpRule {
    pub by: FieldIndex,
    pub parent: ObjectIndex,
    pub target: FieldIndex,
    pub summary: Summary,
    pub field: Option<FieldIndex>,
}

/// What automation writes into a field.
#[derive(Debug, Clone, PartialEq)]
pub enum Assigned {
    Value(Json),
    From(FieldIndex),
    Upper(FieldIndex),
    Lower(FieldIndex),
    /// Field names in braces.
    Text(String),
    Now,
}

impl Assigned {
    /// The value, in the form in which it is stored.
    pub fn value(&self, object: &Object, row: &Row, now: i64) -> Json {
        let text = |field: &FieldIndex| row.values.get(field).and_then(Json::as_str);
        match self {
            Self::Value(value) => value.clone(),
            Self::From(field) => row.values.get(field).cloned().unwrap_or(Json::Null),
            Self::Upper(field) => text(field).map_or(Json::Null, |text| text.to_uppercase().into()),
            Self::Lower(field) => text(field).map_or(Json::Null, |text| text.to_lowercase().into()),
            Self::Text(template) => match filled(template, object, row).trim() {
                "" => Json::Null,
                text => text.into(),
            },
            Self::Now => time::rest(now.div_euclid(SECOND)).into(),
        }
    }
}

/// A text whose field names in braces are replaced by the record's values; unknown names stay as they are.
pub fn filled(template: &str, object: &Object, row: &Row) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((name, tail)) = after.split_once('}') else { return out + "{" + after };
        match object.find(name) {
            Some((index, field)) if field.stored() => match row.values.get(&index) {
                Some(Json::String(text)) => out.push_str(text),
                Some(other) => out.push_str(&other.to_string()),
                None => {}
            },
            _ => {
                out.push('{');
                out.push_str(name);
                out.push('}');
            }
        }
        rest = tail;
    }
    out + rest
}
