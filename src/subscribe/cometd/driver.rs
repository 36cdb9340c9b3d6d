//! The loop that owns a session's requests: sends what the session wants, hands over what it tells. It decides nothing.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::message::Incoming;
use super::session::{Kind, Request, Session, Told};
use super::transport::{LongPolling, TransportError};
use crate::event::{Change, Channel, Timestamp};
use crate::org::{Org, OrgError, Session as Login};
use crate::retry::Backoff;
use crate::status::Board;
use crate::subscribe::{Arrival, Arrived, ChannelStart};

/// How long saying good-bye may take.
const FAREWELL: Duration = Duration::from_secs(2);
/// Servers' `Date` has whole seconds, and clocks differ a little.
const CLOCK_MARGIN: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum SubscribeError {
    #[error("org {org} refuses the Streaming API: {why}. Check api_version in the config and the user's permissions")]
    Stopped { org: String, why: String },
    #[error("nobody journals any more")]
    JournalGone,
}

enum Done {
    /// A handshake, and the connections and cookies that it began.
    Opened {
        request: Request,
        opened: Result<(LongPolling, Result<Vec<Incoming>, TransportError>), String>,
    },
    Answer {
        request: Request,
        answer: Result<Vec<Incoming>, TransportError>,
    },
    Renewed(Result<Login, OrgError>),
}

/// Subscribes these channels of an org in one session, and hands over what arrives, until cancelled.
///
/// # Errors
/// When nothing can be subscribed to before a person has changed something, or nobody takes what arrives.
pub async fn run(
    org: Org,
    channels: Vec<ChannelStart>,
    arrivals: mpsc::Sender<Arrived>,
    board: Board,
    cancel: CancellationToken,
) -> Result<(), SubscribeError> {
    let skip_before: HashMap<Channel, Timestamp> =
        channels.iter().filter_map(|start| Some((start.channel.clone(), start.skip_before?))).collect();
    let session = Session::new(channels.into_iter().map(|start| (start.channel, start.from)), Instant::now());
    let mut driver = Driver {
        org,
        session,
        skip_before,
        board,
        transport: None,
        tasks: JoinSet::new(),
        logins: Backoff::new(Duration::from_secs(1), Duration::from_secs(60)),
        proofs: VecDeque::new(),
    };
    driver.run(arrivals, cancel).await
}

struct Driver {
    org: Org,
    session: Session,
    skip_before: HashMap<Channel, Timestamp>,
    board: Board,
    /// Of the session that lives now.
    transport: Option<LongPolling>,
    tasks: JoinSet<Done>,
    logins: Backoff,
    /// Proofs of life for the other channels, to be handed over before anything that came later.
    proofs: VecDeque<Arrived>,
}

impl Driver {
    async fn run(&mut self, arrivals: mpsc::Sender<Arrived>, cancel: CancellationToken) -> Result<(), SubscribeError> {
        self.show_all("connecting");
        loop {
            while let Some(request) = self.session.poll_transmit(Instant::now()) {
                self.send(request);
            }
            let deadline = self.session.poll_timeout();
            let wait = async {
                match deadline {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased; // the order is policy: stop, hand over, listen, wait
                () = cancel.cancelled() => break,
                // While nobody takes what waits here, the arms below go on, so the org does not drop a client that is
                // only busy; past its limit the session asks for no more.
                permit = arrivals.reserve(), if !self.proofs.is_empty() || self.session.has_told() => {
                    let permit = permit.map_err(|_| SubscribeError::JournalGone)?;
                    let arrived = match self.proofs.pop_front() {
                        Some(proof) => Some(proof),
                        None => match self.session.poll_told() {
                            Some(told) => self.told(told)?,
                            None => None,
                        },
                    };
                    if let Some(arrived) = arrived {
                        permit.send(arrived);
                    }
                }
                Some(done) = self.tasks.join_next() => match done {
                    Ok(done) => self.done(done),
                    // Only aborted tasks end so, and none is before the end.
                    Err(panicked) => error!(error = %panicked, "a request was lost"),
                },
                () = wait => {}
            }
        }
        self.say_farewell().await;
        Ok(())
    }

    /// The server frees the client's slot at once, instead of after its own time-out.
    async fn say_farewell(&mut self) {
        self.tasks.abort_all();
        if let (Some(transport), Some(body)) = (&self.transport, self.session.farewell()) {
            // It is a courtesy: nothing depends on it.
            let _ = timeout(FAREWELL, transport.send(&body, FAREWELL)).await;
        }
    }

    fn send(&mut self, request: Request) {
        match self.transport.clone().filter(|_| request.kind != Kind::Handshake) {
            Some(transport) => {
                self.tasks.spawn(async move {
                    let answer = transport.send(&request.body, request.timeout).await;
                    Done::Answer { request, answer }
                });
            }
            None => {
                let org = self.org.clone();
                self.tasks.spawn(async move {
                    let opened = open(&org, &request).await;
                    Done::Opened { request, opened }
                });
            }
        }
    }

    fn done(&mut self, done: Done) {
        let now = Instant::now();
        match done {
            Done::Opened { request, opened: Ok((transport, answer)) } => {
                self.transport = Some(transport);
                self.answer(&request, answer);
            }
            Done::Opened { request, opened: Err(why) } => {
                self.session.failed(request.epoch, &request.kind, now, &why);
            }
            Done::Answer { request, answer } => self.answer(&request, answer),
            Done::Renewed(Ok(_)) => {
                self.logins.reset();
                self.session.token_renewed(now);
            }
            Done::Renewed(Err(error)) => {
                let delay = self.logins.next_delay();
                warn!(org = %self.org.name(), %error, remedy = error.remedy(), ?delay, "no new token");
                self.show_all(&format!("waiting: {error}. {}", error.remedy()));
                let org = self.org.clone();
                self.tasks.spawn(async move {
                    tokio::time::sleep(delay).await;
                    Done::Renewed(org.session().await)
                });
            }
        }
    }

    fn answer(&mut self, request: &Request, answer: Result<Vec<Incoming>, TransportError>) {
        let now = Instant::now();
        match answer {
            Ok(messages) => self.session.answered(request.epoch, &request.kind, messages, now),
            Err(TransportError::Unauthorized) => self.session.token_refused(request.epoch),
            Err(error) => self.session.failed(request.epoch, &request.kind, now, &error.to_string()),
        }
    }

    /// What the session tells, as what the journal takes.
    fn told(&mut self, told: Told) -> Result<Option<Arrived>, SubscribeError> {
        let org = self.org.name();
        Ok(match told {
            Told::Change { channel, change } => {
                let arrival = match self.is_wanted(&channel, &change) {
                    true => Arrival::Change(*change),
                    false => Arrival::Passed { replay_id: change.replay_id, events: 1 },
                };
                Some((channel, arrival))
            }
            Told::Undecodable(undecodable) => {
                error!(%org, error = %undecodable, "an event was left out");
                if let Ok(channel) = undecodable.channel.parse() {
                    self.board.subscription(&channel, |shown| shown.undecodable += 1);
                }
                None
            }
            Told::Subscribed(channel) => {
                info!(%org, %channel, "subscribed");
                self.show(&channel, "catching up");
                None
            }
            Told::PositionRefused(channel) => {
                warn!(%org, %channel, "the org does not know the saved position any more; subscribing from the earliest event");
                Some((channel, Arrival::Refused { at: self.org.server_time() }))
            }
            Told::ChannelRefused { channel, why } => {
                error!(%org, %channel, why, "refused; trying again in a minute");
                self.show(&channel, &format!("refused: {why}"));
                None
            }
            // One for each channel; the last is handed over by the caller, the others wait behind it.
            Told::Live => return Ok(self.live()),
            Told::TokenRefused => {
                info!(%org, "the token was refused; renewing it");
                self.show_all("waiting for a new token");
                let stale = self.transport.as_ref().map(|transport| transport.login().clone());
                let org = self.org.clone();
                self.tasks.spawn(async move {
                    Done::Renewed(match stale {
                        Some(stale) => org.renew(&stale).await,
                        None => org.session().await,
                    })
                });
                None
            }
            Told::Waiting { until, why } => {
                let delay = until.saturating_duration_since(Instant::now());
                debug!(%org, why, ?delay, "a new session");
                self.show_all(&format!("connecting again: {why}"));
                None
            }
            Told::Stopped { why } => return Err(SubscribeError::Stopped { org: org.to_string(), why }),
        })
    }

    /// Proof that nothing was missing until now, for each channel in turn.
    fn live(&mut self) -> Option<Arrived> {
        let until = self.org.server_time().minus(CLOCK_MARGIN);
        let mut channels: Vec<Channel> = self.session.channels().cloned().collect();
        for channel in &channels {
            self.show(channel, "live");
        }
        let last = channels.pop()?;
        self.proofs.extend(channels.into_iter().map(|channel| (channel, Arrival::Live { until })));
        Some((last, Arrival::Live { until }))
    }

    fn is_wanted(&self, channel: &Channel, change: &Change) -> bool {
        match (self.skip_before.get(channel), change.committed()) {
            (Some(start), Some(committed)) => committed >= *start,
            _ => true,
        }
    }

    fn show(&self, channel: &Channel, state: &str) {
        self.board.subscription(channel, |shown| state.clone_into(&mut shown.state));
    }

    fn show_all(&self, state: &str) {
        self.session.channels().for_each(|channel| self.show(channel, state));
    }
}

/// A handshake begins with whoever is logged in now, and with no cookies.
async fn open(org: &Org, request: &Request) -> Result<(LongPolling, Result<Vec<Incoming>, TransportError>), String> {
    let login = org.session().await.map_err(|error| format!("{error}. {}", error.remedy()))?;
    let transport = LongPolling::new(org, login).map_err(|error| error.to_string())?;
    let answer = transport.send(&request.body, request.timeout).await;
    Ok((transport, answer))
}
