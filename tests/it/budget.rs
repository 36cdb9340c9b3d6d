//! API calls of an org: what is kept for others, what the org itself refuses, and how few will do. Counts, never times.

use orgbridge::config::{ApiBudget, Config, Login};
use orgbridge::emulator::RunningOrg;
use orgbridge::event::{OrgName, PipelineName, Timestamp};
use orgbridge::status::Status;
use serde_json::{Value as Json, json};

use crate::support::World;

/// Left to others in these tests, where the limit is that and a little more.
const KEPT: u64 = 1_000;

fn name(org: &str) -> OrgName {
    org.parse().unwrap()
}

fn keeping(org: &str, budget: ApiBudget) -> impl FnOnce(&mut Config) {
    move |config| config.orgs.get_mut(&name(org)).unwrap().api_budget = budget
}

async fn live(mut world: World) -> World {
    world.start();
    world.live_since(Timestamp(0)).await;
    world.create("Account", vec![json!({"Name": "before"})]).await;
    world.caught_up().await;
    world
}

/// An org has so many calls left. Its next answer says so, and whoever shares the org with the bridge gets one.
async fn calls_left(world: &World, org: &RunningOrg, left: u64) {
    let used = world.control(org, "limits", json!({})).await["used"].as_u64().unwrap();
    world.control(org, "limits", json!({"daily_api_requests": used + left})).await;
    // An org whose calls are spent says that, too.
    drop(world.orgs[&name(&org.name)].limits().await);
}

async fn accounts(world: &World, count: usize) -> Vec<String> {
    world.create("Account", (0..count).map(|n| json!({"Name": format!("Account {n}")})).collect()).await
}

fn writes(org: &RunningOrg) -> u64 {
    let calls = &org.stats()["calls"];
    let kinds = ["composite_upsert", "composite_update", "composite_delete"];
    kinds.iter().filter_map(|kind| calls[*kind].as_u64()).sum()
}

fn looks(org: &RunningOrg) -> Json {
    org.stats()["calls"]["limits"].clone()
}

/// The trouble of the target, and how many accounts wait.
fn of_target(status: &Status) -> (String, u64) {
    let accounts: PipelineName = "accounts".parse().unwrap();
    let trouble = status.targets.get(&name("target")).and_then(|target| target.trouble.clone());
    (trouble.unwrap_or_default(), status.pipelines[&accounts].waiting)
}

async fn applied(world: &mut World, records: u64) {
    let all = |status: &Status| status.pipelines.values().map(|line| line.applied).sum::<u64>() == records;
    world.until("written records", all).await;
}

fn is_unharmed(status: &Status) -> bool {
    status.pipelines.values().all(|line| line.parked + line.failed == 0)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_for_others_is_left_to_them_and_all_arrives_when_there_is_more() {
    let mut world = live(World::with(keeping("target", ApiBudget::Calls(KEPT))).await).await;
    let target = world.target().clone();
    calls_left(&world, &target, KEPT).await;
    let before = writes(&target);
    accounts(&world, 300).await;
    let status = world
        .until("changes that wait for API budget", |status| {
            let (trouble, waiting) = of_target(status);
            trouble.starts_with("waiting for API budget until ") && waiting == 300
        })
        .await;
    let (trouble, _) = of_target(&status);
    assert!(trouble.contains(" calls used in 24 h, 1,000 are kept for others)"), "{trouble}");
    assert!(is_unharmed(&status), "{status:#?}");
    let status = world
        .until("an org that says that it waits", |status| {
            status.orgs[&name("target")].api.as_ref().is_some_and(|api| api.waiting.is_some())
        })
        .await;
    let api = status.orgs[&name("target")].api.clone().unwrap();
    assert_eq!(api.kept, Some(KEPT));
    assert!(api.used + KEPT >= api.limit, "{api:?}");
    assert_eq!(status.orgs[&name("source")].api.as_ref().unwrap().waiting, None, "the other org is no concern");
    assert_eq!(writes(&target), before, "nothing was written");

    calls_left(&world, &target, 2 * KEPT).await;
    world.caught_up().await;
    assert_eq!(world.assert_equal().await, 301);
    assert_eq!(writes(&target) - before, 2, "what waited went out in full calls");
    let status = world.until("no more trouble", |status| of_target(status).0.is_empty()).await;
    assert!(is_unharmed(&status));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_org_that_refuses_all_calls_of_the_day_is_waited_for_and_nothing_fails() {
    let mut world = live(World::with(keeping("target", ApiBudget::Off)).await).await;
    let target = world.target().clone();
    // Nobody is told before the bridge itself is.
    world.control(&target, "limits", json!({"daily_api_requests": 0})).await;
    let before = writes(&target);
    accounts(&world, 300).await;
    let status = world
        .until("changes that wait for API budget", |status| {
            let (trouble, waiting) = of_target(status);
            trouble.contains("(the org refuses more: ") && waiting == 300
        })
        .await;
    assert!(is_unharmed(&status), "{status:#?}");
    let calls = world.orgs[&name("target")].api_calls();
    accounts(&world, 10).await;
    world.until("more that wait", |status| of_target(status).1 == 310).await;
    assert_eq!(world.orgs[&name("target")].api_calls(), calls, "it is not asked again and again");
    assert_eq!(writes(&target), before, "nothing was written");

    calls_left(&world, &target, KEPT).await;
    world.caught_up().await;
    assert_eq!(world.assert_equal().await, 311);
    assert!(is_unharmed(&world.board.watch().borrow()));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_source_has_no_calls_left_events_are_written_and_only_reads_wait() {
    let mut world = World::with(keeping("source", ApiBudget::Calls(KEPT))).await;
    world.start();
    world.live_since(Timestamp(0)).await;
    let old = accounts(&world, 1).await.remove(0);
    world.caught_up().await;
    // It is to be made anew, for which a change does not say enough.
    world.delete_in_target("Account").await;
    let source = world.source().clone();
    calls_left(&world, &source, KEPT).await;
    let reads = source.stats()["calls"]["read"].clone();
    world.update("Account", vec![(old, json!({"Phone": "1"}))]).await;
    accounts(&world, 10).await;
    let status = world
        .until("a read that waits for API budget", |status| {
            let (trouble, waiting) = of_target(status);
            let applied = status.pipelines.values().map(|line| line.applied).sum::<u64>();
            trouble.starts_with("records cannot be read: source is waiting for API budget until ")
                && (waiting, applied) == (1, 11)
        })
        .await;
    assert!(is_unharmed(&status), "{status:#?}");
    assert_eq!(source.stats()["calls"]["read"], reads, "nothing was read");
    assert_eq!(world.target().stats()["records"]["Account"], json!(10), "the others are there");
    calls_left(&world, &source, 2 * KEPT).await;
    world.caught_up().await;
    assert_eq!(world.assert_equal().await, 11);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn polls_and_truth_probes_of_an_org_without_calls_wait_too() {
    let mut world = World::with(|config| {
        keeping("source", ApiBudget::Calls(KEPT))(config);
        let second = std::time::Duration::from_secs(1);
        config.probe_every = second;
        let line = config.pipelines.iter_mut().find(|line| line.name.as_str() == "contacts").unwrap();
        line.from.channel = "/poll/Contact".parse().unwrap();
        line.from.poll = Some(second);
    })
    .await;
    world.start();
    world.live_since(Timestamp(0)).await;
    let source = world.source().clone();
    calls_left(&world, &source, KEPT).await;
    let waits = |status: &Status| {
        status.subscriptions.iter().any(|((_, channel), one)| {
            channel.as_str() == "/poll/Contact" && one.state.to_string().contains("waiting for API budget until ")
        })
    };
    world.until("a poll that waits for API budget", waits).await;
    // What was on its way has ended by the time that an event has arrived.
    accounts(&world, 1).await;
    applied(&mut world, 1).await;
    let before = world.orgs[&name("source")].api_calls();
    let later = world.orgs[&name("source")].server_time().plus(std::time::Duration::from_secs(4));
    world
        .until("four more seconds of events", |status| {
            status.subscriptions.values().any(|one| one.live_until.is_some_and(|until| until >= later))
        })
        .await;
    assert_eq!(world.orgs[&name("source")].api_calls(), before, "neither asks");
    world.create("Contact", vec![json!({"LastName": "Polled"})]).await;
    calls_left(&world, &source, 2 * KEPT).await;
    world.caught_up().await;
    assert_eq!(world.assert_equal().await, 2);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_changes_that_come_one_by_one_share_a_call_where_they_wait_for_company() {
    let mut world = live(World::new().await).await;
    world.stop().await;
    // Longer than they take to come: only a full call goes out.
    world.config.linger = std::time::Duration::from_secs(60);
    world.start();
    world.live_since(Timestamp::now()).await;
    let before = writes(world.target());
    for _ in 0..200 {
        accounts(&world, 1).await;
    }
    world.caught_up().await;
    assert_eq!(world.assert_equal().await, 201);
    assert_eq!(writes(world.target()) - before, 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_org_is_asked_for_its_limits_once_at_the_start_and_figures_are_shown() {
    let mut world = live(World::new().await).await;
    accounts(&world, 20).await;
    world.caught_up().await;
    let status = world
        .until("figures of both orgs", |status| {
            status.orgs.values().all(|org| org.api.is_some() && org.deliveries.is_some())
        })
        .await;
    let api = status.orgs[&name("target")].api.clone().unwrap();
    assert_eq!((api.limit, api.kept, api.used_up_at, api.waiting), (100_000, Some(10_000), None, None));
    for org in [world.source(), world.target()] {
        assert_eq!(looks(org), json!(1), "{}", org.name);
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_org_that_does_not_tell_its_limits_is_watched_by_its_answers() {
    let mut world = World::with(keeping("target", ApiBudget::Calls(KEPT))).await;
    let target = world.target().clone();
    let hidden = json!([{
        "kind": "refuse", "status": 403, "code": "INSUFFICIENT_ACCESS", "message": "no", "path": "*/limits*",
    }]);
    world.rules(&target, hidden).await;
    world = live(world).await;
    let status = world
        .until("figures", |status| status.orgs[&name("target")].api.is_some() && of_target(status).0.is_empty())
        .await;
    assert_eq!(status.orgs[&name("target")].deliveries, None);
    assert_eq!(status.orgs[&name("target")].trouble, None);
    world.stop().await;
}

fn with_wrong_secret(config: &mut Config, org: &str) {
    let Login::ClientCredentials { secret, .. } = &mut config.orgs.get_mut(&name(org)).unwrap().login;
    *secret = "wrong".into();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_is_refused_stops_its_org_alone_and_says_what_to_do() {
    let mut world = World::with(|config| {
        // The same org by another name, with a login of its own, and the accounts go there too.
        let mut third = config.orgs[&name("target")].clone();
        third.name = name("third");
        config.orgs.insert(third.name.clone(), third);
        with_wrong_secret(config, "third");
        let mut line = config.pipelines[0].clone();
        (line.name, line.to.org) = ("accounts_there".parse().unwrap(), name("third"));
        for (_, rule) in &mut line.fields {
            if let orgbridge::config::Fill::Parent { pipelines, .. } = &mut rule.fill {
                *pipelines = vec![line.name.clone()];
            }
        }
        config.pipelines.push(line);
    })
    .await;
    world.start();
    world.live_since(Timestamp(0)).await;
    accounts(&world, 3).await;
    world.caught_up().await;
    assert_eq!(world.target().stats()["records"]["Account"], json!(3), "the other target goes on");
    let status = world.until("a refused login", |status| status.orgs[&name("third")].login_refused).await;
    let trouble = status.orgs[&name("third")].trouble.clone().unwrap();
    assert!(trouble.contains("check the Consumer Secret of the app"), "{trouble}");
    assert!(!status.targets.contains_key(&name("third")));
    for org in ["source", "target"] {
        assert_eq!((&status.orgs[&name(org)].trouble, status.orgs[&name(org)].login_refused), (&None, false), "{org}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_that_no_org_lets_in_ends_and_says_why() {
    let mut world =
        World::with(|config| ["source", "target"].iter().for_each(|org| with_wrong_secret(config, org))).await;
    let ended = world.ends().await;
    assert!(ended.contains("the consumer secret is wrong") && ended.contains("check the Consumer Secret"), "{ended}");
}
