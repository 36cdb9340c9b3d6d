//! One Bayeux session over many channels, as a state machine: replies and events in, requests and events out, time as
//! an argument (facts: streaming-cometd.md section 8).
//!
//! Exactly one request is out at a time, and so at most one connect. Any answer may carry events; with two requests
//! out, on two connections, later events could be read before earlier ones. For the same reason a broken long poll
//! ends the session: what the server wrote into it is lost while newer events may already wait in the server's queue
//! behind it, and only a fresh session replays them all in bus order. The same holds for a WebSocket, on which events
//! come at any time, between the replies.
//!
//! What is not fetched is parked, and the session goes on, up to a limit; past it nothing more is asked for and a
//! WebSocket is not read, so that TCP holds the server back. A server that gets no connect for 40 s, or no answer to its
//! pings, ends the session then; the next one goes on from the last event received, and nothing is lost.

mod channel;
mod io;
mod parked;
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
pub use io::{Event, Heard, Notice, Request, Timings, Trouble};
use parked::Parked;

/// How long the server holds a connect if it never says.
const HOLD: Duration = Duration::from_secs(110);
/// A WebSocket that does not work, though the server offers it, is not tried again for so long.
const WEBSOCKET_AGAIN: Duration = Duration::from_secs(3_600);
/// So many sessions in a row died on their WebSocket before it brought the answer to a held connect: something between
/// us and the server does not let it live.
const WEBSOCKET_DEATHS: u32 = 3;
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

/// How far the WebSocket of a session has shown that it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Socket {
    /// Nothing came over it yet.
    Untried,
    Answered,
    /// It brought the answer to a held connect.
    Held,
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
    websocket: Socket,
    /// See [`WEBSOCKET_DEATHS`].
    websocket_deaths: u32,
    timings: Timings,
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
    /// Logins since the last proven session that were to mend a refused token.
    tokens_refused: u32,
    /// The line was not listened to while something was out, so the silence was ours.
    deafened: bool,
    /// After lost sessions and lines; after a busy server and refused tokens; after limits.
    short: Backoff,
    busy: Backoff,
    long: Backoff,
    requests: VecDeque<Request>,
    parked: Parked,
    notices: VecDeque<Notice>,
}

impl Session {
    /// Asks for a token first.
    pub fn new(channels: Vec<ChannelStart>, timings: Timings, now: Instant) -> Self {
        let channel = |start| Subscription::new(start, timings.refused_again, now);
        Self {
            connection_type: LONG_POLLING,
            websocket_from: Some(now),
            websocket: Socket::Untried,
            websocket_deaths: 0,
            timings,
            channels: channels.into_iter().map(channel).collect(),
            phase: Phase::AwaitToken,
            client_id: None,
            advice: Standing::FRESH,
            last_id: 0,
            shaken: now,
            connect_at: now,
            connected: None,
            proven: true, // The first handshake waits for nothing.
            tokens_refused: 0,
            deafened: false,
            short: Backoff::new(Duration::from_secs(1), Duration::from_secs(30)),
            busy: Backoff::new(Duration::from_secs(5), Duration::from_secs(300)),
            long: Backoff::new(Duration::from_secs(60), Duration::from_secs(900)),
            requests: VecDeque::new(),
            parked: Parked::default(),
            notices: VecDeque::from([Notice::NeedsToken]),
        }
    }

    pub fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.channels.iter().map(Subscription::channel)
    }

    /// What to send next. A new handshake makes everything before it void: its answers, and its cookies.
    pub fn poll_transmit(&mut self) -> Option<Request> {
        self.requests.pop_front()
    }

    /// To be acted on at once, whatever waits to be handed on.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    pub fn poll_event(&mut self) -> Option<Event> {
        self.parked.pop()
    }

    pub fn has_event(&self) -> bool {
        !self.parked.is_empty()
    }

    /// So much waits to be fetched that nothing more is asked for, and a WebSocket should stay unread.
    pub fn is_full(&self) -> bool {
        self.parked.is_full()
    }

    /// There is a session, or one is being made. Without, whatever a line still brings is of one that was given up.
    pub fn is_on(&self) -> bool {
        self.client_id.is_some() || matches!(self.phase, Phase::Out(_))
    }

    /// When to call `handle_timeout`; it may lie in the past.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Idle { .. } if self.is_full() => None,
            // Nobody listens, so silence means nothing.
            Phase::Out(_) if self.is_full() && self.connection_type == WEBSOCKET => None,
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
            Phase::Out(out) if out.deadline <= now && std::mem::take(&mut self.deafened) => {
                let patience = self.timings.answer;
                self.watch_for(patience, now);
            }
            Phase::Out(out) if out.deadline <= now => {
                let id = out.id.clone();
                self.handle_failure(&id, Failure::TimedOut, now);
            }
            Phase::NoToken { at } if *at <= now => {
                self.phase = Phase::AwaitToken;
                self.notices.push_back(Notice::NeedsToken);
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
            // One login mends a token that expired; if it does not, more of them only add to the login limits.
            let again = self.tokens_refused > 1;
            let delay = self.pause(if again { Disposition::Wait } else { Disposition::NewSession });
            self.wait(delay, Trouble::Refused(Fault::Authentication), now);
            self.advance(now);
        }
    }

    /// The WebSocket that was asked for is open; or it is not, and the session goes on by long-polling.
    pub fn handle_upgrade(&mut self, open: bool, now: Instant) {
        if self.phase == Phase::AwaitUpgrade {
            self.phase = Phase::Idle { at: now };
            if open {
                self.connection_type = WEBSOCKET;
                self.websocket = Socket::Untried;
            } else {
                self.give_up_websocket(now);
            }
            self.advance(now);
        }
    }

    /// Whether the org's deliveries allow to start this channel at the earliest event; `server_time` is the org's.
    pub fn handle_fallback(&mut self, channel: &Channel, fits: bool, server_time: Timestamp, now: Instant) {
        if let Some(subscription) = self.channels.iter_mut().find(|one| one.channel() == channel) {
            subscription.fallback(fits, now);
            if !fits {
                self.parked.push(Event::Skipped { channel: channel.clone(), at: server_time });
            }
        }
        self.advance(now);
    }

    /// The line is gone, whatever was out on it.
    pub fn handle_lost(&mut self, failure: Failure, now: Instant) {
        if matches!(self.phase, Phase::Out(_) | Phase::Idle { .. } | Phase::AwaitUpgrade) && self.client_id.is_some() {
            self.failed(failure, now);
            self.advance(now);
        }
    }

    /// Part of an answer came: the server lives.
    pub fn handle_progress(&mut self, now: Instant) {
        let patience = self.timings.answer;
        self.watch_for(patience, now);
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
            self.notices.push_back(Notice::Waiting { until: at, why: Trouble::NoToken });
        }
    }

    /// Messages of one answer (or frame), in their order.
    pub fn handle_messages(&mut self, batch: Vec<Incoming>, heard: Heard, now: Instant) {
        let mut meta = Vec::new();
        for incoming in batch {
            match incoming {
                Incoming::Event(change, _) => self.receive(*change, heard, now),
                Incoming::Undecodable(error) => self.unread(error, now),
                Incoming::Reply(_) | Incoming::Disconnected => meta.push(incoming),
                Incoming::Other => {}
            }
        }
        self.parked.extend(self.channels.iter_mut().filter_map(Subscription::take_passed));
        self.handle_progress(now);
        // Events and replies come in any order; what a reply proves holds for all the events beside it.
        for incoming in meta {
            match incoming {
                Incoming::Reply(reply) => self.handle_reply(reply, heard, now),
                Incoming::Disconnected if self.client_id.is_some() => {
                    self.renew(Disposition::NewSession, Trouble::Ended, now);
                }
                Incoming::Disconnected | Incoming::Event(..) | Incoming::Undecodable(_) | Incoming::Other => {}
            }
        }
        // Over a WebSocket events need no reply to come with, and what came since the connect went out counts for its
        // answer; an answer of long-polling stands for itself.
        for subscription in &mut self.channels {
            if self.connection_type == WEBSOCKET {
                self.parked.extend(subscription.events_came(heard, now));
            } else {
                subscription.begin_batch();
            }
            if subscription.take_caught_up() {
                self.notices.push_back(Notice::CaughtUp(subscription.channel().clone()));
            }
        }
        self.deafened |= self.is_full();
        self.advance(now);
    }

    /// The request brought no answer to its message. For one that was answered this does nothing.
    pub fn handle_failure(&mut self, id: &str, failure: Failure, now: Instant) {
        if matches!(&self.phase, Phase::Out(out) if out.id == id) {
            self.failed(failure, now);
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
        Some(Request { id, meta: Meta::Disconnect, message })
    }

    fn receive(&mut self, change: Change, heard: Heard, now: Instant) {
        match self.channels.iter_mut().find(|subscription| subscription.delivers(change.channel.as_str())) {
            Some(subscription) => self.parked.extend(subscription.receive(change, heard, now)),
            None => self.parked.push(Event::Undecodable(DecodeError::new(
                change.channel.as_str(),
                Some(change.replay_id),
                "the channel was not subscribed",
            ))),
        }
    }

    fn unread(&mut self, error: DecodeError, now: Instant) {
        match self.channels.iter_mut().find(|subscription| subscription.delivers(&error.channel)) {
            Some(subscription) => self.parked.extend(subscription.unread(error, now)),
            None => self.parked.push(Event::Undecodable(error)),
        }
    }

    /// The server has at least so long from now on to answer what is out.
    fn watch_for(&mut self, patience: Duration, now: Instant) {
        if let Phase::Out(out) = &mut self.phase {
            out.deadline = out.deadline.max(now + patience);
        }
    }

    fn failed(&mut self, failure: Failure, now: Instant) {
        if self.connection_type == WEBSOCKET && self.websocket == Socket::Untried {
            // Nothing was subscribed yet, so nothing is lost with it.
            self.give_up_websocket(now);
            self.phase = Phase::Idle { at: now };
        } else {
            self.renew(failure.disposition(), Trouble::Failed(failure), now);
        }
    }

    fn give_up_websocket(&mut self, now: Instant) {
        self.connection_type = LONG_POLLING;
        self.websocket_from = Some(now + WEBSOCKET_AGAIN);
        self.websocket_deaths = 0;
        self.notices.push_back(Notice::WebSocketGivenUp);
    }

    fn handle_reply(&mut self, reply: Reply, heard: Heard, now: Instant) {
        // Of the session that is over, or of a request that was given up.
        let Phase::Out(out) = &self.phase else { return };
        if reply.id.as_ref() != Some(&out.id) {
            return;
        }
        let kind = out.kind.clone();
        self.phase = Phase::Idle { at: self.connect_at.max(now) };
        self.deafened = false;
        if self.connection_type == WEBSOCKET && self.websocket == Socket::Untried && reply.outcome.is_ok() {
            self.websocket = Socket::Answered;
        }
        match (kind, reply.outcome) {
            (Kind::Handshake, Ok(())) => self.shaken_hands(reply, heard, now),
            (Kind::Connect { held }, Ok(())) => {
                self.advice.obey(reply.advice.unwrap_or_default());
                self.connected_again(held, heard, now);
            }
            (Kind::Subscribe(index), Ok(())) => {
                self.advice.obey(reply.advice.unwrap_or_default());
                if let Some(subscription) = self.channels.get_mut(index) {
                    subscription.accepted(now);
                    self.notices.push_back(Notice::Subscribed(subscription.channel().clone()));
                }
            }
            (Kind::Subscribe(index), Err(fault)) => self.subscribe_refused(index, fault, heard, now),
            (Kind::Connect { .. }, Err(Fault::ConnectionType)) if self.connection_type == WEBSOCKET => {
                // It offered one, and does not want it any more.
                let untried = self.websocket == Socket::Untried;
                self.give_up_websocket(now);
                if !untried {
                    self.renew(Disposition::NewSession, Trouble::Ended, now);
                }
            }
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

    fn shaken_hands(&mut self, reply: Reply, heard: Heard, now: Instant) {
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
            self.notices.push_back(Notice::Upgrade);
        }
        for subscription in &mut self.channels {
            subscription.ask_again(now);
            if subscription.take_unusable() {
                let channel = subscription.channel().clone();
                self.parked.push(Event::PositionRefused { channel, at: heard.server_time });
            }
        }
    }

    fn connected_again(&mut self, held: bool, heard: Heard, now: Instant) {
        self.connected = Some(now);
        if held && now.duration_since(self.shaken) >= PROVEN_AFTER {
            self.proven = true;
            self.short.reset();
            self.busy.reset();
            self.long.reset();
            self.tokens_refused = 0;
        }
        if held {
            if self.connection_type == WEBSOCKET {
                self.websocket = Socket::Held;
                self.websocket_deaths = 0;
            }
            let idle = self.channels.iter().all(Subscription::is_quiet);
            for subscription in &mut self.channels {
                self.parked.extend(subscription.connect_answered(idle, heard, now));
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

    fn subscribe_refused(&mut self, index: usize, fault: Fault, heard: Heard, now: Instant) {
        let disposition = fault.disposition();
        let Some(subscription) = self.channels.get_mut(index) else { return };
        let channel = subscription.channel().clone();
        match disposition {
            Disposition::NewSession | Disposition::NewToken | Disposition::Stop => {
                self.renew(disposition, Trouble::Refused(fault), now);
            }
            Disposition::Reposition if subscription.asked() == Asked::After => {
                subscription.forget_position(now);
                self.parked.push(Event::PositionRefused { channel, at: heard.server_time });
            }
            Disposition::Wait => {
                let until = now + self.busy.next_delay();
                subscription.busy(until);
                self.notices.push_back(Notice::ChannelWaits { channel, until, why: fault });
            }
            Disposition::WaitLong => {
                let until = subscription.refused(now);
                self.notices.push_back(Notice::ChannelWaits { channel, until, why: fault });
            }
            Disposition::Reposition | Disposition::RefuseChannel => {
                subscription.refused(now);
                self.notices.push_back(Notice::Refused { channel, why: fault });
            }
        }
    }

    /// Gives the session up, and says when and how the next one begins.
    fn renew(&mut self, disposition: Disposition, trouble: Trouble, now: Instant) {
        let died = disposition == Disposition::NewSession && self.websocket != Socket::Held;
        if self.connection_type == WEBSOCKET && died {
            self.websocket_deaths += 1;
            if self.websocket_deaths >= WEBSOCKET_DEATHS {
                self.give_up_websocket(now);
            }
        }
        self.client_id = None;
        // Of the next handshake.
        self.connection_type = LONG_POLLING;
        self.requests.clear();
        for subscription in &mut self.channels {
            subscription.lost();
        }
        if trouble == Trouble::Failed(Failure::TimedOut) {
            self.notices.push_back(Notice::Stalled);
        }
        match disposition {
            Disposition::Stop => {
                self.phase = Phase::Stopped;
                self.notices.push_back(Notice::Stop(match trouble {
                    Trouble::Refused(fault) => fault,
                    Trouble::Failed(_) | Trouble::Ended | Trouble::NoToken => Fault::Other(0),
                }));
            }
            Disposition::NewToken => {
                self.tokens_refused += 1;
                self.phase = Phase::AwaitToken;
                self.notices.push_back(Notice::NeedsToken);
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
            self.notices.push_back(Notice::Waiting { until: at, why });
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
        if self.is_full() {
            return;
        }
        let Some(client_id) = self.client_id.clone() else {
            if at <= now {
                self.notices.push_back(Notice::Connecting);
                let both: &[&str] =
                    if self.wants_websocket(now) { &[WEBSOCKET, LONG_POLLING] } else { &[LONG_POLLING] };
                self.send(Kind::Handshake, |id, _| message::handshake(id, both), now);
            }
            return;
        };
        for subscription in &mut self.channels {
            if subscription.needs_fallback(now) {
                self.notices.push_back(Notice::NeedsFallback(subscription.channel().clone()));
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
            _ if at > now || (awaits && waited_for) => {}
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
        let (meta, patience) = match kind {
            Kind::Handshake => (Meta::Handshake, self.timings.answer),
            Kind::Connect { held: true } => (Meta::Connect, self.advice.timeout + self.timings.connect_margin),
            Kind::Connect { held: false } => (Meta::Connect, self.timings.answer),
            Kind::Subscribe(_) => (Meta::Subscribe, self.timings.answer),
        };
        let untried = self.connection_type == WEBSOCKET && self.websocket == Socket::Untried;
        let deadline = now + if untried { self.timings.first_frame } else { patience };
        if kind == (Kind::Connect { held: true }) {
            self.channels.iter_mut().for_each(Subscription::begin_batch);
        }
        let message = message(&id, self.connection_type);
        self.phase = Phase::Out(Outstanding { id: id.clone(), deadline, kind });
        self.requests.push_back(Request { id, meta, message });
    }
}
