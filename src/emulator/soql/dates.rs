//! Date literals: days counted from today.
//!
//! A week begins on Sunday, a fiscal year is a calendar year, and a day is one of UTC.

use chrono::{Datelike, Days, Months, NaiveDate};

/// From the beginning of one unit to the end of another, both counted from the current one: `LAST_N_DAYS:3` is the
/// days -3 to 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateSpan {
    pub unit: Unit,
    pub from: i32,
    pub to: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

/// Greater counts lead beyond the calendar.
const MOST: i32 = 100_000;

impl DateSpan {
    /// A literal without a number: `TODAY`, `LAST_WEEK`, `THIS_FISCAL_YEAR`.
    pub fn named(word: &str) -> Option<Self> {
        let word = word.to_ascii_uppercase();
        let (unit, from, to) = match word.as_str() {
            "TODAY" => (Unit::Day, 0, 0),
            "YESTERDAY" => (Unit::Day, -1, -1),
            "TOMORROW" => (Unit::Day, 1, 1),
            "LAST_90_DAYS" => (Unit::Day, -90, 0),
            "NEXT_90_DAYS" => (Unit::Day, 1, 90),
            word => {
                let (when, unit) = word.split_once('_')?;
                let place = match when {
                    "LAST" => -1,
                    "THIS" => 0,
                    "NEXT" => 1,
                    _ => return None,
                };
                let unit = match unit {
                    "WEEK" => Unit::Week,
                    "MONTH" => Unit::Month,
                    "QUARTER" | "FISCAL_QUARTER" => Unit::Quarter,
                    "YEAR" | "FISCAL_YEAR" => Unit::Year,
                    _ => return None,
                };
                (unit, place, place)
            }
        };
        Some(Self { unit, from, to })
    }

    /// A literal with a number: `LAST_N_DAYS` and 3, `N_MONTHS_AGO` and 2.
    pub fn counted(word: &str, n: u32) -> Option<Self> {
        let n = i32::try_from(n).ok().filter(|n| *n <= MOST)?;
        let word = word.to_ascii_uppercase();
        let unit = |word: &str| {
            Some(match word {
                "DAYS" => Unit::Day,
                "WEEKS" => Unit::Week,
                "MONTHS" => Unit::Month,
                "QUARTERS" | "FISCAL_QUARTERS" => Unit::Quarter,
                "YEARS" | "FISCAL_YEARS" => Unit::Year,
                _ => return None,
            })
        };
        if let Some(tail) = word.strip_prefix("LAST_N_") {
            let unit = unit(tail)?;
            // The days reach up to today, greater units end before the current one.
            return Some(Self { unit, from: -n, to: if unit == Unit::Day { 0 } else { -1 } });
        }
        if let Some(tail) = word.strip_prefix("NEXT_N_") {
            return Some(Self { unit: unit(tail)?, from: 1, to: n });
        }
        let unit = unit(word.strip_prefix("N_")?.strip_suffix("_AGO")?)?;
        Some(Self { unit, from: -n, to: -n })
    }

    /// Its first day, and the first day behind it.
    pub fn days(self, today: NaiveDate) -> (NaiveDate, NaiveDate) {
        let first = self.unit.start(today, self.from);
        (first, self.unit.start(today, self.to.saturating_add(1)).max(first))
    }
}

impl Unit {
    /// The first day of the unit that stands `n` units from the current one, at most at the calendar's end.
    fn start(self, today: NaiveDate, n: i32) -> NaiveDate {
        let back = |days: u32| today.checked_sub_days(Days::new(days.into()));
        let month = |month: u32| NaiveDate::from_ymd_opt(today.year(), month, 1);
        let (start, days, months) = match self {
            Self::Day => (Some(today), 1, 0),
            Self::Week => (back(today.weekday().num_days_from_sunday()), 7, 0),
            Self::Month => (month(today.month()), 0, 1),
            Self::Quarter => (month(today.month0() / 3 * 3 + 1), 0, 3),
            Self::Year => (month(1), 0, 12),
        };
        let count = n.unsigned_abs();
        let moved = start.and_then(|start| match (n < 0, months) {
            (false, 0) => start.checked_add_days(Days::new(u64::from(count) * days)),
            (true, 0) => start.checked_sub_days(Days::new(u64::from(count) * days)),
            (false, months) => start.checked_add_months(Months::new(count.saturating_mul(months))),
            (true, months) => start.checked_sub_months(Months::new(count.saturating_mul(months))),
        });
        moved.unwrap_or(if n < 0 { NaiveDate::MIN } else { NaiveDate::MAX })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(span: DateSpan) -> String {
        let (from, to) = span.days(NaiveDate::from_ymd_opt(2026, 3, 4).unwrap()); // a Wednesday
        format!("{from} {to}")
    }

    #[test]
    fn literals_name_days_around_today() {
        for (word, days) in [
            ("today", "2026-03-04 2026-03-05"),
            ("YESTERDAY", "2026-03-03 2026-03-04"),
            ("TOMORROW", "2026-03-05 2026-03-06"),
            ("LAST_WEEK", "2026-02-22 2026-03-01"),
            ("THIS_WEEK", "2026-03-01 2026-03-08"),
            ("NEXT_WEEK", "2026-03-08 2026-03-15"),
            ("LAST_MONTH", "2026-02-01 2026-03-01"),
            ("THIS_MONTH", "2026-03-01 2026-04-01"),
            ("NEXT_MONTH", "2026-04-01 2026-05-01"),
            ("LAST_90_DAYS", "2025-12-04 2026-03-05"),
            ("NEXT_90_DAYS", "2026-03-05 2026-06-03"),
            ("LAST_QUARTER", "2025-10-01 2026-01-01"),
            ("THIS_FISCAL_QUARTER", "2026-01-01 2026-04-01"),
            ("LAST_YEAR", "2025-01-01 2026-01-01"),
            ("NEXT_FISCAL_YEAR", "2027-01-01 2028-01-01"),
        ] {
            assert_eq!(shown(DateSpan::named(word).unwrap()), days, "{word}");
        }
        for word in ["LAST", "LAST_DAY", "SOME_WEEK", "LAST_N_DAYS", "N_DAYS_AGO", ""] {
            assert_eq!(DateSpan::named(word), None, "{word}");
        }
    }

    #[test]
    fn literals_with_a_number_count_units() {
        for (word, n, days) in [
            ("LAST_N_DAYS", 3, "2026-03-01 2026-03-05"),
            ("next_n_days", 3, "2026-03-05 2026-03-08"),
            ("N_DAYS_AGO", 4, "2026-02-28 2026-03-01"),
            ("LAST_N_WEEKS", 2, "2026-02-15 2026-03-01"),
            ("NEXT_N_MONTHS", 2, "2026-04-01 2026-06-01"),
            ("LAST_N_QUARTERS", 1, "2025-10-01 2026-01-01"),
            ("N_YEARS_AGO", 2, "2024-01-01 2025-01-01"),
            ("LAST_N_FISCAL_YEARS", 2, "2024-01-01 2026-01-01"),
            ("NEXT_N_DAYS", 0, "2026-03-05 2026-03-05"),
        ] {
            assert_eq!(shown(DateSpan::counted(word, n).unwrap()), days, "{word}");
        }
        assert_eq!(DateSpan::counted("LAST_N_DAYS", u32::MAX), None);
        assert_eq!(DateSpan::counted("TODAY", 1), None);
        let far = DateSpan::counted("LAST_N_YEARS", 100_000).unwrap().days(NaiveDate::MIN);
        assert_eq!(far.0, NaiveDate::MIN);
    }
}
