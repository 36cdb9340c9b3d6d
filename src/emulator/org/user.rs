//! Who can log in to an org.
//!
//! Each user is also a record of the object User, which requests read and change; this is what login needs of it.

use std::fmt;

use serde_json::Value as Json;

use super::access::Access;
use super::table::Row;
use super::{Id, Org};

/// A person or a program with an account in the org.
#[derive(Clone)]
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
    /// May follow the password.
    pub security_token: Option<String>,
    pub access: Access,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("id", &self.id).field("username", &self.username).finish_non_exhaustive()
    }
}

impl User {
    /// Whether this is the password, alone or with the security token behind it.
    pub fn accepts(&self, password: &str) -> bool {
        let rest = self.password.as_deref().and_then(|own| password.strip_prefix(own));
        rest.is_some_and(|rest| rest.is_empty() || Some(rest) == self.security_token.as_deref())
    }
}

impl Org {
    pub fn users(&self) -> &[User] {
        &self.users
    }

    pub fn user(&self, id: &Id) -> Option<&User> {
        self.users.iter().find(|user| user.id == *id)
    }

    pub fn user_by_name_mut(&mut self, username: &str) -> Option<&mut User> {
        self.users.iter_mut().find(|user| user.username.eq_ignore_ascii_case(username))
    }

    /// Usernames have no case.
    pub fn user_by_name(&self, username: &str) -> Option<&User> {
        self.users.iter().find(|user| user.username.eq_ignore_ascii_case(username))
    }

    /// The user that API clients run as, unless they log in as another: the first one.
    pub fn integration_user(&self) -> Id {
        self.users.first().map_or_else(|| Id::new("005", &self.pod, 0), |user| user.id.clone())
    }

    /// An ordinary user, who works in the browser: the second one.
    pub fn ordinary_user(&self) -> Id {
        self.users.get(1).map_or_else(|| self.integration_user(), |user| user.id.clone())
    }

    /// What was written to a user's record counts at its next login and its next call.
    pub(super) fn follow_user(&mut self, row: &Row) {
        let Some((_, object)) = self.schema.find("User") else { return };
        let value = |name: &str| object.find(name).and_then(|(index, _)| row.values.get(&index));
        let text = |name: &str| value(name).and_then(Json::as_str).map(str::to_owned);
        let active = value("IsActive").and_then(Json::as_bool) == Some(true) && row.deleted_in.is_none();
        let (username, last_name) = (text("Username").unwrap_or_default(), text("LastName").unwrap_or_default());
        let (email, first_name) = (text("Email").unwrap_or_default(), text("FirstName"));
        if let Some(user) = self.users.iter_mut().find(|user| user.id == row.id) {
            *user = User { username, last_name, email, first_name, active, ..user.clone() };
        } else if row.deleted_in.is_none() {
            self.users.push(User {
                id: row.id.clone(),
                username,
                first_name,
                last_name,
                email,
                active,
                api_enabled: true,
                password: None,
                security_token: None,
                access: Access::default(),
            });
        }
    }
}
