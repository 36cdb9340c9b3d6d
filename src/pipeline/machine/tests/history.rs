//! What is remembered of each decision.

use super::*;

impl World {
    /// What a settlement remembers fits what it settles: each write that the target confirmed has one row for each cover, and
    /// so has each row that is parked.
    pub(super) fn check_history(&mut self, settlement: &Settlement) {
        let about = |row: &Happened| (row.pipeline, row.record, row.to);
        let written: Vec<_> = settlement.history.iter().filter(|row| row.what.is_write()).map(about).collect();
        let confirmed = self.machine.pipelines().map(|(_, counts, _)| counts.applied).sum::<u64>();
        assert_eq!(written.len() as u64, confirmed - self.confirmed, "{:?}", settlement.history);
        self.confirmed = confirmed;
        for (pipeline, record, to) in written {
            let settles = |of: &&(PipelineId, RecordId, Applied)| (of.0, of.1, of.2.seq) == (pipeline, record, to);
            assert!(settlement.applied.iter().any(|of| settles(&of)), "{record} up to {to}");
        }
        let parked = settlement.history.iter().filter(|row| matches!(row.what, What::Waiting | What::Failed));
        let codes: Vec<_> = parked.map(|row| (about(row), row.code.as_deref().unwrap_or_default())).collect();
        let rows = settlement.park.iter().map(|row| ((row.pipeline, row.record, row.to), row.code.as_str()));
        assert_eq!(codes, rows.collect::<Vec<_>>());
        self.history.extend(settlement.history.iter().cloned());
    }

    fn refuse_the_oldest(&mut self, refusal: &Refusal) {
        let batch = self.flights.remove(0);
        let verdicts = batch.writes.iter().map(|_| Verdict::Refused(refusal.clone())).collect();
        self.machine.batch_done(batch.flight, verdicts, self.now);
        self.commit();
    }

    /// What was remembered since the last time.
    fn told(&mut self) -> Vec<(What, Through)> {
        std::mem::take(&mut self.history).iter().map(|row| (row.what, row.through)).collect()
    }

    fn scanned(&mut self) {
        while !self.bus.is_empty() {
            self.deliver();
        }
        while self.machine.pipelines().any(|(_, _, progress)| progress.scanned() < self.head()) {
            self.page(5);
        }
    }
}

fn names(row: &Happened) -> Vec<&str> {
    row.fields.iter().map(String::as_str).collect()
}

#[test]
fn what_is_written_is_remembered_with_its_fields_its_counterpart_and_the_changes_that_it_settles() {
    let mut world = World::new();
    world.change_source(0, 1);
    world.finish();
    let id = world.memory.links[&record_id(0)];
    let made = world.history.remove(0);
    assert_eq!((made.what, made.through, made.target), (What::Created, Through::Events, Some(id)));
    assert_eq!((names(&made), made.from, made.to), (vec!["A", "B", "Key__c", "Region__c"], Seq(1), Seq(1)));
    // Two that go out together are one write.
    ["one", "two"].iter().for_each(|value| change_b(&mut world, 0, value));
    world.scanned();
    world.finish();
    let changed = world.history.remove(0);
    assert_eq!((changed.what, names(&changed), changed.target), (What::Updated, vec!["B"], Some(id)));
    assert_eq!((changed.from, changed.to), (Seq(2), Seq(3)));
    world.change_source(0, DELETE);
    world.finish();
    let gone = world.history.remove(0);
    assert_eq!((gone.what, names(&gone), gone.target), (What::Deleted, vec![], Some(id)));
    assert_eq!(world.history, []);
}

#[test]
fn a_refusal_a_wait_and_another_try_by_hand_are_remembered_with_their_codes_and_no_words_of_the_target() {
    let mut world = World::new();
    world.change_source(0, 1);
    world.scanned();
    assert!(world.send());
    let says = Refusal { fields: vec!["A".to_owned()], evidence: "it was v1".to_owned(), ..failed("TOO_LONG") };
    world.refuse_the_oldest(&says);
    let row = world.history.remove(0);
    assert_eq!((row.what, row.code.as_deref(), names(&row)), (What::Failed, Some("TOO_LONG"), vec!["A"]));
    assert!(!format!("{row:?}").contains("v1"), "{row:?}");
    world.machine.redrive(Source { pipeline: ACCOUNTS, record: record_id(0) }, world.now);
    world.finish();
    assert_eq!(world.told(), [(What::Created, Through::Redrive)]);
    // A parent that the target does not have.
    world.change_source(4, 1);
    world.scanned();
    assert!(world.send());
    let parent = Parent { target_object: "Account".parse().unwrap(), record: record_id(1) };
    let waits = Refusal { state: ParkedState::Waiting, waits_for: Some(parent.clone()), ..failed("INVALID_FIELD") };
    world.refuse_the_oldest(&waits);
    assert_eq!((world.history[0].what, &world.history[0].parent), (What::Waiting, &Some(parent)));
    world.told();
    world.machine.wake(Source { pipeline: CONTACTS, record: record_id(4) }, world.now);
    world.finish();
    assert_eq!(world.told(), [(What::Created, Through::Retry)]);
}

#[test]
fn what_is_left_out_is_remembered_only_of_a_record_that_has_a_counterpart() {
    let mut world = World::with(|pipeline| pipeline.when = Some(Expression::compile(RESTS_ON_B).unwrap()));
    world.change_source(0, 1);
    world.finish();
    assert_eq!(world.told(), [(What::Created, Through::Events)]);
    change_b(&mut world, 0, "out");
    world.finish();
    let row = world.history.remove(0);
    assert_eq!((row.what, row.code.as_deref()), (What::LeftOut, Some("FILTERED")));
    assert_eq!((row.target, row.to), (Some(world.memory.links[&record_id(0)]), Seq(2)));
    // That nothing mapped changed is no decision, and one that never matched leaves nothing at all.
    world.emit(0, 1, ChangeKind::Update, Fields::from([("Unmapped".to_owned(), Field::New(Value::Null))]));
    world.change_source(1, 1);
    world.finish();
    world.told();
    change_b(&mut world, 1, "out");
    world.finish();
    world.told();
    let other = BTreeMap::from([("B".to_owned(), Value::text("out"))]);
    world.source.insert(2, Row { fields: other, ..Row::default() });
    world.emit(2, 4, ChangeKind::Create, Fields::new());
    world.finish();
    assert_eq!(world.told(), []);
}

#[test]
fn a_counterpart_that_is_gone_is_remembered_and_so_is_what_becomes_of_it() {
    for (policy, expected) in [
        (WhenTargetGone::Recreate, vec![(What::Gone, Through::Events), (What::Created, Through::Read)]),
        (WhenTargetGone::Skip, vec![(What::LeftGone, Through::Events)]),
        (WhenTargetGone::Fail, vec![(What::Failed, Through::Events)]),
    ] {
        let mut world = gone_in_target(when_gone(policy));
        world.told();
        change_b(&mut world, 0, "b");
        world.scanned();
        assert!(world.send());
        world.answer_batch(0, 7);
        world.read_all();
        if world.send() {
            world.answer_batch(0, 7);
        }
        assert_eq!(world.told(), expected);
    }
}

#[test]
fn an_answer_that_was_lost_is_remembered_and_that_it_was_written_once_more() {
    let mut world = World::new();
    world.change_source(0, 1);
    world.scanned();
    assert!(world.send());
    // Done, and the answer lost.
    world.answer_batch(0, 1);
    assert_eq!(world.told(), [(What::AnswerLost, Through::Hand)]);
    world.pass(2);
    world.finish();
    assert_eq!(world.told(), [(What::Matched, Through::Events), (What::Updated, Through::LostAnswer)]);
}

#[test]
fn a_job_remembers_what_it_found_and_what_it_wrote() {
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
    world.past_asks(ACCOUNTS, true);
    world.past_looks();
    world.past_answers();
    world.finish();
    let mut told: Vec<_> = world.history.iter().map(|row| (row.record, row.what, names(row))).collect();
    told.sort_by_key(|(record, ..)| *record);
    let expected = [
        (record_id(0), What::Linked, vec![]),
        (record_id(0), What::Equal, vec![]),
        (record_id(1), What::Linked, vec![]),
        (record_id(1), What::Updated, vec!["B"]),
        (record_id(2), What::Created, vec!["A", "B", "Key__c", "Region__c"]),
    ];
    assert_eq!(told, expected);
    assert!(world.history.iter().all(|row| row.through == Through::Repair), "{:?}", world.history);
}

#[test]
fn a_delete_that_is_not_made_and_a_flag_are_remembered_as_what_they_are() {
    let mut world = World::with(|pipeline| pipeline.publishing.may_delete = MayDelete::Created);
    world.target.hold(0);
    let id = world.target.holder(record_id(0).as_str());
    world.change_source(0, 1);
    world.finish();
    world.change_source(0, DELETE);
    world.finish();
    let told: Vec<_> = world.history.iter().map(|row| (row.what, row.target)).collect();
    assert_eq!(told, [(What::Matched, id), (What::Kept, id)]);

    let mut world = World::with(|pipeline| {
        let (set, clear) = (Value::Bool(true), Value::Bool(false));
        pipeline.flag = Some(Flag { field: "Gone__c".parse().unwrap(), set, clear });
        pipeline.on_delete = OnDelete::Flag;
    });
    world.change_source(0, 1);
    world.finish();
    world.change_source(0, DELETE);
    world.finish();
    let row = world.history.pop().unwrap();
    assert_eq!((row.what, names(&row)), (What::Flagged, vec!["Gone__c"]));
}
