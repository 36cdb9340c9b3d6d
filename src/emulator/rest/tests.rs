//! Whatever a client sends, it gets an answer of the right form.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, Method, Uri};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::{Request, intake, perform};
use crate::host::Host;
use crate::scenario::Scenario;
use crate::wire::{Answer, Call};

fn host() -> Arc<Host> {
    let no_delay = Duration::ZERO..=Duration::ZERO;
    Arc::new(Host::new("one", Scenario::standard(), 1, Duration::from_secs(1), no_delay).unwrap())
}

/// One request for each endpoint, and a good body for it.
fn endpoints() -> Vec<(&'static str, String, Json)> {
    let account = json!({"attributes": {"type": "Account"}, "Name": "A", "Source_Id__c": "a", "BillingCity": "Oslo",
        "NumberOfEmployees": 5, "Parent": {"Source_Id__c": "p"}});
    let many = json!({"allOrNone": false, "records": [account, account]});
    let invoice = json!({"Text__c": "t", "Paid__c": true, "Quantity__c": 5, "Weight__c": 1.5, "Due__c": "2026-03-01",
        "Sent__c": "2026-03-01T12:00:00.000Z", "Opens__c": "10:00:00Z", "Status__c": "Draft", "Tags__c": "Red;Blue",
        "Account__r": {"Source_Id__c": "a"}, "Contact_Email__c": "a@b.example", "Place__Latitude__s": 1});
    let sub = |method: &str, url: &str| {
        json!({"method": method, "url": format!("/services/data/v66.0/{url}"), "referenceId": format!("r{}", url.len()),
            "body": account, "httpHeaders": {"If-Match": "x"}})
    };
    let nodes = json!([
        sub("POST", "sobjects/Account"),
        sub("PATCH", "sobjects/Account/@{r16.id}"),
        sub("GET", "sobjects/Account/@{r16.list[0].id}?fields=Name")
    ]);
    vec![
        ("POST", "sobjects/Account".into(), json!({"Name": "A"})),
        ("POST", "sobjects/Invoice__c".into(), invoice.clone()),
        ("PATCH", "sobjects/Invoice__c/Ext__c/x".into(), invoice),
        ("PATCH", "sobjects/Account/001000000000001AAA".into(), account.clone()),
        ("GET", "sobjects/Account/describe".into(), Json::Null),
        ("GET", "sobjects/Account/updated?start=2026-03-01T00:00:00Z&end=2026-03-02T00:00:00Z".into(), Json::Null),
        ("GET", "sobjects/Account/deleted?start=x&end=y".into(), Json::Null),
        ("GET", "limits/recordCount?sObjects=Account".into(), Json::Null),
        ("POST", "composite/sobjects".into(), many.clone()),
        ("PATCH", "composite/sobjects".into(), many.clone()),
        ("PATCH", "composite/sobjects/Account/Source_Id__c".into(), many.clone()),
        ("PATCH", "composite/sobjects/Account/Id".into(), many),
        ("DELETE", "composite/sobjects?ids=001000000000001AAA,x".into(), Json::Null),
        ("POST", "composite/sobjects/Account".into(), json!({"ids": ["001000000000001AAA"], "fields": ["Name"]})),
        ("POST", "composite".into(), json!({"allOrNone": true, "compositeRequest": nodes})),
        ("POST", "composite".into(), json!({"compositeRequest": nodes})),
        ("POST", "composite/graph".into(), json!({"graphs": [{"graphId": "1", "compositeRequest": nodes}]})),
        (
            "POST",
            "composite/batch".into(),
            json!({"haltOnError": false, "batchRequests": [{"method": "PATCH", "url": "v66.0/sobjects/Account/Source_Id__c/b",
                "richInput": {"Name": "B"}}]}),
        ),
        (
            "POST",
            "composite/tree/Account".into(),
            json!({"records": [{"attributes": {"type": "Account", "referenceId": "r"}, "Name": "T",
                "Contacts": {"records": [{"attributes": {"type": "Contact", "referenceId": "s"}, "LastName": "L"}]}}]}),
        ),
    ]
}

/// Any JSON that is not too deep.
fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<i64>().prop_map(|n| json!(n)),
        any::<f64>().prop_map(|n| json!(n)),
        ".{0,12}".prop_map(Json::String),
        prop_oneof![
            Just("@{r16.id}"),
            Just("@{"),
            Just("@{}"),
            Just("1e999"),
            Just("001000000000001AAA"),
            Just("Account")
        ]
        .prop_map(|text| json!(text)),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::Array),
            prop::collection::btree_map("[A-Za-z_.]{0,10}", inner, 0..4)
                .prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
}

/// Puts a value in the place of the n-th node.
fn replace(json: &mut Json, n: &mut usize, by: &Json) {
    if *n == 0 {
        *json = by.clone();
    }
    *n = n.wrapping_sub(1);
    match json {
        Json::Array(list) => list.iter_mut().for_each(|item| replace(item, n, by)),
        Json::Object(map) => map.values_mut().for_each(|item| replace(item, n, by)),
        _ => {}
    }
}

fn send(host: &Arc<Host>, method: &str, path: &str, body: Bytes, gzip: bool) -> Option<Answer> {
    let uri: Uri = format!("/services/data/v66.0/{path}").parse().ok()?;
    let mut headers = HeaderMap::new();
    if gzip {
        headers.insert("content-encoding", HeaderValue::from_static("gzip"));
    }
    let mut call = Call::new(Method::from_bytes(method.as_bytes()).ok()?, &uri, headers, body);
    if let Err(refused) = intake::admit(&mut call, 66) {
        return Some(refused);
    }
    let user = host.org().integration_user();
    Some(perform(host, &Request::new(call, 66, user)))
}

/// A success, or the platform's array of errors; a tree has a form of its own.
fn well_formed(answer: &Answer) -> Result<(), String> {
    if answer.status < 400 {
        return match answer.body.is_empty() || serde_json::from_str::<Json>(&answer.body).is_ok() {
            true => Ok(()),
            false => Err(format!("{} {}", answer.status, answer.body)),
        };
    }
    let body: Json = serde_json::from_str(&answer.body).map_err(|_| format!("no JSON: {}", answer.body))?;
    let is_error = |error: &Json| error["errorCode"].is_string() && error["message"].is_string();
    let errors = body.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(is_error));
    let tree = body["hasErrors"] == true && body["results"].is_array();
    if errors || tree { Ok(()) } else { Err(format!("{} {body}", answer.status)) }
}

#[test]
fn every_endpoint_does_what_its_good_body_asks_for() {
    let host = host();
    for (method, path, body) in endpoints() {
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let answer = send(&host, method, &path, body, false).unwrap();
        assert_eq!(well_formed(&answer), Ok(()), "{path}");
        // Those that name a record or a time that is not there find nothing; nobody is refused for the body's form.
        assert!(!answer.body.contains("JSON_PARSER_ERROR") && answer.status != 405, "{path} {}", answer.body);
    }
}

#[test]
fn a_body_of_any_bytes_gets_an_answer_of_the_right_form() {
    let (host, endpoints) = (host(), endpoints());
    proptest!(|(place in 0..endpoints.len(), bytes in prop::collection::vec(any::<u8>(), 0..200), gzip: bool)| {
        let (method, path, _) = &endpoints[place];
        let answer = send(&host, method, path, bytes.into(), gzip).unwrap();
        prop_assert_eq!(well_formed(&answer), Ok(()));
    });
}

#[test]
fn a_good_body_with_other_values_in_it_gets_an_answer_of_the_right_form() {
    let (host, endpoints) = (host(), endpoints());
    let config = ProptestConfig::with_cases(1_000);
    proptest!(config, |(place in 0..endpoints.len(), n in 0_usize..24, by in any_json(), again in 0_usize..24)| {
        let (method, path, body) = &endpoints[place];
        let mut body = body.clone();
        replace(&mut body, &mut n.clone(), &by);
        replace(&mut body, &mut again.clone(), &by);
        let answer = send(&host, method, path, body.to_string().into(), false).unwrap();
        prop_assert_eq!(well_formed(&answer), Ok(()));
    });
}

#[test]
fn a_good_body_with_other_bytes_in_it_gets_an_answer_of_the_right_form() {
    let (host, endpoints) = (host(), endpoints());
    let config = ProptestConfig::with_cases(1_000);
    proptest!(config, |(place in 0..endpoints.len(), edits in prop::collection::vec((any::<usize>(), any::<u8>()), 1..4), cut in any::<usize>())| {
        let (method, path, body) = &endpoints[place];
        let mut bytes = body.to_string().into_bytes();
        for (at, byte) in edits {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        bytes.truncate(1 + cut % (2 * bytes.len()));
        let answer = send(&host, method, path, bytes.into(), false).unwrap();
        prop_assert_eq!(well_formed(&answer), Ok(()));
    });
}

#[test]
fn any_path_and_query_get_an_answer_of_the_right_form() {
    let host = host();
    let segment = prop_oneof![
        Just("sobjects".to_owned()),
        Just("composite".to_owned()),
        Just("Account".to_owned()),
        Just("updated".to_owned()),
        Just("limits".to_owned()),
        Just("tree".to_owned()),
        Just("Source_Id__c".to_owned()),
        "[ -~]{0,8}",
        "%[0-9A-F]{2}",
    ];
    let method =
        prop_oneof![Just("GET"), Just("HEAD"), Just("POST"), Just("PATCH"), Just("DELETE"), Just("PUT"), Just("X")];
    let segments = prop::collection::vec(segment, 0..5);
    proptest!(|(method in method, segments in segments, query in "[ -~]{0,20}")| {
        let path = format!("{}?{query}", segments.join("/"));
        if let Some(answer) = send(&host, method, &path, Bytes::new(), false) {
            prop_assert_eq!(well_formed(&answer), Ok(()), "{} {}", method, path);
        }
    });
}
