//! The past of the two orgs, and whether they are equal.

pub mod verify;
