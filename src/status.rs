//! What the terminal, the command line and the tests read: states and counters, kept in one place and watched.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::event::{Channel, OrgName, PipelineName, Seq, Timestamp, Transport};
use crate::org::Quota;
use crate::subscribe::State;

pub mod report;

/// The bridge as of now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    pub pipelines: BTreeMap<PipelineName, PipelineStatus>,
    pub subscriptions: BTreeMap<(OrgName, Channel), SubscriptionStatus>,
    pub targets: BTreeMap<OrgName, TargetStatus>,
    pub actions: BTreeMap<PipelineName, ActionStatus>,
    pub feedback: BTreeMap<PipelineName, FeedbackStatus>,
    /// Why the digest's webhook was not told.
    pub digest_trouble: Option<String>,
    pub orgs: BTreeMap<OrgName, OrgStatus>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineStatus {
    pub channel: Channel,
    pub target: OrgName,
    /// Changes of records taken from the journal.
    pub taken: u64,
    /// Records that wait to be written or read.
    pub waiting: u64,
    pub in_flight: u64,
    /// Records written or deleted in the target. Changes that came together count once.
    pub applied: u64,
    /// Records that wait for another one.
    pub parked: u64,
    /// Failed records.
    pub failed: u64,
    /// Records that were written without a lookup, because what it leads to is not in the target yet.
    pub unfilled: u64,
    /// Writes whose counterpart was gone from the target, and was left so (`when_target_gone: skip`), since the start.
    pub left_gone: u64,
    /// Deletes that were not made, because the bridge is not known to have created the counterpart (`may_delete: created`),
    /// since the start.
    pub kept: u64,
    /// Calls of the REST API to both orgs.
    pub api_calls: u64,
    pub watermark: Seq,
    /// 0 when nothing is unsettled, else the age of the oldest unsettled change.
    pub lag: Duration,
    /// It stopped by itself: why.
    pub halted: Option<String>,
}

/// What the source records of a pipeline were told, since the start of the process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeedbackStatus {
    pub told: u64,
    /// The source org refused so many, and the last one with this code.
    pub refused: u64,
    pub code: Option<String>,
    /// What keeps them from being told.
    pub trouble: Option<String>,
}

/// An action, since the start of the process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActionStatus {
    /// Events that were looked at, one for each record that they name.
    pub taken: u64,
    /// Those for which it is not done.
    pub skipped: u64,
    pub done: u64,
    /// Failed actions that a person has to look at, of all times.
    pub failed: u64,
    /// Events that wait for it to be done.
    pub waiting: u64,
    pub in_flight: u64,
    pub watermark: Seq,
    /// For all that was journaled it is done, failed, or not to be done.
    pub caught_up: bool,
    /// 0 when nothing waits, else the age of the oldest event that does.
    pub lag: Duration,
    /// What keeps it from being done, and what to do about it.
    pub trouble: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubscriptionStatus {
    /// Events that the org delivered, doubles included.
    pub received: u64,
    pub journaled: u64,
    /// The org's time of the last proof of being live and caught up.
    pub live_until: Option<Timestamp>,
    /// Events that could not be read and were left out. Each is in the log.
    pub undecodable: u64,
    pub state: State,
    /// A truth probe found changes that no event told of: shown in place of `live`.
    pub behind: Option<String>,
    pub transport: Option<Transport>,
    /// By our clock: when the last event came, and when the last frame of any kind.
    pub last_event: Option<Timestamp>,
    pub last_frame: Option<Timestamp>,
}

impl SubscriptionStatus {
    /// In words.
    pub fn shown(&self) -> String {
        match (&self.state, &self.behind) {
            (State::Live, Some(why)) => format!("behind: {why}"),
            (state, _) => state.to_string(),
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrgStatus {
    /// The id that the org's name is tied to.
    pub org_id: Option<String>,
    /// Another org's id, found behind the login. Nothing is asked of it until it is accepted.
    pub other_org_id: Option<String>,
    /// What keeps the bridge from the org, and what to do about it.
    pub trouble: Option<String>,
    /// The trouble is that the org refuses the login, and will until a person mends it.
    pub login_refused: bool,
    /// None before the org has said anything of it.
    pub api: Option<ApiStatus>,
    /// Events that all subscribers of the org were delivered within the day, and the limit; none where it does not say.
    pub deliveries: Option<Quota>,
}

/// The API calls of an org within 24 hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiStatus {
    /// By all its clients.
    pub used: u64,
    pub limit: u64,
    /// Left to others; none: nothing is counted (`api_budget: off`).
    pub kept: Option<u64>,
    /// When the budget is used up if things go on as they are; none: it lasts.
    pub used_up_at: Option<Timestamp>,
    /// No calls are made before: when the org is asked how things are, and why.
    pub waiting: Option<(Timestamp, String)>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetStatus {
    /// Everything that was journaled is settled, and nothing is suspect.
    pub caught_up: bool,
    /// Records whose last answer was lost, and that are written once more.
    pub suspect: u64,
    /// What keeps the target from working, and what to do about it.
    pub trouble: Option<String>,
}

/// Where the stages write their part of the status. Clones share it.
#[derive(Debug, Clone)]
pub struct Board {
    status: Arc<watch::Sender<Status>>,
    org: Option<OrgName>,
}

impl Default for Board {
    fn default() -> Self {
        Self { status: Arc::new(watch::Sender::new(Status::default())), org: None }
    }
}

impl Board {
    /// The same board for the subscriptions of one source org.
    pub fn of(&self, org: &OrgName) -> Self {
        Self { status: self.status.clone(), org: Some(org.clone()) }
    }

    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    pub fn update(&self, change: impl FnOnce(&mut Status)) {
        self.status.send_modify(change);
    }

    pub fn org(&self, name: &OrgName, change: impl FnOnce(&mut OrgStatus)) {
        self.update(|status| change(status.orgs.entry(name.clone()).or_default()));
    }

    /// What a subscription received, and how much of it was new.
    pub fn journaled(&self, channel: &Channel, received: u64, journaled: u64, live: Option<Timestamp>) {
        self.subscription(channel, |subscription| {
            subscription.received += received;
            subscription.journaled += journaled;
            subscription.live_until = subscription.live_until.max(live);
        });
    }

    /// The org's time up to which a subscription is known to have been live since the start of the process.
    pub fn live_until(&self, channel: &Channel) -> Option<Timestamp> {
        let key = (self.org.clone()?, channel.clone());
        self.status.borrow().subscriptions.get(&key)?.live_until
    }

    pub fn subscription(&self, channel: &Channel, change: impl FnOnce(&mut SubscriptionStatus)) {
        let Some(org) = &self.org else { return };
        self.update(|status| change(status.subscriptions.entry((org.clone(), channel.clone())).or_default()));
    }
}
