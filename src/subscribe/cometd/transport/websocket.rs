//! A WebSocket of one Bayeux session (facts: streaming-cometd.md section 9). The platform has none; other Bayeux servers do.
//!
//! The session shook hands by long-polling before, so its cookies and its token go into the upgrade.

use futures_util::{SinkExt, StreamExt};
use reqwest::header::{AUTHORIZATION, COOKIE, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};
use url::Url;

use super::super::fault::Failure;
use super::super::message::{self, Incoming};
use super::super::session::Request;
use super::{CONNECT_TIMEOUT, MAX_ANSWER};

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
    /// To be written before anything is read.
    outgoing: Option<Message>,
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
        let opening = connect_async_tls_with_config(request, Some(limits), true, None);
        match tokio::time::timeout(CONNECT_TIMEOUT, opening).await {
            Ok(Ok((socket, _))) => Ok(Self { socket, outgoing: None }),
            // The error itself is not kept: it can show the address.
            Ok(Err(_)) => Err(Failure::Unreachable),
            Err(_) => Err(Failure::TimedOut),
        }
    }

    pub fn send(&mut self, request: &Request) {
        let text = serde_json::Value::Array(vec![request.message.clone()]).to_string();
        self.outgoing = Some(Message::text(text));
    }

    /// The messages of the next frame. Cancel-safe: what is to be written stays until it is written, for the sink takes a
    /// message at once or not at all.
    pub async fn recv(&mut self) -> Result<Vec<Incoming>, Failure> {
        loop {
            if self.outgoing.is_some() {
                futures_util::future::poll_fn(|context| self.socket.poll_ready_unpin(context))
                    .await
                    .map_err(|_| Failure::Unreachable)?;
                if let Some(message) = self.outgoing.take() {
                    self.socket.start_send_unpin(message).map_err(|_| Failure::Unreachable)?;
                }
            }
            // Also what an earlier, cancelled call has only begun to write.
            self.socket.flush().await.map_err(|_| Failure::Unreachable)?;
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    return message::parse(text.as_bytes()).map_err(|_| Failure::NotBayeux);
                }
                Some(Ok(Message::Binary(_))) => return Err(Failure::NotBayeux),
                // Pings are answered by the library, with the next flush.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(Failure::Unreachable),
            }
        }
    }
}
