//! `orgbridge status`: how a bridge is, from the bridge itself or, when none runs, from its state file.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::{ConfigFile, table};
use crate::config::Config;
use crate::control;
use crate::event::Timestamp;
use crate::status::report::Report;
use crate::store::Sqlite;

const EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    file: ConfigFile,
    /// One JSON document, for scripts
    #[arg(long)]
    json: bool,
    /// Again every second, until Ctrl-C
    #[arg(long, conflicts_with = "json")]
    watch: bool,
}

impl Status {
    /// Exit code 0: nothing needs a person; 2: something does.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let config = crate::config::load(&self.file.config)?;
        loop {
            let report = report(&config).await?;
            if self.json {
                println!("{}", serde_json::to_string_pretty(&report)?);
            } else {
                let text = shown(&report);
                if self.watch && std::io::stdout().is_terminal() {
                    // Home, what is there, and nothing below it: no flicker.
                    print!("\x1b[H{}\x1b[J", text.replace('\n', "\x1b[K\n"));
                    std::io::stdout().flush()?;
                } else {
                    println!("{text}");
                }
            }
            if !self.watch {
                return Ok(if report.needs_a_person() { ExitCode::from(2) } else { ExitCode::SUCCESS });
            }
            tokio::time::sleep(EVERY).await;
        }
    }
}

async fn report(config: &Config) -> anyhow::Result<Report> {
    if let Some(report) = running(&config.state).await? {
        return Ok(report);
    }
    if !config.state.exists() {
        anyhow::bail!("{} is not there: no bridge has run with this config yet", config.state.display());
    }
    let store = Sqlite::open(&config.state)?;
    Ok(Report::gather(&store, config.orgs.keys().cloned(), Timestamp::now(), None).await?)
}

async fn running(state: &Path) -> anyhow::Result<Option<Report>> {
    control::status(state).await.map_err(|error| anyhow::anyhow!("the running bridge did not tell: {error}"))
}

fn shown(report: &Report) -> String {
    let none = || "-".to_owned();
    let mut lines = Vec::new();
    if !report.running {
        lines.push(format!("The bridge is not running; as of its state file, {}.\n", report.at));
    }
    let mut orgs = table::plain_list();
    orgs.set_header(["ORG", "ID", "TROUBLE"]);
    for org in &report.orgs {
        let trouble = org.trouble.clone().unwrap_or_else(none);
        orgs.add_row([org.name.clone(), org.org_id.clone().unwrap_or_else(none), trouble]);
    }
    lines.push(orgs.to_string());
    let mut subscriptions = table::plain_list();
    subscriptions.set_header([
        "SUBSCRIPTION",
        "BY",
        "STATE",
        "LAST EVENT",
        "LAST SIGN OF LIFE",
        "POSITION",
        "ORG KEEPS",
        "EVENTS TODAY",
        "OPEN GAPS",
    ]);
    for one in &report.subscriptions {
        let state = match (&one.state, &one.why) {
            (Some(state), Some(why)) => format!("{state}: {why}"),
            (Some(state), None) => state.clone(),
            (None, _) => none(),
        };
        subscriptions.add_row([
            format!("{} {}", one.org, one.channel),
            one.transport.clone(),
            state.replace('_', " "),
            one.last_event.clone().unwrap_or_else(none),
            one.last_frame.clone().unwrap_or_else(none),
            one.replay_id.clone().unwrap_or_else(none),
            one.retention_left_seconds.map_or_else(none, |left| format!("{} h", left / 3_600)),
            one.deliveries_today.to_string(),
            one.open_gaps.to_string(),
        ]);
    }
    lines.push(format!("\n{subscriptions}"));
    let mut pipelines = table::plain_list();
    pipelines.set_header([
        "PIPELINE",
        "WAITING",
        "IN FLIGHT",
        "LAG",
        "WAITING FOR ANOTHER",
        "FAILED RECORDS",
        "CAUSES",
    ]);
    for line in &report.pipelines {
        let number = |number: Option<u64>| number.map_or_else(none, |number| number.to_string());
        let causes: Vec<String> = line.causes.iter().map(|cause| format!("{} {}", cause.records, cause.code)).collect();
        pipelines.add_row([
            line.name.clone(),
            number(line.waiting),
            number(line.in_flight),
            line.lag_seconds.map_or_else(none, |seconds| format!("{seconds} s")),
            line.parked.to_string(),
            line.failed.to_string(),
            causes.join(", "),
        ]);
    }
    lines.push(format!("\n{pipelines}"));
    if !report.gaps.is_empty() {
        lines.push("\nOpen gaps: changes that the source org may have kept from the bridge.".to_owned());
        lines.extend(report.gaps.iter().map(|gap| format!("  {}. {}", gap.text, gap.remedy)));
    }
    lines.join("\n")
}
