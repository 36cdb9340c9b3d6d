//! `source: poll`: an object without change events arrives all the same.

use std::time::Duration;

use serde_json::json;

use crate::support::World;

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_polled_arrives_with_its_changes_deletions_and_returns() {
    let mut world = World::with(|config| {
        for line in &mut config.pipelines {
            line.from.channel = format!("/poll/{}", line.from.object).parse().unwrap();
            line.from.poll = Some(Duration::from_secs(1));
        }
    })
    .await;
    for object in ["Account", "Contact"] {
        world.control(world.source(), "capture", json!({"object": object, "on": false})).await;
    }
    world.start();
    world.live_since(orgbridge::event::Timestamp(0)).await;
    let ids = world.create("Account", (0..30).map(|n| json!({"Name": format!("polled {n}")})).collect()).await;
    world.create("Contact", vec![json!({"LastName": "Child", "AccountId": ids[0]})]).await;
    world.caught_up().await;
    assert_eq!(world.assert_equal().await, 31);

    world.update("Account", vec![(ids[1].clone(), json!({"Phone": "1", "BillingCity": "Bern"}))]).await;
    let gone: Vec<_> = ids[2..5].iter().map(|id| id.parse().unwrap()).collect();
    world.orgs[&"source".parse().unwrap()].delete(&gone).await.unwrap();
    world.caught_up().await;
    assert_eq!(world.assert_equal().await, 28);
    assert_eq!(world.target().stats()["records"]["Account"], json!(27), "deleted in the target, too");

    world.control(world.source(), "undelete", json!({"ids": [ids[2]]})).await;
    world.stop().await;
    world.update("Account", vec![(ids[6].clone(), json!({"Phone": "while nobody asked"}))]).await;
    world.start();
    world.caught_up().await;
    assert_eq!(world.assert_equal().await, 29);
    let calls = world.source().stats()["calls"].clone();
    assert!(calls["cometd"].is_null() && calls["pubsub"].is_null(), "no events were asked for: {calls}");
    world.stop().await;
    assert_eq!(world.open_gaps().await, [], "what a poll finds is no gap");
}
