//! One owner for the token: who logs in, how often, and what a caller is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use secrecy::ExposeSecret;
use serde_json::json;

use super::testing::{ORG_ID, Reply, SECRET, ScriptedOrg, USER_ID, config, token_response};
use super::*;

#[tokio::test]
async fn many_who_need_a_session_at_once_cause_one_login() {
    let server = ScriptedOrg::start(|_| Reply::Cut).await;
    let org = server.org();
    let sessions = join_all((0..50).map(|_| org.session())).await;
    assert!(sessions.iter().all(|session| session.as_ref().unwrap().token.expose_secret() == "token-1"));
    assert_eq!(server.login_count(), 1);
}

#[tokio::test]
async fn a_stale_session_is_renewed_once_for_all_who_wait() {
    let server = ScriptedOrg::start(|_| Reply::Cut).await;
    let org = server.org();
    let stale = org.session().await.unwrap();
    let renewed = join_all((0..50).map(|_| org.renew(&stale))).await;
    assert!(renewed.iter().all(|session| session.as_ref().unwrap().token.expose_secret() == "token-2"));
    // Somebody who still holds the first one gets the second and no third.
    assert_eq!(org.renew(&stale).await.unwrap().token.expose_secret(), "token-2");
    assert_eq!(server.login_count(), 2);
}

#[tokio::test]
async fn those_who_wait_for_a_login_share_its_failure_and_the_next_one_tries_again() {
    let logins = Arc::new(AtomicUsize::new(0));
    let count = logins.clone();
    let server = ScriptedOrg::raw(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Reply::text(503, "text/html", "<html>").with("retry-after", "9")
    })
    .await;
    let org = server.org();
    let results = join_all((0..50).map(|_| org.session())).await;
    let expected = OrgError::Unavailable { status: 503, retry_after: Some(Duration::from_secs(9)) };
    assert!(results.iter().all(|result| result.as_ref().is_err_and(|error| *error == expected)));
    assert_eq!(logins.load(Ordering::SeqCst), 1);
    assert!(org.session().await.is_err());
    assert_eq!(logins.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_caller_who_gives_up_while_logging_in_leaves_the_login_to_the_next() {
    let attempts = Arc::new(AtomicUsize::new(0));
    let (count, arrived) = (attempts.clone(), Arc::new(tokio::sync::Notify::new()));
    let notify = arrived.clone();
    let server = ScriptedOrg::raw(move |_| {
        notify.notify_one();
        match count.fetch_add(1, Ordering::SeqCst) {
            0 => Reply::Silence,
            _ => Reply::json(200, &token_response("http://127.0.0.1:1", 2)),
        }
    })
    .await;
    let org = server.org();
    tokio::select! {
        _ = org.session() => panic!("the first login is never answered"),
        () = arrived.notified() => {}
    }
    assert_eq!(org.session().await.unwrap().token.expose_secret(), "token-2");
}

#[tokio::test]
async fn a_login_sends_client_credentials_and_learns_who_the_bridge_is() {
    let server = ScriptedOrg::start(|_| Reply::Cut).await;
    let session = server.org().session().await.unwrap();
    assert_eq!((session.org_id.as_str(), session.user_id.as_str()), (ORG_ID, USER_ID));
    assert_eq!(session.issued_at, Some(Timestamp(1_278_448_384_422)));
    assert_eq!(session.instance_url.as_str(), format!("{}/", server.url));
    let request = &server.all()[0];
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/services/oauth2/token"));
    let form: Vec<_> = url::form_urlencoded::parse(&request.body).into_owned().collect();
    for expected in [("grant_type", "client_credentials"), ("client_id", "3MVG9.key"), ("client_secret", SECRET)] {
        assert!(form.iter().any(|(key, value)| (key.as_str(), value.as_str()) == expected), "{expected:?}");
    }
}

/// What a login makes of one answer.
async fn login(reply: Reply) -> Result<Session, OrgError> {
    let server = ScriptedOrg::raw(move |_| reply.clone()).await;
    let org = server.org();
    org.session().await
}

#[tokio::test]
async fn issued_at_may_be_a_number_or_missing() {
    let mut token = token_response("http://127.0.0.1:1", 1);
    token["issued_at"] = json!(1_278_448_384);
    assert_eq!(login(Reply::json(200, &token)).await.unwrap().issued_at, Some(Timestamp(1_278_448_384_000)));
    token.as_object_mut().unwrap().remove("issued_at");
    assert_eq!(login(Reply::json(200, &token)).await.unwrap().issued_at, None);
}

#[tokio::test]
async fn a_refused_login_says_what_to_do() {
    for status in [400, 401] {
        let body = json!({"error": "invalid_grant", "error_description": "request not supported on this domain"});
        let error = login(Reply::json(status, &body)).await.unwrap_err();
        assert_eq!(error, OrgError::Refused(LoginRefusal::WrongDomain));
        assert!(error.remedy().contains("My Domain"));
    }
    let extension = json!({"error": "invalid_client_id", "error_description": "client identifier invalid"});
    let error = login(Reply::json(400, &extension)).await.unwrap_err();
    assert_eq!(error, OrgError::Refused(LoginRefusal::UnknownConsumerKey));
}

#[tokio::test]
async fn whatever_is_no_answer_of_a_token_endpoint_passes() {
    let in_json = json!({"error": "invalid_grant", "error_description": "x"});
    for reply in [
        Reply::text(502, "text/html", "<html>Bad Gateway</html>"),
        Reply::text(500, "application/json", ""),
        Reply::json(503, &in_json),
        Reply::json(429, &in_json),
        Reply::text(200, "text/html", "<html>Log in to this network</html>"),
        Reply::text(200, "application/json", ""),
        Reply::text(404, "text/html", "<html>"),
        Reply::text(302, "text/html", "").with("location", "http://127.0.0.1:1/maintenance"),
        Reply::CutWithin { status: 200 },
    ] {
        let error = login(reply.clone()).await.unwrap_err();
        assert!(matches!(error, OrgError::Unavailable { .. }), "{reply:?} gave {error}");
    }
    assert_eq!(login(Reply::Cut).await.unwrap_err(), OrgError::Unreachable);
    let nowhere = Org::new(config("http://127.0.0.1:1")).unwrap();
    assert_eq!(nowhere.session().await.unwrap_err(), OrgError::Unreachable);
}

#[tokio::test]
async fn an_answer_that_does_not_name_the_org_is_no_session() {
    for (field, value) in [
        ("instance_url", json!(null)),
        ("instance_url", json!("http://acme.my.salesforce.com")),
        ("id", json!("https://login.salesforce.com/id/nobody")),
        ("access_token", json!("")),
        ("access_token", json!(null)),
    ] {
        let mut token = token_response("http://127.0.0.1:1", 1);
        token[field] = value;
        assert_eq!(login(Reply::json(200, &token)).await.unwrap_err(), OrgError::NotATokenResponse(field));
    }
}

#[test]
fn a_secret_is_sent_in_plain_text_to_this_machine_only() {
    for (url, accepted) in [
        ("http://127.0.0.1:1", true),
        ("http://localhost:1", true),
        ("http://[::1]:1", true),
        ("http://acme.my.salesforce.com", false),
        ("http://127.0.0.1.evil.example", false),
    ] {
        assert_eq!(Org::new(config(url)).is_ok(), accepted, "{url}");
    }
}

#[tokio::test]
async fn a_silent_token_endpoint_times_out() {
    let server = ScriptedOrg::raw(|_| Reply::Silence).await;
    let org = server.org_with(Timeouts { login: Duration::from_millis(50), ..Timeouts::default() });
    assert_eq!(org.session().await.unwrap_err(), OrgError::TimedOut);
}

#[tokio::test]
async fn the_clock_of_the_org_is_read_from_its_answers() {
    let server = ScriptedOrg::raw(|_| {
        Reply::json(200, &token_response("http://127.0.0.1:1", 1)).with("date", "Fri, 01 Jan 2100 00:00:00 GMT")
    })
    .await;
    let org = server.org();
    org.session().await.unwrap();
    let of_2100 = 4_102_444_800_000;
    let seen = org.server_time().0 - of_2100;
    assert!((0..600_000).contains(&seen), "{seen} ms after the date of the answer");
}

#[tokio::test]
async fn nothing_that_prints_has_a_secret() {
    let server = ScriptedOrg::start(|_| Reply::Cut).await;
    let org = server.org();
    let session = org.session().await.unwrap();
    let printed = format!("{org:?} {session:?} {:?} {:?}", session.authorization, org.config());
    assert!(!printed.contains("token-1") && !printed.contains(SECRET), "{printed}");
    let echo = Reply::text(400, "text/html", format!("client_secret={SECRET}"));
    let error = login(echo).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains(SECRET));
}
