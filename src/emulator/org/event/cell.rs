//! Values of events as Avro has them, from rows and back.

use std::borrow::Cow;

use apache_avro::types::Value as Avro;
use chrono::{DateTime, NaiveDate, NaiveTime, Timelike};
use serde::Serialize;
use serde::ser::{Error as _, SerializeTuple, SerializeTupleVariant, Serializer};
use serde_json::{Number, Value as Json};

use super::layout::{Form, Part, SWITCHABLE};
use crate::org::text;

const DAY_MS: i64 = 86_400_000;

/// One value at one position of an event.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell<'a> {
    Null,
    Text(Cow<'a, str>),
    Int(i32),
    /// Milliseconds, of a moment, a day or a time of day.
    Long(i64),
    Double(f64),
    Bool(bool),
    /// The parts of a compound.
    Parts(Vec<Cell<'a>>),
}

impl<'a> Cell<'a> {
    /// A stored value. One that does not fit its form is null; the org's checks let none through.
    pub fn of(form: &Form, value: Option<&'a Json>) -> Self {
        let Some(value) = value.filter(|value| !value.is_null()) else { return Self::Null };
        let text = value.as_str();
        let found = match form {
            Form::Text => Some(match value {
                Json::String(text) => Self::Text(Cow::Borrowed(text)),
                other => Self::Text(Cow::Owned(other.to_string())),
            }),
            Form::Int => whole(value).and_then(|n| i32::try_from(n).ok()).map(Self::Int),
            Form::Double => value.as_f64().map(Self::Double),
            Form::Bool => value.as_bool().map(Self::Bool),
            Form::DateTime => text.and_then(moment).map(Self::Long),
            Form::Date => text.and_then(day).map(Self::Long),
            Form::Time => text.and_then(time_of_day).map(Self::Long),
            Form::Header | Form::Parts { .. } => None,
        };
        found.unwrap_or(Self::Null)
    }

    pub fn is_null(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Parts(parts) => parts.iter().all(Self::is_null),
            _ => false,
        }
    }

    /// A value that Avro's library has read; branches of unions are gone.
    pub fn from_avro(value: Avro) -> Cell<'static> {
        match value {
            Avro::Union(_, inner) => Cell::from_avro(*inner),
            Avro::String(text) => Cell::Text(Cow::Owned(text)),
            Avro::Int(n) => Cell::Int(n),
            Avro::Long(n) => Cell::Long(n),
            Avro::Double(n) => Cell::Double(n),
            Avro::Boolean(truth) => Cell::Bool(truth),
            Avro::Record(fields) => Cell::Parts(fields.into_iter().map(|(_, part)| Cell::from_avro(part)).collect()),
            _ => Cell::Null,
        }
    }

    /// Appends it as the Streaming API writes it.
    pub fn write(&self, form: &Form, out: &mut String) {
        match (self, form) {
            (Self::Null | Self::Parts(_), _) => out.push_str("null"),
            (Self::Text(value), _) => text::string(out, value),
            (Self::Bool(truth), _) => out.push_str(if *truth { "true" } else { "false" }),
            (Self::Int(n), _) => out.push_str(&n.to_string()),
            (Self::Double(n), _) => match Number::from_f64(*n) {
                Some(number) => out.push_str(number.as_str()),
                None => out.push_str("null"),
            },
            (Self::Long(ms), Form::Date) => text::string(out, &at(*ms).format("%Y-%m-%d").to_string()),
            (Self::Long(ms), Form::Time) => text::string(out, &at(*ms).format("%H:%M:%S%.3fZ").to_string()),
            (Self::Long(ms), _) => text::string(out, &at(*ms).format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()),
        }
    }

    /// As a stored value has it.
    pub fn to_json(&self, form: &Form) -> Json {
        match (self, form) {
            (Self::Null | Self::Parts(_), _) => Json::Null,
            (Self::Text(value), _) => Json::from(value.as_ref()),
            (Self::Bool(truth), _) => Json::from(*truth),
            (Self::Int(n), _) => Json::from(*n),
            (Self::Double(n), _) => Json::from(*n),
            (Self::Long(ms), Form::Date) => Json::from(at(*ms).format("%Y-%m-%d").to_string()),
            (Self::Long(ms), Form::Time) => Json::from(at(*ms).format("%H:%M:%S%.3fZ").to_string()),
            (Self::Long(ms), _) => Json::from(at(*ms).format("%Y-%m-%dT%H:%M:%S%.3f+0000").to_string()),
        }
    }

    pub fn into_owned(self) -> Cell<'static> {
        match self {
            Self::Null => Cell::Null,
            Self::Text(text) => Cell::Text(Cow::Owned(text.into_owned())),
            Self::Int(n) => Cell::Int(n),
            Self::Long(n) => Cell::Long(n),
            Self::Double(n) => Cell::Double(n),
            Self::Bool(truth) => Cell::Bool(truth),
            Self::Parts(parts) => Cell::Parts(parts.into_iter().map(Cell::into_owned).collect()),
        }
    }
}

fn at(ms: i64) -> DateTime<chrono::Utc> {
    DateTime::from_timestamp_millis(ms).unwrap_or_default()
}

/// `2026-03-01T10:11:12.000+0000` in milliseconds since 1970.
pub fn moment(text: &str) -> Option<i64> {
    DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z").ok().map(|at| at.timestamp_millis())
}

/// `2026-03-01` at midnight UTC, in milliseconds since 1970.
pub fn day(text: &str) -> Option<i64> {
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(day.signed_duration_since(NaiveDate::default()).num_days() * DAY_MS)
}

/// `10:11:12.000Z` in milliseconds since midnight.
fn time_of_day(text: &str) -> Option<i64> {
    let time = NaiveTime::parse_from_str(text.trim_end_matches('Z'), "%H:%M:%S%.f").ok()?;
    Some(i64::from(time.num_seconds_from_midnight()) * 1_000 + i64::from(time.nanosecond() / 1_000_000))
}

fn whole(value: &Json) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "whole numbers of up to 18 digits")]
    value.as_i64().or_else(|| value.as_f64().map(|n| n as i64))
}

/// A cell at its place: what its form says of unions and records.
pub struct Placed<'a> {
    pub cell: &'a Cell<'a>,
    pub form: &'a Form,
    /// Its type is a union with null.
    pub optional: bool,
}

impl Serialize for Placed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.cell, self.form) {
            // Not a union of two: it takes its branches one by one.
            (Cell::Null, Form::Parts { or_text: true, .. }) => serializer.serialize_unit(),
            (Cell::Text(text), Form::Parts { or_text: true, .. }) => serializer.serialize_str(text),
            (Cell::Parts(cells), Form::Parts { or_text: true, parts, .. }) => {
                let mut record = serializer.serialize_tuple_variant(SWITCHABLE, 2, SWITCHABLE, parts.len())?;
                for (cell, Part { form, .. }) in cells.iter().zip(parts) {
                    record.serialize_field(&Placed { cell, form, optional: true })?;
                }
                record.end()
            }
            (Cell::Null, _) if self.optional => serializer.serialize_none(),
            (Cell::Null, _) => Err(S::Error::custom("no value where there must be one")),
            (cell, form) if self.optional => serializer.serialize_some(&Placed { cell, form, optional: false }),
            (Cell::Text(text), _) => serializer.serialize_str(text),
            (Cell::Int(n), _) => serializer.serialize_i32(*n),
            (Cell::Long(n), _) => serializer.serialize_i64(*n),
            (Cell::Double(n), _) => serializer.serialize_f64(*n),
            (Cell::Bool(truth), _) => serializer.serialize_bool(*truth),
            (Cell::Parts(cells), Form::Parts { parts, .. }) => {
                let mut record = serializer.serialize_tuple(parts.len())?;
                for (cell, Part { form, .. }) in cells.iter().zip(parts) {
                    record.serialize_element(&Placed { cell, form, optional: true })?;
                }
                record.end()
            }
            (Cell::Parts(_), _) => Err(S::Error::custom("parts where there must be one value")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn stored_values_come_back_as_they_were() {
        for (form, value) in [
            (Form::Text, json!("Zürich")),
            (Form::Int, json!(-17)),
            (Form::Double, json!(35.25)),
            (Form::Bool, json!(false)),
            (Form::DateTime, json!("2026-03-01T10:11:12.000+0000")),
            (Form::Date, json!("1969-12-31")),
            (Form::Time, json!("10:11:12.345Z")),
        ] {
            assert_eq!(Cell::of(&form, Some(&value)).to_json(&form), value);
        }
        assert_eq!(Cell::of(&Form::Text, None), Cell::Null);
        assert_eq!(Cell::of(&Form::Date, Some(&json!("1970-01-02"))), Cell::Long(DAY_MS));
        assert_eq!(Cell::of(&Form::Time, Some(&json!("00:00:01.000Z"))), Cell::Long(1_000));
    }

    #[test]
    fn the_streaming_api_writes_moments_with_a_z_and_doubles_with_a_point() {
        let mut out = String::new();
        for (cell, form) in [
            (Cell::Long(1_714_156_703_517), Form::DateTime),
            (Cell::Long(DAY_MS), Form::Date),
            (Cell::Long(36_672_000), Form::Time),
            (Cell::Double(35.0), Form::Double),
            (Cell::Int(35), Form::Int),
            (Cell::Null, Form::Text),
        ] {
            cell.write(&form, &mut out);
            out.push(' ');
        }
        assert_eq!(out, r#""2024-04-26T18:38:23.517Z" "1970-01-02" "10:11:12.000Z" 35.0 35 null "#);
    }
}
