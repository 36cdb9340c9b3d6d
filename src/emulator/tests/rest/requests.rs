//! What is true of every request: formats, sizes, limits, conditions.

use std::io::{Read, Write};

use serde_json::{Value as Json, json};

use crate::tests::World;

fn error(code: &str, message: &str) -> Json {
    json!([{"errorCode": code, "message": message}])
}

fn error_on(code: &str, message: &str) -> Json {
    json!([{"errorCode": code, "message": message, "fields": ["Id"]}])
}

#[tokio::test]
async fn versions_that_are_gone_or_not_there_yet_are_told_apart() {
    let world = World::new().await;
    let gone = world.call("GET", "/services/data/v30.0/sobjects", Json::Null).await;
    assert_eq!((gone.0, &gone.1[0]["errorCode"]), (410, &json!("UNSUPPORTED_API_VERSION")));
    for version in ["v69.0", "66.0", "v66", "vx.0", "v066.0", "v+66.0"] {
        let missing = world.call("GET", &format!("/services/data/{version}/sobjects"), Json::Null).await;
        assert_eq!(missing, (404, error("NOT_FOUND", "The requested resource does not exist")), "{version}");
    }
    for version in [31, 68] {
        let map = world.ok("GET", &format!("/services/data/v{version}.0/"), Json::Null).await;
        for name in ["sobjects", "query", "queryAll", "limits", "composite", "actions", "tooling", "jobs", "search"] {
            assert_eq!(map[name], format!("/services/data/v{version}.0/{name}"));
        }
        let identity = map["identity"].as_str().unwrap();
        assert!(identity.starts_with(&format!("{}/id/{}/005", world.org().base_url, world.org().org_id)), "{identity}");
    }
    // Only the list of versions is answered without it.
    let missing = world.raw("GET", "/services/data/v30.0/sobjects", Json::Null).await.unwrap();
    assert!(missing.headers()["sforce-limit-info"].to_str().unwrap().starts_with("api-usage="));
    let old = world.raw("GET", "/services/data/v31.0/limits", Json::Null).await.unwrap();
    assert!(old.headers()["warning"].to_str().unwrap().starts_with("299 - "));
}

#[tokio::test]
async fn suffixes_are_refused_since_version_58() {
    let world = World::new().await;
    assert_eq!(world.call("GET", "sobjects.json", Json::Null).await.0, 404);
    assert_eq!(world.call("GET", "/services/data/v57.0/sobjects.json", Json::Null).await.0, 200);
    assert_eq!(world.call("GET", "/services/data/v57.0/sobjects.xml", Json::Null).await.0, 404);
}

#[tokio::test]
async fn answers_are_indented_or_packed_on_demand() {
    let world = World::new().await;
    let pretty =
        world.request("GET", "limits").header("x-prettyprint", "1").send().await.unwrap().text().await.unwrap();
    assert!(pretty.starts_with("{\n  \""), "{pretty}");
    // A client that does not unpack by itself.
    let plain = reqwest::Client::builder().no_gzip().build().unwrap();
    let get = |path: &str| {
        plain
            .get(world.url(&format!("/services/data/v66.0/{path}")))
            .bearer_auth(&world.token)
            .header("accept-encoding", "gzip, deflate")
    };
    let packed = get("sobjects").send().await.unwrap();
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    let mut text = String::new();
    let bytes = packed.bytes().await.unwrap();
    flate2::read::GzDecoder::new(bytes.as_ref()).read_to_string(&mut text).unwrap();
    assert_eq!(serde_json::from_str::<Json>(&text).unwrap()["encoding"], "UTF-8");
    let short = get("composite").send().await.unwrap();
    assert!(!short.headers().contains_key("content-encoding"));
}

#[tokio::test]
async fn bodies_may_be_packed_and_must_be_json() {
    let world = World::new().await;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(br#"{"Name": "Packed"}"#).unwrap();
    let packed = packed.finish().unwrap();
    let post = || world.request("POST", "sobjects/Account").header("content-type", "application/json; charset=UTF-8");
    let answer = post().header("content-encoding", "gzip").body(packed).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    let answer = post().header("content-encoding", "br").body("x").send().await.unwrap();
    assert_eq!(answer.status(), 415);
    let answer = world.request("POST", "sobjects/Account").header("content-type", "text/xml").body("<a/>");
    let answer = answer.send().await.unwrap();
    assert_eq!(answer.status(), 415);
    assert_eq!(answer.json::<Json>().await.unwrap()[0]["errorCode"], "UNSUPPORTED_MEDIA_TYPE");
    for (body, message) in [
        (
            "{x",
            "Unexpected character ('x' (code 120)): was expecting double-quote to start field name at [line:1, column:2]",
        ),
        (
            "{\"Name\": \"A\",\n \"Phone\": 7}",
            "Cannot deserialize instance of string from VALUE_NUMBER_INT value 7 or request may be missing a required field at [line:2, column:11]",
        ),
    ] {
        let answer = post().body(body).send().await.unwrap();
        assert_eq!(answer.status(), 400);
        assert_eq!(answer.json::<Json>().await.unwrap(), error("JSON_PARSER_ERROR", message));
    }
    let body = "{\"records\": [\n {\"attributes\": {\"type\": \"Account\"}, \"Name\": \"A\"},\n {\"attributes\": {\"type\": \"Account\"}, \"Name\": true}]}";
    let answer = world.request("POST", "composite/sobjects").body(body).send().await.unwrap();
    let message = "Cannot deserialize instance of string from VALUE_TRUE value true or request may be missing a required field at [line:3, column:46]";
    assert_eq!(
        (answer.status().as_u16(), answer.json::<Json>().await.unwrap()),
        (400, error("JSON_PARSER_ERROR", message))
    );
}

#[tokio::test]
async fn what_is_too_long_is_refused_by_the_edge() {
    let world = World::new().await;
    let long = format!("query?q={}", "x".repeat(16_384));
    assert_eq!(world.raw("GET", &long, Json::Null).await.unwrap().status(), 414);
    let answer = world.request("GET", "limits").header("x-much", "y".repeat(16_300)).send().await.unwrap();
    assert_eq!(answer.status(), 431);
    let answer = world.request("GET", "limits").header("x-much", "y".repeat(10_000)).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn a_body_above_50_megabytes_is_refused() {
    let world = World::new().await;
    let body = vec![b' '; 50 * 1024 * 1024 + 1];
    let answer = world.request("POST", "sobjects/Account").body(body).send().await.unwrap();
    assert_eq!(answer.status(), 413);
    assert_eq!(answer.json::<Json>().await.unwrap()[0]["errorCode"], "EXCEEDED_MAX_SIZE_REQUEST");
}

#[tokio::test]
async fn calls_of_24_hours_are_limited() {
    let world = World::new().await;
    world.ok("GET", "limits", Json::Null).await;
    let answer = world.raw("GET", "limits", Json::Null).await.unwrap();
    assert_eq!(answer.headers()["sforce-limit-info"], "api-usage=2/100000");
    let limits: Json = answer.json().await.unwrap();
    assert_eq!(limits["DailyApiRequests"], json!({"Max": 100_000, "Remaining": 99_998}));
    for name in [
        "DailyBulkApiBatches",
        "DailyBulkV2QueryJobs",
        "DailyBulkV2QueryFileStorageMB",
        "DailyDeliveredPlatformEvents",
        "MonthlyPlatformEventsUsageEntitlement",
        "HourlyPublishedPlatformEvents",
        "DurableStreamingApiConcurrentClients",
        "StreamingApiConcurrentClients",
        "DataStorageMB",
    ] {
        assert!(limits[name]["Max"].is_u64() && limits[name]["Remaining"].is_u64(), "{name}");
    }
    world.ok("POST", "/emulator/limits", json!({"daily_api_requests": 3})).await;
    world.ok("GET", "limits", Json::Null).await;
    let spent = world.raw("GET", "sobjects", Json::Null).await.unwrap();
    assert_eq!(spent.headers()["sforce-limit-info"], "api-usage=3/3");
    assert_eq!(spent.status(), 403);
    let exceeded = error("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.");
    assert_eq!(spent.json::<Json>().await.unwrap(), exceeded);
    let shown = world.ok("GET", "/emulator/limits", Json::Null).await;
    assert_eq!((&shown["daily_api_requests"], &shown["used"]), (&json!(3), &json!(3)));
    world.ok("POST", "/emulator/time", json!({"advance_seconds": 25 * 3_600})).await;
    let mut world = world;
    world.log_in().await; // the session has ended meanwhile
    world.ok("GET", "limits", Json::Null).await;
    let wrong = world.call("POST", "/emulator/limits", json!({"daily_api_requests": "x"})).await;
    assert_eq!(wrong.0, 400);
}

#[tokio::test]
async fn records_are_counted_by_object() {
    let world = World::new().await;
    world.ok("POST", "sobjects/Account", json!({"Name": "A"})).await;
    let counts = world.ok("GET", "limits/recordCount?sObjects=account,Lead,Nothing", Json::Null).await;
    assert_eq!(counts, json!({"sObjects": [{"count": 1, "name": "Account"}, {"count": 0, "name": "Lead"}]}));
    let all = world.ok("GET", "limits/recordCount", Json::Null).await;
    assert!(all["sObjects"].as_array().unwrap().len() > 5);
}

#[tokio::test]
async fn a_record_that_changed_meanwhile_is_not_written() {
    let world = World::new().await;
    let id = world.ok("POST", "sobjects/Account", json!({"Name": "A"})).await["id"].as_str().unwrap().to_owned();
    let path = format!("sobjects/Account/{id}");
    let first = world.raw("GET", &path, Json::Null).await.unwrap();
    let header = |name: &str| first.headers()[name].to_str().unwrap().to_owned();
    let (tag, date) = (header("etag"), header("last-modified"));
    let with = async |method: &str, name: &str, value: &str| {
        let request = world.request(method, &path).header(name, value);
        let request = if method == "PATCH" { request.json(&json!({"Phone": value})) } else { request };
        request.send().await.unwrap().status().as_u16()
    };
    let early = "Mon, 30 Nov 2020 08:34:54 GMT";
    assert_eq!(with("GET", "if-none-match", &tag).await, 304);
    assert_eq!(with("GET", "if-modified-since", &date).await, 304);
    assert_eq!(with("GET", "if-modified-since", early).await, 200);
    assert_eq!(with("GET", "if-unmodified-since", early).await, 412);
    assert_eq!(with("PATCH", "if-unmodified-since", early).await, 412);
    assert_eq!(with("PATCH", "if-match", "\"other\"").await, 412);
    assert_eq!(with("PATCH", "if-match", &tag).await, 204);
    assert_eq!(with("PATCH", "if-match", &tag).await, 412); // the first one changed it
    assert_eq!(with("GET", "if-none-match", &tag).await, 200);
    assert_eq!(with("PATCH", "if-unmodified-since", "no date").await, 204);
    let by_key = async |date: &str| {
        let request = world.request("PATCH", "sobjects/Account/Source_Id__c/k").header("if-unmodified-since", date);
        request.json(&json!({"Name": "K"})).send().await.unwrap().status().as_u16()
    };
    assert_eq!(by_key(early).await, 201); // nothing there yet that could have changed
    assert_eq!(by_key(early).await, 412);
    assert_eq!(by_key("Wed, 30 Nov 2095 08:34:54 GMT").await, 200);
    let head = world.raw("HEAD", &path, Json::Null).await.unwrap();
    assert_eq!((head.status().as_u16(), head.text().await.unwrap().as_str()), (200, ""));
}

#[tokio::test]
async fn methods_that_a_path_does_not_have_are_named_with_those_that_it_has() {
    let world = World::new().await;
    let id = world.ok("POST", "sobjects/Account", json!({"Name": "A"})).await["id"].as_str().unwrap().to_owned();
    for (method, path, allowed) in [
        ("PATCH", "sobjects/Account".to_owned(), "HEAD,GET,POST"),
        ("DELETE", "/services/data/v66.0/".into(), "HEAD,GET"),
        ("PUT", "tooling/sobjects/PlatformEventChannelMember/x".into(), "HEAD,GET,PATCH,DELETE"),
        ("POST", format!("sobjects/Account/{id}"), "HEAD,GET,PATCH,DELETE"),
        ("POST", "sobjects/Account/describe".into(), "HEAD,GET"),
        ("POST", "sobjects".into(), "HEAD,GET"),
        ("POST", "limits".into(), "HEAD,GET"),
        ("GET", "composite/sobjects".into(), "DELETE,PATCH,POST"),
        ("DELETE", "composite".into(), "GET,HEAD,POST"),
        ("GET", "composite/batch".into(), "POST"),
        ("PUT", "composite/tree/Account".into(), "POST"),
    ] {
        let message = format!("HTTP Method '{method}' not allowed. Allowed are {allowed}");
        assert_eq!(world.call(method, &path, Json::Null).await, (405, error("METHOD_NOT_ALLOWED", &message)), "{path}");
    }
    let patched = world.call("POST", &format!("sobjects/Account/{id}?_HttpMethod=PATCH"), json!({"Phone": "1"})).await;
    assert_eq!(patched.0, 204);
    let patched = world.call("POST", &format!("sobjects/Account/{id}?_HttpMethod=patch"), json!({"Phone": "1"})).await;
    assert_eq!(patched.0, 204);
    assert_eq!(world.call("POST", "sobjects/Account/Id", json!({"Name": "B"})).await.0, 201);
    let by_id = world.call("GET", &format!("sobjects/Account/Id/{id}"), Json::Null).await;
    assert_eq!(by_id.1["Phone"], "1");
    assert_eq!(world.call("GET", "nothing", Json::Null).await.0, 404);
}

#[tokio::test]
async fn what_a_version_did_not_have_yet_is_not_there() {
    let world = World::new().await;
    let records = json!({"records": [{"attributes": {"type": "Account"}, "Source_Id__c": "a", "Name": "A"}]});
    let upsert = async |version: u32| {
        let path = format!("/services/data/v{version}.0/composite/sobjects/Account/Source_Id__c");
        world.call("PATCH", &path, records.clone()).await.0
    };
    assert_eq!((upsert(45).await, upsert(46).await), (404, 200));
    let graph = async |version: u32| {
        world.call("POST", &format!("/services/data/v{version}.0/composite/graph"), json!({"graphs": []})).await.0
    };
    assert_eq!((graph(49).await, graph(50).await), (404, 200));
}

#[tokio::test]
async fn a_body_that_is_no_record_is_named_as_what_it_is() {
    let world = World::new().await;
    let id = world.ok("POST", "sobjects/Account", json!({"Name": "A"})).await["id"].as_str().unwrap().to_owned();
    let none = "The HTTP entity body is required, but this request has no entity body.";
    let wrong = |what: &str, place: &str| {
        let text =
            format!("Cannot deserialize instance of {what} or request may be missing a required field at {place}");
        error("JSON_PARSER_ERROR", &text)
    };
    let first = "[line:1, column:1]";
    for (method, path) in [
        ("POST", "sobjects/Account".to_owned()),
        ("PATCH", format!("sobjects/Account/{id}")),
        ("PATCH", "sobjects/Account/Source_Id__c/a".into()),
        ("POST", "sobjects/Order_Shipped__e".into()),
    ] {
        assert_eq!(world.call(method, &path, Json::Null).await, (400, error("JSON_PARSER_ERROR", none)), "{path}");
        let text = world.call(method, &path, json!("a")).await.1;
        assert_eq!(text, wrong("sobject from VALUE_STRING value a", first), "{path}");
        let list = world.call(method, &path, json!([1])).await.1;
        assert_eq!(list, wrong("sobject from START_ARRAY value [1]", first), "{path}");
    }
    let item = world.call("POST", "composite/sobjects", json!({"records": ["a"]})).await.1;
    assert_eq!(item, wrong("sobject from VALUE_STRING value a", first));
    let parent = json!({"LastName": "L", "Account": "a"});
    let place = format!("[line:1, column:{}]", parent.to_string().find("\"a\"").unwrap() + 1);
    let answer = world.call("POST", "sobjects/Contact", parent).await.1;
    assert_eq!(answer, wrong("Account from VALUE_STRING value a", &place));
    let input = world.call("POST", "actions/custom/flow/Ship_Order", json!({"inputs": [true]})).await.1;
    assert_eq!(input, wrong("map from VALUE_TRUE value true", first));
}

#[tokio::test]
async fn a_path_that_is_no_id_is_shown_as_it_came() {
    let world = World::new().await;
    let message = |shown: &str| error_on("MALFORMED_ID", &format!("Account ID: id value of incorrect type: {shown}"));
    for (path, shown) in [("Source_Id__c/", "Source_Id__c"), ("a%2Fb%20c", "a/b c"), ("%C3%AB\"", "ë\"")] {
        let answer = world.call("PATCH", &format!("sobjects/Account/{path}"), json!({"Name": "A"})).await;
        assert_eq!(answer, (400, message(shown)));
    }
}

#[tokio::test]
async fn a_record_leads_to_its_parent_and_to_its_children() {
    let world = World::new().await;
    let create = async |object: &str, fields: Json| {
        let made = world.ok("POST", &format!("sobjects/{object}"), fields).await;
        made["id"].as_str().unwrap().to_owned()
    };
    let account = create("Account", json!({"Name": "A"})).await;
    let contact = create("Contact", json!({"LastName": "L", "AccountId": account})).await;
    let orphan = create("Contact", json!({"LastName": "O"})).await;
    let parent = world.ok("GET", &format!("sobjects/Contact/{contact}/Account?fields=Name"), Json::Null).await;
    assert_eq!((&parent["Id"], &parent["Name"]), (&json!(account), &json!("A")));
    let children = world.ok("GET", &format!("sobjects/Account/{account}/Contacts?fields=LastName"), Json::Null).await;
    assert_eq!((&children["totalSize"], &children["done"]), (&json!(1), &json!(true)));
    assert_eq!(children["records"][0]["LastName"], "L");
    let all = world.ok("GET", &format!("sobjects/Account/{account}/contacts"), Json::Null).await;
    assert_eq!(all["records"][0]["AccountId"], json!(account));
    for path in [format!("sobjects/Contact/{orphan}/Account"), format!("sobjects/Contact/{contact}/Nobody")] {
        assert_eq!(world.call("GET", &path, Json::Null).await.0, 404);
    }
    let wrong = format!("sobjects/Account/{account}/Contacts?fields=Foo");
    assert_eq!(world.call("GET", &wrong, Json::Null).await.1[0]["errorCode"], "INVALID_FIELD");
    assert_eq!(world.call("DELETE", &format!("sobjects/Contact/{contact}/Account"), Json::Null).await.0, 405);
}
