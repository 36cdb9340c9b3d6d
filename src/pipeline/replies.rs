//! What the orgs answered to lookups, for as long as it may be believed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::mapping::{Ask, Replies, Reply};

/// A user may be deactivated, and a queue renamed.
const FOUND: Duration = Duration::from_secs(600);
/// What is missing may come any time.
const MISSING: Duration = Duration::from_secs(60);
/// Replies above which all are forgotten.
const MOST: usize = 50_000;

/// See the module.
#[derive(Debug, Default)]
pub struct Remembered {
    /// Shared with who is asking: what is known already need not be asked.
    replies: Arc<Replies>,
    found: VecDeque<(Instant, Ask)>,
    missing: VecDeque<(Instant, Ask)>,
}

impl Remembered {
    pub fn replies(&self) -> &Arc<Replies> {
        &self.replies
    }

    pub fn learn(&mut self, fresh: Replies, now: Instant) {
        if fresh.is_empty() {
            return;
        }
        if self.replies.len() + fresh.len() > MOST {
            *self = Self::default();
        }
        let replies = Arc::make_mut(&mut self.replies);
        for (ask, reply) in fresh {
            match reply {
                Reply::One(_) => self.found.push_back((now + FOUND, ask.clone())),
                Reply::Nothing | Reply::Several => self.missing.push_back((now + MISSING, ask.clone())),
            }
            replies.insert(ask, reply);
        }
    }

    /// Forgets what is too old. What was learned again in between is forgotten with it, and asked anew.
    pub fn age(&mut self, now: Instant) {
        for queue in [&mut self.found, &mut self.missing] {
            while let Some((_, ask)) = queue.pop_front_if(|(until, _)| *until <= now) {
                Arc::make_mut(&mut self.replies).remove(&ask);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::{Asked, Only};

    fn ask(value: &str) -> Ask {
        let (by, want) = ("Email".parse().unwrap(), "Id".parse().unwrap());
        let object = "Contact".parse().unwrap();
        Ask { of: Asked { org: "hq".parse().unwrap(), object, by, want, only: Only::All }, value: value.to_owned() }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_missing_is_asked_again_sooner_than_what_was_found() {
        let start = Instant::now();
        let mut remembered = Remembered::default();
        let fresh = [(ask("a"), Reply::One("003".to_owned())), (ask("b"), Reply::Nothing)];
        remembered.learn(fresh.into(), start);
        let known = |remembered: &Remembered| [ask("a"), ask("b")].map(|ask| remembered.replies().contains_key(&ask));
        remembered.age(start + MISSING - Duration::from_secs(1));
        assert_eq!(known(&remembered), [true, true]);
        remembered.age(start + MISSING);
        assert_eq!(known(&remembered), [true, false]);
        remembered.age(start + FOUND);
        assert_eq!(known(&remembered), [false, false]);
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let now = Instant::now();
        let mut remembered = Remembered::default();
        for n in 0..MOST + 10 {
            remembered.learn([(ask(&n.to_string()), Reply::Nothing)].into(), now);
        }
        assert!(remembered.replies().len() <= MOST);
    }
}
