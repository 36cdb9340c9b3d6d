//! The life of jobs.

use super::*;
use crate::org::time::HOUR;

fn store() -> Store {
    Store::new(fastrand::Rng::with_seed(1))
}

fn user(serial: u64) -> Id {
    Id::new("005", "5e0", serial)
}

fn maker(serial: u64) -> Maker {
    Maker { user: user(serial), version: 66, format: Format::default() }
}

fn spec() -> Spec {
    let operation = ingest::Operation::Insert;
    let (object_name, origin) = ("Account".into(), String::new());
    Spec { object: 0, object_name, operation, key: None, assignment_rule: None, origin }
}

fn open(store: &mut Store) -> Id {
    store.create(maker(1), spec(), None, 0).unwrap().job.id.clone()
}

fn me(user: &Id) -> Viewer<'_> {
    Viewer { user, manages: false }
}

fn code<T: std::fmt::Debug>(result: Result<T, Refused>) -> (u16, &'static str) {
    let refused = result.unwrap_err();
    (refused.status, refused.code)
}

#[test]
fn data_comes_once_and_only_while_the_job_is_open() {
    let (mut store, user) = (store(), user(1));
    let id = open(&mut store);
    assert!(id.has_prefix("7505e0"));
    store.upload(&id, me(&user), "Name\n".into(), 1).unwrap();
    assert_eq!(code(store.upload(&id, me(&user), "Name\n".into(), 2)), (400, "INVALIDJOB"));
    store.change(&id, me(&user), State::UploadComplete, 3).unwrap();
    assert_eq!(code(store.upload(&id, me(&user), "Name\n".into(), 4)), (400, "INVALIDJOBSTATE"));
}

#[test]
fn a_job_goes_forward_only() {
    use State::{Aborted, Failed, InProgress, JobComplete, Open, UploadComplete};
    let user = user(1);
    for (from, to, allowed) in [
        (Open, UploadComplete, true),
        (Open, Aborted, true),
        (UploadComplete, UploadComplete, false),
        (UploadComplete, Aborted, true),
        (InProgress, UploadComplete, false),
        (InProgress, Aborted, true),
        (JobComplete, Aborted, false),
        (JobComplete, UploadComplete, false),
        (Failed, Aborted, false),
        (Aborted, Aborted, false),
    ] {
        let mut store = store();
        let id = open(&mut store);
        store.ingest(&id, me(&user)).unwrap().job.state = from;
        let changed = store.change(&id, me(&user), to, 1).map(|ingest| ingest.job.state);
        match allowed {
            true => assert_eq!(changed, Ok(to), "{from:?}"),
            false => assert_eq!(code(changed), (400, "INVALIDJOBSTATE"), "{from:?} {to:?}"),
        }
        let deletable = !matches!(from, Open | InProgress);
        store.ingest(&id, me(&user)).unwrap().job.state = from;
        assert_eq!(store.delete(&id, me(&user)).is_ok(), deletable, "{from:?}");
        assert_eq!(store.ingest(&id, me(&user)).is_err(), deletable);
    }
}

#[test]
fn jobs_of_others_are_for_those_who_manage_data() {
    let (mut store, mine, other) = (store(), user(1), user(2));
    let id = open(&mut store);
    assert_eq!(code(store.ingest(&id, me(&other))), (403, "INVALIDUSER"));
    assert!(store.ingest(&id, Viewer { user: &other, manages: true }).is_ok());
    assert_eq!(store.ingest_after(None, me(&other)).count(), 0);
    assert_eq!(store.ingest_after(None, me(&mine)).count(), 1);
    assert_eq!(store.ingest_after(Some(&id), me(&mine)).count(), 0);
    assert_eq!(code(store.ingest(&Id::new("750", "5e0", 99), me(&mine))), (404, "NOT_FOUND"));
}

#[test]
fn the_next_job_takes_the_faults_upon_itself() {
    let (mut store, user) = (store(), user(1));
    store.set(Settings { fail_after_rows: Some(4), lock_rows: 2, ..Settings::default() });
    let faults: Vec<Faults> = (0..2)
        .map(|_| {
            let id = open(&mut store);
            assert!(store.begin(&id, 1).is_none(), "an open job is not started");
            store.change(&id, me(&user), State::UploadComplete, 1).unwrap();
            let begun = store.begin(&id, 2).unwrap();
            assert!(store.begin(&id, 2).is_none(), "nobody works on it twice");
            begun.faults
        })
        .collect();
    assert_eq!(faults, [Faults { fail_after_rows: Some(4), lock_rows: 2 }, Faults::default()]);
    assert_eq!(store.settings(), &Settings::default());
}

#[test]
fn what_was_done_before_an_abort_is_told() {
    let (mut store, user) = (store(), user(1));
    let id = open(&mut store);
    store.change(&id, me(&user), State::UploadComplete, 1).unwrap();
    store.begin(&id, 2).unwrap();
    let outcome = || vec![Outcome::Failed { id: None, error: String::new() }];
    assert!(store.record(&id, outcome(), 1));
    store.change(&id, me(&user), State::Aborted, 3).unwrap();
    assert!(!store.record(&id, outcome(), 1), "the work ends");
    store.finish(&id, None, 4);
    let ingest = store.ingest(&id, me(&user)).unwrap();
    assert_eq!((ingest.job.state, ingest.outcomes.len(), ingest.failed), (State::Aborted, 2, 2));
    store.delete(&id, me(&user)).unwrap();
    assert!(!store.record(&id, outcome(), 1));
}

#[test]
fn the_batches_and_the_query_jobs_of_24_hours_are_limited() {
    let mut store = store();
    store.set(Settings { daily_batches: 1, daily_query_jobs: 1, ..Settings::default() });
    store.take_batch(0).unwrap();
    assert_eq!(store.take_batch(HOUR).unwrap_err(), "ExceededQuota : ApiBatchItems Limit exceeded.");
    assert_eq!(code(store.create(maker(1), spec(), None, HOUR)), (400, "EXCEEDEDQUOTA"));
    let asked = || AskedFor { soql: "SELECT Id FROM Account".into(), object: "Account".into(), with_deleted: false };
    store.create_query(maker(1), asked(), 0).unwrap();
    assert_eq!(code(store.create_query(maker(1), asked(), HOUR)), (400, "LIMIT_EXCEEDED"));
    assert_eq!(store.usage(HOUR), [(1, 1), (1, 1)]);
    store.take_batch(24 * HOUR).unwrap();
    store.create_query(maker(1), asked(), 24 * HOUR).unwrap();
}

#[test]
fn a_query_job_ends_by_its_result_by_an_error_or_by_an_abort() {
    let (mut store, user) = (store(), user(1));
    let asked = || AskedFor { soql: "SELECT Id FROM Account".into(), object: "Account".into(), with_deleted: false };
    let begun = |store: &mut Store| {
        let id = store.create_query(maker(1), asked(), 0).unwrap().job.id.clone();
        store.begin_query(&id, 1).unwrap();
        assert_eq!(code(store.delete_query(&id, me(&user))), (400, "API_ERROR"));
        id
    };
    let id = begun(&mut store);
    store.finish_query(&id, Ok(Table::default()), 2);
    assert_eq!(store.query(&id, me(&user)).unwrap().job.state, State::JobComplete);
    assert_eq!(code(store.abort_query(&id, me(&user), 3)), (400, "INVALIDJOBSTATE"));
    let id = begun(&mut store);
    store.finish_query(&id, Err("why".into()), 2);
    assert_eq!(store.query(&id, me(&user)).unwrap().info(3)["errorMessage"], "why");
    let id = begun(&mut store);
    store.abort_query(&id, me(&user), 2).unwrap();
    store.finish_query(&id, Ok(Table::default()), 3);
    assert_eq!(store.query(&id, me(&user)).unwrap().job.state, State::Aborted);
    store.delete_query(&id, me(&user)).unwrap();
    assert_eq!(code(store.query(&id, me(&user))), (404, "NOT_FOUND"));
}
