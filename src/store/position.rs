//! Which replay id may be saved. Pure; every backend uses it.
//!
//! Several events can share a replay id (enriched channels), and a subscribe goes on strictly after the id that it
//! names. So an id is complete only when something behind its events came: an arrival with another id, or the word
//! that there is nothing more for now. Until then it is pending, also from one group to the next.

use crate::event::{ReplayId, Timestamp};

/// The position of a subscription while arrivals are taken in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// The last id known complete.
    pub replay_id: Option<ReplayId>,
    /// The id of the last event, while more events with it may follow.
    pub pending: Option<ReplayId>,
    pub live_until: Option<Timestamp>,
}

impl Standing {
    /// An event with this id came, new or again.
    pub fn arrived(&mut self, replay_id: &ReplayId) {
        if self.pending.as_ref() == Some(replay_id) {
            return;
        }
        if let Some(complete) = self.pending.replace(replay_id.clone()) {
            self.replay_id = Some(complete);
        }
    }

    /// Nobody wants these events up to this id; with none, the org says that there are none up to it. Where ids repeat,
    /// another one with this id may still follow, and be wanted: it is not complete yet.
    pub fn passed(&mut self, replay_id: ReplayId, events: u64, repeats_ids: bool) {
        if repeats_ids && events > 0 {
            self.arrived(&replay_id);
        } else {
            self.replay_id = Some(replay_id);
            self.pending = None;
        }
    }

    /// All that the org had came.
    pub fn live(&mut self, until: Timestamp) {
        self.live_until = self.live_until.max(Some(until));
        if let Some(complete) = self.pending.take() {
            self.replay_id = Some(complete);
        }
    }

    /// The org does not know the saved id, so nothing may go on from it.
    pub fn refused(&mut self) {
        self.replay_id = None;
        self.pending = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ReplayId {
        ReplayId(text.into())
    }

    #[test]
    fn an_id_is_complete_when_another_follows() {
        let mut standing = Standing::default();
        standing.arrived(&id("7"));
        standing.arrived(&id("7"));
        assert_eq!(standing.replay_id, None);
        standing.arrived(&id("9"));
        assert_eq!((standing.replay_id, standing.pending), (Some(id("7")), Some(id("9"))));
    }

    #[test]
    fn an_id_is_complete_when_there_is_nothing_more() {
        let mut standing = Standing::default();
        standing.arrived(&id("7"));
        standing.live(Timestamp(5));
        standing.live(Timestamp(4));
        assert_eq!(standing, Standing { replay_id: Some(id("7")), pending: None, live_until: Some(Timestamp(5)) });
    }

    #[test]
    fn what_nobody_wants_moves_the_position_at_once_where_ids_do_not_repeat() {
        let mut standing = Standing::default();
        standing.arrived(&id("7"));
        standing.passed(id("8"), 3, false);
        assert_eq!((standing.replay_id, standing.pending), (Some(id("8")), None));
    }

    #[test]
    fn what_nobody_wants_completes_no_id_that_may_come_again() {
        let mut standing = Standing::default();
        standing.arrived(&id("7"));
        standing.passed(id("7"), 1, true);
        assert_eq!((&standing.replay_id, &standing.pending), (&None, &Some(id("7"))));
        standing.passed(id("8"), 1, true);
        assert_eq!((standing.replay_id, standing.pending), (Some(id("7")), Some(id("8"))));
    }

    #[test]
    fn a_keepalive_saves_its_position_on_any_channel() {
        for repeats_ids in [true, false] {
            let mut standing = Standing::default();
            standing.arrived(&id("7"));
            standing.passed(id("9"), 0, repeats_ids);
            assert_eq!((standing.replay_id, standing.pending), (Some(id("9")), None));
        }
    }

    #[test]
    fn a_refused_id_is_forgotten_but_not_the_time() {
        let mut standing =
            Standing { replay_id: Some(id("7")), pending: Some(id("8")), live_until: Some(Timestamp(5)) };
        standing.refused();
        assert_eq!(standing, Standing { replay_id: None, pending: None, live_until: Some(Timestamp(5)) });
    }
}
