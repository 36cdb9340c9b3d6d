//! The CometD sessions of an org: who they are, what they subscribed to, and how far they have read.
//!
//! Time is an argument. A session that has no connect waiting for 40 seconds is gone.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::json;

use crate::org::time::SECOND;
use crate::org::{Delivery, Feed, Id, InvalidReplayId, Org, PushFeed, Start, StreamForms, View};

/// How long a session lives without a connect.
const EXPIRY: i64 = 40 * SECOND;
/// Events in one answer.
const BATCH: usize = 1_000;
/// And bytes: with the next event, whatever its size, an answer keeps well below what clients take (streaming-cometd.md
/// section 2: 10 MiB).
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// What carries the messages of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Transport {
    #[default]
    LongPolling,
    WebSocket,
}

impl Transport {
    /// The `connectionType`.
    pub fn name(self) -> &'static str {
        match self {
            Self::LongPolling => "long-polling",
            Self::WebSocket => "websocket",
        }
    }
}

#[derive(Debug)]
pub struct Sessions {
    open: HashMap<String, Session>,
    /// The values of sticky cookies that lead to a server.
    servers: HashSet<String>,
    rng: fastrand::Rng,
}

#[derive(Debug, Clone, Default)]
pub struct Session {
    client_id: String,
    /// Whoever opens a WebSocket for it gets its events there.
    pub transport: Transport,
    /// Whose handshake it was: nobody else may use it.
    pub user: Option<Id>,
    /// The value of its BAYEUX_BROWSER cookie.
    pub browser: String,
    /// The value of its sticky cookie.
    pub sticky: String,
    pub connected_once: bool,
    subscriptions: BTreeMap<String, Subscription>,
    /// Which connect is the latest; an older one that still waits has to end.
    connects: u64,
    waiting: bool,
    /// The server has ended it.
    disconnected: bool,
    /// Its client said goodbye; only a connect that still waits keeps it.
    ended: bool,
    last_seen: i64,
}

#[derive(Debug, Clone)]
struct Subscription {
    source: Source,
    /// The replay id behind which it reads on.
    position: i64,
}

/// Where the events of a channel come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// With what its user could see when it began: later changes of permissions do not count.
    Bus(Feed, View),
    Push(PushFeed),
}

impl Source {
    fn name(&self) -> &str {
        match self {
            Self::Bus(feed, _) => &feed.name,
            Self::Push(feed) => &feed.name,
        }
    }
}

impl Sessions {
    pub fn new(rng: fastrand::Rng) -> Self {
        Self { open: HashMap::new(), servers: HashSet::new(), rng }
    }

    /// A new session; its client id. A handshake whose sticky cookie is still good stays at that server, so
    /// sessions can share their cookies.
    pub fn create(
        &mut self,
        browser: Option<&str>,
        sticky: Option<&str>,
        transport: Transport,
        user: Id,
        now: i64,
    ) -> (String, Session) {
        self.expire(now);
        let sticky = match sticky.filter(|value| self.servers.contains(*value)) {
            Some(value) => value.to_owned(),
            None => format!("!{}", crate::host::text(&mut self.rng, 44)),
        };
        self.servers.insert(sticky.clone());
        let client_id: String = (0..28).map(|_| self.rng.digit(36)).collect();
        let session = Session {
            browser: browser.map_or_else(|| (0..22).map(|_| self.rng.digit(36)).collect(), str::to_owned),
            client_id: client_id.clone(),
            transport,
            user: Some(user),
            sticky,
            last_seen: now,
            ..Session::default()
        };
        self.open.insert(client_id.clone(), session.clone());
        (client_id, session)
    }

    pub fn get(&mut self, client_id: &str, now: i64) -> Option<&mut Session> {
        self.expire(now);
        self.open.get_mut(client_id).filter(|session| !session.ended)
    }

    /// Ends a session by its client's wish.
    pub fn end(&mut self, client_id: &str) {
        if let Some(session) = self.open.get_mut(client_id) {
            session.ended = true;
        }
    }

    pub fn has_ended(&self, client_id: &str) -> bool {
        self.open.get(client_id).is_some_and(|session| session.ended)
    }

    /// The cookies that lead to the servers of the sessions are good for nothing any more.
    pub fn expire_cookies(&mut self) {
        self.servers.clear();
        for session in self.open.values_mut() {
            session.sticky = format!("!{}", crate::host::text(&mut self.rng, 44));
        }
    }

    /// Every session is ended by the server, which says so to a connect that waits or comes.
    pub fn disconnect_all(&mut self) {
        self.open.values_mut().for_each(|session| session.disconnected = true);
    }

    /// Whether the server has ended it; then it is gone.
    pub fn was_disconnected(&mut self, client_id: &str) -> bool {
        let ended = self.open.get(client_id).is_some_and(|session| session.disconnected);
        if ended {
            self.open.remove(client_id);
        }
        ended
    }

    /// Every session is gone.
    pub fn drop_all(&mut self) {
        self.open.clear();
    }

    pub fn count(&mut self, now: i64) -> usize {
        self.expire(now);
        self.open.values().filter(|session| !session.ended).count()
    }

    /// Whether events go out with the answer to a request that is no connect.
    pub fn with_answer(&mut self) -> bool {
        self.rng.bool()
    }

    /// The number of a connect that begins to wait, and whether an older one waits, which has to end.
    pub fn begin_connect(&mut self, client_id: &str, now: i64) -> Option<(u64, bool)> {
        let session = self.get(client_id, now)?;
        session.connects += 1;
        let older = std::mem::replace(&mut session.waiting, true);
        Some((session.connects, older))
    }

    pub fn end_connect(&mut self, client_id: &str, number: u64, now: i64) {
        if let Some(session) = self.open.get_mut(client_id)
            && session.connects == number
        {
            session.waiting = false;
            session.last_seen = now;
        }
    }

    fn expire(&mut self, now: i64) {
        self.open.retain(|_, session| session.waiting || (!session.ended && now - session.last_seen <= EXPIRY));
    }
}

impl Session {
    pub fn seen(&mut self, now: i64) {
        self.last_seen = now;
    }

    pub fn is_latest(&self, connect: u64) -> bool {
        self.connects == connect
    }

    pub fn subscribe(&mut self, org: &mut Org, source: Source, start: Start, now: i64) -> Result<(), InvalidReplayId> {
        let position = match &source {
            Source::Bus(..) => org.bus.position(start, now)?,
            Source::Push(feed) => org.pushed.position(&feed.channel, start, now)?,
        };
        self.subscriptions.insert(source.name().to_owned(), Subscription { source, position });
        Ok(())
    }

    pub fn unsubscribe(&mut self, channel: &str) {
        self.subscriptions.remove(channel);
    }

    /// The messages of PushTopics and generic channels that can go out now, as JSON texts.
    pub fn take_notices(&mut self, org: &Org, now: i64) -> Vec<String> {
        let mut messages = Vec::new();
        for (name, subscription) in &mut self.subscriptions {
            let Source::Push(feed) = &subscription.source else { continue };
            for notice in org.pushed.after(&feed.channel, subscription.position, now).take(BATCH) {
                subscription.position = notice.replay_id;
                if !feed.wants(notice) {
                    continue;
                }
                let message = match feed.object {
                    Some(_) => json!({"data": *notice.data, "channel": name}),
                    None => json!({"clientId": self.client_id, "data": *notice.data, "channel": name}),
                };
                messages.push(message.to_string());
            }
        }
        messages
    }

    /// The messages of change events and platform events that can go out now, as JSON texts in the order of their
    /// replay ids.
    pub fn take_events(&mut self, org: &Org, forms: StreamForms, now: i64) -> Vec<String> {
        let Some(from) = self.bus_position() else { return Vec::new() };
        let (mut messages, mut deliveries): (Vec<String>, _) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        for event in org.bus.after(from, now) {
            for (channel, subscription) in &mut self.subscriptions {
                let Source::Bus(feed, view) = &subscription.source else { continue };
                if event.replay_id <= subscription.position {
                    continue;
                }
                subscription.position = event.replay_id;
                org.deliveries(feed, view, event, &mut deliveries);
                let message =
                    |delivery: Delivery| format!(r#"{{"data":{},"channel":"{channel}"}}"#, delivery.to_stream(forms));
                let before = messages.len();
                messages.extend(deliveries.drain(..).map(message));
                bytes += messages.iter().skip(before).map(String::len).sum::<usize>();
            }
            if messages.len() >= BATCH || bytes >= BATCH_BYTES {
                break;
            }
        }
        messages
    }

    /// When the next event for any of its subscriptions may become visible.
    pub fn next_event(&self, org: &Org, now: i64) -> Option<i64> {
        let of_bus = self.bus_position().and_then(|position| org.bus.next_visible(position, now));
        let pushed = self.subscriptions.values().filter_map(|subscription| match &subscription.source {
            Source::Push(feed) => org.pushed.next_visible(&feed.channel, subscription.position, now),
            Source::Bus(..) => None,
        });
        of_bus.into_iter().chain(pushed).min()
    }

    /// How far the slowest subscription to the bus has read.
    fn bus_position(&self) -> Option<i64> {
        let of_bus = self.subscriptions.values().filter(|one| matches!(one.source, Source::Bus(..)));
        of_bus.map(|subscription| subscription.position).min()
    }
}
