//! Asks the two orgs what mapping needs to know: whole records, whether a missing one was deleted, who holds a key, whose
//! parent a record is, what the target's fields take, and what `lookups` lead to. In batches; it decides nothing. And
//! `restore` takes out of the target's recycle bin what is wanted there again.

mod lookups;
mod restore;

use std::collections::HashMap;
use std::sync::Arc;

pub use lookups::ask;
pub use restore::{children_there, restore};
use serde_json::{Map, Value as Json};

use crate::event::Found;
use crate::event::{FieldName, FieldPath, ObjectName, Record, RecordId, Value};
use crate::mapping::{Mapping, Types};
use crate::org::{CallError, Org, soql};
use crate::privacy::ObjectPrivacy;
use crate::publish::Cell;

/// How often a record may have been merged on, one winner into the next.
const MERGES_MAX: usize = 20;

/// Whole records of the source, those that were deleted, and (left out) those that it does not show at all.
pub async fn records(source: &Org, mapping: &Mapping, ids: &[RecordId]) -> Result<HashMap<RecordId, Found>, CallError> {
    let paths = mapping.reads();
    let rows = source.read(&mapping.source_object, ids, &source_fields(mapping)).await?;
    let mut found = HashMap::new();
    let mut missing = Vec::new();
    for (id, row) in ids.iter().zip(rows) {
        match row {
            Some(row) => {
                found.insert(*id, Found::Record(record(*id, &paths, &mapping.privacy, row)));
            }
            None => missing.push(*id),
        }
    }
    let winner = if mapping.may_be_merged() { ", MasterRecordId" } else { "" };
    for ids in missing.chunks(soql::IN_MAX) {
        let list = soql::list(ids.iter().map(RecordId::as_str));
        let soql = format!("SELECT Id, IsDeleted{winner} FROM {} WHERE Id IN {list}", mapping.source_object);
        for row in source.query_all(&soql).await? {
            let deleted = row.get("IsDeleted").and_then(Json::as_bool) == Some(true);
            if let Some(id) = id_of(&row, "Id").filter(|_| deleted) {
                let into = id_of(&row, "MasterRecordId");
                found.insert(id, into.map_or(Found::Deleted, |into| Found::Merged { into }));
            }
        }
    }
    Ok(found)
}

/// The fields of the source that a mapping reads. One of nothing but ids and constants still asks whether the record is there.
pub fn source_fields(mapping: &Mapping) -> Vec<FieldName> {
    let mut fields: Vec<FieldName> = mapping.reads().iter().map(FieldPath::object_field).collect();
    fields.extend("Id".parse::<FieldName>());
    fields.sort();
    fields.dedup();
    fields
}

/// Which records of the target hold these values of the key field. Keys compare exactly.
pub async fn targets(
    target: &Org,
    object: &ObjectName,
    key: &FieldName,
    values: &[String],
) -> Result<HashMap<String, RecordId>, CallError> {
    let mut held = HashMap::new();
    for values in soql::in_urls(values) {
        let list = soql::list(values.iter().map(String::as_str));
        for row in target.query(&format!("SELECT Id, {key} FROM {object} WHERE {key} IN {list}")).await? {
            held.extend(key_in(&row, key).zip(id_of(&row, "Id")));
        }
    }
    Ok(held)
}

/// Records of the source that name one of `parents` in a lookup field, as (child, parent).
pub async fn children(
    source: &Org,
    object: &ObjectName,
    lookup: &FieldPath,
    parents: &[RecordId],
) -> Result<Vec<(RecordId, RecordId)>, CallError> {
    let field = lookup.object_field();
    let mut children = Vec::new();
    for parents in parents.chunks(soql::IN_MAX) {
        let list = soql::list(parents.iter().map(RecordId::as_str));
        for row in source.query(&format!("SELECT Id, {field} FROM {object} WHERE {field} IN {list}")).await? {
            children.extend(id_of(&row, "Id").zip(id_of(&row, field.as_str())));
        }
    }
    Ok(children)
}

/// Of winners of merges those into which they were merged themselves by now, and so on: who has their children.
pub async fn last_winners(
    source: &Org,
    object: &ObjectName,
    winners: &[RecordId],
) -> Result<HashMap<RecordId, RecordId>, CallError> {
    let mut last: HashMap<RecordId, RecordId> = winners.iter().map(|winner| (*winner, *winner)).collect();
    let mut open: Vec<RecordId> = last.keys().copied().collect();
    for _ in 0..MERGES_MAX {
        let mut into: HashMap<RecordId, RecordId> = HashMap::new();
        for ids in open.chunks(soql::IN_MAX) {
            let list = soql::list(ids.iter().map(RecordId::as_str));
            let deleted = format!("SELECT Id, MasterRecordId FROM {object} WHERE IsDeleted = true AND Id IN {list}");
            for row in source.query_all(&deleted).await? {
                into.extend(id_of(&row, "Id").zip(id_of(&row, "MasterRecordId")));
            }
        }
        if into.is_empty() {
            break;
        }
        for last in last.values_mut() {
            *last = into.get(last).copied().unwrap_or(*last);
        }
        open = into.into_values().collect();
    }
    Ok(last)
}

/// The mapping with what the two orgs say of its objects.
pub async fn typed(mapping: Mapping, source: &Org, target: &Org) -> Result<Mapping, CallError> {
    let to = target.describe(&mapping.target_object).await?;
    let mut parents = Vec::new();
    for object in mapping.parent_objects() {
        parents.push(source.describe(object).await?);
    }
    let types = Types::new(mapping.target_fields(), Some(&to), parents.iter().map(AsRef::as_ref));
    Ok(mapping.with_types(Arc::new(types)))
}

/// A row under the names that events use, without what the source's privacy rules forbid.
pub fn record(id: RecordId, paths: &[FieldPath], privacy: &ObjectPrivacy, row: Map<String, Json>) -> Record {
    let value = |path: &FieldPath| {
        // Two paths may be the same field: `MailingCity` and `MailingAddress.City`.
        let value = row.get(path.object_field().as_str()).cloned().unwrap_or(Json::Null);
        (path.clone(), canonical(Value::from(value)))
    };
    let mut record = Record { id, values: paths.iter().map(value).collect() };
    privacy.apply_record(&mut record);
    record
}

/// REST writes date-times as `+0000`, events as `Z`: one form for both (facts: rest.md section 7).
pub fn canonical(value: Value) -> Value {
    match value {
        Value::Text(text) => Value::Text(match text.strip_suffix("+0000") {
            Some(time) if time.len() >= 19 && time.as_bytes().get(10) == Some(&b'T') => format!("{time}Z"),
            _ => text,
        }),
        other => other,
    }
}

/// What a row holds in a field: an org answers with its own capitals, whatever it was asked with.
pub fn cell<'r>(row: &'r Map<String, Json>, field: &FieldName) -> Option<&'r Json> {
    let other = || row.iter().find(|(name, _)| name.eq_ignore_ascii_case(field.as_str())).map(|(_, value)| value);
    row.get(field.as_str()).or_else(other)
}

/// The same as events tell it; null where the row has no such field.
pub fn value(row: &Map<String, Json>, field: &FieldName) -> Value {
    canonical(Value::from(cell(row, field).cloned().unwrap_or_default()))
}

/// The text of the External ID that a row holds.
pub fn key_in(row: &Map<String, Json>, key: &FieldName) -> Option<String> {
    Cell::Value(Value::from(cell(row, key)?.clone())).key_text()
}

/// The id that a field of a row holds.
pub fn id_of(row: &Map<String, Json>, field: &str) -> Option<RecordId> {
    row.get(field)?.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_is_a_record_under_the_names_that_events_use() {
        let id: RecordId = "001000000000001AAA".parse().unwrap();
        let paths = ["Title", "MailingAddress.City", "Name.FirstName", "Loc__c.Latitude", "Since__c", "Missing__c"];
        let paths = paths.map(|path| path.parse::<FieldPath>().unwrap());
        let row = json!({
            "attributes": {"type": "Contact"},
            "Title": null,
            "MailingCity": "Basel",
            "FirstName": "Ada",
            "Loc__Latitude__s": 47.50,
            "Since__c": "2024-05-01T10:00:00.000+0000",
            "Unasked__c": "x",
        });
        let Json::Object(row) = row else { unreachable!() };
        let values = record(id, &paths, &ObjectPrivacy::default(), row).values;
        let expected = [
            ("Title", Value::Null),
            ("MailingAddress.City", Value::text("Basel")),
            ("Name.FirstName", Value::text("Ada")),
            ("Loc__c.Latitude", Value::Number("47.5".parse().unwrap())),
            ("Since__c", Value::text("2024-05-01T10:00:00.000Z")),
            ("Missing__c", Value::Null),
        ];
        assert!(values == expected.map(|(path, value)| (path.parse().unwrap(), value)).into(), "{values:?}");
    }

    #[test]
    fn a_field_is_found_whatever_its_capitals_in_the_config() {
        let Json::Object(row) = json!({"Id": "001", "Phone": "1", "Key__c": "K"}) else { unreachable!() };
        let name = |text: &str| text.parse::<FieldName>().unwrap();
        assert_eq!(cell(&row, &name("phone")), Some(&json!("1")));
        assert_eq!(cell(&row, &name("Fax")), None);
        assert_eq!(key_in(&row, &name("KEY__c")).as_deref(), Some("K"));
    }

    #[test]
    fn a_moment_has_one_form_and_other_text_stays_as_it_is() {
        for (text, expected) in [
            ("2024-05-01T10:00:00.000+0000", "2024-05-01T10:00:00.000Z"),
            ("2024-05-01T10:00:00+0000", "2024-05-01T10:00:00Z"),
            ("2024-05-01T10:00:00.000Z", "2024-05-01T10:00:00.000Z"),
            ("2024-05-01", "2024-05-01"),
            ("+0000", "+0000"),
            ("call +41 61 555 01 +0000", "call +41 61 555 01 +0000"),
            ("", ""),
        ] {
            assert_eq!(canonical(Value::text(text)).as_text(), Some(expected));
        }
        assert_eq!(canonical(Value::Null), Value::Null);
    }
}
