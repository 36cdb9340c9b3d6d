//! Who a token is: userinfo, the identity URL, and the document that leads clients to them (oauth.md section 11).

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::{Door, Session, identity_url, parameters};
use crate::host::Host;
use crate::org::time::{self, SECOND};
use crate::org::{Id, User};
use crate::wire::{Answer, Call};

fn refused(status: u16, text: &str) -> Answer {
    Answer::text(status, "text/plain;charset=UTF-8", text)
}

/// The token of the call, the org that gave it out, and what it stands for.
fn session<'a>(door: &Door<'a>, call: &Call) -> Result<(&'a Arc<Host>, Session, User), Answer> {
    let parameters = parameters(call);
    let parameter = parameters.get("access_token").or_else(|| parameters.get("oauth_token")).map(String::as_str);
    let token = call.token().or(parameter).ok_or_else(|| refused(403, "Missing_OAuth_Token"))?;
    let find = |host: &'a Arc<Host>| {
        let (session, user) = super::session(host, Some(token))?;
        Some((host, session, user))
    };
    let found = door.hosts.iter().find_map(find).filter(|(_, session, _)| session.scopes.allow_identity());
    found.ok_or_else(|| refused(403, "Bad_OAuth_Token"))
}

/// `/services/oauth2/userinfo`.
pub fn userinfo(door: &Door<'_>, call: &Call) -> Answer {
    let (host, session, user) = match session(door, call) {
        Ok(found) => found,
        Err(answer) => return answer,
    };
    host.count("userinfo", false);
    let (org, is_integration) = {
        let org = host.org();
        (org.id.clone(), org.integration_user() == user.id)
    };
    let (base, instance) = (call.base(), door.instance(host, call));
    let mut info = json!({
        "sub": identity_url(&base, &org, &user.id), "user_id": user.id.as_str(), "organization_id": org.as_str(),
        "preferred_username": user.username, "nickname": nickname(&user), "name": display_name(&user),
        "email": user.email, "email_verified": true, "given_name": user.first_name, "family_name": user.last_name,
        "zoneinfo": "GMT", "photos": photos(&instance), "profile": format!("{instance}/{}", user.id),
        "picture": photos(&instance)["picture"], "address": {},
        "is_salesforce_integration_user": is_integration, "urls": urls(&instance, &org, &user.id), "active": true,
        "user_type": "STANDARD", "language": "en_US", "locale": "en_US", "utcOffset": 0,
        "updated_at": time::event(host.now().div_euclid(SECOND)), "is_app_installed": !session.app.is_empty(),
    });
    if user.first_name.is_none()
        && let Some(info) = info.as_object_mut()
    {
        info.remove("given_name");
    }
    Answer::json(200, &info)
}

/// `/id/<org>/<user>`.
pub fn identity(door: &Door<'_>, call: &Call, org: &str, user: &str) -> Answer {
    let (host, session, own) = match session(door, call) {
        Ok(found) => found,
        Err(answer) => return answer,
    };
    host.count("identity", false);
    let org_id = host.org().id.clone();
    if Id::parse(org).as_ref() != Some(&org_id) {
        return refused(403, "Wrong_Org");
    }
    let asked = Id::parse(user).and_then(|id| host.org().user(&id).cloned());
    let Some(asked) = asked else { return refused(404, "Bad_Id") };
    if !asked.active {
        return refused(404, "Inactive");
    }
    let (base, instance) = (call.base(), door.instance(host, call));
    Answer::json(
        200,
        &json!({
            "id": identity_url(&base, &org_id, &asked.id), "asserted_user": asked.id == own.id,
            "user_id": asked.id.as_str(), "organization_id": org_id.as_str(), "username": asked.username,
            "nick_name": nickname(&asked), "display_name": display_name(&asked), "email": asked.email,
            "email_verified": true, "first_name": asked.first_name, "last_name": asked.last_name, "timezone": "GMT",
            "photos": photos(&instance), "urls": urls(&instance, &org_id, &asked.id), "active": true,
            "user_type": "STANDARD", "language": "en_US", "locale": "en_US", "utcOffset": 0,
            "last_modified_date": time::event(host.now().div_euclid(SECOND)), "is_lightning_login_user": false,
            "is_app_installed": !session.app.is_empty(),
        }),
    )
}

fn display_name(user: &User) -> String {
    match &user.first_name {
        Some(first) => format!("{first} {}", user.last_name),
        None => user.last_name.clone(),
    }
}

fn nickname(user: &User) -> &str {
    user.username.split('@').next().unwrap_or_default()
}

fn photos(instance: &str) -> Json {
    json!({"picture": format!("{instance}/profilephoto/005/F"), "thumbnail": format!("{instance}/profilephoto/005/T")})
}

/// Clients put the version in themselves.
fn urls(instance: &str, org: &Id, user: &Id) -> Json {
    let rest = format!("{instance}/services/data/v{{version}}/");
    let soap = |kind: &str| format!("{instance}/services/Soap/{kind}/{{version}}/{}", org.short());
    json!({
        "enterprise": soap("c"), "partner": soap("u"), "metadata": soap("m"), "rest": rest,
        "sobjects": format!("{rest}sobjects/"), "search": format!("{rest}search/"), "query": format!("{rest}query/"),
        "recent": format!("{rest}recent/"), "tooling_rest": format!("{rest}tooling/"),
        "tooling_soap": soap("T"), "profile": format!("{instance}/{user}"), "custom_domain": instance,
    })
}

/// `/.well-known/openid-configuration`.
pub fn discovery(base: &str) -> Json {
    let at = |name: &str| format!("{base}/services/oauth2/{name}");
    json!({
        "issuer": base, "authorization_endpoint": at("authorize"), "token_endpoint": at("token"),
        "revocation_endpoint": at("revoke"), "introspection_endpoint": at("introspect"),
        "userinfo_endpoint": at("userinfo"), "jwks_uri": format!("{base}/id/keys"),
        "scopes_supported": ["api", "full", "id", "openid", "profile", "email", "refresh_token", "web"],
        "response_types_supported": ["code"], "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"], "code_challenge_methods_supported": ["S256"],
        "display_values_supported": ["page", "popup", "touch"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
    })
}
