//! A small part of SOQL: text in, [`Query`] out. What it does not know is MALFORMED_QUERY; pure.
//!
//! `SELECT a, B.c | COUNT() FROM Object [WHERE …] [ORDER BY a [ASC|DESC] [NULLS FIRST|LAST], …] [LIMIT n]`, with
//! comparisons, `IN` and `NOT IN`, `AND`, `OR`, `NOT` and brackets.

/// A field, or a field of a parent: `["Account", "Name"]`.
pub type Path = Vec<String>;

#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// `None` is `COUNT()`.
    pub select: Option<Vec<Path>>,
    pub from: String,
    pub filter: Option<Filter>,
    pub order: Vec<Order>,
    pub limit: Option<usize>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    pub path: Path,
    pub descending: bool,
    pub nulls_last: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Not(Box<Filter>),
    Compare(Path, Comparison, Literal),
    In(Path, Vec<Literal>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    Null,
    Bool(bool),
    Text(String),
    /// A number, a date or a date-time, as it was written.
    Bare(String),
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    /// A name, a number, a date, or a keyword.
    Word(String),
    Text(String),
    Sign(&'static str),
}

/// Deeper brackets are refused, before the stack ends.
const DEPTH: usize = 50;
const SIGNS: [&str; 9] = ["!=", "<>", "<=", ">=", "=", "<", ">", "(", ")"];

/// # Errors
/// The message of a MALFORMED_QUERY.
pub fn parse(text: &str) -> Result<Query, String> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0 };
    let query = parser.query()?;
    match parser.next() {
        None => Ok(query),
        Some(token) => Err(unexpected(Some(&token))),
    }
}

/// The part behind WHERE alone, as rules are written.
///
/// # Errors
/// The message of a MALFORMED_QUERY.
pub fn parse_condition(text: &str) -> Result<Filter, String> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0 };
    let filter = parser.any(0)?;
    match parser.next() {
        None => Ok(filter),
        Some(token) => Err(unexpected(Some(&token))),
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if first == '\'' {
            let (value, after) = quoted(&rest[1..])?; // the quote is one byte
            tokens.push(Token::Text(value));
            rest = after;
        } else if first == ',' {
            tokens.push(Token::Sign(","));
            rest = rest.get(1..).unwrap_or_default();
        } else if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
            tokens.push(Token::Sign(sign));
            rest = rest.get(sign.len()..).unwrap_or_default();
        } else {
            let in_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-' | '+');
            let end = rest.find(|c| !in_word(c)).unwrap_or(rest.len());
            if end == 0 {
                return Err(format!("unexpected token: '{first}'"));
            }
            let (word, after) = rest.split_at(end);
            tokens.push(Token::Word(word.to_owned()));
            rest = after;
        }
        rest = rest.trim_start();
    }
    Ok(tokens)
}

/// The value of a string literal behind its opening quote, and what follows it.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' => return Ok((value, text.get(at + 1..).unwrap_or_default())),
            '\\' => match chars.next().map(|(_, c)| c) {
                Some('n' | 'N') => value.push('\n'),
                Some('r' | 'R') => value.push('\r'),
                Some('t' | 'T') => value.push('\t'),
                Some(c @ ('\'' | '"' | '\\')) => value.push(c),
                _ => return Err("Illegal string literal: invalid escape sequence".into()),
            },
            c => value.push(c),
        }
    }
    Err("line 1:0 mismatched character '<EOF>' expecting '''".into())
}

fn unexpected(token: Option<&Token>) -> String {
    match token {
        Some(Token::Word(word)) => format!("unexpected token: '{word}'"),
        Some(Token::Text(text)) => format!("unexpected token: '{text}'"),
        Some(Token::Sign(sign)) => format!("unexpected token: '{sign}'"),
        None => "unexpected token: '<EOF>'".into(),
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.peek().cloned();
        self.at += 1;
        token
    }

    /// Takes a keyword if it comes next.
    fn keyword(&mut self, keyword: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(keyword));
        self.at += usize::from(found);
        found
    }

    fn sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Sign(given)) if *given == sign);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, found: bool) -> Result<(), String> {
        if found { Ok(()) } else { Err(unexpected(self.peek())) }
    }

    fn word(&mut self) -> Result<String, String> {
        match self.next() {
            Some(Token::Word(word)) => Ok(word),
            other => Err(unexpected(other.as_ref())),
        }
    }

    fn path(&mut self) -> Result<Path, String> {
        Ok(self.word()?.split('.').map(str::to_owned).collect())
    }

    fn query(&mut self) -> Result<Query, String> {
        let found = self.keyword("SELECT");
        self.expect(found)?;
        let mut paths = vec![self.path()?];
        let count = matches!(paths.as_slice(), [path] if matches!(path.as_slice(), [name] if name.eq_ignore_ascii_case("COUNT")));
        let select = if count && self.sign("(") {
            let found = self.sign(")");
            self.expect(found)?;
            None
        } else {
            while self.sign(",") {
                paths.push(self.path()?);
            }
            Some(paths)
        };
        let found = self.keyword("FROM");
        self.expect(found)?;
        let from = self.word()?;
        let filter = if self.keyword("WHERE") { Some(self.any(0)?) } else { None };
        let order = if self.keyword("ORDER") { self.order()? } else { Vec::new() };
        let limit = match self.keyword("LIMIT") {
            true => Some(self.word()?.parse().map_err(|_| unexpected(self.tokens.get(self.at - 1)))?),
            false => None,
        };
        Ok(Query { select, from, filter, order, limit })
    }

    fn order(&mut self) -> Result<Vec<Order>, String> {
        let found = self.keyword("BY");
        self.expect(found)?;
        let mut order = Vec::new();
        loop {
            let path = self.path()?;
            let descending = !self.keyword("ASC") && self.keyword("DESC");
            let nulls_last = self.keyword("NULLS") && !self.keyword("FIRST") && {
                let found = self.keyword("LAST");
                self.expect(found)?;
                true
            };
            order.push(Order { path, descending, nulls_last });
            if !self.sign(",") {
                return Ok(order);
            }
        }
    }

    fn any(&mut self, depth: usize) -> Result<Filter, String> {
        let mut parts = vec![self.all(depth)?];
        while self.keyword("OR") {
            parts.push(self.all(depth)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Filter::Any(parts) })
    }

    fn all(&mut self, depth: usize) -> Result<Filter, String> {
        let mut parts = vec![self.condition(depth)?];
        while self.keyword("AND") {
            parts.push(self.condition(depth)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Filter::All(parts) })
    }

    fn condition(&mut self, depth: usize) -> Result<Filter, String> {
        if depth > DEPTH {
            return Err("the query is nested too deeply".into());
        }
        if self.keyword("NOT") {
            return Ok(Filter::Not(Box::new(self.condition(depth + 1)?)));
        }
        if self.sign("(") {
            let inner = self.any(depth + 1)?;
            let found = self.sign(")");
            self.expect(found)?;
            return Ok(inner);
        }
        let path = self.path()?;
        if self.keyword("IN") {
            return Ok(Filter::In(path, self.list()?));
        }
        if self.keyword("NOT") {
            let found = self.keyword("IN");
            self.expect(found)?;
            return Ok(Filter::Not(Box::new(Filter::In(path, self.list()?))));
        }
        let comparison = match self.next() {
            Some(Token::Sign("=")) => Comparison::Equal,
            Some(Token::Sign("!=" | "<>")) => Comparison::NotEqual,
            Some(Token::Sign("<")) => Comparison::Less,
            Some(Token::Sign("<=")) => Comparison::LessOrEqual,
            Some(Token::Sign(">")) => Comparison::Greater,
            Some(Token::Sign(">=")) => Comparison::GreaterOrEqual,
            other => return Err(unexpected(other.as_ref())),
        };
        Ok(Filter::Compare(path, comparison, self.literal()?))
    }

    fn list(&mut self) -> Result<Vec<Literal>, String> {
        let found = self.sign("(");
        self.expect(found)?;
        let mut list = vec![self.literal()?];
        while self.sign(",") {
            list.push(self.literal()?);
        }
        let found = self.sign(")");
        self.expect(found)?;
        Ok(list)
    }

    fn literal(&mut self) -> Result<Literal, String> {
        match self.next() {
            Some(Token::Text(text)) => Ok(Literal::Text(text)),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("null") => Ok(Literal::Null),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("true") => Ok(Literal::Bool(true)),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("false") => Ok(Literal::Bool(false)),
            Some(Token::Word(word)) if word.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+')) => {
                Ok(Literal::Bare(word))
            }
            other => Err(unexpected(other.as_ref())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_with_everything_is_read() {
        let query = parse(
            "select Id, Account.Name from Contact where Source_Id__c IN ('a\\'b', 'c') and (Name != null OR not IsDeleted = true) \
             and SystemModstamp >= 2026-03-01T00:00:00Z order by SystemModstamp desc nulls last, Id limit 10",
        )
        .unwrap();
        assert_eq!(query.select.unwrap()[1], ["Account", "Name"]);
        let Some(Filter::All(parts)) = query.filter else { panic!("no AND") };
        assert_eq!(
            parts[0],
            Filter::In(vec!["Source_Id__c".into()], vec![Literal::Text("a'b".into()), Literal::Text("c".into())])
        );
        assert!(matches!(&parts[1], Filter::Any(both) if matches!(both[1], Filter::Not(_))));
        assert!(matches!(&parts[2], Filter::Compare(_, Comparison::GreaterOrEqual, Literal::Bare(_))));
        assert_eq!((query.order.len(), query.order[0].descending, query.order[0].nulls_last), (2, true, true));
        assert_eq!(query.limit, Some(10));
    }

    #[test]
    fn count_selects_nothing() {
        assert_eq!(parse("SELECT COUNT() FROM Account").unwrap().select, None);
    }

    #[test]
    fn what_it_does_not_know_is_refused_by_name() {
        for (text, token) in [
            ("", "<EOF>"),
            ("SELECT Id", "<EOF>"),
            ("SELECT Id FROM Account WHERE", "<EOF>"),
            ("SELECT Id FROM Account WHERE Name LIKE 'a%'", "LIKE"),
            ("SELECT Id FROM Account LIMIT x", "x"),
            ("SELECT Id FROM Account GROUP BY Id", "GROUP"),
            ("SELECT Id FROM Account WHERE Name = a", "a"),
            ("SELECT Id FROM Account;", ";"),
        ] {
            assert_eq!(parse(text), Err(format!("unexpected token: '{token}'")), "{text}");
        }
        assert!(parse("SELECT Id FROM Account WHERE Name = 'open").is_err());
        assert!(parse(&format!("SELECT Id FROM Account WHERE {}", "(".repeat(10_000))).is_err());
    }
}
