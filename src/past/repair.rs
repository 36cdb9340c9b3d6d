//! Which jobs the open gaps want, and which gaps are mended. Pure.
//!
//! A record that changed within a gap, and once more after it, has the stamp of its last change, and the event of that one tells
//! only of what it changed. So a repair reads whatever changed since the gap began, up to now.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::event::Timestamp;
use crate::store::{Cursor, Gap, GapKind, Job, JobEnd, PipelineId, PipelineRow, SubscriptionRow, Work};

/// How soon a repair that failed is tried again.
const AGAIN: Duration = Duration::from_secs(3_600);

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Add {
        pipeline: PipelineId,
        work: Work,
    },
    /// Every pipeline that reads the object has read what the gap may have hidden.
    Close {
        gap: i64,
    },
}

/// What is known of one gap's repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Nothing,
    UnderWay,
    Done,
}

/// `jobs`: those that are not over, and the last that are, in any order. `now` by our clock.
pub fn steps(
    gaps: &[Gap],
    subscriptions: &[SubscriptionRow],
    pipelines: &[PipelineRow],
    jobs: &[Job],
    now: Timestamp,
) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut wanted: BTreeMap<PipelineId, (i64, Option<Timestamp>)> = BTreeMap::new();
    for gap in gaps.iter().filter(|gap| gap.records == 0 && gap.closed.is_none()) {
        let Some(subscription) = subscriptions.iter().find(|row| row.id == gap.subscription) else { continue };
        let readers = readers(gap, subscription, pipelines);
        if readers.is_empty() || !is_over(gap, subscription) {
            continue;
        }
        let known: Vec<(PipelineId, Known)> =
            readers.into_iter().map(|pipeline| (pipeline, known(gap, pipeline, jobs, now))).collect();
        if known.iter().all(|(_, known)| *known == Known::Done) {
            steps.push(Step::Close { gap: gap.id });
        } else if gap.kind != GapKind::OtherOrg {
            for (pipeline, _) in known.into_iter().filter(|(_, known)| *known == Known::Nothing) {
                // One job for all gaps, from where the first of them began.
                let from = wanted.entry(pipeline).or_insert((gap.id, gap.from));
                from.1 = from.1.zip(gap.from).map(|(one, other)| one.min(other));
            }
        }
    }
    let add = |(pipeline, (gap, from))| Step::Add { pipeline, work: Work::Repair { gap, from } };
    steps.extend(wanted.into_iter().map(add));
    steps
}

/// Why the last repair of a gap failed, if it did. `jobs`: the last one first.
pub fn failure<'a>(
    gap: &Gap,
    subscription: &SubscriptionRow,
    pipelines: &[PipelineRow],
    jobs: &'a [Job],
) -> Option<&'a str> {
    let readers = readers(gap, subscription, pipelines);
    let failed = readers.into_iter().filter_map(|pipeline| {
        let last = jobs.iter().find(|job| serves(job, gap, pipeline))?;
        last.ended.as_ref().filter(|ended| gap.records == 0 && ended.how == JobEnd::Failed)
    });
    failed.map(|ended| ended.why.as_str()).next()
}

/// The pipelines from which it may have hidden something.
fn readers(gap: &Gap, subscription: &SubscriptionRow, pipelines: &[PipelineRow]) -> Vec<PipelineId> {
    let reads = |row: &&PipelineRow| {
        let identity = &row.identity;
        identity.source_org == subscription.org
            && identity.channel == subscription.channel
            && gap.object.as_ref().is_none_or(|object| *object == identity.source_object)
    };
    pipelines.iter().filter(reads).map(|row| row.id).collect()
}

/// Whether a job reads for a pipeline what a gap may have hidden from it.
fn serves(job: &Job, gap: &Gap, pipeline: PipelineId) -> bool {
    job.pipeline == pipeline
        && match &job.work {
            // It reads what changed since then, up to now.
            Work::Repair { from, .. } => from.is_none() || gap.from.is_some_and(|gap| *from <= Some(gap)),
            Work::Backfill { condition } => condition.is_none() && gap.kind == GapKind::OtherOrg,
            Work::Reapply { .. } | Work::ReapplySince { .. } | Work::Mend { .. } | Work::Import { .. } => false,
        }
}

/// Nothing more is going to be missing because of it, and whatever events can still tell of it they have told.
fn is_over(gap: &Gap, subscription: &SubscriptionRow) -> bool {
    // It is told in our own clock, and a backfill is all that counts.
    if gap.kind == GapKind::OtherOrg {
        return true;
    }
    let live_until = subscription.position.live_until;
    match gap.to {
        Some(to) => live_until.is_some_and(|until| until >= to),
        None => match gap.kind {
            GapKind::Position | GapKind::Outage | GapKind::Capture | GapKind::Access => false,
            GapKind::Skipped
            | GapKind::Records
            | GapKind::Overflow
            | GapKind::Wildcard
            | GapKind::Undecodable
            | GapKind::Removed
            | GapKind::Missed
            | GapKind::OtherOrg => live_until.is_some(),
        },
    }
}

fn known(gap: &Gap, pipeline: PipelineId, jobs: &[Job], now: Timestamp) -> Known {
    let mut all = Known::Nothing;
    for job in jobs.iter().filter(|job| serves(job, gap, pipeline)) {
        let known = match (&job.ended, &job.cursor) {
            (None, _) => Known::UnderWay,
            (Some(ended), _) if ended.how == JobEnd::Done => match began_behind(gap, job) {
                true => Known::Done,
                // A window can have been widened since.
                false => Known::Nothing,
            },
            // All is read that the org tells, but for deletions of a time; that will not change.
            (Some(_), Some(Cursor::Untold { until, .. })) if began_behind(gap, job) => {
                if gap.from.is_some_and(|from| from >= *until) { Known::Done } else { Known::UnderWay }
            }
            (Some(ended), _) if ended.at.plus(AGAIN) > now => Known::UnderWay,
            (Some(_), _) => Known::Nothing,
        };
        match (all, known) {
            (_, Known::Done) => return Known::Done,
            (Known::Nothing, Known::UnderWay) => all = Known::UnderWay,
            _ => {}
        }
    }
    all
}

/// By the org's clock, as the gap's end is; that of one of another org, and when a gap was noticed, are by ours.
fn began_behind(gap: &Gap, job: &Job) -> bool {
    match gap.to.filter(|_| gap.kind != GapKind::OtherOrg) {
        Some(to) => job.counts.as_of.is_some_and(|as_of| as_of >= to),
        None => job.begun_at.is_some_and(|begun| begun >= gap.opened),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{ObjectName, Seq, Transport};
    use crate::store::{JobCounts, JobEnded, JobNumber, PipelineIdentity, Position, SubscriptionId};

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1_000)
    }

    fn gap(kind: GapKind, object: Option<&str>, to: Option<i64>) -> Gap {
        Gap {
            id: 7,
            subscription: SubscriptionId(1),
            kind,
            object: object.map(|object| object.parse::<ObjectName>().unwrap()),
            from: Some(at(100)),
            to: to.map(at),
            seq: Seq(3),
            records: 0,
            opened: at(150),
            why: String::new(),
            proof: None,
            evidence: None,
            closed: None,
        }
    }

    fn subscription(live_until: i64) -> SubscriptionRow {
        SubscriptionRow {
            id: SubscriptionId(1),
            org: "source".parse().unwrap(),
            channel: "/data/ChangeEvents".parse().unwrap(),
            transport: Transport::Pubsub,
            position: Position { replay_id: None, started_at: None, live_until: Some(at(live_until)) },
            last_event: None,
            journaled: 0,
            open_gaps: 1,
        }
    }

    fn pipeline(id: i64, object: &str) -> PipelineRow {
        PipelineRow {
            id: PipelineId(id),
            identity: PipelineIdentity {
                name: format!("p{id}").parse().unwrap(),
                source_org: "source".parse().unwrap(),
                channel: "/data/ChangeEvents".parse().unwrap(),
                source_object: object.parse().unwrap(),
                target_org: "target".parse().unwrap(),
                target_object: object.parse().unwrap(),
                key: "Key__c".parse().unwrap(),
            },
            watermark: Seq::ZERO,
            parked: 0,
            failed: 0,
            unfilled: 0,
            halted: None,
            passes_to: Seq::ZERO,
            batch_size: None,
        }
    }

    fn job(pipeline: i64, work: Work, begun: i64, ended: Option<(i64, JobEnd)>) -> Job {
        Job {
            number: JobNumber(1),
            pipeline: PipelineId(pipeline),
            work,
            cursor: None,
            counts: JobCounts { as_of: Some(at(begun)), ..JobCounts::default() },
            created_at: at(begun),
            begun_at: Some(at(begun)),
            ended: ended.map(|(seconds, how)| JobEnded { at: at(seconds), how, why: String::new() }),
        }
    }

    fn repair() -> Work {
        Work::Repair { gap: 7, from: Some(at(100)) }
    }

    fn add(pipeline: i64) -> Step {
        Step::Add { pipeline: PipelineId(pipeline), work: repair() }
    }

    fn of(gap: &Gap, live_until: i64, jobs: &[Job]) -> Vec<Step> {
        let pipelines = [pipeline(1, "Account"), pipeline(2, "Contact"), pipeline(3, "Account")];
        steps(std::slice::from_ref(gap), &[subscription(live_until)], &pipelines, jobs, at(1_000))
    }

    #[test]
    fn a_window_is_read_for_each_pipeline_that_reads_its_object_once_it_is_over_and_closed_when_all_have() {
        let missed = gap(GapKind::Missed, Some("Account"), Some(200));
        assert_eq!(of(&missed, 199, &[]), [], "events may still tell");
        assert_eq!(of(&missed, 200, &[]), [add(1), add(3)]);
        assert_eq!(of(&gap(GapKind::Skipped, None, Some(200)), 200, &[]), [add(1), add(2), add(3)]);
        let done = |pipeline, begun| job(pipeline, repair(), begun, Some((300, JobEnd::Done)));
        assert_eq!(of(&missed, 200, &[done(1, 250), job(3, repair(), 250, None)]), []);
        assert_eq!(of(&missed, 200, &[done(1, 250), done(3, 250)]), [Step::Close { gap: 7 }]);
        assert_eq!(of(&missed, 200, &[done(1, 190), done(3, 250)]), [add(1)], "the window was widened since");
        let later = Work::Repair { gap: 8, from: Some(at(101)) };
        assert_eq!(of(&missed, 200, &[job(1, later, 250, Some((300, JobEnd::Done))), done(3, 250)]), [add(1)]);
        let all = Work::Repair { gap: 8, from: None };
        let both = [job(1, all, 250, Some((300, JobEnd::Done))), done(3, 250)];
        assert_eq!(of(&missed, 200, &both), [Step::Close { gap: 7 }], "another gap's repair read all of this one");
    }

    #[test]
    fn what_goes_on_to_be_missing_is_not_read_before_it_ends() {
        for kind in GapKind::ALL {
            let open = gap(kind, Some("Contact"), None);
            let goes_on = matches!(kind, GapKind::Position | GapKind::Outage | GapKind::Capture | GapKind::Access);
            let expected = if goes_on || kind == GapKind::OtherOrg { vec![] } else { vec![add(2)] };
            assert_eq!(of(&open, 200, &[]), expected, "{kind}");
        }
    }

    #[test]
    fn a_repair_that_failed_is_tried_again_after_an_hour() {
        let missed = gap(GapKind::Missed, Some("Contact"), Some(200));
        let failed = |ended| [job(2, repair(), 250, Some((ended, JobEnd::Failed)))];
        assert_eq!(of(&missed, 200, &failed(300)), []);
        assert_eq!(of(&missed, 200, &failed(1_000 - 3_600)), [add(2)]);
        let why = |gap: &Gap| {
            let jobs = failed(300)
                .map(|job| Job { ended: job.ended.map(|ended| JobEnded { why: "no".into(), ..ended }), ..job });
            failure(gap, &subscription(200), &[pipeline(2, "Contact")], &jobs).map(str::to_owned)
        };
        let later = Gap { id: 8, from: Some(at(150)), ..missed.clone() };
        assert_eq!((why(&missed), why(&later)), (Some("no".to_owned()), Some("no".to_owned())), "one read for both");
        assert_eq!(why(&Gap { from: Some(at(50)), ..missed }), None);
    }

    #[test]
    fn one_job_serves_all_gaps_of_a_pipeline_from_the_first_of_them_on() {
        let one = gap(GapKind::Undecodable, Some("Contact"), Some(200));
        let first = Gap { id: 8, from: Some(at(50)), ..one.clone() };
        let pipelines = [pipeline(2, "Contact")];
        let of = |gaps: &[Gap]| steps(gaps, &[subscription(200)], &pipelines, &[], at(1_000));
        let add = |from| vec![Step::Add { pipeline: PipelineId(2), work: Work::Repair { gap: 7, from } }];
        assert_eq!(of(&[one.clone(), first.clone()]), add(Some(at(50))));
        assert_eq!(of(&[one, Gap { from: None, ..first }]), add(None));
    }

    #[test]
    fn what_the_org_does_not_tell_any_more_is_not_asked_for_again_and_hinders_no_later_gap() {
        let missed = gap(GapKind::Missed, Some("Contact"), Some(200));
        let untold = |until| {
            let job = job(2, repair(), 250, Some((300, JobEnd::Failed)));
            [Job { cursor: Some(Cursor::Untold { since: at(90), until: at(until) }), ..job }]
        };
        assert_eq!(of(&missed, 200, &untold(150)), []);
        assert_eq!(of(&missed, 200, &untold(100)), [Step::Close { gap: 7 }], "it began when the log did");
    }

    #[test]
    fn another_org_wants_a_backfill_of_everything_by_a_person() {
        let other = gap(GapKind::OtherOrg, Some("Contact"), Some(200));
        let backfill = |condition: Option<&str>| {
            let work = Work::Backfill { condition: condition.map(str::to_owned) };
            [job(2, work, 250, Some((300, JobEnd::Done)))]
        };
        assert_eq!(of(&other, 0, &[]), []);
        assert_eq!(of(&other, 0, &backfill(Some("Name != null"))), []);
        assert_eq!(of(&other, 0, &backfill(None)), [Step::Close { gap: 7 }]);
        let missed = gap(GapKind::Missed, Some("Contact"), Some(200));
        assert_eq!(of(&missed, 200, &backfill(None)), [add(2)], "a backfill tells nothing of what was deleted");
    }
}
