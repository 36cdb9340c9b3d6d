//! The store in one SQLite file, which one process owns at a time.
//!
//! One thread writes, in groups; another reads beside it, and sees whatever a call that returned has written. A
//! person can look into the file with `sqlite3` while the bridge runs.

mod accept;
mod actions;
mod append;
mod bulk;
mod columns;
mod deliveries;
mod entries;
mod failed;
mod feedback;
mod file;
mod gaps;
mod history;
mod import;
mod jobs;
mod journal;
mod paused;
mod pipelines;
mod privacy;
mod settle;
pub mod sheet;
mod subscriptions;
mod trim;
mod verifications;
mod worker;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use self::file::Ownership;
use self::worker::{Worker, one_by_one};
use self::writer::group_commit;
use super::{
    ActionDone, ActionIdentity, ActionPlace, ActionRow, ActionSettlement, Answer, Appended, BulkJob, Cursor,
    Difference, Entry, FailedAction, FailedCause, FailedRecord, Forgotten, Gap, Healed, HistoryRow, HistoryTrimmed,
    InClear, Job, JobCounts, JobEnded, JobNumber, JournalFigures, JournalPage, Linked, ListNumber, Listed, Mended,
    News, NotLinked, NotedPrivacy, Overdue, Page, Parked, ParkedCause, Paused, PipelineId, PipelineIdentity,
    PipelineRow, Question, RowId, Scrubbed, Sent, SentDigest, Settled, Settlement, Sought, Span, Store, StoreError,
    Subscription, SubscriptionId, SubscriptionRow, Trimmed, Verification, VerificationNumber, VerifyCounts, Which,
    WhichActions, Wish, Work,
};
use crate::config::Retain;
use crate::event::{
    Arrival, ChangeKind, Channel, ObjectName, OrgName, PipelineName, RecordId, ReplayId, Seq, Timestamp, Transport,
};
use crate::org::JobId;
use crate::privacy::{Privacy, PrivacyRule};

/// A handle to the state. With the last clone its threads end, what they were asked for first being done, and the
/// file is free.
#[derive(Clone)]
pub struct Sqlite {
    inner: Arc<Inner>,
}

/// Dropped from top to bottom: the writer closes the file last, which folds its log into it; only then the lock goes.
struct Inner {
    /// None without a file: then the writer reads too.
    reader: Option<Worker>,
    writer: Worker,
    /// None without a file, or where it is not ours.
    path: Option<PathBuf>,
    _ownership: Option<Ownership>,
}

impl Sqlite {
    /// Opens the state file, makes it if there is none (mode 0600; what SQLite puts beside it gets the same mode),
    /// and brings it to the tables of this release. Blocks, but not for long.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`] names the process that owns the file. [`StoreError::Open`]: the file cannot be used,
    /// belongs to another program, or was written by a newer release; it is left as it was.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let (path, ownership) = file::own(path)?;
        let writer = file::open_to_write(&path)?;
        let reader = file::open_to_read(&path)?;
        Self::start(writer, Some(reader), Some((path.clone(), ownership)))
            .map_err(|error| StoreError::Open { path: path.display().to_string(), reason: error.to_string() })
    }

    /// Opens the state file of a bridge that does not run, only to read: it is neither made nor changed nor held, so a
    /// bridge can start meanwhile.
    ///
    /// # Errors
    ///
    /// As [`Self::open`], also where there is no file or its tables are of an older release.
    pub fn open_unowned(path: &Path) -> Result<Self, StoreError> {
        let path = file::unowned(path)?;
        Self::start(file::open_to_look(&path)?, Some(file::open_to_look(&path)?), None)
            .map_err(|error| StoreError::Open { path: path.display().to_string(), reason: error.to_string() })
    }

    /// A store that is gone with its last clone.
    pub fn in_memory() -> Result<Self, StoreError> {
        Self::start(file::open_in_memory()?, None, None)
            .map_err(|error| StoreError::Open { path: ":memory:".to_owned(), reason: error.to_string() })
    }

    /// Writes the file anew, so that what was scrubbed or forgotten is nowhere in it. Blocks, for as long as copying the
    /// file takes.
    ///
    /// # Errors
    ///
    /// [`StoreError::Open`], also where another program looks into the file just now.
    pub fn rewrite(&self) -> Result<(), StoreError> {
        self.inner.path.as_deref().map_or(Ok(()), file::rewrite)
    }

    fn start(
        writer: Connection,
        reader: Option<Connection>,
        owned: Option<(PathBuf, Ownership)>,
    ) -> std::io::Result<Self> {
        let reader = reader.map(|db| Worker::spawn("store-reader", db, one_by_one)).transpose()?;
        let writer = Worker::spawn("store-writer", writer, group_commit)?;
        let (path, ownership) = owned.unzip();
        Ok(Self { inner: Arc::new(Inner { reader, writer, path, _ownership: ownership }) })
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.inner.writer.ask(work).await
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.inner.reader.as_ref().unwrap_or(&self.inner.writer).ask(work).await
    }
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite").finish_non_exhaustive()
    }
}

impl Store for Sqlite {
    async fn pin_org(&self, org: &OrgName, org_id: &str) -> Result<(), StoreError> {
        let (org, org_id) = (org.clone(), org_id.to_owned());
        self.write(move |db| journal::pin_org(db, &org, &org_id)).await
    }

    async fn pinned_org(&self, org: &OrgName) -> Result<Option<String>, StoreError> {
        let org = org.clone();
        self.read(move |db| journal::pinned_org(db, &org)).await
    }

    async fn subscription(&self, org: &OrgName, channel: &Channel) -> Result<Subscription, StoreError> {
        let (org, channel) = (org.clone(), channel.clone());
        self.write(move |db| journal::subscription(db, &org, &channel)).await
    }

    async fn start(&self, id: SubscriptionId, at: Timestamp) -> Result<(), StoreError> {
        self.write(move |db| journal::start(db, id, at)).await
    }

    async fn append(
        &self,
        id: SubscriptionId,
        group: Vec<Arrival>,
        received: Timestamp,
    ) -> Result<Appended, StoreError> {
        self.write(move |db| append::append(db, id, group, received)).await
    }

    async fn transport(&self, org: &OrgName) -> Result<Option<Transport>, StoreError> {
        let org = org.clone();
        self.read(move |db| subscriptions::transport(db, &org)).await
    }

    async fn received_by(&self, id: SubscriptionId, transport: Transport, at: Timestamp) -> Result<(), StoreError> {
        self.write(move |db| append::received_by(db, id, transport, at)).await
    }

    async fn schema(&self, org: &OrgName, schema_id: &str) -> Result<Option<String>, StoreError> {
        let (org, schema_id) = (org.clone(), schema_id.to_owned());
        self.read(move |db| subscriptions::schema(db, &org, &schema_id)).await
    }

    async fn keep_schema(&self, org: &OrgName, schema_id: &str, schema: String) -> Result<(), StoreError> {
        let (org, schema_id) = (org.clone(), schema_id.to_owned());
        self.write(move |db| subscriptions::keep_schema(db, &org, &schema_id, &schema)).await
    }

    async fn probed(&self, id: SubscriptionId, object: &ObjectName) -> Result<Option<Timestamp>, StoreError> {
        let object = object.clone();
        self.read(move |db| subscriptions::probed(db, id, &object)).await
    }

    async fn unjournaled(
        &self,
        id: SubscriptionId,
        rows: Vec<(RecordId, Timestamp)>,
    ) -> Result<Vec<RecordId>, StoreError> {
        self.read(move |db| subscriptions::unjournaled(db, id, &rows)).await
    }

    async fn head(&self) -> Result<Seq, StoreError> {
        self.read(journal::head).await
    }

    async fn gaps(&self) -> Result<Vec<Gap>, StoreError> {
        self.read(gaps::all_open).await
    }

    async fn mended_gaps(&self, limit: usize) -> Result<Vec<Gap>, StoreError> {
        self.read(move |db| gaps::mended(db, limit)).await
    }

    async fn gap_ends(&self, id: i64, to: Timestamp) -> Result<(), StoreError> {
        self.write(move |db| gaps::ends(db, id, to)).await
    }

    async fn close_gap(&self, id: i64, by: Mended) -> Result<bool, StoreError> {
        self.write(move |db| gaps::close(db, id, by, Timestamp::now())).await
    }

    async fn accept_org(&self, org: &OrgName, org_id: &str) -> Result<bool, StoreError> {
        let (org, org_id) = (org.clone(), org_id.to_owned());
        self.write(move |db| accept::accept_org(db, &org, &org_id, Timestamp::now())).await
    }

    async fn subscriptions(&self) -> Result<Vec<SubscriptionRow>, StoreError> {
        self.read(subscriptions::subscriptions).await
    }

    async fn deliveries(&self, since: Timestamp) -> Result<HashMap<SubscriptionId, u64>, StoreError> {
        self.read(move |db| deliveries::since(db, since)).await
    }

    async fn retained_estimate(&self, id: SubscriptionId, now: Timestamp) -> Result<u64, StoreError> {
        self.read(move |db| deliveries::retained_estimate(db, id, now)).await
    }

    async fn pipeline(&self, identity: &PipelineIdentity, first_watermark: Seq) -> Result<PipelineRow, StoreError> {
        let identity = identity.clone();
        self.write(move |db| pipelines::pipeline(db, &identity, first_watermark)).await
    }

    async fn pipelines(&self) -> Result<Vec<PipelineRow>, StoreError> {
        self.read(pipelines::pipelines).await
    }

    async fn action(&self, identity: &ActionIdentity, first_watermark: Seq) -> Result<ActionRow, StoreError> {
        let identity = identity.clone();
        self.write(move |db| actions::action(db, &identity, first_watermark)).await
    }

    async fn actions(&self) -> Result<Vec<ActionRow>, StoreError> {
        self.read(actions::actions).await
    }

    async fn known_actions(&self, pipeline: PipelineId) -> Result<Vec<ActionDone>, StoreError> {
        self.read(move |db| actions::known(db, pipeline)).await
    }

    async fn settle_actions(&self, pipeline: PipelineId, settlement: ActionSettlement) -> Result<(), StoreError> {
        self.write(move |db| actions::settle(db, pipeline, &settlement)).await
    }

    async fn events_gone(&self, pipeline: PipelineId, at: Timestamp) -> Result<u64, StoreError> {
        self.write(move |db| actions::events_gone(db, pipeline, at)).await
    }

    async fn failed_actions(
        &self,
        which: &WhichActions,
        after: Option<ActionPlace>,
        limit: usize,
    ) -> Result<Vec<FailedAction>, StoreError> {
        let which = which.clone();
        self.read(move |db| actions::failed(db, &which, after, limit)).await
    }

    async fn redrive_actions(&self, which: &WhichActions, at: Timestamp) -> Result<u64, StoreError> {
        let which = which.clone();
        self.write(move |db| actions::redrive(db, &which, at)).await
    }

    async fn redriven_actions(&self, pipeline: PipelineId, limit: usize) -> Result<Vec<ActionDone>, StoreError> {
        self.read(move |db| actions::redriven(db, pipeline, limit)).await
    }

    async fn discard_actions(&self, which: &WhichActions) -> Result<u64, StoreError> {
        let which = which.clone();
        self.write(move |db| actions::discard(db, &which)).await
    }

    async fn entries_at(&self, seqs: Vec<Seq>) -> Result<Vec<Entry>, StoreError> {
        self.read(move |db| actions::entries_at(db, &seqs)).await
    }

    async fn forget_pipeline(&self, name: &PipelineName) -> Result<bool, StoreError> {
        let name = name.clone();
        self.write(move |db| pipelines::forget(db, &name)).await
    }

    async fn resume(&self, name: &PipelineName) -> Result<Option<bool>, StoreError> {
        let name = name.clone();
        self.write(move |db| pipelines::resume(db, &name, Timestamp::now())).await
    }

    async fn held(
        &self,
        after: Option<(PipelineId, RecordId)>,
        limit: usize,
    ) -> Result<Vec<(PipelineId, RecordId, Seq)>, StoreError> {
        self.read(move |db| pipelines::held(db, after, limit)).await
    }

    async fn halt(&self, name: &PipelineName, why: &str, at: Timestamp) -> Result<Option<bool>, StoreError> {
        let (name, why) = (name.clone(), why.to_owned());
        self.write(move |db| paused::halt(db, &name, &why, at)).await
    }

    async fn pause_org(&self, org: &OrgName, paused: Paused) -> Result<bool, StoreError> {
        let org = org.clone();
        self.write(move |db| paused::pause_org(db, &org, &paused)).await
    }

    async fn resume_org(&self, org: &OrgName) -> Result<bool, StoreError> {
        let org = org.clone();
        self.write(move |db| paused::resume_org(db, &org, Timestamp::now())).await
    }

    async fn paused_orgs(&self) -> Result<BTreeMap<OrgName, Paused>, StoreError> {
        self.read(paused::paused_orgs).await
    }

    async fn page(&self, pipeline: PipelineId, after: Seq, limit: usize) -> Result<Page, StoreError> {
        self.read(move |db| journal::page(db, pipeline, after, limit)).await
    }

    async fn known(&self, pipeline: PipelineId, question: Question) -> Result<Answer, StoreError> {
        self.read(move |db| pipelines::known(db, pipeline, &question)).await
    }

    async fn newest_parts(
        &self,
        pipeline: PipelineId,
        records: Vec<RecordId>,
        up_to: Seq,
    ) -> Result<HashMap<RecordId, ChangeKind>, StoreError> {
        self.read(move |db| journal::newest_parts(db, pipeline, &records, up_to)).await
    }

    async fn sending(&self, rows: Vec<(PipelineId, RecordId)>) -> Result<(), StoreError> {
        self.write(move |db| pipelines::sending(db, &rows)).await
    }

    async fn bulk_begun(&self, job: BulkJob) -> Result<(), StoreError> {
        self.write(move |db| bulk::begun(db, &job)).await
    }

    async fn bulk_jobs(&self, org: &OrgName) -> Result<Vec<BulkJob>, StoreError> {
        let org = org.clone();
        self.read(move |db| bulk::jobs(db, &org)).await
    }

    async fn bulk_ended(&self, job: &JobId) -> Result<(), StoreError> {
        let job = job.clone();
        self.write(move |db| bulk::ended(db, &job)).await
    }

    async fn add_to_list(&self, list: Option<ListNumber>, records: Vec<Listed>) -> Result<ListNumber, StoreError> {
        self.write(move |db| jobs::add_to_list(db, list, &records)).await
    }

    async fn listed(&self, list: ListNumber, after: u64, limit: usize) -> Result<Vec<Listed>, StoreError> {
        self.read(move |db| jobs::listed(db, list, after, limit)).await
    }

    async fn list_length(&self, list: ListNumber) -> Result<u64, StoreError> {
        self.read(move |db| jobs::list_length(db, list)).await
    }

    async fn add_job(&self, pipeline: PipelineId, work: Work, at: Timestamp) -> Result<Option<JobNumber>, StoreError> {
        self.write(move |db| jobs::add(db, pipeline, &work, at)).await
    }

    async fn add_first_backfill(&self, pipeline: PipelineId, at: Timestamp) -> Result<bool, StoreError> {
        self.write(move |db| jobs::add_first_backfill(db, pipeline, at)).await
    }

    async fn import(
        &self,
        pipeline: PipelineId,
        list: ListNumber,
        at: Timestamp,
    ) -> Result<Option<JobNumber>, StoreError> {
        self.write(move |db| import::import(db, pipeline, list, at)).await
    }

    async fn note_not_linked(&self, job: JobNumber, pairs: Vec<NotLinked>) -> Result<(), StoreError> {
        self.write(move |db| import::note(db, job, &pairs)).await
    }

    async fn not_linked(
        &self,
        pipeline: PipelineId,
        after: Option<RecordId>,
        limit: usize,
    ) -> Result<Vec<NotLinked>, StoreError> {
        self.read(move |db| import::noted(db, pipeline, after, limit)).await
    }

    async fn open_jobs(&self) -> Result<Vec<Job>, StoreError> {
        self.read(jobs::open).await
    }

    async fn ended_jobs(&self, limit: usize) -> Result<Vec<Job>, StoreError> {
        self.read(move |db| jobs::ended(db, limit)).await
    }

    async fn job(&self, number: JobNumber) -> Result<Option<Job>, StoreError> {
        self.read(move |db| jobs::job(db, number)).await
    }

    async fn job_moved(
        &self,
        number: JobNumber,
        cursor: Option<Cursor>,
        counts: JobCounts,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(move |db| jobs::moved(db, number, cursor.as_ref(), counts, at)).await
    }

    async fn job_ended(&self, number: JobNumber, ended: JobEnded) -> Result<bool, StoreError> {
        self.write(move |db| jobs::end(db, number, &ended)).await
    }

    async fn add_verification(
        &self,
        pipeline: PipelineId,
        wish: Wish,
        at: Timestamp,
    ) -> Result<Option<VerificationNumber>, StoreError> {
        self.write(move |db| verifications::add(db, pipeline, wish, at)).await
    }

    async fn verifications(&self) -> Result<Vec<Verification>, StoreError> {
        self.read(verifications::all).await
    }

    async fn verification_begins(&self, number: VerificationNumber, at: Timestamp) -> Result<(), StoreError> {
        self.write(move |db| verifications::begins(db, number, at)).await
    }

    async fn verification_moved(
        &self,
        number: VerificationNumber,
        counts: VerifyCounts,
        found: Vec<Difference>,
    ) -> Result<(), StoreError> {
        self.write(move |db| verifications::moved(db, number, &counts, &found)).await
    }

    async fn verification_ended(&self, number: VerificationNumber, ended: JobEnded) -> Result<bool, StoreError> {
        self.write(move |db| verifications::end(db, number, &ended)).await
    }

    async fn differences(
        &self,
        number: VerificationNumber,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Difference>, StoreError> {
        self.read(move |db| verifications::differences(db, number, after, limit)).await
    }

    async fn sources_of(
        &self,
        pipeline: PipelineId,
        targets: Vec<RecordId>,
    ) -> Result<HashMap<RecordId, RecordId>, StoreError> {
        self.read(move |db| verifications::sources_of(db, pipeline, &targets)).await
    }

    async fn last_writes(
        &self,
        pipeline: PipelineId,
        records: Vec<RecordId>,
    ) -> Result<HashMap<RecordId, HashMap<String, Timestamp>>, StoreError> {
        self.read(move |db| history::last_writes(db, pipeline, &records)).await
    }

    async fn on_their_way(
        &self,
        pipeline: PipelineId,
        records: Vec<RecordId>,
    ) -> Result<HashSet<RecordId>, StoreError> {
        self.read(move |db| verifications::on_their_way(db, pipeline, &records)).await
    }

    async fn journal_span(&self, since: Option<Timestamp>, until: Option<Timestamp>) -> Result<Span, StoreError> {
        let Some(mut looking) = entries::Looking::new(since, until) else { return Ok(Span::ALL) };
        loop {
            // Between two stretches others have their turn.
            match self.read(move |db| looking.stretch(db)).await? {
                entries::Looked::On(further) => looking = further,
                entries::Looked::Done(span) => return Ok(span),
            }
        }
    }

    async fn journal_page(&self, sought: &Sought, span: Span, limit: usize) -> Result<JournalPage, StoreError> {
        let sought = sought.clone();
        self.read(move |db| entries::page(db, &sought, span, limit)).await
    }

    async fn replayed(&self, id: SubscriptionId, replay_id: ReplayId) -> Result<Option<(Seq, Seq)>, StoreError> {
        let mut replaying = entries::Replaying::new(id, replay_id);
        loop {
            // Between two stretches others have their turn.
            match self.read(move |db| replaying.stretch(db)).await? {
                entries::Replayed::On(further) => replaying = further,
                entries::Replayed::Done(ends) => return Ok(ends),
            }
        }
    }

    async fn journal_figures(&self) -> Result<JournalFigures, StoreError> {
        self.read(trim::figures).await
    }

    async fn trim_journal(
        &self,
        retain: Retain,
        now: Timestamp,
        after: Seq,
        limit: usize,
    ) -> Result<Trimmed, StoreError> {
        self.write(move |db| trim::trim(db, retain, now, after, limit)).await
    }

    async fn journaled_after(
        &self,
        pipeline: PipelineId,
        records: Vec<RecordId>,
        after: Seq,
    ) -> Result<HashSet<RecordId>, StoreError> {
        self.read(move |db| journal::journaled_after(db, pipeline, &records, after)).await
    }

    async fn restless(&self) -> Result<Vec<(PipelineId, RecordId)>, StoreError> {
        self.read(pipelines::restless).await
    }

    async fn overdue(
        &self,
        pipeline: PipelineId,
        now: Timestamp,
        pause: Duration,
        limit: usize,
    ) -> Result<Overdue, StoreError> {
        self.read(move |db| pipelines::overdue(db, pipeline, now, pause, limit)).await
    }

    async fn sent(&self) -> Result<Vec<Sent>, StoreError> {
        self.read(pipelines::sent).await
    }

    async fn give_up_parents(&self, pipeline: PipelineId, since: Timestamp) -> Result<u64, StoreError> {
        self.write(move |db| pipelines::give_up_parents(db, pipeline, since)).await
    }

    async fn settle(&self, settlement: Settlement) -> Result<Settled, StoreError> {
        self.write(move |db| settle::settle(db, &settlement)).await
    }

    async fn parked(&self, limit: usize) -> Result<Vec<Parked>, StoreError> {
        self.read(move |db| pipelines::parked(db, limit)).await
    }

    async fn parked_causes(&self) -> Result<Vec<ParkedCause>, StoreError> {
        self.read(pipelines::parked_causes).await
    }

    async fn failed_causes(&self, which: &Which) -> Result<Vec<FailedCause>, StoreError> {
        let which = which.clone();
        self.read(move |db| failed::causes(db, &which)).await
    }

    async fn failed(&self, which: &Which, after: Option<RowId>, limit: usize) -> Result<Vec<FailedRecord>, StoreError> {
        let which = which.clone();
        self.read(move |db| failed::failed(db, &which, after, limit)).await
    }

    async fn events_of(&self, row: RowId, between: (Seq, Seq), limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.read(move |db| failed::events_of(db, row, between, limit)).await
    }

    async fn healed(&self, which: &Which, now: Timestamp, limit: usize) -> Result<Vec<Healed>, StoreError> {
        let which = which.clone();
        self.read(move |db| failed::healed(db, &which, now, limit)).await
    }

    async fn trim_healed(&self, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |db| failed::trim_healed(db, now)).await
    }

    async fn redrive(&self, which: &Which, at: Timestamp) -> Result<u64, StoreError> {
        let which = which.clone();
        self.write(move |db| failed::redrive(db, &which, at)).await
    }

    async fn take_redrives(&self, pipelines: &[PipelineId], limit: usize) -> Result<Vec<RowId>, StoreError> {
        let pipelines = pipelines.to_vec();
        self.write(move |db| failed::take_redrives(db, &pipelines, limit)).await
    }

    async fn redrives_anew(&self) -> Result<(), StoreError> {
        self.write(failed::redrives_anew).await
    }

    async fn discard(&self, which: &Which, at: Timestamp) -> Result<u64, StoreError> {
        let which = which.clone();
        self.write(move |db| failed::discard(db, &which, at)).await
    }

    async fn history_of(&self, org: &OrgName, record: RecordId, limit: usize) -> Result<Vec<HistoryRow>, StoreError> {
        let org = org.clone();
        self.read(move |db| history::history_of(db, &org, record, limit)).await
    }

    async fn links_of(&self, record: RecordId) -> Result<Vec<Linked>, StoreError> {
        self.read(move |db| history::links_of(db, record)).await
    }

    async fn entries_of(&self, org: &OrgName, record: RecordId, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let org = org.clone();
        self.read(move |db| history::entries_of(db, &org, record, limit)).await
    }

    async fn told(&self, pipeline: PipelineId) -> Result<Option<i64>, StoreError> {
        self.read(move |db| feedback::told(db, pipeline)).await
    }

    async fn tell(&self, pipeline: PipelineId, to: i64) -> Result<(), StoreError> {
        self.write(move |db| feedback::tell(db, pipeline, to)).await
    }

    async fn newest_history(&self) -> Result<i64, StoreError> {
        self.read(feedback::newest_history).await
    }

    async fn news(&self, pipeline: PipelineId, after: i64, limit: usize) -> Result<News, StoreError> {
        self.read(move |db| feedback::news(db, pipeline, after, limit)).await
    }

    async fn failures(
        &self,
        pipeline: PipelineId,
        records: Vec<RecordId>,
    ) -> Result<HashMap<RecordId, (String, String)>, StoreError> {
        self.read(move |db| feedback::failures(db, pipeline, &records)).await
    }

    async fn digest(&self) -> Result<Option<SentDigest>, StoreError> {
        self.read(feedback::digest).await
    }

    async fn digest_sent(&self, sent: &SentDigest) -> Result<(), StoreError> {
        let sent = sent.clone();
        self.write(move |db| feedback::digest_sent(db, &sent)).await
    }

    async fn trim_history(&self, before: Timestamp, after: i64, limit: usize) -> Result<HistoryTrimmed, StoreError> {
        self.write(move |db| history::trim(db, before, after, limit)).await
    }

    async fn note_privacy(&self, org: &OrgName, rules: &[PrivacyRule]) -> Result<NotedPrivacy, StoreError> {
        let (org, rules) = (org.clone(), rules.to_vec());
        self.write(move |db| privacy::note(db, &org, &rules)).await
    }

    async fn noted_privacy(&self, org: &OrgName) -> Result<Vec<PrivacyRule>, StoreError> {
        let org = org.clone();
        self.read(move |db| privacy::noted(db, &org)).await
    }

    async fn in_clear(&self, org: &OrgName, rules: &[PrivacyRule]) -> Result<Vec<InClear>, StoreError> {
        let (org, rules) = (org.clone(), rules.to_vec());
        self.read(move |db| privacy::in_clear(db, &org, &rules)).await
    }

    async fn scrub(&self, org: &OrgName, rules: &Privacy, limit: usize) -> Result<Scrubbed, StoreError> {
        let (org, rules) = (org.clone(), rules.clone());
        self.write(move |db| privacy::scrub(db, &org, &rules, limit)).await
    }

    async fn forget_record(&self, org: &OrgName, record: RecordId) -> Result<Forgotten, StoreError> {
        let org = org.clone();
        self.write(move |db| privacy::forget_record(db, &org, record)).await
    }

    async fn oldest_unsettled(&self) -> Result<HashMap<PipelineId, Timestamp>, StoreError> {
        self.read(pipelines::oldest_unsettled).await
    }
}
