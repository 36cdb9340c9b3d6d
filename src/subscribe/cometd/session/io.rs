//! What goes in and out of a session: what a line brought, requests for it, events and notices for the caller.

use std::time::Duration;

use serde_json::Value as Json;
use tokio::time::Instant;

use crate::event::{Change, Channel, ReplayId, Timestamp};
use crate::subscribe::cometd::decode::DecodeError;
use crate::subscribe::cometd::fault::{Failure, Fault};
use crate::subscribe::cometd::message::Meta;

/// What the transport is to send: one message alone in its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The Bayeux message id, unique over all sessions of this state machine.
    pub id: String,
    pub meta: Meta,
    pub message: Json,
}

/// When the server said what it said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// Not before this time of our clock: a frame may have lain unread for a while.
    pub since: Instant,
    /// The server's time then.
    pub server_time: Timestamp,
}

impl Heard {
    pub(super) fn server_time_at(&self, now: Instant) -> Timestamp {
        self.server_time.plus(now.saturating_duration_since(self.since))
    }
}

/// How patient a session is.
#[derive(Debug, Clone, Copy)]
pub struct Timings {
    /// Past the time for which the server holds a connect.
    pub connect_margin: Duration,
    /// For any other answer, and between two frames of one.
    pub answer: Duration,
    /// For the first answer over a WebSocket.
    pub first_frame: Duration,
    /// Before a channel that was refused is asked for again: at first, and at most. Permissions change.
    pub refused_again: (Duration, Duration),
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            connect_margin: Duration::from_secs(15),
            answer: Duration::from_secs(30),
            // With the upgrade itself below the 40 s after which the server forgets a session without a connect.
            first_frame: Duration::from_secs(10),
            refused_again: (Duration::from_secs(60), Duration::from_secs(900)),
        }
    }
}

/// What is to be handed on, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Change(Box<Change>),
    /// Events that nobody wants, up to this id.
    Passed {
        channel: Channel,
        replay_id: ReplayId,
        events: u64,
    },
    /// Must not be dropped in silence.
    Undecodable(DecodeError),
    /// All that was committed up to this time of the server's clock was delivered before this event.
    Live {
        channel: Channel,
        until: Timestamp,
    },
    /// Older events are owed, and not asked for: the subscription goes on with the newest.
    Skipped {
        channel: Channel,
        at: Timestamp,
    },
    /// The position was refused: what comes now starts at the earliest that the org keeps.
    PositionRefused {
        channel: Channel,
        at: Timestamp,
    },
}

/// What the caller should know or do now, whatever waits to be handed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Answer with `handle_token` or `handle_no_token`.
    NeedsToken,
    /// A handshake is on its way.
    Connecting,
    /// The server offers a WebSocket: open one with this session's cookies, and say by `handle_upgrade` how it went.
    /// Nothing is sent before.
    Upgrade,
    /// The WebSocket does not work here: close it. The session goes on by long-polling, or a new one begins that does.
    WebSocketGivenUp,
    /// May the subscription start at the earliest event that the org keeps? Answer with `handle_fallback`; nothing is
    /// asked of this channel before.
    NeedsFallback(Channel),
    Subscribed(Channel),
    /// Nothing of the past is left to come.
    CaughtUp(Channel),
    /// The server was silent for longer than it may be.
    Stalled,
    Waiting {
        until: Instant,
        why: Trouble,
    },
    /// This channel alone has to wait.
    ChannelWaits {
        channel: Channel,
        until: Instant,
        why: Fault,
    },
    Refused {
        channel: Channel,
        why: Fault,
    },
    /// No retry can help.
    Stop(Fault),
}

/// What stands between us and the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    #[error(transparent)]
    Refused(#[from] Fault),
    #[error(transparent)]
    Failed(#[from] Failure),
    #[error("the server ended the session")]
    Ended,
    #[error("login failed")]
    NoToken,
}
