//! Jobs that read the past.

use super::Backend;
use super::given::*;
use crate::event::{Seq, Timestamp};
use crate::store::{Cursor, GapKind, JobCounts, JobEnd, JobEnded, Listed, Settlement, Store, Work};

fn backfill() -> Work {
    Work::Backfill { condition: Some("Name != null".to_owned()) }
}

fn repair(gap: i64) -> Work {
    Work::Repair { gap, from: Some(Timestamp(NOW.0 - 5_000)) }
}

fn ended(how: JobEnd) -> JobEnded {
    JobEnded { at: NOW, how, why: "because".to_owned() }
}

pub async fn a_job_is_found_as_far_as_it_was_until_it_is_over<B: Backend>() {
    let backend = B::empty();
    let store = backend.open().await;
    let pipeline = accounts(&store).await.id;
    let number = store.add_job(pipeline, backfill(), NOW).await.unwrap().unwrap();
    let job = store.job(number).await.unwrap().unwrap();
    assert_eq!((job.work, job.cursor, job.begun_at, job.ended), (backfill(), None, None, None));
    for (n, cursor) in [
        Cursor::Query { after: Some(account(7)) },
        Cursor::Bulk { job: name("7505e00000AbCdEAAV"), at: 12, locator: Some("AbC".to_owned()) },
        Cursor::Changed { from: NOW, to: Timestamp(NOW.0 + 1_000) },
        Cursor::Deleted { since: Some(NOW), to: NOW, after: Some(account(3)) },
        Cursor::Listed { after: 800 },
        Cursor::Untold { since: NOW, until: NOW },
    ]
    .into_iter()
    .enumerate()
    {
        let counts = JobCounts { total: Some(99), rows: n as u64, calls: 3, as_of: Some(NOW) };
        store.job_moved(number, Some(cursor.clone()), counts, Timestamp(NOW.0 + n as i64)).await.unwrap();
        let job = store.job(number).await.unwrap().unwrap();
        assert_eq!((job.cursor, job.counts, job.begun_at), (Some(cursor), counts, Some(NOW)), "it began once");
    }
    drop(store);
    let store = backend.open().await;
    assert_eq!(store.open_jobs().await.unwrap().len(), 1);
    assert!(store.job_ended(number, ended(JobEnd::Stopped)).await.unwrap());
    assert!(!store.job_ended(number, ended(JobEnd::Done)).await.unwrap(), "it is over");
    store.job_moved(number, None, JobCounts::default(), NOW).await.unwrap();
    let job = store.job(number).await.unwrap().unwrap();
    assert_eq!((job.counts.rows, job.ended.clone()), (5, Some(ended(JobEnd::Stopped))));
    assert_eq!((store.open_jobs().await.unwrap(), store.ended_jobs(9).await.unwrap()), (vec![], vec![job]));
}

pub async fn a_list_is_read_in_its_order_and_lasts_as_long_as_its_job<B: Backend>() {
    let backend = B::empty();
    let store = backend.open().await;
    let pipeline = accounts(&store).await.id;
    let listed = |n: u32| Listed { record: account(n), target: (n == 2).then(|| account(99)) };
    let list = store.add_to_list(None, vec![listed(3), listed(1)]).await.unwrap();
    let other = store.add_to_list(None, vec![listed(7)]).await.unwrap();
    assert_eq!(store.add_to_list(Some(list), vec![listed(2)]).await.unwrap(), list);
    assert_eq!(store.list_length(list).await.unwrap(), 3);
    assert_eq!(store.listed(list, 0, 2).await.unwrap(), [listed(3), listed(1)]);
    assert_eq!(store.listed(list, 2, 2).await.unwrap(), [listed(2)]);
    let number = store.add_job(pipeline, Work::Reapply { list }, NOW).await.unwrap().unwrap();
    assert_eq!(store.add_job(pipeline, Work::Reapply { list: other }, NOW).await.unwrap(), None, "one at a time");
    drop(store);
    let store = backend.open().await;
    assert_eq!(store.list_length(list).await.unwrap(), 3);
    assert_eq!(store.list_length(other).await.unwrap(), 0, "nobody made a job of it");
    assert!(store.job_ended(number, ended(JobEnd::Done)).await.unwrap());
    assert_eq!(store.list_length(list).await.unwrap(), 0);
    let next = store.add_to_list(None, vec![listed(1)]).await.unwrap();
    assert!(next > other, "a number is not given twice");
}

pub async fn of_a_pipeline_one_backfill_is_under_way_and_one_repair_of_each_gap<B: Backend>() {
    let store = B::empty().open().await;
    let (one, other) = (accounts(&store).await.id, contacts(&store).await.id);
    let added = async |pipeline, work| store.add_job(pipeline, work, NOW).await.unwrap().is_some();
    assert!(added(one, backfill()).await && added(other, backfill()).await);
    assert!(!added(one, Work::Backfill { condition: None }).await);
    assert!(added(one, repair(1)).await && added(one, repair(2)).await && added(other, repair(1)).await);
    assert!(!added(one, repair(1)).await);
    let open = store.open_jobs().await.unwrap();
    assert!(open.is_sorted_by_key(|job| job.number) && open.len() == 5);
    store.job_ended(open[0].number, ended(JobEnd::Failed)).await.unwrap();
    assert!(added(one, backfill()).await);
}

pub async fn a_first_backfill_is_wanted_once<B: Backend>() {
    let store = B::empty().open().await;
    let pipeline = accounts(&store).await.id;
    store.add_job(pipeline, repair(1), NOW).await.unwrap();
    assert!(store.add_first_backfill(pipeline, NOW).await.unwrap());
    assert!(!store.add_first_backfill(pipeline, NOW).await.unwrap());
    let job = store.open_jobs().await.unwrap().pop().unwrap();
    assert_eq!(job.work, Work::Backfill { condition: None });
    store.job_ended(job.number, ended(JobEnd::Failed)).await.unwrap();
    assert!(store.add_first_backfill(pipeline, NOW).await.unwrap(), "once more where it failed");
    let job = store.open_jobs().await.unwrap().pop().unwrap();
    store.job_ended(job.number, ended(JobEnd::Stopped)).await.unwrap();
    assert!(!store.add_first_backfill(pipeline, NOW).await.unwrap());
}

pub async fn a_pipeline_that_is_forgotten_and_an_org_that_is_another_take_their_jobs_along<B: Backend>() {
    let store = B::empty().open().await;
    store.pin_org(&source(), "00D000000000001AAA").await.unwrap();
    let (one, other) = (accounts(&store).await, contacts(&store).await);
    for row in [&one, &other] {
        store.add_job(row.id, backfill(), NOW).await.unwrap();
    }
    store.forget_pipeline(&one.identity.name).await.unwrap();
    assert_eq!(store.open_jobs().await.unwrap().len(), 1);
    store.accept_org(&source(), "00D000000000002AAA").await.unwrap();
    assert_eq!(store.open_jobs().await.unwrap(), []);
}

pub async fn what_is_journaled_of_a_record_behind_a_number_is_told<B: Backend>() {
    let store = B::empty().open().await;
    let subscription = subscribed(&store).await;
    let pipeline = accounts(&store).await.id;
    let events = vec![
        event(1).records(&[account(1)]).arrives(),
        event(2).records(&[account(2), account(3)]).arrives(),
        event(3).records(&[account(3)]).arrives(),
    ];
    store.append(subscription, events, NOW).await.unwrap();
    let after = async |seq| {
        let asked = vec![account(1), account(2), account(3), account(4)];
        let mut named: Vec<_> = store.journaled_after(pipeline, asked, Seq(seq)).await.unwrap().into_iter().collect();
        named.sort_unstable();
        named
    };
    assert_eq!(after(0).await, [account(1), account(2), account(3)]);
    assert_eq!(after(1).await, [account(2), account(3)]);
    assert_eq!(after(2).await, [account(3)]);
    assert_eq!(after(3).await, []);
    // What is settled is journaled all the same.
    store.settle(Settlement { watermarks: vec![(pipeline, Seq(3))], ..Settlement::default() }).await.unwrap();
    assert_eq!(after(2).await, [account(3)]);
}

pub async fn a_window_that_goes_on_is_given_its_end_once<B: Backend>() {
    let store = B::empty().open().await;
    let subscription = subscribed(&store).await;
    let window = crate::event::Window {
        cause: crate::event::WindowCause::Capture,
        object: Some(name("Account")),
        from: Some(NOW),
        to: None,
        why: String::new(),
    };
    store.append(subscription, vec![crate::event::Arrival::Window(window)], NOW).await.unwrap();
    let gap = store.gaps().await.unwrap().pop().unwrap();
    assert_eq!((gap.kind, gap.to), (GapKind::Capture, None));
    store.gap_ends(gap.id, Timestamp(NOW.0 + 9)).await.unwrap();
    store.gap_ends(gap.id, Timestamp(NOW.0 + 99)).await.unwrap();
    assert_eq!(store.gaps().await.unwrap().pop().unwrap().to, Some(Timestamp(NOW.0 + 9)));
}
