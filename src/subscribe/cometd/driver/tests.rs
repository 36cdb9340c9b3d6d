//! The driver against a small Bayeux server on loopback, which keeps its sessions, cookies and tokens strictly.

use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value as Json, json};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::*;
use crate::event::{ObjectName, ReplayFrom, ReplayId};
use crate::subscribe::position::Plan;

const CHANNEL: &str = "/data/AccountChangeEvent";
const HOLD: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Server {
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Default)]
struct Inner {
    /// All that was ever published; the replay id is the place, from 1.
    bus: Vec<Json>,
    sessions: u64,
    /// The one session that lives: its number, and up to where it was sent events, once it is subscribed.
    session: Option<(u64, Option<usize>)>,
    token: u64,
    /// The next held connect is answered with half a message.
    cut: bool,
    /// The next request is refused like this, without a Bayeux body.
    status: Option<u16>,
    /// So many subscribes to come are refused.
    refusals: u32,
    asked: Vec<Json>,
}

impl Server {
    fn with<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let result = change(&mut self.inner.lock().unwrap());
        self.changed.notify_waiters();
        result
    }

    fn publish(&self) {
        self.with(|inner| {
            let id = inner.bus.len() + 1;
            inner.bus.push(json!({"channel": CHANNEL, "data": {"event": {"replayId": id}, "payload": {
                "Name": "Acme", "ChangeEventHeader": {"entityName": "Account", "recordIds": ["001000000000001AAA"],
                "changeType": "CREATE", "sequenceNumber": 1, "transactionKey": format!("key-{id}"),
                "commitTimestamp": Timestamp::now().0}}}}));
        });
    }

    fn count(&self, meta: &str) -> usize {
        self.with(|inner| inner.asked.iter().filter(|asked| asked["channel"] == meta).count())
    }

    async fn answer(&self, headers: &HeaderMap, body: &Bytes) -> Response {
        if let Some(status) = self.with(|inner| inner.status.take()) {
            return (StatusCode::from_u16(status).unwrap(), "<html>no</html>").into_response();
        }
        assert_eq!(headers["content-type"], "application/json;charset=UTF-8");
        let messages: Vec<Json> = serde_json::from_slice(body).unwrap();
        let [message] = &messages[..] else { panic!("one message a request") };
        let meta = message["channel"].as_str().unwrap().to_owned();
        let mut reply = json!({"channel": meta, "id": message["id"], "successful": true});
        let token = self.with(|inner| {
            inner.asked.push(message.clone());
            format!("Bearer token-{}", inner.token)
        });
        let refuse = |mut reply: Json, error: &str| {
            reply["successful"] = json!(false);
            reply["error"] = json!(error);
            axum::Json(json!([reply])).into_response()
        };
        if headers["authorization"] != token {
            return refuse(reply, "401::Authentication invalid");
        }
        if meta == "/meta/handshake" {
            assert!(headers.get("cookie").is_none(), "a fresh session has no cookies");
            let number = self.with(|inner| {
                inner.sessions += 1;
                inner.session = Some((inner.sessions, None));
                inner.sessions
            });
            reply["clientId"] = json!(format!("client-{number}"));
            let cookie = format!("BAYEUX_BROWSER=browser-{number}; Path=/; HttpOnly");
            return ([("set-cookie", cookie)], axum::Json(json!([reply]))).into_response();
        }
        let known = self.with(|inner| match inner.session {
            Some((number, _)) => {
                message["clientId"] == format!("client-{number}")
                    && headers.get("cookie").is_some_and(|cookie| cookie == &format!("BAYEUX_BROWSER=browser-{number}"))
            }
            None => false,
        });
        if !known {
            return refuse(reply, "403::Unknown client");
        }
        match meta.as_str() {
            "/meta/subscribe" => self.with(|inner| {
                if inner.refusals > 0 {
                    inner.refusals -= 1;
                    return refuse(reply, "403::User not allowed to subscribe CDC without View All Data permissions");
                }
                let asked = message["ext"]["replay"][CHANNEL].as_i64().unwrap();
                let newest = inner.bus.len();
                let sent = match asked {
                    -1 => newest,
                    -2 => 0,
                    id if usize::try_from(id).unwrap() <= newest => usize::try_from(id).unwrap(),
                    _ => return refuse(reply, "400::The replayId {9} you provided was invalid."),
                };
                inner.session.as_mut().unwrap().1 = Some(sent);
                axum::Json(json!([reply])).into_response()
            }),
            "/meta/connect" => {
                let hold = if message["advice"]["timeout"] == json!(0) { Duration::ZERO } else { HOLD };
                self.connect(reply, hold).await
            }
            "/meta/disconnect" => {
                self.with(|inner| inner.session = None);
                axum::Json(json!([reply])).into_response()
            }
            other => panic!("{other}"),
        }
    }

    async fn connect(&self, reply: Json, hold: Duration) -> Response {
        let end = Instant::now() + hold;
        loop {
            let changed = self.changed.notified();
            let answer = {
                let mut inner = self.inner.lock().unwrap();
                let Inner { bus, session, cut, .. } = &mut *inner;
                match session {
                    None => Some(json!([{"channel": "/meta/connect", "id": reply["id"], "successful": false,
                        "error": "403::Unknown client", "advice": {"reconnect": "handshake"}}])),
                    Some((_, Some(sent))) if *sent < bus.len() => {
                        let mut messages = bus[*sent..].to_vec();
                        *sent = bus.len();
                        messages.push(reply.clone());
                        if std::mem::take(cut) {
                            return "[{\"channel\":\"/da".into_response();
                        }
                        Some(Json::Array(messages))
                    }
                    Some(_) if Instant::now() >= end => Some(json!([reply])),
                    Some(_) => None,
                }
            };
            match answer {
                Some(messages) => {
                    let date = chrono::Utc::now().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
                    return ([("date", date)], axum::Json(messages)).into_response();
                }
                None => {
                    let _ = tokio::time::timeout_at(end, changed).await;
                }
            }
        }
    }
}

struct Tokens {
    server: Arc<Server>,
    url: Url,
}

impl Logins for Tokens {
    async fn next(&mut self) -> Result<Access, OrgError> {
        let token = self.server.with(|inner| inner.token);
        Ok(Access {
            instance_url: self.url.clone(),
            token: SecretString::from(format!("token-{token}")),
            org_id: "00D000000000001AAA".to_owned(),
        })
    }
}

struct Running {
    server: Arc<Server>,
    arrivals: mpsc::Receiver<(Channel, Arrival)>,
    state: watch::Receiver<Subscriptions>,
    cancel: CancellationToken,
    tasks: JoinSet<Result<(), SubscribeError>>,
}

impl Running {
    async fn start(from: ReplayFrom, prepare: impl FnOnce(&Server)) -> Self {
        Self::start_with(from, Timings::default(), prepare).await
    }

    async fn start_with(from: ReplayFrom, timings: Timings, prepare: impl FnOnce(&Server)) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = Arc::new(Server::default());
        prepare(&server);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: Url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let handler = |Shared(server): Shared<Arc<Server>>, headers: HeaderMap, body: Bytes| async move {
            server.answer(&headers, &body).await
        };
        let routes = axum::Router::new().route("/cometd/66.0", axum::routing::post(handler)).with_state(server.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            axum::serve(listener, routes).await.unwrap();
            Ok(())
        });
        let (sender, arrivals) = mpsc::channel(1); // As narrow as can be: the driver has to wait for us.
        let (states, state) = watch::channel(Subscriptions::new());
        let cancel = CancellationToken::new();
        let plan = Plan { from, skip_before: None, live_until: None, commit_start: None };
        let channels = vec![ChannelStart { channel: CHANNEL.parse().unwrap(), plan, wanted: None }];
        let tokens = Tokens { server: server.clone(), url };
        let session = Session::new(channels, timings, Instant::now());
        tasks.spawn(drive(
            tokens,
            "66.0".to_owned(),
            session,
            Anything,
            sender,
            states,
            watch::channel(0).1,
            cancel.clone(),
        ));
        Self { server, arrivals, state, cancel, tasks }
    }

    async fn next(&mut self) -> Arrival {
        tokio::time::timeout(PATIENCE, self.arrivals.recv()).await.unwrap().unwrap().1
    }

    /// The ids of the next changes; other arrivals are skipped.
    async fn changes(&mut self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        while ids.len() < count {
            if let Arrival::Change(change) = self.next().await {
                ids.push(format!("{:?}", change.replay_id));
            }
        }
        ids
    }

    async fn until(&mut self, wanted: State) {
        self.until_so(|state| *state == wanted).await;
    }

    async fn until_so(&mut self, wished: impl Fn(&State) -> bool) {
        let channel: Channel = CHANNEL.parse().unwrap();
        let reached = self.state.wait_for(|all| all.get(&channel).is_some_and(|status| wished(&status.state)));
        // Arrivals have to flow meanwhile, or the driver would rightly stand still.
        tokio::select! {
            reached = tokio::time::timeout(PATIENCE, reached) => { reached.unwrap().unwrap(); }
            () = async { while self.arrivals.recv().await.is_some() {} } => panic!("ended"),
        }
    }

    async fn stop(mut self) {
        self.cancel.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.tasks.join_next()).await.unwrap();
        assert!(matches!(ended, Some(Ok(Ok(())))), "{ended:?}");
    }
}

#[tokio::test]
async fn events_come_in_order_and_a_stop_says_goodbye() {
    let mut running = Running::start(ReplayFrom::Earliest, |server| (0..3).for_each(|_| server.publish())).await;
    assert_eq!(running.changes(3).await, ["1", "2", "3"]);
    running.server.publish();
    assert_eq!(running.changes(1).await, ["4"]);
    running.until(State::Live).await;
    assert_eq!(running.state.borrow()[&CHANNEL.parse::<Channel>().unwrap()].received, 4);
    let server = running.server.clone();
    running.stop().await;
    assert_eq!((server.count("/meta/handshake"), server.count("/meta/disconnect")), (1, 1));
}

#[tokio::test]
async fn being_live_is_told_behind_the_changes() {
    let mut running = Running::start(ReplayFrom::Earliest, Server::publish).await;
    let before = Timestamp::now();
    assert!(matches!(running.next().await, Arrival::Change(_)));
    let Arrival::Live { until } = running.next().await else { panic!() };
    assert!(until < before && until > before.minus(Duration::from_secs(60)));
    running.stop().await;
}

#[tokio::test]
async fn what_a_cut_line_lost_comes_in_the_next_session() {
    let mut running = Running::start(ReplayFrom::Tip, |_| {}).await;
    running.until(State::Live).await;
    running.server.publish();
    assert_eq!(running.changes(1).await, ["1"]);
    running.server.with(|inner| inner.cut = true);
    running.server.publish();
    assert_eq!(running.changes(1).await, ["2"]);
    assert_eq!(running.server.count("/meta/handshake"), 2);
    running.stop().await;
}

#[tokio::test]
async fn a_dropped_session_and_a_revoked_token_lose_nothing() {
    let mut running = Running::start(ReplayFrom::Earliest, Server::publish).await;
    assert_eq!(running.changes(1).await, ["1"]);
    running.server.with(|inner| inner.session = None);
    running.server.publish();
    assert_eq!(running.changes(1).await, ["2"]);
    running.server.with(|inner| inner.token += 1);
    running.server.publish();
    assert_eq!(running.changes(1).await, ["3"]);
    running.server.publish();
    assert_eq!(running.changes(1).await, ["4"]);
    running.stop().await;
}

#[tokio::test]
async fn a_refused_position_is_handed_over_before_what_follows_it() {
    let from = ReplayFrom::After(ReplayId(b"9".to_vec()));
    let mut running = Running::start(from, Server::publish).await;
    assert!(matches!(running.next().await, Arrival::Refused { .. }));
    assert!(matches!(running.next().await, Arrival::Change(_)));
    running.stop().await;
}

#[tokio::test]
async fn a_channel_that_was_refused_and_is_allowed_goes_live_by_itself_with_all_that_happened_since() {
    let timings = Timings { refused_again: (HOLD / 3, HOLD), ..Timings::default() };
    let refuse = |server: &Server| server.with(|inner| inner.refusals = 3);
    let mut running = Running::start_with(ReplayFrom::Tip, timings, refuse).await;
    running.until_so(|state| matches!(state, State::Refused { .. })).await;
    running.server.publish();
    assert_eq!(running.changes(1).await, ["1"]);
    running.until(State::Live).await;
    let server = running.server.clone();
    running.stop().await;
    let asked = server.with(|inner| inner.asked.clone());
    let subscribes = asked.iter().filter(|asked| asked["channel"] == "/meta/subscribe");
    let from: Vec<&Json> = subscribes.map(|asked| &asked["ext"]["replay"][CHANNEL]).collect();
    assert_eq!(from, [-1, -2, -2, -2], "the first one at the newest, then all since it");
    assert_eq!(server.count("/meta/handshake"), 1, "in the same session");
}

#[tokio::test]
async fn refusals_without_a_body_are_got_over() {
    for status in [401, 403, 302] {
        let mut running = Running::start(ReplayFrom::Earliest, |server| {
            server.publish();
            server.with(|inner| inner.status = Some(status));
        })
        .await;
        assert_eq!(running.changes(1).await, ["1"], "{status}");
        running.stop().await;
    }
}

#[tokio::test]
async fn a_journal_that_is_gone_ends_the_subscription() {
    let mut running = Running::start(ReplayFrom::Earliest, Server::publish).await;
    running.arrivals.close();
    let ended = tokio::time::timeout(PATIENCE, running.tasks.join_next()).await.unwrap();
    assert!(matches!(ended, Some(Ok(Err(SubscribeError::JournalGone)))), "{ended:?}");
}

/// Surroundings that remember nothing and allow everything.
#[derive(Clone)]
struct Anything;

impl Surroundings for Anything {
    async fn schema(&self, _: &str) -> Option<String> {
        None
    }

    async fn keep_schema(&self, _: &str, _: &str) {}

    fn saw_schema(&self, _: &Channel, _: &ObjectName, _: &str) {}

    async fn earliest_fits(&self, _: &Channel) -> bool {
        true
    }
}
