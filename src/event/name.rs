//! Names of the things that a config and an event speak of.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Text that cannot be such a name, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {what}: {remedy}")]
pub struct InvalidName {
    pub text: String,
    pub what: &'static str,
    pub remedy: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $remedy:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Arc<str>);

        impl $type {
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// A name that stands in this program.
            #[allow(dead_code)] // not for every kind of name
            pub(crate) fn known(text: &'static str) -> Self {
                debug_assert!(text.parse::<Self>().is_ok());
                Self(text.into())
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(InvalidName { text: text.chars().take(80).collect(), what: $what, remedy: $remedy })
                }
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.as_str().to_owned()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

fn is_api_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.len() <= 80
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_own_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

name!(
    /// The API name of an object: `Account`, `Employee__c`.
    ObjectName, "an object's API name", "letters, digits and _, starting with a letter", is_api_name
);
name!(
    /// The API name of one field of an object: `BillingCity`, `Emea_Id__c`.
    FieldName, "a field's API name", "letters, digits and _, starting with a letter", is_api_name
);
name!(
    /// The name of an org in the config. Never a host, never an id.
    OrgName, "a name for an org", "use up to 64 letters, digits, - and _", is_own_name
);
name!(
    /// The name of a pipeline in the config.
    PipelineName, "a name for a pipeline", "use up to 64 letters, digits, - and _", is_own_name
);
name!(
    /// A channel as the Streaming API spells it: `/data/AccountChangeEvent`.
    Channel, "a channel", "write it as the org does, for example /data/AccountChangeEvent",
    |text| {
        text.len() > 2 && text.len() < 256 && text.starts_with('/') && !text.ends_with('/')
            && text[1..].contains('/') && text.chars().all(|c| c.is_ascii_graphic())
    }
);
name!(
    /// A source field as an event carries it: a field, or `Compound.Part` as in `BillingAddress.City`.
    FieldPath, "a source field", "write Field, or Compound.Part as in BillingAddress.City",
    |text| match text.split_once('.') {
        None => is_api_name(text),
        Some((compound, part)) => is_api_name(compound) && is_api_name(part),
    }
);

impl FieldPath {
    /// The field of the event's body: `BillingAddress` of `BillingAddress.City`.
    pub fn top(&self) -> &str {
        self.as_str().split('.').next().unwrap_or_default()
    }

    /// The part of a compound field: `City` of `BillingAddress.City`.
    pub fn part(&self) -> Option<&str> {
        self.as_str().split_once('.').map(|(_, part)| part)
    }

    /// The field of the object that holds this value, as REST and SOQL know it (facts: streaming-cometd.md
    /// section 13): `BillingAddress.City` is `BillingCity`, `Name.FirstName` is `FirstName`, `Loc__c.Latitude`
    /// is `Loc__Latitude__s`.
    pub fn object_field(&self) -> FieldName {
        let name = match (self.top(), self.part()) {
            (field, None) => field.to_owned(),
            (name, Some(part)) if name.eq_ignore_ascii_case("Name") => part.to_owned(),
            (compound, Some(part)) => match (without_suffix(compound, "__c"), without_suffix(compound, "Address")) {
                (Some(custom), _) => format!("{custom}__{part}__s"),
                (None, Some(prefix)) => format!("{prefix}{part}"),
                (None, None) => format!("{compound}{part}"),
            },
        };
        FieldName(name.into())
    }
}

/// The org does not tell upper from lower case in names of fields.
pub(crate) fn without_suffix<'t>(text: &'t str, suffix: &str) -> Option<&'t str> {
    let (start, end) = text.split_at_checked(text.len().checked_sub(suffix.len())?)?;
    end.eq_ignore_ascii_case(suffix).then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_compound_field_is_stored_in_a_field_of_the_object() {
        for (path, field) in [
            ("Name", "Name"),
            ("Name.FirstName", "FirstName"),
            ("BillingAddress.City", "BillingCity"),
            ("MailingAddress.PostalCode", "MailingPostalCode"),
            ("PersonMailingAddress.City", "PersonMailingCity"),
            ("Address.City", "City"),
            ("billingaddress.City", "billingCity"),
            ("Loc__c.Latitude", "Loc__Latitude__s"),
        ] {
            assert_eq!(path.parse::<FieldPath>().unwrap().object_field().as_str(), field);
        }
    }

    #[test]
    fn a_name_that_soql_could_not_hold_is_refused() {
        for text in ["", "1st", "Na me", "Name'", "Name.", "A.B.C"] {
            assert!(text.parse::<FieldPath>().is_err(), "{text}");
        }
        assert!("Account; DELETE".parse::<ObjectName>().is_err());
        assert!("data/AccountChangeEvent".parse::<Channel>().is_err());
    }
}
