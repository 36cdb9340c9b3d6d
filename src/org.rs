//! One org as the bridge sees it: who is logged in, and the REST calls that the bridge makes.
//!
//! `auth` logs in, `http` makes one request, `rest` knows the calls, `bulk` those for jobs, and `soap` the one that REST lacks; `error`, `login_error` and `save` say what an
//! answer means and are pure, and so does `describe` of objects and fields.

mod auth;
mod bulk;
mod clock;
mod code;
pub mod describe;
mod error;
mod http;
mod login_error;
mod rest;
mod save;
mod single;
mod soap;
pub mod soql;
#[cfg(test)]
pub(crate) mod testing;
mod usage;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, HeaderValue};
use secrecy::SecretString;
use tokio::sync::watch;
use tokio::time::Instant;
use url::Url;

pub(crate) use self::auth::may_see_secrets;
pub use self::bulk::{
    Cells, InvalidJobId, JobId, JobKind, JobState, JobTrouble, NewJob, ResultRow, ResultSet, RunningJob,
};
pub(crate) use self::clock::read_retry_after;
pub use self::code::{Code, OrgText};
pub use self::error::{CallError, Disposition, Limit, Lost, remedy_of};
pub use self::login_error::{LoginRefusal, OrgError};
pub use self::rest::{
    ActionKind, ApexAnswer, COLLECTION_MAX, Capture, CapturedChannel, Changed, Changes, DELETIONS_KEPT, Deleted,
    Enqueued, FREE_ENTITIES, Invoked, Limits, Member, Parameter, Quota, READ_MAX, Signature, setup,
};
pub use self::save::{Operation, RecordError, Refusal, SaveDisposition, SaveResult};
pub use self::usage::ApiUsage;
use crate::config::OrgConfig;
use crate::event::{OrgName, Timestamp};

/// Chooses the crypto of all TLS connections of this process. Does nothing the second time. `reqwest` without it
/// panics on the first client, even for plain http.
pub fn install_crypto() {
    // An error says that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// How long an org may take. After it the outcome of a write is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    pub connect: Duration,
    pub login: Duration,
    pub read: Duration,
    /// The platform itself gives up after 10 minutes.
    pub write: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            login: Duration::from_secs(60),
            read: Duration::from_secs(120),
            write: Duration::from_secs(130),
        }
    }
}

/// An org, its one token and its counters. Clones share them.
#[derive(Clone)]
pub struct Org {
    shared: Arc<Shared>,
}

struct Shared {
    config: OrgConfig,
    timeouts: Timeouts,
    http: reqwest::Client,
    call_options: HeaderValue,
    /// Whoever holds it may log in; all others wait for what comes of it.
    owner: tokio::sync::Mutex<Owner>,
    /// How many logins have ended.
    logins: AtomicU64,
    calls: AtomicU64,
    usage: Mutex<usage::Seen>,
    clock: Mutex<clock::Clock>,
    /// The one org that may be behind the login.
    pinned: Mutex<Option<String>>,
    /// The id of another one that was found there. Nothing but a new pin takes it back.
    other: watch::Sender<Option<String>>,
    describes: rest::Describes,
}

/// The one place where the token lives.
#[derive(Default)]
struct Owner {
    session: Option<Session>,
    /// Why the last login failed, if it did.
    failed: Option<OrgError>,
}

/// What a login gives. `instance_url` is where every call goes; the token prints as `[redacted]`.
#[derive(Clone)]
pub struct Session {
    pub instance_url: Url,
    pub token: SecretString,
    /// 18 characters, from the identity URL of the token response.
    pub org_id: String,
    /// 18 characters: the integration user, and so `commitUser` of our own writes.
    pub user_id: String,
    /// By the org's clock, where it says so.
    pub issued_at: Option<Timestamp>,
    authorization: HeaderValue,
    since: Instant,
    generation: u64,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("org_id", &self.org_id)
            .field("generation", &self.generation)
            .field("token", &"[redacted]")
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Org {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Org").field(self.name()).finish()
    }
}

/// No code panics while it holds one of these locks, and what they guard has no half-done state.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Org {
    /// Makes no request yet.
    pub fn new(config: OrgConfig) -> Result<Self, OrgError> {
        Self::with_timeouts(config, Timeouts::default())
    }

    /// As [`Org::new`], for orgs that are slower, or tests that are faster, than most.
    pub fn with_timeouts(config: OrgConfig, timeouts: Timeouts) -> Result<Self, OrgError> {
        install_crypto();
        if !auth::may_see_secrets(&config.login_url) {
            return Err(OrgError::Setup("login_url without https"));
        }
        let call_options = HeaderValue::from_str(&format!("client={}", config.client_name))
            .map_err(|_| OrgError::Setup("client_name"))?;
        let mut http = reqwest::Client::builder()
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            // Nothing is sent twice that we do not know of.
            .retry(reqwest::retry::never())
            .connect_timeout(timeouts.connect)
            .user_agent(concat!("orgbridge/", env!("CARGO_PKG_VERSION")));
        if config.login_url.scheme() == "http" {
            // An emulator on loopback: no proxy can reach it, and a machine without CA certificates can.
            http = http.no_proxy().tls_certs_only([]);
        }
        let http = http.build().map_err(|_| OrgError::NoCertificates)?;
        Ok(Self {
            shared: Arc::new(Shared {
                config,
                timeouts,
                http,
                call_options,
                owner: tokio::sync::Mutex::default(),
                logins: AtomicU64::new(0),
                calls: AtomicU64::new(0),
                usage: Mutex::default(),
                clock: Mutex::default(),
                pinned: Mutex::default(),
                other: watch::Sender::default(),
                describes: rest::Describes::default(),
            }),
        })
    }

    pub fn name(&self) -> &OrgName {
        &self.shared.config.name
    }

    pub fn config(&self) -> &OrgConfig {
        &self.shared.config
    }

    /// The current session; logs in if there is none. One login for all who ask at once, and if it fails they all
    /// get its error.
    pub async fn session(&self) -> Result<Session, OrgError> {
        self.newer_than(0).await
    }

    /// A session newer than `stale`, which an org refused with 401. Logs in once for all who wait.
    pub async fn renew(&self, stale: &Session) -> Result<Session, OrgError> {
        self.newer_than(stale.generation).await
    }

    async fn newer_than(&self, generation: u64) -> Result<Session, OrgError> {
        let shared = &*self.shared;
        let ended = shared.logins.load(Ordering::Acquire);
        // A caller that is cancelled while it logs in lets go of the lock, and the next one logs in.
        let mut owner = shared.owner.lock().await;
        self.still_the_same()?;
        if let Some(session) = owner.session.as_ref().filter(|session| session.generation > generation) {
            return Ok(session.clone());
        }
        // A login ended while we waited for it. Those who wait share its failure too, rather than fail in a row.
        if shared.logins.load(Ordering::Acquire) != ended
            && let Some(error) = &owner.failed
        {
            return Err(error.clone());
        }
        let watch = |headers: &HeaderMap, elapsed| self.observe_date(headers, elapsed);
        let login = auth::login(&shared.http, &shared.config, shared.timeouts.login, watch).await;
        let ended = shared.logins.fetch_add(1, Ordering::AcqRel) + 1;
        let login = login.and_then(|session| self.is_the_same(session));
        match login {
            Ok(session) => {
                let session = Session { generation: ended, ..session };
                owner.failed = None;
                owner.session = Some(session.clone());
                Ok(session)
            }
            Err(error) => {
                if matches!(error, OrgError::OtherOrg { .. }) {
                    owner.session = None;
                }
                owner.failed = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Only this org may be behind the login from now on; without this, the first one that is.
    pub fn pin(&self, org_id: &str) {
        *lock(&self.shared.pinned) = Some(org_id.to_owned());
        self.shared.other.send_replace(None);
        // What is known may be another org's.
        self.forget_describes();
    }

    /// The one org that may be behind the login, where that is known.
    pub fn pinned(&self) -> Option<String> {
        lock(&self.shared.pinned).clone()
    }

    /// The id of another org that was found behind the login. While there is one, every call fails before it is made.
    pub fn other(&self) -> watch::Receiver<Option<String>> {
        self.shared.other.subscribe()
    }

    fn is_the_same(&self, session: Session) -> Result<Session, OrgError> {
        let mut pinned = lock(&self.shared.pinned);
        let pinned = pinned.get_or_insert_with(|| session.org_id.clone());
        if *pinned == session.org_id {
            return Ok(session);
        }
        self.shared.other.send_replace(Some(session.org_id.clone()));
        Err(OrgError::OtherOrg { pinned: pinned.clone(), found: session.org_id })
    }

    fn still_the_same(&self) -> Result<(), OrgError> {
        match (self.shared.other.borrow().clone(), self.pinned()) {
            (Some(found), Some(pinned)) => Err(OrgError::OtherOrg { pinned, found }),
            (Some(_), None) | (None, _) => Ok(()),
        }
    }

    /// The org's clock: ours, corrected by the `Date` of the last answers. Exact to about a second.
    pub fn server_time(&self) -> Timestamp {
        lock(&self.shared.clock).at(Timestamp::now())
    }

    /// Learns the org's clock from an answer that took `elapsed`. For transports with clients of their own.
    pub fn observe_date(&self, headers: &HeaderMap, elapsed: Duration) {
        let date = headers.get(DATE).and_then(|date| date.to_str().ok()).and_then(clock::read_date);
        if let Some(date) = date {
            lock(&self.shared.clock).observe(date, Timestamp::now(), elapsed);
        }
    }

    /// How many REST requests reached this org or may have, failed ones too. Logins do not count.
    pub fn api_calls(&self) -> u64 {
        self.shared.calls.load(Ordering::Relaxed)
    }

    /// The org's own count of the last 24 hours, by all its clients, and its limit; from the last answer.
    pub fn api_usage(&self) -> Option<ApiUsage> {
        lock(&self.shared.usage).usage
    }

    /// Whether the org refuses calls because those of the day are spent: so it was at the last answer.
    pub fn refuses_for_today(&self) -> bool {
        lock(&self.shared.usage).spent
    }
}

#[cfg(test)]
mod tests;
