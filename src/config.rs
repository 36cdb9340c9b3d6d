//! The config, checked: what the rest of the bridge may rely on.
//!
//! Reading it (YAML, `${ENV}`, places of problems) is in the modules below; these are the types that come out.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use crate::event::{Channel, FieldName, FieldPath, ObjectName, OrgName, PipelineName, Value};

/// A config in which every reference leads somewhere.
#[derive(Debug, Clone)]
pub struct Config {
    pub orgs: BTreeMap<OrgName, OrgConfig>,
    /// In the order of the file; names are unique.
    pub pipelines: Vec<PipelineConfig>,
    /// The state file; by default the config's own name with `.db`, beside it.
    pub state: PathBuf,
    /// How long after a lost answer the request may still land in the target (default 10 minutes).
    pub late_landing: Duration,
}

#[derive(Debug, Clone)]
pub struct OrgConfig {
    pub name: OrgName,
    /// My Domain: `https://acme.my.salesforce.com`. Plain http is accepted on loopback only.
    pub login_url: Url,
    pub login: Login,
    /// What `Sforce-Call-Options: client=` says, and so `changeOrigin` in the events that our writes cause.
    pub client_name: String,
    /// `66.0`.
    pub api_version: String,
}

#[derive(Debug, Clone)]
pub enum Login {
    ClientCredentials { key: String, secret: SecretString },
}

#[derive(Debug, Clone)]
pub struct PipelineConfig {
    pub name: PipelineName,
    pub from: From,
    pub to: To,
    /// In the order of the file; each target field once.
    pub fields: Vec<(FieldName, FieldRule)>,
    pub on_delete: OnDelete,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct From {
    pub org: OrgName,
    pub channel: Channel,
    pub object: ObjectName,
    pub start: Start,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct To {
    pub org: OrgName,
    pub object: ObjectName,
    /// An External ID field of the target object; one of `fields` fills it.
    pub key: FieldName,
}

/// Where a pipeline that never ran begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Start {
    /// With what happens from now on.
    #[default]
    Tip,
    /// With the oldest event that the org still keeps (72 hours).
    Earliest,
}

/// How one field of the target is filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldRule {
    /// A source field or a part of a compound one. `Id` is the id of the source record.
    Source(FieldPath),
    Constant(Value),
    /// The target record that `pipeline` made of the source record that the source field `from` names.
    Parent {
        pipeline: PipelineName,
        from: FieldPath,
    },
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnDelete {
    #[default]
    Ignore,
    Delete,
}
