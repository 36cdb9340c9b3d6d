//! Failed records, pause and resume on the command line, whether a bridge runs or not.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value as Json, json};

use crate::desk::Desk;
use crate::process::orgbridge;
use crate::state::until;

impl Desk {
    /// The causes of what fails and waits, each with its number.
    fn causes(&self) -> Vec<(String, u64)> {
        let causes = self.json(&["failed", "list", "--waiting", "--json"]);
        let cause = |cause: &Json| (cause["code"].as_str().unwrap().to_owned(), cause["records"].as_u64().unwrap());
        let mut causes: Vec<_> = causes.as_array().unwrap().iter().map(cause).collect();
        causes.sort();
        causes
    }

    async fn until_causes(&self, causes: &[(&str, u64)]) {
        let wanted: Vec<_> = causes.iter().map(|(code, records)| ((*code).to_owned(), *records)).collect();
        until("causes", async || self.causes() == wanted).await;
    }

    /// So many records of an object are in the target.
    async fn until_there(&self, object: &str, records: u64) {
        until("records in the target", async || {
            self.world.target().stats()["records"][object].as_u64().unwrap_or(0) == records
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_records_are_looked_at_tried_again_and_given_up_whether_a_bridge_runs_or_not() {
    let desk = Desk::new().await;
    let mut bridge = desk.bridge();
    let world = &desk.world;
    assert_eq!(desk.said(&["failed", "list"]).1, 2, "nobody has failed");
    let holder = world.create("Account", vec![json!({"Name": "Holder", "Phone": "1"})]).await.remove(0);
    desk.until_there("Account", 1).await;
    let bad = json!({"Name": "Bad", "Phone": "1", "Description": "private words"});
    let bad = world.create("Account", vec![bad]).await.remove(0);
    world.create("Contact", vec![json!({"LastName": "Child", "AccountId": bad})]).await;
    desk.until_causes(&[("DUPLICATE_VALUE", 1), ("PARENT_MISSING", 1)]).await;

    let (text, code) = desk.said(&["failed", "list"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("accounts: 1 failed: DUPLICATE_VALUE") && text.contains(&bad), "{text}");
    assert!(text.contains("A unique field of the target") && !text.contains("PARENT_MISSING"), "{text}");
    let (text, _) = desk.said(&["dead-letters", "list", "--each", "--code", "duplicate_value", "--newer-than", "1h"]);
    assert!(text.contains(&bad) && !text.contains("private words"), "{text}");
    for nobody in [["--code", "NO_SUCH"], ["--object", "Contact"], ["--older-than", "1h"], ["--record", &holder]] {
        assert_eq!(desk.said(&["failed", "list", nobody[0], nobody[1]]).1, 2, "{nobody:?}");
    }
    let (text, code) = desk.said(&["failed", "list", "--pipeline", "acounts"]);
    assert!(code == 1 && text.contains("Pipelines: accounts, contacts"), "{text}");

    let (text, code) = desk.said(&["failed", "show", &bad]);
    assert_eq!(code, 0, "{text}");
    for kept in ["private words", "duplicate value found", "\"call\": \"upsert\"", "CREATE", "1, first at"] {
        assert!(text.contains(kept), "{kept}: {text}");
    }
    let shown = &desk.json(&["failed", "show", &bad, "--json"])[0];
    assert_eq!(shown["request"]["fields"]["Emea_Id__c"], "1");
    assert_eq!(shown["events"].as_array().unwrap().len(), 1);

    let file = desk.folder.path().join("failed.jsonl");
    let to_file = ["failed", "export", "--waiting", "--output", file.to_str().unwrap()];
    let (text, code) = desk.said(&to_file);
    assert!(code == 0 && text.contains("2 records"), "{text}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let lines = std::fs::read_to_string(&file).unwrap();
    let records: Vec<Json> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(records.iter().any(|record| record["record"] == bad.as_str() && record["events"][0]["seq"].is_u64()));
    assert_eq!(desk.said(&to_file).1, 1, "it does not write over a file");
    let (csv, _) = desk.said(&["failed", "export", "--csv"]);
    assert!(csv.starts_with("pipeline,record,") && csv.contains(&format!("accounts,{bad},")), "{csv}");

    // Mended in the target's other record; and changed meanwhile.
    let (text, code) = desk.said(&["failed", "redrive"]);
    assert!(code == 1 && text.contains("--all"), "{text}");
    assert_eq!(desk.said(&["failed", "redrive", "--code", "NO_SUCH"]).1, 2);
    world.update("Account", vec![(holder, json!({"Phone": "2"}))]).await;
    let target = &world.orgs[&"target".parse().unwrap()];
    let held = async |query: &str| !target.query(query).await.unwrap().is_empty();
    until("the mended number", async || held("SELECT Id FROM Account WHERE Emea_Id__c = '2'").await).await;
    world.update("Account", vec![(bad.clone(), json!({"Website": "https://newest.example"}))]).await;
    let (text, code) = desk.said(&["failed", "redrive", "--record", &bad]);
    assert!(code == 0 && text.contains("1 record is tried again"), "{text}");
    desk.until_causes(&[]).await;
    desk.until_there("Contact", 1).await;
    until("its newest state", async || held("SELECT Id FROM Account WHERE Website = 'https://newest.example'").await)
        .await;
    let (text, code) = desk.said(&["failed", "list", "--healed"]);
    assert!(code == 0 && text.contains(&bad) && text.contains("healed by"), "{text}");

    // Without a bridge.
    let bad = world.create("Account", vec![json!({"Name": "Worse", "Phone": "2"})]).await.remove(0);
    world.create("Contact", vec![json!({"LastName": "Orphan", "AccountId": bad})]).await;
    desk.until_causes(&[("DUPLICATE_VALUE", 1), ("PARENT_MISSING", 1)]).await;
    assert!(bridge.terminate().success());
    let (text, code) = desk.said(&["failed", "list"]);
    assert!(code == 0 && text.contains(&bad), "{text}");
    assert!(desk.said(&["failed", "show", &bad]).0.contains("Worse"));
    let (text, code) = desk.said(&["failed", "redrive", "--all"]);
    assert!(code == 0 && text.contains("when the bridge is started"), "{text}");
    let each = || desk.json(&["failed", "list", "--each", "--json"])[0].clone();
    assert!(each()["redrive_at"].is_string());
    let mut bridge = desk.bridge();
    until("a second try", async || each()["attempts"] == 2).await;
    assert!(each()["redrive_at"].is_null());

    // Given up: first the parent with a bridge, then its child without.
    assert_eq!(desk.said(&["failed", "discard", "--yes"]).1, 1, "it must be said which");
    assert_eq!(desk.said(&["failed", "discard", "--code", "NO_SUCH", "--yes"]).1, 2);
    let (text, code) = desk.said(&["failed", "discard", "--record", &bad]);
    assert!(code == 1 && text.contains("--yes"), "{text}");
    let (text, code) = desk.said(&["failed", "discard", "--record", &bad, "--yes"]);
    assert!(code == 0 && text.contains("Discarded: 1 record."), "{text}");
    desk.until_causes(&[("PARENT_DISCARDED", 1)]).await;
    let (text, _) = desk.said(&["failed", "list", "--each", "--json"]);
    assert!(text.contains(&format!("Its parent {bad} was discarded")), "{text}");
    assert!(bridge.terminate().success());
    let (text, code) = desk.said(&["failed", "discard", "--code", "PARENT_DISCARDED", "--yes"]);
    assert!(code == 0, "{text}");
    assert_eq!(desk.causes(), []);
    let healed = desk.json(&["failed", "list", "--healed", "--json"]);
    let how = |wanted: &str| healed.as_array().unwrap().iter().filter(|one| one["how"] == wanted).count();
    assert_eq!((how("discarded"), how("healed by a redrive")), (2, 1), "{healed:#}");

    // What was given up is a record like any other when it changes.
    let _bridge = desk.bridge();
    world.update("Account", vec![(bad, json!({"Phone": "9"}))]).await;
    desk.until_there("Account", 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_or_an_org_is_paused_and_goes_on_whether_a_bridge_runs_or_not() {
    let desk = Desk::new().await;
    let mut bridge = desk.bridge();
    let world = &desk.world;
    let (text, code) = desk.said(&["pause", "nobody"]);
    assert!(code == 1 && text.contains("Pipelines: accounts, contacts. Orgs: source, target"), "{text}");

    let (text, code) = desk.said(&["pause", "accounts", "--reason", "storms"]);
    assert!(code == 0 && text.contains("orgbridge resume accounts"), "{text}");
    assert!(desk.said(&["pause", "accounts"]).0.contains("nothing to do"));
    world.create("Account", vec![json!({"Name": "Waits"})]).await;
    world.create("Contact", vec![json!({"LastName": "Goes on"})]).await;
    desk.until_there("Contact", 1).await;
    desk.until_causes(&[("PIPELINE_HALTED", 1)]).await;
    let (text, code) = desk.said(&["status"]);
    assert_eq!(code, 2, "{text}");
    assert!(
        text.contains("! accounts is paused since ") && text.contains("(storms): orgbridge resume accounts"),
        "{text}"
    );
    let (text, code) = desk.said(&["resume", "accounts"]);
    assert!(code == 0 && text.contains("goes on"), "{text}");
    desk.until_there("Account", 1).await;

    let (text, code) = desk.said(&["pause", "target"]);
    assert!(code == 0 && text.contains("orgbridge resume target"), "{text}");
    world.create("Account", (0..3).map(|n| json!({"Name": format!("later {n}")})).collect()).await;
    let accounts = || desk.json(&["status", "--json"])["pipelines"][0].clone();
    until("records that wait", async || accounts()["waiting"] == 3).await;
    assert_eq!((&accounts()["parked"], &accounts()["failed"]), (&json!(0), &json!(0)));
    assert!(bridge.terminate().success());
    let paused = || desk.json(&["status", "--json"])["orgs"][1]["paused"].clone();
    assert!(paused()["since"].is_string() && paused()["reason"] == "");
    let (text, code) = desk.said(&["resume", "target", "--org"]);
    assert!(code == 0 && text.contains("written into again"), "{text}");
    assert!(paused().is_null());
    assert!(desk.said(&["resume", "target"]).0.contains("nothing to do"));

    // Without a bridge; and with the next one it is so.
    assert_eq!(desk.said(&["pause", "contacts", "--pipeline"]).1, 0);
    let bridge = desk.bridge();
    desk.until_there("Account", 4).await;
    world.create("Contact", vec![json!({"LastName": "Waits"})]).await;
    desk.until_causes(&[("PIPELINE_HALTED", 1)]).await;
    assert_eq!(desk.said(&["resume", "contacts"]).1, 0);
    desk.until_there("Contact", 2).await;
    drop(bridge);
}

#[test]
fn the_help_of_failed_says_what_it_is_and_how_it_ends() {
    let output = orgbridge().args(["failed", "--help"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for said in ["A failed record is one that", "orgbridge failed redrive", "Exit codes", "discard"] {
        assert!(text.contains(said), "{said}: {text}");
    }
}
