//! Rows of `jobs`.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::columns::{Count, Json, signed};
use crate::event::Timestamp;
use crate::store::{
    Cursor, Job, JobCounts, JobEnd, JobEnded, JobNumber, ListNumber, Listed, PipelineId, StoreError, Work,
};

const JOB: &str =
    "SELECT number, pipeline, work, cursor, total, rows, calls, created_at, begun_at, ended_at, ended_how, why,
        as_of
    FROM jobs";

fn read_job(row: &Row<'_>) -> rusqlite::Result<Job> {
    let ended: Option<(Timestamp, JobEnd)> = row.get::<_, Option<_>>(9)?.zip(row.get(10)?);
    let why = row.get(11)?;
    Ok(Job {
        number: row.get(0)?,
        pipeline: row.get(1)?,
        work: row.get::<_, Json<Work>>(2)?.0,
        cursor: row.get::<_, Option<Json<Cursor>>>(3)?.map(|cursor| cursor.0),
        counts: JobCounts {
            total: row.get::<_, Option<Count>>(4)?.map(|count| count.0),
            rows: row.get::<_, Count>(5)?.0,
            calls: row.get::<_, Count>(6)?.0,
            as_of: row.get(12)?,
        },
        created_at: row.get(7)?,
        begun_at: row.get(8)?,
        ended: ended.map(|(at, how)| JobEnded { at, how, why }),
    })
}

/// See `Store::add_job`.
pub(super) fn add(
    db: &Connection,
    pipeline: PipelineId,
    work: &Work,
    at: Timestamp,
) -> Result<Option<JobNumber>, StoreError> {
    let same = "SELECT 1 FROM jobs WHERE pipeline = ?1 AND ended_at IS NULL
        AND json_extract(work, '$.kind') = json_extract(?2, '$.kind')
        AND json_extract(work, '$.gap') IS json_extract(?2, '$.gap')";
    if db.prepare_cached(same)?.exists(params![pipeline, Json(work)])? {
        return Ok(None);
    }
    insert(db, pipeline, work, at).map(Some)
}

/// See `Store::add_first_backfill`.
pub(super) fn add_first_backfill(db: &Connection, pipeline: PipelineId, at: Timestamp) -> Result<bool, StoreError> {
    let any = "SELECT 1 FROM jobs WHERE pipeline = ?1 AND json_extract(work, '$.kind') = 'backfill'
        AND ended_how IS NOT 'failed'";
    if db.prepare_cached(any)?.exists([pipeline])? {
        return Ok(false);
    }
    insert(db, pipeline, &Work::Backfill { condition: None }, at).map(|_| true)
}

fn insert(db: &Connection, pipeline: PipelineId, work: &Work, at: Timestamp) -> Result<JobNumber, StoreError> {
    let insert = "INSERT INTO jobs (pipeline, work, created_at) VALUES (?1, ?2, ?3) RETURNING number";
    Ok(db.prepare_cached(insert)?.query_row(params![pipeline, Json(work), at], |row| row.get(0))?)
}

pub(super) fn open(db: &Connection) -> Result<Vec<Job>, StoreError> {
    let sql = format!("{JOB} WHERE ended_at IS NULL ORDER BY number");
    Ok(db.prepare_cached(&sql)?.query_map([], read_job)?.collect::<Result<_, _>>()?)
}

pub(super) fn ended(db: &Connection, limit: usize) -> Result<Vec<Job>, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let sql = format!("{JOB} WHERE ended_at IS NOT NULL ORDER BY ended_at DESC, number DESC LIMIT ?1");
    Ok(db.prepare_cached(&sql)?.query_map([limit], read_job)?.collect::<Result<_, _>>()?)
}

pub(super) fn job(db: &Connection, number: JobNumber) -> Result<Option<Job>, StoreError> {
    Ok(db.prepare_cached(&format!("{JOB} WHERE number = ?1"))?.query_row([number], read_job).optional()?)
}

/// See `Store::job_moved`.
pub(super) fn moved(
    db: &Connection,
    number: JobNumber,
    cursor: Option<&Cursor>,
    counts: JobCounts,
    at: Timestamp,
) -> Result<(), StoreError> {
    db.prepare_cached(
        "UPDATE jobs SET cursor = ?2, total = ?3, rows = ?4, calls = ?5, as_of = ?7,
             begun_at = coalesce(begun_at, ?6)
         WHERE number = ?1 AND ended_at IS NULL",
    )?
    .execute(params![
        number,
        cursor.map(Json),
        counts.total.map(signed),
        signed(counts.rows),
        signed(counts.calls),
        at,
        counts.as_of
    ])?;
    Ok(())
}

/// See `Store::job_ended`.
pub(super) fn end(db: &Connection, number: JobNumber, ended: &JobEnded) -> Result<bool, StoreError> {
    let JobEnded { at, how, why } = ended;
    let changed = db
        .prepare_cached(
            "UPDATE jobs SET ended_at = ?2, ended_how = ?3, why = ?4 WHERE number = ?1 AND ended_at IS NULL",
        )?
        .execute(params![number, at, how, why])?;
    db.prepare_cached(
        "DELETE FROM job_records WHERE list = (SELECT json_extract(work, '$.list') FROM jobs
             WHERE number = ?1 AND ended_at IS NOT NULL)",
    )?
    .execute([number])?;
    Ok(changed > 0)
}

/// See `Store::add_to_list`.
pub(super) fn add_to_list(
    db: &Connection,
    list: Option<ListNumber>,
    records: &[Listed],
) -> Result<ListNumber, StoreError> {
    let list = match list {
        Some(list) => list,
        None => {
            let insert = "INSERT INTO job_lists DEFAULT VALUES RETURNING list";
            db.prepare_cached(insert)?.query_row([], |row| row.get(0))?
        }
    };
    let mut insert = db.prepare_cached("INSERT INTO job_records (list, n, record, target) VALUES (?1, ?2, ?3, ?4)")?;
    for (n, Listed { record, target }) in (list_length(db, list)? + 1..).zip(records) {
        insert.execute(params![list, signed(n), record, target])?;
    }
    Ok(list)
}

/// See `Store::listed`.
pub(super) fn listed(db: &Connection, list: ListNumber, after: u64, limit: usize) -> Result<Vec<Listed>, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let select = "SELECT record, target FROM job_records WHERE list = ?1 AND n > ?2 ORDER BY n LIMIT ?3";
    let listed = |row: &Row<'_>| Ok(Listed { record: row.get(0)?, target: row.get(1)? });
    Ok(db.prepare_cached(select)?.query_map(params![list, signed(after), limit], listed)?.collect::<Result<_, _>>()?)
}

/// See `Store::list_length`.
pub(super) fn list_length(db: &Connection, list: ListNumber) -> Result<u64, StoreError> {
    let select = "SELECT coalesce(max(n), 0) FROM job_records WHERE list = ?1";
    Ok(db.prepare_cached(select)?.query_row([list], |row| row.get::<_, Count>(0))?.0)
}

/// Those of jobs that were given up with their pipeline, or that nobody had made a job of yet.
pub(super) fn drop_unused_lists(db: &Connection) -> rusqlite::Result<()> {
    let unused = "DELETE FROM job_records WHERE list NOT IN (SELECT json_extract(work, '$.list') FROM jobs
        WHERE ended_at IS NULL AND json_extract(work, '$.list') IS NOT NULL)";
    db.execute(unused, [])?;
    db.execute("DELETE FROM not_linked WHERE job NOT IN (SELECT number FROM jobs)", []).map(drop)
}
