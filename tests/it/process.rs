//! The real binary, as other processes run it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_orgbridge");

pub fn orgbridge() -> Command {
    Command::new(BINARY)
}

/// A process that does not outlive its test.
pub struct Process(pub Child);

impl Process {
    pub fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    /// SIGKILL: nothing is said, nothing is finished.
    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// SIGTERM, and how it ended.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.0.wait().unwrap()
    }

    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").arg(format!("-{signal}")).arg(self.0.id().to_string()).status().unwrap();
        assert!(sent.success());
    }

    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Emulated orgs in a process of their own, and the variables that they printed.
pub struct Emulator {
    _process: Process,
    pub variables: Vec<(String, String)>,
}

impl Emulator {
    pub fn start(arguments: &[&str]) -> Self {
        let mut process =
            Process::start(orgbridge().arg("emulator").args(arguments).stdout(Stdio::piped()).stderr(Stdio::null()));
        let mut lines = BufReader::new(process.0.stdout.take().unwrap()).lines();
        let mut variables = Vec::new();
        loop {
            let line = lines.next().expect("the emulator ended before it was ready").unwrap();
            if line == "# ready" {
                break;
            }
            if let Some((name, value)) = line.strip_prefix("export ").and_then(|line| line.split_once('=')) {
                variables.push((name.to_owned(), value.to_owned()));
            }
        }
        Self { _process: process, variables }
    }

    pub fn url(&self, org: &str) -> &str {
        let name = format!("{}_URL", org.to_uppercase());
        &self.variables.iter().find(|(known, _)| *known == name).unwrap().1
    }

    /// `orgbridge run` with a config that names the variables.
    pub fn run(&self, config: &Path) -> Command {
        let mut command = orgbridge();
        command.arg("run").arg("--config").arg(config).envs(self.variables.iter().cloned());
        command
    }

    pub async fn post(&self, http: &reqwest::Client, org: &str, path: &str, body: serde_json::Value) {
        let url = format!("{}/emulator/{path}", self.url(org));
        let answer = http.post(url).body(body.to_string()).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
    }

    pub async fn get(&self, http: &reqwest::Client, org: &str, path: &str) -> serde_json::Value {
        let url = format!("{}/emulator/{path}", self.url(org));
        serde_json::from_str(&http.get(url).send().await.unwrap().text().await.unwrap()).unwrap()
    }

    pub async fn delete(&self, http: &reqwest::Client, org: &str, path: &str) {
        let url = format!("{}/emulator/{path}", self.url(org));
        assert!(http.delete(url).send().await.unwrap().status().is_success());
    }
}
