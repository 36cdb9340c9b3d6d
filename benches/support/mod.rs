//! The emulator as a process of its own, for benchmarks.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use reqwest::Client;
use serde_json::Value as Json;

/// One org, named `bench`; it ends with this.
pub struct Emulator {
    process: Child,
    pub url: String,
    pub token: String,
    /// What the token endpoint says of who is logged in: a URL with the ids of org and user.
    pub identity: String,
    /// Everything that it printed at the start.
    pub values: HashMap<String, String>,
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.process.kill(); // or it has ended
        let _ = self.process.wait();
    }
}

impl Emulator {
    pub async fn start(client: &Client, more: &[&str]) -> Result<Self> {
        let mut process = Command::new(env!("CARGO_BIN_EXE_orgbridge"))
            .args(["emulator", "--org", "bench", "--bus-delay", "0ms"])
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .context("the emulator does not start")?;
        let stdout = process.stdout.take().context("no output")?;
        let (url, token, identity) = Default::default();
        let mut emulator = Self { process, url, token, identity, values: HashMap::new() };
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            if line == "# ready" {
                break;
            }
            let pair = line.strip_prefix("export ").and_then(|line| line.split_once('='));
            emulator.values.extend(pair.map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
        let value = |name: &str| emulator.values.get(name).cloned().with_context(|| format!("no {name}"));
        let (url, id, secret) = (value("BENCH_URL")?, value("BENCH_KEY")?, value("BENCH_SECRET")?);
        let form = [("grant_type", "client_credentials"), ("client_id", &*id), ("client_secret", &*secret)];
        let answer = client.post(format!("{url}/services/oauth2/token")).form(&form).send().await?;
        let answer: Json = answer.json().await?;
        emulator.token = answer["access_token"].as_str().context("no token")?.to_owned();
        emulator.identity = answer["id"].as_str().context("no identity")?.to_owned();
        emulator.url = url;
        Ok(emulator)
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The seconds of processor time that it has used.
    pub fn processor_time(&self) -> Option<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).ok()?;
        let mut numbers = stat.rsplit(')').next()?.split_whitespace().skip(11);
        let (user, system): (f64, f64) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
        Some((user + system) / 100.0) // ticks of the kernel's interface
    }
}
