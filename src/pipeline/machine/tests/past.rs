//! Jobs that read the past while everything goes on.

use super::*;

impl World {
    fn found(&self, n: usize, row: &Row) -> (RecordId, Found) {
        let values = row.fields.iter().map(|(name, value)| (name.parse().unwrap(), value.clone())).collect();
        let id = record_id(n);
        (id, if row.deleted { Found::Deleted } else { Found::Record(Record { id, values }) })
    }

    /// A job asks the source for what it has of a pipeline; `deleted`: also for what is gone.
    pub(super) fn past_asks(&mut self, pipeline: PipelineId, deleted: bool) {
        if self.past.is_some() {
            return;
        }
        let Some(at) = self.machine.past_asked(pipeline) else { return };
        let rows =
            self.source.iter().filter(|(n, row)| (**n < 4) == (pipeline == ACCOUNTS) && (deleted || !row.deleted));
        let found = rows.map(|(n, row)| self.found(*n, row)).collect();
        self.past = Some(PastPage {
            pipeline,
            at,
            found,
            there: HashMap::new(),
            newer: HashSet::new(),
            through: Through::Repair,
        });
    }

    /// And the target.
    pub(super) fn past_looks(&mut self) {
        let Some(mut page) = self.past.take() else { return };
        page.there.clear();
        for record in page.found.keys() {
            let id = self.memory.links.get(record).copied().or_else(|| self.target.holder(record.as_str()));
            let Some((id, (_, fields))) = id.and_then(|id| Some((id, self.target.rows.get(&id)?))) else { continue };
            let value = |(name, value): (&String, &Value)| match value.as_text().filter(|_| name == "AccountId") {
                // A row names its parent by key; an org, by id.
                Some(key) => (name.parse().unwrap(), Value::text(self.target.holder(key).unwrap().as_str())),
                None => (name.parse().unwrap(), value.clone()),
            };
            let values = fields.iter().map(value).collect();
            page.there.insert(*record, Counterpart { id, values });
        }
        self.past = Some(page);
    }

    pub(super) fn past_answers(&mut self) {
        let Some(mut page) = self.past.take() else { return };
        let newer = self.journal.iter().skip(usize::try_from(page.at.0).unwrap());
        page.newer = newer.map(|(_, change)| change.header.record_ids[0]).collect();
        let answer = self.answer(page.pipeline, &self.machine.question_of_past(&page));
        self.machine.past_read(page, &answer, self.now);
        self.commit();
    }

    fn catch_up(&mut self) {
        self.scan_all();
        for _ in 0..5 {
            self.read_all();
            while self.send() {}
            while !self.flights.is_empty() {
                self.answer_batch(0, 7);
            }
        }
    }

    fn repaired(&mut self) {
        self.past = None;
        for pipeline in [ACCOUNTS, CONTACTS] {
            self.past_asks(pipeline, true);
            self.past_looks();
            self.past_answers();
            self.finish();
        }
    }
}

fn counts(world: &World) -> (u64, u64) {
    let counts = world.machine.pipelines().map(|(_, counts, _)| (counts.equal, counts.reads));
    counts.fold((0, 0), |all, counts| (all.0 + counts.0, all.1 + counts.1))
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn jobs_that_read_the_past_while_everything_goes_on_never_end_on_an_older_state(
        steps in proptest::collection::vec((0_u8..110, any::<usize>(), any::<u16>()), 0..500),
        coalesce in any::<bool>(),
        restores in any::<bool>(),
        // What a repair at the end mends says nothing of what went wrong before.
        lossy in prop_oneof![2 => Just(0_u16), 1 => 1_u16..30],
    ) {
        let mut world = World::with(|pipeline| {
            pipeline.publishing.coalesce = coalesce;
            if restores {
                pipeline.publishing.on_undelete = OnUndelete::Restore;
            }
        });
        world.lossy = lossy;
        for (op, pick, how) in steps {
            match op {
                0..=99 => world.step(op, pick, how),
                100..=103 => world.past_asks(if pick.is_multiple_of(2) { ACCOUNTS } else { CONTACTS }, how.is_multiple_of(2)),
                104..=106 => world.past_looks(),
                107 => world.past_answers(),
                // Most of what happened is written while a job waits for its answer.
                _ => world.catch_up(),
            }
        }
        world.finish();
        if lossy > 0 {
            world.repaired();
        }
        ends_equal(world, Vec::new())?;
    }
}

#[test]
fn what_was_there_before_the_bridge_is_linked_and_only_what_differs_is_written() {
    let mut world = World::new();
    world.lossy = 100;
    (0..3).for_each(|n| world.change_source(n, 1 + n as u16));
    // One is equal, one differs in a field, one is not there.
    for (n, b) in [(0, Value::Null), (1, Value::text("other"))] {
        world.target.hold(n);
        let id = world.target.holder(record_id(n).as_str()).unwrap();
        let mut fields = world.expected()[record_id(n).as_str()].clone();
        fields.insert("B".to_owned(), b);
        world.target.rows.get_mut(&id).unwrap().1 = fields;
    }
    world.repaired();
    assert_eq!(shown(&world.target.mirror()), shown(&world.expected()));
    assert_eq!(world.memory.links.len(), 3);
    assert_eq!((counts(&world), world.memory.created.len()), ((1, 3), 1), "only the third one is the bridge's own");
    let written: Vec<Vec<&str>> =
        world.target.log.iter().map(|(_, fields)| fields.keys().map(String::as_str).collect()).collect();
    assert_eq!(written.len(), 2);
    assert!(written.contains(&vec!["B"]) && written.contains(&vec!["A", "B", "Key__c", "Region__c"]), "{written:?}");
    world.repaired();
    assert_eq!((counts(&world).0, world.target.log.len()), (4, 2), "the second time nothing is written");
}

#[test]
fn a_record_that_changed_since_it_was_read_is_read_once_more() {
    let mut world = World::new();
    world.change_source(0, 1);
    world.past_asks(ACCOUNTS, false);
    change_b(&mut world, 0, "newer");
    while !world.bus.is_empty() {
        world.deliver();
    }
    world.past_looks();
    world.past_answers();
    assert!(!world.send(), "what was read says too little");
    world.finish();
    assert_eq!(shown(&world.target.mirror()), shown(&world.expected()));
}

#[test]
fn a_record_that_was_written_while_the_job_asked_is_read_once_more() {
    let mut world = World::new();
    world.change_source(0, 1);
    world.deliver();
    world.page(5);
    assert!(world.send());
    world.past_asks(ACCOUNTS, false);
    world.past_looks();
    world.answer_batch(0, 7);
    world.past_answers();
    assert!(world.ask(), "the target's answer was older than what was written since");
}

#[test]
fn a_deletion_that_only_the_log_tells_reaches_also_a_record_that_is_on_its_way() {
    for on_its_way in [false, true] {
        let mut world = World::new();
        world.change_source(0, 1);
        world.deliver();
        world.page(5);
        assert!(world.send());
        if !on_its_way {
            world.answer_batch(0, 7);
        }
        // It went without an event, and out of the bin.
        world.source.remove(&0);
        let at = world.machine.past_asked(ACCOUNTS).unwrap();
        let found = [(record_id(0), Found::Deleted)].into();
        world.past = Some(PastPage {
            pipeline: ACCOUNTS,
            at,
            found,
            there: HashMap::new(),
            newer: HashSet::new(),
            through: Through::Backfill,
        });
        world.past_answers();
        world.finish();
        assert!(world.target.rows.is_empty(), "on its way: {on_its_way}");
        assert!(world.memory.parked.is_empty());
    }
}

#[test]
fn what_does_not_match_is_not_written_and_leaves_no_trace() {
    let mut world = World::with(|pipeline| pipeline.when = Some(Expression::compile(RESTS_ON_B).unwrap()));
    world.lossy = 100;
    world.change_source(0, 1);
    world.source.get_mut(&0).unwrap().fields.insert("B".to_owned(), Value::text("out"));
    world.repaired();
    assert_eq!((world.target.rows.len(), world.memory.applied.len()), (0, 0));
}

#[test]
fn creates_of_a_job_do_not_halt_the_pipeline_and_a_halted_one_gives_no_place_to_read_from() {
    let mut world = World::new();
    world.lossy = 100;
    let limit = Limit { most: 0, within: Duration::from_secs(600) };
    world.machine.set_brakes(
        ACCOUNTS,
        &Brakes { deletes: None, creates: Some(limit), failures: None },
        false,
        Seq::ZERO,
    );
    world.change_source(0, 1);
    world.repaired();
    assert_eq!((world.target.rows.len(), world.memory.halts.len()), (1, 0));
    world.machine.set_brakes(ACCOUNTS, &Brakes::default(), true, Seq::ZERO);
    assert_eq!(world.machine.past_asked(ACCOUNTS), None);
}
