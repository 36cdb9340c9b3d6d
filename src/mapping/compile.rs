//! A pipeline's rules, with every reference followed once, so that applying them cannot fail.

use std::sync::Arc;

use super::Expression;
use super::rule::{Fill, Given, Lookup, Rule, Writing};
use super::types::{Kind, Types};
use super::view::View;
use crate::config::{
    self, Config, FieldRule, Flag, NoLongerMatching, OnDelete, PipelineConfig, Publishing, Truncate, WriteOn,
};
use crate::event::{FieldName, FieldPath, ObjectName, RecordId};
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
    types: Arc<Types>,
}

impl Mapping {
    pub fn new(pipeline: &PipelineConfig, config: &Config) -> Self {
        let rules =
            pipeline.fields.iter().filter_map(|(name, rule)| Some((name.clone(), compile(name, rule, config)?)));
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
            types: Arc::default(),
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
            if let Fill::Parent(lookup) = &mut rule.fill {
                lookup.relationship = match known {
                    Some(field) => field.relationship.clone(),
                    None => Some(relationship(name)),
                };
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

    /// The source fields that name parents, with the target object that the parents' pipeline writes.
    pub fn lookups(&self) -> impl Iterator<Item = (&FieldPath, &ObjectName)> {
        self.rules.iter().filter_map(|(_, rule)| match &rule.fill {
            Fill::Parent(lookup) => Some((&lookup.from, &lookup.target_object)),
            Fill::Source(_) | Fill::Constant(_) | Fill::Table { .. } | Fill::Expression(_) => None,
        })
    }

    /// The key value of a source record, where it follows from the record's id.
    pub fn key_of(&self, record: RecordId) -> Option<String> {
        let (_, rule) = self.rules.iter().find(|(name, _)| *name == self.key)?;
        match rule.give(&self.key, &self.view(View::id(record)), Writing::Create) {
            Given::Value(value) => Cell::Value(value).key_text(),
            Given::Parent(_) | Given::Left(_) | Given::Unknown | Given::Failed(_) => None,
        }
    }

    /// Whether the field follows its source also after the record was created.
    pub fn is_lasting(&self, target: &FieldName) -> bool {
        self.rules.iter().any(|(name, rule)| name == target && rule.write_on != WriteOn::Create)
            || self.flag.as_ref().is_some_and(|flag| flag.field == *target)
    }

    /// Target fields and the objects' fields that fill them, for showing and comparing.
    pub fn target_fields(&self) -> impl Iterator<Item = &FieldName> {
        self.rules.iter().map(|(name, _)| name).chain(self.flag.iter().map(|flag| &flag.field))
    }
}

fn compile(name: &FieldName, rule: &FieldRule, config: &Config) -> Option<Rule> {
    let fill = match &rule.fill {
        config::Fill::Source(path) => Fill::Source(path.clone()),
        config::Fill::Constant(value) => Fill::Constant(value.clone()),
        config::Fill::Table { from, entries, default } => {
            Fill::Table { from: from.clone(), entries: entries.clone(), default: default.clone() }
        }
        config::Fill::Expression(expression) => Fill::Expression(expression.clone()),
        config::Fill::Parent { pipeline: parent, from } => {
            // A checked config names only pipelines that it has.
            let parent = config.pipelines.iter().find(|other| other.name == *parent)?;
            Fill::Parent(Lookup {
                from: from.clone(),
                target_object: parent.to.object.clone(),
                key: parent.to.key.clone(),
                key_is_id: key_is_id(parent),
                relationship: Some(relationship(name)),
            })
        }
    };
    Some(Rule {
        fill,
        write_on: rule.write_on,
        on_null: rule.on_null.clone(),
        truncate: rule.truncate,
        cut: rule.truncate.and_then(Truncate::length),
        takes: Kind::Other,
    })
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
