//! What the bridge remembers. [`Store`] is the contract; [`sqlite`] keeps it in one file.
//!
//! # The contract
//!
//! - **Order.** `append` gives entries sequence numbers that grow by arrival. An entry is visible to `page` only with
//!   all before it. `head` is the last number given, and numbers are never given twice, not even after a crash.
//! - **One transaction.** Each call is one: all of it is durable when it returns, or none. `append` holds the changes
//!   and the position that covers them; `settle` holds outcomes, links, applied numbers, parked rows and watermarks.
//!   A caller that stops waiting does not undo its call. A read sees whatever a call that returned has written.
//! - **Doubles.** An event whose key the subscription has seen is not appended again, but its position is saved. What is trimmed
//!   of the journal is older than any event that an org may still deliver.
//! - **Positions.** The saved replay id is the last one known complete, for several events can share one: an id is
//!   complete when an event with another id or `Live` follows, in the same group or a later one, or where the org says
//!   that there is nothing up to it. Where ids do not repeat, `Passed` completes its own at once.
//! - **No silent gap.** Whatever arrived and may have hidden a change is a row of `gaps`, in the same transaction; each
//!   event is an entry, or in a gap. A gap that names records is closed by the settlement with which every pipeline that
//!   reads them has passed its entry, and at once where no pipeline does: one that is added later, and wants what is
//!   older, finds the entry. A window that a refused position or an outage left is closed when its newest event comes
//!   again, or when the truth probe has covered it; any other window by `close_gap` alone.
//! - **Never backwards.** `applied` and a pipeline's watermark only grow. A row of `parked` only widens until closed.
//! - **What happened is remembered.** Rows of `history` are in the transaction of what they tell of, also where the store
//!   itself ends, fails or gives up a row of `parked`. They name fields and codes, never a value. What forgets a pipeline or
//!   gives an org up forgets them too.
//! - **A failed record is remembered.** What ends a row that had failed, also if it waits by then, is a row of `healed`, in
//!   the same transaction; what forgets a pipeline or gives an org up forgets that too.
//! - **No lost wake.** A row that is parked for a parent whose link exists, or is set in the same settlement, is
//!   returned as woken. A row that a person wants tried again is found by whichever bridge runs next, until it was.
//!
//! `store::contract` is the test suite that any backend must pass.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::future::Future;
use std::time::Duration;

use crate::config::Retain;
use crate::event::Arrival;
use crate::event::{
    Change, ChangeKind, Channel, FieldName, FieldPath, ObjectName, OrgName, PipelineName, RecordId, ReplayId, Seq,
    Timestamp, Transport,
};
use crate::org::JobId;
use crate::privacy::{Privacy, PrivacyRule};
use crate::text::counted;

mod actions;
#[cfg(test)]
pub(crate) mod contract;
mod entries;
pub mod failed;
mod feedback;
mod gap;
mod history;
mod job;
pub mod paused;
mod position;
pub mod sqlite;
mod verification;

pub use actions::{
    ActionDone, ActionIdentity, ActionPlace, ActionRow, ActionSettlement, ActionState, EVENTS_GONE, FailedAction,
    Occasion, OccasionOf, WhichActions,
};
pub use entries::{JournalFigures, JournalPage, Journaled, Sought, Span, Trimmed};
pub use failed::{FailedCause, FailedRecord, Healed, PARENT_DISCARDED, RowId, Which};
pub use feedback::{News, SentDigest, Told};
pub use gap::{Closed, Evidence, Gap, GapKind, Mended};
pub use history::{Happened, HistoryRow, HistoryTrimmed, Linked, Through, What};
pub use job::{Cursor, Job, JobCounts, JobEnd, JobEnded, JobNumber, ListNumber, Listed, NotLinked, Work};
pub use paused::Paused;
pub use sqlite::Sqlite;
pub use verification::{Difference, Finding, Mend, Verification, VerificationNumber, VerifyCounts, Wish};

/// A row number of `subscriptions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriptionId(pub i64);

/// A row number of `pipelines`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PipelineId(pub i64);

/// What a channel of a source org is known to have delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    pub id: SubscriptionId,
    pub position: Position,
}

/// Where a subscription stands (design, "Positions and gaps").
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position {
    /// The last id known complete.
    pub replay_id: Option<ReplayId>,
    /// Committed before the first subscribe, by the org's clock.
    pub started_at: Option<Timestamp>,
    /// The org's time of the last proof of being live and caught up.
    pub live_until: Option<Timestamp>,
}

impl Position {
    /// Nothing that was committed before this time is owed any more.
    pub fn proof(&self) -> Option<Timestamp> {
        self.live_until.or(self.started_at)
    }
}

/// A subscription as the state shows it, whether a bridge runs or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionRow {
    pub id: SubscriptionId,
    pub org: OrgName,
    pub channel: Channel,
    pub transport: Transport,
    pub position: Position,
    /// When the last event came from the bus, by our clock.
    pub last_event: Option<Timestamp>,
    /// Entries of the journal that it made.
    pub journaled: u64,
    pub open_gaps: u64,
}

/// Parked records of a pipeline that have the same cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedCause {
    pub pipeline: PipelineId,
    pub state: ParkedState,
    pub code: String,
    pub records: u64,
}

/// What became of a group of arrivals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    pub head: Seq,
    pub journaled: u64,
    pub doubles: u64,
}

/// What makes a pipeline the same after a restart. A change of any of these is an error (design, "Store").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineIdentity {
    pub name: PipelineName,
    pub source_org: OrgName,
    pub channel: Channel,
    pub source_object: ObjectName,
    pub target_org: OrgName,
    pub target_object: ObjectName,
    pub key: FieldName,
}

/// A pipeline as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineRow {
    pub id: PipelineId,
    pub identity: PipelineIdentity,
    /// Everything up to here is settled.
    pub watermark: Seq,
    /// Rows of `parked` that wait, and that failed.
    pub parked: u64,
    pub failed: u64,
    /// Records that were written without a lookup, which is filled when what it leads to comes.
    pub unfilled: u64,
    pub halted: Option<Halted>,
    /// When it was resumed last, the journal reached up to here.
    pub passes_to: Seq,
    /// How many records of its target object go out in one call, where it was found that they must be fewer.
    pub batch_size: Option<usize>,
}

/// The code of a parked row that waits for what a lookup leads to; of a failed record, that it is not there.
pub const LOOKUP_MISSING: &str = "LOOKUP_MISSING";

/// The code of a failed record whose parent's pipeline leaves the parent out.
pub const PARENT_EXCLUDED: &str = "PARENT_EXCLUDED";

/// The code of a failed record whose parent is deleted in the source.
pub const PARENT_DELETED: &str = "PARENT_DELETED";

/// Why a record will have no counterpart, as the code of the failed records that waited for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotComing {
    /// Its pipeline leaves it out.
    Excluded,
    /// It is deleted in the source.
    Deleted,
}

impl NotComing {
    pub fn code(self) -> &'static str {
        match self {
            Self::Excluded => PARENT_EXCLUDED,
            Self::Deleted => PARENT_DELETED,
        }
    }
}

/// The code of a parked row that waits for its pipeline.
pub const PIPELINE_HALTED: &str = "PIPELINE_HALTED";

/// A pipeline that stopped by itself, or was stopped by a person, and waits for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halted {
    pub why: String,
    /// By our clock.
    pub at: Timestamp,
}

/// One journaled change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub seq: Seq,
    pub change: Change,
    pub received: Timestamp,
}

/// Entries of a pipeline's channel and object above a number, and how far was looked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub entries: Vec<Entry>,
    /// The last number scanned, even if nothing matched: that of the last entry when there may be more, else the
    /// head; `after` when nothing was above it.
    pub last_seq: Seq,
}

/// What mapping a page needs to know; answered in one query for each kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    pub records: Vec<RecordId>,
    /// Parents by the target object that their pipeline writes, and their id in the source.
    pub parents: Vec<Parent>,
}

/// A record of the source as the parent of others: the target object that its pipeline writes, and its source id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Parent {
    pub target_object: ObjectName,
    pub record: RecordId,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    pub applied: HashMap<RecordId, Applied>,
    /// The target record of each source record that has one, for the pipeline's own target object.
    pub links: HashMap<RecordId, RecordId>,
    /// Source records whose target record is known to have been created by the bridge.
    pub created: HashSet<RecordId>,
    pub parked: HashMap<RecordId, Parked>,
    /// The target records of those parents that have one.
    pub parents: HashMap<Parent, RecordId>,
}

/// Up to where a record of a pipeline is settled, and whether it was deleted there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    pub seq: Seq,
    pub tombstone: bool,
}

/// A key that was refused, or that waits for another (design, "Parked is a dirty key"). `Debug` leaves out what was sent
/// and what the org said.
#[derive(Clone, PartialEq, Eq)]
pub struct Parked {
    pub pipeline: PipelineId,
    pub record: RecordId,
    pub from: Seq,
    pub to: Seq,
    pub state: ParkedState,
    /// The org's code, or ours (`NOT_VISIBLE`, `KEY_EMPTY`).
    pub code: String,
    pub fields: Vec<String>,
    pub waits_for: Option<Parent>,
    pub attempts: u32,
    pub tried_at: Timestamp,
    /// What the org said, for people. Never shown in a log.
    pub evidence: String,
    /// What was sent last, as JSON, for people: it holds values. None: nothing was, or it was
    /// erased.
    pub request: Option<String>,
}

impl fmt::Debug for Parked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parked")
            .field("pipeline", &self.pipeline)
            .field("record", &self.record)
            .field("from", &self.from)
            .field("to", &self.to)
            .field("state", &self.state)
            .field("code", &self.code)
            .field("fields", &self.fields)
            .field("waits_for", &self.waits_for)
            .field("attempts", &self.attempts)
            .field("tried_at", &self.tried_at)
            .field("was_sent", &self.request.is_some())
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParkedState {
    /// Waits for a parent, or for a record to become visible.
    Waiting,
    /// A failed record: nothing happens until it changes again or a person acts.
    Failed,
}

/// A record that a request in flight speaks of, or whose request was never answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    pub pipeline: PipelineId,
    pub record: RecordId,
    /// Set when the answer was lost: not before this time is the record read whole and written once more.
    pub suspect_until: Option<Timestamp>,
}

/// A job of the Bulk API into a target org that may not have ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkJob {
    pub org: OrgName,
    pub job: JobId,
    pub object: ObjectName,
    pub begun_at: Timestamp,
}

/// What is new of an org's privacy rules since they were noted last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NotedPrivacy {
    pub new: Vec<PrivacyRule>,
    /// These hold no more. What was stored under them stays as they left it.
    pub dropped: Vec<PrivacyRule>,
}

/// Entries that were stored before a rule for their values was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InClear {
    pub object: ObjectName,
    /// Those fields whose rules came later.
    pub fields: Vec<FieldPath>,
    /// Entries of the object, and of messages that may speak of any.
    pub entries: u64,
}

impl fmt::Display for InClear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events = counted(self.entries, "event");
        let fields: Vec<&str> = self.fields.iter().map(FieldPath::as_str).collect();
        let (object, fields) = (&self.object, fields.join(", "));
        write!(
            f,
            "{events} stored before the rules of `privacy` may hold {fields} of {object}. With the bridge stopped, \
             `orgbridge journal scrub` applies the rules to them"
        )
    }
}

/// What one stretch of scrubbing did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scrubbed {
    pub looked_at: u64,
    pub rewritten: u64,
    /// Failed or waiting records of which the target's own message was erased: it may quote a value.
    pub evidence: u64,
    /// Nothing is left to look at.
    pub done: bool,
}

/// What was erased of one record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Entries that name it and held values.
    pub events: u64,
    /// Of these, those that name other records too: their values are one and the same, so they are gone for all of them.
    pub shared: u64,
    /// PushTopic and generic events in which its id stands.
    pub notifications: u64,
    /// Failed or waiting records whose evidence was erased.
    pub evidence: u64,
    /// Platform events in which its id stands. They are left as they are: they speak of what happened, not of a record.
    pub mentions: u64,
}

/// One transaction of outcomes. Applied in the order of the fields here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settlement {
    /// What happened, in order. What only repeats the record's last row takes its place. Rows about what ends with this
    /// settlement come behind them.
    pub history: Vec<Happened>,
    pub applied: Vec<(PipelineId, RecordId, Applied)>,
    pub links: Vec<LinkChange>,
    /// Rows of `parked` that end: a whole write or a delete settled up to this number. A row that reaches further stays.
    pub close: Vec<(PipelineId, RecordId, Seq)>,
    /// Rows to add. One that exists is widened to hold both ranges; code, state and evidence are the newer ones, the request
    /// too where there is one, and attempts add up.
    pub park: Vec<Parked>,
    /// Lookups that were left out before and are not any more. All of a record end with `close`, that is with a whole write.
    pub filled: Vec<(PipelineId, RecordId, FieldName)>,
    /// Lookups that were left out of what was written.
    pub unfilled: Vec<Unfilled>,
    /// Records that will have no counterpart: rows that wait for them are failed records, which still hear of it if one comes
    /// all the same.
    pub not_coming: Vec<(PipelineId, RecordId, NotComing)>,
    /// Rows that exist are widened to this number, nothing else changes; where none exists nothing happens.
    pub widen: Vec<(PipelineId, RecordId, Seq)>,
    /// Rows of `sent` whose outcome is known. One that is suspect stays.
    pub answered: Vec<(PipelineId, RecordId)>,
    /// Suspect rows of `sent` whose record was read whole and written after `suspect_until`: they end.
    pub cleared: Vec<(PipelineId, RecordId)>,
    /// Rows of `sent` whose answer was lost.
    pub suspect: Vec<(PipelineId, RecordId, Timestamp)>,
    /// Pipelines that stopped by themselves: why, and when by our clock. One that is halted already stays as it is.
    pub halts: Vec<(PipelineId, String, Timestamp)>,
    pub watermarks: Vec<(PipelineId, Seq)>,
    /// How many records of the pipeline's target object go out in one call from now on.
    pub batch_sizes: Vec<(PipelineId, usize)>,
}

/// A lookup that leads to nothing in the target yet. Its record was written without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfilled {
    pub pipeline: PipelineId,
    pub record: RecordId,
    pub field: FieldName,
    /// Where a pipeline writes what it leads to. Anything else is looked for again after a time.
    pub parent: Option<Parent>,
    pub tried_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkChange {
    /// Takes the place of a link that led elsewhere. `created`: whether the bridge created the target record; of a link
    /// that leads there already only a yes changes what is known.
    Set { pipeline: PipelineId, source: RecordId, target: RecordId, created: Option<bool> },
    /// Only where the link still leads there.
    Drop { pipeline: PipelineId, source: RecordId, target: RecordId },
}

/// Rows of `parked` that wait for a parent which has a link now, because of this settlement: it set the link, or
/// parked the row. Oldest first. They stay until a whole write closes them; after a start, rows that were woken and
/// not closed are found by `restless`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settled {
    pub woken: Vec<(PipelineId, RecordId)>,
    /// The same for records with a lookup that was left out.
    pub fillable: Vec<(PipelineId, RecordId)>,
    /// Rows that this settlement parked, and whose parent waits, perhaps through others, for them.
    pub circles: Vec<(PipelineId, RecordId, Parent)>,
}

/// Records of a pipeline that should be tried again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overdue {
    /// Rows of `parked`.
    pub woken: Vec<RecordId>,
    /// Records with a lookup that was left out.
    pub fillable: Vec<RecordId>,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("state file {path}: {reason}")]
    Open { path: String, reason: String },
    #[error("state file {path} is in use by process {pid} ({command}): stop it first, or use another state file")]
    InUse { path: String, pid: String, command: String },
    #[error(
        "pipeline {name}: its {what} changed from {old} to {new}. Its progress belongs to the old one: change it \
         back, or give it up with `orgbridge pipeline forget {name}`"
    )]
    OtherPipeline { name: PipelineName, what: &'static str, old: String, new: String },
    #[error(
        "org {org}: the login leads to org {found}, but the state belongs to org {pinned}. Nothing was read or \
         written. If this is meant: `orgbridge org accept-new {org}`"
    )]
    OtherOrg { org: OrgName, pinned: String, found: String },
    #[error("the state file refused an operation")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The contract is in the module's doc.
pub trait Store: Clone + Send + Sync + 'static {
    /// Ties the org's name to the id of the org behind its login; an error if it was another one before.
    fn pin_org(&self, org: &OrgName, org_id: &str) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The id that the org's name is tied to; none before the first login.
    fn pinned_org(&self, org: &OrgName) -> impl Future<Output = Result<Option<String>, StoreError>> + Send;

    /// The subscription of this channel; made if there is none. To be asked before each subscribe that starts from
    /// what is saved: an id that is not known complete by then counts for nothing, for its events come again.
    fn subscription(
        &self,
        org: &OrgName,
        channel: &Channel,
    ) -> impl Future<Output = Result<Subscription, StoreError>> + Send;

    /// Commits `started_at`; where one is, it stays.
    fn start(&self, id: SubscriptionId, at: Timestamp) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Journals what arrived, in order, with the position that covers it.
    ///
    /// - GAP events, wildcards and overflows are entries, and gaps. An event that could not be read is a gap with what
    ///   is left of it, and an entry where its records are known.
    /// - A refused position clears the replay id and opens a gap from the last proof of being live (or the start) to
    ///   the first new event after it, or to the next `Live`, whichever comes first. It closes when the newest event
    ///   that the bus brought before it comes again, if `live_until` was within the channel's retention; else it is an
    ///   outage. An outage is also noticed without a refusal, by our clock: nothing came for longer than the retention;
    ///   or no id is known, so that what comes is the earliest, and the last proof is older than the retention.
    /// - `Skipped` leaves the window from the last proof to its time. A refusal that nothing followed becomes it.
    /// - `Found` is an entry, and a gap where the bus should have told. `Window` is a gap; one that is open already with
    ///   the same cause, object and beginning is widened.
    /// - `Probed` tells that everything of the object since the previous `Probed` was compared, deleted records
    ///   included (the probe asks by queryAll; what was removed for good in between leaves no row, and only getDeleted
    ///   tells of it), and is in the journal by now. The first one covers nothing. What is covered closes windows of
    ///   refused positions and outages that lie wholly inside it, once this holds for the channel's object, or, on a
    ///   channel of several, for each that a pipeline reads.
    fn append(
        &self,
        id: SubscriptionId,
        group: Vec<Arrival>,
        received: Timestamp,
    ) -> impl Future<Output = Result<Appended, StoreError>> + Send;

    /// By which transport the org's subscriptions were received last; none before the first.
    fn transport(&self, org: &OrgName) -> impl Future<Output = Result<Option<Transport>, StoreError>> + Send;

    /// The subscription is received by this transport from now on. A replay id that another one gave means nothing to
    /// it: that is treated as a refused position, `at` this time of the org's clock.
    fn received_by(
        &self,
        id: SubscriptionId,
        transport: Transport,
        at: Timestamp,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// A schema that was kept.
    fn schema(&self, org: &OrgName, schema_id: &str)
    -> impl Future<Output = Result<Option<String>, StoreError>> + Send;

    fn keep_schema(
        &self,
        org: &OrgName,
        schema_id: &str,
        schema: String,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Up to where the truth probe has looked; none before the first.
    fn probed(
        &self,
        id: SubscriptionId,
        object: &ObjectName,
    ) -> impl Future<Output = Result<Option<Timestamp>, StoreError>> + Send;

    /// Of these records those of which the subscription has no part that was committed at or after the time beside
    /// them. A part that says that the record was read (of our own making) counts like any.
    fn unjournaled(
        &self,
        id: SubscriptionId,
        rows: Vec<(RecordId, Timestamp)>,
    ) -> impl Future<Output = Result<Vec<RecordId>, StoreError>> + Send;

    /// The last number given; 0 before the first.
    fn head(&self) -> impl Future<Output = Result<Seq, StoreError>> + Send;

    /// The gaps that are open, oldest first.
    fn gaps(&self) -> impl Future<Output = Result<Vec<Gap>, StoreError>> + Send;

    /// Gaps that were closed, the last one first.
    fn mended_gaps(&self, limit: usize) -> impl Future<Output = Result<Vec<Gap>, StoreError>> + Send;

    /// What opened a window is over at this time of the org's clock. One whose end is known stays as it is.
    fn gap_ends(&self, id: i64, to: Timestamp) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// False if it is closed already, or there is none.
    fn close_gap(&self, id: i64, by: Mended) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Another org is behind the name's login, and that is meant. Its id is pinned; nothing that speaks of the old one
    /// counts any more: its subscriptions begin anew (numbers of subscriptions known so far are refused, their entries
    /// are nobody's and their gaps are closed), pipelines that read it stand at the head without parked records, links
    /// and applied numbers of all pipelines from or to it are gone, and each of these pipelines has a window that asks
    /// for a backfill. False if the name is tied to that org already, or was tied to none.
    fn accept_org(&self, org: &OrgName, org_id: &str) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Subscriptions in the order in which they were made.
    fn subscriptions(&self) -> impl Future<Output = Result<Vec<SubscriptionRow>, StoreError>> + Send;

    /// Events that each subscription was delivered since the beginning of the hour (UTC) of this time of our clock, by
    /// the same measure as the org: doubles, and what nobody wants, are included. Hours are kept for eight days.
    fn deliveries(
        &self,
        since: Timestamp,
    ) -> impl Future<Output = Result<HashMap<SubscriptionId, u64>, StoreError>> + Send;

    /// How many events a start at the earliest would bring, at this time of our clock: what came within the channel's
    /// retention, and for hours in which nothing was heard the average of those that are known. 0 if none is.
    fn retained_estimate(
        &self,
        id: SubscriptionId,
        now: Timestamp,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// The pipeline of this name; made, with this watermark, if there is none. One that differs is an error. One that
    /// was forgotten is made anew, with a gap from then to now.
    fn pipeline(
        &self,
        identity: &PipelineIdentity,
        first_watermark: Seq,
    ) -> impl Future<Output = Result<PipelineRow, StoreError>> + Send;

    /// Those that were not forgotten, in the order in which they were made.
    fn pipelines(&self) -> impl Future<Output = Result<Vec<PipelineRow>, StoreError>> + Send;

    /// Gives up watermark, applied numbers, parked rows and sent rows. Links stay: they belong to the pair of orgs.
    /// False if there is no such pipeline.
    fn forget_pipeline(&self, name: &PipelineName) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// The pipeline goes on: it is halted no longer. None if there is no such pipeline, false if it was not halted.
    fn resume(&self, name: &PipelineName) -> impl Future<Output = Result<Option<bool>, StoreError>> + Send;

    /// Records that were parked with [`PIPELINE_HALTED`], each with the first part that waits, and whose pipeline is not halted. In
    /// the order of pipelines and records, from behind `after` on. Asked page by page after a start.
    fn held(
        &self,
        after: Option<(PipelineId, RecordId)>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<(PipelineId, RecordId, Seq)>, StoreError>> + Send;

    /// Stops the pipeline as a person wants. None if there is no such pipeline, false if it was halted already: it stays as
    /// it is.
    fn halt(
        &self,
        name: &PipelineName,
        why: &str,
        at: Timestamp,
    ) -> impl Future<Output = Result<Option<bool>, StoreError>> + Send;

    /// Nothing is to be written into the org, which need not be known yet. False if it was so already: that stays as it is.
    fn pause_org(&self, org: &OrgName, paused: Paused) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// The org is paused no longer. False if it was not.
    fn resume_org(&self, org: &OrgName) -> impl Future<Output = Result<bool, StoreError>> + Send;

    fn paused_orgs(&self) -> impl Future<Output = Result<BTreeMap<OrgName, Paused>, StoreError>> + Send;

    /// At most about `limit` entries of the pipeline's channel and object, oldest first.
    fn page(
        &self,
        pipeline: PipelineId,
        after: Seq,
        limit: usize,
    ) -> impl Future<Output = Result<Page, StoreError>> + Send;

    /// What is remembered of these records and parents. One of which nothing is known is left out.
    fn known(
        &self,
        pipeline: PipelineId,
        question: Question,
    ) -> impl Future<Output = Result<Answer, StoreError>> + Send;

    /// For each record the kind of its newest journaled part up to `up_to`; a record without one is left out, but for one that
    /// is settled as deleted: then its entry was trimmed.
    fn newest_parts(
        &self,
        pipeline: PipelineId,
        records: Vec<RecordId>,
        up_to: Seq,
    ) -> impl Future<Output = Result<HashMap<RecordId, ChangeKind>, StoreError>> + Send;

    /// Notes, before a request goes out, the records that it speaks of. A row that is suspect stays so.
    fn sending(&self, rows: Vec<(PipelineId, RecordId)>) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// What `sending` noted and nothing settled.
    fn sent(&self) -> impl Future<Output = Result<Vec<Sent>, StoreError>> + Send;

    /// Notes a job of the Bulk API before anything is in it.
    fn bulk_begun(&self, job: BulkJob) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The jobs into this org that were begun and have not ended, oldest first.
    fn bulk_jobs(&self, org: &OrgName) -> impl Future<Output = Result<Vec<BulkJob>, StoreError>> + Send;

    /// The job is over and what it did is settled, or found as suspect.
    fn bulk_ended(&self, job: &JobId) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Notes records for a job to read: behind those of a list, or as a new one. A list that no job wants is gone when the state is
    /// opened the next time; that of a job, when it is over.
    fn add_to_list(
        &self,
        list: Option<ListNumber>,
        records: Vec<Listed>,
    ) -> impl Future<Output = Result<ListNumber, StoreError>> + Send;

    /// Records of a list behind its first `after`, at most `limit`.
    fn listed(
        &self,
        list: ListNumber,
        after: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Listed>, StoreError>> + Send;

    /// How many records a list has.
    fn list_length(&self, list: ListNumber) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Something of the past is to be read for a pipeline. None: one of the same kind, or a repair of the same gap, is not over yet.
    fn add_job(
        &self,
        pipeline: PipelineId,
        work: Work,
        at: Timestamp,
    ) -> impl Future<Output = Result<Option<JobNumber>, StoreError>> + Send;

    /// The same for a backfill of everything, if the pipeline never had one but such as failed. Whether that is so.
    fn add_first_backfill(
        &self,
        pipeline: PipelineId,
        at: Timestamp,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Links the records of a list with the counterparts that it names, and adds the job that gives those the key; in one
    /// transaction, for which nothing of the pipeline may be on its way. A pair that does not fit what is known is not linked,
    /// but noted as such for the job: one of the two is linked otherwise, or a request of which the answer is not known may
    /// still make a counterpart. What an earlier import of the pipeline had noted is forgotten. None: one is not over yet.
    fn import(
        &self,
        pipeline: PipelineId,
        list: ListNumber,
        at: Timestamp,
    ) -> impl Future<Output = Result<Option<JobNumber>, StoreError>> + Send;

    /// Notes pairs of an import that are not linked. Of several reasons the first one stays.
    fn note_not_linked(
        &self,
        job: JobNumber,
        pairs: Vec<NotLinked>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Those that were noted for the last import of a pipeline, by the record of the source, behind this one; at most `limit`.
    fn not_linked(
        &self,
        pipeline: PipelineId,
        after: Option<RecordId>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<NotLinked>, StoreError>> + Send;

    /// Jobs that are not over, in the order in which they were added.
    fn open_jobs(&self) -> impl Future<Output = Result<Vec<Job>, StoreError>> + Send;

    /// Jobs that are over, the last one first.
    fn ended_jobs(&self, limit: usize) -> impl Future<Output = Result<Vec<Job>, StoreError>> + Send;

    fn job(&self, number: JobNumber) -> impl Future<Output = Result<Option<Job>, StoreError>> + Send;

    /// Everything that the job read before `cursor` is settled, parked or left out. One that is over stays as it is.
    fn job_moved(
        &self,
        number: JobNumber,
        cursor: Option<Cursor>,
        counts: JobCounts,
        at: Timestamp,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// False if it was over already, or there is none.
    fn job_ended(&self, number: JobNumber, ended: JobEnded) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// The two sides of a pipeline are to be compared. None: that is under way already.
    fn add_verification(
        &self,
        pipeline: PipelineId,
        wish: Wish,
        at: Timestamp,
    ) -> impl Future<Output = Result<Option<VerificationNumber>, StoreError>> + Send;

    /// All that are not over, and of each pipeline the last whole one that is, the last sample, and the last if it failed; in the order in
    /// which they were added.
    fn verifications(&self) -> impl Future<Output = Result<Vec<Verification>, StoreError>> + Send;

    /// It begins, or begins anew: what it had found counts no more.
    fn verification_begins(
        &self,
        number: VerificationNumber,
        at: Timestamp,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// What it has counted, and what it has found since the last time.
    fn verification_moved(
        &self,
        number: VerificationNumber,
        counts: VerifyCounts,
        found: Vec<Difference>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// It is over, and takes the place of the one before it of its kind. False if it was over already, or there is none.
    fn verification_ended(
        &self,
        number: VerificationNumber,
        ended: JobEnded,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// What it found, behind the first `after`, at most `limit`.
    fn differences(
        &self,
        number: VerificationNumber,
        after: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Difference>, StoreError>> + Send;

    /// The source records of those of these target records that a link leads to.
    fn sources_of(
        &self,
        pipeline: PipelineId,
        targets: Vec<RecordId>,
    ) -> impl Future<Output = Result<HashMap<RecordId, RecordId>, StoreError>> + Send;

    /// When each field of the counterparts of these records was written last, by our clock, as far back as history goes.
    fn last_writes(
        &self,
        pipeline: PipelineId,
        records: Vec<RecordId>,
    ) -> impl Future<Output = Result<HashMap<RecordId, HashMap<String, Timestamp>>, StoreError>> + Send;

    /// Of these records those with an entry that is not settled, or with a request whose outcome is not known.
    fn on_their_way(
        &self,
        pipeline: PipelineId,
        records: Vec<RecordId>,
    ) -> impl Future<Output = Result<HashSet<RecordId>, StoreError>> + Send;

    /// The numbers of the entries that were committed at or after the first time and before the second (received, where an
    /// event does not say when it was committed) lie in this span; others may too. It may have to look at many, so it is to be
    /// asked once, and is no single transaction: what comes meanwhile may be left out.
    fn journal_span(
        &self,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> impl Future<Output = Result<Span, StoreError>> + Send;

    /// At most `limit` entries of the span that are sought, by number. There may be fewer, or none, and more behind them: where
    /// nothing says where they are, some thousand are looked through at a time.
    fn journal_page(
        &self,
        sought: &Sought,
        span: Span,
        limit: usize,
    ) -> impl Future<Output = Result<JournalPage, StoreError>> + Send;

    /// The numbers of the first and the last entry of a subscription with this replay id. It may have to look at all of them, so
    /// it is no single transaction: what comes meanwhile may be left out.
    fn replayed(
        &self,
        id: SubscriptionId,
        replay_id: ReplayId,
    ) -> impl Future<Output = Result<Option<(Seq, Seq)>, StoreError>> + Send;

    /// Counted as they came and went, so it costs nothing to ask.
    fn journal_figures(&self) -> impl Future<Output = Result<JournalFigures, StoreError>> + Send;

    /// Deletes of the next entries above `after`, at most `limit`, those that are too old, or too many, at this time of our
    /// clock, and that nobody needs any more. Kept are in any case
    ///
    /// - those received within [`Retain::AT_LEAST`];
    /// - what is above the watermark of a pipeline that reads it, or read by one that has an open job;
    /// - what an open gap names, or would be closed by;
    /// - what belongs to a row of `parked`: entries of its record from its first number to its last;
    /// - deletions of records that have a link in the orgs of a pipeline, of those in `sent`, and of those that lack a lookup.
    fn trim_journal(
        &self,
        retain: Retain,
        now: Timestamp,
        after: Seq,
        limit: usize,
    ) -> impl Future<Output = Result<Trimmed, StoreError>> + Send;

    /// Of these records of the pipeline's source those that an entry above the number names.
    fn journaled_after(
        &self,
        pipeline: PipelineId,
        records: Vec<RecordId>,
        after: Seq,
    ) -> impl Future<Output = Result<HashSet<RecordId>, StoreError>> + Send;

    /// Rows of `parked` that should be tried now: they were widened after their last try, or wait for a parent that has
    /// a link; not those of a halted pipeline. Asked once at the start; a running bridge hears of both as they happen.
    fn restless(&self) -> impl Future<Output = Result<Vec<(PipelineId, RecordId)>, StoreError>> + Send;

    /// What should be tried again at this time although nothing told of it: records that wait, for what they wait for may
    /// never come or may have come unseen; and those that were written without what a lookup leads to. The first time `pause` after the last try, then each time after twice as long, at most
    /// a day. Nothing of a halted pipeline; the oldest first, at most `limit` of each kind.
    fn overdue(
        &self,
        pipeline: PipelineId,
        now: Timestamp,
        pause: Duration,
        limit: usize,
    ) -> impl Future<Output = Result<Overdue, StoreError>> + Send;

    /// Rows of the pipeline that have waited for a parent since before this time are failed records from now on, which still
    /// hear of the parent. How many there are.
    fn give_up_parents(
        &self,
        pipeline: PipelineId,
        since: Timestamp,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// See [`Settlement`].
    fn settle(&self, settlement: Settlement) -> impl Future<Output = Result<Settled, StoreError>> + Send;

    /// Rows of `parked`, oldest first.
    fn parked(&self, limit: usize) -> impl Future<Output = Result<Vec<Parked>, StoreError>> + Send;

    /// Rows of `parked` counted, the most frequent cause of a pipeline first.
    fn parked_causes(&self) -> impl Future<Output = Result<Vec<ParkedCause>, StoreError>> + Send;

    /// Rows of `parked` by cause, the most frequent first.
    fn failed_causes(&self, which: &Which) -> impl Future<Output = Result<Vec<FailedCause>, StoreError>> + Send;

    /// Rows of `parked` by pipeline and record, from behind `after` on.
    fn failed(
        &self,
        which: &Which,
        after: Option<RowId>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<FailedRecord>, StoreError>> + Send;

    /// The entries between these two numbers, both included, that name a record of a pipeline; oldest first.
    fn events_of(
        &self,
        row: RowId,
        between: (Seq, Seq),
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Entry>, StoreError>> + Send;

    /// Records that had failed and are none any more, the last one first: those of the 30 days before `now`, by our clock.
    /// `which` is about what they were.
    fn healed(
        &self,
        which: &Which,
        now: Timestamp,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Healed>, StoreError>> + Send;

    /// Removes what `healed` tells no more. With each new one this is done anyway; so that it ends also where nothing fails
    /// any more, asked at the start.
    fn trim_healed(&self, now: Timestamp) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Marks rows of `parked` to be tried again; how many. The mark goes with the row, or when the row is parked again after
    /// somebody took it.
    fn redrive(&self, which: &Which, at: Timestamp) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Marked rows of these pipelines that nobody has taken, at most `limit`; not those of a halted pipeline. They are
    /// taken now.
    fn take_redrives(
        &self,
        pipelines: &[PipelineId],
        limit: usize,
    ) -> impl Future<Output = Result<Vec<RowId>, StoreError>> + Send;

    /// Nobody works on marked rows: whoever had taken them is gone.
    fn redrives_anew(&self) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Gives up the parts of these rows of `parked`; how many. What changes later is as if they had been applied. Rows that
    /// wait for one of them as their parent become failed records ([`PARENT_DISCARDED`]) if it has no link; one that it gets
    /// wakes them all the same. Only while nobody has anything of it in memory.
    fn discard(&self, which: &Which, at: Timestamp) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// What happened to a record of a source org in all its pipelines, in order: the last `limit` rows.
    fn history_of(
        &self,
        org: &OrgName,
        record: RecordId,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<HistoryRow>, StoreError>> + Send;

    /// The pairs of which a record is either side, in whichever orgs: those that links name, and behind them those that only
    /// `history` remembers.
    fn links_of(&self, record: RecordId) -> impl Future<Output = Result<Vec<Linked>, StoreError>> + Send;

    /// The entries that name a record of an org, whichever subscription brought them, in order: the last `limit`.
    fn entries_of(
        &self,
        org: &OrgName,
        record: RecordId,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Entry>, StoreError>> + Send;

    /// Up to which row of `history` people were told what happened to the pipeline's records. None: they never were told anything.
    fn told(&self, pipeline: PipelineId) -> impl Future<Output = Result<Option<i64>, StoreError>> + Send;

    /// They were told up to there.
    fn tell(&self, pipeline: PipelineId, to: i64) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The newest row of `history`; zero: there is none.
    fn newest_history(&self) -> impl Future<Output = Result<i64, StoreError>> + Send;

    /// What there is to tell them of the next rows behind `after`, at most `limit` of all pipelines.
    fn news(
        &self,
        pipeline: PipelineId,
        after: i64,
        limit: usize,
    ) -> impl Future<Output = Result<News, StoreError>> + Send;

    /// Which of these are failed records: code and evidence.
    fn failures(
        &self,
        pipeline: PipelineId,
        records: Vec<RecordId>,
    ) -> impl Future<Output = Result<HashMap<RecordId, (String, String)>, StoreError>> + Send;

    /// The last digest that went out.
    fn digest(&self) -> impl Future<Output = Result<Option<SentDigest>, StoreError>> + Send;

    fn digest_sent(&self, sent: &SentDigest) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes of the next rows of `history` behind `after`, at most `limit`, those from before this time. Of each record in each
    /// pipeline the newest row and the newest that tells of a write stay, however old they are.
    fn trim_history(
        &self,
        before: Timestamp,
        after: i64,
        limit: usize,
    ) -> impl Future<Output = Result<HistoryTrimmed, StoreError>> + Send;

    /// Notes the privacy rules that hold for the org from the next entry on.
    fn note_privacy(
        &self,
        org: &OrgName,
        rules: &[PrivacyRule],
    ) -> impl Future<Output = Result<NotedPrivacy, StoreError>> + Send;

    /// The rules that were noted last, by object and field.
    fn noted_privacy(&self, org: &OrgName) -> impl Future<Output = Result<Vec<PrivacyRule>, StoreError>> + Send;

    /// What is stored of the org without these rules having been applied to it, by object. A rule that was not noted yet
    /// counts as of now. Nothing that could hold such a value is left out; there may be less in it.
    fn in_clear(
        &self,
        org: &OrgName,
        rules: &[PrivacyRule],
    ) -> impl Future<Output = Result<Vec<InClear>, StoreError>> + Send;

    /// Notes these rules, and applies them to the next entries, at most `limit`, that were stored without them. Each once to
    /// each entry, also where this was broken off: a hash is not hashed again. Only while no bridge runs, for it may hold
    /// old values in memory.
    fn scrub(
        &self,
        org: &OrgName,
        rules: &Privacy,
        limit: usize,
    ) -> impl Future<Output = Result<Scrubbed, StoreError>> + Send;

    /// Erases the values that are stored of one record of the org. Its id stays, with what is known of its counterpart
    /// and how far it is settled, for without them a later change would be a gap or a second record. An entry that named
    /// its values becomes one that says only that there was a change (its GAP form), so what is not settled yet is read.
    /// Only while no bridge runs.
    fn forget_record(
        &self,
        org: &OrgName,
        record: RecordId,
    ) -> impl Future<Output = Result<Forgotten, StoreError>> + Send;

    /// The action of this identity; made if there is none, with everything up to `first_watermark` taken as done.
    ///
    /// # Errors
    /// When its name stands for another one.
    fn action(
        &self,
        identity: &ActionIdentity,
        first_watermark: Seq,
    ) -> impl Future<Output = Result<ActionRow, StoreError>> + Send;

    /// All that were not removed. `page`, `halt`, `resume` and `forget_pipeline` are for them, too; `pipelines` does not list
    /// them.
    fn actions(&self) -> impl Future<Output = Result<Vec<ActionRow>, StoreError>> + Send;

    /// Rows of `actions` that a start must know: those above the watermark, and those that are not over.
    fn known_actions(&self, pipeline: PipelineId) -> impl Future<Output = Result<Vec<ActionDone>, StoreError>> + Send;

    /// See [`ActionSettlement`].
    fn settle_actions(
        &self,
        pipeline: PipelineId,
        settlement: ActionSettlement,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Notes for each window that was opened since the last time in front of this action, and in which events may be gone, a
    /// failed action ([`EVENTS_GONE`]). How many. What names its records is an entry, and comes by itself.
    fn events_gone(&self, pipeline: PipelineId, at: Timestamp) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Failed actions by action and entry, from behind `after` on.
    fn failed_actions(
        &self,
        which: &WhichActions,
        after: Option<ActionPlace>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<FailedAction>, StoreError>> + Send;

    /// Marks failed actions to be done again; how many. Those of gaps are none: nobody knows what they would be done for.
    fn redrive_actions(
        &self,
        which: &WhichActions,
        at: Timestamp,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Marked failed actions of one action, the oldest events first, at most `limit`. They stay marked until they are settled anew.
    fn redriven_actions(
        &self,
        pipeline: PipelineId,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<ActionDone>, StoreError>> + Send;

    /// Gives failed actions up, but for those that are marked to be done again; how many.
    fn discard_actions(&self, which: &WhichActions) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// The entries of these numbers that are still there, in order.
    fn entries_at(&self, seqs: Vec<Seq>) -> impl Future<Output = Result<Vec<Entry>, StoreError>> + Send;

    /// When the oldest entry above each pipeline's watermark was committed, or came where it does not say. A pipeline
    /// that is done is left out.
    fn oldest_unsettled(&self) -> impl Future<Output = Result<HashMap<PipelineId, Timestamp>, StoreError>> + Send;
}
