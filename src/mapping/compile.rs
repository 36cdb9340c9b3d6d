//! A pipeline's rules, with every reference followed once, so that applying them cannot fail.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::lookup::{Replies, Search};
use super::parents::{Parents, Written, standard_prefix};
use super::rule::{Fill, Given, Rule, Writing};
use super::types::{Kind, Types};
use super::view::View;
use super::{Expression, person};
use crate::config::{
    self, Config, FieldRule, Flag, IfMissing, NoLongerMatching, OnDelete, PipelineConfig, Publishing, Truncate, WriteOn,
};
use crate::event::{ChangeKind, Field, FieldName, FieldPath, ObjectName, OrgName, Part, RecordId};
use crate::privacy::ObjectPrivacy;
use crate::publish::Cell;
use crate::store::Parent;

/// How the records of one pipeline are written. Made from a checked config.
#[derive(Debug, Clone)]
pub struct Mapping {
    source_org: OrgName,
    pub source_object: ObjectName,
    pub target_object: ObjectName,
    /// The External ID field of the target by which counterparts are found.
    pub key: FieldName,
    pub on_delete: OnDelete,
    /// What must be applied to whatever is read of the source object, before anything else sees it.
    pub privacy: ObjectPrivacy,
    pub publishing: Publishing,
    pub(super) when: Option<Expression>,
    pub when_no_longer_matching: NoLongerMatching,
    pub(super) flag: Option<Flag>,
    pub(super) rules: Vec<(FieldName, Rule)>,
    types: Arc<Types>,
    /// It reads what accounts have from their contacts.
    pub(super) persons: bool,
    /// Fields of the source in which the bridge itself tells how a record is doing.
    feedback: Vec<FieldName>,
}

impl Mapping {
    pub fn new(pipeline: &PipelineConfig, config: &Config) -> Self {
        let rules = pipeline
            .fields
            .iter()
            .filter_map(|(name, rule)| Some((name.clone(), compile(name, rule, pipeline, config)?)));
        let of_fields = pipeline.fields.iter().flat_map(|(_, rule)| rule.fill.reads());
        let mut reads = of_fields.chain(pipeline.when.iter().flat_map(Expression::reads));
        let persons = reads.any(|path| person::is_of_contact(&pipeline.from.object, path));
        Self {
            source_org: pipeline.from.org.clone(),
            source_object: pipeline.from.object.clone(),
            target_object: pipeline.to.object.clone(),
            key: pipeline.to.key.clone(),
            on_delete: pipeline.on_delete,
            // Only a config of a test names no org.
            privacy: config
                .orgs
                .get(&pipeline.from.org)
                .map(|org| org.privacy.of(&pipeline.from.object))
                .unwrap_or_default(),
            publishing: pipeline.publishing.clone(),
            when: pipeline.when.clone(),
            when_no_longer_matching: pipeline.when_no_longer_matching,
            flag: pipeline.flag.clone(),
            rules: rules.collect(),
            types: Arc::default(),
            persons,
            feedback: pipeline.feedback.fields().cloned().collect(),
        }
    }

    /// The same with what the describes say, which is looked up here, once, and not with each record.
    #[must_use]
    pub fn with_types(mut self, types: Arc<Types>) -> Self {
        for (name, rule) in &mut self.rules {
            let known = types.field(name);
            rule.takes = known.map_or(Kind::Other, |field| field.kind);
            if rule.truncate == Some(Truncate::Field) {
                rule.cut = known.and_then(|field| field.length);
            }
            if rule.asked_if_missing.is_none() {
                rule.if_missing = if_missing(&rule.fill, rule.write_on, known.map(|field| field.is_required_reference));
            }
            if let Fill::Parent(parents) = &mut rule.fill {
                parents.relationship =
                    known.map_or_else(|| Some(relationship(name)), |field| field.relationship.clone());
                parents.polymorphic =
                    known.map_or_else(|| is_polymorphic(name, parents.written.len()), |field| field.is_polymorphic);
                parents.locks =
                    known.is_none_or(|field| field.is_master_detail || locks_account(&self.target_object, name));
                for written in &mut parents.written {
                    let prefix =
                        types.prefix(&written.source_object).or_else(|| standard_prefix(&written.source_object));
                    written.prefix = prefix.map(str::to_owned);
                }
            }
        }
        if let Some(flag) = &mut self.flag
            && let Some(field) = types.field(&flag.field)
        {
            for value in [&mut flag.set, &mut flag.clear] {
                // What cannot be converted the org refuses, and `check` told of it.
                *value = field.kind.fit(value.clone()).unwrap_or_else(|_| value.clone());
            }
        }
        self.types = types;
        self
    }

    /// Whether a record of the source that is deleted may have been merged into another one, as `MasterRecordId` tells then.
    pub fn may_be_merged(&self) -> bool {
        is_one_of(self.source_object.as_str(), &["Account", "Contact", "Lead"])
    }

    /// What is known of the fields.
    pub fn types(&self) -> &Arc<Types> {
        &self.types
    }

    /// Some text is cut to what its field takes.
    pub fn follows_lengths(&self) -> bool {
        self.rules.iter().any(|(_, rule)| rule.truncate == Some(Truncate::Field))
    }

    /// The fields whose text is to be cut to what they take, which is not known.
    pub fn uncut(&self) -> impl Iterator<Item = &FieldName> {
        let uncut = |(_, rule): &&(FieldName, Rule)| rule.truncate == Some(Truncate::Field) && rule.cut.is_none();
        self.rules.iter().filter(uncut).map(|(name, _)| name)
    }

    /// The source fields that a read must ask for.
    pub fn reads(&self) -> Vec<FieldPath> {
        let filter = self.when.iter().flat_map(Expression::reads);
        let rules = self.rules.iter().flat_map(|(_, rule)| rule.reads());
        let mut paths: Vec<FieldPath> = filter.chain(rules).filter(|path| path.as_str() != "Id").cloned().collect();
        paths.sort();
        paths.dedup();
        paths
    }

    /// The source fields that name records which this other mapping writes.
    pub fn lookups_of(&self, parent: &Self) -> impl Iterator<Item = &FieldPath> {
        let same_org = self.source_org == parent.source_org;
        let written = move |written: &Written| {
            same_org && written.source_object == parent.source_object && written.target_object == parent.target_object
        };
        self.parents_read().filter(move |parents| parents.written.iter().any(written)).map(|parents| &parents.from)
    }

    /// Whether this mapping writes what the other one names as its parent.
    pub fn makes(&self, parent: &Parent, of: &Self) -> bool {
        let written = |written: &Written| {
            written.source_object == self.source_object
                && written.target_object == parent.target_object
                && written.may_be_of(parent.record)
        };
        self.source_org == of.source_org
            && self.target_object == parent.target_object
            && of.parents_read().any(|parents| parents.written.iter().any(written))
    }

    fn parents_read(&self) -> impl Iterator<Item = &Parents> {
        self.rules.iter().filter_map(|(_, rule)| match &rule.fill {
            Fill::Parent(parents) => Some(parents),
            Fill::Source(_) | Fill::Constant(_) | Fill::Table { .. } | Fill::Expression(_) | Fill::Search(_) => None,
        })
    }

    /// Some of its values are found by asking the orgs.
    pub fn searches(&self) -> bool {
        self.rules.iter().any(|(_, rule)| matches!(rule.fill, Fill::Search(_)))
    }

    /// The objects of the source that other pipelines bring over and this one names.
    pub fn parent_objects(&self) -> BTreeSet<&ObjectName> {
        self.parents_read().flat_map(|parents| &parents.written).map(|written| &written.source_object).collect()
    }

    /// The key value of a source record, where it follows from the record's id.
    pub fn key_of(&self, record: RecordId) -> Option<String> {
        self.key_in(&self.view(View::id(record)))
    }

    pub(super) fn key_in(&self, view: &View<'_>) -> Option<String> {
        self.key_cell(view)?.key_text()
    }

    pub(super) fn key_cell(&self, view: &View<'_>) -> Option<Cell> {
        let (_, rule) = self.rules.iter().find(|(name, _)| *name == self.key)?;
        match rule.give(&self.key, view, Writing::Create, &Replies::new()) {
            Given::Value(value) => Some(Cell::Value(value)),
            Given::Parents(_)
            | Given::Asks(_)
            | Given::Missing(_)
            | Given::Left(_)
            | Given::Unknown
            | Given::Failed(_) => None,
        }
    }

    /// Whether a change is no more than the bridge's own word on how the record is doing. It is no reason to try what failed
    /// once more, or each failure would be the cause of the next.
    pub fn is_feedback(&self, part: &Part) -> bool {
        const AUDIT: [&str; 3] = ["LastModifiedDate", "LastModifiedById", "SystemModstamp"];
        let own = |name: &String| {
            AUDIT.contains(&name.as_str())
                || self.feedback.iter().any(|field| field.as_str().eq_ignore_ascii_case(name))
        };
        let changed = || part.change.fields.iter().filter(|(_, field)| !matches!(field, Field::Same(_)));
        !self.feedback.is_empty() && part.kind() == ChangeKind::Update && changed().all(|(name, _)| own(name))
    }

    /// Whether a change touches what the key is filled from.
    pub fn changes_key(&self, part: &Part) -> bool {
        let view = View::partial(part);
        let key = self.rules.iter().find(|(name, _)| *name == self.key);
        part.kind() == ChangeKind::Update && key.is_some_and(|(_, rule)| rule.reads().any(|path| view.changed(path)))
    }

    /// Whether the field follows its source also after the record was created.
    pub fn is_lasting(&self, target: &FieldName) -> bool {
        self.rules.iter().any(|(name, rule)| name == target && rule.write_on != WriteOn::Create)
            || self.flag.as_ref().is_some_and(|flag| flag.field == *target)
    }

    /// Whether a record that has a counterpart is written in other fields than a new one.
    pub fn differs_with_a_counterpart(&self) -> bool {
        self.rules.iter().any(|(_, rule)| rule.write_on == WriteOn::Update)
    }

    /// The target fields whose value is a record of the target.
    pub fn lookup_fields(&self) -> impl Iterator<Item = &FieldName> {
        let is_lookup = |rule: &Rule| matches!(rule.fill, Fill::Parent(_) | Fill::Search(_));
        self.rules.iter().filter(move |(_, rule)| is_lookup(rule)).map(|(name, _)| name)
    }

    /// Whether a record can be written without its lookups to this object of the target.
    pub fn may_lack(&self, object: &ObjectName) -> bool {
        self.parent_fields(object).all(|field| self.types.is_required_reference(field) != Some(true))
    }

    /// The target fields by which it names records of this object of the target as their parent.
    pub fn parent_fields(&self, object: &ObjectName) -> impl Iterator<Item = &FieldName> {
        let names = move |rule: &Rule| match &rule.fill {
            Fill::Parent(parents) => parents.written.iter().any(|written| written.target_object == *object),
            Fill::Source(_) | Fill::Constant(_) | Fill::Table { .. } | Fill::Expression(_) | Fill::Search(_) => false,
        };
        self.rules.iter().filter(move |(_, rule)| names(rule)).map(|(name, _)| name)
    }

    /// The target fields that it writes, for showing and comparing.
    pub fn target_fields(&self) -> impl Iterator<Item = &FieldName> {
        self.rules.iter().map(|(name, _)| name).chain(self.flag.iter().map(|flag| &flag.field))
    }
}

/// A rule of an action. None: it asks an org, which a checked config does not have there.
pub(super) fn asking_nobody(rule: &FieldRule) -> Option<Rule> {
    let fill = match &rule.fill {
        config::Fill::Source(path) => Fill::Source(path.clone()),
        config::Fill::Constant(value) => Fill::Constant(value.clone()),
        config::Fill::Table { from, entries, default } => {
            Fill::Table { from: from.clone(), entries: entries.clone(), default: default.clone() }
        }
        config::Fill::Expression(expression) => Fill::Expression(expression.clone()),
        config::Fill::Parent { .. }
        | config::Fill::Find { .. }
        | config::Fill::RecordType(_)
        | config::Fill::RecordTypeOf { .. }
        | config::Fill::Owner(_)
        | config::Fill::OwnerOf { .. } => return None,
    };
    Some(finished(rule, fill))
}

fn compile(name: &FieldName, rule: &FieldRule, pipeline: &PipelineConfig, config: &Config) -> Option<Rule> {
    let fill = match &rule.fill {
        config::Fill::Find { .. }
        | config::Fill::RecordType(_)
        | config::Fill::RecordTypeOf { .. }
        | config::Fill::Owner(_)
        | config::Fill::OwnerOf { .. } => {
            let search = Search::new(&rule.fill, &pipeline.to.object, &pipeline.from.org, &pipeline.to.org)?;
            Fill::Search(Box::new(search))
        }
        config::Fill::Source(_)
        | config::Fill::Constant(_)
        | config::Fill::Table { .. }
        | config::Fill::Expression(_) => return asking_nobody(rule),
        config::Fill::Parent { pipelines, from } => {
            // A checked config names only pipelines that it has.
            let parents = pipelines.iter().filter_map(|name| config.pipelines.iter().find(|other| other.name == *name));
            let written = parents.map(|parent| Written {
                target_object: parent.to.object.clone(),
                source_object: parent.from.object.clone(),
                prefix: standard_prefix(&parent.from.object).map(str::to_owned),
                id_key: key_is_id(parent).then(|| parent.to.key.clone()),
            });
            Fill::Parent(Parents {
                from: from.clone(),
                written: written.collect(),
                relationship: Some(relationship(name)),
                polymorphic: is_polymorphic(name, pipelines.len()),
                locks: true,
            })
        }
    };
    Some(finished(rule, fill))
}

fn finished(rule: &FieldRule, fill: Fill) -> Rule {
    Rule {
        if_missing: rule.if_missing.unwrap_or_else(|| if_missing(&fill, rule.write_on, None)),
        asked_if_missing: rule.if_missing,
        fill,
        write_on: rule.write_on,
        on_null: rule.on_null.clone(),
        truncate: rule.truncate,
        cut: rule.truncate.and_then(Truncate::length),
        takes: Kind::Other,
    }
}

/// Standard fields that name records of several objects, for what was not described.
const POLYMORPHIC: &[&str] = &["OwnerId", "WhatId", "WhoId"];

fn is_polymorphic(field: &FieldName, pipelines: usize) -> bool {
    pipelines > 1 || POLYMORPHIC.contains(&field.as_str())
}

/// Lookups that lock like a master-detail (facts: rest.md section 14). Others do at times; the org's errors tell.
fn locks_account(object: &ObjectName, field: &FieldName) -> bool {
    is_one_of(object.as_str(), &["Contact", "Opportunity"]) && is_one_of(field.as_str(), &["AccountId"])
}

/// Names are the same to the orgs whatever their case, so a config may write them in any.
fn is_one_of(name: &str, names: &[&str]) -> bool {
    names.iter().any(|one| one.eq_ignore_ascii_case(name))
}

/// Where the config does not say. A record type or an owner that is not there is a mistake. What the record cannot be
/// without it waits for, and so does what nobody described, and what could not be written later.
fn if_missing(fill: &Fill, write_on: WriteOn, required: Option<bool>) -> IfMissing {
    match (fill, required) {
        (Fill::Search(search), _) if !search.is_record() => IfMissing::Fail,
        (_, Some(false)) if write_on != WriteOn::Create => IfMissing::FillLater,
        (_, Some(_) | None) => IfMissing::Wait,
    }
}

fn key_is_id(pipeline: &PipelineConfig) -> bool {
    pipeline.fields.iter().any(|(name, rule)| {
        *name == pipeline.to.key && matches!(&rule.fill, config::Fill::Source(path) if path.as_str() == "Id")
    })
}

/// The relationship name by the platform's naming rule, for what was not described.
fn relationship(field: &FieldName) -> String {
    let name = field.as_str();
    match (name.strip_suffix("__c"), name.strip_suffix("Id")) {
        (Some(custom), _) => format!("{custom}__r"),
        (None, Some(standard)) => standard.to_owned(),
        (None, None) => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_locked_whatever_the_case_of_the_names() {
        for (object, field, locks) in [
            ("Contact", "AccountId", true),
            ("contact", "accountid", true),
            ("OPPORTUNITY", "ACCOUNTID", true),
            ("Case", "AccountId", false),
            ("Contact", "ReportsToId", false),
        ] {
            assert_eq!(locks_account(&object.parse().unwrap(), &field.parse().unwrap()), locks, "{object}.{field}");
        }
    }
}
