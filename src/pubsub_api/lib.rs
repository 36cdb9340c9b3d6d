//! The Pub/Sub API's messages, client and server, as its protocol definition says them (`schemas/pubsub_api.proto`).
//!
//! The only wire code that the emulator and the bridge share: both get it from the definition alone, and it is checked
//! against encodings that were made without it (`tests/vectors/protobuf_messages.json`). What the values mean, each
//! side reads for itself.

// Written by `schemas/codegen`; the lints of this crate are not for it.
#[rustfmt::skip]
#[allow(clippy::all, missing_docs)]
mod eventbus;

pub use eventbus::*;

#[cfg(test)]
mod tests;
