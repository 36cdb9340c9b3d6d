//! Asking for objects and fields, once for all who want to know (facts: rest.md section 3).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use reqwest::header::HeaderValue;

use super::super::describe::{GlobalDescribe, ObjectDescribe};
use super::super::error::CallError;
use super::super::single::Single;
use super::super::{Org, lock};
use super::UNREADABLE;
use crate::event::ObjectName;

/// What an org has said of its objects. Forgetting makes room for a new answer; who waits for the old one gets that.
#[derive(Default)]
pub struct Describes {
    /// By name in lower case.
    objects: Mutex<HashMap<String, Arc<Single<Known>>>>,
    all: Mutex<Arc<Single<Arc<GlobalDescribe>>>>,
}

#[derive(Debug, Clone)]
struct Known {
    describe: Arc<ObjectDescribe>,
    /// Since when the org has it so.
    modified: Option<HeaderValue>,
}

impl Describes {
    fn of(&self, object: &ObjectName) -> Arc<Single<Known>> {
        lock(&self.objects).entry(object.as_str().to_ascii_lowercase()).or_default().clone()
    }
}

impl Org {
    /// What the org says of an object, from memory where it is known: one request for all who ask at once. An object
    /// that does not exist, or that the user may not see, is refused with `NOT_FOUND`.
    pub async fn describe(&self, object: &ObjectName) -> Result<Arc<ObjectDescribe>, CallError> {
        let single = self.shared.describes.of(object);
        Ok(single.get(self.ask_describe(object, None)).await?.describe)
    }

    /// As [`Org::describe`], asked now and not from memory. Nothing tells whether a permission that changed counts as a
    /// change of the object, so this asks for the whole.
    pub async fn describe_now(&self, object: &ObjectName) -> Result<Arc<ObjectDescribe>, CallError> {
        let single = self.shared.describes.of(object);
        let undated = |known: Known| Known { modified: None, ..known };
        Ok(single.renew(|known| self.ask_describe(object, known.map(undated))).await?.describe)
    }

    /// As [`Org::describe`], asked now whether it has changed: cheap where it has not, for looking every so often.
    pub async fn refresh_describe(&self, object: &ObjectName) -> Result<Arc<ObjectDescribe>, CallError> {
        let single = self.shared.describes.of(object);
        Ok(single.renew(|known| self.ask_describe(object, known)).await?.describe)
    }

    async fn ask_describe(&self, object: &ObjectName, known: Option<Known>) -> Result<Known, CallError> {
        let request = self.reading(&format!("sobjects/{object}/describe"));
        let since = known.as_ref().and_then(|known| known.modified.as_ref());
        match (self.call_if_modified(&request, since).await?, known) {
            (Some(answer), known) => {
                let describe = Arc::new(ObjectDescribe::read(&answer.json).ok_or(UNREADABLE)?);
                // Who compares pointers sees that nothing has changed.
                let describe = match known {
                    Some(known) if known.describe == describe => known.describe,
                    _ => describe,
                };
                Ok(Known { describe, modified: answer.modified })
            }
            (None, Some(known)) => Ok(known),
            (None, None) => Err(UNREADABLE),
        }
    }

    /// What is in memory, and nothing is asked.
    pub fn known_describe(&self, object: &ObjectName) -> Option<Arc<ObjectDescribe>> {
        self.shared.describes.of(object).known().map(|known| known.describe)
    }

    /// The next [`Org::describe`] of the object asks the org: an event or a refusal says that it has changed.
    pub fn forget_describe(&self, object: &ObjectName) {
        lock(&self.shared.describes.objects).remove(&object.as_str().to_ascii_lowercase());
    }

    /// As [`Org::forget_describe`], of all objects and of their list.
    pub fn forget_describes(&self) {
        lock(&self.shared.describes.objects).clear();
        *lock(&self.shared.describes.all) = Arc::default();
    }

    /// The objects that the user may see, from memory where they are known: `GET /sobjects`.
    pub async fn describe_global(&self) -> Result<Arc<GlobalDescribe>, CallError> {
        let single = lock(&self.shared.describes.all).clone();
        let ask = async { GlobalDescribe::read(&self.get("sobjects").await?).map(Arc::new).ok_or(UNREADABLE) };
        single.get(ask).await
    }
}

#[cfg(test)]
mod tests;
