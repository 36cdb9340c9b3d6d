//! Revoking, introspection, userinfo, identity; and what the REST API thinks of a token.

use serde_json::{Value as Json, json};

use super::support::{User, text, usernames, world};
use crate::tests::World;

async fn logged_in() -> (World, User, Json) {
    let world = world(json!([{}, {"consumer_key": "other", "consumer_secret": "s"}])).await;
    world.ok("POST", "/emulator/oauth", json!({"consent": "approve"})).await;
    let user = User::of(&world);
    let body = user.log_in().await;
    (world, user, body)
}

async fn introspect(user: &User, token: &str, key: &str, secret: &str) -> Json {
    let form = [("token", token), ("client_id", key), ("client_secret", secret)];
    user.post("/services/oauth2/introspect", &form).await.json().await.unwrap()
}

#[tokio::test]
async fn a_refresh_token_is_revoked_with_all_that_came_from_it() {
    let (_world, user, body) = logged_in().await;
    let (refresh, access) = (text(&body, "refresh_token"), text(&body, "access_token"));
    let (_, fresh) = user.refresh(refresh).await;
    let other = user.log_in().await;
    let revoked = user.post("/services/oauth2/revoke", &[("token", access)]).await;
    assert_eq!((revoked.status().as_u16(), revoked.text().await.unwrap()), (200, String::new()));
    assert_eq!(user.get("/services/data/v66.0/", access).await.0, 401);
    assert_eq!(user.get("/services/data/v66.0/", text(&fresh, "access_token")).await.0, 200);
    let url = format!("{}/services/oauth2/revoke?token={refresh}", user.base);
    assert_eq!(user.browser.get(url).send().await.unwrap().status(), 200);
    assert_eq!(user.get("/services/data/v66.0/", text(&fresh, "access_token")).await.0, 401);
    assert_eq!(user.get("/services/data/v66.0/", text(&other, "access_token")).await.0, 200);
    for (token, error) in [(access, "invalid_token"), (refresh, "invalid_token"), ("x", "unsupported_token_type")] {
        let answer = user.post("/services/oauth2/revoke", &[("token", token)]).await;
        assert_eq!(answer.status(), 400);
        assert_eq!(answer.json::<Json>().await.unwrap()["error"], error);
    }
}

#[tokio::test]
async fn introspection_tells_of_tokens_of_the_same_app() {
    let (world, user, body) = logged_in().await;
    let access = text(&body, "access_token");
    let told = introspect(&user, access, &user.key, &user.secret).await;
    assert_eq!((&told["active"], &told["token_type"]), (&json!(true), &json!("access_token")));
    assert_eq!((&told["sub"], &told["client_id"], &told["scope"]), (&body["id"], &json!(user.key), &body["scope"]));
    assert_eq!(told["username"], usernames(&world).await[0]);
    assert_eq!(told["exp"].as_i64().unwrap() - told["iat"].as_i64().unwrap(), 7_200);
    let refresh = introspect(&user, text(&body, "refresh_token"), &user.key, &user.secret).await;
    assert_eq!((&refresh["token_type"], refresh.get("exp")), (&json!("refresh_token"), None));
    for token in [access, "x"] {
        assert_eq!(introspect(&user, token, "other", "s").await, json!({"active": false}));
    }
    assert_eq!(introspect(&user, access, "other", "x").await["error"], "invalid_client");
    let app = json!([{}, {"consumer_key": "other", "consumer_secret": "s", "introspect_all": true}]);
    world.ok("POST", "/emulator/apps", app).await;
    assert_eq!(introspect(&user, access, "other", "s").await["active"], true);
    world.ok("POST", "/emulator/apps", json!([{"introspection": false}])).await;
    assert_eq!(introspect(&user, access, &user.key, &user.secret).await["error"], "unauthorized_client");
}

#[tokio::test]
async fn userinfo_and_the_identity_url_tell_who_somebody_is() {
    let (world, user, body) = logged_in().await;
    let access = text(&body, "access_token");
    let (status, info) = user.get("/services/oauth2/userinfo", access).await;
    let info: Json = serde_json::from_str(&info).unwrap();
    assert_eq!(status, 200);
    assert_eq!(info["organization_id"], world.org().org_id);
    assert_eq!(info["sub"], body["id"]);
    assert_eq!(info["urls"]["rest"], format!("{}/services/data/v{{version}}/", user.base));
    let path = text(&body, "id").strip_prefix(&user.base).unwrap();
    let (status, identity) = user.get(path, access).await;
    let identity: Json = serde_json::from_str(&identity).unwrap();
    assert_eq!((status, &identity["id"], &identity["asserted_user"]), (200, &body["id"], &json!(true)));
    assert_eq!(identity["user_id"], info["user_id"]);

    let org = &world.org().org_id;
    let [_, other] = usernames(&world).await;
    let users = world.ok("POST", "/emulator/users", json!({"username": other, "active": false})).await;
    let inactive = format!("/id/{org}/{}", text(&users[1], "id"));
    for (path, token, expected) in [
        ("/services/oauth2/userinfo", "x", (403, "Bad_OAuth_Token")),
        (path, "x", (403, "Bad_OAuth_Token")),
        ("/id/00D000000000001AAA/005000000000001AAA", access, (403, "Wrong_Org")),
        (&format!("/id/{org}/005000000000001AAA"), access, (404, "Bad_Id")),
        (&inactive, access, (404, "Inactive")),
    ] {
        assert_eq!(user.get(path, token).await, (expected.0, expected.1.to_owned()), "{path}");
    }
    let bare = user.browser.get(format!("{}{path}", user.base)).send().await.unwrap();
    assert_eq!((bare.status().as_u16(), bare.text().await.unwrap()), (403, "Missing_OAuth_Token".into()));
}

#[tokio::test]
async fn discovery_leads_to_what_is_there() {
    let (_world, user, body) = logged_in().await;
    let (_, found) = user.get("/.well-known/openid-configuration", "").await;
    let found: Json = serde_json::from_str(&found).unwrap();
    assert_eq!(found["issuer"], user.base);
    for name in ["userinfo_endpoint", "jwks_uri"] {
        let path = text(&found, name).strip_prefix(&user.base).unwrap();
        assert_eq!(user.get(path, text(&body, "access_token")).await.0, 200, "{name}");
    }
}

#[tokio::test]
async fn the_rest_api_tells_a_bad_header_a_bad_token_and_a_bad_session_apart() {
    let (world, user, body) = logged_in().await;
    let access = text(&body, "access_token");
    let call = async |authorization: Option<String>| {
        let mut request = user.browser.get(format!("{}/services/data/v66.0/", user.base));
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Json>().await.unwrap())
    };
    let refused = |code: &str, message: &str| (401, json!([{"errorCode": code, "message": message}]));
    let expired = refused("INVALID_SESSION_ID", "Session expired or invalid");
    assert_eq!(call(Some(format!("OAuth {access}"))).await.0, 200);
    assert_eq!(call(None).await, expired);
    assert_eq!(call(Some("Bearer x".into())).await, expired);
    for malformed in ["Basic eDp5", access, "Bearer"] {
        let answer = call(Some(malformed.into())).await;
        assert_eq!(answer, refused("INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE"), "{malformed}");
    }
    let unfit = refused("INVALID_SESSION_ID", "This session is not valid for use with the REST API");
    let narrow = user.exchange(&user.code(&[("scope", "id refresh_token")]).await).await;
    assert_eq!(call(Some(format!("Bearer {}", text(&narrow, "access_token")))).await, unfit);
    let [name, _] = usernames(&world).await;
    world.ok("POST", "/emulator/users", json!({"username": name, "api_enabled": false})).await;
    assert_eq!(call(Some(format!("Bearer {access}"))).await, unfit);
    let change = json!({"username": name, "api_enabled": true, "active": false});
    world.ok("POST", "/emulator/users", change).await;
    assert_eq!(call(Some(format!("Bearer {access}"))).await, expired);
    assert_eq!(user.refresh(text(&body, "refresh_token")).await.0, 400);
}

#[tokio::test]
async fn tokens_of_an_app_that_is_gone_are_gone() {
    let (world, user, body) = logged_in().await;
    world.ok("POST", "/emulator/apps", json!([{"rotation": true}])).await;
    assert_eq!(user.get("/services/data/v66.0/", text(&body, "access_token")).await.0, 200);
    world.ok("POST", "/emulator/apps", json!([{"consumer_key": "new"}])).await;
    assert_eq!(user.get("/services/data/v66.0/", text(&body, "access_token")).await.0, 401);
    let shown = world.ok("GET", "/emulator/apps", Json::Null).await;
    assert_eq!(shown, json!([{"name": "OrgBridge", "consumer_key": "new"}]));
}

#[tokio::test]
async fn userinfo_takes_the_token_from_a_form_too() {
    let (_world, user, login) = logged_in().await;
    let answer = user.post("/services/oauth2/userinfo", &[("access_token", text(&login, "access_token"))]).await;
    assert_eq!(answer.status(), 200);
    let answer = user.post("/services/oauth2/userinfo", &[("access_token", "x")]).await;
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (403, "Bad_OAuth_Token"));
}
