//! Pipelines, what a page of them needs to know, and what they have sent.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Params, Row, ToSql, params};

use super::columns::{Count, json_list};
use super::gaps::{self, NewGap};
use super::history;
use super::journal::{head, known_subscription};
use crate::event::{PipelineName, RecordId, Seq, Timestamp};
use crate::store::{
    Answer, Applied, GapKind, Halted, Overdue, PIPELINE_HALTED, Parent, Parked, ParkedCause, PipelineId,
    PipelineIdentity, PipelineRow, Question, Sent, StoreError, What,
};

const ROW: &str =
    "SELECT id, name, source_org, channel, source_object, target_org, target_object, key_field, watermark,
        (SELECT count(*) FROM parked WHERE pipeline = pipelines.id AND state = 'waiting'),
        (SELECT count(*) FROM parked WHERE pipeline = pipelines.id AND state = 'failed'),
        halted, halted_at, passes_to,
        (SELECT count(DISTINCT record) FROM unfilled WHERE pipeline = pipelines.id),
        (SELECT size FROM batch_sizes b
         WHERE b.target_org = pipelines.target_org AND b.target_object = pipelines.target_object)
    FROM pipelines WHERE removed_at IS NULL AND kind = 'records'";

fn read_row(row: &Row<'_>) -> rusqlite::Result<PipelineRow> {
    Ok(PipelineRow {
        id: row.get(0)?,
        identity: PipelineIdentity {
            name: row.get(1)?,
            source_org: row.get(2)?,
            channel: row.get(3)?,
            source_object: row.get(4)?,
            target_org: row.get(5)?,
            target_object: row.get(6)?,
            key: row.get(7)?,
        },
        watermark: row.get(8)?,
        parked: row.get::<_, Count>(9)?.0,
        failed: row.get::<_, Count>(10)?.0,
        halted: row.get::<_, Option<String>>(11)?.zip(row.get(12)?).map(|(why, at)| Halted { why, at }),
        passes_to: row.get(13)?,
        unfilled: row.get::<_, Count>(14)?.0,
        batch_size: row.get::<_, Option<u32>>(15)?.map(|size| size as usize),
    })
}

pub(super) fn by_name(db: &Connection, name: &PipelineName) -> Result<Option<PipelineRow>, StoreError> {
    Ok(db.prepare_cached(&format!("{ROW} AND name = ?1"))?.query_row([name], read_row).optional()?)
}

pub(super) fn pipelines(db: &Connection) -> Result<Vec<PipelineRow>, StoreError> {
    let rows = db.prepare_cached(&format!("{ROW} ORDER BY id"))?.query_map([], read_row)?.collect::<Result<_, _>>()?;
    Ok(rows)
}

pub(super) fn pipeline(
    db: &Connection,
    identity: &PipelineIdentity,
    first_watermark: Seq,
) -> Result<PipelineRow, StoreError> {
    if let Some(row) = by_name(db, &identity.name)? {
        same(&row.identity, identity)?;
        return Ok(row);
    }
    no_other_kind(db, &identity.name, "a pipeline that writes records")?;
    if let Some(removed_at) = remove_for_good(db, &identity.name)? {
        let id = known_subscription(db, &identity.source_org, &identity.channel)?;
        let now = Timestamp::now();
        let (object, window) = (&identity.source_object, (Some(removed_at), Some(now)));
        let gap = NewGap::window(GapKind::Removed, Some(object), window, head(db)?);
        gaps::open(db, id, now, &NewGap { why: &format!("pipeline {}", identity.name), ..gap })?;
    }
    db.execute(
        "INSERT INTO pipelines
             (name, source_org, channel, source_object, target_org, target_object, key_field, watermark)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            identity.name,
            identity.source_org,
            identity.channel,
            identity.source_object,
            identity.target_org,
            identity.target_object,
            identity.key,
            first_watermark,
        ],
    )?;
    by_name(db, &identity.name)?.ok_or_else(|| StoreError::Database("no such pipeline".into()))
}

/// A name stands for one pipeline or one action.
pub(super) fn no_other_kind(db: &Connection, name: &PipelineName, new: &str) -> Result<(), StoreError> {
    let kind: Option<String> = db
        .prepare_cached("SELECT kind FROM pipelines WHERE name = ?1 AND removed_at IS NULL")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    let Some(kind) = kind else { return Ok(()) };
    let old = if kind == "records" { "a pipeline that writes records" } else { "an action" }.to_owned();
    Err(StoreError::OtherPipeline { name: name.clone(), what: "kind", old, new: new.to_owned() })
}

/// What is left of a row that was removed goes: a new one gets a new number, so that nothing that still speaks of the old
/// one reaches it. When it was removed, if there was one.
pub(super) fn remove_for_good(db: &Connection, name: &PipelineName) -> Result<Option<Timestamp>, StoreError> {
    let removed: Option<(PipelineId, Timestamp)> = db
        .query_row("SELECT id, removed_at FROM pipelines WHERE name = ?1", [name], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((id, removed_at)) = removed else { return Ok(None) };
    give_up(db, id)?;
    db.execute("DELETE FROM pipelines WHERE id = ?1", [id])?;
    Ok(Some(removed_at))
}

/// A pipeline or an action, and whether it is halted.
pub(super) fn any_by_name(db: &Connection, name: &PipelineName) -> Result<Option<(PipelineId, bool)>, StoreError> {
    let select = "SELECT id, halted IS NOT NULL FROM pipelines WHERE name = ?1 AND removed_at IS NULL";
    Ok(db.prepare_cached(select)?.query_row([name], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}

fn same(known: &PipelineIdentity, wanted: &PipelineIdentity) -> Result<(), StoreError> {
    let parts = |of: &PipelineIdentity| {
        [
            ("source org", of.source_org.to_string()),
            ("channel", of.channel.to_string()),
            ("source object", of.source_object.to_string()),
            ("target org", of.target_org.to_string()),
            ("target object", of.target_object.to_string()),
            ("key field", of.key.to_string()),
        ]
    };
    match parts(known).into_iter().zip(parts(wanted)).find(|(old, new)| old != new) {
        None => Ok(()),
        Some(((what, old), (_, new))) => Err(StoreError::OtherPipeline { name: wanted.name.clone(), what, old, new }),
    }
}

pub(super) fn forget(db: &Connection, name: &PipelineName) -> Result<bool, StoreError> {
    let Some((id, _)) = any_by_name(db, name)? else { return Ok(false) };
    let now = Timestamp::now();
    give_up(db, id)?;
    db.execute("UPDATE pipelines SET removed_at = ?2, watermark = 0 WHERE id = ?1", params![id, now])?;
    // Others may have waited for this one alone.
    gaps::close_read(db, (Seq::ZERO, head(db)?), now)?;
    Ok(true)
}

fn give_up(db: &Connection, id: PipelineId) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM applied WHERE pipeline = ?1",
        "DELETE FROM parked WHERE pipeline = ?1",
        "DELETE FROM sent WHERE pipeline = ?1",
        "DELETE FROM unfilled WHERE pipeline = ?1",
        "DELETE FROM healed WHERE pipeline = ?1",
        "DELETE FROM jobs WHERE pipeline = ?1",
        "DELETE FROM actions WHERE pipeline = ?1",
        "DELETE FROM feedback WHERE pipeline = ?1",
    ] {
        db.execute(sql, [id])?;
    }
    super::verifications::forget_all_of(db, id)?;
    history::forget(db, id)
}

/// All for one pipeline in one query for each kind of question.
pub(super) fn known(db: &Connection, pipeline: PipelineId, question: &Question) -> Result<Answer, StoreError> {
    let records = json_list(&question.records);
    let applied = rows(
        db,
        "SELECT record, seq, tombstone FROM applied
         WHERE pipeline = ?1 AND record IN (SELECT value FROM json_each(?2))",
        params![pipeline, records],
        |row| Ok((row.get(0)?, Applied { seq: row.get(1)?, tombstone: row.get(2)? })),
    )?;
    let links: Vec<(RecordId, RecordId, Option<bool>)> = rows(
        db,
        "SELECT l.source_record, l.target_record, l.created FROM pipelines p
         JOIN links l ON l.source_org = p.source_org AND l.target_org = p.target_org
             AND l.target_object = p.target_object
         WHERE p.id = ?1 AND l.source_record IN (SELECT value FROM json_each(?2))",
        params![pipeline, records],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    let parked = rows(
        db,
        &format!(
            "SELECT {PARKED_COLUMNS} FROM parked WHERE pipeline = ?1 AND record IN (SELECT value FROM json_each(?2))"
        ),
        params![pipeline, records],
        |row| read_parked(row).map(|parked| (parked.record, parked)),
    )?;
    let parents = parents(db, pipeline, &question.parents)?;
    Ok(Answer {
        applied: applied.into_iter().collect(),
        links: links.iter().map(|(record, target, _)| (*record, *target)).collect(),
        created: links.iter().filter(|(.., created)| *created == Some(true)).map(|(record, ..)| *record).collect(),
        parked: parked.into_iter().collect(),
        parents,
    })
}

fn parents(db: &Connection, pipeline: PipelineId, asked: &[Parent]) -> Result<HashMap<Parent, RecordId>, StoreError> {
    let mut linked = HashMap::new();
    let mut by_object: BTreeMap<_, Vec<RecordId>> = BTreeMap::new();
    for Parent { target_object, record } in asked {
        by_object.entry(target_object).or_default().push(*record);
    }
    for (object, records) in by_object {
        let links = rows(
            db,
            "SELECT l.source_record, l.target_record FROM pipelines p
             JOIN links l ON l.source_org = p.source_org AND l.target_org = p.target_org
             WHERE p.id = ?1 AND l.target_object = ?2 AND l.source_record IN (SELECT value FROM json_each(?3))",
            params![pipeline, object, json_list(&records)],
            |row| Ok((Parent { target_object: object.clone(), record: row.get(0)? }, row.get(1)?)),
        )?;
        linked.extend(links);
    }
    Ok(linked)
}

/// What [`read_parked`] reads, from the first column on.
pub(super) const PARKED_COLUMNS: &str = "pipeline, record, from_seq, to_seq, state, code, fields, waits_object,
    waits_record, attempts, tried_at, evidence, request";

pub(super) fn read_parked(row: &Row<'_>) -> rusqlite::Result<Parked> {
    let waits_for = match (row.get(7)?, row.get(8)?) {
        (Some(target_object), Some(record)) => Some(Parent { target_object, record }),
        _ => None,
    };
    let fields: String = row.get(6)?;
    Ok(Parked {
        pipeline: row.get(0)?,
        record: row.get(1)?,
        from: row.get(2)?,
        to: row.get(3)?,
        state: row.get(4)?,
        code: row.get(5)?,
        fields: serde_json::from_str(&fields)
            .map_err(|_| rusqlite::Error::InvalidColumnType(6, "fields".to_owned(), rusqlite::types::Type::Text))?,
        waits_for,
        attempts: row.get(9)?,
        tried_at: row.get(10)?,
        evidence: row.get(11)?,
        request: Some(row.get(12)?).filter(|request: &String| !request.is_empty()),
    })
}

pub(super) fn parked(db: &Connection, limit: usize) -> Result<Vec<Parked>, StoreError> {
    rows(
        db,
        &format!("SELECT {PARKED_COLUMNS} FROM parked ORDER BY from_seq, pipeline, record LIMIT ?1"),
        [i64::try_from(limit).unwrap_or(i64::MAX)],
        read_parked,
    )
}

pub(super) fn parked_causes(db: &Connection) -> Result<Vec<ParkedCause>, StoreError> {
    rows(
        db,
        "SELECT pipeline, state, code, count(*) FROM parked
         GROUP BY pipeline, state, code ORDER BY pipeline, count(*) DESC, code, state",
        [],
        |row| {
            let records = row.get::<_, Count>(3)?.0;
            Ok(ParkedCause { pipeline: row.get(0)?, state: row.get(1)?, code: row.get(2)?, records })
        },
    )
}

pub(super) fn oldest_unsettled(db: &Connection) -> Result<HashMap<PipelineId, Timestamp>, StoreError> {
    let found = rows(
        db,
        "SELECT p.id, coalesce(j.committed_at, j.received_at) FROM pipelines p
         JOIN subscriptions s ON s.org = p.source_org AND s.channel = p.channel
         JOIN journal j ON j.seq = (SELECT min(n.seq) FROM journal n
             WHERE n.subscription = s.id AND n.entity IS iif(p.kind = 'events', NULL, p.source_object)
                 AND n.seq > p.watermark)
         WHERE p.removed_at IS NULL",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    Ok(found.into_iter().collect())
}

pub(super) fn restless(db: &Connection) -> Result<Vec<(PipelineId, RecordId)>, StoreError> {
    rows(
        db,
        "SELECT k.pipeline, k.record FROM parked k
         JOIN pipelines p ON p.id = k.pipeline AND p.halted IS NULL
         WHERE k.to_seq > k.tried_seq AND k.code <> ?1 -- those are asked for page by page
         UNION
         SELECT k.pipeline, k.record FROM parked k
         JOIN pipelines p ON p.id = k.pipeline AND p.halted IS NULL
         JOIN links l ON l.source_org = p.source_org AND l.target_org = p.target_org
             AND l.source_record = k.waits_record AND l.target_object = k.waits_object",
        [PIPELINE_HALTED],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )
}

pub(super) fn overdue(
    db: &Connection,
    pipeline: PipelineId,
    now: Timestamp,
    pause: Duration,
    limit: usize,
) -> Result<Overdue, StoreError> {
    let pause = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let due = |table: &str, and: &str| {
        format!(
            // A record may lack several lookups.
            "SELECT w.record FROM {table} w
             JOIN pipelines p ON p.id = w.pipeline AND p.halted IS NULL
             WHERE w.pipeline = ?4 AND {and} AND w.tried_at <= ?1 - ?2
                 AND w.tried_at + min(?2 << min(w.attempts - 1, 20), 86400000) <= ?1
             GROUP BY w.record ORDER BY min(w.tried_at) LIMIT ?3"
        )
    };
    let records = |sql: &str| rows(db, sql, params![now, pause, limit, pipeline], |row| row.get(0));
    let waiting = format!("w.state = 'waiting' AND w.code <> '{PIPELINE_HALTED}'");
    // A parked record is tried when that is due, or when it changes, and fills its lookups then. One that has a parent is told
    // of its link, but for a crash.
    let fillable = "NOT EXISTS (SELECT 1 FROM parked k WHERE k.pipeline = w.pipeline AND k.record = w.record)
             AND (w.parent_record IS NULL OR EXISTS (SELECT 1 FROM links l WHERE l.source_org = p.source_org
                 AND l.target_org = p.target_org AND l.source_record = w.parent_record
                 AND l.target_object = w.parent_object))";
    Ok(Overdue { woken: records(&due("parked", &waiting))?, fillable: records(&due("unfilled", fillable))? })
}

/// Time for which a person paused a pipeline or its target, or the pipeline was halted, is no time in which a parent did
/// not come. `whose` says of which pipelines, by the value ?2.
pub(super) fn wait_from_now(db: &Connection, now: Timestamp, whose: &str, value: impl ToSql) -> Result<(), StoreError> {
    let sql = format!(
        "UPDATE parked SET waits_since = ?1
         WHERE waits_since IS NOT NULL AND pipeline IN (SELECT id FROM pipelines WHERE {whose})"
    );
    db.execute(&sql, params![now, value])?;
    Ok(())
}

pub(super) fn give_up_parents(db: &Connection, pipeline: PipelineId, since: Timestamp) -> Result<u64, StoreError> {
    let sql =
        "UPDATE parked SET state = 'failed' WHERE pipeline = ?1 AND state = 'waiting' AND waits_record IS NOT NULL
         AND waits_since < ?2 RETURNING record, code";
    let failed: Vec<(RecordId, String)> =
        rows(db, sql, params![pipeline, since], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let now = Timestamp::now();
    for (record, code) in &failed {
        history::add(db, &history::about((pipeline, *record), now, What::Failed, Some(code)))?;
    }
    Ok(failed.len() as u64)
}

pub(super) fn halt(db: &Connection, pipeline: PipelineId, why: &str, at: Timestamp) -> Result<(), StoreError> {
    db.prepare_cached("UPDATE pipelines SET halted = ?2, halted_at = ?3 WHERE id = ?1 AND halted IS NULL")?
        .execute(params![pipeline, why, at])?;
    Ok(())
}

pub(super) fn resume(db: &Connection, name: &PipelineName, at: Timestamp) -> Result<Option<bool>, StoreError> {
    let Some((id, halted)) = any_by_name(db, name)? else { return Ok(None) };
    if halted {
        let sql = "UPDATE pipelines SET halted = NULL, halted_at = NULL, passes_to = ?2 WHERE id = ?1";
        db.execute(sql, params![id, head(db)?])?;
        wait_from_now(db, at, "id = ?2", id)?;
    }
    Ok(Some(halted))
}

pub(super) fn held(
    db: &Connection,
    after: Option<(PipelineId, RecordId)>,
    limit: usize,
) -> Result<Vec<(PipelineId, RecordId, Seq)>, StoreError> {
    let (pipeline, record) = after.map_or((PipelineId(0), String::new()), |(id, record)| (id, record.to_string()));
    rows(
        db,
        "SELECT k.pipeline, k.record, k.from_seq FROM parked k
         JOIN pipelines p ON p.id = k.pipeline AND p.halted IS NULL
         WHERE k.code = ?1 AND (k.pipeline, k.record) > (?2, ?3) ORDER BY k.pipeline, k.record LIMIT ?4",
        params![PIPELINE_HALTED, pipeline, record, i64::try_from(limit).unwrap_or(i64::MAX)],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )
}

pub(super) fn sent(db: &Connection) -> Result<Vec<Sent>, StoreError> {
    rows(db, "SELECT pipeline, record, suspect_until FROM sent ORDER BY pipeline, record", [], |row| {
        Ok(Sent { pipeline: row.get(0)?, record: row.get(1)?, suspect_until: row.get(2)? })
    })
}

pub(super) fn sending(db: &Connection, sent: &[(PipelineId, RecordId)]) -> Result<(), StoreError> {
    let mut insert = db.prepare_cached("INSERT INTO sent (pipeline, record) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?;
    for (pipeline, record) in sent {
        insert.execute(params![pipeline, record])?;
    }
    Ok(())
}

pub(super) fn rows<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StoreError> {
    Ok(db.prepare_cached(sql)?.query_map(params, read)?.collect::<Result<_, _>>()?)
}
