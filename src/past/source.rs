//! What a job reads from the source, page by page, from wherever it was.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::config::OnDelete;
use crate::event::{Found, RecordId, Seq, Timestamp};
use crate::hydrate;
use crate::mapping::Mapping;
use crate::org::{CallError, DELETIONS_KEPT, Disposition, Org, READ_MAX};
use crate::past::rows::{Part, QUERY_PAGE, Row, Rows, Way};
use crate::store::{Cursor, Listed, Work};

/// Records of a list that are read for one page.
pub const NAMED_PAGE: usize = READ_MAX;

/// How much earlier than its commit a record's stamp can be: as long as a transaction was open.
const MARGIN: Duration = Duration::from_secs(300);
const SECOND: Duration = Duration::from_secs(1);

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
        // Who keeps the list knows how long it is.
        Work::Reapply { .. } | Work::Mend { .. } | Work::Import { .. } => {
            return Ok(Beginning { cursor: Cursor::Listed { after: 0 }, total: None, as_of });
        }
        Work::Repair { from: Some(from), .. } | Work::ReapplySince { from } => {
            if !described.object.queryable || !described.has("SystemModstamp") {
                return Err(ReadError::NotByTime);
            }
            // What changed again since the gap has a newer stamp.
            let (from, to) = (from.minus(MARGIN).second(), as_of.second().plus(SECOND));
            return Ok(Beginning { cursor: Cursor::Changed { from, to }, total: None, as_of });
        }
    };
    let fields = hydrate::source_fields(mapping);
    let rows = Rows { org: source, object: &mapping.source_object, fields: &fields, condition: condition.as_deref() };
    let (way, total) = rows.begin(by_bulk).await?;
    let cursor = match way {
        Way::Queries => Cursor::Query { after: None },
        Way::Job(job) => Cursor::Bulk { job, at: at.0, locator: None },
    };
    Ok(Beginning { cursor, total, as_of })
}

/// The page at a cursor. `named`: what a list names behind it, [`NAMED_PAGE`] records unless it ends before.
///
/// # Errors
/// When the org does not answer, or refuses.
pub async fn page(
    source: &Org,
    mapping: &Mapping,
    work: &Work,
    cursor: &Cursor,
    named: &[Listed],
) -> Result<Step, ReadError> {
    let condition = match work {
        Work::Backfill { condition } => condition.as_deref(),
        Work::Repair { .. }
        | Work::Reapply { .. }
        | Work::ReapplySince { .. }
        | Work::Mend { .. }
        | Work::Import { .. } => None,
    };
    let fields = hydrate::source_fields(mapping);
    let rows = Rows { org: source, object: &mapping.source_object, fields: &fields, condition };
    match cursor {
        Cursor::Query { after } => {
            let (ids, rows) = rows.behind(*after, QUERY_PAGE).await?;
            // In the org's order, whatever is left of them when they are read.
            let last = ids.last().copied().filter(|_| ids.len() >= QUERY_PAGE);
            let found = match rows {
                Some(rows) => found(mapping, rows),
                None => read(source, mapping, &ids).await?,
            };
            let next = last.map(|last| Cursor::Query { after: Some(last) });
            let next = next.or_else(|| gone_since(source, mapping, work));
            Ok(Step::Page { found, at: None, next })
        }
        Cursor::Bulk { job, at, locator } => match rows.part(job, locator.as_deref()).await? {
            Part::NotYet => Ok(Step::NotYet),
            Part::Gone => Ok(Step::Gone),
            Part::Rows { rows, locator } => {
                let next = locator.map(|next| Cursor::Bulk { job: job.clone(), at: *at, locator: Some(next) });
                let next = next.or_else(|| gone_since(source, mapping, work));
                Ok(Step::Page { found: found(mapping, rows), at: Some(Seq(*at)), next })
            }
        },
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
        Cursor::Listed { after } => {
            let ids: Vec<RecordId> = named.iter().map(|named| named.record).collect();
            let mut found = read(source, mapping, &ids).await?;
            for id in &ids {
                found.entry(*id).or_insert(Found::NotVisible);
            }
            let next = (named.len() >= NAMED_PAGE).then(|| Cursor::Listed { after: after + named.len() as u64 });
            Ok(Step::Page { found, at: None, next })
        }
        Cursor::Deleted { since, to, after } => deleted(source, mapping, (*since, *to), *after).await,
        Cursor::Untold { since, until } => Err(ReadError::Untold { since: *since, until: *until }),
    }
}

/// Where a repair goes on when it has read what is there: with what is gone. None where deletes are nobody's business.
fn gone_since(source: &Org, mapping: &Mapping, work: &Work) -> Option<Cursor> {
    let from = work.since()?;
    if mapping.on_delete == OnDelete::Ignore {
        return None;
    }
    let to = source.server_time().second().plus(SECOND);
    let since = from.map(|from| from.minus(MARGIN).second());
    Some(Cursor::Deleted { since, to, after: None })
}

/// A page of what the org's log tells of deletions since a time; none: as far back as it goes.
async fn deleted(
    source: &Org,
    mapping: &Mapping,
    (since, to): (Option<Timestamp>, Timestamp),
    after: Option<RecordId>,
) -> Result<Step, ReadError> {
    let from = source.server_time().minus(DELETIONS_KEPT).second().max(since.unwrap_or(Timestamp(0)));
    let log = match source.deleted(&mapping.source_object, from, to).await {
        Ok(log) => log,
        // The org keeps nothing of that time, or too much for one answer; or the object has no such log (UNSURE which code it
        // gets).
        Err(error) if matches!(error.disposition(), Disposition::Split) => {
            let next = Some(Cursor::Untold { since: since.unwrap_or(from), until: to });
            return Ok(Step::Page { found: HashMap::new(), at: None, next });
        }
        Err(error) => return Err(error.into()),
    };
    // By id, for a record that comes back is in the log no more.
    let gone: BTreeSet<RecordId> = log.rows.iter().map(|row| row.record).collect();
    let behind = gone.into_iter().filter(|id| after.is_none_or(|after| *id > after));
    let ids: Vec<RecordId> = behind.take(QUERY_PAGE).collect();
    let mut found = read(source, mapping, &ids).await?;
    for id in &ids {
        // It is in no bin any more, and only the log knows.
        found.entry(*id).or_insert(Found::Deleted);
    }
    let known_from = log.earliest.map_or(from, |earliest| earliest.max(from));
    let next = match ids.last().filter(|_| ids.len() >= QUERY_PAGE) {
        Some(last) => Some(Cursor::Deleted { since, to, after: Some(*last) }),
        None => since.filter(|since| known_from > *since).map(|since| Cursor::Untold { since, until: known_from }),
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

fn found(mapping: &Mapping, rows: Vec<Row>) -> HashMap<RecordId, Found> {
    let paths = mapping.reads();
    let record = |row: Row| {
        let id = hydrate::id_of(&row, "Id")?;
        Some((id, Found::Record(hydrate::record(id, &paths, &mapping.privacy, row))))
    };
    rows.into_iter().filter_map(record).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::testing::between_two_orgs;
    use crate::org::testing::{Reply, ScriptedOrg};

    const DAY: Duration = Duration::from_secs(24 * 3_600);

    /// Accounts with so many fields that are mapped.
    fn mapping(fields: usize) -> Mapping {
        let mapped: String =
            (0..fields).map(|n| format!(", A_field_with_a_long_name_{n}__c: Some_other_name_{n}__c")).collect();
        let config = between_two_orgs(&format!(
            "pipelines:\n  - name: accounts\n    from: {{ org: a, channel: /data/AccountChangeEvent, object: Account }}\n    to: {{ org: b, \
             object: Account, key: Key__c }}\n    on_delete: delete\n    fields: {{ Key__c: Id{mapped} }}\n"
        ));
        Mapping::new(&config.pipelines[0], &config)
    }

    fn repair(age: Duration) -> (Work, Timestamp) {
        let from = Timestamp::now().minus(age);
        (Work::Repair { gap: 1, from: Some(from) }, from)
    }

    #[tokio::test]
    async fn a_page_is_followed_by_what_is_behind_its_last_row_also_where_the_records_have_gone_meanwhile() {
        let id = |n: usize| -> RecordId { format!("001{n:012}").parse().unwrap() };
        for fields in [1, 600] {
            // The ids are asked for alone where so many fields do not fit a URL, and by then the records are gone.
            let org = ScriptedOrg::start(move |seen| match seen.method.as_str() {
                "POST" => Reply::json(200, &json!(vec![json!(null); seen.json()["ids"].as_array().unwrap().len()])),
                _ if seen.target.contains("queryAll") => Reply::json(200, &json!({"done": true, "records": []})),
                _ => {
                    let rows: Vec<serde_json::Value> = (0..QUERY_PAGE).map(|n| json!({"Id": id(n).as_str()})).collect();
                    Reply::json(200, &json!({"done": true, "records": rows}))
                }
            })
            .await;
            let work = Work::Backfill { condition: None };
            let step = page(&org.org(), &mapping(fields), &work, &Cursor::Query { after: None }, &[]).await.unwrap();
            let Step::Page { found, next, .. } = step else { panic!("{step:?}") };
            assert_eq!(found.len(), if fields == 1 { QUERY_PAGE } else { 0 });
            assert_eq!(next, Some(Cursor::Query { after: Some(id(QUERY_PAGE - 1)) }));
        }
    }

    #[tokio::test]
    async fn deletions_of_which_the_log_does_not_tell_are_named_from_where_the_gap_began() {
        let server = ScriptedOrg::start(|_| Reply::json(200, &json!({"deletedRecords": []}))).await;
        let org = server.org();
        for (age, told) in [(DAY, true), (20 * DAY, false)] {
            let (work, from) = repair(age);
            let cursor = gone_since(&org, &mapping(1), &work).unwrap();
            let step = page(&org, &mapping(1), &work, &cursor, &[]).await.unwrap();
            let Step::Page { next, .. } = step else { panic!("{step:?}") };
            match next {
                None => assert!(told),
                Some(Cursor::Untold { since, until }) => {
                    assert!(!told && since == from.minus(MARGIN).second() && until > since.plus(4 * DAY));
                }
                other => panic!("{other:?}"),
            }
        }
        let all = Work::Repair { gap: 1, from: None };
        let cursor = gone_since(&org, &mapping(1), &all).unwrap();
        let step = page(&org, &mapping(1), &all, &cursor, &[]).await.unwrap();
        assert!(matches!(step, Step::Page { next: None, .. }), "as far back as the log goes: {step:?}");
    }

    #[tokio::test]
    async fn only_a_log_that_cannot_be_given_out_counts_as_untold_and_nobody_asks_where_deletes_are_ignored() {
        let (work, _) = repair(DAY);
        for (status, code, untold) in [
            (400, "EXCEEDED_ID_LIMIT", true),
            (400, "INVALID_REPLICATION_DATE", true),
            (403, "REQUEST_LIMIT_EXCEEDED", false),
            (503, "SERVER_UNAVAILABLE", false),
        ] {
            let answer = json!([{"errorCode": code, "message": "no"}]);
            let server = ScriptedOrg::start(move |_| Reply::json(status, &answer)).await;
            let org = server.org();
            let cursor = gone_since(&org, &mapping(1), &work).unwrap();
            match page(&org, &mapping(1), &work, &cursor, &[]).await {
                Ok(Step::Page { next: Some(Cursor::Untold { .. }), .. }) => assert!(untold, "{code}"),
                Err(ReadError::Call(error)) => assert!(!untold, "{code}: {error}"),
                other => panic!("{code}: {other:?}"),
            }
        }
        let server = ScriptedOrg::start(|_| Reply::Cut).await;
        let mut ignores = mapping(1);
        ignores.on_delete = OnDelete::Ignore;
        assert_eq!(gone_since(&server.org(), &ignores, &work), None);
    }
}
