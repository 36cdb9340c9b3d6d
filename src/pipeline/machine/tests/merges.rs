//! Records of the source that are merged: the loser's counterpart goes, and takes nobody along.

use super::*;

/// Merges one account into another. `tells`: whether events tell of the children that moved, and whether after the deletion.
fn merge(world: &mut World, loser: usize, winner: usize, tells: Option<bool>) {
    let (old, new) = (Value::text(record_id(loser).as_str()), Value::text(record_id(winner).as_str()));
    let mut moved = Vec::new();
    for (n, row) in world.source.iter_mut() {
        if !row.deleted && row.fields.get("AccountId") == Some(&old) {
            row.fields.insert("AccountId".to_owned(), new.clone());
            moved.push(*n);
        }
    }
    let row = world.source.get_mut(&loser).unwrap();
    (row.deleted, row.merged) = (true, Some(winner));
    if tells == Some(true) {
        world.emit(loser, 1, ChangeKind::Delete, Fields::new());
    }
    for n in moved.into_iter().filter(|_| tells.is_some()) {
        world.emit(n, 1, ChangeKind::Update, Fields::from([("AccountId".to_owned(), Field::New(new.clone()))]));
    }
    if tells != Some(true) {
        world.emit(loser, 1, ChangeKind::Delete, Fields::new());
    }
}

fn contacts_taken_along(world: &World) -> usize {
    world.target.bin.iter().filter(|binned| binned.row.0.starts_with("003")).count()
}

#[test]
fn the_loser_of_a_merge_takes_nobody_along() {
    for tells in [None, Some(false), Some(true)] {
        let mut world = World::new();
        (0..2).for_each(|n| world.change_source(n, 1));
        world.finish();
        for n in 4..8 {
            // Contacts of account 0.
            world.change_source(n, 2);
        }
        world.finish();
        merge(&mut world, 0, 1, tells);
        world.finish();
        assert_eq!(shown(&world.target.mirror()), shown(&world.expected()), "{tells:?}");
        assert_eq!(contacts_taken_along(&world), 0, "{tells:?}");
        assert!(world.memory.parked.is_empty());
    }
}

proptest! {
    #[test]
    fn merges_end_equal_and_take_nobody_along_whatever_happens_on_the_way(
        steps in proptest::collection::vec((0_u8..100, any::<usize>(), any::<u16>()), 0..200),
        faults in any::<bool>(),
    ) {
        let mut world = World::new();
        (0..4).for_each(|n| world.change_source(n, 1));
        (4..9).for_each(|n| world.change_source(n, (n as u16) * 2));
        world.finish();
        for (op, pick, how) in steps {
            let live = world.live_accounts();
            match op {
                0..=5 if live.len() > 1 => {
                    let loser = live[pick % live.len()];
                    let winner = live[(pick + 1) % live.len()];
                    merge(&mut world, loser, winner, [None, Some(false), Some(true)][usize::from(how) % 3]);
                }
                // Changes, but no deletes, and none that moves a contact: what those take along is another matter.
                6..=29
                    if !how.is_multiple_of(5)
                        && how % 3 != 1
                        && world.source.get(&(pick % 10)).is_some_and(|row| !row.deleted) =>
                {
                    world.change_source(pick % 10, how);
                }
                0..=29 => {}
                83..=91 if !faults => world.answer_batch(pick, 7),
                98..=99 if !faults => {}
                _ => world.step(op, pick, how),
            }
        }
        world.finish();
        prop_assert_eq!(shown(&world.target.mirror()), shown(&world.expected()));
        // What lands late may come between the two.
        prop_assert!(faults || contacts_taken_along(&world) == 0);
    }
}
