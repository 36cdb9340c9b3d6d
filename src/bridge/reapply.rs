//! Events once more: which records they named becomes a job that reads them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::event::{OrgName, PipelineName, Timestamp};
use crate::org::Org;
use crate::past::reapply::{Range, Touched, touched};
use crate::store::{JobNumber, Listed, PipelineRow, Store, StoreError, Work};

/// Records that are noted in one transaction.
const TOGETHER: usize = 5_000;

/// What is to be done for a pipeline, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reapplying {
    pub pipeline: PipelineName,
    /// Events of the journal; none: it does not have all of that time, and the org is asked what has changed since.
    pub events: Option<u64>,
    /// Of these some that do not name all their records.
    pub unnamed: u64,
    /// None: the org could not count them.
    pub records: Option<u64>,
    /// The job; none: nothing is to be read, or it was only asked.
    pub job: Option<i64>,
}

/// What a range comes to for these pipelines; with `begin` it is a job for each. The inner error says why nothing is done.
///
/// # Errors
/// When the store fails.
pub async fn reapply<S: Store>(
    (config, orgs): (&Config, &BTreeMap<OrgName, Org>),
    store: &S,
    names: &[PipelineName],
    range: &Range,
    begin: bool,
) -> Result<Result<Vec<Reapplying>, String>, StoreError> {
    let (rows, subscriptions) = (store.pipelines().await?, store.subscriptions().await?);
    let mut all = Vec::new();
    // All or none.
    for name in super::backfill::parents_first(config, names) {
        let Some(row) = rows.iter().find(|row| row.identity.name == name) else {
            return Ok(Err(format!("no bridge has run with the pipeline {name} yet")));
        };
        let own = |kind: &str| kind == "reapply";
        if begin && store.open_jobs().await?.iter().any(|job| job.pipeline == row.id && own(job.work.kind())) {
            return Ok(Err(format!("{name} reapplies other events just now; `orgbridge status` shows how far it is")));
        }
        let subscription =
            subscriptions.iter().find(|one| one.org == row.identity.source_org && one.channel == row.identity.channel);
        match touched(store, row, subscription, range).await? {
            Ok(touched) => all.push((row, touched)),
            Err(why) => return Ok(Err(why)),
        }
    }
    let mut plans = Vec::new();
    for (row, touched) in all {
        plans.push(planned(orgs, store, row, touched, begin).await?);
    }
    Ok(Ok(plans))
}

async fn planned<S: Store>(
    orgs: &BTreeMap<OrgName, Org>,
    store: &S,
    row: &PipelineRow,
    touched: Touched,
    begin: bool,
) -> Result<Reapplying, StoreError> {
    let pipeline = row.identity.name.clone();
    let now = Timestamp::now();
    let number = |job: Option<JobNumber>| job.map(|job| job.0);
    match touched {
        Touched::Journaled { events, unnamed, records } => {
            let mut job = None;
            if begin && !records.is_empty() {
                let mut list = None;
                for records in records.chunks(TOGETHER) {
                    let records = records.iter().map(|record| Listed { record: *record, target: None }).collect();
                    list = Some(store.add_to_list(list, records).await?);
                }
                if let Some(list) = list {
                    job = store.add_job(row.id, Work::Reapply { list }, now).await?;
                }
            }
            let records = Some(records.len() as u64);
            Ok(Reapplying { pipeline, events: Some(events), unnamed, records, job: number(job) })
        }
        Touched::Since(from) => {
            let records = match orgs.get(&row.identity.source_org) {
                Some(org) => {
                    let condition = format!("SystemModstamp >= {from}");
                    org.count(&row.identity.source_object, Some(&condition)).await.ok()
                }
                None => None,
            };
            let job = match begin {
                true => store.add_job(row.id, Work::ReapplySince { from }, now).await?,
                false => None,
            };
            Ok(Reapplying { pipeline, events: None, unnamed: 0, records, job: number(job) })
        }
    }
}
