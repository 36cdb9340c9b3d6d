//! Record ids, always in the 18-character form (facts: rest.md section 16).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The id of a record: 15 base-62 characters and 3 check characters, so that two ids never differ in case only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecordId([u8; 18]);

/// Text that is no record id. Change events can carry such text (`001*`), and it must never reach a REST call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a record id: {0:?} (15 or 18 letters and digits, with matching check characters)")]
pub struct InvalidId(pub String);

const CHECK: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";

impl RecordId {
    /// The 18-character form.
    pub fn as_str(&self) -> &str {
        // Only ASCII is ever stored, so the fallback is never taken.
        std::str::from_utf8(&self.0).unwrap_or("")
    }

    /// The first three characters, which tell the object (`001` is Account).
    pub fn key_prefix(&self) -> &str {
        &self.as_str()[..3]
    }

    /// The all-zero id that an overflow event carries. It names no record.
    pub fn is_zero(&self) -> bool {
        self.0[..15].iter().all(|c| *c == b'0')
    }
}

/// The three check characters: bit i of a group is set when its character i is an upper-case letter.
fn check_characters(fifteen: &[u8]) -> [u8; 3] {
    let mut check = [b'A'; 3];
    for (group, out) in fifteen.chunks(5).zip(check.iter_mut()) {
        let bits = group.iter().enumerate().fold(0, |bits, (i, c)| bits | usize::from(c.is_ascii_uppercase()) << i);
        *out = CHECK[bits];
    }
    check
}

impl FromStr for RecordId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId(text.chars().take(40).collect());
        let bytes = text.as_bytes();
        if !(bytes.len() == 15 || bytes.len() == 18) || !bytes.iter().all(u8::is_ascii_alphanumeric) {
            return Err(invalid());
        }
        let check = check_characters(&bytes[..15]);
        if bytes.len() == 18 && bytes[15..] != check {
            return Err(invalid());
        }
        let mut id = [0; 18];
        id[..15].copy_from_slice(&bytes[..15]);
        id[15..].copy_from_slice(&check);
        Ok(Self(id))
    }
}

impl TryFrom<String> for RecordId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<RecordId> for String {
    fn from(id: RecordId) -> Self {
        id.as_str().to_owned()
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifteen_characters_become_the_documented_eighteen() {
        for (fifteen, eighteen) in [
            ("001D000000IqhSL", "001D000000IqhSLIAZ"),
            ("001D000000IRFma", "001D000000IRFmaIAH"),
            ("01gD0000002HU6K", "01gD0000002HU6KIAW"),
            ("001xx000003DGb2", "001xx000003DGb2AAG"),
            ("500D0000003Wabc", "500D0000003WabcIAC"),
            ("000000000000000", "000000000000000AAA"),
            ("zzzzzZZZZZaAaAa", "zzzzzZZZZZaAaAaA5K"),
        ] {
            assert_eq!(fifteen.parse::<RecordId>().unwrap().as_str(), eighteen);
            assert_eq!(eighteen.parse::<RecordId>().unwrap().as_str(), eighteen);
        }
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in ["", "001*", "001D000000IqhSLIAA", "001D000000Iqh-L", "001D000000IqhSLIA", "äöü012345678901"] {
            assert!(text.parse::<RecordId>().is_err(), "{text}");
        }
    }
}
