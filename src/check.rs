//! `orgbridge check` beyond the file: what the two orgs say of a config. `gather` asks them, the other modules judge and
//! know no socket.

mod action;
mod dependents;
mod feedback;
mod fields;
mod gather;
mod lookups;
mod money;
mod persons;
mod pipeline;
mod record_types;
mod rights;
#[cfg(test)]
mod testing;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::config::{Config, Severity};
use crate::event::{FieldName, ObjectName, OrgName, PipelineName, RecordId};
use crate::org::describe::{GlobalDescribe, ObjectDescribe};
use crate::org::setup::{
    Asked, Automation, AutomationKind, ObjectPermissions, PicklistValues, Queue, RecordType, Sharing,
    SystemPermissions, Users,
};
use crate::org::{ActionKind, Capture, Org, Signature};

/// One thing that a person should know, with its place in the config. Names objects and fields, never a value of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    pub place: Place,
    pub message: String,
    /// Setup's own labels, or a command.
    pub remedy: String,
}

/// Where in the config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Org(OrgName),
    /// A key of a pipeline, by its path: `["from", "channel"]`.
    Pipeline(PipelineName, Vec<String>),
}

/// What the orgs were asked.
#[derive(Debug, Default)]
struct Known {
    orgs: BTreeMap<OrgName, KnownOrg>,
}

/// What one org says.
#[derive(Debug)]
struct KnownOrg {
    all: Arc<GlobalDescribe>,
    objects: HashMap<ObjectName, Arc<ObjectDescribe>>,
    /// None: nothing is read of it.
    capture: Option<Asked<Capture>>,
    system: Asked<SystemPermissions>,
    permissions: Asked<BTreeMap<ObjectName, ObjectPermissions>>,
    /// Of the objects for which the org tells it.
    sharing: BTreeMap<ObjectName, Sharing>,
    /// What amounts are in, where no record says otherwise and the org tells it.
    currency: Option<String>,
    automation: BTreeMap<AutomationKind, Asked<Vec<Automation>>>,
    /// Of objects whose record types a pipeline names or translates.
    record_types: BTreeMap<ObjectName, Asked<Vec<RecordType>>>,
    /// By record type: of those that a pipeline gives to records in which it writes a value of its own to a picklist.
    picklists: HashMap<RecordId, Asked<PicklistValues>>,
    /// None, as below: no pipeline asks.
    queues: Option<Asked<Vec<Queue>>>,
    /// Those that the config names, by their user names.
    users: Option<Asked<Users>>,
    /// The flows and Apex methods that actions call; None: there is no such one, as the user sees it.
    called: HashMap<(ActionKind, FieldName), Asked<Option<Signature>>>,
}

/// Asks the orgs, and judges. Errors of an org are findings, too: what could not be asked is not judged.
pub async fn check(config: &Config, orgs: &BTreeMap<OrgName, Org>) -> Vec<Finding> {
    let (known, mut findings) = gather::gather(config, orgs).await;
    for pipeline in &config.pipelines {
        findings.extend(pipeline::judge(pipeline, config, &known));
    }
    for action in &config.actions {
        findings.extend(action::judge(action, &known));
    }
    findings
}

/// Collects what is found of one pipeline.
struct Findings<'c> {
    pipeline: &'c PipelineName,
    found: Vec<Finding>,
}

impl Findings<'_> {
    fn add(&mut self, severity: Severity, path: &[&str], message: String, remedy: impl Into<String>) {
        let path = path.iter().map(|key| (*key).to_owned()).collect();
        let place = Place::Pipeline(self.pipeline.clone(), path);
        self.found.push(Finding { severity, place, message, remedy: remedy.into() });
    }

    fn error(&mut self, path: &[&str], message: String, remedy: impl Into<String>) {
        self.add(Severity::Error, path, message, remedy);
    }

    fn warn(&mut self, path: &[&str], message: String, remedy: impl Into<String>) {
        self.add(Severity::Warning, path, message, remedy);
    }

    fn note(&mut self, path: &[&str], message: String, remedy: impl Into<String>) {
        self.add(Severity::Note, path, message, remedy);
    }
}
