//! What becomes of the rows of a job.

use serde_json::{Value as Json, json};

use super::{accounts, upsert};
use crate::tests::World;

impl World {
    async fn field(&self, object: &str, key: &str, field: &str) -> Json {
        self.ok("GET", &format!("sobjects/{object}/{key}"), Json::Null).await[field].clone()
    }
}

#[tokio::test]
async fn an_empty_cell_leaves_a_field_alone_and_na_clears_it() {
    let world = World::new().await;
    let csv = "Source_Id__c,Name,Phone,Website,Industry\na,A,1,w.example,\n";
    let info = world.bulk_run(upsert(), csv).await;
    let id = world.bulk_results(&info, "successfulResults").await[1][0].clone();
    let update = format!("Id,Phone,Website,Industry\n{id},,#N/A,Media\n");
    let info = world.bulk_run(accounts("update"), update).await;
    assert_eq!(world.bulk_results(&info, "successfulResults").await[1][1], "false");
    let record = world.ok("GET", &format!("sobjects/Account/{id}"), Json::Null).await;
    assert_eq!(
        (&record["Phone"], &record["Website"], &record["Industry"]),
        (&json!("1"), &Json::Null, &json!("Media"))
    );
}

#[tokio::test]
async fn values_of_every_type_are_read_from_text() {
    let world = World::new().await;
    let header = "Ext__c,Paid__c,Quantity__c,Weight__c,Amount__c,Due__c,Sent__c,Opens__c,Tags__c,Long__c,Status__c";
    let row =
        "x,1,+7,0.5,1.5E3,2026-03-01,2026-03-01T12:00:00+01:00,08:30:00.000Z,Blue;Red,\"two\nlines, \"\"quoted\"\"\",";
    let job = json!({"object": "Invoice__c", "operation": "insert"});
    let info = world.bulk_run(job, format!("{header}\n{row}\n")).await;
    assert_eq!(info["numberRecordsFailed"], 0, "{:?}", world.bulk_errors(&info).await);
    let record = world.ok("GET", "sobjects/Invoice__c/Ext__c/x", Json::Null).await;
    for (field, value) in [
        ("Paid__c", json!(true)),
        ("Quantity__c", json!(7)),
        ("Weight__c", json!(0.5)),
        ("Amount__c", json!(1500)),
        ("Due__c", json!("2026-03-01")),
        ("Sent__c", json!("2026-03-01T11:00:00.000+0000")),
        ("Opens__c", json!("08:30:00.000Z")),
        ("Tags__c", json!("Red;Blue")),
        ("Long__c", json!("two\nlines, \"quoted\"")),
        ("Status__c", json!("Draft")), // its default
    ] {
        assert_eq!(record[field], value, "{field}");
    }
}

#[tokio::test]
async fn each_row_fails_alone_and_says_why() {
    let world = World::new().await;
    world.ok("POST", "sobjects/Account", json!({"Name": "There", "Source_Id__c": "there"})).await;
    let job = json!({"object": "Invoice__c", "operation": "insert"});
    let csv = "Ext__c,Quantity__c,Paid__c,Due__c,Sent__c,Status__c,Contact_Email__c,Account__r.Source_Id__c\n\
        01,five,,,,,,\n02,,maybe,,,,,\n03,,,01.03.2026,,,,\n04,,,,2026-03-01,,,\n05,,,,,Lost,,\n06,,,,,,nobody,\n07,,,,,,,nope\n\
        08,1234567,,,,,,\n09,,,,,,,there\n10,,\n11, \"1\",,,,,,\n";
    let info = world.bulk_run(job, csv).await;
    let xsd = |column: usize, text: &str, kind: &str, field: &str| {
        format!(
            "INVALID_FIELD:Failed to deserialize field at col {column}. Due to, '{text}' is not a valid value for the type xsd:{kind}:{field} --"
        )
    };
    let expected = [
        ("01", xsd(1, "five", "double", "Quantity__c")),
        ("02", xsd(2, "maybe", "boolean", "Paid__c")),
        ("03", xsd(3, "01.03.2026", "date", "Due__c")),
        ("04", xsd(4, "2026-03-01", "dateTime", "Sent__c")),
        ("05", "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST:Status: bad value for restricted picklist field: Lost:Status__c --".into()),
        ("06", "INVALID_EMAIL_ADDRESS:Contact Email: invalid email address: nobody:Contact_Email__c --".into()),
        ("07", "INVALID_FIELD:Foreign key external ID: nope not found for field Source_Id__c in entity Account:--".into()),
        ("08", "NUMBER_OUTSIDE_VALID_RANGE:Quantity: value outside of valid range on numeric field: 1234567:Quantity__c --".into()),
        ("10", "INVALID_CSV_ROW:The row has 3 values, the header row has 8:--".into()),
        ("11", "INVALID_CSV_ROW:Failed to parse the row: a quote inside a value that does not start with one:--".into()),
    ];
    assert_eq!(world.bulk_errors(&info).await, expected.map(|(key, error)| (key.to_owned(), error)));
    assert_eq!(world.bulk_results(&info, "successfulResults").await[1][2], "09");
    assert_eq!(info["state"], "JobComplete", "whatever became of its rows");
}

#[tokio::test]
async fn the_rules_of_the_org_hold_for_rows_too() {
    let mut world = World::new().await;
    let csv = "Source_Id__c,Name,Type,Phone\na,A,Customer,\nb,B,Customer,5\nc,C,,\n";
    let info = world.bulk_run(upsert(), csv).await;
    let rule = "FIELD_CUSTOM_VALIDATION_EXCEPTION:A customer needs a phone number.:Phone --";
    assert_eq!(world.bulk_errors(&info).await, [("a".to_owned(), rule.to_owned())]);
    // A trigger has run.
    assert_eq!(world.field("Account", "Source_Id__c/b", "Search_Name__c").await, "B");
    // An exception that nobody catches fails its chunk.
    let info = world.bulk_run(upsert(), "Source_Id__c,Name\nd,POISON\ne,E\n").await;
    assert_eq!((&info["state"], &info["numberRecordsFailed"]), (&json!("JobComplete"), &json!(2)));
    // Field-level security: what is hidden is no column, what is read-only fails.
    world.log_in_as("limited").await;
    let info = world.bulk_run(upsert(), "Source_Id__c,AnnualRevenue\nb,5\n").await;
    assert_eq!(info["errorMessage"], "InvalidBatch : Field name not found : AnnualRevenue");
    let info = world.bulk_run(upsert(), "Source_Id__c,Industry\nb,Media\n").await;
    let errors = world.bulk_errors(&info).await;
    assert!(
        errors[0].1.starts_with("INVALID_FIELD_FOR_INSERT_UPDATE:Unable to create/update fields: Industry."),
        "{errors:?}"
    );
    assert!(errors[0].1.ends_with(":Industry --"), "{errors:?}");
    let info = world.bulk_run(accounts("insert"), "Source_Id__c,Name\nf,F\n").await;
    let errors = world.bulk_errors(&info).await;
    assert!(errors[0].1.starts_with("INSUFFICIENT_ACCESS:"), "{errors:?}");
}

#[tokio::test]
async fn an_external_id_twice_in_an_internal_batch_fails_wherever_it_is() {
    let world = World::new().await;
    let mut rows: Vec<String> = (0..10_000).map(|n| format!("k{n},A")).collect();
    rows[9_999] = "K0,B".into(); // far from the other, and in another case
    rows.push("k1,C".into()); // in another batch: the last one wins
    let info = world.bulk_run(upsert(), format!("Source_Id__c,Name\n{}\n", rows.join("\n"))).await;
    let double =
        |key: &str| (key.to_owned(), format!("DUPLICATE_VALUE:Duplicate external id specified: {key}:Source_Id__c --"));
    assert_eq!(world.bulk_errors(&info).await, [double("K0"), double("k0")]);
    assert_eq!(world.field("Account", "Source_Id__c/k1", "Name").await, "C");
    assert_eq!(world.count("Account").await, 9_998);
}

#[tokio::test]
async fn upserts_need_their_key_and_tell_what_they_made() {
    let world = World::new().await;
    let id = world.ok("POST", "sobjects/Account", json!({"Name": "Old", "Source_Id__c": "a"})).await["id"].clone();
    let info = world.bulk_run(upsert(), "Source_Id__c,Name\na,New\nb,B\n,C\na2,\n").await;
    let done = world.bulk_results(&info, "successfulResults").await;
    let by_key = |key: &str| done.iter().find(|row| row[2] == key).cloned().unwrap();
    assert_eq!(by_key("a")[..2], [id.as_str().unwrap().to_owned(), "false".into()]);
    assert_eq!(by_key("b")[1], "true");
    let missing = "MISSING_ARGUMENT:Source_Id__c not specified:--".to_owned();
    assert_eq!(world.bulk_errors(&info).await[0], (String::new(), missing));
    // A row that failed for a record that is there comes with its id.
    let info = world.bulk_run(upsert(), "Source_Id__c,Type,Phone\na,Customer,#N/A\n").await;
    assert_eq!(world.bulk_results(&info, "failedResults").await[1][0], id.as_str().unwrap());
    // By the record's own id: without one it is new.
    let by_id = json!({"object": "Account", "operation": "upsert", "externalIdFieldName": "Id"});
    let info = world.bulk_run(by_id, format!("Id,Name\n{},Again\n,Fresh\n", id.as_str().unwrap())).await;
    let done = world.bulk_results(&info, "successfulResults").await;
    let mut seen: Vec<_> = done[1..].iter().map(|row| (row[3].clone(), row[1].clone())).collect();
    seen.sort();
    assert_eq!(seen, [("Again".into(), "false".into()), ("Fresh".into(), "true".into())]);
}

#[tokio::test]
async fn parents_are_found_by_relationship_columns() {
    let world = World::new().await;
    let account = world.ok("POST", "sobjects/Account", json!({"Name": "A", "Source_Id__c": "a"})).await["id"].clone();
    let contact = json!({"LastName": "Roe", "Email": "roe@example.com"});
    let contact = world.ok("POST", "sobjects/Contact", contact).await["id"].clone();
    let job = |object: &str| json!({"object": object, "operation": "upsert", "externalIdFieldName": "Source_Id__c"});
    let info = world.bulk_run(job("Contact"), "Source_Id__c,LastName,Account.Source_Id__c\nc,Doe,a\n").await;
    assert_eq!(info["numberRecordsFailed"], 0);
    assert_eq!(world.field("Contact", "Source_Id__c/c", "AccountId").await, account);
    world.bulk_run(job("Contact"), "Source_Id__c,Account.Source_Id__c\nc,\n").await;
    assert_eq!(world.field("Contact", "Source_Id__c/c", "AccountId").await, account);
    world.bulk_run(job("Contact"), "Source_Id__c,Account.Source_Id__c\nc,#N/A\n").await;
    assert_eq!(world.field("Contact", "Source_Id__c/c", "AccountId").await, Json::Null);
    let info = world.bulk_run(job("Task"), "Source_Id__c,Contact:Who.Email\nt,roe@example.com\n").await;
    assert_eq!(info["numberRecordsFailed"], 0, "{:?}", world.bulk_errors(&info).await);
    assert_eq!(world.field("Task", "Source_Id__c/t", "WhoId").await, contact);
    let info = world.bulk_run(job("Task"), "Source_Id__c,Who.Email\nt,roe@example.com\n").await;
    assert_eq!(info["errorMessage"], "InvalidBatch : type is needed for polymorphic foreign key Who.Email");
}

#[tokio::test]
async fn a_job_whose_file_is_wrong_fails_and_writes_nothing() {
    let world = World::new().await;
    let ending = |set: &str| {
        format!("ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is {set}")
    };
    let crlf = json!({"object": "Account", "operation": "insert", "lineEnding": "CRLF"});
    for (job, csv, message) in [
        (accounts("insert"), "Name,Foo__c\nA,1\nB,2\n", "InvalidBatch : Field name not found : Foo__c".to_owned()),
        (
            accounts("insert"),
            "\u{feff}Name,Phone\nA,1\nB,2\n",
            "InvalidBatch : Field name not found : \u{feff}Name".into(),
        ),
        (accounts("insert"), "Name,Phone\r\nA,1\r\nB,2\r\n", ending("LF")),
        (accounts("insert"), "Name,Phone\nA,1\n\"B\r\nb\",2\n", ending("LF")),
        (crlf.clone(), "Name,Phone\nA,1\nB,2\n", ending("CRLF")),
        (crlf, "Name,Phone\r\nA,1\r\n\"B\nb\",2\r\n", ending("CRLF")),
    ] {
        let info = world.bulk_run(job, csv).await;
        assert_eq!((&info["state"], &info["errorMessage"]), (&json!("Failed"), &json!(message)), "{csv:?}");
        assert_eq!(world.bulk_results(&info, "unprocessedrecords").await.len(), 1 + 2, "{csv:?}");
    }
    let info = world.bulk_run(accounts("insert"), "").await;
    assert_eq!(info["errorMessage"], "InvalidBatch : The file does not contain a header row");
    assert_eq!(world.count("Account").await, 0);
    let info = world.bulk_run(accounts("insert"), "Name\n").await;
    assert_eq!((&info["state"], &info["numberRecordsProcessed"]), (&json!("JobComplete"), &json!(0)));

    world.ok("POST", "/emulator/switches", json!({"line_breaks_fail_job": false})).await;
    let csv = "Source_Id__c,Name,Description\nx,A,\"one\r\ntwo\"\n";
    assert_eq!(world.bulk_run(upsert(), csv).await["numberRecordsFailed"], 0);
    assert_eq!(world.field("Account", "Source_Id__c/x", "Description").await, "one\r\ntwo");
}

#[tokio::test]
async fn every_delimiter_and_line_ending_works_both_ways() {
    let world = World::new().await;
    for (n, (name, mark)) in
        [("BACKQUOTE", '`'), ("CARET", '^'), ("COMMA", ','), ("PIPE", '|'), ("SEMICOLON", ';'), ("TAB", '\t')]
            .into_iter()
            .enumerate()
    {
        for (ending, end) in [("LF", "\n"), ("CRLF", "\r\n")] {
            let job =
                json!({"object": "Account", "operation": "insert", "columnDelimiter": name, "lineEnding": ending});
            let value = format!("\"A{mark}{n}\"");
            let info = world.bulk_run(job, format!("Name{mark}Phone{end}{value}{mark}{n}{end}")).await;
            assert_eq!((&info["columnDelimiter"], &info["lineEnding"]), (&json!(name), &json!(ending)));
            let path = format!("jobs/ingest/{}/successfulResults", info["id"].as_str().unwrap());
            let text = world.raw("GET", &path, Json::Null).await.unwrap().text().await.unwrap();
            let head = format!("\"sf__Id\"{mark}\"sf__Created\"{mark}\"Name\"{mark}\"Phone\"{end}");
            assert!(text.starts_with(&head) && text.ends_with(&format!("{mark}{value}{mark}\"{n}\"{end}")), "{text:?}");
        }
    }
}

#[tokio::test]
async fn rows_may_meet_locks() {
    let world = World::new().await;
    let info = world.bulk_run(upsert(), "Source_Id__c,Name\na,A\nb,B\nc,C\n").await;
    let done = world.bulk_results(&info, "successfulResults").await;
    let id = |key: &str| done.iter().find(|row| row[2] == key).unwrap()[0].clone();
    world.bulk_settings(json!({"lock_rows": 2})).await;
    let csv = "Source_Id__c,Phone\na,1\nb,2\nc,3\n";
    let info = world.bulk_run(upsert(), csv).await;
    let text = format!(
        "UNABLE_TO_LOCK_ROW:unable to obtain exclusive access to this record or 2 records: {},{}:--",
        id("a"),
        id("b")
    );
    assert_eq!(world.bulk_errors(&info).await, [("a".to_owned(), text.clone()), ("b".to_owned(), text)]);
    assert_eq!(world.bulk_run(upsert(), csv).await["numberRecordsFailed"], 0, "only the next job");
    // Locks of others, too.
    world.ok("POST", "/emulator/locks", json!({"ids": [id("c")], "times": 1})).await;
    let info = world.bulk_run(upsert(), csv).await;
    let text =
        format!("UNABLE_TO_LOCK_ROW:unable to obtain exclusive access to this record or 1 records: {}:--", id("c"));
    assert_eq!(world.bulk_errors(&info).await, [("c".to_owned(), text)]);
}

#[tokio::test]
async fn records_are_deleted_and_with_permission_for_good() {
    let mut world = World::of(
        "users:\n  - username: \"eraser@{org}.example.com\"\n    last_name: Eraser\n    password: emulator1\n    security_token: TOKEN\n    access: { bulk_hard_delete: true }\n",
    )
    .await;
    let info = world.bulk_run(accounts("insert"), "Name\nA\nB\n").await;
    let ids: Vec<String> =
        world.bulk_results(&info, "successfulResults").await[1..].iter().map(|row| row[0].clone()).collect();
    let info = world.bulk_run(accounts("delete"), format!("Id\n{}\n0015e0000000099AAA\n", ids[0])).await;
    assert_eq!(world.bulk_results(&info, "successfulResults").await[1][..2], [ids[0].clone(), "false".into()]);
    assert_eq!(info["numberRecordsFailed"], 1);
    world.log_in_as("eraser").await;
    let info = world.bulk_run(accounts("hardDelete"), format!("Id\n{}\n", ids[1])).await;
    assert_eq!(info["numberRecordsFailed"], 0);
    let left = world.ok("GET", "queryAll?q=SELECT+Id+FROM+Account", Json::Null).await;
    assert_eq!((&left["totalSize"], &left["records"][0]["Id"]), (&json!(1), &json!(ids[0])));
}

#[tokio::test]
async fn assignment_rules_run_only_when_they_are_asked_for() {
    let world = World::new().await;
    let mut job = json!({"object": "Case", "operation": "upsert", "externalIdFieldName": "Source_Id__c"});
    world.bulk_run(job.clone(), "Source_Id__c,Priority\na,High\n").await;
    job["assignmentRuleId"] = json!("01Q5e0000000001");
    let shown = world.bulk_run(job.clone(), "Source_Id__c,Priority\nb,High\n").await;
    assert_eq!(shown["assignmentRuleId"], "01Q5e0000000001");
    let owner = async |key: &str| world.field("Case", &format!("Source_Id__c/{key}"), "OwnerId").await;
    assert_ne!(owner("a").await, owner("b").await);
    job["assignmentRuleId"] = json!("rule");
    assert_eq!(world.call("POST", "jobs/ingest", job).await.0, 400);
}

#[tokio::test]
async fn results_may_come_in_pages() {
    let world = World::new().await;
    let rows: String = (0..25).map(|n| format!("A{n}\n")).collect();
    let info = world.bulk_run(accounts("insert"), format!("Name\n{rows}")).await;
    world.ok("POST", "/emulator/switches", json!({"bulk_result_rows": 10})).await;
    let base = format!("jobs/ingest/{}/successfulResults", info["id"].as_str().unwrap());
    let (mut names, mut locator, mut counts) = (Vec::new(), String::new(), Vec::new());
    while locator != "null" {
        let tail = if locator.is_empty() { String::new() } else { format!("?locator={locator}") };
        let answer = world.raw("GET", &format!("{base}{tail}"), Json::Null).await.unwrap();
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        locator = header("sforce-locator");
        counts.push(header("sforce-numberofrecords"));
        names.extend(super::table(&answer.text().await.unwrap()).into_iter().skip(1).map(|row| row[2].clone()));
    }
    assert_eq!(counts, ["10", "10", "5"]);
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 25);
    assert_eq!(world.call("GET", &format!("{base}?locator=x"), Json::Null).await.0, 400);
}

#[tokio::test]
async fn two_hundred_rows_are_one_transaction() {
    let world = World::new().await;
    let rows: String = (0..450).map(|n| format!("A{n}\n")).collect();
    world.bulk_run(accounts("insert"), format!("Name\n{rows}")).await;
    let events = world.events();
    let mut keys: Vec<String> =
        events.iter().map(|event| event["payload"]["ChangeEventHeader"]["transactionKey"].to_string()).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 3);
    assert!(world.origins().iter().all(|origin| origin == "com/salesforce/api/bulkapi/66.0"));
}
