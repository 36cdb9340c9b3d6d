//! The login host that all orgs share.

use serde_json::{Value as Json, json};

use super::support::{CERTIFICATE, PASSWORD, User, assertion, emulator, text};
use crate::tests::World;
use crate::{AppSpec, Emulator};

/// Both orgs have an app with the same key, and approve by themselves. A user at the login host.
async fn ready() -> (Emulator, User) {
    let mut emulator = emulator().await;
    let spec = json!({"consumer_key": "shared", "consumer_secret": "s", "certificate": CERTIFICATE});
    let user = User::at(emulator.login_url.as_ref().unwrap(), "shared", "s");
    for org in &mut emulator.orgs {
        org.set_apps(vec![serde_json::from_value::<AppSpec>(spec.clone()).unwrap()]).unwrap();
        assert_eq!((&*org.client_id, &*org.client_secret), ("shared", "s"));
        let url = format!("{}/emulator/oauth", org.base_url);
        let settings = json!({"consent": "approve"});
        assert_eq!(user.browser.post(url).json(&settings).send().await.unwrap().status(), 200);
    }
    (emulator, user)
}

async fn username(user: &User, emulator: &Emulator, org: usize) -> String {
    let url = format!("{}/emulator/users", emulator.orgs[org].base_url);
    let users: Json = user.browser.get(url).send().await.unwrap().json().await.unwrap();
    text(&users[0], "username").to_owned()
}

/// The answer leads to the org, and its token is good there and not elsewhere.
async fn belongs_to(user: &User, emulator: &Emulator, org: usize, body: &Json) {
    let own = &emulator.orgs[org];
    assert_eq!(body["instance_url"], own.base_url);
    assert!(text(body, "id").starts_with(&format!("{}/id/{}/", user.base, own.org_id)));
    let token = text(body, "access_token");
    for (place, expected) in [(org, 200), (1 - org, 401)] {
        let there = User::at(&emulator.orgs[place].base_url, "", "");
        assert_eq!(there.get("/services/data/v66.0/", token).await.0, expected);
    }
    let path = text(body, "id").strip_prefix(&user.base).unwrap();
    assert_eq!(user.get(path, token).await.0, 200);
    let (_, info) = user.get("/services/oauth2/userinfo", token).await;
    assert!(info.contains(&own.org_id));
}

#[tokio::test]
async fn an_org_that_is_called_by_the_name_of_a_login_host_refuses_client_credentials() {
    let world = World::new().await;
    let org = world.org();
    let ask = async |host: &str| {
        let form = [("grant_type", "client_credentials"), ("client_id", &*org.client_id)];
        let request = world.client.post(world.url("/services/oauth2/token")).header("host", host);
        let form = form.into_iter().chain([("client_secret", &*org.client_secret)]).collect::<Vec<_>>();
        request.form(&form).send().await.unwrap().json::<Json>().await.unwrap()
    };
    for host in ["login.salesforce.com", "TEST.salesforce.com:8443"] {
        assert_eq!(ask(host).await["error_description"], "request not supported on this domain");
    }
    assert_eq!(ask("acme.my.salesforce.com").await["instance_url"], "http://acme.my.salesforce.com");
}

#[tokio::test]
async fn every_grant_but_one_finds_the_org_of_the_user() {
    let (emulator, user) = ready().await;
    for org in [0, 1] {
        let name = username(&user, &emulator, org).await;
        let code = user.code(&[("login_hint", &name)]).await;
        let body = user.exchange(&code).await;
        belongs_to(&user, &emulator, org, &body).await;
        let (_, fresh) = user.refresh(text(&body, "refresh_token")).await;
        belongs_to(&user, &emulator, org, &fresh).await;
        let (_, jwt) = user.jwt(&assertion("shared", &name, json!({"aud": user.base}))).await;
        belongs_to(&user, &emulator, org, &jwt).await;
        let form = [("grant_type", "password"), ("username", &*name), ("password", PASSWORD)];
        belongs_to(&user, &emulator, org, &user.token_ok(&form).await).await;

        let form = [("token", text(&body, "refresh_token")), ("client_id", "shared"), ("client_secret", "s")];
        let told: Json = user.post("/services/oauth2/introspect", &form).await.json().await.unwrap();
        assert_eq!((&told["active"], &told["username"]), (&json!(true), &json!(name)));
        let form = [("token", text(&body, "refresh_token"))];
        assert_eq!(user.post("/services/oauth2/revoke", &form).await.status(), 200);
        assert_eq!(user.refresh(text(&body, "refresh_token")).await.0, 400);
    }
}

#[tokio::test]
async fn client_credentials_are_for_the_orgs_own_door() {
    let (emulator, user) = ready().await;
    let form = [("grant_type", "client_credentials")];
    let refused = ("invalid_grant".to_owned(), "request not supported on this domain".to_owned());
    assert_eq!(user.refused(&form).await, refused);
    let own = User::at(&emulator.orgs[0].base_url, "shared", "s");
    own.token_ok(&form).await;
}

#[tokio::test]
async fn there_is_no_api_and_no_control() {
    let (_emulator, user) = ready().await;
    let token = user.log_in().await;
    for path in ["/services/data/v66.0/", "/services/data", "/cometd/66.0", "/emulator", "/"] {
        assert_eq!(user.get(path, text(&token, "access_token")).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn the_page_offers_the_users_of_every_org_with_the_app() {
    let (emulator, user) = ready().await;
    for org in &emulator.orgs {
        let url = format!("{}/emulator/oauth", org.base_url);
        user.browser.post(url).json(&json!({"consent": "page"})).send().await.unwrap();
    }
    let html = user.authorize(&[]).await.text().await.unwrap();
    for org in [0, 1] {
        assert!(html.contains(&username(&user, &emulator, org).await));
    }
}

#[tokio::test]
async fn answers_keep_the_name_by_which_the_host_was_called() {
    let (emulator, user) = ready().await;
    let named = User::at(&user.base.replace("127.0.0.1", "localhost"), "shared", "s");
    let body = named.log_in().await;
    assert_eq!(body["instance_url"], emulator.orgs[0].base_url.replace("127.0.0.1", "localhost"));
    assert!(text(&body, "id").starts_with(&named.base));
}
