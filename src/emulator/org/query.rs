//! Answers a query for one user: from the tree of [`soql`] to records as REST shows them.
//!
//! `route` finds what names mean, `plan` turns the query into something that cannot fail any more, `filter` tells
//! which rows match and which an index names, `value` reads and aggregates, `run` puts it together. What the user may
//! not see is as if it were not there.

mod filter;
mod flat;
mod plan;
mod route;
mod run;
#[cfg(test)]
mod tests;
mod value;

use serde_json::Value as Json;

use super::{Id, Org};
use crate::soql::{self, Place, Query};

/// Who asks, when, and how the answer is to look.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub viewer: &'a Id,
    /// Deleted rows too.
    pub with_deleted: bool,
    /// In microseconds.
    pub now: i64,
    /// What stands before `/Account/001…` in the address of a record.
    pub base: &'a str,
}

/// The records of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    pub records: Vec<Json>,
    /// How many there are; `COUNT()` has them without records.
    pub total: usize,
}

/// Why a query has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryError {
    pub code: &'static str,
    pub message: String,
    /// The place that it is about.
    pub at: Option<usize>,
}

impl QueryError {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), at: None }
    }

    fn malformed(message: impl Into<String>) -> Self {
        Self::new("MALFORMED_QUERY", message)
    }

    fn at(mut self, place: Place) -> Self {
        self.at = Some(place.0);
        self
    }

    /// The message as the platform shows it, with the place in the query's text.
    pub fn shown(&self, text: &str) -> String {
        match self.at {
            Some(at) => soql::pointed(text, at, &self.message),
            None => self.message.clone(),
        }
    }
}

impl Org {
    /// # Errors
    /// Names that the viewer does not see, and what the platform refuses.
    pub fn query(&self, query: &Query, asked: Asked<'_>) -> Result<Found, QueryError> {
        let scope = plan::Scope { org: self, asked };
        let plan = plan::plan(scope, query)?;
        let records = run::records(scope, &plan);
        let total = records.len();
        Ok(if query.is_count() { Found { records: Vec::new(), total } } else { Found { records, total } })
    }
}
