//! One object: its fields by name, its relationships in both directions, and what may be done with it.

use std::collections::HashMap;

use super::field::{Field, Kind, Reference, System};
use super::{FieldIndex, ObjectIndex};

#[derive(Debug, Clone)]
pub struct Object {
    pub name: String,
    pub label: String,
    pub label_plural: String,
    /// The first three characters of its record ids.
    pub prefix: String,
    pub kind: ObjectKind,
    pub sharing: Sharing,
    /// Selected for Change Data Capture.
    pub change_events: bool,
    /// Records of it can be merged.
    pub mergeable: bool,
    /// References to it, in the order of the objects.
    pub children: Vec<Child>,
    fields: Vec<Field>,
    in_events: Vec<FieldIndex>,
    by_name: HashMap<String, FieldIndex>,
    by_relationship: HashMap<String, FieldIndex>,
    owner: Option<FieldIndex>,
    record_type: Option<FieldIndex>,
    converted: Option<FieldIndex>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKind {
    Record,
    /// Users, queues, record types: not to be mixed with other records in one request.
    Setup,
    /// A platform event: published, never kept as a record.
    Event,
}

/// What users may do with the records of others, unless a permission says more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sharing {
    PublicReadWrite,
    PublicRead,
    Private,
}

/// A reference from another object, seen from its parent.
#[derive(Debug, Clone)]
pub struct Child {
    pub object: ObjectIndex,
    pub field: FieldIndex,
    /// `Contacts`; without a name there is no subquery over it.
    pub relationship: Option<String>,
    pub cascades: bool,
}

impl Object {
    /// An object with the fields that every object has, and these.
    ///
    /// # Errors
    /// A field name that stands twice.
    pub fn new(name: &str, prefix: &str, kind: ObjectKind, fields: Vec<Field>) -> Result<Self, String> {
        let mut all = match kind {
            ObjectKind::Event => vec![
                Field { read_only: true, ..Field::new("ReplayId", "Replay ID", Kind::Text(255)) },
                Field { read_only: true, ..Field::new("EventUuid", "Event UUID", Kind::Text(36)) },
                Field::system("CreatedDate", "Created Date", System::CreatedDate),
                Field::system("CreatedById", "Created By ID", System::CreatedById),
            ],
            ObjectKind::Record | ObjectKind::Setup => vec![
                Field::system("Id", &format!("{name} ID"), System::Id),
                Field::system("IsDeleted", "Deleted", System::IsDeleted),
                Field::system("CreatedDate", "Created Date", System::CreatedDate),
                Field::system("CreatedById", "Created By ID", System::CreatedById),
                Field::system("LastModifiedDate", "Last Modified Date", System::LastModifiedDate),
                Field::system("LastModifiedById", "Last Modified By ID", System::LastModifiedById),
                Field::system("SystemModstamp", "System Modstamp", System::Modstamp),
            ],
        };
        all.extend(fields);
        let mut object = Self {
            owner: None,
            record_type: None,
            converted: None,
            name: name.into(),
            label: name.into(),
            label_plural: format!("{name}s"),
            prefix: prefix.into(),
            kind,
            sharing: Sharing::PublicReadWrite,
            change_events: false,
            mergeable: false,
            children: Vec::new(),
            fields: Vec::with_capacity(all.len()),
            in_events: Vec::with_capacity(all.len()),
            by_name: HashMap::new(),
            by_relationship: HashMap::new(),
        };
        for field in all {
            let place = object.in_events.len();
            object.add(field, place)?;
        }
        let special = |name: &str| object.by_name.get(name).copied();
        (object.owner, object.record_type, object.converted) =
            (special("OwnerId"), special("RecordTypeId"), special("IsConverted"));
        Ok(object)
    }

    /// Adds a field; `place`: among the fields as its events order them.
    ///
    /// # Errors
    /// A name that is there already.
    pub(super) fn add(&mut self, field: Field, place: usize) -> Result<FieldIndex, String> {
        let index = self.fields.len();
        let folded = field.name.to_ascii_lowercase();
        if self.by_name.contains_key(&folded) {
            return Err(format!("object {}: there are two fields {}", self.name, field.name));
        }
        self.by_name.insert(folded, index);
        self.by_name.insert(field.name.clone(), index);
        let relationship = match &field.kind {
            Kind::Reference(Reference { relationship, .. }) => relationship.as_deref(),
            Kind::System(System::CreatedById) => Some("CreatedBy"),
            Kind::System(System::LastModifiedById) => Some("LastModifiedBy"),
            _ => None,
        };
        if let Some(relationship) = relationship {
            self.by_relationship.insert(relationship.to_ascii_lowercase(), index);
        }
        self.in_events.insert(place.min(self.in_events.len()), index);
        self.fields.push(field);
        Ok(index)
    }

    pub fn fields(&self) -> impl Iterator<Item = (FieldIndex, &Field)> + Clone {
        self.fields.iter().enumerate()
    }

    /// The fields in the order of its events, which is not that of their coming.
    pub fn fields_of_events(&self) -> impl Iterator<Item = (FieldIndex, &Field)> {
        self.in_events.iter().map(|index| (*index, self.field(*index)))
    }

    pub(super) fn field_mut(&mut self, index: FieldIndex) -> Option<&mut Field> {
        self.fields.get_mut(index)
    }

    pub(super) fn fields_mut(&mut self) -> impl Iterator<Item = (FieldIndex, &mut Field)> {
        self.fields.iter_mut().enumerate()
    }

    pub fn find(&self, name: &str) -> Option<(FieldIndex, &Field)> {
        // Names mostly come in their canonical case, and mostly short: no allocation then.
        let index = match self.by_name.get(name) {
            Some(index) => *index,
            None => *self.by_name.get(&name.to_ascii_lowercase())?,
        };
        Some((index, self.field(index)))
    }

    /// The reference field behind a relationship name: `Account` is `AccountId`, `CreatedBy` is `CreatedById`.
    pub fn relationship(&self, name: &str) -> Option<(FieldIndex, &Field)> {
        let index = *self.by_relationship.get(&name.to_ascii_lowercase())?;
        Some((index, self.field(index)))
    }

    /// The children behind a relationship name: `Contacts`.
    pub fn child(&self, name: &str) -> Option<&Child> {
        self.children.iter().find(|child| child.relationship.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(name)))
    }

    /// # Panics
    /// Never for an index that this object gave out: fields are only ever added.
    pub fn field(&self, index: FieldIndex) -> &Field {
        &self.fields[index]
    }

    /// The field with an owner: a user or a queue.
    pub fn owner(&self) -> Option<FieldIndex> {
        self.owner
    }

    pub fn record_type(&self) -> Option<FieldIndex> {
        self.record_type
    }

    /// Says of a lead that it has become an account and a contact.
    pub fn converted(&self) -> Option<FieldIndex> {
        self.converted
    }

    pub fn custom(&self) -> bool {
        self.name.ends_with("__c") || self.name.ends_with("__e")
    }
}
