//! `privacy` of an org: which of its values the bridge must not know.

use std::path::Path;
use std::rc::Rc;

use secrecy::SecretString;

use super::super::tree::{Key, Node};
use super::super::walk::{Keys, Walk};
use super::orgs;
use crate::event::{FieldPath, ObjectName};
use crate::privacy::{Privacy, PrivacyRule, Treatment};

pub(in super::super) const PRIVACY: Keys =
    Keys { block: "`privacy`", required: &[], optional: &["hash_secret", "objects"] };
pub(in super::super) const OBJECT: Keys =
    Keys { block: "the privacy of an object", required: &[], optional: &["leave_out", "hash", "mask"] };
/// Shorter secrets can be tried out.
const SECRET_MIN: usize = 16;
/// The strongest first: where a field is named twice, the weaker rule is the one that is shown.
const TREATMENTS: [Treatment; 3] = [Treatment::LeaveOut, Treatment::Hash, Treatment::Mask];

pub(super) fn check(walk: &mut Walk<'_>, (key, node): (&Key, &Node), path: &Path) -> Option<Privacy> {
    let block = walk.block(node, &key.span, &PRIVACY)?;
    let secret = block.entry("hash_secret").map(|entry| secret(walk, entry, path));
    let mut rules = Vec::new();
    if let Some((key, node)) = block.entry("objects") {
        for (key, node) in walk.entries(node, &key.span, "`objects`")? {
            if let Some(object) = walk.key_name::<ObjectName>(key) {
                of_object(walk, &object.value, (key, node), secret.is_some(), &mut rules);
            }
        }
    }
    let secret = match secret {
        // What is only tried is hidden likewise, by a key that says nothing.
        Some(None) if walk.without => Some(SecretString::from("the real secret is not known")),
        Some(secret) => Some(secret?),
        None => None,
    };
    Some(Privacy::new(secret, rules))
}

fn secret(walk: &mut Walk<'_>, entry: (&Key, &Node), path: &Path) -> Option<SecretString> {
    let (span, secret) = orgs::secret(walk, entry, path)?;
    if secret.trim().len() < SECRET_MIN {
        let remedy = format!("take at least {SECRET_MIN} bytes that nobody can guess: openssl rand -hex 32");
        walk.find(&span, "the secret for hashes is too short", remedy);
        return None;
    }
    Some(secret.into())
}

fn of_object(
    walk: &mut Walk<'_>,
    object: &ObjectName,
    (key, node): (&Key, &Rc<Node>),
    has_secret: bool,
    rules: &mut Vec<PrivacyRule>,
) {
    let before = walk.findings.len();
    let Some(block) = walk.block(node, &key.span, &OBJECT) else { return };
    let mut named: Vec<FieldPath> = Vec::new();
    for treatment in TREATMENTS {
        let Some(entry) = block.entry(treatment.as_str()) else { continue };
        let Some(items) = walk.list(entry) else { continue };
        if treatment == Treatment::Hash && !items.is_empty() && !has_secret {
            let remedy = "add `hash_secret: ${NAME}` under `privacy`, at least 16 bytes";
            walk.find(&entry.0.span, "`hash` needs a secret", remedy);
        }
        for item in items {
            let Some(field) = walk.name::<FieldPath>((entry.0, item)) else { continue };
            let same = |other: &FieldPath| {
                other.object_field().as_str().eq_ignore_ascii_case(field.value.object_field().as_str())
            };
            if field.value.as_str().eq_ignore_ascii_case("Id") {
                let remedy = "remove it; a key of another kind is made by `cel: hash(Id)`";
                walk.find(&field.span, "the bridge knows records by their ids", remedy);
            } else if named.iter().any(same) {
                walk.find(&field.span, "the field is named twice for this object", "keep the stricter of the two");
            } else {
                named.push(field.value.clone());
                rules.push(PrivacyRule { object: object.clone(), field: field.value, treatment });
            }
        }
    }
    if named.is_empty() && walk.findings.len() == before {
        walk.find(&key.span, "no field is named here", "write leave_out: [Field], hash: [Field] or mask: [Field]");
    }
}
