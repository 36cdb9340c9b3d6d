//! Which records of the two orgs are the same, by what they hold in some fields. Pure.
//!
//! Of each record only a fingerprint of those values is kept, its id and some words for people, so that a million fit in memory.

use std::collections::HashSet;

use ring::digest::{SHA256, digest};

use crate::event::{RecordId, Value};

/// 128 bits of a digest: two different values have the same one about never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 16]);

/// A record of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct There {
    fingerprint: Fingerprint,
    pub id: RecordId,
    /// It has a key: of a record of the source that is not this one.
    is_keyed: bool,
    /// What a person sees of it.
    pub shown: Box<str>,
}

/// What a record of the source has in the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// Exactly this one, which is no other's.
    Match(&'a There),
    /// Several, or one that others have as well: so many records of the source.
    Several {
        there: Vec<&'a There>,
        claims: usize,
    },
    /// Only such as have the key of another record.
    OtherKey(Vec<&'a There>),
    None,
}

/// What is known of both orgs. First all of the target is told, then all of the source; then it can be asked.
#[derive(Debug, Default)]
pub struct Matching {
    there: Vec<There>,
    keys: HashSet<Fingerprint>,
    claims: Vec<Fingerprint>,
}

impl Fingerprint {
    /// Of values as the target stores them: without the space around them, and whatever the case of a text. None: one of them is
    /// empty, which says nothing.
    pub fn of(values: &[Value]) -> Option<Self> {
        let mut bytes = Vec::new();
        for value in values {
            let text = plain(value).to_lowercase();
            if text.is_empty() {
                return None;
            }
            // With its length, so that where one ends is a part of it.
            bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        (!values.is_empty()).then(|| Self::of_bytes(&bytes))
    }

    fn of_bytes(bytes: &[u8]) -> Self {
        let mut half = [0; 16];
        half.copy_from_slice(&digest(&SHA256, bytes).as_ref()[..16]);
        Self(half)
    }
}

/// A value as text.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.as_str().to_owned(),
        Value::Text(text) => text.trim().to_owned(),
        Value::Compound(parts) => parts.values().map(plain).collect::<Vec<_>>().join(" ").trim().to_owned(),
    }
}

impl Matching {
    /// A record of the target, with its key, if it has one.
    pub fn target(&mut self, id: RecordId, key: Option<&str>, values: &[Value], shown: String) {
        self.keys.extend(key.map(|key| Fingerprint::of_bytes(key.as_bytes())));
        if let Some(fingerprint) = Fingerprint::of(values) {
            self.there.push(There { fingerprint, id, is_keyed: key.is_some(), shown: shown.into() });
        }
    }

    /// All of the target is told.
    pub fn targets_told(&mut self) {
        self.there.sort_unstable_by_key(|there| (there.fingerprint, there.id));
    }

    /// Whether a record of the target has this key: its record is linked.
    pub fn is_linked(&self, key: &str) -> bool {
        self.keys.contains(&Fingerprint::of_bytes(key.as_bytes()))
    }

    /// A record of the source that is not linked.
    pub fn source(&mut self, fingerprint: Option<Fingerprint>) {
        self.claims.extend(fingerprint);
    }

    /// All of the source is told.
    pub fn sources_told(&mut self) {
        self.claims.sort_unstable();
    }

    /// What a record of the source has in the target.
    pub fn verdict(&self, fingerprint: Option<Fingerprint>) -> Verdict<'_> {
        let Some(fingerprint) = fingerprint else { return Verdict::None };
        let from = self.there.partition_point(|there| there.fingerprint < fingerprint);
        let same = self.there[from..].iter().take_while(|there| there.fingerprint == fingerprint);
        let (keyed, free): (Vec<&There>, Vec<&There>) = same.partition(|there| there.is_keyed);
        let from = self.claims.partition_point(|claim| *claim < fingerprint);
        let claims = self.claims[from..].iter().take_while(|claim| **claim == fingerprint).count();
        match (free.as_slice(), claims) {
            ([], _) if keyed.is_empty() => Verdict::None,
            ([], _) => Verdict::OtherKey(keyed),
            ([one], 0 | 1) => Verdict::Match(one),
            _ => Verdict::Several { there: free, claims },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> RecordId {
        format!("001{n:012}").parse().unwrap()
    }

    fn text(text: &str) -> Vec<Value> {
        vec![Value::text(text)]
    }

    fn number(text: &str) -> Value {
        Value::Number(text.parse().unwrap())
    }

    #[test]
    fn values_are_compared_as_the_target_stores_them_and_an_empty_one_is_like_no_other() {
        let of = |values: &[Value]| Fingerprint::of(values);
        assert_eq!(of(&text(" Ada@Example.COM ")), of(&text("ada@example.com")));
        assert_eq!(of(&[number("20.00")]), of(&[number("20")]));
        assert_ne!(of(&text("ada")), of(&text("ida")));
        assert_ne!(of(&[Value::text("ab"), Value::text("c")]), of(&[Value::text("a"), Value::text("bc")]));
        for empty in [vec![], vec![Value::Null], text("  "), vec![Value::text("ada"), Value::text("")]] {
            assert_eq!(of(&empty), None);
        }
        assert!(of(&[Value::Bool(false)]).is_some());
    }

    /// Who in the target has which key and value; then the values of the source.
    fn matching(there: &[(u64, Option<&str>, &str)], source: &[&str]) -> Matching {
        let mut matching = Matching::default();
        for (n, key, value) in there {
            matching.target(id(*n), *key, &text(value), format!("shown {n}"));
        }
        matching.targets_told();
        source.iter().for_each(|value| matching.source(Fingerprint::of(&text(value))));
        matching.sources_told();
        matching
    }

    #[test]
    fn only_what_is_alone_on_both_sides_and_has_no_key_is_a_match() {
        let there = [
            (1, None, "alone"),
            (2, None, "twice there"),
            (3, None, "Twice There"),
            (4, None, "twice here"),
            (5, Some("K5"), "keyed"),
            (6, Some("K6"), "keyed and free"),
            (7, None, "keyed and free"),
            (8, None, ""),
        ];
        let source = ["alone", "twice there", "twice here", "twice here", "keyed", "keyed and free", "nowhere", ""];
        let matching = matching(&there, &source);
        let told = |value: &str| match matching.verdict(Fingerprint::of(&text(value))) {
            Verdict::Match(there) => format!("match {} {}", there.id, there.shown),
            Verdict::Several { there, claims } => format!("{} for {claims}", there.len()),
            Verdict::OtherKey(there) => format!("other key {}", there[0].id),
            Verdict::None => "none".to_owned(),
        };
        assert_eq!(told("ALONE "), format!("match {} shown 1", id(1)));
        assert_eq!(told("twice there"), "2 for 1");
        assert_eq!(told("twice here"), "1 for 2");
        assert_eq!(told("keyed"), format!("other key {}", id(5)));
        assert_eq!(told("keyed and free"), format!("match {} shown 7", id(7)));
        assert_eq!((told("nowhere"), told("")), ("none".to_owned(), "none".to_owned()));
        assert!(matching.is_linked("K5") && !matching.is_linked("k5") && !matching.is_linked("K7"));
    }
}
