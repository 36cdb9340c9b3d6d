use axum::body::Bytes;
use axum::http::{HeaderMap, Method};
use serde_json::{Value as Json, json};

use super::*;
use crate::wire::Call;

fn call(method: &str, path: &str, body: &str) -> Call {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    Call::new(method, &path.parse().unwrap(), HeaderMap::new(), Bytes::from(body.to_owned()))
}

fn write() -> Call {
    call("PATCH", "/services/data/v66.0/composite/sobjects/Account/Source_Id__c", "")
}

fn read() -> Call {
    call("GET", "/services/data/v66.0/query?q=SELECT+Id+FROM+Account", "")
}

fn faults(rules: Json) -> Faults {
    let rules = Rule::read_all(rules.as_array().unwrap().clone()).unwrap();
    Faults::new(fastrand::Rng::with_seed(1), rules)
}

/// The numbers of the writes that are struck, from 1 on.
fn struck(faults: &mut Faults, writes: u64) -> Vec<u64> {
    let call = write();
    (1..=writes).filter(|_| faults.plan(&Target::of(&call)) != Plan::Normal).collect()
}

#[test]
fn a_rule_without_a_matcher_strikes_writes_of_the_data_api_only() {
    let mut faults = faults(json!([{"kind": "cut"}]));
    for (method, path) in [
        ("PATCH", "/services/data/v66.0/composite/sobjects/Account/Source_Id__c"),
        ("POST", "/services/data/v66.0/sobjects/Account"),
        ("DELETE", "/services/data/v66.0/sobjects/Account/001000000000001AAA"),
        ("PUT", "/services/data/v66.0/jobs/ingest/750000000000001AAA/batches"),
        ("POST", "/services/apexrest/accounts"),
    ] {
        assert_eq!(faults.plan(&Target::of(&call(method, path, ""))), Plan::Cut, "{path}");
    }
    for (method, path) in [
        ("GET", "/services/data/v66.0/query"),
        ("GET", "/services/data/v66.0/jobs/ingest/750000000000001AAA"),
        ("POST", "/services/data/v66.0/composite/sobjects/Account"), // reads many by their ids
        ("POST", "/services/oauth2/token"),
        ("POST", "/services/Soap/u/66.0"),
        ("POST", "/cometd/66.0"),
    ] {
        assert_eq!(faults.plan(&Target::of(&call(method, path, ""))), Plan::Normal, "{path}");
    }
    assert_eq!(faults.plan(&Target::rpc("Subscribe")), Plan::Normal);
}

#[test]
fn a_rule_strikes_only_where_every_part_of_its_matcher_fits() {
    let token = || call("POST", "/services/oauth2/token", "grant_type=password");
    let connect = || call("POST", "/cometd/66.0/connect", r#"[{"channel": "/meta/connect", "id": "1"}]"#);
    let cases: [(Json, Vec<Call>, Vec<Call>); 7] = [
        (json!({"of": "reads"}), vec![read()], vec![write(), token()]),
        (json!({"of": "data"}), vec![read(), write()], vec![token(), connect()]),
        (json!({"of": "all"}), vec![read(), write(), token(), connect()], vec![]),
        (
            json!({"method": "post"}),
            vec![call("POST", "/services/data/v66.0/sobjects/Lead", "")],
            vec![write(), token()],
        ),
        (json!({"path": "/services/oauth2/*"}), vec![token()], vec![write(), connect()]),
        (
            json!({"path": "*/query", "method": "GET"}),
            vec![read()],
            vec![call("POST", "/services/data/v66.0/query", "")],
        ),
        (
            json!({"channel": "/meta/con*"}),
            vec![connect()],
            vec![call("POST", "/cometd/66.0", r#"{"channel": "/meta/handshake"}"#)],
        ),
    ];
    for (mut rule, strikes, spares) in cases {
        rule["kind"] = json!("hold");
        let mut faults = faults(json!([rule]));
        assert!(strikes.iter().all(|call| faults.plan(&Target::of(call)) != Plan::Normal), "{rule}");
        assert!(spares.iter().all(|call| faults.plan(&Target::of(call)) == Plan::Normal), "{rule}");
    }
    let mut faults = faults(json!([{"kind": "refuse", "rpc": "Publish", "error_code": "publish.topic.mismatch"}]));
    assert_eq!(faults.plan(&Target::rpc("Subscribe")), Plan::Normal);
    let Plan::Refuse(refusal) = faults.plan(&Target::rpc("Publish")) else { panic!("not refused") };
    assert_eq!((refusal.grpc, refusal.error_code.as_deref()), (13, Some("publish.topic.mismatch")));
}

#[test]
fn only_the_nth_matching_request_is_struck() {
    assert_eq!(struck(&mut faults(json!([{"kind": "cut", "nth": 3}])), 6), [3]);
    assert_eq!(struck(&mut faults(json!([{"kind": "cut", "nth": [1, 4]}])), 6), [1, 4]);
    let mut faults = faults(json!([{"kind": "cut", "nth": 2}]));
    assert_eq!(faults.plan(&Target::of(&write())), Plan::Normal);
    assert_eq!(faults.plan(&Target::of(&read())), Plan::Normal, "a read does not count");
    assert_eq!(struck(&mut faults, 2), [1]);
}

#[test]
fn a_rule_strikes_at_most_so_many_times() {
    let mut faults = faults(json!([{"kind": "cut", "times": 2}]));
    assert_eq!(struck(&mut faults, 5), [1, 2]);
    assert_eq!(
        faults.shown()["rules"][0],
        json!({"name": "rule-1", "kind": "cut", "times": 2, "matched": 5, "struck": 2})
    );
}

#[test]
fn the_same_seed_strikes_the_same_requests_whatever_other_rules_do() {
    let rule = |seed: u64| json!({"kind": "cut", "percent": 30, "seed": seed});
    let alone = struck(&mut faults(json!([rule(7)])), 200);
    assert!((30..90).contains(&alone.len()), "{alone:?}");
    assert_eq!(struck(&mut faults(json!([rule(7)])), 200), alone);
    assert_ne!(struck(&mut faults(json!([rule(8)])), 200), alone);
    let mut both = faults(json!([{"kind": "hold", "nth": [1, 2, 3]}, rule(7)]));
    let call = write();
    let cut: Vec<u64> = (1..=200).filter(|_| both.plan(&Target::of(&call)) == Plan::Cut).collect();
    let behind: Vec<u64> = alone.into_iter().filter(|n| *n > 3).collect();
    assert_eq!(cut, behind);
}

#[test]
fn the_first_rule_that_strikes_has_the_request_and_all_count_it() {
    let mut faults = faults(json!([
        {"name": "second", "kind": "cut", "nth": 2},
        {"name": "always", "kind": "answer_late", "delay_ms": 5},
    ]));
    let late = Plan::AnswerLate(Duration::from_millis(5));
    let plans: Vec<Plan> = (0..3).map(|_| faults.plan(&Target::of(&write()))).collect();
    assert_eq!(plans, [late.clone(), Plan::Cut, late]);
    let counts = |place: usize| {
        let shown = faults.shown();
        (shown["rules"][place]["matched"].as_u64().unwrap(), shown["rules"][place]["struck"].as_u64().unwrap())
    };
    assert_eq!((counts(0), counts(1)), ((3, 1), (3, 2)));
}

#[test]
fn a_held_request_goes_on_when_its_rule_is_released_replaced_or_gone() {
    let hold = || Rule::read(json!({"name": "h", "kind": "hold"})).unwrap();
    let mut faults = Faults::new(fastrand::Rng::with_seed(1), vec![hold()]);
    let held = |faults: &mut Faults| match faults.plan(&Target::of(&write())) {
        Plan::Hold(held) => held,
        other => panic!("{other:?}"),
    };
    let first = held(&mut faults);
    assert!(faults.holds(first));
    assert!(faults.release("h") && !faults.release("other"));
    let second = held(&mut faults);
    assert_eq!((faults.holds(first), faults.holds(second)), (false, true));
    faults.put(hold());
    let third = held(&mut faults);
    assert_eq!((faults.holds(second), faults.holds(third)), (false, true));
    assert!(faults.remove("h") && !faults.remove("h"));
    assert!(!faults.holds(third) && faults.is_empty());
}

#[test]
fn about_the_named_share_of_records_is_locked_where_the_rule_matches() {
    let mut faults = faults(json!([{"kind": "lock", "percent": 10, "path": "*/Account/*", "seed": 3}]));
    let (_, locked) = faults.strike_records(&Target::of(&write()), accounts(10_000));
    let locked = locked.into_iter().filter(|locked| *locked).count();
    assert!((800..1_200).contains(&locked), "{locked}");
    let elsewhere = call("PATCH", "/services/data/v66.0/composite/sobjects/Lead/Source_Id__c", "");
    assert_eq!(faults.strike_records(&Target::of(&elsewhere), accounts(100)).1, vec![false; 100]);
    assert_eq!(faults.plan(&Target::of(&write())), Plan::Normal, "the request itself goes on");
    assert_eq!(faults.shown()["rules"][0]["matched"], 1, "a request counts once");
}

fn accounts(count: usize) -> Writes {
    let fields = |n: usize| Map::from_iter([("Name".to_owned(), json!(format!("A{n}")))]);
    (0..count).map(|n| Ok(Write::Create { object: 0, fields: fields(n) })).collect()
}

#[test]
fn only_records_that_are_meant_fail_with_the_code_of_the_rule_as_often_as_it_says() {
    let mut faults = faults(json!([
        {"kind": "item", "code": "BRAND_NEW_CODE", "message": "no", "fields": ["Name"], "where": {"name": "A1*"}, "times": 1},
        {"kind": "lock", "where": {"Name": "A2"}},
    ]));
    let (writes, locked) = faults.strike_records(&Target::of(&write()), accounts(12));
    let codes: Vec<_> = writes.iter().map(|write| write.as_ref().err().map(|error| error.code)).collect();
    let struck = [1, 10, 11];
    assert!(
        codes.iter().enumerate().all(|(n, code)| *code == struck.contains(&n).then_some("BRAND_NEW_CODE")),
        "{codes:?}"
    );
    assert!(locked.iter().enumerate().all(|(n, locked)| *locked == (n == 2)), "{locked:?}");
    let error = writes[1].as_ref().unwrap_err();
    assert_eq!((error.message.as_str(), &error.fields[..]), ("no", &["Name".to_owned()][..]));
    assert!(faults.strike_records(&Target::of(&write()), accounts(12)).0.iter().all(Result::is_ok));
    assert_eq!(faults.plan(&Target::of(&write())), Plan::Normal, "the request itself goes on");
}

#[test]
fn a_request_is_struck_for_a_record_in_it() {
    let upsert =
        |body: Json| call("PATCH", "/services/data/v66.0/composite/sobjects/Contact/Key__c", &body.to_string());
    let list = |records: Json| upsert(json!({"records": records}));
    let delete = |ids: &str| call("DELETE", &format!("/services/data/v66.0/composite/sobjects?ids={ids}"), "");
    for (records, strikes, spares) in [
        (
            json!({"LastName": "Roe"}),
            list(json!([{"LastName": "Doe"}, {"LastName": "Roe"}])),
            list(json!([{"LastName": "Doe"}])),
        ),
        (
            json!({"Account.Key__c": "7"}),
            list(json!([{"Account": {"Key__c": 7}}])),
            list(json!([{"Account": {"Key__c": 8}}])),
        ),
        (json!({"Id": "003*1AAA"}), delete("a,003000000000001AAA"), delete("003000000000002AAA")),
        (
            json!({"id": "003*", "Title": "*"}),
            list(json!([{"id": "003x", "Title": "T"}])),
            list(json!([{"id": "003x", "Title": null}])),
        ),
        (json!({"LastName": "Roe"}), upsert(json!({"LastName": "Roe"})), upsert(json!([]))),
    ] {
        let mut faults = faults(json!([{"kind": "cut", "where": records}]));
        assert_eq!(faults.plan(&Target::of(&strikes)), Plan::Cut, "{records}");
        assert_eq!(faults.plan(&Target::of(&spares)), Plan::Normal, "{records}");
    }
}

#[test]
fn a_delay_is_drawn_between_the_least_and_the_most() {
    let mut faults = faults(json!([{"kind": "cut_then_apply", "delay_ms": [10, 20]}]));
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..300 {
        let Plan::CutThenApply(delay) = faults.plan(&Target::of(&write())) else { panic!("not cut") };
        seen.insert(delay.as_millis());
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), (10..=20).collect::<Vec<_>>());
}

#[test]
fn a_mistake_is_told_with_its_key() {
    for (rule, key) in [
        (json!({}), "kind: one of refuse"),
        (json!({"kind": "explode"}), "kind: explode"),
        (json!({"kind": 5}), "kind:"),
        (json!({"kind": "cut", "delay_ms": 5}), "delay_ms: no key of cut"),
        (json!({"kind": "cut", "precent": 5}), "precent: no key of cut, which has name, kind"),
        (json!({"kind": "cut", "percent": 101}), "percent:"),
        (json!({"kind": "cut", "percent": "5"}), "percent:"),
        (json!({"kind": "cut", "nth": 0}), "nth:"),
        (json!({"kind": "cut", "nth": []}), "nth:"),
        (json!({"kind": "cut", "times": -1}), "times:"),
        (json!({"kind": "cut", "of": "everything"}), "of:"),
        (json!({"kind": "cut", "rpc": "Subscripe"}), "rpc: Subscripe"),
        (json!({"kind": "cut", "name": "a/b"}), "name:"),
        (json!({"kind": "item"}), "code:"),
        (json!({"kind": "item", "code": "X", "status": 400}), "status: no key of item"),
        (json!({"kind": "cut", "where": {}}), "where:"),
        (json!({"kind": "cut", "where": {"Name": null}}), "where:"),
        (json!({"kind": "answer_late"}), "delay_ms:"),
        (json!({"kind": "answer_late", "delay_ms": [3, 1]}), "delay_ms:"),
        (json!({"kind": "refuse", "status": 200}), "status:"),
        (json!({"kind": "refuse", "grpc_status": "OK"}), "grpc_status: OK"),
        (json!({"kind": "refuse", "error_code": 5}), "error_code:"),
        (json!({"kind": "do_then_fail", "how": "late"}), "how:"),
        (json!({"kind": "do_then_fail", "status": 500}), "status: no key of do_then_fail, which has"),
    ] {
        let problem = Rule::read(rule.clone()).unwrap_err();
        assert!(problem.starts_with(key), "{rule}: {problem}");
    }
    let twice = vec![json!({"name": "a", "kind": "cut"}), json!({"name": "a", "kind": "hold"})];
    assert_eq!(Rule::read_all(twice).unwrap_err(), "name: two rules are called a");
    let second = vec![json!({"kind": "cut"}), json!({"kind": "cut", "nth": 0})];
    assert!(Rule::read_all(second).unwrap_err().starts_with("rule 2: nth:"));
}

fn refusal(rule: Json) -> Refusal {
    match Rule::read(rule).unwrap().kind {
        Kind::Refuse(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_refusal_has_the_form_of_the_endpoint() {
    let busy = refusal(json!({"kind": "refuse", "retry_after": 7}));
    let answer = busy.answer(&write());
    assert_eq!((answer.status, &answer.headers[1]), (503, &("retry-after", "7".to_owned())));
    let body: Json = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(body[0]["errorCode"], "SERVER_UNAVAILABLE");
    let page = busy.answer(&call("POST", "/services/oauth2/token", ""));
    assert!(page.status == 503 && page.body.starts_with("<html>"), "{}", page.body);
    let denied = refusal(json!({"kind": "refuse", "status": 400, "code": "invalid_grant", "message": "ip restricted"}));
    let denied = denied.answer(&call("POST", "/services/oauth2/token", ""));
    let body: Json = serde_json::from_str(&denied.body).unwrap();
    assert_eq!((denied.status, body), (400, json!({"error": "invalid_grant", "error_description": "ip restricted"})));
    let soap = busy.answer(&call("POST", "/services/Soap/u/66.0", ""));
    assert!(soap.body.contains("<faultcode>SERVER_UNAVAILABLE</faultcode>"), "{}", soap.body);
    let connect = r#"[{"channel": "/meta/connect", "id": "6", "clientId": "c"}]"#;
    let bayeux = busy.answer(&call("POST", "/cometd/66.0", connect));
    let body: Json = serde_json::from_str(&bayeux.body).unwrap();
    assert_eq!((bayeux.status, &body[0]["error"]), (200, &json!("401::Authentication invalid")));
    let reason = "503::Server is too busy.  Please try your request again later.";
    assert_eq!((&body[0]["ext"]["sfdc"]["failureReason"], &body[0]["clientId"]), (&json!(reason), &json!("c")));
}

#[test]
fn status_and_code_follow_from_each_other_and_gateways_answer_with_a_page() {
    let limit = refusal(json!({"kind": "refuse", "code": "REQUEST_LIMIT_EXCEEDED"})).answer(&write());
    assert!(limit.status == 403 && limit.body.contains("TotalRequests Limit exceeded."));
    let gateway = refusal(json!({"kind": "refuse", "status": 502})).answer(&write());
    assert!(gateway.status == 502 && gateway.body.starts_with("<html>"));
    let own = refusal(json!({"kind": "refuse", "status": 503, "body": "<h1>Maintenance</h1>"}));
    assert_eq!(own.answer(&call("POST", "/cometd/66.0", "[]")).body, "<h1>Maintenance</h1>");
    for (rule, grpc, suffix) in [
        (json!({"kind": "refuse"}), 13, Some("service.unavailable")),
        (json!({"kind": "refuse", "status": 401}), 16, Some("service.auth.error")),
        (json!({"kind": "refuse", "grpc_status": "UNAVAILABLE", "error_code": null}), 14, None),
    ] {
        let refusal = refusal(rule);
        assert_eq!((refusal.grpc, refusal.error_code.as_deref()), (grpc, suffix));
    }
}
