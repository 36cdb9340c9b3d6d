//! One field: what it holds and what may be done with it.

use serde::{Deserialize, Serialize};

use crate::event::{FieldName, ObjectName};
use crate::text::closest;

/// A field as the user sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldDescribe {
    pub name: FieldName,
    pub label: String,
    pub kind: FieldKind,
    /// The most characters; none where that says nothing.
    pub length: Option<u32>,
    pub custom: bool,
    /// The user may give it to new records.
    pub createable: bool,
    /// The user may change it.
    pub updateable: bool,
    pub nillable: bool,
    /// A new record without it gets a value from the org.
    pub default_on_create: bool,
    /// The org computes it: it cannot be written, and a change of it sends no event.
    pub computed: Option<Computed>,
    pub external_id: bool,
    pub unique: bool,
    pub case_sensitive: bool,
    /// Usable as the key of an upsert, and to name a parent.
    pub id_lookup: bool,
    /// Queries can filter by it.
    pub filterable: bool,
    /// The compound field that it is a part of.
    pub compound: Option<FieldName>,
    /// The field that decides which of its values may be chosen. The API does not insist on it.
    pub controller: Option<FieldName>,
    /// Under Shield Platform Encryption.
    pub encrypted: bool,
    /// The name by which people know a record.
    pub name_field: bool,
    /// It has field-level security; without, all who see the object see it.
    pub permissionable: bool,
    /// A parent that a record names in it cannot be deleted.
    pub restricted_delete: bool,
    pub deprecated: bool,
}

/// Who computes a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Computed {
    Formula,
    RollUp,
}

/// What a field holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldKind {
    Id,
    Text,
    TextArea,
    /// Text with markup.
    RichText,
    /// Digits in all, and behind the point.
    Number {
        precision: u32,
        scale: u32,
    },
    Currency {
        precision: u32,
        scale: u32,
    },
    Percent {
        precision: u32,
        scale: u32,
    },
    Integer {
        digits: u32,
    },
    Boolean,
    Date,
    DateTime,
    Time,
    Picklist(Picklist),
    MultiPicklist(Picklist),
    /// A picklist into which anything can be written.
    ComboBox(Picklist),
    Reference(Reference),
    Email,
    Phone,
    Url,
    /// A compound of parts that are fields of their own, like the next two.
    Address,
    Location,
    PersonName,
    /// Masked for users without View Encrypted Data: it must not be copied.
    Encrypted,
    /// Bytes.
    Base64,
    /// Text that the org makes.
    AutoNumber,
    /// The value may be of several kinds.
    Any,
    /// A `type` that this release does not know.
    Other(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Picklist {
    pub values: Vec<PicklistValue>,
    /// The org takes no others, and no inactive ones.
    pub restricted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PicklistValue {
    /// What the API works with.
    pub value: String,
    /// What people see.
    pub label: String,
    pub active: bool,
    pub default: bool,
    /// Of a dependent picklist, bit by bit, the highest first: with which values of the controlling field it goes.
    pub valid_for: Option<Vec<u8>>,
}

impl PicklistValue {
    /// Whether it goes with the controlling field's value at `place`; none where the org does not say.
    pub fn goes_with(&self, place: usize) -> Option<bool> {
        let bits = self.valid_for.as_ref()?;
        Some(bits.get(place / 8).is_some_and(|byte| byte & (0x80 >> (place % 8)) != 0))
    }
}

/// A lookup or a master-detail.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reference {
    pub targets: Vec<ObjectName>,
    /// `Account` of `AccountId`. Without one the parent cannot be named by an external id.
    pub relationship_name: Option<String>,
    pub polymorphic: bool,
    /// Which of the object's masters it is; none: a lookup.
    pub master: Option<u32>,
    /// Of a master-detail: reading the parent is enough to write the child.
    pub write_requires_master_read: bool,
}

impl Picklist {
    pub fn value(&self, value: &str) -> Option<&PicklistValue> {
        self.values.iter().find(|known| known.value == value)
    }

    /// Whether the org takes it, as far as the describe tells: which values a record type has is not in it.
    pub fn takes(&self, value: &str) -> bool {
        !self.restricted || self.value(value).is_some_and(|known| known.active)
    }

    /// The value that somebody who wrote this one, or a label, may have meant.
    pub fn closest(&self, value: &str) -> Option<&str> {
        let labelled = self.values.iter().find(|known| known.label == value).map(|known| known.value.as_str());
        let active = self.values.iter().filter(|known| known.active).map(|known| known.value.as_str());
        labelled.or_else(|| closest(value, active))
    }
}

impl Reference {
    pub fn is_master_detail(&self) -> bool {
        self.master.is_some()
    }

    pub fn leads_to(&self, object: &str) -> bool {
        self.targets.iter().any(|target| target.as_str().eq_ignore_ascii_case(object))
    }
}

impl FieldKind {
    pub fn reference(&self) -> Option<&Reference> {
        match self {
            Self::Reference(reference) => Some(reference),
            _ => None,
        }
    }

    /// Of every kind of field with values to choose from.
    pub fn picklist(&self) -> Option<&Picklist> {
        match self {
            Self::Picklist(picklist) | Self::MultiPicklist(picklist) | Self::ComboBox(picklist) => Some(picklist),
            _ => None,
        }
    }

    /// Read as a whole, written by its parts.
    pub fn is_compound(&self) -> bool {
        matches!(self, Self::Address | Self::Location | Self::PersonName)
    }

    /// Digits before the point, and behind it; none where the org does not say how many.
    pub fn digits(&self) -> Option<(u32, u32)> {
        let (all, scale) = match *self {
            Self::Number { precision, scale }
            | Self::Currency { precision, scale }
            | Self::Percent { precision, scale } => (precision, scale),
            Self::Integer { digits } => (digits, 0),
            _ => return None,
        };
        (all > 0).then(|| (all.saturating_sub(scale), scale))
    }
}

impl FieldDescribe {
    pub fn is_required_on_create(&self) -> bool {
        self.createable && !self.nillable && !self.default_on_create
    }

    pub fn is_master_detail(&self) -> bool {
        self.kind.reference().is_some_and(Reference::is_master_detail)
    }

    /// A custom field keeps no two equal values: an upsert by it finds one record at most.
    pub fn is_unique_key(&self) -> bool {
        self.id_lookup && (self.unique || matches!(self.kind, FieldKind::Id))
    }
}
