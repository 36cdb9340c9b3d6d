//! Where in a config something stands that was found without its text, by asking the orgs.

use std::ops::Range;
use std::path::Path;

use super::report::{ConfigProblems, Severity};
use super::secret;
use super::tree::{self, Finding, Kind, Node};

/// Something to be shown at its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<'f> {
    pub severity: Severity,
    /// Keys from the outside in: `["orgs", "emea"]`, `["pipelines", "accounts", "from", "channel"]`. An item of a list
    /// goes by its `name`.
    pub path: Vec<&'f str>,
    pub message: String,
    pub remedy: String,
}

/// Shows findings like the problems of the file, in the file's order. What is not written is shown where it would be.
pub fn located(text: &str, path: &Path, found: Vec<Found<'_>>) -> ConfigProblems {
    let parsed = tree::parse(text);
    let findings = found.into_iter().map(|found| {
        let span = parsed.tree.as_deref().map_or(0..0, |root| place(root, &found.path));
        (found.severity, Finding { span, message: found.message, remedy: found.remedy })
    });
    ConfigProblems::of_each(path, text, &secret::hidden(text, &parsed), findings.collect())
}

fn place(root: &Node, path: &[&str]) -> Range<usize> {
    let (mut node, mut span) = (root, root.place().clone());
    for step in path {
        let next = match &node.kind {
            Kind::Map(entries) => entries.iter().find(|(key, _)| key.text == *step).map(|(key, value)| {
                let scalar = matches!(value.kind, Kind::Scalar { .. }) && !value.is_null();
                (&**value, if scalar { value.span.clone() } else { key.span.clone() })
            }),
            Kind::List(items) => {
                items.iter().find(|item| named(item) == Some(step)).map(|item| (&**item, item.place().clone()))
            }
            Kind::Scalar { .. } => None,
        };
        let Some(found) = next else { break };
        (node, span) = found;
    }
    span
}

fn named(item: &Node) -> Option<&str> {
    let Kind::Map(entries) = &item.kind else { return None };
    match &entries.iter().find(|(key, _)| key.text == "name")?.1.kind {
        Kind::Scalar { text, .. } => Some(text),
        Kind::List(_) | Kind::Map(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
orgs:
  emea: { login_url: x }
pipelines:
  - name: accounts
    from: { org: emea, channel: /data/AccountChangeEvent }
    fields:
      Name: Name
      Kind__c: { from: Industry }
";

    #[test]
    fn what_was_found_is_shown_at_its_key_or_value_or_where_it_would_be() {
        for (path, line, column) in [
            (&["orgs", "emea"][..], 2, 3),
            (&["pipelines", "accounts", "from", "channel"], 5, 33),
            (&["pipelines", "accounts", "fields", "Name"], 7, 13),
            (&["pipelines", "accounts", "fields", "Kind__c"], 8, 7),
            (&["pipelines", "accounts", "fields", "Other__c"], 6, 5),
            (&["pipelines", "accounts", "to", "key"], 4, 5),
            (&["pipelines", "unknown"], 3, 1),
        ] {
            let found = Found {
                severity: Severity::Warning,
                path: path.to_vec(),
                message: "m".to_owned(),
                remedy: "r".to_owned(),
            };
            let shown = located(TEXT, Path::new("b.yaml"), vec![found]);
            let [problem] = shown.problems() else { panic!() };
            assert_eq!((problem.line, problem.column), (line, column), "{path:?}");
            assert!(shown.render(false).starts_with("warning: m\n"), "{}", shown.render(false));
            assert!(shown.render(false).ends_with("1 warning in b.yaml"), "{}", shown.render(false));
        }
    }
}
