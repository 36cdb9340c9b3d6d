//! How many events to ask for next (facts: streaming-pubsub.md section 4). Pure.
//!
//! The org owes at most 100 and tells in each response how many it still does: that figure is the truth, for requests and
//! responses do not pair up. What is asked for must have room downstream, so that nothing is ever dropped or piled up.

/// The org owes no more, however much is asked for.
pub const OWED_MAX: usize = 100;
/// A request for less than this waits, unless nothing is owed at all.
const WORTHWHILE: usize = 20;

/// The credit of one stream.
#[derive(Debug, Default)]
pub struct Demand {
    /// What the org owes: by its last word, and what was asked for since.
    owed: usize,
    /// Asked for since the last response, which may have been written before the org heard it.
    unheard: usize,
}

impl Demand {
    /// What a new stream asks for first. With no room it waits to be opened.
    pub fn first(room: usize) -> Option<(Self, i32)> {
        let mut demand = Self::default();
        let asked = demand.ask(room)?;
        Some((demand, asked))
    }

    /// A response came, and says how many events are still owed after it. `events` is how many it had.
    pub fn answered(&mut self, events: usize, pending: i32) {
        let pending = usize::try_from(pending).unwrap_or(0).min(OWED_MAX);
        self.owed = self.owed.saturating_sub(events).min(pending + std::mem::take(&mut self.unheard));
    }

    /// How many to ask for now. None: nothing, or not worth a request yet.
    pub fn ask(&mut self, room: usize) -> Option<i32> {
        // What is owed needs room as well.
        let more = room.min(OWED_MAX).saturating_sub(self.owed);
        if more == 0 || (self.owed > 0 && more < WORTHWHILE) {
            return None;
        }
        self.owed += more;
        self.unheard += more;
        i32::try_from(more).ok()
    }

    pub fn owed(&self) -> usize {
        self.owed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_kept_full() {
        let (mut demand, first) = Demand::first(1_000).unwrap();
        assert_eq!(first, 100);
        assert_eq!(demand.ask(1_000), None, "asking while 100 are owed adds nothing");
        demand.answered(10, 90);
        assert_eq!(demand.ask(990), None, "not worth it yet");
        demand.answered(30, 60);
        assert_eq!(demand.ask(960), Some(40));
    }

    #[test]
    fn without_room_nothing_is_asked_for_and_with_a_little_only_that() {
        assert!(Demand::first(0).is_none());
        let (mut demand, first) = Demand::first(3).unwrap();
        assert_eq!(first, 3);
        demand.answered(3, 0);
        assert_eq!(demand.ask(0), None);
        assert_eq!(demand.ask(5), Some(5), "nothing is owed, so any number is worth it");
    }

    proptest::proptest! {
        /// An org that keeps its side: it delivers what it owes in pieces, while the receiver is slow.
        #[test]
        fn no_more_is_owed_than_there_is_room_for_and_it_never_starves(
            steps in proptest::collection::vec((0_usize..40, 0_usize..60), 1..300),
            room_max in 1_usize..400,
        ) {
            let mut used = 0;
            let (mut demand, first) = Demand::first(room_max).unwrap();
            let mut server = usize::try_from(first).unwrap();
            for (deliver, consume) in steps {
                let events = deliver.min(server);
                server -= events;
                used += events;
                proptest::prop_assert!(used <= room_max);
                if events > 0 {
                    demand.answered(events, i32::try_from(server).unwrap());
                }
                used -= consume.min(used);
                if let Some(more) = demand.ask(room_max - used) {
                    server += usize::try_from(more).unwrap();
                }
                proptest::prop_assert!(server <= OWED_MAX && server + used <= room_max.max(used));
                proptest::prop_assert_eq!(server, demand.owed());
                proptest::prop_assert!(server > 0 || used == room_max, "nothing is owed although there is room");
            }
        }
    }
}
