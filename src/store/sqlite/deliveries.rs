//! How many events an org delivered, by the hour.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::columns::Count;
use crate::event::{Channel, Timestamp};
use crate::store::{StoreError, SubscriptionId};

const HOUR: i64 = 3_600_000;
/// Longer than any retention, so that the average knows of weekends.
const KEPT_HOURS: i64 = 8 * 24;

/// What one group brought.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Delivered {
    /// As the org counts.
    pub events: u64,
    /// Without what is known to have come before: a replay must not make the next one look twice as long.
    pub fresh: u64,
}

fn hour(at: Timestamp) -> i64 {
    at.0.div_euclid(HOUR)
}

/// Also with nothing: the hour was heard.
pub(super) fn count(
    db: &Connection,
    id: SubscriptionId,
    at: Timestamp,
    Delivered { events, fresh }: Delivered,
) -> Result<(), StoreError> {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    db.prepare_cached(
        "INSERT INTO deliveries (subscription, hour, events, fresh) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET events = events + excluded.events, fresh = fresh + excluded.fresh",
    )?
    .execute(params![id, hour(at), number(events), number(fresh)])?;
    db.prepare_cached("DELETE FROM deliveries WHERE subscription = ?1 AND hour < ?2")?
        .execute(params![id, hour(at) - KEPT_HOURS])?;
    Ok(())
}

pub(super) fn since(db: &Connection, since: Timestamp) -> Result<HashMap<SubscriptionId, u64>, StoreError> {
    let rows = db
        .prepare_cached("SELECT subscription, sum(events) FROM deliveries WHERE hour >= ?1 GROUP BY subscription")?
        .query_map([hour(since)], |row| Ok((row.get(0)?, row.get::<_, Count>(1)?.0)))?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

/// See `Store::retained_estimate`. The hour that runs, and the one at the far end, count whole.
pub(super) fn retained_estimate(db: &Connection, id: SubscriptionId, now: Timestamp) -> Result<u64, StoreError> {
    let channel: Channel = db.query_row("SELECT channel FROM subscriptions WHERE id = ?1", [id], |row| row.get(0))?;
    let first = hour(now.minus(channel.retention()));
    let hours = (hour(now) - first + 1).unsigned_abs();
    let (known, came) = heard(db, id, first)?;
    let (all_known, all_came) = heard(db, id, i64::MIN)?;
    if all_known == 0 {
        return Ok(0);
    }
    let missing = hours.saturating_sub(known);
    Ok(came.saturating_add(missing.saturating_mul(all_came).div_ceil(all_known)))
}

/// Hours with a row, from this one on, and what came in them.
fn heard(db: &Connection, id: SubscriptionId, first: i64) -> Result<(u64, u64), StoreError> {
    Ok(db
        .prepare_cached(
            "SELECT count(*), coalesce(sum(fresh), 0) FROM deliveries WHERE subscription = ?1 AND hour >= ?2",
        )?
        .query_row(params![id, first], |row| Ok((row.get::<_, Count>(0)?.0, row.get::<_, Count>(1)?.0)))?)
}
