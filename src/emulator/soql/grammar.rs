//! A query, clause by clause.
//!
//! Alternatives are told apart by their first token, so that the first failure is the one to report.

use winnow::Parser;
use winnow::combinator::{alt, cut_err, opt, peek, separated};
use winnow::error::ErrMode;
use winnow::token::any;

use super::ast::{Call, Expression, FieldGroup, Function, Name, Order, Path, Place, Query, Selected};
use super::condition::condition;
use super::error::{Fail, SyntaxError};
use super::token::{Kind, Token, Tokens, tokens};

pub(super) type Parsed<T> = Result<T, ErrMode<Fail>>;

/// The longest text, in characters.
const LONGEST: usize = 100_000;
/// Queries within queries within the outermost one.
pub(super) const SUBQUERIES: usize = 4;
/// Calls within calls.
const CALLS: usize = 3;

/// Words that are no field, unless a relationship has such a name: `Group.Name`.
const RESERVED: [&str; 11] = ["SELECT", "FROM", "WHERE", "AND", "OR", "NOT", "IN", "LIKE", "NULL", "TRUE", "FALSE"];
/// Words that are no alias.
const NO_ALIAS: [&str; 22] = [
    "FROM", "USING", "WHERE", "WITH", "GROUP", "HAVING", "ORDER", "LIMIT", "OFFSET", "FOR", "UPDATE", "ALL", "AND",
    "OR", "NOT", "IN", "LIKE", "ASC", "DESC", "NULLS", "INCLUDES", "EXCLUDES",
];

/// A text that is one thing from its first to its last token.
pub(super) fn whole<T>(text: &str, parse: impl Fn(&mut Tokens<'_, '_>) -> Parsed<T>) -> Result<T, SyntaxError> {
    if text.chars().nth(LONGEST).is_some() {
        let message = format!("SOQL statements cannot be longer than {LONGEST} characters");
        return Err(SyntaxError { at: None, message });
    }
    let tokens = tokens(text)?;
    let mut input = Tokens::new(&tokens);
    let all = |input: &mut Tokens<'_, '_>| {
        let parsed = parse(input)?;
        any.verify(|token: &&Token<'_>| token.kind == Kind::End).parse_next(input)?;
        Ok(parsed)
    };
    all(&mut input).map_err(|failed: ErrMode<Fail>| {
        let Fail { at, message } = failed.into_inner().unwrap_or(Fail { at: text.len(), message: None });
        let unexpected = || tokens.iter().find(|token| token.at >= at).or(tokens.last()).map(Token::unexpected);
        SyntaxError { at: Some(at.min(text.len())), message: message.or_else(unexpected).unwrap_or_default() }
    })
}

/// A keyword.
pub(super) fn word<'a, 't: 'a>(word: &str) -> impl Parser<Tokens<'a, 't>, &'a Token<'t>, ErrMode<Fail>> {
    any.verify(move |token: &&Token<'t>| token.kind == Kind::Word && token.is(word))
}

pub(super) fn sign<'a, 't: 'a>(sign: &str) -> impl Parser<Tokens<'a, 't>, &'a Token<'t>, ErrMode<Fail>> {
    any.verify(move |token: &&Token<'t>| token.kind == Kind::Sign && token.is(sign))
}

/// Where the next token stands.
pub(super) fn here(input: &Tokens<'_, '_>) -> usize {
    input.first().map_or(usize::MAX, |token| token.at)
}

pub(super) fn fail(at: usize, message: impl Into<String>) -> ErrMode<Fail> {
    ErrMode::Cut(Fail { at, message: Some(message.into()) })
}

/// The next token is wrong.
pub(super) fn unexpected(input: &Tokens<'_, '_>) -> ErrMode<Fail> {
    ErrMode::Cut(Fail { at: here(input), message: None })
}

fn comes(input: &mut Tokens<'_, '_>, keyword: &str) -> Parsed<bool> {
    Ok(opt(word(keyword)).parse_next(input)?.is_some())
}

/// `depth` counts the queries around.
pub(super) fn query(input: &mut Tokens<'_, '_>, depth: usize) -> Parsed<Query> {
    word("SELECT").parse_next(input)?;
    let start = here(input);
    let select: Vec<Selected> =
        separated(1.., cut_err(|input: &mut Tokens<'_, '_>| selected(input, depth)), sign(",")).parse_next(input)?;
    if select.len() > 1 && select.iter().any(is_count) {
        return Err(fail(start, "COUNT() must be the only field of a query"));
    }
    word("FROM").parse_next(input)?;
    let from = name(input)?;
    let alias = alias(input)?;
    if comes(input, "USING")? {
        word("SCOPE").parse_next(input)?;
        name(input)?;
    }
    let filter = if comes(input, "WHERE")? { Some(condition(input, 0, depth)?) } else { None };
    if comes(input, "WITH")? {
        alt((word("SECURITY_ENFORCED"), word("USER_MODE"), word("SYSTEM_MODE"))).parse_next(input)?;
    }
    let group = if comes(input, "GROUP")? {
        word("BY").parse_next(input)?;
        separated(1.., cut_err(expression), sign(",")).parse_next(input)?
    } else {
        Vec::new()
    };
    let having = if comes(input, "HAVING")? { Some(condition(input, 0, depth)?) } else { None };
    let order = if comes(input, "ORDER")? {
        word("BY").parse_next(input)?;
        separated(1.., cut_err(order), sign(",")).parse_next(input)?
    } else {
        Vec::new()
    };
    let limit = if comes(input, "LIMIT")? { Some(count(input)?) } else { None };
    let offset = if comes(input, "OFFSET")? { count(input)? } else { 0 };
    for_whom(input)?;
    if peek(opt(word("ALL"))).parse_next(input)?.is_some() {
        return Err(fail(here(input), "ALL ROWS not allowed in this context"));
    }
    Ok(Query { select, from, alias, filter, group, having, order, limit, offset })
}

/// What the platform notes about a reading; the emulator keeps no such notes.
fn for_whom(input: &mut Tokens<'_, '_>) -> Parsed<()> {
    while comes(input, "FOR")? {
        alt((word("VIEW"), word("REFERENCE"), word("UPDATE"))).parse_next(input)?;
    }
    if comes(input, "UPDATE")? {
        let what = alt((word("TRACKING"), word("VIEWSTAT")));
        separated::<_, _, Vec<_>, _, _, _, _>(1.., cut_err(what), sign(",")).void().parse_next(input)?;
    }
    Ok(())
}

fn is_count(selected: &Selected) -> bool {
    matches!(selected, Selected::Value { what: Expression::Call(call), .. } if call.argument.is_none())
}

fn selected(input: &mut Tokens<'_, '_>, depth: usize) -> Parsed<Selected> {
    if opt(sign("(")).parse_next(input)?.is_some() {
        if depth >= SUBQUERIES {
            return Err(fail(here(input), "the query is nested too deeply"));
        }
        let children = query(input, depth + 1)?;
        sign(")").parse_next(input)?;
        return Ok(Selected::Children(Box::new(children)));
    }
    let at = here(input);
    if opt((word("FIELDS"), sign("("))).parse_next(input)?.is_some() {
        let group = alt((
            word("ALL").value(FieldGroup::All),
            word("CUSTOM").value(FieldGroup::Custom),
            word("STANDARD").value(FieldGroup::Standard),
        ))
        .parse_next(input)?;
        sign(")").parse_next(input)?;
        return Ok(Selected::Fields(group, Place(at)));
    }
    let what = value(input, 0, true)?;
    Ok(Selected::Value { what, alias: alias(input)? })
}

fn name(input: &mut Tokens<'_, '_>) -> Parsed<Name> {
    let token = any.verify(|token: &&Token<'_>| token.kind == Kind::Word).parse_next(input)?;
    Ok(Name { text: token.text.to_owned(), at: Place(token.at) })
}

fn alias(input: &mut Tokens<'_, '_>) -> Parsed<Option<Name>> {
    let free = |token: &&Token<'_>| token.kind == Kind::Word && !NO_ALIAS.iter().any(|word| token.is(word));
    match peek(opt(any.verify(free))).parse_next(input)? {
        Some(_) => name(input).map(Some),
        None => Ok(None),
    }
}

/// A field or a call, wherever values are compared, grouped or sorted.
pub(super) fn expression(input: &mut Tokens<'_, '_>) -> Parsed<Expression> {
    value(input, 0, false)
}

/// `bare` where `COUNT()` may stand.
fn value(input: &mut Tokens<'_, '_>, depth: usize, bare: bool) -> Parsed<Expression> {
    if depth > CALLS {
        return Err(fail(here(input), "the query is nested too deeply"));
    }
    let start = *input;
    let first = name(input)?;
    let at = first.at;
    if peek(opt(sign("("))).parse_next(input)?.is_some() {
        let Some(function) = Function::named(&first.text) else { return Err(unexpected(input)) };
        sign("(").parse_next(input)?;
        let bare = bare && function == Function::Count && opt(sign(")")).parse_next(input)?.is_some();
        if bare {
            return Ok(Expression::Call(Call { function, argument: None, at }));
        }
        let argument = value(input, depth + 1, false)?;
        sign(")").parse_next(input)?;
        return Ok(Expression::Call(Call { function, argument: Some(Box::new(argument)), at }));
    }
    let mut names = vec![first.text];
    while opt(sign(".")).parse_next(input)?.is_some() {
        names.push(name(input)?.text);
    }
    if let [only] = names.as_slice()
        && RESERVED.iter().any(|word| word.eq_ignore_ascii_case(only))
    {
        return Err(unexpected(&start));
    }
    Ok(Expression::Path(Path { names, at }))
}

fn order(input: &mut Tokens<'_, '_>) -> Parsed<Order> {
    let by = expression(input)?;
    let descending = !comes(input, "ASC")? && comes(input, "DESC")?;
    let nulls_last = if comes(input, "NULLS")? {
        alt((word("FIRST").value(false), word("LAST").value(true))).parse_next(input)?
    } else {
        false
    };
    Ok(Order { by, descending, nulls_last })
}

fn count(input: &mut Tokens<'_, '_>) -> Parsed<usize> {
    let digits = |token: &Token<'_>| token.text.parse().ok().filter(|_| !token.text.starts_with('+'));
    any.verify_map(digits).parse_next(input)
}
