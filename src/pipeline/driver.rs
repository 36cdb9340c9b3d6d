//! Runs a [`Machine`] against the store and the orgs: one task for each target org, which owns its requests.

mod past;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::asking::{Asking, Heard};
use super::jobs::{Failure, Running, Told, Wanted};
use super::machine::{Machine, Read, ReadWhat, Stretch};
use super::types::{Doubts, Remapped};
use crate::budget::Budget;
use crate::config::Brakes;
use crate::event::{Found, ObjectName, OrgName, Part, PipelineName, RecordId, Seq, Timestamp};
use crate::journal::{Scanned, scan};
use crate::mapping::Mapping;
use crate::org::{CallError, Code, JobTrouble, Org, SaveResult};
use crate::publish::budget::Allowance;
use crate::publish::bulk::{self, Ended, What};
use crate::publish::outcome::{Delays, Judgement, judge};
use crate::publish::{self, Batch, Lane, Source, Verdict};
use crate::retry::{Backoff, delay_after};
use crate::status::{Board, PipelineStatus, TargetStatus};
use crate::store::{Answer, JobNumber, ParkedState, PipelineId, PipelineRow, Store, StoreError};

/// Reads of the orgs at once.
const READS_MAX: usize = 4;
/// How often the status is brought up to date while things move.
const STATUS_EVERY: Duration = Duration::from_millis(200);
/// Parked records that are looked at together when a pipeline goes on.
const HELD_PAGE: usize = 500;
/// Records of a pipeline that are looked at again at once.
const OVERDUE_PAGE: usize = 1_000;
/// How soon a read is tried again whose source has no API budget left.
const BUDGET_AGAIN: Duration = Duration::from_secs(2);
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// One target org with the pipelines that write to it.
pub struct Target<S> {
    pub org: Org,
    pub budget: Budget,
    pub lines: Vec<Line>,
    pub store: S,
    pub head: watch::Receiver<Seq>,
    pub late_landing: Duration,
    /// How long the first waiting write of a call waits for company.
    pub linger: Duration,
    /// How soon what waits, or lacks a lookup, is looked at again.
    pub look_again: Duration,
    /// How long a record waits for its parent before it is a failed record.
    pub parent_wait: Duration,
    /// From so many waiting records of an object on they go by the Bulk API; none: never.
    pub bulk_from: Option<usize>,
    pub board: Board,
    /// For what the target refuses although it was described so.
    pub doubts: Doubts,
    /// Mappings with newer types.
    pub remapped: mpsc::UnboundedReceiver<Remapped>,
    /// Moves when a person asked for something that the store knows: failed records are to be tried again, there is a job.
    pub asked: watch::Receiver<u64>,
    /// Nothing is to be written there: what comes is read and mapped, as far as there is room, and waits.
    pub paused: bool,
}

/// One pipeline: where it reads, and what it makes of it.
pub struct Line {
    pub row: PipelineRow,
    pub source: Org,
    pub source_budget: Budget,
    pub mapping: Arc<Mapping>,
    pub brakes: Brakes,
}

#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a request failed in a way that it must not: {0}")]
    Request(String),
}

enum Done {
    Batch { batch: Batch, answer: Result<Vec<SaveResult>, CallError> },
    Job { batch: Batch, ended: Result<Ended, StoreError> },
    Read { read: Read, answer: Result<Heard, CallError>, calls: u64 },
    Past { wanted: Wanted, answer: Result<Told, Failure>, calls: u64 },
    Nothing,
}

/// Moves what is journaled into the target until cancelled; then settles what is in flight and returns. What waits stays
/// journaled.
///
/// # Errors
/// When the store fails: nothing can be remembered any more, so nothing more may be done.
pub async fn run<S: Store>(target: Target<S>, cancel: CancellationToken) -> Result<(), PipelineError> {
    let (board, name) = (target.board.clone(), target.org.name().clone());
    let trouble = |why| board.update(|status| status.targets.entry(name.clone()).or_default().trouble = Some(why));
    if !bulk::end_unfinished(&target.org, &target.store, &cancel, trouble).await? {
        return Ok(());
    }
    let from = target.lines.iter().map(|line| (line.row.id, line.row.watermark)).collect();
    let mut scanned = pin!(scan(target.store.clone(), from, target.head.clone()));
    let mut scan_ended = false;
    let mut driver = Driver::start(target, cancel.clone()).await?;
    loop {
        driver.advance(cancel.is_cancelled()).await?;
        if cancel.is_cancelled() && driver.batches == 0 {
            driver.show();
            // Reads hold the store; whoever opens it next finds it free.
            driver.tasks.shutdown().await;
            return Ok(());
        }
        let wakeup = driver.wakeup(cancel.is_cancelled());
        tokio::select! {
            biased; // the order is policy: stop, hear answers, take more, wait
            () = cancel.cancelled(), if !cancel.is_cancelled() => {}
            Some(done) = driver.tasks.join_next() => match done {
                Ok(done) => driver.done(done).await?,
                // A bug. Its records are in `sent`, and the next start finds them.
                Err(error) => return Err(PipelineError::Request(error.to_string())),
            },
            next = scanned.next(), if !scan_ended && !cancel.is_cancelled() && driver.machine.has_room() => match next {
                Some(scanned) => driver.take(scanned?).await?,
                None => scan_ended = true,
            },
            Some((id, mapping)) = driver.remapped.recv() => driver.remap(id, mapping),
            Ok(()) = driver.asked.changed() => (driver.redrives_due, driver.jobs_due) = (true, true),
            () = sleep_until(wakeup) => {}
        }
    }
}

struct Driver<S> {
    target: OrgName,
    org: Org,
    budget: Budget,
    sources: HashMap<PipelineId, (PipelineName, Org, Arc<Mapping>)>,
    source_budgets: HashMap<PipelineId, Budget>,
    linger: Duration,
    /// The target's API budget is used up.
    spent: bool,
    store: S,
    head: watch::Receiver<Seq>,
    board: Board,
    doubts: Doubts,
    remapped: mpsc::UnboundedReceiver<Remapped>,
    asked: watch::Receiver<u64>,
    /// There may be marked rows that nobody has taken.
    redrives_due: bool,
    /// The store may have a job.
    jobs_due: bool,
    /// When it is looked again whether another job can go on; none: there is none.
    jobs_again: Option<Instant>,
    /// The job that had its turn last and could not go on.
    last_job: Option<JobNumber>,
    /// The job that runs, of all pipelines here.
    job: Option<Running>,
    /// When it was looked last how far it is.
    job_looked: Instant,
    paused: bool,
    machine: Machine,
    cancel: CancellationToken,
    tasks: JoinSet<Done>,
    batches: usize,
    reads: usize,
    refusals: Backoff,
    read_failures: Backoff,
    trouble: Option<String>,
    /// Why records of a source could not be read.
    unread: Option<String>,
    /// Objects of which records are refused for what is not their fault, and what to do.
    refused: BTreeMap<ObjectName, String>,
    calls: BTreeMap<PipelineId, u64>,
    /// Records of each pipeline that wait, that failed, and that lack a lookup.
    parked: HashMap<PipelineId, [u64; 3]>,
    parked_moved: bool,
    /// Where to go on with what waited for a pipeline that was halted; none when all of it was looked at.
    held: Option<Option<(PipelineId, RecordId)>>,
    look_again: Duration,
    parent_wait: Duration,
    looked: Instant,
    shown: Instant,
}

impl<S: Store> Driver<S> {
    async fn start(target: Target<S>, cancel: CancellationToken) -> Result<Self, PipelineError> {
        let mut machine = Machine::new(target.late_landing, target.look_again);
        machine.set_bulk(target.bulk_from);
        let (now, wall) = (Instant::now(), Timestamp::now());
        machine.tick(now, wall);
        let mut sources = HashMap::new();
        for line in &target.lines {
            machine.add_pipeline(line.row.id, line.mapping.clone(), line.row.watermark);
            machine.set_brakes(line.row.id, &line.brakes, line.row.halted.is_some(), line.row.passes_to);
            let (object, most) = (&line.mapping.target_object, line.mapping.publishing.batch_size);
            machine.set_batch_size(object, most, line.row.batch_size);
            sources.insert(line.row.id, (line.row.identity.name.clone(), line.source.clone(), line.mapping.clone()));
        }
        for sent in target.store.sent().await?.into_iter().filter(|sent| sources.contains_key(&sent.pipeline)) {
            let left = |until: Timestamp| Duration::from_millis((until.0 - wall.0).max(0).unsigned_abs());
            let until = sent.suspect_until.map(|until| now + left(until).min(target.late_landing));
            machine.add_suspect(Source { pipeline: sent.pipeline, record: sent.record }, until, now);
        }
        for (pipeline, record) in target.store.restless().await? {
            machine.wake(Source { pipeline, record }, now);
        }
        if machine.suspects() > 0 {
            let records = machine.suspects();
            info!(target = %target.org.name(), records, "answers were lost when the bridge stopped; they are written again");
        }
        Ok(Self {
            target: target.org.name().clone(),
            org: target.org,
            budget: target.budget,
            sources,
            source_budgets: target.lines.iter().map(|line| (line.row.id, line.source_budget.clone())).collect(),
            linger: target.linger,
            spent: false,
            store: target.store,
            head: target.head,
            board: target.board,
            doubts: target.doubts,
            remapped: target.remapped,
            asked: target.asked,
            redrives_due: true,
            jobs_due: true,
            jobs_again: None,
            last_job: None,
            job: None,
            job_looked: now,
            paused: target.paused,
            machine,
            cancel,
            tasks: JoinSet::new(),
            batches: 0,
            reads: 0,
            refusals: Backoff::new(RETRY_FIRST, RETRY_MAX),
            read_failures: Backoff::new(RETRY_FIRST, RETRY_MAX),
            trouble: None,
            unread: None,
            refused: BTreeMap::new(),
            calls: BTreeMap::new(),
            parked: HashMap::new(),
            parked_moved: true,
            held: Some(None),
            look_again: target.look_again,
            parent_wait: target.parent_wait,
            looked: now,
            shown: now - STATUS_EVERY,
        })
    }

    /// Does all that can be done now: commits, sends, asks.
    async fn advance(&mut self, stopping: bool) -> Result<(), PipelineError> {
        self.machine.tick(Instant::now(), Timestamp::now());
        self.commit().await?;
        self.release(stopping).await?;
        self.look_again(stopping).await?;
        self.redrive(stopping).await?;
        self.past(stopping).await?;
        self.step().await?;
        while !stopping
            && !self.paused
            && self.may_call()
            && let Some(batch) = self.machine.next_batch(Instant::now())
        {
            // What leaves the outbox on the way must be safe before its neighbours go out.
            self.commit().await?;
            let covers = batch.writes.iter().flat_map(|write| &write.covers);
            let rows: Vec<_> = covers.map(|cover| (cover.source.pipeline, cover.source.record)).collect();
            self.store.sending(rows).await?;
            self.batches += 1;
            let (org, store, cancel) = (self.org.clone(), self.store.clone(), self.cancel.clone());
            match batch.lane {
                Lane::Collections => {
                    self.count_calls(&batch, 1);
                    self.tasks.spawn(async move {
                        let answer = publish::send(&org, &batch).await;
                        Done::Batch { batch, answer }
                    });
                }
                Lane::Bulk => {
                    info!(target = %self.target, object = %batch.call.object(), records = batch.writes.len(), "by Bulk API");
                    self.tasks.spawn(async move {
                        let ended = bulk::Run::new(&org, &store, &batch, &cancel).run().await;
                        Done::Job { batch, ended }
                    });
                }
            }
        }
        while self.reads < READS_MAX && !stopping && self.may_call() {
            let Some(read) = self.machine.next_read(Instant::now()) else { break };
            if self.source_waiting(read.pipeline).is_some() {
                self.machine.read_failed(read, Instant::now() + BUDGET_AGAIN);
                continue;
            }
            self.reads += 1;
            self.ask(read);
        }
        self.commit().await?;
        if self.shown.elapsed() >= STATUS_EVERY {
            if std::mem::take(&mut self.parked_moved) {
                let rows = self.store.pipelines().await?;
                self.parked = rows.into_iter().map(|row| (row.id, [row.parked, row.failed, row.unfilled])).collect();
            }
            self.show();
        }
        Ok(())
    }

    /// Whether the target's API budget allows for a call; and how long writes wait for company, that they are fewer.
    fn may_call(&mut self) -> bool {
        let (may, linger) = match self.budget.allowance() {
            Allowance::Go => (true, self.linger),
            Allowance::Larger { linger } => (true, linger.max(self.linger)),
            Allowance::Wait { .. } => (false, self.linger),
        };
        self.machine.set_linger(linger);
        self.spent = !may;
        may
    }

    /// Why the source of a pipeline may not be read now.
    fn source_waiting(&self, pipeline: PipelineId) -> Option<String> {
        self.source_budgets.get(&pipeline).and_then(Budget::waiting).map(|(_, why)| why)
    }

    /// What waited for a halted pipeline that goes on, a page at a time.
    async fn release(&mut self, stopping: bool) -> Result<(), StoreError> {
        while let Some(after) = self.held
            && !stopping
            && self.machine.has_room()
        {
            let page = self.store.held(after, HELD_PAGE).await?;
            self.held = page.last().map(|(pipeline, record, _)| Some((*pipeline, *record)));
            let now = Instant::now();
            for (pipeline, record, from) in page.into_iter().filter(|(id, ..)| self.sources.contains_key(id)) {
                self.machine.release(Source { pipeline, record }, from, now);
            }
        }
        Ok(())
    }

    /// What a person wants tried again, a page at a time.
    async fn redrive(&mut self, stopping: bool) -> Result<(), StoreError> {
        let pipelines: Vec<PipelineId> = self.sources.keys().copied().collect();
        while self.redrives_due && !stopping && !self.paused && self.machine.has_room() {
            let page = self.store.take_redrives(&pipelines, HELD_PAGE).await?;
            self.redrives_due = !page.is_empty();
            let now = Instant::now();
            for (pipeline, record) in page {
                self.machine.redrive(Source { pipeline, record }, now);
            }
        }
        Ok(())
    }

    /// What waits, or lacks a lookup, and is tried again because of the time alone.
    async fn look_again(&mut self, stopping: bool) -> Result<(), StoreError> {
        // Where nothing may be written, they would be read again and again.
        if stopping || self.paused || self.looked.elapsed() < self.look_again || !self.machine.has_room() {
            return Ok(());
        }
        self.looked = Instant::now();
        // Each has a page of its own: where one source is down, what is due there stays due.
        for pipeline in self.sources.keys().copied().collect::<Vec<_>>() {
            let given_up = self.store.give_up_parents(pipeline, Timestamp::now().minus(self.parent_wait)).await?;
            if given_up > 0 {
                let pipeline = self.name(pipeline);
                warn!(pipeline, records = given_up, "failed records: their parents did not come in time");
                self.parked_moved = true;
            }
            let overdue = self.store.overdue(pipeline, Timestamp::now(), self.look_again, OVERDUE_PAGE).await?;
            let now = Instant::now();
            for record in overdue.woken {
                self.machine.wake(Source { pipeline, record }, now);
            }
            for record in overdue.fillable {
                self.machine.fill(Source { pipeline, record }, false, now);
            }
        }
        Ok(())
    }

    /// What waited for its turn. A step may need no write; then the next one's turn has come.
    async fn step(&mut self) -> Result<(), StoreError> {
        loop {
            let parts = self.machine.next_steps();
            if parts.is_empty() {
                return Ok(());
            }
            let answers = self.answers(&parts).await?;
            self.machine.steps(parts, &answers, Instant::now());
            self.commit().await?;
        }
    }

    async fn answers(&self, parts: &[(PipelineId, Part)]) -> Result<HashMap<PipelineId, Answer>, StoreError> {
        let mut answers = HashMap::new();
        for (pipeline, question) in self.machine.questions(parts) {
            answers.insert(pipeline, self.store.known(pipeline, question).await?);
        }
        Ok(answers)
    }

    /// Everything that was decided becomes durable before anything that follows from it is done.
    async fn commit(&mut self) -> Result<(), StoreError> {
        while let Some(settlement) = self.machine.take_settlement() {
            let any = self.parked.values().any(|counts| *counts != [0; 3]);
            self.parked_moved |= !settlement.park.is_empty()
                || !settlement.unfilled.is_empty()
                || (any && !(settlement.close.is_empty() && settlement.filled.is_empty()));
            let halts: Vec<_> = settlement.halts.iter().map(|(id, why, _)| (*id, why.clone())).collect();
            for (pipeline, why) in &halts {
                let name = self.name(*pipeline);
                error!(pipeline = name, "halted: {why}. If that is meant: `orgbridge resume {name}`");
            }
            for row in settlement.park.iter().filter(|row| row.state == ParkedState::Failed) {
                let (pipeline, fields) = (self.name(row.pipeline), row.fields.join(", "));
                warn!(pipeline, record = %row.record, code = row.code, fields, "failed record");
            }
            let settled = self.store.settle(settlement).await?;
            // Whoever sees it may resume it.
            for (pipeline, why) in halts {
                if let Some((name, ..)) = self.sources.get(&pipeline) {
                    self.board.update(|status| {
                        if let Some(shown) = status.pipelines.get_mut(name) {
                            shown.halted = Some(why);
                        }
                    });
                }
            }
            let now = Instant::now();
            for (pipeline, record) in settled.woken {
                self.machine.woken(Source { pipeline, record }, now);
            }
            for (pipeline, record) in settled.fillable {
                self.machine.fill(Source { pipeline, record }, true, now);
            }
            for (pipeline, record, parent) in settled.circles {
                self.machine.break_circle(Source { pipeline, record }, parent, now);
            }
            self.machine.fetch_parents(now);
        }
        Ok(())
    }

    fn ask(&mut self, read: Read) {
        let Some((_, source, mapping)) = self.sources.get(&read.pipeline).cloned() else { return };
        let lines = self.sources.iter().map(|(id, (_, source, mapping))| (*id, (source.clone(), mapping.clone())));
        let asking = Asking {
            source: source.clone(),
            target: self.org.clone(),
            mapping,
            lines: lines.collect(),
            store: self.store.clone(),
            replies: self.machine.replies().clone(),
            may_restore: !self.paused,
        };
        let target = self.org.clone();
        self.tasks.spawn(async move {
            let before = source.api_calls() + target.api_calls();
            let answer = asking.answer(&read).await;
            // Calls of neighbours are counted in: it is a figure for people, not an account.
            let calls = (source.api_calls() + target.api_calls()).saturating_sub(before).min(8);
            Done::Read { read, answer, calls }
        });
    }

    async fn done(&mut self, done: Done) -> Result<(), PipelineError> {
        match done {
            Done::Batch { batch, answer } => {
                self.batches -= 1;
                self.batch_done(&batch, &answer);
            }
            Done::Job { batch, ended } => {
                self.batches -= 1;
                let Ended { what, calls } = ended?;
                self.count_calls(&batch, calls);
                self.job_done(&batch, what).await?;
            }
            Done::Nothing => {}
            Done::Past { wanted, answer, calls } => self.past_done(wanted, answer, calls).await?,
            Done::Read { read, answer, calls } => {
                self.reads -= 1;
                *self.calls.entry(read.pipeline).or_default() += calls;
                self.read_done(read, answer).await?;
            }
        }
        Ok(())
    }

    /// A batch can have records of several pipelines; it counts for one.
    fn count_calls(&mut self, batch: &Batch, calls: u64) {
        let first = batch.writes.iter().flat_map(|write| &write.covers).next();
        if let Some(cover) = first {
            *self.calls.entry(cover.source.pipeline).or_default() += calls;
        }
    }

    async fn job_done(&mut self, batch: &Batch, what: What) -> Result<(), StoreError> {
        let now = Instant::now();
        match what {
            What::Told { told, job } => {
                self.refusals.reset();
                self.job_told(batch, told.trouble, now);
                if told.results().any(|result| self.doubts_result(batch, result)) {
                    self.doubts.raise(&self.target, batch.call.object());
                }
                let record = |tries| delay_after(tries, RETRY_FIRST, RETRY_MAX);
                let judgement = bulk::judge(batch, &told, now, Delays { record, target: Duration::ZERO });
                self.trouble = None;
                self.judged(batch, judgement, now);
                // What it did is settled first: a job that is forgotten too early would be one that nobody ends.
                self.commit().await?;
                if let Some(job) = job {
                    self.store.bulk_ended(&job).await?;
                }
            }
            What::NotBegun(error) => self.batch_done(batch, &Err(error)),
            What::Unknown => {
                self.job_told(batch, Some(JobTrouble::Failing), now);
                let verdicts = vec![Verdict::Unknown { at: now }; batch.writes.len()];
                self.judged(batch, Judgement { verdicts, pause: None, hold: None, remedy: None }, now);
            }
            // Its records are in `sent`, and the job is known: the next start looks after both.
            What::Left => {}
        }
        Ok(())
    }

    fn job_told(&mut self, batch: &Batch, trouble: Option<JobTrouble>, now: Instant) {
        let (object, records) = (batch.call.object(), batch.writes.len());
        match trouble {
            None => debug!(target = %self.target, %object, records, "written by Bulk API"),
            Some(JobTrouble::TooMuch) => {
                warn!(target = %self.target, %object, records, "a Bulk API job broke off: the rest goes out in smaller ones");
            }
            Some(JobTrouble::LineBreaks) => {
                warn!(target = %self.target, %object, "the Bulk API does not take line breaks: records with them go by collections");
            }
            Some(JobTrouble::UnknownField) => {
                warn!(target = %self.target, %object, "a Bulk API job was refused for a field that is not there or may not be written: all goes by collections for ten minutes, which tell which records have it");
            }
            Some(JobTrouble::Quota) => {
                warn!(target = %self.target, "the Bulk API allocation of 24 hours is spent: all goes by collections for an hour");
            }
            Some(JobTrouble::NotOffered) => {
                warn!(target = %self.target, %object, "the org takes no such job by Bulk API: all goes by collections until the next start");
            }
            Some(JobTrouble::Failing) => {
                warn!(target = %self.target, %object, "Bulk API jobs fail without a word: all goes by collections for ten minutes");
            }
        }
        self.machine.job_told(batch, trouble, now);
    }

    fn batch_done(&mut self, batch: &Batch, answer: &Result<Vec<SaveResult>, CallError>) {
        let now = Instant::now();
        if self.doubts_fields(batch, answer) {
            self.doubts.raise(&self.target, batch.call.object());
        }
        let target_delay = if answer.is_ok() { Duration::ZERO } else { self.refusals.next_delay() };
        let record = |tries| delay_after(tries, RETRY_FIRST, RETRY_MAX);
        let judgement = judge(batch, answer, now, Delays { record, target: target_delay });
        match answer {
            Ok(_) => {
                self.refusals.reset();
                self.trouble = None;
                debug!(target = %self.target, call = ?batch.call, records = batch.writes.len(), "written");
            }
            Err(error) => {
                warn!(target = %self.target, call = ?batch.call, records = batch.writes.len(), %error, "not written");
                self.trouble = Some(judgement.remedy.clone().unwrap_or_else(|| error.to_string()));
            }
        }
        self.judged(batch, judgement, now);
    }

    fn judged(&mut self, batch: &Batch, judgement: Judgement, now: Instant) {
        let is_done = |verdict: &Verdict| matches!(verdict, Verdict::Saved { .. } | Verdict::Deleted);
        match judgement.remedy {
            Some(ref remedy) if judgement.pause.is_none() => {
                self.refused.insert(batch.call.object().clone(), remedy.clone());
            }
            None if judgement.verdicts.iter().any(is_done) => drop(self.refused.remove(batch.call.object())),
            Some(_) | None => {}
        }
        if let Some(pause) = judgement.pause {
            self.machine.pause(now + pause);
        }
        if let Some(hold) = judgement.hold
            && self.machine.hold(&batch.call, now + hold)
            && let Some(remedy) = &judgement.remedy
        {
            self.machine.keep_room(batch.call.object(), remedy, now);
        }
        self.machine.batch_done(batch.flight, judgement.verdicts, now);
    }

    /// Whether the answer says that the object has other fields than it was described with.
    fn doubts_fields(&self, batch: &Batch, answer: &Result<Vec<SaveResult>, CallError>) -> bool {
        match answer {
            Ok(results) => results.iter().any(|result| self.doubts_result(batch, result)),
            Err(error) => error.code().is_some_and(|code| self.doubts_code(batch, code)),
        }
    }

    fn doubts_result(&self, batch: &Batch, result: &SaveResult) -> bool {
        match result {
            SaveResult::Refused(refusal) => refusal.errors().any(|error| self.doubts_code(batch, &error.code)),
            SaveResult::Saved { .. } => false,
        }
    }

    fn doubts_code(&self, batch: &Batch, code: &Code) -> bool {
        let cuts = |mapping: &Mapping| mapping.target_object == *batch.call.object() && mapping.follows_lengths();
        match code {
            // Any source can have text that is too long, but not where it was cut.
            Code::StringTooLong => self.sources.values().any(|(.., mapping)| cuts(mapping)),
            code => code.doubts_fields(),
        }
    }

    fn remap(&mut self, id: PipelineId, newer: Arc<Mapping>) {
        let Some((name, _, mapping)) = self.sources.get_mut(&id) else { return };
        if mapping.types() != newer.types() {
            info!(pipeline = %name, "the target's fields are not as they were; what waits is mapped anew");
            *mapping = newer.clone();
            self.machine.set_mapping(id, newer, Instant::now());
        }
    }

    async fn read_done(&mut self, read: Read, answer: Result<Heard, CallError>) -> Result<(), StoreError> {
        let heard = match answer {
            Ok(heard) => heard,
            Err(error) => {
                let delay = self.read_failures.next_delay();
                warn!(pipeline = self.name(read.pipeline), %error, ?delay, "records could not be read");
                self.unread = Some(format!("records could not be read: {error}"));
                self.machine.read_failed(read, Instant::now() + delay);
                return Ok(());
            }
        };
        self.read_failures.reset();
        self.unread = None;
        // What was settled meanwhile must be in the answer.
        self.commit().await?;
        let records: Vec<_> = match &heard {
            Heard::Records(found, ..) => found.values().filter_map(Found::record).cloned().collect(),
            Heard::Targets(_) | Heard::Children(_) => Vec::new(),
        };
        let question = self.machine.question_of_read(&read, &records);
        let answer = self.store.known(read.pipeline, question).await?;
        let now = Instant::now();
        match heard {
            Heard::Records(found, replies, returned) => {
                self.machine.learn(replies, now);
                self.machine.returned(returned, now);
                self.machine.read_records(read, found, &answer, now);
            }
            Heard::Targets(held) => self.machine.read_targets(read, &held, &answer, now),
            Heard::Children(children) if matches!(read.what, ReadWhat::Moved { .. }) => {
                self.machine.read_moved(read, &children, now);
            }
            Heard::Children(children) => self.machine.read_children(read, &children, now),
        }
        Ok(())
    }

    async fn take(&mut self, scanned: Scanned) -> Result<(), StoreError> {
        self.commit().await?;
        let answers = self.answers(&scanned.parts).await?;
        let stretch = Stretch { parts: scanned.parts, to: scanned.to, answers };
        self.machine.stretch(stretch, Instant::now());
        Ok(())
    }

    fn wakeup(&self, stopping: bool) -> Instant {
        // While no call may be made, the time for one is no reason to wake up.
        let (may_read, may_send) = (self.reads < READS_MAX && !stopping, !self.paused && !stopping);
        let next = self.machine.wakeup(may_read, may_send).filter(|_| !self.spent);
        // A status that lags behind is brought up to date soon after.
        let status = self.shown + STATUS_EVERY;
        let now = Instant::now();
        let status = if status > now { status } else { now + STATUS_EVERY };
        next.map_or(status, |next| next.min(status))
    }

    fn name(&self, pipeline: PipelineId) -> &str {
        self.sources.get(&pipeline).map_or("", |(name, ..)| name.as_str())
    }

    fn show(&mut self) {
        self.shown = Instant::now();
        let (mut waiting, mut in_flight) = (HashMap::new(), HashMap::new());
        self.machine.outbox().count(|source, flying| {
            let counts: &mut HashMap<_, u64> = if flying { &mut in_flight } else { &mut waiting };
            *counts.entry(source.pipeline).or_default() += 1;
        });
        let mut to_be_read = BTreeSet::new();
        self.machine.reading(|pipeline| {
            to_be_read.insert(pipeline);
            *waiting.entry(pipeline).or_default() += 1;
        });
        let of_source = |id: &PipelineId| {
            let (_, source, _) = self.sources.get(id)?;
            Some(format!("records cannot be read: {} is {}", source.name(), self.source_waiting(*id)?))
        };
        let waits_for_budget = self.budget.waiting().map(|(_, why)| why);
        let waits_for_budget = waits_for_budget.or_else(|| to_be_read.iter().find_map(of_source));
        let head = *self.head.borrow();
        let caught_up = self.machine.is_caught_up(head);
        let now = Timestamp::now();
        self.board.update(|status| {
            for (id, counts, progress) in self.machine.pipelines() {
                let Some((name, _, _)) = self.sources.get(&id) else { continue };
                let Some(shown) = status.pipelines.get_mut(name) else { continue };
                let [parked, failed, unfilled] = self.parked.get(&id).copied().unwrap_or_default();
                let age = |at: Timestamp| Duration::from_millis((now.0 - at.0).max(0).unsigned_abs());
                if counts.kept > shown.kept {
                    let records = counts.kept - shown.kept;
                    debug!(pipeline = %name, records, "not deleted: the bridge is not known to have created them");
                }
                *shown = PipelineStatus {
                    channel: shown.channel.clone(),
                    target: shown.target.clone(),
                    taken: counts.parts,
                    waiting: waiting.get(&id).copied().unwrap_or_default(),
                    in_flight: in_flight.get(&id).copied().unwrap_or_default(),
                    applied: counts.applied,
                    parked,
                    failed,
                    unfilled,
                    left_gone: counts.left_gone,
                    kept: counts.kept,
                    api_calls: self.calls.get(&id).copied().unwrap_or_default(),
                    watermark: progress.watermark(),
                    halted: shown.halted.clone(),
                    lag: progress.oldest().map_or(Duration::ZERO, age),
                };
            }
            let refused = || self.refused.values().next().cloned();
            let trouble =
                waits_for_budget.or_else(|| self.trouble.clone()).or_else(refused).or_else(|| self.unread.clone());
            let shown = TargetStatus { caught_up, suspect: self.machine.suspects() as u64, trouble };
            status.targets.insert(self.target.clone(), shown);
        });
    }
}
