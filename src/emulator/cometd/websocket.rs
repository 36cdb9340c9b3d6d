//! Bayeux over a WebSocket, as CometD servers speak it (streaming-cometd.md section 9). The platform has none.
//!
//! Each text frame is an array of messages. Events go out as they come, each in a frame of its own; a connect is held
//! all the same, as a sign of life.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use serde_json::Value as Json;
use tokio::time::Instant;

use super::messages::{self, Reply, error};
use super::sessions::Transport;
use super::{connected, with_advice, wrong_version};
use crate::host::Host;
use crate::oauth::session;
use crate::wire::Call;

/// The answer to an upgrade request.
pub fn open(host: Arc<Host>, call: Call, upgrade: WebSocketUpgrade) -> Response {
    host.count("websocket", false);
    upgrade.on_upgrade(move |socket| async move {
        let stopped = host.stopped();
        let mut line = Line { host, call, socket, client_id: None, held: None };
        tokio::select! { () = stopped.cancelled() => {} _ = line.run() => {} }
        line.let_go();
    })
}

struct Line {
    host: Arc<Host>,
    /// The upgrade request: its token and cookies stand for the whole connection.
    call: Call,
    socket: WebSocket,
    client_id: Option<String>,
    held: Option<Held>,
}

/// A connect that waits.
struct Held {
    message: Json,
    client_id: String,
    number: u64,
    end: Instant,
}

/// The line has ended.
struct Ended;

impl Line {
    async fn run(&mut self) -> Result<(), Ended> {
        let mut changes = self.host.changes();
        loop {
            changes.borrow_and_update();
            let next = self.push().await?;
            let now = Instant::now();
            // Nothing is said while the streams are silent, not even at the end of the hold.
            let silent = self.host.stream_states().silent;
            let hold = self.held.as_ref().filter(|_| !silent).map(|held| held.end);
            let wake = [next.map(|wait| now + wait), hold].into_iter().flatten().min();
            tokio::select! {
                frame = self.socket.recv() => self.take(frame).await?,
                _ = changes.changed() => {}
                () = tokio::time::sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
            }
        }
    }

    /// Sends what there is; how long until more may come.
    async fn push(&mut self) -> Result<Option<Duration>, Ended> {
        let now = self.host.now();
        let Some(client_id) = self.client_id.clone() else { return Ok(None) };
        if self.host.stream_states().silent {
            return Ok(None);
        }
        if self.host.sessions().was_disconnected(&client_id) {
            self.client_id = None;
            let connect = self.held.take().map(|held| held.message);
            for text in messages::disconnected(connect.as_ref(), &self.host) {
                self.send(&[text]).await?;
            }
            return Ok(None);
        }
        let alive = session(&self.host, self.call.token()).is_some();
        let (events, next, ended, goodbye) = {
            let forms = self.host.switches().stream_forms();
            let mut sessions = self.host.sessions();
            let goodbye = sessions.has_ended(&client_id);
            match sessions.get(&client_id, now).filter(|_| alive) {
                None => (Vec::new(), None, true, goodbye),
                Some(session) => {
                    let events = messages::take_events(&self.host, session, forms, now);
                    (events, session.next_event(&self.host.org(), now), false, goodbye)
                }
            }
        };
        // What is taken at once has a limit, so there may be more.
        let more = !events.is_empty();
        for event in events {
            self.send(&[event]).await?;
        }
        if let Some(held) = self.held.take_if(|held| ended || held.end <= Instant::now()) {
            self.host.sessions().end_connect(&held.client_id, held.number, now);
            let reply = match (ended, alive) {
                _ if goodbye => with_advice(connected(&held.message, &client_id), "none", &self.host),
                (false, _) => connected(&held.message, &client_id),
                (true, true) => error(&held.message, "403::Unknown client", "handshake", &self.host),
                (true, false) => error(&held.message, "401::Authentication invalid", "none", &self.host),
            };
            self.send(&[reply.to_string()]).await?;
        }
        if ended {
            self.client_id = None;
        }
        if more {
            return Ok(Some(Duration::ZERO));
        }
        Ok(next.map(|at| Duration::from_micros(u64::try_from(at - now).unwrap_or_default())))
    }

    async fn take(&mut self, frame: Option<Result<Message, axum::Error>>) -> Result<(), Ended> {
        let text = match frame {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => return Ok(()),
            Some(Ok(Message::Binary(_))) => return self.close("text frames expected").await,
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(Ended),
        };
        let batch = match serde_json::from_str(&text) {
            Ok(Json::Array(batch)) => batch,
            Ok(message @ Json::Object(_)) => vec![message],
            _ => return self.close("Bayeux messages expected").await,
        };
        self.host.count("cometd", false);
        for message in &batch {
            if let Some(problem) = wrong_version(&self.call) {
                self.send(&[error(message, problem, "none", &self.host).to_string()]).await?;
                continue;
            }
            // Each message may be answered when its time comes: there is no request around them.
            let reply = messages::answer(&self.host, &self.call, Transport::WebSocket, message, true);
            if let Some(client_id) = message.get("clientId").and_then(Json::as_str) {
                self.client_id = Some(client_id.to_owned());
            }
            match reply {
                Reply::Now(texts) => {
                    for text in texts {
                        self.send(&[text]).await?;
                    }
                }
                Reply::Handshake { text, .. } => self.send(&[text]).await?,
                Reply::Held { client_id } => self.hold(message.clone(), client_id),
            }
        }
        Ok(())
    }

    fn hold(&mut self, message: Json, client_id: String) {
        let begun = self.host.sessions().begin_connect(&client_id, self.host.now());
        // A session that has just ended is noticed by the next round.
        let number = begun.map_or(0, |(number, _)| number);
        let (number, end) = (number, Instant::now() + self.host.connect_hold);
        self.held = Some(Held { message, client_id, number, end });
    }

    async fn send(&mut self, messages: &[String]) -> Result<(), Ended> {
        let frame = Message::Text(format!("[{}]", messages.join(",")).into());
        self.socket.send(frame).await.map_err(|_| Ended)
    }

    async fn close(&mut self, reason: &'static str) -> Result<(), Ended> {
        let frame = CloseFrame { code: close_code::ERROR, reason: reason.into() };
        let _ = self.socket.send(Message::Close(Some(frame))).await; // it ends either way
        Err(Ended)
    }

    /// The session lives on until it expires: its client may come back by another socket.
    fn let_go(&mut self) {
        if let Some(held) = self.held.take() {
            self.host.sessions().end_connect(&held.client_id, held.number, self.host.now());
        }
    }
}
