//! The driver against a Pub/Sub API of a few lines at the other end of a pipe in memory: hours pass in no time, and to
//! the second.

use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;

use futures_util::{StreamExt, stream};
use hyper_util::rt::TokioIo;
use pubsub_api::pub_sub_server::{PubSub, PubSubServer};
use pubsub_api::{
    ManagedFetchRequest, ManagedFetchResponse, ProducerEvent, PublishRequest, PublishResponse, SchemaInfo,
    SchemaRequest, TopicInfo, TopicRequest,
};
use tokio::io::DuplexStream;
use tokio::sync::Notify;
use tonic::codegen::{Service, http::Uri};
use tonic::metadata::MetadataMap;
use tonic::transport::Server;
use tonic::{Code, Request};

use super::*;
use crate::org::testing::{Reply, ScriptedOrg};
use crate::subscribe::SILENCE_MAX;
use crate::subscribe::pubsub::vectors;

/// As the org promises.
const KEEPALIVE: Duration = Duration::from_secs(270);
/// Longer than anything takes.
const ENOUGH: Duration = Duration::from_secs(4 * 3_600);
/// After so long without a request for more the org ends a stream.
const IDLE: Duration = Duration::from_secs(60);

/// What the org keeps, and what it was asked.
#[derive(Default)]
struct Bus {
    /// Events; the replay id of each is its number, from 1.
    events: AtomicU32,
    changed: Notify,
    /// So many subscribes to come are refused; and so many end before anything was sent.
    refusals: AtomicU32,
    ends: AtomicU32,
    /// The first request of each subscribe.
    asked: Mutex<Vec<(Instant, FetchRequest)>>,
}

impl Bus {
    fn publish(&self, events: u32) {
        self.events.fetch_add(events, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    /// The events behind the one that was sent last, as many as are owed.
    fn response(&self, sent: &mut u32, owed: &mut i32) -> FetchResponse {
        let due = (self.events.load(Ordering::SeqCst) - *sent).min(u32::try_from(*owed).unwrap());
        let numbers = *sent + 1..=*sent + due;
        (*sent, *owed) = (*sent + due, *owed - i32::try_from(due).unwrap());
        FetchResponse {
            events: numbers.map(event).collect(),
            latest_replay_id: sent.to_string().into_bytes().into(),
            pending_num_requested: *owed,
            ..FetchResponse::default()
        }
    }

    fn subscribes(&self) -> Vec<(Instant, FetchRequest)> {
        self.asked.lock().unwrap().clone()
    }
}

fn vector() -> Json {
    let file: Json = serde_json::from_str(include_str!("../../../../../tests/vectors/avro_events.json")).unwrap();
    file["vectors"].as_array().unwrap().iter().find(|vector| vector["name"] == "account_delete").unwrap().clone()
}

fn event(number: u32) -> ConsumerEvent {
    let payload = vectors::payload(&vector()).into();
    let event = ProducerEvent { schema_id: "schema".to_owned(), payload, ..ProducerEvent::default() };
    ConsumerEvent { event: Some(event), replay_id: number.to_string().into_bytes().into() }
}

fn refusal(code: Code, error_code: &str) -> Status {
    let mut metadata = MetadataMap::new();
    metadata.insert("error-code", format!("sfdc.platform.eventbus.grpc.{error_code}").parse().unwrap());
    Status::with_metadata(code, "", metadata)
}

/// One less, if there is any.
fn take_one(left: &AtomicU32) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

struct Api(Arc<Bus>);

#[tonic::async_trait]
impl PubSub for Api {
    type SubscribeStream = Responses<FetchResponse>;
    type PublishStreamStream = Responses<PublishResponse>;
    type ManagedSubscribeStream = Responses<ManagedFetchResponse>;

    async fn subscribe(
        &self,
        request: Request<Streaming<FetchRequest>>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let (bus, mut asks) = (self.0.clone(), request.into_inner());
        let first = asks.message().await?.unwrap();
        bus.asked.lock().unwrap().push((Instant::now(), first.clone()));
        if take_one(&bus.refusals) {
            return Err(refusal(Code::PermissionDenied, "topic.meta.permission"));
        }
        if take_one(&bus.ends) {
            return Ok(Response::new(Box::pin(stream::empty())));
        }
        let mut sent = match first.replay_preset() {
            ReplayPreset::Latest => bus.events.load(Ordering::SeqCst),
            ReplayPreset::Earliest => 0,
            ReplayPreset::Custom => std::str::from_utf8(&first.replay_id).unwrap().parse().unwrap(),
        };
        let mut owed = first.num_requested;
        let responses = async_stream::try_stream! {
            loop {
                let response = bus.response(&mut sent, &mut owed);
                if !response.events.is_empty() {
                    yield response;
                    continue;
                }
                let asked = tokio::select! {
                    biased;
                    ask = asks.message() => Some(ask),
                    () = bus.changed.notified() => continue,
                    () = tokio::time::sleep(if owed > 0 { KEEPALIVE } else { IDLE }) => None,
                };
                match asked {
                    Some(ask) => match ask? {
                        Some(ask) => owed = (owed + ask.num_requested).min(100),
                        None => return,
                    },
                    None if owed == 0 => return,
                    None => yield bus.response(&mut sent, &mut owed),
                }
            }
        };
        Ok(Response::new(Box::pin(responses)))
    }

    async fn get_schema(&self, _: Request<SchemaRequest>) -> Result<Response<SchemaInfo>, Status> {
        let schema_json = vectors::schema_text(vector()["schema_file"].as_str().unwrap());
        Ok(Response::new(SchemaInfo { schema_json, ..SchemaInfo::default() }))
    }

    async fn get_topic(&self, _: Request<TopicRequest>) -> Result<Response<TopicInfo>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn publish(&self, _: Request<PublishRequest>) -> Result<Response<PublishResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn publish_stream(
        &self,
        _: Request<Streaming<PublishRequest>>,
    ) -> Result<Response<Self::PublishStreamStream>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn managed_subscribe(
        &self,
        _: Request<Streaming<ManagedFetchRequest>>,
    ) -> Result<Response<Self::ManagedSubscribeStream>, Status> {
        Err(Status::unimplemented(""))
    }
}

/// Our end of the pipe; it can be had once.
struct Pipe(Option<DuplexStream>);

impl Service<Uri> for Pipe {
    type Response = TokioIo<DuplexStream>;
    type Error = std::io::Error;
    type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let broken = || std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        std::future::ready(self.0.take().map(TokioIo::new).ok_or_else(broken))
    }
}

/// A driver and its org. Time is paused.
struct Paused {
    bus: Arc<Bus>,
    arrivals: mpsc::Receiver<(Channel, Arrival)>,
    state: watch::Receiver<Subscriptions>,
    /// Every state that was shown, in order.
    states: Arc<Mutex<Vec<State>>>,
    tasks: JoinSet<()>,
    _login: ScriptedOrg,
}

impl Paused {
    async fn start(from: ReplayFrom, room: usize, prepare: impl FnOnce(&Bus)) -> Self {
        crate::org::install_crypto();
        let login = ScriptedOrg::start(|_| Reply::Cut).await;
        let org = login.org();
        // The login goes over a socket, on which virtual time would not wait.
        org.session().await.unwrap();
        tokio::time::pause();

        let bus = Arc::new(Bus::default());
        prepare(&bus);
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let (connection, mut tasks) =
            (Connection::over(|endpoint| endpoint.connect_with_connector_lazy(Pipe(Some(ours)))), JoinSet::new());
        let server = Server::builder().add_service(PubSubServer::new(Api(bus.clone())));
        let lines = stream::once(async { Ok::<_, std::io::Error>(theirs) }).chain(stream::pending());
        tasks.spawn(async move { server.serve_with_incoming(lines).await.unwrap() });

        let (sender, arrivals) = mpsc::channel(room);
        let (state, mut watched) = watch::channel(Subscriptions::new());
        let shown = watched.clone();
        let states: Arc<Mutex<Vec<State>>> = Arc::default();
        let seen = states.clone();
        tasks.spawn(async move {
            while watched.changed().await.is_ok() {
                let Some(now) = watched.borrow_and_update().values().next().map(|one| one.state.clone()) else {
                    continue;
                };
                let mut seen = seen.lock().unwrap();
                if seen.last() != Some(&now) {
                    seen.push(now);
                }
            }
        });
        let feed = Feed {
            org,
            arrivals: sender,
            state,
            surroundings: Anything,
            nudges: watch::channel(0).1,
            silence: SILENCE_MAX,
            cancel: CancellationToken::new(),
        };
        let plan = Plan { from, skip_before: None, live_until: None, commit_start: None };
        let start = ChannelStart { channel: ACCOUNTS.parse().unwrap(), plan, wanted: None };
        tasks.spawn(async move { run_over(feed, vec![start], connection).await.unwrap() });
        Self { bus, arrivals, state: shown, states, tasks, _login: login }
    }

    async fn next(&mut self) -> Arrival {
        tokio::select! {
            // Virtual, so that a driver which goes wrong for ever is found out at once.
            arrival = tokio::time::timeout(ENOUGH, self.arrivals.recv()) => arrival.expect("nothing comes").unwrap().1,
            Some(ended) = self.tasks.join_next() => panic!("{ended:?}"),
        }
    }

    /// The ids of the next changes.
    async fn changes(&mut self, count: usize) -> Vec<String> {
        let (mut ids, begin) = (Vec::new(), Instant::now());
        while ids.len() < count {
            assert!(begin.elapsed() < ENOUGH, "only {ids:?} came");
            if let Arrival::Change(change) = self.next().await {
                ids.push(format!("{:?}", change.replay_id));
            }
        }
        ids
    }

    /// Until a keepalive came; the id that it saves.
    async fn keepalive(&mut self) -> ReplayId {
        loop {
            if let Arrival::Passed { replay_id, events: 0 } = self.next().await {
                return replay_id;
            }
        }
    }

    async fn live(&mut self) {
        let live = |all: &Subscriptions| all.values().all(|one| one.state == State::Live);
        let seen = tokio::time::timeout(ENOUGH, self.state.wait_for(live)).await;
        assert!(seen.is_ok_and(|seen| seen.is_ok()), "{:?}", self.states());
    }

    fn states(&self) -> Vec<State> {
        self.states.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn a_whole_day_with_a_keepalive_every_270_seconds_is_one_stream_that_is_live() {
    let mut world = Paused::start(ReplayFrom::Tip, 100, |bus| bus.publish(7)).await;
    let begin = Instant::now();
    for _ in 0..24 * 3_600 / KEEPALIVE.as_secs() {
        assert_eq!(world.keepalive().await, ReplayId(b"7".to_vec()));
    }
    assert_eq!(begin.elapsed().as_secs(), 24 * 3_600);
    assert_eq!(world.bus.subscribes().len(), 1, "{:?}", world.states());
    assert!(matches!(world.states()[..], [State::Connecting, State::CatchingUp, State::Live]), "{:?}", world.states());
}

#[tokio::test]
async fn a_stream_that_the_org_ends_because_nothing_was_asked_for_goes_on_at_once_when_there_is_room() {
    let mut world = Paused::start(ReplayFrom::Earliest, 4, |bus| bus.publish(10)).await;
    // Nobody takes what came for hours, so nothing is asked for, and the org ends the stream after a minute.
    tokio::time::sleep(Duration::from_secs(7_200)).await;
    let back = Instant::now();
    assert_eq!(world.bus.subscribes().len(), 1, "no stream is opened for which there is no room");
    assert_eq!(world.changes(10).await, ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]);
    assert_eq!(back.elapsed(), Duration::ZERO, "nothing was waited for");
    let subscribes = world.bus.subscribes();
    let from: Vec<_> = subscribes.iter().map(|(_, first)| (first.replay_preset(), first.replay_id.to_vec())).collect();
    assert_eq!(from, [(ReplayPreset::Earliest, Vec::new()), (ReplayPreset::Custom, b"4".to_vec())]);
    // And it is live again, without ever having waited.
    world.live().await;
    let states = world.states();
    assert!(!states.iter().any(|state| matches!(state, State::Waiting { .. } | State::Stalled)), "{states:?}");
}

#[tokio::test]
async fn streams_that_end_before_anything_came_are_opened_ever_more_slowly() {
    let begin = Instant::now();
    let mut world = Paused::start(ReplayFrom::Earliest, 100, |bus| {
        bus.publish(1);
        bus.ends.store(8, Ordering::SeqCst);
    })
    .await;
    assert_eq!(world.changes(1).await, ["1"]);
    let times: Vec<Instant> = world.bus.subscribes().into_iter().map(|(at, _)| at).collect();
    assert_eq!(times.len(), 9);
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= RETRY.0 / 2), "{times:?}");
    assert!(begin.elapsed() > Duration::from_secs(8), "{:?}", begin.elapsed());
    assert!(world.states().iter().any(|state| matches!(state, State::Waiting { .. })));
}

#[tokio::test]
async fn a_channel_that_was_refused_and_is_allowed_goes_live_by_itself_with_all_that_happened_since() {
    let begin = Instant::now();
    let mut world = Paused::start(ReplayFrom::Tip, 100, |bus| bus.refusals.store(4, Ordering::SeqCst)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(matches!(world.states().last(), Some(State::Refused { why }) if why.contains("View All Records")));
    world.bus.publish(2);
    assert_eq!(world.changes(2).await, ["1", "2"]);
    world.live().await;
    let subscribes = world.bus.subscribes();
    let presets: Vec<ReplayPreset> = subscribes.iter().map(|(_, first)| first.replay_preset()).collect();
    let expected = [ReplayPreset::Latest, ReplayPreset::Earliest, ReplayPreset::Earliest, ReplayPreset::Earliest];
    assert_eq!((&presets[..4], presets.len()), (&expected[..], 5), "the first one at the newest, then all since it");
    // Slowly, for it is a person who allows it; but within the hour.
    let pauses: Vec<Duration> = subscribes.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(pauses.iter().all(|pause| (REFUSED_AGAIN.0 / 2..=REFUSED_AGAIN.1).contains(pause)), "{pauses:?}");
    assert!(begin.elapsed() < Duration::from_secs(3_600));
}
