//! `orgbridge journal`: what is stored of the events that came.

mod export;
mod text;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::ConfigFile;
use super::time::moment;
use crate::config::Config;
use crate::control;
use crate::entries::{self, Ask, Event, Place};
use crate::event::{Channel, OrgName, RecordId, Seq, Timestamp};
use crate::store::{Sought, Sqlite, Store, StoreError};

const HELP: &str = "\
The journal holds the events that came, each with a number, before anything is written into a target.

  orgbridge journal list --record 001...             which events told of this record
  orgbridge journal list --since 2h                  what was committed in the last two hours
  orgbridge journal show 4711                        all of one event
  orgbridge journal export --since 2026-01-02 -o day.jsonl

All of this works whether a bridge runs or not, and asks the orgs nothing; only scrub needs the bridge stopped. How long events
are kept is said in the config (journal: retain).

Exit codes: 0 done; 1 an error; 2 there was no such event.";

/// Entries in one transaction.
const STRETCH: usize = 1_000;
/// There was no such event.
const NOBODY: u8 = 2;

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Journal {
    #[command(flatten)]
    file: ConfigFile,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Events, one a line and the oldest first: when, what and of which records, and which fields; no values
    List {
        #[command(flatten)]
        which: Filter,
        /// No more events than this
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
        /// JSON, for scripts
        #[arg(long)]
        json: bool,
    },
    /// All of one event, with its values
    Show {
        /// Its number, as `list` shows it
        number: u64,
        /// JSON, for scripts
        #[arg(long)]
        json: bool,
    },
    /// Events with their values, one JSON document a line
    Export {
        #[command(flatten)]
        which: Filter,
        /// No more events than this. If absent: all
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
        /// Write to this file, which must not be there yet. If absent: to standard output
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Apply the privacy rules of the config to what was stored before they were there. If it is broken off, the next one
    /// goes on from there
    Scrub,
}

/// Which events. All that is said must hold.
#[derive(Debug, Clone, Args)]
struct Filter {
    /// That came from this org
    #[arg(long, value_name = "NAME")]
    org: Option<OrgName>,
    /// That came by this channel
    #[arg(long)]
    channel: Option<Channel>,
    /// That name the record with this id
    #[arg(long, value_name = "ID")]
    record: Option<RecordId>,
    /// Of this transaction
    #[arg(long, value_name = "KEY")]
    transaction: Option<String>,
    /// Committed at this time or later: 2026-01-02, 2026-01-02T10:30:00Z, or 2h ago
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Committed before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
    /// Behind the event with this number
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    after: u64,
}

impl Journal {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let config = crate::config::load(&self.file.config)?;
        super::has_run(&config)?;
        match self.command {
            Command::List { which, limit, json } => list(Pages::of(&config, which, Some(limit), false)?, json).await,
            Command::Show { number, json } => show(&config, number, json).await,
            Command::Export { which, limit, output } => {
                export::run(Pages::of(&config, which, limit, true)?, output.as_deref()).await
            }
            Command::Scrub => {
                let store = super::owned(&config)?;
                println!("{}", scrub(&config, &store).await?);
                store.rewrite()?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

/// Events, a page after the other, up to a limit.
struct Pages<'a> {
    config: &'a Config,
    which: Sought,
    after: Seq,
    values: bool,
    left: usize,
    /// None: the last page was given.
    next: Option<Option<Place>>,
}

impl<'a> Pages<'a> {
    /// # Errors
    /// Where the config has no such org: that is a slip of the pen more often than a question.
    fn of(config: &'a Config, which: Filter, limit: Option<usize>, values: bool) -> anyhow::Result<Self> {
        let Filter { org, channel, record, transaction, since, until, after } = which;
        if let Some(org) = org.as_ref().filter(|org| !config.orgs.contains_key(*org)) {
            let there: Vec<&str> = config.orgs.keys().map(OrgName::as_str).collect();
            anyhow::bail!("the config has no org {org}. Orgs: {}", there.join(", "));
        }
        let which = Sought { org, channel, record, transaction, since, until };
        let left = limit.unwrap_or(usize::MAX);
        Ok(Self { config, which, after: Seq(after), values, left, next: Some(None) })
    }

    /// None: there are no more, or as many were given as were wanted.
    async fn next(&mut self) -> anyhow::Result<Option<Vec<Event>>> {
        if self.left == 0 {
            return Ok(None);
        }
        let Some(place) = self.next.take() else { return Ok(None) };
        let (which, after, values, at_most) = (self.which.clone(), self.after, self.values, self.left);
        let ask = Ask { which, after, place, at_most, values };
        let told = match control::journaled(&self.config.state, ask.clone()).await? {
            Some(told) => told,
            None => entries::told(&Sqlite::open_unowned(&self.config.state)?, ask).await?,
        };
        self.next = told.next.map(Some);
        self.left = self.left.saturating_sub(told.events.len());
        Ok(Some(told.events))
    }

    /// All that is left, and whether there may be more behind the limit.
    async fn all(mut self) -> anyhow::Result<(Vec<Event>, bool)> {
        let mut all = Vec::new();
        while let Some(events) = self.next().await? {
            all.extend(events);
        }
        Ok((all, self.next.is_some()))
    }
}

async fn list(pages: Pages<'_>, json: bool) -> anyhow::Result<ExitCode> {
    let (events, more) = pages.all().await?;
    if json {
        println!("{}", serde_json::to_string_pretty(&events)?);
    } else if events.is_empty() {
        println!("No event of the journal fits.");
    } else {
        println!("{}", text::list(&events));
        if let Some(last) = events.last().filter(|_| more) {
            println!("There may be more: --after {} shows those behind it, --limit more at once.", last.number);
        }
    }
    Ok(if events.is_empty() { ExitCode::from(NOBODY) } else { ExitCode::SUCCESS })
}

async fn show(config: &Config, number: u64, json: bool) -> anyhow::Result<ExitCode> {
    let (org, channel, record, transaction, since, until) = (None, None, None, None, None, None);
    let after = number.saturating_sub(1);
    let which = Filter { org, channel, record, transaction, since, until, after };
    let (events, _) = Pages::of(config, which, Some(1), true)?.all().await?;
    let Some(event) = events.into_iter().find(|event| event.number == number) else {
        println!(
            "The journal has no event {number}. It may have been deleted for its age: journal.retain in the config."
        );
        return Ok(ExitCode::from(NOBODY));
    };
    println!("{}", if json { serde_json::to_string_pretty(&event)? } else { text::whole(&event) });
    Ok(ExitCode::SUCCESS)
}

/// What was done, for people.
async fn scrub(config: &Config, store: &Sqlite) -> Result<String, StoreError> {
    let (mut looked_at, mut rewritten, mut evidence) = (0, 0, 0);
    for (name, org) in &config.orgs {
        // Also where no rule is left: then that is noted.
        loop {
            let scrubbed = store.scrub(name, &org.privacy, STRETCH).await?;
            looked_at += scrubbed.looked_at;
            rewritten += scrubbed.rewritten;
            evidence += scrubbed.evidence;
            if scrubbed.done {
                break;
            }
        }
    }
    if looked_at + evidence == 0 {
        return Ok("Nothing is stored that a privacy rule was not applied to.".to_owned());
    }
    let events = if looked_at == 1 { "1 event was".to_owned() } else { format!("{looked_at} events were") };
    let mut said = format!("{events} looked at, {rewritten} rewritten.");
    if evidence > 0 {
        said.push_str(&format!(
            " What was sent of {evidence} failed or waiting records, and what the target org said, was erased."
        ));
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Field, Value};
    use crate::store::contract::given;

    const CONFIG: &str = "\
version: 1
orgs:
  source:
    login_url: https://acme.my.salesforce.com
    client_credentials: { key: consumer, secret: do-not-show }
    privacy: { objects: { Account: { mask: [Fax] } } }
  target:
    login_url: https://hq.my.salesforce.com
    client_credentials: { key: consumer, secret: do-not-show }
pipelines:
  - name: accounts
    from: { org: source, channel: /data/AccountChangeEvent, object: Account }
    to: { org: target, object: Account, key: Emea_Id__c }
    fields: { Emea_Id__c: Id, Name: Name }
";

    #[tokio::test]
    async fn after_a_scrub_no_byte_of_the_state_tells_an_old_value() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bridge.yaml");
        std::fs::write(&path, CONFIG).unwrap();
        let config = crate::config::load(&path).unwrap();
        let store = Sqlite::open(&config.state).unwrap();
        let subscription = given::subscribed(&store).await;
        // Enough for pages to be split and moved.
        let fax = |number: u32| Field::New(Value::text(format!("old-value-{number}-{}", "x".repeat(300))));
        let group =
            |from: u32| (from..from + 500).map(|n| given::event(n).fields([("Fax", fax(n))]).arrives()).collect();
        for from in [0, 500, 1_000, 1_500] {
            store.append(subscription, group(from), given::NOW).await.unwrap();
        }
        let holds = |text: &str| {
            let files = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path());
            let state = files.filter(|file| file.to_string_lossy().contains("bridge.db"));
            state.map(std::fs::read).any(|bytes| bytes.unwrap().windows(text.len()).any(|at| at == text.as_bytes()))
        };
        assert!(holds("old-value-7") && holds("old-value-1999"));
        assert_eq!(scrub(&config, &store).await.unwrap(), "2000 events were looked at, 2000 rewritten.");
        store.rewrite().unwrap();
        assert!(!holds("old-value"), "while it is open");
        let again = scrub(&config, &store).await.unwrap();
        assert_eq!(again, "Nothing is stored that a privacy rule was not applied to.");
        drop(store);
        assert!(!holds("old-value") && holds("o****"), "and when it is closed");
    }
}
