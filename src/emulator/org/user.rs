//! Who can log in to an org.

use super::{Id, Org};

/// A person or a program with an account in the org.
#[derive(Debug, Clone)]
pub struct User {
    pub id: Id,
    /// Unique, and has the form of an e-mail address.
    pub username: String,
    pub first_name: Option<String>,
    pub last_name: String,
    pub email: String,
    pub active: bool,
    /// May use the APIs ("API Enabled").
    pub api_enabled: bool,
    /// For the old grants; `None` where nobody may log in by password.
    pub password: Option<String>,
}

impl User {
    pub(super) fn standard(pod: &str) -> Vec<Self> {
        let user = |serial, first: Option<&str>, last: &str| Self {
            id: Id::new("005", pod, serial),
            username: format!("{}.{pod}@example.com", last.to_lowercase()),
            first_name: first.map(str::to_owned),
            last_name: last.to_owned(),
            email: format!("{}@example.com", last.to_lowercase()),
            active: true,
            api_enabled: true,
            password: Some("secret".into()),
        };
        vec![user(1_000_001, None, "Integration"), user(1_000_002, Some("Olga"), "Ordinary")]
    }
}

impl Org {
    pub fn users(&self) -> &[User] {
        &self.users
    }

    pub fn user(&self, id: &Id) -> Option<&User> {
        self.users.iter().find(|user| user.id == *id)
    }

    /// Usernames have no case.
    pub fn user_by_name(&self, username: &str) -> Option<&User> {
        self.users.iter().find(|user| user.username.eq_ignore_ascii_case(username))
    }

    /// The user that API clients run as, unless they log in as another.
    pub fn integration_user(&self) -> Id {
        self.users.first().map_or_else(|| Id::new("005", "000", 0), |user| user.id.clone())
    }

    /// An ordinary user, who works in the browser.
    pub fn ordinary_user(&self) -> Id {
        self.users.last().map_or_else(|| self.integration_user(), |user| user.id.clone())
    }
}
