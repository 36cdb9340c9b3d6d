//! Privacy rules that came after values were stored, and what is erased of one record.

use rusqlite::{Connection, OptionalExtension, params};

use super::columns::{Count, Payload};
use super::journal::head;
use crate::event::{Change, Channel, Happening, OrgName, RecordId, ReplayId, Seq, Value};
use crate::privacy::{Privacy, PrivacyRule};
use crate::store::{Forgotten, InClear, NotedPrivacy, Scrubbed, StoreError};

/// The subscriptions of the org ?1, and those of another one that was behind its name before.
const OF_ORG: &str = "(s.org = ?1 OR (s.retired_at IS NOT NULL AND substr(s.org, 1, length(?1) + 2) = ?1 || ' ('))";

/// See `Store::note_privacy`.
pub(super) fn note(db: &Connection, org: &OrgName, rules: &[PrivacyRule]) -> Result<NotedPrivacy, StoreError> {
    let known = noted(db, org)?;
    let without = |some: &[PrivacyRule], others: &[PrivacyRule]| {
        some.iter().filter(|rule| !others.contains(rule)).cloned().collect::<Vec<_>>()
    };
    let noted = NotedPrivacy { new: without(rules, &known), dropped: without(&known, rules) };
    for PrivacyRule { object, field, treatment } in &noted.dropped {
        db.execute(
            "UPDATE privacy SET dropped = ?5 WHERE org = ?1 AND object = ?2 AND field = ?3 AND treatment = ?4",
            params![org, object, field, treatment, head(db)?],
        )?;
    }
    for PrivacyRule { object, field, treatment } in &noted.new {
        db.execute(
            // One that is back: what it had reached is not treated again. If it had not reached all, it begins anew.
            "INSERT INTO privacy (org, object, field, treatment, since, scrubbed) VALUES (?1, ?2, ?3, ?4, ?5, 0)
             ON CONFLICT DO UPDATE SET since = excluded.since, dropped = NULL,
                 scrubbed = CASE WHEN scrubbed >= since THEN dropped ELSE 0 END",
            params![org, object, field, treatment, head(db)?],
        )?;
    }
    Ok(noted)
}

/// A rule, and the entries to which it was not applied: those above the first number, up to the second.
struct Due {
    rule: PrivacyRule,
    above: Seq,
    to: Seq,
}

impl Due {
    fn is_for(&self, seq: Seq) -> bool {
        self.above < seq && seq <= self.to
    }
}

/// Of these rules, those that are not applied to everything yet.
fn due(db: &Connection, org: &OrgName, rules: &[PrivacyRule]) -> Result<Vec<Due>, StoreError> {
    let mut due = Vec::new();
    for rule in rules {
        let noted: Option<(Seq, Option<Seq>)> = db
            .prepare_cached(
                "SELECT CASE WHEN dropped IS NULL THEN scrubbed WHEN scrubbed >= since THEN dropped ELSE 0 END,
                     CASE WHEN dropped IS NULL THEN since END
                 FROM privacy WHERE org = ?1 AND object = ?2 AND field = ?3 AND treatment = ?4",
            )?
            .query_row(params![org, rule.object, rule.field, rule.treatment], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let (above, to) = match noted {
            Some((above, Some(to))) => (above, to),
            // As if it were noted now.
            Some((above, None)) => (above, head(db)?),
            None => (Seq::ZERO, head(db)?),
        };
        if above < to {
            due.push(Due { rule: rule.clone(), above, to });
        }
    }
    Ok(due)
}

/// See `Store::noted_privacy`.
pub(super) fn noted(db: &Connection, org: &OrgName) -> Result<Vec<PrivacyRule>, StoreError> {
    let rules = db
        .prepare(
            "SELECT object, field, treatment FROM privacy WHERE org = ?1 AND dropped IS NULL
             ORDER BY object, field, treatment",
        )?
        .query_map([org], |row| Ok(PrivacyRule { object: row.get(0)?, field: row.get(1)?, treatment: row.get(2)? }))?
        .collect::<Result<_, _>>()?;
    Ok(rules)
}

/// See `Store::in_clear`.
pub(super) fn in_clear(db: &Connection, org: &OrgName, rules: &[PrivacyRule]) -> Result<Vec<InClear>, StoreError> {
    let mut found: Vec<InClear> = Vec::new();
    for Due { rule, above, to } in due(db, org, rules)? {
        // What has no entity may speak of any.
        let entries = db
            .prepare_cached(&format!(
                "SELECT count(*) FROM journal j JOIN subscriptions s ON s.id = j.subscription
                 WHERE {OF_ORG} AND j.seq > ?2 AND j.seq <= ?3
                     AND (j.entity IS NULL OR j.entity = ?4 COLLATE NOCASE)"
            ))?
            .query_row(params![org, above, to, rule.object], |row| row.get::<_, Count>(0))?
            .0;
        if entries == 0 {
            continue;
        }
        match found.iter_mut().find(|one| one.object == rule.object) {
            Some(one) => {
                one.entries = one.entries.max(entries);
                one.fields.push(rule.field);
            }
            None => found.push(InClear { object: rule.object, fields: vec![rule.field], entries }),
        }
    }
    Ok(found)
}

/// See `Store::scrub`.
pub(super) fn scrub(db: &Connection, org: &OrgName, privacy: &Privacy, limit: usize) -> Result<Scrubbed, StoreError> {
    note(db, org, privacy.rules())?;
    let due = due(db, org, privacy.rules())?;
    let (Some(above), Some(to)) = (due.iter().map(|due| due.above).min(), due.iter().map(|due| due.to).max()) else {
        return Ok(Scrubbed { done: true, ..Scrubbed::default() });
    };
    let limit = limit.max(1);
    let entries: Vec<(Seq, Channel, ReplayId, Payload)> = db
        .prepare_cached(&format!(
            "SELECT j.seq, s.channel, j.replay_id, j.payload
             FROM journal j JOIN subscriptions s ON s.id = j.subscription
             WHERE {OF_ORG} AND j.seq > ?2 AND j.seq <= ?3
             ORDER BY j.seq LIMIT ?4"
        ))?
        .query_map(params![org, above, to, i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?
        .collect::<Result<_, _>>()?;
    let mut evidence = 0;
    for Due { rule, to, .. } in &due {
        // What was sent holds such values, and the target's message may quote them.
        evidence += db.execute(
            "UPDATE parked SET evidence = '', request = '' WHERE (evidence != '' OR request != '') AND from_seq <= ?3 AND pipeline IN
                 (SELECT id FROM pipelines WHERE source_org = ?1 AND source_object = ?2 COLLATE NOCASE)",
            params![org, rule.object, to],
        )?;
        evidence += db.execute(
            "UPDATE actions SET evidence = '', request = NULL, answer = NULL
             WHERE state IN ('failed', 'done') AND (evidence != '' OR request IS NOT NULL) AND seq <= ?3 AND pipeline IN
                 (SELECT id FROM pipelines WHERE source_org = ?1 AND source_object = ?2 COLLATE NOCASE)",
            params![org, rule.object, to],
        )?;
    }
    let mut scrubbed = Scrubbed {
        looked_at: entries.len() as u64,
        done: entries.len() < limit,
        rewritten: 0,
        evidence: evidence as u64,
    };
    let last = match entries.last() {
        Some((seq, ..)) if !scrubbed.done => *seq,
        _ => to,
    };
    // Neighbours have the same rules due.
    let mut compiled: Option<(Vec<PrivacyRule>, Privacy)> = None;
    for (seq, channel, replay_id, Payload(happening)) in entries {
        let rules: Vec<PrivacyRule> = due.iter().filter(|due| due.is_for(seq)).map(|due| due.rule.clone()).collect();
        let privacy = match compiled.take() {
            Some((of, made)) if of == rules => made,
            _ => privacy.with_rules(rules.clone()),
        };
        let mut change = Change { channel, replay_id, happening };
        let before = change.happening.clone();
        privacy.apply_change(&mut change);
        compiled = Some((rules, privacy));
        if change.happening != before {
            replace(db, seq, &change.happening)?;
            scrubbed.rewritten += 1;
        }
    }
    for due in due {
        let PrivacyRule { object, field, treatment } = due.rule;
        db.execute(
            "UPDATE privacy SET scrubbed = max(scrubbed, ?5)
             WHERE org = ?1 AND object = ?2 AND field = ?3 AND treatment = ?4",
            params![org, object, field, treatment, last],
        )?;
    }
    Ok(scrubbed)
}

fn replace(db: &Connection, seq: Seq, happening: &Happening) -> Result<(), StoreError> {
    let payload = Payload::write(happening)?;
    let before: i64 = db
        .prepare_cached("SELECT octet_length(payload) FROM journal WHERE seq = ?1")?
        .query_row([seq], |row| row.get(0))?;
    super::trim::count(db, 0, i64::try_from(payload.len()).unwrap_or(i64::MAX) - before)?;
    db.prepare_cached("UPDATE journal SET payload = ?2 WHERE seq = ?1")?.execute(params![seq, payload])?;
    Ok(())
}

/// See `Store::forget_record`.
pub(super) fn forget_record(db: &Connection, org: &OrgName, record: RecordId) -> Result<Forgotten, StoreError> {
    let mut forgotten = Forgotten::default();
    let events: Vec<(Seq, Payload)> = db
        .prepare(&format!(
            "SELECT j.seq, j.payload FROM journal_records r
             JOIN subscriptions s ON s.id = r.subscription
             JOIN journal j ON j.seq = r.seq
             WHERE {OF_ORG} AND r.record = ?2 ORDER BY j.seq"
        ))?
        .query_map(params![org, record], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (seq, Payload(mut happening)) in events {
        let Happening::Record(change) = &mut happening else { continue };
        if change.fields.is_empty() && change.header.change_type.without_values() == change.header.change_type {
            continue;
        }
        change.fields.clear();
        change.header.change_type = change.header.change_type.without_values();
        let kind = change.header.change_type;
        forgotten.events += 1;
        forgotten.shared += u64::from(change.header.record_ids.len() > 1);
        replace(db, seq, &happening)?;
        db.execute("UPDATE journal SET change_type = ?2 WHERE seq = ?1", params![seq, kind])?;
    }
    // The id in either of its forms: the longer one begins with the shorter one.
    let short = record.as_str().get(..15).unwrap_or(record.as_str());
    let messages: Vec<(Seq, Payload)> = db
        .prepare(&format!(
            "SELECT j.seq, j.payload FROM journal j JOIN subscriptions s ON s.id = j.subscription
             WHERE {OF_ORG} AND j.entity IS NULL AND instr(j.payload, ?2) > 0"
        ))?
        .query_map(params![org, short], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (seq, Payload(happening)) in messages {
        match happening {
            Happening::Notification { .. } => {
                replace(db, seq, &Happening::Notification { body: Value::Null })?;
                forgotten.notifications += 1;
            }
            Happening::Event { .. } => forgotten.mentions += 1,
            Happening::Record(_) => {}
        }
    }
    let erased = db.execute(
        "UPDATE parked SET evidence = '', request = '' WHERE record = ?2 AND (evidence != '' OR request != '')
             AND pipeline IN (SELECT id FROM pipelines WHERE source_org = ?1)",
        params![org, record],
    )?;
    let of_actions = db.execute(
        "UPDATE actions SET evidence = '', request = NULL
         WHERE record = ?2 AND state IN ('failed', 'done') AND (evidence != '' OR request IS NOT NULL)
             AND pipeline IN (SELECT id FROM pipelines WHERE source_org = ?1)",
        params![org, record],
    )?;
    forgotten.evidence = (erased + of_actions) as u64;
    Ok(forgotten)
}
