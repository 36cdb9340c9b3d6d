//! What a person can do about a record that failed or waits, by the code that it has. Pure.

use crate::mapping::{COMPOUND_VALUE, EXPRESSION_FAILED, KEY_EMPTY, LOOKUP_AMBIGUOUS, NO_TABLE_ENTRY, TYPE_MISMATCH};
use crate::org::Code;
use crate::pipeline::{NOT_VISIBLE, PARENT_GONE, TARGET_GONE};
use crate::publish::outbox::PARENT_MISSING;
use crate::publish::outcome::{HTTP_500, KEY_TAKEN};
use crate::store::{LOOKUP_MISSING, PARENT_DELETED, PARENT_DISCARDED, PARENT_EXCLUDED, PIPELINE_HALTED};

/// One or two sentences. `said`: the org's own words, where they are at hand; some codes mean several things, and only
/// they tell which.
pub fn remedy(code: &str, said: &str) -> &'static str {
    ours(code).unwrap_or_else(|| of_org(&Code::read(code, said)))
}

/// What the bridge itself gives as a cause.
fn ours(code: &str) -> Option<&'static str> {
    let remedy = match code {
        KEY_TAKEN => {
            "Another record of the target holds its value of the key field. Decide which of them is its counterpart: clear the \
             key in the other one, or delete it, or mend the value in the source; then redrive."
        }
        KEY_EMPTY => {
            "The field that fills the key is empty. Fill it in the source org: the record goes through when it is saved there."
        }
        PARENT_MISSING => {
            "Its parent is not in the target. Look for the parent among the failed records, or whether its pipeline's `when` \
             leaves it out; `if_missing: fill_later` on the lookup lets such records go ahead without it."
        }
        PARENT_GONE => {
            "Its parent's counterpart was deleted in the target and is made anew. Nothing to do: it goes on by itself."
        }
        PARENT_DISCARDED => {
            "It waited for a record that was discarded. Save that record in the source once more, or empty the lookup; then \
             redrive this one, or discard it too."
        }
        PARENT_EXCLUDED => {
            "Its parent is left out by the condition of the pipeline that writes it. Change the condition, or the parent; it goes \
             on by itself when the parent comes. Or let it go without: `if_missing: fill_later` or `skip` on the lookup."
        }
        PARENT_DELETED => {
            "Its parent is deleted in the source org. Restore the parent, or give the record another one: it goes on by itself."
        }
        LOOKUP_MISSING => {
            "What a lookup leads to is not in the target. Create it there; one that waits is tried again by itself, one that \
             failed by a redrive."
        }
        LOOKUP_AMBIGUOUS => {
            "Several records of the target hold the value that the lookup looks for. Leave it in one of them, then redrive."
        }
        NOT_VISIBLE => {
            "The source shows neither the record nor that it was deleted. Give the bridge's user access to it (View All on the \
             object, or sharing), then redrive with --waiting."
        }
        TARGET_GONE => {
            "Its counterpart was deleted in the target. Take it out of the recycle bin there and redrive, or have it made anew \
             with `when_target_gone: recreate`."
        }
        PIPELINE_HALTED => {
            "Its pipeline is halted or paused. It is written when the pipeline goes on: orgbridge resume PIPELINE."
        }
        TYPE_MISMATCH => {
            "A value cannot become what the target's field takes. Convert it in the mapping, or mend it in the source; then \
             redrive."
        }
        NO_TABLE_ENTRY => {
            "A `table` of the mapping has no line for the value. Add the line, or a `default`, restart the bridge, and redrive."
        }
        EXPRESSION_FAILED => {
            "An expression of the mapping has no result for this record; `orgbridge map --record ID` says why. Mend it, restart \
             the bridge, and redrive."
        }
        COMPOUND_VALUE => {
            "A whole compound value (an address, a name) is mapped to one field. Map its parts, restart the bridge, and redrive."
        }
        HTTP_500 => {
            "The target failed on this record alone, again and again, without a reason. Look into its Apex and debug logs for \
             this record; then redrive."
        }
        _ => return None,
    };
    Some(remedy)
}

fn of_org(code: &Code) -> &'static str {
    match code {
        Code::InvalidSessionId | Code::InvalidAuthHeader => {
            "The target did not accept the bridge's login for this record. Look at the connected app and the integration user; \
             then redrive."
        }
        Code::ApiDisabledForOrg | Code::ApiCurrentlyDisabled => {
            "The target's user has no API access. Switch on 'API Enabled' in a permission set of the bridge's user; then redrive."
        }
        Code::RequestLimit | Code::RequestLimitDaily | Code::RequestLimitConcurrent | Code::LimitExceeded => {
            "The target had used up a limit. Free some, or wait until it is reset; then redrive."
        }
        Code::ServerUnavailable | Code::Maintenance | Code::OrgLocked | Code::QueryTimeout => {
            "The target could not work for a time. When it is back (trust.salesforce.com), redrive."
        }
        Code::TrialExpired | Code::FunctionalityNotEnabled => {
            "The target lacks a feature or its licence. Have it switched on there; then redrive."
        }
        Code::LoginDuringRestrictedDomain | Code::LoginDuringRestrictedTime => {
            "The target's profile forbids the bridge's user this address or hour. Widen its login IP ranges or hours; then redrive."
        }
        Code::StorageLimitExceeded => "The target's storage is full. Free some there; then redrive.",
        Code::UnknownException => {
            "The target failed inside and gives no reason that it can name. Redrive once; if it stays, open a case with \
             Salesforce with the id in its answer."
        }
        Code::UnableToLockRow | Code::TriggerFoundLock | Code::EntityIsLocked | Code::RecordInUseByWorkflow => {
            "Somebody else holds the record, or its parent, in the target (an approval, a job, a parent with very many \
             children). When that is over, redrive."
        }
        Code::TooManyApexRequests | Code::RequestRunningTooLong | Code::TriggerHitLimit | Code::FlowHitLimit => {
            "Apex in the target takes too long. Look into its triggers and flows on this object; then redrive."
        }
        Code::TransactionSecurityMetering | Code::TransactionSecurityNoAccess => {
            "A transaction security policy of the target blocks the bridge's user. Exempt it there; then redrive."
        }
        Code::EventPublishingUnavailable | Code::EventPublishFailed | Code::EventEncryptionError => {
            "The target could not publish the platform event. Redrive; if it stays, look at the event's definition there."
        }
        Code::AllOrNoneRolledBack | Code::ProcessingHalted | Code::BatchProcessingHalted => {
            "It was rolled back because of another record. Redrive it alone."
        }
        Code::InvalidField | Code::InvalidFieldForInsertUpdate | Code::InvalidType => {
            "The target has no such field or object, or the bridge's user may not write it: `orgbridge check` says which. Give it \
             access by a permission set, or take the field out of the mapping; then redrive."
        }
        Code::ParentNotFound => {
            "The target does not have the parent that the record names. Look for it among the failed records; then redrive."
        }
        Code::ParentAmbiguous | Code::DuplicateExternalId => {
            "Several records of the target hold the same external id. Leave it in one of them, and make the field unique in \
             Setup; then redrive."
        }
        Code::NotFound | Code::EntityIsDeleted => {
            "The record, or one that it names, is gone from the target. Take it out of the recycle bin there, or mend the \
             lookup; then redrive."
        }
        Code::DuplicateValue => {
            "A unique field of the target holds the value already, in another record; the answer names it. Change one of them, \
             then redrive."
        }
        Code::DuplicateInRequest => "It was in one call with itself. Redrive it alone.",
        Code::DuplicatesDetected => {
            "A duplicate rule of the target blocks it. Merge the duplicates, or exempt the bridge's user in the rule; where \
             it only alerts, `duplicates: save_alerts` saves all the same. Then redrive."
        }
        Code::RequiredFieldMissing => {
            "A field that the target requires is empty. Map it, or give it a constant, or fill it in the source; then redrive."
        }
        Code::FieldCustomValidation => {
            "A validation rule of the target refuses it; the answer has its message. Mend the value in the source, or exempt the \
             bridge's user in the rule; then redrive."
        }
        Code::FieldIntegrity | Code::FieldFilterValidation => {
            "A value does not fit the others of its record, or the filter of a lookup. Mend it in the source or in the mapping; \
             then redrive."
        }
        Code::StringTooLong => {
            "A text is longer than the target's field. Cut it in the mapping, widen the field in the target, or shorten it in \
             the source; then redrive."
        }
        Code::NumberOutsideValidRange => {
            "A number has more digits than the target's field. Widen the field, or mend the number in the source; then redrive."
        }
        Code::BadPicklistValue | Code::TooManyEnumValue => {
            "The target's picklist does not have the value, or not for the record type. Add it there, or translate it with a \
             `table`; then redrive."
        }
        Code::InvalidTypeOnField | Code::JsonParserError => {
            "A value has not the type that the target's field takes. Convert it in the mapping; then redrive."
        }
        Code::InvalidEmailAddress => "An e-mail address is not one to the target. Mend it in the source; then redrive.",
        Code::InvalidCurrencyIso => {
            "The target does not have the currency. Activate it there, or translate it with a `table`; then redrive."
        }
        Code::TextOutsideCharset => {
            "A text has characters that the target cannot keep. Mend it in the source; then redrive."
        }
        Code::MalformedId | Code::InvalidIdField | Code::InvalidCrossReferenceKey => {
            "A lookup holds an id that is none in the target. Ids of the source mean nothing there: map the field with `parent:` \
             or `find:`; then redrive."
        }
        Code::MissingArgument => {
            "The call lacked something that the target wants: its answer says what. Mend the mapping; then redrive."
        }
        Code::NoAccessOnCrossReference | Code::NoAccessOrReadonly | Code::InsufficientAccess => {
            "The bridge's user may not write this record, or may not see one that it names. Give it access in the target \
             (permission set, sharing, Modify All on the object); then redrive."
        }
        Code::TriggerFailed => {
            "A trigger of the target failed on it; the answer names it. Mend the trigger or the value, or exempt the bridge's \
             user; then redrive."
        }
        Code::FlowFailed => {
            "A flow of the target failed on it; the answer names it. Mend the flow or the value, or exempt the bridge's user; \
             then redrive."
        }
        Code::ConvertedLead => {
            "The lead is converted in the target, and such leads cannot be changed. Discard the record, or give the bridge's user \
             'View and Edit Converted Leads'."
        }
        Code::InactiveOwner => {
            "The owner is not active in the target. Activate the user there, or map OwnerId to another one; then redrive."
        }
        Code::SelfReferenceFromTrigger => {
            "A trigger of the target changes the record that it runs for. Mend the trigger; then redrive."
        }
        Code::MixedDml => "Apex in the target writes setup objects together with others. Mend it there; then redrive.",
        Code::DeleteFailed => {
            "The target does not let it be deleted: others refer to it, or a trigger forbids it. Delete or move those first; then \
             redrive."
        }
        Code::CannotReparent => {
            "The target's master-detail field does not allow another parent. Allow reparenting in Setup, or discard the record."
        }
        Code::EntityIsArchived => "The record is archived in the target. Bring it back there, or discard this one.",
        Code::UnavailableRecordType => {
            "The bridge's user may not use the record type in the target. Assign it in a permission set or profile; then redrive."
        }
        Code::ChangedSinceRead => "It was changed in the target meanwhile. Redrive.",
        Code::ExceededIdLimit | Code::ExceededMaxSize | Code::OperationTooLarge => {
            "It is too large for one call. Leave large text fields out of the mapping; then redrive."
        }
        Code::InvalidQueryLocator
        | Code::QueryLocatorExpired
        | Code::MalformedQuery
        | Code::QueryTooComplicated
        | Code::MethodNotAllowed
        | Code::UnsupportedApiVersion
        | Code::IdempotencyNotEnabled
        | Code::IdempotencyNotSupported
        | Code::InvalidIdempotencyKey => {
            "The target refused the kind of call, not the record. Redrive; if it stays, report it to the makers of orgbridge with \
             `orgbridge failed show`."
        }
        Code::ApexFoundLock => "Apex in the target found a record locked by somebody else. When that is over, redrive.",
        Code::InvalidApiInput => {
            "The flow or Apex method has no such input, or not of this type; the answer names it. Mend the mapping, or the flow; \
             then redrive."
        }
        Code::ApexError => "Apex in the target failed; the answer says where. Mend it there; then redrive.",
        Code::PartnerNetworkStatus => {
            "A Salesforce to Salesforce connection of the target refuses it. End the sharing there; then redrive."
        }
        Code::Unknown(_) => {
            "This release does not know the code: the org's answer says what it wants (`orgbridge failed show RECORD`). Mend that, \
             then redrive."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: [&str; 17] = [
        KEY_TAKEN,
        KEY_EMPTY,
        PARENT_MISSING,
        PARENT_GONE,
        PARENT_DISCARDED,
        PARENT_EXCLUDED,
        PARENT_DELETED,
        LOOKUP_MISSING,
        LOOKUP_AMBIGUOUS,
        NOT_VISIBLE,
        TARGET_GONE,
        PIPELINE_HALTED,
        TYPE_MISMATCH,
        NO_TABLE_ENTRY,
        EXPRESSION_FAILED,
        COMPOUND_VALUE,
        HTTP_500,
    ];

    #[test]
    fn every_code_has_a_remedy_that_is_a_sentence() {
        let of_orgs = Code::known();
        let codes = OURS.into_iter().chain(of_orgs.iter().map(Code::as_str)).chain(["BRAND_NEW"]);
        for code in codes {
            let remedy = remedy(code, "");
            assert!(remedy.len() > 20 && (remedy.ends_with('.')), "{code}: {remedy}");
            assert!(!remedy.contains("  "), "{code}: {remedy}");
            for word in ["lane", "watermark", "settled", "lease", "outbox"] {
                assert!(!remedy.split(|c: char| !c.is_alphanumeric()).any(|one| one == word), "{code}: {remedy}");
            }
        }
    }

    #[test]
    fn our_own_codes_are_no_codes_of_an_org() {
        for code in OURS {
            assert!(matches!(Code::read(code, ""), Code::Unknown(_)), "{code}");
            assert!(ours(code).is_some(), "{code}");
        }
    }

    #[test]
    fn the_words_of_the_org_tell_which_meaning_a_code_has() {
        let said = "Foreign key external ID: x not found for field Key__c in entity Account";
        assert_ne!(remedy("INVALID_FIELD", said), remedy("INVALID_FIELD", ""));
        assert_eq!(remedy("INVALID_FIELD", said), of_org(&Code::ParentNotFound));
    }
}
