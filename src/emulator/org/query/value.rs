//! What an expression is worth, for one row or for a group of rows.

use std::collections::BTreeSet;

use chrono::{Datelike, NaiveDate, Timelike};
use serde_json::{Value as Json, json};

use super::QueryError;
use super::plan::Scope;
use super::route::Route;
use crate::org::compare::{Domain, Key};
use crate::org::decimal::Decimal;
use crate::org::schema::{Kind, System};
use crate::org::{ObjectIndex, Row};
use crate::soql::{Call, Expression, Function};

/// An expression whose names are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand {
    Field(Route),
    /// A part of a date.
    Part(Function, Route),
    Aggregate(Function, Route),
}

impl Operand {
    pub fn route(&self) -> &Route {
        match self {
            Self::Field(route) | Self::Part(_, route) | Self::Aggregate(_, route) => route,
        }
    }

    pub fn domain(&self) -> Domain {
        match self {
            Self::Part(Function::DayOnly, _) => Domain::Date,
            Self::Part(..) | Self::Aggregate(Function::Count | Function::CountDistinct, _) => Domain::Int,
            Self::Aggregate(Function::Sum | Function::Avg, _) => Domain::Double,
            Self::Field(route) | Self::Aggregate(_, route) => route.domain,
        }
    }

    pub fn is_aggregate(&self) -> bool {
        matches!(self, Self::Aggregate(..))
    }
}

impl Scope<'_> {
    /// What an expression over rows of an object means.
    pub fn operand(
        self,
        object: ObjectIndex,
        alias: Option<&str>,
        expression: &Expression,
    ) -> Result<Operand, QueryError> {
        let call = match expression {
            Expression::Path(path) => return Ok(Operand::Field(self.route(object, alias, path)?)),
            Expression::Call(call) => call,
        };
        let Call { function, argument: Some(argument), at } = call else {
            return Err(QueryError::malformed("unexpected token: '('").at(call.at));
        };
        let inner = self.operand(object, alias, argument)?;
        if function.is_display() {
            return Ok(inner);
        }
        let Operand::Field(route) = inner else {
            return Err(QueryError::malformed("unexpected token: '('").at(*at));
        };
        let refused = |what: &str| {
            let message = format!("field {} does not support {what}", route.name);
            Err(QueryError::new("INVALID_FIELD", message).at(*at))
        };
        let definition = self.definition(&route);
        if function.is_aggregate() {
            let fits = definition.is_none_or(|field| field.filterable())
                && match function {
                    Function::Sum | Function::Avg => route.domain.is_number(),
                    Function::Min | Function::Max => !matches!(route.domain, Domain::Bool | Domain::Many),
                    _ => true,
                };
            return match fits {
                true => Ok(Operand::Aggregate(*function, route)),
                false => refused(&format!("aggregate operator {}", function.name())),
            };
        }
        let fits = match function {
            Function::HourInDay | Function::DayOnly => route.domain == Domain::DateTime,
            _ => matches!(route.domain, Domain::Date | Domain::DateTime),
        };
        if fits { Ok(Operand::Part(*function, route)) } else { refused(&format!("function {}", function.name())) }
    }

    /// The value of an operand for a group of rows; what is no aggregate is read from the first one.
    pub fn value(self, operand: &Operand, object: ObjectIndex, rows: &[&Row]) -> Json {
        let first = |route: &Route| rows.first().map_or(Json::Null, |row| self.read(route, object, row));
        match operand {
            Operand::Field(route) => first(route),
            Operand::Part(function, route) => {
                part(*function, route.domain.key(&first(route)).as_ref()).unwrap_or(Json::Null)
            }
            Operand::Aggregate(function, route) => {
                let values = rows.iter().map(|row| self.read(route, object, row));
                let values = values.filter_map(|value| Some((route.domain.key(&value)?, value)));
                aggregate(*function, values)
            }
        }
    }

    pub fn key(self, operand: &Operand, object: ObjectIndex, rows: &[&Row]) -> Option<Key> {
        // What reconciliation asks of every row: not worth writing a text and reading it back.
        if let (Operand::Field(route), [row]) = (operand, rows)
            && route.hops.is_empty()
            && let Some(Kind::System(system)) = self.definition(route).map(|field| &field.kind)
        {
            match system {
                System::CreatedDate => return Some(Key::Instant(row.created.saturating_mul(1_000))),
                System::LastModifiedDate | System::Modstamp => {
                    return Some(Key::Instant(row.modified.saturating_mul(1_000)));
                }
                System::Id => return Some(Key::Text(row.id.short().to_owned())),
                _ => {}
            }
        }
        operand.domain().key(&self.value(operand, object, rows))
    }
}

fn aggregate(function: Function, values: impl Iterator<Item = (Key, Json)>) -> Json {
    let numbers = |values: &mut dyn Iterator<Item = (Key, Json)>| -> Vec<Decimal> {
        let number = |(key, _)| match key {
            Key::Number(number) => Some(number),
            _ => None,
        };
        values.filter_map(number).collect()
    };
    let mut values = values;
    match function {
        Function::Count => json!(values.count()),
        Function::CountDistinct => json!(values.map(|(key, _)| key).collect::<BTreeSet<_>>().len()),
        Function::Sum | Function::Avg => {
            let numbers = numbers(&mut values);
            match (numbers.is_empty(), function) {
                (true, _) => Json::Null,
                (false, Function::Sum) => Json::Number(Decimal::sum(&numbers)),
                (false, _) => Json::Number(Decimal::average(&numbers)),
            }
        }
        Function::Min => values.min_by(|a, b| a.0.cmp(&b.0)).map_or(Json::Null, |(_, value)| value),
        _ => values.max_by(|a, b| a.0.cmp(&b.0)).map_or(Json::Null, |(_, value)| value),
    }
}

/// A part of a day; of UTC, as all days here.
fn part(function: Function, key: Option<&Key>) -> Option<Json> {
    let (day, hour): (NaiveDate, u32) = match key? {
        Key::Date(day) => (*day, 0),
        Key::Instant(ms) => {
            let at = chrono::DateTime::from_timestamp_millis(*ms)?;
            (at.date_naive(), at.hour())
        }
        _ => return None,
    };
    Some(match function {
        Function::CalendarYear => json!(day.year()),
        Function::CalendarQuarter => json!(day.month0() / 3 + 1),
        Function::CalendarMonth => json!(day.month()),
        Function::DayInYear => json!(day.ordinal()),
        Function::DayInMonth => json!(day.day()),
        Function::DayInWeek => json!(day.weekday().number_from_sunday()),
        // Week 1 is the first seven days, of the year or of the month.
        Function::WeekInYear => json!(day.ordinal0() / 7 + 1),
        Function::WeekInMonth => json!(day.day0() / 7 + 1),
        Function::HourInDay => json!(hour),
        _ => json!(day.to_string()),
    })
}
