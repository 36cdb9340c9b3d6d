//! Parents that nobody told of, that will not come, or that wait for their children.

use super::*;

fn record_row(fields: &[(&str, Value)]) -> Row {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Row { fields, ..Row::default() }
}

fn told(row: &Row) -> Fields {
    let filled = row.fields.iter().filter(|(_, value)| !value.is_null());
    filled.map(|(name, value)| (name.clone(), Field::New(value.clone()))).collect()
}

/// An account that was there before the bridge: no event tells of it.
fn silent_account(world: &mut World, n: usize) {
    world.source.insert(n, record_row(&[("A", Value::text("silent")), ("B", Value::Null)]));
}

fn contact_of(world: &mut World, n: usize, account: usize) {
    let parent = Value::text(record_id(account).as_str());
    let row = record_row(&[("A", Value::text("a")), ("B", Value::Null), ("AccountId", parent)]);
    let fields = told(&row);
    world.source.insert(n, row);
    world.emit(n, 1, ChangeKind::Create, fields);
}

fn missing_is(pipeline: &mut PipelineConfig, what: IfMissing) {
    for (_, rule) in pipeline.fields.iter_mut().filter(|(_, rule)| matches!(rule.fill, Fill::Parent { .. })) {
        rule.if_missing = Some(what);
    }
}

fn reads(world: &World, of: PipelineId) -> u64 {
    world.machine.pipelines().filter(|(id, ..)| *id == of).map(|(_, counts, _)| counts.reads).sum()
}

#[test]
fn a_parent_that_nobody_told_of_is_fetched_once_for_all_its_children() {
    for what in [IfMissing::Wait, IfMissing::FillLater] {
        let mut world = World::with(|pipeline| missing_is(pipeline, what));
        silent_account(&mut world, 0);
        (4..9).for_each(|n| contact_of(&mut world, n, 0));
        world.finish();
        assert_eq!(shown(&world.target.mirror()), shown(&world.expected()), "{what:?}");
        assert!(world.memory.parked.is_empty() && world.memory.unfilled.is_empty());
        assert_eq!(reads(&world, ACCOUNTS), 1, "{what:?}");
    }
}

/// The contact 4 is sent, refused for its parent, and that is fetched.
fn what_became_of_the_child(world: &mut World) -> Parked {
    world.deliver();
    world.page(5);
    while world.send() {
        world.answer_batch(0, 7);
    }
    world.read_all();
    world.memory.parked[&(CONTACTS, record_id(4))].clone()
}

#[test]
fn a_parent_that_its_pipeline_leaves_out_fails_its_children_by_name_until_it_matches() {
    let mut world = World::with(|pipeline| {
        missing_is(pipeline, IfMissing::Wait);
        if pipeline.name.as_str() == "accounts" {
            pipeline.when = Some(Expression::compile("A == 'wanted'").unwrap());
        }
    });
    silent_account(&mut world, 0);
    contact_of(&mut world, 4, 0);
    let row = what_became_of_the_child(&mut world);
    assert_eq!((row.state, row.code.as_str()), (ParkedState::Failed, "PARENT_EXCLUDED"));
    world.source.get_mut(&0).unwrap().fields.insert("A".to_owned(), Value::text("wanted"));
    let fields = Fields::from([("A".to_owned(), Field::New(Value::text("wanted")))]);
    world.emit(0, 1, ChangeKind::Update, fields);
    world.finish();
    assert!(world.memory.parked.is_empty());
    assert_eq!(shown(&world.target.mirror()), shown(&world.expected()));
}

#[test]
fn a_parent_that_is_deleted_fails_its_children_by_name() {
    let mut world = World::with(|pipeline| missing_is(pipeline, IfMissing::Wait));
    silent_account(&mut world, 0);
    contact_of(&mut world, 4, 0);
    world.source.get_mut(&0).unwrap().deleted = true;
    let row = what_became_of_the_child(&mut world);
    assert_eq!((row.state, row.code.as_str()), (ParkedState::Failed, "PARENT_DELETED"));
}

/// Accounts have parents of their own kind, and wait for them.
fn hierarchies(pipeline: &mut PipelineConfig) {
    if pipeline.name.as_str() == "accounts" {
        let fill = Fill::Parent { pipelines: vec!["accounts".parse().unwrap()], from: "ParentId".parse().unwrap() };
        pipeline.fields.push(("ParentId".parse().unwrap(), fill.into()));
    }
    missing_is(pipeline, IfMissing::Wait);
}

/// Makes the account a child of the other, or of none.
fn set_parent(world: &mut World, n: usize, parent: Option<usize>) {
    let parent = parent.map_or(Value::Null, |parent| Value::text(record_id(parent).as_str()));
    match world.source.get_mut(&n) {
        Some(row) => {
            row.fields.insert("ParentId".to_owned(), parent.clone());
            world.emit(n, 1, ChangeKind::Update, Fields::from([("ParentId".to_owned(), Field::New(parent))]));
        }
        None => {
            let row = record_row(&[("A", Value::text("a")), ("B", Value::Null), ("ParentId", parent)]);
            let fields = told(&row);
            world.source.insert(n, row);
            world.emit(n, 1, ChangeKind::Create, fields);
        }
    }
}

#[test]
fn records_that_wait_for_each_other_are_written_in_two_passes() {
    for parents in [&[Some(1), Some(0)][..], &[Some(0)], &[Some(1), Some(2), Some(0), Some(0)], &[Some(1), Some(1)]] {
        let mut world = World::with(hierarchies);
        for (n, parent) in parents.iter().enumerate() {
            set_parent(&mut world, n, *parent);
        }
        world.finish();
        assert!(world.memory.parked.is_empty(), "{parents:?} {:?}", world.memory.parked);
        assert_eq!(shown(&world.target.mirror()), shown(&world.expected()), "{parents:?}");
    }
}

proptest! {
    #[test]
    fn hierarchies_of_one_object_end_equal_whatever_their_form_and_order(
        steps in proptest::collection::vec((0_u8..100, any::<usize>(), any::<u16>()), 0..200),
        silent in 0_usize..4,
    ) {
        let mut world = World::with(hierarchies);
        for n in 0..silent {
            let row = record_row(&[("A", Value::Null), ("B", Value::Null), ("ParentId", Value::Null)]);
            world.source.insert(n, row);
        }
        for (op, pick, how) in steps {
            if op < 30 {
                // Only what exists can be named.
                let there: Vec<usize> = world.source.keys().copied().filter(|n| *n < 4).collect();
                let parent = match (there.len(), how % 4) {
                    (0, _) | (_, 0) => None,
                    (count, _) => Some(there[usize::from(how) % count]),
                };
                set_parent(&mut world, pick % 4, parent);
            } else if op >= 40 {
                world.step(op, pick, how);
            }
        }
        world.finish();
        // One that nobody told of and nobody names stays unknown.
        let expected = world.expected();
        for (key, fields) in world.target.mirror() {
            prop_assert_eq!(Some(&fields), expected.get(&key), "{}", key);
        }
        let told = world.journal.iter().map(|(_, change)| change.header.record_ids[0].to_string());
        for key in told {
            prop_assert!(world.target.holder(&key).is_some(), "{} is missing", key);
        }
        prop_assert!(world.memory.parked.is_empty(), "{:?}", world.memory.parked);
    }
}

#[test]
fn a_suspicion_does_not_end_with_a_write_that_is_parked() {
    let mut world = World::new();
    world.change_source(0, 1);
    world.change_source(4, 1);
    world.finish();
    // Its counterpart is deleted, and made anew later than anybody hears of.
    world.change_source(4, DELETE);
    world.deliver();
    world.page(1);
    assert!(world.send());
    world.answer_batch(0, 1);
    world.change_source(4, UNDELETE);
    world.deliver();
    world.page(1);
    world.pass(2);
    assert!(world.send());
    world.answer_batch(0, 0);
    // What is to end the suspicion has a parent that the source does not show.
    let nowhere = Value::text(record_id(3).as_str());
    world.source.get_mut(&4).unwrap().fields.insert("AccountId".to_owned(), nowhere);
    world.pass(LATE.as_secs() + 1);
    world.read_all();
    while world.send() {
        world.answer_batch(0, 7);
    }
    world.read_all();
    assert_eq!(world.memory.parked[&(CONTACTS, record_id(4))].state, ParkedState::Waiting);
    assert_eq!((world.target.rows.len(), world.target.made), (2, 3), "the account, and the contact once more");
    assert!(world.machine.is_caught_up(world.head()), "it holds nobody up");
    world.change_source(4, DELETE);
    world.finish();
    assert_eq!(shown(&world.target.mirror()), shown(&world.expected()));
    assert!(world.memory.sent.is_empty() && world.memory.parked.is_empty());
}
