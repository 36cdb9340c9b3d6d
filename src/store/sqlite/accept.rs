//! Another org behind a name: what speaks of the old one must not be taken for the new one's.

use rusqlite::{Connection, params};

use super::gaps::{self, NewGap};
use super::journal::{head, known_subscription, pinned_org};
use super::verifications;
use crate::event::{Channel, ObjectName, OrgName, PipelineName, Timestamp};
use crate::store::{GapKind, Mended, PipelineId, StoreError};

/// See `Store::accept_org`.
pub(super) fn accept_org(db: &Connection, org: &OrgName, org_id: &str, at: Timestamp) -> Result<bool, StoreError> {
    let old = pinned_org(db, org)?;
    db.execute(
        "INSERT INTO orgs (name, org_id) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET org_id = excluded.org_id",
        params![org, org_id],
    )?;
    let Some(old) = old.filter(|old| old != org_id) else { return Ok(false) };
    retire_subscriptions(db, org, &old, at)?;
    forget_records(db, org)?;
    ask_for_backfills(db, org, &old, org_id, at)?;
    Ok(true)
}

/// They stay for a person to look at, under a name that no config can have. Event keys and record ids of the old org
/// say nothing of the new one, even where they are equal (a sandbox that was refreshed), so the rows are not used on.
fn retire_subscriptions(db: &Connection, org: &OrgName, old: &str, at: Timestamp) -> Result<(), StoreError> {
    const OF_ORG: &str = "(SELECT id FROM subscriptions WHERE org = ?1 AND retired_at IS NULL)";
    db.execute(
        &format!("UPDATE gaps SET closed_at = ?2, closed_by = ?3 WHERE closed_at IS NULL AND subscription IN {OF_ORG}"),
        params![org, at, Mended::OtherOrg],
    )?;
    for table in ["probes", "deliveries"] {
        db.execute(&format!("DELETE FROM {table} WHERE subscription IN {OF_ORG}"), [org])?;
    }
    db.execute("DELETE FROM schemas WHERE org = ?1", [org])?;
    db.execute(
        "UPDATE subscriptions SET org = org || ' (' || ?2 || ', ' || id || ')', retired_at = ?3,
             replay_id = NULL, pending_replay_id = NULL, live_until = NULL, started_at = NULL
         WHERE org = ?1 AND retired_at IS NULL",
        params![org, old, at],
    )?;
    Ok(())
}

/// Records are matched anew by key, and nothing counts as written in an org that has never seen it.
fn forget_records(db: &Connection, org: &OrgName) -> Result<(), StoreError> {
    db.execute("DELETE FROM links WHERE source_org = ?1 OR target_org = ?1", [org])?;
    for table in ["applied", "sent", "history"] {
        db.execute(
            &format!(
                "DELETE FROM {table}
                 WHERE pipeline IN (SELECT id FROM pipelines WHERE source_org = ?1 OR target_org = ?1)"
            ),
            [org],
        )?;
    }
    db.execute("DELETE FROM bulk_jobs WHERE org = ?1", [org])?;
    db.execute(
        "DELETE FROM jobs WHERE ended_at IS NULL AND pipeline IN (SELECT id FROM pipelines WHERE source_org = ?1 OR target_org = ?1)",
        [org],
    )?;
    let concerned = "SELECT id FROM pipelines WHERE source_org = ?1 OR target_org = ?1";
    let concerned: Vec<PipelineId> =
        db.prepare(concerned)?.query_map([org], |row| row.get(0))?.collect::<Result<_, _>>()?;
    concerned.into_iter().try_for_each(|pipeline| verifications::forget_all_of(db, pipeline))?;
    // What is parked for a target stays: it is read and written again. What came from the old source is no record of
    // the new one.
    for table in ["parked", "healed", "actions"] {
        let sql = format!("DELETE FROM {table} WHERE pipeline IN (SELECT id FROM pipelines WHERE source_org = ?1)");
        db.execute(&sql, [org])?;
    }
    db.execute(
        "UPDATE pipelines SET watermark = max(watermark, ?2) WHERE source_org = ?1 AND removed_at IS NULL",
        params![org, head(db)?],
    )?;
    Ok(())
}

fn ask_for_backfills(db: &Connection, org: &OrgName, old: &str, new: &str, at: Timestamp) -> Result<(), StoreError> {
    let pipelines: Vec<(PipelineName, OrgName, Channel, ObjectName)> = db
        .prepare(
            "SELECT name, source_org, channel, source_object FROM pipelines
             WHERE removed_at IS NULL AND (source_org = ?1 OR target_org = ?1) ORDER BY id",
        )?
        .query_map([org], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
        .collect::<Result<_, _>>()?;
    for (name, source_org, channel, object) in pipelines {
        let id = known_subscription(db, &source_org, &channel)?;
        let why = format!("org {org} was {old} and is {new}: pipeline {name} needs a backfill");
        let window = NewGap::window(GapKind::OtherOrg, Some(&object), (None, Some(at)), head(db)?);
        gaps::open(db, id, at, &NewGap { why: &why, ..window })?;
    }
    Ok(())
}
