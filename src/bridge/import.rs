//! Whether pairs of records that a person named can be linked now.

use crate::config::Config;
use crate::event::PipelineName;
use crate::store::{ListNumber, PipelineId, Store, StoreError, Work};

/// The pipeline to which the list is to be imported, or why that cannot be now.
pub(super) async fn wanted<S: Store>(
    config: &Config,
    store: &S,
    name: &PipelineName,
    list: ListNumber,
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
    if store.list_length(list).await? == 0 {
        return Ok(Err("the bridge was started anew meanwhile: give it the file once more".to_owned()));
    }
    Ok(Ok(row.id))
}
