use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::store::OccasionOf;

const DAY: u64 = 86_400;

fn due(seq: u64, order: &str) -> Due {
    Due {
        occasion: Occasion { seq: Seq(seq), of: OccasionOf::Event },
        shot: Shot { idempotency_key: format!("k{seq}"), inputs: BTreeMap::new() },
        order: order.to_owned(),
        committed: Timestamp(0),
        attempts: 0,
        first_at: None,
        answer: None,
        answers: None,
        holds: true,
    }
}

fn why(code: &str) -> Why {
    Why { code: code.to_owned(), evidence: String::new() }
}

fn done() -> Outcome {
    Outcome::Done { answer: Map::new() }
}

/// What an action of one kind did, as the other side knows it: the keys, in the order in which they were done.
struct World {
    delivery: Delivery,
    machine: Machine,
    /// The orders of the events in the journal; the first one has number 1.
    events: Vec<String>,
    scanned: u64,
    rows: BTreeMap<Occasion, ActionDone>,
    watermark: Seq,
    flights: Vec<Batch>,
    did: Vec<u64>,
    answers: bool,
    brought: Vec<u64>,
    now: Instant,
}

impl World {
    fn new(delivery: Delivery) -> Self {
        Self {
            delivery,
            machine: Machine::new(delivery, 3, Seq::ZERO),
            events: Vec::new(),
            scanned: 0,
            rows: BTreeMap::new(),
            watermark: Seq::ZERO,
            flights: Vec::new(),
            did: Vec::new(),
            answers: false,
            brought: Vec::new(),
            now: Instant::now(),
        }
    }

    fn commit(&mut self, settlement: ActionSettlement) {
        for row in settlement.rows {
            self.rows.insert(row.occasion, row);
        }
        if let Some(watermark) = settlement.watermark {
            assert!(watermark >= self.watermark);
            self.watermark = watermark;
        }
        let watermark = self.watermark;
        self.rows.retain(|occasion, row| row.state != ActionState::Done || occasion.seq > watermark);
    }

    /// As the driver does it: what is known of each event from before decides.
    fn scan(&mut self, limit: usize) {
        for _ in 0..limit {
            if self.scanned >= self.events.len() as u64 {
                break;
            }
            self.scanned += 1;
            let due = due(self.scanned, &self.events[self.scanned as usize - 1]);
            match super::super::resume(self.rows.get(&due.occasion), due, self.delivery) {
                super::super::Resumed::Over => {}
                super::super::Resumed::Failed(row) => {
                    self.commit(ActionSettlement { rows: vec![row], watermark: None })
                }
                super::super::Resumed::Due(due) => self.machine.take(due, self.now),
            }
        }
        self.machine.scanned_to(Seq(self.scanned));
        if let Some(moved) = self.machine.moved() {
            self.commit(moved);
        }
    }

    fn call(&mut self) -> bool {
        let Some(mut batch) = self.machine.next_batch(self.now, Timestamp(0)) else { return false };
        self.commit(std::mem::take(&mut batch.about_to));
        let orders: HashSet<&str> = batch.due.iter().map(|due| due.order.as_str()).collect();
        assert_eq!(orders.len(), batch.due.len(), "two of one order in one call");
        let out: Vec<&str> = self.flights.iter().flat_map(|other| &other.due).map(|due| due.order.as_str()).collect();
        assert!(out.iter().all(|order| !orders.contains(order)), "two of one order at once");
        self.flights.push(batch);
        true
    }

    /// The request arrives, or does not.
    fn arrive(&mut self, batch: &Batch) {
        for due in &batch.due {
            match batch.step {
                Step::Call => self.did.push(due.occasion.seq.0),
                Step::Answer => self.brought.push(due.occasion.seq.0),
            }
        }
    }

    fn answer(&mut self, pick: usize, how: u16) {
        if self.flights.is_empty() {
            return;
        }
        let batch = self.flights.remove(pick % self.flights.len());
        let mut called = Called::default();
        match how % 8 {
            0 => {
                called.outcomes = batch.due.iter().map(|_| Outcome::NotYet(why("LOCKED"))).collect();
                called.pause = (how.is_multiple_of(3)).then(|| Duration::from_secs(60));
                called.alone = how.is_multiple_of(5);
            }
            1 => called.outcomes = batch.due.iter().map(|_| Outcome::Unknown(why("CUT"))).collect(),
            2 => {
                self.arrive(&batch);
                called.outcomes = batch.due.iter().map(|_| Outcome::Unknown(why("CUT"))).collect();
            }
            3 => called.outcomes = batch.due.iter().map(|_| Outcome::Refused(why("WRONG"))).collect(),
            _ => {
                self.arrive(&batch);
                called.outcomes = batch.due.iter().map(|_| done()).collect();
            }
        }
        let answers = self.answers;
        let answered = |_: &Map<String, Json>| answers.then(Map::new);
        let settlement = self.machine.called(
            batch.id,
            &called,
            answered,
            |tries| Duration::from_secs(u64::from(tries)),
            (self.now, Timestamp(0)),
        );
        self.commit(settlement);
    }

    /// The process is killed; what was out may still arrive.
    fn crash(&mut self, how: u16) {
        for batch in std::mem::take(&mut self.flights) {
            if how.is_multiple_of(2) {
                self.arrive(&batch);
            }
        }
        self.machine = Machine::new(self.delivery, 3, self.watermark);
        self.scanned = self.watermark.0;
    }

    fn step(&mut self, op: u8, pick: usize, how: u16) {
        match op % 16 {
            0..6 => self.events.push(format!("o{}", how % 4)),
            6..9 => self.scan(1 + usize::from(how % 4)),
            9..12 => drop(self.call()),
            12..14 => self.answer(pick, how),
            14 => self.now += Duration::from_secs(u64::from(how % 100)),
            _ => self.crash(how),
        }
    }

    fn finish(&mut self) {
        for _ in 0..10_000 {
            self.scan(100);
            while self.call() {}
            while !self.flights.is_empty() {
                self.answer(0, 7);
            }
            if self.machine.is_caught_up(Seq(self.events.len() as u64)) {
                return;
            }
            self.now += Duration::from_secs(DAY);
        }
        panic!("it does not come to rest: {:?}", self.machine);
    }

    fn failed(&self) -> HashMap<u64, &str> {
        let failed = self.rows.values().filter(|row| row.state == ActionState::Failed);
        failed.map(|row| (row.occasion.seq.0, row.code.as_str())).collect()
    }
}

fn assert_kept(world: &World) -> Result<(), TestCaseError> {
    let failed = world.failed();
    let (mut first, mut times): (Vec<u64>, HashMap<u64, usize>) = (Vec::new(), HashMap::new());
    for seq in &world.did {
        let times = times.entry(*seq).or_default();
        *times += 1;
        if *times == 1 {
            first.push(*seq);
        }
    }
    for seq in 1..=world.events.len() as u64 {
        let times = times.get(&seq).copied().unwrap_or_default();
        match (world.delivery, failed.get(&seq).copied()) {
            // Refused by its answer, after one that was lost had been done.
            (Delivery::AtLeastOnce, None) => prop_assert!(times >= 1, "{seq} is lost"),
            (Delivery::AtLeastOnce, Some(code)) => prop_assert_eq!(code, "WRONG"),
            (Delivery::AtMostOnce, None) => prop_assert_eq!(times, 1, "{}", seq),
            // Where its answer was refused to be brought back, it had been done.
            (Delivery::AtMostOnce, Some("WRONG")) => prop_assert!(times <= usize::from(world.answers), "{seq}"),
            (Delivery::AtMostOnce, Some(code)) => {
                prop_assert_eq!(code, ANSWER_LOST);
                prop_assert!(times <= 1, "{seq} was done {times} times");
            }
        }
    }
    for order in ["o0", "o1", "o2", "o3"] {
        let of: Vec<u64> = first.iter().copied().filter(|seq| world.events[*seq as usize - 1] == order).collect();
        prop_assert!(of.is_sorted(), "{order}: {of:?}");
    }
    if world.answers {
        for seq in 1..=world.events.len() as u64 {
            prop_assert!(failed.contains_key(&seq) || world.brought.contains(&seq), "the answer of {seq} is lost");
        }
    }
    prop_assert_eq!(world.watermark, Seq(world.events.len() as u64));
    prop_assert_eq!(world.rows.len(), failed.len());
    Ok(())
}

proptest! {
    #[test]
    fn each_event_is_done_as_often_as_promised_and_in_order_whatever_happens_on_the_way(
        at_least_once in any::<bool>(),
        answers in any::<bool>(),
        steps in proptest::collection::vec((any::<u8>(), any::<usize>(), any::<u16>()), 0..300),
    ) {
        let mut world =
            World::new(if at_least_once { Delivery::AtLeastOnce } else { Delivery::AtMostOnce });
        world.answers = answers;
        for (op, pick, how) in steps {
            world.step(op, pick, how);
        }
        world.finish();
        assert_kept(&world)?;
    }
}

#[test]
fn one_that_failed_lets_the_next_of_its_order_pass_and_one_that_is_tried_again_does_not() {
    let mut world = World::new(Delivery::AtLeastOnce);
    world.events = vec!["a".to_owned(), "a".to_owned(), "b".to_owned()];
    world.scan(3);
    assert!(world.call());
    let first: Vec<u64> = world.flights[0].due.iter().map(|due| due.occasion.seq.0).collect();
    assert_eq!(first, [1, 3]);
    assert!(!world.call());
    let batch = world.flights.remove(0);
    let called = Called { outcomes: vec![Outcome::NotYet(why("LOCKED")), done()], ..Called::default() };
    let settlement =
        world.machine.called(batch.id, &called, |_| None, |_| Duration::from_secs(5), (world.now, Timestamp(0)));
    world.commit(settlement);
    assert!(!world.call(), "the first is tried again, and holds the second");
    world.now += Duration::from_secs(5);
    assert!(world.call());
    world.answer(0, 3);
    assert!(world.call());
    assert_eq!(world.flights[0].due[0].occasion.seq, Seq(2));
}

#[test]
fn what_is_refused_for_all_pauses_everything_and_counts_as_no_try() {
    let mut world = World::new(Delivery::AtMostOnce);
    world.events = vec!["a".to_owned(), "b".to_owned()];
    world.scan(2);
    for _ in 0..2 * TRIES_MAX {
        assert!(world.call());
        assert!(!world.call());
        let batch = world.flights.remove(0);
        let outcomes = batch.due.iter().map(|_| Outcome::NotYet(why("DOWN"))).collect();
        let called = Called { outcomes, pause: Some(Duration::from_secs(60)), ..Called::default() };
        let settlement =
            world.machine.called(batch.id, &called, |_| None, |_| Duration::ZERO, (world.now, Timestamp(0)));
        world.commit(settlement);
        assert!(!world.call());
        world.now += Duration::from_secs(60);
    }
    world.finish();
    assert!(world.failed().is_empty());
}

#[test]
fn what_is_refused_as_a_whole_is_called_one_by_one() {
    let mut world = World::new(Delivery::AtMostOnce);
    world.events = vec!["a".to_owned(), "b".to_owned(), "c".to_owned()];
    world.scan(3);
    assert!(world.call());
    let batch = world.flights.remove(0);
    let outcomes = batch.due.iter().map(|_| Outcome::NotYet(why("TOO_MUCH"))).collect();
    let called = Called { outcomes, alone: true, ..Called::default() };
    let settlement = world.machine.called(batch.id, &called, |_| None, |_| Duration::ZERO, (world.now, Timestamp(0)));
    world.commit(settlement);
    while world.call() {}
    assert_eq!(world.flights.iter().map(|batch| batch.due.len()).collect::<Vec<_>>(), [1, 1, 1]);
}

#[test]
fn one_that_is_unanswered_for_half_a_day_is_a_failed_action() {
    let mut world = World::new(Delivery::AtLeastOnce);
    world.events = vec!["a".to_owned()];
    world.scan(1);
    for _ in 0..TRIES_MAX {
        assert!(world.call());
        world.answer(0, 1);
        world.now += Duration::from_secs(DAY);
    }
    assert!(!world.call());
    assert_eq!(world.failed(), HashMap::from([(1, "CUT")]));
}
