//! What the target holds of records that a job read: what they are compared with before anything is written.

use std::collections::HashMap;

use serde_json::{Map, Value as Json};

use crate::event::{FieldName, Record, RecordId};
use crate::hydrate;
use crate::mapping::Mapping;
use crate::org::{CallError, Org, READ_MAX, soql};
use crate::publish::Counterpart;

/// Keys of one query, and bytes of its text (facts: rest.md section 1).
const KEYS: usize = 400;
const URL_MAX: usize = 14_000;

/// Whether any record of the target has a key: where none has, no counterpart need be looked for.
///
/// # Errors
/// When the org does not answer, or refuses.
pub async fn has_keys(target: &Org, mapping: &Mapping) -> Result<bool, CallError> {
    let soql = format!("SELECT Id FROM {} WHERE {} != null LIMIT 1", mapping.target_object, mapping.key);
    Ok(!target.query(&soql).await?.is_empty())
}

/// The counterparts of these records: those that links name, and, `by_key`, of records that are to be written and have none,
/// who holds their key. A key that several hold names nobody. Also how many calls that took.
///
/// # Errors
/// When the org does not answer, or refuses.
pub async fn counterparts(
    target: &Org,
    mapping: &Mapping,
    records: &[&Record],
    links: &HashMap<RecordId, RecordId>,
    by_key: bool,
) -> Result<(HashMap<RecordId, Counterpart>, u64), CallError> {
    let fields = fields(mapping);
    let (mut there, mut calls) = (HashMap::new(), 0);
    let linked: Vec<(RecordId, RecordId)> =
        records.iter().filter_map(|record| Some((record.id, *links.get(&record.id)?))).collect();
    for linked in linked.chunks(READ_MAX) {
        let ids: Vec<RecordId> = linked.iter().map(|(_, id)| *id).collect();
        calls += 1;
        let rows = target.read(&mapping.target_object, &ids, &fields).await?;
        let rows =
            linked.iter().zip(rows).filter_map(|((record, id), row)| Some((*record, counterpart(*id, &fields, &row?))));
        there.extend(rows);
    }
    if by_key {
        let unlinked = records.iter().filter(|record| !links.contains_key(&record.id));
        let keys: HashMap<String, RecordId> =
            unlinked.filter_map(|record| Some((mapping.matching_key(record)?, record.id))).collect();
        let (holders, asked) = holders(target, mapping, &fields, &keys).await?;
        there.extend(holders);
        calls += asked;
    }
    Ok((there, calls))
}

async fn holders(
    target: &Org,
    mapping: &Mapping,
    fields: &[FieldName],
    keys: &HashMap<String, RecordId>,
) -> Result<(HashMap<RecordId, Counterpart>, u64), CallError> {
    let values: Vec<String> = keys.keys().cloned().collect();
    let names: Vec<&str> = fields.iter().map(FieldName::as_str).collect();
    let select = format!("SELECT {} FROM {} WHERE {} IN", names.join(","), mapping.target_object, mapping.key);
    let (mut held, mut calls): (HashMap<RecordId, Option<Counterpart>>, u64) = (HashMap::new(), 0);
    let room = URL_MAX.saturating_sub(soql::encoded_length(&select));
    for values in soql::in_long_urls(&values, KEYS, room) {
        let list = soql::list(values.iter().map(String::as_str));
        calls += 1;
        for row in target.query(&format!("{select} {list}")).await? {
            // An org compares without case; keys are compared exactly.
            let Some(record) = hydrate::key_in(&row, &mapping.key).and_then(|key| keys.get(&key)) else { continue };
            let Some(id) = hydrate::id_of(&row, "Id") else { continue };
            let holder = counterpart(id, fields, &row);
            held.entry(*record).and_modify(|other| *other = None).or_insert(Some(holder));
        }
    }
    Ok((held.into_iter().filter_map(|(record, holder)| Some((record, holder?))).collect(), calls))
}

/// A row of the target in the fields that were asked for.
pub(super) fn counterpart(id: RecordId, fields: &[FieldName], row: &Map<String, Json>) -> Counterpart {
    Counterpart { id, values: fields.iter().map(|field| (field.clone(), hydrate::value(row, field))).collect() }
}

/// What the target is asked for of a record: its id, its key, and what the mapping fills.
pub(super) fn fields(mapping: &Mapping) -> Vec<FieldName> {
    let mut fields: Vec<FieldName> = mapping.target_fields().cloned().collect();
    fields.extend("Id".parse::<FieldName>());
    fields.push(mapping.key.clone());
    fields.sort();
    fields.dedup();
    fields
}
