//! What is set up in an org, as far as its user may ask: permissions, people, automation, the org itself.
//!
//! Facts: setup-metadata.md sections 2, 3 and 5. Each question can be refused alone, and then says what it needs.

mod access;
mod automation;
mod organization;
mod people;
mod picklists;
mod record_types;
#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::{Map, Value};

use super::super::code::Code;
use super::super::error::CallError;

pub use access::{Entity, FieldPermissions, ObjectPermissions, Sharing, SystemPermissions};
pub use automation::{Automation, AutomationKind};
pub use organization::{Currency, Organization};
pub use people::{FoundUser, Queue, UserKey, Users};
pub use picklists::PicklistValues;
pub use record_types::RecordType;

pub(super) use access::custom_field_name;

/// An answer, unless the user may not ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked<T> {
    Known(T),
    Unknown(Reason),
}

/// Why an org did not answer a question about its set-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    pub code: Code,
    /// What the user would need, in Setup's words.
    pub needs: &'static str,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the org does not tell ({}): the bridge's user needs {}", self.code, self.needs)
    }
}

impl<T> Asked<T> {
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(answer) => Some(answer),
            Self::Unknown(_) => None,
        }
    }

    pub fn map<U>(self, with: impl FnOnce(T) -> U) -> Asked<U> {
        match self {
            Self::Known(answer) => Asked::Known(with(answer)),
            Self::Unknown(reason) => Asked::Unknown(reason),
        }
    }

    /// A refusal of the question itself is an answer; a token, a limit or a line that failed is not.
    pub(super) fn of(answer: Result<T, CallError>, needs: &'static str) -> Result<Self, CallError> {
        let error = match answer {
            Ok(answer) => return Ok(Self::Known(answer)),
            Err(error) => error,
        };
        match (&error, error.code()) {
            (CallError::Refused { .. }, Some(code)) if is_about_the_question(code) => {
                Ok(Self::Unknown(Reason { code: code.clone(), needs }))
            }
            _ => Err(error),
        }
    }
}

/// An org hides what a user may not see: then there is no such entity, or no such column.
fn is_about_the_question(code: &Code) -> bool {
    matches!(
        code,
        Code::InsufficientAccess
            | Code::NoAccessOrReadonly
            | Code::InvalidType
            | Code::InvalidField
            | Code::NotFound
            | Code::FunctionalityNotEnabled
            | Code::MalformedQuery
            | Code::MethodNotAllowed
    )
}

/// What nearly every question about Setup needs.
pub(super) const VIEW_SETUP: &str = "the permission View Setup and Configuration";

type Row = Map<String, Value>;

fn text(row: &Row, column: &str) -> Option<String> {
    row.get(column).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn parsed<T: std::str::FromStr>(row: &Row, column: &str) -> Option<T> {
    row.get(column)?.as_str()?.parse().ok()
}

fn flag(row: &Row, column: &str) -> bool {
    row.get(column).and_then(Value::as_bool).unwrap_or(false)
}

/// A column of the row's parent.
fn of_parent<'r>(row: &'r Row, parent: &str, column: &str) -> Option<&'r str> {
    row.get(parent)?.get(column)?.as_str()
}
