//! The commands: one enum here, one file for each below.

/// As the standard one, but a reader that has left (`orgbridge check | head`) is no reason to panic.
macro_rules! print {
    ($($text:tt)*) => {
        $crate::cli::written(std::io::Write::write_fmt(&mut std::io::stdout(), format_args!($($text)*)))
    };
}

/// The same with the end of the line.
macro_rules! println {
    () => {
        println!("")
    };
    ($($text:tt)*) => {
        print!("{}\n", format_args!($($text)*))
    };
}

mod actions;
mod backfill;
mod check;
mod confirm;
mod demo;
mod emulator;
mod failed;
mod forget;
mod gap;
mod import;
mod job;
mod journal;
mod map;
mod matching;
mod name;
mod org;
mod output;
mod pause;
mod pipeline;
mod reapply;
mod resume;
mod run;
mod signals;
mod status;
mod table;
mod test;
mod time;
mod trace;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::Config;
use crate::store::Sqlite;
use crate::telemetry::Verbosity;

/// A bridge between Salesforce orgs: what changes in one arrives in the other, and nothing is lost in silence.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    /// Log every call and decision
    #[arg(short, long, global = true)]
    verbose: bool,
    #[command(subcommand)]
    command: Command,
}

/// Whoever read what is written has left, as `head` does: it has what it wanted.
fn has_left(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::BrokenPipe
}

/// What became of a line on standard output. A full disk ends the command: what it says would be cut.
fn written(result: std::io::Result<()>) {
    match result {
        Err(error) if !has_left(&error) => {
            eprintln!("error: standard output cannot be written: {error}");
            std::process::exit(1);
        }
        Ok(()) | Err(_) => {}
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The events for which an action failed: look at them, do it again, give them up
    Actions(actions::Actions),
    /// Two emulated orgs, a bridge between them and lively traffic, in one process
    Demo(demo::Demo),
    /// Run the bridge that a config describes
    Run(ConfigFile),
    /// Write all records of a source, whether they change or not
    Backfill(backfill::Backfill),
    /// Look for mistakes in a config
    Check(check::Check),
    /// Emulated orgs by themselves
    #[command(after_help = crate::emulator::HELP)]
    Emulator(emulator::Emulator),
    /// The records that the target refused: look at them, try them again, give them up
    #[command(visible_alias = "dead-letters")]
    Failed(failed::Failed),
    /// Erase the values that the state file holds of one record
    Forget(forget::Forget),
    /// What may have hidden a change
    Gap(gap::Gaps),
    /// Link records that both orgs have already
    Import(import::Import),
    /// What the state file holds of the events that came
    Journal(journal::Journal),
    /// What a pipeline would make of a change or a record
    Map(map::Map),
    /// Which records of two orgs are the same
    Match(matching::Match),
    /// The orgs that a state file is tied to
    Org(org::Org),
    /// The pipelines that a state file knows
    Pipeline(pipeline::Pipeline),
    /// Stop a pipeline, or writing into an org, for a while
    Pause(pause::Pause),
    #[command(visible_alias = "replay")]
    Reapply(reapply::Reapply),
    /// Let a pipeline go on that stopped by itself or was paused, or write into an org again
    Resume(resume::Resume),
    /// How the bridge of a config is
    Status(status::Status),
    /// Run the tests that stand beside a mapping
    Test(test::Test),
    /// Why a record looks as it does: all that happened to it, in order
    Trace(trace::Trace),
    /// Prove that both sides of the pipelines agree, or tell where they do not
    Verify(verify::Verify),
}

/// Which config.
#[derive(Debug, Args)]
struct ConfigFile {
    /// The config file (YAML)
    #[arg(short, long, value_name = "FILE", env = "ORGBRIDGE_CONFIG")]
    config: PathBuf,
}

/// An error where a config has no state yet, so that no command makes an empty one.
fn has_run(config: &Config) -> anyhow::Result<()> {
    if !config.state.exists() {
        anyhow::bail!("{} is not there: no bridge has run with this config yet", config.state.display());
    }
    Ok(())
}

/// The state of a config, as its owner: while a bridge runs, the error says so and names it.
fn owned(config: &Config) -> anyhow::Result<Sqlite> {
    has_run(config)?;
    Ok(Sqlite::open(&config.state)?)
}

impl Cli {
    pub fn verbosity(&self) -> Verbosity {
        match &self.command {
            _ if self.verbose => Verbosity::Verbose,
            Command::Demo(_) => Verbosity::Screen,
            Command::Run(_)
            | Command::Actions(_)
            | Command::Backfill(_)
            | Command::Check(_)
            | Command::Emulator(_)
            | Command::Failed(_)
            | Command::Forget(_)
            | Command::Gap(_)
            | Command::Import(_)
            | Command::Journal(_)
            | Command::Map(_)
            | Command::Match(_)
            | Command::Org(_)
            | Command::Pause(_)
            | Command::Pipeline(_)
            | Command::Reapply(_)
            | Command::Resume(_)
            | Command::Status(_)
            | Command::Test(_)
            | Command::Trace(_)
            | Command::Verify(_) => Verbosity::Normal,
        }
    }

    /// Does what was asked. The exit code is 0 only if all went well.
    ///
    /// # Errors
    /// What a person must be told, with the remedy.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Actions(actions) => actions.run().await,
            Command::Demo(demo) => demo.run().await,
            Command::Run(file) => run::run(&file.config).await,
            Command::Backfill(backfill) => backfill.run().await,
            Command::Check(check) => check.run().await,
            Command::Emulator(emulator) => emulator.run().await,
            Command::Failed(failed) => failed.run().await,
            Command::Forget(forget) => forget.run().await,
            Command::Gap(gaps) => gaps.run().await,
            Command::Import(import) => import.run().await,
            Command::Journal(journal) => journal.run().await,
            Command::Map(map) => map.run().await,
            Command::Match(matching) => matching.run().await,
            Command::Org(org) => org.run().await,
            Command::Pause(pause) => pause.run().await,
            Command::Pipeline(pipeline) => pipeline.run().await,
            Command::Reapply(reapply) => reapply.run().await,
            Command::Resume(resume) => resume.run().await,
            Command::Status(status) => status.run().await,
            Command::Test(test) => test.run().await,
            Command::Trace(trace) => trace.run().await,
            Command::Verify(verify) => verify.run().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
