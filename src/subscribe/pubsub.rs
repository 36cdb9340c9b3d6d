//! The Pub/Sub API: events over gRPC, their payload in Avro (facts: streaming-pubsub.md).
//!
//! `avro`, `bitmap` and `decode` understand an event, `error` a refusal; `demand` says how much to ask for and `stream`
//! what has been received. None of them does I/O or knows a clock. `connection` and `schemas` talk to the org, `driver`
//! joins all.

pub mod avro;
pub mod bitmap;
pub(crate) mod connection;
pub mod decode;
pub mod demand;
pub mod driver;
pub mod error;
mod schemas;
pub mod stream;

#[cfg(test)]
mod vectors;
