//! What is wrong with a collection or an upsert as a whole, or with records beside one another.

use serde_json::{Value as Json, json};

use crate::tests::{World, collection};

fn error(code: &str, message: &str) -> Json {
    json!([{"errorCode": code, "message": message}])
}

fn failed(code: &str, message: &str) -> Json {
    json!({"success": false, "errors": [{"statusCode": code, "message": message, "fields": []}]})
}

fn failed_upsert(code: &str, message: &str) -> Json {
    let mut item = failed(code, message);
    item["created"] = json!(true);
    item
}

#[tokio::test]
async fn collections_are_refused_above_their_limits() {
    let world = World::new().await;
    let accounts = |count: usize| {
        collection("Account", json!((0..count).map(|n| json!({"Name": format!("A{n}")})).collect::<Vec<_>>()))
    };
    let message = "record limit reached. cannot submit more than 200 records into this call";
    let too_many = (400, error("EXCEEDED_ID_LIMIT", message));
    assert_eq!(world.call("POST", "composite/sobjects", accounts(201)).await, too_many);
    assert_eq!(world.call("PATCH", "composite/sobjects", accounts(201)).await, too_many);
    let ids = vec!["001000000000000AAA"; 201].join(",");
    assert_eq!(world.call("DELETE", &format!("composite/sobjects?ids={ids}"), Json::Null).await, too_many);
    let ids = vec!["001000000000000AAA"; 2_001];
    let body = json!({"ids": ids, "fields": ["Id"]});
    assert_eq!(world.call("POST", "composite/sobjects/Account", body).await.1[0]["errorCode"], "EXCEEDED_ID_LIMIT");
    // Runs of one type.
    let mixed = |runs: usize| {
        let record = |n: usize| match n % 2 {
            0 => json!({"attributes": {"type": "Account"}, "Name": "A"}),
            _ => json!({"attributes": {"type": "Contact"}, "LastName": "L"}),
        };
        json!({"records": (0..runs).map(record).collect::<Vec<_>>()})
    };
    let (status, body) = world.call("POST", "composite/sobjects", mixed(11)).await;
    assert_eq!((status, &body[0]["errorCode"]), (400, &json!("LIMIT_EXCEEDED")));
    let ids = |runs: usize| {
        let ids = (0..runs).map(|n| if n % 2 == 0 { "001000000000000AAA" } else { "003000000000000AAA" });
        format!("composite/sobjects?ids={}", ids.collect::<Vec<_>>().join(","))
    };
    let (status, body) = world.call("DELETE", &ids(11), Json::Null).await;
    assert_eq!((status, &body[0]["errorCode"]), (400, &json!("LIMIT_EXCEEDED")));
    assert_eq!(world.ok("DELETE", &ids(10), Json::Null).await.as_array().unwrap().len(), 10);
    let made = world.ok("POST", "composite/sobjects", mixed(10)).await;
    assert!(made.as_array().unwrap().iter().all(|item| item["success"] == true));
    let made = world.ok("POST", "composite/sobjects", accounts(200)).await;
    assert_eq!(made.as_array().unwrap().len(), 200);
}

#[tokio::test]
async fn setup_objects_are_not_mixed_with_others() {
    let world = World::new().await;
    let group = json!({"attributes": {"type": "Group"}, "Name": "G", "DeveloperName": "G"});
    let account = json!({"attributes": {"type": "Account"}, "Name": "A"});
    let answer = world.ok("POST", "composite/sobjects", json!({"records": [account, group, account]})).await;
    let message = "DML operation on setup object is not permitted after you have updated a non-setup object (or vice versa): Group, original object: Account";
    assert_eq!((&answer[0]["success"], &answer[1]), (&json!(true), &failed("MIXED_DML_OPERATION", message)));
    assert_eq!(answer[2]["success"], true);
    let answer = world.ok("POST", "composite/sobjects", json!({"records": [group, account]})).await;
    assert_eq!(
        (&answer[0]["success"], &answer[1]["errors"][0]["statusCode"]),
        (&json!(true), &json!("MIXED_DML_OPERATION"))
    );
}

#[tokio::test]
async fn the_same_record_twice_in_one_request_fails_both() {
    let world = World::new().await;
    let upsert = async |values: Json| world.upsert("Contact", values).await;
    let answer = upsert(json!([
        {"Source_Id__c": "a", "LastName": "A"},
        {"Source_Id__c": "b", "LastName": "B"},
        {"Source_Id__c": "A", "LastName": "C"}]))
    .await;
    assert_eq!(answer[0], failed_upsert("DUPLICATE_VALUE", "Duplicate external id specified: a"));
    assert_eq!(answer[1]["success"], true);
    assert_eq!(answer[2], failed_upsert("DUPLICATE_VALUE", "Duplicate external id specified: A"));
    world.ok("POST", "/emulator/switches", json!({"doubles_ignore_case": false})).await;
    let answer = upsert(json!([{"Source_Id__c": "a", "LastName": "A"}, {"Source_Id__c": "A", "LastName": "C"}])).await;
    // The second finds no record yet, and then the first one's value.
    assert_eq!(
        (&answer[0]["success"], &answer[1]["errors"][0]["statusCode"]),
        (&json!(true), &json!("DUPLICATE_VALUE"))
    );
    let id = answer[0]["id"].as_str().unwrap();
    let body = collection("Contact", json!([{"id": id, "Title": "A"}, {"id": &id[..15], "Title": "B"}]));
    let answer = world.ok("PATCH", "composite/sobjects", body).await;
    let twice = failed("DUPLICATE_VALUE", "duplicate id in list");
    assert_eq!(answer, json!([twice, twice]));
}

#[tokio::test]
async fn an_upsert_tells_what_is_wrong_with_its_key() {
    let world = World::new().await;
    let ids: Vec<String> = {
        let body = json!([{"LastName": "M", "Email": "m@b.example"}, {"LastName": "N", "Email": "M@b.example"}]);
        let made = world.ok("POST", "composite/sobjects", collection("Contact", body)).await;
        made.as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    };
    let by = async |key: &str, records: Json| {
        world.call("PATCH", &format!("composite/sobjects/Contact/{key}"), collection("Contact", records)).await
    };
    let (_, answer) = by("Email", json!([{"Email": "m@b.example", "Title": "T"}])).await;
    let several = format!("Contact: more than one record found for external id field: [{}, {}]", ids[0], ids[1]);
    assert_eq!(answer, json!([failed_upsert("DUPLICATE_EXTERNAL_ID", &several)]));
    let (_, answer) = by("Source_Id__c", json!([{"LastName": "L"}, {"Source_Id__c": null, "LastName": "L"}])).await;
    let missing = failed_upsert("MISSING_ARGUMENT", "Source_Id__c not specified");
    assert_eq!(answer, json!([missing, missing]));
    for key in ["Nothing__c", "Title"] {
        let message = format!("Provided external ID field does not exist or is not accessible: {key}");
        assert_eq!(by(key, json!([{"LastName": "L"}])).await, (404, error("NOT_FOUND", &message)));
        let alone = world.call("PATCH", &format!("sobjects/Contact/{key}/x"), json!({"LastName": "L"})).await;
        assert_eq!(alone, (404, error("NOT_FOUND", "The requested resource does not exist")));
    }
    let path = "sobjects/Contact/Source_Id__c/new?updateOnly=true";
    assert_eq!(world.call("PATCH", path, json!({"LastName": "L"})).await.0, 404);
    assert_eq!(world.call("PATCH", &path.replace("?updateOnly=true", ""), json!({"LastName": "L"})).await.0, 201);
    assert_eq!(world.call("PATCH", path, json!({"Title": "T"})).await.0, 200);
}

#[tokio::test]
async fn an_upsert_by_id_creates_without_one_and_updates_with_one() {
    let world = World::new().await;
    let by_id =
        async |records: Json| world.ok("PATCH", "composite/sobjects/Account/Id", collection("Account", records)).await;
    let made = by_id(json!([{"Name": "A"}, {"Id": null, "Name": "B"}])).await;
    assert_eq!((&made[0]["created"], &made[1]["created"]), (&json!(true), &json!(true)));
    let changed = by_id(json!([{"Id": made[0]["id"], "Phone": "1"}, {"id": "nonsense", "Phone": "1"}])).await;
    assert_eq!(changed[0], json!({"id": made[0]["id"], "success": true, "errors": [], "created": false}));
    assert_eq!((&changed[1]["success"], changed[1].get("id")), (&json!(false), None));
    assert_eq!(world.count("Account").await, 2);
}

#[tokio::test]
async fn all_or_none_takes_the_good_records_back() {
    let world = World::new().await;
    let body = json!({"allOrNone": true, "records": [
        {"attributes": {"type": "Account"}, "Name": "A"}, {"attributes": {"type": "Account"}, "Phone": "1"}]});
    let answer = world.ok("POST", "composite/sobjects", body.clone()).await;
    let message = "Record rolled back because not all records were valid and the request was using AllOrNone header";
    assert_eq!(answer[0], failed("ALL_OR_NONE_OPERATION_ROLLED_BACK", message));
    assert_eq!(answer[1]["errors"][0]["statusCode"], "REQUIRED_FIELD_MISSING");
    assert_eq!(world.count("Account").await, 0);
    // It is read from the body alone.
    let mut lenient = body;
    lenient["allOrNone"] = json!(false);
    let answer = world.ok("POST", "composite/sobjects?allOrNone=true", lenient).await;
    assert_eq!((&answer[0]["success"], world.count("Account").await), (&json!(true), 1));
    let id = answer[0]["id"].as_str().unwrap();
    let path = format!("composite/sobjects?allOrNone=true&ids={id},{}", crate::org::Id::new("001", "zz0", 7));
    let answer = world.ok("DELETE", &path, Json::Null).await;
    assert_eq!(answer[0]["errors"][0]["statusCode"], "ALL_OR_NONE_OPERATION_ROLLED_BACK");
    assert_eq!(world.count("Account").await, 1);
}

#[tokio::test]
async fn a_trigger_that_fails_takes_its_chunk_with_it() {
    let world = World::new().await;
    let body = collection("Account", json!([{"Name": "A"}, {"Name": "POISON"}, {"Name": "C"}]));
    let answer = world.ok("POST", "composite/sobjects", body).await;
    for item in answer.as_array().unwrap() {
        assert_eq!(item["errors"][0]["statusCode"], "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY");
    }
    assert_eq!(world.count("Account").await, 0);
}
