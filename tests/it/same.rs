//! One bus over both transports: the same happening is the same change.

use orgbridge::bridge;
use orgbridge::config::Config;
use orgbridge::emulator::TrafficPlan;
use orgbridge::event::{Timestamp, Transport};
use orgbridge::status::Board;
use orgbridge::store::Sqlite;
use secrecy::ExposeSecret;
use serde_json::{Value as Json, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::{PATIENCE, World};

const CHANNELS: [&str; 5] = [
    "/data/AccountChangeEvent",
    "/data/ContactChangeEvent",
    "/data/ChangeEvents",
    "/data/SalesEvents__chn",
    "/event/Order_Shipped__e",
];

fn only_journal(config: &mut Config, transport: Transport) {
    config.pipelines.clear();
    let source = config.orgs.get_mut(&"source".parse().unwrap()).unwrap();
    source.transport = Some(transport);
    source.journal = CHANNELS.map(|channel| channel.parse().unwrap()).into();
}

/// All that was journaled of a channel, in order: key, entity, kind, commit and what happened.
type Row = (String, Option<String>, Option<String>, Option<i64>, String);

fn journaled(config: &Config, channel: &str) -> Vec<Row> {
    let db = rusqlite::Connection::open(&config.state).unwrap();
    let mut select = db
        .prepare(
            "SELECT event_key, entity, change_type, committed_at, payload
             FROM journal j JOIN subscriptions s ON s.id = j.subscription
             WHERE s.channel = ?1 ORDER BY seq",
        )
        .unwrap();
    let rows = select
        .query_map([channel], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
        .unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// Unchanged fields are read when an event is delivered, so two readers may see different ones.
fn without_enrichment(row: &Row) -> (Row, Json) {
    let mut payload: Json = serde_json::from_str(&row.4).unwrap();
    if let Some(fields) = payload["record"]["fields"].as_object_mut() {
        fields.retain(|_, field| field.get("same").is_none());
    }
    let row = (row.0.clone(), row.1.clone(), row.2.clone(), row.3, String::new());
    (row, payload)
}

#[tokio::test(flavor = "multi_thread")]
async fn both_transports_journal_the_same_changes() {
    let mut world = World::with(|config| only_journal(config, Transport::Pubsub)).await;
    // The other bridge, with a state file of its own.
    let mut other = world.config.clone();
    only_journal(&mut other, Transport::Cometd);
    other.state = world.config.state.with_file_name("other.db");
    let (board, stop) = (Board::default(), CancellationToken::new());
    let orgs = bridge::orgs(&other).unwrap();
    let store = Sqlite::open(&other.state).unwrap();
    let mut running = JoinSet::new();
    {
        let (other, board, stop) = (other.clone(), board.clone(), stop.clone());
        running.spawn(async move { bridge::run(&other, &orgs, store, board, stop).await });
    }
    let live_since = async |since: Timestamp| {
        let mut watch = board.watch();
        let live = watch.wait_for(|status| {
            status.subscriptions.len() == CHANNELS.len()
                && status.subscriptions.values().all(|one| one.live_until.is_some_and(|until| until >= since))
        });
        tokio::time::timeout(PATIENCE, live).await.unwrap().unwrap();
    };
    world.start();
    world.live_since(Timestamp(0)).await;
    live_since(Timestamp(0)).await;

    let source = world.source().clone();
    source.start_traffic(TrafficPlan { changes: 2_000, records: 80, per_second: 1_000, seed: 3, deletes: true });
    let text = |letter: &str| (0..40).map(|n| format!("line {n} {}\r\n", letter.repeat(40))).collect::<String>();
    let accounts = world
        .create(
            "Account",
            vec![
                json!({"Name": "merge me", "Description": text("a"), "BillingCity": "Köln", "AnnualRevenue": 0.1}),
                json!({"Name": "merge me too", "NumberOfEmployees": 7}),
            ],
        )
        .await;
    world
        .update(
            "Account",
            vec![(
                accounts[0].clone(),
                json!({"Description": text("a").replace("line 7 ", "l "), "BillingCity": null, "BillingStreet": "x"}),
            )],
        )
        .await;
    // A change that is the same for several records is one event.
    world.update("Account", accounts.iter().map(|id| (id.clone(), json!({"Industry": "Energy"}))).collect()).await;
    world
        .update("Account", vec![(accounts[1].clone(), json!({"Phone": null, "Website": "https://example.org/"}))])
        .await;
    let invoices = world
        .create(
            "Invoice__c",
            vec![json!({
                "Text__c": "ä", "Quantity__c": 3, "Amount__c": 12345678.25, "Due__c": "1969-12-31",
                "Sent__c": "2026-03-01T10:11:12.345Z", "Paid__c": true,
            })],
        )
        .await;
    world.update("Invoice__c", vec![(invoices[0].clone(), json!({"Amount__c": null, "Paid__c": false}))]).await;
    world.control(&source, "streams", json!({"gap_events": 3})).await;
    world.control(&source, "merge", json!({"master": accounts[0], "losers": [accounts[1]], "fields": {}})).await;
    for body in [
        json!({"Order_Number__c": "17", "Shipped__c": true, "Shipped_On__c": "2026-02-28"}),
        json!({"Order_Number__c": "18"}),
    ] {
        let session = world.orgs[&"source".parse().unwrap()].session().await.unwrap();
        let url = format!("{}services/data/v66.0/sobjects/Order_Shipped__e", session.instance_url);
        let post = world.http.post(url).bearer_auth(session.token.expose_secret());
        let answer = post.header("Content-Type", "application/json").body(body.to_string()).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }
    while source.traffic().0 {
        tokio::task::yield_now().await;
    }
    source.stop_traffic();
    let last = world.create("Account", vec![json!({"Name": "last", "Industry": "Energy", "Phone": "1"})]).await;
    world.caught_up().await;
    world.update("Account", vec![(last[0].clone(), json!({"Website": null, "Phone": "2"}))]).await;
    world.caught_up().await;
    live_since(Timestamp::now().plus(std::time::Duration::from_secs(2))).await;
    world.stop().await;
    stop.cancel();
    while let Some(ended) = running.join_next().await {
        ended.unwrap().unwrap();
    }

    let mut events = 0;
    for channel in CHANNELS {
        let (pubsub, cometd) = (journaled(&world.config, channel), journaled(&other, channel));
        for (one, two) in pubsub.iter().zip(&cometd) {
            if channel.ends_with("__chn") {
                assert_eq!(without_enrichment(one), without_enrichment(two), "{channel}");
            } else {
                assert_eq!(one, two, "{channel}");
            }
        }
        assert_eq!(pubsub.len(), cometd.len(), "{channel}");
        assert!(!pubsub.is_empty(), "nothing came by {channel}");
        // The last one came when nothing changed any more.
        assert_eq!(pubsub.last(), cometd.last());
        let enriched = pubsub.last().is_some_and(|row| row.4.contains(r#""Industry":{"same":"Energy"}"#));
        assert_eq!(enriched, channel.ends_with("__chn"), "{channel}: {:?}", pubsub.last());
        events += pubsub.len();
    }
    assert!(events > 4_000, "only {events} events");
    println!("{events} events, the same by both transports");
}
