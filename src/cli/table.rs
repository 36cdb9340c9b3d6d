//! The live table: redrawn in a terminal, plain lines elsewhere.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use crate::status::{PipelineStatus, Status};

/// Draws a status again and again in the same place.
pub struct Screen {
    terminal: bool,
    /// Lines drawn last time.
    drawn: usize,
}

impl Screen {
    pub fn new() -> Self {
        Self { terminal: std::io::stdout().is_terminal(), drawn: 0 }
    }

    /// How often it is worth drawing.
    pub fn every(&self) -> Duration {
        if self.terminal { Duration::from_millis(250) } else { Duration::from_secs(2) }
    }

    /// # Errors
    /// When nobody reads any more.
    pub fn draw(&mut self, status: &Status) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        if self.terminal {
            let text = table(status);
            if self.drawn > 0 {
                // Up over what was drawn, and clear from there.
                write!(out, "\x1b[{}A\x1b[J", self.drawn)?;
            }
            self.drawn = text.lines().count();
            writeln!(out, "{}", text.trim_end())?;
        } else {
            for (name, line) in &status.pipelines {
                writeln!(out, "{name}: {}", plain(status, line))?;
            }
        }
        out.flush()
    }
}

/// A table without lines, for lists.
pub fn plain_list() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table
}

/// What is received of the channel of a pipeline, and how much of it is in the journal.
fn received(status: &Status, line: &PipelineStatus) -> (u64, u64) {
    let of_channel = status.subscriptions.iter().filter(|((_, channel), _)| *channel == line.channel);
    of_channel.fold((0, 0), |(received, journaled), (_, subscription)| {
        (received + subscription.received, journaled + subscription.journaled)
    })
}

fn plain(status: &Status, line: &PipelineStatus) -> String {
    let (received, journaled) = received(status, line);
    // Most pipelines make anew what is gone, and never have any.
    let gone = match line.left_gone {
        0 => String::new(),
        gone => format!(", left deleted in the target {gone}"),
    };
    let kept = match line.kept {
        0 => String::new(),
        kept => format!(", kept in the target {kept}"),
    };
    format!(
        "received {received}, journaled {journaled}, waiting {}, in flight {}, applied {}, failed records {}{gone}{kept}, API calls {}, lag {}",
        line.waiting + line.parked,
        line.in_flight,
        line.applied,
        line.failed,
        line.api_calls,
        lag(line.lag)
    )
}

fn table(status: &Status) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header([
        "pipeline",
        "received",
        "journaled",
        "waiting",
        "in\nflight",
        "applied",
        "failed\nrecords",
        "API\ncalls",
        "lag",
    ]);
    for (name, line) in &status.pipelines {
        let (received, journaled) = received(status, line);
        table.add_row([
            name.to_string(),
            received.to_string(),
            journaled.to_string(),
            (line.waiting + line.parked).to_string(),
            line.in_flight.to_string(),
            line.applied.to_string(),
            line.failed.to_string(),
            line.api_calls.to_string(),
            lag(line.lag),
        ]);
    }
    // Nine columns in a terminal of 80.
    for (n, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 1));
        if n > 0 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text = table.to_string();
    for (org, target) in &status.targets {
        if let Some(trouble) = &target.trouble {
            text.push_str(&format!("\n! {org}: {trouble}"));
        }
        if target.suspect > 0 {
            text.push_str(&format!(
                "\n  {org}: {} answers were lost; these records are written once more",
                target.suspect
            ));
        }
    }
    for ((org, channel), subscription) in &status.subscriptions {
        text.push_str(&format!("\n  {org} {channel}: {}", subscription.shown()));
    }
    // A line that wraps would be drawn over the wrong place.
    match table.width() {
        Some(width) => {
            let cut = |line: &str| line.chars().take(width.into()).collect::<String>();
            text.lines().map(cut).collect::<Vec<_>>().join("\n")
        }
        None => text,
    }
}

/// Commit times have whole seconds, so nothing finer is shown.
fn lag(lag: Duration) -> String {
    match lag.as_secs() {
        0 => "0 s".to_owned(),
        seconds @ 1..=119 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Seq;
    use crate::status::SubscriptionStatus;

    #[test]
    fn a_plain_line_has_every_figure_of_the_table() {
        let line = PipelineStatus {
            channel: "/data/AccountChangeEvent".parse().unwrap(),
            target: "target".parse().unwrap(),
            taken: 9,
            waiting: 3,
            in_flight: 2,
            applied: 4,
            parked: 1,
            failed: 5,
            unfilled: 8,
            left_gone: 7,
            kept: 8,
            api_calls: 6,
            watermark: Seq(1),
            halted: None,
            lag: Duration::from_millis(1_900),
        };
        let mut status = Status::default();
        let subscription = SubscriptionStatus { received: 12, journaled: 11, ..SubscriptionStatus::default() };
        status.subscriptions.insert(("source".parse().unwrap(), line.channel.clone()), subscription);
        assert_eq!(
            plain(&status, &line),
            "received 12, journaled 11, waiting 4, in flight 2, applied 4, failed records 5, left deleted in the target 7, kept in the target 8, API calls 6, lag 1 s"
        );
    }
}
