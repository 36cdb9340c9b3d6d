//! One login for each org that has work: all its stages wait for it.
//!
//! A login that is refused for good is a trouble of that org alone: it is shown with its remedy and tried again, and whatever
//! needs other orgs only goes on. But a bridge of which no org lets it in at the first try ends, for it is not set up yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::BridgeError;
use crate::org::{Org, OrgError};
use crate::retry::Backoff;
use crate::status::Board;
use crate::store::Store;

/// How long to wait between tries: at first, and at most.
pub struct Pauses {
    /// While the org cannot be reached.
    transient: (Duration, Duration),
    /// While it refuses the login. A person has to do something, and failed logins are counted there.
    refused: (Duration, Duration),
}

impl Default for Pauses {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { transient: (Duration::from_millis(500), seconds(60)), refused: (seconds(60), seconds(600)) }
    }
}

/// Whether an org is logged in. Clones wait for the same login.
#[derive(Clone)]
pub struct Gate(watch::Receiver<bool>);

impl Gate {
    /// Whether it is logged in by now.
    pub fn is_open(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for the login. False: cancelled before.
    pub async fn passed(&self, cancel: &CancellationToken) -> bool {
        let mut gate = self.0.clone();
        let open = tokio::select! {
            () = cancel.cancelled() => return false,
            open = gate.wait_for(|open| *open) => open.is_ok(),
        };
        if !open {
            // Another org is behind the login: whoever waits is stopped.
            cancel.cancelled().await;
        }
        open
    }
}

/// How many orgs have not been refused for good at their first try. Clones share it.
#[derive(Clone)]
pub struct FirstTries(Arc<AtomicUsize>);

impl FirstTries {
    pub fn of(orgs: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(orgs)))
    }

    /// None of them is the last, for the first tries are over.
    pub fn passed() -> Self {
        Self::of(usize::MAX)
    }

    /// One more was refused. Whether it was the last.
    fn refused(&self) -> bool {
        self.0.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

/// What is to be opened by a login, and who waits for it.
pub fn gate() -> (watch::Sender<bool>, Gate) {
    let (open, opened) = watch::channel(false);
    (open, Gate(opened))
}

/// Logs in, however long it takes, makes sure that it is the org that the state belongs to, and opens the gate.
///
/// # Errors
/// When the store fails, or every org refuses its first login for good.
pub async fn log_in<S: Store>(
    org: &Org,
    store: &S,
    board: &Board,
    firsts: FirstTries,
    open: watch::Sender<bool>,
    pauses: Pauses,
    cancel: &CancellationToken,
) -> Result<(), BridgeError> {
    let name = org.name();
    let mut transient = Backoff::new(pauses.transient.0, pauses.transient.1);
    let mut refused = Backoff::new(pauses.refused.0, pauses.refused.1);
    let (mut first, mut said) = (true, None);
    loop {
        let session = tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            session = org.session() => session,
        };
        let delay = match session {
            Ok(session) => {
                store.pin_org(name, &session.org_id).await?;
                board.org(name, |shown| {
                    shown.org_id = Some(session.org_id.clone());
                    (shown.other_org_id, shown.trouble, shown.login_refused) = (None, None, false);
                });
                if said.is_some() {
                    info!(org = %name, "logged in after all");
                }
                open.send_replace(true);
                return Ok(());
            }
            // Told by whoever works for this org.
            Err(OrgError::OtherOrg { .. }) => return Ok(()),
            Err(error) if error.is_transient() => {
                let delay = transient.next_delay();
                warn!(org = %name, %error, ?delay, "login failed, trying again");
                board.org(name, |shown| {
                    (shown.trouble, shown.login_refused) = (Some(format!("login failed: {error}")), false);
                });
                delay
            }
            Err(error) => {
                if first && firsts.refused() {
                    return Err(BridgeError::Login { org: name.clone(), error });
                }
                let delay = refused.next_delay();
                let remedy = error.remedy();
                if said.as_ref() == Some(&error) {
                    debug!(org = %name, %error, ?delay, "still refused");
                } else {
                    error!(
                        org = %name, %error,
                        "the org does not let the bridge in: {remedy}. It is tried again every few minutes; whatever needs \
                         other orgs only goes on"
                    );
                }
                board.org(name, |shown| {
                    let trouble = format!("{error}: {remedy}. Tried again every few minutes");
                    (shown.trouble, shown.login_refused) = (Some(trouble), true);
                });
                said = Some(error);
                delay
            }
        };
        first = false;
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            () = tokio::time::sleep(delay) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;
    use serde_json::json;

    use super::*;
    use crate::org::testing::{Reply, ScriptedOrg, token_response};
    use crate::store::Sqlite;

    const SOON: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(5));

    /// Refuses so many logins for good, and then lets everybody in.
    async fn org(refusals: usize) -> ScriptedOrg {
        let tries = AtomicUsize::new(0);
        ScriptedOrg::raw(move |_| match tries.fetch_add(1, Ordering::SeqCst) {
            tries if tries < refusals => {
                Reply::json(400, &json!({"error": "invalid_client", "error_description": "invalid client credentials"}))
            }
            tries => Reply::json(200, &token_response("http://127.0.0.1:1", tries)),
        })
        .await
    }

    async fn logged_in(refusals: usize, orgs: usize) -> (Result<(), BridgeError>, bool, usize, Board) {
        let directory = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&directory.path().join("state.db")).unwrap();
        let (server, board, cancel) = (org(refusals).await, Board::default(), CancellationToken::new());
        let (open, gate) = gate();
        let pauses = Pauses { transient: SOON, refused: SOON };
        let ended = log_in(&server.org(), &store, &board, FirstTries::of(orgs), open, pauses, &cancel).await;
        cancel.cancel();
        let open = *gate.0.borrow();
        (ended, open, server.all().len(), board)
    }

    #[tokio::test]
    async fn a_login_that_is_refused_is_tried_again_until_it_is_not_and_then_the_trouble_is_over() {
        let (ended, open, tries, board) = logged_in(3, 2).await;
        assert!(ended.is_ok() && open, "{ended:?}");
        assert_eq!(tries, 4);
        let status = board.watch().borrow().clone();
        let shown = &status.orgs[&"hq".parse().unwrap()];
        assert_eq!((shown.trouble.clone(), shown.login_refused), (None, false));
    }

    #[tokio::test]
    async fn where_no_org_at_all_lets_the_bridge_in_it_ends_at_the_first_try() {
        let (ended, open, tries, _) = logged_in(3, 1).await;
        let Err(BridgeError::Login { error, .. }) = ended else { panic!("{ended:?}") };
        assert!(error.to_string().contains("consumer secret") && !open);
        assert_eq!(tries, 1);
    }

    #[tokio::test]
    async fn who_waits_where_nobody_logs_in_any_more_waits_until_the_end() {
        let (open, gate) = gate();
        drop(open);
        let cancel = CancellationToken::new();
        let mut waiter = pin!(gate.passed(&cancel));
        assert_eq!(waiter.as_mut().now_or_never(), None);
        cancel.cancel();
        assert!(!waiter.await);
    }
}
