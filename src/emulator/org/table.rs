//! The rows of one object, with the indexes that requests need: lookup keys and references.
//!
//! Deleted rows stay (the recycle bin) and are in no index.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value as Json, json};

use super::Id;
use super::schema::{FieldIndex, Kind, Object, System};
use super::time;

/// One record. Times are whole seconds, as clients see them.
#[derive(Debug, Clone)]
pub struct Row {
    pub id: Id,
    /// Only what is not null.
    pub values: BTreeMap<FieldIndex, Json>,
    pub created: i64,
    pub created_by: Id,
    pub modified: i64,
    pub modified_by: Id,
    /// The number of the transaction that deleted it.
    pub deleted_in: Option<u64>,
}

impl Row {
    /// A field as REST answers show it; null where it is empty.
    pub fn read(&self, object: &Object, field: FieldIndex) -> Json {
        match &object.field(field).kind {
            Kind::System(system) => self.read_system(object, *system),
            Kind::Address(prefix) => self.read_address(object, prefix),
            _ => self.values.get(&field).cloned().unwrap_or(Json::Null),
        }
    }

    fn read_system(&self, object: &Object, system: System) -> Json {
        match system {
            System::Id => json!(self.id.as_str()),
            System::IsDeleted => json!(self.deleted_in.is_some()),
            System::CreatedDate => json!(time::rest(self.created)),
            System::CreatedById => json!(self.created_by.as_str()),
            System::LastModifiedDate | System::Modstamp => json!(time::rest(self.modified)),
            System::LastModifiedById => json!(self.modified_by.as_str()),
            System::FullName => {
                let names: Vec<&str> = ["FirstName", "LastName"]
                    .into_iter()
                    .filter_map(|name| self.values.get(&object.find(name)?.0)?.as_str())
                    .collect();
                json!(names.join(" "))
            }
        }
    }

    fn read_address(&self, object: &Object, prefix: &str) -> Json {
        let part = |name: &str| {
            let value = object.find(&format!("{prefix}{name}")).and_then(|(index, _)| self.values.get(&index));
            value.cloned().unwrap_or(Json::Null)
        };
        let parts = [part("Street"), part("City"), part("State"), part("PostalCode"), part("Country")];
        if parts.iter().all(Json::is_null) {
            return Json::Null;
        }
        let [street, city, state, postal_code, country] = parts;
        json!({"street": street, "city": city, "state": state, "postalCode": postal_code, "country": country,
            "geocodeAccuracy": null, "latitude": null, "longitude": null})
    }

    /// The id in a reference field.
    pub fn reference(&self, field: FieldIndex) -> Option<Id> {
        Id::parse(self.values.get(&field)?.as_str()?)
    }
}

#[derive(Debug, Default)]
pub struct Table {
    rows: BTreeMap<Id, Row>,
    keys: HashMap<FieldIndex, HashMap<String, BTreeSet<Id>>>,
    children: HashMap<FieldIndex, HashMap<Id, BTreeSet<Id>>>,
    live: usize,
}

/// Keys compare case-insensitively.
pub fn folded(key: &str) -> String {
    key.to_lowercase()
}

impl Table {
    /// A row, deleted or not.
    pub fn get(&self, id: &Id) -> Option<&Row> {
        self.rows.get(id)
    }

    pub fn live_row(&self, id: &Id) -> Option<&Row> {
        self.get(id).filter(|row| row.deleted_in.is_none())
    }

    /// All rows in order of creation, deleted ones too.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    pub fn live(&self) -> usize {
        self.live
    }

    /// The live rows whose lookup key has this value.
    pub fn by_key(&self, field: FieldIndex, key: &str) -> Vec<Id> {
        let found = self.keys.get(&field).and_then(|index| index.get(&folded(key)));
        found.map(|ids| ids.iter().cloned().collect()).unwrap_or_default()
    }

    /// The live rows that refer to a record by a field.
    pub fn children(&self, field: FieldIndex, parent: &Id) -> Vec<Id> {
        let found = self.children.get(&field).and_then(|index| index.get(parent));
        found.map(|ids| ids.iter().cloned().collect()).unwrap_or_default()
    }

    /// Puts a row in, in place of the one with its id.
    pub fn put(&mut self, object: &Object, row: Row) {
        self.remove(object, &row.id);
        self.index(object, &row, true);
        self.rows.insert(row.id.clone(), row);
    }

    /// Takes a row out for good.
    pub fn remove(&mut self, object: &Object, id: &Id) {
        if let Some(row) = self.rows.remove(id) {
            self.index(object, &row, false);
        }
    }

    fn index(&mut self, object: &Object, row: &Row, add: bool) {
        if row.deleted_in.is_some() {
            return;
        }
        self.live = if add { self.live + 1 } else { self.live - 1 };
        for (&field, value) in &row.values {
            let Some(text) = value.as_str() else { continue };
            if object.field(field).lookup_key {
                update(self.keys.entry(field).or_default(), folded(text), &row.id, add);
            } else if let (Kind::Reference(..), Some(parent)) = (&object.field(field).kind, Id::parse(text)) {
                update(self.children.entry(field).or_default(), parent, &row.id, add);
            }
        }
    }
}

fn update<K: std::hash::Hash + Eq>(index: &mut HashMap<K, BTreeSet<Id>>, key: K, id: &Id, add: bool) {
    if add {
        index.entry(key).or_default().insert(id.clone());
    } else if let Some(ids) = index.get_mut(&key) {
        ids.remove(id);
        if ids.is_empty() {
            index.remove(&key);
        }
    }
}
