//! Writes that were refused together, perhaps because of one of them, go out again in halves until the bad one is alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How many calls the halves of one batch may cost. What is not told apart by then waits for its next round.
pub const EXTRA_CALLS_MAX: u32 = 32;
/// How long it waits.
pub const NEXT_ROUND: Duration = Duration::from_secs(60);

/// Those that go out together and mix with no others. The default is everybody else.
#[derive(Debug, Clone, Default)]
pub struct Cohort {
    id: u64,
    /// What all that came out of the same batch have cost. It goes with the last of them.
    calls: Option<Arc<AtomicU32>>,
}

impl Cohort {
    /// A batch of its own, with calls of its own.
    pub fn new(id: u64) -> Self {
        Self { id, calls: None }
    }

    pub fn id(&self) -> u64 {
        self.id
    }

    /// What the refused ones of this cohort are next, `count` of them. None: they have cost too much.
    pub fn halves(&self, count: usize, first: u64, second: u64) -> Option<[Self; 2]> {
        let calls = self.calls.clone().unwrap_or_default();
        let more = if count > 1 { 2 } else { 1 };
        // One outbox is used by one task.
        let spent = calls.load(Ordering::Relaxed) + more;
        if spent > EXTRA_CALLS_MAX {
            return None;
        }
        calls.store(spent, Ordering::Relaxed);
        Some([first, second].map(|id| Self { id, calls: Some(calls.clone()) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_comes_of_one_batch_shares_its_calls() {
        let [left, right] = Cohort::default().halves(200, 1, 2).unwrap();
        let mut made = 2;
        for n in 0.. {
            let Some(halves) = [&left, &right][n % 2].halves(100, 3, 4) else { break };
            assert_eq!(halves.map(|cohort| cohort.id()), [3, 4]);
            made += 2;
        }
        assert_eq!(made, EXTRA_CALLS_MAX);
        assert!(right.halves(1, 5, 6).is_none());
        assert!(Cohort::new(7).halves(100, 8, 9).is_some(), "the next round has calls of its own");
    }
}
