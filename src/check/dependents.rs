//! Values of the target that must go together: those of a picklist with those of the field that controls it, and record
//! types with the user who gives them.
//!
//! Which values of a picklist a record type has is in no describe: `record_types` judges that.

use super::Findings;
use crate::config::{Fill, PipelineConfig};
use crate::event::{FieldName, RecordId, Value};
use crate::org::describe::{FieldDescribe, FieldKind, ObjectDescribe};

pub(super) fn judge(findings: &mut Findings<'_>, pipeline: &PipelineConfig, to: &ObjectDescribe) {
    for (name, rule) in &pipeline.fields {
        if name.as_str().eq_ignore_ascii_case("RecordTypeId") {
            written(&rule.fill).for_each(|value| record_type(findings, name, value, to));
        }
        let Some(dependent) = to.field(name) else { continue };
        let controlling = dependent.controller.as_ref().and_then(|controller| to.field(controller));
        let other = controlling.and_then(|controlling| {
            let own =
                |(other, _): &&(FieldName, _)| to.field(other).is_some_and(|field| field.name == controlling.name);
            Some((controlling, pipeline.fields.iter().find(own)?))
        });
        let Some((controlling, (_, other))) = other else { continue };
        // Which of two tables' values meet is for the records to say.
        if !matches!(rule.fill, Fill::Constant(_)) && !matches!(other.fill, Fill::Constant(_)) {
            continue;
        }
        let apart = written(&other.fill)
            .any(|above| written(&rule.fill).any(|value| !go_together(dependent, value, controlling, above)));
        if apart {
            let message =
                format!("{name} depends on {} in the target, and not all values here go together", controlling.name);
            let remedy = format!(
                "look at Setup > Object Manager > {} > Fields > Field Dependencies: the org may take them, but people \
                 would not see them as a choice",
                to.name()
            );
            findings.warn(&["fields", name.as_str()], message, remedy);
        }
    }
}

/// The values that the config itself brings.
pub(super) fn written(fill: &Fill) -> impl Iterator<Item = &Value> {
    let (constant, table) = match fill {
        Fill::Constant(value) => (Some(value), None),
        Fill::Table { entries, default, .. } => (None, Some(entries.values().chain(default))),
        // What these bring is in one of the orgs.
        Fill::Source(_)
        | Fill::Expression(_)
        | Fill::Parent { .. }
        | Fill::Find { .. }
        | Fill::RecordType(_)
        | Fill::RecordTypeOf { .. }
        | Fill::Owner(_)
        | Fill::OwnerOf { .. } => (None, None),
    };
    constant.into_iter().chain(table.into_iter().flatten())
}

/// Unless the org says otherwise of both values. What one of the fields does not take at all is said elsewhere.
fn go_together(dependent: &FieldDescribe, value: &Value, controlling: &FieldDescribe, above: &Value) -> bool {
    // The bits stand for the controlling field's values, in the order of its describe; for those of a checkbox, too.
    let place = match (above, &controlling.kind) {
        (Value::Bool(ticked), FieldKind::Boolean) => Some(usize::from(*ticked)),
        (Value::Text(text), kind) => {
            kind.picklist().and_then(|list| list.values.iter().position(|known| known.value == *text))
        }
        _ => None,
    };
    let (Some(place), Some(list), Value::Text(text)) = (place, dependent.kind.picklist(), value) else { return true };
    let several = matches!(dependent.kind, FieldKind::MultiPicklist(_));
    let mut values = text.split(|letter| several && letter == ';').filter_map(|one| list.value(one));
    values.all(|value| value.goes_with(place) != Some(false))
}

fn record_type(findings: &mut Findings<'_>, name: &FieldName, value: &Value, to: &ObjectDescribe) {
    // What is no id is said elsewhere.
    let Some(id) = value.as_text().and_then(|text| text.parse::<RecordId>().ok()) else { return };
    let at = &["fields", name.as_str()];
    let here = format!("Setup > Object Manager > {} > Record Types", to.name());
    match to.record_types.iter().find(|info| info.id == id) {
        None if to.record_types.is_empty() => {}
        None => {
            let remedy = format!("take the id of one of the target org ({here}); each org has its own");
            findings.error(at, format!("{} has no record type with this id", to.name()), remedy);
        }
        Some(info) if !info.active => {
            findings.error(at, format!("the record type {} is not active", info.name), format!("activate it: {here}"));
        }
        Some(info) if !info.available => {
            let message = format!("the bridge's user may not give records the record type {}", info.name);
            let remedy = "assign it in a permission set of the user (Setup > Permission Sets > Object Settings)";
            findings.error(at, message, remedy);
        }
        Some(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::check::testing;
    use crate::config::testing::between_two_orgs;

    const CONFIG: &str = "pipelines:
  - name: trips
    from: { org: a, source: poll, object: Trip__c }
    to: { org: b, object: Trip__c, key: Key__c }
    fields:
      Key__c: Id
";

    /// A value that goes with the controlling values at these places.
    fn value(value: &str, places: &[usize]) -> Json {
        let mut bits = [0u8; 3];
        for place in places {
            bits[place / 8] |= 0x80 >> (place % 8);
        }
        json!({"value": value, "active": true, "validFor": base64::engine::general_purpose::STANDARD.encode(bits)})
    }

    fn said(fields: &str) -> Vec<String> {
        let countries = ["DE", "FR", "US", "CH", "AT", "IT", "ES", "PL", "NO"].map(|code| value(code, &[]));
        let cities =
            [value("Basel", &[3]), value("Oslo", &[8]), value("Springfield", &[0, 2]), json!({"value": "Any"})];
        let picklist = |name: &str, kind: &str, values: &[Json], controller: Json| json!({"name": name, "type": kind, "picklistValues": values, "controllerName": controller});
        let info = |id: &str, name: &str, active: bool, available: bool| json!({"recordTypeId": id, "name": name, "active": active, "available": available});
        let org = testing::org_with(&[json!({
            "name": "Trip__c",
            "fields": [
                picklist("Country__c", "picklist", &countries, Json::Null),
                picklist("City__c", "picklist", &cities, json!("Country__c")),
                picklist("Cities__c", "multipicklist", &cities, json!("Country__c")),
                {"name": "Abroad__c", "type": "boolean"},
                picklist("Visa__c", "picklist", &[value("Yes", &[1]), value("No", &[0, 1])], json!("Abroad__c")),
            ],
            "recordTypeInfos": [
                info("012000000000001AAA", "Work", true, true),
                info("012000000000002AAA", "Old", false, true),
                info("012000000000003AAA", "Boss", true, false),
            ],
        })]);
        let lines: String = fields.split(" | ").map(|field| format!("      {field}\n")).collect();
        let config = between_two_orgs(&format!("{CONFIG}{lines}"));
        let pipeline = &config.pipelines[0];
        let mut findings = Findings { pipeline: &pipeline.name, found: Vec::new() };
        judge(&mut findings, pipeline, org.objects.values().next().unwrap());
        testing::shown(findings.found)
    }

    #[test]
    fn constants_of_a_picklist_and_of_what_controls_it_go_together() {
        for (fields, together) in [
            ("Country__c: { value: CH } | City__c: { value: Basel }", true),
            ("Country__c: { value: NO } | City__c: { value: Oslo }", true),
            ("Country__c: { value: US } | City__c: { value: Springfield }", true),
            ("Country__c: { value: US } | City__c: { value: Basel }", false),
            ("Country__c: { value: CH } | City__c: { value: Oslo }", false),
            // Nothing is said of these.
            ("Country__c: { value: CH } | City__c: { value: Any }", true),
            ("Country__c: { value: CH } | City__c: { value: Gone }", true),
            ("Country__c: { value: XX } | City__c: { value: Basel }", true),
            ("Country__c: X__c | City__c: { value: Basel }", true),
            ("City__c: { value: Basel }", true),
            ("Country__c: { value: CH } | City__c: { from: C__c, table: { a: Basel, b: Oslo } }", false),
            ("Country__c: { from: C__c, table: { a: CH }, default: NO } | City__c: { value: Basel }", false),
            (
                "Country__c: { from: C__c, table: { a: CH, b: NO } } | City__c: { from: C__c, table: { a: Basel } }",
                true,
            ),
            ("Country__c: { value: CH } | Cities__c: { value: Basel;Any }", true),
            ("Country__c: { value: CH } | Cities__c: { value: Basel;Oslo }", false),
            ("Abroad__c: { value: true } | Visa__c: { value: \"Yes\" }", true),
            ("Abroad__c: { value: false } | Visa__c: { value: \"Yes\" }", false),
        ] {
            let said = said(fields);
            assert_eq!(said.is_empty(), together, "{fields}: {said:?}");
            assert!(said.iter().all(|said| said.contains("depends on") && said.starts_with("warning fields.")));
        }
    }

    #[test]
    fn a_record_type_is_one_of_the_target_s_and_the_user_may_give_it() {
        let of = |id: &str| said(&format!("RecordTypeId: {{ value: {id}AAA }}"));
        assert_eq!(of("012000000000001"), [""; 0]);
        assert_eq!(of("012000000000002"), ["error fields.RecordTypeId: the record type Old is not active"]);
        let denied = "error fields.RecordTypeId: the bridge's user may not give records the record type Boss";
        assert_eq!(of("012000000000003"), [denied]);
        assert_eq!(of("012000000000004"), ["error fields.RecordTypeId: Trip__c has no record type with this id"]);
        let table = "RecordTypeId: { from: T__c, table: { a: 012000000000001AAA, b: 012000000000002AAA } }";
        assert_eq!(said(table).len(), 1);
    }
}
