//! Whole configs: good ones and what they mean, bad ones and what is said about them.

mod actions;
mod broken;
mod cookbook;
mod shown;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::*;

pub(super) const GOOD: &str = "\
version: 1
orgs:
  emea:
    login_url: https://acme.my.salesforce.com
    client_credentials:
      key: ${EMEA_KEY}
      secret: ${EMEA_SECRET}
  hq:
    login_url: https://hq.my.salesforce.com
    client_credentials: { key: consumer, secret: { file: hq.secret } }
pipelines:
  - name: accounts
    from: { org: emea, channel: /data/AccountChangeEvent, object: Account, start: tip }
    to: { org: hq, object: Account, key: Emea_Id__c }
    fields:
      Emea_Id__c: Id
      Name: Name
      Region__c: { value: EMEA }
      ParentId: { parent: accounts, from: ParentId }
    on_delete: ignore
  - name: contacts
    from: { org: emea, channel: /data/ChangeEvents, object: Contact }
    to: { org: hq, object: Contact, key: Emea_Id__c }
    fields: { Emea_Id__c: Id, LastName: Name.LastName }
";

pub(super) fn variable(name: &str) -> Option<String> {
    match name {
        "EMEA_KEY" => Some("3MVG9".to_owned()),
        "EMEA_SECRET" => Some("hunter2".to_owned()),
        "EMPTY" => Some(String::new()),
        "BAD_URL" => Some("https://leaky.lightning.force.com".to_owned()),
        _ => None,
    }
}

pub(super) fn file(path: &Path) -> io::Result<String> {
    match path.to_str() {
        Some("etc/hq.secret") => Ok("from a file\r\n".to_owned()),
        Some("etc/long.secret") => Ok("sixteen bytes and more\n".to_owned()),
        Some("etc/two-lines") => Ok("a\n\n".to_owned()),
        Some("etc/blank") => Ok("\n".to_owned()),
        Some("/run/secrets/hq") => Ok("mounted".to_owned()),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

pub(super) fn read(text: &str) -> Result<Config, ConfigProblems> {
    parse(text, Path::new("etc/bridge.yaml"), &variable, &file)
}

/// `GOOD` with one piece replaced, which must be there.
pub(super) fn with(piece: &str, other: &str) -> String {
    assert!(GOOD.contains(piece), "{piece}");
    GOOD.replacen(piece, other, 1)
}

fn good(text: &str) -> Config {
    read(text).unwrap_or_else(|problems| panic!("{problems}"))
}

fn secret_of(config: &Config, org: &str) -> String {
    let Login::ClientCredentials { secret, .. } = &config.orgs[&org.parse().unwrap()].login;
    secret.expose_secret().to_owned()
}

/// The rule of the third field of the first pipeline.
fn constant(written: &str) -> Fill {
    good(&with("{ value: EMEA }", &format!("{{ value: {written} }}"))).pipelines[0].fields[2].1.fill.clone()
}

#[test]
fn a_config_means_what_it_says() {
    let config = good(GOOD);
    assert_eq!(config.state, Path::new("etc/bridge.db"));
    assert_eq!(config.late_landing, Duration::from_secs(600));
    let emea = &config.orgs[&"emea".parse().unwrap()];
    assert_eq!(emea.login_url.as_str(), "https://acme.my.salesforce.com/");
    assert_eq!((emea.client_name.as_str(), emea.api_version.as_str()), ("OrgBridge", "66.0"));
    let Login::ClientCredentials { key, .. } = &emea.login;
    assert_eq!(key, "3MVG9");
    assert_eq!(secret_of(&config, "emea"), "hunter2");
    assert_eq!(secret_of(&config, "hq"), "from a file");

    let [accounts, contacts] = &config.pipelines[..] else { panic!("{:?}", config.pipelines) };
    assert_eq!(accounts.from.channel.as_str(), "/data/AccountChangeEvent");
    assert_eq!((accounts.from.start, accounts.on_delete), (Start::Tip, OnDelete::Ignore));
    let rules: Vec<_> = accounts.fields.iter().map(|(target, rule)| (target.as_str(), rule.fill.clone())).collect();
    assert_eq!(
        rules,
        [
            ("Emea_Id__c", Fill::Source("Id".parse().unwrap())),
            ("Name", Fill::Source("Name".parse().unwrap())),
            ("Region__c", Fill::Constant(Value::text("EMEA"))),
            (
                "ParentId",
                Fill::Parent { pipelines: vec!["accounts".parse().unwrap()], from: "ParentId".parse().unwrap() }
            ),
        ]
    );
    assert_eq!(contacts.fields[1].1.fill, Fill::Source("Name.LastName".parse().unwrap()));
}

#[test]
fn what_is_kept_of_the_api_calls_is_a_share_or_a_number_or_nothing_is_counted() {
    let kept = |written: &str| {
        let config = good(&with("  hq:\n", &format!("    api_budget: {written}\n  hq:\n")));
        let budgets: Vec<_> = ["emea", "hq"].map(|org| config.orgs[&org.parse().unwrap()].api_budget).into();
        assert_eq!(budgets[1], ApiBudget::Percent(10), "absent");
        budgets[0]
    };
    assert_eq!(kept("{ keep: 20% }"), ApiBudget::Percent(20));
    assert_eq!(kept("{ keep: 5000 }"), ApiBudget::Calls(5_000));
    assert_eq!(kept("off"), ApiBudget::Off);
    let of = |budget: ApiBudget| budget.kept(1_001);
    assert_eq!(of(ApiBudget::Percent(10)), Some(101), "rounded up");
    assert_eq!(
        (of(ApiBudget::Calls(5_000)), of(ApiBudget::Calls(7)), of(ApiBudget::Off)),
        (Some(1_001), Some(7), None)
    );
}

#[test]
fn privacy_is_of_an_org_and_an_object() {
    let privacy = "
    privacy:
      hash_secret: { file: long.secret }
      objects:
        Contact: { leave_out: [SSN__c], hash: [Email], mask: [MailingAddress.Street] }
        Order__e: { mask: [Name__c] }
  hq:
";
    let config = good(&with("  hq:\n", privacy.trim_start_matches('\n')));
    let privacy = &config.orgs[&"emea".parse().unwrap()].privacy;
    let rules: Vec<_> =
        privacy.rules().iter().map(|rule| format!("{} {} {}", rule.object, rule.treatment, rule.field)).collect();
    assert_eq!(
        rules,
        [
            "Contact leave_out SSN__c",
            "Contact hash Email",
            "Contact mask MailingAddress.Street",
            "Order__e mask Name__c"
        ]
    );
    assert_eq!(privacy.hash_key(), Some(b"sixteen bytes and more".as_slice()));
    assert!(!format!("{config:?}").contains("sixteen"), "a secret in a Debug");
    assert!(config.orgs[&"hq".parse().unwrap()].privacy.rules().is_empty());
}

#[test]
fn optional_keys_are_taken() {
    let config = good(&with("orgs:\n", "state: /var/lib/b.db\npublish: { late_landing: 500ms, linger: 2s }\norgs:\n"));
    assert_eq!(config.state, Path::new("/var/lib/b.db"));
    assert_eq!((config.late_landing, config.linger), (Duration::from_millis(500), Duration::from_secs(2)));
    for (written, from) in [("{}", Some(5_000)), ("{ bulk_from: 2000 }", Some(2_000)), ("{ bulk_from: off }", None)] {
        let publish = format!("publish: {written}\norgs:\n");
        assert_eq!(good(&with("orgs:\n", &publish)).bulk_from, from, "{written}");
    }
    for (written, days) in [("{}", 30), ("{ retain: {} }", 30), ("{ retain: { age: 90d } }", 90)] {
        let history = format!("history: {written}\norgs:\n");
        let age = good(&with("orgs:\n", &history)).history_age;
        assert_eq!(age, Duration::from_secs(days * 24 * 3_600), "{written}");
    }
    assert_eq!(good(&with("orgs:\n", "state: data/b.db\norgs:\n")).state, Path::new("etc/data/b.db"));
    let org = "  hq:\n    client_name: Bridge-2\n    api_version: 60.0\n    transport: cometd\n    pubsub: germany\n    journal: [/event/A__e]\n";
    let config = good(&with("  hq:\n", org));
    let hq = &config.orgs[&"hq".parse().unwrap()];
    assert_eq!((hq.client_name.as_str(), hq.api_version.as_str()), ("Bridge-2", "60.0"));
    assert_eq!(good(&with("start: tip", "start: earliest")).pipelines[0].from.start, Start::Earliest);
    assert_eq!(good(&with("on_delete: ignore", "on_delete: delete")).pipelines[0].on_delete, OnDelete::Delete);
}

#[test]
fn the_journal_is_kept_for_thirty_days_unless_it_is_said_otherwise() {
    let kept = |journal: &str| {
        let Retain { age, size } = good(&with("orgs:\n", &format!("{journal}orgs:\n"))).journal_retain;
        (age.map(|age| age.as_secs() / 86_400), size)
    };
    for (journal, expected) in [
        ("", (Some(30), None)),
        ("journal: {}\n", (Some(30), None)),
        ("journal: { retain: {} }\n", (Some(30), None)),
        ("journal: { retain: { age: 4d, size: 2GB } }\n", (Some(4), Some(2_000_000_000))),
        ("journal: { retain: { age: forever, size: unlimited } }\n", (None, None)),
    ] {
        assert_eq!(kept(journal), expected, "{journal}");
    }
}

#[test]
fn an_emulator_on_this_machine_may_speak_plain_http() {
    for url in ["http://127.0.0.1:8081", "http://localhost:1", "http://[::1]:80/", "http://source.localhost:9"] {
        good(&with("https://acme.my.salesforce.com", url));
    }
}

#[test]
fn variables_are_put_into_values_and_bring_no_yaml() {
    let env = |name: &str| (name == "X").then(|| "a\", b: [c".to_owned());
    let text = with("{ value: EMEA }", "{ value: 'x${X}$${X}' }").replace("${EMEA_", "${X}${X");
    let text = text.replace("${XKEY}", "").replace("${XSECRET}", "");
    let config = parse(&text, Path::new("etc/b.yaml"), &env, &file).unwrap();
    assert_eq!(config.pipelines[0].fields[2].1.fill, Fill::Constant(Value::text("xa\", b: [c${X}")));
}

#[test]
fn constants_have_the_type_that_they_are_written_with() {
    let number = |text: &str| Fill::Constant(Value::Number(text.parse().unwrap()));
    let text = |text: &str| Fill::Constant(Value::text(text));
    for (written, rule) in [
        ("true", Fill::Constant(Value::Bool(true))),
        ("FALSE", Fill::Constant(Value::Bool(false))),
        ("null", Fill::Constant(Value::Null)),
        ("~", Fill::Constant(Value::Null)),
        ("12345678901234567.89", number("12345678901234567.89")),
        ("-0.5", number("-0.5")),
        ("1e3", number("1000")),
        ("NO", text("NO")),
        ("yes", text("yes")),
        ("\"0042\"", text("0042")),
        ("'true'", text("true")),
        ("\"\"", text("")),
        ("!!str 7", text("7")),
        ("2026-11-23", text("2026-11-23")),
        ("01.02.2026", text("01.02.2026")),
        ("\"${EMEA_KEY}\"", text("3MVG9")),
    ] {
        assert_eq!(constant(written), rule, "{written}");
    }
}

#[test]
fn a_field_says_what_becomes_of_its_value() {
    let rule = |written: &str| good(&with("{ value: EMEA }", written)).pipelines[0].fields[2].1.clone();
    let source = |path: &str| Fill::Source(path.parse().unwrap());
    assert_eq!(rule("{ from: Industry }"), source("Industry").into());
    assert_eq!(
        rule("{ from: Industry, write_on: create, on_null: skip, truncate: 80 }"),
        FieldRule {
            fill: source("Industry"),
            write_on: WriteOn::Create,
            on_null: OnNull::Skip,
            truncate: Some(Truncate::To(80)),
            if_missing: None
        }
    );
    assert_eq!(rule("{ from: Industry, truncate: true }").truncate, Some(Truncate::Field));
    assert_eq!(rule("{ from: Industry, write_on: [create, update] }").write_on, WriteOn::Both);
    assert_eq!(rule("{ value: 7, write_on: [update] }").write_on, WriteOn::Update);
    let instead = OnNull::Value(Value::Number("0".parse().unwrap()));
    assert_eq!(rule("{ from: Size__c, on_null: { value: 0 } }").on_null, instead);
    assert_eq!(rule("{ from: Size__c, on_null: send }").on_null, OnNull::Send);
    let entries = [("Bank".to_owned(), Value::text("Finance")), ("true".to_owned(), Value::Null)].into();
    let table = Fill::Table { from: "Industry".parse().unwrap(), entries, default: Some(Value::text("Other")) };
    assert_eq!(rule("{ from: Industry, table: { Bank: Finance, true: null }, default: Other }").fill, table);
    let Fill::Expression(computed) = rule("{ cel: 'upper(Name)' }").fill else { panic!() };
    assert_eq!(computed.source(), "upper(Name)");
}

#[test]
fn a_lookup_says_what_is_found_and_what_happens_where_nothing_is() {
    let rule = |written: &str| good(&with("{ value: EMEA }", written)).pipelines[0].fields[2].1.clone();
    let path = |path: &str| -> FieldPath { path.parse().unwrap() };
    let parents = rule("{ parent: [accounts, contacts], from: WhatId, if_missing: fill_later, write_on: update }");
    let pipelines = ["accounts", "contacts"].map(|name| name.parse().unwrap()).to_vec();
    assert_eq!(parents.fill, Fill::Parent { pipelines, from: path("WhatId") });
    assert_eq!((parents.if_missing, parents.write_on), (Some(IfMissing::FillLater), WriteOn::Update));
    let find = |value| Fill::Find { object: "Contact".parse().unwrap(), by: "Email".parse().unwrap(), value };
    let found = rule("{ find: Contact, by: Email, from: Email__c, on_null: skip, if_missing: skip }");
    assert_eq!(found.fill, find(Sought::Field(path("Email__c"))));
    assert_eq!((found.on_null, found.if_missing), (OnNull::Skip, Some(IfMissing::Skip)));
    let computed = rule("{ find: Contact, by: Email, cel: lower(Email__c), if_missing: wait }");
    assert_eq!(computed.fill.expression().map(Expression::source), Some("lower(Email__c)"));
    assert_eq!(computed.if_missing, Some(IfMissing::Wait));
    assert_eq!(rule("{ record_type: Partner }").fill, Fill::RecordType("Partner".to_owned()));
    let table = [("Customer".to_owned(), "Client".to_owned())].into();
    let default = Some("Client".to_owned());
    assert_eq!(
        rule("{ from: RecordTypeId, as: record_type, table: { Customer: Client }, default: Client }").fill,
        Fill::RecordTypeOf { from: path("RecordTypeId"), table, default }
    );
    let (user, queue) = (|name: &str| OwnerName::User(name.to_owned()), |name: &str| OwnerName::Queue(name.to_owned()));
    assert_eq!(rule("{ owner: Tier_2 }").fill, Fill::Owner(queue("Tier_2")));
    assert_eq!(rule("{ owner: ada@hq.example }").fill, Fill::Owner(user("ada@hq.example")));
    let owner = |by, table: &[(&str, OwnerName)], fallback| {
        let table = table.iter().map(|(name, other)| ((*name).to_owned(), other.clone())).collect();
        Fill::OwnerOf { from: path("OwnerId"), by, table, fallback }
    };
    assert_eq!(rule("{ from: OwnerId, as: owner }").fill, owner(OwnerKey::FederationId, &[], None));
    let table = [("a@emea.example", user("a@hq.example")), ("Tier_1", queue("Support"))];
    assert_eq!(
        rule(
            "{ from: OwnerId, as: owner, match: email, table: { a@emea.example: a@hq.example, Tier_1: Support }, \
              fallback: b@hq.example }"
        )
        .fill,
        owner(OwnerKey::Email, &table, Some(user("b@hq.example")))
    );
}

#[test]
fn a_pipeline_says_which_records_it_writes_and_what_becomes_of_others() {
    let pipeline = |keys: &str| good(&with("    on_delete: ignore\n", keys)).pipelines[0].clone();
    let plain = pipeline("");
    assert_eq!((plain.when, plain.flag), (None, None));
    assert_eq!((plain.when_no_longer_matching, plain.on_delete), (NoLongerMatching::Keep, OnDelete::Ignore));
    let filtered = pipeline("    when: Industry != \"Test\"\n    when_no_longer_matching: delete\n");
    assert_eq!(filtered.when.unwrap().source(), "Industry != \"Test\"");
    assert_eq!(filtered.when_no_longer_matching, NoLongerMatching::Delete);
    let flag = |set, clear| Flag { field: "Gone__c".parse().unwrap(), set, clear };
    let flagged = pipeline("    flag: Gone__c\n");
    assert_eq!(flagged.flag, Some(flag(Value::Bool(true), Value::Bool(false))));
    assert_eq!(flagged.on_delete, OnDelete::Flag, "a flag is there to be set");
    let words = pipeline("    flag: { field: Gone__c, set: Former }\n    on_delete: ignore\n");
    assert_eq!((words.flag, words.on_delete), (Some(flag(Value::text("Former"), Value::Null)), OnDelete::Ignore));
}

#[test]
fn a_pipeline_says_how_its_records_get_into_the_target() {
    let publishing = |keys: &str| good(&with("    on_delete: ignore\n", keys)).pipelines[0].publishing.clone();
    let usual = publishing("");
    assert_eq!(usual, Publishing::default());
    assert_eq!(usual.options.assignment_rules, AssignmentRules::Off, "a replica keeps the owner that it is given");
    assert!(usual.coalesce);
    let rules = |written: &str| publishing(&format!("    assignment_rules: {written}\n")).options.assignment_rules;
    let rule = "01Q000000000001EAA".parse().unwrap();
    assert_eq!(
        ["true", "false", "01Q000000000001EAA", "01Q000000000001"].map(rules),
        [AssignmentRules::Active, AssignmentRules::Off, AssignmentRules::Rule(rule), AssignmentRules::Rule(rule)]
    );
    let duplicates = |written: &str| publishing(&format!("    duplicates: {written}\n")).options.duplicates;
    assert_eq!(["fail", "save_alerts"].map(duplicates), [Duplicates::Fail, Duplicates::SaveAlerts]);
    let gone = |written: &str| publishing(&format!("    when_target_gone: {written}\n")).when_target_gone;
    assert_eq!(
        ["recreate", "skip", "fail"].map(gone),
        [WhenTargetGone::Recreate, WhenTargetGone::Skip, WhenTargetGone::Fail]
    );
    let may = |written: &str| publishing(&format!("    on_delete: delete\n{written}")).may_delete;
    assert_eq!(
        ["", "    may_delete: created\n", "    may_delete: any\n"].map(may),
        [MayDelete::Created, MayDelete::Created, MayDelete::Any]
    );
    let undelete = |written: &str| publishing(&format!("    on_undelete: {written}\n")).on_undelete;
    assert_eq!(
        ["recreate", "restore", "ignore"].map(undelete),
        [OnUndelete::Recreate, OnUndelete::Restore, OnUndelete::Ignore]
    );
    let rekeyed = |written: &str| publishing(&format!("    key_changes: {written}\n")).key_changes;
    assert_eq!(["update", "halt"].map(rekeyed), [KeyChanges::Update, KeyChanges::Halt]);
    assert!(!publishing("    coalesce: false\n").coalesce);
}

#[test]
fn an_alias_stands_for_what_its_anchor_names() {
    let text = with("on_delete: ignore", "on_delete: &mode delete");
    let config = good(&format!("{text}    on_delete: *mode\n"));
    assert!(config.pipelines.iter().all(|pipeline| pipeline.on_delete == OnDelete::Delete));
}

#[test]
fn a_secret_file_loses_one_line_break_and_nothing_else() {
    for (path, secret) in [("hq.secret", "from a file"), ("two-lines", "a\n"), ("/run/secrets/hq", "mounted")] {
        assert_eq!(secret_of(&good(&with("file: hq.secret", &format!("file: {path}"))), "hq"), secret);
    }
}

#[test]
fn two_pipelines_may_write_their_own_fields_of_one_record() {
    let second = "
  - name: accounts-phone
    from: { org: emea, channel: /data/AccountChangeEvent, object: Account }
    to: { org: hq, object: Account, key: Emea_Id__c }
    fields: { Emea_Id__c: Id, Phone: Phone }
";
    assert_eq!(good(&format!("{GOOD}{second}")).pipelines.len(), 3);
}

/// All of `config/`, but for files that hold only tests.
pub(super) fn configs_in_the_repository() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut configs: Vec<PathBuf> = names
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .filter(|path| !path.to_str().unwrap().ends_with(".tests.yaml"))
        .collect();
    configs.sort();
    assert!(configs.len() >= 6, "{configs:?}");
    configs
}

#[test]
fn the_configs_in_the_repository_are_good_and_do_what_their_tests_say() {
    let env = |name: &str| {
        let value = match name {
            "EMULATOR_PUBSUB" => "localhost:8082",
            "HASH_SECRET" | "BELL_SECRET" | "DIGEST_SECRET" => "at least sixteen bytes",
            name if name.ends_with("_URL") => "http://127.0.0.1:8081",
            _ => "value",
        };
        Some(value.to_owned())
    };
    for path in configs_in_the_repository() {
        let text = std::fs::read_to_string(&path).unwrap();
        let config = parse(&text, &path, &env, &|_| Ok("secret".to_owned())).unwrap_or_else(|error| panic!("{error}"));
        for ran in crate::rehearse::cases::run(&config) {
            assert_eq!(ran.differences, [], "{}:{}: {}", path.display(), ran.case.line, ran.case.name);
        }
        // The demo is compared as a whole, org with org.
        if path.ends_with("demo.yaml") {
            continue;
        }
        let actions = config.actions.iter().map(|action| &action.name);
        for name in config.pipelines.iter().map(|pipeline| &pipeline.name).chain(actions) {
            let tested = config.cases.iter().any(|case| case.pipeline == *name);
            assert!(tested, "{}: {name} has no test", path.display());
        }
    }
}

#[test]
fn without_logins_all_that_needs_none_is_there_and_privacy_holds() {
    let lack = |text: &str| {
        let nothing = |_: &Path| Err(io::ErrorKind::NotFound.into());
        parse_with(text, Path::new("etc/bridge.yaml"), &|_| None, &nothing, Logins::MayLack)
    };
    let config = lack(GOOD).unwrap();
    assert_eq!(config.pipelines.len(), 2);
    let private =
        "    privacy: { hash_secret: \"${HASH}\", objects: { Account: { hash: [Name], mask: [Phone] } } }\n  hq:\n";
    let private = GOOD.replace("  hq:\n", private).replace("Region__c: { value: EMEA }", "Region__c: Phone");
    let case = "tests:\n  - { name: x, pipeline: accounts, record: { Name: Acme, Phone: \"12345\" }, expect: { upsert: { Region__c: 1***5 } } }\n";
    let config = lack(&format!("{private}{case}")).unwrap();
    let ran = crate::rehearse::cases::run(&config);
    let shown: Vec<String> = ran[0].differences.iter().map(ToString::to_string).collect();
    assert!(!shown.join(" ").contains("Acme") && !shown.join(" ").contains("Region__c"), "{shown:?}");
    // What a rule needs is needed, and so is all else that is right or wrong without a login.
    for (piece, other, wrong) in [
        ("{ value: EMEA }", "{ value: \"${REGION}\" }", "the environment variable REGION is not set"),
        ("login_url", "login_uri", "an org has no key `login_uri`"),
        ("${EMEA_KEY}", "${EMEA KEY}", "this is no reference to an environment variable"),
        ("org: emea, channel: /data/ChangeEvents", "org: moon, channel: /data/ChangeEvents", "there is no such org"),
    ] {
        let problems = lack(&with(piece, other)).unwrap_err();
        assert_eq!(problems.problems().len(), 1, "{problems}");
        assert!(problems.problems()[0].message.starts_with(wrong), "{problems}");
    }
}

#[test]
fn a_config_that_is_not_there_is_one_problem_about_the_file() {
    let problems = load(Path::new("no/such/bridge.yaml")).unwrap_err();
    assert_eq!((problems.problems().len(), problems.problems()[0].line), (1, 0));
    assert_eq!(problems.problems()[0].message, "the config cannot be read: there is no such file");
    assert!(problems.to_string().contains("no/such/bridge.yaml"), "{problems}");
}

/// Whatever it is: an answer, and places that exist.
fn survives(text: &str) {
    if let Err(problems) = read(text) {
        assert!(!problems.problems().is_empty());
        let lines = text.split('\n').count();
        for problem in problems.problems() {
            assert!((1..=lines).contains(&problem.line) && problem.column > 0, "{problem:?}");
        }
        assert!(!problems.render(true).is_empty() && !problems.to_string().is_empty());
    }
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        survives(&text);
    }

    #[test]
    fn text_that_looks_like_yaml_never_panics(text in "([ \\-:{}\\[\\]&*!|>'\"#$,\n\ré😀a-c~<]|\n  |: |\\$\\{|secret: ){0,80}") {
        survives(&text);
    }

    #[test]
    fn a_config_with_a_piece_missing_or_replaced_never_panics(
        from in 0..GOOD.len(), length in 0..60usize, other in "[ \\-:{}$'\"\n\u{e9}a~|*&]{0,4}",
    ) {
        let end = (from + length).min(GOOD.len());
        survives(&format!("{}{other}{}", &GOOD[..from], &GOOD[end..]));
    }
}

#[test]
fn feedback_and_a_digest_are_taken() {
    let feedback = good(&with("on_delete: ignore", "feedback: { error: E__c }")).pipelines[0].feedback.clone();
    assert_eq!(feedback, Feedback { error: Some("E__c".parse().unwrap()), last_synced: None });
    assert_eq!(good(GOOD).pipelines[0].feedback, Feedback::default());
    let digest = "digest: { webhook: { url: https://a.example/hush, secret: 0123456789abcdef } }\norgs:\n";
    let config = good(&with("orgs:\n", digest));
    assert_eq!(config.digest.as_ref().map(|digest| digest.every), Some(Duration::from_secs(3_600)));
    assert!(!format!("{config:?}").contains("hush"), "the address may be a secret");
    assert!(good(GOOD).digest.is_none());
}

#[test]
fn two_pipelines_tell_of_one_object_in_fields_of_their_own() {
    let polled =
        with("channel: /data/AccountChangeEvent, object: Account, start: tip", "source: poll, object: Account")
            .replace("on_delete: ignore", "feedback: { error: E__c }");
    let said = read(&polled).unwrap_err().to_string();
    assert!(said.contains("would be one more change of a record that is polled"), "{said}");
    let twice = with("on_delete: ignore", "feedback: { error: E__c }") + "    feedback: { last_synced: e__C }\n";
    assert!(read(&twice).is_ok(), "another object");
    let twice = twice
        .replace(
            "object: Contact }\n    to: { org: hq, object: Contact",
            "object: Account }\n    to: { org: hq, object: Contact",
        )
        .replace("LastName: Name.LastName", "LastName: Site");
    let said = read(&twice).unwrap_err().to_string();
    assert!(said.contains("another pipeline tells of the same records in `E__c`"), "{said}");
}
