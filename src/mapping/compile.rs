//! A pipeline's rules, with every reference followed once, so that applying them cannot fail.

use super::lookup::{Replies, Search};
use super::parents::{Parents, Written, standard_prefix};
use super::rule::{Fill, Given, Rule, Writing};
use super::view::View;
use super::{Expression, person};
use crate::config::{
    self, Config, FieldRule, Flag, IfMissing, NoLongerMatching, OnDelete, PipelineConfig, Publishing, WriteOn,
};
use crate::event::{ChangeKind, FieldName, FieldPath, ObjectName, Part, RecordId};
use crate::privacy::ObjectPrivacy;
use crate::publish::Cell;

/// How the records of one pipeline are written. Made from a checked config.
#[derive(Debug, Clone)]
pub struct Mapping {
    pub source_object: ObjectName,
    pub target_object: ObjectName,
    /// The External ID field of the target by which counterparts are found.
    pub key: FieldName,
    pub on_delete: OnDelete,
    /// What must be applied to whatever is read of the source object, before anything else sees it.
    pub privacy: ObjectPrivacy,
    pub publishing: Publishing,
    pub(super) when: Option<Expression>,
    pub(super) when_no_longer_matching: NoLongerMatching,
    pub(super) flag: Option<Flag>,
    pub(super) rules: Vec<(FieldName, Rule)>,
    /// It reads what accounts have from their contacts.
    pub(super) persons: bool,
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
            persons,
        }
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

    /// The source fields that name parents, with the target object that the parents' pipeline writes.
    pub fn lookups(&self) -> impl Iterator<Item = (&FieldPath, &ObjectName)> {
        let parents = self.rules.iter().filter_map(|(_, rule)| match &rule.fill {
            Fill::Parent(parents) => Some(parents),
            Fill::Source(_) | Fill::Constant(_) | Fill::Table { .. } | Fill::Expression(_) | Fill::Search(_) => None,
        });
        parents.flat_map(|parents| parents.written.iter().map(|written| (&parents.from, &written.target_object)))
    }

    /// The key value of a source record, where it follows from the record's id.
    pub fn key_of(&self, record: RecordId) -> Option<String> {
        self.key_in(&self.view(View::id(record)))
    }

    pub(super) fn key_in(&self, view: &View<'_>) -> Option<String> {
        let (_, rule) = self.rules.iter().find(|(name, _)| *name == self.key)?;
        match rule.give(&self.key, view, Writing::Create, &Replies::new()) {
            Given::Value(value) => Cell::Value(value).key_text(),
            Given::Parents(_)
            | Given::Asks(_)
            | Given::Missing(_)
            | Given::Left(_)
            | Given::Unknown
            | Given::Failed(_) => None,
        }
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

    /// The target fields whose value is a record of the target.
    pub fn lookup_fields(&self) -> impl Iterator<Item = &FieldName> {
        let is_lookup = |rule: &Rule| matches!(rule.fill, Fill::Parent(_) | Fill::Search(_));
        self.rules.iter().filter(move |(_, rule)| is_lookup(rule)).map(|(name, _)| name)
    }

    /// Target fields and the objects' fields that fill them, for showing and comparing.
    pub fn target_fields(&self) -> impl Iterator<Item = &FieldName> {
        self.rules.iter().map(|(name, _)| name).chain(self.flag.iter().map(|flag| &flag.field))
    }
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
        config::Fill::Source(path) => Fill::Source(path.clone()),
        config::Fill::Constant(value) => Fill::Constant(value.clone()),
        config::Fill::Table { from, entries, default } => {
            Fill::Table { from: from.clone(), entries: entries.clone(), default: default.clone() }
        }
        config::Fill::Expression(expression) => Fill::Expression(expression.clone()),
        config::Fill::Parent { pipelines, from } => {
            // A checked config names only pipelines that it has.
            let parents = pipelines.iter().filter_map(|name| config.pipelines.iter().find(|other| other.name == *name));
            let written = parents.map(|parent| Written {
                target_object: parent.to.object.clone(),
                prefix: standard_prefix(&parent.from.object).map(str::to_owned),
                id_key: key_is_id(parent).then(|| parent.to.key.clone()),
            });
            Fill::Parent(Parents {
                from: from.clone(),
                written: written.collect(),
                relationship: relationship(name),
                polymorphic: pipelines.len() > 1 || POLYMORPHIC.contains(&name.as_str()),
            })
        }
    };
    Some(Rule {
        if_missing: rule.if_missing.unwrap_or_else(|| if_missing(&fill)),
        fill,
        write_on: rule.write_on,
        on_null: rule.on_null.clone(),
        truncate: rule.truncate,
    })
}

/// Standard fields that name records of several objects.
const POLYMORPHIC: &[&str] = &["OwnerId", "WhatId", "WhoId"];

/// Where the config does not say. A record type or an owner that is not there is a mistake.
fn if_missing(fill: &Fill) -> IfMissing {
    match fill {
        Fill::Search(search) if !search.is_record() => IfMissing::Fail,
        _ => IfMissing::Wait,
    }
}

fn key_is_id(pipeline: &PipelineConfig) -> bool {
    pipeline.fields.iter().any(|(name, rule)| {
        *name == pipeline.to.key && matches!(&rule.fill, config::Fill::Source(path) if path.as_str() == "Id")
    })
}

/// The relationship name by the platform's naming rule. Describes may say otherwise for a few standard fields; they are
/// read by a later release, until then a lookup that does not follow the rule is refused by the org by name.
fn relationship(field: &FieldName) -> String {
    let name = field.as_str();
    match (name.strip_suffix("__c"), name.strip_suffix("Id")) {
        (Some(custom), _) => format!("{custom}__r"),
        (None, Some(standard)) => standard.to_owned(),
        (None, None) => name.to_owned(),
    }
}
