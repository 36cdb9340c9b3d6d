//! `POST /services/oauth2/token`: the grants, each with its own checks (oauth.md sections 3 to 8 and 10).

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Map, Value as Json, json};
use tokio::sync::oneshot;
use url::Url;

use super::app::{App, Flow, RunAs};
use super::format::Format;
use super::issued::Issued;
use super::jwt::Assertion;
use super::refusal::Refusal;
use super::tokens::{Grant, Lifetime, Tokens};
use super::{Client, Door, authenticate, credentials, identity_url, parameters};
use crate::host::Host;
use crate::org::{Id, User};
use crate::wire::{Answer, Call};

/// Where the platform's own login hosts are, for clients that are led here under their names.
const LOGIN_HOSTS: [&str; 2] = ["login.salesforce.com", "test.salesforce.com"];
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

pub async fn token(door: &Door<'_>, call: &Call) -> Answer {
    let form = parameters(call);
    let format = Format::of(call, &form);
    format.answer(Request { door, call, form }.answer().await)
}

type Body = Map<String, Json>;

struct Request<'a> {
    door: &'a Door<'a>,
    call: &'a Call,
    form: HashMap<String, String>,
}

impl Request<'_> {
    async fn answer(&self) -> Result<Body, Refusal> {
        if let ([host], false) = (self.door.hosts, self.door.shared) {
            host.count("token", false);
        }
        if self.call.method != "POST" {
            return Err(Refusal::request("must use HTTP POST"));
        }
        match self.required("grant_type")? {
            "authorization_code" => self.authorization_code(),
            "refresh_token" => self.refresh_token().await,
            JWT_BEARER => self.jwt_bearer(),
            "client_credentials" => self.client_credentials(),
            "password" => self.password(),
            _ => Err(Refusal::new("unsupported_grant_type", "grant type not supported")),
        }
    }

    fn required(&self, name: &str) -> Result<&str, Refusal> {
        let value = self.form.get(name).map(String::as_str).filter(|value| !value.is_empty());
        value.ok_or_else(|| Refusal::missing(name))
    }

    /// The app, in the org that knows what the request brings; that is the only one except at the login host.
    fn client(&self, key: &str, flow: Flow, knows: impl Fn(&Host) -> bool) -> Result<Client, Refusal> {
        let mut clients = self.door.clients(key)?;
        let place = clients.iter().position(|client| knows(&client.host)).unwrap_or(0);
        let client = clients.swap_remove(place);
        if self.door.shared {
            client.host.count("token", false);
        }
        let mut login = client.host.login();
        if let Some(refusal) = login.settings.refusal() {
            return Err(refusal);
        }
        if login.settings.org_inactive {
            return Err(Refusal::grant("inactive organization"));
        }
        if flow == Flow::Password && !login.settings.password_grant {
            return Err(Refusal::new("unsupported_grant_type", "grant type not supported"));
        }
        drop(login);
        if client.app.offers(flow) {
            Ok(client)
        } else {
            Err(Refusal::new("unauthorized_client", "grant type not supported"))
        }
    }

    /// Like [`Self::client`], for a client that names itself and proves it.
    fn own_client(
        &self,
        flow: Flow,
        required: impl Fn(&App) -> bool,
        knows: impl Fn(&Host) -> bool,
    ) -> Result<Client, Refusal> {
        let (key, secret) = credentials(self.call, &self.form);
        let client = self.client(&key.ok_or_else(|| Refusal::missing("client_id"))?, flow, knows)?;
        authenticate(&client.app, secret.as_deref(), required(&client.app))?;
        Ok(client)
    }

    fn authorization_code(&self) -> Result<Body, Refusal> {
        let code = self.required("code")?;
        let knows = |host: &Host| host.tokens().knows(code);
        let client = self.own_client(Flow::WebServer, |app| app.spec.require_secret, knows)?;
        let redirect_uri = self
            .required("redirect_uri")
            .map_err(|missing| Refusal { error: "redirect_uri_missing".into(), ..missing })?;
        let verifier = self.form.get("code_verifier").map(String::as_str);
        let now = client.host.now();
        let code = client.host.tokens().redeem(code, &client.app.key, redirect_uri, verifier, now)?;
        let user = active_user(&client.host, &code.grant)?;
        admit(&client, &user)?;
        let scopes = &code.grant.scopes;
        let offline = scopes.has("refresh_token") && client.app.offers(Flow::Refresh);
        let limit = client.app.spec.approvals;
        let refresh = offline.then(|| client.host.tokens().approve(code.grant.clone(), limit, now));
        let issued = self.issue(&client, code.grant.clone(), refresh.as_ref().map(|(_, family)| *family));
        let mut body = issued.with_scope(issued.signed(issued.body()));
        if let Some((refresh_token, _)) = refresh {
            body.insert("refresh_token".into(), json!(refresh_token));
        }
        if scopes.has("openid")
            && let Some(id_token) = issued.id_token(code.nonce.as_deref())
        {
            body.insert("id_token".into(), json!(id_token));
        }
        Ok(body)
    }

    /// Goes on when its client has left: then the client does not learn of a token that replaced its own.
    async fn refresh_token(&self) -> Result<Body, Refusal> {
        let token = self.required("refresh_token")?;
        let knows = |host: &Host| host.tokens().knows(token);
        let client = self.own_client(Flow::Refresh, |app| app.spec.require_secret_for_refresh, knows)?;
        let policy = client.app.spec.refresh_policy;
        let now = client.host.now();
        let grant = client.host.tokens().begin_refresh(token, &client.app.key, policy, now)?;
        let takes = Duration::from_millis(client.host.login().settings.refresh_takes_ms);
        let (sender, receiver) = oneshot::channel();
        let (later, token) = (client.clone(), token.to_owned());
        client.host.spawn(async move {
            if !takes.is_zero() {
                tokio::time::sleep(takes).await;
            }
            let _ = sender.send(finish_refresh(&later, &token, grant)); // whether or not somebody waits
        });
        // The sender is lost only when the emulator stops.
        let (given, replacement) = receiver.await.unwrap_or_else(|_| Err(Refusal::expired()))?;
        let issued = self.show(&client, given);
        let mut body = issued.with_scope(issued.signed(issued.body()));
        if let Some(replacement) = replacement {
            body.insert("refresh_token".into(), json!(replacement));
        }
        Ok(body)
    }

    fn jwt_bearer(&self) -> Result<Body, Refusal> {
        let assertion = Assertion::parse(self.required("assertion")?).ok_or_else(Refusal::invalid_assertion)?;
        let knows = |host: &Host| host.org().user_by_name(&assertion.username).is_some();
        let client = self.client(&assertion.issuer, Flow::Jwt, knows)?;
        let (host, app) = (&client.host, &client.app);
        let limited = host.login().settings.jwt_exp_limit;
        let certificate = app.certificate.as_ref().ok_or_else(Refusal::invalid_assertion)?;
        assertion.check(certificate, limited, host.now())?;
        if !assertion.audience.as_deref().is_some_and(|audience| is_audience(host, self.call, audience)) {
            return Err(Refusal::grant("audience is invalid"));
        }
        let not_approved = || Refusal::grant("user hasn't approved this consumer");
        let user = host.org().user_by_name(&assertion.username).cloned().ok_or_else(not_approved)?;
        let grant = Grant { user: user.id.clone(), app: app.key.clone(), scopes: app.spec.scopes.clone() };
        let user = active_user(host, &grant)?;
        if !app.permits(&user.username) {
            return Err(Refusal::not_approved());
        }
        if !app.pre_authorizes(&user.username) && !host.tokens().has_approved(&user.id, &app.key, None) {
            return Err(not_approved());
        }
        if let Some(id) = &assertion.id
            && !host.tokens().first_use(&app.key, id)
        {
            return Err(Refusal::invalid_assertion());
        }
        admit(&client, &user)?;
        let issued = self.issue(&client, grant, None);
        Ok(issued.with_scope(issued.body()))
    }

    fn client_credentials(&self) -> Result<Body, Refusal> {
        let named_so = LOGIN_HOSTS.iter().any(|host| host.eq_ignore_ascii_case(self.call.host_name()));
        if self.door.shared || named_so {
            return Err(Refusal::grant("request not supported on this domain"));
        }
        let client = self.own_client(Flow::ClientCredentials, |_| true, |_| true)?;
        let user = {
            let org = client.host.org();
            match &client.app.spec.client_credentials_user {
                RunAs::Integration => org.user(&org.integration_user()).cloned(),
                RunAs::User(username) => org.user_by_name(username).cloned(),
                RunAs::Nobody => None,
            }
        };
        let user = user.ok_or_else(|| Refusal::grant("no client credentials user enabled"))?;
        let grant =
            Grant { user: user.id.clone(), app: client.app.key.clone(), scopes: client.app.spec.scopes.clone() };
        admit(&client, &active_user(&client.host, &grant)?)?;
        let issued = self.issue(&client, grant, None);
        Ok(issued.with_scope(issued.signed(issued.body())))
    }

    fn password(&self) -> Result<Body, Refusal> {
        let named = self.form.get("username").map(String::as_str).unwrap_or_default();
        let knows = |host: &Host| host.org().user_by_name(named).is_some();
        let client = self.own_client(Flow::Password, |_| true, knows)?;
        let (username, password) = (self.required("username")?, self.required("password")?);
        let user = client.host.org().user_by_name(username).filter(|user| user.accepts(password)).cloned();
        let user = user.ok_or_else(|| Refusal::grant("authentication failure"))?;
        let grant =
            Grant { user: user.id.clone(), app: client.app.key.clone(), scopes: client.app.spec.scopes.clone() };
        admit(&client, &active_user(&client.host, &grant)?)?;
        let issued = self.issue(&client, grant, None);
        Ok(issued.signed(issued.body()))
    }

    fn issue<'a>(&self, client: &'a Client, grant: Grant, family: Option<u64>) -> Issued<'a> {
        let org = client.host.org().id.clone();
        let given = give(client, grant, family, &mut client.host.tokens(), &org);
        self.show(client, given)
    }

    fn show<'a>(&self, client: &'a Client, given: Given) -> Issued<'a> {
        let Given { access_token, grant, now } = given;
        let org = client.host.org().id.clone();
        let login = self.call.base();
        let identity = identity_url(&login, &org, &grant.user);
        let instance = self.door.instance(&client.host, self.call);
        Issued { app: &client.app, access_token, scopes: grant.scopes, instance, login, identity, now }
    }
}

/// An access token that was given out.
struct Given {
    access_token: String,
    grant: Grant,
    now: i64,
}

fn give(client: &Client, grant: Grant, family: Option<u64>, tokens: &mut Tokens, org: &Id) -> Given {
    let now = client.host.now();
    let lifetime = Lifetime { idle: client.app.session_timeout(), total: client.app.access_lifetime() };
    let access_token = tokens.issue(org, grant.clone(), lifetime, family, now);
    Given { access_token, grant, now }
}

/// In one step, so that whatever ends the family ends the new tokens as well.
fn finish_refresh(client: &Client, token: &str, grant: Grant) -> Result<(Given, Option<String>), Refusal> {
    let good = active_user(&client.host, &grant).and_then(|user| admit(client, &user));
    let org = client.host.org().id.clone();
    let now = client.host.now();
    let mut tokens = client.host.tokens();
    if let Err(refusal) = good {
        tokens.release(token);
        return Err(refusal);
    }
    let (family, replacement) = tokens.finish_refresh(token, client.app.spec.rotation, now)?;
    Ok((give(client, grant, Some(family), &mut tokens, &org), replacement))
}

fn active_user(host: &Host, grant: &Grant) -> Result<User, Refusal> {
    let user = host.org().user(&grant.user).filter(|user| user.active).cloned();
    user.ok_or_else(|| Refusal::grant("inactive user"))
}

/// What the app's policy and the limit of logins say to a login.
fn admit(client: &Client, user: &User) -> Result<(), Refusal> {
    if !client.app.permits(&user.username) {
        return Err(Refusal::not_approved());
    }
    let limit = client.host.login().settings.logins_per_hour;
    let now = client.host.now();
    client.host.tokens().admit(&user.id, limit, now)
}

/// The login hosts of the platform, the org's own base, the base of the login host that orgs here share, or the host
/// that the client has called, whatever name it has for it.
fn is_audience(host: &Host, call: &Call, audience: &str) -> bool {
    let audience = audience.trim_end_matches('/');
    if audience.strip_prefix("https://").is_some_and(|host| LOGIN_HOSTS.contains(&host)) {
        return true;
    }
    let Ok(url) = Url::parse(audience) else { return false };
    if Url::parse(&call.base()).is_ok_and(|called| called.authority() == url.authority() && url.path() == "/") {
        return true;
    }
    let local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    local && url.path() == "/" && url.port().is_some_and(|port| [host.port(), host.login_port()].contains(&Some(port)))
}
