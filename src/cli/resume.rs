//! `orgbridge resume`: a pipeline that stopped by itself goes on.

use std::process::ExitCode;

use clap::Args;

use super::ConfigFile;
use crate::control;
use crate::event::PipelineName;
use crate::store::{Sqlite, Store};

#[derive(Debug, Args)]
pub struct Resume {
    #[command(flatten)]
    file: ConfigFile,
    /// The pipeline, as the status names it
    pipeline: PipelineName,
}

impl Resume {
    /// Exit code 0 if the pipeline goes on, or was not halted.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let config = crate::config::load(&self.file.config)?;
        let name = &self.pipeline;
        if !config.state.exists() {
            anyhow::bail!("{} is not there: no bridge has run with this config yet", config.state.display());
        }
        let halted = match control::resume(&config.state, name).await? {
            Some(halted) => halted,
            None => match Sqlite::open(&config.state)?.resume(name).await? {
                Some(halted) => halted,
                None => anyhow::bail!(
                    "the state file knows no pipeline {name}; `orgbridge pipeline list` shows those that it knows"
                ),
            },
        };
        if halted {
            println!("Pipeline {name} goes on. What waited is read anew, and written as the mapping is now.");
        } else {
            println!("Pipeline {name} was not halted: nothing to do.");
        }
        Ok(ExitCode::SUCCESS)
    }
}
