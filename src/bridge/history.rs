//! What happened to records is forgotten when it is older than the config wants it kept.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::event::Timestamp;
use crate::store::{Store, StoreError};

/// How often it is looked whether something is too old.
const EVERY: Duration = Duration::from_secs(60 * 60);
/// Rows that go in one transaction: others wait for it.
const CHUNK: usize = 1_000;

/// Removes what is older than `age`, at once and every so often, until cancelled.
///
/// # Errors
/// When the store fails.
pub(super) async fn run<S: Store>(store: S, age: Duration, cancel: CancellationToken) -> Result<(), StoreError> {
    loop {
        let before = Timestamp::now().minus(age);
        let mut gone = 0;
        while !cancel.is_cancelled() {
            let rows = store.trim_history(before, CHUNK).await?;
            gone += rows;
            if rows < CHUNK as u64 {
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
