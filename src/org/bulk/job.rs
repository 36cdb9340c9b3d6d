//! An ingest job as it is asked for, and how any job is as the org tells of it; pure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::code::OrgText;
use super::trouble::JobTrouble;
use crate::event::{FieldName, ObjectName, RecordId};

/// The id of a job. It stands in paths, so it holds nothing but letters and digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId(String);

/// Text that is no id of a job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a job")]
pub struct InvalidJobId;

impl JobId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for JobId {
    type Err = InvalidJobId;

    fn from_str(text: &str) -> Result<Self, InvalidJobId> {
        let is_id = matches!(text.len(), 15 | 18) && text.bytes().all(|c| c.is_ascii_alphanumeric());
        if is_id { Ok(Self(text.to_owned())) } else { Err(InvalidJobId) }
    }
}

impl TryFrom<String> for JobId {
    type Error = InvalidJobId;

    fn try_from(text: String) -> Result<Self, InvalidJobId> {
        text.parse()
    }
}

impl From<JobId> for String {
    fn from(id: JobId) -> Self {
        id.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is to be done with the rows of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobKind {
    Upsert { key: FieldName },
    Update,
    Delete,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    pub object: ObjectName,
    pub kind: JobKind,
    /// Whom new records belong to. None: nobody assigns them (facts: bulk2.md section 1; UNSURE: that the rule that is active
    /// for the object stays out of it).
    pub assignment_rule: Option<RecordId>,
}

impl NewJob {
    pub(super) fn json(&self) -> Value {
        let operation = match self.kind {
            JobKind::Upsert { .. } => "upsert",
            JobKind::Update => "update",
            JobKind::Delete => "delete",
        };
        let mut job = json!({
            "object": self.object.as_str(), "operation": operation,
            "contentType": "CSV", "lineEnding": "LF", "columnDelimiter": "COMMA",
        });
        if let JobKind::Upsert { key } = &self.kind {
            job["externalIdFieldName"] = json!(key.as_str());
        }
        if let Some(rule) = &self.assignment_rule {
            job["assignmentRuleId"] = json!(rule.as_str());
        }
        job
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// Waits for its rows.
    Open,
    /// Waits to be worked off.
    UploadComplete,
    InProgress,
    /// All rows were tried; any of them may have failed.
    JobComplete,
    /// Stopped by the org. What was done stays done.
    Failed,
    Aborted,
}

impl JobState {
    /// Nothing more is done.
    pub fn is_final(self) -> bool {
        match self {
            Self::Open | Self::UploadComplete | Self::InProgress => false,
            Self::JobComplete | Self::Failed | Self::Aborted => true,
        }
    }

    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "Open" => Self::Open,
            "UploadComplete" => Self::UploadComplete,
            "InProgress" => Self::InProgress,
            "JobComplete" => Self::JobComplete,
            "Failed" => Self::Failed,
            "Aborted" => Self::Aborted,
            _ => return None,
        })
    }
}

/// A job at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningJob {
    pub id: JobId,
    pub state: JobState,
    /// Rows that were tried, failed ones too. Not every answer tells.
    pub processed: u64,
    pub failed: u64,
    /// Why it failed, in the org's own words.
    pub error: Option<OrgText>,
}

impl RunningJob {
    /// None: this is no job, or in a state that nobody knows.
    pub(super) fn read(json: &Value) -> Option<Self> {
        let text = |key: &str| json.get(key).and_then(Value::as_str);
        let count = |key: &str| json.get(key).and_then(Value::as_u64).unwrap_or_default();
        Some(Self {
            id: text("id")?.parse().ok()?,
            state: JobState::named(text("state")?)?,
            processed: count("numberRecordsProcessed"),
            failed: count("numberRecordsFailed"),
            error: text("errorMessage").map(OrgText::new),
        })
    }

    /// Why it ended before all rows were tried.
    pub fn trouble(&self) -> Option<JobTrouble> {
        let said = self.error.as_ref().map(OrgText::reveal);
        match self.state {
            JobState::Failed => Some(JobTrouble::of_job(said.unwrap_or_default())),
            // By somebody in the org.
            JobState::Aborted => Some(JobTrouble::Failing),
            JobState::Open | JobState::UploadComplete | JobState::InProgress | JobState::JobComplete => None,
        }
    }
}
