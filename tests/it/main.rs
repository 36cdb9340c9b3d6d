//! The whole bridge against the emulator, over real sockets.

// A test that panics has failed, which is what is meant here.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod actions;
mod actions_orgs;
mod automation;
mod backfill;
mod brakes;
mod budget;
mod bulk;
mod calls;
mod check;
mod cli;
mod crash;
mod desk;
mod equal;
mod examples;
mod failed;
mod failed_cli;
mod faults;
mod feedback;
mod hook;
mod journal;
mod lookups;
mod mapping;
mod memory;
mod other_org;
mod outcomes;
mod person;
mod poll;
mod price;
mod privacy;
mod process;
mod publishing;
mod reapply;
mod repair;
mod resume;
mod same;
mod setup;
mod state;
mod support;
mod takeover;
mod trace;
mod truth;
mod types;
mod verify;
