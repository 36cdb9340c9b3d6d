//! Single values: texts with their escapes, numbers, dates and times, date literals.

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use winnow::Parser;
use winnow::combinator::peek;
use winnow::token::any;

use super::ast::{Literal, Pattern, PatternPart, Place, Value};
use super::dates::DateSpan;
use super::grammar::{Parsed, fail, sign, unexpected};
use super::token::{Kind, Token, Tokens};

/// The most characters of a text.
const LONGEST: usize = 4_000;

pub(super) fn literal(input: &mut Tokens<'_, '_>) -> Parsed<Literal> {
    value(input, false)
}

/// What stands behind `LIKE`.
pub(super) fn pattern(input: &mut Tokens<'_, '_>) -> Parsed<Literal> {
    value(input, true)
}

fn value(input: &mut Tokens<'_, '_>, like: bool) -> Parsed<Literal> {
    let token: Token<'_> = *peek(any).parse_next(input)?;
    let value = match token.kind {
        Kind::Text => text(&token, like),
        Kind::Number => number(token.text),
        Kind::Sign if token.text == ":" => Err("Bind variables only allowed in Apex code".into()),
        Kind::Word => match token.text.to_ascii_uppercase().as_str() {
            "NULL" => Ok(Value::Null),
            "TRUE" => Ok(Value::Bool(true)),
            "FALSE" => Ok(Value::Bool(false)),
            _ => return date_literal(input, &token),
        },
        Kind::Sign | Kind::End => return Err(unexpected(input)),
    };
    match value {
        Ok(value) => {
            any.void().parse_next(input)?;
            Ok(Literal { value, at: Place(token.at) })
        }
        Err(message) => Err(fail(token.at, message)),
    }
}

fn date_literal(input: &mut Tokens<'_, '_>, word: &Token<'_>) -> Parsed<Literal> {
    let at = Place(word.at);
    if let Some(span) = DateSpan::named(word.text) {
        any.void().parse_next(input)?;
        return Ok(Literal { value: Value::Dates(span), at });
    }
    if DateSpan::counted(word.text, 1).is_none() {
        return Err(unexpected(input));
    }
    any.void().parse_next(input)?;
    sign(":").parse_next(input)?;
    let span = |token: &Token<'_>| token.text.parse().ok().and_then(|n| DateSpan::counted(word.text, n));
    let span = any.verify_map(span).parse_next(input)?;
    Ok(Literal { value: Value::Dates(span), at })
}

fn text(token: &Token<'_>, like: bool) -> Result<Value, String> {
    let inner = token.text.get(1..token.text.len().saturating_sub(1)).unwrap_or_default();
    let mut parts = Vec::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        parts.push(match c {
            '\\' => match chars.next() {
                Some('n' | 'N') => PatternPart::Char('\n'),
                Some('r' | 'R') => PatternPart::Char('\r'),
                Some('t' | 'T') => PatternPart::Char('\t'),
                Some('b' | 'B') => PatternPart::Char('\u{8}'),
                Some('f' | 'F') => PatternPart::Char('\u{c}'),
                Some(c @ ('\'' | '"' | '\\')) => PatternPart::Char(c),
                Some(c @ ('_' | '%')) if like => PatternPart::Char(c),
                Some(c) => {
                    let start: String = inner.chars().take(100).collect();
                    return Err(format!(
                        "Invalid string literal '{start}'. Illegal character sequence '\\{c}' in string literal."
                    ));
                }
                None => return Err(token.unexpected()),
            },
            '_' if like => PatternPart::One,
            '%' if like => PatternPart::Many,
            c => PatternPart::Char(c),
        });
    }
    if parts.len() > LONGEST {
        return Err(format!("String literals cannot be longer than {LONGEST} characters"));
    }
    if like {
        return Ok(Value::Pattern(Pattern(parts)));
    }
    let chars = parts.into_iter().map(|part| match part {
        PatternPart::Char(c) => c,
        PatternPart::One => '_',
        PatternPart::Many => '%',
    });
    Ok(Value::Text(chars.collect()))
}

/// What begins with a digit or a sign.
fn number(text: &str) -> Result<Value, String> {
    let unexpected = || format!("unexpected token: '{}'", text.chars().take(100).collect::<String>());
    if is_number(text) {
        return Ok(Value::Number(text.to_owned()));
    }
    if has_shape(text, "dd:dd:dd") {
        let time = NaiveTime::parse_from_str(text.trim_end_matches(['Z', 'z']), "%H:%M:%S%.f");
        return time.map(Value::Time).map_err(|_| unexpected());
    }
    if !has_shape(text, "dddd-dd-dd") {
        return Err(unexpected());
    }
    let (date, time) = text.split_at_checked(10).ok_or_else(unexpected)?;
    let date = NaiveDate::parse_from_str(date, "%Y-%m-%d").map_err(|_| format!("Invalid date: {text}"))?;
    if time.is_empty() {
        return Ok(Value::Date(date));
    }
    instant(text).map(Value::DateTime).ok_or_else(unexpected)
}

/// `2026-03-01T12:00:00Z`, also with a fraction of a second, also `+01:00` or `+0100`.
fn instant(text: &str) -> Option<DateTime<Utc>> {
    let (clock, offset) = match text.strip_suffix(['Z', 'z']) {
        Some(clock) => (clock, 0),
        None => {
            let (clock, offset) = text.split_at_checked(text.rfind(['+', '-']).filter(|at| *at > 10)?)?;
            let digits: String = offset.get(1..)?.chars().filter(|c| *c != ':').collect();
            if digits.len() != 4 || !has_shape(&digits, "dddd") {
                return None;
            }
            let (hours, minutes): (i32, i32) = (digits.get(..2)?.parse().ok()?, digits.get(2..)?.parse().ok()?);
            let seconds = (hours * 60 + minutes) * 60;
            (clock, if offset.starts_with('-') { -seconds } else { seconds })
        }
    };
    let clock = NaiveDateTime::parse_from_str(clock, "%Y-%m-%dT%H:%M:%S%.f").ok()?;
    let instant = clock.and_local_timezone(FixedOffset::east_opt(offset)?).single()?;
    Some(instant.to_utc())
}

/// Whether it begins so; `d` is any digit.
fn has_shape(text: &str, shape: &str) -> bool {
    text.len() >= shape.len()
        && text.bytes().zip(shape.bytes()).all(|(b, shape)| if shape == b'd' { b.is_ascii_digit() } else { b == shape })
}

fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && digits(exponent)
        && (1..=4).contains(&exponent.len())
}
