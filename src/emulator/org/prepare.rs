//! A request's write against what the org holds before the transaction: names become fields, foreign keys become
//! ids, an upsert becomes a create or an update.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::check::coerce;
use super::error::SaveError;
use super::schema::{FieldIndex, Kind, Object, ObjectIndex};
use super::{Id, Org, Write};

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

impl Org {
    pub(super) fn prepare(&self, write: &Write) -> Result<Ready, SaveError> {
        match write {
            Write::Create { object, fields } => {
                Ok(Ready::Create { object: *object, values: self.values(*object, fields, false)? })
            }
            Write::Update { object, id, fields } => {
                let found = self.schema.object(*object);
                if !id.has_prefix(&found.prefix) {
                    return Err(SaveError::wrong_type_of_id(&format!("{} ID", found.name), id.as_str()).on("Id"));
                }
                Ok(Ready::Update { object: *object, id: id.clone(), values: self.values(*object, fields, true)? })
            }
            Write::Upsert { object, key, fields } => self.prepare_upsert(*object, *key, fields),
            Write::Delete { id } => Ok(Ready::Delete { object: self.object_of(id)?, id: id.clone() }),
            Write::Undelete { id } => Ok(Ready::Undelete { object: self.object_of(id)?, id: id.clone() }),
        }
    }

    /// The text by which an upsert finds its record.
    pub(super) fn key_of(&self, write: &Write) -> Option<String> {
        let Write::Upsert { object, key, fields } = write else { return None };
        let name = &self.schema.object(*object).field(*key).name;
        let (_, value) = fields.iter().find(|(given, _)| given.eq_ignore_ascii_case(name))?;
        value.as_str().map(|text| text.trim().to_owned())
    }

    fn prepare_upsert(
        &self,
        object: ObjectIndex,
        key: FieldIndex,
        fields: &Map<String, Json>,
    ) -> Result<Ready, SaveError> {
        let values = self.values(object, fields, false)?;
        let found = self.schema.object(object);
        let field = found.field(key);
        let Some(value) = values.get(&key).and_then(Json::as_str) else {
            return Err(SaveError::new("MISSING_ARGUMENT", format!("{} not specified", field.name)));
        };
        let mut ids = self.table(object).by_key(key, value);
        match (ids.pop(), ids.is_empty()) {
            (None, _) => Ok(Ready::Create { object, values }),
            (Some(id), true) => Ok(Ready::Update { object, id, values }),
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
    fn values(&self, object: ObjectIndex, fields: &Map<String, Json>, with_id: bool) -> Result<Values, SaveError> {
        let found = self.schema.object(object);
        let mut values = Values::new();
        for (name, value) in fields {
            if name == "attributes" {
                continue;
            }
            if name.eq_ignore_ascii_case("id") {
                if with_id {
                    continue;
                }
                return Err(SaveError::id_in_body());
            }
            if let Some((index, field)) = found.find(name) {
                values.insert(index, coerce(found, field, value)?);
            } else if let Some((index, field)) = found.relationship(name) {
                let Kind::Reference(to, _) = &field.kind else { continue };
                values.insert(index, self.foreign_key(found, name, to, value)?);
            } else {
                return Err(SaveError::no_such_column(name, &found.name));
            }
        }
        Ok(values)
    }

    fn foreign_key(&self, object: &Object, name: &str, to: &str, value: &Json) -> Result<Json, SaveError> {
        let Some(parent) = value.as_object() else {
            return match value {
                Json::Null => Ok(Json::Null),
                other => Err(SaveError::wrong_json(to, "VALUE_STRING", &other.to_string())),
            };
        };
        let mut keys = parent.iter().filter(|(key, _)| *key != "attributes");
        let (Some((key, value)), None) = (keys.next(), keys.next()) else {
            return Err(SaveError::new("INVALID_FIELD", format!("{name} must have exactly one external id field")));
        };
        let Some((parent_index, parent_object)) = self.schema.find(to) else {
            return Err(SaveError::no_such_column(name, &object.name));
        };
        let Some((field, definition)) = parent_object.find(key).filter(|(_, field)| field.lookup_key) else {
            return Err(SaveError::no_such_column(key, to));
        };
        let Some(text) = value.as_str() else {
            return Err(SaveError::wrong_json("string", "VALUE_NUMBER_INT", &value.to_string()));
        };
        let mut ids = self.table(parent_index).by_key(field, text.trim());
        match (ids.pop(), ids.is_empty()) {
            (Some(id), true) => Ok(Json::String(id.as_str().to_owned())),
            (Some(_), false) => {
                Err(SaveError::new("INVALID_FIELD", format!("More than 1 record found for external id {text}")))
            }
            (None, _) => {
                let message = format!(
                    "Foreign key external ID: {text} not found for field {} in entity {}",
                    definition.name, parent_object.name
                );
                Err(SaveError::new("INVALID_FIELD", message))
            }
        }
    }
}
