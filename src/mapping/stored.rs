//! Values as the target stores them, for comparing: what it holds need not be what was written, letter by letter (facts: rest.md
//! section 7).

use chrono::DateTime;
use rust_decimal::{Decimal as Short, RoundingStrategy};

use super::expression::moment;
use super::types::{FieldType, Kind, Types};
use crate::event::{Decimal, FieldName, RecordId, Value};

impl Types {
    /// One form for all values that the field stores alike: empty text is null, blanks around a text go, a moment has whole
    /// seconds, what was chosen in a multi-select picklist has an order, an id 18 characters.
    pub fn stored(&self, field: &FieldName, value: &Value) -> Value {
        let known = self.field(field);
        let Value::Text(text) = value else {
            return match (value, known.and_then(|field| field.scale)) {
                (Value::Number(number), Some(scale)) => Value::Number(cut(number, scale)),
                _ => value.clone(),
            };
        };
        let text = text.trim();
        if text.is_empty() {
            return Value::Null;
        }
        match known {
            Some(FieldType { is_set: true, .. }) => {
                let mut chosen: Vec<&str> = text.split(';').map(str::trim).filter(|one| !one.is_empty()).collect();
                chosen.sort_unstable();
                chosen.dedup();
                Value::text(chosen.join(";"))
            }
            Some(FieldType { kind: Kind::DateTime, .. }) => {
                let second = moment::moment(text).and_then(|at| DateTime::from_timestamp(at.timestamp(), 0));
                second.map_or_else(|| Value::text(text), |second| Value::Text(moment::moment_text(second)))
            }
            Some(FieldType { kind: Kind::Time, .. }) => Value::text(time(text)),
            Some(FieldType { kind: Kind::Lookup, .. }) => match text.parse::<RecordId>() {
                Ok(id) => Value::text(id.as_str()),
                Err(_) => Value::text(text),
            },
            Some(_) | None => Value::text(text),
        }
    }

    /// Whether the field, which holds `there`, would be as it is after `value` was written. UNSURE whether digits behind the point
    /// that the field has no room for are cut off or rounded: either is the same.
    pub fn holds(&self, field: &FieldName, value: &Value, there: &Value) -> bool {
        let there = self.stored(field, there);
        self.stored(field, value) == there || self.rounded(field, value).is_some_and(|rounded| rounded == there)
    }

    /// A number as it is stored where the org rounds, if that is another than [`Self::stored`].
    pub fn rounded(&self, field: &FieldName, value: &Value) -> Option<Value> {
        let Value::Number(number) = value else { return None };
        let scale = self.field(field)?.scale?;
        let (cut, rounded) = (cut(number, scale), rounded(number, scale)?);
        (cut != rounded).then_some(Value::Number(rounded))
    }
}

/// `10:15`, `10:15:00` and `10:15:00.000Z` are one.
fn time(text: &str) -> String {
    let bare = text.trim_end_matches('Z');
    let seconds = if bare.len() == 5 { format!("{bare}:00") } else { bare.to_owned() };
    seconds.strip_suffix(".000").unwrap_or(&seconds).to_owned()
}

/// With at most so many digits behind the point; one of more digits than arithmetic holds stays as it is.
fn cut(number: &Decimal, scale: u32) -> Decimal {
    scaled(number, |short| short.trunc_with_scale(scale)).unwrap_or_else(|| number.clone())
}

/// Half goes away from zero.
fn rounded(number: &Decimal, scale: u32) -> Option<Decimal> {
    scaled(number, |short| short.round_dp_with_strategy(scale, RoundingStrategy::MidpointAwayFromZero))
}

fn scaled(number: &Decimal, to: impl Fn(Short) -> Short) -> Option<Decimal> {
    to(Short::from_str_exact(number.as_str()).ok()?).to_string().parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::org::describe::described;

    fn types() -> Types {
        let field = |name: &str, kind: &str, scale: u32| json!({"name": name, "type": kind, "length": 80, "scale": scale, "precision": 18});
        let described = described(&json!({"name": "Account", "fields": [
            field("Name", "string", 0), field("Amount", "currency", 2), field("Count", "int", 0), field("At", "datetime", 0),
            field("Kinds", "multipicklist", 0), field("Owner", "reference", 0), field("Kind", "picklist", 0), field("Opens", "time", 0),
        ]}));
        let names: Vec<FieldName> = described.fields.values().map(|field| field.name.clone()).collect();
        Types::new(names.iter(), Some(&described), std::iter::empty())
    }

    #[test]
    fn what_a_field_stores_alike_is_the_same_and_nothing_else() {
        let types = types();
        for (field, value, there, same) in [
            ("Name", json!(" Acme "), json!("Acme"), true),
            ("Name", json!(""), Json::Null, true),
            ("Name", json!("  "), Json::Null, true),
            ("Name", json!("Acme"), json!("acme"), false),
            ("Name", json!("a;b"), json!("b;a"), false),
            ("Kinds", json!("b;a; a"), json!("a;b"), true),
            ("Kinds", json!("a;b"), json!("a;c"), false),
            ("Kind", json!("b;a"), json!("a;b"), false),
            ("Amount", json!(12.5), json!(12.50), true),
            ("Amount", json!(1.005), json!(1), true),
            ("Amount", json!(1.005), json!(1.01), true),
            ("Amount", json!(1.004), json!(1.01), false),
            ("Amount", json!(-9.996), json!(-10), true),
            ("Amount", json!(-9.996), json!(-9.99), true),
            ("Amount", json!(99.999), json!(100), true),
            ("Amount", json!(0.999), json!(0.98), false),
            ("Count", json!(7.5), json!(8), true),
            ("Amount", json!(0), Json::Null, false),
            ("At", json!("2024-05-01T10:00:00.750Z"), json!("2024-05-01T10:00:00.000Z"), true),
            ("At", json!("2024-05-01T12:00:00+02:00"), json!("2024-05-01T10:00:00.000Z"), true),
            ("At", json!("2024-05-01T10:00:01.000Z"), json!("2024-05-01T10:00:00.000Z"), false),
            ("Opens", json!("10:15"), json!("10:15:00.000Z"), true),
            ("Opens", json!("10:15:00Z"), json!("10:15:01.000Z"), false),
            ("Owner", json!("001000000000001"), json!("001000000000001AAA"), true),
            ("Unknown__c", json!(" x"), json!("x"), true),
            ("Unknown__c", json!(1.005), json!(1.01), false),
        ] {
            let name: FieldName = field.parse().unwrap();
            let (value, there): (Value, Value) = (value.into(), there.into());
            assert_eq!(
                types.holds(&name, &value, &there),
                same,
                "{field}: {} and {}",
                Json::from(value),
                Json::from(there)
            );
        }
    }
}
