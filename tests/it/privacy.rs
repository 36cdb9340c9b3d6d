//! `privacy` of the source org: what must not be known is neither stored nor written.

use std::path::Path;

use orgbridge::config::Fill;
use orgbridge::event::{FieldPath, OrgName, Transport};
use orgbridge::privacy::{Privacy, PrivacyRule, Treatment};
use orgbridge::store::{Sqlite, Store};
use secrecy::SecretString;
use serde_json::{Value as Json, json};

use crate::process::orgbridge;
use crate::support::World;

const SECRETS: [&str; 5] = ["left-out-text", "Left-Out-Street", "hashed.example", "41615550123", "41615559999"];

fn rules() -> Privacy {
    let rule = |treatment, field: &str| PrivacyRule {
        object: "Account".parse().unwrap(),
        field: field.parse().unwrap(),
        treatment,
    };
    let rules = vec![
        rule(Treatment::LeaveOut, "Description"),
        rule(Treatment::LeaveOut, "BillingAddress.Street"),
        rule(Treatment::Hash, "Website"),
        rule(Treatment::Mask, "Phone"),
    ];
    Privacy::new(Some(SecretString::from("a key of this test only")), rules)
}

/// The state file and all that is beside it.
fn stored(state: &Path) -> Vec<u8> {
    let folder = std::fs::read_dir(state.parent().unwrap()).unwrap();
    let files = folder.map(|file| file.unwrap().path()).filter(|path| path.is_file());
    files.flat_map(|path| std::fs::read(path).unwrap()).collect()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

async fn nothing_is_stored_by(transport: Transport) {
    let mut world = World::with(|config| {
        let source = config.orgs.get_mut(&"source".parse().unwrap()).unwrap();
        source.transport = Some(transport);
        source.privacy = rules();
        let fields = &mut config.pipelines[0].fields;
        fields.retain(|(name, _)| !["BillingStreet", "Website", "Description"].contains(&name.as_str()));
        // A hash is longer than most fields.
        let website: FieldPath = "Website".parse().unwrap();
        fields.push(("Description".parse().unwrap(), Fill::Source(website).into()));
    })
    .await;
    world.start();
    world.live_since(orgbridge::event::Timestamp(0)).await;
    let account = |n: usize| {
        json!({
            "Name": format!("told openly {n}"), "Description": "left-out-text", "BillingStreet": "Left-Out-Street 1",
            "BillingCity": "Basel", "Website": "www.hashed.example", "Phone": "+41615550123",
        })
    };
    let ids = world.create("Account", (0..20).map(account).collect()).await;
    world.caught_up().await;
    // An update, one of what is left out alone, and one of a record that must be read.
    world.update("Account", vec![(ids[0].clone(), json!({"Phone": "+41615559999"}))]).await;
    let long = "left-out-text\n".repeat(500);
    world.update("Account", vec![(ids[1].clone(), json!({"Description": long}))]).await;
    world.update("Account", vec![(ids[1].clone(), json!({"Description": format!("{long}more")}))]).await;
    world.caught_up().await;
    world.delete_in_target("Account").await;
    let touched = ids.iter().map(|id| (id.clone(), json!({"Rating": "Hot"}))).collect();
    world.update("Account", touched).await;
    world.caught_up().await;
    // The rows of the source are treated as its events were.
    assert_eq!(world.assert_equal().await, 20);
    let target = &world.orgs[&"target".parse().unwrap()];
    let rows = target.query("SELECT Description, Phone, BillingStreet FROM Account").await.unwrap();
    assert_eq!(rows.len(), 20);
    for row in rows {
        assert_eq!(row["Description"].as_str().map(str::len), Some(64), "a hash");
        assert!(row["Phone"].as_str().is_some_and(|phone| phone.starts_with("+**") && phone.ends_with(['3', '9'])));
        assert_eq!(row["BillingStreet"], Json::Null);
    }
    let bytes = stored(&world.config.state);
    assert!(holds(&bytes, "told openly 7"), "what is read is not the state");
    for secret in SECRETS {
        assert!(!holds(&bytes, secret), "{secret} is stored");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_private_is_neither_stored_nor_written_over_the_pubsub_api() {
    nothing_is_stored_by(Transport::Pubsub).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_private_is_neither_stored_nor_written_over_cometd() {
    nothing_is_stored_by(Transport::Cometd).await;
}

/// Account events of the state, by their kind, and how many of them tell any value.
fn told(state: &Path) -> (Vec<String>, usize) {
    let db = rusqlite::Connection::open(state).unwrap();
    let mut rows = db.prepare("SELECT change_type, payload FROM journal ORDER BY seq").unwrap();
    let rows = rows.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))).unwrap();
    let rows: Vec<_> = rows.collect::<Result<_, _>>().unwrap();
    let telling = rows.iter().filter(|(_, payload)| !payload.contains(r#""fields":{}"#)).count();
    (rows.into_iter().map(|(kind, _)| kind).collect(), telling)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_written_from_the_source_after_its_record_was_forgotten() {
    let mut world = World::started().await;
    world.rules(world.target(), json!([{"kind": "refuse"}])).await;
    let account = |n: usize| json!({"Name": format!("to be forgotten {n}"), "Phone": format!("4161555{n:04}")});
    let ids = world.create("Account", (0..3).map(account).collect()).await;
    world.until("journaled events", |status| status.subscriptions.values().any(|one| one.last_event.is_some())).await;
    world.stop().await;
    let state = world.config.state.clone();
    {
        let store = Sqlite::open(&state).unwrap();
        let org = "source".parse().unwrap();
        for id in &ids {
            store.forget_record(&org, id.parse().unwrap()).await.unwrap();
        }
        store.rewrite().unwrap();
    }
    let (kinds, telling) = told(&state);
    assert!(kinds.iter().all(|kind| kind == "GAP_CREATE") && !kinds.is_empty(), "{kinds:?}");
    assert_eq!(telling, 0);
    assert!(!holds(&stored(&state), "to be forgotten") && !holds(&stored(&state), "4161555"));
    world.no_faults(world.target()).await;
    world.start();
    world.caught_up().await;
    assert_eq!(world.assert_equal().await, 3);
    world.stop().await;
    assert_eq!(world.open_gaps().await, [], "nothing is lost by it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_comes_later_is_told_until_the_state_is_scrubbed() {
    let mut world = World::with(|config| {
        config.pipelines[0].fields.retain(|(name, _)| name.as_str() != "Description");
    })
    .await;
    world.start();
    world.live_since(orgbridge::event::Timestamp(0)).await;
    let ids = world
        .create("Account", vec![json!({"Name": "kept", "Description": "old-value", "Phone": "41615550123"})])
        .await;
    world.caught_up().await;
    world.stop().await;
    let source: OrgName = "source".parse().unwrap();
    let rule = |treatment, field: &str| PrivacyRule {
        object: "Account".parse().unwrap(),
        field: field.parse().unwrap(),
        treatment,
    };
    let rules = vec![rule(Treatment::LeaveOut, "Description"), rule(Treatment::Mask, "Phone")];
    let privacy = Privacy::new(None, rules);
    world.config.orgs.get_mut(&source).unwrap().privacy = privacy;
    world.orgs = orgbridge::bridge::orgs(&world.config).unwrap();
    world.start();
    world.live_since(orgbridge::event::Timestamp(0)).await;
    world.update("Account", vec![(ids[0].clone(), json!({"Description": "new-value", "Phone": "41615559999"}))]).await;
    world.caught_up().await;
    assert_eq!(world.assert_equal().await, 1);
    world.stop().await;
    let state = world.config.state.clone();
    let bytes = stored(&state);
    assert!(holds(&bytes, "old-value") && !holds(&bytes, "new-value") && !holds(&bytes, "41615559999"));
    let config = state.with_file_name("bridge.yaml");
    std::fs::write(&config, CONFIG).unwrap();
    let said = |arguments: &[&str]| {
        let output = orgbridge().args(arguments).arg("--config").arg(&config).output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), output.status.code())
    };
    let told = "1 event stored before the rules of `privacy` may hold Description, Phone of Account.";
    for command in [["check", "--offline"].as_slice(), &["status"]] {
        let (text, _) = said(command);
        assert!(text.contains(told), "{command:?} tells only what came before the rule: {text}");
    }
    // The file is named in front of what is to be done.
    let scrub = |action: &str| {
        let output = orgbridge().args(["journal", "--config"]).arg(&config).arg(action).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(scrub("scrub"), "1 event was looked at, 1 rewritten.\n");
    let (text, _) = said(&["check", "--offline"]);
    assert!(!text.contains("stored before"), "{text}");
    let bytes = stored(&state);
    assert!(!holds(&bytes, "old-value") && !holds(&bytes, "41615550123") && holds(&bytes, "\"kept\""));
    let forgotten = said(&["forget", "--org", "source", &ids[0]]);
    assert_eq!(forgotten, ("source: the values of 2 change events were erased\n".to_owned(), Some(0)));
    let bytes = stored(&state);
    assert!(!holds(&bytes, "\"kept\"") && holds(&bytes, &ids[0]));
}

const CONFIG: &str = "\
version: 1
state: state.db
orgs:
  source:
    login_url: https://acme.my.salesforce.com
    client_credentials: { key: consumer, secret: s }
    privacy: { objects: { Account: { leave_out: [Description], mask: [Phone] } } }
  target: { login_url: https://hq.my.salesforce.com, client_credentials: { key: consumer, secret: s } }
pipelines:
  - name: accounts
    from: { org: source, channel: /data/AccountChangeEvent, object: Account }
    to: { org: target, object: Account, key: Source_Id__c }
    fields: { Source_Id__c: Id, Name: Name }
";
