//! What becomes of each part: one state machine for all pipelines into one target org, without I/O.
//!
//! In: pages of the journal, answers to reads, verdicts on batches. Out: reads to make, batches to send, and a
//! [`Settlement`] to commit after each input.
//!
//! Order is the sequence number's alone. All pipelines are scanned together. While a record is being read its later parts
//! join the read; the answer stands for the parts up to what was scanned before the request, and later ones are laid over
//! it in order. (It would be as true for all that was journaled by then. But a record that is written as of a later time
//! than the rest can be taken along by an older delete of its parent, and the parts that would bring it back would be
//! skipped as applied.) So nothing older is ever offered after something newer.

mod deletes;
mod history;
mod merges;
mod outcomes;
mod parents;
mod past;
mod reading;
mod reads;
mod steps;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::{Brakes, KeyChanges, MayDelete, NoLongerMatching, OnDelete, OnUndelete, WhenTargetGone};
use crate::event::{ChangeKind, FieldPath, Found, ObjectName, Part, Record, RecordId, Seq, Timestamp};
use crate::mapping::{Failure, Known, LinkState, Mapped, Mapping, Needs, Replies};
use crate::org::JobTrouble;
use crate::pipeline::brakes::Brake;
use crate::pipeline::progress::Progress;
use crate::pipeline::replies::Remembered;
use crate::publish::{
    self, Batch, Body, Call, Cell, Counterpart, Cover, FlightId, Handed, Key, Outbox, Refusal, Source, Verdict, Write,
};
use crate::store::{
    Answer, Applied, LinkChange, NotComing, NotLinked, PIPELINE_HALTED, Parent, Parked, ParkedState, PipelineId,
    Question, Settlement, Through, Unfilled, What,
};
pub use past::PastPage;
use reading::{Because, LookUp, Moved, Past, Reading, Readings, Stage};

/// Why the children of a record wait that is made anew.
pub const PARENT_GONE: &str = "PARENT_GONE";
/// Until they are set.
const NO_BRAKES: Brakes = Brakes { deletes: None, creates: None, failures: None };
/// The code of a failed record whose counterpart is gone, where that is not to be mended.
pub const TARGET_GONE: &str = "TARGET_GONE";
/// The code of a record that the source shows neither as there nor as deleted.
pub const NOT_VISIBLE: &str = "NOT_VISIBLE";
/// What a target says of an owner who may not own records any more, and of a record that is gone.
const OUTDATED: [&str; 3] = ["INACTIVE_OWNER_OR_USER", "ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY"];
/// A parked record that changes again is tried at most this often.
const TRY_AGAIN: Duration = Duration::from_secs(60);
/// When a child is tried again whose parent was written just now.
const WOKEN_AGAIN: Duration = Duration::from_secs(5);
/// When a suspect record is looked at again whose steps are not all written.
const STEPS_FIRST: Duration = Duration::from_secs(1);
/// Parents that are remembered as written again before older ones are forgotten.
const REMADE_MAX: usize = 1_000;
/// Steps that wait above which no more pages are taken.
const HELD_MAX: usize = 10_000;

/// A stretch of the journal for all pipelines, with what is known of the records in it.
///
/// All pipelines go through the journal together: a child that was written before an older delete of its parent would be
/// taken along by it in the target.
#[derive(Debug)]
pub struct Stretch {
    /// In the order of the journal.
    pub parts: Vec<(PipelineId, Part)>,
    /// Every pipeline has been looked at up to here.
    pub to: Seq,
    pub answers: HashMap<PipelineId, Answer>,
}

/// A question to one of the two orgs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    pub pipeline: PipelineId,
    pub what: ReadWhat,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadWhat {
    /// Whole records from the source; the answer stands for the journal up to `at`.
    Records {
        records: Vec<RecordId>,
        at: Seq,
        /// Counterparts are to be taken out of the target's recycle bin (`on_undelete: restore`): see [`came_back`].
        restores: bool,
        /// Those that an event says have come back.
        revived: Vec<RecordId>,
    },
    /// Which records of the target hold these key values.
    Targets { keys: Vec<(RecordId, String)> },
    /// Which records of the source name these as their parent, by each of these fields of the pipelines that do.
    Children { parents: Vec<RecordId>, lookups: Vec<(PipelineId, FieldPath)>, at: Seq },
    /// The same of the winners of merges, for the sake of their losers: as (loser, winner).
    Moved { losers: Vec<(RecordId, RecordId)>, lookups: Vec<(PipelineId, FieldPath)> },
}

impl ReadWhat {
    /// The records that wait for the answer.
    pub fn records(&self) -> Vec<RecordId> {
        match self {
            Self::Records { records, .. } | Self::Children { parents: records, .. } => records.clone(),
            Self::Targets { keys } => keys.iter().map(|(record, _)| *record).collect(),
            Self::Moved { losers, .. } => losers.iter().map(|(loser, _)| *loser).collect(),
        }
    }
}

/// What came out of the target's recycle bin.
#[derive(Debug, Default)]
pub struct Returned {
    /// Counterparts that the bridge had created, and that are back, or may come back with their parent.
    pub own: Vec<(Source, RecordId)>,
    /// Records whose counterparts may have come back because their parent's did.
    pub along: Vec<Source>,
}

/// A record that names another as its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Child {
    pub pipeline: PipelineId,
    pub record: RecordId,
    pub parent: RecordId,
}

/// Counters of one pipeline since the process started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Parts taken from the journal.
    pub parts: u64,
    /// Parts that need no write.
    pub skipped: u64,
    /// Writes that the target confirmed.
    pub applied: u64,
    /// Records that were parked, as waiting or as failed.
    pub parked: u64,
    /// Records that were read whole.
    pub reads: u64,
    /// Writes that found their counterpart gone, and left it so.
    pub left_gone: u64,
    /// Deletes that were not made, because the bridge is not known to have created the counterpart.
    pub kept: u64,
    /// Records that a job read, and that the target holds as they are.
    pub equal: u64,
}

#[derive(Debug)]
struct Line {
    mapping: Arc<Mapping>,
    progress: Progress,
    /// The watermark that was put into a settlement last.
    committed: Seq,
    counts: Counts,
    brake: Brake,
}

/// A record with something unsettled.
#[derive(Debug, Default)]
struct Active {
    /// Its unsettled parts.
    tracked: BTreeSet<Seq>,
    /// Parts up to here are covered by what was offered.
    covered: Seq,
    reading: Option<Reading>,
    /// What was read of it last was another try of a parked record.
    had_row: bool,
    /// Reads that may be on their way to the target: up to where each stands, and what it was made for.
    reads: Vec<(Seq, Through)>,
    /// A person wants it tried again, and its next read does that.
    redriven: bool,
    /// Parts that wait for their turn, where each is written by itself. Empty while the record is being read.
    steps: VecDeque<Part>,
}

/// See the module.
#[derive(Debug)]
pub struct Machine {
    late_landing: Duration,
    /// Wall-clock time as of the last tick, for rows that people read.
    wall: Timestamp,
    lines: BTreeMap<PipelineId, Line>,
    active: HashMap<Source, Active>,
    readings: Readings,
    outbox: Outbox,
    /// What lookups lead to.
    remembered: Remembered,
    /// Records whose next step may be taken.
    stepping: BTreeSet<Source>,
    /// Steps that wait, of all records.
    held: usize,
    /// Counterparts that the bridge had created, and that came back from the recycle bin, until the link says so.
    returned: HashMap<Source, RecordId>,
    suspects: HashMap<Source, Instant>,
    /// Suspects whose time was over, but what was to end it was parked: their next read ends it, whenever that comes.
    unsure: HashSet<Source>,
    due: BTreeSet<(Instant, Source)>,
    settlement: Settlement,
    /// Sources with a row in the settlement that is not committed yet.
    just_parked: HashSet<Source>,
    /// Rows of the settlement that was taken last, and the parent that each waits for.
    parked_last: HashMap<Source, Parent>,
    /// Parents that have a link and were written again because the target did not find them, and when.
    remade: HashMap<Parent, Instant>,
    /// Parents without one that were fetched for a child, and when.
    fetched: HashMap<Parent, Instant>,
    /// Records that are to be written without these parents first, for those wait for them.
    circles: HashMap<Source, Vec<Parent>>,
    /// While a job asks the orgs: records that were written meanwhile, so that what it hears of them may be older.
    touched: Option<HashSet<Source>>,
}

impl Machine {
    /// `look_again`: how long it is believed that a lookup leads to nothing.
    pub fn new(late_landing: Duration, look_again: Duration) -> Self {
        Self {
            late_landing,
            wall: Timestamp(0),
            lines: BTreeMap::new(),
            active: HashMap::new(),
            readings: Readings::default(),
            outbox: Outbox::default(),
            remembered: Remembered::new(look_again),
            stepping: BTreeSet::new(),
            held: 0,
            returned: HashMap::new(),
            suspects: HashMap::new(),
            unsure: HashSet::new(),
            due: BTreeSet::new(),
            settlement: Settlement::default(),
            just_parked: HashSet::new(),
            parked_last: HashMap::new(),
            remade: HashMap::new(),
            fetched: HashMap::new(),
            circles: HashMap::new(),
            touched: None,
        }
    }

    pub fn add_pipeline(&mut self, id: PipelineId, mapping: Arc<Mapping>, watermark: Seq) {
        let line = Line {
            mapping,
            progress: Progress::new(watermark),
            committed: watermark,
            counts: Counts::default(),
            brake: Brake::new(&NO_BRAKES, false, Seq::ZERO),
        };
        self.lines.insert(id, line);
    }

    /// When a pipeline stops by itself; whether it is stopped already; and what a person let pass, up to which number.
    pub fn set_brakes(&mut self, id: PipelineId, brakes: &Brakes, halted: bool, passes_to: Seq) {
        if let Some(line) = self.lines.get_mut(&id) {
            line.brake = Brake::new(brakes, halted, passes_to);
        }
    }

    /// The same rules, with newer types. What is not written yet was mapped by the older ones, so it is read and mapped anew.
    pub fn set_mapping(&mut self, id: PipelineId, mapping: Arc<Mapping>, now: Instant) {
        let Some(line) = self.lines.get_mut(&id) else { return };
        line.mapping = mapping;
        self.outbox.remap(id, now);
        self.collect(now);
    }

    /// A record that was parked from this number on because its pipeline was halted; now it goes on.
    pub fn release(&mut self, source: Source, from: Seq, now: Instant) {
        self.read(source, from, false, true, now);
    }

    /// A row of `sent` found at the start: its request may still land, until `until` if that is known already.
    pub fn add_suspect(&mut self, source: Source, until: Option<Instant>, now: Instant) {
        match until {
            Some(at) => {
                self.suspects.insert(source, at);
                self.due.insert((at, source));
            }
            None => self.lost(source, now),
        }
    }

    /// A parked record whose parent has come, or that changed after its last try.
    pub fn wake(&mut self, source: Source, now: Instant) {
        // It is woken again when the pipeline goes on.
        if self.is_halted(source.pipeline) {
            return;
        }
        match self.active.get_mut(&source).and_then(|active| active.reading.as_mut()) {
            Some(reading) if reading.is_out() => {
                reading.again = true;
                reading.because = Because::Several;
            }
            Some(_) | None => self.read(source, Seq::ZERO, false, true, now),
        }
    }

    /// A parked record that a person wants tried again.
    pub fn redrive(&mut self, source: Source, now: Instant) {
        self.wake(source, now);
        if let Some(active) = self.active.get_mut(&source) {
            active.redriven = true;
        }
    }

    /// The store says that the parent of this parked record has a link.
    ///
    /// Where the row was parked just now, the org did not find a parent that has one: either it has landed since, or its
    /// counterpart is gone or lost its key. Then the parent is written again, and its link wakes the child; trying the
    /// child alone could go on for ever.
    pub fn woken(&mut self, source: Source, now: Instant) {
        let Some(parent) = self.parked_last.remove(&source) else {
            self.wake(source, now);
            return;
        };
        if self.remade.get(&parent).is_some_and(|last| *last + TRY_AGAIN > now) {
            // It was written just now. Where that did not help, asking on and on would not either.
            self.read(source, Seq::ZERO, false, true, now + WOKEN_AGAIN);
            return;
        }
        self.remade.insert(parent.clone(), now);
        for maker in self.makers_of(&parent, source.pipeline) {
            self.read(maker, Seq::ZERO, false, false, now);
        }
    }

    /// A record that was written without a lookup that can perhaps be filled now. `told`: its parent has a link, so one that
    /// the org did not find just now is written again, as for [`Self::woken`].
    pub fn fill(&mut self, source: Source, told: bool, now: Instant) {
        if told && let Some(parent) = self.parked_last.get(&source) {
            // Where that does not help, whatever is overdue is tried again, each time later.
            if self.remade.get(parent).is_none_or(|last| *last + TRY_AGAIN <= now) {
                self.woken(source, now);
            } else {
                self.parked_last.remove(&source);
            }
        } else if !self.is_halted(source.pipeline) {
            // It holds no parts, as a parked row does; and what is being read already knows of the parent when it is mapped.
            self.read(source, Seq::ZERO, false, false, now);
        }
    }

    /// What a stretch must be told: ask the store, and give the answers back with it.
    pub fn questions(&self, parts: &[(PipelineId, Part)]) -> HashMap<PipelineId, Question> {
        let mut questions: HashMap<PipelineId, Question> = HashMap::new();
        for (pipeline, part) in parts {
            let Some(line) = self.lines.get(pipeline) else { continue };
            let question = questions.entry(*pipeline).or_default();
            question.records.push(part.record);
            question.parents.extend(line.mapping.parents_of(part));
        }
        for question in questions.values_mut() {
            question.records.sort_unstable();
            question.records.dedup();
            question.parents.sort_unstable();
            question.parents.dedup();
        }
        questions
    }

    /// The same for the answer to a read: also for the parts that joined it.
    pub fn question_of_read(&self, read: &Read, found: &[Record]) -> Question {
        let Some(line) = self.lines.get(&read.pipeline) else { return Question::default() };
        let records = read.what.records();
        let mut parents: Vec<Parent> = found.iter().flat_map(|record| line.mapping.parents_of_read(record)).collect();
        for record in &records {
            let joined = self.active.get(&Source { pipeline: read.pipeline, record: *record });
            let joined = joined.and_then(|active| active.reading.as_ref()).map(|reading| &reading.joined);
            parents.extend(joined.into_iter().flatten().flat_map(|part| line.mapping.parents_of(part)));
        }
        parents.sort_unstable();
        parents.dedup();
        Question { records, parents }
    }

    /// Takes the next stretch of the journal.
    pub fn stretch(&mut self, stretch: Stretch, now: Instant) {
        let unasked = Answer::default();
        for (pipeline, part) in stretch.parts {
            let answer = stretch.answers.get(&pipeline).unwrap_or(&unasked);
            self.part(pipeline, part, answer, now);
        }
        self.lines.values_mut().for_each(|line| line.progress.scanned_to(stretch.to));
        self.collect(now);
    }

    fn part(&mut self, pipeline: PipelineId, part: Part, answer: &Answer, now: Instant) {
        let source = Source { pipeline, record: part.record };
        let Some(line) = self.lines.get_mut(&pipeline) else { return };
        line.counts.parts += 1;
        if answer.applied.get(&part.record).is_some_and(|applied| part.seq <= applied.seq) {
            return;
        }
        let active = self.active.entry(source).or_default();
        // An event may name a record twice.
        if active.tracked.insert(part.seq) {
            line.progress.add(part.seq, part.change.header.commit_timestamp);
        }
        if part.seq <= active.covered && self.outbox.key_of(source).is_some() {
            return;
        }
        if let Some(reading) = &mut active.reading {
            let (record, seq, is_delete) = (part.record, part.seq, part.kind().is_delete());
            if reading.join(part) {
                self.settlement.widen.push((pipeline, record, seq));
                self.untrack(source, seq);
            }
            if is_delete {
                self.hasten(source, now);
            }
            return;
        }
        match answer.parked.get(&part.record) {
            Some(row) => self.join_parked(source, row.from, not_again_before(row.tried_at, self.wall), &part, now),
            // Parked by an earlier part of this stretch, so the answer does not know it yet.
            None if self.just_parked.contains(&source) => self.join_parked(source, part.seq, TRY_AGAIN, &part, now),
            None => self.take(source, &part, answer, now),
        }
    }

    /// A part of a record that is parked joins the row, and the record is tried again, at most once a minute.
    /// A delete is not a change that may fail the same way, so it is tried at once.
    fn join_parked(&mut self, source: Source, from: Seq, again: Duration, part: &Part, now: Instant) {
        let at = if part.kind().is_delete() { now } else { now + again };
        self.settlement.widen.push((source.pipeline, source.record, part.seq));
        let is_feedback = self.lines.get(&source.pipeline).is_some_and(|line| line.mapping.is_feedback(part));
        if !self.is_halted(source.pipeline) && !is_feedback {
            self.read(source, from, false, true, at);
            self.note_undelete(source, part);
            self.note_key(source, part);
            // As where it joins a read: the row may be older than a delete that went out before a crash.
            if reading::is_undelete(part) && self.loses_children(source.pipeline) {
                self.children_first(source, None, now);
            }
        }
        self.untrack(source, part.seq);
    }

    /// Maps a part and does what mapping says, or lets it wait for its turn.
    fn take(&mut self, source: Source, part: &Part, answer: &Answer, now: Instant) {
        if !self.waits_for_its_turn(source, part) {
            self.take_now(source, part, answer, now);
        }
    }

    fn take_now(&mut self, source: Source, part: &Part, answer: &Answer, now: Instant) {
        let Some(line) = self.lines.get_mut(&source.pipeline) else { return };
        if !part.kind().is_delete() && stays_deleted(&line.mapping, &self.outbox, source, answer) {
            line.counts.skipped += 1;
            let cover = Cover { source, from: part.seq, to: part.seq, clears_suspect: false };
            self.remember_stays_deleted(cover);
            self.untrack_only(source, part.seq);
            return;
        }
        if reading::is_undelete(part) && self.loses_children(source.pipeline) {
            // Its counterpart is deleted, or will be, and whoever names it as parent loses it there.
            self.read(source, part.seq, false, false, now);
            self.note_undelete(source, part);
            self.children_first(source, None, now);
            return;
        }
        // Its counterpart was made by a read before this came, and may be deleted already: the read asks who went along.
        let is_create = matches!(part.kind(), ChangeKind::Create);
        if is_create && self.went_with_children(source, answer)
            || part.kind().is_delete() && self.moves_children(source.pipeline)
        {
            self.read(source, part.seq, false, false, now);
            self.because(source, part);
            return;
        }
        let Some(line) = self.lines.get_mut(&source.pipeline) else { return };
        let known = Known {
            link: link_of(&self.outbox, source, answer),
            parents: &answer.parents,
            replies: self.remembered.replies(),
        };
        let cover = Cover { source, from: part.seq, to: part.seq, clears_suspect: false };
        match line.mapping.apply(part, &known, cover) {
            Mapped::Write(write) => match self.judged(*write, source, answer) {
                Some(write) => {
                    // A change writes what changed.
                    let rekeys = matches!(write.body, Body::Partial(_));
                    if self.offer(write, rekeys, now)
                        && let Some(active) = self.active.get_mut(&source)
                    {
                        active.covered = part.seq;
                    }
                }
                None => self.untrack_only(source, part.seq),
            },
            Mapped::Needs(Needs::Record | Needs::Lookups) => {
                self.read(source, part.seq, false, false, now);
                self.because(source, part);
            }
            Mapped::Needs(Needs::TargetOf { key }) => self.look_up(cover, key, LookUp::Gone, now),
            Mapped::Skipped(skip) => {
                line.counts.skipped += 1;
                self.remember_left_out(cover, skip, &known.link);
                // Only this part: older ones may still wait for the target.
                self.untrack_only(source, part.seq);
            }
            Mapped::Failed(failure) => {
                let refusal = unmappable(failure);
                self.park_from_oldest(cover, &refusal, now);
                self.one_more_failed(cover, &refusal.code);
            }
            Mapped::Waits(failure) => self.park_from_oldest(cover, &waits(failure), now),
        }
        // What the outbox refuses to hold must be known before the record's next part is looked at.
        self.collect(now);
    }

    /// Hands a write to the outbox. False: its pipeline is halted, or is halted by it, and its record is parked. `rekeys`: if
    /// the key is in it, a counterpart gets another value there.
    fn offer(&mut self, write: Write, rekeys: bool, now: Instant) -> bool {
        self.offer_counted(write, rekeys, true, now)
    }

    /// As [`Self::offer`]; `counted`: what it creates counts for the brakes.
    fn offer_counted(&mut self, write: Write, rekeys: bool, counted: bool, now: Instant) -> bool {
        let mut halted = false;
        // As it is mapped, a write covers one record; only waiting writes merge.
        for pipeline in write.covers.iter().map(|cover| cover.source.pipeline) {
            let Some(line) = self.lines.get_mut(&pipeline) else { continue };
            if !line.brake.is_halted() {
                let is_counted = counted || matches!(write.body, Body::Delete);
                let why = is_counted.then(|| line.brake.about_to(&write, now)).flatten();
                let rekeys = rekeys && write.fields().is_some_and(|fields| fields.contains_key(&write.key_field));
                let halts = rekeys && line.mapping.publishing.key_changes == KeyChanges::Halt;
                let why = why.or_else(|| halts.then(|| line.brake.rekeyed(&write)).flatten());
                self.settlement.halts.extend(why.map(|why| (pipeline, why, self.wall)));
            }
            halted |= line.brake.is_halted();
        }
        if !halted {
            self.outbox.offer(write, now);
            return true;
        }
        let refusal = pipeline_halted();
        for cover in write.covers {
            self.park_from_oldest(cover, &refusal, now);
        }
        false
    }

    /// What waits below it would be passed over by the watermark.
    fn park_from_oldest(&mut self, cover: Cover, refusal: &Refusal, now: Instant) {
        let oldest = self.active.get(&cover.source).and_then(|active| active.tracked.first()).copied();
        let from = oldest.map_or(cover.from, |oldest| oldest.min(cover.from));
        self.park(Cover { from, ..cover }, refusal, false, now);
    }

    /// True: its pipeline is halted because of it.
    fn one_more_failed(&mut self, cover: Cover, code: &str) -> bool {
        let pipeline = cover.source.pipeline;
        // Another try of one that had failed before tells nothing new.
        let again = self.active.get(&cover.source).is_some_and(|active| active.had_row);
        let line = self.lines.get_mut(&pipeline).filter(|_| !again);
        let why = line.and_then(|line| line.brake.failed(cover.to, code));
        let halted = why.is_some();
        self.settlement.halts.extend(why.map(|why| (pipeline, why, self.wall)));
        halted
    }

    fn is_stopped(&self, pipeline: PipelineId) -> bool {
        self.lines.get(&pipeline).is_some_and(|line| line.brake.is_stopped())
    }

    /// Nothing of it may be written.
    pub fn is_halted(&self, pipeline: PipelineId) -> bool {
        self.lines.get(&pipeline).is_some_and(|line| line.brake.is_halted())
    }

    pub fn next_batch(&mut self, now: Instant) -> Option<Batch> {
        let batch = self.outbox.next_batch(now);
        self.collect(now);
        batch
    }

    /// From so many waiting records of one object on they go by a job of the Bulk API; none: never.
    pub fn set_bulk(&mut self, threshold: Option<usize>) {
        self.outbox.set_bulk(threshold);
    }

    /// What a job said of itself. To be told before [`Machine::batch_done`].
    pub fn job_told(&mut self, batch: &Batch, trouble: Option<JobTrouble>, now: Instant) {
        self.outbox.job_told(batch.flight, &batch.call, trouble, now);
    }

    /// The target's verdicts on a batch.
    pub fn batch_done(&mut self, flight: FlightId, verdicts: Vec<Verdict>, now: Instant) {
        let outdated = |verdict: &Verdict| match verdict {
            Verdict::Refused(refusal) => OUTDATED.contains(&refusal.code.as_str()),
            _ => false,
        };
        if verdicts.iter().any(outdated) {
            self.doubt_replies(flight, now);
        }
        let pipelines = self.outbox.pipelines_of(flight);
        self.outbox.settle(flight, verdicts, now);
        self.collect(now);
        // What came back to a pipeline that most of its records' failing has halted is not sent again.
        for pipeline in pipelines.into_iter().filter(|id| self.is_stopped(*id)).collect::<Vec<_>>() {
            self.outbox.withdraw(pipeline, &pipeline_halted(), now);
        }
        self.collect(now);
    }

    /// Calls for an object are refused whoever is in them. Where they take the room of others, the pipelines that write it
    /// are halted: what waits is parked, and the others go on.
    pub fn keep_room(&mut self, object: &ObjectName, why: &str, now: Instant) {
        if self.outbox.has_much_room() {
            return;
        }
        for (id, line) in self.lines.iter_mut().filter(|(_, line)| line.mapping.target_object == *object) {
            self.settlement.halts.extend(line.brake.stop(why).map(|why| (*id, why, self.wall)));
            self.outbox.withdraw(*id, &pipeline_halted(), now);
        }
        self.collect(now);
    }

    /// What lookups led to may not be so any more: what waits and what is out may be based on the same, and is asked and
    /// mapped anew.
    fn doubt_replies(&mut self, flight: FlightId, now: Instant) {
        let mut searching = self.outbox.pipelines_of(flight);
        searching.retain(|id| self.lines.get(id).is_some_and(|line| line.mapping.searches()));
        if !searching.is_empty() && self.remembered.doubt(now) {
            searching.into_iter().for_each(|id| self.outbox.remap(id, now));
        }
    }

    /// The target refuses everything until then.
    pub fn pause(&mut self, until: Instant) {
        self.outbox.pause(until);
    }

    /// How long the first waiting write of a call waits for company.
    pub fn set_linger(&mut self, linger: Duration) {
        self.outbox.set_linger(linger);
    }

    /// The target refuses calls of this kind until then. True: it does so for the second time and more.
    pub fn hold(&mut self, call: &Call, until: Instant) -> bool {
        self.outbox.hold(call, until)
    }

    /// The most records of an object in one call, and what had been found to be possible before the start.
    pub fn set_batch_size(&mut self, object: &ObjectName, most: usize, found: Option<usize>) {
        self.outbox.set_batch_size(object, most, found);
    }

    /// What time it is. Suspects whose lost requests can no longer land are read and written once more.
    pub fn tick(&mut self, now: Instant, wall: Timestamp) {
        self.wall = wall;
        self.remembered.age(now);
        for known in [&mut self.remade, &mut self.fetched] {
            if known.len() > REMADE_MAX {
                known.retain(|_, last| *last + TRY_AGAIN > now);
            }
        }
        while let Some(&(at, source)) = self.due.first() {
            if at > now {
                break;
            }
            self.due.remove(&(at, source));
            if self.is_stepping(source) {
                // A read would stand for the steps; they come first.
                self.suspects.insert(source, now + STEPS_FIRST);
                self.due.insert((now + STEPS_FIRST, source));
            } else {
                self.read(source, Seq::ZERO, true, false, now);
            }
        }
    }

    /// The next time at which something is due. Reads and calls that may not be made now count for nothing.
    pub fn wakeup(&self, may_read: bool, may_send: bool) -> Option<Instant> {
        let due = self.due.first().map(|(at, _)| *at);
        let reads = self.readings.wakeup().filter(|_| may_read);
        let sends = self.outbox.wakeup().filter(|_| may_send);
        [sends, due, reads].into_iter().flatten().min()
    }

    /// What must be committed before anything else is done, if there is anything.
    pub fn take_settlement(&mut self) -> Option<Settlement> {
        for (id, line) in &mut self.lines {
            let watermark = line.progress.watermark();
            if watermark > line.committed {
                line.committed = watermark;
                self.settlement.watermarks.push((*id, watermark));
            }
        }
        self.just_parked.clear();
        let settlement = std::mem::take(&mut self.settlement);
        // Those that wait because their parent is made anew wait for just that link.
        let waiting =
            settlement.park.iter().filter(|row| row.code != PARENT_GONE).filter_map(|row| {
                Some((Source { pipeline: row.pipeline, record: row.record }, row.waits_for.clone()?))
            });
        let unfilled = settlement
            .unfilled
            .iter()
            .filter_map(|row| Some((Source { pipeline: row.pipeline, record: row.record }, row.parent.clone()?)));
        self.parked_last = waiting.chain(unfilled).collect();
        (settlement != Settlement::default()).then_some(settlement)
    }

    /// What the orgs answered to lookups, as long as it is believed.
    pub fn replies(&self) -> &Arc<Replies> {
        self.remembered.replies()
    }

    /// What the orgs answered beside a read.
    pub fn learn(&mut self, replies: Replies, now: Instant) {
        self.remembered.learn(replies, now);
    }

    /// Whether more pages should be asked for.
    pub fn has_room(&self) -> bool {
        self.outbox.has_room() && self.readings.has_room() && self.held < HELD_MAX
    }

    /// Everything up to `head` is settled, and nothing is suspect.
    pub fn is_caught_up(&self, head: Seq) -> bool {
        self.suspects.is_empty()
            && self.outbox.is_empty()
            && self.active.values().all(|active| active.reading.is_none())
            && self.lines.values().all(|line| line.progress.watermark() >= head)
    }

    pub fn suspects(&self) -> usize {
        self.suspects.len()
    }

    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Each pipeline's counters, how far it has scanned, and when its oldest unsettled part was committed.
    pub fn pipelines(&self) -> impl Iterator<Item = (PipelineId, &Counts, &Progress)> {
        self.lines.iter().map(|(id, line)| (*id, &line.counts, &line.progress))
    }

    /// Records that are being read, for each pipeline.
    pub fn reading(&self, mut each: impl FnMut(PipelineId)) {
        self.active.iter().filter(|(_, active)| active.reading.is_some()).for_each(|(source, _)| each(source.pipeline));
    }
}

/// Of these records, that were read, those whose counterparts may be in the target's recycle bin: an undelete told of them;
/// or the bridge has deleted their counterparts, and whatever they are read for now comes before their undelete is heard
/// of. `answer`: what the store knows of them.
pub fn came_back(read: impl Iterator<Item = RecordId>, revived: &[RecordId], answer: &Answer) -> Vec<RecordId> {
    let is_deleted = |record: &RecordId| {
        !answer.links.contains_key(record) && answer.applied.get(record).is_some_and(|applied| applied.tombstone)
    };
    read.filter(|record| revived.contains(record) || is_deleted(record)).collect()
}

/// `on_undelete: ignore`: the record was deleted in the target too, and what came of it since is nobody's business.
fn stays_deleted(mapping: &Mapping, outbox: &Outbox, source: Source, answer: &Answer) -> bool {
    mapping.publishing.on_undelete == OnUndelete::Ignore
        && answer.applied.get(&source.record).is_some_and(|applied| applied.tombstone)
        && link_of(outbox, source, answer) == LinkState::None
}

fn pipeline_halted() -> Refusal {
    Refusal {
        state: ParkedState::Waiting,
        code: PIPELINE_HALTED.to_owned(),
        fields: Vec::new(),
        waits_for: None,
        evidence: "Its pipeline is halted. It is written when the pipeline is resumed.".to_owned(),
    }
}

/// A failed record by its mapping alone.
fn unmappable(failure: Failure) -> Refusal {
    Refusal {
        state: ParkedState::Failed,
        code: failure.code.to_owned(),
        fields: vec![failure.field.map_or("when".to_owned(), |field| field.to_string())],
        waits_for: None,
        evidence: format!("It can not be written as it is mapped: {}.", failure.reason),
    }
}

/// What a lookup leads to may come.
fn waits(failure: Failure) -> Refusal {
    Refusal {
        state: ParkedState::Waiting,
        evidence: format!("It is written when what it leads to is there: {}.", failure.reason),
        ..unmappable(failure)
    }
}

/// How long a parked record is left alone after its last try.
fn not_again_before(tried_at: Timestamp, wall: Timestamp) -> Duration {
    let since = Duration::from_millis((wall.0 - tried_at.0).max(0).unsigned_abs());
    TRY_AGAIN.saturating_sub(since)
}

fn link_of(outbox: &Outbox, source: Source, answer: &Answer) -> LinkState {
    match outbox.key_of(source) {
        Some(Key::Record { id, .. }) => LinkState::Linked(*id),
        Some(key @ Key::External { .. }) => LinkState::Coming(key.clone()),
        None => answer.links.get(&source.record).map_or(LinkState::None, |id| LinkState::Linked(*id)),
    }
}

#[cfg(test)]
mod tests;
