//! Single records of a request: which ones a rule means, and how it makes them fail.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{LazyLock, Mutex, PoisonError};

use serde_json::{Map, Value as Json};

use super::glob;
use crate::org::{SaveError, Write};

/// What a rule wants of a record: fields, each with what their value must be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Where(Vec<(String, String)>);

impl Where {
    /// Reads `{"Name": "Acme*", "Account.Source_Id__c": "..."}`. A dot leads into a parent that is named by its key; `Id` is
    /// the record's own.
    ///
    /// # Errors
    /// What is wrong.
    pub fn read(json: Json) -> Result<Self, String> {
        let wrong = || "where: an object of fields and texts, in which `*` is any text".to_owned();
        let Json::Object(fields) = json else { return Err(wrong()) };
        if fields.is_empty() {
            return Err(wrong());
        }
        let read = |(field, pattern): (String, Json)| Some((field, text(&pattern)?.into_owned()));
        fields.into_iter().map(read).collect::<Option<_>>().map(Self).ok_or_else(wrong)
    }

    /// Whether a record as it was sent is meant; `id`: what the request names it by elsewhere.
    pub fn fits(&self, fields: &Map<String, Json>, id: Option<&str>) -> bool {
        self.0.iter().all(|(field, pattern)| match id.filter(|_| field.eq_ignore_ascii_case("id")) {
            Some(id) => glob::fits(pattern, id),
            None => value(fields, field).is_some_and(|value| glob::fits(pattern, &value)),
        })
    }

    pub fn fits_write(&self, write: &Write) -> bool {
        match write {
            Write::Create { fields, .. } | Write::Upsert { fields, .. } => self.fits(fields, None),
            Write::Update { id, fields, .. } => self.fits(fields, Some(id.as_str())),
            Write::Delete { id } | Write::Undelete { id } => self.fits(&Map::new(), Some(id.as_str())),
        }
    }
}

fn value<'a>(fields: &'a Map<String, Json>, path: &str) -> Option<Cow<'a, str>> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let (_, found) = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(first))?;
    match rest {
        Some(rest) => value(found.as_object()?, rest),
        None => text(found),
    }
}

/// The text of a value that has one: an empty field has not.
fn text(value: &Json) -> Option<Cow<'_, str>> {
    match value {
        Json::String(text) => Some(Cow::Borrowed(text)),
        Json::Number(_) | Json::Bool(_) => Some(Cow::Owned(value.to_string())),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

/// What a record is refused with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemRefusal {
    pub code: &'static str,
    pub message: String,
    pub fields: Vec<String>,
}

impl ItemRefusal {
    pub fn error(&self) -> SaveError {
        let fields = self.fields.clone();
        SaveError { fields, ..SaveError::new(self.code, self.message.clone()) }
    }
}

/// Codes of errors are constants elsewhere. One that a rule brings is kept for the life of the process, each once.
pub fn lasting(code: &str) -> &'static str {
    static KNOWN: LazyLock<Mutex<HashSet<&'static str>>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.get(code).copied().unwrap_or_else(|| {
        let kept: &'static str = Box::leak(code.into());
        known.insert(kept);
        kept
    })
}
