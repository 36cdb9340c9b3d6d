//! What a job reads from the source, page by page, from wherever it was.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use serde_json::{Map, Value as Json};

use crate::config::OnDelete;
use crate::event::{FieldName, FieldPath, Found, RecordId, Seq, Timestamp};
use crate::hydrate;
use crate::mapping::Mapping;
use crate::org::{CallError, Cells, Code, Disposition, JobState, Org, READ_MAX, soql};
use crate::store::{Cursor, Work};

/// From so many records on they are read by a query job of the Bulk API. Below, that would cost more calls than it saves.
const BULK_FROM: u64 = 20_000;
/// A longer list of fields does not fit a URL together with a condition (facts: rest.md section 1): the ids are asked for alone.
const SELECT_MAX: usize = 10_000;
/// Rows of a page: by REST as many as the org gives in one answer, by Bulk as many as are worth a call.
const QUERY_PAGE: usize = 2_000;
const BULK_PAGE: usize = 5_000;

/// How much earlier than its commit a record's stamp can be: as long as a transaction was open.
const MARGIN: Duration = Duration::from_secs(300);
const SECOND: Duration = Duration::from_secs(1);
/// The org's log of deletions reaches back so far at most (facts: rest.md section 10).
const DELETIONS: Duration = Duration::from_secs(15 * 24 * 3_600 - 3_600);

/// Where a job begins, and how many records it has to read, if the org could count them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beginning {
    pub cursor: Cursor,
    pub total: Option<u64>,
    /// What is read is as of this time of the org's clock, or later.
    pub as_of: Timestamp,
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
    #[error(
        "the object has no SystemModstamp to query by, so what changed within a time cannot be told: `orgbridge backfill` reads all of it"
    )]
    NotByTime,
    /// All that the org still tells is read by now.
    #[error(
        "what changed was read; but what was deleted between {since} and {until} and is out of the recycle bin the org does not \
         tell any more"
    )]
    Untold { since: Timestamp, until: Timestamp },
}

/// Begins: counts, and asks for a query job where that is worth it, unless `by_bulk` is false. `at`: up to where the journal is
/// scanned.
///
/// # Errors
/// When the org does not answer, or refuses the condition.
pub async fn begin(
    source: &Org,
    mapping: &Mapping,
    work: &Work,
    at: Seq,
    by_bulk: bool,
) -> Result<Beginning, ReadError> {
    // Its answer tells the org's time.
    let described = source.describe_now(&mapping.source_object).await?;
    let as_of = source.server_time();
    let condition = match work {
        Work::Backfill { condition } => condition,
        Work::Repair { from: None, .. } => &None,
        Work::Repair { from: Some(from), .. } => {
            if !described.object.queryable || !described.has("SystemModstamp") {
                return Err(ReadError::NotByTime);
            }
            // What changed again since the gap has a newer stamp.
            let (from, to) = (second(from.minus(MARGIN)), second(as_of).plus(SECOND));
            return Ok(Beginning { cursor: Cursor::Changed { from, to }, total: None, as_of });
        }
    };
    let total = match source.count(&mapping.source_object, condition.as_deref()).await {
        Ok(total) => Some(total),
        // So many that it takes too long to count them.
        Err(error) if error.code() == Some(&Code::QueryTimeout) => None,
        Err(error) => return Err(error.into()),
    };
    if by_bulk && total.is_none_or(|total| total >= BULK_FROM) {
        let condition = condition.as_ref().map(|condition| format!(" WHERE {condition}")).unwrap_or_default();
        match source.create_query(&format!("{}{condition}", select(mapping))).await {
            Ok(job) => {
                let cursor = Cursor::Bulk { job: job.id, at: at.0, locator: None };
                return Ok(Beginning { cursor, total, as_of });
            }
            // Not offered for this object, not allowed, or the allocation of 24 hours is spent: queries can do it, too.
            Err(error) if matches!(error.disposition(), Disposition::Split | Disposition::Halt { .. }) => {}
            Err(error) if error.code() == Some(&Code::LimitExceeded) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Beginning { cursor: Cursor::Query { after: None }, total, as_of })
}

/// The page at a cursor.
///
/// # Errors
/// When the org does not answer, or refuses.
pub async fn page(source: &Org, mapping: &Mapping, work: &Work, cursor: &Cursor) -> Result<Step, ReadError> {
    let condition = match work {
        Work::Backfill { condition } => condition.as_ref(),
        Work::Repair { .. } => None,
    };
    match cursor {
        Cursor::Query { after } => {
            let after = after.map(|after| format!("Id > {}", soql::literal(after.as_str())));
            let condition = condition.map(|condition| format!("({condition})"));
            let both: Vec<String> = condition.into_iter().chain(after).collect();
            let condition = if both.is_empty() { String::new() } else { format!(" WHERE {}", both.join(" AND ")) };
            let select = select(mapping);
            let wide = soql::encoded_length(&select) > SELECT_MAX;
            let select = if wide { format!("SELECT Id FROM {}", mapping.source_object) } else { select };
            let rows = source.query(&format!("{select}{condition} ORDER BY Id LIMIT {QUERY_PAGE}")).await?;
            let full = rows.len() >= QUERY_PAGE;
            let found = if wide {
                let ids: Vec<RecordId> = rows.iter().filter_map(|row| hydrate::id_of(row, "Id")).collect();
                read(source, mapping, &ids).await?
            } else {
                found(mapping, rows)
            };
            let last = found.keys().max().copied().filter(|_| full);
            let next = last.map(|last| Cursor::Query { after: Some(last) });
            let next = next.or_else(|| gone_since(source, mapping, work));
            Ok(Step::Page { found, at: None, next })
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
                    // The org gave it up, or somebody there did.
                    JobState::Failed | JobState::Aborted => return Ok(Step::Gone),
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
            let next = next.or_else(|| gone_since(source, mapping, work));
            Ok(Step::Page { found: found(mapping, rows), at: Some(Seq(*at)), next })
        }
        Cursor::Changed { from, to } => {
            let deletions = source.describe(&mapping.source_object).await?.has("IsDeleted");
            let changes = source.changed(&mapping.source_object, *from, *to, QUERY_PAGE, deletions).await?;
            let ids: Vec<RecordId> = changes.rows.iter().map(|row| row.record).collect();
            let found = read(source, mapping, &ids).await?;
            let from = changes.complete_until;
            let next =
                if from < *to { Some(Cursor::Changed { from, to: *to }) } else { gone_since(source, mapping, work) };
            Ok(Step::Page { found, at: None, next })
        }
        Cursor::Deleted { from, to, after, known_from } => {
            deleted(source, mapping, (*from, *to), *after, *known_from).await
        }
        Cursor::Untold { since, until } => Err(ReadError::Untold { since: *since, until: *until }),
    }
}

/// Where a repair goes on when it has read what is there: with what is gone. None where deletes are nobody's business.
fn gone_since(source: &Org, mapping: &Mapping, work: &Work) -> Option<Cursor> {
    let Work::Repair { from, .. } = work else { return None };
    if mapping.on_delete == OnDelete::Ignore {
        return None;
    }
    let to = second(source.server_time()).plus(SECOND);
    let reach = second(source.server_time().minus(DELETIONS));
    let wanted = from.map_or(reach, |from| second(from.minus(MARGIN)));
    Some(Cursor::Deleted {
        from: wanted.max(reach),
        to,
        after: None,
        known_from: Some(reach).filter(|reach| wanted < *reach),
    })
}

/// A page of what the org's log of deletions tells.
async fn deleted(
    source: &Org,
    mapping: &Mapping,
    (from, to): (Timestamp, Timestamp),
    after: Option<RecordId>,
    known_from: Option<Timestamp>,
) -> Result<Step, ReadError> {
    let log = match source.deleted(&mapping.source_object, from, to).await {
        Ok(log) => log,
        // The org keeps nothing of that time.
        Err(error) if error.code().is_some_and(|code| code.as_str() == "INVALID_REPLICATION_DATE") => {
            let next = Some(Cursor::Untold { since: from, until: to });
            return Ok(Step::Page { found: HashMap::new(), at: None, next });
        }
        // The object has no such log (UNSURE which code it gets), or too much is in it for one answer.
        Err(error) if matches!(error.disposition(), Disposition::Split) => {
            let next = Some(Cursor::Untold { since: from, until: to });
            return Ok(Step::Page { found: HashMap::new(), at: None, next });
        }
        Err(error) => return Err(error.into()),
    };
    let known_from = log.earliest.filter(|earliest| *earliest > from).max(known_from);
    // By id, for a record that comes back is in the log no more.
    let gone: BTreeSet<RecordId> = log.rows.iter().map(|row| row.record).collect();
    let behind = gone.into_iter().filter(|id| after.is_none_or(|after| *id > after));
    let ids: Vec<RecordId> = behind.take(QUERY_PAGE).collect();
    let mut found = read(source, mapping, &ids).await?;
    for id in &ids {
        // It is in no bin any more, and only the log knows.
        found.entry(*id).or_insert(Found::Deleted);
    }
    let next = match ids.last().filter(|_| ids.len() >= QUERY_PAGE) {
        Some(last) => Some(Cursor::Deleted { from, to, after: Some(*last), known_from }),
        None => known_from.map(|until| Cursor::Untold { since: from.min(until), until }),
    };
    Ok(Step::Page { found, at: None, next })
}

async fn read(source: &Org, mapping: &Mapping, ids: &[RecordId]) -> Result<HashMap<RecordId, Found>, CallError> {
    let mut found = HashMap::new();
    for ids in ids.chunks(READ_MAX) {
        found.extend(hydrate::records(source, mapping, ids).await?);
    }
    Ok(found)
}

fn second(time: Timestamp) -> Timestamp {
    Timestamp(time.0.div_euclid(1_000) * 1_000)
}

/// What the org keeps for a job is not needed any more.
pub async fn end(source: &Org, cursor: &Cursor) {
    match cursor {
        Cursor::Query { .. } | Cursor::Changed { .. } | Cursor::Deleted { .. } | Cursor::Untold { .. } => {}
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
