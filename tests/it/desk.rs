//! A config whose bridge is a process, and commands beside it.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value as Json;

use crate::process::{Process, orgbridge};
use crate::support::World;

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/demo.yaml");

/// Emulated orgs, and a config whose bridge is a process.
pub struct Desk {
    pub world: World,
    pub folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

impl Desk {
    /// Two accounts with the same phone cannot both be in the target.
    pub async fn new() -> Self {
        let text = std::fs::read_to_string(DEMO).unwrap();
        let text = text.replacen("      Phone: Phone\n", "      Phone: Phone\n      Emea_Id__c: Phone\n", 1);
        // Of a parent that failed a child waits.
        Self::of(&text.replace("from: AccountId }", "from: AccountId, if_missing: wait }")).await
    }

    /// With another config, which names the variables of the demo's.
    pub async fn of(text: &str) -> Self {
        let world = World::new().await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("demo.yaml"), text).unwrap();
        let mut variables = vec![("EMULATOR_PUBSUB".to_owned(), world.emulator.pubsub.to_string())];
        for (name, org) in [("SOURCE", world.source()), ("TARGET", world.target())] {
            variables.push((format!("{name}_URL"), org.base_url.clone()));
            variables.push((format!("{name}_KEY"), org.client_id.clone()));
            variables.push((format!("{name}_SECRET"), org.client_secret.clone()));
        }
        Self { world, folder, variables }
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("demo.yaml")
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = orgbridge();
        command.args(arguments).env("ORGBRIDGE_CONFIG", self.config()).envs(self.variables.iter().cloned());
        command.stdin(Stdio::null());
        command
    }

    pub fn state(&self) -> PathBuf {
        self.folder.path().join("demo.db")
    }

    /// A bridge that is live on both channels.
    pub fn bridge(&self) -> Process {
        self.bridge_on(2)
    }

    /// A bridge that is live on so many channels.
    pub fn bridge_on(&self, channels: usize) -> Process {
        let mut bridge = Process::start(self.command(&["run"]).stderr(Stdio::piped()));
        let mut lines = BufReader::new(bridge.0.stderr.take().unwrap()).lines();
        let live = lines.by_ref().map(Result::unwrap).filter(|line| line.contains("state=live")).take(channels).count();
        assert_eq!(live, channels, "it ended before it was subscribed");
        std::thread::spawn(move || lines.for_each(drop));
        bridge
    }

    /// What a command says, and its exit code.
    pub fn said(&self, arguments: &[&str]) -> (String, i32) {
        let Output { status, stdout, stderr } = self.command(arguments).output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        (text, status.code().unwrap())
    }

    pub fn json(&self, arguments: &[&str]) -> Json {
        let output = self.command(arguments).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or(Json::Null)
    }
}
