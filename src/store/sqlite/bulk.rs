//! Jobs of the Bulk API that may not have ended.

use rusqlite::{Connection, params};

use crate::event::OrgName;
use crate::org::JobId;
use crate::store::{BulkJob, StoreError};

pub(super) fn begun(db: &Connection, known: &BulkJob) -> Result<(), StoreError> {
    let BulkJob { org, job, object, begun_at } = known;
    db.prepare_cached(
        "INSERT INTO bulk_jobs (job, org, object, begun_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
    )?
    .execute(params![job, org, object, begun_at])?;
    Ok(())
}

pub(super) fn jobs(db: &Connection, org: &OrgName) -> Result<Vec<BulkJob>, StoreError> {
    let mut jobs =
        db.prepare("SELECT org, job, object, begun_at FROM bulk_jobs WHERE org = ?1 ORDER BY begun_at, job")?;
    let jobs = jobs.query_map([org], |row| {
        Ok(BulkJob { org: row.get(0)?, job: row.get(1)?, object: row.get(2)?, begun_at: row.get(3)? })
    })?;
    Ok(jobs.collect::<Result<_, _>>()?)
}

pub(super) fn ended(db: &Connection, job: &JobId) -> Result<(), StoreError> {
    db.prepare_cached("DELETE FROM bulk_jobs WHERE job = ?1")?.execute([job])?;
    Ok(())
}
