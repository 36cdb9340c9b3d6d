//! Kinds of calls that the target refuses whoever is in them: they rest, and then one batch finds out.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::{Call, FlightId};

#[derive(Debug, Default)]
pub struct Holds {
    of: BTreeMap<Call, Hold>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    Until(Instant),
    /// One may go out.
    Probe,
    /// It is out.
    Probing(FlightId),
}

impl Holds {
    /// True: one had found out that it is as before.
    pub fn hold(&mut self, call: &Call, until: Instant) -> bool {
        let before = self.of.insert(call.clone(), Hold::Until(until));
        matches!(before, Some(Hold::Probing(_)))
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) {
        for hold in self.of.values_mut() {
            if matches!(hold, Hold::Until(until) if *until <= now) {
                *hold = Hold::Probe;
            }
        }
    }

    pub fn lets(&self, call: &Call) -> bool {
        matches!(self.of.get(call), None | Some(Hold::Probe))
    }

    pub fn departs(&mut self, call: &Call, flight: FlightId) {
        if let Some(hold) = self.of.get_mut(call) {
            *hold = Hold::Probing(flight);
        }
    }

    /// A batch was answered. Where it was to find out, and was not held again, all may go.
    pub fn answered(&mut self, flight: FlightId) {
        if !self.of.is_empty() {
            self.of.retain(|_, hold| *hold != Hold::Probing(flight));
        }
    }

    /// When the first of them may be tried.
    pub fn wakeup(&self) -> Option<Instant> {
        let until = |hold: &Hold| match hold {
            Hold::Until(until) => Some(*until),
            Hold::Probe | Hold::Probing(_) => None,
        };
        self.of.values().filter_map(until).min()
    }
}
