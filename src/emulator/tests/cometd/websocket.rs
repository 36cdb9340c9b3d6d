//! Bayeux over a WebSocket.

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::*;

struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    async fn open(world: &World) -> Result<Self, tungstenite::Error> {
        let url = world.url("/cometd/62.0").replace("http://", "ws://");
        let mut request = url.into_client_request()?;
        request.headers_mut().insert("authorization", format!("Bearer {}", world.token).parse().unwrap());
        Ok(Self(connect_async(request).await?.0))
    }

    async fn send(&mut self, messages: Json) {
        self.0.send(Message::Text(messages.to_string().into())).await.unwrap();
    }

    async fn next(&mut self) -> Json {
        match self.0.next().await.unwrap().unwrap() {
            Message::Text(text) => {
                let mut frame: Vec<Json> = serde_json::from_str(&text).unwrap();
                assert_eq!(frame.len(), 1, "one message in a frame");
                frame.remove(0)
            }
            other => panic!("{other:?}"),
        }
    }

    async fn handshake(&mut self) -> String {
        self.send(json!([{"channel": "/meta/handshake", "id": "1", "version": "1.0",
            "supportedConnectionTypes": ["websocket", "long-polling"], "ext": {"replay": true}}]))
            .await;
        let reply = self.next().await;
        assert_eq!(reply["supportedConnectionTypes"], json!(["websocket", "long-polling"]));
        reply["clientId"].as_str().unwrap().to_owned()
    }
}

fn message(channel: &str, id: &str, client: &str) -> Json {
    json!({"channel": channel, "id": id, "clientId": client, "connectionType": "websocket"})
}

#[tokio::test]
async fn the_platform_takes_no_websocket() {
    let world = World::new().await;
    match Socket::open(&world).await {
        Err(tungstenite::Error::Http(answer)) => assert_eq!(answer.status(), 405),
        other => panic!("{:?}", other.map(|_| ())),
    }
    let bayeux = Bayeux::connected(&world).await;
    let mut connect = bayeux.message("/meta/connect", "2");
    connect["connectionType"] = json!("websocket");
    assert_eq!(bayeux.send(json!([connect])).await[0]["error"], "400::Invalid connection type {websocket}");
}

#[tokio::test]
async fn switched_on_events_come_at_once_whether_or_not_a_connect_waits() {
    let world = World::with(Duration::from_millis(300)).await;
    world.ok("POST", "/emulator/switches", json!({"websocket": true})).await;
    let mut socket = Socket::open(&world).await.unwrap();
    let client = socket.handshake().await;
    socket.send(json!([message("/meta/connect", "2", &client)])).await;
    let first = socket.next().await;
    assert_eq!((&first["id"], &first["advice"]["reconnect"]), (&json!("2"), &json!("retry")));
    let mut subscribe = message("/meta/subscribe", "3", &client);
    subscribe["subscription"] = json!("/data/AccountChangeEvent");
    socket.send(json!([subscribe])).await;
    assert_eq!(socket.next().await["successful"], true);
    account(&world, "A").await;
    assert_eq!(socket.next().await["data"]["payload"]["Name"], "A");
    socket.send(json!([message("/meta/connect", "4", &client)])).await;
    account(&world, "B").await;
    let (mut one, mut other) = (socket.next().await, socket.next().await);
    if one["channel"] == "/meta/connect" {
        std::mem::swap(&mut one, &mut other); // the hold was over first, on a slow machine
    }
    assert_eq!(one["data"]["payload"]["Name"], "B");
    assert_eq!((&other["id"], &other["successful"], other.get("advice")), (&json!("4"), &json!(true), None));
    socket.send(json!([message("/meta/disconnect", "5", &client)])).await;
    assert_eq!(socket.next().await["channel"], "/meta/disconnect");
}

#[tokio::test]
async fn the_session_outlives_its_socket() {
    let world = World::new().await;
    world.ok("POST", "/emulator/switches", json!({"websocket": true})).await;
    let mut socket = Socket::open(&world).await.unwrap();
    let client = socket.handshake().await;
    let mut subscribe = message("/meta/subscribe", "2", &client);
    subscribe["subscription"] = json!("/data/AccountChangeEvent");
    socket.send(json!([subscribe])).await;
    socket.next().await;
    drop(socket);
    account(&world, "meanwhile").await;
    let mut again = Socket::open(&world).await.unwrap();
    again.send(json!([message("/meta/connect", "3", &client)])).await;
    let (one, other) = (again.next().await, again.next().await);
    let names: Vec<&Json> = [&one, &other].into_iter().map(|message| &message["data"]["payload"]["Name"]).collect();
    assert!(names.contains(&&json!("meanwhile")), "{one} {other}");
    world.faults(json!({"drop_sessions": true})).await;
    again.send(json!([message("/meta/connect", "4", &client)])).await;
    let lost = again.next().await;
    assert_eq!((&lost["error"], &lost["advice"]["reconnect"]), (&json!("403::Unknown client"), &json!("handshake")));
}

#[tokio::test]
async fn what_is_no_bayeux_closes_the_socket() {
    let world = World::new().await;
    world.ok("POST", "/emulator/switches", json!({"websocket": true})).await;
    let mut socket = Socket::open(&world).await.unwrap();
    socket.0.send(Message::Text("nonsense".into())).await.unwrap();
    match socket.0.next().await.unwrap().unwrap() {
        Message::Close(Some(frame)) => assert_eq!(u16::from(frame.code), 1011),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_fault_bars_the_upgrade_and_a_cut_ends_an_open_socket() {
    let world = World::new().await;
    world.ok("POST", "/emulator/switches", json!({"websocket": true})).await;
    world
        .rules(json!([{"kind": "refuse", "path": "/cometd*", "nth": 1}, {"kind": "cut", "path": "/cometd*", "nth": 2}]))
        .await;
    match Socket::open(&world).await {
        Err(tungstenite::Error::Http(answer)) => assert_eq!(answer.status(), 503),
        other => panic!("{:?}", other.map(|_| ())),
    }
    assert!(Socket::open(&world).await.is_err());
    let mut socket = Socket::open(&world).await.unwrap();
    socket.handshake().await;
    world.ok("POST", "/emulator/cut", Json::Null).await;
    assert!(!matches!(socket.0.next().await, Some(Ok(_))), "the line ends without a goodbye");
}

#[tokio::test]
async fn a_silent_socket_says_nothing_at_the_end_of_the_hold_and_goes_on_later() {
    let world = World::with(Duration::from_millis(50)).await;
    world.ok("POST", "/emulator/switches", json!({"websocket": true})).await;
    let mut socket = Socket::open(&world).await.unwrap();
    let client = socket.handshake().await;
    socket.send(json!([message("/meta/connect", "2", &client)])).await;
    socket.next().await;
    world.ok("POST", "/emulator/streams", json!({"silent": true})).await;
    socket.send(json!([message("/meta/connect", "3", &client)])).await;
    assert!(tokio::time::timeout(Duration::from_millis(300), socket.next()).await.is_err());
    world.ok("POST", "/emulator/streams", json!({"silent": false})).await;
    assert_eq!(socket.next().await["id"], "3");
}

#[tokio::test]
async fn more_than_goes_out_at_once_comes_without_waiting_for_anything() {
    let world = World::new().await;
    world.ok("POST", "/emulator/switches", json!({"websocket": true})).await;
    for batch in 0..12 {
        let records = (0..200).map(|n| json!({"Name": format!("{batch} {n}")})).collect();
        world.ok("POST", "composite/sobjects", crate::tests::collection("Account", records)).await;
    }
    let mut socket = Socket::open(&world).await.unwrap();
    let client = socket.handshake().await;
    let mut subscribe = message("/meta/subscribe", "2", &client);
    subscribe["subscription"] = json!("/data/AccountChangeEvent");
    subscribe["ext"] = json!({"replay": {"/data/AccountChangeEvent": -2}});
    socket.send(json!([subscribe])).await;
    let mut events = 0;
    while events < 2_400 {
        let message = tokio::time::timeout(Duration::from_secs(20), socket.next()).await.expect("it stands still");
        events += usize::from(message.get("data").is_some());
    }
}
