//! The thread that owns the connection. Calls that wait at the same time share one transaction and one sync to disk; each
//! has its own savepoint, so that one that fails does not harm its neighbours.

use std::sync::mpsc;
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::StoreError;
use super::file::Opened;

/// Calls in one transaction.
const GROUP_MAX: usize = 64;

/// Told after the commit, with its error if it failed.
type Reply = Box<dyn FnOnce(Result<(), String>) + Send>;
type Job = Box<dyn FnOnce(&Connection) -> Reply + Send>;

pub struct Worker {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    pub fn start(opened: Opened) -> Self {
        let (jobs, queue) = mpsc::channel();
        let thread = std::thread::spawn(move || work(opened, &queue));
        Self { jobs: Some(jobs), thread: Some(thread) }
    }

    /// Runs a call and returns when it is durable.
    pub async fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |db| {
            let result = in_savepoint(db, job);
            Box::new(move |committed| {
                let result = match committed {
                    Ok(()) => result,
                    Err(reason) => Err(StoreError::Database(reason.into())),
                };
                // Who no longer waits does not want to know.
                let _ = answer.send(result);
            })
        });
        let gone = || StoreError::Database("the store has stopped".into());
        self.jobs.as_ref().and_then(|jobs| jobs.send(job).ok()).ok_or_else(gone)?;
        answered.await.map_err(|_| gone())?
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A panic in it was seen by whoever called; there is nobody to tell here.
            let _ = thread.join();
        }
    }
}

fn in_savepoint<T>(
    db: &Connection,
    job: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    db.prepare_cached("SAVEPOINT call")?.execute([])?;
    match job(db) {
        Ok(value) => {
            db.prepare_cached("RELEASE call")?.execute([])?;
            Ok(value)
        }
        Err(error) => {
            db.execute_batch("ROLLBACK TO call; RELEASE call")?;
            Err(error)
        }
    }
}

fn work(opened: Opened, queue: &mpsc::Receiver<Job>) {
    let Opened { connection, lock } = opened;
    while let Ok(first) = queue.recv() {
        let waiting = std::iter::once(first).chain(queue.try_iter().take(GROUP_MAX - 1));
        let begun = connection.prepare_cached("BEGIN").and_then(|mut begin| begin.execute([]));
        if let Err(error) = begun {
            // Each call finds out by itself: its savepoint is its transaction then.
            tracing::error!(%error, "the state file refused to begin");
        }
        let replies: Vec<Reply> = waiting.map(|job| job(&connection)).collect();
        let committed = connection.execute_batch("COMMIT").map_err(|error| error.to_string());
        if committed.is_err() && !connection.is_autocommit() {
            // Nothing of it may stay: the callers are told that it failed.
            let _ = connection.execute_batch("ROLLBACK");
        }
        replies.into_iter().for_each(|reply| reply(committed.clone()));
    }
    if let Err((_, error)) = connection.close() {
        tracing::warn!(%error, "the state file was not closed in order");
    }
    drop(lock);
}
