//! Orgs and pipelines: who is who, and how far.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Gap, PipelineId, PipelineIdentity, PipelineRow, Seq, StoreError, SubscriptionId, int, journal, name, seq};
use crate::event::{OrgName, PipelineName, Timestamp};
use crate::store::GapKind;

pub fn pin_org(db: &Connection, org: &OrgName, org_id: &str) -> Result<(), StoreError> {
    let insert = "INSERT INTO orgs (name, org_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    db.execute(insert, params![org.as_str(), org_id])?;
    let select = "SELECT org_id FROM orgs WHERE name = ?1";
    let pinned: String = db.query_row(select, [org.as_str()], |row| row.get(0))?;
    if pinned == org_id {
        return Ok(());
    }
    Err(StoreError::OtherOrg { org: org.clone(), pinned, found: org_id.to_owned() })
}

const COLUMNS: &str = "p.id, p.name, p.source_org, p.channel, p.source_object, p.target_org, p.target_object, p.key_field,
     p.watermark, (SELECT count(*) FROM parked k WHERE k.pipeline = p.id AND k.state = 'waiting'),
     (SELECT count(*) FROM parked k WHERE k.pipeline = p.id AND k.state = 'failed')";

fn read(row: &Row<'_>) -> Result<PipelineRow, StoreError> {
    Ok(PipelineRow {
        id: PipelineId(row.get(0)?),
        identity: PipelineIdentity {
            name: name(row.get(1)?)?,
            source_org: name(row.get(2)?)?,
            channel: name(row.get(3)?)?,
            source_object: name(row.get(4)?)?,
            target_org: name(row.get(5)?)?,
            target_object: name(row.get(6)?)?,
            key: name(row.get(7)?)?,
        },
        watermark: seq(row.get(8)?),
        parked: row.get::<_, i64>(9)?.unsigned_abs(),
        failed: row.get::<_, i64>(10)?.unsigned_abs(),
    })
}

pub fn all(db: &Connection) -> Result<Vec<PipelineRow>, StoreError> {
    let select = format!("SELECT {COLUMNS} FROM pipelines p WHERE p.removed_at IS NULL ORDER BY p.id");
    let mut select = db.prepare_cached(&select)?;
    let mut rows = select.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(read(row)?);
    }
    Ok(all)
}

pub fn pipeline(
    db: &Connection,
    identity: &PipelineIdentity,
    first_watermark: Seq,
) -> Result<PipelineRow, StoreError> {
    let known = all(db)?.into_iter().find(|row| row.identity.name == identity.name);
    if let Some(row) = known {
        same(&row.identity, identity)?;
        return Ok(row);
    }
    let removed = "SELECT removed_at FROM pipelines WHERE name = ?1";
    let removed: Option<i64> = db.query_row(removed, [identity.name.as_str()], |row| row.get(0)).optional()?;
    let upsert = "INSERT INTO pipelines
                  (name, source_org, channel, source_object, target_org, target_object, key_field, watermark)
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                  ON CONFLICT (name) DO UPDATE SET source_org = ?2, channel = ?3, source_object = ?4, target_org = ?5,
                  target_object = ?6, key_field = ?7, watermark = ?8, removed_at = NULL";
    db.execute(
        upsert,
        params![
            identity.name.as_str(),
            identity.source_org.as_str(),
            identity.channel.as_str(),
            identity.source_object.as_str(),
            identity.target_org.as_str(),
            identity.target_object.as_str(),
            identity.key.as_str(),
            int(first_watermark),
        ],
    )?;
    if let Some(removed) = removed {
        let now = Timestamp::now();
        let subscription = journal::subscription(db, &identity.source_org, &identity.channel)?.id;
        journal::open_gap(db, &removed_gap(subscription, identity, removed, now, journal::head(db)?), now)?;
    }
    let row = all(db)?.into_iter().find(|row| row.identity.name == identity.name);
    row.ok_or_else(|| StoreError::Database("a pipeline was added and is not there".into()))
}

fn removed_gap(subscription: SubscriptionId, identity: &PipelineIdentity, from: i64, to: Timestamp, at: Seq) -> Gap {
    Gap {
        id: 0,
        subscription,
        kind: GapKind::Removed,
        object: Some(identity.source_object.clone()),
        from: Some(Timestamp(from)),
        to: Some(to),
        seq: at,
        proof: None,
    }
}

fn same(old: &PipelineIdentity, new: &PipelineIdentity) -> Result<(), StoreError> {
    let parts = [
        ("source org", old.source_org.as_str(), new.source_org.as_str()),
        ("channel", old.channel.as_str(), new.channel.as_str()),
        ("source object", old.source_object.as_str(), new.source_object.as_str()),
        ("target org", old.target_org.as_str(), new.target_org.as_str()),
        ("target object", old.target_object.as_str(), new.target_object.as_str()),
        ("key", old.key.as_str(), new.key.as_str()),
    ];
    match parts.into_iter().find(|(_, old, new)| old != new) {
        None => Ok(()),
        Some((what, before, now)) => Err(StoreError::OtherPipeline {
            name: old.name.clone(),
            what,
            old: before.to_owned(),
            new: now.to_owned(),
        }),
    }
}

pub fn forget(db: &Connection, name: &PipelineName) -> Result<bool, StoreError> {
    let remove = "UPDATE pipelines SET removed_at = ?2 WHERE name = ?1 AND removed_at IS NULL RETURNING id";
    let id: Option<i64> =
        db.query_row(remove, params![name.as_str(), Timestamp::now().0], |row| row.get(0)).optional()?;
    let Some(id) = id else { return Ok(false) };
    for table in ["applied", "parked", "sent"] {
        db.execute(&format!("DELETE FROM {table} WHERE pipeline = ?1"), [id])?;
    }
    Ok(true)
}
