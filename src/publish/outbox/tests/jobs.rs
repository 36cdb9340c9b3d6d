//! When enough waits, it goes by a job; and the order of each record is what it is without.

use super::*;

impl Bench {
    fn with_jobs_from(threshold: usize, writes: impl IntoIterator<Item = Write>) -> Self {
        let mut bench = Self { outbox: Outbox::default(), now: Instant::now() };
        bench.outbox.set_bulk(Some(threshold));
        writes.into_iter().for_each(|write| bench.offer(write));
        bench
    }

    /// What goes out at once: its lane and its size.
    fn all(&mut self) -> Vec<(Lane, usize)> {
        std::iter::from_fn(|| self.next()).map(|batch| (batch.lane, batch.writes.len())).collect()
    }

    fn told(&mut self, job: &Batch, trouble: JobTrouble) {
        self.outbox.job_told(job.flight, &job.call, Some(trouble), self.now);
    }
}

fn with_text(n: u32, text: &str) -> Write {
    let mut write = create(n, n.into());
    let Body::Whole(fields) = &mut write.body else { panic!("a create is whole") };
    fields.insert("A".parse().unwrap(), Cell::Value(Value::text(text)));
    write
}

fn contact(n: u32) -> Write {
    let Key::External { field, value, .. } = by_value(n) else { panic!("by value") };
    let key = Key::External { object: "Contact".parse().unwrap(), field, value };
    Write { key, ..create(n, n.into()) }
}

#[test]
fn one_job_takes_what_waits_and_below_the_threshold_collections_do() {
    let mut bench = Bench::with_jobs_from(300, (1..=299).map(|n| create(n, n.into())));
    assert_eq!(bench.all(), [(Lane::Collections, 200), (Lane::Collections, 99)]);
    let mut bench = Bench::with_jobs_from(300, (1..=450).map(|n| create(n, n.into())));
    assert_eq!(bench.all(), [(Lane::Bulk, 450)]);
    let mut bench = Bench::with((1..=450).map(|n| create(n, n.into())));
    assert_eq!(bench.all(), [(Lane::Collections, 200), (Lane::Collections, 200), (Lane::Collections, 50)]);
}

#[test]
fn a_job_holds_ten_thousand_and_what_is_worth_another_waits_for_it() {
    let mut bench = Bench::with_jobs_from(2_000, (1..=12_500).map(|n| create(n, n.into())));
    let job = bench.next().unwrap();
    assert_eq!((job.lane, job.writes.len()), (Lane::Bulk, 10_000));
    assert_eq!(bench.all(), [], "2,500 are worth a job");
    bench.save(&job);
    assert_eq!(bench.all(), [(Lane::Bulk, 2_500)]);
    // Fewer than that do not wait for the job.
    (20_000..20_100).for_each(|n| bench.offer(create(n, n.into())));
    assert_eq!(bench.all(), [(Lane::Collections, 100)]);
}

#[test]
fn a_job_of_one_object_holds_up_no_collections_of_another_and_no_window() {
    let mut bench = Bench::with_jobs_from(300, (1..=300).map(|n| create(n, n.into())));
    (1_001..=1_010).for_each(|n| bench.offer(contact(n)));
    bench.outbox.window.refused();
    bench.outbox.window.refused();
    assert_eq!(bench.all(), [(Lane::Bulk, 300), (Lane::Collections, 10)], "with a window of one");
}

#[test]
fn what_does_not_fit_goes_by_collections_beside_the_job() {
    let mut bench = Bench::with_jobs_from(300, (1..=300).map(|n| create(n, n.into())));
    (301..=310).for_each(|n| bench.offer(with_text(n, "#N/A")));
    (311..=320).for_each(|n| bench.offer(with_text(n, "two\nlines")));
    assert_eq!(bench.all(), [(Lane::Bulk, 310), (Lane::Collections, 10)]);
}

#[test]
fn a_record_with_a_job_out_waits_for_it_and_then_goes_on() {
    let mut bench = Bench::with_jobs_from(300, (1..=300).map(|n| create(n, n.into())));
    let job = bench.next().unwrap();
    bench.offer(update_of_coming(7, 900));
    bench.offer(child_of(8, create(1_000, 901)));
    assert_eq!(bench.all(), [], "one record, and a parent, are out");
    bench.save(&job);
    let sent = std::iter::from_fn(|| bench.next()).flat_map(|batch| sources_of(&batch));
    assert_eq!(sent.collect::<BTreeSet<_>>(), BTreeSet::from([source(7), source(1_000)]));
}

#[test]
fn what_turns_out_to_be_blocked_leaves_too_few_for_a_job() {
    let mut bench = Bench::with_jobs_from(300, []);
    bench.offer(update(1, 1));
    let first = bench.next().unwrap();
    // All but ten would lock what is out: that is found only when they are picked.
    let children = (1_001..=1_300).map(|n| {
        let mut child = update(n, n.into());
        if n > 1_010 {
            child.lock_keys.push(parent(1));
        }
        child
    });
    children.for_each(|child| bench.offer(child));
    assert_eq!(bench.all(), [(Lane::Collections, 10)]);
    bench.save(&first);
    assert_eq!(bench.all(), [(Lane::Collections, 200)], "the others lock the same");
}

#[test]
fn a_job_that_is_too_much_is_followed_by_smaller_ones() {
    let mut bench = Bench::with_jobs_from(100, (1..=400).map(|n| create(n, n.into())));
    let mut sizes = Vec::new();
    while let Some(job) = bench.next().filter(|batch| batch.lane == Lane::Bulk) {
        sizes.push(job.writes.len());
        bench.told(&job, JobTrouble::TooMuch);
        let now = bench.now;
        bench.settle(&job, |_| Verdict::Held { at: now });
    }
    assert_eq!(sizes, [400, 200, 100], "and then collections");
    assert_eq!(bench.outbox.in_flight() + bench.outbox.waiting(), 400);
}

#[test]
fn what_is_not_offered_goes_by_collections_at_once() {
    for trouble in [JobTrouble::NotOffered, JobTrouble::Quota, JobTrouble::Failing] {
        let mut bench = Bench::with_jobs_from(300, (1..=300).map(|n| create(n, n.into())));
        let job = bench.next().unwrap();
        bench.told(&job, trouble);
        let now = bench.now;
        bench.settle(&job, |_| Verdict::Held { at: now });
        assert_eq!(bench.all(), [(Lane::Collections, 200), (Lane::Collections, 100)], "{trouble:?}");
    }
}

#[test]
fn where_line_breaks_are_refused_records_with_them_go_by_collections_also_those_that_wait() {
    let lines = |range: std::ops::RangeInclusive<u32>| range.map(|n| with_text(n, "two\nlines"));
    let mut bench = Bench::with_jobs_from(300, (1..=300).map(|n| create(n, n.into())));
    lines(301..=310).for_each(|write| bench.offer(write));
    let job = bench.next().unwrap();
    assert_eq!(job.writes.len(), 310);
    lines(311..=320).for_each(|write| bench.offer(write));
    bench.told(&job, JobTrouble::LineBreaks);
    let now = bench.now;
    bench.settle(&job, |_| Verdict::Held { at: now });
    assert_eq!(bench.all(), [(Lane::Bulk, 300), (Lane::Collections, 20)]);
}

#[test]
fn rows_that_are_split_out_of_a_job_are_halved_as_ever() {
    let mut bench = Bench::with_jobs_from(300, (1..=1_000).map(|n| create(n, n.into())));
    let job = bench.next().unwrap();
    bench.settle(&job, |_| Verdict::Split);
    let mut sizes: Vec<(Lane, usize)> = Vec::new();
    while let Some(batch) = bench.next() {
        sizes.push((batch.lane, batch.writes.len()));
        bench.save(&batch);
    }
    assert_eq!(sizes.iter().map(|(_, size)| size).sum::<usize>(), 1_000);
    assert!(sizes.iter().all(|(lane, size)| *lane == Lane::Collections && *size <= BATCH_MAX), "{sizes:?}");
}

#[test]
fn there_is_room_for_whole_jobs() {
    let plain = Bench::with((1..=10_000).map(|n| update(n, n.into())));
    assert!(!plain.outbox.has_room());
    let mut bench = Bench::with_jobs_from(8_000, (1..=10_000).map(|n| update(n, n.into())));
    assert!(bench.outbox.has_room());
    assert_eq!(bench.all(), [(Lane::Bulk, 10_000)]);
}
