//! The clock of an org, as its answers show it; pure.

use std::time::Duration;

use crate::event::Timestamp;

/// How far the org's clock is ahead of ours, in milliseconds (negative: behind). A `Date` header has whole seconds
/// and was written some time before it arrived, so it allows a range; the offset moves only as far as it must.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Clock {
    offset: i64,
}

impl Clock {
    /// An answer with this `Date` arrived at `local`, `elapsed` after its request left.
    pub fn observe(&mut self, date: Timestamp, local: Timestamp, elapsed: Duration) {
        let elapsed = i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
        let least = date.0.saturating_sub(local.0);
        let most = least.saturating_add(999).saturating_add(elapsed);
        self.offset = self.offset.clamp(least, most);
    }

    pub fn at(self, local: Timestamp) -> Timestamp {
        Timestamp(local.0.saturating_add(self.offset))
    }
}

/// Reads a `Date` header: `Tue, 15 Nov 1994 08:12:31 GMT`.
pub(super) fn read_date(text: &str) -> Option<Timestamp> {
    chrono::DateTime::parse_from_rfc2822(text).ok().map(|date| Timestamp(date.timestamp_millis()))
}

/// Reads a `Retry-After` header: seconds, or a date of the server's clock, which shows `now`.
pub(crate) fn read_retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    match text.parse::<u32>() {
        Ok(seconds) => Some(Duration::from_secs(seconds.into())),
        Err(_) => {
            let wait = read_date(text)?.0.saturating_sub(now.0);
            Some(Duration::from_millis(u64::try_from(wait).unwrap_or(0)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATENCY: Duration = Duration::from_millis(100);

    #[test]
    fn a_clock_that_agrees_within_a_second_stays_ours() {
        let mut clock = Clock::default();
        clock.observe(Timestamp(5_000), Timestamp(5_900), LATENCY);
        clock.observe(Timestamp(6_000), Timestamp(7_050), LATENCY);
        assert_eq!(clock.at(Timestamp(8_000)), Timestamp(8_000));
    }

    #[test]
    fn a_clock_that_is_ahead_or_behind_is_followed() {
        let mut clock = Clock::default();
        clock.observe(Timestamp(60_000), Timestamp(1_500), LATENCY);
        assert_eq!(clock.at(Timestamp(1_500)), Timestamp(60_000));
        // Our own clock was set right meanwhile.
        clock.observe(Timestamp(61_000), Timestamp(61_200), LATENCY);
        assert_eq!(clock.at(Timestamp(61_200)), Timestamp(62_099));
        clock.observe(Timestamp(62_000), Timestamp(90_000), LATENCY);
        assert_eq!(clock.at(Timestamp(90_000)), Timestamp(63_099));
    }

    #[test]
    fn dates_and_waits_are_read_in_both_forms() {
        let date = read_date("Thu, 01 Jan 1970 00:01:00 GMT").unwrap();
        assert_eq!(date, Timestamp(60_000));
        assert_eq!(read_retry_after("7", date), Some(Duration::from_secs(7)));
        assert_eq!(read_retry_after("Thu, 01 Jan 1970 00:01:30 GMT", date), Some(Duration::from_secs(30)));
        assert_eq!(read_retry_after("Thu, 01 Jan 1970 00:00:30 GMT", date), Some(Duration::ZERO));
        assert_eq!(read_retry_after("soon", date), None);
        assert_eq!(read_date("2026-03-01"), None);
    }
}
