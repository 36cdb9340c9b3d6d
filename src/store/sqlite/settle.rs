//! The rules of `settle`: outcomes, links, parked rows and watermarks, and who is woken by them.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, params};

use super::columns::json_list;
use super::gaps;
use super::history;
use super::pipelines::rows;
use crate::event::{RecordId, Seq, Timestamp};
use crate::store::{
    LinkChange, NotComing, Parent, Parked, ParkedState, PipelineId, RowId, Settled, Settlement, StoreError, Unfilled,
    What,
};

pub(super) fn settle(db: &Connection, settlement: &Settlement) -> Result<Settled, StoreError> {
    let Settlement {
        history,
        applied,
        links,
        close,
        park,
        filled,
        unfilled,
        not_coming,
        widen,
        answered,
        cleared,
        suspect,
        halts,
        watermarks,
        batch_sizes,
    } = settlement;
    for row in history {
        history::add(db, row)?;
    }
    for (pipeline, record, applied) in applied {
        db.prepare_cached(
            "INSERT INTO applied (pipeline, record, seq, tombstone) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (pipeline, record) DO UPDATE SET seq = excluded.seq, tombstone = excluded.tombstone
             WHERE excluded.seq >= applied.seq",
        )?
        .execute(params![pipeline, record, applied.seq, applied.tombstone])?;
    }
    for link in links {
        change_link(db, link)?;
    }
    let any_unfilled = db.prepare_cached("SELECT 1 FROM unfilled LIMIT 1")?.exists([])?;
    for (pipeline, record, seq) in close {
        super::failed::close(db, *pipeline, *record, *seq)?;
        if !any_unfilled {
            continue;
        }
        let still = unfilled.iter().filter(|row| (row.pipeline, row.record) == (*pipeline, *record));
        let still = json_list(still.map(|row| &row.field).collect::<Vec<_>>());
        db.prepare_cached(
            "DELETE FROM unfilled WHERE pipeline = ?1 AND record = ?2
             AND field NOT IN (SELECT value FROM json_each(?3))",
        )?
        .execute(params![pipeline, record, still])?;
    }
    for parked in park {
        park_row(db, parked)?;
    }
    for (pipeline, record, field) in filled.iter().filter(|_| any_unfilled) {
        db.prepare_cached("DELETE FROM unfilled WHERE pipeline = ?1 AND record = ?2 AND field = ?3")?
            .execute(params![pipeline, record, field])?;
    }
    for row in unfilled {
        let parent = row.parent.as_ref();
        db.prepare_cached(
            "INSERT INTO unfilled (pipeline, record, field, parent_object, parent_record, attempts, tried_at)
             VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6)
             ON CONFLICT (pipeline, record, field) DO UPDATE SET
                 parent_object = excluded.parent_object, parent_record = excluded.parent_record,
                 attempts = unfilled.attempts + 1, tried_at = excluded.tried_at",
        )?
        .execute(params![
            row.pipeline,
            row.record,
            row.field,
            parent.map(|parent| &parent.target_object),
            parent.map(|parent| parent.record),
            row.tried_at,
        ])?;
    }
    for (pipeline, record, why) in not_coming {
        let said = match why {
            NotComing::Excluded => {
                format!("Its parent {record} is left out by the condition of the pipeline that writes it.")
            }
            NotComing::Deleted => format!("Its parent {record} is deleted in the source org."),
        };
        fail_children(db, (*pipeline, *record), why.code(), &said)?;
    }
    for (pipeline, record, seq) in widen {
        db.prepare_cached("UPDATE parked SET to_seq = ?3 WHERE pipeline = ?1 AND record = ?2 AND to_seq < ?3")?
            .execute(params![pipeline, record, seq])?;
    }
    for (pipeline, record) in answered {
        db.prepare_cached("DELETE FROM sent WHERE pipeline = ?1 AND record = ?2 AND suspect_until IS NULL")?
            .execute(params![pipeline, record])?;
    }
    for (pipeline, record) in cleared {
        db.prepare_cached("DELETE FROM sent WHERE pipeline = ?1 AND record = ?2 AND suspect_until IS NOT NULL")?
            .execute(params![pipeline, record])?;
    }
    for (pipeline, record, until) in suspect {
        db.prepare_cached(
            "INSERT INTO sent (pipeline, record, suspect_until) VALUES (?1, ?2, ?3)
             ON CONFLICT (pipeline, record) DO UPDATE SET suspect_until = excluded.suspect_until
             WHERE sent.suspect_until IS NULL OR sent.suspect_until < excluded.suspect_until",
        )?
        .execute(params![pipeline, record, until])?;
    }
    for (pipeline, why, at) in halts {
        super::pipelines::halt(db, *pipeline, why, *at)?;
    }
    move_watermarks(db, watermarks)?;
    for (pipeline, size) in batch_sizes {
        db.prepare_cached(
            "INSERT INTO batch_sizes (target_org, target_object, size)
             SELECT target_org, target_object, ?2 FROM pipelines WHERE id = ?1
             ON CONFLICT (target_org, target_object) DO UPDATE SET size = excluded.size",
        )?
        .execute(params![pipeline, i64::try_from(*size).unwrap_or(i64::MAX)])?;
    }
    let (woken, fillable) = (woken(db, links, park)?, fillable(db, links, unfilled)?);
    let mut circles = Vec::new();
    for row in park.iter().filter(|row| !woken.contains(&(row.pipeline, row.record))) {
        if let Some(parent) = row.waits_for.as_ref().filter(|_| row.state == ParkedState::Waiting)
            && waits_for_itself(db, row.pipeline, row.record, parent)?
        {
            circles.push((row.pipeline, row.record, parent.clone()));
        }
    }
    Ok(Settled { woken, fillable, circles })
}

/// What waits for a record that will not come is told so.
pub(super) fn fail_children(db: &Connection, (parent, record): RowId, code: &str, why: &str) -> Result<(), StoreError> {
    let failed: Vec<RowId> = rows(
        db,
        "UPDATE parked SET state = ?3, code = ?4, evidence = ?5
         WHERE waits_record = ?2 AND state = ?6
             AND waits_object = (SELECT target_object FROM pipelines WHERE id = ?1)
             AND pipeline IN (SELECT child.id FROM pipelines child JOIN pipelines parent
                 ON parent.source_org = child.source_org AND parent.target_org = child.target_org WHERE parent.id = ?1)
             AND NOT EXISTS (SELECT 1 FROM pipelines p JOIN links l ON l.source_org = p.source_org
                 AND l.target_org = p.target_org AND l.target_object = p.target_object AND l.source_record = ?2
                 WHERE p.id = ?1)
         RETURNING pipeline, record",
        params![parent, record, ParkedState::Failed, code, why, ParkedState::Waiting],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    for child in failed {
        history::add(db, &history::about(child, Timestamp::now(), What::Failed, Some(code)))?;
    }
    Ok(())
}

/// Whether the parent of a parked row is parked itself, and waits, perhaps through others, for that very row.
fn waits_for_itself(
    db: &Connection,
    pipeline: PipelineId,
    record: RecordId,
    parent: &Parent,
) -> Result<bool, StoreError> {
    let found = db
        .prepare_cached(
            "WITH RECURSIVE own AS (SELECT source_org, target_org, target_object FROM pipelines WHERE id = ?1),
             up (record, object, depth) AS (
                 SELECT ?3, ?4, 1
                 UNION
                 SELECT k.waits_record, k.waits_object, up.depth + 1 FROM up, own
                 JOIN pipelines p ON p.source_org = own.source_org AND p.target_org = own.target_org
                     AND p.target_object = up.object
                 JOIN parked k ON k.pipeline = p.id AND k.record = up.record AND k.waits_record IS NOT NULL
                 WHERE up.depth < 50 AND up.record <> ?2)
             SELECT 1 FROM up, own WHERE up.record = ?2 AND up.object = own.target_object LIMIT 1",
        )?
        .exists(params![pipeline, record, parent.record, parent.target_object])?;
    Ok(found)
}

/// A gap that names records ends with the last of its readers that passes it, so only what was passed just now is
/// looked at.
pub(super) fn move_watermarks(db: &Connection, watermarks: &[(PipelineId, Seq)]) -> Result<(), StoreError> {
    if watermarks.is_empty() {
        return Ok(());
    }
    let to_read = gaps::any_to_read(db)?;
    for (pipeline, seq) in watermarks {
        let before: Option<Seq> = db
            .prepare_cached("SELECT watermark FROM pipelines WHERE id = ?1 AND watermark < ?2")?
            .query_row(params![pipeline, seq], |row| row.get(0))
            .optional()?;
        let Some(before) = before else { continue };
        db.prepare_cached("UPDATE pipelines SET watermark = ?2 WHERE id = ?1")?.execute(params![pipeline, seq])?;
        if to_read {
            gaps::close_read(db, (before, *seq), Timestamp::now())?;
        }
    }
    Ok(())
}

/// The link belongs to the pipeline's pair of orgs and its target object.
fn change_link(db: &Connection, link: &LinkChange) -> Result<(), StoreError> {
    match link {
        LinkChange::Set { pipeline, source, target, created } => {
            let set = db
                .prepare_cached(
                    "INSERT INTO links (source_org, target_org, source_record, target_object, target_record, created)
                     SELECT source_org, target_org, ?2, target_object, ?3, ?4 FROM pipelines WHERE id = ?1
                     ON CONFLICT (source_org, target_org, source_record, target_object)
                     DO UPDATE SET target_record = excluded.target_record,
                         created = CASE WHEN links.target_record = excluded.target_record
                             AND excluded.created IS NOT 1 THEN links.created ELSE excluded.created END",
                )?
                .execute(params![pipeline, source, target, created])?;
            if set == 0 {
                return Err(StoreError::Database("no such pipeline".into()));
            }
        }
        LinkChange::Drop { pipeline, source, target } => {
            db.prepare_cached(
                "DELETE FROM links WHERE source_record = ?2 AND target_record = ?3
                 AND (source_org, target_org, target_object) =
                     (SELECT source_org, target_org, target_object FROM pipelines WHERE id = ?1)",
            )?
            .execute(params![pipeline, source, target])?;
        }
    }
    Ok(())
}

fn park_row(db: &Connection, parked: &Parked) -> Result<(), StoreError> {
    let fields = serde_json::Value::from(parked.fields.clone()).to_string();
    db.prepare_cached(
        "INSERT INTO parked (pipeline, record, from_seq, to_seq, tried_seq, state, code, fields, waits_object,
             waits_record, attempts, tried_at, evidence, request, first_at, waits_since)
         VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?11,
             CASE WHEN ?9 IS NULL THEN NULL ELSE ?11 END)
         ON CONFLICT (pipeline, record) DO UPDATE SET
             from_seq = CASE WHEN excluded.from_seq < parked.from_seq THEN excluded.from_seq ELSE parked.from_seq END,
             to_seq = CASE WHEN excluded.to_seq > parked.to_seq THEN excluded.to_seq ELSE parked.to_seq END,
             tried_seq = excluded.tried_seq, state = excluded.state, code = excluded.code, fields = excluded.fields,
             -- That it had failed is remembered when it ends, also if it waits by then.
             failed_code = CASE WHEN parked.state = 'failed' THEN parked.code ELSE parked.failed_code END,
             waits_object = excluded.waits_object, waits_record = excluded.waits_record,
             waits_since = CASE WHEN parked.waits_record IS excluded.waits_record AND excluded.waits_record IS NOT NULL
                 THEN parked.waits_since ELSE excluded.waits_since END,
             attempts = parked.attempts + excluded.attempts,
             tried_at = excluded.tried_at, evidence = excluded.evidence,
             request = CASE WHEN excluded.request = '' THEN parked.request ELSE excluded.request END,
             -- This was the try that somebody wanted, unless nobody has begun with it yet.
             redrive_at = CASE WHEN parked.redrive_taken THEN NULL ELSE parked.redrive_at END, redrive_taken = 0",
    )?
    .execute(params![
        parked.pipeline,
        parked.record,
        parked.from,
        parked.to,
        parked.state,
        parked.code,
        fields,
        parked.waits_for.as_ref().map(|parent| &parent.target_object),
        parked.waits_for.as_ref().map(|parent| parent.record),
        parked.attempts,
        parked.tried_at,
        parked.evidence,
        parked.request.as_deref().unwrap_or_default(),
    ])?;
    Ok(())
}

/// Rows that wait for a link which is there now: it was set in this settlement, or the row was parked in it. Judged
/// when all is written, so that the order of fields decides nothing here.
fn woken(db: &Connection, links: &[LinkChange], park: &[Parked]) -> Result<Vec<(PipelineId, RecordId)>, StoreError> {
    let mut candidates: BTreeSet<(PipelineId, RecordId)> =
        park.iter().filter(|row| row.waits_for.is_some()).map(|row| (row.pipeline, row.record)).collect();
    // Asked once: where nothing waits, no link wakes anything. (Not IS NOT NULL, which would read the whole table.)
    let any_waits =
        !links.is_empty() && db.prepare_cached("SELECT 1 FROM parked WHERE waits_record > '' LIMIT 1")?.exists([])?;
    for link in links.iter().filter(|_| any_waits) {
        let LinkChange::Set { pipeline, source, .. } = link else { continue };
        let mut waiting = db.prepare_cached(
            "SELECT k.pipeline, k.record FROM pipelines parent
             JOIN parked k ON k.waits_record = ?2 AND k.waits_object = parent.target_object
             WHERE parent.id = ?1",
        )?;
        for row in waiting.query_map(params![pipeline, source], |row| Ok((row.get(0)?, row.get(1)?)))? {
            candidates.insert(row?);
        }
    }
    let mut woken: BTreeSet<(Seq, PipelineId, RecordId)> = BTreeSet::new();
    for (pipeline, record) in candidates {
        let from: Option<Seq> = db
            .prepare_cached(
                "SELECT k.from_seq FROM parked k
                 JOIN pipelines p ON p.id = k.pipeline
                 JOIN links l ON l.source_org = p.source_org AND l.target_org = p.target_org
                     AND l.source_record = k.waits_record AND l.target_object = k.waits_object
                 WHERE k.pipeline = ?1 AND k.record = ?2",
            )?
            .query_row(params![pipeline, record], |row| row.get(0))
            .optional()?;
        woken.extend(from.map(|from| (from, pipeline, record)));
    }
    Ok(woken.into_iter().map(|(_, pipeline, record)| (pipeline, record)).collect())
}

/// The same for lookups that were left out.
fn fillable(
    db: &Connection,
    links: &[LinkChange],
    unfilled: &[Unfilled],
) -> Result<Vec<(PipelineId, RecordId)>, StoreError> {
    let mut fillable: BTreeSet<(PipelineId, RecordId)> = BTreeSet::new();
    let any_unfilled = !links.is_empty() && db.prepare_cached("SELECT 1 FROM unfilled LIMIT 1")?.exists([])?;
    for link in links.iter().filter(|_| any_unfilled) {
        let LinkChange::Set { pipeline, source, .. } = link else { continue };
        let mut waiting = db.prepare_cached(
            "SELECT u.pipeline, u.record FROM pipelines parent
             JOIN unfilled u ON u.parent_record = ?2 AND u.parent_object = parent.target_object
             JOIN pipelines p ON p.id = u.pipeline AND p.source_org = parent.source_org
                 AND p.target_org = parent.target_org
             WHERE parent.id = ?1",
        )?;
        for row in waiting.query_map(params![pipeline, source], |row| Ok((row.get(0)?, row.get(1)?)))? {
            fillable.insert(row?);
        }
    }
    for row in unfilled {
        let Some(parent) = &row.parent else { continue };
        let linked = db
            .prepare_cached(
                "SELECT 1 FROM pipelines p
                 JOIN links l ON l.source_org = p.source_org AND l.target_org = p.target_org
                     AND l.source_record = ?2 AND l.target_object = ?3
                 WHERE p.id = ?1",
            )?
            .exists(params![row.pipeline, parent.record, parent.target_object])?;
        if linked {
            fillable.insert((row.pipeline, row.record));
        }
    }
    Ok(fillable.into_iter().collect())
}
