//! One call for a few actions of one kind, and what came of each. Thin: it decides nothing but what an answer means.
//!
//! `invocable` calls flows and Apex methods, `apex_rest` and `webhook` make one request for each event, `event` publishes
//! platform events by either of its ways. `verdict` says what an org's refusals mean here; it is pure, and so is what reads
//! an answer in the other modules. Nothing is called twice but for a token that ran out: whether that is right is for
//! whoever calls.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value as Json};

use crate::config::{ActionConfig, Does, KeyPlace, Via};
use crate::event::{FieldName, OrgName, Value};
use crate::org::{ActionKind, COLLECTION_MAX, Org};

mod apex_rest;
mod event;
mod invocable;
pub(super) mod verdict;
mod webhook;

/// The other side could not be reached: nothing was sent.
pub const UNREACHABLE: &str = "UNREACHABLE";
/// Nobody could log in to the org: nothing was sent.
pub const LOGIN_FAILED: &str = "LOGIN_FAILED";
/// It was left out because what went before it in the same call came to nothing.
pub const NOT_SENT: &str = "NOT_SENT";
/// The answer did not come in time.
pub const TIMED_OUT: &str = "TIMED_OUT";
/// The connection broke before the answer was there.
pub const CONNECTION_CUT: &str = "CONNECTION_CUT";
/// There was an answer, and it says nothing of what was done.
pub const UNREADABLE_ANSWER: &str = "UNREADABLE_ANSWER";

/// More of what the other side said is not kept.
const EVIDENCE_MAX: usize = 2_000;
/// How many inputs one call of a flow or an Apex method takes (UNSURE; facts: rest.md section 12).
const INPUTS_MAX: usize = 200;
/// How many events one request of the Pub/Sub API should have (facts: streaming-pubsub.md section 11).
const PUBLISH_MAX: usize = 200;

/// What is handed over for one event. `Debug` leaves out the values.
#[derive(Clone, PartialEq, Eq)]
pub struct Shot {
    /// The same whenever it is done for this event.
    pub idempotency_key: String,
    pub inputs: BTreeMap<FieldName, Value>,
}

impl fmt::Debug for Shot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shot").field("idempotency_key", &self.idempotency_key).finish_non_exhaustive()
    }
}

/// What came of one. What the other side said is for the store; no log shows it.
#[derive(Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was done, and this is what it answered (outputs of a flow, the body of an answer).
    Done { answer: Map<String, Json> },
    /// It was not done, for a cause that passes by itself.
    NotYet(Why),
    /// It was not done, and repeating cannot help.
    Refused(Why),
    /// It may have been done.
    Unknown(Why),
}

/// A code as failed records have it, and what was said.
#[derive(Clone, PartialEq, Eq)]
pub struct Why {
    pub code: String,
    /// In the other side's words, which can hold values.
    pub evidence: String,
}

impl Why {
    /// Keeps the first 2,000 characters of what was said.
    pub fn new(code: impl Into<String>, said: &str) -> Self {
        Self { code: code.into(), evidence: said.chars().take(EVIDENCE_MAX).collect() }
    }
}

impl fmt::Debug for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Why").field("code", &self.code).finish_non_exhaustive()
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done { .. } => f.write_str("Done"),
            Self::NotYet(why) => write!(f, "NotYet({})", why.code),
            Self::Refused(why) => write!(f, "Refused({})", why.code),
            Self::Unknown(why) => write!(f, "Unknown({})", why.code),
        }
    }
}

/// What came of a call.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Called {
    /// One for each, in their order.
    pub outcomes: Vec<Outcome>,
    /// Nothing more should be called for this long: it was refused for all. At least this long: who is refused again and
    /// again waits longer.
    pub pause: Option<Duration>,
    /// What a person must do before anything goes on.
    pub remedy: Option<String>,
    /// What is not done yet should be called one by one: one of them may be why none was done.
    pub alone: bool,
}

impl Called {
    /// The same for so many.
    fn all(count: usize, outcome: &Outcome) -> Self {
        Self { outcomes: vec![outcome.clone(); count], ..Self::default() }
    }

    /// Nothing was done, and for so long nothing should be tried.
    fn paused(count: usize, why: Why, pause: Duration) -> Self {
        Self { pause: Some(pause), ..Self::all(count, &Outcome::NotYet(why)) }
    }

    /// Nothing was done, and a person must do something first.
    fn halted(count: usize, why: Why, remedy: String) -> Self {
        Self { remedy: Some(remedy), ..Self::paused(count, why, verdict::LONG_PAUSE) }
    }

    /// What was called after it came to this.
    fn and(&mut self, later: Self) {
        self.outcomes.extend(later.outcomes);
        self.pause = self.pause.max(later.pause);
        self.remedy = self.remedy.take().or(later.remedy);
        self.alone |= later.alone;
    }

    /// It would be in vain, or make things worse, to call for more at once.
    fn ends_it(&self) -> bool {
        self.pause.is_some()
            || self.remedy.is_some()
            || self.outcomes.iter().any(|one| matches!(one, Outcome::Unknown(_)))
    }
}

/// Why an action cannot be called at all. Says nothing of its address but its host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallerError {
    #[error("there is no org {0}")]
    NoOrg(OrgName),
    #[error("the address of the Pub/Sub API cannot be used")]
    BadAddress,
    #[error(transparent)]
    Webhook(#[from] crate::webhook::Unusable),
    #[error("{0:?} is no name of a header")]
    BadHeader(String),
}

/// Calls one action: made once, and kept as long as the action is. It holds its connections, and what it learned of the
/// org. `Debug` shows no secret.
pub struct Caller {
    key: Option<KeyPlace>,
    way: Way,
}

enum Way {
    Invocable(invocable::Invocable),
    ApexRest(apex_rest::ApexRest),
    EventByRest(event::ByRest),
    EventByPubsub(Box<event::ByPubsub>),
    Webhook(webhook::Sender),
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match &self.way {
            Way::Invocable(_) => "flow or Apex",
            Way::ApexRest(_) => "Apex REST",
            Way::EventByRest(_) => "event by REST",
            Way::EventByPubsub(_) => "event by the Pub/Sub API",
            Way::Webhook(_) => "webhook",
        };
        f.debug_tuple("Caller").field(&way).finish()
    }
}

/// What goes out for one event: its inputs, and the idempotency key among them where it is one.
struct Inputs<'s> {
    key: &'s str,
    fields: BTreeMap<FieldName, Value>,
}

impl Inputs<'_> {
    fn as_json(&self) -> Map<String, Json> {
        self.fields.iter().map(|(name, value)| (name.to_string(), value.clone().into())).collect()
    }
}

/// How many events one call of [`Caller::call`] should be for.
pub fn batch_max(does: &Does) -> usize {
    match does {
        Does::Flow { .. } | Does::Apex { .. } => INPUTS_MAX,
        Does::Event { via: Via::Rest, .. } => COLLECTION_MAX,
        Does::Event { via: Via::Pubsub, .. } => PUBLISH_MAX,
        Does::ApexRest { .. } | Does::Webhook(_) => 1,
    }
}

impl Caller {
    /// `orgs` are those of the config. Makes no request yet.
    pub fn new(action: &ActionConfig, orgs: &BTreeMap<OrgName, Org>) -> Result<Self, CallerError> {
        let timeout = action.timeout;
        let org = |name: &OrgName| orgs.get(name).cloned().ok_or_else(|| CallerError::NoOrg(name.clone()));
        let key = action.idempotency.clone();
        let way = match &action.does {
            Does::Flow { org: name, name: flow } => Way::Invocable(invocable::Invocable {
                org: org(name)?,
                kind: ActionKind::Flow,
                name: flow.clone(),
                timeout,
            }),
            Does::Apex { org: name, name: method } => Way::Invocable(invocable::Invocable {
                org: org(name)?,
                kind: ActionKind::Apex,
                name: method.clone(),
                timeout,
            }),
            Does::ApexRest { org: name, method, path } => {
                Way::ApexRest(apex_rest::ApexRest::new(org(name)?, *method, path, key.as_ref(), timeout)?)
            }
            Does::Event { org: name, event, via: Via::Rest } => {
                Way::EventByRest(event::ByRest { org: org(name)?, event: event.clone(), timeout })
            }
            Does::Event { org: name, event, via: Via::Pubsub } => {
                Way::EventByPubsub(Box::new(event::ByPubsub::new(org(name)?, event.clone(), timeout)?))
            }
            Does::Webhook(hook) => {
                Way::Webhook(webhook::Sender::new(hook, action.name.clone(), key.as_ref(), timeout)?)
            }
        };
        Ok(Self { key, way })
    }

    /// See [`batch_max`].
    pub fn batch_max(&self) -> usize {
        match &self.way {
            Way::Invocable(_) => INPUTS_MAX,
            Way::EventByRest(_) => COLLECTION_MAX,
            Way::EventByPubsub(_) => PUBLISH_MAX,
            Way::ApexRest(_) | Way::Webhook(_) => 1,
        }
    }

    /// Does it for each of these, one after the other. Where there are more than one call takes, and one call comes to
    /// nothing, or nobody knows what came of it, what is left is not done yet.
    pub async fn call(&self, shots: &[Shot]) -> Called {
        let mut called = Called::default();
        for few in shots.chunks(self.batch_max()) {
            if called.ends_it() {
                called.and(Called::all(few.len(), &Outcome::NotYet(Why::new(NOT_SENT, ""))));
                continue;
            }
            let inputs: Vec<Inputs<'_>> = few.iter().map(|shot| self.inputs(shot)).collect();
            called.and(match &self.way {
                Way::Invocable(way) => way.call(&inputs).await,
                Way::ApexRest(way) => way.call(&inputs).await,
                Way::EventByRest(way) => way.call(&inputs).await,
                Way::EventByPubsub(way) => way.call(&inputs).await,
                Way::Webhook(way) => way.call(&inputs).await,
            });
        }
        called
    }

    fn inputs<'s>(&self, shot: &'s Shot) -> Inputs<'s> {
        let mut fields = shot.inputs.clone();
        match &self.key {
            Some(KeyPlace::Input(name)) => drop(fields.insert(name.clone(), Value::text(&shot.idempotency_key))),
            // It goes beside them.
            Some(KeyPlace::Header(_)) | None => {}
        }
        Inputs { key: &shot.idempotency_key, fields }
    }
}

#[cfg(test)]
mod tests;
