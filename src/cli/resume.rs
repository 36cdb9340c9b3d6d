//! `orgbridge resume`: a pipeline that was halted, or an org that was paused, goes on.

use std::process::ExitCode;

use clap::Args;

use super::ConfigFile;
use super::name::{Meant, Name};
use crate::config::Config;
use crate::control;
use crate::event::{OrgName, PipelineName};
use crate::store::Store;

/// Let a pipeline go on that stopped by itself or was paused, or write into an org again.
#[derive(Debug, Args)]
pub struct Resume {
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    name: Name,
}

impl Resume {
    /// Exit code 0 if it goes on, or was not halted.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let config = crate::config::load(&self.file.config)?;
        let meant = self.name.meant(&config)?;
        super::has_run(&config)?;
        match meant {
            Meant::Pipeline(name) => pipeline(&config, &name).await?,
            Meant::Org(name) => org(&config, &name).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn pipeline(config: &Config, name: &PipelineName) -> anyhow::Result<()> {
    let halted = match control::resume(&config.state, name).await? {
        Some(halted) => halted,
        None => match super::owned(config)?.resume(name).await? {
            Some(halted) => halted,
            None => anyhow::bail!(
                "the state file knows no pipeline {name}; `orgbridge pipeline list` shows those that it knows"
            ),
        },
    };
    let is_action = config.actions.iter().any(|action| action.name == *name);
    if halted && is_action {
        println!("Action {name} goes on. The events that waited are next, in order.");
    } else if halted {
        println!("Pipeline {name} goes on. What waited is read anew, and written as the mapping is now.");
    } else {
        println!("Pipeline {name} was not halted: nothing to do.");
    }
    Ok(())
}

async fn org(config: &Config, name: &OrgName) -> anyhow::Result<()> {
    let paused = match control::resume_org(&config.state, name).await? {
        Some(paused) => paused,
        None => super::owned(config)?.resume_org(name).await?,
    };
    if paused {
        println!("{name} is written into again. What waited goes out in order.");
    } else {
        println!("{name} was not paused: nothing to do.");
    }
    Ok(())
}
