//! How the problems of a config are shown: all of them, each with its place, the line and what to do.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};

use super::tree::Finding;

/// How much something matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It works, and a person should know.
    Note,
    /// It may lose something, or fail on some records.
    Warning,
    /// It cannot work.
    Error,
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing that is wrong. Holds no secret: the line is kept with secrets hidden.
#[derive(Debug, Clone)]
pub struct Problem {
    /// Counted from 1; 0 if the problem is about the file as a whole.
    pub line: usize,
    /// In characters, counted from 1; 0 if the problem is about the file as a whole.
    pub column: usize,
    pub severity: Severity,
    pub message: String,
    /// What to do about it.
    pub remedy: String,
    shown: String,
    caret: Range<usize>,
}

/// Why a config cannot be used; never empty. `Display` shows all problems with their lines, without colours.
#[derive(Debug, Clone)]
pub struct ConfigProblems {
    path: PathBuf,
    problems: Vec<Problem>,
}

impl Problem {
    fn shown_column(&self) -> usize {
        1 + self.shown.get(..self.caret.start).unwrap_or_default().chars().count()
    }
}

impl ConfigProblems {
    pub(super) fn about_file(path: &Path, message: String, remedy: &str) -> Self {
        let problem = Problem {
            line: 0,
            column: 0,
            severity: Severity::Error,
            message,
            remedy: remedy.to_owned(),
            shown: String::new(),
            caret: 0..0,
        };
        Self { path: path.to_owned(), problems: vec![problem] }
    }

    /// `hidden`: byte ranges of `text` that must not be shown.
    pub(super) fn new(path: &Path, text: &str, hidden: &[Range<usize>], findings: Vec<Finding>) -> Self {
        Self::of_each(path, text, hidden, findings.into_iter().map(|finding| (Severity::Error, finding)).collect())
    }

    /// The same, of more and of less weight.
    pub(super) fn of_each(
        path: &Path,
        text: &str,
        hidden: &[Range<usize>],
        mut findings: Vec<(Severity, Finding)>,
    ) -> Self {
        findings.sort_by_key(|(_, finding)| finding.span.start);
        let locate = |(severity, finding)| Problem { severity, ..locate(text, hidden, finding) };
        Self { path: path.to_owned(), problems: findings.into_iter().map(locate).collect() }
    }

    /// In the order of the file.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// All problems as text for a terminal, with or without colours.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() }.decor_style(DecorStyle::Ascii);
        let path = self.path.display().to_string();
        let mut text = String::new();
        for problem in &self.problems {
            let level = match problem.severity {
                Severity::Error => Level::ERROR,
                Severity::Warning => Level::WARNING,
                Severity::Note => Level::NOTE,
            };
            let group = level.primary_title(problem.message.as_str());
            let group = if problem.line == 0 {
                group.element(Origin::path(path.as_str()))
            } else {
                let caret = AnnotationKind::Primary.span(problem.caret.clone());
                let snippet = Snippet::source(problem.shown.as_str()).path(path.as_str()).line_start(problem.line);
                group.element(snippet.annotation(caret))
            };
            let group = group.element(Level::HELP.message(problem.remedy.as_str()));
            // Hiding a secret may have moved the rest of its line, but not its place in the file.
            let moved = format!("{path}:{}:{}", problem.line, problem.shown_column());
            let place = format!("{path}:{}:{}", problem.line, problem.column);
            text.push_str(&renderer.render(&[group]).replacen(&moved, &place, 1));
            text.push_str("\n\n");
        }
        text.push_str(&format!("{} in {path}", self.counted()));
        text
    }

    /// `2 problems`; with others among them `1 error, 2 warnings, 1 note`.
    fn counted(&self) -> String {
        let count = |severity: Severity| self.problems.iter().filter(|problem| problem.severity == severity).count();
        let some = |(count, one): (usize, &str)| match count {
            0 => None,
            1 => Some(format!("1 {one}")),
            count => Some(format!("{count} {one}s")),
        };
        let errors = count(Severity::Error);
        if errors == self.problems.len() {
            return some((errors, "problem")).unwrap_or_default();
        }
        let kinds = [
            (errors, Severity::Error.as_str()),
            (count(Severity::Warning), Severity::Warning.as_str()),
            (count(Severity::Note), Severity::Note.as_str()),
        ];
        kinds.into_iter().filter_map(some).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for ConfigProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for ConfigProblems {}

const HIDDEN: &str = "****";

fn locate(text: &str, hidden: &[Range<usize>], finding: Finding) -> Problem {
    // All of these are boundaries of characters within the text, so slicing cannot fail.
    let start = text.floor_char_boundary(finding.span.start);
    let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
    let line_end = text[line_start..].find('\n').map_or(text.len(), |newline| line_start + newline);
    let end = text.floor_char_boundary(finding.span.end).clamp(start, line_end);

    let mut shown = String::new();
    let mut caret = None::<Range<usize>>;
    let mut masking = false;
    for (offset, character) in text[line_start..line_end].char_indices().filter(|(_, c)| *c != '\r') {
        let at = line_start + offset;
        let mask = hidden.iter().any(|range| range.contains(&at));
        let from = if mask && masking { shown.len() - HIDDEN.len() } else { shown.len() };
        match (mask, masking) {
            (true, false) => shown.push_str(HIDDEN),
            (true, true) => {}
            // Control characters would speak to the terminal.
            (false, _) => shown.push(if character.is_control() && character != '\t' { '\u{fffd}' } else { character }),
        }
        masking = mask;
        if at >= start && at < end.max(start + 1) {
            caret = Some(caret.map_or(from, |caret| caret.start)..shown.len());
        }
    }
    let caret = caret.unwrap_or(shown.len()..shown.len());
    let line = super::tree::line_of(text, start);
    let column = 1 + text[line_start..start].chars().count();
    Problem { line, column, severity: Severity::Error, message: finding.message, remedy: finding.remedy, shown, caret }
}
