//! Where a round of trimming begins.
//!
//! What is too old and yet has to stay is left behind by each round. Where there is much of it, as of a target that is away for
//! months, a round that began at zero would look at all of it again.

use std::time::Duration;

use tokio::time::Instant;

/// So many rounds later what was left behind is looked at again: nobody may need it any more.
const WHOLE_AFTER: u32 = 24;

#[derive(Debug)]
pub(super) struct Sweep<T> {
    zero: T,
    from: T,
    /// How often everything is looked at.
    whole_every: Duration,
    /// When the last one began that did.
    whole_at: Option<Instant>,
}

impl<T: Copy> Sweep<T> {
    /// There is a round every so often.
    pub fn new(zero: T, every: Duration) -> Self {
        Self { zero, from: zero, whole_every: every.saturating_mul(WHOLE_AFTER), whole_at: None }
    }

    /// A round begins; behind what.
    pub fn begin(&mut self, now: Instant) -> T {
        if self.whole_at.is_none_or(|at| now.saturating_duration_since(at) >= self.whole_every) {
            self.whole_at = Some(now);
            self.from = self.zero;
        }
        self.from
    }

    /// What is left up to there has to stay for now.
    pub fn left(&mut self, to: T) {
        self.from = to;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_to_stay_is_looked_at_now_and_then() {
        let (start, hour) = (Instant::now(), Duration::from_secs(3_600));
        let mut sweep = Sweep::new(0, hour);
        assert_eq!(sweep.begin(start), 0);
        sweep.left(700);
        assert_eq!(sweep.begin(start + hour), 700);
        sweep.left(900);
        assert_eq!(sweep.begin(start + 23 * hour), 900);
        assert_eq!(sweep.begin(start + 24 * hour), 0);
        sweep.left(950);
        assert_eq!(sweep.begin(start + 47 * hour), 950, "so long after the last time");
    }
}
