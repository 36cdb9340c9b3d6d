//! One listener for each org, and one for the login host; the first segments of a path choose the endpoint family.

mod line;

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, Response, Uri};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::host::{self, Host};
use super::oauth::Door;
use super::org::time;
use super::wire::{Answer, Call};
use super::{cometd, control, rest, soap};
use line::{Cut, Lines};

/// The platform's general limit for a message.
const BODY_LIMIT: usize = 50 * 1024 * 1024;
/// Bytes of an address, and of it with the headers (rest.md section 1).
const HEAD_LIMIT: usize = 16_384;

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
    let served = Served { site, secure: tls.is_some() };
    let app = Router::new()
        .fallback(answer)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(served)
        .into_make_service_with_connect_info::<Cut>();
    // It fails only if accepting does, which `Lines` never lets through.
    let lines = Lines { listener, tls };
    let _ = axum::serve(lines, app).with_graceful_shutdown(async move { stopped.cancelled().await }).await;
}

async fn answer(
    State(served): State<Served>,
    ConnectInfo(line): ConnectInfo<Cut>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response<Body>, Infallible> {
    if let Some(answer) = too_long(&uri, &headers) {
        return Ok(answer.into_response());
    }
    let call = Call { secure: served.secure, ..Call::new(method, &uri, headers, body) };
    let (answer, now) = match &served.site {
        Site::Org(host) => (at_org(host, call).await, host.now()),
        Site::Login(hosts) => {
            let now = hosts.first().map_or_else(host::machine_time, |host| host.now());
            (at_login(hosts, &call).await, now)
        }
    };
    if answer.cut {
        line.cut();
    }
    Ok(answer.with("date", time::http(now)).into_response())
}

/// The platform's front door reads so much and no more, of the address and of it together with the headers.
fn too_long(uri: &Uri, headers: &HeaderMap) -> Option<Answer> {
    let address = uri.path_and_query().map_or(0, |address| address.as_str().len());
    let lines: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let (status, reason) = match () {
        () if address > HEAD_LIMIT => (414, "URI Too Long"),
        () if address + lines > HEAD_LIMIT => (431, "Request Header Fields Too Large"),
        () => return None,
    };
    let page = format!("<h1>Bad Message {status}</h1><pre>reason: {reason}</pre>");
    Some(Answer::text(status, "text/html;charset=iso-8859-1", page).with("connection", "close"))
}

async fn at_org(host: &Arc<Host>, call: Call) -> Answer {
    let door = Door::of(host);
    if let Some(answer) = door.answer(&call).await {
        return answer;
    }
    match call.path().as_slice() {
        ["services", "data", ..] => rest::handle(host.clone(), call).await,
        ["services", "apexrest", ..] => rest::handle_apex(host.clone(), call).await,
        ["services", "Soap", kind, version, ..] => soap::handle(&door, &call, kind, version),
        ["cometd", ..] => cometd::handle(host, &call).await,
        ["emulator", ..] => control::handle(host, &call),
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
