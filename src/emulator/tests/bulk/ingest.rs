//! Ingest jobs as resources: made, filled, started, read, ended, listed.

use std::io::Write;

use serde_json::{Value as Json, json};

use super::{accounts, upsert};
use crate::tests::World;

#[tokio::test]
async fn a_job_is_made_filled_started_and_read() {
    let world = World::new().await;
    let request = world.request("POST", "jobs/ingest").header("sforce-call-options", "client=Bridge");
    let text = request.json(&upsert()).send().await.unwrap().text().await.unwrap();
    // A number with a fraction, whatever a parser makes of it.
    assert!(text.contains(r#""apiVersion":66.0"#), "{text}");
    let job: Json = serde_json::from_str(&text).unwrap();
    let id = job["id"].as_str().unwrap();
    assert!(id.starts_with("750") && id.len() == 18, "{id}");
    for (key, value) in [
        ("operation", "upsert"),
        ("object", "Account"),
        ("state", "Open"),
        ("externalIdFieldName", "Source_Id__c"),
        ("concurrencyMode", "Parallel"),
        ("contentType", "CSV"),
        ("lineEnding", "LF"),
        ("columnDelimiter", "COMMA"),
        ("contentUrl", &format!("services/data/v66.0/jobs/ingest/{id}/batches")),
    ] {
        assert_eq!(job[key], value, "{key}");
    }
    assert!(job["createdById"].as_str().unwrap().starts_with("005"));
    assert!(job["createdDate"].as_str().unwrap().ends_with(".000+0000"));

    assert_eq!(world.bulk_upload(id, "Source_Id__c,Name\na,A\nb,\n").await, (201, String::new()));
    let (status, started) = world.bulk_state("ingest", id, "UploadComplete").await;
    assert_eq!((status, &started["state"]), (200, &json!("UploadComplete")));
    assert_eq!(started.get("contentUrl"), None);
    let info = world.bulk_wait("ingest", id, &["JobComplete"]).await;
    assert_eq!((&info["numberRecordsProcessed"], &info["numberRecordsFailed"]), (&json!(2), &json!(1)));
    assert_eq!((&info["jobType"], &info["retries"]), (&json!("V2Ingest"), &json!(0)));
    for key in ["totalProcessingTime", "apiActiveProcessingTime", "apexProcessingTime"] {
        assert!(info[key].is_u64(), "{key}");
    }
    assert_eq!(info.get("errorMessage"), None);

    let done = world.bulk_results(&info, "successfulResults").await;
    assert_eq!(done[0], ["sf__Id", "sf__Created", "Source_Id__c", "Name"]);
    assert_eq!(done[1][1..], ["true", "a", "A"]);
    assert!(done[1][0].starts_with("001"));
    let failed = world.bulk_results(&info, "failedResults").await;
    let error = "REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --";
    assert_eq!(failed, [["sf__Id", "sf__Error", "Source_Id__c", "Name"], ["", error, "b", ""]]);
    assert_eq!(world.bulk_results(&info, "unprocessedrecords").await, [["Source_Id__c", "Name"]]);

    assert_eq!(world.origins(), ["com/salesforce/api/bulkapi/66.0;client=Bridge"]);
    let calls = world.org().stats()["calls"].clone();
    for (kind, count) in [("bulk_create", 1), ("bulk_upload", 1), ("bulk_close", 1), ("bulk_results", 3)] {
        assert_eq!(calls[kind], count, "{kind}");
    }
    assert!(calls["bulk_read"].as_u64().unwrap() >= 1);
    let all: u64 = calls
        .as_object()
        .unwrap()
        .iter()
        .filter(|(kind, _)| kind.starts_with("bulk"))
        .map(|(_, n)| n.as_u64().unwrap())
        .sum();
    assert_eq!(world.org().stats()["api_calls"], all, "each request is one call, whatever it holds");
}

#[tokio::test]
async fn descriptions_that_are_wrong_are_refused() {
    let world = World::new().await;
    let with = |key: &str, value: Json| {
        let mut body = upsert();
        body[key] = value;
        body
    };
    for (body, code, message) in [
        (with("object", json!("Foo__c")), "INVALIDJOB", "InvalidJob : Unable to find object: Foo__c"),
        (with("object", Json::Null), "INVALIDJOB", "InvalidJob : No object specified"),
        (with("operation", json!("query")), "INVALIDJOB", "InvalidJob : Operation not supported: query"),
        (with("operation", Json::Null), "INVALIDJOB", "InvalidJob : No operation specified"),
        (with("contentType", json!("JSON")), "INVALIDJOB", "InvalidJob : Content type not supported: JSON"),
        (
            with("externalIdFieldName", json!("Website")),
            "INVALIDJOB",
            "InvalidJob : Field name provided, Website does not match an External ID, Salesforce Id, or indexed field for Account",
        ),
        (
            with("externalIdFieldName", json!("")),
            "INVALIDJOB",
            "InvalidJob : External ID was blank for Account. An External ID must be specified for upsert.",
        ),
        (
            json!({"object": "Order_Shipped__e", "operation": "insert"}),
            "INVALIDENTITY",
            "Entity 'Order_Shipped__e' is not supported by the Bulk API.",
        ),
        (
            accounts("hardDelete"),
            "FEATURENOTENABLED",
            "FeatureNotEnabled : hardDelete operation requires special user profile permission, please contact your system administrator",
        ),
    ] {
        let answer = world.call("POST", "jobs/ingest", body).await;
        assert_eq!(answer, (400, json!([{"errorCode": code, "message": message}])));
    }
    for body in [with("lineEnding", json!("CR")), with("columnDelimiter", json!(",")), with("colour", json!("red"))] {
        let (status, answer) = world.call("POST", "jobs/ingest", body).await;
        assert_eq!((status, &answer[0]["errorCode"]), (400, &json!("JSON_PARSER_ERROR")));
    }
    let list = world.ok("GET", "jobs/ingest", Json::Null).await;
    assert_eq!(list, json!({"done": true, "records": [], "nextRecordsUrl": null}));
}

#[tokio::test]
async fn what_a_state_does_not_allow_is_refused() {
    let world = World::new().await;
    world.bulk_settings(json!({"hold_at": 0})).await;
    let id = world.bulk_job(accounts("insert")).await;
    let one = format!("jobs/ingest/{id}");
    let code = |answer: (u16, Json)| (answer.0, answer.1[0]["errorCode"].as_str().unwrap_or_default().to_owned());
    let refused = |code: &str| (400, code.to_owned());
    let results = format!("{one}/successfulResults");
    assert_eq!(code(world.call("GET", &results, Json::Null).await), refused("INVALIDJOBSTATE"));
    assert_eq!(code(world.call("DELETE", &one, Json::Null).await), refused("API_ERROR"));
    assert_eq!(code(world.bulk_state("ingest", &id, "JobComplete").await), refused("INVALIDJOB"));
    assert_eq!(code(world.call("PATCH", &one, json!({})).await), refused("INVALIDJOB"));
    assert_eq!(world.bulk_upload(&id, "Name\nA\n").await.0, 201);
    let (status, again) = world.bulk_upload(&id, "Name\nA\n").await;
    assert!(status == 400 && again.contains("Found multiple contents for job"), "{again}");
    assert_eq!(world.bulk_state("ingest", &id, "UploadComplete").await.0, 200);
    assert_eq!(code(world.bulk_state("ingest", &id, "UploadComplete").await), refused("INVALIDJOBSTATE"));
    let (status, late) = world.bulk_upload(&id, "Name\nA\n").await;
    assert!(status == 400 && late.contains("INVALIDJOBSTATE"), "{late}");

    world.bulk_settings(json!({"hold_at": 1})).await;
    assert_eq!(
        code(world.call("DELETE", &format!("jobs/ingest/{}", running(&world).await), Json::Null).await),
        refused("API_ERROR")
    );
    world.bulk_settings(json!({"hold_at": null})).await;
    world.bulk_wait("ingest", &id, &["JobComplete"]).await;
    let (status, aborted) = world.bulk_state("ingest", &id, "Aborted").await;
    assert_eq!(status, 400);
    assert_eq!(
        aborted,
        json!([{"errorCode": "INVALIDJOBSTATE", "message": "Aborting already Completed Job not allowed"}])
    );
    assert_eq!(world.call("DELETE", &one, Json::Null).await, (204, Json::Null));
    for (method, path) in [("GET", one.clone()), ("DELETE", one.clone()), ("GET", results)] {
        assert_eq!(code(world.call(method, &path, Json::Null).await), (404, "NOT_FOUND".into()), "{method} {path}");
    }
}

/// A job of two accounts that has done one and waits.
async fn running(world: &World) -> String {
    let id = world.bulk_job(accounts("insert")).await;
    world.bulk_upload(&id, "Name\nA\nB\n").await;
    world.bulk_state("ingest", &id, "UploadComplete").await;
    loop {
        let info = world.bulk_wait("ingest", &id, &["InProgress"]).await;
        if info["numberRecordsProcessed"] == 1 {
            return id;
        }
    }
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there() {
    let world = World::new().await;
    let id = world.bulk_job(accounts("insert")).await;
    for (method, path, status) in [
        ("GET", "jobs".to_owned(), 404),
        ("GET", "jobs/other".into(), 404),
        ("GET", "jobs/ingest/001".into(), 404),
        ("GET", "jobs/ingest/7505e0000000009AAA".into(), 404),
        ("GET", format!("jobs/ingest/{id}/otherResults"), 404),
        ("GET", format!("jobs/ingest/{id}/batches"), 405),
        ("DELETE", "jobs/ingest".into(), 405),
        ("POST", format!("jobs/ingest/{id}"), 405),
        ("PUT", format!("jobs/ingest/{id}/failedResults"), 405),
        ("GET", "/services/data/v40.0/jobs/ingest".into(), 404),
        ("GET", "/services/data/v46.0/jobs/query".into(), 404),
        ("GET", "/services/data/v41.0/jobs/ingest".into(), 200),
    ] {
        assert_eq!(world.call(method, &path, Json::Null).await.0, status, "{method} {path}");
    }
    // Jobs are not for composites.
    let body = json!({"batchRequests": [{"method": "GET", "url": "v66.0/jobs/ingest"}]});
    let (_, answer) = world.call("POST", "composite/batch", body).await;
    assert_ne!(answer["results"][0]["statusCode"], 200);
    let wrong = world.request("PUT", &format!("jobs/ingest/{id}/batches")).header("content-type", "application/json");
    assert_eq!(wrong.body("{}").send().await.unwrap().status(), 415);
}

#[tokio::test]
async fn other_requests_pass_while_a_job_is_worked_on_and_an_abort_ends_it() {
    let world = World::new().await;
    world.bulk_settings(json!({"hold_at": 250})).await;
    let id = world.bulk_job(accounts("insert")).await;
    let rows: String = (0..1_000).map(|n| format!("A{n}\n")).collect();
    world.bulk_upload(&id, format!("Name\n{rows}")).await;
    world.bulk_state("ingest", &id, "UploadComplete").await;
    while world.count("Account").await < 250 {
        tokio::task::yield_now().await;
    }
    let info = world.bulk_wait("ingest", &id, &["InProgress"]).await;
    assert_eq!(info["numberRecordsProcessed"], 250);
    world.ok("POST", "sobjects/Account", json!({"Name": "Between"})).await;
    assert_eq!(world.bulk_state("ingest", &id, "Aborted").await.1["state"], "Aborted");
    world.bulk_settings(json!({"hold_at": null})).await;
    let info = world.bulk_wait("ingest", &id, &["Aborted"]).await;
    // What was done stays done; a chunk that was on its way is done too.
    let done = world.bulk_results(&info, "successfulResults").await.len() - 1;
    let left = world.bulk_results(&info, "unprocessedrecords").await.len() - 1;
    assert_eq!((done, left), (250, 750));
    assert_eq!(world.count("Account").await, 251);
}

#[tokio::test]
async fn a_job_that_is_aborted_before_its_start_gives_every_row_back() {
    let world = World::new().await;
    for data in [None, Some("Name,Phone\nA,1\nB,2\n")] {
        let id = world.bulk_job(accounts("insert")).await;
        if let Some(data) = data {
            world.bulk_upload(&id, data).await;
        }
        world.bulk_state("ingest", &id, "Aborted").await;
        let info = world.ok("GET", &format!("jobs/ingest/{id}"), Json::Null).await;
        assert_eq!(info["numberRecordsProcessed"], 0);
        let rows = world.bulk_results(&info, "unprocessedrecords").await;
        match data {
            Some(_) => assert_eq!(rows, [["Name", "Phone"], ["A", "1"], ["B", "2"]]),
            None => assert_eq!(rows.len(), 0),
        }
    }
}

#[tokio::test]
async fn a_job_can_be_made_to_fail_half_way() {
    let world = World::new().await;
    world.bulk_settings(json!({"fail_after_rows": 300})).await;
    let rows: String = (0..1_000).map(|n| format!("k{n},A\n")).collect();
    let csv = format!("Source_Id__c,Name\n{rows}");
    let info = world.bulk_run(upsert(), csv.clone()).await;
    assert_eq!((&info["state"], &info["numberRecordsProcessed"]), (&json!("Failed"), &json!(300)));
    assert_eq!(info["errorMessage"], "InternalServerError : Retried more than fifteen times");
    assert_eq!(world.bulk_results(&info, "unprocessedrecords").await.len(), 1 + 700);
    assert_eq!(world.bulk_results(&info, "successfulResults").await.len(), 1 + 300);
    assert_eq!(world.count("Account").await, 300);
    let info = world.bulk_run(upsert(), csv).await;
    assert_eq!((&info["state"], &info["numberRecordsFailed"]), (&json!("JobComplete"), &json!(0)));
    assert_eq!(world.count("Account").await, 1_000);
}

#[tokio::test]
async fn a_small_job_comes_with_its_data() {
    let world = World::new().await;
    let post = |content: String| {
        let body = format!(
            "--BOUNDARY\r\nContent-Type: application/json\r\nContent-Disposition: form-data; name=\"job\"\r\n\r\n{}\r\n--BOUNDARY\r\nContent-Type: text/csv\r\nContent-Disposition: form-data; name=\"content\"; filename=\"content\"\r\n\r\n{content}\r\n--BOUNDARY--\r\n",
            accounts("insert")
        );
        let request =
            world.request("POST", "jobs/ingest").header("content-type", "multipart/form-data; boundary=BOUNDARY");
        request.body(body).send()
    };
    let answer = post("Name\nA\nB\n".into()).await.unwrap();
    assert_eq!(answer.status(), 200);
    let job: Json = answer.json().await.unwrap();
    assert_eq!((&job["state"], job.get("contentUrl")), (&json!("UploadComplete"), None));
    let info = world.bulk_wait("ingest", job["id"].as_str().unwrap(), &["JobComplete"]).await;
    assert_eq!(info["numberRecordsProcessed"], 2);
    assert_eq!(world.count("Account").await, 2);
    assert_eq!(post(format!("Name\n{}", "ä".repeat(99_995))).await.unwrap().status(), 200);
    let large = post(format!("Name\n{}", "ä".repeat(99_996))).await.unwrap();
    assert_eq!(large.status(), 400);
    assert_eq!(large.json::<Json>().await.unwrap()[0]["errorCode"], "CLIENTINPUTERROR");
    let nothing = world.request("POST", "jobs/ingest").header("content-type", "multipart/form-data; boundary=B");
    assert_eq!(nothing.body("--B--").send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn data_and_results_may_be_packed() {
    let world = World::new().await;
    let id = world.bulk_job(accounts("insert")).await;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(format!("Name\n{}", "A\n".repeat(300)).as_bytes()).unwrap();
    let request = world.request("PUT", &format!("jobs/ingest/{id}/batches"));
    let request = request.header("content-type", "text/csv; charset=UTF-8").header("content-encoding", "gzip");
    assert_eq!(request.body(packed.finish().unwrap()).send().await.unwrap().status(), 201);
    world.bulk_state("ingest", &id, "UploadComplete").await;
    let info = world.bulk_wait("ingest", &id, &["JobComplete"]).await;
    assert_eq!(info["numberRecordsProcessed"], 300);
    let plain = reqwest::Client::builder().no_gzip().build().unwrap();
    let get = plain.get(world.url(&format!("/services/data/v66.0/jobs/ingest/{id}/successfulResults")));
    let answer = get.bearer_auth(&world.token).header("accept-encoding", "gzip").send().await.unwrap();
    assert_eq!(answer.headers()["content-encoding"], "gzip");
}

#[tokio::test]
async fn the_data_of_a_job_may_be_larger_than_other_bodies() {
    let world = World::new().await;
    let id = world.bulk_job(accounts("insert")).await;
    let mut large = b"Name\n".to_vec();
    large.resize(113 * 1024 * 1024, b'x');
    let (status, answer) = world.bulk_upload(&id, large.clone()).await;
    assert!(status == 413 && answer.contains("EXCEEDED_MAX_SIZE_REQUEST"), "{answer}");
    large.truncate(60 * 1024 * 1024);
    assert_eq!(world.bulk_upload(&id, large).await, (201, String::new()));
}

#[tokio::test]
async fn jobs_are_listed_in_pages() {
    let world = World::new().await;
    for _ in 0..1_001 {
        world.bulk_job(accounts("insert")).await;
    }
    let first = world.ok("GET", "jobs/ingest?jobType=V2Ingest&isPkChunkingEnabled=false", Json::Null).await;
    assert_eq!((&first["done"], first["records"].as_array().unwrap().len()), (&json!(false), 1_000));
    assert_eq!(first["records"][0]["jobType"], "V2Ingest");
    let next = first["nextRecordsUrl"].as_str().unwrap();
    assert!(next.starts_with("/services/data/v66.0/jobs/ingest?queryLocator="), "{next}");
    let second = world.ok("GET", next, Json::Null).await;
    assert_eq!((&second["done"], second["records"].as_array().unwrap().len()), (&json!(true), 1));
    assert_eq!(second["nextRecordsUrl"], Json::Null);
    assert!(!first["records"].as_array().unwrap().contains(&second["records"][0]));
    assert_eq!(world.call("GET", "jobs/ingest?queryLocator=x", Json::Null).await.0, 400);
    for filter in ["jobType=Classic", "isPkChunkingEnabled=true", "concurrencyMode=serial"] {
        let none = world.ok("GET", &format!("jobs/ingest?{filter}"), Json::Null).await;
        assert_eq!(none["records"], json!([]), "{filter}");
    }
}

#[tokio::test]
async fn an_open_job_ends_after_a_day_and_jobs_go_after_a_week() {
    let mut world = World::new().await;
    let open = world.bulk_job(accounts("insert")).await;
    let done = world.bulk_run(accounts("insert"), "Name\nA\n").await["id"].as_str().unwrap().to_owned();
    world.ok("POST", "/emulator/time", json!({"advance_seconds": 24 * 3_600})).await;
    world.log_in().await;
    assert_eq!(world.ok("GET", &format!("jobs/ingest/{open}"), Json::Null).await["state"], "Aborted");
    world.ok("POST", "/emulator/time", json!({"advance_seconds": 6 * 24 * 3_600})).await;
    world.log_in().await;
    assert_eq!(world.call("GET", &format!("jobs/ingest/{done}"), Json::Null).await.0, 404);
    assert_eq!(world.call("GET", &format!("jobs/ingest/{open}"), Json::Null).await.0, 200);
}

#[tokio::test]
async fn internal_batches_are_counted_and_limited() {
    let world = World::new().await;
    let rows = |count: usize| format!("Id\n{}", "x\n".repeat(count));
    world.bulk_run(accounts("delete"), rows(10_001)).await;
    let limits = world.ok("GET", "limits", Json::Null).await;
    assert_eq!(limits["DailyBulkApiBatches"], json!({"Max": 15_000, "Remaining": 14_998}));
    world.bulk_settings(json!({"daily_batches": 3})).await;
    let info = world.bulk_run(accounts("delete"), rows(10_001)).await;
    assert_eq!((&info["state"], &info["numberRecordsProcessed"]), (&json!("Failed"), &json!(10_000)));
    assert_eq!(info["errorMessage"], "ExceededQuota : ApiBatchItems Limit exceeded.");
    let (status, refused) = world.call("POST", "jobs/ingest", accounts("insert")).await;
    assert_eq!((status, &refused[0]["errorCode"]), (400, &json!("EXCEEDEDQUOTA")));
}

#[tokio::test]
async fn the_jobs_of_another_user_are_not_shown() {
    let mut world = World::new().await;
    let info = world.bulk_run(accounts("insert"), "Name\nA\n").await;
    let one = format!("jobs/ingest/{}", info["id"].as_str().unwrap());
    world.log_in_as("limited").await;
    for (method, path) in [("GET", one.clone()), ("DELETE", one.clone()), ("GET", format!("{one}/successfulResults"))] {
        let (status, body) = world.call(method, &path, Json::Null).await;
        assert_eq!((status, &body[0]["errorCode"]), (403, &json!("INVALIDUSER")), "{method} {path}");
    }
    assert_eq!(world.ok("GET", "jobs/ingest", Json::Null).await["records"], json!([]));
    world.log_in_as("olga").await;
    assert_eq!(world.call("GET", &one, Json::Null).await.0, 200);
}

#[tokio::test]
async fn the_answer_to_a_creation_may_be_lost_and_the_job_be_there() {
    let world = World::new().await;
    world.rules(json!([{"kind": "do_then_fail"}])).await;
    assert!(world.raw("POST", "jobs/ingest", accounts("insert")).await.is_err());
    let list = world.ok("GET", "jobs/ingest", Json::Null).await;
    assert_eq!(list["records"][0]["state"], "Open");
}
