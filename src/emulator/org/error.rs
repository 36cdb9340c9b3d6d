//! Why the org did not save a record, in the platform's codes and texts (rest.md sections 4 to 7 and 15).

use serde_json::Value as Json;

use super::Id;

const UNPLACED: &str = "[line:1, column:1]";

/// One error of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaveError {
    pub code: &'static str,
    pub message: String,
    pub fields: Vec<String>,
    /// The request itself is wrong: within a collection it fails all of it, unless a switch says otherwise.
    pub malformed: bool,
    /// What else is wrong with the record: several validation rules can be broken at once.
    pub others: Box<[SaveError]>,
    /// Every record of its chunk fails with it.
    pub whole_chunk: bool,
    /// What a duplicate rule found, in the form of the answer's `duplicateResult`.
    pub duplicates: Option<Box<Json>>,
    /// Of a value of the wrong JSON type: the keys and indexes that lead to it in the request.
    pub path: Box<[String]>,
}

impl SaveError {
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            fields: Vec::new(),
            malformed: false,
            others: Box::default(),
            whole_chunk: false,
            duplicates: None,
            path: Box::default(),
        }
    }

    pub fn on(mut self, field: &str) -> Self {
        self.fields.push(field.to_owned());
        self
    }

    /// It was found under this key, or at this index.
    pub fn within(mut self, step: impl ToString) -> Self {
        let mut path = std::mem::take(&mut self.path).into_vec();
        path.insert(0, step.to_string());
        self.path = path.into();
        self
    }

    pub fn malformed(mut self) -> Self {
        self.malformed = true;
        self
    }

    pub fn whole_chunk(mut self) -> Self {
        self.whole_chunk = true;
        self
    }

    pub fn no_access() -> Self {
        Self::new("INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id")
    }

    /// A parent that is not shared with the caller.
    pub fn no_access_to_parent(id: &Id) -> Self {
        let message = format!("insufficient access rights on cross-reference id: {}", id.short());
        Self::new("INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", message)
    }

    pub fn no_such_column(field: &str, object: &str) -> Self {
        Self::new("INVALID_FIELD", format!("No such column '{field}' on sobject of type {object}")).malformed()
    }

    /// A value of the wrong JSON type, named as the platform's parser names it. Its place is known only to those who
    /// have the text of the request: see [`Self::at`].
    pub fn wrong_json(kind: &str, value: &Json) -> Self {
        let token = match value {
            Json::Null => "VALUE_NULL",
            Json::Bool(true) => "VALUE_TRUE",
            Json::Bool(false) => "VALUE_FALSE",
            Json::Number(n) if n.to_string().contains(['.', 'e', 'E']) => "VALUE_NUMBER_FLOAT",
            Json::Number(_) => "VALUE_NUMBER_INT",
            Json::String(_) => "VALUE_STRING",
            Json::Array(_) => "START_ARRAY",
            Json::Object(_) => "START_OBJECT",
        };
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let message = format!(
            "Cannot deserialize instance of {kind} from {token} value {value} or request may be missing a required field at {UNPLACED}"
        );
        Self::new("JSON_PARSER_ERROR", message).malformed()
    }

    /// Tells where the wrong value stands.
    pub fn at(mut self, line: usize, column: usize) -> Self {
        if let Some(text) = self.message.strip_suffix(UNPLACED) {
            self.message = format!("{text}[line:{line}, column:{column}]");
        }
        self
    }

    pub fn missing(fields: Vec<String>) -> Self {
        let message = format!("Required fields are missing: [{}]", fields.join(", "));
        Self { fields, ..Self::new("REQUIRED_FIELD_MISSING", message) }
    }

    pub fn id_in_body() -> Self {
        Self::new("INVALID_FIELD", "The Id field should not be specified in the sobject data.")
    }

    pub fn wrong_type_of_id(label: &str, value: &str) -> Self {
        Self::new("MALFORMED_ID", format!("{label}: id value of incorrect type: {value}"))
    }

    pub fn unknown_id() -> Self {
        Self::new("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
    }

    /// A parent that is named by an external id and by its own.
    pub fn both_references(relationship: &str, field: &str) -> Self {
        let message =
            format!("Cannot specify both an external ID reference {relationship} and a salesforce id, {field}");
        Self::new("INVALID_FIELD", message)
    }

    pub fn is_deleted() -> Self {
        Self::new("ENTITY_IS_DELETED", "entity is deleted")
    }

    pub fn locked(id: Option<&str>) -> Self {
        let tail = id.map(|id| format!(" or 1 records: {id}")).unwrap_or_default();
        Self::new("UNABLE_TO_LOCK_ROW", format!("unable to obtain exclusive access to this record{tail}"))
    }

    pub fn mixed(object: &str, earlier: &str) -> Self {
        let message = format!(
            "DML operation on setup object is not permitted after you have updated a non-setup object (or vice versa): {object}, original object: {earlier}"
        );
        Self::new("MIXED_DML_OPERATION", message)
    }

    pub fn rolled_back() -> Self {
        Self::new(
            "ALL_OR_NONE_OPERATION_ROLLED_BACK",
            "Record rolled back because not all records were valid and the request was using AllOrNone header",
        )
    }
}
