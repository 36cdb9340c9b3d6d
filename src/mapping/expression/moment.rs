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
