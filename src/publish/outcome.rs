//! What an org's answer to a batch means for each of its writes. Pure: delays are handed in.

use std::time::Duration;

use tokio::time::Instant;

use super::outbox::{Batch, Call, Refusal, Verdict, parent_missing};
use super::write::{Body, Reference, Write};
use crate::config::IfMissing;
use crate::event::{ObjectName, RecordId};
use crate::org::{CallError, Code, Disposition, Lost, Operation, RecordError, SaveDisposition, SaveResult, remedy_of};
use crate::store::ParkedState;

/// How often a record is repeated whose cause should pass by itself, before it is a failed record.
const RETRY_MAX: u32 = 20;
/// How often a record is repeated that was refused alone for a reason that a neighbour could have caused.
const ALONE_MAX: u32 = 3;
/// How often an HTTP 500 for a whole batch is repeated before it is halved.
const SERVER_ERROR_MAX: u32 = 3;
/// How often such a record is tried: four hours. Then it is a failed record (facts: rest.md section 15).
const WAIT_MAX: u32 = 240;
/// How often a record is tried that is refused for what should meet every record, and others are not.
const HELD_MAX: u32 = 10;
/// The code of a failed record whose value of the key field is another record's.
pub const KEY_TAKEN: &str = "KEY_TAKEN";
/// The code of a failed record on which the org itself failed, without a code of its own.
pub const HTTP_500: &str = "HTTP_500";
/// How long a record waits for a cause that passes in minutes or hours.
const WAIT: Duration = Duration::from_secs(60);
/// So many records that are refused for what is none's fault, and no other is saved: all of their kind would be refused.
const ALL_REFUSED: usize = 10;

/// Verdicts for each write, and what they mean for the target as a whole.
#[derive(Debug, Default)]
pub struct Judgement {
    pub verdicts: Vec<Verdict>,
    /// Nothing should be sent for this long.
    pub pause: Option<Duration>,
    /// No call of this kind should be made for this long.
    pub hold: Option<Duration>,
    /// What a person must do before anything goes on.
    pub remedy: Option<String>,
}

/// Delays, with their jitter: they are drawn elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct Delays<F> {
    /// For a record that was sent so many times.
    pub record: F,
    /// For the target, after it refused to work at all.
    pub target: Duration,
}

/// Judges the answer to a batch.
pub fn judge(
    batch: &Batch,
    answer: &Result<Vec<SaveResult>, CallError>,
    now: Instant,
    mut delays: Delays<impl FnMut(u32) -> Duration>,
) -> Judgement {
    let all = |verdict: &dyn Fn(u32) -> Verdict| batch.tries.iter().map(|tries| verdict(*tries)).collect();
    let alone = batch.writes.len() == 1;
    match answer {
        Ok(results) => judge_each(batch, results.iter().map(Ok), now, delays),
        Err(error) => {
            let mut judgement = Judgement::default();
            match error.disposition() {
                Disposition::Retry { after } => {
                    judgement.pause = Some(after.unwrap_or_default().max(delays.target));
                    judgement.verdicts = all(&|_| Verdict::Held { at: now });
                }
                Disposition::OutcomeUnknown => {
                    // Again at once: waiting would not make it surer. A target that keeps failing is left alone longer.
                    for tries in &batch.tries {
                        let delay = if *tries == 0 { Duration::ZERO } else { (delays.record)(*tries) };
                        judgement.verdicts.push(unknown(error, *tries, alone, now + delay));
                    }
                }
                Disposition::Split => {
                    let operation = batch.call.operation();
                    let refusal = error.as_refusal();
                    let decisive = refusal.as_ref().map(|refusal| refusal.decisive(operation));
                    let disposition = decisive.map(|error| error.disposition(operation));
                    let halts = disposition == Some(SaveDisposition::Halt);
                    let is_all = |error: &RecordError| batch.writes.iter().all(|write| names_a_field(error, write));
                    if halts && (alone || decisive.is_some_and(is_all)) {
                        judgement.remedy = decisive.map(|error| refused_for_all(batch.call.object(), &error.code));
                        judgement.hold = Some(WAIT).filter(|_| !alone);
                        judgement.verdicts = all(&|_| Verdict::Held { at: now + WAIT });
                    } else if !alone {
                        let too_much = disposition == Some(SaveDisposition::TooMuch) || error.status() == Some(413);
                        judgement.verdicts = all(&|_| if too_much { Verdict::TooMuch } else { Verdict::Split });
                    } else {
                        for (write, tries) in batch.writes.iter().zip(&batch.tries) {
                            let locked_at = now + (delays.record)(*tries);
                            let others_saved = false;
                            let told = Told { write, tries: *tries, alone, call: &batch.call, locked_at, others_saved };
                            judgement.verdicts.push(match (decisive, disposition) {
                                (Some(error), Some(disposition)) => {
                                    record(&told, disposition, error, now, &mut delays.record)
                                }
                                _ => Verdict::Unknown { at: now },
                            });
                        }
                    }
                }
                Disposition::Halt { remedy } => {
                    // About the object rather than the org: others go on.
                    let about_object = |code: &Code| {
                        matches!(
                            code,
                            Code::NotFound | Code::InvalidType | Code::InsufficientAccess | Code::MethodNotAllowed
                        )
                    };
                    if error.code().is_some_and(about_object) {
                        judgement.hold = Some(WAIT);
                    } else {
                        judgement.pause = Some(WAIT);
                    }
                    judgement.remedy = Some(format!("{error}: {remedy}"));
                    judgement.verdicts = all(&|_| Verdict::Held { at: now });
                }
            }
            judgement
        }
    }
}

/// Judges what is known of each write of a batch by itself: its result, or else the verdict as it is.
pub(super) fn judge_each<'a>(
    batch: &Batch,
    answers: impl Iterator<Item = Result<&'a SaveResult, Verdict>> + Clone,
    now: Instant,
    mut delays: Delays<impl FnMut(u32) -> Duration>,
) -> Judgement {
    let mut judgement = Judgement::default();
    let alone = batch.writes.len() == 1;
    let others_saved = answers.clone().any(|answer| matches!(answer, Ok(SaveResult::Saved { .. })));
    // Those that were locked come back together.
    let locked_at = now + (delays.record)(batch.tries.iter().copied().max().unwrap_or_default());
    for ((write, tries), answer) in batch.writes.iter().zip(&batch.tries).zip(answers.clone()) {
        judgement.verdicts.push(match answer {
            Err(verdict) => verdict,
            Ok(SaveResult::Saved { .. }) if batch.call.is_delete() => Verdict::Deleted,
            Ok(SaveResult::Saved { id, created }) => Verdict::Saved { id: *id, created: *created },
            Ok(SaveResult::Refused(refusal)) => {
                let operation = batch.call.operation();
                let disposition = refusal.disposition(operation);
                let decisive = refusal.decisive(operation);
                if disposition == SaveDisposition::Halt {
                    judgement.remedy = Some(refused_for_all(batch.call.object(), &decisive.code));
                }
                let told = Told { write, tries: *tries, alone, call: &batch.call, locked_at, others_saved };
                record(&told, disposition, decisive, now, &mut delays.record)
            }
        });
    }
    let all_answered = answers.clone().all(|answer| answer.is_ok());
    let all_held = judgement.verdicts.iter().all(|verdict| matches!(verdict, Verdict::Held { .. }));
    if all_answered && all_held && batch.writes.len() >= ALL_REFUSED {
        judgement.hold = Some(WAIT);
    }
    judgement
}

/// An answer that says that the org itself failed can be one record's fault (a trigger that the platform gives up on), so
/// after some tries the batch is halved until the record is alone. A cut line or a time-out says nothing of the records.
fn unknown(error: &CallError, tries: u32, alone: bool, at: Instant) -> Verdict {
    let failed_there = matches!(error, CallError::Unknown(Lost::Failed { status: 500, .. }));
    match (failed_there && tries >= SERVER_ERROR_MAX, alone) {
        (true, false) => Verdict::UnknownSplit { at },
        (true, true) if tries >= 2 * SERVER_ERROR_MAX => Verdict::Unexplained(Refusal {
            state: ParkedState::Failed,
            code: error.code().map_or_else(|| HTTP_500.to_owned(), ToString::to_string),
            fields: Vec::new(),
            waits_for: None,
            evidence: error.org_text().map(|text| text.reveal().to_owned()).unwrap_or_default(),
        }),
        _ => Verdict::Unknown { at },
    }
}

/// Records that are refused for what is not their fault: what to do.
fn refused_for_all(object: &ObjectName, code: &Code) -> String {
    format!("{object} is refused with {code}, whatever the record: {}. It is tried again each minute", remedy_of(code))
}

struct Told<'a> {
    write: &'a Write,
    tries: u32,
    alone: bool,
    call: &'a Call,
    /// When it is tried again if it was locked.
    locked_at: Instant,
    /// Others of the same call were saved.
    others_saved: bool,
}

fn record(
    told: &Told<'_>,
    disposition: SaveDisposition,
    error: &RecordError,
    now: Instant,
    mut delay: impl FnMut(u32) -> Duration,
) -> Verdict {
    let failed = |error: &RecordError| failed(told.write, error);
    match disposition {
        SaveDisposition::Retry if told.tries < RETRY_MAX => Verdict::Retry { at: now + delay(told.tries) },
        SaveDisposition::Locked if told.tries < RETRY_MAX => {
            Verdict::Locked { at: told.locked_at, records: ids_after(error.message.reveal(), "records:") }
        }
        SaveDisposition::Wait if told.tries < WAIT_MAX => Verdict::Retry { at: now + WAIT },
        // Where others are saved it is something about this record after all: it is held for a while only.
        SaveDisposition::Halt if !told.others_saved => Verdict::Held { at: now + WAIT },
        SaveDisposition::Halt if told.tries < HELD_MAX => Verdict::Retry { at: now + WAIT },
        // Its children may be on their way out.
        SaveDisposition::Dead if error.code == Code::DeleteFailed && told.tries < ALONE_MAX => {
            Verdict::Retry { at: now + delay(told.tries) }
        }
        SaveDisposition::Neighbour | SaveDisposition::DuplicateInBatch if !told.alone => Verdict::Split,
        SaveDisposition::TooMuch if !told.alone => Verdict::TooMuch,
        SaveDisposition::Neighbour | SaveDisposition::TooMuch if told.tries < ALONE_MAX => {
            Verdict::Retry { at: now + delay(told.tries) }
        }
        SaveDisposition::AwaitParent => match missing_parent(told.write, error) {
            Some(Reference { parent, if_missing: IfMissing::FillLater | IfMissing::Skip, .. }) => {
                Verdict::Without(parent.clone())
            }
            Some(Reference { parent, if_missing, .. }) => {
                Verdict::Refused(parent_missing(parent.clone(), *if_missing, error.message.reveal()))
            }
            None => Verdict::Refused(failed(error)),
        },
        SaveDisposition::TargetGone => match told.call {
            Call::Delete { .. } => Verdict::Deleted,
            Call::Update { .. } => Verdict::Gone,
            // An upsert has no row of its own to lose: something it refers to is gone.
            Call::Upsert { .. } if told.tries < ALONE_MAX => Verdict::Retry { at: now + delay(told.tries) },
            Call::Upsert { .. } => Verdict::Refused(failed(error)),
        },
        SaveDisposition::ReadWhole if matches!(told.write.body, Body::Partial(_)) => Verdict::Reread,
        SaveDisposition::Retry
        | SaveDisposition::Halt
        | SaveDisposition::Locked
        | SaveDisposition::Wait
        | SaveDisposition::Neighbour
        | SaveDisposition::TooMuch
        | SaveDisposition::DuplicateInBatch
        | SaveDisposition::ReadWhole
        | SaveDisposition::Dead => Verdict::Refused(failed(error)),
    }
}

/// A failed record. The org's own words are kept for people; they go to the store only.
fn failed(write: &Write, error: &RecordError) -> Refusal {
    if let Some(evidence) = key_taken(write, error) {
        let (code, fields) = (KEY_TAKEN.to_owned(), vec![write.key_field.to_string()]);
        return Refusal { state: ParkedState::Failed, code, fields, waits_for: None, evidence };
    }
    Refusal {
        state: ParkedState::Failed,
        code: error.code.to_string(),
        fields: error.fields.clone(),
        waits_for: None,
        evidence: error.message.reveal().to_owned(),
    }
}

/// What to tell of a record whose value of the key field another record of the target holds, or several do. `None`: it
/// is not that.
fn key_taken(write: &Write, error: &RecordError) -> Option<String> {
    let (key, said) = (write.key_field.as_str(), error.message.reveal());
    let names_key = error.fields.iter().any(|field| field.eq_ignore_ascii_case(key)) || says(said, key);
    let holders = holders(said);
    let by_whom = match holders.len() {
        0 => "another record".to_owned(),
        1 => format!("the record {}", holders.join("")),
        _ => format!("the records {}", holders.join(", ")),
    };
    let evidence = match error.code {
        Code::DuplicateValue if names_key => format!(
            "Its value of {key} belongs to {by_whom} of the target already. Decide which of them is its counterpart: clear \
             {key} in the other one, or delete it, or mend the value in the source; then redrive the record."
        ),
        // Only the key of an upsert is looked for so.
        Code::DuplicateExternalId => format!(
            "Its value of {key} belongs to {by_whom} of the target, so its counterpart cannot be told. Leave the value in \
             one of them, and make {key} unique in Setup; then redrive the record."
        ),
        _ => return None,
    };
    Some(format!("{evidence} The org said: {said}"))
}

/// Whether the org's words name a field.
fn says(said: &str, field: &str) -> bool {
    let words = said.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.into_iter().any(|word| word.eq_ignore_ascii_case(field))
}

/// Whether the org's words name a field that the write has.
fn names_a_field(error: &RecordError, write: &Write) -> bool {
    let said = error.message.reveal();
    let named = |field: &str| error.fields.iter().any(|known| known.eq_ignore_ascii_case(field)) || says(said, field);
    write.fields().is_some_and(|fields| fields.keys().any(|field| named(field.as_str())))
}

/// The ids that stand behind a mark: `... to this record or 1 records: 001..., 003...` (facts: rest.md section 15).
fn ids_after(said: &str, mark: &str) -> Vec<RecordId> {
    let list = said.rfind(mark).and_then(|at| said.get(at + mark.len()..)).unwrap_or_default();
    list.split(|c: char| !c.is_ascii_alphanumeric()).filter_map(|word| word.parse().ok()).collect()
}

/// The ids of the records that the org names: `... on record with id: 001...`, `...: [001..., 001...]` (facts: rest.md
/// sections 6 and 15). Values of fields stand before them, so only what follows counts.
fn holders(said: &str) -> Vec<&str> {
    let after = |mark: &str| said.rfind(mark).and_then(|at| said.get(at + mark.len()..));
    let list = after("record with id:").or_else(|| after("["));
    let words = list.into_iter().flat_map(|list| list.split(|c: char| !c.is_ascii_alphanumeric()));
    words.filter(|word| word.parse::<RecordId>().is_ok()).collect()
}

/// The parent that the org did not find. Its message names the value; with one lookup there is nothing to choose.
fn missing_parent<'w>(write: &'w Write, error: &RecordError) -> Option<&'w Reference> {
    let named = write.references().find(|reference| error.message.reveal().contains(reference.parent.record.as_str()));
    named.or_else(|| write.references().next())
}

impl Call {
    pub fn object(&self) -> &crate::event::ObjectName {
        match self {
            Self::Upsert { object, .. } | Self::Update { object, .. } | Self::Delete { object } => object,
        }
    }

    fn is_delete(&self) -> bool {
        matches!(self, Self::Delete { .. })
    }

    fn operation(&self) -> Operation {
        match self {
            Self::Upsert { .. } => Operation::Upsert,
            Self::Update { .. } => Operation::Update,
            Self::Delete { .. } => Operation::Delete,
        }
    }
}

#[cfg(test)]
mod tests;
