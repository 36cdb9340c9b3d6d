//! Against the emulator, over real sockets; and in memory, where time is virtual.

mod in_memory;

use orgbridge_emulator::{Emulator, Options, RunningOrg};
use secrecy::SecretString;
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::config::{Login, OrgConfig, PubsubEndpoint};
use crate::event::{Change, Happening, ObjectName};
use crate::org::Org;
use crate::subscribe::Subscriptions;
use crate::subscribe::position::Plan;

const ACCOUNTS: &str = "/data/AccountChangeEvent";
const PATIENCE: Duration = Duration::from_secs(60);

/// Surroundings that remember nothing and allow everything.
#[derive(Clone)]
struct Anything;

impl Surroundings for Anything {
    async fn schema(&self, _: &str) -> Option<String> {
        None
    }

    async fn keep_schema(&self, _: &str, _: &str) {}

    fn saw_schema(&self, _: &Channel, _: &ObjectName, _: &str) {}

    async fn earliest_fits(&self, _: &Channel) -> bool {
        true
    }
}

struct World {
    emulator: Emulator,
    http: reqwest::Client,
    arrivals: mpsc::Receiver<(Channel, Arrival)>,
    states: watch::Receiver<Subscriptions>,
    cancel: CancellationToken,
    running: JoinSet<Result<(), SubscribeError>>,
}

impl World {
    /// One subscription to accounts from the earliest event, with so much room behind it.
    async fn start(scheme: &str, room: usize, silence: Duration) -> Self {
        let options = Options {
            orgs: vec!["source".into()],
            bus_delay: Duration::ZERO..=Duration::ZERO,
            pubsub_keepalive: Duration::from_millis(500),
            ..Options::default()
        };
        crate::org::install_crypto();
        let emulator = Emulator::start(options).await.unwrap();
        let running = emulator.org("source").unwrap();
        let address = format!("{scheme}://{}", emulator.pubsub);
        let org = Org::new(OrgConfig {
            name: "source".parse().unwrap(),
            login_url: running.base_url.parse().unwrap(),
            login: Login::ClientCredentials {
                key: running.client_id.clone(),
                secret: SecretString::from(running.client_secret.clone()),
            },
            client_name: "OrgBridge".into(),
            api_version: "66.0".into(),
            transport: None,
            pubsub: PubsubEndpoint::Address(address.parse().unwrap()),
            journal: Vec::new(),
            privacy: crate::privacy::Privacy::default(),
            api_budget: crate::config::ApiBudget::default(),
        })
        .unwrap();
        let authority = std::fs::read_to_string(emulator.ca_file()).unwrap();
        let connection = Connection::new(&org.config().pubsub.addresses(), Some(&authority)).unwrap();
        let plan = Plan { from: ReplayFrom::Earliest, skip_before: None, live_until: None, commit_start: None };
        let start = ChannelStart { channel: ACCOUNTS.parse().unwrap(), plan, wanted: None };
        let (sender, arrivals) = mpsc::channel(room);
        let (state, states) = watch::channel(Subscriptions::new());
        let cancel = CancellationToken::new();
        let feed = Feed {
            org,
            arrivals: sender,
            state,
            surroundings: Anything,
            nudges: watch::channel(0).1,
            silence,
            cancel: cancel.clone(),
        };
        let mut running = JoinSet::new();
        running.spawn(run_over(feed, vec![start], connection));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { emulator, http, arrivals, states, cancel, running }
    }

    fn org(&self) -> &RunningOrg {
        self.emulator.org("source").unwrap()
    }

    async fn control(&self, path: &str, body: Json) {
        let url = format!("{}/emulator/{path}", self.org().base_url);
        let answer = self.http.post(url).body(body.to_string()).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
    }

    async fn until(&mut self, what: &str, wished: impl Fn(&State) -> bool) {
        let channel: Channel = ACCOUNTS.parse().unwrap();
        let seen = self.states.wait_for(|all| all.get(&channel).is_some_and(|one| wished(&one.state)));
        assert!(tokio::time::timeout(PATIENCE, seen).await.is_ok_and(|seen| seen.is_ok()), "waited in vain for {what}");
    }

    /// The next so many changes, whatever else comes between.
    async fn changes(&mut self, count: usize) -> Vec<Change> {
        let mut changes = Vec::new();
        while changes.len() < count {
            let next = tokio::time::timeout(PATIENCE, self.arrivals.recv()).await;
            match next.expect("no more changes come").expect("the subscription ended").1 {
                Arrival::Change(change) => changes.push(change),
                other => assert!(matches!(other, Arrival::Live { .. } | Arrival::Passed { .. }), "{other:?}"),
            }
        }
        changes
    }

    fn traffic(&self, changes: u64) {
        let plan = json!({"changes": changes, "records": 50, "per_second": 20_000, "deletes": false});
        self.org().start_traffic(serde_json::from_value(plan).unwrap());
    }

    async fn stop(mut self) {
        self.cancel.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(5), self.running.join_next()).await;
        ended.expect("a stop is quick").unwrap().unwrap().unwrap();
        self.emulator.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_under_tls_by_an_authority_that_is_trusted() {
    let mut world = World::start("https", 1_000, PATIENCE).await;
    world.traffic(50);
    assert_eq!(world.changes(20).await.len(), 20);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_with_little_room_gets_everything_in_order() {
    let mut world = World::start("http", 5, PATIENCE).await;
    world.traffic(2_000);
    let mut numbers: Vec<i64> = Vec::new();
    for change in world.changes(600).await {
        let Happening::Record(record) = change.happening else { panic!() };
        numbers.push(record.header.commit_number);
    }
    assert!(numbers.is_sorted(), "the bus's order is kept");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_falls_silent_is_shown_as_stalled_and_goes_on_where_it_was() {
    let mut world = World::start("http", 1_000, Duration::from_secs(2)).await;
    world.until("a live stream", |state| *state == State::Live).await;
    world.control("streams", json!({"silent": true})).await;
    world.until("a stalled stream", |state| *state == State::Stalled).await;
    world.traffic(40);
    world.control("streams", json!({"silent": false})).await;
    world.changes(10).await;
    world.until("a live stream again", |state| *state == State::Live).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_channel_says_why() {
    let mut world = World::start("http", 1_000, PATIENCE).await;
    world.until("a live stream", |state| *state == State::Live).await;
    let refuse =
        json!({"kind": "refuse", "rpc": "Subscribe", "grpc_status": "NOT_FOUND", "error_code": "topic.not.found"});
    world.control("faults", json!({"rules": [refuse]})).await;
    world.control("cut", json!({})).await;
    world
        .until("a refusal", |state| matches!(state, State::Refused { why } if why.contains("Change Data Capture")))
        .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spent_deliveries_are_waited_for() {
    let mut world = World::start("http", 1_000, PATIENCE).await;
    world.until("a live stream", |state| *state == State::Live).await;
    world.control("limits", json!({"daily_delivered_events": 1})).await;
    world.traffic(40);
    world.until("a wait", |state| matches!(state, State::Waiting { why, .. } if why.contains("deliveries"))).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_whose_schema_cannot_be_had_wait_at_the_org() {
    let mut world = World::start("http", 1_000, PATIENCE).await;
    world.until("a live stream", |state| *state == State::Live).await;
    let refuse = json!({"kind": "refuse", "rpc": "GetSchema", "times": 1, "grpc_status": "INTERNAL",
        "error_code": "schema.api.unavailable"});
    world.control("faults", json!({"rules": [refuse]})).await;
    world.traffic(40);
    world.until("a wait", |state| matches!(state, State::Waiting { .. })).await;
    assert_eq!(world.changes(10).await.len(), 10, "and then they come");
    world.stop().await;
}
