//! The store in one SQLite file.

/// Placeholder until the store lands.
#[derive(Clone)]
pub struct Sqlite;
