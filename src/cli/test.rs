//! `orgbridge test`: the tests that stand beside the mapping. No org is asked.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::ConfigFile;
use crate::config::{self, Config};
use crate::rehearse::What;
use crate::rehearse::cases::{self, Difference, Ran};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Run the tests of a mapping
#[derive(Debug, Args)]
pub struct Test {
    #[command(flatten)]
    file: ConfigFile,
    /// Again after each change of the files, until Ctrl-C
    #[arg(long)]
    watch: bool,
}

impl Test {
    /// Exit code 0 only if there is a test and all are as expected.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let path = &self.file.config;
        // Both before the first run: what happens meanwhile is not missed.
        let mut interrupts = self.watch.then(|| signal(SignalKind::interrupt())).transpose().context("signals")?;
        let mut seen = stamps(path);
        let mut code = once(path);
        let Some(interrupts) = &mut interrupts else { return Ok(code) };
        loop {
            tokio::select! {
                _ = interrupts.recv() => return Ok(code),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let now = stamps(path);
            if now != seen {
                seen = now;
                println!();
                code = once(path);
            }
        }
    }
}

/// When the config and the file of tests beside it were changed last.
fn stamps(path: &Path) -> [Option<SystemTime>; 2] {
    let of = |path: &Path| std::fs::metadata(path).and_then(|known| known.modified()).ok();
    [of(path), of(&config::tests_beside(path))]
}

fn once(path: &Path) -> ExitCode {
    let config = match config::load_mapping(path) {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("{}", problems.render(super::check::colour()));
            return ExitCode::FAILURE;
        }
    };
    let ran = cases::run(&config);
    print!("{}", report(&config, &ran));
    if ran.is_empty() {
        let beside = config::tests_beside(path);
        eprintln!("There are no tests: write some under `tests:` in the config, or in {}.", beside.display());
        return ExitCode::FAILURE;
    }
    let good = ran.iter().all(|ran| ran.differences.is_empty());
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn report(config: &Config, ran: &[Ran<'_>]) -> String {
    let mut text = String::new();
    let pipelines = config.pipelines.iter().map(|pipeline| &pipeline.name);
    for name in pipelines.chain(config.actions.iter().map(|action| &action.name)) {
        for one in ran.iter().filter(|ran| ran.case.pipeline == *name) {
            let mark = if one.differences.is_empty() { "ok  " } else { "FAIL" };
            text.push_str(&format!("{mark} {name}: {}\n", one.case.name));
            if !one.differences.is_empty() {
                text.push_str(&format!("       {}:{}\n", one.case.file.display(), one.case.line));
            }
            for difference in &one.differences {
                text.push_str(&format!("       {difference}\n"));
            }
            if matches!(one.outcome.what, What::NeedsRecord) {
                let why = one.outcome.why_read.as_ref().map_or("what is handed over".to_owned(), ToString::to_string);
                text.push_str(&format!("       {why}: give the test a `record:` with the whole record\n"));
            }
            // Said already where it is the difference.
            if one.differences.iter().any(|difference| matches!(difference, Difference::Field { .. })) {
                text.push_str(&format!("       it would be the {}\n", one.outcome.what));
            }
        }
    }
    let failed = ran.iter().filter(|ran| !ran.differences.is_empty()).count();
    text.push_str(&format!("{} of {} tests are as expected\n", ran.len() - failed, ran.len()));
    text
}
