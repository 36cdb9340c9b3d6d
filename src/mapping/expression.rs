//! Expressions: how a mapping reckons, and how a pipeline chooses its records.
//!
//! The syntax is that of CEL, the Common Expression Language, read by the parser of the crate `cel`; what an expression
//! means is said here, for it is about fields of an org: decimals instead of three kinds of numbers, fields that are
//! empty, and fields that an event does not carry.
//!
//! # The language
//!
//! | written | meaning |
//! |---|---|
//! | `Industry`, `Amount__c` | a field of the source record, by its API name |
//! | `BillingAddress.City`, `Name.LastName` | a part of a compound field |
//! | `Id` | the record's id, of 18 characters |
//! | `change.user` | who made the change: a user's id |
//! | `change.client` | with which client: what follows `client=` in the event's changeOrigin, without a slash behind it; empty text if none is named |
//! | `change.kind` | `"CREATE"`, `"UPDATE"`, `"DELETE"` or `"UNDELETE"`; an event that stands for a gap is called like what it stands for |
//! | `change.time` | when it was committed, a moment |
//! | `"text"`, `'text'`, `"""text"""` | text; `\n \t \" \\ \u00e9` stand for signs; in `r"\d"` a `\` is a `\` |
//! | `12`, `1.19`, `1e3` | a number |
//! | `true`, `false`, `null` | yes, no, nothing |
//! | `["a", "b"]`, `list[0]` | a list; its first entry |
//! | `{"A": "B"}`, `table[x]`, `table.A` | a table; its entry for a key |
//! | `+ - * / %` | arithmetic; `+` also joins texts, and lists |
//! | `== != < <= > >=` | comparison |
//! | `x in list`, `x in table` | it is among the entries, or the keys |
//! | `a && b`, `a \|\| b`, `!a` | and, or, not |
//! | `test ? this : that` | one or the other |
//! | `f(x, y)`, `x.f(y)` | a function, either way: [`FUNCTIONS`] has them all |
//! | `list.map(x, …)` | `map`, `filter`, `all`, `exists`, `exists_one`: of each entry, here named `x` |
//! | `// …` | a comment, up to the end of the line |
//!
//! **Numbers** are decimals: `0.1 + 0.2 == 0.3`, `5 / 2` is 2.5. Results have up to 28 digits, what is beyond is rounded; a
//! number that is only passed on keeps every digit, and one with more than 28 is compared but not reckoned with. Dividing by
//! zero fails.
//!
//! **Text** is counted in characters and compared as it is spelt. It is no number and no number is text: `number(x)` and
//! `text(x)` make one of the other.
//!
//! **Dates and moments** are ISO text in a record, and compare as what they mean, in whatever form they came:
//! `2024-01-31T10:15:00.000Z` equals `2024-01-31T11:15:00.000+0100`, and a date stands for its midnight. `date(x)` and
//! `datetime(x)` make sure that it is one. All days are days of UTC; none depends on where the bridge runs. There is no
//! clock: an expression gives the same each time.
//!
//! **Nothing (null)** is what an empty field holds. It equals only null. Arithmetic, `<` and `?` fail on it; so say what is
//! meant: `has(Amount) && Amount > 5`, `default(Amount, 0) > 5`. Functions give null for it, questions (`contains`,
//! `startsWith`, …) false. An empty field looks nothing up: `{"A": "B"}[Field]` is null then. A list that is null has no
//! entries.
//!
//! **Failures** make a failed record, which names the function or operator and the fields that went in: a value that the
//! table has no entry for (`lookup(table, x, y)` says what else), two kinds that can never be equal (`Amount == "5"`), text
//! that is no date. What would fail for every record is refused when the config is read.
//!
//! **What an event does not carry** is not known, and that is neither null nor a failure: [`Unevaluated::Unknown`] asks for
//! the record. `a && b` and `a || b` are settled by one side where that is enough, whichever side it is, also when the
//! other fails; a branch that is not taken is not asked. So what is answered on part of a record holds for the whole.
//! `change.…` of a record that was read for no event is [`Unevaluated::NoHeader`]; `has(change.user)` asks for that.
//!
//! **Bounds**: a source of [`MAX_SOURCE`] bytes, [`MAX_DEPTH`] operators, brackets and calls within each other (terms joined
//! by `&&` or `||` do not count), two of `map` and its like within each other, patterns of a bounded size, texts of a
//! million bytes, and a bounded number of steps, so that no expression and no record can stop the bridge.

mod compile;
mod evaluate;
mod functions;
pub(super) mod moment;
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
