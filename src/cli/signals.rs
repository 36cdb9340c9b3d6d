//! Ctrl-C and SIGTERM: the first stops in order, the second Ctrl-C leaves at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Cancels the token at the first signal. Lives as long as the returned set.
///
/// # Errors
/// When the signals cannot be listened to.
pub fn listen(cancel: CancellationToken) -> std::io::Result<JoinSet<()>> {
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut terminations = signal(SignalKind::terminate())?;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut interrupted = false;
        loop {
            tokio::select! {
                _ = interrupts.recv() => {
                    if interrupted {
                        // 128 + SIGINT. What is in flight is in the state file.
                        std::process::exit(130);
                    }
                    interrupted = true;
                    eprintln!("Stopping: requests in flight are settled. Press Ctrl-C again to leave at once.");
                }
                _ = terminations.recv() => {}
            }
            cancel.cancel();
        }
    });
    Ok(tasks)
}
