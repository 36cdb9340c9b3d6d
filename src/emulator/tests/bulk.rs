//! Bulk API 2.0 over real sockets.

mod ingest;
mod load;
mod query;
mod rows;

use serde_json::{Value as Json, json};

use super::World;

const ENDED: [&str; 3] = ["JobComplete", "Failed", "Aborted"];

impl World {
    /// The id of a new ingest job.
    async fn bulk_job(&self, description: Json) -> String {
        self.ok("POST", "jobs/ingest", description).await["id"].as_str().unwrap().to_owned()
    }

    async fn bulk_upload(&self, id: &str, csv: impl Into<reqwest::Body>) -> (u16, String) {
        let request = self.request("PUT", &format!("jobs/ingest/{id}/batches")).header("content-type", "text/csv");
        let answer = request.body(csv).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn bulk_state(&self, family: &str, id: &str, state: &str) -> (u16, Json) {
        self.call("PATCH", &format!("jobs/{family}/{id}"), json!({"state": state})).await
    }

    /// The job once it is in one of these states.
    async fn bulk_wait(&self, family: &str, id: &str, states: &[&str]) -> Json {
        loop {
            let info = self.ok("GET", &format!("jobs/{family}/{id}"), Json::Null).await;
            if states.contains(&info["state"].as_str().unwrap()) {
                return info;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Makes a job, runs it, and waits for its end.
    async fn bulk_run(&self, description: Json, csv: impl Into<reqwest::Body>) -> Json {
        let id = self.bulk_job(description).await;
        assert_eq!(self.bulk_upload(&id, csv).await, (201, String::new()));
        assert_eq!(self.bulk_state("ingest", &id, "UploadComplete").await.0, 200);
        self.bulk_wait("ingest", &id, &ENDED).await
    }

    /// The rows of one kind of results, sorted, with the header in front.
    async fn bulk_results(&self, job: &Json, kind: &str) -> Vec<Vec<String>> {
        let path = format!("jobs/ingest/{}/{kind}/", job["id"].as_str().unwrap());
        let answer = self.raw("GET", &path, Json::Null).await.unwrap();
        assert_eq!((answer.status().as_u16(), &answer.headers()["content-type"].to_str().unwrap()), (200, &"text/csv"));
        table(&answer.text().await.unwrap())
    }

    /// The errors of a job's failed rows, by the value of their first column.
    async fn bulk_errors(&self, job: &Json) -> Vec<(String, String)> {
        let rows = self.bulk_results(job, "failedResults").await;
        let mut errors: Vec<_> = rows[1..].iter().map(|row| (row[2].clone(), row[1].clone())).collect();
        errors.sort();
        errors
    }

    async fn bulk_settings(&self, settings: Json) {
        self.ok("POST", "/emulator/bulk", settings).await;
    }

    /// The id of a query job, once it has ended.
    async fn bulk_query(&self, soql: &str) -> String {
        let job = self.ok("POST", "jobs/query", json!({"operation": "query", "query": soql})).await;
        let id = job["id"].as_str().unwrap().to_owned();
        self.bulk_wait("query", &id, &ENDED).await;
        id
    }

    /// A page of a query job: its rows with the header, the locator of the next page, and the number of rows.
    async fn bulk_page(&self, id: &str, parameters: &str) -> (Vec<Vec<String>>, String, usize) {
        let answer = self.raw("GET", &format!("jobs/query/{id}/results{parameters}"), Json::Null).await.unwrap();
        assert_eq!(answer.status(), 200);
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        let (locator, rows) = (header("sforce-locator"), header("sforce-numberofrecords").parse().unwrap());
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(std::io::Cursor::new(answer.text().await.unwrap()));
        let table = reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
        (table, locator, rows)
    }
}

/// Sorted, but for the header.
fn table(text: &str) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    let mut rows: Vec<Vec<String>> =
        reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
    if let Some(rows) = rows.get_mut(1..) {
        rows.sort();
    }
    rows
}

fn accounts(operation: &str) -> Json {
    json!({"object": "Account", "operation": operation})
}

fn upsert() -> Json {
    json!({"object": "Account", "operation": "upsert", "externalIdFieldName": "Source_Id__c"})
}
