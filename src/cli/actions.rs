//! `orgbridge actions`: the events for which an action was not done, and what a person does about them.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::confirm::confirmed;
use super::{ConfigFile, table};
use crate::action::failed::{self, Ask, Failed};
use crate::config::Config;
use crate::control;
use crate::event::{PipelineName, Seq, Timestamp};
use crate::store::{Sqlite, Store, WhichActions};
use crate::text::counted;

const HELP: &str = "\
A failed action is an event for which something should have been done and was not, or nobody knows whether it was. It is in
nobody's way: later events go on. It is done again only when you say so, with the same idempotency key.

  orgbridge actions list                          which there are, and what to do about each
  orgbridge actions show --seq 4711               everything that is known of those of one event
  orgbridge actions redrive --code ANSWER_LOST    do these again
  orgbridge actions discard --seq 4711            give this one up

All of this works whether a bridge runs or not; without one, what is to be done again waits for the next start.

Exit codes: 0 done; 1 an error; 2 there was none such, or the answer was no.";

const NOBODY: u8 = 2;

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Actions {
    #[command(flatten)]
    file: ConfigFile,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The failed actions, each with what to do about it
    List {
        #[command(flatten)]
        which: Filter,
        /// JSON, for scripts
        #[arg(long)]
        json: bool,
    },
    /// All that is kept of them: the event, what was handed over, what was answered. It holds values
    Show {
        #[command(flatten)]
        which: Filter,
        /// JSON, for scripts
        #[arg(long)]
        json: bool,
    },
    /// Do them again, each with its own idempotency key
    Redrive {
        #[command(flatten)]
        which: Filter,
        /// All of them: needed where nothing else says which
        #[arg(long)]
        all: bool,
    },
    /// Give them up
    Discard {
        #[command(flatten)]
        which: Filter,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// Which ones. All that is said must hold.
#[derive(Debug, Clone, Args)]
struct Filter {
    /// Of this action
    #[arg(long)]
    action: Option<PipelineName>,
    /// With this code, as `list` shows it
    #[arg(long)]
    code: Option<String>,
    /// Of the event with this number in the journal
    #[arg(long, value_name = "NUMBER")]
    seq: Option<u64>,
}

impl Filter {
    /// A name that is not in the config is a slip of the pen more often than a question.
    fn which(self, config: &Config) -> anyhow::Result<WhichActions> {
        let Self { action, code, seq } = self;
        if let Some(name) = &action
            && !config.actions.iter().any(|known| known.name == *name)
        {
            let there: Vec<&str> = config.actions.iter().map(|known| known.name.as_str()).collect();
            anyhow::bail!("the config has no action {name}; it has: {}", there.join(", "));
        }
        Ok(WhichActions { action, code, seq: seq.map(Seq) })
    }
}

fn is_narrow(which: &WhichActions) -> bool {
    let WhichActions { action, code, seq } = which;
    action.is_some() || code.is_some() || seq.is_some()
}

impl Actions {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let config = crate::config::load(&self.file.config)?;
        super::has_run(&config)?;
        match self.command {
            Command::List { which, json } => shown(&all(&config, which.which(&config)?, false).await?, json, text),
            Command::Show { which, json } => shown(&all(&config, which.which(&config)?, true).await?, json, whole),
            Command::Redrive { which, all } => redrive(&config, which.which(&config)?, all).await,
            Command::Discard { which, yes } => discard(&config, which.which(&config)?, yes).await,
        }
    }
}

/// Asks the running bridge, or the state file, a page after the other.
async fn all(config: &Config, which: WhichActions, whole: bool) -> anyhow::Result<Vec<Failed>> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let ask = Ask { which: which.clone(), after, whole };
        let told = match control::failed_actions(&config.state, ask.clone()).await? {
            Some(told) => told,
            None => failed::told(&Sqlite::open_unowned(&config.state)?, ask).await?,
        };
        all.extend(told.actions);
        after = told.next;
        if after.is_none() {
            return Ok(all);
        }
    }
}

fn shown(actions: &[Failed], json: bool, text: impl FnOnce(&[Failed]) -> String) -> anyhow::Result<ExitCode> {
    if json {
        println!("{}", serde_json::to_string_pretty(actions)?);
    } else if actions.is_empty() {
        println!("No failed action fits.");
    } else {
        println!("{}", text(actions));
    }
    Ok(if actions.is_empty() { ExitCode::from(NOBODY) } else { ExitCode::SUCCESS })
}

fn text(actions: &[Failed]) -> String {
    let mut table = table::plain_list();
    table.set_header(["ACTION", "EVENT", "RECORD", "CODE", "TRIES", "SINCE"]);
    for action in actions {
        let code = if action.redrive_at.is_some() { "to be done again" } else { &action.code };
        table.add_row([
            action.action.as_str(),
            &action.seq.to_string(),
            action.record.as_deref().unwrap_or("-"),
            code,
            &action.attempts.to_string(),
            &action.first_at,
        ]);
    }
    let mut lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    let mut codes: Vec<(&str, &str)> =
        actions.iter().map(|action| (action.code.as_str(), action.remedy.as_str())).collect();
    codes.sort_unstable();
    codes.dedup();
    lines.extend(codes.iter().map(|(code, remedy)| format!("\n{code}: {remedy}")));
    lines.join("\n")
}

fn whole(actions: &[Failed]) -> String {
    let one = |action: &Failed| {
        let mut lines = vec![format!("Action {}, event {}: {}", action.action, action.seq, action.code)];
        let mut line = |name: &str, text: &str| lines.push(format!("  {name:<10}{text}"));
        line("from", &format!("{} {}", action.source_org, action.object));
        if let Some(record) = &action.record {
            line("record", record);
        }
        line("since", &format!("{}, last {}, tries {}", action.first_at, action.last_at, action.attempts));
        line("key", &action.idempotency_key);
        line("answer", &action.answer);
        if let Some(request) = &action.request {
            line("sent", &request.to_string());
        }
        if let Some(event) = &action.event {
            line("event", &event.to_string());
        }
        line("remedy", &action.remedy);
        lines.join("\n")
    };
    actions.iter().map(one).collect::<Vec<_>>().join("\n\n")
}

async fn redrive(config: &Config, which: WhichActions, all: bool) -> anyhow::Result<ExitCode> {
    if !all && !is_narrow(&which) {
        anyhow::bail!("say which (--action, --code, --seq), or --all");
    }
    let (actions, runs) = match control::redrive_actions(&config.state, &which).await? {
        Some(actions) => (actions, true),
        None => (super::owned(config)?.redrive_actions(&which, Timestamp::now()).await?, false),
    };
    if actions == 0 {
        println!(
            "No failed action fits that can be done again. Where events are gone nobody knows for what it would be."
        );
        return Ok(ExitCode::from(NOBODY));
    }
    let (actions, are) = (counted(actions, "action"), if actions == 1 { "is" } else { "are" });
    match runs {
        true => println!("{actions} {are} done again. `orgbridge actions list` shows what is left."),
        false => println!("{actions} {are} done again when the bridge is started."),
    }
    Ok(ExitCode::SUCCESS)
}

async fn discard(config: &Config, which: WhichActions, yes: bool) -> anyhow::Result<ExitCode> {
    if !is_narrow(&which) {
        anyhow::bail!("say which: --action, --code or --seq");
    }
    let fitting = all(config, which.clone(), false).await?;
    if fitting.is_empty() {
        println!("No failed action fits.");
        return Ok(ExitCode::from(NOBODY));
    }
    println!("{}", text(&fitting));
    if !yes && !confirmed("Discard?")? {
        println!("Nothing was changed.");
        return Ok(ExitCode::from(NOBODY));
    }
    let actions = match control::discard_actions(&config.state, &which).await? {
        Some(actions) => actions,
        None => super::owned(config)?.discard_actions(&which).await?,
    };
    println!("Discarded: {}.", counted(actions, "action"));
    Ok(ExitCode::SUCCESS)
}
