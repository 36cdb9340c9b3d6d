//! Which stretches of a config file must never be shown, not even in the snippet beside a problem.
//!
//! Hidden is what stands under a key that speaks of secrets, whether it is in the right place or not, unless it is
//! only `${NAME}`; and comments in those lines, because old secrets live on in comments.

use std::ops::Range;

use super::env;
use super::tree::{Kind, Node, Parsed};

/// Byte ranges in ascending order of their start; they may overlap.
pub(super) fn hidden(text: &str, parsed: &Parsed) -> Vec<Range<usize>> {
    let mut hidden = match &parsed.tree {
        Some(tree) => {
            let mut found = Found::default();
            found.look(tree, false);
            found.hidden.extend(parsed.unread.map(|at| at + "---".len()..text.len()));
            let lines: Vec<_> = found.keys.iter().map(|at| line_around(text, *at)).collect();
            let beside = |comment: &&Range<usize>| lines.iter().any(|line| line.contains(&comment.start));
            found.hidden.extend(parsed.comments.iter().filter(beside).cloned());
            found.hidden
        }
        None => hidden_without_tree(text),
    };
    hidden.sort_by_key(|range| range.start);
    hidden
}

/// `webhook`: the path of an address may be all that lets somebody in.
const WORDS: [&str; 5] = ["secret", "passw", "token", "credential", "webhook"];

fn speaks_of_secrets(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    WORDS.iter().any(|word| key.contains(word))
}

/// A key as it may be shown. Without the blank behind its colon, `secret:abc` is one long key.
pub(super) fn harmless_key(key: &str) -> &str {
    let end = if speaks_of_secrets(key) { key.find([':', '=']) } else { None };
    end.and_then(|end| key.get(..end)).unwrap_or(key)
}

/// What a credentials block may show: names of things, and where a secret is kept.
fn is_public(key: &str) -> bool {
    matches!(key, "key" | "file")
}

#[derive(Default)]
struct Found {
    hidden: Vec<Range<usize>>,
    /// Where the keys stand that speak of secrets.
    keys: Vec<usize>,
}

impl Found {
    fn look(&mut self, node: &Node, secret: bool) {
        match &node.kind {
            Kind::Scalar { text, .. } => {
                let url_with_password = text.contains("://") && text.contains('@');
                if (secret && !node.is_null() && env::variable(text).is_none()) || url_with_password {
                    self.hidden.push(node.span.clone());
                }
            }
            Kind::List(items) => items.iter().for_each(|item| self.look(item, secret)),
            Kind::Map(entries) => {
                for (key, value) in entries {
                    if harmless_key(&key.text) != key.text {
                        self.hidden.push(key.span.clone());
                    }
                    let secret = speaks_of_secrets(&key.text) || (secret && !is_public(&key.text));
                    if secret {
                        self.keys.push(key.span.start);
                    }
                    self.look(value, secret);
                }
            }
        }
        for (key, value) in &node.refused {
            self.look(value, secret || key.is_empty() || speaks_of_secrets(key));
        }
    }
}

fn line_around(text: &str, at: usize) -> Range<usize> {
    let start = text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
    let end = text.get(at..).and_then(|rest| rest.find('\n')).map_or(text.len(), |newline| at + newline);
    start..end
}

/// For text that is not YAML: the rest of each line that speaks of secrets, and the deeper lines below it. A quote
/// that stays open hides everything behind it.
fn hidden_without_tree(text: &str) -> Vec<Range<usize>> {
    let mut hidden = Vec::new();
    let mut block: Option<usize> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let range = at..at + line.len();
        at = range.end;
        let indent = line.len() - line.trim_start().len();
        if block.is_some_and(|outer| indent > outer || line.trim().is_empty())
            || line.contains("://") && line.contains('@')
        {
            hidden.push(range);
            continue;
        }
        block = None;
        let lower = line.to_ascii_lowercase();
        let Some(word) = WORDS.iter().filter_map(|word| lower.find(word)).min() else {
            continue;
        };
        let Some(value) = line.get(word..).and_then(|rest| rest.find([':', '='])).map(|colon| word + colon + 1) else {
            continue;
        };
        let rest = line.get(value..).unwrap_or_default();
        if rest.matches('"').count() % 2 == 1 || rest.matches('\'').count() % 2 == 1 {
            hidden.push(range.start + value..text.len());
            return hidden;
        }
        if env::variable(rest.trim()).is_none() {
            hidden.push(range.start + value..range.end);
        }
        block = Some(indent);
    }
    hidden
}
