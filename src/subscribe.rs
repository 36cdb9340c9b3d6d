//! A channel and a position become changes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::event::{Arrival, Change, Channel, Happening, ObjectName, Timestamp, Transport};
use crate::org::Org;
pub use surroundings::Surroundings;
pub use watchdog::SILENCE_MAX;

pub mod budget;
pub mod cometd;
pub mod found;
pub mod poll;
pub mod position;
pub mod probe;
pub mod pubsub;
pub mod retention;
pub mod surroundings;
#[cfg(test)]
mod testing;
pub mod watchdog;

/// A channel to subscribe, and from where. Whoever makes it has committed `plan.commit_start` before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelStart {
    pub channel: Channel,
    pub plan: position::Plan,
    /// Entities that a pipeline reads; events of others are passed over. None: all are wanted.
    pub wanted: Option<BTreeSet<ObjectName>>,
}

impl ChannelStart {
    /// Nobody wants this event: it is counted, and not journaled.
    pub fn passes_over(&self, change: &Change) -> bool {
        let unwanted = match (&change.happening, &self.wanted) {
            (Happening::Record(record), Some(wanted)) => !wanted.contains(&record.header.entity_name),
            (Happening::Record(_) | Happening::Event { .. } | Happening::Notification { .. }, _) => false,
        };
        unwanted || self.plan.passes_over(change)
    }
}

/// How the subscriptions of one source org are, for the status.
pub type Subscriptions = BTreeMap<Channel, SubscriptionStatus>;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubscriptionStatus {
    pub state: State,
    /// Events handed over, doubles included.
    pub received: u64,
    /// Events that this release could not read; each is in the log with its replay id.
    pub undecodable: u64,
    /// By our clock: when the last event came, and when the last frame of any kind (a keepalive, a held connect).
    pub last_event: Option<Timestamp>,
    pub last_frame: Option<Timestamp>,
}

/// What is known of a subscription now; `Display` says it to people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum State {
    #[default]
    Connecting,
    /// Subscribed; the past may still be coming.
    CatchingUp,
    Live,
    /// Nothing came for longer than the org may be silent: the stream is torn down and opened anew.
    Stalled,
    /// Temporary: tried again at this time of our clock.
    Waiting {
        until: Timestamp,
        why: String,
    },
    /// The org refuses this channel. It is asked again every few minutes, for permissions change.
    Refused {
        why: String,
    },
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting => f.write_str("connecting"),
            Self::CatchingUp => f.write_str("catching up"),
            Self::Live => f.write_str("live"),
            Self::Stalled => f.write_str("stalled"),
            Self::Waiting { until, why } => write!(f, "waiting until {until}: {why}"),
            Self::Refused { why } => write!(f, "refused: {why}"),
        }
    }
}

/// Why subscriptions ended that nobody stopped.
#[derive(Debug, thiserror::Error)]
pub enum SubscribeError {
    #[error("the org does not serve what the config asks for: {0}")]
    Stopped(cometd::fault::Fault),
    #[error("the login leads to another org than before")]
    OtherOrg,
    #[error("the journal takes nothing more")]
    JournalGone,
    #[error("the address of the Pub/Sub API in the config cannot be used")]
    BadAddress,
    #[error("a stream broke down: {0}")]
    Broken(String),
    #[error("no HTTP client could be made")]
    Transport(#[source] reqwest::Error),
}

/// What a subscription of an org works with.
pub struct Feed<S> {
    pub org: Org,
    /// Where what arrives goes. A slow receiver slows the reading down; nothing is dropped.
    pub arrivals: mpsc::Sender<(Channel, Arrival)>,
    pub state: watch::Sender<Subscriptions>,
    pub surroundings: S,
    /// Each change of it ends the streams, which go on from their position: somebody saw that they are deaf.
    pub nudges: watch::Receiver<u64>,
    /// How long a stream of the Pub/Sub API may be silent; [`SILENCE_MAX`] but in tests.
    pub silence: Duration,
    pub cancel: CancellationToken,
}

/// Receives all channels of one source org over one connection or session, until cancelled.
///
/// # Errors
/// When no retry can help: see [`SubscribeError`].
pub async fn run<S: Surroundings>(
    feed: Feed<S>,
    transport: Transport,
    channels: Vec<ChannelStart>,
) -> Result<(), SubscribeError> {
    match transport {
        Transport::Pubsub => pubsub::driver::run(feed, channels).await,
        Transport::Cometd => cometd::driver::run(feed, channels).await,
    }
}
