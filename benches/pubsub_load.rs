//! How many events a second one emulated org takes and delivers by the Pub/Sub API, and the memory that they need.
//!
//! `cargo bench --bench pubsub_load [-- EVENTS [STREAMS]]`. The emulator runs in a process of its own.

mod support;

use anyhow::{Context, Result, bail};
use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use pubsub_api::{ProducerEvent, PublishRequest, SchemaRequest, TopicRequest};
use reqwest::Client;
use serde_json::Value as Json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use support::{Emulator, Pubsub};

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

/// An emulator whose org lets so many events be published.
struct Org {
    emulator: Emulator,
    pubsub: Pubsub,
}

impl Org {
    async fn start(client: &Client) -> Result<Self> {
        let scenario = tempfile::NamedTempFile::new()?;
        std::fs::write(scenario.path(), SCENARIO)?;
        let path = scenario.path().to_str().context("the path is no text")?;
        let emulator = Emulator::start(client, &["--scenario", path]).await?;
        let pubsub = Pubsub::of(&emulator)?;
        let limits = serde_json::json!({"hourly_published_events": 100_000_000});
        client.post(format!("{}/emulator/limits", emulator.url)).json(&limits).send().await?.error_for_status()?;
        Ok(Self { emulator, pubsub })
    }

    /// Megabytes of memory in use.
    fn memory(&self) -> Option<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.emulator.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.trim().trim_end_matches(" kB").parse::<f64>().ok()? / 1024.0)
    }
}

/// An event of the usual size: about 300 bytes.
async fn sample(org: &Org) -> Result<(String, Vec<u8>)> {
    let mut client = org.pubsub.connect().await?;
    let topic = client.get_topic(org.pubsub.with(TopicRequest { topic_name: TOPIC.into() })?).await?.into_inner();
    let request = SchemaRequest { schema_id: topic.schema_id.clone() };
    let schema = client.get_schema(org.pubsub.with(request)?).await?.into_inner();
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

async fn publish(org: &Org, events: usize) -> Result<()> {
    let (schema_id, payload) = sample(org).await?;
    let event = ProducerEvent { id: "k".into(), schema_id, payload: payload.into(), headers: Vec::new() };
    let mut client = org.pubsub.connect().await?;
    for _ in 0..events.div_ceil(BATCH) {
        let request = PublishRequest {
            topic_name: TOPIC.into(),
            events: vec![event.clone(); BATCH],
            ..PublishRequest::default()
        };
        let answer = client.publish(org.pubsub.with(request)?).await?.into_inner();
        if let Some(error) = answer.results.iter().find_map(|result| result.error.as_ref()) {
            bail!("an event was refused: {}", error.msg);
        }
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
    let org = Org::start(&client).await?;
    let empty = org.memory().unwrap_or_default();
    let rate = |count: usize, since: Instant| count as f64 / since.elapsed().as_secs_f64();

    let start = Instant::now();
    publish(&org, events).await?;
    println!("events published a second, by one client:  {:.0}", rate(events, start));
    let kept = org.memory().unwrap_or_default();
    println!(
        "memory with {events} retained events:  {kept:.0} MB, {:.0} bytes for each",
        (kept - empty) * 1024.0 * 1024.0 / events as f64
    );

    for count in [1, streams] {
        let (start, used) = (Instant::now(), org.emulator.processor_time().unwrap_or_default());
        let mut readers = JoinSet::new();
        for _ in 0..count {
            readers.spawn(org.pubsub.clone().count(TOPIC, events));
        }
        while let Some(done) = readers.join_next().await {
            done??;
        }
        let used = org.emulator.processor_time().unwrap_or_default() - used;
        println!(
            "events delivered a second, to {count} stream(s):  {:.0}, {:.1} us of the emulator for each",
            rate(events * count, start),
            used * 1e6 / (events * count) as f64
        );
    }
    Ok(())
}
