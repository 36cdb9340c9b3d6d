//! Entries of the journal as people ask for them.
//!
//! A running bridge answers too, from the thread that its pipelines read by, so no question may take long: what an index finds
//! is sorted, and what none finds is looked through a stretch at a time.

use rusqlite::{Connection, Row, ToSql, params};

use super::columns::Payload;
use crate::event::{Change, ReplayId, Seq, Timestamp};
use crate::store::{Entry, JournalPage, Journaled, Sought, Span, StoreError, SubscriptionId};

/// Entries that are looked through for one page.
const STRETCH: i64 = 5_000;
/// Times that are looked through at once, which takes less by far.
const TIMES: i64 = 20_000;
/// Numbers that are looked through at once, of which only the replay ids are read.
const NUMBERS: i64 = 20_000;
/// A page ends behind the entry with which its payloads reach this.
const PAGE_BYTES: usize = 8 << 20;

/// When an entry was committed, as far as is known; as its index has it.
const TIME: &str = "coalesce(j.committed_at, j.received_at)";

/// Looks for the numbers of all that was committed in a time, through the index of times.
pub(super) struct Looking {
    /// The last entry that was looked at, in the order of times.
    after: (Timestamp, Seq),
    until: Timestamp,
    /// The lowest and the highest number so far.
    ends: Option<(Seq, Seq)>,
}

/// What a stretch of it has come to.
pub(super) enum Looked {
    On(Looking),
    Done(Span),
}

impl Looking {
    /// None: every time is meant.
    pub fn new(since: Option<Timestamp>, until: Option<Timestamp>) -> Option<Self> {
        let any = (since, until) == (None, None);
        let (since, until) = (since.unwrap_or(Timestamp(i64::MIN)), until.unwrap_or(Timestamp(i64::MAX)));
        (!any).then_some(Self { after: (since, Seq::ZERO), until, ends: None })
    }

    pub fn stretch(mut self, db: &Connection) -> Result<Looked, StoreError> {
        let mut statement = db.prepare_cached(&by_time())?;
        let mut found = statement.query(params![self.after.0, self.after.1, self.until, TIMES])?;
        let mut looked_at = 0;
        while let Some(row) = found.next()? {
            let (at, seq) = (row.get(0)?, row.get(1)?);
            let (first, last) = self.ends.unwrap_or((seq, seq));
            self.ends = Some((first.min(seq), last.max(seq)));
            self.after = (at, seq);
            looked_at += 1;
        }
        if looked_at == TIMES {
            return Ok(Looked::On(self));
        }
        Ok(Looked::Done(self.ends.map_or(Span::NONE, |(first, to)| Span { above: first.before(), to })))
    }
}

fn by_time() -> String {
    format!(
        "SELECT {TIME}, j.seq FROM journal j
         WHERE {TIME} >= ?1 AND ({TIME} > ?1 OR j.seq > ?2) AND {TIME} < ?3 ORDER BY {TIME}, j.seq LIMIT ?4"
    )
}

/// Where entries are looked for; each begins with the numbers and ends open for more conditions.
fn from(sought: &Sought) -> &'static str {
    if sought.record.is_some() {
        "FROM subscriptions s
         CROSS JOIN journal_records r ON r.subscription = s.id AND r.record = ?3 AND r.seq > ?1 AND r.seq <= ?2
         CROSS JOIN journal j ON j.seq = r.seq
         WHERE (?4 IS NULL OR substr(j.event_key, 1, length(?4) + 1) = ?4 || '/')"
    } else if sought.transaction.is_some() {
        // '0' is the character behind '/', so this is the keys that begin with the transaction's and a '/'.
        "FROM subscriptions s
         CROSS JOIN journal j ON j.subscription = s.id AND j.event_key >= ?4 || '/' AND j.event_key < ?4 || '0'
         WHERE ?3 IS NULL AND j.seq > ?1 AND j.seq <= ?2"
    } else {
        "FROM journal j CROSS JOIN subscriptions s ON s.id = j.subscription
         WHERE ?3 IS NULL AND ?4 IS NULL AND j.seq > ?1 AND j.seq <= ?2"
    }
}

/// The statement that finds a page.
fn statement(sought: &Sought) -> String {
    format!(
        "SELECT j.seq, j.replay_id, j.payload, j.received_at, s.channel, s.org, j.own
         {} AND (?5 IS NULL OR s.org = ?5) AND (?6 IS NULL OR s.channel = ?6)
             AND (?7 IS NULL OR {TIME} >= ?7) AND (?8 IS NULL OR {TIME} < ?8)
         ORDER BY j.seq LIMIT ?9",
        from(sought)
    )
}

/// See `Store::journal_page`.
pub(super) fn page(db: &Connection, sought: &Sought, span: Span, limit: usize) -> Result<JournalPage, StoreError> {
    let limit = limit.max(1);
    let Some(to) = end_of_stretch(db, sought, span)? else { return Ok(JournalPage::default()) };
    let Sought { org, channel, record, transaction, since, until } = sought;
    let rows_max = i64::try_from(limit).unwrap_or(i64::MAX);
    let bound: [&dyn ToSql; 9] = [&span.above, &to, record, transaction, org, channel, since, until, &rows_max];
    let mut statement = db.prepare_cached(&statement(sought))?;
    let mut found = statement.query(bound.as_slice())?;
    let (mut entries, mut bytes): (Vec<Journaled>, usize) = (Vec::new(), 0);
    let mut is_full = false;
    while let Some(row) = found.next()? {
        bytes += row.get_ref(2)?.as_bytes().map_or(0, <[u8]>::len);
        entries.push(read(row)?);
        if entries.len() >= limit || bytes >= PAGE_BYTES {
            is_full = true;
            break;
        }
    }
    let next = match entries.last() {
        Some(last) if is_full => Some(last.entry.seq),
        _ => Some(to).filter(|to| *to < span.to),
    };
    Ok(JournalPage { entries, next })
}

/// Up to where a page is looked for; none: there is nothing in the span. Where an index finds the entries that is all of it.
fn end_of_stretch(db: &Connection, sought: &Sought, span: Span) -> Result<Option<Seq>, StoreError> {
    if sought.record.is_some() || sought.transaction.is_some() {
        return Ok(Some(span.to));
    }
    let stretch = "SELECT max(seq), count(*) FROM (
            SELECT seq FROM journal WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3)";
    let (last, looked_at): (Option<Seq>, i64) = db
        .prepare_cached(stretch)?
        .query_row(params![span.above, span.to, STRETCH], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(last.map(|last| if looked_at < STRETCH { span.to } else { last }))
}

fn read(row: &Row<'_>) -> rusqlite::Result<Journaled> {
    let change = Change { channel: row.get(4)?, replay_id: row.get(1)?, happening: row.get::<_, Payload>(2)?.0 };
    let entry = Entry { seq: row.get(0)?, change, received: row.get(3)? };
    Ok(Journaled { org: row.get(5)?, own: row.get(6)?, entry })
}

/// Looks for the numbers of the entries of a subscription with a replay id. No index finds them.
pub(super) struct Replaying {
    id: SubscriptionId,
    replay_id: ReplayId,
    /// The last number that was looked at.
    after: Seq,
    /// The lowest and the highest number so far.
    ends: Option<(Seq, Seq)>,
}

/// What a stretch of it has come to.
pub(super) enum Replayed {
    On(Replaying),
    Done(Option<(Seq, Seq)>),
}

impl Replaying {
    pub fn new(id: SubscriptionId, replay_id: ReplayId) -> Self {
        Self { id, replay_id, after: Seq::ZERO, ends: None }
    }

    pub fn stretch(mut self, db: &Connection) -> Result<Replayed, StoreError> {
        let bound = params![self.id, self.replay_id, self.after, NUMBERS];
        let (last, looked_at, found): (Option<Seq>, i64, Option<(Seq, Seq)>) = db
            .prepare_cached(BY_REPLAY_ID)?
            .query_row(bound, |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, Option<Seq>>(2)?.zip(row.get(3)?))))?;
        if let Some((first, to)) = found {
            self.ends = Some((self.ends.map_or(first, |(first, _)| first), to));
        }
        match last {
            Some(last) if looked_at == NUMBERS => Ok(Replayed::On(Self { after: last, ..self })),
            _ => Ok(Replayed::Done(self.ends)),
        }
    }
}

const BY_REPLAY_ID: &str = "SELECT max(seq), count(*), min(seq) FILTER (WHERE is_one), max(seq) FILTER (WHERE is_one)
     FROM (SELECT seq, subscription = ?1 AND replay_id = ?2 AS is_one FROM journal WHERE seq > ?3 ORDER BY seq LIMIT ?4)";

#[cfg(test)]
pub(super) mod tests {
    use super::super::file;
    use super::*;

    /// The steps by which SQLite finds what a statement asks for.
    pub fn plan(db: &Connection, sql: &str) -> Vec<String> {
        let mut steps = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let (mut steps, mut plan) = (steps.raw_query(), Vec::new());
        while let Some(step) = steps.next().unwrap() {
            plan.push(step.get("detail").unwrap());
        }
        plan
    }

    #[test]
    fn a_record_a_transaction_a_time_and_a_stretch_are_found_by_indexes() {
        let db = file::open_in_memory().unwrap();
        let record = Sought { record: "001000000000001AAA".parse().ok(), ..Sought::default() };
        let transaction = Sought { transaction: Some("key".to_owned()), ..Sought::default() };
        for (sql, expected) in [
            (statement(&record), "SEARCH r USING PRIMARY KEY (subscription=? AND record=? AND seq>? AND seq<?)"),
            (statement(&transaction), "(subscription=? AND event_key>? AND event_key<?)"),
            (statement(&Sought::default()), "SEARCH j USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
            (by_time(), "SEARCH j USING COVERING INDEX journal_by_time (<expr>>? AND <expr><?)"),
        ] {
            let plan = plan(&db, &sql);
            assert!(plan.iter().any(|step| step.contains(expected)), "{expected}: {plan:#?}");
            // Subscriptions are few.
            let scanned = plan.iter().filter(|step| step.starts_with("SCAN") && !step.starts_with("SCAN s"));
            assert_eq!(scanned.collect::<Vec<_>>(), Vec::<&String>::new());
        }
        for sql in [statement(&Sought::default()), by_time()] {
            let plan = plan(&db, &sql);
            assert!(!plan.iter().any(|step| step.contains("ORDER BY")), "{plan:#?}");
        }
    }

    #[test]
    fn a_replay_id_is_looked_for_in_stretches() {
        let db = file::open_in_memory().unwrap();
        db.execute_batch(
            "INSERT INTO subscriptions (id, org, channel) VALUES (1, 'source', '/data/ChangeEvents'), (2, 'source', '/event/E__e');
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 45000)
             INSERT INTO journal (seq, subscription, replay_id, event_key, received_at, payload)
                 SELECT i, 1 + i % 2, CAST(i / 15000 AS BLOB), i, 0, '' FROM n",
        )
        .unwrap();
        for (subscription, id, expected) in [
            (1, "0", Some((2, 14_998))),
            (2, "1", Some((15_001, 29_999))),
            (1, "2", Some((30_000, 44_998))),
            (2, "7", None),
        ] {
            let mut replaying = Replaying::new(SubscriptionId(subscription), ReplayId(id.into()));
            let mut stretches = 1;
            let ends = loop {
                match replaying.stretch(&db).unwrap() {
                    Replayed::On(further) => replaying = further,
                    Replayed::Done(ends) => break ends,
                }
                stretches += 1;
            };
            assert_eq!((ends.map(|(first, last)| (first.0, last.0)), stretches), (expected, 3), "{subscription} {id}");
        }
        let plan = plan(&db, BY_REPLAY_ID);
        assert!(plan.iter().any(|step| step.contains("journal USING INTEGER PRIMARY KEY (rowid>?)")), "{plan:#?}");
    }

    #[test]
    fn a_time_that_many_entries_share_is_looked_through_in_stretches() {
        let db = file::open_in_memory().unwrap();
        db.execute_batch(
            "INSERT INTO subscriptions (id, org, channel) VALUES (1, 'source', '/data/ChangeEvents');
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 45000)
             INSERT INTO journal (seq, subscription, replay_id, event_key, committed_at, received_at, payload)
                 SELECT i, 1, x'00', i, i / 30000 * 1000, 0, '' FROM n",
        )
        .unwrap();
        for (since, until, above, to, expected) in [
            (Some(0), None, 0, 45_000, 3),
            (Some(1), None, 29_999, 45_000, 1),
            (None, Some(1), 0, 29_999, 2),
            (Some(2_000), None, 0, 0, 1),
        ] {
            let mut looking = Looking::new(since.map(Timestamp), until.map(Timestamp)).unwrap();
            let mut stretches = 1;
            let span = loop {
                match looking.stretch(&db).unwrap() {
                    Looked::On(further) => looking = further,
                    Looked::Done(span) => break span,
                }
                stretches += 1;
            };
            assert_eq!((span, stretches), (Span { above: Seq(above), to: Seq(to) }, expected), "{since:?} {until:?}");
        }
    }
}
