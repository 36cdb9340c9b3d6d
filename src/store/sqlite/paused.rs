//! Pipelines and orgs that a person stops for a while.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::pipelines::{self, any_by_name, rows, wait_from_now};
use crate::event::{OrgName, PipelineName, Timestamp};
use crate::store::{Paused, StoreError};

/// See `Store::halt`.
pub(super) fn halt(db: &Connection, name: &PipelineName, why: &str, at: Timestamp) -> Result<Option<bool>, StoreError> {
    let Some((id, halted)) = any_by_name(db, name)? else { return Ok(None) };
    pipelines::halt(db, id, why, at)?;
    Ok(Some(!halted))
}

/// See `Store::pause_org`.
pub(super) fn pause_org(db: &Connection, org: &OrgName, paused: &Paused) -> Result<bool, StoreError> {
    let new = db
        .prepare_cached("INSERT INTO paused (org, reason, at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
        .execute(params![org, paused.reason, paused.at])?;
    Ok(new > 0)
}

/// See `Store::resume_org`.
pub(super) fn resume_org(db: &Connection, org: &OrgName, at: Timestamp) -> Result<bool, StoreError> {
    let was_paused = db.prepare_cached("DELETE FROM paused WHERE org = ?1")?.execute([org])? > 0;
    // What waits for an org that was not paused has waited all the time.
    if was_paused {
        wait_from_now(db, at, "target_org = ?2", org)?;
    }
    Ok(was_paused)
}

/// See `Store::paused_orgs`.
pub(super) fn paused_orgs(db: &Connection) -> Result<BTreeMap<OrgName, Paused>, StoreError> {
    let found = rows(db, "SELECT org, reason, at FROM paused", [], |row| {
        Ok((row.get(0)?, Paused { reason: row.get(1)?, at: row.get(2)? }))
    })?;
    Ok(found.into_iter().collect())
}
