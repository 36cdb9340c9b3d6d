//! Platform events, by either way (facts: rest.md section 11, streaming-pubsub.md section 11).

mod pubsub;
mod rest;

pub(super) use pubsub::ByPubsub;
pub(super) use rest::ByRest;
