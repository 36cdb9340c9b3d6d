//! `on_undelete: restore`: counterparts of records that came back are taken out of the target's recycle bin.

use std::collections::HashMap;

use serde_json::Value as Json;
use tracing::warn;

use super::{id_of, key_in};
use crate::event::{ObjectName, Record, RecordId};
use crate::mapping::Mapping;
use crate::org::{COLLECTION_MAX, CallError, Disposition, Operation, Org, SaveDisposition, SaveResult, soql};

/// The counterpart of a record that came back: it is back, too, or was back already; or it would not come, and may still do
/// so together with its parent.
#[derive(Debug, Clone, Copy)]
pub struct Counterpart {
    pub record: RecordId,
    pub id: RecordId,
    /// The bridge's own user had made it.
    pub own: bool,
}

/// A record of the target that holds a key.
struct Holder {
    id: RecordId,
    deleted: bool,
    /// The bridge's own user made it.
    own: bool,
    /// When it was changed last, which its deletion was; in the org's form, which sorts.
    changed: String,
}

/// Takes the counterparts of these records out of the target's recycle bin: for each whose key no live record holds, the
/// one with its key that was deleted last. Done twice, it does nothing the second time.
///
/// One that cannot be taken out is logged, and stays where it is: the record is then written as if there were none.
///
/// # Errors
/// When it is worth to try all of it again.
pub async fn restore(target: &Org, mapping: &Mapping, records: &[&Record]) -> Result<Vec<Counterpart>, CallError> {
    let keys: HashMap<String, RecordId> =
        records.iter().filter_map(|record| Some((mapping.matching_key(record)?, record.id))).collect();
    let holders = holders(target, mapping, &keys.keys().cloned().collect::<Vec<_>>()).await?;
    let in_bin: Vec<RecordId> = holders.values().filter(|holder| holder.deleted).map(|holder| holder.id).collect();
    let mut groups: Vec<&[RecordId]> = in_bin.chunks(COLLECTION_MAX).collect();
    while let Some(ids) = groups.pop() {
        match target.undelete(ids).await {
            Ok(results) => {
                for result in results {
                    let SaveResult::Refused(refusal) = result else { continue };
                    let error = refusal.decisive(Operation::Update);
                    // Locked, for a moment. Those that are back already stay so.
                    if refusal.disposition(Operation::Update) == SaveDisposition::Retry {
                        return Err(CallError::Refused { status: 400, retry_after: None, errors: vec![error.clone()] });
                    }
                    warn!(target = %target.name(), object = %mapping.target_object, code = %error.code,
                        "not taken out of the recycle bin; unless it comes back with its parent, it is made anew");
                }
            }
            // One of them may be too much for the org.
            Err(error) if error.disposition() == Disposition::Split && ids.len() > 1 => {
                let (some, others) = ids.split_at(ids.len() / 2);
                groups.extend([some, others]);
            }
            // Nothing that will be better later.
            Err(error) if matches!(error.disposition(), Disposition::Halt { .. } | Disposition::Split) => {
                let records = ids.len();
                warn!(target = %target.name(), object = %mapping.target_object, records, %error,
                    "not taken out of the recycle bin; they are made anew");
            }
            Err(error) => return Err(error),
        }
    }
    let counterpart = |(key, holder): (&String, &Holder)| {
        Some(Counterpart { record: *keys.get(key)?, id: holder.id, own: holder.own })
    };
    Ok(holders.iter().filter_map(counterpart).collect())
}

/// Records of the target that name one of these as parent, by the records of the source that they are counterparts of; and
/// their own ids, where the bridge's user had made them. After a parent is back, some of them came back with it, also one
/// that was deleted by itself in the source, if the deletion of the parent was quicker in the target.
///
/// Only where the key is an id of the source: of no other key it can be told whose it is.
pub async fn children_there(
    target: &Org,
    child: &Mapping,
    object: &ObjectName,
    parents: &[RecordId],
) -> Result<Vec<(RecordId, Option<RecordId>)>, CallError> {
    let (children, key) = (&child.target_object, &child.key);
    let mut found = Vec::new();
    for field in child.parent_fields(object) {
        for parents in parents.chunks(soql::IN_MAX) {
            let list = soql::list(parents.iter().map(RecordId::as_str));
            let user = user(target).await?;
            let soql = format!("SELECT Id, {key}, CreatedById FROM {children} WHERE {field} IN {list}");
            for row in target.query(&soql).await? {
                let Some(value) = key_in(&row, key) else { continue };
                let record = value.parse().ok().filter(|record| child.key_of(*record).as_ref() == Some(&value));
                let own = row.get("CreatedById").and_then(Json::as_str) == Some(user.as_str());
                found.extend(record.map(|record| (record, id_of(&row, "Id").filter(|_| own))));
            }
        }
    }
    Ok(found)
}

/// The bridge's own, there: who made a record counts, for the bridge may delete only what it created
/// (`may_delete: created`).
async fn user(target: &Org) -> Result<String, CallError> {
    Ok(target.session().await.map_err(CallError::LoginFailed)?.user_id)
}

/// For each key the live record that holds it, or else the one that was deleted last.
async fn holders(target: &Org, mapping: &Mapping, keys: &[String]) -> Result<HashMap<String, Holder>, CallError> {
    let mut holders: HashMap<String, Holder> = HashMap::new();
    let (object, key) = (&mapping.target_object, &mapping.key);
    for keys in soql::in_urls(keys) {
        let list = soql::list(keys.iter().map(String::as_str));
        let soql =
            format!("SELECT Id, {key}, IsDeleted, CreatedById, SystemModstamp FROM {object} WHERE {key} IN {list}");
        let user = user(target).await?;
        for row in target.query_all(&soql).await? {
            let (Some(id), Some(value)) = (id_of(&row, "Id"), key_in(&row, key)) else { continue };
            let text = |field: &str| row.get(field).and_then(Json::as_str).unwrap_or_default();
            let found = Holder {
                id,
                deleted: row.get("IsDeleted").and_then(Json::as_bool) == Some(true),
                own: text("CreatedById") == user,
                changed: text("SystemModstamp").to_owned(),
            };
            match holders.get(&value) {
                Some(known) if (!known.deleted, &known.changed) >= (!found.deleted, &found.changed) => {}
                Some(_) | None => drop(holders.insert(value, found)),
            }
        }
    }
    Ok(holders)
}
