//! What an org says of its objects and fields, as its user sees them; pure (facts: rest.md section 3).
//!
//! What the user may not see is not listed: a field that is missing here does not exist **or** is hidden.

mod field;
mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::field::{Computed, FieldDescribe, FieldKind, Picklist, PicklistValue, Reference};
use crate::event::{FieldName, ObjectName, RecordId};
use crate::text::closest;

/// One object, whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectDescribe {
    pub object: ObjectSummary,
    /// By name in lower case: the org does not tell `name` from `Name`.
    pub fields: BTreeMap<String, FieldDescribe>,
    pub record_types: Vec<RecordTypeInfo>,
    /// Lookups of other objects to this one.
    pub children: Vec<ChildRelationship>,
}

/// What the list of all objects says of each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectSummary {
    pub name: ObjectName,
    pub label: String,
    /// The first three characters of its record ids; objects that are no tables have none.
    pub key_prefix: Option<String>,
    pub custom: bool,
    pub custom_setting: bool,
    pub createable: bool,
    pub updateable: bool,
    pub deletable: bool,
    pub undeletable: bool,
    pub queryable: bool,
    pub retrieveable: bool,
    /// It has a log of deletions.
    pub replicateable: bool,
    pub mergeable: bool,
}

/// A record type, as far as the user may use it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordTypeInfo {
    pub id: RecordId,
    pub name: String,
    /// Absent in answers of old API versions.
    pub developer_name: Option<String>,
    pub active: bool,
    /// The user may give it to records.
    pub available: bool,
    /// What the user's new records get.
    pub default: bool,
    /// The one that stands for having none.
    pub master: bool,
}

/// A lookup of another object to this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildRelationship {
    pub object: ObjectName,
    pub field: FieldName,
    /// `Contacts`; without a name no query can follow it.
    pub name: Option<String>,
    /// Deleting the parent deletes the child: a master-detail, or a lookup that was set up so.
    pub cascade_delete: bool,
    /// A parent that has such a child cannot be deleted.
    pub restricted_delete: bool,
}

/// The objects that the user may see.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GlobalDescribe {
    /// By name in lower case.
    pub objects: BTreeMap<String, ObjectSummary>,
}

impl GlobalDescribe {
    pub fn object(&self, name: &str) -> Option<&ObjectSummary> {
        self.objects.get(&name.to_ascii_lowercase())
    }

    /// The object that somebody who wrote `name` may have meant.
    pub fn closest(&self, name: &str) -> Option<&ObjectName> {
        let known = closest(name, self.objects.values().map(|object| object.name.as_str()))?;
        self.object(known).map(|object| &object.name)
    }

    /// The org has several currencies: only then it has a table of them.
    pub fn is_multi_currency(&self) -> bool {
        self.object("CurrencyType").is_some()
    }
}

impl ObjectDescribe {
    pub fn name(&self) -> &ObjectName {
        &self.object.name
    }

    pub fn field(&self, name: &FieldName) -> Option<&FieldDescribe> {
        self.named(name.as_str())
    }

    /// As [`Self::field`], for what may be no name at all.
    pub fn named(&self, name: &str) -> Option<&FieldDescribe> {
        self.fields.get(&name.to_ascii_lowercase())
    }

    pub fn has(&self, field: &str) -> bool {
        self.named(field).is_some()
    }

    /// The field that somebody who wrote `name` may have meant.
    pub fn closest(&self, name: &str) -> Option<&FieldName> {
        let known = closest(name, self.fields.values().map(|field| field.name.as_str()))?;
        self.named(known).map(|field| &field.name)
    }

    /// The lookup behind a relationship's name: `AccountId` of `Account`.
    pub fn relationship(&self, name: &str) -> Option<&FieldDescribe> {
        let named = |field: &&FieldDescribe| {
            let reference = field.kind.reference();
            reference.and_then(|to| to.relationship_name.as_deref()).is_some_and(|own| own.eq_ignore_ascii_case(name))
        };
        self.fields.values().find(named)
    }

    /// What a new record cannot be without: the org gives it no value of its own.
    pub fn required_on_create(&self) -> impl Iterator<Item = &FieldDescribe> {
        self.fields.values().filter(|field| field.is_required_on_create())
    }

    /// The fields that make up a compound field, which alone can be written: `BillingCity` of `BillingAddress`.
    pub fn components_of(&self, compound: &FieldName) -> Vec<&FieldDescribe> {
        let same = |one: &str| one.eq_ignore_ascii_case(compound.as_str());
        // Where accounts can be persons, their name says of itself that it is a part of itself.
        let part = |field: &&FieldDescribe| {
            !same(field.name.as_str()) && field.compound.as_ref().is_some_and(|name| same(name.as_str()))
        };
        self.fields.values().filter(part).collect()
    }

    /// Fields that an upsert or a parent's reference can name a record by.
    pub fn keys(&self) -> impl Iterator<Item = &FieldDescribe> {
        self.fields.values().filter(|field| field.id_lookup)
    }

    /// Of accounts: they can be persons.
    pub fn is_person_account_enabled(&self) -> bool {
        self.has("IsPersonAccount")
    }

    /// Amounts have a currency of their own: the org has several.
    pub fn has_currency_code(&self) -> bool {
        self.has("CurrencyIsoCode")
    }

    pub fn record_type(&self, developer_name: &str) -> Option<&RecordTypeInfo> {
        let named = |info: &&RecordTypeInfo| {
            info.developer_name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(developer_name))
        };
        self.record_types.iter().find(named)
    }
}

#[cfg(test)]
pub(crate) fn listed(json: &serde_json::Value) -> GlobalDescribe {
    GlobalDescribe::read(json).unwrap()
}

/// As an org would answer it.
#[cfg(test)]
pub(crate) fn described(json: &serde_json::Value) -> ObjectDescribe {
    ObjectDescribe::read(json).unwrap()
}
