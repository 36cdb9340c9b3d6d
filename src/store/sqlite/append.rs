//! What arrived becomes entries, gaps and a position: the rules of `append`.

use rusqlite::{Connection, OptionalExtension, params};

use super::columns::{Payload, signed};
use super::deliveries::{self, Delivered};
use super::gaps::{self, NewGap, PositionGaps};
use super::journal::head;
use super::trim;
use crate::event::{
    Arrival, Change, ChangeKind, Channel, EventKey, Happening, Header, Seq, Timestamp, Transport, Undecodable,
    WindowCause,
};
use crate::store::position::Standing;
use crate::store::{Appended, Evidence, GapKind, Position, StoreError, SubscriptionId};

pub(super) fn append(
    db: &Connection,
    id: SubscriptionId,
    group: Vec<Arrival>,
    received: Timestamp,
) -> Result<Appended, StoreError> {
    let mut taking = Taking::begin(db, id, received)?;
    for arrival in group {
        taking.take(arrival)?;
    }
    taking.end()
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
    let mut taking = Taking::begin(db, id, Timestamp::now())?;
    if taking.standing.replay_id.is_some() {
        taking.refused(at)?;
    }
    taking.end()?;
    db.execute("UPDATE subscriptions SET transport = ?2 WHERE id = ?1", params![id, transport])?;
    Ok(())
}

/// A subscription while arrivals are taken in.
struct Taking<'a> {
    db: &'a Connection,
    id: SubscriptionId,
    /// By our clock.
    received: Timestamp,
    channel: Channel,
    started_at: Option<Timestamp>,
    /// When anything came from the bus before, by our clock.
    heard_at: Option<Timestamp>,
    heard: bool,
    /// When it was proven to be live, by our clock.
    proven_at: Option<Timestamp>,
    before: Standing,
    standing: Standing,
    gaps: PositionGaps,
    journaled: u64,
    /// That the new entries take.
    bytes: usize,
    doubles: u64,
    delivered: Delivered,
}

impl<'a> Taking<'a> {
    fn begin(db: &'a Connection, id: SubscriptionId, received: Timestamp) -> Result<Self, StoreError> {
        let select = "SELECT replay_id, pending_replay_id, live_until, channel, started_at, heard_at,
                          proven_at
                      FROM subscriptions WHERE id = ?1 AND retired_at IS NULL";
        let (standing, channel, started_at, heard_at, proven_at) = db
            .prepare_cached(select)?
            .query_row([id], |row| {
                let standing = Standing { replay_id: row.get(0)?, pending: row.get(1)?, live_until: row.get(2)? };
                Ok((standing, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?))
            })
            .optional()?
            .ok_or_else(|| StoreError::Database("no such subscription".into()))?;
        Ok(Self {
            db,
            id,
            received,
            channel,
            started_at,
            heard_at,
            heard: false,
            proven_at,
            before: standing.clone(),
            standing,
            gaps: PositionGaps::load(db, id)?,
            journaled: 0,
            bytes: 0,
            doubles: 0,
            delivered: Delivered::default(),
        })
    }

    fn take(&mut self, arrival: Arrival) -> Result<(), StoreError> {
        match arrival {
            Arrival::Change(change) => {
                self.hear()?;
                self.delivered.events += 1;
                if let Some((seq, header)) = self.journal(&change, false)? {
                    self.delivered.fresh += 1;
                    self.event_gaps(header, seq)?;
                }
                self.standing.arrived(&change.replay_id);
            }
            Arrival::Live { until } => {
                self.hear()?;
                self.gaps.end(self.db, until)?;
                self.standing.live(until);
                self.proven_at = Some(self.received);
            }
            Arrival::Passed { replay_id, events } => {
                self.hear()?;
                // Whether they came before is not known.
                self.delivered.events += events;
                self.delivered.fresh += events;
                self.standing.passed(replay_id, events, self.channel.repeats_ids());
            }
            Arrival::Undecodable(event) => {
                self.hear()?;
                self.delivered.events += 1;
                self.undecodable(event)?;
            }
            Arrival::Refused { at } => self.refused(at)?,
            Arrival::Skipped { at } => {
                self.heard = true;
                self.gaps.skipped(self.db, self.position().proof(), at, self.received)?;
                self.standing.refused();
                // What is older is in the gap, and what is newer comes.
                self.proven_at = Some(self.received);
            }
            Arrival::Found { change, missed } => {
                if let Some((seq, Some(header))) = self.journal(&change, true)?
                    && missed
                {
                    self.open(&of_entry(GapKind::Missed, header, seq))?;
                }
            }
            Arrival::Window(window) => {
                let kind = match window.cause {
                    WindowCause::Missed => GapKind::Missed,
                    WindowCause::Capture => GapKind::Capture,
                    WindowCause::Access => GapKind::Access,
                };
                let ends = (window.from, window.to);
                let gap = NewGap::window(kind, window.object.as_ref(), ends, head(self.db)?);
                gaps::open_or_widen(self.db, self.id, self.received, &NewGap { why: &window.why, ..gap })?;
            }
            Arrival::Probed { object, until } => {
                self.db
                    .prepare_cached(
                        "INSERT INTO probes (subscription, object, since, until) VALUES (?1, ?2, ?3, ?3)
                         ON CONFLICT DO UPDATE SET until = max(until, excluded.until)",
                    )?
                    .execute(params![self.id, object, until])?;
                self.gaps.probed(self.db, &self.channel, self.received)?;
            }
        }
        Ok(())
    }

    /// Something came from the bus. Some may never come if nothing was heard for longer than the org keeps events; or if
    /// no id is known, so that it began at the earliest, and the last proof is older than that.
    fn hear(&mut self) -> Result<(), StoreError> {
        let limit = self.received.minus(self.channel.retention());
        let old = |time: Option<Timestamp>| time.is_some_and(|time| time < limit);
        let at_earliest = self.standing.replay_id.is_none() && self.standing.pending.is_none();
        if (!self.heard && old(self.heard_at)) || (at_earliest && old(self.proven_at)) {
            let from = self.position().proof();
            self.gaps.outage(self.db, from, self.received)?;
        }
        self.heard = true;
        Ok(())
    }

    /// The org does not know the saved id: it was asked, and answered, so it is not silent.
    fn refused(&mut self, at: Timestamp) -> Result<(), StoreError> {
        self.heard = true;
        let position = self.position();
        self.gaps.refused(self.db, &self.channel, &position, at, self.received)?;
        self.standing.refused();
        Ok(())
    }

    fn position(&self) -> Position {
        let Standing { replay_id, pending: _, live_until } = self.standing.clone();
        Position { replay_id, started_at: self.started_at, live_until }
    }

    /// The number of the new entry, and its header where it is of records; none for a double.
    fn journal<'c>(&mut self, change: &'c Change, own: bool) -> Result<Option<(Seq, Option<&'c Header>)>, StoreError> {
        let key = change.event_key();
        let header = match &change.happening {
            Happening::Record(change) => Some(&change.header),
            Happening::Event { .. } | Happening::Notification { .. } => None,
        };
        let inserted = insert(self.db, self.id, change, header, &key, self.received, own)?;
        match inserted {
            Some((_, bytes)) => {
                self.journaled += 1;
                self.bytes += bytes;
            }
            None => self.doubles += 1,
        }
        let seq = inserted.map(|(seq, _)| seq);
        // What the bridge found by itself says nothing of what the bus brings.
        if !own {
            let new = seq.map(|_| change.committed().unwrap_or(self.received));
            self.gaps.seen(self.db, &key, new, self.received)?;
        }
        Ok(seq.map(|seq| (seq, header)))
    }

    /// What the platform's own event says that it does not say.
    fn event_gaps(&mut self, header: Option<&Header>, seq: Seq) -> Result<(), StoreError> {
        let Some(header) = header else { return Ok(()) };
        let named = !header.record_ids.is_empty();
        let unnamed = header.wildcard || !named;
        let (window, records) = match header.change_type {
            // Its own ids stand for nothing.
            ChangeKind::GapOverflow => (Some(GapKind::Overflow), false),
            ChangeKind::GapCreate | ChangeKind::GapUpdate | ChangeKind::GapDelete | ChangeKind::GapUndelete => {
                (unnamed.then_some(GapKind::Wildcard), named)
            }
            ChangeKind::Create | ChangeKind::Update | ChangeKind::Delete | ChangeKind::Undelete => {
                (unnamed.then_some(GapKind::Wildcard), false)
            }
        };
        if let Some(kind) = window {
            let at = Some(header.commit_timestamp);
            self.open(&NewGap::window(kind, Some(&header.entity_name), (at, at), seq))?;
        }
        if records {
            let window = of_entry(GapKind::Records, header, seq);
            self.open(&NewGap { records: header.record_ids.len(), ..window })?;
        }
        Ok(())
    }

    fn undecodable(&mut self, event: Undecodable) -> Result<(), StoreError> {
        let evidence = Evidence {
            replay_id: event.replay_id,
            schema_id: event.schema_id,
            length: event.length,
            digest: event.digest,
        };
        let window = (self.standing.live_until, Some(self.received));
        let told = match &event.change {
            Some(change) => self.journal(change, false)?.map(|(seq, header)| match header {
                Some(header) => of_entry(GapKind::Undecodable, header, seq),
                None => NewGap::window(GapKind::Undecodable, None, window, seq),
            }),
            None if gaps::is_known(self.db, self.id, &evidence)? => None,
            None => Some(NewGap::window(GapKind::Undecodable, None, window, head(self.db)?)),
        };
        if let Some(gap) = told {
            self.delivered.fresh += 1;
            let object = event.object.as_ref().or(gap.object);
            self.open(&NewGap { object, why: &event.reason, evidence: Some(&evidence), ..gap })?;
        }
        if let Some(replay_id) = &evidence.replay_id {
            self.standing.arrived(replay_id);
        }
        Ok(())
    }

    fn open(&self, gap: &NewGap<'_>) -> Result<(), StoreError> {
        gaps::open(self.db, self.id, self.received, gap).map(drop)
    }

    fn end(self) -> Result<Appended, StoreError> {
        if self.standing != self.before || self.heard || self.journaled > 0 {
            self.db
                .prepare_cached(
                    "UPDATE subscriptions SET replay_id = ?2, pending_replay_id = ?3, live_until = ?4,
                         journaled = journaled + ?5, heard_at = coalesce(?6, heard_at),
                         last_event_at = coalesce(?7, last_event_at), proven_at = ?8
                     WHERE id = ?1",
                )?
                .execute(params![
                    self.id,
                    self.standing.replay_id,
                    self.standing.pending,
                    self.standing.live_until,
                    i64::try_from(self.journaled).unwrap_or(i64::MAX),
                    self.heard.then_some(self.received),
                    (self.delivered.events > 0).then_some(self.received),
                    self.proven_at,
                ])?;
        }
        if self.journaled > 0 {
            trim::count(self.db, signed(self.journaled), signed(self.bytes as u64))?;
        }
        if self.heard {
            deliveries::count(self.db, self.id, self.received, self.delivered)?;
        }
        Ok(Appended { head: head(self.db)?, journaled: self.journaled, doubles: self.doubles })
    }
}

/// A gap that names the records of its entry; or, where that does not name them all, a window of the object.
fn of_entry(kind: GapKind, header: &Header, seq: Seq) -> NewGap<'_> {
    let at = Some(header.commit_timestamp);
    let records = if header.wildcard { 0 } else { header.record_ids.len() };
    NewGap { records, ..NewGap::window(kind, Some(&header.entity_name), (at, at), seq) }
}

/// The new entry's number, and what it takes in the file; none for a double.
fn insert(
    db: &Connection,
    id: SubscriptionId,
    change: &Change,
    header: Option<&Header>,
    key: &EventKey,
    received: Timestamp,
    own: bool,
) -> Result<Option<(Seq, usize)>, StoreError> {
    // Asked first: an insert that comes to nothing would use up a number all the same.
    let known = db
        .prepare_cached("SELECT 1 FROM journal WHERE subscription = ?1 AND event_key = ?2")?
        .exists(params![id, key])?;
    if known {
        return Ok(None);
    }
    let payload = Payload::write(&change.happening)?;
    let seq = db
        .prepare_cached(
            "INSERT INTO journal
                 (subscription, replay_id, event_key, entity, change_type, committed_at, received_at, payload, own)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
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
                payload,
                own,
            ],
            |row| row.get::<_, Seq>(0),
        )?;
    let mut record_row = db.prepare_cached(
        "INSERT INTO journal_records (subscription, record, seq) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )?;
    let mut records = 0;
    for record in header.into_iter().flat_map(|header| &header.record_ids) {
        records += record_row.execute(params![id, record, seq])?;
    }
    Ok(Some((seq, trim::size_of(payload.len(), key.0.len(), records))))
}
