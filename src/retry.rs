//! How long to wait before trying again. The only module that knows the `backoff` crate (RUSTSEC-2025-0012:
//! unmaintained), so that it can be replaced in one file.

use std::time::Duration;

/// Exponential delays with full jitter above a floor, without an end: whoever retries decides when to stop.
///
/// A delay lies anywhere between the floor, which is half of the first one, and what the exponential growth allows. The
/// floor is there because some retries are themselves counted by an org: they must never follow at once.
#[derive(Debug)]
pub struct Backoff {
    inner: backoff::ExponentialBackoff,
    floor: Duration,
    max: Duration,
}

impl Backoff {
    /// Delays that grow from at most `first` to at most `max`.
    pub fn new(first: Duration, max: Duration) -> Self {
        let first = first.max(Duration::from_millis(1));
        let max = max.max(first);
        let mut inner = backoff::ExponentialBackoff {
            current_interval: first,
            initial_interval: first,
            // Anywhere between nothing and twice the interval.
            randomization_factor: 1.0,
            multiplier: 2.0,
            max_interval: max,
            // The default gives up after 15 minutes of the real clock.
            max_elapsed_time: None,
            ..backoff::ExponentialBackoff::default()
        };
        backoff::backoff::Backoff::reset(&mut inner);
        Self { inner, floor: first / 2, max }
    }

    /// The next delay.
    pub fn next_delay(&mut self) -> Duration {
        let above_floor = self.inner.current_interval.min(self.max).saturating_sub(self.floor);
        let twice = self.inner.current_interval * 2;
        let random = backoff::backoff::Backoff::next_backoff(&mut self.inner).unwrap_or(twice);
        let share = random.as_secs_f64() / twice.as_secs_f64();
        self.floor + above_floor.mul_f64(share.clamp(0.0, 1.0))
    }

    /// After proven health: the next delay is short again.
    pub fn reset(&mut self) {
        backoff::backoff::Backoff::reset(&mut self.inner);
    }
}

/// The delay before the next try of what was tried `tries` times: it doubles from `first` to `max`, with jitter.
pub fn delay_after(tries: u32, first: Duration, max: Duration) -> Duration {
    let doubled = first.saturating_mul(2_u32.saturating_pow(tries.min(20))).min(max);
    Backoff::new(doubled, max.max(doubled)).next_delay()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_within_their_bounds_and_start_again_after_a_reset() {
        let (first, max) = (Duration::from_millis(100), Duration::from_secs(2));
        let mut backoff = Backoff::new(first, max);
        assert!((first / 2..=first).contains(&backoff.next_delay()));
        let delays: Vec<Duration> = (0..400).map(|_| backoff.next_delay()).collect();
        assert!(delays.iter().all(|delay| (first / 2..=max).contains(delay)));
        // Full jitter: the whole range is used, however often it was tried.
        assert!(delays.iter().skip(10).any(|delay| *delay < max / 5));
        assert!(delays.iter().skip(10).any(|delay| *delay > max * 4 / 5));
        backoff.reset();
        assert!((first / 2..=first).contains(&backoff.next_delay()));
    }
}
