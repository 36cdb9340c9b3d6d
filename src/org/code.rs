//! What an org calls its errors: the codes of answers and of single records, read once.
//!
//! Some codes mean several things, and only the text tells which. It is looked at here and nowhere else; pure.

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $wire:literal,)*) => {
        /// An `errorCode` of an answer or a `statusCode` of one record (facts: rest.md section 15). Codes that mean
        /// several things have a variant for each meaning.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $variant,)*
            /// A code that this release does not know.
            Unknown(Box<str>),
        }

        impl Code {
            /// As the org spells it.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $wire,)*
                    Self::Unknown(code) => code,
                }
            }

            /// The first meaning that is listed for this spelling.
            fn spelled(code: &str) -> Option<Self> {
                $(if code == $wire { return Some(Self::$variant); })*
                None
            }

            /// Every code that this release knows, for tables.
            #[cfg(test)]
            pub(crate) fn known() -> Vec<Self> {
                vec![$(Self::$variant,)*]
            }
        }
    };
}

codes! {
    InvalidSessionId = "INVALID_SESSION_ID",
    InvalidAuthHeader = "INVALID_AUTH_HEADER",
    ApiDisabledForOrg = "API_DISABLED_FOR_ORG",
    ApiCurrentlyDisabled = "API_CURRENTLY_DISABLED",
    /// Too many calls, and the text does not say whether in a day or at once.
    RequestLimit = "REQUEST_LIMIT_EXCEEDED",
    /// The org's calls of the last 24 hours are spent.
    RequestLimitDaily = "REQUEST_LIMIT_EXCEEDED",
    /// Too many long calls are running at once.
    RequestLimitConcurrent = "REQUEST_LIMIT_EXCEEDED",
    ServerUnavailable = "SERVER_UNAVAILABLE",
    Maintenance = "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE",
    OrgLocked = "ORG_LOCKED",
    TrialExpired = "TRIAL_EXPIRED",
    FunctionalityNotEnabled = "FUNCTIONALITY_NOT_ENABLED",
    LoginDuringRestrictedDomain = "LOGIN_DURING_RESTRICTED_DOMAIN",
    LoginDuringRestrictedTime = "LOGIN_DURING_RESTRICTED_TIME",
    UnknownException = "UNKNOWN_EXCEPTION",
    UnableToLockRow = "UNABLE_TO_LOCK_ROW",
    TooManyApexRequests = "TOO_MANY_APEX_REQUESTS",
    RequestRunningTooLong = "REQUEST_RUNNING_TOO_LONG",
    QueryTimeout = "QUERY_TIMEOUT",
    TransactionSecurityMetering = "TXN_SECURITY_METERING_ERROR",
    TransactionSecurityNoAccess = "TXN_SECURITY_NO_ACCESS",
    EventPublishingUnavailable = "PLATFORM_EVENT_PUBLISHING_UNAVAILABLE",
    EventPublishFailed = "PLATFORM_EVENT_PUBLISH_FAILED",
    EventEncryptionError = "PLATFORM_EVENT_ENCRYPTION_ERROR",
    LimitExceeded = "LIMIT_EXCEEDED",
    StorageLimitExceeded = "STORAGE_LIMIT_EXCEEDED",
    AllOrNoneRolledBack = "ALL_OR_NONE_OPERATION_ROLLED_BACK",
    ProcessingHalted = "PROCESSING_HALTED",
    BatchProcessingHalted = "BATCH_PROCESSING_HALTED",
    InvalidField = "INVALID_FIELD",
    /// A lookup names a parent by external id, and there is no such parent.
    ParentNotFound = "INVALID_FIELD",
    /// A lookup names a parent by external id, and there are several.
    ParentAmbiguous = "INVALID_FIELD",
    InvalidFieldForInsertUpdate = "INVALID_FIELD_FOR_INSERT_UPDATE",
    InvalidType = "INVALID_TYPE",
    NotFound = "NOT_FOUND",
    EntityIsDeleted = "ENTITY_IS_DELETED",
    DuplicateValue = "DUPLICATE_VALUE",
    /// The request itself holds the same record twice.
    DuplicateInRequest = "DUPLICATE_VALUE",
    DuplicateExternalId = "DUPLICATE_EXTERNAL_ID",
    DuplicatesDetected = "DUPLICATES_DETECTED",
    RequiredFieldMissing = "REQUIRED_FIELD_MISSING",
    FieldCustomValidation = "FIELD_CUSTOM_VALIDATION_EXCEPTION",
    FieldIntegrity = "FIELD_INTEGRITY_EXCEPTION",
    FieldFilterValidation = "FIELD_FILTER_VALIDATION_EXCEPTION",
    StringTooLong = "STRING_TOO_LONG",
    NumberOutsideValidRange = "NUMBER_OUTSIDE_VALID_RANGE",
    BadPicklistValue = "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
    InvalidTypeOnField = "INVALID_TYPE_ON_FIELD_IN_RECORD",
    InvalidEmailAddress = "INVALID_EMAIL_ADDRESS",
    InvalidCurrencyIso = "INVALID_CURRENCY_ISO",
    TooManyEnumValue = "TOO_MANY_ENUM_VALUE",
    TextOutsideCharset = "TEXT_DATA_OUTSIDE_SUPPORTED_CHARSET",
    JsonParserError = "JSON_PARSER_ERROR",
    MalformedId = "MALFORMED_ID",
    InvalidIdField = "INVALID_ID_FIELD",
    MissingArgument = "MISSING_ARGUMENT",
    InvalidCrossReferenceKey = "INVALID_CROSS_REFERENCE_KEY",
    NoAccessOnCrossReference = "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY",
    NoAccessOrReadonly = "INSUFFICIENT_ACCESS_OR_READONLY",
    InsufficientAccess = "INSUFFICIENT_ACCESS",
    /// Apex in the org refused the record, and its text names no passing cause.
    TriggerFailed = "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
    /// Apex in the org failed because it found a row locked.
    TriggerFoundLock = "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
    /// Apex in the org ran into a limit of the platform: it may do less in one transaction.
    TriggerHitLimit = "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
    FlowFailed = "CANNOT_EXECUTE_FLOW_TRIGGER",
    /// A flow of the org did.
    FlowHitLimit = "CANNOT_EXECUTE_FLOW_TRIGGER",
    EntityIsLocked = "ENTITY_IS_LOCKED",
    RecordInUseByWorkflow = "RECORD_IN_USE_BY_WORKFLOW",
    ConvertedLead = "CANNOT_UPDATE_CONVERTED_LEAD",
    InactiveOwner = "INACTIVE_OWNER_OR_USER",
    SelfReferenceFromTrigger = "SELF_REFERENCE_FROM_TRIGGER",
    MixedDml = "MIXED_DML_OPERATION",
    DeleteFailed = "DELETE_FAILED",
    CannotReparent = "CANNOT_REPARENT_RECORD",
    EntityIsArchived = "ENTITY_IS_ARCHIVED",
    UnavailableRecordType = "UNAVAILABLE_RECORDTYPE_EXCEPTION",
    ChangedSinceRead = "ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE",
    ExceededIdLimit = "EXCEEDED_ID_LIMIT",
    ExceededMaxSize = "EXCEEDED_MAX_SIZE_REQUEST",
    InvalidQueryLocator = "INVALID_QUERY_LOCATOR",
    QueryLocatorExpired = "QUERY_LOCATOR_EXPIRED",
    MalformedQuery = "MALFORMED_QUERY",
    QueryTooComplicated = "QUERY_TOO_COMPLICATED",
    OperationTooLarge = "OPERATION_TOO_LARGE",
    MethodNotAllowed = "METHOD_NOT_ALLOWED",
    UnsupportedApiVersion = "UNSUPPORTED_API_VERSION",
    /// An uncaught exception in Apex code that was called: its transaction was rolled back.
    ApexError = "APEX_ERROR",
    /// The same, because it found a row locked.
    ApexFoundLock = "APEX_ERROR",
    /// A flow or Apex method does not have such an input, or not of this type.
    InvalidApiInput = "INVALID_API_INPUT",
    PartnerNetworkStatus = "INVALID_PARTNER_NETWORK_STATUS",
    IdempotencyNotEnabled = "IDEMPOTENCY_FEATURE_NOT_ENABLED",
    IdempotencyNotSupported = "IDEMPOTENCY_NOT_SUPPORTED",
    InvalidIdempotencyKey = "INVALID_IDEMPOTENCY_KEY",
}

impl Code {
    /// Reads a code together with the text that came with it.
    pub fn read(code: &str, message: &str) -> Self {
        let message = message.to_lowercase();
        let says = |words: &str| message.contains(words);
        let Some(known) = Self::spelled(code) else { return Self::unknown(code) };
        match known {
            Self::RequestLimit if says("totalrequests") => Self::RequestLimitDaily,
            Self::RequestLimit if says("concurrent") => Self::RequestLimitConcurrent,
            Self::InvalidField if says("foreign key external id:") && says("not found") => Self::ParentNotFound,
            Self::InvalidField if says("more than 1 record found for external id") => Self::ParentAmbiguous,
            Self::DuplicateValue if says("duplicate external id specified") || says("duplicate id in list") => {
                Self::DuplicateInRequest
            }
            Self::TriggerFailed | Self::FlowFailed if says("unable_to_lock_row") => Self::TriggerFoundLock,
            Self::UnknownException if says("unable_to_lock_row") => Self::UnableToLockRow,
            Self::ApexError if says("unable_to_lock_row") => Self::ApexFoundLock,
            // Good rows of a batch were run again and again because of bad ones: told apart, each has its own outcome.
            Self::TriggerFailed if says("too many batch retries") => Self::TriggerFailed,
            Self::TriggerFailed if hit_a_limit(&message) => Self::TriggerHitLimit,
            Self::FlowFailed if hit_a_limit(&message) => Self::FlowHitLimit,
            known => known,
        }
    }

    /// The org may have other fields, or fields of another kind, than it had when it described them.
    pub fn doubts_fields(&self) -> bool {
        matches!(
            self,
            Self::InvalidField | Self::InvalidFieldForInsertUpdate | Self::JsonParserError | Self::InvalidTypeOnField
        )
    }

    /// Codes are shown in logs, so what does not look like one is not kept: it might be anything.
    fn unknown(code: &str) -> Self {
        let is_code = (1..=80).contains(&code.len())
            && code.bytes().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'_');
        Self::Unknown(if is_code { code } else { "UNREADABLE_CODE" }.into())
    }
}

/// Whether a text in lower case tells of a limit on what one transaction may do: queries, rows, statements, time, memory.
fn hit_a_limit(message: &str) -> bool {
    let limits = [
        "too many soql",
        "too many query rows",
        "too many dml",
        "too many sosl",
        "too many callouts",
        "too many future",
    ];
    let others = ["limitexception", "cpu time limit", "heap size too large", "too many queueable", "limit exceeded"];
    limits.iter().chain(&others).any(|words| message.contains(words))
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an org said, in its own words. It can hold record values, so it goes to the store as evidence and to people
/// who ask for it, but prints nothing of itself.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct OrgText(String);

impl OrgText {
    /// At most 4,000 characters are kept.
    pub fn new(text: &str) -> Self {
        Self(text.chars().take(4_000).collect())
    }

    /// The words themselves. Never into a log or an error.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for OrgText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OrgText({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_mean_several_things_are_told_apart_by_their_text() {
        for (code, message, meaning) in [
            ("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", Code::RequestLimitDaily),
            (
                "REQUEST_LIMIT_EXCEEDED",
                "ConcurrentRequests (Concurrent API Requests) Limit exceeded.",
                Code::RequestLimitConcurrent,
            ),
            ("REQUEST_LIMIT_EXCEEDED", "ConcurrentPerOrgLongTxn Limit exceeded.", Code::RequestLimitConcurrent),
            ("REQUEST_LIMIT_EXCEEDED", "", Code::RequestLimit),
            (
                "INVALID_FIELD",
                "Foreign key external ID: nope not found for field Ext__c in entity Account",
                Code::ParentNotFound,
            ),
            ("INVALID_FIELD", "No such column 'Foo__c' on sobject of type Account", Code::InvalidField),
            ("INVALID_FIELD", "More than 1 record found for external id x", Code::ParentAmbiguous),
            ("DUPLICATE_VALUE", "Duplicate external id specified: 003A1", Code::DuplicateInRequest),
            (
                "DUPLICATE_VALUE",
                "duplicate value found: F__c duplicates value on record with id: 001D000000IqhSL",
                Code::DuplicateValue,
            ),
            (
                "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
                "T: execution of AfterInsert caused by: System.DmlException: UNABLE_TO_LOCK_ROW",
                Code::TriggerFoundLock,
            ),
            (
                "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
                "T: execution of AfterInsert caused by: System.LimitException: Too many SOQL queries: 101",
                Code::TriggerHitLimit,
            ),
            ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "T: Apex CPU time limit exceeded", Code::TriggerHitLimit),
            ("APEX_ERROR", "System.DmlException: Update failed. first error: UNABLE_TO_LOCK_ROW", Code::ApexFoundLock),
            ("APEX_ERROR", "System.NullPointerException: Attempt to de-reference a null object", Code::ApexError),
            ("CANNOT_EXECUTE_FLOW_TRIGGER", "the F process failed: Too many SOQL queries: 101", Code::FlowHitLimit),
            (
                "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
                "Too many batch retries in the presence of Apex triggers and partial failures.",
                Code::TriggerFailed,
            ),
            ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "T: execution of BeforeUpdate caused by: no", Code::TriggerFailed),
        ] {
            let read = Code::read(code, message);
            assert_eq!(read, meaning, "{message}");
            assert_eq!(read.as_str(), code);
        }
    }

    #[test]
    fn a_code_of_tomorrow_is_kept_and_text_in_its_place_is_not() {
        assert_eq!(Code::read("BRAND_NEW_CODE", "").as_str(), "BRAND_NEW_CODE");
        assert_eq!(Code::read("Jane Roe, 12 High Street", "").as_str(), "UNREADABLE_CODE");
        assert_eq!(Code::read("", "").as_str(), "UNREADABLE_CODE");
    }

    #[test]
    fn what_the_org_said_does_not_print() {
        let text = OrgText::new("Jane Roe is a duplicate");
        assert!(!format!("{text:?}").contains("Jane"));
        assert_eq!(text.reveal(), "Jane Roe is a duplicate");
    }
}
