//! The only place that spawns stages, and that decides what the end of one means for the others.

use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info_span};

use super::BridgeError;

/// Named stages that stop together.
pub struct Stages {
    tasks: JoinSet<Result<(), BridgeError>>,
    names: Vec<(Id, String)>,
    cancel: CancellationToken,
}

impl Stages {
    pub fn new(cancel: CancellationToken) -> Self {
        Self { tasks: JoinSet::new(), names: Vec::new(), cancel }
    }

    pub fn spawn(&mut self, name: &str, stage: impl Future<Output = Result<(), BridgeError>> + Send + 'static) {
        let span = info_span!("stage", name);
        let id = self.tasks.spawn(stage.instrument(span)).id();
        self.names.push((id, name.to_owned()));
    }

    /// Until all have ended. The first error or panic cancels the others and is returned. After the grace period those
    /// that still run are named and aborted.
    pub async fn join(mut self, grace: Duration) -> Result<(), BridgeError> {
        let mut first: Option<BridgeError> = None;
        let mut deadline: Option<Instant> = None;
        loop {
            if self.cancel.is_cancelled() && deadline.is_none() {
                deadline = Some(Instant::now() + grace);
            }
            let over = async {
                match deadline {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let ended = tokio::select! {
                ended = self.tasks.join_next_with_id() => ended,
                () = self.cancel.cancelled(), if deadline.is_none() => continue,
                () = over => {
                    self.tasks.abort_all();
                    let running: Vec<String> = self.names.drain(..).map(|(_, name)| name).collect();
                    return Err(first.unwrap_or(BridgeError::Grace(running.join(", "))));
                }
            };
            let (id, result) = match ended {
                None => return first.map_or(Ok(()), Err),
                Some(Ok((id, result))) => (id, result),
                Some(Err(panicked)) => (panicked.id(), Err(BridgeError::Stage(panicked.to_string()))),
            };
            let name = self.names.iter().position(|(known, _)| *known == id).map(|at| self.names.swap_remove(at).1);
            if let Err(error) = result {
                error!(stage = name.unwrap_or_default(), %error, "stopped");
                first.get_or_insert(error);
                self.cancel.cancel();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_error_stops_the_others_and_is_returned() {
        let cancel = CancellationToken::new();
        let mut stages = Stages::new(cancel.clone());
        stages.spawn("fails", async { Err(BridgeError::Stage("broken".to_owned())) });
        let token = cancel.clone();
        stages.spawn("waits", async move {
            token.cancelled().await;
            Ok(())
        });
        let ended = stages.join(Duration::from_secs(1)).await;
        assert!(matches!(ended, Err(BridgeError::Stage(reason)) if reason == "broken"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stage_that_does_not_stop_is_named() {
        let cancel = CancellationToken::new();
        let mut stages = Stages::new(cancel.clone());
        stages.spawn("stuck", std::future::pending());
        cancel.cancel();
        let ended = stages.join(Duration::from_secs(1)).await;
        assert!(matches!(ended, Err(BridgeError::Grace(names)) if names == "stuck"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_an_error_like_any_other() {
        let mut stages = Stages::new(CancellationToken::new());
        stages.spawn("panics", async { panic!("a bug") });
        assert!(matches!(stages.join(Duration::from_secs(1)).await, Err(BridgeError::Stage(_))));
    }
}
