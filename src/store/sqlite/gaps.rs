//! Rows of `gaps`: opened, widened, closed and read.

use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use super::columns::Count;
use super::journal::head;
use crate::event::{Channel, EventKey, ObjectName, Seq, Timestamp};
use crate::store::{Closed, Evidence, Gap, GapKind, Mended, Position, StoreError, SubscriptionId};

/// A gap that is to be opened.
pub(super) struct NewGap<'a> {
    pub kind: GapKind,
    pub object: Option<&'a ObjectName>,
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
    pub seq: Seq,
    /// How many records the entry at `seq` names; 0: it is a window.
    pub records: usize,
    pub why: &'a str,
    pub proof: Option<&'a EventKey>,
    pub evidence: Option<&'a Evidence>,
}

impl<'a> NewGap<'a> {
    pub fn window(
        kind: GapKind,
        object: Option<&'a ObjectName>,
        (from, to): (Option<Timestamp>, Option<Timestamp>),
        seq: Seq,
    ) -> Self {
        Self { kind, object, from, to, seq, records: 0, why: "", proof: None, evidence: None }
    }
}

/// Returns the number of its row. One that names records which nobody reads is closed at once.
pub(super) fn open(db: &Connection, id: SubscriptionId, at: Timestamp, gap: &NewGap<'_>) -> Result<i64, StoreError> {
    let row = db
        .prepare_cached(
            "INSERT INTO gaps (subscription, kind, object, from_time, to_time, seq, records, opened_at, why, proof,
                 replay_id, schema_id, length, digest)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
             RETURNING id",
        )?
        .query_row(
            params![
                id,
                gap.kind,
                gap.object,
                gap.from,
                gap.to,
                gap.seq,
                i64::try_from(gap.records).unwrap_or(i64::MAX),
                at,
                gap.why,
                gap.proof,
                gap.evidence.and_then(|evidence| evidence.replay_id.as_ref()),
                gap.evidence.and_then(|evidence| evidence.schema_id.as_ref()),
                gap.evidence.map(|evidence| i64::try_from(evidence.length).unwrap_or(i64::MAX)),
                gap.evidence.map(|evidence| &evidence.digest),
            ],
            |row| row.get(0),
        )?;
    if gap.records > 0 {
        close_read(db, (gap.seq.before(), gap.seq), at)?;
    }
    Ok(row)
}

const GAP: &str = "SELECT id, subscription, kind, object, from_time, to_time, seq, records, opened_at, why, proof,
        replay_id, schema_id, length, digest, closed_at, closed_by
    FROM gaps";

fn read_gap(row: &Row<'_>) -> rusqlite::Result<Gap> {
    let evidence = match row.get(14)? {
        Some(digest) => Some(Evidence {
            replay_id: row.get(11)?,
            schema_id: row.get(12)?,
            length: row.get::<_, Option<Count>>(13)?.map_or(0, |length| length.0),
            digest,
        }),
        None => None,
    };
    let closed = match (row.get(15)?, row.get(16)?) {
        (Some(at), Some(by)) => Some(Closed { at, by }),
        _ => None,
    };
    Ok(Gap {
        id: row.get(0)?,
        subscription: row.get(1)?,
        kind: row.get(2)?,
        object: row.get(3)?,
        from: row.get(4)?,
        to: row.get(5)?,
        seq: row.get(6)?,
        records: row.get::<_, Count>(7)?.0,
        opened: row.get(8)?,
        why: row.get(9)?,
        proof: row.get(10)?,
        evidence,
        closed,
    })
}

fn rows(db: &Connection, sql: &str, params: impl Params) -> Result<Vec<Gap>, StoreError> {
    Ok(db.prepare_cached(sql)?.query_map(params, read_gap)?.collect::<Result<_, _>>()?)
}

pub(super) fn all_open(db: &Connection) -> Result<Vec<Gap>, StoreError> {
    rows(db, &format!("{GAP} WHERE closed_at IS NULL ORDER BY id"), [])
}

pub(super) fn mended(db: &Connection, limit: usize) -> Result<Vec<Gap>, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    rows(db, &format!("{GAP} WHERE closed_at IS NOT NULL ORDER BY closed_at DESC, id DESC LIMIT ?1"), [limit])
}

pub(super) fn ends(db: &Connection, id: i64, to: Timestamp) -> Result<(), StoreError> {
    let ends = "UPDATE gaps SET to_time = ?2 WHERE id = ?1 AND to_time IS NULL AND closed_at IS NULL";
    db.prepare_cached(ends)?.execute(params![id, to])?;
    Ok(())
}

pub(super) fn close(db: &Connection, id: i64, by: Mended, at: Timestamp) -> Result<bool, StoreError> {
    let closed = db
        .prepare_cached("UPDATE gaps SET closed_at = ?2, closed_by = ?3 WHERE id = ?1 AND closed_at IS NULL")?
        .execute(params![id, at, by])?;
    Ok(closed > 0)
}

/// Some gap waits for its records to be read.
pub(super) fn any_to_read(db: &Connection) -> Result<bool, StoreError> {
    Ok(db.prepare_cached("SELECT 1 FROM gaps WHERE closed_at IS NULL AND records > 0 LIMIT 1")?.exists([])?)
}

/// Closes those that name records, with their entries behind the first and up to the second number, and that every
/// pipeline which reads them has settled. A record that could not be read is parked, and is shown by that.
pub(super) fn close_read(db: &Connection, (after, to): (Seq, Seq), at: Timestamp) -> Result<(), StoreError> {
    db.prepare_cached(
        "WITH readers AS (
             SELECT s.id AS subscription, p.source_object, p.watermark FROM subscriptions s
             JOIN pipelines p ON p.source_org = s.org AND p.channel = s.channel AND p.removed_at IS NULL
         )
         UPDATE gaps SET closed_at = ?3, closed_by = CASE
             WHEN EXISTS (SELECT 1 FROM readers r WHERE r.subscription = gaps.subscription
                 AND r.source_object = gaps.object) THEN ?4 ELSE ?5 END
         WHERE closed_at IS NULL AND records > 0 AND seq > ?1 AND seq <= ?2
             AND NOT EXISTS (SELECT 1 FROM readers r WHERE r.subscription = gaps.subscription
                 AND r.source_object = gaps.object AND r.watermark < gaps.seq)",
    )?
    .execute(params![after, to, at, Mended::Read, Mended::Unread])?;
    Ok(())
}

/// A window that is open already, of the same kind, object and beginning, is widened to this one's end.
pub(super) fn open_or_widen(
    db: &Connection,
    id: SubscriptionId,
    at: Timestamp,
    gap: &NewGap<'_>,
) -> Result<(), StoreError> {
    let widened = db
        .prepare_cached(
            "UPDATE gaps SET to_time = max(to_time, ?5), seq = ?6, why = ?7
             WHERE subscription = ?1 AND kind = ?2 AND closed_at IS NULL AND records = 0
                 AND object IS ?3 AND from_time IS ?4",
        )?
        .execute(params![id, gap.kind, gap.object, gap.from, gap.to, gap.seq, gap.why])?;
    if widened == 0 {
        open(db, id, at, gap)?;
    }
    Ok(())
}

/// The same event that could not be read, by another delivery of it.
pub(super) fn is_known(db: &Connection, id: SubscriptionId, evidence: &Evidence) -> Result<bool, StoreError> {
    Ok(db
        .prepare_cached("SELECT 1 FROM gaps WHERE subscription = ?1 AND digest = ?2 AND replay_id IS ?3 LIMIT 1")?
        .exists(params![id, evidence.digest, evidence.replay_id])?)
}

/// The open gaps that a refused position or an outage left. There are hardly ever any.
pub(super) struct PositionGaps {
    subscription: SubscriptionId,
    gaps: Vec<PositionGap>,
}

#[derive(PartialEq, Eq)]
struct PositionGap {
    id: i64,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    proof: Option<EventKey>,
}

impl PositionGaps {
    pub fn load(db: &Connection, subscription: SubscriptionId) -> Result<Self, StoreError> {
        let gaps = db
            .prepare_cached(
                "SELECT id, from_time, to_time, proof FROM gaps
                 WHERE subscription = ?1 AND kind IN (?2, ?3) AND closed_at IS NULL ORDER BY id",
            )?
            .query_map(params![subscription, GapKind::Position, GapKind::Outage], |row| {
                Ok(PositionGap { id: row.get(0)?, from: row.get(1)?, to: row.get(2)?, proof: row.get(3)? })
            })?
            .collect::<Result<_, _>>()?;
        Ok(Self { subscription, gaps })
    }

    /// The org refused the position, `refused` by its clock. Only if the subscription was live within the org's
    /// retention can the newest event that we know show, by coming again, that nothing between is missing.
    pub fn refused(
        &mut self,
        db: &Connection,
        channel: &Channel,
        position: &Position,
        refused: Timestamp,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let limit = refused.minus(channel.retention());
        let kind =
            if position.proof().is_some_and(|proof| proof < limit) { GapKind::Outage } else { GapKind::Position };
        let proof = match position.live_until {
            Some(live) if live >= limit => newest_key(db, self.subscription)?,
            _ => None,
        };
        // Refused again before anything came: it is the same gap.
        let from = position.proof();
        if self.gaps.iter().any(|gap| gap.to.is_none() && gap.from == from && gap.proof == proof) {
            return Ok(());
        }
        self.open(db, kind, from, proof, at)
    }

    /// Events may have gone before they came, and no refusal says so. A window since the same last proof that nothing
    /// can prove empty is opened again at its end.
    pub fn outage(&mut self, db: &Connection, from: Option<Timestamp>, at: Timestamp) -> Result<(), StoreError> {
        if self.gaps.iter().any(|gap| gap.to.is_none()) {
            return Ok(());
        }
        let same = self.gaps.iter_mut().find(|gap| gap.from == from && gap.proof.is_none());
        let Some(gap) = same else { return self.open(db, GapKind::Outage, from, None, at) };
        db.prepare_cached("UPDATE gaps SET kind = ?2, to_time = NULL, seq = ?3 WHERE id = ?1")?.execute(params![
            gap.id,
            GapKind::Outage,
            head(db)?
        ])?;
        gap.to = None;
        Ok(())
    }

    fn open(
        &mut self,
        db: &Connection,
        kind: GapKind,
        from: Option<Timestamp>,
        proof: Option<EventKey>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let window = NewGap::window(kind, None, (from, None), head(db)?);
        let id = open(db, self.subscription, at, &NewGap { proof: proof.as_ref(), ..window })?;
        self.gaps.push(PositionGap { id, from, to: None, proof });
        Ok(())
    }

    /// The subscription goes on with the newest event, `skipped` by the org's clock. A refusal that nothing followed is
    /// part of this, and nothing that comes can prove any more that all is there.
    pub fn skipped(
        &mut self,
        db: &Connection,
        from: Option<Timestamp>,
        skipped: Timestamp,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let (turned, rest) = std::mem::take(&mut self.gaps).into_iter().partition(|gap| gap.to.is_none());
        self.gaps = rest;
        let turned: Vec<PositionGap> = turned;
        for gap in &turned {
            db.prepare_cached("UPDATE gaps SET kind = ?2, to_time = ?3, proof = NULL WHERE id = ?1")?
                .execute(params![gap.id, GapKind::Skipped, skipped])?;
        }
        if turned.is_empty() {
            let window = NewGap::window(GapKind::Skipped, None, (from, Some(skipped)), head(db)?);
            open_or_widen(db, self.subscription, at, &window)?;
        }
        Ok(())
    }

    /// An event came; `new` is its time, if it is no double.
    pub fn seen(
        &mut self,
        db: &Connection,
        key: &EventKey,
        new: Option<Timestamp>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        if self.gaps.is_empty() {
            return Ok(());
        }
        if let Some(time) = new {
            self.end(db, time)?;
        }
        self.close(db, Mended::CameAgain, at, |gap| gap.proof.as_ref() == Some(key))
    }

    /// What came first after the refusal, an event or the word that there is none, ends the window.
    pub fn end(&mut self, db: &Connection, time: Timestamp) -> Result<(), StoreError> {
        for gap in self.gaps.iter_mut().filter(|gap| gap.to.is_none()) {
            db.prepare_cached("UPDATE gaps SET to_time = ?2 WHERE id = ?1")?.execute(params![gap.id, time])?;
            gap.to = Some(time);
        }
        Ok(())
    }

    /// The truth probe covered some more: windows that lie wholly inside what it covered of every object end.
    pub fn probed(&mut self, db: &Connection, channel: &Channel, at: Timestamp) -> Result<(), StoreError> {
        if self.gaps.is_empty() {
            return Ok(());
        }
        let Some((since, until)) = covered(db, self.subscription, channel)? else { return Ok(()) };
        self.close(
            db,
            Mended::Probe,
            at,
            |gap| matches!((gap.from, gap.to), (Some(from), Some(to)) if since <= from && to <= until),
        )
    }

    fn close(
        &mut self,
        db: &Connection,
        by: Mended,
        at: Timestamp,
        is_mended: impl Fn(&PositionGap) -> bool,
    ) -> Result<(), StoreError> {
        for gap in self.gaps.iter().filter(|gap| is_mended(gap)) {
            close(db, gap.id, by, at)?;
        }
        self.gaps.retain(|gap| !is_mended(gap));
        Ok(())
    }
}

/// The time that the truth probe covered of the channel's object, or of all that pipelines read where it has several.
fn covered(
    db: &Connection,
    id: SubscriptionId,
    channel: &Channel,
) -> Result<Option<(Timestamp, Timestamp)>, StoreError> {
    let objects: Vec<ObjectName> = match channel.object() {
        Some(object) => vec![object],
        None => db
            .prepare_cached(
                "SELECT DISTINCT p.source_object FROM subscriptions s
                 JOIN pipelines p ON p.source_org = s.org AND p.channel = s.channel AND p.removed_at IS NULL
                 WHERE s.id = ?1",
            )?
            .query_map([id], |row| row.get(0))?
            .collect::<Result<_, _>>()?,
    };
    let mut all: Option<(Timestamp, Timestamp)> = None;
    for object in objects {
        let covered = db
            .prepare_cached("SELECT since, until FROM probes WHERE subscription = ?1 AND object = ?2")?
            .query_row(params![id, object], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((since, until)) = covered else { return Ok(None) };
        all = Some(all.map_or((since, until), |(from, to)| (from.max(since), to.min(until))));
    }
    Ok(all)
}

fn newest_key(db: &Connection, id: SubscriptionId) -> Result<Option<EventKey>, StoreError> {
    Ok(db
        .prepare_cached("SELECT event_key FROM journal WHERE subscription = ?1 AND own = 0 ORDER BY seq DESC LIMIT 1")?
        .query_row([id], |row| row.get(0))
        .optional()?)
}
