//! What a channel's name says of it (facts: streaming-cometd.md sections 10 and 11).

use std::time::Duration;

use super::{Channel, ObjectName};

/// The kinds of channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelKind {
    /// Changes of one object: `/data/AccountChangeEvent`.
    Object,
    /// Changes of several objects: `/data/ChangeEvents`, `/data/Name__chn`.
    Objects,
    /// Platform events: `/event/Name__e`, and several of them: `/event/Name__chn`.
    Events,
    /// `/topic/Name`.
    PushTopic,
    /// `/u/name`.
    Generic,
    /// No channel of the org: the bridge asks for what changed (`source: poll`). `/poll/Account`.
    Poll,
    /// Nothing that is documented. The org decides.
    Other,
}

impl Channel {
    pub fn kind(&self) -> ChannelKind {
        let text = self.as_str();
        match text.split_once('/').and_then(|(_, rest)| rest.split_once('/')) {
            Some(("data", "ChangeEvents")) => ChannelKind::Objects,
            Some(("data", name)) if name.ends_with("__chn") => ChannelKind::Objects,
            Some(("data", _)) if self.object().is_some() => ChannelKind::Object,
            Some(("event", _)) => ChannelKind::Events,
            Some(("topic", _)) => ChannelKind::PushTopic,
            Some(("u", _)) => ChannelKind::Generic,
            Some(("poll", _)) => ChannelKind::Poll,
            _ => ChannelKind::Other,
        }
    }

    /// The object of a channel that carries the changes of one: Account, `Employee__c`.
    pub fn object(&self) -> Option<ObjectName> {
        if let Some(object) = self.as_str().strip_prefix("/poll/") {
            return object.parse().ok();
        }
        let name = self.as_str().strip_prefix("/data/")?;
        let object = match name.strip_suffix("__ChangeEvent") {
            Some(custom) => format!("{custom}__c"),
            None => name.strip_suffix("ChangeEvent")?.to_owned(),
        };
        object.parse().ok()
    }

    /// The channel's own name for reading an object without change events.
    pub fn of_poll(object: &ObjectName) -> Option<Self> {
        format!("/poll/{object}").parse().ok()
    }

    /// Several events can share a replay id (an enriched event that was merged comes once for each record).
    pub fn repeats_ids(&self) -> bool {
        match self.kind() {
            ChannelKind::Objects | ChannelKind::Other => true,
            ChannelKind::Object
            | ChannelKind::Events
            | ChannelKind::PushTopic
            | ChannelKind::Generic
            | ChannelKind::Poll => false,
        }
    }

    /// No org keeps the events of any channel for longer.
    pub const RETENTION_MAX: Duration = Duration::from_secs(72 * 3_600);

    /// How long the org keeps its events.
    pub fn retention(&self) -> Duration {
        match self.kind() {
            ChannelKind::PushTopic | ChannelKind::Generic => Duration::from_secs(24 * 3_600),
            ChannelKind::Object
            | ChannelKind::Objects
            | ChannelKind::Events
            | ChannelKind::Poll
            | ChannelKind::Other => Self::RETENTION_MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_s_name_says_what_it_carries() {
        for (text, kind, object) in [
            ("/data/AccountChangeEvent", ChannelKind::Object, Some("Account")),
            ("/data/Employee__ChangeEvent", ChannelKind::Object, Some("Employee__c")),
            ("/data/ns__Employee__ChangeEvent", ChannelKind::Object, Some("ns__Employee__c")),
            ("/data/ChangeEvents", ChannelKind::Objects, None),
            ("/data/Sales__chn", ChannelKind::Objects, None),
            ("/data/Whatever", ChannelKind::Other, None),
            ("/event/Order__e", ChannelKind::Events, None),
            ("/event/Orders__chn", ChannelKind::Events, None),
            ("/topic/Invoices?Status='Open'", ChannelKind::PushTopic, None),
            ("/u/news/today", ChannelKind::Generic, None),
            ("/poll/Account", ChannelKind::Poll, Some("Account")),
        ] {
            let channel: Channel = text.parse().unwrap();
            assert_eq!((channel.kind(), channel.object()), (kind, object.map(|name| name.parse().unwrap())), "{text}");
            assert!(channel.retention() <= Channel::RETENTION_MAX, "{text}");
        }
    }
}
