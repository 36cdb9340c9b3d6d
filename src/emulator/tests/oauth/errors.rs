//! The table of errors: each row that can happen here does, with its words.
//!
//! Not among them: "must use HTTPS" (a listener speaks one of the two), and what belongs to the device flow. Rows that
//! hang on where and when somebody logs in (`ip restricted`, `invalid login hours`) come only when asked for.

use serde_json::{Value as Json, json};

use super::support::{CHALLENGE, PASSWORD, REDIRECT, SECURITY_TOKEN, User, VERIFIER, keys, text, usernames, world};

const CODE: (&str, &str) = ("grant_type", "authorization_code");
const BACK: (&str, &str) = ("redirect_uri", REDIRECT);
const CREDENTIALS: (&str, &str) = ("grant_type", "client_credentials");

fn is(error: &str, description: &str) -> (String, String) {
    (error.to_owned(), description.to_owned())
}

#[tokio::test]
async fn every_grant_tells_what_is_missing_or_wrong() {
    let world = world(json!([{}])).await;
    let user = User::of(&world);
    for (form, error, description) in [
        (vec![], "invalid_request", "missing required parameter: grant_type"),
        (vec![("grant_type", "device")], "unsupported_grant_type", "grant type not supported"),
        (vec![("grant_type", "password")], "invalid_request", "missing required parameter: username"),
        (vec![CREDENTIALS, ("client_id", "")], "invalid_request", "missing required parameter: client_id"),
        (vec![CREDENTIALS, ("client_id", "x")], "invalid_client_id", "client identifier invalid"),
        (vec![CREDENTIALS, ("client_secret", "x")], "invalid_client", "invalid client credentials"),
        (vec![CREDENTIALS, ("client_secret", "")], "invalid_client", "invalid client credentials"),
        (vec![CODE], "invalid_request", "missing required parameter: code"),
        (vec![CODE, BACK, ("code", "x")], "invalid_grant", "invalid authorization code"),
        (vec![CODE, ("code", "x")], "redirect_uri_missing", "missing required parameter: redirect_uri"),
        (vec![CODE, BACK, ("code", "x"), ("client_secret", "")], "invalid_client", "invalid client credentials"),
        (vec![("grant_type", "refresh_token")], "invalid_request", "missing required parameter: refresh_token"),
        (
            vec![("grant_type", "refresh_token"), ("refresh_token", "x")],
            "invalid_grant",
            "expired access/refresh token",
        ),
        (
            vec![("grant_type", "refresh_token"), ("refresh_token", "x"), ("client_secret", "")],
            "invalid_client",
            "invalid client credentials",
        ),
        (
            vec![("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")],
            "invalid_request",
            "missing required parameter: assertion",
        ),
    ] {
        assert_eq!(user.refused(&form).await, is(error, description), "{form:?}");
    }
    let (status, body) = world.call("GET", "/services/oauth2/token", Json::Null).await;
    assert_eq!((status, body), (400, json!({"error": "invalid_request", "error_description": "must use HTTP POST"})));
}

#[tokio::test]
async fn a_code_is_for_one_use_one_redirect_and_one_verifier() {
    let world = world(json!([{}])).await;
    world.ok("POST", "/emulator/oauth", json!({"consent": "approve"})).await;
    let user = User::of(&world);
    let challenge: &[(&str, &str)] = &[("code_challenge", CHALLENGE), ("code_challenge_method", "S256")];
    let tilde = VERIFIER.replace('-', "~");
    for (asked, more, error, description) in [
        (&[][..], vec![("code_verifier", VERIFIER)], "invalid_grant", "unexpected code verifier"),
        (challenge, vec![("code_verifier", &*tilde)], "invalid_grant", "invalid code verifier"),
        (challenge, vec![("code_verifier", CHALLENGE)], "invalid_grant", "invalid code verifier"),
        (challenge, vec![], "invalid_grant", "invalid code verifier"),
        (
            &[],
            vec![("redirect_uri", "http://localhost:1717/")],
            "redirect_uri_mismatch",
            "redirect_uri must match configuration",
        ),
    ] {
        let code = user.code(asked).await;
        let form: Vec<_> = [CODE, BACK, ("code", &*code)].into_iter().chain(more).collect();
        assert_eq!(user.refused(&form).await, is(error, description));
    }
    let code = user.code(&[]).await;
    user.exchange(&code).await;
    let used = [CODE, BACK, ("code", &*code)];
    assert_eq!(user.refused(&used).await, is("invalid_grant", "expired authorization code"));
    let code = user.code(&[]).await;
    world.ok("POST", "/emulator/time", json!({"advance_seconds": 901})).await;
    let late = [CODE, BACK, ("code", &*code)];
    assert_eq!(user.refused(&late).await, is("invalid_grant", "expired authorization code"));
}

#[tokio::test]
async fn what_the_admin_has_not_allowed_is_refused() {
    let world = world(json!([{}])).await;
    let user = User::of(&world);
    let [integration, ordinary] = usernames(&world).await;
    for (app, error, description) in [
        (json!({"flows": ["jwt"]}), "unauthorized_client", "grant type not supported"),
        (json!({"client_credentials_user": null}), "invalid_grant", "no client credentials user enabled"),
        (json!({"client_credentials_user": "x@y.z"}), "invalid_grant", "no client credentials user enabled"),
        (json!({"blocked": true}), "invalid_client_id", "client identifier invalid"),
        (
            json!({"permitted_users": "admin_approved", "approved_users": [ordinary]}),
            "invalid_app_access",
            "user is not admin approved to access this app",
        ),
    ] {
        world.ok("POST", "/emulator/apps", json!([app])).await;
        assert_eq!(user.refused(&[CREDENTIALS]).await, is(error, description), "{app}");
    }
    let app =
        json!({"client_credentials_user": ordinary, "permitted_users": "admin_approved", "approved_users": [ordinary]});
    world.ok("POST", "/emulator/apps", json!([app])).await;
    let body = user.token_ok(&[CREDENTIALS]).await;
    let (_, info) = user.get("/services/oauth2/userinfo", text(&body, "access_token")).await;
    assert!(info.contains(&ordinary) && !info.contains(&integration));
}

#[tokio::test]
async fn the_password_grant_has_its_own_answer_and_its_own_errors() {
    let world = world(json!([{}])).await;
    let user = User::of(&world);
    let [name, _] = usernames(&world).await;
    let log_in = async |password: &str| {
        user.token(&[("grant_type", "password"), ("username", &name), ("password", password)]).await
    };
    let (status, body) = log_in(PASSWORD).await;
    assert_eq!(status, 200);
    let expected = ["access_token", "id", "instance_url", "issued_at", "signature", "token_type"];
    assert_eq!(keys(&body), expected);
    assert_eq!(log_in(&format!("{PASSWORD}{SECURITY_TOKEN}")).await.0, 200);
    let failure = json!({"error": "invalid_grant", "error_description": "authentication failure"});
    for wrong in ["wrong", SECURITY_TOKEN, &format!("{PASSWORD}T")] {
        assert_eq!(log_in(wrong).await, (400, failure.clone()), "{wrong}");
    }
    world.ok("POST", "/emulator/users", json!({"username": name, "password": "new"})).await;
    assert_eq!((log_in(PASSWORD).await.0, log_in("new").await.0), (400, 200));
    world.ok("POST", "/emulator/users", json!({"username": name, "active": false})).await;
    assert_eq!(log_in("new").await.1["error_description"], "inactive user");
    world.ok("POST", "/emulator/oauth", json!({"org_inactive": true})).await;
    assert_eq!(log_in("new").await.1["error_description"], "inactive organization");
    world.ok("POST", "/emulator/oauth", json!({"password_grant": false})).await;
    world.ok("POST", "/emulator/oauth", json!({"org_inactive": false})).await;
    let blocked = json!({"error": "unsupported_grant_type", "error_description": "grant type not supported"});
    assert_eq!(log_in("new").await, (400, blocked));
}

#[tokio::test]
async fn too_many_logins_of_a_user_are_refused_for_an_hour() {
    let world = world(json!([{}])).await;
    let user = User::of(&world);
    world.ok("POST", "/emulator/oauth", json!({"logins_per_hour": 2})).await;
    user.token_ok(&[CREDENTIALS]).await; // `World` has logged in once
    assert_eq!(user.refused(&[CREDENTIALS]).await, is("rate_limit_exceeded", "number of logins exceeded"));
    world.ok("POST", "/emulator/time", json!({"advance_seconds": 3_601})).await;
    user.token_ok(&[CREDENTIALS]).await;
}

#[tokio::test]
async fn any_refusal_can_be_asked_for_and_from_500_on_it_is_a_page() {
    let world = world(json!([{}])).await;
    let user = User::of(&world);
    let refuse = json!({"error": "invalid_grant", "error_description": "ip restricted", "times": 1});
    world.ok("POST", "/emulator/oauth", json!({"refuse": refuse})).await;
    assert_eq!(user.refused(&[CREDENTIALS]).await, is("invalid_grant", "ip restricted"));
    user.token_ok(&[CREDENTIALS]).await;
    world.ok("POST", "/emulator/oauth", json!({"refuse": {"status": 503}})).await;
    let form = [CREDENTIALS, ("client_id", &*user.key), ("client_secret", &*user.secret)];
    let answer = user.post("/services/oauth2/token", &form).await;
    assert_eq!(answer.status(), 503);
    assert!(answer.text().await.unwrap().contains("<html>"));
    world.ok("POST", "/emulator/oauth", json!({"refuse": null})).await;
    user.token_ok(&[CREDENTIALS]).await;
}

#[tokio::test]
async fn answers_come_in_the_form_that_was_asked_for() {
    let world = world(json!([{}])).await;
    let user = User::of(&world);
    let form =
        |format| vec![CREDENTIALS, ("client_id", &*user.key), ("client_secret", &*user.secret), ("format", format)];
    let answer = user.post("/services/oauth2/token", &form("urlencoded")).await;
    assert_eq!(answer.headers()["cache-control"], "no-cache, no-store");
    let body = answer.text().await.unwrap();
    assert!(url::form_urlencoded::parse(body.as_bytes()).any(|(key, value)| key == "token_type" && value == "Bearer"));
    let body = user.post("/services/oauth2/token", &form("xml")).await.text().await.unwrap();
    let document = roxmltree::Document::parse(&body).unwrap();
    assert_eq!(document.root_element().tag_name().name(), "OAuth");
    assert!(document.descendants().any(|node| node.has_tag_name("access_token")));
    let request = user.browser.post(format!("{}/services/oauth2/token", user.base)).header("accept", "application/xml");
    let body = request.form(&[("grant_type", "x")]).send().await.unwrap().text().await.unwrap();
    assert!(body.contains("<error>unsupported_grant_type</error>"), "{body}");
}
