//! `orgbridge gap`: what may have hidden a change, and a person who knows better.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::confirm::confirmed;
use super::{ConfigFile, status};
use crate::control;
use crate::status::report::Gap;
use crate::store::{Mended, Store};

/// There is no such gap.
const NOBODY: u8 = 3;

#[derive(Debug, Args)]
pub struct Gaps {
    #[command(flatten)]
    file: ConfigFile,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Those that are open, with what closes each
    List,
    /// Close one that no repair closes, because you have looked after what it may have hidden
    Close {
        /// Its number, as `list` shows it
        #[arg(value_name = "ID")]
        id: i64,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

impl Gaps {
    /// Exit code 0: listed, or closed; 3: no such gap is open, or you said no.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let config = crate::config::load(&self.file.config)?;
        let gaps = status::report(&config).await?.gaps;
        match self.command {
            Command::List => {
                if gaps.is_empty() {
                    println!("No gap is open.");
                }
                for gap in &gaps {
                    println!("{}", told(gap));
                }
                Ok(ExitCode::SUCCESS)
            }
            Command::Close { id, yes } => {
                let Some(gap) = gaps.iter().find(|gap| gap.id == id) else {
                    println!("No gap {id} is open.");
                    return Ok(ExitCode::from(NOBODY));
                };
                if gap.records > 0 {
                    anyhow::bail!("gap {id} names its records and closes by itself when they are read");
                }
                println!("{}", told(gap));
                println!("What it may have hidden is not looked for any more.");
                if !yes && !confirmed("Close it?")? {
                    println!("Nothing was changed.");
                    return Ok(ExitCode::from(NOBODY));
                }
                let closed = match control::close_gap(&config.state, id).await? {
                    Some(closed) => closed,
                    None => super::owned(&config)?.close_gap(id, Mended::Person).await?,
                };
                println!("{}", if closed { "Closed." } else { "It was closed meanwhile." });
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

fn told(gap: &Gap) -> String {
    format!("{}  {} {}: {}\n    {}", gap.id, gap.org, gap.channel, gap.text, gap.remedy)
}
