//! What events named is applied once more, as it is now.

use orgbridge::bridge::{Command, Reapplying};
use orgbridge::config::Fill;
use orgbridge::event::{OrgName, Seq, Timestamp, Value};
use orgbridge::past::reapply::{Point, Range};
use serde_json::json;

use crate::desk::Desk;
use crate::state::{State, until};
use crate::support::World;

fn number(world: &World, sql: &str) -> i64 {
    State::open(&world.config.state).and_then(|state| state.number(sql)).unwrap_or(0)
}

fn written(world: &World) -> u64 {
    world.target().stats()["rows_written"].as_u64().unwrap()
}

/// What a range comes to; its job, if there is one, is over when this returns.
async fn reapplied(world: &World, range: Range) -> Result<Reapplying, String> {
    let pipelines = vec!["accounts".parse().unwrap()];
    let mut plans = world.told(|done| Command::Reapply { pipelines, range, begin: true, done }).await?;
    let plan = plans.pop().unwrap();
    if let Some(job) = plan.job {
        let over = format!("SELECT count(*) FROM jobs WHERE number = {job} AND ended_how = 'done'");
        until("the end of the job", async || number(world, &over) == 1).await;
    }
    Ok(plan)
}

fn from(point: Point) -> Range {
    Range { from: Some(point), ..Range::default() }
}

/// Until somebody mends it the mapping writes nonsense into a field.
async fn mended(seconds: i64) -> (World, Vec<String>) {
    let phone = |config: &mut orgbridge::config::Config, fill: Fill| {
        config.pipelines.truncate(1);
        let fields = &mut config.pipelines[0].fields;
        fields.retain(|(name, _)| name.as_str() != "Phone");
        fields.push(("Phone".parse().unwrap(), fill.into()));
    };
    let mut world = World::with(|config| phone(config, Fill::Constant(Value::text("nonsense")))).await;
    if seconds > 0 {
        // These are from before the bridge, and nobody's business yet.
        world.create("Account", (0..7).map(|n| json!({"Name": format!("old {n}"), "Phone": "0"})).collect()).await;
        world.control(world.source(), "time", json!({"advance_seconds": seconds})).await;
    }
    world.start();
    world.live_since(Timestamp(0)).await;
    let ids = world
        .create("Account", (0..50).map(|n| json!({"Name": format!("A {n}"), "Phone": n.to_string()})).collect())
        .await;
    world.caught_up().await;
    world.stop().await;
    phone(&mut world.config, Fill::Source("Phone".parse().unwrap()));
    world.start();
    world.live_since(Timestamp(0)).await;
    (world, ids)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_mapping_did_wrong_is_mended_from_the_journal_while_changes_go_on_and_twice_is_as_once() {
    let (mut world, ids) = mended(0).await;
    let changes: Vec<_> = ids[..20].iter().map(|id| (id.clone(), json!({"Phone": "newer"}))).collect();
    world.update("Account", changes).await;
    world.delete_in_source(&ids[45..]).await;
    let plan = reapplied(&world, from(Point::Number(Seq(1)))).await.unwrap();
    assert_eq!(plan.records, Some(50));
    assert!(plan.events.is_some_and(|events| events > 0));
    world.caught_up().await;
    assert_eq!(world.assert_equal().await, 45);
    let before = written(&world);
    reapplied(&world, from(Point::Number(Seq(1)))).await.unwrap();
    world.caught_up().await;
    assert_eq!((world.assert_equal().await, written(&world) - before), (45, 0), "equal records are left alone");
    // One record, whether or not an event named it; one transaction; a place by its replay id.
    let one = Range { record: Some(ids[3].parse().unwrap()), ..Range::default() };
    assert_eq!(reapplied(&world, one).await.unwrap().records, Some(1));
    let first = "SELECT max(hex(replay_id)) FROM journal WHERE seq = (SELECT max(seq) FROM journal)";
    let id: String =
        rusqlite::Connection::open(&world.config.state).unwrap().query_row(first, [], |row| row.get(0)).unwrap();
    let last = reapplied(&world, from(Point::ReplayId(id.to_lowercase()))).await.unwrap();
    assert!(last.records.is_some_and(|records| records >= 1) && last.events.is_some_and(|events| events < 50));
    let refused = reapplied(&world, from(Point::ReplayId("00ff00ff".to_owned()))).await.unwrap_err();
    assert!(refused.contains("is named by a time"), "{refused}");
    let none = reapplied(&world, Range { transaction: Some("no-such".to_owned()), ..Range::default() }).await.unwrap();
    assert_eq!((none.records, none.job), (Some(0), None));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_the_edge_of_the_journal_the_org_tells_what_has_changed_since() {
    let (mut world, _) = mended(7_200).await;
    let now = world.orgs[&"source".parse::<OrgName>().unwrap()].server_time();
    let hours = |n: u64| Point::Time(now.minus(std::time::Duration::from_secs(n * 3_600)));
    let plan = reapplied(&world, from(hours(3))).await.unwrap();
    assert_eq!((plan.events, plan.records), (None, Some(57)));
    world.caught_up().await;
    assert_eq!(world.assert_equal().await, 57, "also those from before the bridge");
    world.stop().await;
}

#[test]
fn the_two_meanings_are_explained_where_one_must_choose() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let desk = Desk::new().await;
        let (said, code) = desk.said(&["reapply", "accounts", "--from", "1d"]);
        assert!(
            code == 1 && said.contains("--as current reads each record") && said.contains("for actions only"),
            "{said}"
        );
        let (said, code) = desk.said(&["replay", "accounts", "--as", "recorded", "--from", "1d"]);
        assert!(code == 1 && said.contains("accounts writes records"), "{said}");
        let (said, code) = desk.said(&["reapply", "accounts", "--as", "current"]);
        assert!(code == 1 && said.contains("orgbridge backfill"), "{said}");
        let bridge = desk.bridge();
        desk.world.create("Account", vec![json!({"Name": "A", "Phone": "1"})]).await;
        until("a journaled event", async || {
            let (said, _) = desk.said(&["reapply", "accounts", "--as", "current", "--from", "1", "--dry-run"]);
            said.contains("accounts: 1 event, which name 1 record")
        })
        .await;
        let (said, code) = desk.said(&["reapply", "accounts", "--as", "current", "--from", "1"]);
        assert!(code == 0 && said.contains("accounts: done at"), "{said}");
        drop(bridge);
    });
}
