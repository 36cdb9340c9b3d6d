//! What a query says.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

use super::dates::DateSpan;

/// Where something stands in the text, in bytes. It is no part of what the text means: all places are equal.
#[derive(Debug, Clone, Copy, Default)]
pub struct Place(pub usize);

impl PartialEq for Place {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Place {}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    pub text: String,
    pub at: Place,
}

/// A field, or a field of a parent: `Account.Name`. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    pub names: Vec<String>,
    pub at: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    pub select: Vec<Selected>,
    /// An object; in a subquery of the SELECT list a relationship to children.
    pub from: Name,
    pub alias: Option<Name>,
    pub filter: Option<Condition>,
    pub group: Vec<Expression>,
    pub having: Option<Condition>,
    pub order: Vec<Order>,
    pub limit: Option<usize>,
    pub offset: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selected {
    Value { what: Expression, alias: Option<Name> },
    Fields(FieldGroup, Place),
    Children(Box<Query>),
}

/// Of `FIELDS()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldGroup {
    All,
    Custom,
    Standard,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    Path(Path),
    Call(Call),
}

/// Only `COUNT()` has no argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub function: Function,
    pub argument: Option<Box<Expression>>,
    pub at: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Function {
    Count,
    CountDistinct,
    Sum,
    Avg,
    Min,
    Max,
    CalendarYear,
    CalendarQuarter,
    CalendarMonth,
    DayInYear,
    DayInMonth,
    DayInWeek,
    DayOnly,
    WeekInYear,
    WeekInMonth,
    HourInDay,
    ToLabel,
    Format,
    ConvertCurrency,
    ConvertTimezone,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub by: Expression,
    pub descending: bool,
    pub nulls_last: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Compare {
        left: Expression,
        comparison: Comparison,
        right: Literal,
    },
    In {
        left: Expression,
        negated: bool,
        set: Set,
    },
    /// `INCLUDES`, and negated `EXCLUDES`. Each value may be several parts, joined by semicolons.
    Includes {
        left: Expression,
        negated: bool,
        values: Vec<Literal>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Like,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Set {
    List(Vec<Literal>),
    /// A semi-join: the values of its only field.
    Query(Box<Query>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Literal {
    pub value: Value,
    pub at: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Null,
    Bool(bool),
    Text(String),
    /// A text behind `LIKE`.
    Pattern(Pattern),
    /// As it was written.
    Number(String),
    Date(NaiveDate),
    DateTime(DateTime<Utc>),
    Time(NaiveTime),
    /// A date literal: `LAST_N_DAYS:3`.
    Dates(DateSpan),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(pub Vec<PatternPart>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatternPart {
    Char(char),
    /// `_`
    One,
    /// `%`
    Many,
}

const FUNCTIONS: [(&str, Function); 23] = [
    ("COUNT", Function::Count),
    ("COUNT_DISTINCT", Function::CountDistinct),
    ("SUM", Function::Sum),
    ("AVG", Function::Avg),
    ("MIN", Function::Min),
    ("MAX", Function::Max),
    ("CALENDAR_YEAR", Function::CalendarYear),
    ("CALENDAR_QUARTER", Function::CalendarQuarter),
    ("CALENDAR_MONTH", Function::CalendarMonth),
    // The fiscal year is the calendar year.
    ("FISCAL_YEAR", Function::CalendarYear),
    ("FISCAL_QUARTER", Function::CalendarQuarter),
    ("FISCAL_MONTH", Function::CalendarMonth),
    ("DAY_IN_YEAR", Function::DayInYear),
    ("DAY_IN_MONTH", Function::DayInMonth),
    ("DAY_IN_WEEK", Function::DayInWeek),
    ("DAY_ONLY", Function::DayOnly),
    ("WEEK_IN_YEAR", Function::WeekInYear),
    ("WEEK_IN_MONTH", Function::WeekInMonth),
    ("HOUR_IN_DAY", Function::HourInDay),
    ("toLabel", Function::ToLabel),
    ("FORMAT", Function::Format),
    ("convertCurrency", Function::ConvertCurrency),
    ("convertTimezone", Function::ConvertTimezone),
];

impl Function {
    pub fn named(name: &str) -> Option<Self> {
        FUNCTIONS.into_iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, function)| function)
    }

    pub fn name(self) -> &'static str {
        FUNCTIONS.into_iter().find(|(_, function)| *function == self).map_or("", |(name, _)| name)
    }

    /// Of many rows one value.
    pub fn is_aggregate(self) -> bool {
        matches!(self, Self::Count | Self::CountDistinct | Self::Sum | Self::Avg | Self::Min | Self::Max)
    }

    /// Shows a value in another way; the value here stays as it is.
    pub fn is_display(self) -> bool {
        matches!(self, Self::ToLabel | Self::Format | Self::ConvertCurrency | Self::ConvertTimezone)
    }
}

impl Expression {
    pub fn at(&self) -> Place {
        match self {
            Self::Path(path) => path.at,
            Self::Call(call) => call.at,
        }
    }

    /// The field that it is about; none for `COUNT()`.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => Some(path),
            Self::Call(call) => call.argument.as_deref()?.path(),
        }
    }

    pub fn is_aggregate(&self) -> bool {
        match self {
            Self::Path(_) => false,
            Self::Call(call) => {
                call.function.is_aggregate() || call.argument.as_deref().is_some_and(Self::is_aggregate)
            }
        }
    }
}

impl Query {
    /// `SELECT COUNT()`: the answer is a number and no records.
    pub fn is_count(&self) -> bool {
        matches!(self.select.as_slice(), [Selected::Value { what: Expression::Call(call), .. }] if call.argument.is_none())
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.names.join("."))
    }
}
