//! `orgbridge status`: how a bridge is, from the bridge itself or, when none runs, from its state file.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use self::screen::Screen;
use self::text::shown;
use super::{ConfigFile, has_left};
use crate::config::Config;
use crate::control;
use crate::event::Timestamp;
use crate::status::report::Report;
use crate::store::Sqlite;

mod screen;
mod text;

const EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    file: ConfigFile,
    /// One JSON document, for scripts
    #[arg(long)]
    json: bool,
    /// Again every second, until Ctrl-C
    #[arg(long, conflicts_with = "json")]
    watch: bool,
}

impl Status {
    /// Exit code 0: nothing needs a person; 2: something does.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let config = crate::config::load(&self.file.config)?;
        if self.watch {
            return watch(&config).await;
        }
        let report = report(&config).await?;
        let text = if self.json {
            serde_json::to_string_pretty(&report)?
        } else {
            shown(&report, screen::size().map(|size| size.width))
        };
        print(&text)?;
        Ok(code(&report))
    }
}

fn code(report: &Report) -> ExitCode {
    if report.needs_a_person() { ExitCode::from(2) } else { ExitCode::SUCCESS }
}

fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if has_left(&error) => Ok(()),
        done => done,
    }
}

/// Until Ctrl-C or SIGTERM. The exit code is that of what was seen last.
async fn watch(config: &Config) -> anyhow::Result<ExitCode> {
    let mut interrupts = signal(SignalKind::interrupt()).context("signals")?;
    let mut terminations = signal(SignalKind::terminate()).context("signals")?;
    let mut stopped = pin!(async {
        tokio::select! {
            _ = interrupts.recv() => {}
            _ = terminations.recv() => {}
        }
    });
    let mut screen = io::stdout().is_terminal().then(Screen::open).transpose()?;
    let (mut text, mut seen) = (String::new(), ExitCode::FAILURE);
    loop {
        let looked = tokio::select! {
            () = &mut stopped => break,
            looked = report(config) => looked,
        };
        // A bridge that starts or stops at this moment is there, or gone, at the next look.
        (text, seen) = match looked {
            Ok(report) => (shown(&report, screen::size().map(|size| size.width)), code(&report)),
            Err(error) => (format!("error: {error:#}"), ExitCode::FAILURE),
        };
        let drawn = match &mut screen {
            Some(screen) => screen.draw(&text),
            None => writeln!(io::stdout(), "{text}\n"),
        };
        match drawn {
            Err(error) if has_left(&error) => break,
            drawn => drawn?,
        }
        tokio::select! {
            () = &mut stopped => break,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
    if screen.take().is_some() {
        // The terminal is as it was before; what was seen last stays to be read.
        print(&text)?;
    }
    Ok(seen)
}

/// What the running bridge knows; where it has stopped, the error says what `goes_on` when one runs again.
pub(super) async fn of_bridge(config: &Config, goes_on: &str) -> anyhow::Result<Report> {
    running(&config.state).await?.with_context(|| format!("the bridge has stopped; {goes_on} when one runs again"))
}

/// What the state of a bridge of our own knows.
pub(super) async fn of_store(store: &Sqlite, config: &Config) -> anyhow::Result<Report> {
    Ok(Report::gather(store, config.orgs.keys().cloned(), Timestamp::now(), None).await?)
}

/// From the bridge, or from the state file where none runs.
pub(super) async fn report(config: &Config) -> anyhow::Result<Report> {
    if let Some(report) = running(&config.state).await? {
        return Ok(report);
    }
    super::has_run(config)?;
    of_store(&Sqlite::open_unowned(&config.state)?, config).await
}

async fn running(state: &Path) -> anyhow::Result<Option<Report>> {
    control::status(state).await.map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => {
            let socket = control::path(state);
            anyhow::anyhow!("{} is for the user of the bridge alone: run this as that user", socket.display())
        }
        _ => anyhow::anyhow!("the running bridge did not tell: {error}"),
    })
}
