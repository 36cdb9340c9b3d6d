//! `orgbridge reapply`: what events of some time named is applied once more.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use tokio::sync::{mpsc, oneshot};

use super::name::is_pipeline;
use super::{ConfigFile, job, run, status, time};
use crate::bridge::{self, Command, Reapplying};
use crate::config::Config;
use crate::control;
use crate::event::{PipelineName, RecordId, Seq};
use crate::past::reapply::{Point, Range};
use crate::status::report::Job;
use crate::store::Sqlite;
use crate::text::counted;

/// Nothing is to be done.
const NOTHING: u8 = 3;

const HELP: &str = "\
There are two meanings, and you choose:

  --as current    each record that the events named is read as it is now, mapped as the config says now, and written where the
                  target differs. What happened since counts: no record ever ends on an older state than it has. For pipelines that
                  write records it is the only meaning.
  --as recorded   each event again as it was, in order. It is for pipelines that call an action for each event, and refused for
                  those that write records: an old event would undo what came after it.

  orgbridge reapply accounts --as current --from 2026-01-02                 a mapping was wrong since then, and is mended now
  orgbridge reapply accounts --as current --from 4711 --to 4800             numbers of `orgbridge journal list`
  orgbridge reapply accounts --as current --from replay:1398411             from the event with this replay id on
  orgbridge reapply accounts --as current --transaction 000167f8-...        what one transaction touched
  orgbridge reapply accounts --as current --record 001...                   one record
  orgbridge reapply accounts --as current --from 30d --dry-run              how much that would be

Where the journal does not reach back so far, or has a gap, the org is asked what has changed since that time, however long ago, and what was
deleted as far back as it tells.

Exit codes: 0 done; 1 it failed; 3 there was nothing to do.";

/// Apply once more what events of some time named.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Reapply {
    #[command(flatten)]
    file: ConfigFile,
    /// The pipelines
    #[arg(value_name = "PIPELINE", required = true)]
    pipelines: Vec<PipelineName>,
    /// What is applied: records as they are now, or events as they were
    #[arg(long = "as", value_name = "MEANING")]
    meaning: Option<Meaning>,
    /// From this on: a time (2026-01-02, 2026-01-02T10:30:00Z, 3d ago as 3d), a number of the journal, or replay:ID
    #[arg(long, value_name = "WHERE", value_parser = point)]
    from: Option<Point>,
    /// Up to this: a number or replay:ID is included, a time is not
    #[arg(long, value_name = "WHERE", value_parser = point)]
    to: Option<Point>,
    /// Only events of this transaction
    #[arg(long, value_name = "KEY")]
    transaction: Option<String>,
    /// Only this record, by its id in the source
    #[arg(long, value_name = "ID")]
    record: Option<RecordId>,
    /// Only say what it would be
    #[arg(long)]
    dry_run: bool,
    /// With a bridge that runs: do not wait until it is done
    #[arg(long, conflicts_with = "dry_run")]
    detach: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Meaning {
    /// Each record that the events named, as it is now
    Current,
    /// Each event as it was, in order; for actions
    Recorded,
}

fn point(text: &str) -> Result<Point, String> {
    if let Some(id) = text.strip_prefix("replay:") {
        return Ok(Point::ReplayId(id.to_owned()));
    }
    if let Ok(number) = text.parse() {
        return Ok(Point::Number(Seq(number)));
    }
    time::moment(text).map(Point::Time).map_err(|said| format!("{said}, a number of the journal, or replay:ID"))
}

impl Reapply {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let config = crate::config::load(&self.file.config)?;
        self.pipelines.iter().try_for_each(|name| is_pipeline(&config, name))?;
        match self.meaning {
            Some(Meaning::Current) => {}
            Some(Meaning::Recorded) => anyhow::bail!(
                "--as recorded sends each event again as it was; that is for pipelines that call an action. {} writes records, and an old \
                 event would undo what came after it: use --as current",
                self.pipelines[0]
            ),
            None => anyhow::bail!(
                "say what is meant: --as current reads each record that the events named and applies it as it is now; --as recorded repeats \
                 the events as they were, for actions only"
            ),
        }
        let range = Range {
            from: self.from.clone(),
            to: self.to.clone(),
            transaction: self.transaction.clone(),
            record: self.record,
        };
        if range == Range::default() {
            anyhow::bail!("say which events: --from, --to, --transaction or --record. All records: orgbridge backfill");
        }
        if self.dry_run {
            let plans = match control::reapply(&config.state, &self.pipelines, range.clone(), false).await? {
                Some(plans) => plans,
                None => {
                    let (store, orgs) = (Sqlite::open_unowned(&config.state)?, bridge::orgs(&config)?);
                    bridge::reapply((&config, &orgs), &store, &self.pipelines, &range, false)
                        .await?
                        .map_err(anyhow::Error::msg)?
                }
            };
            plans.iter().for_each(|plan| println!("{}", told(plan)));
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(plans) = control::reapply(&config.state, &self.pipelines, range.clone(), true).await? {
            let Some(numbers) = begun(&plans) else { return Ok(ExitCode::from(NOTHING)) };
            if self.detach {
                println!("It goes on in the bridge that runs: orgbridge status");
                return Ok(ExitCode::SUCCESS);
            }
            let report = async || status::of_bridge(&config, "it goes on where it was").await;
            return Ok(job::code(&job::followed(&numbers, report).await?));
        }
        if self.detach {
            anyhow::bail!("no bridge runs that could do it: leave out --detach, or start one with `orgbridge run`");
        }
        let ended =
            run::bridge_with(&config, async |store, commands| self.beside(&config, store, commands, range).await)
                .await?;
        match ended {
            Some(None) => Ok(ExitCode::from(NOTHING)),
            Some(Some(ended)) => Ok(job::code(&ended)),
            None => anyhow::bail!("stopped; it goes on where it was when a bridge runs again"),
        }
    }

    /// Beside a bridge of our own. None: there is nothing to do.
    async fn beside(
        &self,
        config: &Config,
        store: Sqlite,
        commands: mpsc::Sender<Command>,
        range: Range,
    ) -> anyhow::Result<Option<Vec<Job>>> {
        let (done, answer) = oneshot::channel();
        let pipelines = self.pipelines.clone();
        commands.send(Command::Reapply { pipelines, range, begin: true, done }).await?;
        let plans = answer.await?.map_err(anyhow::Error::msg)?;
        let Some(numbers) = begun(&plans) else { return Ok(None) };
        job::followed(&numbers, async || status::of_store(&store, config).await).await.map(Some)
    }
}

/// Says what it comes to; the jobs, unless there is nothing to do.
fn begun(plans: &[Reapplying]) -> Option<Vec<i64>> {
    plans.iter().for_each(|plan| println!("{}", told(plan)));
    let numbers: Vec<i64> = plans.iter().filter_map(|plan| plan.job).collect();
    (!numbers.is_empty()).then_some(numbers)
}

fn told(plan: &Reapplying) -> String {
    let uncounted = || "records that the org could not count".to_owned();
    let records = plan.records.map_or_else(uncounted, |records| counted(records, "record"));
    let mut said = match plan.events {
        Some(0) => format!("{}: {records}", plan.pipeline),
        Some(events) => format!("{}: {}, which name {records}", plan.pipeline, counted(events, "event")),
        None => format!(
            "{}: events do not tell of all that time, so the org is asked what has changed since: {records}, and what was deleted",
            plan.pipeline
        ),
    };
    if plan.unnamed > 0 {
        said.push_str(&format!(
            "; {} did not name all their records: gaps see to these",
            counted(plan.unnamed, "event")
        ));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_time_a_number_or_a_replay_id() {
        assert_eq!(point("4711"), Ok(Point::Number(Seq(4_711))));
        assert_eq!(point("replay:00ff"), Ok(Point::ReplayId("00ff".to_owned())));
        assert!(matches!(point("2026-01-02"), Ok(Point::Time(_))) && matches!(point("3d"), Ok(Point::Time(_))));
        assert!(point("yesterday").unwrap_err().ends_with("a number of the journal, or replay:ID"));
    }

    #[test]
    fn what_a_range_comes_to_is_told_in_words() {
        let plan = |events, unnamed, records| {
            told(&Reapplying { pipeline: "accounts".parse().unwrap(), events, unnamed, records, job: None })
        };
        assert_eq!(plan(Some(12), 0, Some(1_200)), "accounts: 12 events, which name 1,200 records");
        assert_eq!(plan(Some(0), 0, Some(1)), "accounts: 1 record");
        assert!(
            plan(Some(2), 1, Some(1))
                .ends_with("which name 1 record; 1 event did not name all their records: gaps see to these")
        );
        assert!(plan(None, 0, None).contains("what has changed since: records that the org could not count, and"));
    }
}
