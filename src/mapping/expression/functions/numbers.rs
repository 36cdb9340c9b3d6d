//! Numbers.

use std::cmp::Ordering;

use super::{Surroundings, number as number_at, text, whole};
use crate::event::Decimal;
use crate::mapping::expression::number::{Number, Trouble};
use crate::mapping::expression::val::{Val, Why};

/// What is said of arithmetic that cannot be done.
pub(in crate::mapping::expression) fn trouble(trouble: Trouble) -> Why {
    Why::new(match trouble {
        Trouble::ByZero => "cannot divide by zero",
        Trouble::TooLong => "has more than 28 digits to reckon with",
    })
}

pub(super) fn number(_: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    if let Val::Number(number) = &args[0] {
        return Ok(Val::Number(number.clone()));
    }
    match text(args, 0)?.trim().parse::<Decimal>() {
        Ok(decimal) => Ok(Val::Number(Number::read(&decimal))),
        Err(_) => Err(Why::new("needs a number written as 1234.56, and got other text")),
    }
}

pub(super) fn round(_: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    let digits = if args.len() > 1 { whole(args, 1)? } else { 0 };
    let Some(digits) = u32::try_from(digits).ok().filter(|digits| *digits <= 28) else {
        return Err(Why::new("rounds to 0 to 28 digits"));
    };
    number_at(args, 0)?.round(digits).map(Val::Number).map_err(trouble)
}

pub(super) fn floor(_: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    number_at(args, 0)?.floor().map(Val::Number).map_err(trouble)
}

pub(super) fn ceil(_: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    number_at(args, 0)?.ceil().map(Val::Number).map_err(trouble)
}

pub(super) fn abs(_: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    number_at(args, 0)?.abs().map(Val::Number).map_err(trouble)
}

pub(super) fn min(_: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    furthest(args, Ordering::Less)
}

pub(super) fn max(_: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    furthest(args, Ordering::Greater)
}

fn furthest(args: &[Val], towards: Ordering) -> Result<Val, Why> {
    let mut best = &args[0];
    for val in &args[1..] {
        if val.order(best)? == towards {
            best = val;
        }
    }
    Ok(best.clone())
}
