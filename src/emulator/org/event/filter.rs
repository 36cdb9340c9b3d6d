//! The filter of a channel's member: a condition about the event's own fields and its header
//! (setup-metadata.md section 2).

use super::header::Header;
use crate::emulator::org::Object;
use crate::emulator::org::condition::Condition;
use crate::emulator::org::schema::FieldIndex;
use crate::emulator::org::table::Row;

/// So many fields may stand in one.
const FIELDS: usize = 10;

#[derive(Debug, Clone)]
pub struct Filter(Condition);

impl Filter {
    /// # Errors
    /// What cannot be read, a field that the object does not have, or too many of them.
    pub fn compile(text: &str, object: &Object) -> Result<Self, String> {
        let filter = Self(Condition::about_event(text, object)?);
        if filter.fields().len() > FIELDS {
            return Err(format!("a filter has at most {FIELDS} fields"));
        }
        Ok(filter)
    }

    /// Field-level security plays no part in it.
    pub fn holds(&self, object: &Object, event: &Row, header: Option<&Header>) -> bool {
        self.0.holds_for_event(object, event, header)
    }

    /// The fields that it reads, once each.
    pub fn fields(&self) -> Vec<FieldIndex> {
        self.0.fields()
    }
}
