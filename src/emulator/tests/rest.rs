//! The REST API: single records, collections, queries.

mod composite;
mod describe;
mod permissions;
mod refusals;
mod replication;
mod requests;

use serde_json::{Value as Json, json};

use super::{World, collection};

#[tokio::test]
async fn versions_need_no_token_and_are_not_counted() {
    let world = World::new().await;
    let answer = world.client.get(world.url("/services/data")).send().await.unwrap();
    assert!(answer.headers().contains_key("date"));
    assert!(!answer.headers().contains_key("sforce-limit-info"));
    let list: Json = answer.json().await.unwrap();
    let newest = list.as_array().unwrap().last().unwrap().clone();
    assert_eq!(newest, json!({"label": "Winter '27", "url": "/services/data/v68.0", "version": "68.0"}));
    for (number, label) in
        [("58.0", "Summer '23"), ("65.0", "Winter '26"), ("66.0", "Spring '26"), ("67.0", "Summer '26")]
    {
        let found = list.as_array().unwrap().iter().find(|version| version["version"] == number).unwrap();
        assert_eq!(found["label"], label);
    }
    assert_eq!((list[0]["version"].as_str(), list.as_array().unwrap().len()), (Some("31.0"), 38));
    assert_eq!(world.org().stats()["api_calls"], 0);
}

#[tokio::test]
async fn one_record_lives_through_create_read_update_and_delete() {
    let world = World::new().await;
    let body = json!({"Name": "A", "Phone": "1", "billingCity": "Oslo"});
    let answer = world.raw("POST", "sobjects/account/", body).await.unwrap();
    assert_eq!(answer.status(), 201);
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    assert!(answer.headers()["sforce-limit-info"].to_str().unwrap().starts_with("api-usage="));
    let id = answer.json::<Json>().await.unwrap()["id"].as_str().unwrap().to_owned();
    assert_eq!(location, format!("/services/data/v66.0/sobjects/Account/{id}"));
    assert_eq!(id.len(), 18);

    let (status, body) = world.call("PATCH", &location, json!({"Phone": null})).await;
    assert_eq!((status, body), (204, Json::Null));
    let record =
        world.ok("GET", &format!("sobjects/Account/{}?fields=Name,Phone,BillingAddress", &id[..15]), Json::Null).await;
    assert_eq!(record["attributes"], json!({"type": "Account", "url": location}));
    assert_eq!((&record["Id"], &record["Phone"]), (&json!(id), &Json::Null));
    assert_eq!(record["BillingAddress"]["city"], "Oslo");
    assert_eq!(world.ok("DELETE", &location, Json::Null).await, Json::Null);
    let (status, body) = world.call("DELETE", &location, Json::Null).await;
    assert_eq!((status, &body[0]["errorCode"]), (404, &json!("ENTITY_IS_DELETED")));
}

#[tokio::test]
async fn what_is_wrong_with_one_record_has_its_status_and_text() {
    let world = World::new().await;
    let account = world.ok("POST", "sobjects/Account", json!({"Name": "A"})).await["id"].as_str().unwrap().to_owned();
    let one = format!("sobjects/Account/{account}");
    let cases = [
        (
            "PATCH",
            one.clone(),
            json!({"Id": account}),
            400,
            "INVALID_FIELD",
            "The Id field should not be specified in the sobject data.",
        ),
        (
            "PATCH",
            one.clone(),
            json!({"Foo__c": 1}),
            400,
            "INVALID_FIELD",
            "No such column 'Foo__c' on sobject of type Account",
        ),
        (
            "POST",
            "sobjects/Contact".into(),
            json!({}),
            400,
            "REQUIRED_FIELD_MISSING",
            "Required fields are missing: [LastName]",
        ),
        (
            "GET",
            "sobjects/Account/0015e0000000000".into(),
            Json::Null,
            404,
            "NOT_FOUND",
            "The requested resource does not exist",
        ),
        (
            "GET",
            "sobjects/Account/x".into(),
            Json::Null,
            400,
            "MALFORMED_ID",
            "Account ID: id value of incorrect type: x",
        ),
        ("GET", "sobjects/Nope".into(), Json::Null, 404, "NOT_FOUND", "The requested resource does not exist"),
        (
            "PATCH",
            "sobjects/Account".into(),
            json!({}),
            405,
            "METHOD_NOT_ALLOWED",
            "HTTP Method 'PATCH' not allowed. Allowed are HEAD,GET,POST",
        ),
        (
            "GET",
            format!("{one}?fields=Foo"),
            Json::Null,
            400,
            "INVALID_FIELD",
            "No such column 'Foo' on sobject of type Account",
        ),
        (
            "PATCH",
            "sobjects/Account/Name/x".into(),
            json!({}),
            404,
            "NOT_FOUND",
            "The requested resource does not exist",
        ),
    ];
    for (method, path, body, status, code, message) in cases {
        let answer = world.call(method, &path, body).await;
        assert_eq!(
            (answer.0, &answer.1[0]["errorCode"], &answer.1[0]["message"]),
            (status, &json!(code), &json!(message)),
            "{path}"
        );
    }
    let unknown = super::super::org::Id::new("001", "zz0", 7);
    let (status, body) = world.call("PATCH", &format!("sobjects/Account/{unknown}"), json!({"Name": "B"})).await;
    assert_eq!((status, &body[0]["errorCode"]), (404, &json!("NOT_FOUND")));
    let broken = world.request("POST", "sobjects/Account").body("{\"Name\": x}").send().await.unwrap();
    assert_eq!(
        (broken.status().as_u16(), &broken.json::<Json>().await.unwrap()[0]["errorCode"]),
        (400, &json!("JSON_PARSER_ERROR"))
    );
}

#[tokio::test]
async fn an_upsert_in_the_path_creates_updates_or_names_several() {
    let world = World::new().await;
    let path = "sobjects/Contact/Source_Id__c/a%2Fb";
    let (status, body) = world.call("PATCH", path, json!({"LastName": "L", "Email": "a@b.example"})).await;
    assert_eq!((status, &body["created"]), (201, &json!(true)));
    let (status, body) = world.call("PATCH", path, json!({"Title": "T"})).await;
    assert_eq!((status, &body["created"], &body["success"]), (200, &json!(false), &json!(true)));
    assert_eq!(world.call("PATCH", &format!("/services/data/v45.0/{path}"), json!({"Title": "U"})).await.0, 204);
    let (status, body) = world.call("PATCH", path, json!({"Source_Id__c": "a/b"})).await;
    assert_eq!(status, 400);
    assert_eq!(body[0]["message"], "The Source_Id__c field should not be specified in the sobject data.");
    world.ok("POST", "sobjects/Contact", json!({"LastName": "M", "Email": "A@b.example"})).await;
    let (status, body) = world.call("PATCH", "sobjects/Contact/Email/a@b.example", json!({"Title": "V"})).await;
    assert_eq!((status, body.as_array().unwrap().len()), (300, 2));
    assert!(body[0].as_str().unwrap().starts_with("/services/data/v66.0/sobjects/Contact/003"));
    assert_eq!(world.query("SELECT Id FROM Contact WHERE Title = 'V'").await["totalSize"], 0);
}

#[tokio::test]
async fn an_upsert_of_a_collection_answers_each_record_in_its_place() {
    let world = World::new().await;
    world.upsert("Account", json!([{"Source_Id__c": "p", "Name": "P"}])).await;
    let results = world
        .upsert(
            "Contact",
            json!([
                {"Source_Id__c": "1", "LastName": "Roe", "Account": {"Source_Id__c": "p"}},
                {"Source_Id__c": "2", "FirstName": "No last name"},
                {"Source_Id__c": "3", "LastName": "Lost", "Account": {"Source_Id__c": "nope"}},
            ]),
        )
        .await;
    let id = results[0]["id"].clone();
    assert_eq!(results[0], json!({"id": id, "success": true, "errors": [], "created": true}));
    assert_eq!(
        results[1],
        json!({"success": false, "created": true, "errors": [{"statusCode": "REQUIRED_FIELD_MISSING",
            "message": "Required fields are missing: [LastName]", "fields": ["LastName"]}]})
    );
    assert_eq!(
        results[2],
        json!({"success": false, "created": true, "errors": [{"statusCode": "INVALID_FIELD", "fields": [],
            "message": "Foreign key external ID: nope not found for field Source_Id__c in entity Account"}]})
    );
    let again = world.upsert("Contact", json!([{"Source_Id__c": "1", "Title": "T"}])).await;
    assert_eq!(again[0], json!({"id": id, "success": true, "errors": [], "created": false}));
}

#[tokio::test]
async fn collections_create_update_and_delete_mixed_types() {
    let world = World::new().await;
    let body = json!({"records": [
        {"attributes": {"type": "Account"}, "Name": "A"}, {"attributes": {"type": "Contact"}, "LastName": "L"}]});
    let made = world.ok("POST", "composite/sobjects", body).await;
    let (account, contact) = (made[0]["id"].as_str().unwrap(), made[1]["id"].as_str().unwrap());
    assert_eq!(made[0].get("created"), None);
    let body = json!({"records": [
        {"attributes": {"type": "Account"}, "id": account, "Phone": "1"},
        {"attributes": {"type": "Contact"}, "Id": contact, "Title": "T"},
        {"attributes": {"type": "Contact"}, "Id": world.org().org_id, "Title": "T"},
        {"attributes": {"type": "Contact"}, "Title": "T"}]});
    let results = world.ok("PATCH", "composite/sobjects/", body).await;
    assert_eq!(results[0], json!({"id": account, "success": true, "errors": []}));
    assert_eq!(results[1]["success"], true);
    assert_eq!(results[2]["errors"][0]["statusCode"], "MALFORMED_ID");
    assert_eq!(results[3]["errors"][0]["statusCode"], "MISSING_ARGUMENT");
    let path = format!("composite/sobjects?ids={account},{contact}&allOrNone=false");
    assert_eq!(world.ok("DELETE", &path, Json::Null).await[1]["success"], true);
    assert_eq!(world.ok("DELETE", &path, Json::Null).await[0]["errors"][0]["statusCode"], "ENTITY_IS_DELETED");
    assert_eq!(world.call("DELETE", "composite/sobjects?ids=xyz", Json::Null).await.0, 400);
}

#[tokio::test]
async fn what_is_wrong_with_the_request_fails_all_of_it() {
    let world = World::new().await;
    let path = "composite/sobjects/Account/Source_Id__c";
    let many: Vec<Json> = (0..201).map(|n| json!({"Source_Id__c": n.to_string(), "Name": "A"})).collect();
    let good = json!({"attributes": {"type": "Account"}, "Source_Id__c": "g", "Name": "G"});
    let unknown = json!({"attributes": {"type": "Account"}, "Source_Id__c": "u", "Name": "U", "No__c": 1});
    for (body, code) in [
        (collection("Account", json!(many)), "EXCEEDED_ID_LIMIT"),
        (json!({"records": [good, unknown]}), "INVALID_FIELD"),
        (json!({"records": [good, {"Source_Id__c": "x", "Name": "X"}]}), "JSON_PARSER_ERROR"),
        (
            json!({"records": [{"attributes": {"type": "Account"}, "Source_Id__c": "x", "Name": 1}]}),
            "JSON_PARSER_ERROR",
        ),
        (collection("Contact", json!([{"Source_Id__c": "x", "LastName": "X"}])), "INVALID_TYPE"),
    ] {
        let (status, answer) = world.call("PATCH", path, body).await;
        assert_eq!((status, &answer[0]["errorCode"]), (400, &json!(code)));
    }
    assert_eq!(world.count("Account").await, 0);
    world.ok("POST", "/emulator/switches", json!({"malformed_fails_request": false})).await;
    let answer = world.ok("PATCH", path, json!({"records": [good, unknown]})).await;
    assert_eq!((&answer[0]["success"], &answer[1]["errors"][0]["statusCode"]), (&json!(true), &json!("INVALID_FIELD")));
}

#[tokio::test]
async fn a_read_of_a_collection_has_null_in_the_place_of_what_is_not_there() {
    let world = World::new().await;
    let made =
        world.upsert("Account", json!([{"Source_Id__c": "a", "Name": "A"}, {"Source_Id__c": "b", "Name": "B"}])).await;
    let (a, b) = (made[0]["id"].as_str().unwrap(), made[1]["id"].as_str().unwrap());
    world.ok("DELETE", &format!("sobjects/Account/{a}"), Json::Null).await;
    let body = json!({"ids": [a, b, "nonsense", "", null], "fields": ["Id", "name", "Phone"]});
    let many = world.ok("POST", "composite/sobjects/Account", body).await;
    let few = world
        .ok("GET", &format!("composite/sobjects/Account?ids={a},{b},nonsense,,&fields=Id,Name,Phone"), Json::Null)
        .await;
    let url = format!("/services/data/v66.0/sobjects/Account/{b}");
    let record = json!({"attributes": {"type": "Account", "url": url}, "Id": b, "Name": "B", "Phone": null});
    assert_eq!(many, json!([null, record, null, null, null]));
    assert_eq!(few, many);
    let wrong = json!({"ids": [b], "fields": ["Foo"]});
    assert_eq!(world.call("POST", "composite/sobjects/Account", wrong).await.0, 400);
}

#[tokio::test]
async fn queries_come_in_pages_and_query_all_shows_deleted_rows() {
    let world = World::new().await;
    for from in (0..2_200).step_by(200) {
        let records: Vec<Json> =
            (from..from + 200).map(|n| json!({"Source_Id__c": format!("k{n}"), "Name": "A"})).collect();
        world.upsert("Account", json!(records)).await;
    }
    let first = world.query("SELECT Id, Source_Id__c FROM Account ORDER BY Id").await;
    assert_eq!((&first["totalSize"], &first["done"]), (&json!(2_200), &json!(false)));
    assert_eq!(first["records"].as_array().unwrap().len(), 2_000);
    let next = first["nextRecordsUrl"].as_str().unwrap();
    assert!(next.ends_with("-2000"));
    let second = world.ok("GET", next, Json::Null).await;
    assert_eq!((&second["done"], second["records"].as_array().unwrap().len()), (&json!(true), 200));
    assert_eq!(second["records"][199]["Source_Id__c"], "k2199");

    let id = first["records"][0]["Id"].as_str().unwrap();
    world.ok("DELETE", &format!("sobjects/Account/{id}"), Json::Null).await;
    assert_eq!(world.query("SELECT Id FROM Account WHERE Source_Id__c IN ('K0', 'k1')").await["totalSize"], 1);
    let all = format!("queryAll/?q=SELECT+Id,IsDeleted+FROM+Account+WHERE+Id+IN+('{id}')+AND+IsDeleted+=+true");
    assert_eq!(world.ok("GET", &all, Json::Null).await["records"][0]["IsDeleted"], true);
    assert_eq!(
        world.call("GET", "query/01gxx0000000000-0", Json::Null).await.1[0]["errorCode"],
        "INVALID_QUERY_LOCATOR"
    );
}

#[tokio::test]
async fn a_page_is_as_small_as_wished_for_but_not_below_200() {
    let world = World::new().await;
    for from in (0..400).step_by(200) {
        let records: Vec<Json> =
            (from..from + 200).map(|n| json!({"Source_Id__c": format!("k{n}"), "Name": "A"})).collect();
        world.upsert("Account", json!(records)).await;
    }
    let request =
        world.request("GET", "queryAll?q=SELECT+Id+FROM+Account").header("Sforce-Query-Options", "batchSize=1");
    let first: Json = request.send().await.unwrap().json().await.unwrap();
    assert_eq!((&first["totalSize"], &first["done"]), (&json!(400), &json!(false)));
    assert_eq!(first["records"].as_array().unwrap().len(), 200);
    let next = first["nextRecordsUrl"].as_str().unwrap().to_owned();
    assert!(next.starts_with("/services/data/v66.0/query/01g") && next.ends_with("-200"), "{next}");
    assert_eq!(world.ok("GET", &next, Json::Null).await["done"], true);
    let far = next.replace("-200", "-401");
    assert_eq!(world.call("GET", &far, Json::Null).await.1[0]["errorCode"], "INVALID_QUERY_LOCATOR");
}

#[tokio::test]
async fn query_errors_point_at_their_place() {
    let world = World::new().await;
    let (status, body) = world.call("GET", "query?q=SELECT+Id,+Foo+FROM+Account", Json::Null).await;
    assert_eq!((status, &body[0]["errorCode"]), (400, &json!("INVALID_FIELD")));
    let message = body[0]["message"].as_str().unwrap();
    assert!(
        message
            .starts_with("\nSELECT Id, Foo FROM Account\n           ^\nERROR at Row:1:Column:12\nNo such column 'Foo'"),
        "{message}"
    );
    let (status, body) = world.call("GET", "query?q=SELECT+Id+FROM+Account+WHERE+Foo+LIKES+'a'", Json::Null).await;
    assert_eq!((status, &body[0]["errorCode"]), (400, &json!("MALFORMED_QUERY")));
    assert!(body[0]["message"].as_str().unwrap().ends_with("^\nERROR at Row:1:Column:34\nunexpected token: 'LIKES'"));
    assert_eq!(world.call("GET", "query", Json::Null).await.1[0]["errorCode"], "MALFORMED_QUERY");
}

#[tokio::test]
async fn conditions_order_and_parents_work_together() {
    let world = World::new().await;
    world
        .upsert(
            "Account",
            json!([
            {"Source_Id__c": "a", "Name": "Zeta", "NumberOfEmployees": 5},
            {"Source_Id__c": "b", "Name": "alpha", "NumberOfEmployees": 50},
            {"Source_Id__c": "c", "Name": "Beta"}]),
        )
        .await;
    world.upsert("Contact", json!([{"Source_Id__c": "1", "LastName": "L", "Account": {"Source_Id__c": "a"}}, {"Source_Id__c": "2", "LastName": "M"}])).await;
    let names = async |soql: &str| -> Vec<String> {
        let answer = world.query(soql).await;
        answer["records"].as_array().unwrap().iter().map(|r| r["Name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("SELECT Name FROM Account ORDER BY Name").await, ["alpha", "Beta", "Zeta"]);
    assert_eq!(names("SELECT Name FROM Account WHERE NumberOfEmployees > 5").await, ["alpha"]);
    assert_eq!(
        names("SELECT Name FROM Account ORDER BY NumberOfEmployees DESC NULLS LAST LIMIT 2").await,
        ["alpha", "Zeta"]
    );
    assert_eq!(names("SELECT Name FROM Account ORDER BY NumberOfEmployees").await, ["Beta", "Zeta", "alpha"]);
    assert_eq!(names("SELECT Name FROM Account WHERE Name != 'ZETA' AND NumberOfEmployees != null").await, ["alpha"]);
    assert_eq!(names("SELECT Name FROM Account WHERE SystemModstamp >= 2000-01-01T00:00:00Z AND (Name = 'beta' OR Source_Id__c = 'A') ORDER BY Name").await, ["Beta", "Zeta"]);
    let contacts = world.query("SELECT LastName, Account.Name FROM Contact ORDER BY LastName").await;
    assert_eq!(contacts["records"][0]["Account"]["Name"], "Zeta");
    assert_eq!(contacts["records"][1]["Account"], Json::Null);
    assert!(names("SELECT Name FROM Account WHERE Source_Id__c IN ('')").await.is_empty());
    assert_eq!(
        names("SELECT Name FROM Account WHERE NumberOfEmployees IN (5, null) ORDER BY Name").await,
        ["Beta", "Zeta"]
    );
    for (soql, code) in [
        ("SELECT+Foo+FROM+Account", "INVALID_FIELD"),
        ("SELECT+Id+FROM+Foo", "INVALID_TYPE"),
        ("SELECT", "MALFORMED_QUERY"),
    ] {
        let (status, body) = world.call("GET", &format!("query?q={soql}"), Json::Null).await;
        assert_eq!((status, &body[0]["errorCode"]), (400, &json!(code)));
    }
}

#[tokio::test]
async fn stats_and_commits_tell_what_happened() {
    let world = World::new().await;
    let records = json!([{"Source_Id__c": "a", "Name": "A"}, {"Source_Id__c": "b", "Name": "B"}]);
    world.upsert("Account", records.clone()).await;
    world.upsert("Account", records).await;
    world.count("Account").await;
    let stats = world.ok("GET", "/emulator/stats", Json::Null).await;
    assert_eq!(
        (&stats["api_calls"], &stats["calls"]["composite_upsert"], &stats["calls"]["query"]),
        (&json!(3), &json!(2), &json!(1))
    );
    assert_eq!(
        (&stats["rows_written"], &stats["duplicate_rows"], &stats["calls"]["token"]),
        (&json!(4), &json!(2), &json!(1))
    );
    assert_eq!((&stats["records"]["Account"], &stats["records"]["Contact"]), (&json!(2), &json!(0)));
    let commits = world.ok("GET", "/emulator/commits?after=1", Json::Null).await;
    assert_eq!(commits.as_array().unwrap().len(), 3);
    assert_eq!(
        (&commits[0]["n"], &commits[0]["kind"], &commits[0]["external"]),
        (&json!(2), &json!("CREATE"), &json!({"Source_Id__c": "b"}))
    );
    assert!(commits[0]["at_us"].as_i64().unwrap() > 1_600_000_000_000_000);
}

#[tokio::test]
async fn traffic_runs_to_its_end_and_undelete_brings_records_back() {
    let world = World::new().await;
    let plan = json!({"changes": 300, "records": 50, "per_second": 20_000, "seed": 3});
    world.ok("POST", "/emulator/traffic", plan).await;
    loop {
        let state = world.ok("GET", "/emulator/traffic", Json::Null).await;
        if state["running"] == json!(false) {
            assert!(state["done"].as_u64().unwrap() >= 300);
            break;
        }
    }
    let id = world.ok("POST", "sobjects/Account", json!({"Name": "A"})).await["id"].as_str().unwrap().to_owned();
    world.ok("DELETE", &format!("sobjects/Account/{id}"), Json::Null).await;
    let back = world.ok("POST", "/emulator/undelete", json!({"ids": [id, "x"]})).await;
    assert_eq!((&back[0]["success"], &back[1]["errors"][0]["statusCode"]), (&json!(true), &json!("MALFORMED_ID")));
    assert_eq!(world.query(&format!("SELECT Id FROM Account WHERE Id = '{id}'")).await["totalSize"], 1);
}

#[tokio::test]
async fn a_stop_of_traffic_leaves_no_change_behind_it() {
    let world = World::new().await;
    world.org().start_traffic(crate::TrafficPlan { changes: u64::MAX, per_second: 5_000, ..Default::default() });
    while world.org().traffic().1 == 0 {
        tokio::task::yield_now().await;
    }
    world.org().stop_traffic();
    let commits = world.org().stats()["commits"].clone();
    assert!(!world.org().traffic().0);
    world.count("Account").await;
    assert_eq!(world.org().stats()["commits"], commits);
}

#[tokio::test]
async fn an_external_id_in_a_path_is_one_segment_however_it_is_written() {
    let world = World::new().await;
    for (name, written) in
        [("a b", vec!["a%20b", "a+b"]), ("a+b", vec!["a%2Bb"]), ("a/b", vec!["a%2Fb"]), ("ä", vec!["%C3%A4"])]
    {
        let record = json!([{"Source_Id__c": name, "Name": name}]);
        world.upsert("Account", record).await;
        for path in written {
            let found = world.ok("GET", &format!("sobjects/Account/Source_Id__c/{path}"), Json::Null).await;
            assert_eq!(found["Name"], name, "{path}");
        }
    }
}

#[tokio::test]
async fn bodies_read_as_the_documents_show_them() {
    let world = World::new().await;
    let text =
        async |method: &str, path: &str, body: Json| world.raw(method, path, body).await.unwrap().text().await.unwrap();
    assert_eq!(
        text("POST", "sobjects/Contact", json!({})).await,
        r#"[{"message":"Required fields are missing: [LastName]","errorCode":"REQUIRED_FIELD_MISSING","fields":["LastName"]}]"#
    );
    let upserted = text("PATCH", "sobjects/Account/Source_Id__c/k", json!({"Name": "A"})).await;
    assert!(upserted.starts_with(r#"{"id":"001"#), "{upserted}");
    assert!(upserted.ends_with(r#"","success":true,"errors":[],"created":true}"#), "{upserted}");
    let body = collection("Contact", json!([{"Source_Id__c": "k", "FirstName": "No last name"}]));
    assert_eq!(
        text("PATCH", "composite/sobjects/Contact/Source_Id__c", body).await,
        r#"[{"success":false,"errors":[{"statusCode":"REQUIRED_FIELD_MISSING","message":"Required fields are missing: [LastName]","fields":["LastName"]}],"created":true}]"#
    );
    let found = text("GET", "query?q=SELECT+Name+FROM+Account", Json::Null).await;
    let start = r#"{"totalSize":1,"done":true,"records":[{"attributes":{"type":"Account","url":"/services/data/v66.0/sobjects/Account/001"#;
    assert!(found.starts_with(start), "{found}");
}
