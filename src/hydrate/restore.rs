//! `on_undelete: restore`: counterparts of records that came back are taken out of the target's recycle bin.

use std::collections::HashMap;

use serde_json::Value as Json;
use tracing::warn;

use super::{IN_MAX, id_of, key_in};
use crate::event::{Record, RecordId};
use crate::mapping::Mapping;
use crate::org::{COLLECTION_MAX, CallError, Disposition, Org, SaveResult, soql};

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
/// The answer is which counterpart of each the bridge's user had made itself: of those that are back, that were back
/// already, and that would not come and may still do so together with their parent.
///
/// One that cannot be taken out is logged, and stays where it is: the record is then written as if there were none.
///
/// # Errors
/// When it is worth to try all of it again.
pub async fn restore(
    target: &Org,
    mapping: &Mapping,
    records: &[&Record],
) -> Result<HashMap<RecordId, RecordId>, CallError> {
    let keys: HashMap<String, RecordId> =
        records.iter().filter_map(|record| Some((mapping.key_to_restore(record)?, record.id))).collect();
    let holders = holders(target, mapping, keys.keys().map(String::as_str).collect()).await?;
    let in_bin: Vec<RecordId> = holders.values().filter(|holder| holder.deleted).map(|holder| holder.id).collect();
    for ids in in_bin.chunks(COLLECTION_MAX) {
        match target.undelete(ids).await {
            Ok(results) => {
                for result in results {
                    let SaveResult::Refused(refusal) = result else { continue };
                    let code = refusal.errors().next().map(|error| error.code.to_string()).unwrap_or_default();
                    warn!(target = %target.name(), object = %mapping.target_object, %code,
                        "not taken out of the recycle bin; unless it comes back with its parent, it is made anew");
                }
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
    let own = |(key, holder): (&String, &Holder)| Some((*keys.get(key)?, holder.id));
    Ok(holders.iter().filter(|(_, holder)| holder.own).filter_map(own).collect())
}

/// For each key the live record that holds it, or else the one that was deleted last.
async fn holders(target: &Org, mapping: &Mapping, keys: Vec<&str>) -> Result<HashMap<String, Holder>, CallError> {
    let mut holders: HashMap<String, Holder> = HashMap::new();
    let (object, key) = (&mapping.target_object, &mapping.key);
    for keys in keys.chunks(IN_MAX) {
        let list = soql::list(keys.iter().copied());
        let soql = format!(
            "SELECT Id, {key}, IsDeleted, CreatedById, SystemModstamp FROM {object} WHERE {key} IN {list}"
        );
        // Who made it counts, for only what the bridge created may it delete again (`may_delete: created`).
        let user = target.session().await.map_err(CallError::LoginFailed)?.user_id;
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
