//! What an org has given out: access tokens here, authorization codes and refresh tokens below.
//!
//! Time is an argument, in microseconds since 1970; nothing here knows users or apps beyond their names.

mod codes;
mod refreshes;

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;

pub use codes::Code;
use codes::Codes;
use refreshes::Refreshes;

use super::app::RefreshPolicy;
use super::refusal::Refusal;
use super::scopes::Scopes;
use crate::host;
use crate::org::Id;
use crate::org::time::HOUR;

/// Who may do what, through which app.
#[derive(Debug, Clone, PartialEq)]
pub struct Grant {
    pub user: Id,
    /// The app's consumer key; empty for a login without an app.
    pub app: String,
    pub scopes: Scopes,
}

/// What an access token stands for.
#[derive(Debug, Clone)]
pub struct Session {
    pub user: Id,
    /// The app's consumer key; empty for a login without an app.
    pub app: String,
    pub scopes: Scopes,
    pub issued: i64,
    used: i64,
    /// Inactivity after which it ends.
    timeout: i64,
    /// When it ends, used or not.
    end: Option<i64>,
    family: Option<u64>,
}

impl Session {
    /// When it ends if it is not used any more.
    pub fn ends(&self) -> i64 {
        let idle = self.used.saturating_add(self.timeout);
        self.end.map_or(idle, |end| end.min(idle))
    }
}

/// How long an access token lives.
#[derive(Debug, Clone, Copy)]
pub struct Lifetime {
    /// Without being used.
    pub idle: i64,
    /// In all.
    pub total: Option<i64>,
}

/// A token of any kind, for introspection.
#[derive(Debug)]
pub struct Seen {
    pub grant: Grant,
    pub kind: &'static str,
    pub issued: i64,
    pub ends: Option<i64>,
}

pub struct Tokens {
    sessions: HashMap<String, Session>,
    codes: Codes,
    refreshes: Refreshes,
    /// Ids of assertions that were used.
    assertions: HashSet<(String, String)>,
    /// When each user logged in during the last hour.
    logins: HashMap<Id, VecDeque<i64>>,
    rng: fastrand::Rng,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("sessions", &self.sessions.len()).finish_non_exhaustive()
    }
}

impl Tokens {
    pub fn new(mut rng: fastrand::Rng) -> Self {
        Self {
            sessions: HashMap::new(),
            codes: Codes::new(rng.fork()),
            refreshes: Refreshes::new(rng.fork()),
            assertions: HashSet::new(),
            logins: HashMap::new(),
            rng,
        }
    }

    /// A new access token. `family`: of the refresh token that it goes with.
    pub fn issue(&mut self, org: &Id, grant: Grant, lifetime: Lifetime, family: Option<u64>, now: i64) -> String {
        let token = format!("{}!AQ{}.{}", org.short(), host::text(&mut self.rng, 60), host::text(&mut self.rng, 32));
        let Grant { user, app, scopes } = grant;
        let end = lifetime.total.map(|total| now.saturating_add(total));
        let session = Session { user, app, scopes, issued: now, used: now, timeout: lifetime.idle, end, family };
        self.sessions.insert(token.clone(), session);
        token
    }

    /// The session of a token that is good; using it prolongs it.
    pub fn check(&mut self, token: Option<&str>, now: i64) -> Option<Session> {
        let session = self.sessions.get_mut(token?).filter(|session| now <= session.ends())?;
        session.used = now;
        Some(session.clone())
    }

    /// Every access token ends at once.
    pub fn expire(&mut self) {
        self.sessions.clear();
    }

    /// Everything that was ever given out ends, approvals as well.
    pub fn end_all(&mut self) {
        self.sessions.clear();
        self.refreshes.end(|_| true);
        self.codes.end_all();
    }

    /// Everything that a user has ends.
    pub fn end_user(&mut self, user: &Id) {
        self.sessions.retain(|_, session| session.user != *user);
        self.refreshes.end(|grant| grant.user == *user);
    }

    /// Everything that an app was given ends.
    pub fn end_app(&mut self, key: &str) {
        self.sessions.retain(|_, session| session.app != key);
        self.refreshes.end(|grant| grant.app == key);
    }

    /// Ends an access token, or a refresh token with all access tokens from it; whether there was one.
    pub fn revoke(&mut self, token: &str) -> bool {
        if self.sessions.remove(token).is_some() {
            return true;
        }
        let family = self.refreshes.family_of(token);
        self.end_families(family.as_slice());
        family.is_some()
    }

    /// Whether the token was given out here; it may have ended since.
    pub fn knows(&self, token: &str) -> bool {
        self.sessions.contains_key(token) || self.refreshes.knows(token) || self.codes.knows(token)
    }

    /// A live token; looking at it does not prolong it.
    pub fn look_at(&self, token: &str, policy: RefreshPolicy, now: i64) -> Option<Seen> {
        if let Some(session) = self.sessions.get(token).filter(|session| now <= session.ends()) {
            let Session { user, app, scopes, .. } = session.clone();
            let grant = Grant { user, app, scopes };
            return Some(Seen { grant, kind: "access_token", issued: session.issued, ends: Some(session.ends()) });
        }
        self.refreshes.look_at(token, policy, now)
    }

    pub fn add_code(&mut self, code: Code) -> String {
        self.codes.add(code)
    }

    /// What a code was given for; it is used up then.
    pub fn redeem(
        &mut self,
        code: &str,
        app: &str,
        redirect_uri: &str,
        verifier: Option<&str>,
        now: i64,
    ) -> Result<Code, Refusal> {
        self.codes.redeem(code, app, redirect_uri, verifier, now)
    }

    /// A new refresh token and its family; past `limit` for one user and app the oldest ends.
    pub fn approve(&mut self, grant: Grant, limit: usize, now: i64) -> (String, u64) {
        let crowded_out = self.refreshes.make_room(&grant, limit);
        self.end_families(&crowded_out);
        self.refreshes.add(grant, now)
    }

    /// Whether the user has approved the app for use without him.
    pub fn has_approved(&self, user: &Id, app: &str, scopes: Option<&Scopes>) -> bool {
        self.refreshes.grants().any(|grant| {
            grant.user == *user && grant.app == app && scopes.is_none_or(|scopes| grant.scopes.cover(scopes))
        })
    }

    /// Takes a refresh token into use; until [`Tokens::finish_refresh`] or [`Tokens::release`] nobody else can.
    pub fn begin_refresh(&mut self, token: &str, app: &str, policy: RefreshPolicy, now: i64) -> Result<Grant, Refusal> {
        self.refreshes.begin(token, app, policy, now).map_err(|failed| {
            self.end_families(failed.ends.as_slice());
            failed.refusal
        })
    }

    /// The family of the token, and the token that replaces it if tokens rotate.
    pub fn finish_refresh(&mut self, token: &str, rotate: bool, now: i64) -> Result<(u64, Option<String>), Refusal> {
        self.refreshes.finish(token, rotate, now)
    }

    /// Ends the use of a refresh token without success.
    pub fn release(&mut self, token: &str) {
        self.refreshes.release(token);
    }

    /// Whether the id of an assertion is new; from now on it is not.
    pub fn first_use(&mut self, app: &str, assertion: &str) -> bool {
        self.assertions.insert((app.to_owned(), assertion.to_owned()))
    }

    /// Counts a login, unless the user had `limit` of them within the last hour.
    pub fn admit(&mut self, user: &Id, limit: usize, now: i64) -> Result<(), Refusal> {
        let logins = self.logins.entry(user.clone()).or_default();
        while logins.front().is_some_and(|at| now - at >= HOUR) {
            logins.pop_front();
        }
        if logins.len() >= limit {
            return Err(Refusal::new("rate_limit_exceeded", "number of logins exceeded"));
        }
        logins.push_back(now);
        Ok(())
    }

    fn end_families(&mut self, families: &[u64]) {
        self.refreshes.end_families(families);
        self.sessions.retain(|_, session| session.family.is_none_or(|family| !families.contains(&family)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::org::time::MINUTE;

    const INFINITE: RefreshPolicy = RefreshPolicy::Infinite;
    const TWO_HOURS: Lifetime = Lifetime { idle: 2 * HOUR, total: None };

    fn tokens() -> Tokens {
        Tokens::new(fastrand::Rng::with_seed(1))
    }

    fn org() -> Id {
        Id::new("00D", "5e0", 1)
    }

    fn grant() -> Grant {
        Grant { user: Id::new("005", "5e0", 1), app: "app".into(), scopes: Scopes::of(&["api", "refresh_token"]) }
    }

    /// An approval and an access token from it.
    fn approved(tokens: &mut Tokens, now: i64) -> (String, String) {
        let (refresh, family) = tokens.approve(grant(), 5, now);
        (refresh, tokens.issue(&org(), grant(), TWO_HOURS, Some(family), now))
    }

    fn refresh(tokens: &mut Tokens, token: &str, rotate: bool) -> Result<(u64, Option<String>), Refusal> {
        tokens.begin_refresh(token, "app", INFINITE, 0)?;
        tokens.finish_refresh(token, rotate, 0)
    }

    #[test]
    fn use_prolongs_an_access_token_but_not_past_its_whole_lifetime() {
        let mut tokens = tokens();
        let idle = tokens.issue(&org(), grant(), TWO_HOURS, None, 0);
        let total = Lifetime { idle: 2 * HOUR, total: Some(3 * HOUR) };
        let total = tokens.issue(&org(), grant(), total, None, 0);
        for now in [2 * HOUR, 3 * HOUR] {
            assert!(tokens.check(Some(&idle), now).is_some() && tokens.check(Some(&total), now).is_some());
        }
        assert!(tokens.check(Some(&total), 3 * HOUR + 1).is_none());
        assert!(tokens.check(Some(&idle), 5 * HOUR).is_some());
        assert!(tokens.check(Some(&idle), 7 * HOUR + 1).is_none());
    }

    #[test]
    fn a_token_that_is_looked_at_is_not_prolonged() {
        let mut tokens = tokens();
        let token = tokens.issue(&org(), grant(), TWO_HOURS, None, 0);
        assert_eq!(tokens.look_at(&token, INFINITE, HOUR).unwrap().ends, Some(2 * HOUR));
        assert!(tokens.check(Some(&token), 2 * HOUR + 1).is_none());
    }

    #[test]
    fn revoking_an_access_token_ends_only_it_and_a_refresh_token_ends_all_from_it() {
        let mut tokens = tokens();
        let (refresh_token, first) = approved(&mut tokens, 0);
        let (family, _) = refresh(&mut tokens, &refresh_token, false).unwrap();
        let second = tokens.issue(&org(), grant(), TWO_HOURS, Some(family), 0);
        let other = tokens.issue(&org(), grant(), TWO_HOURS, None, 0);
        assert!(tokens.revoke(&first) && !tokens.revoke(&first));
        assert!(tokens.check(Some(&second), 0).is_some());
        assert!(tokens.revoke(&refresh_token));
        assert!(tokens.check(Some(&second), 0).is_none());
        assert!(tokens.check(Some(&other), 0).is_some());
        assert_eq!(refresh(&mut tokens, &refresh_token, false), Err(Refusal::expired()));
    }

    #[test]
    fn a_replaced_refresh_token_that_comes_again_ends_its_family() {
        let mut tokens = tokens();
        let (first, access) = approved(&mut tokens, 0);
        let (others, other_access) = approved(&mut tokens, 0);
        let second = refresh(&mut tokens, &first, true).unwrap().1.unwrap();
        let third = refresh(&mut tokens, &second, true).unwrap().1.unwrap();
        assert!(tokens.check(Some(&access), 0).is_some());
        assert_eq!(refresh(&mut tokens, &first, true), Err(Refusal::expired()));
        assert_eq!(refresh(&mut tokens, &third, true), Err(Refusal::expired()));
        assert!(tokens.check(Some(&access), 0).is_none());
        assert!(tokens.check(Some(&other_access), 0).is_some());
        assert!(refresh(&mut tokens, &others, true).is_ok());
    }

    #[test]
    fn the_sixth_approval_ends_the_oldest() {
        let mut tokens = tokens();
        let (first, access) = approved(&mut tokens, 0);
        // Rotation makes no further approval.
        let first = refresh(&mut tokens, &first, true).unwrap().1.unwrap();
        let others: Vec<String> = (0..4).map(|_| approved(&mut tokens, 0).0).collect();
        let first = refresh(&mut tokens, &first, true).unwrap().1.unwrap();
        approved(&mut tokens, 0);
        assert_eq!(refresh(&mut tokens, &first, false), Err(Refusal::expired()));
        assert!(tokens.check(Some(&access), 0).is_none());
        assert!(others.iter().all(|token| refresh(&mut tokens, token, false).is_ok()));
    }

    #[test]
    fn what_a_user_or_an_app_had_can_end_as_a_whole() {
        let mut tokens = tokens();
        let (first, first_access) = approved(&mut tokens, 0);
        tokens.end_user(&grant().user);
        assert!(tokens.check(Some(&first_access), 0).is_none());
        assert_eq!(refresh(&mut tokens, &first, false), Err(Refusal::expired()));
        let (second, second_access) = approved(&mut tokens, 0);
        tokens.end_app("another");
        assert!(tokens.check(Some(&second_access), 0).is_some());
        tokens.end_app("app");
        assert!(tokens.check(Some(&second_access), 0).is_none());
        assert!(!tokens.knows(&second));
    }

    #[test]
    fn logins_are_counted_over_the_last_hour() {
        let mut tokens = tokens();
        let user = grant().user;
        assert!(tokens.admit(&user, 2, 0).is_ok() && tokens.admit(&user, 2, 30 * MINUTE).is_ok());
        assert_eq!(tokens.admit(&user, 2, HOUR - 1).unwrap_err().error, "rate_limit_exceeded");
        assert!(tokens.admit(&user, 2, HOUR).is_ok());
        assert!(tokens.admit(&user, 2, HOUR).is_err());
        assert!(tokens.admit(&Id::new("005", "5e0", 2), 2, HOUR).is_ok());
    }
}
