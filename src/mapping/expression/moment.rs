//! Dates and moments in the ISO text that events and reads carry, without a time zone but UTC.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

/// `2024-01-31`
pub(in crate::mapping) fn date(text: &str) -> Option<NaiveDate> {
    if !looks_like_a_date(text) {
        return None;
    }
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()
}

/// `2024-01-31T10:15:00.000Z`, `2024-01-31T10:15:00+0100`: with a zone, as all moments of an org are.
pub(in crate::mapping) fn moment(text: &str) -> Option<DateTime<Utc>> {
    if !looks_like_a_moment(text) {
        return None;
    }
    DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%#z").ok().map(|at| at.to_utc())
}

/// Cheap, and true for every text that [`date`] reads.
pub(in crate::mapping) fn looks_like_a_date(text: &str) -> bool {
    text.len() == 10 && starts_like_a_date(text.as_bytes())
}

/// Cheap, and true for every text that [`moment`] reads.
pub(in crate::mapping) fn looks_like_a_moment(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 17 && bytes[10] == b'T' && starts_like_a_date(bytes)
}

/// A person reads a date in it, and [`date`] and [`moment`] do not: `2026-1-5`, `31.01.2026`, `2026-01-05 10:00`.
pub(super) fn is_a_date_in_another_form(text: &str) -> bool {
    let day = text.split(['T', ' ']).next().unwrap_or_default();
    let numbers = ['-', '/', '.'].into_iter().find_map(|between| {
        let numbers: Vec<&str> = day.split(between).collect();
        (numbers.len() == 3).then_some(numbers)
    });
    let Some(numbers) = numbers else { return false };
    let digits = |number: &str, least, most| {
        (least..=most).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit())
    };
    let [first, middle, last] = [0, 1, 2].map(|at| numbers.get(at).copied().unwrap_or_default());
    let year_first = digits(first, 4, 4) && digits(last, 1, 2);
    let year_last = digits(first, 1, 2) && digits(last, 4, 4);
    (year_first || year_last) && digits(middle, 1, 2) && date(text).is_none() && moment(text).is_none()
}

fn starts_like_a_date(bytes: &[u8]) -> bool {
    bytes.len() >= 10
        && bytes[..10]
            .iter()
            .enumerate()
            .all(|(at, c)| if at == 4 || at == 7 { *c == b'-' } else { c.is_ascii_digit() })
}

pub(in crate::mapping) fn midnight(date: NaiveDate) -> DateTime<Utc> {
    date.and_time(NaiveTime::MIN).and_utc()
}

pub(in crate::mapping) fn date_text(date: NaiveDate) -> String {
    date.format("%Y-%m-%d").to_string()
}

/// The form in which moments come by event.
pub(in crate::mapping) fn moment_text(moment: DateTime<Utc>) -> String {
    moment.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_that_only_people_read_is_told_from_one_and_from_other_text() {
        for text in [
            "2026-1-5",
            "2026/01/05",
            "5.1.2026",
            "01/31/2026",
            "2026-02-30",
            "2026-01-05T10:00:00",
            "2026-01-05 10:00",
        ] {
            assert!(is_a_date_in_another_form(text), "{text}");
        }
        for text in [
            "2026-01-05",
            "2026-01-05T10:00:00Z",
            "2026-01-05T10:00:00.000+0100",
            "",
            "1.2.3",
            "12-34-56",
            "2026",
            "2026-01",
            "2026-1-5-6",
            "A-1-2026",
            "+41-61-2026",
            "192.168.2026.1",
        ] {
            assert!(!is_a_date_in_another_form(text), "{text}");
        }
    }
}
