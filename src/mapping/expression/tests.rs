use std::collections::HashMap;

use super::*;
use crate::event::{ChangeKind, Timestamp};

pub(super) const KEY: &[u8] = b"a key of this test only";

/// Fields by name; what is not in it is not known.
#[derive(Default, Clone)]
pub(super) struct Given {
    pub fields: HashMap<String, Value>,
    pub header: Option<Header>,
    pub key: bool,
}

/// A value's own `Debug` hides it; a failing property should show it.
impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.fields {
            write!(f, "{name}: {} ", json(value.clone()))?;
        }
        f.write_str(if self.header.is_some() { "of an event" } else { "of a read" })
    }
}

impl Scope for Given {
    fn field(&self, path: &FieldPath) -> Option<Value> {
        self.fields.get(path.as_str()).cloned()
    }

    fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    fn hash_key(&self) -> Option<&[u8]> {
        self.key.then_some(KEY)
    }
}

pub(super) fn given(json: serde_json::Value) -> Given {
    let serde_json::Value::Object(fields) = json else { panic!("an object is wanted") };
    Given { fields: fields.into_iter().map(|(name, value)| (name, value.into())).collect(), header: None, key: true }
}

pub(super) fn header() -> Header {
    Header {
        entity_name: "Account".parse().unwrap(),
        record_ids: vec!["001D000000IqhSL".parse().unwrap()],
        wildcard: false,
        change_type: ChangeKind::GapUpdate,
        change_origin: "com/salesforce/api/rest/66.0;client=OrgBridge/".to_owned(),
        transaction_key: "0001".to_owned(),
        sequence_number: 1,
        commit_timestamp: Timestamp(1_714_156_703_000),
        commit_number: 1,
        commit_user: "005D000000IqhSLIAZ".to_owned(),
    }
}

pub(super) fn compile(source: &str) -> Expression {
    Expression::compile(source).unwrap_or_else(|problems| panic!("{source}: {problems:?}"))
}

pub(super) fn json(value: Value) -> serde_json::Value {
    value.into()
}

#[test]
fn every_function_does_what_its_example_says() {
    for function in FUNCTIONS {
        let outcome = compile(function.example).holds(&given(serde_json::json!({})));
        assert_eq!(outcome, Ok(true), "{}: {}", function.name, function.example);
        assert!(function.example.contains(function.name), "{}", function.name);
    }
}

mod bounds;
mod language;
mod oracle;
mod properties;
mod unknown;
mod wrong;
