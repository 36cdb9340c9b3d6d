//! Flows and invocable methods of Apex: one call for many inputs (facts: rest.md section 12).

use std::time::Duration;

use super::{Called, Inputs, verdict};
use crate::event::FieldName;
use crate::org::{ActionKind, CallError, Code, Invoked, Org};

pub(super) struct Invocable {
    pub org: Org,
    pub kind: ActionKind,
    pub name: FieldName,
    pub timeout: Duration,
}

impl Invocable {
    pub async fn call(&self, inputs: &[Inputs<'_>]) -> Called {
        let sent = inputs.iter().map(Inputs::as_json).collect();
        match self.org.invoke(self.kind, &self.name, sent, self.timeout).await {
            Ok(results) => results_of(results),
            Err(error) => self.failed(&error, inputs.len()),
        }
    }

    fn failed(&self, error: &CallError, count: usize) -> Called {
        let called = verdict::failed(error, count);
        match error.code() {
            Some(Code::NotFound) if called.remedy.is_some() => {
                let name = &self.name;
                let remedy = match self.kind {
                    ActionKind::Flow => format!(
                        "the org has no autolaunched flow {name} that is active, or the bridge's user may not run it: \
                         activate it, and give the user Run Flows"
                    ),
                    ActionKind::Apex => format!(
                        "the org has no Apex class {name} with an invocable method, or the bridge's user may not see it: \
                         give the user access to the class"
                    ),
                };
                Called { remedy: Some(remedy), ..called }
            }
            _ => called,
        }
    }
}

/// A fault of one input can undo what was done for the others: they share a transaction.
fn results_of(results: Vec<Invoked>) -> Called {
    let result = |result| match result {
        Invoked::Done { outputs } => Ok(outputs),
        Invoked::Refused(refusal) => Err(refusal),
    };
    verdict::each(results.into_iter().map(result), verdict::Neighbours::Shared)
}
