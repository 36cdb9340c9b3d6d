//! How messages travel: by long-polling, or over a WebSocket where the server offers one.
//!
//! Nothing here gives up waiting: that is for the session, which is told of every sign of life.

mod clock;
mod long_polling;
mod websocket;

use std::time::Duration;

use secrecy::SecretString;
use tokio::time::Instant;
use url::Url;

use super::fault::Failure;
use super::message::Incoming;
use super::session::Request;
use crate::event::Timestamp;
pub use clock::ServerClock;
use long_polling::LongPolling;
pub use websocket::{Upgrade, WebSocket};

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
    /// Part of an answer.
    Progress,
    /// Messages at any time, replies among them.
    Frame(Frame),
    /// Nothing more will come.
    Lost(Failure),
}

/// A frame of a WebSocket.
#[derive(Debug)]
pub struct Frame {
    pub messages: Vec<Incoming>,
    /// It was not there yet at this time.
    pub since: Instant,
}

/// One session's way to the server: its cookies live and die with it.
pub struct Line {
    long_polling: LongPolling,
    /// While it is open everything goes over it.
    websocket: Option<Box<WebSocket>>,
}

impl Line {
    /// Of a session that is about to shake hands. An error only if the machine's TLS set-up is broken.
    pub fn open(instance_url: &Url, api_version: &str, token: SecretString) -> Result<Self, reqwest::Error> {
        let long_polling = LongPolling::open(instance_url, api_version, token)?;
        Ok(Self { long_polling, websocket: None })
    }

    /// What a WebSocket of the same session needs.
    pub fn to_upgrade(&self) -> Upgrade {
        self.long_polling.to_upgrade()
    }

    pub fn set_websocket(&mut self, websocket: Option<WebSocket>) {
        self.websocket = websocket.map(Box::new);
    }

    /// Starts a request; it goes out with the next `recv`. One of long-polling that is still in flight is given up.
    pub fn send(&mut self, request: Request) {
        match &mut self.websocket {
            Some(websocket) => websocket.send(&request),
            None => self.long_polling.send(request),
        }
    }

    /// Pending for ever if nothing can come. With `listens` off a WebSocket is kept alive and not read; what long-polling
    /// brings was asked for. Cancel-safe.
    pub async fn recv(&mut self, listens: bool) -> Received {
        match &mut self.websocket {
            Some(websocket) => match websocket.recv(listens).await {
                Ok(frame) => Received::Frame(frame),
                Err(failure) => Received::Lost(failure),
            },
            None => self.long_polling.recv().await,
        }
    }
}
