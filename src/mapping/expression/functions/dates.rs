//! Dates and moments. All in UTC: a day never depends on where this program runs.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Utc};

use super::{Surroundings, needs, text, whole};
use crate::mapping::expression::moment;
use crate::mapping::expression::number::Number;
use crate::mapping::expression::val::{Val, Why};

/// A date, or a date with its time.
enum When {
    Date(NaiveDate),
    Moment(DateTime<Utc>),
}

impl When {
    fn at(args: &[Val], at: usize) -> Result<Self, Why> {
        match &args[at] {
            Val::Date(date) => Ok(Self::Date(*date)),
            Val::Moment(moment) => Ok(Self::Moment(*moment)),
            Val::Text(text) => {
                let text = text.trim();
                let date = moment::date(text).map(Self::Date);
                date.or_else(|| moment::moment(text).map(Self::Moment)).ok_or_else(|| {
                    Why::new(if text.len() > 10 && moment::date(text.get(..10).unwrap_or_default()).is_some() {
                        "needs a time with its zone, as in 2024-01-31T10:15:00Z"
                    } else {
                        "needs a date written as 2024-01-31 or 2024-01-31T10:15:00Z, and got other text"
                    })
                })
            }
            other => Err(needs("a date", at, other, "")),
        }
    }

    fn day(&self) -> NaiveDate {
        match self {
            Self::Date(date) => *date,
            Self::Moment(moment) => moment.date_naive(),
        }
    }

    fn moment(&self) -> DateTime<Utc> {
        match self {
            Self::Date(date) => moment::midnight(*date),
            Self::Moment(moment) => *moment,
        }
    }
}

pub(super) fn date(_: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    When::at(args, 0).map(|when| Val::Date(when.day()))
}

pub(super) fn datetime(_: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    When::at(args, 0).map(|when| Val::Moment(when.moment()))
}

pub(super) fn year(_: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    When::at(args, 0).map(|when| Val::Number(Number::from(i64::from(when.day().year()))))
}

pub(super) fn month(_: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    When::at(args, 0).map(|when| Val::Number(Number::from(i64::from(when.day().month()))))
}

pub(super) fn day(_: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    When::at(args, 0).map(|when| Val::Number(Number::from(i64::from(when.day().day()))))
}

pub(super) fn add_days(_: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    let days = whole(args, 1)?;
    let by = Days::new(days.unsigned_abs());
    match When::at(args, 0)? {
        When::Date(date) => {
            within(if days < 0 { date.checked_sub_days(by) } else { date.checked_add_days(by) }.map(Val::Date))
        }
        When::Moment(moment) => {
            within(if days < 0 { moment.checked_sub_days(by) } else { moment.checked_add_days(by) }.map(Val::Moment))
        }
    }
}

pub(super) fn add_months(_: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    let months = whole(args, 1)?;
    // More months than this lead out of the calendar, whatever the date.
    let by = Months::new(u32::try_from(months.unsigned_abs()).unwrap_or(u32::MAX));
    match When::at(args, 0)? {
        When::Date(date) => {
            within(if months < 0 { date.checked_sub_months(by) } else { date.checked_add_months(by) }.map(Val::Date))
        }
        When::Moment(at) => {
            within(if months < 0 { at.checked_sub_months(by) } else { at.checked_add_months(by) }.map(Val::Moment))
        }
    }
}

/// ISO text has years of four digits.
fn within(val: Option<Val>) -> Result<Val, Why> {
    let year = |val: &Val| match val {
        Val::Date(date) => date.year(),
        Val::Moment(moment) => moment.year(),
        _ => 0,
    };
    val.filter(|val| (0..=9999).contains(&year(val))).ok_or_else(|| Why::new("leads out of the calendar"))
}

pub(super) fn days_between(_: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    let (from, to) = (When::at(args, 0)?.day(), When::at(args, 1)?.day());
    Ok(Val::Number(Number::from(to.signed_duration_since(from).num_days())))
}

const PARTS: [(&str, &str); 11] = [
    ("yyyy", "%Y"),
    ("yy", "%y"),
    ("MM", "%m"),
    ("M", "%-m"),
    ("dd", "%d"),
    ("d", "%-d"),
    ("HH", "%H"),
    ("H", "%-H"),
    ("mm", "%M"),
    ("ss", "%S"),
    ("SSS", "%3f"),
];

pub(super) fn format_date(_: &Surroundings<'_>, args: &[Val]) -> Result<Val, Why> {
    let at = When::at(args, 0)?.moment();
    let mut out = String::new();
    let mut rest: &str = text(args, 1)?;
    if rest.len() > 200 {
        return Err(Why::new("takes a pattern of up to 200 characters"));
    }
    while let Some(c) = rest.chars().next() {
        let run = rest.len() - rest.trim_start_matches(c).len();
        if c == '\'' {
            let (quoted, after) =
                rest[1..].split_once('\'').ok_or_else(|| Why::new("has a pattern with a ' that is not closed"))?;
            // Two of them stand for one.
            out.push_str(if quoted.is_empty() { "'" } else { quoted });
            rest = after;
        } else if c.is_ascii_alphabetic() {
            // The pattern may come from a field, so it is not repeated.
            let (_, part) = PARTS.iter().find(|(letters, _)| *letters == &rest[..run]).ok_or_else(|| {
                Why::new("has other letters in its pattern than yyyy yy MM M dd d HH H mm ss SSS: put text into '…'")
            })?;
            out.push_str(&at.format(part).to_string());
            rest = &rest[run..];
        } else {
            out.push_str(&rest[..run]);
            rest = &rest[run..];
        }
    }
    Ok(Val::text(out))
}
