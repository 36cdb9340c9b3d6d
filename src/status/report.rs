//! The status as people and scripts read it: what the store knows, and what a running bridge knows beside it. The shape
//! of the JSON is a promise: names and meanings stay, new ones may come.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ApiStatus, Status};
use crate::event::Timestamp;
use crate::org::Quota;
use crate::past::repair;
use crate::store::paused::reason_by_hand;
use crate::store::{self, JournalFigures, ParkedState, Store, StoreError, SubscriptionRow, VerifyCounts};
use crate::subscribe::{State, retention};

/// Ended jobs that are looked at.
const JOBS_MAX: usize = 100;
/// Hours that have begun, this one included, are 24 of them.
const DELIVERIES_OF: Duration = Duration::from_secs(23 * 3_600);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub v: u32,
    /// False: as of the state file.
    pub running: bool,
    pub at: String,
    pub orgs: Vec<Org>,
    pub subscriptions: Vec<Subscription>,
    pub gaps: Vec<Gap>,
    pub pipelines: Vec<Pipeline>,
    #[serde(default)]
    pub actions: Vec<Action>,
    /// What reads the past: all that is not over, and of each kind and pipeline the last that is.
    #[serde(default)]
    pub jobs: Vec<Job>,
    /// Comparisons of the two sides of a pipeline: all that are not over, and of each pipeline the last that is.
    #[serde(default)]
    pub verifications: Vec<Verification>,
    #[serde(default)]
    pub journal: Journal,
    /// None: there never was one.
    #[serde(default)]
    pub digest: Option<Digest>,
}

/// A comparison of the two sides of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    pub number: i64,
    pub pipeline: String,
    /// One of `waiting`, `running`, `done`, `failed`.
    pub state: String,
    /// Why it failed.
    pub why: Option<String>,
    /// About so many records of the source were compared, not all.
    pub sample: Option<u64>,
    pub begun: Option<String>,
    pub ended: Option<String>,
    /// Records in which the two sides do not agree.
    pub differences: u64,
    pub counts: VerifyCounts,
}

/// What is kept of the events that came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    pub events: u64,
    /// About what they take of the state file.
    pub bytes: u64,
    /// None is missing of those that were received since then; none: there is no event.
    pub whole_since: Option<String>,
}

/// A backfill or a repair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    pub number: i64,
    pub pipeline: String,
    /// `backfill`, `repair` of gaps, or `import` of links.
    pub kind: String,
    /// One of `waiting`, `running`, `done`, `failed`, `stopped`.
    pub state: String,
    /// Why it failed, or what of it could not be done.
    pub why: Option<String>,
    /// Rows that were read, and are written, parked or left out.
    pub rows: u64,
    /// Rows that there were at the beginning, where the org could count them.
    pub total: Option<u64>,
    /// About how many API calls of both orgs it took to read them.
    pub calls: u64,
    pub begun: Option<String>,
    pub ended: Option<String>,
    /// Since it began.
    pub rows_per_second: Option<u64>,
    /// At that rate. Of one that runs.
    pub seconds_left: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Org {
    pub name: String,
    pub org_id: Option<String>,
    pub other_org_id: Option<String>,
    pub trouble: Option<String>,
    /// Nothing is written into it until `orgbridge resume`.
    #[serde(default)]
    pub paused: Option<Paused>,
    /// The org refuses the login, and will until a person mends it. Of a running bridge only.
    #[serde(default)]
    pub login_refused: bool,
    /// API calls of 24 hours. Of a running bridge only, and from the org's first answer on.
    #[serde(default)]
    pub api: Option<Api>,
    /// Events that were delivered.
    #[serde(default)]
    pub deliveries: Deliveries,
    /// What was stored before the privacy rules that hold for it.
    #[serde(default)]
    pub in_clear: Vec<InClear>,
}

/// What a person stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    pub since: String,
    /// What the person said; may be empty.
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Api {
    /// By all clients of the org, in 24 hours.
    pub used: u64,
    pub limit: u64,
    /// Left to others (`api_budget`); none: nothing is counted.
    pub kept: Option<u64>,
    /// `enough`, or that it is used up at some time at this rate; none where nothing is counted.
    pub forecast: Option<String>,
    pub used_up_at: Option<String>,
    /// No calls are made before this.
    pub waiting_until: Option<String>,
    /// Why not.
    pub why: Option<String>,
}

/// The second budget of an org that is a source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deliveries {
    /// To this bridge, in 24 hours.
    pub own: u64,
    /// To all subscribers, and the org's limit: of a running bridge only, and where the org says so.
    pub used: Option<u64>,
    pub limit: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InClear {
    pub object: String,
    pub fields: Vec<String>,
    /// Entries of the journal that may hold such a value.
    pub entries: u64,
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    pub org: String,
    pub channel: String,
    pub transport: String,
    /// One of `connecting`, `catching_up`, `live`, `behind`, `stalled`, `waiting`, `refused`; none if no bridge runs.
    pub state: Option<String>,
    pub why: Option<String>,
    pub last_event: Option<String>,
    pub last_frame: Option<String>,
    pub replay_id: Option<String>,
    pub live_until: Option<String>,
    /// How long the org still keeps what may be missing; none before the first subscribe.
    pub retention_left_seconds: Option<u64>,
    pub deliveries_today: u64,
    pub journaled: u64,
    pub undecodable: u64,
    pub open_gaps: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    pub id: i64,
    pub org: String,
    pub channel: String,
    pub kind: String,
    pub object: Option<String>,
    pub from: Option<String>,
    pub to: Option<String>,
    /// 0: a window, which needs a person.
    pub records: u64,
    pub text: String,
    pub remedy: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pipeline {
    pub name: String,
    pub source: String,
    pub target: String,
    pub watermark: u64,
    /// Of a running bridge only, and from when it works for the target.
    pub waiting: Option<u64>,
    pub in_flight: Option<u64>,
    pub lag_seconds: u64,
    pub parked: u64,
    pub failed: u64,
    /// Records that were written without a lookup, because what it leads to is not in the target yet.
    pub unfilled: u64,
    /// Changes that were skipped since the bridge started because their counterpart was deleted in the target
    /// (`when_target_gone: skip`). Of a running bridge only.
    pub left_gone: Option<u64>,
    /// Changes taken since the bridge started, and the calls to both orgs that they cost. Of a running bridge only.
    #[serde(default)]
    pub changes: Option<u64>,
    #[serde(default)]
    pub api_calls: Option<u64>,
    /// Deletes that were not made since the bridge started, because the bridge is not known to have created the counterpart
    /// (`may_delete: created`). Of a running bridge only.
    pub kept: Option<u64>,
    /// It stopped by itself or was paused, and waits for `orgbridge resume`: why.
    pub halted: Option<String>,
    /// It was paused by hand; `halted` says so too.
    #[serde(default)]
    pub paused: Option<Paused>,
    pub causes: Vec<Cause>,
    pub trouble: Option<String>,
    /// What its source records were told of how they are doing. Of a running bridge only, and where `feedback` wants it.
    #[serde(default)]
    pub feedback: Option<Feedback>,
}

/// Counted since the bridge started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feedback {
    /// Records that were told.
    pub told: u64,
    /// The source org refused so many, and the last one with this code.
    pub refused: u64,
    pub code: Option<String>,
    /// What keeps them from being told.
    pub trouble: Option<String>,
}

/// The digest for a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// When the last one went out.
    pub sent_at: Option<String>,
    /// Why its webhook was not told. Of a running bridge only.
    pub trouble: Option<String>,
}

/// Something that is done for each event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    pub name: String,
    pub source: String,
    /// The object whose changes trigger it, or the platform event.
    pub object: String,
    pub watermark: u64,
    /// Events that wait for it, and for which it is being done. Of a running bridge only, as the next two.
    pub waiting: Option<u64>,
    pub in_flight: Option<u64>,
    /// Events for which it was done since the bridge started, and for which it was not to be done.
    pub done: Option<u64>,
    pub skipped: Option<u64>,
    pub lag_seconds: u64,
    /// Failed actions: they wait for a person.
    pub failed: u64,
    /// It was paused, and waits for `orgbridge resume`: why.
    pub halted: Option<String>,
    pub paused: Option<Paused>,
    pub trouble: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    pub code: String,
    /// A failed record waits for a person; another one for a parent.
    pub failed: bool,
    pub records: u64,
}

impl Paused {
    /// None: it stopped by itself.
    fn of(halted: &crate::store::Halted) -> Option<Self> {
        let reason = reason_by_hand(&halted.why)?.to_owned();
        Some(Self { since: halted.at.to_string(), reason })
    }
}

impl Api {
    fn of(api: ApiStatus) -> Self {
        let (until, why) = api.waiting.unzip();
        let used_up = |at: Timestamp| format!("used up at {} UTC at this rate", at.clock());
        Self {
            used: api.used,
            limit: api.limit,
            kept: api.kept,
            forecast: api.kept.map(|_| api.used_up_at.map_or_else(|| "enough".to_owned(), used_up)),
            used_up_at: api.used_up_at.map(|at| at.to_string()),
            waiting_until: until.map(|until| until.to_string()),
            why,
        }
    }
}

impl InClear {
    fn of(clear: &crate::store::InClear) -> Self {
        Self {
            object: clear.object.to_string(),
            fields: clear.fields.iter().map(ToString::to_string).collect(),
            entries: clear.entries,
            text: clear.to_string(),
        }
    }
}

impl Gap {
    fn of(gap: &crate::store::Gap, row: Option<&SubscriptionRow>) -> Self {
        let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
        Self {
            id: gap.id,
            org: row.map_or(String::new(), |row| row.org.to_string()),
            channel: row.map_or(String::new(), |row| row.channel.to_string()),
            kind: gap.kind.as_str().to_owned(),
            object: gap.object.as_ref().map(ToString::to_string),
            from: time(gap.from),
            to: time(gap.to),
            records: gap.records,
            text: gap.to_string(),
            remedy: gap.remedy().to_owned(),
        }
    }
}

impl Report {
    /// Nothing in it is a secret or a value of a record.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn gather<S: Store>(
        store: &S,
        orgs: impl IntoIterator<Item = crate::event::OrgName>,
        now: Timestamp,
        live: Option<&Status>,
    ) -> Result<Self, StoreError> {
        let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
        let mut report = Self {
            v: 1,
            running: live.is_some(),
            at: now.to_string(),
            orgs: Vec::new(),
            subscriptions: Vec::new(),
            gaps: Vec::new(),
            pipelines: Vec::new(),
            actions: Vec::new(),
            jobs: Vec::new(),
            verifications: Vec::new(),
            journal: Journal::default(),
            digest: None,
        };
        let sent = store.digest().await?.map(|sent| sent.at.to_string());
        let trouble = live.and_then(|live| live.digest_trouble.clone());
        report.digest = (sent.is_some() || trouble.is_some()).then_some(Digest { sent_at: sent, trouble });
        let JournalFigures { entries, bytes, whole_since, .. } = store.journal_figures().await?;
        report.journal = Journal { events: entries, bytes, whole_since: time(whole_since) };
        let paused = store.paused_orgs().await?;
        let rows = store.subscriptions().await?;
        let day = store.deliveries(now.minus(DELIVERIES_OF)).await?;
        for name in orgs {
            let own = rows.iter().filter(|row| row.org == name).filter_map(|row| day.get(&row.id)).sum();
            let known = live.and_then(|live| live.orgs.get(&name)).cloned().unwrap_or_default();
            let in_clear = store.in_clear(&name, &store.noted_privacy(&name).await?).await?;
            report.orgs.push(Org {
                org_id: store.pinned_org(&name).await?,
                paused: paused
                    .get(&name)
                    .map(|paused| Paused { since: paused.at.to_string(), reason: paused.reason.clone() }),
                name: name.to_string(),
                other_org_id: known.other_org_id,
                trouble: known.trouble,
                login_refused: known.login_refused,
                api: known.api.map(Api::of),
                deliveries: Deliveries {
                    own,
                    used: known.deliveries.map(Quota::used),
                    limit: known.deliveries.map(|quota| quota.max),
                },
                in_clear: in_clear.iter().map(InClear::of).collect(),
            });
        }
        let midnight = Timestamp(now.0 - now.0.rem_euclid(24 * 60 * 60 * 1_000));
        let deliveries = store.deliveries(midnight).await?;
        for row in &rows {
            let known = live.and_then(|live| live.subscriptions.get(&(row.org.clone(), row.channel.clone())));
            let shown = known.map(|known| state(&known.state, known.behind.as_deref()));
            let left = row.position.proof().map(|proof| retention::left(proof, row.channel.retention(), now).as_secs());
            report.subscriptions.push(Subscription {
                org: row.org.to_string(),
                channel: row.channel.to_string(),
                transport: known.and_then(|known| known.transport).unwrap_or(row.transport).to_string(),
                state: shown.as_ref().map(|(state, _)| (*state).to_owned()),
                why: shown.and_then(|(_, why)| why),
                last_event: time(known.and_then(|known| known.last_event).max(row.last_event)),
                last_frame: time(known.and_then(|known| known.last_frame)),
                replay_id: row.position.replay_id.as_ref().map(|id| format!("{id:?}")),
                live_until: time(row.position.live_until),
                retention_left_seconds: left,
                deliveries_today: deliveries.get(&row.id).copied().unwrap_or_default(),
                journaled: row.journaled,
                undecodable: known.map_or(0, |known| known.undecodable),
                open_gaps: row.open_gaps,
            });
        }
        let pipelines = store.pipelines().await?;
        let names: HashMap<_, _> = pipelines.iter().map(|row| (row.id, row.identity.name.to_string())).collect();
        let mut jobs = store.ended_jobs(JOBS_MAX).await?;
        for gap in store.gaps().await? {
            let row = rows.iter().find(|row| row.id == gap.subscription);
            let mut shown = Gap::of(&gap, row);
            if let Some(why) = row.and_then(|row| repair::failure(&gap, row, &pipelines, &jobs)) {
                shown.remedy = format!("its repair failed: {why}");
            }
            report.gaps.push(shown);
        }
        let mut seen = HashSet::new();
        jobs.retain(|job| seen.insert((job.pipeline, job.work.kind())));
        jobs.extend(store.open_jobs().await?);
        jobs.sort_by_key(|job| job.number);
        report.jobs =
            jobs.iter().filter_map(|job| Some(Job::of(job, names.get(&job.pipeline)?.clone(), now))).collect();
        let verifications = store.verifications().await?;
        report.verifications = verifications
            .iter()
            .filter_map(|one| Some(Verification::of(one, names.get(&one.pipeline)?.clone())))
            .collect();
        let causes = store.parked_causes().await?;
        let oldest = store.oldest_unsettled().await?;
        for row in pipelines {
            let target = live.and_then(|live| live.targets.get(&row.identity.target_org));
            // Before the target's work begins (it cannot be logged in to) the bridge knows no more than the store.
            let known = live.filter(|_| target.is_some()).and_then(|live| live.pipelines.get(&row.identity.name));
            let age = |at: &Timestamp| Duration::from_millis((now.0 - at.0).max(0).unsigned_abs());
            let stored_lag = oldest.get(&row.id).map_or(Duration::ZERO, age);
            let causes = causes.iter().filter(|cause| cause.pipeline == row.id);
            report.pipelines.push(Pipeline {
                name: row.identity.name.to_string(),
                source: row.identity.source_org.to_string(),
                target: row.identity.target_org.to_string(),
                watermark: row.watermark.0,
                waiting: known.map(|known| known.waiting),
                in_flight: known.map(|known| known.in_flight),
                lag_seconds: known.map_or(stored_lag, |known| known.lag).as_secs(),
                parked: row.parked,
                failed: row.failed,
                unfilled: row.unfilled,
                left_gone: known.map(|known| known.left_gone),
                changes: known.map(|known| known.taken),
                api_calls: known.map(|known| known.api_calls),
                kept: known.map(|known| known.kept),
                paused: row.halted.as_ref().and_then(Paused::of),
                halted: row.halted.map(|halted| format!("{} (since {})", halted.why, halted.at)),
                causes: causes
                    .map(|cause| Cause {
                        code: cause.code.clone(),
                        failed: match cause.state {
                            ParkedState::Failed => true,
                            ParkedState::Waiting => false,
                        },
                        records: cause.records,
                    })
                    .collect(),
                trouble: target.and_then(|target| target.trouble.clone()),
                feedback: live.and_then(|live| live.feedback.get(&row.identity.name)).map(|known| Feedback {
                    told: known.told,
                    refused: known.refused,
                    code: known.code.clone(),
                    trouble: known.trouble.clone(),
                }),
            });
        }
        for row in store.actions().await? {
            let known = live.and_then(|live| live.actions.get(&row.identity.name));
            let age = |at: &Timestamp| Duration::from_millis((now.0 - at.0).max(0).unsigned_abs());
            let stored_lag = oldest.get(&row.id).map_or(Duration::ZERO, age);
            report.actions.push(Action {
                name: row.identity.name.to_string(),
                source: row.identity.source_org.to_string(),
                object: row.identity.object.to_string(),
                watermark: row.watermark.0,
                waiting: known.map(|known| known.waiting),
                in_flight: known.map(|known| known.in_flight),
                done: known.map(|known| known.done),
                skipped: known.map(|known| known.skipped),
                lag_seconds: known.map_or(stored_lag, |known| known.lag).as_secs(),
                failed: row.failed,
                paused: row.halted.as_ref().and_then(Paused::of),
                halted: row.halted.map(|halted| format!("{} (since {})", halted.why, halted.at)),
                trouble: known.and_then(|known| known.trouble.clone()),
            });
        }
        Ok(report)
    }

    /// Something does not pass by itself.
    pub fn needs_a_person(&self) -> bool {
        let stuck = |one: &Subscription| matches!(one.state.as_deref(), Some("refused" | "behind"));
        // What a running bridge does not subscribe any more owes nothing.
        let late = |one: &Subscription| one.retention_left_seconds == Some(0) && (one.state.is_some() || !self.running);
        let shut = |org: &Org| {
            org.other_org_id.is_some() || org.login_refused || !org.in_clear.is_empty() || org.paused.is_some()
        };
        self.orgs.iter().any(shut)
            || self.subscriptions.iter().any(|one| stuck(one) || late(one))
            || self.pipelines.iter().any(|pipeline| pipeline.failed > 0 || pipeline.halted.is_some())
            || self.actions.iter().any(|action| action.failed > 0 || action.halted.is_some())
            || self.gaps.iter().any(|gap| gap.records == 0)
            || self.jobs.iter().any(|job| job.state == "failed")
            || self
                .verifications
                .iter()
                .any(|one| one.ended.is_some() && (one.state == "failed" || one.differences > 0))
    }
}

impl Verification {
    fn of(one: &store::Verification, pipeline: String) -> Self {
        let ended = one.ended.as_ref();
        Self {
            number: one.number.0,
            pipeline,
            state: match (ended, one.begun_at) {
                (Some(ended), _) => ended.how.as_str(),
                (None, Some(_)) => "running",
                (None, None) => "waiting",
            }
            .to_owned(),
            why: ended.map(|ended| ended.why.clone()).filter(|why| !why.is_empty()),
            sample: one.wish.sample,
            begun: one.begun_at.map(|at| at.to_string()),
            ended: ended.map(|ended| ended.at.to_string()),
            differences: one.counts.differences(),
            counts: one.counts,
        }
    }
}

impl Job {
    fn of(job: &store::Job, pipeline: String, now: Timestamp) -> Self {
        let ended = job.ended.as_ref();
        let seconds = |from: Timestamp| (ended.map_or(now, |ended| ended.at).0 - from.0).max(0).unsigned_abs() / 1_000;
        // Before the first page is done nothing is known of it.
        let begun = job.begun_at.filter(|_| job.counts.rows > 0);
        let rate = begun.map(|begun| job.counts.rows / seconds(begun).max(1));
        let left = job.counts.total.map(|total| total.saturating_sub(job.counts.rows));
        Self {
            number: job.number.0,
            pipeline,
            kind: job.work.kind().to_owned(),
            state: match (ended, job.begun_at) {
                (Some(ended), _) => ended.how.as_str(),
                (None, Some(_)) => "running",
                (None, None) => "waiting",
            }
            .to_owned(),
            why: ended.map(|ended| ended.why.clone()).filter(|why| !why.is_empty()),
            rows: job.counts.rows,
            total: job.counts.total,
            calls: job.counts.calls,
            begun: job.begun_at.map(|at| at.to_string()),
            ended: ended.map(|ended| ended.at.to_string()),
            rows_per_second: rate,
            seconds_left: left
                .zip(rate.filter(|rate| *rate > 0))
                .filter(|_| ended.is_none())
                .map(|(left, rate)| left / rate),
        }
    }
}

fn state(state: &State, behind: Option<&str>) -> (&'static str, Option<String>) {
    match (state, behind) {
        (State::Live, Some(why)) => ("behind", Some(why.to_owned())),
        (State::Live, None) => ("live", None),
        (State::Connecting, _) => ("connecting", None),
        (State::CatchingUp, _) => ("catching_up", None),
        (State::Stalled, _) => ("stalled", None),
        (State::Waiting { until, why }, _) => ("waiting", Some(format!("until {until}: {why}"))),
        (State::Refused { why }, _) => ("refused", Some(why.clone())),
    }
}

#[cfg(test)]
pub(crate) mod tests;
