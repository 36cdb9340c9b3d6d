//! Revoking tokens and asking about them (oauth.md section 11).

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::format::Format;
use super::refusal::Refusal;
use super::tokens::Seen;
use super::{Client, Door, authenticate, credentials, identity_url, parameters};
use crate::host::Host;
use crate::org::time::SECOND;
use crate::wire::{Answer, Call};

/// `/services/oauth2/revoke`: POST, or GET with the token in the URL.
pub fn revoke(door: &Door<'_>, call: &Call) -> Answer {
    let form = parameters(call);
    let token = form.get("token").map(String::as_str);
    let refuse = |refusal: Refusal| Format::of(call, &form).refuse(&refusal);
    let Some(token) = token.filter(|token| !token.is_empty()) else {
        return refuse(Refusal::missing("token"));
    };
    let revoked = |host: &Arc<Host>| {
        let revoked = host.tokens().revoke(token);
        if revoked {
            host.count("revoke", false);
            host.notify(); // a connect that waits with it ends
        }
        revoked
    };
    if door.hosts.iter().any(revoked) {
        return Answer::empty(200);
    }
    if looks_like_token(token) {
        refuse(Refusal::new("invalid_token", "invalid token"))
    } else {
        refuse(Refusal::new("unsupported_token_type", "this token type is not supported"))
    }
}

fn looks_like_token(text: &str) -> bool {
    (text.starts_with("00D") && text.contains('!')) || text.starts_with("5Aep")
}

/// `POST /services/oauth2/introspect`.
pub fn introspect(door: &Door<'_>, call: &Call) -> Answer {
    let form = parameters(call);
    let format = Format::of(call, &form);
    if call.method != "POST" {
        return format.refuse(&Refusal::request("must use HTTP POST"));
    }
    let answer = || {
        let token = form.get("token").ok_or_else(|| Refusal::missing("token"))?;
        let (key, secret) = credentials(call, &form);
        let mut clients = door.clients(&key.ok_or_else(|| Refusal::missing("client_id"))?)?;
        let place = clients.iter().position(|client| client.host.tokens().knows(token)).unwrap_or(0);
        let client = clients.swap_remove(place);
        authenticate(&client.app, secret.as_deref(), true)?;
        client.host.count("introspect", false);
        if !client.app.spec.introspection {
            return Err(Refusal::new("unauthorized_client", "introspection is not enabled for this app"));
        }
        Ok(tell(&client, token, call).unwrap_or_else(|| Map::from_iter([("active".to_owned(), json!(false))])))
    };
    format.answer(answer())
}

fn tell(client: &Client, token: &str, call: &Call) -> Option<Map<String, Json>> {
    let (host, app) = (&client.host, &client.app);
    let Seen { grant, kind, issued, ends } = host.tokens().look_at(token, app.spec.refresh_policy, host.now())?;
    if grant.app != app.key && !app.spec.introspect_all {
        return None;
    }
    let org = host.org();
    let user = org.user(&grant.user).filter(|user| user.active)?;
    let seconds = |at: i64| at.div_euclid(SECOND);
    let mut told = Map::from_iter([
        ("active".to_owned(), json!(true)),
        ("scope".to_owned(), json!(grant.scopes.to_string())),
        ("client_id".to_owned(), json!(grant.app)),
        ("username".to_owned(), json!(user.username)),
        ("sub".to_owned(), json!(identity_url(&call.base(), &org.id, &user.id))),
        ("token_type".to_owned(), json!(kind)),
        ("iat".to_owned(), json!(seconds(issued))),
        ("nbf".to_owned(), json!(seconds(issued))),
    ]);
    if let Some(ends) = ends {
        told.insert("exp".into(), json!(seconds(ends)));
    }
    Some(told)
}
