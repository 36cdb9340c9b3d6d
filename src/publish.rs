//! Writes for one target org: what waits, what may go out, and what the org's answers mean.

pub mod budget;
pub mod outbox;
pub mod outcome;
mod request;
mod write;

pub use outbox::{Batch, Call, FlightId, Handed, Outbox, Refusal, Verdict};
pub use request::send;
pub use write::{Body, ByKey, Cell, Cover, Key, Manner, Reference, Source, Write};
