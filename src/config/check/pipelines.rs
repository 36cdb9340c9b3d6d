//! `pipelines`: one by one; what they say about each other is in `references`.

use std::time::Duration;

use super::super::tree::{Key, Kind, Node};
use super::super::walk::{At, Block, Keys, Walk};
use super::super::{FieldRule, From, OnDelete, PipelineConfig, Start, To};
use crate::event::{Channel, Decimal, FieldName, FieldPath, ObjectName, OrgName, PipelineName, Value};

pub(in super::super) const PIPELINE: Keys =
    Keys { block: "a pipeline", required: &["name", "from", "to", "fields"], optional: &["on_delete"] };
pub(in super::super) const FROM: Keys =
    Keys { block: "`from`", required: &["org", "object"], optional: &["channel", "source", "every", "start"] };
pub(in super::super) const TO: Keys = Keys { block: "`to`", required: &["org", "object", "key"], optional: &[] };
pub(in super::super) const CONSTANT: Keys = Keys { block: "a constant", required: &["value"], optional: &[] };
pub(in super::super) const PARENT: Keys =
    Keys { block: "a reference to a parent", required: &["parent", "from"], optional: &[] };
const POLL_EVERY: Duration = Duration::from_secs(60);
const POLL_MIN: Duration = Duration::from_millis(500);
const POLL_MAX: Duration = Duration::from_secs(24 * 3600);
/// What a field's rule may have before it is known which one it is.
const RULE: Keys = Keys { block: "a field's rule", required: &[], optional: &["value", "parent", "from"] };

/// A pipeline of which some values may be missing, because they have problems.
pub(super) struct Pipeline {
    pub name: Option<At<PipelineName>>,
    pub from_org: Option<At<OrgName>>,
    pub channel: Option<At<Channel>>,
    pub from_object: Option<At<ObjectName>>,
    start: Option<Start>,
    /// Some: `source: poll`.
    pub poll: Option<Option<Duration>>,
    pub to_org: Option<At<OrgName>>,
    pub to_object: Option<At<ObjectName>>,
    pub key: Option<At<FieldName>>,
    /// None if `fields` itself could not be read.
    pub fields: Option<Vec<Mapped>>,
    on_delete: Option<OnDelete>,
}

pub(super) struct Mapped {
    /// As it is written; None below if that is no name of a field.
    pub written: String,
    pub target: Option<At<FieldName>>,
    pub rule: Option<At<FieldRule>>,
}

impl Pipeline {
    /// None if anything is missing.
    pub fn finish(self) -> Option<PipelineConfig> {
        let from = From {
            org: self.from_org?.value,
            channel: self.channel?.value,
            object: self.from_object?.value,
            start: self.start?,
            poll: match self.poll {
                Some(every) => Some(every?),
                None => None,
            },
        };
        let to = To { org: self.to_org?.value, object: self.to_object?.value, key: self.key?.value };
        let fields = self.fields?.into_iter().map(|field| Some((field.target?.value, field.rule?.value)));
        Some(PipelineConfig {
            name: self.name?.value,
            from,
            to,
            fields: fields.collect::<Option<_>>()?,
            on_delete: self.on_delete?,
        })
    }
}

pub(super) fn check(walk: &mut Walk<'_>, entry: (&Key, &Node)) -> Option<Vec<Pipeline>> {
    let items = walk.list(entry)?;
    if items.is_empty() {
        walk.find(&entry.0.span, "`pipelines` is an empty list", "add a pipeline, or there is nothing to do");
    }
    Some(items.iter().filter_map(|item| pipeline(walk, item)).collect())
}

fn pipeline(walk: &mut Walk<'_>, node: &Node) -> Option<Pipeline> {
    let block = walk.block(node, node.place(), &PIPELINE)?;
    let name = block.entry("name").and_then(|entry| walk.name(entry));
    let from = block.entry("from").and_then(|(key, node)| walk.block(node, &key.span, &FROM));
    let poll = from.as_ref().and_then(|from| polling(walk, from));
    let from_object = from.as_ref().and_then(|from| from.entry("object")).and_then(|entry| walk.name(entry));
    let channel = from.as_ref().and_then(|from| channel(walk, from, poll.is_some(), from_object.as_ref()));
    let from = |name| from.as_ref().and_then(|from| from.entry(name));
    let to = block.entry("to").and_then(|(key, node)| walk.block(node, &key.span, &TO));
    let to = |name| to.as_ref().and_then(|to| to.entry(name));
    Some(Pipeline {
        name,
        from_org: from("org").and_then(|entry| walk.name(entry)),
        channel,
        from_object,
        poll,
        start: match from("start") {
            Some(entry) => walk.choice(entry, &[("tip", Start::Tip), ("earliest", Start::Earliest)]),
            None => Some(Start::default()),
        },
        to_org: to("org").and_then(|entry| walk.name(entry)),
        to_object: to("object").and_then(|entry| walk.name(entry)),
        key: to("key").and_then(|entry| walk.name(entry)),
        fields: block.entry("fields").and_then(|entry| fields(walk, entry)),
        on_delete: match block.entry("on_delete") {
            Some(entry) => walk.choice(entry, &[("ignore", OnDelete::Ignore), ("delete", OnDelete::Delete)]),
            None => Some(OnDelete::default()),
        },
    })
}

/// None: the org's events tell what changed. Some(None): there is a problem.
fn polling(walk: &mut Walk<'_>, from: &Block<'_>) -> Option<Option<Duration>> {
    let polls = from.entry("source").map(|entry| walk.choice(entry, &[("events", false), ("poll", true)]));
    let every = from.entry("every").map(|entry| super::duration(walk, entry, POLL_MIN, POLL_MAX));
    match (polls, every) {
        (Some(Some(true)), every) => Some(every.unwrap_or(Some(POLL_EVERY))),
        (None | Some(Some(false)), Some(_)) => {
            if let Some((key, _)) = from.entry("every") {
                let remedy = "add `source: poll`, or remove it: events come by themselves";
                walk.find(&key.span, "`every` is for objects that are polled", remedy);
            }
            None
        }
        (None | Some(None | Some(false)), _) => None,
    }
}

/// The channel that is written, or the one that stands for asking.
fn channel(
    walk: &mut Walk<'_>,
    from: &Block<'_>,
    polled: bool,
    object: Option<&At<ObjectName>>,
) -> Option<At<Channel>> {
    match (from.entry("channel"), polled) {
        (Some((key, _)), true) => {
            let remedy = "remove `channel`, or `source: poll`";
            walk.find(&key.span, "an object that is polled has no channel", remedy);
            None
        }
        (Some(entry), false) => walk.name(entry),
        (None, true) => {
            let object = object?;
            Some(At { value: Channel::of_poll(&object.value)?, raw: object.raw.clone(), span: object.span.clone() })
        }
        (None, false) if from.misspelt.contains(&"channel") => None,
        (None, false) => {
            let remedy =
                "add `channel: /data/AccountChangeEvent`, or `source: poll` for an object without change events";
            walk.find(&from.place, "`from` needs the key `channel`", remedy);
            None
        }
    }
}

fn fields(walk: &mut Walk<'_>, (key, node): (&Key, &Node)) -> Option<Vec<Mapped>> {
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

fn rule(walk: &mut Walk<'_>, (key, node): (&Key, &Node)) -> Option<At<FieldRule>> {
    if !matches!(node.kind, Kind::Map(_)) {
        let path = walk.name::<FieldPath>((key, node))?;
        return Some(At { value: FieldRule::Source(path.value), raw: path.raw, span: path.span });
    }
    let has =
        |name: &&str| matches!(&node.kind, Kind::Map(entries) if entries.iter().any(|(key, _)| key.text == **name));
    if CONSTANT.required.iter().any(&has) {
        let block = walk.block(node, &key.span, &CONSTANT)?;
        let value = constant(walk, block.entry("value")?)?;
        return Some(At { value: FieldRule::Constant(value), raw: String::new(), span: node.span.clone() });
    }
    if PARENT.required.iter().any(has) {
        let block = walk.block(node, &key.span, &PARENT)?;
        let parent = block.entry("parent").and_then(|entry| walk.name::<PipelineName>(entry));
        let from = block.entry("from").and_then(|entry| walk.name::<FieldPath>(entry));
        let (parent, from) = (parent?, from?);
        let value = FieldRule::Parent { pipeline: parent.value, from: from.value };
        return Some(At { value, raw: parent.raw, span: parent.span });
    }
    let before = walk.findings.len();
    walk.block(node, &key.span, &RULE);
    if walk.findings.len() == before {
        let remedy = "write a source field, { value: … } or { parent: …, from: … }";
        walk.find(&key.span, "nothing fills this field", remedy);
    }
    None
}

/// Plain values have the type that YAML 1.2 gives them; what a variable brings is text.
fn constant(walk: &mut Walk<'_>, (key, node): (&Key, &Node)) -> Option<Value> {
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
