//! `orgbridge match`: which records of two orgs are the same, as a CSV for people to look through. Writes nothing into an org.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;

use super::ConfigFile;
use super::failed::no_formula;
use super::name::is_pipeline;
use super::output::PRIVATE;
use crate::bridge;
use crate::config::{Config, Fill, PipelineConfig};
use crate::event::{FieldName, PipelineName, RecordId, Value};
use crate::hydrate;
use crate::mapping::Mapping;
use crate::org::{CallError, Org};
use crate::past::matching::{Fingerprint, Matching, Verdict, plain};
use crate::past::pairs;
use crate::past::sides::{self, Becomes};
use crate::text::grouped;

/// Rows for one record of the source that has several in the target.
const ROWS_MAX: usize = 10;
/// Other fields that are shown, for telling records apart by eye, if the pipeline fills them; the first ones of these, else of
/// its own.
const TELLING: [&str; 8] = ["Name", "FirstName", "LastName", "Subject", "Email", "Phone", "BillingCity", "MailingCity"];
const TELLING_MAX: usize = 3;
/// Characters of a value of the target that are shown.
const SHOWN_MAX: usize = 80;
/// Between values of the target that are kept to be shown.
const BETWEEN: char = '\u{1f}';

/// Which records of two orgs are the same?
///
/// Compares records that exist in both orgs and are not linked yet, by fields of the target as the pipeline would fill them: text
/// without regard to case and to the space around it. An empty value is like no other. The result is a CSV to look through and to
/// correct; `orgbridge import links` takes it from there. Nothing is written into an org, and no bridge need run or stop.
#[derive(Debug, Args)]
pub struct Match {
    #[command(flatten)]
    file: ConfigFile,
    /// The pipeline
    pipeline: PipelineName,
    /// Fields of the target by which the records are compared, all of them together
    #[arg(long, value_name = "FIELD,…", required = true, value_delimiter = ',')]
    by: Vec<String>,
    /// The CSV file to make. If absent: match-PIPELINE.csv
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only records of the source that meet this condition (SOQL, as behind WHERE)
    #[arg(long = "where", value_name = "CONDITION")]
    condition: Option<String>,
}

/// What was found, in records of the source.
#[derive(Debug, Default)]
struct Counts {
    targets: u64,
    keyed: u64,
    sources: u64,
    left_out: u64,
    linked: u64,
    matches: u64,
    several: u64,
    other_key: u64,
    none: u64,
    unmappable: u64,
}

impl Match {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let config = crate::config::load(&self.file.config)?;
        is_pipeline(&config, &self.pipeline)?;
        let Some(pipeline) = config.pipelines.iter().find(|pipeline| pipeline.name == self.pipeline) else {
            bail!("the config has no pipeline {}", self.pipeline)
        };
        let by = by(pipeline, &self.by)?;
        let output = self.output.clone().unwrap_or_else(|| format!("match-{}.csv", self.pipeline).into());
        // Before the orgs are asked for an hour.
        let out = made(&output)?;
        match self.found(&config, pipeline, &by, &output, out).await {
            Ok(counts) => {
                print!("{}", said(&counts, &output));
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => {
                // There is nothing in it to look through.
                let _ = std::fs::remove_file(&output);
                Err(error)
            }
        }
    }

    async fn found(
        &self,
        config: &Config,
        pipeline: &PipelineConfig,
        by: &[FieldName],
        output: &Path,
        out: File,
    ) -> anyhow::Result<Counts> {
        let orgs = bridge::orgs(config)?;
        let org = |name| orgs.get(name).context("the config names no such org");
        let (source, target) = (org(&pipeline.from.org)?, org(&pipeline.to.org)?);
        let mapping = hydrate::typed(Mapping::new(pipeline, config), source, target).await?;
        let telling = telling(pipeline, by);
        let fields: Vec<FieldName> = by.iter().chain(&telling).cloned().collect();
        let mut counts = Counts::default();
        let mut matching = Matching::default();
        let mut after = None;
        loop {
            let (rows, next) = sides::targets(target, &mapping, &fields, after).await?;
            for row in &rows {
                let (own, others) = row.values.split_at(by.len());
                let shown: Vec<String> = others.iter().map(|value| short(&plain(value))).collect();
                matching.target(row.id, row.key.as_deref(), own, shown.join(&BETWEEN.to_string()));
                counts.targets += 1;
                counts.keyed += u64::from(row.key.is_some());
            }
            shown_so_far(counts.targets, "target")?;
            after = next;
            if after.is_none() {
                break;
            }
        }
        matching.targets_told();
        let draft = Draft::new(output)?;
        self.draft((source, target), &mapping, (&fields, by.len()), &mut matching, &mut counts, &draft).await?;
        matching.sources_told();
        written(&matching, &draft, out, by, &telling, &mut counts)?;
        Ok(counts)
    }

    /// Notes each record of the source that is not linked, for what it has in the target is known only when all are read.
    async fn draft(
        &self,
        (source, target): (&Org, &Org),
        mapping: &Mapping,
        (fields, by): (&[FieldName], usize),
        matching: &mut Matching,
        counts: &mut Counts,
        draft: &Draft,
    ) -> anyhow::Result<()> {
        let mut sheet = csv::Writer::from_writer(BufWriter::new(draft.file()?));
        let mut after = None;
        loop {
            let condition = self.condition.as_deref();
            let (page, next) =
                sides::sources((source, target), mapping, condition, fields, after).await.map_err(told)?;
            for (id, becomes) in page {
                counts.sources += 1;
                let (why, values) = match becomes {
                    Becomes::LeftOut => {
                        counts.left_out += 1;
                        continue;
                    }
                    Becomes::Written { key, .. } if matching.is_linked(&key) => {
                        counts.linked += 1;
                        continue;
                    }
                    Becomes::Written { values, .. } => {
                        matching.source(Fingerprint::of(&values[..by]));
                        (String::new(), values)
                    }
                    Becomes::Unmappable(code) => (code.to_owned(), vec![Value::Null; fields.len()]),
                };
                let values = values.iter().map(|value| serde_json::Value::from(value.clone()).to_string());
                sheet.write_record([id.to_string(), why].into_iter().chain(values)).map_err(io::Error::from)?;
            }
            shown_so_far(counts.sources, "source")?;
            after = next;
            if after.is_none() {
                sheet.flush()?;
                return Ok(());
            }
        }
    }
}

/// Where somebody watches: a million records take a while.
fn shown_so_far(records: u64, side: &str) -> io::Result<()> {
    let mut out = io::stderr();
    if out.is_terminal() {
        write!(out, "\r\x1b[K{} records of the {side} read\r", grouped(records))?;
        out.flush()?;
    }
    Ok(())
}

/// The fields to compare by, as the pipeline has them.
fn by(pipeline: &PipelineConfig, asked: &[String]) -> anyhow::Result<Vec<FieldName>> {
    let may = |(name, rule): &&(FieldName, crate::config::FieldRule)| {
        *name != pipeline.to.key && !matches!(rule.fill, Fill::Parent { .. } | Fill::Constant(_))
    };
    let fields: Vec<&FieldName> = pipeline.fields.iter().filter(may).map(|(name, _)| name).collect();
    let mut found: Vec<FieldName> = Vec::new();
    for name in asked.iter().map(|name| name.trim()) {
        match fields.iter().find(|field| field.as_str().eq_ignore_ascii_case(name)) {
            Some(field) if found.contains(field) => {}
            Some(field) => found.push((*field).clone()),
            None => {
                let all: Vec<&str> = fields.iter().map(|field| field.as_str()).collect();
                bail!(
                    "--by {name}: the pipeline {} fills no such field of {} with a value to compare by. It fills: {}",
                    pipeline.name,
                    pipeline.to.object,
                    all.join(", ")
                )
            }
        }
    }
    Ok(found)
}

/// Further fields that both sides have, for people.
fn telling(pipeline: &PipelineConfig, by: &[FieldName]) -> Vec<FieldName> {
    let tells = |(name, rule): &&(FieldName, crate::config::FieldRule)| {
        let fits = matches!(rule.fill, Fill::Source(_) | Fill::Table { .. } | Fill::Expression(_));
        fits && *name != pipeline.to.key && !by.contains(name)
    };
    let all: Vec<&FieldName> = pipeline.fields.iter().filter(tells).map(|(name, _)| name).collect();
    let first = TELLING.iter().filter_map(|name| all.iter().find(|field| field.as_str() == *name));
    let mut seen = HashSet::new();
    first.chain(&all).filter(|field| seen.insert(**field)).take(TELLING_MAX).map(|field| (*field).clone()).collect()
}

fn short(text: &str) -> String {
    text.chars().filter(|c| *c != BETWEEN).take(SHOWN_MAX).collect()
}

/// A new file for its owner alone.
fn made(path: &Path) -> anyhow::Result<File> {
    match OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            bail!(
                "{} is there already, and may have been looked through: name another one with --output",
                path.display()
            )
        }
        made => made.with_context(|| path.display().to_string()),
    }
}

/// A condition that the org does not understand is told in the org's words.
fn told(error: CallError) -> anyhow::Error {
    match error.org_text() {
        Some(text) => anyhow::anyhow!("{error}: {}", text.reveal()),
        None => error.into(),
    }
}

/// What is noted on the way. It goes with this.
struct Draft(PathBuf);

impl Draft {
    fn new(output: &Path) -> anyhow::Result<Self> {
        let mut name = output.as_os_str().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let draft = Self(name.into());
        made(&draft.0)?;
        Ok(draft)
    }

    fn file(&self) -> io::Result<File> {
        OpenOptions::new().write(true).open(&self.0)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The file for people.
fn written(
    matching: &Matching,
    draft: &Draft,
    out: File,
    by: &[FieldName],
    telling: &[FieldName],
    counts: &mut Counts,
) -> anyhow::Result<()> {
    let mut sheet = csv::Writer::from_writer(BufWriter::new(out));
    let head = ["source", "target", "result", "candidates", "why"].map(str::to_owned).into_iter();
    let head = head.chain(by.iter().map(ToString::to_string));
    let both = telling.iter().flat_map(|field| [format!("{field} (source)"), format!("{field} (target)")]);
    sheet.write_record(head.chain(both)).map_err(io::Error::from)?;
    let mut rows = csv::ReaderBuilder::new().has_headers(false).from_reader(BufReader::new(File::open(&draft.0)?));
    for row in rows.records() {
        let row = row.map_err(io::Error::from)?;
        let cell = |at: usize| row.get(at).unwrap_or_default();
        let values: Vec<Value> = row
            .iter()
            .skip(2)
            .map(|value| serde_json::from_str::<serde_json::Value>(value).map(Value::from))
            .collect::<Result<_, _>>()?;
        let fingerprint = Fingerprint::of(&values[..by.len()]);
        let verdict = if cell(1).is_empty() { matching.verdict(fingerprint) } else { Verdict::None };
        let (result, there, why) = match &verdict {
            Verdict::Match(there) => {
                counts.matches += 1;
                (pairs::MATCH, vec![*there], String::new())
            }
            Verdict::Several { there, claims } => {
                counts.several += 1;
                let claimed = match claims {
                    0 | 1 => "the target has several such records".to_owned(),
                    _ => format!("{claims} records of the source are like it"),
                };
                ("several", there.clone(), claimed)
            }
            Verdict::OtherKey(there) => {
                counts.other_key += 1;
                ("other_key", there.clone(), "it has the key of another record".to_owned())
            }
            Verdict::None if !cell(1).is_empty() => {
                counts.unmappable += 1;
                ("none", Vec::new(), format!("it cannot be written as it is mapped: {}", cell(1)))
            }
            Verdict::None => {
                counts.none += 1;
                let why = if fingerprint.is_none() { "a value to compare by is empty" } else { "the target has none" };
                ("none", Vec::new(), why.to_owned())
            }
        };
        let candidates = there.len().to_string();
        let mut line = |target: Option<RecordId>, shown: &str| {
            let target = target.map(|target| target.to_string()).unwrap_or_default();
            let mut cells = vec![cell(0).to_owned(), target, result.to_owned(), candidates.clone(), why.clone()];
            cells.extend(values.iter().take(by.len()).map(|value| no_formula(&plain(value))));
            let mut shown = shown.split(BETWEEN);
            for value in values.iter().skip(by.len()) {
                cells.push(no_formula(&plain(value)));
                cells.push(no_formula(shown.next().unwrap_or_default()));
            }
            sheet.write_record(cells).map_err(io::Error::from)
        };
        if there.is_empty() {
            line(None, "")?;
        }
        for there in there.iter().take(ROWS_MAX) {
            line(Some(there.id), &there.shown)?;
        }
    }
    sheet.flush()?;
    Ok(())
}

fn said(counts: &Counts, output: &Path) -> String {
    let lines = [
        (counts.matches, "match: alone on both sides"),
        (counts.several, "several: more than one on a side; choose, and write `match` into its row"),
        (counts.other_key, "other_key: what is like it has the key of another record"),
        (counts.none, "none: nothing in the target is like it"),
        (counts.unmappable, "none: it cannot be written as it is mapped"),
        (counts.linked, "linked already, by its key in the target (not in the file)"),
        (counts.left_out, "left out by the pipeline's condition (not in the file)"),
    ];
    let (sources, targets, keyed) = (grouped(counts.sources), grouped(counts.targets), grouped(counts.keyed));
    let mut text = format!("{sources} records of the source, {targets} of the target, {keyed} of those with a key:\n");
    for (count, what) in lines.iter().filter(|(count, _)| *count > 0) {
        text.push_str(&format!("  {:>9}  {what}\n", grouped(*count)));
    }
    text.push_str(&format!("Look through {}. Then: orgbridge import links {}\n", output.display(), output.display()));
    text
}
