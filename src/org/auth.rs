//! Login by client credentials: one request to the token endpoint, one session or the reason why not.
//!
//! Who may log in, and when, is decided in `super`. Facts: oauth.md sections 3, 4 and 8.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType,
};
use oauth2::{
    AuthType, ClientId, ClientSecret, ExtraTokenFields, RequestTokenError, StandardRevocableToken,
    StandardTokenResponse, TokenResponse, TokenUrl,
};
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::clock::read_retry_after;
use super::login_error::{LoginRefusal, OrgError};
use super::{Session, lock};
use crate::config::{Login, OrgConfig};
use crate::event::{RecordId, Timestamp};

/// What Salesforce's token response has beyond the standard. It has no `expires_in`: a 401 tells.
#[derive(Debug, Serialize, Deserialize)]
struct SalesforceFields {
    instance_url: Option<String>,
    id: Option<String>,
    /// Milliseconds, as a string; documented as seconds, and as a number elsewhere.
    issued_at: Option<serde_json::Value>,
}

impl ExtraTokenFields for SalesforceFields {}

type Client = oauth2::Client<
    BasicErrorResponse,
    StandardTokenResponse<SalesforceFields, BasicTokenType>,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
>;

/// Why no answer came. Says nothing of the request, which holds the secret.
#[derive(Debug, thiserror::Error)]
#[error("no answer")]
struct NoAnswer {
    timed_out: bool,
}

/// What the answer was like, whatever `oauth2` made of it.
#[derive(Default)]
struct Seen {
    status: u16,
    retry_after: Option<Duration>,
    json: bool,
    headers: Option<(HeaderMap, Duration)>,
}

/// Logs in once. `watch` sees the headers of the answer, and how long it took.
pub(super) async fn login(
    http: &reqwest::Client,
    config: &OrgConfig,
    timeout: Duration,
    watch: impl Fn(&HeaderMap, Duration),
) -> Result<Session, OrgError> {
    let Login::ClientCredentials { key, secret } = &config.login;
    let endpoint = config.login_url.join("/services/oauth2/token").map_err(|_| OrgError::Setup("login_url"))?;
    let client = Client::new(ClientId::new(key.clone()))
        .set_client_secret(ClientSecret::new(secret.expose_secret().to_owned()))
        .set_token_uri(TokenUrl::from_url(endpoint))
        // In a body there is one way to encode a key; in a Basic header there are two.
        .set_auth_type(AuthType::RequestBody);

    // Owned by the future that `oauth2` drives: one that borrows is not `Send` in the eyes of the compiler.
    let seen = Arc::new(Mutex::new(Seen::default()));
    let (owned, noted) = (http.clone(), seen.clone());
    let exchange = move |request: oauth2::HttpRequest| {
        let (http, seen) = (owned.clone(), noted.clone());
        async move {
            let no_answer = |error: reqwest::Error| NoAnswer { timed_out: error.is_timeout() };
            let (parts, body) = request.into_parts();
            let started = tokio::time::Instant::now();
            let request = http.request(parts.method, parts.uri.to_string()).headers(parts.headers).body(body);
            let answer = request.timeout(timeout).send().await.map_err(no_answer)?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            let retry_after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            let retry_after = retry_after.and_then(|text| read_retry_after(text, Timestamp::now()));
            let elapsed = started.elapsed();
            let headers_seen = Some((headers.clone(), elapsed));
            *lock(&seen) = Seen { status: status.as_u16(), retry_after, json: false, headers: headers_seen };
            let body = answer.bytes().await.map_err(no_answer)?;
            lock(&seen).json = serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok();
            let mut response = oauth2::HttpResponse::new(body.to_vec());
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            Ok::<_, NoAnswer>(response)
        }
    };
    let answer = client.exchange_client_credentials().request_async(&exchange).await;
    let seen = std::mem::take(&mut *lock(&seen));
    if let Some((headers, elapsed)) = &seen.headers {
        watch(headers, *elapsed);
    }
    match answer {
        Ok(token) => session(&token),
        Err(error) => Err(reason(error, &seen)),
    }
}

/// Nothing of the error itself is passed on: it can hold the body, and the body a token.
fn reason(error: RequestTokenError<NoAnswer, BasicErrorResponse>, seen: &Seen) -> OrgError {
    let unavailable = OrgError::Unavailable { status: seen.status, retry_after: seen.retry_after };
    match error {
        RequestTokenError::Request(NoAnswer { timed_out: true }) => OrgError::TimedOut,
        // The head of an answer came, its body did not.
        RequestTokenError::Request(_) if seen.status != 0 => unavailable,
        RequestTokenError::Request(_) => OrgError::Unreachable,
        _ if seen.status >= 500 || seen.status == 429 => unavailable,
        RequestTokenError::ServerResponse(refusal) => {
            let description = refusal.error_description().map_or("", String::as_str);
            OrgError::Refused(LoginRefusal::read(refusal.error().as_ref(), description))
        }
        RequestTokenError::Parse(..) | RequestTokenError::Other(_) if seen.status == 200 && seen.json => {
            OrgError::NotATokenResponse("access_token")
        }
        RequestTokenError::Parse(..) | RequestTokenError::Other(_) => unavailable,
    }
}

fn session(token: &StandardTokenResponse<SalesforceFields, BasicTokenType>) -> Result<Session, OrgError> {
    let fields = token.extra_fields();
    let access_token = token.access_token().secret();
    if access_token.is_empty() {
        return Err(OrgError::NotATokenResponse("access_token"));
    }
    let mut authorization = HeaderValue::from_str(&format!("Bearer {access_token}"))
        .map_err(|_| OrgError::NotATokenResponse("access_token"))?;
    authorization.set_sensitive(true);
    let instance_url = fields.instance_url.as_deref().and_then(|url| Url::parse(url).ok());
    let instance_url = instance_url.filter(may_see_secrets).ok_or(OrgError::NotATokenResponse("instance_url"))?;
    let (org_id, user_id) = fields.id.as_deref().and_then(identity).ok_or(OrgError::NotATokenResponse("id"))?;
    Ok(Session {
        instance_url,
        token: SecretString::from(access_token.clone()),
        org_id: org_id.into(),
        user_id: user_id.into(),
        issued_at: fields.issued_at.as_ref().and_then(issued_at),
        authorization,
        since: tokio::time::Instant::now(),
        generation: 0,
    })
}

/// A secret crosses no network in plain text, whatever a config or an answer says.
pub(crate) fn may_see_secrets(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Org id and user id from `https://login.salesforce.com/id/<org id>/<user id>`.
fn identity(url: &str) -> Option<(RecordId, RecordId)> {
    let (_, ids) = url.split_once("/id/")?;
    let (org, user) = ids.split_once('/')?;
    Some((org.parse().ok()?, user.parse().ok()?))
}

fn issued_at(json: &serde_json::Value) -> Option<Timestamp> {
    let text = json.as_str().map_or_else(|| json.to_string(), str::to_owned);
    let number: i64 = text.parse().ok()?;
    // Seconds have ten digits until the year 2286, milliseconds thirteen since 2001.
    Some(Timestamp(if number < 100_000_000_000 { number.saturating_mul(1_000) } else { number }))
}
