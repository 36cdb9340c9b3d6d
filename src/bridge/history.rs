//! What happened to records is forgotten when it is older than the config wants it kept.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::sweep::Sweep;
use crate::event::Timestamp;
use crate::store::{Store, StoreError};

/// How often it is looked whether something is too old.
const EVERY: Duration = Duration::from_secs(60 * 60);
/// Rows that are looked at in one transaction: others wait for it.
const CHUNK: usize = 1_000;

/// Removes what is older than `age`, but what happened to a record last, at once and every so often, until cancelled.
///
/// # Errors
/// When the store fails.
pub(super) async fn run<S: Store>(store: S, age: Duration, cancel: CancellationToken) -> Result<(), StoreError> {
    let mut sweep = Sweep::new(0, EVERY);
    loop {
        let before = Timestamp::now().minus(age);
        let mut after = sweep.begin(Instant::now());
        let mut gone = 0;
        while !cancel.is_cancelled() {
            let trimmed = store.trim_history(before, after, CHUNK).await?;
            gone += trimmed.rows;
            after = trimmed.last;
            sweep.left(after);
            if trimmed.done {
                break;
            }
        }
        if gone > 0 {
            info!(rows = gone, "what happened to records long ago is forgotten");
        }
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}
