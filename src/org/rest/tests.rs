//! The calls against an org on loopback: what is sent, and what becomes of each way to answer or not to answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Map, Value, json};

use super::super::testing::{Reply, ScriptedOrg, Seen, config};
use super::super::{CallError, Code, Disposition, Lost, OrgError, SaveResult, Timeouts};
use super::*;

const AS_USUAL: SaveOptions = SaveOptions { assignment_rules: AssignmentRules::Off, duplicates: Duplicates::Fail };
const IDS: [&str; 3] = ["001D000000IqhSLIAZ", "001D000000IRFmaIAH", "001xx000003DGb2AAG"];

fn ids() -> Vec<RecordId> {
    IDS.iter().map(|id| id.parse().unwrap()).collect()
}

fn account() -> ObjectName {
    "Account".parse().unwrap()
}

fn key() -> FieldName {
    "Ext__c".parse().unwrap()
}

fn records(count: usize) -> Vec<Map<String, Value>> {
    let record = |i| Map::from_iter([("Ext__c".to_owned(), json!(format!("x{i}"))), ("Phone".to_owned(), Value::Null)]);
    (0..count).map(record).collect()
}

fn saved(count: usize) -> Value {
    (0..count).map(|_| json!({"id": IDS[0], "success": true, "errors": [], "created": false})).collect()
}

async fn upsert_two(server: &ScriptedOrg) -> Result<Vec<SaveResult>, CallError> {
    server.org().upsert(&account(), &key(), records(2), AS_USUAL).await
}

#[tokio::test]
async fn an_upsert_is_one_request_with_a_result_for_each_record() {
    let answer = json!([
        {"id": IDS[0], "success": true, "errors": [], "created": true},
        {"success": false, "created": true, "errors": [{"statusCode": "INVALID_FIELD", "fields": [],
            "message": "Foreign key external ID: nope not found for field Ext__c in entity Account"}]},
    ]);
    let server = ScriptedOrg::start(move |_| {
        Reply::json(200, &answer).with("sforce-limit-info", "api-usage=18/5000; per-app-api-usage=1/2(appName=x)")
    })
    .await;
    let org = server.org();
    let results = org.upsert(&account(), &key(), records(2), AS_USUAL).await.unwrap();
    assert_eq!(results[0], SaveResult::Saved { id: ids()[0], created: Some(true) });
    let SaveResult::Refused(refusal) = &results[1] else { panic!("{results:?}") };
    assert_eq!(refusal.errors().next().unwrap().code, Code::ParentNotFound);

    let request = &server.calls()[0];
    assert_eq!(request.method, "PATCH");
    assert_eq!(request.target, "/services/data/v66.0/composite/sobjects/Account/Ext__c");
    assert_eq!(request.header("authorization"), Some("Bearer token-1"));
    assert_eq!(request.header("sforce-call-options"), Some("client=orgbridge"));
    assert!(request.header("accept-encoding").unwrap().contains("gzip"));
    assert!(request.header("content-type").unwrap().starts_with("application/json"));
    let body = request.json();
    assert_eq!(body["allOrNone"], json!(false));
    assert_eq!(body["records"][1], json!({"attributes": {"type": "Account"}, "Ext__c": "x1", "Phone": null}));
    let usage = org.api_usage().unwrap();
    assert_eq!((org.api_calls(), usage.used, usage.max, usage.calls), (1, 18, 5_000, 1));
}

#[tokio::test]
async fn what_a_call_asks_of_the_org_s_rules_is_in_its_headers_and_nothing_is_left_to_their_default() {
    let server = ScriptedOrg::start(|_| Reply::json(200, &saved(1))).await;
    let org = server.org();
    let rule = "01Q000000000001EAA".parse().unwrap();
    for (assignment_rules, duplicates) in [
        (AssignmentRules::Off, Duplicates::Fail),
        (AssignmentRules::Active, Duplicates::SaveAlerts),
        (AssignmentRules::Rule(rule), Duplicates::Fail),
    ] {
        let options = SaveOptions { assignment_rules, duplicates };
        org.upsert(&account(), &key(), records(1), options).await.unwrap();
        org.update(&account(), records(1), options).await.unwrap();
    }
    org.delete(&ids()[1..2]).await.unwrap();
    let calls = server.calls();
    let sent: Vec<_> = calls
        .iter()
        .map(|call| (call.header("sforce-auto-assign"), call.header("sforce-duplicate-rule-header")))
        .collect();
    let (off, active, one) =
        ((Some("FALSE"), None), (Some("TRUE"), Some("allowSave=true")), (Some("01Q000000000001EAA"), None));
    assert_eq!(sent, [off, off, active, active, one, one, (None, None)]);
}

#[tokio::test]
async fn numbers_are_sent_with_all_their_digits() {
    let server = ScriptedOrg::start(|_| Reply::json(200, &saved(1))).await;
    let number: Value = serde_json::from_str("1234567890123456.78").unwrap();
    let record = Map::from_iter([("Amount".to_owned(), number)]);
    server.org().upsert(&account(), &key(), vec![record], AS_USUAL).await.unwrap();
    assert!(String::from_utf8(server.calls()[0].body.clone()).unwrap().contains(":1234567890123456.78"));
}

#[tokio::test]
async fn updates_and_deletes_name_records_by_id_and_need_no_id_in_the_answer() {
    let server = ScriptedOrg::start(|_| Reply::json(200, &json!([{"success": true, "errors": []}]))).await;
    let org = server.org();
    let saved = vec![SaveResult::Saved { id: ids()[1], created: None }];
    let record = Map::from_iter([("id".to_owned(), json!(IDS[1])), ("Name".to_owned(), json!("A"))]);
    assert_eq!(org.update(&account(), vec![record], AS_USUAL).await.unwrap(), saved);
    assert_eq!(org.delete(&ids()[1..2]).await.unwrap(), saved);
    let calls = server.calls();
    assert_eq!(
        (calls[0].method.as_str(), calls[0].target.as_str()),
        ("PATCH", "/services/data/v66.0/composite/sobjects")
    );
    assert_eq!(calls[1].method, "DELETE");
    assert_eq!(calls[1].target, format!("/services/data/v66.0/composite/sobjects?ids={}&allOrNone=false", IDS[1]));
    assert!(calls[1].body.is_empty());
}

#[tokio::test]
async fn a_read_keeps_the_place_of_what_is_not_there() {
    let server = ScriptedOrg::start(|_| Reply::json(200, &json!([{"Id": IDS[0], "Name": "A"}, null, null]))).await;
    let found = server.org().read(&account(), &ids(), &["Id".parse().unwrap(), key()]).await.unwrap();
    assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, false]);
    let request = &server.calls()[0];
    assert_eq!(request.target, "/services/data/v66.0/composite/sobjects/Account");
    assert_eq!(request.json(), json!({"ids": IDS, "fields": ["Id", "Ext__c"]}));
}

#[tokio::test]
async fn a_query_is_followed_to_its_last_page() {
    let server = ScriptedOrg::start(|seen: &Seen| {
        let next = "/services/data/v66.0/query/01gD0000002HU6KIAW-2000";
        Reply::json(
            200,
            &if seen.target == next {
                json!({"totalSize": 2, "done": true, "records": [{"Id": IDS[1]}]})
            } else {
                json!({"totalSize": 2, "done": false, "nextRecordsUrl": next, "records": [{"Id": IDS[0]}]})
            },
        )
    })
    .await;
    let org = server.org();
    let soql = "SELECT Id FROM Account WHERE Name = 'A&B+C'";
    let rows = org.query(soql).await.unwrap();
    assert_eq!(rows.iter().map(|row| row["Id"].as_str().unwrap()).collect::<Vec<_>>(), &IDS[..2]);
    org.query_all(soql).await.unwrap();
    let calls = server.calls();
    let query = calls[0].target.strip_prefix("/services/data/v66.0/query?").unwrap();
    assert_eq!(url::form_urlencoded::parse(query.as_bytes()).collect::<Vec<_>>(), [("q".into(), soql.into())]);
    assert!(calls[2].target.starts_with("/services/data/v66.0/queryAll?q="));
    assert_eq!(org.api_calls(), 4);
}

#[tokio::test]
async fn a_query_whose_next_page_leads_elsewhere_or_nowhere_ends() {
    for page in [
        json!({"done": false, "nextRecordsUrl": "http://127.0.0.1:1/steal", "records": []}),
        json!({"done": false, "nextRecordsUrl": "/services/data/v66.0/query/x", "records": []}),
        json!({"done": false, "records": []}),
        json!({"records": []}),
        json!({"done": true}),
        json!({"done": true, "records": [null]}),
    ] {
        let answer = page.clone();
        let server = ScriptedOrg::start(move |_| Reply::json(200, &answer)).await;
        let error = server.org().query("SELECT Id FROM Account").await.unwrap_err();
        assert!(matches!(error, CallError::Unknown(Lost::Unreadable { .. })), "{page} gave {error}");
    }
}

#[tokio::test]
async fn an_expired_token_is_renewed_once_for_all_and_each_call_replayed_once() {
    let server = ScriptedOrg::start(|seen: &Seen| match seen.header("authorization") {
        Some("Bearer token-1") => Reply::expired(),
        _ => Reply::json(200, &saved(2)),
    })
    .await;
    let org = server.org();
    let (account, key) = (account(), key());
    let results = join_all((0..20).map(|_| org.upsert(&account, &key, records(2), AS_USUAL))).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(server.login_count(), 2);
    assert_eq!((server.calls().len(), org.api_calls()), (40, 40));
    let calls = server.calls();
    assert!(calls.iter().all(|call| call.body == calls[0].body), "a replay is the same request");
}

#[tokio::test]
async fn a_fresh_token_that_is_refused_too_is_a_missing_permission() {
    let server = ScriptedOrg::start(|_| Reply::expired()).await;
    let error = upsert_two(&server).await.unwrap_err();
    assert_eq!((server.login_count(), server.calls().len()), (2, 2));
    assert!(matches!(error, CallError::Refused { status: 401, .. }));
    assert!(matches!(error.disposition(), Disposition::Halt { remedy } if remedy.contains("API Enabled")));
}

#[tokio::test]
async fn a_renewal_that_fails_leaves_nothing_done() {
    let logins = Arc::new(AtomicUsize::new(0));
    let server = ScriptedOrg::raw(move |seen: &Seen| match seen.is_login() {
        true if logins.fetch_add(1, Ordering::SeqCst) == 0 => {
            let url = format!("http://{}", seen.header("host").unwrap());
            Reply::json(200, &super::super::testing::token_response(&url, 1))
        }
        true => Reply::text(502, "text/html", "<html>"),
        false => Reply::expired(),
    })
    .await;
    let error = upsert_two(&server).await.unwrap_err();
    assert!(matches!(error, CallError::LoginFailed(OrgError::Unavailable { status: 502, .. })));
    assert_eq!(error.disposition(), Disposition::Retry { after: None });
}

#[tokio::test]
async fn a_line_that_is_cut_leaves_the_outcome_unknown_and_nothing_is_sent_twice() {
    for reply in [Reply::Cut, Reply::CutWithin { status: 200 }] {
        let answer = reply.clone();
        let server = ScriptedOrg::start(move |_| answer.clone()).await;
        let org = server.org();
        let error = org.upsert(&account(), &key(), records(2), AS_USUAL).await.unwrap_err();
        assert_eq!(error, CallError::Unknown(Lost::Cut), "{reply:?}");
        assert_eq!(error.disposition(), Disposition::OutcomeUnknown);
        assert_eq!((server.calls().len(), org.api_calls()), (1, 1));
    }
}

#[tokio::test]
async fn a_write_without_an_answer_times_out_with_its_outcome_unknown() {
    let server = ScriptedOrg::start(|_| Reply::Silence).await;
    let org = server.org_with(Timeouts { write: Duration::from_millis(50), ..Timeouts::default() });
    let error = org.upsert(&account(), &key(), records(1), AS_USUAL).await.unwrap_err();
    assert_eq!(error, CallError::Unknown(Lost::TimedOut));
    assert_eq!(org.api_calls(), 1);
}

#[tokio::test]
async fn an_org_that_refuses_connections_was_sent_nothing() {
    let instance_that_is_gone = super::super::testing::token_response("http://127.0.0.1:1", 1);
    let server = ScriptedOrg::raw(move |_| Reply::json(200, &instance_that_is_gone)).await;
    let org = server.org();
    let error = org.upsert(&account(), &key(), records(1), AS_USUAL).await.unwrap_err();
    assert_eq!(error, CallError::NotSent);
    assert_eq!(error.disposition(), Disposition::Retry { after: None });
    assert_eq!(org.api_calls(), 0);
    // And where not even the login host answers.
    let nowhere = Org::new(config("http://127.0.0.1:1")).unwrap();
    let error = nowhere.query("SELECT Id FROM Account").await.unwrap_err();
    assert_eq!(error, CallError::LoginFailed(OrgError::Unreachable));
}

#[tokio::test]
async fn an_org_that_is_down_says_when_to_come_back() {
    let server = ScriptedOrg::start(|_| Reply::text(503, "text/html", "<html>").with("retry-after", "30")).await;
    let error = upsert_two(&server).await.unwrap_err();
    assert!(matches!(error, CallError::Refused { status: 503, .. }));
    assert_eq!(error.disposition(), Disposition::Retry { after: Some(Duration::from_secs(30)) });
}

#[tokio::test]
async fn a_gateway_in_html_leaves_the_outcome_unknown() {
    for reply in [Reply::text(502, "text/html", "<html>Bad Gateway</html>"), Reply::CutWithin { status: 502 }] {
        let server = ScriptedOrg::start(move |_| reply.clone()).await;
        let error = upsert_two(&server).await.unwrap_err();
        assert!(matches!(error, CallError::Unknown(Lost::Failed { status: 502, .. })), "{error}");
        assert_eq!(error.disposition(), Disposition::OutcomeUnknown);
    }
}

#[tokio::test]
async fn an_answer_that_does_not_speak_of_each_record_leaves_the_outcome_unknown() {
    let server = ScriptedOrg::start(|_| Reply::json(200, &saved(3))).await;
    assert_eq!(upsert_two(&server).await.unwrap_err(), CallError::Unknown(Lost::Count { sent: 2, got: 3 }));
    for reply in [
        Reply::text(200, "text/html", "<html>"),
        Reply::text(200, "application/json", ""),
        Reply::json(200, &json!({"hasErrors": false})),
        Reply::json(200, &json!([{"success": true}, {"success": true}])),
        Reply::json(200, &json!([null, null])),
    ] {
        let answer = reply.clone();
        let server = ScriptedOrg::start(move |_| answer.clone()).await;
        let error = upsert_two(&server).await.unwrap_err();
        assert_eq!(error, CallError::Unknown(Lost::Unreadable { status: 200 }), "{reply:?}");
    }
}

#[tokio::test]
async fn a_request_that_an_org_refuses_as_a_whole_is_split() {
    let body = json!([{"errorCode": "JSON_PARSER_ERROR", "message": "Cannot deserialize instance of date"}]);
    let server = ScriptedOrg::start(move |_| Reply::json(400, &body)).await;
    let error = upsert_two(&server).await.unwrap_err();
    assert_eq!(error.disposition(), Disposition::Split);
    assert_eq!(error.to_string(), "refused: HTTP 400 JSON_PARSER_ERROR");
}

#[tokio::test]
async fn what_no_org_would_take_makes_no_request() {
    let server = ScriptedOrg::start(|_| Reply::Cut).await;
    let org = server.org();
    let error = org.upsert(&account(), &key(), records(COLLECTION_MAX + 1), AS_USUAL).await.unwrap_err();
    assert_eq!(error.disposition(), Disposition::Split);
    assert_eq!(org.read(&account(), &vec![ids()[0]; READ_MAX + 1], &[key()]).await.unwrap_err(), error);
    assert_eq!(org.delete(&[]).await.unwrap(), []);
    assert_eq!(org.update(&account(), Vec::new(), AS_USUAL).await.unwrap(), []);
    assert_eq!(org.read(&account(), &[], &[key()]).await.unwrap(), []);
    assert_eq!((server.all().len(), org.api_calls()), (0, 0));
}

#[tokio::test]
async fn errors_name_no_token_and_no_value() {
    let server = ScriptedOrg::start(|_| Reply::Cut).await;
    let error = server.org().query("SELECT Id FROM Contact WHERE Name = 'Jane Roe'").await.unwrap_err();
    let printed = format!("{error} {error:?}");
    assert!(!printed.contains("Jane") && !printed.contains("token-1") && !printed.contains("127.0.0.1"), "{printed}");
}
