//! The rows of one object, with the indexes that requests need: lookup keys and references.
//!
//! Deleted rows stay (the recycle bin) and are in no index.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::Id;
use super::rules::filled;
use super::schema::{Field, FieldIndex, Formula, Kind, LOCATION_PARTS, Object, System};
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
            Kind::Location(prefix) => self.read_location(object, prefix),
            Kind::Formula(Formula(template)) => json!(filled(template, object, self)),
            // Only people with "View Encrypted Data" see more, and no client of an API has that here.
            Kind::Encrypted(_) => match self.values.get(&field).and_then(Json::as_str) {
                Some(text) => json!("*".repeat(text.chars().count())),
                None => Json::Null,
            },
            // Never null to those who read it.
            Kind::Boolean => self.values.get(&field).cloned().unwrap_or(Json::Bool(false)),
            _ => self.values.get(&field).cloned().unwrap_or(Json::Null),
        }
    }

    /// The same, without a copy of what is stored.
    pub fn peek(&self, object: &Object, field: FieldIndex) -> Cow<'_, Json> {
        match &object.field(field).kind {
            Kind::System(_) | Kind::Address(_) | Kind::Location(_) | Kind::Formula(_) | Kind::Encrypted(_) => {
                Cow::Owned(self.read(object, field))
            }
            kind => {
                let absent = if *kind == Kind::Boolean { Json::Bool(false) } else { Json::Null };
                self.values.get(&field).map_or(Cow::Owned(absent), Cow::Borrowed)
            }
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
            System::IsPersonAccount => {
                let contact = object.find("PersonContactId").and_then(|(index, _)| self.values.get(&index));
                json!(contact.is_some())
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

    fn read_location(&self, object: &Object, prefix: &str) -> Json {
        let part = |name: &str| {
            let (index, _) = object.find(&format!("{prefix}__{name}__s"))?;
            self.values.get(&index).cloned()
        };
        match LOCATION_PARTS.map(part) {
            [None, None] => Json::Null,
            [latitude, longitude] => json!({"latitude": latitude, "longitude": longitude}),
        }
    }

    /// The id in a reference field.
    pub fn reference(&self, field: FieldIndex) -> Option<Id> {
        Id::parse(self.values.get(&field)?.as_str()?)
    }
}

/// Rows under one entry of an index, in the order of their ids. Most keys have only one.
#[derive(Debug)]
enum Ids {
    One(Id),
    Many(BTreeSet<Id>),
}

impl Ids {
    fn iter(&self) -> impl Iterator<Item = &Id> {
        let (one, many) = match self {
            Self::One(id) => (Some(id), None),
            Self::Many(ids) => (None, Some(ids)),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(ids) => ids.len(),
        }
    }

    fn insert(&mut self, id: &Id) {
        match self {
            Self::One(own) if own == id => {}
            Self::One(own) => *self = Self::Many([own.clone(), id.clone()].into()),
            Self::Many(ids) => drop(ids.insert(id.clone())),
        }
    }

    /// Whether none is left.
    fn remove(&mut self, id: &Id) -> bool {
        match self {
            Self::One(own) => own == id,
            Self::Many(ids) => {
                ids.remove(id);
                ids.is_empty()
            }
        }
    }
}

#[derive(Debug, Default)]
pub struct Table {
    rows: BTreeMap<Id, Arc<Row>>,
    keys: HashMap<FieldIndex, HashMap<String, Ids>>,
    children: HashMap<FieldIndex, HashMap<Id, Ids>>,
    live: usize,
}

/// Text compares without case, unless a field says otherwise.
pub fn folded(key: &str) -> String {
    key.to_lowercase()
}

/// The form in which a value is looked up in a field that is a key; `None` for what is no key.
pub fn key_form(field: &Field, value: &Json) -> Option<String> {
    match value {
        Json::String(text) if text.is_empty() => None,
        Json::String(text) if field.case_sensitive => Some(text.clone()),
        Json::String(text) => Some(folded(text)),
        Json::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

impl Table {
    /// A row, deleted or not.
    pub fn get(&self, id: &Id) -> Option<&Row> {
        self.rows.get(id).map(Arc::as_ref)
    }

    /// The same, to be kept.
    pub fn share(&self, id: &Id) -> Option<Arc<Row>> {
        self.rows.get(id).cloned()
    }

    pub fn live_row(&self, id: &Id) -> Option<&Row> {
        self.get(id).filter(|row| row.deleted_in.is_none())
    }

    /// All rows in order of creation, deleted ones too.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values().map(Arc::as_ref)
    }

    pub fn live(&self) -> usize {
        self.live
    }

    /// The live rows whose key field has this value, given in the form of [`key_form`].
    pub fn by_key(&self, field: FieldIndex, key: &str) -> Vec<Id> {
        let found = self.keys.get(&field).and_then(|index| index.get(key));
        found.map(|ids| ids.iter().cloned().collect()).unwrap_or_default()
    }

    /// The live rows that refer to a record by a field.
    pub fn children(&self, field: FieldIndex, parent: &Id) -> impl Iterator<Item = &Id> {
        self.children.get(&field).and_then(|index| index.get(parent)).into_iter().flat_map(Ids::iter)
    }

    pub fn child_count(&self, field: FieldIndex, parent: &Id) -> usize {
        self.children.get(&field).and_then(|index| index.get(parent)).map_or(0, Ids::len)
    }

    /// Puts a row in, in place of the one with its id.
    pub fn put(&mut self, object: &Object, row: Arc<Row>) {
        match self.rows.insert(row.id.clone(), row.clone()) {
            Some(old) => self.replace(object, &old, &row),
            None => self.index(object, &row, true),
        }
    }

    /// Takes a row out for good.
    pub fn remove(&mut self, object: &Object, id: &Id) {
        if let Some(row) = self.rows.remove(id) {
            self.index(object, &row, false);
        }
    }

    fn replace(&mut self, object: &Object, old: &Row, new: &Row) {
        if old.deleted_in.is_some() || new.deleted_in.is_some() {
            self.index(object, old, false);
            self.index(object, new, true);
            return;
        }
        for (&field, value) in &old.values {
            if new.values.get(&field) != Some(value) {
                self.index_value(object.field(field), field, value, &old.id, false);
            }
        }
        for (&field, value) in &new.values {
            if old.values.get(&field) != Some(value) {
                self.index_value(object.field(field), field, value, &new.id, true);
            }
        }
    }

    fn index(&mut self, object: &Object, row: &Row, add: bool) {
        if row.deleted_in.is_some() {
            return;
        }
        self.live = if add { self.live + 1 } else { self.live - 1 };
        for (&field, value) in &row.values {
            self.index_value(object.field(field), field, value, &row.id, add);
        }
    }

    fn index_value(&mut self, definition: &Field, field: FieldIndex, value: &Json, id: &Id, add: bool) {
        if definition.lookup_key || definition.unique {
            if let Some(key) = key_form(definition, value) {
                update(self.keys.entry(field).or_default(), key, id, add);
            }
        } else if definition.name != "OwnerId"
            && let (Kind::Reference(_), Some(parent)) = (&definition.kind, value.as_str().and_then(Id::parse))
        {
            update(self.children.entry(field).or_default(), parent, id, add);
        }
    }
}

fn update<K: std::hash::Hash + Eq>(index: &mut HashMap<K, Ids>, key: K, id: &Id, add: bool) {
    if add {
        index.entry(key).and_modify(|ids| ids.insert(id)).or_insert_with(|| Ids::One(id.clone()));
    } else if index.get_mut(&key).is_some_and(|ids| ids.remove(id)) {
        index.remove(&key);
    }
}
