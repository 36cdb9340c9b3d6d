//! How long a stream may be silent. Fed only by real frames (events, keepalives): a stream that is open says nothing.

use std::time::Duration;

use tokio::time::Instant;

/// The org promises a keepalive within 270 s (facts: streaming-pubsub.md section 4).
pub const SILENCE_MAX: Duration = Duration::from_secs(300);
const SILENCE_MIN: Duration = Duration::from_secs(90);
/// So many keepalives show the org's rhythm.
const KEEPALIVES: u32 = 3;

/// Watches one stream of the Pub/Sub API.
#[derive(Debug, Clone)]
pub struct Watchdog {
    last: Instant,
    longest: Duration,
    keepalives: u32,
    /// Of the silence that is allowed, before anything is known and at most.
    max: Duration,
}

impl Watchdog {
    pub fn new(now: Instant) -> Self {
        Self::at_most(SILENCE_MAX, now)
    }

    /// With another limit than the documented one.
    pub fn at_most(max: Duration, now: Instant) -> Self {
        Self { last: now, longest: Duration::ZERO, keepalives: 0, max }
    }

    /// Something came.
    pub fn frame(&mut self, keepalive: bool, now: Instant) {
        self.longest = self.longest.max(now.duration_since(self.last));
        self.keepalives += u32::from(keepalive);
        self.last = now;
    }

    /// At this time a stream without a further frame is dead. Once its rhythm is known: three times the longest
    /// silence that was seen, within 90 to 300 s.
    pub fn deadline(&self) -> Instant {
        let silence = if self.keepalives < KEEPALIVES {
            self.max
        } else {
            (self.longest * 3).clamp(SILENCE_MIN.min(self.max), self.max)
        };
        self.last + silence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn before_the_rhythm_is_known_five_minutes_are_allowed() {
        let start = Instant::now();
        let mut dog = Watchdog::new(start);
        assert_eq!(dog.deadline(), start + seconds(300));
        dog.frame(true, start + seconds(60));
        assert_eq!(dog.deadline(), start + seconds(360));
    }

    #[test]
    fn a_keepalive_every_minute_tightens_it_to_three() {
        let start = Instant::now();
        let mut dog = Watchdog::new(start);
        for n in 1..=3 {
            dog.frame(true, start + seconds(60 * n));
        }
        assert_eq!(dog.deadline(), start + seconds(180 + 180));
        let mut dog = Watchdog::new(start);
        for n in 1..=3 {
            dog.frame(true, start + seconds(5 * n));
        }
        assert_eq!(dog.deadline(), start + seconds(15 + 90), "but not below 90 s");
    }

    #[test]
    fn a_keepalive_every_270_seconds_is_never_late() {
        let start = Instant::now();
        let mut dog = Watchdog::new(start);
        for n in 1..=100 {
            let now = start + seconds(270 * n);
            assert!(dog.deadline() > now);
            dog.frame(true, now);
        }
    }
}
