//! Refresh tokens and their families: an approval and all tokens that rotation has made of it (oauth.md section 6).

use std::collections::{BTreeSet, HashMap};

use super::{Grant, Refusal, Seen};
use crate::host;
use crate::oauth::app::RefreshPolicy;

pub struct Refreshes {
    given: HashMap<String, Entry>,
    /// Families count up, so the lowest number is the oldest.
    families: u64,
    rng: fastrand::Rng,
}

struct Entry {
    grant: Grant,
    family: u64,
    /// When the user approved.
    approved: i64,
    used: i64,
    /// A request that uses it is under way.
    busy: bool,
    /// Rotation has given out another one for it.
    replaced: bool,
}

impl Entry {
    fn ends(&self, policy: RefreshPolicy) -> Option<i64> {
        match policy {
            RefreshPolicy::Infinite => None,
            RefreshPolicy::Zero => Some(i64::MIN),
            RefreshPolicy::Lifetime(span) => Some(self.approved.saturating_add(span)),
            RefreshPolicy::Inactivity(span) => Some(self.used.saturating_add(span)),
        }
    }

    fn has_ended(&self, policy: RefreshPolicy, now: i64) -> bool {
        self.ends(policy).is_some_and(|end| end < now)
    }
}

/// A refresh that was refused, and the family that ends by it.
pub struct Failed {
    pub refusal: Refusal,
    pub ends: Option<u64>,
}

impl Refreshes {
    pub fn new(rng: fastrand::Rng) -> Self {
        Self { given: HashMap::new(), families: 0, rng }
    }

    fn put(&mut self, grant: Grant, family: u64, approved: i64, used: i64) -> String {
        let token = format!("5Aep861{}_{}", host::text(&mut self.rng, 60), host::text(&mut self.rng, 16));
        self.given.insert(token.clone(), Entry { grant, family, approved, used, busy: false, replaced: false });
        token
    }

    pub fn add(&mut self, grant: Grant, now: i64) -> (String, u64) {
        self.families += 1;
        (self.put(grant, self.families, now, now), self.families)
    }

    /// The oldest families that have to end so that there is room for one more.
    pub fn make_room(&self, grant: &Grant, limit: usize) -> Vec<u64> {
        let alike = |entry: &&Entry| entry.grant.user == grant.user && entry.grant.app == grant.app;
        let families: BTreeSet<u64> = self.given.values().filter(alike).map(|entry| entry.family).collect();
        let too_many = (families.len() + 1).saturating_sub(limit.max(1));
        families.into_iter().take(too_many).collect()
    }

    pub fn begin(&mut self, token: &str, app: &str, policy: RefreshPolicy, now: i64) -> Result<Grant, Failed> {
        let expired = |ends| Failed { refusal: Refusal::expired(), ends };
        let entry = self.given.get_mut(token).filter(|entry| entry.grant.app == app).ok_or_else(|| expired(None))?;
        if entry.replaced {
            return Err(expired(Some(entry.family))); // two hold it: one of them is a thief
        }
        if entry.has_ended(policy, now) {
            return Err(expired(None));
        }
        if entry.busy {
            return Err(Failed { refusal: Refusal::grant("token request is already being processed"), ends: None });
        }
        entry.busy = true;
        Ok(entry.grant.clone())
    }

    pub fn finish(&mut self, token: &str, rotate: bool, now: i64) -> Result<(u64, Option<String>), Refusal> {
        // It may have been revoked meanwhile.
        let entry = self.given.get_mut(token).ok_or_else(Refusal::expired)?;
        entry.busy = false;
        entry.used = now;
        let family = entry.family;
        if !rotate {
            return Ok((family, None));
        }
        entry.replaced = true;
        let (grant, approved) = (entry.grant.clone(), entry.approved);
        Ok((family, Some(self.put(grant, family, approved, now))))
    }

    pub fn release(&mut self, token: &str) {
        if let Some(entry) = self.given.get_mut(token) {
            entry.busy = false;
        }
    }

    pub fn knows(&self, token: &str) -> bool {
        self.given.contains_key(token)
    }

    pub fn family_of(&self, token: &str) -> Option<u64> {
        self.given.get(token).map(|entry| entry.family)
    }

    pub fn end_families(&mut self, families: &[u64]) {
        self.given.retain(|_, entry| !families.contains(&entry.family));
    }

    pub fn end(&mut self, which: impl Fn(&Grant) -> bool) {
        self.given.retain(|_, entry| !which(&entry.grant));
    }

    pub fn grants(&self) -> impl Iterator<Item = &Grant> {
        self.given.values().map(|entry| &entry.grant)
    }

    pub fn look_at(&self, token: &str, policy: RefreshPolicy, now: i64) -> Option<Seen> {
        let entry = self.given.get(token).filter(|entry| !entry.replaced && !entry.has_ended(policy, now))?;
        let (grant, ends) = (entry.grant.clone(), entry.ends(policy));
        Some(Seen { grant, kind: "refresh_token", issued: entry.approved, ends })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::scopes::Scopes;
    use crate::org::Id;
    use crate::org::time::HOUR;

    const INFINITE: RefreshPolicy = RefreshPolicy::Infinite;

    fn refreshes() -> (Refreshes, String) {
        let grant = Grant { user: Id::new("005", "5e0", 1), app: "app".into(), scopes: Scopes::of(&["refresh_token"]) };
        let mut refreshes = Refreshes::new(fastrand::Rng::with_seed(1));
        let (token, _) = refreshes.add(grant, 0);
        (refreshes, token)
    }

    #[test]
    fn while_a_refresh_is_under_way_a_second_one_is_refused_and_harms_nothing() {
        let (mut refreshes, token) = refreshes();
        refreshes.begin(&token, "app", INFINITE, 0).ok().unwrap();
        let refused = refreshes.begin(&token, "app", INFINITE, 0).err().unwrap();
        assert_eq!(refused.refusal.description, "token request is already being processed");
        assert_eq!(refused.ends, None);
        let next = refreshes.finish(&token, true, 0).unwrap().1.unwrap();
        assert!(refreshes.begin(&next, "app", INFINITE, 0).is_ok());
        refreshes.release(&next);
        assert!(refreshes.begin(&next, "app", INFINITE, 0).is_ok());
    }

    #[test]
    fn a_family_that_ends_during_a_refresh_gives_no_new_token() {
        let (mut refreshes, token) = refreshes();
        refreshes.begin(&token, "app", INFINITE, 0).ok().unwrap();
        let family = refreshes.family_of(&token).unwrap();
        refreshes.end_families(&[family]);
        assert_eq!(refreshes.finish(&token, true, 0), Err(Refusal::expired()));
    }

    #[test]
    fn a_policy_ends_a_token_by_age_or_by_idleness() {
        let used = |policy, at: &[i64]| {
            let (mut refreshes, mut token) = refreshes();
            at.iter().all(|now| {
                let good = refreshes.begin(&token, "app", policy, *now).is_ok();
                if let Ok((_, Some(next))) = refreshes.finish(&token, true, *now) {
                    token = next;
                }
                good
            })
        };
        assert!(used(RefreshPolicy::Lifetime(3 * HOUR), &[2 * HOUR, 3 * HOUR]));
        assert!(!used(RefreshPolicy::Lifetime(3 * HOUR), &[2 * HOUR, 4 * HOUR]));
        assert!(used(RefreshPolicy::Inactivity(3 * HOUR), &[2 * HOUR, 4 * HOUR, 7 * HOUR]));
        assert!(!used(RefreshPolicy::Inactivity(3 * HOUR), &[3 * HOUR + 1]));
        assert!(!used(RefreshPolicy::Zero, &[0]));
        assert!(used(INFINITE, &[1_000_000 * HOUR]));
    }

    #[test]
    fn a_token_is_for_the_app_that_got_it() {
        let (mut refreshes, token) = refreshes();
        let refused = refreshes.begin(&token, "other", INFINITE, 0).err().unwrap();
        assert_eq!((refused.refusal, refused.ends), (Refusal::expired(), None));
        assert!(refreshes.begin(&token, "app", INFINITE, 0).is_ok());
    }
}
