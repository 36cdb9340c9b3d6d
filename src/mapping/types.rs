//! What the two orgs' describes say that a mapping needs, and values that become what the target's field takes.

use std::collections::BTreeMap;
use std::fmt;

use super::expression::moment;
use crate::event::{FieldName, ObjectName, Value};
use crate::org::describe::{FieldDescribe, FieldKind, ObjectDescribe};

/// What is known of the fields that a pipeline writes, and of the objects of its source org. The default: nothing, and then
/// values are written as they come and relationships are named by the platform's rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Types {
    /// By name in lower case: the org does not tell `name` from `Name`.
    fields: BTreeMap<String, FieldType>,
    /// By object.
    prefixes: BTreeMap<ObjectName, String>,
}

/// A field of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FieldType {
    pub kind: Kind,
    /// The most characters of a text.
    pub length: Option<usize>,
    /// `Account` of `AccountId`. Without one the parent cannot be named by an external id.
    pub relationship: Option<String>,
    pub is_polymorphic: bool,
    /// A lookup that cannot be empty.
    pub is_required_reference: bool,
    pub is_master_detail: bool,
    /// Digits behind the point of a number.
    pub scale: Option<u32>,
    /// Several values of a picklist, in no order that counts.
    pub is_set: bool,
}

/// What a field takes, or a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Also a picklist, an e-mail address and the like.
    Text,
    Number,
    Bool,
    Date,
    DateTime,
    Time,
    /// The id of another record.
    Lookup,
    /// Not known, or nothing that another kind could become.
    Other,
}

impl Types {
    /// Of these fields of the target object, if it was described, and of the objects of the source org that were.
    pub fn new<'n, 'd>(
        fields: impl Iterator<Item = &'n FieldName>,
        target: Option<&ObjectDescribe>,
        sources: impl Iterator<Item = &'d ObjectDescribe>,
    ) -> Self {
        let known = fields.filter_map(|name| Some((lower(name), FieldType::of(target?.field(name)?))));
        let prefixes = sources.filter_map(|source| Some((source.name().clone(), source.object.key_prefix.clone()?)));
        Self { fields: known.collect(), prefixes: prefixes.collect() }
    }

    /// Whether the field is a lookup that cannot be empty, or leads to its master. None: not described.
    pub fn is_required_reference(&self, field: &FieldName) -> Option<bool> {
        self.field(field).map(|field| field.is_required_reference)
    }

    /// The first three characters of the ids of a source object's records.
    pub fn prefix(&self, object: &ObjectName) -> Option<&str> {
        self.prefixes.get(object).map(String::as_str)
    }

    pub(super) fn field(&self, name: &FieldName) -> Option<&FieldType> {
        self.fields.get(&lower(name))
    }
}

fn lower(name: &FieldName) -> String {
    name.as_str().to_ascii_lowercase()
}

impl FieldType {
    fn of(field: &FieldDescribe) -> Self {
        let kind = Kind::of(&field.kind);
        let reference = field.kind.reference();
        Self {
            kind,
            length: field.length.filter(|_| kind == Kind::Text).and_then(|length| usize::try_from(length).ok()),
            relationship: reference.and_then(|to| to.relationship_name.clone()),
            is_polymorphic: reference.is_some_and(|to| to.polymorphic),
            is_required_reference: reference.is_some() && (field.is_master_detail() || !field.nillable),
            is_master_detail: field.is_master_detail(),
            scale: match field.kind {
                FieldKind::Number { scale, .. }
                | FieldKind::Currency { scale, .. }
                | FieldKind::Percent { scale, .. } => Some(scale),
                FieldKind::Integer { .. } => Some(0),
                _ => None,
            },
            is_set: matches!(field.kind, FieldKind::MultiPicklist(_)),
        }
    }
}

impl Kind {
    pub fn of(kind: &FieldKind) -> Self {
        match kind {
            FieldKind::Text
            | FieldKind::TextArea
            | FieldKind::RichText
            | FieldKind::Picklist(_)
            | FieldKind::MultiPicklist(_)
            | FieldKind::ComboBox(_)
            | FieldKind::Email
            | FieldKind::Phone
            | FieldKind::Url
            | FieldKind::AutoNumber => Self::Text,
            FieldKind::Number { .. }
            | FieldKind::Currency { .. }
            | FieldKind::Percent { .. }
            | FieldKind::Integer { .. } => Self::Number,
            FieldKind::Boolean => Self::Bool,
            FieldKind::Date => Self::Date,
            FieldKind::DateTime => Self::DateTime,
            FieldKind::Time => Self::Time,
            FieldKind::Reference(_) => Self::Lookup,
            FieldKind::Id
            | FieldKind::Address
            | FieldKind::Location
            | FieldKind::PersonName
            | FieldKind::Encrypted
            | FieldKind::Base64
            | FieldKind::Any
            | FieldKind::Other(_) => Self::Other,
        }
    }

    /// The value as a field of this kind takes it (facts: rest.md section 7), if nothing is lost. What the org takes as it
    /// is stays as it is. Empty text is null, as the org has it.
    ///
    /// # Errors
    /// What the value is, where it cannot become what the field takes.
    pub fn fit(self, value: Value) -> Result<Value, Self> {
        let text = match value {
            Value::Null | Value::Compound(_) => return Ok(value),
            Value::Text(text) => text,
            Value::Number(number) => {
                return match self {
                    Self::Number | Self::Other => Ok(Value::Number(number)),
                    Self::Text => Ok(Value::text(number.as_str())),
                    Self::Bool | Self::Date | Self::DateTime | Self::Time | Self::Lookup => Err(Self::Number),
                };
            }
            Value::Bool(flag) => {
                return match self {
                    Self::Bool | Self::Other => Ok(Value::Bool(flag)),
                    Self::Text => Ok(Value::text(if flag { "true" } else { "false" })),
                    Self::Number | Self::Date | Self::DateTime | Self::Time | Self::Lookup => Err(Self::Bool),
                };
            }
        };
        let became = match self {
            Self::Text | Self::Lookup | Self::Other => return Ok(Value::Text(text)),
            _ if text.trim().is_empty() => Some(Value::Null),
            Self::Number => text.trim().parse().ok().map(Value::Number),
            Self::Bool => match text.trim() {
                yes if yes.eq_ignore_ascii_case("true") => Some(Value::Bool(true)),
                no if no.eq_ignore_ascii_case("false") => Some(Value::Bool(false)),
                _ => None,
            },
            // Only what it looks like: whether the calendar has it the org says.
            Self::Date if moment::looks_like_a_date(&text) => return Ok(Value::Text(text)),
            Self::Date => moment::moment(&text).map(|at| Value::Text(moment::date_text(at.date_naive()))),
            Self::DateTime if moment::looks_like_a_moment(&text) => return Ok(Value::Text(text)),
            Self::DateTime => moment::date(&text).map(|date| Value::Text(moment::moment_text(moment::midnight(date)))),
            Self::Time => looks_like_a_time(&text).then(|| Value::text(text.as_str())),
        };
        became.ok_or_else(|| Self::of_text(&text))
    }

    fn of_text(text: &str) -> Self {
        if moment::looks_like_a_moment(text) {
            Self::DateTime
        } else if moment::looks_like_a_date(text) {
            Self::Date
        } else {
            Self::Text
        }
    }
}

/// `10:15:00.000Z`
fn looks_like_a_time(text: &str) -> bool {
    let two = |at: usize| text.as_bytes().get(at..at + 2).is_some_and(|two| two.iter().all(u8::is_ascii_digit));
    two(0) && text.as_bytes().get(2) == Some(&b':') && two(3)
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Number => "a number",
            Self::Bool => "true or false",
            Self::Date => "a date",
            Self::DateTime => "a date and time",
            Self::Time => "a time",
            Self::Lookup => "the id of a record",
            Self::Other => "something else",
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::Kind::{Bool, Date, DateTime, Lookup, Number, Other, Text, Time};
    use super::*;
    use crate::org::describe::described;

    fn fit(kind: Kind, value: Json) -> Result<Json, Kind> {
        kind.fit(value.into()).map(Json::from)
    }

    #[test]
    fn a_value_becomes_what_the_field_takes_if_nothing_is_lost() {
        for (kind, value, became) in [
            (Number, json!("12.50"), json!(12.5)),
            (Number, json!(" -7 "), json!(-7)),
            (Number, json!(""), Json::Null),
            (Text, json!(12.5), json!("12.5")),
            (Text, json!(true), json!("true")),
            (Text, json!(false), json!("false")),
            (Bool, json!("true"), json!(true)),
            (Bool, json!("False"), json!(false)),
            (Bool, json!(""), Json::Null),
            (Date, json!("2024-01-31T23:30:00.000Z"), json!("2024-01-31")),
            (Date, json!("2024-02-01T00:30:00.000+0100"), json!("2024-01-31")),
            (DateTime, json!("2024-01-31"), json!("2024-01-31T00:00:00.000Z")),
            (DateTime, json!(" "), Json::Null),
        ] {
            assert_eq!(fit(kind, value.clone()), Ok(became), "{value} for {kind}");
        }
        let long = "12345678901234567.89";
        assert_eq!(Number.fit(Value::text(long)), Ok(Value::Number(long.parse().unwrap())), "every digit");
    }

    #[test]
    fn what_the_org_takes_stays_as_it_is() {
        for (kind, value) in [
            (Text, json!("  12.50 ")),
            (Text, json!("")),
            (Number, json!(3.75)),
            (Bool, json!(true)),
            (Date, json!("2024-01-31")),
            (Date, json!("2024-13-45")),
            (DateTime, json!("2024-01-31T12:00:00+01:00")),
            (Time, json!("10:15:00.000Z")),
            (Lookup, json!("001000000000001AAA")),
            (Other, json!(7)),
            (Other, json!(true)),
            (Other, json!("x")),
        ] {
            assert_eq!(fit(kind, value.clone()), Ok(value.clone()), "{value} for {kind}");
        }
        for kind in [Text, Number, Bool, Date, DateTime, Time, Lookup, Other] {
            assert_eq!(fit(kind, Json::Null), Ok(Json::Null));
        }
    }

    #[test]
    fn what_cannot_become_it_is_named_by_its_kind() {
        for (kind, value, is) in [
            (Number, json!("twelve"), Text),
            (Number, json!(true), Bool),
            (Number, json!("2024-01-31"), Date),
            (Bool, json!("yes"), Text),
            (Bool, json!(1), Number),
            (Date, json!("31.01.2024"), Text),
            (Date, json!("2024-01-31T10:15:00"), DateTime),
            (Date, json!(20_240_131), Number),
            (DateTime, json!("soon"), Text),
            (DateTime, json!("2024-02-31"), Date),
            (Time, json!("2024-01-31T10:15:00.000Z"), DateTime),
            (Time, json!(false), Bool),
            (Lookup, json!(7), Number),
        ] {
            assert_eq!(fit(kind, value.clone()), Err(is), "{value} for {kind}");
        }
    }

    #[test]
    fn fields_are_known_by_any_spelling_and_prefixes_by_their_object() {
        let field = |name: &str, more: Json| {
            let mut field = json!({"name": name, "createable": true, "nillable": true, "type": "reference"});
            field.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            field
        };
        let target = described(&json!({"name": "Contact", "keyPrefix": "003", "fields": [
            field("Title", json!({"type": "string", "length": 128})),
            field("Age__c", json!({"type": "double", "length": 18})),
            field("AccountId", json!({"relationshipName": "Account"})),
            field("Boss__c", json!({"relationshipName": "Chief__r", "relationshipOrder": 0})),
            field("Team__c", json!({"relationshipName": null, "nillable": false})),
            field("OwnerId", json!({"relationshipName": "Owner", "nillable": false, "defaultedOnCreate": true})),
        ]}));
        let source = described(&json!({"name": "Lead", "keyPrefix": "00Q", "fields": []}));
        let names = ["title", "Age__c", "AccountId", "Boss__c", "Team__c", "OwnerId", "Gone__c"];
        let names = names.map(|name| name.parse::<FieldName>().unwrap());
        let types = Types::new(names.iter(), Some(&target), [&source, &target].into_iter());
        let of = |name: &str| types.field(&name.parse().unwrap());
        assert_eq!(of("Title").map(|field| (field.kind, field.length)), Some((Text, Some(128))));
        assert_eq!(of("Age__c").map(|field| (field.kind, field.length)), Some((Number, None)));
        let relationship = |name: &str| of(name).and_then(|field| field.relationship.as_deref());
        assert_eq!(["AccountId", "Boss__c", "Team__c"].map(relationship), [Some("Account"), Some("Chief__r"), None]);
        let required = |name: &str| types.is_required_reference(&name.parse().unwrap());
        let all = ["Title", "AccountId", "Boss__c", "Team__c", "OwnerId", "Gone__c"].map(required);
        assert_eq!(all, [Some(false), Some(false), Some(true), Some(true), Some(true), None]);
        let prefix = |object: &str| types.prefix(&object.parse().unwrap());
        assert_eq!([prefix("Lead"), prefix("Contact"), prefix("Case")], [Some("00Q"), Some("003"), None]);
        assert_eq!(Types::new(names.iter(), None, std::iter::empty()), Types::default());
    }
}
