//! `orgbridge backfill`: all records of a source are written, whether they change or not.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use tokio::sync::{mpsc, oneshot};

use super::confirm::confirmed;
use super::name::is_pipeline;
use super::{ConfigFile, job, run, status};
use crate::bridge::{self, Command};
use crate::config::Config;
use crate::control;
use crate::event::{ObjectName, OrgName, PipelineName};
use crate::org::setup::Asked;
use crate::status::report::Job;
use crate::store::Sqlite;

/// Nothing was done.
const NOTHING: u8 = 3;

/// Write all records of a source, whether they change or not.
///
/// The bridge reads them (by a query job of the Bulk API where they are many), compares each with the target, and writes what is
/// not there or differs; what is equal is left alone, so that no automation runs for it. Changes go on meanwhile, and no record
/// ends on an older state. Parents go before their children. Records that `when` excludes are not written.
///
/// It works with a bridge that runs, and where none does it runs one, with all its pipelines, until the backfill is done. When the
/// bridge is stopped or killed meanwhile, the backfill goes on where it was when one runs again.
#[derive(Debug, Args)]
pub struct Backfill {
    #[command(flatten)]
    file: ConfigFile,
    /// The pipelines
    #[arg(value_name = "PIPELINE", required = true)]
    pipelines: Vec<PipelineName>,
    /// Only records that meet this condition (SOQL, as behind WHERE)
    #[arg(long = "where", value_name = "CONDITION")]
    condition: Option<String>,
    /// Neither list the target's automation nor ask
    #[arg(long)]
    yes: bool,
    /// With a bridge that runs: do not wait until it is done
    #[arg(long)]
    detach: bool,
    /// End the backfills of these pipelines, for good
    #[arg(long, conflicts_with_all = ["condition", "yes", "detach"])]
    stop: bool,
}

impl Backfill {
    /// Exit code 0: done; 1: failed; 3: nothing was begun, or nothing to stop.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let config = crate::config::load(&self.file.config)?;
        self.pipelines.iter().try_for_each(|name| is_pipeline(&config, name))?;
        if self.stop {
            return self.stop(&config).await;
        }
        if !self.yes {
            println!("{}", automation(&config, &self.pipelines).await?);
            println!("Records that are equal there are left alone; all others are written.");
            if !confirmed("Backfill?")? {
                println!("Nothing was begun.");
                return Ok(ExitCode::from(NOTHING));
            }
        }
        let condition = self.condition.as_deref();
        if let Some(numbers) = control::backfill(&config.state, &self.pipelines, condition).await? {
            if self.detach {
                println!("It goes on in the bridge that runs: orgbridge status");
                return Ok(ExitCode::SUCCESS);
            }
            let report = async || status::of_bridge(&config, "the backfill goes on where it was").await;
            return Ok(job::code(&job::followed(&numbers, report).await?));
        }
        if self.detach {
            anyhow::bail!("no bridge runs that could do it: leave out --detach, or start one with `orgbridge run`");
        }
        let ended =
            run::bridge_with(&config, async |store, commands| self.beside(&config, store, commands).await).await?;
        match ended {
            Some(ended) => Ok(job::code(&ended)),
            None => anyhow::bail!("stopped; the backfill goes on where it was when a bridge runs again"),
        }
    }

    /// Beside a bridge of our own.
    async fn beside(
        &self,
        config: &Config,
        store: Sqlite,
        commands: mpsc::Sender<Command>,
    ) -> anyhow::Result<Vec<Job>> {
        let (done, answer) = oneshot::channel();
        let (pipelines, condition) = (self.pipelines.clone(), self.condition.clone());
        commands.send(Command::Backfill { pipelines, condition, done }).await?;
        let numbers = answer.await?.map_err(anyhow::Error::msg)?;
        job::followed(&numbers, async || status::of_store(&store, config).await).await
    }

    async fn stop(&self, config: &Config) -> anyhow::Result<ExitCode> {
        let stopped = match control::stop_backfill(&config.state, &self.pipelines).await? {
            Some(stopped) => stopped,
            None => bridge::stop_backfills(&super::owned(config)?, &self.pipelines).await?,
        };
        if stopped == 0 {
            println!("No backfill of these pipelines is under way.");
            return Ok(ExitCode::from(NOTHING));
        }
        println!("Stopped. What is written stays written.");
        Ok(ExitCode::SUCCESS)
    }
}

/// What runs in the targets when the bridge writes, for whoever is asked whether it may.
pub(super) async fn automation(config: &Config, names: &[PipelineName]) -> anyhow::Result<String> {
    let orgs = bridge::orgs(config)?;
    let mut lines = Vec::new();
    let mut objects: BTreeMap<&OrgName, Vec<ObjectName>> = BTreeMap::new();
    for pipeline in config.pipelines.iter().filter(|pipeline| names.contains(&pipeline.name)) {
        let of_org = objects.entry(&pipeline.to.org).or_default();
        if !of_org.contains(&pipeline.to.object) {
            of_org.push(pipeline.to.object.clone());
        }
    }
    for (name, objects) in objects {
        let Some(org) = orgs.get(name) else { continue };
        lines.push(format!("{name} does by itself, whenever one of these records is written:"));
        let before = lines.len();
        for (kind, found) in org.automation(&objects).await? {
            match found {
                Asked::Known(all) => {
                    lines.extend(all.iter().map(|one| format!("  {}: {kind} {one}", one.object)));
                }
                Asked::Unknown(why) => lines.push(format!("  {kind}: {why}")),
            }
        }
        if lines.len() == before {
            lines.push("  nothing".to_owned());
        }
    }
    Ok(lines.join("\n"))
}
