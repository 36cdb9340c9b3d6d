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

#[test]
fn a_pair_whose_counterpart_is_another_ones_by_now_is_parted_also_where_its_record_is_overtaken() {
    for is_newer in [false, true] {
        let mut world = World::new();
        let fields = BTreeMap::from([("A".to_owned(), Value::text("a"))]);
        world.source.insert(0, Row { fields, ..Row::default() });
        world.target.hold(1);
        let (record, target) = (record_id(0), target_id(1));
        world.memory.links.insert(record, target);
        world.past_asks(ACCOUNTS, false);
        world.past_looks();
        let mut page = world.past.take().unwrap();
        page.newer.extend(Some(record).filter(|_| is_newer));
        let answer = world.answer(ACCOUNTS, &world.machine.question_of_past(&page));
        let parted = world.machine.past_paired(page, &HashMap::from([(record, target)]), &answer, world.now);
        world.commit();
        assert_eq!(parted.len(), 1, "newer: {is_newer}");
        assert!(!world.memory.links.contains_key(&record), "newer: {is_newer}");
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

/// A job reads pairs that were linked, as an import does. Those that are parted, and why.
fn paired(world: &mut World, pairs: &[(usize, RecordId)]) -> Vec<(RecordId, String)> {
    world.past_asks(ACCOUNTS, false);
    world.past_looks();
    world.past_pairs(pairs)
}

impl World {
    fn past_pairs(&mut self, pairs: &[(usize, RecordId)]) -> Vec<(RecordId, String)> {
        let Some(mut page) = self.past.take() else { return Vec::new() };
        let pairs: HashMap<RecordId, RecordId> = pairs.iter().map(|(n, target)| (record_id(*n), *target)).collect();
        let newer = self.journal.iter().skip(usize::try_from(page.at.0).unwrap());
        page.newer = newer.map(|(_, change)| change.header.record_ids[0]).collect();
        page.found.retain(|record, _| pairs.contains_key(record));
        let answer = self.answer(ACCOUNTS, &self.machine.question_of_past(&page));
        let not_linked = self.machine.past_paired(page, &pairs, &answer, self.now);
        self.commit();
        not_linked.into_iter().map(|one| (one.record, one.why)).collect()
    }

    /// The bridge stops what is on its way, and links an account with what the target has from before. Whether it could.
    fn link(&mut self, n: usize, there: RecordId) -> bool {
        while !self.flights.is_empty() {
            self.answer_batch(0, 7);
        }
        self.restart();
        let record = record_id(n);
        let is_free = !self.memory.links.contains_key(&record) && !self.memory.sent.contains_key(&(ACCOUNTS, record));
        if is_free {
            self.memory.links.insert(record, there);
        }
        is_free
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_imported_while_everything_goes_on_is_either_linked_or_told(
        steps in proptest::collection::vec((0_u8..115, any::<usize>(), any::<u16>()), 0..400),
        coalesce in any::<bool>(),
    ) {
        let mut world = World::with(|pipeline| pipeline.publishing.coalesce = coalesce);
        let there: Vec<RecordId> = (0..4).map(|_| found_there(&mut world, "", "as it was")).collect();
        let (mut linked, mut parted) = (HashMap::new(), HashSet::new());
        for (op, pick, how) in steps {
            let n = pick % 4;
            match op {
                0..=99 => world.step(op, pick, how),
                100..=102 if !linked.contains_key(&n) && world.source.get(&n).is_some_and(|row| !row.deleted) => {
                    if world.link(n, there[n]) {
                        linked.insert(n, there[n]);
                    }
                }
                100..=105 => world.past_asks(ACCOUNTS, false),
                106..=108 => world.past_looks(),
                109..=112 => {
                    let pairs: Vec<_> = linked.iter().map(|(n, there)| (*n, *there)).collect();
                    parted.extend(world.past_pairs(&pairs).into_iter().map(|(record, _)| record));
                }
                _ => world.catch_up(),
            }
        }
        world.past = None;
        world.finish();
        let pairs: Vec<_> = linked.iter().map(|(n, there)| (*n, *there)).collect();
        parted.extend(paired(&mut world, &pairs).into_iter().map(|(record, _)| record));
        world.finish();
        for (n, there) in there.iter().enumerate() {
            if world.target.rows.get(there).is_some_and(|(key, _)| key.is_empty()) {
                let is_told = !linked.contains_key(&n) || parted.contains(&record_id(n));
                prop_assert!(is_told, "account {} was made anew, or forgotten", n);
                world.target.rows.remove(there);
            }
        }
        // As a backfill does, for what an import leaves as it was.
        world.repaired();
        ends_equal(world, Vec::new())?;
    }
}

/// A record that the target has from before.
fn found_there(world: &mut World, key: &str, a: &str) -> RecordId {
    world.target.made += 1;
    let id = target_id(world.target.made);
    let fields = [("A".to_owned(), Value::text(a))].into_iter();
    let key_field = (!key.is_empty()).then(|| ("Key__c".to_owned(), Value::text(key)));
    world.target.rows.insert(id, (key.to_owned(), fields.chain(key_field).collect()));
    id
}

#[test]
fn a_named_counterpart_is_given_the_key_and_nothing_else_and_later_changes_reach_it() {
    let mut world = World::new();
    world.lossy = 100;
    (0..2).for_each(|n| world.change_source(n, 1 + n as u16));
    let (first, second) = (found_there(&mut world, "", "as it was"), found_there(&mut world, "", "as it was"));
    world.memory.links = [(record_id(0), first), (record_id(1), second)].into();
    assert_eq!(paired(&mut world, &[(0, first), (1, second)]), []);
    world.finish();
    let written: Vec<_> = world.target.log.iter().map(|(id, fields)| (*id, fields.keys().cloned().collect())).collect();
    let key = || vec!["Key__c".to_owned()];
    assert_eq!(written, [(first, key()), (second, key())]);
    assert_eq!(paired(&mut world, &[(0, first), (1, second)]), [], "once more, as after a crash");
    world.finish();
    assert_eq!(world.target.log.len(), 2, "they have it by now");
    world.lossy = 0;
    change_b(&mut world, 0, "changed");
    world.finish();
    assert_eq!((world.target.log[2].0, world.target.rows.len()), (first, 2));
}

#[test]
fn a_record_that_changes_while_it_is_imported_goes_to_the_counterpart_that_was_named() {
    let mut world = World::new();
    let there = found_there(&mut world, "", "as it was");
    world.memory.links = [(record_id(0), there)].into();
    // Its create comes only now, before the job has read it or after.
    world.change_source(0, 1);
    for _ in 0..2 {
        assert_eq!(paired(&mut world, &[(0, there)]), []);
        world.finish();
        assert_eq!(world.target.rows.keys().collect::<Vec<_>>(), [&there]);
        change_b(&mut world, 0, "on its way");
        world.deliver();
        world.page(5);
    }
    world.finish();
    assert_eq!(shown(&world.target.mirror()), shown(&world.expected()));
}

#[test]
fn a_pair_that_does_not_fit_together_any_more_is_parted_and_told() {
    let mut world = World::with(|pipeline| pipeline.when = Some(Expression::compile(RESTS_ON_B).unwrap()));
    world.lossy = 100;
    (0..4).for_each(|n| world.change_source(n, 1));
    for (n, b) in [(0, "in"), (1, "out"), (2, "in"), (3, "in")] {
        world.source.get_mut(&n).unwrap().fields.insert("B".to_owned(), Value::text(b));
    }
    let there: Vec<RecordId> = ["keyed", "", "", ""].map(|key| found_there(&mut world, key, "x")).into();
    world.memory.links = (0..3).map(|n| (record_id(n), there[n])).collect();
    // The counterpart of one goes; another is linked otherwise.
    world.target.rows.remove(&there[2]);
    world.memory.links.insert(record_id(3), there[1]);
    let told = paired(&mut world, &[(0, there[0]), (1, there[1]), (2, there[2]), (3, there[3])]);
    let why: Vec<&str> = told.iter().map(|(_, why)| why.as_str()).collect();
    assert!(why[0].contains("has another key") && why[1].contains("leaves the record out"), "{why:?}");
    assert!(why[2].contains("target is gone") && why[3].contains("not linked"), "{why:?}");
    assert_eq!(world.memory.links, [(record_id(3), there[1])].into(), "that one is not the import's");
    world.finish();
    assert!(world.target.log.is_empty() && world.memory.applied.is_empty());
}
