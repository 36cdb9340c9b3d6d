//! Fields that change events never carry under the name that they have in SOQL: parts of addresses and of a person's
//! name (facts: streaming-cometd.md section 13). Told without an org, for the objects that every org has.

use super::super::FieldRule;
use super::super::walk::{At, Walk};
use super::references::Reading;
use crate::event::FieldPath;
use crate::mapping::Expression;

const ADDRESSES: [&str; 6] = ["PersonMailing", "PersonOther", "Billing", "Shipping", "Mailing", "Other"];
const ADDRESS_PARTS: [&str; 10] = [
    "Street",
    "City",
    "State",
    "PostalCode",
    "Country",
    "StateCode",
    "CountryCode",
    "Latitude",
    "Longitude",
    "GeocodeAccuracy",
];
const NAME_PARTS: [&str; 5] = ["FirstName", "LastName", "MiddleName", "Salutation", "Suffix"];

pub(super) fn check(walk: &mut Walk<'_>, reading: &Reading<'_>) {
    let Some(object) = reading.object else { return };
    let object = object.value.as_str();
    for rule in reading.fields.iter().filter_map(|field| field.rule.as_ref()) {
        let fill = &rule.value.fill;
        if let Some(path) = fill.from()
            && !found_part(walk, object, path, rule)
        {
            whole(walk, object, path, rule);
        }
        if let Some(expression) = fill.expression() {
            parts(walk, object, expression, rule);
        }
    }
    if let Some(when) = reading.when {
        parts(walk, object, &when.value, when);
    }
}

fn parts<T>(walk: &mut Walk<'_>, object: &str, expression: &Expression, at: &At<T>) {
    for path in expression.reads() {
        found_part(walk, object, path, at);
    }
}

fn found_part<T>(walk: &mut Walk<'_>, object: &str, path: &FieldPath, at: &At<T>) -> bool {
    // A compound field is a name, an address, or a place of one's own.
    let compound = |top: &str| top == "Name" || top.ends_with("Address") || top.ends_with("__c");
    if path.part().is_some() && !compound(path.top()) {
        let remedy = "map the parent by { parent: …, from: … }, or keep what you need of it in a field of this object";
        walk.find(&at.span, format!("`{path}` is a field of another record, and no change event carries it"), remedy);
        return true;
    }
    let Some(part) = part(object, path.as_str()) else { return false };
    walk.find(&at.span, format!("change events carry `{path}` as `{part}`"), format!("write `{part}`"));
    true
}

/// A compound field that is taken as one.
fn whole(walk: &mut Walk<'_>, object: &str, path: &FieldPath, at: &At<FieldRule>) {
    let name = path.as_str();
    if name == "Name" && matches!(object, "Contact" | "Lead" | "User") {
        let remedy = "write `Name.LastName` and `Name.FirstName`, each for its field; for both in one field: \
                      { cel: 'join([Name.FirstName, Name.LastName], \" \")' }";
        walk.find(&at.span, format!("`Name` of a {object} is a compound field: only its parts have a value"), remedy);
    }
    let address = name.strip_suffix("Address").is_some_and(|which| ADDRESSES.contains(&which));
    if address || (name == "Address" && has_address(object)) {
        let remedy = format!("write a part of it, each for its field: `{name}.Street`, `{name}.City`, …");
        walk.find(&at.span, format!("`{name}` is a compound field: only its parts have a value"), remedy);
    }
}

/// The name in events of what SOQL calls so; none where it is the same.
fn part(object: &str, name: &str) -> Option<String> {
    if NAME_PARTS.contains(&name) && matches!(object, "Contact" | "Lead" | "User" | "Account") {
        return Some(format!("Name.{name}"));
    }
    if ADDRESS_PARTS.contains(&name) && has_address(object) {
        return Some(format!("Address.{name}"));
    }
    let (which, part) = ADDRESSES.iter().find_map(|which| Some((which, name.strip_prefix(which)?)))?;
    ADDRESS_PARTS.contains(&part).then(|| format!("{which}Address.{part}"))
}

/// Its only address has no name before it.
fn has_address(object: &str) -> bool {
    matches!(object, "Lead" | "User")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_soql_calls_otherwise_than_events_is_known() {
        for (object, name, wanted) in [
            ("Account", "BillingCity", Some("BillingAddress.City")),
            ("Account", "PersonMailingPostalCode", Some("PersonMailingAddress.PostalCode")),
            ("Order", "ShippingStateCode", Some("ShippingAddress.StateCode")),
            ("Contact", "OtherStreet", Some("OtherAddress.Street")),
            ("Contact", "OtherPhone", None),
            ("Contact", "LastName", Some("Name.LastName")),
            ("Lead", "Country", Some("Address.Country")),
            ("Account", "Name", None),
            ("Employee__c", "LastName", None),
            ("Employee__c", "City", None),
        ] {
            assert_eq!(part(object, name).as_deref(), wanted, "{object}.{name}");
        }
    }
}
