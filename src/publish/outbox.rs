//! What waits for one target org, and what may go out next.
//!
//! For each record at most one write is in flight and at most one waits; what arrives meanwhile merges into the
//! waiting one. Time is an argument; nothing here sleeps or calls. `pipeline` drives it, `store` remembers it.
//!
//! Every cover that is offered leaves exactly once: settled, parked, gone, or to be read.
//! `offer`, `next_batch` and `settle` touch only what they return: ready writes queue by call, the others by what they
//! wait for.

mod halves;
mod holds;
mod lane;
mod locks;
mod queueing;
mod sending;
mod settling;
mod sizes;
mod window;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::bulk::{Fit, fits};
use super::write::{Body, Cover, Key, Source, Write, covers_with};
use crate::config::{BATCH_MAX, IfMissing, SaveOptions};
use crate::event::{FieldName, ObjectName, RecordId};
use crate::org::JobTrouble;
use crate::store::{Parent, ParkedState, PipelineId};
use halves::{Cohort, NEXT_ROUND};
use holds::Holds;
pub use lane::Lane;
use lane::{Lanes, Queue, Take};
use locks::Locks;
use sizes::Sizes;
use window::Window;

/// Waiting writes above which nothing new should be offered.
const WAITING_MAX: usize = 10_000;
const WEIGHT_MAX: usize = 64 << 20;
/// What one job holds at most.
const JOB_WEIGHT_MAX: usize = WEIGHT_MAX / 2;
/// The code of a record whose parent the target does not have.
pub const PARENT_MISSING: &str = "PARENT_MISSING";
/// How long a chain of waiting parents is followed to find a cycle.
const CHAIN_MAX: usize = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlightId(pub u64);

/// Which call a write goes out by. Writes of one batch share it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Call {
    Upsert { object: ObjectName, key_field: FieldName, options: SaveOptions },
    Update { object: ObjectName, options: SaveOptions },
    Delete { object: ObjectName },
}

/// Writes to go out together: at most 200 in one call, or more by a job.
#[derive(Debug, Clone)]
pub struct Batch {
    pub flight: FlightId,
    pub call: Call,
    pub lane: Lane,
    pub writes: Arc<Vec<Write>>,
    /// How often each write was sent before.
    pub tries: Vec<u32>,
}

/// What became of one write of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Saved {
        id: RecordId,
        /// Whether the record is new; not always said.
        created: Option<bool>,
    },
    Deleted,
    /// Refused for now; nothing was done.
    Retry {
        at: Instant,
    },
    /// The target as a whole refused to work: nothing was done, and it says nothing of this write.
    Held {
        at: Instant,
    },
    /// No answer: it may have been done, or may still be.
    Unknown {
        at: Instant,
    },
    /// No answer again and again, perhaps because of a neighbour: again in a smaller batch.
    UnknownSplit {
        at: Instant,
    },
    /// No answer to this one alone, again and again: a failed record that is suspect.
    Unexplained(Refusal),
    /// Refused, perhaps because of a neighbour: again in a smaller batch.
    Split,
    /// Refused, because the batch was more than the target's automation can do at once: again in a smaller one, and those
    /// to come are smaller, too.
    TooMuch,
    /// Refused, because something was locked: these records, if the target says which.
    Locked {
        at: Instant,
        records: Vec<RecordId>,
    },
    /// The target does not have this parent, and the write may go without it.
    Without(Parent),
    /// The target record does not exist any more.
    Gone,
    /// The source must be asked again.
    Reread,
    Refused(Refusal),
}

/// Why a record is parked. `Debug` leaves out what the org said.
#[derive(Clone, PartialEq, Eq)]
pub struct Refusal {
    pub state: ParkedState,
    pub code: String,
    pub fields: Vec<String>,
    pub waits_for: Option<Parent>,
    pub evidence: String,
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal").field("code", &self.code).field("state", &self.state).finish_non_exhaustive()
    }
}

/// What leaves the outbox, or must be remembered of what stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handed {
    /// Done in the target. `id` is the record there; none after a delete. `created`: whether it is new, if that was said.
    Settled { write: Write, id: Option<RecordId>, created: Option<bool> },
    /// Refused for good or until a parent comes. `covers` holds what waited behind it too. `request`: what was sent, if
    /// anything was.
    Parked { covers: Vec<Cover>, refusal: Refusal, sent: bool, request: Option<Box<Write>> },
    /// The source must be read whole before anything can be written.
    Read { covers: Vec<Cover>, delete: Option<Key>, sent: bool },
    /// The link leads nowhere: the record must be read whole and made anew.
    /// `revives`: what waited behind it was to find or make the record by its key, after an undelete.
    /// `alone`: the write that found it so, if nothing waited behind it.
    Gone { covers: Vec<Cover>, target: Option<RecordId>, revives: bool, alone: Option<Write> },
    /// The answer was lost; the write waits again.
    Lost { sources: Vec<Source> },
    /// The answer is known; the write waits again.
    Answered { sources: Vec<Source> },
    /// From now on so many records of the object go out in one call.
    Resized { object: ObjectName, size: usize },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Token {
    /// A record of the target, by its id: one that is written, or that is locked with those.
    Record(RecordId),
    /// Whoever holds this External ID.
    Key(Key),
    Source(Source),
    /// The record of the target that belongs to a record of the source, whatever key and pipeline a write has for it: one that
    /// is written, or that is locked with those.
    Counterpart(Parent),
    /// Held by whoever makes or deletes the parent, waiting or in flight.
    Deciding(Parent),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    call: Call,
    cohort: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Ready(Group),
    Blocked(Token),
    Delayed(Instant),
}

#[derive(Debug)]
struct Waiting {
    write: Write,
    place: Place,
    tries: u32,
    cohort: Cohort,
    not_before: Option<Instant>,
    /// Since when it waits for company; none: it goes out as soon as it can.
    since: Option<Instant>,
    weight: usize,
    /// Whether it can go by a job.
    fit: Fit,
}

#[derive(Debug)]
struct Flight {
    writes: Arc<Vec<Write>>,
    tries: Vec<u32>,
    cohort: Cohort,
    tokens: Vec<Token>,
    object: ObjectName,
    lane: Lane,
}

type WriteId = u64;

/// See the module.
#[derive(Debug, Default)]
pub struct Outbox {
    next_id: u64,
    waiting: HashMap<WriteId, Waiting>,
    by_source: HashMap<Source, WriteId>,
    /// Several where they may not be merged; they go out one after the other.
    by_key: HashMap<Key, Vec<WriteId>>,
    deciders: HashMap<Parent, Vec<WriteId>>,
    ready: BTreeMap<Group, Queue>,
    blocked: HashMap<Token, Vec<WriteId>>,
    delayed: BTreeSet<(Instant, WriteId)>,
    busy: HashMap<Token, FlightId>,
    flights: HashMap<FlightId, Flight>,
    handed: Vec<Handed>,
    /// Parents that lost a waiting decider: their children are looked at again.
    freed: Vec<Parent>,
    weight: usize,
    paused_until: Option<Instant>,
    window: Window,
    sizes: Sizes,
    locks: Locks,
    holds: Holds,
    lanes: Lanes,
    /// How long the first waiting write of a call waits for company.
    linger: Duration,
    /// Pipelines whose mapping changed: what took off before, up to which flight, was mapped by the old one.
    remapped: HashMap<PipelineId, FlightId>,
}

impl Outbox {
    /// Puts a write behind or into what waits for the same record.
    pub fn offer(&mut self, write: Write, now: Instant) {
        self.put(write, 0, Cohort::default(), None, now);
        self.look_after_children(now);
    }

    /// The most records of an object in one call, and what had been found to be possible before.
    pub fn set_batch_size(&mut self, object: &ObjectName, most: usize, found: Option<usize>) {
        self.sizes.set(object, most, found);
    }

    /// The target refuses calls of this kind whoever is in them: none goes out until then, and then one finds out. True: one
    /// had, and it is as before.
    pub fn hold(&mut self, call: &Call, until: Instant) -> bool {
        self.holds.hold(call, until)
    }

    /// From so many writes of one call on they go by a job of the Bulk API; none: never. To be set before anything is offered.
    pub fn set_bulk(&mut self, threshold: Option<usize>) {
        self.lanes.set_threshold(threshold);
    }

    /// What a job said of itself, before its writes are settled.
    pub fn job_told(&mut self, flight: FlightId, call: &Call, trouble: Option<JobTrouble>, now: Instant) {
        let rows = self.flights.get(&flight).map_or(0, |flight| flight.writes.len());
        if self.lanes.told(call.object(), rows, trouble, now) {
            let of_object = self.waiting.iter().filter(|(_, one)| one.write.key.object() == call.object());
            let ready = of_object.filter(|(_, one)| matches!(one.place, Place::Ready(_))).map(|(id, _)| *id);
            for id in ready.collect::<Vec<_>>() {
                self.place_anew(id, now);
            }
        }
    }

    /// Whether more should be offered now. Reads already asked for may still be.
    pub fn has_room(&self) -> bool {
        self.waiting.len() < self.most() && self.weight < WEIGHT_MAX
    }

    /// Whether what waits takes less than half of the room.
    pub fn has_much_room(&self) -> bool {
        self.waiting.len() < self.most() / 2 && self.weight < WEIGHT_MAX / 2
    }

    fn most(&self) -> usize {
        // Enough for a job, and for what goes on while that is made up.
        self.lanes.threshold().map_or(WAITING_MAX, |from| WAITING_MAX.max(2 * from))
    }

    /// The key under which something waits or is in flight for a source record.
    pub fn key_of(&self, source: Source) -> Option<&Key> {
        if let Some(id) = self.by_source.get(&source) {
            return self.waiting.get(id).map(|waiting| &waiting.write.key);
        }
        let flight = self.flights.get(self.busy.get(&Token::Source(source))?)?;
        flight.writes.iter().find(|write| write.covers.iter().any(|cover| cover.source == source)).map(|w| &w.key)
    }

    /// Whether a write that makes or deletes this parent waits or is in flight.
    pub fn is_undecided(&self, parent: &Parent) -> bool {
        self.deciders.contains_key(parent) || self.busy.contains_key(&Token::Deciding(parent.clone()))
    }

    /// The pipelines whose writes are in a batch that is out.
    pub fn pipelines_of(&self, flight: FlightId) -> BTreeSet<PipelineId> {
        let writes = self.flights.get(&flight).into_iter().flat_map(|flight| flight.writes.iter());
        writes.flat_map(|write| &write.covers).map(|cover| cover.source.pipeline).collect()
    }

    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub fn in_flight(&self) -> usize {
        self.flights.values().map(|flight| flight.writes.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.flights.is_empty()
    }

    /// For each pipeline how many of its records wait and are in flight.
    pub fn count(&self, mut each: impl FnMut(Source, bool)) {
        self.by_source.keys().for_each(|source| each(*source, false));
        for write in self.flights.values().flat_map(|flight| flight.writes.iter()) {
            write.covers.iter().for_each(|cover| each(cover.source, true));
        }
    }

    /// The target as a whole refuses until then; what is in flight goes on.
    pub fn pause(&mut self, until: Instant) {
        self.paused_until = Some(self.paused_until.map_or(until, |known| known.max(until)));
        self.window.refused();
    }

    /// How long the first waiting write of a call waits for company, from when it is offered. A full call does not wait, and
    /// neither does what was refused before.
    pub fn set_linger(&mut self, linger: Duration) {
        self.linger = linger;
    }

    /// The pipeline maps differently from now on: what waits is to be read and mapped anew, and so is what is in flight, if it
    /// comes back.
    pub fn remap(&mut self, pipeline: PipelineId, now: Instant) {
        self.remapped.insert(pipeline, FlightId(self.next_id));
        let mut outdated: Vec<WriteId> = Vec::new();
        outdated.extend(self.waiting.iter().filter(|(_, one)| is_mapped_by(&one.write, pipeline)).map(|(id, _)| *id));
        outdated.sort_unstable();
        for id in outdated {
            if let Some(waiting) = self.remove(id) {
                self.hand_for_reading(waiting.write, false);
            }
        }
        self.look_after_children(now);
    }

    /// Nothing more of the pipeline is to go out: what waits is parked.
    pub fn withdraw(&mut self, pipeline: PipelineId, refusal: &Refusal, now: Instant) {
        let is_of = |write: &Write| write.covers.iter().any(|cover| cover.source.pipeline == pipeline);
        let mut withdrawn: Vec<WriteId> =
            self.waiting.iter().filter(|(_, one)| is_of(&one.write)).map(|(id, _)| *id).collect();
        withdrawn.sort_unstable();
        for id in withdrawn {
            let Some(waiting) = self.remove(id) else { continue };
            let is_own = |cover: &Cover| cover.source.pipeline == pipeline;
            let (covers, others) = waiting.write.covers.into_iter().partition(is_own);
            self.handed.push(Handed::Parked { covers, refusal: refusal.clone(), sent: false, request: None });
            self.hand_others(others);
        }
        self.look_after_children(now);
    }

    /// What changed since the last time.
    pub fn take_handed(&mut self) -> Vec<Handed> {
        std::mem::take(&mut self.handed)
    }
}

/// Why a record is parked whose parent the target does not have.
pub(super) fn parent_missing(parent: Parent, if_missing: IfMissing, evidence: &str) -> Refusal {
    let fails = if_missing == IfMissing::Fail;
    Refusal {
        state: if fails { ParkedState::Failed } else { ParkedState::Waiting },
        code: PARENT_MISSING.to_owned(),
        fields: Vec::new(),
        waits_for: (!fails).then_some(parent),
        evidence: evidence.to_owned(),
    }
}

fn sources(write: &Write) -> Vec<Source> {
    write.covers.iter().map(|cover| cover.source).collect()
}

/// A delete is the same by any mapping.
fn is_mapped_by(write: &Write, pipeline: PipelineId) -> bool {
    !matches!(write.body, Body::Delete) && write.covers.iter().any(|cover| cover.source.pipeline == pipeline)
}

fn exclusive(write: &Write) -> impl Iterator<Item = Token> + '_ {
    let key = match &write.key {
        Key::Record { id, .. } => Token::Record(*id),
        key @ Key::External { .. } => Token::Key(key.clone()),
    };
    let sources = write.covers.iter().map(|cover| Token::Source(cover.source));
    std::iter::once(key).chain(sources).chain(write.makes().map(Token::Counterpart))
}

/// After this write the record is there, or is not. Writes that name it as their parent wait: for a new parent, because
/// the org would not find it; for a parent that is deleted, because its deletion takes its children with it, and a child
/// that was written before (of a parent that comes back) would be lost.
fn decides(write: &Write) -> bool {
    matches!((&write.body, &write.key), (Body::Whole(_), Key::External { .. }) | (Body::Delete, _))
}

/// None: it cannot go out as it is, because an update or a delete needs the record's id, or a delete must be judged.
fn call_of(write: &Write) -> Option<Call> {
    let (object, options) = (write.key.object().clone(), write.manner.options);
    match (&write.body, &write.key) {
        (Body::Whole(_), Key::External { field, .. }) => {
            Some(Call::Upsert { object, key_field: field.clone(), options })
        }
        (Body::Whole(_) | Body::Partial(_), Key::Record { .. }) => Some(Call::Update { object, options }),
        (Body::Delete, Key::Record { .. }) if write.if_created => None,
        (Body::Delete, Key::Record { .. }) => Some(Call::Delete { object }),
        (Body::Partial(_) | Body::Delete, Key::External { .. }) => None,
    }
}

#[cfg(test)]
mod tests;
