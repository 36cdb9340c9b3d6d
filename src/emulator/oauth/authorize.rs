//! `/services/oauth2/authorize`: the step in the browser (oauth.md section 5).
//!
//! Until app and redirect are known to belong together, mistakes are shown to the user; afterwards everything goes
//! back to the app by a redirect.

use std::collections::HashMap;

use super::app::Flow;
use super::page;
use super::refusal::Refusal;
use super::scopes::Scopes;
use super::settings::Consent;
use super::tokens::{Code, Grant};
use super::{Client, Door};
use crate::host;
use crate::org::User;
use crate::wire::{Answer, Call};

/// What the page sends back along with the answer of the user.
const CARRIED: [&str; 11] = [
    "response_type",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
    "prompt",
    "login_hint",
    "nonce",
    "display",
];

/// The parameters of a request: of the app, and on a POST the user's answer.
pub struct Ask {
    values: HashMap<String, String>,
    /// POST: the page was sent.
    answered: bool,
}

impl Ask {
    fn read(call: &Call) -> Self {
        let answered = call.method == "POST";
        let values = if answered { host::form(&call.body) } else { call.query.iter().cloned().collect() };
        Self { values, answered }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub fn carried(&self) -> impl Iterator<Item = (&'static str, &str)> {
        CARRIED.into_iter().filter_map(|name| Some((name, self.get(name)?)))
    }
}

/// Somebody who may answer the page.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub client: Client,
    pub user: User,
}

pub fn handle(door: &Door<'_>, call: &Call) -> Answer {
    if call.method != "GET" && call.method != "POST" {
        return page::problem(&Refusal::request("must use HTTP GET"));
    }
    let ask = Ask::read(call);
    match clients(door, &ask) {
        Err(refusal) => page::problem(&refusal),
        Ok((clients, redirect_uri)) => match decide(&clients, &ask, redirect_uri) {
            Ok(answer) => answer,
            Err(refusal) => redirect(
                redirect_uri,
                &[("error", &refusal.error), ("error_description", &refusal.description)],
                ask.get("state"),
            ),
        },
    }
}

/// The apps that can be meant, and the redirect that they have.
fn clients<'a>(door: &Door<'_>, ask: &'a Ask) -> Result<(Vec<Client>, &'a str), Refusal> {
    let mut clients = door.clients(ask.get("client_id").ok_or_else(|| Refusal::missing("client_id"))?)?;
    for client in &clients {
        client.host.count("authorize", false);
    }
    let redirect_uri = ask
        .get("redirect_uri")
        .ok_or_else(|| Refusal::new("redirect_uri_missing", "missing required parameter: redirect_uri"))?;
    clients.retain(|client| client.app.spec.callback_urls.iter().any(|url| url == redirect_uri));
    if clients.is_empty() {
        return Err(Refusal::new("redirect_uri_mismatch", "redirect_uri must match configuration"));
    }
    Ok((clients, redirect_uri))
}

fn decide(clients: &[Client], ask: &Ask, redirect_uri: &str) -> Result<Answer, Refusal> {
    let app = &clients.first().ok_or_else(Refusal::unknown_client)?.app;
    if ask.get("response_type") != Some("code") {
        return Err(Refusal::new("unsupported_response_type", "response type not supported"));
    }
    if !app.offers(Flow::WebServer) {
        return Err(Refusal::new("unauthorized_client", "grant type not supported"));
    }
    let scopes = app
        .spec
        .scopes
        .choose(ask.get("scope"))
        .ok_or_else(|| Refusal::new("invalid_scope", "the requested scope is invalid, unknown, or malformed"))?;
    check_challenge(ask, app.spec.require_pkce)?;
    let candidates = candidates(clients, ask)?;
    let first = candidates.first().ok_or_else(|| Refusal::new("inactive_user", "user is inactive"))?;
    if ask.get("immediate") == Some("true") {
        let user = &first.user;
        let known = first.client.host.tokens().has_approved(&user.id, &app.key, Some(&scopes))
            || first.client.app.pre_authorizes(&user.username);
        if !known || !app.spec.require_secret {
            return Err(Refusal::new("immediate_unsuccessful", "the user has not approved the app yet"));
        }
        return approve(first, ask, redirect_uri, scopes);
    }
    let consent = first.client.host.login().settings.consent;
    match (ask.answered, ask.get("decision"), consent) {
        (true, Some("deny"), _) | (false, _, Consent::Deny) => {
            Err(Refusal::new("access_denied", "end-user denied authorization"))
        }
        (true, Some("allow"), _) => {
            let chosen = ask.get("username").unwrap_or_default();
            let candidate = candidates.iter().find(|candidate| candidate.user.username == chosen);
            approve(candidate.unwrap_or(first), ask, redirect_uri, scopes)
        }
        (false, _, Consent::Approve) => approve(first, ask, redirect_uri, scopes),
        // An app may send the user here by a form as well.
        _ => Ok(page::consent(ask, &candidates, &scopes)),
    }
}

/// Only S256 is there, with or without being named.
fn check_challenge(ask: &Ask, required: bool) -> Result<(), Refusal> {
    let is_digest =
        |text: &str| text.len() == 43 && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if ask.get("code_challenge_method").is_some_and(|method| method != "S256") {
        return Err(Refusal::request("invalid code challenge method"));
    }
    match ask.get("code_challenge") {
        None if required => Err(Refusal::request("missing required code challenge")),
        Some(challenge) if !is_digest(challenge) => Err(Refusal::request("invalid code challenge")),
        _ => Ok(()),
    }
}

/// The active users of all orgs that are meant. A hint that names one leaves only him, unless others may be chosen.
fn candidates(clients: &[Client], ask: &Ask) -> Result<Vec<Candidate>, Refusal> {
    let mut candidates = Vec::new();
    for client in clients {
        if client.host.login().settings.org_inactive {
            continue;
        }
        let users = client.host.org().users().to_vec();
        candidates.extend(users.into_iter().map(|user| Candidate { client: client.clone(), user }));
    }
    if candidates.is_empty() {
        return Err(Refusal::new("inactive_org", "inactive organization"));
    }
    let Some(hint) = ask.get("login_hint") else {
        candidates.retain(|candidate| candidate.user.active);
        return Ok(candidates);
    };
    let is_hinted = |candidate: &Candidate| candidate.user.username.eq_ignore_ascii_case(hint);
    let is_known = candidates.iter().any(is_hinted);
    let may_choose = ask.get("prompt").is_some_and(|prompt| prompt.split(' ').any(|word| word == "select_account"));
    if is_known && !may_choose {
        candidates.retain(is_hinted);
    }
    candidates.retain(|candidate| candidate.user.active);
    candidates.sort_by_key(|candidate| !is_hinted(candidate)); // the hinted one comes first
    Ok(candidates)
}

fn approve(candidate: &Candidate, ask: &Ask, redirect_uri: &str, scopes: Scopes) -> Result<Answer, Refusal> {
    let Candidate { client, user } = candidate;
    if !client.app.permits(&user.username) {
        return Err(Refusal::not_approved());
    }
    let issued = client.host.now();
    let code = client.host.tokens().add_code(Code {
        grant: Grant { user: user.id.clone(), app: client.app.key.clone(), scopes },
        redirect_uri: redirect_uri.to_owned(),
        challenge: ask.get("code_challenge").map(str::to_owned),
        nonce: ask.get("nonce").map(str::to_owned),
        issued,
    });
    Ok(redirect(redirect_uri, &[("code", &code)], ask.get("state")))
}

fn redirect(to: &str, parameters: &[(&str, &str)], state: Option<&str>) -> Answer {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(parameters.iter().chain(state.map(|state| ("state", state)).as_ref()));
    let joint = if to.contains('?') { '&' } else { '?' };
    Answer::empty(302)
        .with("location", format!("{to}{joint}{}", query.finish()))
        .with("cache-control", "no-cache, no-store")
}
