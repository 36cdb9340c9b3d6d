//! `orgbridge emulator`: emulated orgs by themselves.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio_util::sync::CancellationToken;

use super::signals;
use crate::emulator::{Emulator as Orgs, Options, Scenario};

#[derive(Debug, Args)]
pub struct Emulator {
    /// Name of an org; repeat it for more
    #[arg(long = "org", value_name = "NAME", default_values = ["source", "target"])]
    orgs: Vec<String>,
    /// Port of the first org, the others follow; free ones if absent
    #[arg(long)]
    port: Option<u16>,
    /// Ids, credentials, delays and faults follow from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long an idle connect of the Streaming API is held
    #[arg(long, value_name = "TIME", default_value = "110s", value_parser = humantime::parse_duration)]
    connect_hold: Duration,
    /// After so long a silence a stream of the Pub/Sub API gets a message without events (documented: at most 270s)
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    pubsub_keepalive: Duration,
    /// Longest delay between a commit and its event
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = humantime::parse_duration)]
    bus_delay: Duration,
    /// Objects, fields, records, users and automation of the orgs, in YAML; the standard ones if absent
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Speak HTTPS, with an authority of its own that clients must be told to trust
    #[arg(long)]
    tls: bool,
    /// Port of a login host for the users of all orgs, like login.salesforce.com; 0 takes a free one
    #[arg(long, value_name = "PORT")]
    login_port: Option<u16>,
    /// Port of the Pub/Sub API, the same for all orgs; a free one if absent
    #[arg(long, value_name = "PORT")]
    pubsub_port: Option<u16>,
}

impl Emulator {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let cancel = CancellationToken::new();
        let _signals = signals::listen(cancel.clone()).context("signals")?;
        let scenario = self.scenario.as_deref().map(Scenario::load).transpose().context("the scenario")?.map(Arc::new);
        let options = Options {
            orgs: self.orgs,
            ports: self.port,
            seed: self.seed,
            connect_hold: self.connect_hold,
            pubsub_keepalive: self.pubsub_keepalive,
            bus_delay: Duration::ZERO..=self.bus_delay,
            scenario,
            tls: self.tls,
            login_port: self.login_port,
            pubsub_port: self.pubsub_port,
        };
        let orgs = Orgs::start(options).await.context("the emulated orgs could not start; is the port in use?")?;
        println!("# the authority that clients must trust where they speak TLS");
        println!("export EMULATOR_CA={}", orgs.ca_file().display());
        println!("# the Pub/Sub API of every org, with TLS or without");
        println!("export EMULATOR_PUBSUB={}", orgs.pubsub);
        if let Some(url) = &orgs.login_url {
            println!("# logs in the users of every org");
            println!("export EMULATOR_LOGIN_URL={url}");
        }
        for org in &orgs.orgs {
            let name = org.name.to_uppercase().replace('-', "_");
            println!("# org {} ({}); its controls: {}/emulator", org.name, org.org_id, org.base_url);
            println!("export {name}_URL={}", org.base_url);
            println!("export {name}_KEY={}", org.client_id);
            println!("export {name}_SECRET={}", org.client_secret);
        }
        println!("# ready");
        cancel.cancelled().await;
        orgs.shutdown().await;
        Ok(ExitCode::SUCCESS)
    }
}
