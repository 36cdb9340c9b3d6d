//! A query of Setup, as far as it is known here: columns, counts, `=`, `!=`, `IN` with a list or a query, `AND`, `OR`,
//! `NOT`, a limit.
//!
//! The only place under `tooling` that knows what a query consists of.

use serde_json::Value as Json;

use super::rows::{Row, Rows};
use crate::org::Id;
use crate::soql::{self, Comparison, Condition, Expression, Function, Literal, Path, Query, Selected, Set, Value};

/// What a query wants.
pub struct Wish {
    pub fields: Vec<String>,
    pub shape: Shape,
    pub limit: usize,
    test: Option<Test>,
}

/// What the answer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Records,
    /// Only how many there are.
    Count,
    /// How many different values the only field has.
    CountDistinct,
}

enum Test {
    All(Vec<Test>),
    Any(Vec<Test>),
    Not(Box<Test>),
    /// The column has one of these values.
    In(String, Vec<Json>),
}

/// Finds the rows of an entity.
type Find<'a> = &'a dyn Fn(&str) -> Option<Rows>;

/// # Errors
/// The message of a MALFORMED_QUERY.
pub fn read(query: &Query, find: Find<'_>) -> Result<Wish, String> {
    let counts = query.is_count();
    let mut shape = if counts { Shape::Count } else { Shape::Records };
    let mut fields = Vec::new();
    for selected in query.select.iter().filter(|_| !counts) {
        match selected {
            Selected::Value { what: Expression::Path(path), .. } => fields.push(path.to_string()),
            Selected::Value { what: Expression::Call(call), .. }
                if query.select.len() == 1 && call.function == Function::CountDistinct =>
            {
                shape = Shape::CountDistinct;
                fields.extend(call.argument.as_deref().and_then(Expression::path).map(Path::to_string));
            }
            _ => return Err("only fields, COUNT() and COUNT_DISTINCT() can be selected here".into()),
        }
    }
    if !query.group.is_empty() || query.having.is_some() || query.offset > 0 {
        return Err("GROUP BY, HAVING and OFFSET are not supported here".into());
    }
    Ok(Wish {
        fields,
        shape,
        limit: query.limit.unwrap_or(usize::MAX),
        test: query.filter.as_ref().map(|filter| test(filter, find)).transpose()?,
    })
}

/// What is wrong with the filter of a member.
pub fn problem(filter: &str) -> Option<String> {
    soql::parse_condition(filter).err().map(|error| error.shown(filter))
}

fn test(condition: &Condition, find: Find<'_>) -> Result<Test, String> {
    let all = |parts: &[Condition]| parts.iter().map(|part| test(part, find)).collect::<Result<Vec<_>, _>>();
    let not = |negated: bool, test: Test| if negated { Test::Not(Box::new(test)) } else { test };
    Ok(match condition {
        Condition::All(parts) => Test::All(all(parts)?),
        Condition::Any(parts) => Test::Any(all(parts)?),
        Condition::Not(inner) => Test::Not(Box::new(test(inner, find)?)),
        Condition::In { left, negated, set: Set::List(list) } => {
            not(*negated, Test::In(column(left)?, list.iter().map(value).collect::<Result<_, _>>()?))
        }
        Condition::In { left, negated, set: Set::Query(query) } => {
            not(*negated, Test::In(column(left)?, joined(query, find)?))
        }
        Condition::Compare { left, comparison: comparison @ (Comparison::Equal | Comparison::NotEqual), right } => {
            not(*comparison == Comparison::NotEqual, Test::In(column(left)?, vec![value(right)?]))
        }
        _ => return Err("only =, != and IN are supported here".into()),
    })
}

/// The values of the only field of a semi-join.
fn joined(query: &Query, find: Find<'_>) -> Result<Vec<Json>, String> {
    let wish = read(query, find)?;
    let rows = find(&query.from.text).ok_or("a semi-join goes over what can be queried here")?;
    let [field] = wish.fields.as_slice() else { return Err("a semi-join selects one field".into()) };
    if let Some(unknown) = wish.names().find(|name| !rows.has(name)) {
        return Err(format!("No such column '{unknown}' on entity '{}'.", rows.name));
    }
    let held = rows.rows.iter().filter(|row| wish.holds(row));
    Ok(held
        .filter_map(|row| row.iter().find(|(name, _)| name.eq_ignore_ascii_case(field)))
        .map(|(_, value)| value.clone())
        .collect())
}

fn column(left: &Expression) -> Result<String, String> {
    match left {
        Expression::Path(path) => Ok(path.to_string()),
        Expression::Call(_) => Err("functions are not supported here".into()),
    }
}

fn value(literal: &Literal) -> Result<Json, String> {
    Ok(match &literal.value {
        Value::Null => Json::Null,
        Value::Bool(value) => (*value).into(),
        Value::Text(text) => text.as_str().into(),
        Value::Number(text) => text.parse::<serde_json::Number>().map_or_else(|_| text.as_str().into(), Json::Number),
        _ => return Err("dates and patterns are not supported here".into()),
    })
}

impl Wish {
    /// Every column that it names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let mut names: Vec<&str> = self.fields.iter().map(String::as_str).collect();
        if let Some(test) = &self.test {
            test.names(&mut names);
        }
        names.into_iter()
    }

    pub fn holds(&self, row: &Row) -> bool {
        self.test.as_ref().is_none_or(|test| test.holds(row))
    }
}

impl Test {
    fn names<'a>(&'a self, names: &mut Vec<&'a str>) {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.names(names)),
            Self::Not(inner) => inner.names(names),
            Self::In(name, _) => names.push(name),
        }
    }

    fn holds(&self, row: &Row) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(row)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(row)),
            Self::Not(inner) => !inner.holds(row),
            Self::In(name, list) => {
                let found = row.iter().find(|(column, _)| column.eq_ignore_ascii_case(name));
                let found = found.map_or(&Json::Null, |(_, value)| value);
                list.iter().any(|wanted| same(found, wanted))
            }
        }
    }
}

/// Text without case; ids also in their short form.
fn same(value: &Json, wanted: &Json) -> bool {
    match (value, wanted) {
        (Json::String(value), Json::String(wanted)) => match (Id::parse(value), Id::parse(wanted)) {
            (Some(value), Some(wanted)) => value == wanted,
            _ => value.eq_ignore_ascii_case(wanted),
        },
        _ => value == wanted,
    }
}
