//! The Streaming API (CometD, Bayeux protocol; facts: streaming-cometd.md).

pub mod driver;
pub mod fault;
pub mod message;
pub mod session;
mod transport;
