//! Fields of the source records: why a record failed, and when it was written last.
//!
//! What there is to tell stands in `history`, which is written in the transaction of what it tells of, so nothing is missed by a
//! crash: what was told is noted afterwards, and may be told twice. A record says what holds when it is written, not what
//! happened to it in between. The changes are marked as the bridge's own by its client name, and no pipeline maps them.

use std::time::Duration;

use serde_json::{Map, Value as Json};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::budget::Budget;
use crate::config::{Duplicates, Feedback, SaveOptions};
use crate::event::{ObjectName, PipelineName};
use crate::org::{CallError, Disposition, Operation, Org, Refusal, SaveDisposition, SaveResult};
use crate::publish::budget::Allowance;
use crate::retry::Backoff;
use crate::status::{Board, FeedbackStatus};
use crate::store::{PipelineId, Store, StoreError, Told, Which};

/// Rows of history, of all pipelines, that are looked at together.
const STRETCH: usize = 1_000;
/// Records in one call (facts: rest.md section 6).
const BATCH: usize = 200;
/// Tries of a record whose row is locked, or that somebody else has in hand.
const TRIES_MAX: u32 = 5;
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);
const BUDGET_AGAIN: Duration = Duration::from_secs(2);
/// What a text field holds where nobody says.
const LENGTH: usize = 255;

/// One pipeline whose source records are told of, and what it needs.
pub struct Telling<S> {
    pub name: PipelineName,
    pub pipeline: PipelineId,
    pub object: ObjectName,
    pub fields: Feedback,
    pub source: Org,
    pub budget: Budget,
    pub store: S,
    pub board: Board,
    /// How long news wait for company.
    pub every: Duration,
    /// Nothing may be written into the source.
    pub paused: bool,
}

/// Tells until cancelled.
///
/// # Errors
/// When the store fails.
pub async fn run<S: Store>(telling: Telling<S>, cancel: CancellationToken) -> Result<(), StoreError> {
    if telling.paused {
        cancel.cancelled().await;
        return Ok(());
    }
    let mut teller = Teller { length: telling.length().await, shown: FeedbackStatus::default(), telling, cancel };
    let mut told = match teller.telling.store.told(teller.telling.pipeline).await? {
        Some(told) => told,
        None => match teller.begin().await? {
            Some(told) => told,
            None => return Ok(()),
        },
    };
    loop {
        let (store, pipeline) = (&teller.telling.store, teller.telling.pipeline);
        let news = store.news(pipeline, told, STRETCH).await?;
        if !teller.tell(news.records).await? {
            return Ok(());
        }
        if news.to != told {
            teller.telling.store.tell(pipeline, news.to).await?;
            told = news.to;
        }
        if news.more {
            continue;
        }
        tokio::select! {
            () = teller.cancel.cancelled() => return Ok(()),
            () = tokio::time::sleep(teller.telling.every) => {}
        }
    }
}

impl<S> Telling<S> {
    /// How much the field for errors holds.
    async fn length(&self) -> usize {
        let Some(field) = &self.fields.error else { return LENGTH };
        let described = self.source.describe(&self.object).await;
        let length = described.ok().and_then(|object| object.field(field)?.length);
        length.and_then(|length| usize::try_from(length).ok()).filter(|length| *length > 0).unwrap_or(LENGTH)
    }
}

struct Teller<S> {
    telling: Telling<S>,
    length: usize,
    shown: FeedbackStatus,
    cancel: CancellationToken,
}

impl<S: Store> Teller<S> {
    /// For the first time: of the past only what is a failed record now. What happens meanwhile is told again.
    ///
    /// None: it was cancelled, and begins anew with the next start.
    async fn begin(&mut self) -> Result<Option<i64>, StoreError> {
        let pipeline = self.telling.pipeline;
        let which = Which { pipeline: Some(self.telling.name.clone()), ..Which::default() };
        // Before the failed records are looked at: what happens meanwhile comes behind it.
        let to = self.telling.store.newest_history().await?;
        let mut after = None;
        loop {
            let failed = self.telling.store.failed(&which, after, BATCH).await?;
            let Some(last) = failed.last() else { break };
            after = Some((last.row.pipeline, last.row.record));
            let told = |record| Told { record, written_at: None, failed_or_healed: true };
            let records = failed.iter().map(|failed| told(failed.row.record)).collect();
            if !self.tell(records).await? {
                return Ok(None);
            }
        }
        self.telling.store.tell(pipeline, to).await?;
        Ok(Some(to))
    }

    /// False: it was cancelled before all was told.
    async fn tell(&mut self, records: Vec<Told>) -> Result<bool, StoreError> {
        let fields = self.telling.fields.clone();
        let worth = |told: &Told| {
            (fields.error.is_some() && told.failed_or_healed)
                || (fields.last_synced.is_some() && told.written_at.is_some())
        };
        let records: Vec<Told> = records.into_iter().filter(worth).collect();
        for batch in records.chunks(BATCH) {
            if !self.tell_batch(batch.to_vec()).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn tell_batch(&mut self, mut batch: Vec<Told>) -> Result<bool, StoreError> {
        let (mut backoff, mut tries) = (Backoff::new(RETRY_FIRST, RETRY_MAX), 0);
        loop {
            while let Allowance::Wait { .. } = self.telling.budget.allowance() {
                if !self.pause(BUDGET_AGAIN).await {
                    return Ok(false);
                }
            }
            let ids = batch.iter().map(|told| told.record).collect();
            let failures = self.telling.store.failures(self.telling.pipeline, ids).await?;
            let (object, fields, length) = (&self.telling.object, &self.telling.fields, self.length);
            let updates = batch.iter().map(|told| update(fields, told, failures.get(&told.record), length)).collect();
            // A duplicate rule is about what people enter, and nothing that it looks at is changed.
            let options = SaveOptions { duplicates: Duplicates::SaveAlerts, ..SaveOptions::default() };
            let answer = tokio::select! {
                answer = self.telling.source.update(object, updates, options) => answer,
                // Told again after the next start.
                () = self.cancel.cancelled() => return Ok(false),
            };
            match answer {
                Ok(results) => {
                    batch = self.judge(batch, &results, tries);
                    tries += 1;
                    self.trouble(None);
                    if batch.is_empty() {
                        return Ok(true);
                    }
                }
                Err(error) => match error.disposition() {
                    Disposition::Split if batch.len() == 1 => {
                        let code = error.code().map_or_else(|| "REFUSED".to_owned(), ToString::to_string);
                        self.refused(&code);
                        return Ok(true);
                    }
                    Disposition::Split => {
                        let half = batch.split_off(batch.len() / 2);
                        return Ok(Box::pin(self.tell_batch(batch)).await? && Box::pin(self.tell_batch(half)).await?);
                    }
                    Disposition::Retry { .. } | Disposition::OutcomeUnknown | Disposition::Halt { .. } => {
                        self.trouble(Some(&error));
                    }
                },
            }
            if !self.pause(backoff.next_delay()).await {
                return Ok(false);
            }
        }
    }

    /// Those that are to be tried again.
    fn judge(&mut self, batch: Vec<Told>, results: &[SaveResult], tries: u32) -> Vec<Told> {
        let mut again = Vec::new();
        for (told, result) in batch.into_iter().zip(results) {
            match result {
                SaveResult::Saved { .. } => self.shown.told += 1,
                SaveResult::Refused(refusal) => match verdict(refusal, tries) {
                    Verdict::Again => again.push(told),
                    Verdict::Gone => {}
                    Verdict::Refused(code) => self.refused(&code),
                },
            }
        }
        again
    }

    fn refused(&mut self, code: &str) {
        self.shown.refused += 1;
        warn!(pipeline = %self.telling.name, code, "a source record could not be told how it is doing");
        self.shown.code = Some(code.to_owned());
    }

    fn trouble(&mut self, error: Option<&CallError>) {
        let trouble = error.map(|error| match error.disposition() {
            Disposition::Halt { remedy } => format!("{error}: {remedy}"),
            _ => error.to_string(),
        });
        if let (Some(trouble), None) = (&trouble, &self.shown.trouble) {
            warn!(pipeline = %self.telling.name, "source records cannot be told how they are doing: {trouble}");
        }
        self.shown.trouble = trouble;
        self.show();
    }

    fn show(&self) {
        let (name, shown) = (self.telling.name.clone(), self.shown.clone());
        self.telling.board.update(|status| drop(status.feedback.insert(name, shown)));
    }

    async fn pause(&self, time: Duration) -> bool {
        tokio::select! {
            () = self.cancel.cancelled() => false,
            () = tokio::time::sleep(time) => true,
        }
    }
}

enum Verdict {
    Again,
    /// The record is deleted: nobody looks at it.
    Gone,
    Refused(String),
}

fn verdict(refusal: &Refusal, tries: u32) -> Verdict {
    match refusal.disposition(Operation::Update) {
        SaveDisposition::TargetGone => Verdict::Gone,
        SaveDisposition::Retry
        | SaveDisposition::Locked
        | SaveDisposition::Wait
        | SaveDisposition::Neighbour
        | SaveDisposition::TooMuch
            if tries < TRIES_MAX =>
        {
            Verdict::Again
        }
        _ => Verdict::Refused(refusal.decisive(Operation::Update).code.to_string()),
    }
}

/// What is written into a source record.
fn update(fields: &Feedback, told: &Told, failure: Option<&(String, String)>, length: usize) -> Map<String, Json> {
    let mut record = Map::from_iter([("id".to_owned(), Json::from(told.record.as_str()))]);
    if let Some(error) = &fields.error {
        let text = failure.map(|(code, evidence)| match evidence.as_str() {
            "" => code.clone(),
            evidence => format!("{code}: {evidence}"),
        });
        record.insert(error.to_string(), text.map(|text| cut(&text, length)).into());
    }
    if let (Some(field), Some(at)) = (&fields.last_synced, told.written_at) {
        record.insert(field.to_string(), at.to_string().into());
    }
    record
}

/// Orgs count UTF-16 code units where they say how long a text may be (UNSURE: characters; fewer never hurt).
fn cut(text: &str, length: usize) -> String {
    let units = |text: &str| text.encode_utf16().count();
    if units(text) <= length {
        return text.to_owned();
    }
    let (mut cut, mut used) = (String::new(), 0);
    for letter in text.chars() {
        used += letter.len_utf16();
        if used >= length {
            break;
        }
        cut.push(letter);
    }
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::Timestamp;
    use crate::org::RecordError;

    fn fields(error: bool, last_synced: bool) -> Feedback {
        Feedback {
            error: error.then(|| "Error__c".parse().unwrap()),
            last_synced: last_synced.then(|| "Synced__c".parse().unwrap()),
        }
    }

    fn told(written_at: Option<i64>) -> Told {
        let written_at = written_at.map(Timestamp);
        Told { record: "001000000000001AAA".parse().unwrap(), written_at, failed_or_healed: true }
    }

    #[test]
    fn a_record_says_why_it_failed_and_when_it_was_written() {
        let failure = ("STRING_TOO_LONG".to_owned(), "Name: data value too large".to_owned());
        let of = |told: &Told, failure: Option<&(String, String)>, fields: &Feedback| {
            let mut record = update(fields, told, failure, 255);
            record.remove("id");
            Json::from(record)
        };
        let both = fields(true, true);
        let text = "STRING_TOO_LONG: Name: data value too large";
        assert_eq!(of(&told(None), Some(&failure), &both), json!({"Error__c": text}));
        let time = "1970-01-01T00:00:00.007Z";
        assert_eq!(of(&told(Some(7)), None, &both), json!({"Error__c": null, "Synced__c": time}));
        assert_eq!(of(&told(Some(7)), Some(&failure), &fields(false, true)), json!({"Synced__c": time}));
        let silent = ("PARENT_MISSING".to_owned(), String::new());
        assert_eq!(of(&told(None), Some(&silent), &fields(true, false)), json!({"Error__c": "PARENT_MISSING"}));
    }

    #[test]
    fn a_text_fits_its_field_whatever_it_is_written_in() {
        assert_eq!(cut("Zürich", 6), "Zürich");
        assert_eq!(cut("Zürich", 5), "Züri…");
        assert_eq!(cut("a🚲🚲", 4), "a🚲…", "a bicycle is two");
        assert_eq!(cut("a🚲🚲", 3), "a…");
    }

    #[test]
    fn a_record_that_is_locked_is_told_later_and_one_that_is_gone_not_at_all() {
        let said = |code: &str, tries| {
            let refusal = Refusal::new(RecordError::new(code, "", Vec::new()), Vec::new());
            match verdict(&refusal, tries) {
                Verdict::Again => "again".to_owned(),
                Verdict::Gone => "gone".to_owned(),
                Verdict::Refused(code) => code,
            }
        };
        assert_eq!(said("UNABLE_TO_LOCK_ROW", 0), "again");
        assert_eq!(said("UNABLE_TO_LOCK_ROW", TRIES_MAX), "UNABLE_TO_LOCK_ROW");
        assert_eq!(said("ENTITY_IS_DELETED", 0), "gone");
        let rule = "FIELD_CUSTOM_VALIDATION_EXCEPTION";
        assert_eq!(said(rule, 0), rule);
    }
}
