//! stub
use crate::event::{FieldPath, Header, Value};
use std::collections::BTreeSet;
use std::ops::Range;
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    source: String,
    reads: BTreeSet<FieldPath>,
}
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpressionProblem {
    pub span: Range<usize>,
    pub message: String,
    pub remedy: String,
}
pub trait Scope {
    fn field(&self, path: &FieldPath) -> Option<Value>;
    fn header(&self) -> Option<&Header>;
    fn hash_key(&self) -> Option<&[u8]>;
}
pub enum Unevaluated {
    Unknown(FieldPath),
    NoHeader,
    Failed { reason: String, inputs: Vec<FieldPath> },
}
impl Expression {
    pub fn compile(source: &str) -> Result<Self, Vec<ExpressionProblem>> {
        Ok(Self { source: source.into(), reads: BTreeSet::new() })
    }
    pub fn source(&self) -> &str {
        &self.source
    }
    pub fn reads(&self) -> &BTreeSet<FieldPath> {
        &self.reads
    }
    pub fn reads_header(&self) -> bool {
        false
    }
    pub fn evaluate(&self, _: &dyn Scope) -> Result<Value, Unevaluated> {
        Ok(Value::Null)
    }
    pub fn holds(&self, _: &dyn Scope) -> Result<bool, Unevaluated> {
        Ok(true)
    }
}
