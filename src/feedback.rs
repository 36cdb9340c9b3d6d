//! What people are told without asking: fields of a source record say how it is doing in the target ([`fields`]), and a
//! webhook gets what failed, at intervals ([`digest`]). Neither is a message for each record.

pub mod digest;
pub mod fields;
