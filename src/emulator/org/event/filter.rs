//! The filter of a channel's member: a condition about the event's own fields and its header
//! (setup-metadata.md section 2).

use super::header::Header;
use crate::org::Object;
use crate::org::compare::Domain;
use crate::org::condition::Condition;
use crate::org::schema::{Field, FieldIndex, Kind};
use crate::org::table::Row;
use crate::soql::{self, Comparison, Expression, Set, Value};

/// So many fields may stand in one.
const FIELDS: usize = 10;

#[derive(Debug, Clone)]
pub struct Filter {
    text: String,
    condition: Condition,
}

impl Filter {
    /// # Errors
    /// What cannot be read, a field that the object does not have or that no filter may have, or too many of them.
    pub fn compile(text: &str, object: &Object) -> Result<Self, String> {
        let mut condition = soql::parse_condition(text).map_err(|error| error.to_string())?;
        fit(&mut condition, object)?;
        let filter = Self { text: text.to_owned(), condition: Condition::about_event(&condition, object)? };
        if filter.fields().len() > FIELDS {
            return Err(format!("a filter has at most {FIELDS} fields"));
        }
        Ok(filter)
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Field-level security plays no part in it.
    pub fn holds(&self, object: &Object, event: &Row, header: Option<&Header>) -> bool {
        self.condition.holds_for_event(object, event, header)
    }

    /// The fields that it reads, once each.
    pub fn fields(&self) -> Vec<FieldIndex> {
        self.condition.fields()
    }
}

/// Where filters differ from queries: no formulas, checkboxes and null are equal to something or not, large numbers
/// have a fraction, and a checkbox that is null is false.
fn fit(condition: &mut soql::Condition, object: &Object) -> Result<(), String> {
    match condition {
        soql::Condition::All(parts) | soql::Condition::Any(parts) => {
            parts.iter_mut().try_for_each(|part| fit(part, object))
        }
        soql::Condition::Not(inner) => fit(inner, object),
        soql::Condition::Compare { left, comparison, right } => {
            let checkbox = field(left, object)?.is_some_and(|field| Domain::of(field) == Domain::Bool);
            let equals = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
            if !equals && (checkbox || right.value == Value::Null) {
                return Err("checkboxes and null are compared by = and != only".into());
            }
            if checkbox && right.value == Value::Null {
                right.value = Value::Bool(false);
            }
            number(&right.value)
        }
        soql::Condition::In { left, set: Set::List(values), .. } | soql::Condition::Includes { left, values, .. } => {
            field(left, object)?;
            values.iter().try_for_each(|literal| number(&literal.value))
        }
        soql::Condition::In { .. } => Ok(()), // a query, which no condition may have
    }
}

/// The field of an expression, if it is one of the object's own.
fn field<'a>(left: &Expression, object: &'a Object) -> Result<Option<&'a Field>, String> {
    let name = match left {
        Expression::Path(path) => match path.names.as_slice() {
            [name] => name,
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
    match object.find(name) {
        Some((_, field)) if matches!(field.kind, Kind::Formula(_)) => Err(format!("{name}: no filter has formulas")),
        found => Ok(found.map(|(_, field)| field)),
    }
}

fn number(value: &Value) -> Result<(), String> {
    let Value::Number(text) = value else { return Ok(()) };
    let whole = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+'));
    if whole && text.parse::<i32>().is_err() {
        return Err(format!("{text}: a number as large as this is written with a fraction, {text}.0"));
    }
    Ok(())
}
