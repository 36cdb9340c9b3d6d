//! SOQL: text in, [`Query`] or [`Condition`] out. Pure, and ignorant of any org.
//!
//! `token` cuts the text, `grammar` and `condition` read the tokens, `literal` reads single values. What a name means,
//! and whether it exists, is for `org::query` to say; so names keep their place in the text.
//!
//! Not known, and refused: `TYPEOF`, `ROLLUP` and `CUBE`, data categories, distances, bind variables, `ALL ROWS`.

mod ast;
mod condition;
mod dates;
mod error;
mod grammar;
mod literal;
#[cfg(test)]
pub mod tests;
mod token;

pub use ast::{
    Call, Comparison, Condition, Expression, FieldGroup, Function, Literal, Name, Path, Pattern, PatternPart, Place,
    Query, Selected, Set, Value,
};
pub use error::{SyntaxError, pointed};

/// A query with anything around it that the grammar allows.
///
/// # Errors
/// What makes it a MALFORMED_QUERY.
pub fn parse(text: &str) -> Result<Query, SyntaxError> {
    grammar::whole(text, |input| grammar::query(input, 0))
}

/// What may stand behind `WHERE`, alone: the rules of a scenario are written so.
///
/// # Errors
/// Where it is no condition.
pub fn parse_condition(text: &str) -> Result<Condition, SyntaxError> {
    grammar::whole(text, |input| condition::condition(input, 0, 0))
}
