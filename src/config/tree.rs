//! YAML text -> a tree in which every value knows its place.
//!
//! serde stops at the first thing that it does not like; this tree is walked to the end, so that all problems are
//! found at once. Scalars stay text: what they mean is decided where they are used. An alias (`*name`) shares the
//! node of its anchor and has the anchor's place.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Tag};

/// So many nodes may come by aliases. A few lines can name more than any machine could walk through.
const MAX_ALIASED: usize = 100_000;

/// A value of the file; `span` is in bytes.
#[derive(Debug)]
pub(super) struct Node {
    pub span: Range<usize>,
    pub kind: Kind,
    /// How many nodes it is, itself and all below it, counted wherever an alias shows them again.
    pub size: usize,
    /// Entries of a map that mean nothing, because their key is no word or came before. Only looked at for secrets.
    pub refused: Vec<(String, Rc<Node>)>,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// `plain` is false for anything quoted, `|` and `>`: those are always text.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Rc<Node>>),
    Map(Vec<(Key, Rc<Node>)>),
}

#[derive(Debug, Clone)]
pub(super) struct Key {
    pub text: String,
    pub span: Range<usize>,
}

/// Something wrong at a place, not yet shown to anybody.
#[derive(Debug)]
pub(super) struct Finding {
    pub span: Range<usize>,
    pub message: String,
    pub remedy: String,
}

/// What a text holds: no tree if it is not YAML.
pub(super) struct Parsed {
    pub tree: Option<Rc<Node>>,
    pub comments: Vec<Range<usize>>,
    /// Where a second document begins, which nobody reads.
    pub unread: Option<usize>,
    pub findings: Vec<Finding>,
}

impl Node {
    /// Where to show what is said of the whole: the first key of a block, or all of anything else.
    pub fn place(&self) -> &Range<usize> {
        match &self.kind {
            Kind::Map(entries) => entries.first().map_or(&self.span, |(key, _)| &key.span),
            _ => &self.span,
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// In words that somebody who never heard of YAML's own can follow.
    pub fn what(&self) -> &'static str {
        match self.kind {
            Kind::Scalar { .. } if self.is_null() => "nothing",
            Kind::Scalar { .. } => "a single value",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a block of keys",
        }
    }
}

/// A list or map that is still open.
struct Open {
    anchor: usize,
    span: Range<usize>,
    content: Content,
}

enum Content {
    List(Vec<Rc<Node>>),
    Map { entries: Vec<(Key, Rc<Node>)>, refused: Vec<(String, Rc<Node>)>, key: Option<Result<Key, String>> },
}

#[derive(Default)]
struct Builder<'t> {
    text: &'t str,
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    root: Option<Rc<Node>>,
    /// The nodes that came by aliases so far.
    aliased: usize,
    findings: Vec<Finding>,
}

pub(super) fn parse(text: &str) -> Parsed {
    let mut builder = Builder { text, ..Builder::default() };
    let mut comments = Vec::new();
    let mut unread = None;
    for event in Parser::new_from_str(text) {
        let (event, span) = match event {
            Ok((event, span)) => (event, span.byte_range().unwrap_or_default()),
            Err(error) => {
                let at = error.marker().byte_offset().unwrap_or(text.len());
                let finding = broken(text, at, &error.info());
                return Parsed { tree: None, comments, unread, findings: vec![finding] };
            }
        };
        match event {
            Event::Comment(..) => comments.push(span),
            Event::DocumentStart(..) if builder.root.is_some() => {
                unread = Some(span.start);
                builder.find(
                    span,
                    "a second document begins here",
                    "a config is one document: remove the line with ---",
                );
                break;
            }
            Event::Alias(anchor) => match builder.anchors.get(&anchor).cloned() {
                Some(node) => {
                    let fits = builder.may_repeat(&span, node.size);
                    builder.add(if fits { node } else { null(span) }, 0);
                }
                None => {
                    builder.find(span.clone(), "an alias that stands inside of what it names", "write the values out");
                    builder.add(null(span), 0);
                }
            },
            Event::Scalar(value, style, anchor, tag) => {
                let text_by_tag = builder.tag(&span, tag.as_deref());
                let plain = style == ScalarStyle::Plain && !text_by_tag;
                // A missing value and an empty one arrive as `~` without a width.
                builder.add(scalar(span, value.into_owned(), plain), anchor);
            }
            Event::SequenceStart(_, anchor, tag) => {
                builder.tag(&span, tag.as_deref());
                builder.open.push(Open { anchor, span, content: Content::List(Vec::new()) });
            }
            Event::MappingStart(_, anchor, tag) => {
                builder.tag(&span, tag.as_deref());
                builder.open.push(Open {
                    anchor,
                    span,
                    content: Content::Map { entries: Vec::new(), refused: Vec::new(), key: None },
                });
            }
            Event::SequenceEnd | Event::MappingEnd => builder.close(),
            _ => {}
        }
    }
    if builder.root.as_ref().is_none_or(|root| root.is_null()) {
        builder.find(0..0, "the file is empty", "start with `version: 1`; config/bridge.example.yaml shows every key");
        builder.root = None;
    }
    Parsed { tree: builder.root, comments, unread, findings: builder.findings }
}

/// The parser's own words, and what is the reason most of the time.
fn broken(text: &str, at: usize, info: &str) -> Finding {
    let info = info.lines().next().unwrap_or_default();
    let before = text.get(..at).unwrap_or_default();
    let line = before.rsplit('\n').next().unwrap_or_default();
    let remedy = if before.ends_with('$') && text.get(at..).is_some_and(|rest| rest.starts_with('{')) {
        "between { and } a variable needs quotes: \"${NAME}\""
    } else if ["cel:", "when:"].iter().any(|key| line.contains(key)) {
        "put the expression into quotes: cel: '…'; what has both kinds of quotes goes behind >- into a line of its own"
    } else if line.trim_start_matches(' ').starts_with('\t') || info.contains("tab") {
        "indent with blanks, not with tabs"
    } else {
        "look at the indentation, quotes and brackets here and in the line above"
    };
    Finding { span: at..at + 1, message: format!("this is not YAML: {info}"), remedy: remedy.to_owned() }
}

/// Counted from 1.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

fn scalar(span: Range<usize>, text: String, plain: bool) -> Rc<Node> {
    Rc::new(Node { span, kind: Kind::Scalar { text, plain }, size: 1, refused: Vec::new() })
}

fn null(span: Range<usize>) -> Rc<Node> {
    scalar(span, "~".to_owned(), true)
}

impl Builder<'_> {
    fn find(&mut self, span: Range<usize>, message: impl Into<String>, remedy: impl Into<String>) {
        self.findings.push(Finding { span, message: message.into(), remedy: remedy.into() });
    }

    /// Whether an alias may bring so many nodes more. What is too much is told once.
    fn may_repeat(&mut self, span: &Range<usize>, size: usize) -> bool {
        let before = self.aliased;
        // The sizes stay small, for what is too large is never put into the tree.
        self.aliased = before.saturating_add(size);
        if before <= MAX_ALIASED && self.aliased > MAX_ALIASED {
            self.find(
                span.clone(),
                format!("with this alias, aliases stand for more than {MAX_ALIASED} values"),
                "write the values out, or name fewer of them: an alias of aliases multiplies them",
            );
        }
        self.aliased <= MAX_ALIASED
    }

    /// True if the tag says 'text'. Tags of the YAML schema are harmless, others have no meaning here.
    fn tag(&mut self, span: &Range<usize>, tag: Option<&Tag>) -> bool {
        let Some(tag) = tag else { return false };
        if !tag.is_yaml_core_schema() {
            self.find(
                span.clone(),
                "a tag (`!name`) means nothing here",
                "remove it; what starts with ! goes into quotes: '!has(Name)'",
            );
        }
        tag.is_yaml_core_schema_tag("str")
    }

    fn add(&mut self, node: Rc<Node>, anchor: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        let Some(open) = self.open.last_mut() else {
            self.root.get_or_insert(node);
            return;
        };
        match &mut open.content {
            Content::List(items) => items.push(node),
            Content::Map { entries, refused, key } => match key.take() {
                Some(Err(key)) => refused.push((key, node)),
                Some(Ok(key)) => entries.push((key, node)),
                None => {
                    let word = match &node.kind {
                        Kind::Scalar { text, .. } if !node.is_null() => text.clone(),
                        _ => String::new(),
                    };
                    let first = entries.iter().find(|(key, _)| key.text == word);
                    let problem = match first {
                        _ if word.is_empty() => Some(("a key must be a single word", "write `key: value`".to_owned())),
                        Some((first, _)) => {
                            let line = line_of(self.text, first.span.start);
                            Some(("this key is here twice", format!("keep one of them; the first is in line {line}")))
                        }
                        None => None,
                    };
                    let span = node.span.clone();
                    match problem {
                        None => *key = Some(Ok(Key { text: word, span })),
                        Some((message, remedy)) => {
                            *key = Some(Err(word));
                            self.find(span, message, remedy);
                        }
                    }
                }
            },
        }
    }

    fn close(&mut self) {
        // The parser closes what it opened, so there is always one.
        let Some(Open { anchor, span, content }) = self.open.pop() else { return };
        let (kind, refused) = match content {
            Content::List(items) => (Kind::List(items), Vec::new()),
            Content::Map { entries, refused, .. } => (Kind::Map(entries), refused),
        };
        let below = match &kind {
            Kind::Scalar { .. } => 0,
            Kind::List(items) => items.iter().map(|item| item.size).sum::<usize>(),
            Kind::Map(entries) => entries.iter().map(|(_, value)| value.size).sum(),
        };
        let size = 1 + below + refused.iter().map(|(_, value)| value.size).sum::<usize>();
        self.add(Rc::new(Node { span, kind, size, refused }), anchor);
    }
}
