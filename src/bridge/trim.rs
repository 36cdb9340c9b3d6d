//! The journal is kept as long as the config wants it, and no longer.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::sweep::Sweep;
use crate::config::Retain;
use crate::event::{Seq, Timestamp};
use crate::store::{Store, StoreError};

/// Entries in one transaction: whoever else wants to write waits for no more than that.
const STRETCH: usize = 200;

/// Deletes what is too old, or too much, at once and every so often, until cancelled.
///
/// # Errors
/// When the store fails.
pub(super) async fn run<S: Store>(
    store: S,
    retain: Retain,
    every: Duration,
    cancel: CancellationToken,
) -> Result<(), StoreError> {
    let mut sweep = Sweep::new(Seq::ZERO, every);
    loop {
        let events = round(&store, retain, &mut sweep, Instant::now(), &cancel).await?;
        if events > 0 {
            info!(events, "old events were deleted from the journal");
        }
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            () = tokio::time::sleep(every) => {}
        }
    }
}

/// How many went.
async fn round<S: Store>(
    store: &S,
    retain: Retain,
    sweep: &mut Sweep<Seq>,
    now: Instant,
    cancel: &CancellationToken,
) -> Result<u64, StoreError> {
    let (mut after, mut events, mut all_pinned) = (sweep.begin(now), 0, true);
    while !cancel.is_cancelled() {
        let trimmed = store.trim_journal(retain, Timestamp::now(), after, STRETCH).await?;
        events += trimmed.entries;
        after = trimmed.last;
        if all_pinned {
            sweep.left(trimmed.pinned_to);
            all_pinned = trimmed.pinned_to == trimmed.last;
        }
        if trimmed.done {
            break;
        }
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Sqlite;
    use crate::store::contract::given::{self, NOW, arrivals, settled, subscribed};

    const MONTH: Retain = Retain { age: Some(Duration::from_secs(30 * 24 * 3_600)), size: None };

    async fn entries(store: &Sqlite) -> u64 {
        store.journal_figures().await.unwrap().entries
    }

    #[tokio::test]
    async fn what_is_too_old_goes_as_soon_as_the_bridge_runs() {
        let store = Sqlite::in_memory().unwrap();
        store.append(subscribed(&store).await, arrivals(1..=3), NOW).await.unwrap();
        let gone = async {
            while entries(&store).await > 0 {
                tokio::task::yield_now().await;
            }
        };
        let never = Duration::from_secs(365 * 24 * 3_600);
        tokio::select! {
            ended = run(store.clone(), MONTH, never, CancellationToken::new()) => panic!("{ended:?}"),
            () = gone => {}
        }
    }

    #[tokio::test]
    async fn what_a_target_that_is_away_pins_is_not_looked_at_in_each_round() {
        let store = Sqlite::in_memory().unwrap();
        let pipeline = given::accounts(&store).await.id;
        store.append(subscribed(&store).await, arrivals(1..=450), NOW).await.unwrap();
        let (mut sweep, cancel, start) =
            (Sweep::new(Seq::ZERO, Duration::from_secs(3_600)), CancellationToken::new(), Instant::now());
        let day = Duration::from_secs(24 * 3_600);
        assert_eq!(round(&store, MONTH, &mut sweep, start, &cancel).await.unwrap(), 0);
        assert_eq!(sweep.begin(start), Seq(450));
        settled(&store, pipeline, 450).await;
        store.append(subscribed(&store).await, arrivals(451..=460), NOW).await.unwrap();
        settled(&store, pipeline, 460).await;
        assert_eq!(round(&store, MONTH, &mut sweep, start + day / 2, &cancel).await.unwrap(), 10);
        assert_eq!(round(&store, MONTH, &mut sweep, start + day, &cancel).await.unwrap(), 450, "now and then");
    }
}
