//! A job in one line, for people.

use crate::status::report::Job;
use crate::text::{counted, grouped, span};

/// Without the pipeline's name.
pub fn told(job: &Job) -> String {
    let rows = match job.total {
        Some(total) => format!("{} of {} rows", grouped(job.rows), grouped(total)),
        None => format!("{} rows", grouped(job.rows)),
    };
    let calls = counted(job.calls, "call");
    let at = job.ended.as_deref().unwrap_or_default();
    match job.state.as_str() {
        "waiting" => "waits for its turn".to_owned(),
        "running" => {
            let mut said = rows;
            if let Some(rate) = job.rows_per_second {
                said.push_str(&format!(", {} a second", grouped(rate)));
            }
            if let Some(left) = job.seconds_left {
                said.push_str(&format!(", about {} left", span(left)));
            }
            said
        }
        "done" => match &job.why {
            Some(why) => format!("done at {at}: {} rows, {calls} to read them; {why}", grouped(job.rows)),
            None => format!("done at {at}: {} rows, {calls} to read them", grouped(job.rows)),
        },
        state => match &job.why {
            Some(why) => format!("{state} at {at} after {rows}: {why}"),
            None => format!("{state} at {at} after {rows}"),
        },
    }
}
