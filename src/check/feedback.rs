//! `feedback` of a pipeline: the fields of the source into which the bridge writes.

use super::{Findings, fields};
use crate::config::{Feedback, PipelineConfig};
use crate::event::FieldName;
use crate::org::describe::{FieldKind, ObjectDescribe};

pub(super) fn judge(findings: &mut Findings<'_>, pipeline: &PipelineConfig, from: &ObjectDescribe) {
    let Feedback { error, last_synced } = &pipeline.feedback;
    if pipeline.feedback.fields().next().is_none() {
        return;
    }
    if !from.object.updateable {
        let message = format!("the bridge's user may not edit records of {}", from.name());
        let remedy = "grant edit for the object in a permission set of the user (Setup > Permission Sets)";
        findings.error(&["feedback"], message, remedy);
    }
    if let Some(name) = error {
        let takes = |kind: &FieldKind| matches!(kind, FieldKind::Text | FieldKind::TextArea | FieldKind::RichText);
        field(findings, ("error", name), from, takes, "text", "Text Area");
    }
    if let Some(name) = last_synced {
        let takes = |kind: &FieldKind| matches!(kind, FieldKind::DateTime);
        field(findings, ("last_synced", name), from, takes, "a date with a time", "Date/Time");
    }
}

fn field(
    findings: &mut Findings<'_>,
    (key, name): (&str, &FieldName),
    from: &ObjectDescribe,
    takes: impl Fn(&FieldKind) -> bool,
    what: &str,
    label: &str,
) {
    let at = &["feedback", key];
    let Some(field) = fields::changed(findings, at, name, from) else { return };
    if !takes(&field.kind) {
        let place = format!("Setup > Object Manager > {} > Fields & Relationships", from.name());
        let remedy = format!("name a field of the type {label}, or make one ({place})");
        findings.error(at, format!("{name} does not hold {what}"), remedy);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::check::testing;
    use crate::config::testing::between_two_orgs;
    use crate::org::describe::described;

    fn said(feedback: &str, updateable: bool) -> Vec<String> {
        let config = between_two_orgs(&format!(
            "pipelines:
  - name: trips
    from: {{ org: a, channel: /data/Trip__ChangeEvent, object: Trip__c }}
    to: {{ org: b, object: Trip__c, key: Key__c }}
    fields: {{ Key__c: Id }}
    feedback: {feedback}
"
        ));
        let field = |name: &str, kind: &str, updateable: bool| json!({"name": name, "type": kind, "updateable": updateable, "label": name});
        let from = described(&json!({"name": "Trip__c", "updateable": updateable, "fields": [
            field("Error__c", "textarea", true),
            field("Locked__c", "string", false),
            field("Synced__c", "datetime", true),
            field("Day__c", "date", true),
        ]}));
        let pipeline = &config.pipelines[0];
        let mut findings = Findings { pipeline: &pipeline.name, found: Vec::new() };
        judge(&mut findings, pipeline, &from);
        testing::shown(findings.found)
    }

    #[test]
    fn what_people_are_told_needs_fields_that_can_hold_it() {
        for (feedback, expected) in [
            ("{ error: Error__c, last_synced: Synced__c }", ""),
            ("{ error: Eror__c }", "error feedback.error: Trip__c has no field Eror__c"),
            ("{ error: Locked__c }", "error feedback.error: Locked__c cannot be written"),
            ("{ error: Day__c }", "error feedback.error: Day__c does not hold text"),
            ("{ last_synced: Day__c }", "error feedback.last_synced: Day__c does not hold a date with a time"),
        ] {
            let expected: &[&str] = if expected.is_empty() { &[] } else { &[expected] };
            assert_eq!(said(feedback, true), expected, "{feedback}");
        }
    }

    #[test]
    fn who_may_not_edit_records_of_the_source_can_tell_nobody_anything_there() {
        let expected = ["error feedback: the bridge's user may not edit records of Trip__c"];
        assert_eq!(said("{ error: Error__c }", false), expected);
    }
}
