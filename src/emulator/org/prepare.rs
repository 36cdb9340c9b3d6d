//! A request's write against what the org holds before the transaction: names become fields, foreign keys become
//! ids, an upsert becomes a create or an update. What the caller may not write is refused here.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde_json::{Map, Value as Json};

use super::access::FieldLevel;
use super::check::{coerce, coerce_owned};
use super::error::SaveError;
use super::schema::{Field, FieldIndex, Object, ObjectIndex, ObjectKind, Reference};
use super::table::key_form;
use super::{Caller, Id, Org, Write};

/// `Null` clears a field.
pub type Values = BTreeMap<FieldIndex, Json>;

/// A write that is well-formed.
#[derive(Debug)]
pub enum Ready {
    Create { object: ObjectIndex, values: Values },
    Update { object: ObjectIndex, id: Id, values: Values },
    Delete { object: ObjectIndex, id: Id },
    Undelete { object: ObjectIndex, id: Id },
}

impl Ready {
    pub fn object(&self) -> ObjectIndex {
        match self {
            Self::Create { object, .. }
            | Self::Update { object, .. }
            | Self::Delete { object, .. }
            | Self::Undelete { object, .. } => *object,
        }
    }
}

impl Org {
    pub(super) fn prepare(&self, caller: &Caller, write: Write) -> Result<Ready, SaveError> {
        match write {
            Write::Create { object, fields } => {
                let values = self.values(caller, object, fields, false)?;
                self.may_write_fields(caller, object, &values, None)?;
                Ok(Ready::Create { object, values })
            }
            Write::Update { object, id, fields } => {
                let found = self.schema.object(object);
                if !id.has_prefix(&found.prefix) {
                    return Err(SaveError::wrong_type_of_id(&format!("{} ID", found.name), id.as_str()).on("Id"));
                }
                let values = self.values(caller, object, fields, true)?;
                self.may_write_fields(caller, object, &values, Some(&id))?;
                Ok(Ready::Update { object, id, values })
            }
            Write::Upsert { object, key, fields } => self.prepare_upsert(caller, object, key, fields),
            Write::Delete { id } => Ok(Ready::Delete { object: self.object_of(&id)?, id }),
            Write::Undelete { id } => Ok(Ready::Undelete { object: self.object_of(&id)?, id }),
        }
    }

    /// The value by which an upsert finds its record, as the key compares.
    pub fn key_of(&self, object: ObjectIndex, key: FieldIndex, fields: &Map<String, Json>) -> Option<String> {
        let field = self.schema.object(object).field(key);
        let value = match fields.get(&field.name) {
            Some(value) => value,
            None => fields.iter().find(|(given, _)| given.eq_ignore_ascii_case(&field.name))?.1,
        };
        key_form(field, &coerce(&self.schema, field, value).ok()?)
    }

    /// The same as the request has it.
    pub fn given_key(&self, object: ObjectIndex, key: FieldIndex, fields: &Map<String, Json>) -> Option<String> {
        let field = &self.schema.object(object).field(key).name;
        let (_, value) = fields.iter().find(|(given, _)| given.eq_ignore_ascii_case(field))?;
        Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }

    fn prepare_upsert(
        &self,
        caller: &Caller,
        object: ObjectIndex,
        key: FieldIndex,
        fields: Map<String, Json>,
    ) -> Result<Ready, SaveError> {
        let values = self.values(caller, object, fields, false)?;
        let found = self.schema.object(object);
        let field = found.field(key);
        let Some(value) = values.get(&key).and_then(|value| key_form(field, value)) else {
            return Err(SaveError::new("MISSING_ARGUMENT", format!("{} not specified", field.name)));
        };
        let mut ids = self.table(object).by_key(key, &value);
        match (ids.pop(), ids.is_empty()) {
            (None, _) => {
                self.may_write_fields(caller, object, &values, None)?;
                Ok(Ready::Create { object, values })
            }
            (Some(id), true) => {
                self.may_write_fields(caller, object, &values, Some(&id))?;
                Ok(Ready::Update { object, id, values })
            }
            (Some(id), false) => {
                ids.push(id);
                let list = ids.iter().map(Id::as_str).collect::<Vec<_>>().join(", ");
                let message = format!("{}: more than one record found for external id field: [{list}]", found.name);
                Err(SaveError::new("DUPLICATE_EXTERNAL_ID", message))
            }
        }
    }

    fn object_of(&self, id: &Id) -> Result<ObjectIndex, SaveError> {
        self.schema.of_id(id).map(|(index, _)| index).ok_or_else(SaveError::unknown_id)
    }

    /// `with_id`: the record may name its own id, as collections do.
    fn values(
        &self,
        caller: &Caller,
        object: ObjectIndex,
        fields: Map<String, Json>,
        with_id: bool,
    ) -> Result<Values, SaveError> {
        let found = self.schema.object(object);
        let mut values = Values::new();
        let mut parents = Vec::new();
        for (name, value) in fields {
            if name == "attributes" {
                continue;
            }
            if name.eq_ignore_ascii_case("id") && found.kind != ObjectKind::Event {
                if with_id {
                    continue;
                }
                return Err(SaveError::id_in_body());
            }
            let visible = |index: FieldIndex| caller.system || self.can_see_field(&caller.user, object, index);
            if let Some((index, field)) = found.find(&name).filter(|(index, _)| visible(*index)) {
                let value = coerce_owned(&self.schema, field, value).map_err(|error| error.within(&name))?;
                values.insert(index, value);
            } else if let Some((index, field)) = found.relationship(&name).filter(|(index, _)| visible(*index)) {
                let Some(to) = field.reference() else { return Err(SaveError::no_such_column(&name, &found.name)) };
                let parent =
                    self.foreign_key(caller, found, &name, (field, to), &value).map_err(|error| error.within(&name))?;
                parents.push((index, name, parent));
            } else {
                return Err(SaveError::no_such_column(&name, &found.name));
            }
        }
        for (index, name, parent) in parents {
            match values.entry(index) {
                Entry::Vacant(free) => drop(free.insert(parent)),
                Entry::Occupied(_) if parent.is_null() => {}
                Entry::Occupied(_) => return Err(SaveError::both_references(&name, &found.field(index).name)),
            }
        }
        Ok(values)
    }

    /// Fields that nobody writes, or not this caller, or not any more; `old`: the record that is updated.
    fn may_write_fields(
        &self,
        caller: &Caller,
        object: ObjectIndex,
        values: &Values,
        old: Option<&Id>,
    ) -> Result<(), SaveError> {
        let found = self.schema.object(object);
        let row = old.and_then(|id| self.table(object).get(id));
        let refused = |index: &FieldIndex| {
            let field = found.field(*index);
            let same = caller.unchanged_masters
                && field.reference().is_some_and(|to| to.master)
                && row.is_some_and(|row| row.values.get(index) == values.get(index));
            let fixed = if old.is_some() { !field.updateable() && !same } else { !field.writable() };
            fixed || (!caller.system && self.field_level(&caller.user, object, *index) < FieldLevel::Editable)
        };
        let names: Vec<String> =
            values.keys().filter(|index| refused(index)).map(|index| found.field(*index).name.clone()).collect();
        if names.is_empty() {
            return Ok(());
        }
        let message = format!(
            "Unable to create/update fields: {}. Please check the security settings of this field and verify that it is read/write for your profile or permission set.",
            names.join(", ")
        );
        Err(SaveError { fields: names, ..SaveError::new("INVALID_FIELD_FOR_INSERT_UPDATE", message) })
    }

    fn foreign_key(
        &self,
        caller: &Caller,
        object: &Object,
        name: &str,
        (field, to): (&Field, &Reference),
        value: &Json,
    ) -> Result<Json, SaveError> {
        let Some(parent) = value.as_object() else {
            return match value {
                Json::Null => Ok(Json::Null),
                other => Err(SaveError::wrong_json(name, other)),
            };
        };
        // Which object a polymorphic reference means is told by the type; the others have but one.
        let wanted = parent.get("attributes").and_then(|attributes| attributes.get("type")).and_then(Json::as_str);
        let target = match (wanted, to.objects.as_slice()) {
            (Some(wanted), objects) => {
                self.schema.find(wanted).map(|(index, _)| index).filter(|index| objects.contains(index))
            }
            (None, [only]) => Some(*only),
            (None, _) => None,
        };
        let Some(parent_index) = target else { return Err(SaveError::no_such_column(name, &object.name)) };
        let parent_object = self.schema.object(parent_index);
        let mut keys = parent.iter().filter(|(key, _)| *key != "attributes");
        let (Some((key, value)), None) = (keys.next(), keys.next()) else {
            return Err(SaveError::new("INVALID_FIELD", format!("{name} must have exactly one external id field")));
        };
        if key.eq_ignore_ascii_case("id") {
            return coerce(&self.schema, field, value).map_err(|error| error.within(key));
        }
        let Some((field, definition)) = parent_object.find(key).filter(|(_, field)| field.lookup_key) else {
            return Err(SaveError::no_such_column(key, &parent_object.name));
        };
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let coerced = coerce(&self.schema, definition, value).map_err(|error| error.within(key))?;
        let key = key_form(definition, &coerced).unwrap_or_default();
        let table = self.table(parent_index);
        let mut ids = table.by_key(field, &key);
        // What is not shared with the caller is as if it were not there.
        let seen = |id: &Id| table.get(id).is_some_and(|row| self.can_see_row(&caller.user, parent_index, row));
        ids.retain(|id| caller.system || seen(id));
        match (ids.pop(), ids.is_empty()) {
            (Some(id), true) => Ok(Json::String(id.as_str().to_owned())),
            (Some(_), false) => {
                Err(SaveError::new("INVALID_FIELD", format!("More than 1 record found for external id {shown}")))
            }
            (None, _) => {
                let message = format!(
                    "Foreign key external ID: {shown} not found for field {} in entity {}",
                    definition.name, parent_object.name
                );
                Err(SaveError::new("INVALID_FIELD", message))
            }
        }
    }
}
