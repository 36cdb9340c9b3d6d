//! What a call of the Pub/Sub API that came to nothing means for what was to be published. Pure.

use std::time::Duration;

use tonic::Status;

use super::super::super::{CONNECTION_CUT, Called, Outcome, TIMED_OUT, UNREACHABLE, Why, verdict};
use crate::event::ObjectName;
use crate::org::{CallError, OrgError, OrgText};
use crate::subscribe::pubsub::avro::SchemaError;
use crate::subscribe::pubsub::error::{Failed, Fault};

/// The service said of itself that it failed.
const UNAVAILABLE: &str = "PUBSUB_UNAVAILABLE";
/// It wants to be left alone for a while.
const BUSY: &str = "PUBSUB_BUSY";
/// It refused the call, whatever is published.
const REFUSED: &str = "PUBSUB_REFUSED";

const BUG: &str = "the Pub/Sub API did not understand the request: please report this with its code";

/// Why a call gave no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    Login(OrgError),
    /// There was no connection.
    NotSent,
    TimedOut,
    Failed {
        failed: Failed,
        said: OrgText,
    },
    /// The topic is there, and nothing can be published to it.
    MayNotPublish,
    Schema(SchemaError),
}

/// What a fault says of the events that a call brought.
enum Meaning {
    /// They may be published.
    Unknown,
    /// They are not, and will be when it is over.
    NotYet(Duration),
    /// They are not, until a person has done something.
    Halt(String),
}

/// Of a call that publishes.
pub(super) fn after(trouble: &Trouble, event: &ObjectName, count: usize) -> Called {
    of(trouble, event, count, |why| Called::all(count, &Outcome::Unknown(why)))
}

/// Of a call that only asks what is needed to publish.
pub(super) fn before(trouble: &Trouble, event: &ObjectName, count: usize) -> Called {
    of(trouble, event, count, |why| Called::paused(count, why, verdict::PAUSE))
}

fn of(trouble: &Trouble, event: &ObjectName, count: usize, lost: impl Fn(Why) -> Called) -> Called {
    match trouble {
        Trouble::Login(error) => verdict::failed(&CallError::LoginFailed(error.clone()), count),
        Trouble::NotSent => {
            Called::paused(count, Why::new(UNREACHABLE, "the Pub/Sub API cannot be reached"), verdict::PAUSE)
        }
        Trouble::TimedOut => lost(Why::new(TIMED_OUT, "the Pub/Sub API did not answer in time")),
        Trouble::Failed { failed, said } => {
            let code = match failed.fault {
                Fault::Connection => CONNECTION_CUT,
                Fault::Unavailable | Fault::Internal => UNAVAILABLE,
                _ => match meaning(failed.fault, event) {
                    Meaning::NotYet(_) => BUSY,
                    Meaning::Unknown | Meaning::Halt(_) => REFUSED,
                },
            };
            let why = Why::new(code, &format!("{failed}: {}", said.reveal()));
            match meaning(failed.fault, event) {
                Meaning::Unknown => lost(why),
                Meaning::NotYet(pause) => Called::paused(count, why, pause),
                Meaning::Halt(remedy) => Called::halted(count, why, remedy),
            }
        }
        Trouble::MayNotPublish => {
            Called::halted(count, Why::new(REFUSED, "the topic takes no events"), no_permission(event))
        }
        Trouble::Schema(error) => {
            let remedy = format!("{error}. Publish {event} by REST instead (via: rest), and please report this");
            Called::halted(count, Why::new(REFUSED, &error.to_string()), remedy)
        }
    }
}

fn no_permission(event: &ObjectName) -> String {
    format!("the bridge's user may not publish {event}: give it the object permission Create on the event")
}

fn meaning(fault: Fault, event: &ObjectName) -> Meaning {
    match fault {
        Fault::Unavailable | Fault::Internal | Fault::Connection => Meaning::Unknown,
        // Of the client itself: it could not read what came.
        Fault::Other(code) if code == tonic::Code::DataLoss as i32 => Meaning::Unknown,
        Fault::TopicUnavailable | Fault::SchemaUnavailable | Fault::StreamLimit | Fault::Protection => {
            Meaning::NotYet(verdict::PAUSE)
        }
        Fault::ConcurrentClients | Fault::Deliveries => Meaning::NotYet(verdict::LONG_PAUSE),
        Fault::Authentication
        | Fault::AuthRefresh
        | Fault::Unauthenticated
        | Fault::Headers
        | Fault::License
        | Fault::SchemaInvalid
        | Fault::SchemaPermission => Meaning::Halt(fault.to_string()),
        Fault::TopicUnknown => Meaning::Halt(format!(
            "the org has no platform event {event}, or the bridge's user may not see it: create it, or give it access"
        )),
        Fault::TopicPermission | Fault::CannotSubscribe => Meaning::Halt(no_permission(event)),
        Fault::TopicEmpty
        | Fault::ReplayId
        | Fault::ReplayIdMissing
        | Fault::ReplayRepeated
        | Fault::RequestedEvents
        | Fault::TopicMismatch
        | Fault::RequestInvalid
        | Fault::Overflow
        | Fault::Foreign
        | Fault::Other(_) => Meaning::Halt(BUG.to_owned()),
    }
}

/// The line was lost before, and no other could be had.
pub(super) fn never_left(status: &Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> ObjectName {
        "Order_Shipped__e".parse().unwrap()
    }

    fn failed(fault: Fault) -> Trouble {
        Trouble::Failed { failed: Failed { fault, rpc_id: Some("0a1b".to_owned()) }, said: OrgText::new("its words") }
    }

    fn shown(called: &Called) -> (String, Option<Duration>, bool) {
        (format!("{:?}", called.outcomes[0]), called.pause, called.remedy.is_some())
    }

    #[test]
    fn what_was_sent_may_be_published_unless_the_service_says_that_it_is_not() {
        for (trouble, expected) in [
            (Trouble::NotSent, ("NotYet(UNREACHABLE)", Some(verdict::PAUSE), false)),
            (Trouble::TimedOut, ("Unknown(TIMED_OUT)", None, false)),
            (failed(Fault::Connection), ("Unknown(CONNECTION_CUT)", None, false)),
            (failed(Fault::Unavailable), ("Unknown(PUBSUB_UNAVAILABLE)", None, false)),
            (failed(Fault::Internal), ("Unknown(PUBSUB_UNAVAILABLE)", None, false)),
            (failed(Fault::Other(15)), ("Unknown(PUBSUB_REFUSED)", None, false)),
            (failed(Fault::Protection), ("NotYet(PUBSUB_BUSY)", Some(verdict::PAUSE), false)),
            (failed(Fault::ConcurrentClients), ("NotYet(PUBSUB_BUSY)", Some(verdict::LONG_PAUSE), false)),
            (failed(Fault::License), ("NotYet(PUBSUB_REFUSED)", Some(verdict::LONG_PAUSE), true)),
            (failed(Fault::TopicUnknown), ("NotYet(PUBSUB_REFUSED)", Some(verdict::LONG_PAUSE), true)),
            (failed(Fault::Foreign), ("NotYet(PUBSUB_REFUSED)", Some(verdict::LONG_PAUSE), true)),
            (Trouble::MayNotPublish, ("NotYet(PUBSUB_REFUSED)", Some(verdict::LONG_PAUSE), true)),
            (Trouble::Login(OrgError::TimedOut), ("NotYet(LOGIN_FAILED)", Some(verdict::PAUSE), false)),
        ] {
            let called = after(&trouble, &event(), 2);
            assert_eq!(called.outcomes.len(), 2);
            let (outcome, pause, remedy) = shown(&called);
            assert_eq!((outcome.as_str(), pause, remedy), expected, "{trouble:?}");
        }
    }

    #[test]
    fn nothing_is_published_by_asking() {
        for trouble in [Trouble::TimedOut, failed(Fault::Connection), failed(Fault::Unavailable)] {
            let (outcome, pause, _) = shown(&before(&trouble, &event(), 1));
            assert!(outcome.starts_with("NotYet("), "{outcome}");
            assert_eq!(pause, Some(verdict::PAUSE));
        }
        let called = before(&failed(Fault::Unavailable), &event(), 1);
        let Outcome::NotYet(why) = &called.outcomes[0] else { panic!() };
        assert_eq!(why.evidence, "the Pub/Sub API is not available just now (rpc 0a1b): its words");
    }
}
