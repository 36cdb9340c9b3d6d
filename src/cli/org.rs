//! `orgbridge org`: the orgs that a state file is tied to.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::confirm::confirmed;
use super::{ConfigFile, table};
use crate::config::Config;
use crate::control;
use crate::event::OrgName;
use crate::org::Org as Client;
use crate::status::report::Report;
use crate::store::{Sqlite, Store};

#[derive(Debug, Args)]
pub struct Org {
    #[command(flatten)]
    file: ConfigFile,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Each org, where its login is, and the id of the org that the state belongs to
    List,
    /// Another org is behind the login than before, and that is meant: what is known of the old one is given up
    AcceptNew {
        org: OrgName,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

impl Org {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let config = crate::config::load(&self.file.config)?;
        super::has_run(&config)?;
        if let Command::AcceptNew { org, yes } = &self.command
            && let Some(report) = control::status(&config.state).await?
        {
            return accept_in_running(&config, &report, org, *yes).await;
        }
        let store = super::owned(&config)?;
        match self.command {
            Command::List => list(&config, &store).await,
            Command::AcceptNew { org, yes } => accept_new(&config, &store, &org, yes).await,
        }
    }
}

/// A running bridge knows which org it found, and goes on with it by itself.
async fn accept_in_running(config: &Config, report: &Report, name: &OrgName, yes: bool) -> anyhow::Result<ExitCode> {
    let Some(org) = report.orgs.iter().find(|org| org.name == name.as_str()) else {
        anyhow::bail!("the config names no org {name}")
    };
    let Some(new) = &org.other_org_id else {
        println!("The login of {name} leads to the same org as before, as far as the running bridge knows.");
        return Ok(ExitCode::SUCCESS);
    };
    if !agreed(org.org_id.as_deref().unwrap_or("unknown"), name, new, yes)? {
        return Ok(ExitCode::from(2));
    }
    match control::accept_org(&config.state, name, new).await? {
        Some(()) => println!("{name} is org {new} from now on; the bridge goes on with it."),
        None => anyhow::bail!("the bridge has stopped meanwhile: say it again"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows what would happen, and asks.
fn agreed(old: &str, name: &OrgName, new: &str, yes: bool) -> anyhow::Result<bool> {
    println!("The state belongs to org {old}; the login of {name} leads to org {new}.");
    println!(
        "To accept it gives up positions, links and progress of the old one; what is missing then is shown as gaps."
    );
    if yes || confirmed("Accept it?")? {
        return Ok(true);
    }
    println!("Nothing was changed.");
    Ok(false)
}

async fn list(config: &Config, store: &Sqlite) -> anyhow::Result<ExitCode> {
    let mut table = table::plain_list();
    table.set_header(["ORG", "LOGIN", "ID"]);
    for (name, org) in &config.orgs {
        let id = store.pinned_org(name).await?.unwrap_or_else(|| "not logged in yet".to_owned());
        table.add_row([name.to_string(), org.login_url.host_str().unwrap_or_default().to_owned(), id]);
    }
    println!("{table}");
    Ok(ExitCode::SUCCESS)
}

/// Exit code 0 if the org is accepted, or is the one that it was; 2 if the answer was no.
async fn accept_new(config: &Config, store: &Sqlite, name: &OrgName, yes: bool) -> anyhow::Result<ExitCode> {
    let Some(org) = config.orgs.get(name) else { anyhow::bail!("the config names no org {name}") };
    let Some(old) = store.pinned_org(name).await? else {
        anyhow::bail!("the state is tied to no org {name} yet: the first login of a bridge does that")
    };
    // It is tied to no id, so whichever org is behind the login answers. Nothing but the login is asked of it.
    let client = Client::new(org.clone())?;
    let new =
        client.session().await.map_err(|error| anyhow::anyhow!("org {name}: {error}. {}", error.remedy()))?.org_id;
    if new == old {
        println!("The login of {name} leads to the same org as before ({old}): nothing to do.");
        return Ok(ExitCode::SUCCESS);
    }
    if !agreed(&old, name, &new, yes)? {
        return Ok(ExitCode::from(2));
    }
    store.accept_org(name, &new).await?;
    println!("{name} is org {new} from now on.");
    Ok(ExitCode::SUCCESS)
}
