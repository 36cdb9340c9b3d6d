//! What stands behind WHERE and HAVING.
//!
//! `AND` and `OR` do not mix without brackets, and `NOT` stands alone: `(NOT a = 1) AND b = 2`.

use winnow::Parser;
use winnow::combinator::{alt, cut_err, opt, peek, separated};

use super::ast::{Comparison, Condition, Expression, Set};
use super::grammar::{Parsed, SUBQUERIES, expression, fail, here, query, sign, unexpected, word};
use super::literal::{literal, pattern};
use super::token::Tokens;

/// Deeper brackets are refused, before the stack ends.
const DEPTH: usize = 50;

/// `depth` counts brackets, `queries` the queries around.
pub(super) fn condition(input: &mut Tokens<'_, '_>, depth: usize, queries: usize) -> Parsed<Condition> {
    if depth > DEPTH {
        return Err(fail(here(input), "the condition is nested too deeply"));
    }
    if opt(word("NOT")).parse_next(input)?.is_some() {
        return Ok(Condition::Not(Box::new(simple(input, depth, queries)?)));
    }
    let first = simple(input, depth, queries)?;
    let Some(joint) = opt(alt((word("AND"), word("OR")))).parse_next(input)? else { return Ok(first) };
    let mut parts = vec![first, simple(input, depth, queries)?];
    while opt(word(joint.text)).parse_next(input)?.is_some() {
        parts.push(simple(input, depth, queries)?);
    }
    if peek(opt(alt((word("AND"), word("OR"))))).parse_next(input)?.is_some() {
        return Err(unexpected(input)); // the other one
    }
    Ok(if joint.is("AND") { Condition::All(parts) } else { Condition::Any(parts) })
}

fn simple(input: &mut Tokens<'_, '_>, depth: usize, queries: usize) -> Parsed<Condition> {
    if opt(sign("(")).parse_next(input)?.is_some() {
        let inner = condition(input, depth + 1, queries)?;
        sign(")").parse_next(input)?;
        return Ok(inner);
    }
    let left = expression(input)?;
    if opt(word("IN")).parse_next(input)?.is_some() {
        return Ok(Condition::In { left, negated: false, set: set(input, queries)? });
    }
    if opt(word("NOT")).parse_next(input)?.is_some() {
        word("IN").parse_next(input)?;
        return Ok(Condition::In { left, negated: true, set: set(input, queries)? });
    }
    if opt(word("INCLUDES")).parse_next(input)?.is_some() {
        return includes(input, left, false);
    }
    if opt(word("EXCLUDES")).parse_next(input)?.is_some() {
        return includes(input, left, true);
    }
    if opt(word("LIKE")).parse_next(input)?.is_some() {
        return Ok(Condition::Compare { left, comparison: Comparison::Like, right: pattern(input)? });
    }
    let comparison = alt((
        sign("=").value(Comparison::Equal),
        alt((sign("!="), sign("<>"))).value(Comparison::NotEqual),
        sign("<=").value(Comparison::LessOrEqual),
        sign(">=").value(Comparison::GreaterOrEqual),
        sign("<").value(Comparison::Less),
        sign(">").value(Comparison::Greater),
    ))
    .parse_next(input)?;
    Ok(Condition::Compare { left, comparison, right: literal(input)? })
}

fn includes(input: &mut Tokens<'_, '_>, left: Expression, negated: bool) -> Parsed<Condition> {
    sign("(").parse_next(input)?;
    let values = separated(1.., cut_err(literal), sign(",")).parse_next(input)?;
    sign(")").parse_next(input)?;
    Ok(Condition::Includes { left, negated, values })
}

fn set(input: &mut Tokens<'_, '_>, queries: usize) -> Parsed<Set> {
    if peek(opt(sign(":"))).parse_next(input)?.is_some() {
        literal(input)?; // fails and says why
    }
    sign("(").parse_next(input)?;
    let set = if peek(opt(word("SELECT"))).parse_next(input)?.is_some() {
        if queries >= SUBQUERIES {
            return Err(fail(here(input), "the query is nested too deeply"));
        }
        Set::Query(Box::new(query(input, queries + 1)?))
    } else {
        Set::List(separated(1.., cut_err(literal), sign(",")).parse_next(input)?)
    };
    sign(")").parse_next(input)?;
    Ok(set)
}
