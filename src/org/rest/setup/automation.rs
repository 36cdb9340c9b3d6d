//! What the org does by itself when records of an object are written.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::super::super::error::CallError;
use super::super::super::{Org, soql};
use super::{Asked, Row, VIEW_SETUP, flag, of_parent, text};
use crate::event::{ObjectName, RecordId};

/// One trigger, flow or rule that is active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Automation {
    pub object: ObjectName,
    pub name: String,
    /// When it runs, in the org's words, where it says so: `before insert`, `RecordAfterSave Update`.
    pub runs: Option<String>,
}

/// `AccountTrigger (before insert)`.
impl fmt::Display for Automation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.runs.iter().try_for_each(|runs| write!(f, " ({runs})"))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AutomationKind {
    Trigger,
    Flow,
    ValidationRule,
    DuplicateRule,
    AssignmentRule,
    /// Whether it is active is told for each rule alone: these may not be.
    WorkflowRule,
}

impl AutomationKind {
    /// As Setup calls it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Trigger => "Apex trigger",
            Self::Flow => "flow",
            Self::ValidationRule => "validation rule",
            Self::DuplicateRule => "duplicate rule",
            Self::AssignmentRule => "assignment rule",
            Self::WorkflowRule => "workflow rule",
        }
    }
}

impl fmt::Display for AutomationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

const TRIGGERS: &str = "the permission View Setup and Configuration, or Author Apex";

/// The objects that are asked about, by every name that a row may have for them.
#[derive(Default)]
struct Subjects {
    /// As the org spells them.
    names: Vec<String>,
    by_name: HashMap<String, ObjectName>,
}

impl Subjects {
    fn add(&mut self, name: &str, object: &ObjectName) {
        if self.by_name.insert(form(name), object.clone()).is_none() {
            self.names.push(name.to_owned());
        }
    }

    fn object(&self, name: &str) -> Option<ObjectName> {
        self.by_name.get(&form(name)).cloned()
    }

    fn list(&self) -> String {
        soql::list(self.names.iter().map(String::as_str))
    }
}

/// Names are compared without case; ids come with 15 or with 18 characters, and only the latter bear that.
fn form(name: &str) -> String {
    name.parse::<RecordId>().map_or_else(|_| name.to_owned(), String::from).to_ascii_lowercase()
}

impl Org {
    /// What is active on these objects, of each kind, with few requests however many objects there are. Each kind can be
    /// unknown alone.
    pub async fn automation(
        &self,
        objects: &[ObjectName],
    ) -> Result<BTreeMap<AutomationKind, Asked<Vec<Automation>>>, CallError> {
        let mut found = BTreeMap::new();
        if objects.is_empty() {
            return Ok(found);
        }
        let mut named = Subjects::default();
        objects.iter().for_each(|object| named.add(object.as_str(), object));
        let list = named.list();
        // Triggers and workflow rules know custom objects by their ids.
        let mut known = Subjects::default();
        objects.iter().for_each(|object| known.add(object.as_str(), object));
        for entity in self.entities(objects).await?.known().into_iter().flatten() {
            known.add(&entity.durable_id, &entity.name);
        }

        let soql = format!(
            "SELECT Name, TableEnumOrId, UsageBeforeInsert, UsageBeforeUpdate, UsageBeforeDelete, UsageAfterInsert, \
             UsageAfterUpdate, UsageAfterDelete FROM ApexTrigger WHERE Status = 'Active' AND TableEnumOrId IN {}",
            known.list()
        );
        let trigger = |row: &Row| automation(known.object(&text(row, "TableEnumOrId")?), row, "Name", events(row));
        found.insert(AutomationKind::Trigger, self.ask("tooling/query", &soql, TRIGGERS, trigger).await?);

        // Of all objects: not every org takes a condition on the object of a flow.
        let soql = "SELECT ApiName, TriggerType, RecordTriggerType, TriggerObjectOrEvent.QualifiedApiName \
                    FROM FlowDefinitionView WHERE IsActive = true";
        let flow = |row: &Row| {
            let object = named.object(of_parent(row, "TriggerObjectOrEvent", "QualifiedApiName")?);
            let runs = [text(row, "TriggerType"), text(row, "RecordTriggerType")];
            automation(object, row, "ApiName", joined(runs.into_iter().flatten(), " "))
        };
        found.insert(AutomationKind::Flow, self.ask("query", soql, VIEW_SETUP, flow).await?);

        let soql = format!(
            "SELECT ValidationName, EntityDefinition.QualifiedApiName FROM ValidationRule \
             WHERE Active = true AND EntityDefinition.QualifiedApiName IN {list}"
        );
        let rule = |row: &Row| {
            let object = named.object(of_parent(row, "EntityDefinition", "QualifiedApiName")?);
            automation(object, row, "ValidationName", None)
        };
        found.insert(AutomationKind::ValidationRule, self.ask("tooling/query", &soql, VIEW_SETUP, rule).await?);

        let of_object = |row: &Row, name| automation(named.object(&text(row, "SobjectType")?), row, name, None);
        let soql = format!(
            "SELECT DeveloperName, SobjectType FROM DuplicateRule WHERE IsActive = true AND SobjectType IN {list}"
        );
        let rule = |row: &Row| of_object(row, "DeveloperName");
        found.insert(AutomationKind::DuplicateRule, self.ask("query", &soql, VIEW_SETUP, rule).await?);

        let soql =
            format!("SELECT Name, SobjectType FROM AssignmentRule WHERE Active = true AND SobjectType IN {list}");
        let rule = |row: &Row| of_object(row, "Name");
        found.insert(AutomationKind::AssignmentRule, self.ask("query", &soql, VIEW_SETUP, rule).await?);

        let soql = format!("SELECT Name, TableEnumOrId FROM WorkflowRule WHERE TableEnumOrId IN {}", known.list());
        let rule = |row: &Row| automation(known.object(&text(row, "TableEnumOrId")?), row, "Name", None);
        found.insert(AutomationKind::WorkflowRule, self.ask("tooling/query", &soql, VIEW_SETUP, rule).await?);
        Ok(found)
    }

    async fn ask(
        &self,
        resource: &str,
        soql: &str,
        needs: &'static str,
        read: impl Fn(&Row) -> Option<Automation>,
    ) -> Result<Asked<Vec<Automation>>, CallError> {
        let rows = self.pages(resource, soql).await;
        Asked::of(rows.map(|rows| rows.iter().filter_map(read).collect()), needs)
    }
}

fn automation(object: Option<ObjectName>, row: &Row, name: &str, runs: Option<String>) -> Option<Automation> {
    Some(Automation { object: object?, name: text(row, name)?, runs })
}

/// `before insert, after update`
fn events(row: &Row) -> Option<String> {
    let all = ["Before", "After"].into_iter().flat_map(|when| ["Insert", "Update", "Delete"].map(|what| (when, what)));
    let set = all.filter(|(when, what)| flag(row, &format!("Usage{when}{what}")));
    joined(set.map(|(when, what)| format!("{when} {what}").to_lowercase()), ", ")
}

fn joined(words: impl Iterator<Item = String>, between: &str) -> Option<String> {
    let words: Vec<String> = words.collect();
    (!words.is_empty()).then(|| words.join(between))
}
