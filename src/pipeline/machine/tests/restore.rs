//! `on_undelete: restore`: counterparts that come out of the target's recycle bin.

use super::*;

fn restoring() -> World {
    World::with(|pipeline| {
        pipeline.publishing.on_undelete = OnUndelete::Restore;
        pipeline.publishing.may_delete = MayDelete::Created;
    })
}

fn ids(world: &World) -> Vec<RecordId> {
    world.target.rows.keys().copied().collect()
}

#[test]
fn a_counterpart_comes_back_as_the_same_record_and_stays_the_bridges_own() {
    for (delete, undelete) in [(DELETE, UNDELETE), (DELETE, UNDELETE_AS_GAP), (DELETE_AS_GAP, UNDELETE)] {
        let mut world = restoring();
        // An account, and a contact of it.
        world.change_source(0, 1);
        world.change_source(4, 1);
        world.finish();
        let before = ids(&world);
        for _ in 0..2 {
            world.change_source(0, delete);
            world.finish();
            assert!(ids(&world).is_empty(), "{delete} {undelete}");
            world.change_source(0, undelete);
            world.finish();
            assert_eq!(ids(&world), before, "{delete} {undelete}");
            assert_eq!(shown(&world.target.mirror()), shown(&world.expected()));
        }
        assert!(world.memory.parked.is_empty());
    }
}

#[test]
fn a_child_that_is_read_for_its_parent_before_its_own_undelete_is_heard_of_comes_out_too() {
    let mut world = restoring();
    world.change_source(0, 1);
    world.change_source(4, 1);
    world.finish();
    let before = ids(&world);
    // Each by itself, so that neither takes the other along.
    for n in [4, 0] {
        world.change_source(n, DELETE);
        world.finish();
    }
    world.change_source(0, UNDELETE);
    world.change_source(4, UNDELETE);
    world.deliver();
    world.page(1);
    for _ in 0..9 {
        while world.ask() {}
        while !world.asked.is_empty() {
            world.answer_read(0);
        }
        while world.send() {}
        while !world.flights.is_empty() {
            world.answer_batch(0, 7);
        }
    }
    assert_eq!(
        (world.bus.len(), ids(&world), world.target.made),
        (1, before.clone(), 2),
        "the child's event is on its way"
    );
    world.finish();
    assert_eq!((ids(&world), shown(&world.target.mirror())), (before, shown(&world.expected())));
}

#[test]
fn a_counterpart_that_is_just_being_deleted_comes_back_when_it_is() {
    for seen in [false, true] {
        let mut world = restoring();
        world.change_source(0, 1);
        world.finish();
        let before = ids(&world);
        world.change_source(0, DELETE);
        world.deliver();
        world.page(1);
        world.read_all();
        assert!(world.send());
        world.change_source(0, UNDELETE);
        world.deliver();
        world.page(1);
        if seen {
            while world.ask() {}
        }
        world.answer_batch(0, 7);
        world.finish();
        assert_eq!((ids(&world), world.target.made), (before, 1), "{seen}");
    }
}

#[test]
fn what_is_restored_when_a_crash_forgets_it_is_found_alive_and_is_the_bridges_own_all_the_same() {
    let mut world = restoring();
    world.change_source(0, 1);
    world.finish();
    let before = ids(&world);
    world.change_source(0, DELETE);
    world.finish();
    world.change_source(0, UNDELETE);
    world.deliver();
    world.page(1);
    while world.ask() {}
    while !world.asked.is_empty() {
        world.answer_read(0);
        while world.ask() {}
    }
    assert_eq!(ids(&world), before);
    world.restart();
    world.finish();
    assert_eq!(ids(&world), before);
    world.change_source(0, DELETE);
    world.finish();
    assert!(ids(&world).is_empty());
}

#[test]
fn what_is_not_in_the_bin_any_more_is_made_anew() {
    let mut world = restoring();
    world.change_source(0, 1);
    world.finish();
    world.change_source(0, DELETE);
    world.finish();
    world.target.bin.clear();
    world.change_source(0, UNDELETE);
    world.finish();
    assert_eq!((world.target.rows.len(), world.target.made), (1, 2));
    assert_eq!(shown(&world.target.mirror()), shown(&world.expected()));
}

#[test]
fn what_comes_back_along_with_its_parent_and_was_deleted_by_itself_goes_again() {
    // Both are deleted, and the contact for itself. Its account is quicker in the target.
    let mut world = restoring();
    world.change_source(0, 1);
    world.change_source(4, 1);
    world.finish();
    world.change_source(4, DELETE);
    world.change_source(0, DELETE);
    let contact = world.bus.remove(0);
    world.deliver();
    world.page(1);
    world.read_all();
    assert!(world.send());
    world.answer_batch(0, 7);
    world.bus.push(contact);
    world.change_source(0, UNDELETE);
    world.finish();
    assert_eq!(shown(&world.target.mirror()), shown(&world.expected()));
    assert_eq!(world.target.rows.len(), 1);
}
