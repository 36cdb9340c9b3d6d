//! Values of picklists that the config itself brings, against the record types that its records get.
//!
//! The facts do not say whether an org holds the API to the values of a record type. What users of the platform report
//! agrees: where the picklist is restricted, such a record is refused as one with an unknown value; else the value is
//! stored, and only people do not have it as a choice. So the one is an error here, and the other a warning.

use std::collections::BTreeSet;

use super::dependents::written;
use super::{Findings, KnownOrg};
use crate::config::{FieldRule, Fill, OnNull, PipelineConfig};
use crate::event::RecordId;
use crate::org::describe::{FieldDescribe, FieldKind, ObjectDescribe, Picklist, RecordTypeInfo};
use crate::org::setup::{Asked, RecordType};

/// The record types of the target whose values are needed: those that the pipeline may give, if it brings a value to a
/// picklist.
pub(super) fn asks(pipeline: &PipelineConfig, to: &ObjectDescribe) -> Vec<RecordId> {
    if listed(pipeline, to).next().is_none() {
        return Vec::new();
    }
    given(pipeline, to, None).into_iter().map(|info| info.id).collect()
}

pub(super) fn judge(
    findings: &mut Findings<'_>,
    pipeline: &PipelineConfig,
    source: Option<&KnownOrg>,
    target: &KnownOrg,
    to: &ObjectDescribe,
) {
    let here = match source.and_then(|org| org.record_types.get(&pipeline.from.object)) {
        Some(Asked::Known(types)) => Some(types.as_slice()),
        Some(Asked::Unknown(_)) | None => None,
    };
    let types = given(pipeline, to, here);
    let mut not_told = None;
    for (field, picklist, values) in listed(pipeline, to) {
        let (mut of_none, mut of_some) = (false, BTreeSet::new());
        for value in values {
            let lacks = |info: &&&RecordTypeInfo| match target.picklists.get(&info.id) {
                Some(Asked::Known(fields)) => {
                    let own = fields.iter().find(|(name, _)| name.as_str().eq_ignore_ascii_case(field.name.as_str()));
                    own.is_some_and(|(_, values)| !values.contains(value))
                }
                Some(Asked::Unknown(reason)) => {
                    not_told = Some(reason);
                    false
                }
                None => false,
            };
            let lacking: Vec<&str> = types.iter().filter(lacks).map(|info| info.name.as_str()).collect();
            if !lacking.is_empty() && lacking.len() == types.len() {
                of_none = true;
            } else {
                of_some.extend(lacking);
            }
        }
        let at = &["fields", field.name.as_str()];
        let outcome = if picklist.restricted {
            "the picklist is restricted, so the org refuses such a record"
        } else {
            "the org takes it from the API, but people do not have it as a choice"
        };
        let remedy = |names: &str| {
            format!(
                "add it in Setup > Object Manager > {} > Record Types > {names} > Picklists Available for Editing > {}, or \
                 write another value",
                to.name(),
                field.label
            )
        };
        if of_none {
            let names: Vec<&str> = types.iter().map(|info| info.name.as_str()).collect();
            let names = names.join(", ");
            let message =
                format!("no record type that the records get ({names}) has a value that is written here: {outcome}");
            if picklist.restricted {
                findings.error(at, message, remedy(&names));
            } else {
                findings.warn(at, message, remedy(&names));
            }
        }
        if !of_some.is_empty() {
            let names: Vec<&str> = of_some.into_iter().collect();
            let names = names.join(", ");
            let message = format!("records can get {names}, which has not all values that are written here: {outcome}");
            findings.warn(at, message, remedy(&names));
        }
    }
    if let Some(reason) = not_told {
        let message = format!("whether the record types have the values that are written is not known: {reason}");
        findings.note(&["to", "object"], message, "grant it for this check");
    }
}

/// The fields that are picklists, with the values that the config itself brings and that the field has at all. What it
/// does not have is said elsewhere.
fn listed<'c>(
    pipeline: &'c PipelineConfig,
    to: &'c ObjectDescribe,
) -> impl Iterator<Item = (&'c FieldDescribe, &'c Picklist, Vec<&'c str>)> {
    pipeline.fields.iter().filter_map(|(name, rule)| {
        let field = to.field(name)?;
        let picklist = field.kind.picklist()?;
        let several = matches!(field.kind, FieldKind::MultiPicklist(_));
        let on_null = match &rule.on_null {
            OnNull::Value(value) => Some(value),
            OnNull::Send | OnNull::Skip => None,
        };
        let texts = written(&rule.fill).chain(on_null).filter_map(|value| value.as_text());
        let values = texts.flat_map(|text| text.split(move |letter| several && letter == ';'));
        let values: Vec<&str> =
            values.filter(|value| picklist.value(value).is_some_and(|known| known.active)).collect();
        (!values.is_empty()).then_some((field, picklist, values))
    })
}

/// The record types that the pipeline's records can get. None where that cannot be told; the one that stands for having
/// none is left out, for it has all values. `here`: the record types of the source object; without them, all that may
/// stand for one of those.
fn given<'t>(
    pipeline: &PipelineConfig,
    to: &'t ObjectDescribe,
    here: Option<&[RecordType]>,
) -> Vec<&'t RecordTypeInfo> {
    let rule = pipeline.fields.iter().find(|(name, _)| name.as_str().eq_ignore_ascii_case("RecordTypeId"));
    let wanted = |info: &&RecordTypeInfo| match rule {
        None => info.default,
        Some((_, rule)) => gives(rule, info, here),
    };
    // What the user may not give is said elsewhere.
    let usable = to.record_types.iter().filter(|info| info.active && info.available && !info.master);
    usable.filter(wanted).collect()
}

fn gives(rule: &FieldRule, info: &RecordTypeInfo, here: Option<&[RecordType]>) -> bool {
    let is = |name: &str| info.developer_name.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(name));
    match &rule.fill {
        Fill::RecordType(name) => is(name),
        Fill::RecordTypeOf { table, default, .. } => {
            // Of the same developer name, where the table says nothing else.
            let same = match here {
                None => true,
                Some(here) => here.iter().any(|known| {
                    known.active && is(&known.developer_name) && !table.contains_key(&known.developer_name)
                }),
            };
            same || table.values().chain(default).any(|name| is(name))
        }
        fill => written(fill)
            .filter_map(|value| value.as_text())
            .any(|text| text.parse::<RecordId>().is_ok_and(|id| id == info.id)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::{Value as Json, json};

    use super::*;
    use crate::check::testing;
    use crate::config::testing::between_two_orgs;
    use crate::event::ObjectName;
    use crate::org::Code;
    use crate::org::setup::{PicklistValues, Reason};

    const INCIDENT: &str = "012000000000001AAA";
    const ESCALATION: &str = "012000000000002AAA";

    fn target(picklists: HashMap<RecordId, Asked<PicklistValues>>) -> KnownOrg {
        let values = |names: &[&str]| -> Json {
            names.iter().map(|name| json!({"value": name, "label": name, "active": true})).collect()
        };
        let info = |id: &str, name: &str, default: bool| {
            json!({"recordTypeId": id, "developerName": name, "name": name, "active": true, "available": true,
                "defaultRecordTypeMapping": default, "master": name == "Master"})
        };
        let describe = json!({
            "name": "Case",
            "fields": [
                {"name": "Priority", "label": "Priority", "type": "picklist", "picklistValues": values(&["Low", "High"])},
                {"name": "Level__c", "label": "Level", "type": "picklist", "restrictedPicklist": true,
                    "picklistValues": values(&["1", "2"])},
                {"name": "Tags__c", "label": "Tags", "type": "multipicklist", "picklistValues": values(&["A", "B"])},
            ],
            "recordTypeInfos": [
                info(INCIDENT, "Incident", true),
                info(ESCALATION, "Escalation", false),
                info("012000000000000AAA", "Master", false),
            ],
        });
        KnownOrg { picklists, ..testing::org_with(&[describe]) }
    }

    fn of(values: &[(&str, &[&str])]) -> Asked<PicklistValues> {
        let field = |(name, values): &(&str, &[&str])| {
            (name.parse().unwrap(), values.iter().map(|value| (*value).to_owned()).collect())
        };
        Asked::Known(values.iter().map(field).collect())
    }

    /// Of the fields beside the key, `a | b`, which record types are asked for, and what is found.
    fn said(fields: &str, answers: Option<[Asked<PicklistValues>; 2]>) -> (usize, Vec<String>) {
        let lines: String = fields.split(" | ").map(|field| format!("      {field}\n")).collect();
        let config = between_two_orgs(&format!(
            "pipelines:
  - name: cases
    from: {{ org: a, channel: /data/CaseChangeEvent, object: Case }}
    to: {{ org: b, object: Case, key: Key__c }}
    fields:
      Key__c: Id
{lines}"
        ));
        let answers = answers.unwrap_or_else(|| {
            let all: (&str, &[&str]) = ("Level__c", &["1", "2"]);
            [
                of(&[("Priority", &["Low"]), ("Level__c", &["1"]), ("Tags__c", &["A"])]),
                of(&[("Priority", &["Low", "High"]), all, ("Tags__c", &["A", "B"])]),
            ]
        });
        let ids = [INCIDENT, ESCALATION].map(|id| id.parse().unwrap());
        let target = target(ids.into_iter().zip(answers).collect());
        let known = |name: &str, id: &str| RecordType {
            id: id.parse().unwrap(),
            developer_name: name.to_owned(),
            namespace: None,
            name: name.to_owned(),
            active: true,
        };
        let here = vec![known("Incident", INCIDENT), known("Query", ESCALATION)];
        let source =
            KnownOrg { record_types: [(ObjectName::known("Case"), Asked::Known(here))].into(), ..testing::org() };
        let pipeline = &config.pipelines[0];
        let to = target.objects.values().next().unwrap();
        let mut findings = Findings { pipeline: &pipeline.name, found: Vec::new() };
        judge(&mut findings, pipeline, Some(&source), &target, to);
        (asks(pipeline, to).len(), testing::shown(findings.found))
    }

    #[test]
    fn a_value_that_no_record_type_of_the_records_has_is_found_by_how_the_picklist_is_held() {
        let (asked, found) = said("Priority: { value: High }", None);
        let warned = "warning fields.Priority: no record type that the records get (Incident) has a value that is written \
                      here: the org takes it from the API, but people do not have it as a choice";
        assert_eq!((asked, found), (1, vec![warned.to_owned()]), "the user's own record type");
        let refused = "error fields.Level__c: no record type that the records get (Incident) has a value that is written \
                       here: the picklist is restricted, so the org refuses such a record";
        for fields in [
            "RecordTypeId: { record_type: incident } | Level__c: { value: \"2\" }",
            "RecordTypeId: { value: \"012000000000001\" } | Level__c: { from: X__c, table: { x: \"1\", y: \"2\" } }",
            "RecordTypeId: { record_type: Incident } | Level__c: { from: X__c, on_null: { value: \"2\" } }",
        ] {
            assert_eq!(said(fields, None), (1, vec![refused.to_owned()]), "{fields}");
        }
        let (_, found) = said("Tags__c: { value: \"A;B\" }", None);
        assert!(found[0].starts_with("warning fields.Tags__c: no record type"), "{found:?}");
    }

    #[test]
    fn a_value_that_only_some_of_them_have_is_a_warning_that_names_the_others() {
        let translated = "RecordTypeId: { from: RecordTypeId, as: record_type, table: { Query: Escalation } }";
        let (asked, found) = said(&format!("{translated} | Level__c: {{ value: \"2\" }}"), None);
        let warned = "warning fields.Level__c: records can get Incident, which has not all values that are written here: \
                      the picklist is restricted, so the org refuses such a record";
        assert_eq!((asked, found), (2, vec![warned.to_owned()]));
    }

    #[test]
    fn what_every_record_type_has_or_nobody_knows_is_no_finding() {
        for fields in [
            "Priority: { value: Low }",
            "Priority: { value: Unheard }",
            "Priority: Priority",
            "RecordTypeId: { record_type: Escalation } | Level__c: { value: \"2\" }",
            "RecordTypeId: { cel: X__c } | Level__c: { value: \"2\" }",
        ] {
            assert_eq!(said(fields, None).1, [""; 0], "{fields}");
        }
        assert_eq!(said("Priority: Priority", None).0, 0, "nothing is asked");
        let silent = || Asked::Unknown(Reason { code: Code::NotFound, needs: "access" });
        let level = "RecordTypeId: { record_type: Incident } | Level__c: { value: \"2\" }";
        let (_, found) = said(level, Some([silent(), silent()]));
        assert!(matches!(&*found, [note] if note.starts_with("note to.object: whether the record types")), "{found:?}");
        assert_eq!(said(level, Some([of(&[]), of(&[])])).1, [""; 0], "a field that the answer leaves out");
    }
}
