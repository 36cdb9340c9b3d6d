//! What a test turns to make logins behave in another way, under `/emulator/oauth`.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::refusal::Refusal;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What the authorize page does.
    pub consent: Consent,
    /// How long a refresh takes; meanwhile its token is in use.
    pub refresh_takes_ms: u64,
    /// Off: the username-password flow is blocked, as in newer orgs.
    pub password_grant: bool,
    /// JWTs that end more than three minutes ahead are refused. The documents say so, practice does not.
    pub jwt_exp_limit: bool,
    /// The org is locked, closed or suspended.
    pub org_inactive: bool,
    /// Of one user.
    pub logins_per_hour: usize,
    /// What the token endpoint answers instead.
    pub refuse: Option<Refuse>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            consent: Consent::Page,
            refresh_takes_ms: 0,
            password_grant: true,
            jwt_exp_limit: false,
            org_inactive: false,
            logins_per_hour: 3_600,
            refuse: None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// Asks the user.
    Page,
    Approve,
    Deny,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refuse {
    /// From 500 on the answer is a page of HTML.
    #[serde(default = "bad_request")]
    pub status: u16,
    #[serde(default)]
    pub error: String,
    #[serde(default)]
    pub error_description: String,
    /// So often; always if absent.
    #[serde(default)]
    pub times: Option<u32>,
}

fn bad_request() -> u16 {
    400
}

impl Settings {
    /// Lays the given keys over these.
    pub fn merged(&self, changes: Json) -> Result<Self, String> {
        let Json::Object(changes) = changes else { return Err("expected a JSON object".into()) };
        let mut merged = json!(self);
        if let Some(merged) = merged.as_object_mut() {
            merged.extend(changes);
        }
        let merged: Self = serde_json::from_value(merged).map_err(|error| error.to_string())?;
        match &merged.refuse {
            Some(refuse) if !(400..600).contains(&refuse.status) => Err("refuse: a status from 400 to 599".into()),
            _ => Ok(merged),
        }
    }

    /// The refusal that was asked for, if it strikes now.
    pub fn refusal(&mut self) -> Option<Refusal> {
        let refuse = self.refuse.as_mut()?;
        let refusal = Refusal { status: refuse.status, ..Refusal::new(&refuse.error, &refuse.error_description) };
        if let Some(times) = &mut refuse.times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                self.refuse = None;
            }
        }
        Some(refusal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_comes_as_often_as_was_asked_for() {
        let changes = json!({"refuse": {"error": "invalid_grant", "error_description": "ip restricted", "times": 2}});
        let mut settings = Settings::default().merged(changes).unwrap();
        assert_eq!(settings.refusal(), Some(Refusal::grant("ip restricted")));
        assert!(settings.refusal().is_some());
        assert_eq!(settings.refusal(), None);
    }

    #[test]
    fn settings_that_cannot_be_read_are_refused() {
        for bad in [json!([]), json!({"consent": "yes"}), json!({"x": 1}), json!({"refuse": {"status": 200}})] {
            assert!(Settings::default().merged(bad).is_err());
        }
    }
}
