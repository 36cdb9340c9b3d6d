//! What arrived becomes entries, gaps and a position: the rules of `append`.

use rusqlite::{Connection, OptionalExtension, params};

use super::columns::Payload;
use super::journal::head;
use crate::event::{
    Arrival, Change, ChangeKind, EventKey, Happening, ObjectName, Seq, Timestamp, Transport, WindowCause,
};
use crate::store::position::Standing;
use crate::store::{Appended, GapKind, RETENTION, StoreError, SubscriptionId};

pub(super) fn append(
    db: &Connection,
    id: SubscriptionId,
    group: Vec<Arrival>,
    received: Timestamp,
) -> Result<Appended, StoreError> {
    let mut standing = load(db, id)?;
    let before = standing.clone();
    let mut gaps = PositionGaps::load(db, id)?;
    let (mut journaled, mut doubles) = (0, 0);
    for arrival in group {
        match arrival {
            Arrival::Change(change) => {
                let key = change.event_key();
                let seq = insert(db, id, &change, &key, received)?;
                match seq {
                    Some(_) => journaled += 1,
                    None => doubles += 1,
                }
                gaps.seen(db, &key, seq.map(|_| change.committed().unwrap_or(received)), received)?;
                standing.arrived(&change.replay_id);
            }
            Arrival::Live { until } => {
                gaps.end(db, until)?;
                standing.live(until);
            }
            Arrival::Passed { replay_id, events: _ } => standing.passed(replay_id),
            Arrival::Undecodable(event) => {
                let window = (standing.live_until, Some(received));
                insert_gap(db, id, GapKind::Undecodable, event.object.as_ref(), window, head(db)?, None)?;
                if let Some(replay_id) = event.replay_id {
                    standing.arrived(&replay_id);
                }
            }
            Arrival::Found { change, missed: _ } => {
                let key = change.event_key();
                match insert(db, id, &change, &key, received)? {
                    Some(_) => journaled += 1,
                    None => doubles += 1,
                }
            }
            Arrival::Skipped { at } => {
                let window = (standing.live_until, Some(at));
                insert_gap(db, id, GapKind::Position, None, window, head(db)?, None)?;
                standing.refused();
            }
            Arrival::Window(window) => {
                let kind = match window.cause {
                    WindowCause::Missed => GapKind::Missed,
                    WindowCause::Capture => GapKind::Capture,
                    WindowCause::Access => GapKind::Access,
                };
                insert_gap(db, id, kind, window.object.as_ref(), (window.from, window.to), head(db)?, None)?;
            }
            Arrival::Probed { object, until } => {
                db.prepare_cached(
                    "INSERT INTO probes (subscription, object, until) VALUES (?1, ?2, ?3)
                     ON CONFLICT DO UPDATE SET until = max(until, excluded.until)",
                )?
                .execute(params![id, object, until])?;
            }
            Arrival::Refused { at } => {
                gaps.open(db, id, standing.live_until, at)?;
                standing.refused();
            }
        }
    }
    if standing != before {
        save(db, id, &standing)?;
    }
    Ok(Appended { head: head(db)?, journaled, doubles })
}

/// See `Store::received_by`.
pub(super) fn received_by(
    db: &Connection,
    id: SubscriptionId,
    transport: Transport,
    at: Timestamp,
) -> Result<(), StoreError> {
    let before: Transport =
        db.query_row("SELECT transport FROM subscriptions WHERE id = ?1", [id], |row| row.get(0))?;
    if before == transport {
        return Ok(());
    }
    let mut standing = load(db, id)?;
    if standing.replay_id.is_some() {
        PositionGaps::load(db, id)?.open(db, id, standing.live_until, at)?;
        standing.refused();
        save(db, id, &standing)?;
    }
    db.execute("UPDATE subscriptions SET transport = ?2 WHERE id = ?1", params![id, transport])?;
    Ok(())
}

fn load(db: &Connection, id: SubscriptionId) -> Result<Standing, StoreError> {
    db.prepare_cached("SELECT replay_id, pending_replay_id, live_until FROM subscriptions WHERE id = ?1")?
        .query_row([id], |row| Ok(Standing { replay_id: row.get(0)?, pending: row.get(1)?, live_until: row.get(2)? }))
        .optional()?
        .ok_or_else(|| StoreError::Database("no such subscription".into()))
}

fn save(db: &Connection, id: SubscriptionId, standing: &Standing) -> Result<(), StoreError> {
    db.prepare_cached(
        "UPDATE subscriptions SET replay_id = ?2, pending_replay_id = ?3, live_until = ?4 WHERE id = ?1",
    )?
    .execute(params![id, standing.replay_id, standing.pending, standing.live_until])?;
    Ok(())
}

/// The new entry's number; none for a double.
fn insert(
    db: &Connection,
    id: SubscriptionId,
    change: &Change,
    key: &EventKey,
    received: Timestamp,
) -> Result<Option<Seq>, StoreError> {
    // Asked first: an insert that comes to nothing would use up a number all the same.
    let known = db
        .prepare_cached("SELECT 1 FROM journal WHERE subscription = ?1 AND event_key = ?2")?
        .exists(params![id, key])?;
    if known {
        return Ok(None);
    }
    let header = match &change.happening {
        Happening::Record(change) => Some(&change.header),
        Happening::Event { .. } | Happening::Notification { .. } => None,
    };
    let seq = db
        .prepare_cached(
            "INSERT INTO journal
                 (subscription, replay_id, event_key, entity, change_type, committed_at, received_at, payload)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             RETURNING seq",
        )?
        .query_row(
            params![
                id,
                change.replay_id,
                key,
                header.map(|header| &header.entity_name),
                header.map(|header| header.change_type),
                change.committed(),
                received,
                Payload::write(&change.happening)?,
            ],
            |row| row.get::<_, Seq>(0),
        )?;
    let Some(header) = header else { return Ok(Some(seq)) };
    let mut record_row = db.prepare_cached(
        "INSERT INTO journal_records (subscription, record, seq) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )?;
    for record in &header.record_ids {
        record_row.execute(params![id, record, seq])?;
    }
    let kind = match header.change_type {
        ChangeKind::GapOverflow => Some(GapKind::Overflow),
        _ if header.wildcard => Some(GapKind::Wildcard),
        _ => None,
    };
    if let Some(kind) = kind {
        let window = (Some(header.commit_timestamp), Some(header.commit_timestamp));
        insert_gap(db, id, kind, Some(&header.entity_name), window, seq, None)?;
    }
    Ok(Some(seq))
}

/// Returns the number of its row.
pub(super) fn insert_gap(
    db: &Connection,
    id: SubscriptionId,
    kind: GapKind,
    object: Option<&ObjectName>,
    (from, to): (Option<Timestamp>, Option<Timestamp>),
    seq: Seq,
    proof: Option<&EventKey>,
) -> Result<i64, StoreError> {
    Ok(db
        .prepare_cached(
            "INSERT INTO gaps (subscription, kind, object, from_time, to_time, seq, proof)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             RETURNING id",
        )?
        .query_row(params![id, kind, object, from, to, seq, proof], |row| row.get(0))?)
}

/// The open gaps that a refused position left. There are hardly ever any.
struct PositionGaps(Vec<PositionGap>);

#[derive(PartialEq, Eq)]
struct PositionGap {
    id: i64,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    proof: Option<EventKey>,
}

impl PositionGaps {
    fn load(db: &Connection, id: SubscriptionId) -> Result<Self, StoreError> {
        let gaps = db
            .prepare_cached(
                "SELECT id, from_time, to_time, proof FROM gaps
                 WHERE subscription = ?1 AND kind = ?2 AND closed_at IS NULL",
            )?
            .query_map(params![id, GapKind::Position], |row| {
                Ok(PositionGap { id: row.get(0)?, from: row.get(1)?, to: row.get(2)?, proof: row.get(3)? })
            })?
            .collect::<Result<_, _>>()?;
        Ok(Self(gaps))
    }

    /// The org refused the position. Only if the subscription was live within the org's retention can the newest
    /// event that we know show, by coming again, that nothing between is missing.
    fn open(
        &mut self,
        db: &Connection,
        id: SubscriptionId,
        from: Option<Timestamp>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let proof = match from {
            Some(from) if from >= at.minus(RETENTION) => newest_key(db, id)?,
            _ => None,
        };
        // Refused again before anything came: it is the same gap.
        if self.0.iter().any(|gap| gap.to.is_none() && gap.from == from && gap.proof == proof) {
            return Ok(());
        }
        let row = insert_gap(db, id, GapKind::Position, None, (from, None), head(db)?, proof.as_ref())?;
        self.0.push(PositionGap { id: row, from, to: None, proof });
        Ok(())
    }

    /// An event came; `new` is its time, if it is no double.
    fn seen(
        &mut self,
        db: &Connection,
        key: &EventKey,
        new: Option<Timestamp>,
        received: Timestamp,
    ) -> Result<(), StoreError> {
        if self.0.is_empty() {
            return Ok(());
        }
        if let Some(at) = new {
            self.end(db, at)?;
        }
        let proven = |gap: &PositionGap| gap.proof.as_ref() == Some(key);
        for gap in self.0.iter().filter(|gap| proven(gap)) {
            db.prepare_cached("UPDATE gaps SET closed_at = ?2 WHERE id = ?1")?.execute(params![gap.id, received])?;
        }
        self.0.retain(|gap| !proven(gap));
        Ok(())
    }

    /// What came first after the refusal, an event or the word that there is none, ends the window.
    fn end(&mut self, db: &Connection, at: Timestamp) -> Result<(), StoreError> {
        for gap in self.0.iter_mut().filter(|gap| gap.to.is_none()) {
            db.prepare_cached("UPDATE gaps SET to_time = ?2 WHERE id = ?1")?.execute(params![gap.id, at])?;
            gap.to = Some(at);
        }
        Ok(())
    }
}

fn newest_key(db: &Connection, id: SubscriptionId) -> Result<Option<EventKey>, StoreError> {
    Ok(db
        .prepare_cached("SELECT event_key FROM journal WHERE subscription = ?1 ORDER BY seq DESC LIMIT 1")?
        .query_row([id], |row| row.get(0))
        .optional()?)
}
