//! Bulk API 2.0: the jobs of one org, as a state machine (bulk2.md).
//!
//! `csv` reads and writes the tables, `job` is what all jobs have in common, `ingest` and `query` are the two kinds.
//! Nothing here has a socket or a clock; `rest::jobs` answers requests with it and does the work of jobs.

pub mod csv;
pub mod ingest;
pub mod job;
pub mod query;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use serde::{Deserialize, Serialize};

use super::org::Id;
use super::rest::Usage;
use csv::{Format, Sheet};
use ingest::{Ingest, Outcome, Spec};
use job::{Job, State};
use query::{QueryJob, Table};

/// Internal batches in 24 hours, and query jobs.
const DAILY_BATCHES: u64 = 15_000;
const DAILY_QUERY_JOBS: u64 = 10_000;

/// How jobs behave, as `/emulator/bulk` shows and takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Milliseconds before a job is started, and again before its first row.
    pub delay_ms: u64,
    /// Jobs wait before this row, until it is null or higher; before row 0 they are not even started.
    pub hold_at: Option<usize>,
    /// The next job fails once so many rows are done.
    pub fail_after_rows: Option<usize>,
    /// So many rows of the next ingest job fail with UNABLE_TO_LOCK_ROW.
    pub lock_rows: usize,
    /// Internal batches in 24 hours.
    pub daily_batches: u64,
    /// Query jobs in 24 hours.
    pub daily_query_jobs: u64,
}

impl Default for Settings {
    fn default() -> Self {
        let (daily_batches, daily_query_jobs) = (DAILY_BATCHES, DAILY_QUERY_JOBS);
        Self { delay_ms: 20, hold_at: None, fail_after_rows: None, lock_rows: 0, daily_batches, daily_query_jobs }
    }
}

/// Faults that one job takes upon itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    pub fail_after_rows: Option<usize>,
    pub lock_rows: usize,
}

/// Why a request for a job is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub status: u16,
    pub code: &'static str,
    pub message: String,
}

impl Refused {
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: 400, code, message: message.into() }
    }

    fn unknown() -> Self {
        Self { status: 404, ..Self::new("NOT_FOUND", "The requested resource does not exist") }
    }

    pub fn state(message: impl Into<String>) -> Self {
        Self::new("INVALIDJOBSTATE", message)
    }
}

/// Who asks for a job. Jobs of others are for those who manage the org's data.
#[derive(Debug, Clone, Copy)]
pub struct Viewer<'a> {
    pub user: &'a Id,
    pub manages: bool,
}

impl Viewer<'_> {
    fn may_see(&self, job: &Job) -> bool {
        self.manages || job.user == *self.user
    }
}

/// Who makes a job, and with what.
#[derive(Debug)]
pub struct Maker {
    pub user: Id,
    pub version: u32,
    pub format: Format,
}

#[derive(Debug)]
pub struct Store {
    settings: Settings,
    ingest: BTreeMap<Id, Ingest>,
    queries: BTreeMap<Id, QueryJob>,
    made: u64,
    batches: Usage,
    query_jobs: Usage,
    rng: fastrand::Rng,
}

impl Store {
    pub fn new(rng: fastrand::Rng) -> Self {
        Self {
            settings: Settings::default(),
            ingest: BTreeMap::new(),
            queries: BTreeMap::new(),
            made: 0,
            batches: Usage::new(Some(DAILY_BATCHES)),
            query_jobs: Usage::new(Some(DAILY_QUERY_JOBS)),
            rng,
        }
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub fn set(&mut self, settings: Settings) {
        (self.batches.daily, self.query_jobs.daily) = (settings.daily_batches, settings.daily_query_jobs);
        self.settings = settings;
    }

    /// The figures of `/limits`: internal batches and query jobs, each what may be and what was in 24 hours.
    pub fn usage(&self, now: i64) -> [(u64, u64); 2] {
        [&self.batches, &self.query_jobs].map(|usage| (usage.daily, usage.used(now)))
    }

    /// Ends and forgets jobs by their age.
    pub fn age(&mut self, now: i64) {
        self.ingest.retain(|_, ingest| ingest.job.age(now));
        self.queries.retain(|_, query| query.job.age(now));
    }

    /// A new job waits for its data, or has it and is started.
    ///
    /// # Errors
    /// When the day's batches are spent.
    pub fn create(&mut self, maker: Maker, spec: Spec, data: Option<Bytes>, now: i64) -> Result<&Ingest, Refused> {
        if self.batches.spent(now) {
            return Err(Refused::new("EXCEEDEDQUOTA", quota()));
        }
        let state = if data.is_some() { State::UploadComplete } else { State::Open };
        let job = self.new_job(maker, state, now);
        let seed = self.rng.u64(..);
        let ingest =
            Ingest { spec, data, sheet: None, outcomes: Arc::default(), failed: 0, active: 0, seed, job: job.clone() };
        Ok(self.ingest.entry(job.id).or_insert(ingest))
    }

    fn new_job(&mut self, maker: Maker, state: State, now: i64) -> Job {
        self.made += 1;
        let pod = maker.user.as_str().get(3..6).unwrap_or_default().to_owned();
        let id = Id::new("750", &pod, self.made);
        Job::new(id, maker.user, maker.version, maker.format, state, now)
    }

    /// # Errors
    /// When it is not there, or somebody else's.
    pub fn ingest(&mut self, id: &Id, viewer: Viewer<'_>) -> Result<&mut Ingest, Refused> {
        let ingest = self.ingest.get_mut(id).ok_or_else(Refused::unknown)?;
        if viewer.may_see(&ingest.job) { Ok(ingest) } else { Err(others(id)) }
    }

    /// Takes the data of an open job.
    ///
    /// # Errors
    /// When the job has some already, or is not open.
    pub fn upload(&mut self, id: &Id, viewer: Viewer<'_>, data: Bytes, now: i64) -> Result<(), Refused> {
        let ingest = self.ingest(id, viewer)?;
        if ingest.job.state != State::Open {
            let state = ingest.job.state.name();
            return Err(Refused::state(format!("Data can only be uploaded to a job in the state Open, not {state}")));
        }
        if ingest.data.is_some() {
            let message = format!(
                "Found multiple contents for job: <{}>, please 'Close' / 'Abort' / 'Delete' the current Job then create a new Job and make sure you only do 'PUT' once on a given Job.",
                id.short()
            );
            return Err(Refused::new("INVALIDJOB", message));
        }
        ingest.data = Some(data);
        ingest.job.modified = now;
        Ok(())
    }

    /// Starts an open job, or ends one that has not ended.
    ///
    /// # Errors
    /// When its state does not allow that.
    pub fn change(&mut self, id: &Id, viewer: Viewer<'_>, to: State, now: i64) -> Result<&Ingest, Refused> {
        let ingest = self.ingest(id, viewer)?;
        match (ingest.job.state, to) {
            (State::Open, State::UploadComplete) => {}
            (from, State::Aborted) if !from.ended() => {}
            (State::JobComplete, State::Aborted) => {
                return Err(Refused::state("Aborting already Completed Job not allowed"));
            }
            (from, to) => return Err(Refused::state(format!("A job cannot go from {} to {}", from.name(), to.name()))),
        }
        ingest.job.enter(to, now);
        Ok(ingest)
    }

    /// # Errors
    /// While it is open or worked on.
    pub fn delete(&mut self, id: &Id, viewer: Viewer<'_>) -> Result<(), Refused> {
        let state = self.ingest(id, viewer)?.job.state;
        if state != State::UploadComplete && !state.ended() {
            return Err(not_terminated());
        }
        self.ingest.remove(id);
        Ok(())
    }

    /// The jobs behind this one, in the order of their creation.
    pub fn ingest_after<'a>(&'a self, id: Option<&Id>, viewer: Viewer<'a>) -> impl Iterator<Item = &'a Ingest> {
        after(&self.ingest, id).filter(move |ingest| viewer.may_see(&ingest.job))
    }

    /// Takes a job that waits to be worked on; `None` when it waits no longer.
    pub fn begin(&mut self, id: &Id, now: i64) -> Option<Begun> {
        let ingest = self.ingest.get_mut(id).filter(|ingest| ingest.job.state == State::UploadComplete)?;
        ingest.job.enter(State::InProgress, now);
        let job = &ingest.job;
        let faults = Faults {
            fail_after_rows: self.settings.fail_after_rows.take(),
            lock_rows: std::mem::take(&mut self.settings.lock_rows),
        };
        let data = ingest.data.clone().unwrap_or_default();
        let (user, version, format) = (job.user.clone(), job.version, job.format);
        Some(Begun { user, version, format, data, spec: ingest.spec.clone(), faults })
    }

    /// Whether an ingest job waits to be worked on.
    pub fn waits(&self, id: &Id) -> bool {
        self.ingest.get(id).is_some_and(|ingest| ingest.job.state == State::UploadComplete)
    }

    /// The job while it is worked on; an abort takes it away.
    pub fn working(&mut self, id: &Id) -> Option<&mut Ingest> {
        self.ingest.get_mut(id).filter(|ingest| ingest.job.state == State::InProgress)
    }

    /// Counts one more internal batch.
    ///
    /// # Errors
    /// The message of the job when the day's batches are spent.
    pub fn take_batch(&mut self, now: i64) -> Result<(), String> {
        if self.batches.spent(now) {
            return Err(quota());
        }
        self.batches.count(now, 1);
        Ok(())
    }

    /// Notes what came of a transaction, which took so many microseconds; `false` once the job is not worked on.
    pub fn record(&mut self, id: &Id, outcomes: Vec<Outcome>, took: i64) -> bool {
        let Some(ingest) = self.working(id) else {
            // Aborted in the middle of it: what was done stays done, and is told.
            if let Some(ingest) = self.ingest.get_mut(id) {
                ingest.record(outcomes);
            }
            return false;
        };
        ingest.active += took;
        ingest.record(outcomes);
        true
    }

    /// Keeps an upload that has been cut into rows.
    pub fn keep_sheet(&mut self, id: &Id, sheet: Arc<Sheet>) {
        if let Some(ingest) = self.ingest.get_mut(id) {
            ingest.sheet = Some(sheet);
        }
    }

    /// Ends a job that is worked on, with an error or without.
    pub fn finish(&mut self, id: &Id, error: Option<String>, now: i64) {
        if let Some(ingest) = self.working(id) {
            ingest.job.enter(if error.is_some() { State::Failed } else { State::JobComplete }, now);
            ingest.job.error = error;
        }
    }

    /// A new query job, which waits to be worked on.
    ///
    /// # Errors
    /// When the day's query jobs are spent.
    pub fn create_query(&mut self, maker: Maker, asked: AskedFor, now: i64) -> Result<&QueryJob, Refused> {
        if self.query_jobs.spent(now) {
            return Err(Refused::new("LIMIT_EXCEEDED", "DailyBulkV2QueryJobs Limit exceeded."));
        }
        self.query_jobs.count(now, 1);
        let job = self.new_job(maker, State::UploadComplete, now);
        let AskedFor { soql, object, with_deleted } = asked;
        let (result, salt) = (Arc::default(), self.rng.u32(..));
        let query = QueryJob { job: job.clone(), with_deleted, object, soql, result, processed: 0, salt };
        Ok(self.queries.entry(job.id).or_insert(query))
    }

    /// # Errors
    /// When it is not there, or somebody else's.
    pub fn query(&mut self, id: &Id, viewer: Viewer<'_>) -> Result<&mut QueryJob, Refused> {
        let query = self.queries.get_mut(id).ok_or_else(Refused::unknown)?;
        if viewer.may_see(&query.job) { Ok(query) } else { Err(others(id)) }
    }

    /// # Errors
    /// When it has ended already.
    pub fn abort_query(&mut self, id: &Id, viewer: Viewer<'_>, now: i64) -> Result<&QueryJob, Refused> {
        let query = self.query(id, viewer)?;
        if query.job.state.ended() {
            return Err(Refused::state("Aborting already Completed Job not allowed"));
        }
        query.job.enter(State::Aborted, now);
        Ok(query)
    }

    /// # Errors
    /// While it is worked on, or waits to be.
    pub fn delete_query(&mut self, id: &Id, viewer: Viewer<'_>) -> Result<(), Refused> {
        if !self.query(id, viewer)?.job.state.ended() {
            return Err(not_terminated());
        }
        self.queries.remove(id);
        Ok(())
    }

    /// The jobs behind this one, in the order of their creation.
    pub fn queries_after<'a>(&'a self, id: Option<&Id>, viewer: Viewer<'a>) -> impl Iterator<Item = &'a QueryJob> {
        after(&self.queries, id).filter(move |query| viewer.may_see(&query.job))
    }

    /// Takes a query job that waits to be worked on; `None` when it waits no longer.
    pub fn begin_query(&mut self, id: &Id, now: i64) -> Option<BegunQuery> {
        let query = self.queries.get_mut(id).filter(|query| query.job.state == State::UploadComplete)?;
        query.job.enter(State::InProgress, now);
        Some(BegunQuery {
            user: query.job.user.clone(),
            format: query.job.format,
            soql: query.soql.clone(),
            with_deleted: query.with_deleted,
            seed: self.rng.u64(..),
            fail_after_rows: self.settings.fail_after_rows.take(),
        })
    }

    /// Whether a query job waits to be worked on.
    pub fn query_waits(&self, id: &Id) -> bool {
        self.queries.get(id).is_some_and(|query| query.job.state == State::UploadComplete)
    }

    /// The job while it is worked on; an abort takes it away.
    pub fn working_query(&mut self, id: &Id) -> Option<&mut QueryJob> {
        self.queries.get_mut(id).filter(|query| query.job.state == State::InProgress)
    }

    /// Ends a query job that is worked on, with its result or with an error.
    pub fn finish_query(&mut self, id: &Id, result: Result<Table, String>, now: i64) {
        let Some(query) = self.working_query(id) else { return };
        match result {
            Ok(table) => {
                query.job.enter(State::JobComplete, now);
                (query.processed, query.result) = (table.len(), Arc::new(table));
            }
            Err(error) => {
                query.job.enter(State::Failed, now);
                query.job.error = Some(error);
            }
        }
    }

    /// Whether a job has to wait before a row.
    pub fn holds(&self, row: usize) -> bool {
        self.settings.hold_at.is_some_and(|held| row >= held)
    }
}

/// A job that is taken to be worked on.
#[derive(Debug)]
pub struct Begun {
    pub user: Id,
    pub version: u32,
    pub format: Format,
    pub spec: Spec,
    pub data: Bytes,
    pub faults: Faults,
}

/// A query job that is taken to be worked on.
#[derive(Debug)]
pub struct BegunQuery {
    pub user: Id,
    pub format: Format,
    pub soql: String,
    pub with_deleted: bool,
    /// The order of the rows follows from it, where the query asks for none.
    pub seed: u64,
    pub fail_after_rows: Option<usize>,
}

/// What a query job is to read.
#[derive(Debug)]
pub struct AskedFor {
    pub soql: String,
    pub object: String,
    pub with_deleted: bool,
}

fn after<'a, T>(jobs: &'a BTreeMap<Id, T>, id: Option<&Id>) -> impl Iterator<Item = &'a T> {
    let from = match id {
        Some(id) => std::ops::Bound::Excluded(id),
        None => std::ops::Bound::Unbounded,
    };
    jobs.range::<Id, _>((from, std::ops::Bound::Unbounded)).map(|(_, job)| job)
}

fn others(id: &Id) -> Refused {
    let message = format!("The job {} belongs to another user", id.short());
    Refused { status: 403, ..Refused::new("INVALIDUSER", message) }
}

fn not_terminated() -> Refused {
    Refused::new("API_ERROR", "Error encountered when deleting the job because the job is not terminated")
}

fn quota() -> String {
    "ExceededQuota : ApiBatchItems Limit exceeded.".into()
}
