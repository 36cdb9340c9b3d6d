//! Which jobs the open gaps want, and which gaps are mended. Pure.
//!
//! A record that changed within a gap, and once more after it, has the stamp of its last change, and the event of that one tells
//! only of what it changed. So a repair reads whatever changed since the gap began, up to now.

use std::time::Duration;

use crate::event::Timestamp;
use crate::store::{Gap, GapKind, Job, JobEnd, PipelineId, PipelineRow, SubscriptionRow, Work};

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
    for gap in gaps.iter().filter(|gap| gap.records == 0 && gap.closed.is_none()) {
        let Some(subscription) = subscriptions.iter().find(|row| row.id == gap.subscription) else { continue };
        let reads = |row: &&PipelineRow| {
            let identity = &row.identity;
            identity.source_org == subscription.org
                && identity.channel == subscription.channel
                && gap.object.as_ref().is_none_or(|object| *object == identity.source_object)
        };
        let readers: Vec<PipelineId> = pipelines.iter().filter(reads).map(|row| row.id).collect();
        if readers.is_empty() || !is_over(gap, subscription) {
            continue;
        }
        let known: Vec<(PipelineId, Known)> =
            readers.into_iter().map(|pipeline| (pipeline, known(gap, pipeline, jobs, now))).collect();
        if known.iter().all(|(_, known)| *known == Known::Done) {
            steps.push(Step::Close { gap: gap.id });
        } else if gap.kind != GapKind::OtherOrg {
            let wanted = known.into_iter().filter(|(_, known)| *known == Known::Nothing);
            let work = Work::Repair { gap: gap.id, from: gap.from };
            steps.extend(wanted.map(|(pipeline, _)| Step::Add { pipeline, work: work.clone() }));
        }
    }
    steps
}

/// Nothing more is going to be missing because of it, and whatever events can still tell of it they have told.
fn is_over(gap: &Gap, subscription: &SubscriptionRow) -> bool {
    let live_until = subscription.position.live_until;
    match gap.to {
        // It is told in our own clock, and a backfill is all that counts.
        _ if gap.kind == GapKind::OtherOrg => true,
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
    let serves = |job: &&Job| {
        job.pipeline == pipeline
            && match &job.work {
                Work::Repair { gap: of, .. } => *of == gap.id,
                Work::Backfill { condition } => condition.is_none() && gap.kind == GapKind::OtherOrg,
            }
    };
    let mut all = Known::Nothing;
    for job in jobs.iter().filter(serves) {
        let known = match &job.ended {
            None => Known::UnderWay,
            // A window can have been widened since.
            Some(ended) if ended.how == JobEnd::Done && began_behind(gap, job) => Known::Done,
            Some(ended) if ended.how == JobEnd::Done => Known::Nothing,
            Some(ended) if ended.at.plus(AGAIN) > now => Known::UnderWay,
            Some(_) => Known::Nothing,
        };
        match (all, known) {
            (_, Known::Done) => return Known::Done,
            (Known::Nothing, Known::UnderWay) => all = Known::UnderWay,
            _ => {}
        }
    }
    all
}

/// Clocks may differ: where ours is behind, a repair is made once more.
fn began_behind(gap: &Gap, job: &Job) -> bool {
    let end = gap.to.unwrap_or(gap.opened).max(gap.opened);
    job.begun_at.is_some_and(|begun| begun >= end)
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
            counts: JobCounts::default(),
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
        let other = Work::Repair { gap: 8, from: None };
        assert_eq!(of(&missed, 200, &[job(1, other, 250, Some((300, JobEnd::Done))), done(3, 250)]), [add(1)]);
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
