//! The journal is kept as long as the config wants it, and no longer.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::config::Retain;
use crate::event::{Seq, Timestamp};
use crate::store::{Store, StoreError};

/// Entries in one transaction: whoever else wants to write waits for no more than that.
const STRETCH: usize = 200;

/// Deletes every so often what is too old, or too much, until cancelled.
///
/// # Errors
/// When the store fails.
pub(super) async fn run<S: Store>(
    store: S,
    retain: Retain,
    every: Duration,
    cancel: CancellationToken,
) -> Result<(), StoreError> {
    loop {
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            () = tokio::time::sleep(every) => {}
        }
        let (mut after, mut events) = (Seq::ZERO, 0);
        while !cancel.is_cancelled() {
            let trimmed = store.trim_journal(retain, Timestamp::now(), after, STRETCH).await?;
            events += trimmed.entries;
            after = trimmed.last;
            if trimmed.done {
                break;
            }
        }
        if events > 0 {
            info!(events, "old events were deleted from the journal");
        }
    }
}
