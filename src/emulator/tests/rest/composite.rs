//! Several requests in one.

use serde_json::{Value as Json, json};

use crate::tests::World;

const HALTED: &str = "The transaction was rolled back since another operation in the same transaction failed.";

fn post(reference: &str, object: &str, body: Json) -> Json {
    json!({"method": "POST", "url": format!("/services/data/v66.0/sobjects/{object}"), "referenceId": reference, "body": body})
}

fn get(reference: &str, url: &str) -> Json {
    json!({"method": "GET", "url": url, "referenceId": reference})
}

#[tokio::test]
async fn a_subrequest_uses_the_answers_of_earlier_ones() {
    let world = World::new().await;
    let body = json!({"compositeRequest": [
        post("refA", "Account", json!({"Name": "A", "NumberOfEmployees": 5})),
        get("refGet", "/services/data/v66.0/sobjects/Account/@{refA.id}?fields=Name,NumberOfEmployees"),
        post("refC", "Contact", json!({"LastName": "of @{refGet.Name}", "AccountId": "@{refA.id}"})),
        get("refQ", "/services/data/v66.0/query?q=SELECT Id, LastName FROM Contact WHERE AccountId = '@{refA.id}'"),
        {"method": "PATCH", "url": "/services/data/v66.0/sobjects/Contact/@{refQ.records[0].Id}", "referenceId": "refP",
            "body": {"Title": "T", "Department": "@{refGet.Name}"}},
        {"method": "PATCH", "url": "/services/data/v66.0/sobjects/Account/@{refA.id}", "referenceId": "refN",
            "body": {"NumberOfEmployees": "@{refGet.NumberOfEmployees}"}},
        {"method": "POST", "url": "/services/data/v66.0/composite/sobjects", "referenceId": "refMany",
            "body": {"records": [{"attributes": {"type": "Account"}, "Name": "M1"}, {"attributes": {"type": "Account"}, "Name": "M2"}]}},
        get("refM", "/services/data/v66.0/sobjects/Account/@{refMany[1].id}?fields=Name"),
    ]});
    let calls = world.org().stats()["api_calls"].as_u64().unwrap();
    let answer = world.ok("POST", "composite", body).await;
    assert_eq!(world.org().stats()["api_calls"], calls + 1);
    let list = answer["compositeResponse"].as_array().unwrap();
    let statuses: Vec<_> = list.iter().map(|item| item["httpStatusCode"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [201, 200, 201, 200, 204, 204, 200, 200], "{answer}");
    let id = list[0]["body"]["id"].as_str().unwrap();
    let location = format!("/services/data/v66.0/sobjects/Account/{id}");
    assert_eq!(
        list[0],
        json!({"body": {"id": id, "success": true, "errors": []}, "httpHeaders": {"Location": location},
            "httpStatusCode": 201, "referenceId": "refA"})
    );
    assert_eq!(list[4]["body"], Json::Null);
    assert_eq!(list[3]["body"]["records"][0]["LastName"], "of A");
    assert_eq!(list[7]["body"]["Name"], "M2");
    assert_eq!(world.query("SELECT Id FROM Contact WHERE Department = 'A' AND Title = 'T'").await["totalSize"], 1);
}

#[tokio::test]
async fn a_failure_takes_everything_back_where_all_or_none_is_asked_for() {
    let world = World::new().await;
    let body = |all_or_none: bool| {
        json!({"allOrNone": all_or_none, "collateSubrequests": true, "compositeRequest": [
            post("ok", "Account", json!({"Name": "A"})),
            {"method": "POST", "url": "/services/data/v66.0/composite/sobjects", "referenceId": "many",
                "body": {"records": [{"attributes": {"type": "Account"}, "Name": "M"}]}},
            post("bad", "Contact", json!({"FirstName": "F"})),
            post("lost", "Contact", json!({"LastName": "L", "AccountId": "@{bad.id}"})),
        ]})
    };
    let commits = world.org().stats()["commits"].as_u64().unwrap();
    let answer = world.ok("POST", "composite", body(true)).await;
    let list = answer["compositeResponse"].as_array().unwrap();
    for place in [0, 1, 3] {
        assert_eq!(list[place]["httpStatusCode"], 400);
        assert_eq!(list[place]["body"], json!([{"errorCode": "PROCESSING_HALTED", "message": HALTED}]));
    }
    let missing = json!([{"errorCode": "REQUIRED_FIELD_MISSING", "message": "Required fields are missing: [LastName]",
        "fields": ["LastName"]}]);
    assert_eq!(list[2]["body"], missing);
    assert_eq!(world.count("Account").await, 0);
    assert_eq!(world.org().stats()["commits"], commits);

    let answer = world.ok("POST", "composite", body(false)).await;
    let list = answer["compositeResponse"].as_array().unwrap();
    let statuses: Vec<_> = list.iter().map(|item| item["httpStatusCode"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [201, 200, 400, 400]);
    let message = "Invalid reference specified. No value for bad.id found in bad";
    assert_eq!(list[3]["body"], json!([{"errorCode": "PROCESSING_HALTED", "message": message}]));
    assert_eq!(world.count("Account").await, 2);
}

#[tokio::test]
async fn one_unit_of_work_is_one_transaction_of_events() {
    let world = World::new().await;
    let before = world.org().stats()["events"].as_u64().unwrap();
    let update = json!({"method": "PATCH", "url": "/services/data/v66.0/sobjects/Account/@{a.id}", "referenceId": "b", "body": {"Phone": "1"}});
    let body = json!({"allOrNone": true, "compositeRequest": [post("a", "Account", json!({"Name": "A"})), update]});
    world.ok("POST", "composite", body).await;
    // A create and an update of the same record in one transaction are one create.
    assert_eq!(world.org().stats()["events"].as_u64().unwrap(), before + 1);
}

#[tokio::test]
async fn a_composite_that_is_too_large_or_wrong_is_refused_as_a_whole() {
    let world = World::new().await;
    let many: Vec<Json> = (0..26).map(|n| post(&format!("r{n}"), "Account", json!({"Name": "A"}))).collect();
    let answer = world.ok("POST", "composite", json!({"compositeRequest": many})).await;
    let message = "The request can’t contain more than 25 operations.";
    assert_eq!(
        answer,
        json!({"compositeResponse": [{"body": [{"errorCode": "LIMIT_EXCEEDED", "message": message}],
            "httpHeaders": {}, "httpStatusCode": 400, "referenceId": null}]})
    );
    let queries: Vec<Json> =
        (0..6).map(|n| get(&format!("q{n}"), "/services/data/v66.0/query?q=SELECT+Id+FROM+Account")).collect();
    let answer = world.ok("POST", "composite", json!({"compositeRequest": queries})).await;
    assert_eq!(answer["compositeResponse"][0]["body"][0]["errorCode"], "LIMIT_EXCEEDED");
    assert_eq!(world.count("Account").await, 0);
    for list in [
        json!(null),
        json!([{"method": "GET", "url": "/services/data/v66.0/limits"}]),
        json!([{"method": "GET", "referenceId": "a"}]),
        json!([get("not-good", "/services/data/v66.0/limits")]),
        json!([get("a", "/services/data/v66.0/limits"), get("a", "/services/data/v66.0/limits")]),
    ] {
        let (status, body) = world.call("POST", "composite", json!({"compositeRequest": list})).await;
        assert_eq!((status, &body[0]["errorCode"]), (400, &json!("INVALID_INPUT")), "{list}");
    }
    for (url, status) in [
        ("/services/data/v66.0/composite/batch", 400),
        ("/elsewhere", 404),
        ("/services/data/v69.0/limits", 404),
        ("", 400),
    ] {
        let answer = world.ok("POST", "composite", json!({"compositeRequest": [get("a", url)]})).await;
        assert_eq!(answer["compositeResponse"][0]["httpStatusCode"], status, "{url}");
    }
}

#[tokio::test]
async fn each_graph_is_all_or_nothing_and_its_references_tell_the_order() {
    let world = World::new().await;
    // The contact stands before the account that it needs.
    let good = json!([
        post("c", "Contact", json!({"LastName": "L", "AccountId": "@{a.id}"})),
        post("a", "Account", json!({"Name": "A"}))
    ]);
    let bad =
        json!([post("a", "Account", json!({"Name": "B"})), post("c", "Contact", json!({"AccountId": "@{a.id}"}))]);
    let body =
        json!({"graphs": [{"graphId": "1", "compositeRequest": good}, {"graphId": "2", "compositeRequest": bad}]});
    let answer = world.ok("POST", "composite/graph", body).await;
    let graphs = answer["graphs"].as_array().unwrap();
    assert_eq!((&graphs[0]["graphId"], &graphs[0]["isSuccessful"]), (&json!("1"), &json!(true)));
    assert_eq!(graphs[0]["graphResponse"]["compositeResponse"][0]["httpStatusCode"], 201);
    assert_eq!((&graphs[1]["graphId"], &graphs[1]["isSuccessful"]), (&json!("2"), &json!(false)));
    let items = &graphs[1]["graphResponse"]["compositeResponse"];
    assert_eq!(items[0]["body"], json!([{"errorCode": "PROCESSING_HALTED", "message": HALTED}]));
    assert_eq!(items[1]["body"][0]["errorCode"], "REQUIRED_FIELD_MISSING");
    assert_eq!((world.count("Account").await, world.count("Contact").await), (1, 1));
}

#[tokio::test]
async fn graphs_have_limits_and_end_after_14_failures() {
    let world = World::new().await;
    let graph = |id: usize, nodes: Vec<Json>| json!({"graphId": id.to_string(), "compositeRequest": nodes});
    let node = |n: usize| post(&format!("r{n}"), "Account", json!({"Name": "A"}));
    let chain =
        |n: usize| post(&format!("r{n}"), "Account", json!({"Name": "A", "ParentId": format!("@{{r{}.id}}", n + 1)}));
    for (graphs, code) in [
        (json!((0..76).map(|id| graph(id, vec![node(0)])).collect::<Vec<_>>()), "LIMIT_EXCEEDED"),
        (json!([graph(1, (0..501).map(node).collect())]), "LIMIT_EXCEEDED"),
        (json!([graph(1, (0..15).map(chain).chain([node(15)]).collect())]), "LIMIT_EXCEEDED"),
        (json!([graph(1, vec![node(0)]), graph(1, vec![node(0)])]), "INVALID_INPUT"),
        (json!([graph(1, vec![post("a", "Account", json!({"Name": "@{a.id}"}))])]), "INVALID_INPUT"),
        (json!([graph(1, vec![get("q", "/services/data/v66.0/query?q=x")])]), "INVALID_INPUT"),
        (json!([{"compositeRequest": []}]), "INVALID_INPUT"),
        (json!({}), "INVALID_INPUT"),
    ] {
        let (status, body) = world.call("POST", "composite/graph", json!({"graphs": graphs})).await;
        assert_eq!((status, &body[0]["errorCode"]), (400, &json!(code)));
    }
    let deep = json!({"graphs": [graph(1, (0..14).map(chain).chain([node(14)]).collect())]});
    assert_eq!(world.ok("POST", "composite/graph", deep).await["graphs"][0]["isSuccessful"], true);
    let bad = |id: usize| graph(id, vec![post("c", "Contact", json!({}))]);
    let graphs: Vec<Json> = (0..14).map(bad).chain([graph(14, vec![node(0)])]).collect();
    let answer = world.ok("POST", "composite/graph", json!({"graphs": graphs})).await;
    let code = |n: usize| answer["graphs"][n]["graphResponse"]["compositeResponse"][0]["body"][0]["errorCode"].clone();
    assert_eq!((code(13), code(14)), (json!("REQUIRED_FIELD_MISSING"), json!("PROCESSING_HALTED")));
}

#[tokio::test]
async fn a_batch_is_independent_calls() {
    let world = World::new().await;
    let id = world.ok("POST", "sobjects/Account", json!({"Name": "A"})).await["id"].as_str().unwrap().to_owned();
    let requests = json!([
        {"method": "PATCH", "url": format!("v66.0/sobjects/Account/{id}"), "richInput": {"Phone": "1"}},
        {"method": "GET", "url": "v66.0/sobjects/Account/nonsense"},
        {"method": "GET", "url": format!("/services/data/v66.0/sobjects/Account/{id}?fields=Phone")},
    ]);
    let calls = world.org().stats()["api_calls"].as_u64().unwrap();
    let answer = world.ok("POST", "composite/batch", json!({"batchRequests": requests})).await;
    assert_eq!(world.org().stats()["api_calls"], calls + 3);
    assert_eq!(answer["hasErrors"], true);
    assert_eq!(answer["results"][0], json!({"statusCode": 204, "result": null}));
    assert_eq!(answer["results"][1]["result"][0]["errorCode"], "MALFORMED_ID");
    assert_eq!(answer["results"][2]["result"]["Phone"], "1");
    let answer = world.ok("POST", "composite/batch", json!({"haltOnError": true, "batchRequests": requests})).await;
    assert_eq!((&answer["results"][1]["statusCode"], &answer["results"][2]["statusCode"]), (&json!(400), &json!(412)));
    assert_eq!(answer["results"][2]["result"][0]["errorCode"], "BATCH_PROCESSING_HALTED");
    let many = vec![json!({"method": "GET", "url": "v66.0/limits"}); 26];
    let (status, body) = world.call("POST", "composite/batch", json!({"batchRequests": many})).await;
    assert_eq!((status, &body[0]["errorCode"]), (400, &json!("LIMIT_EXCEEDED")));
    let used = world.ok("GET", "/emulator/limits", Json::Null).await["used"].as_u64().unwrap();
    world.ok("POST", "/emulator/limits", json!({"daily_api_requests": used + 2})).await;
    let three = vec![json!({"method": "GET", "url": "v66.0/limits"}); 3];
    let answer = world.ok("POST", "composite/batch", json!({"batchRequests": three})).await;
    assert_eq!((&answer["results"][1]["statusCode"], &answer["results"][2]["statusCode"]), (&json!(200), &json!(403)));
}

#[tokio::test]
async fn a_tree_is_created_with_its_children_or_not_at_all() {
    let world = World::new().await;
    let contact = |reference: &str, email: &str| json!({"attributes": {"type": "Contact", "referenceId": reference}, "LastName": reference, "Email": email});
    let tree = |email: &str| {
        json!({"records": [
            {"attributes": {"type": "Account", "referenceId": "r1"}, "Name": "A",
                "Contacts": {"records": [contact("r2", "a@b.example"), contact("r3", email)]}},
            {"attributes": {"type": "Account", "referenceId": "r4"}, "Name": "B"}]})
    };
    let (status, body) = world.call("POST", "composite/tree/Account/", tree("wrong")).await;
    let error = json!({"statusCode": "INVALID_EMAIL_ADDRESS", "message": "Email: invalid email address: wrong", "fields": ["Email"]});
    assert_eq!(
        (status, body),
        (400, json!({"hasErrors": true, "results": [{"referenceId": "r3", "errors": [error]}]}))
    );
    assert_eq!((world.count("Account").await, world.count("Contact").await), (0, 0));
    let (status, body) = world.call("POST", "composite/tree/Account/", tree("c@d.example")).await;
    assert_eq!((status, &body["hasErrors"]), (201, &json!(false)));
    let references: Vec<_> =
        body["results"].as_array().unwrap().iter().map(|r| r["referenceId"].as_str().unwrap()).collect();
    assert_eq!(references, ["r1", "r2", "r3", "r4"]);
    let account = body["results"][0]["id"].as_str().unwrap();
    let children = world.query(&format!("SELECT Id FROM Contact WHERE AccountId = '{account}'")).await;
    assert_eq!(children["totalSize"], 2);
}

#[tokio::test]
async fn a_tree_that_is_wrong_or_too_large_is_refused() {
    let world = World::new().await;
    let account = |reference: &str| json!({"attributes": {"type": "Account", "referenceId": reference}, "Name": "A"});
    let mut deep = account("r6");
    for n in (1..6).rev() {
        let mut outer = account(&format!("r{n}"));
        outer["ChildAccounts"] = json!({"records": [deep]});
        deep = outer;
    }
    for (records, code) in [
        (json!([{"attributes": {"type": "Account"}, "Name": "A"}]), "INVALID_INPUT"),
        (json!([account("a"), account("a")]), "INVALID_INPUT"),
        (json!([{"attributes": {"type": "Lead", "referenceId": "a"}, "Name": "A"}]), "INVALID_INPUT"),
        (json!([{"attributes": {"type": "Account", "referenceId": "a"}, "Nobody": {"records": []}}]), "INVALID_FIELD"),
        (json!([{"attributes": {"type": "Account", "referenceId": "a"}, "Foo": 1}]), "INVALID_FIELD"),
        (json!((0..201).map(|n| account(&format!("r{n}"))).collect::<Vec<_>>()), "LIMIT_EXCEEDED"),
        (json!([deep]), "LIMIT_EXCEEDED"),
        (json!([7]), "INVALID_INPUT"),
    ] {
        let (status, body) = world.call("POST", "composite/tree/Account", json!({"records": records})).await;
        assert_eq!((status, &body["hasErrors"]), (400, &json!(true)));
        assert_eq!(body["results"][0]["errors"][0]["statusCode"], code, "{body}");
    }
    assert_eq!(world.call("POST", "composite/tree/Account", json!({})).await.0, 400);
    assert_eq!(world.count("Account").await, 0);
}
