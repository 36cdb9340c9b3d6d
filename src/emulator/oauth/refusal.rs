//! Why a login fails: the codes and texts of oauth.md section 4.

/// `error` and `error_description` of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub error: String,
    pub description: String,
}

impl Refusal {
    pub fn new(error: &str, description: &str) -> Self {
        Self { status: 400, error: error.to_owned(), description: description.to_owned() }
    }

    pub fn grant(description: &str) -> Self {
        Self::new("invalid_grant", description)
    }

    pub fn request(description: &str) -> Self {
        Self::new("invalid_request", description)
    }

    pub fn missing(parameter: &str) -> Self {
        Self::request(&format!("missing required parameter: {parameter}"))
    }

    /// Revoked, expired, replaced or unknown.
    pub fn expired() -> Self {
        Self::grant("expired access/refresh token")
    }

    pub fn unknown_client() -> Self {
        Self::new("invalid_client_id", "client identifier invalid")
    }

    pub fn wrong_secret() -> Self {
        Self::new("invalid_client", "invalid client credentials")
    }

    pub fn not_approved() -> Self {
        Self::new("invalid_app_access", "user is not admin approved to access this app")
    }

    pub fn invalid_assertion() -> Self {
        Self::grant("invalid assertion")
    }
}
