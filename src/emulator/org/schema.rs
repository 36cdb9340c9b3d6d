//! The objects of an org and their fields.
//!
//! Names in requests are case-insensitive; answers use the canonical case. Fields are known by their index in
//! [`Object::fields`], so that a row is a small map of what is not null.

mod field;
mod object;

use std::collections::HashMap;

pub use field::{
    ADDRESS_PARTS, Field, Formula, Kind, LOCATION_PARTS, NumberKind, Picklist, Reference, RollUp, Summary, System,
};
pub use object::{Child, Object, ObjectKind, Sharing};

/// Index into [`Schema::objects`].
pub type ObjectIndex = usize;
/// Index into [`Object::fields`].
pub type FieldIndex = usize;

#[derive(Debug, Clone, Default)]
pub struct Schema {
    objects: Vec<Object>,
    by_name: HashMap<String, ObjectIndex>,
    by_prefix: HashMap<String, ObjectIndex>,
}

impl Schema {
    /// Objects whose references lead to one another.
    ///
    /// # Errors
    /// Names or prefixes that stand twice, and references to objects that are not there.
    pub fn new(mut objects: Vec<Object>) -> Result<Self, String> {
        let mut schema = Self::default();
        for (index, object) in objects.iter().enumerate() {
            if schema.by_name.insert(object.name.to_ascii_lowercase(), index).is_some() {
                return Err(format!("object {}: there is another one with this name", object.name));
            }
            if !object.prefix.is_empty() && schema.by_prefix.insert(object.prefix.clone(), index).is_some() {
                return Err(format!("object {}: another object has the prefix {}", object.name, object.prefix));
            }
        }
        let mut children: Vec<(ObjectIndex, Child)> = Vec::new();
        for (child, object) in objects.iter_mut().enumerate() {
            let name = object.name.clone();
            for (field, definition) in object.fields_mut() {
                let field_name = definition.name.clone();
                let found = schema.resolve(child, field, definition);
                children.extend(found.map_err(|to| format!("{name}.{field_name}: there is no object {to}"))?);
            }
        }
        for (parent, child) in children {
            if let Some(object) = objects.get_mut(parent) {
                object.children.push(child);
            }
        }
        schema.objects = objects;
        Ok(schema)
    }

    /// Finds the objects that a field refers to, and what the field is to each; the error is an object's name.
    fn resolve(
        &self,
        object: ObjectIndex,
        field: FieldIndex,
        definition: &mut Field,
    ) -> Result<Vec<(ObjectIndex, Child)>, String> {
        let mut children = Vec::new();
        let Some(reference) = definition.reference_mut() else { return Ok(children) };
        for to in &reference.to {
            let parent = *self.by_name.get(&to.to_ascii_lowercase()).ok_or_else(|| to.clone())?;
            reference.objects.push(parent);
            let (relationship, cascades) = (reference.children.clone(), reference.cascades);
            children.push((parent, Child { object, field, relationship, cascades }));
        }
        Ok(children)
    }

    /// Adds a field to an object; `place`: as for [`Object::add`].
    ///
    /// # Errors
    /// A name that is there already, or an object that is not there.
    pub(super) fn add_field(&mut self, object: ObjectIndex, mut field: Field, place: usize) -> Result<(), String> {
        let index = self.object(object).fields().count();
        let found = self.resolve(object, index, &mut field);
        let children = found.map_err(|to| format!("{}: there is no object {to}", field.name))?;
        let Some(own) = self.objects.get_mut(object) else { return Err("there is no such object".into()) };
        own.add(field, place)?;
        for (parent, child) in children {
            if let Some(parent) = self.objects.get_mut(parent) {
                parent.children.push(child);
            }
        }
        Ok(())
    }

    /// Puts a field in the place of the one that it replaces.
    pub(super) fn replace_field(&mut self, object: ObjectIndex, index: FieldIndex, field: Field) {
        if let Some(own) = self.objects.get_mut(object).and_then(|object| object.field_mut(index)) {
            *own = field;
        }
    }

    pub fn objects(&self) -> impl Iterator<Item = (ObjectIndex, &Object)> {
        self.objects.iter().enumerate()
    }

    pub fn len(&self) -> usize {
        self.objects.len()
    }

    pub fn find(&self, name: &str) -> Option<(ObjectIndex, &Object)> {
        let index = *self.by_name.get(&name.to_ascii_lowercase())?;
        Some((index, self.object(index)))
    }

    /// The object that ids with this prefix belong to.
    pub fn of_id(&self, id: &super::Id) -> Option<(ObjectIndex, &Object)> {
        let index = *self.by_prefix.get(id.as_str().get(..3)?)?;
        Some((index, self.object(index)))
    }

    /// The object behind an event entity: `AccountChangeEvent`, `Invoice__ChangeEvent`, `Order_Shipped__e`.
    pub fn entity(&self, name: &str) -> Option<(ObjectIndex, &Object)> {
        let object = match name.strip_suffix("ChangeEvent") {
            Some(custom) if custom.ends_with("__") => format!("{custom}c"),
            Some(standard) => standard.to_owned(),
            None if name.ends_with("__e") => name.to_owned(),
            None => return None,
        };
        self.find(&object)
    }

    /// Whether changes of an object's records become events.
    pub(super) fn select_for_change_events(&mut self, index: ObjectIndex, selected: bool) {
        if let Some(object) = self.objects.get_mut(index) {
            object.change_events = selected;
        }
    }

    /// # Panics
    /// Never for an index that this schema gave out: objects are only ever added.
    pub fn object(&self, index: ObjectIndex) -> &Object {
        &self.objects[index]
    }
}
