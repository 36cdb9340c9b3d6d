//! Rows of `verifications`, and what they found.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, Row, params};

use super::columns::{Count, Json, json_list, signed};
use crate::event::{RecordId, Timestamp};
use crate::store::{
    Difference, JobEnd, JobEnded, PipelineId, StoreError, Verification, VerificationNumber, VerifyCounts, Wish,
};

const VERIFICATION: &str =
    "SELECT number, pipeline, wish, counts, wanted_at, begun_at, ended_at, ended_how, why FROM verifications";

fn read(row: &Row<'_>) -> rusqlite::Result<Verification> {
    let ended: Option<(Timestamp, JobEnd)> = row.get::<_, Option<_>>(6)?.zip(row.get(7)?);
    let why = row.get(8)?;
    Ok(Verification {
        number: row.get(0)?,
        pipeline: row.get(1)?,
        wish: row.get::<_, Json<Wish>>(2)?.0,
        counts: row.get::<_, Json<VerifyCounts>>(3)?.0,
        wanted_at: row.get(4)?,
        begun_at: row.get(5)?,
        ended: ended.map(|(at, how)| JobEnded { at, how, why }),
    })
}

/// See `Store::add_verification`.
pub(super) fn add(
    db: &Connection,
    pipeline: PipelineId,
    wish: Wish,
    at: Timestamp,
) -> Result<Option<VerificationNumber>, StoreError> {
    let open = "SELECT 1 FROM verifications WHERE pipeline = ?1 AND ended_at IS NULL";
    if db.prepare_cached(open)?.exists([pipeline])? {
        return Ok(None);
    }
    let insert =
        "INSERT INTO verifications (pipeline, wish, counts, wanted_at) VALUES (?1, ?2, ?3, ?4) RETURNING number";
    let values = params![pipeline, Json(wish), Json(VerifyCounts::default()), at];
    Ok(Some(db.prepare_cached(insert)?.query_row(values, |row| row.get(0))?))
}

pub(super) fn all(db: &Connection) -> Result<Vec<Verification>, StoreError> {
    let sql = format!("{VERIFICATION} ORDER BY number");
    Ok(db.prepare_cached(&sql)?.query_map([], read)?.collect::<Result<_, _>>()?)
}

/// See `Store::verification_begins`.
pub(super) fn begins(db: &Connection, number: VerificationNumber, at: Timestamp) -> Result<(), StoreError> {
    db.execute("DELETE FROM differences WHERE verification = ?1", [number])?;
    let update = "UPDATE verifications SET begun_at = ?2, counts = ?3 WHERE number = ?1 AND ended_at IS NULL";
    db.execute(update, params![number, at, Json(VerifyCounts::default())])?;
    Ok(())
}

/// See `Store::verification_moved`.
pub(super) fn moved(
    db: &Connection,
    number: VerificationNumber,
    counts: &VerifyCounts,
    found: &[Difference],
) -> Result<(), StoreError> {
    let update = "UPDATE verifications SET counts = ?2 WHERE number = ?1 AND ended_at IS NULL";
    db.prepare_cached(update)?.execute(params![number, Json(counts)])?;
    let last = "SELECT coalesce(max(n), 0) FROM differences WHERE verification = ?1";
    let last = db.prepare_cached(last)?.query_row([number], |row| row.get::<_, Count>(0))?.0;
    let mut insert = db.prepare_cached("INSERT INTO differences (verification, n, found) VALUES (?1, ?2, ?3)")?;
    for (n, found) in (last + 1..).zip(found) {
        insert.execute(params![number, signed(n), Json(found)])?;
    }
    Ok(())
}

/// See `Store::verification_ended`.
pub(super) fn end(db: &Connection, number: VerificationNumber, ended: &JobEnded) -> Result<bool, StoreError> {
    let JobEnded { at, how, why } = ended;
    let update =
        "UPDATE verifications SET ended_at = ?2, ended_how = ?3, why = ?4 WHERE number = ?1 AND ended_at IS NULL";
    if db.execute(update, params![number, at, how, why])? == 0 {
        return Ok(false);
    }
    // A glance takes the place of no whole comparison, and one that failed of none that did not.
    let others = "SELECT other.number FROM verifications own JOIN verifications other ON other.pipeline = own.pipeline
        WHERE own.number = ?1 AND other.number != own.number AND other.ended_at IS NOT NULL
            AND (other.ended_how = 'failed' OR own.ended_how = 'done'
                AND (json_extract(other.wish, '$.sample') IS NULL) = (json_extract(own.wish, '$.sample') IS NULL))";
    let others: Vec<VerificationNumber> =
        db.prepare_cached(others)?.query_map([number], |row| row.get(0))?.collect::<Result<_, _>>()?;
    others.into_iter().try_for_each(|other| forget(db, other))?;
    Ok(true)
}

fn forget(db: &Connection, number: VerificationNumber) -> Result<(), StoreError> {
    db.execute("DELETE FROM differences WHERE verification = ?1", [number])?;
    db.execute("DELETE FROM verifications WHERE number = ?1", [number])?;
    Ok(())
}

/// What is known of a pipeline that is given up.
pub(super) fn forget_all_of(db: &Connection, pipeline: PipelineId) -> Result<(), StoreError> {
    let differences =
        "DELETE FROM differences WHERE verification IN (SELECT number FROM verifications WHERE pipeline = ?1)";
    db.execute(differences, [pipeline])?;
    db.execute("DELETE FROM verifications WHERE pipeline = ?1", [pipeline])?;
    Ok(())
}

/// See `Store::differences`.
pub(super) fn differences(
    db: &Connection,
    number: VerificationNumber,
    after: u64,
    limit: usize,
) -> Result<Vec<Difference>, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let select = "SELECT found FROM differences WHERE verification = ?1 AND n > ?2 ORDER BY n LIMIT ?3";
    let found = |row: &Row<'_>| Ok(row.get::<_, Json<Difference>>(0)?.0);
    Ok(db.prepare_cached(select)?.query_map(params![number, signed(after), limit], found)?.collect::<Result<_, _>>()?)
}

/// See `Store::sources_of`.
pub(super) fn sources_of(
    db: &Connection,
    pipeline: PipelineId,
    targets: &[RecordId],
) -> Result<HashMap<RecordId, RecordId>, StoreError> {
    let select = "SELECT l.target_record, l.source_record FROM pipelines p
         CROSS JOIN json_each(?2) asked
         JOIN links l ON l.target_record = asked.value AND l.source_org = p.source_org AND l.target_org = p.target_org
             AND l.target_object = p.target_object
         WHERE p.id = ?1";
    let pair = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
    Ok(db.prepare_cached(select)?.query_map(params![pipeline, json_list(targets)], pair)?.collect::<Result<_, _>>()?)
}

/// See `Store::on_their_way`.
pub(super) fn on_their_way(
    db: &Connection,
    pipeline: PipelineId,
    records: &[RecordId],
) -> Result<HashSet<RecordId>, StoreError> {
    let select = "SELECT asked.value FROM pipelines p
         JOIN subscriptions s ON s.org = p.source_org AND s.channel = p.channel
         CROSS JOIN json_each(?2) asked
         WHERE p.id = ?1 AND (
             EXISTS (SELECT 1 FROM sent WHERE sent.pipeline = ?1 AND sent.record = asked.value)
             OR EXISTS (SELECT 1 FROM journal_records r LEFT JOIN applied a ON a.pipeline = ?1 AND a.record = r.record
                 WHERE r.subscription = s.id AND r.record = asked.value AND r.seq > p.watermark
                     AND r.seq > coalesce(a.seq, 0))
             OR EXISTS (SELECT 1 FROM unfilled u
                 JOIN links l ON l.source_org = p.source_org AND l.target_org = p.target_org
                     AND l.source_record = u.parent_record AND l.target_object = u.parent_object
                 WHERE u.pipeline = ?1 AND u.record = asked.value))";
    Ok(db
        .prepare_cached(select)?
        .query_map(params![pipeline, json_list(records)], |row| row.get(0))?
        .collect::<Result<_, _>>()?)
}
