//! Which backfills there are to be: by a person's wish, or because the config wants one at the first run. They are rows of the
//! store; whoever works for the target takes them from there.

use tracing::info;

use crate::config::{Backfill, Config};
use crate::event::{PipelineName, Timestamp};
use crate::mapping::Mapping;
use crate::store::{JobEnd, JobEnded, PipelineRow, Store, StoreError, Work};

/// Adds a job for each pipeline, parents first, or none at all and says why. One that is under way already is as good.
pub(super) async fn add<S: Store>(
    config: &Config,
    store: &S,
    names: &[PipelineName],
    condition: Option<String>,
) -> Result<Result<Vec<i64>, String>, StoreError> {
    // A bridge that is just starting may not have noted them yet.
    let rows = match super::pipelines(config, store).await {
        Ok(rows) => rows,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let open = store.open_jobs().await?;
    let work = Work::Backfill { condition };
    let mut wanted = Vec::new();
    for name in parents_first(config, names) {
        let Some(row) = rows.iter().find(|row| row.identity.name == name) else {
            return Ok(Err(format!("the config has no pipeline {name}")));
        };
        let known = open.iter().find(|job| job.pipeline == row.id && matches!(job.work, Work::Backfill { .. }));
        match known {
            None => wanted.push((row.id, None)),
            // As after Ctrl-C, or where the config wants one at the first run: it goes on.
            Some(job) if job.work == work => wanted.push((row.id, Some(job.number))),
            Some(_) => {
                return Ok(Err(format!(
                    "another backfill of {name} is not over yet; `orgbridge status` shows how far it is, and `orgbridge backfill \
                     {name} --stop` ends it"
                )));
            }
        }
    }
    let mut numbers = Vec::new();
    for (pipeline, known) in wanted {
        let number = match known {
            Some(number) => Some(number),
            None => store.add_job(pipeline, work.clone(), Timestamp::now()).await?,
        };
        numbers.extend(number.map(|number| number.0));
    }
    Ok(Ok(numbers))
}

/// Ends these pipelines' backfills where they are; how many there were.
///
/// # Errors
/// When the store fails.
pub async fn stop<S: Store>(store: &S, names: &[PipelineName]) -> Result<u64, StoreError> {
    let rows = store.pipelines().await?;
    let mut stopped = 0;
    for job in store.open_jobs().await? {
        let is_named = |row: &PipelineRow| row.id == job.pipeline && names.contains(&row.identity.name);
        if matches!(job.work, Work::Backfill { .. }) && rows.iter().any(is_named) {
            let ended = JobEnded { at: Timestamp::now(), how: JobEnd::Stopped, why: String::new() };
            stopped += u64::from(store.job_ended(job.number, ended).await?);
        }
    }
    Ok(stopped)
}

/// These pipelines, each once, and none before one that writes its parents; else in the order of the config.
pub(super) fn parents_first(config: &Config, names: &[PipelineName]) -> Vec<PipelineName> {
    let mut left: Vec<(&PipelineName, Mapping)> = config
        .pipelines
        .iter()
        .filter(|pipeline| names.contains(&pipeline.name))
        .map(|pipeline| (&pipeline.name, Mapping::new(pipeline, config)))
        .collect();
    let mut ordered: Vec<PipelineName> = Vec::new();
    while !left.is_empty() {
        let waits = |(name, mapping): &(&PipelineName, Mapping)| {
            left.iter().any(|(other, parent)| other != name && mapping.lookups_of(parent).next().is_some())
        };
        // Where each waits for another, any may be the first.
        let next = left.iter().position(|line| !waits(line)).unwrap_or(0);
        ordered.push(left.remove(next).0.clone());
    }
    // What the config does not have is told by whoever looks for it.
    ordered.extend(names.iter().filter(|name| !config.pipelines.iter().any(|line| line.name == **name)).cloned());
    ordered
}

/// `backfill: on_first_run`, parents first.
pub(super) async fn first<S: Store>(config: &Config, store: &S, rows: &[PipelineRow]) -> Result<(), StoreError> {
    let wanted = config.pipelines.iter().filter(|pipeline| pipeline.backfill == Backfill::OnFirstRun);
    let wanted: Vec<PipelineName> = wanted.map(|pipeline| pipeline.name.clone()).collect();
    for name in parents_first(config, &wanted) {
        let Some(row) = rows.iter().find(|row| row.identity.name == name) else { continue };
        if store.add_first_backfill(row.id, Timestamp::now()).await? {
            info!(pipeline = %name, "the first run: all records of the source are read and written (backfill: on_first_run)");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::between_two_orgs;

    #[test]
    fn whose_records_are_parents_of_others_comes_before_them_whatever_the_order() {
        let config = between_two_orgs(
            r#"pipelines:
  - name: contacts
    from: { org: a, channel: /data/ContactChangeEvent, object: Contact }
    to: { org: b, object: Contact, key: Key__c }
    fields: { Key__c: Id, AccountId: { parent: accounts, from: AccountId } }
  - name: cases
    from: { org: a, channel: /data/CaseChangeEvent, object: Case }
    to: { org: b, object: Case, key: Key__c }
    fields: { Key__c: Id, ContactId: { parent: contacts, from: ContactId } }
  - name: accounts
    from: { org: a, channel: /data/AccountChangeEvent, object: Account }
    to: { org: b, object: Account, key: Key__c }
    fields: { Key__c: Id, ParentId: { parent: accounts, from: ParentId } }
"#,
        );
        let names = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<Vec<PipelineName>>();
        let all = names(&["cases", "accounts", "contacts", "cases"]);
        assert_eq!(parents_first(&config, &all), names(&["accounts", "contacts", "cases"]));
        assert_eq!(parents_first(&config, &names(&["cases", "accounts"])), names(&["cases", "accounts"]));
        assert_eq!(parents_first(&config, &names(&["cases", "other"])), names(&["cases", "other"]));
    }
}
