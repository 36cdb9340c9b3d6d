//! Failed records that are tried again because a person wants it.

use super::*;

fn refused() -> Verdict {
    Verdict::Refused(Refusal {
        state: ParkedState::Failed,
        code: "FIELD_CUSTOM_VALIDATION_EXCEPTION".to_owned(),
        fields: vec!["A".to_owned()],
        waits_for: None,
        evidence: "the rule says no".to_owned(),
    })
}

impl World {
    /// The target refuses the oldest batch that is out.
    fn refuse(&mut self) {
        if self.flights.is_empty() {
            return;
        }
        let batch = self.flights.remove(0);
        let verdicts = batch.writes.iter().map(|_| refused()).collect();
        self.machine.batch_done(batch.flight, verdicts, self.now);
        self.commit();
    }

    /// A person wants one of the parked rows tried again.
    fn redrive(&mut self, pick: usize) {
        let mut rows: Vec<_> = self.memory.parked.keys().copied().collect();
        rows.sort_unstable();
        if !rows.is_empty() {
            let (pipeline, record) = rows[pick % rows.len()];
            self.machine.redrive(Source { pipeline, record }, self.now);
        }
    }

    pub(super) fn scan_all(&mut self) {
        while !self.bus.is_empty() {
            self.deliver();
        }
        while self.machine.pipelines().any(|(_, _, progress)| progress.scanned() < self.head()) {
            self.page(5);
        }
    }
}

/// A failed account, with the fields that were sent kept.
fn failed() -> World {
    let mut world = World::new();
    world.change_source(0, 1);
    world.scan_all();
    while world.ask() {}
    while !world.asked.is_empty() {
        world.answer_read(0);
    }
    assert!(world.send());
    world.refuse();
    let row = &world.memory.parked[&(ACCOUNTS, record_id(0))];
    assert_eq!((row.state, row.attempts), (ParkedState::Failed, 1));
    world
}

#[test]
fn a_failed_record_keeps_what_was_sent_and_its_debug_text_does_not_show_it() {
    let world = failed();
    let row = &world.memory.parked[&(ACCOUNTS, record_id(0))];
    let request: serde_json::Value = serde_json::from_str(row.request.as_deref().unwrap()).unwrap();
    assert_eq!((&request["call"], &request["by"]), (&"upsert".into(), &"Key__c".into()));
    assert_eq!(request["fields"]["A"], "v1");
    assert!(!format!("{row:?}").contains("v1") && !format!("{row:?}").contains("the rule says no"), "{row:?}");
}

#[test]
fn a_redrive_writes_the_record_as_it_is_now_and_closes_the_row() {
    let mut world = failed();
    // It changes again and again, and each time it is known to have failed just now.
    for how in [2, 3, 8] {
        world.change_source(0, how);
        world.scan_all();
    }
    assert!(!world.send(), "nothing goes out by itself so soon");
    assert!(!world.ask());
    world.redrive(0);
    world.finish();
    assert!(world.memory.parked.is_empty());
    assert_eq!(shown(&world.target.mirror()), shown(&world.expected()));
    assert_eq!(world.target.log.len(), 1, "nothing older was written");
}

#[test]
fn a_redrive_while_an_older_read_is_on_its_way_reads_once_more() {
    let mut world = failed();
    world.redrive(0);
    assert!(world.ask(), "as the record is by now");
    world.change_source(0, 2);
    world.redrive(0);
    world.answer_read(0);
    world.finish();
    assert_eq!(shown(&world.target.mirror()), shown(&world.expected()));
}

proptest! {
    #[test]
    fn redrives_among_refusals_never_end_on_an_older_state(
        steps in proptest::collection::vec((0_u8..120, any::<usize>(), any::<u16>()), 0..300),
    ) {
        let mut world = World::new();
        for (op, pick, how) in steps {
            match op {
                // Of steps that come with others, those without a change of types.
                0..=99 => world.step(op, pick, how),
                100..=109 => world.refuse(),
                _ => world.redrive(pick),
            }
        }
        world.finish();
        prop_assert_eq!(shown(&world.target.mirror()), shown(&world.expected()));
        prop_assert!(world.memory.parked.is_empty(), "{:?}", world.memory.parked);
    }
}
