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

    /// When the writes of a group go out although they do not fill a call; none: at once.
    fn lingers_until(&self, group: &Group, queue: &Queue) -> Option<Instant> {
        if self.linger.is_zero() || queue.len() >= self.sizes.of(group.call.object()) {
            return None;
        }
        let since = queue.iter().filter_map(|id| self.waiting.get(&id)).map(|waiting| waiting.since).min();
        since.flatten().map(|since| since + self.linger)
    }

    /// The first time at which something goes out that waits for company. What could go out by now waits for an answer.
    fn lingering(&self) -> Option<Instant> {
        if self.linger.is_zero() || self.calls() >= self.window.size() {
            return None;
        }
        let open = self.ready.iter().filter(|(group, _)| self.holds.lets(&group.call));
        open.filter_map(|(group, queue)| self.lingers_until(group, queue)).min()
    }

    /// The next time at which `next_batch` may give more than now, if nothing else happens.
    pub fn wakeup(&self) -> Option<Instant> {
        let delayed = self.delayed.first().map(|(at, _)| *at);
        let held = self.holds.wakeup().filter(|_| !self.ready.is_empty());
        let next = [delayed, held, self.lingering()].into_iter().flatten().min();
        match (self.paused_until, self.ready.is_empty()) {
            (Some(pause), false) => Some(pause),
            (Some(pause), true) => next.map(|at| at.max(pause)),
            (None, _) => next,
        }
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

    /// The oldest writes that can go out together, if the window has room.
    pub fn next_batch(&mut self, now: Instant) -> Option<Batch> {
        if self.paused_until.is_some_and(|until| until > now) {
            return None;
        }
        self.paused_until = None;
        while let Some(&(at, id)) = self.delayed.first() {
            if at > now {
                break;
            }
            self.delayed.remove(&(at, id));
            self.place(id, now);
        }
        self.look_after_children(now);
        self.holds.tick(now);
        // A group can turn out to be blocked as a whole, or in part, hence the loop.
        loop {
            let (group, take, lane) = self.next_group(now)?;
            let most = match lane {
                Lane::Bulk => self.lanes.most(group.call.object()),
                Lane::Collections => self.sizes.of(group.call.object()),
            };
            let picked = self.pick(&group, take, most, now);
            let is_rest = self.ready.get(&group).is_none_or(|queue| queue.fitting() == 0);
            if lane == Lane::Bulk && is_rest && picked.len() < self.lanes.least(group.call.object()) {
                // Others are blocked, and these are too few without them.
                picked.into_iter().for_each(|id| self.stay(&group, id));
            } else if !picked.is_empty() {
                return Some(self.depart(group, picked, lane));
            }
        }
    }

    /// The call of the oldest write that can go out, and which of its writes go. A job is no exception: what is older may
    /// need a lock that its writes would take again and again.
    fn next_group(&self, now: Instant) -> Option<(Group, Take, Lane)> {
        let worth = |group: &Group, queue: &Queue| self.lanes.is_worth(group.call.object(), queue.fitting(), now);
        let open = || self.ready.iter().filter(|(group, _)| self.holds.lets(&group.call));
        let free = |group: &Group| self.lanes.is_free(group.call.object());
        let jobs = open().filter(|(group, queue)| worth(group, queue) && free(group));
        let jobs =
            jobs.filter_map(|(group, queue)| Some((queue.first(Take::Fitting)?, (group, Take::Fitting, Lane::Bulk))));
        let has_room = self.calls() < self.window.size();
        let due = open()
            .filter(|(group, queue)| has_room && self.lingers_until(group, queue).is_none_or(|until| until <= now));
        let calls = due.filter_map(|(group, queue)| {
            // What is worth a job waits for the one that runs.
            let take = if worth(group, queue) { Take::Plain } else { Take::Any };
            Some((queue.first(take)?, (group, take, Lane::Collections)))
        });
        let (_, (group, take, lane)) = jobs.chain(calls).min_by_key(|(first, _)| *first)?;
        Some((group.clone(), take, lane))
    }

    /// Calls in flight. A job is none.
    fn calls(&self) -> usize {
        self.flights.values().filter(|flight| flight.lane == Lane::Collections).count()
    }

    /// A write that was picked stays where it was.
    fn stay(&mut self, group: &Group, id: WriteId) {
        if let Some(waiting) = self.waiting.get(&id) {
            let fits = group.cohort == 0 && self.lanes.takes(group.call.object(), waiting.fit);
            self.ready.entry(group.clone()).or_default().insert((waiting.write.age(), id), fits);
        }
    }

    fn pick(&mut self, group: &Group, take: Take, most: usize, now: Instant) -> Vec<WriteId> {
        let mut picked: Vec<WriteId> = Vec::new();
        let mut held: HashSet<Token> = HashSet::new();
        let mut weight = 0;
        while picked.len() < most && weight < JOB_WEIGHT_MAX {
            let Some((_, id)) = self.ready.get_mut(group).and_then(|queue| queue.pop(take)) else { break };
            let Some(waiting) = self.waiting.get(&id) else { continue };
            if let Some(token) = self.obstacle(id, &waiting.write) {
                self.block(id, token);
                continue;
            }
            // Merging keeps keys and sources of waiting writes apart, so only a double key after a change of keys, or of
            // what may not be merged, can collide here. It waits for this batch.
            let own: Vec<Token> = exclusive(&waiting.write).collect();
            if own.iter().any(|token| held.contains(token)) {
                let at = now;
                self.delay(id, at);
                continue;
            }
            held.extend(own);
            weight += waiting.weight;
            picked.push(id);
        }
        if self.ready.get(group).is_some_and(Queue::is_empty) {
            self.ready.remove(group);
        }
        picked
    }

    fn depart(&mut self, group: Group, picked: Vec<WriteId>, lane: Lane) -> Batch {
        self.next_id += 1;
        let flight = FlightId(self.next_id);
        if lane == Lane::Bulk {
            self.lanes.begun(group.call.object(), flight);
        }
        let (mut writes, mut tries) = (Vec::with_capacity(picked.len()), Vec::with_capacity(picked.len()));
        let mut cohort = Cohort::default();
        for id in picked {
            if let Some(waiting) = self.remove(id) {
                writes.push(waiting.write);
                tries.push(waiting.tries);
                cohort = waiting.cohort;
            }
        }
        let mut tokens = Vec::new();
        for write in &writes {
            tokens.extend(exclusive(write));
            tokens.extend(write.lock_keys.iter().cloned().map(Token::Counterpart));
            tokens.extend(self.locks.of(write).map(Token::Record));
            if decides(write) {
                tokens.extend(write.makes().map(Token::Deciding));
            }
        }
        for token in &tokens {
            self.busy.insert(token.clone(), flight);
        }
        let writes = Arc::new(writes);
        let object = group.call.object().clone();
        let departed = Flight { writes: writes.clone(), tries: tries.clone(), cohort, tokens, lane, object };
        self.flights.insert(flight, departed);
        self.holds.departs(&group.call, flight);
        Batch { flight, call: group.call, lane, writes, tries }
    }

    /// Gives a batch's verdicts back, one for each write in its order. A missing one counts as unknown.
    pub fn settle(&mut self, flight: FlightId, verdicts: Vec<Verdict>, now: Instant) {
        let Some(Flight { writes, tries, cohort, tokens, lane, object }) = self.flights.remove(&flight) else { return };
        self.holds.answered(flight);
        for token in &tokens {
            self.busy.remove(token);
        }
        let no_answer = |verdict: &Verdict| matches!(verdict, Verdict::Unknown { .. } | Verdict::UnknownSplit { .. });
        if lane == Lane::Bulk {
            self.lanes.ended(flight);
        } else if verdicts.iter().any(no_answer) {
            self.window.refused();
        } else {
            self.window.answered();
        }
        // The pieces of a batch are small because of one of them.
        if lane == Lane::Collections && cohort.id() == 0 {
            self.resize(&object, &verdicts, writes.len());
        }
        let splits =
            |verdict: &&Verdict| matches!(verdict, Verdict::Split | Verdict::TooMuch | Verdict::UnknownSplit { .. });
        let split = verdicts.iter().filter(splits).count();
        let (pieces, next_round) = self.pieces(&cohort, lane, split, now);
        let locked = self.new_cohort();
        let mut nth_split = 0;
        let mut piece = || {
            nth_split += 1;
            pieces.get((nth_split - 1) * pieces.len() / split).cloned().unwrap_or_default()
        };
        let writes = Arc::unwrap_or_clone(writes);
        let padded = verdicts.into_iter().chain(std::iter::repeat(Verdict::Unknown { at: now }));
        for ((write, tries), verdict) in writes.into_iter().zip(tries).zip(padded) {
            let tries = tries.saturating_add(1);
            let sources = sources(&write);
            let is_outdated = self.remapped.iter().any(|(id, last)| flight <= *last && is_mapped_by(&write, *id));
            match verdict {
                Verdict::Retry { .. }
                | Verdict::Held { .. }
                | Verdict::Split
                | Verdict::TooMuch
                | Verdict::Locked { .. }
                | Verdict::Without(_)
                | Verdict::Refused(_)
                    if is_outdated =>
                {
                    self.hand_for_reading(write, true);
                }
                Verdict::Saved { id, created } => {
                    self.landed(&write, Some(id), created, now);
                    self.handed.push(Handed::Settled { write, id: Some(id), created });
                }
                Verdict::Deleted => {
                    self.landed(&write, None, None, now);
                    self.handed.push(Handed::Settled { write, id: None, created: None });
                }
                Verdict::Retry { at } => {
                    self.handed.push(Handed::Answered { sources });
                    self.put_back(write, tries, cohort.clone(), Some(at), now);
                }
                Verdict::Held { at } => {
                    self.handed.push(Handed::Answered { sources });
                    self.put_back(write, tries - 1, cohort.clone(), Some(at), now);
                }
                Verdict::Unknown { at } => {
                    self.put_back(write, tries, cohort.clone(), Some(at), now);
                    self.lost(sources);
                }
                Verdict::UnknownSplit { at } => {
                    self.put_back(write, tries, piece(), Some(at).max(next_round), now);
                    self.lost(sources);
                }
                // Apart from the others of its batch, which go on with what waits.
                Verdict::Locked { at, records } => {
                    self.handed.push(Handed::Answered { sources });
                    self.locks.learn(&write, &records);
                    self.put_back(write, tries, Cohort::new(locked), Some(at), now);
                }
                Verdict::Unexplained(refusal) => {
                    self.park(write, refusal, false, true);
                    self.lost(sources);
                }
                Verdict::Split | Verdict::TooMuch => {
                    self.handed.push(Handed::Answered { sources });
                    self.put_back(write, tries, piece(), next_round, now);
                }
                Verdict::Without(parent) => {
                    self.handed.push(Handed::Answered { sources });
                    // One that is on its way is worth waiting for, unless it waits for this very write.
                    let coming = self.is_undecided(&parent) && !self.leads_to(&parent, &write);
                    let write = if coming { write } else { write.without(&parent) };
                    self.put_back(write, tries, cohort.clone(), None, now);
                }
                Verdict::Gone => {
                    let target = write.key.linked();
                    let revives = sources.iter().any(|source| self.is_revived(*source));
                    let (covers, others) = self.with_what_waits(&write);
                    let alone = (covers == write.covers).then_some(write);
                    self.handed.push(Handed::Gone { covers, target, revives, alone });
                    self.hand_others(others);
                }
                Verdict::Reread => self.hand_for_reading(write, true),
                // What came meanwhile may be just what mends it (and a delete always does).
                Verdict::Refused(_) if sources.iter().any(|source| self.by_source.contains_key(source)) => {
                    self.handed.push(Handed::Answered { sources });
                    self.put_back(write, tries, Cohort::default(), None, now);
                }
                Verdict::Refused(refusal) => self.park(write, refusal, true, true),
            }
        }
        for token in tokens {
            self.release(&token, now);
        }
        self.look_after_children(now);
    }

    /// The cohorts in which so many refused writes of a batch go out again, and when, if not at once: its halves; where they
    /// have cost too much, all of it, and later; of a job, as many as a collection holds.
    fn pieces(&mut self, of: &Cohort, lane: Lane, split: usize, now: Instant) -> (Vec<Cohort>, Option<Instant>) {
        match lane {
            _ if split == 0 => (Vec::new(), None),
            Lane::Bulk => ((0..split.div_ceil(BATCH_MAX)).map(|_| Cohort::new(self.new_cohort())).collect(), None),
            Lane::Collections => match of.halves(split, self.new_cohort(), self.new_cohort()) {
                Some(halves) => (halves.to_vec(), None),
                None => (vec![Cohort::new(self.new_cohort())], Some(now + NEXT_ROUND)),
            },
        }
    }

    /// Learns from a batch of so many how many of the object may go out together.
    fn resize(&mut self, object: &ObjectName, verdicts: &[Verdict], sent: usize) {
        let was_too_much = verdicts.iter().any(|verdict| matches!(verdict, Verdict::TooMuch));
        let went_well = verdicts.iter().all(|verdict| matches!(verdict, Verdict::Saved { .. } | Verdict::Deleted));
        let size = match (was_too_much, went_well) {
            (true, _) => self.sizes.too_much(object, sent),
            (false, true) => self.sizes.went_well(object, sent),
            (false, false) => None,
        };
        if let Some(size) = size {
            self.handed.push(Handed::Resized { object: object.clone(), size });
        }
    }

    /// The request may land after whatever is written next, so nothing on its way ends the suspicion.
    fn lost(&mut self, sources: Vec<Source>) {
        for source in &sources {
            if let Some(waiting) = self.by_source.get(source).and_then(|id| self.waiting.get_mut(id)) {
                waiting.write.covers.iter_mut().for_each(|cover| cover.clears_suspect = false);
            }
        }
        self.handed.push(Handed::Lost { sources });
    }

    /// What waits for the same records is now an update of the record that was made. After a delete it has lost its record: as
    /// an update it may lack what only a create writes, so it is read.
    fn landed(&mut self, write: &Write, id: Option<RecordId>, created: Option<bool>, now: Instant) {
        let object = write.key.object().clone();
        for source in sources(write) {
            let Some(&waiting_id) = self.by_source.get(&source) else { continue };
            let Some(waiting) = self.waiting.get(&waiting_id) else { continue };
            let deletes = matches!(waiting.write.body, Body::Delete);
            match (id, &waiting.write.key) {
                (Some(id), Key::External { .. }) => {
                    if let Some(mut waiting) = self.remove(waiting_id) {
                        waiting.write.key = Key::Record { object: object.clone(), id };
                        waiting.write.if_created &= created != Some(true);
                        self.put(waiting.write, waiting.tries, waiting.cohort, waiting.not_before, now);
                    }
                }
                (None, Key::Record { .. }) if !deletes => {
                    if let Some(waiting) = self.remove(waiting_id) {
                        self.hand_for_reading(waiting.write, false);
                    }
                }
                (Some(_), Key::Record { .. }) | (None, _) => {}
            }
        }
    }

    /// An older write back among the waiting, under all that came meanwhile for its records.
    fn put_back(&mut self, older: Write, tries: u32, cohort: Cohort, not_before: Option<Instant>, now: Instant) {
        let of_sources = sources(&older).into_iter().filter_map(|source| self.by_source.get(&source).copied());
        let mut ids: Vec<WriteId> = of_sources.chain(self.joinable(&older)).collect();
        ids.sort_unstable();
        ids.dedup();
        // Something new is worth a try in company again.
        let cohort = if ids.is_empty() { cohort } else { Cohort::default() };
        let mut newer: Vec<Write> = ids.into_iter().filter_map(|id| self.remove(id)).map(|known| known.write).collect();
        // What knows of the newest part speaks last.
        newer.sort_by_key(|write| write.covers.iter().map(|cover| cover.to).max());
        let mut newer = newer.into_iter();
        let mut merged = older;
        while let Some(next) = newer.next() {
            merged = match merged.then(next) {
                Ok(merged) => merged,
                Err(covers) => {
                    let covers = newer.fold(covers, |covers, rest| covers_with(&covers, &rest.covers));
                    self.handed.push(Handed::Read { covers, delete: None, sent: false });
                    return;
                }
            };
        }
        self.put(merged, tries, cohort, not_before, now);
    }

    fn put(&mut self, write: Write, tries: u32, cohort: Cohort, not_before: Option<Instant>, now: Instant) {
        let mut write = write;
        let (mut tries, mut cohort, mut not_before) = (tries, cohort, not_before);
        let mut since = (tries == 0 && cohort.id() == 0).then_some(now);
        // By source first: a record's own order goes before the order of a key that it shares.
        let same = |outbox: &Self, write: &Write| {
            let by_source = write.covers.iter().find_map(|cover| outbox.by_source.get(&cover.source).copied());
            by_source.or_else(|| outbox.joinable(write).next())
        };
        while let Some(older) = same(self, &write).and_then(|id| self.remove(id)) {
            tries = tries.max(older.tries);
            cohort = Cohort::default();
            not_before = not_before.max(older.not_before);
            since = since.min(older.since);
            write = match older.write.then(write) {
                Ok(merged) => merged,
                Err(covers) => {
                    self.handed.push(Handed::Read { covers, delete: None, sent: false });
                    return;
                }
            };
        }
        self.next_id += 1;
        let id = self.next_id;
        let weight = write.weight();
        self.weight += weight;
        let call = call_of(&write).filter(|_| self.lanes.has_bulk());
        let fit = call.map_or(Fit::No, |call| fits(&write, &call));
        for source in sources(&write) {
            self.by_source.insert(source, id);
        }
        self.by_key.entry(write.key.clone()).or_default().push(id);
        if decides(&write) {
            for parent in write.makes() {
                self.deciders.entry(parent).or_default().push(id);
            }
        }
        // A placeholder place; `place` decides at once.
        self.waiting
            .insert(id, Waiting { write, place: Place::Delayed(now), tries, cohort, not_before, since, weight, fit });
        self.place(id, now);
    }

    /// What waits for the same record of the target and may become one write with this.
    fn joinable(&self, write: &Write) -> impl Iterator<Item = WriteId> {
        let waiting = self.by_key.get(&write.key).into_iter().flatten();
        waiting.copied().filter(|id| self.waiting.get(id).is_some_and(|other| other.write.merges_with(write)))
    }

    /// Takes a waiting write out of every index.
    fn remove(&mut self, id: WriteId) -> Option<Waiting> {
        let waiting = self.waiting.remove(&id)?;
        self.unplace(id, &waiting);
        self.weight = self.weight.saturating_sub(waiting.weight);
        for source in sources(&waiting.write) {
            if self.by_source.get(&source) == Some(&id) {
                self.by_source.remove(&source);
            }
        }
        if let Some(ids) = self.by_key.get_mut(&waiting.write.key) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_key.remove(&waiting.write.key);
            }
        }
        if decides(&waiting.write) {
            for parent in waiting.write.makes() {
                if let Some(deciders) = self.deciders.get_mut(&parent) {
                    deciders.retain(|decider| *decider != id);
                    if deciders.is_empty() {
                        self.deciders.remove(&parent);
                        self.freed.push(parent);
                    }
                }
            }
        }
        Some(waiting)
    }

    fn unplace(&mut self, id: WriteId, waiting: &Waiting) {
        match &waiting.place {
            Place::Ready(group) => {
                if let Some(ids) = self.ready.get_mut(group) {
                    ids.remove(&(waiting.write.age(), id));
                    if ids.is_empty() {
                        self.ready.remove(group);
                    }
                }
            }
            Place::Blocked(token) => {
                if let Some(ids) = self.blocked.get_mut(token) {
                    ids.retain(|blocked| *blocked != id);
                    if ids.is_empty() {
                        self.blocked.remove(token);
                    }
                }
            }
            Place::Delayed(at) => {
                self.delayed.remove(&(*at, id));
            }
        }
    }

    /// Decides anew where a ready write stands.
    fn place_anew(&mut self, id: WriteId, now: Instant) {
        let Some(waiting) = self.waiting.remove(&id) else { return };
        self.unplace(id, &waiting);
        self.waiting.insert(id, waiting);
        self.place(id, now);
    }

    /// Decides where a waiting write stands: delayed, behind something, ready, or out of here.
    fn place(&mut self, id: WriteId, now: Instant) {
        let Some(waiting) = self.waiting.get(&id) else { return };
        if let Some(at) = waiting.not_before.filter(|at| *at > now) {
            self.delay(id, at);
            return;
        }
        if let Some(token) = self.obstacle(id, &waiting.write) {
            self.block(id, token);
            return;
        }
        let open = waiting.write.references().find(|reference| reference.is_open());
        let open = open.map(|open| (open.parent.clone(), open.if_missing));
        let call = call_of(&waiting.write);
        match (call, open) {
            // Its other fields were left out, so there is nothing to send.
            (Some(Call::Update { .. }), None) if waiting.write.is_empty() => {
                if let Some(waiting) = self.remove(id) {
                    let id = waiting.write.key.linked();
                    self.handed.push(Handed::Settled { write: waiting.write, id, created: None });
                }
            }
            (Some(call), None) => {
                let group = Group { call, cohort: waiting.cohort.id() };
                if let Some(waiting) = self.waiting.get_mut(&id) {
                    waiting.place = Place::Ready(group.clone());
                    waiting.not_before = None;
                }
                self.stay(&group, id);
            }
            (_, Some((parent, IfMissing::FillLater | IfMissing::Skip))) => {
                if let Some(waiting) = self.remove(id) {
                    let write = waiting.write.without(&parent);
                    self.put(write, waiting.tries, waiting.cohort, waiting.not_before, now);
                }
            }
            (_, Some((parent, if_missing))) => {
                let refusal = parent_missing(parent, if_missing, "Its parent has no counterpart in the target yet.");
                if let Some(waiting) = self.remove(id) {
                    self.park(waiting.write, refusal, false, false);
                }
            }
            (None, None) => {
                if let Some(waiting) = self.remove(id) {
                    self.hand_for_reading(waiting.write, false);
                }
            }
        }
    }

    /// The first thing that keeps a write from going out now.
    fn obstacle(&self, id: WriteId, write: &Write) -> Option<Token> {
        if let Some(token) = exclusive(write).find(|token| self.busy.contains_key(token)) {
            return Some(token);
        }
        let coming = write.waits_for.iter().find(|parent| {
            let own = write.makes().any(|made| made == **parent);
            !own && self.is_undecided(parent) && !self.waits_in_a_circle(id, parent)
        });
        if let Some(parent) = coming {
            return Some(Token::Deciding(parent.clone()));
        }
        let locked = write.lock_keys.iter().cloned().map(Token::Counterpart);
        let learned = self.locks.of(write).map(Token::Record);
        locked.chain(learned).find(|token| self.busy.contains_key(token))
    }

    /// Whether who makes `parent` waits, through others, for what `id` makes.
    fn waits_in_a_circle(&self, id: WriteId, parent: &Parent) -> bool {
        let mut parent = parent;
        for _ in 0..CHAIN_MAX {
            let Some(&decider) = self.deciders.get(parent).and_then(|deciders| deciders.first()) else { return false };
            if decider == id {
                return true;
            }
            match self.waiting.get(&decider).map(|waiting| &waiting.place) {
                Some(Place::Blocked(Token::Deciding(next))) => parent = next,
                _ => return false,
            }
        }
        // So long a chain is treated as a circle: the org decides.
        true
    }

    /// Whether who makes `parent` waits, through others, for what this write makes.
    fn leads_to(&self, parent: &Parent, write: &Write) -> bool {
        let makes: Vec<Parent> = write.makes().collect();
        let (mut seen, mut next) = (HashSet::new(), vec![parent]);
        while let Some(parent) = next.pop() {
            if makes.contains(parent) {
                return true;
            }
            if seen.len() < CHAIN_MAX && seen.insert(parent) {
                let deciders = self.deciders.get(parent).into_iter().flatten();
                next.extend(deciders.filter_map(|id| self.waiting.get(id)).flat_map(|one| &one.write.waits_for));
            }
        }
        // So many are treated as a circle: the write goes without its parent, and gets it later.
        seen.len() >= CHAIN_MAX
    }

    fn block(&mut self, id: WriteId, token: Token) {
        if let Some(waiting) = self.waiting.get_mut(&id) {
            waiting.place = Place::Blocked(token.clone());
            self.blocked.entry(token).or_default().push(id);
        }
    }

    fn delay(&mut self, id: WriteId, at: Instant) {
        if let Some(waiting) = self.waiting.get_mut(&id) {
            waiting.place = Place::Delayed(at);
            self.delayed.insert((at, id));
        }
    }

    fn release(&mut self, token: &Token, now: Instant) {
        for id in self.blocked.remove(token).unwrap_or_default() {
            self.place(id, now);
        }
    }

    /// A decider that left without going out (merged into a delete, parked, handed for reading) leaves nobody waiting.
    fn look_after_children(&mut self, now: Instant) {
        while let Some(parent) = self.freed.pop() {
            if !self.is_undecided(&parent) {
                self.release(&Token::Deciding(parent), now);
            }
        }
    }

    fn hand_for_reading(&mut self, write: Write, sent: bool) {
        let (own, others) = self.with_what_waits(&write);
        // What came behind a delete is not the delete any more.
        let delete = matches!(write.body, Body::Delete).then(|| write.key.clone()).filter(|_| own == write.covers);
        self.handed.push(Handed::Read { covers: own, delete, sent });
        self.hand_others(others);
    }

    /// `sent`: the answer is known; `tried`: it went out.
    fn park(&mut self, write: Write, refusal: Refusal, sent: bool, tried: bool) {
        let (covers, others) = self.with_what_waits(&write);
        let request = tried.then(|| Box::new(write));
        self.handed.push(Handed::Parked { covers, refusal, sent, request });
        self.hand_others(others);
    }

    fn is_revived(&self, source: Source) -> bool {
        let waiting = self.by_source.get(&source).and_then(|id| self.waiting.get(id));
        waiting.is_some_and(|waiting| call_of(&waiting.write).is_some_and(|call| matches!(call, Call::Upsert { .. })))
    }

    /// What had merged with a record that leaves, but is another record: it goes on by itself.
    fn hand_others(&mut self, covers: Vec<Cover>) {
        if !covers.is_empty() {
            self.handed.push(Handed::Read { covers, delete: None, sent: false });
        }
    }

    /// The covers of a write with all that waits behind it for the same source records, and those of other source
    /// records that had merged with them. They leave together.
    fn with_what_waits(&mut self, write: &Write) -> (Vec<Cover>, Vec<Cover>) {
        let own = sources(write);
        let mut covers = write.covers.clone();
        for source in &own {
            if let Some(behind) = self.by_source.get(source).copied().and_then(|id| self.remove(id)) {
                covers = covers_with(&covers, &behind.write.covers);
            }
        }
        covers.into_iter().partition(|cover| own.contains(&cover.source))
    }

    fn new_cohort(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
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
