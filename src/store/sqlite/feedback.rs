//! How far people were told, and what there is to tell them.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::columns::json_list;
use super::pipelines::rows;
use crate::event::{RecordId, Timestamp};
use crate::store::{News, ParkedState, PipelineId, SentDigest, StoreError, Told, What};

pub(super) fn told(db: &Connection, pipeline: PipelineId) -> Result<Option<i64>, StoreError> {
    let told = db
        .prepare_cached("SELECT told FROM feedback WHERE pipeline = ?1")?
        .query_row([pipeline], |row| row.get(0))
        .optional()?;
    Ok(told)
}

pub(super) fn tell(db: &Connection, pipeline: PipelineId, to: i64) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO feedback (pipeline, told) VALUES (?1, ?2)
         ON CONFLICT (pipeline) DO UPDATE SET told = excluded.told",
    )?
    .execute(params![pipeline, to])?;
    Ok(())
}

pub(super) fn newest_history(db: &Connection) -> Result<i64, StoreError> {
    Ok(db.prepare_cached("SELECT coalesce(max(id), 0) FROM history")?.query_row([], |row| row.get(0))?)
}

pub(super) fn news(db: &Connection, pipeline: PipelineId, after: i64, limit: usize) -> Result<News, StoreError> {
    let seen: Vec<(i64, PipelineId, RecordId, What, Timestamp)> = rows(
        db,
        "SELECT id, pipeline, record, what, at FROM history WHERE id > ?1 ORDER BY id LIMIT ?2",
        params![after, i64::try_from(limit).unwrap_or(i64::MAX)],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)),
    )?;
    let mut news = News { to: seen.last().map_or(after, |last| last.0), more: seen.len() >= limit, ..News::default() };
    let mut places: HashMap<RecordId, usize> = HashMap::new();
    for (_, of, record, what, at) in seen {
        let failed_or_healed = matches!(what, What::Failed | What::Healed | What::Discarded);
        if of != pipeline || !(what.is_write() || failed_or_healed) {
            continue;
        }
        let place = *places.entry(record).or_insert_with(|| {
            news.records.push(Told { record, written_at: None, failed_or_healed: false });
            news.records.len() - 1
        });
        let Some(told) = news.records.get_mut(place) else { continue };
        told.failed_or_healed |= failed_or_healed;
        if what.is_write() {
            told.written_at = Some(at);
        }
    }
    Ok(news)
}

pub(super) fn failures(
    db: &Connection,
    pipeline: PipelineId,
    records: &[RecordId],
) -> Result<HashMap<RecordId, (String, String)>, StoreError> {
    let found: Vec<(RecordId, String, String)> = rows(
        db,
        "SELECT record, code, evidence FROM parked
         WHERE pipeline = ?1 AND state = ?2 AND record IN (SELECT value FROM json_each(?3))",
        params![pipeline, ParkedState::Failed, json_list(records)],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    Ok(found.into_iter().map(|(record, code, evidence)| (record, (code, evidence))).collect())
}

/// Rows of history are gone, perhaps the newest: what takes their numbers next was told to nobody.
pub(super) fn history_shrank(db: &Connection) -> Result<(), StoreError> {
    db.execute("UPDATE feedback SET told = min(told, (SELECT coalesce(max(id), 0) FROM history))", [])?;
    Ok(())
}

pub(super) fn digest(db: &Connection) -> Result<Option<SentDigest>, StoreError> {
    let sent = db
        .prepare_cached("SELECT sent_at, said FROM digest WHERE one = 1")?
        .query_row([], |row| Ok(SentDigest { at: row.get(0)?, said: row.get(1)? }))
        .optional()?;
    Ok(sent)
}

pub(super) fn digest_sent(db: &Connection, sent: &SentDigest) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO digest (one, sent_at, said) VALUES (1, ?1, ?2)
         ON CONFLICT (one) DO UPDATE SET sent_at = excluded.sent_at, said = excluded.said",
    )?
    .execute(params![sent.at, sent.said])?;
    Ok(())
}
