//! As much as a large backfill brings.

use std::collections::{HashMap, HashSet};

use serde_json::Value as Json;

use super::upsert;
use crate::tests::World;

const ROWS: usize = 200_000;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "large: run in release"]
async fn two_hundred_thousand_rows_go_in_and_come_out_again() {
    let world = World::new().await;
    let mut csv = String::from("Source_Id__c,Name,Phone,AccountNumber\n");
    for row in 0..ROWS {
        csv.push_str(&format!("k{row},\"Account, {row}\",0221 {row},{row}\n"));
    }
    let info = world.bulk_run(upsert(), csv).await;
    assert_eq!((&info["numberRecordsProcessed"], &info["numberRecordsFailed"]), (&ROWS.into(), &0.into()));
    let done = world.bulk_results(&info, "successfulResults").await;
    let by_key: HashMap<&str, &str> = done[1..].iter().map(|row| (row[2].as_str(), row[0].as_str())).collect();
    assert_eq!((done.len(), by_key.len()), (ROWS + 1, ROWS));
    assert_eq!(by_key.values().collect::<HashSet<_>>().len(), ROWS);

    let id = world.bulk_query("SELECT Id, Source_Id__c, Name, AccountNumber FROM Account").await;
    let (mut seen, mut locator) = (HashSet::new(), String::new());
    while locator != "null" {
        let tail = if locator.is_empty() { String::new() } else { format!("&locator={locator}") };
        let (rows, next, count) = world.bulk_page(&id, &format!("?maxRecords=30000{tail}")).await;
        assert_eq!(rows.len(), count + 1);
        for row in &rows[1..] {
            assert_eq!(by_key.get(row[1].as_str()), Some(&row[0].as_str()));
            assert_eq!((&row[1], &row[2]), (&format!("k{}", row[3]), &format!("Account, {}", row[3])));
            assert!(seen.insert(row[1].clone()), "{}", row[1]);
        }
        locator = next;
    }
    assert_eq!(seen.len(), ROWS);

    // More pages than one list of them has.
    let mut urls = Vec::new();
    let mut next = Some(format!("jobs/query/{id}/resultPages"));
    while let Some(path) = next {
        let pages = world.ok("GET", &path, Json::Null).await;
        let page = pages["resultPages"].as_array().unwrap();
        urls.extend(page.iter().map(|page| page["resultUrl"].as_str().unwrap().to_owned()));
        next = pages["nextRecordsUrl"].as_str().map(str::to_owned);
    }
    assert_eq!(urls.len(), 8);
}
