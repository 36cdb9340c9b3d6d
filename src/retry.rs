//! How long to wait before trying again. The only module that knows the `backoff` crate (RUSTSEC-2025-0012:
//! unmaintained), so that it can be replaced in one file.

use std::time::Duration;

/// Exponential delays with full jitter, without an end: whoever retries decides when to stop.
#[derive(Debug)]
pub struct Backoff {
    inner: backoff::ExponentialBackoff,
    max: Duration,
}

impl Backoff {
    /// Delays that grow from about `first` to at most `max`.
    pub fn new(first: Duration, max: Duration) -> Self {
        let first = first.max(Duration::from_millis(1));
        let max = max.max(first);
        let mut inner = backoff::ExponentialBackoff {
            current_interval: first,
            initial_interval: first,
            randomization_factor: 0.5,
            multiplier: 2.0,
            max_interval: max,
            // The default gives up after 15 minutes of the real clock.
            max_elapsed_time: None,
            ..backoff::ExponentialBackoff::default()
        };
        backoff::backoff::Backoff::reset(&mut inner);
        Self { inner, max }
    }

    /// The next delay. Jitter is added after the crate's own limit, so it is clamped here.
    pub fn next_delay(&mut self) -> Duration {
        backoff::backoff::Backoff::next_backoff(&mut self.inner).unwrap_or(self.max).min(self.max)
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
        assert!(backoff.next_delay() <= first * 2);
        let late = (0..20).map(|_| backoff.next_delay()).last();
        assert!(late.is_some_and(|delay| delay >= max / 2 && delay <= max));
        backoff.reset();
        assert!(backoff.next_delay() <= first * 2);
    }
}
