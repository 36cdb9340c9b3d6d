//! The tests that stand beside a mapping: what was expected, and what came instead.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Outcome, What, rehearse};
use crate::config::{Case, Config, Expect};
use crate::event::{FieldName, Value};
use crate::mapping::Mapping;

/// One case and its result.
#[derive(Debug, Clone)]
pub struct Ran<'c> {
    pub case: &'c Case,
    /// Empty: as expected.
    pub differences: Vec<Difference>,
    pub outcome: Outcome,
}

/// Where a result is not as expected. These are values that somebody wrote into a test, so they are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// Something else would be done.
    Other { expected: String, came: String },
    Field { field: FieldName, expected: Option<Value>, came: Option<Value> },
}

/// Runs all cases, in the order of the file.
pub fn run(config: &Config) -> Vec<Ran<'_>> {
    let mappings: BTreeMap<_, _> =
        config.pipelines.iter().map(|pipeline| (&pipeline.name, Mapping::new(pipeline, config))).collect();
    let run = |case| Some(one(case, mappings.get(&case.pipeline)?));
    // A checked config has no case of a pipeline that it has not.
    config.cases.iter().filter_map(run).collect()
}

fn one<'c>(case: &'c Case, mapping: &Mapping) -> Ran<'c> {
    let outcome = rehearse(mapping, &case.scene(mapping));
    let differences = compare(&case.expect, &outcome.what);
    Ran { case, differences, outcome }
}

fn compare(expect: &Expect, came: &What) -> Vec<Difference> {
    match (expect, came) {
        (Expect::Upsert(expected), What::Upsert { fields, .. })
        | (Expect::Update(expected), What::Update { fields, .. }) => fields_of(expected, fields),
        (Expect::Delete, What::Delete { .. }) | (Expect::Skip, What::Skipped(_)) => Vec::new(),
        (Expect::Fail(code), What::Failed(failure)) if code.as_deref().is_none_or(|code| code == failure.code) => {
            Vec::new()
        }
        (
            Expect::Upsert(_) | Expect::Update(_) | Expect::Delete | Expect::Skip | Expect::Fail(_),
            What::Upsert { .. }
            | What::Update { .. }
            | What::Delete { .. }
            | What::Skipped(_)
            | What::Failed(_)
            | What::NeedsRecord,
        ) => vec![Difference::Other { expected: expect.to_string(), came: came.to_string() }],
    }
}

fn fields_of(expected: &BTreeMap<FieldName, Value>, came: &BTreeMap<FieldName, Value>) -> Vec<Difference> {
    let names: BTreeSet<&FieldName> = expected.keys().chain(came.keys()).collect();
    names
        .into_iter()
        .filter(|name| expected.get(*name) != came.get(*name))
        .map(|name| Difference::Field {
            field: name.clone(),
            expected: expected.get(name).cloned(),
            came: came.get(name).cloned(),
        })
        .collect()
}

/// A value as it would stand in the config.
pub fn shown(value: &Value) -> String {
    serde_json::Value::from(value.clone()).to_string()
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = |value: &Option<Value>| value.as_ref().map_or("not written".to_owned(), shown);
        match self {
            Self::Other { expected, came } => write!(f, "expected {expected}, but {came}"),
            Self::Field { field: name, expected, came } => {
                write!(f, "{name}: expected {}, but {}", field(expected), field(came))
            }
        }
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upsert(_) => f.write_str("an upsert"),
            Self::Update(_) => f.write_str("an update"),
            Self::Delete => f.write_str("a delete"),
            Self::Skip => f.write_str("nothing to be written"),
            Self::Fail(None) => f.write_str("a failed record"),
            Self::Fail(Some(code)) => write!(f, "a failed record with {code}"),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upsert { object, key, .. } => write!(f, "upsert of {object} by {key}"),
            Self::Update { object, record, .. } => write!(f, "update of {object} {record}"),
            Self::Delete { object, record: Some(record) } => write!(f, "delete of {object} {record}"),
            Self::Delete { object, record: None } => write!(f, "delete of the {object} with its key, if there is one"),
            Self::Skipped(skip) => write!(f, "nothing to write: {skip}"),
            Self::Failed(failure) => {
                let place = failure.field.as_ref().map_or("when".to_owned(), ToString::to_string);
                write!(f, "a failed record: {} in {place}: {}", failure.code, failure.reason)
            }
            Self::NeedsRecord => f.write_str("the record must be read: the change alone does not say enough"),
        }
    }
}
