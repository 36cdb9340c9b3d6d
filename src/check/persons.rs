//! Person accounts: an account and a contact that are one person (facts: streaming-cometd.md section 13).

use super::{Findings, KnownOrg};
use crate::config::{Config, PipelineConfig};
use crate::mapping::{Expression, person};
use crate::org::describe::ObjectDescribe;
use crate::org::setup::Asked;

const FLAG: &str = "IsPersonAccount";

pub(super) fn judge(
    findings: &mut Findings<'_>,
    pipeline: &PipelineConfig,
    config: &Config,
    source: &KnownOrg,
    from: &ObjectDescribe,
) {
    if !from.has(FLAG) {
        return;
    }
    match from.name().as_str() {
        "Account" => reading(findings, pipeline, source),
        "Contact" => twice(findings, pipeline, config),
        _ => {}
    }
}

/// What an account's events leave out is read with the account.
fn reading(findings: &mut Findings<'_>, pipeline: &PipelineConfig, source: &KnownOrg) {
    if pipeline.from.poll.is_some() {
        return;
    }
    let is_of_contact =
        |fill: &crate::config::Fill| fill.reads().any(|path| person::is_of_contact(&pipeline.from.object, path));
    let mapped = pipeline.fields.iter().filter(|(_, rule)| is_of_contact(&rule.fill));
    let mapped: Vec<&str> = mapped.map(|(name, _)| name.as_str()).collect();
    let Some(first) = mapped.first() else { return };
    let captured = match &source.capture {
        Some(Asked::Known(capture)) => capture.objects().iter().any(|object| object.as_str() == "Contact"),
        Some(Asked::Unknown(_)) | None => false,
    };
    if !captured {
        let message = format!(
            "each update of an account has to be read, for its events leave out what belongs to a person's contact \
             ({}) unless Contact is selected, too",
            mapped.join(", ")
        );
        let remedy = "select Contact in Setup > Change Data Capture, or live with one read for up to 200 changes";
        findings.note(&["fields", first], message, remedy);
    }
}

/// A person is written as an account, and its contact comes with it.
fn twice(findings: &mut Findings<'_>, pipeline: &PipelineConfig, config: &Config) {
    let of_accounts = |other: &&PipelineConfig| {
        other.from.org == pipeline.from.org
            && other.to.org == pipeline.to.org
            && other.from.object.as_str() == "Account"
            && !asks(other)
    };
    if asks(pipeline) {
        return;
    }
    let Some(accounts) = config.pipelines.iter().find(of_accounts) else { return };
    let message = format!(
        "contacts of person accounts come here, and {} writes the same persons as accounts: they arrive twice",
        accounts.name
    );
    let remedy = format!("add `when: {FLAG} != true`, so that the account brings its contact");
    findings.warn(&["when"], message, remedy);
}

/// Its condition tells persons from others.
fn asks(pipeline: &PipelineConfig) -> bool {
    pipeline.when.iter().flat_map(Expression::reads).any(|path| path.as_str() == FLAG)
}
