//! Row locks: who touches a locked record gets UNABLE_TO_LOCK_ROW.
//!
//! A transaction takes no time here, so nobody ever meets another one's locks, unless the org is told that
//! transactions take some: then what one touched, with the parents that it locks, stays locked for so long. Locks
//! can also be set by hand.

use std::collections::HashMap;

use super::Id;

#[derive(Debug, Default)]
pub struct Locks {
    held: HashMap<Id, Held>,
    refused: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    /// Until a moment, in microseconds.
    Until(i64),
    /// For so many attempts.
    Times(u64),
}

impl Locks {
    /// Locks a record until a moment.
    pub fn hold_until(&mut self, id: &Id, until: i64) {
        self.held.insert(id.clone(), Held::Until(until));
    }

    /// Refuses the next so many attempts on a record.
    pub fn refuse_times(&mut self, id: &Id, times: u64) {
        self.held.insert(id.clone(), Held::Times(times));
    }

    pub fn release_all(&mut self) {
        self.held.clear();
    }

    /// How many attempts were refused.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Whether the record can not be locked now; an attempt counts.
    pub fn refuses(&mut self, id: &Id, now: i64) -> bool {
        let Some(held) = self.held.get_mut(id) else { return false };
        let refuses = match held {
            Held::Until(until) => *until > now,
            Held::Times(times) => {
                let left = *times > 0;
                *times = times.saturating_sub(1);
                left
            }
        };
        if refuses {
            self.refused += 1;
        } else {
            self.held.remove(id);
        }
        refuses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_ends_by_time_or_by_attempts() {
        let mut locks = Locks::default();
        let (a, b) = (Id::new("001", "5e0", 1), Id::new("001", "5e0", 2));
        locks.hold_until(&a, 100);
        locks.refuse_times(&b, 2);
        assert!(locks.refuses(&a, 99));
        assert!(!locks.refuses(&a, 100));
        assert!(locks.refuses(&b, 0) && locks.refuses(&b, 0));
        assert!(!locks.refuses(&b, 0));
        assert!(!locks.refuses(&Id::new("001", "5e0", 3), 0));
    }
}
