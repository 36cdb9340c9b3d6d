//! What the publish side costs and how fast it is: between two orgs of an emulator, which is one process, and a bridge that is
//! another.
//!
//! `cargo bench --bench publish [-- CHANGES [WAITING]]`. Counts of calls are asserted. Times are printed beside their aims,
//! which hold for two cores that do nothing else.

mod support;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use orgbridge::event::{
    Arrival, Change, ChangeKind, Channel, Field, Happening, Header, OrgName, RecordChange, ReplayId, Timestamp, Value,
};
use orgbridge::store::{Sqlite, Store};
use reqwest::{Client, Method};
use serde_json::{Value as Json, json};
use tokio::time::{Duration, Instant, MissedTickBehavior, interval, sleep};

use support::invoices::{BATCH, CHANNEL, CONFIG, create, invoice};
use support::pair::{Bridge, Pair};

/// Records that change all the time.
const HOT: usize = 1_000;

/// Starts the bridge anew with a target that answers nothing of its data.
async fn hold(pair: &Pair, bridge: &mut Bridge) -> Result<()> {
    bridge.kill();
    pair.rules(json!([{"name": "held", "kind": "hold", "of": "data"}])).await?;
    bridge.start()
}

/// What was held, once the target is let go.
struct Released {
    took: Duration,
    /// That write.
    calls: u64,
    /// Seconds of processor time: of the bridge, and of the orgs.
    processor: [f64; 2],
}

impl Released {
    fn print(&self, changes: usize, aim: &str) {
        let per_change = self.processor.map(|seconds| seconds * 1e6 / changes as f64);
        let [bridge, orgs] = per_change;
        let rate = changes as f64 / self.took.as_secs_f64();
        println!(
            "  {rate:.0} changes a second{aim}; of a processor {bridge:.0} us each in the bridge, {orgs:.0} in the orgs"
        );
    }
}

/// Lets the target go, with other rules, until all is settled.
async fn release(pair: &Pair, bridge: &mut Bridge, rules: Json) -> Result<Released> {
    let calls = pair.write_calls().await?;
    let before = [bridge.processor_time(), pair.processor_time()];
    let start = Instant::now();
    pair.rules(rules).await?;
    bridge.settled().await?;
    let took = start.elapsed();
    if let Some(why) = bridge.refused()? {
        bail!("records are refused: {why}");
    }
    let processor = [bridge.processor_time() - before[0], pair.processor_time() - before[1]];
    Ok(Released { took, calls: pair.write_calls().await? - calls, processor })
}

/// Commit to commit, in milliseconds: half of the changes are faster than the first figure, 99 of 100 than the second.
async fn latency(pair: &Pair, per_second: usize) -> Result<[f64; 2]> {
    let rows = pair.rows_written().await?;
    let before = (pair.commits(false, 0).await?.len() as u64, pair.commits(true, 0).await?.len() as u64);
    let mut ticks = interval(Duration::from_millis(10));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let each = per_second / 100;
    for tick in 0..1_000 {
        ticks.tick().await;
        let records: Vec<Json> = (0..each).map(|n| invoice(tick * each + n)).collect();
        pair.save(Method::POST, &records).await?;
    }
    let created = 1_000 * each;
    let wanted = rows + created as u64;
    let start = Instant::now();
    while pair.rows_written().await? < wanted {
        ensure!(start.elapsed() < Duration::from_secs(60), "not all changes arrive");
        sleep(Duration::from_millis(50)).await;
    }
    let there: HashMap<String, i64> = pair
        .commits(true, before.1)
        .await?
        .into_iter()
        .filter_map(|commit| Some((commit.key?, commit.at_us)))
        .collect();
    let mut took: Vec<i64> = pair
        .commits(false, before.0)
        .await?
        .iter()
        .filter_map(|commit| Some(there.get(&commit.id)? - commit.at_us))
        .collect();
    ensure!(took.len() == created, "{} of {created} arrived", took.len());
    took.sort_unstable();
    let at = |share: f64| took.get((took.len() as f64 * share) as usize).map_or(0.0, |us| *us as f64 / 1_000.0);
    Ok([at(0.5), at(0.99)])
}

/// From the kill to the first write that lands after the next start, while changes keep coming.
async fn after_a_kill(pair: &Pair, bridge: &mut Bridge) -> Result<Duration> {
    for _ in 0..20 {
        pair.save(Method::POST, &(0..BATCH).map(invoice).collect::<Vec<_>>()).await?;
    }
    let killed = Instant::now();
    bridge.kill();
    pair.save(Method::POST, &[invoice(0)]).await?;
    let before = pair.rows_written().await?;
    bridge.start()?;
    while pair.rows_written().await? == before {
        ensure!(killed.elapsed() < Duration::from_secs(60), "nothing is written after a kill");
        sleep(Duration::from_millis(5)).await;
    }
    let took = killed.elapsed();
    sleep(Duration::from_millis(500)).await;
    bridge.settled().await?;
    Ok(took)
}

/// Journals changes to records of their own without an org.
async fn append(state: &Path, changes: usize) -> Result<()> {
    let store = Sqlite::open(state)?;
    let (org, channel): (OrgName, Channel) = ("source".parse()?, CHANNEL.parse()?);
    let subscription = store.subscription(&org, &channel).await?;
    let now = Timestamp::now();
    for first in (0..changes).step_by(1_000) {
        let mut group = Vec::new();
        for n in first..changes.min(first + 1_000) {
            let Json::Object(mut values) = invoice(n) else { continue };
            values.remove("attributes");
            let field = |(name, value): (String, Json)| Ok((name, Field::New(serde_json::from_value::<Value>(value)?)));
            let header = Header {
                entity_name: "Invoice__c".parse()?,
                record_ids: vec![format!("a00w{n:011}").parse()?],
                wildcard: false,
                change_type: ChangeKind::Create,
                change_origin: String::new(),
                transaction_key: format!("{n:032x}"),
                sequence_number: 1,
                commit_timestamp: now,
                commit_number: 1,
                commit_user: "005000000000001AAA".to_owned(),
            };
            let fields = values.into_iter().map(field).collect::<Result<BTreeMap<_, _>>>()?;
            group.push(Arrival::Change(Change {
                channel: channel.clone(),
                replay_id: ReplayId(format!("{}", n + 1).into_bytes()),
                happening: Happening::Record(RecordChange { header, fields }),
            }));
        }
        store.append(subscription.id, group, now).await?;
    }
    Ok(())
}

/// The largest memory of a bridge whose target refuses all that a million changes become.
async fn memory(client: &Client, waiting: usize, config: &str) -> Result<f64> {
    let pair = Pair::start(client, &[]).await?;
    let folder = tempfile::tempdir()?;
    let mut bridge = Bridge::new(&pair, folder.path(), config)?;
    // Once, so that subscription and pipeline are known.
    bridge.start()?;
    bridge.subscribed().await?;
    bridge.kill();
    append(&bridge.state, waiting).await?;
    pair.rules(json!([{"kind": "refuse"}])).await?;
    bridge.start()?;
    let start = Instant::now();
    while pair.write_calls().await? == 0 {
        ensure!(start.elapsed() < Duration::from_secs(120), "no write is refused");
        sleep(Duration::from_millis(50)).await;
    }
    // Full, and tried again and again.
    sleep(Duration::from_secs(10)).await;
    let written = pair.rows_written().await?;
    ensure!(written == 0, "{written} rows were written");
    bridge.peak_memory().context("no /proc here")
}

#[tokio::main]
async fn main() -> Result<()> {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let changes = numbers.first().copied().unwrap_or(100_000);
    let waiting = numbers.get(1).copied().unwrap_or(1_000_000);
    orgbridge::org::install_crypto();
    let client = Client::builder().no_proxy().build()?;
    let pair = Pair::start(&client, &[]).await?;
    let folder = tempfile::tempdir()?;
    let mut bridge = Bridge::new(&pair, folder.path(), CONFIG)?;

    hold(&pair, &mut bridge).await?;
    let ids = create(&pair, changes).await?;
    bridge.journaled(changes as i64).await?;
    let released = release(&pair, &mut bridge, json!([])).await?;
    println!("{changes} changes to {changes} records: {} calls", released.calls);
    released.print(changes, " (aim 15,000)");
    assert_eq!(released.calls, changes.div_ceil(BATCH) as u64);

    hold(&pair, &mut bridge).await?;
    let head = bridge.head();
    let hot: Vec<&[String]> = ids.chunks(BATCH).take(HOT / BATCH).collect();
    let rounds = changes / HOT;
    for round in 0..rounds {
        for ids in &hot {
            let change =
                |id| json!({"attributes": {"type": "Invoice__c"}, "id": id, "Text__c": format!("round {round}")});
            pair.save(Method::PATCH, &ids.iter().map(change).collect::<Vec<_>>()).await?;
        }
    }
    bridge.journaled(head + (rounds * hot.len()) as i64).await?;
    let released = release(&pair, &mut bridge, json!([])).await?;
    println!("{} changes to {HOT} records: {} calls", rounds * HOT, released.calls);
    released.print(rounds * HOT, "");
    assert!(released.calls <= 20, "{} calls for {HOT} records", released.calls);

    for per_second in [100, 1_000] {
        let [half, most] = latency(&pair, per_second).await?;
        println!("commit to commit at {per_second}/s: p50 {half:.1} ms (aim 10), p99 {most:.1} ms (aim 50)");
    }

    let mut kills = Vec::new();
    for _ in 0..3 {
        kills.push(after_a_kill(&pair, &mut bridge).await?);
    }
    println!("from SIGKILL to the next write: {kills:.2?} (aim 1 s)");

    hold(&pair, &mut bridge).await?;
    let head = bridge.head();
    create(&pair, changes).await?;
    bridge.journaled(head + changes as i64).await?;
    let errors = json!([
        {"kind": "lock", "percent": 5, "seed": 1},
        {"kind": "refuse", "percent": 5, "seed": 2},
    ]);
    let released = release(&pair, &mut bridge, errors).await?;
    println!("{changes} changes, 5 % of records locked and 5 % of calls refused: {} calls", released.calls);
    released.print(changes, "");
    drop(bridge);
    drop(pair);

    for (config, how) in
        [(CONFIG.to_owned(), "collections"), (CONFIG.replace("  bulk_from: off\n", ""), "jobs of the Bulk API")]
    {
        let peak = memory(&client, waiting, &config).await?;
        println!("largest memory of the bridge with {waiting} changes waiting for {how}: {peak:.0} MB (aim 64)");
    }
    Ok(())
}
