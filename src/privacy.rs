//! Which values of a source org the bridge must not know, or not as they are: one function, applied wherever a value of
//! the source enters. Pure.
//!
//! A field is named as an event has it (`MailingAddress.Street`) or as REST has it (`MailingStreet`), in any case; a rule
//! for a compound is one for each of its parts. Where several rules meet on a value the strongest holds: left out, then
//! hashed, then masked. Where it is not told of which object a message is (a PushTopic, a channel of several platform
//! events), the rules of all objects of the org hold for it.
//!
//! A field that is left out of an event is not told as absent, for in a new record that would mean 'empty': it is told as
//! changed to something unknown ([`Field::Diff`]), so that a mapping of a later config that wants it reads it.

mod hide;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

pub(crate) use self::hide::{hashed, masked};
use crate::event::{
    Arrival, Change, ChannelKind, Field, FieldPath, Fields, Happening, InvalidName, ObjectName, Record, RecordChange,
    Value, without_suffix,
};

/// What becomes of a value. The later ones are the stronger ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Treatment {
    /// Only what `mask` of an expression leaves of its text.
    Mask,
    /// A keyed hash of its text, as `hash` of an expression.
    Hash,
    /// It is not taken at all.
    LeaveOut,
}

impl Treatment {
    /// The word of the config.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mask => "mask",
            Self::Hash => "hash",
            Self::LeaveOut => "leave_out",
        }
    }
}

impl FromStr for Treatment {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        [Self::LeaveOut, Self::Hash, Self::Mask].into_iter().find(|one| one.as_str() == text).ok_or_else(|| {
            InvalidName {
                text: text.chars().take(40).collect(),
                what: "a privacy rule",
                remedy: "write `leave_out`, `hash` or `mask`",
            }
        })
    }
}

impl fmt::Display for Treatment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One rule of an org, as the config names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivacyRule {
    pub object: ObjectName,
    pub field: FieldPath,
    pub treatment: Treatment,
}

/// The rules of one source org. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Privacy(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    secret: Option<SecretString>,
    rules: Vec<PrivacyRule>,
    /// By the object's name in lower case, for the org does not tell cases apart.
    objects: HashMap<String, ObjectPrivacy>,
    /// For messages of which it is not known whose values they hold.
    any: ObjectPrivacy,
}

/// The rules for the values of one object. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct ObjectPrivacy(Arc<Treatments>);

/// All names in lower case.
#[derive(Debug, Default)]
struct Treatments {
    secret: Option<SecretString>,
    /// Of a field as a whole, by its name as events and as REST have it.
    whole: HashMap<String, Treatment>,
    /// Of parts, by the compound and the part.
    parts: HashMap<String, HashMap<String, Treatment>>,
}

/// The compound field that holds the name of a person.
const NAME: &str = "Name";
/// The parts that compounds have (facts: streaming-cometd.md section 13): names of people, addresses and places.
const NAME_PARTS: &[&str] = &["Salutation", "FirstName", "MiddleName", "InformalName", "LastName", "Suffix"];
const PLACE_PARTS: &[&str] = &[
    "Street",
    "City",
    "State",
    "StateCode",
    "PostalCode",
    "Country",
    "CountryCode",
    "Latitude",
    "Longitude",
    "GeocodeAccuracy",
];

impl Privacy {
    /// `secret`: the key of hashes. Without one nothing can be hashed, so what should be is left out; a checked config has
    /// one where it hashes.
    pub fn new(secret: Option<SecretString>, rules: Vec<PrivacyRule>) -> Self {
        let mut objects = HashMap::new();
        for rule in &rules {
            let name = rule.object.as_str().to_ascii_lowercase();
            objects.entry(name).or_insert_with(|| {
                let alike = |other: &&PrivacyRule| other.object.as_str().eq_ignore_ascii_case(rule.object.as_str());
                ObjectPrivacy::new(secret.clone(), rules.iter().filter(alike))
            });
        }
        let any = ObjectPrivacy::new(secret.clone(), rules.iter());
        Self(Arc::new(Inner { secret, rules, objects, any }))
    }

    /// In the order of the config.
    pub fn rules(&self) -> &[PrivacyRule] {
        &self.0.rules
    }

    pub fn hash_key(&self) -> Option<&[u8]> {
        self.0.secret.as_ref().map(|secret| secret.expose_secret().as_bytes())
    }

    /// The same secret with these rules alone.
    pub fn with_rules(&self, rules: Vec<PrivacyRule>) -> Self {
        Self::new(self.0.secret.clone(), rules)
    }

    /// The rules for one object; empty where there are none.
    pub fn of(&self, object: &ObjectName) -> ObjectPrivacy {
        let none = || ObjectPrivacy(Arc::new(Treatments { secret: self.0.secret.clone(), ..Treatments::default() }));
        self.known(object.as_str()).cloned().unwrap_or_else(none)
    }

    fn known(&self, object: &str) -> Option<&ObjectPrivacy> {
        if self.0.rules.is_empty() {
            return None;
        }
        self.0.objects.get(&object.to_ascii_lowercase())
    }

    /// What a subscription, a poll or a probe hands to the journal.
    pub fn apply_arrival(&self, arrival: &mut Arrival) {
        match arrival {
            Arrival::Change(change) | Arrival::Found { change, .. } => self.apply_change(change),
            // Of its values nothing is kept; its header is, with the records that must be read.
            Arrival::Undecodable(event) => event.change.iter_mut().for_each(|change| self.apply_change(change)),
            Arrival::Live { .. }
            | Arrival::Passed { .. }
            | Arrival::Refused { .. }
            | Arrival::Skipped { .. }
            | Arrival::Window(_)
            | Arrival::Probed { .. } => {}
        }
    }

    /// Any message of a bus.
    pub fn apply_change(&self, change: &mut Change) {
        if self.0.rules.is_empty() {
            return;
        }
        match &mut change.happening {
            Happening::Record(change) => {
                if let Some(rules) = self.known(change.header.entity_name.as_str()) {
                    rules.apply_change(change);
                }
            }
            Happening::Event { fields, .. } => {
                let name = change.channel.as_str().rsplit('/').next().unwrap_or_default();
                // A channel of several events does not say which one came.
                let several = name.to_ascii_lowercase().ends_with("__chn");
                let of_one = change.channel.kind() == ChannelKind::Events && !several;
                match (of_one, self.known(name)) {
                    (true, Some(rules)) => rules.apply_values(fields),
                    (true, None) => {}
                    (false, _) => self.0.any.apply_values(fields),
                }
            }
            Happening::Notification { body } => self.0.any.apply_body(body),
        }
    }
}

impl ObjectPrivacy {
    fn new<'r>(secret: Option<SecretString>, rules: impl Iterator<Item = &'r PrivacyRule>) -> Self {
        let mut treatments = Treatments { secret, ..Treatments::default() };
        for rule in rules {
            treatments.add(&rule.field, rule.treatment);
        }
        Self(Arc::new(treatments))
    }

    pub fn is_empty(&self) -> bool {
        self.0.whole.is_empty() && self.0.parts.is_empty()
    }

    pub fn hash_key(&self) -> Option<&[u8]> {
        self.0.secret.as_ref().map(|secret| secret.expose_secret().as_bytes())
    }

    /// The strongest rule for a field or any part of it.
    pub fn treatment(&self, path: &FieldPath) -> Option<Treatment> {
        let top = path.top().to_ascii_lowercase();
        let flat = path.object_field().as_str().to_ascii_lowercase();
        let whole = self.0.whole.get(&top).max(self.0.whole.get(&flat)).copied();
        let parts = self.0.parts.get(&top);
        let part = match path.part() {
            Some(part) => parts.and_then(|parts| parts.get(&part.to_ascii_lowercase())).copied(),
            None => parts.and_then(|parts| parts.values().max()).copied(),
        };
        whole.max(part)
    }

    /// A change event of the object.
    pub fn apply_change(&self, change: &mut RecordChange) {
        if self.is_empty() {
            return;
        }
        let fields = std::mem::take(&mut change.fields);
        let treat = |(name, field)| self.field(name, field);
        change.fields = fields.into_iter().filter_map(treat).collect::<Fields>();
    }

    /// A record that was read.
    pub fn apply_record(&self, record: &mut Record) {
        if self.is_empty() {
            return;
        }
        let values = std::mem::take(&mut record.values);
        let treat = |(path, value): (FieldPath, Value)| {
            let kept = match path.part() {
                Some(_) => match self.treatment(&path) {
                    Some(treatment) => self.treated(treatment, value),
                    None => Some(value),
                },
                None => self.value(path.as_str(), value).kept(),
            };
            kept.map(|value| (path, value))
        };
        record.values = values.into_iter().filter_map(treat).collect();
    }

    /// The fields of a platform event.
    #[must_use]
    pub fn of_values(&self, mut values: BTreeMap<String, Value>) -> BTreeMap<String, Value> {
        self.apply_values(&mut values);
        values
    }

    fn apply_values(&self, values: &mut BTreeMap<String, Value>) {
        let treat = |(name, value): (String, Value)| self.value(&name, value).kept().map(|value| (name, value));
        *values = std::mem::take(values).into_iter().filter_map(treat).collect();
    }

    fn apply_body(&self, body: &mut Value) {
        if let Value::Compound(parts) = body {
            self.apply_values(parts);
        }
    }

    fn field(&self, name: String, field: Field) -> Option<(String, Field)> {
        let touched = || {
            let name = name.to_ascii_lowercase();
            self.0.whole.contains_key(&name) || self.0.parts.contains_key(&name)
        };
        let field = match field {
            Field::New(value) => match self.value(&name, value) {
                Left::Value(value) => Field::New(value),
                Left::Out => Field::Diff,
                Left::Nothing => return None,
            },
            Field::Same(value) => Field::Same(self.value(&name, value).kept()?),
            // The difference of two texts is text of the field.
            Field::Patch(_) if touched() => Field::Diff,
            field @ (Field::Patch(_) | Field::Diff) => field,
        };
        Some((name, field))
    }

    /// A value that stands under this name.
    fn value(&self, name: &str, value: Value) -> Left {
        let name = name.to_ascii_lowercase();
        let whole = self.0.whole.get(&name).copied();
        let parts = self.0.parts.get(&name);
        if whole == Some(Treatment::LeaveOut) {
            return Left::Out;
        }
        match value {
            Value::Compound(values) => {
                let empty = values.is_empty();
                let treat = |(part, value): (String, Value)| {
                    let own = parts.and_then(|parts| parts.get(&part.to_ascii_lowercase())).copied();
                    let kept = match whole.max(own) {
                        Some(treatment) => self.treated(treatment, value),
                        // What lies deeper (in a notification) has names of its own.
                        None => self.value(&part, value).kept(),
                    };
                    kept.map(|value| (part, value))
                };
                let kept: BTreeMap<_, _> = values.into_iter().filter_map(treat).collect();
                if kept.is_empty() && !empty { Left::Nothing } else { Left::Value(Value::Compound(kept)) }
            }
            // Emptied as a whole.
            Value::Null => Left::Value(Value::Null),
            // One text of all parts, as REST has the name of a person, says what each part says.
            value => match whole.max(parts.and_then(|parts| parts.values().max()).copied()) {
                Some(treatment) => self.treated(treatment, value).map_or(Left::Out, Left::Value),
                None => Left::Value(value),
            },
        }
    }

    /// None: left out. Nothing stays nothing.
    fn treated(&self, treatment: Treatment, value: Value) -> Option<Value> {
        let plain = match (treatment, value) {
            (Treatment::LeaveOut, _) => return None,
            (_, Value::Null) => return Some(Value::Null),
            // The org keeps it as null.
            (_, Value::Text(text)) if text.is_empty() => return Some(Value::Text(text)),
            (_, Value::Compound(parts)) => {
                let treat = |(part, value)| self.treated(treatment, value).map(|value| (part, value));
                return Some(Value::Compound(parts.into_iter().filter_map(treat).collect()));
            }
            // Its first and last letter would tell which one it is.
            (Treatment::Mask, Value::Bool(_)) => return Some(Value::text("***")),
            (Treatment::Hash, Value::Bool(value)) => value.to_string(),
            (_, Value::Number(number)) => number.to_string(),
            (_, Value::Text(text)) => text,
        };
        match treatment {
            Treatment::Mask => Some(Value::Text(masked(&plain))),
            Treatment::Hash => self.hash_key().map(|key| Value::Text(hashed(key, &plain))),
            Treatment::LeaveOut => None,
        }
    }
}

/// What is left of a value.
enum Left {
    Value(Value),
    /// Left out as a whole.
    Out,
    /// A compound that lost all parts that it had.
    Nothing,
}

impl Left {
    fn kept(self) -> Option<Value> {
        match self {
            Self::Value(value) => Some(value),
            Self::Out | Self::Nothing => None,
        }
    }
}

impl Treatments {
    fn add(&mut self, rule: &FieldPath, treatment: Treatment) {
        let flat = rule.object_field();
        self.add_whole(flat.as_str(), treatment);
        match rule.part() {
            Some(part) => self.add_part(rule.top(), part, treatment),
            None => {
                // The parts of a compound as fields of their own.
                let parts = if rule.as_str().eq_ignore_ascii_case(NAME) { NAME_PARTS } else { PLACE_PARTS };
                for part in parts {
                    if let Ok(path) = format!("{rule}.{part}").parse::<FieldPath>() {
                        self.add_whole(path.object_field().as_str(), treatment);
                    }
                }
                // A part of a compound that is named as a field of its own.
                for part in NAME_PARTS.iter().filter(|part| rule.as_str().eq_ignore_ascii_case(part)) {
                    self.add_part(NAME, part, treatment);
                }
                for part in PLACE_PARTS {
                    for compound in compounds(rule.as_str(), part) {
                        self.add_part(&compound, part, treatment);
                    }
                }
            }
        }
    }

    fn add_whole(&mut self, name: &str, treatment: Treatment) {
        let known = self.whole.entry(name.to_ascii_lowercase()).or_insert(treatment);
        *known = treatment.max(*known);
    }

    fn add_part(&mut self, compound: &str, part: &str, treatment: Treatment) {
        let parts = self.parts.entry(compound.to_ascii_lowercase()).or_default();
        let known = parts.entry(part.to_ascii_lowercase()).or_insert(treatment);
        *known = treatment.max(*known);
    }
}

/// The places of which a field could be this part: `MailingAddress` where `MailingStreet` is asked for `Street`.
fn compounds(field: &str, part: &str) -> Vec<String> {
    let custom = without_suffix(field, &format!("__{part}__s")).map(|custom| format!("{custom}__c"));
    let standard = without_suffix(field, part).map(|prefix| format!("{prefix}Address"));
    custom.into_iter().chain(standard).collect()
}

#[cfg(test)]
mod tests;
