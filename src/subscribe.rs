//! A channel and a position become changes, over the Streaming API.
//!
//! `position` decides where to begin; `cometd` speaks the protocol: `message` reads and writes it, `session` is its state
//! machine, `transport` one request, `driver` the loop that owns them.

pub mod cometd;
pub mod position;

use crate::event::{Change, Channel, ReplayId, Timestamp};

pub use cometd::driver::{SubscribeError, run};
pub use position::ChannelStart;

/// What a subscription hands to the journal, in bus order. Progress travels in the same channel behind the changes
/// that it speaks of, so that no saved position overtakes an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    Change(Change),
    /// The subscription was seen live and caught up at this time of the server's clock.
    Live {
        until: Timestamp,
    },
    /// Events up to here came and are wanted by nobody (an entity without a pipeline, committed before the start).
    Passed {
        replay_id: ReplayId,
        events: u64,
    },
    /// The org refused the saved id. From here on events come from the earliest that it keeps.
    Refused {
        at: Timestamp,
    },
}

/// An arrival and the channel that it came by.
pub type Arrived = (Channel, Arrival);
