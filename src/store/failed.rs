//! What a person asks of failed records, and what is told of them.

use serde::{Deserialize, Serialize};

use super::{Parked, ParkedState, PipelineId};
use crate::event::{ObjectName, OrgName, PipelineName, RecordId, Timestamp};

/// The code of a record that waited for one that was discarded.
pub const PARENT_DISCARDED: &str = "PARENT_DISCARDED";

/// Which rows of `parked`. All that is said must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Which {
    pub pipeline: Option<PipelineName>,
    pub code: Option<String>,
    /// Of the target.
    pub object: Option<ObjectName>,
    pub record: Option<RecordId>,
    /// Parked first at this time or before it.
    pub before: Option<Timestamp>,
    /// Parked first at this time or after it.
    pub after: Option<Timestamp>,
    /// Also those that wait, not only those that failed.
    pub waiting: bool,
}

impl Which {
    /// Whether it leaves anything out, beside what waits.
    pub fn is_narrow(&self) -> bool {
        let Self { pipeline, code, object, record, before, after, waiting: _ } = self;
        pipeline.is_some()
            || code.is_some()
            || object.is_some()
            || record.is_some()
            || before.is_some()
            || after.is_some()
    }
}

/// A row of `parked` with what a person needs to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedRecord {
    pub pipeline: PipelineName,
    pub source_org: OrgName,
    pub source_object: ObjectName,
    pub target_org: OrgName,
    pub target_object: ObjectName,
    pub row: Parked,
    /// When it was parked first.
    pub first_at: Timestamp,
    /// A person wants it tried again, since then.
    pub redrive_at: Option<Timestamp>,
}

/// Rows of `parked` that have the same cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedCause {
    pub pipeline: PipelineName,
    pub state: ParkedState,
    pub code: String,
    pub fields: Vec<String>,
    pub records: u64,
    /// When the oldest of them was parked first.
    pub oldest: Timestamp,
    /// The oldest three.
    pub examples: Vec<RecordId>,
}

/// A failed record that is none any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Healed {
    pub pipeline: PipelineName,
    pub record: RecordId,
    pub code: String,
    pub attempts: u32,
    pub first_at: Timestamp,
    pub closed_at: Timestamp,
    /// In words.
    pub how: String,
}

/// Where a list of rows goes on.
pub type RowId = (PipelineId, RecordId);
