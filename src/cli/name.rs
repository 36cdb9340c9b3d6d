//! A name on the command line that may be that of a pipeline or of an org.

use clap::Args;

use crate::config::Config;
use crate::event::{OrgName, PipelineName};

#[derive(Debug, Args)]
pub struct Name {
    /// A pipeline or an org, as the config names it. Where both have the name, the pipeline is meant
    #[arg(value_name = "PIPELINE|ORG")]
    name: String,
    /// The org of this name is meant
    #[arg(long, conflicts_with = "pipeline")]
    org: bool,
    /// The pipeline of this name is meant
    #[arg(long)]
    pipeline: bool,
}

/// What a name means. An action is a pipeline.
#[derive(Debug, PartialEq, Eq)]
pub enum Meant {
    Pipeline(PipelineName),
    Org(OrgName),
}

/// # Errors
/// Where the config has no such pipeline; it says which there are.
pub fn is_pipeline(config: &Config, name: &PipelineName) -> anyhow::Result<()> {
    if config.pipelines.iter().any(|pipeline| pipeline.name == *name) {
        return Ok(());
    }
    if config.actions.iter().any(|action| action.name == *name) {
        anyhow::bail!(
            "{name} is an action: it does something for each event, and has no records in a target. What failed of it: \
             orgbridge actions list"
        );
    }
    let there: Vec<&str> = config.pipelines.iter().map(|pipeline| pipeline.name.as_str()).collect();
    anyhow::bail!("the config has no pipeline {name}. Pipelines: {}", there.join(", "))
}

impl Name {
    /// # Errors
    /// Where the config has neither; it says what there is.
    pub fn meant(&self, config: &Config) -> anyhow::Result<Meant> {
        let names = || {
            let actions = config.actions.iter().map(|action| &action.name);
            config.pipelines.iter().map(|pipeline| &pipeline.name).chain(actions)
        };
        let pipeline = names().find(|name| name.as_str() == self.name);
        let org = config.orgs.keys().find(|name| name.as_str() == self.name);
        match (pipeline.filter(|_| !self.org), org.filter(|_| !self.pipeline)) {
            (Some(pipeline), _) => Ok(Meant::Pipeline(pipeline.clone())),
            (None, Some(org)) => Ok(Meant::Org(org.clone())),
            (None, None) => {
                let pipelines: Vec<&str> = names().map(PipelineName::as_str).collect();
                let orgs: Vec<&str> = config.orgs.keys().map(OrgName::as_str).collect();
                let what = match (self.pipeline, self.org) {
                    (true, _) => "pipeline",
                    (_, true) => "org",
                    (false, false) => "pipeline or org",
                };
                let there = format!("Pipelines: {}. Orgs: {}", pipelines.join(", "), orgs.join(", "));
                anyhow::bail!("the config has no {what} {}. {there}", self.name)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "\
version: 1
orgs:
  hq: { login_url: https://hq.my.salesforce.com, client_credentials: { key: consumer, secret: s } }
  both: { login_url: https://both.my.salesforce.com, client_credentials: { key: consumer, secret: s } }
pipelines:
  - name: both
    from: { org: hq, channel: /data/AccountChangeEvent, object: Account }
    to: { org: both, object: Account, key: Source_Id__c }
    fields: { Source_Id__c: Id }
  - name: accounts
    from: { org: both, channel: /data/AccountChangeEvent, object: Account }
    to: { org: hq, object: Account, key: Source_Id__c }
    fields: { Source_Id__c: Id }
  - name: tell
    from: { org: hq, channel: /event/Order_Shipped__e }
    action: { org: both, flow: Ship_Order, delivery: at_most_once }
";

    fn meant(name: &str, org: bool, pipeline: bool) -> Result<Meant, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bridge.yaml");
        std::fs::write(&path, CONFIG).unwrap();
        let config = crate::config::load(&path).unwrap();
        Name { name: name.to_owned(), org, pipeline }.meant(&config).map_err(|error| error.to_string())
    }

    #[test]
    fn a_pipeline_is_meant_before_an_org_of_the_same_name_unless_it_is_said() {
        assert_eq!(meant("both", false, false), Ok(Meant::Pipeline("both".parse().unwrap())));
        assert_eq!(meant("both", true, false), Ok(Meant::Org("both".parse().unwrap())));
        assert_eq!(meant("hq", false, false), Ok(Meant::Org("hq".parse().unwrap())));
        assert_eq!(meant("accounts", false, true), Ok(Meant::Pipeline("accounts".parse().unwrap())));
        assert_eq!(meant("tell", false, false), Ok(Meant::Pipeline("tell".parse().unwrap())));
    }

    #[test]
    fn a_name_that_there_is_not_is_answered_by_those_that_there_are() {
        let said = meant("acounts", false, false).unwrap_err();
        assert!(said.contains("no pipeline or org acounts"), "{said}");
        assert!(said.contains("Pipelines: both, accounts, tell.") && said.contains("Orgs: both, hq"), "{said}");
        assert!(meant("hq", false, true).unwrap_err().contains("no pipeline hq"));
    }
}
