//! Faults that strike calls of the Pub/Sub API.
//!
//! A call is refused, held or answered late like any request. A line that is cut takes along every call of its
//! connection, as it does on the platform.

use futures_util::{Stream, StreamExt as _};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Response, Status};

use super::caller::Caller;
use super::refusal::{PREFIX, Refusal as NotServed};
use crate::faults::{Plan, Refusal, wait, when_released};

/// Does the work of a call with one answer.
pub async fn unary<R, T>(
    caller: Caller,
    request: R,
    work: impl FnOnce(&Caller, &R) -> Result<T, Status> + Send + 'static,
) -> Result<Response<T>, Status>
where
    R: Send + 'static,
    T: Send + 'static,
{
    match caller.plan() {
        Plan::Normal => work(&caller, &request).map(Response::new),
        Plan::Refuse(refusal) => Err(status(&caller, &refusal)),
        Plan::Cut => Err(cut(&caller)),
        Plan::DoThenFail(failure) => {
            let _ = work(&caller, &request); // done, and nobody learns how
            Err(failure.map_or_else(|| cut(&caller), |refusal| status(&caller, &refusal)))
        }
        Plan::CutThenApply(delay) => {
            let ended = cut(&caller);
            caller.host.clone().spawn(async move {
                tokio::time::sleep(delay).await;
                let _ = work(&caller, &request); // its client has gone
            });
            Err(ended)
        }
        Plan::Hold(held) => {
            let (host, ended) = (caller.host.clone(), caller.refuse(NotServed::Unavailable));
            let done = when_released(&host, held, async move { work(&caller, &request) }).await;
            done.unwrap_or(Err(ended)).map(Response::new)
        }
        Plan::AnswerLate(delay) => {
            let done = work(&caller, &request);
            wait(&caller.host, delay).await;
            done.map(Response::new)
        }
    }
}

/// Lets a stream begin. What it does before its first response is done, also if that never comes.
pub async fn streaming<T, S>(caller: Caller, responses: impl FnOnce(Caller) -> S) -> Result<S, Status>
where
    S: Stream<Item = Result<T, Status>> + Send + Unpin,
{
    let plan = caller.plan();
    let (host, line) = (caller.host.clone(), caller.line.clone());
    match plan {
        Plan::Normal => Ok(responses(caller)),
        Plan::Refuse(refusal) => Err(status(&caller, &refusal)),
        Plan::Cut | Plan::CutThenApply(_) => Err(cut(&caller)),
        Plan::DoThenFail(failure) => {
            let failure = failure.map(|refusal| status(&caller, &refusal));
            let _ = responses(caller).next().await; // the client does not get it
            Err(failure.unwrap_or_else(|| {
                line.cut();
                Status::unavailable("the connection was cut")
            }))
        }
        // Nothing is done before the stream begins, so nothing has to be done for a client that has gone.
        Plan::Hold(held) => {
            let ended = caller.refuse(NotServed::Unavailable);
            when_released(&host, held, async {}).await.ok_or(ended)?;
            Ok(responses(caller))
        }
        Plan::AnswerLate(delay) => {
            wait(&host, delay).await;
            Ok(responses(caller))
        }
    }
}

/// Nothing of this status reaches the client.
fn cut(caller: &Caller) -> Status {
    caller.line.cut();
    Status::unavailable("the connection was cut")
}

fn status(caller: &Caller, refusal: &Refusal) -> Status {
    let mut trailers = MetadataMap::new();
    let suffix = refusal.error_code.as_ref().map(|suffix| format!("{PREFIX}{suffix}"));
    // Without an error code it is not the service that refuses, so the other trailers are missing too.
    if let Some(code) = suffix {
        for (name, value) in [("error-code", code.as_str()), ("rpc-id", &caller.rpc_id), ("type", caller.rpc)] {
            if let Ok(value) = MetadataValue::try_from(value) {
                trailers.insert(name, value);
            }
        }
    }
    let message = format!("{} rpcId: {}", refusal.message(), caller.rpc_id);
    Status::with_metadata(Code::from_i32(refusal.grpc), message, trailers)
}
