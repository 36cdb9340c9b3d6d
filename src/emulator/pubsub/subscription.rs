//! Events of one topic for one client: what both kinds of subscription have in common.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tonic::Status;

use super::caller::Caller;
use super::demand::{Demand, Due, Patience};
use super::refusal::Refusal;
use super::replay;
use crate::host::OpenStream;
use crate::org::{Delivery, Feed, Id, Org, Position, Start, View};
use pubsub_api::{ConsumerEvent, ProducerEvent};

/// What one response holds at most, in bytes of events.
const RESPONSE: usize = 3 * 1024 * 1024;
/// What an event takes besides its payload: two ids, and what protobuf puts around them.
const AROUND: usize = 100;

/// What one response says.
#[derive(Debug)]
pub struct Batch {
    pub events: Vec<ConsumerEvent>,
    pub latest_replay_id: Bytes,
    pub pending: i32,
}

/// Why the waiting is over.
#[derive(Debug, PartialEq, Eq)]
pub enum Wake {
    /// There may be events.
    Look,
    Keepalive,
    /// Nobody has asked for events for too long.
    Close,
    /// The org ends.
    Stopped,
}

pub struct Subscription {
    pub caller: Caller,
    topic: String,
    position: Position,
    demand: Demand,
    changes: watch::Receiver<u64>,
    /// Counted as long as it lives.
    _open: OpenStream,
}

impl Subscription {
    /// # Errors
    /// A topic that is not there or not for this user, a replay id that is not kept.
    pub fn open(caller: Caller, topic: &str, start: Start) -> Result<Self, Status> {
        let find = || {
            let user = caller.user()?;
            let now = caller.host.now();
            if matches!(start, Start::After(_)) && caller.host.stream_states().corrupts() {
                return Err(Refusal::ReplayIdCorrupted);
            }
            let mut org = caller.host.org();
            readable(&org, topic, &user)?;
            org.bus.position(start, now).map_err(|_| Refusal::ReplayIdCorrupted)
        };
        let position = find().map_err(|refusal| caller.refuse(refusal))?;
        Self::at(caller, topic, position)
    }

    /// Behind a replay id that is known.
    ///
    /// # Errors
    /// When too many streams are open.
    pub fn at(caller: Caller, topic: &str, replay_id: i64) -> Result<Self, Status> {
        if caller.host.open_streams() >= caller.host.client_limit() {
            return Err(caller.refuse(Refusal::ClientLimit));
        }
        let (changes, demand) = (caller.host.changes(), Demand::new(Instant::now()));
        let open = caller.host.open_stream();
        Ok(Self { caller, topic: topic.to_owned(), position: replay_id.into(), demand, changes, _open: open })
    }

    pub fn ask(&mut self, events: u32) {
        self.demand.ask(events);
    }

    pub fn pending(&self) -> i32 {
        self.demand.pending()
    }

    /// What can go out now, in as many responses as it takes.
    ///
    /// # Errors
    /// When the client may have no more: its token has ended, the topic is gone, or a permission.
    pub fn take(&mut self) -> Result<VecDeque<Batch>, Refusal> {
        self.changes.borrow_and_update();
        let states = self.caller.host.stream_states().clone();
        if states.silent {
            return Ok(VecDeque::new());
        }
        let user = self.caller.user()?;
        let host = &self.caller.host;
        let now = host.now();
        let deliveries = {
            let org = host.org();
            if !org.bus.reaches(self.position.replay_id) {
                return Err(Refusal::Unavailable); // the org has moved, and the stream did not
            }
            let (feed, view) = readable(&org, &self.topic, &user)?;
            match self.demand.owed() {
                0 => Vec::new(),
                _ if states.deaf => Vec::new(),
                _ if host.delivery_spent() => return Err(Refusal::DeliveryLimit),
                owed => org.deliver(&feed, &view, &mut self.position, owed as usize, now),
            }
        };
        host.delivered(u64::try_from(deliveries.len()).unwrap_or(u64::MAX));
        Ok(self.batches(deliveries))
    }

    fn batches(&mut self, deliveries: Vec<Delivery>) -> VecDeque<Batch> {
        let mut batches = VecDeque::new();
        let mut deliveries = deliveries.into_iter().peekable();
        let now = Instant::now();
        while deliveries.peek().is_some() {
            let (mut events, mut size, mut last) = (Vec::new(), 0, 0);
            while let Some(delivery) =
                deliveries.next_if(|next| events.is_empty() || size + next.payload.len() + AROUND <= RESPONSE)
            {
                size += delivery.payload.len() + AROUND;
                last = delivery.replay_id;
                events.push(event(delivery));
            }
            self.demand.sent(events.len(), now);
            let latest_replay_id = replay::encode(last);
            batches.push_back(Batch { events, latest_replay_id, pending: self.demand.pending() });
        }
        batches
    }

    /// A response without events; it may be ahead of the last event, and is never behind what is kept.
    pub fn keepalive(&mut self) -> Batch {
        let host = &self.caller.host;
        let kept = host.org().bus.position(Start::Earliest, host.now()).unwrap_or_default();
        if self.position.replay_id < kept {
            self.position = kept.into();
        }
        self.demand.sent(0, Instant::now());
        let latest_replay_id = replay::encode(self.position.replay_id);
        Batch { events: Vec::new(), latest_replay_id, pending: self.demand.pending() }
    }

    /// Waits until something is to be done. It can be given up at any time.
    pub async fn wait(&mut self) -> Wake {
        let host = &self.caller.host;
        let stopped = host.stopped();
        if host.stream_states().silent {
            // Half-dead: the line is open, and nothing comes, no keepalive and no end.
            tokio::select! {
                () = stopped.cancelled() => return Wake::Stopped,
                _ = self.changes.changed() => return Wake::Look,
            }
        }
        let next = match self.demand.owed() {
            0 => None,
            _ => {
                let now = host.now();
                let next = host.org().bus.next_visible(self.position.replay_id, now);
                next.map(|at| Instant::now() + Duration::from_micros(u64::try_from(at - now).unwrap_or_default()))
            }
        };
        let patience = {
            let switches = host.switches();
            Patience {
                keepalive: Duration::from_millis(switches.pubsub_keepalive_ms),
                idle: Duration::from_millis(switches.pubsub_idle_ms),
            }
        };
        let (at, silence) = match self.demand.due(patience) {
            Due::Keepalive(at) => (at, Wake::Keepalive),
            Due::Close(at) => (at, Wake::Close),
        };
        tokio::select! {
            biased;
            () = stopped.cancelled() => Wake::Stopped,
            _ = self.changes.changed() => Wake::Look,
            () = sleep_until(next.unwrap_or(at)), if next.is_some() => Wake::Look,
            () = sleep_until(at) => silence,
        }
    }
}

/// The channel behind a topic, and what the user may see of it now.
fn readable(org: &Org, topic: &str, user: &Id) -> Result<(Feed, View), Refusal> {
    let Some(feed) = org.feed(topic) else {
        return Err(Refusal::TopicNotFound { org: org.id.to_string(), topic: topic.to_owned() });
    };
    let view = org.view(user);
    if org.may_subscribe(&view, &feed) { Ok((feed, view)) } else { Err(Refusal::CannotSubscribe) }
}

fn event(delivery: Delivery) -> ConsumerEvent {
    let replay_id = replay::encode(delivery.replay_id);
    let event = ProducerEvent {
        id: delivery.uuid(),
        schema_id: delivery.schema.id.clone(),
        payload: delivery.payload,
        headers: Vec::new(),
    };
    ConsumerEvent { event: Some(event), replay_id }
}
