//! What the org does by itself, as rows.

use serde_json::{Value as Json, json};

use super::rows::{Made, durable_id};
use crate::org::rules::{On, Rules};
use crate::org::{ActionKind, Object, ObjectIndex, Org};

pub const TRIGGER: &[&str] = &[
    "Id",
    "Name",
    "TableEnumOrId",
    "EntityDefinitionId",
    "Status",
    "NamespacePrefix",
    "UsageBeforeInsert",
    "UsageBeforeUpdate",
    "UsageBeforeDelete",
    "UsageAfterInsert",
    "UsageAfterUpdate",
    "UsageAfterDelete",
];
pub const VALIDATION: &[&str] = &[
    "Id",
    "ValidationName",
    "Active",
    "ErrorMessage",
    "ErrorDisplayField",
    "NamespacePrefix",
    "EntityDefinitionId",
    "EntityDefinition.QualifiedApiName",
];
/// No org here has any.
pub const WORKFLOW: &[&str] = &["Id", "Name", "TableEnumOrId", "NamespacePrefix"];
pub const FLOW: &[&str] = &[
    "DurableId",
    "ApiName",
    "Label",
    "ProcessType",
    "TriggerType",
    "RecordTriggerType",
    "IsActive",
    "NamespacePrefix",
    "TriggerObjectOrEventId",
    "TriggerObjectOrEventLabel",
    "TriggerObjectOrEvent.QualifiedApiName",
];
pub const DUPLICATE: &[&str] = &["Id", "DeveloperName", "MasterLabel", "IsActive", "SobjectType"];
pub const ASSIGNMENT: &[&str] = &["Id", "Name", "Active", "SobjectType"];

/// Every object with its rules.
fn all(org: &Org) -> impl Iterator<Item = (ObjectIndex, &Object, &Rules)> {
    org.schema.objects().map(|(index, object)| (index, object, &**org.rules(index)))
}

pub fn triggers(org: &Org) -> Made<'_> {
    let triggers = all(org).flat_map(move |(index, object, rules)| {
        rules.triggers.iter().map(move |trigger| (durable_id(org, index, object), trigger))
    });
    Box::new(triggers.enumerate().map(|(place, (object, trigger))| {
        let On { create, update, delete } = trigger.on;
        json!({"Id": org.setup_id("01q", place).as_str(), "Name": trigger.name, "TableEnumOrId": object,
            "EntityDefinitionId": object, "Status": "Active", "UsageBeforeInsert": create, "UsageBeforeUpdate": update,
            "UsageBeforeDelete": delete, "UsageAfterInsert": false, "UsageAfterUpdate": false,
            "UsageAfterDelete": false})
    }))
}

pub fn validation_rules(org: &Org) -> Made<'_> {
    let rules =
        all(org).flat_map(|(index, object, rules)| rules.validations.iter().map(move |rule| (index, object, rule)));
    Box::new(rules.enumerate().map(|(place, (index, object, rule))| {
        let field = rule.field.map(|field| object.field(field).name.as_str());
        json!({"Id": org.setup_id("03d", place).as_str(), "ValidationName": rule.name, "Active": true,
            "ErrorMessage": rule.message, "ErrorDisplayField": field,
            "EntityDefinitionId": durable_id(org, index, object), "EntityDefinition.QualifiedApiName": object.name})
    }))
}

/// Flows of records, and those that somebody has to start.
pub fn flows(org: &Org) -> Made<'_> {
    let flow =
        |name: &str| json!({"ApiName": name, "Label": name, "ProcessType": "AutoLaunchedFlow", "IsActive": true});
    let of_records = all(org).flat_map(move |(index, object, rules)| {
        rules.flows.iter().map(move |one| {
            let mut row = flow(&one.name);
            let (kind, when) = match one.on {
                On { create: false, update: false, .. } => ("RecordBeforeDelete", "Delete"),
                On { update: false, .. } => ("RecordAfterSave", "Create"),
                On { create: false, .. } => ("RecordAfterSave", "Update"),
                On { .. } => ("RecordAfterSave", "CreateAndUpdate"),
            };
            let more = json!({"TriggerType": kind, "RecordTriggerType": when,
                "TriggerObjectOrEventId": durable_id(org, index, object), "TriggerObjectOrEventLabel": object.label,
                "TriggerObjectOrEvent.QualifiedApiName": object.name});
            if let (Some(row), Json::Object(more)) = (row.as_object_mut(), more) {
                row.extend(more);
            }
            row
        })
    });
    let started = org.actions.iter().filter(|action| action.kind == ActionKind::Flow);
    let all = of_records.chain(started.map(move |action| flow(&action.name)));
    Box::new(all.enumerate().map(|(place, mut row)| {
        if let Some(row) = row.as_object_mut() {
            row.insert("DurableId".into(), org.setup_id("300", place).as_str().into());
        }
        row
    }))
}

pub fn duplicate_rules(org: &Org) -> Made<'_> {
    let rules = all(org).flat_map(|(_, object, rules)| rules.duplicates.iter().map(move |rule| (object, rule)));
    Box::new(rules.enumerate().map(|(place, (object, rule))| {
        json!({"Id": org.setup_id("0Bm", place).as_str(), "DeveloperName": rule.name, "MasterLabel": rule.name,
            "IsActive": true, "SobjectType": object.name})
    }))
}

/// An object has one, with many entries.
pub fn assignment_rules(org: &Org) -> Made<'_> {
    let ruled = all(org).filter(|(.., rules)| !rules.assignments.is_empty());
    Box::new(ruled.enumerate().map(|(place, (_, object, _))| {
        json!({"Id": org.setup_id("01Q", place).as_str(), "Name": format!("{} Assignment", object.label),
            "Active": true, "SobjectType": object.name})
    }))
}
