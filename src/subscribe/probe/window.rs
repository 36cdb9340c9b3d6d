//! Which stretch of an org's time a probe looks at. Pure.

use std::time::Duration;

use crate::event::Timestamp;

/// A stamp is set before the commit, in whole seconds, by a server with a clock of its own: an event that was committed
/// this much before the stamp still tells of it.
const CLOCKS: Duration = Duration::from_secs(2);

/// `from..to` by the org's clock, in whole seconds; none if nothing is due. `last` is up to where all is known,
/// `live_until` up to where the subscription says that it has delivered everything, `now` the org's time. Within
/// `margin` an event may still be on its way; and as long a transaction may have been open, so that much is looked at
/// twice.
pub fn window(
    last: Timestamp,
    live_until: Timestamp,
    now: Timestamp,
    margin: Duration,
    first: Timestamp,
) -> Option<(Timestamp, Timestamp)> {
    let to = live_until.min(now.minus(margin)).second();
    // The second of the start itself is half ours.
    let first = first.plus(Duration::from_millis(999)).second();
    let from = last.minus(margin).second().max(first);
    (to > last && to > from).then_some((from, to))
}

/// An event committed at or after this tells of a record with this stamp.
pub fn told_from(stamp: Timestamp) -> Timestamp {
    stamp.minus(CLOCKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARGIN: Duration = Duration::from_secs(120);

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1_000)
    }

    #[test]
    fn what_may_still_be_on_its_way_is_left_to_the_next_probe() {
        assert_eq!(window(at(1_000), at(2_000), at(2_010), MARGIN, at(0)), Some((at(880), at(1_890))));
    }

    #[test]
    fn nothing_is_asked_behind_the_last_sign_of_life() {
        assert_eq!(window(at(1_000), at(1_500), at(9_000), MARGIN, at(0)), Some((at(880), at(1_500))));
        assert_eq!(window(at(1_000), at(1_000), at(9_000), MARGIN, at(0)), None);
    }

    #[test]
    fn nothing_is_asked_before_the_start() {
        let first = Timestamp(1_000_001);
        assert_eq!(window(first, at(2_000), at(9_000), MARGIN, first), Some((at(1_001), at(2_000))));
    }
}
