//! The binary as people use it: what it prints, and how it ends.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use crate::process::{Emulator, Process, orgbridge};

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/demo.yaml");

fn demo_config(folder: &Path) -> PathBuf {
    let config = folder.join("demo.yaml");
    std::fs::copy(DEMO, &config).unwrap();
    config
}

fn shown(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A running bridge that has said so.
fn running(emulator: &Emulator, config: &Path) -> Process {
    let mut bridge = Process::start(emulator.run(config).stderr(Stdio::piped()));
    let mut lines = BufReader::new(bridge.0.stderr.take().unwrap()).lines();
    let subscribed = lines.by_ref().map(Result::unwrap).filter(|line| line.contains("state=live")).take(2).count();
    assert_eq!(subscribed, 2, "it ended before it was subscribed");
    // Somebody must read on, or the bridge would be held by a full pipe.
    std::thread::spawn(move || lines.for_each(drop));
    bridge
}

#[test]
fn the_demo_ends_by_itself_with_plain_lines_and_two_equal_orgs() {
    let output = orgbridge().args(["demo", "--for", "5s", "--rate", "100"]).output().unwrap();
    let text = shown(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("equal: "), "{text}");
    assert!(text.contains("accounts: received "), "{text}");
    assert!(!text.contains('\x1b'), "no terminal, no escapes");
}

#[test]
fn a_second_process_on_the_same_state_is_refused_and_told_who_owns_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = demo_config(folder.path());
    let emulator = Emulator::start(&["--connect-hold", "2s", "--pubsub-keepalive", "1s"]);
    let mut first = running(&emulator, &config);
    let second = emulator.run(&config).output().unwrap();
    let text = shown(&second);
    assert!(!second.status.success(), "{text}");
    assert!(text.contains(&format!("process {}", first.0.id())), "{text}");
    assert!(first.terminate().success(), "SIGTERM ends it in order");
    // And now it is free.
    let listed =
        orgbridge().args(["pipeline", "--config"]).arg(&config).arg("list").envs(emulator.variables).output().unwrap();
    let text = shown(&listed);
    assert!(listed.status.success() && text.contains("accounts") && text.contains("contacts"), "{text}");
}

#[tokio::test]
async fn a_subscription_that_was_away_for_two_days_is_warned_of_in_the_log() {
    use orgbridge::event::Timestamp;
    use orgbridge::store::{Sqlite, Store};

    let folder = tempfile::tempdir().unwrap();
    let config = demo_config(folder.path());
    let emulator = Emulator::start(&["--connect-hold", "2s", "--pubsub-keepalive", "1s"]);
    let store = Sqlite::open(&folder.path().join("demo.db")).unwrap();
    let accounts = "/data/AccountChangeEvent".parse().unwrap();
    let id = store.subscription(&"source".parse().unwrap(), &accounts).await.unwrap().id;
    let away = std::time::Duration::from_secs(50 * 3_600);
    store.start(id, Timestamp::now().minus(away)).await.unwrap();
    drop(store);

    let mut bridge = Process::start(emulator.run(&config).stderr(Stdio::piped()));
    let stderr = bridge.0.stderr.take().unwrap();
    let (sender, mut warnings) = tokio::sync::mpsc::unbounded_channel();
    // Reads on to the end, or the bridge would be held by a full pipe.
    std::thread::spawn(move || {
        let lines = BufReader::new(stderr).lines().map_while(Result::ok);
        lines.filter(|line| line.contains("was live last at")).for_each(|line| drop(sender.send(line)));
    });
    let warning = tokio::time::timeout(crate::support::PATIENCE, warnings.recv()).await.unwrap().unwrap();
    assert!(warning.contains("WARN") && warning.contains("hours_left=22"), "{warning}");
    assert!(warning.contains("org=source") && warning.contains("channel=/data/AccountChangeEvent"), "{warning}");
    assert!(bridge.terminate().success());
    assert_eq!(warnings.recv().await, None, "of contacts there is nothing to say");
}

#[test]
fn ctrl_c_stops_in_order_and_a_second_one_leaves_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let config = demo_config(folder.path());
    let emulator = Emulator::start(&["--connect-hold", "2s", "--pubsub-keepalive", "1s"]);
    let mut bridge = running(&emulator, &config);
    bridge.signal("INT");
    assert!(bridge.0.wait().unwrap().success());

    let mut bridge = running(&emulator, &config);
    // Both before it can have stopped: whichever way it ends, it must not hang, and the second must not be swallowed.
    bridge.signal("INT");
    bridge.signal("INT");
    let status = bridge.0.wait().unwrap();
    assert!(status.success() || status.code() == Some(130), "{status}");
}

#[test]
fn a_changed_pipeline_is_refused_until_it_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let config = demo_config(folder.path());
    let emulator = Emulator::start(&["--connect-hold", "2s", "--pubsub-keepalive", "1s"]);
    assert!(running(&emulator, &config).terminate().success());
    let text = std::fs::read_to_string(&config).unwrap();
    let changed = text.replace("object: Account, key: Source_Id__c", "object: Account, key: Emea_Id__c");
    let changed = changed.replacen("Source_Id__c: Id", "Emea_Id__c: Id", 1);
    assert_ne!(text, changed);
    std::fs::write(&config, changed).unwrap();

    let refused = emulator.run(&config).output().unwrap();
    let text = shown(&refused);
    assert!(!refused.status.success(), "{text}");
    assert!(text.contains("orgbridge pipeline forget accounts"), "{text}");

    let forget = |name: &str| {
        let mut command = orgbridge();
        command.args(["pipeline", "--config"]).arg(&config).args(["forget", name]);
        command.envs(emulator.variables.iter().cloned()).output().unwrap()
    };
    assert!(forget("accounts").status.success());
    assert!(!forget("nobody").status.success());
    assert!(running(&emulator, &config).terminate().success());
}

#[test]
fn a_bad_config_is_refused_with_every_place_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bridge.yaml");
    let text = std::fs::read_to_string(DEMO).unwrap();
    let text =
        text.replacen("object: Account }", "object: Acount }", 1).replacen("on_delete: delete", "on_delte: delete", 1);
    std::fs::write(&path, text).unwrap();
    let output = orgbridge().args(["check", "--offline", "--config"]).arg(&path).output().unwrap();
    let text = shown(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("on_delte") && text.contains("on_delete"), "{text}");
    assert!(text.contains("SOURCE_URL"), "{text}");
    assert!(text.contains("bridge.yaml:"), "{text}");
}

#[test]
fn help_of_the_emulator_explains_its_faults() {
    let output = orgbridge().args(["emulator", "--help"]).output().unwrap();
    assert!(shown(&output).contains("do_then_fail"));
}

#[test]
fn a_scenario_with_a_mistake_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("orgs.yaml");
    std::fs::write(&file, "triggers:\n  - { name: T, object: Account, when: Foo = 1 }\n").unwrap();
    let output = orgbridge().args(["emulator", "--scenario"]).arg(&file).output().unwrap();
    let text = shown(&output);
    assert!(!output.status.success(), "{text}");
    assert!(text.contains("orgs.yaml:2: T: `when`: Account has no field Foo"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_org_behind_a_login_is_accepted_by_a_person_whether_a_bridge_runs_or_not() {
    orgbridge::org::install_crypto();
    let folder = tempfile::tempdir().unwrap();
    let config = demo_config(folder.path());
    let emulator = Emulator::start(&["--connect-hold", "2s", "--pubsub-keepalive", "1s"]);
    let org = |arguments: &[&str]| {
        let mut command = orgbridge();
        command.args(["org", "--config"]).arg(&config).args(arguments).envs(emulator.variables.iter().cloned());
        command.stdin(Stdio::null()).output().unwrap()
    };
    let mut bridge = running(&emulator, &config);
    let same = org(&["accept-new", "source", "--yes"]);
    assert!(same.status.success() && shown(&same).contains("same org as before"), "{}", shown(&same));
    // A running bridge goes on with the new one by itself.
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    emulator.post(&http, "source", "refresh", serde_json::json!({})).await;
    let status = || {
        let mut command = orgbridge();
        command.args(["status", "--json", "--config"]).arg(&config).envs(emulator.variables.iter().cloned());
        serde_json::from_slice::<serde_json::Value>(&command.output().unwrap().stdout).unwrap()
    };
    crate::state::until("another org", async || !status()["orgs"][0]["other_org_id"].is_null()).await;
    let accepted = org(&["accept-new", "source", "--yes"]);
    assert!(accepted.status.success() && shown(&accepted).contains("goes on with it"), "{}", shown(&accepted));
    crate::state::until("live subscriptions of it", async || {
        let status = status();
        let live = |one: &serde_json::Value| one["state"] == "live";
        status["orgs"][0]["other_org_id"].is_null() && status["subscriptions"].as_array().unwrap().iter().any(live)
    })
    .await;
    assert!(status()["gaps"].as_array().unwrap().iter().any(|gap| gap["kind"] == "other_org"), "{:#}", status());
    assert!(bridge.terminate().success());

    let same = org(&["accept-new", "target", "--yes"]);
    assert!(same.status.success() && shown(&same).contains("nothing to do"), "{}", shown(&same));
    let before = shown(&org(&["list"]));
    emulator.post(&http, "target", "refresh", serde_json::json!({})).await;
    let unasked = org(&["accept-new", "target"]);
    assert!(!unasked.status.success() && shown(&unasked).contains("--yes"), "{}", shown(&unasked));
    assert_eq!(shown(&org(&["list"])), before, "nothing was changed");
    let accepted = org(&["accept-new", "target", "--yes"]);
    assert!(accepted.status.success(), "{}", shown(&accepted));
    let after = shown(&org(&["list"]));
    assert_ne!(after, before);
    assert!(!after.contains("secret") && !shown(&accepted).contains("secret"));
    assert!(org(&["accept-new", "target"]).status.success(), "it is the same org now");
}

#[test]
fn the_status_comes_from_the_running_bridge_by_a_socket_of_its_owner_and_else_from_the_state_file() {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixStream;

    let folder = tempfile::tempdir().unwrap();
    let config = demo_config(folder.path());
    let emulator = Emulator::start(&["--connect-hold", "2s", "--pubsub-keepalive", "1s"]);
    let mut bridge = running(&emulator, &config);
    let status = |arguments: &[&str]| {
        let mut command = orgbridge();
        command.args(["status", "--config"]).arg(&config).args(arguments);
        command.envs(emulator.variables.iter().cloned()).output().unwrap()
    };
    let json = |output: &Output| serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap();

    let output = status(&["--json"]);
    let report = json(&output);
    assert!(output.status.success(), "{report:#}");
    assert_eq!((&report["v"], &report["running"]), (&serde_json::json!(1), &serde_json::json!(true)));
    let subscriptions = report["subscriptions"].as_array().unwrap();
    assert_eq!(subscriptions.len(), 2);
    assert!(subscriptions.iter().all(|one| one["state"] == "live" && one["transport"] == "pubsub"), "{report:#}");
    let text = shown(&status(&[]));
    assert!(text.contains("/data/AccountChangeEvent") && text.contains("live") && text.contains("accounts"), "{text}");

    let mut command = orgbridge();
    command.args(["status", "--watch", "--config"]).arg(&config).envs(emulator.variables.iter().cloned());
    let mut watching = Process::start(command.stdout(Stdio::piped()));
    let mut lines = BufReader::new(watching.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let looks = lines.by_ref().filter(|line| line.contains("The bridge is running")).take(2).count();
    assert_eq!(looks, 2, "it ended by itself");
    watching.signal("INT");
    assert!(lines.all(|line| !line.contains('\x1b')), "no terminal, no escapes");
    assert!(watching.0.wait().unwrap().success(), "Ctrl-C is how it ends");

    let socket = folder.path().join("demo.db.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    // A client that says nothing keeps nobody waiting, and nonsense is answered.
    let _silent = UnixStream::connect(&socket).unwrap();
    for (nonsense, expected) in [("hello\n", "no request"), ("{\"v\":2,\"request\":\"status\"}\n", "version 1")] {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(nonsense.as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        assert!(answer.contains("error") && answer.contains(expected), "{answer}");
    }

    assert!(bridge.terminate().success());
    assert!(!socket.exists(), "it goes with the bridge");
    let report = json(&status(&["--json"]));
    assert_eq!(report["running"], false);
    assert!(shown(&status(&[])).contains("not running"));
    let secrets = report.to_string();
    for (name, value) in emulator.variables.iter().filter(|(name, _)| name.ends_with("_SECRET")) {
        assert!(!secrets.contains(value), "{name}");
    }
}
