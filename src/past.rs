//! The past of the two orgs, and whether they are equal.
//!
//! `pairs` (pure) reads pairs of records that a person named, and `import` asks the orgs whether they fit together; `matching`
//! (pure) finds such pairs, and `sides` reads the two orgs for it.
//!
//! `repair` says which jobs the open gaps want. `source` reads what a job wants, page by page, `target` what the target holds of a page. What becomes of it
//! `pipeline::machine` says; `pipeline::jobs` takes a job through its life.

pub mod import;
pub mod matching;
pub mod pairs;
pub mod repair;
pub mod sides;
pub mod source;
pub mod target;
pub mod verify;
