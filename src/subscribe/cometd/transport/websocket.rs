//! A WebSocket of one Bayeux session (facts: streaming-cometd.md section 9). The platform has none; other Bayeux servers do.
//!
//! The session shook hands by long-polling before, so its cookies and its token go into the upgrade.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::poll_fn;
use futures_util::{SinkExt, StreamExt};
use reqwest::header::{AUTHORIZATION, COOKIE, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpStream;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};
use url::Url;

use super::super::fault::Failure;
use super::super::message::{self, WEBSOCKET};
use super::super::session::Request;
use super::{CONNECT_TIMEOUT, Frame, MAX_ANSWER};

/// Proxies often cut a socket on which nothing moves for a minute, and a connect is held for nearly two. The answers
/// are no sign of life of the session: only messages are.
const PING_EVERY: Duration = Duration::from_secs(20);

/// What an upgrade needs of the session.
pub struct Upgrade {
    /// That of long-polling.
    pub url: Url,
    pub token: SecretString,
    pub cookies: Option<HeaderValue>,
}

/// An open socket.
pub struct WebSocket {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Not yet taken by the socket.
    outgoing: VecDeque<Message>,
    pings: Interval,
    /// What is read next came after this time: since then the socket was not read, or never empty. None: it was empty.
    unread_since: Option<Instant>,
}

impl WebSocket {
    /// An error says that there will be none: the session goes on by long-polling.
    pub async fn open(upgrade: Upgrade) -> Result<Self, Failure> {
        let mut url = upgrade.url;
        let scheme = if url.scheme() == "http" { "ws" } else { "wss" };
        url.set_scheme(scheme).map_err(|()| Failure::Unreachable)?;
        let mut request = url.as_str().into_client_request().map_err(|_| Failure::Unreachable)?;
        let bearer = format!("Bearer {}", upgrade.token.expose_secret());
        let mut bearer = HeaderValue::from_str(&bearer).map_err(|_| Failure::Unreachable)?;
        bearer.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, bearer);
        if let Some(cookies) = upgrade.cookies {
            request.headers_mut().insert(COOKIE, cookies);
        }
        let limits = WebSocketConfig::default().max_message_size(Some(MAX_ANSWER)).max_frame_size(Some(MAX_ANSWER));
        // Without a connector of ours the machine's own certificates are trusted, as everywhere in the bridge.
        let opening = connect_async_tls_with_config(request, Some(limits), true, None);
        match tokio::time::timeout(CONNECT_TIMEOUT, opening).await {
            Ok(Ok((socket, _))) => {
                let mut pings = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
                pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
                Ok(Self { socket, outgoing: VecDeque::new(), pings, unread_since: None })
            }
            // The error itself is not kept: it can show the address.
            Ok(Err(_)) => Err(Failure::Unreachable),
            Err(_) => Err(Failure::TimedOut),
        }
    }

    pub fn send(&mut self, request: &Request) {
        let text = serde_json::Value::Array(vec![request.message.clone()]).to_string();
        self.outgoing.push_back(Message::text(text));
    }

    /// The next frame with messages; pending for ever if not `listens`, but requests and pings go out. Cancel-safe:
    /// nothing is held outside of `self`.
    pub async fn recv(&mut self, listens: bool) -> Result<Frame, Failure> {
        poll_fn(|context| self.poll(listens, context)).await
    }

    fn poll(&mut self, listens: bool, context: &mut Context<'_>) -> Poll<Result<Frame, Failure>> {
        while self.pings.poll_tick(context).is_ready() {
            self.outgoing.push_back(Message::Ping(Bytes::new()));
        }
        self.poll_write(context)?;
        if !listens {
            self.unread_since.get_or_insert_with(Instant::now);
            return Poll::Pending;
        }
        loop {
            let Poll::Ready(next) = self.socket.poll_next_unpin(context) else {
                self.unread_since = None;
                return Poll::Pending;
            };
            let frame = match next {
                Some(Ok(frame)) => frame,
                Some(Err(_)) | None => return Poll::Ready(Err(Failure::Unreachable)),
            };
            let messages = match &frame {
                Message::Text(text) => message::parse_from(text.as_bytes(), WEBSOCKET),
                // The protocol speaks of text; what is inside is the same.
                Message::Binary(bytes) => message::parse_from(bytes, WEBSOCKET),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {
                    // The library has put the answer to a ping into its buffer.
                    self.poll_write(context)?;
                    continue;
                }
                Message::Close(_) => return Poll::Ready(Err(Failure::Unreachable)),
            };
            let since = *self.unread_since.get_or_insert_with(Instant::now);
            let frame = messages.map(|messages| Frame { messages, since });
            return Poll::Ready(frame.map_err(|message::NotBayeux| Failure::NotBayeux));
        }
    }

    /// As far as it goes now; the rest when the socket has room, or with the next call.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Result<(), Failure> {
        let mut write = || -> Poll<Result<(), Failure>> {
            while !self.outgoing.is_empty() {
                ready!(self.socket.poll_ready_unpin(context)).map_err(|_| Failure::Unreachable)?;
                if let Some(message) = self.outgoing.pop_front() {
                    self.socket.start_send_unpin(message).map_err(|_| Failure::Unreachable)?;
                }
            }
            self.socket.poll_flush_unpin(context).map_err(|_| Failure::Unreachable)
        };
        match write() {
            Poll::Ready(done) => done,
            Poll::Pending => Ok(()),
        }
    }
}
