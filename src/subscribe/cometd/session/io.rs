//! What a session gives out: requests for the transport, events for the caller.

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
    /// When to give up waiting for the answer.
    pub timeout: Duration,
}

/// What the caller learns, in order.
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
    /// Nothing of the past is left to come.
    CaughtUp(Channel),
    Subscribed(Channel),
    Refused {
        channel: Channel,
        why: Fault,
    },
    /// May the subscription start at the earliest event that the org keeps? Answer with `handle_fallback`; nothing is
    /// asked of this channel before.
    NeedsFallback(Channel),
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
    /// Answer with `handle_token` or `handle_no_token`.
    NeedsToken,
    /// A handshake is on its way.
    Connecting,
    /// The server offers a WebSocket: open one with this session's cookies, and say by `handle_upgrade` how it went.
    /// Nothing is sent before.
    Upgrade,
    Waiting {
        until: Instant,
        why: Trouble,
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
