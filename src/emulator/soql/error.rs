//! Errors in the platform's look: the text around the place, a mark under it, row and column.

use std::fmt;

use winnow::error::ParserError;

use super::token::{Token, Tokens};

/// Why a text is no query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// In bytes; none where the text as a whole is wrong.
    pub at: Option<usize>,
    pub message: String,
}

impl SyntaxError {
    /// The message of a MALFORMED_QUERY about this text.
    pub fn shown(&self, text: &str) -> String {
        match self.at {
            Some(at) => pointed(text, at, &self.message),
            None => self.message.clone(),
        }
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.at.map_or(Ok(()), |at| write!(f, " (at byte {at})"))
    }
}

impl std::error::Error for SyntaxError {}

/// Characters shown before and behind a place.
const AROUND: usize = 60;

/// A message with the place that it is about.
pub fn pointed(text: &str, at: usize, message: &str) -> String {
    let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let (before, behind) = text.split_at(at);
    let row = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let blank = |c: char| if c.is_control() { ' ' } else { c };
    // A cut is made between words, where there are words.
    let length = before.chars().count();
    let mut head: String = before.chars().skip(length.saturating_sub(AROUND)).map(blank).collect();
    if length > AROUND
        && let Some((_, words)) = head.split_once(' ')
    {
        head = words.to_owned();
    }
    let mut tail: String = behind.chars().take(AROUND).map(blank).collect();
    if behind.chars().nth(AROUND).is_some()
        && let Some((words, _)) = tail.rsplit_once(' ')
    {
        tail = words.to_owned();
    }
    let mark = " ".repeat(head.chars().count());
    format!("\n{head}{tail}\n{mark}^\nERROR at Row:{row}:Column:{column}\n{message}")
}

/// A failure while reading tokens; without a message, the token is one that nobody expected.
#[derive(Debug, Clone)]
pub(super) struct Fail {
    pub at: usize,
    pub message: Option<String>,
}

impl ParserError<Tokens<'_, '_>> for Fail {
    type Inner = Self;

    fn from_input(input: &Tokens<'_, '_>) -> Self {
        Self { at: input.first().map_or(usize::MAX, |token: &Token<'_>| token.at), message: None }
    }

    /// The one that came farther knows more.
    fn or(self, other: Self) -> Self {
        if self.at > other.at { self } else { other }
    }

    fn into_inner(self) -> Result<Self::Inner, Self> {
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::pointed;

    #[test]
    fn the_mark_stands_under_the_place() {
        let text = "SELECT Id, Foo FROM Account";
        let shown = pointed(text, 11, "No such column");
        assert_eq!(shown, "\nSELECT Id, Foo FROM Account\n           ^\nERROR at Row:1:Column:12\nNo such column");
    }

    #[test]
    fn rows_are_counted_but_shown_as_one_line() {
        let shown = pointed("SELECT Id\nFROM  Foo", 16, "x");
        assert_eq!(shown, "\nSELECT Id FROM  Foo\n                ^\nERROR at Row:2:Column:7\nx");
    }

    #[test]
    fn a_long_text_is_cut_around_the_place() {
        let text = format!("SELECT {}Foo FROM {}", "Abcdefg, ".repeat(50), "Account ".repeat(50));
        let at = text.find("Foo").unwrap();
        let shown = pointed(&text, at, "x");
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[1].len() <= 120 && lines[1].starts_with("Abcdefg, "), "{shown}");
        assert_eq!(lines[2].len() - 1, lines[1].find("Foo").unwrap());
        assert_eq!(lines[3], format!("ERROR at Row:1:Column:{}", at + 1));
    }

    #[test]
    fn a_place_within_a_character_or_behind_the_end_does_no_harm() {
        assert!(pointed("äöü", 1, "x").starts_with("\näöü\n^\n"));
        assert!(pointed("äöü", 99, "x").starts_with("\näöü\n   ^\n"));
    }
}
