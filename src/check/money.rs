//! Amounts are plain numbers in the currency of their record, or of their org: a number that is copied must mean the
//! same there.

use super::{Findings, KnownOrg};
use crate::config::{Fill, PipelineConfig};
use crate::event::FieldName;
use crate::mapping::Expression;
use crate::org::describe::{FieldKind, ObjectDescribe};

const CODE: &str = "CurrencyIsoCode";

pub(super) fn judge(
    findings: &mut Findings<'_>,
    pipeline: &PipelineConfig,
    (source, from): (&KnownOrg, &ObjectDescribe),
    (target, to): (&KnownOrg, &ObjectDescribe),
) {
    let amounts = amounts(pipeline, from, to);
    let Some((first, _)) = amounts.first() else { return };
    let at = &["fields", first.as_str()];
    let names = |only_copied: bool| {
        let named = amounts.iter().filter(|(_, copied)| *copied || !only_copied).map(|(name, _)| name.as_str());
        named.collect::<Vec<_>>().join(", ")
    };
    let here = source.currency.as_deref();
    let there = target.currency.as_deref();
    match (from.has_currency_code(), to.has_currency_code()) {
        (_, true) if writes_code(pipeline) => {}
        (several, true) => {
            let message = format!(
                "{}: the target has several currencies, and takes amounts of new records for the one of the bridge's user",
                names(false)
            );
            let remedy = match (several, here) {
                (true, _) => format!("add `{CODE}: {CODE}` to the fields"),
                (false, Some(here)) => format!("add `{CODE}: {{ value: {here} }}` to the fields"),
                (false, None) => format!("add `{CODE}: {{ value: … }}` with the source's currency to the fields"),
            };
            findings.warn(at, message, remedy);
        }
        (true, false) if reads_code(pipeline) => {}
        (true, false) => {
            let one = there.unwrap_or("one");
            let message = format!(
                "{}: records of the source have a currency each, and the target knows {one} only",
                names(false)
            );
            let remedy = format!(
                "convert by {CODE} in an expression, copy {CODE} into a text of the target, or take one currency alone: \
                 `when: {CODE} == \"{}\"`",
                there.unwrap_or("…")
            );
            findings.warn(at, message, remedy);
        }
        // Who computes an amount may well convert it.
        (false, false) if names(true).is_empty() => {}
        (false, false) => match (here, there) {
            (Some(here), Some(there)) if here.eq_ignore_ascii_case(there) => {}
            (Some(here), Some(there)) => {
                let message = format!(
                    "{}: the source counts in {here}, the target in {there}, and the number stays",
                    names(true)
                );
                let remedy = "convert it: { cel: 'round(AMOUNT * RATE, 2)' }, or write it into a field that says so";
                findings.warn(at, message, remedy);
            }
            _ => {
                let message = format!("{}: whether both orgs count in one currency is not known", names(true));
                let remedy = "compare Setup > Company Information > Currency Locale of both orgs";
                findings.note(at, message, remedy);
            }
        },
    }
}

/// The target's amounts that are made of amounts of the source, and whether each is copied as it is.
fn amounts<'p>(pipeline: &'p PipelineConfig, from: &ObjectDescribe, to: &ObjectDescribe) -> Vec<(&'p FieldName, bool)> {
    let is_amount = |object: &ObjectDescribe, name: &FieldName| {
        object.field(name).is_some_and(|field| matches!(field.kind, FieldKind::Currency { .. }))
    };
    let mut found = Vec::new();
    for (name, rule) in pipeline.fields.iter().filter(|(name, _)| is_amount(to, name)) {
        if rule.fill.reads().any(|path| is_amount(from, &path.object_field())) {
            found.push((name, matches!(rule.fill, Fill::Source(_))));
        }
    }
    found
}

fn writes_code(pipeline: &PipelineConfig) -> bool {
    pipeline.fields.iter().any(|(name, _)| name.as_str().eq_ignore_ascii_case(CODE))
}

/// A pipeline that looks at the currency knows of it.
fn reads_code(pipeline: &PipelineConfig) -> bool {
    let of_fields = pipeline.fields.iter().flat_map(|(_, rule)| rule.fill.reads());
    let mut reads = of_fields.chain(pipeline.when.iter().flat_map(Expression::reads));
    reads.any(|path| path.as_str() == CODE)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::check::testing;
    use crate::config::testing::between_two_orgs;

    const CONFIG: &str = "pipelines:
  - name: deals
    from: { org: a, source: poll, object: Deal__c }
    to: { org: b, object: Deal__c, key: Key__c }
    fields: { Key__c: Id, Amount__c: Amount__c, Note__c: Note__c }
";

    /// Deals, in an org with several currencies or with one.
    fn deals(several: bool) -> Json {
        let mut fields = vec![
            json!({"name": "Amount__c", "type": "currency", "precision": 18, "scale": 2}),
            json!({"name": "Note__c", "type": "string", "length": 80}),
        ];
        if several {
            fields.push(json!({"name": CODE, "type": "picklist"}));
        }
        json!({"name": "Deal__c", "fields": fields})
    }

    fn said(config: &str, here: (bool, Option<&str>), there: (bool, Option<&str>)) -> Vec<String> {
        let config = between_two_orgs(config);
        let org = |(several, currency): (bool, Option<&str>)| KnownOrg {
            currency: currency.map(str::to_owned),
            ..testing::org_with(&[deals(several)])
        };
        let (source, target) = (org(here), org(there));
        let object = |org: &KnownOrg| org.objects.values().next().unwrap().clone();
        let pipeline = &config.pipelines[0];
        let mut findings = Findings { pipeline: &pipeline.name, found: Vec::new() };
        judge(&mut findings, pipeline, (&source, &object(&source)), (&target, &object(&target)));
        testing::shown(findings.found)
    }

    #[test]
    fn an_amount_is_the_same_number_only_in_the_same_currency() {
        let (eur, usd, unknown) = ((false, Some("EUR")), (false, Some("USD")), (false, None));
        assert_eq!(said(CONFIG, eur, eur), [""; 0]);
        assert_eq!(
            said(CONFIG, eur, usd),
            ["warning fields.Amount__c: Amount__c: the source counts in EUR, the target in USD, and the number stays"]
        );
        assert_eq!(
            said(CONFIG, eur, unknown),
            ["note fields.Amount__c: Amount__c: whether both orgs count in one currency is not known"]
        );
        let converted = CONFIG.replace("Amount__c: Amount__c", "Amount__c: { cel: 'round(Amount__c * 1.08, 2)' }");
        assert_eq!(said(&converted, eur, usd), [""; 0]);
        let none = CONFIG.replace("Amount__c: Amount__c", "Amount__c: { value: 7 }");
        assert_eq!(said(&none, eur, usd), [""; 0]);
    }

    #[test]
    fn where_an_org_has_several_the_record_s_currency_goes_along() {
        let (one, several) = ((false, Some("EUR")), (true, Some("EUR")));
        let mapped = CONFIG.replace("Note__c: Note__c", "CurrencyIsoCode: CurrencyIsoCode");
        let constant = CONFIG.replace("Note__c: Note__c", "CurrencyIsoCode: { value: EUR }");
        let kept = CONFIG.replace("Note__c: Note__c", "Note__c: CurrencyIsoCode");
        let filtered = CONFIG.replace("    fields", "    when: CurrencyIsoCode == \"EUR\"\n    fields");
        let lost = "warning fields.Amount__c: Amount__c: records of the source have a currency each, and the target knows EUR only";
        let taken = "warning fields.Amount__c: Amount__c: the target has several currencies, and takes amounts of new \
                     records for the one of the bridge's user";
        for (config, here, there, expected) in [
            (CONFIG, several, one, Some(lost)),
            (&*kept, several, one, None),
            (&*filtered, several, one, None),
            (CONFIG, several, several, Some(taken)),
            (&*mapped, several, several, None),
            (CONFIG, one, several, Some(taken)),
            (&*constant, one, several, None),
        ] {
            assert_eq!(said(config, here, there), expected.as_slice(), "{config}");
        }
    }
}
