//! What the orgs answered to lookups, for as long as it may be believed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::mapping::{Ask, Replies, Reply};

/// A user may be deactivated, and a queue renamed.
const FOUND: Duration = Duration::from_secs(600);
/// Asking again is no remedy for what the target keeps saying.
const DOUBT_AGAIN: Duration = Duration::from_secs(60);
/// Replies above which all are forgotten.
const MOST: usize = 50_000;

/// See the module.
#[derive(Debug)]
pub struct Remembered {
    /// How long it is believed that there is nothing: it may come any time.
    nothing_for: Duration,
    /// Shared with who is asking: what is known already need not be asked.
    replies: Arc<Replies>,
    found: VecDeque<(Instant, Ask)>,
    missing: VecDeque<(Instant, Ask)>,
    /// When it was doubted last.
    doubted: Option<Instant>,
}

impl Remembered {
    pub fn new(nothing_for: Duration) -> Self {
        Self { nothing_for, replies: Arc::default(), found: VecDeque::new(), missing: VecDeque::new(), doubted: None }
    }

    /// The target says that something is not as it was. False: what is remembered is not to blame, or was doubted just now.
    pub fn doubt(&mut self, now: Instant) -> bool {
        let just_now = self.doubted.is_some_and(|before| before + DOUBT_AGAIN > now);
        if just_now || self.replies.is_empty() {
            return false;
        }
        *self = Self { doubted: Some(now), ..Self::new(self.nothing_for) };
        true
    }

    pub fn replies(&self) -> &Arc<Replies> {
        &self.replies
    }

    pub fn learn(&mut self, fresh: Replies, now: Instant) {
        if fresh.is_empty() {
            return;
        }
        if self.replies.len() + fresh.len() > MOST {
            *self = Self { doubted: self.doubted, ..Self::new(self.nothing_for) };
        }
        let replies = Arc::make_mut(&mut self.replies);
        for (ask, reply) in fresh {
            match reply {
                Reply::One(_) => self.found.push_back((now + FOUND, ask.clone())),
                Reply::Nothing | Reply::Several => self.missing.push_back((now + self.nothing_for, ask.clone())),
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

    const MISSING: Duration = Duration::from_secs(60);

    fn ask(value: &str) -> Ask {
        let (by, want) = ("Email".parse().unwrap(), "Id".parse().unwrap());
        let object = "Contact".parse().unwrap();
        Ask { of: Asked { org: "hq".parse().unwrap(), object, by, want, only: Only::All }, value: value.to_owned() }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_missing_is_asked_again_sooner_than_what_was_found() {
        let start = Instant::now();
        let mut remembered = Remembered::new(MISSING);
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
    fn what_was_doubted_is_forgotten_and_not_doubted_again_at_once() {
        let start = Instant::now();
        let mut remembered = Remembered::new(MISSING);
        assert!(!remembered.doubt(start), "nothing is remembered");
        let learn = |remembered: &mut Remembered, now| remembered.learn([(ask("a"), Reply::Nothing)].into(), now);
        learn(&mut remembered, start);
        assert!(remembered.doubt(start) && remembered.replies().is_empty());
        learn(&mut remembered, start);
        assert!(!remembered.doubt(start + DOUBT_AGAIN / 2));
        assert!(remembered.doubt(start + DOUBT_AGAIN));
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let now = Instant::now();
        let mut remembered = Remembered::new(MISSING);
        for n in 0..MOST + 10 {
            remembered.learn([(ask(&n.to_string()), Reply::Nothing)].into(), now);
        }
        assert!(remembered.replies().len() <= MOST);
    }
}
