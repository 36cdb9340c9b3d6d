//! `orgbridge trace`: why a record looks as it does.

mod text;

use std::process::ExitCode;

use clap::Args;

use super::name::is_pipeline;
use super::{ConfigFile, time};
use crate::bridge;
use crate::config::Config;
use crate::control;
use crate::event::{PipelineName, RecordId, Timestamp};
use crate::store::Sqlite;
use crate::trace::{self, Ask, Now, Told};

const HELP: &str = "\
Every change event, decision, write, answer, failure and repair of one record, in order, and what changed in the target since.

  orgbridge trace 001...                  by the id of the record, or of its counterpart
  orgbridge trace 001... --since 2h       what happened in the last two hours
  orgbridge trace 001... --offline        without asking the orgs how the records are now

It works whether a bridge runs or not. It names fields and codes; with --values also what the events say.
See docs/trace.md.

Exit codes: 0 told; 1 an error; 2 nothing is known of such a record.";

/// Nothing is known of the record.
const NOBODY: u8 = 2;

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Trace {
    #[command(flatten)]
    file: ConfigFile,
    /// The id of the record in the source org, or of its counterpart in the target org
    record: RecordId,
    /// Only what happened in this pipeline
    #[arg(long)]
    pipeline: Option<PipelineName>,
    /// Only what happened since then: 2026-01-02, 2026-01-02T03:04:05Z, or so long ago (2h, 3d)
    #[arg(long, value_name = "TIME", value_parser = time::moment)]
    since: Option<Timestamp>,
    /// Show the events as they are stored. It holds the record's values
    #[arg(long)]
    values: bool,
    /// JSON, for scripts
    #[arg(long)]
    json: bool,
    /// Ask no org how the records are now
    #[arg(long)]
    offline: bool,
}

impl Trace {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let config = crate::config::load(&self.file.config)?;
        super::has_run(&config)?;
        self.pipeline.iter().try_for_each(|name| is_pipeline(&config, name))?;
        let told = self.told(&config).await?;
        let now = if self.offline { Now::default() } else { trace::ask_orgs(&bridge::orgs(&config)?, &told).await };
        let trace = trace::Trace::of(&told, &now, &config, self.record.as_str(), self.since);
        if self.json {
            println!("{}", serde_json::to_string_pretty(&trace)?);
        } else {
            println!("{}", text::shown(&trace));
        }
        Ok(if trace.is_empty() { ExitCode::from(NOBODY) } else { ExitCode::SUCCESS })
    }

    /// What the running bridge knows, or the state file.
    async fn told(&self, config: &Config) -> anyhow::Result<Told> {
        let ask = Ask { record: self.record, pipeline: self.pipeline.clone(), values: self.values };
        match control::trace(&config.state, ask.clone()).await? {
            Some(told) => Ok(told),
            None => Ok(trace::told(&Sqlite::open_unowned(&config.state)?, ask).await?),
        }
    }
}
