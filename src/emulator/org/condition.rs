//! A condition of a rule: the WHERE part of a query about one record, before and after a change.
//!
//! Beside the record's own fields it knows `Old.Phone` (null on create), `Changed.Phone = true` and `IsNew = true`.

use serde_json::Value as Json;

use super::schema::{FieldIndex, Object};
use super::table::{Row, folded};
use crate::emulator::soql::{self, Comparison, Filter, Literal};

#[derive(Debug, Clone)]
pub struct Condition(Node);

#[derive(Debug, Clone)]
enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Compare(Operand, Comparison, Json),
    In(Operand, Vec<Json>),
}

#[derive(Debug, Clone, Copy)]
enum Operand {
    New(FieldIndex),
    Old(FieldIndex),
    Changed(FieldIndex),
    IsNew,
}

impl Condition {
    /// # Errors
    /// What cannot be read, or a field that the object does not have.
    pub fn compile(text: &str, object: &Object) -> Result<Self, String> {
        Ok(Self(node(&soql::parse_condition(text)?, object)?))
    }

    /// Whether it holds for a record as it is now; `old`: as it was before, if it was there.
    pub fn holds(&self, object: &Object, new: &Row, old: Option<&Row>) -> bool {
        holds(&self.0, object, new, old)
    }
}

fn node(filter: &Filter, object: &Object) -> Result<Node, String> {
    let all = |parts: &[Filter]| parts.iter().map(|part| node(part, object)).collect::<Result<Vec<_>, _>>();
    Ok(match filter {
        Filter::All(parts) => Node::All(all(parts)?),
        Filter::Any(parts) => Node::Any(all(parts)?),
        Filter::Not(inner) => Node::Not(Box::new(node(inner, object)?)),
        Filter::Compare(path, comparison, literal) => {
            Node::Compare(operand(path, object)?, *comparison, value(literal))
        }
        Filter::In(path, list) => Node::In(operand(path, object)?, list.iter().map(value).collect()),
    })
}

fn operand(path: &[String], object: &Object) -> Result<Operand, String> {
    let field = |name: &str| {
        let found = object.find(name).map(|(index, _)| index);
        found.ok_or_else(|| format!("{} has no field {name}", object.name))
    };
    match path {
        [name] if name.eq_ignore_ascii_case("IsNew") => Ok(Operand::IsNew),
        [name] => Ok(Operand::New(field(name)?)),
        [old, name] if old.eq_ignore_ascii_case("Old") => Ok(Operand::Old(field(name)?)),
        [changed, name] if changed.eq_ignore_ascii_case("Changed") => Ok(Operand::Changed(field(name)?)),
        _ => Err(format!("{}: a rule sees the record's own fields only", path.join("."))),
    }
}

fn value(literal: &Literal) -> Json {
    match literal {
        Literal::Null => Json::Null,
        Literal::Bool(value) => (*value).into(),
        Literal::Text(text) => text.as_str().into(),
        Literal::Bare(text) => text.parse::<serde_json::Number>().map_or_else(|_| text.as_str().into(), Json::Number),
    }
}

fn holds(node: &Node, object: &Object, new: &Row, old: Option<&Row>) -> bool {
    match node {
        Node::All(parts) => parts.iter().all(|part| holds(part, object, new, old)),
        Node::Any(parts) => parts.iter().any(|part| holds(part, object, new, old)),
        Node::Not(inner) => !holds(inner, object, new, old),
        Node::Compare(operand, comparison, wanted) => compare(&read(*operand, object, new, old), *comparison, wanted),
        Node::In(operand, list) => {
            let value = read(*operand, object, new, old);
            list.iter().any(|wanted| compare(&value, Comparison::Equal, wanted))
        }
    }
}

fn read(operand: Operand, object: &Object, new: &Row, old: Option<&Row>) -> Json {
    match operand {
        Operand::New(field) => new.read(object, field),
        Operand::Old(field) => old.map_or(Json::Null, |old| old.read(object, field)),
        Operand::Changed(field) => (new.values.get(&field) != old.and_then(|old| old.values.get(&field))).into(),
        Operand::IsNew => old.is_none().into(),
    }
}

fn compare(value: &Json, comparison: Comparison, wanted: &Json) -> bool {
    let side = match (value, wanted) {
        (Json::Number(a), Json::Number(b)) => a.as_f64().zip(b.as_f64()).and_then(|(a, b)| a.partial_cmp(&b)),
        (Json::String(a), Json::String(b)) => Some(folded(a).cmp(&folded(b))),
        (Json::Bool(a), Json::Bool(b)) => Some(a.cmp(b)),
        (Json::Null, Json::Null) => Some(std::cmp::Ordering::Equal),
        _ => None,
    };
    let either_null = value.is_null() || wanted.is_null();
    match comparison {
        Comparison::Equal => side.is_some_and(|side| side.is_eq()),
        Comparison::NotEqual => side.is_none_or(|side| side.is_ne()),
        Comparison::Less => !either_null && side.is_some_and(|side| side.is_lt()),
        Comparison::LessOrEqual => !either_null && side.is_some_and(|side| side.is_le()),
        Comparison::Greater => !either_null && side.is_some_and(|side| side.is_gt()),
        Comparison::GreaterOrEqual => !either_null && side.is_some_and(|side| side.is_ge()),
    }
}
