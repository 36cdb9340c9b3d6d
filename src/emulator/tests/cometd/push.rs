//! PushTopics and generic channels.

use super::*;

async fn topic(world: &World, more: Json) -> Json {
    let mut fields = json!({"Name": "Banks", "ApiVersion": 62.0,
        "Query": "SELECT Id, Name, Phone FROM Account WHERE Industry = 'Banking'"});
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.ok("POST", "sobjects/PushTopic", fields).await
}

async fn bank(world: &World, name: &str) -> String {
    let body = json!({"Name": name, "Industry": "Banking", "Phone": "1"});
    world.ok("POST", "sobjects/Account", body).await["id"].as_str().unwrap().to_owned()
}

fn told(events: &[Json]) -> Vec<(&str, &str)> {
    let data = events.iter().map(|event| &event["data"]);
    data.map(|data| (data["event"]["type"].as_str().unwrap(), data["sobject"]["Name"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn a_push_topic_tells_of_records_that_fit_its_query_with_the_selected_fields() {
    let world = World::new().await;
    topic(&world, json!({})).await;
    let bayeux = Bayeux::connected(&world).await;
    bayeux.subscribe("/topic/Banks", Json::Null).await;
    let id = bank(&world, "A").await;
    world.ok("POST", "sobjects/Account", json!({"Name": "no bank"})).await;
    let path = format!("sobjects/Account/{id}");
    world.ok("PATCH", &path, json!({"Phone": "2"})).await;
    world.ok("PATCH", &path, json!({"AccountNumber": "neither selected nor in the condition"})).await;
    world.ok("DELETE", &path, Json::Null).await;
    world.ok("POST", "/emulator/undelete", json!({"ids": [id]})).await;
    let events = bayeux.events(Vec::new(), 4).await;
    assert_eq!(told(&events), [("created", "A"), ("updated", "A"), ("deleted", "A"), ("undeleted", "A")]);
    let first = &events[0];
    assert_eq!(first["channel"], "/topic/Banks");
    assert_eq!(first["data"]["event"]["replayId"], 1);
    assert_eq!(first["data"]["sobject"], json!({"Id": id, "Name": "A", "Phone": "1"}));
    let created = first["data"]["event"]["createdDate"].as_str().unwrap();
    assert!(created.ends_with('Z') && created.len() == "2021-08-05T17:49:08.990Z".len(), "{created}");
}

#[tokio::test]
async fn a_push_topic_replays_for_a_day_and_says_which_ids_are_gone() {
    let world = World::new().await;
    topic(&world, json!({"NotifyForOperationUpdate": false, "NotifyForFields": "All"})).await;
    for name in ["A", "B", "C"] {
        let id = bank(&world, name).await;
        world.ok("PATCH", &format!("sobjects/Account/{id}"), json!({"Phone": "2"})).await;
    }
    let bayeux = Bayeux::connected(&world).await;
    let first = bayeux.subscribe("/topic/Banks", json!(1)).await;
    let events = bayeux.events(first.into_iter().collect(), 2).await;
    assert_eq!(told(&events), [("created", "B"), ("created", "C")]);
    world.ok("POST", "/emulator/time", json!({"advance_seconds": 25 * 3600})).await;
    let mut world = world;
    world.log_in().await;
    let later = Bayeux::connected(&world).await;
    let refused = later.send(json!([later.subscription("/topic/Banks", json!(2))])).await;
    assert!(refused[0]["error"].as_str().unwrap().starts_with("400::The replayId {2} you provided was invalid"));
    later.subscribe("/topic/Banks", json!(-2)).await;
}

#[tokio::test]
async fn a_filter_behind_the_name_lets_only_some_through_and_is_no_part_of_the_replay_map() {
    let world = World::new().await;
    topic(&world, json!({})).await;
    let bayeux = Bayeux::connected(&world).await;
    let mut message = bayeux.subscription("/topic/Banks?Name='B'", Json::Null);
    message["ext"] = json!({"replay": {"/topic/Banks": -2}});
    assert_eq!(bayeux.send(json!([message])).await[0]["successful"], true);
    for name in ["A", "B"] {
        bank(&world, name).await;
    }
    assert_eq!(told(&bayeux.events(Vec::new(), 1).await), [("created", "B")]);
}

#[tokio::test]
async fn topics_that_are_off_unreadable_or_nowhere_are_refused() {
    let mut world = World::new().await;
    let id = topic(&world, json!({})).await["id"].as_str().unwrap().to_owned();
    for query in [
        "SELECT Name FROM Account",
        "SELECT Id FROM Nope",
        "SELECT Id, Nope FROM Account",
        "SELECT COUNT() FROM Account",
        "nonsense",
    ] {
        let body = json!({"Name": "Bad", "Query": query, "ApiVersion": 62.0});
        assert_eq!(world.call("POST", "sobjects/PushTopic", body).await.1[0]["errorCode"], "INVALID_FIELD", "{query}");
    }
    {
        let bayeux = Bayeux::connected(&world).await;
        let error = async |channel: &str| {
            let reply = bayeux.send(json!([bayeux.subscription(channel, Json::Null)])).await;
            reply[0]["error"].as_str().unwrap().to_owned()
        };
        let nowhere = error("/topic/Nope").await;
        assert_eq!(nowhere, "400::The channel you requested to subscribe to doesn't exist {/topic/Nope}");
        world.ok("PATCH", &format!("sobjects/PushTopic/{id}"), json!({"IsActive": false})).await;
        assert!(error("/topic/Banks").await.starts_with("400::"));
        assert_eq!(error("/u/Nope").await, "404::Unknown channel {/u/Nope}");
    }
    topic(&world, json!({"Name": "Leads", "Query": "SELECT Id, Name FROM Lead"})).await;
    world.log_in_as("limited").await;
    let bayeux = Bayeux::connected(&world).await;
    let refused = bayeux.send(json!([bayeux.subscription("/topic/Leads", Json::Null)])).await;
    assert_eq!(refused[0]["error"], "403::Subscriber does not have access to the entity in this topic");
}

#[tokio::test]
async fn a_generic_channel_carries_any_text_to_whoever_listens() {
    let world = World::new().await;
    let id = world.ok("POST", "sobjects/StreamingChannel", json!({"Name": "/u/Broadcast"})).await["id"].clone();
    let bayeux = Bayeux::connected(&world).await;
    bayeux.subscribe("/u/Broadcast", json!(-1)).await;
    let path = format!("sobjects/StreamingChannel/{}/push", id.as_str().unwrap());
    let results = world.ok("POST", &path, json!({"pushEvents": [{"payload": "any \"text\""}, {"payload": "2"}]})).await;
    assert_eq!(results.as_array().unwrap().len(), 2);
    let events = bayeux.events(Vec::new(), 2).await;
    assert_eq!(events[0]["data"]["payload"], "any \"text\"");
    assert_eq!((&events[0]["clientId"], &events[0]["channel"]), (&json!(bayeux.client_id), &json!("/u/Broadcast")));
    assert_eq!(events[1]["data"]["event"]["replayId"], 2);
    let (status, _) = world.call("POST", "sobjects/StreamingChannel", json!({"Name": "Broadcast"})).await;
    assert_eq!(status, 400);
}
