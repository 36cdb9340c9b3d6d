//! SIGKILL at any moment, while the target fails in every way it can: nothing is lost, and the two orgs end equal.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use orgbridge::bridge;
use orgbridge::past::whole;
use serde_json::json;
use tokio::time::Instant;

use crate::process::{Emulator, Process};
use crate::state::{State, until};

struct Plan {
    changes: u64,
    records: u64,
    per_second: u64,
    kills: u32,
}

async fn survive(plan: Plan) {
    orgbridge::org::install_crypto();
    let seed =
        std::env::var("ORGBRIDGE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed} (ORGBRIDGE_SEED={seed} repeats the moments of the kills and the traffic)");
    let mut random = fastrand::Rng::with_seed(seed);
    let folder = tempfile::tempdir().unwrap();
    let (config, state_file) = (folder.path().join("demo.yaml"), folder.path().join("demo.db"));
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/demo.yaml"), &config).unwrap();
    let emulator = Emulator::start(&["--connect-hold", "2s", "--pubsub-keepalive", "1s", "--seed", &seed.to_string()]);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let start = || Process::start(emulator.run(&config).stdout(Stdio::null()).stderr(Stdio::null()));
    let faults = |refusal: &str| {
        json!({"rules": [
            {"kind": "refuse", "code": refusal, "percent": 5},
            {"kind": "lock", "percent": 3},
            {"kind": "do_then_fail", "percent": 5},
            {"kind": "cut_then_apply", "percent": 5, "delay_ms": [300, 2500]},
            {"kind": "answer_late", "percent": 5, "delay_ms": [100, 800]},
        ]})
    };
    emulator.post(&http, "target", "faults", faults("SERVER_UNAVAILABLE")).await;

    for kill in 1..=plan.kills {
        let mut bridge = start();
        if kill == 1 {
            // It has said since when it wants events, and none has come.
            until("a committed start", async || {
                let started = "SELECT count(*) FROM subscriptions WHERE started_at IS NOT NULL";
                State::open(&state_file).and_then(|state| state.number(started)) == Some(2)
            })
            .await;
            let traffic = json!({
                "changes": plan.changes, "records": plan.records, "per_second": plan.per_second, "seed": seed,
            });
            emulator.post(&http, "source", "traffic", traffic).await;
            bridge.kill();
            let state = State::open(&state_file).unwrap();
            assert_eq!(state.journaled(), 0, "the first kill is before any event");
        } else {
            let moment = Duration::from_millis(random.u64(100..1_500));
            let started = Instant::now();
            until("unsettled work", async || {
                started.elapsed() >= moment && State::open(&state_file).is_some_and(|state| state.unsettled() > 0)
            })
            .await;
            bridge.kill();
            let unsettled = State::open(&state_file).unwrap().unsettled();
            assert!(unsettled > 0, "kill {kill} came when nothing was unsettled");
        }
        let traffic = emulator.get(&http, "source", "traffic").await;
        assert_eq!(traffic["running"], json!(true), "kill {kill} came after the traffic: {traffic}");
        match random.u8(0..6) {
            0 => emulator.post(&http, "target", "faults", json!({"expire_tokens": true})).await,
            1 => emulator.post(&http, "source", "faults", json!({"expire_tokens": true})).await,
            2 => emulator.post(&http, "source", "faults", json!({"drop_sessions": true})).await,
            3 => emulator.post(&http, "target", "faults", faults("REQUEST_LIMIT_EXCEEDED")).await,
            _ => {}
        }
    }

    let mut bridge = start();
    until("the end of traffic", async || emulator.get(&http, "source", "traffic").await["running"] == json!(false))
        .await;
    let ended = orgbridge::event::Timestamp::now().0;
    emulator.delete(&http, "target", "faults").await;
    until("everything settled", async || {
        let Some(state) = State::open(&state_file) else { return false };
        let live = state.number("SELECT min(coalesce(live_until, 0)) FROM subscriptions");
        live.is_some_and(|live| live > ended + 1_500) && state.unsettled() == 0 && state.parked() == 0
    })
    .await;
    assert!(bridge.has_ended().is_none(), "the bridge ended by itself");
    assert!(bridge.terminate().success(), "SIGTERM ends it in order");

    let state = State::open(&state_file).unwrap();
    assert_eq!((state.sent(), state.parked(), state.unsettled()), (0, 0, 0));
    let read = |name: &str| emulator.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let text = std::fs::read_to_string(&config).unwrap();
    let config = orgbridge::config::parse(&text, &config, &read, &|path| std::fs::read_to_string(path)).unwrap();
    let comparison = whole::compare(&config, &bridge::orgs(&config).unwrap()).await.unwrap();
    let shown: Vec<String> = comparison.differences.iter().map(ToString::to_string).collect();
    assert!(comparison.is_equal(), "{} of {} differ: {shown:#?}", shown.len(), comparison.records);
    let stats = emulator.get(&http, "target", "stats").await;
    println!(
        "{} kills, {} events journaled, equal: {} records; calls to the target: {}",
        plan.kills,
        state.journaled(),
        comparison.records,
        stats["calls"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn three_kills_lose_nothing() {
    survive(Plan { changes: 600, records: 60, per_second: 60, kills: 3 }).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: run in release"]
async fn twenty_kills_in_five_thousand_changes_lose_nothing() {
    survive(Plan { changes: 5_000, records: 500, per_second: 100, kills: 20 }).await;
}
