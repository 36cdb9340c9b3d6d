//! How many events a second one emulated org takes and delivers by the Pub/Sub API, and the memory that they need.
//!
//! `cargo bench --bench pubsub_load [-- EVENTS [STREAMS]]`. The emulator runs in a process of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use tokio::time::Instant;

use anyhow::{Context, Result, bail};
use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use orgbridge::pubsub_api::pub_sub_client::PubSubClient;
use orgbridge::pubsub_api::{FetchRequest, ProducerEvent, PublishRequest, ReplayPreset, SchemaRequest, TopicRequest};
use reqwest::Client;
use serde_json::Value as Json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

const TOPIC: &str = "/event/Load__e";
const SCENARIO: &str = r#"
objects:
  - name: Load__e
    label: Load
    fields:
      - { name: Text__c, type: string, length: 255 }
      - { name: Number__c, type: double, precision: 18, scale: 2 }
"#;
/// Events of one publish request, as the documents recommend.
const BATCH: usize = 200;

/// The emulator as a process; it ends with this.
struct Emulator {
    process: Child,
    url: String,
    pubsub: String,
    org: String,
    token: String,
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.process.kill(); // or it has ended
        let _ = self.process.wait();
    }
}

impl Emulator {
    async fn start(client: &Client) -> Result<Self> {
        let scenario = tempfile::NamedTempFile::new()?;
        std::fs::write(scenario.path(), SCENARIO)?;
        let mut process = Command::new(env!("CARGO_BIN_EXE_orgbridge"))
            .args(["emulator", "--org", "bench", "--bus-delay", "0ms", "--scenario"])
            .arg(scenario.path())
            .stdout(Stdio::piped())
            .spawn()
            .context("the emulator does not start")?;
        let stdout = process.stdout.take().context("no output")?;
        let mut values = std::collections::HashMap::new();
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            if line == "# ready" {
                break;
            }
            let pair = line.strip_prefix("export ").and_then(|line| line.split_once('='));
            values.extend(pair.map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
        let value = |name: &str| values.get(name).cloned().with_context(|| format!("no {name}"));
        let (url, pubsub) = (value("BENCH_URL")?, value("EMULATOR_PUBSUB")?);
        let form = [
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", value("BENCH_KEY")?),
            ("client_secret", value("BENCH_SECRET")?),
        ];
        let answer = client.post(format!("{url}/services/oauth2/token")).form(&form).send().await?;
        let answer: Json = answer.json().await?;
        let token = answer["access_token"].as_str().context("no token")?.to_owned();
        let org = answer["id"].as_str().and_then(|id| id.rsplit('/').nth(1)).context("no org id")?.to_owned();
        let limits = serde_json::json!({"hourly_published_events": 100_000_000});
        client.post(format!("{url}/emulator/limits")).json(&limits).send().await?.error_for_status()?;
        Ok(Self { process, url, pubsub, org, token })
    }

    async fn connect(&self) -> Result<PubSubClient<Channel>> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.pubsub))?;
        Ok(PubSubClient::new(endpoint.connect().await?))
    }

    fn with<T>(&self, message: T) -> Result<Request<T>> {
        let mut request = Request::new(message);
        for (name, value) in [("accesstoken", &self.token), ("instanceurl", &self.url), ("tenantid", &self.org)] {
            request.metadata_mut().insert(name, value.parse()?);
        }
        Ok(request)
    }

    /// Megabytes of memory in use.
    fn memory(&self) -> Option<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.trim().trim_end_matches(" kB").parse::<f64>().ok()? / 1024.0)
    }

    /// The seconds of processor time that it has used.
    fn processor_time(&self) -> Option<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).ok()?;
        let mut numbers = stat.rsplit(')').next()?.split_whitespace().skip(11);
        let (user, system): (f64, f64) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
        Some((user + system) / 100.0) // ticks of the kernel's interface
    }
}

/// An event of the usual size: about 300 bytes.
async fn sample(emulator: &Emulator) -> Result<(String, Vec<u8>)> {
    let mut client = emulator.connect().await?;
    let topic = client.get_topic(emulator.with(TopicRequest { topic_name: TOPIC.into() })?).await?.into_inner();
    let request = SchemaRequest { schema_id: topic.schema_id.clone() };
    let schema = client.get_schema(emulator.with(request)?).await?.into_inner();
    let json: Json = serde_json::from_str(&schema.schema_json)?;
    let names = json["fields"].as_array().context("no fields")?.iter().filter_map(|field| field["name"].as_str());
    let value = |name: &str| match name {
        "CreatedDate" => Value::Long(1_714_156_703_000),
        "CreatedById" => Value::String("005000000000001AAA".into()),
        "Text__c" => Value::Union(1, Box::new(Value::String("x".repeat(200)))),
        _ => Value::Union(0, Box::new(Value::Null)),
    };
    let record = Value::Record(names.map(|name| (name.to_owned(), value(name))).collect());
    let schema = Schema::parse_str(&schema.schema_json)?;
    let payload = GenericDatumWriter::builder(&schema).build()?.write_value_to_vec(record)?;
    Ok((topic.schema_id, payload))
}

async fn publish(emulator: &Emulator, events: usize) -> Result<()> {
    let (schema_id, payload) = sample(emulator).await?;
    let event = ProducerEvent { id: "k".into(), schema_id, payload: payload.into(), headers: Vec::new() };
    let mut client = emulator.connect().await?;
    for _ in 0..events.div_ceil(BATCH) {
        let request = PublishRequest {
            topic_name: TOPIC.into(),
            events: vec![event.clone(); BATCH],
            ..PublishRequest::default()
        };
        let answer = client.publish(emulator.with(request)?).await?.into_inner();
        if let Some(error) = answer.results.iter().find_map(|result| result.error.as_ref()) {
            bail!("an event was refused: {}", error.msg);
        }
    }
    Ok(())
}

/// Reads so many events from the earliest one, with as many asked for as may be.
async fn read(mut client: PubSubClient<Channel>, first: Request<()>, events: usize) -> Result<()> {
    let (requests, outgoing) = mpsc::unbounded_channel();
    let fetch = FetchRequest {
        topic_name: TOPIC.into(),
        replay_preset: ReplayPreset::Earliest.into(),
        num_requested: 100,
        ..FetchRequest::default()
    };
    requests.send(fetch)?;
    let (metadata, extensions, ()) = first.into_parts();
    let request = Request::from_parts(metadata, extensions, UnboundedReceiverStream::new(outgoing));
    let mut responses = client.subscribe(request).await?.into_inner();
    let mut seen = 0;
    while seen < events {
        let response = responses.message().await?.context("the stream ended")?;
        seen += response.events.len();
        let more = i32::try_from(response.events.len())?;
        requests.send(FetchRequest { num_requested: more, ..FetchRequest::default() })?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let events = numbers.first().copied().unwrap_or(200_000);
    let streams = numbers.get(1).copied().unwrap_or(4);
    let _ = rustls::crypto::ring::default_provider().install_default(); // the first in this process
    let client = Client::builder().no_proxy().build()?;
    let emulator = Emulator::start(&client).await?;
    let empty = emulator.memory().unwrap_or_default();
    let rate = |count: usize, since: Instant| count as f64 / since.elapsed().as_secs_f64();

    let start = Instant::now();
    publish(&emulator, events).await?;
    println!("events published a second, by one client:  {:.0}", rate(events, start));
    let kept = emulator.memory().unwrap_or_default();
    println!(
        "memory with {events} retained events:  {kept:.0} MB, {:.0} bytes for each",
        (kept - empty) * 1024.0 * 1024.0 / events as f64
    );

    for count in [1, streams] {
        let (start, used) = (Instant::now(), emulator.processor_time().unwrap_or_default());
        let mut readers = JoinSet::new();
        for _ in 0..count {
            readers.spawn(read(emulator.connect().await?, emulator.with(())?, events));
        }
        while let Some(done) = readers.join_next().await {
            done??;
        }
        let used = emulator.processor_time().unwrap_or_default() - used;
        println!(
            "events delivered a second, to {count} stream(s):  {:.0}, {:.1} us of the emulator for each",
            rate(events * count, start),
            used * 1e6 / (events * count) as f64
        );
    }
    Ok(())
}
