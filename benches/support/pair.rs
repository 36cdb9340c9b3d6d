//! Two emulated orgs in one process and a bridge between them in another.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use reqwest::{Client, Method};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value as Json, json};
use tokio::time::{Duration, Instant, sleep};

use super::{Emulator, processor_time};

/// Longer than anything here should take.
const PATIENCE: Duration = Duration::from_secs(300);

/// The orgs `bench` (the source) and `target`, without limits.
pub struct Pair {
    emulator: Emulator,
    client: Client,
    target: String,
}

/// A commit of an org: when, and the key of the other org that its record has.
pub struct Commit {
    pub at_us: i64,
    pub id: String,
    pub key: Option<String>,
}

impl Pair {
    pub async fn start(client: &Client, more: &[&str]) -> Result<Self> {
        let arguments = [&["--org", "target", "--connect-hold", "1s", "--pubsub-keepalive", "1s"], more].concat();
        let emulator = Emulator::start(client, &arguments).await?;
        let target = emulator.values.get("TARGET_URL").context("no TARGET_URL")?.clone();
        let pair = Self { emulator, client: client.clone(), target };
        let limits = json!({"daily_delivered_events": null, "daily_api_requests": 100_000_000});
        for org in [&pair.emulator.url, &pair.target] {
            pair.ask(Method::POST, org, "limits", &limits).await?;
        }
        Ok(pair)
    }

    /// The seconds of processor time that the orgs have used.
    pub fn processor_time(&self) -> f64 {
        self.emulator.processor_time().unwrap_or_default()
    }

    async fn ask(&self, method: Method, org: &str, path: &str, body: &Json) -> Result<Json> {
        let request = self.client.request(method, format!("{org}/emulator/{path}")).body(body.to_string());
        let answer = request.send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "{path}: {status} {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// What goes wrong in the target from now on.
    pub async fn rules(&self, rules: Json) -> Result<()> {
        self.ask(Method::POST, &self.target, "faults", &json!({"rules": rules})).await.map(drop)
    }

    /// The calls that wrote to the target so far.
    pub async fn write_calls(&self) -> Result<u64> {
        let stats = self.ask(Method::GET, &self.target, "stats", &Json::Null).await?;
        let kinds = ["composite_upsert", "composite_update", "composite_delete", "sobject_upsert"];
        Ok(kinds.iter().map(|kind| stats["calls"][*kind].as_u64().unwrap_or(0)).sum())
    }

    /// All API calls to the source and to the target so far.
    pub async fn calls(&self) -> Result<[u64; 2]> {
        let mut calls = [0; 2];
        for (calls, org) in calls.iter_mut().zip([&self.emulator.url, &self.target]) {
            let stats = self.ask(Method::GET, org, "stats", &Json::Null).await?;
            *calls = stats["api_calls"].as_u64().context("no api_calls")?;
        }
        Ok(calls)
    }

    /// Nothing that happened before is told by events any more.
    pub async fn advance(&self, seconds: u64) -> Result<()> {
        self.ask(Method::POST, &self.emulator.url, "time", &json!({"advance_seconds": seconds})).await.map(drop)
    }

    /// Rows written to the target so far.
    pub async fn rows_written(&self) -> Result<u64> {
        let stats = self.ask(Method::GET, &self.target, "stats", &Json::Null).await?;
        stats["rows_written"].as_u64().context("no rows_written")
    }

    pub async fn commits(&self, of_target: bool, mut after: u64) -> Result<Vec<Commit>> {
        let org = if of_target { &self.target } else { &self.emulator.url };
        let mut commits = Vec::new();
        loop {
            let page = self.ask(Method::GET, org, &format!("commits?after={after}"), &Json::Null).await?;
            let page = page.as_array().context("no commits")?;
            let Some(last) = page.last() else { return Ok(commits) };
            after = last["n"].as_u64().context("no number")?;
            commits.extend(page.iter().filter_map(|commit| {
                Some(Commit {
                    at_us: commit["at_us"].as_i64()?,
                    id: commit["id"].as_str()?.to_owned(),
                    key: commit["external"]["Ext__c"].as_str().map(str::to_owned),
                })
            }));
        }
    }

    /// Writes records in the source, at most 200, and returns their ids.
    pub async fn save(&self, method: Method, records: &[Json]) -> Result<Vec<String>> {
        let url = format!("{}/services/data/v66.0/composite/sobjects", self.emulator.url);
        let request = self.client.request(method, url).bearer_auth(&self.emulator.token);
        let saved: Vec<Json> =
            request.json(&json!({"records": records})).send().await?.error_for_status()?.json().await?;
        saved.iter().map(|one| Some(one["id"].as_str()?.to_owned())).collect::<Option<_>>().context("not saved")
    }
}

/// `orgbridge run` with its state file in a folder of its own.
pub struct Bridge {
    process: Option<Child>,
    config: PathBuf,
    pub state: PathBuf,
    environment: Vec<(String, String)>,
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Bridge {
    pub fn new(pair: &Pair, folder: &Path, config: &str) -> Result<Self> {
        let path = folder.join("bench.yaml");
        std::fs::write(&path, config)?;
        let values = pair.emulator.values.iter();
        let environment = values.map(|(name, value)| (name.clone(), value.clone())).collect();
        Ok(Self { process: None, config: path, state: folder.join("bench.db"), environment })
    }

    pub fn start(&mut self) -> Result<()> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orgbridge"));
        command.arg("run").arg("--config").arg(&self.config).envs(self.environment.iter().cloned());
        // Its lines would be among the figures.
        let log = std::fs::File::create(self.config.with_extension("log"))?;
        self.process = Some(command.stdout(Stdio::null()).stderr(log).spawn().context("the bridge does not start")?);
        Ok(())
    }

    /// `orgbridge backfill`, until it is done.
    pub fn backfill(&self, pipeline: &str) -> Result<()> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orgbridge"));
        command.args(["backfill", pipeline, "--yes", "--config"]).arg(&self.config);
        let ended = command.envs(self.environment.iter().cloned()).stdout(Stdio::null()).status()?;
        ensure!(ended.success(), "backfill: {ended}");
        Ok(())
    }

    /// `orgbridge verify`, which must find that both sides agree.
    pub fn verify(&self, pipeline: &str) -> Result<()> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orgbridge"));
        command.args(["verify", pipeline, "--config"]).arg(&self.config);
        let ended = command.envs(self.environment.iter().cloned()).stdout(Stdio::null()).status()?;
        ensure!(ended.success(), "verify: {ended}");
        Ok(())
    }

    /// SIGKILL: nothing is said, nothing is finished.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill(); // or it has ended
            let _ = process.wait();
        }
    }

    /// Its largest resident memory so far, in MB.
    pub fn peak_memory(&self) -> Option<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.as_ref()?.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
        Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
    }

    /// The seconds of processor time that it has used.
    pub fn processor_time(&self) -> f64 {
        self.process.as_ref().and_then(|process| processor_time(process.id())).unwrap_or_default()
    }

    /// What the state file says; none while the tables are not there yet.
    pub fn number(&self, sql: &str) -> Option<i64> {
        self.state().ok()?.query_row(sql, [], |row| row.get(0)).ok()
    }

    /// Waits until this is true of the state file.
    pub async fn until(&mut self, what: &str, sql: &str) -> Result<()> {
        let start = Instant::now();
        while self.number(sql) != Some(1) {
            if let Some(process) = &mut self.process
                && let Some(ended) = process.try_wait()?
            {
                let log = std::fs::read_to_string(self.config.with_extension("log")).unwrap_or_default();
                bail!("the bridge ended while waiting for {what}: {ended}\n{log}");
            }
            ensure!(start.elapsed() < PATIENCE, "waited in vain for {what}");
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    pub async fn subscribed(&mut self) -> Result<()> {
        self.until("a live subscription", "SELECT count(*) FROM subscriptions WHERE live_until IS NOT NULL").await
    }

    pub async fn journaled(&mut self, entries: i64) -> Result<()> {
        self.until("the journal", &format!("SELECT coalesce(max(seq), 0) >= {entries} FROM journal")).await
    }

    /// All that is journaled is settled.
    pub async fn settled(&mut self) -> Result<()> {
        let sql =
            "SELECT watermark >= (SELECT max(seq) FROM journal) AND NOT EXISTS (SELECT 1 FROM sent) FROM pipelines";
        self.until("a caught-up bridge", sql).await
    }

    pub fn head(&self) -> i64 {
        self.number("SELECT coalesce(max(seq), 0) FROM journal").unwrap_or(0)
    }

    /// Why records are not in the target as they should be, if some are not.
    pub fn refused(&self) -> Result<Option<String>> {
        let state = self.state()?;
        let said =
            state.query_row("SELECT group_concat(DISTINCT code || ': ' || evidence) FROM parked", [], |row| row.get(0));
        Ok(said?)
    }

    fn state(&self) -> Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let state = Connection::open_with_flags(&self.state, flags)?;
        state.busy_timeout(Duration::from_secs(5))?;
        Ok(state)
    }
}
