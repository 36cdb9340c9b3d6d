//! Where a subscription begins. Pure (design, "Positions and gaps").

use std::time::Duration;

use crate::config::Start;
use crate::event::{Channel, ReplayFrom, Timestamp};
use crate::store::Position;

/// What committed this long before the start is not wanted. Commit times have whole seconds, and an event reaches the
/// bus some time after its commit; what comes twice by this margin is harmless, what is missed is not.
const MARGIN: Duration = Duration::from_secs(60);

/// Where the subscription of one channel begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelStart {
    pub channel: Channel,
    pub from: ReplayFrom,
    /// Events that were committed before this are passed over.
    pub skip_before: Option<Timestamp>,
}

/// What must be committed before the first subscribe, and where to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// To be committed as `started_at`, if it is not yet.
    pub started_at: Option<Timestamp>,
    pub start: ChannelStart,
}

/// Decides where to begin. `now` is the org's time.
pub fn plan(channel: Channel, position: &Position, wish: Start, now: Timestamp) -> Plan {
    let (from, skip_before) = match (&position.replay_id, position.started_at, wish) {
        (Some(id), _, _) => (ReplayFrom::After(id.clone()), None),
        (None, _, Start::Earliest) => (ReplayFrom::Earliest, None),
        // It has been at the tip before, and nothing came until it stopped. Whatever came since is still kept.
        (None, Some(started), Start::Tip) => (ReplayFrom::Earliest, Some(started.minus(MARGIN))),
        (None, None, Start::Tip) => (ReplayFrom::Tip, None),
    };
    let started_at = position.started_at.is_none().then_some(now);
    Plan { started_at, start: ChannelStart { channel, from, skip_before } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::ReplayId;

    const NOW: Timestamp = Timestamp(1_000_000_000);

    fn planned(position: &Position, wish: Start) -> Plan {
        plan("/data/AccountChangeEvent".parse().unwrap(), position, wish, NOW)
    }

    #[test]
    fn the_first_subscribe_goes_to_the_tip_and_says_first_when_it_did() {
        let plan = planned(&Position::default(), Start::Tip);
        assert_eq!((plan.start.from, plan.started_at), (ReplayFrom::Tip, Some(NOW)));
    }

    #[test]
    fn a_later_one_that_knows_no_id_goes_to_the_earliest_and_passes_over_what_was_before_its_start() {
        let started = NOW.minus(Duration::from_secs(7_200));
        let position = Position { started_at: Some(started), ..Position::default() };
        let plan = planned(&position, Start::Tip);
        assert_eq!((plan.start.from, plan.started_at), (ReplayFrom::Earliest, None));
        assert_eq!(plan.start.skip_before, Some(started.minus(MARGIN)));
    }

    #[test]
    fn a_known_id_is_where_it_goes_on_whatever_was_wished() {
        let id = ReplayId(b"42".to_vec());
        let position = Position { replay_id: Some(id.clone()), started_at: Some(NOW), live_until: None };
        for wish in [Start::Tip, Start::Earliest] {
            assert_eq!(planned(&position, wish).start.from, ReplayFrom::After(id.clone()));
        }
    }

    #[test]
    fn who_wants_the_earliest_passes_over_nothing() {
        let plan = planned(&Position::default(), Start::Earliest);
        assert_eq!((plan.start.from, plan.start.skip_before), (ReplayFrom::Earliest, None));
    }
}
