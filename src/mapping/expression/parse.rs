//! From text to a tree, by the parser of the crate `cel`.

use std::ops::Range;
use std::thread;

use cel::common::ast::SourceInfo;
use cel::{IdedExpr, ParseError};

use super::ExpressionProblem;

/// The parser goes through eight rules, and comes back through eight visits, for each bracket: measured in a build
/// without optimisation, 64 brackets within each other want 16 MiB.
const STACK: usize = 32 << 20;

/// The tree and the places of its nodes. Parsed by a thread of its own: the caller's stack may be as small as it is, and
/// if the parser ever gives up in panic, this is a problem of one expression.
pub(super) fn parse(source: &str) -> Result<(IdedExpr, SourceInfo), Vec<ExpressionProblem>> {
    let text = source.to_owned();
    let parser = move || {
        // No macros: `has`, `map` and the like arrive as the calls that they are written as.
        let parser = cel::Env::default().with_optional_support(false).parser();
        parser.parse_with_source_info(&text).map_err(|errors| {
            let problems = errors.errors.iter().map(|error| problem(&text, error)).collect();
            only_the_first_of_its_kind(problems, &errors.errors)
        })
    };
    let thread = thread::Builder::new().name("expression".to_owned()).stack_size(STACK).spawn(parser);
    match thread.map(thread::JoinHandle::join) {
        Ok(Ok(parsed)) => parsed,
        Ok(Err(_)) | Err(_) => Err(vec![ExpressionProblem {
            span: 0..source.len(),
            message: "this cannot be read as an expression".to_owned(),
            remedy: "write it in smaller parts".to_owned(),
        }]),
    }
}

/// After one wrong word a parser sees more of them that are none.
fn only_the_first_of_its_kind(mut problems: Vec<ExpressionProblem>, errors: &[ParseError]) -> Vec<ExpressionProblem> {
    if let Some(first) = errors.iter().position(|error| error.msg.starts_with("Syntax error")) {
        problems.truncate(first + 1);
    }
    problems
}

fn problem(source: &str, error: &ParseError) -> ExpressionProblem {
    let span = place(source, error.pos);
    let at = source.get(span.clone()).unwrap_or_default().trim().to_owned();
    let (message, remedy) = if let Some(word) = error.msg.strip_prefix("reserved identifier: ") {
        (format!("`{word}` is a word that the language keeps for itself"), "use another name".to_owned())
    } else if error.msg.contains("int literal") {
        ("this number has too many digits".to_owned(), "write it with a point: 12345678901234567890.0".to_owned())
    } else if error.msg.contains("string literal") {
        ("this text holds an unknown \\ sequence".to_owned(), "write \\\\ for a \\, or r\"…\" for a pattern".to_owned())
    } else if at.is_empty() {
        ("the expression ends too early".to_owned(), "write what should follow".to_owned())
    } else {
        (format!("`{at}` does not belong here"), "is an operator, a comma or a bracket missing before it?".to_owned())
    };
    ExpressionProblem { span, message, remedy }
}

/// Line and column, counted from 1, to the word that stands there.
fn place(source: &str, (line, column): (isize, isize)) -> Range<usize> {
    let skip = usize::try_from(line - 1).unwrap_or(0);
    let start_of_line: usize = source.split_inclusive('\n').take(skip).map(str::len).sum();
    let rest = source.get(start_of_line..).unwrap_or_default();
    let column = usize::try_from(column - 1).unwrap_or(0);
    let within = rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at);
    let start = (start_of_line + within).min(source.len());
    start..end_of_word(source, start)
}

/// The end of the name, number or sign that starts here.
pub(super) fn end_of_word(source: &str, start: usize) -> usize {
    let rest = source.get(start..).unwrap_or_default();
    let name = rest.len() - rest.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_').len();
    let length = if name > 0 { name } else { rest.chars().next().map_or(0, char::len_utf8) };
    start + length
}
