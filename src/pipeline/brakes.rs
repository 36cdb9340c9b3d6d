//! When a pipeline stops by itself: more deletes or creates in a time than anybody expects, most records failing, or a key
//! that changes.
//! Pure; time is an argument.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::{Brakes, Limit};
use crate::event::Seq;
use crate::publish::{Body, Key, Write};

/// A window is counted in so many steps.
const STEPS: u32 = 60;

/// The brakes of one pipeline. They count from the start of the process.
#[derive(Debug)]
pub struct Brake {
    deletes: Option<Window>,
    creates: Option<Window>,
    failures: Option<u64>,
    /// One more for each failed record, one less for each that was written.
    failing: u64,
    halted: bool,
    /// Not even what waits already may go out.
    stopped: bool,
    /// What is older was looked at by the person who let the pipeline go on.
    passes_to: Seq,
}

impl Brake {
    /// `halted`: it was, when the bridge stopped. Writes of parts up to `passes_to` are not counted.
    pub fn new(brakes: &Brakes, halted: bool, passes_to: Seq) -> Self {
        Self {
            deletes: brakes.deletes.map(Window::new),
            creates: brakes.creates.map(Window::new),
            failures: brakes.failures,
            failing: 0,
            halted,
            stopped: false,
            passes_to,
        }
    }

    pub fn is_halted(&self) -> bool {
        self.halted
    }

    /// A write is about to be made. Some: it must not be, and the pipeline is halted because of it.
    pub fn about_to(&mut self, write: &Write, now: Instant) -> Option<String> {
        if write.age() <= self.passes_to {
            return None;
        }
        let (window, what) = match (&write.body, &write.key) {
            // It counts when it is decided.
            (Body::Delete, _) if write.if_created => return None,
            (Body::Delete, _) => (self.deletes.as_mut()?, "deletes"),
            (Body::Whole(_), Key::External { .. }) => (self.creates.as_mut()?, "creates"),
            (Body::Whole(_), Key::Record { .. }) | (Body::Partial(_), _) => return None,
        };
        if window.counts(now) {
            return None;
        }
        let Limit { most, within } = window.limit;
        self.halt(format!("more than {most} {what} in {}", humantime::format_duration(within)))
    }

    /// A write is about to give a counterpart another key, which is a reason to halt. None: a person let it pass.
    pub fn rekeyed(&mut self, write: &Write) -> Option<String> {
        if write.age() <= self.passes_to {
            return None;
        }
        let records = write.covers.iter().map(|cover| cover.source.record.to_string()).collect::<Vec<_>>().join(", ");
        self.halt(format!("the key {} of {records} changed, and it has a counterpart", write.key_field))
    }

    /// A record could not be mapped, or the target refused it for good; of its changes this is the newest. Some: that is one
    /// too many. A few among many are no reason; when most of them fail it is something else than their values that is wrong.
    pub fn failed(&mut self, newest: Seq, code: &str) -> Option<String> {
        let most = self.failures?;
        if newest <= self.passes_to {
            return None;
        }
        self.failing += 1;
        let halts = self.failing >= most;
        halts.then(|| self.stop(&format!("most records fail, the last one with {code}"))).flatten()
    }

    /// Nothing of the pipeline can be written. Some: it was not halted yet.
    pub fn stop(&mut self, why: &str) -> Option<String> {
        self.stopped = true;
        self.halt(why.to_owned())
    }

    /// Whether what waits already is to be withdrawn, too.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// A record was written.
    pub fn went_well(&mut self) {
        self.failing = self.failing.saturating_sub(1);
    }

    fn halt(&mut self, why: String) -> Option<String> {
        if std::mem::replace(&mut self.halted, true) { None } else { Some(why) }
    }
}

/// How many there were lately.
#[derive(Debug)]
struct Window {
    limit: Limit,
    steps: VecDeque<(Instant, u64)>,
    total: u64,
}

impl Window {
    fn new(limit: Limit) -> Self {
        Self { limit, steps: VecDeque::new(), total: 0 }
    }

    /// One more; false if that is too many, and then it is not counted.
    fn counts(&mut self, now: Instant) -> bool {
        while let Some((begun, count)) = self.steps.front().copied() {
            if now.duration_since(begun) < self.limit.within {
                break;
            }
            self.steps.pop_front();
            self.total -= count;
        }
        if self.total >= self.limit.most {
            return false;
        }
        self.total += 1;
        let step = (self.limit.within / STEPS).max(Duration::from_millis(1));
        match self.steps.back_mut() {
            Some((begun, count)) if now.duration_since(*begun) < step => *count += 1,
            Some(_) | None => self.steps.push_back((now, 1)),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::publish::{Cover, Manner, Source};
    use crate::store::PipelineId;

    const TEN: Limit = Limit { most: 10, within: Duration::from_secs(60) };

    fn write(body: Body, key: Key) -> Write {
        let source = Source { pipeline: PipelineId(1), record: "001000000000001AAA".parse().unwrap() };
        let covers = vec![Cover { source, from: Seq(7), to: Seq(9), clears_suspect: false }];
        let (key_field, manner) = ("Key__c".parse().unwrap(), Manner::default());
        Write { key, key_field, body, if_created: false, manner, lock_keys: Vec::new(), waits_for: Vec::new(), covers }
    }

    fn by_id(body: Body) -> Write {
        let id = "001000000000001AAA".parse().unwrap();
        write(body, Key::Record { object: "Account".parse().unwrap(), id })
    }

    fn by_key(body: Body) -> Write {
        let field = "Key__c".parse().unwrap();
        write(body, Key::External { object: "Account".parse().unwrap(), field, value: "1".into() })
    }

    fn brake(deletes: Option<Limit>, creates: Option<Limit>) -> Brake {
        Brake::new(&Brakes { deletes, creates, failures: Some(3) }, false, Seq::ZERO)
    }

    #[test]
    fn deletes_and_creates_have_limits_of_their_own_and_updates_have_none() {
        let (mut brake, now) = (brake(Some(TEN), Some(TEN)), Instant::now());
        for _ in 0..10 {
            assert_eq!(brake.about_to(&by_id(Body::Delete), now), None);
            assert_eq!(brake.about_to(&by_key(Body::Whole(BTreeMap::new())), now), None);
        }
        for _ in 0..100 {
            assert_eq!(brake.about_to(&by_id(Body::Whole(BTreeMap::new())), now), None);
            assert_eq!(brake.about_to(&by_id(Body::Partial(BTreeMap::new())), now), None);
        }
        assert!(!brake.is_halted());
        assert_eq!(brake.about_to(&by_id(Body::Delete), now).as_deref(), Some("more than 10 deletes in 1m"));
        assert!(brake.is_halted());
        assert_eq!(brake.about_to(&by_id(Body::Delete), now), None, "it is said once");
    }

    #[test]
    fn what_is_spread_over_a_longer_time_is_no_reason_to_halt() {
        let (mut brake, start) = (brake(Some(TEN), None), Instant::now());
        for n in 0..1_000 {
            assert_eq!(brake.about_to(&by_id(Body::Delete), start + Duration::from_secs(7) * n), None, "{n}");
        }
        let steps = brake.deletes.as_ref().unwrap().steps.len();
        assert!(steps <= 60, "{steps}");
    }

    #[test]
    fn what_a_person_let_pass_is_not_counted() {
        let brakes = Brakes { deletes: Some(TEN), creates: None, failures: None };
        let now = Instant::now();
        for (passes_to, halts) in [(Seq(6), true), (Seq(7), false)] {
            let mut brake = Brake::new(&brakes, false, passes_to);
            let halted = (0..100).filter_map(|_| brake.about_to(&by_id(Body::Delete), now)).count() > 0;
            assert_eq!(halted, halts, "{passes_to:?}");
        }
    }

    #[test]
    fn without_a_limit_nothing_halts() {
        let (mut brake, now) = (brake(None, None), Instant::now());
        for _ in 0..10_000 {
            assert_eq!(brake.about_to(&by_id(Body::Delete), now), None);
        }
    }

    #[test]
    fn failed_records_halt_only_when_they_are_more_than_those_that_are_written() {
        let mut brake = brake(None, None);
        let code = "STRING_TOO_LONG";
        for _ in 0..10 {
            assert_eq!((brake.failed(Seq(1), code), brake.failed(Seq(1), code)), (None, None));
            (0..2).for_each(|_| brake.went_well());
        }
        assert_eq!((brake.failed(Seq(1), code), brake.failed(Seq(1), code)), (None, None));
        brake.went_well();
        assert_eq!(brake.failed(Seq(1), code), None);
        assert_eq!(brake.failed(Seq(1), code).as_deref(), Some("most records fail, the last one with STRING_TOO_LONG"));
        assert_eq!(brake.failed(Seq(1), code), None, "it is said once");
    }

    #[test]
    fn failures_that_a_person_let_pass_are_not_counted() {
        let mut brake = Brake::new(&Brakes { deletes: None, creates: None, failures: Some(1) }, false, Seq(7));
        assert_eq!(brake.failed(Seq(7), "X"), None);
        assert!(brake.failed(Seq(8), "X").is_some());
    }
}
