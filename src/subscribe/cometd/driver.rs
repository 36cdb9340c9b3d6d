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

use super::decode::{DecodeError, Evidence};
use super::fault::Failure;
use super::message::{Incoming, Meta};
use super::session::{Event, Heard, Notice, Request, Session, Timings, Trouble};
use super::transport::{Answer, Frame, Line, Received, ServerClock, WebSocket};
use crate::event::{Arrival, Change, ChangeKind, Channel, Fields, Happening, RecordChange, Timestamp, Undecodable};
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
    line: Option<Line>,
    /// Channels of which it is not known whether they may start at the earliest event; and the answer on its way.
    questions: Vec<Channel>,
    answer: Option<Coming<(Channel, bool)>>,
    /// A WebSocket on its way.
    upgrade: Option<Coming<Result<WebSocket, Failure>>>,
    /// By the last answer with a date.
    clock: Option<ServerClock>,
    /// Silence was noticed, and no success since.
    stalled: bool,
    api_version: String,
    state: watch::Sender<Subscriptions>,
}

/// See `subscribe::run`.
pub async fn run<S: Surroundings>(feed: Feed<S>, channels: Vec<ChannelStart>) -> Result<(), SubscribeError> {
    let Feed { org, arrivals, state, cancel, nudges, surroundings, silence: _ } = feed;
    let api_version = org.config().api_version.clone();
    let session = Session::new(channels, Timings::default(), Instant::now());
    drive(OrgLogins { org, given: None }, api_version, session, surroundings, arrivals, state, nudges, cancel).await
}

/// Runs until cancelled, or until no retry can help.
#[allow(clippy::too_many_arguments)] // each of them once, from `Feed`
async fn drive(
    logins: impl Logins,
    api_version: String,
    session: Session,
    surroundings: impl Surroundings,
    arrivals: mpsc::Sender<(Channel, Arrival)>,
    state: watch::Sender<Subscriptions>,
    mut nudges: watch::Receiver<u64>,
    cancel: CancellationToken,
) -> Result<(), SubscribeError> {
    state.send_modify(|all| {
        for channel in session.channels() {
            all.entry(channel.clone()).or_default();
        }
    });
    let mut driver = Driver {
        session,
        logins: Some(logins),
        login: None,
        access: None,
        line: None,
        questions: Vec::new(),
        answer: None,
        upgrade: None,
        clock: None,
        stalled: false,
        api_version,
        state,
    };
    nudges.mark_unchanged();
    loop {
        driver.take_notices()?;
        if !driver.session.is_on() {
            (driver.line, driver.upgrade) = (None, None);
        }
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
        let Driver { session, login, line, upgrade, answer, .. } = &mut driver;
        tokio::select! {
            biased; // The order is policy: stop, hand over, listen, give up waiting.
            () = cancel.cancelled() => return driver.farewell().await,
            permit = arrivals.reserve(), if session.has_event() => {
                let permit = permit.map_err(|_| SubscribeError::JournalGone)?;
                if let Some(arrival) = driver.next_arrival() { permit.send(arrival) }
            }
            received = recv(line, !session.is_full()) => {
                tell_schemas(&received, &surroundings);
                driver.received(received);
            }
            opened = wait_for(upgrade) => driver.upgraded(opened),
            (channel, fits) = wait_for(answer) => {
                driver.answer = None;
                let now = Instant::now();
                let server_time = driver.server_time(now, now);
                driver.session.handle_fallback(&channel, fits, server_time, now);
            }
            (logins, result) = wait_for(login) => driver.take_login(logins, result)?,
            Ok(()) = nudges.changed() => driver.session.restart(Instant::now()),
            () = sleep_until_some(deadline) => driver.session.handle_timeout(Instant::now()),
        }
    }
}

fn tell_schemas(received: &Received, surroundings: &impl Surroundings) {
    let messages: &[Incoming] = match received {
        Received::Answer(Answer { result: Ok(answer), .. }) => &answer.messages,
        Received::Frame(frame) => &frame.messages,
        Received::Answer(Answer { result: Err(_), .. }) | Received::Progress | Received::Lost(_) => &[],
    };
    for incoming in messages {
        if let Incoming::Event(change, Some(schema)) = incoming
            && let Happening::Record(record) = &change.happening
        {
            surroundings.saw_schema(&change.channel, &record.header.entity_name, schema);
        }
    }
}

async fn recv(line: &mut Option<Line>, listens: bool) -> Received {
    match line {
        Some(line) => line.recv(listens).await,
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
    fn take_notices(&mut self) -> Result<(), SubscribeError> {
        while let Some(notice) = self.session.poll_notice() {
            match notice {
                Notice::NeedsToken => self.ask_for_login(),
                // Until something succeeds the silence is what matters.
                Notice::Connecting if self.stalled => {}
                Notice::Connecting => self.all(State::Connecting),
                Notice::Upgrade => self.open_websocket(),
                Notice::NeedsFallback(channel) => self.questions.push(channel),
                Notice::WebSocketGivenUp => {
                    tracing::warn!("the WebSocket that the server offers does not work: long-polling is used");
                    self.upgrade = None;
                    if let Some(line) = &mut self.line {
                        line.set_websocket(None);
                    }
                }
                Notice::Subscribed(channel) => {
                    self.stalled = false;
                    self.one(&channel, State::CatchingUp);
                }
                Notice::CaughtUp(channel) => self.one(&channel, State::Live),
                Notice::Stalled => {
                    tracing::warn!("the org is silent for longer than it may be: a new session is begun");
                    self.stalled = true;
                    self.all(State::Stalled);
                }
                Notice::Waiting { until, why } => {
                    tracing::warn!(error = %why, "subscriptions wait");
                    let until = wall_clock(until);
                    match why {
                        Trouble::Failed(_) | Trouble::Ended if self.stalled => {}
                        Trouble::Failed(_) | Trouble::Refused(_) | Trouble::Ended | Trouble::NoToken => {
                            self.stalled = false;
                            self.all(State::Waiting { until, why: why.to_string() });
                        }
                    }
                }
                Notice::ChannelWaits { channel, until, why } => {
                    tracing::warn!(%channel, error = %why, "the org does not take this subscription now");
                    self.one(&channel, State::Waiting { until: wall_clock(until), why: why.to_string() });
                }
                Notice::Refused { channel, why } => {
                    tracing::error!(%channel, error = %why, "the org refuses this channel; it is asked again");
                    self.one(&channel, State::Refused { why: why.to_string() });
                }
                Notice::Stop(fault) => return Err(SubscribeError::Stopped(fault)),
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
                let undecodable = undecodable(&channel, error);
                (channel, Arrival::Undecodable(undecodable))
            }
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
            (self.line, self.upgrade) = (None, None);
            let Some(access) = &self.access else { return Ok(()) };
            let line = Line::open(&access.instance_url, &self.api_version, access.token.clone())
                .map_err(|error| SubscribeError::Transport(error.without_url()))?;
            self.line = Some(line);
        }
        if let Some(line) = &mut self.line {
            line.send(request);
        }
        Ok(())
    }

    fn open_websocket(&mut self) {
        match &self.line {
            Some(line) => self.upgrade = Some(Box::pin(WebSocket::open(line.to_upgrade()))),
            None => self.session.handle_upgrade(false, Instant::now()),
        }
    }

    fn upgraded(&mut self, opened: Result<WebSocket, Failure>) {
        self.upgrade = None;
        let open = opened.is_ok();
        match (opened, &mut self.line) {
            (Ok(socket), Some(line)) => {
                tracing::info!("events come over a WebSocket");
                line.set_websocket(Some(socket));
            }
            (Ok(_), None) => {}
            (Err(error), _) => tracing::warn!(%error, "no WebSocket could be opened"),
        }
        self.session.handle_upgrade(open, Instant::now());
    }

    fn received(&mut self, received: Received) {
        let now = Instant::now();
        match received {
            Received::Progress => self.session.handle_progress(now),
            Received::Answer(answer) => {
                if answer.result.is_ok() {
                    self.frame();
                }
                self.answered(answer, now);
            }
            Received::Frame(Frame { messages, since }) => {
                self.frame();
                let server_time = self.server_time(since, now);
                self.session.handle_messages(messages, Heard { since, server_time }, now);
            }
            Received::Lost(failure) => {
                if let Some(line) = &mut self.line {
                    line.set_websocket(None);
                }
                self.session.handle_lost(failure, now);
            }
        }
    }

    /// At `since`, rather early than late.
    fn server_time(&self, since: Instant, now: Instant) -> Timestamp {
        let local = Timestamp::now();
        match self.clock {
            Some(clock) => clock.at(since, local, now),
            None => local.minus(now.saturating_duration_since(since)),
        }
    }

    /// The server lives.
    fn frame(&self) {
        let now = Timestamp::now();
        self.state.send_modify(|all| all.values_mut().for_each(|status| status.last_frame = Some(now)));
    }

    fn answered(&mut self, answer: Answer, now: Instant) {
        let failure = match answer.result {
            Ok(answer) => {
                let local = Timestamp::now();
                self.clock = answer.server_time.map(|server| ServerClock::new(server, local, now)).or(self.clock);
                let heard = Heard { since: now, server_time: answer.server_time.unwrap_or(local) };
                self.session.handle_messages(answer.messages, heard, now);
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
        if let (Some(request), Some(line)) = (self.session.close(), &mut self.line) {
            line.send(request);
            let heard = async {
                loop {
                    match line.recv(true).await {
                        Received::Progress => {}
                        Received::Frame(frame) if !frame.messages.iter().any(is_goodbye) => {}
                        Received::Answer(_) | Received::Frame(_) | Received::Lost(_) => return,
                    }
                }
            };
            // Whether it hears us or not: it forgets us by itself in the end.
            let _ = tokio::time::timeout(FAREWELL, heard).await;
        }
        Ok(())
    }
}

fn is_goodbye(incoming: &Incoming) -> bool {
    match incoming {
        Incoming::Reply(reply) => reply.meta == Meta::Disconnect,
        Incoming::Disconnected => true,
        Incoming::Event(..) | Incoming::Undecodable(_) | Incoming::Other => false,
    }
}

fn wall_clock(until: Instant) -> Timestamp {
    Timestamp::now().plus(until.saturating_duration_since(Instant::now()))
}

/// Where the header could be read it becomes a gap event of its records, so that they are read.
fn undecodable(channel: &Channel, error: DecodeError) -> Undecodable {
    let DecodeError { replay_id, reason, evidence, channel: _ } = error;
    let (header, schema_id, length, digest) = match evidence.map(|evidence| *evidence) {
        Some(Evidence { header, schema_id, length, digest }) => (header, schema_id, length, digest),
        None => (None, None, 0, String::new()),
    };
    let object = header.as_ref().map(|header| header.entity_name.clone()).or_else(|| channel.object());
    let change = header.zip(replay_id.clone()).map(|(mut header, replay_id)| {
        header.change_type = if header.change_type.is_delete() { ChangeKind::GapDelete } else { ChangeKind::GapUpdate };
        let happening = Happening::Record(RecordChange { header, fields: Fields::new() });
        Change { channel: channel.clone(), replay_id, happening }
    });
    Undecodable { replay_id, change, object, schema_id, length, digest, reason: reason.to_owned() }
}
