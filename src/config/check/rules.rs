//! `fields` of a pipeline: what fills each of them.

use std::collections::BTreeMap;

use super::super::tree::{Key, Kind, Node};
use super::super::walk::{At, Block, Keys, Walk, quoted};
use super::super::{FieldRule, Fill, IfMissing, OnNull, Truncate, WriteOn};
use super::lookups;
use crate::event::{Decimal, FieldName, FieldPath, PipelineName, Value};
use crate::mapping::Expression;

pub(in super::super) const CONSTANT: Keys = Keys { block: "a constant", required: &["value"], optional: &["write_on"] };
pub(in super::super) const FIELD: Keys = Keys {
    block: "a source field",
    required: &["from"],
    optional: &["table", "default", "write_on", "on_null", "truncate"],
};
pub(in super::super) const COMPUTED: Keys =
    Keys { block: "an expression", required: &["cel"], optional: &["write_on", "on_null", "truncate"] };
pub(in super::super) const PARENT: Keys =
    Keys { block: "a reference to a parent", required: &["parent", "from"], optional: &["if_missing", "write_on"] };
pub(in super::super) const INSTEAD: Keys =
    Keys { block: "what is written instead", required: &["value"], optional: &[] };
/// What a field's rule may have before it is known which one it is.
const RULE: Keys = Keys {
    block: "a field's rule",
    required: &[],
    optional: &[
        "value",
        "from",
        "table",
        "default",
        "cel",
        "parent",
        "find",
        "record_type",
        "owner",
        "write_on",
        "on_null",
        "truncate",
        "if_missing",
    ],
};
/// The longest text that a field can hold (a long text area).
const TEXT_MAX: usize = 131_072;

pub(super) struct Mapped {
    /// As it is written; None below if that is no name of a field.
    pub written: String,
    pub target: Option<At<FieldName>>,
    pub rule: Option<At<FieldRule>>,
}

pub(super) fn fields(walk: &mut Walk<'_>, (key, node): (&Key, &Node)) -> Option<Vec<Mapped>> {
    let entries = walk.entries(node, &key.span, "`fields`")?;
    let mut fields: Vec<Mapped> = Vec::with_capacity(entries.len());
    for (key, node) in entries {
        let target = walk.key_name::<FieldName>(key);
        // The org does not tell upper from lower case in names of fields.
        if let Some(first) = fields.iter().find(|field| field.written.eq_ignore_ascii_case(&key.text)) {
            let message = format!("the target field `{}` is filled twice", key.text);
            let remedy =
                format!("keep one; upper and lower case do not make it another field than `{}`", first.written);
            walk.find(&key.span, message, remedy);
        }
        let rule = rule(walk, (key, node));
        fields.push(Mapped { written: key.text.clone(), target, rule });
    }
    Some(fields)
}

/// What fills one field.
fn rule(walk: &mut Walk<'_>, (key, node): (&Key, &Node)) -> Option<At<FieldRule>> {
    let Kind::Map(entries) = &node.kind else {
        if let Some(formula) = formula(walk, (key, node)) {
            let remedy = format!("to compute it write {{ cel: '{}' }}", quoted(formula.trim_start_matches('=').trim()));
            walk.find(&node.span, "this is no source field", remedy);
            return None;
        }
        let path = walk.name::<FieldPath>((key, node))?;
        return Some(At { value: Fill::Source(path.value).into(), raw: path.raw, span: path.span });
    };
    let has = |name: &str| entries.iter().any(|(key, _)| key.text == name);
    let keys = if has("value") {
        &CONSTANT
    } else if has("find") {
        &lookups::FIND
    } else if has("record_type") {
        &lookups::RECORD_TYPE
    } else if has("owner") {
        &lookups::OWNER
    } else if has("as") {
        &lookups::TAKEN_AS
    } else if has("cel") {
        &COMPUTED
    } else if has("parent") {
        &PARENT
    } else if has("from") {
        &FIELD
    } else {
        let before = walk.findings.len();
        walk.block(node, &key.span, &RULE);
        if walk.findings.len() == before {
            let remedy = "write a source field, { from: … }, { value: … }, { cel: … }, { parent: …, from: … }, \
                          { find: …, by: …, from: … }, { record_type: … } or { owner: … }";
            walk.find(&key.span, "nothing fills this field", remedy);
        }
        return None;
    };
    let block = walk.block(node, &key.span, keys)?;
    let fill = fill(walk, &block, node);
    let write_on = match block.entry("write_on") {
        Some(entry) => write_on(walk, entry),
        None => Some(WriteOn::default()),
    };
    let on_null = match block.entry("on_null") {
        // What would be written instead of a record that is found is no record.
        Some(entry) if block.entry("find").is_some() => on_null_word(walk, entry),
        Some(entry) => on_null(walk, entry),
        None => Some(OnNull::default()),
    };
    let truncate = match block.entry("truncate") {
        Some(entry) => truncate(walk, entry).map(Some),
        None => Some(None),
    };
    let if_missing = match block.entry("if_missing") {
        Some(entry) => lookups::if_missing(walk, entry).map(Some),
        None => Some(None),
    };
    if let (Some(Some(IfMissing::FillLater)), Some(WriteOn::Create), Some((key, _))) =
        (if_missing, write_on, block.entry("if_missing"))
    {
        let remedy = "write `wait`, or let updates write the field, too";
        walk.find(&key.span, "what is written at creates only cannot be filled later", remedy);
        return None;
    }
    let fill = fill?;
    let value = FieldRule {
        fill: fill.value,
        write_on: write_on?,
        on_null: on_null?,
        truncate: truncate?,
        if_missing: if_missing?,
    };
    Some(At { value, raw: fill.raw, span: fill.span })
}

/// What is written where a field is expected, and is a formula.
fn formula<'n>(walk: &Walk<'_>, (_, node): (&Key, &'n Node)) -> Option<&'n str> {
    let Kind::Scalar { text, .. } = &node.kind else { return None };
    let variable = walk.source.get(node.span.clone()).is_some_and(|raw| raw.contains("${"));
    let sign = |c: char| matches!(c, '(' | '+' | '"' | '\'' | '=' | '?' | '&' | '|');
    (!variable && text.contains(sign)).then_some(text.as_str())
}

fn fill(walk: &mut Walk<'_>, block: &Block<'_>, node: &Node) -> Option<At<Fill>> {
    if let Some(entry) = block.entry("value") {
        let value = constant(walk, entry)?;
        return Some(At { value: Fill::Constant(value), raw: String::new(), span: node.span.clone() });
    }
    if let Some(fill) = lookups::fill(walk, block, node) {
        return fill;
    }
    if let Some(entry) = block.entry("cel") {
        let source = expression(walk, entry)?;
        return Some(At { value: Fill::Expression(source.value), raw: source.raw, span: source.span });
    }
    let from = block.entry("from").and_then(|entry| walk.name::<FieldPath>(entry));
    if let Some((key, parents)) = block.entry("parent") {
        let names: Vec<Option<At<PipelineName>>> = match &parents.kind {
            Kind::List(items) => items.iter().map(|item| walk.name((key, item))).collect(),
            _ => vec![walk.name((key, parents))],
        };
        if names.is_empty() {
            walk.find(&parents.span, "no pipeline is named", "name the pipelines that write the parent records");
        }
        let names = names.into_iter().collect::<Option<Vec<_>>>()?;
        let (raw, span) = (names.first()?.raw.clone(), parents.span.clone());
        let pipelines = names.into_iter().map(|name| name.value).collect();
        return Some(At { value: Fill::Parent { pipelines, from: from?.value }, raw, span });
    }
    let default = block.entry("default").map(|entry| constant(walk, entry));
    let Some(table) = block.entry("table") else {
        if let Some((key, _)) = block.entry("default") {
            let remedy = "for an empty source field write `on_null: { value: … }`";
            walk.find(&key.span, "`default` is for values that a `table` does not list", remedy);
            return None;
        }
        let from = from?;
        return Some(At { value: Fill::Source(from.value), raw: from.raw, span: from.span });
    };
    let entries = entries(walk, table)?;
    let from = from?;
    let default = match default {
        Some(default) => Some(default?),
        None => None,
    };
    let value = Fill::Table { from: from.value, entries, default };
    Some(At { value, raw: from.raw, span: from.span })
}

/// A value of the source, a colon, and the value of the target.
fn entries(walk: &mut Walk<'_>, (key, node): (&Key, &Node)) -> Option<BTreeMap<String, Value>> {
    let lines = walk.entries(node, &key.span, "`table`")?;
    if lines.is_empty() {
        walk.find(&key.span, "`table` is empty", "write a line `source value: target value` for each value");
        return None;
    }
    let read = lines.iter().map(|(key, node)| Some((key.text.clone(), constant(walk, (key, node))?)));
    // All of them, so that all problems are found.
    read.collect::<Vec<_>>().into_iter().collect()
}

fn write_on(walk: &mut Walk<'_>, (key, node): (&Key, &Node)) -> Option<WriteOn> {
    let choices = [("create", WriteOn::Create), ("update", WriteOn::Update)];
    let Kind::List(items) = &node.kind else { return walk.choice((key, node), &choices) };
    let chosen: Vec<_> = items.iter().map(|item| walk.choice((key, item), &choices)).collect();
    let chosen: Vec<WriteOn> = chosen.into_iter().collect::<Option<_>>()?;
    match chosen.as_slice() {
        [] => {
            walk.find(&node.span, "the field is never written", "remove the field, or write [create, update]");
            None
        }
        [first, rest @ ..] if rest.iter().all(|one| one == first) => Some(*first),
        _ => Some(WriteOn::Both),
    }
}

fn on_null(walk: &mut Walk<'_>, (key, node): (&Key, &Node)) -> Option<OnNull> {
    if matches!(node.kind, Kind::Map(_)) {
        let block = walk.block(node, &key.span, &INSTEAD)?;
        return constant(walk, block.entry("value")?).map(OnNull::Value);
    }
    on_null_word(walk, (key, node))
}

fn on_null_word(walk: &mut Walk<'_>, entry: (&Key, &Node)) -> Option<OnNull> {
    walk.choice(entry, &[("send", OnNullWord::Send), ("skip", OnNullWord::Skip)]).map(|word| match word {
        OnNullWord::Send => OnNull::Send,
        OnNullWord::Skip => OnNull::Skip,
    })
}

#[derive(Clone, Copy)]
enum OnNullWord {
    Send,
    Skip,
}

fn truncate(walk: &mut Walk<'_>, entry: (&Key, &Node)) -> Option<Truncate> {
    let text = walk.text(entry)?;
    match text.value.parse::<usize>() {
        Ok(length) if (1..=TEXT_MAX).contains(&length) => Some(Truncate::To(length)),
        Err(_) if text.value == "true" => Some(Truncate::Field),
        Ok(_) | Err(_) => {
            let remedy = format!(
                "write how many characters are kept, 1 to {TEXT_MAX}, or `true`: as many as the target's field takes"
            );
            walk.find(&text.span, "`truncate` must be a number of characters, or true", remedy);
            None
        }
    }
}

/// A condition, compiled.
pub(super) fn condition(walk: &mut Walk<'_>, entry: (&Key, &Node)) -> Option<At<Expression>> {
    let compiled = expression(walk, entry)?;
    if let Some(gives) = compiled.value.never_holds() {
        let remedy = "compare something: Industry != \"Test\"";
        walk.find(&compiled.span, format!("a condition is true or false, and this gives {gives}"), remedy);
        return None;
    }
    Some(compiled)
}

/// An expression, compiled; what is wrong with it is shown at its place.
pub(super) fn expression(walk: &mut Walk<'_>, entry: (&Key, &Node)) -> Option<At<Expression>> {
    let text = walk.text(entry)?;
    // It is shown with what fails, and a variable may hold what must not be.
    if text.expanded {
        let remedy = "write the value itself; only values outside of expressions take ${NAME}";
        walk.find(&text.span, "an expression takes no variables", remedy);
        return None;
    }
    match Expression::compile(&text.value) {
        Ok(value) => Some(At { value, raw: text.raw, span: text.span }),
        Err(problems) => {
            // Where it is written in the file as it is. Otherwise (an escape, folded lines) all of it is shown.
            let start = walk.source.get(text.span.clone()).and_then(|raw| raw.find(text.value.as_str()));
            for problem in problems {
                let span = match start {
                    Some(start) => {
                        let start = text.span.start + start;
                        start + problem.span.start..start + problem.span.end
                    }
                    None => text.span.clone(),
                };
                walk.find(&span, problem.message, problem.remedy);
            }
            None
        }
    }
}

/// Plain values have the type that YAML 1.2 gives them; what a variable brings is text.
pub(super) fn constant(walk: &mut Walk<'_>, (key, node): (&Key, &Node)) -> Option<Value> {
    if node.is_null() {
        return Some(Value::Null);
    }
    let text = walk.text((key, node))?;
    let plain = matches!(node.kind, Kind::Scalar { plain: true, .. }) && text.value == text.raw;
    if !plain {
        return Some(Value::Text(text.value));
    }
    match text.value.as_str() {
        "true" | "True" | "TRUE" => return Some(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Some(Value::Bool(false)),
        _ => {}
    }
    let number = text.value.parse::<Decimal>();
    let digits = text.value.trim_start_matches(['-', '+']).to_ascii_lowercase();
    let leading_zero =
        digits.starts_with('0') && digits.get(1..).unwrap_or_default().starts_with(|c: char| c.is_ascii_digit());
    let radix = digits.strip_prefix("0x").or(digits.strip_prefix("0o"));
    // 0042 is a number for one reader of YAML and text for another, and so are 0x1F and .inf.
    let ambiguous = (number.is_ok() && leading_zero)
        || radix.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
        || matches!(digits.as_str(), ".inf" | ".nan");
    match number {
        _ if ambiguous => {
            let remedy = "put it in quotes if it is text; write a number without leading zeros";
            walk.find(&text.span, "this may be meant as a number or as text", remedy);
            None
        }
        Ok(number) => Some(Value::Number(number)),
        Err(_) => Some(Value::Text(text.value)),
    }
}
