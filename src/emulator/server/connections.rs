//! The open connections of one org, and how they end from inside.
//!
//! Once cut, nothing more is read from a connection and nothing is written to it: the client sees the line end without
//! an answer. While the org is down, a new connection ends before anything is read.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

/// The handle by which a connection is cut, also by its own handler.
#[derive(Debug, Clone, Default)]
pub struct Cut(Arc<State>);

#[derive(Debug, Default)]
struct State {
    cut: AtomicBool,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl Cut {
    pub fn cut(&self) {
        self.0.cut.store(true, Ordering::SeqCst);
        self.0.reader.wake();
        self.0.writer.wake();
    }

    /// Whoever reads next is woken by a cut.
    pub fn check_read(&self, waker: &Waker) -> io::Result<()> {
        self.0.reader.register(waker);
        self.check()
    }

    pub fn check_write(&self, waker: &Waker) -> io::Result<()> {
        self.0.writer.register(waker);
        self.check()
    }

    fn check(&self) -> io::Result<()> {
        if self.0.cut.load(Ordering::SeqCst) { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

/// What an org knows of its connections.
#[derive(Debug, Default)]
pub struct Connections {
    open: Mutex<Vec<Weak<State>>>,
    down_until: Mutex<Option<Instant>>,
}

impl Connections {
    /// A new connection; `None` while the org is down.
    pub fn admit(&self) -> Option<Cut> {
        let mut open = locked(&self.open);
        if locked(&self.down_until).is_some_and(|end| Instant::now() < end) {
            return None;
        }
        open.retain(|state| state.strong_count() > 0);
        let cut = Cut::default();
        open.push(Arc::downgrade(&cut.0));
        Some(cut)
    }

    /// A connection that is not the org's alone: it is cut with the others. False while the org is down.
    pub fn adopt(&self, line: &Cut) -> bool {
        let mut open = locked(&self.open);
        if locked(&self.down_until).is_some_and(|end| Instant::now() < end) {
            return false;
        }
        open.retain(|state| state.strong_count() > 0);
        if !open.iter().any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(&line.0))) {
            open.push(Arc::downgrade(&line.0));
        }
        true
    }

    /// Cuts every connection but one.
    pub fn cut_all(&self, except: &Cut) {
        for state in locked(&self.open).iter().filter_map(Weak::upgrade) {
            if !Arc::ptr_eq(&state, &except.0) {
                Cut(state).cut();
            }
        }
    }

    /// Lets nobody in for so long.
    pub fn stay_down(&self, time: Duration) {
        *locked(&self.down_until) = Instant::now().checked_add(time);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
