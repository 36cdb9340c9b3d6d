//! A stand-in for Salesforce orgs: a program of its own, which shares no code with the bridge.
//!
//! Each org listens on its own loopback port and speaks the platform's protocols there: the token endpoint, the REST
//! API and the Streaming API. The Pub/Sub API has one port for all of them. What happens inside is seen and steered under `/emulator` ([`HELP`] explains it). The
//! org itself is a pure state machine ([`org`]); the other modules are thin endpoints around it.

mod bulk;
mod cometd;
mod control;
mod faults;
mod host;
mod oauth;
mod org;
mod pubsub;
mod rest;
mod scenario;
mod server;
mod soap;
mod soql;
#[cfg(test)]
mod tests;
mod tls;
mod traffic;
mod wire;

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use host::Host;
pub use oauth::AppSpec;
pub use scenario::{Scenario, ScenarioError};
use server::Site;
use tls::{AuthorityFile, Tls};
pub use traffic::TrafficPlan;

/// How long open connections may take to end.
const GRACE: Duration = Duration::from_secs(2);

/// What to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The names of the orgs; each gets a listener of its own.
    pub orgs: Vec<String>,
    /// The first org's port, the others follow; `None` takes free ones.
    pub ports: Option<u16>,
    /// Ids, credentials, delays and faults follow from it.
    pub seed: u64,
    /// How long an idle connect of the Streaming API waits.
    pub connect_hold: Duration,
    /// After so long a silence a stream of the Pub/Sub API gets a message without events.
    pub pubsub_keepalive: Duration,
    /// Between a commit and its event becoming visible.
    pub bus_delay: RangeInclusive<Duration>,
    /// What the orgs are made of; `None` is the standard scenario.
    pub scenario: Option<Arc<Scenario>>,
    /// Every listener speaks HTTPS, and nothing else; but the one of the Pub/Sub API, which speaks both.
    pub tls: bool,
    /// The port of a login host that all orgs share; 0 takes a free one, `None` makes none.
    pub login_port: Option<u16>,
    /// The port of the Pub/Sub API, which all orgs share; `None` takes a free one.
    pub pubsub_port: Option<u16>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            orgs: vec!["source".into(), "target".into()],
            ports: None,
            seed: 1,
            connect_hold: Duration::from_secs(110),
            pubsub_keepalive: Duration::from_secs(270),
            bus_delay: Duration::ZERO..=Duration::from_millis(500),
            scenario: None,
            tls: false,
            login_port: None,
            pubsub_port: None,
        }
    }
}

/// Running orgs; they end with [`Emulator::shutdown`], or when this is dropped.
pub struct Emulator {
    /// In the order of [`Options::orgs`].
    pub orgs: Vec<RunningOrg>,
    /// Where users of every org can log in, like login.salesforce.com.
    pub login_url: Option<String>,
    /// Where the Pub/Sub API of every org is: `localhost:PORT`.
    pub pubsub: String,
    authority: AuthorityFile,
    stop: CancellationToken,
    servers: JoinSet<()>,
}

impl fmt::Debug for Emulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Emulator");
        shown.field("orgs", &self.orgs).field("login_url", &self.login_url).field("pubsub", &self.pubsub);
        shown.finish_non_exhaustive()
    }
}

/// One org, and how to reach it.
#[derive(Clone)]
pub struct RunningOrg {
    pub name: String,
    /// `http://127.0.0.1:PORT`; with TLS `https://localhost:PORT`.
    pub base_url: String,
    /// 18 characters.
    pub org_id: String,
    /// Of its first app.
    pub client_id: String,
    pub client_secret: String,
    host: Arc<Host>,
}

impl fmt::Debug for RunningOrg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningOrg").field("name", &self.name).field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

impl Emulator {
    /// Starts every org.
    ///
    /// # Errors
    /// When a port cannot be listened on, or the scenario does not fit together; then none runs.
    pub async fn start(options: Options) -> std::io::Result<Self> {
        let Tls { acceptor, http2, authority } = Tls::new()?;
        let acceptor = Some(acceptor).filter(|_| options.tls);
        let mut listeners = Vec::new();
        for (offset, name) in (0u16..).zip(&options.orgs) {
            let port = match options.ports {
                None => 0,
                Some(first) => first.checked_add(offset).ok_or(std::io::ErrorKind::AddrNotAvailable)?,
            };
            listeners.push((name, listen(port).await?));
        }
        let login = match options.login_port {
            None => None,
            Some(port) => Some(listen(port).await?),
        };
        let (pubsub_port, pubsub) = listen(options.pubsub_port.unwrap_or(0)).await?;
        let login_port = login.as_ref().map(|(port, _)| *port);
        let base =
            |port| if options.tls { format!("https://localhost:{port}") } else { format!("http://127.0.0.1:{port}") };
        let mut emulator = Self {
            orgs: Vec::new(),
            login_url: login_port.map(base),
            pubsub: format!("localhost:{pubsub_port}"),
            authority,
            stop: CancellationToken::new(),
            servers: JoinSet::new(),
        };
        for (name, (port, listeners)) in listeners {
            let delay = options.bus_delay.clone();
            let scenario = options.scenario.as_deref().unwrap_or_else(|| Scenario::standard());
            let host = Host::new(name, scenario, options.seed, options.connect_hold, delay);
            let host = Arc::new(host.map_err(std::io::Error::other)?);
            host.switches().pubsub_keepalive_ms =
                u64::try_from(options.pubsub_keepalive.as_millis()).unwrap_or(u64::MAX);
            host.keep_flows_running();
            host.listens_on(port, login_port);
            for listener in listeners {
                let site = Site::Org(host.clone());
                emulator.servers.spawn(server::serve(listener, acceptor.clone(), site, host.stopped()));
            }
            emulator.orgs.push(RunningOrg::new(base(port), host));
        }
        let hosts: Arc<[Arc<Host>]> = emulator.orgs.iter().map(|org| org.host.clone()).collect();
        for listener in pubsub {
            let stopped = emulator.stop.clone();
            emulator.servers.spawn(pubsub::serve(listener, http2.clone(), hosts.clone(), stopped));
        }
        for listener in login.into_iter().flat_map(|(_, listeners)| listeners) {
            let site = Site::Login(hosts.clone());
            emulator.servers.spawn(server::serve(listener, acceptor.clone(), site, emulator.stop.clone()));
        }
        Ok(emulator)
    }

    /// A file with the certificate that clients have to trust where they speak TLS, as PEM. It goes with this.
    pub fn ca_file(&self) -> &Path {
        self.authority.path()
    }

    /// The org with this name.
    pub fn org(&self, name: &str) -> Option<&RunningOrg> {
        self.orgs.iter().find(|org| org.name == name)
    }

    /// Answers what is waiting, ends all connections and all traffic.
    pub async fn shutdown(mut self) {
        self.stop();
        let ended = async { while self.servers.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, ended).await.is_err() {
            self.servers.shutdown().await; // a client holds its connection open
        }
    }

    fn stop(&self) {
        self.stop.cancel();
        self.orgs.iter().for_each(|org| org.host.stopped().cancel());
    }
}

/// Listens on a port of this machine, and says which; where `localhost` also means `::1`, there too.
async fn listen(port: u16) -> std::io::Result<(u16, Vec<TcpListener>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let port = listener.local_addr()?.port();
    // Not every machine has IPv6, and a free port of the one may be taken on the other.
    let other = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await.ok();
    Ok((port, [Some(listener), other].into_iter().flatten().collect()))
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.stop();
    }
}

impl RunningOrg {
    fn new(base_url: String, host: Arc<Host>) -> Self {
        let org_id = host.org().id.as_str().to_owned();
        let (name, no_key) = (host.name.clone(), String::new());
        let mut org = Self { name, base_url, org_id, client_id: no_key.clone(), client_secret: no_key, host };
        org.show_first_app();
        org
    }

    fn show_first_app(&mut self) {
        let login = self.host.login();
        if let Some(app) = login.apps().first() {
            self.client_id = app.key.clone();
            self.client_secret = app.secret().to_owned();
        }
    }

    /// Replaces the apps of the org; what was given to apps that are gone ends. Other copies of this still show the
    /// app that was the first before.
    ///
    /// # Errors
    /// What is wrong with a description; then nothing has changed.
    pub fn set_apps(&mut self, apps: Vec<AppSpec>) -> Result<(), String> {
        self.host.set_apps(apps)?;
        self.show_first_app();
        Ok(())
    }

    /// Starts traffic in the org; traffic that ran before ends.
    pub fn start_traffic(&self, plan: TrafficPlan) {
        traffic::start(&self.host, plan);
    }

    /// When this returns, no further change comes; flows that waited have run.
    pub fn stop_traffic(&self) {
        self.host.traffic().stop();
        let now = self.host.now();
        self.host.org().finish_flows(now);
        self.host.notify();
    }

    /// Whether traffic runs, and how many record changes it has made.
    pub fn traffic(&self) -> (bool, u64) {
        let traffic = self.host.traffic();
        (traffic.running(), traffic.done())
    }

    /// What `GET /emulator/stats` shows.
    pub fn stats(&self) -> Json {
        self.host.stats()
    }

    /// What `GET /emulator/commits?after=N` shows.
    pub fn commits(&self, after: u64) -> Json {
        control::commits(&self.host.org(), after)
    }
}

/// Everything under `/emulator`, for people.
pub const HELP: &str = include_str!("help.txt");
