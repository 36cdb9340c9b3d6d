//! Records that other pipelines write, named by a lookup of the source.

use crate::config::IfMissing;
use crate::event::{FieldName, FieldPath, ObjectName, RecordId, Value};
use crate::publish::{ByKey, Reference};
use crate::store::Parent;

/// A reference to a record that another pipeline writes, or one of several.
#[derive(Debug, Clone)]
pub(super) struct Parents {
    pub from: FieldPath,
    /// In the order of the config.
    pub written: Vec<Written>,
    /// `Account` for `AccountId`, `Parent__r` for `Parent__c`. None: the org has no name for it, and takes only an id.
    pub relationship: Option<String>,
    /// The field may name records of several objects, so a record that is named by its key must say of which it is.
    pub polymorphic: bool,
    /// The org locks the parent when it saves the child.
    pub locks: bool,
}

/// What one of the pipelines writes.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub target_object: ObjectName,
    pub source_object: ObjectName,
    /// What the ids of its source object begin with; none where that is not known.
    pub prefix: Option<String>,
    /// The key field of its target object, where its value is the record's id in the source: then a parent can be named
    /// without knowing its counterpart.
    pub id_key: Option<FieldName>,
}

impl Written {
    pub fn may_be_of(&self, record: RecordId) -> bool {
        self.prefix.as_ref().is_none_or(|prefix| record.as_str().starts_with(prefix.as_str()))
    }
}

impl Parents {
    /// The parents that a value may name, one for each pipeline; none where it is empty, no record id, or of an object that
    /// none of them reads.
    pub fn named_by(&self, value: &Value) -> Vec<Parent> {
        let Some(record) = value.as_text().and_then(|text| text.parse::<RecordId>().ok()) else { return Vec::new() };
        let parent = |written: &Written| Parent { target_object: written.target_object.clone(), record };
        self.written.iter().filter(|written| written.may_be_of(record)).map(parent).collect()
    }

    /// How the target is told of this parent.
    pub fn reference(&self, parent: Parent, link: Option<RecordId>, if_missing: IfMissing) -> Reference {
        let makes =
            |written: &&Written| written.target_object == parent.target_object && written.may_be_of(parent.record);
        let written = self.written.iter().find(makes);
        let key = written.and_then(|written| written.id_key.clone()).zip(self.relationship.clone());
        let by_key = key.map(|(key, relationship)| ByKey { relationship, key, typed: self.polymorphic });
        Reference { parent, by_key, link, if_missing }
    }
}

/// The prefixes of standard objects; those of custom objects differ from org to org (facts: rest.md, ids), and only a
/// describe tells them.
pub(super) fn standard_prefix(object: &ObjectName) -> Option<&'static str> {
    Some(match object.as_str() {
        "Account" => "001",
        "Contact" => "003",
        "User" => "005",
        "Opportunity" => "006",
        "Lead" => "00Q",
        "Case" => "500",
        "Task" => "00T",
        "Event" => "00U",
        "Group" => "00G",
        "Campaign" => "701",
        "CampaignMember" => "00v",
        "OpportunityLineItem" => "00k",
        "Product2" => "01t",
        "Pricebook2" => "01s",
        "PricebookEntry" => "01u",
        "Asset" => "02i",
        "Contract" => "800",
        "Order" => "801",
        "OrderItem" => "802",
        "ServiceContract" => "810",
        _ => return None,
    })
}
