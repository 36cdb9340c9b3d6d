//! The Pub/Sub API, as a client sees it.

mod admission;
mod flow;
mod support;
