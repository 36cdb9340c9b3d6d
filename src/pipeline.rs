//! Everything right of the journal for the pipelines of one target org: parts are mapped, records are read where a
//! part does not say enough, writes go out, and each outcome is remembered.
//!
//! [`machine`] decides and knows no I/O; [`driver`] commits, sends and asks on its behalf (`asking`); [`types`] keeps the
//! mappings up to date with what the orgs say of their fields.

mod asking;
pub mod brakes;
pub mod driver;
mod jobs;
pub mod machine;
pub(crate) mod progress;
mod replies;
pub mod types;

pub use driver::{Line, PipelineError, Target, run};
pub use machine::{NOT_VISIBLE, PARENT_GONE, TARGET_GONE};
