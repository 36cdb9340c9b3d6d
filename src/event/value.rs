//! Values as they cross the bridge, carried without loss.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A value of a field. Dates and times are text in one ISO form, as the org sent them.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "serde_json::Value", into = "serde_json::Value")]
pub enum Value {
    Null,
    Bool(bool),
    Number(Decimal),
    Text(String),
    /// A compound field (address, person name, location) or the part of it that an event carries.
    Compound(BTreeMap<String, Value>),
}

impl Value {
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A record's value must not reach a log by accident, so only its kind is shown.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("Null"),
            Self::Bool(_) => f.write_str("Bool"),
            Self::Number(_) => f.write_str("Number"),
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Compound(parts) => f.debug_set().entries(parts.keys()).finish(),
        }
    }
}

impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(bool) => Self::Bool(bool),
            serde_json::Value::Number(number) => match number.to_string().parse() {
                Ok(decimal) => Self::Number(decimal),
                // No JSON number is longer than `Decimal` takes, unless its exponent is absurd.
                Err(InvalidDecimal(text)) => Self::Text(text),
            },
            serde_json::Value::String(text) => Self::Text(text),
            // No field of an event or record is a list; kept readable rather than dropped.
            list @ serde_json::Value::Array(_) => Self::Text(list.to_string()),
            serde_json::Value::Object(parts) => {
                Self::Compound(parts.into_iter().map(|(name, value)| (name, value.into())).collect())
            }
        }
    }
}

impl From<Value> for serde_json::Value {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(bool) => Self::Bool(bool),
            Value::Number(decimal) => decimal.into(),
            Value::Text(text) => Self::String(text),
            Value::Compound(parts) => {
                Self::Object(parts.into_iter().map(|(name, value)| (name, value.into())).collect())
            }
        }
    }
}

/// A decimal number in canonical form, so that `20`, `20.0` and `2e1` are equal and no digit is lost.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Decimal(String);

/// Text that is no decimal number, or one with more than 400 digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a decimal number: {0:?}")]
pub struct InvalidDecimal(pub String);

/// An f64 has at most 309 digits before the point; an org's numbers have 18.
const MAX_DIGITS: i64 = 400;

impl Decimal {
    /// Without exponent, leading or trailing zeros: `-12.5`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Decimal {
    type Err = InvalidDecimal;

    fn from_str(text: &str) -> Result<Self, InvalidDecimal> {
        let invalid = || InvalidDecimal(text.chars().take(80).collect());
        let (sign, unsigned) = match text.strip_prefix('-') {
            Some(rest) => ("-", rest),
            None => ("", text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().map_err(|_| invalid())?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
            return Err(invalid());
        }
        let significant = digits.trim_start_matches('0');
        if significant.is_empty() {
            return Ok(Self("0".to_owned()));
        }
        // How many of the significant digits stand before the point.
        let point = i64::try_from(whole.len())
            .unwrap_or(i64::MAX)
            .saturating_add(exponent)
            .saturating_sub(i64::try_from(digits.len() - significant.len()).unwrap_or(i64::MAX));
        let significant = significant.trim_end_matches('0');
        let length = i64::try_from(significant.len()).unwrap_or(i64::MAX);
        if length > MAX_DIGITS || !(-MAX_DIGITS..=MAX_DIGITS).contains(&point) {
            return Err(invalid());
        }
        let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or(0));
        Ok(Self(if point <= 0 {
            format!("{sign}0.{}{significant}", zeros(-point))
        } else if point >= length {
            format!("{sign}{significant}{}", zeros(point - length))
        } else {
            let (whole, fraction) = significant.split_at(usize::try_from(point).unwrap_or(0));
            format!("{sign}{whole}.{fraction}")
        }))
    }
}

impl From<i64> for Decimal {
    fn from(number: i64) -> Self {
        // Trailing zeros before the point belong to the number, and an i64 has nothing after it.
        Self(number.to_string())
    }
}

impl From<Decimal> for serde_json::Value {
    fn from(decimal: Decimal) -> Self {
        // Canonical text is a JSON number by construction; as text it would still not be lost.
        serde_json::from_str(&decimal.0).unwrap_or(Self::String(decimal.0))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_numbers_have_one_form() {
        for (text, canonical) in [
            ("20", "20"),
            ("20.0", "20"),
            ("2e1", "20"),
            ("-0.0", "0"),
            ("0.00120", "0.0012"),
            ("1.6E13", "16000000000000"),
            ("12345678901234567.89", "12345678901234567.89"),
            ("1e-3", "0.001"),
            ("-100.250", "-100.25"),
        ] {
            assert_eq!(text.parse::<Decimal>().unwrap().as_str(), canonical, "{text}");
        }
        for text in ["", ".", "-", "1e", "1e999999999999", "0.001e-9223372036854775808", "NaN", "1.2.3", "0x1"] {
            assert!(text.parse::<Decimal>().is_err(), "{text}");
        }
    }

    #[test]
    fn json_keeps_every_digit() {
        let json = r#"{"Amount":12345678901234567.89,"Code":"0042","None":null}"#;
        let value: Value = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&value).unwrap(), json);
    }
}
