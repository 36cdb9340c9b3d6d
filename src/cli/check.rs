//! `orgbridge check`: is the config good?

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use super::ConfigFile;
use crate::bridge;
use crate::check::{self, Place};
use crate::config::{self, Config, ConfigProblems, Found, Severity};
use crate::store::{Sqlite, Store};

/// Is the config good?
#[derive(Debug, Args)]
pub struct Check {
    #[command(flatten)]
    file: ConfigFile,
    /// Only what can be told without an org
    #[arg(long)]
    offline: bool,
    /// For scripts
    #[arg(long)]
    json: bool,
}

impl Check {
    /// Exit code 0 if the config is good, whatever warnings and notes there are; 1 if something cannot work.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let path = &self.file.config;
        let config = match config::load(path) {
            Ok(config) => config,
            Err(problems) => return Ok(self.show(&problems)),
        };
        let found = if self.offline { Vec::new() } else { check::check(&config, &bridge::orgs(&config)?).await };
        let text = std::fs::read_to_string(path)?;
        let found = found.iter().map(|finding| Found {
            severity: finding.severity,
            path: match &finding.place {
                Place::Org(org) => vec!["orgs", org.as_str()],
                Place::Pipeline(pipeline, keys) => {
                    ["pipelines", pipeline.as_str()].into_iter().chain(keys.iter().map(String::as_str)).collect()
                }
            },
            message: finding.message.clone(),
            remedy: finding.remedy.clone(),
        });
        let problems = config::located(&text, path, found.collect());
        let code = self.show(&problems);
        if !self.json && code == ExitCode::SUCCESS {
            println!("{}", summary(path, &config));
            for line in in_clear(&config).await {
                println!("  {line}");
            }
            if self.offline {
                println!("  the orgs were not asked (--offline)");
            }
        }
        Ok(code)
    }

    fn show(&self, problems: &ConfigProblems) -> ExitCode {
        if self.json {
            println!("{:#}", json(problems));
        } else if !problems.problems().is_empty() {
            eprintln!("{}", problems.render(colour()));
        }
        let wrong = problems.problems().iter().any(|problem| problem.severity == Severity::Error);
        if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

fn json(problems: &ConfigProblems) -> serde_json::Value {
    let each = problems.problems().iter().map(|problem| {
        serde_json::json!({
            "severity": problem.severity.as_str(),
            "line": problem.line,
            "column": problem.column,
            "message": problem.message,
            "remedy": problem.remedy,
        })
    });
    serde_json::json!({ "v": 1, "findings": each.collect::<Vec<_>>() })
}

/// What the state file holds that the privacy rules of the config would not let in any more. Nothing is said where it
/// cannot be read: there is none yet, or a bridge holds it, whose status tells the same.
async fn in_clear(config: &Config) -> Vec<String> {
    let mut lines = Vec::new();
    let Ok(store) = Sqlite::open_unowned(&config.state) else { return lines };
    for (name, org) in &config.orgs {
        let found = store.in_clear(name, org.privacy.rules()).await.unwrap_or_default();
        lines.extend(found.iter().map(|clear| format!("! {name}: {clear}")));
    }
    lines
}

/// Colours are for people who look at a terminal and did not ask for none (<https://no-color.org>).
pub(super) fn colour() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// What the config says, without anything secret.
fn summary(path: &Path, config: &Config) -> String {
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    let orgs = count(config.orgs.len(), "org");
    let pipelines = count(config.pipelines.len(), "pipeline");
    let actions = match config.actions.len() {
        0 => String::new(),
        number => format!(", {}", count(number, "action")),
    };
    let mut lines = vec![format!("{} is good: {orgs}, {pipelines}{actions}", path.display())];
    for pipeline in &config.pipelines {
        let (from, to) = (&pipeline.from, &pipeline.to);
        lines.push(format!(
            "  {}: {} of {} -> {} of {} by {}, {}",
            pipeline.name,
            from.object,
            from.org,
            to.object,
            to.org,
            to.key,
            count(pipeline.fields.len(), "field")
        ));
    }
    for action in &config.actions {
        let from = &action.from;
        lines.push(format!("  {}: {} of {} -> {}", action.name, from.object, from.org, action.does.shown()));
    }
    lines.push(format!("  state: {}", config.state.display()));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
version: 1
orgs:
  emea:
    login_url: https://acme.my.salesforce.com
    client_credentials: { key: consumer, secret: do-not-show }
  hq:
    login_url: https://hq.my.salesforce.com
    client_credentials: { key: consumer, secret: do-not-show }
pipelines:
  - name: accounts
    from: { org: emea, channel: /data/AccountChangeEvent, object: Account }
    to: { org: hq, object: Account, key: Emea_Id__c }
    fields: { Emea_Id__c: Id, Name: Name }
";

    fn checked(path: &Path) -> ExitCode {
        let check = Check { file: ConfigFile { config: path.to_owned() }, offline: true, json: false };
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(check.run()).unwrap()
    }

    #[test]
    fn the_exit_code_tells_good_from_bad() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bridge.yaml");
        std::fs::write(&path, GOOD).unwrap();
        assert_eq!(checked(&path), ExitCode::SUCCESS);
        std::fs::write(&path, GOOD.replace("version: 1", "version: 2")).unwrap();
        assert_eq!(checked(&path), ExitCode::FAILURE);
        assert_eq!(checked(&folder.path().join("absent.yaml")), ExitCode::FAILURE);
    }

    #[tokio::test]
    async fn what_was_stored_before_a_rule_is_told() {
        use crate::store::contract::given;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bridge.yaml");
        let rule = "    privacy: { objects: { Account: { leave_out: [Fax] } } }\n  hq:\n";
        std::fs::write(&path, GOOD.replace("  hq:\n", rule)).unwrap();
        let config = config::load(&path).unwrap();
        assert_eq!(in_clear(&config).await, [""; 0], "no bridge has run yet");
        {
            let store = Sqlite::open(&config.state).unwrap();
            let subscription = store.subscription(&"emea".parse().unwrap(), &given::channel()).await.unwrap().id;
            store.append(subscription, vec![given::event(1).arrives()], given::NOW).await.unwrap();
        }
        assert_eq!(
            in_clear(&config).await,
            ["! emea: 1 event stored before the rules of `privacy` may hold Fax of Account. With the bridge stopped, \
                 `orgbridge journal scrub` applies the rules to them"]
        );
    }

    #[test]
    fn the_summary_says_what_goes_where_and_no_secret() {
        let path = Path::new("etc/bridge.yaml");
        let config = config::parse(GOOD, path, &|_| None, &|_| unreachable!()).unwrap();
        assert_eq!(
            summary(path, &config),
            "etc/bridge.yaml is good: 2 orgs, 1 pipeline\n  accounts: Account of emea -> Account of hq by Emea_Id__c, \
             2 fields\n  state: etc/bridge.db"
        );
        let webhook = "  - name: tell
    from: { org: emea, channel: /event/Left__e }
    action: { webhook: { url: \"https://x.example.com/do-not-show\", secret: do-not-show-either }, delivery: at_most_once }
";
        let config = config::parse(&format!("{GOOD}{webhook}"), path, &|_| None, &|_| unreachable!()).unwrap();
        let shown = summary(path, &config);
        assert!(shown.starts_with("etc/bridge.yaml is good: 2 orgs, 1 pipeline, 1 action\n"), "{shown}");
        assert!(shown.contains("\n  tell: Left__e of emea -> webhook at x.example.com\n"), "{shown}");
        assert!(!shown.contains("do-not-show"), "{shown}");
    }
}
