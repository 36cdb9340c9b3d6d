//! The job of the past that runs: found, asked for, given to the machine, ended.

use super::*;
use crate::pipeline::jobs::{self, Failure, Running, Sure, Told, Wanted};
use crate::pipeline::machine::PastPage;
use crate::store::{Job, JobEnd, JobEnded, NotLinked, Work};

/// How often it is looked how far a job is.
const JOB_EVERY: Duration = Duration::from_millis(100);
/// How often it is looked whether another job can go on.
const JOBS_AGAIN: Duration = Duration::from_secs(2);
/// Pairs of an import that are named where it ends.
const NOT_LINKED_SHOWN: usize = 5;

impl<S: Store> Driver<S> {
    /// The job of the past: what of it is sure, and what it asks next.
    pub(super) async fn past(&mut self, stopping: bool) -> Result<(), StoreError> {
        if stopping {
            return Ok(());
        }
        if std::mem::take(&mut self.jobs_due) || self.jobs_again.is_some_and(|at| at <= Instant::now()) {
            self.find_job().await?;
        }
        let Some(running) = &self.job else { return Ok(()) };
        let (number, pipeline, now) = (running.job.number, running.job.pipeline, Instant::now());
        if self.job_looked.elapsed() >= JOB_EVERY {
            self.job_looked = now;
            // What is idle is settled only when that is durable.
            self.commit().await?;
            let Some(running) = &mut self.job else { return Ok(()) };
            match running.sure(&self.machine) {
                Some(Sure::Moved) => {
                    let (cursor, counts) = (running.job.cursor.clone(), running.job.counts);
                    self.store.job_moved(number, cursor, counts, Timestamp::now()).await?;
                }
                Some(Sure::Done) => {
                    return self.end_job(None).await;
                }
                None => {}
            }
        }
        if self.paused || self.spent || !self.machine.has_room() || self.source_waiting(pipeline).is_some() {
            return Ok(());
        }
        let Some(running) = &mut self.job else { return Ok(()) };
        let Some(wanted) = running.next(&mut self.machine, now) else { return Ok(()) };
        let Some((_, source, mapping)) = self.sources.get(&pipeline).cloned() else { return Ok(()) };
        let (target, store, replies) = (self.org.clone(), self.store.clone(), self.machine.replies().clone());
        self.tasks.spawn(async move {
            let before = source.api_calls();
            let (mapping, store, replies) = (&*mapping, &store, &*replies);
            let asking = jobs::Asking { source: &source, target: &target, mapping, store, replies };
            let answer = asking.answer(wanted.clone()).await;
            // Calls of neighbours are counted in: it is a figure for people, not an account.
            let of_target = if let Ok(Told::Page { calls, .. }) = &answer { *calls } else { 0 };
            let calls = source.api_calls().saturating_sub(before).min(64) + of_target;
            Done::Past { wanted, answer, calls }
        });
        Ok(())
    }

    /// The next job, where none runs; one that a person stopped runs no more.
    async fn find_job(&mut self) -> Result<(), StoreError> {
        let open = self.store.open_jobs().await?;
        if let Some(running) = self.job.take_if(|running| open.iter().all(|job| job.number != running.job.number)) {
            info!(pipeline = self.name(running.job.pipeline), "the job was stopped");
            self.drop_results(&running);
        }
        let halted = |pipeline| self.machine.is_halted(pipeline);
        // One that cannot go on lets others go first; where it was is saved.
        let stands =
            |running: &mut Running| running.may_step_back() || (running.is_at_rest() && halted(running.job.pipeline));
        if let Some(running) = self.job.take_if(stands) {
            self.last_job = Some(running.job.number);
        }
        let own: Vec<Job> = open.into_iter().filter(|job| self.sources.contains_key(&job.pipeline)).collect();
        let is_other = |job: &&Job| self.job.as_ref().is_none_or(|running| running.job.number != job.number);
        let others = own.iter().any(|job| is_other(&job));
        self.jobs_again = (others || self.job.is_some()).then(|| Instant::now() + JOBS_AGAIN);
        if self.job.is_some() {
            return Ok(());
        }
        let (behind, before): (Vec<&Job>, Vec<&Job>) =
            own.iter().partition(|job| self.last_job.is_none_or(|last| job.number > last));
        let mut next = None;
        for job in behind.into_iter().chain(before) {
            // What changes while the job reads must be received.
            if !self.machine.is_halted(job.pipeline) && self.is_received(job.pipeline).await? {
                next = Some(job.clone());
                break;
            }
        }
        let Some(job) = next else { return Ok(()) };
        let (pipeline, rows, kind) = (self.name(job.pipeline), job.counts.rows, job.work.kind());
        info!(pipeline, rows, "a {kind} {}", if job.cursor.is_some() { "goes on" } else { "begins" });
        self.job = Some(Running::new(job, Instant::now()));
        Ok(())
    }

    /// Whether the position from which the pipeline's events come is saved.
    async fn is_received(&self, pipeline: PipelineId) -> Result<bool, StoreError> {
        let rows = self.store.pipelines().await?;
        let Some(row) = rows.into_iter().find(|row| row.id == pipeline) else { return Ok(false) };
        let identity = row.identity;
        let subscriptions = self.store.subscriptions().await?;
        let mut own =
            subscriptions.iter().filter(|row| row.org == identity.source_org && row.channel == identity.channel);
        Ok(own.any(|row| row.position.proof().is_some()))
    }

    /// What the org keeps for a job that is over. Nobody waits for that.
    fn drop_results(&mut self, running: &Running) {
        let Some((_, source, _)) = self.sources.get(&running.job.pipeline).cloned() else { return };
        if let Some(query) = running.query().cloned() {
            self.tasks.spawn(async move {
                // Else it goes by itself after seven days.
                let _ = source.drop_query(&query).await;
                Done::Nothing
            });
        }
    }

    /// The job is done, or failed for this reason.
    async fn end_job(&mut self, failure: Option<String>) -> Result<(), StoreError> {
        let Some(running) = self.job.take() else { return Ok(()) };
        self.machine.past_dropped();
        self.unread = None;
        let (number, counts, kind) = (running.job.number, running.job.counts, running.job.work.kind());
        let pipeline = self.name(running.job.pipeline);
        let mut why = failure;
        let how = match why {
            None => {
                info!(pipeline, rows = counts.rows, calls = counts.calls, "the {kind} is done");
                why = self.not_linked(&running.job).await?;
                JobEnd::Done
            }
            Some(_) => {
                error!(pipeline, rows = counts.rows, "the {kind} failed: `orgbridge status` tells why");
                JobEnd::Failed
            }
        };
        let why = why.unwrap_or_default();
        let now = Timestamp::now();
        self.store.job_moved(number, running.job.cursor.clone(), counts, now).await?;
        self.store.job_ended(number, JobEnded { at: now, how, why }).await?;
        self.drop_results(&running);
        self.jobs_due = true;
        Ok(())
    }

    /// Pairs of an import that are not linked, in a line for people.
    async fn not_linked(&self, job: &Job) -> Result<Option<String>, StoreError> {
        if !matches!(job.work, Work::Import { .. }) {
            return Ok(None);
        }
        let pairs = self.store.not_linked(job.pipeline, None, NOT_LINKED_SHOWN + 1).await?;
        let mut named: Vec<String> = pairs
            .iter()
            .take(NOT_LINKED_SHOWN)
            .map(|NotLinked { record, target, why }| format!("{record} and {target}: {why}"))
            .collect();
        if pairs.len() > NOT_LINKED_SHOWN {
            named.push("and others".to_owned());
        }
        let pipeline = self.name(job.pipeline);
        let all = format!("not linked (`orgbridge import result {pipeline}` shows all): ");
        Ok((!named.is_empty()).then(|| format!("{all}{}", named.join("; "))))
    }

    pub(super) async fn past_done(
        &mut self,
        wanted: Wanted,
        answer: Result<Told, Failure>,
        calls: u64,
    ) -> Result<(), StoreError> {
        let now = Instant::now();
        let Some(running) = self.job.as_mut().filter(|running| running.job.number == wanted.number) else {
            self.machine.past_dropped();
            return Ok(());
        };
        running.job.counts.calls += calls;
        match answer {
            Ok(Told::Begun(beginning)) => {
                running.begun(beginning);
                self.machine.past_dropped();
                let (cursor, counts) = (running.job.cursor.clone(), running.job.counts);
                self.store.job_moved(wanted.number, cursor, counts, Timestamp::now()).await?;
            }
            // Where its pipeline has halted meanwhile it is asked for again when that goes on.
            Ok(Told::Page { .. }) if self.machine.is_halted(wanted.pipeline) => {
                running.not_yet(now);
                self.machine.past_dropped();
            }
            Ok(Told::Page { at, found, there, replies, next, keyed, pairs, .. }) => {
                let records: Vec<RecordId> = found.keys().copied().collect();
                let (rows, through) = (records.len(), running.job.work.through());
                running.page(records.clone(), next, keyed);
                self.unread = None;
                // What was settled meanwhile must be in the answer.
                self.commit().await?;
                self.machine.learn(replies, now);
                let newer = self.store.journaled_after(wanted.pipeline, records, at).await?;
                let page = PastPage { pipeline: wanted.pipeline, at, found, there, newer, through };
                let known = self.store.known(wanted.pipeline, self.machine.question_of_past(&page)).await?;
                let before = self.machine.equal(wanted.pipeline);
                match pairs {
                    None => self.machine.past_read(page, &known, now),
                    Some(pairs) => {
                        // Before their links are given up, which is the settlement's.
                        let not_linked = self.machine.past_paired(page, &pairs, &known, now);
                        if !not_linked.is_empty() {
                            self.store.note_not_linked(wanted.number, not_linked).await?;
                        }
                    }
                }
                let equal = self.machine.equal(wanted.pipeline) - before;
                debug!(pipeline = self.name(wanted.pipeline), rows, equal, "a page of the past");
            }
            Ok(Told::NotYet) => {
                running.not_yet(now);
                self.machine.past_dropped();
            }
            Ok(Told::Gone) => {
                running.anew(now);
                self.machine.past_dropped();
                let counts = running.job.counts;
                warn!(
                    pipeline = self.name(wanted.pipeline),
                    "what the org had prepared for a job is gone; it begins anew"
                );
                self.store.job_moved(wanted.number, None, counts, Timestamp::now()).await?;
            }
            Err(Failure::Refused(_, said)) if running.is_hopeless() => self.end_job(Some(said)).await?,
            Err(Failure::Again(error) | Failure::Refused(error, _)) => {
                running.again(now);
                self.machine.past_dropped();
                warn!(pipeline = self.name(wanted.pipeline), %error, "a job could not read; it is tried again");
                self.unread = Some(format!("a job could not read: {error}"));
            }
            Err(Failure::Never(why)) => self.end_job(Some(why)).await?,
        }
        Ok(())
    }
}
