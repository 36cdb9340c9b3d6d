//! What can be the matter with the streams of an org, and how many of the Pub/Sub API are open.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Host;
use crate::org::Mishaps;

/// States that a client cannot tell from a quiet org, or only too late.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StreamStates {
    /// Streams stay open, and nothing comes: no event, no heartbeat, no error.
    pub silent: bool,
    /// Sessions are healthy and heartbeats come, but no event does.
    pub deaf: bool,
    /// The shortest and the longest time between a commit and its event becoming visible.
    pub bus_delay_ms: [u64; 2],
    /// So many of the next events are never published.
    pub lose_events: u64,
    /// So many of the next changes are told as gaps.
    pub gap_events: u64,
    /// So many of the next subscriptions that bring a replay id are refused, as if it were corrupt.
    pub corrupt_replay_ids: u64,
    /// So many of the next messages of the Streaming API are told that the server is too busy.
    pub busy: u64,
    /// So many of the next handshakes of the Streaming API are refused, for there are too many connections.
    pub too_many_connections: u64,
}

impl StreamStates {
    /// Whether something that happens so many times happens now.
    fn strikes(times: &mut u64) -> bool {
        let strikes = *times > 0;
        *times -= u64::from(strikes);
        strikes
    }

    /// A subscription that brings a replay id is refused.
    pub fn corrupts(&mut self) -> bool {
        Self::strikes(&mut self.corrupt_replay_ids)
    }

    pub fn is_busy(&mut self) -> bool {
        Self::strikes(&mut self.busy)
    }

    pub fn refuses_connection(&mut self) -> bool {
        Self::strikes(&mut self.too_many_connections)
    }
}

/// A stream of the Pub/Sub API that is open as long as this lives.
#[derive(Debug)]
pub struct OpenStream(Arc<Host>);

impl Host {
    /// The states as they are now: what is still to be lost, the org knows.
    pub fn show_streams(&self) -> StreamStates {
        let (Mishaps { lose, gap }, delay) = {
            let org = self.org();
            (org.mishaps, org.bus.delay().clone())
        };
        let ms = |delay: &Duration| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        let bus_delay_ms = [ms(delay.start()), ms(delay.end())];
        StreamStates { bus_delay_ms, lose_events: lose, gap_events: gap, ..self.stream_states().clone() }
    }

    pub fn set_streams(&self, states: &StreamStates) {
        {
            let mut org = self.org();
            org.mishaps = Mishaps { lose: states.lose_events, gap: states.gap_events };
            let [least, most] = states.bus_delay_ms.map(Duration::from_millis);
            org.bus.set_delay(least..=most);
        }
        *self.stream_states() = states.clone();
        self.notify();
    }

    /// Counts a stream of the Pub/Sub API.
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
