//! Whether pairs of records that a person named fit together, as the two orgs and the store tell.

use std::collections::HashMap;

use crate::event::{FieldName, Found, PipelineName, RecordId};
use crate::hydrate;
use crate::mapping::Mapping;
use crate::org::{CallError, Org, READ_MAX};
use crate::store::{NotLinked, Store, StoreError};

use super::pairs::{Pair, Rejected};

/// The pairs that fit together, and those that do not. They are looked at again when they are linked.
///
/// # Errors
/// When an org does not answer, or refuses.
pub async fn check(
    source: &Org,
    target: &Org,
    mapping: &Mapping,
    pairs: Vec<Pair>,
) -> Result<(Vec<Pair>, Vec<Rejected>), CallError> {
    let (from, to) = (source.describe(&mapping.source_object).await?, target.describe(&mapping.target_object).await?);
    let (mut good, mut rejected) = (Vec::new(), Vec::new());
    let mut rest = Vec::new();
    for pair in pairs {
        let is_other =
            |prefix: &Option<String>, id: RecordId| prefix.as_deref().is_some_and(|it| it != id.key_prefix());
        if is_other(&from.object.key_prefix, pair.record) {
            rejected.push(pair.rejected(format!("the record of the source is no {}", mapping.source_object)));
        } else if is_other(&to.object.key_prefix, pair.target) {
            rejected.push(pair.rejected(format!("the record of the target is no {}", mapping.target_object)));
        } else {
            rest.push(pair);
        }
    }
    let fields: Vec<FieldName> = "Id".parse().into_iter().chain([mapping.key.clone()]).collect();
    for page in rest.chunks(READ_MAX) {
        let ids: Vec<RecordId> = page.iter().map(|pair| pair.record).collect();
        let found = hydrate::records(source, mapping, &ids).await?;
        let keys: HashMap<RecordId, String> = found
            .values()
            .filter_map(Found::record)
            .filter_map(|record| Some((record.id, mapping.matching_key(record)?)))
            .collect();
        let values: Vec<String> = keys.values().cloned().collect();
        let holders = hydrate::targets(target, &mapping.target_object, &mapping.key, &values).await?;
        let ids: Vec<RecordId> = page.iter().map(|pair| pair.target).collect();
        let there = target.read(&mapping.target_object, &ids, &fields).await?;
        for (pair, there) in page.iter().zip(there) {
            let key = keys.get(&pair.record);
            let held = there.as_ref().map(|row| hydrate::key_in(row, &mapping.key));
            let why = match (found.get(&pair.record), key, held) {
                (Some(Found::Deleted | Found::Merged { .. }), ..) => "the record of the source is deleted".to_owned(),
                (Some(Found::NotVisible) | None, ..) => {
                    "the source shows no such record: look at the id, and at what the bridge's user may see".to_owned()
                }
                (Some(Found::Record(_)), None, _) => {
                    "the condition of the pipeline leaves the record out, or its key is empty".to_owned()
                }
                (_, _, None) => {
                    "the target shows no such record: look at the id, and at what the bridge's user may see".to_owned()
                }
                (_, Some(key), Some(Some(held))) if *key != held => {
                    format!("the record of the target has the {} of another record already", mapping.key)
                }
                (_, Some(key), Some(_)) => match holders.get(key).filter(|holder| **holder != pair.target) {
                    Some(holder) => {
                        format!(
                            "{holder} in the target has the {} of this record already: it is its counterpart",
                            mapping.key
                        )
                    }
                    None => {
                        good.push(*pair);
                        continue;
                    }
                },
            };
            rejected.push(pair.rejected(why));
        }
    }
    Ok((good, rejected))
}

/// Pairs that the last import of a pipeline could not link, by the record of the source, behind this one.
///
/// # Errors
/// When the store fails.
pub async fn not_linked<S: Store>(
    store: &S,
    pipeline: &PipelineName,
    after: Option<RecordId>,
    limit: usize,
) -> Result<Vec<NotLinked>, StoreError> {
    let rows = store.pipelines().await?;
    match rows.into_iter().find(|row| row.identity.name == *pipeline) {
        Some(row) => store.not_linked(row.id, after, limit).await,
        None => Ok(Vec::new()),
    }
}
