//! Which way writes go: collections of 200, or jobs of the Bulk API where enough of an object waits. Pure.
//!
//! A job costs about eight calls whatever is in it, a collection one for 200 records. One job for each object at a time; while
//! it runs, as many writes as are worth another job wait for it, and fewer go by collections.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use super::{FlightId, WriteId};
use crate::event::{ObjectName, Seq};
use crate::org::JobTrouble;
use crate::publish::bulk::Fit;

/// Rows of a job: one internal batch of the platform (facts: bulk2.md section 4).
pub const JOB_MAX: usize = 10_000;
/// Jobs that run at once, of different objects.
const JOBS_MAX: usize = 4;
/// How long an object goes by collections after jobs of it failed.
const AFTER_FAILURES: Duration = Duration::from_secs(600);
/// The allocation is that of 24 hours, and comes back bit by bit.
const AFTER_QUOTA: Duration = Duration::from_secs(3_600);

/// How a batch goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// One call of sObject Collections.
    Collections,
    /// A job of Bulk API 2.0.
    Bulk,
}

/// What is known of jobs into one target.
#[derive(Debug, Default)]
pub struct Lanes {
    /// So many writes of one call make a job; none: no jobs.
    threshold: Option<usize>,
    objects: HashMap<ObjectName, Jobs>,
    quota_until: Option<Instant>,
}

#[derive(Debug)]
struct Jobs {
    /// Rows of the next one.
    most: usize,
    closed: Closed,
    takes_breaks: bool,
    flight: Option<FlightId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closed {
    No,
    Until(Instant),
    ForGood,
}

impl Default for Jobs {
    fn default() -> Self {
        Self { most: JOB_MAX, closed: Closed::No, takes_breaks: true, flight: None }
    }
}

impl Lanes {
    pub fn set_threshold(&mut self, threshold: Option<usize>) {
        self.threshold = threshold;
    }

    /// From how many writes on there are jobs.
    pub fn threshold(&self) -> Option<usize> {
        self.threshold
    }

    /// Whether there are jobs at all.
    pub fn has_bulk(&self) -> bool {
        self.threshold.is_some()
    }

    /// Whether a write may go by a job of this object.
    pub fn takes(&self, object: &ObjectName, fit: Fit) -> bool {
        match fit {
            Fit::Yes => self.has_bulk(),
            Fit::WithBreaks => self.has_bulk() && self.objects.get(object).is_none_or(|jobs| jobs.takes_breaks),
            Fit::No => false,
        }
    }

    /// Whether so many writes of an object are worth a job, now or after the one that runs.
    pub fn is_worth(&self, object: &ObjectName, waiting: usize, now: Instant) -> bool {
        let Some(threshold) = self.threshold else { return false };
        let closed = self.objects.get(object).map_or(Closed::No, |jobs| jobs.closed);
        let closed = match closed {
            Closed::No => false,
            Closed::Until(until) => until > now,
            Closed::ForGood => true,
        };
        waiting >= threshold && !closed && self.quota_until.is_none_or(|until| until <= now)
    }

    /// Whether a job of this object may begin.
    pub fn is_free(&self, object: &ObjectName) -> bool {
        let running = self.objects.values().filter(|jobs| jobs.flight.is_some()).count();
        running < JOBS_MAX && self.objects.get(object).is_none_or(|jobs| jobs.flight.is_none())
    }

    /// Rows of the next job.
    pub fn most(&self, object: &ObjectName) -> usize {
        self.objects.get(object).map_or(JOB_MAX, |jobs| jobs.most)
    }

    /// Fewer rows than this are not worth a job after all.
    pub fn least(&self, object: &ObjectName) -> usize {
        self.threshold.unwrap_or(usize::MAX).min(self.most(object))
    }

    pub fn begun(&mut self, object: &ObjectName, flight: FlightId) {
        self.objects.entry(object.clone()).or_default().flight = Some(flight);
    }

    pub fn ended(&mut self, flight: FlightId) {
        let of_flight = self.objects.values_mut().filter(|jobs| jobs.flight == Some(flight));
        of_flight.for_each(|jobs| jobs.flight = None);
    }

    /// A job of so many rows has ended, and what it says of itself. Whether writes may fit now that did not, or the other way.
    pub fn told(&mut self, object: &ObjectName, rows: usize, trouble: Option<JobTrouble>, now: Instant) -> bool {
        let least = self.threshold.unwrap_or(usize::MAX);
        let jobs = self.objects.entry(object.clone()).or_default();
        match trouble {
            None => jobs.most = jobs.most.saturating_mul(2).min(JOB_MAX),
            Some(JobTrouble::TooMuch) if rows / 2 >= least.max(1) => jobs.most = rows / 2,
            // So few are better off by collections, which also tell whose records have the field.
            Some(JobTrouble::TooMuch | JobTrouble::Failing | JobTrouble::UnknownField) => {
                *jobs = Jobs { closed: Closed::Until(now + AFTER_FAILURES), most: JOB_MAX, ..*jobs };
            }
            Some(JobTrouble::LineBreaks) => {
                // Refused without any: then nobody knows what it minds.
                if !std::mem::replace(&mut jobs.takes_breaks, false) {
                    jobs.closed = Closed::ForGood;
                }
                return true;
            }
            Some(JobTrouble::Quota) => self.quota_until = Some(now + AFTER_QUOTA),
            Some(JobTrouble::NotOffered) => jobs.closed = Closed::ForGood,
        }
        false
    }
}

/// Ready writes of one call, oldest first; those that may go by a job apart.
#[derive(Debug, Default)]
pub struct Queue {
    plain: BTreeSet<(Seq, WriteId)>,
    fitting: BTreeSet<(Seq, WriteId)>,
}

impl Queue {
    pub fn insert(&mut self, place: (Seq, WriteId), fits: bool) {
        if fits {
            self.fitting.insert(place)
        } else {
            self.plain.insert(place)
        };
    }

    pub fn remove(&mut self, place: &(Seq, WriteId)) {
        if !self.plain.remove(place) {
            self.fitting.remove(place);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.fitting.is_empty()
    }

    pub fn len(&self) -> usize {
        self.plain.len() + self.fitting.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = WriteId> {
        self.plain.iter().chain(&self.fitting).map(|(_, id)| *id)
    }

    /// How many may go by a job.
    pub fn fitting(&self) -> usize {
        self.fitting.len()
    }

    /// The oldest one that goes by a job, by collections, or by collections although others wait for a job.
    pub fn first(&self, from: Take) -> Option<(Seq, WriteId)> {
        match from {
            Take::Fitting => self.fitting.first().copied(),
            Take::Plain => self.plain.first().copied(),
            Take::Any => self.plain.first().into_iter().chain(self.fitting.first()).min().copied(),
        }
    }

    pub fn pop(&mut self, from: Take) -> Option<(Seq, WriteId)> {
        let first = self.first(from)?;
        self.remove(&first);
        Some(first)
    }
}

/// From which part of a queue writes are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    Any,
    Plain,
    Fitting,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> ObjectName {
        "Account".parse().unwrap()
    }

    fn lanes() -> Lanes {
        let mut lanes = Lanes::default();
        lanes.set_threshold(Some(2_000));
        lanes
    }

    #[test]
    fn jobs_get_smaller_while_they_are_too_much_and_then_there_are_none_for_a_while() {
        let (mut lanes, now) = (lanes(), Instant::now());
        let mut sizes = Vec::new();
        while lanes.is_worth(&account(), 10_000, now) {
            sizes.push(lanes.most(&account()));
            lanes.told(&account(), lanes.most(&account()), Some(JobTrouble::TooMuch), now);
        }
        assert_eq!(sizes, [10_000, 5_000, 2_500]);
        let later = now + AFTER_FAILURES;
        assert!(lanes.is_worth(&account(), 10_000, later));
        assert_eq!(lanes.most(&account()), JOB_MAX);
        lanes.told(&account(), 6_000, Some(JobTrouble::TooMuch), later);
        lanes.told(&account(), 3_000, None, later);
        assert_eq!(lanes.most(&account()), 6_000, "it recovers");
    }

    #[test]
    fn what_an_org_does_not_offer_is_not_asked_for_again_and_other_objects_are() {
        let (mut lanes, now) = (lanes(), Instant::now());
        lanes.told(&account(), 5_000, Some(JobTrouble::NotOffered), now);
        let much_later = now + Duration::from_secs(1_000_000);
        assert!(!lanes.is_worth(&account(), 10_000, much_later));
        assert!(lanes.is_worth(&"Contact".parse().unwrap(), 10_000, now));
        lanes.told(&"Contact".parse().unwrap(), 5_000, Some(JobTrouble::Quota), now);
        assert!(!lanes.is_worth(&"Case".parse().unwrap(), 10_000, now), "the quota is that of the org");
        assert!(lanes.is_worth(&"Case".parse().unwrap(), 10_000, now + AFTER_QUOTA));
    }

    #[test]
    fn line_breaks_that_are_refused_go_by_collections_and_so_does_all_when_it_was_not_them() {
        let (mut lanes, now) = (lanes(), Instant::now());
        assert!(lanes.takes(&account(), Fit::WithBreaks));
        assert!(lanes.told(&account(), 5_000, Some(JobTrouble::LineBreaks), now));
        assert!(!lanes.takes(&account(), Fit::WithBreaks) && lanes.takes(&account(), Fit::Yes));
        assert!(lanes.is_worth(&account(), 5_000, now));
        lanes.told(&account(), 5_000, Some(JobTrouble::LineBreaks), now);
        assert!(!lanes.is_worth(&account(), 5_000, now));
    }

    #[test]
    fn without_a_threshold_nothing_fits_and_below_it_nothing_is_worth_a_job() {
        let now = Instant::now();
        assert!(!Lanes::default().takes(&account(), Fit::Yes) && !Lanes::default().is_worth(&account(), 99_999, now));
        assert!(!lanes().is_worth(&account(), 1_999, now) && lanes().is_worth(&account(), 2_000, now));
    }

    #[test]
    fn an_object_has_one_job_at_a_time() {
        let mut lanes = lanes();
        lanes.begun(&account(), FlightId(1));
        assert!(!lanes.is_free(&account()) && lanes.is_free(&"Contact".parse().unwrap()));
        lanes.ended(FlightId(2));
        assert!(!lanes.is_free(&account()));
        lanes.ended(FlightId(1));
        assert!(lanes.is_free(&account()));
    }
}
