//! Person accounts: an account that is a contact, too, and one record for whoever maps it (facts: streaming-cometd.md
//! section 13).
//!
//! An event of a new account has all of it. When one is updated, what belongs to its contact may be in the contact's
//! event alone, and the account's then tells no more than that something changed.

use crate::event::{Field, FieldPath, ObjectName, Part, Value};

const ACCOUNT: &str = "Account";

/// Whether a source field is one that an account has from its contact: `PersonEmail`, `PersonMailingAddress.City`,
/// `Level__pc`.
pub fn is_of_contact(object: &ObjectName, path: &FieldPath) -> bool {
    object.as_str().eq_ignore_ascii_case(ACCOUNT) && of_contact(path.top())
}

fn of_contact(field: &str) -> bool {
    // This one says which contact it is.
    let standard = field.starts_with("Person") && !field.ends_with("__c") && field != "PersonContactId";
    standard || field.ends_with("__pc")
}

/// Whether an update of an account may leave out what changed of its contact.
///
/// UNSURE: whether it does wherever contacts are captured as well. An event that tells of any such field tells of all.
pub(super) fn may_leave_out(part: &Part) -> bool {
    let fields = &part.change.fields;
    let told = |(name, field): (&String, &Field)| of_contact(name) && !matches!(field, Field::Same(_));
    let is_business = match (fields.get("Name"), fields.get("IsPersonAccount")) {
        // The name of a person is a compound.
        (Some(Field::New(Value::Text(_)) | Field::Same(Value::Text(_))), _) => true,
        (_, Some(Field::New(Value::Bool(person)) | Field::Same(Value::Bool(person)))) => !person,
        _ => false,
    };
    !is_business && !fields.iter().any(told)
}
