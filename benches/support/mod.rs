//! The emulator as a process of its own, for benchmarks.

// Not every benchmark uses all of it.
#![allow(dead_code)]

pub mod invoices;
pub mod pair;

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use pubsub_api::pub_sub_client::PubSubClient;
use pubsub_api::{FetchRequest, ReplayPreset};
use reqwest::Client;
use serde_json::Value as Json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

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
        processor_time(self.id())
    }
}

/// The seconds of processor time that a process has used.
pub fn processor_time(process: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut numbers = stat.rsplit(')').next()?.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
    Some((user + system) / 100.0) // ticks of the kernel's interface
}

/// The Pub/Sub API of the emulator's org.
#[derive(Clone)]
pub struct Pubsub {
    address: String,
    metadata: [(&'static str, String); 3],
}

impl Pubsub {
    pub fn of(emulator: &Emulator) -> Result<Self> {
        let address = emulator.values.get("EMULATOR_PUBSUB").context("no EMULATOR_PUBSUB")?.clone();
        let id = emulator.identity.rsplit('/').nth(1).context("no org id")?.to_owned();
        let (token, url) = (emulator.token.clone(), emulator.url.clone());
        Ok(Self { address, metadata: [("accesstoken", token), ("instanceurl", url), ("tenantid", id)] })
    }

    pub async fn connect(&self) -> Result<PubSubClient<Channel>> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address))?;
        Ok(PubSubClient::new(endpoint.connect().await?))
    }

    pub fn with<T>(&self, message: T) -> Result<Request<T>> {
        let mut request = Request::new(message);
        for (name, value) in &self.metadata {
            request.metadata_mut().insert(*name, value.parse()?);
        }
        Ok(request)
    }

    /// Reads so many events from the earliest one, with as many asked for as may be.
    pub async fn count(self, topic: &'static str, events: usize) -> Result<()> {
        let mut client = self.connect().await?;
        let (requests, outgoing) = mpsc::unbounded_channel();
        let fetch = FetchRequest {
            topic_name: topic.into(),
            replay_preset: ReplayPreset::Earliest.into(),
            num_requested: 100,
            ..FetchRequest::default()
        };
        requests.send(fetch)?;
        let mut responses = client.subscribe(self.with(UnboundedReceiverStream::new(outgoing))?).await?.into_inner();
        let mut seen = 0;
        while seen < events {
            let response = responses.message().await?.context("the stream ended")?;
            seen += response.events.len();
            let more = i32::try_from(response.events.len())?;
            if more > 0 {
                requests.send(FetchRequest { num_requested: more, ..FetchRequest::default() })?;
            }
        }
        Ok(())
    }
}
