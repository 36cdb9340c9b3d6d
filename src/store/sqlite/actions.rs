//! Actions: their rows in `pipelines`, and what they were done for.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::columns::{Count, Payload};
use super::gaps::{self, NewGap};
use super::journal::{head, known_subscription};
use super::pipelines::{self, rows};
use crate::event::{Change, PipelineName, Seq, Timestamp};
use crate::store::{
    ActionDone, ActionIdentity, ActionPlace, ActionRow, ActionSettlement, ActionState, EVENTS_GONE, Entry,
    FailedAction, GapKind, Halted, Occasion, OccasionOf, PipelineId, StoreError, WhichActions,
};

const ROW: &str = "SELECT id, name, source_org, channel, source_object, kind, watermark,
        (SELECT count(*) FROM actions WHERE pipeline = pipelines.id AND state = 'failed'), halted, halted_at
    FROM pipelines WHERE removed_at IS NULL AND kind <> 'records'";

fn read_row(row: &Row<'_>) -> rusqlite::Result<ActionRow> {
    let kind: String = row.get(5)?;
    Ok(ActionRow {
        id: row.get(0)?,
        identity: ActionIdentity {
            name: row.get(1)?,
            source_org: row.get(2)?,
            channel: row.get(3)?,
            object: row.get(4)?,
            of_events: kind == "events",
        },
        watermark: row.get(6)?,
        failed: row.get::<_, Count>(7)?.0,
        halted: row.get::<_, Option<String>>(8)?.zip(row.get(9)?).map(|(why, at)| Halted { why, at }),
    })
}

pub(super) fn actions(db: &Connection) -> Result<Vec<ActionRow>, StoreError> {
    rows(db, &format!("{ROW} ORDER BY id"), [], read_row)
}

fn by_name(db: &Connection, name: &PipelineName) -> Result<Option<ActionRow>, StoreError> {
    Ok(db.prepare_cached(&format!("{ROW} AND name = ?1"))?.query_row([name], read_row).optional()?)
}

/// See `Store::action`.
pub(super) fn action(db: &Connection, identity: &ActionIdentity, first: Seq) -> Result<ActionRow, StoreError> {
    if let Some(row) = by_name(db, &identity.name)? {
        same(&row.identity, identity)?;
        return Ok(row);
    }
    let kind = if identity.of_events { "events" } else { "changes" };
    pipelines::no_other_kind(db, &identity.name, "an action")?;
    let id = known_subscription(db, &identity.source_org, &identity.channel)?;
    let was = pipelines::remove_for_good(db, &identity.name)?;
    // What lies before it was there is none of its business.
    let seen: i64 =
        db.query_row("SELECT coalesce(max(id), 0) FROM gaps WHERE subscription = ?1", [id], |row| row.get(0))?;
    db.execute(
        "INSERT INTO pipelines
             (name, source_org, channel, source_object, target_org, target_object, key_field, watermark, kind, gaps_to)
         VALUES (?1, ?2, ?3, ?4, '', '', '', ?5, ?6, ?7)",
        params![identity.name, identity.source_org, identity.channel, identity.object, first, kind, seen],
    )?;
    if let Some(removed_at) = was {
        let now = Timestamp::now();
        let gap = NewGap::window(GapKind::Removed, Some(&identity.object), (Some(removed_at), Some(now)), head(db)?);
        gaps::open(db, id, now, &NewGap { why: &format!("action {}", identity.name), ..gap })?;
    }
    by_name(db, &identity.name)?.ok_or_else(|| StoreError::Database("no such action".into()))
}

fn same(known: &ActionIdentity, wanted: &ActionIdentity) -> Result<(), StoreError> {
    let parts = |of: &ActionIdentity| {
        [
            ("source org", of.source_org.to_string()),
            ("channel", of.channel.to_string()),
            ("source object", of.object.to_string()),
        ]
    };
    match parts(known).into_iter().zip(parts(wanted)).find(|(old, new)| old != new) {
        None => Ok(()),
        Some(((what, old), (_, new))) => Err(StoreError::OtherPipeline { name: wanted.name.clone(), what, old, new }),
    }
}

const COLUMNS: &str =
    "k.seq, k.record, k.state, k.idempotency_key, k.attempts, k.first_at, k.tried_at, k.code, k.evidence,
    k.request, k.answer, k.redrive_at";

fn read_done(row: &Row<'_>) -> rusqlite::Result<ActionDone> {
    Ok(ActionDone {
        occasion: Occasion { seq: row.get(0)?, of: row.get(1)? },
        state: row.get(2)?,
        idempotency_key: row.get(3)?,
        attempts: row.get(4)?,
        first_at: row.get(5)?,
        tried_at: row.get(6)?,
        code: row.get(7)?,
        evidence: row.get(8)?,
        request: row.get(9)?,
        answer: row.get(10)?,
        redrive_at: row.get(11)?,
    })
}

/// See `Store::known_actions`.
pub(super) fn known(db: &Connection, pipeline: PipelineId) -> Result<Vec<ActionDone>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM actions k JOIN pipelines p ON p.id = k.pipeline
         WHERE k.pipeline = ?1 AND (k.seq > p.watermark OR k.state NOT IN ('failed', 'done')) ORDER BY k.seq, k.record"
    );
    rows(db, &sql, [pipeline], read_done)
}

/// See `Store::settle_actions`.
pub(super) fn settle(db: &Connection, pipeline: PipelineId, settlement: &ActionSettlement) -> Result<(), StoreError> {
    for done in &settlement.rows {
        db.prepare_cached(
            "INSERT OR REPLACE INTO actions (pipeline, seq, record, state, idempotency_key, attempts, first_at, tried_at,
                 code, evidence, request, answer, redrive_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?
        .execute(params![
            pipeline,
            done.occasion.seq,
            done.occasion.of,
            done.state,
            done.idempotency_key,
            done.attempts,
            done.first_at,
            done.tried_at,
            done.code,
            done.evidence,
            done.request,
            done.answer,
            done.redrive_at,
        ])?;
    }
    if let Some(watermark) = settlement.watermark {
        super::settle::move_watermarks(db, &[(pipeline, watermark)])?;
    }
    db.prepare_cached(
        "DELETE FROM actions WHERE pipeline = ?1 AND state = 'done'
             AND seq <= (SELECT watermark FROM pipelines WHERE id = ?1)",
    )?
    .execute([pipeline])?;
    Ok(())
}

/// See `Store::events_gone`.
pub(super) fn events_gone(db: &Connection, pipeline: PipelineId, at: Timestamp) -> Result<u64, StoreError> {
    let added = db
        .prepare_cached(
            "INSERT OR IGNORE INTO actions (pipeline, seq, record, state, idempotency_key, attempts, first_at, tried_at,
                 code, evidence)
             SELECT p.id, g.seq, 'gap ' || g.id, 'failed', '', 0, ?2, ?2, ?3,
                 'Something may have hidden events (' || g.kind || ', gap ' || g.id || '): '
                     || 'nobody knows whether it should have been done for one of them.'
             FROM pipelines p JOIN subscriptions s ON s.org = p.source_org AND s.channel = p.channel
             JOIN gaps g ON g.subscription = s.id AND g.id > p.gaps_to AND g.records = 0
             WHERE p.id = ?1 AND (p.kind = 'events' OR g.object IS NULL OR g.object = p.source_object)",
        )?
        .execute(params![pipeline, at, EVENTS_GONE])?;
    db.prepare_cached(
        "UPDATE pipelines SET gaps_to = max(gaps_to, (SELECT coalesce(max(g.id), 0) FROM gaps g
             JOIN subscriptions s ON s.id = g.subscription
             WHERE s.org = pipelines.source_org AND s.channel = pipelines.channel))
         WHERE id = ?1",
    )?
    .execute([pipeline])?;
    Ok(added as u64)
}

/// Rows of `actions` that failed and match, with their actions.
const MATCHING: &str = "FROM actions k JOIN pipelines p ON p.id = k.pipeline AND p.removed_at IS NULL
     WHERE k.state = 'failed' AND (?1 IS NULL OR p.name = ?1) AND (?2 IS NULL OR k.code = ?2 COLLATE NOCASE)
         AND (?3 IS NULL OR k.seq = ?3)";

/// See `Store::failed_actions`.
pub(super) fn failed(
    db: &Connection,
    which: &WhichActions,
    after: Option<ActionPlace>,
    limit: usize,
) -> Result<Vec<FailedAction>, StoreError> {
    let (id, seq, of) = match after {
        Some((id, occasion)) => (id, occasion.seq, Some(occasion.of)),
        None => (PipelineId(0), Seq::ZERO, None),
    };
    rows(
        db,
        &format!(
            "SELECT {COLUMNS}, p.name, p.id, p.source_org, p.source_object {MATCHING}
                 AND (k.pipeline, k.seq, k.record) > (?4, ?5, coalesce(?6, ''))
             ORDER BY k.pipeline, k.seq, k.record LIMIT ?7"
        ),
        params![which.action, which.code, which.seq, id, seq, of, i64::try_from(limit).unwrap_or(i64::MAX)],
        |row| {
            Ok(FailedAction {
                row: read_done(row)?,
                action: row.get(12)?,
                id: row.get(13)?,
                source_org: row.get(14)?,
                object: row.get(15)?,
            })
        },
    )
}

/// See `Store::redrive_actions`. What is behind a gap cannot be done again.
pub(super) fn redrive(db: &Connection, which: &WhichActions, at: Timestamp) -> Result<u64, StoreError> {
    let sql = format!(
        "UPDATE actions SET redrive_at = ?4 WHERE record NOT LIKE 'gap %' AND (pipeline, seq, record) IN
             (SELECT k.pipeline, k.seq, k.record {MATCHING})"
    );
    Ok(db.prepare_cached(&sql)?.execute(params![which.action, which.code, which.seq, at])? as u64)
}

/// See `Store::discard_actions`.
pub(super) fn discard(db: &Connection, which: &WhichActions) -> Result<u64, StoreError> {
    let sql = format!(
        "DELETE FROM actions WHERE redrive_at IS NULL AND (pipeline, seq, record) IN
             (SELECT k.pipeline, k.seq, k.record {MATCHING})"
    );
    Ok(db.prepare_cached(&sql)?.execute(params![which.action, which.code, which.seq])? as u64)
}

/// See `Store::redriven_actions`.
pub(super) fn redriven(db: &Connection, pipeline: PipelineId, limit: usize) -> Result<Vec<ActionDone>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM actions k
         WHERE k.pipeline = ?1 AND k.state = 'failed' AND k.redrive_at IS NOT NULL ORDER BY k.seq, k.record LIMIT ?2"
    );
    rows(db, &sql, params![pipeline, i64::try_from(limit).unwrap_or(i64::MAX)], read_done)
}

/// See `Store::entries_at`.
pub(super) fn entries_at(db: &Connection, seqs: &[Seq]) -> Result<Vec<Entry>, StoreError> {
    let seqs: Vec<u64> = seqs.iter().map(|seq| seq.0).collect();
    rows(
        db,
        "SELECT j.seq, j.replay_id, j.payload, j.received_at, s.channel
         FROM json_each(?1) asked JOIN journal j ON j.seq = asked.value JOIN subscriptions s ON s.id = j.subscription
         ORDER BY j.seq",
        [serde_json::Value::from(seqs).to_string()],
        |row| {
            let change =
                Change { channel: row.get(4)?, replay_id: row.get(1)?, happening: row.get::<_, Payload>(2)?.0 };
            Ok(Entry { seq: row.get(0)?, change, received: row.get(3)? })
        },
    )
}

impl ToSql for OccasionOf {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.to_string().into())
    }
}

impl FromSql for OccasionOf {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map_err(|_| FromSqlError::InvalidType)
    }
}

impl ToSql for ActionState {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}

impl FromSql for ActionState {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map_err(|()| FromSqlError::InvalidType)
    }
}
