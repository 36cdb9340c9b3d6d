//! Something that an org is asked for once, however many want to know it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::error::CallError;

/// An answer that is remembered. Whoever asks while somebody asks gets what comes of it, also its failure; a failure
/// is not remembered.
#[derive(Debug)]
pub(super) struct Single<T> {
    known: Mutex<Option<T>>,
    /// Whoever holds it may ask; within, why the last ask failed, if it did.
    failed: tokio::sync::Mutex<Option<CallError>>,
    /// How many asks have ended.
    ended: AtomicU64,
}

impl<T> Default for Single<T> {
    fn default() -> Self {
        Self { known: Mutex::default(), failed: tokio::sync::Mutex::default(), ended: AtomicU64::new(0) }
    }
}

impl<T: Clone> Single<T> {
    /// What is known, or else what the org answers.
    pub async fn get(&self, ask: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let ended = self.ended.load(Ordering::Acquire);
        // A caller that is cancelled while it asks lets go of the lock, and the next one asks.
        let mut failed = self.failed.lock().await;
        if let Some(known) = self.known() {
            return Ok(known);
        }
        // An ask ended while we waited for it.
        if self.ended.load(Ordering::Acquire) != ended
            && let Some(error) = &*failed
        {
            return Err(error.clone());
        }
        self.settle(&mut failed, ask.await)
    }

    /// What the org answers now, whatever is known, which `ask` is given. It stays known when the ask fails.
    pub async fn renew<F>(&self, ask: impl FnOnce(Option<T>) -> F) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let mut failed = self.failed.lock().await;
        self.settle(&mut failed, ask(self.known()).await)
    }

    /// What is known, and nothing is asked.
    pub fn known(&self) -> Option<T> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn settle(&self, failed: &mut Option<CallError>, result: Result<T, CallError>) -> Result<T, CallError> {
        self.ended.fetch_add(1, Ordering::AcqRel);
        match &result {
            Ok(answer) => {
                *failed = None;
                *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer.clone());
            }
            Err(error) => *failed = Some(error.clone()),
        }
        result
    }
}
