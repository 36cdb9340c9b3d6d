//! The calls of a job against an org on loopback.

use std::io::Read;

use flate2::read::GzDecoder;

use super::super::testing::{Reply, ScriptedOrg};
use super::*;

const ID: &str = "7505e00000AbCdEAAV";

/// As the facts show it.
fn shown(state: &str) -> Value {
    json!({"id": ID, "operation": "upsert", "object": "Account", "state": state, "externalIdFieldName": "Ext__c",
        "createdById": "005..", "concurrencyMode": "Parallel", "contentType": "CSV", "apiVersion": 66.0,
        "contentUrl": format!("services/data/66.0/jobs/ingest/{ID}/batches"), "jobType": "V2Ingest", "lineEnding": "LF",
        "columnDelimiter": "COMMA", "numberRecordsProcessed": 1200, "numberRecordsFailed": 3, "retries": 0})
}

fn upsert() -> NewJob {
    let kind = JobKind::Upsert { key: "Ext__c".parse().unwrap() };
    NewJob { object: "Account".parse().unwrap(), kind, assignment_rule: None }
}

#[tokio::test]
async fn a_job_is_made_filled_and_started_by_requests_as_the_facts_have_them() {
    let server = ScriptedOrg::start(|seen| match seen.method.as_str() {
        "PUT" => Reply::text(201, "text/plain", ""),
        "PATCH" => Reply::json(200, &shown("UploadComplete")),
        _ => Reply::json(200, &shown("Open")),
    })
    .await;
    let org = server.org();
    let job = org.create_job(&upsert()).await.unwrap();
    assert_eq!((job.state, job.processed, job.failed, job.error), (JobState::Open, 1200, 3, None));
    org.upload(&job.id, b"Ext__c,Name\n1,A\n").await.unwrap();
    assert_eq!(org.start_job(&job.id).await.unwrap().state, JobState::UploadComplete);
    let calls = server.calls();
    let base = "/services/data/v66.0/jobs/ingest";
    assert_eq!((calls[0].method.as_str(), calls[0].target.as_str()), ("POST", base));
    let expected = json!({"object": "Account", "operation": "upsert", "externalIdFieldName": "Ext__c",
        "contentType": "CSV", "lineEnding": "LF", "columnDelimiter": "COMMA"});
    assert_eq!(calls[0].json(), expected);
    assert_eq!(calls[0].header("sforce-call-options"), Some("client=orgbridge"));
    assert_eq!(calls[1].target, format!("{base}/{ID}/batches"));
    assert_eq!(calls[1].header("content-type"), Some("text/csv"));
    let mut text = String::new();
    GzDecoder::new(&calls[1].body[..]).read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), calls[1].header("content-encoding")), ("Ext__c,Name\n1,A\n", Some("gzip")));
    assert_eq!(
        (calls[2].target.as_str(), calls[2].json()),
        (format!("{base}/{ID}").as_str(), json!({"state": "UploadComplete"}))
    );
}

#[tokio::test]
async fn results_come_page_by_page_until_the_locator_is_the_word_null() {
    let server = ScriptedOrg::start(|seen| {
        let first = seen.target.ends_with("successfulResults/");
        let row = if first { "a" } else { "b" };
        let csv = format!("\"sf__Id\",\"sf__Created\",\"Ext__c\"\n\"001D000000IqhSLIAZ\",\"true\",\"{row}\"\n");
        Reply::text(200, "text/csv", csv).with("sforce-locator", if first { "a+b" } else { "null" })
    })
    .await;
    let (org, id) = (server.org(), ID.parse().unwrap());
    let (rows, next) = org.results(&id, ResultSet::Successful, "Ext__c", None).await.unwrap();
    assert_eq!((rows[0].key.as_str(), next.as_deref()), ("a", Some("a+b")));
    let (rows, next) = org.results(&id, ResultSet::Successful, "Ext__c", next.as_deref()).await.unwrap();
    assert_eq!((rows[0].key.as_str(), next), ("b", None));
    assert!(server.calls()[1].target.ends_with("?locator=a%2Bb"));
    assert_eq!(server.calls()[0].header("accept"), Some("text/csv"));
}

#[tokio::test]
async fn an_answer_that_is_no_job_is_an_unknown_outcome() {
    for answer in [json!({"id": ID, "state": "Dreaming"}), json!({"id": "../x", "state": "Open"}), json!([])] {
        let server = ScriptedOrg::start(move |_| Reply::json(200, &answer)).await;
        let job = server.org().job(&ID.parse().unwrap()).await;
        assert_eq!(job, Err(UNREADABLE));
    }
}

#[test]
fn a_job_by_rule_names_the_rule_and_one_by_id_no_key() {
    let rule = "01Q000000000001".parse().unwrap();
    let job = NewJob { object: "Case".parse().unwrap(), kind: JobKind::Update, assignment_rule: Some(rule) };
    let json = job.json();
    assert_eq!((&json["operation"], &json["assignmentRuleId"]), (&json!("update"), &json!(rule.as_str())));
    assert_eq!(json.get("externalIdFieldName"), None);
}

#[test]
fn a_job_that_failed_or_that_somebody_aborted_has_a_trouble() {
    let of = |state: &str| {
        let mut json = shown(state);
        json["errorMessage"] = json!("InvalidBatch : Field name not found : Foo__c");
        RunningJob::read(&json).unwrap().trouble()
    };
    assert_eq!(of("Failed"), Some(JobTrouble::UnknownField));
    assert_eq!((of("JobComplete"), of("Aborted")), (None, Some(JobTrouble::Failing)));
}
