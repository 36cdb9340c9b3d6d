//! Walking the tree of a config: reads a value as what is expected there, or finds a problem and goes on.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::rc::Rc;
use std::str::FromStr;

use super::env::{self, Piece};
use super::secret;
use super::tree::{Finding, Key, Kind, Node};
use crate::event::InvalidName;
use crate::text::closest;

/// The keys that one kind of block may and must have. `schema.rs` proves that the JSON Schema has the same.
pub(super) struct Keys {
    /// As a problem names the block: 'an org'.
    pub block: &'static str,
    pub required: &'static [&'static str],
    pub optional: &'static [&'static str],
}

/// A value with its place.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    pub value: T,
    /// As it stands in the file; the only form that a problem may quote.
    pub raw: String,
    pub span: Range<usize>,
}

/// A text of the file, with its variables put in.
pub(super) struct Text {
    pub value: String,
    /// As it stands in the file; the only form that a problem may quote.
    pub raw: String,
    /// The value holds a variable's, so that nothing derived from it may be shown.
    pub expanded: bool,
    pub span: Range<usize>,
}

/// A block whose keys were checked.
pub(super) struct Block<'n> {
    entries: &'n [(Key, Rc<Node>)],
    /// Where a problem of the block as a whole is shown.
    pub place: Range<usize>,
    /// Keys that some unknown key may have been meant as; that was said already.
    pub misspelt: Vec<&'static str>,
}

impl<'n> Block<'n> {
    pub fn entry(&self, name: &str) -> Option<(&'n Key, &'n Node)> {
        self.entries.iter().find(|(key, _)| key.text == name).map(|(key, node)| (key, &**node))
    }
}

pub(super) struct Walk<'w> {
    pub source: &'w str,
    pub env: &'w dyn Fn(&str) -> Option<String>,
    pub read: &'w dyn Fn(&Path) -> io::Result<String>,
    /// A variable or a secret file that is not there is no problem: what needs it is left out.
    pub without: bool,
    pub findings: Vec<Finding>,
}

impl Walk<'_> {
    pub fn find(&mut self, span: &Range<usize>, message: impl Into<String>, remedy: impl Into<String>) {
        self.findings.push(Finding { span: span.clone(), message: message.into(), remedy: remedy.into() });
    }

    /// The entries of a block; `owner` is the key that it stands under.
    pub fn entries<'n>(&mut self, node: &'n Node, owner: &Range<usize>, what: &str) -> Option<&'n [(Key, Rc<Node>)]> {
        match &node.kind {
            Kind::Map(entries) => Some(entries),
            _ => {
                let span = if node.is_null() { owner } else { &node.span };
                self.find(
                    span,
                    format!("{what} must be a block of keys, not {}", node.what()),
                    "write `key: value` lines below it, indented",
                );
                None
            }
        }
    }

    /// A block with the keys that belong there; unknown and missing ones are found.
    pub fn block<'n>(&mut self, node: &'n Node, owner: &Range<usize>, keys: &Keys) -> Option<Block<'n>> {
        let entries = self.entries(node, owner, keys.block)?;
        let all = || keys.required.iter().chain(keys.optional).copied();
        let mut typos = Vec::new();
        for (key, _) in entries {
            if all().any(|known| known == key.text) {
                continue;
            }
            let remedy = match closest(&key.text, all()) {
                Some(known) => {
                    typos.push(known);
                    format!("did you mean `{known}`?")
                }
                None if self.cut_by_a_comma(key) => {
                    "between { and } a comma ends a value: put the value before it in quotes".to_owned()
                }
                None if key.text == "<<" => "merging blocks is not possible here: write the keys out".to_owned(),
                None => format!("it may have: {}", all().collect::<Vec<_>>().join(", ")),
            };
            self.find(
                &key.span,
                format!("{} has no key `{}`", keys.block, quoted(secret::harmless_key(&key.text))),
                remedy,
            );
        }
        for required in keys.required {
            // A key that is only misspelt is one problem, not two.
            if !entries.iter().any(|(key, _)| key.text == *required) && !typos.contains(required) {
                self.find(owner, format!("{} needs the key `{required}`", keys.block), format!("add `{required}:`"));
            }
        }
        Some(Block { entries, place: owner.clone(), misspelt: typos })
    }

    /// What stands between two commas, without a colon: the rest of a value with a comma in it.
    fn cut_by_a_comma(&self, key: &Key) -> bool {
        self.source.get(key.span.end..).is_some_and(|rest| rest.trim_start().starts_with([',', '}']))
    }

    pub fn list<'n>(&mut self, (key, node): (&Key, &'n Node)) -> Option<&'n [Rc<Node>]> {
        match &node.kind {
            Kind::List(items) => Some(items),
            _ => {
                let span = if node.is_null() { &key.span } else { &node.span };
                self.find(
                    span,
                    format!("`{}` must be a list, not {}", key.text, node.what()),
                    "start each item with `- `",
                );
                None
            }
        }
    }

    /// A single value as text, with its variables put in. Numbers and `true` count as the text that they are.
    pub fn text(&mut self, (key, node): (&Key, &Node)) -> Option<Text> {
        let Kind::Scalar { text: raw, .. } = &node.kind else {
            self.find(
                &node.span,
                format!("`{}` must be a single value, not {}", quoted(&key.text), node.what()),
                "write it behind the colon, in the same line",
            );
            return None;
        };
        if node.is_null() {
            let before = self.source.get(key.span.end..node.span.start).unwrap_or_default();
            if before.trim_start_matches([':', ' ']).starts_with('!') {
                // It was taken for a tag, which was found.
                return None;
            }
            self.find(
                &key.span,
                format!("`{}` has no value", quoted(&key.text)),
                "write one behind the colon, or remove the key",
            );
            return None;
        }
        let mut value = String::new();
        let (mut expanded, mut complete) = (false, true);
        for piece in env::pieces(raw) {
            match piece {
                Piece::Text(text) => value.push_str(text),
                Piece::Variable(name) => match (self.env)(name) {
                    Some(content) => {
                        value.push_str(&content);
                        expanded = true;
                    }
                    None => {
                        complete = false;
                        if self.without {
                            continue;
                        }
                        let span = self.place_of(&format!("${{{name}}}"), &node.span);
                        self.find(
                            &span,
                            format!("the environment variable {name} is not set"),
                            format!("set {name}, or write $${{ where you mean ${{ itself"),
                        );
                    }
                },
                // Not quoted, for it may be part of a secret.
                Piece::Broken(reference) => {
                    complete = false;
                    let span = self.place_of(reference, &node.span);
                    self.find(
                        &span,
                        "this is no reference to an environment variable",
                        "write ${NAME} with letters, digits and _, or $${ where you mean ${ itself",
                    );
                }
            }
        }
        complete.then(|| Text { value, raw: raw.clone(), expanded, span: node.span.clone() })
    }

    /// Where `part` stands within a value; all of the value if it is written differently there.
    pub fn place_of(&self, part: &str, within: &Range<usize>) -> Range<usize> {
        let found = self.source.get(within.clone()).and_then(|raw| raw.find(part));
        found.map_or(within.clone(), |at| within.start + at..within.start + at + part.len())
    }

    /// One of the names of `event`.
    pub fn name<T: FromStr<Err = InvalidName>>(&mut self, entry: (&Key, &Node)) -> Option<At<T>> {
        let text = self.text(entry)?;
        match text.value.parse() {
            Ok(value) => Some(At { value, raw: text.raw, span: text.span }),
            Err(invalid) => {
                self.invalid_name(&text.raw, &text.span, &invalid);
                None
            }
        }
    }

    /// The name that a key is; variables are not put into keys.
    pub fn key_name<T: FromStr<Err = InvalidName>>(&mut self, key: &Key) -> Option<At<T>> {
        match key.text.parse() {
            Ok(value) => Some(At { value, raw: key.text.clone(), span: key.span.clone() }),
            Err(invalid) => {
                self.invalid_name(&key.text, &key.span, &invalid);
                None
            }
        }
    }

    fn invalid_name(&mut self, raw: &str, span: &Range<usize>, invalid: &InvalidName) {
        self.find(span, format!("`{}` is not {}", quoted(raw), invalid.what), invalid.remedy);
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&mut self, entry: (&Key, &Node), choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(entry)?;
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text.value) {
            return Some(*value);
        }
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        let remedy = match closest(&text.value, words.iter().copied()) {
            Some(word) => format!("did you mean `{word}`?"),
            None => format!("write {}", words.join(" or ")),
        };
        self.find(&text.span, format!("`{}` cannot be `{}`", entry.0.text, quoted(&text.raw)), remedy);
        None
    }
}

/// Text of the file, short and in one line.
pub(super) fn quoted(raw: &str) -> String {
    let mut short: String = raw.chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if raw.chars().nth(60).is_some() {
        short.push('…');
    }
    short
}
