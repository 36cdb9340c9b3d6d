//! Pipelines that do something for each event, instead of bringing records over.

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::{FieldRule, From};
use crate::event::{FieldName, FieldPath, ObjectName, OrgName, PipelineName};
use crate::mapping::Expression;

/// One action and what triggers it: an entry of `pipelines` with `action` in place of `to`.
#[derive(Debug, Clone)]
pub struct ActionConfig {
    pub name: PipelineName,
    /// `object` of a platform event is the event itself: `Order_Shipped__e`.
    pub from: From,
    /// For which events it is done; none: all.
    pub when: Option<Expression>,
    /// Which updates count. None: as the condition and the rules let expect, see [`FireOn`].
    pub fire_on: Option<FireOn>,
    /// What is handed over, in the order of the file; each name once. Of the rules only those that ask no org.
    pub fields: Vec<(FieldName, FieldRule)>,
    pub does: Does,
    pub delivery: Delivery,
    pub order_by: OrderBy,
    pub on_read: OnRead,
    /// In which of the inputs, or in which header, the idempotency key goes along. None: it does not.
    pub idempotency: Option<KeyPlace>,
    pub answer: Option<AnswerTo>,
    /// How long a call may take.
    pub timeout: Duration,
}

impl ActionConfig {
    /// The org in which it is done; none: it is done elsewhere.
    pub fn org(&self) -> Option<&OrgName> {
        match &self.does {
            Does::Flow { org, .. } | Does::Apex { org, .. } | Does::ApexRest { org, .. } | Does::Event { org, .. } => {
                Some(org)
            }
            Does::Webhook(_) => None,
        }
    }

    /// The events are platform events, and no changes of records.
    pub fn is_of_events(&self) -> bool {
        self.from.channel.kind() == crate::event::ChannelKind::Events
    }
}

/// What is done.
#[derive(Debug, Clone)]
pub enum Does {
    /// An autolaunched flow is started (facts: rest.md section 12).
    Flow {
        org: OrgName,
        name: FieldName,
    },
    /// An invocable method of an Apex class is called; `ns__Class` where it is of a package.
    Apex {
        org: OrgName,
        name: FieldName,
    },
    /// A method of an Apex REST class is called.
    ApexRest {
        org: OrgName,
        method: Method,
        /// Below `/services/apexrest`, beginning with `/`; `{Field}` stands for one of the inputs, which is then no part of the body.
        path: String,
    },
    /// A platform event is published (facts: rest.md section 11, streaming-pubsub.md section 8).
    Event {
        org: OrgName,
        event: ObjectName,
        via: Via,
    },
    Webhook(Webhook),
}

impl Does {
    /// In a word or two, for people.
    pub fn shown(&self) -> String {
        match self {
            Self::Flow { org, name } => format!("flow {name} in {org}"),
            Self::Apex { org, name } => format!("Apex {name} in {org}"),
            Self::ApexRest { org, method, path } => format!("{} {path} (Apex REST) in {org}", method.name()),
            Self::Event { org, event, .. } => format!("event {event} in {org}"),
            // The path may hold a secret.
            Self::Webhook(webhook) => format!("webhook at {}", webhook.url.host_str().unwrap_or_default()),
        }
    }
}

/// How a platform event is published.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Via {
    /// sObject Collections: up to 200 in a call.
    #[default]
    Rest,
    /// The Pub/Sub API, which costs no API calls.
    Pubsub,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Post,
    Put,
    Patch,
}

impl Method {
    pub fn name(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
        }
    }
}

/// An address that gets a POST with JSON, signed. The address may hold a secret, so it is never shown whole.
#[derive(Clone)]
pub struct Webhook {
    /// https; plain http is accepted on loopback only.
    pub url: Url,
    /// Signs time and body: HMAC-SHA256.
    pub secret: SecretString,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

/// What happens when it is not known whether an action was done: its answer was lost, or the bridge was killed before it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It is a failed record, and a person decides.
    AtMostOnce,
    /// It is done again, with the same idempotency key.
    AtLeastOnce,
}

/// Actions of the same … are done one after the other, in the order of the events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderBy {
    /// Record of a change event.
    Record,
    /// Channel: all of them.
    Channel,
    /// Value of this field of the event.
    Field(FieldPath),
}

/// Whether what was learned by asking the source, and not by an event, triggers the action.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnRead {
    #[default]
    Skip,
    Fire,
}

/// Which updates of a record trigger the action, where the condition holds. New, deleted and undeleted records always do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FireOn {
    /// Something changed that the condition reads: it has become true, or is true anew. So where the config does not say, and
    /// there is a condition over fields.
    Condition,
    /// Something changed that is handed over. So where there is no such condition.
    Fields,
    /// Each. So where nothing of the record is handed over either.
    Any,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPlace {
    /// One of the inputs of that name, which no rule fills.
    Input(FieldName),
    /// Of an Apex REST call or a webhook.
    Header(String),
}

/// What becomes of what a call answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerTo {
    /// Fields of the record of the source that triggered it, each with the name of the output that fills it.
    Record { object: ObjectName, id: FieldPath, fields: Vec<(FieldName, String)> },
    /// A platform event in the source org, the same way.
    Event { event: ObjectName, fields: Vec<(FieldName, String)> },
}
