//! A thread that owns a connection and runs what it is sent, so that no call blocks the runtime.
//!
//! A call runs, then waits for its transaction to end, and only then answers: see [`super::writer`] and [`one_by_one`].

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::store::StoreError;

/// Why a transaction did not happen; told to each call that was in it.
pub(super) type Lost = Arc<rusqlite::Error>;

/// What is left of a call that ran: tells the caller, once it is known whether the transaction happened.
pub(super) type Answer = Box<dyn FnOnce(Result<(), Lost>) + Send>;

/// What a caller wants done; without a connection it only answers.
pub(super) type Call = Box<dyn FnOnce(Result<&Connection, Lost>) -> Answer + Send>;

/// Dropping it lets the thread do what is queued, and waits for its end.
pub(super) struct Worker {
    calls: Option<Sender<Call>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// `run` ends when the channel closes.
    pub fn spawn(
        name: &str,
        db: Connection,
        run: impl FnOnce(&Connection, &Receiver<Call>) + Send + 'static,
    ) -> std::io::Result<Self> {
        // Not bounded: each caller waits for its answer, so no more can queue than there are callers.
        let (calls, queue) = mpsc::channel();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || run(&db, &queue))?;
        Ok(Self { calls: Some(calls), thread: Some(thread) })
    }

    /// Runs `work` on the thread. A caller that stops waiting does not undo what it asked for.
    pub async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (tell, told) = oneshot::channel();
        let sent = self.calls.as_ref().is_some_and(|calls| calls.send(call(work, tell)).is_ok());
        if !sent {
            return Err(gone());
        }
        told.await.map_err(|_| gone())?
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.calls = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the state file panicked");
        }
    }
}

/// A call that does `work` in a savepoint of its own, so that its failure harms no neighbour.
pub(super) fn call<T: Send + 'static>(
    work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    tell: oneshot::Sender<Result<T, StoreError>>,
) -> Call {
    Box::new(move |db| {
        let result = match db {
            Ok(db) => in_savepoint(db, work),
            Err(lost) => Err(StoreError::Database(Box::new(lost))),
        };
        Box::new(move |happened| {
            let result = match (happened, result) {
                (Err(lost), Ok(_)) => Err(StoreError::Database(Box::new(lost))),
                (_, result) => result,
            };
            // Nobody may be waiting any more.
            let _ = tell.send(result);
        })
    })
}

fn in_savepoint<T>(db: &Connection, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
    db.execute_batch("SAVEPOINT call")?;
    let result = work(db);
    if result.is_ok() {
        db.execute_batch("RELEASE call")?;
    } else if !db.is_autocommit() {
        // Where SQLite itself gave up the whole transaction, the savepoint went with it.
        db.execute_batch("ROLLBACK TO call; RELEASE call")?;
    }
    result
}

/// Runs each call in a transaction of its own: one snapshot for each read.
pub(super) fn one_by_one(db: &Connection, calls: &Receiver<Call>) {
    while let Ok(call) = calls.recv() {
        match db.execute_batch("BEGIN") {
            Ok(()) => {
                let answer = call(Ok(db));
                answer(end(db));
            }
            Err(error) => call(Err(Arc::new(error)))(Ok(())),
        }
    }
}

/// Commits, or leaves the connection without a transaction.
pub(super) fn end(db: &Connection) -> Result<(), Lost> {
    let committed = db.execute_batch("COMMIT").map_err(Arc::new);
    if committed.is_err() && !db.is_autocommit() {
        // The next BEGIN would say what is wrong.
        let _ = db.execute_batch("ROLLBACK");
    }
    committed
}

fn gone() -> StoreError {
    StoreError::Database("the thread of the state file has ended".into())
}
