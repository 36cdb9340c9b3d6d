//! The journal as people look at it, and how it is kept within bounds.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use orgbridge::config::Retain;
use orgbridge::emulator::TrafficPlan;
use orgbridge::event::Timestamp;
use rusqlite::Connection;
use serde_json::{Value as Json, json};

use crate::desk::Desk;
use crate::state::{State, until};
use crate::support::World;

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_is_listed_shown_and_exported_whether_a_bridge_runs_or_not() {
    let desk = Desk::new().await;
    let mut bridge = desk.bridge();
    let world = &desk.world;
    let first = json!({"Name": "First", "Phone": "1", "Description": "private words"});
    let ids = world.create("Account", vec![first, json!({"Name": "Second", "Phone": "2"})]).await;
    world.update("Account", vec![(ids[0].clone(), json!({"Website": "https://first.example"}))]).await;
    world.create("Contact", vec![json!({"LastName": "Child", "AccountId": ids[0]})]).await;
    let has_website = |event: &Json| {
        event["kind"] == "UPDATE" && event["changed"].as_array().is_some_and(|names| names.contains(&json!("Website")))
    };
    let events = |arguments: &[&str]| {
        let all = [&["journal", "list", "--json"], arguments].concat();
        desk.json(&all).as_array().cloned().unwrap_or_default()
    };
    until("all events", async || {
        let of_first = events(&["--channel", "/data/AccountChangeEvent", "--record", &ids[0]]);
        of_first.iter().any(has_website) && !events(&["--channel", "/data/ContactChangeEvent"]).is_empty()
    })
    .await;
    let whole = |desk: &Desk| {
        let short = &ids[0][..15];
        let (text, code) = desk.said(&["journal", "list", "--record", short]);
        assert!(code == 0 && text.contains(&ids[0]) && text.contains("Website"), "{text}");
        assert!(!text.contains("private words") && !text.contains("first.example"), "{text}");
        let of_record = events(&["--record", short, "--since", "1h"]);
        let (create, second) = (&of_record[0], &of_record[1]);
        assert_eq!((&create["kind"], &create["event"]), (&json!("CREATE"), &Json::Null));
        let update = of_record.iter().find(|event| has_website(event)).unwrap();
        assert!(events(&["--transaction", update["transaction"].as_str().unwrap()]).contains(update));
        assert_eq!(events(&["--org", "target"]), Vec::<Json>::new());
        assert_eq!(events(&["--until", "1h"]), Vec::<Json>::new());
        let number = create["number"].to_string();
        assert_eq!(events(&["--record", short, "--after", &number])[0], *second);
        assert_eq!(events(&["--record", short, "--limit", "1"]), std::slice::from_ref(create));
        let (text, _) = desk.said(&["journal", "list", "--limit", "1"]);
        assert!(text.contains("There may be more: --after "), "{text}");

        let (text, code) = desk.said(&["journal", "show", &number]);
        assert_eq!(code, 0, "{text}");
        for told in ["CREATE of Account", "Description: \"private words\"", &ids[0], "source /data/AccountChangeEvent"]
        {
            assert!(text.contains(told), "{told}: {text}");
        }
        let shown = desk.json(&["journal", "show", &number, "--json"]);
        assert_eq!(shown["event"]["record"]["fields"]["Description"]["new"], "private words");
        let (text, code) = desk.said(&["journal", "show", "999999"]);
        assert!(code == 2 && text.contains("no event 999999"), "{text}");
        assert_eq!(desk.said(&["journal", "list", "--record", "001000000000009"]).1, 2);
        let (text, code) = desk.said(&["journal", "list", "--org", "sourec"]);
        assert!(code == 1 && text.contains("Orgs: source, target"), "{text}");
        let (text, code) = desk.said(&["journal", "list", "--since", "yesterday"]);
        assert!(code == 2 && text.contains("how long ago"), "{text}");
    };
    whole(&desk);

    let file = desk.folder.path().join("journal.jsonl");
    let to_file = ["journal", "export", "--channel", "/data/AccountChangeEvent", "--output", file.to_str().unwrap()];
    let (text, code) = desk.said(&to_file);
    assert!(code == 0 && text.contains(" events in "), "{text}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let lines = std::fs::read_to_string(&file).unwrap();
    let exported: Vec<Json> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(
        exported.iter().any(|event| event["event"]["record"]["fields"]["Website"]["new"] == "https://first.example")
    );
    assert_eq!(desk.said(&to_file).1, 1, "it does not write over a file");
    assert_eq!(desk.said(&["journal", "export", "--until", "1h"]), (String::new(), 2));

    let (status, _) = desk.said(&["status"]);
    assert!(status.contains("The journal holds ") && status.contains(" and reaches back to "), "{status}");
    assert!(bridge.terminate().success());
    whole(&desk);
    assert_eq!(desk.said(&["journal", "export", "--limit", "2"]).0.lines().count(), 2);
}

/// Records come, change and go.
async fn lively(world: &World, seed: u64) {
    world.source().start_traffic(TrafficPlan { changes: 300, records: 40, per_second: 100, seed, deletes: true });
    while world.source().traffic().0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_deletes_old_events_while_new_ones_flow_and_the_orgs_end_equal() {
    let mut world = World::with(|config| {
        config.probe_every = Duration::from_secs(1);
        config.journal_retain = Retain { age: Some(Retain::AT_LEAST), size: None };
    })
    .await;
    world.start();
    world.live_since(Timestamp(0)).await;
    lively(&world, 1).await;
    world.caught_up().await;
    world.stop().await;
    // As if that had been ten days ago; what waits is kept in any case.
    let age = "UPDATE journal SET received_at = received_at - 10 * 86400000";
    let old = Connection::open(&world.config.state).unwrap().execute(age, []).unwrap();
    assert!(old > 100, "{old}");
    let head = State::open(&world.config.state).unwrap().number("SELECT max(seq) FROM journal").unwrap();
    world.start();
    world.live_since(Timestamp(0)).await;
    lively(&world, 2).await;
    // The deletion of a record that has a link stays with it.
    let old = format!(
        "SELECT count(*) FROM journal j WHERE seq <= {head} AND NOT (change_type LIKE '%DELETE' AND EXISTS (
             SELECT 1 FROM journal_records r JOIN links l ON l.source_record = r.record WHERE r.seq = j.seq))"
    );
    until("what is old to be gone", async || {
        State::open(&world.config.state).and_then(|state| state.number(&old)) == Some(0)
    })
    .await;
    world.caught_up().await;
    world.assert_equal().await;
    world.stop().await;
    let state = State::open(&world.config.state).unwrap();
    let counted = state.number("SELECT entries FROM journal_figures");
    assert_eq!(counted, Some(state.journaled()));
    assert!(state.journaled() > 100);
}
