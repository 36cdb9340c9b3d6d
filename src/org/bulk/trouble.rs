//! Why a job as a whole was refused or failed, and what that means for its rows and for the next jobs; pure.

use super::super::code::OrgText;
use super::super::error::CallError;

/// What a job says of itself rather than of a row (facts: bulk2.md section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobTrouble {
    /// Too many locked rows, or too long: the rest in a smaller job.
    TooMuch,
    /// Line breaks within values are not taken, although the platform's documents allow them.
    LineBreaks,
    /// A column that the object does not have, or that the integration user may not write.
    UnknownField,
    /// The allocation of 24 hours is spent.
    Quota,
    /// The org does not take this object, or nothing at all, by Bulk API.
    NotOffered,
    /// It broke down again and again, or does not tell any more how it is.
    Failing,
}

impl JobTrouble {
    /// The `errorMessage` of a job that failed.
    pub fn of_job(said: &str) -> Self {
        // One that nobody knows gets smaller jobs, and in the end none.
        Self::named(said, said).unwrap_or(Self::TooMuch)
    }

    /// The refusal of a request for a job. None: it says nothing of jobs, and means what it means for every other call.
    pub fn of_refusal(error: &CallError) -> Option<Self> {
        let CallError::Refused { .. } = error else { return None };
        let said = error.org_text().map(OrgText::reveal).unwrap_or_default();
        let by_code = error.code().and_then(|code| Self::named(code.as_str(), said));
        // A code in camel case is none that is kept, but the message begins with it.
        by_code.or_else(|| Self::named(said, said))
    }

    /// `text` is a code, or begins with one. Codes come as `INVALIDJOB`, `INVALID_JOB` and `InvalidJob`.
    fn named(text: &str, said: &str) -> Option<Self> {
        let code = text.split([':', ' ']).next().unwrap_or_default();
        let code: String = code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
        let said = said.to_ascii_lowercase();
        Some(match code.as_str() {
            "toomanylockfailure" | "timeout" | "internalservererror" => Self::TooMuch,
            "clientinputerror" if said.contains("lineending") => Self::LineBreaks,
            "invalidbatch" if said.contains("field name not found") => Self::UnknownField,
            "exceededquota" | "limitexceeded" => Self::Quota,
            // What would be our own mistake is one for every other job of the object, too.
            "clientinputerror" | "invalidbatch" | "invalidjob" | "invalidentity" | "featurenotenabled"
            | "invaliduser" | "invalidoperation" => Self::NotOffered,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::JobTrouble as Trouble;
    use super::*;

    #[test]
    fn what_a_failed_job_says_is_told_apart() {
        for (said, trouble) in [
            ("InvalidBatch : Field name not found : Foo__c", Trouble::UnknownField),
            (
                "ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is LF",
                Trouble::LineBreaks,
            ),
            ("ClientInputError : something else", Trouble::NotOffered),
            ("InvalidBatch : type is not needed for non polymorphic foreign key Account.Ext__c", Trouble::NotOffered),
            ("TooManyLockFailure : Too many lock failure 100 Trying again later.", Trouble::TooMuch),
            ("TOO_MANY_LOCK_FAILURE: x", Trouble::TooMuch),
            ("InternalServerError : Retried more than fifteen times", Trouble::TooMuch),
            ("ExceededQuota : ApiBatchItems Limit exceeded.", Trouble::Quota),
            ("nobody knows", Trouble::TooMuch),
            ("", Trouble::TooMuch),
        ] {
            assert_eq!(Trouble::of_job(said), trouble, "{said}");
        }
    }

    #[test]
    fn a_refused_request_is_about_jobs_only_where_its_code_is() {
        let refused = |status, code: &str, message: &str| {
            let body = json!([{"errorCode": code, "message": message}]).to_string();
            Trouble::of_refusal(&CallError::from_answer(status, None, body.as_bytes()))
        };
        let website = "InvalidJob : Field name provided, website does not match an External ID";
        assert_eq!(refused(400, "INVALIDJOB", website), Some(Trouble::NotOffered));
        assert_eq!(refused(400, "InvalidJob", website), Some(Trouble::NotOffered));
        let entity = "Entity 'X' is not supported by the Bulk API.";
        assert_eq!(refused(400, "INVALIDENTITY", entity), Some(Trouble::NotOffered));
        for (status, code) in [(403, "FEATURENOTENABLED"), (403, "INVALIDUSER"), (400, "INVALID_USER")] {
            assert_eq!(refused(status, code, ""), Some(Trouble::NotOffered), "{code}");
        }
        assert_eq!(refused(400, "EXCEEDEDQUOTA", ""), Some(Trouble::Quota));
        assert_eq!(refused(403, "LIMIT_EXCEEDED", ""), Some(Trouble::Quota));
        assert_eq!(refused(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."), None);
        assert_eq!(refused(503, "SERVER_UNAVAILABLE", ""), None);
        assert_eq!(Trouble::of_refusal(&CallError::NotSent), None);
    }
}
