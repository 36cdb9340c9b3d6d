//! `orgbridge demo`: two emulated orgs, a bridge between them and lively traffic, in one process.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde_json::Value as Json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::signals;
use super::table::Screen;
use crate::bridge;
use crate::emulator::{Emulator, Options, TrafficPlan};
use crate::event::Timestamp;
use crate::past::whole;
use crate::status::{Board, Status};
use crate::store::Sqlite;

/// The config that the demo runs; also a file in the repository.
const CONFIG: &str = include_str!("../../config/demo.yaml");
/// How long idle connects are held: short, for the end of traffic is noticed by one.
const HOLD: Duration = Duration::from_secs(2);
/// So often the Pub/Sub API shows that it lives when nothing happens; the platform takes a minute or more.
const KEEPALIVE: Duration = Duration::from_secs(1);
const BUS_DELAY: Duration = Duration::from_millis(500);
/// How long catching up may take before the demo gives up.
const CATCH_UP: Duration = Duration::from_secs(180);
/// Differences that are printed.
const SHOWN_MAX: usize = 20;

#[derive(Debug, Args)]
pub struct Demo {
    /// Stop traffic after this time, catch up, compare the two orgs, and end
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// Changes in the source, per second
    #[arg(long, default_value_t = 40)]
    rate: u32,
    /// About so many records in the source
    #[arg(long, default_value_t = 200)]
    records: usize,
    /// Ids, delays and traffic follow from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Demo {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let cancel = CancellationToken::new();
        let _signals = signals::listen(cancel.clone()).context("signals")?;
        let options = Options {
            seed: self.seed,
            connect_hold: HOLD,
            pubsub_keepalive: KEEPALIVE,
            bus_delay: Duration::ZERO..=BUS_DELAY,
            ..Options::default()
        };
        let emulator = Emulator::start(options).await.context("the emulated orgs could not start")?;
        let folder = Folder::new()?;
        let config =
            crate::config::parse(CONFIG, &folder.0.join("demo.yaml"), &|name| variable(&emulator, name), &no_file)?;
        introduce(&emulator, &config.state);

        let store = Sqlite::open(&config.state)?;
        let orgs = bridge::orgs(&config)?;
        let board = Board::default();
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        {
            let (config, orgs, board, stop) = (config.clone(), orgs.clone(), board.clone(), stop.clone());
            running.spawn(async move { bridge::run(&config, &orgs, store, board, stop).await });
        }
        let source = emulator.org("source").context("the emulator has no org `source`")?;
        let mut screen = Screen::new();
        let started = Instant::now();
        let until = self.duration.map(|duration| started + duration);
        let mut quiet_since: Option<Timestamp> = None;
        let mut traffic = false;
        loop {
            let status = board.watch().borrow().clone();
            // Before the first subscribe there is nobody to miss a change, and nobody to see it.
            if !traffic && is_live(&status) {
                traffic = true;
                source.start_traffic(TrafficPlan {
                    changes: u64::MAX,
                    records: self.records,
                    per_second: self.rate,
                    seed: self.seed,
                    deletes: true,
                });
            }
            screen.draw(&status)?;
            let now = Instant::now();
            if quiet_since.is_none() && (cancel.is_cancelled() || until.is_some_and(|until| until <= now)) {
                source.stop_traffic();
                quiet_since = Some(Timestamp::now());
                if self.duration.is_none() {
                    break;
                }
                println!("Traffic has stopped; the bridge catches up.");
                screen = Screen::new();
            }
            if quiet_since.is_some_and(|since| has_caught_up(&status, since)) {
                break;
            }
            if until.is_some_and(|until| until + CATCH_UP <= now) {
                stop.cancel();
                anyhow::bail!("the bridge did not catch up within {CATCH_UP:?}");
            }
            let next =
                until.filter(|until| *until > now).map_or(now + screen.every(), |at| at.min(now + screen.every()));
            tokio::select! {
                () = sleep_until(next) => {}
                () = cancel.cancelled(), if quiet_since.is_none() => {}
                Some(ended) = running.join_next() => {
                    ended??;
                    anyhow::bail!("the bridge stopped by itself");
                }
            }
        }
        let status = board.watch().borrow().clone();
        stop.cancel();
        while let Some(ended) = running.join_next().await {
            ended??;
        }
        let code = match self.duration {
            None => ExitCode::SUCCESS,
            Some(_) => {
                let comparison = whole::compare(&config, &orgs).await.context("the orgs could not be compared")?;
                if let Some(delays) = delays(&emulator) {
                    println!("{delays}");
                }
                report(&status, &comparison)
            }
        };
        emulator.shutdown().await;
        Ok(code)
    }
}

/// `SOURCE_URL`, `TARGET_SECRET` and their like, as the config names them.
fn variable(emulator: &Emulator, name: &str) -> Option<String> {
    if name == "EMULATOR_PUBSUB" {
        return Some(emulator.pubsub.clone());
    }
    let (org, what) = name.split_once('_')?;
    let org = emulator.org(&org.to_lowercase())?;
    match what {
        "URL" => Some(org.base_url.clone()),
        "KEY" => Some(org.client_id.clone()),
        "SECRET" => Some(org.client_secret.clone()),
        _ => None,
    }
}

/// The demo's config names no file.
fn no_file(_: &Path) -> std::io::Result<String> {
    Err(std::io::ErrorKind::NotFound.into())
}

fn introduce(emulator: &Emulator, state: &Path) {
    println!("Two emulated Salesforce orgs and a bridge between them. Nothing leaves this machine.\n");
    for org in &emulator.orgs {
        println!("  org {:<9} {}", org.name, org.base_url);
        println!("                consumer key    {}", org.client_id);
        println!("                consumer secret {}", org.client_secret);
    }
    println!("  state file    {}", state.display());
    println!("\nTo look closer:");
    if let Some(target) = emulator.org("target") {
        println!("  curl -s {}/emulator/stats            # what an org has counted", target.base_url);
        println!("  curl -s {}/emulator                  # break things: faults, lost sessions, time", target.base_url);
    }
    println!("  sqlite3 {} 'SELECT * FROM links LIMIT 5'", state.display());
    println!("The two apart, with a config of your own:");
    println!("  orgbridge emulator --port 8801           # prints the variables for the config");
    println!("  orgbridge run --config config/demo.yaml\n");
}

/// How long new records took from their commit in the source to their commit in the target, by the emulator's exact
/// instants: events themselves have whole seconds. Only creations pair up without doubt, for later changes merge.
fn delays(emulator: &Emulator) -> Option<String> {
    let created = |org: &str, id: fn(&Json) -> Option<&str>| -> Option<HashMap<String, u64>> {
        let mut found = HashMap::new();
        let mut after = 0;
        loop {
            let commits = emulator.org(org)?.commits(after);
            let commits = commits.as_array().filter(|commits| !commits.is_empty())?.clone();
            for commit in &commits {
                after = commit["n"].as_u64()?;
                if commit["kind"] == "CREATE"
                    && let (Some(id), Some(at)) = (id(commit), commit["at_us"].as_u64())
                {
                    found.entry(id.to_owned()).or_insert(at);
                }
            }
            if commits.len() < 10_000 {
                return Some(found);
            }
        }
    };
    let source = created("source", |commit| commit["id"].as_str())?;
    let target = created("target", |commit| commit["external"]["Source_Id__c"].as_str())?;
    let mut delays: Vec<u64> =
        target.iter().filter_map(|(id, at)| at.checked_sub(*source.get(id)?)).map(|micros| micros / 1_000).collect();
    delays.sort_unstable();
    let (median, most) = (delays.get(delays.len() / 2)?, delays.get(delays.len() * 95 / 100)?);
    let count = delays.len();
    Some(format!(
        "{count} new records took {median} ms (median) and up to {most} ms (95 %) from commit to commit; the emulated bus \
         alone takes 0 to {} ms.",
        BUS_DELAY.as_millis()
    ))
}

fn is_live(status: &Status) -> bool {
    !status.subscriptions.is_empty() && status.subscriptions.values().all(|one| one.live_until.is_some())
}

/// Every subscription was seen live after the last change must have been on the bus, and everything is settled.
fn has_caught_up(status: &Status, quiet_since: Timestamp) -> bool {
    // Server times have whole seconds.
    let proof = quiet_since.plus(BUS_DELAY + Duration::from_secs(1));
    status.subscriptions.values().all(|one| one.live_until.is_some_and(|until| until >= proof))
        && status.targets.values().all(|target| target.caught_up)
}

fn report(status: &Status, comparison: &whole::Comparison) -> ExitCode {
    let sum = |figure: fn(&crate::status::PipelineStatus) -> u64| status.pipelines.values().map(figure).sum::<u64>();
    let (taken, calls) = (sum(|line| line.taken), sum(|line| line.api_calls));
    println!("{taken} changes came over with {calls} API calls.");
    if comparison.is_equal() {
        println!("equal: {} records", comparison.records);
        return ExitCode::SUCCESS;
    }
    println!("NOT equal: {} of {} records differ", comparison.differences.len(), comparison.records);
    for difference in comparison.differences.iter().take(SHOWN_MAX) {
        println!("  {difference}");
    }
    ExitCode::FAILURE
}

/// A folder for the state, which goes when the demo ends.
struct Folder(PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("orgbridge-demo-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("{} could not be made", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is in the temporary folder all the same.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
