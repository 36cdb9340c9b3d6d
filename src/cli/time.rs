//! A moment on the command line.

use chrono::{NaiveDate, NaiveTime};

use crate::event::Timestamp;

/// A date (UTC), an RFC 3339 time, or how long ago it was.
pub fn moment(text: &str) -> Result<Timestamp, String> {
    read(text, Timestamp::now())
}

fn read(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let date = || text.parse::<NaiveDate>().ok();
    let midnight = |date: NaiveDate| Timestamp(date.and_time(NaiveTime::MIN).and_utc().timestamp_millis());
    let time = || chrono::DateTime::parse_from_rfc3339(text).ok().map(|at| Timestamp(at.timestamp_millis()));
    let ago = || humantime::parse_duration(text).ok().map(|age| now.minus(age));
    date()
        .map(midnight)
        .or_else(time)
        .or_else(ago)
        .ok_or_else(|| "write 2026-01-02, 2026-01-02T10:30:00Z, or how long ago: 2h, 3d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_date_a_time_or_an_age() {
        let now = Timestamp(1_700_000_000_000);
        for (text, expected) in [
            ("2024-04-26", Some(1_714_089_600_000)),
            ("2024-04-26T18:38:23Z", Some(1_714_156_703_000)),
            ("2024-04-26T20:38:23.517+02:00", Some(1_714_156_703_517)),
            ("2h", Some(now.0 - 7_200_000)),
            ("3d", Some(now.0 - 3 * 86_400_000)),
            ("yesterday", None),
            ("2024-13-01", None),
            ("", None),
        ] {
            assert_eq!(read(text, now).ok(), expected.map(Timestamp), "{text}");
        }
    }
}
