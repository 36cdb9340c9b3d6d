//! Bulk API 2.0: the calls of an ingest job (facts: bulk2.md sections 1 to 3), and in `query` those of a query job. What their
//! answers say is read in `job`, `rows`, `table` and `trouble`, which are pure.
//!
//! Nothing here tries again, but for a token that ran out; `publish::bulk` runs a job with it.

mod job;
mod query;
mod rows;
mod table;
mod trouble;

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::Method;
use serde_json::{Value, json};
use url::form_urlencoded;

pub use self::job::{InvalidJobId, JobId, JobKind, JobState, NewJob, RunningJob};
pub use self::rows::ResultRow;
pub use self::table::Cells;
pub use self::trouble::JobTrouble;
use super::Org;
use super::error::CallError;
use super::http::{Header, Request};
use super::rest::UNREADABLE;

/// The resources of jobs that write.
const INGEST: &str = "ingest";

/// Which rows of a job that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultSet {
    Successful,
    Failed,
    /// Never tried: the job failed or was aborted before.
    Unprocessed,
}

impl ResultSet {
    fn path(self) -> &'static str {
        match self {
            Self::Successful => "successfulResults",
            Self::Failed => "failedResults",
            Self::Unprocessed => "unprocessedrecords",
        }
    }
}

impl Org {
    /// Makes a job that waits for its rows. One whose answer is lost does no harm: without rows nothing is done.
    pub async fn create_job(&self, job: &NewJob) -> Result<RunningJob, CallError> {
        self.job_call(Method::POST, INGEST, "", Some(job.json())).await
    }

    /// Gives a job its rows, once. Nothing is done with them before [`Org::start_job`].
    pub async fn upload(&self, job: &JobId, csv: &[u8]) -> Result<(), CallError> {
        let packed = gzip(csv).ok_or(CallError::NotSent)?;
        let headers =
            vec![("Content-Type".into(), "text/csv".to_owned()), ("Content-Encoding".into(), "gzip".to_owned())];
        // Built from the id: the `contentUrl` of some answers leads nowhere.
        let request = self.job_request(Method::PUT, INGEST, &format!("/{job}/batches"), Some(packed), headers);
        self.answer(&request, None).await.map(drop)
    }

    /// The rows are complete: from now on the job is worked off.
    pub async fn start_job(&self, job: &JobId) -> Result<RunningJob, CallError> {
        self.job_call(Method::PATCH, INGEST, &format!("/{job}"), Some(json!({"state": "UploadComplete"}))).await
    }

    /// Ends a job. What was done stays done, and a chunk that is being worked on is finished.
    pub async fn abort_job(&self, job: &JobId) -> Result<RunningJob, CallError> {
        self.job_call(Method::PATCH, INGEST, &format!("/{job}"), Some(json!({"state": "Aborted"}))).await
    }

    pub async fn job(&self, job: &JobId) -> Result<RunningJob, CallError> {
        self.job_call(Method::GET, INGEST, &format!("/{job}"), None).await
    }

    /// A page of a job's rows, with the locator of the next one. `key`: the column that tells which row it is.
    pub async fn results(
        &self,
        job: &JobId,
        set: ResultSet,
        key: &str,
        locator: Option<&str>,
    ) -> Result<(Vec<ResultRow>, Option<String>), CallError> {
        let query = locator.map_or_else(String::new, |locator| format!("?locator={}", encoded(locator)));
        let headers = vec![("Accept".into(), "text/csv".to_owned())];
        let request = self.job_request(Method::GET, INGEST, &format!("/{job}/{}/{query}", set.path()), None, headers);
        let Some(answer) = self.answer(&request, None).await? else { return Err(UNREADABLE) };
        let body = answer.body.map_err(CallError::Unknown)?;
        Ok((ResultRow::read_all(&body, set, key).ok_or(UNREADABLE)?, answer.locator))
    }

    async fn job_call(
        &self,
        method: Method,
        family: &str,
        path: &str,
        body: Option<Value>,
    ) -> Result<RunningJob, CallError> {
        let body = body.map(|body| body.to_string().into_bytes());
        let answer = self.call(&self.job_request(method, family, path, body, Vec::new())).await?;
        RunningJob::read(&answer).ok_or(UNREADABLE)
    }

    fn job_request(
        &self,
        method: Method,
        family: &str,
        path: &str,
        body: Option<Vec<u8>>,
        headers: Vec<Header>,
    ) -> Request {
        let target = self.resource(&format!("jobs/{family}{path}"));
        Request { method, target, body, timeout: self.shared.timeouts.write, headers }
    }
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// None: there is no memory for it.
fn gzip(data: &[u8]) -> Option<Vec<u8>> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(data).ok()?;
    packed.finish().ok()
}

#[cfg(test)]
mod tests;
