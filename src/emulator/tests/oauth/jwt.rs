//! The JWT bearer flow.

use serde_json::{Value as Json, json};

use super::support::{CERTIFICATE, User, assertion, keys, signed, text, usernames, world};
use crate::tests::World;

/// The integration user is pre-authorized; he and the app.
async fn ready() -> (World, User, String) {
    let world = world(json!([{}])).await;
    let [name, _] = usernames(&world).await;
    let app = json!([{"certificate": CERTIFICATE, "permitted_users": "admin_approved", "approved_users": [name]}]);
    world.ok("POST", "/emulator/apps", app).await;
    let user = User::of(&world);
    (world, user, name)
}

#[tokio::test]
async fn a_signed_assertion_logs_in_without_secret_and_without_refresh_token() {
    let (_world, user, name) = ready().await;
    let (status, body) = user.jwt(&assertion(&user.key, &name, json!({}))).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(keys(&body), ["access_token", "id", "instance_url", "scope", "token_type"]);
    let (_, info) = user.get("/services/oauth2/userinfo", text(&body, "access_token")).await;
    assert!(info.contains(&name));
    assert_eq!(user.get("/services/data/v66.0/", text(&body, "access_token")).await.0, 200);
}

#[tokio::test]
async fn the_login_hosts_and_the_own_base_are_audiences() {
    let (world, user, name) = ready().await;
    let port = world.org().base_url.rsplit(':').next().unwrap();
    for aud in [
        "https://login.salesforce.com",
        "https://test.salesforce.com",
        "https://login.salesforce.com/",
        &user.base,
        &format!("http://localhost:{port}"),
    ] {
        assert_eq!(user.jwt(&assertion(&user.key, &name, json!({"aud": aud}))).await.0, 200, "{aud}");
    }
    let audience_is_invalid = json!({"error": "invalid_grant", "error_description": "audience is invalid"});
    for aud in [json!("https://na1.salesforce.com"), json!("http://localhost:1"), json!(null), json!(["x"])] {
        let answer = user.jwt(&assertion(&user.key, &name, json!({"aud": aud}))).await;
        assert_eq!(answer, (400, audience_is_invalid.clone()));
    }
}

#[tokio::test]
async fn what_is_wrong_with_an_assertion_is_told_as_the_platform_tells_it() {
    let (world, user, name) = ready().await;
    let now = chrono::Utc::now().timestamp();
    let good = assertion(&user.key, &name, json!({}));
    let (message, signature) = good.rsplit_once('.').unwrap();
    let other = assertion(&user.key, &name, json!({"jti": "x"}));
    let claims = json!({"iss": user.key, "sub": name, "aud": "https://login.salesforce.com", "exp": now + 100});
    let cases = [
        ("not a JWT".to_owned(), "invalid assertion"),
        (format!("{message}.AAAA"), "invalid assertion"),
        (format!("{}.{signature}", other.rsplit_once('.').unwrap().0), "invalid assertion"),
        (signed(&json!({"alg": "none"}), &claims), "invalid assertion"),
        (signed(&json!({"alg": "HS256"}), &claims), "invalid assertion"),
        (assertion(&user.key, &name, json!({"exp": now - 1})), "invalid assertion"),
        (assertion(&user.key, &name, json!({"exp": null})), "invalid assertion"),
        (assertion("unknown", &name, json!({})), "client identifier invalid"),
        (assertion(&user.key, "nobody@example.com", json!({})), "user hasn't approved this consumer"),
        (assertion(&user.key, &name, json!({"prn": "nobody@example.com"})), "user hasn't approved this consumer"),
    ];
    for (assertion, description) in &cases {
        let (status, body) = user.jwt(assertion).await;
        assert_eq!((status, text(&body, "error_description")), (400, *description), "{assertion}");
    }
    let [_, ordinary] = usernames(&world).await;
    let (_, body) = user.jwt(&assertion(&user.key, &ordinary, json!({}))).await;
    assert_eq!(body["error"], "invalid_app_access");
    assert_eq!(body["error_description"], "user is not admin approved to access this app");
}

#[tokio::test]
async fn an_assertion_with_an_id_is_good_once() {
    let (_world, user, name) = ready().await;
    let once = assertion(&user.key, &name, json!({"jti": "1"}));
    assert_eq!(user.jwt(&once).await.0, 200);
    assert_eq!(user.jwt(&once).await.1["error_description"], "invalid assertion");
    let again = assertion(&user.key, &name, json!({}));
    assert_eq!((user.jwt(&again).await.0, user.jwt(&again).await.0), (200, 200));
}

#[tokio::test]
async fn an_assertion_may_end_far_ahead_unless_the_limit_is_on() {
    let (world, user, name) = ready().await;
    let now = chrono::Utc::now().timestamp();
    // The official command line tool counts in milliseconds.
    let far = [
        assertion(&user.key, &name, json!({"exp": now * 1_000})),
        assertion(&user.key, &name, json!({"exp": now + 600})),
    ];
    for assertion in &far {
        assert_eq!(user.jwt(assertion).await.0, 200);
    }
    world.ok("POST", "/emulator/oauth", json!({"jwt_exp_limit": true})).await;
    for assertion in &far {
        assert_eq!(user.jwt(assertion).await.1["error_description"], "invalid assertion");
    }
    assert_eq!(user.jwt(&assertion(&user.key, &name, json!({}))).await.0, 200);
}

#[tokio::test]
async fn the_end_of_an_assertion_may_be_a_text() {
    let (_world, user, name) = ready().await;
    let now = chrono::Utc::now().timestamp();
    for (exp, status) in [(format!("{}", now + 170), 200), (format!("{}", now - 1), 400), ("soon".to_owned(), 400)] {
        assert_eq!(user.jwt(&assertion(&user.key, &name, json!({"exp": exp}))).await.0, status, "{exp}");
    }
}

#[tokio::test]
async fn the_host_that_was_called_is_an_audience_under_any_name() {
    let (_world, user, name) = ready().await;
    let ask = async |host: &str| {
        let jwt = assertion(&user.key, &name, json!({"aud": "https://acme.my.salesforce.com"}));
        let form = [("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", &jwt)];
        let url = format!("{}/services/oauth2/token", user.base);
        user.browser.post(url).header("host", host).form(&form).send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask("acme.my.salesforce.com").await, 200);
    assert_eq!(ask("other.my.salesforce.com").await, 400);
}

#[tokio::test]
async fn a_user_who_may_authorize_himself_must_have_done_so() {
    let world = world(json!([{"certificate": CERTIFICATE}])).await;
    let user = User::of(&world);
    let [name, _] = usernames(&world).await;
    let jwt = assertion(&user.key, &name, json!({}));
    let (_, body) = user.jwt(&jwt).await;
    assert_eq!(body["error_description"], "user hasn't approved this consumer");
    world.ok("POST", "/emulator/oauth", json!({"consent": "approve"})).await;
    user.log_in().await;
    assert_eq!(user.jwt(&jwt).await.0, 200);
}

#[tokio::test]
async fn without_a_certificate_or_after_its_end_nobody_gets_in() {
    let (world, user, name) = ready().await;
    world.ok("POST", "/emulator/time", json!({"advance_seconds": 40i64 * 366 * 86_400})).await;
    let exp = chrono::Utc::now().timestamp() + 41 * 366 * 86_400;
    let (_, body) = user.jwt(&assertion(&user.key, &name, json!({"exp": exp}))).await;
    assert_eq!(body["error_description"], "invalid assertion");
    let app = json!([{"permitted_users": "admin_approved", "approved_users": [name]}]);
    world.ok("POST", "/emulator/apps", app).await;
    let (_, body) = user.jwt(&assertion(&user.key, &name, json!({"exp": exp}))).await;
    assert_eq!(body["error_description"], "invalid assertion");
    let bad = json!([{"certificate": "x"}]);
    let (status, body): (u16, Json) = world.call("POST", "/emulator/apps", bad).await;
    assert!(status == 400 && text(&body, "problem").contains("certificate"));
}
