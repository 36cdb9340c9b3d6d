//! The shape of a trace, and its words. The shape is a promise to scripts: names and meanings stay, new ones may come.

mod outlook;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value as Json;

use super::now::{Now, counterpart};
use super::{Deed, Journaled, Standing, Told};
use crate::config::{Config, OnDelete};
use crate::event::{FieldPath, OrgName, PipelineName, RecordId, Timestamp};
use crate::mapping::{Mapping, Skip};
use crate::store::{Through, What};
use outlook::outlook;

/// Everything that is known of a record.
#[derive(Debug, Clone, Serialize)]
pub struct Trace {
    /// As it was asked for, with 18 characters.
    pub record: String,
    pub links: Vec<Link>,
    /// In order.
    pub events: Vec<Event>,
    /// There is more, and older, than is told here.
    pub more: bool,
    /// Whether the orgs were asked how the records are now.
    pub asked: bool,
    /// Orgs that could not be asked, and why.
    pub silent: BTreeMap<String, String>,
    /// How things stand in each pipeline.
    pub outlook: Vec<Outlook>,
}

/// A record of a source and its counterpart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    pub source_org: String,
    pub source: String,
    pub target_org: String,
    pub target_object: String,
    pub target: String,
    /// Whether the bridge created the counterpart; null: not known.
    pub created: Option<bool>,
    /// They belong together no more.
    pub past: bool,
}

/// One thing that happened.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// By the clock of this machine.
    pub at: String,
    /// `change`: an event of the source; `target_change`: one of the target, or what it says now; else what the bridge did.
    pub kind: String,
    /// None of what an org did.
    pub pipeline: Option<String>,
    /// Where it happened.
    pub org: Option<String>,
    /// The record of that org, where it is known.
    pub record: Option<String>,
    /// The changes that it is about, by their numbers in the journal; null: none that is known.
    pub from: Option<u64>,
    pub to: Option<u64>,
    /// What the bridge did it for.
    pub through: Option<String>,
    pub fields: Vec<String>,
    pub code: Option<String>,
    /// Since when the same happened again and again.
    pub since: Option<String>,
    /// What came of a change of which nothing came.
    pub note: Option<String>,
    /// The same in words.
    pub text: String,
    /// The event as it is stored, with its values, where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<Json>,
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Event").field("at", &self.at).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// How a record stands in a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outlook {
    pub pipeline: String,
    /// `in_step`, `pending`, `suspect`, `waiting`, `failed`, `left_out`, `deleted`, `source_gone`, `target_gone`,
    /// `changed_in_target`, `not_written`.
    pub state: String,
    /// The same in a sentence.
    pub text: String,
}

/// What a config says that explains why nothing came of a change.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    /// The fields that are read, as events name them.
    reads: BTreeSet<String>,
    pub has_condition: bool,
    ignores_deletes: bool,
    /// What the bridge calls itself in the target.
    client: String,
}

impl Rules {
    /// Of each pipeline.
    fn of(config: &Config) -> BTreeMap<PipelineName, Self> {
        let rules = |line: &crate::config::PipelineConfig| {
            let reads = Mapping::new(line, config).reads().iter().map(FieldPath::top).map(str::to_owned).collect();
            let client = config.orgs.get(&line.to.org).map(|org| org.client_name.clone()).unwrap_or_default();
            let ignores_deletes = line.on_delete == OnDelete::Ignore;
            (line.name.clone(), Self { reads, has_condition: line.when.is_some(), ignores_deletes, client })
        };
        config.pipelines.iter().map(rules).collect()
    }

    /// Whether any of what changed is mapped, or is part of the condition.
    fn may_read(&self, entry: &Journaled) -> bool {
        entry.fields.iter().any(|field| self.reads.contains(field))
    }
}

impl Trace {
    /// All that is known, put in order. `since`: what is older is not told, but counts for how things stand.
    pub fn of(told: &Told, now: &Now, config: &Config, record: &str, since: Option<Timestamp>) -> Self {
        let rules = Rules::of(config);
        let mut events: Vec<(Timestamp, Event)> = Vec::new();
        events.extend(told.entries.iter().map(|entry| (entry.received, change(told, entry, &rules))));
        let mut reached: BTreeMap<(&PipelineName, RecordId), Timestamp> = BTreeMap::new();
        for deed in &told.deeds {
            // What came of a change is told behind it, and deeds in the order in which they were done.
            let last = reached.entry((&deed.pipeline, deed.record)).or_insert(deed.at);
            let about = told.entries.iter().filter(|entry| entry.record == deed.record && entry.seq <= deed.to);
            *last = about.map(|entry| entry.received).max().unwrap_or(deed.at).max(deed.at).max(*last);
            events.push((*last, done(told, deed)));
        }
        for line in &told.lines {
            events.extend(outlook::changed(told, line, now).map(|changed| (changed.behind, changed.event(line))));
        }
        // Stable: changes come before what was done at the same moment.
        events.sort_by_key(|(at, _)| *at);
        events.retain(|(at, _)| since.is_none_or(|since| *at >= since));
        let mut silent: BTreeMap<String, String> = BTreeMap::new();
        silent.extend(now.silent.iter().map(|(org, why)| (org.to_string(), why.clone())));
        Self {
            record: record.to_owned(),
            links: told.pairs.iter().map(Link::of).collect(),
            events: events.into_iter().map(|(_, event)| event).collect(),
            more: told.more,
            asked: now.asked,
            silent,
            outlook: told.lines.iter().map(|line| outlook(told, line, now, rules.get(&line.pipeline))).collect(),
        }
    }

    /// Nothing is known of the record.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty() && self.events.is_empty() && self.outlook.is_empty()
    }
}

impl Link {
    fn of(pair: &super::Pair) -> Self {
        Self {
            source_org: pair.source_org.to_string(),
            source: pair.source.to_string(),
            target_org: pair.target_org.to_string(),
            target_object: pair.target_object.to_string(),
            target: pair.target.to_string(),
            created: pair.created,
            past: pair.past,
        }
    }
}

/// `change 3`, `changes 3 to 7`. A read stands for all up to where the journal was then, so only those of the record itself are
/// named; of events that the journal has no more their numbers are.
fn numbers(told: &Told, deed: &Deed) -> Option<String> {
    let is_own = |entry: &&Journaled| entry.record == deed.record && deed.from <= entry.seq && entry.seq <= deed.to;
    let own: Vec<u64> = told.entries.iter().filter(is_own).map(|entry| entry.seq).collect();
    let (from, to) = match (own.first(), own.last()) {
        _ if deed.from == 0 => return None,
        (Some(from), Some(to)) => (*from, *to),
        _ if deed.through == Through::Events.as_str() => (deed.from, deed.to),
        _ => return None,
    };
    Some(if from == to { format!("change {to}") } else { format!("changes {from} to {to}") })
}

fn listed(what: String, fields: &[String]) -> String {
    if fields.is_empty() { what } else { format!("{what}: {}", fields.join(", ")) }
}

fn is_source(told: &Told, entry: &Journaled) -> bool {
    told.lines.iter().any(|line| line.source_org == entry.org && line.record == entry.record)
}

/// An entry of the journal.
fn change(told: &Told, entry: &Journaled, rules: &BTreeMap<PipelineName, Rules>) -> Event {
    let org = &entry.org;
    let what = match entry.kind.as_deref() {
        Some("CREATE") => format!("created in {org}"),
        Some("UPDATE") => format!("changed in {org}"),
        Some("DELETE") => format!("deleted in {org}"),
        Some("UNDELETE") => format!("taken out of the recycle bin in {org}"),
        Some(kind) => format!("something happened in {org} of which the event tells no values ({kind})"),
        None => format!("named by an event of {org}"),
    };
    let client = entry.origin.as_deref().and_then(|origin| origin.rsplit_once("client=")).map(|(_, client)| client);
    let by_bridge = told.lines.iter().any(|line| {
        line.target_org == entry.org
            && rules.get(&line.pipeline).is_some_and(|rules| client == Some(rules.client.as_str()))
    });
    let by = match (&entry.user, by_bridge) {
        (_, true) => ", by the bridge".to_owned(),
        (Some(user), false) => format!(", by user {user}"),
        (None, false) => String::new(),
    };
    let note = note(told, entry, rules);
    // Every change has these.
    let is_stamp =
        |field: &&String| ["LastModifiedDate", "LastModifiedById", "SystemModstamp"].contains(&field.as_str());
    let fields: Vec<String> = entry.fields.iter().filter(|field| !is_stamp(field)).cloned().collect();
    let text = format!("{} (change {}{by})", listed(what, &fields), entry.seq);
    Event {
        at: entry.received.to_string(),
        kind: if is_source(told, entry) { "change" } else { "target_change" }.to_owned(),
        pipeline: None,
        org: Some(org.to_string()),
        record: Some(entry.record.to_string()),
        from: Some(entry.seq),
        to: Some(entry.seq),
        through: None,
        fields: entry.fields.clone(),
        code: None,
        since: None,
        text: note.as_ref().map_or_else(|| text.clone(), |note| format!("{text}; {note}")),
        note,
        event: entry.event.clone(),
    }
}

/// The pipelines that read an entry.
fn readers<'a>(told: &'a Told, entry: &'a Journaled) -> impl Iterator<Item = &'a Standing> {
    told.lines.iter().filter(|line| {
        line.source_org == entry.org
            && line.record == entry.record
            && entry.object.as_ref().is_none_or(|object| *object == line.source_object)
    })
}

/// Why nothing came of a change, as the config now says, where no row tells what did.
fn note(told: &Told, entry: &Journaled, rules: &BTreeMap<PipelineName, Rules>) -> Option<String> {
    let mut notes = Vec::new();
    let lines: Vec<&Standing> = readers(told, entry).collect();
    for line in &lines {
        if told.deeds.iter().any(|deed| is_about(deed, line, entry)) {
            continue;
        }
        let rules = rules.get(&line.pipeline);
        let said = if is_pending(told, line, entry, rules) {
            "it is not written yet"
        } else {
            let Some(rules) = rules else { continue };
            match entry.kind.as_deref() {
                Some("UPDATE") if !rules.may_read(entry) => "nothing that is mapped changed",
                Some("DELETE" | "GAP_DELETE") if rules.ignores_deletes => "deletes are ignored (on_delete: ignore)",
                _ if rules.has_condition && counterpart(told, line).is_none() => "left out by the condition (`when`)",
                _ => continue,
            }
        };
        notes.push(if lines.len() > 1 { format!("{}: {said}", line.pipeline) } else { said.to_owned() });
    }
    (!notes.is_empty()).then(|| notes.join("; "))
}

/// A change of a record with which its pipeline is not done. What holds the watermark may be another record.
fn is_pending(told: &Told, line: &Standing, entry: &Journaled, rules: Option<&Rules>) -> bool {
    let is_done = |deed: &Deed| {
        is_about(deed, line, entry) && deed.what.parse().is_ok_and(|what: What| what.is_write() || what.repeats())
    };
    entry.seq > line.watermark
        && line.applied.is_none_or(|applied| entry.seq > applied)
        && (entry.kind.as_deref() != Some("UPDATE") || rules.is_none_or(|rules| rules.may_read(entry)))
        && !told.deeds.iter().any(is_done)
}

/// Whether it was done for a record in its pipeline, with this change or one beside it.
fn is_about(deed: &Deed, line: &Standing, entry: &Journaled) -> bool {
    deed.pipeline == line.pipeline && deed.record == line.record && (deed.from..=deed.to).contains(&entry.seq)
}

/// A row of history.
fn done(told: &Told, deed: &Deed) -> Event {
    let line = told.lines.iter().find(|line| line.pipeline == deed.pipeline && line.record == deed.record);
    let (org, object) = line
        .map_or((String::new(), String::new()), |line| (line.target_org.to_string(), line.target_object.to_string()));
    let target = deed.target.map_or_else(|| "its counterpart".to_owned(), |target| target.to_string());
    let code = deed.code.as_deref().unwrap_or_default();
    let on = if deed.fields.is_empty() { String::new() } else { format!(" on {}", deed.fields.join(", ")) };
    let text = match deed.what.parse::<What>() {
        Ok(What::Created) => listed(format!("created in {org} as {object} {target}"), &deed.fields),
        Ok(What::Matched) => listed(format!("found in {org} by its key as {target} and written there"), &deed.fields),
        Ok(What::Saved) => listed(format!("written in {org} by its key as {target}"), &deed.fields),
        Ok(What::Updated) => listed(format!("written to {target} in {org}"), &deed.fields),
        Ok(What::Flagged) => listed(format!("flagged in {org} ({target})"), &deed.fields),
        Ok(What::Deleted) => format!("{target} was deleted in {org}"),
        Ok(What::Equal) => format!("{target} in {org} was found equal"),
        Ok(What::LeftOut) => format!("left out: {}", skip(code)),
        Ok(What::Kept) => format!("{target} was not deleted in {org}: the bridge is not known to have created it"),
        Ok(What::NothingThere) => format!("nothing was found in {org} that would have to go"),
        Ok(What::Gone) => format!("{target} was gone from {org}, so the record is made anew"),
        Ok(What::LeftGone) => format!("{target} was gone from {org}, and is left so"),
        Ok(What::Linked) if deed.through == Through::Import.as_str() => {
            format!("somebody named {target} in {org} as its counterpart")
        }
        Ok(What::Linked) => format!("{target} was found in {org} by its key"),
        Ok(What::Waiting) => match deed.waits_for {
            Some(parent) => format!("waits for {parent}: {code}{on}"),
            None => format!("waits: {code}{on}"),
        },
        Ok(What::Failed) => format!("failed: {code}{on}"),
        Ok(What::AnswerLost) => format!("the answer of {org} was lost, so it is written again"),
        Ok(What::Redriven) => "somebody wanted it tried again".to_owned(),
        Ok(What::Healed) => format!("it had failed ({code}) and does not any more"),
        Ok(What::Discarded) => "somebody gave up what had failed or waited".to_owned(),
        // Told by a bridge of a newer release.
        Err(()) => listed(deed.what.clone(), &deed.fields),
    };
    let through = match deed.through.parse::<Through>() {
        Ok(Through::Read) => Some("read whole"),
        Ok(Through::Retry) => Some("another try"),
        Ok(Through::Redrive) => Some("tried again by hand"),
        Ok(Through::LostAnswer) => Some("once more after a lost answer"),
        Ok(Through::Backfill) => Some("by a backfill"),
        Ok(Through::Repair) => Some("by a repair"),
        Ok(Through::Reapply) => Some("because it was reapplied"),
        Ok(Through::Import) => Some("by an import of links"),
        Ok(Through::Verify) => Some("because the two sides differed"),
        Ok(Through::Events | Through::Hand) | Err(()) => None,
    };
    let since = deed.since.map(|since| format!("since {since}"));
    let more: Vec<String> = [through.map(str::to_owned), numbers(told, deed), since].into_iter().flatten().collect();
    let number = |seq| (seq > 0).then_some(seq);
    Event {
        at: deed.at.to_string(),
        kind: deed.what.clone(),
        pipeline: Some(deed.pipeline.to_string()),
        org: line.map(|line| line.target_org.to_string()),
        record: deed.target.map(|target| target.to_string()),
        from: number(deed.from),
        to: number(deed.to),
        through: Some(deed.through.clone()),
        fields: deed.fields.clone(),
        code: deed.code.clone(),
        since: deed.since.map(|since| since.to_string()),
        note: None,
        text: if more.is_empty() { text } else { format!("{text} ({})", more.join(", ")) },
        event: None,
    }
}

/// The words for why something was left out.
fn skip(code: &str) -> String {
    let known = Skip::ALL.into_iter().find(|skip| skip.code() == code);
    known.map_or_else(|| code.to_owned(), |skip| skip.to_string())
}

/// What the target itself says of a change that the bridge did not make.
pub(super) struct Changed {
    pub at: Timestamp,
    /// What was done until then stands before it: its stamp may be of a moment ago.
    pub behind: Timestamp,
    pub text: String,
}

impl Changed {
    fn event(&self, line: &Standing) -> Event {
        Event {
            at: self.at.to_string(),
            kind: "target_change".to_owned(),
            pipeline: Some(line.pipeline.to_string()),
            org: Some(line.target_org.to_string()),
            record: line.target.map(|target| target.to_string()),
            from: None,
            to: None,
            through: None,
            fields: Vec::new(),
            code: None,
            since: None,
            note: None,
            text: self.text.clone(),
            event: None,
        }
    }
}

/// The org's name, for those that were not asked.
pub(super) fn could_not(now: &Now, org: &OrgName) -> Option<String> {
    now.silent.get(org).map(|why| format!("{org} could not be asked: {why}"))
}

#[cfg(test)]
pub(crate) mod tests;
