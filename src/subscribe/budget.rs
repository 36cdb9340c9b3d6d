//! Whether a day's deliveries allow a start at the earliest event. Pure.

use crate::org::Quota;

/// A start at the earliest fits: `retained` is about how many events it brings. A tenth of the day's deliveries is left
/// for what happens from now on. An org that lists no such limit has none.
pub fn fits(retained: u64, deliveries: Option<Quota>) -> bool {
    deliveries.is_none_or(|day| retained <= day.remaining.saturating_sub(day.max.div_ceil(10)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_the_day_is_never_spent_on_the_past() {
        let day = |remaining| Some(Quota { max: 50_000, remaining });
        assert!(fits(45_000, day(50_000)));
        assert!(!fits(45_001, day(50_000)));
        assert!(fits(0, day(5_000)) && !fits(1, day(5_000)));
        assert!(fits(0, day(0)), "nothing is retained, so nothing is spent");
    }

    #[test]
    fn an_org_without_the_limit_has_room_for_all() {
        assert!(fits(u64::MAX, None));
    }
}
