//! orgbridge: what changes in one Salesforce org arrives in another, nothing is lost in silence, and the two
//! can be shown to be equal.
//!
//! The modules follow the way of an event (ARCHITECTURE.md has the drawing):
//!
//! | module | what it is |
//! |---|---|
//! | [`event`] | what flows: `Change`, `Part`, `Record`, `Value`, ids and positions; pure |
//! | [`config`] | the YAML file, checked; pure |
//! | [`org`] | one org as the bridge sees it: login, REST, errors |
//! | [`subscribe`] | a channel and a position become `Change`s |
//! | [`privacy`] | which values of a source org the bridge must not know; pure |
//! | [`journal`] | `Change`s become numbered entries on disk |
//! | [`mapping`] | a part and what is known of it become a `Write`; pure |
//! | [`hydrate`] | whole records, read from the source in batches |
//! | [`publish`] | the outbox of a target org, and what an org's answers mean |
//! | [`action`] | what is done for an event, instead of a record that is written |
//! | [`budget`] | the API budget of an org, shared by all that call it |
//! | [`pipeline`] | everything right of the journal for one target org: a state machine and its driver |
//! | [`rehearse`] | what a mapping would make of one change, without an org; pure |
//! | [`check`] | what the two orgs say of a config, before anything flows |
//! | [`past`] | comparing the two orgs |
//! | [`store`] | what is remembered: a contract, and SQLite |
//! | [`bridge`] | builds and joins the stages |
//! | [`failed`] | failed records as people and scripts see them, and what to do about each cause |
//! | [`feedback`] | what people are told without asking: fields of source records, and a digest |
//! | [`webhook`] | a signed POST to an address that the config names |
//! | [`entries`] | entries of the journal as people and scripts see them |
//! | [`trace`] | all that is known of one record, in order |
//! | [`control`] | the request socket of a running bridge |
//! | [`status`] | what the terminal, the command line and the tests read |
//!
//! What must never import what: `event`, `config`, `privacy`, `mapping`, `publish::outbox` and `pipeline::machine` know no
//! socket, no store and no clock.
//!
//! Two folders are crates of their own: `emulator`, a stand-in for Salesforce orgs, which knows nothing of the bridge and
//! which nothing but `cli` and the tests use; and `pubsub_api`, the messages of the Pub/Sub API, made from its definition.

pub mod action;
pub mod bridge;
pub mod budget;
pub mod check;
pub mod cli;
pub mod config;
pub mod control;
pub mod entries;
pub mod event;
pub mod failed;
pub mod feedback;
pub mod hydrate;
pub mod journal;
pub mod mapping;
pub mod org;
pub mod past;
pub mod pipeline;
pub mod privacy;
pub mod publish;
pub mod rehearse;
pub mod retry;
pub mod status;
pub mod store;
pub mod subscribe;
pub mod telemetry;
mod text;
pub mod trace;
pub mod webhook;

pub use orgbridge_emulator as emulator;
