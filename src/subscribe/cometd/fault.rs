//! Every way in which the Streaming API says no, and what is done about it (facts: streaming-cometd.md section 7).

/// An error of a Bayeux reply. Texts vary between releases, so only the code and a stable part of the text count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    /// For people: the org speaks of channels and limits here, not of records.
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// 401: the token is not good any more.
    Token,
    /// The server does not know this client (any more), or its cookies are gone.
    SessionLost,
    /// 503, even behind an outer 401.
    Busy,
    /// Clients, connections or the day's events are used up.
    Limit,
    /// The saved replay id is too old, or from another life of the org.
    ReplayId,
    /// This channel cannot be subscribed to: it does not exist, or the user may not see it.
    Channel,
    /// Nothing can be subscribed to with these settings.
    Settings,
    /// Not in the facts.
    Unknown,
}

/// What to do about a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    RenewToken,
    NewSession,
    /// A new session, but only after some minutes.
    NewSessionLater,
    FromEarliest,
    /// The channel is given up for a while; the session goes on.
    RefuseChannel,
    Stop,
}

impl Fault {
    /// Reads `NNN:args:text`. Salesforce leaves the arguments empty, most of the time.
    pub fn read(error: &str) -> Self {
        let mut parts = error.splitn(3, ':');
        let code = parts.next().unwrap_or_default().trim();
        let arguments = parts.next().unwrap_or_default();
        let text = parts.next().unwrap_or_default().trim();
        let whole = format!("{arguments} {text}").to_lowercase();
        let has = |part: &str| whole.contains(part);
        let kind = match code {
            "401" => FaultKind::Token,
            "402" => FaultKind::SessionLost,
            "503" => FaultKind::Busy,
            "413" => FaultKind::Settings,
            _ if has("unknown client") || has("session_unknown") || has("not completed handshake") => {
                FaultKind::SessionLost
            }
            _ if has("cookie") || has("does not match the session") => FaultKind::SessionLost,
            _ if has("concurrent user limit") || has("daily limit") || has("simultaneous connections") => {
                FaultKind::Limit
            }
            "400" if has("api version") || has("connection type") => FaultKind::Settings,
            // The map form of this text is our own mistake; it speaks of one channel and does not go away by itself.
            "400" if has("replay id map") => FaultKind::Channel,
            "400" if has("replayid") => FaultKind::ReplayId,
            "400" | "403" | "404" => FaultKind::Channel,
            _ => FaultKind::Unknown,
        };
        let shown = if text.is_empty() { arguments } else { text };
        Self { kind, text: format!("{code} {shown}").chars().take(300).collect() }
    }

    /// The only place where a fault turns into a decision. `of_channel`: it answers a subscribe.
    pub fn remedy(&self, of_channel: bool) -> Remedy {
        match self.kind {
            FaultKind::Token => Remedy::RenewToken,
            FaultKind::SessionLost | FaultKind::Busy => Remedy::NewSession,
            FaultKind::Limit => Remedy::NewSessionLater,
            FaultKind::ReplayId => Remedy::FromEarliest,
            FaultKind::Settings => Remedy::Stop,
            FaultKind::Channel | FaultKind::Unknown if of_channel => Remedy::RefuseChannel,
            FaultKind::Channel | FaultKind::Unknown => Remedy::NewSession,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_documented_error_has_its_kind() {
        for (error, kind) in [
            ("400::API version in the URI is mandatory. URI format: '/cometd/XX.0'", FaultKind::Settings),
            ("400::Unsupported API version. Only API versions '37.0' and later are supported.", FaultKind::Settings),
            ("400::Invalid connection type websocket", FaultKind::Settings),
            ("400::The channel you requested to subscribe to doesn't exist /data/X", FaultKind::Channel),
            ("400::Channel name not specified", FaultKind::Channel),
            ("400::Client abc has established a session, but no BAYEUX_BROWSER cookie present", FaultKind::SessionLost),
            ("400::The replayId {82} you provided was invalid.  Please provide a valid ID, -2 to", FaultKind::ReplayId),
            (
                "400::The replayId for channel {/x} wasn't found using the provided replay ID map {{}}",
                FaultKind::Channel,
            ),
            ("400::Authenticated user id does not match the session's user id", FaultKind::SessionLost),
            ("401::Authentication invalid", FaultKind::Token),
            ("401::Request requires authentication", FaultKind::Token),
            ("402::Unknown client", FaultKind::SessionLost),
            ("402::session_unknown", FaultKind::SessionLost),
            ("403::Unknown client", FaultKind::SessionLost),
            ("403::Client has not completed handshake", FaultKind::SessionLost),
            ("403::Organization concurrent user limit exceeded", FaultKind::Limit),
            ("403::Organization total events daily limit exceeded", FaultKind::Limit),
            ("403::To protect all customers ... we limit the number of simultaneous connections per", FaultKind::Limit),
            ("403::User not allowed to subscribe CDC without View All Data permissions", FaultKind::Channel),
            ("403:denied_by_security_policy:create_denied", FaultKind::Channel),
            ("404::Unknown channel", FaultKind::Channel),
            ("413::Maximum Request Size Exceeded", FaultKind::Settings),
            ("503::Server is too busy.  Please try your request again later.", FaultKind::Busy),
            ("nonsense", FaultKind::Unknown),
            ("", FaultKind::Unknown),
        ] {
            assert_eq!(Fault::read(error).kind, kind, "{error}");
        }
    }

    #[test]
    fn a_refused_channel_does_not_end_the_session_but_a_refused_handshake_does() {
        let fault = Fault::read("403::Restricted channel");
        assert_eq!(fault.remedy(true), Remedy::RefuseChannel);
        assert_eq!(fault.remedy(false), Remedy::NewSession);
    }
}
