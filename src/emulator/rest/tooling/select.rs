//! A query of the Tooling API, as far as it is known here: columns, `=`, `!=`, `IN`, `AND`, `OR`, `NOT`, a limit.
//!
//! The only place under `tooling` that knows how a query is written down.

use serde_json::Value as Json;

use super::rows::Row;
use crate::emulator::org::Id;
use crate::emulator::soql::{self, Comparison, Filter, Literal};

/// What a query wants.
pub struct Wish {
    pub fields: Vec<String>,
    /// Only how many there are.
    pub counts: bool,
    pub from: String,
    pub limit: usize,
    test: Option<Test>,
}

enum Test {
    All(Vec<Test>),
    Any(Vec<Test>),
    Not(Box<Test>),
    /// The column has one of these values.
    In(String, Vec<Json>),
}

/// # Errors
/// The message of a MALFORMED_QUERY.
pub fn read(text: &str) -> Result<Wish, String> {
    let query = soql::parse(text)?;
    let fields = query.select.as_deref().unwrap_or_default();
    Ok(Wish {
        fields: fields.iter().map(|path| path.join(".")).collect(),
        counts: query.select.is_none(),
        from: query.from,
        limit: query.limit.unwrap_or(usize::MAX),
        test: query.filter.as_ref().map(test).transpose()?,
    })
}

/// What is wrong with the filter of a member.
pub fn problem(filter: &str) -> Option<String> {
    soql::parse_condition(filter).err()
}

fn test(filter: &Filter) -> Result<Test, String> {
    let all = |parts: &[Filter]| parts.iter().map(test).collect::<Result<Vec<_>, _>>();
    Ok(match filter {
        Filter::All(parts) => Test::All(all(parts)?),
        Filter::Any(parts) => Test::Any(all(parts)?),
        Filter::Not(inner) => Test::Not(Box::new(test(inner)?)),
        Filter::In(path, list) => Test::In(path.join("."), list.iter().map(value).collect()),
        Filter::Compare(path, Comparison::Equal, literal) => Test::In(path.join("."), vec![value(literal)]),
        Filter::Compare(path, Comparison::NotEqual, literal) => {
            Test::Not(Box::new(Test::In(path.join("."), vec![value(literal)])))
        }
        Filter::Compare(path, ..) => return Err(format!("{}: only = and != are supported here", path.join("."))),
    })
}

fn value(literal: &Literal) -> Json {
    match literal {
        Literal::Null => Json::Null,
        Literal::Bool(value) => (*value).into(),
        Literal::Text(text) => text.as_str().into(),
        Literal::Bare(text) => text.parse::<serde_json::Number>().map_or_else(|_| text.as_str().into(), Json::Number),
    }
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
