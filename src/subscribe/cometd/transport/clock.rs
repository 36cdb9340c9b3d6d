//! The server's clock while nothing shows it: frames of a WebSocket have no date.

use tokio::time::Instant;

use crate::event::Timestamp;

/// As an answer showed it.
#[derive(Debug, Clone, Copy)]
pub struct ServerClock {
    /// The server's time, and when that was by our clocks.
    server: Timestamp,
    local: Timestamp,
    at: Instant,
}

impl ServerClock {
    pub fn new(server: Timestamp, local: Timestamp, at: Instant) -> Self {
        Self { server, local, at }
    }

    /// The server's time at `since`, rather early than late: our wall clock may be set meanwhile, and the other one may
    /// run a little fast, so the earlier of both is taken. `local` is our time at `now`.
    pub fn at(self, since: Instant, local: Timestamp, now: Instant) -> Timestamp {
        let by_instants = self.server.plus(since.saturating_duration_since(self.at));
        let passed = local.minus(now.saturating_duration_since(since)).0.saturating_sub(self.local.0);
        by_instants.min(Timestamp(self.server.0.saturating_add(passed)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_server_s_time_goes_on_and_is_never_ahead_when_our_clock_is_set() {
        let start = Instant::now();
        let clock = ServerClock::new(Timestamp(5_000), Timestamp(1_000), start);
        let second = Duration::from_secs(1);
        let now = start + second * 10;
        assert_eq!(clock.at(now, Timestamp(11_000), now), Timestamp(15_000));
        assert_eq!(clock.at(now - second * 2, Timestamp(11_000), now), Timestamp(13_000), "it lay unread");
        assert_eq!(clock.at(now, Timestamp(3_611_000), now), Timestamp(15_000), "set ahead");
        assert_eq!(clock.at(now, Timestamp(9_000), now), Timestamp(13_000), "set back");
    }
}
