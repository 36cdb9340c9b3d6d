//! Subscriptions, and reading what they journaled.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension, params};

use super::columns::{Payload, json_list};
use crate::event::{Change, ChangeKind, Channel, OrgName, RecordId, Seq, Timestamp};
use crate::store::{Entry, Page, PipelineId, Position, StoreError, Subscription, SubscriptionId};

pub(super) fn pin_org(db: &Connection, org: &OrgName, org_id: &str) -> Result<(), StoreError> {
    db.execute("INSERT INTO orgs (name, org_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING", params![org, org_id])?;
    let pinned: String = db.query_row("SELECT org_id FROM orgs WHERE name = ?1", [org], |row| row.get(0))?;
    if pinned != org_id {
        return Err(StoreError::OtherOrg { org: org.clone(), pinned, found: org_id.to_owned() });
    }
    Ok(())
}

pub(super) fn pinned_org(db: &Connection, org: &OrgName) -> Result<Option<String>, StoreError> {
    let select = "SELECT org_id FROM orgs WHERE name = ?1";
    Ok(db.prepare_cached(select)?.query_row([org], |row| row.get(0)).optional()?)
}

pub(super) fn subscription(db: &Connection, org: &OrgName, channel: &Channel) -> Result<Subscription, StoreError> {
    known_subscription(db, org, channel)?;
    // Who asks is about to subscribe. Then what was pending comes again, or older events do, and the id that they
    // push out would not be complete.
    db.execute(
        "UPDATE subscriptions SET pending_replay_id = NULL WHERE org = ?1 AND channel = ?2",
        params![org, channel],
    )?;
    let subscription = db.query_row(
        "SELECT id, replay_id, started_at, live_until FROM subscriptions WHERE org = ?1 AND channel = ?2",
        params![org, channel],
        |row| {
            let position = Position { replay_id: row.get(1)?, started_at: row.get(2)?, live_until: row.get(3)? };
            Ok(Subscription { id: row.get(0)?, position })
        },
    )?;
    Ok(subscription)
}

/// The subscription of this channel, made if there is none, with nothing else changed.
pub(super) fn known_subscription(
    db: &Connection,
    org: &OrgName,
    channel: &Channel,
) -> Result<SubscriptionId, StoreError> {
    db.execute(
        "INSERT INTO subscriptions (org, channel) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        params![org, channel],
    )?;
    let select = "SELECT id FROM subscriptions WHERE org = ?1 AND channel = ?2";
    Ok(db.query_row(select, params![org, channel], |row| row.get(0))?)
}

pub(super) fn start(db: &Connection, id: SubscriptionId, at: Timestamp) -> Result<(), StoreError> {
    // The same moment by our clock, which need not be the org's.
    db.execute(
        "UPDATE subscriptions SET started_at = ?2, proven_at = coalesce(proven_at, ?3)
         WHERE id = ?1 AND started_at IS NULL",
        params![id, at, Timestamp::now()],
    )?;
    Ok(())
}

/// Not the newest row: rows may go, numbers may not come back.
pub(super) fn head(db: &Connection) -> Result<Seq, StoreError> {
    let head = db
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'journal'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(head.unwrap_or(Seq::ZERO))
}

/// Runs in one snapshot, so that what it did not find up to the head is not there.
pub(super) fn page(db: &Connection, pipeline: PipelineId, after: Seq, limit: usize) -> Result<Page, StoreError> {
    let limit = limit.max(1);
    let entries = db
        .prepare_cached(
            "SELECT j.seq, j.replay_id, j.payload, j.received_at, p.channel
             FROM pipelines p
             JOIN subscriptions s ON s.org = p.source_org AND s.channel = p.channel
             JOIN journal j ON j.subscription = s.id AND j.entity IS iif(p.kind = 'events', NULL, p.source_object)
             WHERE p.id = ?1 AND j.seq > ?2
             ORDER BY j.seq LIMIT ?3",
        )?
        .query_map(params![pipeline, after, i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
            let change =
                Change { channel: row.get(4)?, replay_id: row.get(1)?, happening: row.get::<_, Payload>(2)?.0 };
            Ok(Entry { seq: row.get(0)?, change, received: row.get(3)? })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    let last_seq = match entries.last() {
        Some(last) if entries.len() >= limit => last.seq,
        _ => head(db)?.max(after),
    };
    Ok(Page { entries, last_seq })
}

pub(super) fn newest_parts(
    db: &Connection,
    pipeline: PipelineId,
    records: &[RecordId],
    up_to: Seq,
) -> Result<HashMap<RecordId, ChangeKind>, StoreError> {
    let parts = db
        .prepare_cached(
            "SELECT asked.value, j.change_type
             FROM pipelines p
             JOIN subscriptions s ON s.org = p.source_org AND s.channel = p.channel
             CROSS JOIN json_each(?2) asked
             JOIN journal j ON j.seq = (SELECT max(r.seq) FROM journal_records r
                 WHERE r.subscription = s.id AND r.record = asked.value AND r.seq <= ?3)
             WHERE p.id = ?1
             UNION ALL
             -- Where the entry is gone the tombstone is what is left of it.
             SELECT a.record, 'DELETE' FROM json_each(?2) asked
             CROSS JOIN applied a ON a.pipeline = ?1 AND a.record = asked.value AND a.tombstone = 1 AND a.seq <= ?3
             WHERE NOT EXISTS (SELECT 1 FROM pipelines p
                 JOIN subscriptions s ON s.org = p.source_org AND s.channel = p.channel
                 JOIN journal_records r ON r.subscription = s.id AND r.record = a.record AND r.seq <= ?3
                 WHERE p.id = ?1)",
        )?
        .query_map(params![pipeline, json_list(records), up_to], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    Ok(parts)
}

pub(super) fn journaled_after(
    db: &Connection,
    pipeline: PipelineId,
    records: &[RecordId],
    after: Seq,
) -> Result<HashSet<RecordId>, StoreError> {
    let named = db
        .prepare_cached(
            "SELECT asked.value FROM pipelines p
             JOIN subscriptions s ON s.org = p.source_org AND s.channel = p.channel
             CROSS JOIN json_each(?2) asked
             WHERE p.id = ?1 AND EXISTS (SELECT 1 FROM journal_records r
                 WHERE r.subscription = s.id AND r.record = asked.value AND r.seq > ?3)",
        )?
        .query_map(params![pipeline, json_list(records), after], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(named)
}
