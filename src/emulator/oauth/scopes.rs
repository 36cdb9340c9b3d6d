//! What a token may be used for (oauth.md section 13).

use std::fmt;

use serde::{Deserialize, Serialize};

/// Names of scopes, in the order in which they were chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scopes(Vec<String>);

impl Scopes {
    pub fn of(names: &[&str]) -> Self {
        Self(names.iter().map(|name| (*name).to_owned()).collect())
    }

    /// Whether the name was chosen; `refresh_token` has two names.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|own| own == name || (is_offline(own) && is_offline(name)))
    }

    /// A session of the user himself, of a login by password or of the scope for everything.
    pub fn allow_api(&self) -> bool {
        ["api", "full", "web"].iter().any(|name| self.has(name))
    }

    pub fn allow_identity(&self) -> bool {
        ["id", "openid", "profile", "full", "api"].iter().any(|name| self.has(name))
    }

    /// What a request asks for out of these: all of them where it names none, nothing where one is not among them.
    pub fn choose(&self, asked: Option<&str>) -> Option<Self> {
        let asked: Vec<&str> = asked.unwrap_or_default().split_ascii_whitespace().collect();
        if asked.is_empty() {
            return Some(self.clone());
        }
        asked.iter().all(|name| self.has(name)).then(|| Self::of(&asked))
    }

    /// Whether everything in `other` is in here as well.
    pub fn cover(&self, other: &Self) -> bool {
        other.iter().all(|name| self.has(name))
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

fn is_offline(name: &str) -> bool {
    matches!(name, "refresh_token" | "offline_access")
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::Scopes;

    #[test]
    fn only_scopes_of_the_app_can_be_asked_for_and_none_means_all() {
        let app = Scopes::of(&["api", "refresh_token"]);
        assert_eq!(app.choose(None), Some(app.clone()));
        assert_eq!(app.choose(Some(" ")), Some(app.clone()));
        assert_eq!(app.choose(Some("api")).unwrap().to_string(), "api");
        assert_eq!(app.choose(Some("offline_access api")).unwrap().to_string(), "offline_access api");
        assert_eq!(app.choose(Some("api full")), None);
    }
}
