//! The Pub/Sub API, as a client sees it.

mod admission;
mod both;
mod events;
mod flow;
mod garbage;
mod managed;
mod publish;
mod states;
mod support;

pub(super) use flow::PLAIN;
