//! Lets happen to a request what the rules say.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Held, Plan, Target};
use crate::host::Host;
use crate::rest;
use crate::wire::{Answer, Call};

/// Does the work of a request, unless a fault is in the way.
pub async fn strike<F>(host: &Arc<Host>, call: Call, work: fn(Arc<Host>, Call) -> F) -> Answer
where
    F: Future<Output = Answer> + Send + 'static,
{
    let plan = {
        let mut faults = host.faults();
        if faults.is_empty() { Plan::Normal } else { faults.plan(&Target::of(&call)) }
    };
    match plan {
        Plan::Normal => work(host.clone(), call).await,
        Plan::Refuse(refusal) => {
            rest::count_struck(host, &call);
            refusal.answer(&call)
        }
        Plan::Cut => {
            rest::count_struck(host, &call);
            Answer::cut()
        }
        Plan::DoThenFail(refusal) => {
            let failure = refusal.map_or_else(Answer::cut, |refusal| refusal.answer(&call));
            work(host.clone(), call).await;
            failure
        }
        Plan::CutThenApply(delay) => {
            let later = host.clone();
            host.spawn(async move {
                tokio::time::sleep(delay).await;
                work(later, call).await;
            });
            Answer::cut()
        }
        Plan::Hold(held) => {
            let done = when_released(host, held, work(host.clone(), call)).await;
            done.unwrap_or_else(Answer::cut) // it stops
        }
        Plan::AnswerLate(delay) => {
            let done = work(host.clone(), call).await;
            wait(host, delay).await;
            done
        }
    }
}

/// What becomes of a request that would turn its connection into a stream: that can be refused or cut, and no more.
pub fn bars_stream(host: &Host, call: &Call) -> Option<Answer> {
    let plan = host.faults().plan(&Target::of(call));
    match plan {
        Plan::Refuse(refusal) => Some(refusal.page()),
        Plan::Cut | Plan::CutThenApply(_) | Plan::DoThenFail(_) => Some(Answer::cut()),
        Plan::Normal | Plan::Hold(_) | Plan::AnswerLate(_) => None,
    }
}

/// Does the work once the request is let go; also if the client has gone meanwhile. `None`: the org stops before.
pub async fn when_released<T: Send + 'static>(
    host: &Arc<Host>,
    held: Held,
    work: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    let (sender, receiver) = oneshot::channel();
    let later = host.clone();
    let mut changes = host.changes();
    host.spawn(async move {
        while later.faults().holds(held) {
            if changes.changed().await.is_err() {
                return;
            }
        }
        let _ = sender.send(work.await); // nobody waits any more: done all the same
    });
    receiver.await.ok()
}

/// Lets time pass, unless the org stops.
pub async fn wait(host: &Host, delay: Duration) {
    let stopped = host.stopped();
    tokio::select! { () = stopped.cancelled() => {} () = tokio::time::sleep(delay) => {} }
}
