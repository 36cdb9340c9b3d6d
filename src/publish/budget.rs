//! How many API calls of an org the bridge may still make, and how it gets along with fewer of them. Pure.
//!
//! The limit is of any 24 hours, so what was used comes back by itself, call by call. All clients of the org eat of it, so
//! the org's own count is what is watched; the calls that the bridge has made since are added.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::ApiBudget;
use crate::org::ApiUsage;

/// Use within this time is taken to go on.
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Counts that are closer together than this are one.
const SAMPLE: Duration = Duration::from_secs(15);
/// After this time whatever is used now is free again.
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// While the bridge makes calls, this is how often the org is asked for its limits.
const LOOK_FIRST: Duration = Duration::from_secs(300);
/// While it makes none (it waits, or nothing changes), each look comes so much later than the last, up to this.
const LOOK_MAX: Duration = Duration::from_secs(900);
/// How long the first write of a call waits for company when less than such a share of what may be used is left, in percent.
const LINGER: [(u64, Duration); 3] =
    [(10, Duration::from_secs(30)), (25, Duration::from_secs(5)), (50, Duration::from_secs(1))];

/// Whether calls may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowance {
    Go,
    /// They may, but at this rate not for long: fewer and larger ones.
    Larger {
        linger: Duration,
    },
    /// Not before the org is asked again how things are, at `until`.
    Wait {
        until: Instant,
        why: Why,
    },
}

/// Why no calls are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// What is left is kept for others.
    Kept,
    /// The org refuses more.
    Refused,
}

/// What becomes of the budget if use goes on as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forecast {
    Enough,
    UsedUp { at: Instant },
}

/// The budget of one org, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// By all clients in 24 hours.
    pub used: u64,
    pub max: u64,
    /// Left to others; none: nothing is counted.
    pub kept: Option<u64>,
    /// None where nothing is counted.
    pub forecast: Option<Forecast>,
}

/// Decides for one org.
#[derive(Debug)]
pub struct Governor {
    budget: ApiBudget,
    usage: Option<ApiUsage>,
    refused: bool,
    /// What all clients had used, oldest first; the first may lie before the window.
    samples: VecDeque<(Instant, u64)>,
    /// When the org is asked for its limits next.
    next_look: Instant,
    pace: Duration,
    /// Our own calls as of the last look.
    calls_at_look: u64,
}

impl Governor {
    pub fn new(budget: ApiBudget, now: Instant) -> Self {
        Self {
            budget,
            usage: None,
            refused: false,
            samples: VecDeque::new(),
            next_look: now,
            pace: Duration::ZERO,
            calls_at_look: 0,
        }
    }

    /// What the org said last, and whether it refused its last call because those of the day are spent. The same again is
    /// no news.
    pub fn observe(&mut self, usage: Option<ApiUsage>, refused: bool) {
        self.refused = refused;
        let is_news = |usage: &ApiUsage| self.usage.is_none_or(|known| known != *usage && known.at <= usage.at);
        let Some(usage) = usage.filter(is_news) else { return };
        self.usage = Some(usage);
        match self.samples.iter().rev().nth(1) {
            // The last one stands for all since the one before it.
            Some((before, _)) if usage.at < *before + SAMPLE => drop(self.samples.pop_back()),
            Some(_) | None => {}
        }
        self.samples.push_back((usage.at, usage.used));
        // The newest one before the window is where the use within it began.
        while self.samples.get(1).is_some_and(|(at, _)| *at + WINDOW <= usage.at) {
            self.samples.pop_front();
        }
    }

    /// The org is being asked for its limits. `calls`: the bridge's own so far, this one included.
    pub fn looked(&mut self, calls: u64, now: Instant) {
        // The look itself says nothing of the bridge's work.
        let quiet = calls <= self.calls_at_look + 1;
        self.pace = if quiet { (self.pace + LOOK_FIRST).min(LOOK_MAX) } else { LOOK_FIRST };
        self.calls_at_look = calls;
        self.next_look = now + self.pace;
    }

    /// When the org is to be asked for its limits.
    pub fn next_look(&self) -> Instant {
        self.next_look
    }

    /// Whether calls may be made. `calls`: the bridge's own so far.
    pub fn allowance(&self, calls: u64) -> Allowance {
        if self.refused && self.usage.is_none_or(bears_out) {
            return Allowance::Wait { until: self.next_look, why: Why::Refused };
        }
        let Some(figures) = self.figures(calls) else { return Allowance::Go };
        let Some(kept) = figures.kept else { return Allowance::Go };
        let usable = figures.max.saturating_sub(kept);
        let left = usable.saturating_sub(figures.used);
        if left == 0 {
            return Allowance::Wait { until: self.next_look, why: Why::Kept };
        }
        let below = |share: u64| u128::from(left) * 100 < u128::from(usable) * u128::from(share);
        match (figures.forecast, LINGER.iter().find(|(share, _)| below(*share))) {
            (Some(Forecast::UsedUp { .. }), Some((_, linger))) => Allowance::Larger { linger: *linger },
            (Some(Forecast::UsedUp { .. }), None) | (Some(Forecast::Enough) | None, _) => Allowance::Go,
        }
    }

    /// None before the org has said anything.
    pub fn figures(&self, calls: u64) -> Option<Figures> {
        let usage = self.usage?;
        let used = usage.used.saturating_add(calls.saturating_sub(usage.calls));
        let kept = self.budget.kept(usage.max);
        let forecast = kept.map(|kept| self.forecast(usage.max.saturating_sub(kept).saturating_sub(used), usage.at));
        Some(Figures { used, max: usage.max, kept, forecast })
    }

    /// Whether so many calls last for a day. Of what is not yet known of the window, nothing is assumed.
    fn forecast(&self, left: u64, at: Instant) -> Forecast {
        let (Some((first, before)), Some((last, used))) = (self.samples.front(), self.samples.back()) else {
            return Forecast::Enough;
        };
        let grown = used.saturating_sub(*before);
        if grown == 0 && left > 0 {
            return Forecast::Enough;
        }
        let span = last.duration_since(*first).max(WINDOW);
        let seconds = u128::from(left) * u128::from(span.as_secs()) / u128::from(grown.max(1));
        match u64::try_from(seconds) {
            Ok(seconds) if seconds < DAY.as_secs() => Forecast::UsedUp { at: at + Duration::from_secs(seconds) },
            Ok(_) | Err(_) => Forecast::Enough,
        }
    }
}

/// A refusal is believed when the org's own count is about where its limit is. Else it passes like that of a busy server.
fn bears_out(usage: ApiUsage) -> bool {
    u128::from(usage.used) * 100 >= u128::from(usage.max) * 95
}

#[cfg(test)]
mod tests;
