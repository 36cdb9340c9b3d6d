//! What an org said of each record of a batch, and what is to be done with a refused one; pure.

use serde_json::Value;

use super::code::{Code, OrgText};
use crate::event::RecordId;

/// The result for one record of a collection call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SaveResult {
    Saved {
        id: RecordId,
        /// Upserts say whether the record is new; updates and deletes do not.
        created: Option<bool>,
    },
    Refused(Refusal),
}

/// Why one record was not saved: at least one error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    first: RecordError,
    others: Vec<RecordError>,
}

/// One thing that an org found wrong with a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordError {
    pub code: Code,
    /// In the org's own words; may hold record values.
    pub message: OrgText,
    /// API names; often empty.
    pub fields: Vec<String>,
}

/// What was asked for a record. Some codes mean different things for different calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Upsert,
    Update,
    Delete,
}

/// What becomes of a refused record. Listed from the mildest to the gravest; of several errors the gravest decides,
/// for a record with a wrong value is not helped by waiting for its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SaveDisposition {
    /// The cause passes by itself in seconds: the same again, after a backoff.
    Retry,
    /// A row is locked, by us or by others: the same again, after a backoff, and apart from what locks the same.
    Locked,
    /// The cause passes in minutes or hours (a limit, maintenance, an approval process): the same again, later.
    Wait,
    /// A neighbour in the request may be the cause: once more alone. Refused alone, it is a failed record.
    Neighbour,
    /// The batch was more than the org's automation can do in one transaction: a smaller one. Refused alone, it is a failed
    /// record.
    TooMuch,
    /// The request held the same record twice: one after the other.
    DuplicateInBatch,
    /// A parent named by external id is not there: wait for it.
    AwaitParent,
    /// The target record does not exist. A delete has reached its goal.
    TargetGone,
    /// An update turned out to be a create and lacks fields, or refers to something that is gone: once more with the whole
    /// record, as it is by then.
    ReadWhole,
    /// A failed record: repeating cannot help.
    Dead,
    /// Not this record's fault: each one would fail, so the pipeline stops and asks for a person.
    Halt,
}

impl RecordError {
    pub fn new(code: &str, message: &str, fields: Vec<String>) -> Self {
        Self { code: Code::read(code, message), message: OrgText::new(message), fields }
    }

    /// Reads one element of `errors`, or of the body of a refused request. `None`: it is none.
    pub(super) fn read(json: &Value) -> Option<Self> {
        let text = |key: &str| json.get(key).and_then(Value::as_str);
        let code = text("statusCode").or_else(|| text("errorCode"))?;
        let fields = json.get("fields").and_then(Value::as_array).into_iter().flatten();
        let fields = fields.filter_map(Value::as_str).map(str::to_owned).collect();
        Some(Self::new(code, text("message").unwrap_or_default(), fields))
    }

    /// Reads what a Bulk job says of a row: `CODE:message:fields --` (facts: bulk2.md section 3). The message itself can
    /// hold colons and line breaks, so it is what both ends leave.
    pub(super) fn of_row(text: &str) -> Self {
        let (code, rest) = text.split_once(':').unwrap_or((text, ""));
        let told = rest.trim_end().strip_suffix("--").and_then(|rest| rest.rsplit_once(':'));
        let is_name = |name: &str| {
            !name.is_empty() && name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'.'))
        };
        let names = |list: &str| list.trim().is_empty() || list.split(',').all(|name| is_name(name.trim()));
        let (message, fields) = told.filter(|(_, fields)| names(fields)).unwrap_or((rest, ""));
        let fields = fields.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
        Self::new(code.trim(), message, fields)
    }

    /// What this error alone would mean (facts: rest.md section 15). No `_` arm, so that no new code is repeated, or
    /// put aside, by accident.
    pub fn disposition(&self, operation: Operation) -> SaveDisposition {
        use SaveDisposition as Do;
        match &self.code {
            Code::UnableToLockRow | Code::TriggerFoundLock | Code::ApexFoundLock => Do::Locked,

            Code::TooManyApexRequests
            | Code::TransactionSecurityMetering
            | Code::EventPublishingUnavailable
            | Code::EventPublishFailed
            | Code::RequestLimitConcurrent
            // About the call or the session rather than the record.
            | Code::InvalidSessionId
            | Code::InvalidAuthHeader
            | Code::InvalidQueryLocator
            | Code::QueryLocatorExpired => Do::Retry,

            Code::ApiCurrentlyDisabled
            | Code::RequestLimit
            | Code::RequestLimitDaily
            | Code::ServerUnavailable
            | Code::Maintenance
            | Code::LimitExceeded
            | Code::EntityIsLocked
            | Code::RecordInUseByWorkflow => Do::Wait,

            Code::UnknownException
            | Code::TriggerFailed
            | Code::FlowFailed
            | Code::SelfReferenceFromTrigger
            | Code::MixedDml
            | Code::AllOrNoneRolledBack
            | Code::ProcessingHalted
            | Code::BatchProcessingHalted
            | Code::ApexError
            // A neighbour may hold the value, or be about to give it up; or somebody created the record meanwhile.
            | Code::DuplicateValue
            // What nobody knows gets one more try, alone.
            | Code::Unknown(_) => Do::Neighbour,

            Code::TriggerHitLimit
            | Code::FlowHitLimit
            | Code::RequestRunningTooLong
            | Code::QueryTimeout
            | Code::ExceededIdLimit
            | Code::ExceededMaxSize
            | Code::OperationTooLarge => Do::TooMuch,

            Code::DuplicateInRequest => Do::DuplicateInBatch,
            Code::ParentNotFound => Do::AwaitParent,
            Code::RequiredFieldMissing => Do::ReadWhole,

            Code::EntityIsDeleted | Code::InvalidCrossReferenceKey | Code::NotFound => match operation {
                Operation::Update if self.is_about_a_reference() => Do::ReadWhole,
                Operation::Update | Operation::Delete => Do::TargetGone,
                // An upsert names no target id: its parent is gone, or it was itself deleted this moment. The second
                // try tells.
                Operation::Upsert => Do::Neighbour,
            },

            Code::ApiDisabledForOrg
            | Code::OrgLocked
            | Code::TrialExpired
            | Code::FunctionalityNotEnabled
            | Code::LoginDuringRestrictedDomain
            | Code::LoginDuringRestrictedTime
            | Code::TransactionSecurityNoAccess
            | Code::StorageLimitExceeded
            | Code::InvalidField
            | Code::InvalidFieldForInsertUpdate
            | Code::InvalidType
            | Code::InsufficientAccess
            | Code::MethodNotAllowed
            | Code::UnsupportedApiVersion => Do::Halt,

            Code::EventEncryptionError
            | Code::ParentAmbiguous
            | Code::DuplicateExternalId
            | Code::DuplicatesDetected
            | Code::FieldCustomValidation
            | Code::FieldIntegrity
            | Code::FieldFilterValidation
            | Code::StringTooLong
            | Code::NumberOutsideValidRange
            | Code::BadPicklistValue
            | Code::InvalidTypeOnField
            | Code::InvalidEmailAddress
            | Code::InvalidCurrencyIso
            | Code::TooManyEnumValue
            | Code::TextOutsideCharset
            | Code::JsonParserError
            | Code::MalformedId
            | Code::InvalidIdField
            | Code::MissingArgument
            | Code::NoAccessOnCrossReference
            | Code::NoAccessOrReadonly
            | Code::ConvertedLead
            | Code::InactiveOwner
            | Code::DeleteFailed
            | Code::CannotReparent
            | Code::EntityIsArchived
            | Code::UnavailableRecordType
            | Code::ChangedSinceRead
            | Code::MalformedQuery
            | Code::QueryTooComplicated
            | Code::PartnerNetworkStatus
            | Code::IdempotencyNotEnabled
            | Code::IdempotencyNotSupported
            | Code::InvalidApiInput
            | Code::InvalidIdempotencyKey => Do::Dead,
        }
    }
}

impl RecordError {
    /// The org says of a lookup that is gone what it says of the record itself, and may name the field (facts: rest.md
    /// sections 6 and 7; UNSURE whether it always does).
    fn is_about_a_reference(&self) -> bool {
        self.fields.iter().any(|field| !field.eq_ignore_ascii_case("Id"))
    }
}

impl Refusal {
    pub fn new(first: RecordError, others: Vec<RecordError>) -> Self {
        Self { first, others }
    }

    /// All errors, in the org's order.
    pub fn errors(&self) -> impl Iterator<Item = &RecordError> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The error that decides: the gravest, and of equals the first.
    pub fn decisive(&self, operation: Operation) -> &RecordError {
        let mut decisive = &self.first;
        for error in &self.others {
            if error.disposition(operation) > decisive.disposition(operation) {
                decisive = error;
            }
        }
        decisive
    }

    /// What becomes of the record.
    pub fn disposition(&self, operation: Operation) -> SaveDisposition {
        self.decisive(operation).disposition(operation)
    }
}

impl SaveResult {
    /// Reads one element of a collection's answer. `sent` is the id that the request named, where it named one.
    /// `None`: this is no result, so nothing can be said of the record.
    pub(super) fn read(json: &Value, sent: Option<RecordId>) -> Option<Self> {
        // `created` is present, and can be true, on a failed element: it is read only on success. And `errors` may
        // hold OPERATION_ENQUEUED on success (facts: rest.md sections 6 and 11).
        if json.get("success")?.as_bool()? {
            let id = json.get("id").and_then(Value::as_str).and_then(|id| id.parse().ok()).or(sent)?;
            return Some(Self::Saved { id, created: json.get("created").and_then(Value::as_bool) });
        }
        let errors = json.get("errors").and_then(Value::as_array).into_iter().flatten();
        let mut errors = errors.filter_map(RecordError::read);
        let first = errors.next().unwrap_or_else(|| RecordError::new("NO_CODE", "", Vec::new()));
        Some(Self::Refused(Refusal::new(first, errors.collect())))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::Operation::{Delete, Update, Upsert};
    use super::SaveDisposition as Do;
    use super::*;

    const FOREIGN_KEY: &str = "Foreign key external ID: nope not found for field Ext__c in entity Account";

    fn disposition(code: &str, message: &str, operation: Operation) -> Do {
        RecordError::new(code, message, Vec::new()).disposition(operation)
    }

    /// Section 15 of the facts, where one code means one thing for all calls.
    #[rustfmt::skip]
    const TABLE: &[(Do, &[&str])] = &[
        (Do::Retry, &[
            "TOO_MANY_APEX_REQUESTS", "TXN_SECURITY_METERING_ERROR",
            "PLATFORM_EVENT_PUBLISHING_UNAVAILABLE", "PLATFORM_EVENT_PUBLISH_FAILED", "INVALID_SESSION_ID",
            "INVALID_AUTH_HEADER", "INVALID_QUERY_LOCATOR", "QUERY_LOCATOR_EXPIRED",
        ]),
        (Do::Locked, &["UNABLE_TO_LOCK_ROW"]),
        (Do::TooMuch, &[
            "REQUEST_RUNNING_TOO_LONG", "QUERY_TIMEOUT", "EXCEEDED_ID_LIMIT", "EXCEEDED_MAX_SIZE_REQUEST",
            "OPERATION_TOO_LARGE",
        ]),
        (Do::Wait, &[
            "API_CURRENTLY_DISABLED", "REQUEST_LIMIT_EXCEEDED", "SERVER_UNAVAILABLE", "LIMIT_EXCEEDED",
            "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE", "ENTITY_IS_LOCKED", "RECORD_IN_USE_BY_WORKFLOW",
        ]),
        (Do::Neighbour, &[
            "UNKNOWN_EXCEPTION", "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "CANNOT_EXECUTE_FLOW_TRIGGER",
            "SELF_REFERENCE_FROM_TRIGGER", "MIXED_DML_OPERATION", "ALL_OR_NONE_OPERATION_ROLLED_BACK",
            "PROCESSING_HALTED", "BATCH_PROCESSING_HALTED", "APEX_ERROR", "DUPLICATE_VALUE",
            "BRAND_NEW_CODE", "not a code",
        ]),
        (Do::ReadWhole, &["REQUIRED_FIELD_MISSING"]),
        (Do::Halt, &[
            "API_DISABLED_FOR_ORG", "ORG_LOCKED", "TRIAL_EXPIRED", "FUNCTIONALITY_NOT_ENABLED",
            "LOGIN_DURING_RESTRICTED_DOMAIN", "LOGIN_DURING_RESTRICTED_TIME", "TXN_SECURITY_NO_ACCESS",
            "STORAGE_LIMIT_EXCEEDED", "INVALID_FIELD", "INVALID_FIELD_FOR_INSERT_UPDATE", "INVALID_TYPE",
            "INSUFFICIENT_ACCESS", "METHOD_NOT_ALLOWED", "UNSUPPORTED_API_VERSION",
        ]),
        (Do::Dead, &[
            "PLATFORM_EVENT_ENCRYPTION_ERROR", "DUPLICATE_EXTERNAL_ID", "DUPLICATES_DETECTED",
            "FIELD_CUSTOM_VALIDATION_EXCEPTION", "FIELD_INTEGRITY_EXCEPTION", "FIELD_FILTER_VALIDATION_EXCEPTION",
            "STRING_TOO_LONG", "NUMBER_OUTSIDE_VALID_RANGE", "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
            "INVALID_TYPE_ON_FIELD_IN_RECORD", "INVALID_EMAIL_ADDRESS", "INVALID_CURRENCY_ISO", "TOO_MANY_ENUM_VALUE",
            "TEXT_DATA_OUTSIDE_SUPPORTED_CHARSET", "JSON_PARSER_ERROR", "MALFORMED_ID", "INVALID_ID_FIELD",
            "MISSING_ARGUMENT", "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", "INSUFFICIENT_ACCESS_OR_READONLY",
            "CANNOT_UPDATE_CONVERTED_LEAD", "INACTIVE_OWNER_OR_USER", "DELETE_FAILED", "CANNOT_REPARENT_RECORD",
            "ENTITY_IS_ARCHIVED", "UNAVAILABLE_RECORDTYPE_EXCEPTION", "ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE",
            "MALFORMED_QUERY", "QUERY_TOO_COMPLICATED", "INVALID_PARTNER_NETWORK_STATUS",
            "IDEMPOTENCY_FEATURE_NOT_ENABLED", "IDEMPOTENCY_NOT_SUPPORTED", "INVALID_IDEMPOTENCY_KEY",
            "INVALID_API_INPUT",
        ]),
    ];

    #[test]
    fn each_code_of_a_record_leads_to_what_the_facts_advise() {
        let mut seen = BTreeSet::from(["ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY", "NOT_FOUND"]);
        for (expected, codes) in TABLE {
            for code in *codes {
                for operation in [Upsert, Update, Delete] {
                    assert_eq!(disposition(code, "", operation), *expected, "{code} {operation:?}");
                }
                assert!(seen.insert(code), "{code} stands twice");
            }
        }
        for code in Code::known() {
            assert!(seen.contains(code.as_str()), "{code} is in no row of the table");
        }
    }

    #[test]
    fn the_error_of_a_row_is_read_from_both_ends() {
        let lock = "unable to obtain exclusive access to this record or 200 records: 001A,001B";
        for (text, code, message, fields) in [
            (
                "REQUIRED_FIELD_MISSING:Required fields are missing: [LastName]:LastName --",
                Code::RequiredFieldMissing,
                "Required fields are missing: [LastName]",
                vec!["LastName"],
            ),
            (&format!("UNABLE_TO_LOCK_ROW:{lock}:--"), Code::UnableToLockRow, lock, vec![]),
            (&format!("INVALID_FIELD:{FOREIGN_KEY}:--"), Code::ParentNotFound, FOREIGN_KEY, vec![]),
            (
                "DUPLICATE_VALUE:Duplicate external id specified: A-1:Ext__c --",
                Code::DuplicateInRequest,
                "Duplicate external id specified: A-1",
                vec!["Ext__c"],
            ),
            ("STRING_TOO_LONG:a:b,\n\"c\":A__c, B__c --", Code::StringTooLong, "a:b,\n\"c\"", vec!["A__c", "B__c"]),
            ("FIELD_CUSTOM_VALIDATION_EXCEPTION:no", Code::FieldCustomValidation, "no", vec![]),
            (
                "FIELD_CUSTOM_VALIDATION_EXCEPTION:at 5: no way --",
                Code::FieldCustomValidation,
                "at 5: no way --",
                vec![],
            ),
        ] {
            let error = RecordError::of_row(text);
            assert_eq!((&error.code, error.message.reveal()), (&code, message), "{text}");
            assert_eq!(error.fields, fields, "{text}");
        }
        assert_eq!(RecordError::of_row("Jane Roe").code.as_str(), "UNREADABLE_CODE");
    }

    #[test]
    fn texts_tell_meanings_apart() {
        assert_eq!(disposition("INVALID_FIELD", FOREIGN_KEY, Upsert), Do::AwaitParent);
        assert_eq!(disposition("INVALID_FIELD", "More than 1 record found for external id x", Upsert), Do::Dead);
        assert_eq!(disposition("DUPLICATE_VALUE", "Duplicate external id specified: 1", Upsert), Do::DuplicateInBatch);
        assert_eq!(disposition("DUPLICATE_VALUE", "duplicate value found: F__c", Upsert), Do::Neighbour);
        let trigger = "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY";
        assert_eq!(disposition(trigger, "T: BeforeUpdate caused by: UNABLE_TO_LOCK_ROW", Update), Do::Locked);
        assert_eq!(disposition(trigger, "Too many SOQL queries: 101", Update), Do::TooMuch);
        assert_eq!(disposition(trigger, "Too many batch retries in the presence of", Update), Do::Neighbour);
        let concurrent = "ConcurrentRequests (Concurrent API Requests) Limit exceeded.";
        assert_eq!(disposition("REQUEST_LIMIT_EXCEEDED", concurrent, Update), Do::Retry);
    }

    #[test]
    fn a_record_that_is_gone_is_gone_for_calls_that_name_it_by_id_only() {
        for code in ["ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY", "NOT_FOUND"] {
            assert_eq!(disposition(code, "", Update), Do::TargetGone, "{code}");
            assert_eq!(disposition(code, "", Delete), Do::TargetGone, "{code}");
            assert_eq!(disposition(code, "", Upsert), Do::Neighbour, "{code}");
        }
    }

    #[test]
    fn an_update_whose_lookup_is_gone_says_nothing_of_the_record_itself() {
        for code in ["ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY", "NOT_FOUND"] {
            let of = |field: &str, operation| RecordError::new(code, "", vec![field.into()]).disposition(operation);
            assert_eq!(of("AccountId", Update), Do::ReadWhole, "{code}");
            assert_eq!(of("Id", Update), Do::TargetGone, "{code}");
            assert_eq!(of("AccountId", Delete), Do::TargetGone, "{code}: a delete refers to nothing");
            assert_eq!(of("AccountId", Upsert), Do::Neighbour, "{code}");
        }
    }

    #[test]
    fn of_several_errors_the_gravest_decides_and_all_are_kept() {
        let parent = RecordError::new("INVALID_FIELD", FOREIGN_KEY, Vec::new());
        let rule = RecordError::new("FIELD_CUSTOM_VALIDATION_EXCEPTION", "no", vec!["Name".into()]);
        let refusal = Refusal::new(parent, vec![rule]);
        assert_eq!(refusal.disposition(Upsert), Do::Dead);
        assert_eq!(refusal.decisive(Upsert).fields, ["Name"]);
        assert_eq!(refusal.errors().count(), 2);
    }

    #[test]
    fn created_on_a_failed_element_and_errors_on_a_saved_one_are_not_believed() {
        let refused = json!({"success": false, "created": true, "errors": [
            {"statusCode": "REQUIRED_FIELD_MISSING", "message": "Required fields are missing: [LastName]",
             "fields": ["LastName"]}]});
        let Some(SaveResult::Refused(refusal)) = SaveResult::read(&refused, None) else { panic!("{refused}") };
        assert_eq!(refusal.decisive(Upsert).fields, ["LastName"]);

        let saved = json!({"id": "001D000000IqhSLIAZ", "success": true,
            "errors": [{"statusCode": "OPERATION_ENQUEUED", "message": "f0c2", "fields": []}]});
        assert!(matches!(SaveResult::read(&saved, None), Some(SaveResult::Saved { created: None, .. })));
    }

    #[test]
    fn a_result_without_an_id_is_that_of_the_record_that_was_named_or_none_at_all() {
        let id: RecordId = "001D000000IqhSLIAZ".parse().unwrap();
        let saved = json!({"success": true, "errors": []});
        assert_eq!(SaveResult::read(&saved, Some(id)), Some(SaveResult::Saved { id, created: None }));
        assert_eq!(SaveResult::read(&saved, None), None);
        assert_eq!(SaveResult::read(&json!({"errors": []}), Some(id)), None);
        assert_eq!(SaveResult::read(&json!("yes"), Some(id)), None);
    }

    #[test]
    fn a_failed_element_without_errors_is_still_refused() {
        let Some(SaveResult::Refused(refusal)) = SaveResult::read(&json!({"success": false}), None) else {
            panic!("not refused")
        };
        assert_eq!(refusal.disposition(Update), Do::Neighbour);
    }
}
