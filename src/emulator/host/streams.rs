//! What can be the matter with the streams of an org, and how many of the Pub/Sub API are open.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use super::Host;

/// States that a client cannot tell from a quiet org, or only too late.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StreamStates {
    /// Streams stay open, and nothing comes: no event, no heartbeat, no error.
    pub silent: bool,
    /// Sessions are healthy and heartbeats come, but no event does.
    pub deaf: bool,
    /// So many of the next events are never published.
    pub lose_events: u64,
    /// So many of the next subscriptions that bring a replay id are refused, as if it were corrupt.
    pub corrupt_replay_ids: u64,
}

/// A stream of the Pub/Sub API that is open as long as this lives.
#[derive(Debug)]
#[cfg_attr(not(test), allow(dead_code, reason = "for the Pub/Sub API"))]
pub struct OpenStream(Arc<Host>);

impl Host {
    /// Counts a stream of the Pub/Sub API.
    #[cfg_attr(not(test), allow(dead_code, reason = "for the Pub/Sub API"))]
    pub fn open_stream(self: &Arc<Self>) -> OpenStream {
        self.pubsub_streams.fetch_add(1, Ordering::SeqCst);
        OpenStream(self.clone())
    }

    pub fn open_streams(&self) -> u64 {
        self.pubsub_streams.load(Ordering::SeqCst)
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.pubsub_streams.fetch_sub(1, Ordering::SeqCst);
    }
}
