//! The past of the two orgs, and whether they are equal.
//!
//! `repair` says which jobs the open gaps want. `source` reads what a job wants, page by page, `target` what the target holds of a
//! page. What becomes of it `pipeline::machine` says; `pipeline::jobs` takes a job through its life. `verify` proves that the two
//! orgs agree, or tells where they do not.
//!
//! `pairs` (pure) reads pairs of records that a person named, and `import` asks the orgs whether they fit together; `matching`
//! (pure) finds such pairs, and `sides` reads the two orgs for it.

pub mod import;
pub mod matching;
pub mod pairs;
pub mod reapply;
pub mod repair;
mod rows;
pub mod sides;
pub mod source;
pub mod target;
pub mod verify;
pub mod whole;
