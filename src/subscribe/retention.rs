//! The retention clock of a subscription: how long what it misses can still be had. Pure; the last proof of being live,
//! the channel's retention and the org's time come in.
//!
//! A subscription that is quiet but live is proven again and again, so its clock stands still.

use std::time::Duration;

use crate::event::Timestamp;

const HOUR: Duration = Duration::from_secs(3_600);

/// How near the end is. From one to the next it is worth telling a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Warning {
    /// 24 hours are left, or less.
    Day,
    /// 12 hours are left, or less.
    HalfDay,
    /// 3 hours are left, or less.
    Hours,
    /// The org may have dropped events that were never received.
    Expired,
}

impl Warning {
    const ALL: [Self; 4] = [Self::Day, Self::HalfDay, Self::Hours, Self::Expired];

    /// It is due when this much is left, or less.
    fn at(self) -> Duration {
        match self {
            Self::Day => 24 * HOUR,
            Self::HalfDay => 12 * HOUR,
            Self::Hours => 3 * HOUR,
            Self::Expired => Duration::ZERO,
        }
    }
}

/// How long the org still keeps what was committed at `proof` (the last proof of being live; see `Position::proof`).
/// Zero: expired.
pub fn left(proof: Timestamp, retention: Duration, now: Timestamp) -> Duration {
    let end = proof.plus(retention);
    Duration::from_millis(u64::try_from(end.0.saturating_sub(now.0)).unwrap_or(0)).min(retention)
}

/// Which warning holds now; none while there is time, or where nothing is owed yet. A channel that keeps its events for
/// a day is not warned of its first second.
pub fn warning(proof: Option<Timestamp>, retention: Duration, now: Timestamp) -> Option<Warning> {
    let left = left(proof?, retention, now);
    Warning::ALL.into_iter().filter(|warning| warning.at() < retention && left <= warning.at()).max()
}

/// Gives each warning once, and again after the subscription was live in between.
#[derive(Debug, Clone, Default)]
pub struct RetentionClock {
    given: Option<Warning>,
}

impl RetentionClock {
    /// The warning that is due at this time of the org's clock and was not given yet. Of several the gravest.
    pub fn due(&mut self, proof: Option<Timestamp>, retention: Duration, now: Timestamp) -> Option<Warning> {
        let holds = warning(proof, retention, now);
        let graver = holds > self.given;
        self.given = holds;
        holds.filter(|_| graver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAYS: Duration = Duration::from_secs(72 * 3_600);
    const PROOF: Timestamp = Timestamp(1_700_000_000_000);

    fn after(hours: u64) -> Timestamp {
        PROOF.plus(HOUR * u32::try_from(hours).unwrap())
    }

    fn told(retention: Duration, hours: &[u64]) -> Vec<Option<Warning>> {
        let mut clock = RetentionClock::default();
        hours.iter().map(|hour| clock.due(Some(PROOF), retention, after(*hour))).collect()
    }

    #[test]
    fn each_warning_is_given_once_at_24_12_and_3_hours() {
        let told = told(DAYS, &[0, 47, 48, 49, 60, 61, 69, 71, 72, 90]);
        let expected = [
            None,
            None,
            Some(Warning::Day),
            None,
            Some(Warning::HalfDay),
            None,
            Some(Warning::Hours),
            None,
            Some(Warning::Expired),
            None,
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn of_several_warnings_the_gravest_is_given() {
        assert_eq!(told(DAYS, &[70, 71]), [Some(Warning::Hours), None]);
        assert_eq!(told(DAYS, &[99]), [Some(Warning::Expired)]);
    }

    #[test]
    fn quiet_for_four_days_but_live_is_no_reason_to_warn() {
        let mut clock = RetentionClock::default();
        for hour in 0..96 {
            assert_eq!(clock.due(Some(after(hour)), DAYS, after(hour).plus(HOUR)), None);
        }
    }

    #[test]
    fn after_it_was_live_again_it_is_warned_again() {
        let mut clock = RetentionClock::default();
        assert_eq!(clock.due(Some(PROOF), DAYS, after(50)), Some(Warning::Day));
        assert_eq!(clock.due(Some(after(51)), DAYS, after(51)), None);
        assert_eq!(clock.due(Some(after(51)), DAYS, after(51 + 48)), Some(Warning::Day));
    }

    #[test]
    fn a_channel_of_one_day_is_warned_at_12_hours_first() {
        let told = told(24 * HOUR, &[0, 1, 12, 21, 24]);
        assert_eq!(told, [None, None, Some(Warning::HalfDay), Some(Warning::Hours), Some(Warning::Expired)]);
    }

    #[test]
    fn hours_left_are_counted_from_the_last_proof() {
        assert_eq!(left(PROOF, DAYS, after(70)), 2 * HOUR);
        assert_eq!(left(PROOF, DAYS, after(73)), Duration::ZERO);
        assert_eq!(left(after(1), DAYS, PROOF), DAYS, "the clocks of two servers may differ");
        assert_eq!(warning(None, DAYS, after(99)), None);
    }
}
