//! Faults of the streams, one by one, at random moments of lively traffic: the journal ends with every change, in the order
//! of each record, or with an open gap that names it; and the status passes through the states that it should.
//!
//! What happened is known from the emulator's own list of commits, which no client sees.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use orgbridge::emulator::TrafficPlan;
use orgbridge::event::{Timestamp, Transport};
use orgbridge::store::{Sqlite, Store};
use serde_json::{Value as Json, json};
use tokio::task::JoinSet;

use crate::support::World;

/// By which way the events come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Pubsub,
    LongPolling,
    WebSocket,
}

impl Way {
    fn transport(self) -> Transport {
        match self {
            Self::Pubsub => Transport::Pubsub,
            Self::LongPolling | Self::WebSocket => Transport::Cometd,
        }
    }
}

/// How a run must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Nothing is missing, and no gap is open.
    Whole,
    /// Nothing is missing; whether a gap had to be opened depends on the moment.
    WholeOrGap,
    /// The org itself forgot changes: a gap is open.
    Gap,
}

/// A fault: what to ask of the emulated org, what to undo later, and the states that must be seen meanwhile.
struct Fault {
    name: &'static str,
    ways: &'static [Way],
    strike: &'static [(&'static str, &'static str)],
    mend: &'static [(&'static str, &'static str)],
    /// Words that some state of a subscription must begin with before the end.
    states: &'static [&'static str],
    end: End,
}

/// Runs at a time.
const AT_ONCE: usize = 10;

const COMETD: &[Way] = &[Way::LongPolling, Way::WebSocket];
const ALL: &[Way] = &[Way::Pubsub, Way::LongPolling, Way::WebSocket];
const PUBSUB: &[Way] = &[Way::Pubsub];

const FAULTS: &[Fault] = &[
    Fault {
        name: "tokens expire",
        ways: ALL,
        strike: &[("faults", r#"{"expire_tokens": true}"#)],
        mend: &[],
        states: &["live"],
        end: End::Whole,
    },
    Fault {
        name: "every line is cut",
        ways: ALL,
        strike: &[("cut", "{}"), ("cut", "{}")],
        mend: &[],
        states: &["live"],
        end: End::Whole,
    },
    Fault {
        name: "the org restarts",
        ways: ALL,
        strike: &[("restart", r#"{"down_ms": 1500}"#)],
        mend: &[],
        states: &["waiting", "live"],
        end: End::Whole,
    },
    Fault {
        name: "sessions are dropped",
        ways: COMETD,
        strike: &[("faults", r#"{"drop_sessions": true}"#)],
        mend: &[],
        states: &["connecting", "live"],
        end: End::Whole,
    },
    Fault {
        name: "cookies expire",
        ways: COMETD,
        strike: &[("faults", r#"{"expire_cookies": true}"#)],
        mend: &[],
        states: &["live"],
        end: End::Whole,
    },
    Fault {
        name: "the server ends the sessions",
        ways: COMETD,
        strike: &[("faults", r#"{"disconnect": true}"#)],
        mend: &[],
        states: &["live"],
        end: End::Whole,
    },
    Fault {
        name: "the server is too busy",
        ways: COMETD,
        strike: &[("streams", r#"{"busy": 2}"#), ("faults", r#"{"drop_sessions": true}"#)],
        mend: &[],
        states: &["waiting", "live"],
        end: End::Whole,
    },
    Fault {
        name: "too many connections",
        ways: COMETD,
        strike: &[("streams", r#"{"too_many_connections": 1}"#), ("faults", r#"{"drop_sessions": true}"#)],
        mend: &[],
        states: &["waiting", "live"],
        end: End::Whole,
    },
    Fault {
        name: "a saved id is refused",
        ways: ALL,
        strike: &[("streams", r#"{"corrupt_replay_ids": 1}"#), ("cut", "{}")],
        mend: &[],
        states: &["live"],
        end: End::WholeOrGap,
    },
    Fault {
        name: "the org moves to another instance",
        ways: ALL,
        strike: &[("migrate", "{}")],
        mend: &[],
        states: &["live"],
        end: End::Gap,
    },
    Fault {
        name: "the bus is slow",
        ways: ALL,
        strike: &[("streams", r#"{"bus_delay_ms": [1500, 2500]}"#)],
        mend: &[("streams", r#"{"bus_delay_ms": [0, 100]}"#)],
        states: &["live"],
        end: End::Whole,
    },
    Fault {
        name: "a field comes while events flow",
        ways: ALL,
        strike: &[("fields", r#"{"object": "Account", "add": {"name": "Badge__c", "type": "string", "length": 20}}"#)],
        mend: &[],
        states: &["live"],
        end: End::Whole,
    },
    Fault {
        name: "the service is not available",
        ways: PUBSUB,
        strike: &[
            (
                "faults",
                r#"{"rules": [{"kind": "refuse", "rpc": "Subscribe", "times": 3, "grpc_status": "INTERNAL",
                    "error_code": "service.unavailable"}]}"#,
            ),
            ("cut", "{}"),
        ],
        mend: &[],
        states: &["waiting", "live"],
        end: End::Whole,
    },
    Fault {
        name: "schemas cannot be had",
        ways: PUBSUB,
        strike: &[
            (
                "faults",
                r#"{"rules": [{"kind": "refuse", "rpc": "GetSchema", "times": 2, "grpc_status": "INTERNAL",
                    "error_code": "schema.api.unavailable"}]}"#,
            ),
            ("fields", r#"{"object": "Account", "add": {"name": "Badge__c", "type": "string", "length": 20}}"#),
        ],
        mend: &[],
        // The wait is short, and may be over before anybody looks.
        states: &["live"],
        end: End::Whole,
    },
    Fault {
        name: "the channel is refused for a while",
        ways: PUBSUB,
        strike: &[
            (
                "faults",
                r#"{"rules": [{"kind": "refuse", "rpc": "Subscribe", "times": 1, "grpc_status": "UNAUTHENTICATED",
                    "error_code": "service.auth.error"}]}"#,
            ),
            ("cut", "{}"),
        ],
        mend: &[],
        states: &["live"],
        end: End::Whole,
    },
    Fault {
        name: "changes are told as gaps",
        ways: ALL,
        strike: &[("streams", r#"{"gap_events": 20}"#)],
        mend: &[],
        states: &["live"],
        end: End::WholeOrGap,
    },
];

/// What happened to each record of the captured objects, oldest first, as the org itself saw it.
fn truth(world: &World) -> BTreeMap<String, Vec<String>> {
    let mut records: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut after = 0;
    loop {
        let commits = world.source().commits(after);
        let commits = commits.as_array().unwrap();
        if commits.is_empty() {
            return records;
        }
        for commit in commits {
            after = commit["n"].as_u64().unwrap();
            if matches!(commit["object"].as_str(), Some("Account" | "Contact")) {
                let kind = commit["kind"].as_str().unwrap().to_owned();
                records.entry(commit["id"].as_str().unwrap().to_owned()).or_default().push(kind);
            }
        }
    }
}

/// The same, as the journal has it; GAP_UPDATE and its like stand for what they hide.
fn journaled(world: &World) -> BTreeMap<String, Vec<String>> {
    let db = rusqlite::Connection::open(&world.config.state).unwrap();
    let mut rows = db
        .prepare("SELECT r.record, j.change_type FROM journal_records r JOIN journal j ON j.seq = r.seq ORDER BY j.seq")
        .unwrap();
    let mut records: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let rows = rows.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))).unwrap();
    for row in rows {
        let (record, kind) = row.unwrap();
        records.entry(record).or_default().push(kind.trim_start_matches("GAP_").to_owned());
    }
    records
}

/// Every state that any subscription was seen in.
fn watch_states(world: &World) -> (Arc<Mutex<Vec<String>>>, JoinSet<()>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (mut board, note) = (world.board.watch(), seen.clone());
    let mut watching = JoinSet::new();
    watching.spawn(async move {
        while board.changed().await.is_ok() {
            let states: Vec<String> =
                board.borrow_and_update().subscriptions.values().map(|one| one.state.to_string()).collect();
            let mut seen = note.lock().unwrap();
            for state in states {
                if seen.last() != Some(&state) {
                    seen.push(state);
                }
            }
        }
    });
    (seen, watching)
}

async fn run(fault: &Fault, way: Way, changes: u64, seed: u64) {
    let mut world = World::with(|config| {
        // What becomes of the changes in a target is for other tests.
        config.pipelines.clear();
        let source = config.orgs.get_mut(&"source".parse().unwrap()).unwrap();
        source.transport = Some(way.transport());
        source.journal =
            ["/data/AccountChangeEvent", "/data/ContactChangeEvent"].map(|one| one.parse().unwrap()).into();
    })
    .await;
    if way == Way::WebSocket {
        world.control(world.source(), "switches", json!({"websocket": true})).await;
    }
    // Bursts look like a busy day, and then the day's deliveries would not allow a start at the earliest event: that has
    // its own test.
    world.control(world.source(), "limits", json!({"daily_delivered_events": 100_000_000})).await;
    world.start();
    let (seen, _watching) = watch_states(&world);
    world.live_since(Timestamp(0)).await;
    // Some seconds, so that the fault strikes while it flows.
    let per_second = u32::try_from(changes / 2).unwrap().min(2_000);
    world.source().start_traffic(TrafficPlan { changes, records: 60, per_second, seed, deletes: true });
    let moment = changes / 4 + fastrand::Rng::with_seed(seed).u64(0..changes / 3);
    reached(&world, moment).await;
    // What an org forgets before a subscription has a position is for the truth probe.
    world.until("a position", |status| status.subscriptions.values().all(|one| one.journaled > 1)).await;
    seen.lock().unwrap().clear();
    for (path, body) in fault.strike {
        world.control(world.source(), path, serde_json::from_str::<Json>(body).unwrap()).await;
    }
    reached(&world, changes.min(moment + changes / 5)).await;
    for (path, body) in fault.mend {
        world.control(world.source(), path, serde_json::from_str::<Json>(body).unwrap()).await;
    }
    while world.source().traffic().0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.source().stop_traffic();
    world.caught_up().await;
    world.stop().await;

    let name = format!("{} over {way:?}, seed {seed}", fault.name);
    let sockets = world.source().stats()["calls"]["websocket"].as_u64().unwrap_or(0);
    assert_eq!(sockets > 0, way == Way::WebSocket, "{name}: {sockets} WebSockets");
    let (truth, journaled) = (truth(&world), journaled(&world));
    let none = Vec::new();
    let wrong: Vec<_> = truth
        .iter()
        .map(|(record, kinds)| (record, kinds, journaled.get(record).unwrap_or(&none)))
        .filter(|(_, happened, told)| happened != told)
        .collect();
    let gaps = world.open_gaps().await;
    let mended = Sqlite::open(&world.config.state).unwrap().mended_gaps(99).await.unwrap();
    let first = wrong.iter().take(3).collect::<Vec<_>>();
    match fault.end {
        End::Whole => {
            assert!(wrong.is_empty() && gaps.is_empty(), "{name}: {} wrong: {first:?} {gaps:?}", wrong.len())
        }
        End::WholeOrGap => assert!(wrong.is_empty(), "{name}: {} wrong: {first:?} {gaps:?}", wrong.len()),
        End::Gap => {
            assert!(!gaps.is_empty() || !mended.is_empty(), "{name}: no gap, but {} wrong: {first:?}", wrong.len());
            // What is told is told in order.
            assert!(wrong.iter().all(|(_, happened, told)| is_within(told, happened)), "{name}: {first:?}");
        }
    }
    assert!(journaled.keys().all(|record| truth.contains_key(record)), "{name}: a record that never was");
    let seen = seen.lock().unwrap();
    for state in fault.states {
        assert!(seen.iter().any(|one| one.starts_with(state)), "{name}: never {state}, but {seen:?}");
    }
}

/// The one comes of the other by leaving out.
fn is_within(part: &[String], all: &[String]) -> bool {
    let mut all = all.iter();
    part.iter().all(|one| all.any(|other| other == one))
}

/// The traffic has made so many changes, or has ended.
async fn reached(world: &World, changes: u64) {
    while world.source().traffic().0 && world.source().traffic().1 < changes {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn all(changes: u64, seed: u64) {
    let mut cases = FAULTS.iter().flat_map(|fault| fault.ways.iter().map(move |way| (fault, *way)));
    let mut running = JoinSet::new();
    loop {
        // Most of a run is waiting.
        while running.len() < AT_ONCE
            && let Some((fault, way)) = cases.next()
        {
            running.spawn(async move {
                let started = tokio::time::Instant::now();
                run(fault, way, changes, seed).await;
                println!("{} over {way:?}: {:.1} s", fault.name, started.elapsed().as_secs_f32());
            });
        }
        match running.join_next().await {
            Some(ended) => ended.unwrap(),
            None => return,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_a_stream_the_journal_ends_with_every_change() {
    all(600, 7).await;
}

/// `cargo test --release -- --ignored`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn whatever_happens_to_a_stream_of_10_000_changes_the_journal_ends_with_every_one() {
    all(10_000, 11).await;
}
