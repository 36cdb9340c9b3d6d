//! One listener for each org, and one for the login host; the first segments of a path choose the endpoint family.

mod connections;
mod line;

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use axum::routing::put;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::host::{self, Host};
use super::oauth::Door;
use super::org::time;
use super::wire::{Answer, BODY_LIMIT, Call, oversized};
use super::{cometd, control, faults, rest, soap};
pub use connections::{Connections, Cut};
pub use line::{Line, Lines, Speaks};

/// What answers at a listener.
#[derive(Clone)]
pub enum Site {
    Org(Arc<Host>),
    /// Logins for every org, and nothing else.
    Login(Arc<[Arc<Host>]>),
}

#[derive(Clone)]
struct Served {
    site: Site,
    secure: bool,
}

/// Serves until stopped and until the open connections have ended.
pub async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, site: Site, stopped: CancellationToken) {
    let connections = match &site {
        Site::Org(host) => Some(host.connections.clone()),
        Site::Login(_) => None,
    };
    let served = Served { site, secure: tls.is_some() };
    // Only the data of a job may be larger than other bodies.
    let upload = put(answer).layer(DefaultBodyLimit::max(rest::UPLOAD_LIMIT)).fallback(answer);
    let path = "/services/data/{version}/jobs/ingest/{job}/batches";
    let app = Router::new()
        .route(path, upload.clone())
        .route(&format!("{path}/"), upload)
        .fallback(answer)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(served)
        .into_make_service_with_connect_info::<Cut>();
    // It fails only if accepting does, which `Lines` never lets through.
    let lines = Lines { listener, speaks: tls.map_or(Speaks::Plain, Speaks::Tls), connections };
    let _ = axum::serve(lines, app).with_graceful_shutdown(async move { stopped.cancelled().await }).await;
}

async fn answer(
    State(served): State<Served>,
    ConnectInfo(line): ConnectInfo<Cut>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response<Body>, Infallible> {
    let (answer, packed) = match (oversized(&uri, &headers), body) {
        (Some(refused), _) => (refused, false),
        (None, Err(rejected)) if rejected.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            let upload = method == Method::PUT && uri.path().trim_end_matches('/').ends_with("/batches");
            (rest::too_large(if upload { rest::UPLOAD_LIMIT } else { BODY_LIMIT }), false)
        }
        // The client went away in the middle of its body.
        (None, Err(_)) => (Answer::empty(400), false),
        (None, Ok(body)) => {
            let call = Call { secure: served.secure, ..Call::new(method, &uri, headers, body) };
            let packed = takes_gzip(&call);
            let answer = match (&served.site, upgrade) {
                (Site::Org(host), Ok(upgrade)) if takes_sockets(host, &call) => {
                    match faults::bars_stream(host, &call) {
                        None => return Ok(cometd::open(host.clone(), call, upgrade)),
                        Some(barred) => barred,
                    }
                }
                (Site::Org(host), _) => at_org(host, call, &line).await,
                (Site::Login(hosts), _) => at_login(hosts, &call).await,
            };
            (answer, packed)
        }
    };
    if answer.cut {
        line.cut();
    }
    let now = match &served.site {
        Site::Org(host) => host.now(),
        Site::Login(hosts) => hosts.first().map_or_else(host::machine_time, |host| host.now()),
    };
    Ok(answer.with("date", time::http(now)).into_response(packed))
}

/// The Streaming API can be led to take WebSockets.
fn takes_sockets(host: &Host, call: &Call) -> bool {
    call.segments.first().is_some_and(|family| family == "cometd") && host.switches().websocket
}

/// Answers of the REST API are packed for those who take it.
fn takes_gzip(call: &Call) -> bool {
    let accepted = call.header("accept-encoding").unwrap_or_default();
    call.segments.get(1).is_some_and(|family| family == "data")
        && accepted
            .split(',')
            .any(|name| name.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("gzip"))
}

/// Faults strike everything but what steers them.
async fn at_org(host: &Arc<Host>, call: Call, line: &Cut) -> Answer {
    if call.segments.first().is_some_and(|family| family == "emulator") {
        control::handle(host, &call, line)
    } else {
        faults::strike(host, call, serve_call).await
    }
}

async fn serve_call(host: Arc<Host>, call: Call) -> Answer {
    let door = Door::of(&host);
    if let Some(answer) = door.answer(&call).await {
        return answer;
    }
    match call.path().as_slice() {
        ["services", "data", ..] => rest::handle(host.clone(), call).await,
        ["services", "apexrest", ..] => rest::handle_apex(host.clone(), call).await,
        ["services", "Soap", kind, version, ..] => soap::handle(&door, &call, kind, version),
        ["cometd", ..] => cometd::handle(&host, &call).await,
        _ => not_found(),
    }
}

async fn at_login(hosts: &[Arc<Host>], call: &Call) -> Answer {
    let door = Door { hosts, shared: true };
    if let Some(answer) = door.answer(call).await {
        return answer;
    }
    match call.path().as_slice() {
        ["services", "Soap", kind, version, ..] => soap::handle(&door, call, kind, version),
        _ => not_found(),
    }
}

fn not_found() -> Answer {
    Answer::error(404, "NOT_FOUND", "The requested resource does not exist")
}
