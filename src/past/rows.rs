//! Reads rows of an object, page by page: a query job of the Bulk API where there are many, else queries in the order of ids.

use serde_json::{Map, Value as Json};

use crate::event::{FieldName, ObjectName, RecordId};
use crate::hydrate;
use crate::org::{CallError, Cells, Code, Disposition, JobId, JobState, Org, READ_MAX, soql};

/// From so many records on they are read by a query job of the Bulk API. Below, that would cost more calls than it saves.
const BULK_FROM: u64 = 20_000;
/// A longer list of fields does not fit a URL together with a condition (facts: rest.md section 1): the ids are asked for alone.
const SELECT_MAX: usize = 10_000;
/// Rows of a page: by REST as many as the org gives in one answer, by Bulk as many as are worth a call.
pub const QUERY_PAGE: usize = 2_000;
const BULK_PAGE: usize = 5_000;

pub type Row = Map<String, Json>;

/// Which rows: those of an object that meet a condition (SOQL, as behind WHERE), in these fields.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    pub org: &'a Org,
    pub object: &'a ObjectName,
    /// `Id` among them.
    pub fields: &'a [FieldName],
    pub condition: Option<&'a str>,
}

/// How they are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    Queries,
    /// The org prepares them.
    Job(JobId),
}

/// What a query job gives.
#[derive(Debug)]
pub enum Part {
    Rows {
        rows: Vec<Row>,
        /// Of the next part; none: this was the last.
        locator: Option<String>,
    },
    /// The org is still at it.
    NotYet,
    /// What it had prepared is gone, or it gave it up.
    Gone,
}

impl Rows<'_> {
    /// How they are to be read, and how many they are, if the org could count them. A query job is begun where that is worth it,
    /// unless `by_job` is false.
    pub async fn begin(&self, by_job: bool) -> Result<(Way, Option<u64>), CallError> {
        let total = match self.org.count(self.object, self.condition).await {
            Ok(total) => Some(total),
            // So many that it takes too long to count them.
            Err(error) if error.code() == Some(&Code::QueryTimeout) => None,
            Err(error) => return Err(error),
        };
        if by_job && total.is_none_or(|total| total >= BULK_FROM) {
            let condition = self.condition.map(|condition| format!(" WHERE {condition}")).unwrap_or_default();
            match self.org.create_query(&format!("{}{condition}", self.select())).await {
                Ok(job) => return Ok((Way::Job(job.id), total)),
                // Not offered for this object, not allowed, or the allocation of 24 hours is spent: queries can do it, too.
                Err(error) if matches!(error.disposition(), Disposition::Split | Disposition::Halt { .. }) => {}
                Err(error) if error.code() == Some(&Code::LimitExceeded) => {}
                Err(error) => return Err(error),
            }
        }
        Ok((Way::Queries, total))
    }

    /// At most `most` rows behind an id, in the order of ids: their ids, and the rows unless their fields are too many for a query.
    pub async fn behind(
        &self,
        after: Option<RecordId>,
        most: usize,
    ) -> Result<(Vec<RecordId>, Option<Vec<Row>>), CallError> {
        let after = after.map(|after| format!("Id > {}", soql::literal(after.as_str())));
        let condition = self.condition.map(|condition| format!("({condition})"));
        let both: Vec<String> = condition.into_iter().chain(after).collect();
        let condition = if both.is_empty() { String::new() } else { format!(" WHERE {}", both.join(" AND ")) };
        let select = self.select();
        let wide = soql::encoded_length(&select) > SELECT_MAX;
        let select = if wide { format!("SELECT Id FROM {}", self.object) } else { select };
        let rows = self.org.query(&format!("{select}{condition} ORDER BY Id LIMIT {most}")).await?;
        let ids = rows.iter().filter_map(|row| hydrate::id_of(row, "Id")).collect();
        Ok((ids, (!wide).then_some(rows)))
    }

    /// As [`Self::behind`], with rows in any case: those that are gone when they are read by their ids are left out.
    pub async fn rows_behind(
        &self,
        after: Option<RecordId>,
        most: usize,
    ) -> Result<(Vec<Row>, Option<RecordId>), CallError> {
        let (ids, rows) = self.behind(after, most).await?;
        let last = ids.last().copied().filter(|_| ids.len() >= most);
        if let Some(rows) = rows {
            return Ok((rows, last));
        }
        let mut rows = Vec::new();
        for ids in ids.chunks(READ_MAX) {
            rows.extend(self.org.read(self.object, ids, self.fields).await?.into_iter().flatten());
        }
        Ok((rows, last))
    }

    /// The part of a query job's rows at a locator; none: the first.
    pub async fn part(&self, job: &JobId, locator: Option<&str>) -> Result<Part, CallError> {
        if locator.is_none() {
            let running = match self.org.query_job(job).await {
                Ok(running) => running,
                Err(error) if error.is_not_found() => return Ok(Part::Gone),
                Err(error) => return Err(error),
            };
            match running.state {
                JobState::JobComplete => {}
                JobState::Open | JobState::UploadComplete | JobState::InProgress => return Ok(Part::NotYet),
                // Or somebody there gave it up.
                JobState::Failed | JobState::Aborted => return Ok(Part::Gone),
            }
        }
        let described = self.org.describe(self.object).await?;
        let cells = Cells::new(self.fields, &described);
        let (rows, next) = match self.org.query_rows(job, locator, BULK_PAGE, &cells).await {
            Ok(answer) => answer,
            Err(error) if error.is_not_found() => return Ok(Part::Gone),
            Err(error) => return Err(error),
        };
        // The same part again would be read for ever.
        Ok(Part::Rows { rows, locator: next.filter(|next| locator != Some(next)) })
    }

    fn select(&self) -> String {
        let names: Vec<&str> = self.fields.iter().map(FieldName::as_str).collect();
        format!("SELECT {} FROM {}", names.join(","), self.object)
    }
}
