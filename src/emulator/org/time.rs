//! The forms that times take on the wire. Inside, times are microseconds since 1970.

use chrono::{DateTime, Utc};

pub const SECOND: i64 = 1_000_000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;

fn utc(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap_or_default()
}

/// As REST answers write it, from seconds: `2013-05-07T22:07:19.000+0000`.
pub fn rest(seconds: i64) -> String {
    utc(seconds).format("%Y-%m-%dT%H:%M:%S.000+0000").to_string()
}

/// As events write it, from microseconds: `2024-04-26T18:38:23.517Z`.
pub fn event(us: i64) -> String {
    DateTime::from_timestamp_micros(us).unwrap_or_default().format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// As the HTTP `Date` header writes it, from microseconds.
pub fn http(us: i64) -> String {
    utc(us.div_euclid(SECOND)).format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// A day, from seconds: `2026-03-01`.
pub fn date(seconds: i64) -> String {
    utc(seconds).format("%Y-%m-%d").to_string()
}
