//! Proves that the two sides of a pipeline agree, or tells where they do not.
//!
//! All that the target holds under a key goes into a [`Sheet`], as digests. Then the source is read, through the mapping, and
//! compared with that. What differs there, or is on one side only, is only suspected: it may have changed in between. So each
//! suspect is looked at ([`look`]) until it agrees, or differs twice in the same way with nothing of it on its way in between.

mod digest;
mod look;
mod proof;
mod reader;
mod sample;

use std::collections::HashMap;
use std::time::Duration;

use tracing::debug;

use self::digest::Digest;
use self::look::{Looked, State};
use self::proof::Proof;
use self::reader::Reader;
use super::rows::{QUERY_PAGE, Row, Rows, Way};
use super::target;
use crate::budget::Budget;
use crate::event::{FieldName, OrgName, Record, RecordId, Seq, Timestamp};
use crate::hydrate;
use crate::mapping::{Known, LinkState, Mapped, Mapping, Replies, Skip};
use crate::org::{CallError, Code, Disposition, Org};
use crate::publish::budget::Allowance;
use crate::publish::{Cover, Key, Source};
use crate::retry::Backoff;
use crate::store::sqlite::sheet::{Held, Sheet, SheetError};
use crate::store::{
    Answer, Difference, Finding, ListNumber, Listed, Mend, PipelineId, Question, Store, StoreError, VerificationNumber,
    VerifyCounts, Wish, Work,
};

/// Suspects that are looked at together: so many ids fit into one query (facts: rest.md section 1).
const TOGETHER: usize = 400;
/// Between two looks at the same suspect: the first, and at most.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
const LOOK_AGAIN_MAX: Duration = Duration::from_secs(30);
/// What is still on its way after so many looks, and so long between them, is told as such.
const LOOKS_MIN: u32 = 2;
const PATIENCE: Duration = Duration::from_secs(360);
/// Without a sign of life for longer a subscription is not live.
const SILENCE: Duration = Duration::from_secs(300);
/// An org that has prepared nothing after this never will.
const PREPARED_WITHIN: Duration = Duration::from_secs(3_600);
/// Between two questions to an org that prepares rows, or does not answer.
const AGAIN: Duration = Duration::from_millis(500);
const AGAIN_MAX: Duration = Duration::from_secs(30);
/// How often in a row there may be no answer.
const TRIES: u32 = 10;
/// Differences that are kept of one comparison. They are counted beyond that.
const KEPT: u64 = 100_000;
/// Answers of lookups that are remembered.
const REPLIES_MAX: usize = 50_000;

/// Why nothing could be proven.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error("org {org}: {error}")]
    Call { org: OrgName, error: CallError },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Sheet(#[from] SheetError),
}

/// The two sides of a pipeline.
pub struct Sides<'a, S> {
    pub source: &'a Org,
    pub target: &'a Org,
    /// Typed.
    pub mapping: &'a Mapping,
    pub store: &'a S,
    pub pipeline: PipelineId,
    /// No other pipeline writes records with the same key field: a record of the target that has one, and no record in the
    /// source, is nobody else's.
    pub owns_keys: bool,
    /// Events are received meanwhile. If not, what changed since they were is on its way.
    pub live: bool,
    /// Its object is asked for now and then, for it has no events.
    pub polls: bool,
    pub budgets: [Option<Budget>; 2],
}

/// A comparison under way.
struct Comparison<'a, S> {
    sides: &'a Sides<'a, S>,
    number: VerificationNumber,
    wish: Wish,
    counts: VerifyCounts,
    /// Found, and not saved yet.
    found: Vec<Difference>,
    kept: u64,
    sheet: Sheet,
    digest: Digest,
    replies: Replies,
    list: Option<ListNumber>,
    /// To be mended, and not noted yet.
    wanted: Vec<Listed>,
    /// What the target calls its users.
    names: HashMap<RecordId, String>,
    calls_before: (u64, u64),
}

/// Compares, and saves what was found as it goes. The records that the wish wants mended are a job then.
///
/// # Errors
/// When an org does not answer, or refuses; when the store fails.
pub async fn verify<S: Store>(
    sides: &Sides<'_, S>,
    number: VerificationNumber,
    wish: Wish,
) -> Result<VerifyCounts, VerifyError> {
    sides.store.verification_begins(number, Timestamp::now()).await?;
    let mut comparison = Comparison {
        sides,
        number,
        wish,
        counts: VerifyCounts::default(),
        found: Vec::new(),
        kept: 0,
        sheet: Sheet::new()?,
        digest: Digest::new(sides.mapping),
        replies: Replies::new(),
        list: None,
        wanted: Vec::new(),
        names: HashMap::new(),
        calls_before: (sides.source.api_calls(), sides.target.api_calls()),
    };
    match wish.sample {
        Some(size) => comparison.take_sample(size).await?,
        None => comparison.compare_all().await?,
    }
    comparison.look_at_suspects().await?;
    comparison.tell_orphans().await?;
    comparison.mend().await?;
    comparison.save().await?;
    Ok(comparison.counts)
}

impl<S: Store> Comparison<'_, S> {
    async fn compare_all(&mut self) -> Result<(), VerifyError> {
        let Sides { source, target, mapping, .. } = *self.sides;
        let held = format!("{} != null", mapping.key);
        let source_fields = hydrate::source_fields(mapping);
        let target_fields = target::fields(mapping);
        let of_target =
            Rows { org: target, object: &mapping.target_object, fields: &target_fields, condition: Some(&held) };
        let of_source = Rows { org: source, object: &mapping.source_object, fields: &source_fields, condition: None };
        // What an org had prepared can be gone; what queries read cannot.
        let mut by_job = [true, true].into_iter();
        loop {
            let by_job = by_job.next().unwrap_or(false);
            // Both orgs prepare at the same time.
            let (way, _) = self.patiently(target, || of_target.begin(by_job)).await?;
            let (source_way, total) = self.patiently(source, || of_source.begin(by_job)).await?;
            self.counts = VerifyCounts { total, ..VerifyCounts::default() };
            self.sheet = Sheet::new()?;
            let read = async {
                if !self.read_target(of_target, &way).await? {
                    return Ok(false);
                }
                self.sheet.complete().await?;
                self.read_source(of_source, &source_way).await
            };
            let all = read.await;
            for (org, way) in [(target, &way), (source, &source_way)] {
                if let Way::Job(job) = way {
                    // Else it goes by itself after seven days.
                    let _ = org.drop_query(job).await;
                }
            }
            if all? {
                return self.left_in_target().await;
            }
            debug!("what an org had prepared is gone; the comparison begins anew");
        }
    }

    /// False: what the org had prepared is gone.
    async fn read_target(&mut self, rows: Rows<'_>, way: &Way) -> Result<bool, VerifyError> {
        let mapping = self.sides.mapping;
        let mut reader = Reader::new(rows, way);
        while let Some(page) = reader.next(self).await? {
            let held: Vec<Held> = page
                .iter()
                .filter_map(|row| {
                    let key = hydrate::key_in(row, &mapping.key)?;
                    Some(Held { key, id: hydrate::id_of(row, "Id")?, digest: self.digest.of_row(mapping, row) })
                })
                .collect();
            self.counts.targets += held.len() as u64;
            self.sheet.put(held).await?;
            self.save().await?;
        }
        Ok(!reader.gone)
    }

    /// False: what the org had prepared is gone.
    async fn read_source(&mut self, rows: Rows<'_>, way: &Way) -> Result<bool, VerifyError> {
        let mapping = self.sides.mapping;
        let paths = mapping.reads();
        let mut reader = Reader::new(rows, way);
        while let Some(page) = reader.next(self).await? {
            let record = |row: Row| {
                let id = hydrate::id_of(&row, "Id")?;
                Some(hydrate::record(id, &paths, &mapping.privacy, row))
            };
            let records: Vec<Record> = page.into_iter().filter_map(record).collect();
            self.compare(&records).await?;
            self.save().await?;
        }
        Ok(!reader.gone)
    }

    /// Compares records of the source with what the sheet has under their keys.
    async fn compare(&mut self, records: &[Record]) -> Result<(), VerifyError> {
        let Sides { mapping, store, pipeline, .. } = *self.sides;
        let parents = self.known(records, Vec::new()).await?.parents;
        self.ask(&records.iter().collect::<Vec<_>>()).await?;
        let mut suspects = Vec::new();
        let mut keyed: Vec<(RecordId, String, Option<Vec<digest::Cell>>)> = Vec::new();
        for record in records {
            let known = Known { link: LinkState::None, parents: &parents, replies: &self.replies };
            match mapping.apply_read(record, None, &known, cover(pipeline, record.id)) {
                Mapped::Write(write) => match (&write.key, write.fields()) {
                    (Key::External { value, .. }, Some(fields)) => {
                        keyed.push((record.id, value.clone(), Some(self.digest.of_write(mapping, fields))));
                    }
                    _ => suspects.push(record.id),
                },
                // Where it had a counterpart, that may have to be gone, or flagged.
                Mapped::Skipped(Skip::Filtered) => match mapping.key_of(record.id).or(mapping.unmatched_key(record)) {
                    Some(key) => keyed.push((record.id, key, None)),
                    None => self.counts.excluded += 1,
                },
                Mapped::Failed(_) | Mapped::Waits(_) | Mapped::Needs(_) | Mapped::Skipped(_) => {
                    suspects.push(record.id);
                }
            }
        }
        self.counts.records += records.len() as u64;
        let holders = self.sheet.holders(keyed.iter().map(|(_, key, _)| key.clone()).collect()).await?;
        let (mut linked, mut equal, mut excluded) = (Vec::new(), Vec::new(), Vec::new());
        let by_id: HashMap<RecordId, &Record> = match mapping.differs_with_a_counterpart() {
            true => records.iter().map(|record| (record.id, record)).collect(),
            false => HashMap::new(),
        };
        for ((record, _, mut cells), holders) in keyed.into_iter().zip(holders) {
            // Some fields are written to a counterpart that is there, and to no new one.
            if let (Some(whole), [(id, _)], true) = (by_id.get(&record), holders.as_slice(), cells.is_some()) {
                let known = Known { link: LinkState::Linked(*id), parents: &parents, replies: &self.replies };
                if let Mapped::Write(write) = mapping.apply_read(whole, None, &known, cover(pipeline, record)) {
                    cells = write.fields().map(|fields| self.digest.of_write(mapping, fields));
                }
            }
            match (cells, holders.as_slice()) {
                (Some(cells), [(id, digest)]) if digest::agree(&cells, digest) => equal.push((record, *id)),
                (None, []) => excluded.push(record),
                _ => suspects.push(record),
            }
            linked.push(record);
        }
        // One that has another counterpart than the record that holds its key is no proof of anything.
        let question = Question { records: linked, ..Question::default() };
        let links = store.known(pipeline, question).await?.links;
        for (record, id) in equal {
            match links.get(&record) {
                Some(link) if *link != id => suspects.push(record),
                Some(_) | None => self.counts.equal += 1,
            }
        }
        for record in excluded {
            // Its counterpart may have lost its key.
            match links.contains_key(&record) {
                true => suspects.push(record),
                false => self.counts.excluded += 1,
            }
        }
        self.sheet.suspect(suspects).await?;
        Ok(())
    }

    /// What the target has under keys that no record of the source has.
    async fn left_in_target(&mut self) -> Result<(), VerifyError> {
        let Sides { source, mapping, store, pipeline, owns_keys, .. } = *self.sides;
        let described = self.patiently(source, || source.describe(&mapping.source_object)).await?;
        // Another pipeline may write the same object from another one.
        let is_own =
            |record: &RecordId| described.object.key_prefix.as_deref().is_none_or(|own| own == record.key_prefix());
        let mut after = 0;
        loop {
            let left = self.sheet.unseen(after, QUERY_PAGE).await?;
            let Some((last, ..)) = left.last() else { return Ok(()) };
            after = *last;
            let sources = store.sources_of(pipeline, left.iter().map(|(.., id)| *id).collect()).await?;
            let (mut suspects, mut orphans) = (Vec::new(), Vec::new());
            for (_, key, id) in left {
                // Another org's ids look alike.
                let read = || key.parse().ok().filter(|_| owns_keys);
                let by_key = || read().filter(|record| mapping.key_of(*record).as_ref() == Some(&key));
                match sources.get(&id).copied().or_else(by_key) {
                    Some(record) if is_own(&record) => suspects.push(record),
                    Some(_) => {}
                    None => orphans.push(id),
                }
            }
            self.sheet.suspect(suspects).await?;
            self.sheet.add_orphans(orphans).await?;
        }
    }

    /// Looks at suspects until it is known of each whether the two sides agree.
    async fn look_at_suspects(&mut self) -> Result<(), VerifyError> {
        let Sides { store, pipeline, source, live, .. } = *self.sides;
        let (mut pause, mut rounds, mut waited) = (LOOK_AGAIN, 0, Duration::ZERO);
        // By the source's clock.
        let mut first_look = None;
        loop {
            // What was asked before may have changed since.
            self.replies = Replies::new();
            let looked_at = source.server_time();
            let live_until = self.live_until().await?;
            let proof = Proof { live_until, receives: live && !self.sides.polls, first_look, looked_at };
            let at_work = store.open_jobs().await?.iter().any(|job| job.pipeline == pipeline);
            let (mut after, mut left) = (None, false);
            loop {
                let suspects = self.sheet.suspects(after, TOGETHER).await?;
                let Some((last, _)) = suspects.last() else { break };
                after = Some(*last);
                let records: Vec<RecordId> = suspects.iter().map(|(record, _)| *record).collect();
                // Before they are read: what comes later than this is in what is read.
                let on_their_way = store.on_their_way(pipeline, records.clone()).await?;
                let looked = self.look(&records).await?;
                let (mut cleared, mut marks, mut differing) = (Vec::new(), Vec::new(), Vec::new());
                for ((record, mark), one) in suspects.into_iter().zip(looked) {
                    let State::Differs { mark: own, .. } = &one.state else {
                        self.count(&one.state);
                        cleared.push(record);
                        continue;
                    };
                    let proves = proof.tells_of(one.changed) && !at_work && !on_their_way.contains(&record);
                    if mark == Some(*own) && proves {
                        differing.push(one);
                        cleared.push(record);
                    } else {
                        marks.push((record, *own));
                        left = true;
                    }
                }
                for one in differing {
                    self.differs(&one).await?;
                }
                self.sheet.clear(cleared).await?;
                self.sheet.mark(marks).await?;
                self.save().await?;
            }
            if !left {
                return Ok(());
            }
            rounds += 1;
            if rounds >= LOOKS_MIN && (waited >= PATIENCE || !live) {
                return self.tell_unsettled().await;
            }
            first_look = first_look.or(Some(looked_at));
            tokio::time::sleep(pause).await;
            waited += pause;
            pause = (pause * 2).min(LOOK_AGAIN_MAX);
        }
    }

    async fn tell_unsettled(&mut self) -> Result<(), VerifyError> {
        let mut after = None;
        loop {
            let suspects = self.sheet.suspects(after, QUERY_PAGE).await?;
            let Some((last, _)) = suspects.last() else { return Ok(()) };
            after = Some(*last);
            for (record, _) in suspects {
                self.tell(Difference::of(Finding::Unsettled, Some(record), None));
            }
            self.save().await?;
        }
    }

    fn count(&mut self, state: &State) {
        match state {
            State::Equal => self.counts.equal += 1,
            State::Excluded => self.counts.excluded += 1,
            State::Kept => self.counts.kept += 1,
            State::Gone | State::Differs { .. } => {}
        }
    }

    async fn differs(&mut self, looked: &Looked) -> Result<(), VerifyError> {
        let State::Differs { difference, mendable, .. } = &looked.state else { return Ok(()) };
        let difference = self.judged(difference.clone(), looked).await?;
        let wanted = match (self.wish.mend, difference.what) {
            (Mend::Nothing, _) => false,
            (_, Finding::Different | Finding::Missing | Finding::Extra)
            | (Mend::All, Finding::ChangedInTarget | Finding::NotAccepted) => *mendable,
            (_, Finding::ChangedInTarget | Finding::NotAccepted | Finding::Failed | Finding::Unsettled) => false,
        };
        if let Some(record) = difference.record.filter(|_| wanted) {
            self.wanted.push(Listed { record, target: None });
            self.counts.mended += 1;
        }
        self.tell(difference);
        Ok(())
    }

    fn tell(&mut self, difference: Difference) {
        self.counts.count(difference.what);
        if self.kept < KEPT {
            self.kept += 1;
            self.found.push(difference);
        }
    }

    /// What the target has of nobody. It is asked again: somebody may have removed it, or it may have become somebody's.
    async fn tell_orphans(&mut self) -> Result<(), VerifyError> {
        let Sides { target, mapping, store, pipeline, owns_keys, .. } = *self.sides;
        let mut after = None;
        loop {
            let ids = self.sheet.orphans(after, TOGETHER).await?;
            let Some(last) = ids.last().copied() else { return Ok(()) };
            after = Some(last);
            let fields = ["Id".parse(), Ok(mapping.key.clone())].into_iter().flatten().collect::<Vec<FieldName>>();
            let object = &mapping.target_object;
            let rows = self.patiently(target, || target.read(object, &ids, &fields)).await?;
            let sources = store.sources_of(pipeline, ids.clone()).await?;
            for (id, row) in ids.into_iter().zip(rows) {
                let is_keyed = row.is_some_and(|row| hydrate::key_in(&row, &mapping.key).is_some());
                if is_keyed && owns_keys && !sources.contains_key(&id) {
                    self.tell(Difference::of(Finding::Extra, None, Some(id)));
                }
            }
            self.save().await?;
        }
    }

    /// What is to be mended is a job, which reads and writes it like any other.
    async fn mend(&mut self) -> Result<(), VerifyError> {
        if let Some(list) = self.list {
            // One that is not over yet reads what it was told; the next comparison finds what is left.
            let job = self.sides.store.add_job(self.sides.pipeline, Work::Mend { list }, Timestamp::now()).await?;
            if job.is_none() {
                self.counts.mended = 0;
            }
        }
        Ok(())
    }

    async fn save(&mut self) -> Result<(), StoreError> {
        let Sides { source, target, store, .. } = *self.sides;
        self.counts.source_calls = source.api_calls().saturating_sub(self.calls_before.0);
        self.counts.target_calls = target.api_calls().saturating_sub(self.calls_before.1);
        if !self.wanted.is_empty() {
            self.list = Some(store.add_to_list(self.list, std::mem::take(&mut self.wanted)).await?);
        }
        store.verification_moved(self.number, self.counts, std::mem::take(&mut self.found)).await
    }

    /// Up to when events are known to have told of everything.
    async fn live_until(&self) -> Result<Option<Timestamp>, StoreError> {
        let Sides { store, pipeline, .. } = *self.sides;
        let Some(row) = store.pipelines().await?.into_iter().find(|row| row.id == pipeline) else { return Ok(None) };
        let identity = row.identity;
        let subscriptions = store.subscriptions().await?;
        let own = subscriptions.iter().find(|row| row.org == identity.source_org && row.channel == identity.channel);
        Ok(own.and_then(|row| row.position.proof()))
    }

    async fn known(&self, records: &[Record], ids: Vec<RecordId>) -> Result<Answer, StoreError> {
        let Sides { mapping, store, pipeline, .. } = *self.sides;
        let mut parents: Vec<_> = records.iter().flat_map(|record| mapping.parents_of_read(record)).collect();
        parents.sort_unstable();
        parents.dedup();
        store.known(pipeline, Question { records: ids, parents }).await
    }

    /// Asks what only the orgs can tell.
    async fn ask(&mut self, records: &[&Record]) -> Result<(), VerifyError> {
        let Sides { source, target, mapping, .. } = *self.sides;
        if !mapping.searches() {
            return Ok(());
        }
        if self.replies.len() > REPLIES_MAX {
            self.replies = Replies::new();
        }
        let (known, orgs) = (std::mem::take(&mut self.replies), [source, target]);
        let fresh = self.patiently(target, || hydrate::ask(&orgs, mapping, records, &known)).await?;
        self.replies = known;
        self.replies.extend(fresh);
        Ok(())
    }

    /// An answer of an org: asked again where that may help, and only where there is budget for it.
    async fn patiently<T, Asked: Future<Output = Result<T, CallError>>>(
        &self,
        org: &Org,
        ask: impl Fn() -> Asked,
    ) -> Result<T, VerifyError> {
        let mut backoff = Backoff::new(AGAIN, AGAIN_MAX);
        let mut tries = 0;
        loop {
            for budget in self.sides.budgets.iter().flatten() {
                while let Allowance::Wait { until, .. } = budget.allowance() {
                    tokio::time::sleep_until(until).await;
                }
            }
            let error = match ask().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let may_help = matches!(error.disposition(), Disposition::Retry { .. } | Disposition::OutcomeUnknown)
                || matches!(error.code(), Some(Code::QueryTimeout | Code::RequestRunningTooLong));
            tries += 1;
            if !may_help || tries >= TRIES {
                return Err(VerifyError::Call { org: org.name().clone(), error });
            }
            debug!(org = %org.name(), %error, "a comparison could not read; it is tried again");
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }
}

fn cover(pipeline: PipelineId, record: RecordId) -> Cover {
    Cover { source: Source { pipeline, record }, from: Seq::ZERO, to: Seq::ZERO, clears_suspect: false }
}
