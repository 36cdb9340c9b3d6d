//! Subscriptions, the journal and its gaps.

use std::collections::HashMap;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::{Appended, Entry, Gap, Page, PipelineId, StoreError, Subscription, SubscriptionId, corrupt, int, name, seq};
use crate::event::{
    Change, ChangeKind, Channel, EventKey, Happening, ObjectName, OrgName, RecordId, ReplayId, Seq, Timestamp,
};
use crate::store::{GapKind, Position};
use crate::subscribe::Arrival;

/// How long an org keeps change events (facts: streaming-cometd.md section 10).
const RETENTION: Duration = Duration::from_secs(72 * 3600);

/// An event as it stands in the file.
#[derive(Serialize, Deserialize)]
struct Payload {
    v: u32,
    change: Change,
}

pub fn subscription(db: &Connection, org: &OrgName, channel: &Channel) -> Result<Subscription, StoreError> {
    let insert = "INSERT INTO subscriptions (org, channel, transport) VALUES (?1, ?2, 'cometd') ON CONFLICT DO NOTHING";
    db.execute(insert, params![org.as_str(), channel.as_str()])?;
    // An id that was still pending is asked for again, so it must not be taken for complete when the next one comes.
    let select = "UPDATE subscriptions SET pending_id = NULL WHERE org = ?1 AND channel = ?2
                  RETURNING id, replay_id, started_at, live_until";
    Ok(db.query_row(select, params![org.as_str(), channel.as_str()], |row| {
        let position = Position {
            replay_id: row.get::<_, Option<Vec<u8>>>(1)?.map(ReplayId),
            started_at: row.get::<_, Option<i64>>(2)?.map(Timestamp),
            live_until: row.get::<_, Option<i64>>(3)?.map(Timestamp),
        };
        Ok(Subscription { id: SubscriptionId(row.get(0)?), position })
    })?)
}

pub fn start(db: &Connection, id: SubscriptionId, at: Timestamp) -> Result<(), StoreError> {
    let update = "UPDATE subscriptions SET started_at = ?2 WHERE id = ?1 AND started_at IS NULL";
    db.execute(update, params![id.0, at.0])?;
    Ok(())
}

pub fn head(db: &Connection) -> Result<Seq, StoreError> {
    let select = "SELECT seq FROM sqlite_sequence WHERE name = 'journal'";
    let head: Option<i64> = db.prepare_cached(select)?.query_row([], |row| row.get(0)).optional()?;
    Ok(seq(head.unwrap_or(0)))
}

pub fn append(
    db: &Connection,
    id: SubscriptionId,
    group: Vec<Arrival>,
    received: Timestamp,
) -> Result<Appended, StoreError> {
    let mut appended = Appended { head: Seq::ZERO, journaled: 0, doubles: 0 };
    let mut position = Pending::read(db, id)?;
    for arrival in group {
        match arrival {
            Arrival::Change(change) => {
                position.saw(change.replay_id.clone());
                let key = change.event_key();
                let fresh = entry(db, id, &change, &key, received)?;
                if fresh {
                    appended.journaled += 1;
                } else {
                    appended.doubles += 1;
                }
                proven(db, id, &change, &key, fresh, received)?;
            }
            Arrival::Live { until } => position.live(until),
            Arrival::Passed { replay_id, .. } => position.saw(replay_id),
            Arrival::Refused { at } => {
                position.refused(db, id, at, received)?;
            }
        }
    }
    position.write(db, id)?;
    appended.head = head(db)?;
    Ok(appended)
}

/// The position while a group is appended. Several events can share an id, so an id is complete only when another one, or
/// a proof of being caught up, comes behind it.
struct Pending {
    complete: Option<ReplayId>,
    pending: Option<ReplayId>,
    live_until: Option<Timestamp>,
}

impl Pending {
    fn read(db: &Connection, id: SubscriptionId) -> Result<Self, StoreError> {
        let select = "SELECT replay_id, pending_id, live_until FROM subscriptions WHERE id = ?1";
        Ok(db.prepare_cached(select)?.query_row([id.0], |row| {
            Ok(Self {
                complete: row.get::<_, Option<Vec<u8>>>(0)?.map(ReplayId),
                pending: row.get::<_, Option<Vec<u8>>>(1)?.map(ReplayId),
                live_until: row.get::<_, Option<i64>>(2)?.map(Timestamp),
            })
        })?)
    }

    fn write(self, db: &Connection, id: SubscriptionId) -> Result<(), StoreError> {
        let update = "UPDATE subscriptions SET replay_id = ?2, pending_id = ?3, live_until = ?4 WHERE id = ?1";
        let (complete, pending) = (self.complete.map(|id| id.0), self.pending.map(|id| id.0));
        db.prepare_cached(update)?.execute(params![id.0, complete, pending, self.live_until.map(|at| at.0)])?;
        Ok(())
    }

    fn saw(&mut self, id: ReplayId) {
        if self.pending.as_ref() != Some(&id)
            && let Some(before) = self.pending.replace(id)
        {
            self.complete = Some(before);
        }
    }

    fn live(&mut self, until: Timestamp) {
        if let Some(id) = self.pending.take() {
            self.complete = Some(id);
        }
        self.live_until = self.live_until.max(Some(until));
    }

    fn refused(
        &mut self,
        db: &Connection,
        id: SubscriptionId,
        at: Timestamp,
        noticed: Timestamp,
    ) -> Result<(), StoreError> {
        (self.complete, self.pending) = (None, None);
        let newest = "SELECT event_key FROM journal WHERE subscription = ?1 ORDER BY seq DESC LIMIT 1";
        let newest: Option<String> = db.query_row(newest, [id.0], |row| row.get(0)).optional()?;
        // Beyond retention even the newest known event proves nothing of what came between.
        let provable = self.live_until.is_some_and(|live| live >= at.minus(RETENTION));
        let gap = Gap {
            id: 0,
            subscription: id,
            kind: GapKind::Position,
            object: None,
            from: self.live_until,
            to: None,
            seq: head(db)?,
            proof: newest.filter(|_| provable).map(EventKey),
        };
        open_gap(db, &gap, noticed)
    }
}

/// False: the event was there already.
fn entry(
    db: &Connection,
    id: SubscriptionId,
    change: &Change,
    key: &EventKey,
    received: Timestamp,
) -> Result<bool, StoreError> {
    let header = match &change.happening {
        Happening::Record(record) => Some(&record.header),
        Happening::Event { .. } | Happening::Notification { .. } => None,
    };
    let payload = serde_json::to_string(&Payload { v: 1, change: change.clone() }).map_err(corrupt)?;
    let insert = "INSERT INTO journal
                  (subscription, event_key, entity, change_type, committed_at, received_at, payload)
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING";
    let inserted = db.prepare_cached(insert)?.execute(params![
        id.0,
        key.0,
        header.map(|header| header.entity_name.as_str()),
        header.map(|header| header.change_type.as_str()),
        header.map(|header| header.commit_timestamp.0),
        received.0,
        payload,
    ])?;
    if inserted == 0 {
        return Ok(false);
    }
    let number = db.last_insert_rowid();
    let Some(header) = header else { return Ok(true) };
    let mut records = db.prepare_cached("INSERT OR IGNORE INTO journal_records (record, seq) VALUES (?1, ?2)")?;
    for record in &header.record_ids {
        records.execute(params![record.as_str(), number])?;
    }
    let kind = match header.change_type {
        ChangeKind::GapOverflow => Some(GapKind::Overflow),
        _ if header.wildcard => Some(GapKind::Wildcard),
        _ => None,
    };
    if let Some(kind) = kind {
        let gap = Gap {
            id: 0,
            subscription: id,
            kind,
            object: Some(header.entity_name.clone()),
            from: None,
            to: Some(header.commit_timestamp),
            seq: seq(number),
            proof: None,
        };
        open_gap(db, &gap, received)?;
    }
    Ok(true)
}

/// What an event says of an open gap of its subscription: its proof came again, or it is the first behind the gap.
fn proven(
    db: &Connection,
    id: SubscriptionId,
    change: &Change,
    key: &EventKey,
    fresh: bool,
    at: Timestamp,
) -> Result<(), StoreError> {
    let close = "UPDATE gaps SET closed_at = ?3 WHERE subscription = ?1 AND proof = ?2 AND closed_at IS NULL";
    db.prepare_cached(close)?.execute(params![id.0, key.0, at.0])?;
    if fresh && let Some(committed) = change.committed() {
        let end = "UPDATE gaps SET to_time = ?2 WHERE subscription = ?1 AND kind = 'position' AND to_time IS NULL
                   AND closed_at IS NULL";
        db.prepare_cached(end)?.execute(params![id.0, committed.0])?;
    }
    Ok(())
}

pub fn open_gap(db: &Connection, gap: &Gap, noticed: Timestamp) -> Result<(), StoreError> {
    let insert = "INSERT INTO gaps (subscription, kind, object, from_time, to_time, seq, proof, opened_at)
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    db.execute(
        insert,
        params![
            gap.subscription.0,
            kind_text(gap.kind),
            gap.object.as_ref().map(ObjectName::as_str),
            gap.from.map(|at| at.0),
            gap.to.map(|at| at.0),
            int(gap.seq),
            gap.proof.as_ref().map(|key| key.0.as_str()),
            noticed.0,
        ],
    )?;
    Ok(())
}

fn kind_text(kind: GapKind) -> &'static str {
    match kind {
        GapKind::Position => "position",
        GapKind::Overflow => "overflow",
        GapKind::Wildcard => "wildcard",
        GapKind::Removed => "removed",
    }
}

/// The gaps that are open.
pub fn gaps(db: &Connection) -> Result<Vec<Gap>, StoreError> {
    let select = "SELECT id, subscription, kind, object, from_time, to_time, seq, proof FROM gaps
                  WHERE closed_at IS NULL ORDER BY id";
    let mut select = db.prepare_cached(select)?;
    let mut rows = select.query([])?;
    let mut gaps = Vec::new();
    while let Some(row) = rows.next()? {
        let kind: String = row.get(2)?;
        let kinds = [GapKind::Position, GapKind::Overflow, GapKind::Wildcard, GapKind::Removed];
        gaps.push(Gap {
            id: row.get(0)?,
            subscription: SubscriptionId(row.get(1)?),
            kind: kinds.into_iter().find(|known| kind_text(*known) == kind).ok_or_else(|| corrupt(&kind))?,
            object: row.get::<_, Option<String>>(3)?.map(name).transpose()?,
            from: row.get::<_, Option<i64>>(4)?.map(Timestamp),
            to: row.get::<_, Option<i64>>(5)?.map(Timestamp),
            seq: seq(row.get(6)?),
            proof: row.get::<_, Option<String>>(7)?.map(EventKey),
        });
    }
    Ok(gaps)
}

pub fn page(db: &Connection, pipeline: PipelineId, after: Seq, limit: usize) -> Result<Page, StoreError> {
    let head = head(db)?;
    let select = "SELECT j.seq, j.payload, j.received_at
                  FROM pipelines p
                  JOIN subscriptions s ON s.org = p.source_org AND s.channel = p.channel
                  JOIN journal j ON j.subscription = s.id AND j.entity = p.source_object
                  WHERE p.id = ?1 AND j.seq > ?2 ORDER BY j.seq LIMIT ?3";
    let mut select = db.prepare_cached(select)?;
    let mut rows = select.query(params![pipeline.0, int(after), i64::try_from(limit).unwrap_or(i64::MAX)])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(read_entry(row)?);
    }
    let last_seq = match entries.last() {
        Some(last) if entries.len() >= limit => last.seq,
        _ => head.max(after),
    };
    Ok(Page { entries, last_seq })
}

fn read_entry(row: &Row<'_>) -> Result<Entry, StoreError> {
    let text: String = row.get(1)?;
    let payload: Payload = serde_json::from_str(&text).map_err(corrupt)?;
    if payload.v != 1 {
        return Err(corrupt(format!("an event of version {}", payload.v)));
    }
    Ok(Entry { seq: seq(row.get(0)?), change: payload.change, received: Timestamp(row.get(2)?) })
}

pub fn newest_parts(
    db: &Connection,
    pipeline: PipelineId,
    records: &[RecordId],
    up_to: Seq,
) -> Result<HashMap<RecordId, ChangeKind>, StoreError> {
    let select = "SELECT j.change_type
                  FROM pipelines p
                  JOIN subscriptions s ON s.org = p.source_org AND s.channel = p.channel
                  JOIN journal_records r ON r.record = ?2 AND r.seq <= ?3
                  JOIN journal j ON j.seq = r.seq AND j.subscription = s.id
                  WHERE p.id = ?1 ORDER BY r.seq DESC LIMIT 1";
    let mut select = db.prepare_cached(select)?;
    let mut newest = HashMap::new();
    for record in records {
        let parameters = params![pipeline.0, record.as_str(), int(up_to)];
        let kind: Option<String> = select.query_row(parameters, |row| row.get(0)).optional()?;
        if let Some(kind) = kind {
            newest.insert(*record, kind.parse().map_err(corrupt)?);
        }
    }
    Ok(newest)
}
