//! SOAP `login()` and `logout()`.

use roxmltree::Document;
use serde_json::json;

use super::support::{PASSWORD, SECURITY_TOKEN, User, emulator, usernames, world};
use crate::tests::World;

fn envelope(header: &str, body: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="utf-8" ?><env:Envelope xmlns:env="http://schemas.xmlsoap.org/soap/envelope/"
        xmlns:urn="urn:partner.soap.sforce.com"><env:Header>{header}</env:Header><env:Body>{body}</env:Body></env:Envelope>"#
    )
}

fn login(username: &str, password: &str) -> String {
    let body = format!(
        r#"<n1:login xmlns:n1="urn:partner.soap.sforce.com"><n1:username>{username}</n1:username>
        <n1:password>{password}</n1:password></n1:login>"#
    );
    envelope("", &body)
}

async fn send(user: &User, path: &str, body: String) -> (u16, String) {
    let request = user.browser.post(format!("{}/services/Soap/{path}", user.base)).header("content-type", "text/xml");
    let answer = request.header("SOAPAction", "login").body(body).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

fn value(xml: &str, name: &str) -> String {
    let document = Document::parse(xml).unwrap();
    let node = document.descendants().find(|node| node.tag_name().name() == name);
    node.unwrap_or_else(|| panic!("{name} in {xml}")).text().unwrap().to_owned()
}

async fn set_up() -> (World, User, String) {
    let world = world(json!([{}])).await;
    let user = User::of(&world);
    let [name, _] = usernames(&world).await;
    (world, user, name)
}

#[tokio::test]
async fn a_version_may_be_written_as_in_rest_paths() {
    let (_world, user, name) = set_up().await;
    let (status, xml) = send(&user, "u/v44.0", login(&name, PASSWORD)).await;
    assert_eq!(status, 200, "{xml}");
    assert!(value(&xml, "serverUrl").starts_with(&format!("{}/services/Soap/u/44.0/", user.base)));
    for path in ["u/vv44.0", "u/v5000.0", "u/v"] {
        assert_eq!(send(&user, path, login(&name, PASSWORD)).await.0, 500, "{path}");
    }
}

#[tokio::test]
async fn a_login_gives_a_session_for_the_rest_api_until_the_logout() {
    let (world, user, name) = set_up().await;
    for kind in ["u", "c"] {
        let (status, xml) = send(&user, &format!("{kind}/59.0"), login(&name, PASSWORD)).await;
        assert_eq!(status, 200, "{xml}");
        let short = &world.org().org_id[..15];
        assert_eq!(value(&xml, "serverUrl"), format!("{}/services/Soap/{kind}/59.0/{short}", user.base));
        assert_eq!(value(&xml, "metadataServerUrl"), format!("{}/services/Soap/m/59.0/{short}", user.base));
        assert_eq!(value(&xml, "organizationId"), world.org().org_id);
        assert!(value(&xml, "userId").starts_with("005"));
        // Old clients look for these by plain text.
        assert!(xml.contains("<sessionId>") && xml.contains("<passwordExpired>false<"));
        let session = value(&xml, "sessionId");
        assert_eq!(user.get("/services/data/v66.0/", &session).await.0, 200);
        let header = format!("<urn:SessionHeader><urn:sessionId>{session}</urn:sessionId></urn:SessionHeader>");
        let path = format!("{kind}/59.0/{short}");
        let (status, xml) = send(&user, &path, envelope(&header, "<urn:logout/>")).await;
        assert_eq!((status, xml.contains("logoutResponse")), (200, true));
        assert_eq!(user.get("/services/data/v66.0/", &session).await.0, 401);
        let (status, xml) = send(&user, &path, envelope(&header, "<urn:logout/>")).await;
        assert_eq!((status, &*value(&xml, "exceptionCode")), (500, "INVALID_SESSION_ID"));
    }
}

#[tokio::test]
async fn a_login_that_fails_is_a_fault() {
    let (world, user, name) = set_up().await;
    let message = "Invalid username, password, security token; or user locked out.";
    for (username, password) in [(&*name, "wrong"), ("nobody@example.com", PASSWORD), (&*name, "")] {
        let (status, xml) = send(&user, "u/66.0", login(username, password)).await;
        assert_eq!(status, 500);
        assert_eq!(value(&xml, "faultcode"), "INVALID_LOGIN");
        assert_eq!(value(&xml, "faultstring"), format!("INVALID_LOGIN: {message}"));
        assert!(xml.contains("<sf:exceptionCode>INVALID_LOGIN</sf:exceptionCode>"));
        assert!(xml.contains(&format!("<sf:exceptionMessage>{message}</sf:exceptionMessage>")));
    }
    let with_token = format!("{PASSWORD}{SECURITY_TOKEN}");
    assert_eq!(send(&user, "u/66.0", login(&name, &with_token)).await.0, 200);
    world.ok("POST", "/emulator/users", json!({"username": name, "active": false})).await;
    assert_eq!(send(&user, "u/66.0", login(&name, &with_token)).await.0, 500);
}

#[tokio::test]
async fn what_is_not_there_is_said_in_soap() {
    let (_world, user, name) = set_up().await;
    let (status, xml) = send(&user, "u/66.0", envelope("", "<urn:merge/>")).await;
    assert_eq!(status, 500);
    let text = value(&xml, "faultstring");
    assert!(text.starts_with("No operation available for request {urn:partner.soap.sforce.com}merge"), "{text}");
    assert_eq!(send(&user, "u/66.0", "no XML".into()).await.0, 500);
    assert_eq!(send(&user, "u/999.0", login(&name, PASSWORD)).await.0, 500);
    assert_eq!(send(&user, "x/66.0", login(&name, PASSWORD)).await.0, 404);
}

#[tokio::test]
async fn at_the_login_host_the_answer_leads_to_the_users_org() {
    let emulator = emulator().await;
    let user = User::at(emulator.login_url.as_ref().unwrap(), "", "");
    for org in &emulator.orgs {
        let url = format!("{}/emulator/users", org.base_url);
        let users: serde_json::Value = user.browser.get(url).send().await.unwrap().json().await.unwrap();
        let (status, xml) = send(&user, "u/66.0", login(users[0]["username"].as_str().unwrap(), PASSWORD)).await;
        assert_eq!(status, 200);
        assert!(value(&xml, "serverUrl").starts_with(&org.base_url));
        assert_eq!(value(&xml, "organizationId"), org.org_id);
    }
}

#[tokio::test]
async fn the_recycle_bin_is_reached_by_soap() {
    let (world, user, name) = set_up().await;
    let (_, xml) = send(&user, "u/66.0", login(&name, PASSWORD)).await;
    let session = value(&xml, "sessionId");
    let header = format!("<urn:SessionHeader><urn:sessionId>{session}</urn:sessionId></urn:SessionHeader>");
    let call = async |operation: &str, id: &str| {
        let body = format!("<urn:{operation}><urn:ids>{id}</urn:ids></urn:{operation}>");
        send(&user, "u/66.0", envelope(&header, &body)).await.1
    };
    let (_, xml) = send(&user, "u/66.0", envelope(&header, "<urn:getUserInfo/>")).await;
    assert_eq!(value(&xml, "userName"), name);
    let id = world.ok("POST", "sobjects/Account", json!({"Name": "A"})).await["id"].as_str().unwrap().to_owned();
    let path = format!("sobjects/Account/{id}");
    assert_eq!(value(&call("undelete", &id).await, "statusCode"), "UNDELETE_FAILED");
    world.ok("DELETE", &path, json!(null)).await;
    let xml = call("undelete", &id).await;
    assert_eq!((value(&xml, "id"), value(&xml, "success")), (id.clone(), "true".to_owned()));
    assert_eq!(world.ok("GET", &path, json!(null)).await["Name"], "A");
    assert_eq!(value(&call("emptyRecycleBin", &id).await, "success"), "false");
    world.ok("DELETE", &path, json!(null)).await;
    assert_eq!(value(&call("emptyRecycleBin", &id).await, "success"), "true");
    assert_eq!(value(&call("undelete", &id).await, "success"), "false");
    assert_eq!(value(&call("undelete", "x").await, "statusCode"), "MALFORMED_ID");
}
