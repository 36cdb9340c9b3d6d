//! What holds for any sequence of arrivals.

use proptest::prelude::*;
use proptest::sample::Index;

use super::Backend;
use super::given::*;
pub use super::trimming::nothing_that_is_needed_goes_and_everything_else_that_is_old_does;
use std::collections::HashSet;
use std::time::Duration;

use crate::event::{Arrival, ChangeKind, EventKey, ReplayId, Seq, Timestamp, Transport, Window, WindowCause};
use crate::store::{Entry, Gap, GapKind, PipelineId, Position, Store, SubscriptionId};

/// A backend may have to write to a disk.
fn config() -> ProptestConfig {
    ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() }
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

/// Few numbers, so that doubles, shared ids and proofs come up.
fn arrival() -> impl Strategy<Value = Arrival> {
    prop_oneof![
        8 => (1..12_u32, 1..5_u32, any::<bool>()).prop_map(|(number, id, wildcard)| {
            let event = event(number).replay(id);
            if wildcard && number == 5 { event.wildcard().arrives() } else { event.arrives() }
        }),
        1 => (1..12_u32).prop_map(|number| event(number).kind(ChangeKind::GapOverflow).arrives()),
        1 => (1..12_u32).prop_map(|number| event(number).kind(ChangeKind::GapUpdate).arrives()),
        2 => (0..9_i64).prop_map(|at| Arrival::Live { until: Timestamp(NOW.0 + at) }),
        1 => (1..5_u32, 0..2_u64).prop_map(|(id, events)| Arrival::Passed { replay_id: replay_id(id), events }),
        1 => (0..9_i64).prop_map(|at| Arrival::Refused { at: Timestamp(NOW.0 + at) }),
        1 => (0..9_i64).prop_map(|at| Arrival::Skipped { at: Timestamp(NOW.0 + at) }),
        1 => (1..5_u32, any::<bool>()).prop_map(|(number, named)| {
            let change = named.then(|| event(number).kind(ChangeKind::GapUpdate));
            Arrival::Undecodable(unreadable(number, change))
        }),
        1 => (1..12_u32, any::<bool>()).prop_map(|(number, missed)| {
            Arrival::Found { change: event(number).kind(ChangeKind::GapUpdate).0, missed }
        }),
        1 => (0..9_i64).prop_map(|at| Arrival::Probed { object: name("Account"), until: Timestamp(NOW.0 + at) }),
        1 => (0..3_i64, 3..9_i64).prop_map(|(from, to)| {
            let [from, to] = [from, to].map(|at| Some(Timestamp(NOW.0 + at)));
            Arrival::Window(Window { cause: WindowCause::Missed, object: None, from, to, why: String::new() })
        }),
    ]
}

/// An arrival that can become an entry.
fn may_be_journaled(arrival: &Arrival) -> bool {
    match arrival {
        Arrival::Change(_) | Arrival::Found { .. } => true,
        Arrival::Undecodable(event) => event.change.is_some(),
        Arrival::Live { .. }
        | Arrival::Passed { .. }
        | Arrival::Refused { .. }
        | Arrival::Skipped { .. }
        | Arrival::Window(_)
        | Arrival::Probed { .. } => false,
    }
}

#[derive(Debug, PartialEq)]
struct Outcome {
    entries: Vec<Entry>,
    gaps: Vec<Gap>,
    mended: Vec<Gap>,
    position: Position,
    journaled: u64,
    doubles: u64,
}

/// What the journal holds after these groups.
async fn outcome<B: Backend>(groups: Vec<Vec<Arrival>>) -> Outcome {
    let store = B::empty().open().await;
    let (subscription, pipeline) = (subscribed(&store).await, accounts(&store).await.id);
    let (mut journaled, mut doubles) = (0, 0);
    for group in groups {
        let appended = store.append(subscription, group, NOW).await.unwrap();
        journaled += appended.journaled;
        doubles += appended.doubles;
    }
    Outcome {
        entries: store.page(pipeline, Seq::ZERO, 1000).await.unwrap().entries,
        gaps: store.gaps().await.unwrap(),
        mended: store.mended_gaps(1000).await.unwrap(),
        position: store.subscription(&source(), &channel()).await.unwrap().position,
        journaled,
        doubles,
    }
}

/// Any sequence of arrivals, split into any groups, gives the same journal, gaps and position.
pub fn groups_make_no_difference<B: Backend>() {
    let inputs = (prop::collection::vec(arrival(), 0..30), prop::collection::vec(any::<Index>(), 0..8));
    proptest!(config(), |((arrivals, cuts) in inputs)| {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(arrivals.len() + 1)).collect();
        cuts.extend([0, arrivals.len()]);
        cuts.sort_unstable();
        let groups = cuts.windows(2).map(|cut| arrivals[cut[0]..cut[1]].to_vec()).collect();
        let (split, whole) = wait(async {
            (outcome::<B>(groups).await, outcome::<B>(vec![arrivals.clone()]).await)
        });
        prop_assert_eq!(&split, &whole);
        let changes = arrivals.iter().filter(|arrival| may_be_journaled(arrival)).count();
        prop_assert_eq!(whole.journaled + whole.doubles, changes as u64);
    });
}

/// A bus on which events share replay ids; the bridge dies again and again behind any event, and goes on from what
/// is saved, or from the earliest. In the end each event was journaled once, in the order of the bus.
pub fn a_crash_at_any_event_loses_none<B: Backend>() {
    let inputs = (prop::collection::vec(1..4_usize, 1..8), prop::collection::vec((1..9_usize, any::<bool>()), 1..8));
    proptest!(config(), |((sharing, lives) in inputs)| {
        let ids = (1..).zip(&sharing).flat_map(|(id, events)| std::iter::repeat_n(id, *events));
        let bus: Vec<(u32, u32)> = (1..).zip(ids).collect();
        wait(async {
            let backend = B::empty();
            for (events, live) in lives.into_iter().chain([(usize::MAX, true)]) {
                let store = backend.open().await;
                let subscription = store.subscription(&source(), &channel()).await.unwrap();
                let from = subscription.position.replay_id;
                let next = from.map_or(0, |from| bus.iter().rposition(|(_, id)| replay_id(*id) == from).unwrap() + 1);
                let upto = next.saturating_add(events).min(bus.len());
                for (number, id) in &bus[next..upto] {
                    let group = vec![event(*number).replay(*id).arrives()];
                    store.append(subscription.id, group, NOW).await.unwrap();
                }
                // Live is only who has all.
                if live && upto == bus.len() {
                    store.append(subscription.id, vec![Arrival::Live { until: NOW }], NOW).await.unwrap();
                }
            }
            let store = backend.open().await;
            let pipeline = accounts(&store).await.id;
            let entries = store.page(pipeline, Seq::ZERO, 1000).await.unwrap().entries;
            let journaled: Vec<_> = entries.into_iter().map(|entry| entry.change).collect();
            let sent: Vec<_> = bus.iter().map(|(number, id)| event(*number).replay(*id).0).collect();
            assert_eq!(journaled, sent);
        });
    });
}

/// What an event of the simulated bus is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Sort {
    Plain,
    Gap,
    Wildcard,
    Overflow,
    /// Nobody wants it.
    Foreign,
    Unreadable,
    /// Unreadable, but for its header.
    Headed,
}

#[derive(Debug, Clone)]
enum Step {
    /// An event, with the id of the one before it or a new one.
    Publish(Sort, bool),
    Deliver(usize),
    /// What a subscription that has all is told: live, or only an id.
    Quiet {
        keepalive: bool,
    },
    Crash,
    Hours(u8),
    Skip,
    OtherTransport,
    Probe,
}

fn step() -> impl Strategy<Value = Step> {
    let sort = prop_oneof![
        6 => Just(Sort::Plain),
        1 => Just(Sort::Gap),
        1 => Just(Sort::Wildcard),
        1 => Just(Sort::Overflow),
        2 => Just(Sort::Foreign),
        1 => Just(Sort::Unreadable),
        1 => Just(Sort::Headed),
    ];
    prop_oneof![
        10 => (sort, any::<bool>()).prop_map(|(sort, shares)| Step::Publish(sort, shares)),
        8 => (1..4_usize).prop_map(Step::Deliver),
        3 => any::<bool>().prop_map(|keepalive| Step::Quiet { keepalive }),
        3 => Just(Step::Crash),
        3 => (1..90_u8).prop_map(Step::Hours),
        1 => Just(Step::Skip),
        1 => Just(Step::OtherTransport),
        2 => Just(Step::Probe),
    ]
}

struct OnBus {
    number: u32,
    id: u32,
    sort: Sort,
    committed: Timestamp,
}

impl OnBus {
    fn event(&self) -> Event {
        let event = event(self.number).replay(self.id).records(&[account(self.number)]).committed(self.committed);
        match self.sort {
            Sort::Plain | Sort::Foreign | Sort::Unreadable => event,
            Sort::Gap | Sort::Headed => event.kind(ChangeKind::GapUpdate),
            Sort::Wildcard => event.wildcard().records(&[]),
            Sort::Overflow => event.kind(ChangeKind::GapOverflow).wildcard().records(&[]),
        }
    }

    fn arrival(&self) -> Arrival {
        let unreadable = |change| {
            Arrival::Undecodable(crate::event::Undecodable {
                replay_id: Some(replay_id(self.id)),
                ..unreadable(self.number, change)
            })
        };
        match self.sort {
            Sort::Plain | Sort::Gap | Sort::Wildcard | Sort::Overflow => self.event().arrives(),
            Sort::Foreign => Arrival::Passed { replay_id: replay_id(self.id), events: 1 },
            Sort::Unreadable => unreadable(None),
            Sort::Headed => unreadable(Some(self.event())),
        }
    }
}

/// An org that keeps its events for the retention, and a bridge that reads them and dies again and again.
struct World<B: Backend> {
    backend: B,
    store: Option<B::Store>,
    subscription: SubscriptionId,
    pipeline: PipelineId,
    bus: Vec<OnBus>,
    /// The next event that the subscription is given.
    next: usize,
    now: Timestamp,
    probed: Option<Timestamp>,
    transport: Transport,
    /// Nothing more comes with the last id.
    sealed: bool,
}

impl<B: Backend> World<B> {
    async fn new() -> Self {
        let backend = B::empty();
        let store = backend.open().await;
        let (subscription, pipeline) = (subscribed(&store).await, accounts(&store).await.id);
        store.append(subscription, vec![Arrival::Live { until: NOW }], NOW).await.unwrap();
        Self {
            backend,
            store: Some(store),
            subscription,
            pipeline,
            bus: Vec::new(),
            next: 0,
            now: NOW,
            probed: None,
            transport: Transport::Cometd,
            sealed: false,
        }
    }

    fn store(&self) -> &B::Store {
        self.store.as_ref().unwrap()
    }

    async fn append(&self, group: Vec<Arrival>) {
        self.store().append(self.subscription, group, self.now).await.unwrap();
    }

    /// The oldest event that the org still has.
    fn earliest(&self) -> usize {
        let limit = self.now.minus(channel().retention());
        self.bus.partition_point(|event| event.committed < limit)
    }

    fn behind(&self, id: &ReplayId) -> Option<usize> {
        let last = self.bus.iter().rposition(|event| replay_id(event.id) == *id)?;
        (last >= self.earliest()).then_some(last + 1)
    }

    /// The process is gone; another one subscribes from what is saved.
    async fn crash(&mut self) {
        self.store = None;
        self.store = Some(self.backend.open().await);
        self.subscribe().await;
    }

    async fn subscribe(&mut self) {
        let saved = self.store().subscription(&source(), &channel()).await.unwrap().position.replay_id;
        self.next = match saved.map(|id| self.behind(&id)) {
            Some(Some(next)) => next,
            Some(None) => {
                self.append(vec![Arrival::Refused { at: self.now }]).await;
                self.earliest()
            }
            None => self.earliest(),
        };
    }

    async fn deliver(&mut self, events: usize) {
        if self.next < self.earliest() {
            // No connection lives that long.
            self.subscribe().await;
        }
        let upto = self.next.saturating_add(events).min(self.bus.len());
        let group: Vec<_> = self.bus[self.next..upto].iter().map(OnBus::arrival).collect();
        if !group.is_empty() {
            self.append(group).await;
        }
        self.next = upto;
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Publish(sort, shares) => {
                let number = u32::try_from(self.bus.len()).unwrap() + 1;
                self.now = self.now.plus(Duration::from_secs(1));
                // Events that share an id share their commit.
                let (id, committed) = match self.bus.last() {
                    Some(last) if shares && !self.sealed => (last.id, last.committed),
                    last => (last.map_or(1, |last| last.id + 1), self.now),
                };
                self.bus.push(OnBus { number, id, sort, committed });
                self.sealed = false;
            }
            Step::Deliver(events) => self.deliver(events).await,
            Step::Quiet { keepalive } => {
                if self.next == self.bus.len() && self.next >= self.earliest() {
                    let said = match self.bus.last() {
                        Some(last) if keepalive => Arrival::Passed { replay_id: replay_id(last.id), events: 0 },
                        _ => Arrival::Live { until: self.now },
                    };
                    self.append(vec![said]).await;
                    self.sealed = true;
                }
            }
            Step::Crash => self.crash().await,
            Step::Hours(hours) => {
                self.now = self.now.plus(Duration::from_secs(3_600) * u32::from(hours));
                self.sealed = true;
            }
            Step::Skip => {
                self.append(vec![Arrival::Skipped { at: self.now }]).await;
                self.next = self.bus.len();
                self.sealed = true;
            }
            Step::OtherTransport => {
                self.transport = match self.transport {
                    Transport::Cometd => Transport::Pubsub,
                    Transport::Pubsub => Transport::Cometd,
                };
                self.store().received_by(self.subscription, self.transport, self.now).await.unwrap();
                self.subscribe().await;
            }
            Step::Probe => {
                let (entries, _) = self.known().await;
                let since = self.probed.replace(self.now).unwrap_or(self.now);
                let missing = self
                    .bus
                    .iter()
                    .filter(|event| event.committed > since && !entries.contains(&event.event().0.event_key()));
                let found = |event: &OnBus| Arrival::Found {
                    change: crate::event::Change {
                        replay_id: ReplayId(Vec::new()),
                        ..event.event().kind(ChangeKind::GapDelete).0
                    },
                    missed: true,
                };
                let mut group: Vec<_> = missing.filter(|event| event.sort != Sort::Foreign).map(found).collect();
                group.push(Arrival::Probed { object: name("Account"), until: self.now });
                self.append(group).await;
                self.sealed = true;
            }
        }
    }

    async fn known(&self) -> (HashSet<EventKey>, Vec<Gap>) {
        let entries = self.store().page(self.pipeline, Seq::ZERO, 10_000).await.unwrap().entries;
        (entries.iter().map(|entry| entry.change.event_key()).collect(), self.store().gaps().await.unwrap())
    }

    /// Each of the first so many events is nobody's, an entry, found, or in an open gap.
    async fn assert_accounted(&self, events: usize) {
        let (entries, gaps) = self.known().await;
        for event in &self.bus[..events] {
            let (told, found) = (event.event().0.event_key(), event.event().kind(ChangeKind::GapDelete).0.event_key());
            let in_gap = gaps.iter().any(|gap| match gap.kind {
                GapKind::Position | GapKind::Outage | GapKind::Skipped => {
                    gap.from.is_none_or(|from| from <= event.committed) && gap.to.is_none_or(|to| event.committed <= to)
                }
                GapKind::Undecodable => {
                    gap.evidence.as_ref().is_some_and(|evidence| evidence.digest == format!("digest-{}", event.number))
                }
                _ => false,
            });
            let fine = event.sort == Sort::Foreign || entries.contains(&told) || entries.contains(&found) || in_gap;
            assert!(fine, "event {} is lost; gaps: {gaps:?}", event.number);
        }
    }
}

/// Events are published, delivered, dropped by the org; the bridge dies, is away for days, is refused, skips, changes its
/// transport and probes. At any moment the saved id covers no event that is neither an entry nor in an open gap, and in
/// the end there is no such event at all.
pub fn every_event_is_an_entry_or_in_a_gap<B: Backend>() {
    proptest!(config(), |(steps in prop::collection::vec(step(), 0..60))| {
        wait(async {
            let mut world = World::<B>::new().await;
            for step in steps {
                world.step(step).await;
                let rows = world.store().subscriptions().await.unwrap();
                if let Some(id) = &rows[0].position.replay_id {
                    let covered = world.bus.iter().rposition(|event| replay_id(event.id) == *id);
                    world.assert_accounted(covered.map_or(0, |last| last + 1)).await;
                }
            }
            world.crash().await;
            world.deliver(usize::MAX).await;
            world.append(vec![Arrival::Live { until: world.now }]).await;
            world.assert_accounted(world.bus.len()).await;
        });
    });
}
