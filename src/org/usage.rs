//! What the org's answers say of its API calls.

use tokio::time::Instant;

/// `Sforce-Limit-Info` of an answer (facts: rest.md sections 13 and 14).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiUsage {
    /// Calls of the last 24 hours, by all clients of the org.
    pub used: u64,
    /// How many there may be.
    pub max: u64,
    /// When it was said.
    pub at: Instant,
    /// How many calls the bridge itself had made by then: [`Org::api_calls`](super::Org::api_calls).
    pub calls: u64,
}

/// As of the last answer that spoke of it.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub usage: Option<ApiUsage>,
    /// A call was refused because those of the day are spent, and none was accepted since.
    pub spent: bool,
}
