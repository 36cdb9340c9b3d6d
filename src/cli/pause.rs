//! `orgbridge pause`: a pipeline stops, or nothing is written into an org, until a person says so.

use std::process::ExitCode;

use clap::Args;

use super::ConfigFile;
use super::name::{Meant, Name};
use crate::config::Config;
use crate::control;
use crate::event::{OrgName, Timestamp};
use crate::store::paused::by_hand;
use crate::store::{Paused, Sqlite, Store};

/// Stop a pipeline, or writing into an org, until `orgbridge resume`.
///
/// Nothing is lost meanwhile. Of a paused pipeline, what comes is kept record by record, and read anew when it goes on. An org
/// that is paused is not written into by any pipeline; what comes for it waits as it came. It lasts over restarts, and works
/// whether a bridge runs or not.
#[derive(Debug, Args)]
pub struct Pause {
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    name: Name,
    /// Why, for whoever looks at the status
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
}

impl Pause {
    /// Exit code 0 if it is paused, also if it was.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let config = crate::config::load(&self.file.config)?;
        let reason = self.reason.trim();
        match self.name.meant(&config)? {
            Meant::Pipeline(name) => {
                let new = match control::pause(&config.state, &name, reason).await? {
                    Some(new) => new,
                    None => match super::owned(&config)?.halt(&name, &by_hand(reason), Timestamp::now()).await? {
                        Some(new) => new,
                        None => anyhow::bail!("no bridge has run with pipeline {name} yet: there is nothing to pause"),
                    },
                };
                match new {
                    true => println!("Pipeline {name} is paused. To go on: orgbridge resume {name}"),
                    false => println!("Pipeline {name} is halted already: nothing to do."),
                }
            }
            Meant::Org(name) => {
                let new = match control::pause_org(&config.state, &name, reason).await? {
                    Some(new) => new,
                    None => {
                        let paused = Paused { reason: reason.to_owned(), at: Timestamp::now() };
                        Sqlite::open(&config.state)?.pause_org(&name, paused).await?
                    }
                };
                match new {
                    true => println!("Nothing is written into {name} any more. To go on: orgbridge resume {name}"),
                    false => println!("{name} is paused already: nothing to do."),
                }
                if new && !is_written_into(&config, &name) {
                    println!("No pipeline writes into it, so this changes nothing.");
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn is_written_into(config: &Config, org: &OrgName) -> bool {
    let by_action = config
        .actions
        .iter()
        .any(|action| action.org() == Some(org) || (action.answer.is_some() && action.from.org == *org));
    by_action || config.pipelines.iter().any(|pipeline| pipeline.to.org == *org)
}
