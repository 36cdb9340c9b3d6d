//! Why an org could not be used at all: what its token endpoint answered, and what a person can do; pure.

use std::time::Duration;

/// Why there is no session with an org.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrgError {
    #[error("login: the org could not be reached")]
    Unreachable,
    #[error("login: no answer in time")]
    TimedOut,
    /// 5xx, 429, a redirect, HTML or nothing (facts: oauth.md section 3). `status` is 0 if the answer was cut.
    #[error("login: no usable answer (HTTP {status})")]
    Unavailable { status: u16, retry_after: Option<Duration> },
    #[error("login refused: {0}")]
    Refused(LoginRefusal),
    /// The token endpoint answered 200 with JSON that is no token response of Salesforce.
    #[error("login: the answer has no usable {0}")]
    NotATokenResponse(&'static str),
    /// The login leads to another org than before. Nothing may be read from it, or written to it.
    #[error("the login leads to org {found}, but this is the state of org {pinned}")]
    OtherOrg { pinned: String, found: String },
    #[error("org client: this machine has no CA certificates")]
    NoCertificates,
    /// Something in the config cannot be sent.
    #[error("org client: {0} cannot be used")]
    Setup(&'static str),
}

/// What a token endpoint says, in its `error` and `error_description` (facts: oauth.md section 4).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginRefusal {
    #[error("the refresh token is expired or revoked")]
    TokenExpired,
    #[error("the same refresh token is being used by another request")]
    BeingProcessed,
    /// On the refresh grant another spelling of `BeingProcessed`.
    #[error("the authorization code is expired")]
    CodeExpired,
    #[error("the authorization code is wrong")]
    WrongCode,
    #[error("the code verifier does not fit")]
    WrongVerifier,
    #[error("user name or password wrong, or forbidden by the login policy")]
    AuthenticationFailure,
    #[error("the user has not approved the app")]
    NotApproved,
    #[error("the signed assertion is not accepted")]
    InvalidAssertion,
    #[error("the audience of the assertion is wrong")]
    WrongAudience,
    #[error("the user is inactive")]
    InactiveUser,
    #[error("the org is inactive, locked or closed")]
    InactiveOrg,
    #[error("this IP address may not log in")]
    IpRestricted,
    #[error("outside the user's login hours")]
    LoginHours,
    #[error("the app has no Run As user for client credentials")]
    NoRunAsUser,
    #[error("client credentials are not accepted at this host")]
    WrongDomain,
    #[error("the consumer key is unknown")]
    UnknownConsumerKey,
    #[error("the consumer secret is wrong or missing")]
    WrongSecret,
    #[error("the user is not admitted to the app")]
    NotAdmitted,
    #[error("the flow is not enabled in the app")]
    GrantNotEnabled,
    #[error("the app's callback settings do not fit")]
    AppSettings,
    #[error("the request is not accepted")]
    InvalidRequest,
    #[error("the scope is not selected in the app")]
    InvalidScope,
    #[error("access was denied")]
    AccessDenied,
    #[error("too many logins")]
    TooManyLogins,
    #[error("the login is not approved yet")]
    StillPending,
    #[error("the token is already gone")]
    TokenGone,
    #[error("invalid_grant, reason unknown")]
    OtherGrant,
    #[error("reason unknown")]
    Other,
}

/// A login limit and login hours pass in minutes at best.
const SLOW: Duration = Duration::from_secs(300);

impl LoginRefusal {
    /// Decides by code and, where one code means many things, by the words within the description.
    pub fn read(error: &str, description: &str) -> Self {
        let description = description.to_lowercase();
        let says = |words: &str| description.contains(words);
        match error {
            "invalid_grant" if says("already being processed") => Self::BeingProcessed,
            "invalid_grant" if says("expired access/refresh token") => Self::TokenExpired,
            "invalid_grant" if says("expired authorization code") => Self::CodeExpired,
            "invalid_grant" if says("invalid authorization code") => Self::WrongCode,
            "invalid_grant" if says("code verifier") => Self::WrongVerifier,
            "invalid_grant" if says("authentication failure") => Self::AuthenticationFailure,
            "invalid_grant" if says("hasn't approved") => Self::NotApproved,
            "invalid_grant" if says("invalid assertion") => Self::InvalidAssertion,
            "invalid_grant" if says("audience") => Self::WrongAudience,
            "invalid_grant" if says("user is inactive") || says("inactive user") => Self::InactiveUser,
            "invalid_grant" if says("inactive org") => Self::InactiveOrg,
            "invalid_grant" if says("ip restricted") => Self::IpRestricted,
            "invalid_grant" if says("login hours") => Self::LoginHours,
            "invalid_grant" if says("no client credentials user") => Self::NoRunAsUser,
            "invalid_grant" if says("not supported on this domain") => Self::WrongDomain,
            "invalid_grant" => Self::OtherGrant,
            "invalid_client_id" => Self::UnknownConsumerKey,
            "invalid_client" if says("app must be installed") => Self::NotAdmitted,
            "invalid_client" => Self::WrongSecret,
            "invalid_app_access" => Self::NotAdmitted,
            "unauthorized_client" | "unsupported_grant_type" => Self::GrantNotEnabled,
            "unsupported_response_type" | "redirect_uri_missing" | "redirect_uri_mismatch" => Self::AppSettings,
            "invalid_request" => Self::InvalidRequest,
            "invalid_scope" => Self::InvalidScope,
            "access_denied" | "immediate_unsuccessful" => Self::AccessDenied,
            "inactive_user" => Self::InactiveUser,
            "inactive_org" => Self::InactiveOrg,
            "rate_limit_exceeded" => Self::TooManyLogins,
            "authorization_pending" | "slow_down" => Self::StillPending,
            "expired_token" => Self::CodeExpired,
            "unsupported_token_type" | "invalid_token" => Self::TokenGone,
            _ => Self::Other,
        }
    }

    /// The same login can succeed later without a person.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::BeingProcessed | Self::CodeExpired | Self::LoginHours | Self::TooManyLogins | Self::StillPending => {
                true
            }
            Self::TokenExpired
            | Self::WrongCode
            | Self::WrongVerifier
            | Self::AuthenticationFailure
            | Self::NotApproved
            | Self::InvalidAssertion
            | Self::WrongAudience
            | Self::InactiveUser
            | Self::InactiveOrg
            | Self::IpRestricted
            | Self::NoRunAsUser
            | Self::WrongDomain
            | Self::UnknownConsumerKey
            | Self::WrongSecret
            | Self::NotAdmitted
            | Self::GrantNotEnabled
            | Self::AppSettings
            | Self::InvalidRequest
            | Self::InvalidScope
            | Self::AccessDenied
            | Self::TokenGone
            | Self::OtherGrant
            | Self::Other => false,
        }
    }

    /// How long to wait at least, where the cause tells.
    fn retry_after(&self) -> Option<Duration> {
        matches!(self, Self::LoginHours | Self::TooManyLogins).then_some(SLOW)
    }

    /// What an admin can do, in the words of Setup.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::TokenExpired | Self::TokenGone => "log in to this org again",
            Self::BeingProcessed => "wait: another process is logging in with the same token",
            Self::CodeExpired | Self::WrongCode | Self::WrongVerifier => "start the login again",
            Self::AuthenticationFailure => "check user name, password and the user's login policy in Setup",
            Self::NotApproved | Self::NotAdmitted => {
                "in Setup, assign the app to the integration user by a permission set or profile"
            }
            Self::InvalidAssertion => "check the certificate that is uploaded to the app, and this machine's clock",
            Self::WrongAudience => "use the audience of the org's type: login.salesforce.com, or test.salesforce.com",
            Self::InactiveUser => "activate the integration user in Setup > Users",
            Self::InactiveOrg => "the org is locked or closed: ask Salesforce support",
            Self::IpRestricted => {
                "allow this machine's IP address: Login IP Ranges of the user's profile, or IP Relaxation of the app"
            }
            Self::LoginHours => "widen the Login Hours of the integration user's profile",
            Self::NoRunAsUser => "in the app's policies, enable the Client Credentials Flow and choose a Run As user",
            Self::WrongDomain => {
                "set login_url to the org's My Domain URL (https://NAME.my.salesforce.com), not login.salesforce.com"
            }
            Self::UnknownConsumerKey => {
                "check the Consumer Key and that login_url is the org that has the app; a new app works after 10 minutes"
            }
            Self::WrongSecret => "check the Consumer Secret of the app",
            Self::GrantNotEnabled => "enable the Client Credentials Flow in the app's OAuth settings",
            Self::AppSettings => "check the app's OAuth settings",
            Self::InvalidRequest => "the request was not understood: please report this",
            Self::InvalidScope => "select the scope 'Manage user data via APIs (api)' in the app",
            Self::AccessDenied => "approve the access, or ask an admin of the org",
            Self::TooManyLogins => "wait: the org limits logins per hour; is the bridge running twice?",
            Self::StillPending => "approve the login",
            Self::OtherGrant | Self::Other => "see Login History in Setup for the reason",
        }
    }
}

impl OrgError {
    /// The same can succeed later without a person.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable | Self::TimedOut | Self::Unavailable { .. } => true,
            Self::Refused(refusal) => refusal.is_transient(),
            Self::OtherOrg { .. } | Self::NotATokenResponse(_) | Self::NoCertificates | Self::Setup(_) => false,
        }
    }

    /// How long to wait at least before the next login, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            Self::Refused(refusal) => refusal.retry_after(),
            Self::Unreachable
            | Self::TimedOut
            | Self::OtherOrg { .. }
            | Self::NotATokenResponse(_)
            | Self::NoCertificates
            | Self::Setup(_) => None,
        }
    }

    /// What a person can do.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Unreachable | Self::TimedOut => "check login_url, the network and the proxy of this machine",
            Self::Unavailable { .. } => "wait; if it stays, check login_url and status.salesforce.com",
            Self::Refused(refusal) => refusal.remedy(),
            Self::NotATokenResponse(_) => "set login_url to the org's My Domain URL (https://NAME.my.salesforce.com)",
            Self::OtherOrg { .. } => {
                "check login_url and the consumer key; if this is meant: `orgbridge org accept-new NAME`"
            }
            Self::NoCertificates => "install the CA certificates of the system (package ca-certificates)",
            Self::Setup(_) => "check this org's entry in the config",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LoginRefusal as No;
    use super::*;

    #[rustfmt::skip]
    const TABLE: &[(&str, &str, No)] = &[
        ("invalid_grant", "expired access/refresh token", No::TokenExpired),
        ("invalid_grant", "token request is already being processed", No::BeingProcessed),
        ("invalid_grant", "expired authorization code", No::CodeExpired),
        ("invalid_grant", "invalid authorization code", No::WrongCode),
        ("invalid_grant", "invalid code verifier", No::WrongVerifier),
        ("invalid_grant", "unexpected code verifier", No::WrongVerifier),
        ("invalid_grant", "authentication failure", No::AuthenticationFailure),
        ("invalid_grant", "user hasn't approved this consumer", No::NotApproved),
        ("invalid_grant", "invalid assertion", No::InvalidAssertion),
        ("invalid_grant", "audience is invalid", No::WrongAudience),
        ("invalid_grant", "Audience validation failed", No::WrongAudience),
        ("invalid_grant", "user is inactive", No::InactiveUser),
        ("invalid_grant", "inactive user", No::InactiveUser),
        ("invalid_grant", "inactive organization", No::InactiveOrg),
        ("invalid_grant", "IP restricted", No::IpRestricted),
        ("invalid_grant", "invalid login hours", No::LoginHours),
        ("invalid_grant", "no client credentials user enabled", No::NoRunAsUser),
        ("invalid_grant", "request not supported on this domain", No::WrongDomain),
        ("invalid_grant", "something new", No::OtherGrant),
        ("invalid_client_id", "client identifier invalid", No::UnknownConsumerKey),
        ("invalid_client", "invalid client credentials", No::WrongSecret),
        ("invalid_client", "app must be installed into org", No::NotAdmitted),
        ("invalid_app_access", "user is not admin approved to access this app", No::NotAdmitted),
        ("unauthorized_client", "grant type not supported", No::GrantNotEnabled),
        ("unsupported_grant_type", "grant type not supported", No::GrantNotEnabled),
        ("unsupported_response_type", "", No::AppSettings),
        ("redirect_uri_missing", "", No::AppSettings),
        ("redirect_uri_mismatch", "redirect_uri must match configuration", No::AppSettings),
        ("invalid_request", "must use HTTP POST", No::InvalidRequest),
        ("invalid_scope", "the requested scope is invalid, unknown, or malformed", No::InvalidScope),
        ("access_denied", "end-user denied authorization", No::AccessDenied),
        ("immediate_unsuccessful", "", No::AccessDenied),
        ("inactive_user", "", No::InactiveUser),
        ("inactive_org", "", No::InactiveOrg),
        ("rate_limit_exceeded", "number of logins exceeded", No::TooManyLogins),
        ("authorization_pending", "", No::StillPending),
        ("slow_down", "", No::StillPending),
        ("expired_token", "", No::CodeExpired),
        ("unsupported_token_type", "", No::TokenGone),
        ("invalid_token", "", No::TokenGone),
        ("never_heard_of", "", No::Other),
    ];

    #[test]
    fn each_answer_of_a_token_endpoint_is_understood() {
        for (error, description, expected) in TABLE {
            assert_eq!(No::read(error, description), *expected, "{error}: {description}");
        }
    }

    #[test]
    fn only_what_passes_by_itself_is_tried_again() {
        let transient: Vec<_> = TABLE.iter().map(|row| &row.2).filter(|refusal| refusal.is_transient()).collect();
        let expected = [
            &No::BeingProcessed,
            &No::CodeExpired,
            &No::LoginHours,
            &No::TooManyLogins,
            &No::StillPending,
            &No::StillPending,
            &No::CodeExpired,
        ];
        assert_eq!(transient, expected);
        assert!(OrgError::Unavailable { status: 503, retry_after: None }.is_transient());
        assert!(!OrgError::NotATokenResponse("id").is_transient());
    }

    #[test]
    fn client_credentials_at_the_login_host_lead_to_my_domain() {
        let error = OrgError::Refused(No::read("invalid_grant", "request not supported on this domain"));
        assert!(error.remedy().contains("My Domain"));
        assert!(!error.is_transient());
    }

    #[test]
    fn a_login_limit_is_waited_out_in_minutes() {
        let error = OrgError::Refused(No::read("rate_limit_exceeded", ""));
        assert_eq!(error.retry_after(), Some(SLOW));
    }
}
