//! Keys that change.

use super::*;

/// An account, written, whose key is its field A: "v1".
fn keyed_by_a(key_changes: KeyChanges, when: Option<&str>) -> World {
    let mut world = World::with(|pipeline| {
        pipeline.fields[0].1 = Fill::Source("A".parse().unwrap()).into();
        pipeline.when = when.map(|when| Expression::compile(when).unwrap());
        pipeline.publishing.key_changes = key_changes;
    });
    world.change_source(0, 1);
    world.finish();
    world
}

fn change_fields(world: &mut World, fields: &[(&str, &str)]) {
    let fields: BTreeMap<String, Value> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), Value::text(*value))).collect();
    world.source.get_mut(&0).unwrap().fields.extend(fields.clone());
    let told = fields.into_iter().map(|(name, value)| (name, Field::New(value))).collect();
    world.emit(0, 1, ChangeKind::Update, told);
}

fn keys(world: &World) -> Vec<&str> {
    world.target.rows.values().map(|(key, _)| key.as_str()).collect()
}

#[test]
fn a_key_that_changes_is_written_to_the_counterpart_that_the_link_names() {
    for when in [None, Some(RESTS_ON_B)] {
        let mut world = keyed_by_a(KeyChanges::Update, when);
        let id = world.memory.links[&record_id(0)];
        change_fields(&mut world, &[("A", "v2")]);
        world.finish();
        assert_eq!((keys(&world), world.memory.links[&record_id(0)]), (vec!["v2"], id));
        world.change_source(0, DELETE);
        world.finish();
        assert!(world.target.rows.is_empty());
    }
}

#[test]
fn a_key_that_changes_halts_a_pipeline_that_says_so_until_somebody_lets_it_pass() {
    // By the change alone, and where the record is read for it.
    for when in [None, Some(RESTS_ON_B)] {
        let mut world = keyed_by_a(KeyChanges::Halt, when);
        change_b(&mut world, 0, "b");
        world.finish();
        assert_eq!(written_to_b(&world, 0).last().map(String::as_str), Some("b"), "no other change is stopped");
        change_fields(&mut world, &[("A", "v2")]);
        change_b(&mut world, 0, "c");
        world.finish();
        let why = format!("the key Key__c of {} changed, and it has a counterpart", record_id(0));
        assert_eq!(world.memory.halts, [why]);
        assert_eq!(world.memory.parked[&(ACCOUNTS, record_id(0))].code, PIPELINE_HALTED);
        assert_eq!(keys(&world), ["v1"]);

        let brakes = Brakes::default();
        world.machine.set_brakes(ACCOUNTS, &brakes, false, world.head());
        let from = world.memory.parked[&(ACCOUNTS, record_id(0))].from;
        world.machine.release(Source { pipeline: ACCOUNTS, record: record_id(0) }, from, world.now);
        world.finish();
        assert_eq!((keys(&world), world.memory.parked.len()), (vec!["v2"], 0));
        // The next one is another decision.
        change_fields(&mut world, &[("A", "v3")]);
        world.finish();
        assert_eq!((keys(&world), world.memory.halts.len()), (vec!["v2"], 2));
    }
}

#[test]
fn a_key_change_that_joins_a_read_halts_too_and_a_record_without_a_counterpart_has_no_key_to_change() {
    let mut world = keyed_by_a(KeyChanges::Halt, None);
    world.emit(0, 4, ChangeKind::Update, Fields::new());
    world.deliver();
    world.page(1);
    change_fields(&mut world, &[("A", "v2")]);
    world.deliver();
    world.page(1);
    world.finish();
    assert_eq!((keys(&world), world.memory.halts.len()), (vec!["v1"], 1));

    let mut world = keyed_by_a(KeyChanges::Halt, Some(RESTS_ON_B));
    world.memory.links.clear();
    world.target.rows.clear();
    change_fields(&mut world, &[("A", "v2")]);
    world.finish();
    assert_eq!((keys(&world), world.memory.halts.len()), (vec!["v2"], 0));
    // One that does not match any more is not written, whatever its key is.
    change_fields(&mut world, &[("A", "v3"), ("B", "out")]);
    world.finish();
    assert_eq!((keys(&world), world.memory.halts.len()), (vec!["v2"], 0));
}
