//! Parents that come back in the source while an older delete of them is still being found out about.

use super::*;

fn tell_all(world: &mut World) {
    while !world.bus.is_empty() {
        world.deliver();
    }
    world.page(10);
}

/// The account 0, which no link knows, was read as deleted. It and its contact 4 have come back since, the contact is written,
/// and a look-up has found what is to be deleted: that goes out now, and takes the contact along.
fn about_to_delete(world: &mut World) {
    world.change_source(0, UNDELETE);
    tell_all(world);
    assert!(world.ask(), "the contact");
    (0..2).for_each(|_| world.answer_read(0));
    assert!(world.send());
    world.answer_batch(0, 7);
    assert_eq!(world.target.rows.len(), 2, "{:?}", world.target.rows);
    assert!(world.ask(), "who holds its key");
    world.answer_read(0);
    assert!(world.send());
    assert!(matches!(world.flights[0].call, Call::Delete { .. }), "{:?}", world.flights);
}

/// As above, after a request that was lost and landed late.
fn after_a_lost_request() -> World {
    let mut world = World::new();
    world.change_source(0, 1);
    tell_all(&mut world);
    assert!(world.send());
    world.restart();
    world.page(1);
    world.land_late(0);
    world.change_source(4, CREATE_AS_GAP);
    world.change_source(0, DELETE);
    world.pass(LATE.as_secs());
    assert!(world.ask(), "what ends the suspicion");
    about_to_delete(&mut world);
    world
}

fn assert_equal(world: &World) {
    assert_eq!(shown(&world.target.mirror()), shown(&world.expected()));
    assert!(world.memory.parked.is_empty() && world.memory.sent.is_empty(), "{:?}", world.memory.parked);
}

#[test]
fn a_contact_goes_with_its_account_by_an_old_delete_and_is_written_again_when_the_undelete_joined_a_read() {
    let mut world = after_a_lost_request();
    world.answer_batch(0, 7);
    assert!(world.target.rows.is_empty());
    world.finish();
    assert_equal(&world);
}

#[test]
fn a_contact_goes_with_its_account_by_an_old_delete_and_is_written_again_also_after_a_crash() {
    let mut world = after_a_lost_request();
    world.restart();
    world.land_late(0);
    assert!(world.target.rows.is_empty());
    world.finish();
    assert_equal(&world);
}

#[test]
fn a_contact_goes_with_its_account_by_an_old_delete_and_is_written_again_when_the_undelete_joined_a_parked_row() {
    let mut world = World::new();
    world.target.hold(0);
    world.change_source(0, 1);
    world.change_source(4, CREATE_AS_GAP);
    world.deliver();
    world.page(1);
    assert!(world.send());
    let batch = world.flights.remove(0);
    world.machine.batch_done(batch.flight, vec![Verdict::Refused(failed("STRING_TOO_LONG"))], world.now);
    world.commit();
    world.change_source(0, DELETE);
    (0..2).for_each(|_| world.deliver());
    world.page(2);
    assert!(world.ask(), "a delete is tried at once");
    about_to_delete(&mut world);
    // The row is there still. It is tried before the undelete is heard of once more.
    world.restart();
    world.land_late(0);
    assert!(world.target.rows.is_empty());
    assert!(world.ask());
    world.answer_read(0);
    world.page(10);
    world.finish();
    assert_equal(&world);
}
