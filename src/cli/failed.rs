//! `orgbridge failed`: the records that were refused, and what a person does about them.

mod export;
mod text;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::ConfigFile;
use super::confirm::confirmed;
use super::name::is_pipeline;
use crate::config::Config;
use crate::control;
use crate::event::{ObjectName, PipelineName, RecordId, Timestamp};
use crate::failed::{self, Ask, Place, Record, Told};
use crate::store::{Sqlite, Store, Which};
use crate::text::counted;
pub(super) use export::no_formula;

const HELP: &str = "\
A failed record is one that the target org refused by itself, or that cannot be mapped. It is in nobody's way: its neighbours go
on. It is tried again when it changes in the source, and when you say so.

  orgbridge failed list                               which causes there are, and what to do about each
  orgbridge failed show 001...                        everything that is known of one record
  orgbridge failed redrive --code STRING_TOO_LONG     try these again, after the cause was mended
  orgbridge failed discard --record 001...            give this one up
  orgbridge failed list --healed                      those that had failed and do not any more

A redrive reads the record as it is in the source now, maps it as the config says now, and writes it. All of this works whether a
bridge runs or not; without one, what is to be tried again waits for the next start. It asks the orgs nothing.

Exit codes: 0 done; 1 an error; 2 there was no such record, or the answer was no.";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Failed {
    #[command(flatten)]
    file: ConfigFile,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The failed records by cause: how many, since when, and what to do
    List {
        #[command(flatten)]
        which: Filter,
        /// Each record on a line of its own
        #[arg(long, conflicts_with = "healed")]
        each: bool,
        /// Those that had failed and do not any more: the last 1,000 of 30 days
        #[arg(long, conflicts_with = "waiting")]
        healed: bool,
        /// JSON, for scripts
        #[arg(long)]
        json: bool,
    },
    /// All that is kept of one record: its events, what was sent, what the org answered. It holds the record's values
    Show {
        /// The id of the record in the source org
        record: RecordId,
        /// Only of this pipeline
        #[arg(long)]
        pipeline: Option<PipelineName>,
        /// JSON, for scripts
        #[arg(long)]
        json: bool,
    },
    /// Try records again: each is read, mapped and written as it is now
    Redrive {
        #[command(flatten)]
        which: Filter,
        /// All of them: needed where nothing else says which
        #[arg(long)]
        all: bool,
    },
    /// Give records up: what failed of them is not tried any more. A record that changes later is written again
    Discard {
        #[command(flatten)]
        which: Filter,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// All that is kept of the records, one JSON document a line. It holds the records' values
    Export {
        #[command(flatten)]
        which: Filter,
        /// CSV with a head line instead: without events
        #[arg(long)]
        csv: bool,
        /// Write to this file, which must not be there yet. If absent: to standard output
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// Which records. All that is said must hold.
#[derive(Debug, Clone, Args)]
struct Filter {
    /// Of this pipeline
    #[arg(long)]
    pipeline: Option<PipelineName>,
    /// With this code, as `list` shows it
    #[arg(long)]
    code: Option<String>,
    /// Of this object of the target org
    #[arg(long)]
    object: Option<ObjectName>,
    /// The record with this id in the source org
    #[arg(long, value_name = "ID")]
    record: Option<RecordId>,
    /// That failed, or began to wait, longer ago than this (1h, 2days)
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    older_than: Option<Duration>,
    /// That failed, or began to wait, less long ago than this (30m)
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    newer_than: Option<Duration>,
    /// Also records that wait for another one
    #[arg(long)]
    waiting: bool,
}

impl Filter {
    fn which(self, now: Timestamp) -> Which {
        Which {
            pipeline: self.pipeline,
            code: self.code,
            object: self.object,
            record: self.record,
            before: self.older_than.map(|age| now.minus(age)),
            after: self.newer_than.map(|age| now.minus(age)),
            waiting: self.waiting,
        }
    }
}

impl Failed {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let config = crate::config::load(&self.file.config)?;
        super::has_run(&config)?;
        let now = Timestamp::now();
        match self.command {
            Command::List { which, each, healed, json } => {
                list(&config, known(&config, which.which(now))?, each, healed, json).await
            }
            Command::Show { record, pipeline, json } => show(&config, record, pipeline, json).await,
            Command::Redrive { which, all } => redrive(&config, known(&config, which.which(now))?, all).await,
            Command::Discard { which, yes } => discard(&config, known(&config, which.which(now))?, yes).await,
            Command::Export { which, csv, output } => {
                let records = Pages::of(&config, known(&config, which.which(now))?, !csv);
                export::run(records, csv, output.as_deref()).await
            }
        }
    }
}

/// A pipeline that is not in the config is a slip of the pen more often than a question.
fn known(config: &Config, which: Which) -> anyhow::Result<Which> {
    which.pipeline.iter().try_for_each(|name| is_pipeline(config, name))?;
    Ok(which)
}

/// Asks the running bridge, or the state file.
async fn ask(config: &Config, ask: Ask) -> anyhow::Result<Told> {
    match control::told(&config.state, ask.clone()).await? {
        Some(told) => Ok(told),
        None => Ok(failed::told(&Sqlite::open_unowned(&config.state)?, ask).await?),
    }
}

/// Records, a page after the other.
struct Pages<'a> {
    config: &'a Config,
    which: Which,
    events: bool,
    /// None: the last page was given.
    next: Option<Option<Place>>,
}

impl<'a> Pages<'a> {
    fn of(config: &'a Config, which: Which, events: bool) -> Self {
        Self { config, which, events, next: Some(None) }
    }

    async fn next(&mut self) -> anyhow::Result<Option<Vec<Record>>> {
        let Some(after) = self.next.take() else { return Ok(None) };
        match ask(self.config, Ask::Each { which: self.which.clone(), after, events: self.events }).await? {
            Told::Each { records, next } => {
                self.next = next.map(Some);
                Ok(Some(records))
            }
            Told::Causes(_) | Told::Healed { .. } => anyhow::bail!("the bridge answered something else"),
        }
    }
}

const NOBODY: u8 = 2;

async fn list(config: &Config, which: Which, each: bool, healed: bool, json: bool) -> anyhow::Result<ExitCode> {
    if each {
        let mut pages = Pages::of(config, which, false);
        let mut all = Vec::new();
        while let Some(records) = pages.next().await? {
            all.extend(records);
        }
        return shown(json, &all, all.is_empty(), text::each);
    }
    let question = if healed { Ask::Healed(which) } else { Ask::Causes(which) };
    match ask(config, question).await? {
        Told::Causes(causes) => shown(json, &causes, causes.is_empty(), text::causes),
        Told::Healed { records, more } => {
            shown(json, &records, records.is_empty(), |records| text::healed(records, more))
        }
        Told::Each { .. } => anyhow::bail!("the bridge answered something else"),
    }
}

fn shown<T: serde::Serialize>(
    json: bool,
    what: &[T],
    nobody: bool,
    text: impl FnOnce(&[T]) -> String,
) -> anyhow::Result<ExitCode> {
    if json {
        println!("{}", serde_json::to_string_pretty(what)?);
    } else if nobody {
        println!("No failed record fits.");
    } else {
        println!("{}", text(what));
    }
    Ok(if nobody { ExitCode::from(NOBODY) } else { ExitCode::SUCCESS })
}

async fn show(
    config: &Config,
    record: RecordId,
    pipeline: Option<PipelineName>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let which = Which { record: Some(record), pipeline, waiting: true, ..Which::default() };
    let mut pages = Pages::of(config, known(config, which)?, true);
    let mut all = Vec::new();
    while let Some(records) = pages.next().await? {
        all.extend(records);
    }
    shown(json, &all, all.is_empty(), text::whole)
}

async fn redrive(config: &Config, which: Which, all: bool) -> anyhow::Result<ExitCode> {
    if !all && !which.is_narrow() {
        anyhow::bail!("say which (--code, --pipeline, --record, ...), or --all");
    }
    let (records, runs) = match control::redrive(&config.state, &which).await? {
        Some(records) => (records, true),
        None => (super::owned(config)?.redrive(&which, Timestamp::now()).await?, false),
    };
    if records == 0 {
        println!("No failed record fits.");
        return Ok(ExitCode::from(NOBODY));
    }
    let (records, are) = (counted(records, "record"), if records == 1 { "is" } else { "are" });
    match runs {
        true => println!("{records} {are} tried again. `orgbridge failed list` shows what is left."),
        false => println!("{records} {are} tried again when the bridge is started."),
    }
    Ok(ExitCode::SUCCESS)
}

async fn discard(config: &Config, which: Which, yes: bool) -> anyhow::Result<ExitCode> {
    if !which.is_narrow() {
        anyhow::bail!("say which: --code, --pipeline, --record, --object, --older-than or --newer-than");
    }
    let Told::Causes(causes) = ask(config, Ask::Causes(which.clone())).await? else {
        anyhow::bail!("the bridge answered something else")
    };
    if causes.is_empty() {
        println!("No failed record fits.");
        return Ok(ExitCode::from(NOBODY));
    }
    println!("{}", text::causes(&causes));
    println!("\nWhat failed of {} is given up.", counted(causes.iter().map(|cause| cause.records).sum(), "record"));
    if !yes && !confirmed("Discard?")? {
        println!("Nothing was changed.");
        return Ok(ExitCode::from(NOBODY));
    }
    let records = match control::discard(&config.state, &which).await? {
        Some(records) => records,
        None => super::owned(config)?.discard(&which, Timestamp::now()).await?,
    };
    println!("Discarded: {}.", counted(records, "record"));
    Ok(ExitCode::SUCCESS)
}
