//! Writes for one target org: what waits, what may go out, and what the org's answers mean.

pub mod budget;
pub mod bulk;
pub mod compare;
mod evidence;
pub mod outbox;
pub mod outcome;
mod request;
mod write;

pub use compare::Counterpart;
pub use evidence::as_evidence;
pub use outbox::{Batch, Call, FlightId, Handed, Lane, Outbox, Refusal, Verdict};
pub use request::send;
pub use write::{Body, ByKey, Cell, Cover, Key, Manner, Reference, Source, Write};
