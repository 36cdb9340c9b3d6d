//! What ingest and query jobs have in common: who made them, in which state they are, for how long they are kept.

use serde_json::{Map, Value as Json, json};

use super::csv::Format;
use crate::org::Id;
use crate::org::time::{self, HOUR, SECOND};

/// So long a job without its start step lives.
const OPEN_FOR: i64 = 24 * HOUR;
/// So long jobs that have ended, and their results, are kept.
const KEPT_FOR: i64 = 7 * 24 * HOUR;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Waits for its data and for its start.
    Open,
    UploadComplete,
    InProgress,
    JobComplete,
    Failed,
    Aborted,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "Open",
            Self::UploadComplete => "UploadComplete",
            Self::InProgress => "InProgress",
            Self::JobComplete => "JobComplete",
            Self::Failed => "Failed",
            Self::Aborted => "Aborted",
        }
    }

    /// Nothing comes after it.
    pub fn ended(self) -> bool {
        matches!(self, Self::JobComplete | Self::Failed | Self::Aborted)
    }
}

/// Times in microseconds.
#[derive(Debug, Clone)]
pub struct Job {
    pub id: Id,
    pub user: Id,
    /// The number of the API version that it was made with: 66.
    pub version: u32,
    pub format: Format,
    pub created: i64,
    pub modified: i64,
    pub state: State,
    /// Why it failed.
    pub error: Option<String>,
    /// When it was started, and when it ended.
    worked: (Option<i64>, Option<i64>),
}

impl Job {
    pub fn new(id: Id, user: Id, version: u32, format: Format, state: State, now: i64) -> Self {
        Self { id, user, version, format, created: now, modified: now, state, error: None, worked: (None, None) }
    }

    pub fn enter(&mut self, state: State, now: i64) {
        match state {
            State::InProgress => self.worked.0 = Some(now),
            state if state.ended() => self.worked.1 = Some(now),
            _ => {}
        }
        (self.state, self.modified) = (state, now);
    }

    /// What an answer says of any job.
    pub fn show(&self, object: &str, operation: &str) -> Map<String, Json> {
        let date = |at: i64| json!(time::rest(at.div_euclid(SECOND)));
        let shown = json!({
            "id": self.id.as_str(), "operation": operation, "object": object, "createdById": self.user.as_str(),
            "createdDate": date(self.created), "systemModstamp": date(self.modified), "state": self.state.name(),
            "concurrencyMode": "Parallel", "contentType": "CSV", "apiVersion": f64::from(self.version),
            "lineEnding": self.format.line_ending, "columnDelimiter": self.format.delimiter,
        });
        match shown {
            Json::Object(shown) => shown,
            _ => Map::new(),
        }
    }

    /// Milliseconds from the start to the end, or to now.
    pub fn total_ms(&self, now: i64) -> i64 {
        let (start, end) = self.worked;
        start.map_or(0, |start| (end.unwrap_or(now) - start).max(0) / 1_000)
    }

    /// Ends a job that was open for too long; `false` once it is kept no longer.
    pub fn age(&mut self, now: i64) -> bool {
        if self.state == State::Open && now - self.created >= OPEN_FOR {
            self.enter(State::Aborted, self.created + OPEN_FOR);
        }
        !(self.state.ended() && now - self.modified >= KEPT_FOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(state: State) -> Job {
        let (id, user) = (Id::new("750", "5e0", 1), Id::new("005", "5e0", 1));
        Job::new(id, user, 66, Format::default(), state, 0)
    }

    #[test]
    fn an_open_job_ends_after_a_day_and_goes_a_week_later() {
        let mut open = job(State::Open);
        assert!(open.age(OPEN_FOR - 1) && open.state == State::Open);
        assert!(open.age(OPEN_FOR) && open.state == State::Aborted);
        assert!(open.age(OPEN_FOR + KEPT_FOR - 1));
        assert!(!open.age(OPEN_FOR + KEPT_FOR));
        assert!(job(State::InProgress).age(100 * KEPT_FOR), "work is never taken away");
    }

    #[test]
    fn the_version_is_a_number_with_a_fraction() {
        let shown = Json::Object(job(State::Open).show("Account", "insert")).to_string();
        assert!(shown.contains(r#""apiVersion":66.0"#), "{shown}");
        assert!(shown.contains(r#""columnDelimiter":"COMMA""#) && shown.contains(r#""lineEnding":"LF""#), "{shown}");
    }

    #[test]
    fn processing_time_runs_from_the_start_to_the_end() {
        let mut job = job(State::UploadComplete);
        assert_eq!(job.total_ms(9_000), 0);
        job.enter(State::InProgress, 10_000);
        assert_eq!(job.total_ms(15_000), 5);
        job.enter(State::JobComplete, 17_000);
        assert_eq!(job.total_ms(99_000), 7);
    }
}
