//! Whether a JSON value may stand in a field, and in which form it is stored (rest.md section 7).

use serde_json::{Number, Value as Json};

use super::Id;
use super::error::SaveError;
use super::schema::{Field, Kind, Picklist, Reference, Schema};
use super::time;

/// The value as it is stored; `Null` clears.
///
/// # Errors
/// A value of the wrong JSON type is `malformed`; what is too long, out of range or no id is the record's own error.
pub fn coerce(schema: &Schema, field: &Field, value: &Json) -> Result<Json, SaveError> {
    if value.is_null() {
        return Ok(Json::Null);
    }
    match &field.kind {
        Kind::Text(length) | Kind::Phone(length) | Kind::Url(length) | Kind::Encrypted(length) => {
            text(field, value, *length)
        }
        Kind::TextArea { length, .. } => text(field, value, *length),
        Kind::Email(length) => email(field, value, *length),
        Kind::Picklist(list) => picklist(field, value, list),
        Kind::MultiPicklist(list) => multi_picklist(field, value, list),
        Kind::Boolean => boolean(value),
        Kind::Int(digits) => number(field, value, "int", *digits, 0),
        Kind::Number(_, digits, scale) => number(field, value, "double", *digits, *scale),
        Kind::Date => date(value),
        Kind::DateTime => date_time(value),
        Kind::Time => time_of_day(value),
        Kind::Reference(to) => reference(schema, field, value, to),
        // Not writable, and refused before; kept by the org itself in the form that it has.
        Kind::AutoNumber { .. }
        | Kind::Formula(_)
        | Kind::RollUp(_)
        | Kind::Address(_)
        | Kind::Location(_)
        | Kind::System(_) => Ok(value.clone()),
    }
}

/// The same for a value that is given away: a text that can stay as it is, which most can, is not copied.
///
/// # Errors
/// As for [`coerce`].
pub fn coerce_owned(schema: &Schema, field: &Field, value: Json) -> Result<Json, SaveError> {
    let longest = match &field.kind {
        Kind::Text(length) | Kind::Phone(length) | Kind::Url(length) | Kind::TextArea { length, .. } => *length,
        _ => 0,
    };
    match &value {
        // No more bytes than characters are allowed, and nothing to trim.
        Json::String(text)
            if !text.is_empty()
                && text.len() <= longest
                && !text.starts_with(char::is_whitespace)
                && !text.ends_with(char::is_whitespace) =>
        {
            Ok(value)
        }
        _ => coerce(schema, field, &value),
    }
}

fn text(field: &Field, value: &Json, length: usize) -> Result<Json, SaveError> {
    let Some(text) = value.as_str() else { return Err(SaveError::wrong_json("string", value)) };
    let text = text.trim();
    if text.is_empty() {
        return Ok(Json::Null);
    }
    if text.chars().count() > length {
        let message = format!("{}: data value too large: {text} (max length={length})", field.label);
        return Err(SaveError::new("STRING_TOO_LONG", message).on(&field.name));
    }
    Ok(Json::String(text.to_owned()))
}

fn email(field: &Field, value: &Json, length: usize) -> Result<Json, SaveError> {
    let stored = text(field, value, length)?;
    if let Some(text) = stored.as_str() {
        let plausible = matches!(text.split_once('@'), Some((user, host)) if !user.is_empty() && host.contains('.') && !text.contains(' '));
        if !plausible {
            let message = format!("{}: invalid email address: {text}", field.label);
            return Err(SaveError::new("INVALID_EMAIL_ADDRESS", message).on(&field.name));
        }
    }
    Ok(stored)
}

/// In quotes too, as clients send it that know nothing of types.
fn boolean(value: &Json) -> Result<Json, SaveError> {
    let quoted = value.as_str().and_then(|text| text.parse().ok());
    value.as_bool().or(quoted).map(Json::Bool).ok_or_else(|| SaveError::wrong_json("boolean", value))
}

fn number(field: &Field, value: &Json, kind: &str, digits: usize, scale: usize) -> Result<Json, SaveError> {
    // Clients that know nothing of types send numbers in quotes.
    let quoted = value.as_str().and_then(|text| text.parse::<Number>().ok());
    let given = match (value, quoted) {
        (Json::Number(given), _) => given.clone(),
        (_, Some(given)) => given,
        _ => return Err(SaveError::wrong_json(kind, value)),
    };
    if is_plain(given.as_str(), digits) {
        return Ok(Json::Number(given));
    }
    let stored = decimal(&given.to_string(), digits, scale).and_then(|text| text.parse::<Number>().ok());
    stored.map(Json::Number).ok_or_else(|| {
        let message = format!("{}: value outside of valid range on numeric field: {given}", field.label);
        SaveError::new("NUMBER_OUTSIDE_VALID_RANGE", message).on(&field.name)
    })
}

fn date(value: &Json) -> Result<Json, SaveError> {
    let given = value.as_str().filter(|text| text.len() == 10);
    let parsed = given.and_then(|text| chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok());
    parsed
        .map(|date| Json::String(date.format("%Y-%m-%d").to_string()))
        .ok_or_else(|| SaveError::wrong_json("date", value))
}

/// With a zone; fractions of a second are dropped. Stored as REST answers show it.
fn date_time(value: &Json) -> Result<Json, SaveError> {
    let given = value.as_str().ok_or_else(|| SaveError::wrong_json("datetime", value))?;
    let parsed = chrono::DateTime::parse_from_rfc3339(given)
        .or_else(|_| chrono::DateTime::parse_from_str(given, "%Y-%m-%dT%H:%M:%S%.f%z"))
        .or_else(|_| chrono::DateTime::parse_from_str(given, "%Y-%m-%dT%H:%M%z"));
    let in_range = parsed.ok().filter(|at| (0..10_000).contains(&chrono::Datelike::year(at)));
    in_range.map(|at| time::rest(at.timestamp()).into()).ok_or_else(|| SaveError::wrong_json("datetime", value))
}

fn time_of_day(value: &Json) -> Result<Json, SaveError> {
    let given = value.as_str().ok_or_else(|| SaveError::wrong_json("time", value))?;
    let plain = given.strip_suffix('Z').unwrap_or(given);
    let parsed = chrono::NaiveTime::parse_from_str(plain, "%H:%M:%S%.f")
        .or_else(|_| chrono::NaiveTime::parse_from_str(plain, "%H:%M"));
    parsed.map(|at| at.format("%H:%M:%S%.3fZ").to_string().into()).map_err(|_| SaveError::wrong_json("time", value))
}

fn picklist(field: &Field, value: &Json, list: &Picklist) -> Result<Json, SaveError> {
    let stored = text(field, value, 255)?;
    let Some(given) = stored.as_str() else { return Ok(stored) };
    if list.restricted && !list.values.iter().any(|known| known == given) {
        return Err(bad_value(field, given));
    }
    Ok(stored)
}

/// In the order of the definition; what is not defined comes last.
fn multi_picklist(field: &Field, value: &Json, list: &Picklist) -> Result<Json, SaveError> {
    let stored = text(field, value, 4_099)?;
    let Some(given) = stored.as_str() else { return Ok(stored) };
    let given: Vec<&str> = given.split(';').map(str::trim).filter(|part| !part.is_empty()).collect();
    let known = |part: &str| list.values.iter().any(|value| value == part);
    if let Some(unknown) = given.iter().find(|part| list.restricted && !known(part)) {
        return Err(bad_value(field, unknown));
    }
    let defined = list.values.iter().map(String::as_str).filter(|value| given.contains(value));
    let others = given.iter().copied().filter(|part| !known(part));
    let mut chosen: Vec<&str> = Vec::new();
    for part in defined.chain(others) {
        if !chosen.contains(&part) {
            chosen.push(part);
        }
    }
    Ok(chosen.join(";").into())
}

/// The refusal of a value that a restricted picklist does not have.
pub fn bad_value(field: &Field, given: &str) -> SaveError {
    let message = format!("{}: bad value for restricted picklist field: {given}", field.label);
    SaveError::new("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message).on(&field.name)
}

fn reference(schema: &Schema, field: &Field, value: &Json, to: &Reference) -> Result<Json, SaveError> {
    let Some(text) = value.as_str() else { return Err(SaveError::wrong_json("string", value)) };
    if text.is_empty() {
        return Ok(Json::Null);
    }
    let fits = |id: &Id| schema.of_id(id).is_some_and(|(index, _)| to.objects.contains(&index));
    match Id::parse(text).filter(fits) {
        Some(id) => Ok(Json::String(id.as_str().to_owned())),
        None => Err(SaveError::wrong_type_of_id(&field.label, text).on(&field.name)),
    }
}

/// A whole number that [`decimal`] would leave as it is.
fn is_plain(text: &str, digits: usize) -> bool {
    text.len() <= digits && !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit())
}

/// A JSON number in its shortest plain form with at most `scale` fraction digits, the rest cut off; `None` when
/// it has more than `digits` before the point.
fn decimal(text: &str, digits: usize, scale: usize) -> Option<String> {
    let (sign, unsigned) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let significant = all.trim_start_matches('0');
    if significant.is_empty() {
        return Some("0".into());
    }
    let exponent: i64 = exponent.parse().ok()?;
    // Digits before the point, once leading zeros are gone.
    let point =
        i64::try_from(whole.len()).ok()?.checked_add(exponent)? - i64::try_from(all.len() - significant.len()).ok()?;
    if point > i64::try_from(digits).ok()? {
        return None;
    }
    if point < -i64::try_from(scale).ok()? {
        return Some("0".into());
    }
    let places = (point + i64::try_from(scale).ok()?).max(0);
    let mut kept: String = significant.chars().take(usize::try_from(places).ok()?).collect();
    if point <= 0 {
        kept.insert_str(0, &"0".repeat(usize::try_from(1 - point).ok()?));
    }
    let before = usize::try_from(point.max(1)).ok()?;
    while kept.len() < before {
        kept.push('0');
    }
    let (whole, fraction) = kept.split_at(before);
    let fraction = fraction.trim_end_matches('0');
    let plain = if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") };
    Some(if plain == "0" { plain } else { format!("{sign}{plain}") })
}

#[cfg(test)]
mod tests {
    use super::{decimal, is_plain};

    #[test]
    fn numbers_are_stored_in_one_plain_form() {
        for (given, stored) in [
            ("42", Some("42")),
            ("42.0", Some("42")),
            ("0.10", Some("0.1")),
            ("-1.25e3", Some("-1250")),
            ("1.999", Some("1.99")),
            ("0.001", Some("0")),
            ("-0.0", Some("0")),
            ("5e-2", Some("0.05")),
            ("12345", None),
            ("1e20", None),
            ("0e999", Some("0")),
            ("1200", Some("1200")),
            ("1.2e3", Some("1200")),
        ] {
            assert_eq!(decimal(given, 4, 2).as_deref(), stored, "{given}");
            assert!(!is_plain(given, 4) || stored == Some(given), "{given}");
        }
    }
}
