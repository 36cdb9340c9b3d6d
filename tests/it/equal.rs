//! What changes in the source arrives in the target, whatever happens on the way.

use orgbridge::emulator::TrafficPlan;
use serde_json::json;

use crate::support::World;

#[tokio::test(flavor = "multi_thread")]
async fn lively_traffic_ends_in_two_equal_orgs() {
    let mut world = World::started().await;
    let plan = TrafficPlan { changes: 800, records: 80, per_second: 400, seed: 7, deletes: true };
    world.source().start_traffic(plan);
    while world.source().traffic().0 {
        tokio::task::yield_now().await;
    }
    world.caught_up().await;
    assert!(world.assert_equal().await > 10);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_every_kind_change_nothing_about_the_end() {
    let mut world = World::started().await;
    world
        .rules(
            world.target(),
            json!([
                {"kind": "refuse", "percent": 10},
                {"kind": "lock", "percent": 5},
                {"kind": "do_then_fail", "percent": 10},
                {"kind": "cut_then_apply", "percent": 10, "delay_ms": [200, 1500]},
                {"kind": "answer_late", "percent": 5, "delay_ms": [100, 500]},
            ]),
        )
        .await;
    world.source().start_traffic(TrafficPlan { changes: 600, records: 60, per_second: 300, seed: 3, deletes: true });
    while world.source().traffic().0 {
        tokio::task::yield_now().await;
    }
    world.no_faults(world.target()).await;
    world.caught_up().await;
    assert!(world.assert_equal().await > 10);
    world.stop().await;
}
