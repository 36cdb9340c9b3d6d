//! `orgbridge map`: what a pipeline would make of a change or a record, field by field. Writes nothing anywhere.

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;

use super::{ConfigFile, table};
use crate::bridge;
use crate::config;
use crate::event::Found;
use crate::event::{ChangeKind, PipelineName, RecordId, Value};
use crate::hydrate;
use crate::mapping::{Gave, Mapping, Traced};
use crate::rehearse::{Outcome, Scene, What, cases, input, rehearse};

/// What would a pipeline write?
#[derive(Debug, Args)]
pub struct Map {
    #[command(flatten)]
    file: ConfigFile,
    /// The pipeline; may be left out where there is only one
    #[arg(short, long)]
    pipeline: Option<PipelineName>,
    /// A change event or a record as JSON; - or nothing: standard input
    #[arg(conflicts_with = "record")]
    input: Option<PathBuf>,
    /// Read this record from the source org instead
    #[arg(long, value_name = "ID")]
    record: Option<RecordId>,
    /// The id of the counterpart in the target, if it has one. If absent: none, but for an UPDATE some
    #[arg(long, value_name = "ID")]
    link: Option<RecordId>,
    /// For scripts
    #[arg(long)]
    json: bool,
}

/// How much of a rule is shown beside its value.
const RULE_MAX: usize = 60;
/// Stands for a counterpart that nobody named.
const SOME_RECORD: &str = "000000000000001AAA";

impl Map {
    /// Exit code 0 if something would be written or left out, 1 if it would be a failed record.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        // Only a record that is read needs a login.
        let load = if self.record.is_some() { config::load } else { config::load_mapping };
        let config = match load(&self.file.config) {
            Ok(config) => config,
            Err(problems) => {
                eprintln!("{}", problems.render(super::check::colour()));
                return Ok(ExitCode::FAILURE);
            }
        };
        let names = || config.pipelines.iter().map(|pipeline| pipeline.name.to_string()).collect::<Vec<_>>().join(", ");
        let pipeline = match &self.pipeline {
            Some(name) => config.pipelines.iter().find(|pipeline| pipeline.name == *name),
            None if config.pipelines.len() == 1 => config.pipelines.first(),
            None => bail!("which pipeline? Say it with --pipeline: {}", names()),
        };
        let Some(pipeline) = pipeline else { bail!("the config has no such pipeline; it has {}", names()) };
        let mapping = Mapping::new(pipeline, &config);
        let mut scenes = match self.record {
            Some(id) => {
                let orgs = bridge::orgs(&config)?;
                let Some(source) = orgs.get(&pipeline.from.org) else { bail!("the config names no such org") };
                let found = hydrate::records(source, &mapping, &[id])
                    .await
                    .with_context(|| format!("org {}: the record could not be read", pipeline.from.org))?;
                match found.get(&id) {
                    Some(Found::Record(record)) => {
                        vec![Scene { record: Some(record.clone()), ..Scene::default() }]
                    }
                    Some(Found::Deleted) => bail!("{id} was deleted in {}", pipeline.from.org),
                    Some(Found::NotVisible) | None => bail!(
                        "org {} shows no {} {id}: look at the id, and at what the bridge's user may see",
                        pipeline.from.org,
                        pipeline.from.object
                    ),
                }
            }
            None => {
                let text = self.text()?;
                let from = self.input.as_ref().map_or("standard input".to_owned(), |path| path.display().to_string());
                input::scenes(&mapping, &text).with_context(|| from)?
            }
        };
        let mut failed = false;
        for scene in &mut scenes {
            scene.link = self.link.or_else(|| {
                let partial = scene.part.as_ref().is_some_and(|part| part.kind() == ChangeKind::Update);
                partial.then(|| SOME_RECORD.parse().ok()).flatten()
            });
            let outcome = rehearse(&mapping, scene);
            failed |= matches!(outcome.what, What::Failed(_));
            if self.json {
                println!("{:#}", json(&outcome));
            } else {
                print!("{}", text(pipeline.name.as_str(), scene, &outcome));
            }
        }
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    fn text(&self) -> anyhow::Result<String> {
        match self.input.as_deref().filter(|path| path.as_os_str() != "-") {
            Some(path) => std::fs::read_to_string(path)
                .with_context(|| format!("{} cannot be read; it should be UTF-8 text", path.display())),
            None => {
                let mut text = String::new();
                std::io::stdin().read_to_string(&mut text).context("standard input cannot be read as UTF-8 text")?;
                Ok(text)
            }
        }
    }
}

/// What is written to a field.
fn value<'o>(outcome: &'o Outcome, traced: &Traced) -> Option<&'o Value> {
    match &outcome.what {
        What::Upsert { fields, .. } | What::Update { fields, .. } => fields.get(&traced.field),
        What::Delete { .. } | What::Skipped(_) | What::Failed(_) | What::NeedsRecord => None,
    }
}

/// Why there is no value.
fn why(traced: &Traced) -> String {
    match &traced.gave {
        Gave::Something => "not written".to_owned(),
        Gave::Nothing(left) => left.to_string(),
        Gave::Unknown => "only the whole record can tell".to_owned(),
        Gave::Failed(failure) => format!("{}: {}", failure.code, failure.reason),
    }
}

fn text(pipeline: &str, scene: &Scene, outcome: &Outcome) -> String {
    let (what, record) = match (&scene.part, &scene.record) {
        (Some(part), _) => (part.kind().as_str(), part.record.to_string()),
        (None, Some(record)) => ("the record", record.id.to_string()),
        (None, None) => ("nothing", String::new()),
    };
    let mut text = format!("{pipeline}: {what} {record}: {}\n", said(outcome));
    if matches!(outcome.what, What::NeedsRecord) {
        text.push_str(&format!("  With the record as it is now: orgbridge map --record {record}\n"));
    }
    // Where nothing is written no field has a story.
    let fields = match outcome.what {
        What::Upsert { .. } | What::Update { .. } => outcome.traced.as_slice(),
        What::Delete { .. } | What::Skipped(_) | What::Failed(_) | What::NeedsRecord => &[],
    };
    let mut list = table::plain_list();
    for traced in fields {
        let shown = match value(outcome, traced) {
            Some(value) => cases::shown(value),
            None => format!("- ({})", why(traced)),
        };
        list.add_row([format!("  {}", traced.field), shown, short(&traced.rule)]);
    }
    for line in list.to_string().lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// What would be done; nobody knows the counterpart that only stands for one.
fn said(outcome: &Outcome) -> String {
    match (&outcome.what, &outcome.why_read) {
        (What::NeedsRecord, Some(why)) => format!("the record must be read: {why}"),
        (What::Update { object, record, .. }, _) if record.as_str() == SOME_RECORD => {
            format!("update of the {object} that is its counterpart")
        }
        (what, _) => what.to_string(),
    }
}

/// A rule in a line of a list.
fn short(rule: &str) -> String {
    let line = rule.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(RULE_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

fn json(outcome: &Outcome) -> serde_json::Value {
    use serde_json::json;
    let (what, record) = match &outcome.what {
        What::Upsert { .. } => ("upsert", None),
        What::Update { record, .. } => ("update", Some(record.to_string()).filter(|record| record != SOME_RECORD)),
        What::Delete { record, .. } => ("delete", record.map(|record| record.to_string())),
        What::Skipped(_) => ("skip", None),
        What::Failed(_) => ("fail", None),
        What::NeedsRecord => ("needs_record", None),
    };
    let traced = outcome.traced.iter().map(|traced| {
        let value = value(outcome, traced);
        json!({
            "field": traced.field.as_str(),
            "rule": traced.rule,
            "written": value.is_some(),
            "value": value.cloned().map(serde_json::Value::from),
            "why": value.is_none().then(|| why(traced)),
        })
    });
    json!({
        "v": 1,
        "what": what,
        "record": record,
        "text": said(outcome),
        "read": outcome.read,
        "why_read": outcome.why_read.as_ref().map(ToString::to_string),
        "fields": traced.collect::<Vec<_>>(),
    })
}
