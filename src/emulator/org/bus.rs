//! The event bus of one org: one stream, replay ids with gaps, 72 hours of retention.
//!
//! An event is committed at one moment and visible at a later one; the order of the stream is the order of the
//! commits and never changes. Time is an argument.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::event::{ChangeType, EventSchema};
use super::time::HOUR;

/// How long events are kept, in microseconds.
pub const RETENTION: i64 = 72 * HOUR;

/// Where a subscriber wants to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// -1: only what comes.
    Tip,
    /// -2: all that is kept.
    Earliest,
    /// Strictly after this replay id.
    After(i64),
}

/// The replay id is too old, or was never reached.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidReplayId;

/// One event, before anybody reads it.
#[derive(Debug, Clone)]
pub struct BusEvent {
    pub replay_id: i64,
    /// The one that it was written with.
    pub schema: Arc<EventSchema>,
    /// Avro, with the header.
    pub payload: Bytes,
    /// `None`: a platform event.
    pub change: Option<ChangeType>,
    /// Its object was selected for change events then, so the standard channels have it.
    pub selected: bool,
    /// The same in an event that is there twice.
    pub uuid: u128,
    pub committed: i64,
    visible: i64,
}

#[derive(Debug)]
pub struct Bus {
    events: VecDeque<BusEvent>,
    /// Ids up to this one are gone. While there is no event, the last id is above it, so that who waits for the first
    /// one has an id to come back with.
    floor: i64,
    last: i64,
    published: u64,
    delay: RangeInclusive<Duration>,
    rng: fastrand::Rng,
}

impl Bus {
    pub fn new(mut rng: fastrand::Rng, delay: RangeInclusive<Duration>) -> Self {
        let base = rng.i64(1_000_000..90_000_000);
        Self { events: VecDeque::new(), floor: base, last: base + 1, published: 0, delay, rng }
    }

    /// Appends an event that was committed now; its replay id.
    pub fn publish(
        &mut self,
        schema: Arc<EventSchema>,
        payload: Vec<u8>,
        change: Option<ChangeType>,
        selected: bool,
        uuid: u128,
        now: i64,
    ) -> i64 {
        self.expire(now);
        self.skip();
        let visible = self.visible_at(now);
        let before = self.events.back().map_or(i64::MIN, |event| event.visible);
        self.events.push_back(BusEvent {
            replay_id: self.last,
            schema,
            payload: payload.into(),
            change,
            selected,
            uuid,
            committed: now,
            visible: before.max(visible),
        });
        self.published += 1;
        self.last
    }

    /// When something becomes visible that is committed now.
    pub fn visible_at(&mut self, now: i64) -> i64 {
        let (least, most) = (micros(*self.delay.start()), micros(*self.delay.end()));
        now + if most > least { self.rng.i64(least..=most) } else { least }
    }

    /// Takes the next replay id, which no event has if none follows.
    pub fn skip(&mut self) -> i64 {
        // Mostly neighbours, now and then a wide gap, as other traffic of the instance makes them.
        self.last += if self.rng.u8(..) < 200 { 1 } else { self.rng.i64(2..40) };
        self.last
    }

    /// The replay id behind which a subscriber that starts now reads on.
    ///
    /// # Errors
    /// When the id is older than what is kept, or newer than anything published. Ids that no event had, but
    /// which lie between, are fine.
    pub fn position(&mut self, start: Start, now: i64) -> Result<i64, InvalidReplayId> {
        self.expire(now);
        match start {
            Start::Tip => {
                let visible = self.events.partition_point(|event| event.visible <= now);
                let newest = visible.checked_sub(1).and_then(|i| self.events.get(i));
                Ok(newest.map_or(self.ground(), |event| event.replay_id))
            }
            Start::Earliest => Ok(self.ground()),
            Start::After(id) if id > self.floor && id <= self.last => Ok(id),
            Start::After(_) => Err(InvalidReplayId),
        }
    }

    /// Whether the stream has come as far as a replay id. It has not where the id is of before a move.
    pub fn reaches(&self, id: i64) -> bool {
        id <= self.last
    }

    /// The id before everything that is kept.
    fn ground(&self) -> i64 {
        self.events.front().map_or(self.last, |event| self.floor.max(event.replay_id - 1))
    }

    /// What is visible now behind a replay id, oldest first.
    pub fn after(&self, id: i64, now: i64) -> impl Iterator<Item = &BusEvent> {
        let from = self.events.partition_point(|event| event.replay_id <= id);
        self.events.range(from..).take_while(move |event| event.visible <= now)
    }

    /// When the next event behind a replay id becomes visible, if one waits.
    pub fn next_visible(&self, id: i64, now: i64) -> Option<i64> {
        // Both rise from event to event.
        let unread = self.events.partition_point(|event| event.replay_id <= id);
        let hidden = self.events.partition_point(|event| event.visible <= now);
        self.events.get(unread.max(hidden)).map(|event| event.visible)
    }

    /// Every event up to now is gone, and every id with them.
    pub fn forget(&mut self) {
        self.events.clear();
        self.floor = self.last;
        self.last += 1;
    }

    /// The stream begins anew with ids from another place, as after a move of the org to another instance.
    ///
    /// Old ids are mostly above those that come now, and none is valid.
    pub fn migrate(&mut self) {
        self.events.clear();
        let base = self.rng.i64(1_000..1_000_000);
        (self.floor, self.last) = (base, base + 1);
    }

    /// Between a commit and its event becoming visible.
    pub fn delay(&self) -> &RangeInclusive<Duration> {
        &self.delay
    }

    /// How long events need to become visible from now on.
    pub fn set_delay(&mut self, delay: RangeInclusive<Duration>) {
        self.delay = delay;
    }

    /// How many events were ever published.
    pub fn published(&self) -> u64 {
        self.published
    }

    fn expire(&mut self, now: i64) {
        while let Some(event) = self.events.front().filter(|event| event.committed < now - RETENTION) {
            self.floor = event.replay_id;
            self.events.pop_front();
        }
        if self.events.is_empty() && self.last == self.floor {
            self.last += 1;
        }
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use super::*;

    fn bus(delay_ms: RangeInclusive<u64>) -> Bus {
        let delay = Duration::from_millis(*delay_ms.start())..=Duration::from_millis(*delay_ms.end());
        Bus::new(fastrand::Rng::with_seed(7), delay)
    }

    fn publish(bus: &mut Bus, now: i64) -> i64 {
        static SCHEMA: OnceLock<Arc<EventSchema>> = OnceLock::new();
        let schema = SCHEMA.get_or_init(|| {
            let scenario = crate::scenario::Scenario::standard();
            scenario.org("one", 1, Duration::ZERO..=Duration::ZERO, 0).unwrap().schema_of(0).unwrap().clone()
        });
        bus.publish(schema.clone(), Vec::new(), None, true, 0, now)
    }

    fn ids(bus: &Bus, after: i64, now: i64) -> Vec<i64> {
        bus.after(after, now).map(|event| event.replay_id).collect()
    }

    #[test]
    fn replay_ids_rise_with_gaps_and_are_read_strictly_after() {
        let mut bus = bus(0..=0);
        (0..500).for_each(|n| {
            publish(&mut bus, n);
        });
        let all = ids(&bus, bus.floor, 1_000);
        assert_eq!(all.len(), 500);
        assert!(all.is_sorted_by(|a, b| a < b));
        assert!(all.windows(2).any(|pair| pair[1] - pair[0] > 1), "no gap at all");
        assert_eq!(ids(&bus, all[9], 1_000), all[10..]);
    }

    #[test]
    fn an_event_becomes_visible_later_but_never_before_an_older_one() {
        let mut bus = bus(0..=500);
        (0..200).for_each(|n| {
            publish(&mut bus, n);
        });
        let seen: Vec<usize> = (0..=600_000).step_by(10_000).map(|now| ids(&bus, 0, now).len()).collect();
        assert!(seen.is_sorted());
        assert!(seen[0] < 200, "some event must be late");
        assert_eq!(seen.last(), Some(&200));
        let next = bus.next_visible(0, 0).unwrap();
        assert!(ids(&bus, 0, next - 1).len() < ids(&bus, 0, next).len());
    }

    #[test]
    fn the_tip_leaves_out_what_is_visible_and_keeps_what_is_under_way() {
        let mut bus = bus(100..=100);
        publish(&mut bus, 0);
        publish(&mut bus, 50_000);
        let tip = bus.position(Start::Tip, 100_000).unwrap();
        assert_eq!(ids(&bus, tip, 1_000_000).len(), 1);
    }

    #[test]
    fn ids_within_the_range_are_valid_even_if_no_event_had_them() {
        let mut bus = bus(0..=0);
        (0..300).for_each(|n| {
            publish(&mut bus, n);
        });
        let all = ids(&bus, 0, 1_000);
        let gap = all.windows(2).find(|pair| pair[1] - pair[0] > 1).unwrap();
        assert_eq!(bus.position(Start::After(gap[0] + 1), 1_000), Ok(gap[0] + 1));
        assert_eq!(bus.position(Start::After(bus.last + 1), 1_000), Err(InvalidReplayId));
        assert_eq!(bus.position(Start::After(bus.floor), 1_000), Err(InvalidReplayId));
    }

    #[test]
    fn after_72_hours_events_are_gone_and_their_ids_invalid() {
        let mut bus = bus(0..=0);
        publish(&mut bus, 0);
        publish(&mut bus, HOUR);
        let all = ids(&bus, 0, HOUR);
        let now = RETENTION + 1;
        assert_eq!(bus.position(Start::After(all[0]), now), Err(InvalidReplayId));
        assert_eq!(bus.position(Start::After(all[1]), now), Ok(all[1]));
        let earliest = bus.position(Start::Earliest, now).unwrap();
        assert_eq!(ids(&bus, earliest, now), all[1..]);
    }

    #[test]
    fn who_waits_for_the_first_event_may_come_back_with_the_id_that_it_waits_behind() {
        let mut bus = bus(100..=100);
        let emptied: [fn(&mut Bus); 3] = [|_| {}, Bus::forget, Bus::migrate];
        for (n, empty) in emptied.into_iter().enumerate() {
            let now = n as i64 * 1_000_000;
            empty(&mut bus);
            for start in [Start::Tip, Start::Earliest] {
                let id = bus.position(start, now).unwrap();
                assert_eq!(bus.position(Start::After(id), now), Ok(id), "{n} {start:?}");
            }
            let before = bus.position(Start::Tip, now).unwrap();
            let event = publish(&mut bus, now);
            let tip = bus.position(Start::Tip, now).unwrap(); // the event is under way
            assert_eq!(bus.position(Start::After(tip), now), Ok(tip));
            for id in [before, tip] {
                assert_eq!(ids(&bus, id, now + 100_000), [event], "{n}");
            }
        }
        let late = RETENTION + 3_000_000;
        let id = bus.position(Start::Earliest, late).unwrap();
        assert_eq!(bus.position(Start::After(id), late), Ok(id), "everything has expired");
    }

    #[test]
    fn the_next_event_is_the_first_that_is_neither_read_nor_visible() {
        let mut bus = bus(100..=100);
        let all: Vec<i64> = (0..3).map(|n| publish(&mut bus, n * 10_000)).collect();
        assert_eq!(bus.next_visible(0, 0), Some(100_000));
        assert_eq!(bus.next_visible(0, 100_000), Some(110_000));
        assert_eq!(bus.next_visible(all[1], 0), Some(120_000));
        assert_eq!(bus.next_visible(all[2], 0), None);
        assert_eq!(bus.next_visible(0, 120_000), None);
    }

    #[test]
    fn forgetting_makes_every_known_id_invalid() {
        let mut bus = bus(0..=0);
        publish(&mut bus, 0);
        let id = bus.last;
        bus.forget();
        assert_eq!(bus.position(Start::After(id), 1), Err(InvalidReplayId));
        let earliest = bus.position(Start::Earliest, 1).unwrap();
        publish(&mut bus, 2);
        assert_eq!(ids(&bus, earliest, 3).len(), 1);
    }

    #[test]
    fn after_a_migration_no_old_id_is_valid_and_new_ones_begin_elsewhere() {
        let mut bus = bus(0..=0);
        let old: Vec<i64> = (0..50).map(|n| publish(&mut bus, n)).collect();
        bus.migrate();
        let new = publish(&mut bus, 60);
        assert!(new < old[0]);
        for id in old {
            assert_eq!(bus.position(Start::After(id), 70), Err(InvalidReplayId));
        }
        assert_eq!(bus.position(Start::After(new), 70), Ok(new));
    }
}
