//! Which values of its picklists a record type has.
//!
//! The facts are silent here: this is the User Interface API, as its developer guide describes it ("Picklist Values
//! Collection", `GET /ui-api/object-info/OBJECT/picklist-values/RECORD_TYPE`). Which codes it refuses with is not written
//! there, so any refusal of the question counts as no answer, and what its answer leaves out is not known.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::super::super::Org;
use super::super::super::code::Code;
use super::super::super::error::CallError;
use super::{Asked, Reason};
use crate::event::{FieldName, ObjectName, RecordId};

/// By field, what the API works with. Fields that the user may not see are left out.
pub type PicklistValues = BTreeMap<FieldName, BTreeSet<String>>;

const NEEDS: &str = "read access to the object, and the object a place in the User Interface API";

impl Org {
    /// The values of an object's picklists that records of this type can have. Values of dependent picklists are all
    /// there, whatever the controlling field holds.
    pub async fn picklist_values(
        &self,
        object: &ObjectName,
        record_type: &RecordId,
    ) -> Result<Asked<PicklistValues>, CallError> {
        let path = format!("ui-api/object-info/{object}/picklist-values/{}", record_type.as_str());
        match self.get(&path).await {
            Ok(answer) => Ok(Asked::Known(read(&answer))),
            Err(error) => match refusal(&error) {
                Some(code) => Ok(Asked::Unknown(Reason { code, needs: NEEDS })),
                None => Err(error),
            },
        }
    }
}

/// The code of a refusal of the question itself: not of a token, a limit, or a line that failed.
fn refusal(error: &CallError) -> Option<Code> {
    let CallError::Refused { status: status @ (400 | 403..=405 | 501), .. } = error else { return None };
    match error.code() {
        Some(Code::RequestLimit | Code::RequestLimitDaily | Code::RequestLimitConcurrent) => None,
        Some(code) => Some(code.clone()),
        None => Some(Code::Unknown(format!("HTTP {status}").into())),
    }
}

fn read(answer: &Json) -> PicklistValues {
    let fields = answer["picklistFieldValues"].as_object().into_iter().flatten();
    let field = |(name, picklist): (&String, &Json)| {
        let values = picklist["values"].as_array()?.iter();
        Some((name.parse().ok()?, values.filter_map(|value| Some(value["value"].as_str()?.to_owned())).collect()))
    };
    fields.filter_map(field).collect()
}
