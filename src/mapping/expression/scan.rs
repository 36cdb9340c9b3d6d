//! A look at the words of an expression before it is parsed: what people bring along from SQL and formulas is named,
//! and what would nest too deep for the parser is refused.

use std::ops::Range;

use super::{ExpressionProblem, MAX_DEPTH};

pub(super) fn scan(source: &str) -> Vec<ExpressionProblem> {
    let mut scan = Scan { source, at: 0, problems: Vec::new(), open: Vec::new(), levels: vec![Level::default()] };
    scan.run();
    scan.problems
}

struct Scan<'s> {
    source: &'s str,
    at: usize,
    problems: Vec<ExpressionProblem>,
    /// Brackets that are open: what closes each, and where it stands.
    open: Vec<(char, usize)>,
    /// How deep each open bracket's content nests so far; the first is the expression as a whole.
    levels: Vec<Level>,
}

/// Operators of one operand chain, and of a chain of conditions, each of which nests one deeper.
#[derive(Default)]
struct Level {
    chain: usize,
    conditions: usize,
}

impl<'s> Scan<'s> {
    fn run(&mut self) {
        while let Some(c) = self.rest().chars().next() {
            let start = self.at;
            match c {
                _ if c.is_whitespace() => self.at += c.len_utf8(),
                '/' if self.rest().starts_with("//") => {
                    self.at += self.rest().find('\n').unwrap_or(self.rest().len());
                }
                '"' | '\'' => self.string(start, false),
                '{' if self.rest().starts_with("{!") => {
                    self.at += 2;
                    return self.find(start..self.at, "there is no `{!…}`", "write the field's API name alone");
                }
                '(' | '[' | '{' => {
                    self.at += 1;
                    if c == '[' && self.follows_a_value(start) {
                        self.deeper(start, |level| level.chain += 1);
                    }
                    let close = match c {
                        '(' => ')',
                        '[' => ']',
                        _ => '}',
                    };
                    self.open.push((close, start));
                    self.levels.push(Level::default());
                    self.deeper(start, |_| {});
                }
                ')' | ']' | '}' => {
                    self.at += 1;
                    match self.open.pop() {
                        Some((close, _)) if close == c => {
                            self.levels.pop();
                        }
                        Some((close, opened)) => {
                            self.find(start..self.at, format!("`{c}` closes nothing here"), format!("write `{close}`"));
                            self.open.push((close, opened));
                            return;
                        }
                        None => {
                            self.find(start..self.at, format!("`{c}` closes nothing here"), "remove it".to_owned());
                            return;
                        }
                    }
                }
                _ if c.is_ascii_digit() => {
                    let digits = |c: char| c.is_ascii_alphanumeric();
                    self.at += self.rest().len() - self.rest().trim_start_matches(digits).len();
                    let fraction = self
                        .rest()
                        .strip_prefix('.')
                        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
                    if fraction {
                        self.at += 1;
                        self.at += self.rest().len() - self.rest().trim_start_matches(digits).len();
                    }
                }
                _ if c.is_alphabetic() || c == '_' => self.word(start),
                _ => self.sign(c, start),
            }
            if self.problems.len() >= 20 {
                return;
            }
        }
        if let Some((close, opened)) = self.open.pop() {
            self.find(opened..opened + 1, "this bracket is never closed", format!("write `{close}` where it ends"));
        }
    }

    /// An opening bracket here looks something up.
    fn follows_a_value(&self, start: usize) -> bool {
        let before = self.source.get(..start).unwrap_or_default().trim_end();
        before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '"' | '\'' | ')' | ']' | '}'))
    }

    fn rest(&self) -> &'s str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn find(&mut self, span: Range<usize>, message: impl Into<String>, remedy: impl Into<String>) {
        self.problems.push(ExpressionProblem { span, message: message.into(), remedy: remedy.into() });
    }

    fn deeper(&mut self, start: usize, step: fn(&mut Level)) {
        if let Some(level) = self.levels.last_mut() {
            step(level);
        }
        let depth: usize = self.levels.iter().map(|level| 1 + level.chain + level.conditions).sum();
        if depth > MAX_DEPTH && !self.problems.iter().any(|problem| problem.message == TOO_DEEP) {
            self.find(start..self.at.max(start + 1), TOO_DEEP, too_deep());
        }
    }

    fn string(&mut self, start: usize, raw: bool) {
        let quote = if self.rest().starts_with('"') { '"' } else { '\'' };
        let triple = [quote; 3].iter().collect::<String>();
        let long = self.rest().starts_with(&triple);
        self.at += if long { 3 } else { 1 };
        let mut escaped = false;
        while let Some(c) = self.rest().chars().next() {
            if !escaped && c == quote && (!long || self.rest().starts_with(&triple)) {
                self.at += if long { 3 } else { 1 };
                return;
            }
            if !long && (c == '\n' || c == '\r') {
                break;
            }
            escaped = !raw && !escaped && c == '\\';
            self.at += c.len_utf8();
        }
        let at = self.at;
        self.find(start..start + 1, "this text is never closed", format!("write {quote} where it ends"));
        self.at = at.max(self.source.len());
    }

    fn word(&mut self, start: usize) {
        let letters = |c: char| c.is_alphanumeric() || c == '_';
        self.at += self.rest().len() - self.rest().trim_start_matches(letters).len();
        let (span, word) = (start..self.at, self.source.get(start..self.at).unwrap_or_default().to_owned());
        if self.rest().starts_with(['"', '\'']) && word.len() <= 2 {
            match word.to_ascii_lowercase().as_str() {
                "r" => return self.string(start, true),
                "b" | "br" | "rb" => {
                    self.find(span, format!("`{word}` before a text makes bytes of it"), "write the text alone");
                    return self.string(self.at, word.len() == 2);
                }
                _ => {}
            }
        }
        if !word.is_ascii() {
            self.find(span, "a name holds the letters a to z, digits and _ only", "put text into quotes: \"…\"");
            return;
        }
        let called = self.rest().trim_start().starts_with('(');
        let member = self.source.get(..start).unwrap_or_default().trim_end().ends_with('.');
        if member {
            return;
        }
        let remedy = match word.as_str() {
            "AND" | "and" | "And" => "write `a && b`",
            "OR" | "or" | "Or" => "write `a || b`",
            "NOT" | "not" | "Not" => "write `!(…)`, or `!=`",
            "IN" | "In" => "write it small: `x in [\"a\", \"b\"]`",
            "LIKE" | "like" | "Like" => "write `startsWith(…)`, `endsWith(…)`, `contains(…)` or `matches(…)`",
            "IS" | "is" | "Is" => "write `== null` or `!= null`",
            "TRUE" | "True" => "write it small: `true`",
            "FALSE" | "False" => "write it small: `false`",
            "NULL" | "Null" | "None" | "nil" | "undefined" => "write `null`",
            "if" | "IF" | "If" | "then" | "else" | "CASE" | "case" => {
                "write `condition ? this : that`, or a table: `{\"A\": \"B\"}[Field]`"
            }
            "in" => return self.deeper(start, |level| level.chain += 1),
            _ => return,
        };
        // A field may be called Case or Like, but nothing of the rest, and nobody calls a field.
        if !called
            && matches!(word.as_str(), "Case" | "Like" | "Is" | "In" | "Or" | "And" | "Not" | "If" | "None")
            && self.alone(start)
        {
            return;
        }
        self.find(span, format!("there is no `{word}` here"), remedy);
    }

    /// Nothing but brackets, signs or the ends around it: a name, not an operator.
    fn alone(&self, start: usize) -> bool {
        let before = self.source.get(..start).unwrap_or_default().trim_end();
        let after = self.rest().trim_start();
        let operand = |c: char| c.is_alphanumeric() || matches!(c, '_' | '"' | '\'');
        !before.ends_with(operand) && !before.ends_with([')', ']']) && !after.starts_with(operand)
    }

    fn sign(&mut self, c: char, start: usize) {
        let rest = self.rest();
        let two = rest.get(..2).unwrap_or_default();
        let (length, chain): (usize, fn(&mut Level)) = match two {
            "&&" | "||" => (2, |level| level.chain = 0),
            "<>" => {
                self.at += 2;
                return self.find(start..start + 2, "there is no `<>`", "write `!=`");
            }
            "==" | "!=" | "<=" | ">=" => (2, |level| level.chain += 1),
            _ => match c {
                '+' | '-' | '*' | '/' | '%' | '<' | '>' | '.' | '!' => (1, |level| level.chain += 1),
                ':' => (1, |_| {}),
                ',' => (1, |level| *level = Level::default()),
                '?' => (1, |level| {
                    level.chain = 0;
                    level.conditions += 1;
                }),
                _ => {
                    self.at += c.len_utf8();
                    let (message, remedy) = match c {
                        '=' => ("a single `=` compares nothing", "write `==`"),
                        '&' if two == "& " || two.len() < 2 || !two.ends_with('&') => {
                            ("there is no single `&`", "write `&&` for and, `+` to join texts")
                        }
                        '|' => ("there is no single `|`", "write `||`"),
                        '“' | '”' | '„' | '‘' | '’' | '«' | '»' | '´' => {
                            ("this is no quotation mark of a program", "write \"…\" or '…'")
                        }
                        '`' => ("names are written as they are", "remove the `"),
                        ';' => ("one expression only", "remove the `;`"),
                        '^' => ("there is no `^`", "write `*`"),
                        '$' | '@' | '#' | '~' | '\\' => {
                            ("this sign has no meaning here", "write the field's API name alone, text in quotes")
                        }
                        _ => ("this sign has no meaning here", "remove it, or put text into quotes"),
                    };
                    return self.find(start..self.at, message, remedy);
                }
            },
        };
        self.at += length;
        self.deeper(start, chain);
    }
}

const TOO_DEEP: &str = "this is nested too deep";

fn too_deep() -> String {
    format!("keep to {MAX_DEPTH} steps within each other; for many cases write a table, {{\"A\": \"B\"}}[Field]")
}
