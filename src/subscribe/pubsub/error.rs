//! What an error of the Pub/Sub API means, and what to do (facts: streaming-pubsub.md section 6). Pure.
//!
//! The status alone is ambiguous: the trailer `error-code` decides. Its text is not kept, but for the id of the call,
//! which Salesforce's support asks for.

use tonic::{Code, Status};

/// The codes behind `sfdc.platform.eventbus.grpc.`, and what comes without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("the Pub/Sub API is not available just now")]
    Unavailable,
    #[error("the access token is not valid any more")]
    Authentication,
    #[error("the login's headers are refused: the org's id or address is not what the Pub/Sub API knows")]
    Headers,
    #[error("the token of a running stream was refused")]
    AuthRefresh,
    #[error("too many requests on one stream")]
    StreamLimit,
    #[error("too many connections or requests")]
    Protection,
    #[error("the org has no licence for the Pub/Sub API")]
    License,
    #[error("too many clients of the Pub/Sub API in this org: stop some of them")]
    ConcurrentClients,
    #[error(
        "there is no such channel: is the object selected in Setup > Change Data Capture, and is the channel written as \
         the org writes it?"
    )]
    TopicUnknown,
    #[error("the bridge's user may not see this channel: it needs View All Records on the object")]
    TopicPermission,
    #[error("the org's channels are not available just now")]
    TopicUnavailable,
    #[error("the org's schemas are not available just now")]
    SchemaUnavailable,
    #[error("the channel has no name")]
    TopicEmpty,
    #[error("the schema's id is not valid")]
    SchemaInvalid,
    #[error("the bridge's user may not read this schema")]
    SchemaPermission,
    #[error("the org does not know the replay id: it is too old, or from before the org moved")]
    ReplayId,
    #[error("no replay id was given")]
    ReplayIdMissing,
    #[error("the org sent an event again")]
    ReplayRepeated,
    #[error("an impossible number of events was asked for")]
    RequestedEvents,
    #[error("the channel changed within a stream")]
    TopicMismatch,
    #[error("a request asked for nothing")]
    RequestInvalid,
    #[error("more was asked for than was taken")]
    Overflow,
    #[error("the org's event deliveries of 24 hours are used up")]
    Deliveries,
    #[error("the bridge's user may not subscribe to this channel")]
    CannotSubscribe,
    #[error("the Pub/Sub API has an error of its own")]
    Internal,
    /// Codes of publishing and of managed subscriptions, which a subscription never gets.
    #[error("the Pub/Sub API answered for something that was not asked")]
    Foreign,
    /// Without a code: the network, a proxy, or the connection.
    #[error("the connection to the Pub/Sub API was lost")]
    Connection,
    /// Without a code, and with a status that says that the login is wrong.
    #[error("the Pub/Sub API refused the login")]
    Unauthenticated,
    #[error("the Pub/Sub API answered with an unknown error (gRPC status {0})")]
    Other(i32),
}

/// What to do. Each costs more patience than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Again from the stored id, with growing pauses.
    Retry,
    /// A new token, and then again.
    Renew,
    /// The position cannot be used: from the earliest, or the newest.
    Reposition,
    /// This channel is refused, the others go on. It is asked for again slowly, for permissions change.
    Refuse,
    /// A limit of the org: minutes, growing.
    WaitLong,
}

/// A fault, and the id of the call for support.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    pub fault: Fault,
    pub rpc_id: Option<String>,
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.rpc_id {
            Some(id) => write!(f, "{} (rpc {id})", self.fault),
            None => self.fault.fmt(f),
        }
    }
}

const PREFIX: &str = "sfdc.platform.eventbus.grpc.";

impl Failed {
    pub fn read(status: &Status) -> Self {
        let text = |name: &str| status.metadata().get(name).and_then(|value| value.to_str().ok());
        let fault = match text("error-code").map(|code| code.strip_prefix(PREFIX).unwrap_or(code)) {
            Some(code) => Fault::of_code(code, status.code()),
            None => Fault::of_status(status.code()),
        };
        // It came from outside and goes to the log.
        let rpc_id = text("rpc-id").map(|id| id.chars().take(64).collect());
        Self { fault, rpc_id }
    }

    /// Nothing was answered at all.
    pub fn connection() -> Self {
        Self { fault: Fault::Connection, rpc_id: None }
    }
}

impl Fault {
    fn of_code(code: &str, status: Code) -> Self {
        match code {
            "service.unavailable" => Self::Unavailable,
            "service.auth.error" => Self::Authentication,
            "service.auth.headers.invalid" => Self::Headers,
            "service.auth.refresh.invalid" => Self::AuthRefresh,
            "service.protection.stream.limit.triggered" => Self::StreamLimit,
            "service.protection.triggered" => Self::Protection,
            "service.tenant.license" => Self::License,
            "concurrent.client.limit.exceeded" => Self::ConcurrentClients,
            "topic.not.found" => Self::TopicUnknown,
            "topic.meta.permission" => Self::TopicPermission,
            "topic.api.unavailable" => Self::TopicUnavailable,
            "schema.api.unavailable" => Self::SchemaUnavailable,
            "topic.validation.empty" => Self::TopicEmpty,
            "schema.validation.failed" => Self::SchemaInvalid,
            "schema.meta.permission" => Self::SchemaPermission,
            "subscription.fetch.replayid.corrupted" => Self::ReplayId,
            "subscription.fetch.replayid.validation.failed" => Self::ReplayIdMissing,
            "subscription.fetch.replay.repeated" => Self::ReplayRepeated,
            "subscription.fetch.requested.events.invalid" => Self::RequestedEvents,
            "subscription.fetch.topic.mismatch" => Self::TopicMismatch,
            "subscription.fetch.request.invalid" => Self::RequestInvalid,
            "subscription.fetch.overflow" => Self::Overflow,
            "subscription.limit.exceeded" => Self::Deliveries,
            "subscription.topic.cannot.subscribe" => Self::CannotSubscribe,
            "subscription.internal.error" => Self::Internal,
            code if code.starts_with("publish.") || code.starts_with("managed.") => Self::Foreign,
            // New codes will come; the status says at least whether it is the login.
            _ => Self::of_status(status),
        }
    }

    fn of_status(status: Code) -> Self {
        match status {
            // A stream that was reset shows as one of these.
            Code::Unavailable
            | Code::Internal
            | Code::Unknown
            | Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted => Self::Connection,
            Code::Unauthenticated => Self::Unauthenticated,
            Code::ResourceExhausted => Self::Protection,
            // UNSURE: with some permissions an unknown channel gets this one.
            Code::NotFound => Self::TopicUnknown,
            Code::PermissionDenied => Self::TopicPermission,
            code @ (Code::Ok
            | Code::InvalidArgument
            | Code::AlreadyExists
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::DataLoss) => Self::Other(code as i32),
        }
    }

    /// The only place where an error turns into a decision. No `_` arm, so that a new one is never retried, or taken
    /// as final, by accident.
    pub fn disposition(self) -> Disposition {
        match self {
            Self::Unavailable
            | Self::TopicUnavailable
            | Self::SchemaUnavailable
            | Self::ReplayRepeated
            | Self::Overflow
            | Self::Internal
            | Self::StreamLimit
            | Self::Protection
            | Self::Connection => Disposition::Retry,
            Self::Authentication | Self::AuthRefresh | Self::Unauthenticated => Disposition::Renew,
            Self::ReplayId | Self::ReplayIdMissing => Disposition::Reposition,
            Self::TopicUnknown
            | Self::TopicPermission
            | Self::TopicEmpty
            | Self::SchemaInvalid
            | Self::SchemaPermission
            | Self::CannotSubscribe
            | Self::License
            | Self::Headers => Disposition::Refuse,
            // Mistakes of ours: to say them over and over would help nobody.
            Self::RequestedEvents | Self::TopicMismatch | Self::RequestInvalid | Self::Foreign => Disposition::WaitLong,
            Self::ConcurrentClients | Self::Deliveries | Self::Other(_) => Disposition::WaitLong,
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::metadata::MetadataMap;

    use super::*;

    fn status(code: Code, error_code: Option<&str>) -> Status {
        let mut metadata = MetadataMap::new();
        if let Some(error_code) = error_code {
            metadata.insert("error-code", format!("{PREFIX}{error_code}").parse().unwrap());
            metadata.insert("rpc-id", "0a1b".parse().unwrap());
        }
        Status::with_metadata(code, "text of the org", metadata)
    }

    #[test]
    fn each_documented_code_has_its_place() {
        use Disposition::{Refuse, Renew, Reposition, Retry, WaitLong};
        for (code, disposition) in [
            ("service.unavailable", Retry),
            ("service.auth.error", Renew),
            ("service.auth.headers.invalid", Refuse),
            ("service.auth.refresh.invalid", Renew),
            ("service.protection.stream.limit.triggered", Retry),
            ("service.protection.triggered", Retry),
            ("service.tenant.license", Refuse),
            ("concurrent.client.limit.exceeded", WaitLong),
            ("topic.not.found", Refuse),
            ("topic.meta.permission", Refuse),
            ("topic.api.unavailable", Retry),
            ("schema.api.unavailable", Retry),
            ("topic.validation.empty", Refuse),
            ("schema.validation.failed", Refuse),
            ("schema.meta.permission", Refuse),
            ("subscription.fetch.replayid.corrupted", Reposition),
            ("subscription.fetch.replayid.validation.failed", Reposition),
            ("subscription.fetch.replay.repeated", Retry),
            ("subscription.fetch.requested.events.invalid", WaitLong),
            ("subscription.fetch.topic.mismatch", WaitLong),
            ("subscription.fetch.request.invalid", WaitLong),
            ("subscription.fetch.overflow", Retry),
            ("subscription.limit.exceeded", WaitLong),
            ("subscription.topic.cannot.subscribe", Refuse),
            ("subscription.internal.error", Retry),
            ("publish.stream.sweeper.timeout", WaitLong),
            ("managed.subscription.already.active", WaitLong),
        ] {
            let failed = Failed::read(&status(Code::InvalidArgument, Some(code)));
            assert_eq!(failed.fault.disposition(), disposition, "{code}");
            assert_eq!(failed.rpc_id.as_deref(), Some("0a1b"));
            assert!(!failed.to_string().contains("text of the org"));
        }
    }

    #[test]
    fn without_a_code_the_status_decides() {
        for (code, fault) in [
            (Code::Unavailable, Fault::Connection),
            (Code::Internal, Fault::Connection),
            (Code::Unauthenticated, Fault::Unauthenticated),
            (Code::NotFound, Fault::TopicUnknown),
            (Code::PermissionDenied, Fault::TopicPermission),
            (Code::ResourceExhausted, Fault::Protection),
            (Code::DataLoss, Fault::Other(15)),
        ] {
            assert_eq!(Failed::read(&status(code, None)).fault, fault);
        }
        assert_eq!(Failed::read(&status(Code::Unauthenticated, Some("brand.new"))).fault, Fault::Unauthenticated);
    }
}
