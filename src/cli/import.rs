//! `orgbridge import`: pairs of records that somebody named are linked.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};

use super::backfill::automation;
use super::confirm::confirmed;
use super::failed::no_formula;
use super::job::{code, followed};
use super::name::is_pipeline;
use super::output::PRIVATE;
use super::{ConfigFile, run, status};
use crate::bridge;
use crate::config::{Config, PipelineConfig};
use crate::control::{self, PAIRS_MAX};
use crate::event::{OrgName, PipelineName, RecordId};
use crate::hydrate;
use crate::mapping::Mapping;
use crate::org::Org;
use crate::past::import;
use crate::past::pairs::{self, Pair, Pairs, Rejected};
use crate::status::report::Job;
use crate::store::{Listed, NotLinked, Sqlite};
use crate::text::counted;

/// Some of the file was not taken.
const SOME: u8 = 2;
/// Nothing was done.
const NOTHING: u8 = 3;
/// Lines that are shown, of those that are not taken.
const SHOWN_MAX: usize = 20;

#[derive(Debug, Args)]
pub struct Import {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Link records of the source with records that the target has already
    Links(Links),
    /// The pairs that the last import of a pipeline could not link
    Result {
        #[command(flatten)]
        file: ConfigFile,
        /// The pipeline
        pipeline: PipelineName,
    },
}

/// Link records of the source with records that the target has already.
///
/// The file is that of `orgbridge match`, after somebody looked it through: its rows with the result `match` are taken. Or any CSV
/// with the columns `source` and `target`. Each pair is checked in both orgs first. Then the two are linked, and the record of the
/// target is given the key; its other fields are written with the next change, or by `orgbridge backfill`.
///
/// It works with a bridge that runs, and where none does it runs one, with all its pipelines, until the import is done.
#[derive(Debug, Args)]
struct Links {
    #[command(flatten)]
    config: ConfigFile,
    /// The CSV file
    file: PathBuf,
    /// The pipeline; may be left out where there is only one
    #[arg(short, long)]
    pipeline: Option<PipelineName>,
    /// Check the pairs only
    #[arg(long)]
    dry_run: bool,
    /// With a bridge that runs: do not wait until it is done
    #[arg(long, conflicts_with = "dry_run")]
    detach: bool,
    /// Neither list the target's automation nor ask
    #[arg(long)]
    yes: bool,
}

impl Import {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            What::Links(links) => links.run().await,
            What::Result { file, pipeline } => {
                let config = crate::config::load(&file.config)?;
                is_pipeline(&config, &pipeline)?;
                let not_linked = match told(&config, &pipeline).await? {
                    Some(not_linked) => not_linked,
                    None => noted(&super::owned(&config)?, &pipeline).await?,
                };
                for NotLinked { record, target, why } in &not_linked {
                    println!("{record} and {target}: {why}");
                }
                if not_linked.is_empty() {
                    println!("No pair of the last import of {pipeline} was left unlinked.");
                    return Ok(ExitCode::SUCCESS);
                }
                Ok(ExitCode::from(SOME))
            }
        }
    }
}

impl Links {
    /// Exit code 0: all is linked; 1: failed; 2: all but some lines, which are named; 3: nothing was done.
    async fn run(self) -> anyhow::Result<ExitCode> {
        let config = crate::config::load(&self.config.config)?;
        let pipeline = self.pipeline(&config)?;
        let name = &pipeline.name;
        let file = File::open(&self.file).with_context(|| self.file.display().to_string())?;
        let Pairs { pairs, rejected: mut misfits, others } =
            pairs::read(file).with_context(|| self.file.display().to_string())?;
        if others > 0 {
            println!("{} with another result than `match`: not taken.", counted(others, "row"));
        }
        let orgs = bridge::orgs(&config)?;
        let org = |name| orgs.get(name).context("the config names no such org");
        let (source, target) = (org(&pipeline.from.org)?, org(&pipeline.to.org)?);
        let mapping = hydrate::typed(Mapping::new(pipeline, &config), source, target).await?;
        let (pairs, unfit) = import::check(source, target, &mapping, pairs).await?;
        misfits.extend(unfit);
        let mut rejected = Vec::new();
        self.tell(misfits, &mut rejected)?;
        let fit = counted(pairs.len() as u64, "pair");
        if self.dry_run {
            println!("{fit} can be linked. Nothing was done.");
            return Ok(if rejected.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(SOME) });
        }
        if pairs.is_empty() {
            println!("No pair can be linked.");
            return Ok(ExitCode::from(NOTHING));
        }
        if !self.yes {
            println!("{}", automation(&config, std::slice::from_ref(name)).await?);
            println!("{fit} would be linked, and {} written into those that have none yet.", pipeline.to.key);
            if !confirmed("Link?")? {
                println!("Nothing was done.");
                return Ok(ExitCode::from(NOTHING));
            }
        }
        let Some((ended, not_linked)) = self.linked((&config, &orgs), name, &pairs).await? else {
            return Ok(ExitCode::SUCCESS);
        };
        let lines: HashMap<RecordId, &Pair> = pairs.iter().map(|pair| (pair.record, pair)).collect();
        let parted = not_linked.iter().filter_map(|one| Some(lines.get(&one.record)?.rejected(one.why.as_str())));
        self.tell(parted.collect(), &mut rejected)?;
        let linked = pairs.len().saturating_sub(not_linked.len());
        println!(
            "{} linked. Only the key was written: what else differs is written with the next change of a record, or by \
             `orgbridge backfill {name}`.",
            counted(linked as u64, "pair")
        );
        let all_well = ended.iter().all(|job| job.state == "done");
        Ok(if all_well && !rejected.is_empty() { ExitCode::from(SOME) } else { code(&ended) })
    }

    fn pipeline<'c>(&self, config: &'c Config) -> anyhow::Result<&'c PipelineConfig> {
        if let Some(name) = &self.pipeline {
            is_pipeline(config, name)?;
        }
        let named = |pipeline: &&PipelineConfig| self.pipeline.as_ref().is_none_or(|name| pipeline.name == *name);
        match config.pipelines.iter().filter(named).collect::<Vec<_>>().as_slice() {
            [one] => Ok(one),
            several => {
                let names: Vec<&str> = several.iter().map(|pipeline| pipeline.name.as_str()).collect();
                bail!("which pipeline? Say it with --pipeline: {}", names.join(", "))
            }
        }
    }

    /// Shows lines that are not taken, and writes them, with those of before, into a file beside that which was given.
    fn tell(&self, mut misfits: Vec<Rejected>, rejected: &mut Vec<Rejected>) -> anyhow::Result<()> {
        if misfits.is_empty() {
            return Ok(());
        }
        misfits.sort_by_key(|misfit| misfit.line);
        for Rejected { line, record, target, why } in misfits.iter().take(SHOWN_MAX) {
            println!("line {line}: {record} and {target}: {why}");
        }
        if misfits.len() > SHOWN_MAX {
            println!("and {} more", misfits.len() - SHOWN_MAX);
        }
        rejected.append(&mut misfits);
        rejected.sort_by_key(|misfit| misfit.line);
        let path = self.file.with_extension("rejected.csv");
        written(&path, rejected).with_context(|| path.display().to_string())?;
        println!("{} not taken: all are in {}.", counted(rejected.len() as u64, "line"), path.display());
        Ok(())
    }

    /// Links them. None: a bridge does it, and nobody waits.
    async fn linked(
        &self,
        (config, orgs): (&Config, &BTreeMap<OrgName, Org>),
        name: &PipelineName,
        pairs: &[Pair],
    ) -> anyhow::Result<Option<(Vec<Job>, Vec<NotLinked>)>> {
        let mut list = None;
        for page in pairs.chunks(PAIRS_MAX) {
            let page = page.iter().map(|pair| (pair.record, pair.target)).collect();
            list = control::add_to_list(&config.state, list, page).await?;
            if list.is_none() {
                break;
            }
        }
        if let Some(list) = list {
            let Some(number) = control::import(&config.state, name, list, pairs.len() as u64).await? else {
                bail!(STOPPED)
            };
            if self.detach {
                println!(
                    "It goes on in the bridge that runs: orgbridge status, and then orgbridge import result {name}"
                );
                return Ok(None);
            }
            let report = async || status::of_bridge(config, "the import goes on where it was").await;
            let ended = followed(&[number], report).await?;
            let not_linked = told(config, name).await?.context(STOPPED)?;
            return Ok(Some((ended, not_linked)));
        }
        if self.detach {
            bail!("no bridge runs that could do it: leave out --detach, or start one with `orgbridge run`");
        }
        let number = {
            let store = Sqlite::open(&config.state)?;
            let pairs: Vec<Listed> =
                pairs.iter().map(|pair| Listed { record: pair.record, target: Some(pair.target) }).collect();
            bridge::import_alone((config, orgs), &store, name, &pairs).await?.map_err(anyhow::Error::msg)?
        };
        // The bridge opens the state itself. From its first moment on the pairs are linked.
        let ended = run::bridge_with(config, async |store, _| {
            let gathered = async || status::of_store(&store, config).await;
            Ok((followed(&[number], gathered).await?, noted(&store, name).await?))
        });
        ended
            .await?
            .context("stopped; an import that has begun goes on where it was when a bridge runs again")
            .map(Some)
    }
}

const STOPPED: &str = "the bridge has stopped; an import that has begun goes on where it was when one runs again";

/// What the running bridge tells of pairs that were not linked. None: none runs.
async fn told(config: &Config, name: &PipelineName) -> anyhow::Result<Option<Vec<NotLinked>>> {
    let mut all: Vec<NotLinked> = Vec::new();
    loop {
        let after = all.last().map(|last| last.record);
        let Some(page) = control::not_linked(&config.state, name, after).await? else { return Ok(None) };
        let more = page.len() >= PAIRS_MAX;
        all.extend(page);
        if !more {
            return Ok(Some(all));
        }
    }
}

/// The same of a state that is ours.
async fn noted(store: &Sqlite, name: &PipelineName) -> anyhow::Result<Vec<NotLinked>> {
    Ok(import::not_linked(store, name, None, usize::MAX).await?)
}

fn written(path: &Path, rejected: &[Rejected]) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(PRIVATE).open(path)?;
    let mut sheet = csv::Writer::from_writer(BufWriter::new(file));
    sheet.write_record(["line", "source", "target", "why"])?;
    for Rejected { line, record, target, why } in rejected {
        sheet.write_record([&line.to_string(), &no_formula(record), &no_formula(target), why])?;
    }
    sheet.flush()
}
