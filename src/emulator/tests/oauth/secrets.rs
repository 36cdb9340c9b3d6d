//! What must never be printed.

use serde_json::{Value as Json, json};

use super::support::{PASSWORD, User, text, world};
use crate::AppSpec;

#[tokio::test]
async fn no_secret_is_in_what_debug_prints() {
    let world = world(json!([{"consumer_secret": "TheConsumerSecret"}])).await;
    world.ok("POST", "/emulator/oauth", json!({"consent": "approve"})).await;
    let user = User { secret: "TheConsumerSecret".into(), ..User::of(&world) };
    let body = user.log_in().await;
    let host = &world.org().host;
    let printed = [
        format!("{:?}", world.emulator),
        format!("{:?}", world.org()),
        format!("{host:?}"),
        format!("{:?}", host.login()),
        format!("{:?}", host.tokens()),
        format!("{:?}", host.org().users()),
        format!("{:?}", *host.org()),
    ]
    .concat();
    for (what, secret) in [
        ("consumer secret", "TheConsumerSecret"),
        ("first secret", &*world.org().client_secret),
        ("access token", text(&body, "access_token")),
        ("refresh token", text(&body, "refresh_token")),
        ("password", PASSWORD),
    ] {
        assert!(!printed.contains(secret), "{what}");
    }
    let spec: AppSpec = serde_json::from_value(json!({"consumer_secret": "TheConsumerSecret"})).unwrap();
    assert!(format!("{spec:?}").contains("[redacted]") && !format!("{spec:?}").contains("TheConsumerSecret"));
}

#[tokio::test]
async fn the_control_endpoint_shows_no_secret_either() {
    let world = world(json!([{"consumer_secret": "TheConsumerSecret"}])).await;
    for path in ["apps", "users", "oauth"] {
        let shown = world.ok("GET", &format!("/emulator/{path}"), Json::Null).await.to_string();
        assert!(!shown.contains("TheConsumerSecret") && !shown.contains("\"password\""), "{shown}");
    }
}
