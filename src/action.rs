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
        (ActionState::Sent, Delivery::AtMostOnce) => {
            let stopped = call::Why { code: "STOPPED".to_owned(), evidence: String::new() };
            let call::Why { code, evidence } = machine::lost(&stopped);
            Resumed::Failed(ActionDone { state: ActionState::Failed, code, evidence, ..row.clone() })
        }
        (ActionState::Sent, Delivery::AtLeastOnce) | (ActionState::Again, _) => Resumed::Due(again(due)),
        (ActionState::Answered, _) => {
            let answer = row.answer.as_deref().and_then(|answer| serde_json::from_str(answer).ok());
            Resumed::Due(again(machine::Due { answer: Some(answer.unwrap_or_default()), ..due }))
        }
    }
}
