//! How many record changes a second one emulated org takes: upserts by collections of 200, half of them creates.
//!
//! `cargo bench --bench emulator_load [-- SECONDS [CONNECTIONS]]`. The emulator runs in a process of its own.

mod support;

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::Client;
use serde_json::Value as Json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use support::Emulator;

/// Records of one request.
const BATCH: usize = 200;

/// An object to write to.
struct Load {
    title: &'static str,
    object: &'static str,
    key: &'static str,
    /// The fields of the n-th change of the record with this key, as JSON without braces.
    fields: fn(&mut String, n: u64),
}

const LOADS: [Load; 2] = [
    Load {
        title: "Account, with trigger, validation rule and flows",
        object: "Account",
        key: "Source_Id__c",
        fields: account,
    },
    Load { title: "Invoice__c, without automation", object: "Invoice__c", key: "Ext__c", fields: invoice },
];

fn account(out: &mut String, n: u64) {
    let _ = write!(
        out,
        r#""Name":"Account {n}","Phone":"+49 30 {n}","Website":"https://www.example.com/{n}","Industry":"Banking","Type":"Customer","NumberOfEmployees":{},"AnnualRevenue":{}.5,"BillingCity":"Berlin","BillingStreet":"Street {n}""#,
        n % 2_000,
        n % 19_000
    );
}

fn invoice(out: &mut String, n: u64) {
    let _ = write!(
        out,
        r#""Text__c":"Invoice {n}","Paid__c":{},"Quantity__c":{},"Amount__c":{n}.25,"Due__c":"2026-03-{:02}","Sent__c":"2026-03-01T10:11:{:02}Z","Status__c":"Sent","Contact_Phone__c":"+49 30 {n}""#,
        n.is_multiple_of(2),
        n % 1_000,
        n % 28 + 1,
        n % 60
    );
}

async fn commits(emulator: &Emulator, client: &Client) -> Result<u64> {
    let stats: Json = client.get(format!("{}/emulator/stats", emulator.url)).send().await?.json().await?;
    stats["commits"].as_u64().context("no commits")
}

/// Upserts until told to stop: calls and records that were saved.
async fn write(
    client: Client,
    url: String,
    token: String,
    load: &'static Load,
    worker: usize,
    stop: Arc<AtomicBool>,
) -> Result<(u64, u64)> {
    let (mut calls, mut saved, mut created, mut n) = (0, 0, 0u64, 0u64);
    let url = format!("{url}/services/data/v66.0/composite/sobjects/{}/{}", load.object, load.key);
    let mut rng = fastrand::Rng::with_seed(worker as u64);
    while !stop.load(Ordering::Relaxed) {
        let mut body = String::with_capacity(80_000);
        body.push_str(r#"{"allOrNone":false,"records":["#);
        // A run of known keys, so that none stands twice in a request.
        let known = rng.u64(0..created.saturating_sub(BATCH as u64).max(1));
        for place in 0..BATCH as u64 {
            let key = if place % 2 == 0 || created < BATCH as u64 {
                created += 1;
                created
            } else {
                known + place
            };
            n += 1;
            if place > 0 {
                body.push(',');
            }
            let _ = write!(body, r#"{{"attributes":{{"type":"{}"}},"{}":"w{worker}-{key}","#, load.object, load.key);
            (load.fields)(&mut body, n);
            body.push('}');
        }
        body.push_str("]}");
        let request = client.patch(&url).bearer_auth(&token).header("content-type", "application/json");
        let answer = request.body(body).send().await?;
        if answer.status() != 200 {
            bail!("{}: {}", answer.status(), answer.text().await?);
        }
        let text = answer.text().await?;
        calls += 1;
        saved += text.matches(r#""success":true"#).count() as u64;
        if let Some(place) = text.find(r#""success":false"#) {
            bail!("a record was refused: {}", text.get(place.saturating_sub(300)..).unwrap_or_default());
        }
    }
    Ok((calls, saved))
}

async fn measure(load: &'static Load, length: Duration, connections: usize) -> Result<()> {
    let client = Client::builder().no_proxy().build()?;
    let emulator = Emulator::start(&client, &[]).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let (start, before) = (Instant::now(), commits(&emulator, &client).await?);
    let mut workers = JoinSet::new();
    for worker in 0..connections {
        let (url, token) = (emulator.url.clone(), emulator.token.clone());
        workers.spawn(write(client.clone(), url, token, load, worker, stop.clone()));
    }
    sleep(length).await;
    stop.store(true, Ordering::Relaxed);
    let (mut calls, mut saved) = (0, 0);
    while let Some(done) = workers.join_next().await {
        let (some_calls, some_saved) = done??;
        calls += some_calls;
        saved += some_saved;
    }
    let seconds = start.elapsed().as_secs_f64();
    let commits = commits(&emulator, &client).await? - before;
    let rate = |count: u64| count as f64 / seconds;
    println!("{}:", load.title);
    println!("  record changes a second: {:.0} by requests, {:.0} with those of flows", rate(saved), rate(commits));
    println!("  calls a second:          {:.1}", rate(calls));
    if let Some(used) = emulator.processor_time() {
        println!("  processor time:          {:.1} us for each of all changes", used * 1e6 / commits.max(1) as f64);
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let length = Duration::from_secs(numbers.first().copied().unwrap_or(10));
    let connections = numbers.get(1).map_or(4, |n| *n as usize);
    let _ = rustls::crypto::ring::default_provider().install_default(); // the first in this process
    for load in &LOADS {
        measure(load, length, connections).await?;
    }
    Ok(())
}
