//! Which rows match a condition, and which rows are the only ones that can.

use std::collections::HashSet;

use serde_json::json;

use super::plan::{Scope, check_grouped, check_usable, semi_join};
use super::route::{End, Route};
use super::value::Operand;
use super::{QueryError, run};
use crate::org::compare::{Domain, Key, Unfit, Wanted};
use crate::org::schema::{Field, Kind, System};
use crate::org::{Id, ObjectIndex, Row, key_form};
use crate::soql::{Comparison, Condition, Literal, Set, Value};

/// A condition whose names are known and whose literals fit.
#[derive(Debug)]
pub enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Compare { operand: Operand, comparison: Comparison, wanted: Wanted, ids: Option<Vec<Id>> },
    In { operand: Operand, members: Members, ids: Option<Vec<Id>> },
    Includes { operand: Operand, wanted: Vec<Wanted> },
}

/// What an `IN` lists.
#[derive(Debug, Default)]
pub struct Members {
    keys: HashSet<Key>,
    /// Null, and spans of days.
    others: Vec<Wanted>,
}

impl Members {
    fn contains(&self, key: Option<&Key>) -> bool {
        key.is_some_and(|key| self.keys.contains(key))
            || self.others.iter().any(|other| other.holds(Comparison::Equal, key))
    }
}

/// `by`: in a HAVING, what the rows are grouped by.
pub fn node(
    scope: Scope<'_>,
    object: ObjectIndex,
    alias: Option<&str>,
    condition: &Condition,
    by: Option<&[Operand]>,
) -> Result<Node, QueryError> {
    let compile = |part: &Condition| node(scope, object, alias, part, by);
    let all = |parts: &[Condition]| parts.iter().map(compile).collect::<Result<Vec<_>, _>>();
    let left = match condition {
        Condition::All(parts) => return Ok(Node::All(all(parts)?)),
        Condition::Any(parts) => return Ok(Node::Any(all(parts)?)),
        Condition::Not(inner) => return Ok(Node::Not(Box::new(compile(inner)?))),
        Condition::Compare { left, .. } | Condition::In { left, .. } | Condition::Includes { left, .. } => left,
    };
    let operand = scope.operand(object, alias, left)?;
    match by {
        Some(by) => check_grouped(&operand, by, left.at())?,
        None if operand.is_aggregate() => {
            return Err(QueryError::malformed("aggregate functions belong into HAVING").at(left.at()));
        }
        None => check_usable(scope, &operand, "filtered", left.at())?,
    }
    let refused = |unfit: &Unfit| {
        let (code, message) = unfit.error(&operand.route().name);
        QueryError::new(code, message).at(left.at())
    };
    let wanted = |comparison, literal: &Literal| {
        operand.domain().wanted(comparison, &literal.value, scope.asked.now).map_err(|unfit| refused(&unfit))
    };
    let not = |negated: bool, node: Node| if negated { Node::Not(Box::new(node)) } else { node };
    match condition {
        Condition::Compare { comparison, right, .. } => {
            let sorted = !matches!(comparison, Comparison::Equal | Comparison::NotEqual | Comparison::Like);
            if sorted && matches!(operand.domain(), Domain::Many | Domain::Bool) {
                return Err(refused(&Unfit::Operator));
            }
            let wanted = wanted(*comparison, right)?;
            let literals = std::slice::from_ref(right);
            let ids = if *comparison == Comparison::Equal { indexed(scope, &operand, texts(literals)) } else { None };
            Ok(Node::Compare { operand, comparison: *comparison, wanted, ids })
        }
        Condition::In { negated, set: Set::List(list), .. } => {
            let mut members = Members::default();
            for literal in list {
                match wanted(Comparison::Equal, literal)? {
                    Wanted::Key(key) => drop(members.keys.insert(key)),
                    other => members.others.push(other),
                }
            }
            let ids = indexed(scope, &operand, texts(list));
            Ok(not(*negated, Node::In { operand, members, ids }))
        }
        Condition::In { negated, set: Set::Query(query), .. } => {
            if operand.domain() != Domain::Id {
                let message = format!(
                    "The left operand '{}' in the where expression for outer query of semi join should be an id field",
                    operand.route().name
                );
                return Err(QueryError::malformed(message).at(left.at()));
            }
            let (plan, route) = semi_join(scope, query)?;
            let found: Vec<String> = run::rows(scope, &plan, None)
                .into_iter()
                .filter_map(|row| scope.read(&route, plan.object, row).as_str().map(str::to_owned))
                .collect();
            let keys = found.iter().filter_map(|id| Domain::Id.key(&json!(id))).collect();
            let ids = indexed(scope, &operand, Some(found.iter().map(String::as_str).collect()));
            Ok(not(*negated, Node::In { operand, members: Members { keys, others: Vec::new() }, ids }))
        }
        Condition::Includes { negated, values, .. } => {
            if operand.domain() != Domain::Many {
                return Err(refused(&Unfit::Operator));
            }
            let wanted = values.iter().map(|value| wanted(Comparison::Equal, value)).collect::<Result<_, _>>()?;
            Ok(not(*negated, Node::Includes { operand, wanted }))
        }
        Condition::All(_) | Condition::Any(_) | Condition::Not(_) => compile(condition), // returned above
    }
}

/// The literals' texts, if they are nothing else.
fn texts(literals: &[Literal]) -> Option<Vec<&str>> {
    literals.iter().map(text).collect()
}

fn text(literal: &Literal) -> Option<&str> {
    match &literal.value {
        Value::Text(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}

/// The rows whose field has one of the values, where an index knows; deleted rows are in no index.
fn indexed(scope: Scope<'_>, operand: &Operand, texts: Option<Vec<&str>>) -> Option<Vec<Id>> {
    let texts = texts?;
    let Operand::Field(Route { hops, ends, .. }) = operand else { return None };
    let ([], [(object, End::Field(field))]) = (hops.as_slice(), ends.as_slice()) else { return None };
    let (table, definition) = (scope.org.table(*object), scope.org.schema.object(*object).field(*field));
    let parsed = || texts.iter().filter_map(|text| Id::parse(text));
    let mut ids: Vec<Id> = match &definition.kind {
        Kind::System(System::Id) => parsed().collect(),
        _ if scope.asked.with_deleted => return None,
        // Owners are in no index: a few users own everything.
        Kind::Reference(_) if !is_key(definition) && definition.name != "OwnerId" => {
            parsed().flat_map(|id| table.children(*field, &id).cloned().collect::<Vec<_>>()).collect()
        }
        _ if is_key(definition) && operand.domain().is_text() => {
            let keys = texts.iter().filter_map(|text| key_form(definition, &json!(text)));
            keys.flat_map(|key| table.by_key(*field, &key)).collect()
        }
        _ => return None,
    };
    ids.sort();
    ids.dedup();
    Some(ids)
}

fn is_key(field: &Field) -> bool {
    field.lookup_key || field.unique
}

impl Node {
    pub fn holds(&self, scope: Scope<'_>, object: ObjectIndex, rows: &[&Row]) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(scope, object, rows)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(scope, object, rows)),
            Self::Not(inner) => !inner.holds(scope, object, rows),
            Self::Compare { operand, comparison, wanted, .. } => {
                wanted.holds(*comparison, scope.key(operand, object, rows).as_ref())
            }
            Self::In { operand, members, .. } => members.contains(scope.key(operand, object, rows).as_ref()),
            Self::Includes { operand, wanted } => {
                let key = scope.key(operand, object, rows);
                wanted.iter().any(|wanted| wanted.included(key.as_ref()))
            }
        }
    }

    /// The only rows that can match, in the order of their ids; `None`: any row can.
    pub fn candidates(&self) -> Option<Vec<Id>> {
        match self {
            Self::Compare { ids, .. } | Self::In { ids, .. } => ids.clone(),
            Self::All(parts) => parts.iter().filter_map(Self::candidates).min_by_key(Vec::len),
            Self::Any(parts) => {
                let mut ids: Vec<Id> =
                    parts.iter().map(Self::candidates).collect::<Option<Vec<_>>>()?.into_iter().flatten().collect();
                ids.sort();
                ids.dedup();
                Some(ids)
            }
            Self::Not(_) | Self::Includes { .. } => None,
        }
    }
}
