//! What the endpoints of one org share: its state, its clock, its counters, and its running tasks.

mod counters;
mod streams;

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::bulk;
use super::cometd::Sessions;
use super::faults::{Faults, Target, Writes};
use super::oauth::{AppSpec, Login, Tokens};
use super::org::{Org, StreamForms};
use super::rest::{Cursors, Usage};
use super::scenario::{HOURLY_EVENTS, LimitsSpec, Scenario, ScenarioError};
use super::server::{Connections, Cut};
use super::traffic::TrafficState;
use super::wire::Call;
pub use counters::Counters;
pub use streams::{OpenStream, StreamStates};

/// Clients of the Streaming API that the larger editions may have at once (streaming-cometd.md section 18).
const CLIENTS: u64 = 2_000;

/// Behaviour that the facts leave open (`UNSURE`), or that some clients cannot live with.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Switches {
    /// CometD requests must bring their session's cookies.
    pub check_cookies: bool,
    /// `Sforce-Call-Options: client=` is honoured on collections.
    pub client_on_collections: bool,
    /// An unknown field or a wrong JSON type in one record of a collection fails the whole request.
    pub malformed_fails_request: bool,
    /// So long a write takes, and its records stay locked; 0: no time at all.
    pub transaction_ms: u64,
    /// A call of an action whose inputs all failed is answered with 400.
    pub failed_actions_are_400: bool,
    /// `deleted` refuses a start before its `earliestDateAvailable` (rest.md section 10).
    pub early_start_fails: bool,
    /// An update that sends the parent of a master-detail as it is already is refused as if it moved the record
    /// (rest.md section 5).
    pub unchanged_master_refused: bool,
    /// External ids that differ only in case are one and the same within a request, unless their field tells case
    /// apart (rest.md section 6).
    pub doubles_ignore_case: bool,
    /// A value of an upload with a line break of the other kind than the job's fails the job (bulk2.md section 2).
    pub line_breaks_fail_job: bool,
    /// Rows of a page of an ingest job's results; 0: all in one answer (bulk2.md section 3).
    pub bulk_result_rows: usize,
    /// Roll-ups travel in change events (streaming-cometd.md section 13: the documents contradict each other).
    pub roll_ups_in_events: bool,
    /// Fields that are hidden from a subscriber are left out of change events (section 11: a statement of 2019).
    pub field_security_in_events: bool,
    /// An update comes as two events, one with its stamps and one with its fields (section 15, seen live).
    pub split_updates: bool,
    /// Change events of the Streaming API have an `EventUuid` (section 12).
    pub uuid_in_changes: bool,
    /// Gap events of the Streaming API have an empty `changedFields` (section 12).
    pub changed_fields_in_gaps: bool,
    /// Empty fields of platform events are there in the Streaming API, as null (section 17).
    pub nulls_in_events: bool,
    /// The Streaming API takes WebSockets, which the platform never does (section 9).
    pub websocket: bool,
    /// Changes of one transaction behind so many are told as an overflow only.
    pub overflow_after: u64,
    /// Pub/Sub API: silence after which a stream gets a response without events (streaming-pubsub.md section 4).
    pub pubsub_keepalive_ms: u64,
    /// How long a subscription may ask for nothing.
    pub pubsub_idle_ms: u64,
    /// The end of such a subscription is an error; otherwise it just ends.
    pub pubsub_idle_is_error: bool,
    /// How long a publish stream may publish nothing (section 11: the documents contradict each other).
    pub pubsub_publish_idle_ms: u64,
    /// Response headers of streams go out at once, and not with the first message.
    pub pubsub_headers_at_once: bool,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            check_cookies: true,
            client_on_collections: true,
            malformed_fails_request: true,
            transaction_ms: 0,
            failed_actions_are_400: true,
            early_start_fails: true,
            unchanged_master_refused: true,
            doubles_ignore_case: true,
            line_breaks_fail_job: true,
            bulk_result_rows: 0,
            roll_ups_in_events: true,
            field_security_in_events: true,
            split_updates: false,
            uuid_in_changes: false,
            changed_fields_in_gaps: true,
            nulls_in_events: true,
            websocket: false,
            overflow_after: super::org::OVERFLOW,
            pubsub_keepalive_ms: 270_000,
            pubsub_idle_ms: 60_000,
            pubsub_idle_is_error: false,
            pubsub_publish_idle_ms: 70_000,
            pubsub_headers_at_once: false,
        }
    }
}

impl Switches {
    pub fn stream_forms(&self) -> StreamForms {
        StreamForms {
            uuid_in_changes: self.uuid_in_changes,
            changed_fields_in_gaps: self.changed_fields_in_gaps,
            nulls_in_events: self.nulls_in_events,
        }
    }
}

/// One org that runs.
pub struct Host {
    pub name: String,
    pub connect_hold: Duration,
    pub connections: Arc<Connections>,
    org: Mutex<Org>,
    login: Mutex<Login>,
    tokens: Mutex<Tokens>,
    /// The org's own port, and that of the login host.
    ports: OnceLock<(u16, Option<u16>)>,
    sessions: Mutex<Sessions>,
    faults: Mutex<Faults>,
    switches: Mutex<Switches>,
    counters: Mutex<Counters>,
    cursors: Mutex<Cursors>,
    bulk: Mutex<bulk::Store>,
    usage: Mutex<Usage>,
    deliveries: Mutex<Usage>,
    limits: Mutex<LimitsSpec>,
    stream_states: Mutex<StreamStates>,
    pubsub_streams: AtomicU64,
    traffic: Mutex<TrafficState>,
    /// Microseconds by which the org's time is ahead of the machine's.
    ahead: AtomicI64,
    /// Microseconds by which the org's clock is wrong on top of it.
    skew: AtomicI64,
    changed: watch::Sender<u64>,
    stop: CancellationToken,
    tasks: Mutex<JoinSet<()>>,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("name", &self.name).finish_non_exhaustive()
    }
}

/// State behind a lock stays usable after a panic elsewhere: every change to it is complete in itself.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Host {
    /// # Errors
    /// What is wrong with the scenario.
    pub fn new(
        name: &str,
        scenario: &Scenario,
        seed: u64,
        connect_hold: Duration,
        bus_delay: RangeInclusive<Duration>,
    ) -> Result<Self, ScenarioError> {
        let mut rng =
            fastrand::Rng::with_seed(name.bytes().fold(seed, |hash, byte| {
                hash.wrapping_mul(0x0100_0000_01b3).wrapping_add(u64::from(byte)).rotate_left(7)
            }));
        // The usual app, drawn as every other one would be in its place.
        let login = scenario.login(name, rng.u64(..))?;
        let org = scenario.org(name, rng.u64(..), bus_delay, machine_time())?;
        // Tokens and sessions of an earlier run are unknown to this one, so they do not come from the seed alone.
        let started = machine_time().unsigned_abs();
        let fresh = |rng: &mut fastrand::Rng| fastrand::Rng::with_seed(rng.u64(..) ^ started);
        Ok(Self {
            name: name.to_owned(),
            connect_hold,
            connections: Arc::default(),
            login: Mutex::new(login),
            ports: OnceLock::new(),
            tokens: Mutex::new(Tokens::new(fresh(&mut rng))),
            sessions: Mutex::new(Sessions::new(fresh(&mut rng))),
            faults: Mutex::new(Faults::new(rng.fork(), scenario.faults(name)?)),
            bulk: Mutex::new(bulk::Store::new(rng.fork())),
            org: Mutex::new(org),
            switches: Mutex::default(),
            counters: Mutex::default(),
            cursors: Mutex::default(),
            usage: Mutex::new(Usage::new(scenario.limits().daily_api_requests)),
            deliveries: Mutex::new(Usage::new(scenario.limits().daily_delivered_events)),
            limits: Mutex::new(scenario.limits().clone()),
            stream_states: Mutex::default(),
            pubsub_streams: AtomicU64::new(0),
            traffic: Mutex::default(),
            ahead: AtomicI64::new(0),
            skew: AtomicI64::new(0),
            changed: watch::Sender::new(0),
            stop: CancellationToken::new(),
            tasks: Mutex::new(JoinSet::new()),
        })
    }

    /// The org's time in microseconds since 1970.
    pub fn now(&self) -> i64 {
        machine_time()
            .saturating_add(self.ahead.load(Ordering::SeqCst))
            .saturating_add(self.skew.load(Ordering::SeqCst))
    }

    pub fn advance(&self, by: i64) {
        self.ahead.fetch_add(by, Ordering::SeqCst);
        self.notify();
    }

    /// From now on the org's clock is wrong by so many microseconds; negative: it is behind.
    pub fn set_skew(&self, by: i64) {
        self.skew.store(by, Ordering::SeqCst);
        self.notify();
    }

    pub fn skew(&self) -> i64 {
        self.skew.load(Ordering::SeqCst)
    }

    pub fn org(&self) -> MutexGuard<'_, Org> {
        locked(&self.org)
    }

    pub fn login(&self) -> MutexGuard<'_, Login> {
        locked(&self.login)
    }

    /// Replaces the apps; what was given to apps that are gone ends.
    ///
    /// # Errors
    /// What is wrong with a description; then nothing has changed.
    pub fn set_apps(&self, apps: Vec<AppSpec>) -> Result<(), String> {
        let gone = self.login().set_apps(apps)?;
        for key in gone {
            self.tokens().end_app(&key);
        }
        self.notify();
        Ok(())
    }

    /// Says where the org listens, and where the login host does.
    pub fn listens_on(&self, port: u16, login_port: Option<u16>) {
        self.ports.get_or_init(|| (port, login_port));
    }

    pub fn port(&self) -> Option<u16> {
        self.ports.get().map(|(port, _)| *port)
    }

    pub fn login_port(&self) -> Option<u16> {
        self.ports.get().and_then(|(_, login)| *login)
    }

    pub fn tokens(&self) -> MutexGuard<'_, Tokens> {
        locked(&self.tokens)
    }

    pub fn sessions(&self) -> MutexGuard<'_, Sessions> {
        locked(&self.sessions)
    }

    pub fn faults(&self) -> MutexGuard<'_, Faults> {
        locked(&self.faults)
    }

    /// Lets single records of a write fail, by command. See [`Faults::strike_records`].
    pub fn strike_records(&self, call: &Call, writes: Writes) -> (Writes, Vec<bool>) {
        let mut faults = self.faults();
        if faults.is_empty() { (writes, Vec::new()) } else { faults.strike_records(&Target::of(call), writes) }
    }

    pub fn switches(&self) -> MutexGuard<'_, Switches> {
        locked(&self.switches)
    }

    pub fn counters(&self) -> MutexGuard<'_, Counters> {
        locked(&self.counters)
    }

    pub fn cursors(&self) -> MutexGuard<'_, Cursors> {
        locked(&self.cursors)
    }

    /// The jobs of the Bulk API. Nobody asks for the org while holding them.
    pub fn bulk(&self) -> MutexGuard<'_, bulk::Store> {
        locked(&self.bulk)
    }

    /// The calls of the last 24 hours.
    pub fn usage(&self) -> MutexGuard<'_, Usage> {
        locked(&self.usage)
    }

    /// The events of the last 24 hours that went out.
    pub fn deliveries(&self) -> MutexGuard<'_, Usage> {
        locked(&self.deliveries)
    }

    /// How much the org may be asked for; what is not said there is the platform's.
    pub fn limits(&self) -> MutexGuard<'_, LimitsSpec> {
        locked(&self.limits)
    }

    /// # Errors
    /// What is wrong with the JSON; then nothing has changed.
    pub fn set_limits(&self, changes: serde_json::Value) -> Result<(), String> {
        let limits = merged(&*self.limits(), changes)?;
        self.usage().daily = Usage::new(limits.daily_api_requests).daily;
        self.org().hourly_events = limits.hourly_published_events.unwrap_or(HOURLY_EVENTS);
        *self.limits() = limits;
        self.notify();
        Ok(())
    }

    /// Whether a limit of deliveries was set and is used up; without one there is no end.
    pub fn delivery_spent(&self) -> bool {
        let limit = self.limits().daily_delivered_events;
        limit.is_some_and(|limit| self.deliveries().used(self.now()) >= limit)
    }

    /// So many clients may be connected at once.
    pub fn client_limit(&self) -> u64 {
        self.limits().concurrent_clients.unwrap_or(CLIENTS)
    }

    pub fn stream_states(&self) -> MutexGuard<'_, StreamStates> {
        locked(&self.stream_states)
    }

    /// Ends every connection but one, and lets nobody in for so long; the sessions of the Streaming API are gone.
    /// Records, tokens and events stay.
    pub fn restart(&self, down: Duration, except: &Cut) {
        self.connections.stay_down(down);
        self.sessions().drop_all();
        self.connections.cut_all(except);
        self.notify();
    }

    /// Copies the org anew, as a sandbox is: its id is another one, and everything that was given out ends, replay
    /// ids as well (oauth.md section 1). Records stay.
    pub fn refresh(&self) {
        {
            let mut org = self.org();
            org.change_id(self.now());
            org.bus.migrate();
            org.pushed.forget();
        }
        self.tokens().end_all();
        self.sessions().drop_all();
        self.notify();
    }

    /// Moves the org to another instance: no replay id is good any more, and nobody is connected.
    pub fn migrate(&self) {
        {
            let mut org = self.org();
            org.bus.migrate();
            org.pushed.forget();
        }
        self.sessions().drop_all();
        self.notify();
    }

    pub fn traffic(&self) -> MutexGuard<'_, TrafficState> {
        locked(&self.traffic)
    }

    /// Wakes whoever waits for events, for the release of held requests, or for the end of its session.
    pub fn notify(&self) {
        self.changed.send_modify(|n| *n += 1);
    }

    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub fn stopped(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Runs work that goes on when its client has left; it ends with the host.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        let mut tasks = locked(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            tokio::select! { () = stop.cancelled() => {} () = work => {} }
        });
    }

    /// Runs the flows of the org when they are due, until the host is stopped.
    pub fn keep_flows_running(self: &Arc<Self>) {
        let host = self.clone();
        self.spawn(async move {
            let mut changes = host.changes();
            loop {
                changes.borrow_and_update();
                let (ran, next) = {
                    let mut org = host.org();
                    (org.run_flows(host.now()), org.next_flow())
                };
                if ran > 0 {
                    host.notify();
                }
                let wait = next.map(|due| u64::try_from(due - host.now()).unwrap_or_default());
                tokio::select! {
                    changed = changes.changed() => if changed.is_err() { return },
                    () = tokio::time::sleep(Duration::from_micros(wait.unwrap_or_default())), if wait.is_some() => {}
                }
            }
        });
    }
}

/// A value with some of its keys set anew.
///
/// # Errors
/// A key that is unknown, or a value that does not fit.
pub fn merged<T: Serialize + DeserializeOwned>(value: &T, changes: serde_json::Value) -> Result<T, String> {
    let serde_json::Value::Object(changes) = changes else { return Err("expected a JSON object".into()) };
    let mut all = serde_json::to_value(value).map_err(|error| error.to_string())?;
    for (key, change) in changes {
        if let Some(all) = all.as_object_mut() {
            all.insert(key.clone(), change);
        }
        // One by one, so that the mistake has its key.
        T::deserialize(&all).map_err(|error| format!("{key}: {error}"))?;
    }
    serde_json::from_value(all).map_err(|error| error.to_string())
}

pub fn machine_time() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Random letters and digits.
pub fn text(rng: &mut fastrand::Rng, length: usize) -> String {
    (0..length).map(|_| rng.alphanumeric()).collect()
}

/// A form body.
pub fn form(body: &[u8]) -> HashMap<String, String> {
    url::form_urlencoded::parse(body).into_owned().collect()
}
