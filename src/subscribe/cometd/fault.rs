//! What a Bayeux server refused, or how a request failed, and the one place that says what to do about it (facts:
//! streaming-cometd.md section 7).
//!
//! Texts vary between releases in spacing, dots and apostrophes, so they are matched by code and a stable part.

/// A refusal that the server spelled out. Its own text is not kept: it can hold names and values of the org.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    #[error("400: the API version is missing in the address")]
    VersionMissing,
    #[error("400: the org does not serve this API version; take a newer one")]
    VersionUnsupported,
    #[error("400: the server serves no long-polling")]
    ConnectionType,
    #[error("400: the channel does not exist; is the object selected under Setup > Change Data Capture?")]
    ChannelUnknown,
    #[error("400: the server does not accept the channel's name")]
    ChannelName,
    #[error("400: the PushTopic names fields that do not exist")]
    TopicQuery,
    #[error("400: the session's cookies went missing")]
    CookieMissing,
    #[error("400: the replay id is no longer valid")]
    ReplayId,
    #[error("400: the replay map does not fit the channel")]
    ReplayMap,
    #[error("400: the session belongs to another user")]
    OtherUser,
    #[error("401: the access token expired or was revoked")]
    Authentication,
    #[error("401: the request carried no access token")]
    AuthenticationMissing,
    #[error("403: the server no longer knows this session")]
    UnknownClient,
    #[error("403: the session has not completed its handshake")]
    HandshakeMissing,
    #[error("403: the server refused the handshake without a reason")]
    HandshakeDenied,
    #[error("403: the org has no free streaming client (concurrent client limit)")]
    ConcurrentClients,
    #[error("403: the org's daily limit of delivered events is used up")]
    DailyEvents,
    #[error("403: too many simultaneous connections to this server")]
    Connections,
    #[error("403: the user may not create this channel, or it is restricted")]
    ChannelRestricted,
    #[error("403: the user is not enabled for streaming")]
    StreamingUser,
    #[error("403: the user has no access to the object of this channel (View All Records)")]
    NoAccess,
    #[error("403: denied by the server's security policy; the channel may not exist")]
    SecurityPolicy,
    #[error("403: the topic has too many subscribers")]
    TopicLimit,
    #[error("404: the channel is unknown; names differ by case too")]
    GenericUnknown,
    #[error("403: no further channel can be created")]
    GenericLimit,
    #[error("413: the request was too large")]
    RequestSize,
    #[error("503: the server is too busy")]
    Busy,
    #[error("{0}: an answer that this release does not know")]
    Other(u16),
}

/// How a request ended that brought no answer to its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("the org could not be reached, or the line was cut")]
    Unreachable,
    #[error("the org did not answer in time")]
    TimedOut,
    #[error("the org answered HTTP {0}")]
    Status(u16),
    #[error("the answer holds no Bayeux messages")]
    NotBayeux,
    #[error("the answer does not speak of what was asked")]
    NoReply,
    #[error("the answer is larger than this release takes")]
    TooLarge,
}

/// What to do. Each costs more patience than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// A new session, at once if the last one was healthy; then with growing pauses.
    NewSession,
    /// A new token, and a new session with it.
    NewToken,
    /// The position cannot be used: from the earliest.
    Reposition,
    /// This channel is refused, the others go on. It is asked for again slowly, for permissions change.
    RefuseChannel,
    /// Temporary: seconds, growing to minutes.
    Wait,
    /// A limit of the org: minutes, growing. Every attempt may itself count against the limit.
    WaitLong,
    /// The config is wrong; no retry mends it.
    Stop,
}

impl Fault {
    /// From `NNN:args:text`. Never fails: what is not known is `Other`.
    pub fn read(error: &str) -> Self {
        let mut parts = error.splitn(3, ':');
        let code = parts.next().and_then(|code| code.trim().parse::<u16>().ok()).unwrap_or(0);
        let args = parts.next().unwrap_or_default();
        let text = parts.next().unwrap_or(error).to_lowercase();
        let has = |part: &str| text.contains(part);
        match code {
            // faye's code for it.
            301 => Self::ConnectionType,
            400 if has("version") && has("mandatory") => Self::VersionMissing,
            400 if has("unsupported api version") => Self::VersionUnsupported,
            400 if has("invalid connection type") => Self::ConnectionType,
            400 if has("replay id map") => Self::ReplayMap,
            400 if has("replayid") => Self::ReplayId,
            400 if has("cookie") => Self::CookieMissing,
            400 if has("requested to subscribe") => Self::ChannelUnknown,
            400 if has("channel name not specified") || has("leading '/'") => Self::ChannelName,
            400 if has("query fields") => Self::TopicQuery,
            400 if has("does not match the session") => Self::OtherUser,
            401 if has("requires authentication") => Self::AuthenticationMissing,
            // faye says `401:<client id>:Unknown client`.
            401..=403 if has("unknown client") || has("session_unknown") => Self::UnknownClient,
            401 => Self::Authentication,
            402 => Self::UnknownClient,
            403 if has("not completed handshake") => Self::HandshakeMissing,
            403 if has("concurrent user limit") => Self::ConcurrentClients,
            403 if has("events daily limit") => Self::DailyEvents,
            403 if has("simultaneous connections") => Self::Connections,
            403 if args.contains("denied_by_security_policy") || has("denied_by_security_policy") => {
                Self::SecurityPolicy
            }
            403 if has("maximum channel limit") => Self::GenericLimit,
            403 if has("cannot create channel") || has("restricted channel") => Self::ChannelRestricted,
            403 if has("not enabled for streaming") => Self::StreamingUser,
            403 if has("subscription limit") => Self::TopicLimit,
            403 if has("access") || has("not allowed to subscribe") => Self::NoAccess,
            403 if has("handshake denied") => Self::HandshakeDenied,
            404 => Self::GenericUnknown,
            413 => Self::RequestSize,
            503 => Self::Busy,
            code => Self::Other(code),
        }
    }

    /// The only place where a refusal turns into a decision. No `_` arm, so that a new one is never retried, or
    /// taken as final, by accident.
    pub fn disposition(self) -> Disposition {
        match self {
            Self::VersionMissing | Self::VersionUnsupported | Self::ConnectionType => Disposition::Stop,
            Self::ChannelUnknown
            | Self::ChannelName
            | Self::TopicQuery
            | Self::ReplayMap
            | Self::ChannelRestricted
            | Self::StreamingUser
            | Self::NoAccess
            | Self::SecurityPolicy
            | Self::TopicLimit
            | Self::GenericUnknown
            | Self::GenericLimit => Disposition::RefuseChannel,
            Self::ReplayId => Disposition::Reposition,
            Self::CookieMissing | Self::OtherUser | Self::UnknownClient | Self::HandshakeMissing => {
                Disposition::NewSession
            }
            Self::Authentication | Self::AuthenticationMissing => Disposition::NewToken,
            // Denied without a reason and unknown answers: nothing says that they are final.
            Self::Busy | Self::Connections | Self::HandshakeDenied | Self::RequestSize | Self::Other(_) => {
                Disposition::Wait
            }
            Self::ConcurrentClients | Self::DailyEvents => Disposition::WaitLong,
        }
    }
}

impl Failure {
    /// As for faults.
    pub fn disposition(self) -> Disposition {
        match self {
            Self::Unreachable | Self::TimedOut | Self::NotBayeux | Self::NoReply | Self::TooLarge => {
                Disposition::NewSession
            }
            // A redirect: the org has moved, and a login tells where it is.
            Self::Status(300..=399 | 401 | 403) => Disposition::NewToken,
            // 400 among them: some servers send what is wrong with a session (cookies) without a Bayeux body.
            Self::Status(400 | 408 | 413 | 429 | 431 | 500..) => Disposition::Wait,
            Self::Status(_) => Disposition::WaitLong,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_documented_error_is_known_by_name() {
        for (text, fault) in [
            ("400::API version in the URI is mandatory. URI format: '/cometd/XX.0'", Fault::VersionMissing),
            (
                "400::Unsupported API version. Only API versions '37.0' and later are supported. URI format: x",
                Fault::VersionUnsupported,
            ),
            ("400::Invalid connection type websocket", Fault::ConnectionType),
            ("400::The channel you requested to subscribe to doesn't exist {/data/X}", Fault::ChannelUnknown),
            ("400::Channel name not specified", Fault::ChannelName),
            ("400::Channel subscriptions must start with a leading '/'", Fault::ChannelName),
            ("400::Query fields {A__c} do not exist on the topic entity", Fault::TopicQuery),
            ("400::Client 1a has established a session, but no BAYEUX_BROWSER cookie present", Fault::CookieMissing),
            ("400::The replayId {82} you provided was invalid.  Please provide a valid ID", Fault::ReplayId),
            (
                "400::The replayId for channel {/topic/X} wasn't found using the provided replay ID map {{}}.",
                Fault::ReplayMap,
            ),
            ("400::Authenticated user id does not match the session's user id", Fault::OtherUser),
            ("401::Authentication invalid", Fault::Authentication),
            ("401::Request requires authentication", Fault::AuthenticationMissing),
            ("401:abc:Unknown client", Fault::UnknownClient),
            ("301:websocket:Connection types not supported", Fault::ConnectionType),
            ("402::Unknown client", Fault::UnknownClient),
            ("402::session_unknown", Fault::UnknownClient),
            ("403::Unknown client", Fault::UnknownClient),
            ("403::Client has not completed handshake", Fault::HandshakeMissing),
            ("403::Handshake denied", Fault::HandshakeDenied),
            ("403::Organization concurrent user limit exceeded", Fault::ConcurrentClients),
            ("403::Organization total events daily limit exceeded", Fault::DailyEvents),
            (
                "403::To protect all customers from excessive use and Denial of Service attacks, we limit the number \
                 of simultaneous connections per server.",
                Fault::Connections,
            ),
            ("403::Cannot create channel /u/x", Fault::ChannelRestricted),
            ("403::Restricted channel", Fault::ChannelRestricted),
            ("403::User not enabled for streaming", Fault::StreamingUser),
            ("403::Subscriber does not have access to the entity in this topic", Fault::NoAccess),
            (
                "403::Subscriber does not have access to all fields referenced in the where clause of the PushTopic",
                Fault::NoAccess,
            ),
            ("403::User not allowed to subscribe CDC without View All Data permissions", Fault::NoAccess),
            ("403::User not allowed to subscribe CDC without required permissions", Fault::NoAccess),
            ("403:denied_by_security_policy:create_denied", Fault::SecurityPolicy),
            ("403::Subscription limit exceeded for this topic", Fault::TopicLimit),
            ("404::Unknown channel", Fault::GenericUnknown),
            ("403::No access on channel", Fault::NoAccess),
            ("403::Unable to create channel dynamically, maximum channel limit has been exceeded", Fault::GenericLimit),
            ("413::Maximum Request Size Exceeded", Fault::RequestSize),
            ("503::Server is too busy.  Please try your request again later.", Fault::Busy),
            ("418::short and stout", Fault::Other(418)),
            ("no code at all", Fault::Other(0)),
            ("", Fault::Other(0)),
        ] {
            assert_eq!(Fault::read(text), fault, "{text}");
        }
    }

    #[test]
    fn a_bare_status_is_judged_like_the_fault_that_it_stands_for() {
        for (status, disposition) in [
            (302, Disposition::NewToken),
            (400, Disposition::Wait),
            (401, Disposition::NewToken),
            (403, Disposition::NewToken),
            (404, Disposition::WaitLong),
            (413, Disposition::Wait),
            (429, Disposition::Wait),
            (502, Disposition::Wait),
            (503, Disposition::Wait),
        ] {
            assert_eq!(Failure::Status(status).disposition(), disposition, "{status}");
        }
    }

    #[test]
    fn only_what_the_config_can_mend_stops_the_subscription() {
        let stops = |fault: Fault| fault.disposition() == Disposition::Stop;
        assert!(stops(Fault::VersionUnsupported) && stops(Fault::ConnectionType));
        assert!(!stops(Fault::HandshakeDenied) && !stops(Fault::Other(499)) && !stops(Fault::NoAccess));
    }
}
