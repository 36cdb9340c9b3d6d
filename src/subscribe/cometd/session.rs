//! One Bayeux session over many channels, as a state machine: replies and events in, requests and events out, time as
//! an argument (facts: streaming-cometd.md section 8).
//!
//! Exactly one request is out at a time, and so at most one connect. Any answer may carry events; with two requests
//! out, on two connections, later events could be read before earlier ones. For the same reason a broken long poll
//! ends the session: what the server wrote into it is lost while newer events may already wait in the server's queue
//! behind it, and only a fresh session replays them all in bus order.

mod channel;
mod io;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::Value as Json;
use tokio::time::Instant;

use super::decode::DecodeError;
use super::fault::{Disposition, Failure, Fault};
use super::message::{self, Advice, Incoming, LONG_POLLING, Meta, Reconnect, Reply, WEBSOCKET};
use crate::event::{Change, Channel, Timestamp};
use crate::retry::Backoff;
use crate::subscribe::ChannelStart;
use channel::{Asked, Subscription};
pub use io::{Event, Request, Trouble};

/// With so many events waiting to be fetched no further connect is sent. The server drops a client after 40 s of
/// silence; then a new session goes on from the last event received, and nothing is lost.
const MAX_WAITING_EVENTS: usize = 2_000;
/// How long the server holds a connect if it never says.
const HOLD: Duration = Duration::from_secs(110);
/// Past the time for which the server holds a connect.
const CONNECT_MARGIN: Duration = Duration::from_secs(15);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// A WebSocket that could not be opened, though the server offers it, is not tried again for so long.
const WEBSOCKET_AGAIN: Duration = Duration::from_secs(3_600);
/// The transport gives up a request first; this is for one that does not.
const WATCHDOG: Duration = Duration::from_secs(5);
/// The server wants the next connect within 40 s; while channels are being subscribed it gets one at least so often.
const CONNECT_WITHIN: Duration = Duration::from_secs(20);
/// A session that lived so long and had a held connect answered was healthy: the next may follow at once.
const PROVEN_AFTER: Duration = Duration::from_secs(5);
#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// Nothing is out; the next request may go at this time.
    Idle {
        at: Instant,
    },
    Out(Outstanding),
    /// The caller was asked for a token.
    AwaitToken,
    /// The caller was asked for a WebSocket.
    AwaitUpgrade,
    /// The caller has none; it is asked again at this time.
    NoToken {
        at: Instant,
    },
    Stopped,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Outstanding {
    id: String,
    deadline: Instant,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Handshake,
    /// One that the server holds, or one that it answers at once.
    Connect {
        held: bool,
    },
    /// By its place in the list.
    Subscribe(usize),
}

/// Advice with nothing left open.
#[derive(Debug, Clone, Copy)]
struct Standing {
    reconnect: Reconnect,
    interval: Duration,
    timeout: Duration,
}

impl Standing {
    const FRESH: Self = Self { reconnect: Reconnect::Retry, interval: Duration::ZERO, timeout: HOLD };

    fn obey(&mut self, advice: Advice) {
        self.reconnect = advice.reconnect.unwrap_or(self.reconnect);
        self.interval = advice.interval.unwrap_or(self.interval);
        self.timeout = advice.timeout.unwrap_or(self.timeout);
    }
}

/// See the module's doc.
#[derive(Debug)]
pub struct Session {
    /// Of the session that is, or of the next handshake.
    connection_type: &'static str,
    /// A WebSocket is wanted, from this time on. None: never.
    websocket_from: Option<Instant>,
    channels: Vec<Subscription>,
    phase: Phase,
    client_id: Option<String>,
    advice: Standing,
    /// Ids are never used twice, so that an answer that comes late answers nothing.
    last_id: u64,
    shaken: Instant,
    /// Not before this time, by the advice.
    connect_at: Instant,
    /// When the server last answered a connect of this session.
    connected: Option<Instant>,
    proven: bool,
    /// After lost sessions and lines; after a busy server and refused tokens; after limits.
    short: Backoff,
    busy: Backoff,
    long: Backoff,
    requests: VecDeque<Request>,
    events: VecDeque<Event>,
}

impl Session {
    /// Asks for a token first.
    pub fn new(channels: Vec<ChannelStart>, now: Instant) -> Self {
        let mut session = Self {
            connection_type: LONG_POLLING,
            websocket_from: Some(now),
            channels: channels.into_iter().map(|start| Subscription::new(start, now)).collect(),
            phase: Phase::AwaitToken,
            client_id: None,
            advice: Standing::FRESH,
            last_id: 0,
            shaken: now,
            connect_at: now,
            connected: None,
            proven: true, // The first handshake waits for nothing.
            short: Backoff::new(Duration::from_secs(1), Duration::from_secs(30)),
            busy: Backoff::new(Duration::from_secs(5), Duration::from_secs(300)),
            long: Backoff::new(Duration::from_secs(60), Duration::from_secs(900)),
            requests: VecDeque::new(),
            events: VecDeque::new(),
        };
        session.events.push_back(Event::NeedsToken);
        session
    }

    /// What to send next. A new handshake makes everything before it void: its answers, and its cookies.
    pub fn poll_transmit(&mut self) -> Option<Request> {
        self.requests.pop_front()
    }

    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What `poll_event` would give.
    pub fn peek_event(&self) -> Option<&Event> {
        self.events.front()
    }

    /// When to call `handle_timeout`; it may lie in the past.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Idle { .. } if self.is_full() => None,
            // The answer is on its way; the server must not wait too long for it.
            Phase::Idle { at } if self.awaits_fallback() => {
                Some((*at).max(self.connected.map_or(*at, |connected| connected + CONNECT_WITHIN)))
            }
            Phase::Idle { at } | Phase::NoToken { at } => Some(*at),
            Phase::Out(out) => Some(out.deadline),
            Phase::AwaitToken | Phase::AwaitUpgrade | Phase::Stopped => None,
        }
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        match &self.phase {
            Phase::Out(out) if out.deadline <= now => {
                let id = out.id.clone();
                self.handle_failure(&id, Failure::TimedOut, now);
            }
            Phase::NoToken { at } if *at <= now => {
                self.phase = Phase::AwaitToken;
                self.events.push_back(Event::NeedsToken);
            }
            Phase::Idle { .. }
            | Phase::Out(_)
            | Phase::AwaitToken
            | Phase::AwaitUpgrade
            | Phase::NoToken { .. }
            | Phase::Stopped => {}
        }
        self.advance(now);
    }

    /// The caller has a token for the next session.
    pub fn handle_token(&mut self, now: Instant) {
        if matches!(self.phase, Phase::AwaitToken | Phase::NoToken { .. }) {
            let delay = self.pause(Disposition::NewSession);
            self.wait(delay, Trouble::Refused(Fault::Authentication), now);
            self.advance(now);
        }
    }

    /// The WebSocket that was asked for is open; or it is not, and the session goes on by long-polling.
    pub fn handle_upgrade(&mut self, open: bool, now: Instant) {
        if self.phase == Phase::AwaitUpgrade {
            if open {
                self.connection_type = WEBSOCKET;
            } else {
                self.websocket_from = Some(now + WEBSOCKET_AGAIN);
            }
            self.phase = Phase::Idle { at: now };
            self.advance(now);
        }
    }

    /// Whether the org's deliveries allow to start this channel at the earliest event; `server_time` is the org's.
    pub fn handle_fallback(&mut self, channel: &Channel, fits: bool, server_time: Timestamp, now: Instant) {
        if let Some(subscription) = self.channels.iter_mut().find(|one| one.channel() == channel) {
            subscription.fallback(fits, now);
            if !fits {
                self.events.push_back(Event::Skipped { channel: channel.clone(), at: server_time });
            }
        }
        self.advance(now);
    }

    /// The line is gone, whatever was out on it.
    pub fn handle_lost(&mut self, failure: Failure, now: Instant) {
        if matches!(self.phase, Phase::Out(_) | Phase::Idle { .. } | Phase::AwaitUpgrade) && self.client_id.is_some() {
            self.renew(failure.disposition(), Trouble::Failed(failure), now);
            self.advance(now);
        }
    }

    /// Somebody saw that events are missing: a new session goes on from the position.
    pub fn restart(&mut self, now: Instant) {
        if self.client_id.is_some() {
            self.renew(Disposition::NewSession, Trouble::Ended, now);
            self.advance(now);
        }
    }

    /// The caller could not get a token: it is asked again later.
    pub fn handle_no_token(&mut self, now: Instant) {
        if self.phase == Phase::AwaitToken {
            let at = now + self.busy.next_delay();
            self.phase = Phase::NoToken { at };
            self.events.push_back(Event::Waiting { until: at, why: Trouble::NoToken });
        }
    }

    /// Messages of one answer (or frame), in their order; `server_time` is when the server sent them.
    pub fn handle_messages(&mut self, batch: Vec<Incoming>, server_time: Timestamp, now: Instant) {
        let mut meta = Vec::new();
        for incoming in batch {
            match incoming {
                Incoming::Event(change) => self.receive(*change, now),
                Incoming::Undecodable(error) => self.events.push_back(Event::Undecodable(error)),
                Incoming::Reply(_) | Incoming::Disconnected => meta.push(incoming),
                Incoming::Other => {}
            }
        }
        self.events.extend(self.channels.iter_mut().filter_map(Subscription::take_passed));
        // Events and replies come in any order; what a reply proves holds for all the events beside it.
        for incoming in meta {
            match incoming {
                Incoming::Reply(reply) => self.handle_reply(reply, server_time, now),
                Incoming::Disconnected if self.client_id.is_some() => {
                    self.renew(Disposition::NewSession, Trouble::Ended, now);
                }
                Incoming::Disconnected | Incoming::Event(_) | Incoming::Undecodable(_) | Incoming::Other => {}
            }
        }
        for subscription in &mut self.channels {
            // Over a WebSocket events need no reply to come with.
            if self.connection_type == WEBSOCKET && !subscription.is_quiet() {
                self.events.extend(subscription.connect_answered(false, server_time, now));
            }
            subscription.begin_batch();
        }
        self.advance(now);
    }

    /// The request brought no answer to its message. For one that was answered this does nothing.
    pub fn handle_failure(&mut self, id: &str, failure: Failure, now: Instant) {
        if matches!(&self.phase, Phase::Out(out) if out.id == id) {
            self.renew(failure.disposition(), Trouble::Failed(failure), now);
            self.advance(now);
        }
    }

    /// Ends the session for good. What is to be sent, if the server knows us.
    pub fn close(&mut self) -> Option<Request> {
        self.phase = Phase::Stopped;
        self.requests.clear();
        let client_id = self.client_id.take()?;
        let id = self.next_id();
        let message = message::disconnect(&id, &client_id);
        Some(Request { id, meta: Meta::Disconnect, message, timeout: ANSWER_TIMEOUT })
    }

    /// So much waits to be fetched that nothing more is asked for. What a WebSocket brings should stay unread then; a
    /// server whose pings are not answered for long ends it, and a new session goes on from the last event received.
    pub fn is_full(&self) -> bool {
        self.events.len() >= MAX_WAITING_EVENTS
    }

    fn receive(&mut self, change: Change, now: Instant) {
        match self.channels.iter_mut().find(|subscription| subscription.delivers(&change.channel)) {
            Some(subscription) => self.events.extend(subscription.receive(change, now)),
            None => self.events.push_back(Event::Undecodable(DecodeError::new(
                change.channel.as_str(),
                Some(change.replay_id),
                "the channel was not subscribed",
            ))),
        }
    }

    fn handle_reply(&mut self, reply: Reply, server_time: Timestamp, now: Instant) {
        // Of the session that is over, or of a request that was given up.
        let Phase::Out(out) = &self.phase else { return };
        if reply.id.as_ref() != Some(&out.id) {
            return;
        }
        let kind = out.kind.clone();
        self.phase = Phase::Idle { at: self.connect_at.max(now) };
        match (kind, reply.outcome) {
            (Kind::Handshake, Ok(())) => self.shaken_hands(reply, server_time, now),
            (Kind::Connect { held }, Ok(())) => {
                self.advice.obey(reply.advice.unwrap_or_default());
                self.connected_again(held, server_time, now);
            }
            (Kind::Subscribe(index), Ok(())) => {
                self.advice.obey(reply.advice.unwrap_or_default());
                if let Some(subscription) = self.channels.get_mut(index) {
                    subscription.accepted(now);
                    self.events.push_back(Event::Subscribed(subscription.channel().clone()));
                }
            }
            (Kind::Subscribe(index), Err(fault)) => self.subscribe_refused(index, fault, server_time, now),
            (Kind::Handshake | Kind::Connect { .. }, Err(fault)) => {
                // The reason decides, and only where it is unknown the advice.
                let disposition = match (fault, reply.advice.and_then(|advice| advice.reconnect)) {
                    (Fault::Other(_), Some(Reconnect::Handshake | Reconnect::Retry)) => Disposition::NewSession,
                    (fault, _) => fault.disposition(),
                };
                self.renew(disposition, Trouble::Refused(fault), now);
            }
        }
    }

    fn shaken_hands(&mut self, reply: Reply, server_time: Timestamp, now: Instant) {
        let serves = |wanted: &str| reply.connection_types.iter().any(|offered| offered == wanted);
        let upgrade = serves(WEBSOCKET) && self.wants_websocket(now);
        if !upgrade && !serves(LONG_POLLING) && !reply.connection_types.is_empty() {
            return self.renew(Disposition::Stop, Trouble::Refused(Fault::ConnectionType), now);
        }
        let Some(client_id) = reply.client_id else {
            return self.renew(Disposition::NewSession, Trouble::Failed(Failure::NotBayeux), now);
        };
        self.client_id = Some(client_id);
        // Advice belongs to a session: one that said 'handshake' would else be obeyed for ever.
        self.advice = Standing::FRESH;
        self.advice.obey(reply.advice.unwrap_or_default());
        self.shaken = now;
        self.connected = None;
        self.phase = Phase::Idle { at: now };
        if upgrade {
            self.phase = Phase::AwaitUpgrade;
            self.events.push_back(Event::Upgrade);
        }
        for subscription in &mut self.channels {
            subscription.ask_again(now);
            if subscription.take_unusable() {
                let channel = subscription.channel().clone();
                self.events.push_back(Event::PositionRefused { channel, at: server_time });
            }
        }
    }

    fn connected_again(&mut self, held: bool, server_time: Timestamp, now: Instant) {
        self.connected = Some(now);
        if held && now.duration_since(self.shaken) >= PROVEN_AFTER {
            self.proven = true;
            self.short.reset();
            self.busy.reset();
            self.long.reset();
        }
        if held {
            let idle = self.channels.iter().all(Subscription::is_quiet);
            for subscription in &mut self.channels {
                self.events.extend(subscription.connect_answered(idle, server_time, now));
            }
        }
        match self.advice.reconnect {
            Reconnect::Retry => {
                self.connect_at = now + self.advice.interval;
                self.phase = Phase::Idle { at: self.connect_at };
            }
            Reconnect::Handshake => self.renew(Disposition::NewSession, Trouble::Ended, now),
            Reconnect::None => self.renew(Disposition::Wait, Trouble::Ended, now),
        }
    }

    fn subscribe_refused(&mut self, index: usize, fault: Fault, server_time: Timestamp, now: Instant) {
        let disposition = fault.disposition();
        let Some(subscription) = self.channels.get_mut(index) else { return };
        let channel = subscription.channel().clone();
        match disposition {
            Disposition::NewSession | Disposition::NewToken | Disposition::Stop => {
                return self.renew(disposition, Trouble::Refused(fault), now);
            }
            Disposition::Reposition if subscription.asked() == Asked::After => {
                subscription.forget_position(now);
                return self.events.push_back(Event::PositionRefused { channel, at: server_time });
            }
            Disposition::Wait => subscription.busy(now + self.busy.next_delay()),
            Disposition::Reposition | Disposition::RefuseChannel | Disposition::WaitLong => subscription.refused(now),
        }
        self.events.push_back(Event::Refused { channel, why: fault });
    }

    /// Gives the session up, and says when and how the next one begins.
    fn renew(&mut self, disposition: Disposition, trouble: Trouble, now: Instant) {
        self.client_id = None;
        self.requests.clear();
        for subscription in &mut self.channels {
            subscription.lost();
        }
        match disposition {
            Disposition::Stop => {
                self.phase = Phase::Stopped;
                self.events.push_back(Event::Stop(match trouble {
                    Trouble::Refused(fault) => fault,
                    Trouble::Failed(_) | Trouble::Ended | Trouble::NoToken => Fault::Other(0),
                }));
            }
            Disposition::NewToken => {
                self.phase = Phase::AwaitToken;
                self.events.push_back(Event::NeedsToken);
            }
            Disposition::NewSession
            | Disposition::Reposition
            | Disposition::RefuseChannel
            | Disposition::Wait
            | Disposition::WaitLong => {
                // A line that was just cut is seldom back at once.
                self.proven &= !matches!(trouble, Trouble::Failed(_));
                let delay = self.pause(disposition);
                self.wait(delay, trouble, now);
            }
        }
    }

    /// How long to wait. Each handshake may hold one of the org's client slots until the server forgets it, so only
    /// after a session that was healthy the next may follow at once.
    fn pause(&mut self, disposition: Disposition) -> Duration {
        let proven = std::mem::replace(&mut self.proven, false);
        match disposition {
            Disposition::NewSession if proven => Duration::ZERO,
            Disposition::WaitLong => self.long.next_delay(),
            Disposition::Wait => self.busy.next_delay(),
            Disposition::NewSession
            | Disposition::NewToken
            | Disposition::Reposition
            | Disposition::RefuseChannel
            | Disposition::Stop => self.short.next_delay(),
        }
    }

    fn wait(&mut self, delay: Duration, why: Trouble, now: Instant) {
        let at = now + delay;
        self.phase = Phase::Idle { at };
        if !delay.is_zero() {
            self.events.push_back(Event::Waiting { until: at, why });
        }
    }

    fn awaits_fallback(&self) -> bool {
        self.channels.iter().any(Subscription::awaits_fallback)
    }

    fn wants_websocket(&self, now: Instant) -> bool {
        self.websocket_from.is_some_and(|from| from <= now)
    }

    fn next_id(&mut self) -> String {
        self.last_id += 1;
        self.last_id.to_string()
    }

    /// Sends the next request, if nothing is out and its time has come.
    fn advance(&mut self, now: Instant) {
        let Phase::Idle { at } = self.phase else { return };
        let Some(client_id) = self.client_id.clone() else {
            if at <= now && !self.is_full() {
                self.events.push_back(Event::Connecting);
                self.connection_type = LONG_POLLING;
                let both: &[&str] =
                    if self.wants_websocket(now) { &[WEBSOCKET, LONG_POLLING] } else { &[LONG_POLLING] };
                self.send(Kind::Handshake, |id, _| message::handshake(id, both), now);
            }
            return;
        };
        for subscription in &mut self.channels {
            if subscription.needs_fallback(now) {
                self.events.push_back(Event::NeedsFallback(subscription.channel().clone()));
            }
        }
        // `at` paces connects; a subscribe need not wait for it.
        let due = self.channels.iter().position(|subscription| subscription.is_due(now));
        let waited_for = self.connected.is_some_and(|connected| now.duration_since(connected) < CONNECT_WITHIN);
        let awaits = self.awaits_fallback();
        match due {
            Some(index) if waited_for => {
                let Some(subscription) = self.channels.get_mut(index) else { return };
                let (channel, from) = subscription.ask(now);
                self.send(Kind::Subscribe(index), |id, _| message::subscribe(id, &client_id, &channel, &from), now);
            }
            _ if at > now || self.is_full() || (awaits && waited_for) => {}
            // The first connect of a session, and one between many subscribes, is answered at once.
            _ => {
                let held = due.is_none() && !awaits && self.connected.is_some();
                self.send(
                    Kind::Connect { held },
                    |id, connection_type| message::connect(id, &client_id, connection_type, !held),
                    now,
                );
            }
        }
    }

    fn send(&mut self, kind: Kind, message: impl FnOnce(&str, &'static str) -> Json, now: Instant) {
        let id = self.next_id();
        let (meta, timeout) = match kind {
            Kind::Handshake => (Meta::Handshake, ANSWER_TIMEOUT),
            Kind::Connect { held: true } => (Meta::Connect, self.advice.timeout + CONNECT_MARGIN),
            Kind::Connect { held: false } => (Meta::Connect, ANSWER_TIMEOUT),
            Kind::Subscribe(_) => (Meta::Subscribe, ANSWER_TIMEOUT),
        };
        let message = message(&id, self.connection_type);
        self.phase = Phase::Out(Outstanding { id: id.clone(), deadline: now + timeout + WATCHDOG, kind });
        self.requests.push_back(Request { id, meta, message, timeout });
    }
}
