//! What is known of subscriptions beside their position: transport, schemas, and what the truth probe asks.

use rusqlite::{Connection, OptionalExtension, params};

use super::columns::Count;
use crate::event::{ObjectName, OrgName, RecordId, Timestamp, Transport};
use crate::store::{Position, StoreError, SubscriptionId, SubscriptionRow};

pub(super) fn subscriptions(db: &Connection) -> Result<Vec<SubscriptionRow>, StoreError> {
    let rows = db
        .prepare_cached(
            "SELECT id, org, channel, transport, replay_id, started_at, live_until, last_event_at, journaled,
                 (SELECT count(*) FROM gaps WHERE subscription = subscriptions.id AND closed_at IS NULL)
             FROM subscriptions WHERE retired_at IS NULL ORDER BY id",
        )?
        .query_map([], |row| {
            Ok(SubscriptionRow {
                id: row.get(0)?,
                org: row.get(1)?,
                channel: row.get(2)?,
                transport: row.get(3)?,
                position: Position { replay_id: row.get(4)?, started_at: row.get(5)?, live_until: row.get(6)? },
                last_event: row.get(7)?,
                journaled: row.get::<_, Count>(8)?.0,
                open_gaps: row.get::<_, Count>(9)?.0,
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

pub(super) fn transport(db: &Connection, org: &OrgName) -> Result<Option<Transport>, StoreError> {
    // A subscription that never had a position was received by nothing yet.
    let select = "SELECT transport FROM subscriptions
                  WHERE org = ?1 AND channel NOT LIKE '/poll/%' AND (replay_id IS NOT NULL OR started_at IS NOT NULL OR live_until IS NOT NULL)
                  ORDER BY id DESC LIMIT 1";
    Ok(db.prepare_cached(select)?.query_row([org], |row| row.get(0)).optional()?)
}

pub(super) fn schema(db: &Connection, org: &OrgName, schema_id: &str) -> Result<Option<String>, StoreError> {
    let select = "SELECT schema FROM schemas WHERE org = ?1 AND schema_id = ?2";
    Ok(db.prepare_cached(select)?.query_row(params![org, schema_id], |row| row.get(0)).optional()?)
}

pub(super) fn keep_schema(db: &Connection, org: &OrgName, schema_id: &str, schema: &str) -> Result<(), StoreError> {
    db.prepare_cached("INSERT INTO schemas (org, schema_id, schema) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
        .execute(params![org, schema_id, schema])?;
    Ok(())
}

pub(super) fn probed(
    db: &Connection,
    id: SubscriptionId,
    object: &ObjectName,
) -> Result<Option<Timestamp>, StoreError> {
    let select = "SELECT until FROM probes WHERE subscription = ?1 AND object = ?2";
    Ok(db.prepare_cached(select)?.query_row(params![id, object], |row| row.get(0)).optional()?)
}

pub(super) fn unjournaled(
    db: &Connection,
    id: SubscriptionId,
    rows: &[(RecordId, Timestamp)],
) -> Result<Vec<RecordId>, StoreError> {
    let mut told = db.prepare_cached(
        "SELECT 1 FROM journal_records r JOIN journal j ON j.seq = r.seq
         WHERE r.subscription = ?1 AND r.record = ?2 AND j.committed_at >= ?3",
    )?;
    let mut missing = Vec::new();
    for (record, at) in rows {
        if !told.exists(params![id, record, at])? {
            missing.push(*record);
        }
    }
    Ok(missing)
}
