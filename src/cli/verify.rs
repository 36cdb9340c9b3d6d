//! `orgbridge verify`: whether the two sides of a pipeline agree, and where they do not.

mod text;

pub use text::{progress, summary};

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::name::is_pipeline;
use super::{ConfigFile, output, run, status};
use crate::bridge::{self, Command};
use crate::config::Config;
use crate::control;
use crate::event::PipelineName;
use crate::status::report::{Job, Report, Verification};
use crate::store::{Difference, Finding, Mend, Sqlite, Store, VerificationNumber, Wish};
use crate::text::counted;

/// How often it is looked how far the comparisons are.
const EVERY: Duration = Duration::from_millis(500);
/// How often it is said where no terminal shows it.
const SAID_EVERY: Duration = Duration::from_secs(30);
/// What is neither under way nor seen to end so many times in a row is gone.
const UNSEEN_MAX: u32 = 20;
/// Nothing differs, but something was still on its way.
const NOT_PROVEN: u8 = 3;
const COLUMNS: [&str; 8] = ["pipeline", "result", "source_record", "target_record", "fields", "code", "by", "at"];

const HELP: &str = "\
Both sides are read, the source through the mapping, and compared as the target stores values. What differs is read again, and
told only if it differs twice in the same way with nothing of it on its way in between. Results:

  equal              (counted alone)
  excluded           the pipeline's condition leaves it out (counted alone)
  kept               the target has it though it is gone from the source, or left out, as the pipeline's rules want (counted alone)
  different          in these fields
  missing            the source has it, the target does not
  extra              the target has it, the source does not; or twice (TWICE)
  failed record      it was refused, waits, or cannot be mapped: `orgbridge failed show` tells more
  changed in target  somebody else changed it there after the source was changed: by whom, and when
  not accepted       the bridge wrote it, and the target made something else of it
  on its way         it changed, or was being written, each time that it was looked at

With --repair those that are different, missing or extra are read and written again, as the pipeline's rules say. What was changed
in the target, and what is not accepted there, is left alone without --force: that would fight people and automation.

Exit codes: 0 all agree; 1 some do not, or it failed; 3 none differs, but something was on its way; with --last:
nothing was ever compared.";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Verify {
    #[command(flatten)]
    file: ConfigFile,
    /// The pipelines. If absent: all
    #[arg(value_name = "PIPELINE")]
    pipelines: Vec<PipelineName>,
    /// Read and write again what differs. It needs a bridge: one that runs does it, else one is run until it is done
    #[arg(long)]
    repair: bool,
    /// Also what somebody changed in the target, or what it did not accept
    #[arg(long, requires = "repair")]
    force: bool,
    /// Only about so many records, from all over the source. What is in the target alone is not looked for then
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    sample: Option<u64>,
    /// Compare nothing: show what the last comparison found
    #[arg(long, conflicts_with_all = ["repair", "sample"])]
    last: bool,
    /// JSON, for scripts
    #[arg(long)]
    json: bool,
    /// Write all differences to this file, which must not be there yet
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

/// A comparison, and what it found.
struct Outcome {
    verification: Verification,
    found: Vec<Difference>,
}

/// Who is asked for what was found.
enum Teller<'a> {
    Bridge(&'a Path),
    Store(&'a Sqlite),
}

impl Verify {
    pub async fn run(mut self) -> anyhow::Result<ExitCode> {
        let config = crate::config::load(&self.file.config)?;
        self.pipelines.iter().try_for_each(|name| is_pipeline(&config, name))?;
        if self.pipelines.is_empty() {
            self.pipelines = config.pipelines.iter().map(|pipeline| pipeline.name.clone()).collect();
        }
        let mend = match (self.repair, self.force) {
            (false, _) => Mend::Nothing,
            (true, false) => Mend::Differing,
            (true, true) => Mend::All,
        };
        let wish = Wish { sample: self.sample, mend };
        let outcomes = if self.last {
            self.last_ones(&config).await?
        } else if let Some(numbers) = control::verify(&config.state, &self.pipelines, wish).await? {
            let report = async || status::of_bridge(&config, "the comparison begins anew").await;
            let ended = self.followed(&numbers, report).await?;
            told(ended, Teller::Bridge(&config.state)).await?
        } else if self.repair {
            let ended =
                run::bridge_with(&config, async |store, commands| self.beside(&config, store, commands, wish).await)
                    .await?;
            ended.context("stopped; the comparison begins anew when a bridge runs again")?
        } else {
            self.alone(&config, wish).await?
        };
        if outcomes.is_empty() {
            match self.json {
                true => println!("{}", serde_json::to_string_pretty(&text::json(&outcomes))?),
                false => println!("These pipelines were never compared."),
            }
            return Ok(ExitCode::from(NOT_PROVEN));
        }
        if let Some(path) = &self.csv {
            let rows = sheet(path, &outcomes)?;
            if !self.json {
                println!("{} in {}.", counted(rows, "difference"), path.display());
            }
        }
        if self.json {
            println!("{}", serde_json::to_string_pretty(&text::json(&outcomes))?);
        } else {
            println!("{}", text::shown(&outcomes));
        }
        Ok(code(&outcomes))
    }

    async fn last_ones(&self, config: &Config) -> anyhow::Result<Vec<Outcome>> {
        let report = status::report(config).await?;
        let wanted =
            |one: &Verification| one.ended.is_some() && self.pipelines.iter().any(|name| name.as_str() == one.pipeline);
        let ended: Vec<Verification> = report.verifications.into_iter().filter(wanted).collect();
        if report.running {
            return told(ended, Teller::Bridge(&config.state)).await;
        }
        told(ended, Teller::Store(&Sqlite::open_unowned(&config.state)?)).await
    }

    /// Without a bridge.
    async fn alone(&self, config: &Config, wish: Wish) -> anyhow::Result<Vec<Outcome>> {
        let (store, orgs) = (super::owned(config)?, bridge::orgs(config)?);
        let comparing = bridge::verify_alone(config, &orgs, &store, &self.pipelines, wish);
        let numbers = comparing.await?.map_err(anyhow::Error::msg)?;
        let report = status::of_store(&store, config).await?;
        let ended = report.verifications.into_iter().filter(|one| numbers.contains(&one.number)).collect();
        told(ended, Teller::Store(&store)).await
    }

    /// Beside a bridge of our own.
    async fn beside(
        &self,
        config: &Config,
        store: Sqlite,
        commands: mpsc::Sender<Command>,
        wish: Wish,
    ) -> anyhow::Result<Vec<Outcome>> {
        let (done, answer) = oneshot::channel();
        let pipelines = self.pipelines.clone();
        commands.send(Command::Verify { pipelines, wish, done }).await?;
        let numbers = answer.await?.map_err(anyhow::Error::msg)?;
        let ended = self.followed(&numbers, async || status::of_store(&store, config).await).await?;
        told(ended, Teller::Store(&store)).await
    }

    /// Says how far the comparisons are until all are over, and what is to be mended is.
    async fn followed(
        &self,
        numbers: &[i64],
        mut report: impl AsyncFnMut() -> anyhow::Result<Report>,
    ) -> anyhow::Result<Vec<Verification>> {
        let is_terminal = io::stderr().is_terminal();
        let (mut said, mut unseen) = (Instant::now(), 0);
        loop {
            let Report { verifications: mut own, jobs, pipelines, .. } = report().await?;
            own.retain(|one| numbers.contains(&one.number));
            let is_mended = |one: &Verification| {
                let mends = |job: &Job| job.kind == "mend" && job.pipeline == one.pipeline && job.ended.is_none();
                let is_halted = pipelines.iter().any(|line| line.name == one.pipeline && line.halted.is_some());
                one.ended.is_some() && (one.counts.mended == 0 || is_halted || !jobs.iter().any(mends))
            };
            if own.len() == numbers.len() && own.iter().all(is_mended) {
                if is_terminal {
                    eprint!("\r\x1b[K");
                }
                return Ok(own);
            }
            unseen = if own.len() == numbers.len() { 0 } else { unseen + 1 };
            if unseen > UNSEEN_MAX {
                anyhow::bail!(
                    "a comparison is not under way any more, and was not seen to end: look at `orgbridge status`"
                );
            }
            if let Some(one) = own.iter().find(|one| one.state == "running") {
                let line = text::progress(one);
                if is_terminal {
                    eprint!("\r\x1b[K{line}");
                    io::stderr().flush()?;
                } else if !self.json && said.elapsed() >= SAID_EVERY {
                    eprintln!("{line}");
                    said = Instant::now();
                }
            }
            tokio::time::sleep(EVERY).await;
        }
    }
}

/// With what they found.
async fn told(ended: Vec<Verification>, teller: Teller<'_>) -> anyhow::Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for verification in ended {
        let number = VerificationNumber(verification.number);
        let mut found: Vec<Difference> = Vec::new();
        loop {
            let after = found.len() as u64;
            let page = match teller {
                Teller::Bridge(state) => {
                    control::differences(state, number, after).await?.context("the bridge has stopped")?
                }
                Teller::Store(store) => store.differences(number, after, control::DIFFERENCES).await?,
            };
            let more = page.len() >= control::DIFFERENCES;
            found.extend(page);
            if !more {
                break;
            }
        }
        outcomes.push(Outcome { verification, found });
    }
    Ok(outcomes)
}

fn code(outcomes: &[Outcome]) -> ExitCode {
    let differs = |one: &Outcome| one.verification.differences > 0 || one.verification.state != "done";
    if outcomes.iter().any(differs) {
        return ExitCode::FAILURE;
    }
    let is_open = |one: &Outcome| one.found.iter().any(|found| found.what == Finding::Unsettled);
    if outcomes.iter().any(is_open) { ExitCode::from(NOT_PROVEN) } else { ExitCode::SUCCESS }
}

/// All that was found, as CSV; how many rows.
fn sheet(path: &Path, outcomes: &[Outcome]) -> anyhow::Result<u64> {
    let mut sheet = csv::Writer::from_writer(output::open(Some(path))?);
    // As errors of writing, which they are.
    sheet.write_record(COLUMNS).map_err(io::Error::from)?;
    let mut rows = 0;
    for Outcome { verification, found } in outcomes {
        for one in found {
            sheet.write_record(text::cells(&verification.pipeline, one)).map_err(io::Error::from)?;
            rows += 1;
        }
    }
    sheet.flush()?;
    Ok(rows)
}
