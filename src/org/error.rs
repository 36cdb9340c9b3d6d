//! Every answer of an org to a request as a whole, once, and what is to be done about it; pure.
//!
//! What it said of single records is in `save`. Facts: rest.md sections 2 and 15.

use std::time::Duration;

use serde_json::Value;

use super::code::{Code, OrgText};
use super::login_error::OrgError;
use super::save::{RecordError, Refusal};

/// Why a call gave no result. Its `Display` has codes and never the org's own words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No connection was made: nothing was done.
    #[error("the org could not be reached")]
    NotSent,
    /// The request may have been done, may still be running, or may never have arrived. A read can be repeated.
    #[error("outcome unknown: {0}")]
    Unknown(Lost),
    /// The org answered and did nothing.
    #[error("refused: HTTP {status}{}", Shown(.errors))]
    Refused {
        status: u16,
        /// The org's `Retry-After`.
        retry_after: Option<Duration>,
        /// What the body said; empty where it was HTML or nothing.
        errors: Vec<RecordError>,
    },
    /// No request was made, or it was refused for its token: nothing was done.
    #[error(transparent)]
    LoginFailed(OrgError),
}

/// How an answer was lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    #[error("the connection was cut")]
    Cut,
    #[error("no answer in time")]
    TimedOut,
    /// A 5xx other than 503, which can come after the work was done.
    #[error("HTTP {status}{}", Shown(.errors))]
    Failed { status: u16, errors: Vec<RecordError> },
    #[error("HTTP {status} with a body that is no answer to the call")]
    Unreadable { status: u16 },
    #[error("{got} results for {sent} records")]
    Count { sent: usize, got: usize },
}

/// What is to be done about a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Nothing was done: the same again, after a backoff and not before `after`.
    Retry { after: Option<Duration> },
    /// A write may have been done: its records are suspect. A read is repeated.
    OutcomeUnknown,
    /// Something in the batch, or its size, was refused for all: again in halves. A batch of one is settled by
    /// [`CallError::as_refusal`].
    Split,
    /// Repeating cannot help before a person has done something.
    Halt { remedy: &'static str },
}

/// Which limit refused a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// The calls of 24 hours are spent: minutes to hours; probe with one call.
    Daily,
    /// Too many long calls at once: seconds; halve the calls in flight.
    Concurrent,
}

/// ` CODE`, where a body had one.
struct Shown<'a>(&'a Vec<RecordError>);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.first() {
            Some(error) => write!(f, " {}", error.code),
            None => Ok(()),
        }
    }
}

impl CallError {
    /// Reads an answer that is no success. The body may be anything: no body hides the status.
    pub fn from_answer(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Self {
        let errors = read_errors(body);
        // After a 5xx nobody knows how far the org came, but 503 says that it did not begin.
        let began = status >= 500 && status != 503;
        let refused_by_name = errors.iter().any(|error| {
            matches!(error.code, Code::ServerUnavailable | Code::ApiCurrentlyDisabled | Code::Maintenance)
        });
        if began && !refused_by_name {
            Self::Unknown(Lost::Failed { status, errors })
        } else {
            Self::Refused { status, retry_after, errors }
        }
    }

    /// The answer that an org would give to a collection call with too many records, without asking it.
    pub(super) fn too_many_records() -> Self {
        let error = RecordError::new("EXCEEDED_ID_LIMIT", "record limit reached", Vec::new());
        Self::Refused { status: 400, retry_after: None, errors: vec![error] }
    }

    /// The code that decided, where the org gave one.
    pub fn code(&self) -> Option<&Code> {
        self.errors().first().map(|error| &error.code)
    }

    fn errors(&self) -> &[RecordError] {
        match self {
            Self::Refused { errors, .. } | Self::Unknown(Lost::Failed { errors, .. }) => errors,
            Self::NotSent | Self::Unknown(_) | Self::LoginFailed(_) => &[],
        }
    }

    /// The HTTP status, where there was an answer that said something.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } | Self::Unknown(Lost::Failed { status, .. }) => Some(*status),
            Self::NotSent | Self::Unknown(_) | Self::LoginFailed(_) => None,
        }
    }

    /// In the org's own words, for the store.
    pub fn org_text(&self) -> Option<&OrgText> {
        self.errors().first().map(|error| &error.message)
    }

    /// What the call names is not there, or not any more.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// Whether a limit refused the call.
    pub fn limit(&self) -> Option<Limit> {
        match self.code() {
            Some(Code::RequestLimitConcurrent) => Some(Limit::Concurrent),
            // A text that is not understood may mean the graver limit.
            Some(Code::RequestLimitDaily | Code::RequestLimit) => Some(Limit::Daily),
            _ => None,
        }
    }

    /// A call for one record that was refused as a whole, as a refusal of that record.
    pub fn as_refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refused { status, errors, .. } => {
                let mut errors = errors.iter().cloned();
                let nameless = || RecordError::new(&format!("HTTP_{status}"), "", Vec::new());
                let first = errors.next().unwrap_or_else(nameless);
                Some(Refusal::new(first, errors.collect()))
            }
            Self::NotSent | Self::Unknown(_) | Self::LoginFailed(_) => None,
        }
    }

    /// The only place where a failed call turns into a decision.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::NotSent => Disposition::Retry { after: None },
            Self::Unknown(
                Lost::Cut | Lost::TimedOut | Lost::Failed { .. } | Lost::Unreadable { .. } | Lost::Count { .. },
            ) => Disposition::OutcomeUnknown,
            Self::Refused { status, retry_after, errors } => {
                let by_code = errors.first().and_then(|error| by_code(&error.code, *status, *retry_after));
                by_code.unwrap_or_else(|| by_status(*status, *retry_after, !errors.is_empty()))
            }
            Self::LoginFailed(error) if error.is_transient() => Disposition::Retry { after: error.retry_after() },
            Self::LoginFailed(error) => Disposition::Halt { remedy: error.remedy() },
        }
    }
}

const NO_ACCESS: &str = "give the integration user's permission set access: API Enabled, the object and its fields";
const NO_API: &str =
    "the org refuses the REST API: give the integration user 'API Enabled' and the app the scope 'api'";
const NO_SUCH_OBJECT: &str =
    "an object or key field of the config does not exist in this org, or its user may not see it";
const CLOSED: &str = "the org is locked or its trial is over: ask Salesforce support";
const STORAGE: &str = "the org's data storage is full: free some, or buy more (Setup > Storage Usage)";
const RESTRICTED: &str = "check Login IP Ranges and Login Hours of the integration user's profile";
const OLD_VERSION: &str = "the org has no such API version: change api_version in the config";
const BUG: &str = "the org did not understand the request: please report this with its code";

/// What a code says, whatever the status: facts advise to decide by code first. `None`: the status decides.
fn by_code(code: &Code, status: u16, retry_after: Option<Duration>) -> Option<Disposition> {
    let halt = |remedy| Some(Disposition::Halt { remedy });
    match code {
        Code::ApiCurrentlyDisabled
        | Code::RequestLimit
        | Code::RequestLimitDaily
        | Code::RequestLimitConcurrent
        | Code::ServerUnavailable
        | Code::Maintenance
        | Code::TooManyApexRequests
        | Code::TransactionSecurityMetering
        | Code::LimitExceeded
        | Code::EventPublishingUnavailable
        | Code::EventPublishFailed
        // A query that lost its place begins anew.
        | Code::InvalidQueryLocator
        | Code::QueryLocatorExpired => Some(Disposition::Retry { after: retry_after }),

        Code::InvalidSessionId | Code::InvalidAuthHeader | Code::ApiDisabledForOrg => halt(NO_API),
        Code::OrgLocked | Code::TrialExpired => halt(CLOSED),
        Code::StorageLimitExceeded => halt(STORAGE),
        Code::LoginDuringRestrictedDomain | Code::LoginDuringRestrictedTime => halt(RESTRICTED),
        Code::FunctionalityNotEnabled | Code::TransactionSecurityNoAccess | Code::InsufficientAccess => halt(NO_ACCESS),
        Code::InvalidType | Code::NotFound => halt(NO_SUCH_OBJECT),
        Code::UnsupportedApiVersion => halt(OLD_VERSION),
        Code::MethodNotAllowed
        | Code::MalformedQuery
        | Code::IdempotencyNotEnabled
        | Code::IdempotencyNotSupported
        | Code::InvalidIdempotencyKey => halt(BUG),

        // About the batch or something in it, also where the status is not 400.
        Code::ExceededIdLimit
        | Code::ExceededMaxSize
        | Code::OperationTooLarge
        | Code::QueryTooComplicated
        | Code::RequestRunningTooLong
        | Code::QueryTimeout
        | Code::UnknownException
        | Code::UnableToLockRow
        | Code::EventEncryptionError
        | Code::AllOrNoneRolledBack
        | Code::ProcessingHalted
        | Code::BatchProcessingHalted
        | Code::InvalidField
        | Code::ParentNotFound
        | Code::ParentAmbiguous
        | Code::InvalidFieldForInsertUpdate
        | Code::EntityIsDeleted
        | Code::DuplicateValue
        | Code::DuplicateInRequest
        | Code::DuplicateExternalId
        | Code::DuplicatesDetected
        | Code::RequiredFieldMissing
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
        | Code::InvalidCrossReferenceKey
        | Code::NoAccessOnCrossReference
        | Code::NoAccessOrReadonly
        | Code::TriggerFailed
        | Code::TriggerFoundLock
        | Code::TriggerHitLimit
        | Code::FlowFailed
        | Code::FlowHitLimit
        | Code::EntityIsLocked
        | Code::RecordInUseByWorkflow
        | Code::ConvertedLead
        | Code::InactiveOwner
        | Code::SelfReferenceFromTrigger
        | Code::MixedDml
        | Code::DeleteFailed
        | Code::CannotReparent
        | Code::EntityIsArchived
        | Code::UnavailableRecordType
        | Code::ChangedSinceRead
        | Code::ApexError
        | Code::ApexFoundLock
        | Code::InvalidApiInput
        | Code::PartnerNetworkStatus => (400..500).contains(&status).then_some(Disposition::Split),

        Code::Unknown(_) => None,
    }
}

/// What a person must do before records are taken again that are refused with this code, whichever they are.
pub fn remedy_of(code: &Code) -> &'static str {
    match by_code(code, 400, None) {
        Some(Disposition::Halt { remedy }) => remedy,
        _ => "`orgbridge check` says which field the org does not have, or does not let the bridge's user write",
    }
}

/// What a status says alone. `spoken`: the body was the REST API's own and not that of a proxy or an edge.
fn by_status(status: u16, retry_after: Option<Duration>, spoken: bool) -> Disposition {
    match status {
        300 | 400 | 413 | 414 | 431 => Disposition::Split,
        // Reached only after a fresh token was refused too.
        401 => Disposition::Halt { remedy: NO_API },
        403 => Disposition::Halt { remedy: NO_ACCESS },
        404 if spoken => Disposition::Halt { remedy: NO_SUCH_OBJECT },
        410 => Disposition::Halt { remedy: OLD_VERSION },
        405 | 406 | 409 | 412 | 415 | 428 => Disposition::Halt { remedy: BUG },
        408 | 420 | 429 => Disposition::Retry { after: retry_after },
        400..=499 if spoken => Disposition::Split,
        // 503, a redirect to a maintenance page, and whatever the next edge invents.
        _ => Disposition::Retry { after: retry_after },
    }
}

/// An array of errors, a single one, or nothing that can be read.
fn read_errors(body: &[u8]) -> Vec<RecordError> {
    match serde_json::from_slice(body) {
        Ok(Value::Array(errors)) => errors.iter().filter_map(RecordError::read).collect(),
        Ok(error @ Value::Object(_)) => RecordError::read(&error).into_iter().collect(),
        Ok(_) | Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, code: &str, message: &str) -> CallError {
        let body = serde_json::json!([{"errorCode": code, "message": message}]).to_string();
        CallError::from_answer(status, None, body.as_bytes())
    }

    fn is_halt(error: &CallError) -> bool {
        matches!(error.disposition(), Disposition::Halt { .. })
    }

    const RETRY: Disposition = Disposition::Retry { after: None };

    #[test]
    fn a_body_in_any_form_is_read_and_never_hides_the_status() {
        let array = br#"[{"message":"Jane","errorCode":"STORAGE_LIMIT_EXCEEDED","fields":["Name"]}]"#;
        let object = br#"{"message":"Jane","errorCode":"STORAGE_LIMIT_EXCEEDED"}"#;
        for body in [&array[..], &object[..]] {
            let error = CallError::from_answer(403, None, body);
            assert_eq!(error.code(), Some(&Code::StorageLimitExceeded));
            assert_eq!(error.to_string(), "refused: HTTP 403 STORAGE_LIMIT_EXCEEDED");
            assert!(!format!("{error:?}").contains("Jane"));
        }
        for body in [&b"<html>Down for maintenance</html>"[..], b"", b"[]", b"[1]", b"\xff\xfe", b"null", b"[{"] {
            let error = CallError::from_answer(403, None, body);
            assert!(matches!(&error, CallError::Refused { status: 403, errors, .. } if errors.is_empty()), "{body:?}");
            assert_eq!(error.to_string(), "refused: HTTP 403");
        }
    }

    #[test]
    fn each_request_level_code_leads_to_what_the_facts_advise() {
        for (status, code) in [
            (503, "SERVER_UNAVAILABLE"),
            (403, "API_CURRENTLY_DISABLED"),
            (400, "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE"),
            (403, "REQUEST_LIMIT_EXCEEDED"),
            (400, "TXN_SECURITY_METERING_ERROR"),
            (400, "LIMIT_EXCEEDED"),
            (503, "TOO_MANY_APEX_REQUESTS"),
            (400, "INVALID_QUERY_LOCATOR"),
            (503, "UNKNOWN_EXCEPTION"),
        ] {
            assert_eq!(answer(status, code, "").disposition(), RETRY, "{status} {code}");
        }
        for (status, code) in [
            (401, "INVALID_SESSION_ID"),
            (403, "API_DISABLED_FOR_ORG"),
            (403, "ORG_LOCKED"),
            (403, "FUNCTIONALITY_NOT_ENABLED"),
            (403, "LOGIN_DURING_RESTRICTED_TIME"),
            (403, "TXN_SECURITY_NO_ACCESS"),
            (400, "STORAGE_LIMIT_EXCEEDED"),
            (403, "INSUFFICIENT_ACCESS"),
            (400, "INVALID_TYPE"),
            (404, "NOT_FOUND"),
            (400, "MALFORMED_QUERY"),
            (405, "METHOD_NOT_ALLOWED"),
            (404, "UNSUPPORTED_API_VERSION"),
            (403, "BRAND_NEW_CODE"),
        ] {
            assert!(is_halt(&answer(status, code, "")), "{status} {code}");
        }
        for (status, code) in [
            (400, "INVALID_FIELD"),
            (400, "JSON_PARSER_ERROR"),
            (400, "MALFORMED_ID"),
            (404, "MALFORMED_ID"),
            (404, "ENTITY_IS_DELETED"),
            (400, "EXCEEDED_ID_LIMIT"),
            (413, "EXCEEDED_MAX_SIZE_REQUEST"),
            (400, "BRAND_NEW_CODE"),
            (422, "BRAND_NEW_CODE"),
        ] {
            assert_eq!(answer(status, code, "").disposition(), Disposition::Split, "{status} {code}");
        }
    }

    #[test]
    fn a_status_without_a_word_is_enough_for_a_decision() {
        let disposition = |status| CallError::from_answer(status, None, b"<html>").disposition();
        for status in [301, 302, 404, 408, 420, 429, 451, 503] {
            assert_eq!(disposition(status), RETRY, "{status}");
        }
        for status in [400, 413, 414, 431] {
            assert_eq!(disposition(status), Disposition::Split, "{status}");
        }
        for status in [401, 403, 405, 409, 410, 415] {
            assert!(matches!(disposition(status), Disposition::Halt { .. }), "{status}");
        }
        for status in [500, 501, 502, 504, 520] {
            assert_eq!(disposition(status), Disposition::OutcomeUnknown, "{status}");
        }
    }

    #[test]
    fn a_server_error_leaves_the_outcome_open_unless_the_org_says_that_it_did_not_begin() {
        assert!(matches!(answer(500, "UNKNOWN_EXCEPTION", ""), CallError::Unknown(Lost::Failed { status: 500, .. })));
        assert!(matches!(answer(500, "SERVER_UNAVAILABLE", ""), CallError::Refused { status: 500, .. }));
        assert!(matches!(answer(503, "", ""), CallError::Refused { status: 503, .. }));
    }

    #[test]
    fn the_wait_that_an_org_asks_for_is_kept() {
        let after = Some(Duration::from_secs(17));
        let error = CallError::from_answer(503, after, b"");
        assert_eq!(error.disposition(), Disposition::Retry { after });
    }

    #[test]
    fn a_spent_day_and_too_many_calls_at_once_are_told_apart() {
        let limit = |message| answer(403, "REQUEST_LIMIT_EXCEEDED", message).limit();
        assert_eq!(limit("TotalRequests Limit exceeded."), Some(Limit::Daily));
        assert_eq!(limit("ConcurrentPerOrgLongTxn Limit exceeded."), Some(Limit::Concurrent));
        assert_eq!(answer(403, "ORG_LOCKED", "").limit(), None);
    }

    #[test]
    fn a_batch_of_one_takes_its_refusal_as_its_own() {
        use super::super::save::{Operation, SaveDisposition};
        let of = |error: &CallError| error.as_refusal().map(|refusal| refusal.disposition(Operation::Update));
        let column = "No such column 'Foo__c' on sobject of type Account";
        assert_eq!(of(&answer(400, "INVALID_FIELD", column)), Some(SaveDisposition::Halt));
        assert_eq!(of(&answer(400, "JSON_PARSER_ERROR", "")), Some(SaveDisposition::Dead));
        assert_eq!(of(&CallError::from_answer(413, None, b"")), Some(SaveDisposition::Neighbour));
        assert_eq!(of(&CallError::NotSent), None);
        assert_eq!(of(&CallError::Unknown(Lost::Cut)), None);
    }

    #[test]
    fn a_failed_login_halts_only_where_a_person_is_needed() {
        let transient = CallError::LoginFailed(OrgError::TimedOut);
        assert_eq!(transient.disposition(), RETRY);
        let refused = super::super::login_error::LoginRefusal::NoRunAsUser;
        let permanent = CallError::LoginFailed(OrgError::Refused(refused));
        assert!(matches!(permanent.disposition(), Disposition::Halt { remedy } if remedy.contains("Run As")));
    }
}
