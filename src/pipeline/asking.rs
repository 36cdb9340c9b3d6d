//! What a read asks the two orgs, beside the store, and what they answer.

use std::collections::HashMap;
use std::sync::Arc;

use super::machine::{Child, Read, ReadWhat, Returned, came_back};
use crate::event::{FieldPath, Found, Record, RecordId, Seq};
use crate::hydrate;
use crate::mapping::{Mapping, Replies};
use crate::org::{CallError, Org};
use crate::publish::Source;
use crate::store::{PipelineId, Question, Store};

/// Everything that a read may need.
pub struct Asking<S> {
    pub source: Org,
    pub target: Org,
    pub mapping: Arc<Mapping>,
    /// All pipelines into the target, each with its source.
    pub lines: HashMap<PipelineId, (Org, Arc<Mapping>)>,
    pub store: S,
    pub replies: Arc<Replies>,
    /// Counterparts may be taken out of the target's recycle bin. When a paused org goes on, the record is read once more.
    pub may_restore: bool,
}

/// What an org answered to a read.
pub enum Heard {
    /// And what their lookups lead to, and what came out of the target's recycle bin.
    Records(HashMap<RecordId, Found>, Replies, Returned),
    Targets(HashMap<String, RecordId>),
    Children(Vec<Child>),
}

impl<S: Store> Asking<S> {
    /// Asks, one question after the other.
    pub async fn answer(&self, read: &Read) -> Result<Heard, CallError> {
        match &read.what {
            ReadWhat::Records { records, at, restores, revived } => {
                let revived = revived.as_slice();
                self.records(read.pipeline, records, *at, restores.then_some(revived)).await
            }
            ReadWhat::Targets { keys } => {
                let values: Vec<String> = keys.iter().map(|(_, key)| key.clone()).collect();
                let held = hydrate::targets(&self.target, &self.mapping.target_object, &self.mapping.key, &values);
                held.await.map(Heard::Targets)
            }
            ReadWhat::Children { parents, lookups, .. } => {
                children_of(&self.lines, parents, lookups).await.map(Heard::Children)
            }
            ReadWhat::Moved { losers, lookups } => {
                moved_to(&self.source, &self.mapping, &self.lines, losers, lookups).await.map(Heard::Children)
            }
        }
    }

    /// `revived`: counterparts may be taken out of the bin, and events say that these records came back.
    async fn records(
        &self,
        pipeline: PipelineId,
        records: &[RecordId],
        at: Seq,
        revived: Option<&[RecordId]>,
    ) -> Result<Heard, CallError> {
        let Self { source, target, mapping, store, .. } = self;
        let mut found = hydrate::records(source, mapping, records).await?;
        let is_missing = |record: &RecordId| !found.contains_key(record);
        let missing: Vec<RecordId> = records.iter().copied().filter(is_missing).collect();
        // The bin may be empty already, but the journal knows.
        if !missing.is_empty()
            && let Ok(newest) = store.newest_parts(pipeline, missing, at).await
        {
            let deleted = newest.into_iter().filter(|(_, kind)| kind.is_delete());
            found.extend(deleted.map(|(record, _)| (record, Found::Deleted)));
        }
        let records: Vec<&Record> = found.values().filter_map(Found::record).collect();
        let ids: Vec<RecordId> = records.iter().map(|record| record.id).collect();
        let mut returned = Returned::default();
        // Where the store fails, the driver hears of it at its next word with it.
        if let Some(revived) = revived.filter(|_| self.may_restore)
            && let Ok(known) = store.known(pipeline, Question { records: ids.clone(), ..Question::default() }).await
        {
            let back = came_back(ids.into_iter(), revived, &known);
            let back: Vec<&Record> = back.iter().filter_map(|id| found.get(id)?.record()).collect();
            returned = restore(target, (pipeline, mapping), &back, &self.lines).await?;
        }
        let fresh = hydrate::ask(&[source, target], mapping, &records, &self.replies).await?;
        Ok(Heard::Records(found, fresh, returned))
    }
}

/// Takes the counterparts of these records out of the target's recycle bin, and asks who may have come along.
async fn restore(
    target: &Org,
    (pipeline, mapping): (PipelineId, &Mapping),
    records: &[&Record],
    lines: &HashMap<PipelineId, (Org, Arc<Mapping>)>,
) -> Result<Returned, CallError> {
    let counterparts = hydrate::restore(target, mapping, records).await?;
    let parents: Vec<RecordId> = counterparts.iter().map(|counterpart| counterpart.id).collect();
    let own = counterparts.iter().filter(|counterpart| counterpart.own);
    let own = own.map(|counterpart| (Source { pipeline, record: counterpart.record }, counterpart.id)).collect();
    let mut returned = Returned { own, along: Vec::new() };
    for (pipeline, (_, child)) in lines.iter().filter(|(_, (_, child))| child.lookups_of(mapping).next().is_some()) {
        for (record, own) in hydrate::children_there(target, child, &mapping.target_object, &parents).await? {
            let source = Source { pipeline: *pipeline, record };
            returned.along.push(source);
            returned.own.extend(own.map(|id| (source, id)));
        }
    }
    Ok(returned)
}

/// Who names the winners of merges, or those into which they were merged in turn, as parents.
async fn moved_to(
    source: &Org,
    mapping: &Mapping,
    lines: &HashMap<PipelineId, (Org, Arc<Mapping>)>,
    losers: &[(RecordId, RecordId)],
    lookups: &[(PipelineId, FieldPath)],
) -> Result<Vec<Child>, CallError> {
    let winners: Vec<RecordId> = losers.iter().map(|(_, winner)| *winner).collect();
    let last = hydrate::last_winners(source, &mapping.source_object, &winners).await?;
    let mut parents: Vec<RecordId> = last.values().copied().collect();
    parents.sort_unstable();
    parents.dedup();
    let found = children_of(lines, &parents, lookups).await?;
    let of_winner = |(winner, last): (&RecordId, &RecordId)| {
        let (winner, last) = (*winner, *last);
        found.iter().filter(move |child| child.parent == last).map(move |child| Child { parent: winner, ..*child })
    };
    Ok(last.iter().flat_map(of_winner).collect())
}

async fn children_of(
    lines: &HashMap<PipelineId, (Org, Arc<Mapping>)>,
    parents: &[RecordId],
    lookups: &[(PipelineId, FieldPath)],
) -> Result<Vec<Child>, CallError> {
    let mut children = Vec::new();
    for (pipeline, lookup) in lookups {
        let Some((source, mapping)) = lines.get(pipeline) else { continue };
        let found = hydrate::children(source, &mapping.source_object, lookup, parents).await?;
        children.extend(found.into_iter().map(|(record, parent)| Child { pipeline: *pipeline, record, parent }));
    }
    Ok(children)
}
