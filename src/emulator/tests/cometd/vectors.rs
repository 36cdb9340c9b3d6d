//! Every exchange of the vectors that has no event in it, as this server answers it.

use super::*;

fn vector(name: &str) -> Json {
    let text = include_str!("../../../../tests/vectors/cometd_messages.json");
    let file: Json = serde_json::from_str(text).unwrap();
    file["exchanges"].as_array().unwrap().iter().find(|vector| vector["name"] == name).unwrap().clone()
}

/// Whether an answer says what the vector says. It may say more in an advice: some clients want all of it.
fn assert_like(name: &str, answer: &Json, wanted: &Json, own_id: &Json, client: &str) {
    let mut wanted = wanted.clone();
    let fields = wanted.as_object_mut().unwrap();
    if fields.contains_key("id") {
        fields.insert("id".into(), own_id.clone());
    }
    if fields.contains_key("clientId") {
        fields.insert("clientId".into(), json!(client));
    }
    let mut answer = answer.clone();
    if let (Some(own), Some(advice)) =
        (answer.get_mut("advice").and_then(Json::as_object_mut), wanted["advice"].as_object())
    {
        own.retain(|key, _| advice.contains_key(key));
    }
    if let (Some(own), true) = (answer.as_object_mut(), wanted.get("clientId").is_none()) {
        own.remove("clientId"); // "missing in some error replies"
    }
    assert_eq!(answer, wanted, "{name}");
}

#[tokio::test]
async fn requests_of_the_vectors_get_the_answers_of_the_vectors() {
    let world = World::of(
        r#"
objects:
  - { name: Order_Event__e, fields: [{ name: City__c, type: string, length: 20 }] }
"#,
    )
    .await;
    world
        .ok("POST", "sobjects/PushTopic", json!({"Name": "X", "Query": "SELECT Id FROM Account", "ApiVersion": 62.0}))
        .await;
    world.ok("POST", "sobjects/Order_Event__e", json!({"City__c": "x"})).await;
    let published = world.events().last().unwrap()["event"]["replayId"].clone();
    let bayeux = Bayeux::new(&world).await;
    for name in [
        "connect_first",
        "subscribe_tip",
        "subscribe_resume",
        "subscribe_replay_expired",
        "subscribe_replay_map_wrong",
        "unsubscribe",
        "disconnect",
    ] {
        let vector = vector(name);
        let mut request = vector["request"].clone();
        request[0]["clientId"] = json!(bayeux.client_id);
        if name == "subscribe_resume" {
            request[0]["ext"]["replay"]["/event/Order_Event__e"] = published.clone();
        }
        let answer = bayeux.send(request.clone()).await;
        assert_eq!(answer.len(), 1, "{name}: {answer:?}");
        let mut wanted = vector["response"][0].clone();
        if name == "connect_first" {
            wanted["advice"]["timeout"] = json!(20_000); // the hold of these tests
        }
        assert_like(name, &answer[0], &wanted, &request[0]["id"], &bayeux.client_id);
    }
}

#[tokio::test]
async fn a_handshake_and_an_idle_connect_are_answered_as_in_the_vectors() {
    let world = World::with(Duration::from_millis(50)).await;
    let plain = Bayeux { world: &world, client: crate::tests::http_client(), client_id: String::new() };
    let hello = vector("handshake");
    let answer = plain.send(hello["request"].clone()).await;
    let client = answer[0]["clientId"].as_str().unwrap().to_owned();
    assert!((26..=29).contains(&client.len()) && client.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase()));
    assert_like("handshake", &answer[0], &hello["response"][0], &json!("1"), &client);
    let bayeux = Bayeux { client_id: client, ..plain };
    bayeux.connect("2").await;
    let idle = vector("connect_idle");
    let mut request = idle["request"].clone();
    request[0]["clientId"] = json!(bayeux.client_id);
    let answer = bayeux.send(request).await;
    assert_like("connect_idle", &answer[0], &idle["response"][0], &json!("3"), &bayeux.client_id);
}

#[tokio::test]
async fn failures_of_the_vectors_are_told_as_in_the_vectors() {
    let mut world = World::new().await;
    let good = std::mem::replace(&mut world.token, "nonsense".into());
    let hello = vector("handshake")["request"].clone();
    let shake = async |world: &World, name: &str| {
        let plain = Bayeux { world, client: crate::tests::http_client(), client_id: String::new() };
        let answer = plain.send(hello.clone()).await;
        assert_like(name, &answer[0], &vector(name)["response"][0], &json!("1"), "");
    };
    shake(&world, "handshake_bad_token").await;
    world.token = good;
    world.ok("POST", "/emulator/streams", json!({"too_many_connections": 1})).await;
    shake(&world, "handshake_connection_limit").await;
    let bayeux = Bayeux::connected(&world).await;
    let fails = async |name: &str| {
        let answer = bayeux.connect("x").await;
        let wanted = vector(name)["response"].as_array().unwrap().clone();
        assert_eq!(answer.len(), wanted.len(), "{name}");
        for (answer, wanted) in answer.iter().zip(&wanted) {
            assert_like(name, answer, wanted, &json!("x"), &bayeux.client_id);
        }
    };
    world.ok("POST", "/emulator/streams", json!({"busy": 1})).await;
    fails("connect_busy").await;
    world.faults(json!({"disconnect": true})).await;
    fails("connect_server_disconnect").await;
    fails("connect_unknown_client").await;
    let bayeux = Bayeux::connected(&world).await;
    world.faults(json!({"expire_tokens": true})).await;
    let answer = bayeux.connect("x").await;
    let wanted = &vector("connect_token_revoked")["response"][0];
    assert_like("connect_token_revoked", &answer[0], wanted, &json!("x"), &bayeux.client_id);
}
