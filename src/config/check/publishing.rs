//! The keys of a pipeline that say how its records get into the target. `on_undelete` and `may_delete` stand by themselves,
//! for `references` compares them with others.

use super::super::tree::{Key, Node};
use super::super::walk::{At, Block, Walk, quoted};
use super::super::{
    AssignmentRules, BATCH_MAX, Duplicates, KeyChanges, MayDelete, OnUndelete, Publishing, SaveOptions, WhenTargetGone,
};
use crate::event::RecordId;

/// The key prefix of assignment rules.
const ASSIGNMENT_RULE: &str = "01Q";

/// None if one of them has a problem.
pub(super) fn check(walk: &mut Walk<'_>, pipeline: &Block<'_>) -> Option<Publishing> {
    let usual = Publishing::default();
    let assignment_rules = match pipeline.entry("assignment_rules") {
        Some(entry) => assignment_rules(walk, entry),
        None => Some(usual.options.assignment_rules),
    };
    let duplicates = match pipeline.entry("duplicates") {
        Some(entry) => walk.choice(entry, &[("fail", Duplicates::Fail), ("save_alerts", Duplicates::SaveAlerts)]),
        None => Some(usual.options.duplicates),
    };
    let when_target_gone = match pipeline.entry("when_target_gone") {
        Some(entry) => {
            let choices = [
                ("recreate", WhenTargetGone::Recreate),
                ("skip", WhenTargetGone::Skip),
                ("fail", WhenTargetGone::Fail),
            ];
            walk.choice(entry, &choices)
        }
        None => Some(usual.when_target_gone),
    };
    let key_changes = match pipeline.entry("key_changes") {
        Some(entry) => walk.choice(entry, &[("update", KeyChanges::Update), ("halt", KeyChanges::Halt)]),
        None => Some(usual.key_changes),
    };
    let coalesce = match pipeline.entry("coalesce") {
        Some(entry) => walk.choice(entry, &[("true", true), ("false", false)]),
        None => Some(usual.coalesce),
    };
    let batch_size = match pipeline.entry("batch_size") {
        Some(entry) => batch_size(walk, entry),
        None => Some(usual.batch_size),
    };
    Some(Publishing {
        batch_size: batch_size?,
        options: SaveOptions { assignment_rules: assignment_rules?, duplicates: duplicates? },
        when_target_gone: when_target_gone?,
        key_changes: key_changes?,
        coalesce: coalesce?,
        ..usual
    })
}

fn batch_size(walk: &mut Walk<'_>, entry: (&Key, &Node)) -> Option<usize> {
    let text = walk.text(entry)?;
    let size = text.value.parse().ok().filter(|size| (1..=BATCH_MAX).contains(size));
    if size.is_none() {
        let message = format!("`batch_size` cannot be `{}`", quoted(&text.raw));
        walk.find(&text.span, message, format!("write a number from 1 to {BATCH_MAX}: more do not fit into one call"));
    }
    size
}

fn assignment_rules(walk: &mut Walk<'_>, entry: (&Key, &Node)) -> Option<AssignmentRules> {
    let text = walk.text(entry)?;
    match text.value.as_str() {
        "true" => return Some(AssignmentRules::Active),
        "false" => return Some(AssignmentRules::Off),
        _ => {}
    }
    let rule = text.value.parse::<RecordId>().ok().filter(|id| id.as_str().starts_with(ASSIGNMENT_RULE));
    if rule.is_none() {
        let message = format!("`assignment_rules` cannot be `{}`", quoted(&text.raw));
        let remedy = "write true, false, or the id of an assignment rule of the target org, which starts with 01Q: it is \
                      in the address of the rule's page in Setup";
        walk.find(&text.span, message, remedy);
    }
    rule.map(AssignmentRules::Rule)
}

pub(super) fn may_delete(walk: &mut Walk<'_>, entry: (&Key, &Node)) -> Option<At<MayDelete>> {
    let value = walk.choice(entry, &[("created", MayDelete::Created), ("any", MayDelete::Any)])?;
    Some(At { value, raw: String::new(), span: entry.0.span.clone() })
}

pub(super) fn on_undelete(walk: &mut Walk<'_>, entry: (&Key, &Node)) -> Option<At<OnUndelete>> {
    let choices =
        [("recreate", OnUndelete::Recreate), ("restore", OnUndelete::Restore), ("ignore", OnUndelete::Ignore)];
    let value = walk.choice(entry, &choices)?;
    Some(At { value, raw: String::new(), span: entry.1.span.clone() })
}
