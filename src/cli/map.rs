//! `orgbridge map`: what a pipeline would make of a change or a record, field by field. Writes nothing anywhere.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;

use super::{ConfigFile, table};
use crate::bridge;
use crate::config::{self, ActionConfig, Config};
use crate::event::Found;
use crate::event::{ChangeKind, FieldName, PipelineName, RecordId, Value};
use crate::hydrate;
use crate::mapping::{Gave, Inputs, Mapping, Replies, Traced};
use crate::org::Org;
use crate::rehearse::actions::act;
use crate::rehearse::input::NotUsable;
use crate::rehearse::{Outcome, Scene, What, cases, input, rehearse, some_counterpart};

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
        let names = || {
            let pipelines = config.pipelines.iter().map(|pipeline| &pipeline.name);
            let all = pipelines.chain(config.actions.iter().map(|action| &action.name));
            all.map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        let only = config.pipelines.len() + config.actions.len() == 1;
        let action = match &self.pipeline {
            Some(name) => config.actions.iter().find(|action| action.name == *name),
            None => config.actions.first().filter(|_| only),
        };
        if let Some(action) = action {
            return self.action(action, &config);
        }
        let pipeline = match &self.pipeline {
            Some(name) => config.pipelines.iter().find(|pipeline| pipeline.name == *name),
            None if only => config.pipelines.first(),
            None => bail!("which pipeline? Say it with --pipeline: {}", names()),
        };
        let Some(pipeline) = pipeline else { bail!("the config has no such pipeline; it has {}", names()) };
        let mut mapping = Mapping::new(pipeline, &config);
        let orgs = if self.record.is_some() { bridge::orgs(&config)? } else { BTreeMap::new() };
        let mut scenes = match self.record {
            Some(id) => {
                let Some(source) = orgs.get(&pipeline.from.org) else { bail!("the config names no such org") };
                if let Some(target) = orgs.get(&pipeline.to.org) {
                    match hydrate::typed(mapping.clone(), source, target).await {
                        Ok(typed) => mapping = typed,
                        Err(error) => {
                            eprintln!("What the fields take is not known, so values are shown as they come: {error}")
                        }
                    }
                }
                let found = hydrate::records(source, &mapping, &[id]).await.with_context(|| {
                    let fields: Vec<String> = mapping.reads().iter().map(ToString::to_string).collect();
                    format!("org {}: no record could be read with the fields {}", pipeline.from.org, fields.join(", "))
                })?;
                match found.get(&id) {
                    Some(Found::Record(record)) => {
                        let both: Vec<&Org> = [&pipeline.from.org, &pipeline.to.org]
                            .into_iter()
                            .filter_map(|name| orgs.get(name))
                            .collect();
                        let replies = hydrate::ask(&both, &mapping, &[record], &Replies::new()).await;
                        let replies = replies.context("an org could not be asked for what a lookup leads to")?;
                        vec![Scene { record: Some(record.clone()), replies, ..Scene::default() }]
                    }
                    Some(Found::Deleted | Found::Merged { .. }) => bail!("{id} was deleted in {}", pipeline.from.org),
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
                input::scenes(&mapping, &text).with_context(|| match reading_as(&config, &mapping, &text) {
                    Some(others) => format!("{from}: it is for {others}"),
                    None => from,
                })?
            }
        };
        let mut failed = false;
        for scene in &mut scenes {
            scene.link = self.link.or_else(|| {
                let partial = scene.part.as_ref().is_some_and(|part| part.kind() == ChangeKind::Update);
                partial.then(some_counterpart).flatten()
            });
            let outcome = rehearse(&mapping, scene);
            failed |= matches!(outcome.what, What::Failed(_));
            if self.json {
                println!("{:#}", json(&outcome));
            } else {
                print!("{}", text(pipeline.name.as_str(), scene, &outcome));
            }
        }
        let uncut: Vec<&str> = mapping.uncut().map(FieldName::as_str).collect();
        if !uncut.is_empty() && !self.json {
            println!("Not cut here, for only the target org says how long they are: {}", uncut.join(", "));
        }
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    /// What an action would hand over.
    fn action(&self, action: &ActionConfig, config: &Config) -> anyhow::Result<ExitCode> {
        if self.record.is_some() || self.link.is_some() {
            bail!("{} is an action: give what triggers it as JSON, in a file or on standard input", action.name);
        }
        let inputs = Inputs::new(action, config);
        let text = self.text()?;
        let from = self.input.as_ref().map_or("standard input".to_owned(), |path| path.display().to_string());
        let triggers = input::triggers(&inputs, action.is_of_events(), &text).with_context(|| from)?;
        let mut failed = false;
        for trigger in triggers {
            let outcome = act(&action.does, &inputs, &trigger);
            failed |= matches!(outcome.what, What::Failed(_));
            if self.json {
                println!("{:#}", json(&outcome));
            } else {
                print!("{}: {}\n{}", action.name, said(&outcome), listed(&outcome));
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

/// The other pipelines that can read it, if it is an event of another object.
fn reading_as(config: &Config, mapping: &Mapping, text: &str) -> Option<String> {
    let Err(NotUsable::OtherObject { found, .. }) = input::scenes(mapping, text) else { return None };
    let others = config.pipelines.iter().filter(|pipeline| pipeline.from.object == found);
    let names: Vec<String> = others.map(|pipeline| format!("--pipeline {}", pipeline.name)).collect();
    (!names.is_empty()).then(|| names.join(" or "))
}

/// One field of the target, and what becomes of it.
struct Row<'o> {
    field: &'o FieldName,
    /// As the config has it, or what else fills it.
    rule: &'o str,
    /// What is written, or why nothing is.
    value: Result<&'o Value, String>,
    /// It is emptied for now, because its lookup leads nowhere yet: why.
    for_now: Option<String>,
}

/// In the order of the config.
fn rows(outcome: &Outcome) -> Vec<Row<'_>> {
    let fields = match &outcome.what {
        What::Upsert { fields, .. } | What::Update { fields, .. } | What::Call { inputs: fields, .. } => Some(fields),
        What::Delete { .. }
        | What::Skipped(_)
        | What::Failed(_)
        | What::NeedsRecord
        | What::NeedsAnswers(_)
        | What::Waits(_) => None,
    };
    // What is known already cannot be shown before all is.
    let asking = matches!(outcome.what, What::NeedsAnswers(_));
    let told = outcome.traced.iter().filter(|traced| !asking || matches!(traced.gave, Gave::Asks(_)));
    let traced = told.map(|traced| Row {
        field: &traced.field,
        rule: traced.rule.as_str(),
        value: fields.and_then(|fields| fields.get(&traced.field)).ok_or_else(|| why(traced)),
        for_now: matches!(traced.gave, Gave::Missing(_)).then(|| why(traced)),
    });
    // Of a record that is gone nothing is mapped, and the flag is all that is written.
    let written = fields.into_iter().flatten();
    let untraced = written.filter(|(field, _)| outcome.traced.iter().all(|traced| traced.field != **field));
    let rule = if matches!(outcome.what, What::Call { .. }) { "input" } else { "flag" };
    traced.chain(untraced.map(|(field, value)| Row { field, rule, value: Ok(value), for_now: None })).collect()
}

/// Why there is no value.
fn why(traced: &Traced) -> String {
    match &traced.gave {
        // The record does not match any more, and only the flag is set; or nothing is written at all.
        Gave::Something => "left as it is".to_owned(),
        Gave::Nothing(left) => left.to_string(),
        Gave::Unknown => "only the whole record can tell".to_owned(),
        Gave::Asks(ask) => format!("org {} must be asked: {} by {}", ask.of.org, ask.of.object, ask.of.by),
        Gave::Missing(failure) | Gave::Failed(failure) => format!("{}: {}", failure.code, failure.reason),
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
    if matches!(outcome.what, What::NeedsAnswers(_)) {
        text.push_str(&format!("  With the answers of the orgs: orgbridge map --record {record}\n"));
    }
    text.push_str(&listed(outcome));
    text
}

/// A line for each field.
fn listed(outcome: &Outcome) -> String {
    let mut text = String::new();
    // Where nothing is written no field has a story, but what is still to be asked.
    let told =
        matches!(outcome.what, What::Upsert { .. } | What::Update { .. } | What::Call { .. } | What::NeedsAnswers(_));
    if !told {
        return text;
    }
    let mut list = table::plain_list();
    for row in rows(outcome) {
        let shown = match (row.value, row.for_now) {
            (Ok(value), None) => cases::shown(value),
            (Ok(value), Some(why)) => format!("{} ({why})", cases::shown(value)),
            (Err(why), _) => format!("- ({why})"),
        };
        list.add_row([format!("  {}", row.field), shown, short(row.rule)]);
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
        (What::Update { object, record, .. }, _) if Some(*record) == some_counterpart() => {
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
        What::Update { record, .. } => (
            "update",
            Some(*record).filter(|record| some_counterpart() != Some(*record)).map(|record| record.to_string()),
        ),
        What::Call { .. } => ("call", None),
        What::Delete { record, .. } => ("delete", record.map(|record| record.to_string())),
        What::Skipped(_) => ("skip", None),
        What::Failed(_) => ("fail", None),
        What::NeedsRecord => ("needs_record", None),
        What::NeedsAnswers(_) => ("needs_answers", None),
        What::Waits(_) => ("wait", None),
    };
    let fields = rows(outcome).into_iter().map(|row| {
        json!({
            "field": row.field.as_str(),
            "rule": row.rule,
            "written": row.value.is_ok(),
            "value": row.value.as_ref().ok().copied().cloned().map(serde_json::Value::from),
            "why": row.value.err().or(row.for_now),
        })
    });
    json!({
        "v": 1,
        "what": what,
        "record": record,
        "text": said(outcome),
        "read": outcome.read,
        "why_read": outcome.why_read.as_ref().map(ToString::to_string),
        "fields": fields.collect::<Vec<_>>(),
    })
}
