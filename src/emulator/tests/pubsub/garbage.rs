//! Requests that no client makes: the server answers or refuses, and goes on.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::json;
use tokio::task::JoinSet;

use super::support::{Client, LONG};
use crate::tests::World;

const METHODS: [&str; 6] = ["Subscribe", "GetSchema", "GetTopic", "Publish", "PublishStream", "ManagedSubscribe"];

/// A message as gRPC frames it; `lie` instead of its length.
fn frame(message: &[u8], lie: Option<u32>) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(0);
    out.put_u32(lie.unwrap_or_else(|| u32::try_from(message.len()).unwrap()));
    out.put_slice(message);
    out.freeze()
}

/// Something that begins like a message of the API, and goes on in any way.
fn message(rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..rng.usize(..6) {
        match rng.u8(..5) {
            0 => out.extend(b"\x0a\x12/data/ChangeEvents"),
            1 => out.extend([0x10, rng.u8(..4)]),
            2 => out.extend([0x20, rng.u8(..)]),
            3 => {
                let text: Vec<u8> = (0..rng.u8(..30)).map(|_| rng.u8(..)).collect();
                out.extend([rng.u8(..6) * 8 + 2, u8::try_from(text.len()).unwrap()]);
                out.extend(text);
            }
            _ => out.extend((0..rng.usize(..20)).map(|_| rng.u8(..))),
        }
    }
    out
}

#[tokio::test]
async fn no_bytes_make_the_server_panic_or_hang() {
    let world = World::new().await;
    world.switch(json!({"pubsub_idle_ms": 20, "pubsub_publish_idle_ms": 20, "pubsub_keepalive_ms": 10})).await;
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let mut rng = fastrand::Rng::with_seed(3);
    let mut calls = JoinSet::new();
    for n in 0..600 {
        let mut body = BytesMut::new();
        for _ in 0..rng.usize(..4) {
            let lie = (rng.u8(..10) == 0).then(|| rng.u32(..));
            body.extend(frame(&message(&mut rng), lie));
        }
        let url = format!("http://{}/eventbus.v1.PubSub/{}", world.emulator.pubsub, METHODS[n % METHODS.len()]);
        let request = client
            .post(url)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("accesstoken", &world.token)
            .header("instanceurl", &world.org().base_url)
            .header("tenantid", &world.org().org_id)
            .body(body.freeze())
            .timeout(LONG + Duration::from_secs(20));
        calls.spawn(async move {
            // Trailers are not for this client; a reset is an answer too. Only silence is none.
            match request.send().await {
                Ok(answer) => answer.bytes().await.map(drop),
                Err(error) => Err(error),
            }
        });
    }
    let mut answered = 0;
    while let Some(outcome) = calls.join_next().await {
        let outcome = outcome.unwrap();
        assert!(outcome.as_ref().err().is_none_or(|error| !error.is_timeout()), "{outcome:?}");
        answered += 1;
    }
    assert_eq!(answered, 600);
    let client = Client::new(&world).await;
    client.topic("/data/ChangeEvents").await.expect("the server still works");
}
