//! Decimal numbers of an expression: exact as far as 28 digits go, and carried whole beyond.

use std::cmp::Ordering;

use rust_decimal::prelude::ToPrimitive;
use rust_decimal::{Decimal as Short, RoundingStrategy};

use crate::event::Decimal;

/// What arithmetic can say of two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    ByZero,
    /// More than 28 digits.
    TooLong,
}

/// A number. One with more digits than arithmetic can hold is still compared, and still passed on with every digit.
#[derive(Clone)]
pub(super) enum Number {
    Short(Short),
    Long(Decimal),
}

impl Number {
    pub fn read(decimal: &Decimal) -> Self {
        match Short::from_str_exact(decimal.as_str()) {
            Ok(short) => Self::Short(short),
            Err(_) => Self::Long(decimal.clone()),
        }
    }

    pub fn to_decimal(&self) -> Decimal {
        match self {
            // What prints as digits and a point is a decimal, so the other arm is never taken.
            Self::Short(short) => short.to_string().parse().unwrap_or_else(|_| Decimal::from(0)),
            Self::Long(long) => long.clone(),
        }
    }

    /// A whole number that fits.
    pub fn whole(&self) -> Option<i64> {
        match self {
            Self::Short(short) if short.fract().is_zero() => short.to_i64(),
            Self::Short(_) | Self::Long(_) => None,
        }
    }

    fn short(&self) -> Result<Short, Trouble> {
        match self {
            Self::Short(short) => Ok(*short),
            Self::Long(_) => Err(Trouble::TooLong),
        }
    }

    fn both(&self, other: &Self, of: fn(Short, Short) -> Option<Short>) -> Result<Self, Trouble> {
        of(self.short()?, other.short()?).map(Self::Short).ok_or(Trouble::TooLong)
    }

    pub fn plus(&self, other: &Self) -> Result<Self, Trouble> {
        self.both(other, Short::checked_add)
    }

    pub fn minus(&self, other: &Self) -> Result<Self, Trouble> {
        self.both(other, Short::checked_sub)
    }

    pub fn times(&self, other: &Self) -> Result<Self, Trouble> {
        self.both(other, Short::checked_mul)
    }

    pub fn by(&self, other: &Self) -> Result<Self, Trouble> {
        if other.short()?.is_zero() { Err(Trouble::ByZero) } else { self.both(other, Short::checked_div) }
    }

    pub fn rest(&self, other: &Self) -> Result<Self, Trouble> {
        if other.short()?.is_zero() { Err(Trouble::ByZero) } else { self.both(other, Short::checked_rem) }
    }

    pub fn negated(&self) -> Result<Self, Trouble> {
        self.short().map(|short| Self::Short(-short))
    }

    pub fn abs(&self) -> Result<Self, Trouble> {
        self.short().map(|short| Self::Short(short.abs()))
    }

    pub fn floor(&self) -> Result<Self, Trouble> {
        self.short().map(|short| Self::Short(short.floor()))
    }

    pub fn ceil(&self) -> Result<Self, Trouble> {
        self.short().map(|short| Self::Short(short.ceil()))
    }

    /// Half goes away from zero, as in the org.
    pub fn round(&self, digits: u32) -> Result<Self, Trouble> {
        self.short()
            .map(|short| Self::Short(short.round_dp_with_strategy(digits, RoundingStrategy::MidpointAwayFromZero)))
    }
}

impl From<i64> for Number {
    fn from(number: i64) -> Self {
        Self::Short(Short::from(number))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Short(one), Self::Short(other)) => one.cmp(other),
            _ => by_digits(self.to_decimal().as_str(), other.to_decimal().as_str()),
        }
    }
}

/// Order of two numbers in canonical form.
fn by_digits(one: &str, other: &str) -> Ordering {
    match (one.strip_prefix('-'), other.strip_prefix('-')) {
        (Some(one), Some(other)) => unsigned(other, one),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => unsigned(one, other),
    }
}

fn unsigned(one: &str, other: &str) -> Ordering {
    let whole = |text: &str| text.find('.').unwrap_or(text.len());
    // Without leading zeros the longer whole part is the larger, and digits of one length sort as text.
    whole(one).cmp(&whole(other)).then_with(|| one.cmp(other))
}
