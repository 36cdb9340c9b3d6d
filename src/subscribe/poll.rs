//! Objects that have no change events, or no place among the few that can be selected: the org is asked, every so often,
//! which records changed or vanished. That much is journaled, without values; a pipeline reads the records like those of
//! any gap.
//!
//! A stamp is set before its transaction commits, so each window begins again a good while before the end of the last;
//! what is found twice is a double. A transaction that was open for longer than that can be missed.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::budget::Budget;
use crate::event::{Arrival, Channel, ObjectName, Timestamp, Window, WindowCause};
use crate::org::{CallError, Changed, DELETIONS_KEPT, Disposition, Org};
use crate::retry::Backoff;
use crate::status::Board;
use crate::subscribe::{State, found};

const ORIGIN: &str = "orgbridge/poll";
/// How long a transaction may have been open when it commits.
const OVERLAP: Duration = Duration::from_secs(300);
/// The second that is not over may still bring changes.
const OPEN: Duration = Duration::from_secs(1);
/// How soon it is looked whether there is API budget again; no call is made for that.
const BUDGET_AGAIN: Duration = Duration::from_secs(2);
const PAGE: usize = 2_000;

/// One object that is polled.
pub struct Poll {
    pub org: Org,
    pub budget: Budget,
    pub object: ObjectName,
    pub channel: Channel,
    pub every: Duration,
    /// Up to where it has looked, by the org's clock; at the first start from where it looks.
    pub from: Timestamp,
    /// The first look: nothing before `from` is wanted.
    pub first: bool,
    pub arrivals: mpsc::Sender<(Channel, Arrival)>,
    /// Of the org.
    pub board: Board,
    pub cancel: CancellationToken,
}

enum Trouble {
    Call(CallError),
    JournalGone,
}

impl From<CallError> for Trouble {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

/// Polls until cancelled. What the org refuses is shown, and asked again.
pub async fn run(mut poll: Poll) {
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(300));
    let cancel = poll.cancel.clone();
    poll.show(State::CatchingUp);
    loop {
        if let Some((until, why)) = poll.budget.waiting() {
            poll.show(State::Waiting { until, why });
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(BUDGET_AGAIN) => continue,
            }
        }
        let looked = tokio::select! {
            () = cancel.cancelled() => return,
            looked = poll.look() => looked,
        };
        let pause = match looked {
            Ok(()) => {
                backoff.reset();
                poll.show(State::Live);
                poll.every
            }
            Err(Trouble::JournalGone) => return,
            Err(Trouble::Call(error)) => {
                let pause = backoff.next_delay().max(poll.every.min(Duration::from_secs(60)));
                warn!(object = %poll.object, %error, ?pause, "the org did not tell what changed");
                poll.show(match error.disposition() {
                    Disposition::Halt { remedy } => State::Refused { why: format!("{error}: {remedy}") },
                    Disposition::Retry { .. } | Disposition::OutcomeUnknown | Disposition::Split => {
                        State::Waiting { until: Timestamp::now().plus(pause), why: error.to_string() }
                    }
                });
                pause
            }
        };
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

impl Poll {
    /// One window, to its end.
    async fn look(&mut self) -> Result<(), Trouble> {
        let described = self.org.describe_now(&self.object).await?;
        // The describe's answer has just told the org's time.
        let to = self.org.server_time().minus(OPEN).second();
        let start = if self.first { self.from } else { self.from.minus(OVERLAP) };
        let mut from = start.second();
        if to <= self.from {
            return Ok(());
        }
        let deletions = described.has("IsDeleted");
        let mut found = 0;
        while from < to {
            let changes = self.org.changed(&self.object, from, to, PAGE, deletions).await?;
            found += changes.rows.len();
            self.tell(&changes.rows).await?;
            from = changes.complete_until;
        }
        // Also what is not in the recycle bin any more. Not every object has this log.
        let reach = self.org.server_time().minus(DELETIONS_KEPT).second();
        let since = start.second().max(reach);
        if !self.first || since < to {
            match self.org.deleted(&self.object, since, to).await {
                Ok(deleted) => {
                    found += deleted.rows.len();
                    self.tell(&deleted.rows).await?;
                    let known_from = deleted.earliest.map_or(since, |earliest| earliest.max(since));
                    if !self.first && known_from > self.from {
                        self.missing(known_from).await?;
                    }
                }
                Err(error) if error.code().is_some_and(|code| code.as_str() == "INVALID_REPLICATION_DATE") => {
                    if !self.first {
                        self.missing(to).await?;
                    }
                }
                // UNSURE which code an object without the log gets; deleted rows were asked for above.
                Err(CallError::Refused { .. }) if deletions => {}
                Err(error) => return Err(error.into()),
            }
        }
        if found > 0 {
            info!(object = %self.object, found, until = %to, "polled");
        }
        (self.from, self.first) = (to, false);
        self.hand_over(Arrival::Live { until: to }).await
    }

    async fn tell(&self, rows: &[Changed]) -> Result<(), Trouble> {
        for row in rows {
            let change = found::change(&self.channel, &self.object, row, ORIGIN);
            self.hand_over(Arrival::Found { change, missed: false }).await?;
        }
        Ok(())
    }

    /// Records that were deleted in between, and are out of the bin, cannot be known.
    async fn missing(&self, to: Timestamp) -> Result<(), Trouble> {
        let why = "the org keeps no log of deletions for this time: records that were deleted then are not known";
        let window = Window {
            cause: WindowCause::Missed,
            object: Some(self.object.clone()),
            from: Some(self.from),
            to: Some(to),
            why: why.to_owned(),
        };
        self.hand_over(Arrival::Window(window)).await
    }

    async fn hand_over(&self, arrival: Arrival) -> Result<(), Trouble> {
        self.arrivals.send((self.channel.clone(), arrival)).await.map_err(|_| Trouble::JournalGone)
    }

    fn show(&self, state: State) {
        self.board.subscription(&self.channel, |shown| shown.state = state);
    }
}
