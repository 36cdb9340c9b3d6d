//! `orgbridge forget`: what is stored of one record is erased.

use std::process::ExitCode;

use clap::Args;

use super::ConfigFile;
use crate::config::Config;
use crate::event::{OrgName, RecordId};
use crate::store::{Forgotten, Sqlite, Store, StoreError};

/// Erase the values that the state file holds of one record.
///
/// Its id stays, with the id of its counterpart and how far it is settled: without them a later change would make a second
/// record, or be lost. The two orgs are not touched. What the source org tells of it later is stored again, so delete it
/// there first.
#[derive(Debug, Args)]
pub struct Forget {
    #[command(flatten)]
    file: ConfigFile,
    /// The org that the record is of. If absent: every org of the config
    #[arg(long)]
    org: Option<OrgName>,
    /// The id of the record in the source org
    record: RecordId,
}

impl Forget {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let config = crate::config::load(&self.file.config)?;
        if let Some(org) = self.org.as_ref().filter(|org| !config.orgs.contains_key(*org)) {
            anyhow::bail!("the config names no org {org}");
        }
        let store = super::owned(&config)?;
        for (org, forgotten) in forget(&config, &store, self.org.as_ref(), self.record).await? {
            println!("{org}: {}", text(&forgotten));
        }
        store.rewrite()?;
        Ok(ExitCode::SUCCESS)
    }
}

async fn forget(
    config: &Config,
    store: &Sqlite,
    only: Option<&OrgName>,
    record: RecordId,
) -> Result<Vec<(OrgName, Forgotten)>, StoreError> {
    let mut all = Vec::new();
    for org in config.orgs.keys().filter(|org| only.is_none_or(|only| only == *org)) {
        all.push((org.clone(), store.forget_record(org, record).await?));
    }
    Ok(all)
}

fn text(forgotten: &Forgotten) -> String {
    let Forgotten { events, shared, notifications, evidence, mentions } = *forgotten;
    let mut said = Vec::new();
    if events > 0 {
        let others = match shared {
            0 => String::new(),
            shared => format!(
                " ({shared} of them name other records too, for which the same values are gone: they are read from the \
                 source where they are still to be written)"
            ),
        };
        said.push(format!("the values of {events} change events were erased{others}"));
    }
    if notifications > 0 {
        said.push(format!("{notifications} PushTopic or generic events were emptied"));
    }
    if evidence > 0 {
        said.push(format!("what was sent of it and what the target org said of it in {evidence} pipelines was erased"));
    }
    if mentions > 0 {
        said.push(format!("its id also stands in {mentions} platform events, which are as they were"));
    }
    match said.as_slice() {
        [] => "no value of it is stored".to_owned(),
        said => said.join("; "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_said_in_full() {
        assert_eq!(text(&Forgotten::default()), "no value of it is stored");
        let all = Forgotten { events: 3, shared: 1, notifications: 4, evidence: 2, mentions: 5 };
        assert_eq!(
            text(&all),
            "the values of 3 change events were erased (1 of them name other records too, for which the same values are \
             gone: they are read from the source where they are still to be written); 4 PushTopic or generic events were \
             emptied; what was sent of it and what the target org said of it in 2 pipelines was erased; its id also stands in 5 platform events, \
             which are as they were"
        );
    }
}
