//! A look at single records on both sides.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::{Comparison, TOGETHER, VerifyError, cover, digest};
use crate::config::{IfMissing, MayDelete, OnDelete};
use crate::event::{FieldName, Found, Record, RecordId, Timestamp};
use crate::hydrate;
use crate::mapping::{Known, LinkState, Mapped};
use crate::org::{READ_MAX, soql};
use crate::past::rows::Row;
use crate::past::target;
use crate::publish::{Body, Cell, Write};
use crate::store::{Answer, Difference, Finding, Store};
use crate::subscribe::probe::BUS_MARGIN;

/// Of the list of a query (facts: rest.md section 1).
const URL_MAX: usize = 13_000;
/// The code of a record that cannot be mapped for want of an answer of an org.
const NOT_MAPPED: &str = "NOT_MAPPED";
/// The code of a record of the target that has the key of another one.
const TWICE: &str = "TWICE";

/// A record of the source, as it and its counterpart are now.
pub struct Looked {
    pub state: State,
    /// When it changed last, by the source's clock, where that can be told.
    pub changed: Option<Timestamp>,
    /// When its counterpart was changed last and by whom, by the target's clock.
    modified: Option<(Timestamp, RecordId)>,
}

pub enum State {
    Equal,
    /// Left out by the condition, and without a counterpart.
    Excluded,
    /// The rules keep the counterpart although it is gone, or left out.
    Kept,
    /// On neither side.
    Gone,
    Differs {
        difference: Difference,
        /// The same as long as it differs in the same way.
        mark: i64,
        /// Reading and writing it again would do something about it.
        mendable: bool,
    },
}

/// What the target holds of the records that are looked at.
struct There {
    rows: HashMap<RecordId, Row>,
    holders: HashMap<String, Vec<RecordId>>,
}

impl<S: Store> Comparison<'_, S> {
    /// What is known of each of these records now, in their order.
    pub(super) async fn look(&mut self, records: &[RecordId]) -> Result<Vec<Looked>, VerifyError> {
        let (source, mapping) = (self.sides.source, self.sides.mapping);
        let (store, pipeline) = (self.sides.store, self.sides.pipeline);
        let at = store.head().await?;
        let mut found = self.patiently(source, || hydrate::records(source, mapping, records)).await?;
        let missing: Vec<RecordId> = records.iter().copied().filter(|record| !found.contains_key(record)).collect();
        if !missing.is_empty() {
            let newest = store.newest_parts(pipeline, missing, at).await?;
            let deleted = newest.into_iter().filter(|(_, kind)| kind.is_delete());
            found.extend(deleted.map(|(record, _)| (record, Found::Deleted)));
        }
        let read: Vec<Record> = found.values().filter_map(Found::record).cloned().collect();
        self.ask(&read.iter().collect::<Vec<_>>()).await?;
        let answer = self.known(&read, records.to_vec()).await?;
        let there = self.there(records, &found, &answer).await?;
        let changed = self.changed(records).await?;
        let looked = records.iter().map(|record| {
            let found = found.get(record).unwrap_or(&Found::NotVisible);
            let (state, target) = self.state(*record, found, &answer, &there);
            let modified = target.and_then(|target| modified(there.rows.get(&target)?));
            Looked { state, changed: changed.get(record).copied(), modified }
        });
        Ok(looked.collect())
    }

    /// The counterparts that links name, and whoever holds the keys.
    async fn there(
        &self,
        records: &[RecordId],
        found: &HashMap<RecordId, Found>,
        answer: &Answer,
    ) -> Result<There, VerifyError> {
        let (target, mapping) = (self.sides.target, self.sides.mapping);
        let mut keys: Vec<String> = records.iter().filter_map(|record| self.key(*record, found.get(record))).collect();
        keys.sort_unstable();
        keys.dedup();
        let (key, object) = (&mapping.key, &mapping.target_object);
        let mut holders: HashMap<String, Vec<RecordId>> = HashMap::new();
        for keys in soql::in_long_urls(&keys, TOGETHER, URL_MAX) {
            let list = soql::list(keys.iter().map(String::as_str));
            let soql = format!("SELECT Id, {key} FROM {object} WHERE {key} IN {list}");
            for row in self.patiently(target, || target.query(&soql)).await? {
                if let (Some(key), Some(id)) = (hydrate::key_in(&row, key), hydrate::id_of(&row, "Id")) {
                    holders.entry(key).or_default().push(id);
                }
            }
        }
        let mut ids: Vec<RecordId> = answer.links.values().chain(holders.values().flatten()).copied().collect();
        ids.sort_unstable();
        ids.dedup();
        let mut fields = target::fields(mapping);
        let described = self.patiently(target, || target.describe(object)).await?;
        let stamps = ["LastModifiedDate", "LastModifiedById"].into_iter().filter(|stamp| described.has(stamp));
        fields.extend(stamps.filter_map(|stamp| stamp.parse().ok()));
        fields.sort();
        fields.dedup();
        let mut rows = HashMap::new();
        for ids in ids.chunks(READ_MAX) {
            let read = self.patiently(target, || target.read(object, ids, &fields)).await?;
            rows.extend(ids.iter().copied().zip(read).filter_map(|(id, row)| Some((id, row?))));
        }
        Ok(There { rows, holders })
    }

    /// The key that a counterpart of the record has.
    fn key(&self, record: RecordId, found: Option<&Found>) -> Option<String> {
        let mapping = self.sides.mapping;
        let read = found.and_then(Found::record);
        let of_values = read.and_then(|read| mapping.matching_key(read).or_else(|| mapping.unmatched_key(read)));
        of_values.or_else(|| mapping.key_of(record))
    }

    /// When the records changed last.
    async fn changed(&self, records: &[RecordId]) -> Result<HashMap<RecordId, Timestamp>, VerifyError> {
        let (source, object) = (self.sides.source, &self.sides.mapping.source_object);
        let described = self.patiently(source, || source.describe(object)).await?;
        if !described.has("SystemModstamp") {
            return Ok(HashMap::new());
        }
        let list = soql::list(records.iter().map(RecordId::as_str));
        let soql = format!("SELECT Id, SystemModstamp FROM {object} WHERE Id IN {list}");
        let rows = self.patiently(source, || source.query_all(&soql)).await?;
        let stamp = |row: Row| {
            let at = Timestamp::read(row.get("SystemModstamp")?.as_str()?)?;
            Some((hydrate::id_of(&row, "Id")?, at))
        };
        Ok(rows.into_iter().filter_map(stamp).collect())
    }

    /// What a record is, and which record of the target that was told by.
    fn state(&self, record: RecordId, found: &Found, answer: &Answer, there: &There) -> (State, Option<RecordId>) {
        let mapping = self.sides.mapping;
        let key = self.key(record, Some(found));
        let holders = key.and_then(|key| there.holders.get(&key)).map_or(&[][..], Vec::as_slice);
        let link = answer.links.get(&record).copied().filter(|link| there.rows.contains_key(link));
        let counterpart = link.or_else(|| holders.first().copied().filter(|_| holders.len() == 1));
        let double = holders.iter().copied().find(|holder| counterpart != Some(*holder));
        let twice = |double| (differing(record, Some(double), Finding::Extra, Some(TWICE.to_owned())), Some(double));
        let known = Known {
            link: counterpart.map_or(LinkState::None, LinkState::Linked),
            parents: &answer.parents,
            replies: &self.replies,
        };
        let cover = cover(self.sides.pipeline, record);
        let mapped = match (found, counterpart) {
            (Found::Record(read), _) => mapping.apply_read(read, None, &known, cover),
            (_, None) => return double.map_or((State::Gone, None), twice),
            (_, Some(_)) if mapping.on_delete == OnDelete::Ignore => return (State::Kept, counterpart),
            // Nothing says that it is deleted: it may only be hidden from the bridge's user.
            (Found::NotVisible, Some(_)) => return (differing(record, counterpart, Finding::Extra, None), counterpart),
            (Found::Deleted | Found::Merged { .. }, Some(_)) => mapping.apply_deleted(record, &known, cover),
        };
        let parked = answer.parked.get(&record).map(|parked| parked.code.clone());
        let differs = |what, fields: &BTreeMap<FieldName, Cell>| {
            let what = if parked.is_some() { Finding::Failed } else { what };
            let named = if counterpart.is_some() { fields.keys().cloned().collect() } else { Vec::new() };
            let code = parked.clone();
            let difference = Difference { fields: named, code, ..Difference::of(what, Some(record), counterpart) };
            State::Differs { mark: mark(&difference, expected(fields)), difference, mendable: true }
        };
        let state = match mapped {
            Mapped::Write(write) if matches!(write.body, Body::Delete) => match counterpart {
                None => State::Excluded,
                Some(_) if !self.may_go(record, answer) => State::Kept,
                Some(_) => differs(Finding::Extra, &BTreeMap::new()),
            },
            Mapped::Write(write) => {
                let fields = self.lasting(&write);
                let Some(row) = counterpart.and_then(|id| there.rows.get(&id)) else {
                    return double.map_or_else(|| (differs(Finding::Missing, &fields), None), twice);
                };
                let types = mapping.types();
                let names: Vec<FieldName> = fields.keys().cloned().collect();
                let held = target::counterpart(record, &names, row);
                let lacks = held.lacks(&fields, |field, value, there| types.holds(field, value, there));
                match double {
                    _ if !lacks.is_empty() => differs(Finding::Different, &lacks),
                    Some(double) => return twice(double),
                    None if mapping.flags(&write) => State::Kept,
                    None => State::Equal,
                }
            }
            Mapped::Skipped(_) if counterpart.is_some() => State::Kept,
            Mapped::Skipped(_) => State::Excluded,
            Mapped::Failed(failure) | Mapped::Waits(failure) => {
                let code = parked.unwrap_or_else(|| failure.code.to_owned());
                differing(record, counterpart, Finding::Failed, Some(code))
            }
            Mapped::Needs(_) => {
                let code = parked.unwrap_or_else(|| NOT_MAPPED.to_owned());
                differing(record, counterpart, Finding::Failed, Some(code))
            }
        };
        (state, counterpart)
    }

    fn may_go(&self, record: RecordId, answer: &Answer) -> bool {
        match self.sides.mapping.publishing.may_delete {
            MayDelete::Any => true,
            MayDelete::Created => answer.created.contains(&record),
        }
    }

    /// Those of the fields that follow the source also after the record was created.
    fn lasting(&self, write: &Write) -> BTreeMap<FieldName, Cell> {
        let fields = write.fields().into_iter().flatten();
        let lasting = fields.filter(|(name, _)| self.sides.mapping.is_lasting(name));
        lasting.filter_map(|(name, cell)| Some((name.clone(), as_written(cell)?))).collect()
    }

    /// Why the two differ, where that can be told. Nobody is blamed for what the bridge is not known to have written since the
    /// source was changed: no event may have told of that.
    pub(super) async fn judged(&mut self, difference: Difference, looked: &Looked) -> Result<Difference, VerifyError> {
        let target = self.sides.target;
        let (Finding::Different, Some(record), Some((at, by))) = (difference.what, difference.record, looked.modified)
        else {
            return Ok(difference);
        };
        let Ok(session) = target.session().await else { return Ok(difference) };
        let is_own = by.as_str() == session.user_id;
        let proven = self.was_written(record, &difference.fields, looked.changed).await?;
        let was_changed_later = looked.changed.is_some_and(|changed| at > changed);
        if is_own {
            let what = if proven { Finding::NotAccepted } else { Finding::Different };
            return Ok(Difference { what, ..difference });
        }
        if !proven && !was_changed_later {
            return Ok(difference);
        }
        let by = self.name(by).await;
        Ok(Difference { what: Finding::ChangedInTarget, by: Some(by), at: Some(at), ..difference })
    }

    /// What the target calls a user; the id, where it does not tell.
    async fn name(&mut self, user: RecordId) -> String {
        if let Some(known) = self.names.get(&user) {
            return known.clone();
        }
        let target = self.sides.target;
        let soql = format!("SELECT Name FROM User WHERE Id = {}", soql::literal(user.as_str()));
        let rows = self.patiently(target, || target.query(&soql)).await.unwrap_or_default();
        let name =
            rows.first().and_then(|row| row.get("Name")?.as_str()).map_or_else(|| user.to_string(), str::to_owned);
        self.names.insert(user, name.clone());
        name
    }

    /// Whether all of these fields were written so long after the record was changed last that it cannot have been an older state.
    async fn was_written(
        &self,
        record: RecordId,
        fields: &[FieldName],
        changed: Option<Timestamp>,
    ) -> Result<bool, VerifyError> {
        let Some(changed) = changed else { return Ok(false) };
        let writes = self.sides.store.last_writes(self.sides.pipeline, vec![record]).await?;
        let Some(writes) = writes.get(&record) else { return Ok(false) };
        // History is told in our clock.
        let ahead = self.sides.source.server_time().0 - Timestamp::now().0;
        let since = changed.plus(BUS_MARGIN);
        Ok(fields
            .iter()
            .all(|field| writes.get(field.as_str()).is_some_and(|written| Timestamp(written.0 + ahead) >= since)))
    }
}

/// What becomes of a field when it is written: without a parent's counterpart a lookup that may lack it is emptied, or (none) left as it is.
pub fn as_written(cell: &Cell) -> Option<Cell> {
    match cell {
        Cell::Parent(reference) if reference.link.is_none() => match reference.if_missing {
            IfMissing::FillLater => Some(Cell::Unfilled { parent: Some(reference.parent.clone()), emptied: true }),
            IfMissing::Skip => None,
            IfMissing::Wait | IfMissing::Fail => Some(cell.clone()),
        },
        Cell::Parent(_) | Cell::Value(_) | Cell::Unfilled { .. } => Some(cell.clone()),
    }
}

/// One that reading and writing the record again would not change.
fn differing(record: RecordId, target: Option<RecordId>, what: Finding, code: Option<String>) -> State {
    let difference = Difference { code, ..Difference::of(what, Some(record), target) };
    State::Differs { mark: mark(&difference, 0), difference, mendable: false }
}

fn modified(row: &Row) -> Option<(Timestamp, RecordId)> {
    let at = Timestamp::read(row.get("LastModifiedDate")?.as_str()?)?;
    Some((at, hydrate::id_of(row, "LastModifiedById")?))
}

/// Stands for values that are to be there.
fn expected(fields: &BTreeMap<FieldName, Cell>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (name, cell) in fields {
        name.hash(&mut hasher);
        match cell {
            Cell::Value(value) => digest::hash(value).hash(&mut hasher),
            Cell::Parent(reference) => (reference.parent.record, reference.link).hash(&mut hasher),
            Cell::Unfilled { emptied, .. } => emptied.hash(&mut hasher),
        }
    }
    hasher.finish()
}

fn mark(difference: &Difference, expected: u64) -> i64 {
    let mut hasher = DefaultHasher::new();
    let Difference { what, code, fields, target, .. } = difference;
    (what.as_str(), code, fields, target, expected).hash(&mut hasher);
    i64::from_le_bytes(hasher.finish().to_le_bytes())
}
