//! What holds for any sequence of arrivals.

use proptest::prelude::*;
use proptest::sample::Index;

use super::Backend;
use super::given::*;
use crate::event::Arrival;
use crate::event::{ChangeKind, Seq, Timestamp};
use crate::store::{Entry, Gap, Position, Store};

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
        2 => (0..9_i64).prop_map(|at| Arrival::Live { until: Timestamp(NOW.0 + at) }),
        1 => (1..5_u32).prop_map(|id| Arrival::Passed { replay_id: replay_id(id), events: 1 }),
        1 => (0..9_i64).prop_map(|at| Arrival::Refused { at: Timestamp(NOW.0 + at) }),
    ]
}

#[derive(Debug, PartialEq)]
struct Outcome {
    entries: Vec<Entry>,
    gaps: Vec<Gap>,
    position: Position,
    journaled: u64,
    doubles: u64,
}

/// What the journal holds after these groups.
async fn outcome<B: Backend>(groups: Vec<Vec<Arrival>>) -> Outcome {
    let store = B::empty().open().await;
    let subscription = subscribed(&store).await;
    let (mut journaled, mut doubles) = (0, 0);
    for group in groups {
        let appended = store.append(subscription, group, NOW).await.unwrap();
        journaled += appended.journaled;
        doubles += appended.doubles;
    }
    let pipeline = accounts(&store).await.id;
    Outcome {
        entries: store.page(pipeline, Seq::ZERO, 1000).await.unwrap().entries,
        gaps: store.gaps().await.unwrap(),
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
        let changes = arrivals.iter().filter(|arrival| matches!(arrival, Arrival::Change(_))).count();
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
