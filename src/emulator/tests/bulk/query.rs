//! Query jobs.

use serde_json::{Value as Json, json};

use super::accounts;
use crate::tests::World;

async fn with_accounts(count: usize) -> World {
    let world = World::new().await;
    let rows: String = (0..count).map(|n| format!("A{n:03},{n}\n")).collect();
    world.bulk_run(accounts("insert"), format!("Name,NumberOfEmployees\n{rows}")).await;
    world
}

fn job(soql: &str) -> Json {
    json!({"operation": "query", "query": soql})
}

#[tokio::test]
async fn a_query_job_is_made_and_read_in_pages() {
    let world = with_accounts(25).await;
    let made = world.ok("POST", "jobs/query", job("SELECT Id, Name FROM account")).await;
    for (key, value) in [
        ("operation", "query"),
        ("object", "Account"),
        ("state", "UploadComplete"),
        ("concurrencyMode", "Parallel"),
        ("contentType", "CSV"),
        ("lineEnding", "LF"),
        ("columnDelimiter", "COMMA"),
    ] {
        assert_eq!(made[key], value, "{key}");
    }
    let id = made["id"].as_str().unwrap();
    let info = world.bulk_wait("query", id, &["JobComplete"]).await;
    assert_eq!((&info["jobType"], &info["numberRecordsProcessed"]), (&json!("V2Query"), &json!(25)));
    assert_eq!((&info["isPkChunkingSupported"], &info["retries"]), (&json!(true), &json!(0)));

    let (mut names, mut locator, mut counts) = (Vec::new(), String::new(), Vec::new());
    while locator != "null" {
        let tail = if locator.is_empty() { String::new() } else { format!("&locator={locator}") };
        let (rows, next, count) = world.bulk_page(id, &format!("?maxRecords=10{tail}")).await;
        assert_eq!(rows[0], ["Id", "Name"], "the header is on every page");
        assert_eq!(rows.len(), count + 1);
        names.extend(rows[1..].iter().map(|row| row[1].clone()));
        (locator, counts) = (next, [counts, vec![count]].concat());
    }
    assert_eq!(counts, [10, 10, 5]);
    assert!(!names.is_sorted(), "in any order");
    names.sort();
    assert_eq!(names, (0..25).map(|n| format!("A{n:03}")).collect::<Vec<_>>());
    let (rows, locator, count) = world.bulk_page(id, "").await;
    assert_eq!((rows.len(), &*locator, count), (26, "null", 25));
    let calls = world.org().stats()["calls"].clone();
    assert_eq!((&calls["bulk_query"], &calls["bulk_query_results"]), (&json!(1), &json!(4)));
    let limits = world.ok("GET", "limits", Json::Null).await;
    assert_eq!(limits["DailyBulkV2QueryJobs"], json!({"Max": 10_000, "Remaining": 9_999}));
}

#[tokio::test]
async fn columns_and_values_have_their_own_form() {
    let world = World::new().await;
    let body = json!({"Name": "A, \"b\"\nc", "Source_Id__c": "a", "AnnualRevenue": 1.5, "NumberOfEmployees": 7});
    world.ok("POST", "sobjects/Account", body).await;
    let mut job = job(
        "SELECT name, Owner.Username, Parent.Name, AnnualRevenue, NumberOfEmployees, IsDeleted, SystemModstamp FROM Account",
    );
    job["columnDelimiter"] = json!("PIPE");
    job["lineEnding"] = json!("CRLF");
    let id = world.ok("POST", "jobs/query", job).await["id"].as_str().unwrap().to_owned();
    world.bulk_wait("query", &id, &["JobComplete"]).await;
    let text = world.raw("GET", &format!("jobs/query/{id}/results"), Json::Null).await.unwrap().text().await.unwrap();
    let (header, row) = text.split_once("\r\n").unwrap();
    assert_eq!(
        header,
        r#""Name"|"Owner.Username"|"Parent.Name"|"AnnualRevenue"|"NumberOfEmployees"|"IsDeleted"|"SystemModstamp""#
    );
    let start = "\"A, \"\"b\"\"\nc\"|\"integration@one.example.com\"|\"\"|\"1.5\"|\"7\"|\"false\"|\"";
    assert!(row.starts_with(start) && row.ends_with(".000Z\"\r\n"), "{row:?}");
}

#[tokio::test]
async fn an_empty_result_is_a_header_and_sorted_ones_keep_their_order() {
    let world = with_accounts(30).await;
    let id = world.bulk_query("SELECT Id, Name FROM Account WHERE Name = 'none'").await;
    assert_eq!(world.bulk_page(&id, "").await, (vec![vec!["Id".into(), "Name".into()]], "null".into(), 0));
    let id = world.bulk_query("SELECT Id FROM Account WHERE Name = 'none'").await;
    let request = world.request("GET", &format!("jobs/query/{id}/results")).header("x-prettyprint", "1");
    let text = request.send().await.unwrap().text().await.unwrap();
    assert_eq!(text, "\"Id\"\n", "though it could be JSON");
    let id = world.bulk_query("SELECT Name FROM Account ORDER BY NumberOfEmployees DESC LIMIT 3").await;
    assert_eq!(world.bulk_page(&id, "").await.0, [["Name"], ["A029"], ["A028"], ["A027"]]);
}

#[tokio::test]
async fn deleted_records_are_there_on_demand_and_what_is_hidden_is_not() {
    let mut world = World::new().await;
    let gone = world.ok("POST", "sobjects/Account", json!({"Name": "Gone"})).await["id"].as_str().unwrap().to_owned();
    world.ok("POST", "sobjects/Account", json!({"Name": "Here"})).await;
    world.ok("DELETE", &format!("sobjects/Account/{gone}"), Json::Null).await;
    for (operation, names) in [("query", vec!["Here"]), ("queryAll", vec!["Gone", "Here"])] {
        let body = json!({"operation": operation, "query": "SELECT Name FROM Account ORDER BY Name"});
        let job = world.ok("POST", "jobs/query", body).await;
        assert_eq!(job["operation"], operation);
        let id = job["id"].as_str().unwrap();
        world.bulk_wait("query", id, &["JobComplete"]).await;
        let rows = world.bulk_page(id, "").await.0;
        assert_eq!(rows[1..].concat(), names);
    }
    let id = world.bulk_query("SELECT Id FROM Account").await;
    world.log_in_as("limited").await;
    let (status, body) = world.call("GET", &format!("jobs/query/{id}/results"), Json::Null).await;
    assert_eq!((status, &body[0]["errorCode"]), (403, &json!("INVALIDUSER")));
    let (status, body) = world.call("POST", "jobs/query", job("SELECT AnnualRevenue FROM Account")).await;
    assert_eq!((status, &body[0]["errorCode"]), (400, &json!("INVALID_FIELD")));
}

#[tokio::test]
async fn what_a_bulk_query_cannot_have_is_refused() {
    let world = World::new().await;
    for (soql, code) in [
        ("SELECT Name, COUNT(Id) FROM Account GROUP BY Name", "FEATURENOTENABLED"),
        ("SELECT Name FROM Account GROUP BY Name", "FEATURENOTENABLED"),
        ("SELECT COUNT() FROM Account", "FEATURENOTENABLED"),
        ("SELECT MAX(Name) FROM Account", "FEATURENOTENABLED"),
        ("SELECT Name FROM Account LIMIT 5 OFFSET 5", "FEATURENOTENABLED"),
        ("SELECT Name, (SELECT Id FROM Contacts) FROM Account", "FEATURENOTENABLED"),
        ("SELECT BillingAddress FROM Account", "FEATURENOTENABLED"),
        ("SELECT Place__c FROM Invoice__c", "FEATURENOTENABLED"),
        ("SELECT Account.BillingAddress FROM Contact", "FEATURENOTENABLED"),
        ("SELECT TYPEOF What WHEN Account THEN Phone END FROM Task", "MALFORMED_QUERY"),
        ("SELECT FROM Account", "MALFORMED_QUERY"),
        ("SELECT Foo__c FROM Account", "INVALID_FIELD"),
        ("SELECT Id FROM Foo__c", "INVALID_TYPE"),
    ] {
        let (status, body) = world.call("POST", "jobs/query", job(soql)).await;
        assert_eq!((status, &body[0]["errorCode"]), (400, &json!(code)), "{soql}");
    }
    for body in [
        json!({"operation": "query"}),
        json!({"query": "SELECT Id FROM Account"}),
        json!({"operation": "insert", "query": "SELECT Id FROM Account"}),
    ] {
        let (status, answer) = world.call("POST", "jobs/query", body).await;
        assert_eq!((status, &answer[0]["errorCode"]), (400, &json!("INVALIDJOB")));
    }
    assert_eq!(world.ok("GET", "jobs/query", Json::Null).await["records"], json!([]));
}

#[tokio::test]
async fn results_are_for_complete_jobs_and_for_their_own_version() {
    let world = with_accounts(3).await;
    world.bulk_settings(json!({"hold_at": 0})).await;
    let id = world.ok("POST", "jobs/query", job("SELECT Id FROM Account")).await["id"].as_str().unwrap().to_owned();
    let results = format!("jobs/query/{id}/results");
    let (status, body) = world.call("GET", &results, Json::Null).await;
    assert_eq!((status, &body[0]["errorCode"]), (400, &json!("INVALIDJOBSTATE")));
    assert_eq!(world.call("DELETE", &format!("jobs/query/{id}"), Json::Null).await.1[0]["errorCode"], "API_ERROR");
    world.bulk_settings(json!({"hold_at": null})).await;
    world.bulk_wait("query", &id, &["JobComplete"]).await;
    for path in ["results", "resultPages"] {
        let other = format!("/services/data/v65.0/jobs/query/{id}/{path}");
        assert_eq!(world.call("GET", &other, Json::Null).await.0, 409, "{path}");
    }
    for parameters in ["locator=x", "locator=null", "maxRecords=0", "maxRecords=-1", "maxRecords=many"] {
        assert_eq!(world.call("GET", &format!("{results}?{parameters}"), Json::Null).await.0, 400, "{parameters}");
    }
    // Locators stay valid while the job is there, and are not for other jobs.
    let (first, locator, _) = world.bulk_page(&id, "?maxRecords=1").await;
    let rest = world.bulk_page(&id, &format!("?locator={locator}")).await.0;
    assert_eq!(world.bulk_page(&id, &format!("?locator={locator}")).await.0, rest);
    assert!(rest.len() == 3 && !rest.contains(&first[1]));
    let (status, body) = world.bulk_state("query", &id, "Aborted").await;
    assert_eq!((status, &body[0]["errorCode"]), (400, &json!("INVALIDJOBSTATE")));
    assert_eq!(world.bulk_state("query", &id, "UploadComplete").await.0, 400);
    assert_eq!(world.call("DELETE", &format!("jobs/query/{id}"), Json::Null).await.0, 204);
    assert_eq!(world.call("GET", &results, Json::Null).await.0, 404);
}

#[tokio::test]
async fn a_query_job_is_aborted_or_fails_while_it_reads() {
    let world = with_accounts(3).await;
    world.bulk_settings(json!({"hold_at": 0})).await;
    let id = world.ok("POST", "jobs/query", job("SELECT Id FROM Account")).await["id"].as_str().unwrap().to_owned();
    assert_eq!(world.bulk_state("query", &id, "Aborted").await.1["state"], "Aborted");
    world.bulk_settings(json!({"hold_at": null, "fail_after_rows": 0})).await;
    let failed = world.bulk_query("SELECT Id FROM Account").await;
    let info = world.ok("GET", &format!("jobs/query/{failed}"), Json::Null).await;
    assert_eq!(
        (&info["state"], &info["errorMessage"]),
        (&json!("Failed"), &json!("InternalServerError : Retried more than fifteen times"))
    );
    assert_eq!(world.ok("GET", &format!("jobs/query/{id}"), Json::Null).await["state"], "Aborted");
    let states: Vec<Json> = world.ok("GET", "jobs/query?jobType=V2Query", Json::Null).await["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| job["state"].clone())
        .collect();
    assert_eq!(states, ["Aborted", "Failed"]);
    world.bulk_settings(json!({"daily_query_jobs": 2})).await;
    let (status, body) = world.call("POST", "jobs/query", job("SELECT Id FROM Account")).await;
    assert_eq!((status, &body[0]["errorCode"]), (400, &json!("LIMIT_EXCEEDED")));
}

#[tokio::test]
async fn the_pages_of_a_result_are_listed() {
    let world = with_accounts(3).await;
    let id = world.bulk_query("SELECT Name FROM Account").await;
    let pages = world.ok("GET", &format!("jobs/query/{id}/resultPages"), Json::Null).await;
    assert_eq!((&pages["done"], &pages["nextRecordsUrl"]), (&json!(true), &Json::Null));
    let url = pages["resultPages"][0]["resultUrl"].as_str().unwrap();
    assert!(url.starts_with(&format!("/services/data/v66.0/jobs/query/{id}/results?locator=")), "{url}");
    let text = world.raw("GET", url, Json::Null).await.unwrap().text().await.unwrap();
    assert_eq!(text.lines().count(), 4);
    let old = format!("/services/data/v57.0/jobs/query/{id}/resultPages");
    assert_eq!(world.call("GET", &old, Json::Null).await.0, 404);
}
