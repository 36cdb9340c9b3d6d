//! Queries that no good client sends.

use serde_json::{Value as Json, json};

use super::World;

#[tokio::test]
async fn a_query_can_only_be_read() {
    let world = World::new().await;
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        for path in ["query?q=SELECT+Id+FROM+Account", "queryAll/?q=SELECT+Id+FROM+Account", "query/01gxx-2000"] {
            let message = format!("HTTP Method '{method}' not allowed. Allowed are HEAD,GET");
            let expected = json!([{"errorCode": "METHOD_NOT_ALLOWED", "message": message}]);
            assert_eq!(world.call(method, path, Json::Null).await, (405, expected));
        }
    }
}

#[tokio::test]
async fn a_query_of_nothing_is_no_query() {
    let world = World::new().await;
    let message = "A query string has to be specified";
    for path in ["query", "query/", "query?q=", "queryAll/?q=+"] {
        let expected = json!([{"errorCode": "MALFORMED_QUERY", "message": message}]);
        assert_eq!(world.call("GET", path, Json::Null).await, (400, expected), "{path}");
    }
}

#[tokio::test]
async fn an_address_has_room_for_16384_bytes_and_the_headers_share_it() {
    let world = World::new().await;
    let path = |length: usize| format!("/services/data/v66.0/query?q={}", "x".repeat(length - 29));
    let ask = async |path: String, header: usize| {
        let request = world.request("GET", &path).header("x-long", "x".repeat(header));
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(ask(path(15_000), 1).await.0, 400);
    assert_eq!(ask(path(16_384), 1).await.0, 431);
    let (status, body) = ask(path(16_385), 1).await;
    assert_eq!((status, body.as_str()), (414, "<h1>Bad Message 414</h1><pre>reason: URI Too Long</pre>"));
    assert_eq!(ask(path(100), 15_000).await.0, 400);
    assert_eq!(ask(path(100), 16_384).await.0, 431);
}
