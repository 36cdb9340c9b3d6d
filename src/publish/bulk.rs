//! Writes by jobs of Bulk API 2.0, where enough of an object waits (facts: bulk2.md).
//!
//! `sheet` says what can be told as CSV, `outcome` what a job's results mean for its writes; both are pure. `run` takes a job
//! through its life, and `unfinished` ends those of a bridge that is gone.

mod outcome;
mod run;
mod sheet;
mod unfinished;

pub use outcome::{Row, Told, judge};
pub use run::{Ended, Run, What};
pub use sheet::{Fit, Sheet, fits};
pub use unfinished::end_unfinished;
