//! What a comparison found, for people and for scripts.

use serde_json::{Value as Json, json};

use super::super::table;
use super::Outcome;
use crate::event::{FieldName, RecordId};
use crate::status::report::Verification;
use crate::store::{Difference, Finding, VerifyCounts};
use crate::text::{counted, grouped};

/// Differences of a pipeline that are shown one by one.
const SHOWN: usize = 20;

/// While it runs.
pub fn progress(one: &Verification) -> String {
    let VerifyCounts { total, records, targets, .. } = one.counts;
    let of = total.map(|total| format!(" of {}", grouped(total))).unwrap_or_default();
    format!("{}: {}{of} records of the source, {} of the target", one.pipeline, grouped(records), grouped(targets))
}

/// One line for each result that there is, and the first differences.
pub fn shown(outcomes: &[Outcome]) -> String {
    let mut lines = Vec::new();
    for Outcome { verification, found } in outcomes {
        lines.push(format!("{}: {}", verification.pipeline, summary(verification)));
        for (count, said) in results(&verification.counts).into_iter().filter(|(count, _)| *count > 0) {
            lines.push(format!("  {:>12}  {said}", grouped(count)));
        }
        let mut table = table::plain_list();
        table.set_header(["RESULT", "SOURCE RECORD", "TARGET RECORD", "WHAT"]);
        for one in found.iter().take(SHOWN) {
            let id = |id: Option<RecordId>| id.map_or_else(|| "-".to_owned(), |id| id.to_string());
            table.add_row([one.what.as_str().to_owned(), id(one.record), id(one.target), what(one)]);
        }
        if !found.is_empty() {
            lines.push(String::new());
            lines.extend(table.lines().map(|line| line.trim_end().to_owned()));
        }
        if found.len() > SHOWN {
            let more = (found.len() - SHOWN) as u64;
            lines.push(format!(" ... and {} more: --csv FILE has them all", grouped(more)));
        }
        lines.push(String::new());
    }
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines.join("\n")
}

/// In one line.
pub fn summary(one: &Verification) -> String {
    let counts = &one.counts;
    let compared = match one.sample {
        Some(_) => format!("a sample of {}", counted(counts.records, "record")),
        None => counted(counts.records, "record"),
    };
    let calls = counted(counts.source_calls + counts.target_calls, "API call");
    let at = one.ended.as_deref().unwrap_or_default();
    let verdict = match (one.state.as_str(), one.differences, counts.unsettled) {
        ("failed", ..) => return format!("could not be compared: {}", one.why.as_deref().unwrap_or_default()),
        (_, 0, 0) => "both sides agree".to_owned(),
        (_, 0, _) => "nothing differs but what was on its way".to_owned(),
        (_, differences, _) => counted(differences, "difference"),
    };
    let mended = match counts.mended {
        0 => String::new(),
        mended => format!("; {} read and written again", counted(mended, "record")),
    };
    format!("{verdict}, {compared} compared at {at} by {calls}{mended}")
}

fn results(counts: &VerifyCounts) -> Vec<(u64, &'static str)> {
    let mut results = vec![(counts.equal, "equal"), (counts.excluded, "excluded"), (counts.kept, "kept")];
    let count = |what| match what {
        Finding::Different => counts.different,
        Finding::Missing => counts.missing,
        Finding::Extra => counts.extra,
        Finding::Failed => counts.failed,
        Finding::ChangedInTarget => counts.changed_in_target,
        Finding::NotAccepted => counts.not_accepted,
        Finding::Unsettled => counts.unsettled,
    };
    results.extend(Finding::ALL.map(|what| (count(what), what.as_str())));
    results
}

fn what(one: &Difference) -> String {
    let mut said = names(&one.fields, ", ");
    if let Some(code) = &one.code {
        said = if said.is_empty() { code.clone() } else { format!("{code} ({said})") };
    }
    if let Some(by) = &one.by {
        said.push_str(&format!(", by {by}"));
    }
    if let Some(at) = one.at {
        said.push_str(&format!(" at {at}"));
    }
    said
}

fn names(fields: &[FieldName], between: &str) -> String {
    fields.iter().map(FieldName::as_str).collect::<Vec<_>>().join(between)
}

/// A row of CSV.
pub fn cells(pipeline: &str, one: &Difference) -> [String; 8] {
    let id = |id: Option<RecordId>| id.map(|id| id.to_string()).unwrap_or_default();
    [
        pipeline.to_owned(),
        one.what.as_str().to_owned(),
        id(one.record),
        id(one.target),
        names(&one.fields, " "),
        one.code.clone().unwrap_or_default(),
        one.by.clone().unwrap_or_default(),
        one.at.map(|at| at.to_string()).unwrap_or_default(),
    ]
}

/// The status's form of each comparison, with its differences.
pub fn json(outcomes: &[Outcome]) -> Json {
    let one = |Outcome { verification, found }: &Outcome| {
        let found: Vec<Json> = found.iter().map(difference).collect();
        json!({"verification": verification, "differences": found})
    };
    json!({"v": 1, "verifications": outcomes.iter().map(one).collect::<Vec<_>>()})
}

fn difference(one: &Difference) -> Json {
    json!({
        "result": one.what,
        "source_record": one.record,
        "target_record": one.target,
        "fields": one.fields,
        "code": one.code,
        "by": one.by,
        "at": one.at.map(|at| at.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Timestamp;

    fn outcome(found: Vec<Difference>) -> Outcome {
        let mut counts =
            VerifyCounts { records: 1_200, targets: 1_199, equal: 1_150, excluded: 40, ..VerifyCounts::default() };
        found.iter().for_each(|one| counts.count(one.what));
        (counts.source_calls, counts.target_calls) = (3, 4);
        let verification = Verification {
            number: 3,
            pipeline: "accounts".to_owned(),
            state: "done".to_owned(),
            why: None,
            sample: None,
            begun: None,
            ended: Some("2026-01-02T03:04:05.000Z".to_owned()),
            differences: counts.differences(),
            counts,
        };
        Outcome { verification, found }
    }

    fn id(n: u32) -> RecordId {
        format!("001T{n:011}").parse().unwrap()
    }

    #[test]
    fn what_was_found_is_told_in_words_with_who_and_why() {
        let fields = vec!["Name".parse().unwrap(), "Phone".parse().unwrap()];
        let found = vec![
            Difference { fields: fields.clone(), ..Difference::of(Finding::Different, Some(id(1)), Some(id(2))) },
            Difference::of(Finding::Missing, Some(id(3)), None),
            Difference {
                fields,
                by: Some("Ada".to_owned()),
                at: Some(Timestamp(1_767_323_045_000)),
                ..Difference::of(Finding::ChangedInTarget, Some(id(4)), Some(id(5)))
            },
            Difference {
                code: Some("STRING_TOO_LONG".to_owned()),
                ..Difference::of(Finding::Failed, Some(id(6)), None)
            },
        ];
        let page = shown(&[outcome(found.clone())]);
        for line in [
            "accounts: 4 differences, 1,200 records compared at 2026-01-02T03:04:05.000Z by 7 API calls",
            "         1,150  equal",
            "             1  changed in target",
        ] {
            assert!(page.lines().any(|shown| shown == line), "{page}");
        }
        for said in ["Name, Phone, by Ada at 2026-01-02T03:04:05", "STRING_TOO_LONG", "missing "] {
            assert!(page.contains(said), "{page}");
        }
        let many = shown(&[outcome(vec![found[1].clone(); 25])]);
        assert!(many.ends_with(" ... and 5 more: --csv FILE has them all"), "{many}");
        assert_eq!(cells("accounts", &found[0])[4], "Name Phone");
    }

    #[test]
    fn that_both_sides_agree_is_said_only_if_nothing_was_on_its_way() {
        let line = |found| summary(&outcome(found).verification);
        assert!(line(vec![]).starts_with("both sides agree, 1,200 records compared"));
        let open = line(vec![Difference::of(Finding::Unsettled, Some(id(1)), None)]);
        assert!(open.starts_with("nothing differs but what was on its way"), "{open}");
    }
}
