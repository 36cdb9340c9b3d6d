//! The rules of `settle`: outcomes, links, parked rows and watermarks, and who is woken by them.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, params};

use super::columns::json_list;
use super::gaps;
use crate::event::{RecordId, Seq, Timestamp};
use crate::store::{LinkChange, Parked, ParkedState, PipelineId, Settled, Settlement, StoreError, Unfilled};

pub(super) fn settle(db: &Connection, settlement: &Settlement) -> Result<Settled, StoreError> {
    let Settlement {
        applied,
        links,
        close,
        park,
        filled,
        unfilled,
        widen,
        answered,
        cleared,
        suspect,
        halts,
        watermarks,
    } = settlement;
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
        db.prepare_cached("DELETE FROM parked WHERE pipeline = ?1 AND record = ?2 AND to_seq <= ?3")?
            .execute(params![pipeline, record, seq])?;
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
    Ok(Settled { woken: woken(db, links, park)?, fillable: fillable(db, links, unfilled)? })
}

/// A gap that names records ends with the last of its readers that passes it, so only what was passed just now is
/// looked at.
fn move_watermarks(db: &Connection, watermarks: &[(PipelineId, Seq)]) -> Result<(), StoreError> {
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
             waits_record, attempts, tried_at, evidence)
         VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
         ON CONFLICT (pipeline, record) DO UPDATE SET
             from_seq = CASE WHEN excluded.from_seq < parked.from_seq THEN excluded.from_seq ELSE parked.from_seq END,
             to_seq = CASE WHEN excluded.to_seq > parked.to_seq THEN excluded.to_seq ELSE parked.to_seq END,
             tried_seq = excluded.tried_seq, state = excluded.state, code = excluded.code, fields = excluded.fields,
             waits_object = excluded.waits_object, waits_record = excluded.waits_record,
             attempts = parked.attempts + excluded.attempts,
             tried_at = excluded.tried_at, evidence = excluded.evidence",
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
    ])?;
    Ok(())
}

/// Rows that wait for a link which is there now: it was set in this settlement, or the row was parked in it. Judged
/// when all is written, so that the order of fields decides nothing here.
fn woken(db: &Connection, links: &[LinkChange], park: &[Parked]) -> Result<Vec<(PipelineId, RecordId)>, StoreError> {
    let mut candidates: BTreeSet<(PipelineId, RecordId)> =
        park.iter().filter(|row| row.waits_for.is_some()).map(|row| (row.pipeline, row.record)).collect();
    // Asked once: where nothing waits, no link wakes anything. (Not IS NOT NULL, which would read the whole table.)
    let any_waits = db.prepare_cached("SELECT 1 FROM parked WHERE waits_record > '' LIMIT 1")?.exists([])?;
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
                 WHERE k.pipeline = ?1 AND k.record = ?2 AND k.state = ?3",
            )?
            .query_row(params![pipeline, record, ParkedState::Waiting], |row| row.get(0))
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
    let any_unfilled = db.prepare_cached("SELECT 1 FROM unfilled LIMIT 1")?.exists([])?;
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
