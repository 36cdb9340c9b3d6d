//! The loop that owns an org's streams: one connection, one stream for each channel. `stream`, `demand` and the watchdog
//! decide.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::Stream;
use pubsub_api::{ConsumerEvent, FetchRequest, FetchResponse, ReplayPreset};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::{Response, Status, Streaming};

use super::avro::SchemaError;
use super::connection::{Connection, with_login};
use super::decode::{self, Reason, Undecodable};
use super::demand::Demand;
use super::error::{Disposition, Failed, Fault};
use super::schemas::{NoSchema, Schemas};
use super::stream::Subscription;
use crate::event::{Arrival, Channel, ChannelKind, Happening, ReplayFrom, ReplayId, Timestamp};
use crate::org::{OrgError, Session};
use crate::retry::Backoff;
use crate::subscribe::surroundings::Surroundings;
use crate::subscribe::watchdog::Watchdog;
use crate::subscribe::{ChannelStart, Feed, State, SubscribeError};

/// A stream that lived so long and brought something was healthy.
const PROVEN_AFTER: Duration = Duration::from_secs(5);
/// A channel that is refused is asked for again, for permissions change.
const REFUSED_AGAIN: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(900));
const LIMIT_AGAIN: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(900));
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How often a token is renewed at once, before it is given time.
const RENEWALS: u32 = 2;

/// Receives all channels of an org until cancelled.
pub async fn run<S: Surroundings>(feed: Feed<S>, channels: Vec<ChannelStart>) -> Result<(), SubscribeError> {
    let addresses = feed.org.config().pubsub.addresses();
    let connection = Connection::new(&addresses, None).map_err(|_| SubscribeError::BadAddress)?;
    run_over(feed, channels, connection).await
}

async fn run_over<S: Surroundings>(
    feed: Feed<S>,
    channels: Vec<ChannelStart>,
    connection: Connection,
) -> Result<(), SubscribeError> {
    feed.state.send_modify(|all| {
        for start in &channels {
            all.entry(start.channel.clone()).or_default();
        }
    });
    let connection = Arc::new(connection);
    let schemas = Schemas::new(feed.org.clone(), connection.clone(), feed.surroundings.clone());
    let shared = Arc::new(Shared {
        feed,
        connection,
        schemas,
        retry: Mutex::new(Retry { backoff: Backoff::new(RETRY.0, RETRY.1), until: Instant::now() }),
    });
    let mut topics = JoinSet::new();
    for start in channels {
        let shared = shared.clone();
        topics.spawn(async move { Topic::new(shared, start).run().await });
    }
    while let Some(ended) = topics.join_next().await {
        match ended {
            Ok(ended) => ended?,
            Err(panicked) => return Err(SubscribeError::Broken(panicked.to_string())),
        }
    }
    Ok(())
}

/// What all channels of an org have in common.
struct Shared<S> {
    feed: Feed<S>,
    connection: Arc<Connection>,
    schemas: Schemas<S>,
    /// After lost lines: all streams go over one connection, so they share the patience.
    retry: Mutex<Retry>,
}

struct Retry {
    backoff: Backoff,
    /// What fails before this time fails for the same reason, and waits for the same moment.
    until: Instant,
}

impl<S> Shared<S> {
    fn next_delay(&self) -> Duration {
        let mut retry = self.retry.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if retry.until <= now {
            retry.until = now + retry.backoff.next_delay();
        }
        retry.until - now
    }

    fn healthy(&self) {
        self.retry.lock().unwrap_or_else(PoisonError::into_inner).backoff.reset();
    }
}

/// How a stream ended.
enum End {
    /// Somebody has reason to believe that the stream is deaf.
    Nudged,
    /// The org ended it in order: nothing was asked for in time, or it moves.
    Closed,
    /// Nothing came for too long.
    Silent,
    Failed(Failed),
    Login(OrgError),
}

struct Topic<S> {
    shared: Arc<Shared<S>>,
    subscription: Subscription,
    limits: Backoff,
    refused: Backoff,
    renewals: u32,
    nudges: watch::Receiver<u64>,
}

type Opening = Pin<Box<dyn Future<Output = Result<Response<Streaming<FetchResponse>>, Status>> + Send>>;

impl<S: Surroundings> Topic<S> {
    fn new(shared: Arc<Shared<S>>, start: ChannelStart) -> Self {
        let mut nudges = shared.feed.nudges.clone();
        nudges.mark_unchanged();
        Self {
            subscription: Subscription::new(start, Instant::now()),
            limits: Backoff::new(LIMIT_AGAIN.0, LIMIT_AGAIN.1),
            refused: Backoff::new(REFUSED_AGAIN.0, REFUSED_AGAIN.1),
            renewals: 0,
            nudges,
            shared,
        }
    }

    async fn run(mut self) -> Result<(), SubscribeError> {
        if matches!(self.subscription.channel().kind(), ChannelKind::PushTopic | ChannelKind::Generic) {
            let why = "the Pub/Sub API has no PushTopics and no generic channels: set `transport: cometd` for this org";
            self.show(State::Refused { why: why.to_owned() });
            self.shared.feed.cancel.cancelled().await;
            return Ok(());
        }
        let mut session: Option<Session> = None;
        let cancel = self.shared.feed.cancel.clone();
        loop {
            let opened = Instant::now();
            // What is cut off here was not handed over, nor anything behind it.
            let (end, framed) = tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(()),
                ended = self.stream(&mut session) => ended?,
            };
            if framed && opened.elapsed() >= PROVEN_AFTER {
                self.shared.healthy();
                self.renewals = 0;
            }
            let wait = match end {
                End::Nudged => None,
                End::Closed if framed => None,
                End::Closed => Some((self.shared.next_delay(), "the org ended the stream".to_owned())),
                End::Silent => {
                    tracing::warn!(channel = %self.subscription.channel(), "nothing came for too long; opened anew");
                    self.show(State::Stalled);
                    None
                }
                End::Login(OrgError::OtherOrg { .. }) => return Err(SubscribeError::OtherOrg),
                End::Login(error) => Some((self.shared.next_delay(), format!("login failed: {error}"))),
                End::Failed(failed) => self.failed(&failed, &mut session).await?,
            };
            if let Some((delay, why)) = wait {
                self.pause(delay, why).await;
            }
            if self.shared.feed.cancel.is_cancelled() {
                return Ok(());
            }
        }
    }

    /// What to do after an error: wait so long, because of this, or go on at once.
    async fn failed(
        &mut self,
        failed: &Failed,
        session: &mut Option<Session>,
    ) -> Result<Option<(Duration, String)>, SubscribeError> {
        let channel = self.subscription.channel().clone();
        match failed.fault.disposition() {
            Disposition::Retry => {
                tracing::warn!(%channel, error = %failed, "stream lost");
                Ok(Some((self.shared.next_delay(), failed.to_string())))
            }
            Disposition::Renew => {
                self.renewals += 1;
                if let Some(stale) = session.take() {
                    match self.shared.feed.org.renew(&stale).await {
                        Ok(renewed) => *session = Some(renewed),
                        Err(OrgError::OtherOrg { .. }) => return Err(SubscribeError::OtherOrg),
                        Err(error) => {
                            return Ok(Some((self.shared.next_delay(), format!("login failed: {error}"))));
                        }
                    }
                }
                let again = self.renewals > RENEWALS;
                Ok(again.then(|| (self.shared.next_delay(), failed.to_string())))
            }
            Disposition::Reposition => {
                let from = self.subscription.from(Instant::now());
                if !matches!(from, ReplayFrom::After(_)) {
                    // It refuses what is no id at all.
                    return Ok(Some((self.shared.next_delay(), failed.to_string())));
                }
                tracing::warn!(%channel, error = %failed, "the org refused the saved position");
                self.subscription.forget_position();
                let at = self.shared.feed.org.server_time();
                // Where the deliveries do not allow the earliest, the next stream says so.
                self.hand_over(Arrival::Refused { at }).await?;
                Ok(None)
            }
            Disposition::Refuse => {
                tracing::error!(%channel, error = %failed, "the org refuses this channel; it is asked again");
                let delay = self.refused.next_delay();
                self.show(State::Refused { why: failed.to_string() });
                self.sleep(delay).await;
                Ok(None)
            }
            Disposition::WaitLong => {
                tracing::warn!(%channel, error = %failed, "a limit of the org");
                Ok(Some((self.limits.next_delay(), failed.to_string())))
            }
        }
    }

    /// One stream, from its opening to its end; and whether anything came.
    async fn stream(&mut self, session: &mut Option<Session>) -> Result<(End, bool), SubscribeError> {
        if self
            .shared
            .feed
            .state
            .borrow()
            .get(self.subscription.channel())
            .is_none_or(|one| one.state != State::Stalled)
        {
            self.show(State::Connecting);
        }
        let current = match session.take() {
            Some(session) => session,
            None => match self.shared.feed.org.session().await {
                Ok(session) => session,
                Err(error) => return Ok((End::Login(error), false)),
            },
        };
        *session = Some(current.clone());
        // What is asked for must have room.
        let room = match self.shared.feed.arrivals.reserve().await {
            Ok(permit) => {
                drop(permit);
                self.room().max(1)
            }
            Err(_) => return Err(SubscribeError::JournalGone),
        };
        let Some((mut demand, first)) = Demand::first(room) else { return Ok((End::Closed, true)) };
        let request = self.first_request(first).await?;
        let (mut client, number) = match self.shared.connection.client().await {
            Ok(client) => client,
            Err(failed) => return Ok((End::Failed(failed), false)),
        };
        let (asks, mut asked) = mpsc::unbounded_channel::<FetchRequest>();
        // The org may answer with headers only when it has a message, so the first request must go before them.
        let requests = async_stream::stream! {
            yield request;
            while let Some(request) = asked.recv().await {
                yield request;
            }
        };
        let request = match with_login(&current, requests) {
            Ok(request) => request,
            Err(status) => return Ok((End::Failed(Failed::read(&status)), false)),
        };
        let mut opening: Option<Opening> = Some(Box::pin(async move { client.subscribe(request).await }));
        self.subscription.opened();
        let mut responses: Option<Streaming<FetchResponse>> = None;
        let mut watchdog = Watchdog::at_most(self.shared.feed.silence, Instant::now());
        let mut framed = false;
        loop {
            let step = tokio::select! {
                biased; // The order is policy: start anew, listen, ask for more, give up waiting.
                Ok(()) = self.nudges.changed() => return Ok((End::Nudged, framed)),
                opened = poll_opening(&mut opening) => match opened {
                    Ok(response) => {
                        (opening, responses) = (None, Some(response.into_inner()));
                        self.opened();
                        continue
                    }
                    Err(status) => Err(status),
                },
                message = next(&mut responses) => message,
                permit = self.shared.feed.arrivals.reserve(), if demand.owed() == 0 => {
                    if permit.is_err() { return Err(SubscribeError::JournalGone) }
                    drop(permit);
                    self.more(&mut demand, &asks);
                    continue
                }
                () = tokio::time::sleep_until(watchdog.deadline()) => {
                    // What is in between may answer pings for a server that is gone.
                    self.shared.connection.lost(number).await;
                    return Ok((End::Silent, framed));
                }
            };
            let response = match step {
                Ok(Some(response)) => response,
                Ok(None) => return Ok((End::Closed, framed)),
                Err(status) => {
                    let failed = Failed::read(&status);
                    if failed.fault == Fault::Connection {
                        self.shared.connection.lost(number).await;
                    }
                    return Ok((End::Failed(failed), framed));
                }
            };
            framed = true;
            watchdog.frame(response.events.is_empty(), Instant::now());
            demand.answered(response.events.len(), response.pending_num_requested);
            if let Some(end) = self.take(response).await? {
                return Ok((end, framed));
            }
            self.more(&mut demand, &asks);
        }
    }

    /// The request that opens a stream. Where it would go to the earliest, the org's deliveries must allow it.
    async fn first_request(&mut self, num_requested: i32) -> Result<FetchRequest, SubscribeError> {
        let channel = self.subscription.channel().clone();
        let mut from = self.subscription.from(Instant::now());
        if from == ReplayFrom::Earliest && !self.shared.feed.surroundings.earliest_fits(&channel).await {
            tracing::warn!(%channel, "the day's deliveries do not allow to start at the earliest event");
            let at = self.shared.feed.org.server_time();
            self.hand_over(Arrival::Skipped { at }).await?;
            from = ReplayFrom::Tip;
        }
        let (preset, replay_id) = match from {
            ReplayFrom::Tip => (ReplayPreset::Latest, Vec::new()),
            ReplayFrom::Earliest => (ReplayPreset::Earliest, Vec::new()),
            ReplayFrom::After(id) => (ReplayPreset::Custom, id.0),
        };
        Ok(FetchRequest {
            topic_name: channel.to_string(),
            replay_preset: preset.into(),
            replay_id: replay_id.into(),
            num_requested,
            ..FetchRequest::default()
        })
    }

    fn room(&self) -> usize {
        self.shared.feed.arrivals.capacity()
    }

    fn more(&self, demand: &mut Demand, asks: &mpsc::UnboundedSender<FetchRequest>) {
        if let Some(num_requested) = demand.ask(self.room()) {
            // Without a receiver the stream is over, and its end is on its way.
            let _ = asks.send(FetchRequest { num_requested, ..FetchRequest::default() });
        }
    }

    /// Hands over what a response holds. Some: the stream cannot go on.
    async fn take(&mut self, response: FetchResponse) -> Result<Option<End>, SubscribeError> {
        let (events, mut undecodable) = (response.events.len(), 0);
        let mut committed: Option<Timestamp> = None;
        for event in response.events {
            let ConsumerEvent { event, replay_id } = event;
            let replay_id = ReplayId(replay_id.to_vec());
            // One without content cannot be read, like any that cannot.
            let event = event.unwrap_or_default();
            let schema = match self.shared.schemas.get(&event.schema_id).await {
                Ok(schema) => Ok(schema),
                Err(NoSchema::Unusable(error)) => Err(error),
                Err(NoSchema::Login(error)) => return Ok(Some(End::Login(error))),
                Err(NoSchema::Failed(failed)) => match failed.fault.disposition() {
                    // The event says a schema that cannot be: it cannot be read, now or later.
                    Disposition::Refuse if failed.fault == Fault::SchemaInvalid => {
                        Err(SchemaError("the org does not know it"))
                    }
                    // Anything else may pass, or a person can mend it: the event waits at the org.
                    Disposition::Refuse
                    | Disposition::Retry
                    | Disposition::Renew
                    | Disposition::Reposition
                    | Disposition::WaitLong => return Ok(Some(End::Failed(failed))),
                },
            };
            let channel = self.subscription.channel();
            let decoded = match schema {
                Ok(schema) => decode::change(&schema, channel, replay_id.clone(), &event.id, &event.payload),
                Err(error) => Err(Undecodable::boxed(None, Reason::Schema(error))),
            };
            let arrivals: Vec<Arrival> = match decoded {
                Ok(change) => {
                    if let Happening::Record(record) = &change.happening {
                        let object = &record.header.entity_name;
                        self.shared.feed.surroundings.saw_schema(channel, object, &event.schema_id);
                    }
                    committed = change.committed().or(committed);
                    self.subscription.receive(change, self.shared.feed.org.server_time()).collect()
                }
                Err(unread) => {
                    tracing::error!(%channel, ?replay_id, reason = %unread.reason, "event not understood");
                    undecodable += 1;
                    self.subscription.unread(replay_id, &event.schema_id, &event.payload, *unread).collect()
                }
            };
            for arrival in arrivals {
                self.hand_over(arrival).await?;
            }
        }
        let server_time = self.shared.feed.org.server_time();
        let progress = self.subscription.answered(events, &response.latest_replay_id, committed, server_time);
        for arrival in progress.arrivals {
            self.hand_over(arrival).await?;
        }
        self.note(events, undecodable, progress.caught_up);
        Ok(None)
    }

    async fn hand_over(&self, arrival: Arrival) -> Result<(), SubscribeError> {
        // Also when a stop was asked for: one that was left out here would be passed over by the ids behind it.
        let sent = self.shared.feed.arrivals.send((self.subscription.channel().clone(), arrival));
        sent.await.map_err(|_| SubscribeError::JournalGone)
    }

    fn note(&mut self, events: usize, undecodable: u64, caught_up: bool) {
        self.limits.reset();
        self.refused.reset();
        let now = Timestamp::now();
        let channel = self.subscription.channel().clone();
        let mut moved = None;
        self.shared.feed.state.send_modify(|all| {
            let status = all.entry(channel.clone()).or_default();
            status.received += events as u64;
            status.undecodable += undecodable;
            status.last_frame = Some(now);
            if events > 0 {
                status.last_event = Some(now);
            }
            let state = match (&status.state, caught_up) {
                (_, true) | (State::Live, false) => State::Live,
                (_, false) => State::CatchingUp,
            };
            if status.state != state {
                moved = Some(state.clone());
                status.state = state;
            }
        });
        if let Some(state) = moved {
            tracing::info!(%channel, %state, "subscription");
        }
    }

    /// The org has taken the request; whether anything of the past comes is not known yet.
    fn opened(&self) {
        self.shared.feed.state.send_if_modified(|all| match all.get_mut(self.subscription.channel()) {
            Some(status) if status.state == State::Connecting => {
                status.state = State::CatchingUp;
                true
            }
            Some(_) | None => false,
        });
    }

    fn show(&self, state: State) {
        let channel: &Channel = self.subscription.channel();
        tracing::info!(%channel, %state, "subscription");
        self.shared.feed.state.send_modify(|all| all.entry(channel.clone()).or_default().state = state);
    }

    async fn pause(&mut self, delay: Duration, why: String) {
        self.show(State::Waiting { until: Timestamp::now().plus(delay), why });
        self.sleep(delay).await;
    }

    async fn sleep(&mut self, delay: Duration) {
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = self.shared.feed.cancel.cancelled() => {}
            Ok(()) = self.nudges.changed() => {}
        }
    }
}

async fn poll_opening(opening: &mut Option<Opening>) -> Result<Response<Streaming<FetchResponse>>, Status> {
    match opening {
        Some(opening) => opening.as_mut().await,
        None => std::future::pending().await,
    }
}

async fn next<R>(responses: &mut Option<R>) -> Result<Option<FetchResponse>, Status>
where
    R: Stream<Item = Result<FetchResponse, Status>> + Unpin,
{
    use futures_util::TryStreamExt;
    match responses {
        Some(responses) => responses.try_next().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
