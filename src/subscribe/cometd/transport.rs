//! How messages travel: by long-polling, or over a WebSocket where the server offers one.

mod long_polling;
mod websocket;

use std::time::Duration;

use super::fault::Failure;
use super::message::Incoming;
use super::session::Request;
use crate::event::Timestamp;
pub use long_polling::LongPolling;
pub use websocket::WebSocket;

/// Well above what an answer can hold if the server keeps its own limits.
const MAX_ANSWER: usize = 64 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// What a request brought.
#[derive(Debug)]
pub struct Answer {
    /// The request's.
    pub id: String,
    pub result: Result<Messages, Failure>,
}

#[derive(Debug)]
pub struct Messages {
    pub messages: Vec<Incoming>,
    /// By the server's clock, where it says so.
    pub server_time: Option<Timestamp>,
}

/// What came.
#[derive(Debug)]
pub enum Received {
    /// All that there is to a request.
    Answer(Answer),
    /// Messages at any time, replies among them.
    Frame(Vec<Incoming>),
    /// Nothing more will come.
    Lost(Failure),
}

/// One session's way to the server.
pub enum Line {
    LongPolling(LongPolling),
    WebSocket(Box<WebSocket>),
}

impl Line {
    /// Starts a request; it goes out with the next `recv`.
    pub fn send(&mut self, request: Request) {
        match self {
            Self::LongPolling(line) => line.send(request),
            Self::WebSocket(line) => line.send(&request),
        }
    }

    /// Pending for ever if nothing can come. Cancel-safe.
    pub async fn recv(&mut self) -> Received {
        match self {
            Self::LongPolling(line) => Received::Answer(line.recv().await),
            Self::WebSocket(line) => match line.recv().await {
                Ok(messages) => Received::Frame(messages),
                Err(failure) => Received::Lost(failure),
            },
        }
    }
}
