//! Which events an action is done for next, and what becomes of each: a state machine without I/O.
//!
//! In: what events hand over, in the order of the journal, and what came of calls. Out: batches to call, and rows to commit:
//! before each call that it is about to be made, after it what came of it.
//!
//! What has the same order is done one after the other. One that is being tried again holds the others of its order; one that
//! failed lets them pass. Nothing is merged, and nothing counts as done because something newer was.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use serde_json::{Map, Value as Json};
use tokio::time::Instant;

use super::call::{Called, Outcome, Shot, Why};
use crate::config::Delivery;
use crate::event::{Seq, Timestamp};
use crate::pipeline::progress::Progress;
use crate::store::{ActionDone, ActionSettlement, ActionState, Occasion};

/// The code of an action of which it is not known whether it was done, and that is not to be done twice.
pub const ANSWER_LOST: &str = "ANSWER_LOST";
/// Requests for one event after which it is a failed action, where each was refused for now or unanswered: about half a day.
const TRIES_MAX: u32 = 60;
/// Events that wait above which no more are taken.
const WAITING_MAX: usize = 2_000;
/// Calls at once.
const CALLS_MAX: usize = 4;

/// Two steps of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// The action itself.
    Call,
    /// What it answered is brought back. It can be repeated without harm.
    Answer,
}

/// What is to be done for one event. `Debug` leaves out the values.
#[derive(Clone)]
pub struct Due {
    pub occasion: Occasion,
    pub shot: Shot,
    /// Those of the same text are done one after the other.
    pub order: String,
    /// When the event was committed.
    pub committed: Timestamp,
    pub attempts: u32,
    /// Of what is done again, or was begun by an earlier process; else when it is first noted.
    pub first_at: Option<Timestamp>,
    /// What is to be brought back, and nothing is called any more. By the names of the answer.
    pub answer: Option<Map<String, Json>>,
    /// The record of the source to which the answer goes.
    pub answers: Option<String>,
    /// It holds the watermark: it is no failed one that is done again.
    pub holds: bool,
}

impl std::fmt::Debug for Due {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Due")
            .field("occasion", &self.occasion)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

impl Due {
    fn step(&self) -> Step {
        if self.answer.is_some() { Step::Answer } else { Step::Call }
    }

    fn row(&self, state: ActionState, at: Timestamp) -> ActionDone {
        ActionDone {
            occasion: self.occasion,
            state,
            idempotency_key: self.shot.idempotency_key.clone(),
            attempts: self.attempts,
            first_at: self.first_at.unwrap_or(at),
            tried_at: at,
            code: String::new(),
            evidence: String::new(),
            request: Some(request(&self.shot)),
            answer: self.answer.as_ref().map(|answer| Json::Object(answer.clone()).to_string()),
            redrive_at: None,
        }
    }

    fn failed(&self, why: &Why, at: Timestamp) -> ActionDone {
        let row = self.row(ActionState::Failed, at);
        ActionDone { code: why.code.clone(), evidence: why.evidence.clone(), ..row }
    }
}

/// What is handed over, for people who look at one that failed.
fn request(shot: &Shot) -> String {
    let inputs = shot.inputs.iter().map(|(name, value)| (name.to_string(), Json::from(value.clone())));
    Json::Object(inputs.collect()).to_string()
}

/// A number of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(u64);

/// What goes out in one call.
#[derive(Debug)]
pub struct Batch {
    pub id: CallId,
    pub step: Step,
    pub due: Vec<Due>,
    /// To be committed before the call is made.
    pub about_to: ActionSettlement,
}

/// Counters since the process started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events that were looked at, one for each record that they name.
    pub taken: u64,
    /// Those for which nothing is done.
    pub skipped: u64,
    pub done: u64,
    pub failed: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Machine {
    delivery: Delivery,
    batch_max: usize,
    progress: Progress,
    committed: Seq,
    /// What waits, by order; the first one may be out.
    lanes: HashMap<String, VecDeque<Due>>,
    /// Orders whose first may go, by when, and then by which event.
    ready: BTreeSet<(Instant, Occasion, String)>,
    flying: BTreeMap<CallId, Vec<String>>,
    /// Everything that waits or is out.
    known: HashSet<Occasion>,
    calls: u64,
    /// Nothing goes out before.
    paused: Option<Instant>,
    /// The next ones go one by one, so that a neighbour is not refused for what is another's fault.
    alone: usize,
    pub counts: Counts,
}

impl Machine {
    pub fn new(delivery: Delivery, batch_max: usize, watermark: Seq) -> Self {
        Self {
            delivery,
            batch_max: batch_max.max(1),
            progress: Progress::new(watermark),
            committed: watermark,
            lanes: HashMap::new(),
            ready: BTreeSet::new(),
            flying: BTreeMap::new(),
            known: HashSet::new(),
            calls: 0,
            paused: None,
            alone: 0,
            counts: Counts::default(),
        }
    }

    /// There is room for more events.
    pub fn has_room(&self) -> bool {
        self.known.len() < WAITING_MAX
    }

    pub fn knows(&self, occasion: Occasion) -> bool {
        self.known.contains(&occasion)
    }

    /// It is to be done for this event. Those of one order are done in the order of their events, whenever they come.
    pub fn take(&mut self, due: Due, now: Instant) {
        if !self.known.insert(due.occasion) {
            return;
        }
        if due.holds {
            self.progress.add(due.occasion.seq, due.committed);
        }
        let out = self.flying.values().flatten().any(|order| *order == due.order);
        let lane = self.lanes.entry(due.order.clone()).or_default();
        let first = usize::from(out);
        let at = lane.iter().skip(first).position(|other| other.occasion > due.occasion);
        let at = at.map_or(lane.len(), |at| at + first);
        if at == 0 {
            if let Some(was) = lane.front() {
                self.ready.retain(|(_, occasion, _)| *occasion != was.occasion);
            }
            self.ready.insert((now, due.occasion, due.order.clone()));
        }
        lane.insert(at, due);
    }

    /// All events up to here were looked at.
    pub fn scanned_to(&mut self, seq: Seq) {
        self.progress.scanned_to(seq);
    }

    /// What is to be committed although no call was made: how far everything is done.
    pub fn moved(&mut self) -> Option<ActionSettlement> {
        let watermark = self.watermark()?;
        Some(ActionSettlement { rows: Vec::new(), watermark: Some(watermark) })
    }

    fn watermark(&mut self) -> Option<Seq> {
        let watermark = self.progress.watermark();
        (watermark > self.committed).then(|| {
            self.committed = watermark;
            watermark
        })
    }

    /// The next call, if one may be made now.
    pub fn next_batch(&mut self, now: Instant, wall: Timestamp) -> Option<Batch> {
        if self.flying.len() >= CALLS_MAX || self.paused.is_some_and(|until| until > now) {
            return None;
        }
        self.paused = None;
        let most = if self.alone > 0 { 1 } else { self.batch_max };
        let mut step = None;
        let mut taken: Vec<(Instant, Occasion, String)> = Vec::new();
        for entry in self.ready.iter().take_while(|(at, ..)| *at <= now) {
            let Some(due) = self.lanes.get(&entry.2).and_then(VecDeque::front) else { continue };
            if *step.get_or_insert_with(|| due.step()) == due.step() {
                taken.push(entry.clone());
            }
            if taken.len() >= most {
                break;
            }
        }
        let step = step.filter(|_| !taken.is_empty())?;
        self.alone = self.alone.saturating_sub(1);
        self.calls += 1;
        let id = CallId(self.calls);
        let mut batch = Batch { id, step, due: Vec::new(), about_to: ActionSettlement::default() };
        let mut orders = Vec::new();
        for entry in taken {
            self.ready.remove(&entry);
            let Some(due) = self.lanes.get_mut(&entry.2).and_then(VecDeque::front_mut) else { continue };
            due.attempts += 1;
            let state = if step == Step::Call { ActionState::Sent } else { ActionState::Answered };
            let row = due.row(state, wall);
            due.first_at = Some(row.first_at);
            batch.about_to.rows.push(row);
            batch.due.push(due.clone());
            orders.push(entry.2);
        }
        self.flying.insert(id, orders);
        Some(batch)
    }

    /// When it is worth to ask for a batch again.
    pub fn wakeup(&self) -> Option<Instant> {
        if self.flying.len() >= CALLS_MAX {
            return None;
        }
        let first = self.ready.first().map(|(at, ..)| *at)?;
        Some(self.paused.map_or(first, |until| until.max(first)))
    }

    /// What came of a call. `answered`: what is to be brought back of an answer, if anything. `delay`: before the next try of what was
    /// tried so often.
    pub fn called(
        &mut self,
        id: CallId,
        called: &Called,
        answered: impl Fn(&Map<String, Json>) -> Option<Map<String, Json>>,
        delay: impl Fn(u32) -> Duration,
        (now, wall): (Instant, Timestamp),
    ) -> ActionSettlement {
        let mut settlement = ActionSettlement::default();
        let orders = self.flying.remove(&id).unwrap_or_default();
        if let Some(pause) = called.pause {
            self.paused = Some(now + pause);
        }
        if called.alone {
            self.alone = self.alone.max(orders.len());
        }
        for (order, outcome) in orders.into_iter().zip(&called.outcomes) {
            let Some(lane) = self.lanes.get_mut(&order) else { continue };
            let Some(due) = lane.front_mut() else { continue };
            let not_counted = called.pause.is_some() || called.alone;
            let over = due.attempts >= TRIES_MAX;
            let then = match (outcome, due.step()) {
                (Outcome::Done { answer }, Step::Call) => match answered(answer) {
                    Some(answer) => {
                        due.answer = Some(answer);
                        due.attempts = 0;
                        settlement.rows.push(due.row(ActionState::Answered, wall));
                        Then::At(now)
                    }
                    None => Then::Over(due.row(ActionState::Done, wall)),
                },
                (Outcome::Done { .. }, Step::Answer) => Then::Over(due.row(ActionState::Done, wall)),
                (Outcome::Refused(why), _) => Then::Over(due.failed(why, wall)),
                (Outcome::NotYet(_), step) if not_counted => {
                    due.attempts -= 1;
                    settlement.rows.push(due.row(again(step), wall));
                    Then::At(now)
                }
                (Outcome::Unknown(why), Step::Call) if self.delivery == Delivery::AtMostOnce => {
                    Then::Over(due.failed(&lost(why), wall))
                }
                (Outcome::NotYet(why) | Outcome::Unknown(why), _) if over => Then::Over(due.failed(why, wall)),
                (Outcome::NotYet(_), step) => {
                    settlement.rows.push(due.row(again(step), wall));
                    Then::At(now + delay(due.attempts))
                }
                (Outcome::Unknown(_), _) => Then::At(now + delay(due.attempts)),
            };
            match then {
                Then::At(at) => drop(self.ready.insert((at, due.occasion, order))),
                Then::Over(row) => {
                    if row.state == ActionState::Failed {
                        self.counts.failed += 1;
                    } else {
                        self.counts.done += 1;
                    }
                    settlement.rows.push(row);
                    self.over(&order, now);
                }
            }
        }
        settlement.watermark = self.watermark();
        settlement
    }

    /// The first of this order is over: the next one may go.
    fn over(&mut self, order: &str, now: Instant) {
        let Some(lane) = self.lanes.get_mut(order) else { return };
        if let Some(due) = lane.pop_front() {
            self.known.remove(&due.occasion);
            if due.holds {
                self.progress.settle(due.occasion.seq);
            }
        }
        match lane.front() {
            Some(next) => drop(self.ready.insert((now, next.occasion, order.to_owned()))),
            None => drop(self.lanes.remove(order)),
        }
    }

    /// Waiting and out.
    pub fn figures(&self) -> (u64, u64) {
        let out: usize = self.flying.values().map(Vec::len).sum();
        ((self.known.len() - out) as u64, out as u64)
    }

    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Nothing waits and nothing is out, and all up to `head` was looked at.
    pub fn is_caught_up(&self, head: Seq) -> bool {
        self.known.is_empty() && self.progress.watermark() >= head
    }

    /// Nothing is out.
    pub fn is_quiet(&self) -> bool {
        self.flying.is_empty()
    }
}

enum Then {
    At(Instant),
    Over(ActionDone),
}

fn again(step: Step) -> ActionState {
    match step {
        Step::Call => ActionState::Again,
        Step::Answer => ActionState::Answered,
    }
}

/// It may have been done, and is not done twice.
pub fn lost(why: &Why) -> Why {
    let evidence = format!(
        "Its answer did not come ({}), so nobody knows whether it was done; it is not done again by itself (delivery: \
         at_most_once). {}",
        why.code, why.evidence
    );
    Why { code: ANSWER_LOST.to_owned(), evidence }
}

#[cfg(test)]
mod tests;
