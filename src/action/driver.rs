//! Runs the [`Machine`] of one action against the store and the other side: one task for each action.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::answer::Answers;
use super::call::{Called, Caller, Outcome, Shot, Why};
use super::machine::{Batch, Due, Machine, Step};
use super::prepare::{Meaning, Prepared, Preparing, Whose};
use super::{Resumed, given_up, resume};
use crate::budget::Budget;
use crate::config::ActionConfig;
use crate::event::{Seq, Timestamp};
use crate::mapping::Inputs;
use crate::org::{CallError, Org};
use crate::retry::{Backoff, delay_after};
use crate::status::{ActionStatus, Board};
use crate::store::{ActionDone, ActionRow, ActionSettlement, ActionState, Entry, Occasion, Store, StoreError};

/// Entries that are read at once.
const PAGE_MAX: usize = 200;
/// Failed actions that are taken at once to be done again.
const REDRIVES_MAX: usize = 200;
const STATUS_EVERY: Duration = Duration::from_millis(200);
/// How soon it is looked whether there is API budget again; no call is made for that.
const BUDGET_AGAIN: Duration = Duration::from_secs(2);
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(15 * 60);
const READ_AGAIN_MAX: Duration = Duration::from_secs(60);

/// One action, and what it needs.
pub struct Action<S> {
    pub row: ActionRow,
    pub config: ActionConfig,
    pub inputs: Inputs,
    pub source: Org,
    pub caller: Arc<Caller>,
    /// Of the orgs that it calls: where it is done, and the source.
    pub budgets: Vec<Budget>,
    pub answers: Option<Answers>,
    pub store: S,
    pub head: watch::Receiver<Seq>,
    pub board: Board,
    /// Moves when a person asked for something that the store knows.
    pub asked: watch::Receiver<u64>,
    /// Nothing may be called: a person paused the action, or the org in which it is done.
    pub paused: bool,
}

enum Done {
    /// `whose` entries mean this; those of the journal up to this number.
    Prepared {
        prepared: Vec<Prepared>,
        whose: Whose,
        to: Seq,
        gone: Vec<Occasion>,
    },
    Called {
        batch: Batch,
        called: Called,
    },
}

/// Does the action for what is journaled until cancelled; then waits for the answers of what is out, and returns.
///
/// # Errors
/// When the store fails: nothing can be remembered any more, so nothing more may be done.
pub async fn run<S: Store>(action: Action<S>, cancel: CancellationToken) -> Result<(), StoreError> {
    let mut driver = Driver::start(action, cancel.clone()).await?;
    driver.show();
    if driver.action.paused {
        cancel.cancelled().await;
        return Ok(());
    }
    loop {
        let stopping = cancel.is_cancelled();
        driver.advance(stopping).await?;
        if stopping && driver.machine.is_quiet() {
            driver.show();
            driver.tasks.shutdown().await;
            return Ok(());
        }
        let wakeup = driver.wakeup(stopping);
        tokio::select! {
            biased; // the order is policy: stop, hear answers, take more, wait
            () = cancel.cancelled(), if !stopping => {}
            Some(done) = driver.tasks.join_next() => match done {
                Ok(done) => driver.done(done).await?,
                // A bug. What was out is in `actions`, and the next start finds it.
                Err(error) => return Err(StoreError::Database(error.to_string().into())),
            },
            Ok(()) = driver.action.head.changed(), if !stopping => driver.more = true,
            Ok(()) = driver.action.asked.changed(), if !stopping => driver.redrives_due = true,
            () = sleep_until(wakeup) => {}
        }
    }
}

struct Driver<S> {
    action: Action<S>,
    preparing: Preparing,
    machine: Machine,
    /// Rows from an earlier process, of events that have not been looked at in this one.
    known: HashMap<Occasion, ActionDone>,
    /// Failed ones that are being done again.
    redriven: HashSet<Occasion>,
    /// Entries up to here were read.
    seen: Seq,
    /// There may be more in the journal.
    more: bool,
    is_preparing: bool,
    redrives_due: bool,
    /// Some of them are of events that this process has not looked at.
    redrives_later: bool,
    tasks: JoinSet<Done>,
    failed: u64,
    trouble: Option<String>,
    shown: Instant,
    cancel: CancellationToken,
}

impl<S: Store> Driver<S> {
    async fn start(action: Action<S>, cancel: CancellationToken) -> Result<Self, StoreError> {
        let (row, config) = (&action.row, &action.config);
        let preparing =
            Preparing { action: config.clone(), inputs: action.inputs.clone(), source: action.source.clone() };
        let machine = Machine::new(config.delivery, action.caller.batch_max(), row.watermark);
        let known = action.store.known_actions(row.id).await?;
        let (now, watermark) = (Instant::now(), row.watermark);
        let mut driver = Self {
            preparing,
            machine,
            known: HashMap::new(),
            redriven: HashSet::new(),
            seen: watermark,
            more: true,
            is_preparing: false,
            redrives_due: true,
            redrives_later: false,
            tasks: JoinSet::new(),
            failed: row.failed,
            trouble: None,
            shown: now - STATUS_EVERY,
            cancel,
            action,
        };
        let mut begun = Vec::new();
        for row in known {
            match row.state {
                // It was being done again when the bridge stopped.
                ActionState::Sent | ActionState::Again | ActionState::Answered if row.occasion.seq <= watermark => {
                    begun.push(row);
                }
                _ => drop(driver.known.insert(row.occasion, row)),
            }
        }
        driver.again(begun).await?;
        Ok(driver)
    }

    /// Does all that can be done now: commits, calls, reads.
    async fn advance(&mut self, stopping: bool) -> Result<(), StoreError> {
        if !stopping {
            self.read().await?;
            if std::mem::take(&mut self.redrives_due) {
                self.recount().await?;
                let rows = self.action.store.redriven_actions(self.action.row.id, REDRIVES_MAX).await?;
                self.again(rows).await?;
            }
        }
        while !stopping
            && self.may_call()
            && let Some(mut batch) = self.machine.next_batch(Instant::now(), Timestamp::now())
        {
            self.settle(std::mem::take(&mut batch.about_to)).await?;
            self.call(batch);
        }
        if let Some(moved) = self.machine.moved() {
            self.settle(moved).await?;
        }
        if self.shown.elapsed() >= STATUS_EVERY {
            self.show();
        }
        Ok(())
    }

    /// Failed ones may have been given up.
    async fn recount(&mut self) -> Result<(), StoreError> {
        let rows = self.action.store.actions().await?;
        self.failed = rows.iter().find(|row| row.id == self.action.row.id).map_or(self.failed, |row| row.failed);
        Ok(())
    }

    /// The next page of the journal, if there is room for it.
    async fn read(&mut self) -> Result<(), StoreError> {
        if !self.more || self.is_preparing || !self.machine.has_room() {
            return Ok(());
        }
        let (store, id) = (&self.action.store, self.action.row.id);
        self.more = false;
        let gone = store.events_gone(id, Timestamp::now()).await?;
        if gone > 0 {
            self.failed += gone;
            warn!(action = %self.action.config.name, gone, "events may be gone that it should have been done for: failed actions");
        }
        let page = store.page(id, self.seen, PAGE_MAX).await?;
        if page.entries.is_empty() {
            self.seen = page.last_seq.max(self.seen);
            self.machine.scanned_to(self.seen);
        } else {
            self.more = true;
            self.prepare(page.entries, Whose::All, page.last_seq, Vec::new());
        }
        Ok(())
    }

    fn prepare(&mut self, entries: Vec<Entry>, whose: Whose, to: Seq, gone: Vec<Occasion>) {
        self.is_preparing |= whose == Whose::All;
        let (preparing, cancel) = (self.preparing.clone(), self.cancel.clone());
        let name = self.action.config.name.clone();
        self.tasks.spawn(async move {
            let mut backoff = Backoff::new(RETRY_FIRST, READ_AGAIN_MAX);
            loop {
                match preparing.prepare(entries.clone(), whose).await {
                    Ok(prepared) => return Done::Prepared { prepared, whose, to, gone },
                    Err(error) => unread(&name, &error),
                }
                tokio::select! {
                    // The next start reads them again.
                    () = cancel.cancelled() => std::future::pending().await,
                    () = tokio::time::sleep(backoff.next_delay()) => {}
                }
            }
        });
    }

    /// Failed ones that a person wants done again, and those that were being done again when the bridge stopped.
    async fn again(&mut self, rows: Vec<ActionDone>) -> Result<(), StoreError> {
        // What was not looked at yet is taken up by that first, as one that failed; or it would be done twice, or not at all.
        let (rows, later): (Vec<ActionDone>, Vec<_>) = rows.into_iter().partition(|row| row.occasion.seq <= self.seen);
        self.redrives_later |= !later.is_empty();
        let new: Vec<ActionDone> = rows.into_iter().filter(|row| self.redriven.insert(row.occasion)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let mut seqs: Vec<Seq> = new.iter().map(|row| row.occasion.seq).collect();
        seqs.sort_unstable();
        seqs.dedup();
        let entries = self.action.store.entries_at(seqs).await?;
        let there: HashSet<Seq> = entries.iter().map(|entry| entry.seq).collect();
        let gone = new.iter().map(|row| row.occasion).filter(|occasion| !there.contains(&occasion.seq)).collect();
        self.known.extend(new.into_iter().map(|row| (row.occasion, row)));
        self.prepare(entries, Whose::Redriven, Seq::ZERO, gone);
        Ok(())
    }

    async fn done(&mut self, done: Done) -> Result<(), StoreError> {
        match done {
            Done::Prepared { prepared, whose: Whose::All, to, .. } => {
                self.is_preparing = false;
                self.trouble = None;
                let mut settlement = ActionSettlement::default();
                for prepared in prepared {
                    self.machine.counts.taken += 1;
                    settlement.rows.extend(self.take(prepared));
                }
                self.seen = to;
                self.redrives_due |= std::mem::take(&mut self.redrives_later);
                self.machine.scanned_to(to);
                self.settle(settlement).await?;
            }
            Done::Prepared { prepared, whose: Whose::Redriven, gone, .. } => {
                let mut settlement = ActionSettlement::default();
                // Of an event that names several records perhaps not all are to be done again.
                for prepared in prepared {
                    if self.redriven.contains(&prepared.occasion) {
                        settlement.rows.extend(self.take_again(prepared));
                    }
                }
                for occasion in gone {
                    self.redriven.remove(&occasion);
                    let Some(row) = self.known.remove(&occasion) else { continue };
                    let evidence = "Its event is not in the journal any more.".to_owned();
                    settlement.rows.push(ActionDone { state: ActionState::Failed, redrive_at: None, evidence, ..row });
                }
                // How many have failed by now, the store knows.
                self.redrives_due |= !settlement.rows.is_empty();
                self.settle(settlement).await?;
            }
            Done::Called { batch, called } => self.called(&batch, &called).await?,
        }
        Ok(())
    }

    /// An event as it comes. Its row, if that is all that becomes of it.
    fn take(&mut self, prepared: Prepared) -> Option<ActionDone> {
        let known = self.known.remove(&prepared.occasion);
        match prepared.meaning {
            Meaning::Due(due) => match resume(known.as_ref(), *due, self.action.config.delivery) {
                Resumed::Over => {}
                Resumed::Failed(row) => {
                    self.one_failed(&row.code);
                    return Some(row);
                }
                Resumed::Due(due) => self.machine.take(due, Instant::now()),
            },
            Meaning::Skipped(skip) => {
                if let Some(known) = known {
                    return self.gave_up(&known, None);
                }
                self.machine.counts.skipped += 1;
                debug!(action = %self.action.config.name, seq = %prepared.occasion.seq, why = %skip, "not done");
            }
            Meaning::Failed(why) => {
                if let Some(known) = known {
                    return self.gave_up(&known, Some(why));
                }
                self.one_failed(&why.code);
                let Prepared { occasion, idempotency_key, .. } = prepared;
                return Some(row(occasion, idempotency_key, why));
            }
        }
        None
    }

    /// It was judged otherwise before, by other rules or by another state of its record: what was done is done.
    fn gave_up(&mut self, known: &ActionDone, why: Option<Why>) -> Option<ActionDone> {
        let row = given_up(known, why, self.action.config.delivery)?;
        if row.state == ActionState::Failed {
            self.one_failed(&row.code);
        }
        Some(row)
    }

    /// One that is to be done again.
    fn take_again(&mut self, prepared: Prepared) -> Option<ActionDone> {
        let known = self.known.remove(&prepared.occasion)?;
        let was_failed = known.state == ActionState::Failed;
        match prepared.meaning {
            Meaning::Due(due) => {
                // One that failed after it was done brings its answer back, and is not done again.
                let state = match known.answer {
                    Some(_) => ActionState::Answered,
                    None if was_failed => ActionState::Again,
                    None => known.state,
                };
                let attempts = if was_failed { 0 } else { known.attempts };
                let known = ActionDone { state, attempts, ..known };
                let shot = Shot { idempotency_key: known.idempotency_key.clone(), ..due.shot.clone() };
                match resume(Some(&known), Due { holds: false, shot, ..*due }, self.action.config.delivery) {
                    Resumed::Due(due) => self.machine.take(due, Instant::now()),
                    Resumed::Failed(row) => {
                        self.redriven.remove(&row.occasion);
                        return Some(row);
                    }
                    Resumed::Over => {}
                }
                None
            }
            Meaning::Skipped(skip) => {
                info!(action = %self.action.config.name, seq = %known.occasion.seq, why = %skip, "not to be done any more");
                self.redriven.remove(&known.occasion);
                self.failed = self.failed.saturating_sub(u64::from(was_failed));
                Some(ActionDone { state: ActionState::Done, redrive_at: None, ..known })
            }
            Meaning::Failed(why) => {
                self.redriven.remove(&known.occasion);
                let Why { code, evidence } = why;
                Some(ActionDone { state: ActionState::Failed, redrive_at: None, code, evidence, ..known })
            }
        }
    }

    fn one_failed(&mut self, code: &str) {
        self.failed += 1;
        self.machine.counts.failed += 1;
        warn!(action = %self.action.config.name, %code, "a failed action: see `orgbridge actions list`");
    }

    /// Whether the orgs' API budgets allow for a call.
    fn may_call(&self) -> bool {
        self.action.budgets.iter().all(|budget| budget.waiting().is_none())
    }

    fn call(&mut self, batch: Batch) {
        let caller = self.action.caller.clone();
        let answers = self.action.answers.clone();
        self.tasks.spawn(async move {
            let called = match (batch.step, answers) {
                (Step::Answer, Some(answers)) => answers.bring(&batch.due).await,
                // The config has no answers any more: there is nothing to bring.
                (Step::Answer, None) => Called {
                    outcomes: batch.due.iter().map(|_| Outcome::Done { answer: Map::new() }).collect(),
                    ..Called::default()
                },
                (Step::Call, _) => {
                    let shots: Vec<Shot> = batch.due.iter().map(|due| due.shot.clone()).collect();
                    caller.call(&shots).await
                }
            };
            Done::Called { batch, called }
        });
    }

    async fn called(&mut self, batch: &Batch, called: &Called) -> Result<(), StoreError> {
        self.trouble = called.remedy.clone();
        let answers = self.action.answers.clone();
        let answered = |answer: &Map<String, Json>| answers.as_ref().map(|answers| answers.wanted(answer));
        let delay = |tries| delay_after(tries, RETRY_FIRST, RETRY_MAX);
        let failed = self.machine.counts.failed;
        let now = (Instant::now(), Timestamp::now());
        let settlement = self.machine.called(batch.id, called, answered, delay, now);
        for row in &settlement.rows {
            let again =
                matches!(row.state, ActionState::Done | ActionState::Failed) && self.redriven.remove(&row.occasion);
            // It was counted as failed when it failed first.
            self.failed = self.failed.saturating_sub(u64::from(again));
            self.redrives_due |= again;
            if row.state == ActionState::Failed {
                warn!(action = %self.action.config.name, code = %row.code, "a failed action: see `orgbridge actions list`");
            }
        }
        self.failed += self.machine.counts.failed - failed;
        if let Some(remedy) = &called.remedy {
            warn!(action = %self.action.config.name, "{remedy}");
        }
        self.settle(settlement).await
    }

    async fn settle(&self, settlement: ActionSettlement) -> Result<(), StoreError> {
        if settlement == ActionSettlement::default() {
            return Ok(());
        }
        self.action.store.settle_actions(self.action.row.id, settlement).await
    }

    fn wakeup(&self, stopping: bool) -> Instant {
        let now = Instant::now();
        let status = if self.shown + STATUS_EVERY > now { self.shown + STATUS_EVERY } else { now + STATUS_EVERY };
        let next = self.machine.wakeup().filter(|_| !stopping);
        let next = if self.may_call() { next } else { next.map(|next| next.max(now + BUDGET_AGAIN)) };
        next.map_or(status, |next| next.min(status))
    }

    fn show(&mut self) {
        self.shown = Instant::now();
        let (waiting, in_flight) = self.machine.figures();
        let (counts, head, now) = (self.machine.counts, *self.action.head.borrow(), Timestamp::now());
        let age = |at: Timestamp| Duration::from_millis((now.0 - at.0).max(0).unsigned_abs());
        let waits = self.action.budgets.iter().find_map(Budget::waiting).map(|(_, why)| why);
        let shown = ActionStatus {
            taken: counts.taken,
            skipped: counts.skipped,
            done: counts.done,
            failed: self.failed,
            waiting,
            in_flight,
            watermark: self.machine.progress().watermark(),
            caught_up: self.machine.is_caught_up(head) && !self.is_preparing,
            lag: self.machine.progress().oldest().map_or(Duration::ZERO, age),
            trouble: waits.or_else(|| self.trouble.clone()),
        };
        self.action.board.update(|status| drop(status.actions.insert(self.action.config.name.clone(), shown)));
    }
}

fn unread(name: &crate::event::PipelineName, error: &CallError) {
    warn!(action = %name, %error, "records could not be read for an action; it is tried again");
}

/// A failed action for which no request ever went out.
fn row(occasion: Occasion, idempotency_key: String, why: Why) -> ActionDone {
    let now = Timestamp::now();
    ActionDone {
        occasion,
        state: ActionState::Failed,
        idempotency_key,
        attempts: 0,
        first_at: now,
        tried_at: now,
        code: why.code,
        evidence: why.evidence,
        request: None,
        answer: None,
        redrive_at: None,
    }
}
