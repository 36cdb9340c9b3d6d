//! What changed in an org within a time (facts: rest.md sections 9 and 10).

use std::time::Duration;

use serde_json::{Map, Value};

use super::super::Org;
use super::super::error::CallError;
use super::UNREADABLE;
use crate::event::{ObjectName, RecordId, Timestamp};

/// The org's log of deletions reaches back so far at most, with an hour for clocks (facts: rest.md section 10).
pub const DELETIONS_KEPT: Duration = Duration::from_secs(15 * 24 * 3_600 - 3_600);

/// A record that changed, as of its last change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed {
    pub record: RecordId,
    /// `SystemModstamp`: whole seconds, set before the commit.
    pub at: Timestamp,
    pub deleted: bool,
}

/// Records by their last change, oldest first, and the time before which none is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    pub rows: Vec<Changed>,
    pub complete_until: Timestamp,
}

/// Records that are gone, by the org's log of deletions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    pub rows: Vec<Changed>,
    /// What went before this is not in the log any more.
    pub earliest: Option<Timestamp>,
}

impl Org {
    /// Records of which the last change lies in `from..to`, at most about `limit`. When there are more, those of the
    /// last second seen are left out, so that none of an equal stamp is lost at the border; a second that alone has more
    /// is read whole. `deletions`: the object has `IsDeleted`, and deleted records are wanted.
    pub async fn changed(
        &self,
        object: &ObjectName,
        from: Timestamp,
        to: Timestamp,
        limit: usize,
        deletions: bool,
    ) -> Result<Changes, CallError> {
        let fields = if deletions { "Id, SystemModstamp, IsDeleted" } else { "Id, SystemModstamp" };
        let within = |to: Timestamp| {
            format!(
                "SELECT {fields} FROM {object} WHERE SystemModstamp >= {from} AND SystemModstamp < {to} \
                 ORDER BY SystemModstamp"
            )
        };
        let rows = self.changed_rows(&format!("{} LIMIT {limit}", within(to)), deletions).await?;
        let Some(last) = rows.last().map(|row| row.at).filter(|_| rows.len() >= limit) else {
            return Ok(Changes { rows, complete_until: to });
        };
        if last > from {
            let rows = rows.into_iter().filter(|row| row.at < last).collect();
            return Ok(Changes { rows, complete_until: last });
        }
        let to = Timestamp(from.0.saturating_add(1_000)).min(to);
        Ok(Changes { rows: self.changed_rows(&within(to), deletions).await?, complete_until: to })
    }

    async fn changed_rows(&self, soql: &str, deletions: bool) -> Result<Vec<Changed>, CallError> {
        let rows = if deletions { self.query_all(soql).await? } else { self.query(soql).await? };
        rows.iter().map(|row| changed(row).ok_or(UNREADABLE)).collect()
    }

    /// `GET /sobjects/{object}/deleted/`: what was deleted within a time of at most 15 days, by whole minutes.
    pub async fn deleted(&self, object: &ObjectName, from: Timestamp, to: Timestamp) -> Result<Deleted, CallError> {
        let minute = |time: Timestamp| Timestamp(time.0.div_euclid(60_000) * 60_000);
        let (from, to) = (minute(from), minute(to.plus(Duration::from_secs(59))));
        // The org wants a minute at least.
        let to = to.max(from.plus(Duration::from_secs(60)));
        let query: String = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("start", &from.to_string())
            .append_pair("end", &to.to_string())
            .finish();
        let answer = self.get(&format!("sobjects/{object}/deleted/?{query}")).await?;
        let moment = |json: Option<&Value>| json.and_then(Value::as_str).and_then(Timestamp::read);
        let Some(records) = answer.get("deletedRecords").and_then(Value::as_array) else { return Err(UNREADABLE) };
        let row = |record: &Value| {
            let at = moment(record.get("deletedDate"))?;
            Some(Changed { record: record.get("id")?.as_str()?.parse().ok()?, at, deleted: true })
        };
        let rows: Option<Vec<Changed>> = records.iter().map(row).collect();
        Ok(Deleted { rows: rows.ok_or(UNREADABLE)?, earliest: moment(answer.get("earliestDateAvailable")) })
    }
}

fn changed(row: &Map<String, Value>) -> Option<Changed> {
    Some(Changed {
        record: row.get("Id")?.as_str()?.parse().ok()?,
        at: Timestamp::read(row.get("SystemModstamp")?.as_str()?)?,
        deleted: row.get("IsDeleted").and_then(Value::as_bool).unwrap_or(false),
    })
}
