//! A pipeline's rules, with every reference followed once, so that applying them cannot fail.

use crate::config::{Config, FieldRule, OnDelete, PipelineConfig};
use crate::event::{FieldName, FieldPath, ObjectName, RecordId, Value};

/// How the records of one pipeline are written. Made from a checked config.
#[derive(Debug, Clone)]
pub struct Mapping {
    pub source_object: ObjectName,
    pub target_object: ObjectName,
    /// The External ID field of the target by which counterparts are found.
    pub key: FieldName,
    pub on_delete: OnDelete,
    pub(super) rules: Vec<(FieldName, Rule)>,
}

#[derive(Debug, Clone)]
pub(super) enum Rule {
    Source(FieldPath),
    Constant(Value),
    Parent(Lookup),
}

/// A reference to a record that another pipeline writes.
#[derive(Debug, Clone)]
pub(super) struct Lookup {
    pub from: FieldPath,
    pub target_object: ObjectName,
    /// The key field of the other pipeline's target object.
    pub key: FieldName,
    /// The parent's key value is its record id, so the parent can be named without knowing its counterpart.
    pub key_is_id: bool,
    /// `Account` for `AccountId`, `Parent__r` for `Parent__c`.
    pub relationship: String,
}

impl Mapping {
    pub fn new(pipeline: &PipelineConfig, config: &Config) -> Self {
        let rules = pipeline
            .fields
            .iter()
            .filter_map(|(name, rule)| {
                let rule = match rule {
                    FieldRule::Source(path) => Rule::Source(path.clone()),
                    FieldRule::Constant(value) => Rule::Constant(value.clone()),
                    FieldRule::Parent { pipeline: parent, from } => {
                        // A checked config names only pipelines that it has.
                        let parent = config.pipelines.iter().find(|other| other.name == *parent)?;
                        Rule::Parent(Lookup {
                            from: from.clone(),
                            target_object: parent.to.object.clone(),
                            key: parent.to.key.clone(),
                            key_is_id: key_is_id(parent),
                            relationship: relationship(name),
                        })
                    }
                };
                Some((name.clone(), rule))
            })
            .collect();
        Self {
            source_object: pipeline.from.object.clone(),
            target_object: pipeline.to.object.clone(),
            key: pipeline.to.key.clone(),
            on_delete: pipeline.on_delete,
            rules,
        }
    }

    /// The source fields that a read must ask for.
    pub fn reads(&self) -> Vec<FieldPath> {
        let mut paths: Vec<FieldPath> = self
            .rules
            .iter()
            .filter_map(|(_, rule)| match rule {
                Rule::Source(path) => Some(path.clone()),
                Rule::Parent(lookup) => Some(lookup.from.clone()),
                Rule::Constant(_) => None,
            })
            .filter(|path| path.as_str() != "Id")
            .collect();
        paths.sort();
        paths.dedup();
        paths
    }

    /// The source fields that name parents, with the target object that the parents' pipeline writes.
    pub fn lookups(&self) -> impl Iterator<Item = (&FieldPath, &ObjectName)> {
        self.rules.iter().filter_map(|(_, rule)| match rule {
            Rule::Parent(lookup) => Some((&lookup.from, &lookup.target_object)),
            Rule::Source(_) | Rule::Constant(_) => None,
        })
    }

    /// The key value of a source record, where it follows from the record's id.
    pub fn key_of(&self, record: RecordId) -> Option<String> {
        let id = |path: &FieldPath| path.as_str() == "Id";
        self.rules
            .iter()
            .any(|(name, rule)| *name == self.key && matches!(rule, Rule::Source(path) if id(path)))
            .then(|| record.as_str().to_owned())
    }

    /// Target fields and the objects' fields that fill them, for showing and comparing.
    pub fn target_fields(&self) -> impl Iterator<Item = &FieldName> {
        self.rules.iter().map(|(name, _)| name)
    }
}

fn key_is_id(pipeline: &PipelineConfig) -> bool {
    pipeline.fields.iter().any(|(name, rule)| {
        *name == pipeline.to.key && matches!(rule, FieldRule::Source(path) if path.as_str() == "Id")
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
