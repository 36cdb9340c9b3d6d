//! What a user may see and do: object permissions, field-level security, sharing.
//!
//! Records that are not shared with a user are as if they were not there; fields that are hidden are in no describe.

use std::collections::HashMap;

use super::schema::{FieldIndex, ObjectIndex, Sharing};
use super::table::Row;
use super::{Id, Org};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    pub view_all_data: bool,
    pub modify_all_data: bool,
    /// May look at what is set up: channels, permissions, automation.
    pub view_setup: bool,
    /// Bulk jobs of this user may delete records for good; nobody may unless told so.
    pub bulk_hard_delete: bool,
    /// `None`: every object.
    pub objects: Option<HashMap<ObjectIndex, ObjectAccess>>,
    pub fields: HashMap<(ObjectIndex, FieldIndex), FieldLevel>,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            view_all_data: true,
            modify_all_data: true,
            view_setup: true,
            bulk_hard_delete: false,
            objects: None,
            fields: HashMap::new(),
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ObjectAccess {
    pub create: bool,
    pub read: bool,
    pub edit: bool,
    pub delete: bool,
    pub view_all: bool,
    pub modify_all: bool,
}

impl ObjectAccess {
    pub const ALL: Self = Self { create: true, read: true, edit: true, delete: true, view_all: true, modify_all: true };
}

/// Field-level security, from the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FieldLevel {
    Hidden,
    ReadOnly,
    Editable,
}

impl Org {
    /// What a user may do with an object; somebody who is not known may do nothing.
    pub fn object_access(&self, user: &Id, object: ObjectIndex) -> ObjectAccess {
        let Some(user) = self.user(user) else { return ObjectAccess::default() };
        match &user.access.objects {
            None => ObjectAccess {
                view_all: user.access.view_all_data || user.access.modify_all_data,
                modify_all: user.access.modify_all_data,
                ..ObjectAccess::ALL
            },
            Some(objects) => match objects.get(&object) {
                Some(access) => ObjectAccess {
                    view_all: access.view_all || access.modify_all || user.access.view_all_data,
                    modify_all: access.modify_all || user.access.modify_all_data,
                    ..*access
                },
                // Everybody sees who the users are and what record types there are.
                None if self.schema.object(object).kind == super::ObjectKind::Setup => {
                    ObjectAccess { read: true, ..ObjectAccess::default() }
                }
                None => ObjectAccess::default(),
            },
        }
    }

    pub fn field_level(&self, user: &Id, object: ObjectIndex, field: FieldIndex) -> FieldLevel {
        let levels = self.user(user).map(|user| &user.access.fields).filter(|levels| !levels.is_empty());
        let level = levels.and_then(|levels| levels.get(&(object, field)));
        level.copied().unwrap_or(FieldLevel::Editable)
    }

    pub fn can_see_object(&self, user: &Id, object: ObjectIndex) -> bool {
        self.object_access(user, object).read
    }

    pub fn can_see_field(&self, user: &Id, object: ObjectIndex, field: FieldIndex) -> bool {
        self.field_level(user, object, field) > FieldLevel::Hidden
    }

    pub fn can_see_row(&self, user: &Id, object: ObjectIndex, row: &Row) -> bool {
        let definition = self.schema.object(object);
        definition.sharing != Sharing::Private
            || self.object_access(user, object).view_all
            || definition.owner().is_none_or(|owner| row.reference(owner).as_ref() == Some(user))
    }

    /// Whether sharing lets a user change a record.
    pub fn can_edit_row(&self, user: &Id, object: ObjectIndex, row: &Row) -> bool {
        let definition = self.schema.object(object);
        definition.sharing == Sharing::PublicReadWrite
            || self.object_access(user, object).modify_all
            || definition.owner().is_none_or(|owner| row.reference(owner).as_ref() == Some(user))
    }

    /// Sets one field's security for a user; `Editable` takes the entry out.
    pub fn set_field_level(&mut self, user: &Id, object: ObjectIndex, field: FieldIndex, level: FieldLevel) {
        let Some(user) = self.users.iter_mut().find(|known| known.id == *user) else { return };
        if level == FieldLevel::Editable {
            user.access.fields.remove(&(object, field));
        } else {
            user.access.fields.insert((object, field), level);
        }
    }

    /// Sets what a user may do with one object; what he may do with others stays.
    pub fn set_object_access(&mut self, user: &Id, object: ObjectIndex, access: ObjectAccess) {
        let all = self.schema.objects().map(|(index, _)| (index, self.object_access(user, index))).collect();
        let Some(user) = self.users.iter_mut().find(|known| known.id == *user) else { return };
        user.access.objects.get_or_insert(all).insert(object, access);
    }
}
