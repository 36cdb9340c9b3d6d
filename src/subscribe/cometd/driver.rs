//! The loop that owns a session and its transport. It decides nothing: what to send and when says the session.

#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::fault::Failure;
use super::message::Meta;
use super::session::{Event, Request, Session, Trouble};
use super::transport::{Answer, Line, LongPolling, Received, WebSocket};
use crate::event::{Arrival, Channel, Timestamp, Undecodable};
use crate::org::{self, Org, OrgError};
use crate::subscribe::{ChannelStart, Feed, State, SubscribeError, Subscriptions, Surroundings};

/// How long a stop waits for the server to take note.
const FAREWELL: Duration = Duration::from_secs(2);

/// What a request needs of a login.
#[derive(Clone)]
struct Access {
    pub instance_url: Url,
    pub token: SecretString,
    pub org_id: String,
}

/// Where tokens come from.
trait Logins: Send + 'static {
    /// The first one, and then each time one newer than the one given before.
    fn next(&mut self) -> impl Future<Output = Result<Access, OrgError>> + Send;
}

/// The org's one token, shared with all others who use the org.
struct OrgLogins {
    org: Org,
    given: Option<org::Session>,
}

impl Logins for OrgLogins {
    async fn next(&mut self) -> Result<Access, OrgError> {
        let session = match &self.given {
            None => self.org.session().await?,
            Some(stale) => self.org.renew(stale).await?,
        };
        let access = Access {
            instance_url: session.instance_url.clone(),
            token: session.token.clone(),
            org_id: session.org_id.clone(),
        };
        self.given = Some(session);
        Ok(access)
    }
}

/// Something on its way.
type Coming<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Login<L> = Coming<(L, Result<Access, OrgError>)>;

struct Driver<L> {
    session: Session,
    logins: Option<L>,
    /// A login on its way; it owns `logins` meanwhile.
    login: Option<Login<L>>,
    access: Option<Access>,
    transport: Option<Line>,
    /// Channels of which it is not known whether they may start at the earliest event; and the answer on its way.
    questions: Vec<Channel>,
    answer: Option<Coming<(Channel, bool)>>,
    /// A WebSocket on its way.
    upgrade: Option<Coming<Result<WebSocket, Failure>>>,
    /// How far the server's clock is ahead of ours, by its last answer.
    ahead_millis: i64,
    api_version: String,
    state: watch::Sender<Subscriptions>,
}

/// See `subscribe::run`.
pub async fn run<S: Surroundings>(feed: Feed<S>, channels: Vec<ChannelStart>) -> Result<(), SubscribeError> {
    let Feed { org, arrivals, state, cancel, nudges, surroundings, silence: _ } = feed;
    let api_version = org.config().api_version.clone();
    drive(OrgLogins { org, given: None }, api_version, channels, surroundings, arrivals, state, nudges, cancel).await
}

/// Runs until cancelled, or until no retry can help.
#[allow(clippy::too_many_arguments)] // each of them once, from `Feed`
async fn drive(
    logins: impl Logins,
    api_version: String,
    channels: Vec<ChannelStart>,
    surroundings: impl Surroundings,
    arrivals: mpsc::Sender<(Channel, Arrival)>,
    state: watch::Sender<Subscriptions>,
    mut nudges: watch::Receiver<u64>,
    cancel: CancellationToken,
) -> Result<(), SubscribeError> {
    state.send_modify(|all| {
        for start in &channels {
            all.entry(start.channel.clone()).or_default();
        }
    });
    let session = Session::new(channels, Instant::now());
    let mut driver = Driver {
        session,
        logins: Some(logins),
        login: None,
        access: None,
        transport: None,
        questions: Vec::new(),
        answer: None,
        upgrade: None,
        ahead_millis: 0,
        api_version,
        state,
    };
    nudges.mark_unchanged();
    loop {
        driver.take_notice()?;
        while let Some(request) = driver.session.poll_transmit() {
            driver.transmit(request)?;
        }
        if driver.answer.is_none()
            && let Some(channel) = driver.questions.pop()
        {
            let surroundings = surroundings.clone();
            driver.answer = Some(Box::pin(async move {
                let fits = surroundings.earliest_fits(&channel).await;
                (channel, fits)
            }));
        }
        let deadline = driver.session.poll_timeout();
        let Driver { session, login, transport, upgrade, answer, .. } = &mut driver;
        // What a long poll brings was asked for; a WebSocket is read only while there is room.
        let listens = !session.is_full() || matches!(transport, Some(Line::LongPolling(_)));
        tokio::select! {
            biased; // The order is policy: stop, hand over, listen, give up waiting.
            () = cancel.cancelled() => return driver.farewell().await,
            permit = arrivals.reserve(), if session.peek_event().is_some() => {
                let permit = permit.map_err(|_| SubscribeError::JournalGone)?;
                if let Some(arrival) = driver.next_arrival() { permit.send(arrival) }
            }
            received = recv(transport), if listens => driver.received(received),
            opened = wait_for(upgrade) => driver.upgraded(opened),
            (channel, fits) = wait_for(answer) => {
                driver.answer = None;
                let server_time = driver.server_time();
                driver.session.handle_fallback(&channel, fits, server_time, Instant::now());
            }
            (logins, result) = wait_for(login) => driver.take_login(logins, result)?,
            Ok(()) = nudges.changed() => driver.session.restart(Instant::now()),
            () = sleep_until_some(deadline) => driver.session.handle_timeout(Instant::now()),
        }
    }
}

async fn recv(transport: &mut Option<Line>) -> Received {
    match transport {
        Some(transport) => transport.recv().await,
        None => std::future::pending().await,
    }
}

/// Pending for ever where nothing is on its way.
async fn wait_for<T>(coming: &mut Option<Coming<T>>) -> T {
    match coming {
        Some(coming) => coming.as_mut().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until_some(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

impl<L: Logins> Driver<L> {
    /// Takes all events up to the next one that has to be handed over.
    fn take_notice(&mut self) -> Result<(), SubscribeError> {
        while let Some(event) = self.session.peek_event() {
            if matches!(
                event,
                Event::Change(_)
                    | Event::Undecodable(_)
                    | Event::Passed { .. }
                    | Event::Live { .. }
                    | Event::PositionRefused { .. }
                    | Event::Skipped { .. }
            ) {
                return Ok(());
            }
            match self.session.poll_event() {
                Some(Event::NeedsToken) => self.ask_for_login(),
                Some(Event::Connecting) => self.all(State::Connecting),
                Some(Event::Upgrade) => self.open_websocket(),
                Some(Event::NeedsFallback(channel)) => self.questions.push(channel),
                Some(Event::Waiting { until, why }) => {
                    tracing::warn!(error = %why, "subscriptions wait");
                    let until = Timestamp::now().plus(until.saturating_duration_since(Instant::now()));
                    self.all(match why {
                        // The server was silent for longer than it may be.
                        Trouble::Failed(Failure::TimedOut) => State::Stalled,
                        Trouble::Failed(_) | Trouble::Refused(_) | Trouble::Ended | Trouble::NoToken => {
                            State::Waiting { until, why: why.to_string() }
                        }
                    });
                }
                Some(Event::Subscribed(channel)) => self.one(&channel, State::CatchingUp),
                Some(Event::CaughtUp(channel)) => self.one(&channel, State::Live),
                Some(Event::Refused { channel, why }) => {
                    tracing::error!(%channel, error = %why, "the org refuses this channel; it is asked again");
                    self.one(&channel, State::Refused { why: why.to_string() });
                }
                Some(Event::Stop(fault)) => return Err(SubscribeError::Stopped(fault)),
                Some(
                    Event::Change(_)
                    | Event::Undecodable(_)
                    | Event::Passed { .. }
                    | Event::Live { .. }
                    | Event::PositionRefused { .. }
                    | Event::Skipped { .. },
                )
                | None => {}
            }
        }
        Ok(())
    }

    fn next_arrival(&mut self) -> Option<(Channel, Arrival)> {
        let (channel, arrival) = match self.session.poll_event()? {
            Event::Change(change) => (change.channel.clone(), Arrival::Change(*change)),
            Event::Passed { channel, replay_id, events } => (channel, Arrival::Passed { replay_id, events }),
            Event::Live { channel, until } => (channel, Arrival::Live { until }),
            Event::PositionRefused { channel, at } => {
                tracing::warn!(%channel, "the org refused the saved position: all that it keeps is read again");
                (channel, Arrival::Refused { at })
            }
            Event::Skipped { channel, at } => {
                tracing::warn!(%channel, "the day's deliveries do not allow to start at the earliest event");
                (channel, Arrival::Skipped { at })
            }
            Event::Undecodable(error) => {
                tracing::error!(channel = %error.channel, replay_id = ?error.replay_id, %error, "event not understood");
                // The channel came from outside; only one of ours has a journal.
                let channel: Channel = error.channel.parse().ok()?;
                let known = self.state.send_if_modified(|all| match all.get_mut(&channel) {
                    Some(status) => {
                        status.undecodable += 1;
                        true
                    }
                    None => false,
                });
                if !known {
                    return None;
                }
                let undecodable = Undecodable {
                    replay_id: error.replay_id,
                    change: None,
                    object: channel.object(),
                    schema_id: None,
                    length: 0,
                    digest: String::new(),
                    reason: error.reason.to_owned(),
                };
                (channel, Arrival::Undecodable(undecodable))
            }
            // `take_notice` has taken all of these.
            Event::CaughtUp(_)
            | Event::Subscribed(_)
            | Event::Refused { .. }
            | Event::NeedsToken
            | Event::Connecting
            | Event::Upgrade
            | Event::NeedsFallback(_)
            | Event::Waiting { .. }
            | Event::Stop(_) => return None,
        };
        let received = match &arrival {
            Arrival::Change(_) | Arrival::Undecodable { .. } => 1,
            Arrival::Passed { events, .. } => *events,
            Arrival::Live { .. }
            | Arrival::Refused { .. }
            | Arrival::Skipped { .. }
            | Arrival::Found { .. }
            | Arrival::Window(_)
            | Arrival::Probed { .. } => 0,
        };
        if received > 0 {
            self.state.send_modify(|all| {
                let status = all.entry(channel.clone()).or_default();
                status.received += received;
                status.last_event = Some(Timestamp::now());
            });
        }
        Some((channel, arrival))
    }

    fn transmit(&mut self, request: Request) -> Result<(), SubscribeError> {
        if request.meta == Meta::Handshake {
            // Fresh cookies for each session, and nothing of the last one in flight.
            (self.transport, self.upgrade) = (None, None);
            let Some(access) = &self.access else { return Ok(()) };
            let transport = LongPolling::open(&access.instance_url, &self.api_version, access.token.clone())
                .map_err(|error| SubscribeError::Transport(error.without_url()))?;
            self.transport = Some(Line::LongPolling(transport));
        }
        if let Some(transport) = &mut self.transport {
            transport.send(request);
        }
        Ok(())
    }

    fn open_websocket(&mut self) {
        match &self.transport {
            Some(Line::LongPolling(line)) => {
                let upgrade = line.to_upgrade();
                self.upgrade = Some(Box::pin(WebSocket::open(upgrade)));
            }
            Some(Line::WebSocket(_)) | None => self.session.handle_upgrade(false, Instant::now()),
        }
    }

    fn upgraded(&mut self, opened: Result<WebSocket, Failure>) {
        self.upgrade = None;
        let open = match opened {
            Ok(socket) => {
                tracing::info!("events come over a WebSocket");
                self.transport = Some(Line::WebSocket(Box::new(socket)));
                true
            }
            Err(error) => {
                tracing::warn!(%error, "the WebSocket that the server offers could not be opened: long-polling is used");
                false
            }
        };
        self.session.handle_upgrade(open, Instant::now());
    }

    fn received(&mut self, received: Received) {
        match received {
            Received::Answer(answer) => {
                if answer.result.is_ok() {
                    self.frame();
                }
                self.answered(answer);
            }
            Received::Frame(messages) => {
                self.frame();
                let server_time = self.server_time();
                self.session.handle_messages(messages, server_time, Instant::now());
            }
            Received::Lost(failure) => {
                self.transport = None;
                self.session.handle_lost(failure, Instant::now());
            }
        }
    }

    fn server_time(&self) -> Timestamp {
        Timestamp(Timestamp::now().0.saturating_add(self.ahead_millis))
    }

    /// The server lives.
    fn frame(&self) {
        let now = Timestamp::now();
        self.state.send_modify(|all| all.values_mut().for_each(|status| status.last_frame = Some(now)));
    }

    fn answered(&mut self, answer: Answer) {
        let now = Instant::now();
        let failure = match answer.result {
            Ok(answer) => {
                let local = Timestamp::now();
                let server_time = answer.server_time.unwrap_or(local);
                self.ahead_millis = server_time.0.saturating_sub(local.0);
                self.session.handle_messages(answer.messages, server_time, now);
                Failure::NoReply
            }
            Err(failure) => failure,
        };
        // An answer is over when it has come: what it did not speak of will not be answered.
        self.session.handle_failure(&answer.id, failure, now);
    }

    fn ask_for_login(&mut self) {
        if let Some(mut logins) = self.logins.take() {
            self.login = Some(Box::pin(async move {
                let result = logins.next().await;
                (logins, result)
            }));
        }
    }

    fn take_login(&mut self, logins: L, result: Result<Access, OrgError>) -> Result<(), SubscribeError> {
        self.login = None;
        self.logins = Some(logins);
        match result {
            Ok(access) => {
                if self.access.as_ref().is_some_and(|before| before.org_id != access.org_id) {
                    return Err(SubscribeError::OtherOrg);
                }
                self.access = Some(access);
                self.session.handle_token(Instant::now());
            }
            Err(error) => {
                tracing::error!(%error, "login failed; it is tried again");
                self.session.handle_no_token(Instant::now());
            }
        }
        Ok(())
    }

    fn all(&self, state: State) {
        self.state.send_modify(|all| all.values_mut().for_each(|status| status.state = state.clone()));
    }

    fn one(&self, channel: &Channel, state: State) {
        tracing::info!(%channel, %state, "subscription");
        self.state.send_modify(|all| all.entry(channel.clone()).or_default().state = state);
    }

    /// Tells the server, so that the org's client slot is free at once. What was not handed over comes again.
    async fn farewell(mut self) -> Result<(), SubscribeError> {
        if let (Some(request), Some(transport)) = (self.session.close(), &mut self.transport) {
            transport.send(request);
            // Whether it hears us or not: it forgets us by itself in the end.
            let _ = tokio::time::timeout(FAREWELL, transport.recv()).await;
        }
        Ok(())
    }
}
