//! Who calls, and for which org: three metadata headers on every call (streaming-pubsub.md section 1).

use std::sync::Arc;
use std::time::Duration;

use tonic::metadata::MetadataMap;
use tonic::{Request, Status, Streaming};
use url::{Host as UrlHost, Url};
use uuid::Uuid;

use super::refusal::Refusal;
use crate::faults::{Plan, Target};
use crate::host::Host;
use crate::oauth;
use crate::org::Id;
use crate::server::Cut;

/// One call that was let in.
pub struct Caller {
    pub host: Arc<Host>,
    token: String,
    /// The connection that the call came by.
    pub line: Cut,
    /// The name of the method.
    pub rpc: &'static str,
    pub rpc_id: String,
}

impl Caller {
    /// # Errors
    /// A header that is missing, an org that is not here, a token that is none.
    pub fn admit<T>(hosts: &[Arc<Host>], request: &Request<T>, rpc: &'static str) -> Result<Self, Status> {
        let rpc_id = Uuid::new_v4().to_string();
        let admitted = find(hosts, request.metadata());
        let (host, token) = admitted.map_err(|refusal| refusal.status(rpc, &rpc_id))?;
        let line = request.extensions().get::<Cut>().cloned().unwrap_or_default();
        if !host.connections.adopt(&line) {
            line.cut();
        }
        host.count(rpc, false);
        let caller = Self { host, token, line, rpc, rpc_id };
        match caller.user() {
            Ok(_) => Ok(caller),
            Err(refusal) => Err(caller.refuse(refusal)),
        }
    }

    /// The user, as long as the token is good. Using it keeps it alive.
    ///
    /// # Errors
    /// When it is not, or the user may not use the API any more.
    pub fn user(&self) -> Result<Id, Refusal> {
        let found = oauth::session(&self.host, Some(&self.token));
        let allowed = found.filter(|(session, user)| user.api_enabled && session.scopes.allow_api());
        allowed.map(|(_, user)| user.id).ok_or(Refusal::NotAuthenticated)
    }

    /// Goes on with another token; none was brought if it is empty.
    ///
    /// # Errors
    /// When nobody gets in with it; the one from before stays.
    pub fn refresh(&mut self, token: &str) -> Result<(), Refusal> {
        if token.is_empty() {
            return Ok(());
        }
        let before = std::mem::replace(&mut self.token, token.to_owned());
        self.user().map(drop).map_err(|_| {
            self.token = before;
            Refusal::AuthRefreshInvalid
        })
    }

    /// What the faults of the org do to this call.
    pub fn plan(&self) -> Plan {
        let mut faults = self.host.faults();
        if faults.is_empty() { Plan::Normal } else { faults.plan(&Target::rpc(self.rpc)) }
    }

    pub fn refuse(&self, refusal: Refusal) -> Status {
        refusal.status(self.rpc, &self.rpc_id)
    }

    /// The first message of a stream; none if the client leaves without one.
    ///
    /// # Errors
    /// A message that cannot be read.
    pub async fn first<T>(&self, input: &mut Streaming<T>) -> Result<Option<T>, Status> {
        let idle = Duration::from_millis(self.host.switches().pubsub_idle_ms);
        let stopped = self.host.stopped();
        tokio::select! {
            biased;
            first = input.message() => first,
            () = stopped.cancelled() => Err(self.refuse(Refusal::Unavailable)),
            () = tokio::time::sleep(idle) => self.idle().map(|()| None),
        }
    }

    /// How a subscription ends that asks for nothing.
    ///
    /// # Errors
    /// That it has ended, if it is an error.
    pub fn idle(&self) -> Result<(), Status> {
        if self.host.switches().pubsub_idle_is_error { Err(self.refuse(Refusal::Idle)) } else { Ok(()) }
    }
}

fn find(hosts: &[Arc<Host>], metadata: &MetadataMap) -> Result<(Arc<Host>, String), Refusal> {
    let header = |name: &'static str| {
        let value = metadata.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        value.filter(|value| !value.is_empty()).ok_or(Refusal::HeaderInvalid(name))
    };
    let (token, instance, tenant) = (header("accesstoken")?, header("instanceurl")?, header("tenantid")?);
    let id = Id::parse(tenant).ok_or(Refusal::NotAuthenticated)?;
    let host = hosts.iter().find(|host| host.org().id == id).ok_or(Refusal::NotAuthenticated)?;
    if !is_own(host, instance) {
        return Err(Refusal::NotAuthenticated);
    }
    Ok((host.clone(), token.to_owned()))
}

/// Whether this is the org's base URL, by whatever name the client knows this machine.
fn is_own(host: &Host, instance: &str) -> bool {
    let Ok(url) = Url::parse(instance) else { return false };
    let here = match url.host() {
        Some(UrlHost::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(UrlHost::Ipv4(address)) => address.is_loopback(),
        Some(UrlHost::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    here && matches!(url.scheme(), "http" | "https")
        && url.port_or_known_default() == host.port()
        && url.path() == "/"
        && url.query().is_none()
}
