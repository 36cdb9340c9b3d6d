//! Who gets in: the port, and the metadata of a call.

use tonic::Code;

use super::support::{Client, code, first, tunnel};
use crate::tests::World;
use crate::{Emulator, Options};
use pubsub_api::ReplayPreset;

const TOPIC: &str = "/data/AccountChangeEvent";

#[tokio::test]
async fn the_port_speaks_plain_text_and_tls() {
    let world = World::new().await;
    let plain = Client::new(&world).await.topic(TOPIC).await.unwrap();
    let (url, _tunnel) = tunnel(&world).await;
    let secure = Client::at(&world, &url).await.topic(TOPIC).await.unwrap();
    assert_eq!(plain.schema_id, secure.schema_id);
    assert_ne!(plain.rpc_id, secure.rpc_id);
}

#[tokio::test]
async fn a_call_without_one_of_the_three_headers_is_refused() {
    let world = World::new().await;
    let client = Client::new(&world).await;
    for header in ["accesstoken", "instanceurl", "tenantid"] {
        let mut without = client.clone();
        without.headers.remove(header);
        let mut blank = client.clone();
        blank.headers.insert(header, " ".parse().unwrap());
        for client in [without, blank] {
            let status = client.topic(TOPIC).await.unwrap_err();
            assert_eq!(code(&status), "service.auth.headers.invalid");
            assert!(status.message().contains(header), "{}", status.message());
        }
    }
}

#[tokio::test]
async fn nobody_gets_in_with_what_belongs_to_no_org_or_to_another() {
    let options = Options { orgs: vec!["one".into(), "two".into()], ..World::options(super::support::LONG) };
    let world = World::start(options).await;
    let client = Client::new(&world).await;
    let other = &world.emulator.orgs[1];
    let port = world.org().base_url.rsplit_once(':').unwrap().1.to_owned();
    for (header, value) in [
        ("accesstoken", "nobody".to_owned()),
        ("accesstoken", format!("Bearer {}", world.token)),
        ("instanceurl", other.base_url.clone()),
        ("instanceurl", format!("http://example.com:{port}")),
        ("instanceurl", format!("http://localhost:{port}/services")),
        ("instanceurl", format!("ftp://localhost:{port}")),
        ("instanceurl", "localhost".to_owned()),
        ("tenantid", other.org_id.clone()),
        ("tenantid", "00D000000000000AAA".to_owned()),
        ("tenantid", "00D".to_owned()),
    ] {
        let mut client = client.clone();
        client.headers.insert(header, value.parse().unwrap());
        let status = client.topic(TOPIC).await.unwrap_err();
        assert_eq!((status.code(), code(&status)), (Code::Unauthenticated, "service.auth.error"), "{header}: {value}");
        let rpc_id = status.metadata().get("rpc-id").unwrap().to_str().unwrap();
        let text = "An authentication exception occurred. Provide valid authentication via metadata headers.";
        assert_eq!(status.message(), format!("{text} rpcId: {rpc_id}"));
        assert_eq!(status.metadata().get("type").unwrap(), "GetTopic");
    }
}

#[tokio::test]
async fn an_org_is_known_by_its_short_id_and_by_every_name_of_its_machine() {
    let world = World::new().await;
    let client = Client::new(&world).await;
    let port = world.org().base_url.rsplit_once(':').unwrap().1;
    for (header, value) in [
        ("tenantid", world.org().org_id[..15].to_owned()),
        ("instanceurl", format!("http://localhost:{port}")),
        ("instanceurl", format!("https://127.0.0.1:{port}")),
        ("instanceurl", format!("https://localhost:{port}/")),
    ] {
        let mut client = client.clone();
        client.headers.insert(header, value.parse().unwrap());
        let topic = client.topic(TOPIC).await.unwrap();
        assert_eq!(topic.tenant_guid, format!("CORE/prod/{}", world.org().org_id));
    }
}

#[tokio::test]
async fn who_may_not_use_the_api_does_not_get_in() {
    let world = World::new().await;
    let client = Client::new(&world).await;
    let change = serde_json::json!({"username": "integration@one.example.com", "api_enabled": false});
    world.ok("POST", "/emulator/users", change).await;
    assert_eq!(code(&client.topic(TOPIC).await.unwrap_err()), "service.auth.error");
}

#[tokio::test]
async fn the_port_can_be_chosen_and_is_free_again_after_the_end() {
    let options = World::options(super::support::LONG);
    let emulator = Emulator::start(options.clone()).await.unwrap();
    let port = emulator.pubsub.strip_prefix("localhost:").unwrap().parse().unwrap();
    emulator.shutdown().await;
    let again = Options { pubsub_port: Some(port), ..options };
    let world = World::start(again).await;
    assert_eq!(world.emulator.pubsub, format!("localhost:{port}"));
    Client::new(&world).await.topic(TOPIC).await.unwrap();
}

#[tokio::test]
async fn a_stream_fails_before_its_first_message_as_every_call_does() {
    let world = World::new().await;
    let mut client = Client::new(&world).await;
    client.headers.insert("accesstoken", "nobody".parse().unwrap());
    let status = client.subscribe(first(TOPIC, ReplayPreset::Latest, 1)).error().await;
    assert_eq!(code(&status), "service.auth.error");
    assert_eq!(status.metadata().get("type").unwrap(), "Subscribe");
}
