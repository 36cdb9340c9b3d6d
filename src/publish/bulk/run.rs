//! One batch as a job, from its creation to its results.
//!
//! Before the start nothing is done with the rows, so whatever fails there is given back as not tried. After it only the job
//! itself can say what was done, and it is asked until it does.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::outcome::{Told, has_rows};
use super::sheet::Sheet;
use crate::event::Timestamp;
use crate::org::{CallError, Disposition, JobId, JobState, JobTrouble, Org, ResultRow, ResultSet, RunningJob};
use crate::publish::outbox::Batch;
use crate::retry::Backoff;
use crate::store::{BulkJob, Store, StoreError};

/// How often a job is begun anew, where its beginning fails without a word why.
const BEGIN_MAX: u32 = 3;
/// How long the results of a job that has ended are asked for before what became of its rows is unknown.
const PATIENCE: Duration = Duration::from_secs(600);
/// Between two questions: at first, and at most.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// How long a job is waited for when the bridge stops, which must end within its grace period.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// What came of a batch.
#[derive(Debug)]
pub struct Ended {
    pub what: What,
    /// Requests that were made for it.
    pub calls: u64,
}

#[derive(Debug)]
pub enum What {
    /// The job, where there was one, is to be forgotten once this is settled.
    Told { told: Told, job: Option<JobId> },
    /// Nothing was done: the org as a whole refused.
    NotBegun(CallError),
    /// The job has ended or is gone, and what became of its rows cannot be had.
    Unknown,
    /// The bridge stops. The next start looks after it.
    Left,
}

/// A job that is to be run.
pub struct Run<'a, S> {
    org: &'a Org,
    store: &'a S,
    batch: &'a Batch,
    stop: &'a CancellationToken,
    calls: u64,
    /// It was said that the org does not tell how the job is.
    warned: bool,
}

impl<'a, S: Store> Run<'a, S> {
    pub fn new(org: &'a Org, store: &'a S, batch: &'a Batch, stop: &'a CancellationToken) -> Self {
        Self { org, store, batch, stop, calls: 0, warned: false }
    }

    /// Runs it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn run(mut self) -> Result<Ended, StoreError> {
        let Some(mut sheet) = Sheet::new(&self.batch.call, &self.batch.writes) else {
            return Ok(Ended { what: self.not_tried(JobTrouble::NotOffered), calls: 0 });
        };
        let stop = self.stop;
        let late = async {
            stop.cancelled().await;
            sleep(LAST_WAIT).await;
        };
        // A request that is given up on is one whose answer is lost.
        let what = tokio::select! {
            biased;
            what = self.begin(&mut sheet) => what?,
            () = late => What::Left,
        };
        Ok(Ended { what, calls: self.calls })
    }

    async fn begin(&mut self, sheet: &mut Sheet) -> Result<What, StoreError> {
        let mut backoff = new_backoff();
        for _ in 0..BEGIN_MAX {
            match self.filled(sheet).await? {
                Ok(job) => {
                    // Nobody needs the text any more, and a job can take long.
                    sheet.csv = Vec::new();
                    return self.started(sheet, job).await;
                }
                Err(error) => {
                    if let Some(refused) = self.refused(error) {
                        return Ok(refused);
                    }
                }
            }
            if !self.pause(&mut backoff).await {
                break;
            }
        }
        Ok(self.not_tried(JobTrouble::Failing))
    }

    /// A job with its rows, which is not started.
    async fn filled(&mut self, sheet: &Sheet) -> Result<Result<JobId, CallError>, StoreError> {
        self.calls += 1;
        let job = match self.org.create_job(&sheet.job).await {
            Ok(job) => job.id,
            Err(error) => return Ok(Err(error)),
        };
        // Durable before there is anything in it.
        let (org, object) = (self.org.name().clone(), self.batch.call.object().clone());
        self.store.bulk_begun(BulkJob { org, job: job.clone(), object, begun_at: Timestamp::now() }).await?;
        self.calls += 1;
        match self.org.upload(&job, &sheet.csv).await {
            Ok(()) => Ok(Ok(job)),
            // A second upload is refused whether or not the first arrived, and without a start it does no harm.
            Err(error) => {
                self.calls += 1;
                let _ = self.org.abort_job(&job).await;
                self.store.bulk_ended(&job).await?;
                Ok(Err(error))
            }
        }
    }

    async fn started(&mut self, sheet: &Sheet, job: JobId) -> Result<What, StoreError> {
        let (mut backoff, mut tries) = (new_backoff(), 0);
        let running = loop {
            self.calls += 1;
            let error = match self.org.start_job(&job).await {
                Ok(running) => break running,
                Err(error) => error,
            };
            // It may have been started all the same.
            let running = match self.ask(&job).await {
                Ok(running) => running,
                Err(what) => return Ok(what),
            };
            if running.state != JobState::Open {
                break running;
            }
            tries += 1;
            if tries < BEGIN_MAX && self.refused(error.clone()).is_none() && self.pause(&mut backoff).await {
                continue;
            }
            // A start that is still on its way must find nothing to start.
            let ended = match self.aborted(&job).await {
                Ok(ended) => ended,
                Err(what) => return Ok(what),
            };
            // The start arrived after all.
            if ended.state != JobState::Aborted || ended.processed > 0 {
                return Ok(self.results(sheet, &ended).await);
            }
            self.store.bulk_ended(&job).await?;
            return Ok(self.refused(error).unwrap_or_else(|| self.not_tried(JobTrouble::Failing)));
        };
        match self.end_of(running).await {
            Ok(ended) => Ok(self.results(sheet, &ended).await),
            Err(what) => Ok(what),
        }
    }

    /// The job when it has ended.
    async fn end_of(&mut self, mut job: RunningJob) -> Result<RunningJob, What> {
        let mut backoff = new_backoff();
        while !job.state.is_final() {
            if !self.pause(&mut backoff).await {
                sleep(FIRST).await;
            }
            job = self.ask(&job.id).await?;
        }
        Ok(job)
    }

    async fn results(&mut self, sheet: &Sheet, job: &RunningJob) -> What {
        let writes = self.batch.writes.len();
        let sets = [ResultSet::Successful, ResultSet::Failed, ResultSet::Unprocessed];
        let mut rows = Vec::new();
        for (set, _) in sets.into_iter().zip(has_rows(job, writes)).filter(|(_, has)| *has) {
            match self.rows(sheet, job, set).await {
                Ok(more) => rows.extend(more),
                Err(what) => return what,
            }
        }
        What::Told { told: Told::new(sheet, writes, job, rows), job: Some(job.id.clone()) }
    }

    async fn rows(&mut self, sheet: &Sheet, job: &RunningJob, set: ResultSet) -> Result<Vec<ResultRow>, What> {
        let (mut rows, mut locator): (Vec<ResultRow>, Option<String>) = (Vec::new(), None);
        let (mut backoff, mut since) = (new_backoff(), Instant::now());
        loop {
            self.calls += 1;
            match self.org.results(&job.id, set, &sheet.key, locator.as_deref()).await {
                Ok((more, next)) => {
                    rows.extend(more);
                    // The same page again would be read for ever.
                    match next.filter(|next| locator.as_ref() != Some(next)) {
                        Some(next) => (locator, backoff, since) = (Some(next), new_backoff(), Instant::now()),
                        None => return Ok(rows),
                    }
                }
                Err(error) if error.is_not_found() || since.elapsed() >= PATIENCE => return Err(What::Unknown),
                Err(_) if !self.pause(&mut backoff).await => return Err(What::Left),
                Err(_) => {}
            }
        }
    }

    /// How the job is; asked again until the org says it, however long that takes: while it may run, nobody else may write its
    /// records.
    async fn ask(&mut self, job: &JobId) -> Result<RunningJob, What> {
        let mut backoff = new_backoff();
        loop {
            self.calls += 1;
            match self.org.job(job).await {
                Ok(job) => return Ok(job),
                Err(error) if error.is_not_found() => return Err(What::Unknown),
                Err(error) => {
                    self.silent(job, &error);
                    if !self.pause(&mut backoff).await {
                        return Err(What::Left);
                    }
                }
            }
        }
    }

    /// Ends a job of which nobody knows whether a start is still on its way, however long that takes.
    async fn aborted(&mut self, job: &JobId) -> Result<RunningJob, What> {
        let mut backoff = new_backoff();
        loop {
            self.calls += 1;
            // Refused where the start arrived after all and the job has ended by itself: asking tells.
            let _ = self.org.abort_job(job).await;
            let running = self.ask(job).await?;
            if running.state.is_final() {
                return Ok(running);
            }
            if !self.pause(&mut backoff).await {
                return Err(What::Left);
            }
        }
    }

    /// Says once that the records of a job wait, and for what.
    fn silent(&mut self, job: &JobId, error: &CallError) {
        if !std::mem::replace(&mut self.warned, true) {
            let (target, object, records) = (self.org.name(), self.batch.call.object(), self.batch.writes.len());
            warn!(%target, %object, %job, records, %error, "the org does not tell whether a Bulk API job has ended; its records wait");
        }
    }

    /// What a failure before the start means. None: it may go well the next time.
    fn refused(&self, error: CallError) -> Option<What> {
        if let Some(trouble) = JobTrouble::of_refusal(&error) {
            return Some(self.not_tried(trouble));
        }
        match (error.disposition(), &error) {
            (Disposition::OutcomeUnknown, _) => None,
            (Disposition::Retry { .. }, _) | (Disposition::Halt { .. }, CallError::LoginFailed(_)) => {
                Some(What::NotBegun(error))
            }
            // Collections will show whether it is the records that are refused.
            (Disposition::Split | Disposition::Halt { .. }, _) => Some(self.not_tried(JobTrouble::NotOffered)),
        }
    }

    fn not_tried(&self, trouble: JobTrouble) -> What {
        What::Told { told: Told::not_tried(self.batch.writes.len(), trouble), job: None }
    }

    /// Waits, each time longer. False: the bridge stops.
    async fn pause(&self, backoff: &mut Backoff) -> bool {
        let wait = backoff.next_delay();
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            () = sleep(wait) => true,
        }
    }
}

/// Between two questions.
pub(super) fn new_backoff() -> Backoff {
    Backoff::new(FIRST, LONGEST)
}
