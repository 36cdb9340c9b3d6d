//! How many events a second the bridge decodes and journals, by each transport, beside what the emulator delivers to a
//! client that only counts.
//!
//! `cargo bench --bench subscribe_load [-- EVENTS]`. The emulator runs in a process of its own; the events are there
//! before anybody reads.

mod support;

use std::path::Path;

use anyhow::{Context, Result, bail};
use orgbridge::bridge;
use orgbridge::status::Board;
use orgbridge::store::Sqlite;
use reqwest::Client;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value as Json, json};
use tokio::time::{Duration, Instant, sleep};
use tokio_util::sync::CancellationToken;

use support::{Emulator, Pubsub};

const CHANNEL: &str = "/data/AccountChangeEvent";
/// A target that is never reached: nothing is written meanwhile.
const CONFIG: &str = "
version: 1
orgs:
  bench:
    login_url: ${BENCH_URL}
    client_credentials:
      key: ${BENCH_KEY}
      secret: ${BENCH_SECRET}
    transport: TRANSPORT
    pubsub: http://${EMULATOR_PUBSUB}
  nowhere:
    login_url: http://127.0.0.1:1
    client_credentials: { key: none, secret: none }
pipelines:
  - name: accounts
    from: { org: bench, channel: /data/AccountChangeEvent, object: Account, start: earliest }
    to: { org: nowhere, object: Account, key: Source_Id__c }
    fields: { Source_Id__c: Id, Name: Name }
";

/// Creates so many accounts, and returns how many events came of it: flows change them again.
async fn publish(client: &Client, emulator: &Emulator, records: usize) -> Result<usize> {
    let limits = json!({"daily_delivered_events": null, "daily_api_requests": 100_000_000});
    client.post(format!("{}/emulator/limits", emulator.url)).json(&limits).send().await?.error_for_status()?;
    let account = |n: usize| {
        json!({
            "attributes": {"type": "Account"}, "Name": format!("Account {n}"), "Phone": "+49 30 1234567",
            "Website": "https://www.example.com/", "Industry": "Banking", "NumberOfEmployees": n % 1_000,
            "AnnualRevenue": 17.25, "BillingCity": "Berlin", "BillingStreet": "Street 1",
        })
    };
    for first in (0..records).step_by(200) {
        let records: Vec<Json> = (first..records.min(first + 200)).map(account).collect();
        let create = client.post(format!("{}/services/data/v66.0/composite/sobjects", emulator.url));
        let create = create.bearer_auth(&emulator.token).json(&json!({"allOrNone": true, "records": records}));
        let saved: Json = create.send().await?.error_for_status()?.json().await?;
        if saved.as_array().is_none_or(|saved| saved.iter().any(|one| one["success"] != json!(true))) {
            bail!("not created: {saved}");
        }
    }
    let mut before = 0;
    loop {
        sleep(Duration::from_secs(3)).await;
        let stats: Json = client.get(format!("{}/emulator/stats", emulator.url)).send().await?.json().await?;
        let events = stats["events"].as_u64().context("no events")?;
        if events == before {
            return Ok(usize::try_from(events)?);
        }
        before = events;
    }
}

/// Reads so many events by long-polling, and looks at nothing but their number.
async fn count_by_cometd(emulator: &Emulator, events: usize) -> Result<()> {
    let client = Client::builder().no_proxy().cookie_store(true).build()?;
    let ask = async |message: Json| -> Result<String> {
        let post = client.post(format!("{}/cometd/66.0", emulator.url)).bearer_auth(&emulator.token);
        Ok(post.json(&json!([message])).send().await?.error_for_status()?.text().await?)
    };
    let types = json!(["long-polling"]);
    let shake = json!({"channel": "/meta/handshake", "version": "1.0", "supportedConnectionTypes": types});
    let hello: Json = serde_json::from_str(&ask(shake).await?)?;
    let id = hello[0]["clientId"].as_str().context("no session")?;
    let connect = json!({"channel": "/meta/connect", "clientId": id, "connectionType": "long-polling"});
    let mut seen = 0;
    for message in [
        json!({"channel": "/meta/connect", "clientId": id, "connectionType": "long-polling", "advice": {"timeout": 0}}),
        json!({
            "channel": "/meta/subscribe", "clientId": id, "subscription": CHANNEL, "ext": {"replay": {CHANNEL: -2}},
        }),
    ] {
        seen += ask(message).await?.matches("\"replayId\"").count();
    }
    while seen < events {
        seen += ask(connect.clone()).await?.matches("\"replayId\"").count();
    }
    Ok(())
}

/// Until so many events are in the journal of a bridge that starts with nothing.
async fn journal(emulator: &Emulator, transport: &str, events: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let variable = |name: &str| emulator.values.get(name).cloned();
    let no_file = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
    let text = CONFIG.replace("TRANSPORT", transport);
    let config = orgbridge::config::parse(&text, &folder.path().join("bench.yaml"), &variable, &no_file)?;
    let store = Sqlite::open(&config.state)?;
    let orgs = bridge::orgs(&config)?;
    let stop = CancellationToken::new();
    let running = bridge::run(&config, &orgs, store, Board::default(), stop.clone());
    let counted = async {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let state = Connection::open_with_flags(&config.state, flags)?;
        let count = || state.query_row("SELECT coalesce(max(seq), 0) FROM journal", [], |row| row.get::<_, i64>(0));
        while count()? < i64::try_from(events)? {
            sleep(Duration::from_millis(5)).await;
        }
        stop.cancel();
        Ok(())
    };
    let (ended, counted) = tokio::join!(running, counted);
    ended?;
    counted
}

#[tokio::main]
async fn main() -> Result<()> {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let records = numbers.first().copied().unwrap_or(100_000);
    orgbridge::org::install_crypto();
    let client = Client::builder().no_proxy().build()?;
    let emulator = Emulator::start(&client, &["--connect-hold", "1s", "--pubsub-keepalive", "1s"]).await?;
    let events = publish(&client, &emulator, records).await?;
    println!("{events} events on the bus");
    let rate = |since: Instant| events as f64 / since.elapsed().as_secs_f64();
    let pubsub = Pubsub::of(&emulator)?;

    let start = Instant::now();
    pubsub.count(CHANNEL, events).await?;
    println!("events a second to a client that counts, Pub/Sub API:    {:.0}", rate(start));
    let start = Instant::now();
    journal(&emulator, "pubsub", events).await?;
    println!("events decoded and journaled a second, Pub/Sub API:      {:.0}", rate(start));
    let start = Instant::now();
    count_by_cometd(&emulator, events).await?;
    println!("events a second to a client that counts, Streaming API:  {:.0}", rate(start));
    let start = Instant::now();
    journal(&emulator, "cometd", events).await?;
    println!("events decoded and journaled a second, Streaming API:    {:.0}", rate(start));
    Ok(())
}
