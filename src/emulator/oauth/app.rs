//! The app that an org's admin has set up for a client: connected app or external client app, which on the wire are
//! one (oauth.md section 2).

use serde::{Deserialize, Serialize};

use super::certificate::Certificate;
use super::scopes::Scopes;
use super::secret::Secret;
use crate::host;
use crate::org::time::{HOUR, MINUTE};

/// An app as a scenario describes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AppSpec {
    pub name: String,
    /// Follow from the seed where they are absent.
    pub consumer_key: Option<String>,
    pub consumer_secret: Option<Secret>,
    /// Compared character for character.
    pub callback_urls: Vec<String>,
    pub scopes: Scopes,
    pub flows: Vec<Flow>,
    /// A username; null: the admin has chosen nobody. The integration user where it is absent.
    pub client_credentials_user: RunAs,
    pub require_pkce: bool,
    /// For the exchange of a code.
    pub require_secret: bool,
    pub require_secret_for_refresh: bool,
    /// Each refresh gives a new refresh token, and the old one is dead.
    pub rotation: bool,
    pub refresh_policy: RefreshPolicy,
    /// PEM of the X.509 certificate with which JWTs are checked.
    pub certificate: Option<String>,
    pub permitted_users: PermittedUsers,
    /// Usernames, for `admin_approved`.
    pub approved_users: Vec<String>,
    pub introspection: bool,
    /// Tokens of other apps may be introspected too.
    pub introspect_all: bool,
    /// Inactivity after which an access token ends.
    pub session_minutes: u32,
    /// Age at which an access token ends, used or not.
    pub access_token_minutes: Option<u32>,
    /// As if the org did not know the app.
    pub blocked: bool,
    /// Refresh tokens that one user can have at a time; the oldest makes room.
    pub approvals: usize,
}

impl Default for AppSpec {
    fn default() -> Self {
        Self {
            name: "OrgBridge".into(),
            consumer_key: None,
            consumer_secret: None,
            callback_urls: vec!["http://localhost:1717/OauthRedirect".into()],
            scopes: Scopes::of(&["api", "refresh_token", "id", "openid", "profile", "email", "web"]),
            flows: vec![Flow::WebServer, Flow::Refresh, Flow::Jwt, Flow::ClientCredentials, Flow::Password],
            client_credentials_user: RunAs::Integration,
            require_pkce: false,
            require_secret: true,
            require_secret_for_refresh: true,
            rotation: false,
            refresh_policy: RefreshPolicy::Infinite,
            certificate: None,
            permitted_users: PermittedUsers::AllMaySelfAuthorize,
            approved_users: Vec::new(),
            introspection: true,
            introspect_all: false,
            session_minutes: 120,
            access_token_minutes: None,
            blocked: false,
            approvals: 5,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flow {
    WebServer,
    Refresh,
    Jwt,
    ClientCredentials,
    Password,
}

/// Whom the client credentials flow logs in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Option<String>")]
pub enum RunAs {
    Integration,
    User(String),
    Nobody,
}

impl From<Option<String>> for RunAs {
    fn from(username: Option<String>) -> Self {
        username.map_or(Self::Nobody, Self::User)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PermittedUsers {
    AllMaySelfAuthorize,
    AdminApproved,
}

/// When a refresh token ends by itself; written as in the metadata: `infinite`, `zero`, `specific_lifetime:N:HOURS`,
/// `specific_inactivity:N:DAYS`. It is looked at only when the token is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum RefreshPolicy {
    Infinite,
    /// At once.
    Zero,
    /// Microseconds after the approval.
    Lifetime(i64),
    /// Microseconds after its last use.
    Inactivity(i64),
}

impl TryFrom<String> for RefreshPolicy {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("{text}: infinite, zero, specific_lifetime:N:UNIT or specific_inactivity:N:UNIT");
        let parts: Vec<&str> = text.split(':').collect();
        let span = |number: &str, unit: &str| {
            let unit = match unit {
                "HOURS" => HOUR,
                "DAYS" => 24 * HOUR,
                "MONTHS" => 30 * 24 * HOUR,
                _ => return Err(wrong()),
            };
            number.parse::<u32>().ok().and_then(|number| unit.checked_mul(i64::from(number))).ok_or_else(wrong)
        };
        match parts.as_slice() {
            ["infinite"] => Ok(Self::Infinite),
            ["zero"] => Ok(Self::Zero),
            ["specific_lifetime", number, unit] => Ok(Self::Lifetime(span(number, unit)?)),
            ["specific_inactivity", number, unit] => Ok(Self::Inactivity(span(number, unit)?)),
            _ => Err(wrong()),
        }
    }
}

/// An app that an org has.
#[derive(Debug)]
pub struct App {
    pub key: String,
    secret: Secret,
    pub certificate: Option<Certificate>,
    pub spec: AppSpec,
}

impl App {
    /// Key and secret come from the generator where the description has none.
    ///
    /// # Errors
    /// What is wrong with the description.
    pub fn new(spec: AppSpec, rng: &mut fastrand::Rng) -> Result<Self, String> {
        // Both are always drawn, so that what follows does not depend on which are given.
        let key = format!("3MVG9{}", host::text(rng, 80));
        let secret: String = (0..64).map(|_| rng.digit(16).to_ascii_uppercase()).collect();
        let certificate = spec.certificate.as_deref().map(Certificate::from_pem).transpose()?;
        Ok(Self {
            key: spec.consumer_key.clone().unwrap_or(key),
            secret: spec.consumer_secret.clone().unwrap_or_else(|| secret.into()),
            certificate,
            spec,
        })
    }

    pub fn secret(&self) -> &str {
        self.secret.expose()
    }

    pub fn offers(&self, flow: Flow) -> bool {
        self.spec.flows.contains(&flow)
    }

    pub fn permits(&self, username: &str) -> bool {
        match self.spec.permitted_users {
            PermittedUsers::AllMaySelfAuthorize => true,
            PermittedUsers::AdminApproved => self.pre_authorizes(username),
        }
    }

    /// The user needs not approve the app himself.
    pub fn pre_authorizes(&self, username: &str) -> bool {
        self.spec.permitted_users == PermittedUsers::AdminApproved
            && self.spec.approved_users.iter().any(|approved| approved.eq_ignore_ascii_case(username))
    }

    pub fn session_timeout(&self) -> i64 {
        i64::from(self.spec.session_minutes) * MINUTE
    }

    pub fn access_lifetime(&self) -> Option<i64> {
        self.spec.access_token_minutes.map(|minutes| i64::from(minutes) * MINUTE)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_description_of_nothing_is_the_usual_app_and_null_means_nobody() {
        let spec: AppSpec = serde_json::from_value(json!({})).unwrap();
        assert_eq!(spec.client_credentials_user, RunAs::Integration);
        assert_eq!(spec.callback_urls, ["http://localhost:1717/OauthRedirect"]);
        let spec: AppSpec = serde_json::from_value(json!({"client_credentials_user": null})).unwrap();
        assert_eq!(spec.client_credentials_user, RunAs::Nobody);
        assert!(serde_json::from_value::<AppSpec>(json!({"flow": []})).is_err());
    }

    #[test]
    fn refresh_policies_are_read_as_the_metadata_has_them() {
        let read = |text: &str| RefreshPolicy::try_from(text.to_owned());
        assert_eq!(read("infinite"), Ok(RefreshPolicy::Infinite));
        assert_eq!(read("zero"), Ok(RefreshPolicy::Zero));
        assert_eq!(read("specific_lifetime:2:DAYS"), Ok(RefreshPolicy::Lifetime(48 * HOUR)));
        assert_eq!(read("specific_inactivity:3:HOURS"), Ok(RefreshPolicy::Inactivity(3 * HOUR)));
        for bad in ["", "specific_lifetime", "specific_lifetime:x:DAYS", "specific_lifetime:-1:DAYS", "zero:1"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_certificate_that_cannot_be_read_is_a_mistake_in_the_description() {
        let spec = AppSpec { certificate: Some("no PEM".into()), ..AppSpec::default() };
        assert!(App::new(spec, &mut fastrand::Rng::with_seed(1)).unwrap_err().contains("certificate"));
    }
}
