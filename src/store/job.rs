//! What reads the past: a backfill, a repair. Each is a row that says what is to be done and how far it is, so that a bridge that
//! was killed goes on where it was.

use serde::{Deserialize, Serialize};

use super::{PipelineId, Through};
use crate::event::{RecordId, Timestamp};
use crate::org::JobId;

/// A row number of `jobs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobNumber(pub i64);

/// Something of the past that is to be read for a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub number: JobNumber,
    pub pipeline: PipelineId,
    pub work: Work,
    /// Where to go on; none: at the beginning.
    pub cursor: Option<Cursor>,
    pub counts: JobCounts,
    pub created_at: Timestamp,
    /// When the first row was asked for.
    pub begun_at: Option<Timestamp>,
    pub ended: Option<JobEnded>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Work {
    /// All records of the source object, or those that meet a condition (SOQL, as behind WHERE).
    Backfill { condition: Option<String> },
    /// What has changed or gone since a gap began, by the org's clock; none: everything.
    Repair { gap: i64, from: Option<Timestamp> },
    /// Records that events of some time named, as they are now.
    Reapply { list: ListNumber },
    /// What has changed or gone since a time, by the org's clock, whatever events told of it.
    ReapplySince { from: Timestamp },
    /// Records of which a verification found that the two orgs differ.
    Mend { list: ListNumber },
    /// Records that are linked with counterparts which a person named. The counterparts are given the key, and nothing else.
    Import { list: ListNumber },
}

impl Work {
    /// What the history of a record says of it.
    pub fn through(&self) -> Through {
        match self {
            Self::Backfill { .. } => Through::Backfill,
            Self::Repair { .. } => Through::Repair,
            Self::Reapply { .. } | Self::ReapplySince { .. } => Through::Reapply,
            Self::Mend { .. } => Through::Verify,
            Self::Import { .. } => Through::Import,
        }
    }

    /// As people and programs read it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Backfill { .. } => "backfill",
            Self::Repair { .. } => "repair",
            Self::Reapply { .. } | Self::ReapplySince { .. } => "reapply",
            Self::Mend { .. } => "mend",
            Self::Import { .. } => "import",
        }
    }

    /// It reads what has changed or gone since this time; none: everything.
    pub fn since(&self) -> Option<Option<Timestamp>> {
        match self {
            Self::Repair { from, .. } => Some(*from),
            Self::ReapplySince { from } => Some(Some(*from)),
            Self::Backfill { .. } | Self::Reapply { .. } | Self::Mend { .. } | Self::Import { .. } => None,
        }
    }

    /// The records that it reads, where somebody named them.
    pub fn list(&self) -> Option<ListNumber> {
        match self {
            Self::Reapply { list } | Self::Mend { list } | Self::Import { list } => Some(*list),
            Self::Backfill { .. } | Self::Repair { .. } | Self::ReapplySince { .. } => None,
        }
    }
}

/// Records that somebody named, for a job to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ListNumber(pub i64);

/// A record of the source that a list names, and its counterpart where the list names that too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    pub record: RecordId,
    pub target: Option<RecordId>,
}

/// A pair of an import that was not linked, and why, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotLinked {
    pub record: RecordId,
    pub target: RecordId,
    pub why: String,
}

/// How far a job is, in a way that lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Cursor {
    /// Page by page, in the order of ids.
    Query { after: Option<RecordId> },
    /// A query job of the Bulk API. What it reads stands for the journal up to `at`; `locator`: of the next page.
    Bulk { job: JobId, at: u64, locator: Option<String> },
    /// What has changed, from a time of the org's clock to another.
    Changed { from: Timestamp, to: Timestamp },
    /// What has gone since a time (none: as far back as the org tells), in the order of ids.
    Deleted { since: Option<Timestamp>, to: Timestamp, after: Option<RecordId> },
    /// The records of a list, behind its first so many.
    Listed { after: u64 },
    /// All is read that the org still tells; of deletions of this time it tells nothing.
    Untold { since: Timestamp, until: Timestamp },
}

impl Cursor {
    /// The query job whose results are read.
    pub fn query(&self) -> Option<&JobId> {
        match self {
            Self::Bulk { job, .. } => Some(job),
            Self::Query { .. }
            | Self::Changed { .. }
            | Self::Deleted { .. }
            | Self::Listed { .. }
            | Self::Untold { .. } => None,
        }
    }
}

/// What a job has done, as far as that is sure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JobCounts {
    /// As they were counted at the beginning; none where the org could not count them in time.
    pub total: Option<u64>,
    /// Rows that were read, and are written, parked or left out.
    pub rows: u64,
    /// Of both orgs, to read.
    pub calls: u64,
    /// What is read is as of this time of the source's clock, or later.
    pub as_of: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobEnded {
    pub at: Timestamp,
    pub how: JobEnd,
    /// For people; empty where all went well.
    pub why: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobEnd {
    Done,
    Failed,
    /// By a person.
    Stopped,
}

impl JobEnd {
    const ALL: [Self; 3] = [Self::Done, Self::Failed, Self::Stopped];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

impl std::str::FromStr for JobEnd {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|end| end.as_str() == text).ok_or(())
    }
}
