//! Entries of `pipelines` with `action`: which events trigger it, and what is handed over. What is done is in `does`, what
//! its parts say about each other in `agree`.

pub(super) mod agree;
pub(super) mod does;

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use self::does::Doing;
use super::super::tree::{Key, Node};
use super::super::walk::{At, Block, Keys, Walk};
use super::super::{ActionConfig, AnswerTo, Delivery, Does, FireOn, From, KeyPlace, Logins, OnRead, OrderBy, Start};
use super::pipelines;
use super::rules::{self, Mapped};
use super::{SECOND, duration};
use crate::event::{Channel, ChannelKind, FieldPath, ObjectName, OrgName, PipelineName};
use crate::mapping::Expression;

pub(in super::super) const PIPELINE: Keys = Keys {
    block: "a pipeline with `action`",
    required: &["name", "from", "action"],
    optional: &["when", "fire_on", "fields"],
};
pub(in super::super) const TRIGGER: Keys =
    Keys { block: "`from`", required: &["org"], optional: &["channel", "object", "source", "every", "start"] };
pub(in super::super) const ACTION: Keys = Keys {
    block: "`action`",
    required: &["delivery"],
    optional: &[
        "org",
        "flow",
        "apex",
        "apex_rest",
        "event",
        "via",
        "webhook",
        "idempotency_key",
        "order_by",
        "on_read",
        "timeout",
        "answer",
    ],
};

const TIMEOUT: Duration = Duration::from_secs(30);
const TIMEOUT_MAX: Duration = Duration::from_secs(120);

/// An action of which some values may be missing, because they have problems.
pub(super) struct Action {
    /// Where the block `action` is.
    pub place: Range<usize>,
    pub name: Option<At<PipelineName>>,
    pub from_org: Option<At<OrgName>>,
    pub channel: Option<At<Channel>>,
    /// Of a platform event: the event itself.
    pub object: Option<At<ObjectName>>,
    start: Option<Start>,
    /// Some: `source: poll`.
    pub poll: Option<Option<Duration>>,
    /// None if there is a problem; Some(None) if every event triggers.
    pub when: Option<Option<At<Expression>>>,
    pub fire_on: Option<Option<At<FireOn>>>,
    pub fields: Option<Vec<Mapped>>,
    /// Where it is done; Some(None): in no org.
    pub org: Option<Option<At<OrgName>>>,
    pub does: Option<At<Does>>,
    pub delivery: Option<At<Delivery>>,
    /// None if there is a problem; Some(None) if it is not said.
    pub order_by: Option<Option<At<OrderBy>>>,
    pub on_read: Option<At<OnRead>>,
    pub idempotency: Option<Option<At<KeyPlace>>>,
    pub answer: Option<Option<At<does::Answer>>>,
    timeout: Option<Duration>,
}

impl Action {
    /// Its events are platform events; none: it is not known what they are.
    pub fn is_of_events(&self) -> Option<bool> {
        self.channel.as_ref().map(|channel| channel.value.kind() == ChannelKind::Events)
    }

    /// None if anything is missing.
    pub fn finish(self) -> Option<ActionConfig> {
        let of_events = self.is_of_events()?;
        let object = self.object?.value;
        let fields = self.fields?.into_iter().map(|field| Some((field.target?.value, field.rule?.value)));
        Some(ActionConfig {
            name: self.name?.value,
            when: self.when?.map(|when| when.value),
            fire_on: self.fire_on?.map(|fire_on| fire_on.value),
            fields: fields.collect::<Option<_>>()?,
            does: self.does?.value,
            delivery: self.delivery?.value,
            order_by: match self.order_by? {
                Some(order) => order.value,
                None if of_events => OrderBy::Channel,
                None => OrderBy::Record,
            },
            on_read: self.on_read?.value,
            idempotency: self.idempotency?.map(|key| key.value),
            answer: match self.answer?.map(|answer| answer.value) {
                None => None,
                Some(does::Answer::Event { event, fields }) => Some(AnswerTo::Event { event: event.value, fields }),
                Some(does::Answer::Record { object: of, id, fields }) => Some(AnswerTo::Record {
                    object: of.map_or_else(|| object.clone(), |of| of.value),
                    id: id.map_or_else(|| FieldPath::known("Id"), |id| id.value),
                    fields,
                }),
            },
            timeout: self.timeout?,
            from: From {
                org: self.from_org?.value,
                channel: self.channel?.value,
                object,
                start: self.start?,
                poll: match self.poll {
                    Some(every) => Some(every?),
                    None => None,
                },
            },
        })
    }
}

/// One entry of `pipelines`.
pub(super) fn check(walk: &mut Walk<'_>, node: &Node, path: &Path, logins: Logins) -> Option<Action> {
    let block = walk.block(node, node.place(), &PIPELINE)?;
    let name = block.entry("name").and_then(|entry| walk.name(entry));
    let from = block.entry("from").and_then(|(key, node)| walk.block(node, &key.span, &TRIGGER));
    let (from_org, start, source) = match &from {
        Some(from) => (
            from.entry("org").and_then(|entry| walk.name(entry)),
            match from.entry("start") {
                Some(entry) => pipelines::start(walk, entry),
                None => Some(Start::default()),
            },
            Some(source(walk, from)),
        ),
        None => (None, None, None),
    };
    let Source { channel, object, poll } = source.unwrap_or(Source { channel: None, object: None, poll: None });
    let action = block.entry("action").and_then(|(key, node)| walk.block(node, &key.span, &ACTION));
    let action = action.as_ref();
    let Doing { org, does } = match action {
        Some(action) => does::check(walk, action, path, logins),
        None => Doing { org: None, does: None },
    };
    Some(Action {
        place: action.map_or_else(|| block.place.clone(), |action| action.place.clone()),
        name,
        from_org,
        channel,
        object,
        start,
        poll,
        when: match block.entry("when") {
            Some(entry) => rules::condition(walk, entry).map(Some),
            None => Some(None),
        },
        fire_on: match block.entry("fire_on") {
            Some(entry) => {
                let choices = [("condition", FireOn::Condition), ("fields", FireOn::Fields), ("any", FireOn::Any)];
                placed(walk, entry, &choices).map(Some)
            }
            None => Some(None),
        },
        fields: match block.entry("fields") {
            Some(entry) => rules::fields(walk, entry),
            None => Some(Vec::new()),
        },
        org,
        does,
        delivery: action.and_then(|action| action.entry("delivery")).and_then(|entry| {
            let choices = [("at_most_once", Delivery::AtMostOnce), ("at_least_once", Delivery::AtLeastOnce)];
            placed(walk, entry, &choices)
        }),
        order_by: action.and_then(|action| match action.entry("order_by") {
            Some(entry) => order_by(walk, entry).map(Some),
            None => Some(None),
        }),
        on_read: action.and_then(|action| match action.entry("on_read") {
            Some(entry) => placed(walk, entry, &[("skip", OnRead::Skip), ("fire", OnRead::Fire)]),
            None => Some(pipelines::unplaced(OnRead::default())),
        }),
        idempotency: action.and_then(|action| match action.entry("idempotency_key") {
            Some(entry) => does::key_place(walk, entry).map(Some),
            None => Some(None),
        }),
        answer: action.and_then(|action| match action.entry("answer") {
            Some(entry) => does::answer(walk, entry).map(Some),
            None => Some(None),
        }),
        timeout: action.and_then(|action| match action.entry("timeout") {
            Some(entry) => duration(walk, entry, SECOND, TIMEOUT_MAX),
            None => Some(TIMEOUT),
        }),
    })
}

/// Where its events come from.
struct Source {
    channel: Option<At<Channel>>,
    object: Option<At<ObjectName>>,
    poll: Option<Option<Duration>>,
}

fn source(walk: &mut Walk<'_>, from: &Block<'_>) -> Source {
    let poll = pipelines::polling(walk, from);
    let mut object = from.entry("object").and_then(|entry| walk.name::<ObjectName>(entry));
    let channel = pipelines::channel(walk, from, poll.is_some(), object.as_ref());
    match (channel.as_ref().map(|channel| (channel, channel.value.kind())), from.entry("object")) {
        (Some((channel, ChannelKind::Events)), None) => object = event_of(walk, channel),
        (Some((_, ChannelKind::Events)), Some((key, _))) => {
            walk.find(&key.span, "a platform event has no object", "remove `object`");
            object = None;
        }
        (Some(_), None) if !from.misspelt.contains(&"object") => {
            let remedy = "add `object: Account`: whose changes trigger it";
            walk.find(&from.place, "`from` needs the key `object`", remedy);
        }
        (Some(_) | None, _) => {}
    }
    Source { channel, object, poll }
}

/// The event that a channel of platform events carries.
fn event_of(walk: &mut Walk<'_>, channel: &At<Channel>) -> Option<At<ObjectName>> {
    let name = channel.value.as_str().strip_prefix("/event/")?;
    let event = name.parse::<ObjectName>().ok().filter(|_| !name.ends_with("__chn"));
    if event.is_none() {
        let remedy = "write the channel of the one event that triggers it: /event/Name__e";
        walk.find(&channel.span, "an action is triggered by one platform event", remedy);
    }
    event.map(|value| At { value, raw: channel.raw.clone(), span: channel.span.clone() })
}

fn order_by(walk: &mut Walk<'_>, entry: (&Key, &Node)) -> Option<At<OrderBy>> {
    let path = walk.name::<FieldPath>(entry)?;
    let value = match path.value.as_str() {
        "record" => OrderBy::Record,
        "channel" => OrderBy::Channel,
        _ => OrderBy::Field(path.value),
    };
    Some(At { value, raw: path.raw, span: path.span })
}

/// One of a few words, with its place.
fn placed<T: Copy>(walk: &mut Walk<'_>, entry: (&Key, &Node), choices: &[(&str, T)]) -> Option<At<T>> {
    let span = entry.1.span.clone();
    walk.choice(entry, choices).map(|value| At { value, raw: String::new(), span })
}
