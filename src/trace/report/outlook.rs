//! How things stand, in one sentence.

use super::{Changed, Outlook, Rules, could_not, is_pending, readers, skip};
use crate::event::Timestamp;
use crate::mapping::Skip;
use crate::pipeline::NOT_VISIBLE;
use crate::store::{PIPELINE_HALTED, What};
use crate::trace::now::{Now, Seen, There, counterpart};
use crate::trace::{Deed, Parked, Standing, Told};

/// Orgs stamp whole seconds, and clocks are compared by answers that took some time.
const ABOUT: i64 = 2_000;
/// How much later than the last write that is known here a change by the bridge's own user must be, to be somebody else's.
const LATER: i64 = 60_000;

pub(super) fn outlook(told: &Told, line: &Standing, now: &Now, rules: Option<&Rules>) -> Outlook {
    let (state, mut text) = judged(told, line, now, rules);
    for org in [&line.source_org, &line.target_org] {
        if let Some(why) = could_not(now, org) {
            text = format!("{text} ({why})");
        }
    }
    Outlook { pipeline: line.pipeline.to_string(), state: state.to_owned(), text }
}

fn judged(told: &Told, line: &Standing, now: &Now, rules: Option<&Rules>) -> (&'static str, String) {
    if let Some(parked) = &line.parked {
        return of_parked(line, parked);
    }
    let pending = told
        .entries
        .iter()
        .rev()
        .find(|entry| readers(told, entry).any(|own| own == line) && is_pending(told, line, entry, rules));
    if let Some(entry) = pending {
        let halted = line.halted.as_ref().map(|why| format!(": its pipeline is halted ({why})")).unwrap_or_default();
        return ("pending", format!("change {} is not written yet{halted}", entry.seq));
    }
    if line.suspect {
        let text = "a write is on its way to {}, or its answer was lost; it is looked after once more";
        return ("suspect", text.replace("{}", line.target_org.as_str()));
    }
    let (state, text) = settled(told, line, now, rules);
    match changed(told, line, now) {
        Some(changed) if state == "in_step" => ("changed_in_target", changed.text),
        Some(changed) => (state, format!("{text}; {}", changed.text)),
        None => (state, text),
    }
}

fn of_parked(line: &Standing, parked: &Parked) -> (&'static str, String) {
    let on = if parked.fields.is_empty() { String::new() } else { format!(" on {}", parked.fields.join(", ")) };
    let since = format!("since {}", parked.first_at);
    let again = if parked.redrive_at.is_some() { "; it is to be tried again" } else { "" };
    if !parked.waits {
        let tries = crate::text::counted(u64::from(parked.attempts), "attempt");
        let show = format!("`orgbridge failed show {}` tells what to do", line.record);
        return ("failed", format!("failed: {}{on}, {since}, {tries}{again}. {show}", parked.code));
    }
    let text = match (&parked.waits_for, parked.code.as_str()) {
        (Some((parent, object)), _) => format!("waits for its parent {parent} (as {object}), {since}{again}"),
        (None, PIPELINE_HALTED) => format!("waits until pipeline {} is resumed, {since}{again}", line.pipeline),
        (None, NOT_VISIBLE) => {
            format!("waits: {} shows neither it nor that it was deleted, {since}{again}", line.source_org)
        }
        (None, code) => format!("waits: {code}{on}, {since}{again}"),
    };
    ("waiting", text)
}

/// Nothing is on its way.
fn settled(told: &Told, line: &Standing, now: &Now, rules: Option<&Rules>) -> (&'static str, String) {
    let (source_org, target_org) = (&line.source_org, &line.target_org);
    let source = now.seen.get(&(source_org.clone(), line.record)).map(|seen| seen.there);
    let target = counterpart(told, line);
    let there = target.and_then(|target| now.seen.get(&(target_org.clone(), target))).map(|seen| seen.there);
    let is_last =
        |what: &[What]| last(told, line, |did| did != What::Healed).is_some_and(|(did, _)| what.contains(&did));
    let in_bin = if there == Some(There::Binned) { ", and in the recycle bin there" } else { "" };
    let Some(target) = target else {
        return match (rules.is_some_and(|rules| rules.has_condition), line.tombstone, source) {
            (_, true, _) | (_, _, Some(There::Binned | There::No)) => {
                ("deleted", format!("deleted in {source_org}; {target_org} has nothing of it"))
            }
            (true, false, _) => ("left_out", "left out by the condition (`when`): it was never written".to_owned()),
            (false, false, _) => ("not_written", format!("nothing of it was written into {target_org} yet")),
        };
    };
    match (source, there) {
        (_, Some(There::Binned | There::No)) if line.tombstone || is_last(&[What::Deleted]) => {
            let text = match source {
                Some(There::Yes) => format!(
                    "{target} was deleted in {target_org} by the bridge{in_bin}, though {source_org} has the record"
                ),
                Some(There::Binned | There::No) | None => {
                    format!("deleted in both orgs ({target} in {target_org}){in_bin}")
                }
            };
            ("deleted", text)
        }
        (_, Some(There::Binned | There::No)) => (
            "target_gone",
            format!("{target} is gone from {target_org}{in_bin}: somebody else than the bridge deleted it"),
        ),
        (_, None) if line.tombstone => ("deleted", format!("deleted, and {target} in {target_org} with it")),
        (Some(There::Binned | There::No), _) => {
            let text = match is_last(&[What::Flagged]) {
                true => format!("deleted in {source_org}; {target} in {target_org} is flagged so"),
                false => format!("deleted in {source_org}; {target} in {target_org} is kept"),
            };
            ("source_gone", text)
        }
        (Some(There::Yes) | None, _) => match last(told, line, |did| did != What::Healed) {
            Some((What::LeftOut, deed)) if deed.code.as_deref() == Some(Skip::Filtered.code()) => (
                "left_out",
                format!("left out by the condition (`when`); {target} in {target_org} is as it was written before"),
            ),
            Some((What::LeftOut, deed)) => {
                ("left_out", format!("left out: {}", skip(deed.code.as_deref().unwrap_or_default())))
            }
            Some((What::Flagged, _)) => {
                ("left_out", format!("it does not match any more; {target} in {target_org} is flagged so"))
            }
            Some((What::Discarded, _)) => {
                ("not_written", "what had failed of it was given up; its next change is written again".to_owned())
            }
            Some((What::LeftGone, _)) => ("target_gone", format!("{target} is gone from {target_org}, and is left so")),
            Some(_) | None => {
                ("in_step", format!("in step: {target} in {target_org} has what the bridge knows of {source_org}"))
            }
        },
    }
}

fn last<'a>(told: &'a Told, line: &Standing, which: impl Fn(What) -> bool) -> Option<(What, &'a Deed)> {
    let own = told.deeds.iter().rev().filter(|deed| deed.pipeline == line.pipeline && deed.record == line.record);
    own.filter_map(|deed| Some((deed.what.parse().ok()?, deed))).find(|(did, _)| which(*did))
}

/// What the target says of a change after the bridge wrote the counterpart last, or compared it.
pub(super) fn changed(told: &Told, line: &Standing, now: &Now) -> Option<Changed> {
    let target = line.target?;
    let seen = now.seen.get(&(line.target_org.clone(), target)).filter(|seen| seen.there == There::Yes)?;
    let (did, deed) = last(told, line, |did| did.is_write() || matches!(did, What::Equal | What::Linked))?;
    let Seen { modified: Some(modified), by: Some((_, name)), by_bridge, ahead, .. } = seen else { return None };
    let ours = Timestamp(modified.0 - ahead);
    let at_least = Timestamp(deed.at.0 + if *by_bridge { LATER } else { -ABOUT });
    if ours < at_least.second() {
        return None;
    }
    let since = if did.is_write() { "the bridge's last write" } else { "the bridge compared it" };
    let who = if *by_bridge { format!("the bridge's own user ({name}), but not by this bridge") } else { name.clone() };
    let text = format!("changed in {} by {who} at {modified}, after {since}", line.target_org);
    let at = ours.max(deed.at);
    Some(Changed { at, behind: at.max(Timestamp(ours.0 + ABOUT)), text })
}
