//! What proves that two orgs agree: one comparison of a pipeline's two sides, and where they do not.

use serde::{Deserialize, Serialize};

use super::{JobEnded, PipelineId};
use crate::event::{FieldName, RecordId, Timestamp};

/// A row number of `verifications`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct VerificationNumber(pub i64);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    pub number: VerificationNumber,
    pub pipeline: PipelineId,
    pub wish: Wish,
    pub counts: VerifyCounts,
    /// By our clock, as the next.
    pub wanted_at: Timestamp,
    pub begun_at: Option<Timestamp>,
    pub ended: Option<JobEnded>,
}

/// What is to be compared, and what comes of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// Only about so many records of the source, from all over it.
    #[serde(default)]
    pub sample: Option<u64>,
    #[serde(default)]
    pub mend: Mend,
}

/// Which of the records that differ are read and written again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mend {
    #[default]
    Nothing,
    /// But for what was changed in the target, or is not accepted there.
    Differing,
    /// Those too.
    All,
}

/// Records, by what became of them; and API calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VerifyCounts {
    /// Records of the source, as they were counted at the beginning.
    pub total: Option<u64>,
    /// Of the source, and of the target with a key: those that were read.
    pub records: u64,
    pub targets: u64,
    pub equal: u64,
    /// Left out by the pipeline's condition.
    pub excluded: u64,
    /// Of the target: their record of the source is gone or left out, and the pipeline's rules keep them.
    pub kept: u64,
    pub different: u64,
    pub missing: u64,
    pub extra: u64,
    pub failed: u64,
    pub changed_in_target: u64,
    pub not_accepted: u64,
    /// Something of them was still on its way each time that they were looked at.
    pub unsettled: u64,
    /// To the source, and to the target.
    pub source_calls: u64,
    pub target_calls: u64,
    /// Records that a job reads and writes again.
    pub mended: u64,
}

impl VerifyCounts {
    /// Records in which the two orgs do not agree.
    pub fn differences(&self) -> u64 {
        self.different + self.missing + self.extra + self.failed + self.changed_in_target + self.not_accepted
    }

    /// Counts a difference.
    pub fn count(&mut self, what: Finding) {
        *match what {
            Finding::Different => &mut self.different,
            Finding::Missing => &mut self.missing,
            Finding::Extra => &mut self.extra,
            Finding::Failed => &mut self.failed,
            Finding::ChangedInTarget => &mut self.changed_in_target,
            Finding::NotAccepted => &mut self.not_accepted,
            Finding::Unsettled => &mut self.unsettled,
        } += 1;
    }
}

/// A record in which the two orgs do not agree. Names fields, never a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Of the source; none: no record there is known to be its counterpart.
    pub record: Option<RecordId>,
    pub target: Option<RecordId>,
    pub what: Finding,
    /// Of the target, those that differ.
    pub fields: Vec<FieldName>,
    /// Why it failed or waits.
    pub code: Option<String>,
    /// Who changed the target's record last, and when by the org's clock.
    pub by: Option<String>,
    pub at: Option<Timestamp>,
}

impl Difference {
    pub fn of(what: Finding, record: Option<RecordId>, target: Option<RecordId>) -> Self {
        Self { record, target, what, fields: Vec::new(), code: None, by: None, at: None }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    Different,
    /// The source has it, the target does not.
    Missing,
    /// The target has it, the source does not; or the target has it twice.
    Extra,
    /// It is a failed record, or waits for something, or cannot be mapped.
    Failed,
    /// Somebody else changed it after the bridge had written it.
    ChangedInTarget,
    /// The bridge wrote what the source holds, and the target made something else of it.
    NotAccepted,
    /// Something of it was still on its way.
    Unsettled,
}

impl Finding {
    pub const ALL: [Self; 7] = [
        Self::Different,
        Self::Missing,
        Self::Extra,
        Self::Failed,
        Self::ChangedInTarget,
        Self::NotAccepted,
        Self::Unsettled,
    ];

    /// For people and for CSV.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Different => "different",
            Self::Missing => "missing",
            Self::Extra => "extra",
            Self::Failed => "failed record",
            Self::ChangedInTarget => "changed in target",
            Self::NotAccepted => "not accepted",
            Self::Unsettled => "on its way",
        }
    }
}
