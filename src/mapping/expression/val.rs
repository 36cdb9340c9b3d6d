//! Values while an expression is evaluated.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};

use super::moment;
use super::number::Number;
use crate::event::Value;

/// A value in the making. Cheap to clone, so that constants are shared.
#[derive(Clone)]
pub(super) enum Val {
    Null,
    Bool(bool),
    Number(Number),
    Text(Arc<str>),
    Date(NaiveDate),
    Moment(DateTime<Utc>),
    List(Arc<Vec<Val>>),
    Table(Arc<BTreeMap<Key, Val>>),
    Compound(Arc<BTreeMap<String, Value>>),
}

/// A key of a table. A date is known by its text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Bool(bool),
    Number(Number),
    Text(Arc<str>),
}

/// Why an operator or a function cannot give an answer; never holds a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Why(pub String);

impl Why {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl Val {
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Text(text.into())
    }

    pub fn list(items: Vec<Val>) -> Self {
        Self::List(Arc::new(items))
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// What it is, for people; never what it holds.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing (null)",
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::Date(_) => "a date",
            Self::Moment(_) => "a date and time",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Compound(_) => "a compound field",
        }
    }

    pub fn key(&self) -> Option<Key> {
        match self {
            Self::Bool(bool) => Some(Key::Bool(*bool)),
            Self::Number(number) => Some(Key::Number(number.clone())),
            Self::Text(text) => Some(Key::Text(text.clone())),
            Self::Date(date) => Some(Key::Text(moment::date_text(*date).into())),
            Self::Moment(at) => Some(Key::Text(moment::moment_text(*at).into())),
            Self::Null | Self::List(_) | Self::Table(_) | Self::Compound(_) => None,
        }
    }

    /// A date stands for its midnight.
    pub fn moment(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Date(date) => Some(moment::midnight(*date)),
            Self::Moment(at) => Some(*at),
            Self::Text(text) => moment::moment(text).or_else(|| moment::date(text).map(moment::midnight)),
            _ => None,
        }
    }

    fn is_time(&self) -> bool {
        match self {
            Self::Date(_) | Self::Moment(_) => true,
            Self::Text(text) => moment::looks_like_a_moment(text),
            _ => false,
        }
    }

    /// It, or an entry of it, is text that only people read as a date.
    pub fn is_a_date_in_another_form(&self) -> bool {
        match self {
            Self::Text(text) => moment::is_a_date_in_another_form(text),
            Self::List(items) => items.iter().any(Self::is_a_date_in_another_form),
            _ => false,
        }
    }

    /// Values of different kinds are not equal.
    pub fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(one), Self::Bool(other)) => one == other,
            (Self::Number(one), Self::Number(other)) => one == other,
            (Self::Text(one), Self::Text(other)) if one == other => true,
            (Self::List(one), Self::List(other)) => {
                one.len() == other.len() && one.iter().zip(other.iter()).all(|(one, other)| one.equals(other))
            }
            (Self::Table(one), Self::Table(other)) => {
                one.len() == other.len()
                    && one.iter().zip(other.iter()).all(|((a, one), (b, other))| a == b && one.equals(other))
            }
            (Self::Compound(one), Self::Compound(other)) => one == other,
            _ if self.is_time() || other.is_time() => match (self.moment(), other.moment()) {
                (Some(one), Some(other)) => one == other,
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether one can equal the other at all. What never can is a slip of whoever wrote it, and no answer.
    pub fn can_equal(&self, other: &Self) -> Result<(), Why> {
        let fits = match (self, other) {
            (Self::Null, _) | (_, Self::Null) => true,
            (Self::Date(_) | Self::Moment(_), other) | (other, Self::Date(_) | Self::Moment(_)) => {
                other.moment().is_some()
            }
            (one, other) => std::mem::discriminant(one) == std::mem::discriminant(other),
        };
        if fits { Ok(()) } else { Err(self.unlike(other)) }
    }

    fn unlike(&self, other: &Self) -> Why {
        let remedy = match (self, other) {
            (Self::Text(_), Self::Number(_)) | (Self::Number(_), Self::Text(_)) => {
                ": turn one into the other by `number(…)` or `text(…)`"
            }
            (Self::Text(_), Self::Bool(_)) | (Self::Bool(_), Self::Text(_)) => ": write true and false without quotes",
            (Self::Date(_) | Self::Moment(_), Self::Text(_)) | (Self::Text(_), Self::Date(_) | Self::Moment(_)) => {
                ": the text is no date"
            }
            (Self::List(_), _) | (_, Self::List(_)) => ": write `x in list`",
            (Self::Compound(_), _) | (_, Self::Compound(_)) => ": compare its parts, as in `BillingAddress.City`",
            _ => "",
        };
        Why(format!("cannot compare {} with {}{remedy}", self.kind(), other.kind()))
    }

    /// Numbers, texts, and times; a time in any of its forms.
    pub fn order(&self, other: &Self) -> Result<Ordering, Why> {
        match (self, other) {
            (Self::Number(one), Self::Number(other)) => return Ok(one.cmp(other)),
            (Self::Null, _) | (_, Self::Null) => {
                return Err(Why::new(
                    "cannot compare with nothing (null): test it first, `has(Field) && …`, or write `default(Field, …)`",
                ));
            }
            _ => {}
        }
        if (self.is_time() || other.is_time())
            && let (Some(one), Some(other)) = (self.moment(), other.moment())
        {
            return Ok(one.cmp(&other));
        }
        match (self, other) {
            (Self::Text(one), Self::Text(other)) => Ok(one.cmp(other)),
            _ => Err(self.unlike(other)),
        }
    }

    /// Plain text of one value.
    pub fn plain(&self) -> Result<Arc<str>, Why> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::Bool(true) => Ok("true".into()),
            Self::Bool(false) => Ok("false".into()),
            Self::Number(number) => Ok(number.to_decimal().as_str().into()),
            Self::Date(date) => Ok(moment::date_text(*date).into()),
            Self::Moment(at) => Ok(moment::moment_text(*at).into()),
            Self::Null | Self::List(_) | Self::Table(_) | Self::Compound(_) => {
                Err(Why::new(format!("needs one value, and got {}", self.kind())))
            }
        }
    }

    /// What leaves the expression.
    pub fn into_value(self) -> Result<Value, Why> {
        Ok(match self {
            Self::Null => Value::Null,
            Self::Bool(bool) => Value::Bool(bool),
            Self::Number(number) => Value::Number(number.to_decimal()),
            Self::Text(text) => Value::Text(text.as_ref().to_owned()),
            Self::Date(date) => Value::Text(moment::date_text(date)),
            Self::Moment(at) => Value::Text(moment::moment_text(at)),
            Self::Compound(parts) => Value::Compound(Arc::unwrap_or_clone(parts)),
            Self::List(_) => return Err(Why::new("gives a list, which no field can hold: write `join(…, \";\")`")),
            Self::Table(_) => return Err(Why::new("gives a table, which no field can hold: write `{…}[Field]`")),
        })
    }
}

impl From<Value> for Val {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(bool) => Self::Bool(bool),
            Value::Number(decimal) => Self::Number(Number::read(&decimal)),
            Value::Text(text) => Self::Text(text.into()),
            Value::Compound(parts) => Self::Compound(Arc::new(parts)),
        }
    }
}
