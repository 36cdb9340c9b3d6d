//! Which counterparts are deleted, and which are kept.

use super::*;

fn kept(world: &World) -> u64 {
    world.machine.pipelines().map(|(_, counts, _)| counts.kept).sum()
}

/// A target that holds a record with the key of account 0 already, if `found`, under a pipeline that deletes only what the
/// bridge created.
fn careful(found: bool) -> World {
    let mut world = World::with(|pipeline| pipeline.publishing.may_delete = MayDelete::Created);
    if found {
        world.target.hold(0);
    }
    world
}

#[test]
fn of_records_that_are_deleted_in_the_source_only_those_go_that_the_bridge_created() {
    for (found, delete) in [(false, DELETE), (false, DELETE_AS_GAP), (true, DELETE), (true, DELETE_AS_GAP)] {
        let mut world = careful(found);
        world.change_source(0, 1);
        world.finish();
        // A later whole write does not make it the bridge's, or not.
        world.emit(0, 4, ChangeKind::Update, Fields::new());
        world.finish();
        let link = world.memory.links.get(&record_id(0)).copied();
        world.restart();
        world.change_source(0, delete);
        world.finish();
        assert_eq!((world.target.rows.len() as u64, kept(&world)), (u64::from(found), u64::from(found)), "{delete}");
        assert_eq!(world.memory.links.get(&record_id(0)).copied(), link.filter(|_| found), "the link is kept");
        // It comes back, and is the same record.
        world.change_source(0, UNDELETE);
        world.finish();
        assert_eq!(shown(&world.target.mirror()), shown(&world.expected()));
    }
}

#[test]
fn a_record_of_which_nobody_knows_whether_the_bridge_created_it_is_kept() {
    for how in [0, 1] {
        let mut world = careful(false);
        world.change_source(0, 1);
        world.deliver();
        world.page(1);
        assert!(world.send());
        // The answer is lost, and the next one says that the record was there already.
        world.answer_batch(0, how);
        world.land_late(0);
        world.finish();
        assert!(!world.memory.created.contains(&record_id(0)));
        world.change_source(0, DELETE);
        world.finish();
        assert_eq!((world.target.rows.len(), kept(&world)), (1, 1), "{how}");
    }
}

#[test]
fn a_delete_that_comes_while_its_record_is_made_waits_for_what_the_org_says_of_it() {
    for found in [false, true] {
        for out in [false, true] {
            let mut world = careful(found);
            world.change_source(0, 1);
            world.deliver();
            world.page(1);
            if out {
                assert!(world.send());
            }
            world.change_source(0, DELETE);
            world.deliver();
            world.page(1);
            world.finish();
            assert_eq!(world.target.rows.len(), usize::from(found), "{found} {out}");
            assert_eq!(kept(&world), u64::from(found), "{found} {out}");
            assert!(world.memory.parked.is_empty());
        }
    }
}

#[test]
fn what_a_lost_request_makes_anew_after_the_delete_is_deleted_too() {
    let mut world = careful(false);
    world.change_source(0, 1);
    world.finish();
    world.target.rows.clear();
    // It is gone there, so it is made anew: with a request that is lost, and lands when all is over.
    change_b(&mut world, 0, "b");
    world.deliver();
    world.page(1);
    assert!(world.send());
    world.answer_batch(0, 7);
    world.read_all();
    assert!(world.send());
    world.answer_batch(0, 0);
    world.change_source(0, DELETE);
    world.deliver();
    world.page(1);
    world.read_all();
    assert!(world.target.rows.is_empty());
    world.land_late(0);
    assert_eq!(world.target.rows.len(), 1);
    world.finish();
    assert_eq!((world.target.rows.len(), kept(&world)), (0, 0));
}

proptest! {
    #[test]
    fn no_record_that_was_there_before_is_ever_deleted_and_all_others_end_as_the_source_says(
        found in proptest::collection::btree_set(0_usize..10, 0..6),
        steps in proptest::collection::vec((0_u8..100, any::<usize>(), any::<u16>()), 0..300),
    ) {
        let mut world = careful(false);
        found.into_iter().for_each(|n| world.target.hold(n));
        let before: Vec<RecordId> = world.target.rows.keys().copied().collect();
        for (op, pick, how) in steps {
            world.step(op, pick, how);
        }
        world.finish();
        let deleted: Vec<_> = world.target.deleted.iter().filter(|id| before.contains(id)).collect();
        prop_assert!(deleted.is_empty(), "{:?}", deleted);
        let mut held = world.target.mirror();
        let expected = world.expected();
        held.retain(|key, _| expected.contains_key(key));
        prop_assert_eq!(shown(&held), shown(&expected));
        prop_assert!(world.memory.sent.is_empty(), "something is still suspect");
        prop_assert!(world.memory.parked.is_empty(), "{:?}", world.memory.parked);
        prop_assert_eq!(world.memory.watermarks.get(&ACCOUNTS).copied().unwrap_or_default(), world.head());
    }
}
