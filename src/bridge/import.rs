//! Whether pairs of records that a person named can be linked now, and linking them.

use std::collections::BTreeMap;

use tracing::info;

use crate::config::Config;
use crate::event::{OrgName, PipelineName, Timestamp};
use crate::org::Org;
use crate::store::{ListNumber, Listed, PipelineId, Store, StoreError, Work};

/// Pairs that are noted in one transaction.
const TOGETHER: usize = 5_000;

/// The pipeline to which the list, with so many pairs, is to be imported, or why that cannot be now.
pub(super) async fn wanted<S: Store>(
    config: &Config,
    store: &S,
    name: &PipelineName,
    (list, pairs): (ListNumber, u64),
) -> Result<Result<PipelineId, String>, StoreError> {
    // A bridge that is just starting may not have noted them yet.
    let rows = match super::pipelines(config, store).await {
        Ok(rows) => rows,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let Some(row) = rows.iter().find(|row| row.identity.name == *name) else {
        return Ok(Err(format!("the config has no pipeline {name}")));
    };
    let is_import = |work: &Work| matches!(work, Work::Import { .. });
    if store.open_jobs().await?.iter().any(|job| job.pipeline == row.id && is_import(&job.work)) {
        return Ok(Err(format!("another import of {name} is not over yet; `orgbridge status` shows how far it is")));
    }
    // What was noted before a start is gone with it: the list is empty then, or only its end is there.
    if store.list_length(list).await? != pairs {
        return Ok(Err(
            "the bridge was started anew meanwhile, and not all pairs are there: import them again".to_owned()
        ));
    }
    Ok(Ok(row.id))
}

/// Links the pairs of a list, while nothing is on its way: the job that gives their counterparts the key, or why there is none.
pub(super) async fn begin<S: Store>(
    store: &S,
    (pipeline, name): (PipelineId, &PipelineName),
    list: ListNumber,
) -> Result<Result<i64, String>, StoreError> {
    let job = store.import(pipeline, list, Timestamp::now()).await?;
    if job.is_some() {
        info!(pipeline = %name, "an import begins: its pairs are linked");
    }
    Ok(job.map(|job| job.0).ok_or_else(|| "another import is not over yet".to_owned()))
}

/// Links pairs before a bridge starts: one that ran already might make a record anew just before it is told of its counterpart.
/// The number of the job that gives the counterparts the key, as soon as a bridge runs; or why there is none.
///
/// # Errors
/// When the store fails.
pub async fn import_alone<S: Store>(
    (config, orgs): (&Config, &BTreeMap<OrgName, Org>),
    store: &S,
    name: &PipelineName,
    pairs: &[Listed],
) -> Result<Result<i64, String>, StoreError> {
    // The pairs were looked at in the orgs that are behind the logins now.
    for (org, asked) in orgs.iter().filter_map(|(org, asked)| Some((org, asked.pinned()?))) {
        if store.pinned_org(org).await?.is_some_and(|known| known != asked) {
            return Ok(Err(format!(
                "another org (id {asked}) is behind the login of {org}; if that is meant: `orgbridge org accept-new {org}`"
            )));
        }
    }
    let mut list = None;
    for page in pairs.chunks(TOGETHER) {
        list = Some(store.add_to_list(list, page.to_vec()).await?);
    }
    let Some(list) = list else { return Ok(Err("there are no pairs".to_owned())) };
    match wanted(config, store, name, (list, pairs.len() as u64)).await? {
        Ok(pipeline) => begin(store, (pipeline, name), list).await,
        Err(refused) => Ok(Err(refused)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::between_two_orgs;
    use crate::event::RecordId;
    use crate::store::contract::given::{account, known, name, target};
    use crate::store::{JobEnd, JobEnded, JobNumber, Sqlite};

    fn config() -> Config {
        between_two_orgs(
            r#"pipelines:
  - name: accounts
    from: { org: a, channel: /data/AccountChangeEvent, object: Account }
    to: { org: b, object: Account, key: Key__c }
    fields: { Key__c: Id }
"#,
        )
    }

    fn pairs(numbers: impl IntoIterator<Item = u32>) -> Vec<Listed> {
        numbers.into_iter().map(|n| Listed { record: account(n), target: Some(target(n)) }).collect()
    }

    #[tokio::test]
    async fn pairs_are_linked_before_a_bridge_starts_and_the_job_waits_for_it() {
        let (config, store) = (config(), Sqlite::in_memory().unwrap());
        let orgs = crate::bridge::orgs(&config).unwrap();
        let import =
            async |pairs: &[Listed]| import_alone((&config, &orgs), &store, &name("accounts"), pairs).await.unwrap();
        let number = import(&pairs(1..=2)).await.unwrap();
        let open = store.open_jobs().await.unwrap();
        assert_eq!(open.iter().map(|job| job.number.0).collect::<Vec<_>>(), [number]);
        let links = known(&store, open[0].pipeline, &[account(1), account(2)]).await.links;
        let expected: [(RecordId, RecordId); 2] = [(account(1), target(1)), (account(2), target(2))];
        assert_eq!(links, expected.into());
        assert!(import(&pairs(3..=3)).await.unwrap_err().contains("not over yet"));
        let ended = JobEnded { at: Timestamp::now(), how: JobEnd::Done, why: String::new() };
        store.job_ended(JobNumber(number), ended).await.unwrap();
        // Others are behind the logins than when the bridge ran.
        store.pin_org(&name("b"), "00D000000000001AAA").await.unwrap();
        orgs[&name("b")].pin("00D000000000002AAA");
        let refused = import(&pairs(3..=3)).await.unwrap_err();
        assert!(refused.contains("00D000000000002AAA") && refused.contains("accept-new b"), "{refused}");
    }

    #[tokio::test]
    async fn a_list_of_which_a_start_has_dropped_the_first_pairs_is_refused() {
        let (config, store) = (config(), Sqlite::in_memory().unwrap());
        let list = store.add_to_list(None, pairs(3..=4)).await.unwrap();
        let pipeline = name("accounts");
        let wanted = async |pairs| wanted(&config, &store, &pipeline, (list, pairs)).await.unwrap();
        assert!(wanted(4).await.unwrap_err().contains("import them again"));
        assert!(wanted(2).await.is_ok());
    }
}
