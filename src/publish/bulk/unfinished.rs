//! Jobs of a bridge that is gone. While one may still write, nothing newer may.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::run::new_backoff;
use crate::event::Timestamp;
use crate::org::{CallError, JobId, Org, RunningJob};
use crate::store::{Store, StoreError};

/// After it no job is worked on any more, whatever the org says (facts: bulk2.md section 4).
const LIFE: Duration = Duration::from_secs(24 * 3_600);

/// Ends each job that was begun and of whose end nothing is known. What it has done is found as that of any request whose answer
/// is lost. False: cancelled before all have ended. `trouble` is told why the org waits.
///
/// # Errors
/// When the store fails.
pub async fn end_unfinished<S: Store>(
    org: &Org,
    store: &S,
    cancel: &CancellationToken,
    trouble: impl Fn(String),
) -> Result<bool, StoreError> {
    for known in store.bulk_jobs(org.name()).await? {
        let (job, object) = (known.job, known.object);
        let mut backoff = new_backoff();
        let mut told = false;
        loop {
            if Timestamp::now() >= known.begun_at.plus(LIFE) {
                break;
            }
            let failure = match ended(org, &job).await {
                Ok(true) => break,
                Ok(false) => "it is still worked on".to_owned(),
                Err(error) => error.to_string(),
            };
            let why = format!(
                "the Bulk API job {job} ({object}) of the last run must end before anything is written: {failure}"
            );
            if !std::mem::replace(&mut told, true) {
                warn!(target = %org.name(), "{why}");
            }
            trouble(why);
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(false),
                () = sleep(backoff.next_delay()) => {}
            }
        }
        info!(target = %org.name(), %job, %object, "a Bulk API job of the last run has ended");
        store.bulk_ended(&job).await?;
    }
    Ok(true)
}

/// Aborts it if that is still possible. Whether it has ended.
async fn ended(org: &Org, job: &JobId) -> Result<bool, CallError> {
    let is_final = |job: &RunningJob| job.state.is_final();
    match org.abort_job(job).await {
        Ok(running) if is_final(&running) => return Ok(true),
        Err(error) if error.is_not_found() => return Ok(true),
        // Refused where it has ended by itself.
        Ok(_) | Err(_) => {}
    }
    match org.job(job).await {
        Ok(running) => Ok(is_final(&running)),
        Err(error) if error.is_not_found() => Ok(true),
        Err(error) => Err(error),
    }
}
