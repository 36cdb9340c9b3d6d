//! Expressions: how a mapping reckons.
//!
//! The syntax is that of CEL, the Common Expression Language.

mod compile;
mod evaluate;
mod functions;
mod moment;
mod node;
mod number;
mod parse;
mod scan;
mod val;

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

pub use functions::{FUNCTIONS, Function};

use crate::event::{FieldPath, Header, Value};
use evaluate::{Evaluation, failed};
use node::Node;
use val::Val;

/// A longer source is refused.
pub const MAX_SOURCE: usize = 4_000;
/// How many operators, brackets and calls may stand within each other.
pub const MAX_DEPTH: usize = 64;

/// A compiled expression. Cheap to clone.
#[derive(Clone)]
pub struct Expression(Arc<Inner>);

struct Inner {
    source: String,
    root: Node,
    reads: BTreeSet<FieldPath>,
    reads_header: bool,
    hashes: bool,
}

/// Where an expression finds what it reads.
pub trait Scope {
    /// The value of a source field; `None`: not known, the record must be read. `Id` is the record's id, as text.
    fn field(&self, path: &FieldPath) -> Option<Value>;
    /// Who changed it and how; `None` where a read stands for no event.
    fn header(&self) -> Option<&Header>;
    /// The key of keyed hashes, where one is configured.
    fn hash_key(&self) -> Option<&[u8]>;
}

/// Why an expression gives no value. Holds names, and no value of a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unevaluated {
    /// The record must be read whole.
    #[error("{0} is not known")]
    Unknown(FieldPath),
    /// `change.…` was needed and there is none.
    #[error("there is no change to ask who made it, only a record that was read")]
    NoHeader,
    /// It failed on this record.
    #[error("{reason} (reads {})", names(.inputs))]
    Failed {
        /// What went wrong, with the names of functions; never a value.
        reason: String,
        /// The fields that went into it.
        inputs: Vec<FieldPath>,
    },
}

fn names(inputs: &[FieldPath]) -> String {
    if inputs.is_empty() {
        return "no field".to_owned();
    }
    inputs.iter().map(FieldPath::as_str).collect::<Vec<_>>().join(", ")
}

/// What is wrong with a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpressionProblem {
    /// In bytes of the source.
    pub span: Range<usize>,
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl Expression {
    /// # Errors
    ///
    /// All problems that can be found without a record, in the order of the source; never empty.
    pub fn compile(source: &str) -> Result<Self, Vec<ExpressionProblem>> {
        let problem = |span, message: String, remedy: &str| {
            Err(vec![ExpressionProblem { span, message, remedy: remedy.to_owned() }])
        };
        if source.trim().is_empty() {
            return problem(
                0..0,
                "there is no expression".to_owned(),
                "write a field, text in quotes, or a formula of them",
            );
        }
        if source.len() > MAX_SOURCE {
            let end = (0..=MAX_SOURCE).rev().find(|at| source.is_char_boundary(*at)).unwrap_or(0);
            let message = format!("an expression has up to {MAX_SOURCE} bytes, and this has {}", source.len());
            return problem(end..source.len(), message, "split it over several fields, or use a value table");
        }
        let compiled = compile::compile(source)?;
        Ok(Self(Arc::new(Inner {
            source: source.to_owned(),
            root: compiled.root,
            reads: compiled.reads,
            reads_header: compiled.reads_header,
            hashes: compiled.hashes,
        })))
    }

    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// The source fields that it reads, parts of compound fields as `BillingAddress.City`; also those under `has()`.
    pub fn reads(&self) -> &BTreeSet<FieldPath> {
        &self.0.reads
    }

    /// It looks at who or what made the change.
    pub fn reads_header(&self) -> bool {
        self.0.reads_header
    }

    /// It calls `hash`, which needs a key.
    pub fn hashes(&self) -> bool {
        self.0.hashes
    }

    /// It can never be true or false, so it is no filter; what it gives instead.
    pub fn never_holds(&self) -> Option<&'static str> {
        self.0.root.kind().filter(|kind| *kind != "true or false")
    }

    /// # Errors
    ///
    /// See [`Unevaluated`]. Whatever else than `Unknown` it gives on part of a record, it gives on the whole.
    pub fn evaluate(&self, scope: &dyn Scope) -> Result<Value, Unevaluated> {
        let val = self.val(scope)?;
        val.into_value().map_err(|why| self.named(failed(&self.0.root, &why)))
    }

    /// For filters: whether it is true.
    ///
    /// # Errors
    ///
    /// As [`Self::evaluate`]; anything but true or false is a failure.
    pub fn holds(&self, scope: &dyn Scope) -> Result<bool, Unevaluated> {
        match self.val(scope)? {
            Val::Bool(holds) => Ok(holds),
            other => {
                let why = val::Why(format!("a filter is true or false, and this gives {}", other.kind()));
                Err(self.named(failed(&self.0.root, &why)))
            }
        }
    }

    fn val(&self, scope: &dyn Scope) -> Result<Val, Unevaluated> {
        Evaluation::new(scope).eval(&self.0.root).map_err(|stop| self.named(stop))
    }

    /// What failed on the entries of a list names no field itself.
    fn named(&self, stop: Unevaluated) -> Unevaluated {
        match stop {
            Unevaluated::Failed { reason, inputs } if inputs.is_empty() => {
                Unevaluated::Failed { reason, inputs: self.0.reads.iter().cloned().collect() }
            }
            stop => stop,
        }
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.0.source).finish()
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.source() == other.source()
    }
}

impl Eq for Expression {}

/// Where constants are reckoned.
struct Nothing;

impl Scope for Nothing {
    fn field(&self, _: &FieldPath) -> Option<Value> {
        None
    }

    fn header(&self) -> Option<&Header> {
        None
    }

    fn hash_key(&self) -> Option<&[u8]> {
        None
    }
}

#[cfg(test)]
mod tests;
