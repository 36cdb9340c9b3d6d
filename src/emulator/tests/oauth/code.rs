//! The web server flow: the page, the code, and what it is exchanged for.

use serde_json::{Value as Json, json};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::support::{CHALLENGE, REDIRECT, User, VERIFIER, keys, parameters, text, usernames, world};

#[tokio::test]
async fn a_user_allows_an_app_on_the_page_and_the_app_gets_all_it_asked_for() {
    let world = world(json!([{"name": "Bridge <&>"}])).await;
    let user = User::of(&world);
    let [_, ordinary] = usernames(&world).await;
    let page = user.authorize(&[("scope", "api refresh_token openid"), ("nonce", "\"><script>")]).await;
    assert_eq!(page.status(), 200);
    let html = page.text().await.unwrap();
    for part in
        ["Bridge &lt;&amp;&gt;", &ordinary, "<code>refresh_token</code>", "value=\"a b&amp;c\"", "Allow", "Deny"]
    {
        assert!(html.contains(part), "{part} in {html}");
    }
    assert!(!html.contains("<script") && !html.contains("<&>"));

    let form = [
        ("response_type", "code"),
        ("client_id", &*user.key),
        ("redirect_uri", REDIRECT),
        ("scope", "api refresh_token openid"),
        ("state", "a b&c"),
        ("nonce", "n1"),
        ("code_challenge", CHALLENGE),
        ("username", &ordinary),
        ("decision", "allow"),
    ];
    let brought = parameters(&user.post("/services/oauth2/authorize", &form).await);
    assert_eq!(brought["state"], "a b&c");
    assert!(brought["code"].ends_with("=="));
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &*brought["code"]),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
    ];
    let body = user.token_ok(&form).await;
    let all = [
        "access_token",
        "id",
        "id_token",
        "instance_url",
        "issued_at",
        "refresh_token",
        "scope",
        "signature",
        "token_type",
    ];
    assert_eq!(keys(&body), all);
    assert_eq!(body["scope"], "api refresh_token openid");
    let claims = text(&body, "id_token").split('.').nth(1).unwrap();
    let claims: Json = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    assert_eq!((&claims["nonce"], &claims["sub"], &claims["aud"]), (&json!("n1"), &body["id"], &json!(user.key)));

    let (status, info) = user.get("/services/oauth2/userinfo", text(&body, "access_token")).await;
    assert_eq!(status, 200);
    assert!(info.contains(&ordinary));
    assert_eq!(user.get("/services/data/v66.0/", text(&body, "access_token")).await.0, 200);
}

#[tokio::test]
async fn deny_on_the_page_goes_back_to_the_app() {
    let world = world(json!([{}])).await;
    let user = User::of(&world);
    let form = [
        ("response_type", "code"),
        ("client_id", &*user.key),
        ("redirect_uri", REDIRECT),
        ("state", "s"),
        ("decision", "deny"),
    ];
    let brought = parameters(&user.post("/services/oauth2/authorize", &form).await);
    assert_eq!(brought["error"], "access_denied");
    assert_eq!(brought["error_description"], "end-user denied authorization");
    assert_eq!(brought["state"], "s");
}

#[tokio::test]
async fn a_hint_picks_the_user() {
    let world = world(json!([{}])).await;
    let user = User::of(&world);
    let [integration, ordinary] = usernames(&world).await;
    let html = user.authorize(&[("login_hint", &ordinary)]).await.text().await.unwrap();
    assert!(html.contains(&format!("<option value=\"{ordinary}\">")) && !html.contains(&integration));
    let hint = [("login_hint", &*ordinary), ("prompt", "login select_account")];
    let html = user.authorize(&hint).await.text().await.unwrap();
    let place = |name: &str| html.find(&format!("<option value=\"{name}\">")).unwrap();
    assert!(place(&ordinary) < place(&integration));
    world.ok("POST", "/emulator/oauth", json!({"consent": "approve"})).await;
    let body = user.exchange(&user.code(&[("login_hint", &ordinary)]).await).await;
    let (_, info) = user.get("/services/oauth2/userinfo", text(&body, "access_token")).await;
    assert!(info.contains(&ordinary));
}

#[tokio::test]
async fn what_must_not_reach_the_app_stays_on_a_page() {
    let world = world(json!([{}, {"consumer_key": "closed", "blocked": true}])).await;
    let user = User::of(&world);
    for (more, error) in [
        (("client_id", "<x>"), "invalid_client_id"),
        (("client_id", "closed"), "invalid_client_id"),
        (("client_id", ""), "invalid_request"),
        (("redirect_uri", "http://localhost:1717/OauthRedirect/"), "redirect_uri_mismatch"),
        (("redirect_uri", "http://evil.example.com/"), "redirect_uri_mismatch"),
        (("redirect_uri", ""), "redirect_uri_missing"),
    ] {
        let page = user.authorize(&[more]).await;
        assert_eq!(page.status(), 400);
        let html = page.text().await.unwrap();
        assert!(html.contains(&format!("error={error}")) && !html.contains("<x>"), "{html}");
    }
}

#[tokio::test]
async fn mistakes_behind_the_redirect_go_back_to_the_app() {
    let world = world(json!([{"scopes": ["api"], "require_pkce": true}])).await;
    let user = User::of(&world);
    let challenge = ("code_challenge", CHALLENGE);
    for (more, error, description) in [
        (vec![("response_type", "token"), challenge], "unsupported_response_type", "response type not supported"),
        (vec![("response_type", ""), challenge], "unsupported_response_type", "response type not supported"),
        (
            vec![("scope", "api full"), challenge],
            "invalid_scope",
            "the requested scope is invalid, unknown, or malformed",
        ),
        (vec![], "invalid_request", "missing required code challenge"),
        (vec![("code_challenge", "short")], "invalid_request", "invalid code challenge"),
        (vec![challenge, ("code_challenge_method", "plain")], "invalid_request", "invalid code challenge method"),
        (vec![challenge, ("immediate", "true")], "immediate_unsuccessful", "the user has not approved the app yet"),
    ] {
        let brought = user.redirected(&more).await;
        assert_eq!((&*brought["error"], &*brought["error_description"]), (error, description));
        assert_eq!(brought["state"], "a b&c");
    }
    world.ok("POST", "/emulator/oauth", json!({"consent": "deny"})).await;
    assert_eq!(user.redirected(&[challenge]).await["error"], "access_denied");
    world.ok("POST", "/emulator/oauth", json!({"consent": "approve", "org_inactive": true})).await;
    assert_eq!(user.redirected(&[challenge]).await["error"], "inactive_org");
    world.ok("POST", "/emulator/oauth", json!({"org_inactive": false})).await;
    let [_, ordinary] = usernames(&world).await;
    world.ok("POST", "/emulator/users", json!({"username": ordinary, "active": false})).await;
    let hint = ("login_hint", &*ordinary);
    assert_eq!(user.redirected(&[challenge, hint]).await["error"], "inactive_user");
    world.ok("POST", "/emulator/apps", json!([{"flows": ["jwt"]}])).await;
    assert_eq!(user.redirected(&[]).await["error"], "unauthorized_client");
    world.ok("POST", "/emulator/apps", json!([{"permitted_users": "admin_approved"}])).await;
    assert_eq!(user.redirected(&[]).await["error"], "invalid_app_access");
}

#[tokio::test]
async fn an_immediate_request_works_once_the_user_has_approved() {
    let world = world(json!([{}])).await;
    let user = User::of(&world);
    world.ok("POST", "/emulator/oauth", json!({"consent": "approve"})).await;
    user.log_in().await;
    world.ok("POST", "/emulator/oauth", json!({"consent": "page"})).await;
    assert!(user.redirected(&[("immediate", "true")]).await.contains_key("code"));
    world.ok("POST", "/emulator/apps", json!([{"require_secret": false}])).await;
    assert_eq!(user.redirected(&[("immediate", "true")]).await["error"], "immediate_unsuccessful");
}

#[tokio::test]
async fn a_public_client_needs_no_secret_but_a_wrong_one_is_wrong() {
    let world = world(json!([{"require_secret": false, "require_secret_for_refresh": false}])).await;
    let user = User::of(&world);
    world.ok("POST", "/emulator/oauth", json!({"consent": "approve"})).await;
    let code = user.code(&[("code_challenge", CHALLENGE), ("code_challenge_method", "S256")]).await;
    let mut form = vec![
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
        ("client_secret", "x"),
    ];
    assert_eq!(user.refused(&form).await.0, "invalid_client");
    form[4].1 = "";
    let body = user.token_ok(&form).await;
    let refresh =
        [("grant_type", "refresh_token"), ("refresh_token", text(&body, "refresh_token")), ("client_secret", "")];
    user.token_ok(&refresh).await;
}

#[tokio::test]
async fn without_the_scope_there_is_no_refresh_token_and_no_id_token() {
    let world = world(json!([{"scopes": ["api", "refresh_token", "openid"]}])).await;
    let user = User::of(&world);
    world.ok("POST", "/emulator/oauth", json!({"consent": "approve"})).await;
    let body = user.exchange(&user.code(&[("scope", "api")]).await).await;
    assert_eq!(body["scope"], "api");
    assert_eq!((body.get("refresh_token"), body.get("id_token")), (None, None));
    let all = user.log_in().await;
    assert_eq!(all["scope"], "api refresh_token openid");
    assert!(all["refresh_token"].is_string());
}
