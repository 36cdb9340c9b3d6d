//! Whether a difference proves anything, or the record's last change may still be on its way; pure.

use crate::event::Timestamp;
use crate::subscribe::probe::BUS_MARGIN;

use super::SILENCE;

/// What is known of a pipeline's events when its suspects are looked at. Times are the source's.
#[derive(Debug, Clone, Copy)]
pub struct Proof {
    /// Up to when events are known to have told of everything.
    pub live_until: Option<Timestamp>,
    /// Events are received meanwhile. What is asked for now and then may be told of hours later.
    pub receives: bool,
    /// When the suspects were looked at first, and are now.
    pub first_look: Option<Timestamp>,
    pub looked_at: Timestamp,
}

impl Proof {
    /// Whether events have told of all that happened up to a record's last change; none: it is not known when that was.
    pub fn tells_of(&self, changed: Option<Timestamp>) -> bool {
        let Self { live_until, first_look, looked_at, .. } = *self;
        let told = |at: Timestamp| live_until.is_some_and(|until| until >= at);
        match changed {
            Some(at) => told(at) || self.is_live() && first_look.is_some_and(|first| at.plus(BUS_MARGIN) <= first),
            // It was no other than now when it was looked at first.
            None if self.is_live() => first_look.is_some_and(|first| first.plus(BUS_MARGIN) <= looked_at),
            None => first_look.is_some_and(told),
        }
    }

    fn is_live(&self) -> bool {
        self.receives && self.live_until.is_some_and(|until| until.plus(SILENCE) >= self.looked_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1_000)
    }

    #[test]
    fn a_change_is_told_of_by_proof_or_when_its_event_would_have_come_long_ago() {
        let proof = |live_until: i64, first_look: Option<i64>, receives| Proof {
            live_until: Some(at(live_until)),
            receives,
            first_look: first_look.map(at),
            looked_at: at(1_000),
        };
        assert!(proof(900, None, false).tells_of(Some(at(900))), "by proof, whoever runs");
        assert!(!proof(900, None, true).tells_of(Some(at(901))));
        assert!(proof(900, Some(1_030), true).tells_of(Some(at(910))), "two minutes before the first look");
        assert!(!proof(900, Some(1_029), true).tells_of(Some(at(910))));
        assert!(!proof(900, Some(1_030), false).tells_of(Some(at(910))), "nothing is received");
        assert!(!proof(699, Some(1_030), true).tells_of(Some(at(910))), "the subscription is silent");
    }

    #[test]
    fn of_a_change_whose_time_is_not_known_the_first_look_is_the_time() {
        let proof = |live_until: i64, first_look: Option<i64>, receives| {
            Proof { live_until: Some(at(live_until)), receives, first_look: first_look.map(at), looked_at: at(1_000) }
                .tells_of(None)
        };
        assert!(!proof(900, None, true), "it may have changed just now");
        assert!(proof(900, Some(880), true) && !proof(900, Some(881), true));
        assert!(proof(900, Some(900), false) && !proof(900, Some(901), false));
    }
}
