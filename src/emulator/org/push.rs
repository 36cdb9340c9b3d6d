//! The older kinds of streaming: PushTopics, and generic channels (streaming-cometd.md sections 10, 11 and 17).
//!
//! Each channel is a stream of its own, with replay ids from 1, kept for 24 hours. Only the Streaming API has them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::bus::{InvalidReplayId, Start};
use super::condition::Condition;
use super::error::SaveError;
use super::event::{ChangeKind, Touch};
use super::schema::{FieldIndex, Object, ObjectIndex};
use super::table::Row;
use super::time::HOUR;
use super::{Id, Org, time};
use crate::soql::{self, Expression, Selected};

/// How long notices are kept, in microseconds.
const RETENTION: i64 = 24 * HOUR;

/// One message of a channel.
#[derive(Debug, Clone)]
pub struct Notice {
    pub replay_id: i64,
    /// The `data` object.
    pub data: Arc<Json>,
    at: i64,
    visible: i64,
}

#[derive(Debug, Default)]
struct Stream {
    notices: VecDeque<Notice>,
    /// Ids up to this one are gone.
    floor: i64,
    last: i64,
}

/// The streams by the names of their channels; one that nobody has sent to is empty.
#[derive(Debug, Default)]
pub struct Streams(HashMap<String, Stream>);

impl Streams {
    /// As [`super::bus::Bus::position`].
    ///
    /// # Errors
    /// When the id is too old, or was never given.
    pub fn position(&mut self, channel: &str, start: Start, now: i64) -> Result<i64, InvalidReplayId> {
        let stream = self.0.entry(channel.to_owned()).or_default();
        stream.expire(now);
        match start {
            Start::Tip => {
                let visible = stream.notices.partition_point(|notice| notice.visible <= now);
                let newest = visible.checked_sub(1).and_then(|place| stream.notices.get(place));
                Ok(newest.map_or(stream.floor, |notice| notice.replay_id))
            }
            Start::Earliest => Ok(stream.floor),
            Start::After(id) if id > stream.floor && id <= stream.last => Ok(id),
            Start::After(_) => Err(InvalidReplayId),
        }
    }

    /// What is visible of a channel behind a replay id, oldest first.
    pub fn after(&self, channel: &str, id: i64, now: i64) -> impl Iterator<Item = &Notice> {
        let notices = self.0.get(channel).into_iter().flat_map(move |stream| {
            let from = stream.notices.partition_point(|notice| notice.replay_id <= id);
            stream.notices.range(from..)
        });
        notices.take_while(move |notice| notice.visible <= now)
    }

    /// When the next message behind an id becomes visible, if one waits.
    pub fn next_visible(&self, channel: &str, id: i64, now: i64) -> Option<i64> {
        let notices = &self.0.get(channel)?.notices;
        let unread = notices.partition_point(|notice| notice.replay_id <= id);
        let hidden = notices.partition_point(|notice| notice.visible <= now);
        notices.get(unread.max(hidden)).map(|notice| notice.visible)
    }

    /// Every message up to now is gone, and every id with them.
    pub fn forget(&mut self) {
        for stream in self.0.values_mut() {
            stream.notices.clear();
            stream.floor = stream.last;
        }
    }

    /// `make` gets the replay id of the message.
    fn send(&mut self, channel: &str, visible: i64, now: i64, make: impl FnOnce(i64) -> Json) {
        let stream = self.0.entry(channel.to_owned()).or_default();
        stream.expire(now);
        stream.last += 1;
        let before = stream.notices.back().map_or(i64::MIN, |notice| notice.visible);
        let (replay_id, data) = (stream.last, Arc::new(make(stream.last)));
        stream.notices.push_back(Notice { replay_id, data, at: now, visible: visible.max(before) });
    }
}

impl Stream {
    fn expire(&mut self, now: i64) {
        while let Some(notice) = self.notices.front().filter(|notice| notice.at < now - RETENTION) {
            self.floor = notice.replay_id;
            self.notices.pop_front();
        }
    }
}

/// A channel of these kinds that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushFeed {
    /// As it was subscribed to.
    pub name: String,
    /// Without the filter behind the question mark.
    pub channel: String,
    /// `/topic/X?Industry='Banking'`: fields and the values that they must have.
    filter: Vec<(String, String)>,
    /// The object of a PushTopic.
    pub object: Option<ObjectIndex>,
}

impl PushFeed {
    pub fn wants(&self, notice: &Notice) -> bool {
        self.filter.iter().all(|(field, wanted)| {
            let value = notice.data.get("sobject").and_then(|sobject| sobject.get(field));
            value.is_some_and(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned) == *wanted)
        })
    }
}

/// A PushTopic that is read.
struct Topic {
    object: ObjectIndex,
    selected: Vec<FieldIndex>,
    condition: Option<Condition>,
    /// The fields whose change it tells; `None`: any.
    watched: Option<Vec<FieldIndex>>,
}

impl Org {
    /// Finds a PushTopic or a generic channel.
    pub fn push_feed(&self, name: &str) -> Option<PushFeed> {
        let (channel, filter) = name.split_once('?').unwrap_or((name, ""));
        let feed = |object| {
            let pair = |(field, value): (_, _)| (String::from(field), unquoted(value));
            let pairs = filter.split('&').filter_map(|pair| pair.split_once('='));
            let (name, channel) = (name.to_owned(), channel.to_owned());
            PushFeed { name, channel, filter: pairs.map(pair).collect(), object }
        };
        if let Some(topic) = channel.strip_prefix("/topic/") {
            let found = self.push_rows("PushTopic").find(|(object, row)| text(object, row, "Name") == Some(topic));
            let (object, row) = found.filter(|(object, row)| is_on(object, row, "IsActive"))?;
            return Some(feed(Some(self.topic(object, row)?.object)));
        }
        let mut channels = self.push_rows("StreamingChannel");
        channels.find(|(object, row)| text(object, row, "Name") == Some(channel)).map(|_| feed(None))
    }

    /// Whether a user may read what a PushTopic is about.
    pub fn may_subscribe_to_push(&self, user: &Id, feed: &PushFeed) -> bool {
        feed.object.is_none_or(|object| self.can_see_object(user, object))
    }

    /// Sends a text to a generic channel, by the channel's id; the channel's name.
    pub fn push(&mut self, id: &Id, payload: &str, now: i64) -> Option<String> {
        let (object, row) = self.push_rows("StreamingChannel").find(|(_, row)| row.id == *id)?;
        let channel = text(object, row, "Name")?.to_owned();
        let visible = self.bus.visible_at(now);
        let created = time::event(now);
        let make = |id| json!({"payload": payload, "event": {"createdDate": created, "replayId": id}});
        self.pushed.send(&channel, visible, now, make);
        Some(channel)
    }

    /// Tells the PushTopics what a transaction did.
    pub(super) fn notify_topics(&mut self, touched: &[Touch], now: i64) {
        let mut notices = Vec::new();
        for (definition, row) in self.push_rows("PushTopic").filter(|(object, row)| is_on(object, row, "IsActive")) {
            let (Some(topic), Some(name)) = (self.topic(definition, row), text(definition, row, "Name")) else {
                continue;
            };
            for touch in touched.iter().filter(|touch| touch.object == topic.object) {
                let told = touch.kind.and_then(|kind| {
                    is_on(definition, row, notify_key(kind)).then_some(())?;
                    Some((type_name(kind), self.tells(&topic, kind, touch)?))
                });
                notices.extend(told.map(|(kind, sobject)| (format!("/topic/{name}"), kind, sobject)));
            }
        }
        let (visible, created) = (self.bus.visible_at(now), time::event(now));
        for (channel, kind, sobject) in notices {
            let make =
                |id| json!({"event": {"createdDate": created, "replayId": id, "type": kind}, "sobject": sobject});
            self.pushed.send(&channel, visible, now, make);
        }
    }

    /// The record as a topic shows it, if the topic tells of the change.
    fn tells(&self, topic: &Topic, kind: ChangeKind, touch: &Touch) -> Option<Json> {
        let object = self.schema.object(topic.object);
        let row = self.table(topic.object).get(&touch.id)?;
        let watched = topic.watched.as_ref().is_none_or(|watched| watched.iter().any(|f| touch.fields.contains(f)));
        let holds = topic.condition.as_ref().is_none_or(|condition| condition.holds(object, row, None));
        if !holds || (kind == ChangeKind::Update && !watched) {
            return None;
        }
        let shown = topic.selected.iter().map(|field| (object.field(*field).name.clone(), row.read(object, *field)));
        Some(Json::Object(shown.collect::<Map<String, Json>>()))
    }

    /// # Errors
    /// A PushTopic whose query cannot be one.
    pub(super) fn check_push(&self, object: ObjectIndex, row: &Row) -> Result<(), SaveError> {
        let definition = self.schema.object(object);
        let wrong = |problem: &str, field: &str| Err(SaveError::new("INVALID_FIELD", problem).on(field));
        let name = text(definition, row, "Name").unwrap_or_default();
        match definition.name.as_str() {
            "PushTopic" if name.len() > 25 => wrong("the name of a PushTopic has at most 25 characters", "Name"),
            "PushTopic" if self.topic(definition, row).is_none() => wrong(
                "the query of a PushTopic selects Id and other fields of one object, perhaps with a condition",
                "Query",
            ),
            "StreamingChannel" if !name.starts_with("/u/") || name.len() < 4 => {
                wrong("the name of a generic channel begins with /u/", "Name")
            }
            _ => Ok(()),
        }
    }

    fn topic(&self, definition: &Object, row: &Row) -> Option<Topic> {
        let query = soql::parse(text(definition, row, "Query")?).ok()?;
        let (object, about) = self.schema.find(&query.from.text)?;
        let field = |selected: &Selected| match selected {
            Selected::Value { what: Expression::Path(path), .. } => match path.names.as_slice() {
                [name] => about.find(name).map(|(index, _)| index),
                _ => None,
            },
            _ => None,
        };
        let selected: Vec<FieldIndex> = query.select.iter().map(field).collect::<Option<_>>()?;
        let id = about.find("Id").map(|(index, _)| index)?;
        let plain = query.group.is_empty() && query.order.is_empty() && query.limit.is_none() && query.offset == 0;
        if !plain || !selected.contains(&id) {
            return None;
        }
        let condition = query.filter.as_ref().map(|filter| Condition::of(filter, about)).transpose().ok()?;
        let used = condition.as_ref().map(Condition::fields).unwrap_or_default();
        let watched = match text(definition, row, "NotifyForFields").unwrap_or("Referenced") {
            "All" => None,
            "Select" => Some(selected.clone()),
            "Where" => Some(used),
            _ => Some(selected.iter().copied().chain(used).collect()),
        };
        Some(Topic { object, selected, condition, watched })
    }

    fn push_rows(&self, name: &str) -> impl Iterator<Item = (&Object, &Row)> {
        let found = self.schema.find(name);
        found.into_iter().flat_map(|(index, object)| self.table(index).rows().map(move |row| (object, row)))
    }
}

fn text<'a>(object: &Object, row: &'a Row, field: &str) -> Option<&'a str> {
    row.values.get(&object.find(field)?.0)?.as_str()
}

fn is_on(object: &Object, row: &Row, field: &str) -> bool {
    object.find(field).is_some_and(|(index, _)| row.values.get(&index) == Some(&Json::Bool(true)))
}

fn notify_key(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Create => "NotifyForOperationCreate",
        ChangeKind::Update => "NotifyForOperationUpdate",
        ChangeKind::Delete => "NotifyForOperationDelete",
        ChangeKind::Undelete => "NotifyForOperationUndelete",
    }
}

fn type_name(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Create => "created",
        ChangeKind::Update => "updated",
        ChangeKind::Delete => "deleted",
        ChangeKind::Undelete => "undeleted",
    }
}

fn unquoted(text: &str) -> String {
    text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')).unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_are_kept_for_a_day_each_channel_by_itself() {
        let mut streams = Streams::default();
        for (channel, at) in [("/u/a", 0), ("/u/b", 0), ("/u/a", 2 * HOUR)] {
            streams.send(channel, at, at, |id| json!(id));
        }
        let ids = |streams: &Streams, from| -> Vec<i64> {
            streams.after("/u/a", from, 3 * HOUR).map(|n| n.replay_id).collect()
        };
        assert_eq!((ids(&streams, 0), ids(&streams, 1)), (vec![1, 2], vec![2]));
        assert_eq!(streams.position("/u/a", Start::Tip, 3 * HOUR), Ok(2));
        assert_eq!(streams.next_visible("/u/a", 0, HOUR), Some(2 * HOUR));
        assert_eq!((streams.next_visible("/u/a", 2, HOUR), streams.next_visible("/u/a", 0, 2 * HOUR)), (None, None));
        assert_eq!(streams.position("/u/a", Start::After(3), 3 * HOUR), Err(InvalidReplayId));
        let later = 25 * HOUR;
        assert_eq!(streams.position("/u/a", Start::After(1), later), Err(InvalidReplayId));
        assert_eq!(streams.position("/u/a", Start::Earliest, later), Ok(1));
        assert_eq!(streams.position("/u/b", Start::Earliest, later), Ok(1));
        assert_eq!(streams.position("/u/new", Start::Tip, later), Ok(0));
    }
}
