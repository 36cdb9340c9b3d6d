//! Records that do not match any more.

use super::*;

#[test]
fn a_flag_that_finds_its_counterpart_gone_parks_no_children_and_its_record_is_made_anew_when_it_matches_again() {
    let mut world = World::with(|pipeline| {
        let set = Value::Bool(true);
        pipeline.flag = Some(Flag { field: "Gone__c".parse().unwrap(), set, clear: Value::Bool(false) });
        pipeline.on_delete = OnDelete::Flag;
        pipeline.when = Some(Expression::compile(RESTS_ON_B).unwrap());
        pipeline.when_no_longer_matching = NoLongerMatching::Flag;
    });
    world.change_source(0, 1);
    world.finish();
    // A contact of it.
    world.change_source(4, 1);
    world.finish();
    let rows = std::mem::take(&mut world.target.rows);
    assert_eq!(rows.len(), 2);
    change_b(&mut world, 0, "out");
    world.finish();
    assert!(world.target.rows.is_empty() && world.memory.parked.is_empty(), "{:?}", world.memory.parked);
    assert_eq!(world.machine.pipelines().map(|(_, counts, _)| counts.skipped).sum::<u64>(), 1);
    // Its contact is written with it.
    change_b(&mut world, 0, "in");
    world.finish();
    assert_eq!(world.target.rows.len(), 2);
    assert!(world.memory.parked.is_empty());
}

#[test]
fn a_contact_that_went_along_with_an_account_that_did_not_match_is_made_anew_when_the_account_matches_again() {
    let mut world = World::with(|pipeline| {
        pipeline.when = Some(Expression::compile(RESTS_ON_B).unwrap());
        pipeline.when_no_longer_matching = NoLongerMatching::Delete;
    });
    world.change_source(0, 1);
    world.finish();
    world.change_source(4, 1);
    world.finish();
    change_b(&mut world, 0, "out");
    world.finish();
    assert!(world.target.rows.is_empty(), "{:?}", world.target.rows);
    change_b(&mut world, 0, "in");
    world.finish();
    assert_eq!(world.target.rows.len(), 2);
    assert!(world.memory.parked.is_empty(), "{:?}", world.memory.parked);
}

/// Accounts that say so do not match, and are deleted.
fn accounts_deleted_where_b_is_out() -> World {
    World::with(|pipeline| {
        if pipeline.name.as_str() == "accounts" {
            pipeline.when = Some(Expression::compile(RESTS_ON_B).unwrap());
            pipeline.when_no_longer_matching = NoLongerMatching::Delete;
        }
    })
}

#[test]
fn what_ends_a_suspicion_and_finds_nothing_left_does_not_forget_that_contacts_went_along() {
    let mut world = accounts_deleted_where_b_is_out();
    world.change_source(0, 1);
    world.deliver();
    world.page(1);
    assert!(world.send());
    // Done, and the answer lost.
    world.answer_batch(0, 1);
    world.change_source(4, 1);
    change_b(&mut world, 0, "out");
    world.finish();
    assert!(world.target.rows.is_empty() && world.memory.sent.is_empty(), "{:?}", world.target.rows);
    change_b(&mut world, 0, "in");
    world.finish();
    assert_eq!(shown(&world.target.mirror()), shown(&world.expected()));
    assert!(world.memory.parked.is_empty(), "{:?}", world.memory.parked);
}

#[test]
fn a_contact_that_went_along_by_a_delete_of_which_nobody_heard_is_made_anew_after_a_crash() {
    for is_looked_for in [false, true] {
        let mut world = accounts_deleted_where_b_is_out();
        world.change_source(0, CREATE_AS_GAP);
        world.deliver();
        world.page(1);
        world.read_all();
        assert!(world.send());
        // It lands, and no link knows of it.
        world.restart();
        world.land_late(0);
        world.change_source(4, CREATE_AS_GAP);
        change_b(&mut world, 0, "out");
        (0..2).for_each(|_| world.deliver());
        world.page(2);
        world.read_all();
        assert!(world.send());
        world.answer_batch(0, 7);
        assert_eq!(world.target.rows.len(), 2, "{:?}", world.target.rows);
        world.pass(LATE.as_secs());
        world.read_all();
        assert!(world.send());
        assert!(matches!(world.flights[0].call, Call::Delete { .. }), "{:?}", world.flights);
        world.restart();
        world.land_late(0);
        assert!(world.target.rows.is_empty());
        if is_looked_for {
            world.finish();
            assert!(world.memory.sent.is_empty());
        }
        change_b(&mut world, 0, "in");
        world.finish();
        assert_eq!(shown(&world.target.mirror()), shown(&world.expected()));
        assert!(world.memory.parked.is_empty() && world.memory.sent.is_empty(), "{:?}", world.memory.parked);
    }
}

#[test]
fn a_contact_that_went_along_by_such_a_delete_is_made_anew_also_where_its_account_is_created_from_its_event() {
    let mut world = accounts_deleted_where_b_is_out();
    world.change_source(0, 1);
    world.change_source(4, 1);
    // Each comes by a channel of its own.
    world.bus.swap(0, 1);
    world.deliver();
    world.page(1);
    assert!(world.send());
    world.answer_batch(0, 7);
    assert_eq!(world.memory.parked.len(), 1, "the contact waits for its account");
    world.read_all();
    assert!(world.send());
    // The account lands, and no link knows of it. Of its contact's row it is found by its key.
    world.restart();
    (0..world.late.len()).for_each(|_| world.land_late(0));
    world.read_all();
    assert!(world.send());
    world.answer_batch(0, 7);
    assert_eq!(world.target.rows.len(), 2, "{:?}", world.target.rows);
    change_b(&mut world, 0, "out");
    world.pass(LATE.as_secs());
    world.read_all();
    assert!(world.send());
    assert!(matches!(world.flights[0].call, Call::Delete { .. }), "{:?}", world.flights);
    world.restart();
    world.land_late(0);
    assert!(world.target.rows.is_empty());
    // Now its creation is heard of.
    world.deliver();
    world.page(1);
    world.send();
    world.answer_batch(0, 7);
    change_b(&mut world, 0, "in");
    world.finish();
    assert_eq!(shown(&world.target.mirror()), shown(&world.expected()));
    assert!(world.memory.parked.is_empty() && world.memory.sent.is_empty(), "{:?}", world.memory.parked);
}

proptest! {
    #[test]
    fn contacts_are_there_with_each_account_that_matches_however_often_it_did_not(
        steps in proptest::collection::vec((0_u8..100, any::<usize>(), any::<u16>()), 0..300),
    ) {
        let mut world = World::with(|pipeline| {
            if pipeline.name.as_str() == "accounts" {
                pipeline.when = Some(Expression::compile("!endsWith(B, \"7\")").unwrap());
                pipeline.when_no_longer_matching = NoLongerMatching::Delete;
            }
        });
        for (op, pick, how) in steps {
            world.step(op, pick, how);
        }
        world.finish();
        // Every account matches in the end.
        for n in world.live_accounts() {
            change_b(&mut world, n, "in");
        }
        world.finish();
        for _ in 0..3 {
            world.pass(3_600);
            world.finish();
        }
        prop_assert_eq!(shown(&world.target.mirror()), shown(&world.expected()));
        prop_assert!(world.memory.sent.is_empty(), "something is still suspect");
    }
}

/// Contacts whose field A ends with 7 do not match.
fn is_left_out(row: &BTreeMap<String, Value>) -> bool {
    row.contains_key("AccountId") && row["A"].as_text().is_some_and(|text| text.ends_with('7'))
}

proptest! {
    #[test]
    fn of_records_that_match_no_more_none_is_left_or_each_is_flagged_whatever_happens_on_the_way(
        flags in any::<bool>(),
        steps in proptest::collection::vec((0_u8..100, any::<usize>(), any::<u16>()), 0..300),
    ) {
        let mut world = World::with(|pipeline| {
            if pipeline.name.as_str() == "contacts" {
                pipeline.when = Some(Expression::compile("!endsWith(A, \"7\")").unwrap());
                pipeline.when_no_longer_matching = NoLongerMatching::Delete;
                if flags {
                    let (set, clear) = (Value::Bool(true), Value::Bool(false));
                    pipeline.flag = Some(Flag { field: "Gone__c".parse().unwrap(), set, clear });
                    pipeline.when_no_longer_matching = NoLongerMatching::Flag;
                }
            }
        });
        for (op, pick, how) in steps {
            world.step(op, pick, how);
        }
        world.finish();
        let mut expected = world.expected();
        let mut held = world.target.mirror();
        if flags {
            // What it holds else is as of when it matched.
            held.retain(|key, row| !is_left_out(&expected[key]) || row["Gone__c"] != Value::Bool(true));
            for row in held.values_mut().filter(|row| row.contains_key("AccountId")) {
                prop_assert_eq!(row.remove("Gone__c"), Some(Value::Bool(false)));
            }
        }
        expected.retain(|_, row| !is_left_out(row));
        prop_assert_eq!(shown(&held), shown(&expected));
        prop_assert!(world.memory.sent.is_empty(), "something is still suspect");
        prop_assert!(world.memory.parked.is_empty(), "{:?}", world.memory.parked);
        prop_assert_eq!(world.memory.watermarks.get(&CONTACTS).copied().unwrap_or_default(), world.head());
    }
}
