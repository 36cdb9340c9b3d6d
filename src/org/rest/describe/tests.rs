//! How often an org is asked for a describe, and on what condition.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use serde_json::{Value as Json, json};

use super::super::super::testing::{Reply, ScriptedOrg, Seen};
use super::*;

const MODIFIED: &str = "Tue, 15 Nov 1994 08:12:31 GMT";
const LATER: &str = "Tue, 15 Nov 1994 09:00:00 GMT";

fn account() -> ObjectName {
    "Account".parse().unwrap()
}

fn describe(fields: &[&str]) -> Json {
    let fields: Vec<Json> = fields.iter().map(|name| json!({"name": name, "type": "string"})).collect();
    json!({"name": "Account", "fields": fields})
}

/// An org that knows the condition: unchanged since `MODIFIED`.
async fn unchanged() -> ScriptedOrg {
    ScriptedOrg::start(|seen: &Seen| match seen.header("if-modified-since") {
        Some(MODIFIED) => Reply::text(304, "application/json", ""),
        Some(other) => panic!("not the org's own time: {other}"),
        None => Reply::json(200, &describe(&["Id"])).with("last-modified", MODIFIED).with("date", LATER),
    })
    .await
}

#[tokio::test]
async fn all_who_ask_at_once_share_one_request_and_those_who_come_later_make_none() {
    let server = ScriptedOrg::start(|_| Reply::json(200, &describe(&["Id", "Name"]))).await;
    let org = server.org();
    let (account, same) = (account(), "ACCOUNT".parse().unwrap());
    let answers = join_all((0..20).map(|i| org.describe(if i % 2 == 0 { &account } else { &same }))).await;
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap().has("name")));
    assert!(org.describe(&account).await.unwrap().has("Id"));
    assert_eq!(server.calls().len(), 1);
    assert_eq!(server.calls()[0].target, "/services/data/v66.0/sobjects/Account/describe");
}

#[tokio::test]
async fn all_who_wait_for_an_ask_that_fails_get_its_error_and_the_next_asks_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let server = ScriptedOrg::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::json(404, &json!([{"errorCode": "NOT_FOUND", "message": "The requested resource does not exist"}])),
        _ => Reply::json(200, &describe(&["Id"])),
    })
    .await;
    let (org, account) = (server.org(), account());
    let answers = join_all((0..5).map(|_| org.describe(&account))).await;
    assert!(answers.iter().all(|answer| matches!(answer, Err(CallError::Refused { status: 404, .. }))));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert!(org.describe(&account).await.is_ok());
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn what_is_forgotten_is_asked_for_again_and_the_rest_is_not() {
    let server = ScriptedOrg::start(|seen: &Seen| match seen.target.ends_with("/sobjects") {
        true => Reply::json(200, &json!({"sobjects": [{"name": "Account", "label": "Account"}]})),
        false => Reply::json(200, &describe(&["Id"])),
    })
    .await;
    let (org, account, contact) = (server.org(), account(), "Contact".parse().unwrap());
    let all = async || {
        org.describe(&account).await.unwrap();
        org.describe(&contact).await.unwrap();
        org.describe_global().await.unwrap();
        server.calls().len()
    };
    assert_eq!((all().await, all().await), (3, 3));
    org.forget_describe(&"account".parse().unwrap());
    assert_eq!((all().await, all().await), (4, 4));
    org.forget_describes();
    assert_eq!((all().await, all().await), (7, 7));
    // Another org may be behind the login from now on.
    org.pin("00D5e000000ABCDEA4");
    assert_eq!(all().await, 10);
}

#[tokio::test]
async fn asking_whether_it_has_changed_names_the_time_that_the_org_gave() {
    let server = unchanged().await;
    let (org, account) = (server.org(), account());
    let first = org.refresh_describe(&account).await.unwrap();
    let second = org.refresh_describe(&account).await.unwrap();
    let third = org.refresh_describe(&account).await.unwrap();
    assert!(Arc::ptr_eq(&first, &second) && Arc::ptr_eq(&second, &third));
    let conditions: Vec<bool> = server.calls().iter().map(|call| call.header("if-modified-since").is_some()).collect();
    assert_eq!(conditions, [false, true, true]);
}

#[tokio::test]
async fn asking_now_sets_no_condition_and_what_was_answered_is_known_to_all() {
    let asked = Arc::new(AtomicUsize::new(0));
    let server = ScriptedOrg::start(move |seen: &Seen| {
        assert_eq!(seen.header("if-modified-since"), None);
        let fields: &[&str] = if asked.fetch_add(1, Ordering::SeqCst) < 2 { &["Id"] } else { &["Id", "New__c"] };
        Reply::json(200, &describe(fields)).with("last-modified", MODIFIED).with("date", LATER)
    })
    .await;
    let (org, account) = (server.org(), account());
    let first = org.describe(&account).await.unwrap();
    assert!(Arc::ptr_eq(&first, &org.describe_now(&account).await.unwrap()), "nothing has changed");
    assert!(org.describe_now(&account).await.unwrap().has("New__c"));
    assert!(org.describe(&account).await.unwrap().has("New__c"));
    assert_eq!(server.calls().len(), 3);
}

#[tokio::test]
async fn what_is_known_stays_known_when_asking_again_fails() {
    let asked = Arc::new(AtomicUsize::new(0));
    let server = ScriptedOrg::start(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::json(200, &describe(&["Id"])),
        _ => Reply::text(503, "text/html", "<html>"),
    })
    .await;
    let (org, account) = (server.org(), account());
    org.describe(&account).await.unwrap();
    assert!(org.refresh_describe(&account).await.is_err());
    assert!(org.describe_now(&account).await.is_err());
    assert!(org.describe(&account).await.unwrap().has("Id"));
    assert_eq!(server.calls().len(), 3);
}

#[tokio::test]
async fn an_answer_that_is_no_describe_is_not_taken_for_an_object_without_fields() {
    for reply in [
        Reply::json(200, &json!({"name": "Account"})),
        Reply::text(200, "application/json", ""),
        Reply::text(304, "x", ""),
    ] {
        let server = ScriptedOrg::start(move |_| reply.clone()).await;
        assert!(server.org().describe(&account()).await.is_err());
    }
    let server = ScriptedOrg::start(|_| Reply::json(200, &json!([]))).await;
    assert!(server.org().describe_global().await.is_err());
}
