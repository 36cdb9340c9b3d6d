//! Ingest jobs: an upload, what it becomes, and what came of each row (bulk2.md sections 1 to 4).

mod columns;

use std::sync::Arc;

use axum::body::Bytes;
use serde_json::{Value as Json, json};

pub use columns::Columns;

use super::csv::{Format, Sheet};
use super::job::{Job, State};
use crate::org::{FieldIndex, Id, ObjectIndex, SaveError};

/// From this version on failed rows are given back with the id of their record.
const FAILED_IDS_SINCE: u32 = 53;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Insert,
    Update,
    Upsert,
    Delete,
    HardDelete,
}

impl Operation {
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::Insert, Self::Update, Self::Upsert, Self::Delete, Self::HardDelete];
        all.into_iter().find(|operation| operation.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Upsert => "upsert",
            Self::Delete => "delete",
            Self::HardDelete => "hardDelete",
        }
    }

    pub fn deletes(self) -> bool {
        matches!(self, Self::Delete | Self::HardDelete)
    }
}

/// By what an upsert finds its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub name: String,
    /// `None`: the record's own id.
    pub field: Option<FieldIndex>,
}

/// What a job is to do.
#[derive(Debug, Clone)]
pub struct Spec {
    pub object: ObjectIndex,
    pub object_name: String,
    pub operation: Operation,
    /// Of an upsert.
    pub key: Option<Key>,
    /// New records get their owner by this rule.
    pub assignment_rule: Option<String>,
    /// The `changeOrigin` of its events.
    pub origin: String,
}

/// What came of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Saved {
        id: Id,
        created: bool,
    },
    /// The record, where it is known, and the error as results show it.
    Failed {
        id: Option<Id>,
        error: String,
    },
}

#[derive(Debug)]
pub struct Ingest {
    pub job: Job,
    pub spec: Spec,
    pub data: Option<Bytes>,
    /// The data cut into rows, once the job has been started.
    pub sheet: Option<Arc<Sheet>>,
    /// Of the first rows, in their order.
    pub outcomes: Arc<Vec<Outcome>>,
    pub failed: usize,
    /// Microseconds within transactions.
    pub active: i64,
    /// The order of the results follows from it.
    pub seed: u64,
}

impl Ingest {
    /// What the answers to a creation and to a change of state show.
    pub fn show(&self) -> Json {
        let mut shown = self.job.show(&self.spec.object_name, self.spec.operation.name());
        if let Some(key) = &self.spec.key {
            shown.insert("externalIdFieldName".into(), json!(key.name));
        }
        if let Some(rule) = &self.spec.assignment_rule {
            shown.insert("assignmentRuleId".into(), json!(rule));
        }
        if self.job.state == State::Open {
            // Without a leading slash, as the platform has it.
            let url = format!("services/data/v{}.0/jobs/ingest/{}/batches", self.job.version, self.job.id);
            shown.insert("contentUrl".into(), json!(url));
        }
        Json::Object(shown)
    }

    /// What a list of jobs shows of each.
    pub fn listed(&self) -> Json {
        let mut shown = self.show();
        if let Some(shown) = shown.as_object_mut() {
            shown.insert("jobType".into(), json!("V2Ingest"));
        }
        shown
    }

    /// The whole of it, with counters.
    pub fn info(&self, now: i64) -> Json {
        let mut shown = self.listed();
        if let Some(shown) = shown.as_object_mut() {
            let counters = json!({
                "numberRecordsProcessed": self.outcomes.len(), "numberRecordsFailed": self.failed, "retries": 0,
                "totalProcessingTime": self.job.total_ms(now), "apiActiveProcessingTime": self.active / 1_000,
                "apexProcessingTime": 0,
            });
            shown.extend(counters.as_object().cloned().unwrap_or_default());
            if let Some(error) = &self.job.error {
                shown.insert("errorMessage".into(), json!(error));
            }
        }
        shown
    }

    /// Notes what came of the next rows.
    pub fn record(&mut self, outcomes: Vec<Outcome>) {
        self.failed += outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Failed { .. })).count();
        Arc::make_mut(&mut self.outcomes).extend(outcomes);
    }

    /// What the results are made of, to be read without holding on to the job.
    pub fn results(&self, sheet: Arc<Sheet>) -> Results {
        let (outcomes, version, format) = (self.outcomes.clone(), self.job.version, self.job.format);
        Results { sheet, outcomes, version, format, seed: self.seed }
    }
}

/// The rows of a job that has ended.
#[derive(Debug)]
pub struct Results {
    sheet: Arc<Sheet>,
    outcomes: Arc<Vec<Outcome>>,
    version: u32,
    format: Format,
    seed: u64,
}

/// Which rows are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Successful,
    Failed,
    Unprocessed,
}

impl Kind {
    pub fn named(name: &str) -> Option<Self> {
        let all = [
            ("successfulResults", Self::Successful),
            ("failedResults", Self::Failed),
            ("unprocessedrecords", Self::Unprocessed),
        ];
        all.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, kind)| kind)
    }
}

impl Results {
    /// The rows of a kind, in the order in which they are given out: not that of the upload.
    pub fn rows(&self, kind: Kind) -> Vec<usize> {
        let done = self.outcomes.len();
        let mut rows: Vec<usize> = match kind {
            Kind::Unprocessed => (done..self.sheet.len()).collect(),
            _ => {
                let wanted = |outcome: &Outcome| matches!(outcome, Outcome::Saved { .. }) == (kind == Kind::Successful);
                self.outcomes.iter().enumerate().filter(|(_, outcome)| wanted(outcome)).map(|(row, _)| row).collect()
            }
        };
        fastrand::Rng::with_seed(self.seed).shuffle(&mut rows);
        rows
    }

    /// These rows as CSV, with the header in front.
    pub fn csv(&self, kind: Kind, rows: &[usize]) -> String {
        let failed_ids = self.version >= FAILED_IDS_SINCE;
        let mut out = String::new();
        let own: &[&str] = match kind {
            Kind::Successful => &["sf__Id", "sf__Created"],
            Kind::Failed if failed_ids => &["sf__Id", "sf__Error"],
            Kind::Failed => &["sf__Error"],
            Kind::Unprocessed => &[],
        };
        let header = self.sheet.header();
        self.format.write(&mut out, own.iter().copied().chain(header.iter().map(String::as_str)));
        for &row in rows {
            let (cells, _) = self.sheet.row(row);
            // As wide as the header, also where the row was not.
            let cells = (0..header.len()).map(|place| cells.get(place).map_or("", AsRef::as_ref));
            match (kind, self.outcomes.get(row)) {
                (Kind::Successful, Some(Outcome::Saved { id, created })) => {
                    let own = [id.as_str(), if *created { "true" } else { "false" }];
                    self.format.write(&mut out, own.into_iter().chain(cells));
                }
                (Kind::Failed, Some(Outcome::Failed { id, error })) => {
                    let id = failed_ids.then(|| id.as_ref().map_or("", Id::as_str));
                    self.format.write(&mut out, id.into_iter().chain([error.as_str()]).chain(cells));
                }
                _ => self.format.write(&mut out, cells),
            }
        }
        out
    }
}

/// `CODE:message:fields --`. Of several errors only the first is told: how more would look, the facts do not say.
pub fn error_text(error: &SaveError) -> String {
    let fields = error.fields.join(",");
    let end = if fields.is_empty() { "--".into() } else { format!("{fields} --") };
    format!("{}:{}:{end}", error.code, error.message)
}

#[cfg(test)]
mod tests;
