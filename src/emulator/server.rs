//! One listener for each org; the first segments of a path choose the endpoint family.

mod line;

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, Response, Uri};
use tokio::net::TcpListener;

use super::host::Host;
use super::org::time;
use super::wire::{Answer, Call};
use super::{cometd, control, oauth, rest};
use line::{Cut, Lines};

/// The platform's general limit for a message.
const BODY_LIMIT: usize = 50 * 1024 * 1024;

/// Serves an org until its host is stopped and the open connections have ended.
pub async fn serve(listener: TcpListener, host: Arc<Host>) {
    let stopped = host.stopped();
    let app = Router::new()
        .fallback(answer)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(host)
        .into_make_service_with_connect_info::<Cut>();
    // It fails only if accepting does, which `Lines` never lets through.
    let _ = axum::serve(Lines(listener), app).with_graceful_shutdown(async move { stopped.cancelled().await }).await;
}

async fn answer(
    State(host): State<Arc<Host>>,
    ConnectInfo(line): ConnectInfo<Cut>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response<Body>, Infallible> {
    let call = Call::new(method, &uri, headers, body);
    let answer = match call.path().as_slice() {
        ["services", "oauth2", "token"] => oauth::token(&host, &call),
        ["services", "data", ..] => rest::handle(host.clone(), call).await,
        ["cometd", ..] => cometd::handle(&host, &call).await,
        ["emulator", ..] => control::handle(&host, &call),
        _ => Answer::error(404, "NOT_FOUND", "The requested resource does not exist"),
    };
    if answer.cut {
        line.cut();
    }
    Ok(answer.with("date", time::http(host.now())).into_response())
}
