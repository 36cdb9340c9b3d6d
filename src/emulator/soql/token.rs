//! Cuts a text into words, texts, numbers and signs.

use winnow::combinator::{alt, repeat};
use winnow::prelude::*;
use winnow::stream::{LocatingSlice, Location, TokenSlice};
use winnow::token::{any, one_of, take_while};

use super::error::SyntaxError;

pub(super) type Tokens<'a, 't> = TokenSlice<'a, Token<'t>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'t> {
    pub kind: Kind,
    /// As it stands there; a text has its quotes.
    pub text: &'t str,
    pub at: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Word,
    Text,
    /// A number, or what else begins with a digit: dates and times.
    Number,
    Sign,
    /// No more of the text; always the last one.
    End,
}

impl Token<'_> {
    /// Keywords have no case.
    pub fn is(&self, word: &str) -> bool {
        matches!(self.kind, Kind::Word | Kind::Sign) && self.text.eq_ignore_ascii_case(word)
    }

    pub fn unexpected(&self) -> String {
        let text: String = if self.kind == Kind::End { "<EOF>".into() } else { self.text.chars().take(100).collect() };
        format!("unexpected token: '{}'", text.trim_matches('\''))
    }
}

type Input<'t> = LocatingSlice<&'t str>;

pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, SyntaxError> {
    let mut input = LocatingSlice::new(text);
    let mut tokens: Vec<Token<'_>> = Vec::new();
    loop {
        let _: Result<&str, ()> = take_while(0.., [' ', '\t', '\r', '\n']).parse_next(&mut input);
        let at = input.current_token_start();
        if input.is_empty() {
            tokens.push(Token { kind: Kind::End, text: "", at });
            return Ok(tokens);
        }
        let cut: Result<(Kind, &str), ()> = alt((
            word.map(|text| (Kind::Word, text)),
            number.map(|text| (Kind::Number, text)),
            quoted.map(|text| (Kind::Text, text)),
            sign.map(|text| (Kind::Sign, text)),
        ))
        .parse_next(&mut input);
        let Ok((kind, text)) = cut else {
            return Err(lost(&input, at, text.len()));
        };
        tokens.push(Token { kind, text, at });
    }
}

fn word<'t>(input: &mut Input<'t>) -> Result<&'t str, ()> {
    let tail = take_while(0.., |c: char| c.is_ascii_alphanumeric() || c == '_');
    (one_of(|c: char| c.is_ascii_alphabetic()), tail).take().parse_next(input)
}

fn number<'t>(input: &mut Input<'t>) -> Result<&'t str, ()> {
    let tail = || take_while(0.., |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-' | '+'));
    let digit = || one_of(|c: char| c.is_ascii_digit());
    alt((
        (digit(), tail()).take(),
        (one_of(['-', '+', '.']), one_of(|c: char| c.is_ascii_digit() || c == '.'), tail()).take(),
    ))
    .parse_next(input)
}

fn quoted<'t>(input: &mut Input<'t>) -> Result<&'t str, ()> {
    let escaped = ('\\', any).void();
    let plain = take_while(1.., |c: char| c != '\'' && c != '\\').void();
    ('\'', repeat::<_, _, (), _, _>(0.., alt((plain, escaped))), '\'').take().parse_next(input)
}

fn sign<'t>(input: &mut Input<'t>) -> Result<&'t str, ()> {
    alt((alt(("!=", "<>", "<=", ">=")), one_of(['=', '<', '>', '(', ')', ',', '.', ':']).take())).parse_next(input)
}

/// What is wrong where no token begins.
fn lost(input: &Input<'_>, at: usize, end: usize) -> SyntaxError {
    match input.chars().next() {
        Some('\'') => SyntaxError { at: Some(end), message: "mismatched character '<EOF>' expecting '''".into() },
        first => {
            let message = format!("unexpected token: '{}'", first.unwrap_or_default());
            SyntaxError { at: Some(at), message }
        }
    }
}
