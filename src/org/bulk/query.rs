//! The calls of a query job (facts: bulk2.md section 5).

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::super::error::CallError;
use super::super::rest::UNREADABLE;
use super::table::{self, Cells};
use super::{JobId, Org, RunningJob, encoded};

/// The resources of jobs that read.
const QUERY: &str = "query";

impl Org {
    /// Begins a query. No ORDER BY and no LIMIT: they would keep the org from reading in parts. Rows come in any order.
    pub async fn create_query(&self, soql: &str) -> Result<RunningJob, CallError> {
        let body = json!({
            "operation": "query", "query": soql, "contentType": "CSV", "columnDelimiter": "COMMA", "lineEnding": "LF",
        });
        self.job_call(Method::POST, QUERY, "", Some(body)).await
    }

    pub async fn query_job(&self, job: &JobId) -> Result<RunningJob, CallError> {
        self.job_call(Method::GET, QUERY, &format!("/{job}"), None).await
    }

    /// A page of the rows of a query that is complete, at most `most`, and the locator of the next one. `cells`: what the columns
    /// hold, for all is text here.
    pub async fn query_rows(
        &self,
        job: &JobId,
        locator: Option<&str>,
        most: usize,
        cells: &Cells,
    ) -> Result<(Vec<Map<String, Value>>, Option<String>), CallError> {
        let locator = locator.map(|locator| format!("&locator={}", encoded(locator))).unwrap_or_default();
        let path = format!("/{job}/results?maxRecords={most}{locator}");
        let headers = vec![("Accept".into(), "text/csv".to_owned())];
        let request = self.job_request(Method::GET, QUERY, &path, None, headers);
        let Some(answer) = self.answer(&request, None).await? else { return Err(UNREADABLE) };
        let body = answer.body.map_err(CallError::Unknown)?;
        Ok((table::rows(&body, cells).ok_or(UNREADABLE)?, answer.locator))
    }

    /// Ends a query that nobody wants any more, and its results go.
    pub async fn drop_query(&self, job: &JobId) -> Result<(), CallError> {
        // Only one that has ended can be deleted, only one that has not can be aborted.
        let _ = self.job_call(Method::PATCH, QUERY, &format!("/{job}"), Some(json!({"state": "Aborted"}))).await;
        self.answer(&self.job_request(Method::DELETE, QUERY, &format!("/{job}"), None, Vec::new()), None)
            .await
            .map(drop)
    }
}
