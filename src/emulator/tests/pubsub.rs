//! The Pub/Sub API, as a client sees it.

mod admission;
mod events;
mod flow;
mod garbage;
mod managed;
mod publish;
mod support;
