//! Record ids: 15 characters that are case-sensitive, and 3 check characters that make 18.
//!
//! Requests take either form, answers always have 18 (rest.md section 16).

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const CHECK: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";

/// An id of 18 characters whose check characters fit. Ids of one object sort in the order of their creation.
#[derive(Clone, PartialEq, Eq)]
pub struct Id([u8; 18]); // ASCII

impl Id {
    /// Reads 15 or 18 characters; `None` for anything else, also where the check characters do not fit.
    pub fn parse(text: &str) -> Option<Self> {
        if !text.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return None;
        }
        let id = Self::from_15(text.as_bytes().first_chunk()?);
        (text.len() == 15 || id.as_str() == text).then_some(id)
    }

    /// The id of the `serial`-th record of an object; `pod` (3 characters) tells orgs apart.
    pub fn new(prefix: &str, pod: &str, serial: u64) -> Self {
        let mut rest = serial;
        let mut tail = [b'0'; 9];
        for place in tail.iter_mut().rev() {
            *place = DIGITS.get((rest % 62) as usize).copied().unwrap_or(b'0');
            rest /= 62;
        }
        let mut text = [b'0'; 15];
        let all = prefix.bytes().chain(pod.bytes()).chain(tail);
        text.iter_mut().zip(all).for_each(|(place, byte)| *place = byte);
        Self::from_15(&text)
    }

    fn from_15(text: &[u8; 15]) -> Self {
        let mut id = [b'A'; 18];
        let (start, check) = id.split_at_mut(15);
        start.copy_from_slice(text);
        for (place, group) in check.iter_mut().zip(text.chunks(5)) {
            let bits = group.iter().enumerate().filter(|(_, b)| b.is_ascii_uppercase()).fold(0, |n, (i, _)| n | 1 << i);
            *place = CHECK.get(bits as usize).copied().unwrap_or(b'A');
        }
        Self(id)
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default() // it is ASCII
    }

    /// The 15 characters without the check.
    pub fn short(&self) -> &str {
        self.as_str().get(..15).unwrap_or_default()
    }

    /// Whether the id starts with the key prefix of an object.
    pub fn has_prefix(&self, prefix: &str) -> bool {
        self.0.starts_with(prefix.as_bytes())
    }
}

impl Ord for Id {
    fn cmp(&self, other: &Self) -> Ordering {
        // As the bytes compare, only faster: tables are full of ids that begin alike.
        let parts = |id: &[u8; 18]| {
            let (head, tail) = (id.first_chunk().copied(), id.last_chunk().copied());
            (head.map(u128::from_be_bytes), tail.map(u16::from_be_bytes))
        };
        parts(&self.0).cmp(&parts(&other.0))
    }
}

impl PartialOrd for Id {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// As a text hashes, which ids can be looked up by.
impl Hash for Id {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Borrow<str> for Id {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Id").field(&self.as_str()).finish()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Id;

    #[test]
    fn check_characters_are_those_of_the_documents() {
        for (short, long) in [
            ("001D000000IqhSL", "001D000000IqhSLIAZ"),
            ("001D000000IRFma", "001D000000IRFmaIAH"),
            ("01gD0000002HU6K", "01gD0000002HU6KIAW"),
            ("000000000000000", "000000000000000AAA"),
            ("zzzzzZZZZZaAaAa", "zzzzzZZZZZaAaAaA5K"),
        ] {
            assert_eq!(Id::parse(short).unwrap().as_str(), long);
            assert_eq!(Id::parse(long).unwrap().as_str(), long);
        }
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in ["", "001", "001D000000IqhSLIAA", "001D000000IqhS*", "001D000000IqhSLI", "äöüäöüäöü000000"]
        {
            assert_eq!(Id::parse(text), None, "{text}");
        }
    }

    #[test]
    fn ids_sort_in_the_order_of_creation() {
        let ids: Vec<Id> = [1, 9, 10, 35, 36, 61, 62, 4000].map(|n| Id::new("001", "5e0", n)).into();
        assert!(ids.is_sorted());
        assert!(ids.windows(2).all(|pair| pair[0].as_str() < pair[1].as_str()), "as texts do");
    }
}
