//! What a subscription hands to the journal.

use super::{Change, ReplayId, Timestamp};

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
    /// An event that this release cannot read came: a gap.
    Undecodable {
        replay_id: Option<ReplayId>,
    },
    /// The org refused the saved id. From here on events come from the earliest that it keeps.
    Refused {
        at: Timestamp,
    },
}
