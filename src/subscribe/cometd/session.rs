//! The client side of a Bayeux session as a state machine: replies in, requests and events out. No I/O, no clock.
//!
//! There is one handshake, then exactly one connect at the server, and beside it at most one other request, for the
//! subscriptions. Whatever ends a session (an unknown client, a cut line, a busy server, a new token), the next one
//! starts with new cookies and subscribes each channel after the last event that was handed over. A cut connect ends it
//! too: what the server wrote into it is lost, so it must be asked for again (facts: clients.md).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::fault::{Fault, Remedy};
use super::message::{self, Incoming, Meta, Reconnect, Reply, Undecodable};
use crate::event::{Change, Channel, ReplayFrom};
use crate::retry::Backoff;

/// Events that wait to be handed over above which no more are asked for.
const WAITING_MAX: usize = 5_000;
/// What the server holds a connect for, until it says so itself.
const HOLD: Duration = Duration::from_secs(110);
/// Beyond the hold, before a connect counts as lost.
const MARGIN: Duration = Duration::from_secs(15);
const OTHER_TIMEOUT: Duration = Duration::from_secs(30);
/// A refused channel is tried again, for an admin may have mended it.
const REFUSED_AGAIN: Duration = Duration::from_secs(60);
/// When limits are used up, each try may hold a slot of its own.
const LIMIT_AGAIN: Duration = Duration::from_secs(180);

/// Which session a request belongs to. An answer to an older one is not heard: what it held comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// A request to send.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    pub epoch: Epoch,
    pub kind: Kind,
    pub body: serde_json::Value,
    pub timeout: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// To be sent with no cookies at all.
    Handshake,
    Connect,
    Subscribe(Channel),
}

/// What the session has to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    Change {
        channel: Channel,
        change: Box<Change>,
    },
    Undecodable(Undecodable),
    Subscribed(Channel),
    /// The saved position is not known to the org; from here on come the earliest events that it keeps.
    PositionRefused(Channel),
    ChannelRefused {
        channel: Channel,
        why: String,
    },
    /// All channels are subscribed, and there was nothing to deliver.
    Live,
    /// A new token is needed; nothing happens before [`Session::token_renewed`].
    TokenRefused,
    /// Nothing happens until then.
    Waiting {
        until: Instant,
        why: String,
    },
    /// Nothing can be subscribed to with these settings.
    Stopped {
        why: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// A handshake is to be sent at this time.
    Waiting(Instant),
    Handshaking,
    Connected {
        client: String,
        connect: Connect,
        first: bool,
    },
    /// Until the token is renewed.
    NoToken,
    Stopped,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Connect {
    /// To be sent at this time.
    Due(Instant),
    /// At the server. `all_subscribed`: every channel was, when it was sent, so an empty answer proves something.
    Out { all_subscribed: bool },
}

#[derive(Debug)]
struct Subscription {
    from: ReplayFrom,
    state: Subscribed,
}

#[derive(Debug, PartialEq, Eq)]
enum Subscribed {
    No,
    Asked,
    Yes,
    /// Not before this time.
    Refused(Instant),
}

/// See the module.
#[derive(Debug)]
pub struct Session {
    channels: BTreeMap<Channel, Subscription>,
    state: State,
    epoch: Epoch,
    next_id: u64,
    hold: Duration,
    interval: Duration,
    reconnect: Reconnect,
    backoff: Backoff,
    told: VecDeque<Told>,
    changes: usize,
}

impl Session {
    pub fn new(channels: impl IntoIterator<Item = (Channel, ReplayFrom)>, now: Instant) -> Self {
        let subscription = |(channel, from)| (channel, Subscription { from, state: Subscribed::No });
        Self {
            channels: channels.into_iter().map(subscription).collect(),
            state: State::Waiting(now),
            epoch: Epoch(0),
            next_id: 0,
            hold: HOLD,
            interval: Duration::ZERO,
            reconnect: Reconnect::Retry,
            backoff: Backoff::new(Duration::from_millis(500), Duration::from_secs(60)),
            told: VecDeque::new(),
            changes: 0,
        }
    }

    /// The next request that may be sent now.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Request> {
        match &self.state {
            State::Waiting(at) if *at <= now => {
                self.epoch.0 += 1;
                self.state = State::Handshaking;
                let body = message::handshake(&self.id());
                Some(self.request(Kind::Handshake, body, OTHER_TIMEOUT))
            }
            State::Connected { client, connect, first } => {
                let (client, first) = (client.clone(), *first);
                if let Connect::Due(at) = connect
                    && *at <= now
                    && self.changes < WAITING_MAX
                {
                    let all_subscribed = self.channels.values().all(|channel| matches!(channel.state, Subscribed::Yes));
                    let connect = Connect::Out { all_subscribed };
                    self.state = State::Connected { client: client.clone(), connect, first: false };
                    let body = message::connect(&self.id(), &client, first);
                    return Some(self.request(Kind::Connect, body, self.hold + MARGIN));
                }
                self.next_subscribe(&client, now)
            }
            State::Waiting(_) | State::Handshaking | State::NoToken | State::Stopped => None,
        }
    }

    fn next_subscribe(&mut self, client: &str, now: Instant) -> Option<Request> {
        if self.channels.values().any(|channel| channel.state == Subscribed::Asked) {
            return None;
        }
        let (channel, subscription) = self.channels.iter_mut().find(|(_, channel)| match channel.state {
            Subscribed::No => true,
            Subscribed::Refused(again) => again <= now,
            Subscribed::Asked | Subscribed::Yes => false,
        })?;
        subscription.state = Subscribed::Asked;
        let (channel, from) = (channel.clone(), subscription.from.clone());
        let body = message::subscribe(&self.id(), client, &channel, &from);
        Some(self.request(Kind::Subscribe(channel), body, OTHER_TIMEOUT))
    }

    /// When `poll_transmit` has something to give, if nothing else happens.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Waiting(at) => Some(*at),
            State::Connected { connect, .. } => {
                let connect = match connect {
                    // When it does not go out for what waits here, handing that over goes on with it.
                    Connect::Due(at) if self.changes < WAITING_MAX => Some(*at),
                    Connect::Due(_) | Connect::Out { .. } => None,
                };
                let refused = self.channels.values().filter_map(|channel| match channel.state {
                    Subscribed::Refused(again) => Some(again),
                    Subscribed::No | Subscribed::Asked | Subscribed::Yes => None,
                });
                refused.chain(connect).min()
            }
            State::Handshaking | State::NoToken | State::Stopped => None,
        }
    }

    /// The next thing to tell.
    pub fn poll_told(&mut self) -> Option<Told> {
        let told = self.told.pop_front()?;
        if matches!(told, Told::Change { .. }) {
            self.changes -= 1;
        }
        Some(told)
    }

    pub fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.channels.keys()
    }

    pub fn has_told(&self) -> bool {
        !self.told.is_empty()
    }

    /// The body that ends the session at the server, if there is one.
    pub fn farewell(&mut self) -> Option<serde_json::Value> {
        let State::Connected { client, .. } = &self.state else { return None };
        let client = client.clone();
        Some(message::disconnect(&self.id(), &client))
    }

    /// The token that was refused has a successor.
    pub fn token_renewed(&mut self, now: Instant) {
        if self.state == State::NoToken {
            // A fresh token that is refused again must not make a loop.
            let delay = self.backoff.next_delay();
            self.restart(now + delay);
        }
    }

    /// The answer to a request: all that stood in it.
    pub fn answered(&mut self, epoch: Epoch, kind: &Kind, messages: Vec<Incoming>, now: Instant) {
        if epoch != self.epoch || matches!(self.state, State::Waiting(_) | State::NoToken | State::Stopped) {
            return;
        }
        // Whatever their order in the answer, what was delivered comes before what the replies decide.
        let (events, others): (Vec<_>, Vec<_>) =
            messages.into_iter().partition(|message| matches!(message, Incoming::Event(_)));
        let empty = events.is_empty();
        events.into_iter().for_each(|event| self.event(event));
        let mut heard = false;
        let mut ended = false;
        for other in others {
            match other {
                Incoming::Reply(reply) => {
                    heard |= answers(kind, &reply);
                    self.reply(reply, empty, now);
                }
                Incoming::ServerDisconnect => ended = true,
                Incoming::Event(_) => {}
            }
            if epoch != self.epoch || !matches!(self.state, State::Handshaking | State::Connected { .. }) {
                return;
            }
        }
        if ended {
            // The org scales; it is not angry with us. In spite of a `none` beside it a new session is right.
            self.wait(now, self.interval, "the org ended the session");
        } else if !heard {
            self.failed(epoch, kind, now, "an answer without a reply");
        }
    }

    /// A request that had no answer, or none that can be understood.
    pub fn failed(&mut self, epoch: Epoch, _kind: &Kind, now: Instant, why: &str) {
        if epoch == self.epoch && matches!(self.state, State::Handshaking | State::Connected { .. }) {
            let delay = self.backoff.next_delay();
            self.wait(now, delay, why);
        }
    }

    /// The edge refused a request for its token, with a bare 401.
    pub fn token_refused(&mut self, epoch: Epoch) {
        if epoch == self.epoch && matches!(self.state, State::Handshaking | State::Connected { .. }) {
            self.lose_token();
        }
    }

    fn event(&mut self, event: Incoming) {
        let Incoming::Event(delivery) = event else { return };
        match delivery.change {
            Ok(change) => {
                if let Some(subscription) = self.channels.get_mut(&change.channel) {
                    subscription.from = ReplayFrom::After(change.replay_id.clone());
                    self.changes += 1;
                    self.told.push_back(Told::Change { channel: change.channel.clone(), change: Box::new(change) });
                }
            }
            Err(undecodable) => {
                let channel = undecodable.channel.parse().ok();
                if let Some(subscription) = channel.and_then(|channel: Channel| self.channels.get_mut(&channel))
                    && let Some(id) = &undecodable.replay_id
                {
                    subscription.from = ReplayFrom::After(id.clone());
                }
                self.told.push_back(Told::Undecodable(undecodable));
            }
        }
    }

    fn reply(&mut self, reply: Reply, empty: bool, now: Instant) {
        let advice = reply.advice;
        self.hold = advice.timeout.filter(|hold| !hold.is_zero()).unwrap_or(self.hold);
        self.interval = advice.interval.unwrap_or(self.interval);
        self.reconnect = advice.reconnect.unwrap_or(self.reconnect);
        match (reply.meta, reply.result) {
            (Meta::Handshake, Ok(())) if self.state == State::Handshaking => match reply.client_id {
                Some(client) => {
                    // A successful handshake has no advice; an old one must not make the next loop.
                    (self.reconnect, self.interval, self.hold) = (Reconnect::Retry, Duration::ZERO, HOLD);
                    self.state = State::Connected { client, connect: Connect::Due(now), first: true };
                }
                None => self.failed(self.epoch, &Kind::Handshake, now, "a handshake without a clientId"),
            },
            (Meta::Connect, Ok(())) => {
                let State::Connected { client, connect, .. } = &self.state else { return };
                if empty && *connect == (Connect::Out { all_subscribed: true }) {
                    self.told.push_back(Told::Live);
                }
                self.backoff.reset();
                if self.reconnect == Reconnect::Retry {
                    let connect = Connect::Due(now + self.interval);
                    self.state = State::Connected { client: client.clone(), connect, first: false };
                } else {
                    self.wait(now, self.interval, "the org asked for a new session");
                }
            }
            (Meta::Subscribe, Ok(())) => {
                if let Some(channel) = self.asked(reply.subscription.as_deref()) {
                    self.told.push_back(Told::Subscribed(channel.clone()));
                    self.set(&channel, Subscribed::Yes);
                }
            }
            (Meta::Subscribe, Err(fault)) => {
                let channel = self.asked(reply.subscription.as_deref());
                self.fault(&fault, channel, now);
            }
            (Meta::Handshake | Meta::Connect, Err(fault)) => self.fault(&fault, None, now),
            (Meta::Handshake | Meta::Unsubscribe | Meta::Disconnect, _) => {}
        }
    }

    /// The channel that was asked for. Some errors do not name it, but there is only one at a time.
    fn asked(&self, named: Option<&str>) -> Option<Channel> {
        let mut asked = self.channels.iter().filter(|(_, channel)| channel.state == Subscribed::Asked);
        asked
            .find(|(channel, _)| named.is_none_or(|named| named == channel.as_str()))
            .map(|(channel, _)| channel.clone())
    }

    fn set(&mut self, channel: &Channel, state: Subscribed) {
        if let Some(subscription) = self.channels.get_mut(channel) {
            subscription.state = state;
        }
    }

    fn fault(&mut self, fault: &Fault, channel: Option<Channel>, now: Instant) {
        match (fault.remedy(channel.is_some()), channel) {
            (Remedy::RenewToken, _) => self.lose_token(),
            (Remedy::FromEarliest, Some(channel)) => {
                if let Some(subscription) = self.channels.get_mut(&channel) {
                    // Asked once for the earliest, it would be a strange org that refuses that too.
                    let again = subscription.from == ReplayFrom::Earliest;
                    subscription.from = ReplayFrom::Earliest;
                    subscription.state = if again { Subscribed::Refused(now + REFUSED_AGAIN) } else { Subscribed::No };
                    if !again {
                        self.told.push_back(Told::PositionRefused(channel));
                    }
                }
            }
            (Remedy::RefuseChannel, Some(channel)) => {
                self.set(&channel, Subscribed::Refused(now + REFUSED_AGAIN));
                self.told.push_back(Told::ChannelRefused { channel, why: fault.text.clone() });
            }
            (Remedy::NewSessionLater, _) => self.wait(now, LIMIT_AGAIN, &fault.text),
            (Remedy::Stop, _) => {
                self.state = State::Stopped;
                self.told.push_back(Told::Stopped { why: fault.text.clone() });
            }
            (Remedy::NewSession | Remedy::FromEarliest | Remedy::RefuseChannel, _) => {
                let delay = self.backoff.next_delay().max(self.interval);
                self.wait(now, delay, &fault.text);
            }
        }
    }

    fn lose_token(&mut self) {
        self.state = State::NoToken;
        self.told.push_back(Told::TokenRefused);
    }

    fn wait(&mut self, now: Instant, delay: Duration, why: &str) {
        let until = now + delay;
        self.told.push_back(Told::Waiting { until, why: why.to_owned() });
        self.restart(until);
    }

    /// A new session from this time on. All subscriptions are gone with the old one.
    fn restart(&mut self, at: Instant) {
        self.state = State::Waiting(at);
        for subscription in self.channels.values_mut() {
            subscription.state = Subscribed::No;
        }
    }

    fn id(&mut self) -> String {
        self.next_id += 1;
        self.next_id.to_string()
    }

    fn request(&self, kind: Kind, body: serde_json::Value, timeout: Duration) -> Request {
        Request { epoch: self.epoch, kind, body, timeout }
    }
}

fn answers(kind: &Kind, reply: &Reply) -> bool {
    matches!(
        (kind, reply.meta),
        (Kind::Handshake, Meta::Handshake) | (Kind::Connect, Meta::Connect) | (Kind::Subscribe(_), Meta::Subscribe)
    )
}

#[cfg(test)]
mod tests;
