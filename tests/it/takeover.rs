//! Two orgs that hold the same records from before are taken over without making any of them twice.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use orgbridge::config::{MayDelete, SaveOptions};
use orgbridge::org::{Org, SaveResult};
use serde_json::{Value as Json, json};

use crate::desk::Desk;
use crate::state::{State, until};
use crate::support::World;

/// Records that both orgs have.
const BOTH: usize = 300;

/// What the source has: 262 that are alone, 10 that are like another one, 10 that the target has twice, 10 that it has not, 6 of
/// which the target's has the key of another record, and 2 without a value to compare by.
struct Orgs {
    desk: Desk,
    /// In the source, in their order.
    accounts: Vec<String>,
    state: PathBuf,
}

fn website(n: usize) -> Json {
    match n {
        298.. => Json::Null,
        // Twice in the source.
        262..272 => json!(format!("https://{}.example", 262 + (n - 262) / 2)),
        _ => json!(format!("https://{n}.example")),
    }
}

fn has_other_key(n: usize) -> bool {
    (292..298).contains(&n)
}

async fn orgs() -> Orgs {
    let mut desk = Desk::new().await;
    // What has the key of no record here is somebody else's.
    desk.world.config.pipelines[0].publishing.may_delete = MayDelete::Created;
    let text = std::fs::read_to_string(desk.config()).unwrap();
    // So that a record is not told by two keys.
    std::fs::write(desk.config(), text.replace("      Emea_Id__c: Phone\n", "")).unwrap();
    let world = &desk.world;
    let records =
        |n: usize| json!({"Name": format!("Account {n}"), "Website": website(n), "Phone": format!("+41 {n}")});
    let accounts = world.create("Account", (0..BOTH).map(records).collect()).await;
    let target = org(world, "target");
    let there = |n: usize| {
        // As somebody else wrote it.
        let site = website(n).as_str().map(str::to_uppercase);
        let mut record = json!({"Name": format!("ACCOUNT {n} Inc."), "Website": site, "Region__c": "APAC"});
        if has_other_key(n) {
            record["Source_Id__c"] = json!(format!("other {n}"));
        }
        record
    };
    let mut records = Vec::new();
    for n in 0..BOTH {
        match n {
            282..292 => {}
            272..282 => records.extend([there(n), there(n)]),
            _ => records.push(there(n)),
        }
    }
    create_there(target, records).await;
    // Nothing of that is told by events.
    world.control(world.source(), "time", json!({"advance_seconds": 600})).await;
    let state = desk.folder.path().join("demo.db");
    Orgs { desk, accounts, state }
}

fn org<'w>(world: &'w World, name: &str) -> &'w Org {
    &world.orgs[&name.parse().unwrap()]
}

async fn create_there(target: &Org, records: Vec<Json>) {
    let (object, key) = ("Account".parse().unwrap(), "Emea_Id__c".parse().unwrap());
    for (at, chunk) in records.chunks(100).enumerate() {
        let keyed = |(n, record): (usize, &Json)| {
            let mut record = record.clone();
            record["Emea_Id__c"] = json!(format!("there {}", at * 100 + n));
            record.as_object().unwrap().clone()
        };
        let records = chunk.iter().enumerate().map(keyed).collect();
        let saved = target.upsert(&object, &key, records, SaveOptions::default()).await.unwrap();
        assert!(saved.iter().all(|saved| matches!(saved, SaveResult::Saved { .. })), "{saved:?}");
    }
}

/// The rows of a file, by the names of its columns.
fn rows(path: &Path) -> Vec<BTreeMap<String, String>> {
    let mut sheet = csv::Reader::from_path(path).unwrap();
    let names: Vec<String> = sheet.headers().unwrap().iter().map(str::to_owned).collect();
    let row = |row: Result<csv::StringRecord, csv::Error>| {
        names.iter().cloned().zip(row.unwrap().iter().map(str::to_owned)).collect()
    };
    sheet.records().map(row).collect()
}

fn results(rows: &[BTreeMap<String, String>]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let mut seen = std::collections::BTreeSet::new();
    for row in rows.iter().filter(|row| seen.insert(&row["source"])) {
        *counts.entry(row["result"].clone()).or_insert(0) += 1;
    }
    counts
}

async fn keys(world: &World) -> BTreeMap<String, String> {
    let rows = org(world, "target").query("SELECT Id, Source_Id__c FROM Account").await.unwrap();
    let text = |row: &serde_json::Map<String, Json>, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    rows.iter().map(|row| (text(row, "Id"), text(row, "Source_Id__c"))).collect()
}

impl Orgs {
    /// Looks for matches, and writes `match` into the first row of each record that has several.
    fn reviewed(&self) -> PathBuf {
        let file = self.desk.folder.path().join("found.csv");
        let shown = file.display().to_string();
        let (said, code) = self.desk.said(&["match", "accounts", "--by", "website", "--output", &shown]);
        assert_eq!(code, 0, "{said}");
        for line in
            ["300 records of the source, 300 of the target, 6 of those", "262  match", "20  several", "6  other_key"]
        {
            assert!(said.contains(line), "{line}: {said}");
        }
        assert!(said.contains("12  none: nothing"), "{said}");
        let found = rows(&file);
        let expected = [("match", 262), ("none", 12), ("other_key", 6), ("several", 20)];
        assert_eq!(results(&found), expected.map(|(result, count)| (result.to_owned(), count)).into());
        let several: Vec<_> = found.iter().filter(|row| row["result"] == "several").collect();
        assert_eq!(several.len(), 10 + 20 + 10, "one row for each candidate");
        let one = found.iter().find(|row| row["source"] == self.accounts[7]).unwrap();
        assert_eq!((one["candidates"].as_str(), one["Website"].as_str()), ("1", "https://7.example"));
        assert_eq!((one["Name (source)"].as_str(), one["Name (target)"].as_str()), ("Account 7", "ACCOUNT 7 Inc."));
        let (said, code) = self.desk.said(&["match", "accounts", "--by", "Website", "--output", &shown]);
        assert!(code == 1 && said.contains("is there already"), "{said}");

        let reviewed = self.desk.folder.path().join("reviewed.csv");
        let mut sheet = csv::Writer::from_path(&reviewed).unwrap();
        sheet.write_record(["source", "target", "result"]).unwrap();
        let (mut sources, mut targets) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
        for row in &found {
            let is_chosen = row["result"] == "match"
                || row["result"] == "several" && !sources.contains(&row["source"]) && !targets.contains(&row["target"]);
            let result = if is_chosen { "match" } else { &row["result"] };
            if is_chosen {
                sources.insert(row["source"].clone());
                targets.insert(row["target"].clone());
            }
            sheet.write_record([&row["source"], &row["target"], result]).unwrap();
        }
        sheet.flush().unwrap();
        reviewed
    }

    fn number(&self, sql: &str) -> i64 {
        State::open(&self.state).and_then(|state| state.number(sql)).unwrap_or(0)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_orgs_with_the_same_records_are_matched_linked_and_then_kept_equal_without_making_any_twice() {
    let orgs = orgs().await;
    let (desk, world) = (&orgs.desk, &orgs.desk.world);
    let (said, code) = desk.said(&["match", "accounts", "--by", "Fax"]);
    assert!(code == 1 && said.contains("--by Fax") && said.contains("It fills: Name, Phone, Website"), "{said}");
    let file = orgs.reviewed();
    let shown = file.display().to_string();
    let before = keys(world).await;

    let (said, code) = desk.said(&["import", "links", &shown]);
    assert!(code == 1 && said.contains("Say it with --pipeline: accounts, contacts"), "{said}");
    let links = ["import", "links", shown.as_str(), "--pipeline", "accounts"];
    let (said, code) = desk.said(&[&links[..], &["--dry-run"]].concat());
    assert!(code == 0 && said.contains("282 pairs can be linked"), "{said}");
    assert_eq!(keys(world).await, before);
    let (said, code) = desk.said(&links);
    assert!(code == 1 && said.contains("say --yes"), "{said}");

    let (said, code) = desk.said(&[&links[..], &["--yes"]].concat());
    assert!(code == 0 && said.contains("282 pairs linked"), "{said}");
    let after = keys(world).await;
    assert_eq!(after.len(), before.len(), "nothing was made");
    assert_eq!(after.values().filter(|key| orgs.accounts.contains(key)).count(), 282);
    let names = org(world, "target").query("SELECT Id FROM Account WHERE Region__c = 'APAC'").await.unwrap();
    assert_eq!(names.len(), 300, "only the key was written");
    assert_eq!(orgs.number("SELECT count(*) FROM links WHERE created = 0"), 282);

    // The same again: all of it is so already.
    let (said, code) = desk.said(&[&links[..], &["--yes"]].concat());
    assert!(code == 0 && said.contains("282 pairs linked"), "{said}");
    let again = desk.folder.path().join("again.csv");
    let (said, code) = desk.said(&["match", "accounts", "--by", "Website", "--output", &again.display().to_string()]);
    assert!(code == 0 && said.contains("282  linked already"), "{said}");

    let mut bridge = desk.bridge();
    let changes = (0..40).map(|n| (orgs.accounts[n * 7].clone(), json!({"Phone": "changed"}))).collect();
    world.update("Account", changes).await;
    let (said, code) = desk.said(&["backfill", "accounts", "--yes"]);
    assert_eq!(code, 0, "{said}");
    until("the changes", async || {
        let rows = org(world, "target").query("SELECT Id FROM Account WHERE Phone = 'changed'").await.unwrap();
        rows.len() == 40
    })
    .await;
    assert!(bridge.terminate().success());
    assert_eq!(world.assert_equal().await, BOTH as u64);
    let keys = keys(world).await;
    assert_eq!(keys.values().filter(|key| orgs.accounts.contains(key)).count(), BOTH);
    assert_eq!(keys.len(), 300 + (BOTH - 282), "only those were made that were not linked");
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_do_not_fit_are_told_and_the_others_go_on_also_beside_a_bridge_that_runs() {
    let orgs = orgs().await;
    let (desk, world) = (&orgs.desk, &orgs.desk.world);
    let there = org(world, "target").query("SELECT Id, Source_Id__c FROM Account ORDER BY Id").await.unwrap();
    let id = |n: usize| there[n]["Id"].as_str().unwrap();
    let other = there.iter().find(|row| !row["Source_Id__c"].is_null()).unwrap()["Id"].as_str().unwrap();
    let contact = &world.create("Contact", vec![json!({"LastName": "Ada"})]).await[0];
    world.delete_in_source(&orgs.accounts[9..10]).await;
    let from = &orgs.accounts;
    let file = desk.folder.path().join("pairs.csv");
    let lines = [
        "Source Record,Target Record".to_owned(),
        format!("{},{}", &from[0][..15], &id(0)[..15]),
        format!("{contact},{}", id(1)),
        format!("{},{}", from[2], from[2].replacen("001", "003", 1)),
        format!("{},{}", from[9], id(9)),
        format!("{},{other}", from[3]),
        format!("{},{}", from[4], id(4)),
        format!("{},{}", from[5], id(4)),
        "nonsense,".to_owned(),
        format!("{},{}", from[6], id(6)),
    ];
    std::fs::write(&file, format!("\u{feff}{}", lines.join("\r\n"))).unwrap();
    let mut bridge = desk.bridge();
    let file = file.display().to_string();
    let (said, code) = desk.said(&["import", "links", &file, "--pipeline", "accounts", "--yes"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("2 pairs linked") && said.contains("7 lines not taken"), "{said}");
    let rejected = rows(&desk.folder.path().join("pairs.rejected.csv"));
    let told: Vec<(&str, &str)> = rejected.iter().map(|row| (row["line"].as_str(), row["why"].as_str())).collect();
    let expected = [
        ("3", "no Account"),
        ("4", ""),
        ("5", "deleted"),
        ("6", "Source_Id__c of another record"),
        ("7", "line 8"),
        ("8", "line 7"),
        ("9", "no record id"),
    ];
    for ((line, why), (expected, word)) in told.iter().zip(expected) {
        assert!(*line == expected && why.contains(word), "{line}: {why}, and not {word}");
    }
    assert_eq!(told.len(), expected.len());
    let keys = keys(world).await;
    assert_eq!((keys[id(0)].as_str(), keys[id(6)].as_str()), (from[0].as_str(), from[6].as_str()));

    // A pair that the bridge knows better is told as well.
    let pairs = desk.folder.path().join("more.csv");
    std::fs::write(&pairs, format!("source,target\n{},{}\n{},{}\n", from[10], id(10), from[11], id(11))).unwrap();
    world.update("Account", vec![(from[11].clone(), json!({"Phone": "now"}))]).await;
    until("a record that a change has made", async || holders(world, &from[11]).await.len() == 1).await;
    let pairs = pairs.display().to_string();
    let (said, code) = desk.said(&["import", "links", &pairs, "--pipeline", "accounts", "--yes"]);
    assert!(code == 2 && said.contains("line 3: ") && said.contains("it is its counterpart"), "{said}");
    let (said, code) = desk.said(&["import", "result", "accounts"]);
    assert!(code == 0 && said.contains("No pair"), "{said}");
    // Somebody takes the key from that one, and only the link knows of it.
    let made = &holders(world, &from[11]).await[0];
    let record = json!({"id": made, "Source_Id__c": null}).as_object().unwrap().clone();
    let target = org(world, "target");
    target.update(&"Account".parse().unwrap(), vec![record], SaveOptions::default()).await.unwrap();
    let (said, code) = desk.said(&["import", "links", &pairs, "--pipeline", "accounts", "--yes"]);
    assert!(code == 2 && said.contains("line 3: ") && said.contains("is linked to another one already"), "{said}");
    assert!(said.contains("1 pair linked"), "{said}");
    let (said, code) = desk.said(&["import", "result", "accounts"]);
    assert!(code == 2 && said.contains(&format!("{} and {}: ", from[11], id(11))), "{said}");
    let (said, _) = desk.said(&["status"]);
    assert!(
        said.contains("accounts: import, done at") && said.contains("not linked (`orgbridge import result"),
        "{said}"
    );
    assert!(bridge.terminate().success());
}

/// Who in the target has a key.
async fn holders(world: &World, key: &str) -> Vec<String> {
    let soql = format!("SELECT Id FROM Account WHERE Source_Id__c = '{key}'");
    let rows = org(world, "target").query(&soql).await.unwrap();
    rows.iter().map(|row| row["Id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_killed_goes_on_and_records_that_change_meanwhile_are_not_made_twice() {
    let orgs = orgs().await;
    let (desk, world) = (&orgs.desk, &orgs.desk.world);
    let file = orgs.reviewed().display().to_string();
    // The target takes nothing for a while.
    world.rules(world.target(), json!([{"kind": "refuse", "method": "PATCH"}])).await;
    let mut bridge = desk.bridge();
    // These are about to be made when they are linked.
    let made = (200..220).map(|n| (orgs.accounts[n].clone(), json!({"Phone": "about to be made"}))).collect();
    world.update("Account", made).await;
    until("writes that wait", async || desk.json(&["status", "--json"])["pipelines"][0]["waiting"] == 20).await;
    let (said, code) = desk.said(&["import", "links", &file, "--pipeline", "accounts", "--yes", "--detach"]);
    assert!(code == 0 && said.contains("orgbridge import result accounts"), "{said}");
    let (said, code) = desk.said(&["import", "links", &file, "--pipeline", "accounts", "--yes"]);
    assert!(code == 1 && said.contains("another import of accounts is not over yet"), "{said}");
    // Whole, and in part, of records that it has not come to.
    world.update("Account", (0..80).map(|n| (orgs.accounts[n].clone(), json!({"Phone": "meanwhile"}))).collect()).await;
    until("a begun import", async || orgs.number("SELECT count(*) FROM jobs WHERE begun_at IS NOT NULL") == 1).await;
    bridge.kill();
    world
        .update("Account", (80..120).map(|n| (orgs.accounts[n].clone(), json!({"Phone": "while dead"}))).collect())
        .await;
    world.no_faults(world.target()).await;
    let mut bridge = desk.bridge();
    until("the end of the import", async || orgs.number("SELECT count(*) FROM jobs WHERE ended_how = 'done'") == 1)
        .await;
    let (said, code) = desk.said(&["backfill", "accounts", "--yes"]);
    assert_eq!(code, 0, "{said}");
    until("the changes", async || {
        let soql = "SELECT Id FROM Account WHERE Phone IN ('about to be made', 'meanwhile', 'while dead')";
        org(world, "target").query(soql).await.unwrap().len() == 140 && orgs.number("SELECT count(*) FROM sent") == 0
    })
    .await;
    assert!(bridge.terminate().success());
    assert_eq!(world.assert_equal().await, BOTH as u64);
    let keys = keys(world).await;
    assert_eq!(keys.len(), 300 + (BOTH - 282), "only those were made that were not linked");
}
