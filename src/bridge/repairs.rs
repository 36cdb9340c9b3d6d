//! Gaps close by themselves: what they may have hidden is read again.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::event::Timestamp;
use crate::past::repair::{Step, steps};
use crate::store::{Mended, Store, StoreError};

/// Jobs that are over and may tell something of a gap that is open.
const ENDED_MAX: usize = 1_000;

/// Looks every so often which gaps can be repaired, adds jobs for them, and closes those that are mended, until cancelled.
///
/// # Errors
/// When the store fails.
pub(super) async fn run<S: Store>(
    store: S,
    asked: watch::Sender<u64>,
    every: Duration,
    cancel: CancellationToken,
) -> Result<(), StoreError> {
    loop {
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            () = tokio::time::sleep(every) => {}
        }
        let gaps = store.gaps().await?;
        if gaps.iter().all(|gap| gap.records > 0) {
            continue;
        }
        let mut jobs = store.open_jobs().await?;
        jobs.extend(store.ended_jobs(ENDED_MAX).await?);
        let (subscriptions, pipelines) = (store.subscriptions().await?, store.pipelines().await?);
        for step in steps(&gaps, &subscriptions, &pipelines, &jobs, Timestamp::now()) {
            match step {
                Step::Add { pipeline, work } => {
                    if store.add_job(pipeline, work, Timestamp::now()).await?.is_some() {
                        asked.send_modify(|moved| *moved += 1);
                    }
                }
                Step::Close { gap } => {
                    if store.close_gap(gap, Mended::Repair).await? {
                        info!(gap, "a gap is closed: what it may have hidden was read");
                    }
                }
            }
        }
    }
}
