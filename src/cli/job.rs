//! Jobs that read the past, for people: what one has done, and how far they are.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use tokio::time::Instant;

use crate::status::report::{Job, Report};
use crate::text::{counted, grouped, span};

/// How often it is looked how far they are.
const EVERY: Duration = Duration::from_millis(500);
/// How often it is said where no terminal shows it.
const SAID_EVERY: Duration = Duration::from_secs(30);
/// How often one may be missing from what is told, where it neither runs nor was seen to end.
const UNSEEN_MAX: u32 = 20;

/// Without the pipeline's name.
pub fn told(job: &Job) -> String {
    let rows = match job.total {
        Some(total) => format!("{} of {} rows", grouped(job.rows), grouped(total)),
        None => format!("{} rows", grouped(job.rows)),
    };
    let calls = counted(job.calls, "call");
    let at = job.ended.as_deref().unwrap_or_default();
    match job.state.as_str() {
        "waiting" => "waits for its turn".to_owned(),
        "running" => {
            let mut said = rows;
            if let Some(rate) = job.rows_per_second {
                said.push_str(&format!(", {} a second", grouped(rate)));
            }
            if let Some(left) = job.seconds_left {
                said.push_str(&format!(", about {} left", span(left)));
            }
            said
        }
        "done" => match &job.why {
            Some(why) => format!("done at {at}: {} rows, {calls} to read them; {why}", grouped(job.rows)),
            None => format!("done at {at}: {} rows, {calls} to read them", grouped(job.rows)),
        },
        state => match &job.why {
            Some(why) => format!("{state} at {at} after {rows}: {why}"),
            None => format!("{state} at {at} after {rows}"),
        },
    }
}

/// Exit code 0: all are done.
pub fn code(ended: &[Job]) -> ExitCode {
    if ended.iter().all(|job| job.state == "done") { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Says how far the jobs are until all are over.
pub async fn followed(
    numbers: &[i64],
    mut report: impl AsyncFnMut() -> anyhow::Result<Report>,
) -> anyhow::Result<Vec<Job>> {
    let is_terminal = io::stdout().is_terminal();
    let (mut ended, mut said): (Vec<Job>, Option<Instant>) = (Vec::new(), None);
    let mut unseen = 0;
    loop {
        let mut own = report().await?.jobs;
        own.retain(|job| numbers.contains(&job.number));
        own.sort_by_key(|job| job.number);
        for job in own.iter().filter(|job| job.ended.is_some()) {
            if !ended.iter().any(|known| known.number == job.number) {
                let clear = if is_terminal { "\r\x1b[K" } else { "" };
                println!("{clear}{}: {}", job.pipeline, told(job));
                ended.push(job.clone());
            }
        }
        if ended.len() >= numbers.len() {
            return Ok(ended);
        }
        unseen = if own.len() > ended.len() { 0 } else { unseen + 1 };
        if unseen > UNSEEN_MAX {
            anyhow::bail!("a job is not under way any more, and was not seen to end: look at `orgbridge status`");
        }
        if let Some(job) = own.iter().find(|job| job.state == "running") {
            let line = format!("{}: {}", job.pipeline, told(job));
            if is_terminal {
                print!("\r\x1b[K{line}");
                io::stdout().flush()?;
            } else if said.is_none_or(|said| said.elapsed() >= SAID_EVERY) {
                println!("{line}");
                said = Some(Instant::now());
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}
