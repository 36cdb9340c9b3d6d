//! Text: counted in characters, never in bytes.

use std::sync::Arc;

use super::{MAX_TEXT, Surroundings, count, text, too_long};
use crate::mapping::expression::number::Number;
use crate::mapping::expression::val::{Val, Why};

pub(super) fn is_blank(val: &Val) -> bool {
    match val {
        Val::Null => true,
        Val::Text(text) => text.trim().is_empty(),
        _ => false,
    }
}

pub(super) fn upper(_: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    Ok(Val::text(text(args, 0)?.to_uppercase()))
}

pub(super) fn lower(_: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    Ok(Val::text(text(args, 0)?.to_lowercase()))
}

/// A word starts where a letter follows what is neither letter, digit nor apostrophe.
pub(super) fn initial_caps(_: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    let mut caps = String::new();
    let mut within = false;
    for c in text(args, 0)?.chars() {
        if within {
            caps.extend(c.to_lowercase());
        } else {
            caps.extend(c.to_uppercase());
        }
        within = c.is_alphanumeric() || (within && matches!(c, '\'' | '’'));
    }
    Ok(Val::text(caps))
}

pub(super) fn trim(_: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    Ok(Val::text(text(args, 0)?.trim()))
}

/// The byte at which the character with this number starts; the end where there are fewer.
fn byte_of(text: &str, character: usize) -> usize {
    text.char_indices().nth(character).map_or(text.len(), |(at, _)| at)
}

pub(super) fn left(_: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    let whole = text(args, 0)?;
    Ok(Val::text(&whole[..byte_of(whole, count(args, 1)?)]))
}

pub(super) fn right(_: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    let whole = text(args, 0)?;
    let skipped = whole.chars().count().saturating_sub(count(args, 1)?);
    Ok(Val::text(&whole[byte_of(whole, skipped)..]))
}

pub(super) fn substring(_: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    let whole = text(args, 0)?;
    let from = byte_of(whole, count(args, 1)?);
    let to = if args.len() > 2 { byte_of(whole, count(args, 2)?) } else { whole.len() };
    Ok(Val::text(whole.get(from..to).unwrap_or_default()))
}

pub(super) fn replace(_: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    let (whole, old, new) = (text(args, 0)?, text(args, 1)?, text(args, 2)?);
    if old.is_empty() {
        return Err(Why::new("cannot replace an empty text"));
    }
    if whole.matches(old.as_ref()).count().saturating_mul(new.len()) > MAX_TEXT {
        return Err(too_long());
    }
    Ok(Val::text(whole.replace(old.as_ref(), new)))
}

pub(super) fn pad_left(_: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    let whole = match &args[0] {
        number @ Val::Number(_) => number.plain()?,
        _ => text(args, 0)?.clone(),
    };
    let (width, fill) = (count(args, 1)?, text(args, 2)?);
    let mut fills = fill.chars();
    let (Some(fill), None) = (fills.next(), fills.next()) else {
        return Err(Why::new("needs a single character to fill with"));
    };
    let missing = width.saturating_sub(whole.chars().count());
    if missing > MAX_TEXT / 4 {
        return Err(too_long());
    }
    let mut padded = String::with_capacity(missing * fill.len_utf8() + whole.len());
    padded.extend(std::iter::repeat_n(fill, missing));
    padded.push_str(&whole);
    Ok(Val::text(padded))
}

pub(super) fn split(_: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    if args[0].is_null() {
        return Ok(Val::list(Vec::new()));
    }
    let (whole, separator) = (text(args, 0)?, text(args, 1)?);
    if separator.is_empty() {
        return Err(Why::new("needs a separator"));
    }
    Ok(Val::list(whole.split(separator.as_ref()).map(Val::text).collect()))
}

pub(super) fn join(_: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    let list = match &args[0] {
        Val::Null => return Ok(Val::Null),
        Val::List(list) => list,
        other => return Err(super::needs("a list", 0, other, ": write `join([A, B], \" \")`")),
    };
    let separator = text(args, 1)?;
    let pieces: Vec<Arc<str>> = list.iter().filter(|item| !is_blank(item)).map(Val::plain).collect::<Result<_, _>>()?;
    if pieces.is_empty() {
        return Ok(Val::Null);
    }
    let length = pieces.iter().fold(0usize, |sum, piece| sum.saturating_add(piece.len() + separator.len()));
    if length > MAX_TEXT {
        return Err(too_long());
    }
    Ok(Val::text(pieces.join(separator.as_ref())))
}

pub(super) fn size(_: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    let size = match &args[0] {
        Val::Text(text) => text.chars().count(),
        Val::List(list) => list.len(),
        Val::Table(table) => table.len(),
        other => return Err(super::needs("text, a list or a table", 0, other, "")),
    };
    Ok(Val::Number(Number::from(i64::try_from(size).unwrap_or(i64::MAX))))
}

pub(super) fn contains(_: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    if matches!(args[0], Val::List(_) | Val::Table(_)) {
        return Err(Why::new("looks into text: for a list write `x in list`"));
    }
    Ok(Val::Bool(text(args, 0)?.contains(text(args, 1)?.as_ref())))
}

pub(super) fn starts_with(_: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    Ok(Val::Bool(text(args, 0)?.starts_with(text(args, 1)?.as_ref())))
}

pub(super) fn ends_with(_: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    Ok(Val::Bool(text(args, 0)?.ends_with(text(args, 1)?.as_ref())))
}

pub(super) fn lookup(_: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    let Val::Table(table) = &args[0] else {
        return Err(super::needs("a table", 0, &args[0], ": write `lookup({\"A\": \"B\"}, Field, …)`"));
    };
    Ok(args[1].key().and_then(|key| table.get(&key)).unwrap_or(&args[2]).clone())
}
