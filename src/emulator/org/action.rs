//! Actions that can be called by name: flows and Apex methods (rest.md section 12).
//!
//! A scenario says what goes in, what comes out and what makes one fail. Each call is kept, for tests to look at.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::error::SaveError;
use super::event::uuid_text;
use super::{Id, Org};

/// Calls that are kept; the oldest go first.
const KEPT: usize = 10_000;

#[derive(Debug, Clone)]
pub struct Action {
    pub name: String,
    pub kind: ActionKind,
    pub label: String,
    pub inputs: BTreeMap<String, Input>,
    /// `{name}` in a text is replaced by the input of that name.
    pub outputs: BTreeMap<String, Json>,
    /// It fails when the input of one of these names has the value.
    pub fails_when: BTreeMap<String, Json>,
    pub fault: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionKind {
    Flow,
    Apex,
}

impl ActionKind {
    /// The segment of the path under `/actions/custom`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flow => "flow",
            Self::Apex => "apex",
        }
    }
}

#[derive(Debug, Clone)]
pub struct Input {
    /// `string`, `double`, `boolean` and so on, as the describe shows it.
    pub kind: String,
    pub required: bool,
}

/// One call that was made, whatever came of it.
#[derive(Debug, Clone)]
pub struct ActionCall {
    pub n: u64,
    pub at: i64,
    pub user: Id,
    pub name: String,
    pub kind: ActionKind,
    pub inputs: Map<String, Json>,
    pub outcome: Result<Map<String, Json>, SaveError>,
}

impl Org {
    pub fn action(&self, kind: ActionKind, name: &str) -> Option<&Action> {
        self.actions.iter().find(|action| action.kind == kind && action.name.eq_ignore_ascii_case(name))
    }

    /// Calls an action once; what came of it is also kept.
    ///
    /// # Errors
    /// A missing or unknown input, or the action's own fault.
    pub fn call_action(
        &mut self,
        user: &Id,
        action: &Action,
        inputs: &Map<String, Json>,
        now: i64,
    ) -> Result<Map<String, Json>, SaveError> {
        let mut outcome = action.run(inputs);
        if let (ActionKind::Flow, Ok(outputs)) = (action.kind, &mut outcome) {
            outputs.insert("Flow__InterviewGuid".into(), uuid_text(self.rng.u128(..)).into());
            outputs.insert("Flow__InterviewStatus".into(), "Finished".into());
        }
        self.action_calls_made += 1;
        if self.action_calls.len() == KEPT {
            self.action_calls.pop_front();
        }
        self.action_calls.push_back(ActionCall {
            n: self.action_calls_made,
            at: now,
            user: user.clone(),
            name: action.name.clone(),
            kind: action.kind,
            inputs: inputs.clone(),
            outcome: outcome.clone(),
        });
        outcome
    }

    /// The calls that were made behind number `n`, oldest first.
    pub fn action_calls_after(&self, n: u64) -> impl Iterator<Item = &ActionCall> {
        self.action_calls.iter().filter(move |call| call.n > n)
    }
}

impl Action {
    fn run(&self, inputs: &Map<String, Json>) -> Result<Map<String, Json>, SaveError> {
        let given = |name: &str| inputs.get(name).filter(|value| !value.is_null());
        let missing: Vec<String> = self
            .inputs
            .iter()
            .filter(|(name, input)| input.required && given(name).is_none())
            .map(|(name, _)| name.clone())
            .collect();
        if let Some(first) = missing.first() {
            let message = format!("Missing required input parameter: {first}");
            return Err(SaveError { fields: missing, ..SaveError::new("REQUIRED_FIELD_MISSING", message) });
        }
        if let Some(unknown) = inputs.keys().find(|name| !self.inputs.contains_key(*name)) {
            let message = format!("The input parameter {unknown} is not defined for the action {}", self.name);
            return Err(SaveError::new("INVALID_API_INPUT", message).on(unknown));
        }
        if let Some((name, value)) = inputs.iter().find(|(name, value)| !self.fits(name, value)) {
            let message = format!("Invalid value for the input parameter {name}: {value}");
            return Err(SaveError::new("INVALID_API_INPUT", message).on(name));
        }
        if self.fails_when.iter().any(|(name, value)| inputs.get(name) == Some(value)) {
            let code = match self.kind {
                ActionKind::Flow => "FLOW_EXCEPTION",
                ActionKind::Apex => "UNKNOWN_EXCEPTION",
            };
            return Err(SaveError::new(code, self.fault.as_str()));
        }
        Ok(self.outputs.iter().map(|(name, value)| (name.clone(), filled(value, inputs))).collect())
    }

    /// Whether a value may be given for an input, as far as the type's name tells.
    fn fits(&self, name: &str, value: &Json) -> bool {
        let Some(input) = self.inputs.get(name) else { return false };
        match input.kind.to_ascii_lowercase().as_str() {
            _ if value.is_null() => true,
            "boolean" => value.is_boolean(),
            "double" | "number" | "currency" | "int" | "integer" | "long" => value.is_number(),
            "string" | "text" | "date" | "datetime" | "id" => value.is_string(),
            _ => true,
        }
    }
}

/// An output whose texts are filled with inputs.
fn filled(output: &Json, inputs: &Map<String, Json>) -> Json {
    let Some(template) = output.as_str() else { return output.clone() };
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let named = after.split_once('}').and_then(|(name, tail)| Some((inputs.get(name)?, tail)));
        rest = match named {
            Some((value, tail)) => {
                text.push_str(&value.as_str().map_or_else(|| value.to_string(), str::to_owned));
                tail
            }
            None => {
                text.push('{'); // no input of this name: it stays as it is
                after
            }
        };
    }
    text.push_str(rest);
    text.into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::filled;

    #[test]
    fn outputs_are_filled_with_inputs_and_unknown_names_stay() {
        let inputs = json!({"a": "x", "n": 12.5});
        let inputs = inputs.as_object().unwrap();
        for (template, text) in
            [("{a}-{n}", "x-12.5"), ("{b} {a}", "{b} x"), ("{ {a} }", "{ x }"), ("{a", "{a"), ("plain", "plain")]
        {
            assert_eq!(filled(&json!(template), inputs), json!(text), "{template}");
        }
        assert_eq!(filled(&json!(7), inputs), json!(7));
    }
}
