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
