//! Group commit: what is queued becomes durable together.
//!
//! One transaction takes the calls that wait, each in its own savepoint; after its commit, and never before, all are
//! answered. In quiet times a call is a group of its own, and waits for nobody.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use rusqlite::Connection;

use super::worker::{Answer, Call, end};

/// Calls in one transaction, at most: an answer waits for all of them.
const GROUP_MAX: usize = 64;

/// Runs calls in groups until the channel closes.
pub(super) fn group_commit(db: &Connection, calls: &Receiver<Call>) {
    while let Ok(first) = calls.recv() {
        // Taken one at a time: what arrives while the group runs joins it.
        run_group(db, std::iter::once(first).chain(calls.try_iter()).take(GROUP_MAX));
    }
}

fn run_group(db: &Connection, calls: impl Iterator<Item = Call>) {
    let begun = db.execute_batch("BEGIN IMMEDIATE").map_err(Arc::new);
    let mut ran: Vec<Answer> = Vec::new();
    for call in calls {
        ran.push(call(begun.clone().map(|()| db)));
        // On a full disk, or an I/O error, SQLite gives up the whole transaction: a call that ran after that would
        // be alone, and durable by itself.
        if db.is_autocommit() {
            break;
        }
    }
    let committed = end(db);
    for answer in ran {
        answer(committed.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::sync::oneshot;

    use super::super::worker::call;
    use super::*;
    use crate::store::StoreError;

    type Told = oneshot::Receiver<Result<i64, StoreError>>;

    fn asked(work: impl FnOnce(&Connection) -> Result<i64, StoreError> + Send + 'static) -> (Call, Told) {
        let (tell, told) = oneshot::channel();
        (call(work, tell), told)
    }

    fn insert(number: i64) -> impl FnOnce(&Connection) -> Result<i64, StoreError> + Send + 'static {
        move |db| {
            db.execute("INSERT INTO t VALUES (?1)", [number])?;
            Ok(number)
        }
    }

    fn numbers(db: &Connection) -> Vec<i64> {
        let mut rows = db.prepare("SELECT n FROM t ORDER BY n").unwrap();
        rows.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    }

    fn file() -> (tempfile::TempDir, Connection, Connection) {
        let dir = tempfile::tempdir().unwrap();
        let open = || Connection::open(dir.path().join("t.db")).unwrap();
        let (one, other) = (open(), open());
        one.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (n INTEGER PRIMARY KEY)").unwrap();
        (dir, one, other)
    }

    #[test]
    fn queued_calls_become_visible_and_are_answered_together() {
        let (_dir, db, other) = file();
        let (first, mut first_told) = asked(insert(1));
        let (seen, was_seen) = mpsc::channel();
        let (second, mut second_told) = asked(move |db| {
            seen.send((numbers(&other), first_told.try_recv().is_ok())).unwrap();
            insert(2)(db)
        });
        let (send, calls) = mpsc::channel();
        for call in [first, second] {
            send.send(call).unwrap();
        }
        drop(send);
        group_commit(&db, &calls);
        assert_eq!(was_seen.recv().unwrap(), (vec![], false), "the first was neither visible nor answered");
        assert!(matches!(second_told.try_recv(), Ok(Ok(2))));
        assert_eq!(numbers(&db), [1, 2]);
    }

    #[test]
    fn a_call_that_fails_takes_back_its_own_work_only() {
        let (_dir, db, _) = file();
        let calls = [
            asked(insert(1)),
            asked(|db| {
                insert(2)(db)?;
                insert(1)(db)
            }),
            asked(insert(3)),
        ];
        let (calls, mut told): (Vec<_>, Vec<_>) = calls.into_iter().unzip();
        run_group(&db, calls.into_iter());
        assert_eq!(numbers(&db), [1, 3]);
        let told: Vec<_> = told.iter_mut().map(|told| told.try_recv().unwrap().is_ok()).collect();
        assert_eq!(told, [true, false, true]);
    }

    #[test]
    fn when_the_whole_transaction_is_given_up_every_call_in_it_is_told_and_the_rest_go_on() {
        let (_dir, db, _) = file();
        let (send, queue) = mpsc::channel();
        let mut told = Vec::new();
        // ROLLBACK is what SQLite does by itself on a full disk.
        let giving_up = asked(|db| {
            db.execute_batch("ROLLBACK")?;
            Err(StoreError::Database("disk full".into()))
        });
        for (call, answer) in [asked(insert(1)), giving_up, asked(insert(3))] {
            send.send(call).unwrap();
            told.push(answer);
        }
        drop(send);
        group_commit(&db, &queue);
        let told: Vec<_> = told.iter_mut().map(|told| told.try_recv().unwrap().is_ok()).collect();
        assert_eq!((told, numbers(&db)), (vec![false, false, true], vec![3]));
    }

    #[test]
    fn a_group_that_cannot_begin_is_refused_and_the_next_one_runs() {
        let (_dir, db, other) = file();
        db.busy_timeout(std::time::Duration::ZERO).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let (call, mut told) = asked(insert(1));
        run_group(&db, std::iter::once(call));
        assert!(matches!(told.try_recv(), Ok(Err(StoreError::Database(_)))));
        other.execute_batch("ROLLBACK").unwrap();
        let (call, mut told) = asked(insert(2));
        run_group(&db, std::iter::once(call));
        assert!(matches!(told.try_recv(), Ok(Ok(2))));
        assert_eq!(numbers(&db), [2]);
    }
}
