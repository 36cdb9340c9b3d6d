//! `orgbridge map` and `orgbridge test` as people use them: what they print, and how they end. No org is there.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::{Value, json};

use crate::process::{Emulator, Process, orgbridge};

const CONFIG: &str = r#"version: 1
orgs:
  emea: { login_url: https://emea.my.salesforce.com, client_credentials: { key: "${NOBODY_SET_THIS}", secret: { file: nowhere } } }
  hq: { login_url: https://hq.my.salesforce.com, client_credentials: { key: k, secret: "${NOR_THIS}" } }
pipelines:
  - name: accounts
    from: { org: emea, channel: /data/AccountChangeEvent, object: Account }
    to: { org: hq, object: Account, key: Emea_Id__c }
    when: Type != "Test"
    fields:
      Emea_Id__c: Id
      Name: { cel: upper(Name) }
      Rating: { from: Rating, table: { Hot: A } }
  - name: contacts
    from: { org: emea, channel: /data/ContactChangeEvent, object: Contact }
    to: { org: hq, object: Contact, key: Emea_Id__c }
    fields: { Emea_Id__c: Id, LastName: Name.LastName }
"#;
const TESTS: &str = r#"tests:
  - name: A new account is written in capitals
    pipeline: accounts
    change: { kind: create, fields: { Name: Acme } }
    expect: { upsert: { Emea_Id__c: 001000000000001AAA, Name: ACME, Rating: null } }
"#;
const RECORD: &str = r#"{"Id": "001000000000001AAA", "Name": "Acme", "Type": "Customer", "Rating": "Hot"}"#;

/// A folder with a config, and perhaps its tests.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(config: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("bridge.yaml", config);
        folder
    }

    fn with_tests(tests: &str) -> Self {
        let folder = Self::new(CONFIG);
        folder.write("bridge.tests.yaml", tests);
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        // In one step, for somebody may be watching.
        let new = self.path("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.path(name)).unwrap();
    }

    fn run(&self, command: &str, arguments: &[&str], input: &str) -> Output {
        run(&self.path("bridge.yaml"), command, arguments, input)
    }
}

fn run(config: &Path, command: &str, arguments: &[&str], input: &str) -> Output {
    let mut child = orgbridge()
        .args([command, "--config"])
        .arg(config)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end without reading it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

const MAPPED: &str = "\
accounts: the record 001000000000001AAA: upsert of Account by Emea_Id__c
   Emea_Id__c  \"001000000000001AAA\"  from Id
   Name        \"ACME\"                cel: upper(Name)
   Rating      \"A\"                   table of Rating
";

#[test]
fn a_record_is_mapped_from_a_file_or_from_standard_input_and_needs_no_login() {
    let folder = Folder::new(CONFIG);
    folder.write("record.json", RECORD);
    let file = folder.path("record.json");
    for (arguments, input) in [
        (&["-p", "accounts", file.to_str().unwrap()][..], ""),
        (&["-p", "accounts"], RECORD),
        (&["-p", "accounts", "-"], RECORD),
    ] {
        let output = folder.run("map", arguments, input);
        assert_eq!((out(&output).as_str(), err(&output).as_str(), output.status.code()), (MAPPED, "", Some(0)));
    }
    assert!(!folder.path("bridge.db").exists(), "it leaves nothing behind");
}

#[test]
fn text_that_is_to_be_cut_to_the_fields_length_is_named_where_no_org_says_it() {
    let folder = Folder::new(&CONFIG.replace("{ cel: upper(Name) }", "{ cel: upper(Name), truncate: true }"));
    let output = folder.run("map", &["-p", "accounts"], RECORD);
    let expected = format!("{MAPPED}Not cut here, for only the target org says how long they are: Name\n");
    assert_eq!((out(&output), output.status.code()), (expected, Some(0)));
}

#[test]
fn a_record_that_would_fail_is_exit_code_1_and_one_that_is_left_out_is_0() {
    let folder = Folder::new(CONFIG);
    let output = folder.run("map", &["-p", "accounts"], &RECORD.replace("Hot", "Cold"));
    assert_eq!(
        (out(&output).as_str(), output.status.code()),
        (
            "accounts: the record 001000000000001AAA: a failure: NO_TABLE_ENTRY in Rating: the value of Rating is \
             not in the table\n",
            Some(1)
        )
    );
    let output = folder.run("map", &["-p", "accounts"], &RECORD.replace("Customer", "Test"));
    assert_eq!(
        (out(&output).as_str(), output.status.code()),
        ("accounts: the record 001000000000001AAA: nothing to do: it does not match `when`\n", Some(0))
    );
}

const LOOKUPS: &str = "      OwnerId: { from: OwnerId, as: owner }
      Seller__c: { find: Contact, by: Email, cel: '\"a@x.example\"', if_missing: fill_later }
";

#[test]
fn without_an_org_it_is_said_of_each_lookup_what_would_be_asked() {
    let folder = Folder::new(&CONFIG.replace("      Rating:", &format!("{LOOKUPS}      Rating:")));
    let record = RECORD.replacen('{', "{\"OwnerId\": \"005000000000001AAA\", ", 1);
    let output = folder.run("map", &["-p", "accounts"], &record);
    assert_eq!(
        (out(&output).as_str(), output.status.code()),
        (
            "\
accounts: the record 001000000000001AAA: an org must be asked: emea: User by Id; hq: Contact by Email
  With the answers of the orgs: orgbridge map --record 001000000000001AAA
   OwnerId    - (org emea must be asked: User by Id)      owner of OwnerId
   Seller__c  - (org hq must be asked: Contact by Email)  Contact found by Email = \"a@x.example\"
",
            Some(0)
        )
    );
    let output = folder.run("map", &["-p", "accounts", "--json"], &record);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&json["what"], &json["fields"][1]["why"]),
        (&json!("needs_answers"), &json!("org hq must be asked: Contact by Email"))
    );
}

#[test]
fn what_cannot_be_mapped_is_refused_with_the_place_and_without_its_values() {
    let folder = Folder::new(CONFIG);
    for (arguments, input, said) in [
        (&["-p", "accounts"][..], "{\"Id\": hunter2}", "standard input: it is not JSON: line 1, column 8"),
        (&["-p", "accounts"], "[\"hunter2\"]", "standard input: it is neither a change event"),
        (&["-p", "accounts"], "{\"Id\": \"hunter2\"}", "standard input: its Id is not a record id"),
        (&["-p", "account"], RECORD, "the config has no such pipeline; it has accounts, contacts"),
        (&[], RECORD, "which pipeline? Say it with --pipeline: accounts, contacts"),
        (&["-p", "accounts", "/no/such/file"], "", "/no/such/file cannot be read"),
        (
            &["-p", "accounts", "--record", "001000000000001AAA"],
            "",
            "the environment variable NOBODY_SET_THIS is not set",
        ),
    ] {
        let output = folder.run("map", arguments, input);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(err(&output).contains(said), "{arguments:?}: {}", err(&output));
        assert!(out(&output).is_empty() && !err(&output).contains("hunter2"), "{}", err(&output));
    }
    let broken = Folder::new(&CONFIG.replace("upper(Name)", "uper(Name)"));
    let output = broken.run("map", &["-p", "accounts"], RECORD);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("bridge.yaml:12:20") && err(&output).contains("`upper`"), "{}", err(&output));
}

#[test]
fn an_event_of_another_object_names_the_pipeline_that_reads_it() {
    let header = r#"{"entityName": "Contact", "recordIds": ["003000000000001AAA"], "changeType": "DELETE",
        "changeOrigin": "", "transactionKey": "t", "sequenceNumber": 1, "commitTimestamp": 1, "commitNumber": 1,
        "commitUser": "005000000000001AAA", "changedFields": []}"#;
    let output = Folder::new(CONFIG).run("map", &["-p", "accounts"], &format!("{{\"ChangeEventHeader\": {header}}}"));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        err(&output),
        "error: standard input: it is for --pipeline contacts: it is an event of Contact, and the pipeline reads Account\n"
    );
}

#[tokio::test]
async fn a_record_is_read_from_the_source_org() {
    orgbridge::org::install_crypto();
    let emulator = Emulator::start(&[]);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let variable = |name: &str| emulator.variables.iter().find(|(known, _)| known == name).unwrap().1.clone();
    let call = async |path: &str, token: &str, kind: &str, body: String| {
        let request = http.post(format!("{}/services/{path}", emulator.url("source"))).bearer_auth(token);
        let answer = request.header("Content-Type", kind).body(body).send().await.unwrap().text().await.unwrap();
        serde_json::from_str::<Value>(&answer).unwrap()
    };
    let login = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}",
        variable("SOURCE_KEY"),
        variable("SOURCE_SECRET")
    );
    let token = call("oauth2/token", "", "application/x-www-form-urlencoded", login).await;
    let token = token["access_token"].as_str().unwrap();
    let account = json!({"Name": "Acme", "Type": "Prospect", "Rating": "Hot"}).to_string();
    let made = call("data/v66.0/sobjects/Account", token, "application/json", account).await;
    let id = made["id"].as_str().unwrap();

    let org = |name: &str| {
        let upper = name.to_uppercase();
        format!(
            "{name}: {{ login_url: \"${{{upper}_URL}}\", client_credentials: {{ key: \"${{{upper}_KEY}}\", secret: \"${{{upper}_SECRET}}\" }} }}"
        )
    };
    let pipelines = CONFIG.split_once("pipelines:").unwrap().1.replace("emea", "source").replace("hq", "target");
    let config = format!("version: 1\norgs:\n  {}\n  {}\npipelines:{pipelines}", org("source"), org("target"));
    let folder = Folder::new(&config);
    let map = |id: &str| {
        let mut command = orgbridge();
        command.args(["map", "-p", "accounts", "--record", id, "--config"]).arg(folder.path("bridge.yaml"));
        command.envs(emulator.variables.iter().cloned()).output().unwrap()
    };
    let output = map(id);
    assert_eq!(
        (out(&output), output.status.code()),
        (MAPPED.replace("001000000000001AAA", id), Some(0)),
        "{}",
        err(&output)
    );
    let output = map("001000000000009");
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("org source shows no Account 001000000000009AAA"), "{}", err(&output));
    folder.write("bridge.yaml", &config.replace("      Rating:", &format!("{LOOKUPS}      Rating:")));
    let output = map(id);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let shown: Vec<String> =
        out(&output).lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let owner = shown.iter().find(|line| line.starts_with("OwnerId")).unwrap();
    assert!(owner.starts_with("OwnerId \"005") && owner.ends_with("owner of OwnerId"), "{shown:#?}");
    let seller = "Seller__c null (LOOKUP_MISSING: target has no Contact with this Email) Contact found by Email = \"a@x.example\"";
    assert!(shown.iter().any(|line| line == seller), "{shown:#?}");
    folder.write("bridge.yaml", &config.replace("upper(Name)", "upper(Nmae)"));
    let output = map(id);
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("Nmae") && err(&output).contains("INVALID_FIELD"), "{}", err(&output));
}

#[test]
fn a_script_gets_json_of_the_documented_shape() {
    let folder = Folder::new(CONFIG);
    let output = folder.run("map", &["-p", "accounts", "--json"], &RECORD.replace("\"Acme\"", "null"));
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        serde_json::from_slice::<Value>(&output.stdout).unwrap(),
        json!({
            "v": 1,
            "what": "upsert",
            "record": null,
            "text": "upsert of Account by Emea_Id__c",
            "read": true,
            "why_read": null,
            "fields": [
                {"field": "Emea_Id__c", "rule": "from Id", "written": true, "value": "001000000000001AAA", "why": null},
                {"field": "Name", "rule": "cel: upper(Name)", "written": true, "value": null, "why": null},
                {"field": "Rating", "rule": "table of Rating", "written": true, "value": "A", "why": null},
            ],
        })
    );
}

#[test]
fn tests_that_are_as_expected_are_exit_code_0() {
    let output = Folder::with_tests(TESTS).run("test", &[], "");
    assert_eq!(
        (out(&output).as_str(), err(&output).as_str(), output.status.code()),
        ("ok   accounts: A new account is written in capitals\n1 of 1 tests are as expected\n", "", Some(0))
    );
}

#[test]
fn a_test_that_fails_says_where_it_stands_and_what_differs() {
    let more = "  - name: One that changes is an update
    pipeline: accounts
    change: { kind: update, fields: { Name: Acme } }
    expect: { update: { Name: ACME } }
";
    let folder = Folder::with_tests(&format!("{}{more}", TESTS.replace("Name: ACME", "Name: Acme")));
    let output = folder.run("test", &[], "");
    let file = folder.path("bridge.tests.yaml");
    let file = file.display();
    let expected = format!(
        "\
FAIL accounts: A new account is written in capitals
       {file}:2
       Name: expected \"Acme\", got \"ACME\"
       it would be the upsert of Account by Emea_Id__c
FAIL accounts: One that changes is an update
       {file}:6
       expected an update, got: the record must be read: the change alone does not say enough
       the change does not say Type: give the test a `record:` with the whole record
0 of 2 tests are as expected
"
    );
    assert_eq!((out(&output), err(&output).as_str(), output.status.code()), (expected, "", Some(1)));
}

#[test]
fn a_config_without_tests_or_with_broken_ones_is_exit_code_1() {
    let output = Folder::new(CONFIG).run("test", &[], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        err(&output).contains("There are no tests") && err(&output).contains("bridge.tests.yaml"),
        "{}",
        err(&output)
    );
    let output = Folder::with_tests(&TESTS.replace("expect:", "expects:")).run("test", &[], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("bridge.tests.yaml:5:5"), "{}", err(&output));
    assert!(err(&output).contains("did you mean `expect`?"), "{}", err(&output));
}

#[test]
fn watching_runs_the_tests_again_after_a_change_of_either_file_until_ctrl_c() {
    let folder = Folder::with_tests(TESTS);
    let mut command = orgbridge();
    command.args(["test", "--watch", "--config"]).arg(folder.path("bridge.yaml"));
    let mut watching = Process::start(command.stdout(Stdio::piped()).stderr(Stdio::null()));
    let mut lines = BufReader::new(watching.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut sum = || lines.by_ref().find(|line| line.ends_with("as expected"));
    assert_eq!(sum().as_deref(), Some("1 of 1 tests are as expected"));
    folder.write("bridge.tests.yaml", &TESTS.replace("ACME", "Acme"));
    assert_eq!(sum().as_deref(), Some("0 of 1 tests are as expected"));
    folder.write("bridge.yaml", &CONFIG.replace("{ cel: upper(Name) }", "Name"));
    assert_eq!(sum().as_deref(), Some("1 of 1 tests are as expected"));
    watching.signal("INT");
    assert_eq!(watching.0.wait().unwrap().code(), Some(0), "as the last run ended");
    assert_eq!(sum(), None);
}

/// What the manual shows is what comes.
#[test]
fn the_cookbook_shows_what_map_prints() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/mapping.md")).unwrap();
    let mut shown = 0;
    for part in page.split("```json event ").skip(1) {
        let (words, rest) = part.split_once('\n').unwrap();
        let (config, pipeline) = words.split_once(' ').unwrap();
        let (event, rest) = rest.split_once("```\n").unwrap();
        let rest = rest.split_once("```text output\n").unwrap().1;
        let (text, _) = rest.split_once("```\n").unwrap();
        let output = run(&root.join("config").join(config), "map", &["-p", pipeline], event);
        assert_eq!(out(&output), text, "{words}: {}", err(&output));
        shown += 1;
    }
    assert_eq!(shown, 2);
}
