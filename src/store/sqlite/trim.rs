//! What the journal holds, and what of it may go: the rules of `trim_journal`.

use rusqlite::{Connection, params};

use super::columns::{Count, signed};
use super::pipelines::rows;
use crate::config::Retain;
use crate::event::{Seq, Timestamp};
use crate::store::{JournalFigures, StoreError, Trimmed};

/// About what an entry takes in the file beside its payload and its key, which stands in an index too; and what each record
/// takes that it names. Measured with events of usual size.
const ENTRY: usize = 140;
const RECORD: usize = 60;

/// About what an entry takes in the file.
pub(super) fn size_of(payload: usize, key: usize, records: usize) -> usize {
    payload + 2 * key + ENTRY + records * RECORD
}

/// The same of a row of `journal j`.
fn size_column() -> String {
    format!(
        "octet_length(j.payload) + 2 * octet_length(j.event_key) + {ENTRY}
             + {RECORD} * (SELECT count(*) FROM journal_records n WHERE n.seq = j.seq)"
    )
}

/// Entries came, or went, or became longer or shorter.
pub(super) fn count(db: &Connection, entries: i64, bytes: i64) -> Result<(), StoreError> {
    db.prepare_cached("UPDATE journal_figures SET entries = entries + ?1, bytes = bytes + ?2")?
        .execute([entries, bytes])?;
    Ok(())
}

/// See `Store::journal_figures`.
pub(super) fn figures(db: &Connection) -> Result<JournalFigures, StoreError> {
    let figures = db
        .prepare_cached(
            "SELECT entries, bytes,
                 (SELECT received_at FROM journal WHERE seq > trimmed_to ORDER BY seq LIMIT 1), trimmed_to
             FROM journal_figures",
        )?
        .query_row([], |row| {
            let (entries, bytes) = (row.get::<_, Count>(0)?.0, row.get::<_, Count>(1)?.0);
            Ok(JournalFigures { entries, bytes, whole_since: row.get(2)?, trimmed_to: row.get(3)? })
        })?;
    Ok(figures)
}

/// See `Store::trim_journal`.
pub(super) fn trim(
    db: &Connection,
    retain: Retain,
    now: Timestamp,
    after: Seq,
    limit: usize,
) -> Result<Trimmed, StoreError> {
    let limit = limit.max(1);
    let looked_at: Vec<(Seq, Timestamp)> = rows(
        db,
        "SELECT seq, received_at FROM journal WHERE seq > ?1 ORDER BY seq LIMIT ?2",
        params![after, i64::try_from(limit).unwrap_or(i64::MAX)],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let mut excess = match retain.size {
        Some(size) => figures(db)?.bytes.saturating_sub(size),
        None => 0,
    };
    let is_known_of = now.minus(Retain::AT_LEAST);
    let is_old = |received: Timestamp| retain.age.is_some_and(|age| received < now.minus(age.max(Retain::AT_LEAST)));
    let ripe = |received: Timestamp| is_old(received) || (excess > 0 && received < is_known_of);
    let mut first_left = looked_at.iter().find(|(_, received)| !ripe(*received)).map(|(seq, _)| *seq);
    let ripe: Vec<(Seq, Timestamp)> = looked_at.iter().copied().filter(|(_, received)| ripe(*received)).collect();
    let mut gone = Vec::new();
    let mut bytes = 0;
    for (seq, received, size) in unneeded(db, &ripe)? {
        if is_old(received) || excess > 0 {
            excess = excess.saturating_sub(size);
            bytes += size;
            gone.push(seq);
        } else {
            // There is room for it now, and later there may not be.
            first_left = Some(first_left.map_or(seq, |left| left.min(seq)));
        }
    }
    delete(db, &gone, bytes)?;
    let pinned = looked_at.iter().take_while(|(seq, _)| first_left.is_none_or(|left| *seq < left));
    Ok(Trimmed {
        entries: gone.len() as u64,
        last: looked_at.last().map_or(after, |(last, _)| *last),
        pinned_to: pinned.last().map_or(after, |(last, _)| *last),
        // What came later is younger, but for a clock that was set.
        done: looked_at.len() < limit || ripe.is_empty(),
    })
}

/// Of these entries those that nobody needs any more, each with its size.
///
/// An entry is needed
/// - above the watermark of a pipeline that reads it, and while a job of that pipeline is open: what a job read is compared
///   with what was journaled since it asked;
/// - by an open gap that names its records, or that its event would close;
/// - by a failed action: what it is done again with;
/// - by a parked record that waits with it: it may be the record's deletion, and people look at it;
/// - if it tells of the deletion of a record that has a counterpart, or of which a write may still land, or a lookup may still
///   be filled: what is read then finds nothing, and only this entry says why. (A deletion that is not carried over keeps the
///   link and leaves no tombstone.)
///
/// The truth probe needs none: its window is hours long, and a change of which it finds no entry is read once more.
fn unneeded(db: &Connection, ripe: &[(Seq, Timestamp)]) -> Result<Vec<(Seq, Timestamp, u64)>, StoreError> {
    if ripe.is_empty() {
        return Ok(Vec::new());
    }
    rows(db, &needless(), [numbers(ripe.iter().map(|(seq, _)| *seq))], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get::<_, Count>(2)?.0))
    })
}

/// The statement that finds them.
fn needless() -> String {
    format!(
        "WITH readers AS (
             SELECT s.id AS subscription, iif(p.kind = 'events', NULL, p.source_object) AS entity, p.watermark,
                 EXISTS (SELECT 1 FROM jobs o WHERE o.pipeline = p.id AND o.ended_at IS NULL) AS at_work
             FROM pipelines p JOIN subscriptions s ON s.org = p.source_org AND s.channel = p.channel
             WHERE p.removed_at IS NULL
         )
         SELECT j.seq, j.received_at, {}
         FROM json_each(?1) asked CROSS JOIN journal j ON j.seq = asked.value
         WHERE NOT EXISTS (SELECT 1 FROM readers r WHERE r.subscription = j.subscription
                 AND r.entity IS j.entity AND (r.watermark < j.seq OR r.at_work))
             AND NOT EXISTS (SELECT 1 FROM gaps g WHERE g.subscription = j.subscription AND g.closed_at IS NULL
                 AND (g.seq = j.seq OR g.proof = j.event_key))
             AND NOT EXISTS (SELECT 1 FROM journal_records n CROSS JOIN pipelines p
                 CROSS JOIN parked k ON k.pipeline = p.id AND k.record = n.record
                 WHERE n.seq = j.seq AND j.seq BETWEEN k.from_seq AND k.to_seq)
             AND NOT EXISTS (SELECT 1 FROM pipelines p CROSS JOIN actions a ON a.pipeline = p.id AND a.seq = j.seq
                 WHERE p.kind <> 'records')
             AND NOT (j.change_type IN ('DELETE', 'GAP_DELETE')
                 AND EXISTS (SELECT 1 FROM journal_records n CROSS JOIN pipelines p WHERE n.seq = j.seq
                     AND (EXISTS (SELECT 1 FROM links l WHERE p.removed_at IS NULL AND l.source_org = p.source_org
                             AND l.target_org = p.target_org AND l.source_record = n.record)
                         OR EXISTS (SELECT 1 FROM sent t WHERE t.pipeline = p.id AND t.record = n.record)
                         OR EXISTS (SELECT 1 FROM unfilled u WHERE u.pipeline = p.id AND u.record = n.record))))
         ORDER BY j.seq",
        size_column()
    )
}

fn numbers(seqs: impl Iterator<Item = Seq>) -> String {
    let each: Vec<String> = seqs.map(|seq| seq.to_string()).collect();
    format!("[{}]", each.join(","))
}

fn delete(db: &Connection, gone: &[Seq], bytes: u64) -> Result<(), StoreError> {
    let Some(last) = gone.iter().max() else { return Ok(()) };
    let seqs = numbers(gone.iter().copied());
    for table in ["journal_records", "journal"] {
        let sql = format!("DELETE FROM {table} WHERE seq IN (SELECT value FROM json_each(?1))");
        db.prepare_cached(&sql)?.execute([&seqs])?;
    }
    count(db, -signed(gone.len() as u64), -signed(bytes))?;
    db.prepare_cached("UPDATE journal_figures SET trimmed_to = max(trimmed_to, ?1)")?.execute([last])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::entries::tests::plan;
    use super::super::file;

    #[test]
    fn what_may_go_is_found_and_deleted_by_indexes() {
        let db = file::open_in_memory().unwrap();
        let plan = plan(&db, &super::needless());
        // Pipelines are few, and gaps that are open.
        let scanned: Vec<_> = plan.iter().filter(|step| step.starts_with("SCAN")).collect();
        assert!(
            scanned.iter().all(|step| ["SCAN asked", "SCAN p", "SCAN r"].iter().any(|few| step.starts_with(few))),
            "{plan:#?}"
        );
        assert!(plan.iter().any(|step| step.contains("INDEX gaps_open")), "{plan:#?}");
        assert!(plan.iter().any(|step| step.contains("INDEX journal_records_by_entry")), "{plan:#?}");
    }
}
