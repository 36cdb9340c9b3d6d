//! What an org's refusals mean for actions. Pure.

use std::time::Duration;

use serde_json::{Map, Value as Json};

use super::{CONNECTION_CUT, Called, LOGIN_FAILED, Outcome, TIMED_OUT, UNREACHABLE, UNREADABLE_ANSWER, Why};
use crate::org::{CallError, Code, Disposition, Limit, Lost, Operation, RecordError, Refusal, SaveDisposition};

/// After an org, or whoever a webhook is, did not want to, and does not say until when.
pub(super) const PAUSE: Duration = Duration::from_secs(5);
/// The same for what passes in minutes or hours, or when somebody does something about it.
pub(super) const LONG_PAUSE: Duration = Duration::from_secs(60);

/// Whether the events of one call can be each other's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Neighbours {
    /// One transaction for all: where none was done, one may be the cause for the others.
    Shared,
    /// Each is judged as if it were alone.
    Apart,
}

/// What a call that gave no results means for so many events.
pub(in super::super) fn failed(error: &CallError, count: usize) -> Called {
    let why = why(error);
    match error.disposition() {
        Disposition::Retry { after } => Called::paused(count, why, pause(error, after)),
        Disposition::OutcomeUnknown => Called::all(count, &Outcome::Unknown(why)),
        Disposition::Split if count == 1 => match error.as_refusal() {
            Some(refusal) => each([Err(refusal)], Neighbours::Apart),
            // Only what was refused is split.
            None => Called::all(count, &Outcome::Unknown(why)),
        },
        Disposition::Split => Called { alone: true, ..Called::all(count, &Outcome::NotYet(why)) },
        Disposition::Halt { remedy } => Called::halted(count, why, format!("{error}: {remedy}")),
    }
}

/// How long to leave the org alone.
pub(super) fn pause(error: &CallError, after: Option<Duration>) -> Duration {
    let least = match error.limit() {
        Some(Limit::Daily) => LONG_PAUSE,
        Some(Limit::Concurrent) | None => PAUSE,
    };
    after.unwrap_or_default().max(least)
}

/// The code of a failed call, and what the org said.
pub(super) fn why(error: &CallError) -> Why {
    let of = |code: Option<&Code>, status: u16| code.map_or_else(|| format!("HTTP_{status}"), ToString::to_string);
    let code = match error {
        CallError::NotSent => UNREACHABLE.to_owned(),
        CallError::LoginFailed(_) => LOGIN_FAILED.to_owned(),
        CallError::Refused { status, .. } | CallError::Unknown(Lost::Failed { status, .. }) => {
            of(error.code(), *status)
        }
        CallError::Unknown(Lost::Cut) => CONNECTION_CUT.to_owned(),
        CallError::Unknown(Lost::TimedOut) => TIMED_OUT.to_owned(),
        CallError::Unknown(Lost::Unreadable { .. } | Lost::Count { .. }) => UNREADABLE_ANSWER.to_owned(),
    };
    match error.org_text().map(|text| text.reveal()).filter(|said| !said.is_empty()) {
        Some(said) => Why::new(code, said),
        None => Why::new(code, &error.to_string()),
    }
}

/// Judges the results of a call one by one.
pub(in super::super) fn each(
    results: impl IntoIterator<Item = Result<Map<String, Json>, Refusal>>,
    neighbours: Neighbours,
) -> Called {
    let results: Vec<_> = results.into_iter().collect();
    let in_company = results.len() > 1 && neighbours == Neighbours::Shared;
    let none_done = results.iter().all(Result::is_err);
    let mut called = Called::default();
    for result in results {
        called.outcomes.push(match result {
            Ok(answer) => Outcome::Done { answer },
            Err(refusal) => {
                let error = refusal.decisive(OPERATION);
                let why = Why::new(error.code.to_string(), error.message.reveal());
                match judged(error, in_company, none_done) {
                    Judged::NotYet { pause } => {
                        called.pause = called.pause.max(pause);
                        Outcome::NotYet(why)
                    }
                    Judged::Alone => {
                        called.alone = true;
                        Outcome::NotYet(why)
                    }
                    Judged::Refused => Outcome::Refused(why),
                }
            }
        });
    }
    called
}

/// An action names no record that could be gone.
const OPERATION: Operation = Operation::Upsert;

enum Judged {
    NotYet {
        pause: Option<Duration>,
    },
    /// Not done: once more without the others.
    Alone,
    Refused,
}

fn judged(error: &RecordError, in_company: bool, none_done: bool) -> Judged {
    match error.disposition(OPERATION) {
        SaveDisposition::Retry | SaveDisposition::Locked | SaveDisposition::Wait => {
            Judged::NotYet { pause: pause_for_all(&error.code) }
        }
        SaveDisposition::TooMuch if in_company => Judged::Alone,
        // Where others were done, none of them can have been in its way.
        SaveDisposition::Neighbour | SaveDisposition::DuplicateInBatch if in_company && none_done => Judged::Alone,
        SaveDisposition::Neighbour
        | SaveDisposition::TooMuch
        | SaveDisposition::DuplicateInBatch
        | SaveDisposition::AwaitParent
        | SaveDisposition::TargetGone
        | SaveDisposition::ReadWhole
        | SaveDisposition::Dead
        // What an action does within may fail for one event in such a way, and not for others.
        | SaveDisposition::Halt => Judged::Refused,
    }
}

/// How long the next would be refused as well, if what refused this one is not its own.
fn pause_for_all(code: &Code) -> Option<Duration> {
    match code {
        Code::LimitExceeded
        | Code::RequestLimit
        | Code::RequestLimitDaily
        | Code::Maintenance
        | Code::ApiCurrentlyDisabled => Some(LONG_PAUSE),
        Code::EventPublishingUnavailable
        | Code::EventPublishFailed
        | Code::RequestLimitConcurrent
        | Code::ServerUnavailable
        | Code::TooManyApexRequests => Some(PAUSE),
        // Something about this one alone: a lock, an approval process.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, code: &str) -> CallError {
        let body = serde_json::json!([{"errorCode": code, "message": "the org's words"}]).to_string();
        CallError::from_answer(status, None, body.as_bytes())
    }

    fn refusal(code: &str) -> Result<Map<String, Json>, Refusal> {
        Err(Refusal::new(RecordError::new(code, "the org's words", Vec::new()), Vec::new()))
    }

    fn shown(called: &Called) -> Vec<String> {
        called.outcomes.iter().map(|outcome| format!("{outcome:?}")).collect()
    }

    #[test]
    fn a_call_that_failed_as_a_whole_is_judged_for_all() {
        let of = |error: &CallError| failed(error, 2);
        let called = of(&answer(503, "SERVER_UNAVAILABLE"));
        assert_eq!((shown(&called), called.pause), (vec!["NotYet(SERVER_UNAVAILABLE)".to_owned(); 2], Some(PAUSE)));
        let called = of(&CallError::from_answer(503, Some(Duration::from_secs(90)), b""));
        assert_eq!(
            (shown(&called), called.pause),
            (vec!["NotYet(HTTP_503)".to_owned(); 2], Some(Duration::from_secs(90)))
        );
        assert_eq!(of(&CallError::NotSent).pause, Some(PAUSE));
        assert_eq!(of(&answer(403, "REQUEST_LIMIT_EXCEEDED")).pause, Some(LONG_PAUSE));
        for (error, code) in [
            (CallError::Unknown(Lost::Cut), CONNECTION_CUT),
            (CallError::Unknown(Lost::TimedOut), TIMED_OUT),
            (CallError::Unknown(Lost::Count { sent: 2, got: 1 }), UNREADABLE_ANSWER),
            (answer(500, "UNKNOWN_EXCEPTION"), "UNKNOWN_EXCEPTION"),
            (CallError::from_answer(502, None, b"<html>"), "HTTP_502"),
        ] {
            let called = of(&error);
            assert_eq!(shown(&called), vec![format!("Unknown({code})"); 2]);
            assert_eq!((called.pause, called.remedy, called.alone), (None, None, false), "{error}");
        }
    }

    #[test]
    fn what_needs_a_person_says_what_and_pauses() {
        let called = failed(&answer(404, "NOT_FOUND"), 3);
        assert_eq!(shown(&called), vec!["NotYet(NOT_FOUND)"; 3]);
        assert_eq!(called.pause, Some(LONG_PAUSE));
        assert!(!called.remedy.unwrap().contains("the org's words"));
    }

    #[test]
    fn a_refusal_that_one_may_have_caused_makes_all_be_called_alone_and_alone_it_is_its_own() {
        let called = failed(&answer(400, "JSON_PARSER_ERROR"), 2);
        assert_eq!((shown(&called), called.alone), (vec!["NotYet(JSON_PARSER_ERROR)".to_owned(); 2], true));
        let called = failed(&answer(400, "JSON_PARSER_ERROR"), 1);
        assert_eq!((shown(&called), called.alone), (vec!["Refused(JSON_PARSER_ERROR)".to_owned()], false));
        let called = failed(&answer(400, "UNABLE_TO_LOCK_ROW"), 1);
        assert_eq!(shown(&called), ["NotYet(UNABLE_TO_LOCK_ROW)"]);
        let Outcome::NotYet(why) = &called.outcomes[0] else { panic!() };
        assert_eq!(why.evidence, "the org's words");
    }

    #[test]
    fn of_a_transaction_in_which_nothing_was_done_nobody_knows_whose_fault_it_was() {
        let called = each([refusal("FLOW_EXCEPTION"), refusal("FLOW_EXCEPTION")], Neighbours::Shared);
        assert_eq!((shown(&called), called.alone), (vec!["NotYet(FLOW_EXCEPTION)".to_owned(); 2], true));
        let called = each([refusal("FLOW_EXCEPTION"), Ok(Map::new())], Neighbours::Shared);
        assert_eq!(
            (shown(&called), called.alone),
            (vec!["Refused(FLOW_EXCEPTION)".to_owned(), "Done".to_owned()], false)
        );
        let called = each([refusal("FLOW_EXCEPTION"), refusal("FLOW_EXCEPTION")], Neighbours::Apart);
        assert_eq!((shown(&called), called.alone), (vec!["Refused(FLOW_EXCEPTION)".to_owned(); 2], false));
        let called = each([refusal("FLOW_EXCEPTION")], Neighbours::Shared);
        assert_eq!((shown(&called), called.alone), (vec!["Refused(FLOW_EXCEPTION)".to_owned()], false));
    }

    #[test]
    fn an_input_that_an_action_does_not_have_is_refused_whatever_became_of_the_others() {
        for code in ["INVALID_API_INPUT", "REQUIRED_FIELD_MISSING"] {
            let called = each([refusal(code), refusal(code)], Neighbours::Shared);
            assert_eq!((shown(&called), called.alone), (vec![format!("Refused({code})"); 2], false));
        }
    }

    #[test]
    fn what_passes_by_itself_is_tried_again_and_a_limit_of_the_org_pauses_all() {
        for (code, pause) in [
            ("UNABLE_TO_LOCK_ROW", None),
            ("ENTITY_IS_LOCKED", None),
            ("LIMIT_EXCEEDED", Some(LONG_PAUSE)),
            ("PLATFORM_EVENT_PUBLISHING_UNAVAILABLE", Some(PAUSE)),
            ("PLATFORM_EVENT_PUBLISH_FAILED", Some(PAUSE)),
        ] {
            let called = each([Ok(Map::new()), refusal(code)], Neighbours::Apart);
            assert_eq!((shown(&called), called.pause), (vec!["Done".to_owned(), format!("NotYet({code})")], pause));
        }
        let called = each([refusal("PLATFORM_EVENT_ENCRYPTION_ERROR")], Neighbours::Apart);
        assert_eq!(shown(&called), ["Refused(PLATFORM_EVENT_ENCRYPTION_ERROR)"]);
    }
}
