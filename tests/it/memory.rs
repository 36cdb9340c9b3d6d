//! What waits for a target that is down is on disk, not in memory.

use std::process::Stdio;

use serde_json::json;

use crate::process::{Emulator, Process};
use crate::state::{State, until};

/// Resident memory of a process in MB; None where there is no /proc.
fn memory(process: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}

/// Lets so many events wait, and prints the bridge's memory on the way. Fails if it grows by more than `allowed` MB
/// from the first tenth to the end.
async fn wait(transport: &str, events: u64, allowed: f64) {
    orgbridge::org::install_crypto();
    let emulator = Emulator::start(&["--connect-hold", "2s", "--pubsub-keepalive", "1s"]);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("bridge.yaml");
    let text = include_str!("../../config/demo.yaml");
    let login = "    login_url: ${SOURCE_URL}\n";
    assert!(text.contains(login));
    std::fs::write(&config, text.replace(login, &format!("{login}    transport: {transport}\n"))).unwrap();
    emulator.post(&http, "source", "limits", json!({"daily_delivered_events": null})).await;

    let bridge = Process::start(emulator.run(&config).stdout(Stdio::null()).stderr(Stdio::null()));
    let state = folder.path().join("bridge.db");
    until("two live subscriptions", async || {
        let live = "SELECT count(*) FROM subscriptions WHERE live_until IS NOT NULL";
        State::open(&state).and_then(|state| state.number(live)) == Some(2)
    })
    .await;
    // Logged in, and then nothing goes in any more.
    emulator.post(&http, "target", "faults", json!({"rules": [{"kind": "refuse", "of": "data"}]})).await;
    // Some changes change nothing, and are no events.
    let traffic =
        json!({"changes": events + events / 5, "records": events / 20, "per_second": 20_000, "deletes": false});
    emulator.post(&http, "source", "traffic", traffic).await;

    let mut figures = Vec::new();
    for tenth in 1..=10 {
        let wanted = i64::try_from(events * tenth / 10).unwrap();
        until("events in the journal", async || State::open(&state).is_some_and(|state| state.journaled() >= wanted))
            .await;
        figures.extend(memory(bridge.0.id()));
    }
    let written = emulator.get(&http, "target", "stats").await["rows_written"].clone();
    assert_eq!(written, json!(0), "the target took something");
    let shown: Vec<String> = figures.iter().map(|figure| format!("{figure:.0}")).collect();
    println!("{transport}: memory of the bridge while up to {events} events wait, in MB: {}", shown.join(" "));
    if let (Some(first), Some(last)) = (figures.first(), figures.last()) {
        assert!(last - first <= allowed, "it grew from {first:.0} to {last:.0} MB");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: run in release"]
async fn memory_stays_flat_while_200_000_events_wait_for_a_target_that_is_down() {
    for transport in ["pubsub", "cometd"] {
        wait(transport, 200_000, 100.0).await;
    }
}
