//! `orgbridge pipeline`: what a state file knows of its pipelines.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{ConfigFile, table};
use crate::event::PipelineName;
use crate::store::{Sqlite, Store};

#[derive(Debug, Args)]
pub struct Pipeline {
    #[command(flatten)]
    file: ConfigFile,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Each pipeline, how far it is, and its failed records
    List,
    /// Give up a pipeline's progress and its failed records, so that it can be removed or changed. What was written in
    /// the target stays
    Forget { name: PipelineName },
}

impl Pipeline {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let config = crate::config::load(&self.file.config)?;
        let store = super::owned(&config)?;
        match self.command {
            Command::List => list(&store).await,
            Command::Forget { name } => {
                if store.forget_pipeline(&name).await? {
                    println!("Pipeline {name} is forgotten. If it stays in the config it starts anew, as of then.");
                    return Ok(ExitCode::SUCCESS);
                }
                anyhow::bail!(
                    "the state file knows no pipeline {name}; `orgbridge pipeline list` shows those that it knows"
                )
            }
        }
    }
}

async fn list(store: &Sqlite) -> anyhow::Result<ExitCode> {
    let head = store.head().await?;
    let mut table = table::plain_list();
    table.set_header(["PIPELINE", "FROM", "TO", "DONE UP TO", "OF", "WAITING FOR ANOTHER", "FAILED RECORDS"]);
    for row in store.pipelines().await? {
        let identity = &row.identity;
        table.add_row([
            identity.name.to_string(),
            format!("{} {}", identity.source_org, identity.source_object),
            format!("{} {} by {}", identity.target_org, identity.target_object, identity.key),
            row.watermark.to_string(),
            head.to_string(),
            row.parked.to_string(),
            row.failed.to_string(),
        ]);
    }
    println!("{table}");
    let actions = store.actions().await?;
    if !actions.is_empty() {
        let mut table = table::plain_list();
        table.set_header(["ACTION", "FOR", "DONE UP TO", "OF", "FAILED ACTIONS"]);
        for row in actions {
            table.add_row([
                row.identity.name.to_string(),
                format!("{} {}", row.identity.source_org, row.identity.object),
                row.watermark.to_string(),
                head.to_string(),
                row.failed.to_string(),
            ]);
        }
        println!("\n{table}");
    }
    let gaps = store.gaps().await?;
    if !gaps.is_empty() {
        println!("\nOpen gaps: changes that the source org may have kept from the bridge.");
    }
    for gap in gaps {
        println!("  {gap}");
    }
    Ok(ExitCode::SUCCESS)
}
