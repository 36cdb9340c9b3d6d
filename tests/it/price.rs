//! What it costs: counts of API calls, never times.

use serde_json::{Value as Json, json};

use crate::support::World;

fn writes(stats: &Json) -> u64 {
    let calls = &stats["calls"];
    ["composite_upsert", "composite_update", "composite_delete"]
        .iter()
        .map(|kind| calls[*kind].as_u64().unwrap_or(0))
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_changes_that_waited_for_the_target_take_five_calls() {
    let mut world = World::started().await;
    let accounts = (0..1_000).map(|n| json!({"Name": format!("Account {n}")})).collect();
    let ids = world.create("Account", accounts).await;
    world.caught_up().await;
    // Held: the target refuses every write, so nothing but the journal takes what comes.
    world.rules(world.target(), json!([{"kind": "refuse"}])).await;
    world.update("Account", ids.into_iter().map(|id| (id, json!({"Phone": "+1 555 0100"}))).collect()).await;
    world
        .until("a thousand waiting changes", |status| {
            status.pipelines.iter().any(|(name, line)| name.as_str() == "accounts" && line.waiting == 1_000)
        })
        .await;
    let before = world.target().stats();
    world.no_faults(world.target()).await;
    world.caught_up().await;
    let calls = writes(&world.target().stats()) - writes(&before);
    println!("a thousand changes to distinct records took {calls} calls");
    assert_eq!(calls, 5);
    world.assert_equal().await;
    world.stop().await;
}
