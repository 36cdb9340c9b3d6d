//! What is known of single records: links, applied numbers, parked rows, requests without an answer.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Answer, Parked, PipelineId, Question, Sent, Settled, Settlement, StoreError, corrupt, int, seq};
use crate::event::{RecordId, Seq, Timestamp};
use crate::store::{Applied, LinkChange, Parent, ParentState, ParkedState};

pub fn known(db: &Connection, pipeline: PipelineId, question: &Question) -> Result<Answer, StoreError> {
    let mut answer = Answer::default();
    let mut applied =
        db.prepare_cached("SELECT applied_seq, tombstone FROM applied WHERE pipeline = ?1 AND record = ?2")?;
    let mut link = db.prepare_cached(
        "SELECT l.target_record FROM pipelines p JOIN links l
         ON l.source_org = p.source_org AND l.target_org = p.target_org AND l.target_object = p.target_object
         WHERE p.id = ?1 AND l.source_record = ?2",
    )?;
    let mut row = db.prepare_cached(&format!("SELECT {PARKED} FROM parked WHERE pipeline = ?1 AND record = ?2"))?;
    for record in &question.records {
        let key = params![pipeline.0, record.as_str()];
        let found = applied.query_row(key, |row| {
            Ok(Applied { seq: seq(row.get(0)?), tombstone: row.get(1)? })
        });
        if let Some(found) = found.optional()? {
            answer.applied.insert(*record, found);
        }
        if let Some(target) = link.query_row(key, |row| row.get::<_, String>(0)).optional()? {
            answer.links.insert(*record, id(target)?);
        }
        let mut rows = row.query(key)?;
        if let Some(row) = rows.next()? {
            answer.parked.insert(*record, read_parked(row)?);
        }
    }
    for parent in &question.parents {
        let state = ParentState {
            link: parent_link(db, pipeline, parent)?,
            parked: db
                .prepare_cached(
                    "SELECT EXISTS (SELECT 1 FROM pipelines me JOIN pipelines p ON p.source_org = me.source_org
                     AND p.target_org = me.target_org AND p.target_object = ?2
                     JOIN parked k ON k.pipeline = p.id AND k.record = ?3 WHERE me.id = ?1)",
                )?
                .query_row(params![pipeline.0, parent.target_object.as_str(), parent.record.as_str()], |row| {
                    row.get(0)
                })?,
        };
        answer.parents.insert(parent.clone(), state);
    }
    Ok(answer)
}

fn parent_link(db: &Connection, pipeline: PipelineId, parent: &Parent) -> Result<Option<RecordId>, StoreError> {
    let select = "SELECT l.target_record FROM pipelines p JOIN links l
                  ON l.source_org = p.source_org AND l.target_org = p.target_org
                  WHERE p.id = ?1 AND l.source_record = ?2 AND l.target_object = ?3";
    let parameters = params![pipeline.0, parent.record.as_str(), parent.target_object.as_str()];
    let target = db.prepare_cached(select)?.query_row(parameters, |row| row.get::<_, String>(0)).optional()?;
    target.map(id).transpose()
}

pub fn sending(db: &Connection, rows: &[(PipelineId, RecordId)]) -> Result<(), StoreError> {
    let mut insert = db.prepare_cached("INSERT INTO sent (pipeline, record) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?;
    for (pipeline, record) in rows {
        insert.execute(params![pipeline.0, record.as_str()])?;
    }
    Ok(())
}

pub fn sent(db: &Connection) -> Result<Vec<Sent>, StoreError> {
    let mut select = db.prepare_cached("SELECT pipeline, record, suspect_until FROM sent")?;
    let mut rows = select.query([])?;
    let mut sent = Vec::new();
    while let Some(row) = rows.next()? {
        sent.push(Sent {
            pipeline: PipelineId(row.get(0)?),
            record: id(row.get(1)?)?,
            suspect_until: row.get::<_, Option<i64>>(2)?.map(Timestamp),
        });
    }
    Ok(sent)
}

pub fn settle(db: &Connection, settlement: &Settlement) -> Result<Settled, StoreError> {
    let mut settled = Settled::default();
    let mut applied = db.prepare_cached(
        "INSERT INTO applied (pipeline, record, applied_seq, tombstone) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (pipeline, record) DO UPDATE SET applied_seq = ?3, tombstone = ?4 WHERE applied_seq <= ?3",
    )?;
    for (pipeline, record, what) in &settlement.applied {
        applied.execute(params![pipeline.0, record.as_str(), int(what.seq), what.tombstone])?;
    }
    for change in &settlement.links {
        link(db, change)?;
    }
    let mut close = db.prepare_cached("DELETE FROM parked WHERE pipeline = ?1 AND record = ?2 AND to_seq <= ?3")?;
    for (pipeline, record, to) in &settlement.close {
        close.execute(params![pipeline.0, record.as_str(), int(*to)])?;
    }
    for row in &settlement.park {
        park(db, row)?;
    }
    let mut widen = db.prepare_cached("UPDATE parked SET to_seq = max(to_seq, ?3) WHERE pipeline = ?1 AND record = ?2")?;
    for (pipeline, record, to) in &settlement.widen {
        widen.execute(params![pipeline.0, record.as_str(), int(*to)])?;
    }
    let mut answered =
        db.prepare_cached("DELETE FROM sent WHERE pipeline = ?1 AND record = ?2 AND suspect_until IS NULL")?;
    for (pipeline, record) in &settlement.answered {
        answered.execute(params![pipeline.0, record.as_str()])?;
    }
    let mut cleared = db.prepare_cached("DELETE FROM sent WHERE pipeline = ?1 AND record = ?2")?;
    for (pipeline, record) in &settlement.cleared {
        cleared.execute(params![pipeline.0, record.as_str()])?;
    }
    let mut suspect = db.prepare_cached(
        "INSERT INTO sent (pipeline, record, suspect_until) VALUES (?1, ?2, ?3)
         ON CONFLICT (pipeline, record) DO UPDATE SET suspect_until = ?3",
    )?;
    for (pipeline, record, until) in &settlement.suspect {
        suspect.execute(params![pipeline.0, record.as_str(), until.0])?;
    }
    let mut watermark = db.prepare_cached("UPDATE pipelines SET watermark = max(watermark, ?2) WHERE id = ?1")?;
    for (pipeline, to) in &settlement.watermarks {
        watermark.execute(params![pipeline.0, int(*to)])?;
    }
    // Last, so that rows and links of this settlement see each other whatever their order.
    for change in &settlement.links {
        if let LinkChange::Set { pipeline, source, .. } = change {
            wake(db, *pipeline, *source, &mut settled)?;
        }
    }
    for row in &settlement.park {
        if let Some(parent) = &row.waits_for
            && row.state == ParkedState::Waiting
            && parent_link(db, row.pipeline, parent)?.is_some()
        {
            settled.woken.push((row.pipeline, row.record));
        }
    }
    settled.woken.sort_unstable();
    settled.woken.dedup();
    Ok(settled)
}

fn link(db: &Connection, change: &LinkChange) -> Result<(), StoreError> {
    match change {
        LinkChange::Set { pipeline, source, target } => {
            let set = "INSERT INTO links (source_org, target_org, source_record, target_object, target_record)
                       SELECT source_org, target_org, ?2, target_object, ?3 FROM pipelines WHERE id = ?1
                       ON CONFLICT DO UPDATE SET target_record = ?3";
            db.prepare_cached(set)?.execute(params![pipeline.0, source.as_str(), target.as_str()])?;
        }
        LinkChange::Drop { pipeline, source, target } => {
            let drop = "DELETE FROM links WHERE source_record = ?2 AND target_record = ?3
                        AND (source_org, target_org, target_object) =
                            (SELECT source_org, target_org, target_object FROM pipelines WHERE id = ?1)";
            db.prepare_cached(drop)?.execute(params![pipeline.0, source.as_str(), target.as_str()])?;
        }
    }
    Ok(())
}

fn park(db: &Connection, row: &Parked) -> Result<(), StoreError> {
    let upsert = "INSERT INTO parked (pipeline, record, from_seq, to_seq, tried_seq, state, code, fields, waits_object,
                  waits_record, attempts, parked_at, tried_at, evidence)
                  VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11, ?12)
                  ON CONFLICT (pipeline, record) DO UPDATE SET from_seq = min(from_seq, ?3), to_seq = max(to_seq, ?4),
                  tried_seq = ?4, state = ?5, code = ?6, fields = ?7, waits_object = ?8, waits_record = ?9,
                  attempts = attempts + ?10, tried_at = ?11, evidence = ?12";
    db.prepare_cached(upsert)?.execute(params![
        row.pipeline.0,
        row.record.as_str(),
        int(row.from),
        int(row.to),
        state_text(row.state),
        row.code,
        row.fields.join(","),
        row.waits_for.as_ref().map(|parent| parent.target_object.as_str()),
        row.waits_for.as_ref().map(|parent| parent.record.as_str()),
        row.attempts,
        row.tried_at.0,
        row.evidence,
    ])?;
    Ok(())
}

fn wake(db: &Connection, pipeline: PipelineId, parent: RecordId, settled: &mut Settled) -> Result<(), StoreError> {
    let select = "SELECT k.pipeline, k.record FROM pipelines me
                  JOIN parked k ON k.waits_record = ?2 AND k.waits_object = me.target_object AND k.state = 'waiting'
                  JOIN pipelines p ON p.id = k.pipeline AND p.source_org = me.source_org
                  AND p.target_org = me.target_org WHERE me.id = ?1";
    let mut select = db.prepare_cached(select)?;
    let mut rows = select.query(params![pipeline.0, parent.as_str()])?;
    while let Some(row) = rows.next()? {
        settled.woken.push((PipelineId(row.get(0)?), id(row.get(1)?)?));
    }
    Ok(())
}

pub fn restless(db: &Connection) -> Result<Vec<(PipelineId, RecordId)>, StoreError> {
    let select = "SELECT k.pipeline, k.record FROM parked k WHERE k.to_seq > k.tried_seq
                  UNION
                  SELECT k.pipeline, k.record FROM parked k JOIN pipelines p ON p.id = k.pipeline
                  JOIN links l ON l.source_org = p.source_org AND l.target_org = p.target_org
                  AND l.source_record = k.waits_record AND l.target_object = k.waits_object
                  WHERE k.state = 'waiting'";
    let mut select = db.prepare_cached(select)?;
    let mut rows = select.query([])?;
    let mut restless = Vec::new();
    while let Some(row) = rows.next()? {
        restless.push((PipelineId(row.get(0)?), id(row.get(1)?)?));
    }
    Ok(restless)
}

pub fn parked(db: &Connection, limit: usize) -> Result<Vec<Parked>, StoreError> {
    let mut select = db.prepare_cached(&format!("SELECT {PARKED} FROM parked ORDER BY parked_at, record LIMIT ?1"))?;
    let mut rows = select.query([i64::try_from(limit).unwrap_or(i64::MAX)])?;
    let mut parked = Vec::new();
    while let Some(row) = rows.next()? {
        parked.push(read_parked(row)?);
    }
    Ok(parked)
}

const PARKED: &str = "pipeline, record, from_seq, to_seq, state, code, fields, waits_object, waits_record, attempts, tried_at,
     evidence";

fn read_parked(row: &Row<'_>) -> Result<Parked, StoreError> {
    let state: String = row.get(4)?;
    let fields: String = row.get(6)?;
    let waits: (Option<String>, Option<String>) = (row.get(7)?, row.get(8)?);
    Ok(Parked {
        pipeline: PipelineId(row.get(0)?),
        record: id(row.get(1)?)?,
        from: read_seq(row, 2)?,
        to: read_seq(row, 3)?,
        state: [ParkedState::Waiting, ParkedState::Failed]
            .into_iter()
            .find(|known| state_text(*known) == state)
            .ok_or_else(|| corrupt(&state))?,
        code: row.get(5)?,
        fields: fields.split(',').filter(|field| !field.is_empty()).map(str::to_owned).collect(),
        waits_for: match waits {
            (Some(object), Some(record)) => {
                Some(Parent { target_object: super::name(object)?, record: id(record)? })
            }
            _ => None,
        },
        attempts: row.get(9)?,
        tried_at: Timestamp(row.get(10)?),
        evidence: row.get(11)?,
    })
}

fn read_seq(row: &Row<'_>, column: usize) -> Result<Seq, StoreError> {
    Ok(seq(row.get(column)?))
}

fn state_text(state: ParkedState) -> &'static str {
    match state {
        ParkedState::Waiting => "waiting",
        ParkedState::Failed => "failed",
    }
}

fn id(text: String) -> Result<RecordId, StoreError> {
    super::name(text)
}
