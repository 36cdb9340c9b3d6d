//! Links that a person named, and the pairs that could not be linked.

use rusqlite::{Connection, params};

use super::jobs;
use crate::event::{RecordId, Timestamp};
use crate::store::{JobNumber, ListNumber, NotLinked, PipelineId, StoreError, Through, What, Work};

/// Why pairs are not linked, and those of the list `?2` that are not for that reason. `?1`: the pipeline.
const CHECKS: [(&str, &str); 4] = [
    (
        "the list names one of the two records twice",
        "job_records j WHERE j.list = ?2 AND (
             j.record IN (SELECT record FROM job_records WHERE list = ?2 GROUP BY record HAVING count(*) > 1)
             OR j.target IN (SELECT target FROM job_records WHERE list = ?2 GROUP BY target HAVING count(*) > 1))",
    ),
    (
        "a write of this record is under way, and its answer is not known yet: import the pair again in some minutes",
        "pipelines p
         JOIN pipelines o ON o.source_org = p.source_org AND o.target_org = p.target_org
             AND o.target_object = p.target_object
         JOIN sent s ON s.pipeline = o.id
         JOIN job_records j INDEXED BY job_records_by_record ON j.list = ?2 AND j.record = s.record
         WHERE p.id = ?1",
    ),
    (
        "the record of the source is linked to another one already",
        "pipelines p JOIN job_records j ON j.list = ?2
         JOIN links l ON l.source_org = p.source_org AND l.target_org = p.target_org AND l.source_record = j.record
             AND l.target_object = p.target_object AND l.target_record <> j.target
         WHERE p.id = ?1",
    ),
    (
        "the record of the target is linked to another one already",
        "pipelines p CROSS JOIN job_records j ON j.list = ?2
         CROSS JOIN links l INDEXED BY links_by_target ON l.target_record = j.target
             AND l.target_org = p.target_org AND l.target_object = p.target_object
             AND (l.source_org <> p.source_org OR l.source_record <> j.record)
         WHERE p.id = ?1",
    ),
];

/// See `Store::import`.
pub(super) fn import(
    db: &Connection,
    pipeline: PipelineId,
    list: ListNumber,
    at: Timestamp,
) -> Result<Option<JobNumber>, StoreError> {
    let Some(job) = jobs::add(db, pipeline, &Work::Import { list }, at)? else { return Ok(None) };
    db.prepare_cached("DELETE FROM not_linked WHERE job IN (SELECT number FROM jobs WHERE pipeline = ?1)")?
        .execute([pipeline])?;
    for (why, pairs) in CHECKS {
        let note = format!(
            "INSERT OR IGNORE INTO not_linked (job, record, target, why) SELECT ?3, j.record, j.target, ?4 FROM {pairs}"
        );
        db.prepare(&note)?.execute(params![pipeline, list, job, why])?;
    }
    db.prepare_cached(
        "INSERT OR IGNORE INTO links (source_org, target_org, source_record, target_object, target_record, created)
         SELECT p.source_org, p.target_org, j.record, p.target_object, j.target, 0
         FROM job_records j JOIN pipelines p ON p.id = ?1
         WHERE j.list = ?2 AND j.target IS NOT NULL
             AND NOT EXISTS (SELECT 1 FROM not_linked n WHERE n.job = ?3 AND n.record = j.record)",
    )?
    .execute(params![pipeline, list, job])?;
    db.prepare_cached(
        "INSERT INTO history (pipeline, record, at, what, from_seq, to_seq, through, target, fields)
         SELECT ?1, j.record, ?4, ?5, 0, 0, ?6, j.target, '[]' FROM job_records j
         WHERE j.list = ?2 AND j.target IS NOT NULL
             AND NOT EXISTS (SELECT 1 FROM not_linked n WHERE n.job = ?3 AND n.record = j.record)",
    )?
    .execute(params![pipeline, list, job, at, What::Linked, Through::Import])?;
    Ok(Some(job))
}

/// See `Store::note_not_linked`.
pub(super) fn note(db: &Connection, job: JobNumber, pairs: &[NotLinked]) -> Result<(), StoreError> {
    let mut insert =
        db.prepare_cached("INSERT OR IGNORE INTO not_linked (job, record, target, why) VALUES (?1, ?2, ?3, ?4)")?;
    for NotLinked { record, target, why } in pairs {
        insert.execute(params![job, record, target, why])?;
    }
    Ok(())
}

/// See `Store::not_linked`.
pub(super) fn noted(
    db: &Connection,
    pipeline: PipelineId,
    after: Option<RecordId>,
    limit: usize,
) -> Result<Vec<NotLinked>, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let select = "SELECT n.record, n.target, n.why FROM not_linked n JOIN jobs j ON j.number = n.job
        WHERE j.pipeline = ?1 AND (?2 IS NULL OR n.record > ?2) ORDER BY n.record LIMIT ?3";
    let mut select = db.prepare_cached(select)?;
    let rows = select.query_map(params![pipeline, after, limit], |row| {
        Ok(NotLinked { record: row.get(0)?, target: row.get(1)?, why: row.get(2)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
