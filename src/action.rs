//! Actions: something that is done for each event of a kind, in an org or elsewhere.
//!
//! [`prepare`] says what events mean, [`machine`] what is done next and knows no I/O; [`call`] does it; [`driver`] reads the journal, commits and calls on
//! the machine's behalf. An action is not repeatable in general, so nothing here is covered by a read, merged, or taken for done
//! because something newer was.

pub mod answer;
pub mod call;
pub mod driver;
pub mod failed;

pub mod machine;
pub mod prepare;

use crate::config::Delivery;
use crate::store::{ActionDone, ActionState};
use call::Why;

/// What becomes of an event of which an earlier process may know something.
#[derive(Debug)]
pub enum Resumed {
    /// It was done, or failed.
    Over,
    /// It may have been done, and is not done twice: its row from now on.
    Failed(ActionDone),
    Due(machine::Due),
}

/// `known`: its row, if it has one.
pub fn resume(known: Option<&ActionDone>, due: machine::Due, delivery: Delivery) -> Resumed {
    let Some(row) = known else { return Resumed::Due(due) };
    let again = |due: machine::Due| machine::Due { attempts: row.attempts, first_at: Some(row.first_at), ..due };
    match (row.state, delivery) {
        (ActionState::Done | ActionState::Failed, _) => Resumed::Over,
        (ActionState::Sent, Delivery::AtMostOnce) => Resumed::Failed(failed(row, machine::lost(&stopped()))),
        (ActionState::Sent, Delivery::AtLeastOnce) | (ActionState::Again, _) => Resumed::Due(again(due)),
        (ActionState::Answered, _) => {
            let answer = row.answer.as_deref().and_then(|answer| serde_json::from_str(answer).ok());
            Resumed::Due(again(machine::Due { answer: Some(answer.unwrap_or_default()), ..due }))
        }
    }
}

/// The row of an event that an earlier process began, and that cannot be done any more, or is not to be done as its record is by
/// now. None: what it has stays.
pub fn given_up(row: &ActionDone, why: Option<Why>, delivery: Delivery) -> Option<ActionDone> {
    match (row.state, why) {
        (ActionState::Done | ActionState::Failed, _) => None,
        (ActionState::Answered, None) => {
            let evidence = "It was done, and the bridge stopped before its answer was brought back; as its record is by now it does \
                            not trigger."
                .to_owned();
            Some(failed(row, Why { code: answer::ANSWER_KEPT.to_owned(), evidence }))
        }
        (ActionState::Sent, _) if delivery == Delivery::AtMostOnce => Some(failed(row, machine::lost(&stopped()))),
        (ActionState::Sent, None) => {
            let evidence =
                "It was out when the bridge stopped, so nobody knows whether it was done; as its record is by now it \
                            does not trigger, so it is not done again."
                    .to_owned();
            Some(failed(row, Why { code: machine::ANSWER_LOST.to_owned(), evidence }))
        }
        (ActionState::Again, None) => Some(ActionDone { state: ActionState::Done, redrive_at: None, ..row.clone() }),
        (ActionState::Sent | ActionState::Again | ActionState::Answered, Some(why)) => Some(failed(row, why)),
    }
}

fn stopped() -> Why {
    Why { code: "STOPPED".to_owned(), evidence: String::new() }
}

fn failed(row: &ActionDone, Why { code, evidence }: Why) -> ActionDone {
    ActionDone { state: ActionState::Failed, redrive_at: None, code, evidence, ..row.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Seq, Timestamp};
    use crate::store::{Occasion, OccasionOf};

    fn row(state: ActionState) -> ActionDone {
        ActionDone {
            occasion: Occasion { seq: Seq(1), of: OccasionOf::Event },
            state,
            idempotency_key: "key".to_owned(),
            attempts: 1,
            first_at: Timestamp(0),
            tried_at: Timestamp(0),
            code: String::new(),
            evidence: String::new(),
            request: None,
            answer: None,
            redrive_at: None,
        }
    }

    #[test]
    fn what_was_out_and_cannot_be_done_any_more_is_never_passed_over_in_silence() {
        use ActionState::{Again, Answered, Done, Failed, Sent};
        use Delivery::{AtLeastOnce, AtMostOnce};
        let gone = || Some(Why { code: "RECORD_GONE".to_owned(), evidence: String::new() });
        let lost = machine::ANSWER_LOST;
        for (state, why, delivery, wanted) in [
            (Sent, gone(), AtMostOnce, Some((Failed, lost))),
            (Sent, gone(), AtLeastOnce, Some((Failed, "RECORD_GONE"))),
            (Sent, None, AtMostOnce, Some((Failed, lost))),
            (Sent, None, AtLeastOnce, Some((Failed, lost))),
            (Again, gone(), AtMostOnce, Some((Failed, "RECORD_GONE"))),
            (Again, None, AtLeastOnce, Some((Done, ""))),
            (Answered, gone(), AtMostOnce, Some((Failed, "RECORD_GONE"))),
            (Answered, None, AtMostOnce, Some((Failed, answer::ANSWER_KEPT))),
            (Done, gone(), AtLeastOnce, None),
            (Failed, None, AtLeastOnce, None),
        ] {
            let becomes = given_up(&row(state), why, delivery);
            let shown = becomes.as_ref().map(|row| (row.state, row.code.as_str()));
            assert_eq!(shown, wanted, "{state:?}, {delivery:?}");
            assert!(becomes.is_none_or(|row| row.idempotency_key == "key" && row.attempts == 1));
        }
    }
}
