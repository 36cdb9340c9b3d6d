//! What the results of a job mean for each of its writes; pure.

use std::time::Duration;

use tokio::time::Instant;

use super::sheet::Sheet;
use crate::org::{JobKind, JobState, JobTrouble, ResultRow, RunningJob, SaveResult};
use crate::publish::outbox::{Batch, Verdict};
use crate::publish::outcome::{self, Delays, Judgement};

/// What became of one write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    Told(SaveResult),
    /// The job ended before.
    NotTried,
    /// It is in no result: it may have been done.
    Unknown,
}

/// What a job that has ended tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// One for each write, in their order.
    pub rows: Vec<Row>,
    pub trouble: Option<JobTrouble>,
}

impl Told {
    /// `results` in any order, all kinds together. A row of which two things are told was done, and is not tried again.
    pub fn new(sheet: &Sheet, writes: usize, job: &RunningJob, results: Vec<ResultRow>) -> Self {
        let trouble = job.trouble();
        let mut rows = vec![Row::Unknown; writes];
        for ResultRow { key, result } in results {
            let Some(row) = sheet.place(&key).and_then(|place| rows.get_mut(place)) else { continue };
            match (result, &row) {
                (Some(result), Row::Unknown | Row::NotTried) => *row = Row::Told(plain(&sheet.job.kind, result)),
                (None, Row::Unknown) => *row = Row::NotTried,
                (Some(_) | None, _) => {}
            }
        }
        Self { rows, trouble }
    }

    /// Of a job that was not begun.
    pub fn not_tried(writes: usize, trouble: JobTrouble) -> Self {
        Self { rows: vec![Row::NotTried; writes], trouble: Some(trouble) }
    }

    /// As the answer to a call, for whoever looks at codes. What is not known is left out.
    pub fn results(&self) -> impl Iterator<Item = &SaveResult> {
        self.rows.iter().filter_map(|row| match row {
            Row::Told(result) => Some(result),
            Row::NotTried | Row::Unknown => None,
        })
    }
}

/// Whether a record is new is said by upserts alone, as by REST.
fn plain(kind: &JobKind, result: SaveResult) -> SaveResult {
    match (kind, result) {
        (JobKind::Update | JobKind::Delete, SaveResult::Saved { id, .. }) => SaveResult::Saved { id, created: None },
        (_, result) => result,
    }
}

/// Whether results of a kind can have rows. Each costs a call.
pub(super) fn has_rows(job: &RunningJob, writes: usize) -> [bool; 3] {
    let all = job.state == JobState::JobComplete && job.processed >= writes as u64;
    [!all || job.processed > job.failed, !all || job.failed > 0, !all]
}

/// Verdicts for each write, as [`outcome::judge`] has them for a collection.
pub fn judge(batch: &Batch, told: &Told, now: Instant, delays: Delays<impl FnMut(u32) -> Duration>) -> Judgement {
    let answered = told.rows.iter().map(|row| match row {
        Row::Told(result) => Ok(result),
        Row::NotTried => Err(Verdict::Held { at: now }),
        Row::Unknown => Err(Verdict::Unknown { at: now }),
    });
    outcome::judge_each(batch, answered, now, delays)
}

#[cfg(test)]
mod tests;
