//! What a backfill costs and how fast it is: of records that the target does not have, and of those that are equal there. And what
//! it costs to prove that they are.
//!
//! `cargo bench --bench backfill [-- ROWS]`. Counts of calls are asserted; times are printed beside their aim, which holds for two
//! cores that do nothing else.

mod support;

use anyhow::{Context, Result, ensure};
use reqwest::Client;
use tokio::time::Instant;

use support::invoices::{BATCH, CONFIG, create};
use support::pair::{Bridge, Pair};

/// Rows of one call to read them.
const PAGE: usize = 5_000;

struct Done {
    seconds: f64,
    calls: [u64; 2],
    written: u64,
}

async fn backfill(pair: &Pair, bridge: &Bridge) -> Result<Done> {
    let (calls, written, start) = (pair.calls().await?, pair.rows_written().await?, Instant::now());
    bridge.backfill("invoices")?;
    let seconds = start.elapsed().as_secs_f64();
    let after = pair.calls().await?;
    let calls = [after[0] - calls[0], after[1] - calls[1]];
    Ok(Done { seconds, calls, written: pair.rows_written().await? - written })
}

#[tokio::main]
async fn main() -> Result<()> {
    let rows = std::env::args().skip(1).find_map(|text| text.parse().ok()).unwrap_or(200_000);
    orgbridge::org::install_crypto();
    let client = Client::builder().no_proxy().build()?;
    let pair = Pair::start(&client, &[]).await?;
    create(&pair, rows).await?;
    pair.advance(60).await?;
    let folder = tempfile::tempdir()?;
    let mut bridge = Bridge::new(&pair, folder.path(), &CONFIG.replace(", start: earliest", ""))?;
    bridge.start()?;
    bridge.subscribed().await?;
    for (what, expected) in [("that are new in the target", rows as u64), ("that are equal there", 0)] {
        let Done { seconds, calls: [source, target], written } = backfill(&pair, &bridge).await?;
        let rate = rows as f64 / seconds;
        println!(
            "{rows} rows {what}: {rate:.0} rows a second (aim 50,000), {source} calls to the source, {target} to the target"
        );
        ensure!(written == expected, "{written} rows were written");
        // Beside them: how the query is, after 1, 2, 4 seconds and then every 30; the limits of the org, now and then.
        let some = 60;
        assert!(source <= rows.div_ceil(PAGE) as u64 + some, "{source} calls to the source");
        // A page is read in pieces of 2,000.
        let most = if expected > 0 { rows.div_ceil(BATCH) } else { rows.div_ceil(PAGE) * PAGE.div_ceil(2_000) } as u64;
        assert!(target <= most + some, "{target} calls to the target");
        let memory = bridge.peak_memory().context("no /proc here")?;
        println!("  largest memory of the bridge so far: {memory:.0} MB");
    }
    verify(&pair, &bridge, rows).await
}

/// That all agree is proven by reading both sides once.
async fn verify(pair: &Pair, bridge: &Bridge, rows: usize) -> Result<()> {
    let (before, start) = (pair.calls().await?, Instant::now());
    bridge.verify("invoices")?;
    let rate = rows as f64 / start.elapsed().as_secs_f64();
    let after = pair.calls().await?;
    let [source, target] = [after[0] - before[0], after[1] - before[1]];
    println!(
        "{rows} equal rows verified: {rate:.0} rows a second (aim 50,000), {source} calls to the source, {target} to the target"
    );
    let most = rows.div_ceil(PAGE) as u64 + 60;
    assert!(source <= most && target <= most, "{source} calls to the source, {target} to the target");
    let memory = bridge.peak_memory().context("no /proc here")?;
    println!("  largest memory of the bridge so far: {memory:.0} MB");
    Ok(())
}
