//! Failed records as people ask for them: found, tried again, given up, and remembered when they are none any more.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use super::columns::{Count, Payload};
use super::history;
use super::pipelines::{PARKED_COLUMNS, read_parked, rows};
use super::settle::fail_children;
use crate::event::{Change, RecordId, Seq, Timestamp};
use crate::store::failed::{FailedCause, FailedRecord, Healed, PARENT_DISCARDED, RowId, Which};
use crate::store::{Entry, Happened, PipelineId, StoreError, What};

/// How long it is remembered that a record had failed.
const HEALED_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Rows of `parked` or `healed` that match, with their pipelines. The numbers are those of [`matching`].
fn of(table: &str) -> String {
    format!(
        "FROM {table} k JOIN pipelines p ON p.id = k.pipeline AND p.removed_at IS NULL
         WHERE (?1 IS NULL OR p.name = ?1)
             AND (?2 IS NULL OR k.code = ?2 COLLATE NOCASE)
             AND (?3 IS NULL OR p.target_object = ?3 COLLATE NOCASE)
             AND (?4 IS NULL OR k.record = ?4)
             AND (?5 IS NULL OR k.first_at <= ?5)
             AND (?6 IS NULL OR k.first_at >= ?6)"
    )
}

/// Rows of `parked`, those that wait only where they are wanted too.
fn of_parked() -> String {
    format!("{} AND (?7 OR k.state = 'failed')", of("parked"))
}

fn matching(which: &Which) -> [&dyn ToSql; 7] {
    [&which.pipeline, &which.code, &which.object, &which.record, &which.before, &which.after, &which.waiting]
}

fn with<'a>(which: &'a Which, more: &[&'a dyn ToSql]) -> Vec<&'a dyn ToSql> {
    let mut all = matching(which).to_vec();
    all.extend(more);
    all
}

fn limited(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

pub(super) fn causes(db: &Connection, which: &Which) -> Result<Vec<FailedCause>, StoreError> {
    rows(
        db,
        &format!(
            "SELECT name, state, code, fields, count(*), min(first_at),
                 json_group_array(record ORDER BY n) FILTER (WHERE n <= 3)
             FROM (SELECT p.name, k.state, k.code, k.fields, k.first_at, k.record, k.pipeline,
                     row_number() OVER (PARTITION BY k.pipeline, k.state, k.code, k.fields
                         ORDER BY k.first_at, k.record) AS n
                 {})
             GROUP BY pipeline, state, code, fields ORDER BY count(*) DESC, name, code, fields, state",
            of_parked()
        ),
        matching(which).as_slice(),
        |row| {
            Ok(FailedCause {
                pipeline: row.get(0)?,
                state: row.get(1)?,
                code: row.get(2)?,
                fields: json(row, 3)?,
                records: row.get::<_, Count>(4)?.0,
                oldest: row.get(5)?,
                examples: json(row, 6)?,
            })
        },
    )
}

/// The error names the column, never what is in it.
pub(super) fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|_| {
        let name = row.as_ref().column_name(column).unwrap_or_default().to_owned();
        rusqlite::Error::InvalidColumnType(column, name, rusqlite::types::Type::Text)
    })
}

pub(super) fn failed(
    db: &Connection,
    which: &Which,
    after: Option<RowId>,
    limit: usize,
) -> Result<Vec<FailedRecord>, StoreError> {
    let (pipeline, record) = after.map_or((PipelineId(0), String::new()), |(id, record)| (id, record.to_string()));
    rows(
        db,
        &format!(
            "SELECT {PARKED_COLUMNS}, p.name, p.source_org, p.source_object, p.target_org, p.target_object, k.first_at,
                 k.redrive_at
             {} AND (k.pipeline, k.record) > (?8, ?9) ORDER BY k.pipeline, k.record LIMIT ?10",
            of_parked()
        ),
        with(which, &[&pipeline, &record, &limited(limit)]).as_slice(),
        |row| {
            Ok(FailedRecord {
                row: read_parked(row)?,
                pipeline: row.get("name")?,
                source_org: row.get("source_org")?,
                source_object: row.get("source_object")?,
                target_org: row.get("target_org")?,
                target_object: row.get("target_object")?,
                first_at: row.get("first_at")?,
                redrive_at: row.get("redrive_at")?,
            })
        },
    )
}

pub(super) fn events_of(
    db: &Connection,
    (pipeline, record): RowId,
    (from, to): (Seq, Seq),
    limit: usize,
) -> Result<Vec<Entry>, StoreError> {
    rows(
        db,
        "SELECT j.seq, j.replay_id, j.payload, j.received_at, p.channel
         FROM pipelines p
         JOIN subscriptions s ON s.org = p.source_org AND s.channel = p.channel
         JOIN journal_records r ON r.subscription = s.id AND r.record = ?2 AND r.seq BETWEEN ?3 AND ?4
         JOIN journal j ON j.seq = r.seq
         WHERE p.id = ?1 ORDER BY j.seq LIMIT ?5",
        params![pipeline, record, from, to, limited(limit)],
        |row| {
            let change =
                Change { channel: row.get(4)?, replay_id: row.get(1)?, happening: row.get::<_, Payload>(2)?.0 };
            Ok(Entry { seq: row.get(0)?, change, received: row.get(3)? })
        },
    )
}

pub(super) fn healed(db: &Connection, which: &Which, now: Timestamp, limit: usize) -> Result<Vec<Healed>, StoreError> {
    rows(
        db,
        &format!(
            "SELECT p.name, k.record, k.code, k.attempts, k.first_at, k.closed_at, k.how
             {} AND k.closed_at >= ?8 ORDER BY k.closed_at DESC, k.id DESC LIMIT ?9",
            of("healed")
        ),
        with(which, &[&now.minus(HEALED_KEPT), &limited(limit)]).as_slice(),
        |row| {
            Ok(Healed {
                pipeline: row.get(0)?,
                record: row.get(1)?,
                code: row.get(2)?,
                attempts: row.get(3)?,
                first_at: row.get(4)?,
                closed_at: row.get(5)?,
                how: row.get(6)?,
            })
        },
    )
}

/// A row that ends with a write, and is remembered if it had failed, whatever it waits for by then.
pub(super) fn close(db: &Connection, pipeline: PipelineId, record: RecordId, seq: Seq) -> Result<(), StoreError> {
    let ended = db
        .prepare_cached(&format!(
            "DELETE FROM parked WHERE pipeline = ?1 AND record = ?2 AND to_seq <= ?3
             RETURNING {HAD_FAILED}, attempts, first_at, to_seq, tried_seq, redrive_taken"
        ))?
        .query_row(params![pipeline, record, seq], |row| {
            let (to, tried, redriven): (Seq, Seq, bool) = (row.get(3)?, row.get(4)?, row.get(5)?);
            let how = match redriven {
                true => "healed by a redrive".to_owned(),
                false if to > tried => format!("healed by change {to}"),
                false => "healed by another try".to_owned(),
            };
            Ok((Ended { code: row.get(0)?, attempts: row.get(1)?, first_at: row.get(2)? }, how))
        })
        .optional()?;
    match ended {
        Some((ended, how)) => {
            let now = Timestamp::now();
            if let Some(code) = &ended.code {
                let healed = history::about((pipeline, record), now, What::Healed, Some(code));
                history::add(db, &Happened { to: seq, ..healed })?;
            }
            remember(db, (pipeline, record), &ended, now, &how)
        }
        None => Ok(()),
    }
}

/// The code with which a row of `parked` failed last, also where it waits by now; NULL: it never failed.
const HAD_FAILED: &str = "CASE WHEN state = 'failed' THEN code ELSE failed_code END";

/// A row of `parked` that is gone.
struct Ended {
    /// None: it never failed.
    code: Option<String>,
    attempts: u32,
    first_at: Timestamp,
}

fn remember(
    db: &Connection,
    (pipeline, record): RowId,
    ended: &Ended,
    at: Timestamp,
    how: &str,
) -> Result<(), StoreError> {
    let Some(code) = &ended.code else { return Ok(()) };
    db.prepare_cached(
        "INSERT INTO healed (pipeline, record, code, attempts, first_at, closed_at, how)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![pipeline, record, code, ended.attempts, ended.first_at, at, how])?;
    trim_healed(db, at)
}

/// See `Store::trim_healed`.
pub(super) fn trim_healed(db: &Connection, now: Timestamp) -> Result<(), StoreError> {
    db.prepare_cached("DELETE FROM healed WHERE closed_at < ?1")?.execute([now.minus(HEALED_KEPT)])?;
    Ok(())
}

/// See `Store::redrive`.
pub(super) fn redrive(db: &Connection, which: &Which, at: Timestamp) -> Result<u64, StoreError> {
    let marked: Vec<(RowId, String)> = rows(
        db,
        &format!(
            "UPDATE parked SET redrive_at = ?8, redrive_taken = 0
             WHERE (pipeline, record) IN (SELECT k.pipeline, k.record {}) RETURNING pipeline, record, code",
            of_parked()
        ),
        with(which, &[&at]).as_slice(),
        |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)),
    )?;
    for (id, code) in &marked {
        history::add(db, &history::about(*id, at, What::Redriven, Some(code)))?;
    }
    Ok(marked.len() as u64)
}

/// See `Store::redrives_anew`.
pub(super) fn redrives_anew(db: &Connection) -> Result<(), StoreError> {
    db.execute("UPDATE parked SET redrive_taken = 0 WHERE redrive_at IS NOT NULL AND redrive_taken = 1", [])?;
    Ok(())
}

/// See `Store::take_redrives`.
pub(super) fn take_redrives(db: &Connection, pipelines: &[PipelineId], limit: usize) -> Result<Vec<RowId>, StoreError> {
    let ids = format!("[{}]", pipelines.iter().map(|id| id.0.to_string()).collect::<Vec<_>>().join(","));
    let taken: Vec<RowId> = rows(
        db,
        "SELECT k.pipeline, k.record FROM parked k JOIN pipelines p ON p.id = k.pipeline AND p.halted IS NULL
         WHERE k.redrive_at IS NOT NULL AND k.redrive_taken = 0
             AND k.pipeline IN (SELECT value FROM json_each(?1))
         ORDER BY k.pipeline, k.record LIMIT ?2",
        params![ids, limited(limit)],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    for (pipeline, record) in &taken {
        db.prepare_cached("UPDATE parked SET redrive_taken = 1 WHERE pipeline = ?1 AND record = ?2")?
            .execute(params![pipeline, record])?;
    }
    Ok(taken)
}

/// See `Store::discard`.
pub(super) fn discard(db: &Connection, which: &Which, at: Timestamp) -> Result<u64, StoreError> {
    let given_up: Vec<(RowId, Seq, Ended)> = rows(
        db,
        &format!("SELECT k.pipeline, k.record, k.to_seq, {HAD_FAILED}, k.attempts, k.first_at {}", of_parked()),
        matching(which).as_slice(),
        |row| {
            let ended = Ended { code: row.get(3)?, attempts: row.get(4)?, first_at: row.get(5)? };
            Ok(((row.get(0)?, row.get(1)?), row.get(2)?, ended))
        },
    )?;
    for (id @ (pipeline, record), to, ended) in &given_up {
        db.prepare_cached("DELETE FROM parked WHERE pipeline = ?1 AND record = ?2")?
            .execute(params![pipeline, record])?;
        // Where its parts are scanned once more, they are done.
        db.prepare_cached(
            "INSERT INTO applied (pipeline, record, seq, tombstone) VALUES (?1, ?2, ?3, 0)
             ON CONFLICT (pipeline, record) DO UPDATE SET seq = excluded.seq WHERE excluded.seq > applied.seq",
        )?
        .execute(params![pipeline, record, to])?;
        let given_up = history::about(*id, at, What::Discarded, ended.code.as_deref());
        history::add(db, &Happened { to: *to, ..given_up })?;
        remember(db, *id, ended, at, "discarded")?;
    }
    // When all of them are gone: a child that was given up too is no failed record.
    for ((pipeline, record), ..) in &given_up {
        let why = format!(
            "Its parent {record} was discarded. Save the parent in the source org once more, or empty the lookup; then \
             redrive this record, or discard it too."
        );
        fail_children(db, (*pipeline, *record), PARENT_DISCARDED, &why)?;
    }
    Ok(given_up.len() as u64)
}
