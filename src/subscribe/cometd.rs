//! The Streaming API: Bayeux messages over CometD (facts: streaming-cometd.md).
//!
//! `message`, `decode` and `fault` understand what is said, `session` decides what to say next; none of them does
//! I/O or knows a clock. `transport` carries requests by long-polling, `driver` joins the two.

pub mod decode;
pub mod driver;
pub mod fault;
pub mod message;
pub mod session;
pub mod transport;
