//! Where a subscription asks the org to begin, and which of the events that come it may pass over (design,
//! "Positions and gaps"). Pure: what is stored, what the pipelines want and the org's time come in.

use std::time::Duration;

use crate::config::Start;
use crate::event::{Change, ReplayFrom, Timestamp};
use crate::store::Position;

/// What was committed longer than this before `started_at` belongs to the time before the start. Stamps of events are
/// whole seconds, and the clocks of an org's servers and ours differ.
pub const START_MARGIN: Duration = Duration::from_secs(60);

/// An answer says what the server knew a moment before, and the org's clock is known to a second. How long an event takes
/// from its commit to the bus is not documented: whoever reads a window that begins here adds a margin of its own.
pub const LIVE_MARGIN: Duration = Duration::from_secs(2);

/// An event this young shows that the subscription is not behind.
pub const YOUNG: Duration = Duration::from_secs(60);

/// How a channel is to be subscribed, first and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// For the first subscribe.
    pub from: ReplayFrom,
    /// Events committed before this are wanted by nobody: a replay from the earliest brings them.
    pub skip_before: Option<Timestamp>,
    /// The org's time up to which the subscription is already known to have been live.
    pub live_until: Option<Timestamp>,
    /// To be committed by `Store::start` before the first subscribe; none if nothing is to be committed.
    pub commit_start: Option<Timestamp>,
}

impl Plan {
    /// `starts` are the wishes of the pipelines that read the channel (none: the tip); `now` is the org's time.
    pub fn new(position: &Position, starts: impl IntoIterator<Item = Start>, now: Timestamp) -> Self {
        let from_earliest = starts.into_iter().any(|start| start == Start::Earliest);
        let skip = |started: Timestamp| Some(started.minus(START_MARGIN));
        let live_until = position.live_until;
        match (&position.replay_id, position.started_at) {
            // An empty id says that nothing is known.
            (Some(id), started) if !id.0.is_empty() => Self {
                from: ReplayFrom::After(id.clone()),
                skip_before: started.and_then(skip),
                live_until,
                commit_start: None,
            },
            _ if from_earliest => {
                Self { from: ReplayFrom::Earliest, skip_before: None, live_until, commit_start: None }
            }
            // An earlier run subscribed at the tip and saw nothing: what happened since then is still owed.
            (_, Some(started)) => {
                Self { from: ReplayFrom::Earliest, skip_before: skip(started), live_until, commit_start: None }
            }
            (_, None) => Self { from: ReplayFrom::Tip, skip_before: skip(now), live_until, commit_start: Some(now) },
        }
    }

    /// Nobody wants this event: it was committed well before the start.
    pub fn passes_over(&self, change: &Change) -> bool {
        matches!((self.skip_before, change.committed()), (Some(limit), Some(committed)) if committed < limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::ReplayId;

    const NOW: Timestamp = Timestamp(1_000_000_000);
    const EARLIER: Timestamp = Timestamp(900_000_000);

    fn plan(replay_id: Option<&str>, started_at: Option<Timestamp>, starts: &[Start]) -> Plan {
        let replay_id = replay_id.map(|id| ReplayId(id.into()));
        Plan::new(&Position { replay_id, started_at, live_until: None }, starts.iter().copied(), NOW)
    }

    #[test]
    fn the_first_subscribe_at_the_tip_asks_for_its_start_to_be_committed() {
        let plan = plan(None, None, &[Start::Tip, Start::Tip]);
        assert_eq!((plan.from, plan.commit_start), (ReplayFrom::Tip, Some(NOW)));
    }

    #[test]
    fn a_start_without_an_event_goes_to_the_earliest_and_passes_over_what_was_before_it() {
        let plan = plan(None, Some(EARLIER), &[Start::Tip]);
        assert_eq!((plan.from, plan.commit_start), (ReplayFrom::Earliest, None));
        assert_eq!(plan.skip_before, Some(EARLIER.minus(START_MARGIN)));
    }

    #[test]
    fn a_known_id_is_where_it_goes_on_whatever_the_pipelines_wish() {
        for starts in [&[Start::Tip][..], &[Start::Earliest], &[]] {
            let plan = plan(Some("7"), Some(EARLIER), starts);
            assert_eq!((plan.from, plan.commit_start), (ReplayFrom::After(ReplayId(b"7".to_vec())), None));
        }
    }

    #[test]
    fn one_pipeline_that_wants_the_earliest_decides_for_all_and_nothing_is_passed_over() {
        for started in [None, Some(EARLIER)] {
            let plan = plan(None, started, &[Start::Tip, Start::Earliest]);
            assert_eq!((plan.from, plan.skip_before, plan.commit_start), (ReplayFrom::Earliest, None, None));
        }
    }

    #[test]
    fn an_empty_id_is_no_position() {
        assert_eq!(plan(Some(""), None, &[Start::Tip]).from, ReplayFrom::Tip);
        assert_eq!(plan(Some(""), Some(EARLIER), &[Start::Tip]).from, ReplayFrom::Earliest);
    }
}
