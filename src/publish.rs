//! Writes for one target org: what waits, what may go out, and what the org's answers mean.

mod outbox;
mod write;

pub use outbox::{BATCH_MAX, Batch, Call, FlightId, Handed, Outbox, Refusal, Verdict};
pub use write::{Body, Cell, Cover, Key, Reference, Source, Write};
