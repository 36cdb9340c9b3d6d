//! One REST request: token, headers, time limit, and what came of it.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, LAST_MODIFIED,
    RETRY_AFTER,
};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::clock::{read_date, read_retry_after};
use super::error::{CallError, Limit, Lost};
use super::usage::ApiUsage;
use super::{Org, Session, lock};

/// A request before it is known where the org lives.
pub(super) struct Request {
    pub method: Method,
    /// Path and query below the instance URL.
    pub target: String,
    pub body: Option<Vec<u8>>,
    pub timeout: Duration,
    /// Beside those of every request. `Accept` and `Content-Type`, which are JSON's otherwise, may be among them.
    pub headers: Vec<Header>,
}

/// Name and value, which no request can be made of if they hold what no header may.
pub(super) type Header = (Cow<'static, str>, String);

/// An answer, read to its end or as far as it came.
pub(super) struct Answer {
    pub status: StatusCode,
    pub retry_after: Option<Duration>,
    modified: Option<HeaderValue>,
    /// Where the next page of a table is; none where this is the last.
    pub locator: Option<String>,
    pub body: Result<Vec<u8>, Lost>,
}

/// What an org answered, and since when it has been so.
pub(super) struct Dated {
    pub json: Value,
    /// For the next request; none where the answer cannot be told by it from a later one.
    pub modified: Option<HeaderValue>,
}

/// Counts a request when it ends, however it ends, unless it never left.
struct Counted<'a> {
    calls: &'a AtomicU64,
    left: bool,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if self.left {
            self.calls.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Org {
    /// Makes a request and returns the JSON of a 2xx answer; null where it is empty. A 401 renews the token and
    /// replays the request, which is safe: nothing was done. A 401 for a token that is newer than the first 401 is a
    /// missing permission.
    pub(super) async fn call(&self, request: &Request) -> Result<Value, CallError> {
        match self.call_if_modified(request, None).await? {
            Some(answer) => Ok(answer.json),
            // Nobody asks on a condition here.
            None => Err(CallError::Unknown(Lost::Unreadable { status: 304 })),
        }
    }

    /// As [`Org::call`]. `None`: what was asked for is as it was at the time `since`, which the org itself gave.
    pub(super) async fn call_if_modified(
        &self,
        request: &Request,
        since: Option<&HeaderValue>,
    ) -> Result<Option<Dated>, CallError> {
        let Some(answer) = self.answer(request, since).await? else { return Ok(None) };
        let status = answer.status.as_u16();
        let body = answer.body.map_err(CallError::Unknown)?;
        let json = match body.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&body).map_err(|_| CallError::Unknown(Lost::Unreadable { status }))?,
        };
        Ok(Some(Dated { json, modified: answer.modified }))
    }

    /// Makes a request and returns a 2xx answer; none where nothing changed since the time `since`.
    pub(super) async fn answer(
        &self,
        request: &Request,
        since: Option<&HeaderValue>,
    ) -> Result<Option<Answer>, CallError> {
        let answer = self.any_answer(request, since, |_| true).await?;
        if answer.status == StatusCode::NOT_MODIFIED && since.is_some() {
            return Ok(None);
        }
        if !answer.status.is_success() {
            // A body that was cut does not hide the status.
            let body = answer.body.unwrap_or_default();
            return Err(self.refusal(answer.status.as_u16(), answer.retry_after, &body));
        }
        Ok(Some(answer))
    }

    /// Makes a request and returns its answer, whatever its status. A 401 renews the token as in [`Org::call`], if it is
    /// about the token.
    pub(super) async fn any_answer(
        &self,
        request: &Request,
        since: Option<&HeaderValue>,
        is_about_token: impl Fn(&Answer) -> bool,
    ) -> Result<Answer, CallError> {
        let mut session = self.session().await.map_err(CallError::LoginFailed)?;
        let mut refused_at = None;
        loop {
            let answer = self.send(&session, request, since).await?;
            let refused = answer.status == StatusCode::UNAUTHORIZED && is_about_token(&answer);
            if !refused || refused_at.is_some_and(|at| session.since >= at) {
                return Ok(answer);
            }
            refused_at.get_or_insert_with(Instant::now);
            tracing::debug!(org = %self.name(), "token refused, renewing");
            session = self.renew(&session).await.map_err(CallError::LoginFailed)?;
        }
    }

    /// What an answer means that is no success.
    pub(super) fn refusal(&self, status: u16, retry_after: Option<Duration>, body: &[u8]) -> CallError {
        let error = CallError::from_answer(status, retry_after, body);
        if error.limit() == Some(Limit::Daily) {
            lock(&self.shared.usage).spent = true;
        }
        error
    }

    async fn send(
        &self,
        session: &Session,
        request: &Request,
        since: Option<&HeaderValue>,
    ) -> Result<Answer, CallError> {
        let mut outgoing = self
            .outgoing(session, request.method.clone(), &request.target)?
            .header(AUTHORIZATION, session.authorization.clone())
            .header("Sforce-Call-Options", self.shared.call_options.clone())
            .timeout(request.timeout);
        let own =
            |wanted: &HeaderName| request.headers.iter().any(|(name, _)| wanted.as_str().eq_ignore_ascii_case(name));
        if !own(&ACCEPT) {
            outgoing = outgoing.header(ACCEPT, "application/json");
        }
        for (name, value) in &request.headers {
            outgoing = outgoing.header(name.as_ref(), value.as_str());
        }
        if let Some(body) = &request.body {
            if !own(&CONTENT_TYPE) {
                outgoing = outgoing.header(CONTENT_TYPE, "application/json; charset=UTF-8");
            }
            outgoing = outgoing.body(body.clone());
        }
        if let Some(since) = since {
            outgoing = outgoing.header(IF_MODIFIED_SINCE, since.clone());
        }
        self.exchange(outgoing).await
    }

    /// A request to the org of a session, without headers yet.
    pub(super) fn outgoing(
        &self,
        session: &Session,
        method: Method,
        target: &str,
    ) -> Result<RequestBuilder, CallError> {
        let url = below(&session.instance_url, target).ok_or(CallError::Unknown(Lost::Unreadable { status: 200 }))?;
        Ok(self.shared.http.request(method, url))
    }

    /// Sends a request, counts it, and reads its answer, whatever that is.
    pub(super) async fn exchange(&self, outgoing: RequestBuilder) -> Result<Answer, CallError> {
        let shared = &*self.shared;
        let mut counted = Counted { calls: &shared.calls, left: true };
        let started = Instant::now();
        let answer = match outgoing.send().await {
            Ok(answer) => answer,
            Err(error) if error.is_connect() || error.is_builder() => {
                counted.left = false;
                return Err(CallError::NotSent);
            }
            Err(error) => return Err(CallError::Unknown(lost(&error))),
        };
        self.observe_date(answer.headers(), started.elapsed());
        let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let status = answer.status();
        if let Some((used, max)) = header("Sforce-Limit-Info").and_then(read_usage) {
            // This one is counted when it ends.
            let calls = shared.calls.load(Ordering::Relaxed) + 1;
            lock(&shared.usage).usage = Some(ApiUsage { used, max, at: Instant::now(), calls });
        }
        if status.is_success() {
            lock(&shared.usage).spent = false;
        }
        let retry_after = header(RETRY_AFTER.as_str()).and_then(|text| read_retry_after(text, self.server_time()));
        let modified = read_modified(answer.headers());
        // The end is the text `null` (facts: bulk2.md section 5).
        let locator = header("Sforce-Locator").filter(|locator| *locator != "null").map(str::to_owned);
        let body = answer.bytes().await.map(Into::into).map_err(|error| lost(&error));
        Ok(Answer { status, retry_after, modified, locator, body })
    }
}

/// `Last-Modified`, where that lies well before the answer. Dates have whole seconds: of what changed within the last
/// one it could not be told whether it has changed again.
fn read_modified(headers: &HeaderMap) -> Option<HeaderValue> {
    let date = |name| headers.get(name).and_then(|value| value.to_str().ok()).and_then(read_date);
    let settled = date(LAST_MODIFIED)?.0.saturating_add(2_000) <= date(DATE)?.0;
    headers.get(LAST_MODIFIED).filter(|_| settled).cloned()
}

/// The error itself is dropped: it names the URL, and a query in it names values.
fn lost(error: &reqwest::Error) -> Lost {
    if error.is_timeout() { Lost::TimedOut } else { Lost::Cut }
}

/// A URL below the instance URL. `None` if the target leads elsewhere, for the token goes nowhere else.
fn below(instance_url: &Url, target: &str) -> Option<Url> {
    instance_url.join(target).ok().filter(|url| url.origin() == instance_url.origin())
}

/// `api-usage=18/5000; per-app-api-usage=17/250(appName=x)`: the first of both.
fn read_usage(text: &str) -> Option<(u64, u64)> {
    let usage = text.split(';').find_map(|part| part.trim().strip_prefix("api-usage="))?;
    let (used, most) = usage.split_once('/')?;
    Some((used.trim().parse().ok()?, most.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usage_of_the_org_is_not_that_of_an_app() {
        assert_eq!(read_usage("api-usage=10018/100000"), Some((10_018, 100_000)));
        let both = "per-app-api-usage=17/250(appName=x); api-usage=18/5000";
        assert_eq!(read_usage(both), Some((18, 5_000)));
        assert_eq!(read_usage("api-usage=many"), None);
    }

    #[test]
    fn a_moment_that_has_only_just_passed_is_no_condition() {
        let headers = |modified: &'static str| {
            let date = HeaderValue::from_static("Tue, 15 Nov 1994 08:12:31 GMT");
            HeaderMap::from_iter([(DATE, date), (LAST_MODIFIED, HeaderValue::from_static(modified))])
        };
        let long_ago = "Tue, 15 Nov 1994 08:12:29 GMT";
        assert_eq!(read_modified(&headers(long_ago)).unwrap(), long_ago);
        for modified in ["Tue, 15 Nov 1994 08:12:30 GMT", "Tue, 15 Nov 1994 09:00:00 GMT", "yesterday"] {
            assert_eq!(read_modified(&headers(modified)), None, "{modified}");
        }
        assert_eq!(read_modified(&HeaderMap::new()), None);
    }

    #[test]
    fn the_token_goes_nowhere_but_to_the_instance() {
        let instance = Url::parse("https://acme.my.salesforce.com").unwrap();
        assert!(below(&instance, "/services/data/v66.0/query/01g-2000").is_some());
        for elsewhere in ["https://evil.example/x", "//evil.example/x", "http://acme.my.salesforce.com/x"] {
            assert_eq!(below(&instance, elsewhere), None, "{elsewhere}");
        }
    }
}
