//! Reads the two orgs for a match, page by page: of the target some fields of each record, of the source what the mapping would
//! write into those.

use std::collections::HashMap;

use crate::event::{FieldName, Record, RecordId, Seq, Value};
use crate::hydrate;
use crate::mapping::{Known, LinkState, Mapped, Mapping, Replies, Skip};
use crate::org::{CallError, Org};
use crate::publish::{Cell, Cover, Key, Source};
use crate::store::PipelineId;

use super::rows::{self, QUERY_PAGE, Rows};

/// A record of the target.
#[derive(Debug)]
pub struct Row {
    pub id: RecordId,
    pub key: Option<String>,
    /// Of the fields that were asked for, in their order.
    pub values: Vec<Value>,
}

/// The records of the target behind this one, and behind which the next page begins, if more may follow.
///
/// # Errors
/// When the org does not answer, or refuses.
pub async fn targets(
    target: &Org,
    mapping: &Mapping,
    fields: &[FieldName],
    after: Option<RecordId>,
) -> Result<(Vec<Row>, Option<RecordId>), CallError> {
    let mut asked = fields.to_vec();
    asked.extend("Id".parse::<FieldName>());
    asked.push(mapping.key.clone());
    asked.sort();
    asked.dedup();
    let rows = Rows { org: target, object: &mapping.target_object, fields: &asked, condition: None };
    let (rows, last) = rows.rows_behind(after, QUERY_PAGE).await?;
    let row = |row: rows::Row| {
        let value = |field: &FieldName| {
            hydrate::canonical(Value::from(hydrate::cell(&row, field).cloned().unwrap_or_default()))
        };
        Some(Row {
            id: hydrate::id_of(&row, "Id")?,
            key: hydrate::key_in(&row, &mapping.key),
            values: fields.iter().map(value).collect(),
        })
    };
    Ok((rows.into_iter().filter_map(row).collect(), last))
}

/// What becomes of a record of the source in the target.
#[derive(Debug)]
pub enum Becomes {
    Written {
        key: String,
        /// Of the fields that were asked for, in their order.
        values: Vec<Value>,
    },
    /// The pipeline's condition leaves it out.
    LeftOut,
    /// It cannot be written as it is mapped: the code of a failed record.
    Unmappable(&'static str),
}

/// A page of the source's records, by their ids, and where the next one begins. `condition`: SOQL, as behind WHERE.
///
/// # Errors
/// When an org does not answer, or refuses.
pub async fn sources(
    (source, target): (&Org, &Org),
    mapping: &Mapping,
    condition: Option<&str>,
    fields: &[FieldName],
    after: Option<RecordId>,
) -> Result<(Vec<(RecordId, Becomes)>, Option<RecordId>), CallError> {
    let (asked, paths) = (hydrate::source_fields(mapping), mapping.reads());
    let rows = Rows { org: source, object: &mapping.source_object, fields: &asked, condition };
    let (rows, next) = rows.rows_behind(after, QUERY_PAGE).await?;
    let record = |row| Some(hydrate::record(hydrate::id_of(&row, "Id")?, &paths, &mapping.privacy, row));
    let records: Vec<Record> = rows.into_iter().filter_map(record).collect();
    let replies =
        hydrate::ask(&[source, target], mapping, &records.iter().collect::<Vec<_>>(), &Replies::new()).await?;
    let page = records.iter().map(|record| (record.id, becomes(mapping, record, &replies, fields))).collect();
    Ok((page, next))
}

fn becomes(mapping: &Mapping, record: &Record, replies: &Replies, fields: &[FieldName]) -> Becomes {
    let known = Known { link: LinkState::None, parents: &HashMap::new(), replies };
    let source = Source { pipeline: PipelineId(0), record: record.id };
    let cover = Cover { source, from: Seq::ZERO, to: Seq::ZERO, clears_suspect: false };
    match mapping.apply_read(record, None, &known, cover) {
        Mapped::Write(write) => match (&write.key, write.fields()) {
            (Key::External { value: key, .. }, Some(written)) => {
                let value = |field: &FieldName| match written.get(field) {
                    Some(Cell::Value(value)) => mapping.types().stored(field, value),
                    Some(Cell::Parent(_) | Cell::Unfilled { .. }) | None => Value::Null,
                };
                Becomes::Written { key: key.clone(), values: fields.iter().map(value).collect() }
            }
            _ => Becomes::Unmappable("NO_KEY"),
        },
        Mapped::Skipped(Skip::Filtered) => Becomes::LeftOut,
        Mapped::Failed(failure) | Mapped::Waits(failure) => Becomes::Unmappable(failure.code),
        Mapped::Needs(_) | Mapped::Skipped(_) => Becomes::Unmappable("NOT_MAPPED"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::testing::between_two_orgs;
    use crate::org::testing::{Reply, ScriptedOrg};

    #[tokio::test]
    async fn the_target_is_read_page_by_page_with_the_key_and_the_fields_that_are_compared() {
        let config = between_two_orgs(
            "pipelines:\n  - name: accounts\n    from: { org: a, channel: /data/AccountChangeEvent, object: Account }\n    to: { org: b, \
             object: Account, key: Key__c }\n    fields: { Key__c: Id, Name: Name }\n",
        );
        let mapping = Mapping::new(&config.pipelines[0], &config);
        let id = |n: usize| -> RecordId { format!("001{n:012}").parse().unwrap() };
        let org = ScriptedOrg::start(move |seen| {
            let rows = if seen.target.contains("WHERE") { 1 } else { QUERY_PAGE };
            let row = |n: usize| json!({"Id": id(n).as_str(), "Name": "Acme", "Key__c": if n == 0 { json!("K") } else { json!(null) }});
            Reply::json(200, &json!({"done": true, "records": (0..rows).map(row).collect::<Vec<_>>()}))
        })
        .await;
        let fields = ["Name".parse().unwrap()];
        let (rows, next) = targets(&org.org(), &mapping, &fields, None).await.unwrap();
        assert_eq!((rows.len(), next), (QUERY_PAGE, Some(id(QUERY_PAGE - 1))));
        assert_eq!((rows[0].key.as_deref(), rows[1].key.as_deref()), (Some("K"), None));
        assert!(rows[0].values == [Value::text("Acme")]);
        let (rows, next) = targets(&org.org(), &mapping, &fields, Some(id(QUERY_PAGE - 1))).await.unwrap();
        assert_eq!((rows.len(), next), (1, None));
        let asked: Vec<String> = org.calls().into_iter().map(|seen| seen.target).collect();
        assert!(asked[0].contains("SELECT+Id%2CKey__c%2CName+FROM+Account+ORDER+BY+Id"), "{asked:?}");
        assert!(asked[1].contains("WHERE+Id+%3E+%27001000000001999"), "{asked:?}");
    }
}
