//! What a job reads from the source, page by page, from wherever it was.

use std::collections::HashMap;

use serde_json::{Map, Value as Json};

use crate::event::{FieldName, FieldPath, Found, RecordId, Seq};
use crate::hydrate;
use crate::mapping::Mapping;
use crate::org::{CallError, Cells, Code, Disposition, JobState, Org, soql};
use crate::store::{Cursor, Work};

/// From so many records on they are read by a query job of the Bulk API. Below, that would cost more calls than it saves.
const BULK_FROM: u64 = 20_000;
/// Rows of a page: by REST as many as the org gives in one answer, by Bulk as many as are worth a call.
const QUERY_PAGE: usize = 2_000;
const BULK_PAGE: usize = 5_000;

/// Where a job begins, and how many records it has to read, if the org could count them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beginning {
    pub cursor: Cursor,
    pub total: Option<u64>,
}

/// What the source answered.
#[derive(Debug)]
pub enum Step {
    Page {
        found: HashMap<RecordId, Found>,
        /// Up to where the journal was scanned when the rows were asked for; none: as of this page.
        at: Option<Seq>,
        /// Where the next page begins; none: this was the last.
        next: Option<Cursor>,
    },
    /// The org is still at it.
    NotYet,
    /// What the org had prepared is gone. The job begins anew.
    Gone,
}

/// A job that cannot be done as it is.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Call(#[from] CallError),
    /// The org gave up, in its own words.
    #[error("the org gave up the query")]
    GivenUp(String),
}

/// Begins: counts, and asks for a query job where that is worth it. `at`: up to where the journal is scanned.
///
/// # Errors
/// When the org does not answer, or refuses the condition.
pub async fn begin(source: &Org, mapping: &Mapping, work: &Work, at: Seq) -> Result<Beginning, CallError> {
    let Work::Backfill { condition } = work;
    let total = match source.count(&mapping.source_object, condition.as_deref()).await {
        Ok(total) => Some(total),
        // So many that it takes too long to count them.
        Err(error) if error.code() == Some(&Code::QueryTimeout) => None,
        Err(error) => return Err(error),
    };
    if total.is_none_or(|total| total >= BULK_FROM) {
        let condition = condition.as_ref().map(|condition| format!(" WHERE {condition}")).unwrap_or_default();
        match source.create_query(&format!("{}{condition}", select(mapping))).await {
            Ok(job) => return Ok(Beginning { cursor: Cursor::Bulk { job: job.id, at: at.0, locator: None }, total }),
            // Not offered for this object, not allowed, or the allocation of 24 hours is spent: queries can do it, too.
            Err(error) if matches!(error.disposition(), Disposition::Split | Disposition::Halt { .. }) => {}
            Err(error) if error.code() == Some(&Code::LimitExceeded) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Beginning { cursor: Cursor::Query { after: None }, total })
}

/// The page at a cursor.
///
/// # Errors
/// When the org does not answer, or refuses.
pub async fn page(source: &Org, mapping: &Mapping, work: &Work, cursor: &Cursor) -> Result<Step, ReadError> {
    let Work::Backfill { condition } = work;
    match cursor {
        Cursor::Query { after } => {
            let after = after.map(|after| format!("Id > {}", soql::literal(after.as_str())));
            let condition = condition.as_ref().map(|condition| format!("({condition})"));
            let both: Vec<String> = condition.into_iter().chain(after).collect();
            let condition = if both.is_empty() { String::new() } else { format!(" WHERE {}", both.join(" AND ")) };
            let rows = source.query(&format!("{}{condition} ORDER BY Id LIMIT {QUERY_PAGE}", select(mapping))).await?;
            let full = rows.len() >= QUERY_PAGE;
            let found = found(mapping, rows);
            let last = found.keys().max().copied().filter(|_| full);
            Ok(Step::Page { found, at: None, next: last.map(|last| Cursor::Query { after: Some(last) }) })
        }
        Cursor::Bulk { job, at, locator } => {
            if locator.is_none() {
                let running = match source.query_job(job).await {
                    Ok(running) => running,
                    Err(error) if is_gone(&error) => return Ok(Step::Gone),
                    Err(error) => return Err(error.into()),
                };
                match running.state {
                    JobState::JobComplete => {}
                    JobState::Open | JobState::UploadComplete | JobState::InProgress => return Ok(Step::NotYet),
                    // By somebody in the org.
                    JobState::Aborted => return Ok(Step::Gone),
                    JobState::Failed => {
                        let said = running.error.map(|error| error.reveal().to_owned());
                        return Err(ReadError::GivenUp(said.unwrap_or_default()));
                    }
                }
            }
            let described = source.describe(&mapping.source_object).await?;
            let fields = fields(mapping);
            let cells = Cells::new(&fields, &described);
            let (rows, next) = match source.query_rows(job, locator.as_deref(), BULK_PAGE, &cells).await {
                Ok(answer) => answer,
                Err(error) if is_gone(&error) => return Ok(Step::Gone),
                Err(error) => return Err(error.into()),
            };
            // The same page again would be read for ever.
            let next = next.filter(|next| locator.as_ref() != Some(next));
            let next = next.map(|next| Cursor::Bulk { job: job.clone(), at: *at, locator: Some(next) });
            Ok(Step::Page { found: found(mapping, rows), at: Some(Seq(*at)), next })
        }
    }
}

/// What the org keeps for a job is not needed any more.
pub async fn end(source: &Org, cursor: &Cursor) {
    match cursor {
        Cursor::Query { .. } => {}
        // It goes by itself after seven days.
        Cursor::Bulk { job, .. } => drop(source.drop_query(job).await),
    }
}

fn fields(mapping: &Mapping) -> Vec<FieldName> {
    let mut fields: Vec<FieldName> = mapping.reads().iter().map(FieldPath::object_field).collect();
    fields.extend("Id".parse::<FieldName>());
    fields.sort();
    fields.dedup();
    fields
}

fn select(mapping: &Mapping) -> String {
    let fields = fields(mapping);
    let names: Vec<&str> = fields.iter().map(FieldName::as_str).collect();
    format!("SELECT {} FROM {}", names.join(","), mapping.source_object)
}

fn found(mapping: &Mapping, rows: Vec<Map<String, Json>>) -> HashMap<RecordId, Found> {
    let paths = mapping.reads();
    let record = |row: Map<String, Json>| {
        let id = hydrate::id_of(&row, "Id")?;
        Some((id, Found::Record(hydrate::record(id, &paths, &mapping.privacy, row))))
    };
    rows.into_iter().filter_map(record).collect()
}

fn is_gone(error: &CallError) -> bool {
    matches!(error, CallError::Refused { status: 404, .. })
}
