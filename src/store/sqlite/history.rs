//! What happened to records: rows beside what they tell of, and how they are found and end.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::columns::{Payload, json_list};
use super::pipelines::rows;
use crate::event::{Change, OrgName, RecordId, Seq, Timestamp};
use crate::store::{Entry, Happened, HistoryRow, HistoryTrimmed, Linked, Parent, PipelineId, RowId, StoreError, What};

/// A row about a record with nothing more to say.
pub(super) fn about(row: RowId, at: Timestamp, what: What, code: Option<&str>) -> Happened {
    Happened { code: code.map(str::to_owned), ..Happened::of(row, at, what) }
}

/// Adds a row. One that only says again what the record's last one says takes the place of that, as of the time at which it
/// began: rows stay in the order of time.
pub(super) fn add(db: &Connection, row: &Happened) -> Result<(), StoreError> {
    let (mut since, mut from) = (None, row.from);
    if row.what.repeats()
        && let Some((id, began, first)) = same_as_last(db, row)?
    {
        db.prepare_cached("DELETE FROM history WHERE id = ?1")?.execute([id])?;
        since = Some(began);
        from = if first == Seq::ZERO { from } else { first };
    }
    let fields = serde_json::Value::from(row.fields.as_slice()).to_string();
    db.prepare_cached(
        "INSERT INTO history (pipeline, record, at, since, what, from_seq, to_seq, through, target, fields, code,
             parent_object, parent_record)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?
    .execute(params![
        row.pipeline,
        row.record,
        row.at,
        since,
        row.what,
        from,
        row.to,
        row.through,
        row.target,
        fields,
        row.code,
        row.parent.as_ref().map(|parent| &parent.target_object),
        row.parent.as_ref().map(|parent| parent.record),
    ])?;
    Ok(())
}

/// The last row of the record in the pipeline, if it says the same: its number, since when, and from which entry on.
fn same_as_last(db: &Connection, row: &Happened) -> Result<Option<(i64, Timestamp, Seq)>, StoreError> {
    let last: Option<(i64, What, Option<String>, Timestamp, Seq)> = db
        .prepare_cached(
            "SELECT id, what, code, coalesce(since, at), from_seq FROM history
             WHERE record = ?2 AND pipeline = ?1 ORDER BY id DESC LIMIT 1",
        )?
        .query_row(params![row.pipeline, row.record], |last| {
            Ok((last.get(0)?, last.get(1)?, last.get(2)?, last.get(3)?, last.get(4)?))
        })
        .optional()?;
    let same = last.filter(|(_, what, code, ..)| *what == row.what && *code == row.code);
    Ok(same.map(|(id, _, _, since, from)| (id, since, from)))
}

/// See `Store::last_writes`.
pub(super) fn last_writes(
    db: &Connection,
    pipeline: PipelineId,
    records: &[RecordId],
) -> Result<HashMap<RecordId, HashMap<String, Timestamp>>, StoreError> {
    let select = "SELECT h.record, field.value, max(h.at) FROM json_each(?2) asked
         JOIN history h ON h.record = asked.value AND h.pipeline = ?1
             AND h.what IN (SELECT value FROM json_each(?3))
         JOIN json_each(h.fields) field
         GROUP BY h.record, field.value";
    let mut select = db.prepare_cached(select)?;
    let mut rows = select.query(params![pipeline, json_list(records), json_list(writes())])?;
    let mut last: HashMap<RecordId, HashMap<String, Timestamp>> = HashMap::new();
    while let Some(row) = rows.next()? {
        last.entry(row.get(0)?).or_default().insert(row.get(1)?, row.get(2)?);
    }
    Ok(last)
}

/// See `Store::history_of`.
pub(super) fn history_of(
    db: &Connection,
    org: &OrgName,
    record: RecordId,
    limit: usize,
) -> Result<Vec<HistoryRow>, StoreError> {
    let mut found = rows(
        db,
        "SELECT h.pipeline, h.record, h.at, h.since, h.what, h.from_seq, h.to_seq, h.through, h.target, h.fields, h.code,
             h.parent_object, h.parent_record, p.name
         FROM history h JOIN pipelines p ON p.id = h.pipeline AND p.source_org = ?1 AND p.removed_at IS NULL
         WHERE h.record = ?2 ORDER BY h.id DESC LIMIT ?3",
        params![org, record, i64::try_from(limit).unwrap_or(i64::MAX)],
        read_row,
    )?;
    found.reverse();
    Ok(found)
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<HistoryRow> {
    let parent: Option<_> = row.get(11)?;
    let parent = parent.zip(row.get(12)?).map(|(target_object, record)| Parent { target_object, record });
    Ok(HistoryRow {
        pipeline: row.get(13)?,
        since: row.get(3)?,
        happened: Happened {
            pipeline: row.get(0)?,
            record: row.get(1)?,
            at: row.get(2)?,
            what: row.get(4)?,
            from: row.get(5)?,
            to: row.get(6)?,
            through: row.get(7)?,
            target: row.get(8)?,
            fields: super::failed::json(row, 9)?,
            code: row.get(10)?,
            parent,
        },
    })
}

/// See `Store::links_of`.
pub(super) fn links_of(db: &Connection, record: RecordId) -> Result<Vec<Linked>, StoreError> {
    let read = |row: &Row<'_>| {
        Ok(Linked {
            source_org: row.get(0)?,
            target_org: row.get(1)?,
            source: row.get(2)?,
            target_object: row.get(3)?,
            target: row.get(4)?,
            created: row.get(5)?,
            past: row.get(6)?,
        })
    };
    let mut links: Vec<Linked> = rows(
        db,
        "SELECT l.source_org, l.target_org, l.source_record, l.target_object, l.target_record, l.created, 0
         FROM (SELECT DISTINCT source_org, target_org FROM pipelines) p
         JOIN links l ON l.source_org = p.source_org AND l.target_org = p.target_org AND l.source_record = ?1
         UNION
         SELECT source_org, target_org, source_record, target_object, target_record, created, 0
         FROM links WHERE target_record = ?1",
        [record],
        read,
    )?;
    let remembered: Vec<Linked> = rows(
        db,
        "WITH named AS (
             SELECT pipeline, record, target FROM history WHERE record = ?1 AND target IS NOT NULL AND what <> 'updated'
             UNION
             SELECT pipeline, record, target FROM history WHERE target = ?1 AND target IS NOT NULL AND what <> 'updated')
         SELECT DISTINCT p.source_org, p.target_org, n.record, p.target_object, n.target, NULL, 1
         FROM named n JOIN pipelines p ON p.id = n.pipeline AND p.removed_at IS NULL",
        [record],
        read,
    )?;
    let names = |a: &Linked, b: &Linked| {
        (&a.source_org, &a.target_org, a.source, a.target) == (&b.source_org, &b.target_org, b.source, b.target)
    };
    for pair in remembered {
        if !links.iter().any(|link| names(link, &pair)) {
            links.push(pair);
        }
    }
    Ok(links)
}

/// See `Store::entries_of`.
pub(super) fn entries_of(
    db: &Connection,
    org: &OrgName,
    record: RecordId,
    limit: usize,
) -> Result<Vec<Entry>, StoreError> {
    let mut found = rows(
        db,
        "SELECT j.seq, j.replay_id, j.payload, j.received_at, s.channel
         FROM subscriptions s
         JOIN journal_records r ON r.subscription = s.id AND r.record = ?2
         JOIN journal j ON j.seq = r.seq
         WHERE s.org = ?1 AND s.retired_at IS NULL ORDER BY j.seq DESC LIMIT ?3",
        params![org, record, i64::try_from(limit).unwrap_or(i64::MAX)],
        |row| {
            let change =
                Change { channel: row.get(4)?, replay_id: row.get(1)?, happening: row.get::<_, Payload>(2)?.0 };
            Ok(Entry { seq: row.get(0)?, change, received: row.get(3)? })
        },
    )?;
    found.reverse();
    Ok(found)
}

/// See `Store::trim_history`.
pub(super) fn trim(db: &Connection, before: Timestamp, after: i64, limit: usize) -> Result<HistoryTrimmed, StoreError> {
    let limit = limit.max(1);
    let next: Vec<(i64, Timestamp)> = rows(
        db,
        "SELECT id, at FROM history WHERE id > ?1 ORDER BY id LIMIT ?2",
        params![after, i64::try_from(limit).unwrap_or(i64::MAX)],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    // Rows come in the order of time.
    let old: Vec<i64> = next.iter().take_while(|(_, at)| *at < before).map(|(id, _)| *id).collect();
    let last = old.last().copied().unwrap_or(after);
    let gone = db.prepare_cached(OUTDATED)?.execute(params![after, last, json_list(writes())])?;
    Ok(HistoryTrimmed { rows: gone as u64, last, done: old.len() < limit })
}

/// Deletes of the rows between two numbers those behind which the record has another one: of a write another write.
const OUTDATED: &str = "DELETE FROM history WHERE id IN (
     SELECT h.id FROM history h WHERE h.id > ?1 AND h.id <= ?2 AND CASE
         WHEN h.what IN (SELECT value FROM json_each(?3)) THEN EXISTS (SELECT 1 FROM history n
             WHERE n.record = h.record AND n.id > h.id AND n.pipeline = h.pipeline
                 AND n.what IN (SELECT value FROM json_each(?3)))
         ELSE EXISTS (SELECT 1 FROM history n WHERE n.record = h.record AND n.id > h.id AND n.pipeline = h.pipeline)
     END)";

/// What tells of a write, as the store has it.
fn writes() -> Vec<&'static str> {
    What::ALL.into_iter().filter(|what| what.is_write()).map(What::as_str).collect()
}

/// Nothing of the pipeline is known any more.
pub(super) fn forget(db: &Connection, pipeline: PipelineId) -> Result<(), StoreError> {
    db.execute("DELETE FROM history WHERE pipeline = ?1", [pipeline])?;
    super::feedback::history_shrank(db)
}

#[cfg(test)]
mod tests {
    use super::super::entries::tests::plan;
    use super::super::file;

    #[test]
    fn what_is_outdated_is_found_by_indexes() {
        let db = file::open_in_memory().unwrap();
        let plan = plan(&db, super::OUTDATED);
        let scanned: Vec<_> = plan.iter().filter(|step| step.starts_with("SCAN")).collect();
        assert!(scanned.iter().all(|step| step.starts_with("SCAN json_each")), "{plan:#?}");
        assert!(plan.iter().any(|step| step.contains("INDEX history_by_record (record=? AND rowid>?)")), "{plan:#?}");
    }
}
