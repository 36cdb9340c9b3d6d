//! What the store makes of what a transport hands over, in virtual time.

use std::time::Duration;

use tempfile::TempDir;

use super::retention::RetentionClock;
use crate::event::{Arrival, Channel, OrgName, Timestamp};
use crate::store::{Gap, GapKind, Mended, Position, Sqlite, Store, SubscriptionId};

/// One subscription in a state file of its own. The org's clock and ours agree.
pub struct Kept {
    store: Sqlite,
    id: SubscriptionId,
    channel: Channel,
    clock: RetentionClock,
    _directory: TempDir,
}

impl Kept {
    pub async fn new(channel: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&directory.path().join("state.db")).unwrap();
        let channel: Channel = channel.parse().unwrap();
        let id = store.subscription(&Self::org(), &channel).await.unwrap().id;
        Self { store, id, channel, clock: RetentionClock::default(), _directory: directory }
    }

    fn org() -> OrgName {
        "source".parse().unwrap()
    }

    /// Until now nobody had a reason to warn; and this arrives.
    pub async fn take(&mut self, arrivals: Vec<Arrival>, now: Timestamp) {
        let proof = self.position().await.proof();
        assert_eq!(self.clock.due(proof, self.channel.retention(), now), None, "at {now}, proof {proof:?}");
        self.store.append(self.id, arrivals, now).await.unwrap();
    }

    pub async fn position(&self) -> Position {
        let rows = self.store.subscriptions().await.unwrap();
        rows.into_iter().find(|row| row.id == self.id).unwrap().position
    }

    pub async fn gaps(&self) -> Vec<Gap> {
        self.store.gaps().await.unwrap()
    }

    /// The truth probe has compared everything up to there.
    pub async fn probed(&mut self, until: Timestamp) {
        let object = self.channel.object().unwrap();
        self.take(vec![Arrival::Probed { object, until }], until).await;
    }

    /// No gap is left, and this closed the one that there was.
    pub async fn assert_mended(&self, by: Mended) {
        assert_eq!(self.gaps().await, []);
        let mended = self.store.mended_gaps(9).await.unwrap();
        assert_eq!(mended.iter().map(|gap| gap.closed.unwrap().by).collect::<Vec<_>>(), [by]);
    }

    /// The one gap is the short time from the last proof until it was live again: of the quiet days nothing is missing.
    pub async fn assert_short_window(&self, proof: Timestamp, at_most: Duration) {
        let gaps = self.gaps().await;
        let [gap] = &gaps[..] else { panic!("{gaps:?}") };
        assert_eq!((gap.kind, gap.from), (GapKind::Position, Some(proof)));
        assert!(gap.to.is_some_and(|to| to <= proof.plus(at_most)), "{gap:?}");
    }
}
