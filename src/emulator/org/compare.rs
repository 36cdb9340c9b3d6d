//! How a stored value compares with a literal of a condition, by the kind of the field.
//!
//! Numbers compare by exact value, text without case, ids by their 15 characters, multi-select picklists as sets.
//! Nothing is less or greater than null, and `!=` holds for it.

use chrono::{DateTime, NaiveDate, NaiveTime};
use serde_json::Value as Json;

use super::Id;
use super::decimal::Decimal;
use super::schema::{Field, Kind, NumberKind, RollUp, Summary, System};
use super::table::folded;
use super::time::SECOND;
use crate::soql::{Comparison, Pattern, PatternPart, Value};

/// What the values of a field are, as far as comparing goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    Text,
    /// Text of a field for which upper and lower case differ.
    Exact,
    Id,
    Int,
    Double,
    Bool,
    Date,
    DateTime,
    Time,
    /// A multi-select picklist.
    Many,
}

/// A value in the form in which it is compared and sorted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    Bool(bool),
    Number(Decimal),
    Text(String),
    Date(NaiveDate),
    /// Milliseconds since 1970.
    Instant(i64),
    Time(NaiveTime),
    /// Sorted.
    Many(Vec<String>),
}

/// What a literal asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    Null,
    Key(Key),
    /// From the first to before the second.
    Span(Key, Key),
    Like(Pattern),
}

/// A literal that does not fit a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// Another type is needed.
    Type { wanted: &'static str, quoted: bool },
    /// No id.
    Id(String),
    /// The comparison is none for such a field.
    Operator,
}

impl Unfit {
    /// Code and message as the platform has them.
    pub fn error(&self, field: &str) -> (&'static str, String) {
        match self {
            Self::Type { wanted, quoted } => {
                let not = if *quoted { "" } else { "not " };
                let message = format!(
                    "value of filter criterion for field '{field}' must be of type {wanted} and should {not}be enclosed in quotes"
                );
                ("INVALID_FIELD", message)
            }
            Self::Id(text) => ("INVALID_QUERY_FILTER_OPERATOR", format!("invalid ID field: {text}")),
            Self::Operator => ("INVALID_QUERY_FILTER_OPERATOR", format!("invalid operator on the field '{field}'")),
        }
    }
}

impl Domain {
    pub fn of(field: &Field) -> Self {
        match &field.kind {
            Kind::Boolean | Kind::System(System::IsDeleted | System::IsPersonAccount) => Self::Bool,
            Kind::Int(_) | Kind::RollUp(RollUp { summary: Summary::Count, .. }) => Self::Int,
            Kind::Number(NumberKind::Double | NumberKind::Currency | NumberKind::Percent, ..) | Kind::RollUp(_) => {
                Self::Double
            }
            Kind::Date => Self::Date,
            Kind::DateTime | Kind::System(System::CreatedDate | System::LastModifiedDate | System::Modstamp) => {
                Self::DateTime
            }
            Kind::Time => Self::Time,
            Kind::MultiPicklist(_) => Self::Many,
            _ if field.is_id() => Self::Id,
            _ if field.case_sensitive => Self::Exact,
            _ => Self::Text,
        }
    }

    pub fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Double)
    }

    pub fn is_text(self) -> bool {
        matches!(self, Self::Text | Self::Exact)
    }

    /// A value as a row has it or an answer shows it; `None` is null.
    pub fn key(self, value: &Json) -> Option<Key> {
        let text = value.as_str().filter(|text| !text.is_empty());
        match self {
            Self::Bool => value.as_bool().map(Key::Bool),
            Self::Int | Self::Double => match value {
                Json::Number(number) => Decimal::parse(number.as_str()).map(Key::Number),
                _ => None,
            },
            Self::Text => text.map(|text| Key::Text(folded(text))),
            Self::Exact => text.map(|text| Key::Text(text.to_owned())),
            Self::Id => text.map(|text| Key::Text(text.get(..15).unwrap_or(text).to_owned())),
            Self::Date => NaiveDate::parse_from_str(text?, "%Y-%m-%d").ok().map(Key::Date),
            Self::DateTime => {
                let parsed = ["%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%dT%H:%M:%S%.f%#z"];
                let parsed = parsed.into_iter().find_map(|form| DateTime::parse_from_str(text?, form).ok());
                parsed.map(|at| Key::Instant(at.timestamp_millis()))
            }
            Self::Time => NaiveTime::parse_from_str(text?.trim_end_matches('Z'), "%H:%M:%S%.f").ok().map(Key::Time),
            Self::Many => text.map(|text| Key::Many(set(text))),
        }
    }

    /// What a literal asks for; `now` in microseconds says what `TODAY` is.
    ///
    /// # Errors
    /// A literal of another type.
    pub fn wanted(self, comparison: Comparison, literal: &Value, now: i64) -> Result<Wanted, Unfit> {
        if comparison == Comparison::Like && !self.is_text() {
            return Err(Unfit::Operator);
        }
        let key = match (self, literal) {
            (_, Value::Null) => return Ok(Wanted::Null),
            (Self::Text | Self::Exact | Self::Id | Self::Many, Value::Text(text)) if text.is_empty() => {
                return Ok(Wanted::Null); // as it is stored
            }
            (Self::Text | Self::Exact, Value::Pattern(pattern)) => return Ok(Wanted::Like(folded_pattern(pattern))),
            (Self::Text | Self::Exact, Value::Text(_)) if comparison == Comparison::Like => {
                return Err(Unfit::Operator);
            }
            (Self::Text, Value::Text(text)) => Key::Text(folded(text)),
            (Self::Exact, Value::Text(text)) => Key::Text(text.clone()),
            (Self::Id, Value::Text(text)) => {
                Key::Text(Id::parse(text).ok_or_else(|| Unfit::Id(text.clone()))?.short().to_owned())
            }
            (Self::Many, Value::Text(text)) => Key::Many(set(text)),
            (Self::Int | Self::Double, Value::Number(text)) => {
                Key::Number(Decimal::parse(text).ok_or_else(|| self.unfit())?)
            }
            (Self::Bool, Value::Bool(value)) => Key::Bool(*value),
            (Self::Date, Value::Date(date)) => Key::Date(*date),
            (Self::DateTime, Value::DateTime(at)) => Key::Instant(at.timestamp_millis()),
            (Self::Time, Value::Time(time)) => Key::Time(*time),
            (Self::Date | Self::DateTime, Value::Dates(span)) => {
                let today = DateTime::from_timestamp(now.div_euclid(SECOND), 0).unwrap_or_default().date_naive();
                let (from, to) = span.days(today);
                let key = |day: NaiveDate| match self {
                    Self::Date => Key::Date(day),
                    _ => Key::Instant(day.and_time(NaiveTime::MIN).and_utc().timestamp_millis()),
                };
                return Ok(Wanted::Span(key(from), key(to)));
            }
            _ => return Err(self.unfit()),
        };
        Ok(Wanted::Key(key))
    }

    fn unfit(self) -> Unfit {
        let (wanted, quoted) = match self {
            Self::Text | Self::Exact | Self::Many => ("string", true),
            Self::Id => ("reference", true),
            Self::Int => ("int", false),
            Self::Double => ("double", false),
            Self::Bool => ("boolean", false),
            Self::Date => ("date", false),
            Self::DateTime => ("dateTime", false),
            Self::Time => ("time", false),
        };
        Unfit::Type { wanted, quoted }
    }
}

/// The parts of a multi-select value.
fn set(text: &str) -> Vec<String> {
    let mut parts: Vec<String> = text.split(';').map(|part| folded(part.trim())).filter(|p| !p.is_empty()).collect();
    parts.sort();
    parts.dedup();
    parts
}

impl Wanted {
    /// Whether a value stands to it as the comparison says.
    pub fn holds(&self, comparison: Comparison, value: Option<&Key>) -> bool {
        let Some(value) = value else {
            return match comparison {
                Comparison::Equal => *self == Self::Null,
                Comparison::NotEqual => *self != Self::Null,
                _ => false,
            };
        };
        let (from, to, inclusive) = match self {
            Self::Null => return comparison == Comparison::NotEqual,
            Self::Like(pattern) => {
                return match (comparison, value) {
                    (Comparison::Like, Key::Text(text)) => matches(&pattern.0, &folded(text)),
                    _ => false,
                };
            }
            Self::Key(key) => (key, key, true),
            Self::Span(from, to) => (from, to, false),
        };
        let before = value < from;
        let behind = if inclusive { value > to } else { value >= to };
        match comparison {
            Comparison::Equal => !before && !behind,
            Comparison::NotEqual => before || behind,
            Comparison::Less => before,
            Comparison::LessOrEqual => !behind,
            Comparison::Greater => behind,
            Comparison::GreaterOrEqual => !before,
            Comparison::Like => false,
        }
    }

    /// Whether a multi-select value has all parts of it.
    pub fn included(&self, value: Option<&Key>) -> bool {
        match (self, value) {
            (Self::Key(Key::Many(parts)), Some(Key::Many(all))) => parts.iter().all(|part| all.contains(part)),
            (Self::Null, None) => true,
            _ => false,
        }
    }
}

fn folded_pattern(pattern: &Pattern) -> Pattern {
    let part = |part: &PatternPart| -> Vec<PatternPart> {
        match part {
            PatternPart::Char(c) => c.to_lowercase().map(PatternPart::Char).collect(),
            other => vec![*other],
        }
    };
    Pattern(pattern.0.iter().flat_map(part).collect())
}

/// `%` takes as little as it can, and more when what follows does not fit: time is at most the product of the lengths.
fn matches(pattern: &[PatternPart], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut place) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let fits = match (pattern.get(place), text.get(at)) {
            (Some(PatternPart::Many), _) => {
                retry = Some((at, place + 1));
                place += 1;
                continue;
            }
            (None, None) => return true,
            (Some(PatternPart::One), Some(_)) => true,
            (Some(PatternPart::Char(wanted)), Some(given)) => wanted == given,
            _ => false,
        };
        if fits {
            (at, place) = (at + 1, place + 1);
            continue;
        }
        match retry {
            Some((from, behind)) if from < text.len() => {
                (at, place) = (from + 1, behind);
                retry = Some((from + 1, behind));
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::soql::{Condition, parse_condition};

    /// Whether `x <condition>` holds for a value; 2026-03-04T12:00Z is now.
    fn holds(domain: Domain, value: Json, condition: &str) -> bool {
        let Ok(Condition::Compare { comparison, right, .. }) = parse_condition(&format!("x {condition}")) else {
            panic!("{condition}")
        };
        let now = DateTime::parse_from_rfc3339("2026-03-04T12:00:00Z").unwrap().timestamp_micros();
        domain.wanted(comparison, &right.value, now).unwrap().holds(comparison, domain.key(&value).as_ref())
    }

    #[test]
    fn each_kind_compares_in_its_way() {
        for (domain, value, condition) in [
            (Domain::Text, json!("Zürich"), "= 'ZÜRICH'"),
            (Domain::Text, json!("b"), "> 'A'"),
            (Domain::Exact, json!("a"), "!= 'A'"),
            (Domain::Double, json!(1.50), "= 1.5"),
            (Domain::Double, json!(9_007_199_254_740_993_i64), "> 9007199254740992"),
            (Domain::Int, json!(-3), "< -2.9"),
            (Domain::Bool, json!(true), "!= false"),
            (Domain::Id, json!("001D000000IqhSLIAZ"), "= '001D000000IqhSL'"),
            (Domain::Id, json!("001D000000IqhSLIAZ"), "!= '001D000000IqhSl'"),
            (Domain::Date, json!("2026-02-28"), "< 2026-03-01"),
            (Domain::Date, json!("2026-03-04"), "= TODAY"),
            (Domain::Date, json!("2026-03-04"), "<= TODAY"),
            (Domain::Date, json!("2026-03-05"), "> TODAY"),
            (Domain::DateTime, json!("2026-03-04T23:59:59.000+0000"), "= TODAY"),
            (Domain::DateTime, json!("2026-03-05T00:00:00.000+0000"), "> TODAY"),
            (Domain::DateTime, json!("2026-03-01T12:00:00.000+0000"), "= 2026-03-01T13:00:00+01:00"),
            (Domain::Time, json!("10:15:00.000Z"), "< 10:15:01Z"),
            (Domain::Many, json!("b;a"), "= 'A;b'"),
            (Domain::Text, json!("50% off"), r"LIKE '50\% _F%'"),
            (Domain::Text, Json::Null, "= ''"),
        ] {
            assert!(holds(domain, value.clone(), condition), "{value} {condition}");
        }
    }

    #[test]
    fn null_is_unequal_and_neither_less_nor_greater() {
        for (condition, expected) in [
            ("= null", true),
            ("!= null", false),
            ("= 'a'", false),
            ("!= 'a'", true),
            ("< 'a'", false),
            (">= 'a'", false),
            ("LIKE '%'", false),
            ("<= null", false),
        ] {
            assert_eq!(holds(Domain::Text, Json::Null, condition), expected, "{condition}");
        }
        assert!(holds(Domain::Text, json!("a"), "!= null") && !holds(Domain::Text, json!("a"), "> null"));
    }

    #[test]
    fn a_literal_of_another_type_is_refused() {
        let quoted = Domain::Double.wanted(Comparison::Equal, &Value::Text("5".into()), 0).unwrap_err();
        assert_eq!(
            quoted.error("X__c").1,
            "value of filter criterion for field 'X__c' must be of type double and should not be enclosed in quotes"
        );
        let bare = Domain::Text.wanted(Comparison::Equal, &Value::Number("5".into()), 0).unwrap_err();
        assert!(bare.error("Name").1.ends_with("must be of type string and should be enclosed in quotes"));
        let id = Domain::Id.wanted(Comparison::Equal, &Value::Text("x".into()), 0).unwrap_err();
        assert_eq!(id.error("Id"), ("INVALID_QUERY_FILTER_OPERATOR", "invalid ID field: x".into()));
        let like = Domain::Int.wanted(Comparison::Like, &Value::Pattern(Pattern(Vec::new())), 0).unwrap_err();
        assert_eq!(like, Unfit::Operator);
    }

    /// Straight from the definition.
    fn naive(pattern: &[PatternPart], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((PatternPart::Many, rest)) => (0..=text.len()).any(|n| naive(rest, &text[n..])),
            Some((part, rest)) => text.split_first().is_some_and(|(c, tail)| {
                (*part == PatternPart::One || *part == PatternPart::Char(*c)) && naive(rest, tail)
            }),
        }
    }

    proptest! {
        #[test]
        fn patterns_match_as_defined(
            pattern in prop::collection::vec(prop::sample::select(vec![
                PatternPart::One, PatternPart::Many, PatternPart::Char('a'), PatternPart::Char('b'),
            ]), 0..7),
            text in "[ab]{0,8}",
        ) {
            let chars: Vec<char> = text.chars().collect();
            prop_assert_eq!(matches(&pattern, &text), naive(&pattern, &chars));
        }
    }
}
