//! `orgbridge journal`: what is stored of the events that came.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::ConfigFile;
use crate::config::Config;
use crate::store::{Sqlite, Store, StoreError};

/// Entries in one transaction.
const STRETCH: usize = 1_000;

#[derive(Debug, Args)]
pub struct Journal {
    #[command(flatten)]
    file: ConfigFile,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Apply the privacy rules of the config to what was stored before they were there. If it is broken off, the next one
    /// goes on from there
    Scrub,
}

impl Journal {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let config = crate::config::load(&self.file.config)?;
        let store = super::owned(&config)?;
        match self.command {
            Command::Scrub => {
                println!("{}", scrub(&config, &store).await?);
                store.rewrite()?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

/// What was done, for people.
async fn scrub(config: &Config, store: &Sqlite) -> Result<String, StoreError> {
    let (mut looked_at, mut rewritten, mut evidence) = (0, 0, 0);
    for (name, org) in &config.orgs {
        // Also where no rule is left: then that is noted.
        loop {
            let scrubbed = store.scrub(name, &org.privacy, STRETCH).await?;
            looked_at += scrubbed.looked_at;
            rewritten += scrubbed.rewritten;
            evidence += scrubbed.evidence;
            if scrubbed.done {
                break;
            }
        }
    }
    if looked_at + evidence == 0 {
        return Ok("Nothing is stored that a privacy rule was not applied to.".to_owned());
    }
    let events = if looked_at == 1 { "1 event was".to_owned() } else { format!("{looked_at} events were") };
    let mut said = format!("{events} looked at, {rewritten} rewritten.");
    if evidence > 0 {
        said.push_str(&format!(
            " What was sent of {evidence} failed or waiting records, and what the target org said, was erased."
        ));
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Field, Value};
    use crate::store::contract::given;

    const CONFIG: &str = "\
version: 1
orgs:
  source:
    login_url: https://acme.my.salesforce.com
    client_credentials: { key: consumer, secret: do-not-show }
    privacy: { objects: { Account: { mask: [Fax] } } }
  target:
    login_url: https://hq.my.salesforce.com
    client_credentials: { key: consumer, secret: do-not-show }
pipelines:
  - name: accounts
    from: { org: source, channel: /data/AccountChangeEvent, object: Account }
    to: { org: target, object: Account, key: Emea_Id__c }
    fields: { Emea_Id__c: Id, Name: Name }
";

    #[tokio::test]
    async fn after_a_scrub_no_byte_of_the_state_tells_an_old_value() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bridge.yaml");
        std::fs::write(&path, CONFIG).unwrap();
        let config = crate::config::load(&path).unwrap();
        let store = Sqlite::open(&config.state).unwrap();
        let subscription = given::subscribed(&store).await;
        // Enough for pages to be split and moved.
        let fax = |number: u32| Field::New(Value::text(format!("old-value-{number}-{}", "x".repeat(300))));
        let group =
            |from: u32| (from..from + 500).map(|n| given::event(n).fields([("Fax", fax(n))]).arrives()).collect();
        for from in [0, 500, 1_000, 1_500] {
            store.append(subscription, group(from), given::NOW).await.unwrap();
        }
        let holds = |text: &str| {
            let files = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path());
            let state = files.filter(|file| file.to_string_lossy().contains("bridge.db"));
            state.map(std::fs::read).any(|bytes| bytes.unwrap().windows(text.len()).any(|at| at == text.as_bytes()))
        };
        assert!(holds("old-value-7") && holds("old-value-1999"));
        assert_eq!(scrub(&config, &store).await.unwrap(), "2000 events were looked at, 2000 rewritten.");
        store.rewrite().unwrap();
        assert!(!holds("old-value"), "while it is open");
        let again = scrub(&config, &store).await.unwrap();
        assert_eq!(again, "Nothing is stored that a privacy rule was not applied to.");
        drop(store);
        assert!(!holds("old-value") && holds("o****"), "and when it is closed");
    }
}
