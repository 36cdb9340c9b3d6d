//! Why a call fails, and how that is said: a status, and three trailers (streaming-pubsub.md section 6).
//!
//! Which status goes with which code is documented for a few of them only; the others have the one that says most.

use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

/// Before every error code.
pub const PREFIX: &str = "sfdc.platform.eventbus.grpc.";

/// What the platform refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// A metadata header is missing or blank: its name.
    HeaderInvalid(&'static str),
    /// The headers are there, and nobody gets in with them.
    NotAuthenticated,
    /// The token in `auth_refresh` is none.
    AuthRefreshInvalid,
    /// The server ends.
    Unavailable,
    TopicEmpty,
    TopicNotFound {
        org: String,
        topic: String,
    },
    /// The caller may not know of the topic.
    TopicNotReadable,
    SchemaEmpty,
    /// There is no such schema, or the caller may not read it.
    SchemaNotReadable,
    ReplayIdCorrupted,
    ReplayIdMissing,
    CountInvalid,
    RequestInvalid,
    TopicMismatch,
    CannotSubscribe,
    /// No more events may be delivered today.
    DeliveryLimit,
    /// Too many streams are open.
    ClientLimit,
    /// Nobody asked for events for too long.
    Idle,
    PublishTopicEmpty,
    PublishTopicMismatch,
    /// A publish request without events.
    NothingToPublish,
    /// A publish stream begins with `auth_refresh`.
    PublishAuthRefresh,
    PublishIdle,
    ManagedIdentifier,
    ManagedIdInvalid,
    ManagedIdNotFound,
    ManagedNameNotFound,
    ManagedActive,
    ManagedStopped,
    ManagedDeleted,
    ManagedCountInvalid,
    ManagedRequestInvalid,
    ManagedCommitFirst,
    ManagedAuthFirst,
}

impl Refusal {
    /// Suffix of the error code, status, message.
    fn parts(&self) -> (&'static str, Code, String) {
        use Code::*;
        let (suffix, code, message) = match self {
            Self::DeliveryLimit => (
                "subscription.limit.exceeded",
                ResourceExhausted,
                "You have exceeded the event delivery limit for your org.",
            ),
            Self::ClientLimit => (
                "concurrent.client.limit.exceeded",
                ResourceExhausted,
                "The number of concurrent clients exceeds the limit of your org.",
            ),
            Self::HeaderInvalid(name) => {
                let message = format!("The {name} metadata header is blank or invalid.");
                return ("service.auth.headers.invalid", Unauthenticated, message);
            }
            Self::TopicNotFound { org, topic } => {
                let message = format!(
                    "The topic information for org CORE/prod/{org} and topic {topic} not found. Ensure the topic name is correct and that the topic exists."
                );
                return ("topic.not.found", NotFound, message);
            }
            Self::NotAuthenticated => (
                "service.auth.error",
                Unauthenticated,
                "An authentication exception occurred. Provide valid authentication via metadata headers.",
            ),
            Self::AuthRefreshInvalid => {
                ("service.auth.refresh.invalid", Unauthenticated, "The auth_refresh value is invalid.")
            }
            Self::Unavailable => ("service.unavailable", Internal, "The service is unavailable. Try again later."),
            Self::TopicEmpty => ("topic.validation.empty", InvalidArgument, "The topic name is blank."),
            Self::TopicNotReadable => {
                ("topic.meta.permission", PermissionDenied, "You don't have permission to access the topic.")
            }
            Self::SchemaEmpty => ("schema.validation.failed", InvalidArgument, "The schema ID is blank."),
            Self::SchemaNotReadable => (
                "schema.meta.permission",
                PermissionDenied,
                "The schema can't be read. Ensure that the schema ID is valid and that you have permission to read it.",
            ),
            Self::ReplayIdCorrupted => (
                "subscription.fetch.replayid.corrupted",
                InvalidArgument,
                "The Replay ID validation failed. Ensure that the Replay ID is valid.",
            ),
            Self::ReplayIdMissing => (
                "subscription.fetch.replayid.validation.failed",
                InvalidArgument,
                "A replay ID is required with the replay preset CUSTOM.",
            ),
            Self::CountInvalid => (
                "subscription.fetch.requested.events.invalid",
                InvalidArgument,
                "The number of requested events must be greater than zero.",
            ),
            Self::RequestInvalid => (
                "subscription.fetch.request.invalid",
                InvalidArgument,
                "The fetch request has neither a number of requested events nor an auth refresh.",
            ),
            Self::TopicMismatch => (
                "subscription.fetch.topic.mismatch",
                InvalidArgument,
                "The topic name differs from the topic of the first fetch request.",
            ),
            Self::CannotSubscribe => (
                "subscription.topic.cannot.subscribe",
                PermissionDenied,
                "You don't have permission to subscribe to the topic.",
            ),
            Self::Idle => (
                "subscription.internal.error",
                Internal,
                "The subscription was closed because no events were requested in time.",
            ),
            Self::PublishTopicEmpty => ("publish.topic.validation.empty", InvalidArgument, "The topic name is blank."),
            Self::PublishTopicMismatch => (
                "publish.topic.mismatch",
                InvalidArgument,
                "The topic name differs from the topic of the first publish request.",
            ),
            Self::NothingToPublish => {
                ("publish.event.count.invalid", InvalidArgument, "The publish request has no events.")
            }
            Self::PublishAuthRefresh => (
                "publish.auth.refresh.invalid",
                InvalidArgument,
                "The first publish request of a stream can't have an auth refresh.",
            ),
            Self::PublishIdle => (
                "publish.stream.sweeper.timeout",
                DeadlineExceeded,
                "The publish stream was closed because it was idle for too long.",
            ),
            Self::ManagedIdentifier => (
                "managed.subscription.id.or.developer.name.empty",
                InvalidArgument,
                "Provide either the subscription ID or the developer name.",
            ),
            Self::ManagedIdInvalid => (
                "managed.subscription.subscription.id.invalid",
                InvalidArgument,
                "The subscription ID must have 15 or 18 characters.",
            ),
            Self::ManagedIdNotFound => (
                "managed.subscription.subscription.id.not.found",
                NotFound,
                "There is no managed subscription with this ID.",
            ),
            Self::ManagedNameNotFound => (
                "managed.subscription.developer.name.not.found",
                NotFound,
                "There is no managed subscription with this developer name.",
            ),
            Self::ManagedActive => (
                "managed.subscription.already.active",
                FailedPrecondition,
                "The managed subscription is in use by another client.",
            ),
            Self::ManagedStopped => {
                ("managed.subscription.config.stopped", FailedPrecondition, "The managed subscription is stopped.")
            }
            Self::ManagedDeleted => {
                ("managed.subscription.config.deleted", FailedPrecondition, "The managed subscription was deleted.")
            }
            Self::ManagedCountInvalid => (
                "managed.subscription.fetch.request.events.invalid",
                InvalidArgument,
                "The number of requested events can't be negative.",
            ),
            Self::ManagedRequestInvalid => (
                "managed.subscription.fetch.request.invalid",
                InvalidArgument,
                "The fetch request has no number of requested events, no commit and no auth refresh.",
            ),
            Self::ManagedCommitFirst => (
                "managed.subscription.fetch.request.commit.request.restricted",
                InvalidArgument,
                "The first fetch request can't have a commit.",
            ),
            Self::ManagedAuthFirst => (
                "managed.subscription.fetch.request.auth.request.restricted",
                InvalidArgument,
                "The first fetch request can't have an auth refresh.",
            ),
        };
        (suffix, code, message.to_owned())
    }

    /// What the client gets; `rpc` is the name of the method.
    pub fn status(&self, rpc: &'static str, rpc_id: &str) -> Status {
        let (suffix, code, message) = self.parts();
        let mut trailers = MetadataMap::new();
        let values = [("error-code", format!("{PREFIX}{suffix}")), ("rpc-id", rpc_id.to_owned()), ("type", rpc.into())];
        for (name, value) in values {
            if let Ok(value) = MetadataValue::try_from(value) {
                trailers.insert(name, value);
            }
        }
        Status::with_metadata(code, format!("{message} rpcId: {rpc_id}"), trailers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_its_code_the_call_and_the_method_in_trailers_and_the_call_in_its_message() {
        let status = Refusal::ReplayIdCorrupted.status("Subscribe", "1-2");
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), "The Replay ID validation failed. Ensure that the Replay ID is valid. rpcId: 1-2");
        let trailer = |name| status.metadata().get(name).unwrap().to_str().unwrap();
        assert_eq!(trailer("error-code"), "sfdc.platform.eventbus.grpc.subscription.fetch.replayid.corrupted");
        assert_eq!((trailer("rpc-id"), trailer("type")), ("1-2", "Subscribe"));
    }

    #[test]
    fn a_topic_that_is_not_there_is_named_with_its_org() {
        let refusal = Refusal::TopicNotFound { org: "00Dx".into(), topic: "/data/Nope".into() };
        assert_eq!(
            refusal.status("GetTopic", "r").message(),
            "The topic information for org CORE/prod/00Dx and topic /data/Nope not found. Ensure the topic name is correct and that the topic exists. rpcId: r"
        );
    }
}
